"""Patients that a further validation needs, from the variance of cases that exist."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri

from assay.validate.curves import ALPHA, ScoredCases

Goal = Literal["half-width", "difference"]
POWER = 0.8


@dataclass(frozen=True, slots=True)
class PatientsNeeded:
    """Patients that a validation needs.

    Attributes:
        positives: Patients with a positive case.
        patients: All patients.
    """

    positives: int
    patients: int


def needed_patients(
    cases: ScoredCases, contributions: Float[np.ndarray, " p"], goal: Goal, size: float, prevalence: float = math.nan
) -> PatientsNeeded | None:
    """Compute how many patients a validation needs, with as many images each as those of the cases.

    The variance is the sum of squared contributions: S1 of the P1 patients with a positive case, S0 of the P0 others.
    With n patients of whom a share p is positive it is S1 * P1 / (p * n) + S0 * P0 / ((1 - p) * n). The standard error
    is size / 1.96 for an interval of this half-width, size / (1.96 + 0.84) for 80% power to show a difference of this
    size, which is also the power to show non-inferiority within it where there is no difference.

    Args:
        cases: The cases.
        contributions: Of each patient to the measure, or to the difference.
        goal: A half-width, or a difference.
        size: Its size.
        prevalence: Share of patients with a positive case; by default that of the cases.

    Returns:
        None where nothing varies.

    Example: a sensitivity of 0.8 on 100 positive patients and as many others: half-width 0.05 needs
    0.16 * 100 / 99 * 1.96^2 / 0.05^2 = 249 positive ones by Wald's interval, and 2,484 patients at a prevalence of 0.1.
    """
    positive = np.bincount(cases.patient_places, cases.is_positive) > 0
    share = float(positive.mean()) if math.isnan(prevalence) else prevalence
    squares = contributions**2
    variance_times_patients = float(squares[positive].sum()) * positive.sum() / share + (
        float(squares[~positive].sum()) * (~positive).sum() / (1 - share) if share < 1 else 0.0
    )
    if not variance_times_patients > 0:
        return None
    quantile = float(ndtri(1 - ALPHA / 2)) + (float(ndtri(POWER)) if goal == "difference" else 0.0)
    patients = math.ceil(variance_times_patients * (quantile / size) ** 2)
    return PatientsNeeded(math.ceil(share * patients), patients)
