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
from assay.stats.format import in_words
from assay.stats.rows import DOSES
from assay.stats.slice import named
from assay.store.files import Row

PANELS = 12
"""A figure has at most so many panels; the table has all."""
Groups = Mapping[str, Sequence[Row]]


def differences(evidence: Evidence) -> list[Figure]:
    """One figure per measure, axis and level compared against; a panel per place and way of matching."""
    found: dict[tuple[str, str, str], list[Row]] = {}
    for row in evidence.tables.contrasts:
        if not math.isnan(numeric(row, "value")):
            found.setdefault((_called(row), row["axis"], row["b"]), []).append(row)
    return [_figure(evidence, key, rows, i) for i, (key, rows) in enumerate(found.items())]


def _figure(evidence: Evidence, key: tuple[str, str, str], rows: list[Row], number: int) -> Figure:
    called, axis, against = key
    common, groups = _by_place(rows)
    levels = [level for level in evidence.outline.levels if any(row["a"] == level for row in rows)]
    levels = levels or distinct(row["a"] for row in rows)
    styles = {**{level: next(iter(evidence.outline.styles.values())) for level in levels}, **evidence.outline.styles}
    notes = [f"In all panels: {common}." if common else "", _shown(rows)]
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
    return strips(f"contrasts-{number}", _title(called, rows, named(axis, against)), words, plot, rows)


def _called(row: Row) -> str:
    """`AUROC`, or what of it a dose-response compares."""
    name = measure_name(row["measure"])
    return f"the change in {name}" if row["at"] == DOSES else name


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
    how = {"matched-fit": "matched fit", DOSES: "over the doses"}.get(row["at"], "equal budget")
    held = [held_words({axis: value}) for axis, value in mapping(row["where"]).items()]
    return [part for part in (in_words(row["factor"]), row["layer"], row["environment"], *held, how) if part]


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
    named = "; ".join(f"{row['a']} {row['conclusion'][2:]} ({', '.join(_parts(row))})" for row in shown)
    words = [f"Shown: {named}."] if 0 < len(shown) <= 3 else []
    if beside:
        words.append("An interval is of one comparison alone; what is shown is decided after correction for all.")
    return " ".join(words)


def _title(called: str, rows: Sequence[Row], against: str) -> str:
    """How many differences are shown, and how many equivalences where there are any."""
    shown = sum(row["conclusion"] in DIFFERS for row in rows)
    equal = sum(row["conclusion"] == "equivalent" for row in rows)
    what = f"in {called} to {against}"
    alike = f"; {equal} of {len(rows)} equivalent" if equal else ""
    if not shown:
        return f"No difference {what} is shown{alike}"
    return f"{shown} of {len(rows)} differences {what} {'is' if shown == 1 else 'are'} shown{alike}"
