"""Measures of grades: of their order, and at a threshold grade, which makes two classes of them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
from jaxtyping import Float, Int

from assay.core.reasons import Code, Reason
from assay.stats import metrics
from assay.stats.influence import ModelPredictions, Patients, PerImage, correct_small_sample, mean_influence
from assay.stats.measure import MeasureRequirements, Result, measure, without_value
from assay.stats.measures import images
from assay.stats.metrics import cumulative_log_odds

SPECIFICITIES = (0.8, 0.9, 0.95)
"""The shares of validation images below the threshold grade that a threshold leaves unpredicted."""
_AT_CUTOFF = MeasureRequirements(ordinal=True, grade_cutoff=True)


@measure(
    images.performance(
        "quadratic-weighted-kappa",
        meaning="agreement of grades beyond chance, with squared distances as weights",
        display="quadratic-weighted kappa",
        low=-1.0,
        chance=0.0,
        reference="Cohen 1968",
    ),
    MeasureRequirements(ordinal=True),
)
def quadratic_weighted_kappa(predictions: ModelPredictions) -> Result:
    """Compute 1 - D / E from the observed (D) and the expected (E) squared disagreement of grades.

    An image contributes the derivative by its weight.

    References:
        Cohen, "Weighted kappa", Psychological Bulletin 1968.

    Examples:
        >>> quadratic_weighted_kappa(ModelPredictions(np.eye(3), np.array([0, 1, 2])))[0].value
        1.0
    """
    metric = metrics.quadratic_weighted_kappa(predictions.predicted, predictions.target)
    return metric, partial(_kappa_influence, predictions)


def _kappa_influence(predictions: ModelPredictions, patient: Patients) -> PerImage:
    a, b = predictions.predicted.astype(np.float64), predictions.target.astype(np.float64)
    observed = ((a - b) ** 2).mean()
    squares, product = (a**2 + b**2).mean(), a.mean() * b.mean()
    expected = squares - 2 * product
    by_observed = (a - b) ** 2 - observed
    by_expected = a**2 + b**2 - squares - 2 * (a * b.mean() + b * a.mean() - 2 * product)
    rows = (observed * by_expected / expected - by_observed) / expected / len(a)
    return correct_small_sample(rows, np.zeros(len(a), dtype=np.int64), patient)


@measure(
    images.dosed(
        "auroc-referable",
        meaning="AUROC of grades at or above the threshold grade",
        display="AUROC of referable grades",
        chance=0.5,
        among="both",
    ),
    _AT_CUTOFF,
)
def auroc_referable(predictions: ModelPredictions) -> Result:
    """Compute the AUROC of the log-odds of a grade at or above the threshold grade (see `images.auroc`).

    Examples:
        >>> auroc_referable(ModelPredictions(np.eye(3), np.array([0, 1, 2]), grade_cutoff=2))[0].value
        1.0
    """
    return (
        images.auroc(split_at_cutoff(predictions)) if _has_valid_cutoff(predictions) else _without_cutoff(predictions)
    )


def split_at_cutoff(predictions: ModelPredictions) -> ModelPredictions:
    """Return the two-class question whether an image is at or above the cut, with its log-odds as the logit."""
    target = (predictions.target >= predictions.grade_cutoff).astype(np.int64)
    return replace(
        predictions,
        logits=cumulative_log_odds(predictions.logits, predictions.grade_cutoff)[:, None],
        target=target,
        grade_cutoff=1,
    )


def _has_valid_cutoff(predictions: ModelPredictions) -> bool:
    return 0 < predictions.grade_cutoff < predictions.n_classes


def _without_cutoff(predictions: ModelPredictions) -> Result:
    return without_value(
        Reason.of(Code.CUT_OUTSIDE_CLASSES, cut=predictions.grade_cutoff, classes=predictions.n_classes)
    )


def at_specificity(predictions: ModelPredictions, level: int, positive: bool) -> Result:
    """Compute a share at the threshold that leaves a share of validation images below the cut unpredicted.

    An image contributes its residual over the images that count, the threshold being fixed: how that varies with the
    validation images shows over seeds.

    Args:
        predictions: Outputs of a model.
        level: Place of the share in `SPECIFICITIES`.
        positive: Whether of the images at or above the cut those predicted so are counted, or of those below the rest.

    Examples:
        >>> cutoffs = np.zeros((3, 3))
        >>> predictions = ModelPredictions(np.eye(3), np.array([0, 1, 2]), grade_cutoff=2, specificity_log_odds=cutoffs)
        >>> at_specificity(predictions, level=1, positive=True)[0].value
        1.0
    """
    if not _has_valid_cutoff(predictions):
        return _without_cutoff(predictions)
    if predictions.specificity_log_odds is None or np.isnan(predictions.specificity_log_odds[:, level]).any():
        return without_value(Code.NO_CUT_THRESHOLD)
    is_predicted = (
        cumulative_log_odds(predictions.logits, predictions.grade_cutoff) >= predictions.specificity_log_odds[:, level]
    )
    is_positive = predictions.target >= predictions.grade_cutoff
    share = metrics.sensitivity if positive else metrics.specificity
    metric = share(is_predicted.astype(np.int64), is_positive.astype(np.int64))
    return metric, partial(mean_influence, is_predicted == positive, metric.value, is_positive == positive)


for _at, _level in enumerate(SPECIFICITIES):
    _percent = f"{_level * 100:.0f}"
    measure(
        images.dosed(
            f"sensitivity-at-specificity-{_percent}",
            meaning="share of images at or above the threshold "
            f"grade predicted so, at {_percent}% validation specificity",
            display=f"sensitivity to referable grades at validation specificity {_percent}%",
        ),
        replace(_AT_CUTOFF, specificity_thresholds=True),
    )(partial(at_specificity, level=_at, positive=True))
    measure(
        images.dosed(
            f"specificity-kept-{_percent}",
            meaning=f"share of images below the threshold grade predicted so, at {_percent}% validation specificity",
            direction="none",
            display=f"specificity for referable grades at validation specificity {_percent}%",
        ),
        replace(_AT_CUTOFF, specificity_thresholds=True),
    )(partial(at_specificity, level=_at, positive=False))


def specificity_thresholds(
    logits: Float[np.ndarray, "n k"], target: Int[np.ndarray, " n"], grade_cutoff: int
) -> tuple[float, ...]:
    """Of these rows the log-odds of lying at or above the cut, from which each of `SPECIFICITIES` is reached.

    The lowest such threshold, halfway to the next score, so that no row sits on it. NaN without a row below the cut.
    """
    score = np.unique(cumulative_log_odds(logits, grade_cutoff))
    negative_scores = np.sort(cumulative_log_odds(logits, grade_cutoff)[target < grade_cutoff])
    if not len(negative_scores):
        return (float("nan"),) * len(SPECIFICITIES)
    thresholds: list[float] = []
    for level in SPECIFICITIES:
        last = negative_scores[max(int(np.ceil(level * len(negative_scores) - 1e-9)), 1) - 1]
        after = score[np.searchsorted(score, last, side="right") :]
        halfway = (last + after[0]) / 2 if len(after) else last
        thresholds.append(
            float(max(halfway, np.nextafter(last, np.inf)))
        )  # halfway between neighbors may be the lower one
    return tuple(thresholds)
