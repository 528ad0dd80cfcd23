"""Where the lesions of a fundus lie and how large they are: every place is drawn, the first so many are shown.

Places of one kind do not depend on how many are shown, nor on another kind, so that one lesion more is that one alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from assay.data.phantoms.counter import spread, uniforms
from assay.data.phantoms.exact import direction
from assay.data.phantoms.fundus_anatomy import Eye
from assay.data.phantoms.fundus_grade import IN_A_QUADRANT, MOST, QUADRANTS, in_order, numbers
from assay.data.phantoms.fundus_visible import Visible

KINDS = ("microaneurysms", "haemorrhages", "exudates", "cotton_wool", "new_vessels")
"""The kinds of lesions, in the order of `FundusPhantom.masks_by_kind`."""
FIELD, HEIGHT = 0.43, 0.36
"""Lesions lie within this distance of the middle and of the middle line: in the view of both cameras."""
_GOLDEN = 0.38196601125010515  # of a turn
_FOCI, _CLUSTERS = 3, 0.33  # clusters of exudates, and how far from the image's middle theirs lie at the most
_RADII = {  # smallest, and what is added at the most
    "microaneurysms": (0.0042, 0.0025),
    "haemorrhages": (0.008, 0.028),
    "exudates": (0.0045, 0.0125),
    "cotton_wool": (0.015, 0.014),
    "new_vessels": (0.035, 0.02),
}
_UNEVEN = {"microaneurysms": 0.0, "haemorrhages": 0.12, "exudates": 0.13, "cotton_wool": 0.08, "new_vessels": 0.1}


@dataclass(frozen=True, slots=True)
class Spots:
    """k lesions of one kind a row, float64 [n, k] unless stated.

    shown: whether it is there. opacity: 0 to 1 and over. cosine, sine: direction of the long axis; stretch: root of
    long over short. even, odd: harmonics of the outline [n, k, 3].
    """

    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    cosine: np.ndarray
    sine: np.ndarray
    stretch: np.ndarray
    opacity: np.ndarray
    even: Float[np.ndarray, "n k 3"]
    odd: Float[np.ndarray, "n k 3"]
    shown: Bool[np.ndarray, "n k"]


def lesions(seen: Visible, shape: Eye, nuisance: Int[np.ndarray, "n"]) -> dict[str, Spots]:
    """Every fundus's lesions by kind."""
    counted = numbers(seen.grade, seen.share, nuisance)
    placed = {
        "microaneurysms": _scattered("microaneurysms", 14, 0.06, 0.02, seen, shape, nuisance),
        "haemorrhages": _by_quadrant(seen, shape, nuisance),
        "exudates": _clustered(seen, shape, nuisance),
        "cotton_wool": _scattered("cotton_wool", 6, 0.125, 0.13, seen, shape, nuisance),
        "new_vessels": _at_disc(*_scattered("new_vessels", 4, 0.2, 0.15, seen, shape, nuisance), shape, nuisance),
    }
    spots: dict[str, Spots] = {}
    for kind, (x, y) in placed.items():
        turn = np.broadcast_to(np.arange(len(x.T)), x.shape)
        if kind == "haemorrhages":
            turn = in_order(seen.grade, nuisance).reshape(x.shape)
        spots[kind] = _spots(kind, x, y, turn < counted[kind][:, None], seen, shape, nuisance)
    return spots


def bleeding(seen: Visible, counted: Mapping[str, np.ndarray], nuisance: Int[np.ndarray, "n"]) -> np.ndarray:
    """How many haemorrhages lie in each quadrant, int64 [n, 4]."""
    return (in_order(seen.grade, nuisance) < counted["haemorrhages"][:, None, None]).sum(axis=2)


def _spots(
    kind: str,
    x: np.ndarray,
    y: np.ndarray,
    shown: np.ndarray,
    seen: Visible,
    shape: Eye,
    nuisance: Int[np.ndarray, "n"],
) -> Spots:
    n, k = x.shape

    def draw(name: str, low: float, high: float, count: int = 1) -> np.ndarray:
        return spread(nuisance, f"{kind}-{name}", low, high, k * count)

    smallest, more = _RADII[kind]
    u = draw("radius", 0, 1)
    radius = (smallest + more * u * u * u) * seen.size[:, None]
    cosine, sine = direction(draw("axis", 0, 1))
    stretch = draw("stretch", 1.0, 1.0 if kind == "microaneurysms" else 1.25)
    if kind == "haemorrhages":  # flames lie along the nerve fibres, away from the disc
        flame = uniforms(nuisance, "haemorrhages-flame", k) < 0.25
        dx, dy = x - shape.disc[:, :1], y - shape.disc[:, 1:]
        away = np.sqrt(dx * dx + dy * dy) + 1e-9
        cosine, sine = np.where(flame, dx / away, cosine), np.where(flame, dy / away, sine)
        stretch = np.where(flame, 1.5 * stretch, stretch)
    opacity = draw("opacity", 0.75, 1.0) * (seen.contrast * seen.presence)[:, None]
    waves = _UNEVEN[kind] * draw("waves", -1, 1, 6).reshape(n, k, 6)
    return Spots(x, y, radius, cosine, sine, stretch, opacity, waves[:, :, :3], waves[:, :, 3:], shown)


