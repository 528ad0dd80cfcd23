"""Curves: a value along budgets, layers or doses, one curve per level, seeds as dots, means as ticks.

Intervals are bars; along doses, which are numbers and stand at their place, they are bands.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from assay.report.axes import Scale, tick_text, ticks
from assay.report.marks import Mark, Panel, Plot, Reference, bar, group, key, panel_grid, short_names
from assay.report.svg import BOLD, NARROW, Drawing, breadth, dots, element, line, marker, polyline, shortened, text

LEAST_PANEL = 170.0
HEIGHT = 160.0
GAP = 40.0
EDGE = 12.0
"""How far the first and the last of numbered positions stand from the panel's sides."""
DIRECT = 6
"""Up to so many curves are labelled where they end, if the last panel of a row has all of its row's; else in a key."""


@dataclass(frozen=True)
class _Place:
    """A panel's scale down the page and where its positions stand across."""

    scale: Scale
    across: dict[str, float]
    left: float
    right: float
    spread: float


def draw_curves(plot: Plot, width: float) -> Drawing:
    """The plot at a width in pixels."""
    names = [*plot.levels, *(reference.name for panel in plot.panels for reference in panel.references)]
    room = min(max(breadth(name, NARROW) for name in names) + 18, width * 0.3)
    left = 34.0
    longest = max(breadth(name, NARROW) for name in short_names(plot.positions))
    least = max(LEAST_PANEL, len(plot.positions) * (longest / 2 + 8))  # names may stand on two lines in turn
    columns, rows = panel_grid(len(plot.panels), width - left - room + GAP, least + GAP)
    each = (width - left - room - GAP * (columns - 1)) / columns
    direct = len(plot.levels) <= DIRECT and _all_end_last(plot.panels, columns)
    shapes, top = ("", 0.0) if direct else key(plot.levels, plot.styles, width)
    body = [shapes]
    for i, panel in enumerate(plot.panels):
        r, c = divmod(i, columns)
        x, y = left + c * (each + GAP), top + 24 + r * (HEIGHT + 62)
        place = _place(plot, x, x + each, y)
        last = c == columns - 1 or i == len(plot.panels) - 1
        body += [_frame(plot, panel, place), _marks(plot, panel, place)]
        body.append(_ends(plot, panel, place, room if last else 0.0, direct))
    bottom = top + 24 + rows * (HEIGHT + 62)
    axis = f"{plot.axis}, by {plot.position_name}"
    body.append(text(max(0.0, min(left, width - breadth(axis))), bottom - 8, axis, colour="var(--soft)"))
    return Drawing(width, bottom, "".join(body))


def _all_end_last(panels: Sequence[Panel], columns: int) -> bool:
    """Whether every curve of a row of panels has an end in its last one, beside which names stand."""
    rows = [panels[start : start + columns] for start in range(0, len(panels), columns)]
    return all(_drawn(panel) <= _drawn(row[-1]) for row in rows for panel in row)


def _drawn(panel: Panel) -> set[str]:
    return {mark.level for mark in panel.marks if not math.isnan(mark.value)}


def _place(plot: Plot, left: float, right: float, top: float) -> _Place:
    if plot.scaled:
        numbers = [math.log10(float(at)) if plot.logarithmic else float(at) for at in plot.positions]
        along = Scale(min(numbers), max(numbers), left + EDGE, right - EDGE)
        across = {position: along(value) for position, value in zip(plot.positions, numbers, strict=True)}
        return _Place(Scale(*plot.limits, top + HEIGHT, top), across, left, right, 5.0 * len(plot.levels))
    step = (right - left) / len(plot.positions)
    across = {position: left + step * (i + 0.5) for i, position in enumerate(plot.positions)}
    spread = min(
        step * 0.66, 60.0, 9.0 * len(plot.levels)
    )  # no wider than telling them apart takes: a place is one value
    return _Place(Scale(*plot.limits, top + HEIGHT, top), across, left, right, spread)


def _frame(plot: Plot, panel: Panel, place: _Place) -> str:
    top, base = place.scale.end, place.scale.start
    title = shortened(panel.title, place.right - place.left + GAP - 10, BOLD)
    parts = [text(place.left, top - 10, title, weight="600", full=panel.title)]
    for value in ticks(*plot.limits, 6):
        y = place.scale(value)
        parts += [
            line(place.left, y, place.right, y, "var(--grid)"),
            text(place.left - 6, y + 4, tick_text(value), size=NARROW, anchor="end", colour="var(--soft)"),
        ]
    stands = list(place.across.values())
    step = min((b - a for a, b in pairwise(stands)), default=place.right - place.left)
    names = short_names(plot.positions)
    tight = max(breadth(name, NARROW) for name in names) + 4 > step
    for i, ((position, x), name) in enumerate(zip(place.across.items(), names, strict=True)):
        words = shortened(name, step * (2 if tight else 1), NARROW)
        y = base + (27 if tight and i % 2 else 15)
        parts.append(text(x, y, words, size=NARROW, anchor="middle", colour="var(--soft)", full=position))
    parts.append(line(place.left, base, place.right, base, "var(--line)"))
    return "".join(parts + [_reference(reference, place) for reference in panel.references])


