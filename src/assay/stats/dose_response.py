"""Dose-response: how a measure changes from p = 0 over the doses, compared between two recipes on two scales.

The outcome of a recipe is the mean over p > 0 of measure(p) - measure(0), paired by seed and patient. The difference of
two recipes' outcomes is the interaction of recipe and dose. Whether there is one can hang on the scale: near the
ceiling, equal steps of AUROC are not equal steps of its probit. So it is claimed only where both scales show it with
the same sign (an intersection-union test, Berger 1982): its p is the greater of both, and 1 where the signs differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
from jaxtyping import Float

from assay.stats.compare import Contrast, Scales, SeedValues, combination, contrast_seeds
from assay.stats.panel import Panel, on_probit


@dataclass(frozen=True)
class Dose:
    """What a recipe said when p of a class bore the confounder in training."""

    p: float
    panel: Panel


Curve = Sequence[Dose]
"""A recipe's doses, p = 0 first."""


def interaction(a: Curve, b: Curve, name: str, margin: float | None = None) -> Contrast:
    """The outcome of recipe a less that of recipe b, on the plain scale, with the p of both scales together.

    Over the seeds that both kept at every dose. margin: of equivalence, on the plain scale. Raises ValueError unless
    both have the same doses, the first of them 0. `name` is a measure from 0 to 1.
    """
    doses = [tuple(dose.p for dose in curve) for curve in (a, b)]
    if doses[0] != doses[1] or len(doses[0]) < 2 or doses[0][0] != 0:
        raise ValueError(
            f"doses are {doses[0]} and {doses[1]}: give both recipes the same ones, 0 and at least another"
        )
    panels = [dose.panel for dose in (*a, *b)]
    weights = np.concatenate([outcome_weights(len(a)), -outcome_weights(len(b))])
    plain = combination(panels, weights, name, margin)
    other = combination(panels, weights, name, scale="probit")
    return on_both_scales(plain, other)


def outcome(curve: Curve, name: str) -> Contrast:
    """What the doses change: the mean over p > 0 of a measure less that at p = 0, over the seeds kept at every dose.

    Raises ValueError unless the first dose is 0 and there is another.
    """
    if len(curve) < 2 or curve[0].p != 0:
        raise ValueError(f"doses are {tuple(dose.p for dose in curve)}: give 0 and at least another")
    return combination([dose.panel for dose in curve], outcome_weights(len(curve)), name)


def interaction_seeds(
    a: Sequence[SeedValues], b: Sequence[SeedValues], margin: float | None = None, *, bounded: bool = True
) -> Contrast:
    """The same of a number per seed that has no patients behind it, such as a flip rate; p = 0 first.

    Over the seeds that have a number at every dose. bounded: whether it lies within 0 and 1, so that there are two
    scales; an effect on the logit has its own alone, and `scales` is then None. Errors within models are taken as one
    at all p > 0, whose models meet the same samples, and as independent of those at p = 0 and of the other recipe's:
    that errs on the wide side wherever samples move these alike. Raises ValueError unless both have equally many
    doses, at least 2.
    """
    if len(a) != len(b) or len(a) < 2:
        raise ValueError(f"{len(a)} and {len(b)} doses: give both recipes the same ones, 0 and at least another")
    plain = contrast_seeds(_change(a), _change(b), margin)
    every = {int(seed) for values in (*a, *b) for seed in values.seeds}
    plain = replace(plain, left_out=len(every) - plain.seeds)
    if not bounded:
        return plain
    first, second = (_change([_probit(values) for values in side]) for side in (a, b))
    return on_both_scales(plain, contrast_seeds(first, second))


def _change(doses: Sequence[SeedValues]) -> SeedValues:
    """The outcome of each seed that has a number at every dose."""
    seeds = reduce(np.intersect1d, [one.seeds for one in doses])
    weights = outcome_weights(len(doses))
    rows = [np.array([np.flatnonzero(one.seeds == seed)[0] for seed in seeds], dtype=np.int64) for one in doses]
    values = weights @ np.stack([one.values[row] for one, row in zip(doses, rows, strict=True)])
    reason = next((one.reason for one in doses if one.reason), "")
    if all(one.standard_errors is None for one in doses):
        return SeedValues(values, seeds, reason=reason)
    within = [
        np.full(len(seeds), np.nan) if one.standard_errors is None else one.standard_errors[row]
        for one, row in zip(doses, rows, strict=True)
    ]
    first, *others = within
    return SeedValues(values, seeds, np.hypot(first, np.mean(others, axis=0)), reason)


def _probit(one: SeedValues) -> SeedValues:
    z, slope = on_probit(one.values)
    return replace(one, values=z, standard_errors=None if one.standard_errors is None else slope * one.standard_errors)


def outcome_weights(doses: int) -> Float[np.ndarray, " d"]:
    """Weights of the doses that make a recipe's outcome: -1 for p = 0, equal shares of 1 for the others."""
    return np.array([-1.0, *[1 / (doses - 1)] * (doses - 1)])


def on_both_scales(plain: Contrast, other: Contrast) -> Contrast:
    """The contrast of the plain scale with the p-value of both: the greater, or 1 where their signs differ."""
    agree = plain.value * other.value > 0
    p = float(np.maximum(plain.p, other.p)) if agree or np.isnan(plain.p + other.p) else 1.0
    reason = plain.reason or (f"on the probit scale: {other.reason}" if other.reason else "")
    return replace(plain, p=p, reason=reason, scales=Scales(plain.p, other.p, agree))
