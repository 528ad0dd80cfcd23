"""What colours a mucosa: blood in its tissue and its vessels, and what the bowel was not rinsed of."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from assay.data.phantoms.canvas import Grid, column
from assay.data.phantoms.capsules import Capsules
from assay.data.phantoms.counter import spread, uniforms
from assay.data.phantoms.endoscopy_visible import Visible
from assay.data.phantoms.exact import direction
from assay.data.phantoms.fields import lattice, spline_zoom

_COARSE, _FINE = 6, 34
"""Cells over the image of slow changes of colour and of fine ones."""
_TREES, _TRUNK, _TWIGS, _TWIG = 5, 6, 3, 3
_STEP = 0.06  # length of a piece of a vessel at a middling distance, in sides of the image


def mottling(nuisance: Int[np.ndarray, "n"], grid: Grid) -> Float[Tensor, "n size size"]:
    """Blood in the tissue over its mean: some patches redder, some paler, and a fine grain."""
    coarse = lattice(nuisance, "endo-patches", _COARSE, spread(nuisance, "patchy", 0.04, 0.14)[:, 0], grid)
    fine = lattice(nuisance, "endo-speckle", _FINE, spread(nuisance, "speckled", 0.03, 0.16)[:, 0], grid)
    return spline_zoom(fine.add_(spline_zoom(coarse, _FINE + 2)), grid.size)


def film(nuisance: Int[np.ndarray, "n"], share: float, grid: Grid) -> Float[Tensor, "n size size"]:
    """Yellow mucus and rests of stool, 0 to 1 where they lie. share: of images that have some."""
    there = uniforms(nuisance, "endo-film", 1)[:, 0] < share
    amount = there * spread(nuisance, "film-amount", 0.4, 1.0)[:, 0]
    level = column(spread(nuisance, "film-level", 0.72, 1.92)[:, 0], grid.device)
    field = spline_zoom(lattice(nuisance, "film", _COARSE, np.full(len(nuisance), 1.2), grid), grid.size)
    return field.sub_(level).clamp_(0, 1).mul_(column(amount, grid.device))


def vessels(seen: Visible, nuisance: Int[np.ndarray, "n"], amount: float) -> Capsules:
    """Trees of vessels that branch under the mucosa, larger from close by, as strengths 0 to 1.

    amount: scales how plain they are, 1 normal.
    """
    n = len(nuisance)
    near = (1.5 - 0.9 * seen.distance).clip(0.5)[:, None]

    def draw(name: str, low: float, high: float, count: int) -> np.ndarray:
        return spread(nuisance, f"endo-vessel-{name}", low, high, count)

    plain = amount * draw("plain", -0.2, 1.3, 1).clip(0) * draw("strength", 0.5, 1.0, _TREES)
    radius = near * draw("radius", 0.0025, 0.006, _TREES)
    start = (draw("x", -0.5, 0.5, _TREES), draw("y", -0.5, 0.5, _TREES), draw("heading", 0, 1, _TREES), radius, plain)
    trunk = _path(nuisance, "trunk", start, near, _TRUNK)
    pieces = [trunk[:8]]
    for number in range(_TWIGS):
        x, y, heading = (value[:, :, number + 1] for value in trunk[8:])
        turn = np.where(number % 2 == 0, 0.13, -0.13) + draw(f"fork-{number}", -0.05, 0.05, _TREES)
        twig = (x, y, heading + turn, (0.72 - 0.08 * number) * radius, 0.8 * plain)
        pieces.append(_path(nuisance, f"twig-{number}", twig, 0.8 * near, _TWIG)[:8])
    return Capsules(*(np.concatenate([piece[k].reshape(n, -1) for piece in pieces], axis=1) for k in range(8)))


def _path(
    nuisance: Int[np.ndarray, "n"],
    stream: str,
    start: tuple[np.ndarray, ...],
    near: Float[np.ndarray, "n 1"],
    steps: int,
) -> list[Float[np.ndarray, "n trees steps"]]:
    """Bent, tapering paths from (x, y, heading, radius, strength): the pieces' two ends, radii and strengths, then
    where each piece ends and its heading.
    """
    x, y, heading, radius, strength = start
    shape = (*x.shape, steps)

    def draw(name: str, low: float, high: float) -> np.ndarray:
        return spread(nuisance, f"endo-{stream}-{name}", low, high, x.shape[1] * steps).reshape(shape)

    headings = heading[:, :, None] + np.cumsum(draw("turn", -0.11, 0.11), axis=2)
    cosine, sine = direction(headings)
    lengths = near[:, :, None] * draw("length", 0.6 * _STEP, _STEP)
    x1, y1 = x[:, :, None] + np.cumsum(lengths * cosine, axis=2), y[:, :, None] + np.cumsum(lengths * sine, axis=2)
    x0 = np.concatenate([x[:, :, None], x1[:, :, :-1]], axis=2)
    y0 = np.concatenate([y[:, :, None], y1[:, :, :-1]], axis=2)
    fading = 1 - np.arange(steps + 1) / (steps + 2)
    radii, strengths = radius[:, :, None] * fading, strength[:, :, None] * fading
    ends = [x0, y0, x1, y1, radii[:, :, :-1], radii[:, :, 1:], strengths[:, :, :-1], strengths[:, :, 1:]]
    return [*ends, x1, y1, headings]
