"""Objectives that shape an embedding: a loss of pairs, triplets or class directions, and how the head is trained.

Most come from pytorch-metric-learning. Under `head: after` the network's own head is never
trained: a linear head is fitted on the frozen features after the last step, for ArcFace and the normalized softmax too,
whose class directions (and projection) are discarded; so every loss is judged by the same yardstick. Under `head:
joint` the network's head is trained along by cross-entropy and gives the logits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from pytorch_metric_learning import distances, losses, miners, reducers  # pyright: ignore[reportMissingTypeStubs]
from torch import Tensor, nn

from assay.core.registry import component
from assay.data.dataset import Batch
from assay.models.networks import Outputs
from assay.training.losses.classification import class_logits, cross_entropies, widen, without_autocast
from assay.training.objective import LossContext, Objective, Progress

# Distances, directions and pairs of a batch of embeddings, with gradients that are finite everywhere.

_TINY_LENGTH = 1e-8


def unit(z: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
    """Return each row scaled to length 1.

    A row shorter than 1e-8 has no direction: it becomes 0 and gets no gradient (dividing by a small constant in place
    of its length would multiply its gradient by that constant's inverse).
    """
    squared = z.square().sum(dim=1, keepdim=True)
    length = squared.clamp_min(_TINY_LENGTH**2).sqrt()
    return torch.where(squared > _TINY_LENGTH**2, z / length, 0.0)


def euclidean(a: Float[Tensor, "b d"], b: Float[Tensor, "k d"]) -> Float[Tensor, "b k"]:
    """Euclidean distances between the rows of `a` and those of `b`; 0 has gradient 0.

    Summed differences, not the expansion into inner products, whose cancellation leaves 3e-4 where 0 is due.
    """
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def positives(target: Int[Tensor, "b"]) -> Bool[Tensor, "b b"]:
    """Which ordered pairs are of one class; nobody is paired with itself."""
    same = target[:, None] == target[None, :]
    return same & ~torch.eye(len(target), dtype=torch.bool, device=target.device)


def negatives(target: Int[Tensor, "b"]) -> Bool[Tensor, "b b"]:
    """Which ordered pairs are of two classes."""
    return target[:, None] != target[None, :]


def masked_mean(values: Tensor, where: Bool[Tensor, "..."]) -> Float[Tensor, ""]:
    """Return the mean of `values` where `where` holds; 0, still connected to the graph, where it holds nowhere.

    Values elsewhere may be anything finite.
    """
    return (values * where).sum() / where.sum().clamp_min(1)


def masked_logsumexp(values: Float[Tensor, "b k"], where: Bool[Tensor, "b k"]) -> Float[Tensor, "b"]:
    """log sum exp over the entries of a row where `where` holds; hugely negative, yet finite, where it holds nowhere.

    Minus infinity would be the limit, and its gradient NaN.
    """
    floor = torch.finfo(values.dtype).min / 4
    return torch.logsumexp(values.masked_fill(~where, floor), dim=1)


# The head, the projection, and the objective that holds both.

Criterion = Callable[[Float[Tensor, "b d"], Int[Tensor, "b"]], Float[Tensor, ""]]
ProjectionLayers = Annotated[
    Literal["none", "linear", "mlp"],
    Field(description="layers between the features and the loss; discarded after training"),
]
Margin = Annotated[float, Field(gt=0, description="Euclidean distance in the embedding")]
Normalized = Annotated[bool, Field(description="scale embeddings to length 1 first (distances are then at most 2)")]
BY_HEAD = {"trains_head": ("head", {"after": False, "joint": True})}
"""`Options.head` decides whether the network's own head is trained."""


@dataclass(frozen=True, kw_only=True)
class Projected:
    """The layers between the features and the loss.

    Raises:
        ValueError: An argument has no effect given the others.
    """

    projection: ProjectionLayers = "none"
    embedding: Annotated[
        int | None, Field(ge=1, le=8192, description="dimensions of the projection; as many as features unless said")
    ] = None

    def __post_init__(self) -> None:
        """Refuse arguments without effect."""
        if self.projection == "none" and self.embedding is not None:
            raise ValueError(
                f"embedding: {self.embedding} has no effect without a projection: set projection to linear or mlp, "
                "or leave embedding out"
            )

    def dimensions(self, context: LossContext) -> int:
        """Return the length of the embedding that the criterion sees."""
        return self.embedding or context.width

    def layers(self, context: LossContext) -> nn.Module:
        """From features to the embedding: nothing, a linear map, or the two layers of SimCLR and SupCon."""
        width, out = context.width, self.dimensions(context)
        if self.projection == "mlp":
            return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, out))
        return nn.Linear(width, out) if self.projection == "linear" else nn.Identity()


