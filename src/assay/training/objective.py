"""Objective of training: a module that may have parameters, buffers and a schedule of its own.

The loop runs the network and hands over its outputs, so that the networks of many models can be run as one and each
objective sees its own slice. Objectives are checkpointed with the network.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from assay.data.dataset import Batch
from assay.models.networks import Outputs


@dataclass(frozen=True, slots=True)
class LossContext:
    """Inputs for building a loss, as its one positional argument: feature width, classes, training images per class.

    Attributes:
        dense: Whether there are logits for each pixel. classes are then those of a pixel, 0 being background, and
            counts are training pixels per class.

    Examples:
        >>> from assay.plugin import build
        >>> context = LossContext(width=64, classes=2, counts=(300, 100))
        >>> build("loss", "weighted-cross-entropy", {}, context).weights.tolist()[1]  # 400 / (2 x 100)
        2.0
    """

    width: int
    classes: int
    counts: tuple[int, ...]
    dense: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of training: `step` of `steps`, counted from 0; `epoch` of `epochs`.

    Examples:
        >>> progress = Progress(step=30, steps=100, epoch=1, epochs=4)
        >>> progress.step / progress.steps
        0.3
    """

    step: int
    steps: int
    epoch: int
    epochs: int

    @property
    def share(self) -> float:
        """0 at the first step, 1 at the last."""
        return self.step / max(1, self.steps - 1)


class Objective(nn.Module):
    """Abstract. `views` is how many augmented views of each image a step sees (stacked along the batch axis, view 1 of
    all images first; `batch` is then repeated likewise). `trains_head` is False when the objective never trains the
    network's head: a linear head is then fitted on the frozen features after the last step. `needs_masks` asks for
    `batch.masks`, where the environment has them. `unlabeled` says that no target is looked at: the features are then
    watched from epoch to epoch, and a training whose features collapse is stopped. In evaluation mode `loss` changes no
    buffer: validation calls it too. `steady` says that a step asks the device for the same work each time: the loss is
    a mean over images of outputs and batch, nothing is drawn on the host, nothing waits for the device, and progress
    and `after_step` play no part.

    Examples:
        A loss of class scores; `loss` alone must be defined:

        >>> import torch
        >>> class Hinge(Objective):
        ...     def loss(self, outputs, batch, progress):
        ...         sign = 2 * batch.target - 1
        ...         return (1 - sign * (outputs.logits[:, 1] - outputs.logits[:, 0])).relu().mean()
        >>> batch = Batch(torch.zeros(2, 1, 8, 8), torch.tensor([1, 0]), torch.arange(2))
        >>> outputs = Outputs(torch.zeros(2, 4), torch.tensor([[0.0, 3.0], [0.0, 0.0]]))
        >>> Hinge().loss(outputs, batch, Progress(step=0, steps=1, epoch=0, epochs=1)).item()  # 0 and 1
        0.5
    """

    views: int = 1
    trains_head: bool = True
    needs_masks: bool = False
    unlabeled: bool = False
    steady: bool = False

    def start(self, network: nn.Module) -> None:
        """Called once before the first step, with freshly initialized weights. A teacher copies the network here."""

    def loss(self, outputs: Outputs, batch: Batch, progress: Progress) -> Float[Tensor, ""]:
        """Return the scalar to minimize."""
        raise NotImplementedError(f"{type(self).__name__} must define loss")

    def each(self, outputs: Outputs, batch: Batch, progress: Progress) -> Float[Tensor, "b"] | None:
        """Return the loss of each image, of which `loss` is the mean; None for a loss that is no mean over images."""
        return None

    def training_loss(self, outputs: Outputs, batch: Batch, progress: Progress) -> Float[Tensor, ""]:
        """Objective of training: the loss, and that of each auxiliary head times their weight."""
        total = self.loss(outputs, batch, progress)
        for logits in outputs.auxiliary:
            auxiliary = Outputs(features=outputs.features, logits=logits)
            total = total + outputs.auxiliary_weight * self.loss(auxiliary, batch, progress)
        return total

    def after_step(self, network: nn.Module, progress: Progress) -> None:
        """Called after each optimizer step. A moving average is updated here."""
