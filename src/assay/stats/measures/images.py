"""Measures of classes: how well they are ranked and predicted, and what probabilities are worth.

The value of each is computed by `assay.stats.metrics`; what an image contributes to it is in its docstring.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
from jaxtyping import Float, Int

from assay.core.measures import Measure
from assay.stats import metrics
from assay.stats.influence import (
    ModelPredictions,
    Patients,
    PerImage,
    auroc_influence,
    correct_small_sample,
    mean_influence,
)
from assay.stats.measure import TWO_CLASSES, Result, measure, without_value
from assay.stats.metrics import Metric, class_score, placements

performance = partial(Measure, probe="performance", low=0.0, high=1.0, direction="higher", needs=("environment",))
"""Entry of a measure of classes, from 0 to 1 where nothing else is said."""
dosed = partial(performance, dosed=True)

# Chance levels that depend on how frequent the classes are.


def _class_shares(target: Int[np.ndarray, " n"], classes: int) -> Float[np.ndarray, " k"]:
    return np.bincount(target, minlength=classes) / max(len(target), 1)


def _top_share(target: Int[np.ndarray, " n"], classes: int) -> float:
    return float(_class_shares(target, classes).max())


def positive_share(target: Int[np.ndarray, " n"], classes: int) -> float:
    """Return the share of the positive class."""
    return float((target == 1).sum() / max(len(target), 1))


def _entropy(target: Int[np.ndarray, " n"], classes: int) -> float:
    shares = _class_shares(target, classes)
    return float(-(shares[shares > 0] * np.log(shares[shares > 0])).sum())


def _gini(target: Int[np.ndarray, " n"], classes: int) -> float:
    spread = 1 - (_class_shares(target, classes) ** 2).sum()
    return float(spread / 2 if classes == 2 else spread)


# Ranking.


@measure(
    dosed(
        "auroc",
        meaning="chance that an image with the target ranks above one without",
        display="AUROC",
        chance=0.5,
        among="both",
        reference="Hanley and McNeil 1982",
    ),
    TWO_CLASSES,
)
def auroc(predictions: ModelPredictions) -> Result:
    """Compute the share of pairs of a positive and a negative image in which the positive scores higher, ties half.

    An image contributes the deviation of its share of such pairs from the mean, over the pairs.

    References:
        Hanley and McNeil, "The meaning and use of the area under a ROC curve", Radiology 1982; DeLong, DeLong and
        Clarke-Pearson, "Comparing the areas under two or more correlated ROC curves", Biometrics 1988.

    Examples:
        >>> auroc(ModelPredictions(np.array([[2.0], [0.0], [1.0], [-1.0]]), np.array([1, 1, 0, 0])))[0].value
        0.75
    """
    if predictions.ranking_reason:
        return without_value(predictions.ranking_reason)
    metric = metrics.auroc_from_placements(*predictions.placements, predictions.target)
    return metric, partial(_auroc_influence, predictions, metric.value)


def _auroc_influence(predictions: ModelPredictions, area: float, patient: Patients) -> PerImage:
    return correct_small_sample(
        auroc_influence(*predictions.placements, predictions.target, area), predictions.target, patient
    )


@measure(
    dosed(
        "auroc-macro",
        meaning="mean over several classes of the AUROC of each against the rest",
        display="macro AUROC",
        chance=0.5,
        among="both",
        reference="Fawcett 2006",
    ),
    is_restatement=True,
)
def auroc_macro(predictions: ModelPredictions) -> Result:
    """Compute the unweighted mean over classes of the AUROC of each against the rest: of two, the same one twice.

    An image contributes the mean of its contributions to the classes.

    References:
        Fawcett, "An introduction to ROC analysis", Pattern Recognition Letters 2006.

    Examples:
        >>> auroc_macro(ModelPredictions(np.eye(3), np.array([0, 1, 2])))[0].value
        1.0
    """
    if predictions.n_classes == 2 and (result := auroc(predictions))[0].is_defined:
        return result
    metric = metrics.macro_auroc(predictions.logits, predictions.target, predictions.fold, predictions.class_names)
    return metric, partial(_macro_auroc_influence, predictions)


def _macro_auroc_influence(predictions: ModelPredictions, patient: Patients) -> PerImage:
    total = np.zeros(len(patient))
    for label in range(predictions.n_classes):
        score, target = class_score(predictions.logits, label), (predictions.target == label).astype(np.int64)
        total += correct_small_sample(
            auroc_influence(*placements(score, target, predictions.fold), target), target, patient
        )
    return total / predictions.n_classes


@measure(
    performance(
        "somers-d",
        meaning="AUROC as a correlation, from -1 to 1",
        display="Somers' D",
        low=-1.0,
        chance=0.0,
        among="both",
        reference="Somers 1962",
    ),
    TWO_CLASSES,
    is_restatement=True,
)
def somers_d(predictions: ModelPredictions) -> Result:
    """Compute 2 AUROC - 1; an image contributes twice what it does to AUROC.

    References:
        Somers, "A new asymmetric measure of association for ordinal variables", American Sociological Review 1962.

    Examples:
        >>> somers_d(ModelPredictions(np.array([[2.0], [0.0], [1.0], [-1.0]]), np.array([1, 1, 0, 0])))[0].value
        0.5
    """
    area = auroc(predictions)[0]
    metric = Metric(2 * area.value - 1, area.reason)
    return metric, lambda patient: 2 * _auroc_influence(predictions, (metric.value + 1) / 2, patient)


@measure(
    dosed(
        "average-precision",
        meaning="mean precision over all thresholds, weighted by recall",
        chance="share of images with the target",
        among="both",
        reference="Buckley and Voorhees 2000",
    ),
    TWO_CLASSES,
    chance_by_frequency=positive_share,
)
def average_precision(predictions: ModelPredictions) -> Result:
    """Compute the mean over positive images of the precision at their score.

    A positive contributes its own precision, and every image the change of the precision at lower scores.

    References:
        Buckley and Voorhees, "Evaluating evaluation measure stability", SIGIR 2000.

    Examples:
        >>> predictions = ModelPredictions(np.array([[2.0], [0.0], [1.0], [-1.0]]), np.array([1, 1, 0, 0]))
        >>> average_precision(predictions)[0].value
        0.8333333333333333
    """
    if predictions.ranking_reason:
        return without_value(predictions.ranking_reason)
    metric = metrics.average_precision(*predictions.calls_by_score, predictions.target)
    return metric, partial(_precision_influence, predictions, metric.value)


def _precision_influence(predictions: ModelPredictions, mean: float, patient: Patients) -> PerImage:
    score, positive = predictions.score, predictions.target == 1
    called, hit = predictions.calls_by_score
    folds = np.zeros(len(score), dtype=np.int64) if predictions.fold is None else predictions.fold
    rows = np.where(positive, hit / called - mean, 0.0)
    for number in np.unique(folds):
        here, among = folds == number, (folds == number) & positive
        order = np.argsort(score[among], kind="stable")
        below = np.searchsorted(score[among][order], score[here], side="right")
        gain = np.concatenate([[0.0], np.cumsum((1 / called[among])[order])])
        loss = np.concatenate([[0.0], np.cumsum((hit[among] / called[among] ** 2)[order])])
        rows[here] += positive[here] * gain[below] - loss[below]
    return correct_small_sample(rows / positive.sum(), np.zeros_like(folds), patient)


# Predicted classes. An image contributes its residual over the number of images that count.


@measure(
    dosed("accuracy", meaning="share of images classified correctly", chance="share of the commonest class"),
    chance_by_frequency=_top_share,
)
def accuracy(predictions: ModelPredictions) -> Result:
    """Compute the share of images whose class is predicted.

    Examples:
        >>> accuracy(ModelPredictions(np.array([[2.0], [0.5], [1.0], [-1.0]]), np.array([1, 1, 0, 0])))[0].value
        0.75
    """
    metric = metrics.accuracy(predictions.predicted, predictions.target)
    return metric, partial(mean_influence, predictions.predicted == predictions.target, metric.value, _all(predictions))


@measure(dosed("sensitivity", meaning="share of images with the target that are predicted positive"), TWO_CLASSES)
def sensitivity(predictions: ModelPredictions) -> Result:
    """Compute the share of positive images that are predicted positive, at the model's threshold.

    Examples:
        >>> sensitivity(ModelPredictions(np.array([[2.0], [-0.5], [1.0], [-1.0]]), np.array([1, 1, 0, 0])))[0].value
        0.5
    """
    metric = metrics.sensitivity(predictions.predicted, predictions.target)
    return metric, partial(mean_influence, predictions.predicted == 1, metric.value, predictions.target == 1)


@measure(dosed("specificity", meaning="share of images without the target that are predicted negative"), TWO_CLASSES)
def specificity(predictions: ModelPredictions) -> Result:
    """Compute the share of negative images that are predicted negative, at the model's threshold.

    Examples:
        >>> specificity(ModelPredictions(np.array([[2.0], [-0.5], [1.0], [-1.0]]), np.array([1, 1, 0, 0])))[0].value
        0.5
    """
    metric = metrics.specificity(predictions.predicted, predictions.target)
    return metric, partial(mean_influence, predictions.predicted == 0, metric.value, predictions.target == 0)


def _all(predictions: ModelPredictions) -> np.ndarray:
    return np.ones(len(predictions.target), dtype=bool)


# Probabilities. An image contributes its residual over the number of images.


@measure(
    performance(
        "brier",
        meaning="mean squared error of the probabilities",
        display="Brier score",
        high=2.0,
        direction="lower",
        chance="Gini impurity of the classes, half of it for two",
        reference="Brier 1950",
    ),
    chance_by_frequency=_gini,
)
def brier(predictions: ModelPredictions) -> Result:
    """Compute the mean of (p - y)^2, of several classes summed over them.

    References:
        Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review 1950.

    Examples:
        >>> brier(ModelPredictions(np.array([[0.0], [0.0]]), np.array([1, 0])))[0].value
        0.25
    """
    return _mean_loss(predictions, lambda: predictions.brier_losses)


@measure(
    performance(
        "log-loss",
        meaning="mean negative log-probability of the true class",
        display="log-loss",
        unit="nats",
        high=math.inf,
        direction="lower",
        chance="entropy of the classes",
        reference="Good 1952",
    ),
    chance_by_frequency=_entropy,
)
def log_loss(predictions: ModelPredictions) -> Result:
    """Compute the mean of -log p of the true class, in nats, from logits and so never clipped.

    References:
        Good, "Rational decisions", Journal of the Royal Statistical Society B 1952.

    Examples:
        >>> log_loss(ModelPredictions(np.array([[0.0], [0.0]]), np.array([1, 0])))[0].value == math.log(2)
        True
    """
    return _mean_loss(predictions, lambda: predictions.log_losses)


def _mean_loss(predictions: ModelPredictions, losses: Callable[[], Float[np.ndarray, " n"]]) -> Result:
    if predictions.class_reason:
        return without_value(predictions.class_reason)
    metric = Metric(float(losses().mean()))
    return metric, partial(mean_influence, losses(), metric.value, _all(predictions))


@measure(
    dosed(
        "calibration-error",
        meaning="mean distance between probabilities and observed shares, in 15 bins of equal mass",
        direction="lower",
        chance=0.0,
        reference="Kumar, Liang and Ma 2019",
    )
)
def calibration_error(predictions: ModelPredictions) -> Result:
    """Compute the mean over bins, weighted by images, of |mean probability - share that came true|.

    An image contributes the residual of its gap, signed as its bin's, with the bins where they are.

    References:
        Kumar, Liang and Ma, "Verified uncertainty calibration", NeurIPS 2019.

    Examples:
        >>> calibration_error(ModelPredictions(np.zeros((4, 1)), np.array([1, 1, 1, 0])))[0].value
        0.25
    """
    if predictions.class_reason:
        return without_value(predictions.class_reason)
    gaps, bins = predictions.calibration_gaps
    metric = metrics.expected_calibration_error(gaps, bins)
    sign = np.sign(np.bincount(bins, gaps))[bins]
    return metric, partial(mean_influence, sign * gaps, metric.value, _all(predictions))
