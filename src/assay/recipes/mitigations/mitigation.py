"""What a recipe does against a shortcut, as hooks of the one training loop; the defaults are plain training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor, nn

from assay.core import registry
from assay.core.errors import SpecError
from assay.core.spec import RecipeSpec
from assay.core.traits import Rows
from assay.data.dataset import Batch
from assay.recipes.augmentation import Augmentation
from assay.recipes.feed import batch_order
from assay.recipes.finetuning import build_finetuning
from assay.recipes.head import LinearHead
from assay.recipes.mitigations.groups import Grouping
from assay.recipes.network import Network, Outputs
from assay.recipes.objective import LossContext, Objective, Progress


@dataclass(frozen=True)
class Setting:
    """What a mitigation may know of a training before it begins.

    rows: training rows. drawn: how many of them an epoch sees (whole batches).
    grouping, groups: how the rows whose labels the mitigation asked for are put into groups, and the group of each
        (int64); None where it asked for none.
    """

    seed: int
    rows: int
    drawn: int
    classes: int
    grouping: Grouping | None = None
    groups: Int[np.ndarray, "n"] | None = None

    def grouped(self) -> tuple[Grouping, Int[np.ndarray, "n"]]:
        """Grouping and groups of a mitigation that asked for them."""
        if self.grouping is None or self.groups is None:
            raise ValueError("a mitigation asked for no group labels and looks at them")
        return self.grouping, self.groups


@dataclass(frozen=True)
class Frozen:
    """Features of rows under the weights that were selected, without augmentation, and their targets, on the CPU."""

    features: Float[Tensor, "n d"]
    target: Int[Tensor, "n"]


class Mitigation:
    """Plain training; the others override some of the hooks. Keyword-only parameters are its arguments.

    An objective that is asked in evaluation mode answers as the recipe's own loss does, so that validation losses of
    all mitigations are of one kind.
    group_labels: the rows whose group labels decide weights of the network: `none`, `training` or `validation`. No
        others are handed over.
    needs_every_group: whether a group without rows is refused, with the counts, before anything is trained.
    """

    group_labels: Rows = "none"
    needs_every_group: bool = True

    def phases(self, epochs: int) -> tuple[int, ...]:
        """Epochs of each training, one after another, each from the same initial weights; the last is the recipe's."""
        return (epochs,)

    def objective(self, inner: Objective, context: LossContext, setting: Setting) -> Objective:
        """What training minimises, made of the recipe's own loss. Built under seeded library draws."""
        return inner

    def augmentations(self) -> tuple[tuple[str, Augmentation], ...]:
        """What is done to training images before the recipe's own augmentations, each with its name."""
        return ()

    def order(self, setting: Setting, found: tuple[int, ...], epoch: int) -> Int[np.ndarray, "m"]:
        """The positions of training rows in the order that an epoch sees them, at least `drawn` of them.

        found: what the phase before this one found; empty in the first.
        """
        return batch_order(setting.seed, epoch, setting.rows)

    def find(self, logits: Float[Tensor, "n k"], target: Int[Tensor, "n"]) -> tuple[int, ...]:
        """What a finished phase hands to the next: positions of training rows. On the CPU."""
        return ()

    def head(self, training: Frozen, validation: Frozen, setting: Setting) -> LinearHead | None:
        """The head that takes the place of the trained one; None keeps it."""
        return None

    def account(self, found: tuple[int, ...], objective: Objective) -> Mapping[str, Any]:
        """Plain numbers for the record of a finished training."""
        return {}


class MitigatedObjective(Objective):
    """The recipe's own loss in another's hands: subclasses define `mitigated`, which trains; evaluation is the loss's.

    What the inner loss needs and does it does still.
    """

    def __init__(self, inner: Objective) -> None:
        super().__init__()
        self.inner = inner
        self.views, self.fits_head, self.needs_masks = inner.views, inner.fits_head, inner.needs_masks
        self.unlabelled = inner.unlabelled

    def start(self, network: nn.Module) -> None:
        """The inner loss's."""
        self.inner.start(network)

    def read(self, network: Network, batch: Batch) -> Outputs:
        """The inner loss's."""
        return self.inner.read(network, batch)

    def after_step(self, network: nn.Module, progress: Progress) -> None:
        """The inner loss's."""
        self.inner.after_step(network, progress)

    def loss(self, outputs: Outputs, batch: Batch, progress: Progress) -> Float[Tensor, ""]:
        """`mitigated` in training mode, the inner loss in evaluation mode."""
        if self.training:
            return self.mitigated(outputs, batch, progress)
        return self.inner.loss(outputs, batch, progress)

    def mitigated(self, outputs: Outputs, batch: Batch, progress: Progress) -> Float[Tensor, ""]:
        """The scalar to minimise."""
        raise NotImplementedError(f"{type(self).__name__} must define mitigated")

    def image_losses(self, outputs: Outputs, batch: Batch, progress: Progress) -> Float[Tensor, "b"]:
        """The inner loss of each image. Raises SpecError where it has none."""
        each = self.inner.each(outputs, batch, progress)
        if each is None:
            raise SpecError(
                f"{type(self).__name__} weighs images, and {type(self.inner).__name__} has no term for a single image: "
                "define `each`, or use the mitigation 'group-balanced-sampling'"
            )
        return each


def build_mitigation(recipe: RecipeSpec) -> Mitigation:
    """The mitigation that a recipe names."""
    return cast(Mitigation, registry.build("mitigation", recipe.mitigation.name, recipe.mitigation.params))


def phases_of(recipe: RecipeSpec) -> tuple[int, ...]:
    """The epochs of each of a recipe's trainings, of which its own is the last: 0 where no step is taken."""
    return build_mitigation(recipe).phases(recipe.epochs) if build_finetuning(recipe).steps else (0,)


def groups_in(batch: Batch) -> Int[Tensor, "b"]:
    """The groups of a batch's images, which the loop carries for a mitigation that asked for them."""
    if batch.group is None:
        raise ValueError("a mitigation asked for no group labels and looks at them")
    return batch.group
