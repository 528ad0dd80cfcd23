"""Charts: interval plots, curves, scatter plots and heat maps."""

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
    named = any(reference.name for panel in plot.panels for reference in panel.references)
    lines = max(len(_title_lines(panel, width)) for panel in plot.panels)
    titled = 22.0 + STRIP_LINE * (lines - 1) if any(panel.title for panel in plot.panels) else 6.0
    return titled + (14.0 if named else 0.0)


def _title_lines(panel: ChartPanel, width: float) -> list[str]:
    """Its lines; they end before the next panel begins."""
    return break_lines(panel.title, width + STRIP_GAP - 10, BOLD_SIZE)


def _draw_strip_frame(panel: ChartPanel, box: _Box, scale: AxisScale, head: float) -> str:
    base = box.y + box.height
    parts = [
        text(box.x, box.y - head + 13 + STRIP_LINE * i, words, weight="600", full=panel.title)
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
    label = min(max(map(text_width, plot.positions)) + 12, width * 0.4)
    names = [break_lines(position, label - 8, max_lines=len(position)) for position in plot.positions]
    above = max(map(len, names)) > MAX_LINES_BESIDE
    if above:
        label, names = 8.0, [break_lines(position, width - 8, max_lines=len(position)) for position in plot.positions]
    named = STRIP_LINE * max(map(len, names))
    columns, lines = panel_grid(len(plot.panels), width - label + STRIP_GAP, MIN_CURVE_PANEL + STRIP_GAP)
    each = (width - label - 10 - STRIP_GAP * (columns - 1)) / columns
    marks = ROW_STEP * max(2, len(_levels_of_row(plot))) + ROW_ROOM
    head, row = _room_above(plot, each), named + marks if above else max(named + 4, marks)
    height = row * len(plot.positions)
    body = [shapes]
    for r in range(lines):
        y = top + r * (head + height + 34) + head
        for c, panel in enumerate(plot.panels[r * columns : (r + 1) * columns]):
            box = _Box(label + c * (each + STRIP_GAP), y, each, height)
            body.append(_draw_row_panel(plot, panel, box, row, named if above else 0.0))
        for i, (position, parts) in enumerate(zip(plot.positions, names, strict=True)):
            first = STRIP_LINE if above else row / 2 + 4 - STRIP_LINE * (len(parts) - 1) / 2
            body += [
                text(0, y + row * i + first + STRIP_LINE * n, words, full=position, halo=above)
                for n, words in enumerate(parts)
            ]
            body.append(line(0, y + row * i, width, y + row * i, "var(--grid)") if i else "")
    bottom = top + lines * (head + height + 34)
    if not plot.axis:
        return Drawing(width, bottom - 10, "".join(body))
    middle = label + (width - label - 10) / 2
    axis = break_lines(plot.axis, width - label, AXIS_SIZE)
    body += [
        text(
            middle, bottom + STRIP_LINE * n, words, size=AXIS_SIZE, anchor="middle", color="var(--soft)", full=plot.axis
        )
        for n, words in enumerate(axis)
    ]
    return Drawing(width, bottom + 6 + STRIP_LINE * (len(axis) - 1), "".join(body))


def _levels_of_row(plot: Plot) -> tuple[str, ...]:
    """Return the levels that share a row, one beneath the other; none where every row has one mark in its middle."""
    places = [(number, mark.position) for number, panel in enumerate(plot.panels) for mark in panel.marks]
    return plot.levels if len(set(places)) < len(places) else ()


def _draw_row_panel(plot: Plot, panel: ChartPanel, box: _Box, row: float, above: float) -> str:
    """Draw a panel of rows of a height, of which the names take so many pixels above the marks."""
    scale = AxisScale(*(panel.limits or plot.limits), box.x, box.x + box.width)
    parts = [_draw_strip_frame(panel, box, scale, _room_above(plot, box.width))]
    slots = _levels_of_row(plot)
    start = (row + above - ROW_STEP * len(slots)) / 2
    for r, position in enumerate(plot.positions):
        marks = [mark for mark in panel.marks if mark.position == position and not math.isnan(mark.value)]
        top = box.y + row * r
        if not marks and position in panel.undefined:
            middle = top + (row + above) / 2 + 4
            parts.append(text(scale.start + 2, middle, NO_VALUE, size=AXIS_SIZE, color="var(--soft)", halo=True))
        for mark in marks:
            y = top + start + (ROW_STEP * (slots.index(mark.level) + 0.5) if slots else 0.0)
            parts.append(_draw_row_mark(plot, mark, scale, y))
    return "".join(parts)


def _draw_row_mark(plot: Plot, mark: EstimateMark, scale: AxisScale, y: float) -> str:
    style = plot.styles[mark.level]
    parts = [dots([(scale(value), y) for _, value in mark.seeds if not math.isnan(value)], style.color, 2.4)]
    if not math.isnan(mark.low):
        cut = (scale.beyond(mark.low), scale.beyond(mark.high))
        parts.append(draw_interval(scale(mark.low), scale(mark.high), y, style.color, 1.6, cut, is_horizontal=True))
    parts.append(marker(style.marker, scale(mark.value), y, 3.2, style.color))
    return with_tooltip(f"{mark.position}: {mark.text}" if plot.hover else "", "".join(parts))


# Sizes: an estimate with its interval in a row of a table.

SIZE_WIDTH, SIZE_HEIGHT, SIZE_EDGE = 148.0, 22.0, 9.0
"""Width and height in pixels, and how far the ends of the axis stand from the sides."""


@dataclass(frozen=True, slots=True)
class SizeColumn:
    """A column of small intervals. axis: for its head; empty where measures need axes of their own."""

    axis: str
    charts: tuple[str, ...]


def draw_sizes(sizes: Sequence[EffectSize | None]) -> SizeColumn:
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
    return SizeColumn(axis, tuple("" if size is None else _size_chart(size, scales[size.scale]) for size in sizes))


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
    parts = (
        [
            element(
                "rect",
                x=scale(-size.margin),
                y=0,
                width=scale(size.margin) - scale(-size.margin),
                height=height,
                fill="var(--grid)",
            )
        ]
        if size.margin
        else []
    )
    parts.append(line(scale(0.0), 0, scale(0.0), height, "var(--reference)"))
    if not math.isnan(size.low):
        cut = (scale.beyond(size.low), scale.beyond(size.high))
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
EDGE = 12.0
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
    direct = (
        len(plot.levels) <= MAX_LABELED_CURVES
        and max(text_width(level, AXIS_SIZE) + 18 for level in plot.levels) <= width * 0.3
    )
    names = [*(plot.levels if direct else ()), *references]
    room = min(max((text_width(name, AXIS_SIZE) for name in names), default=-18) + 18, width * 0.3)
    left = 34.0
    longest = max(text_width(name, AXIS_SIZE) for name in short_names(plot.positions))
    least = max(MIN_CURVE_PANEL, len(plot.positions) * (longest / 2 + 8))  # names may stand on two lines in turn
    columns, rows = panel_grid(len(plot.panels), width - left - room + CURVE_GAP, least + CURVE_GAP)
    each = (width - left - room - CURVE_GAP * (columns - 1)) / columns
    direct = direct and _all_end_last(plot.panels, columns)
    shapes, top = ("", 0.0) if direct else draw_legend(plot.levels, plot.styles, width)
    body = [shapes]
    for i, panel in enumerate(plot.panels):
        r, c = divmod(i, columns)
        x, y = left + c * (each + CURVE_GAP), top + 24 + r * (CURVE_HEIGHT + 62)
        place = _panel_scales(plot, panel, x, x + each, y)
        last = c == columns - 1 or i == len(plot.panels) - 1
        body += [_draw_curve_frame(plot, panel, place), _draw_marks(plot, panel, place)]
        body.append(_draw_end_labels(plot, panel, place, room if last else 0.0, direct))
    bottom = top + 24 + rows * (CURVE_HEIGHT + 62)
    axis = break_lines(f"{plot.axis}, by {plot.position_name}", width)
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
    if plot.scaled:
        numbers = [float(at) for at in plot.positions]
        along = AxisScale(min(numbers), max(numbers), left + EDGE, right - EDGE)
        across = {position: along(value) for position, value in zip(plot.positions, numbers, strict=True)}
        return _PanelScales(scale, across, left, right, 5.0 * len(plot.levels))
    step = (right - left) / len(plot.positions)
    across = {position: left + step * (i + 0.5) for i, position in enumerate(plot.positions)}
    spread = min(
        step * 0.66, 60.0, 9.0 * len(plot.levels)
    )  # no wider than telling them apart takes: a place is one value
    return _PanelScales(scale, across, left, right, spread)


def _draw_curve_frame(plot: Plot, panel: ChartPanel, place: _PanelScales) -> str:
    top, base = place.scale.end, place.scale.start
    title = shorten(panel.title, place.right - place.left + CURVE_GAP - 10, BOLD_SIZE)
    parts = [text(place.left, top - 10, title, weight="600", full=panel.title)]
    for value in axis_ticks(place.scale.low, place.scale.high, 6):
        y = place.scale(value)
        parts += [
            line(place.left, y, place.right, y, "var(--grid)"),
            text(place.left - 6, y + 4, tick_text(value), size=AXIS_SIZE, anchor="end", color="var(--soft)"),
        ]
    stands = list(place.x_by_position.values())
    step = min((b - a for a, b in pairwise(stands)), default=place.right - place.left)
    names = short_names(plot.positions)
    tight = max(text_width(name, AXIS_SIZE) for name in names) + 4 > step
    for i, ((position, x), name) in enumerate(zip(place.x_by_position.items(), names, strict=True)):
        words = shorten(name, step * (2 if tight else 1), AXIS_SIZE)
        y = base + (27 if tight and i % 2 else 15)
        parts.append(text(x, y, words, size=AXIS_SIZE, anchor="middle", color="var(--soft)", full=position))
    parts.append(line(place.left, base, place.right, base, "var(--line)"))
    return "".join(parts + [_draw_reference(reference, place) for reference in panel.references])


def _draw_reference(reference: ReferenceLine, place: _PanelScales) -> str:
    if reference.values[0][0] == "":
        y = place.scale(reference.values[0][1])
        return line(place.left, y, place.right, y, "var(--reference)")
    points = [(place.x_by_position[at], place.scale(value)) for at, value in reference.values if not math.isnan(value)]
    return polyline(points, "var(--reference)", dash=reference.dash)


def _draw_marks(plot: Plot, panel: ChartPanel, place: _PanelScales) -> str:
    parts: list[str] = []
    for i, level in enumerate(plot.levels):
        shift = place.level_spread * ((i + 0.5) / len(plot.levels) - 0.5)
        marks = [mark for mark in panel.marks if mark.level == level and not math.isnan(mark.value)]
        aside = 0.0 if plot.scaled else shift
        points = [(place.x_by_position[mark.position] + aside, place.scale(mark.value)) for mark in marks]
        if plot.scaled:
            parts.append(_draw_curve_band(marks, place, plot.styles[level].color))
        parts.append(polyline(points, plot.styles[level].color, 1.8 if plot.scaled else 1.2))
        parts += [
            _draw_curve_mark(plot, mark, place, x, shift - aside) for mark, (x, _) in zip(marks, points, strict=True)
        ]
    return "".join(parts)


def _draw_curve_band(marks: Sequence[EstimateMark], place: _PanelScales, color: str) -> str:
    """The intervals of a curve as one shape."""
    with_interval = [mark for mark in marks if not math.isnan(mark.low)]
    edge = [(place.x_by_position[mark.position], place.scale(mark.high)) for mark in with_interval]
    edge += [(place.x_by_position[mark.position], place.scale(mark.low)) for mark in reversed(with_interval)]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in edge)
    return element("path", d=f"M{path}Z", fill=color, fill_opacity="0.16") if len(with_interval) > 1 else ""


