"""Mitigations that weigh images by their group: by inverse size, or by how badly the group does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from assay.core.traits import Rows
from assay.data.dataset import Batch
from assay.recipes.mitigations.mitigation import MitigatedObjective, Mitigation, Setting, groups_in
from assay.recipes.mitigations.sampling import balanced_order
from assay.recipes.network import Outputs
from assay.recipes.objective import LossContext, Objective, Progress


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


class Reweighting(Mitigation):
    """The expected loss is the mean over groups of the mean loss in each: importance weights of a balanced world.

    Divided by the batch size and not by the batch's weights, so that the gradient is unbiased. A group without training
    rows is refused: no weight makes up for it.
    """

    group_labels: Rows = "training"

    def objective(self, inner: Objective, context: LossContext, setting: Setting) -> WeightedByGroup:
        """The weighted mean."""
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


class GroupDro(Mitigation):
    """Sagawa, Koh, Hashimoto and Liang, *Distributionally Robust Neural Networks for Group Shifts*, ICLR 2020.

    The generalisation adjustment C / sqrt(n_g) counts when weights are set and gives no gradient. The paper samples
    groups evenly; `sampling: rows` leaves the order of plain training. A group without training rows is refused: its
    worst-case loss is not defined.
    """

    group_labels: Rows = "training"

    def __init__(self, *, step: float, adjustment: float, sampling: Literal["groups", "rows"]) -> None:
        self.step, self.adjustment, self.sampling = step, adjustment, sampling

    def objective(self, inner: Objective, context: LossContext, setting: Setting) -> WorstGroups:
        """The weighted sum of group losses."""
        _, groups = setting.grouped()
        return WorstGroups(inner, np.bincount(groups), step=self.step, adjustment=self.adjustment)

    def order(self, setting: Setting, found: tuple[int, ...], epoch: int) -> np.ndarray:
        """Balanced by group, or plain."""
        if self.sampling == "rows":
            return super().order(setting, found, epoch)
        _, groups = setting.grouped()
        return balanced_order(groups, setting.drawn, setting.seed, epoch)

    def account(self, found: tuple[int, ...], objective: Objective) -> Mapping[str, Any]:
        """The weights after the last step, in the order of the groups."""
        assert isinstance(objective, WorstGroups)
        return {"group_weights": [float(weight) for weight in objective.weights]}
