"""Figures of the stated contrasts: every difference with its interval, beside zero and the margin of equivalence."""

from __future__ import annotations

import math

from assay.report.axes import limits
from assay.report.evidence import Evidence
from assay.report.figures import Figure, strips
from assay.report.marks import Mark, Panel, Plot, Reference
from assay.report.tables import distinct, mapping, numeric
from assay.report.wording import held_words, measure_name
from assay.store.files import Row

Place = tuple[str, str, str, str, str, str, str]


def differences(evidence: Evidence) -> list[Figure]:
    """One figure per measure, axis and level compared against; a panel per place and way of matching."""
    found: dict[tuple[str, str, str], list[Row]] = {}
    for row in evidence.tables.contrasts:
        if not math.isnan(numeric(row, "value")):
            found.setdefault((row["measure"], row["axis"], row["b"]), []).append(row)
    return [_figure(evidence, key, rows, i) for i, (key, rows) in enumerate(found.items())]


def panel_title(row: Row) -> str:
    """`reversed, matched fit`; `texture, reversed, epochs 20`."""
    how = "matched fit" if row["at"] == "matched-fit" else ""
    parts = [row["factor"], row["layer"], row["environment"], held_words(mapping(row["where"])), how]
    return ", ".join(part for part in parts if part)


def _figure(evidence: Evidence, key: tuple[str, str, str], rows: list[Row], number: int) -> Figure:
    measure, _, against = key
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(panel_title(row), []).append(row)
    levels = [level for level in evidence.outline.levels if any(row["a"] == level for row in rows)]
    levels = levels or distinct(row["a"] for row in rows)
    panels = tuple(_panel(title, group, against) for title, group in groups.items())
    marks = [mark for panel in panels for mark in panel.marks]
    points = [0.0, *(mark.value for mark in marks)]
    points += [end for panel in panels if panel.band for end in panel.band]
    span = limits(points, [end for mark in marks for end in (mark.low, mark.high)], (-math.inf, math.inf))
    styles = {**{level: next(iter(evidence.outline.styles.values())) for level in levels}, **evidence.outline.styles}
    axis = f"difference in {measure_name(measure)} to {against}"
    plot = Plot(panels, tuple(levels), styles, axis, span)
    band = "Shaded: the margin of equivalence." if any(panel.band for panel in panels) else ""
    return strips(f"contrasts-{number}", _title(measure, rows, against), band, plot, rows)


def _panel(title: str, rows: list[Row], against: str) -> Panel:
    marks = tuple(Mark(row["a"], numeric(row, "value"), numeric(row, "low"), numeric(row, "high")) for row in rows)
    margins = [margin for row in rows if not math.isnan(margin := numeric(row, "margin"))]
    band = (-margins[0], margins[0]) if margins else None
    return Panel(title, marks, (Reference.level(against, 0.0),), band)


def _title(measure: str, rows: list[Row], against: str) -> str:
    shown = sum(row["conclusion"] in ("a higher", "a lower") for row in rows)
    name = measure_name(measure)
    if not shown:
        return f"No difference in {name} to {against} is shown"
    return f"{shown} of {len(rows)} differences in {name} to {against} are shown"
