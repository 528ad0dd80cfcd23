"""Measures from columns of summarized maps (docs/reference/maps.md): pure functions, most of them per image.

Overlap is computed under a named convention for empty masks (`Empty`), because the choice reorders models: an image
without a lesion has a Dice of 0/0 when nothing is predicted and of 0 as soon as one pixel is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Bool, Float, Int

from assay.core.reasons import Code, Reason
from assay.stats.metrics import Metric, undefined_metric

Empty = Literal["skip", "lesions", "one", "zero", "smoothed"]
"""A convention for empty masks.

- skip: left out where the denominator is 0
- lesions: left out where the truth is empty, whatever is predicted
- one: 1 where truth and prediction are both empty, 0 where the denominator alone is 0
- zero: 0 where the denominator is 0
- smoothed: 1 added to numerator and denominator of every image
"""
SMOOTHING = 1.0

PixelCounts = Int[np.ndarray, "*n"]
ImageScores = Float[np.ndarray, "*n"]
OverlapFunction = Callable[[PixelCounts, PixelCounts, PixelCounts, Empty], ImageScores]


# --- overlap --------------------------------------------------------------------------------------------------------


def dice(truth: PixelCounts, predicted: PixelCounts, hit: PixelCounts, empty: Empty) -> ImageScores:
    """Compute Dice per image, 0 to 1: 2 hit / (truth + predicted).

    The arrays broadcast, so that `truth[:, None]` goes with counts at several thresholds.

    Args:
        truth: Lesion pixels.
        predicted: Predicted pixels.
        hit: Pixels of both.
        empty: Convention for a denominator of 0, where both masks are empty.

    References:
        Dice, "Measures of the amount of ecologic association between species", Ecology 1945.

    Examples:
        >>> truth, predicted, hit = np.array([4, 0]), np.array([2, 0]), np.array([2, 0])
        >>> dice(truth, predicted, hit, "skip").round(4).tolist()  # 2 * 2 / (4 + 2); both masks are empty
        [0.6667, nan]
        >>> dice(truth, predicted, hit, "one").round(4).tolist()
        [0.6667, 1.0]
    """
    return _ratio_with_empty_rule(
        empty, 2 * np.asarray(hit, np.float64), truth + predicted.astype(np.int64), truth, predicted
    )


def iou(truth: PixelCounts, predicted: PixelCounts, hit: PixelCounts, empty: Empty) -> ImageScores:
    """Compute the intersection over union per image, 0 to 1: hit / (truth + predicted - hit).

    Arguments are those of `dice`.

    References:
        Jaccard, "The distribution of the flora in the alpine zone", New Phytologist 1912.

    Examples:
        >>> iou(np.array([4]), np.array([2]), np.array([2]), "skip").tolist()  # 2 / (4 + 2 - 2)
        [0.5]
    """
    union = truth + predicted.astype(np.int64) - hit
    return _ratio_with_empty_rule(empty, np.asarray(hit, np.float64), union, truth, predicted)


def precision(truth: PixelCounts, predicted: PixelCounts, hit: PixelCounts, empty: Empty) -> ImageScores:
    """Compute the share of predicted pixels that are lesion, 0 to 1: hit / predicted, per image.

    The denominator is 0 where nothing is predicted. Arguments are those of `dice`.

    Examples:
        >>> precision(np.array([4, 4]), np.array([2, 0]), np.array([1, 0]), "skip").tolist()  # 1 / 2, and 0 / 0
        [0.5, nan]
    """
    return _ratio_with_empty_rule(empty, np.asarray(hit, np.float64), predicted, truth, predicted)


def recall(truth: PixelCounts, predicted: PixelCounts, hit: PixelCounts, empty: Empty) -> ImageScores:
    """Compute the share of lesion pixels that are predicted, 0 to 1: hit / truth, per image.

    The denominator is 0 where there is no lesion. Arguments are those of `dice`.

    Examples:
        >>> recall(np.array([4, 0]), np.array([2, 3]), np.array([1, 0]), "skip").tolist()  # 1 / 4; no lesion
        [0.25, nan]
    """
    return _ratio_with_empty_rule(empty, np.asarray(hit, np.float64), truth, truth, predicted)


def volume_error(truth: PixelCounts, predicted: PixelCounts) -> ImageScores:
    """Compute the signed error of the area per image, from -1 up: (predicted - truth) / truth. NaN without a lesion.

    1 is twice the true area.

    Examples:
        >>> volume_error(np.array([4, 4, 0]), np.array([8, 2, 5])).tolist()
        [1.0, -0.5, nan]
    """
    truth, predicted = np.broadcast_arrays(truth, predicted)
    return _ratio_or(predicted.astype(np.float64) - truth, truth, np.nan)


def _ratio_with_empty_rule(
    empty: Empty, numerator: ImageScores, denominator: PixelCounts, truth: PixelCounts, predicted: PixelCounts
) -> ImageScores:
    numerator, denominator, truth, predicted = np.broadcast_arrays(numerator, denominator, truth, predicted)
    match empty:
        case "skip":
            return _ratio_or(numerator, denominator, np.nan)
        case "lesions":
            return np.where(truth > 0, _ratio_or(numerator, denominator, 0.0), np.nan)
        case "one":
            return _ratio_or(numerator, denominator, np.where((truth == 0) & (predicted == 0), 1.0, 0.0))
        case "zero":
            return _ratio_or(numerator, denominator, 0.0)
        case "smoothed":
            return (numerator + SMOOTHING) / (denominator + SMOOTHING)
    raise ValueError(f"unknown convention for empty masks {empty!r}: give one of {', '.join(get_args(Empty))}")


def _ratio_or(numerator: ImageScores, denominator: PixelCounts, otherwise: float | ImageScores) -> ImageScores:
    """over / under, and another value where `denominator` is 0."""
    return np.where(denominator == 0, otherwise, numerator / np.where(denominator == 0, 1, denominator))


# --- images and lesions found ---------------------------------------------------------------------------------------


def is_false_positive(
    area_score: Float[np.ndarray, "n a"], thresholds: Float[np.ndarray, " t"]
) -> Bool[np.ndarray, "n t a"]:
    """Return whether an image is called positive at each threshold and minimum area: whether a component is as large.

    The mean over lesion-free images is their false-positive rate. It is exact at any threshold, and falls as either
    grows.

    Args:
        area_score: For each image and minimum area, the highest logit at which a component is as large, [n, a].
        thresholds: Logits [t].

    Examples:
        An image has a component of at least 1 pixel up to a logit of 2, and one of at least 9 pixels up to 0:

        >>> is_false_positive(np.array([[2.0, 0.0]]), np.array([-1.0, 1.0])).tolist()
        [[[True, True], [True, False]]]
    """
    return area_score[:, None, :] >= np.asarray(thresholds, np.float64)[None, :, None]


def lesion_hits(
    lesion_score: Float[np.ndarray, "n l"], floor: Float[np.ndarray, " n"], threshold: float | Float[np.ndarray, " n"]
) -> Float[np.ndarray, "n l"]:
    """Return 1 for a lesion that is found at a threshold, 0 for one that is not, NaN where padded.

    Args:
        lesion_score: The highest logit at which each lesion is found, [n, lesions].
        floor: The least logit of each image. A threshold at or below it predicts the whole image and finds nothing in
            it.
        threshold: A logit, for all images or for each.

    Examples:
        >>> lesion_hits(np.array([[2.0, -1.0, np.nan]]), np.array([-5.0]), 0.0).tolist()
        [[1.0, 0.0, nan]]
    """
    at = np.reshape(threshold, (-1, 1))
    hits = (lesion_score >= at) & (floor[:, None] < at)
    return np.where(np.isnan(lesion_score), np.nan, hits.astype(np.float64))


def sensitivity_threshold(
    lesion_score: Float[np.ndarray, "n l"], floor: Float[np.ndarray, " n"], level: float
) -> Metric:
    """Return the highest threshold, a logit, at which at least the share `level` of all lesions is found.

    Args:
        lesion_score: As in `lesion_hits`.
        floor: As in `lesion_hits`, so that the number of found lesions need not grow as the threshold falls.
        level: Share of lesions, above 0 and at most 1.

    Returns:
        The threshold; undefined without a lesion, and where no threshold finds so many without predicting whole images.

    Raises:
        ValueError: The level is outside this range.

    Examples:
        >>> score, floor = np.array([[2.0, 1.0], [-1.0, np.nan]]), np.array([-5.0, -5.0])
        >>> sensitivity_threshold(score, floor, 0.6).value  # two of three lesions
        1.0
    """
    if not 0 < level <= 1:
        raise ValueError(f"a level of sensitivity of {level}: give a share above 0 and at most 1")
    present = ~np.isnan(lesion_score)
    score = np.sort(lesion_score[present])
    if not len(score):
        return undefined_metric(Code.NO_LESION)
    floors = np.sort(np.broadcast_to(floor[:, None], lesion_score.shape)[present])
    at = score[::-1]
    # A lesion whose score is its image's floor is taken off as soon as it is counted.
    hits = np.searchsorted(floors, at) - np.searchsorted(score, at)
    enough = np.flatnonzero(hits >= level * len(score) - 1e-9)
    if len(enough):
        return Metric(float(at[enough[0]]))
    return undefined_metric(
        Reason.of(Code.UNREACHED_SENSITIVITY, level=level, most=float(hits.max() / len(score)), lesions=len(score))
    )


# --- free response --------------------------------------------------------------------------------------------------


class FreeResponse(NamedTuple):
    """A free-response curve, one entry per threshold, from the lowest up; neither grows with the threshold.

    false_positives: mean number of marks per image that touch no lesion. sensitivity: share of lesions marked, NaN
    without a lesion.

    Examples:
        >>> curve = FreeResponse(false_positives=np.array([1.0, 0.5, 0.0]), sensitivity=np.array([1.0, 0.5, 0.25]))
        >>> sensitivity_within(curve, np.array([0.5])).tolist()  # at half a false positive per image
        [0.5]
    """

    false_positives: Float[np.ndarray, " t"]
    sensitivity: Float[np.ndarray, " t"]


def count_false_marks(false_components: Int[np.ndarray, "n t"]) -> Int[np.ndarray, "n t"]:
    """Count the false positives of a free response: the most components off lesions at a threshold or any above it.

    A mark is not withdrawn. Counted at one threshold alone, components grow together as it falls, and a map that is
    lesion all over would have none.

    Args:
        false_components: Components that touch no lesion, by threshold from the lowest up, [n, t].

    Examples:
        >>> count_false_marks(np.array([[1, 3, 2, 0]])).tolist()
        [[3, 3, 2, 0]]
    """
    return np.maximum.accumulate(false_components[:, ::-1], axis=1)[:, ::-1]


def count_marked_lesions(
    lesion_score: Float[np.ndarray, "n l"], floor: Float[np.ndarray, " n"], thresholds: Float[np.ndarray, " t"]
) -> Int[np.ndarray, "n t"]:
    """Count the lesions of each image that are found at each threshold or any above it.

    A threshold that predicts the whole image finds none.

    Examples:
        >>> count_marked_lesions(np.array([[2.0, -1.0, np.nan]]), np.array([-5.0]), np.array([-2.0, 0.0, 3.0])).tolist()
        [[2, 1, 0]]
    """
    score = np.where(lesion_score > floor[:, None], lesion_score, -np.inf)
    return (score[:, None, :] >= np.asarray(thresholds, np.float64)[:, None]).sum(axis=2)


def free_response(
    false_components: Int[np.ndarray, "n t"],
    lesion_score: Float[np.ndarray, "m l"],
    floor: Float[np.ndarray, " m"],
    thresholds: Float[np.ndarray, " t"],
) -> FreeResponse:
    """Compute the free-response curve: false positives per image against sensitivity by lesion.

    Args:
        false_components: As in `count_false_marks`; possibly of other images than the lesions, such as lesion-free
            ones.
        lesion_score: As in `lesion_hits`.
        floor: As in `lesion_hits`.
        thresholds: Logits from the lowest up, [t].

    Returns:
        The curve; its sensitivity is NaN without a lesion, its false positives without an image.

    Raises:
        ValueError: There is not one count for each threshold.

    References:
        Bunch et al., "A free-response approach to the measurement and characterization of radiographic-observer
        performance", Journal of Applied Photographic Engineering 1978; Chakraborty, "A brief history of free-response
        receiver operating characteristic paradigm data analysis", Academic Radiology 2013.

    Examples:
        >>> false, score, floor = np.array([[2, 1, 0], [0, 0, 0]]), np.array([[2.0], [-1.0]]), np.array([-5.0, -5.0])
        >>> curve = free_response(false, score, floor, np.array([-2.0, 0.0, 3.0]))
        >>> curve.false_positives.tolist(), curve.sensitivity.tolist()  # per image, and of two lesions
        ([1.0, 0.5, 0.0], [1.0, 0.5, 0.0])
    """
    if false_components.shape[1] != len(thresholds):
        raise ValueError(
            f"components are counted at {false_components.shape[1]} thresholds and {len(thresholds)} are given"
        )
    lesions = np.count_nonzero(~np.isnan(lesion_score))
    marked = count_marked_lesions(lesion_score, floor, thresholds).sum(axis=0)
    nothing = np.full(len(thresholds), np.nan)
    false = count_false_marks(false_components).mean(axis=0) if len(false_components) else nothing
    return FreeResponse(false, marked / lesions if lesions else nothing)


class FoldFreeResponse(NamedTuple):
    """The free response of one fold's model: its images (booleans), its curve, and how many lesions it is of."""

    is_in_fold: Bool[np.ndarray, " n"]
    curve: FreeResponse
    n_lesions: int


