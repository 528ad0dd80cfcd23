"""Draw interval plots, effect sizes in rows of a table, curves, scatter plots and heat maps as SVG.

Each public `draw_` function takes what it shows (`Plot`, `EffectSize`, `Scatter`, `HeatMaps`) and returns SVG of a
given width. The functions below it draw a part: the frame of a panel, a mark, a label.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from assay.report.drawing import (
    AXIS_SIZE,
    BOLD_SIZE,
    REFERENCE,
    AxisScale,
    ChartPanel,
    Drawing,
    EffectSize,
    EstimateMark,
    Plot,
    ReferenceLine,
    Style,
    axis_limits,
    axis_ticks,
    break_lines,
    dots,
    draw_interval,
    draw_legend,
    element,
    line,
    marker,
    panel_grid,
    polygon,
    polyline,
    short_names,
    shorten,
    text,
    text_width,
    tick_text,
    with_tooltip,
)
from assay.stats.format import number, with_interval

# Interval plots: a row per place, in it every level beneath the other in its color; panels side by side.

STRIP_GAP = 18.0
STRIP_LINE = 15.0
"""From one line of a title to the next."""
NO_VALUE = "no value"


@dataclass(frozen=True)
class _Box:
    """Position of one panel."""

    x: float
    y: float
    width: float
    height: float


def _room_above(plot: Plot, width: float) -> float:
    """Room above panels of a width: for the longest of their titles, and the names of references."""
    has_named_references = any(reference.name for panel in plot.panels for reference in panel.references)
    lines = max(len(_title_lines(panel, width)) for panel in plot.panels)
    title_height = 22.0 + STRIP_LINE * (lines - 1) if any(panel.title for panel in plot.panels) else 6.0
    return title_height + (14.0 if has_named_references else 0.0)


def _title_lines(panel: ChartPanel, width: float) -> list[str]:
    """Its lines; they end before the next panel begins."""
    return break_lines(panel.title, width + STRIP_GAP - 10, BOLD_SIZE)


def _draw_strip_frame(panel: ChartPanel, box: _Box, scale: AxisScale, header: float) -> str:
    base = box.y + box.height
    parts = [
        text(box.x, box.y - header + 13 + STRIP_LINE * i, words, weight="600", full=panel.title)
        for i, words in enumerate(_title_lines(panel, box.width))
    ]
    if panel.band:
        low, high = (scale(end) for end in panel.band)
        parts.append(element("rect", x=low, y=box.y, width=high - low, height=box.height, fill="var(--grid)"))
    for value in axis_ticks(scale.low, scale.high, min(8, max(3, int(box.width // 45)))):
        x, words = scale(value), tick_text(value)
        half = text_width(words, AXIS_SIZE) / 2 - 6  # at an edge a label stays clear of the next panel's
        at = min(max(x, box.x + half), box.x + box.width - half)
        parts += [
            line(x, box.y, x, base, "var(--grid)"),
            text(at, base + 14, words, size=AXIS_SIZE, anchor="middle", color="var(--soft)"),
        ]
    parts.append(line(box.x, base, box.x + box.width, base, "var(--line)"))
    for reference in panel.references:
        x = scale(reference.values[0][1])
        half = text_width(reference.name, 10.5) / 2
        at = min(max(x, box.x + half), box.x + box.width - half)
        parts += [
            line(x, box.y - 2, x, base, "var(--reference)"),
            text(at, box.y - 6, reference.name, size=10.5, anchor="middle", color="var(--soft)"),
        ]
    return "".join(parts)


ROW_STEP, ROW_ROOM = 8.0, 10.0
"""Pixels of a level in a row, and between two rows."""
MAX_LINES_BESIDE = 3
"""Lines of a row's name beside its marks; a name that needs more stands above them, as wide as the drawing."""


