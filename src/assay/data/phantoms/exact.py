"""Functions whose result is the same bits wherever a value stands in an array.

Libraries compute sines and exponentials with one routine for full vectors and another for the remainder, which differ
in the last bit; a phantom's geometry uses these instead, which need only + - * and comparisons.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

_COSINE = tuple((-1.0) ** k * (math.pi / 2) ** (2 * k) / math.factorial(2 * k) for k in range(10))
_SINE = tuple((-1.0) ** k * (math.pi / 2) ** (2 * k + 1) / math.factorial(2 * k + 1) for k in range(10))


def direction(turns: Float[np.ndarray, "*shape"]) -> tuple[Float[np.ndarray, "*shape"], Float[np.ndarray, "*shape"]]:
    """Cosine and sine of an angle in turns (1 is a full circle), to within 2e-15."""
    quarters = np.rint(4 * turns)
    rest = 4 * turns - quarters
    cosine, sine = _polynomial(_COSINE, rest * rest), rest * _polynomial(_SINE, rest * rest)
    quadrant = quarters.astype(np.int64) & 3
    return (
        np.choose(quadrant, [cosine, -sine, -cosine, sine]),
        np.choose(quadrant, [sine, cosine, -sine, -cosine]),
    )


def _polynomial(coefficients: tuple[float, ...], x: np.ndarray) -> np.ndarray:
    total = np.full_like(x, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total = total * x + coefficient
    return total
