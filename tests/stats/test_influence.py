"""Contributions against deletion of patients, plain variance formulas, and invariances."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference
from syrupy.assertion import SnapshotAssertion
from tests.cases import first_of
from tests.worlds.panels import answers

from assay.report.sentences.reasons import reason_words
from assay.stats import ModelPredictions, measure_value, value_and_contributions
from assay.stats.measures import COMPUTED, find_measure

seeds = st.integers(0, 10_000)
BINARY = [name for name, one in COMPUTED.items() if not one.requirements.maps]
# Leaving a row out moves the bins of the calibration error, so that a jackknife of it is not one of the same thing.
SEVERAL = [name for name in BINARY if not COMPUTED[name].requirements.binary and name != "calibration-error"]


def without(given_: ModelPredictions, keep: np.ndarray) -> ModelPredictions:
    fold = None if given_.fold is None else given_.fold[keep]
    assert given_.specificity_log_odds is not None
    return replace(
        given_,
        logits=given_.logits[keep],
        target=given_.target[keep],
        fold=fold,
        specificity_log_odds=given_.specificity_log_odds[keep],
    )


def jackknife(name: str, model: ModelPredictions, patient: np.ndarray) -> np.ndarray:
    """Contributions by leaving out each patient in turn, with nothing in common with the code under test."""
    whole = measure_value(name, model).value
    codes = np.unique(patient)
    left = np.array([measure_value(name, without(model, patient != code)).value for code in codes])
    return (whole - left) * (len(codes) - 1) / len(codes)


@pytest.mark.parametrize("name", [name for name in BINARY if name != "calibration-error"])
@pytest.mark.parametrize("folds", [0, 4])
def test_standard_errors_agree_with_the_jackknife_over_patients(name: str, folds: int) -> None:
    model = answers(1, n=400, folds=folds)
    patient = np.arange(400) // 2
    _, ours = value_and_contributions(name, model, patient)
    theirs = jackknife(name, model, patient)
    # Average precision bends most at its highest scores, where one patient is a large share of those called.
    loose = name == "average-precision"
    jackknifed = np.sqrt(((theirs - theirs.mean()) ** 2).sum())
    assert np.sqrt((ours**2).sum()) == pytest.approx(jackknifed, rel=0.08 if loose else 0.02)
    assert np.corrcoef(ours, theirs)[0, 1] > (0.98 if loose else 0.995)


@pytest.mark.parametrize(
    ("name", "weighted"),
    [
        ("auroc", lambda m, w: reference.roc_auc_score(m.target, m.score, sample_weight=w)),
        ("average-precision", lambda m, w: reference.average_precision_score(m.target, m.score, sample_weight=w)),
        ("accuracy", lambda m, w: reference.accuracy_score(m.target, m.predicted, sample_weight=w)),
        ("brier", lambda m, w: reference.brier_score_loss(m.target, m.probability[:, 1], sample_weight=w)),
        ("log-loss", lambda m, w: reference.log_loss(m.target, m.probability, sample_weight=w)),
        (
            "quadratic-weighted-kappa",
            lambda m, w: reference.cohen_kappa_score(m.target, m.predicted, weights="quadratic", sample_weight=w),
        ),
    ],
)
def test_contributions_are_derivatives_of_scikit_learns_weighted_metrics(name: str, weighted) -> None:
    model, step = answers(3, ties=True), 1e-5
    rows = find_measure(name).compute(model)[1](np.arange(80))
    bumps = np.ones(80) + step * np.eye(80)
    derivative = np.array([weighted(model, up) - weighted(model, 2 - up) for up in bumps]) / (2 * step)
    patients = np.array([np.sum(model.target == code) for code in model.target]) if name == "auroc" else 80
    np.testing.assert_allclose(rows, derivative * np.sqrt(patients / (patients - 1)), atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("name", first_of(SEVERAL, 4))
def test_several_classes_agree_with_the_jackknife(name: str) -> None:
    model = answers(2, n=400, k=4)
    _, ours = value_and_contributions(name, model, np.arange(400))
    theirs = jackknife(name, model, np.arange(400))
    assert np.sqrt((ours**2).sum()) == pytest.approx(np.sqrt((theirs**2).sum()), rel=0.02)


def test_standard_error_of_the_calibration_error_is_its_spread_over_samples() -> None:
    rng, values, errors = np.random.default_rng(0), [], []
    for _ in range(400):
        logit = rng.normal(size=(300, 1)) * 2
        target = (rng.random(300) < 1 / (1 + np.exp(-logit[:, 0] / 3))).astype(np.int64)
        result, moved = value_and_contributions("calibration-error", ModelPredictions(logit, target), np.arange(300))
        values.append(result.value)
        errors.append((moved**2).sum())
    # Signs of near-calibrated bins are noise, which the contributions count: they err on the wide side.
    assert 1 <= np.sqrt(np.mean(errors)) / np.std(values) <= 1.25


def test_calibration_error_within_fixed_bins_moves_by_the_signed_gap() -> None:
    # One bin's worth of rows at one probability: the error is |claimed - came|, its variance that of the outcome.
    target = np.repeat([1, 0], [30, 70])
    model = ModelPredictions(np.full((100, 1), np.log(0.6 / 0.4)), target)
    result, ours = value_and_contributions("calibration-error", model, np.arange(100))
    assert result.value == pytest.approx(0.3)
    assert (ours**2).sum() == pytest.approx(target.var(ddof=1) / 100)


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_auroc_variance_is_that_of_delong(seed: int) -> None:
    model = answers(seed, ties=True)
    x, y = model.score[model.target == 1], model.score[model.target == 0]
    kernel = (x[:, None] > y).astype(float) + 0.5 * (x[:, None] == y)
    delong = kernel.mean(axis=1).var(ddof=1) / len(x) + kernel.mean(axis=0).var(ddof=1) / len(y)
    result, moved = value_and_contributions("auroc", model, np.arange(80))
    assert result.value == pytest.approx(kernel.mean())
    assert (moved**2).sum() == pytest.approx(delong, abs=1e-14)


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_variances_of_means_are_the_textbook_ones(seed: int) -> None:
    model = answers(seed)
    right = (model.predicted == model.target).astype(float)
    for name, part in (("accuracy", right), ("sensitivity", right[model.target == 1])):
        _, moved = value_and_contributions(name, model, np.arange(80))
        assert (moved**2).sum() == pytest.approx(part.var(ddof=1) / len(part), abs=1e-14)


@settings(max_examples=10, deadline=None)
@given(seeds, st.sampled_from(BINARY), st.sampled_from([0, 4]))
def test_contributions_sum_to_zero_and_follow_their_patients(seed: int, name: str, folds: int) -> None:
    model = answers(seed, folds=folds)
    patient = np.random.default_rng(seed).permutation(80) // 2
    alone = value_and_contributions(name, model, np.arange(80))[1]
    assert alone.sum() == pytest.approx(0, abs=1e-12)
    result, moved = value_and_contributions(name, model, patient)
    order = np.random.default_rng(seed + 1).permutation(80)
    again, permuted = value_and_contributions(name, without(model, order), patient[order])
    assert again.value == pytest.approx(result.value, abs=1e-12)
    np.testing.assert_allclose(permuted, moved, atol=1e-12)


@pytest.mark.parametrize("name", BINARY)
def test_images_copied_within_their_patients_change_nothing(name: str) -> None:
    model, patient = answers(5), np.arange(80)
    twice = without(model, np.tile(np.arange(80), 2))
    result, moved = value_and_contributions(name, model, patient)
    doubled, moved_twice = value_and_contributions(name, twice, np.tile(patient, 2))
    if name == "calibration-error":  # its bins may not be cut where the copies lie
        return
    assert doubled.value == pytest.approx(result.value, abs=1e-12)
    np.testing.assert_allclose(moved_twice, moved, atol=1e-12)


def test_auroc_ignores_a_monotone_transform() -> None:
    model = answers(6)
    single = model.logits[:, 1:] - model.logits[:, :1]
    _, moved = value_and_contributions("auroc", replace(model, logits=single), np.arange(80))
    _, bent = value_and_contributions("auroc", replace(model, logits=np.sinh(single)), np.arange(80))
    np.testing.assert_allclose(moved, bent, atol=1e-12)


@pytest.mark.parametrize("name", ["auroc", "sensitivity"])
def test_one_patient_of_a_class_has_no_variance(name: str) -> None:
    model = ModelPredictions(np.array([[0.4], [0.5], [0.3], [0.6]]), np.array([1, 1, 0, 0]))
    result, moved = value_and_contributions(name, model, np.array([7, 7, 8, 9]))
    assert result.is_defined
    assert np.isnan(moved).any()


def test_undefined_measures_carry_their_reason(snapshot: SnapshotAssertion) -> None:
    model = answers(1, k=3, n=30)
    assert reason_words(measure_value("auroc", model).reason) == snapshot
    broken = replace(model, logits=np.where(np.arange(30)[:, None] < 2, np.nan, model.logits))
    assert reason_words(measure_value("accuracy", broken).reason) == snapshot
    assert np.isnan(value_and_contributions("accuracy", broken, np.arange(30))[1]).all()


@pytest.mark.parametrize("folds", [0, 4])
def test_two_classes_are_ranked_once_and_each_class_against_the_rest_alike(
    folds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, patient, ranked = answers(2, n=300, folds=folds, ties=True), np.arange(300) // 2, list[str]()

    def counted(name: str) -> Callable[..., np.ndarray]:
        plain = getattr(np, name)
        return lambda *given_, **options: (ranked.append(name), plain(*given_, **options))[1]

    first = value_and_contributions("auroc", model, patient)
    with monkeypatch.context() as patch:
        for name in ("sort", "argsort"):
            patch.setattr(np, name, counted(name))
        found = {name: value_and_contributions(name, model, patient) for name in ("auroc", "auroc-macro", "somers-d")}
        assert ranked == []
        value_and_contributions("auroc", answers(3, n=300, folds=folds, ties=True), patient)
        assert ranked
    assert found["auroc"][0] == first[0]
    other = replace(model, logits=model.logits[:, ::-1], target=1 - model.target)
    of_negatives = value_and_contributions("auroc", other, patient)
    assert found["auroc-macro"][0].value == pytest.approx((first[0].value + of_negatives[0].value) / 2, abs=1e-12)
    np.testing.assert_allclose(found["auroc-macro"][1], of_negatives[1], atol=1e-12)


def test_known_contributions_are_those_of_the_same_patients_and_answers() -> None:
    model = answers(2, n=300)
    first = value_and_contributions("auroc", model, np.arange(300))[1]
    assert len(first) == 300
    assert len(value_and_contributions("auroc", model, np.arange(300) // 2)[1]) == 150
    turned = value_and_contributions("auroc", replace(model, logits=-model.logits), np.arange(300))[0]
    assert turned.value == pytest.approx(1 - value_and_contributions("auroc", model, np.arange(300))[0].value)


def test_unknown_measure_names_the_nearest() -> None:
    with pytest.raises(Exception, match="unknown measure 'aurocc': did you mean 'auroc'"):
        find_measure("aurocc")


def test_chance_is_what_knowing_only_frequencies_reaches() -> None:
    target = np.repeat([0, 1], [75, 25])
    prior = ModelPredictions(np.tile(np.log([0.75, 0.25]), (100, 1)), target)
    for name in ("auroc", "auroc-macro", "average-precision", "accuracy", "brier", "log-loss", "calibration-error"):
        assert find_measure(name).chance(target, 2) == pytest.approx(measure_value(name, prior).value, abs=1e-9)


def test_patients_that_change_in_place_are_coded_again() -> None:
    target, patient = np.arange(6) % 2, np.arange(6) // 2
    scores = np.array([1.0, 2.0, -1.0, -2.0, 0.5, 3.0])[:, None]
    value_and_contributions("accuracy", ModelPredictions(scores, target), patient)
    patient[:] = np.arange(6)
    _, found = value_and_contributions("accuracy", ModelPredictions(scores, target), patient)
    _, fresh = value_and_contributions("accuracy", ModelPredictions(scores, target), np.arange(6))
    assert found.tolist() == fresh.tolist()


@pytest.mark.parametrize("name", ["accuracy", "sensitivity", "specificity", "auroc", "brier"])
def test_contributions_of_uneven_patients_are_divided_by_the_root_of_what_others_have(name: str) -> None:
    """The residual of a mean of patients with shares w is (1 - w) of what it is without them (CR2)."""
    model, patient = answers(3), np.repeat(np.arange(10), [35, *[5] * 9])
    counted = {"sensitivity": model.target == 1, "specificity": model.target == 0}.get(name, np.ones(80, dtype=bool))
    rows = value_and_contributions(name, model, np.arange(80))[1]
    sides = [model.target == code for code in (0, 1)] if name == "auroc" else [counted]
    expected = np.zeros(10)
    for side in sides:
        alone = rows[side] / np.sqrt(side.sum() / (side.sum() - 1))
        share = np.bincount(patient[side], minlength=10) / side.sum()
        expected += np.bincount(patient[side], alone, minlength=10) / np.sqrt(1 - share)
    np.testing.assert_allclose(value_and_contributions(name, model, patient)[1], expected, atol=1e-12)