def draw_rows(plot: Plot, width: float) -> Drawing:
    """Draw the positions of a plot as rows, under a key of its levels; panels wrap where they would be too narrow.

    Names of rows are written out, on as many lines as they need.
    """
    shapes, top = draw_legend(plot.levels, plot.styles, width) if len(plot.levels) > 1 else ("", 0.0)
    label_width = min(max(map(text_width, plot.positions)) + 12, width * 0.4)
    names = [break_lines(position, label_width - 8, max_lines=len(position)) for position in plot.positions]
    names_above = max(map(len, names)) > MAX_LINES_BESIDE
    if names_above:
        names = [break_lines(position, width - 8, max_lines=len(position)) for position in plot.positions]
        label_width = 8.0
    names_height = STRIP_LINE * max(map(len, names))
    columns, grid_rows = panel_grid(len(plot.panels), width - label_width + STRIP_GAP, MIN_CURVE_PANEL + STRIP_GAP)
    panel_width = (width - label_width - 10 - STRIP_GAP * (columns - 1)) / columns
    marks_height = ROW_STEP * max(2, len(_levels_of_row(plot))) + ROW_ROOM
    header = _room_above(plot, panel_width)
    row_height = names_height + marks_height if names_above else max(names_height + 4, marks_height)
    height = row_height * len(plot.positions)
    body = [shapes]
    for r in range(grid_rows):
        y = top + r * (header + height + 34) + header
        for c, panel in enumerate(plot.panels[r * columns : (r + 1) * columns]):
            box = _Box(label_width + c * (panel_width + STRIP_GAP), y, panel_width, height)
            body.append(_draw_row_panel(plot, panel, box, row_height, names_height if names_above else 0.0))
        for i, (position, parts) in enumerate(zip(plot.positions, names, strict=True)):
            first = STRIP_LINE if names_above else row_height / 2 + 4 - STRIP_LINE * (len(parts) - 1) / 2
            body += [
                text(0, y + row_height * i + first + STRIP_LINE * n, words, full=position, halo=names_above)
                for n, words in enumerate(parts)
            ]
            body.append(line(0, y + row_height * i, width, y + row_height * i, "var(--grid)") if i else "")
    bottom = top + grid_rows * (header + height + 34)
    if not (title := plot.axis_title):
        return Drawing(width, bottom - 10, "".join(body))
    middle = label_width + (width - label_width - 10) / 2
    axis = break_lines(title, width - label_width, AXIS_SIZE)
    body += [
        text(middle, bottom + STRIP_LINE * n, words, size=AXIS_SIZE, anchor="middle", color="var(--soft)", full=title)
        for n, words in enumerate(axis)
    ]
    return Drawing(width, bottom + 6 + STRIP_LINE * (len(axis) - 1), "".join(body))


def _levels_of_row(plot: Plot) -> tuple[str, ...]:
    """Return the levels that share a row, one beneath the other; none where every row has one mark in its middle."""
    places = [(number, mark.position) for number, panel in enumerate(plot.panels) for mark in panel.marks]
    return plot.levels if len(set(places)) < len(places) else ()


def _draw_row_panel(plot: Plot, panel: ChartPanel, box: _Box, row_height: float, names_height: float) -> str:
    """Draw a panel of rows of a height, of which the names take so many pixels above the marks."""
    scale = AxisScale(*(panel.limits or plot.limits), box.x, box.x + box.width)
    parts = [_draw_strip_frame(panel, box, scale, _room_above(plot, box.width))]
    slots = {level: ROW_STEP * (at + 0.5) for at, level in enumerate(_levels_of_row(plot))}
    start = (row_height + names_height - ROW_STEP * len(slots)) / 2
    marks_by_position: dict[str, list[EstimateMark]] = {}
    for mark in (mark for mark in panel.marks if not math.isnan(mark.value)):
        marks_by_position.setdefault(mark.position, []).append(mark)
    for r, position in enumerate(plot.positions):
        top = box.y + row_height * r
        if position not in marks_by_position and position in panel.undefined:
            middle = top + (row_height + names_height) / 2 + 4
            parts.append(text(scale.start + 2, middle, NO_VALUE, size=AXIS_SIZE, color="var(--soft)", halo=True))
        for mark in marks_by_position.get(position, ()):
            parts.append(_draw_row_mark(plot, mark, scale, top + start + slots.get(mark.level, 0.0)))
    return "".join(parts)


