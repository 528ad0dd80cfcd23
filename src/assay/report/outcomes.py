"""Choose single test images by outcome: surely wrong, divided between recipes, moved by a mark, surely right."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from assay.core.map_grid import MapGrid
from assay.stats.metrics import probabilities
from assay.stats.panel import SeedPredictions

MISSED_BELOW_DICE = 0.5
"""A Dice below this counts as wrong."""
HALF_INDEX = MapGrid().thresholds.index(0.0)
"""Place of a probability of 0.5 among the thresholds of maps."""
Facts = dict[str, Any]
Outcomes = Sequence[tuple[str, Float[np.ndarray, " n"], Bool[np.ndarray, " n"]]]
"""Outcome, score by which its images are taken, the smallest first, and which images have it."""
MaskSummaries = tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"], Float[np.ndarray, " n"]]
"""Dice of each image, NaN without a lesion, and the shares of it that are predicted and true."""


def select_cases(outcomes: Outcomes, facts: Callable[[int], Facts], count: int) -> Iterator[tuple[int, Facts]]:
    """Yield position and facts of so many images of each outcome, each image once."""
    taken_rows: set[int] = set()
    for outcome, score, among in outcomes:
        order = np.flatnonzero(among)[np.argsort(score[among], kind="stable")]
        for at in [position for position in order.tolist() if position not in taken_rows][:count]:
            taken_rows.add(at)
            yield at, {"outcome": outcome, **facts(at)}


def classification_outcomes(
    predictions_by_recipe: Sequence[tuple[Float[np.ndarray, "n k"], Int[np.ndarray, " n"]]],
    classes: Sequence[str],
    predicted: Int[np.ndarray, " n"] | None = None,
) -> tuple[Outcomes, Callable[[int], Facts]]:
    """Return the outcomes of a classification, from the probabilities of each recipe and the truth.

    Args:
        predictions_by_recipe: Probabilities and class codes by recipe.
        classes: Names of the classes.
        predicted: Predicted class codes; by default those of the highest probability.

    Examples:
        >>> truth = np.array([0, 0, 1, 1, 1, 0, 1, 0])
        >>> one = np.array([0.9, 0.6, 0.1, 0.4, 0.95, 0.1, 0.9, 0.05])  # probabilities of the positive class
        >>> other = np.array([0.9, 0.6, 0.1, 0.4, 0.95, 0.1, 0.5, 0.15])
        >>> each = [(np.stack([1 - own, own], axis=1), truth) for own in (one, other)]
        >>> outcomes, facts = classification_outcomes(each, ("benign", "malignant"))
        >>> [(at, of["outcome"]) for at, of in select_cases(outcomes, facts, 1)]  # most wrong, divided, surest
        [(0, 'wrong'), (6, 'divided'), (4, 'right')]
        >>> sorted(at for at, _ in select_cases(outcomes, facts, 2))  # each once: 4 and 5 are the next surest
        [0, 2, 4, 5, 6, 7]
        >>> facts(0)
        {'truth': 'benign', 'called': 'malignant', 'probability': 0.9}
    """
    mean: Float[np.ndarray, "n k"] = np.mean([probabilities for probabilities, _ in predictions_by_recipe], axis=0)
    target = predictions_by_recipe[0][1]
    codes = mean.argmax(axis=1) if predicted is None else predicted
    true, right = mean[np.arange(len(target)), target], codes == target
    spread = np.ptp(
        [probabilities[np.arange(len(target)), target] for probabilities, _ in predictions_by_recipe], axis=0
    )
    outcomes = (("wrong", true, ~right), ("divided", -spread, spread > 0), ("right", -true, right))

    def facts(at: int) -> Facts:
        code = int(codes[at])
        return {"truth": classes[int(target[at])], "called": classes[code], "probability": float(mean[at, code])}

    return outcomes, facts


def segmentation_outcomes(masks_by_recipe: Sequence[MaskSummaries]) -> tuple[Outcomes, Callable[[int], Facts]]:
    """Return the outcomes of a segmentation, from the answers of each recipe.

    Examples:
        >>> dice, area = np.array([0.1, 0.9, np.nan, np.nan, 0.6]), np.array([0.01, 0.1, 0.3, 0.0, 0.1])
        >>> other = np.array([0.1, 0.9, np.nan, np.nan, 0.8])
        >>> outcomes, facts = segmentation_outcomes([(dice, area, area / 2), (other, area, area / 2)])
        >>> [(at, of["outcome"]) for at, of in select_cases(outcomes, facts, 2)]  # a true negative is none of them
        [(0, 'missed'), (2, 'false-mask'), (4, 'divided'), (1, 'outlined')]
        >>> facts(2)
        {'dice': None, 'area': 0.3, 'lesion': 0.15}
    """
    dice, area, lesion = np.mean(masks_by_recipe, axis=0)
    free, spread = np.isnan(dice), np.ptp([scores for scores, *_ in masks_by_recipe], axis=0)
    outcomes = (
        ("missed", dice, ~free & (dice < MISSED_BELOW_DICE)),
        ("false-mask", -area, free & (area > 0)),
        ("divided", -spread, ~free & (spread > 0)),
        ("outlined", -dice, ~free),
    )
    return outcomes, lambda at: {
        "dice": None if free[at] else float(dice[at]),
        "area": float(area[at]),
        "lesion": float(lesion[at]),
    }


def _images_of_first_fold(
    panel: SeedPredictions, rows: Int[np.ndarray, " n"], seed: int
) -> Bool[np.ndarray, " images"] | None:
    """Return which images are the stated rows, those of a seed's first fold; None where it has others."""
    if seed not in panel.seed_ids:
        return None
    at = panel.seed_ids.tolist().index(seed)
    is_image = np.ones(len(panel.target), dtype=bool) if panel.has_prediction is None else panel.has_prediction[at]
    is_image = is_image if panel.fold is None else is_image & (panel.fold[at] == 0)
    same = (
        is_image.sum() == len(rows)
        if panel.image_indices is None
        else np.array_equal(panel.image_indices[is_image], rows)
    )
    return is_image if same else None


