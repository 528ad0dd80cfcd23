"""The four sides from which a foot is seen, in numbers: limbs, toes and where ulcers lie, in % of the image's side.

The big toe of the sole and of the top lies at the right, the toes of the side at the right; nuisance mirrors and turns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

_GONE = (0.0, -900.0, 1.0)


@dataclass(frozen=True, slots=True)
class Views:
    """One entry per view (or per image); see `foot_shape.Foot`. sideways: 1 where the ankle may bear ulcers."""

    ellipses: Float[np.ndarray, "n 2 3 3"]
    middle: Float[np.ndarray, "n 2 3"]
    place: Float[np.ndarray, "n 2 2"]
    toes: Float[np.ndarray, "n 5 6"]
    nails: Float[np.ndarray, "n 5"]
    plantar: Float[np.ndarray, "n"]
    sideways: Float[np.ndarray, "n"]


def _ellipse(centre: float, half_width: float, half_length: float) -> tuple[float, float, float]:
    return centre, half_width**2, (half_width / half_length) ** 2


_NO_LIMB = (_GONE, _GONE, _GONE)
_NO_TOE = (0.0, 0.0, 0.0, 1.0, -1.0, -1.0)
_STRAIGHT = (0.0, 0.0, 0.0)

VIEWS = Views(
    ellipses=np.array(
        [
            [[_ellipse(-13, 16.5, 19), _ellipse(6, 13.5, 32), _ellipse(25, 13, 17)], _NO_LIMB],
            [[_ellipse(-50, 13.5, 60), _ellipse(-5, 15, 30), _ellipse(8, 18.5, 24)], _NO_LIMB],
            [
                [_ellipse(-55, 14, 50), _ellipse(-25, 9.5, 40), _ellipse(4, 11, 16)],
                [_ellipse(-14, 11.5, 14), _ellipse(6, 11, 27), _ellipse(24, 8, 15)],
            ],
            [[_ellipse(-14, 15.5, 20), _ellipse(6, 14, 32), _ellipse(55, 12.5, 60)], _NO_LIMB],
        ]
    ),
    middle=np.array(
        [
            [(0.0, 0.0, -1.0), _STRAIGHT],
            [_STRAIGHT, _STRAIGHT],
            [(-13.0, 0.0, 0.0), (15.0, 0.12, 0.0)],
            [_STRAIGHT, _STRAIGHT],
        ]
    ),
    place=np.array([[(-25, 32), (0, 1)], [(-18, 24), (0, 1)], [(-36, 6), (-22, 34)], [(-26, 26), (0, 1)]], dtype=float),
    toes=np.array(
        [
            [
                (9.6, -26, 10.3, -33.5, 5.6, 5.6),
                (1.7, -28, 2.0, -35.0, 3.5, 3.8),
                (-4.6, -27, -5.0, -32.8, 3.3, 3.5),
                (-10.2, -23, -11.0, -29, 3.1, 3.2),
                (-14.3, -18, -15.6, -23.5, 2.8, 2.9),
            ],
            [_NO_TOE] * 5,
            [
                (30, 20.5, 39, 21.8, 5.2, 4.2),
                (30, 17, 36.5, 18.0, 3.6, 3.0),
                (28, 14.5, 33.5, 15.2, 3.2, 2.7),
                _NO_TOE,
                _NO_TOE,
            ],
            [
                (8.7, -25, 9.6, -35.5, 5.0, 4.7),
                (1.8, -27, 2.1, -36.5, 3.3, 3.2),
                (-4.1, -26, -4.5, -34.5, 3.2, 3.0),
                (-9.4, -23, -10.3, -31, 3.0, 2.8),
                (-13.3, -18, -14.8, -25.5, 2.8, 2.5),
            ],
        ]
    ),
    nails=np.array([[0.0] * 5, [0.0] * 5, [0.8, 0.7, 0.6, 0.0, 0.0], [1.0] * 5]),
    plantar=np.array([1.0, 0.7, 0.15, 0.0]),
    sideways=np.array([0.0, 0.0, 1.0, 0.0]),
)
"""In the order of the factor's levels: sole, heel, side, top."""
