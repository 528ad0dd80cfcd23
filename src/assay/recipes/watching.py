"""Watching a training that looks at no label: what its features are like from epoch to epoch, and when to stop."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from assay.recipes.collapse import FEWEST, ONE_POINT, RANK_ONE, effective_rank, spread_of

NEIGHBOURS, TEMPERATURE = 20, 0.07
"""How many neighbours vote, and what divides their cosines: those of Wu, Xiong, Yu and Lin (CVPR 2018)."""
MOST = 2000
"""Training images that are looked at as neighbours, the first of them."""
PATIENCE = 2
"""Epochs in a row that end in a collapse before a training is stopped: one may pass."""

Figures = Mapping[str, float]


class Collapsed(Exception):
    """The features of a training without labels collapsed. curve: a row per epoch until then."""

    def __init__(self, reason: str, curve: Sequence[Mapping[str, float | int]]) -> None:
        super().__init__(reason, curve)
        self.reason, self.curve = reason, tuple(curve)

    def __str__(self) -> str:
        return self.reason


def figures(
    features: Float[Tensor, "n d"],
    targets: Int[Tensor, "n"],
    neighbours: Float[Tensor, "m d"],
    their_targets: Int[Tensor, "m"],
) -> Figures:
    """What an epoch's row of the curve tells of the validation images' features: `rank` (effective rank, 1 to d; 0
    where nothing varies), `spread` (distance from the mean over the mean's length) and `knn_accuracy`.

    neighbours: features of training images. Labels are looked at here, and nothing is decided by them. NaN where a
    feature is not finite (later weights may be better, and the last are judged in the end), and `rank` of under 4
    images.
    """
    if not bool(features.isfinite().all() and neighbours.isfinite().all()):
        return dict.fromkeys(("rank", "spread", "knn_accuracy"), math.nan)
    return {
        "rank": effective_rank(features) if len(features) >= FEWEST else math.nan,
        "spread": spread_of(features),
        "knn_accuracy": knn_accuracy(features, targets, neighbours, their_targets),
    }


def knn_accuracy(
    features: Float[Tensor, "n d"],
    targets: Int[Tensor, "n"],
    neighbours: Float[Tensor, "m d"],
    their_targets: Int[Tensor, "m"],
    count: int = NEIGHBOURS,
) -> float:
    """Share of images whose class is that of their nearest neighbours by cosine, each voting with exp(cosine / .07).

    Of equal votes the first class wins; with fewer neighbours than `count` all vote.
    """
    own, other = (functional.normalize(one.double(), dim=1) for one in (features, neighbours))
    nearest = (own @ other.T).topk(min(count, len(other)), dim=1)
    classes = int(max(targets.max(), their_targets.max())) + 1
    votes = (
        functional.one_hot(their_targets[nearest.indices], classes) * (nearest.values / TEMPERATURE).exp()[..., None]
    )
    return float((votes.sum(1).argmax(1) == targets).double().mean())


def collapse_of(curve: Sequence[Figures]) -> str:
    """Why a training is to be stopped, from the rows of its curve; empty where it is not, or not yet."""
    last = curve[-PATIENCE:]
    if len(last) < PATIENCE or not all(map(_dead, last)):
        return ""
    row = last[-1]
    return (
        f"the features collapsed: after epoch {row['epoch']} their effective rank is {row['rank']:.3f} and they vary "
        f"by {row['spread']:.1e} of their length; stopped. Try a lower learning rate, or another loss"
    )


def _dead(row: Figures) -> bool:
    return row["rank"] < RANK_ONE or row["spread"] <= ONE_POINT
