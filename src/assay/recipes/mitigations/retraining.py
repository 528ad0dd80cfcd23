"""The head fitted anew on rows balanced by group, the encoder as plain training left it."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from jaxtyping import Int

from assay.core.seeds import generator
from assay.core.traits import Rows
from assay.recipes.head import LinearHead, fit_head
from assay.recipes.mitigations.mitigation import Frozen, Mitigation, Setting
from assay.recipes.untyped import tensor_of


def balanced_subset(groups: Int[np.ndarray, "n"], seed: int, number: int) -> Int[np.ndarray, "m"]:
    """Positions of as many rows of every group as the smallest has, drawn without replacement, in rising order."""
    draw = generator(seed, "balanced-subset", number)
    sizes = np.bincount(groups)
    chosen = [draw.permutation(np.flatnonzero(groups == kind))[: sizes.min()] for kind in range(len(sizes))]
    return np.sort(np.concatenate(chosen))


class LastLayerRetraining(Mitigation):
    """Kirichenko, Izmailov and Wilson, *Last Layer Re-Training is Sufficient for Robustness*, ICLR 2023.

    The mean of the heads fitted on `subsets` balanced subsets of the validation rows (the paper's DFR-Val) or of the
    training rows (DFR-Tr). Each is a logistic regression on features standardised within its subset, with an L2
    penalty of one strength for all, where the paper tunes an L1 penalty on half of the rows. Under `rows: validation`
    the threshold rests on rows that the head was fitted on. A group without such rows is refused.
    """

    def __init__(self, *, rows: Literal["validation", "training"], subsets: int, l2: float) -> None:
        self.group_labels: Rows = rows
        self.subsets, self.l2 = subsets, l2

    def head(self, training: Frozen, validation: Frozen, setting: Setting) -> LinearHead:
        """The averaged head."""
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