def _draw_row_mark(plot: Plot, mark: EstimateMark, scale: AxisScale, y: float) -> str:
    style = plot.styles[mark.level]
    parts = [dots([(scale(value), y) for _, value in mark.seeds if not math.isnan(value)], style.color, 2.4)]
    if not math.isnan(mark.low):
        cut = (scale.excludes(mark.low), scale.excludes(mark.high))
        parts.append(draw_interval(scale(mark.low), scale(mark.high), y, style.color, 1.6, cut, is_horizontal=True))
    parts.append(marker(style.marker, scale(mark.value), y, 3.2, style.color))
    return with_tooltip(f"{mark.position}: {mark.text}" if plot.hover else "", "".join(parts))


# Sizes: an estimate with its interval in a row of a table.

SIZE_WIDTH, SIZE_HEIGHT, SIZE_EDGE = 148.0, 22.0, 9.0
"""Width and height in pixels, and how far the ends of the axis stand from the sides."""


@dataclass(frozen=True, slots=True)
class EffectSizeColumn:
    """A column of small intervals. axis: for its head; empty where measures need axes of their own."""

    axis: str
    charts: tuple[str, ...]


def draw_effect_sizes(sizes: Sequence[EffectSize | None]) -> EffectSizeColumn:
    """Draw each estimate beside no effect and its margin, those of one scale on one axis; empty text for None."""
    by_scale: dict[str, list[EffectSize]] = {}
    for size in filter(None, sizes):
        by_scale.setdefault(size.scale, []).append(size)
    scales: dict[str, AxisScale] = {}
    for name, of_scale in by_scale.items():
        points = [point for size in of_scale for point in (0.0, size.value, size.margin, -size.margin)]
        ends = [end for size in of_scale for end in (size.low, size.high)]
        scales[name] = AxisScale(*axis_limits(points, ends, (-math.inf, math.inf)), SIZE_EDGE, SIZE_WIDTH - SIZE_EDGE)
    axis = _size_axis(*scales.values()) if len(scales) == 1 else ""
    charts = ("" if size is None else _size_chart(size, scales[size.scale]) for size in sizes)
    return EffectSizeColumn(axis, tuple(charts))


def _size_axis(scale: AxisScale) -> str:
    room = text_width("-0.00", AXIS_SIZE)
    values = [value for value in axis_ticks(scale.low, scale.high, 4) if abs(scale(value) - scale(0.0)) > room]
    parts = [line(SIZE_EDGE, SIZE_HEIGHT - 1, SIZE_WIDTH - SIZE_EDGE, SIZE_HEIGHT - 1, "var(--reference)")]
    for value in (0.0, *values):
        x, words = scale(value), tick_text(value)
        half = text_width(words, AXIS_SIZE) / 2
        at = min(max(x, half), SIZE_WIDTH - half)
        parts += [
            line(x, SIZE_HEIGHT - 5, x, SIZE_HEIGHT, "var(--reference)"),
            text(at, SIZE_HEIGHT - 9, words, size=AXIS_SIZE, anchor="middle", color="var(--soft)"),
        ]
    return Drawing(SIZE_WIDTH, SIZE_HEIGHT, "".join(parts)).inline("axis of the sizes", "size")


def _size_chart(size: EffectSize, scale: AxisScale) -> str:
    width, height, color = SIZE_WIDTH, SIZE_HEIGHT, "var(--s0)"
    low, high = scale(-size.margin), scale(size.margin)
    parts = [element("rect", x=low, y=0, width=high - low, height=height, fill="var(--grid)")] if size.margin else []
    parts.append(line(scale(0.0), 0, scale(0.0), height, "var(--reference)"))
    if not math.isnan(size.low):
        cut = (scale.excludes(size.low), scale.excludes(size.high))
        parts.append(draw_interval(scale(size.low), scale(size.high), height / 2, color, 1.8, cut, is_horizontal=True))
    parts.append(marker("circle", scale(size.value), height / 2, 3.6, color))
    words = f"{size.unit} {with_interval(size.value, size.low, size.high)}"
    return Drawing(width, height, with_tooltip(words, "".join(parts))).inline(words, "size")


# Curves: a value along budgets, layers or doses, one curve per level, seeds as dots, means as ticks.
#
# Intervals are bars; along doses, which are numbers and stand at their place, they are bands.

MIN_CURVE_PANEL = 170.0
CURVE_HEIGHT = 160.0
CURVE_GAP = 40.0
CURVE_EDGE = 12.0
"""How far the first and the last of numbered positions stand from the panel's sides."""
MAX_LABELED_CURVES = 6
"""Up to so many curves are labeled where they end, if the last panel of a row has all of its row's; else in a key."""


