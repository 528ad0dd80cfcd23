"""Boxes of lesions by kind, from a table beside the images'. Heat-maps are held against them; nothing is trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from assay.core.data_spec import BoxesSpec
from assay.core.errors import DataError, SpecError, unknown_name
from assay.data.dataset import BoxedLesions
from assay.data.sources.fitting import placed
from assay.data.sources.problems import Problem, refuse
from assay.data.sources.table import number, read_table

EDGES = ("x0", "y0", "x1", "y1")
"""Columns of a table of boxes beside `image` and `kind`: left, top, right and bottom edge in px of the file."""


@dataclass(frozen=True, slots=True)
class Boxes:
    """The boxes of a listing's images, in its order: float64 [b, 5], number of the kind, then `EDGES`."""

    kinds: tuple[str, ...]
    of_image: tuple[Float[np.ndarray, "b 5"], ...]

    def take(self, kept: Sequence[int]) -> Boxes:
        """Those of the images at these positions."""
        return Boxes(self.kinds, tuple(self.of_image[at] for at in kept))

    def fitted(self, native: Int[np.ndarray, "n 2"], size: int) -> BoxedLesions:
        """The same at study resolution. native: width and height of every image in px."""
        found: list[Float[np.ndarray, "b 5"]] = []
        digest = hashlib.sha256("\n".join(self.kinds).encode())
        for boxes, (width, height) in zip(self.of_image, native.tolist(), strict=True):
            place = placed(height, width, size)
            across, down = place.width / width, place.height / height
            scale = np.array([1, across, down, across, down])
            found.append(boxes * scale + np.array([0, place.left, place.top, place.left, place.top]))
            digest.update(np.ascontiguousarray(found[-1]).tobytes() + b"|")
        return BoxedLesions(self.kinds, size, tuple(found), digest.hexdigest()[:16])


def read_boxes(folder: Path, spec: BoxesSpec, images: Sequence[str]) -> Boxes:
    """The boxes of these images, of the kinds that the spec names, or of all, sorted. Boxes of other images are passed
    over: rows may have been left out.

    Raises SpecError for a file, a column or a kind that is not there, DataError for bad lines and where no box is of
    any of the images.
    """
    path = folder / spec.table
    if not path.is_file():
        raise SpecError(f"data.boxes: {folder.name}/ has no file '{spec.table}'; name a CSV that lies beside the table")
    table = read_table(path, "image")
    names, kind = (table.column(column, "data.boxes") for column in ("image", "kind"))
    there = tuple(sorted(set(kind)))
    for wanted in spec.kinds:
        if wanted not in there:
            raise SpecError(f"data.boxes.kinds: {unknown_name('kind', wanted, there)}")
    kinds = spec.kinds or there
    edges = [[number(cell, table.comma) for cell in table.column(column, "data.boxes")] for column in EDGES]
    problems = list(table.problems)
    found: Mapping[str, list[list[float]]] = {name: [] for name in images}
    for line, name, of, box in zip(table.numbers, names, kind, zip(*edges, strict=True), strict=True):
        if of not in kinds or name not in found:
            continue
        known = [edge for edge in box if edge is not None]
        if len(known) < len(EDGES) or known[0] >= known[2] or known[1] >= known[3]:
            problems.append(Problem(line, name, "it is no box", "give x0 < x1 and y0 < y1 in px of the file"))
        else:
            found[name].append([kinds.index(of), *known])
    refuse(spec.table, problems)
    if not any(found.values()):
        raise DataError(f"data.boxes: no box of {spec.table} is of an image of the table; name images as it does")
    return Boxes(kinds, tuple(np.array(found[name], dtype=np.float64).reshape(-1, 5) for name in images))
