"""Metrics of classification and the scores that they take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from scipy.special import logsumexp, softmax

from assay.core.reasons import NO_REASON, Code, Reason

# Input and result of metrics: scores and probabilities from logits, a value or the reason why there is none.


class Metric(NamedTuple):
    """A value, or NaN and the reason why there is none.

    Attributes:
        value: The value.
        reason: Why there is none.
        images: Number of images behind the value; None where it is of all.

    Examples:
        >>> Metric(0.8).is_defined, undefined_metric(Code.NO_IMAGES).is_defined
        (True, False)
    """

    value: float
    reason: Reason = NO_REASON
    images: int | None = None

    @property
    def is_defined(self) -> bool:
        """Whether there is a value."""
        return not self.reason


def undefined_metric(reason: Reason | Code) -> Metric:
    """Return a metric without a value, and why.

    Examples:
        >>> undefined_metric(Code.NO_IMAGES)
        Metric(value=nan, reason=Reason(causes=(Cause(code=<Code.NO_IMAGES: 'no-images'>, fields=()),)), images=None)
    """
    return Metric(float("nan"), Reason.of(reason) if isinstance(reason, Code) else reason)


# --- from logits to the input of metrics ----------------------------------------------------------------------------


def two_columns(logits: Float[np.ndarray, "*s n k"]) -> Float[np.ndarray, "*s n c"]:
    """Return logits with at least two columns, in float64: a single sigmoid logit z becomes (0, z).

    Examples:
        >>> two_columns(np.array([[2.0], [-1.0]])).tolist()
        [[0.0, 2.0], [0.0, -1.0]]
    """
    columns = np.asarray(logits, dtype=np.float64)
    return np.concatenate([np.zeros_like(columns), columns], axis=-1) if columns.shape[-1] == 1 else columns


def probabilities(logits: Float[np.ndarray, "*s n k"]) -> Float[np.ndarray, "*s n c"]:
    """Return class probabilities in float64, with rows that add up to 1: the softmax of the logits.

    Examples:
        >>> probabilities(np.array([[0.0], [np.log(3)]])).round(6).tolist()
        [[0.5, 0.5], [0.25, 0.75]]
    """
    return softmax(two_columns(logits), axis=-1)


def class_score(logits: Float[np.ndarray, "*s n k"], label: int = 1) -> Float[np.ndarray, "*s n"]:
    """Return the log-odds of one class against the rest, log(p / (1 - p)), (-inf, inf).

    They rank as the probability p does, and never saturate.

    Args:
        logits: Logits [..., n, k].
        label: The class.

    Examples:
        >>> class_score(np.array([[1.0, 3.0]])).tolist()  # two classes: the difference of their logits
        [2.0]
        >>> class_score(np.log([[0.5, 0.25, 0.25]]), 0).round(6).tolist()  # log(0.5 / (0.25 + 0.25))
        [0.0]
    """
    columns = two_columns(logits)
    if columns.shape[-1] == 2:
        return columns[..., label] - columns[..., 1 - label]
    return columns[..., label] - logsumexp(np.delete(columns, label, axis=-1), axis=-1)


def log_odds(logits: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n m"]:
    """Return the log-odds of the positive class [n, 1] (positive minus negative logit), or with several classes of each
    against the rest [n, k].

    Examples:
        >>> log_odds(np.array([[1.0, 3.0], [2.0, 2.0]])).tolist()
        [[2.0], [0.0]]
        >>> log_odds(np.zeros((1, 3))).round(3).tolist()  # log(1 / 2) for each of three classes
        [[-0.693, -0.693, -0.693]]
    """
    classes = logits.shape[1]
    return np.stack([class_score(logits, label) for label in (range(classes) if classes > 2 else (1,))], axis=1)


def score_names(classes: tuple[str, ...]) -> tuple[str, ...]:
    """Return the `level` of each column of `log_odds`: the classes, or an empty name where there are two.

    Examples:
        >>> score_names(("benign", "malignant"))
        ('',)
        >>> score_names(("nevus", "melanoma", "keratosis"))
        ('nevus', 'melanoma', 'keratosis')
    """
    return classes if len(classes) > 2 else ("",)


def cumulative_log_odds(logits: Float[np.ndarray, "*s n k"], grade_cutoff: int) -> Float[np.ndarray, "*s n"]:
    """Return the log-odds of the classes from `grade_cutoff` on against those before it, (-inf, inf).

    Args:
        logits: Logits [..., n, k] of ordered classes.
        grade_cutoff: The first class that counts as positive, 1 to k - 1.

    Examples:
        >>> cumulative_log_odds(np.log([[0.5, 0.25, 0.25]]), 1).round(6).tolist()  # log((0.25 + 0.25) / 0.5)
        [0.0]
    """
    columns = two_columns(logits)
    return logsumexp(columns[..., grade_cutoff:], axis=-1) - logsumexp(columns[..., :grade_cutoff], axis=-1)


def undefined_ranking_reason(score: Shaped[np.ndarray, " n"], target: Shaped[np.ndarray, " n"]) -> Reason:
    """Return why a ranking of two classes is undefined, or nothing.

    Raises:
        ValueError: Scores and targets differ in shape, or a target is neither 0 nor 1.

    Examples:
        >>> undefined_ranking_reason(np.array([0.2, 0.7]), np.array([0, 1])) == NO_REASON
        True
        >>> str(undefined_ranking_reason(np.array([0.2, 0.7]), np.array([1, 1])))
        '[{"code": "absent-class", "kind": "negative"}]'
    """
    if score.ndim != 1 or score.shape != target.shape:
        raise ValueError(f"scores have shape {score.shape} and targets {target.shape}: give one of each per image")
    if not np.isin(target, (0, 1)).all():
        raise ValueError(f"targets hold {sorted(set(target.tolist()) - {0, 1})[:5]}: a binary target is 0 or 1")
    if not len(target):
        return Reason.of(Code.NO_IMAGES)
    if reason := _non_finite_reason(score):
        return reason
    missing = [name for code, name in ((1, "positive"), (0, "negative")) if not (target == code).any()]
    return Reason.of(Code.ABSENT_CLASS, kind=missing[0]) if missing else NO_REASON


def undefined_probability_reason(logits: Shaped[np.ndarray, "n k"], target: Shaped[np.ndarray, " n"]) -> Reason:
    """Return why a metric of class probabilities is undefined, or nothing.

    Raises:
        ValueError: Logits and targets differ in length, or a target is no class code.

    Examples:
        >>> undefined_probability_reason(np.zeros((2, 3)), np.array([0, 2])) == NO_REASON
        True
        >>> str(undefined_probability_reason(np.array([[0.0, np.nan]]), np.array([0])))
        '[{"code": "not-finite", "count": 1, "images": 1}]'
    """
    if logits.ndim != 2 or len(logits) != len(target):
        raise ValueError(f"logits have shape {logits.shape} and targets {target.shape}: give [n, k] and [n]")
    classes = max(logits.shape[1], 2)
    if len(target) and not ((target >= 0) & (target < classes)).all():
        raise ValueError(f"targets lie in {target.min()}..{target.max()}: {classes} classes are coded 0..{classes - 1}")
    if not len(target):
        return Reason.of(Code.NO_IMAGES)
    return _non_finite_reason(logits)


def paired_arrays(predicted: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return predictions and targets as arrays, paired by their place and not by the index of a pandas Series.

    Raises:
        ValueError: The shapes differ.

    Examples:
        >>> paired_arrays([0, 1], [1, 1])
        (array([0, 1]), array([1, 1]))
        >>> paired_arrays(np.array([0]), np.array([1, 1]))
        Traceback (most recent call last):
        ValueError: predictions have shape (1,) and targets (2,): give one per image
    """
    pair = np.asarray(predicted), np.asarray(target)
    if pair[0].shape != pair[1].shape:
        raise ValueError(f"predictions have shape {pair[0].shape} and targets {pair[1].shape}: give one per image")
    return pair


