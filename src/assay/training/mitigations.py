"""Mitigations of shortcuts: groups of rows, the hooks of the training loop, and the labels that they are given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor, nn

from assay.core import registry
from assay.core.errors import DataError, SpecError, unknown_name
from assay.core.registry import component
from assay.core.traits import Rows
from assay.core.types import FactorTable
from assay.data.dataset import Batch, FactorLevels, levels_of
from assay.models.initialization import build_finetuning
from assay.models.networks import LinearHead, Outputs
from assay.shifts.environment import Environment
from assay.spec.recipe import WORST_GROUP, RecipeSpec
from assay.training.augmentation import Augmentation
from assay.training.feed import batch_order
from assay.training.objective import LossContext, Objective, Progress

# Groups of rows: the classes of the target crossed with the levels of one factor.


@dataclass(frozen=True)
class Grouping:
    """How rows are put into groups: group = target * number of levels + level.

    Attributes:
        factor: Its name.
        classes: Their names.
        by: Its levels.
    """

    factor: str
    classes: tuple[str, ...]
    by: FactorLevels

    @property
    def levels(self) -> tuple[str, ...]:
        """Names of the levels."""
        return self.by.names

    @property
    def names(self) -> tuple[str, ...]:
        """Of the groups, such as `malignant, with`."""
        return tuple(f"{target}, {level}" for target in self.classes for level in self.levels)

    def of(self, table: FactorTable, which: str) -> Int[np.ndarray, "n"]:
        """Return the group of every row, int64. `which` names the rows in messages.

        Raises:
            DataError: For rows without a value, or with a level that the rows behind the grouping do not have.
        """
        level = self.by.of(table.columns[self.factor])
        outside = int((level < 0).sum())
        if outside:
            raise DataError(
                f"groups by '{self.factor}' need a value in every row, and {outside} of {len(table)} {which} rows have "
                f"none of {', '.join(self.levels)}: leave them out with `where`"
            )
        return table.target * len(self.levels) + level

    def counts(self, groups: Int[np.ndarray, "n"]) -> dict[str, int]:
        """Group -> number of rows, in the order of `names`."""
        rows_by_group = np.bincount(groups, minlength=len(self.names))
        return {name: int(count) for name, count in zip(self.names, rows_by_group, strict=True)}

    def check_all_there(self, groups: Int[np.ndarray, "n"], who: str, what: str) -> None:
        """Raises DataError with the counts when a group has no row."""
        counts = self.counts(groups)
        if min(counts.values()) < 1:
            counts_text = "; ".join(f"{name}: {count}" for name, count in counts.items())
            raise DataError(
                f"{who} needs at least 1 {what} row in every group of the target with '{self.factor}', and the rows "
                f"are {counts_text}: tie it by `association` below strength 1 (a dose on one class leaves a group "
                "empty), use "
                "more rows, or choose a recipe without groups"
            )


def grouping(factor: str, table: FactorTable) -> Grouping:
    """Groups by a factor as these rows have it.

    By its levels as `levels_of` gives them, of which those that do not occur make no group.

    Raises:
        SpecError: For an unknown factor, DataError for one that has a single value.
    """
    names = [column.name for column in table.factors]
    if factor not in names:
        raise SpecError(unknown_name("factor for groups", factor, names))
    described, column = table.factor(factor), table.columns[factor]
    by = levels_of(described, column)
    level = by.of(column)
    levels_present = np.unique(level[level >= 0])
    if len(levels_present) < 2:
        only = described.text(float(column[level >= 0][0])) if len(levels_present) else "none"
        raise DataError(
            f"groups by '{factor}' need at least 2 of its values, and all {len(table)} rows have {only}: name a factor "
            f"that varies, such as an intervention tied by `association` ({{{factor}: 0}} puts it on half of the rows)"
        )
    return Grouping(factor, table.classes, by.only(levels_present.tolist()) if by.values else by)


# Measures against shortcuts, as hooks of the one training loop; the defaults are plain training.


@dataclass(frozen=True)
class MitigationContext:
    """Information on a training that is available to a mitigation before it begins.

    rows: training rows. drawn: how many of them an epoch sees (whole batches).
    grouping, groups: how the rows whose labels the mitigation asked for are put into groups, and the group of each
        (int64); None where it asked for none.

    Examples:
        >>> setting = MitigationContext(seed=0, rows=100, drawn=96, classes=2)  # batches of 32: four rows are left
        >>> setting.groups is None
        True
    """

    seed: int
    rows: int
    drawn: int
    classes: int
    grouping: Grouping | None = None
    groups: Int[np.ndarray, "n"] | None = None

    def required_grouping(self) -> tuple[Grouping, Int[np.ndarray, "n"]]:
        """Grouping and groups of a mitigation that asked for them."""
        if self.grouping is None or self.groups is None:
            raise ValueError("a mitigation reads group labels that it did not request")
        return self.grouping, self.groups


@dataclass(frozen=True)
class SelectedFeatures:
    """Features of rows under the weights that were selected, without augmentation, and their targets, on the CPU.

    Examples:
        >>> import torch
        >>> selected = SelectedFeatures(features=torch.zeros(4, 8), target=torch.tensor([0, 1, 0, 1]))
        >>> selected.features.shape
        torch.Size([4, 8])
    """

    features: Float[Tensor, "n d"]
    target: Int[Tensor, "n"]


@component("mitigation", "none", summary="plain training, on rows as they are")
class Mitigation:
    """Plain training; the others override some of the hooks. Keyword-only parameters are its arguments.

    An objective that is asked in evaluation mode answers as the recipe's own loss does, so that validation losses of
    all mitigations are of one kind.
    group_labels: the rows whose group labels decide weights of the network: `none`, `training` or `validation`. No
        others are handed over.
    needs_every_group: whether a group without rows is refused, with the counts, before anything is trained.

    Examples:
        >>> plain = Mitigation()
        >>> setting = MitigationContext(seed=0, rows=4, drawn=4, classes=2)
        >>> plain.phases(20), sorted(plain.order(setting, (), epoch=0).tolist()), plain.group_labels
        ((20,), [0, 1, 2, 3], 'none')
    """

    group_labels: Rows = "none"
    needs_every_group: bool = True

    def phases(self, epochs: int) -> tuple[int, ...]:
        """Epochs of each training, one after another, each from the same initial weights; the last is the recipe's."""
        return (epochs,)

    def objective(self, inner: Objective, context: LossContext, setting: MitigationContext) -> Objective:
        """Objective of the training, made from the recipe's loss. Built under seeded library draws."""
        return inner

    def augmentations(self) -> tuple[tuple[str, Augmentation], ...]:
        """Transformation of training images before the recipe's own augmentations, each with its name."""
        return ()

    def order(self, setting: MitigationContext, found: tuple[int, ...], epoch: int) -> Int[np.ndarray, "m"]:
        """Return the positions of training rows in the order that an epoch sees them, at least `drawn` of them.

        Args:
            found: Results of the previous phase; empty in the first.
        """
        return batch_order(setting.seed, epoch, setting.rows)

    def find(self, logits: Float[Tensor, "n k"], target: Int[Tensor, "n"]) -> tuple[int, ...]:
        """Results that a finished phase hands to the next: positions of training rows. On the CPU."""
        return ()

    def head(
        self, training: SelectedFeatures, validation: SelectedFeatures, setting: MitigationContext
    ) -> LinearHead | None:
        """Return the head that takes the place of the trained one; None keeps it."""
        return None

    def account(self, found: tuple[int, ...], objective: Objective) -> Mapping[str, Any]:
        """Plain numbers for the record of a finished training."""
        return {}


