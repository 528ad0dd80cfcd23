"""Parts that charts share: axis scales, colors, SVG elements and text, and the data of interval plots and curves."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from statistics import median_low

from assay.core.measures import range_of
from assay.stats.format import number, with_interval

# Where a value lies on a drawing: the range of an axis, its ticks, its scale. Limits of drawing, not statistics.

AXIS_MARGIN = 0.04


@dataclass(frozen=True, slots=True)
class AxisScale:
    """Values low..high put on pixels start..end.

    Examples:
        >>> scale = AxisScale(0.0, 1.0, start=100, end=300)
        >>> scale(0.25), scale(7.0), scale.excludes(7.0), scale.excludes(1.0)
        (150.0, 300.0, True, False)
    """

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The pixel of a value; values beyond the range are held at its ends."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def excludes(self, value: float) -> bool:
        """Return whether a value is outside of the drawing."""
        slack = 1e-9 * (self.high - self.low)
        return value < self.low - slack or value > self.high + slack


def axis_limits(points: Iterable[float], ends: Iterable[float], bounds: tuple[float, float]) -> tuple[float, float]:
    """The range of an axis, of all points and of ends of intervals, within bounds that an estimate may leave.

    An end is wild if its distance from the points exceeds three times the usual (three seeds that disagree), and half
    their range. It would press all else together, and is drawn with an arrow; all other intervals are drawn whole.
    """
    finite = [value for value in points if math.isfinite(value)]
    if not finite:
        return (bounds[0], bounds[1]) if all(map(math.isfinite, bounds)) else (0.0, 1.0)
    low_point, high_point = low, high = min(finite), max(finite)
    bounds = min(bounds[0], low), max(bounds[1], high)
    finite_ends = [end for end in ends if math.isfinite(end)]
    distances = [distance for end in finite_ends if (distance := max(low - end, end - high)) > 0] or [0.0]
    usual_reach = max(distance for limit in [3 * median_low(distances)] for distance in distances if distance <= limit)
    reach = max((high - low) * 0.5, 0.05 * max(abs(low), abs(high), 0.2), usual_reach)
    for end in finite_ends:
        low, high = min(low, max(end, low_point - reach)), max(high, min(end, high_point + reach))
    differ = high - low > max(1e-9 * max(abs(low), abs(high)), 1e-300)  # else a float holds nothing between them
    margin = (high - low if differ else 0.2) * AXIS_MARGIN
    return max(bounds[0] - margin, low - margin), min(bounds[1] + margin, high + margin)


def axis_ticks(low: float, high: float, max_ticks: int) -> list[float]:
    """Round values within a range, at most so many: steps of 1, 2 or 5 times a power of ten (2.5 is left out).

    Examples:
        >>> axis_ticks(0.0, 1.0, 6), axis_ticks(0.0, 1.0, 3), axis_ticks(0.34, 1.02, 4)
        ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [0.0, 0.5, 1.0], [0.4, 0.6, 0.8, 1.0])
        >>> axis_ticks(-3.2, 4.1, 4), axis_ticks(0.481, 0.519, 4)
        ([-2.0, 0.0, 2.0, 4.0], [0.49, 0.5, 0.51])
        >>> ranges = [(low, low + span, most) for low in (-97, 0.3) for span in (0.001, 7, 64) for most in range(3, 9)]
        >>> results = [(low, high, most, axis_ticks(low, high, most)) for low, high, most in ranges]
        >>> all(len(found) <= most and all(low <= at <= high for at in found) for low, high, most, found in results)
        True
    """
    span = high - low
    step = 10.0 ** math.floor(math.log10(span / max(max_ticks, 1)))
    for factor in (1, 2, 5, 10, 20):
        first, last = math.ceil(low / (step * factor) - 1e-9), math.floor(high / (step * factor) + 1e-9)
        if last - first + 1 <= max_ticks:
            return [round(i * step * factor, 10) for i in range(first, last + 1)]
    return []


def tick_text(value: float) -> str:
    """Return a tick label: 0, 0.5, 1, -2."""
    places = next((places for places in range(5) if math.isclose(round(value, places), value, abs_tol=1e-9)), 5)
    return number(value, places)


# One color and one marker per level of the axis that is compared, the same through the whole page.
#
# Colors follow Okabe and Ito (2008), safe for color-blind eyes, darkened for light paper and lightened for dark so
# that each stands out from its ground by at least 3 : 1 (WCAG 1.4.11; a test computes it). Text is never set in them.

SERIES_LIGHT = ("#0072b2", "#d55e00", "#008a65", "#b5578f", "#b07400", "#2a8fc7", "#1d1d1b", "#7d7500")
SERIES_DARK = ("#4aa3e0", "#ff8a3d", "#2fc59b", "#e39ac4", "#f0b429", "#8fd0f5", "#f2f2ee", "#f0e442")
MARKERS = ("circle", "square", "triangle", "diamond", "wedge", "cross", "star")

LIGHT = {
    "ground": "#f4f6f8",
    "paper": "#ffffff",
    "next": "#eaf2fb",
    "ink": "#1c1e21",
    "soft": "#565b62",
    "line": "#d9dcdf",
    "grid": "#e9ebed",
    "reference": "#7a8087",
    "ok": "#00684a",
    "warn": "#8a5200",
    "bad": "#b3261e",
    **{f"s{i}": color for i, color in enumerate(SERIES_LIGHT)},
}
DARK = {
    "ground": "#0e1012",
    "paper": "#15181b",
    "next": "#14212e",
    "ink": "#e8eaec",
    "soft": "#a9b0b7",
    "line": "#3a4047",
    "grid": "#262b30",
    "reference": "#868e96",
    "ok": "#4fd1a5",
    "warn": "#f0b429",
    "bad": "#ff8a80",
    **{f"s{i}": color for i, color in enumerate(SERIES_DARK)},
}


@dataclass(frozen=True, slots=True)
class Style:
    """How one level is drawn: a CSS color (a variable, so that it follows light and dark) and a marker."""

    color: str
    marker: str


REFERENCE = Style("var(--reference)", "line")
"""How a line is drawn that no model gave, such as that of chance."""


def styles_by_level(levels: Sequence[str]) -> dict[str, Style]:
    """A style per level. Eight colors and seven markers give 56 levels of which no two are drawn alike."""
    return {
        level: Style(f"var(--s{i % len(SERIES_LIGHT)})", MARKERS[i % len(MARKERS)]) for i, level in enumerate(levels)
    }


def css_properties(colors: Mapping[str, str]) -> str:
    """The colors as CSS custom properties."""
    return "".join(f"--{name}:{color};" for name, color in colors.items())


def with_paper_colors(svg: str) -> str:
    """A drawing with the variables put in as colors for white paper, for programs that know no CSS variables."""
    return re.sub(r"var\(--([a-z0-9]+)\)", lambda match: LIGHT[match[1]], svg)


# Scalable drawings as text. Everything that comes from data is escaped here.

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
LABEL_SIZE, AXIS_SIZE, BOLD_SIZE = 12.0, 11.0, 15.0
"""Sizes of text: labels, the numbers of an axis, and how wide bold labels run in a broad face such as DejaVu Sans."""


@dataclass(frozen=True)
class Drawing:
    """Shapes on a canvas of width x height pixels. Colors are CSS variables of `palette`."""

    width: float
    height: float
    body: str

    def inline(self, alternative: str, kind: str) -> str:
        """For a page: takes its colors from it. kind is a CSS class."""
        return (
            f'<svg class="{kind}" role="img" aria-label="{escape(alternative)}" {self._box(0)} '
            f'width="{_decimal(self.width)}" height="{_decimal(self.height)}">{self.body}</svg>'
        )

    def standalone(self, title: str, alternative: str) -> str:
        """A file of its own, on white paper, under its title."""
        top = 30.0
        head = text(8, 20, title, size=14, weight="600")
        paper = element("rect", width=self.width, height=self.height + top, fill="var(--paper)")
        shapes = f'{paper}{head}<g transform="translate(0 {_decimal(top)})">{self.body}</g>'
        return with_paper_colors(
            f'<svg xmlns="http://www.w3.org/2000/svg" {self._box(top)} width="{_decimal(self.width)}" '
            f'height="{_decimal(self.height + top)}" font-family="{escape(FONT)}">'
            f"<title>{escape(title)}</title><desc>{escape(alternative)}</desc>{shapes}</svg>"
        )

    def _box(self, more: float) -> str:
        return f'viewBox="0 0 {_decimal(self.width)} {_decimal(self.height + more)}"'


_LEVEL = re.compile(r"var\(--s(\d+)\)")


def element(name: str, content: str = "", **attributes: str | float) -> str:
    """One SVG element. `content` is markup already; attribute values are escaped; `stroke_width` is stroke-width.

    What is drawn in the color of a recipe has its number as `data-level`, by which the page highlights recipes.

    Examples:
        >>> element("path", d='"<', stroke_width=2)
        '<path d="&quot;&lt;" stroke-width="2"/>'
    """
    level = next((match[1] for value in attributes.values() if (match := _LEVEL.fullmatch(str(value)))), "")
    attributes |= {"data_level": level} if level else {}
    pairs = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_decimal(value) if isinstance(value, int | float) else escape(value)}"'
        for key, value in attributes.items()
    )
    return f"<{name}{pairs}>{content}</{name}>" if content else f"<{name}{pairs}/>"


def text(
    x: float,
    y: float,
    words: str,
    *,
    size: float = LABEL_SIZE,
    anchor: str = "start",
    color: str = "var(--ink)",
    weight: str = "",
    full: str = "",
    halo: bool = False,
) -> str:
    """Words with their base line at y. full: shown on hovering where words were cut. halo: clears lines beneath.

    Examples:
        >>> text(0, 0, "<b>&")
        '<text x="0" y="0" font-size="12" text-anchor="start" fill="var(--ink)">&lt;b&gt;&amp;</text>'
    """
    more: dict[str, str | float] = {"font_weight": weight} if weight else {}
    if halo:
        more |= {"stroke": "var(--paper)", "stroke_width": 4, "stroke_linejoin": "round", "paint_order": "stroke"}
    inside = escape(words) + (element("title", escape(full)) if full and full != words else "")
    return element("text", inside, x=x, y=y, font_size=size, text_anchor=anchor, fill=color, **more)


def line(x1: float, y1: float, x2: float, y2: float, color: str, width: float = 1.0) -> str:
    """A straight line."""
    return element(
        "path", d=f"M{_decimal(x1)} {_decimal(y1)}L{_decimal(x2)} {_decimal(y2)}", stroke=color, stroke_width=width
    )


def polyline(points: Iterable[tuple[float, float]], color: str, width: float = 1.0, dash: str = "") -> str:
    """A line through points, without fill."""
    path = "L".join(f"{_decimal(x)} {_decimal(y)}" for x, y in points)
    more = {"stroke_dasharray": dash} if dash else {}
    return element("path", d=f"M{path}", stroke=color, stroke_width=width, fill="none", **more) if path else ""


def polygon(points: Iterable[tuple[float, float]], color: str, opacity: float) -> str:
    """A closed shape, shaded, with a thin edge."""
    path = "M" + "L".join(f"{_decimal(x)} {_decimal(y)}" for x, y in points) + "Z"
    return element("path", d=path, fill=color, fill_opacity=opacity, stroke=color, stroke_width=0.8, stroke_opacity=0.5)


def marker(shape: str, x: float, y: float, radius: float, color: str) -> str:
    """A mark of one of the shapes of `MARKERS`."""
    if shape == "circle":
        return element("circle", cx=x, cy=y, r=radius, fill=color)
    points = [(x + radius * dx, y + radius * dy) for dx, dy in _SHAPES[shape]]
    path = "M" + "L".join(f"{_decimal(px)} {_decimal(py)}" for px, py in points) + "Z"
    return element("path", d=path, fill=color)


def dots(points: Iterable[tuple[float, float]], color: str, size: float) -> str:
    """Small round dots as one shape, for drawings that hold many."""
    path = "".join(f"M{_decimal(x)} {_decimal(y)}h0" for x, y in points)
    shape = element("path", d=path, stroke=color, stroke_width=size, stroke_linecap="round", stroke_opacity=0.6)
    return shape if path else ""


def shorten(words: str, width: float, size: float = LABEL_SIZE) -> str:
    """Words cut to a width, with an ellipsis where anything was cut: the middle, since names differ at their ends."""
    max_letters = max(3, int(width / (size * 0.55)))
    if len(words) <= max_letters:
        return words
    tail = (max_letters - 1) * 2 // 5
    return words[: max_letters - 1 - tail].rstrip() + "…" + words[len(words) - tail :].lstrip()


def break_lines(words: str, width: float, size: float = LABEL_SIZE, max_lines: int = 3) -> list[str]:
    """Words on up to so many lines of a width, broken after commas or, where that is not enough, at spaces.

    The last line holds the rest, shortened.
    """
    lines: list[str] = []
    for mark in (", ", " "):
        lines = _fill_lines(words.split(mark), mark, width, size)
        if len(lines) <= max_lines and all(text_width(line, size) <= width for line in lines):
            return lines
    fitted = [*lines[: max_lines - 1], " ".join(lines[max_lines - 1 :])] if len(lines) > max_lines else lines
    return [shorten(line, width, size) for line in fitted]


def _fill_lines(parts: Sequence[str], mark: str, width: float, size: float) -> list[str]:
    """Parts that a mark sets off, as many on a line as there is room for."""
    lines = [parts[0]]
    for part in parts[1:]:
        joined = lines[-1] + mark + part
        if text_width(joined, size) <= width:
            lines[-1] = joined
        else:
            lines[-1] += mark.rstrip()
            lines.append(part)
    return lines


def text_width(words: str, size: float = LABEL_SIZE) -> float:
    """About how wide words are, a little on the wide side; letters that are wide in most faces count for more."""
    return sum(1.8 if letter >= "\u2e80" else 1.5 if letter in _WIDE_LETTERS else 1.0 for letter in words) * size * 0.56


_WIDE_LETTERS = frozenset("mwMWOQ@%=_—…")


def _star() -> list[tuple[float, float]]:
    turns = [(math.pi * i / 5, 1.25 if i % 2 == 0 else 0.55) for i in range(10)]
    return [(r * math.sin(angle), -r * math.cos(angle)) for angle, r in turns]


_SHAPES: dict[str, list[tuple[float, float]]] = {
    "line": [(-1.3, -0.25), (1.3, -0.25), (1.3, 0.25), (-1.3, 0.25)],
    "square": [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
    "triangle": [(0, -1.2), (1.1, 0.8), (-1.1, 0.8)],
    "wedge": [(0, 1.2), (1.1, -0.8), (-1.1, -0.8)],
    "diamond": [(0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)],
    "cross": [
        (-0.4, -1.1), (0.4, -1.1), (0.4, -0.4), (1.1, -0.4), (1.1, 0.4), (0.4, 0.4),
        (0.4, 1.1), (-0.4, 1.1), (-0.4, 0.4), (-1.1, 0.4), (-1.1, -0.4), (-0.4, -0.4),
    ],
    "star": _star(),
}  # fmt: skip


def _decimal(value: float) -> str:
    """A number with at most one decimal: a tenth of a pixel is finer than any eye."""
    return f"{value:.1f}".removesuffix(".0")


# What a figure shows, before it is drawn: marks with seeds and intervals, in panels.


@dataclass(frozen=True, slots=True)
class EstimateMark:
    """One estimate.

    position: where on a curve's axis, or the name of its row. seeds: (seed, value). reason: why undefined.
    """

    level: str
    value: float
    low: float = math.nan
    high: float = math.nan
    seeds: tuple[tuple[int, float], ...] = ()
    position: str = ""
    reason: str = ""

    @property
    def text(self) -> str:
        """The mark in words."""
        value = "undefined" if math.isnan(self.value) else with_interval(self.value, self.low, self.high)
        return f"{self.level} {value}{f' ({self.reason})' if self.reason else ''}"

    @property
    def points(self) -> tuple[float, ...]:
        """The value and its seeds."""
        return (self.value, *(value for _, value in self.seeds))


@dataclass(frozen=True, slots=True)
class EffectSize:
    """An estimate with its interval for a row of the first screen. Those of one scale are drawn on one axis.

    margin: Half the width of the shaded band around no effect; 0 for none.
    scale: The measure if it can exceed 1, such as a distance in mm; empty for all others, which share an axis.
    """

    value: float
    low: float
    high: float
    unit: str
    margin: float = 0.0
    scale: str = ""


def difference_scale(measure: str) -> str:
    """Return the scale of differences of a measure: empty where it lies between -1 and 1, else its name."""
    low, high = range_of(measure)
    return "" if -1 <= low <= high <= 1 else measure


@dataclass(frozen=True, slots=True)
class ReferenceLine:
    """A thin gray level with its name: a value, or one value per position along a curve's axis."""

    name: str
    values: tuple[tuple[str, float], ...]
    dash: str = "5 3"

    @staticmethod
    def level(name: str, value: float) -> ReferenceLine:
        """One value for the whole panel."""
        return ReferenceLine(name, (("", value),))


