"""Intervals cover: clustered patients, 10% prevalence, 30 to 300 patients. Simulations, run by `make thorough`."""

# pyright: basic

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import expit, ndtr

from assay.validate import curves, paired

pytestmark = pytest.mark.thorough
GAP, COMMON, PREVALENCE, DRAWS = 1.5, 0.5, 0.1, 600
"""Distance of the classes, share of the variance that images of a patient have in common, and simulations."""
AUROC = float(ndtr(GAP / math.sqrt(2)))
SENSITIVITY = SPECIFICITY = float(ndtr(GAP / 2))


def drawn(patients: int, seed: int, models: int = 1) -> list[curves.ScoredCases]:
    """Return models alike on the same patients, of 1 to 5 images each and of one class; threshold in the middle."""
    rng = np.random.default_rng(seed)
    classes = (rng.random(patients) < PREVALENCE).astype(int)
    patient = np.repeat(np.arange(patients), rng.integers(1, 6, patients))
    target = classes[patient]
    made: list[curves.ScoredCases] = []
    for _ in range(models):
        score = GAP * target + math.sqrt(COMMON) * rng.normal(size=patients)[patient]
        score = score + math.sqrt(1 - COMMON) * rng.normal(size=len(patient))
        made.append(curves.ScoredCases(target, score, patient, GAP / 2))
    return made


def coverage(patients: int, compute: Callable[[curves.ScoredCases], curves.WithInterval], truth: float) -> float:
    """Return how often the interval holds the truth, of simulations with at least 2 patients of each class."""
    held: list[bool] = []
    for seed in range(DRAWS):
        cases = drawn(patients, seed)[0]
        positives = len(np.unique(cases.patient[cases.is_positive]))
        if positives < 2 or positives > patients - 2:
            continue
        found = compute(cases)
        if not math.isnan(found.low):
            held.append(found.low <= truth <= found.high)
    return float(np.mean(held))


def uneven(seed: int, half: bool) -> list[curves.ScoredCases]:
    """Return two models alike on 30 patients with 1 to 80 images each, or 1 to 3 of whom one has half of all."""
    rng = np.random.default_rng(seed)
    images = np.clip(np.exp(rng.normal(1, 1.2, 30)).astype(int) + 1, 1, 80)
    if half:
        images = rng.integers(1, 4, 30)
        images[0] = images.sum()
    patient = np.repeat(np.arange(30), images)
    target = (rng.random(30) < 0.4).astype(int)[patient]
    target = np.where(rng.random(len(patient)) < half * 0.5, rng.random(len(patient)) < 0.4, target).astype(int)
    common = 0.5 if half else 0.8
    scores = (
        GAP * target
        + math.sqrt(common) * rng.normal(size=30)[patient]
        + math.sqrt(1 - common) * rng.normal(size=len(patient))
        for _ in range(2)
    )
    return [curves.ScoredCases(target, score, patient, GAP / 2) for score in scores]


@pytest.mark.parametrize("half", [False, True])
def test_patients_with_many_images(half: bool) -> None:
    held: dict[str, list[bool]] = {}
    for seed in range(DRAWS):
        one, other = uneven(seed, half)
        if min(len(np.unique(one.patient[one.target == code])) for code in (0, 1)) < 2:
            continue
        found = {"auroc": curves.auroc_with_interval(one), **curves.call_measures(one)}
        for name, truth in (("auroc", AUROC), ("sensitivity", SENSITIVITY), ("specificity", SPECIFICITY)):
            held.setdefault(name, []).append(found[name].low <= truth <= found[name].high)
        difference = paired.paired_difference("auroc", one, other)
        held.setdefault("difference", []).append(difference.low <= 0 <= difference.high)
    assert {name: np.mean(values) >= 0.93 for name, values in held.items()} == dict.fromkeys(held, True)


@pytest.mark.parametrize(("patients", "least"), [(30, 0.88), (100, 0.91), (300, 0.925)])
def test_auroc(patients: int, least: float) -> None:
    assert coverage(patients, curves.auroc_with_interval, AUROC) >= least


