"""Scores from columns of summarized maps: hand-derived values, the conventions side by side, and references."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from assay.plugin import Code, Reason
from assay.stats import FreeResponse, maps

NAN, INF = float("nan"), float("inf")
OVERLAPS = {"dice": maps.dice, "iou": maps.iou, "precision": maps.precision, "recall": maps.recall}
# (truth, predicted, hit): as usual, both empty, nothing predicted, nothing true, no pixel in common
CASES = np.array([[10, 20, 8], [0, 0, 0], [10, 0, 0], [0, 5, 0], [4, 4, 0]]).T


@pytest.mark.parametrize(
    ("score", "empty", "expected"),
    [
        ("dice", "skip", [16 / 30, NAN, 0, 0, 0]),
        ("dice", "lesions", [16 / 30, NAN, 0, NAN, 0]),
        ("dice", "one", [16 / 30, 1, 0, 0, 0]),
        ("dice", "zero", [16 / 30, 0, 0, 0, 0]),
        ("dice", "smoothed", [17 / 31, 1, 1 / 11, 1 / 6, 1 / 9]),
        ("iou", "skip", [8 / 22, NAN, 0, 0, 0]),
        ("iou", "lesions", [8 / 22, NAN, 0, NAN, 0]),
        ("iou", "one", [8 / 22, 1, 0, 0, 0]),
        ("iou", "smoothed", [9 / 23, 1, 1 / 11, 1 / 6, 1 / 9]),
        ("precision", "skip", [0.4, NAN, NAN, 0, 0]),
        ("precision", "lesions", [0.4, NAN, 0, NAN, 0]),
        ("precision", "one", [0.4, 1, 0, 0, 0]),
        ("precision", "zero", [0.4, 0, 0, 0, 0]),
        ("precision", "smoothed", [9 / 21, 1, 1, 1 / 6, 1 / 5]),
        ("recall", "skip", [0.8, NAN, 0, NAN, 0]),
        ("recall", "lesions", [0.8, NAN, 0, NAN, 0]),
        ("recall", "one", [0.8, 1, 0, 0, 0]),
        ("recall", "smoothed", [9 / 11, 1, 1 / 11, 1, 1 / 5]),
    ],
)
def test_every_convention_by_hand(score: str, empty: Any, expected: list[float]) -> None:
    np.testing.assert_allclose(OVERLAPS[score](*CASES, empty), expected, rtol=1e-15)


def test_an_unknown_convention_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ValueError, match="unknown convention for empty masks 'both': give one of skip, lesions, one"):
        maps.dice(*CASES, "both")  # pyright: ignore[reportArgumentType]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_overlap_is_that_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, predicted = rng.random((2, 40)) < rng.random((2, 1))
    truth[0] = predicted[1] = True
    counts = [np.array([mask.sum()], np.int32) for mask in (truth, predicted, truth & predicted)]
    for score, theirs in (
        (maps.dice, reference.f1_score),
        (maps.iou, reference.jaccard_score),
        (maps.precision, reference.precision_score),
        (maps.recall, reference.recall_score),
    ):
        assert score(*counts, "skip")[0] == pytest.approx(theirs(truth, predicted), abs=1e-15)


def test_counts_at_several_thresholds_broadcast() -> None:
    predicted, hit = np.array([[8, 4, 0], [3, 0, 0]], np.int32), np.array([[4, 4, 0], [0, 0, 0]], np.int32)
    found = maps.dice(np.array([4, 0], np.int32)[:, None], predicted, hit, "one")
    np.testing.assert_allclose(found, [[8 / 12, 1, 0], [0, 1, 1]])


def test_large_counts_do_not_overflow() -> None:
    counts = np.array([2**31 - 1], np.int32)
    assert maps.dice(counts, counts, counts, "skip")[0] == maps.iou(counts, counts, counts, "skip")[0] == 1
    assert maps.volume_error(np.ones(1, np.int32), -counts)[0] < 0 < maps.volume_error(np.ones(1, np.int32), counts)[0]


def test_volume_error_is_signed() -> None:
    found = maps.volume_error(np.array([10, 10, 10, 0]), np.array([5, 10, 30, 3]))
    np.testing.assert_array_equal(found, [-0.5, 0, 2, NAN])


# --- images and lesions found ---------------------------------------------------------------------------------------


def test_a_false_positive_is_a_component_that_stands_at_the_threshold() -> None:
    area_score = np.array([[3.0, 1.0], [-INF, -INF], [2.0, 2.0]], np.float32)
    flags = maps.is_false_positive(area_score, np.array([1.0, 1.5, 3.0]))
    assert flags.shape == (3, 3, 2)
    np.testing.assert_allclose(flags.mean(axis=0), [[2 / 3, 2 / 3], [2 / 3, 1 / 3], [1 / 3, 0]])


FLOOR = np.array([-5.0, -4.0])
LESIONS = np.array([[2.0, -1.0, -5.0], [0.5, NAN, NAN]])  # the third is found only where all of its image is predicted


def test_lesions_are_found_up_to_their_scores_but_not_by_predicting_all() -> None:
    np.testing.assert_array_equal(maps.lesion_hits(LESIONS, FLOOR, 0.5), [[1, 0, 0], [1, NAN, NAN]])
    np.testing.assert_array_equal(maps.lesion_hits(LESIONS, FLOOR, -3.9), [[1, 1, 0], [1, NAN, NAN]])
    np.testing.assert_array_equal(maps.lesion_hits(LESIONS, FLOOR, -4.0), [[1, 1, 0], [0, NAN, NAN]])
    np.testing.assert_array_equal(maps.lesion_hits(LESIONS, FLOOR, -9.0), [[0, 0, 0], [0, NAN, NAN]])


@pytest.mark.parametrize(("level", "threshold"), [(0.25, 2), (0.26, 0.5), (0.5, 0.5), (0.75, -1), (0.1, 2)])
def test_the_threshold_of_a_sensitivity(level: float, threshold: float) -> None:
    found = maps.sensitivity_threshold(LESIONS, FLOOR, level)
    assert (found.value, found.reason) == (threshold, Reason())
    assert np.nanmean(maps.lesion_hits(LESIONS, FLOOR, found.value)) >= level
    assert np.nanmean(maps.lesion_hits(LESIONS, FLOOR, found.value + 1e-6)) < level


def test_a_sensitivity_that_only_a_map_of_lesion_alone_reaches_is_censored() -> None:
    found = maps.sensitivity_threshold(LESIONS, FLOOR, 0.8)
    assert not found.is_defined
    assert found.reason == Reason.of(Code.UNREACHED_SENSITIVITY, level=0.8, most=0.75, lesions=4)


def test_a_map_that_is_constant_reaches_nothing() -> None:
    least = maps.sensitivity_threshold(np.array([[-7.0]]), np.array([-7.0]), 0.8).reason
    assert least == Reason.of(Code.UNREACHED_SENSITIVITY, level=0.8, most=0.0, lesions=1)


def test_thresholds_without_lesions_or_levels() -> None:
    assert maps.sensitivity_threshold(np.full((3, 1), NAN), np.zeros(3), 0.8).reason == Reason.of(Code.NO_LESION)
    assert maps.sensitivity_threshold(np.empty((3, 0)), np.zeros(3), 0.8).reason == Reason.of(Code.NO_LESION)
    for level in (0.0, 1.01):
        with pytest.raises(ValueError, match="give a share above 0 and at most 1"):
            maps.sensitivity_threshold(LESIONS, FLOOR, level)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.8, 0.9, 0.95, 0.5]))
def test_a_threshold_is_the_highest_that_reaches_its_level(seed: int, level: float) -> None:
    """Beside every threshold tried one by one; floors are so high that some images are predicted whole."""
    rng = np.random.default_rng(seed)
    score = np.round(rng.normal(size=(int(rng.integers(1, 30)), 3)), 1)
    floor = np.round(rng.normal(-3, 1.5, len(score)), 1)
    score = np.maximum(score, floor[:, None])
    found = maps.sensitivity_threshold(score, floor, level)
    tried = np.round(np.arange(-90, 60) / 10, 1)
    reaching = [at for at in tried if maps.lesion_hits(score, floor, at).mean() >= level - 1e-12]
    assert found.is_defined == bool(reaching)
    if reaching:
        assert found.value == pytest.approx(max(reaching))


# --- free response --------------------------------------------------------------------------------------------------

THRESHOLDS = np.array([-6.0, 0.0, 1.0, 3.0])
STRAY = np.array([[1, 3, 1, 0], [1, 1, 0, 0]])


def test_a_free_response_curve_by_hand() -> None:
    """At -6 three components of the first image have met: the marks of 0 stay made."""
    curve = maps.free_response(STRAY, LESIONS, FLOOR, THRESHOLDS)
    assert curve.false_positives.tolist() == [2, 2, 0.5, 0]
    assert curve.sensitivity.tolist() == [0.75, 0.5, 0.25, 0]


def test_a_map_that_is_lesion_all_over_has_not_found_everything_for_nothing() -> None:
    """Two specks and then everything: counted at -5 alone there is one component, which touches the lesion."""
    curve = maps.free_response(np.array([[0, 2, 1]]), np.array([[-4.0]]), np.array([-9.0]), np.array([-5.0, 0.0, 1.0]))
    assert curve.false_positives.tolist() == [2, 2, 1]
    assert curve.sensitivity.tolist() == [1, 0, 0]


def test_the_sensitivity_within_false_positives() -> None:
    curve = maps.free_response(STRAY, LESIONS, FLOOR, THRESHOLDS)
    most = np.array([0, 0.5, 1.99, 2, 8])
    assert maps.sensitivity_within(curve, most).tolist() == [0, 0.25, 0.25, 0.75, 0.75]
    begun_late = FreeResponse(np.array([3.0, 1.0]), np.array([0.9, 0.4]))
    np.testing.assert_array_equal(maps.sensitivity_within(begun_late, np.array([0.5, 1.0])), [NAN, 0.4])


@pytest.mark.parametrize(("most", "area"), [(0.5, 0), (1, 0.125), (2, 0.1875), (3, (1.5 * 0.25 + 0.75) / 3)])
def test_the_partial_area_by_hand(most: float, area: float) -> None:
    curve = maps.free_response(STRAY, LESIONS, FLOOR, THRESHOLDS)
    assert maps.partial_area(curve, most).value == pytest.approx(area)


def test_the_partial_area_is_the_mean_sensitivity() -> None:
    rng = np.random.default_rng(0)
    curve = FreeResponse(np.sort(np.append(rng.uniform(0, 6, 29), 0))[::-1], np.sort(rng.random(30))[::-1])
    steps = np.linspace(0, 4, 40_001)
    mean = np.mean(maps.sensitivity_within(curve, (steps[1:] + steps[:-1])[::20] / 2))
    assert maps.partial_area(curve, 4).value == pytest.approx(mean, abs=1e-3)


def test_a_perfect_curve_has_an_area_of_one() -> None:
    assert maps.partial_area(FreeResponse(np.array([3.0, 0.0]), np.array([1.0, 1.0])), 2).value == 1


def test_a_curve_that_does_not_begin_at_none_has_no_area() -> None:
    """What lies above the highest threshold is not known; up to a hundredth of the mean counts as 0."""
    sure = np.array([[1, 1]] * 2 + [[0, 0]] * 98)
    curve = maps.free_response(sure, np.array([[5.0]]), np.array([-5.0]), np.array([0.0, 1.0]))
    assert maps.partial_area(curve, 2).value == pytest.approx(0.99)
    assert maps.partial_area(curve, 1).reason == Reason.of(Code.CURVE_BEGINS_LATE, false_positives=0.02)


def test_curves_that_are_not_defined() -> None:
    none = np.full((2, 1), NAN)
    assert maps.partial_area(maps.free_response(STRAY, none, FLOOR, THRESHOLDS), 1).reason == Reason.of(Code.NO_LESION)
    without = maps.free_response(STRAY[:0], LESIONS, FLOOR, THRESHOLDS)
    assert maps.partial_area(without, 1).reason == Reason.of(Code.NO_FALSE_POSITIVE_IMAGE)
    with pytest.raises(ValueError, match="components are counted at 4 thresholds and 3 are given"):
        maps.free_response(STRAY, LESIONS, FLOOR, THRESHOLDS[:3])
    with pytest.raises(ValueError, match="give a number above 0"):
        maps.partial_area(without, 0)