def fold_free_responses(
    false_components: Int[np.ndarray, "n t"],
    lesion_score: Float[np.ndarray, "n l"],
    floor: Float[np.ndarray, " n"],
    thresholds: Float[np.ndarray, " t"],
    fold: Int[np.ndarray, " n"] | None,
) -> list[FoldFreeResponse]:
    """A curve for each fold that has a lesion, since logits of two models share no scale; one of all images without
    folds, and where no fold has a lesion.

    Examples:
        >>> false, score, floor = np.array([[2, 1, 0], [0, 0, 0]]), np.array([[2.0], [-1.0]]), np.array([-5.0, -5.0])
        >>> folds = fold_free_responses(false, score, floor, np.array([-2.0, 0.0, 3.0]), np.array([0, 1]))
        >>> [fold.curve.sensitivity.tolist() for fold in folds], [fold.n_lesions for fold in folds]
        ([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]], [1, 1])
    """
    lesions = (~np.isnan(lesion_score)).sum(axis=1)
    is_in_fold = [np.ones(len(false_components), dtype=bool)]
    if fold is not None and lesions.any():
        is_in_fold = [fold == number for number in np.unique(fold) if lesions[fold == number].any()]
    return [
        FoldFreeResponse(
            here,
            free_response(false_components[here], lesion_score[here], floor[here], thresholds),
            int(lesions[here].sum()),
        )
        for here in is_in_fold
    ]


