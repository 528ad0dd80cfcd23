"""Mitigations of a user's own: every hook of the training loop is used by one of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from assay.plugin import (
    Augmentation,
    Batch,
    LinearHead,
    LossContext,
    MitigatedObjective,
    Mitigation,
    MitigationContext,
    Objective,
    Outputs,
    Progress,
    Rows,
    SelectedFeatures,
    build,
    draw,
    fit_head,
    generator,
    groups_in,
)
from assay.training.feed import batch_order


class WeightedByGroup(MitigatedObjective):
    """Mean over the batch of weight[group] * loss of the image. Each image raises its group's weight by 1%."""

    def __init__(self, inner: Objective, weights: np.ndarray) -> None:
        super().__init__(inner)
        self.weights: Tensor
        self.register_buffer("weights", torch.tensor(weights, dtype=torch.float32))

    def mitigated(self, outputs: Outputs, batch: Batch, progress: Progress) -> Tensor:
        """See the class."""
        groups = groups_in(batch)
        loss = (self.weights[groups] * self.image_losses(outputs, batch, progress)).mean()
        self.weights.mul_(1.01 ** torch.bincount(groups, minlength=len(self.weights)))
        return loss


class Reweighted(Mitigation):
    """An objective with a state, which looks at groups."""

    group_labels: Rows = "training"

    def objective(self, inner: Objective, context: LossContext, setting: MitigationContext) -> WeightedByGroup:
        """Weights start with the inverse sizes of the groups."""
        _, groups = setting.required_grouping()
        sizes = np.bincount(groups)
        return WeightedByGroup(inner, sizes.sum() / (len(sizes) * sizes))

    def account(self, found: tuple[int, ...], objective: Objective) -> Mapping[str, Any]:
        """The weights after the last step."""
        assert isinstance(objective, WeightedByGroup)
        return {"group_weights": [float(weight) for weight in objective.weights]}


class Balanced(Mitigation):
    """An order of its own, in which every group stands as often; some rows several times."""

    group_labels: Rows = "training"

    def order(self, setting: MitigationContext, found: tuple[int, ...], epoch: int) -> np.ndarray:
        """See the class."""
        grouping, groups = setting.required_grouping()
        rng, each = generator(setting.seed, "balanced", epoch), -(-setting.drawn // len(grouping.names))
        chosen = [rng.choice(np.flatnonzero(groups == kind), each) for kind in range(len(grouping.names))]
        return rng.permutation(np.concatenate(chosen))[: setting.drawn]


class Lenient(Mitigation):
    """Group labels, of which some groups may have no row."""

    group_labels: Rows = "training"
    needs_every_group = False


class Twice(Mitigation):
    """A training before, whose errors stand more often in the second."""

    def __init__(self, *, epochs: int = 1, upweight: int = 3) -> None:
        self.epochs, self.upweight = epochs, upweight

    def phases(self, epochs: int) -> tuple[int, ...]:
        """The training before, then the recipe's."""
        return (self.epochs, epochs)

    def order(self, setting: MitigationContext, found: tuple[int, ...], epoch: int) -> np.ndarray:
        """A part of the enlarged set; in the first phase nothing is enlarged."""
        again = np.repeat(np.array(found, dtype=np.int64), self.upweight - 1)
        enlarged = np.concatenate([np.arange(setting.rows), again])
        return enlarged[batch_order(setting.seed, epoch, len(enlarged))][: setting.rows]

    def find(self, logits: Tensor, target: Tensor) -> tuple[int, ...]:
        """The rows whose largest logit is not that of their class."""
        return tuple(int(place) for place in (logits.argmax(dim=1) != target).nonzero()[:, 0])

    def account(self, found: tuple[int, ...], objective: Objective) -> Mapping[str, Any]:
        """How many rows were wrong."""
        return {"error_set": len(found)}


class Retrained(Mitigation):
    """A head fitted on the validation rows, with their groups known."""

    group_labels: Rows = "validation"

    def head(self, training: SelectedFeatures, validation: SelectedFeatures, setting: MitigationContext) -> LinearHead:
        """See the class."""
        return fit_head(validation.features, validation.target, setting.classes)


class RandomTag:
    """The intervention `tag` on images drawn at random, whatever their class."""

    geometric = False

    def __init__(self, probability: float) -> None:
        self.probability = probability

    def draw(self, rng: np.random.Generator, count: int) -> Any:
        """Which images get it, and the seed of the parameters."""
        return {"chosen": rng.random(count) < self.probability, "key": np.full(count, rng.integers(0, 2**62))}

    def apply(self, images: Tensor, draws: Any) -> Tensor:
        """The images, changed where chosen."""
        rows, (channels, height, width) = np.arange(len(images)), images.shape[1:]
        shape, seed = (channels, height, width), int(draws["key"][0])
        tag = draw("tag", build("intervention", "tag", {}), draws["chosen"], rows, seed, shape, draws.get("boxes"))
        return tag.apply(images, rows)


class Tagged(Mitigation):
    """An augmentation before those of the recipe."""

    def __init__(self, *, probability: float = 0.5) -> None:
        self.probability = probability

    def augmentations(self) -> tuple[tuple[str, Augmentation], ...]:
        """See the class."""
        return (("tag", RandomTag(self.probability)),)