@dataclass(frozen=True)
class _PanelScales:
    """A panel's scale down the page and where its positions stand across."""

    scale: AxisScale
    x_by_position: dict[str, float]
    left: float
    right: float
    level_spread: float


def draw_curves(plot: Plot, width: float) -> Drawing:
    """The plot at a width in pixels."""
    references = [reference.name for panel in plot.panels for reference in panel.references]
    labels_at_ends = (
        len(plot.levels) <= MAX_LABELED_CURVES
        and max(text_width(level, AXIS_SIZE) + 18 for level in plot.levels) <= width * 0.3
    )
    names = [*(plot.levels if labels_at_ends else ()), *references]
    label_room = min(max((text_width(name, AXIS_SIZE) for name in names), default=-18) + 18, width * 0.3)
    left = 34.0
    longest = max(text_width(name, AXIS_SIZE) for name in short_names(plot.positions))
    min_width = max(MIN_CURVE_PANEL, len(plot.positions) * (longest / 2 + 8))  # names may stand on two lines in turn
    columns, rows = panel_grid(len(plot.panels), width - left - label_room + CURVE_GAP, min_width + CURVE_GAP)
    panel_width = (width - left - label_room - CURVE_GAP * (columns - 1)) / columns
    labels_at_ends = labels_at_ends and _all_end_last(plot.panels, columns)
    shapes, top = ("", 0.0) if labels_at_ends else draw_legend(plot.levels, plot.styles, width)
    body = [shapes]
    for i, panel in enumerate(plot.panels):
        r, c = divmod(i, columns)
        x, y = left + c * (panel_width + CURVE_GAP), top + 24 + r * (CURVE_HEIGHT + 62)
        scales = _panel_scales(plot, panel, x, x + panel_width, y)
        last = c == columns - 1 or i == len(plot.panels) - 1
        body += [_draw_curve_frame(plot, panel, scales), _draw_marks(plot, panel, scales)]
        body.append(_draw_end_labels(plot, panel, scales, label_room if last else 0.0, labels_at_ends))
    bottom = top + 24 + rows * (CURVE_HEIGHT + 62)
    axis = break_lines(f"{plot.axis_title}, by {plot.position_name}", width)
    at = max(0.0, min(left, width - max(map(text_width, axis))))
    body += [text(at, bottom - 8 + STRIP_LINE * n, words, color="var(--soft)") for n, words in enumerate(axis)]
    return Drawing(width, bottom + STRIP_LINE * (len(axis) - 1), "".join(body))


def _all_end_last(panels: Sequence[ChartPanel], columns: int) -> bool:
    """Return whether every curve of a row of panels ends in its last one, where the names are written."""
    rows = [panels[start : start + columns] for start in range(0, len(panels), columns)]
    return all(_levels_drawn(panel) <= _levels_drawn(row[-1]) for row in rows for panel in row)


def _levels_drawn(panel: ChartPanel) -> set[str]:
    return {mark.level for mark in panel.marks if not math.isnan(mark.value)}


def _panel_scales(plot: Plot, panel: ChartPanel, left: float, right: float, top: float) -> _PanelScales:
    scale = AxisScale(*(panel.limits or plot.limits), top + CURVE_HEIGHT, top)
    if plot.is_numeric:
        numbers = [float(at) for at in plot.positions]
        along = AxisScale(min(numbers), max(numbers), left + CURVE_EDGE, right - CURVE_EDGE)
        across = {position: along(value) for position, value in zip(plot.positions, numbers, strict=True)}
        return _PanelScales(scale, across, left, right, 5.0 * len(plot.levels))
    step = (right - left) / len(plot.positions)
    across = {position: left + step * (i + 0.5) for i, position in enumerate(plot.positions)}
    spread = min(
        step * 0.66, 60.0, 9.0 * len(plot.levels)
    )  # no wider than telling them apart takes: a place is one value
    return _PanelScales(scale, across, left, right, spread)