@dataclass(frozen=True, slots=True)
class ChartPanel:
    """Marks that share a place, under a title. band: a range that is shaded, such as a margin of equivalence.

    limits: its own, where it shows another measure than the other panels. undefined: positions without a value.
    """

    title: str
    marks: tuple[EstimateMark, ...]
    references: tuple[ReferenceLine, ...] = ()
    band: tuple[float, float] | None = None
    limits: tuple[float, float] | None = None
    undefined: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Plot:
    """Panels that are compared: same limits, same levels, same styles. hover: whether marks say their value.

    is_numeric: whether positions of curves are numbers that stand at their place; intervals are bands then.
    """

    panels: tuple[ChartPanel, ...]
    levels: tuple[str, ...]
    styles: dict[str, Style]
    axis_title: str
    limits: tuple[float, float]
    positions: tuple[str, ...] = ()
    position_name: str = ""
    hover: bool = True
    is_numeric: bool = False

    def words(self) -> Iterator[str]:
        """Every panel as a sentence, for those who do not see the figure."""
        for panel in self.panels:
            marks = "; ".join((f"at {mark.position}: " if mark.position else "") + mark.text for mark in panel.marks)
            yield f"{panel.title}: {marks}." if panel.title else f"{marks}."


def short_names(positions: Sequence[str]) -> list[str]:
    """The last parts of dotted names where these tell them apart, else the whole names."""
    last = [position.rpartition(".")[2] for position in positions]
    return (
        last if len(set(last)) == len(last) and all(name and not name[0].isdigit() for name in last) else [*positions]
    )


