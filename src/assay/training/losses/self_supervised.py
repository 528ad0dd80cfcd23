"""Losses without labels: between two views of an image."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Self

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from assay.core.registry import component
from assay.data.dataset import Batch
from assay.models.networks import Outputs, as_network
from assay.training.losses.classification import widen, without_autocast
from assay.training.losses.embedding import unit
from assay.training.objective import LossContext, Objective, Progress

_Width = Annotated[int, Field(ge=4, le=65536)]


# Criteria of losses without labels, which compare two views of images, as pure functions.

_VARIANCE_FLOOR = 1e-4  # added to a variance before its root, as published


def vicreg(
    a: Float[Tensor, "n d"], b: Float[Tensor, "n d"], *, invariance: float, variance: float, covariance: float
) -> Float[Tensor, ""]:
    """invariance * mean (a - b)^2 + variance * hinge + covariance * redundancy, at least 0.

    hinge: the mean over dimensions and views of max(0, 1 - sqrt(var + 1e-4)). redundancy: the sum over views of the
    squared covariances between different dimensions, over their number d. Both with n - 1; a batch of one image has
    neither, and counts as not varying at all. Bardes, Ponce and LeCun, *VICReg*, ICLR 2022, as its code has it.
    """
    hinge = redundancy = a.new_zeros(())
    for z in (a, b):
        centered = z - z.mean(0)
        covariances = centered.T @ centered / max(1, len(z) - 1)
        variances = covariances.diagonal()
        hinge = hinge + functional.relu(1 - (variances + _VARIANCE_FLOOR).sqrt()).mean() / 2
        redundancy = redundancy + (covariances.square().sum() - variances.square().sum()) / z.shape[1]
    return invariance * functional.mse_loss(a, b) + variance * hinge + covariance * redundancy


def info_nce(
    query: Float[Tensor, "n d"],
    key: Float[Tensor, "n d"],
    queue: Float[Tensor, "q d"],
    left_out: Bool[Tensor, "n q"],
    *,
    temperature: float,
) -> Float[Tensor, ""]:
    """Mean over images of the log-loss in nats of finding the own key among it and the queue, by cosines over the
    temperature; no gradient flows into keys. 0 for an image that all of the queue is left out for.

    He, Fan, Wu, Xie and Girshick, *Momentum Contrast*, CVPR 2020. `queue` holds unit vectors.
    """
    anchors, positives = unit(query), unit(key.detach())
    others = (anchors @ queue.detach().T).masked_fill(left_out, -torch.inf)
    logits = torch.cat([(anchors * positives).sum(1, keepdim=True), others], dim=1) / temperature
    return functional.cross_entropy(logits, torch.zeros(len(anchors), dtype=torch.int64, device=anchors.device))


# Objectives that need no label: two views of each image, and for `moco` a teacher that follows the network.
#
# All train the encoder alone: the projection is thrown away, and a head is fitted on the frozen features afterward. A
# teacher is a copy of network and projection whose weights are a moving average of theirs; it runs on the batch's
# images itself, in the mode (training or evaluation) of its objective, in float32.


class TwoViews(Objective):
    """Two views, no label. `compared` is the loss of the projections of both."""

    views = 2
    trains_head = False
    unlabeled = True

    def __init__(self, projection: nn.Module) -> None:
        super().__init__()
        self.projection = projection

    def loss(self, outputs: Outputs, batch: Batch, progress: Progress) -> Float[Tensor, ""]:
        """Of the first view of every image and the second."""
        with without_autocast(outputs.features.device):
            view, other = self.projection(widen(outputs.features)).chunk(2)
            return self.compared(view, other, batch)

    def compared(self, first: Float[Tensor, "n d"], second: Float[Tensor, "n d"], batch: Batch) -> Float[Tensor, ""]:
        """Return the scalar to minimize."""
        raise NotImplementedError(f"{type(self).__name__} must define compared")


def mlp(widths: Sequence[int]) -> nn.Sequential:
    """Linear layers of these widths, batch norm and ReLU between them."""
    layers: list[nn.Module] = []
    for place, (before, after) in enumerate(pairwise(widths)):
        last = place == len(widths) - 2
        layers.append(nn.Linear(before, after, bias=last))
        if not last:
            layers += [nn.BatchNorm1d(after), nn.ReLU()]
    return nn.Sequential(*layers)


@component("loss", "vicreg", summary="no labels: variance, invariance, covariance of two views (Bardes et al. 2022)")
class VicReg(TwoViews):
    """`vicreg` after an expander of three layers.

    Examples:
        Views that are 1 apart in every dimension, each the same for all images: 25 for their distance, and
        25 x (1 - 0.01) for dimensions that do not vary.

        >>> loss = VicReg(LossContext(width=8, classes=2, counts=(1, 1)))
        >>> batch = Batch(torch.zeros(4, 1, 8, 8), torch.tensor([0, 1, 0, 1]), torch.tensor([0, 1, 0, 1]))
        >>> round(loss.compared(torch.zeros(2, 512), torch.ones(2, 512), batch).item(), 2)
        49.75
    """

    def __init__(
        self,
        context: LossContext,
        *,
        embedding: Annotated[
            _Width, Field(description="dimensions of the projection, of each of its three layers")
        ] = 512,
        invariance: Annotated[float, Field(ge=0, description="weight of the distance between views")] = 25.0,
        variance: Annotated[
            float, Field(ge=0, description="weight of the hinge on standard deviations under 1")
        ] = 25.0,
        covariance: Annotated[float, Field(ge=0, description="weight of the covariances between dimensions")] = 1.0,
    ) -> None:
        super().__init__(mlp([context.width, embedding, embedding, embedding]))
        self.weights = {"invariance": invariance, "variance": variance, "covariance": covariance}

    def compared(self, first: Float[Tensor, "n d"], second: Float[Tensor, "n d"], batch: Batch) -> Float[Tensor, ""]:
        """See the class."""
        return vicreg(first, second, **self.weights)


class TeacherStudent(TwoViews):
    """With a teacher: `averaged` is a copy of network and projection, made when training starts.

    Args:
        momentum: Share of the teacher's weights that a step keeps.
    """

    def __init__(self, projection: nn.Module, *, momentum: float) -> None:
        super().__init__(projection)
        self.momentum = momentum
        self.averaged = nn.ModuleDict()
        self._at_rest: list[nn.Module] = []

    def start(self, network: nn.Module) -> None:
        """The teacher begins as the network."""
        for name, module in (("network", network), ("projection", self.projection)):
            self.averaged[name] = copy.deepcopy(module).requires_grad_(False)
        self._at_rest = [module for module in self.averaged.modules() if not module.training]

    def train(self, mode: bool = True) -> Self:
        """Set the mode, but for modules that were frozen in the network when training started."""
        super().train(mode)
        for module in self._at_rest:
            module.eval()
        return self

    def taught(self, batch: Batch) -> Float[Tensor, "b d"]:
        """Return the teacher's projections of all views, without gradient."""
        with torch.no_grad():
            features = as_network(self.averaged["network"]).read(batch.images).features
            return self.averaged["projection"](widen(features))

    def after_step(self, network: nn.Module, progress: Progress) -> None:
        """The teacher's weights move toward the network's; its batch norms keep statistics of their own."""
        with torch.no_grad():
            for name, module in (("network", network), ("projection", self.projection)):
                for old, new in zip(self.averaged[name].parameters(), module.parameters(), strict=True):
                    old.lerp_(new, 1 - self.momentum)