def _draw_curve_frame(plot: Plot, panel: ChartPanel, scales: _PanelScales) -> str:
    top, base = scales.scale.end, scales.scale.start
    title = shorten(panel.title, scales.right - scales.left + CURVE_GAP - 10, BOLD_SIZE)
    parts = [text(scales.left, top - 10, title, weight="600", full=panel.title)]
    for value in axis_ticks(scales.scale.low, scales.scale.high, 6):
        y = scales.scale(value)
        parts += [
            line(scales.left, y, scales.right, y, "var(--grid)"),
            text(scales.left - 6, y + 4, tick_text(value), size=AXIS_SIZE, anchor="end", color="var(--soft)"),
        ]
    xs = list(scales.x_by_position.values())
    step = min((b - a for a, b in pairwise(xs)), default=scales.right - scales.left)
    names = short_names(plot.positions)
    tight = max(text_width(name, AXIS_SIZE) for name in names) + 4 > step
    for i, ((position, x), name) in enumerate(zip(scales.x_by_position.items(), names, strict=True)):
        words = shorten(name, step * (2 if tight else 1), AXIS_SIZE)
        y = base + (27 if tight and i % 2 else 15)
        parts.append(text(x, y, words, size=AXIS_SIZE, anchor="middle", color="var(--soft)", full=position))
    parts.append(line(scales.left, base, scales.right, base, "var(--line)"))
    return "".join(parts + [_draw_reference(reference, scales) for reference in panel.references])


def _draw_reference(reference: ReferenceLine, scales: _PanelScales) -> str:
    if reference.values[0][0] == "":
        y = scales.scale(reference.values[0][1])
        return line(scales.left, y, scales.right, y, "var(--reference)")
    defined = [(at, value) for at, value in reference.values if not math.isnan(value)]
    points = [(scales.x_by_position[at], scales.scale(value)) for at, value in defined]
    return polyline(points, "var(--reference)", dash=reference.dash)


def _draw_marks(plot: Plot, panel: ChartPanel, scales: _PanelScales) -> str:
    parts: list[str] = []
    for i, level in enumerate(plot.levels):
        shift = scales.level_spread * ((i + 0.5) / len(plot.levels) - 0.5)
        marks = [mark for mark in panel.marks if mark.level == level and not math.isnan(mark.value)]
        aside = 0.0 if plot.is_numeric else shift
        points = [(scales.x_by_position[mark.position] + aside, scales.scale(mark.value)) for mark in marks]
        if plot.is_numeric:
            parts.append(_draw_curve_band(marks, scales, plot.styles[level].color))
        parts.append(polyline(points, plot.styles[level].color, 1.8 if plot.is_numeric else 1.2))
        parts += [
            _draw_curve_mark(plot, mark, scales, x, shift - aside) for mark, (x, _) in zip(marks, points, strict=True)
        ]
    return "".join(parts)


def _draw_curve_band(marks: Sequence[EstimateMark], scales: _PanelScales, color: str) -> str:
    """The intervals of a curve as one shape."""
    with_interval = [mark for mark in marks if not math.isnan(mark.low)]
    edge = [(scales.x_by_position[mark.position], scales.scale(mark.high)) for mark in with_interval]
    edge += [(scales.x_by_position[mark.position], scales.scale(mark.low)) for mark in reversed(with_interval)]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in edge)
    return element("path", d=f"M{path}Z", fill=color, fill_opacity="0.16") if len(with_interval) > 1 else ""


def _draw_curve_mark(plot: Plot, mark: EstimateMark, scales: _PanelScales, x: float, seed_shift: float) -> str:
    """An estimate at a place across. Its seeds are moved aside to keep curves distinguishable."""
    style, scale = plot.styles[mark.level], scales.scale
    parts: list[str] = []
    if not math.isnan(mark.low) and not plot.is_numeric:
        cut = (scale.excludes(mark.low), scale.excludes(mark.high))
        parts.append(draw_interval(scale(mark.low), scale(mark.high), x, style.color, 1.4, cut, is_horizontal=False))
    seeds = [(x + seed_shift, scale(value)) for _, value in mark.seeds if not math.isnan(value)]
    parts.append(dots(seeds, style.color, 4.0))
    size = min(3.4, max(2.2, scales.level_spread / len(plot.levels) * 0.5))
    hover = f"{mark.position}: {mark.text}" if plot.hover else ""
    return with_tooltip(hover, "".join([*parts, marker(style.marker, x, scale(mark.value), size, style.color)]))


