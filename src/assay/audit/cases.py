"""Draw single images of an audit: the surest of the wrong, those that a mark moves most, the surest of the right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from assay.audit.scored import Scored, ScoredMaps
from assay.report.outcomes import HALF, Facts, Outcomes, of_classes, of_masks, taken
from assay.report.pictures import Gallery
from assay.shifts.environment import Environment
from assay.stats.metrics import probabilities
from assay.store.files import Row

OF_AUDIT = 12
"""Images of each outcome in an audit."""


@dataclass(frozen=True)
class Moved:
    """Answers to some images with the mark that leads.

    Attributes:
        mark: Its name.
        scored: The answers.
        images: The images.
        sample: Their positions among those without a mark.
    """

    mark: str
    scored: Scored
    images: Environment
    sample: Int[np.ndarray, " m"]


def audited_cases(clean: Scored, images: Environment, moved: Moved | None, made: bool, gallery: Gallery) -> list[Row]:
    """Draw single images of an audit: the surest of the wrong, those that a mark moves most, the surest of the right.

    Args:
        clean: The answers to images without a mark.
        images: These images.
        moved: The mark that leads, if there is one.
        made: Whether the images are synthetic.
        gallery: Where they are drawn.
    """
    (first, *others), facts = _of_scored(clean)
    if moved is not None:
        apart = np.zeros(len(clean.table))
        apart[moved.sample] = np.abs(moved.scored.scores - clean.take(moved.sample).scores).max(axis=1)
        others = [("moved", -apart, apart > 0), *others]
    rows: list[Row] = []
    for at, own in taken((first, *others), facts, OF_AUDIT):
        shown = {"": (images, at)}
        if moved is not None and own["outcome"] == "moved":
            there = int(np.flatnonzero(moved.sample == at)[0])
            shown[moved.mark] = (moved.images, there)
            own["marked"] = _of_scored(moved.scored)[1](there)
        rows.append(gallery.case(shown, {**own, "made": made}, f"{own['outcome']}-{at}", ""))
    return rows


def _of_scored(scored: Scored) -> tuple[Outcomes, Callable[[int], Facts]]:
    """Return the outcomes of an audited model."""
    if isinstance(scored, ScoredMaps):
        maps = scored.maps
        return of_masks([(scored.dice, maps["predicted"][:, HALF] / maps["pixels"], maps["truth"] / maps["pixels"])])
    return of_classes([(probabilities(scored.logits), scored.table.target)], scored.table.classes, scored.called)