class MitigatedObjective(Objective):
    """The recipe's own loss in another's hands: subclasses define `mitigated`, which trains; evaluation is the loss's.

    It keeps the requirements and behavior of the inner loss.

    Examples:
        Twice the loss in training, the loss itself in validation:

        >>> import torch
        >>> class Constant(Objective):
        ...     def loss(self, outputs, batch, progress):
        ...         return torch.tensor(0.5)
        >>> class Doubled(MitigatedObjective):
        ...     def mitigated(self, outputs, batch, progress):
        ...         return 2 * self.inner.loss(outputs, batch, progress)
        >>> objective = Doubled(Constant())
        >>> objective.train().loss(None, None, None).item(), objective.eval().loss(None, None, None).item()
        (1.0, 0.5)
    """

    def __init__(self, inner: Objective) -> None:
        super().__init__()
        self.inner = inner
        self.views, self.trains_head, self.needs_masks = inner.views, inner.trains_head, inner.needs_masks
        self.unlabeled = inner.unlabeled

    def start(self, network: nn.Module) -> None:
        """The inner loss's."""
        self.inner.start(network)

    def after_step(self, network: nn.Module, progress: Progress) -> None:
        """The inner loss's."""
        self.inner.after_step(network, progress)

    def loss(self, outputs: Outputs, batch: Batch, progress: Progress) -> Float[Tensor, ""]:
        """`mitigated` in training mode, the inner loss in evaluation mode."""
        if self.training:
            return self.mitigated(outputs, batch, progress)
        return self.inner.loss(outputs, batch, progress)

    def mitigated(self, outputs: Outputs, batch: Batch, progress: Progress) -> Float[Tensor, ""]:
        """Return the scalar to minimize."""
        raise NotImplementedError(f"{type(self).__name__} must define mitigated")

    def image_losses(self, outputs: Outputs, batch: Batch, progress: Progress) -> Float[Tensor, "b"]:
        """Return the inner loss of each image.

        Raises:
            SpecError: If it has none.
        """
        each = self.inner.each(outputs, batch, progress)
        if each is None:
            raise SpecError(
                f"{type(self).__name__} weighs images, and {type(self.inner).__name__} has no term for a single image: "
                "define `each`, or use a mitigation that weighs none"
            )
        return each


