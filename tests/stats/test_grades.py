"""Measures at the cut of grades, against scikit-learn and by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp
from sklearn import metrics as reference
from tests.worlds.panels import answers

from assay.plugin import Code, Reason
from assay.stats import ModelPredictions, measure_value
from assay.stats.measures.grades import specificity_thresholds

SPECIFICITIES = (0.8, 0.9, 0.95)

seeds = st.integers(0, 10_000)


@given(seed=seeds, cut=st.integers(1, 4))
@settings(max_examples=20, deadline=None)
def test_auroc_at_the_cut_is_that_of_the_probability_of_lying_above_it(seed: int, cut: int) -> None:
    model = replace(answers(seed, k=5), grade_cutoff=cut)
    theirs = reference.roc_auc_score(model.target >= cut, model.probability[:, cut:].sum(axis=1))
    assert measure_value("auroc-referable", model).value == pytest.approx(theirs, abs=1e-12)


def test_of_two_classes_the_only_cut_is_auroc_itself() -> None:
    model = answers(3)
    assert measure_value("auroc-referable", model) == measure_value("auroc", model)


def test_a_cut_that_leaves_no_class_above_is_said() -> None:
    reason = Reason.of(Code.CUT_OUTSIDE_CLASSES, cut=5, classes=5)
    assert measure_value("auroc-referable", replace(answers(1, k=5), grade_cutoff=5)).reason == reason
    assert measure_value("sensitivity-at-specificity-90", replace(answers(1, k=5), grade_cutoff=5)).reason == reason


@given(seed=seeds, cut=st.integers(1, 3))
@settings(max_examples=30, deadline=None)
def test_a_threshold_reaches_its_specificity_and_no_lower_one_does(seed: int, cut: int) -> None:
    model = answers(seed, k=4, ties=True)
    score = logsumexp(model.logits[:, cut:], axis=1) - logsumexp(model.logits[:, :cut], axis=1)
    low = score[model.target < cut]
    found = specificity_thresholds(model.logits, model.target, cut)
    for level, threshold in zip(SPECIFICITIES, found, strict=True):
        assert (low < threshold).mean() >= level - 1e-12
        below = score[score < threshold].max()
        assert (low < below).mean() < level


def test_by_hand() -> None:
    """Ten validation images below the cut score 0 to 9, 90% of them under 8.5. Tested, 2 of 3 and 3 of 4 are right."""
    score = np.array([*range(10), 20], dtype=float)
    logits = np.stack([np.zeros(11), score], axis=1)
    target = np.array([0] * 10 + [1])
    assert specificity_thresholds(logits, target, 1)[1] == 8.5
    tested = np.array([9.0, 8.6, 8.0, 1.0, 2.0, 8.4, 8.9])
    model = ModelPredictions(
        np.stack([np.zeros(7), tested], axis=1),
        np.array([1, 1, 1, 0, 0, 0, 0]),
        specificity_log_odds=np.full((7, 3), 8.5),
    )
    assert measure_value("sensitivity-at-specificity-90", model).value == pytest.approx(2 / 3)
    assert measure_value("specificity-kept-90", model).value == pytest.approx(3 / 4)


def test_without_validation_images_below_the_cut_no_threshold_is_chosen() -> None:
    assert np.isnan(specificity_thresholds(np.zeros((3, 4)), np.array([2, 3, 3]), 2)).all()
    for model in (
        replace(answers(1, k=4), specificity_log_odds=None),
        replace(answers(1, k=4), specificity_log_odds=np.full((80, 3), np.nan)),
    ):
        found = measure_value("sensitivity-at-specificity-90", replace(model, grade_cutoff=2))
        assert found.reason == Reason.of(Code.NO_CUT_THRESHOLD)