def _non_finite_reason(values: np.ndarray) -> Reason:
    finite = np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    bad = len(values) - int(np.count_nonzero(finite))
    return Reason.of(Code.NOT_FINITE, count=bad, images=len(values)) if bad else NO_REASON


# Metrics of a model's outputs: pure functions of scores or logits, and targets.
#
# Every function returns a `Metric`: a value, or NaN with the reason why there is none. Wrong shapes and targets that
# are no class codes are mistakes of the caller and raise ValueError; answers that are not finite, or a class without
# images, are findings and give NaN with a reason.
#
# Conventions. `target` holds class codes, 1 being positive where there are two classes. `logits` are [n, k] for k
# classes (softmax) or [n, 1] for the positive class alone (sigmoid). A row is called positive when its probability is
# at least the threshold; with several classes the most probable one is called, the first among equals.

CALIBRATION_BINS = 15


# --- ranking --------------------------------------------------------------------------------------------------------


def placements(
    score: Float[np.ndarray, "*s n"], target: Int[np.ndarray, " n"], fold: Int[np.ndarray, "*s n"] | None = None
) -> tuple[Float[np.ndarray, "*s n"], Float[np.ndarray, "*s n"]]:
    """Count for each row the rows of the other class that it is ordered correctly with, a tie as one half.

    Args:
        score: Scores [n]; leading axes are batches that share the targets.
        target: 0 or 1, [n].
        fold: Only rows of the same fold are compared, where it is given.

    Returns:
        These counts, and how many rows of the other class there are.

    References:
        DeLong, DeLong and Clarke-Pearson, "Comparing the areas under two or more correlated ROC curves", Biometrics
        1988, of which these are the components before division.

    Examples:
        >>> right, opposite = placements(np.array([0.1, 0.4, 0.35, 0.8]), np.array([0, 0, 1, 1]))
        >>> right.tolist()  # the positive of 0.35 is above one of the two negatives, that of 0.8 above both
        [2.0, 1.0, 1.0, 2.0]
        >>> opposite.tolist()
        [2.0, 2.0, 2.0, 2.0]
    """
    positive = np.asarray(target) == 1
    if score.ndim == 1 and (fold is None or (fold == fold[:1]).all()):
        return _placements_of_one_ranking(score, positive)
    key = overall = average_ranks(score)
    folds = np.zeros_like(key) if fold is None else np.broadcast_to(fold, key.shape)
    if fold is not None:
        # Folds laid end to end: one ranking then serves all folds, the classes' rows of earlier folds being subtracted.
        key = folds * (2.0 * key.shape[-1] + 2) + key
        overall = average_ranks(key)
    right, opposite = np.empty_like(key), np.empty_like(key)
    for rows_of_class, other in ((positive, ~positive), (~positive, positive)):
        below = overall[..., rows_of_class] - average_ranks(key[..., rows_of_class])
        if fold is None:
            earlier, within = 0.0, float(np.count_nonzero(other))
        else:
            earlier, within = _count_others_by_fold(folds[..., rows_of_class], folds[..., other])
        opposite[..., rows_of_class] = within
        right[..., rows_of_class] = below - earlier
    right[..., ~positive] = opposite[..., ~positive] - right[..., ~positive]
    return right, opposite