def _draw_curve_mark(plot: Plot, mark: EstimateMark, place: _PanelScales, x: float, aside: float) -> str:
    """An estimate at a place across. Its seeds are moved aside to keep curves distinguishable."""
    style, scale = plot.styles[mark.level], place.scale
    parts: list[str] = []
    if not math.isnan(mark.low) and not plot.scaled:
        cut = (scale.beyond(mark.low), scale.beyond(mark.high))
        parts.append(draw_interval(scale(mark.low), scale(mark.high), x, style.color, 1.4, cut, is_horizontal=False))
    seeds = [(x + aside, scale(value)) for _, value in mark.seeds if not math.isnan(value)]
    parts.append(dots(seeds, style.color, 4.0))
    size = min(3.4, max(2.2, place.level_spread / len(plot.levels) * 0.5))
    hover = f"{mark.position}: {mark.text}" if plot.hover else ""
    return with_tooltip(hover, "".join([*parts, marker(style.marker, x, scale(mark.value), size, style.color)]))


def _draw_end_labels(plot: Plot, panel: ChartPanel, place: _PanelScales, room: float, direct: bool) -> str:
    """Names at the right: of every curve at its last value, and of the references; moved apart where they touch."""
    if not room:
        return ""
    ends: list[tuple[float, str, str]] = []
    for level in plot.levels if direct else ():
        marks = [mark for mark in panel.marks if mark.level == level and not math.isnan(mark.value)]
        if marks:
            ends.append((place.scale(marks[-1].value), level, level))
    for reference in panel.references:
        defined = [value for _, value in reference.values if not math.isnan(value)]
        if defined and reference.name:
            ends.append((place.scale(defined[-1]), reference.name, ""))
    parts: list[str] = []
    for y, name, level in _separate_labels(ends, place.scale.end, place.scale.start):
        x = place.right + 6
        words = shorten(name, room - 16, AXIS_SIZE)
        if level:
            parts.append(marker(plot.styles[level].marker, x + 3, y, 3.4, plot.styles[level].color))
        color = "var(--ink)" if level else "var(--soft)"
        parts.append(text(x + 10, y + 4, words, size=AXIS_SIZE, color=color, full=name))
    return "".join(parts)