def sensitivity_over_folds(
    folds: Sequence[FoldFreeResponse], max_false_positives: Float[np.ndarray, " x"]
) -> Float[np.ndarray, " x"]:
    """Return the mean over lesions of `sensitivity_within` of the folds.

    The model of each fold makes at most so many false positives.

    Examples:
        >>> curve = FreeResponse(np.array([1.0, 0.5, 0.0]), np.array([1.0, 0.5, 0.0]))
        >>> blind, images = curve._replace(sensitivity=np.zeros(3)), np.ones(2, dtype=bool)
        >>> folds = [FoldFreeResponse(images, curve, 1), FoldFreeResponse(images, blind, 3)]
        >>> sensitivity_over_folds(folds, np.array([0.5])).tolist()  # (1 * 0.5 + 3 * 0) / 4
        [0.125]
    """
    within = [sensitivity_within(response.curve, max_false_positives) for response in folds]
    if len(folds) == 1:
        return within[0]
    return np.average(within, axis=0, weights=[response.n_lesions for response in folds])


def sensitivity_within(curve: FreeResponse, max_false_positives: Float[np.ndarray, " x"]) -> Float[np.ndarray, " x"]:
    """Return the greatest sensitivity of a curve with at most so many false positives per image, 0 to 1.

    Args:
        curve: The free-response curve.
        max_false_positives: Numbers of false positives per image, [x].

    Returns:
        Sensitivities [x]; NaN where even the highest threshold has more, without a lesion, and without an image.

    Examples:
        >>> curve = FreeResponse(np.array([1.0, 0.5, 0.0]), np.array([1.0, 0.5, 0.25]))
        >>> sensitivity_within(curve, np.array([0.4, 0.6, 2.0])).tolist()
        [0.25, 0.5, 1.0]
    """
    allowed = curve.false_positives[:, None] <= max_false_positives
    best = np.where(allowed, curve.sensitivity[:, None], 0.0).max(axis=0, initial=0.0)
    return np.where(allowed.any(axis=0), best, np.nan)