def _placements_of_one_ranking(
    score: Float[np.ndarray, " n"], positive: Bool[np.ndarray, " n"]
) -> tuple[np.ndarray, np.ndarray]:
    """`placements` of one ranking: each class is looked up in the other, sorted once."""
    right, opposite = np.empty(len(score)), np.empty(len(score))
    for rows_of_class, other in ((positive, ~positive), (~positive, positive)):
        ordered = np.sort(score[other])
        below, through = (np.searchsorted(ordered, score[rows_of_class], side=side) for side in ("left", "right"))
        opposite[rows_of_class] = len(ordered)
        right[rows_of_class] = (below + through) / 2
    right[~positive] = opposite[~positive] - right[~positive]
    return right, opposite


def _count_others_by_fold(of_class: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For every own row: how many rows of the other class lie in earlier folds, and how many in its own."""
    earlier, within = np.zeros(of_class.shape), np.zeros(of_class.shape)
    for number in np.unique(of_class):
        here = of_class == number
        earlier += here * (other < number).sum(axis=-1, keepdims=True)
        within += here * (other == number).sum(axis=-1, keepdims=True)
    return earlier, within


def average_ranks(values: Shaped[np.ndarray, "*s n"]) -> Float[np.ndarray, "*s n"]:
    """Rank values along the last axis from 1, ties by their mean rank; all NaN where a value is.

    As `scipy.stats.rankdata`, whose import takes longer than the tables of most studies.

    Examples:
        >>> average_ranks(np.array([0.3, 0.1, 0.3])).tolist()
        [2.5, 1.0, 2.5]
    """
    order = np.argsort(values, axis=-1)
    ordered = np.take_along_axis(values, order, axis=-1)
    is_first = np.ones(values.shape, dtype=bool)
    is_first[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
    first = np.flatnonzero(is_first)
    tie_sizes = np.diff(first, append=values.size)
    ranks = np.repeat(first % max(values.shape[-1], 1) + (tie_sizes + 1) / 2, tie_sizes).reshape(values.shape)
    ranks_in_place = np.empty(values.shape)
    np.put_along_axis(ranks_in_place, order, ranks, axis=-1)
    ranks_in_place[np.isnan(values).any(axis=-1)] = np.nan
    return ranks_in_place


def auroc(
    score: Float[np.ndarray, " n"], target: Int[np.ndarray, " n"], fold: Int[np.ndarray, " n"] | None = None
) -> Metric:
    """Compute the area under the ROC curve, 0 to 1: P(s+ > s-) + P(s+ = s-) / 2. Chance is 0.5.

    The share of pairs of a positive and a negative image in which the positive one scores higher, ties counting one
    half.

    Args:
        score: Any score that keeps the order, [n].
        target: 0 or 1, [n].
        fold: Only pairs within a fold count, since scores of two models share no scale; a fold weighs as many pairs as
            it has.

    Returns:
        The value; undefined where a class has no image or no fold has both classes.

    References:
        Hanley and McNeil, "The meaning and use of the area under a receiver operating characteristic (ROC) curve",
        Radiology 1982.

    Examples:
        >>> auroc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([0, 0, 1, 1])).value  # 3 of 4 pairs
        0.75
        >>> auroc(np.array([0.1, 0.4]), np.array([1, 1])).is_defined
        False
    """
    score, target = np.asarray(score), np.asarray(target)
    if reason := undefined_ranking_reason(score, target):
        return undefined_metric(reason)
    return auroc_from_placements(*placements(score, target, None if fold is None else np.asarray(fold)), target)


def auroc_from_placements(
    right: Float[np.ndarray, " n"], opposite: Float[np.ndarray, " n"], target: Int[np.ndarray, " n"]
) -> Metric:
    """Compute the AUROC from `placements`; undefined where no fold holds both classes.

    Examples:
        >>> target = np.array([0, 0, 1, 1])
        >>> auroc_from_placements(*placements(np.array([0.1, 0.4, 0.35, 0.8]), target), target).value
        0.75
    """
    positive = target == 1
    pairs = opposite[positive].sum()
    if pairs == 0:
        return undefined_metric(Code.NO_FOLD_WITH_BOTH_CLASSES)
    return Metric(float(right[positive].sum() / pairs))


def macro_auroc(
    logits: Float[np.ndarray, "n k"],
    target: Int[np.ndarray, " n"],
    fold: Int[np.ndarray, " n"] | None = None,
    class_names: Sequence[str] = (),
) -> Metric:
    """Compute the unweighted mean over classes of the AUROC of a class against the rest, 0 to 1. Chance is 0.5.

    Args:
        logits: Logits [n, k].
        target: Class codes [n].
        fold: As in `auroc`.
        class_names: Names of the classes, for the reason.

    Returns:
        The value; undefined where a class has no image, or no fold has it and another.

    Examples:
        >>> macro_auroc(np.eye(3), np.array([0, 1, 2])).value
        1.0
        >>> str(macro_auroc(np.eye(3), np.array([0, 1, 1]), class_names=("a", "b", "c")).reason)
        '[{"code": "absent-classes", "classes": ["c"]}]'
    """
    logits, target = np.asarray(logits), np.asarray(target)
    if reason := undefined_probability_reason(logits, target):
        return undefined_metric(reason)
    values, labels = list[float](), range(two_columns(logits).shape[-1])
    if absent := sorted({*labels} - {*target.tolist()}):
        return undefined_metric(
            Reason.of(
                Code.ABSENT_CLASSES, classes=tuple(class_names[k] if class_names else f"class {k}" for k in absent)
            )
        )
    for label in labels:
        by_class = auroc(class_score(logits, label), (target == label).astype(np.int64), fold)
        if not by_class.is_defined:
            return undefined_metric(Reason.of(Code.ONE_CLASS_AGAINST_REST, label=label) + by_class.reason)
        values.append(by_class.value)
    return Metric(float(np.mean(values)))


def average_precision(
    called: Float[np.ndarray, " n"], hit: Float[np.ndarray, " n"], target: Int[np.ndarray, " n"]
) -> Metric:
    """Compute the average precision, 0 to 1: the mean over positives of the precision at their score.

    Chance is the share of positives. The value is undefined without a positive.

    Args:
        called: Rows called positive at the score of each row, from `count_calls_by_score`; equal scores count together.
        hit: Those of them that are positive.
        target: 0 or 1, [n].

    Examples:
        The positives are ranked first and third of three, with precisions of 1 and 2/3:

        >>> score, target = np.array([0.9, 0.5, 0.1]), np.array([1, 0, 1])
        >>> round(average_precision(*count_calls_by_score(score, target), target).value, 4)  # (1 + 2/3) / 2
        0.8333
        >>> str(average_precision(np.ones(1), np.zeros(1), np.zeros(1, dtype=int)).reason)
        '[{"code": "absent-class", "kind": "positive"}]'
    """
    positive = target == 1
    if not positive.any():
        return undefined_metric(Reason.of(Code.ABSENT_CLASS, kind="positive"))
    return Metric(float((hit[positive] / called[positive]).mean()))


def count_calls_by_score(
    score: Float[np.ndarray, " n"], target: Int[np.ndarray, " n"], fold: Int[np.ndarray, " n"] | None = None
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Count the rows called positive at the score of each row, and the true positives among them.

    Args:
        score: Scores [n].
        target: 0 or 1, [n].
        fold: Each fold has its own threshold.

    Examples:
        >>> called, hit = count_calls_by_score(np.array([0.9, 0.5, 0.1]), np.array([1, 0, 1]))
        >>> called.tolist(), hit.tolist()
        ([1.0, 2.0, 3.0], [1.0, 1.0, 2.0])
    """
    folds = np.zeros(len(score), dtype=np.int64) if fold is None else fold
    called, hit = np.zeros(len(score)), np.zeros(len(score))
    for number in np.unique(folds):
        here = folds == number
        scores, positives = np.sort(score[here]), np.sort(score[here & (target == 1)])
        called[here] = len(scores) - np.searchsorted(scores, score[here], side="left")
        hit[here] = len(positives) - np.searchsorted(positives, score[here], side="left")
    return called, hit


