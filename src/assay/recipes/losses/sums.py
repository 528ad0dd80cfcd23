"""Sums of losses for segmentation, whose weights may change from epoch to epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from assay.core.errors import SpecError
from assay.core.registry import build
from assay.data.dataset import Batch
from assay.recipes.losses.classification import CrossEntropy
from assay.recipes.losses.declared_segmentation import ScheduleParams, TermParams
from assay.recipes.losses.segmentation import Reduce
from assay.recipes.network import Outputs
from assay.recipes.objective import LossContext, Objective, Progress

Schedule = Literal["constant", "linear", "step", "cosine"]
Weight = Callable[[Progress], float]


def weight_at(progress: Progress, *, weight: float, schedule: Schedule, start: float, end: float, at: float) -> float:
    """The weight in an epoch e of E, counted from 0; the same at every step of it.

    constant: weight. linear: start + (end - start) e / (E - 1). cosine: half a cosine between the same ends. step:
    start in the first round(at E) epochs, end in the rest, at least one epoch each. A single epoch has start.
    """
    if schedule == "constant":
        return weight
    last = progress.epochs - 1
    if schedule == "step":
        turn = max(1, min(round(at * progress.epochs), last))
        return end if progress.epoch >= turn else start
    share = progress.epoch / max(1, last)
    return start + (end - start) * (share if schedule == "linear" else (1 - math.cos(math.pi * share)) / 2)


class Sum(Objective):
    """The sum of losses, each times its weight in the epoch at hand. What each needs and does it does still.

    Raises SpecError for a loss that sees several views of an image, or that never trains the network's head.
    """

    needs_masks = True

    def __init__(self, terms: Sequence[tuple[Objective, Weight]]) -> None:
        super().__init__()
        self.terms = nn.ModuleList([objective for objective, _ in terms])
        self.weights: tuple[Weight, ...] = tuple(weight for _, weight in terms)
        for objective, _ in terms:
            if objective.views != 1 or not objective.fits_head:
                raise SpecError(
                    f"{type(objective).__name__} cannot be a term of a sum: it sees {objective.views} views of an "
                    "image or leaves the head to be fitted afterwards; use it alone"
                )

    def start(self, network: nn.Module) -> None:
        """Each term's."""
        for objective in self._objectives():
            objective.start(network)

    def after_step(self, network: nn.Module, progress: Progress) -> None:
        """Each term's."""
        for objective in self._objectives():
            objective.after_step(network, progress)

    def loss(self, outputs: Outputs, batch: Batch, progress: Progress) -> Float[Tensor, ""]:
        """The weighted sum."""
        values = [objective.loss(outputs, batch, progress) for objective in self._objectives()]
        return self._weighted(values, progress)

    def each(self, outputs: Outputs, batch: Batch, progress: Progress) -> Float[Tensor, "b"] | None:
        """The weighted sum of each image; None where a term is no mean over images."""
        values = [objective.each(outputs, batch, progress) for objective in self._objectives()]
        there = [value for value in values if value is not None]
        return self._weighted(there, progress) if len(there) == len(values) else None

    def _objectives(self) -> list[Objective]:
        return [cast(Objective, module) for module in self.terms]

    def _weighted(self, values: Sequence[Tensor], progress: Progress) -> Tensor:
        weighted = [weight(progress) * value for weight, value in zip(self.weights, values, strict=True)]
        return torch.stack(weighted).sum(dim=0)


def _weight(of: ScheduleParams) -> Weight:
    return partial(weight_at, weight=of.weight, schedule=of.schedule, start=of.start, end=of.end, at=of.at)


def weighted_sum(context: LossContext, *, terms: tuple[TermParams, ...]) -> Sum:
    """See `Sum`: each loss is built as a study builds it. Its value on a target without lesion is the terms'."""
    made: list[tuple[Objective, Weight]] = []
    for term in terms:
        ((name, arguments),) = term.loss.items()
        made.append((cast(Objective, build("loss", name, arguments, context)), _weight(term)))
    return Sum(made)


def cross_entropy_dice(
    context: LossContext,
    *,
    reduce: Reduce,
    background: bool,
    smoothing: float,
    weight: float,
    schedule: Schedule,
    start: float,
    end: float,
    at: float,
) -> Sum:
    """w * cross-entropy + (1 - w) * `dice`, w being `weight`, or `weight_at` the epoch under a schedule; at least 0.

    On a target without lesion cross-entropy's part pushes down every lesion pixel, Dice's does what its smoothing says.
    """
    share = partial(weight_at, weight=weight, schedule=schedule, start=start, end=end, at=at)
    dice = {"reduce": reduce, "background": background, "smoothing": smoothing}
    overlap = cast(Objective, build("loss", "dice", dice, context))
    return Sum([(CrossEntropy(context), share), (overlap, lambda progress: 1 - share(progress))])
