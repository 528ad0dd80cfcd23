"""Neutral marginals of a phantom's factors as quantile functions: u in [0, 1) -> values.

They use exactly defined arithmetic only, so that a row's factor has the same bits whatever rows stand beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float

from assay.core.errors import DataError, unknown_name


class Marginal(Protocol):
    """A distribution given by its quantile function."""

    def quantile(self, u: Float[np.ndarray, "n"]) -> np.ndarray:
        """Values at these probabilities; float64 numbers, or int64 codes for a factor with levels."""
        ...


@dataclass(frozen=True, slots=True)
class Uniform:
    """Every number between `low` and `high` alike."""

    low: float
    high: float

    def quantile(self, u: Float[np.ndarray, "n"]) -> np.ndarray:
        """Float64 numbers."""
        return self.low + (self.high - self.low) * u


@dataclass(frozen=True, slots=True)
class Skewed:
    """Between `low` and `high` with more of the low: low + (high - low) (u + u^2) / 2, the median at 3/8 of the way."""

    low: float
    high: float

    def quantile(self, u: Float[np.ndarray, "n"]) -> np.ndarray:
        """Float64 numbers."""
        return self.low + (self.high - self.low) * (0.5 * u * (1 + u))


@dataclass(frozen=True, slots=True)
class Levels:
    """Codes 0, 1, ... with these shares, in order; shares are sums of powers of two, so that their edges are exact."""

    shares: Sequence[float]

    def quantile(self, u: Float[np.ndarray, "n"]) -> np.ndarray:
        """Int64 codes."""
        edges = np.cumsum(np.asarray(self.shares))[:-1]
        return np.searchsorted(edges, u, side="right").astype(np.int64)


@dataclass(frozen=True, slots=True)
class Halves:
    """Codes of `count` levels: the first half of them (rounded down) fills u < 0.5 evenly, the others fill the rest."""

    count: int

    def quantile(self, u: Float[np.ndarray, "n"]) -> np.ndarray:
        """Int64 codes."""
        low, high = self.count // 2, self.count - self.count // 2
        upper = u >= 0.5
        within = np.where(upper, (2 * u - 1) * high, 2 * u * low).astype(np.int64)
        return within + low * upper


def quantile_of(marginals: Mapping[str, Marginal], factor: str, u: Float[np.ndarray, "n"]) -> np.ndarray:
    """Values of a phantom's factor at probabilities u in [0, 1): numbers, or codes of levels [n].

    Raises DataError for an unknown factor and for a probability outside.
    """
    if factor not in marginals:
        raise DataError(unknown_name("factor", factor, tuple(marginals)))
    if not bool(np.all((u >= 0) & (u < 1))):
        raise DataError(f"a quantile of '{factor}' was asked outside 0 <= u < 1")
    return marginals[factor].quantile(np.asarray(u, dtype=np.float64))