@pytest.mark.parametrize("patients", [30, 100, 300])
@pytest.mark.parametrize(("measure", "truth"), [("sensitivity", SENSITIVITY), ("specificity", SPECIFICITY)])
def test_shares(patients: int, measure: str, truth: float) -> None:
    assert coverage(patients, lambda cases: curves.call_measures(cases)[measure], truth) >= 0.9


@pytest.mark.parametrize(("patients", "least"), [(30, 0.85), (100, 0.9), (300, 0.92)])
@pytest.mark.parametrize("measure", ["ppv", "npv"])
def test_predictive_values(patients: int, least: float, measure: str) -> None:
    hits, right, false = SENSITIVITY * 0.05, SPECIFICITY * 0.95, (1 - SPECIFICITY) * 0.95
    truth = {"ppv": hits / (hits + false), "npv": right / (right + (1 - SENSITIVITY) * 0.05)}[measure]
    assert coverage(patients, lambda cases: curves.predictive_values(cases, 0.05)[measure], truth) >= least


@pytest.mark.parametrize("patients", [100, 300])
def test_net_benefit(patients: int) -> None:
    risk = 0.2
    reach = math.log(risk / (1 - risk))
    sensitivity, false = 1 - float(ndtr(reach - GAP)), 1 - float(ndtr(reach))
    truth = PREVALENCE * sensitivity - (1 - PREVALENCE) * false * risk / (1 - risk)
    assert coverage(patients, lambda cases: curves.decision_curve(cases, [risk])[0][1], truth) >= 0.9


@pytest.mark.parametrize("patients", [100, 300])
@pytest.mark.parametrize("measure", ["brier", "calibration-in-the-large", "calibration-slope"])
def test_calibration(patients: int, measure: str) -> None:
    """The truth is that of 200,000 patients."""
    large = drawn(200_000, DRAWS + 1)[0]
    p = expit(large.log_odds)
    truth = {
        "brier": lambda: float(((p - large.target) ** 2).mean()),
        "calibration-in-the-large": lambda: float((p - large.target).mean()),
        "calibration-slope": lambda: curves.calibration_measures(large)["calibration-slope"].value,
    }[measure]()
    assert coverage(patients, lambda cases: curves.calibration_measures(cases)[measure], truth) >= 0.88


@pytest.mark.parametrize(("intercept", "slope", "least"), [(0.0, 1.0, 0.92), (-4.07, 1.5, 0.88), (-4.07, 2.5, 0.86)])
def test_calibration_at_a_true_prevalence(intercept: float, slope: float, least: float) -> None:
    """50 positives and 50 negatives, weighted to 0.05; log-odds are those of a score times a slope."""
    large, true = np.random.default_rng(DRAWS), 0.05
    p = expit(slope * (large.normal(size=(2, 400_000)) + np.array([[GAP], [0.0]])) + intercept)
    brier = true * ((1 - p[0]) ** 2).mean() + (1 - true) * (p[1] ** 2).mean()
    gap = true * (p[0] - 1).mean() + (1 - true) * p[1].mean()
    target, held = np.repeat([1, 0], 50), {"brier": 0, "calibration-in-the-large": 0}
    for seed in range(DRAWS):
        odds = slope * (np.random.default_rng(seed).normal(size=100) + GAP * target) + intercept
        found = curves.calibration_measures(curves.ScoredCases(target, odds, np.arange(100), intercept, true))
        for name, truth in (("brier", brier), ("calibration-in-the-large", gap)):
            held[name] += found[name].low <= truth <= found[name].high
    assert {name: count / DRAWS >= least for name, count in held.items()} == dict.fromkeys(held, True)


@pytest.mark.parametrize(("patients", "most"), [(30, 0.12), (100, 0.09), (300, 0.08)])
@pytest.mark.parametrize("measure", ["auroc", "sensitivity", "specificity"])
def test_models_alike_differ_rarely(patients: int, most: float, measure: str) -> None:
    found = [paired.paired_difference(measure, *drawn(patients, seed, 2)) for seed in range(DRAWS)]
    assert np.mean([one.outcome != "inconclusive" for one in found]) <= most