# --- decisions ------------------------------------------------------------------------------------------------------


ON_THRESHOLD = 1 - 1e-9
"""Part of a threshold from which a probability is on it: as log-odds and back, its last digit may be another."""


def predicted_classes(
    probability: Float[np.ndarray, "n k"], threshold: float | Float[np.ndarray, " n"] = 0.5
) -> Int[np.ndarray, " n"]:
    """Return class codes: of two classes 1 where p >= threshold, of several the class with the highest probability.

    Args:
        probability: Class probabilities [n, k]; the first of equal ones is predicted.
        threshold: For all rows or for each, on the positive probability.

    Examples:
        >>> predicted_classes(np.array([[0.6, 0.4], [0.5, 0.5]])).tolist()
        [0, 1]
        >>> predicted_classes(np.array([[0.6, 0.4], [0.5, 0.5]]), threshold=0.3).tolist()
        [1, 1]
        >>> predicted_classes(np.array([[0.2, 0.4, 0.4]])).tolist()
        [1]
        >>> 1 / (1 + 1 / 9) >= 0.9, predicted_classes(np.array([[0.1, 1 / (1 + 1 / 9)]]), threshold=0.9).tolist()
        (False, [1])
    """
    if probability.shape[-1] == 2:
        return (probability[:, 1] >= np.multiply(threshold, ON_THRESHOLD)).astype(np.int64)
    return probability.argmax(axis=-1)


