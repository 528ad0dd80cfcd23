"""Losses for segmentation: what those of overlap share, and sums of losses."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from typing import Annotated, Any, Literal, cast

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from assay.core.errors import SpecError
from assay.core.registry import Role, build, compare_nested, component, lookup
from assay.core.traits import LossTraits
from assay.data.dataset import Batch
from assay.models.networks import Outputs
from assay.training.losses.classification import CrossEntropy, pixels, without_autocast
from assay.training.objective import LossContext, Objective, Progress

# Losses of a map of logits against a mask, and the objective that holds one.
#
# Those whose formula MONAI computes stand in `overlap`. Every loss is computed on the softmax of float32 logits
# and is a mean over terms, one per image or one for the whole batch.

Criterion = Callable[[Float[Tensor, "b k h w"], Int[Tensor, "b h w"]], Float[Tensor, "t"]]
"""Logits and labels of pixels to one term per image, or to one term for the batch."""
Reduce = Literal["image", "batch"]
Reduction = Annotated[
    Reduce,
    Field(description="image: the mean of the values of all images; batch: one value of all pixels of the batch"),
]
Background = Annotated[
    bool, Field(description="count the background as a class; with a single class of lesion it is the second of two")
]
Smoothing = Annotated[
    float, Field(ge=0, le=1e8, description="pixels added above and below; the value on an empty target depends on it")
]
DENSE = LossTraits(tasks=("segmentation",))


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """Arguments of every loss of overlap: what is counted together, of which classes, and how it is smoothed."""

    reduce: Reduction = "image"
    background: Background = False
    smoothing: Smoothing = 1.0


class SegmentationObjective(Objective):
    """The mean of a criterion's terms. Defined on every batch.

    Args:
        reduce: `image` gives a term per image, which a mitigation may weigh; `batch` one term for all its pixels
            together.
    """

    needs_masks = True

    def __init__(self, criterion: Criterion, reduce: Reduce) -> None:
        super().__init__()
        self.criterion: Criterion = criterion
        self.by_image = reduce == "image"

    def loss(self, outputs: Outputs, batch: Batch, progress: Progress) -> Float[Tensor, ""]:
        """Return the mean over images, or the batch's one term."""
        return self._terms(outputs, batch).mean()

    def each(self, outputs: Outputs, batch: Batch, progress: Progress) -> Float[Tensor, "b"] | None:
        """Return the loss of each image; None for a loss of the batch as a whole."""
        return self._terms(outputs, batch) if self.by_image else None

    def _terms(self, outputs: Outputs, batch: Batch) -> Float[Tensor, "t"]:
        with without_autocast(outputs.logits.device):
            return self.criterion(*pixels(outputs, batch))


# Sums of losses for segmentation, whose weights may change from epoch to epoch.

Weight = Callable[[Progress], float]


@dataclass(frozen=True, kw_only=True)
class WeightSchedule:
    """A weight that may change from epoch to epoch, see `weight_at`.

    Raises:
        ValueError: An argument has no effect under the schedule.
    """

    weight: Annotated[float, Field(ge=0, le=1e6, description="under `schedule: constant`")] = 1.0
    schedule: Annotated[
        Literal["constant", "linear", "step", "cosine"],
        Field(description="how the weight goes from `start` in the first epoch to `end` in the last"),
    ] = "constant"
    start: Annotated[float, Field(ge=0, le=1e6, description="weight in the first epoch of a schedule")] = 1.0
    end: Annotated[float, Field(ge=0, le=1e6, description="weight in the last epoch of a schedule")] = 0.0
    at: Annotated[float, Field(gt=0, lt=1, description="share of the epochs after which a step is taken")] = 0.9

    def __post_init__(self) -> None:
        """Refuse arguments that the schedule ignores."""
        defaults = {attribute.name: attribute.default for attribute in fields(self)}
        without = {"constant": ("start", "end", "at"), "step": ("weight",)}.get(self.schedule, ("weight", "at"))
        for name in without:
            value = getattr(self, name)
            if value != defaults[name]:
                raise ValueError(f"{name}: {value:g} has no effect under `schedule: {self.schedule}`: leave it out")


@dataclass(frozen=True, kw_only=True)
class Mix(WeightSchedule):
    """A weight of cross-entropy against another loss: at most 1."""

    weight: Annotated[float, Field(ge=0, le=1, description="of cross-entropy, under `schedule: constant`")] = 0.5
    start: Annotated[float, Field(ge=0, le=1, description="weight of cross-entropy in the first epoch")] = 1.0
    end: Annotated[float, Field(ge=0, le=1, description="weight of cross-entropy in the last epoch")] = 0.0


@dataclass(frozen=True, kw_only=True)
class Term(WeightSchedule):
    """One loss of a `weighted-sum`, with its weight.

    Raises:
        ValueError: The loss compares images.
    """

    loss: Annotated[
        Mapping[str, Any],
        Role("component", "loss"),
        Field(description="a loss for segmentation with its arguments, such as {dice: {}}"),
    ]
    version: Annotated[str, Role("code", "loss"), Field(description="of the loss's code, found when left out")] = ""

    def __post_init__(self) -> None:
        """Refuse a loss that has no value for pixels, and arguments that the schedule ignores."""
        super().__post_init__()
        (name,) = self.loss
        traits = lookup("loss", name).traits
        if isinstance(traits, LossTraits) and "segmentation" not in traits.tasks:
            raise ValueError(f"'{name}' compares images, not pixels: name a loss for segmentation")
        compare_nested("loss", self.loss)


