"""Draw single images of an audit: the surest of the wrong, those that a mark moves most, the surest of the right."""

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

OF_AUDIT = 12
"""Images of each outcome in an audit."""


@dataclass(frozen=True)
class ChangedAnswers:
    """Answers to some images with the mark that leads.

    Attributes:
        mark: Its name.
        scored: The answers.
        images: The images.
        sample: Their positions among those without a mark.
    """

    mark: str
    scored: ScoredImages
    images: Environment
    sample: Int[np.ndarray, " m"]


def audited_cases(
    clean: ScoredImages, images: Environment, moved: ChangedAnswers | None, is_phantom: bool, gallery: PictureWriter
) -> list[Row]:
    """Draw single images of an audit: the surest of the wrong, those that a mark moves most, the surest of the right.

    Args:
        clean: The answers to images without a mark.
        images: These images.
        moved: The mark that leads, if there is one.
        is_phantom: Whether the images are synthetic.
        gallery: Where they are drawn.
    """
    (first, *others), facts = _of_scored(clean)
    if moved is not None:
        effect_of_mark = np.zeros(len(clean.table))
        effect_of_mark[moved.sample] = np.abs(moved.scored.scores - clean.take(moved.sample).scores).max(axis=1)
        others = [("moved", -effect_of_mark, effect_of_mark > 0), *others]
    rows: list[Row] = []
    for at, facts_of_case in select_cases((first, *others), facts, OF_AUDIT):
        by_name = {"": (images, at)}
        if moved is not None and facts_of_case["outcome"] == "moved":
            position = int(np.flatnonzero(moved.sample == at)[0])
            by_name[moved.mark] = (moved.images, position)
            facts_of_case["marked"] = _of_scored(moved.scored)[1](position)
        rows.append(gallery.write_case(by_name, {**facts_of_case, "made": is_phantom}, ""))
    return rows


def _of_scored(scored: ScoredImages) -> tuple[Outcomes, Callable[[int], Facts]]:
    """Return the outcomes of an audited model."""
    if isinstance(scored, ScoredMaps):
        maps = scored.maps
        return segmentation_outcomes(
            [(scored.dice, maps["predicted"][:, HALF_INDEX] / maps["pixels"], maps["truth"] / maps["pixels"])]
        )
    return classification_outcomes(
        [(probabilities(scored.logits), scored.table.target)], scored.table.classes, scored.calls
    )
