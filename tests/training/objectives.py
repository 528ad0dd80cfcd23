"""Two small objectives and a dense network that the training loop must carry: as a plug-in's own would be."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from assay.plugin import (
    ArchitectureContext,
    Batch,
    InputScaling,
    LossContext,
    Objective,
    Outputs,
    Progress,
    initialize_by_name,
)


class DenseNetwork(nn.Module):
    """Logits for every pixel: a strided encoder, and a decoder back to full size."""

    width = 16
    layers = ("encoder",)

    def __init__(self, context: ArchitectureContext) -> None:
        super().__init__()
        self.scaling = InputScaling(context.channels)
        self.encoder = nn.Sequential(
            nn.Conv2d(context.channels, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU()
        )
        self.decoder = nn.ConvTranspose2d(16, 8, 4, 4)
        self.head = nn.Conv2d(8, context.classes, 1)

    def read(self, images: Tensor) -> Outputs:
        """Pooled features, and logits per class and pixel."""
        deep = self.encoder(self.scaling(images))
        height, width = images.shape[2:]
        return Outputs(features=deep.mean((2, 3)), logits=self.head(self.decoder(deep))[:, :, :height, :width])

    def forward(self, images: Tensor) -> Tensor:
        """Logits."""
        return self.read(images).logits


def dense_network(context: ArchitectureContext) -> DenseNetwork:
    """A dense network."""
    network = DenseNetwork(context)
    initialize_by_name(network, context.seed)
    return network


class ThreeSteps(Objective):
    """Segmentation in three steps: cross-entropy, its mean with Dice, then Dice with a weight that is learned."""

    needs_masks = True

    def __init__(self, context: LossContext) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.register_buffer("seen", torch.zeros(3))

    def loss(self, outputs: Outputs, batch: Batch, progress: Progress) -> Tensor:
        """See the class."""
        assert batch.masks is not None
        assert outputs.logits.shape[2:] == batch.masks.shape[2:]
        goal = batch.masks[:, 0].long()
        third = min(2, 3 * progress.step // progress.steps)
        if self.training:
            self.seen[third] += 1
        entropy = functional.cross_entropy(outputs.logits, goal)
        p = outputs.logits.softmax(1)[:, 1]
        dice = 1 - (2 * (p * goal).sum((1, 2)) + 1) / (p.sum((1, 2)) + goal.sum((1, 2)) + 1)
        share = (torch.zeros(()), torch.full((), 0.5), self.weight.sigmoid())[third]
        return (1 - share) * entropy + share * dice.mean()


class MovingTeacher(Objective):
    """Cross-entropy, and agreement of two views with a moving average of the network."""

    views = 2

    def __init__(self, context: LossContext) -> None:
        super().__init__()
        self.predictor = nn.Linear(context.width, context.width)
        self.register_buffer("center", torch.zeros(context.width))
        self.teacher: nn.Module = nn.Identity()

    def start(self, network: nn.Module) -> None:
        """The teacher starts as a copy."""
        self.teacher = copy.deepcopy(network).requires_grad_(False)

    def loss(self, outputs: Outputs, batch: Batch, progress: Progress) -> Tensor:
        """See the class."""
        with torch.no_grad():
            goal = self.teacher.read(batch.images).features  # type: ignore[operator]
            if self.training:
                self.center.lerp_(goal.mean(0), 0.1)
        half = len(goal) // 2
        swapped = torch.cat([goal[half:], goal[:half]]) - self.center
        return functional.cross_entropy(outputs.logits, batch.target) + functional.mse_loss(
            self.predictor(outputs.features), swapped
        )

    def after_step(self, network: nn.Module, progress: Progress) -> None:
        """Half of the way at first, less and less later."""
        with torch.no_grad():
            for slow, fast in zip(self.teacher.parameters(), network.parameters(), strict=True):
                slow.lerp_(fast, 0.5 * (1 - progress.share) + 0.01)