def _draw_end_labels(plot: Plot, panel: ChartPanel, scales: _PanelScales, room: float, labels_at_ends: bool) -> str:
    """Names at the right: of every curve at its last value, and of the references; moved apart where they touch."""
    if not room:
        return ""
    ends: list[tuple[float, str, str]] = []
    for level in plot.levels if labels_at_ends else ():
        marks = [mark for mark in panel.marks if mark.level == level and not math.isnan(mark.value)]
        if marks:
            ends.append((scales.scale(marks[-1].value), level, level))
    for reference in panel.references:
        defined = [value for _, value in reference.values if not math.isnan(value)]
        if defined and reference.name:
            ends.append((scales.scale(defined[-1]), reference.name, ""))
    parts: list[str] = []
    for y, name, level in _separate_labels(ends, scales.scale.end, scales.scale.start):
        x = scales.right + 6
        words = shorten(name, room - 16, AXIS_SIZE)
        if level:
            parts.append(marker(plot.styles[level].marker, x + 3, y, 3.4, plot.styles[level].color))
        color = "var(--ink)" if level else "var(--soft)"
        parts.append(text(x + 10, y + 4, words, size=AXIS_SIZE, color=color, full=name))
    return "".join(parts)


def _separate_labels(ends: list[tuple[float, str, str]], top: float, base: float) -> list[tuple[float, str, str]]:
    """Labels in order down the page, at least a line apart, within the panel as far as they fit."""
    line_height = 13.5
    placed: list[tuple[float, str, str]] = []
    y = top - line_height
    for wanted, name, level in sorted(ends):
        y = max(wanted, y + line_height)
        placed.append((y, name, level))
    limit = base + 4
    for i in range(len(placed) - 1, -1, -1):
        y, name, level = placed[i]
        placed[i] = (min(y, limit), name, level)
        limit = placed[i][0] - line_height
    return placed


# Two values against each other: a point per level with intervals both ways, or a line of points per level.

SCATTER_HEIGHT = 250.0
SCATTER_LEFT, SCATTER_RIGHT, SCATTER_FOOT = 44.0, 14.0, 44.0


@dataclass(frozen=True, slots=True)
class Point:
    """One level's two values, each (value, low, high); seeds: the pair of each seed. region: the outline of where both
    may lie, empty where it is not known.
    """

    level: str
    across: tuple[float, float, float]
    up: tuple[float, float, float]
    seeds: tuple[tuple[float, float], ...] = ()
    region: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Trace:
    """One level's line: (across, up) in order. band: corners of the area of its intervals."""

    level: str
    points: tuple[tuple[float, float], ...]
    band: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Scatter:
    """Points and lines over two named axes. has_root_scale: square roots across, where most values are near 0."""

    across: str
    up: str
    across_limits: tuple[float, float]
    up_limits: tuple[float, float]
    levels: tuple[str, ...]
    styles: dict[str, Style]
    points: tuple[Point, ...] = ()
    traces: tuple[Trace, ...] = ()
    has_root_scale: bool = False

    @property
    def axis_title(self) -> str:
        """Both axes in words."""
        return f"{self.up}, against {self.across}"

    def words(self) -> Iterator[str]:
        """Every mark as a sentence, for those who do not see the figure."""
        for point in self.points:
            yield f"{point.level}: {with_interval(*point.across)} across, {with_interval(*point.up)} up."
        for trace in self.traces:
            points_text = "; ".join(f"{number(x)}, {number(y)}" for x, y in trace.points)
            yield f"{trace.level}: {points_text}."


