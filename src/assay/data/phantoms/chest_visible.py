"""What of a chest radiograph's factors can be seen, after their difficulty."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

_MIDDLE_AGE, _YEARS = 50.0, 40.0


@dataclass(frozen=True, slots=True)
class Visible:
    """What of each factor can be seen: float64 [n] each.

    presence: 0 no mass, 1 the mass at its stated contrast. side: 0 right to 1 left. zone: 0 upper to 2 lower.
    female, ap, direct: 0 to 1 (beyond 1 at difficulties over 1). age: -0.75 (20 years) to 1 (90).
    habitus: -0.5 slender to 0.5 heavy. exposure: -1 dark to 1 bright.
    """

    presence: np.ndarray
    diameter: np.ndarray
    contrast: np.ndarray
    edge: np.ndarray
    side: np.ndarray
    zone: np.ndarray
    female: np.ndarray
    age: np.ndarray
    ap: np.ndarray
    direct: np.ndarray
    habitus: np.ndarray
    exposure: np.ndarray


def visible(values: Mapping[str, np.ndarray], difficulty: Mapping[str, float]) -> Visible:
    """Scale each factor's distance from a fixed reference by its difficulty, within what can be drawn.

    At difficulty 0 every image has the reference: no mass, or one of 44 mm, middling contrast and edge, in the right
    middle zone; a man of 50 years and middling habitus, PA, on the computed scanner, normally exposed.
    """

    def scaled(name: str, reference: float, low: float, high: float) -> np.ndarray:
        return np.clip(reference + difficulty.get(name, 1.0) * (values[name] - reference), low, high)

    return Visible(
        presence=scaled("mass", 0, 0, 3),
        diameter=scaled("size", 44, 10, 100),
        contrast=scaled("contrast", 0.35, 0.02, 1.0),
        edge=scaled("edge", 0.5, 0, 2),
        side=scaled("side", 0, 0, 1),
        zone=scaled("zone", 1, -0.2, 2.2),
        female=1 - scaled("sex", 1, -0.6, 1),
        age=(scaled("age", _MIDDLE_AGE, 10, 110) - _MIDDLE_AGE) / _YEARS,
        ap=scaled("view", 0, 0, 1.6),
        direct=scaled("scanner", 0, 0, 1.6),
        habitus=scaled("habitus", 0.5, -0.5, 1.5) - 0.5,
        exposure=scaled("exposure", 0, -2, 2),
    )
