"""Arteries and veins of a fundus: arcades from the disc around the macula, their branches and twigs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from assay.data.phantoms.canvas import Grid
from assay.data.phantoms.capsules import Capsules, draw_capsules
from assay.data.phantoms.counter import spread
from assay.data.phantoms.exact import direction
from assay.data.phantoms.fundus_anatomy import Eye
from assay.data.phantoms.fundus_visible import Visible

RADIUS = {"artery": 0.0043, "vein": 0.0058}
"""Half the width of a usual trunk at the disc."""
_TRUNKS, _PIECES = 4, 12  # upper and lower, to the temple and to the nose
_FORKS = (2, 4, 6, 8)  # pieces of a trunk after which it branches
_BRANCH, _TWIG = 6, 4
_TWIGS_AT = (2, 4)


@dataclass(frozen=True, slots=True)
class Tree:
    """One kind of vessels: trunks, branches and twigs."""

    trunks: Capsules
    branches: Capsules
    twigs: Capsules


@dataclass(frozen=True, slots=True)
class _Course:
    """Paths of k vessels a row: points [n, k, steps + 1] and headings [n, k, steps] as unit vectors, and radii."""

    x: np.ndarray
    y: np.ndarray
    along_x: np.ndarray
    along_y: np.ndarray
    radius: np.ndarray


def tree(kind: str, seen: Visible, shape: Eye, nuisance: Int[np.ndarray, "n"]) -> Tree:
    """The arteries or the veins of each eye."""
    stream = f"fundus-{kind}"
    trunks = _trunks(kind, seen, shape, nuisance)
    branches = _offshoots(f"{stream}-branch", trunks, _FORKS, _BRANCH, 0.052, 0.62, nuisance)
    twigs = _offshoots(f"{stream}-twig", branches, _TWIGS_AT, _TWIG, 0.036, 0.55, nuisance)
    return Tree(*(_tubes(course, shape) for course in (trunks, branches, twigs)))


def draw_tree(canvas: Float[Tensor, "n pixels"], vessels: Tree, blur: Float[np.ndarray, "n"], grid: Grid) -> None:
    """Raise the canvas to the blood in the way, 0 to 1."""
    for tubes in (vessels.twigs, vessels.branches, vessels.trunks):
        draw_capsules(canvas, tubes, blur, grid)


def _trunks(kind: str, seen: Visible, shape: Eye, nuisance: Int[np.ndarray, "n"]) -> _Course:
    """Temporal trunks arch above and below the macula; nasal ones run outwards."""
    n, t = len(nuisance), np.arange(_PIECES + 1) / _PIECES

    def draw(name: str, low: float, high: float, count: int = _TRUNKS) -> np.ndarray:
        return spread(nuisance, f"fundus-{kind}-{name}", low, high, count)

    up = np.array([-1.0, 1.0, -1.0, 1.0])
    temporal = np.array([1.0, 1.0, 0.0, 0.0])
    wide = 1.0 if kind == "vein" else 0.88
    height = up * (temporal * wide * draw("height", 0.25, 0.31) + (1 - temporal) * draw("rise", 0.14, 0.36))
    reach = temporal * draw("reach", 0.62, 0.78) - (1 - temporal) * draw("nasal", 0.2, 0.34)
    bend = draw("bend", -0.05, 0.4)[:, :, None]
    start = draw("start", -0.2, 0.2) * shape.radius[:, None]
    swing = draw("swing", -1, 1, _TRUNKS * _PIECES).reshape(n, _TRUNKS, _PIECES)
    wander = np.concatenate([np.zeros((n, _TRUNKS, 1)), np.cumsum(swing, axis=2)], axis=2)
    wander = wander * (0.004 + 0.007 * spread(nuisance // 2, "fundus-patient-tortuous", 0, 1)[:, :, None])
    # To the temple u rises with the square of the way and v with its parabola; to the nose both are straight.
    nasal = (1 - temporal)[:, None]
    bow = temporal[:, None] * (0.75 * t * t + 0.25 * t * t * t) + nasal * t
    arch = temporal[:, None] * (2.25 * t - 1.25 * t * t - bend * (t * t * t)) + nasal * (1.2 * t - 0.2 * t * t)
    u = start[:, :, None] + reach[:, :, None] * bow + 0.5 * wander
    x = shape.disc[:, 0, None, None] - shape.nasal[:, None, None] * u
    y = shape.disc[:, 1, None, None] + height[:, :, None] * arch + wander
    radius = RADIUS[kind] * seen.calibre[:, None] * (0.62 + 0.38 * temporal) * draw("radius", 0.85, 1.15)
    return _course(x, y, radius[:, :, None] * (1 - 0.55 * t))


def _offshoots(
    stream: str,
    parent: _Course,
    forks: tuple[int, ...],
    steps: int,
    step: float,
    thinner: float,
    nuisance: Int[np.ndarray, "n"],
) -> _Course:
    """Paths that leave their parents after these pieces, to one side and the other in turns."""
    n, own = parent.x.shape[0], parent.x.shape[1] * len(forks)
    at = list(forks)

    def draw(name: str, low: float, high: float, count: int = 1) -> np.ndarray:
        return spread(nuisance, f"{stream}-{name}", low, high, own * count).reshape(n, own, count)

    def begun(values: np.ndarray, shift: int) -> np.ndarray:
        return values[:, :, [k + shift for k in at]].reshape(n, own, 1)

    side = np.tile(np.where(np.arange(len(forks)) % 2 == 0, 1.0, -1.0), parent.x.shape[1])[None, :, None]
    turns = side * draw("leave", 0.08, 0.15) - side * 0.012 * np.arange(steps)
    turns = turns + np.cumsum(draw("turn", -0.035, 0.035, steps), axis=2)
    cosine, sine = direction(turns)
    from_x, from_y = begun(parent.along_x, -1), begun(parent.along_y, -1)
    length = step * draw("length", 0.6, 1.25, steps)
    x = begun(parent.x, 0) + _from_zero(length * (from_x * cosine - from_y * sine))
    y = begun(parent.y, 0) + _from_zero(length * (from_x * sine + from_y * cosine))
    radius = thinner * begun(parent.radius, 0) * draw("radius", 0.7, 1.15)
    return _course(x, y, radius * (1 - 0.6 * np.arange(steps + 1) / steps))


def _from_zero(steps: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros((*steps.shape[:2], 1)), np.cumsum(steps, axis=2)], axis=2)


def _course(x: np.ndarray, y: np.ndarray, radius: np.ndarray) -> _Course:
    dx, dy = np.diff(x, axis=2), np.diff(y, axis=2)
    length = np.sqrt(dx * dx + dy * dy) + 1e-9
    return _Course(x, y, dx / length, dy / length, radius)


def _tubes(course: _Course, shape: Eye) -> Capsules:
    """Tubes that fade towards the fovea, which has no vessels."""
    n = len(shape.radius)
    dx, dy = course.x - shape.fovea[:, :1, None], course.y - shape.fovea[:, 1:, None]
    strength = ((np.sqrt(dx * dx + dy * dy) - 0.045) / 0.06).clip(0, 1)
    ends = [value[:, :, part].reshape(n, -1) for part in (slice(None, -1), slice(1, None)) for value in (
        course.x, course.y, course.radius, strength)]  # fmt: skip
    x0, y0, r0, s0, x1, y1, r1, s1 = ends
    return Capsules(x0, y0, x1, y1, r0, r1, s0, s1)