def draw_scatter(scatter: Scatter, width: float) -> Drawing:
    """The scatter plot at a width in pixels, under a key of its levels."""
    shapes, top = draw_legend(scatter.levels, scatter.styles, width)
    title = break_lines(scatter.up, width, AXIS_SIZE, max_lines=2)
    top += STRIP_LINE * (len(title) - 1)
    x = _AcrossScale(scatter, AxisScale(*_axis_limits(scatter), SCATTER_LEFT, width - SCATTER_RIGHT))
    y = AxisScale(*scatter.up_limits, top + SCATTER_HEIGHT, top + 20)
    body = [shapes, _draw_scatter_frame(scatter, x, y, width)]
    body += [
        text(0, y.end - 8 - STRIP_LINE * n, words, size=AXIS_SIZE, color="var(--soft)")
        for n, words in enumerate(reversed(title))
    ]
    body += [
        polygon([(x(across), y(up)) for across, up in point.region], scatter.styles[point.level].color, 0.1)
        for point in scatter.points
        if point.region
    ]
    body += [_draw_line(trace, scatter.styles[trace.level], x, y) for trace in scatter.traces]
    body += [_draw_point(point, scatter.styles[point.level], x, y) for point in scatter.points]
    return Drawing(width, top + SCATTER_HEIGHT + SCATTER_FOOT, "".join(body))


@dataclass(frozen=True, slots=True)
class _AcrossScale:
    """The scale across, of square roots where the scatter plot has them."""

    scatter: Scatter
    scale: AxisScale

    def __call__(self, value: float) -> float:
        return self.scale(math.sqrt(max(value, 0.0)) if self.scatter.has_root_scale else value)

    def excludes(self, value: float) -> bool:
        """Return whether a value is outside of the drawing."""
        low, high = self.scatter.across_limits
        return value < low or value > high


def _axis_limits(scatter: Scatter) -> tuple[float, float]:
    low, high = scatter.across_limits
    return (math.sqrt(max(low, 0.0)), math.sqrt(max(high, 0.0))) if scatter.has_root_scale else (low, high)


