"""Half-dose: the smallest p at which half of the margin over chance that a recipe had at p = 0 is gone.

With the mean over seeds m(p), linear between neighbouring doses, and the level c of chance, it is the first p at which
excess(p) = (m(p) - c) - (m(0) - c) / 2 comes down to 0. Its interval holds every p at which the excess could be 0, as
Fieller's (1954) does: it begins where the lower 95 % limit of the excess first comes down to 0 and ends where the upper
one does, with the variance over crossed seeds and patients of every interval of Assay (`variance`). What is not reached
by the greatest dose lies beyond it: the value is censored then, or an end of the interval.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy import stats

from assay.stats.dose_response import Curve
from assay.stats.estimate import CONFIDENCE, Estimate, summarise
from assay.stats.format import number
from assay.stats.panel import combine, evaluate
from assay.stats.variance import two_way

STEPS = 20
"""Points between neighbouring doses at which the limits of the excess are taken."""
Beyond = Literal["", "high", "value", "low"]


@dataclass(frozen=True, slots=True)
class HalfDose:
    """A half-dose with its 95 % interval, in units of p.

    beyond: the first of high, value and low that lies beyond the greatest dose, and is NaN as those before it are:
    `high` where the interval alone is open, `value` where the half-dose is censored, `low` where even its lower end is.
    margin: m(0) less chance. reason: why there is none, or empty.
    """

    value: float
    low: float
    high: float
    beyond: Beyond
    greatest: float
    margin: float
    seeds: int
    patients: int
    reason: str = ""

    @property
    def text(self) -> str:
        """`.43 [.31, .60]`, `.80 [.62, > 1]`, `> 1 [.91, > 1]`, `> 1`, or `undefined`."""
        if self.reason:
            return "undefined"
        over = f"> {self.greatest:g}"
        if self.beyond == "low":
            return over
        value, high = (over if np.isnan(end) else number(end) for end in (self.value, self.high))
        return f"{value} [{number(self.low)}, {high}]"


def half_dose(curve: Curve, name: str, chance: float) -> HalfDose:
    """The half-dose of a recipe's doses, p = 0 first and ascending, by a measure of which more is better.

    Over the seeds that were kept at every dose. NaN with a reason where the interval at p = 0 reaches chance.
    chance: that of the test rows at p = 0, whose margin is halved, so that what is crossed is one level for all doses.
    It is that of every dose where the classes keep their ratio, as test environments do; an average precision, whose
    chance is the share of positives, would else be held against the share at p = 0.
    """
    parts = [evaluate(dose.panel, name) for dose in curve]
    doses = np.array([dose.p for dose in curve])
    whole = [combine(parts, row) for row in np.eye(len(parts))]
    reason = next((part.reason for part in whole if part.reason), "")
    start = summarise(replace(whole[0], bounds=parts[0].bounds))
    margin = start.value - chance
    known = (float(doses[-1]), margin, len(whole[0].seeds), len(whole[0].patients))
    if reason := reason or unclear(start, chance):
        return HalfDose(np.nan, np.nan, np.nan, "", *known, reason)
    values, contributions = (
        np.stack([getattr(part, field) for part in whole]) for field in ("values", "contributions")
    )
    value, low, high = crossings(doses, values, contributions, chance)
    return HalfDose(value, low, high, _beyond(value, low, high), *known)


def _beyond(value: float, low: float, high: float) -> Beyond:
    if np.isnan(low):
        return "low"
    if np.isnan(value):
        return "value"
    return "high" if np.isnan(high) else ""


def unclear(start: Estimate, chance: float) -> str:
    """Why the margin over chance at p = 0 is none to halve, or empty."""
    if start.reason:
        return f"whether the value at p = 0 is clear of chance cannot be told: {start.reason}"
    if not start.low > chance:
        found = f"{number(start.value)} [{number(start.low)}, {number(start.high)}]"
        lies = "lies below chance" if start.high < chance else "is not clear of chance"
        return f"the value at p = 0, {found}, {lies} ({number(chance)})"
    return ""


def crossings(
    doses: Float[np.ndarray, " d"],
    values: Float[np.ndarray, "d s"],
    contributions: Float[np.ndarray, "d s p"],
    chance: float,
) -> tuple[float, float, float]:
    """Where the excess and its lower and upper limit first come down to 0; NaN where they do not."""
    inside = np.arange(STEPS * (len(doses) - 1) + 1) / STEPS
    points = np.interp(inside, np.arange(len(doses)), doses)
    weights = np.stack([np.interp(points, doses, one) for one in np.eye(len(doses))], axis=1)
    weights[:, 0] -= 0.5
    by_seed = weights @ values - chance / 2
    spread = two_way(by_seed, np.einsum("gd,dsp->gsp", weights, contributions))
    excess = by_seed.mean(axis=-1)
    half = stats.t.ppf((1 + CONFIDENCE) / 2, spread.df) * np.sqrt(spread.variance)
    half = np.where(np.isnan(half), 0.0, half)  # nothing varies at this point
    value, low, high = (first_zero(points, line) for line in (excess, excess - half, excess + half))
    return value, low, high


def first_zero(points: Float[np.ndarray, " g"], line: Float[np.ndarray, " g"]) -> float:
    """Where a line through points first comes down to 0; its start where it begins there, NaN where it never does."""
    below = np.flatnonzero(line <= 0)
    if not len(below):
        return float("nan")
    after = int(below[0])
    if after == 0:
        return float(points[0])
    share = line[after - 1] / (line[after - 1] - line[after])
    return float(points[after - 1] + share * (points[after] - points[after - 1]))