def accuracy(predicted: Int[np.ndarray, " n"], target: Int[np.ndarray, " n"]) -> Metric:
    """Compute the share of correct predictions, 0 to 1. It is undefined without images.

    Raises:
        ValueError: Predictions and targets differ in shape.

    Examples:
        >>> accuracy(np.array([0, 1, 1, 1]), np.array([0, 1, 1, 0])).value
        0.75
    """
    predicted, target = paired_arrays(predicted, target)
    return _share_among(predicted == target, np.ones(len(target), dtype=bool), Reason.of(Code.NO_IMAGES))


def sensitivity(predicted: Int[np.ndarray, " n"], target: Int[np.ndarray, " n"]) -> Metric:
    """Compute the share of positives that are predicted positive, TP / (TP + FN), 0 to 1.

    It is undefined without a positive.

    Raises:
        ValueError: Predictions and targets differ in shape.

    Examples:
        >>> round(sensitivity(np.array([0, 1, 1, 1]), np.array([1, 1, 1, 0])).value, 4)
        0.6667
    """
    predicted, target = paired_arrays(predicted, target)
    return _share_among(predicted == 1, target == 1, Reason.of(Code.ABSENT_CLASS, kind="positive"))


def specificity(predicted: Int[np.ndarray, " n"], target: Int[np.ndarray, " n"]) -> Metric:
    """Compute the share of negatives that are predicted negative, TN / (TN + FP), 0 to 1.

    It is undefined without a negative.

    Raises:
        ValueError: Predictions and targets differ in shape.

    Examples:
        >>> round(specificity(np.array([0, 1, 0, 1]), np.array([0, 0, 0, 1])).value, 4)
        0.6667
    """
    predicted, target = paired_arrays(predicted, target)
    return _share_among(predicted == 0, target == 0, Reason.of(Code.ABSENT_CLASS, kind="negative"))


