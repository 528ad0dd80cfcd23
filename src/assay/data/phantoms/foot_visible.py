"""What of a foot photograph's factors can be seen, after their difficulty."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True, slots=True)
class Visible:
    """What of each factor can be seen: float64 [n], but for `view`, codes of the views, int64 [n].

    presence: 0 no ulcer, 1 the ulcer at its stated contrast. diameter: in % of the side.
    further: how much of a second and a third ulcer, [n, 2].
    coloured, bare: 0 to 1, how far the cloth is of another colour than white, and how far it is missing.
    turned: how far the foot is turned from the sole towards its view, 0 to 1.
    """

    presence: np.ndarray
    diameter: np.ndarray
    contrast: np.ndarray
    slough: np.ndarray
    rim: np.ndarray
    irregularity: np.ndarray
    x: np.ndarray
    y: np.ndarray
    further: Float[np.ndarray, "n 2"]
    tone: np.ndarray
    coloured: np.ndarray
    bare: np.ndarray
    light: np.ndarray
    view: Int[np.ndarray, "n"]
    turned: np.ndarray


def visible(values: Mapping[str, np.ndarray], difficulty: Mapping[str, float]) -> Visible:
    """Scale each factor's distance from a fixed reference by its difficulty, within what can be drawn.

    At difficulty 0 every image has the reference: no ulcer, or a single one of 10 % of the side in the middle of the
    foot with middling contrast, slough, rim and outline; light brown skin, white cloth, even light, the sole.
    """

    def scaled(name: str, reference: float, low: float, high: float) -> np.ndarray:
        return np.clip(reference + difficulty.get(name, 1.0) * (values[name] - reference), low, high)

    count, view = difficulty.get("count", 1.0), difficulty.get("view", 1.0)
    cloth = min(1.0, difficulty.get("background", 1.0))
    return Visible(
        presence=scaled("lesion", 0, 0, 1.5),
        diameter=100 * scaled("size", 0.1, 0.02, 0.4),
        contrast=scaled("contrast", 0.7, 0.1, 1.2),
        slough=scaled("slough", 0.3, 0, 1),
        rim=scaled("rim", 0.3, 0, 2),
        irregularity=scaled("irregularity", 0.4, 0, 1.5),
        x=scaled("position_x", 0, -1.4, 1.4),
        y=scaled("position_y", 0, -1.2, 1.2),
        further=np.clip(count * values["count"][:, None] - np.array([0.0, 1.0]), 0, 1),
        tone=scaled("skin_tone", 0.35, 0, 1),
        coloured=cloth * (values["background"] == 1),
        bare=cloth * (values["background"] == 2),
        light=scaled("illumination", 0, -1.6, 1.6),
        view=values["view"],
        turned=np.full(len(values["view"]), min(1.0, view)),
    )
