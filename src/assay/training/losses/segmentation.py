"""Losses for segmentation: of the hardest pixels, of overlap, and sums of losses."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from typing import Annotated, Any, Literal, cast

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn

from assay.core.errors import SpecError
from assay.core.registry import Role, build, compare_nested, component, lookup
from assay.core.traits import LossTraits
from assay.data.dataset import Batch
from assay.models.networks import Outputs
from assay.training.losses.classification import (
    CrossEntropy,
    cross_entropies,
    pixels,
    regions,
    rows_of,
    without_autocast,
)
from assay.training.objective import LossContext, Objective, Progress

# Losses of a map of logits against a mask, and the objective that holds one.
#
# Those whose formula MONAI keeps as we need it stand in `overlap`. Every loss here is computed on the softmax of
# float32 logits and is a mean over terms, one per image or one for the whole batch.

Criterion = Callable[[Float[Tensor, "b k h w"], Int[Tensor, "b h w"]], Float[Tensor, "t"]]
"""Logits and labels of pixels to one term per image, or to one term for the batch."""
Reduce = Literal["image", "batch"]
Reduction = Annotated[
    Reduce,
    Field(
        description="image: a value of each image, of which the mean is taken; batch: one value of all pixels of the "
        "batch together"
    ),
]
Background = Annotated[
    bool, Field(description="count the background as a class; with a single class of lesion it is the second of two")
]
Smoothing = Annotated[
    float, Field(ge=0, le=1e8, description="pixels added above and below; what an empty target says hangs on it")
]
DENSE = LossTraits(tasks=("segmentation",))


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """Arguments of every loss of overlap: what is counted together, of which classes, and how it is smoothed."""

    reduce: Reduction = "image"
    background: Background = False
    smoothing: Smoothing = 1.0


_LEAST_DENOMINATOR = 1e-30  # replaces a denominator of 0, whose numerator is 0 too


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


@component("loss", "top-k-cross-entropy", DENSE, summary="cross-entropy of the hardest pixels alone")
def top_k_cross_entropy(
    context: LossContext,
    *,
    share: Annotated[float, Field(gt=0, le=1, description="of the pixels, the hardest; 1 is cross-entropy")] = 0.1,
    reduce: Annotated[Reduce, Field(description="hardest of each image, or of the batch")] = "batch",
) -> SegmentationObjective:
    """Mean cross-entropy of the `share` of pixels where it is greatest (rounded, at least one), in nats, at least 0.

    Share 1 is cross-entropy. On a target without lesion: the pixels most like a lesion are pushed down, all others get
    no gradient. Wu, Shen and van den Hengel, *Bridging Category-level and Instance-level Semantic Image Segmentation*,
    arXiv 1605.06885; nnU-Net's TopKLoss with 10% of the batch's pixels.
    """

    def criterion(logits: Float[Tensor, "b k h w"], labels: Int[Tensor, "b h w"]) -> Float[Tensor, "t"]:
        each = rows_of(cross_entropies(logits, labels)[:, None], by_image=reduce == "image")[:, 0]
        return each.topk(max(1, round(share * each.shape[1])), dim=1, sorted=False).values.mean(dim=1)

    return SegmentationObjective(criterion, reduce)


def _rows(
    logits: Float[Tensor, "b k h w"], labels: Int[Tensor, "b h w"], reduce: Reduce, background: bool
) -> tuple[Float[Tensor, "t c n"], Bool[Tensor, "t c n"]]:
    """Return probabilities and true regions as `rows_of` each image or the batch."""
    made = regions(logits, labels, background=background)
    return rows_of(made[0], by_image=reduce == "image"), rows_of(made[1], by_image=reduce == "image")


@dataclass(frozen=True, kw_only=True)
class AllClasses(Overlap):
    """Of all classes, the background too unless said."""

    background: Background = True


@component(
    "loss",
    "generalized-dice",
    DENSE,
    summary="Dice over classes weighted by the inverse square of their size (Sudre et al. 2017)",
)
def generalized_dice(context: LossContext, *, of: AllClasses) -> SegmentationObjective:
    """1 - sum_c w_c (2 sum p g + s) / sum_c w_c (sum p + sum g + s), w_c = 1 / max(sum g, 1)^2; 0 to 1.

    p: softmax, g: 1 on the pixels of class c, s: smoothing in pixels, sums over an image or the batch. With a single
    class counted (one kind of lesion, no background) the weight cancels: it is Dice. A class without pixels is weighted
    like one of a single pixel: on a target without lesion the lesion's term rules, and the loss is near 1 - s / (sum p
    + s); with s = 0 and no background it is 1 with a gradient of 0. Sudre, Li, Vercauteren, Ourselin and Cardoso,
    *Generalized Dice Overlap as a Deep Learning Loss Function for Highly Unbalanced Segmentations*, DLMIA 2017.

    MONAI's GeneralizedDiceLoss is another function on such targets: it gives an absent class the weight of the largest
    one (none at all without background: the loss is then 0 whatever is predicted), and its smoothing is added to the
    weighted sums, where 1e-5 is more than the whole background of an image of 448 x 448 pixels.
    """

    def criterion(logits: Float[Tensor, "b k h w"], labels: Int[Tensor, "b h w"]) -> Float[Tensor, "t"]:
        p, truth = _rows(logits, labels, of.reduce, of.background)
        shared, size = (p * truth).sum(dim=2), truth.sum(dim=2).to(p.dtype)
        weight = size.clamp_min(1) ** -2
        above = weight * (2 * shared + of.smoothing)
        below = weight * (p.sum(dim=2) + size + of.smoothing)
        return 1 - above.sum(dim=1) / below.sum(dim=1).clamp_min(_LEAST_DENOMINATOR)

    return SegmentationObjective(criterion, of.reduce)


def lovasz_steps(truth: Bool[Tensor, "t c n"]) -> Float[Tensor, "t c n"]:
    """By how much the Jaccard distance grows when one pixel after another is wrong, in the order given.

    0 to 1, with sum 1. Berman et al., algorithm 1. Counted in whole numbers and divided in float64: in float32 the
    steps of an image of 512 x 512 pixels are off by a hundredth.
    """
    size = truth.sum(dim=2, keepdim=True)
    missed, extra = truth.cumsum(dim=2), (~truth).cumsum(dim=2)
    distance = 1 - (size - missed).double() / (size + extra)
    return torch.diff(distance, dim=2, prepend=torch.zeros_like(distance[:, :, :1]))


@component("loss", "lovasz", DENSE, summary="the Jaccard distance, extended to probabilities (Berman et al. 2018)")
def lovasz(
    context: LossContext,
    *,
    reduce: Reduction = "image",
    background: Background = False,
    classes: Annotated[
        Literal["all", "present"],
        Field(description="present: leave out a class that the image (or batch) has no pixel of"),
    ] = "all",
) -> SegmentationObjective:
    """Mean over classes of the Lovasz extension of the Jaccard distance, at the errors |g - p|; 0 to 1.

    On a hard map it is the Jaccard distance itself. A class without pixels in the image (or batch), counted under
    `classes: all`, is its greatest probability there, so that on a target without lesion one pixel gets the gradient.
    Under `present` such a class is left out: with background the loss is then the mean probability of a lesion, without
    it 0 with a gradient of 0. Berman, Triki and Blaschko, *The Lovasz-Softmax Loss*, CVPR 2018.
    segmentation-models-pytorch's LovaszLoss is `present` with background, in a Python loop over images and classes.
    """

    def criterion(logits: Float[Tensor, "b k h w"], labels: Int[Tensor, "b h w"]) -> Float[Tensor, "t"]:
        p, truth = _rows(logits, labels, reduce, background)
        errors, order = (truth.to(p.dtype) - p).abs().sort(dim=2, descending=True)
        each = (errors * lovasz_steps(truth.gather(2, order)).to(p.dtype)).sum(dim=2)
        counted = truth.any(dim=2) if classes == "present" else torch.ones_like(each, dtype=torch.bool)
        return (each * counted).sum(dim=1) / counted.sum(dim=1).clamp_min(1)

    return SegmentationObjective(criterion, reduce)


# Sums of losses for segmentation, whose weights may change from epoch to epoch.

Weight = Callable[[Progress], float]


@dataclass(frozen=True, kw_only=True)
class Schedule:
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
        defaults = {one.name: one.default for one in fields(self)}
        without = {"constant": ("start", "end", "at"), "step": ("weight",)}.get(self.schedule, ("weight", "at"))
        for name in without:
            value = getattr(self, name)
            if value != defaults[name]:
                raise ValueError(f"{name}: {value:g} has no effect under `schedule: {self.schedule}`: leave it out")


@dataclass(frozen=True, kw_only=True)
class Mix(Schedule):
    """A weight of cross-entropy against another loss: at most 1."""

    weight: Annotated[float, Field(ge=0, le=1, description="of cross-entropy, under `schedule: constant`")] = 0.5
    start: Annotated[float, Field(ge=0, le=1, description="weight of cross-entropy in the first epoch")] = 1.0
    end: Annotated[float, Field(ge=0, le=1, description="weight of cross-entropy in the last epoch")] = 0.0


@dataclass(frozen=True, kw_only=True)
class Term(Schedule):
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


def weight_at(progress: Progress, of: Schedule) -> float:
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
        return self._weighted(values, progress)

    def each(self, outputs: Outputs, batch: Batch, progress: Progress) -> Float[Tensor, "b"] | None:
        """Return the weighted sum of each image; None where a term is no mean over images."""
        values = [objective.each(outputs, batch, progress) for objective in self._objectives()]
        there = [value for value in values if value is not None]
        return self._weighted(there, progress) if len(there) == len(values) else None

    def _objectives(self) -> list[Objective]:
        return [cast(Objective, module) for module in self.terms]

    def _weighted(self, values: Sequence[Tensor], progress: Progress) -> Tensor:
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
    """See `Sum`: each loss is built as a study builds it. Its value on a target without lesion is the terms'."""
    made: list[tuple[Objective, Weight]] = []
    for term in terms:
        ((name, arguments),) = term.loss.items()
        made.append((cast(Objective, build("loss", name, arguments, context)), partial(weight_at, of=term)))
    return Sum(made)


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
    """
    share = partial(weight_at, of=mix)
    dice = cast(Objective, build("loss", "dice", asdict(overlap), context))
    return Sum([(CrossEntropy(context), share), (dice, lambda progress: 1 - share(progress))])
