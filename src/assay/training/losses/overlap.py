"""Losses of regions and boundaries whose formula MONAI computes; importing this imports MONAI.

MONAI is handed probabilities and true regions, without its own activation and its own choice of channels, and gives a
value per class, of each image or of the batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, cast

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from assay.core.errors import extra
from assay.core.registry import component
from assay.training.losses.classification import regions
from assay.training.losses.segmentation import DENSE, Background, Overlap, Reduce, Reduction, SegmentationObjective
from assay.training.objective import LossContext

with extra("monai"):
    from monai.losses.boundary_loss import BoundaryLoss
    from monai.losses.dice import DiceLoss
    from monai.losses.hausdorff_loss import HausdorffDTLoss
    from monai.losses.mcc_loss import MCCLoss
    from monai.losses.tversky import TverskyLoss

_LEAST_SMOOTHING = 1e-8
"""Pixels in a denominator without smoothing: 0 / 0 would be NaN where every probability of a class is 0."""


def _objective(
    library: nn.Module, background: bool, reduce: Reduce = "image", exponent: float = 1.0
) -> SegmentationObjective:
    """Return the mean over classes of the values of a MONAI loss with `reduction="none"`, each raised to a power."""

    def terms(logits: Float[Tensor, "b k h w"], labels: Int[Tensor, "b h w"]) -> Float[Tensor, "t"]:
        p, truth = regions(logits, labels, background=background)
        values = cast(Tensor, library(p, truth.to(p.dtype))).reshape(-1, p.shape[1])
        if exponent != 1:  # kept off 0, where the power has no finite gradient
            least = torch.finfo(values.dtype).eps
            values = torch.where(values > least, values.clamp_min(least) ** exponent, 0.0)
        return values.mean(dim=1)

    return SegmentationObjective(terms, reduce)


@component("loss", "dice", DENSE, summary="1 - overlap of regions, per image or per batch (Milletari et al. 2016)")
def dice(context: LossContext, *, of: Overlap) -> SegmentationObjective:
    """Mean over classes of 1 - (2 sum p g + s) / (sum p + sum g + s); 0 to 1.

    p: softmax, g: 1 on the pixels of the class, s: smoothing in pixels; sums over an image (mean over images) or over
    the whole batch. On a target without the class: 1 - s / (sum p + s), with a gradient of s / (sum p + s)^2 on the
    probability of every pixel; with s = 0 it is 1 with a gradient of 0, whatever is predicted (1e-8 px in the
    denominator keep it defined). Per batch, false positives of such an image lower the batch's overlap.
    Milletari, Navab and Ahmadi, *V-Net*, 3DV 2016, without their squares. Computed by MONAI's DiceLoss;
    segmentation-models-pytorch's is per batch only, and 0 without a gradient on a target without the class.

    Examples:
        Two pixels are predicted lesion, one of them is: the overlap is 2 x 1 / (2 + 1).

        >>> loss = dice(LossContext(8, 2, (1, 1), dense=True), of=Overlap(smoothing=0))
        >>> logits = torch.tensor([[[[-50.0, -50.0]], [[50.0, 50.0]]]])
        >>> round(loss.criterion(logits, torch.tensor([[[1, 0]]])).item(), 3)
        0.333
    """
    least = max(of.smoothing, _LEAST_SMOOTHING)
    library = DiceLoss(reduction="none", batch=of.reduce == "batch", smooth_nr=of.smoothing, smooth_dr=least)
    return _objective(library, of.background, of.reduce)


@dataclass(frozen=True, kw_only=True)
class TverskyOptions(Overlap):
    """Arguments of `tversky`."""

    false_positives: Annotated[float, Field(ge=0, le=10, description="weight of false positives, alpha")] = 0.3
    false_negatives: Annotated[float, Field(ge=0, le=10, description="weight of false negatives, beta")] = 0.7
    exponent: Annotated[float, Field(gt=0, le=10, description="of the loss of a class, for small lesions")] = 1.0


@component(
    "loss",
    "tversky",
    DENSE,
    summary="Dice with weights of its own for false positives and negatives, or a power of it (Salehi et al. 2017)",
)
def tversky(context: LossContext, *, of: TverskyOptions) -> SegmentationObjective:
    """Mean over classes of (1 - (TP + s/2) / (TP + a FP + b FN + s/2))^exponent; 0 to 1.

    a: false_positives, b: false_negatives; TP = sum p g, FP = sum p (1 - g), FN = sum (1 - p) g. With a = b = 1/2 it is
    Dice of the same smoothing s. On a target without the class: 1 - s / (2 a sum p + s); with s = 0, 1 with a gradient
    of 0. Salehi, Erdogmus and Gholipour, *Tversky Loss Function for Image Segmentation Using 3D Fully Convolutional
    Deep Networks*, MLMI 2017. Exponent 0.75 is the focal Tversky loss of Abraham and Khan, ISBI 2019, who write it as
    1 / gamma (gamma 4/3) and sum over classes; their code and segmentation-models-pytorch write it as gamma.

    Examples:
        A missed pixel costs more than a false one, 0.7 in place of 0.3:

        >>> loss = tversky(LossContext(8, 2, (1, 1), dense=True), of=TverskyOptions(smoothing=0))
        >>> logits = torch.tensor([[[[-50.0, -50.0, 50.0]], [[50.0, 50.0, -50.0]]]])
        >>> false, missed = torch.tensor([[[1, 0, 0]]]), torch.tensor([[[1, 1, 1]]])
        >>> [round(loss.criterion(logits, labels).item(), 3) for labels in (false, missed)]  # 1 - 1 / 1.3, 1 - 2 / 2.7
        [0.231, 0.259]
    """
    half = of.smoothing / 2
    library = TverskyLoss(
        alpha=of.false_positives,
        beta=of.false_negatives,
        reduction="none",
        batch=of.reduce == "batch",
        smooth_nr=half,
        smooth_dr=max(half, _LEAST_SMOOTHING),
    )
    return _objective(library, of.background, of.reduce, of.exponent)


@component("loss", "mcc", DENSE, summary="1 - Matthews' correlation of the regions (Abhishek and Hamarneh 2021)")
def mcc(context: LossContext, *, reduce: Reduction = "image", background: Background = False) -> SegmentationObjective:
    """Mean over classes of 1 - Matthews' correlation of the class against the rest; 0 to 2.

    From the soft counts TP, TN, FP, FN. On a target without the class: 1 with a gradient of 0, whatever is predicted
    (0 when every probability is exactly 0). With two classes the background gives the same value. 1e-5 px^4 under the
    root keep it defined. Abhishek and Hamarneh, *Matthews Correlation Coefficient Loss for Deep Convolutional
    Networks*, ISBI 2021. Computed by MONAI's MCCLoss; segmentation-models-pytorch's is for two classes, per batch only.

    Examples:
        Of four pixels one is a true positive, one a false one, two are true negatives: 1 - 2 / sqrt(12).

        >>> loss = mcc(LossContext(8, 2, (1, 1), dense=True))
        >>> lesion = torch.tensor([[[50.0, 50.0, -50.0, -50.0]]])
        >>> round(loss.criterion(torch.stack([-lesion, lesion], dim=1), torch.tensor([[[1, 0, 0, 0]]])).item(), 3)
        0.423
    """
    return _objective(MCCLoss(reduction="none", batch=reduce == "batch"), background, reduce)


@component(
    "loss", "boundary", DENSE, summary="probability times signed distance to the true boundary (Kervadec et al. 2019)"
)
def boundary(context: LossContext, *, background: Background = False) -> SegmentationObjective:
    """Mean over classes and pixels of p times the signed distance to the true region's boundary, in pixels.

    The distance is Euclidean, d outside and 1 - d inside, d being that to the nearest pixel of the other side: negative
    in the region beyond its outermost pixels. Not bounded: it grows with the size of images. On a target without (or
    full of) the class: 0 with a gradient of 0; the paper adds it to generalized Dice with a weight that rises (see
    `weighted-sum`). Kervadec et al., *Boundary Loss for Highly Unbalanced Segmentation*, MIDL 2019. Computed by MONAI's
    BoundaryLoss, whose distances SciPy computes on the CPU, image by image.

    Examples:
        A pixel that is predicted lesion 2 px outside of it costs 2, as one of three pixels:

        >>> loss = boundary(LossContext(8, 2, (1, 1), dense=True))
        >>> lesion = torch.tensor([[[-50.0, -50.0, 50.0]]])
        >>> round(loss.criterion(torch.stack([-lesion, lesion], dim=1), torch.tensor([[[1, 0, 0]]])).item(), 3)
        0.667
    """
    return _objective(BoundaryLoss(reduction="none"), background)


@component(
    "loss", "hausdorff", DENSE, summary="errors weighted by distances to both boundaries (Karimi and Salcudean 2020)"
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

    Examples:
        Predicted in the third of three pixels, not in the first where it is: both are off by 1^2 + 2^2, which is
        10 / 3 on average.

        >>> loss = hausdorff(LossContext(8, 2, (1, 1), dense=True))
        >>> lesion = torch.tensor([[[-50.0, -50.0, 50.0]]])
        >>> round(loss.criterion(torch.stack([-lesion, lesion], dim=1), torch.tensor([[[1, 0, 0]]])).item(), 3)
        3.333
    """
    library = HausdorffDTLoss(alpha=exponent, include_background=True, reduction="none")
    return _objective(library, background)