@dataclass(frozen=True, kw_only=True)
class Options(Projected):
    """Arguments of every embedding loss: how the head is trained, and the features that the loss is applied to."""

    head: Annotated[
        Literal["after", "joint"],
        Field(
            description="after: the loss trains the encoder alone, a linear head is fitted on its frozen features at "
            "the end; joint: loss + weight * cross-entropy of the network's own logits"
        ),
    ] = "after"
    weight: Annotated[float, Field(ge=0, description="weight of the cross-entropy under `head: joint`")] = 1.0

    def __post_init__(self) -> None:
        """Refuse arguments without effect."""
        super().__post_init__()
        if self.head == "after" and self.weight != 1:
            raise ValueError(
                f"weight: {self.weight:g} weighs the cross-entropy of `head: joint` and has no effect under "
                "`head: after`: set head to joint, or leave weight out"
            )


class EmbeddingObjective(Objective):
    """criterion_weight * criterion(projection(features), target) + cross_entropy_weight * cross-entropy of the logits.

    Without cross-entropy (weight None) it never trains the network's head. The criterion may be a module with
    parameters of its own.

    Args:
        unlabeled: Whether the criterion looks at no target; with cross-entropy the whole does. Projection and
            criterion are built of standard modules, so that the loop can initialize each of their parameters by name.
            All is computed in float32, the projection too, under autocast.
    """

    def __init__(
        self,
        projection: nn.Module,
        criterion: Criterion,
        *,
        criterion_weight: float = 1.0,
        cross_entropy_weight: float | None = None,
        views: int = 1,
        unlabeled: bool = False,
    ) -> None:
        super().__init__()
        self.unlabeled = unlabeled and cross_entropy_weight is None
        self.projection = projection
        self.criterion: Criterion = criterion
        self.criterion_weight = criterion_weight
        self.cross_entropy_weight = cross_entropy_weight
        self.views = views
        self.trains_head = cross_entropy_weight is not None

    def loss(self, outputs: Outputs, batch: Batch, progress: Progress) -> Float[Tensor, ""]:
        """Return the weighted sum. A criterion that is undefined on the batch adds 0, connected to the graph."""
        with without_autocast(outputs.features.device):
            embedded = self.projection(widen(outputs.features))
            total = self.criterion_weight * self.criterion(embedded, batch.target)
            if self.cross_entropy_weight is None:
                return total
            return total + self.cross_entropy_weight * cross_entropies(class_logits(outputs), batch.target).mean()


def embedding_objective(
    context: LossContext, criterion: Criterion, options: Options, views: int = 1, *, unlabeled: bool = False
) -> EmbeddingObjective:
    """Return the criterion on projected features, with the head as the options say."""
    weight = options.weight if options.head == "joint" else None
    layers = options.layers(context)
    return EmbeddingObjective(layers, criterion, cross_entropy_weight=weight, views=views, unlabeled=unlabeled)


# Losses of pairs that no library computes as we need them. Each is a mean over the positive pairs of a batch; where
# there are none (no two images of one class, or no two classes) the value is 0 with a gradient of 0, connected to the
# graph, so that a step can always be taken.


