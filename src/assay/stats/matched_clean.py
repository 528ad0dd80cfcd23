"""Dose-response at matched clean performance: what a dose changes of two recipes that are equally good without it.

A recipe that has little to lose loses little, so a small fall may be want of skill and not robustness. Each recipe was
trained on several amounts of data, at every dose. Its clean performance is the measure at p = 0 on images that bear no
confounder; the level is the best that both recipes reach, and each stands at the amount, between two neighbouring ones,
where it first comes up to that level. There the mean changes over the doses (`dose_response`) are compared.

Amounts are matched on the mean over seeds: seed by seed, those that were lucky on the clean images would be chosen.
That the level and the places are estimated too is in the interval. With C clean performance, F the change, i and j the
amounts on either side of the level L, w their weights, and b = (F_j - F_i) / (C_j - C_i), a recipe's value is

    sum_k w_k F_k + b (L - sum_k w_k C_k)

whose second term is 0 on the mean and moves with seeds and patients as the place does (delta method).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
from jaxtyping import Float, Int

from assay.stats.compare import Contrast, EqualClean, Scale, compare, untested
from assay.stats.dose_response import Curve, on_both_scales, outcome_weights
from assay.stats.format import listed, number
from assay.stats.matched import crossing, only
from assay.stats.measures import measure
from assay.stats.panel import Evaluated, Panel, evaluate, probit


@dataclass(frozen=True)
class Amount:
    """A recipe trained on so many rows: its doses, p = 0 first, and what it said at p = 0 about clean images."""

    rows: float
    clean: Panel
    doses: Curve


Amounts = Sequence[Amount]
"""A recipe's amounts, smallest first; at least 2."""
Term = tuple[Evaluated, float]
"""A part of a linear combination, and its weight."""


@dataclass(frozen=True)
class _Side:
    """A recipe whose parts hold the same seeds: amounts [n], clean parts [n] and their means [n], doses [n][d]."""

    rows: Float[np.ndarray, " n"]
    clean: Sequence[Evaluated]
    values: Float[np.ndarray, " n"]
    doses: Sequence[Sequence[Evaluated]]


def matched_clean(a: Amounts, b: Amounts, name: str, margin: float | None = None) -> Contrast:
    """The change over the doses of recipe a less that of b, where both are equally good on clean images.

    Over the seeds that both kept at every amount and dose, with the p of both scales together, as in `interaction`;
    `equal` says at which level and amounts. Undefined where no level is reached by both. Raises ValueError unless all
    amounts have the same doses, the first of them 0, and each recipe at least 2 amounts.
    """
    panels = _checked(a, b)
    seeds = reduce(np.intersect1d, [panel.numbers for panel in panels])
    if not len(seeds):
        return untested("no seed was kept by both recipes at every amount and dose", margin)
    sides = [_side(amounts, name, seeds) for amounts in (a, b)]
    if reason := next((part.reason for side in sides for part in side.clean if part.reason), ""):
        return untested(reason, margin)
    sign = -1.0 if measure(name).direction == "higher" else 1.0
    worse = [sign * side.values for side in sides]
    level = max(float(one.min()) for one in worse)
    if level > min(float(one[0]) for one in worse):
        return untested(_unreached(sides), margin)
    setter = int(np.argmax([one.min() for one in worse]))
    weights = [crossing(one, level) for one in worse]
    found = [_compared(sides, weights, setter, margin, scale) for scale in ("plain", "probit")]
    every = {int(seed) for panel in panels for seed in panel.numbers}
    amounts = [float(weight @ side.rows) for weight, side in zip(weights, sides, strict=True)]
    both = on_both_scales(found[0], found[1])
    return replace(both, left_out=len(every) - len(seeds), equal=EqualClean(sign * level, *amounts))


def _checked(a: Amounts, b: Amounts) -> list[Panel]:
    doses = {tuple(dose.p for dose in amount.doses) for amount in (*a, *b)}
    if min(len(a), len(b)) < 2 or len(doses) != 1 or not _run_from_0(next(iter(doses))):
        raise ValueError(
            f"amounts of {_listed(one.rows for one in a)} rows, and of {_listed(one.rows for one in b)}, with doses "
            f"{' or '.join(map(_listed, sorted(doses)))}: give each recipe at least 2 amounts, and all of them the "
            "same doses, 0 and at least another"
        )
    return [panel for amount in (*a, *b) for panel in (amount.clean, *(dose.panel for dose in amount.doses))]


def _listed(values: Iterable[float]) -> str:
    return listed([f"{value:g}" for value in values])


def _run_from_0(doses: tuple[float, ...]) -> bool:
    return len(doses) > 1 and doses[0] == 0


def _side(amounts: Amounts, name: str, seeds: Int[np.ndarray, " s"]) -> _Side:
    clean = [only(evaluate(amount.clean, name), seeds) for amount in amounts]
    doses = [[only(evaluate(dose.panel, name), seeds) for dose in amount.doses] for amount in amounts]
    values = np.array([part.values.mean() for part in clean])
    return _Side(np.array([amount.rows for amount in amounts]), clean, values, doses)


def _compared(
    sides: Sequence[_Side],
    weights: Sequence[Float[np.ndarray, " n"]],
    setter: int,
    margin: float | None,
    scale: Scale,
) -> Contrast:
    """The contrast on one scale; clean performance is matched on the plain one, so that places are the same on both."""
    terms: list[Term] = []
    for position, (side, weight) in enumerate(zip(sides, weights, strict=True)):
        sign = 1.0 if position == 0 else -1.0
        changes = [_changes(doses, scale) for doses in side.doses]
        terms += [(part, sign * w * v) for w, own in zip(weight, changes, strict=True) if w for part, v in own]
        if position == setter:
            continue  # it stands at an amount that was trained, whatever the level
        slope = sign * _slope(side, weight, [sum(v * float(part.values.mean()) for part, v in own) for own in changes])
        terms += [(part, -slope * w) for w, part in zip(weight, side.clean, strict=True) if w]
        terms += [(part, slope * w) for w, part in zip(weights[setter], sides[setter].clean, strict=True) if w]
    parts, amounts = zip(*terms, strict=True)
    return compare(parts, np.array(amounts), margin)


def _changes(doses: Sequence[Evaluated], scale: Scale) -> list[Term]:
    """The terms of the mean change over p > 0 from p = 0."""
    parts = [probit(part) for part in doses] if scale == "probit" else doses
    return list(zip(parts, outcome_weights(len(parts)).tolist(), strict=True))


def _slope(side: _Side, weight: Float[np.ndarray, " n"], changes: Sequence[float]) -> float:
    """How the change moves with clean performance, between the two amounts that the level lies between."""
    j = max(int(np.flatnonzero(weight)[-1]), 1)
    step = float(side.values[j] - side.values[j - 1])
    return (changes[j] - changes[j - 1]) / step if step else 0.0


def _unreached(sides: Sequence[_Side]) -> str:
    ranges = " and ".join(f"{number(float(side.values[0]))} to {number(float(side.values[-1]))}" for side in sides)
    fewest, most = sides[0].rows[0], sides[0].rows[-1]
    return (
        f"no clean performance is reached by both: from {fewest:g} to {most:g} rows they come from {ranges}; train on "
        "fewer or more"
    )
