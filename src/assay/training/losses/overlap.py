"""Losses of regions and boundaries whose formula MONAI computes; importing this imports MONAI.

MONAI is handed probabilities and true regions, without its own activation and its own choice of channels, and gives a
value per class, of each image or of the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, cast

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from assay.core.errors import extra
from assay.core.registry import component
from assay.core.traits import LossTraits
from assay.training.losses.classification import regions
from assay.training.losses.segmentation import (
    Background,
    Criterion,
    Reduce,
    Reduction,
    SegmentationObjective,
    Smoothing,
)
from assay.training.objective import LossContext

with extra("monai"):
    from monai.losses.boundary_loss import BoundaryLoss
    from monai.losses.dice import DiceLoss
    from monai.losses.hausdorff_loss import HausdorffDTLoss
    from monai.losses.mcc_loss import MCCLoss
    from monai.losses.tversky import TverskyLoss

_LEAST_SMOOTHING = 1e-8
"""Pixels in a denominator without smoothing: 0 / 0 would be NaN where every probability of a class is 0."""

Alpha = Annotated[float, Field(ge=0, le=10, description="weight of false positives, alpha")]
Beta = Annotated[float, Field(ge=0, le=10, description="weight of false negatives, beta")]

Terms = Callable[[Float[Tensor, "t c"]], Float[Tensor, "t"]]


def _mean(values: Float[Tensor, "t c"]) -> Float[Tensor, "t"]:
    return values.mean(dim=1)


def _criterion(library: nn.Module, *, background: bool, of_classes: Terms = _mean) -> Criterion:
    """Return a MONAI loss with `reduction="none"` as a criterion: its values per class, made into terms."""

    def terms(logits: Float[Tensor, "b k h w"], labels: Int[Tensor, "b h w"]) -> Float[Tensor, "t"]:
        p, truth = regions(logits, labels, background=background)
        values = cast(Tensor, library(p, truth.to(p.dtype)))
        return of_classes(values.reshape(-1, p.shape[1]))

    return terms


def _dice(reduce: Reduce, smoothing: float) -> DiceLoss:
    return DiceLoss(
        reduction="none", batch=reduce == "batch", smooth_nr=smoothing, smooth_dr=max(smoothing, _LEAST_SMOOTHING)
    )


@component(
    "loss",
    "dice",
    LossTraits(tasks=("segmentation",)),
    summary="1 - overlap of regions, per image or per batch (Milletari et al. 2016)",
)
def dice(
    context: LossContext,
    *,
    reduce: Reduction = "image",
    background: Background = False,
    smoothing: Smoothing = 1.0,
) -> SegmentationObjective:
    """Mean over classes of 1 - (2 sum p g + s) / (sum p + sum g + s); 0 to 1.

    p: softmax, g: 1 on the pixels of the class, s: smoothing in pixels; sums over an image (mean over images) or over
    the whole batch. On a target without the class: 1 - s / (sum p + s), with a gradient of s / (sum p + s)^2 on the
    probability of every pixel; with s = 0 it is 1 with a gradient of 0, whatever is predicted (1e-8 px in the
    denominator keep it defined). Per batch, false positives of such an image lower the batch's overlap.
    Milletari, Navab and Ahmadi, *V-Net*, 3DV 2016, without their squares. Computed by MONAI's DiceLoss;
    segmentation-models-pytorch's is per batch only, and 0 without a gradient on a target without the class.
    """
    return SegmentationObjective(_criterion(_dice(reduce, smoothing), background=background), reduce)


def _log_cosh(values: Float[Tensor, "t c"]) -> Float[Tensor, "t"]:
    return values.mean(dim=1).cosh().log()


@component(
    "loss",
    "log-cosh-dice",
    LossTraits(tasks=("segmentation",)),
    summary="log cosh of Dice, flatter near its least value (Jadon 2020)",
)
def log_cosh_dice(
    context: LossContext,
    *,
    reduce: Reduction = "image",
    background: Background = False,
    smoothing: Smoothing = 1.0,
) -> SegmentationObjective:
    """log cosh of `dice`, of each image's or of the batch's; 0 to log cosh 1 = 0.434.

    On a target without lesion: as Dice, its gradient times tanh(Dice). Jadon, *A Survey of Loss Functions for Semantic
    Segmentation*, CIBCB 2020.
    """
    criterion = _criterion(_dice(reduce, smoothing), background=background, of_classes=_log_cosh)
    return SegmentationObjective(criterion, reduce)


def _negative_log(values: Float[Tensor, "t c"]) -> Float[Tensor, "t"]:
    """Kept off an overlap of 0, where the logarithm is infinite."""
    return -(1 - values).clamp_min(torch.finfo(values.dtype).eps).log().mean(dim=1)


@component(
    "loss",
    "log-dice",
    LossTraits(tasks=("segmentation",)),
    summary="-log of the overlap, steeper than Dice where little is found",
)
def log_dice(
    context: LossContext,
    *,
    reduce: Reduction = "image",
    background: Background = False,
    smoothing: Smoothing = 1.0,
) -> SegmentationObjective:
    """Mean over classes of -log(1 - `dice`), of each image's or of the batch's; 0 to 15.9 (float32).

    On a target without the class: -log(s / (sum p + s)), whose gradient on the probability of every pixel is
    1 / (sum p + s); with s = 0 it is 15.9 with a gradient of 0. The `log_loss` of segmentation-models-pytorch's
    DiceLoss, which takes the logarithm of the mean over classes of the batch and ignores an absent class.
    """
    criterion = _criterion(_dice(reduce, smoothing), background=background, of_classes=_negative_log)
    return SegmentationObjective(criterion, reduce)


def _tversky(reduce: Reduce, smoothing: float, false_positives: float, false_negatives: float) -> TverskyLoss:
    """Half of the smoothing, since Tversky's index is written with half of Dice's numbers."""
    return TverskyLoss(
        alpha=false_positives,
        beta=false_negatives,
        reduction="none",
        batch=reduce == "batch",
        smooth_nr=smoothing / 2,
        smooth_dr=max(smoothing / 2, _LEAST_SMOOTHING),
    )


@component(
    "loss",
    "tversky",
    LossTraits(tasks=("segmentation",)),
    summary="Dice with weights of its own for false positives and false negatives (Salehi et al. 2017)",
)
def tversky(
    context: LossContext,
    *,
    reduce: Reduction = "image",
    background: Background = False,
    smoothing: Smoothing = 1.0,
    false_positives: Alpha = 0.3,
    false_negatives: Beta = 0.7,
) -> SegmentationObjective:
    """Mean over classes of 1 - (TP + s/2) / (TP + a FP + b FN + s/2), a: false_positives, b: false_negatives; 0 to 1.

    TP = sum p g, FP = sum p (1 - g), FN = sum (1 - p) g. With a = b = 1/2 it is Dice of the same smoothing s. On a
    target without the class: 1 - s / (2 a sum p + s); with s = 0, 1 with a gradient of 0. Salehi, Erdogmus and
    Gholipour, *Tversky Loss Function for Image Segmentation Using 3D Fully Convolutional Deep Networks*, MLMI 2017.
    """
    library = _tversky(reduce, smoothing, false_positives, false_negatives)
    return SegmentationObjective(_criterion(library, background=background), reduce)


def _raised(values: Float[Tensor, "t c"], *, exponent: float) -> Float[Tensor, "t"]:
    """Kept off 0, where the power has no finite gradient."""
    least = torch.finfo(values.dtype).eps
    return torch.where(values > least, values.clamp_min(least) ** exponent, 0.0).mean(dim=1)


@component(
    "loss",
    "focal-tversky",
    LossTraits(tasks=("segmentation",)),
    summary="Tversky raised to a power, for small lesions (Abraham and Khan 2019)",
)
def focal_tversky(
    context: LossContext,
    *,
    reduce: Reduction = "image",
    background: Background = False,
    smoothing: Smoothing = 1.0,
    false_positives: Alpha = 0.3,
    false_negatives: Beta = 0.7,
    exponent: Annotated[float, Field(gt=0, le=10, description="of the loss of a class, 1 / gamma of the paper")] = 0.75,
) -> SegmentationObjective:
    """Mean over classes of (Tversky loss of the class)^exponent; 0 to 1. Exponent 1 is `tversky`.

    The paper writes the exponent as 1 / gamma (gamma 4/3), its authors' code and segmentation-models-pytorch as gamma.
    On a target without the class: the same power of Tversky's. Abraham and Khan, *A Novel Focal Tversky Loss Function
    with Improved Attention U-Net for Lesion Segmentation*, ISBI 2019, who sum over classes.
    """
    library = _tversky(reduce, smoothing, false_positives, false_negatives)
    criterion = _criterion(library, background=background, of_classes=partial(_raised, exponent=exponent))
    return SegmentationObjective(criterion, reduce)


@component(
    "loss",
    "mcc",
    LossTraits(tasks=("segmentation",)),
    summary="1 - Matthews' correlation of the regions (Abhishek and Hamarneh 2021)",
)
def mcc(
    context: LossContext,
    *,
    reduce: Reduction = "image",
    background: Background = False,
) -> SegmentationObjective:
    """Mean over classes of 1 - Matthews' correlation of the class against the rest; 0 to 2.

    From the soft counts TP, TN, FP, FN. On a target without the class: 1 with a gradient of 0, whatever is predicted
    (0 when every probability is exactly 0). With two classes the background gives the same value. 1e-5 px^4 under the
    root keep it defined. Abhishek and Hamarneh, *Matthews Correlation Coefficient Loss for Deep Convolutional
    Networks*, ISBI 2021. Computed by MONAI's MCCLoss; segmentation-models-pytorch's is for two classes, per batch only.
    """
    library = MCCLoss(reduction="none", batch=reduce == "batch")
    return SegmentationObjective(_criterion(library, background=background), reduce)


@component(
    "loss",
    "boundary",
    LossTraits(tasks=("segmentation",)),
    summary="probability times signed distance to the true boundary (Kervadec et al. 2019)",
)
def boundary(context: LossContext, *, background: Background = False) -> SegmentationObjective:
    """Mean over classes and pixels of p times the signed distance to the true region's boundary, in pixels.

    The distance is Euclidean, d outside and 1 - d inside, d being that to the nearest pixel of the other side: negative
    in the region beyond its outermost pixels. Not bounded: it grows with the size of images. On a target without (or
    full of) the class: 0 with a gradient of 0; the paper adds it to generalized Dice with a weight that rises (see
    `weighted-sum`). Kervadec et al., *Boundary Loss for Highly Unbalanced Segmentation*, MIDL 2019. Computed by MONAI's
    BoundaryLoss, whose distances SciPy computes on the CPU, image by image.
    """
    return SegmentationObjective(_criterion(BoundaryLoss(reduction="none"), background=background), "image")


@component(
    "loss",
    "hausdorff",
    LossTraits(tasks=("segmentation",)),
    summary="errors weighted by distances to both boundaries (Karimi and Salcudean 2020)",
)
def hausdorff(
    context: LossContext,
    *,
    background: Background = False,
    exponent: Annotated[float, Field(ge=0, le=4, description="of distances in pixels, alpha of the paper")] = 2.0,
) -> SegmentationObjective:
    """Mean over classes and pixels of (p - g)^2 (d_p^a + d_g^a), a: exponent; at least 0, px^a.

    d_g: Euclidean distance of a pixel to the nearest one on the other side of the true region's boundary, d_p: of that
    of the region where p > 1/2, held constant in a step; both 0 everywhere for a region that is empty or full. On a
    target without lesion: 0 with a gradient of 0 unless some pixel has p > 1/2; then the mean of p^2 d_p^a. It grows
    with the size of images. Karimi and Salcudean, *Reducing the Hausdorff Distance in Medical Image
    Segmentation with Convolutional Neural Networks*, TMI 2020. Computed by MONAI's HausdorffDTLoss, whose distances
    SciPy computes on the CPU, four transforms per image and class.
    """
    library = HausdorffDTLoss(alpha=exponent, include_background=True, reduction="none")
    return SegmentationObjective(_criterion(library, background=background), "image")
