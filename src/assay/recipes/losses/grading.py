"""Losses for grades: classes in an order, of which one is missed by more than another.

Each takes the logits as log-probabilities of the grades, whatever head made them; the head that its paper has is put in
the place of the network's own (`assay.recipes.grading`).
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from assay.data.dataset import Batch
from assay.recipes.grading import FIRST_CUT
from assay.recipes.losses.classification import ImageObjective, class_logits
from assay.recipes.losses.precision import without_autocast
from assay.recipes.network import Outputs
from assay.recipes.objective import LossContext, Objective, Progress


def cumulative(logits: Float[Tensor, "b k"]) -> tuple[Float[Tensor, "b j"], Float[Tensor, "b j"]]:
    """log P(y > j) and log P(y <= j) for every grade but the last, from logits of the k = j + 1 grades."""
    log_p = torch.log_softmax(logits, dim=1)
    above = torch.logcumsumexp(log_p.flip(1), dim=1).flip(1)[:, 1:]
    return above, torch.logcumsumexp(log_p, dim=1)[:, :-1]


def coral(logits: Float[Tensor, "b k"], target: Int[Tensor, "b"]) -> Float[Tensor, "b"]:
    """Of each image the sum over j of the log-loss of whether its grade lies above j, in nats; at least 0.

    Cao, Mirjalili and Raschka, *Rank consistent ordinal regression for neural networks with application to age
    estimation*, Pattern Recognition Letters 2020, equation 4 with all importances 1.
    """
    above, below = cumulative(logits)
    higher = target[:, None] > torch.arange(logits.shape[1] - 1, device=logits.device)
    return -torch.where(higher, above, below).sum(dim=1)


def corn(logits: Float[Tensor, "b k"], target: Int[Tensor, "b"]) -> Float[Tensor, ""]:
    """The sum over images of the log-losses of whether a grade is gone beyond, each asked of the images that reach it,
    over how many such questions the batch asks; in nats, at least 0.

    The sum over the questions of an image is -log P(its grade). Shi, Cao and Raschka, *Deep neural networks for
    rank-consistent ordinal regression based on conditional probabilities*, Pattern Analysis and Applications 2023.
    """
    asked = (target + 1).clamp_max(logits.shape[1] - 1)
    return functional.cross_entropy(logits, target, reduction="sum") / asked.sum()


def expected_score(logits: Float[Tensor, "b k"]) -> Float[Tensor, "b"]:
    """The score that a regression head made these logits of, before its cuts are learned: the log-odds of lying above
    grade 0, which its slope of 1 has, and the first cut.
    """
    above, below = cumulative(logits)
    return above[:, 0] - below[:, 0] + FIRST_CUT


class Coral(ImageObjective):
    """`coral` of the logits. Defined on every batch; with two classes it is cross-entropy."""

    def __init__(self, context: LossContext) -> None:
        super().__init__()

    def each(self, outputs: Outputs, batch: Batch, progress: Progress) -> Float[Tensor, "b"]:
        """See `coral`."""
        with without_autocast(outputs.logits.device):
            return coral(class_logits(outputs), batch.target)


class Corn(Objective):
    """`corn` of the logits. Defined on every batch; with two classes it is cross-entropy."""

    def __init__(self, context: LossContext) -> None:
        super().__init__()

    def loss(self, outputs: Outputs, batch: Batch, progress: Progress) -> Float[Tensor, ""]:
        """See `corn`."""
        with without_autocast(outputs.logits.device):
            return corn(class_logits(outputs), batch.target)


class GradeRegression(ImageObjective):
    """Squared distance of a score to the number of the grade, from 0. Defined on every batch. The cuts that turn the
    score into grades are learned afterwards, on validation rows.
    """

    def __init__(self, context: LossContext) -> None:
        super().__init__()

    def each(self, outputs: Outputs, batch: Batch, progress: Progress) -> Float[Tensor, "b"]:
        """(score - grade)^2."""
        with without_autocast(outputs.logits.device):
            return (expected_score(class_logits(outputs)) - batch.target).square()
