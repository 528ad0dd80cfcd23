"""Recalibration agrees with scikit-learn and repairs probabilities that are known to be too extreme."""

# pyright: basic

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss

import assay


def extreme(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return scores and classes whose true log-odds are half the score less 1."""
    rng = np.random.default_rng(seed)
    score = 3 * rng.normal(size=n)
    return score, (rng.random(n) < expit(score / 2 - 1)).astype(int)


def recalibrated(
    folder: Path,
    other: tuple[np.ndarray, np.ndarray],
    reported: tuple[np.ndarray, np.ndarray],
    true_prevalence: float | None = None,
) -> pd.DataFrame:
    """Return the rows of recalibration by method and measure."""
    for name, (score, target) in {"scores": reported, "other": other}.items():
        data = pd.DataFrame({"image": range(len(score)), "target": target, "score": expit(score)})
        data.to_csv(folder / f"{name}.csv", index=False)
    tables = assay.validate(
        folder / "scores.csv",
        recalibrate_from=folder / "other.csv",
        true_prevalence=true_prevalence,
        out=folder / "out",
    )
    return tables["recalibration"].set_index(["method", "measure"])


def test_methods_agree_with_scikit_learn(tmp_path: Path) -> None:
    (score, target), (new, actual) = extreme(2000, 0), extreme(1000, 1)
    found = recalibrated(tmp_path, (score, target), (new, actual))["value"]
    isotonic = IsotonicRegression(out_of_bounds="clip").fit(score, target).predict(new)
    assert found["isotonic", "brier"] == pytest.approx(brier_score_loss(actual, isotonic), abs=1e-5)
    logistic = LogisticRegression(C=np.inf, tol=1e-10).fit(score[:, None], target)
    p = logistic.predict_proba(new[:, None])[:, 1]
    assert found["Platt", "brier"] == pytest.approx(brier_score_loss(actual, p), abs=1e-4)  # smoothed classes
    assert found["Platt", "calibration-in-the-large"] == pytest.approx((p - actual).mean(), abs=1e-3)


def test_both_methods_repair_probabilities_that_are_too_extreme(tmp_path: Path) -> None:
    found = recalibrated(tmp_path, extreme(2000, 0), extreme(1000, 1))
    assert found.loc[("none", "calibration-slope"), "high"] < 0.7
    for method in ("Platt", "isotonic"):
        large = found.loc[(method, "calibration-in-the-large")]
        assert found.loc[(method, "brier"), "value"] < found.loc[("none", "brier"), "value"]
        assert large.low <= 0 <= large.high
        assert found.loc[(method, "calibration-slope"), "value"] > found.loc[("none", "calibration-slope"), "value"]
    assert "Before and after recalibration" in (tmp_path / "out" / "report.html").read_text()


def test_enriched_cases_are_recalibrated_to_the_true_prevalence(tmp_path: Path) -> None:
    found = recalibrated(tmp_path, extreme(4000, 0), extreme(4000, 1), true_prevalence=0.05)["value"]
    for method in ("Platt", "isotonic"):
        assert found[method, "calibration-in-the-large"] == pytest.approx(0, abs=0.01)


def test_scores_that_separate_the_classes_have_finite_probabilities(tmp_path: Path) -> None:
    score = np.linspace(-3, 3, 20)
    found = recalibrated(tmp_path, (score, (score > 0).astype(int)), extreme(400, 1))["value"]
    assert np.isfinite(found["Platt", "brier"])
    assert np.isfinite(found["isotonic", "brier"])


def test_scores_of_one_value_are_recalibrated_by_isotonic_regression_alone(tmp_path: Path) -> None:
    alike = np.zeros(20), np.arange(20) % 2
    assert set(recalibrated(tmp_path, alike, extreme(400, 1)).index.get_level_values(0)) == {"none", "isotonic"}