def build_mitigation(recipe: RecipeSpec) -> Mitigation:
    """Return the mitigation that a recipe names."""
    return cast(Mitigation, registry.build("mitigation", recipe.mitigation.name, recipe.mitigation.params))


def phases_of(recipe: RecipeSpec) -> tuple[int, ...]:
    """Return the epochs of each of a recipe's trainings, of which its own is the last: 0 where no step is taken.

    Examples:
        >>> import assay
        >>> recipe = assay.load("nodule-loss", scale="quick").spec.points[0].recipe
        >>> phases_of(recipe) == (recipe.epochs,)
        True
    """
    return build_mitigation(recipe).phases(recipe.epochs) if build_finetuning(recipe).steps else (0,)


def groups_in(batch: Batch) -> Int[Tensor, "b"]:
    """Return the groups of a batch's images, which the loop carries for a mitigation that asked for them.

    Examples:
        >>> import torch
        >>> from assay.plugin import Batch
        >>> batch = Batch(torch.zeros(2, 1, 4, 4), torch.tensor([0, 1]), torch.arange(2), group=torch.tensor([0, 3]))
        >>> groups_in(batch).tolist()
        [0, 3]
    """
    if batch.group is None:
        raise ValueError("a mitigation reads group labels that it did not request")
    return batch.group


# Which group labels a training is given, and no more of them.


@dataclass(frozen=True)
class Labels:
    """Groups of the rows that a recipe may know them of, int64, in the order of the tables; None for all others.

    Attributes:
        request: Whose labels the mitigation asked for.
        trained: The groups of those rows.
        selected: The groups of the validation rows, where the epoch is chosen by the worst of them.
    """

    grouping: Grouping | None = None
    request: Rows = "none"
    trained: Int[np.ndarray, "n"] | None = None
    selected: Int[np.ndarray, "m"] | None = None

    @property
    def batch_groups(self) -> Int[np.ndarray, "n"] | None:
        """The groups that training batches carry."""
        return self.trained if self.request == "training" else None

    def account(self) -> dict[str, Any]:
        """Entries of the record of a training: the factor, the uses of labels, and rows per group."""
        used = {"training": self.request, "selection": "none" if self.selected is None else "validation"}
        if self.grouping is None:
            return {"group_labels": used}
        counted = (("trained", self.trained), ("selected", self.selected))
        rows = {name: self.grouping.counts(groups) for name, groups in counted if groups is not None}
        return {"group_labels": used, "groups": self.grouping.factor, "rows": rows}


def labels_for(recipe: RecipeSpec, mitigation: Mitigation, training: Environment, validation: Environment) -> Labels:
    """Return the labels that a recipe uses. Levels and halves are those of the rows whose labels train, if any do.

    Raises:
        SpecError: For a factor that the rows lack; DataError for rows without a value, for a group without rows where
            the mitigation needs every one, and for a group without validation rows where the epoch is chosen by it.
    """
    selects = recipe.selection == WORST_GROUP
    request = mitigation.group_labels
    if request == "none" and not selects:
        return Labels()
    tables = {"training": training.table, "validation": validation.table}
    groups = grouping(recipe.groups, tables["validation" if request == "none" else request])
    trained = None if request == "none" else groups.of(tables[request], request)
    if trained is not None and mitigation.needs_every_group:
        groups.check_all_there(trained, f"mitigation '{recipe.mitigation.name}'", request)
    selected = groups.of(validation.table, "validation") if selects else None
    if selected is not None:
        groups.check_all_there(selected, f"selection '{WORST_GROUP}'", "validation")
    return Labels(groups, request, trained, selected)