@component(
    "loss",
    "lifted-structure",
    summary="every positive pair against the negatives of both its ends (Song et al. 2016)",
    varies=BY_HEAD,
)
def lifted_structure(
    context: LossContext, *, options: Options, margin: Margin = 1.0, normalize: Normalized = False
) -> EmbeddingObjective:
    """Mean over positive pairs of max(0, J)^2 / 2, where for the pair (i, j)

    J = D_ij + log(sum over negatives k of i: exp(margin - D_ik) + sum over negatives k of j: exp(margin - D_jk)).

    Song, Xiang, Jegelka and Savarese, *Deep Metric Learning via Lifted Structured Feature Embedding*, CVPR 2016 (its
    smooth upper bound).

    Examples:
        Places 0 and 1 are of one class, 2 of another: J = 1 + log(exp(1 - 2) + exp(1 - 1)) = 1.313.

        >>> loss = lifted_structure(LossContext(1, 2, (2, 1)), options=Options())
        >>> round(loss.criterion(torch.tensor([[0.0], [1.0], [2.0]]), torch.tensor([0, 0, 1])).item(), 3)  # J^2 / 2
        0.862
    """

    def criterion(z: Float[Tensor, "b d"], target: Int[Tensor, "b"]) -> Float[Tensor, ""]:
        points = unit(z) if normalize else z
        d, other_class = euclidean(points, points), negatives(target)
        crowd = masked_logsumexp(margin - d, other_class)
        j = d + torch.logaddexp(crowd[:, None], crowd[None, :])
        return masked_mean(j.relu().square() / 2, positives(target) & other_class.any())

    return embedding_objective(context, criterion, options)


@component(
    "loss",
    "n-pair",
    summary="every positive pair against all negatives of its anchor, inner products (Sohn 2016)",
    varies=BY_HEAD,
)
def n_pair(
    context: LossContext,
    *,
    options: Options,
    regularization: Annotated[
        float, Field(ge=0, description="weight of the mean squared length of the embeddings")
    ] = 0.002,
) -> EmbeddingObjective:
    """Mean over ordered positive pairs (i, p) of log(1 + sum over negatives n of i: exp(z_i.z_n - z_i.z_p)).

    To it comes regularization * mean |z|^2, which holds the lengths that inner products leave free. The paper draws one
    pair per class; here every positive pair of the batch is used with all negatives of its anchor, so that the value
    does not depend on the order of the batch and two classes do not leave two pairs. Sohn, *Improved Deep Metric
    Learning with Multi-class N-pair Loss Objective*, NeurIPS 2016.

    Examples:
        The pair has an inner product of 1, each with the negative 0: log(1 + exp(0 - 1)).

        >>> loss = n_pair(LossContext(1, 2, (2, 1)), options=Options(), regularization=0)
        >>> round(loss.criterion(torch.tensor([[1.0], [1.0], [0.0]]), torch.tensor([0, 0, 1])).item(), 3)
        0.313
    """

    def criterion(z: Float[Tensor, "b d"], target: Int[Tensor, "b"]) -> Float[Tensor, ""]:
        similarity, other_class = z @ z.T, negatives(target)
        pairs = positives(target) & other_class.any()
        each = nn.functional.softplus(masked_logsumexp(similarity, other_class)[:, None] - similarity)
        return masked_mean(each, pairs) + regularization * z.square().sum(dim=1).mean() * pairs.any()

    return embedding_objective(context, criterion, options)


# The losses that pytorch-metric-learning computes, each configured as in its paper.

Temperature = Annotated[float, Field(gt=0, le=10, description="divides cosine similarities, no unit")]
Scale = Annotated[float, Field(gt=0, le=256, description="multiplies cosines to class weights, no unit")]
Terms = Callable[[Int[Tensor, "b"]], int | Int[Tensor, ""]]


