"""Collapse, found by what a model does: it is then called so, counted, and kept out of means."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from assay.recipes.untyped import singular_values

CONSTANT_LOGIT = 1e-4  # range of a logit over the images, in logits
ONE_POINT = 1e-3  # spread of the embedding about its mean, as a share of the mean's length
RANK_ONE = 1.01  # effective rank
EQUAL_DISTANCES = 5e-3  # coefficient of variation of the pairwise distances
NO_BETTER = 0.01  # distance of a loss from a constant's, as a share of that: each batch's, and the yardstick's
SAME = 1e-5  # distance of a loss from a constant's, as a share of that, which rounding explains
SHRUNK = 0.1  # spread of the embedding, as a share of what it was before training
FEWEST = 4  # images: two alone are always on one line, and at one distance
_PAIRED = 512  # images whose pairwise distances are looked at


@dataclass(frozen=True, slots=True)
class LossBeside:
    """A training batch's loss, and what the same loss gives when every image has the batch's mean embedding."""

    actual: float
    constant: float


def collapse_reason(
    features: Float[Tensor, "n d"],
    logits: Float[Tensor, "n k"],
    losses: Sequence[LossBeside] = (),
    slow: Callable[[], bool] = lambda: False,
) -> str | None:
    """Why a model counts as collapsed, or None.

    features, logits: of the validation images. losses: over some training batches. The signs, in this order: the same
    output for every image; one embedding for every image; of at least 4 images, an embedding of effective rank one (Roy
    and Vetterli 2007), or all pairwise distances equal; a loss that no training batch brings below that of a constant
    embedding, unless the training is only slow, which is asked last (see `only_slow`).
    """
    spread = float((logits.amax(0) - logits.amin(0)).max())
    if spread < CONSTANT_LOGIT:
        return f"constant output: the logits of the validation images differ by at most {spread:.1e}"
    embedding = features.double()
    varies = spread_of(embedding)
    if varies <= ONE_POINT:
        return f"one embedding for all: it varies by {varies:.1e} of its length"
    enough = len(embedding) >= FEWEST
    rank = effective_rank(embedding)
    if enough and embedding.shape[1] > 1 and rank < RANK_ONE:
        return f"embedding of rank one: its effective rank is {rank:.3f}"
    variation = distance_variation(embedding)
    if enough and variation < EQUAL_DISTANCES:
        return f"all distances equal: between validation images they vary by {variation:.1e} of their mean"
    stuck = _stuck(losses)
    return None if stuck is not None and slow() else stuck


def only_slow(features: Float[Tensor, "n d"], before: Float[Tensor, "n d"], *, tells: bool) -> bool:
    """Whether a training whose loss stands at a constant's is on its way, and has not collapsed.

    tells: whether it tells apart what it is to tell apart: with labels `tells_classes`, without them `tells_images`.
    The embedding must not have shrunk either: standardised by a head, what is left of a collapsed one may tell the
    classes as well. before: the features of the same images before training.
    """
    return tells and spread_of(features) > SHRUNK * spread_of(before)


def tells_classes(yardstick: float, targets: Int[Tensor, "n"]) -> bool:
    """Whether a head refitted on the features tells validation images' classes better than their shares do.

    yardstick: its log-loss on them, in nats.
    """
    share = torch.bincount(targets).double() / len(targets)
    of_shares = -float(torch.xlogy(share, share).sum())
    return yardstick < (1 - NO_BETTER) * of_shares


def tells_images(losses: Sequence[LossBeside]) -> bool:
    """Whether a loss tells images of a batch from their mean at all, however little."""
    return any(abs(pair.actual - pair.constant) > SAME * pair.constant for pair in losses)


def spread_of(features: Float[Tensor, "n d"]) -> float:
    """Root mean squared distance of the images from their mean, as a share of the mean's length; infinite where only
    the mean has none, 0 where all images are at one point.
    """
    embedding = features.double()
    mean = embedding.mean(0)
    scatter, length = float((embedding - mean).square().sum(1).mean().sqrt()), float(mean.square().sum().sqrt())
    return scatter / length if length > 0 else math.inf if scatter > 0 else 0.0


def effective_rank(features: Float[Tensor, "n d"]) -> float:
    """exp of the entropy of the singular values' shares, of the centred features (Roy and Vetterli 2007).

    From 1 to min(n - 1, d); 0 when nothing varies.
    """
    singular = singular_values(features.double() - features.double().mean(0))
    total = float(singular.sum())
    if total == 0:
        return 0.0
    share = singular / total
    return math.exp(float(-torch.xlogy(share, share).sum()))


def distance_variation(features: Float[Tensor, "n d"]) -> float:
    """Standard deviation over mean of the Euclidean distances between the images; 0 when all are at one point."""
    distances = torch.pdist(features[:_PAIRED].double())
    mean = float(distances.mean()) if len(distances) else 0.0
    return float(distances.std(correction=0)) / mean if mean > 0 else 0.0


def _stuck(losses: Sequence[LossBeside]) -> str | None:
    """Losses that mine their triplets can be 0 for a constant and 0 for a good embedding: those tell nothing."""
    telling = [pair for pair in losses if pair.constant > 0]
    if not telling or any(abs(pair.actual - pair.constant) > NO_BETTER * pair.constant for pair in telling):
        return None
    mean = sum(pair.actual for pair in telling) / len(telling)
    return f"no better than a constant in training: the loss stands at {mean:.4f}, as for one embedding for all"
