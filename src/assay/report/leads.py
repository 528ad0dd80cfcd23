"""Picture of the exchange test of an audit: a grid of cells on the mean of the images."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from assay.report.drawing import Drawing, element, group
from assay.report.sentences.leads import cell, place_words
from assay.stats.format import number
from assay.stats.rows import Row

MEAN = "grid mean.png"
"""The mean of the images, among the pictures of an audit."""
_SIDE = 360.0
_LEAST = 0.02
"""AUROC from which on a loss is drawn."""


@dataclass(frozen=True)
class Grid:
    """Cells of an exchange test.

    Attributes:
        cells: Rows of `audit_tables.EXCHANGED`.
        mean: The mean of the images as PNG; it may be missing.
    """

    cells: Sequence[Row]
    mean: Path

    @property
    def axis(self) -> str:
        """The measured quantity."""
        return "AUROC lost by the exchange of each cell"

    def words(self) -> Iterator[str]:
        """Yield the cells as sentences."""
        yield from (f"{place_words('cell', row['place'])}: {number(row['loss'], 3)}." for row in self.cells)


def draw_grid(grid: Grid, width: float) -> Drawing:
    """Draw the cells on the mean image, coarse ones first, so that their parts are above."""
    side = min(width, _SIDE)
    most = max(_LEAST, *(row["loss"] for row in grid.cells))
    shapes: list[str] = []
    if grid.mean.is_file():
        uri = f"data:image/png;base64,{base64.b64encode(grid.mean.read_bytes()).decode()}"
        shapes.append(element("image", href=uri, width=side, height=side, preserveAspectRatio="none"))
    for row in sorted(grid.cells, key=lambda row: cell(row["place"])[0]):
        parts, top, left, high, wide = cell(row["place"])
        step = side / parts
        split = any(_part(other["place"], row["place"]) for other in grid.cells if other["place"] != row["place"])
        color = 0 if split else 0.75 * max(0.0, row["loss"]) / most
        shape = element("rect", x=left * step, y=top * step, width=wide * step, height=high * step, fill="#d55e00",
                        fill_opacity=f"{color:.2f}", stroke="#ffffff", stroke_opacity="0.7",
                        stroke_dasharray="4 3" if row["center"] else "none")  # fmt: skip
        shapes.append(group(f"{place_words('cell', row['place'])}: {number(row['loss'], 3)}", shape))
        if not split and row["loss"] >= _LEAST:
            shapes.append(
                element("text", number(row["loss"], 2), x=(left + wide / 2) * step, y=(top + high / 2) * step + 4,
                        fill="#fff", stroke="#000", stroke_width=2, paint_order="stroke", font_size=12,
                        font_weight="600", text_anchor="middle")
            )  # fmt: skip
    return Drawing(side, side, "".join(shapes))


def _part(name: str, whole: str) -> bool:
    parts, top, left, *_ = cell(name)
    coarse, row, column, *_ = cell(whole)
    return parts == 2 * coarse and (top // 2, left // 2) == (row, column)
