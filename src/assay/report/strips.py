"""Strips: one row per level, its seeds as dots beneath its interval, the mean as a tick; panels side by side."""

from __future__ import annotations

import math
from dataclasses import dataclass

from assay.report.axes import Scale, tick_text, ticks
from assay.report.marks import Mark, Panel, Plot, bar, group, panel_grid, seed_words
from assay.report.svg import BOLD, NARROW, Drawing, breadth, dots, element, line, lines_of, marker, shortened, text

LEAST_PANEL = 104.0
GAP = 18.0
LINE = 15.0
"""From one line of a title to the next."""
MANY = 16
"""More levels than this get rows half as high, and seeds as plain dots that say nothing on hovering."""
MISSING = "no value"


@dataclass(frozen=True)
class _Box:
    """Where one panel lies."""

    x: float
    y: float
    width: float
    height: float


def draw_strips(plot: Plot, width: float) -> Drawing:
    """The plot at a width in pixels; panels wrap to further lines where they would be too narrow."""
    row = 27.0 if len(plot.levels) <= 8 else 21.0 if len(plot.levels) <= MANY else 16.0
    label = min(max(breadth(level) for level in plot.levels) + 22, width * 0.34)
    least = max(LEAST_PANEL, *(min(breadth(panel.title, BOLD), 170.0) for panel in plot.panels))
    columns, rows = panel_grid(len(plot.panels), width - label + GAP, least + GAP)
    each = (width - label - 10 - GAP * (columns - 1)) / columns
    head = _head(plot, each)
    height = row * len(plot.levels)
    body: list[str] = []
    for r in range(rows):
        top = r * (head + height + 34)
        body.append(_labels(plot, label, top + head, row))
        for c, panel in enumerate(plot.panels[r * columns : (r + 1) * columns]):
            body.append(_panel(plot, panel, _Box(label + c * (each + GAP), top + head, each, height), row))
    bottom = rows * (head + height + 34)
    axis = lines_of(plot.axis, width, most=2)
    left = max(0.0, min(label, width - max(map(breadth, axis))))
    body += [text(left, bottom + 6 + 15 * i, words, colour="var(--soft)", full=plot.axis)
             for i, words in enumerate(axis)]  # fmt: skip
    return Drawing(width, bottom + 15 * len(axis), "".join(body))


def _head(plot: Plot, width: float) -> float:
    """Room above panels of a width: for the longest of their titles, and the names of references."""
    named = any(reference.name for panel in plot.panels for reference in panel.references)
    lines = max(len(_title(panel, width)) for panel in plot.panels)
    return 22.0 + LINE * (lines - 1) + (14.0 if named else 0.0)


def _title(panel: Panel, width: float) -> list[str]:
    """Its lines; they end before the next panel begins."""
    return lines_of(panel.title, width + GAP - 10, BOLD)


def _labels(plot: Plot, width: float, top: float, row: float) -> str:
    found: list[str] = []
    for i, level in enumerate(plot.levels):
        y, style = top + row * (i + 0.5), plot.styles[level]
        words = shortened(level, width - 22)
        found += [marker(style.marker, 6, y, 4.2, style.colour), text(16, y + 4, words, full=level)]
    return "".join(found)


def _panel(plot: Plot, panel: Panel, box: _Box, row: float) -> str:
    scale = Scale(*(panel.limits or plot.limits), box.x, box.x + box.width)
    parts = [_frame(panel, box, scale, _head(plot, box.width))]
    by_level = {mark.level: mark for mark in panel.marks}
    for i, level in enumerate(plot.levels):
        y = box.y + row * (i + 0.5)
        parts.append(_mark(plot, by_level.get(level, Mark(level, math.nan, reason=MISSING)), scale, y, row))
    return "".join(parts)


def _frame(panel: Panel, box: _Box, scale: Scale, head: float) -> str:
    base = box.y + box.height
    parts = [
        text(box.x, box.y - head + 13 + LINE * i, words, weight="600", full=panel.title)
        for i, words in enumerate(_title(panel, box.width))
    ]
    if panel.band:
        low, high = (scale(end) for end in panel.band)
        parts.append(element("rect", x=low, y=box.y, width=high - low, height=box.height, fill="var(--grid)"))
    for value in ticks(scale.low, scale.high, min(7, max(3, int(box.width // 27)))):
        x = scale(value)
        parts += [
            line(x, box.y, x, base, "var(--grid)"),
            text(x, base + 14, tick_text(value), size=NARROW, anchor="middle", colour="var(--soft)"),
        ]
    parts.append(line(box.x, base, box.x + box.width, base, "var(--line)"))
    for reference in panel.references:
        x = scale(reference.values[0][1])
        half = breadth(reference.name, 10.5) / 2
        at = min(max(x, box.x + half), box.x + box.width - half)
        parts += [
            line(x, box.y - 2, x, base, "var(--reference)"),
            text(at, box.y - 6, reference.name, size=10.5, anchor="middle", colour="var(--soft)"),
        ]
    return "".join(parts)


def _mark(plot: Plot, mark: Mark, scale: Scale, y: float, row: float) -> str:
    style = plot.styles[mark.level]
    if math.isnan(mark.value):
        words = MISSING if mark.reason == MISSING else "undefined"
        return text(scale.start + 2, y + 4, words, size=NARROW, colour="var(--soft)", full=mark.said, halo=True)
    above, below, radius = (-4.5, 5.5, 2.7) if row > 20 else (-3.0, 4.0, 2.2)
    parts: list[str] = []
    if not math.isnan(mark.low):
        cut = (scale.beyond(mark.low), scale.beyond(mark.high))
        high = scale(min(mark.high, mark.known_to))
        parts.append(bar(scale(mark.low), high, y + above, style.colour, 2.0, cut, flat=True))
    seeds = [(seed, value) for seed, value in mark.seeds if not math.isnan(value)]
    if len(plot.levels) > MANY:
        parts.append(dots([(scale(value), y + below) for _, value in seeds], style.colour, 4.0))
    for seed, value in seeds if len(plot.levels) <= MANY else ():
        said = seed_words(mark.level, seed, value) if plot.hover else ""
        parts.append(marker(style.marker, scale(value), y + below, radius, style.colour, said, 0.6))
    x = scale(min(mark.value, mark.known_to))
    if scale.beyond(mark.value):  # censored: the bar's arrow, or words where even that lies beyond
        at, anchor = (x, "end") if math.isinf(mark.known_to) else (x + 3, "start")
        beyond = text(at, y + 4, mark.text, size=NARROW, anchor=anchor, colour="var(--soft)", halo=True)
        return group(mark.said if plot.hover else "", "".join([*parts, *([] if any(parts) else [beyond])]))
    tick = line(x, y + above - 5, x, y + above + 5, style.colour, 3.0)
    return group(mark.said if plot.hover else "", "".join([*parts, tick]))