def _share_among(is_counted: Bool[np.ndarray, " n"], among: Bool[np.ndarray, " n"], undefined: Reason) -> Metric:
    return Metric(float(is_counted[among].mean())) if among.any() else undefined_metric(undefined)


def quadratic_weighted_kappa(predicted: Int[np.ndarray, " n"], target: Int[np.ndarray, " n"]) -> Metric:
    """Compute the agreement of ordinal grades beyond chance, -1 to 1: 1 - E[(a - b)^2] / E[(a' - b')^2]. Chance is 0.

    a' and b' are independent draws from the predictions and the targets.

    Returns:
        The value; undefined without images, and where all predictions and targets are the same grade.

    Raises:
        ValueError: Predictions and targets differ in shape.

    References:
        Cohen, "Weighted kappa", Psychological Bulletin 1968.

    Examples:
        One grade beside the truth in four images: 1 - 0.25 / 1.25.

        >>> round(quadratic_weighted_kappa(np.array([0, 1, 2, 1]), np.array([0, 1, 2, 2])).value, 4)
        0.8
    """
    # Differences of small or unsigned whole numbers would wrap around.
    predicted, target = (codes.astype(np.float64) for codes in paired_arrays(predicted, target))
    if not len(target):
        return undefined_metric(Code.NO_IMAGES)
    # E of (a - b)^2 over independent draws from the two marginals, without building the table.
    expected = predicted.var() + target.var() + (predicted.mean() - target.mean()) ** 2
    if expected == 0:
        return undefined_metric(Code.ONE_GRADE)
    return Metric(float(1 - ((predicted - target) ** 2).mean() / expected))


# --- probabilities --------------------------------------------------------------------------------------------------