def _separate_labels(ends: list[tuple[float, str, str]], top: float, base: float) -> list[tuple[float, str, str]]:
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


# Two values against each other: a point per level with intervals both ways, or a line of points per level.

FIELD_HEIGHT = 250.0
FIELD_LEFT, RIGHT, FIELD_FOOT = 44.0, 14.0, 44.0


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
class Line:
    """One level's line: (across, up) in order. band: corners of the area of its intervals."""

    level: str
    points: tuple[tuple[float, float], ...]
    band: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Scatter:
    """Spots and traces over two named axes. square: a scale of square roots across, where most values are near 0."""

    across: str
    up: str
    across_limits: tuple[float, float]
    up_limits: tuple[float, float]
    levels: tuple[str, ...]
    styles: dict[str, Style]
    spots: tuple[Point, ...] = ()
    traces: tuple[Line, ...] = ()
    has_root_scale: bool = False

    @property
    def axis(self) -> str:
        """Both axes in words."""
        return f"{self.up}, against {self.across}"

    def words(self) -> Iterator[str]:
        """Every mark as a sentence, for those who do not see the figure."""
        for spot in self.spots:
            yield f"{spot.level}: {with_interval(*spot.across)} across, {with_interval(*spot.up)} up."
        for trace in self.traces:
            points_text = "; ".join(f"{number(x)}, {number(y)}" for x, y in trace.points)
            yield f"{trace.level}: {points_text}."


