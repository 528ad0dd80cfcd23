"""The vessels of a radiograph: hila, trunks that leave them outwards, and twigs."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from jaxtyping import Float, Int

from assay.data.phantoms.capsules import Capsules
from assay.data.phantoms.chest_anatomy import Anatomy
from assay.data.phantoms.chest_frame import on_image
from assay.data.phantoms.chest_visible import Visible
from assay.data.phantoms.counter import spread
from assay.data.phantoms.exact import direction

_TREES, _STEPS, _TWIGS = 9, 5, 3
_OUTWARD = np.array([-0.235, -0.18, -0.12, -0.06, 0.0, 0.05, 0.1, 0.15, 0.2])
"""Heading of each trunk in turns from straight outwards: up is negative."""


class Draw(Protocol):
    """Numbers per row from the nuisance seed: name, lowest, highest, and the shape for each row."""

    def __call__(self, what: str, low: float, high: float, /, *shape: int) -> Float[np.ndarray, "n ..."]:
        """Uniform numbers."""
        ...


def vessels(seen: Visible, build: Anatomy, nuisance: Int[np.ndarray, "n"], amount: float) -> Capsules:
    """Hila and vessels of both lungs as tubes on the image, with the attenuation that they add.

    They grow thicker and denser with age; the lower ones are the larger, as in someone who stands.
    amount: scales their attenuation, 1 normal.
    """
    sides = [_side(seen, build, nuisance, sign) for sign in (-1, 1)]
    joined = [np.concatenate(pair, axis=1) for pair in zip(*sides, strict=True)]
    x0, y0, x1, y1, radius0, radius1, strength0, strength1 = joined
    start, end = on_image(build.pose, x0, y0), on_image(build.pose, x1, y1)
    return Capsules(*start, *end, radius0, radius1, amount * strength0, amount * strength1)


def _side(seen: Visible, build: Anatomy, nuisance: Int[np.ndarray, "n"], sign: int) -> list[np.ndarray]:
    """Tubes of one lung in the patient's coordinates, [n, k] each."""
    name = "left" if sign > 0 else "right"
    n = len(nuisance)

    def draw(what: str, low: float, high: float, /, *shape: int) -> Float[np.ndarray, "n ..."]:
        count = int(np.prod(shape))
        return spread(nuisance, f"vessel-{name}-{what}", low, high, count).reshape(n, *shape)

    height = -30 - 9 * (sign > 0) + 0.35 * (build.dome_right - 80)
    root_x = (build.mediastinum + 8)[:, None] + draw("root-x", -4, 8, _TREES)
    root_y = height[:, None] + draw("root-y", -12, 14, _TREES) + 70 * _OUTWARD
    heading = _OUTWARD + draw("heading", -0.03, 0.03, _TREES)
    size = (1 + 0.16 * seen.age)[:, None]
    radius = size * draw("radius", 2.2, 4.0, _TREES) * (1 + 0.8 * _OUTWARD)
    strength = size * draw("strength", 0.07, 0.14, _TREES)
    length = 19 * (1 + 1.2 * _OUTWARD.clip(0)) * (0.9 + 0.25 * build.width[:, None] / 130)
    trunk = _path(draw, "trunk", (root_x, root_y, heading, radius, strength, length), _STEPS)
    pieces = [trunk]
    for number, turn in ((1, 0.09), (2, -0.09), (3, 0.08)):
        x, y, angle = (trunk[8][:, :, number - 1], trunk[9][:, :, number - 1], trunk[10][:, :, number - 1])
        thinner = (0.7 - 0.09 * number) * radius, 0.9 * strength
        twig = (x, y, angle + turn + draw(f"fork-{number}", -0.04, 0.04, _TREES), *thinner, 0.8 * length)
        pieces.append(_path(draw, f"twig-{number}", twig, _TWIGS))
    tubes = [np.concatenate([piece[k].reshape(n, -1) for piece in pieces], axis=1) for k in range(8)]
    hilum = _hilum(draw, root_x.mean(axis=1), height, size[:, 0])
    tubes = [np.concatenate(pair, axis=1) for pair in zip(tubes, hilum, strict=True)]
    return [sign * tubes[0], tubes[1], sign * tubes[2], *tubes[3:]]


def _path(draw: Draw, stream: str, start: tuple[np.ndarray, ...], steps: int) -> list[np.ndarray]:
    """Bent, tapering paths from (x, y, heading, radius, strength, length of a step).

    Returns the pieces' two ends, radii and strengths, then where each piece ends and its heading.
    """
    x, y, heading, radius, strength, length = start
    trees = x.shape[1]
    headings = heading[:, :, None] + np.cumsum(draw(f"{stream}-turn", -0.035, 0.035, trees, steps), axis=2)
    cosine, sine = direction(headings)
    lengths = length[:, :, None] * draw(f"{stream}-length", 0.7, 1.2, trees, steps)
    x1, y1 = x[:, :, None] + np.cumsum(lengths * cosine, axis=2), y[:, :, None] + np.cumsum(lengths * sine, axis=2)
    x0 = np.concatenate([x[:, :, None], x1[:, :, :-1]], axis=2)
    y0 = np.concatenate([y[:, :, None], y1[:, :, :-1]], axis=2)
    fading = 1 - 0.15 * np.arange(steps + 1)
    radii, strengths = radius[:, :, None] * fading, strength[:, :, None] * fading
    ends = [x0, y0, x1, y1, radii[:, :, :-1], radii[:, :, 1:], strengths[:, :, :-1], strengths[:, :, 1:]]
    return [*ends, x1, y1, headings]


def _hilum(draw: Draw, x: np.ndarray, y: np.ndarray, size: np.ndarray) -> list[np.ndarray]:
    """Three short thick tubes where the vessels leave the heart."""
    x0 = x[:, None] + draw("hilum-x", -8, 2, 3)
    y0 = y[:, None] + draw("hilum-y", -12, 10, 3)
    x1, y1 = x0 + draw("hilum-across", 2, 12, 3), y0 + draw("hilum-along", 8, 28, 3)
    radius = draw("hilum-radius", 4.5, 7.5, 3) * size[:, None]
    strength = draw("hilum-strength", 0.12, 0.19, 3)
    return [x0, y0, x1, y1, radius, 0.7 * radius, strength, 0.8 * strength]