def panel_grid(count: int, room: float, min_width: float) -> tuple[int, int]:
    """Columns and rows for so many panels, each at least so wide, as even as possible.

    Examples:
        >>> panel_grid(7, 700, min_width=200), panel_grid(4, 700, min_width=200), panel_grid(2, 100, min_width=200)
        ((3, 3), (2, 2), (1, 2))
        >>> grids = {(count, room): panel_grid(count, room, 99) for count in range(1, 61) for room in (50, 300, 2000)}
        >>> all((rows - 1) * columns < count <= rows * columns for (count, _), (columns, rows) in grids.items())
        True
        >>> all(columns == 1 or columns * 99 <= room for (_, room), (columns, _) in grids.items())
        True
    """
    max_columns = max(1, int(room // min_width))
    rows = math.ceil(count / max_columns)
    return math.ceil(count / rows), rows


def draw_legend(levels: Sequence[str], styles: dict[str, Style], width: float) -> tuple[str, float]:
    """A key of levels that wraps, and its height; for levels that cannot be labeled in place."""
    shapes: list[str] = []
    x, y = 4.0, 12.0
    for level in levels:
        words = shorten(level, width - 20)
        if x > 4 and x + 16 + text_width(words) > width:
            x, y = 4.0, y + 18
        style = styles[level]
        shapes += [marker(style.marker, x + 4, y - 4, 4, style.color), text(x + 13, y, words, full=level)]
        x += 13 + text_width(words) + 16
    return "".join(shapes), y + 10


def draw_interval(
    low: float, high: float, position: float, color: str, width: float, arrows: tuple[bool, bool], is_horizontal: bool
) -> str:
    """An interval from low to high at a place across, with an arrow at an end beyond the drawing."""
    points = [(low, position), (high, position)] if is_horizontal else [(position, low), (position, high)]
    whisker = line(*points[0], *points[1], color, width)
    signs = ((-1, 0), (1, 0)) if is_horizontal else ((0, 1), (0, -1))
    for (x, y), is_cut, (dx, dy) in zip(points, arrows, signs, strict=True):
        if is_cut:
            tail = 4.0
            for side in (-3, 3):
                whisker += line(x, y, x - dx * tail + dy * side, y - dy * tail + dx * side, color, 1.5)
    return whisker


def with_tooltip(hover: str, shapes: str) -> str:
    """Shapes that say something together on hovering."""
    return element("g", element("title", escape(hover)) + shapes) if hover else shapes