def _reference(reference: Reference, place: _Place) -> str:
    if reference.values[0][0] == "":
        y = place.scale(reference.values[0][1])
        return line(place.left, y, place.right, y, "var(--reference)")
    points = [(place.across[at], place.scale(value)) for at, value in reference.values if not math.isnan(value)]
    return polyline(points, reference.colour, dash=reference.dash)


def _marks(plot: Plot, panel: Panel, place: _Place) -> str:
    parts: list[str] = []
    for i, level in enumerate(plot.levels):
        shift = place.spread * ((i + 0.5) / len(plot.levels) - 0.5)
        marks = [mark for mark in panel.marks if mark.level == level and not math.isnan(mark.value)]
        aside = 0.0 if plot.scaled else shift
        points = [(place.across[mark.at] + aside, place.scale(mark.value)) for mark in marks]
        if plot.scaled:
            parts.append(_band(marks, place, plot.styles[level].colour))
        parts.append(polyline(points, plot.styles[level].colour, 1.8 if plot.scaled else 1.2))
        parts += [_mark(plot, mark, place, x, shift - aside) for mark, (x, _) in zip(marks, points, strict=True)]
    return "".join(parts)


def _band(marks: Sequence[Mark], place: _Place, colour: str) -> str:
    """The intervals of a curve as one shape."""
    known = [mark for mark in marks if not math.isnan(mark.low)]
    edge = [(place.across[mark.at], place.scale(mark.high)) for mark in known]
    edge += [(place.across[mark.at], place.scale(mark.low)) for mark in reversed(known)]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in edge)
    return element("path", d=f"M{path}Z", fill=colour, fill_opacity="0.16") if len(known) > 1 else ""


def _mark(plot: Plot, mark: Mark, place: _Place, x: float, aside: float) -> str:
    """An estimate at a place across; its seeds stand as far aside as curves have to be told apart."""
    style, scale = plot.styles[mark.level], place.scale
    parts: list[str] = []
    if not math.isnan(mark.low) and not plot.scaled:
        cut = (scale.beyond(mark.low), scale.beyond(mark.high))
        parts.append(bar(scale(mark.low), scale(mark.high), x, style.colour, 1.4, cut, flat=False))
    seeds = [(x + aside, scale(value)) for _, value in mark.seeds if not math.isnan(value)]
    parts.append(dots(seeds, style.colour, 4.0))
    size = min(3.4, max(2.2, place.spread / len(plot.levels) * 0.5))
    said = f"{mark.at}: {mark.said}" if plot.hover else ""
    return group(said, "".join([*parts, marker(style.marker, x, scale(mark.value), size, style.colour)]))


def _ends(plot: Plot, panel: Panel, place: _Place, room: float, direct: bool) -> str:
    """Names at the right: of every curve beside its last value, and of the references; moved apart where they touch."""
    if not room:
        return ""
    ends: list[tuple[float, str, str]] = []
    for level in plot.levels if direct else ():
        marks = [mark for mark in panel.marks if mark.level == level and not math.isnan(mark.value)]
        if marks:
            ends.append((place.scale(marks[-1].value), level, level))
    for reference in panel.references:
        known = [value for _, value in reference.values if not math.isnan(value)]
        if known and reference.name:
            ends.append((place.scale(known[-1]), reference.name, ""))
    parts: list[str] = []
    for y, name, level in _apart(ends, place.scale.end, place.scale.start):
        x = place.right + 6
        words = shortened(name, room - 16, NARROW)
        if level:
            parts.append(marker(plot.styles[level].marker, x + 3, y, 3.4, plot.styles[level].colour))
        colour = "var(--ink)" if level else "var(--soft)"
        parts.append(text(x + 10, y + 4, words, size=NARROW, colour=colour, full=name))
    return "".join(parts)


def _apart(ends: list[tuple[float, str, str]], top: float, base: float) -> list[tuple[float, str, str]]:
    """Labels in order down the page, at least a line apart, within the panel as far as they fit."""
    least = 13.5
    placed: list[tuple[float, str, str]] = []
    y = top - least
    for wanted, name, level in sorted(ends):
        y = max(wanted, y + least)
        placed.append((y, name, level))
    limit = base + 4
    for i in range(len(placed) - 1, -1, -1):
        y, name, level = placed[i]
        placed[i] = (min(y, limit), name, level)
        limit = placed[i][0] - least
    return placed
