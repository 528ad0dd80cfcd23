"""Single images of an audit: confidently wrong ones, those whose scores a mark moves most, confidently correct ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from assay.audit.scored import ScoredImages, ScoredMaps
from assay.report.outcomes import (
    HALF_INDEX,
    Facts,
    Outcomes,
    classification_outcomes,
    segmentation_outcomes,
    select_cases,
)
from assay.report.pictures import PictureWriter
from assay.shifts.environment import Environment
from assay.stats.metrics import probabilities
from assay.store.files import Row

N_CASES_PER_OUTCOME = 12
"""Images that are drawn of each outcome."""


@dataclass(frozen=True)
class ChangedPredictions:
    """Predictions for images with the leading mark: the most severe of those with an adverse verdict.

    Attributes:
        mark: Its name.
        scored: The predictions.
        images: The images with the mark.
        sample: Their positions among the images without a mark.
    """

    mark: str
    scored: ScoredImages
    images: Environment
    sample: Int[np.ndarray, " m"]


def draw_cases(
    clean: ScoredImages,
    images: Environment,
    marked: ChangedPredictions | None,
    is_phantom: bool,
    gallery: PictureWriter,
) -> list[Row]:
    """Draw confidently wrong images, those whose scores the leading mark moves most, and confidently correct ones.

    Return a row of `schema.PICTURES` for each.

    Args:
        clean: The predictions for images without a mark.
        images: These images.
        marked: The predictions with the leading mark; None without one.
        is_phantom: Whether the images are synthetic.
        gallery: Where they are drawn.
    """
    (first, *others), facts = _outcomes_of(clean)
    if marked is not None:
        effect_of_mark = np.zeros(len(clean.table))
        effect_of_mark[marked.sample] = np.abs(marked.scored.scores - clean.take(marked.sample).scores).max(axis=1)
        others = [("moved", -effect_of_mark, effect_of_mark > 0), *others]
    rows: list[Row] = []
    for image, facts_of_case in select_cases((first, *others), facts, N_CASES_PER_OUTCOME):
        by_name = {"": (images, image)}
        if marked is not None and facts_of_case["outcome"] == "moved":
            position = int(np.flatnonzero(marked.sample == image)[0])
            by_name[marked.mark] = (marked.images, position)
            facts_of_case["marked"] = _outcomes_of(marked.scored)[1](position)
        rows.append(gallery.write_case(by_name, {**facts_of_case, "made": is_phantom}, ""))
    return rows


def _outcomes_of(scored: ScoredImages) -> tuple[Outcomes, Callable[[int], Facts]]:
    """Return the outcomes of predictions, with a function from an image's position to the facts on it."""
    if isinstance(scored, ScoredMaps):
        maps = scored.maps
        return segmentation_outcomes(
            [(scored.dice, maps["predicted"][:, HALF_INDEX] / maps["pixels"], maps["truth"] / maps["pixels"])]
        )
    return classification_outcomes(
        [(probabilities(scored.logits), scored.table.target)], scored.table.classes, scored.predicted_class
    )
