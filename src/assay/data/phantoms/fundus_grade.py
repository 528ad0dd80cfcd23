"""How many lesions a fundus has, and its grade: the international scale of retinopathy as far as counts can follow it.

The scale (Wilkinson et al., Ophthalmology 2003, 110:1677): 0, no abnormality; 1, microaneurysms only; 2, more than
those but less than 3; 3, any of more than 20 haemorrhages in each of four quadrants, venous beading in two, prominent
intraretinal microvascular abnormalities in one; 4, new vessels or a vitreous or preretinal haemorrhage.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from assay.data.phantoms.counter import uniforms

SEVERE = 4
"""Haemorrhages in each quadrant from which on the grade is 3. The scale's more than 20 are those of the whole retina;
a photograph of 45 degrees shows about a fifth of it.
"""
QUADRANTS, IN_A_QUADRANT = 4, 9
"""Quadrants of the photograph about its middle (upper left, upper right, lower left, lower right), and the most
haemorrhages in one.
"""
FEWEST: Mapping[str, tuple[int, ...]] = {
    "microaneurysms": (0, 1, 0, 2, 0),
    "haemorrhages": (0, 0, 0, QUADRANTS * SEVERE, 0),
    "exudates": (0, 0, 0, 0, 0),
    "cotton_wool": (0, 0, 0, 0, 0),
    "new_vessels": (0, 0, 0, 0, 1),
}
"""Of each kind, by grade. At grade 2 a haemorrhage or an exudate, as the nuisance seed has it, is there always."""
MOST: Mapping[str, tuple[int, ...]] = {
    "microaneurysms": (0, 12, 16, 20, 20),
    "haemorrhages": (0, 0, 12, 30, 30),
    "exudates": (0, 0, 18, 30, 30),
    "cotton_wool": (0, 0, 4, 8, 8),
    "new_vessels": (0, 0, 0, 0, 3),
}


@dataclass(frozen=True, slots=True)
class Counts:
    """Lesions of each fundus, int64 [n]; haemorrhages by quadrant, [n, 4]."""

    microaneurysms: Int[np.ndarray, "n"]
    haemorrhages: Int[np.ndarray, "n 4"]
    exudates: Int[np.ndarray, "n"]
    cotton_wool: Int[np.ndarray, "n"]
    new_vessels: Int[np.ndarray, "n"]


def grade_of(counts: Counts) -> Int[np.ndarray, "n"]:
    """The grade, 0 to 4, that these lesions make.

    4 with new vessels; else 3 with at least `SEVERE` haemorrhages in each quadrant; else 2 with any haemorrhage,
    exudate or cotton-wool spot; else 1 with any microaneurysm; else 0.
    """
    further = (counts.haemorrhages.sum(axis=1) + counts.exudates + counts.cotton_wool) > 0
    severe = (counts.haemorrhages >= SEVERE).all(axis=1)
    return np.select([counts.new_vessels > 0, severe, further, counts.microaneurysms > 0], [4, 3, 2, 1], 0)


def numbers(
    grade: Int[np.ndarray, "n"], share: Mapping[str, Float[np.ndarray, "n"]], nuisance: Int[np.ndarray, "n"]
) -> dict[str, Int[np.ndarray, "n"]]:
    """How many of each kind: from the fewest to the most that the grade allows, by the square of the share 0 to 1."""
    bleeds = uniforms(nuisance, "fundus-leads", 1)[:, 0] < 0.5
    always = {"haemorrhages": (grade == 2) & bleeds, "exudates": (grade == 2) & ~bleeds}
    counted: dict[str, Int[np.ndarray, "n"]] = {}
    for kind, fewest in FEWEST.items():
        low = np.maximum(np.array(fewest)[grade], always.get(kind, np.zeros(1, dtype=bool)))
        part = share[kind] * share[kind] * (np.array(MOST[kind])[grade] - low)
        counted[kind] = low + np.floor(part + 0.5).astype(np.int64)
    return counted


def in_order(grade: Int[np.ndarray, "n"], nuisance: Int[np.ndarray, "n"]) -> Int[np.ndarray, "n 4 9"]:
    """The turn in which each place of each quadrant bleeds.

    At grade 3 the first `SEVERE` of every quadrant come first. At grade 2 one quadrant, which the nuisance seed names,
    has its places from the `SEVERE`th on last, so that it never has as many.
    """
    turn = uniforms(nuisance, "fundus-turn", QUADRANTS * IN_A_QUADRANT).reshape(-1, QUADRANTS, IN_A_QUADRANT)
    turn = np.sort(turn, axis=2)
    spared = (uniforms(nuisance, "fundus-spared", 1) * QUADRANTS).astype(np.int64) == np.arange(QUADRANTS)
    place = np.arange(IN_A_QUADRANT)
    first = (grade == 3)[:, None, None] & (place < SEVERE)
    last = ((grade == 2)[:, None] & spared)[:, :, None] & (place >= SEVERE - 1)
    keys = (turn + last - first).reshape(len(grade), -1)
    ranks = np.argsort(np.argsort(keys, axis=1, kind="stable"), axis=1, kind="stable")
    return ranks.reshape(turn.shape)
