"""Numbers of patients are the hand-derived ones, and studies of that size reach what was planned."""

# pyright: basic

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

import assay
from assay.validate import curves, paired


def drawn(patients: int, seed: int, prevalence: float = 0.3) -> list[curves.ScoredCases]:
    """Return two correlated models of which the first is better, one image a patient."""
    rng = np.random.default_rng(seed)
    target = (rng.random(patients) < prevalence).astype(int)
    common = rng.normal(size=patients)
    scores = [gap * target + common + rng.normal(size=patients) for gap in (1.8, 1.5)]
    return [curves.ScoredCases(target, score - 0.8, np.arange(patients), 0.0) for score in scores]


def frame(cases: curves.ScoredCases) -> pd.DataFrame:
    return pd.DataFrame({"image": cases.patient, "target": cases.target, "score": expit(cases.log_odds)})


def planned(out: Path, *models: curves.ScoredCases, plan: float, prevalence: float = math.nan) -> pd.DataFrame:
    """Return the rows of the plan by measure, at a prevalence where one is named."""
    first, *others = map(frame, models)
    at = () if math.isnan(prevalence) else (prevalence,)
    tables = assay.validate(first, other=others[0] if others else None, plan=plan, prevalence=at, out=out)
    rows = tables["plan"]
    return rows[rows["at"] == (f"{at[0]:g}" if at else "")].set_index("measure")


def test_a_half_width_of_sensitivity_needs_the_hand_derived_number(tmp_path: Path) -> None:
    target = np.repeat([1, 0], 100)
    cases = curves.ScoredCases(target, np.repeat([1.0, -1.0, -2.0], [80, 20, 100]), np.arange(200), 0.0)
    found = planned(tmp_path / "half", cases, plan=0.05)
    positives = math.ceil(0.16 * 100 / 99 * 1.959964**2 / 0.05**2)
    assert found.loc["sensitivity", "positives"] == positives
    assert found.loc["sensitivity", "patients"] == pytest.approx(2 * positives, abs=1)
    assert "specificity" not in found.index  # nothing varies
    tenth = planned(tmp_path / "tenth", cases, plan=0.05, prevalence=0.1).loc["sensitivity"]
    assert (tenth.positives, tenth.patients) == (pytest.approx(positives, abs=1), pytest.approx(10 * positives, abs=10))


@pytest.mark.thorough
@pytest.mark.parametrize("prevalence", [0.3, 0.1])
def test_studies_of_the_planned_size_have_the_half_width(prevalence: float, tmp_path: Path) -> None:
    pilot = planned(tmp_path / "out", drawn(2000, 0)[0], plan=0.05, prevalence=prevalence)
    for measure, compute in (
        ("auroc", curves.auroc_with_interval),
        ("sensitivity", lambda cases: curves.call_measures(cases)["sensitivity"]),
    ):
        size = int(pilot.loc[measure, "patients"])
        found = [compute(drawn(size, seed, prevalence)[0]) for seed in range(1, 101)]
        assert np.mean([(one.high - one.low) / 2 for one in found]) == pytest.approx(0.05, rel=0.1), measure


@pytest.mark.thorough
def test_studies_of_the_planned_size_have_the_power(tmp_path: Path) -> None:
    first, second = drawn(20_000, 0)
    difference = first.by_patient["auroc"][0] - second.by_patient["auroc"][0]
    size = int(planned(tmp_path / "out", first, second, plan=difference).loc["auroc", "patients"])
    found = [paired.paired_difference("auroc", *drawn(size, seed)[:2]).outcome for seed in range(1, 401)]
    assert np.mean([outcome == "superior" for outcome in found]) == pytest.approx(0.8, abs=0.07)
