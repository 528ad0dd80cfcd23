"""Decisions that rest on validation rows alone: the decision threshold, and an epoch judged by its worst group."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from assay.recipes.untyped import tensor_of


def youden_threshold(logits: Float[Tensor, "n k"], targets: Int[Tensor, "n"]) -> float | None:
    """The threshold on the positive probability that maximises sensitivity + specificity (Youden 1950).

    It lies halfway between two neighbouring scores, so that no validation image sits on it; of several that are equally
    good, the one nearest to 0.5. None for more than two classes, or when a class is absent: it is then not defined.
    """
    positive = targets.cpu().numpy() == 1
    if logits.shape[1] != 2 or positive.all() or not positive.any():
        return None
    scores = torch.softmax(logits.detach().cpu().double(), dim=1)[:, 1].numpy()
    order = np.argsort(scores, kind="stable")
    ranked, hits = scores[order], positive[order]
    # Calling positive what stands at or above place i, for every i from 0 to n.
    sensitivity = 1 - np.concatenate([[0], np.cumsum(hits)]) / hits.sum()
    specificity = np.concatenate([[0], np.cumsum(~hits)]) / (~hits).sum()
    cuts = np.concatenate([[0.0], (ranked[:-1] + ranked[1:]) / 2, [1.0]])
    real = np.concatenate([[True], ranked[:-1] < ranked[1:], [True]])
    gain = np.where(real, sensitivity + specificity, -np.inf)
    best = np.flatnonzero(gain >= gain.max() - 1e-12)
    return float(cuts[best[np.argmin(np.abs(cuts[best] - 0.5))]])


def worst_group(
    logits: Float[Tensor, "n k"], targets: Int[Tensor, "n"], groups: Int[np.ndarray, "n"]
) -> tuple[float, float]:
    """The least accuracy of a group (of the largest logit), and minus the largest mean log-loss of a group in nats.

    Compared in this order: small groups often have equal accuracies, which the log-loss parts. Every group has rows.
    """
    member = functional.one_hot(tensor_of(groups)).double()
    right = (logits.argmax(dim=1) == targets).double()
    losses = functional.cross_entropy(logits.double(), targets, reduction="none")
    per_group = torch.stack([right, losses]) @ member / member.sum(dim=0)
    return float(per_group[0].min()), -float(per_group[1].max())