@component("loss", "moco", summary="no labels: a view's teacher key among a queue of keys (MoCo v2, Chen et al. 2020)")
class Moco(TeacherStudent):
    """The first view's projection finds the teacher's of the second view among the keys of images seen before:
    `info_nce`. Version 2: a projection of two layers without batch norm (Chen, Fan, Girshick and He 2020).

    queue: how many keys are kept, unit vectors, drawn at random at first; a training step puts its own in the place of
    the oldest. Keys are not shuffled over devices: batch norms of queries and keys see the same whole batches. The
    network runs on the second views too, which have no part in its loss. In training an image is not contrasted with
    its own keys that are left of earlier steps: of few images a queue holds many such, of the published millions none.

    Examples:
        >>> loss = Moco(LossContext(width=8, classes=2, counts=(1, 1)), queue=16)
        >>> loss.keys.shape, loss.views, loss.trains_head  # no label: a head is fitted on the features afterward
        (torch.Size([16, 128]), 2, False)
    """

    keys: Tensor
    rows: Tensor
    place: Tensor

    def __init__(
        self,
        context: LossContext,
        *,
        embedding: Annotated[_Width, Field(description="dimensions of the projection")] = 128,
        queue: Annotated[int, Field(ge=1, description="keys kept of earlier batches")] = 65536,
        temperature: Annotated[float, Field(gt=0, le=10, description="divides cosine similarities, no unit")] = 0.2,
        momentum: Annotated[float, Field(ge=0, lt=1, description="share of the teacher that a step keeps")] = 0.999,
    ) -> None:
        width = context.width
        projection = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, embedding))
        super().__init__(projection, momentum=momentum)
        self.temperature = temperature
        self.register_buffer("keys", functional.normalize(torch.randn(queue, embedding), dim=1))
        self.register_buffer("rows", torch.full((queue,), -1, dtype=torch.int64))  # no image's
        self.register_buffer("place", torch.zeros((), dtype=torch.int64))

    def compared(self, first: Float[Tensor, "n d"], second: Float[Tensor, "n d"], batch: Batch) -> Float[Tensor, ""]:
        """See the class. In evaluation mode the queue stays as it is."""
        key = unit(self.taught(batch).chunk(2)[1])
        row = batch.row.chunk(2)[0]
        same_image = (row[:, None] == self.rows) & self.training  # rows of validation images have numbers of their own
        loss = info_nce(first, key, self.keys.clone(), same_image, temperature=self.temperature)
        if self.training:
            at = (self.place + torch.arange(len(key), device=key.device)) % len(self.keys)
            last = slice(-len(self.keys), None)
            self.keys[at[last]], self.rows[at[last]] = key[last].to(self.keys.dtype), row[last]
            self.place.copy_((self.place + len(key)) % len(self.keys))
        return loss
