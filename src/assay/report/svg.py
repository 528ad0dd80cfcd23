"""Scalable drawings as text. Everything that comes from data is escaped here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from assay.report.palette import on_paper

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
WIDE, NARROW, BOLD = 12.0, 11.0, 15.0
"""Sizes of text: labels, the numbers of an axis, and how wide bold labels run in a broad face such as DejaVu Sans."""


@dataclass(frozen=True)
class Drawing:
    """Shapes on a canvas of width x height pixels. Colours are CSS variables of `palette`."""

    width: float
    height: float
    body: str

    def inline(self, alternative: str, kind: str) -> str:
        """For a page: takes its colours from it. kind is a CSS class."""
        return (
            f'<svg class="{kind}" role="img" aria-label="{escape(alternative)}" {self._box(0)} '
            f'width="{_n(self.width)}" height="{_n(self.height)}">{self.body}</svg>'
        )

    def standalone(self, title: str, alternative: str) -> str:
        """A file of its own, on white paper, under its title."""
        top = 30.0
        head = text(8, 20, title, size=14, weight="600")
        paper = element("rect", width=self.width, height=self.height + top, fill="var(--paper)")
        shapes = f'{paper}{head}<g transform="translate(0 {_n(top)})">{self.body}</g>'
        return on_paper(
            f'<svg xmlns="http://www.w3.org/2000/svg" {self._box(top)} width="{_n(self.width)}" '
            f'height="{_n(self.height + top)}" font-family="{escape(FONT)}">'
            f"<title>{escape(title)}</title><desc>{escape(alternative)}</desc>{shapes}</svg>"
        )

    def _box(self, more: float) -> str:
        return f'viewBox="0 0 {_n(self.width)} {_n(self.height + more)}"'


def element(name: str, content: str = "", **attributes: str | float) -> str:
    """One SVG element. `content` is markup already; attribute values are escaped; `stroke_width` is stroke-width."""
    pairs = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_n(value) if isinstance(value, int | float) else escape(value)}"'
        for key, value in attributes.items()
    )
    return f"<{name}{pairs}>{content}</{name}>" if content else f"<{name}{pairs}/>"


def text(
    x: float,
    y: float,
    words: str,
    *,
    size: float = WIDE,
    anchor: str = "start",
    colour: str = "var(--ink)",
    weight: str = "",
    full: str = "",
    halo: bool = False,
) -> str:
    """Words with their base line at y. full: shown on hovering where words were cut. halo: clears lines beneath."""
    more: dict[str, str | float] = {"font_weight": weight} if weight else {}
    if halo:
        more |= {"stroke": "var(--paper)", "stroke_width": 4, "stroke_linejoin": "round", "paint_order": "stroke"}
    inside = escape(words) + (element("title", escape(full)) if full and full != words else "")
    return element("text", inside, x=x, y=y, font_size=size, text_anchor=anchor, fill=colour, **more)


def line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float = 1.0, dash: str = "") -> str:
    """A straight line."""
    more = {"stroke_dasharray": dash} if dash else {}
    return element("path", d=f"M{_n(x1)} {_n(y1)}L{_n(x2)} {_n(y2)}", stroke=colour, stroke_width=width, **more)


def polyline(points: Iterable[tuple[float, float]], colour: str, width: float = 1.0, dash: str = "") -> str:
    """A line through points, without fill."""
    path = "L".join(f"{_n(x)} {_n(y)}" for x, y in points)
    more = {"stroke_dasharray": dash} if dash else {}
    return element("path", d=f"M{path}", stroke=colour, stroke_width=width, fill="none", **more) if path else ""


def polygon(points: Iterable[tuple[float, float]], colour: str, opacity: float) -> str:
    """A closed shape, shaded, with a thin edge."""
    path = "M" + "L".join(f"{_n(x)} {_n(y)}" for x, y in points) + "Z"
    return element(
        "path", d=path, fill=colour, fill_opacity=opacity, stroke=colour, stroke_width=0.8, stroke_opacity=0.5
    )


def marker(shape: str, x: float, y: float, radius: float, colour: str, said: str = "", opacity: float = 1.0) -> str:
    """A mark of one of the shapes of `palette.MARKERS`; what it says is shown on hovering."""
    title = element("title", escape(said)) if said else ""
    more = {"fill_opacity": opacity} if opacity < 1 else {}
    if shape == "circle":
        return element("circle", title, cx=x, cy=y, r=radius, fill=colour, **more)
    points = [(x + radius * dx, y + radius * dy) for dx, dy in _SHAPES[shape]]
    path = "M" + "L".join(f"{_n(px)} {_n(py)}" for px, py in points) + "Z"
    return element("path", title, d=path, fill=colour, **more)


def dots(points: Iterable[tuple[float, float]], colour: str, size: float) -> str:
    """Small round dots as one shape, for drawings that hold many."""
    path = "".join(f"M{_n(x)} {_n(y)}h0" for x, y in points)
    shape = element("path", d=path, stroke=colour, stroke_width=size, stroke_linecap="round", stroke_opacity=0.6)
    return shape if path else ""


def shortened(words: str, width: float, size: float = WIDE) -> str:
    """Words cut to a width, with an ellipsis where anything was cut: the middle, since names differ at their ends."""
    most = max(3, int(width / (size * 0.55)))
    if len(words) <= most:
        return words
    tail = (most - 1) * 2 // 5
    return words[: most - 1 - tail].rstrip() + "…" + words[len(words) - tail :].lstrip()


def lines_of(words: str, width: float, size: float = WIDE, most: int = 3) -> list[str]:
    """Words on up to so many lines of a width, broken after commas or, where that is not enough, at spaces.

    What does not fit even so stands on the last line, shortened.
    """
    lines: list[str] = []
    for mark in (", ", " "):
        lines = _filled(words.split(mark), mark, width, size)
        if len(lines) <= most and all(breadth(line, size) <= width for line in lines):
            return lines
    kept = [*lines[: most - 1], " ".join(lines[most - 1 :])] if len(lines) > most else lines
    return [shortened(line, width, size) for line in kept]


def _filled(parts: Sequence[str], mark: str, width: float, size: float) -> list[str]:
    """Parts that a mark sets off, as many on a line as there is room for."""
    lines = [parts[0]]
    for part in parts[1:]:
        together = lines[-1] + mark + part
        if breadth(together, size) <= width:
            lines[-1] = together
        else:
            lines[-1] += mark.rstrip()
            lines.append(part)
    return lines


def breadth(words: str, size: float = WIDE) -> float:
    """About how wide words are, a little on the wide side; letters that are wide in most faces count for more."""
    return sum(1.8 if letter >= "\u2e80" else 1.5 if letter in _BROAD else 1.0 for letter in words) * size * 0.56


_BROAD = frozenset("mwMWOQ@%=_—…")


def _star() -> list[tuple[float, float]]:
    turns = [(math.pi * i / 5, 1.25 if i % 2 == 0 else 0.55) for i in range(10)]
    return [(r * math.sin(angle), -r * math.cos(angle)) for angle, r in turns]


_SHAPES: dict[str, list[tuple[float, float]]] = {
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


def _n(value: float) -> str:
    """A number with at most one decimal: a tenth of a pixel is finer than any eye."""
    return f"{value:.1f}".removesuffix(".0")