def partial_area(curve: FreeResponse, max_false_positives: float) -> Metric:
    """Compute the mean of `sensitivity_within` over 0 to `max_false_positives` per image, 0 to 1.

    It is the area under the steps of the curve, divided by `max_false_positives`: nothing is interpolated between
    thresholds.

    Args:
        curve: The free-response curve.
        max_false_positives: The greatest number of false positives per image, above 0.

    Returns:
        The value; undefined without a lesion, without an image to count false positives on, and where more than a
        hundredth of its range is above the highest threshold (less counts as 0).

    Raises:
        ValueError: `max_false_positives` is not above 0.

    Examples:
        >>> curve = FreeResponse(np.array([1.0, 0.5, 0.0]), np.array([1.0, 0.5, 0.25]))
        >>> partial_area(curve, 2.0).value  # (0.25 * 0.5 + 0.5 * 0.5 + 1 * 1) / 2
        0.6875
    """
    if not max_false_positives > 0:
        raise ValueError(f"a partial area up to {max_false_positives} false positives per image: give a number above 0")
    if np.isnan(curve.sensitivity).any():
        return undefined_metric(Code.NO_LESION)
    if np.isnan(curve.false_positives).any():
        return undefined_metric(Code.NO_FALSE_POSITIVE_IMAGE)
    if (first_false := curve.false_positives[-1]) > max_false_positives / 100:
        return undefined_metric(Reason.of(Code.CURVE_BEGINS_LATE, false_positives=float(first_false)))
    capped = np.minimum(curve.false_positives[::-1], max_false_positives)
    return Metric(
        float((curve.sensitivity[::-1] * np.diff(np.append(capped, max_false_positives))).sum() / max_false_positives)
    )
