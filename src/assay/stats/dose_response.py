"""Dose-response: how a measure changes from p = 0 over the doses, compared between two recipes on two scales.

The outcome of a recipe is the mean over p > 0 of measure(p) - measure(0), paired by seed and patient. The difference of
two recipes' outcomes is the interaction of recipe and dose. Whether there is one can hang on the scale: near the
ceiling, equal steps of AUROC are not equal steps of its probit. So it is claimed only where both scales show it with
the same sign (an intersection-union test, Berger 1982): its p is the greater of both, and 1 where the signs differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from assay.stats.compare import Contrast, Scales, combination
from assay.stats.panel import Panel


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


def outcome_weights(doses: int) -> Float[np.ndarray, " d"]:
    """Weights of the doses that make a recipe's outcome: -1 for p = 0, equal shares of 1 for the others."""
    return np.array([-1.0, *[1 / (doses - 1)] * (doses - 1)])


def on_both_scales(plain: Contrast, other: Contrast) -> Contrast:
    """The contrast of the plain scale with the p-value of both: the greater, or 1 where their signs differ."""
    agree = plain.value * other.value > 0
    p = float(np.maximum(plain.p, other.p)) if agree or np.isnan(plain.p + other.p) else 1.0
    reason = plain.reason or (f"on the probit scale: {other.reason}" if other.reason else "")
    return replace(plain, p=p, reason=reason, scales=Scales(plain.p, other.p, agree))
