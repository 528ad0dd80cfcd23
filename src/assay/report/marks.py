"""What a figure shows, before it is drawn: marks with seeds and intervals, in panels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from assay.report.palette import Style
from assay.report.svg import breadth, element, line, marker, shortened, text
from assay.stats.format import number, with_interval


@dataclass(frozen=True, slots=True)
class Mark:
    """One estimate. at: where on a curve's axis, unused in strips. seeds: (seed, value). reason: why undefined.

    text: its value in words where the numbers alone would mislead, such as of a censored value. known_to: where what is
    infinite is shown to go on, beyond which nothing is known; the edge of the panel if that is infinite.
    """

    level: str
    value: float
    low: float = math.nan
    high: float = math.nan
    seeds: tuple[tuple[int, float], ...] = ()
    at: str = ""
    reason: str = ""
    text: str = ""
    known_to: float = math.inf

    @property
    def said(self) -> str:
        """The mark in words."""
        if math.isnan(self.value):
            return f"{self.level} undefined" + (f" ({self.reason})" if self.reason else "")
        doubt = f" ({self.reason})" if self.reason else ""
        if self.text:
            return f"{self.level} {self.text}{doubt}"
        return f"{self.level} {with_interval(self.value, self.low, self.high)}{doubt}"

    @property
    def points(self) -> tuple[float, ...]:
        """The value and its seeds."""
        return (self.value, *(value for _, value in self.seeds))


@dataclass(frozen=True, slots=True)
class Reference:
    """A thin grey level with its name: a value, or one value per position along a curve's axis."""

    name: str
    values: tuple[tuple[str, float], ...]
    dash: str = "5 3"
    colour: str = "var(--reference)"

    @staticmethod
    def level(name: str, value: float) -> Reference:
        """One value for the whole panel."""
        return Reference(name, (("", value),))


@dataclass(frozen=True, slots=True)
class Panel:
    """Marks that share a place, under a title. band: a range that is shaded, such as a margin of equivalence.

    limits: its own, where it shows another measure than the panels beside it.
    """

    title: str
    marks: tuple[Mark, ...]
    references: tuple[Reference, ...] = ()
    band: tuple[float, float] | None = None
    limits: tuple[float, float] | None = None


@dataclass(frozen=True)
class Plot:
    """Panels that are compared: same limits, same levels, same styles. hover: whether marks say their value.

    scaled: whether positions of curves are numbers that stand at their place; intervals are bands then. logarithmic:
    whether that place is by their logarithm.
    """

    panels: tuple[Panel, ...]
    levels: tuple[str, ...]
    styles: dict[str, Style]
    axis: str
    limits: tuple[float, float]
    positions: tuple[str, ...] = ()
    position_name: str = ""
    hover: bool = True
    scaled: bool = False
    logarithmic: bool = False

    def words(self) -> Iterator[str]:
        """Every panel as a sentence, for those who do not see the figure."""
        for panel in self.panels:
            marks = "; ".join((f"at {mark.at}: " if mark.at else "") + mark.said for mark in panel.marks)
            yield f"{panel.title}: {marks}." if panel.title else f"{marks}."


def short_names(positions: Sequence[str]) -> list[str]:
    """The last parts of dotted names where these tell them apart, else the whole names."""
    last = [position.rpartition(".")[2] for position in positions]
    return (
        last if len(set(last)) == len(last) and all(name and not name[0].isdigit() for name in last) else [*positions]
    )


def panel_grid(count: int, room: float, least: float) -> tuple[int, int]:
    """Columns and rows for so many panels, each at least so wide, as even as possible."""
    most = max(1, int(room // least))
    rows = math.ceil(count / most)
    return math.ceil(count / rows), rows


def key(levels: Sequence[str], styles: dict[str, Style], width: float) -> tuple[str, float]:
    """A key of levels that wraps, and its height; for what cannot be labelled where it lies."""
    shapes: list[str] = []
    x, y = 4.0, 12.0
    for level in levels:
        words = shortened(level, width - 20)
        if x > 4 and x + 16 + breadth(words) > width:
            x, y = 4.0, y + 18
        style = styles[level]
        shapes += [marker(style.marker, x + 4, y - 4, 4, style.colour), text(x + 13, y, words, full=level)]
        x += 13 + breadth(words) + 16
    return "".join(shapes), y + 10


def bar(low: float, high: float, at: float, colour: str, width: float, cut: tuple[bool, bool], flat: bool) -> str:
    """An interval from low to high at a place across, with an arrow at an end that lies beyond the drawing."""
    points = [(low, at), (high, at)] if flat else [(at, low), (at, high)]
    found = line(*points[0], *points[1], colour, width)
    signs = ((-1, 0), (1, 0)) if flat else ((0, 1), (0, -1))
    for (x, y), is_cut, (dx, dy) in zip(points, cut, signs, strict=True):
        if is_cut:
            tail = 4.0
            for side in (-3, 3):
                found += line(x, y, x - dx * tail + dy * side, y - dy * tail + dx * side, colour, 1.5)
    return found


def group(said: str, shapes: str) -> str:
    """Shapes that say something together on hovering."""
    return element("g", element("title", escape(said)) + shapes) if said else shapes


def seed_words(level: str, seed: int, value: float) -> str:
    """What a dot says on hovering."""
    return f"{level}, seed {seed}: {number(value)}"
