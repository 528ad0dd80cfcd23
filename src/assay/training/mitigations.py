"""Mitigations of shortcuts: weighting, sampling, augmentation, retraining and adversaries."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from assay.core import registry
from assay.core.errors import DataError, SpecError, unknown_name
from assay.core.registry import Role, build, component
from assay.core.seeds import generator
from assay.core.traits import MitigationTraits, Rows
from assay.core.types import FactorTable
from assay.data.dataset import Batch, FactorLevels, levels_of
from assay.models.initialization import build_finetuning
from assay.models.networks import LinearHead, Outputs, fit_head
from assay.models.untyped import tensor_of
from assay.shifts.environment import Environment
from assay.shifts.intervention import Intervention, draw
from assay.spec.recipe import WORST_GROUP, RecipeSpec
from assay.training.augmentation import Augmentation, Draws
from assay.training.feed import batch_order
from assay.training.losses.classification import widen, without_autocast
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
class Setting:
    """Information on a training that is available to a mitigation before it begins.

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

    def required_grouping(self) -> tuple[Grouping, Int[np.ndarray, "n"]]:
        """Grouping and groups of a mitigation that asked for them."""
        if self.grouping is None or self.groups is None:
            raise ValueError("a mitigation asked for no group labels and looks at them")
        return self.grouping, self.groups


@dataclass(frozen=True)
class SelectedFeatures:
    """Features of rows under the weights that were selected, without augmentation, and their targets, on the CPU."""

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
    """

    group_labels: Rows = "none"
    needs_every_group: bool = True

    def phases(self, epochs: int) -> tuple[int, ...]:
        """Epochs of each training, one after another, each from the same initial weights; the last is the recipe's."""
        return (epochs,)

    def objective(self, inner: Objective, context: LossContext, setting: Setting) -> Objective:
        """Objective of the training, made from the recipe's loss. Built under seeded library draws."""
        return inner

    def augmentations(self) -> tuple[tuple[str, Augmentation], ...]:
        """Transformation of training images before the recipe's own augmentations, each with its name."""
        return ()

    def order(self, setting: Setting, found: tuple[int, ...], epoch: int) -> Int[np.ndarray, "m"]:
        """Return the positions of training rows in the order that an epoch sees them, at least `drawn` of them.

        Args:
            found: Results of the previous phase; empty in the first.
        """
        return batch_order(setting.seed, epoch, setting.rows)

    def find(self, logits: Float[Tensor, "n k"], target: Int[Tensor, "n"]) -> tuple[int, ...]:
        """Results that a finished phase hands to the next: positions of training rows. On the CPU."""
        return ()

    def head(self, training: SelectedFeatures, validation: SelectedFeatures, setting: Setting) -> LinearHead | None:
        """Return the head that takes the place of the trained one; None keeps it."""
        return None

    def account(self, found: tuple[int, ...], objective: Objective) -> Mapping[str, Any]:
        """Plain numbers for the record of a finished training."""
        return {}


class MitigatedObjective(Objective):
    """The recipe's own loss in another's hands: subclasses define `mitigated`, which trains; evaluation is the loss's.

    It keeps the requirements and behavior of the inner loss.
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
                "define `each`, or use the mitigation 'group-balanced-sampling'"
            )
        return each


def build_mitigation(recipe: RecipeSpec) -> Mitigation:
    """Return the mitigation that a recipe names."""
    return cast(Mitigation, registry.build("mitigation", recipe.mitigation.name, recipe.mitigation.params))


def phases_of(recipe: RecipeSpec) -> tuple[int, ...]:
    """Return the epochs of each of a recipe's trainings, of which its own is the last: 0 where no step is taken."""
    return build_mitigation(recipe).phases(recipe.epochs) if build_finetuning(recipe).steps else (0,)


def groups_in(batch: Batch) -> Int[Tensor, "b"]:
    """Return the groups of a batch's images, which the loop carries for a mitigation that asked for them."""
    if batch.group is None:
        raise ValueError("a mitigation asked for no group labels and looks at them")
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