def draw_scatter(field: Scatter, width: float) -> Drawing:
    """The field at a width in pixels, under a key of its levels."""
    shapes, top = draw_legend(field.levels, field.styles, width)
    title = break_lines(field.up, width, AXIS_SIZE, max_lines=2)
    top += STRIP_LINE * (len(title) - 1)
    x = _AcrossScale(field, AxisScale(*_axis_limits(field), FIELD_LEFT, width - RIGHT))
    y = AxisScale(*field.up_limits, top + FIELD_HEIGHT, top + 20)
    body = [shapes, _draw_scatter_frame(field, x, y, width)]
    body += [
        text(0, y.end - 8 - STRIP_LINE * n, words, size=AXIS_SIZE, color="var(--soft)")
        for n, words in enumerate(reversed(title))
    ]
    body += [
        polygon([(x(across), y(up)) for across, up in spot.region], field.styles[spot.level].color, 0.1)
        for spot in field.spots
        if spot.region
    ]
    body += [_draw_line(trace, field.styles[trace.level], x, y) for trace in field.traces]
    body += [_draw_spot(spot, field.styles[spot.level], x, y) for spot in field.spots]
    return Drawing(width, top + FIELD_HEIGHT + FIELD_FOOT, "".join(body))


@dataclass(frozen=True, slots=True)
class _AcrossScale:
    """The scale across, of square roots where the field asks for it."""

    field: Scatter
    scale: AxisScale

    def __call__(self, value: float) -> float:
        return self.scale(math.sqrt(max(value, 0.0)) if self.field.has_root_scale else value)

    def beyond(self, value: float) -> bool:
        """Return whether a value is outside of the drawing."""
        low, high = self.field.across_limits
        return value < low or value > high


