"""Two values against each other: a point per level with intervals both ways, or a line of points per level."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from assay.report.axes import Scale, tick_text, ticks
from assay.report.marks import bar, group, key
from assay.report.palette import Style
from assay.report.svg import NARROW, Drawing, dots, line, marker, polygon, polyline, shortened, text
from assay.stats.format import number, with_interval

HEIGHT = 250.0
LEFT, RIGHT, FOOT = 44.0, 14.0, 44.0


@dataclass(frozen=True, slots=True)
class Spot:
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
    """One level's line: (across, up) in order."""

    level: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Field:
    """Spots and traces over two named axes. square: a scale of square roots across, where most lies near 0."""

    across: str
    up: str
    across_limits: tuple[float, float]
    up_limits: tuple[float, float]
    levels: tuple[str, ...]
    styles: dict[str, Style]
    spots: tuple[Spot, ...] = ()
    traces: tuple[Trace, ...] = ()
    square: bool = False

    @property
    def axis(self) -> str:
        """Both axes in words."""
        return f"{self.up}, against {self.across}"

    def words(self) -> Iterator[str]:
        """Every mark as a sentence, for those who do not see the figure."""
        for spot in self.spots:
            yield f"{spot.level}: {with_interval(*spot.across)} across, {with_interval(*spot.up)} up."
        for trace in self.traces:
            said = "; ".join(f"{number(x)}, {number(y)}" for x, y in trace.points)
            yield f"{trace.level}: {said}."


def draw_field(field: Field, width: float) -> Drawing:
    """The field at a width in pixels, under a key of its levels."""
    shapes, top = key(field.levels, field.styles, width)
    x = _Across(field, Scale(*_rooted(field), LEFT, width - RIGHT))
    y = Scale(*field.up_limits, top + HEIGHT, top + 20)
    body = [shapes, _frame(field, x, y, width)]
    body += [_region(spot, field.styles[spot.level], x, y) for spot in field.spots if spot.region]
    body += [_trace(trace, field.styles[trace.level], x, y) for trace in field.traces]
    body += [_spot(spot, field.styles[spot.level], x, y) for spot in field.spots]
    return Drawing(width, top + HEIGHT + FOOT, "".join(body))


@dataclass(frozen=True, slots=True)
class _Across:
    """The scale across, of square roots where the field asks for it."""

    field: Field
    scale: Scale

    def __call__(self, value: float) -> float:
        return self.scale(math.sqrt(max(value, 0.0)) if self.field.square else value)

    def beyond(self, value: float) -> bool:
        """Whether a value lies outside what is drawn."""
        low, high = self.field.across_limits
        return value < low or value > high


def _rooted(field: Field) -> tuple[float, float]:
    low, high = field.across_limits
    return (math.sqrt(max(low, 0.0)), math.sqrt(max(high, 0.0))) if field.square else (low, high)


def _frame(field: Field, x: _Across, y: Scale, width: float) -> str:
    parts = [text(0, y.end - 8, shortened(field.up, width, NARROW), size=NARROW, colour="var(--soft)", full=field.up)]
    for value in ticks(*field.up_limits, 6):
        parts += [
            line(LEFT, y(value), width - RIGHT, y(value), "var(--grid)"),
            text(LEFT - 6, y(value) + 4, tick_text(value), size=NARROW, anchor="end", colour="var(--soft)"),
        ]
    for value in ticks(*field.across_limits, max(3, int(width // 110))):
        parts += [
            line(x(value), y.end, x(value), y.start, "var(--grid)"),
            text(x(value), y.start + 15, tick_text(value), size=NARROW, anchor="middle", colour="var(--soft)"),
        ]
    parts.append(line(LEFT, y.start, width - RIGHT, y.start, "var(--line)"))
    parts.append(text(width - RIGHT, y.start + 32, field.across, size=NARROW, anchor="end", colour="var(--soft)"))
    return "".join(parts)


def _trace(trace: Trace, style: Style, x: _Across, y: Scale) -> str:
    points = [(x(a), y(b)) for a, b in trace.points]
    ends = "".join(marker(style.marker, *points[i], 3.4, style.colour) for i in (0, -1)) if points else ""
    return group(trace.level, polyline(points, style.colour, 1.8) + ends)


def _region(spot: Spot, style: Style, x: _Across, y: Scale) -> str:
    """A shade with a thin edge, held at the ends of the axes."""
    return polygon([(x(across), y(up)) for across, up in spot.region], style.colour, 0.1)


def _spot(spot: Spot, style: Style, x: _Across, y: Scale) -> str:
    (across, low, high), (up, bottom, top) = spot.across, spot.up
    if math.isnan(across) or math.isnan(up):
        return ""
    parts = [dots([(x(a), y(b)) for a, b in spot.seeds], style.colour, 4.0)]
    if not math.isnan(low):
        parts.append(bar(x(low), x(high), y(up), style.colour, 1.4, (x.beyond(low), x.beyond(high)), flat=True))
    if not math.isnan(bottom):
        cut = (y.beyond(bottom), y.beyond(top))
        parts.append(bar(y(bottom), y(top), x(across), style.colour, 1.4, cut, flat=False))
    parts.append(marker(style.marker, x(across), y(up), 5.0, style.colour))
    return group(f"{spot.level}: {with_interval(*spot.across)}; {with_interval(*spot.up)}", "".join(parts))
