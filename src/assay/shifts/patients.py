"""Whose a phantom's images are: of a patient each, or two of one patient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from assay.core.seeds import row_seed, row_uniform
from assay.data.dataset import DrawsPairs, Phantom

UNLIKE = 0.4
"""How often two classes next to each other trade their second images. Of five classes, .68 of the patients have two
images of one class then, which is what grades of Messidor-2 have where each is as frequent; of two classes, .80.
"""


@dataclass(frozen=True, slots=True)
class Patients:
    """How the rows of a phantom are patients'. each: images of a patient, which follow each other.

    alike, opposite: see `DrawsPairs`. A factor that is tied to the target goes with the class of its own image.
    """

    each: int = 1
    alike: frozenset[str] = frozenset()
    opposite: frozenset[str] = frozenset()

    @staticmethod
    def of(phantom: Phantom) -> Patients:
        """Those of a phantom: every image is a patient of its own unless it draws pairs."""
        if not isinstance(phantom, DrawsPairs) or phantom.images_per_patient == 1:
            return Patients()
        return Patients(phantom.images_per_patient, phantom.alike, phantom.opposite)

    def numbers(self, rows: Int[np.ndarray, "n"]) -> Int[np.ndarray, "n"]:
        """Each row's patient."""
        return rows // self.each

    def uniform(self, seed: int, factor: str, rows: Int[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
        """The named draw of a factor's value, see `row_uniform`."""
        whose = rows if self.each == 1 or factor not in self.alike | self.opposite else self.numbers(rows)
        u = row_uniform(seed, f"factor:{factor}", whose)
        return (u + 0.5 * (rows % self.each)) % 1 if factor in self.opposite else u

    def tied(self, seed: int, factor: str, rows: Int[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
        """The named draw of whether a factor is tied to the target."""
        return row_uniform(seed, f"tie:{factor}", self.numbers(rows) if factor in self.alike else rows)

    def nuisance(self, seed: int, rows: Int[np.ndarray, "n"]) -> Int[np.ndarray, "n"]:
        """Nuisance seeds: 2k and 2k + 1 for the two images of a patient."""
        if self.each == 1:
            return row_seed(seed, "nuisance", rows)
        return row_seed(seed, "nuisance", self.numbers(rows)) // 2 * 2 + rows % 2

    def classes(self, classes: Int[np.ndarray, "k"], rows: Int[np.ndarray, "n"], seed: int) -> Int[np.ndarray, "n"]:
        """The class of every row: of k patients in turn, one has each; see `UNLIKE` for their second images."""
        patient = self.numbers(rows)
        block, place = _in_turn(len(classes), patient, seed)
        if self.each == 2:
            place = np.where(rows % 2 == 0, place, _traded(len(classes), place, block, seed))
        return classes[place]


def _in_turn(count: int, patient: Int[np.ndarray, "n"], seed: int) -> tuple[Int[np.ndarray, "n"], Int[np.ndarray, "n"]]:
    """Each patient's block of `count` and place in it, shuffled (Fisher and Yates) by the draws of the block alone."""
    blocks, of = np.unique(patient // count, return_inverse=True)
    order = np.tile(np.arange(count), (len(blocks), 1))
    every = np.arange(len(blocks))
    for last in range(count - 1, 0, -1):
        u = row_uniform(seed, "target" if last == 1 else f"target:{last}", blocks)
        other = (u * (last + 1)).astype(np.int64)
        order[every, last], order[every, other] = order[every, other], order[every, last]
    return blocks[of], order[of, patient % count]


def _traded(count: int, place: Int[np.ndarray, "n"], block: Int[np.ndarray, "n"], seed: int) -> Int[np.ndarray, "n"]:
    """The class in whose place a second image is: as often each, since two patients of a block trade theirs."""
    first = (row_uniform(seed, "pairs of classes", block) < 0.5).astype(np.int64)  # 0-1, 2-3, ... or 1-2, 3-4, ...
    lower = place - (place - first) % 2
    trades = row_uniform(seed, "unlike", block * count + np.maximum(lower, 0)) < UNLIKE
    return np.where((lower >= 0) & (lower + 1 < count) & trades, 2 * lower + 1 - place, place)
