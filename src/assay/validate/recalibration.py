"""Recalibration of scores, fitted on other cases."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int
from scipy.special import logit

from assay.stats.influence import logistic_fit
from assay.validate.curves import ScoredCases, isotonic_fit

PLATT, ISOTONIC = "Platt", "isotonic"


def recalibrate(
    cases: ScoredCases, score: Float[np.ndarray, " m"], target: Int[np.ndarray, " m"]
) -> dict[str, ScoredCases]:
    """Return the cases with the probabilities of each method.

    Platt (1999): a logistic regression of the class on the score, with (n1 + 1) / (n1 + 2) and 1 / (n0 + 2) for the
    classes, so that it is finite where the score separates them. Isotonic: the rising function that fits best, linear
    between scores, at least 1 / (2 m) away from 0 and 1 so that log-odds are finite. The other cases are weighted to
    the true prevalence where the reported ones are.

    Args:
        cases: The reported cases.
        score: Scores of m other cases, on the scale of `cases.log_odds`.
        target: Their classes.

    Returns:
        Method -> cases; without Platt's where all scores are the same.
    """
    weight = replace(cases, target=target, log_odds=score, patient=np.arange(len(score)), stated=None).weight
    center, spread = float(score.mean()), float(score.std())
    methods: dict[str, ScoredCases] = {}
    if spread > 0:
        positives = int(target.sum())
        smooth = np.where(target == 1, (positives + 1) / (positives + 2), 1 / (len(target) - positives + 2))
        if fit := logistic_fit((score - center) / spread, smooth, weight):
            intercept, slope = fit[0]
            methods[PLATT] = replace(
                cases, log_odds=intercept + slope * (cases.log_odds - center) / spread, stated=None
            )
    distinct, shares = isotonic_fit(score, target, weight)
    least = 1 / (2 * len(score))
    p = np.clip(np.interp(cases.log_odds, distinct, shares), least, 1 - least)
    methods[ISOTONIC] = replace(cases, log_odds=logit(p), stated=None)
    return methods
