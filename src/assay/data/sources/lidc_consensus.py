"""Which outlines of different readers are one nodule, and what the readers together say of it.

The rule: two outlines by different readers are the same nodule when their areas share pixels (outline included). Pairs
are joined in order of their overlap (pixels shared over pixels of either, all slices together), the largest first, and
never so that a reader would stand in a nodule twice. So a nodule has one to four readers, and where one reader drew two
nodules and another a single one around both, that one goes with what it overlaps most.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from assay.data.sources.lidc_xml import Mark, Region

ABSENT_CALCIUM = 6


@dataclass(frozen=True, slots=True)
class Nodule:
    """The marks of one nodule, at most one a reader."""

    marks: tuple[Mark, ...]

    @property
    def readers(self) -> int:
        """How many outlined it."""
        return len(self.marks)

    def rating(self, name: str) -> float:
        """The mean over the readers who gave it; NaN when none did."""
        given = [mark.ratings[name] for mark in self.marks if name in mark.ratings]
        return float(np.mean(given)) if given else float("nan")

    @property
    def calcified(self) -> float:
        """The share of readers who rated it calcified (6 is absent); NaN when none rated it."""
        given = [mark.ratings["calcification"] for mark in self.marks if "calcification" in mark.ratings]
        return float(np.mean([value != ABSENT_CALCIUM for value in given])) if given else float("nan")

    def diameter(self, row_mm: float, column_mm: float) -> float:
        """mm: the largest distance in a slice between two points of an outline, less a pixel; the readers' mean.

        A pixel is taken off since outlines run just outside the nodule, half a pixel beyond it on both sides.
        """
        pixel = (row_mm + column_mm) / 2
        largest = [
            max(_extent(points, row_mm, column_mm) for region in mark.slices.values() for points in region.extent)
            for mark in self.marks
        ]
        return float(np.mean([max(extent - pixel, 0.0) for extent in largest]))

    def agreed(self) -> dict[str, np.ndarray]:
        """Slice -> codes of the pixels that at least half of its readers have inside; slices without any left out."""
        found = {uid: self._agreed_on(uid) for mark in self.marks for uid in mark.slices}
        return {uid: codes for uid, codes in found.items() if len(codes)}

    def _agreed_on(self, uid: str) -> np.ndarray:
        inside = [mark.slices[uid].inside for mark in self.marks if uid in mark.slices]
        codes, votes = np.unique(np.concatenate(inside), return_counts=True)
        return codes[2 * votes >= self.readers]

    def middle(self) -> tuple[str, np.ndarray] | None:
        """The slice with the largest agreed area (of equal ones the lowest), and its pixels; None without any."""
        heights = {uid: z for mark in self.marks for uid, z in mark.heights.items()}
        agreed = self.agreed()
        if not agreed:
            return None
        uid = min(agreed, key=lambda name: (-len(agreed[name]), heights[name], name))
        return uid, agreed[uid]


def _extent(points: np.ndarray, row_mm: float, column_mm: float) -> float:
    where = points * np.array([column_mm, row_mm])
    return float(np.sqrt(((where[:, None] - where[None]) ** 2).sum(axis=-1)).max())


def nodules(marks: Sequence[Mark]) -> list[Nodule]:
    """The marks of a series as nodules, by the rule above; in order of height, row and column."""
    group = list(range(len(marks)))
    pairs = sorted(
        (-overlap, first, second)
        for first in range(len(marks))
        for second in range(first + 1, len(marks))
        if marks[first].reader != marks[second].reader
        and (overlap := _overlap(marks[first].slices, marks[second].slices)) > 0
    )
    for _, first, second in pairs:
        one, other = group[first], group[second]
        readers = [marks[at].reader for at, of in enumerate(group) if of in (one, other)]
        if one != other and len(set(readers)) == len(readers):
            group = [one if of == other else of for of in group]
    found = [Nodule(tuple(marks[at] for at, of in enumerate(group) if of == code)) for code in sorted(set(group))]
    return sorted(found, key=_place)


def _overlap(one: Mapping[str, Region], other: Mapping[str, Region]) -> float:
    """Pixels shared over pixels of either, all slices together (Jaccard)."""
    shared = sum(
        len(np.intersect1d(one[uid].closed, other[uid].closed, assume_unique=True)) for uid in one.keys() & other.keys()
    )
    either = sum(len(region.closed) for slices in (one, other) for region in slices.values()) - shared
    return shared / either if either else 0.0


def _place(nodule: Nodule) -> tuple[float, float, float]:
    heights = [z for mark in nodule.marks for z in mark.heights.values()]
    points = np.concatenate([drawn for mark in nodule.marks for of in mark.slices.values() for drawn in of.extent])
    return float(np.mean(heights)), float(points[:, 1].mean()), float(points[:, 0].mean())
