"""Numbers of patients are the hand-derived ones, and studies of that size reach what was planned."""

# pyright: basic

from __future__ import annotations

import math

import numpy as np
import pytest

from assay.validate import curves, paired, plan


def drawn(patients: int, seed: int, prevalence: float = 0.3) -> tuple[curves.ScoredCases, curves.ScoredCases]:
    """Return two correlated models of which the first is better, one image a patient."""
    rng = np.random.default_rng(seed)
    target = (rng.random(patients) < prevalence).astype(int)
    common = rng.normal(size=patients)
    first, second = (gap * target + common + rng.normal(size=patients) for gap in (1.8, 1.5))
    return tuple(curves.ScoredCases(target, score - 0.8, np.arange(patients), 0.0) for score in (first, second))


def test_a_half_width_of_sensitivity_needs_the_hand_derived_number() -> None:
    target = np.repeat([1, 0], 100)
    cases = curves.ScoredCases(target, np.repeat([1.0, -1.0, -1.0], [80, 20, 100]), np.arange(200), 0.0)
    contributions = cases.by_patient["sensitivity"][1]
    found = plan.needed_patients(cases, contributions, "half-width", 0.05)
    assert found.positives == math.ceil(0.16 * 100 / 99 * 1.959964**2 / 0.05**2)
    assert found.patients == pytest.approx(2 * found.positives, abs=1)
    tenth = plan.needed_patients(cases, contributions, "half-width", 0.05, 0.1)
    assert tenth.positives == pytest.approx(found.positives, abs=1)
    assert tenth.patients == pytest.approx(10 * found.positives, abs=10)
    assert plan.needed_patients(cases, np.zeros(200), "half-width", 0.05) is None


@pytest.mark.thorough
@pytest.mark.parametrize("prevalence", [0.3, 0.1])
def test_studies_of_the_planned_size_have_the_half_width(prevalence: float) -> None:
    pilot, _ = drawn(2000, 0)
    for measure, compute in (
        ("auroc", curves.auroc_with_interval),
        ("sensitivity", lambda cases: curves.call_measures(cases)["sensitivity"]),
    ):
        size = plan.needed_patients(pilot, pilot.by_patient[measure][1], "half-width", 0.05, prevalence).patients
        found = [compute(drawn(size, seed, prevalence)[0]) for seed in range(1, 101)]
        assert np.mean([(one.high - one.low) / 2 for one in found]) == pytest.approx(0.05, rel=0.1), measure


@pytest.mark.thorough
def test_studies_of_the_planned_size_have_the_power() -> None:
    first, second = drawn(20_000, 0)
    difference = first.by_patient["auroc"][0] - second.by_patient["auroc"][0]
    apart = first.by_patient["auroc"][1] - second.by_patient["auroc"][1]
    size = plan.needed_patients(first, apart, "difference", difference).patients
    outcomes = [paired.paired_difference("auroc", *drawn(size, seed)).outcome for seed in range(1, 401)]
    assert np.mean([outcome == "superior" for outcome in outcomes]) == pytest.approx(0.8, abs=0.07)
