"""Losses on the network's logits: each trains encoder and head together.

They serve both tasks: a label with the logits of an image, or a mask with those of its pixels. The loss of an image is
then the mean over its pixels.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from assay.core.errors import DataError, SpecError
from assay.data.dataset import Batch
from assay.recipes.losses.dense import pixels
from assay.recipes.losses.precision import widened, without_autocast
from assay.recipes.network import Outputs
from assay.recipes.objective import LossContext, Objective, Progress


def cross_entropy(
    logits: Float[Tensor, "b k *hw"],
    target: Int[Tensor, "b *hw"],
    *,
    weights: Float[Tensor, "k"] | None = None,
    smoothing: float = 0.0,
) -> Float[Tensor, ""]:
    """The mean over the batch (and pixels) of `cross_entropies`."""
    return cross_entropies(logits, target, weights=weights, smoothing=smoothing).mean()


def cross_entropies(
    logits: Float[Tensor, "b k *hw"],
    target: Int[Tensor, "b *hw"],
    *,
    weights: Float[Tensor, "k"] | None = None,
    smoothing: float = 0.0,
) -> Float[Tensor, "b *hw"]:
    """For each image (or pixel) w[y] * -sum_k q_k log p_k, natural logarithm, at least 0.

    q is 1 - smoothing on the target plus smoothing / K on every class (Szegedy et al., *Rethinking the Inception
    Architecture*, CVPR 2016). The mean divides by the batch size, not by the batch's weights as torch does it: then
    a batch's gradient does not depend on who else is in it, and a batch of one class is weighted at all.
    """
    each = nn.functional.cross_entropy(logits, target, reduction="none", label_smoothing=smoothing)
    return each if weights is None else each * weights[target]


def focal(logits: Float[Tensor, "b k *hw"], target: Int[Tensor, "b *hw"], *, gamma: float) -> Float[Tensor, ""]:
    """The mean over the batch (and pixels) of `focals`."""
    return focals(logits, target, gamma=gamma).mean()


def focals(logits: Float[Tensor, "b k *hw"], target: Int[Tensor, "b *hw"], *, gamma: float) -> Float[Tensor, "b *hw"]:
    """For each image (or pixel) -(1 - p)^gamma log p, p being the probability of the target class; at least 0.

    gamma 0 is cross-entropy. Without the class weight alpha of the paper. Lin, Goyal, Girshick, He and Dollár, *Focal
    Loss for Dense Object Detection*, ICCV 2017.
    """
    log_p = torch.log_softmax(logits, dim=1).gather(1, target.unsqueeze(1)).squeeze(1)
    # 1 - p without cancellation; kept off 0, where the power has no finite gradient for gamma < 1
    rest = (-torch.expm1(log_p)).clamp_min(torch.finfo(log_p.dtype).tiny)
    return -(rest**gamma * log_p)


def class_weights(counts: tuple[int, ...], what: str = "images") -> tuple[float, ...]:
    """n / (K n_c): inverse frequency, scaled so that the mean weight over the training images (or pixels) is 1.

    Raises DataError when a class has none.
    """
    if min(counts) < 1:
        raise DataError(
            f"weighted-cross-entropy weighs classes by their number of training {what}, which are "
            f"{', '.join(map(str, counts))}: every class needs at least 1; use cross-entropy, or train on "
            "rows that hold every class"
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


class LogitObjective(ImageObjective):
    """A loss per label, of an image or, where the context is dense, of each pixel of its mask."""

    def __init__(self, context: LossContext) -> None:
        super().__init__()
        self.needs_masks = context.dense

    def each(self, outputs: Outputs, batch: Batch, progress: Progress) -> Float[Tensor, "b"]:
        """The loss of each image; of its pixels the mean."""
        with without_autocast(outputs.logits.device):
            if self.needs_masks:
                return self.of_labels(*pixels(outputs, batch)).flatten(1).mean(dim=1)
            return self.of_labels(class_logits(outputs), batch.target)

    def of_labels(self, logits: Float[Tensor, "b k *hw"], target: Int[Tensor, "b *hw"]) -> Float[Tensor, "b *hw"]:
        """The loss of each label."""
        raise NotImplementedError(f"{type(self).__name__} must define of_labels")


class CrossEntropy(LogitObjective):
    """`cross_entropy` of the logits. Defined on every batch; a mask without lesion as any other."""

    def of_labels(self, logits: Float[Tensor, "b k *hw"], target: Int[Tensor, "b *hw"]) -> Float[Tensor, "b *hw"]:
        """-log p(target)."""
        return cross_entropies(logits, target)


class WeightedCrossEntropy(LogitObjective):
    """`cross_entropy` with `class_weights` of the training environment's counts. Defined on every batch; a mask without
    lesion counts with the weight of background alone, which is small.
    """

    def __init__(self, context: LossContext) -> None:
        super().__init__(context)
        weights = class_weights(context.counts, "pixels" if context.dense else "images")
        self.weights: Tensor
        self.register_buffer("weights", torch.tensor(weights))

    def of_labels(self, logits: Float[Tensor, "b k *hw"], target: Int[Tensor, "b *hw"]) -> Float[Tensor, "b *hw"]:
        """-w(target) log p(target)."""
        return cross_entropies(logits, target, weights=self.weights.to(logits.dtype))


class LabelSmoothing(LogitObjective):
    """`cross_entropy` against a softened target; 0 is plain. Defined on every batch; its least value is above 0, and
    it is reached, on a mask without lesion too, with a lesion's probability at smoothing / K, not at 0.
    """

    def __init__(self, context: LossContext, *, smoothing: float) -> None:
        super().__init__(context)
        self.smoothing = smoothing

    def of_labels(self, logits: Float[Tensor, "b k *hw"], target: Int[Tensor, "b *hw"]) -> Float[Tensor, "b *hw"]:
        """Against the softened target."""
        return cross_entropies(logits, target, smoothing=self.smoothing)


class Focal(LogitObjective):
    """`focal` of the logits. Defined on every batch; a mask without lesion as any other."""

    def __init__(self, context: LossContext, *, gamma: float) -> None:
        super().__init__(context)
        self.gamma = gamma

    def of_labels(self, logits: Float[Tensor, "b k *hw"], target: Int[Tensor, "b *hw"]) -> Float[Tensor, "b *hw"]:
        """See `focals`."""
        return focals(logits, target, gamma=self.gamma)
