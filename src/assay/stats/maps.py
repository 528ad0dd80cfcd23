"""Measures from columns of summarized maps (docs/reference/maps.md): pure functions, most of them per image.

Overlap is computed under a named convention for empty masks (`Empty`), because the choice reorders models: an image
without a lesion has a Dice of 0/0 when nothing is predicted and of 0 as soon as one pixel is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Bool, Float, Int

from assay.core.reasons import Code, because
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

Counts = Int[np.ndarray, "*n"]
Scores = Float[np.ndarray, "*n"]
Overlap = Callable[[Counts, Counts, Counts, Empty], Scores]


# --- overlap --------------------------------------------------------------------------------------------------------


def dice(truth: Counts, predicted: Counts, hit: Counts, empty: Empty) -> Scores:
    """2 hit / (truth + predicted), 0..1, per image; pixels of the truth, of the prediction and of both. Dice (1945).

    The arrays broadcast, so that `truth[:, None]` goes with counts at several thresholds. The denominator is 0 where
    both masks are empty; see `Empty` for the value then.

    Examples:
        >>> truth, predicted, hit = np.array([4, 0]), np.array([2, 0]), np.array([2, 0])
        >>> dice(truth, predicted, hit, "skip").round(4).tolist()  # 2 * 2 / (4 + 2); both masks are empty
        [0.6667, nan]
        >>> dice(truth, predicted, hit, "one").round(4).tolist()
        [0.6667, 1.0]
    """
    return _under(empty, 2 * np.asarray(hit, np.float64), truth + predicted.astype(np.int64), truth, predicted)


def iou(truth: Counts, predicted: Counts, hit: Counts, empty: Empty) -> Scores:
    """hit / (truth + predicted - hit), 0..1, per image. Jaccard (1912). As `dice` otherwise.

    Examples:
        >>> iou(np.array([4]), np.array([2]), np.array([2]), "skip").tolist()  # 2 / (4 + 2 - 2)
        [0.5]
    """
    union = truth + predicted.astype(np.int64) - hit
    return _under(empty, np.asarray(hit, np.float64), union, truth, predicted)


def precision(truth: Counts, predicted: Counts, hit: Counts, empty: Empty) -> Scores:
    """hit / predicted, 0..1, per image: the share of predicted pixels that are lesion.

    The denominator is 0 where nothing is predicted. As `dice` otherwise.

    Examples:
        >>> precision(np.array([4, 4]), np.array([2, 0]), np.array([1, 0]), "skip").tolist()  # 1 / 2, and 0 / 0
        [0.5, nan]
    """
    return _under(empty, np.asarray(hit, np.float64), predicted, truth, predicted)


def recall(truth: Counts, predicted: Counts, hit: Counts, empty: Empty) -> Scores:
    """hit / truth, 0..1, per image: the share of lesion pixels that are predicted.

    The denominator is 0 where there is no lesion. As `dice` otherwise.

    Examples:
        >>> recall(np.array([4, 0]), np.array([2, 3]), np.array([1, 0]), "skip").tolist()  # 1 / 4; no lesion
        [0.25, nan]
    """
    return _under(empty, np.asarray(hit, np.float64), truth, truth, predicted)


def volume_error(truth: Counts, predicted: Counts) -> Scores:
    """(predicted - truth) / truth per image, signed, from -1 up: 1 is twice the true area. NaN without a lesion.

    Examples:
        >>> volume_error(np.array([4, 4, 0]), np.array([8, 2, 5])).tolist()
        [1.0, -0.5, nan]
    """
    truth, predicted = np.broadcast_arrays(truth, predicted)
    return _ratio(predicted.astype(np.float64) - truth, truth, np.nan)


def _under(empty: Empty, over: Scores, denominator: Counts, truth: Counts, predicted: Counts) -> Scores:
    over, denominator, truth, predicted = np.broadcast_arrays(over, denominator, truth, predicted)
    match empty:
        case "skip":
            return _ratio(over, denominator, np.nan)
        case "lesions":
            return np.where(truth > 0, _ratio(over, denominator, 0.0), np.nan)
        case "one":
            return _ratio(over, denominator, np.where((truth == 0) & (predicted == 0), 1.0, 0.0))
        case "zero":
            return _ratio(over, denominator, 0.0)
        case "smoothed":
            return (over + SMOOTHING) / (denominator + SMOOTHING)
    raise ValueError(f"unknown convention for empty masks {empty!r}: give one of {', '.join(get_args(Empty))}")


def _ratio(over: Scores, denominator: Counts, otherwise: float | Scores) -> Scores:
    """over / under, and another value where `denominator` is 0."""
    return np.where(denominator == 0, otherwise, over / np.where(denominator == 0, 1, denominator))


# --- images and lesions found ---------------------------------------------------------------------------------------


def false_positives(
    area_score: Float[np.ndarray, "n a"], thresholds: Float[np.ndarray, " t"]
) -> Bool[np.ndarray, "n t a"]:
    """Whether an image is called positive at each threshold and minimum area: whether it has a component of that area.

    The mean over lesion-free images is their false-positive rate over the plane. Exact at any threshold, on the grid or
    not. It falls as either grows.

    Examples:
        An image has a component of at least 1 pixel up to a logit of 2, and one of at least 9 pixels up to 0:

        >>> false_positives(np.array([[2.0, 0.0]]), np.array([-1.0, 1.0])).tolist()
        [[[True, True], [True, False]]]
    """
    return area_score[:, None, :] >= np.asarray(thresholds, np.float64)[None, :, None]


def lesion_hits(
    lesion_score: Float[np.ndarray, "n l"], floor: Float[np.ndarray, " n"], threshold: float | Float[np.ndarray, " n"]
) -> Float[np.ndarray, "n l"]:
    """1 for a lesion found at a threshold (one for all images or one each), 0 for one that is not, NaN where padded.

    floor: the least logit of each image. A threshold at or below it predicts the whole image and finds nothing in it.

    Examples:
        >>> lesion_hits(np.array([[2.0, -1.0, np.nan]]), np.array([-5.0]), 0.0).tolist()
        [[1.0, 0.0, nan]]
    """
    at = np.reshape(threshold, (-1, 1))
    hits = (lesion_score >= at) & (floor[:, None] < at)
    return np.where(np.isnan(lesion_score), np.nan, hits.astype(np.float64))


def threshold_at(lesion_score: Float[np.ndarray, "n l"], floor: Float[np.ndarray, " n"], level: float) -> Metric:
    """The highest threshold at which at least the share `level` of all lesions is found: a logit.

    floor: as in `lesion_hits`, so that the number of found lesions need not grow as the threshold falls. Undefined
    without a lesion, and censored (NaN with a reason) where no threshold finds so many without predicting whole images.
    Raises ValueError unless 0 < level <= 1.

    Examples:
        >>> score, floor = np.array([[2.0, 1.0], [-1.0, np.nan]]), np.array([-5.0, -5.0])
        >>> threshold_at(score, floor, 0.6).value  # two of three lesions
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
        because(Code.UNREACHED_SENSITIVITY, level=level, most=float(hits.max() / len(score)), lesions=len(score))
    )


