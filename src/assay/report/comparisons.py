"""Figures of the stated contrasts: every difference with its interval, beside zero and the margin of equivalence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from assay.report.axes import limits
from assay.report.choosing import DIFFERS, ROWS
from assay.report.evidence import Evidence
from assay.report.figures import Figure, strips
from assay.report.marks import Mark, Panel, Plot, Reference
from assay.report.tables import distinct, mapping, numeric
from assay.report.wording import held_words, measure_name
from assay.stats.format import count, in_words, listed
from assay.stats.rows import CONFOUNDER, DOSES, MATCHED, over_doses
from assay.stats.slice import named
from assay.store.files import Row

PANELS = 12
"""A figure has at most so many panels; the table has all."""
Groups = Mapping[str, Sequence[Row]]


def differences(evidence: Evidence) -> list[Figure]:
    """One figure per measure, axis and level compared against; a panel per place and way of matching."""
    found: dict[tuple[str, str, str], list[Row]] = {}
    for row in evidence.tables.contrasts:
        found.setdefault((_called(row), row["axis"], row["b"]), []).append(row)
    drawn = {key: rows for key, rows in found.items() if not all(math.isnan(numeric(row, "value")) for row in rows)}
    return [_figure(evidence, key, rows, i) for i, (key, rows) in enumerate(drawn.items())]


def _figure(evidence: Evidence, key: tuple[str, str, str], every: Sequence[Row], number: int) -> Figure:
    """every: the comparisons of which the title tells, those without a value among them."""
    called, axis, against = key
    rows = [row for row in every if not math.isnan(numeric(row, "value"))]
    common, groups = _by_place(rows)
    levels = [level for level in evidence.outline.levels if any(row["a"] == level for row in rows)]
    levels = levels or distinct(row["a"] for row in rows)
    styles = {**{level: next(iter(evidence.outline.styles.values())) for level in levels}, **evidence.outline.styles}
    notes = [f"In all panels: {common}." if common else "", _shown(rows), _fewer_doses(rows), _uncounted(every)]
    if len(levels) == 1 and len(groups) > 1:
        # a panel each for one row would hide what tells them apart: the places become the rows
        only, levels = levels[0], list(groups)
        styles = dict.fromkeys(levels, styles[only])
        groups = {only: [{**row, "a": place} for place, own in groups.items() for row in own]}
    levels, cut = _folded(levels, [row for own in groups.values() for row in own])
    if len(groups) > PANELS:
        cut += f" {PANELS} of {len(groups)} panels; the table has all."
        groups = dict(list(groups.items())[:PANELS])
    panels = tuple(_panel(title, group, levels, against) for title, group in groups.items())
    if any(panel.band for panel in panels):
        notes.append("Shaded: the margin of equivalence.")
    plot = Plot(panels, tuple(levels), styles, _axis(called, axis, against), _span(panels))
    words = " ".join(part for part in (*notes, cut.strip()) if part)
    return strips(f"contrasts-{number}", _title(called, every, named(axis, against)), words, plot, rows)


def _called(row: Row) -> str:
    """`AUROC`, or what of it a dose-response compares."""
    name = measure_name(row["measure"])
    return f"the change in {name}" if over_doses(row) else name


def _by_place(rows: Sequence[Row]) -> tuple[str, Groups]:
    """What all places have in common, and place -> its rows by what tells it apart."""
    parts = [_parts(row) for row in rows]
    common = [part for part in parts[0] if all(part in own for own in parts)]
    groups: dict[str, list[Row]] = {}
    for row, own in zip(rows, parts, strict=True):
        groups.setdefault(", ".join(part for part in own if part not in common), []).append(row)
    if len(groups) == 1:
        return "", {", ".join(common): rows}
    return ", ".join(common), groups


def _parts(row: Row) -> list[str]:
    """`reversed`, `epochs 20`, `matched fit`: where and how a comparison was made."""
    ways = {"matched-fit": "matched fit", DOSES: "over the doses", MATCHED: "over the doses where equally good"}
    how = ways.get(row["at"], "equal budget")
    where = mapping(row["where"])
    held = [held_words({axis: value}) for axis, value in where.items()]
    factor = "" if where.get(CONFOUNDER, "").partition("(")[0] == row["factor"] else in_words(row["factor"])
    return [part for part in (factor, row["layer"], row["environment"], *held, how) if part]


def _fewer_doses(rows: Sequence[Row]) -> str:
    """`p to 0.5 alone: natural-scale.`, of levels that were trained at fewer doses than others."""
    fewer = distinct(str(row["doses"]) for row in rows if row.get("doses"))
    named = {doses: distinct(in_words(row["a"]) for row in rows if row.get("doses") == doses) for doses in fewer}
    return " ".join(f"p to {doses} alone: {listed(levels)}." for doses, levels in named.items())


def _folded(levels: list[str], rows: Sequence[Row]) -> tuple[list[str], str]:
    """At most so many levels: those of which a difference is shown, then the largest differences."""
    if len(levels) <= ROWS:
        return levels, ""
    order = sorted(rows, key=lambda row: (row["conclusion"] not in DIFFERS, -abs(numeric(row, "value"))))
    chosen = set(distinct(row["a"] for row in order)[:ROWS])
    note = f"{ROWS} of {len(levels)} shown: differences that are shown, then the largest. The table has all."
    return [level for level in levels if level in chosen], note


def _panel(title: str, rows: Sequence[Row], levels: Sequence[str], against: str) -> Panel:
    marks = tuple(
        Mark(row["a"], numeric(row, "value"), numeric(row, "low"), numeric(row, "high"))
        for row in rows
        if row["a"] in levels
    )
    margins = [margin for row in rows if not math.isnan(margin := numeric(row, "margin"))]
    band = (-margins[0], margins[0]) if margins else None
    return Panel(title, marks, (Reference.level(against, 0.0),), band)


def _span(panels: Sequence[Panel]) -> tuple[float, float]:
    marks = [mark for panel in panels for mark in panel.marks]
    points = [0.0, *(mark.value for mark in marks)]
    points += [end for panel in panels if panel.band for end in panel.band]
    return limits(points, [end for mark in marks for end in (mark.low, mark.high)], (-math.inf, math.inf))


def _axis(called: str, axis: str, against: str) -> str:
    return f"difference in {called} to {named(axis, against)}"


def _shown(rows: Sequence[Row]) -> str:
    """Which differences are shown, up to three by name, and why an interval beside zero need not be one."""
    shown = [row for row in rows if row["conclusion"] in DIFFERS]
    unproven = [row for row in rows if row["conclusion"] == "not shown"]
    beside = any(numeric(row, "low") * numeric(row, "high") > 0 for row in unproven)
    named = "; ".join(f"{row['a']} {row['conclusion']} ({', '.join(_parts(row))})" for row in shown)
    words = [f"Shown: {named}."] if 0 < len(shown) <= 3 else []
    if beside:
        words.append("An interval is of one comparison alone; what is shown is decided after correction for all.")
    return " ".join(words)


def _uncounted(rows: Sequence[Row]) -> str:
    """Which comparisons the title counts and the drawing lacks, and the other way round."""
    lost = sum(math.isnan(numeric(row, "value")) for row in rows if not row["exploratory"])
    extra = sum(bool(row["exploratory"]) for row in rows)
    words = [f"{count(lost, 'comparison')} without a value: the table says why."] if lost else []
    if 0 < extra < len(rows):
        words.append(f"{count(extra, 'comparison')} more, added after results were known, not counted above.")
    if extra == len(rows):
        words.append("Added after results were known: to be stated beforehand and seen again.")
    return " ".join(words)


def _title(called: str, rows: Sequence[Row], against: str) -> str:
    """Of how many stated comparisons how many showed a difference, and how many equivalence where any did: the counts
    of the answer. Where none was stated, those that were added.
    """
    counted = [row for row in rows if not row["exploratory"]] or rows
    shown = sum(row["conclusion"] in DIFFERS for row in counted)
    equal = sum(row["conclusion"] == "equivalent" for row in counted)
    lost = sum(row["conclusion"] == "undefined" for row in counted)
    alike = f", {equal} showed equivalence" if equal else ""
    alike += f", {lost} could not be tested" if lost else ""
    if lost == len(counted):
        of = count(lost, "comparison")
        return f"{called[:1].upper()}{called[1:]} compared with {against}: {of} that could not be tested"
    if len(counted) == 1:
        was = "equivalence was shown" if equal else f"a difference was {'' if shown else 'not '}shown"
        added = " (exploratory)" if counted[0]["exploratory"] else ""
        return f"{called[:1].upper()}{called[1:]} compared with {against}: {was}{added}"
    kind = "exploratory comparison" if counted[0]["exploratory"] else "comparison"
    of = f"{count(len(counted), kind)} of {called} with {against}"
    return f"{shown} of {of} showed a difference{alike}" if shown else f"None of {of} showed a difference{alike}"