# A head refitted on rows balanced by group; the encoder keeps its weights.


def balanced_subset(groups: Int[np.ndarray, "n"], seed: int, number: int) -> Int[np.ndarray, "m"]:
    """Positions of as many rows of every group as the smallest has, drawn without replacement, in rising order."""
    draw = generator(seed, "balanced-subset", number)
    sizes = np.bincount(groups)
    chosen = [draw.permutation(np.flatnonzero(groups == kind))[: sizes.min()] for kind in range(len(sizes))]
    return np.sort(np.concatenate(chosen))


@component(
    "mitigation",
    "last-layer-retraining",
    MitigationTraits(),
    summary="the head refitted on rows balanced by group (Kirichenko et al. 2023)",
    varies={"group_labels": ("rows", {"validation": "validation", "training": "training"})},
)
class LastLayerRetraining(Mitigation):
    """Kirichenko, Izmailov and Wilson, *Last Layer Re-Training is Sufficient for Robustness*, ICLR 2023.

    The mean of the heads fitted on `subsets` balanced subsets of the validation rows (the paper's DFR-Val) or of the
    training rows (DFR-Tr). Each is a logistic regression on features standardized within its subset, with an L2 penalty
    of one strength for all, where the paper tunes an L1 penalty on half of the rows. Under `rows: validation` the
    threshold rests on rows that the head was fitted on. A group without such rows is refused.
    """

    def __init__(
        self,
        *,
        rows: Annotated[
            Literal["validation", "training"], Field(description="whose balanced subsets the head is fitted on")
        ] = "validation",
        subsets: Annotated[
            int, Field(ge=1, le=1000, description="balanced subsets, over which the head is averaged")
        ] = 10,
        l2: Annotated[
            float, Field(gt=0, le=1e6, description="l2 / 2 times the squared norm, added to the summed log-loss")
        ] = 1.0,
    ) -> None:
        self.group_labels: Rows = rows
        self.subsets, self.l2 = subsets, l2

    def head(self, training: SelectedFeatures, validation: SelectedFeatures, setting: Setting) -> LinearHead:
        """Return the averaged head."""
        _, groups = setting.required_grouping()
        rows = training if self.group_labels == "training" else validation
        heads = [
            self._fit(rows, balanced_subset(groups, setting.seed, number), setting) for number in range(self.subsets)
        ]
        return LinearHead(
            weight=torch.stack([head.weight for head in heads]).mean(dim=0),
            bias=torch.stack([head.bias for head in heads]).mean(dim=0),
        )

    def _fit(self, rows: SelectedFeatures, chosen: Int[np.ndarray, "m"], setting: Setting) -> LinearHead:
        at = tensor_of(chosen)
        return fit_head(rows.features[at], rows.target[at], setting.classes, l2=self.l2)


# Mitigations that change which rows an epoch sees: evenly by group, or errors more often.


