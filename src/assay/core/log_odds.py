"""Log-odds of probabilities, exactly 0 and 1 among them, for arrays of NumPy and of PyTorch."""

from __future__ import annotations

import math
from typing import Any

Ends = tuple[float, float]
"""The smallest distances from 0 and from 1 of probabilities that are neither."""
SMALLEST: Ends = (5e-324, 2.0**-53)
"""Those of float64."""


def log_odds_of(p: Any, ends: Ends, of: Any) -> Any:
    """Return log-odds of probabilities, finite and rising.

    Exactly 0 becomes half the smallest distance from 0, and what is nearer to 0 than that is between the two; so at 1.

    Args:
        p: Probabilities in float64.
        ends: See `Ends`.
        of: The module of the array: NumPy or PyTorch.
    """
    return log_of(p, ends[0], of) - log_of(1 - p, ends[1], of)


def log_of(p: Any, end: float, of: Any) -> Any:
    """Return the logarithm of probabilities; see `log_odds_of`."""
    p = p.clip(0)
    half = of.where(p < end, of.full_like(p, math.log(2)), of.zeros_like(p))
    return of.log(of.where(p < end, p + end, p)) - half
