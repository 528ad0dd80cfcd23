"""Mitigations that change which rows an epoch sees: evenly by group, or errors more often."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from assay.core.seeds import generator
from assay.core.traits import Rows
from assay.recipes.feed import batch_order
from assay.recipes.mitigations.mitigation import Mitigation, Setting
from assay.recipes.objective import Objective


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


class GroupBalancedSampling(Mitigation):
    """Every epoch is as long as a plain one and holds equally many rows of each group; works with any loss.

    A group without training rows is refused: there is nothing to draw.
    """

    group_labels: Rows = "training"

    def order(self, setting: Setting, found: tuple[int, ...], epoch: int) -> np.ndarray:
        """See `balanced_order`."""
        _, groups = setting.grouped()
        return balanced_order(groups, setting.drawn, setting.seed, epoch)


class JustTrainTwice(Mitigation):
    """Liu et al., *Just Train Twice: Improving Group Robustness without Training Group Information*, ICML 2021.

    A plain training of T epochs, with a schedule of its own, finds the rows that it gets wrong. The recipe's training
    then draws from the rows with these repeated `upweight` times. An epoch keeps its length, so that the second
    training has as many steps as a plain one (the authors' passes over the whole enlarged set); with `upweight` 1 it is
    plain training, bit for bit. Uses no group labels.
    """

    def __init__(self, *, epochs: int, upweight: int) -> None:
        self.epochs, self.upweight = epochs, upweight

    def phases(self, epochs: int) -> tuple[int, ...]:
        """The identification model's, then the recipe's."""
        return (self.epochs, epochs)

    def order(self, setting: Setting, found: tuple[int, ...], epoch: int) -> np.ndarray:
        """A part of the enlarged set, drawn without replacement; in the first phase nothing is enlarged."""
        again = np.repeat(np.array(found, dtype=np.int64), self.upweight - 1)
        enlarged = np.concatenate([np.arange(setting.rows), again])
        return enlarged[batch_order(setting.seed, epoch, len(enlarged))][: setting.rows]

    def find(self, logits: Float[Tensor, "n k"], target: Int[Tensor, "n"]) -> tuple[int, ...]:
        """The rows whose largest logit is not that of their class."""
        wrong = logits.argmax(dim=1) != target
        return tuple(int(place) for place in wrong.nonzero()[:, 0])

    def account(self, found: tuple[int, ...], objective: Objective) -> Mapping[str, Any]:
        """How many rows were wrong."""
        return {"error_set": len(found)}
