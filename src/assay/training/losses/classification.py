"""Losses on logits of classes."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Annotated

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn

from assay.core.errors import DataError, SpecError
from assay.core.registry import component
from assay.core.traits import LossTraits
from assay.data.dataset import Batch
from assay.models.networks import Outputs
from assay.training.objective import LossContext, Objective, Progress

# Losses are computed in float32 whatever the network was computed in: bfloat16 has 8 bits for a difference of sums.


def widen(values: Tensor) -> Tensor:
    """Return half-precision values as float32; float32 and float64 stay as they are.

    Examples:
        >>> widen(torch.ones(1, dtype=torch.bfloat16)).dtype, widen(torch.ones(1, dtype=torch.float64)).dtype
        (torch.float32, torch.float64)
    """
    return values.float() if values.dtype in (torch.bfloat16, torch.float16) else values


@contextmanager
def without_autocast(device: torch.device) -> Generator[None]:
    """Keep the type of arguments in matrix products inside, also within an `autocast` region of the loop.

    Examples:
        >>> x = torch.ones(2, 2)
        >>> with torch.autocast("cpu", dtype=torch.bfloat16):
        ...     with without_autocast(x.device):
        ...         exact = x @ x
        ...     rough = x @ x
        >>> exact.dtype, rough.dtype
        (torch.float32, torch.bfloat16)
    """
    with torch.autocast(device.type, enabled=False):
        yield


# Inputs of the losses for segmentation: logits and labels of every pixel, and regions made of them.


def pixels(outputs: Outputs, batch: Batch) -> tuple[Float[Tensor, "b k h w"], Int[Tensor, "b h w"]]:
    """Logits per pixel, in float32 or wider, and the label of each pixel (0 background; of Bool masks 1 is lesion).

    The latter is looked for on the CPU alone: a GPU would have to wait for the answer, and its own indexing stops the
    training there.

    Raises:
        SpecError: For logits per image; DataError where there are no masks, for masks of another size, and for a label
            that the network has no channel for.
    """
    logits = outputs.logits
    if logits.ndim != 4:
        raise SpecError(
            f"this loss compares every pixel with a mask, but the network gives logits of shape {tuple(logits.shape)}: "
            "use a segmentation architecture, or a loss for classification"
        )
    if batch.masks is None:
        raise DataError("this loss compares every pixel with a mask, but the images have none: use data with masks")
    if batch.masks.shape[2:] != logits.shape[2:]:
        raise DataError(
            f"the network gives logits of {_size_words(logits)} pixels for masks of {_size_words(batch.masks)}: "
            "its logits must have the size of its input"
        )
    labels = batch.masks[:, 0].long()
    greatest = int(labels.max()) if labels.device.type == "cpu" else 0
    if greatest >= logits.shape[1]:
        raise DataError(
            f"the masks hold the label {greatest}, but the network has {logits.shape[1]} channels: "
            f"labels run from 0 (background) to {logits.shape[1] - 1}"
        )
    return widen(logits), labels


def _size_words(maps: Tensor) -> str:
    return f"{maps.shape[3]} x {maps.shape[2]}"


def regions(
    logits: Float[Tensor, "b k h w"], labels: Int[Tensor, "b h w"], *, background: bool
) -> tuple[Float[Tensor, "b c h w"], Bool[Tensor, "b c h w"]]:
    """Probabilities (softmax over channels) and the true region of each class; without background c = k - 1."""
    first = 0 if background else 1
    truth = torch.zeros(logits.shape, dtype=torch.bool, device=logits.device)
    truth.scatter_(1, labels[:, None], value=True)
    return logits.softmax(dim=1)[:, first:], truth[:, first:]


# Losses on the network's logits: each trains encoder and head together.
#
# They serve both tasks: a label with the logits of an image, or a mask with those of its pixels. The loss of an image
# is then the mean over its pixels.


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

    Raises:
        DataError: If a class has none.

    Examples:
        >>> [round(weight, 3) for weight in class_weights((30, 10))], class_weights((7, 7, 7))  # 40 / 60, 40 / 20
        ([0.667, 2.0], (1.0, 1.0, 1.0))
    """
    if min(counts) < 1:
        raise DataError(
            f"weighted-cross-entropy weighs classes by their number of training {what}, which are "
            f"{', '.join(map(str, counts))}: every class needs at least 1; use cross-entropy, or train on "
            "rows that hold every class"
        )
    return tuple(sum(counts) / (len(counts) * count) for count in counts)


def class_logits(outputs: Outputs) -> Float[Tensor, "b k"]:
    """Logits per image, in float32 or wider.

    Raises:
        SpecError: For logits per pixel.
    """
    if outputs.logits.ndim != 2:
        raise SpecError(
            f"this loss compares one label with one row of logits per image, but the network gives logits of shape "
            f"{tuple(outputs.logits.shape)}: use a classification architecture, or a loss for segmentation"
        )
    return widen(outputs.logits)


class ImageObjective(Objective):
    """A mean over images: defined by the loss of each."""

    def each(self, outputs: Outputs, batch: Batch, progress: Progress) -> Float[Tensor, "b"]:
        """Return the loss of each image, in float32 or wider."""
        raise NotImplementedError(f"{type(self).__name__} must define each")

    def loss(self, outputs: Outputs, batch: Batch, progress: Progress) -> Float[Tensor, ""]:
        """Return the mean over the batch."""
        return self.each(outputs, batch, progress).mean()