def _draw_scatter_frame(scatter: Scatter, x: _AcrossScale, y: AxisScale, width: float) -> str:
    parts: list[str] = []
    for value in axis_ticks(*scatter.up_limits, 6):
        parts += [
            line(SCATTER_LEFT, y(value), width - SCATTER_RIGHT, y(value), "var(--grid)"),
            text(SCATTER_LEFT - 6, y(value) + 4, tick_text(value), size=AXIS_SIZE, anchor="end", color="var(--soft)"),
        ]
    for value in axis_ticks(*scatter.across_limits, max(3, int(width // 110))):
        parts += [
            line(x(value), y.end, x(value), y.start, "var(--grid)"),
            text(x(value), y.start + 15, tick_text(value), size=AXIS_SIZE, anchor="middle", color="var(--soft)"),
        ]
    right = width - SCATTER_RIGHT
    parts.append(line(SCATTER_LEFT, y.start, right, y.start, "var(--line)"))
    parts.append(text(right, y.start + 32, scatter.across, size=AXIS_SIZE, anchor="end", color="var(--soft)"))
    return "".join(parts)


def _draw_line(trace: Trace, style: Style, x: _AcrossScale, y: AxisScale) -> str:
    points = [(x(a), y(b)) for a, b in trace.points]
    ends = "".join(marker(style.marker, *points[i], 3.4, style.color) for i in (0, -1)) if points else ""
    ends = "" if style == REFERENCE else ends
    band = polygon([(x(a), y(b)) for a, b in trace.band], style.color, 0.12) if trace.band else ""
    return with_tooltip(trace.level, band + polyline(points, style.color, 1.8) + ends)


def _draw_point(point: Point, style: Style, x: _AcrossScale, y: AxisScale) -> str:
    (across, low, high), (up, bottom, top) = point.across, point.up
    if math.isnan(across) or math.isnan(up):
        return ""
    parts = [dots([(x(a), y(b)) for a, b in point.seeds], style.color, 4.0)]
    if not math.isnan(low):
        cut = (x.excludes(low), x.excludes(high))
        parts.append(draw_interval(x(low), x(high), y(up), style.color, 1.4, cut, is_horizontal=True))
    if not math.isnan(bottom):
        cut = (y.excludes(bottom), y.excludes(top))
        parts.append(draw_interval(y(bottom), y(top), x(across), style.color, 1.4, cut, is_horizontal=False))
    parts.append(marker(style.marker, x(across), y(up), 5.0, style.color))
    return with_tooltip(f"{point.level}: {with_interval(*point.across)}; {with_interval(*point.up)}", "".join(parts))


# Heat maps of small multiples: a rate over threshold and minimum area, a map per level, darker where it is higher.

CELL_SIZE = 18.0
MIN_HEAT_MAP_WIDTH = 150.0
MAP_GAP = 26.0
MAP_LEFT, MAP_TOP, MAP_LINE, MAP_FOOT = 60.0, 26.0, 14.0, 34.0
MAX_NUMBERED_CELLS = 100
"""Maps of so many cells bear no numbers: they would touch."""


@dataclass(frozen=True)
class HeatMaps:
    """level -> (row, column) -> value up to 1, shaded from 0 on. rows: from the top; columns: from the left."""

    values: Mapping[str, Mapping[tuple[str, str], float]]
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    row_name: str
    column_name: str
    measure: str

    @property
    def axis_title(self) -> str:
        """The quantities that are shown, one over the other."""
        return f"{self.measure}, over {self.column_name} (across) and {self.row_name} (down)"

    def words(self) -> Iterator[str]:
        """Every map as a sentence, for those who do not see the figure."""
        for level, cells in self.values.items():
            cells_text = "; ".join(f"{row}, {column}: {number(value)}" for (row, column), value in cells.items())
            yield f"{level}: {cells_text}."


def draw_heat_maps(heat_maps: HeatMaps, width: float) -> Drawing:
    """The maps at a width in pixels."""
    columns, rows = panel_grid(len(heat_maps.values), width, MIN_HEAT_MAP_WIDTH + MAP_LEFT + MAP_GAP)
    map_width = (width - MAP_GAP * (columns - 1)) / columns
    titles = {level: break_lines(level, map_width, BOLD_SIZE, max_lines=2) for level in heat_maps.values}
    extra = MAP_LINE * (max(map(len, titles.values()), default=1) - 1)
    height = MAP_TOP + extra + CELL_SIZE * len(heat_maps.rows) + MAP_FOOT
    body: list[str] = []
    for i, (level, title) in enumerate(titles.items()):
        left, top = (map_width + MAP_GAP) * (i % columns), height * (i // columns)
        body += [
            text(left, top + 13 + MAP_LINE * place, words, weight="600", full=level)
            for place, words in enumerate(title)
        ]
        body.append(_draw_heat_map(heat_maps, level, left, top + extra, map_width))
    return Drawing(width, height * rows, "".join(body))


def _draw_heat_map(heat_maps: HeatMaps, level: str, left: float, top: float, width: float) -> str:
    cell_width = (width - MAP_LEFT) / len(heat_maps.columns)
    numbered = len(heat_maps.rows) * len(heat_maps.columns) < MAX_NUMBERED_CELLS
    parts: list[str] = []
    for r, row in enumerate(heat_maps.rows):
        y = top + MAP_TOP + CELL_SIZE * r
        name = shorten(row, MAP_LEFT, AXIS_SIZE)
        parts.append(
            text(left + MAP_LEFT - 5, y + 13, name, size=AXIS_SIZE, anchor="end", color="var(--soft)", full=row)
        )
        for c, column in enumerate(heat_maps.columns):
            value = heat_maps.values[level].get((row, column), math.nan)
            x, where = left + MAP_LEFT + cell_width * c, f"{level}, {row}, {column}"
            parts.append(_draw_cell(x, y, cell_width, value, where, numbered))
    base = top + MAP_TOP + CELL_SIZE * len(heat_maps.rows)
    for c, column in enumerate(heat_maps.columns):
        x = left + MAP_LEFT + cell_width * (c + 0.5)
        name = shorten(column, cell_width, AXIS_SIZE)
        parts.append(text(x, base + 13, name, size=AXIS_SIZE, anchor="middle", color="var(--soft)", full=column))
    return "".join(parts)


def _draw_cell(x: float, y: float, width: float, value: float, where: str, numbered: bool) -> str:
    """A cell with its number, on a ground that is darker where the value is higher."""
    if math.isnan(value):
        return ""
    shade = f"{0.45 * max(0.0, value):.3f}"
    ground = element("rect", x=x, y=y, width=width - 1, height=CELL_SIZE - 1, fill="var(--s0)", fill_opacity=shade)
    words = text(x + width / 2, y + 13, number(value), size=AXIS_SIZE, anchor="middle") if numbered else ""
    return with_tooltip(f"{where}: {number(value, 3)}", ground + words)