def mean_probabilities(
    panel: SeedPredictions, rows: Int[np.ndarray, " n"], seed: int = 0
) -> tuple[Float[np.ndarray, "n k"], Int[np.ndarray, " n"]] | None:
    """Return the probability of each class, from the mean logits of seeds, and the truth.

    It is of the images of the first fold of a seed; None if these are not the stated rows, which ascend.

    Examples:
        >>> scores = np.array([[[0.0], [2.0], [9.0]], [[0.0], [4.0], [9.0]]])
        >>> fold, tested = np.array([[0, 0, 1], [1, 0, 0]]), np.ones((2, 3), dtype=bool)
        >>> at = np.array([3, 5, 8])
        >>> panel = SeedPredictions(scores, np.array([0, 1, 1]), np.arange(3), fold, tested, image_indices=at)
        >>> found, truth = mean_probabilities(panel, at[:2])
        >>> found[:, 1].round(4).tolist(), truth.tolist()  # 0.9526 is the probability of the log-odds 3
        ([0.5, 0.9526], [0, 1])
        >>> mean_probabilities(panel, at) is mean_probabilities(panel, at[:2], seed=1) is None  # other images
        True
        >>> mean_probabilities(panel, at[1:], seed=1) is None
        False
    """
    if (is_image := _images_of_first_fold(panel, rows, seed)) is None:
        return None
    return probabilities(np.nanmean(panel.scores[:, is_image], axis=0)), panel.target[is_image]


def mean_masks(panel: SeedPredictions, rows: Int[np.ndarray, " n"], seed: int = 0) -> MaskSummaries | None:
    """Return the answers of one recipe, means of seeds."""
    if (is_image := _images_of_first_fold(panel, rows, seed)) is None:
        return None
    maps: Mapping[str, np.ndarray] = {name: values[:, is_image] for name, values in panel.maps.items()}
    is_tested = (
        np.ones(maps["truth"].shape, dtype=bool) if panel.has_prediction is None else panel.has_prediction[:, is_image]
    )
    truth, predicted = maps["truth"].astype(np.float64), maps["predicted"][..., HALF_INDEX]
    dice = np.mean(2 * maps["hit"][..., HALF_INDEX] / np.maximum(predicted + truth, 1), axis=0, where=is_tested)
    area = np.mean(predicted / np.maximum(maps["pixels"], 1), axis=0, where=is_tested)
    return np.where(truth[0] > 0, dice, np.nan), area, truth[0] / np.maximum(maps["pixels"][0], 1)
