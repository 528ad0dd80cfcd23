"""Polyps: where they lie and what they look like, from a flat patch over a dome to a head on a stalk."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from assay.data.phantoms.counter import spread, uniforms
from assay.data.phantoms.endoscopy_visible import Visible
from assay.data.phantoms.endoscopy_wall import toward_lumen
from assay.data.phantoms.exact import direction

MOST = 3
"""Polyps in an image at most."""
STALKED = 0.6
"""Shape from which on a stalk shows."""

_UNEVEN = 0.075
BULGE = 1 + 1.6 * 2 * _UNEVEN
"""The outline nowhere lies farther out than this, in half axes."""
LOBES = 12
"""Lobules of a polyp."""
_GOLDEN = 0.3819660112501051  # of a turn: points at multiples of it, at radii as square roots, lie evenly on a disc
_ROOM = 0.3  # the centre of a further polyp lies within this distance of the middle, across and down


@dataclass(frozen=True, slots=True)
class Polyps:
    """Up to three polyps an image, float64 [n, 3] unless stated; lengths in sides of the image.

    opacity: 0 where there is none. cosine, sine: direction of the long axis. stretch: root of long over short axis.
    uneven: harmonics of the outline [n, 3, 4]. height: 0.2 flat to 1 a half ball. redness: colour over the mucosa's.
    stalk: length in radii, 0 none. stalk_x, stalk_y: direction from head to base. thickness: of the stalk, in radii.
    lobes_x, lobes_y: centres of lobules in half axes [n, 3, 12]; lobes_weight: how far each gives way to the others, as
    a squared distance. lobulated: 0 smooth to 1.
    shade_x, shade_y: direction in which the shadow falls.
    """

    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    opacity: np.ndarray
    cosine: np.ndarray
    sine: np.ndarray
    stretch: np.ndarray
    uneven: np.ndarray
    height: np.ndarray
    redness: np.ndarray
    stalk: np.ndarray
    stalk_x: np.ndarray
    stalk_y: np.ndarray
    thickness: np.ndarray
    lobes_x: np.ndarray
    lobes_y: np.ndarray
    lobes_weight: np.ndarray
    lobulated: np.ndarray
    shade_x: np.ndarray
    shade_y: np.ndarray


def polyps(seen: Visible, nuisance: Int[np.ndarray, "n"]) -> Polyps:
    """The polyps of each image: factors from `seen`, all else from the nuisance seed. The first has the stated place
    and size; the further ones share its look, are smaller and lie beside it.
    """

    def draw(name: str, low: float, high: float) -> Float[np.ndarray, "n 3"]:
        return spread(nuisance, f"polyp-{name}", low, high, MOST)

    def turned(name: str) -> tuple[np.ndarray, np.ndarray]:
        return direction(uniforms(nuisance, f"polyp-{name}", MOST))

    share = np.where(np.arange(MOST) == 0, 1.0, draw("share", 0.4, 0.75))
    radius = 0.5 * seen.diameter[:, None] * share
    x, y = _places(seen, radius, nuisance)
    cosine, sine = turned("axis")
    stalk_x, stalk_y = direction(toward_lumen(nuisance) + 0.5 + draw("stalk", -0.14, 0.14))
    shade_x, shade_y = turned("shade")
    lobes_x, lobes_y = _lobes(nuisance)
    every = np.ones(MOST)
    return Polyps(
        x=x,
        y=y,
        radius=radius,
        opacity=seen.presence[:, None] * (1 + seen.further[:, None] - np.arange(MOST)).clip(0, 1),
        cosine=cosine,
        sine=sine,
        stretch=np.sqrt(draw("stretch", 1.0, 1.5)),
        uneven=spread(nuisance, "polyp-uneven", -_UNEVEN, _UNEVEN, 4 * MOST).reshape(-1, MOST, 4),
        height=(0.2 + 1.6 * seen.shape[:, None]).clip(0.2, 1.0) * every,
        redness=_redness(seen, nuisance) * every,
        stalk=(seen.shape[:, None] - STALKED).clip(0) / (1 - STALKED) * draw("stalk-length", 0.8, 1.4),
        stalk_x=stalk_x,
        stalk_y=stalk_y,
        thickness=draw("stalk-thickness", 0.24, 0.36),
        lobes_x=lobes_x,
        lobes_y=lobes_y,
        lobes_weight=spread(nuisance, "lobe-weight", 0.0, 0.09, MOST * LOBES).reshape(-1, MOST, LOBES),
        lobulated=seen.texture[:, None] ** 2 * every,
        shade_x=shade_x,
        shade_y=shade_y,
    )


def _redness(seen: Visible, nuisance: Int[np.ndarray, "n"]) -> Float[np.ndarray, "n 1"]:
    """Three polyps in four are redder than the mucosa, one is paler."""
    paler = uniforms(nuisance, "polyp-paler", 1) < 0.25
    return seen.contrast[:, None] * np.where(paler, -0.5, 0.6)


def _places(
    seen: Visible, radius: Float[np.ndarray, "n 3"], nuisance: Int[np.ndarray, "n"]
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3"]]:
    """The first where it is stated; the second to one side of it and the third to the other, folded into the image."""
    turn = uniforms(nuisance, "polyp-beside", 1) + np.array([0.0, 0.0, 0.5])
    cosine, sine = direction(turn + spread(nuisance, "polyp-aside", -0.1, 0.1, MOST))
    gap = 1.35 * (radius[:, :1] + radius) + spread(nuisance, "polyp-gap", 0.0, 0.08, MOST)
    gap = gap * (np.arange(MOST) > 0)
    return _folded(seen.x[:, None], gap * cosine), _folded(seen.y[:, None], gap * sine)


def _folded(start: Float[np.ndarray, "n 1"], step: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """Start and step added; a step that would lead out of sight is turned about, and ends where sight does."""
    there, back = start + step, start - step
    end = np.where((np.abs(there) > _ROOM) & (np.abs(back) < np.abs(there)), back, there)
    return np.where(step == 0, start, end.clip(-_ROOM, _ROOM))


def _lobes(nuisance: Int[np.ndarray, "n"]) -> tuple[Float[np.ndarray, "n 3 k"], Float[np.ndarray, "n 3 k"]]:
    """Centres of lobules: even on the disc but for a jitter."""
    count = MOST * LOBES
    shape = (len(nuisance), MOST, LOBES)
    order = np.arange(LOBES)
    jitter = spread(nuisance, "lobe-turn", -0.05, 0.05, count).reshape(shape)
    start = uniforms(nuisance, "lobe-start", MOST)[:, :, None]
    cosine, sine = direction(start + order * _GOLDEN + jitter)
    away = np.sqrt((order + 0.5) / LOBES) * spread(nuisance, "lobe-away", 0.88, 1.04, count).reshape(shape)
    return away * cosine, away * sine