# --- free response --------------------------------------------------------------------------------------------------


class FreeResponse(NamedTuple):
    """A free-response curve, one entry per threshold, from the lowest up; neither grows with the threshold.

    false_positives: mean number of marks per image that touch no lesion. sensitivity: share of lesions marked, NaN
    without a lesion.
    """

    false_positives: Float[np.ndarray, " t"]
    sensitivity: Float[np.ndarray, " t"]


def false_marks(false_components: Int[np.ndarray, "n t"]) -> Int[np.ndarray, "n t"]:
    """The most components that touch no lesion at a threshold or any above it: false positives of a free response.

    A mark that was made stays made. Counted at one threshold alone, components grow together as it falls, and a map
    that is lesion all over would have none.

    Examples:
        >>> false_marks(np.array([[1, 3, 2, 0]])).tolist()
        [[3, 3, 2, 0]]
    """
    return np.maximum.accumulate(false_components[:, ::-1], axis=1)[:, ::-1]


def lesions_marked(
    lesion_score: Float[np.ndarray, "n l"], floor: Float[np.ndarray, " n"], thresholds: Float[np.ndarray, " t"]
) -> Int[np.ndarray, "n t"]:
    """How many lesions of an image are found at each threshold or any above it, by more than predicting it whole.

    Examples:
        >>> lesions_marked(np.array([[2.0, -1.0, np.nan]]), np.array([-5.0]), np.array([-2.0, 0.0, 3.0])).tolist()
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
    """False positives per image against sensitivity by lesion (Bunch et al. 1978; Chakraborty 2013).

    thresholds: from the lowest up. Components may be counted on other images (lesion-free ones, say) than lesions.
    Raises ValueError unless there is one count per threshold.

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
    marked = lesions_marked(lesion_score, floor, thresholds).sum(axis=0)
    nothing = np.full(len(thresholds), np.nan)
    false = false_marks(false_components).mean(axis=0) if len(false_components) else nothing
    return FreeResponse(false, marked / lesions if lesions else nothing)


