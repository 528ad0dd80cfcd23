"""The losses that pytorch-metric-learning computes, each configured as in its paper.

The one module that imports the library, for which it is imported where a loss of it is built. It receives three inputs
wherever they matter, through its own extension points: mean over the terms that the definition names (its default
leaves out the terms that are 0), distances without cancellation, and a gradient that is finite everywhere. Where a
definition is undefined on a batch, it gives 0, connected to the graph.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from pytorch_metric_learning import distances, losses, miners, reducers  # pyright: ignore[reportMissingTypeStubs]
from torch import Tensor, nn

from assay.core.errors import DataError
from assay.training.losses.pairs import euclidean, negatives, positives, unit

Terms = Callable[[Int[Tensor, "b"]], int | Int[Tensor, ""]]
Mining = Literal["semi-hard", "hard"]


class LibraryLoss(nn.Module):
    """`loss`, which sums its terms, divided by how many `terms` the batch has.

    `normalize` scales embeddings to length 1 first. The library could do so itself, but divides by 1e-12 where there is
    no length, which makes a gradient of 1e12 of the first dead feature.
    """

    def __init__(self, loss: nn.Module, terms: Terms, *, normalize: bool = True) -> None:
        super().__init__()
        self.loss = loss
        self.terms = terms
        self.normalize = normalize

    def forward(self, z: Float[Tensor, "b d"], target: Int[Tensor, "b"]) -> Float[Tensor, ""]:
        """Return the mean of the terms; 0 where there are none."""
        total: Tensor = self.loss(unit(z) if self.normalize else z, target)
        terms = self.terms(target)
        return total / (terms.clamp_min(1) if isinstance(terms, Tensor) else max(1, terms))


class MinedTriplets(nn.Module):
    """The mean of `loss` over the triplets that `miner` finds; 0 where it finds none. `normalize` as above."""

    def __init__(self, miner: nn.Module, loss: nn.Module, *, normalize: bool) -> None:
        super().__init__()
        self.miner = miner
        self.loss = loss
        self.normalize = normalize

    def forward(self, z: Float[Tensor, "b d"], target: Int[Tensor, "b"]) -> Float[Tensor, ""]:
        """Return the mean over triplets."""
        seen = unit(z) if self.normalize else z
        return self.loss(seen, target, self.miner(seen, target))


def anchors(target: Int[Tensor, "b"]) -> Int[Tensor, ""]:
    """Count the images with both a positive and a negative in the batch, without waiting for a GPU."""
    return (positives(target).any(dim=1) & negatives(target).any(dim=1)).sum()


def ordered_pairs(target: Int[Tensor, "b"]) -> int:
    """How many ordered pairs of two images a batch has."""
    return len(target) * (len(target) - 1)


class Euclidean(distances.LpDistance):
    """Distances between rows as they come, by differences: the library's own leave 3e-4 where 0 is due."""

    def __init__(self) -> None:
        super().__init__(normalize_embeddings=False)  # pyright: ignore[reportUnknownMemberType]

    def compute_mat(self, query_emb: Tensor, ref_emb: Tensor) -> Tensor:
        """Return the matrix of distances."""
        return euclidean(query_emb, ref_emb)


class OpenCosine(distances.CosineSimilarity):
    """Cosines kept off 1 and -1, where the arc cosine that ArcFace takes of them has no finite gradient."""

    def compute_mat(self, query_emb: Tensor, ref_emb: Tensor) -> Tensor:
        """Return the matrix of cosines."""
        limit = 1 - torch.finfo(query_emb.dtype).eps
        return super().compute_mat(query_emb, ref_emb).clamp(-limit, limit)  # pyright: ignore[reportUnknownMemberType]


class HalfSquares(reducers.SumReducer):
    """Half the sum of the squares of the terms: Hadsell's loss of hinges, of which the library takes the mean."""

    def element_reduction(self, losses: Tensor, *_: Any) -> Tensor:
        """Half the sum of squares."""
        return losses.square().sum() / 2