def _axis_limits(field: Scatter) -> tuple[float, float]:
    low, high = field.across_limits
    return (math.sqrt(max(low, 0.0)), math.sqrt(max(high, 0.0))) if field.has_root_scale else (low, high)


def _draw_scatter_frame(field: Scatter, x: _AcrossScale, y: AxisScale, width: float) -> str:
    parts: list[str] = []
    for value in axis_ticks(*field.up_limits, 6):
        parts += [
            line(FIELD_LEFT, y(value), width - RIGHT, y(value), "var(--grid)"),
            text(FIELD_LEFT - 6, y(value) + 4, tick_text(value), size=AXIS_SIZE, anchor="end", color="var(--soft)"),
        ]
    for value in axis_ticks(*field.across_limits, max(3, int(width // 110))):
        parts += [
            line(x(value), y.end, x(value), y.start, "var(--grid)"),
            text(x(value), y.start + 15, tick_text(value), size=AXIS_SIZE, anchor="middle", color="var(--soft)"),
        ]
    parts.append(line(FIELD_LEFT, y.start, width - RIGHT, y.start, "var(--line)"))
    parts.append(text(width - RIGHT, y.start + 32, field.across, size=AXIS_SIZE, anchor="end", color="var(--soft)"))
    return "".join(parts)


def _draw_line(trace: Line, style: Style, x: _AcrossScale, y: AxisScale) -> str:
    points = [(x(a), y(b)) for a, b in trace.points]
    ends = "".join(marker(style.marker, *points[i], 3.4, style.color) for i in (0, -1)) if points else ""
    ends = "" if style == REFERENCE else ends
    band = polygon([(x(a), y(b)) for a, b in trace.band], style.color, 0.12) if trace.band else ""
    return with_tooltip(trace.level, band + polyline(points, style.color, 1.8) + ends)


def _draw_spot(spot: Point, style: Style, x: _AcrossScale, y: AxisScale) -> str:
    (across, low, high), (up, bottom, top) = spot.across, spot.up
    if math.isnan(across) or math.isnan(up):
        return ""
    parts = [dots([(x(a), y(b)) for a, b in spot.seeds], style.color, 4.0)]
    if not math.isnan(low):
        parts.append(
            draw_interval(x(low), x(high), y(up), style.color, 1.4, (x.beyond(low), x.beyond(high)), is_horizontal=True)
        )
    if not math.isnan(bottom):
        cut = (y.beyond(bottom), y.beyond(top))
        parts.append(draw_interval(y(bottom), y(top), x(across), style.color, 1.4, cut, is_horizontal=False))
    parts.append(marker(style.marker, x(across), y(up), 5.0, style.color))
    return with_tooltip(f"{spot.level}: {with_interval(*spot.across)}; {with_interval(*spot.up)}", "".join(parts))


# Heat maps of small multiples: a rate over threshold and minimum area, a map per level, darker where it is higher.

CELL = 18.0
MIN_HEAT_MAP_WIDTH = 150.0
PLANE_GAP = 26.0
PLANE_LEFT, TOP, PLANE_LINE, PLANE_FOOT = 60.0, 26.0, 14.0, 34.0
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
    def axis(self) -> str:
        """The quantities that are shown, one over the other."""
        return f"{self.measure}, over {self.column_name} (across) and {self.row_name} (down)"

    def words(self) -> Iterator[str]:
        """Every map as a sentence, for those who do not see the figure."""
        for level, cells in self.values.items():
            cells_text = "; ".join(f"{row}, {column}: {number(value)}" for (row, column), value in cells.items())
            yield f"{level}: {cells_text}."


def draw_heat_maps(planes: HeatMaps, width: float) -> Drawing:
    """The maps at a width in pixels."""
    columns, rows = panel_grid(len(planes.values), width, MIN_HEAT_MAP_WIDTH + PLANE_LEFT + PLANE_GAP)
    each = (width - PLANE_GAP * (columns - 1)) / columns
    titles = {level: break_lines(level, each, BOLD_SIZE, max_lines=2) for level in planes.values}
    extra = PLANE_LINE * (max(map(len, titles.values()), default=1) - 1)
    height = TOP + extra + CELL * len(planes.rows) + PLANE_FOOT
    body: list[str] = []
    for i, (level, title) in enumerate(titles.items()):
        left, top = (each + PLANE_GAP) * (i % columns), height * (i // columns)
        body += [
            text(left, top + 13 + PLANE_LINE * place, words, weight="600", full=level)
            for place, words in enumerate(title)
        ]
        body.append(_draw_heat_map(planes, level, left, top + extra, each))
    return Drawing(width, height * rows, "".join(body))


def _draw_heat_map(planes: HeatMaps, level: str, left: float, top: float, width: float) -> str:
    across = (width - PLANE_LEFT) / len(planes.columns)
    numbered = len(planes.rows) * len(planes.columns) < MAX_NUMBERED_CELLS
    parts: list[str] = []
    for r, row in enumerate(planes.rows):
        y = top + TOP + CELL * r
        name = shorten(row, PLANE_LEFT, AXIS_SIZE)
        parts.append(
            text(left + PLANE_LEFT - 5, y + 13, name, size=AXIS_SIZE, anchor="end", color="var(--soft)", full=row)
        )
        for c, column in enumerate(planes.columns):
            value = planes.values[level].get((row, column), math.nan)
            parts.append(
                _draw_cell(left + PLANE_LEFT + across * c, y, across, value, f"{level}, {row}, {column}", numbered)
            )
    base = top + TOP + CELL * len(planes.rows)
    for c, column in enumerate(planes.columns):
        x = left + PLANE_LEFT + across * (c + 0.5)
        parts.append(
            text(
                x,
                base + 13,
                shorten(column, across, AXIS_SIZE),
                size=AXIS_SIZE,
                anchor="middle",
                color="var(--soft)",
                full=column,
            )
        )
    return "".join(parts)


def _draw_cell(x: float, y: float, width: float, value: float, where: str, numbered: bool) -> str:
    """A field with its number, on a ground that is darker where the value is higher."""
    if math.isnan(value):
        return ""
    shade = f"{0.45 * max(0.0, value):.3f}"
    ground = element("rect", x=x, y=y, width=width - 1, height=CELL - 1, fill="var(--s0)", fill_opacity=shade)
    words = text(x + width / 2, y + 13, number(value), size=AXIS_SIZE, anchor="middle") if numbered else ""
    return with_tooltip(f"{where}: {number(value, 3)}", ground + words)