def balanced_order(groups: Int[np.ndarray, "n"], count: int, seed: int, epoch: int) -> Int[np.ndarray, "count"]:
    """Positions of rows such that every group has count / G of them, or 1 more where that does not divide.

    A small group's rows are repeated, each as often or 1 more; of a large one a fresh part is seen in each epoch.
    Drawn from (seed, epoch) alone. Every group must have a row.
    """
    draw = generator(seed, "group-balanced-order", epoch)
    kinds = int(groups.max()) + 1
    wanted = np.full(kinds, count // kinds)
    wanted[draw.permutation(kinds)[: count % kinds]] += 1
    chosen = [_repeat(np.flatnonzero(groups == kind), int(wanted[kind]), draw) for kind in range(kinds)]
    return draw.permutation(np.concatenate(chosen))


def _repeat(rows: Int[np.ndarray, "n"], count: int, draw: np.random.Generator) -> Int[np.ndarray, "count"]:
    times, rest = divmod(count, len(rows))
    return np.concatenate([np.tile(rows, times), draw.permutation(rows)[:rest]])


@component("mitigation", "group-balanced-sampling", summary="each epoch draws equally many rows of every group")
class GroupBalancedSampling(Mitigation):
    """Every epoch is as long as a plain one and holds equally many rows of each group; works with any loss.

    A group without training rows is refused: there is nothing to draw.
    """

    group_labels: Rows = "training"

    def order(self, setting: Setting, found: tuple[int, ...], epoch: int) -> np.ndarray:
        """See `balanced_order`."""
        _, groups = setting.required_grouping()
        return balanced_order(groups, setting.drawn, setting.seed, epoch)


@component(
    "mitigation",
    "just-train-twice",
    MitigationTraits(needs_head=True),
    summary="trained again with the errors of a short first training drawn more often (Liu et al. 2021)",
)
class JustTrainTwice(Mitigation):
    """Liu et al., *Just Train Twice: Improving Group Robustness without Training Group Information*, ICML 2021.

    A plain training of T epochs, with a schedule of its own, finds the rows that it gets wrong. The recipe's training
    then draws from the rows with these repeated `upweight` times. An epoch keeps its length, so that the second
    training has as many steps as a plain one (the authors' passes over the whole enlarged set); with `upweight` 1 it is
    plain training, bit for bit. Uses no group labels.
    """

    def __init__(
        self,
        *,
        epochs: Annotated[
            int, Field(ge=1, le=1000, description="epochs T of the identification model, a training before")
        ] = 2,
        upweight: Annotated[int, Field(ge=1, le=1000, description="copies of each error in the training set")] = 5,
    ) -> None:
        self.epochs, self.upweight = epochs, upweight

    def phases(self, epochs: int) -> tuple[int, ...]:
        """Return the identification model's, then the recipe's."""
        return (self.epochs, epochs)

    def order(self, setting: Setting, found: tuple[int, ...], epoch: int) -> np.ndarray:
        """Return a part of the enlarged set, drawn without replacement; in the first phase nothing is enlarged."""
        again = np.repeat(np.array(found, dtype=np.int64), self.upweight - 1)
        enlarged = np.concatenate([np.arange(setting.rows), again])
        return enlarged[batch_order(setting.seed, epoch, len(enlarged))][: setting.rows]

    def find(self, logits: Float[Tensor, "n k"], target: Int[Tensor, "n"]) -> tuple[int, ...]:
        """Return the rows whose largest logit is not that of their class."""
        wrong = logits.argmax(dim=1) != target
        return tuple(int(place) for place in wrong.nonzero()[:, 0])

    def account(self, found: tuple[int, ...], objective: Objective) -> Mapping[str, Any]:
        """How many rows were wrong."""
        return {"error_set": len(found)}


# Mitigations that weigh images by their group: by inverse size, or by how badly the group does.


def group_weights(sizes: np.ndarray) -> Float[np.ndarray, "g"]:
    """n / (G n_g) for G groups of n_g rows: inverse size, so that every group weighs the same and the mean is 1."""
    return sizes.sum() / (len(sizes) * sizes)


class WeightedByGroup(MitigatedObjective):
    """Mean over the batch of weight[group] * loss of the image."""

    def __init__(self, inner: Objective, weights: Float[np.ndarray, "g"]) -> None:
        super().__init__(inner)
        self.weights: Tensor
        self.register_buffer("weights", torch.tensor(weights, dtype=torch.float32))

    def mitigated(self, outputs: Outputs, batch: Batch, progress: Progress) -> Float[Tensor, ""]:
        """See the class."""
        return (self.weights[groups_in(batch)] * self.image_losses(outputs, batch, progress)).mean()


@component(
    "mitigation",
    "reweighting",
    MitigationTraits(weighs_images=True),
    summary="each image weighted by the inverse size of its group",
)
class Reweighting(Mitigation):
    """The expected loss is the mean over groups of the mean loss in each: importance weights of a balanced world.

    Divided by the batch size and not by the batch's weights, so that the gradient is unbiased. A group without training
    rows is refused: no weight makes up for it.
    """

    group_labels: Rows = "training"

    def objective(self, inner: Objective, context: LossContext, setting: Setting) -> WeightedByGroup:
        """Return the weighted mean."""
        _, groups = setting.required_grouping()
        return WeightedByGroup(inner, group_weights(np.bincount(groups)))


class WorstGroups(MitigatedObjective):
    """sum_g q_g * mean loss of the batch's images in g, with q updated before each use:

    q_g <- q_g * exp(step * (mean loss of g + adjustment / sqrt(n_g))) for the groups in the batch, then divided by the
    sum. A group that a batch lacks keeps its q before the division, as in the paper's algorithm 1, where a step sees
    one group. q starts equal and is kept as logarithms in float64, so that no group is ever lost to rounding.
    """

    def __init__(self, inner: Objective, sizes: np.ndarray, *, step: float, adjustment: float) -> None:
        super().__init__(inner)
        self.step = step
        self.log_q: Tensor
        self.margins: Tensor
        start = torch.full((len(sizes),), -float(np.log(len(sizes))), dtype=torch.float64)
        self.register_buffer("log_q", start)
        self.register_buffer(
            "margins", torch.tensor(adjustment / np.sqrt(sizes), dtype=torch.float64), persistent=False
        )

    @property
    def weights(self) -> Float[Tensor, "g"]:
        """q: positive, with sum 1."""
        return self.log_q.exp()

    def mitigated(self, outputs: Outputs, batch: Batch, progress: Progress) -> Float[Tensor, ""]:
        """See the class."""
        each = self.image_losses(outputs, batch, progress)
        member = torch.nn.functional.one_hot(groups_in(batch), len(self.log_q)).to(each.dtype)
        count = member.sum(dim=0)
        losses = (each @ member) / count.clamp_min(1)
        self._update(losses.detach(), count > 0)
        return (self.weights.to(each.dtype) * losses).sum()

    def _update(self, losses: Float[Tensor, "g"], present: Tensor) -> None:
        rise = self.step * (losses.to(self.log_q.dtype) + self.margins)
        moved = self.log_q + torch.where(present, rise, torch.zeros_like(rise))
        self.log_q.copy_(moved - moved.logsumexp(dim=0))


@component(
    "mitigation",
    "group-dro",
    MitigationTraits(weighs_images=True),
    summary="groups weighted by exponentiated gradient toward the one with the largest loss (Sagawa et al. 2020)",
)
class GroupDro(Mitigation):
    """Sagawa, Koh, Hashimoto and Liang, *Distributionally Robust Neural Networks for Group Shifts*, ICLR 2020.

    The generalization adjustment C / sqrt(n_g) counts when weights are set and gives no gradient. The paper samples
    groups evenly; `sampling: rows` leaves the order of plain training. A group without training rows is refused: its
    worst-case loss is not defined.
    """

    group_labels: Rows = "training"

    def __init__(
        self,
        *,
        step: Annotated[
            float, Field(gt=0, le=10, description="step size of the group weights, per nat of loss")
        ] = 0.01,
        adjustment: Annotated[
            float, Field(ge=0, le=100, description="C of C / sqrt(n), added to a group's loss when weights are set")
        ] = 0.0,
        sampling: Annotated[
            Literal["groups", "rows"],
            Field(description="groups: each is drawn as often, as in the paper; rows: each row once an epoch"),
        ] = "groups",
    ) -> None:
        self.step, self.adjustment, self.sampling = step, adjustment, sampling

    def objective(self, inner: Objective, context: LossContext, setting: Setting) -> WorstGroups:
        """Return the weighted sum of group losses."""
        _, groups = setting.required_grouping()
        return WorstGroups(inner, np.bincount(groups), step=self.step, adjustment=self.adjustment)

    def order(self, setting: Setting, found: tuple[int, ...], epoch: int) -> np.ndarray:
        """Balanced by group, or plain."""
        if self.sampling == "rows":
            return super().order(setting, found, epoch)
        _, groups = setting.required_grouping()
        return balanced_order(groups, setting.drawn, setting.seed, epoch)

    def account(self, found: tuple[int, ...], objective: Objective) -> Mapping[str, Any]:
        """Return the weights after the last step, in the order of the groups."""
        assert isinstance(objective, WorstGroups)
        return {"group_weights": [float(weight) for weight in objective.weights]}


# Features from which a factor cannot be guessed: a guesser is trained, and its gradient reversed for the encoder.


class _Reversal(torch.autograd.Function):
    """The identity, whose gradient is multiplied by -strength."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * gradients[0], None


def reversed_gradient(values: Float[Tensor, "b d"], strength: float) -> Float[Tensor, "b d"]:
    """Return the same values; the gradient that flows back through them is multiplied by -strength."""
    return _Reversal.apply(values, strength)  # pyright: ignore[reportUnknownMemberType, reportReturnType, reportUnknownVariableType]


class Guesser(nn.Module):
    """One hidden layer from features (and the class, where it is given) to the levels of a factor."""

    def __init__(self, width: int, hidden: int, levels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, levels))

    def forward(self, features: Float[Tensor, "b d"]) -> Float[Tensor, "b l"]:
        """Logits of the levels."""
        return self.layers(features)


class Adversarial(MitigatedObjective):
    """The recipe's loss + cross-entropy of a classifier of the factor on features whose gradient is reversed.

    By gradient descent the guesser learns to predict the factor, and the encoder to remove the information about it.

    Args:
        conditioned: The number of classes where the guesser is given the class, else 0.
    """

    def __init__(
        self, inner: Objective, guesser: Guesser, *, levels: int, conditioned: int, strength: float, ramp: float
    ) -> None:
        super().__init__(inner)
        self.guesser = guesser
        self.levels, self.conditioned, self.strength, self.ramp = levels, conditioned, strength, ramp

    def strength_at(self, progress: Progress) -> float:
        """lambda at a step: strength * (2 / (1 + exp(-ramp * share)) - 1), or strength where there is no ramp."""
        if self.ramp == 0:
            return self.strength
        return self.strength * (2 / (1 + math.exp(-self.ramp * progress.share)) - 1)

    def guess_loss(self, features: Float[Tensor, "b d"], batch: Batch, strength: float) -> Float[Tensor, ""]:
        """Mean cross-entropy of the guesses, in float32, its gradient with regard to the features reversed."""
        with without_autocast(features.device):
            reversed_features = reversed_gradient(widen(features), strength)
            if self.conditioned:
                conditioned = nn.functional.one_hot(batch.target, self.conditioned).to(reversed_features.dtype)
                reversed_features = torch.cat([reversed_features, conditioned], dim=1)
            return nn.functional.cross_entropy(self.guesser(reversed_features), groups_in(batch) % self.levels)

    def mitigated(self, outputs: Outputs, batch: Batch, progress: Progress) -> Float[Tensor, ""]:
        """See the class."""
        loss = self.inner.loss(outputs, batch, progress)
        return loss + self.guess_loss(outputs.features, batch, self.strength_at(progress))


@component(
    "mitigation",
    "domain-adversarial",
    summary="features from which the factor cannot be guessed, by a reversed gradient (Ganin et al. 2016)",
)
class DomainAdversarial(Mitigation):
    """Ganin et al., *Domain-Adversarial Training of Neural Networks*, JMLR 2016, with the factor as the domain.

    The paper assumes that domain and class are not tied: where they are, features without the factor are features
    without part of the class. `given_target` tells the guesser the class (as in Li et al., *Deep Domain Generalization
    via Conditional Invariant Adversarial Networks*, ECCV 2018), to remove only variation that the class does not
    explain. Groups may be empty; only the level is predicted.
    """

    group_labels: Rows = "training"
    needs_every_group = False

    def __init__(
        self,
        *,
        strength: Annotated[
            float, Field(gt=0, le=100, description="lambda, the factor of the reversed gradient")
        ] = 1.0,
        ramp: Annotated[
            float,
            Field(
                ge=0,
                le=1000,
                description="lambda rises as 2 / (1 + exp(-ramp * share of the steps)) - 1; 0: whole from the "
                "first step",
            ),
        ] = 10.0,
        hidden: Annotated[
            int, Field(ge=1, le=8192, description="width of the one hidden layer that guesses the factor")
        ] = 64,
        given_target: Annotated[
            bool,
            Field(description="tell the guesser the class, so that only what the class does not explain is removed"),
        ] = False,
    ) -> None:
        self.strength, self.ramp, self.hidden, self.given_target = strength, ramp, hidden, given_target

    def objective(self, inner: Objective, context: LossContext, setting: Setting) -> Adversarial:
        """Return the recipe's loss and the adversary's."""
        grouping, _ = setting.required_grouping()
        conditioned, levels = context.classes if self.given_target else 0, len(grouping.levels)
        guesser = Guesser(context.width + conditioned, self.hidden, levels)
        return Adversarial(
            inner, guesser, levels=levels, conditioned=conditioned, strength=self.strength, ramp=self.ramp
        )


# An intervention put on training images at random, so that it says nothing of their class.


@dataclass(frozen=True)
class RandomIntervention:
    """An intervention as an augmentation: each image gets it with one probability, with parameters redrawn.

    Neither the class nor the content of the image matters. An image that shows it may get a second one.
    """

    name: str
    intervention: Intervention
    probability: float
    geometric: bool = False

    def draw(self, rng: np.random.Generator, count: int) -> Draws:
        """chosen: bool [count]; key: int64 [count], all of one value, the seed of the parameters."""
        chosen = rng.random(count) < self.probability
        return {"chosen": chosen, "key": np.full(count, rng.integers(0, 2**62))}

    def apply(self, images: Float[Tensor, "b c h w"], draws: Draws) -> Float[Tensor, "b c h w"]:
        """Return the images, changed where chosen."""
        rows = np.arange(len(images))
        channels, height, width = images.shape[1:]
        shape, seed = (channels, height, width), int(draws["key"][0])
        intervention = draw(self.name, self.intervention, draws["chosen"], rows, seed, shape, draws.get("boxes"))
        return intervention.apply(images, rows)


@component(
    "mitigation",
    "confounder-augmentation",
    summary="an intervention put on training images at random, whatever their class",
)
class ConfounderAugmentation(Mitigation):
    """Breaks the tie between a marking and the class by putting the marking on images of every class.

    With probability q, images of a class whose share p of the rows bears it bear it with p + (1 - p) q: the difference
    between classes is multiplied by (1 - q). Only pixel interventions can be treated so. Uses no group labels.
    """

    def __init__(
        self,
        *,
        intervention: Annotated[
            Mapping[str, Any],
            Role("component", "intervention"),
            Field(description="a change to pixels with its arguments, such as {tag: {}}"),
        ],
        probability: Annotated[
            float, Field(gt=0, le=1, description="of an image to get it at a step, whatever it shows")
        ] = 0.5,
        version: Annotated[
            str, Role("code", "intervention"), Field(description="of the intervention's code, found when left out")
        ] = "",
    ) -> None:
        ((self.name, arguments),) = intervention.items()
        self.intervention = cast(Intervention, build("intervention", self.name, arguments))
        self.probability = probability

    def augmentations(self) -> tuple[tuple[str, Augmentation], ...]:
        """Return the intervention, before the recipe's own: it is moved and flipped with the image."""
        return ((f"confounder {self.name}", RandomIntervention(self.name, self.intervention, self.probability)),)
