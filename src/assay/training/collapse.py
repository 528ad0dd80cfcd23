"""Detect training runs that collapsed, and watch training without labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from assay.core.reasons import NO_REASON, Code, Reason
from assay.models.untyped import singular_values

# Collapse is detected from a model's outputs, counted, and kept out of means.

CONSTANT_LOGIT = 1e-4  # range of a logit over the images, in logits
ONE_POINT = 1e-3  # spread of the embedding about its mean, as a share of the mean's length
RANK_ONE = 1.01  # effective rank
EQUAL_DISTANCES = 5e-3  # coefficient of variation of the pairwise distances
NO_BETTER = 0.01  # distance of a loss from a constant's, as a share of that: each batch's, and the yardstick's
SAME = 1e-5  # distance of a loss from a constant's, as a share of that, which rounding explains
SHRUNK = 0.1  # spread of the embedding, as a share of that before training
FEWEST = 4  # images: two alone are always on one line, and at one distance
_PAIRED = 512  # images whose pairwise distances are looked at


@dataclass(frozen=True, slots=True)
class LossWithReference:
    """A training batch's loss, and the value of the same loss when every image has the batch's mean embedding."""

    actual: float
    constant: float


def collapse_reason(
    features: Float[Tensor, "n d"],
    logits: Float[Tensor, "n k"],
    losses: Sequence[LossWithReference] = (),
    slow: Callable[[], bool] = lambda: False,
) -> Reason:
    """Return why a model counts as collapsed, if it does.

    Args:
        features, logits: Of the validation images.
        losses: Over some training batches. The signs, in this order: the same output for every image; one embedding for
            every image; of at least 4 images, an embedding of effective rank one (Roy and Vetterli 2007), or all
            pairwise distances equal; a loss that no training batch brings below that of a constant embedding, unless
            the training is only slow, which is asked last (see `only_slow`).
    """
    spread = float((logits.amax(0) - logits.amin(0)).max())
    if spread < CONSTANT_LOGIT:
        return Reason.of(Code.COLLAPSED_CONSTANT_OUTPUT, spread=spread)
    embedding = features.double()
    varies = spread_of(embedding)
    if varies <= ONE_POINT:
        return Reason.of(Code.COLLAPSED_ONE_EMBEDDING, share=varies)
    enough = len(embedding) >= FEWEST
    rank = effective_rank(embedding)
    if enough and embedding.shape[1] > 1 and rank < RANK_ONE:
        return Reason.of(Code.COLLAPSED_RANK_ONE, rank=rank)
    variation = distance_variation(embedding)
    if enough and variation < EQUAL_DISTANCES:
        return Reason.of(Code.COLLAPSED_EQUAL_DISTANCES, share=variation)
    stuck = _stuck(losses)
    return NO_REASON if stuck and slow() else stuck


def only_slow(features: Float[Tensor, "n d"], before: Float[Tensor, "n d"], *, separates_targets: bool) -> bool:
    """Return whether a training whose loss equals that of a constant is on its way, and has not collapsed.

    Args:
        separates_targets: Whether it separates its targets: with labels `separates_classes`, without them
            `separates_images`. The embedding must not have shrunk either: standardized by a head, the remains of a
            collapsed one may tell the classes as well.
        before: The features of the same images before training.

    Examples:
        The features have not shrunk, and tell the targets; they do not; they have shrunk:

        >>> before = 5 + torch.randn(200, 8, generator=torch.Generator().manual_seed(0))
        >>> after = 5 + torch.randn(200, 8, generator=torch.Generator().manual_seed(1))
        >>> only_slow(after, before, separates_targets=True), only_slow(after, before, separates_targets=False)
        (True, False)
        >>> only_slow(5 + 0.02 * (after - 5), before, separates_targets=True)
        False
    """
    return separates_targets and spread_of(features) > SHRUNK * spread_of(before)


def separates_classes(yardstick: float, targets: Int[Tensor, "n"]) -> bool:
    """Return whether a head refitted on the features tells validation images' classes better than their shares do.

    Args:
        yardstick: Its log-loss on them, in nats.

    Examples:
        Of two classes alike in number the shares alone have a log-loss of ln 2 = 0.693:

        >>> targets = torch.arange(200) % 2
        >>> separates_classes(0.45, targets), separates_classes(0.69, targets)
        (True, False)
    """
    share = torch.bincount(targets).double() / len(targets)
    of_shares = -float(torch.xlogy(share, share).sum())
    return yardstick < (1 - NO_BETTER) * of_shares


def separates_images(losses: Sequence[LossWithReference]) -> bool:
    """Return whether a loss tells images of a batch from their mean at all, however little.

    Examples:
        Rounding alone parts the first from a constant's:

        >>> separates_images([LossWithReference(4.8442, 4.8442), LossWithReference(4.84421, 4.8442)])
        False
        >>> losses = [LossWithReference(4.8442, 4.8442), LossWithReference(4.8405, 4.8442)]
        >>> separates_images(losses), separates_images([])
        (True, False)
    """
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
    """exp of the entropy of the singular values' shares, of the centered features (Roy and Vetterli 2007).

    From 1 to min(n - 1, d); 0 when nothing varies.

    Examples:
        Equal directions count; place, scale and rotation do not:

        >>> axes = torch.eye(6)[:3]
        >>> features = torch.cat([axes, -axes])
        >>> round(effective_rank(features), 6), effective_rank(torch.ones(5, 3))
        (3.0, 0.0)
        >>> turn = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(1))).Q
        >>> round(effective_rank(3 * features @ turn + 7), 4)
        3.0
    """
    singular = singular_values(features.double() - features.double().mean(0))
    total = float(singular.sum())
    if total == 0:
        return 0.0
    share = singular / total
    return math.exp(float(-torch.xlogy(share, share).sum()))


def distance_variation(features: Float[Tensor, "n d"]) -> float:
    """Standard deviation over mean of the Euclidean distances between the images; 0 when all are at one point.

    Examples:
        Points 0, 1 and 3 on a line have distances 1, 2 and 3: mean 2, standard deviation sqrt(2 / 3).

        >>> round(distance_variation(torch.tensor([[0.0], [1.0], [3.0]])), 4)  # sqrt(2 / 3) / 2
        0.4082
        >>> distance_variation(torch.ones(4, 2))
        0.0
    """
    distances = torch.pdist(features[:_PAIRED].double())
    mean = float(distances.mean()) if len(distances) else 0.0
    return float(distances.std(correction=0)) / mean if mean > 0 else 0.0


def _stuck(losses: Sequence[LossWithReference]) -> Reason:
    """Losses that mine their triplets can be 0 for a constant and 0 for a good embedding: those tell nothing."""
    informative = [pair for pair in losses if pair.constant > 0]
    if not informative or any(abs(pair.actual - pair.constant) > NO_BETTER * pair.constant for pair in informative):
        return NO_REASON
    mean = sum(pair.actual for pair in informative) / len(informative)
    return Reason.of(Code.COLLAPSED_STUCK, loss=mean)


# Watching a training without labels: its features from epoch to epoch, and when to stop.

NEIGHBORS, TEMPERATURE = 20, 0.07
"""How many neighbors vote, and what divides their cosines: those of Wu, Xiong, Yu and Lin (CVPR 2018)."""
MOST = 2000
"""Training images that are looked at as neighbors, the first of them."""
PATIENCE = 2
"""Epochs in a row that end in a collapse before a training is stopped: one may pass."""

Figures = Mapping[str, float]


class CollapsedFeatures(Exception):
    """The features of a training without labels collapsed.

    Args:
        curve: A row per epoch until then.

    Examples:
        >>> from assay.plugin import Code, Reason
        >>> CollapsedFeatures(Reason(), [{"epoch": 1, "rank": 1.0}]).curve
        ({'epoch': 1, 'rank': 1.0},)
    """

    def __init__(self, reason: Reason, curve: Sequence[Mapping[str, float | int]]) -> None:
        super().__init__(reason, curve)
        self.reason, self.curve = reason, tuple(curve)

    def __str__(self) -> str:
        return str(self.reason)


def figures(
    features: Float[Tensor, "n d"],
    targets: Int[Tensor, "n"],
    neighbors: Float[Tensor, "m d"],
    their_targets: Int[Tensor, "m"],
) -> Figures:
    """Entries of an epoch's row of the curve about the validation images' features: `rank` (effective rank, 1 to d; 0
    where nothing varies), `spread` (distance from the mean over the mean's length) and `knn_accuracy`.

    Args:
        neighbors: Features of training images. Labels are looked at here, and nothing is decided by them. NaN where a
            feature is not finite (later weights may be better, and the last are judged in the end), and `rank` of under
            4 images.
    """
    if not bool(features.isfinite().all() and neighbors.isfinite().all()):
        return dict.fromkeys(("rank", "spread", "knn_accuracy"), math.nan)
    return {
        "rank": effective_rank(features) if len(features) >= FEWEST else math.nan,
        "spread": spread_of(features),
        "knn_accuracy": knn_accuracy(features, targets, neighbors, their_targets),
    }


def knn_accuracy(
    features: Float[Tensor, "n d"],
    targets: Int[Tensor, "n"],
    neighbors: Float[Tensor, "m d"],
    their_targets: Int[Tensor, "m"],
    count: int = NEIGHBORS,
) -> float:
    """Share of images whose class is that of their nearest neighbors by cosine, each voting with exp(cosine / 0.07).

    Of equal votes the first class wins; with fewer neighbors than `count` all vote.
    """
    unit_features, other = (functional.normalize(values.double(), dim=1) for values in (features, neighbors))
    nearest = (unit_features @ other.T).topk(min(count, len(other)), dim=1)
    classes = int(max(targets.max(), their_targets.max())) + 1
    votes = (
        functional.one_hot(their_targets[nearest.indices], classes) * (nearest.values / TEMPERATURE).exp()[..., None]
    )
    return float((votes.sum(1).argmax(1) == targets).double().mean())


def collapse_of(curve: Sequence[Figures]) -> Reason:
    """Return why to stop a training, from the rows of its curve; nothing where it goes on.

    Examples:
        >>> alive, dead = {"epoch": 1, "rank": 5.0, "spread": 1.0}, {"epoch": 2, "rank": 1.0, "spread": 1.0}
        >>> one_point = {"epoch": 3, "rank": 5.0, "spread": 1e-4}
        >>> bool(collapse_of([dead])), bool(collapse_of([dead, alive, dead]))  # one dead epoch may pass
        (False, False)
        >>> [collapse_of([alive, *last]).causes[0]["epoch"] for last in ([dead, dead], [dead, one_point])]
        [2, 3]
        >>> unknown = {"rank": math.nan, "spread": math.nan}  # later weights may be better
        >>> bool(collapse_of([{"epoch": 1, **unknown}, {"epoch": 2, **unknown}]))
        False
    """
    last = curve[-PATIENCE:]
    if len(last) < PATIENCE or not all(row["rank"] < RANK_ONE or row["spread"] <= ONE_POINT for row in last):
        return NO_REASON
    row = last[-1]
    return Reason.of(Code.COLLAPSED_FEATURES, epoch=int(row["epoch"]), rank=row["rank"], spread=row["spread"])
