"""Mitigations that balance groups or errors: refitted heads, sampling, weights and group DRO."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from assay.core.registry import component
from assay.core.seeds import generator
from assay.core.traits import MitigationTraits, Rows
from assay.data.dataset import Batch
from assay.models.classifier import LinearHead, Outputs, fit_head
from assay.models.untyped import tensor_of
from assay.training.feed import batch_order
from assay.training.mitigations import Frozen, MitigatedObjective, Mitigation, Setting, groups_in
from assay.training.objective import LossContext, Objective, Progress

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
    MitigationTraits(refits_head=True),
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

    def head(self, training: Frozen, validation: Frozen, setting: Setting) -> LinearHead:
        """Return the averaged head."""
        _, groups = setting.grouped()
        rows = training if self.group_labels == "training" else validation
        heads = [
            self._fit(rows, balanced_subset(groups, setting.seed, number), setting) for number in range(self.subsets)
        ]
        return LinearHead(
            weight=torch.stack([head.weight for head in heads]).mean(dim=0),
            bias=torch.stack([head.bias for head in heads]).mean(dim=0),
        )

    def _fit(self, rows: Frozen, chosen: Int[np.ndarray, "m"], setting: Setting) -> LinearHead:
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
    chosen = [_repeated(np.flatnonzero(groups == kind), int(wanted[kind]), draw) for kind in range(kinds)]
    return draw.permutation(np.concatenate(chosen))


def _repeated(rows: Int[np.ndarray, "n"], count: int, draw: np.random.Generator) -> Int[np.ndarray, "count"]:
    whole, rest = divmod(count, len(rows))
    return np.concatenate([np.tile(rows, whole), draw.permutation(rows)[:rest]])


@component("mitigation", "group-balanced-sampling", summary="each epoch draws equally many rows of every group")
class GroupBalancedSampling(Mitigation):
    """Every epoch is as long as a plain one and holds equally many rows of each group; works with any loss.

    A group without training rows is refused: there is nothing to draw.
    """

    group_labels: Rows = "training"

    def order(self, setting: Setting, found: tuple[int, ...], epoch: int) -> np.ndarray:
        """See `balanced_order`."""
        _, groups = setting.grouped()
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
        _, groups = setting.grouped()
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

    def _update(self, losses: Float[Tensor, "g"], there: Tensor) -> None:
        rise = self.step * (losses.to(self.log_q.dtype) + self.margins)
        moved = self.log_q + torch.where(there, rise, torch.zeros_like(rise))
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
        _, groups = setting.grouped()
        return WorstGroups(inner, np.bincount(groups), step=self.step, adjustment=self.adjustment)

    def order(self, setting: Setting, found: tuple[int, ...], epoch: int) -> np.ndarray:
        """Balanced by group, or plain."""
        if self.sampling == "rows":
            return super().order(setting, found, epoch)
        _, groups = setting.grouped()
        return balanced_order(groups, setting.drawn, setting.seed, epoch)

    def account(self, found: tuple[int, ...], objective: Objective) -> Mapping[str, Any]:
        """Return the weights after the last step, in the order of the groups."""
        assert isinstance(objective, WorstGroups)
        return {"group_weights": [float(weight) for weight in objective.weights]}