def weight_at(progress: Progress, of: WeightSchedule) -> float:
    """Return the weight in an epoch e of E, counted from 0; the same at every step of it.

    constant: weight. linear: start + (end - start) e / (E - 1). cosine: half a cosine between the same ends. step:
    start in the first round(at E) epochs, end in the rest, at least one epoch each. A single epoch has start.
    """
    if of.schedule == "constant":
        return of.weight
    last = progress.epochs - 1
    if of.schedule == "step":
        turn = max(1, min(round(of.at * progress.epochs), last))
        return of.end if progress.epoch >= turn else of.start
    share = progress.epoch / max(1, last)
    return of.start + (of.end - of.start) * (share if of.schedule == "linear" else (1 - math.cos(math.pi * share)) / 2)


class Sum(Objective):
    """The sum of losses, each times its weight in the epoch at hand. Requirements and behavior of each are kept.

    Raises SpecError for a loss that sees several views of an image, or that never trains the network's head.
    """

    needs_masks = True

    def __init__(self, terms: Sequence[tuple[Objective, Weight]]) -> None:
        super().__init__()
        self.terms = nn.ModuleList([objective for objective, _ in terms])
        self.weights: tuple[Weight, ...] = tuple(weight for _, weight in terms)
        for objective, _ in terms:
            if objective.views != 1 or not objective.trains_head:
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
        """Return the weighted sum."""
        values = [objective.loss(outputs, batch, progress) for objective in self._objectives()]
        return self._weigh(values, progress)

    def each(self, outputs: Outputs, batch: Batch, progress: Progress) -> Float[Tensor, "b"] | None:
        """Return the weighted sum of each image; None where a term is no mean over images."""
        values = [objective.each(outputs, batch, progress) for objective in self._objectives()]
        present = [value for value in values if value is not None]
        return self._weigh(present, progress) if len(present) == len(values) else None

    def _objectives(self) -> list[Objective]:
        return [cast(Objective, module) for module in self.terms]

    def _weigh(self, values: Sequence[Tensor], progress: Progress) -> Tensor:
        weighted = [weight(progress) * value for weight, value in zip(self.weights, values, strict=True)]
        return torch.stack(weighted).sum(dim=0)


@component(
    "loss", "weighted-sum", DENSE, summary="any losses for segmentation, each with its weight, constant or by epoch"
)
def weighted_sum(
    context: LossContext,
    *,
    terms: Annotated[tuple[Term, ...], Field(min_length=1, description="losses with their weights; see `terms` below")],
) -> Sum:
    """See `Sum`: each loss is built as a study builds it. Its value on a target without lesion is the terms'.

    Examples:
        Twice the cross-entropy of a pixel about which the network knows nothing, 2 ln 2:

        >>> twice = Term(loss={"cross-entropy": {}}, weight=2)
        >>> loss = weighted_sum(LossContext(8, 2, (1, 1), dense=True), terms=(twice,))
        >>> masks = torch.ones(1, 1, 1, 1, dtype=torch.uint8)
        >>> batch = Batch(torch.zeros(1, 1, 1, 1), torch.tensor([1]), torch.tensor([0]), masks)
        >>> outputs = Outputs(features=torch.zeros(1, 8), logits=torch.zeros(1, 2, 1, 1))
        >>> round(loss.loss(outputs, batch, Progress(step=0, steps=1, epoch=0, epochs=1)).item(), 3)
        1.386
    """
    objectives: list[tuple[Objective, Weight]] = []
    for term in terms:
        ((name, arguments),) = term.loss.items()
        objectives.append((cast(Objective, build("loss", name, arguments, context)), partial(weight_at, of=term)))
    return Sum(objectives)


@component(
    "loss",
    "cross-entropy-dice",
    DENSE,
    summary="weight * cross-entropy + (1 - weight) * Dice, the weight constant or by epoch",
    varies={"changes": ("schedule", {"constant": False, "linear": True, "step": True, "cosine": True})},
)
def cross_entropy_dice(context: LossContext, *, overlap: Overlap, mix: Mix) -> Sum:
    """w * cross-entropy + (1 - w) * `dice`, w being `weight`, or `weight_at` the epoch under a schedule; at least 0.

    On a target without lesion cross-entropy's part pushes down every lesion pixel, Dice follows its smoothing.

    Examples:
        A pixel of lesion at p = 1/2 has a cross-entropy of ln 2 and a Dice loss of 1/3, here half of each:

        >>> loss = cross_entropy_dice(LossContext(8, 2, (1, 1), dense=True), overlap=Overlap(smoothing=0), mix=Mix())
        >>> masks = torch.ones(1, 1, 1, 1, dtype=torch.uint8)
        >>> batch = Batch(torch.zeros(1, 1, 1, 1), torch.tensor([1]), torch.tensor([0]), masks)
        >>> outputs = Outputs(features=torch.zeros(1, 8), logits=torch.zeros(1, 2, 1, 1))
        >>> round(loss.loss(outputs, batch, Progress(step=0, steps=1, epoch=0, epochs=1)).item(), 3)
        0.513
    """
    share = partial(weight_at, of=mix)
    dice = cast(Objective, build("loss", "dice", asdict(overlap), context))
    return Sum([(CrossEntropy(context), share), (dice, lambda progress: 1 - share(progress))])
