"""Losses on the network's logits: each trains encoder and head together."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from assay.core.errors import DataError, SpecError
from assay.data.dataset import Batch
from assay.recipes.losses.precision import widened, without_autocast
from assay.recipes.network import Outputs
from assay.recipes.objective import LossContext, Objective, Progress


def cross_entropy(
    logits: Float[Tensor, "b k"],
    target: Int[Tensor, "b"],
    *,
    weights: Float[Tensor, "k"] | None = None,
    smoothing: float = 0.0,
) -> Float[Tensor, ""]:
    """The mean over the batch of `cross_entropies`."""
    return cross_entropies(logits, target, weights=weights, smoothing=smoothing).mean()


def cross_entropies(
    logits: Float[Tensor, "b k"],
    target: Int[Tensor, "b"],
    *,
    weights: Float[Tensor, "k"] | None = None,
    smoothing: float = 0.0,
) -> Float[Tensor, "b"]:
    """For each image w[y] * -sum_k q_k log p_k, natural logarithm, at least 0.

    q is 1 - smoothing on the target plus smoothing / K on every class (Szegedy et al., *Rethinking the Inception
    Architecture*, CVPR 2016). The mean divides by the batch size, not by the batch's weights as torch does it: then
    a batch's gradient does not depend on who else is in it, and a batch of one class is weighted at all.
    """
    each = nn.functional.cross_entropy(logits, target, reduction="none", label_smoothing=smoothing)
    return each if weights is None else each * weights[target]


def focal(logits: Float[Tensor, "b k"], target: Int[Tensor, "b"], *, gamma: float) -> Float[Tensor, ""]:
    """The mean over the batch of `focals`."""
    return focals(logits, target, gamma=gamma).mean()


def focals(logits: Float[Tensor, "b k"], target: Int[Tensor, "b"], *, gamma: float) -> Float[Tensor, "b"]:
    """For each image -(1 - p)^gamma log p, p being the probability of the target class; at least 0.

    gamma 0 is cross-entropy. Without the class weight alpha of the paper. Lin, Goyal, Girshick, He and Dollár, *Focal
    Loss for Dense Object Detection*, ICCV 2017.
    """
    log_p = torch.log_softmax(logits, dim=1).gather(1, target[:, None])[:, 0]
    # 1 - p without cancellation; kept off 0, where the power has no finite gradient for gamma < 1
    rest = (-torch.expm1(log_p)).clamp_min(torch.finfo(log_p.dtype).tiny)
    return -(rest**gamma * log_p)


def class_weights(counts: tuple[int, ...]) -> tuple[float, ...]:
    """n / (K n_c): inverse frequency, scaled so that the mean weight over the training images is 1.

    Raises DataError when a class has no training image.
    """
    if min(counts) < 1:
        raise DataError(
            f"weighted-cross-entropy weighs classes by their number of training images, which are {list(counts)}: "
            "every class needs at least 1; use cross-entropy, or train on rows that hold every class"
        )
    return tuple(sum(counts) / (len(counts) * count) for count in counts)


def class_logits(outputs: Outputs) -> Float[Tensor, "b k"]:
    """Logits per image, in float32 or wider. Raises SpecError for logits per pixel."""
    if outputs.logits.ndim != 2:
        raise SpecError(
            f"this loss compares one label with one row of logits per image, but the network gives logits of shape "
            f"{tuple(outputs.logits.shape)}: use a classification architecture, or a loss for segmentation"
        )
    return widened(outputs.logits)


class ImageObjective(Objective):
    """A mean over images: defined by the loss of each."""

    def each(self, outputs: Outputs, batch: Batch, progress: Progress) -> Float[Tensor, "b"]:
        """The loss of each image, in float32 or wider."""
        raise NotImplementedError(f"{type(self).__name__} must define each")

    def loss(self, outputs: Outputs, batch: Batch, progress: Progress) -> Float[Tensor, ""]:
        """The mean over the batch."""
        return self.each(outputs, batch, progress).mean()


class CrossEntropy(ImageObjective):
    """`cross_entropy` of the logits. Defined on every batch."""

    def __init__(self, context: LossContext) -> None:
        super().__init__()

    def each(self, outputs: Outputs, batch: Batch, progress: Progress) -> Float[Tensor, "b"]:
        """The loss of each image."""
        with without_autocast(outputs.logits.device):
            return cross_entropies(class_logits(outputs), batch.target)


class WeightedCrossEntropy(ImageObjective):
    """`cross_entropy` with `class_weights` of the training environment's counts. Defined on every batch."""

    def __init__(self, context: LossContext) -> None:
        super().__init__()
        self.weights: Tensor
        self.register_buffer("weights", torch.tensor(class_weights(context.counts)))

    def each(self, outputs: Outputs, batch: Batch, progress: Progress) -> Float[Tensor, "b"]:
        """The weighted loss of each image."""
        with without_autocast(outputs.logits.device):
            logits = class_logits(outputs)
            return cross_entropies(logits, batch.target, weights=self.weights.to(logits.dtype))


class LabelSmoothing(ImageObjective):
    """`cross_entropy` against a softened target; 0 is plain. Defined on every batch; its least value is above 0."""

    def __init__(self, context: LossContext, *, smoothing: float) -> None:
        super().__init__()
        self.smoothing = smoothing

    def each(self, outputs: Outputs, batch: Batch, progress: Progress) -> Float[Tensor, "b"]:
        """The loss of each image."""
        with without_autocast(outputs.logits.device):
            return cross_entropies(class_logits(outputs), batch.target, smoothing=self.smoothing)


class Focal(ImageObjective):
    """`focal` of the logits. Defined on every batch."""

    def __init__(self, context: LossContext, *, gamma: float) -> None:
        super().__init__()
        self.gamma = gamma

    def each(self, outputs: Outputs, batch: Batch, progress: Progress) -> Float[Tensor, "b"]:
        """The loss of each image."""
        with without_autocast(outputs.logits.device):
            return focals(class_logits(outputs), batch.target, gamma=self.gamma)