def _scattered(
    kind: str, cells: int, pitch: float, from_fovea: float, seen: Visible, shape: Eye, nuisance: Int[np.ndarray, "n"]
) -> tuple[np.ndarray, np.ndarray]:
    """The first places of a jittered lattice in the order of their keys."""
    x, y, key = _places(kind, cells, pitch, from_fovea, seen, shape, nuisance)
    chosen = np.argsort(key, axis=1, kind="stable")[:, : max(MOST[kind])]
    return np.take_along_axis(x, chosen, axis=1), np.take_along_axis(y, chosen, axis=1)


def _by_quadrant(seen: Visible, shape: Eye, nuisance: Int[np.ndarray, "n"]) -> tuple[np.ndarray, np.ndarray]:
    """The first places of each quadrant, all of one quadrant behind another."""
    x, y, key = _places("haemorrhages", 10, 0.085, 0.04, seen, shape, nuisance)
    quadrant = 2 * (y > 0) + (x > 0)
    order = np.argsort(key + 100 * quadrant, axis=1, kind="stable")
    per = x.shape[1] // QUADRANTS
    chosen = order.reshape(len(x), QUADRANTS, per)[:, :, :IN_A_QUADRANT].reshape(len(x), -1)
    return np.take_along_axis(x, chosen, axis=1), np.take_along_axis(y, chosen, axis=1)


def _places(
    kind: str, cells: int, pitch: float, from_fovea: float, seen: Visible, shape: Eye, nuisance: Int[np.ndarray, "n"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places on a jittered lattice about the middle, and keys: low ones come first, those off limits last."""
    line = (np.arange(cells) - 0.5 * (cells - 1)) * pitch
    middle_x, middle_y = np.tile(line, cells), np.repeat(line, cells)
    count = cells * cells
    x = middle_x + pitch * spread(nuisance, f"{kind}-x", -0.28, 0.28, count)
    y = middle_y + pitch * spread(nuisance, f"{kind}-y", -0.28, 0.28, count)
    dx, dy = x - shape.disc[:, :1], y - shape.disc[:, 1:]
    to_disc = np.sqrt(dx * dx + dy * dy)
    dx, dy = x - shape.fovea[:, :1], y - shape.fovea[:, 1:]
    to_fovea = np.sqrt(dx * dx + dy * dy)
    outside = (x * x + y * y > FIELD * FIELD) | (np.abs(y) > HEIGHT)
    off = outside | (to_disc < shape.radius[:, None] + 0.03) | (to_fovea < from_fovea)
    central = (seen.centrality - 0.5)[:, None]
    return x, y, uniforms(nuisance, f"{kind}-key", count) + 3 * central * to_fovea + 10 * off


def _clustered(seen: Visible, shape: Eye, nuisance: Int[np.ndarray, "n"]) -> tuple[np.ndarray, np.ndarray]:
    """Three clusters about the fovea, each a sunflower's head that grows from its middle."""
    n, each = len(nuisance), max(MOST["exudates"]) // _FOCI

    def draw(name: str, low: float, high: float, count: int) -> np.ndarray:
        return spread(nuisance, f"exudates-{name}", low, high, count)

    first = draw("first", 0, 1, 1)
    cosine, sine = direction(first + np.arange(_FOCI) / _FOCI + draw("around", -0.04, 0.04, _FOCI))
    far = 0.1 + (0.02 + 0.08 * (1 - seen.centrality)[:, None]) * draw("far", 0.4, 1, _FOCI)
    middle_x, middle_y = shape.fovea[:, :1] + far * cosine, shape.fovea[:, 1:] + far * sine
    inwards = np.minimum(1, _CLUSTERS / np.sqrt(middle_x * middle_x + middle_y * middle_y + 1e-9))
    middle_x, middle_y = middle_x * inwards, middle_y * inwards
    place = np.arange(each)
    turn = draw("turn", 0, 1, _FOCI)[:, :, None] + _GOLDEN * place
    cosine, sine = direction(turn + draw("stray", -0.03, 0.03, _FOCI * each).reshape(n, _FOCI, each))
    away = 0.0205 * np.sqrt(place + 0.5)
    x, y = middle_x[:, :, None] + away * cosine, middle_y[:, :, None] + away * sine
    # One cluster is filled before the next begins.
    return x.reshape(n, -1), y.reshape(n, -1)


def _at_disc(x: np.ndarray, y: np.ndarray, shape: Eye, nuisance: Int[np.ndarray, "n"]) -> tuple[np.ndarray, np.ndarray]:
    """The first tuft of two eyes in five grows on the disc's rim."""
    there = uniforms(nuisance, "new-vessels-at-disc", 1) < 0.4
    cosine, sine = direction(uniforms(nuisance, "new-vessels-around", 1))
    first = np.array([True] + [False] * (x.shape[1] - 1))
    on_x = shape.disc[:, :1] + 0.8 * shape.radius[:, None] * cosine
    on_y = shape.disc[:, 1:] + 0.8 * shape.radius[:, None] * sine
    return np.where(there & first, on_x, x), np.where(there & first, on_y, y)