def brier_losses(probability: Float[np.ndarray, "n k"], target: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Compute the Brier score of each row: (p - y)^2 of two classes, 0 to 1; the sum over classes of several, 0 to 2.

    References:
        Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review 1950.

    Examples:
        >>> brier_losses(np.array([[0.25, 0.75], [0.5, 0.5]]), np.array([1, 0])).tolist()
        [0.0625, 0.25]
        >>> brier_losses(np.array([[0.5, 0.25, 0.25]]), np.array([0])).tolist()  # 0.25 + 0.0625 + 0.0625
        [0.375]
    """
    if probability.shape[-1] == 2:
        return (probability[:, 1] - target) ** 2
    return ((probability - np.eye(probability.shape[-1])[target]) ** 2).sum(axis=-1)


def log_losses(logits: Float[np.ndarray, "n k"], target: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Compute the log-loss of each row, -log p of its class in nats, [0, inf).

    It comes from logits, and so is never clipped.

    Examples:
        >>> log_losses(np.log([[0.25, 0.75]]), np.array([0])).round(4).tolist()  # log(4)
        [1.3863]
    """
    columns = two_columns(logits)
    return logsumexp(columns, axis=-1) - columns[np.arange(len(target)), target]


def calibration_pairs(
    probability: Float[np.ndarray, "n k"], target: Int[np.ndarray, " n"]
) -> tuple[np.ndarray, np.ndarray]:
    """Return predicted probabilities and outcomes.

    With two classes the positive probability and the outcome; with several the highest probability and whether its
    class was right.

    Examples:
        >>> claimed, actual = calibration_pairs(np.array([[0.25, 0.75], [0.5, 0.5]]), np.array([1, 0]))
        >>> claimed.tolist(), actual.tolist()
        ([0.75, 0.5], [1.0, 0.0])
    """
    if probability.shape[-1] == 2:
        return probability[:, 1], target.astype(np.float64)
    return probability.max(axis=-1), (probability.argmax(axis=-1) == target).astype(np.float64)


def equal_mass_bins(values: Float[np.ndarray, " n"], bins: int = CALIBRATION_BINS) -> Int[np.ndarray, " n"]:
    """Assign rows to bins of equally many rows; equal values share the bin of their mean rank.

    Args:
        values: Values [n].
        bins: Number of bins.

    Returns:
        Codes from 0 to `bins` - 1, [n].

    Examples:
        >>> equal_mass_bins(np.array([0.1, 0.9, 0.4, 0.2]), bins=2).tolist()
        [0, 1, 1, 0]
    """
    ordered = np.sort(values)
    below, through = (np.searchsorted(ordered, values, side=side) for side in ("left", "right"))
    return np.floor((below + through) / 2 / len(values) * bins).astype(np.int64)  # the mean rank, less a half


def expected_calibration_error(gaps: Float[np.ndarray, " n"], bins: Int[np.ndarray, " n"]) -> Metric:
    """Compute the expected calibration error, 0 to 1: the sum over bins of |sum of gaps| / n.

    Args:
        gaps: Predicted probability less outcome of each row, see `calibration_pairs`.
        bins: Bin of each row.

    References:
        Guo et al., "On calibration of modern neural networks", ICML 2017; bins of equal mass as in Nixon et al.,
        "Measuring calibration in deep learning", CVPR workshops 2019.

    Examples:
        Bins of two rows each, with gaps that add up to 0.5 and to -0.25:

        >>> expected_calibration_error(np.array([0.25, 0.25, -0.5, 0.25]), np.array([0, 0, 1, 1])).value  # 0.75 / 4
        0.1875
    """
    return Metric(float(np.abs(np.bincount(bins, gaps)).sum() / len(gaps)))


def is_varying(features: Float[np.ndarray, "n d"]) -> Bool[np.ndarray, " d"]:
    """Return which features vary over images by more than float32 rounds off their mean, [d].

    A feature that is not finite everywhere counts as varying.

    Examples:
        >>> is_varying(np.array([[1.0, 5.0], [2.0, 5.0]])).tolist()
        [True, False]
    """
    with np.errstate(invalid="ignore"):
        center, deviation = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
        return ~(deviation <= 1e-6 * np.abs(center))