class OfFold(NamedTuple):
    """The free response of one fold's model: its images (booleans), its curve, and how many lesions it is of."""

    images: Bool[np.ndarray, " n"]
    curve: FreeResponse
    lesions: int


def free_responses(
    false_components: Int[np.ndarray, "n t"],
    lesion_score: Float[np.ndarray, "n l"],
    floor: Float[np.ndarray, " n"],
    thresholds: Float[np.ndarray, " t"],
    fold: Int[np.ndarray, " n"] | None,
) -> list[OfFold]:
    """A curve for each fold that has a lesion, since logits of two models share no scale; one of all images without
    folds, and where no fold has a lesion.

    Examples:
        >>> false, score, floor = np.array([[2, 1, 0], [0, 0, 0]]), np.array([[2.0], [-1.0]]), np.array([-5.0, -5.0])
        >>> folds = free_responses(false, score, floor, np.array([-2.0, 0.0, 3.0]), np.array([0, 1]))
        >>> [fold.curve.sensitivity.tolist() for fold in folds], [fold.lesions for fold in folds]
        ([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]], [1, 1])
    """
    lesions = (~np.isnan(lesion_score)).sum(axis=1)
    among = [np.ones(len(false_components), dtype=bool)]
    if fold is not None and lesions.any():
        among = [fold == number for number in np.unique(fold) if lesions[fold == number].any()]
    return [
        OfFold(
            here,
            free_response(false_components[here], lesion_score[here], floor[here], thresholds),
            int(lesions[here].sum()),
        )
        for here in among
    ]


def sensitivity_over(folds: Sequence[OfFold], most: Float[np.ndarray, " x"]) -> Float[np.ndarray, " x"]:
    """`sensitivity_within` where every fold's model makes at most so many false positives: the mean over lesions.

    Examples:
        >>> curve = FreeResponse(np.array([1.0, 0.5, 0.0]), np.array([1.0, 0.5, 0.0]))
        >>> blind, images = curve._replace(sensitivity=np.zeros(3)), np.ones(2, dtype=bool)
        >>> folds = [OfFold(images, curve, 1), OfFold(images, blind, 3)]
        >>> sensitivity_over(folds, np.array([0.5])).tolist()  # (1 * 0.5 + 3 * 0) / 4
        [0.125]
    """
    within = [sensitivity_within(response.curve, most) for response in folds]
    if len(folds) == 1:
        return within[0]
    return np.average(within, axis=0, weights=[response.lesions for response in folds])


def sensitivity_within(curve: FreeResponse, most: Float[np.ndarray, " x"]) -> Float[np.ndarray, " x"]:
    """The greatest sensitivity of a curve with at most so many false positives per image, for each number. Range 0..1.

    NaN where even the highest threshold has more, without a lesion, and without an image.

    Examples:
        >>> curve = FreeResponse(np.array([1.0, 0.5, 0.0]), np.array([1.0, 0.5, 0.25]))
        >>> sensitivity_within(curve, np.array([0.4, 0.6, 2.0])).tolist()
        [0.25, 0.5, 1.0]
    """
    allowed = curve.false_positives[:, None] <= most
    best = np.where(allowed, curve.sensitivity[:, None], 0.0).max(axis=0, initial=0.0)
    return np.where(allowed.any(axis=0), best, np.nan)


def partial_area(curve: FreeResponse, most: float) -> Metric:
    """The mean of `sensitivity_within` over 0 to `most` false positives per image. Range 0..1.

    The area under the steps of the curve, divided by `most`: nothing is interpolated between thresholds. Undefined
    without a lesion, without an image to count false positives on, and where more than a hundredth of its range is
    above the highest threshold (less counts as 0). Raises ValueError unless `most` is above 0.

    Examples:
        >>> curve = FreeResponse(np.array([1.0, 0.5, 0.0]), np.array([1.0, 0.5, 0.25]))
        >>> partial_area(curve, 2.0).value  # (0.25 * 0.5 + 0.5 * 0.5 + 1 * 1) / 2
        0.6875
    """
    if not most > 0:
        raise ValueError(f"a partial area up to {most} false positives per image: give a number above 0")
    if np.isnan(curve.sensitivity).any():
        return undefined_metric(Code.NO_LESION)
    if np.isnan(curve.false_positives).any():
        return undefined_metric(Code.NO_FALSE_POSITIVE_IMAGE)
    if (first_false := curve.false_positives[-1]) > most / 100:
        return undefined_metric(because(Code.CURVE_BEGINS_LATE, false_positives=float(first_false)))
    at = np.minimum(curve.false_positives[::-1], most)
    return Metric(float((curve.sensitivity[::-1] * np.diff(np.append(at, most))).sum() / most))
