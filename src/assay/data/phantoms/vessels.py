"""The lung's own structure: branching vessels that run in and out of the slice, and vessels cut across."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from assay.data.phantoms.capsules import Capsules
from assay.data.phantoms.counter import spread, uniforms
from assay.data.phantoms.exact import direction

_STEP = 5.0  # the longest piece of a vessel, in mm
_HU = 850.0  # of a vessel over parenchyma
_TREES, _TRUNK, _BRANCH = 5, 4, 3
_DOTS = 24


def branching_vessels(nuisance: Int[np.ndarray, "n"], density: float, field: float) -> Capsules:
    """Up to five trees per patch: a trunk of four pieces and a side branch of three, thinner and dimmer as they go.

    density: 1 is normal, 0 none; it scales how many of the trees are there.
    """
    n = len(nuisance)
    shape = (n, _TREES, 1)
    there = (uniforms(nuisance, "tree", _TREES) < 0.5 * density).reshape(shape)
    half = 0.55 * field
    x = spread(nuisance, "tree-x", -half, half, _TREES).reshape(shape)
    y = spread(nuisance, "tree-y", -half, half, _TREES).reshape(shape)
    heading = uniforms(nuisance, "tree-heading", _TREES).reshape(shape)
    u = uniforms(nuisance, "tree-radius", _TREES).reshape(shape)
    radius = 0.45 + 1.2 * u * u
    trunk, tips = _path(nuisance, "trunk", (x, y, heading, radius), _TRUNK)
    side = np.where(uniforms(nuisance, "side", _TREES).reshape(shape) < 0.5, -0.12, 0.12)
    start = tuple(value[:, :, 1:2] for value in tips)
    branch, _ = _path(nuisance, "branch", (start[0], start[1], start[2] + side, 0.7 * start[3]), _BRANCH)
    joined = [np.concatenate([a, b], axis=2) for a, b in zip(trunk, branch, strict=True)]
    x0, y0, x1, y1, r0, r1, s0, s1 = (value.reshape(n, -1) for value in joined)
    visible = _HU * np.broadcast_to(there, joined[0].shape).reshape(n, -1)
    return Capsules(x0, y0, x1, y1, r0, r1, s0 * visible, s1 * visible)


def cut_vessels(nuisance: Int[np.ndarray, "n"], density: float, field: float) -> Capsules:
    """Vessels across the slice: dots and short strokes, most of them small and dim."""
    half = 0.5 * field
    there = uniforms(nuisance, "dot", _DOTS) < 0.65 * density
    x, y = spread(nuisance, "dot-x", -half, half, _DOTS), spread(nuisance, "dot-y", -half, half, _DOTS)
    cosine, sine = direction(uniforms(nuisance, "dot-heading", _DOTS))
    u = uniforms(nuisance, "dot-length", _DOTS)
    length = 2.5 * u * u * u
    v = uniforms(nuisance, "dot-radius", _DOTS)
    radius = 0.4 + 0.9 * v * v * v
    strength = spread(nuisance, "dot-strength", 0.35, 1.0, _DOTS) * (_HU * there)
    return Capsules(x, y, x + length * cosine, y + length * sine, radius, 0.8 * radius, strength, 0.7 * strength)


def _path(
    nuisance: Int[np.ndarray, "n"], stream: str, start: tuple[np.ndarray, ...], steps: int
) -> tuple[list[np.ndarray], tuple[np.ndarray, ...]]:
    """Bent paths from (x, y, heading, radius): the pieces' ends, radii and strengths, and the state after each step."""
    x, y, heading, radius = start
    n, trees = x.shape[:2]
    shape = (n, trees, steps)

    def draw(name: str, low: float, high: float) -> Float[np.ndarray, "n trees steps"]:
        return spread(nuisance, f"{stream}-{name}", low, high, trees * steps).reshape(shape)

    headings = heading + np.cumsum(draw("turn", -0.07, 0.07), axis=2)
    cosine, sine = direction(headings)
    lengths = draw("length", 0.5 * _STEP, _STEP)
    x1, y1 = x + np.cumsum(lengths * cosine, axis=2), y + np.cumsum(lengths * sine, axis=2)
    x0, y0 = np.concatenate([x, x1[:, :, :-1]], axis=2), np.concatenate([y, y1[:, :, :-1]], axis=2)
    taper = 1 - 0.14 * np.arange(steps + 1)
    bright = spread(nuisance, f"{stream}-strength", 0.3, 1.1, trees * (steps + 1)).reshape(n, trees, steps + 1)
    radii = radius * taper
    pieces = [x0, y0, x1, y1, radii[:, :, :-1], radii[:, :, 1:], bright[:, :, :-1], bright[:, :, 1:]]
    return pieces, (x1, y1, headings, radii[:, :, 1:])