class LogitObjective(ImageObjective):
    """A loss per label, of an image or, where the context is dense, of each pixel of its mask, from these alone."""

    steady = True

    def __init__(self, context: LossContext) -> None:
        super().__init__()
        self.needs_masks = context.dense

    def each(self, outputs: Outputs, batch: Batch, progress: Progress) -> Float[Tensor, "b"]:
        """Return the loss of each image; of its pixels the mean."""
        with without_autocast(outputs.logits.device):
            if self.needs_masks:
                return self.of_labels(*pixels(outputs, batch)).flatten(1).mean(dim=1)
            return self.of_labels(class_logits(outputs), batch.target)

    def of_labels(self, logits: Float[Tensor, "b k *hw"], target: Int[Tensor, "b *hw"]) -> Float[Tensor, "b *hw"]:
        """Return the loss of each label."""
        raise NotImplementedError(f"{type(self).__name__} must define of_labels")


@component(
    "loss",
    "cross-entropy",
    LossTraits(tasks=("classification", "segmentation"), per_image=True),
    summary="log-loss of the softmax",
)
class CrossEntropy(LogitObjective):
    """`cross_entropies` of the logits. Defined on every batch; a mask without lesion as any other.

    Examples:
        An image of two classes about which the network knows nothing costs ln 2:

        >>> loss = CrossEntropy(LossContext(width=8, classes=2, counts=(50, 50)))
        >>> round(loss.of_labels(torch.zeros(1, 2), torch.tensor([0])).item(), 3)
        0.693
    """

    def of_labels(self, logits: Float[Tensor, "b k *hw"], target: Int[Tensor, "b *hw"]) -> Float[Tensor, "b *hw"]:
        """-log p(target)."""
        return cross_entropies(logits, target)


@component(
    "loss",
    "weighted-cross-entropy",
    LossTraits(tasks=("classification", "segmentation"), per_image=True),
    summary="cross-entropy, classes weighted by inverse frequency in training",
)
class WeightedCrossEntropy(LogitObjective):
    """`cross_entropies` with `class_weights` of the training environment's counts. Defined on every batch; a mask
    without lesion counts with the weight of background alone, which is small.

    Examples:
        Of 4 training images 1 is of class 1, so that it counts three times as much as each of class 0:

        >>> loss = WeightedCrossEntropy(LossContext(width=8, classes=2, counts=(3, 1)))
        >>> [round(weight, 3) for weight in loss.weights.tolist()]
        [0.667, 2.0]
    """

    def __init__(self, context: LossContext) -> None:
        super().__init__(context)
        weights = class_weights(context.counts, "pixels" if context.dense else "images")
        self.weights: Tensor
        self.register_buffer("weights", torch.tensor(weights))

    def of_labels(self, logits: Float[Tensor, "b k *hw"], target: Int[Tensor, "b *hw"]) -> Float[Tensor, "b *hw"]:
        """-w(target) log p(target)."""
        return cross_entropies(logits, target, weights=self.weights.to(logits.dtype))


@component(
    "loss",
    "label-smoothing",
    LossTraits(tasks=("classification", "segmentation"), per_image=True),
    summary="cross-entropy against a target softened toward the uniform (Szegedy et al. 2016)",
)
class LabelSmoothing(LogitObjective):
    """`cross_entropies` against a softened target; 0 is plain. Defined on every batch; its least value is above 0, and
    it is reached, on a mask without lesion too, with a lesion's probability at smoothing / K, not at 0.

    Examples:
        Too sure an answer costs something, although it is right:

        >>> loss = LabelSmoothing(LossContext(width=8, classes=2, counts=(50, 50)), smoothing=0.2)
        >>> [round(loss.of_labels(torch.tensor([[0.0, sure]]), torch.tensor([1])).item(), 2) for sure in (2.2, 10.0)]
        [0.33, 1.0]
    """

    def __init__(
        self,
        context: LossContext,
        *,
        smoothing: Annotated[
            float, Field(ge=0, lt=1, description="share of the target spread evenly over all classes")
        ] = 0.1,
    ) -> None:
        super().__init__(context)
        self.smoothing = smoothing

    def of_labels(self, logits: Float[Tensor, "b k *hw"], target: Int[Tensor, "b *hw"]) -> Float[Tensor, "b *hw"]:
        """Against the softened target."""
        return cross_entropies(logits, target, smoothing=self.smoothing)


@component(
    "loss",
    "focal",
    LossTraits(tasks=("classification", "segmentation"), per_image=True),
    summary="cross-entropy that discounts what is already right (Lin et al. 2017)",
)
class Focal(LogitObjective):
    """`focals` of the logits. Defined on every batch; a mask without lesion as any other.

    Examples:
        At p = 1/2 cross-entropy, ln 2, counts (1 - 1/2)^2, a quarter; at p = 0.9 a hundredth:

        >>> loss = Focal(LossContext(width=8, classes=2, counts=(50, 50)), gamma=2.0)
        >>> logits = torch.tensor([[0.5, 0.5], [0.1, 0.9]]).log()
        >>> [round(value, 4) for value in loss.of_labels(logits, torch.tensor([1, 1])).tolist()]
        [0.1733, 0.0011]
    """

    def __init__(
        self,
        context: LossContext,
        *,
        gamma: Annotated[float, Field(ge=0, le=20, description="focusing exponent, no unit; 0 is cross-entropy")] = 2.0,
    ) -> None:
        super().__init__(context)
        self.gamma = gamma

    def of_labels(self, logits: Float[Tensor, "b k *hw"], target: Int[Tensor, "b *hw"]) -> Float[Tensor, "b *hw"]:
        """See `focals`."""
        return focals(logits, target, gamma=self.gamma)
