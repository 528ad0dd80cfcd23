"""Heat maps of small multiples: a rate over threshold and minimum area, a map per level, darker where it is higher."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from assay.report.marks import group, panel_grid
from assay.report.svg import BOLD, NARROW, Drawing, element, lines_of, shortened, text
from assay.stats.format import number

CELL = 18.0
LEAST = 150.0
GAP = 26.0
LEFT, TOP, LINE, FOOT = 46.0, 26.0, 14.0, 34.0
MOST_NUMBERS = 100
"""Maps of so many cells bear no numbers: they would touch."""


@dataclass(frozen=True)
class Planes:
    """level -> (row, column) -> value up to 1, shaded from 0 on. rows: from the top; columns: from the left."""

    values: Mapping[str, Mapping[tuple[str, str], float]]
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    row_name: str
    column_name: str
    measure: str

    @property
    def axis(self) -> str:
        """What is shown over what."""
        return f"{self.measure}, over {self.column_name} (across) and {self.row_name} (down)"

    def words(self) -> Iterator[str]:
        """Every map as a sentence, for those who do not see the figure."""
        for level, cells in self.values.items():
            said = "; ".join(f"{row}, {column}: {number(value)}" for (row, column), value in cells.items())
            yield f"{level}: {said}."


def draw_planes(planes: Planes, width: float) -> Drawing:
    """The maps at a width in pixels."""
    columns, rows = panel_grid(len(planes.values), width, LEAST + LEFT + GAP)
    each = (width - GAP * (columns - 1)) / columns
    titles = {level: lines_of(level, each, BOLD, most=2) for level in planes.values}
    extra = LINE * (max(map(len, titles.values()), default=1) - 1)
    height = TOP + extra + CELL * len(planes.rows) + FOOT
    body: list[str] = []
    for i, (level, title) in enumerate(titles.items()):
        left, top = (each + GAP) * (i % columns), height * (i // columns)
        body += [
            text(left, top + 13 + LINE * place, words, weight="600", full=level) for place, words in enumerate(title)
        ]
        body.append(_map(planes, level, left, top + extra, each))
    return Drawing(width, height * rows, "".join(body))


def _map(planes: Planes, level: str, left: float, top: float, width: float) -> str:
    across = (width - LEFT) / len(planes.columns)
    numbered = len(planes.rows) * len(planes.columns) < MOST_NUMBERS
    parts: list[str] = []
    for r, row in enumerate(planes.rows):
        y = top + TOP + CELL * r
        name = shortened(row, LEFT, NARROW)
        parts.append(text(left + LEFT - 5, y + 13, name, size=NARROW, anchor="end", colour="var(--soft)", full=row))
        for c, column in enumerate(planes.columns):
            value = planes.values[level].get((row, column), math.nan)
            parts.append(_cell(left + LEFT + across * c, y, across, value, f"{level}, {row}, {column}", numbered))
    base = top + TOP + CELL * len(planes.rows)
    for c, column in enumerate(planes.columns):
        x = left + LEFT + across * (c + 0.5)
        parts.append(text(x, base + 13, shortened(column, across, NARROW), size=NARROW, anchor="middle",
                          colour="var(--soft)", full=column))  # fmt: skip
    return "".join(parts)


def _cell(x: float, y: float, width: float, value: float, where: str, numbered: bool) -> str:
    """A field with its number, on a ground that is darker where the value is higher."""
    if math.isnan(value):
        return ""
    shade = f"{0.45 * max(0.0, value):.3f}"
    ground = element("rect", x=x, y=y, width=width - 1, height=CELL - 1, fill="var(--s0)", fill_opacity=shade)
    words = text(x + width / 2, y + 13, number(value), size=NARROW, anchor="middle") if numbered else ""
    return group(f"{where}: {number(value, 3)}", ground + words)
