"""Recalibration agrees with scikit-learn and repairs probabilities that are known to be too extreme."""

# pyright: basic

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

import assay
from assay.validate import curves, recalibration


def extreme(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return scores and classes whose true log-odds are half the score less 1."""
    rng = np.random.default_rng(seed)
    score = 3 * rng.normal(size=n)
    return score, (rng.random(n) < expit(score / 2 - 1)).astype(int)


def reported(n: int = 1000) -> curves.ScoredCases:
    score, target = extreme(n, 1)
    return curves.ScoredCases(target, score, np.arange(n), 0.0)


def test_methods_agree_with_scikit_learn() -> None:
    score, target = extreme(2000, 0)
    found = recalibration.recalibrate(reported(), score, target)
    isotonic = IsotonicRegression(out_of_bounds="clip").fit(score, target).predict(reported().log_odds)
    assert expit(found["isotonic"].log_odds) == pytest.approx(np.clip(isotonic, 1 / 4000, 1 - 1 / 4000))
    logistic = LogisticRegression(C=np.inf, tol=1e-10).fit(score[:, None], target)
    p = logistic.predict_proba(reported().log_odds[:, None])[:, 1]
    assert expit(found["Platt"].log_odds) == pytest.approx(p, abs=0.003)  # smoothed classes differ by 1 / n


def test_both_methods_repair_probabilities_that_are_too_extreme() -> None:
    before = curves.calibration_measures(reported())
    assert before["calibration-slope"].high < 0.7
    for cases in recalibration.recalibrate(reported(), *extreme(2000, 0)).values():
        after = curves.calibration_measures(cases)
        assert after["brier"].value < before["brier"].value
        assert after["calibration-in-the-large"].low <= 0 <= after["calibration-in-the-large"].high
    assert after["calibration-slope"].value > before["calibration-slope"].value


def test_enriched_cases_are_recalibrated_to_the_true_prevalence() -> None:
    enriched = replace(reported(4000), prevalence=0.05)
    for cases in recalibration.recalibrate(enriched, *extreme(4000, 0)).values():
        large = curves.calibration_measures(cases)["calibration-in-the-large"]
        assert large.value == pytest.approx(0, abs=0.01)


def test_scores_that_separate_the_classes_have_finite_probabilities() -> None:
    score = np.arange(10.0)
    target = (score > 4).astype(int)
    for cases in recalibration.recalibrate(reported(), score, target).values():
        assert np.isfinite(cases.log_odds).all()
    assert list(recalibration.recalibrate(reported(), np.ones(10), target)) == ["isotonic"]


def test_the_command_shows_before_and_after(tmp_path: Path) -> None:
    for name, seed in (("scores", 1), ("other", 0)):
        score, target = extreme(600, seed)
        pd.DataFrame({"image": range(600), "target": target, "score": expit(score)}).to_csv(
            tmp_path / f"{name}.csv", index=False
        )
    tables = assay.validate(tmp_path / "scores.csv", recalibrate_from=tmp_path / "other.csv", out=tmp_path / "out")
    table = tables["recalibration"].set_index(["method", "measure"])["value"]
    assert table["Platt", "brier"] < table["none", "brier"]
    assert table["Platt", "calibration-slope"] > table["none", "calibration-slope"]
    assert "Before and after recalibration" in (tmp_path / "out" / "report.html").read_text()