class NearestSemiHardMiner(miners.BaseMiner):
    """Each ordered positive pair with its nearest negative that is strictly farther, where within `margin` of it.

    The library's own miner gives all such negatives, from all b^3 triplets of a batch; this one sorts.
    """

    def __init__(self, margin: float) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]
        self.margin = margin

    def mine(
        self, embeddings: Tensor, labels: Tensor, ref_emb: Tensor, ref_labels: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Indices of anchors, positives and negatives."""
        d = euclidean(embeddings, ref_emb)
        apart = negatives(labels)
        ordered, who = d.masked_fill(~apart, torch.inf).sort(dim=1)
        place = torch.searchsorted(ordered, d, right=True).clamp_max(len(d) - 1)
        beyond = ordered.gather(1, place)  # infinite where no negative is farther
        anchor, positive = torch.where(positives(labels) & (beyond > d) & (beyond < d + self.margin))
        return anchor, positive, who[anchor, place[anchor, positive]]


class ClassDirections:
    """Initializes the class directions `W` [d, classes] as the weights of a linear layer are, at the loop's request."""

    W: nn.Parameter

    def reset_parameters(self) -> None:
        """Uniform within 1 / sqrt(d) of 0."""
        bound = len(self.W) ** -0.5
        nn.init.uniform_(self.W, -bound, bound)


class ArcFaceLoss(ClassDirections, losses.ArcFaceLoss):
    """The library's, with directions that can be redrawn."""


class NormalizedSoftmaxLoss(ClassDirections, losses.NormalizedSoftmaxLoss):
    """The library's, with directions that can be redrawn."""


def pairwise_contrastive(*, margin: float, normalize: bool) -> LibraryLoss:
    """Mean over all pairs of D^2 / 2 for two of a class and max(0, margin - D)^2 / 2 for others, D Euclidean.

    Undefined, hence 0, for fewer than 2 images; a batch of one class, or of all different classes, is defined. Two
    negatives in the same place have no direction to part in and get no gradient. Hadsell, Chopra and LeCun,
    *Dimensionality Reduction by Learning an Invariant Mapping*, CVPR 2006.
    """
    loss = losses.ContrastiveLoss(neg_margin=margin, distance=Euclidean(), reducer=HalfSquares())  # pyright: ignore[reportArgumentType]
    return LibraryLoss(loss, ordered_pairs, normalize=normalize)


def triplet(*, margin: float, mining: Mining, soft: bool, normalize: bool) -> MinedTriplets:
    """Mean over the mined triplets of max(0, gap + margin), or of log(1 + exp(gap)) when `soft`.

    The gap is the anchor's distance to the positive minus that to the negative, Euclidean (not squared).

    semi-hard: each ordered positive pair with its nearest negative that is strictly farther than the positive; a pair
        whose gap is then at or beyond the margin is not counted (Schroff, Kalenichenko and Philbin, *FaceNet*, CVPR
        2015). When `soft` there is no margin and none is left out for it.
    hard: each anchor with its farthest positive and its nearest negative (Hermans, Beyer and Leibe, *In Defense of the
        Triplet Loss for Person Re-Identification*, 2017).

    Undefined, hence 0, where no triplet is mined: no positive pair, a single class, or (semi-hard) all embeddings
    equal. Under hard mining equal embeddings score the margin, or ln 2 when soft.
    """
    distance = Euclidean()
    make: dict[Mining, Callable[[], nn.Module]] = {
        "semi-hard": lambda: NearestSemiHardMiner(math.inf if soft else margin),
        "hard": lambda: miners.BatchHardMiner(distance=distance),
    }
    loss = losses.TripletMarginLoss(
        margin=0.0 if soft else margin, smooth_loss=soft, distance=distance, reducer=reducers.MeanReducer()
    )
    return MinedTriplets(make[mining](), loss, normalize=normalize)


def supcon(*, temperature: float) -> LibraryLoss:
    """Mean over anchors i that have a positive of the mean over their positives p of

    -log(exp(s_ip) / sum over k != i: exp(s_ik)), s being cosine / temperature: the paper's L_out, at least 0.

    Undefined, hence 0, without a positive pair or with a single class. Khosla et al., *Supervised Contrastive
    Learning*, NeurIPS 2020.
    """
    return LibraryLoss(_sum_over_anchors(temperature), anchors)


def _sum_over_anchors(temperature: float) -> nn.Module:
    return losses.SupConLoss(temperature=temperature, reducer=reducers.SumReducer())


class NTXent(nn.Module):
    """Mean over all 2 n rows of the cross-entropy of finding an image's other view among the 2 n - 1 other rows.

    Rows are two views of n images, view 1 of all first (b = 2 n); the logits are cosine / temperature. At least 0.
    A single image is 0: its other view is the only one left. It is `supcon` with each image a class of its own, which
    the library computes with one table of b x b where its NTXentLoss has one of positive x negative pairs. Chen,
    Kornblith, Norouzi and Hinton, *A Simple Framework for Contrastive Learning of Visual Representations*, ICML 2020.
    """

    def __init__(self, *, temperature: float) -> None:
        super().__init__()
        self.over_images = LibraryLoss(_sum_over_anchors(temperature), len)

    def forward(self, z: Float[Tensor, "b d"], target: Int[Tensor, "b"]) -> Float[Tensor, ""]:
        """Return the mean over rows; `target` is not looked at.

        Raises:
            DataError: For an odd number of rows.
        """
        if len(z) % 2:
            raise DataError(f"nt-xent needs two views of every image, stacked, but got {len(z)} rows: an odd number")
        return self.over_images(z, torch.arange(len(z) // 2, device=z.device).repeat(2))


def circle(*, margin: float, scale: float) -> LibraryLoss:
    """Mean over anchors with a positive and a negative of softplus(push + pull), at least 0, s being cosines:

    push = logsumexp over negatives of scale * a_n * (s_n - margin),
    pull = logsumexp over positives of -scale * a_p * (s_p - 1 + margin).

    The weights a_n = max(0, s_n + margin) and a_p = max(0, 1 + margin - s_p) are constants of the step: no gradient
    flows through them. Undefined, hence 0, without a positive pair or with a single class. Sun et al., *Circle Loss: A
    Unified Perspective of Pair Similarity Optimization*, CVPR 2020.
    """
    loss = losses.CircleLoss(m=margin, gamma=scale, reducer=reducers.SumReducer())  # pyright: ignore[reportArgumentType]
    return LibraryLoss(loss, anchors)


def arcface(dimensions: int, classes: int, *, scale: float, margin: float) -> LibraryLoss:
    """Mean cross-entropy of scale * cosines to learned class directions, the target's angle first enlarged by `margin`.

    The margin is in radian. Where angle + margin passes pi, cos would turn upwards again; there the target's cosine is
    lowered by margin * sin(margin) in its place, so that the loss keeps rising with the angle. Within 5e-4 radian of
    its class's direction an embedding is not pulled any closer. Defined on every batch; an embedding of length 0 has
    cosine 0 to all classes. Deng, Guo, Xue and Zafeiriou, *ArcFace*, CVPR 2019.
    """
    loss = ArcFaceLoss(
        classes,
        dimensions,
        scale=scale,  # pyright: ignore[reportArgumentType]
        margin=math.degrees(margin),
        distance=OpenCosine(),
        reducer=reducers.SumReducer(),
    )
    loss.reset_parameters()
    return LibraryLoss(loss, len)


def normalized_softmax(dimensions: int, classes: int, *, scale: float) -> LibraryLoss:
    """Mean cross-entropy of scale * cosines to learned class directions: `arcface` without a margin.

    Zhai and Wu, *Classification is a Strong Baseline for Deep Metric Learning*, BMVC 2019.
    """
    loss = NormalizedSoftmaxLoss(classes, dimensions, temperature=1 / scale, reducer=reducers.SumReducer())
    loss.reset_parameters()
    return LibraryLoss(loss, len)
