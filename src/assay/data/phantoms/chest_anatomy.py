"""The build of a chest: where its parts lie, how large they are, and how the patient stands before the detector.

Lengths are millimetres at the patient, from the middle of the chest: x to the image's right (the patient's left), y
down. Everything follows from the visible factors and the nuisance seed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from assay.data.phantoms.chest_visible import Visible
from assay.data.phantoms.counter import spread

Draw = Callable[[str, float, float], np.ndarray]
"""A number per row from the nuisance seed: name, lowest, highest."""


@dataclass(frozen=True, slots=True)
class Pose:
    """Magnification, place of the chest in the image (mm), sideways lean and bend of the midline. float64 [n] each."""

    zoom: np.ndarray
    x: np.ndarray
    y: np.ndarray
    lean: np.ndarray
    bend: np.ndarray


@dataclass(frozen=True, slots=True)
class Anatomy:
    """Sizes and places, float64 [n] each.

    apex: height of the lungs' top. dome_right, dome_left: of the diaphragm's. angle: how far the costophrenic angles
    lie below them. width: half width of the rib cage. wall: thickness of the chest wall. neck: half width.
    arms: gap between arm and trunk, negative where they touch. inflation: depth of the lungs over normal.
    turned: how far a turn of the body moves heart and vessels to the left of the spine.
    heart, tall: width and height of the heart over normal; heart_y: height of its middle.
    mediastinum: half width of the great vessels above it. knob: radius of the aortic knob. unfolding: how far the aorta
    below it bulges. asymmetry: right over left lung width.
    breast: thickness as a share of the chest's; breast_size, breast_x, breast_y: half width and place.
    stomach: strength of the bubble, 0 none; stomach_x, stomach_width, stomach_height: place and half lengths.
    """

    pose: Pose
    apex: np.ndarray
    dome_right: np.ndarray
    dome_left: np.ndarray
    angle: np.ndarray
    width: np.ndarray
    wall: np.ndarray
    neck: np.ndarray
    arms: np.ndarray
    inflation: np.ndarray
    turned: np.ndarray
    heart: np.ndarray
    heart_y: np.ndarray
    tall: np.ndarray
    mediastinum: np.ndarray
    knob: np.ndarray
    unfolding: np.ndarray
    asymmetry: np.ndarray
    breast: np.ndarray
    breast_size: np.ndarray
    breast_y: np.ndarray
    breast_x: np.ndarray
    stomach: np.ndarray
    stomach_x: np.ndarray
    stomach_width: np.ndarray
    stomach_height: np.ndarray


def anatomy(seen: Visible, nuisance: Int[np.ndarray, "n"]) -> Anatomy:
    """The build of each patient: factors from `seen`, all else from the nuisance seed."""

    def draw(name: str, low: float, high: float) -> Float[np.ndarray, "n"]:
        return spread(nuisance, f"chest-{name}", low, high)[:, 0]

    breath = draw("breath", -20, 20) - 13 * seen.ap - 10 * seen.habitus
    width = draw("width", 142, 160) * (1 - 0.085 * seen.female) * (1 + 0.05 * seen.habitus)
    wall = (draw("wall", 16, 34) + 46 * (seen.habitus + 0.25)).clip(10)
    stomach = draw("stomach", -0.5, 1.0).clip(0) * (1 - 0.45 * seen.ap)
    return Anatomy(
        pose=_pose(seen, draw),
        apex=draw("apex", -166, -148) + 4 * seen.female,
        dome_right=80 + breath,
        dome_left=80 + breath + draw("left-dome", 2, 18),
        angle=draw("angle", 34, 54),
        width=width,
        wall=wall,
        neck=draw("neck", 56, 68) - 6 * seen.female + 22 * seen.habitus,
        arms=draw("arms", -14, 30) - 22 * seen.ap - 24 * seen.habitus,
        inflation=draw("inflation", 0.9, 1.05) - 0.12 * seen.ap,
        turned=draw("turned", -7, 7) * (1 + seen.ap),
        heart=draw("heart", 0.86, 1.08) * (1 + 0.13 * seen.ap) * (1 + 0.1 * seen.habitus) * (1 - 0.06 * seen.female),
        heart_y=70 + 0.8 * breath + draw("heart-y", -5, 5),
        tall=draw("heart-tall", 0.9, 1.1),
        mediastinum=draw("mediastinum", 22, 28) * (1 + 0.2 * seen.ap) * (1 + 0.2 * seen.habitus),
        knob=draw("knob", 15, 20) + 5.5 * seen.age,
        unfolding=draw("unfolding", 0, 5) + 7 * seen.age,
        asymmetry=draw("asymmetry", 0.96, 1.05),
        breast=seen.female * draw("breast", 0.1, 0.26) * (1 + 0.5 * seen.habitus) * (1 - 0.2 * seen.ap),
        breast_size=draw("breast-size", 60, 82) * (1 + 0.25 * seen.habitus),
        breast_y=draw("breast-y", 48, 84) - 8 * seen.ap,
        breast_x=draw("breast-x", 82, 100) + 12 * seen.ap,
        stomach=stomach,
        stomach_x=draw("stomach-x", 46, 82),
        stomach_width=draw("stomach-width", 20, 38),
        stomach_height=draw("stomach-height", 10, 18),
    )


def _pose(seen: Visible, draw: Draw) -> Pose:
    loose = 1 + 0.6 * seen.ap
    return Pose(
        zoom=draw("zoom", 0.92, 1.1) * (1 - 0.02 * seen.female) * (1 + 0.03 * seen.ap),
        x=draw("x", -10, 10) * loose,
        y=draw("y", -16, 14) * loose + 2,
        lean=draw("lean", -0.035, 0.035) * loose,
        bend=draw("bend", -6, 6),
    )
