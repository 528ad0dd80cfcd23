"""Fractals of iterated function systems: one class is one system, whose pictures vary its parameters and the view.

Kataoka et al. 2020, "Pre-training without natural images" (FractalDB): a system is a few affine maps, drawn at random
and kept when its attractor fills enough of a picture; points are drawn by the chaos game (Barnsley 1988).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from assay.core.seeds import row_seed
from assay.data.phantoms.canvas import column
from assay.data.phantoms.counter import lattice_bits, spread, uniforms
from assay.data.phantoms.exact import direction

MAPS = 4
"""Maps of a system."""
FILLED = 0.25
"""The least share of a 32 x 32 picture that an attractor must reach."""

_PLAYERS = 256  # points that play at once, all of which start on the attractor
_JITTER = 0.12  # how far an image's parameters may lie from those of its class
_CONTRACTION = 0.85 / (1 + _JITTER)


@lru_cache(maxsize=256)
def system(number: int) -> tuple[Float[np.ndarray, "maps 6"], Float[np.ndarray, "maps"]]:
    """The maps (a, b, c, d, e, f: x' = a x + b y + e, y' = c x + d y + f) and probabilities of a class.

    The first of a stream of systems with uniform coefficients that contract and fill enough of a picture. Map k is
    chosen in proportion to the area to which it shrinks one.
    """
    stream = np.array([number], dtype=np.int64)
    for attempt in range(10_000):
        maps = spread(stream, f"ifs-{attempt}", -1, 1, 6 * MAPS).reshape(MAPS, 6)
        if not all(_stretch(coefficients) <= _CONTRACTION for coefficients in maps):
            maps[:, :4] *= (_CONTRACTION / np.array([max(_CONTRACTION, _stretch(each)) for each in maps]))[:, None]
        area = np.abs(maps[:, 0] * maps[:, 3] - maps[:, 1] * maps[:, 2])
        chance = np.maximum(area, 0.02)
        chance /= chance.sum()
        if _filled(maps, chance) >= FILLED:
            return maps, chance
    raise RuntimeError(f"no system fills a picture for class {number}")


def draw_fractal(
    number: int, scale: Float[np.ndarray, "n"], nuisance: Int[np.ndarray, "n"], size: int, device: str
) -> Float[Tensor, "n size size"]:
    """How much of every pixel the attractor covers, 0..1: class `number`, varied, turned and placed by each seed."""
    maps, chance = system(number)
    own = maps * spread(nuisance, "ifs-jitter", 1 - _JITTER, 1 + _JITTER, 6 * MAPS).reshape(-1, MAPS, 6)
    x, y = _play(own, chance, nuisance, _PLAYERS, max(4, size * size // _PLAYERS), device)
    cosine, sine = (column(part, device)[..., 0] for part in direction(uniforms(nuisance, "ifs-turn", 1)[:, 0]))
    mirrored = column(np.where(uniforms(nuisance, "ifs-mirror", 1)[:, 0] < 0.5, -1.0, 1.0), device)[..., 0]
    across, down = (x * cosine + y * sine) * mirrored, y * cosine - x * sine
    return _density(across, down, scale, nuisance, size)


def _play(
    maps: Float[np.ndarray, "n maps 6"],
    chance: Float[np.ndarray, "maps"],
    nuisance: Int[np.ndarray, "n"],
    players: int,
    steps: int,
    device: str,
) -> tuple[Float[Tensor, "n points"], Float[Tensor, "n points"]]:
    """Points of each row's attractor; every player starts at the fixed point of the first map."""
    n = len(nuisance)
    keys = torch.as_tensor(row_seed(0, "ifs-choice", nuisance).astype(np.uint32).view(np.int32), device=device)
    bits = (lattice_bits(keys, players * steps) >> 8) & 0xFFFF
    choice = torch.zeros_like(bits)
    for edge in np.rint(np.cumsum(chance)[:-1] * 65536).astype(int).tolist():
        choice += bits >= edge
    choice += torch.arange(n, device=device, dtype=choice.dtype)[:, None] * MAPS
    coefficients = torch.as_tensor(maps.reshape(-1, 6).astype(np.float32), device=device)
    chosen = coefficients.index_select(0, choice.view(-1)).view(n, steps, players, 6)
    x, y = (column(start, device)[..., 0].expand(n, players) for start in _fixed_point(maps[:, 0]))
    seen: list[tuple[Tensor, Tensor]] = []
    for step in range(steps):
        a, b, c, d, e, f = chosen[:, step].unbind(-1)
        x, y = a * x + b * y + e, c * x + d * y + f
        seen.append((x, y))
    return torch.cat([point[0] for point in seen], dim=1), torch.cat([point[1] for point in seen], dim=1)


def _density(
    x: Float[Tensor, "n points"],
    y: Float[Tensor, "n points"],
    scale: Float[np.ndarray, "n"],
    nuisance: Int[np.ndarray, "n"],
    size: int,
) -> Float[Tensor, "n size size"]:
    """Points counted by pixel, the attractor's box filling .85 of the image at scale 1."""
    device = str(x.device)
    low_x, high_x, low_y, high_y = (each.unsqueeze(1) for each in (x.amin(1), x.amax(1), y.amin(1), y.amax(1)))
    zoom = column(0.85 * scale, device)[..., 0] * size / torch.maximum(high_x - low_x, high_y - low_y)
    shift = spread(nuisance, "ifs-shift", -0.08, 0.08, 2) * size + size / 2
    at_x = torch.floor((x - (low_x + high_x) * 0.5) * zoom + column(shift[:, 0], device)[..., 0]).to(torch.int64)
    at_y = torch.floor((y - (low_y + high_y) * 0.5) * zoom + column(shift[:, 1], device)[..., 0]).to(torch.int64)
    inside = (at_x >= 0) & (at_x < size) & (at_y >= 0) & (at_y < size)
    place = torch.where(inside, at_y * size + at_x, size * size)  # the last place takes what lies outside
    counts = torch.zeros(len(x), size * size + 1, device=device)
    counts.scatter_add_(1, place, torch.ones_like(x))
    counts = counts[:, :-1].view(-1, size, size)
    return counts / (counts + 0.5)


def _fixed_point(maps: Float[np.ndarray, "n 6"]) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"]]:
    a, b, c, d, e, f = maps.T
    determinant = (1 - a) * (1 - d) - b * c
    return ((1 - d) * e + b * f) / determinant, (c * e + (1 - a) * f) / determinant


def _stretch(coefficients: Float[np.ndarray, "6"]) -> float:
    """The larger singular value of a map's matrix."""
    a, b, c, d = coefficients[:4]
    squares, area = a * a + b * b + c * c + d * d, a * d - b * c
    return float(np.sqrt((squares + np.sqrt(max(0.0, squares * squares - 4 * area * area))) / 2))


def _filled(maps: Float[np.ndarray, "maps 6"], chance: Float[np.ndarray, "maps"]) -> float:
    """The share of a 32 x 32 picture that 4,096 points of the attractor reach."""
    x, y = _play(maps[None], chance, np.zeros(1, dtype=np.int64), _PLAYERS, 16, "cpu")
    seen = _density(x, y, np.ones(1), np.zeros(1, dtype=np.int64), 32)
    return float((seen > 0).sum()) / 1024
