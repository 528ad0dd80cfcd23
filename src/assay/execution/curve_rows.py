"""How the losses of a segmentation went from epoch to epoch, beside what its schedules set."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

import numpy as np

from assay.core.component import Component
from assay.core.registry import lookup
from assay.execution.gather import Gathered
from assay.execution.judged import CURVE
from assay.recipes.losses.declared_segmentation import ScheduleParams
from assay.recipes.losses.sums import weight_at
from assay.recipes.objective import Progress
from assay.store.files import Row, read_rows

OF_EPOCHS = ("train_loss", "validation_loss", "lr")


def curve_rows(gathered: Gathered) -> list[Row]:
    """Rows of `schema.CURVES`; none of a classification, nor of a recipe without a kept seed."""
    if gathered.plan.spec.task != "segmentation":
        return []
    return list(_rows(gathered))


def _rows(gathered: Gathered) -> Iterator[Row]:
    for point in gathered.plan.spec.points:
        seeds = gathered.kept_seeds(point)
        trials = [trial for seed in seeds for trial in gathered.by_point[point.label][seed]]
        found = [read_rows(gathered.folder.unit("trials", trial.id) / CURVE) for trial in trials]
        for epoch in range(min((len(rows) for rows in found), default=0)):
            here = [rows[epoch] for rows in found]
            yield {
                "recipe": point.label,
                "coordinates": json.dumps(dict(point.coordinates)),
                "epoch": epoch + 1,
                **{name: float(np.mean([row[name] for row in here])) for name in OF_EPOCHS},
                "weight": weight_of(point.recipe.loss, epoch, point.recipe.epochs),
                "seeds": len(seeds),
            }


def weight_of(loss: Component, epoch: int, epochs: int) -> float:
    """The weight of a loss's first term in an epoch counted from 0; NaN for a loss without a schedule of its own."""
    params = None if ":" in loss.name else lookup("loss", loss.name).params.model_validate(dict(loss.params))
    if not isinstance(params, ScheduleParams):
        return math.nan
    given = {name: getattr(params, name) for name in ("weight", "schedule", "start", "end", "at")}
    return weight_at(Progress(0, 1, epoch, epochs), **given)
