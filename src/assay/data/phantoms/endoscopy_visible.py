"""What of an endoscopic image's factors can be seen, after their difficulty."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Visible:
    """What of each factor can be seen: float64 [n] each, in the factors' own units.

    presence: opacity of the polyps, 0 none. further: how many beside the first are there, 0 to 2.
    """

    presence: np.ndarray
    diameter: np.ndarray
    shape: np.ndarray
    contrast: np.ndarray
    texture: np.ndarray
    x: np.ndarray
    y: np.ndarray
    further: np.ndarray
    hue: np.ndarray
    illumination: np.ndarray
    folds: np.ndarray
    distance: np.ndarray
    bubbles: np.ndarray
    highlights: np.ndarray


def visible(values: Mapping[str, np.ndarray], difficulty: Mapping[str, float]) -> Visible:
    """Scale each factor's distance from a fixed reference by its difficulty, within what can be drawn.

    At difficulty 0 every image has the reference: no polyp, or a single smooth sessile one in the middle, 0.35 wide and
    coloured as the mucosa; middling mucosa, light, folds, distance and highlights; no bubbles.
    """

    def scaled(name: str, reference: float, low: float, high: float) -> np.ndarray:
        return np.clip(reference + difficulty.get(name, 1.0) * (values[name] - reference), low, high)

    return Visible(
        presence=scaled("lesion", 0, 0, 1),
        diameter=scaled("size", 0.35, 0.05, 0.8),
        shape=scaled("shape", 0.5, 0, 1.2),
        contrast=scaled("contrast", 0, 0, 2),
        texture=scaled("texture", 0, 0, 1.5),
        x=scaled("position_x", 0, -0.35, 0.35),
        y=scaled("position_y", 0, -0.35, 0.35),
        further=scaled("count", 0, 0, 2),
        hue=scaled("hue", 0, -1.5, 1.5),
        illumination=scaled("illumination", 0, -1.6, 1.6),
        folds=scaled("folds", 0.5, 0, 1.4),
        distance=scaled("distance", 0.5, 0, 1.2),
        bubbles=scaled("bubbles", 0, 0, 2),
        highlights=scaled("highlights", 0.5, 0, 1.5),
    )