class LibraryLoss(nn.Module):
    """A loss of the library on embeddings, divided by how many `terms` the batch has; 0 where it has none.

    `normalize` scales embeddings to length 1 first. The library could do so itself, but divides by 1e-12 where there is
    no length, which makes a gradient of 1e12 of the first dead feature. `miner` chooses the triplets.
    """

    def __init__(
        self, loss: nn.Module, terms: Terms, *, normalize: bool = True, miner: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.loss, self.terms, self.normalize, self.miner = loss, terms, normalize, miner

    def forward(self, z: Float[Tensor, "b d"], target: Int[Tensor, "b"]) -> Float[Tensor, ""]:
        """Return the mean of the terms."""
        embedding = unit(z) if self.normalize else z
        total: Tensor = self.loss(embedding, target, *([self.miner(embedding, target)] if self.miner else []))
        terms = self.terms(target)
        return total / (terms.clamp_min(1) if isinstance(terms, Tensor) else max(1, terms))


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
        other_class = negatives(labels)
        ordered, who = d.masked_fill(~other_class, torch.inf).sort(dim=1)
        place = torch.searchsorted(ordered, d, right=True).clamp_max(len(d) - 1)
        farther = ordered.gather(1, place)  # infinite where no negative is farther
        anchor, positive = torch.where(positives(labels) & (farther > d) & (farther < d + self.margin))
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


@component(
    "loss",
    "pairwise-contrastive",
    summary="pulls pairs of a class together, pushes others a margin apart (Hadsell, Chopra and LeCun 2006)",
    varies=BY_HEAD,
)
def pairwise_contrastive(
    context: LossContext, *, options: Options, margin: Margin = 1.0, normalize: Normalized = True
) -> EmbeddingObjective:
    """Mean over all pairs of D^2 / 2 for two of a class and max(0, margin - D)^2 / 2 for others, D Euclidean.

    Undefined, hence 0, for fewer than 2 images; a batch of one class, or of all different classes, is defined. Two
    negatives in the same place have no direction to part in and get no gradient. On directions unless said: on raw
    features a network with random weights tends to stop at equal distances for all. Hadsell, Chopra and LeCun,
    *Dimensionality Reduction by Learning an Invariant Mapping*, CVPR 2006.

    Examples:
        Two images 0.6 apart cost 0.6^2 / 2 where they are of one class, (1 - 0.6)^2 / 2 where they are not:

        >>> loss = pairwise_contrastive(LossContext(1, 2, (1, 1)), options=Options(), normalize=False)
        >>> z = torch.tensor([[0.0], [0.6]])
        >>> [round(loss.criterion(z, torch.tensor(target)).item(), 2) for target in ([0, 0], [0, 1])]
        [0.18, 0.08]
    """
    loss = losses.ContrastiveLoss(neg_margin=margin, distance=Euclidean(), reducer=HalfSquares())  # pyright: ignore[reportArgumentType]
    return embedding_objective(context, LibraryLoss(loss, ordered_pairs, normalize=normalize), options)


@dataclass(frozen=True, kw_only=True)
class TripletOptions(Options):
    """Arguments of `triplet`.

    Raises:
        ValueError: An argument has no effect given the others.
    """

    margin: Annotated[
        float, Field(gt=0, description="Euclidean distance in the embedding; has no effect with soft")
    ] = 0.2
    mining: Annotated[
        Literal["semi-hard", "hard"],
        Field(
            description="semi-hard: every positive pair with its nearest negative that is farther than the positive "
            "and within the margin; hard: every anchor with its farthest positive and its nearest negative"
        ),
    ] = "semi-hard"
    soft: Annotated[bool, Field(description="softplus of the difference of distances instead of the margin")] = False
    normalize: Normalized = True

    def __post_init__(self) -> None:
        """Refuse arguments without effect."""
        super().__post_init__()
        if self.soft and self.margin != 0.2:
            raise ValueError(
                f"margin: {self.margin:g} has no effect with soft: true: leave margin out, or set soft to false"
            )


@component(
    "loss",
    "triplet",
    summary="positives nearer than negatives by a margin, semi-hard or batch-hard (Schroff 2015, Hermans 2017)",
    varies=BY_HEAD,
)
def triplet(context: LossContext, *, options: TripletOptions) -> EmbeddingObjective:
    """Mean over the mined triplets of max(0, gap + margin), or of log(1 + exp(gap)) when `soft`.

    The gap is the anchor's distance to the positive minus that to the negative, Euclidean (not squared).

    semi-hard: each ordered positive pair with its nearest negative that is strictly farther than the positive; a pair
        whose gap is then at or beyond the margin is not counted (Schroff, Kalenichenko and Philbin, *FaceNet*, CVPR
        2015). When `soft` there is no margin and none is left out for it.
    hard: each anchor with its farthest positive and its nearest negative (Hermans, Beyer and Leibe, *In Defense of the
        Triplet Loss for Person Re-Identification*, 2017).

    Undefined, hence 0, where no triplet is mined: no positive pair, a single class, or (semi-hard) all embeddings
    equal. Under hard mining equal embeddings score the margin, or ln 2 when soft.

    Examples:
        The anchor at 0 has its positive at 0.5 and a negative at 0.6: 0.5 - 0.6 + 0.2. From 0.5 the negative is nearer
        than the positive, which semi-hard mining leaves out.

        >>> loss = triplet(LossContext(1, 2, (2, 1)), options=TripletOptions(normalize=False))
        >>> round(loss.criterion(torch.tensor([[0.0], [0.5], [0.6]]), torch.tensor([0, 0, 1])).item(), 2)
        0.1
    """
    distance, soft = Euclidean(), options.soft
    hard, within = options.mining == "hard", math.inf if soft else options.margin
    miner = miners.BatchHardMiner(distance=distance) if hard else NearestSemiHardMiner(within)
    margin = 0.0 if soft else options.margin
    loss = losses.TripletMarginLoss(margin=margin, smooth_loss=soft, distance=distance, reducer=reducers.MeanReducer())
    criterion = LibraryLoss(loss, lambda _: 1, normalize=options.normalize, miner=miner)
    return embedding_objective(context, criterion, options)


def _over_anchors(temperature: float, terms: Terms) -> LibraryLoss:
    """Mean over anchors i that have a positive of the mean over their positives p of

    -log(exp(s_ip) / sum over k != i: exp(s_ik)), s being cosine / temperature.
    """
    return LibraryLoss(losses.SupConLoss(temperature=temperature, reducer=reducers.SumReducer()), terms)


@component(
    "loss",
    "supcon",
    summary="supervised contrastive, all positives of an anchor at once (Khosla et al. 2020)",
    varies=BY_HEAD,
)
def supcon(context: LossContext, *, options: Options, temperature: Temperature = 0.1) -> EmbeddingObjective:
    """See `_over_anchors`: the paper's L_out, at least 0.

    Undefined, hence 0, without a positive pair or with a single class. Khosla et al., *Supervised Contrastive
    Learning*, NeurIPS 2020.

    Examples:
        Cosines are 1 to the positive and 0 to the negative: -log(e / (e + 1)) at temperature 1.

        >>> loss = supcon(LossContext(2, 2, (2, 1)), options=Options(), temperature=1)
        >>> z = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> round(loss.criterion(z, torch.tensor([0, 0, 1])).item(), 3)
        0.313
    """
    return embedding_objective(context, _over_anchors(temperature, anchors), options)


@dataclass(frozen=True, kw_only=True)
class TwoLayers(Options):
    """Options with a projection of two layers unless another is given, as in SimCLR."""

    projection: ProjectionLayers = "mlp"


@component(
    "loss",
    "nt-xent",
    summary="self-supervised: an image's second view among all other images (Chen et al. 2020)",
    varies={**BY_HEAD, "unlabeled": ("head", {"after": True, "joint": False})},
)
def nt_xent(context: LossContext, *, options: TwoLayers, temperature: Temperature = 0.5) -> EmbeddingObjective:
    """Mean over all 2 n rows of the cross-entropy of finding an image's other view among the 2 n - 1 other rows.

    Rows are two views of n images, view 1 of all first (b = 2 n); the logits are cosine / temperature. At least 0.
    A single image is 0: its other view is the only one left. It is `supcon` with each image a class of its own, which
    the library computes with one table of b x b where its NTXentLoss has one of positive x negative pairs. The target
    serves the cross-entropy of `head: joint` alone. Chen, Kornblith, Norouzi and Hinton, *A Simple Framework for
    Contrastive Learning of Visual Representations*, ICML 2020.

    Examples:
        Two images, each with two equal views, at right angles: -log(e / (e + 2)) at temperature 1. No label is read.

        >>> loss = nt_xent(LossContext(2, 2, (1, 1)), options=TwoLayers(), temperature=1)
        >>> z = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).repeat(2, 1)
        >>> round(loss.criterion(z, torch.tensor([0, 0, 0, 0])).item(), 3)
        0.551
    """
    over_images = _over_anchors(temperature, len)

    def criterion(z: Float[Tensor, "b d"], target: Int[Tensor, "b"]) -> Float[Tensor, ""]:
        return over_images(z, torch.arange(len(z) // 2, device=z.device).repeat(2))

    return embedding_objective(context, criterion, options, 2, unlabeled=True)


@component(
    "loss",
    "circle",
    summary="pairwise cosine similarities, each weighted by how far it is from its optimum (Sun et al. 2020)",
    varies=BY_HEAD,
)
def circle(
    context: LossContext,
    *,
    options: Options,
    margin: Annotated[float, Field(ge=0, lt=1, description="relaxation of the optima in cosine, no unit")] = 0.4,
    scale: Annotated[float, Field(gt=0, le=512, description="multiplies weighted cosines, no unit")] = 16.0,
) -> EmbeddingObjective:
    """Mean over anchors with a positive and a negative of softplus(push + pull), at least 0, s being cosines:

    push = logsumexp over negatives of scale * a_n * (s_n - margin),
    pull = logsumexp over positives of -scale * a_p * (s_p - 1 + margin).

    The weights a_n = max(0, s_n + margin) and a_p = max(0, 1 + margin - s_p) are constants of the step: no gradient
    flows through them. Undefined, hence 0, without a positive pair or with a single class. Sun et al., *Circle Loss: A
    Unified Perspective of Pair Similarity Optimization*, CVPR 2020.

    Examples:
        Cosines are 1 to the positive and 0 to the negative, both at their optimum: push and pull are -0.4^2 at scale 1,
        and softplus(-0.32) is left.

        >>> loss = circle(LossContext(2, 2, (2, 1)), options=Options(), scale=1)
        >>> z = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> round(loss.criterion(z, torch.tensor([0, 0, 1])).item(), 3)
        0.546
    """
    loss = losses.CircleLoss(m=margin, gamma=scale, reducer=reducers.SumReducer())  # pyright: ignore[reportArgumentType]
    return embedding_objective(context, LibraryLoss(loss, anchors), options)


@component(
    "loss",
    "arcface",
    summary="softmax over angles to class weights, with a margin in angle (Deng et al. 2019)",
    version=2,
    varies=BY_HEAD,
)
def arcface(
    context: LossContext,
    *,
    options: Options,
    scale: Scale = 16.0,
    margin: Annotated[float, Field(ge=0, lt=1.5707963, description="angle added to the target's, radian")] = 0.2,
) -> EmbeddingObjective:
    """Mean cross-entropy of scale * cosines to learned class directions, the target's angle first enlarged by `margin`.

    The margin is in radian. Where angle + margin passes pi, cos would turn upwards again; there the target's cosine is
    lowered by margin * sin(margin) in its place, so that the loss keeps rising with the angle. Within 5e-4 radian of
    its class's direction an embedding is not pulled any closer. Defined on every batch; an embedding of length 0 has
    cosine 0 to all classes. The directions never give the logits. Deng, Guo, Xue and Zafeiriou, *ArcFace*, CVPR 2019.

    Examples:
        An embedding in its class's direction has angle 0. A margin of 60 degrees makes the cosine 1/2:
        log(1 + exp(-1/2)).

        >>> loss = arcface(LossContext(2, 2, (1, 1)), options=Options(), scale=1, margin=math.pi / 3)
        >>> loss.criterion.loss.W.data = torch.eye(2)  # class directions, which are learned
        >>> round(loss.criterion(torch.tensor([[1.0, 0.0]]), torch.tensor([0])).item(), 3)
        0.474
    """
    loss = ArcFaceLoss(
        context.classes,
        options.dimensions(context),
        scale=scale,  # pyright: ignore[reportArgumentType]
        margin=math.degrees(margin),
        distance=OpenCosine(),
        reducer=reducers.SumReducer(),
    )
    loss.reset_parameters()
    return embedding_objective(context, LibraryLoss(loss, len), options)


@component(
    "loss",
    "normalized-softmax",
    summary="softmax over cosines to class weights (Zhai and Wu 2019)",
    version=2,
    varies=BY_HEAD,
)
def normalized_softmax(context: LossContext, *, options: Options, scale: Scale = 16.0) -> EmbeddingObjective:
    """Mean cross-entropy of scale * cosines to learned class directions: `arcface` without a margin.

    Zhai and Wu, *Classification is a Strong Baseline for Deep Metric Learning*, BMVC 2019.

    Examples:
        Cosines of 1 to its class's direction and 0 to the other: log(1 + exp(-1)) at scale 1.

        >>> loss = normalized_softmax(LossContext(2, 2, (1, 1)), options=Options(), scale=1)
        >>> loss.criterion.loss.W.data = torch.eye(2)  # class directions, which are learned
        >>> round(loss.criterion(torch.tensor([[1.0, 0.0]]), torch.tensor([0])).item(), 3)
        0.313
    """
    size, reducer = options.dimensions(context), reducers.SumReducer()
    loss = NormalizedSoftmaxLoss(context.classes, size, temperature=1 / scale, reducer=reducer)
    loss.reset_parameters()
    return embedding_objective(context, LibraryLoss(loss, len), options)


@dataclass(frozen=True, kw_only=True)
class SupConTerm(Projected):
    """The supervised contrastive term in addition to cross-entropy."""

    weight: Annotated[float, Field(ge=0, description="weight of the supervised contrastive term")] = 1.0
    temperature: Temperature = 0.1


@component(
    "loss",
    "cross-entropy-supcon",
    summary="cross-entropy of the logits + weight * supervised contrastive of the features",
)
def cross_entropy_supcon(context: LossContext, *, term: SupConTerm) -> EmbeddingObjective:
    """Cross-entropy of the logits + weight * supcon of the (projected) features; the head is trained along.

    Examples:
        ln 2 of logits that know nothing, and the 0.313 of the example of `supcon`:

        >>> loss = cross_entropy_supcon(LossContext(2, 2, (2, 1)), term=SupConTerm(temperature=1))
        >>> features = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> batch = Batch(torch.zeros(3, 1, 8, 8), torch.tensor([0, 0, 1]), torch.arange(3))
        >>> outputs = Outputs(features, logits=torch.zeros(3, 2))
        >>> round(loss.loss(outputs, batch, Progress(step=0, steps=1, epoch=0, epochs=1)).item(), 3)
        1.006
    """
    criterion = _over_anchors(term.temperature, anchors)
    return EmbeddingObjective(term.layers(context), criterion, criterion_weight=term.weight, cross_entropy_weight=1.0)
