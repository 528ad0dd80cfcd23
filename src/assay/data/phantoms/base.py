"""The parts that all phantoms share: requests, marginal distributions, shapes and exact arithmetic."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from assay.core.errors import DataError, SpecError, unknown_name
from assay.core.types import Factor

# Checks of what a phantom is asked to render, in the words of its factors.


def check_size(size: int, smallest: int, largest: int) -> None:
    """Raises SpecError for an image size outside what the phantom can draw."""
    if not smallest <= size <= largest:
        raise SpecError(f"image size {size} px: this phantom draws {smallest} to {largest} px a side")


def check_difficulty(factors: Sequence[Factor], difficulty: Mapping[str, float]) -> None:
    """Raises SpecError for a difficulty of an unknown factor or one outside 0 to 3."""
    names = [factor.name for factor in factors]
    for name, value in difficulty.items():
        if name not in names:
            raise SpecError(unknown_name("factor in difficulty:", name, names))
        if not 0 <= value <= 3:
            raise SpecError(f"difficulty of '{name}' is {value:g}; give 0 (invisible) to 3, normal being 1")


def check_values(
    factors: Sequence[Factor], values: Mapping[str, np.ndarray], nuisance: Int[np.ndarray, "n"]
) -> dict[str, np.ndarray]:
    """The values as float64 numbers or int64 codes [n], by factor.

    Raises DataError for a factor that is missing or unknown, a column of another length, or a value that is missing or
    out of the factor's range.
    """
    names = [factor.name for factor in factors]
    for name in values:
        if name not in names:
            raise DataError(unknown_name("factor", name, names))
    missing = [name for name in names if name not in values]
    if missing:
        raise DataError(f"no values for factor(s) {', '.join(missing)}; a phantom needs one value per image for each")
    for name in names:
        if values[name].shape != nuisance.shape:
            raise DataError(
                f"factor '{name}' has shape {values[name].shape}; "
                f"expected one value per nuisance seed: {nuisance.shape}"
            )
    return {factor.name: _checked(factor, values[factor.name]) for factor in factors}


def _checked(factor: Factor, values: np.ndarray) -> np.ndarray:
    numbers = values.astype(np.float64)
    low, high = (0.0, float(len(factor.levels) - 1)) if factor.levels else (factor.range or (-np.inf, np.inf))
    wrong = ~((numbers >= low) & (numbers <= high))
    if factor.levels:
        wrong |= numbers != np.rint(numbers)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        allowed = (
            f"codes 0 to {len(factor.levels) - 1} ({', '.join(factor.levels)})"
            if factor.levels
            else f"{low:g} to {high:g} {factor.unit}".rstrip()
        )
        raise DataError(
            f"factor '{factor.name}' is {numbers[row]:g} in row {row} "
            f"({int(wrong.sum())} such value(s)); allowed: {allowed}"
        )
    return numbers.astype(np.int64) if factor.levels else numbers


# Neutral marginals of a phantom's factors as quantile functions: u in [0, 1) -> values.
#
# They use exactly defined arithmetic only, so that a row's factor has the same bits whatever rows stand beside it.


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


# Shapes that several phantoms draw.

Number = TypeVar("Number", np.ndarray, Tensor)


def uneven_outline(
    cosine: Number, sine: Number, cosine3: Number, sine3: Number, cosine5: Number, sine5: Number
) -> Number:
    """1 + the third and fifth harmonic of the polar angle whose cosine and sine are given, without its arc tangent."""
    double_c, double_s = cosine * cosine - sine * sine, 2 * (cosine * sine)
    triple_c, triple_s = double_c * cosine - double_s * sine, double_s * cosine + double_c * sine
    fifth_c, fifth_s = triple_c * double_c - triple_s * double_s, triple_s * double_c + triple_c * double_s
    return 1 + (triple_c * cosine3 + triple_s * sine3) + 0.6 * (fifth_c * cosine5 + fifth_s * sine5)


# Functions whose result is the same bits wherever a value stands in an array.
#
# Libraries compute sines and exponentials with one routine for full vectors and another for the remainder, which differ
# in the last bit; a phantom's geometry uses these instead, which need only + - * and comparisons.

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
