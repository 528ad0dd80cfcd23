"""Losses of a map of logits against a mask, and the objective that holds one.

Those whose formula MONAI keeps as we need it stand in `overlap`. Every loss here is computed on the softmax of float32
logits and is a mean over terms, one per image or one for the whole batch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from assay.data.dataset import Batch
from assay.recipes.losses.classification import cross_entropies
from assay.recipes.losses.dense import pixels, regions, rows_of
from assay.recipes.losses.precision import without_autocast
from assay.recipes.network import Outputs
from assay.recipes.objective import LossContext, Objective, Progress

Criterion = Callable[[Float[Tensor, "b k h w"], Int[Tensor, "b h w"]], Float[Tensor, "t"]]
"""Logits and labels of pixels to one term per image, or to one term for the batch."""
Reduce = Literal["image", "batch"]

_LEAST = 1e-30  # stands for a denominator of 0, whose numerator is 0 too


class SegmentationObjective(Objective):
    """The mean of a criterion's terms. Defined on every batch.

    reduce: `image` gives a term per image, which a mitigation may weigh; `batch` one term for all its pixels together.
    """

    needs_masks = True

    def __init__(self, criterion: Criterion, reduce: Reduce) -> None:
        super().__init__()
        self.criterion: Criterion = criterion
        self.by_image = reduce == "image"

    def loss(self, outputs: Outputs, batch: Batch, progress: Progress) -> Float[Tensor, ""]:
        """The mean over images, or the batch's one term."""
        return self._terms(outputs, batch).mean()

    def each(self, outputs: Outputs, batch: Batch, progress: Progress) -> Float[Tensor, "b"] | None:
        """The loss of each image; None for a loss of the batch as a whole."""
        return self._terms(outputs, batch) if self.by_image else None

    def _terms(self, outputs: Outputs, batch: Batch) -> Float[Tensor, "t"]:
        with without_autocast(outputs.logits.device):
            return self.criterion(*pixels(outputs, batch))


def hardest(
    logits: Float[Tensor, "b k h w"], labels: Int[Tensor, "b h w"], *, share: float, reduce: Reduce
) -> Float[Tensor, "t"]:
    """Mean cross-entropy of the `share` of pixels where it is greatest (rounded, at least one), in nats, at least 0.

    Share 1 is cross-entropy. On a target without lesion: the pixels most like a lesion are pushed down, all others get
    no gradient. Wu, Shen and van den Hengel, *Bridging Category-level and Instance-level Semantic Image Segmentation*,
    arXiv 1605.06885; nnU-Net's TopKLoss with 10 % of the batch's pixels.
    """
    each = rows_of(cross_entropies(logits, labels)[:, None], by_image=reduce == "image")[:, 0]
    count = max(1, round(share * each.shape[1]))
    return each.topk(count, dim=1, sorted=False).values.mean(dim=1)


def top_k_cross_entropy(context: LossContext, *, share: float, reduce: Reduce) -> SegmentationObjective:
    """See `hardest`."""
    return SegmentationObjective(partial(hardest, share=share, reduce=reduce), reduce)


def generalised_dices(
    logits: Float[Tensor, "b k h w"],
    labels: Int[Tensor, "b h w"],
    *,
    reduce: Reduce,
    background: bool,
    smoothing: float,
) -> Float[Tensor, "t"]:
    """1 - sum_c w_c (2 sum p g + s) / sum_c w_c (sum p + sum g + s), w_c = 1 / max(sum g, 1)^2; 0 to 1.

    p: softmax, g: 1 on the pixels of class c, s: smoothing in pixels, sums over an image or the batch. With a single
    class counted (one kind of lesion, no background) the weight cancels: it is Dice. A class without pixels is weighted
    like one of a single pixel: on a target without lesion the lesion's term rules, and the loss is near
    1 - s / (sum p + s); with s = 0 and no background it is 1 with a gradient of 0. Sudre, Li, Vercauteren, Ourselin and
    Cardoso, *Generalised Dice Overlap as a Deep Learning Loss Function for Highly Unbalanced Segmentations*, DLMIA
    2017.

    MONAI's GeneralizedDiceLoss is another function on such targets: it gives an absent class the weight of the largest
    one (none at all without background: the loss is then 0 whatever is predicted), and its smoothing is added to the
    weighted sums, where 1e-5 is more than the whole background of an image of 448 x 448 pixels.
    """
    p, truth = (rows_of(maps, by_image=reduce == "image") for maps in regions(logits, labels, background=background))
    shared, size = (p * truth).sum(dim=2), truth.sum(dim=2).to(p.dtype)
    weight = size.clamp_min(1) ** -2
    above = weight * (2 * shared + smoothing)
    below = weight * (p.sum(dim=2) + size + smoothing)
    return 1 - above.sum(dim=1) / below.sum(dim=1).clamp_min(_LEAST)


def generalised_dice(
    context: LossContext, *, reduce: Reduce, background: bool, smoothing: float
) -> SegmentationObjective:
    """See `generalised_dices`."""
    criterion = partial(generalised_dices, reduce=reduce, background=background, smoothing=smoothing)
    return SegmentationObjective(criterion, reduce)


def lovasz_steps(truth: Bool[Tensor, "t c n"]) -> Float[Tensor, "t c n"]:
    """By how much the Jaccard distance grows when one pixel after another is wrong, in the order given.

    0 to 1, with sum 1. Berman et al., algorithm 1. Counted in whole numbers and divided in float64: in float32 the
    steps of an image of 512 x 512 pixels are off by a hundredth.
    """
    size = truth.sum(dim=2, keepdim=True)
    missed, extra = truth.cumsum(dim=2), (~truth).cumsum(dim=2)
    distance = 1 - (size - missed).double() / (size + extra)
    return torch.diff(distance, dim=2, prepend=torch.zeros_like(distance[:, :, :1]))


def lovaszes(
    logits: Float[Tensor, "b k h w"],
    labels: Int[Tensor, "b h w"],
    *,
    reduce: Reduce,
    background: bool,
    classes: Literal["all", "present"],
) -> Float[Tensor, "t"]:
    """Mean over classes of the Lovasz extension of the Jaccard distance, at the errors |g - p|; 0 to 1.

    On a hard map it is the Jaccard distance itself. A class without pixels in the image (or batch), counted under
    `classes: all`: its greatest probability there, so that on a target without lesion one pixel gets the gradient.
    Under `present` such a class is left out: with background the loss is then the mean probability of a lesion, without
    it 0 with a gradient of 0. Berman, Triki and Blaschko, *The Lovasz-Softmax Loss*, CVPR 2018.

    segmentation-models-pytorch's LovaszLoss is `present` with background, without an argument for either, in a Python
    loop over images and classes.
    """
    p, truth = (rows_of(maps, by_image=reduce == "image") for maps in regions(logits, labels, background=background))
    errors, order = (truth.to(p.dtype) - p).abs().sort(dim=2, descending=True)
    each = (errors * lovasz_steps(truth.gather(2, order)).to(p.dtype)).sum(dim=2)
    counted = truth.any(dim=2) if classes == "present" else torch.ones_like(each, dtype=torch.bool)
    return (each * counted).sum(dim=1) / counted.sum(dim=1).clamp_min(1)


def lovasz(
    context: LossContext, *, reduce: Reduce, background: bool, classes: Literal["all", "present"]
) -> SegmentationObjective:
    """See `lovaszes`."""
    return SegmentationObjective(partial(lovaszes, reduce=reduce, background=background, classes=classes), reduce)
