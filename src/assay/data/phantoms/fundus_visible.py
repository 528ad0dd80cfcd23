"""What of a fundus photograph's factors can be seen, after their difficulty."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from assay.data.phantoms.fundus_grade import FEWEST


@dataclass(frozen=True, slots=True)
class Visible:
    """What of each factor can be seen: float64 [n] each, in the factors' own units, unless stated.

    grade: int64 codes. presence: how opaque lesions are, 0 none. share: by kind of lesion. side: -1 left, 1 right.
    cut: 0 the round camera to 1 the cut one.
    """

    grade: Int[np.ndarray, "n"]
    presence: np.ndarray
    share: Mapping[str, Float[np.ndarray, "n"]]
    size: np.ndarray
    contrast: np.ndarray
    centrality: np.ndarray
    side: np.ndarray
    cut: np.ndarray
    pigment: np.ndarray
    cup: np.ndarray
    calibre: np.ndarray
    illumination: np.ndarray


def visible(values: Mapping[str, np.ndarray], difficulty: Mapping[str, float]) -> Visible:
    """Scale each factor's distance from a fixed reference by its difficulty, within what can be drawn.

    At difficulty 0 every image has the reference: no lesions (grade), or middling ones; a right eye, the round camera,
    middling pigment, cup, vessels and light. A grade has no half: its difficulty makes lesions fainter, and at 0 there
    are none; the side is seen at any difficulty but 0.
    """

    def scaled(name: str, reference: float, low: float, high: float) -> np.ndarray:
        return np.clip(reference + difficulty.get(name, 1.0) * (values[name] - reference), low, high)

    n = len(values["grade"])
    drawn = difficulty.get("grade", 1.0)
    left = (values["side"] == 0) & (difficulty.get("side", 1.0) > 0)
    return Visible(
        grade=values["grade"] if drawn > 0 else np.zeros_like(values["grade"]),
        presence=np.full(n, min(drawn, 1.5)),
        share={kind: scaled(kind, 0.4, 0, 1) for kind in FEWEST},
        size=scaled("lesion_size", 1, 0.5, 2),
        contrast=scaled("lesion_contrast", 0.8, 0.1, 1.2),
        centrality=scaled("centrality", 0.5, 0, 1),
        side=np.where(left, -1.0, 1.0),
        cut=scaled("camera", 0, 0, 1),
        pigment=scaled("pigment", 0.45, 0, 1),
        cup=scaled("cup", 0.4, 0.05, 0.9),
        calibre=scaled("calibre", 1, 0.5, 1.8),
        illumination=scaled("illumination", 0, -1.6, 1.6),
    )
