"""What follows the last step: selected weights, a head on frozen features, threshold, yardstick, collapse."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from assay.maps import Streamed
from assay.maps.odds import lesion_logits
from assay.recipes.collapse import (
    CONSTANT_LOGIT,
    LossBeside,
    collapse_reason,
    only_slow,
    tells_classes,
    tells_images,
)
from assay.recipes.grading import GradeHead
from assay.recipes.head import fit_head
from assay.recipes.mitigations.mitigation import Frozen
from assay.recipes.models import as_network
from assay.recipes.network import Outputs
from assay.recipes.reading import read_all
from assay.recipes.run import Run
from assay.recipes.selection import youden_threshold
from assay.stats.map_measures import LEVELS
from assay.stats.maps import threshold_at
from assay.stats.rows import LOUD, SILENT

_BATCHES_LOOKED_AT = 4


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a training comes to; see `Fitted`. finite is False when the network says NaN or infinity."""

    selected_epoch: int
    threshold: float | None
    yardstick: float
    collapsed: str | None
    finite: bool = True
    validated: Float[Tensor, "n k"] | None = None
    operating: tuple[float, ...] = ()
    finding: str = ""


@torch.no_grad()
def finish(run: Run) -> Verdict:
    """Select weights, fit the head where the objective trained none or the mitigation asks for another, and judge by
    validation rows alone.
    """
    selected = run.epochs
    if run.best is not None:
        run.network.load_state_dict(run.best["network"])
        selected = cast(int, run.best["epoch"])
    run.network.eval()
    run.objective.eval()
    if run.recipe.task == "segmentation":
        return _judge_maps(run, selected)
    seen = read_all(run.network, run.validation, run.recipe.batch_size)
    if not bool(seen.logits.isfinite().all() and seen.features.isfinite().all()):
        return Verdict(selected, None, math.nan, None, finite=False)
    return _judge(run, seen, selected)


def _judge(run: Run, seen: Outputs, selected: int) -> Verdict:
    network = as_network(run.network)
    trained_on = read_all(run.network, run.training, run.recipe.batch_size).features
    if not bool(trained_on.isfinite().all()):
        return Verdict(selected, None, math.nan, None, finite=False)
    targets = run.validation.target.cpu()
    own = cast(nn.Linear | GradeHead, network.head)
    head = fit_head(trained_on, run.training.target, own.out_features)
    probed = not run.plan.steps
    collapsed_by_loss = [] if probed else _losses_beside(run)
    rows = Frozen(trained_on, run.training.target.cpu()), Frozen(seen.features, targets)
    kept = run.mitigation.head(*rows, run.setting) or (head if probed or not run.objective.fits_head else None)
    if isinstance(own, GradeHead):
        own.settle(seen.features, targets)
    elif kept is not None:
        kept.fold_into(own)
    changed = kept is not None or isinstance(own, GradeHead)
    logits = own(seen.features.to(run.device)).cpu() if changed else seen.logits
    yardstick = head.log_loss(seen.features, targets)
    if probed:
        loss = head.log_loss(trained_on, run.training.target.cpu())
        run.curve.append({"epoch": 0, "train_loss": loss, "validation_loss": yardstick, "lr": 0.0})

    def slow() -> bool:
        unlabelled = run.objective.unlabelled
        tells = tells_images(collapsed_by_loss) if unlabelled else tells_classes(yardstick, targets)
        return only_slow(seen.features, _features_before(run), tells=tells)

    return Verdict(
        selected_epoch=selected,
        threshold=youden_threshold(logits, targets),
        yardstick=yardstick,
        collapsed=collapse_reason(seen.features, logits, collapsed_by_loss, slow),
        validated=logits,
    )


def _losses_beside(run: Run) -> list[LossBeside]:
    """Training batches' losses, and those of the same batches with their mean in every image's place."""
    progress = run.plan.progress(run.plan.steps - 1)
    pairs: list[LossBeside] = []
    for index in run.batches_beside(run.training, "training", _BATCHES_LOOKED_AT):
        batch = run.training.batch(index)
        if run.objective.views > 1:
            batch = run.views(batch, "collapse", len(pairs))
        outputs = run.outputs(batch)
        both = outputs, outputs.constant()
        actual, beside = (float(run.objective.loss(given, batch, progress)) for given in both)
        pairs.append(LossBeside(actual=actual, constant=beside))
    return pairs


def _features_before(run: Run) -> Tensor:
    """The features of the validation images at the first step."""
    network = run.afresh().network.eval()
    return read_all(network, run.validation, run.recipe.batch_size).features


def _judge_maps(run: Run, selected: int) -> Verdict:
    """The operating thresholds, from validation lesions alone; a network that says the same everywhere has collapsed.

    Maps are summarised batch by batch, and none is kept.
    """
    columns, spread = Streamed(), 0.0
    network = as_network(run.network)
    for batch in run.validation.in_order(run.recipe.batch_size):
        logits = lesion_logits(network.read(batch.images).logits)
        if not bool(logits.isfinite().all()):
            return Verdict(selected, None, math.nan, None, finite=False)
        assert batch.masks is not None
        columns.append(logits, batch.masks[:, 0])
        spread = max(spread, float(logits.max() - logits.min()))
    found = columns.columns()
    reached = [threshold_at(found["lesion_score"], found["floor"], level) for level in LEVELS]
    constant = f"constant output: the logits differ by at most {spread:.1e} between places"
    collapsed = constant if spread < CONSTANT_LOGIT else None
    operating = tuple(one.value for one in reached)
    return Verdict(
        selected, None, math.nan, collapsed, operating=operating, finding=_extreme(found["half_area"], found["pixels"])
    )


def _extreme(area: Int[np.ndarray, " n"], pixels: Int[np.ndarray, " n"]) -> str:
    """What is said of a network that calls no pixel lesion, or nearly all of every image. It has not collapsed: it may
    rank pixels well.
    """
    if not area.any():
        return f"{SILENT} in any of {len(area)} validation images at p = .5"
    return f"{LOUD} in each of {len(area)} validation images at p = .5" if (area > 0.9 * pixels).all() else ""
