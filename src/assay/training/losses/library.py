"""Builders of the objectives whose loss pytorch-metric-learning computes; importing this imports the library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from assay.core.registry import component
from assay.training.losses import metric_learning
from assay.training.losses.embedding import (
    BY_HEAD,
    Dimensions,
    EmbeddingObjective,
    Margin,
    Normalized,
    Options,
    Projection,
    ProjectionLayers,
    check_projection,
    dimensions,
    embedding_objective,
    projection_head,
)
from assay.training.objective import LossContext

Temperature = Annotated[float, Field(gt=0, le=10, description="divides cosine similarities, no unit")]


@component(
    "loss",
    "pairwise-contrastive",
    summary="pulls pairs of a class together, pushes others a margin apart (Hadsell, Chopra and LeCun 2006)",
    varies=BY_HEAD,
)
def pairwise_contrastive(
    context: LossContext, *, options: Options, margin: Margin = 1.0, normalize: Normalized = True
) -> EmbeddingObjective:
    """See `metric_learning.pairwise_contrastive`.

    On directions unless said: on raw features a network with random weights tends to stop at equal distances for all.
    """
    criterion = metric_learning.pairwise_contrastive(margin=margin, normalize=normalize)
    return embedding_objective(context, criterion, options)


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
        metric_learning.Mining,
        Field(
            description="semi-hard: every positive pair with its nearest negative that is farther than the positive "
            "and within the margin; hard: every anchor with its farthest positive and its nearest negative"
        ),
    ] = "semi-hard"
    soft: Annotated[bool, Field(description="softplus of the difference of distances in place of the margin")] = False
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
    """See `metric_learning.triplet`."""
    criterion = metric_learning.triplet(
        margin=options.margin, mining=options.mining, soft=options.soft, normalize=options.normalize
    )
    return embedding_objective(context, criterion, options)


@component(
    "loss",
    "supcon",
    summary="supervised contrastive, all positives of an anchor at once (Khosla et al. 2020)",
    varies=BY_HEAD,
)
def supcon(context: LossContext, *, options: Options, temperature: Temperature = 0.1) -> EmbeddingObjective:
    """See `metric_learning.supcon`."""
    return embedding_objective(context, metric_learning.supcon(temperature=temperature), options)


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
    """See `metric_learning.NTXent`. The target serves the cross-entropy of `head: joint` alone."""
    return embedding_objective(context, metric_learning.NTXent(temperature=temperature), options, 2, unlabeled=True)


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
    """See `metric_learning.circle`."""
    return embedding_objective(context, metric_learning.circle(margin=margin, scale=scale), options)


Scale = Annotated[float, Field(gt=0, le=256, description="multiplies cosines to class weights, no unit")]


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
    """See `metric_learning.arcface`. The class directions belong to the objective and never give the logits."""
    size = dimensions(context, options.projection, options.embedding)
    criterion = metric_learning.arcface(size, context.classes, scale=scale, margin=margin)
    return embedding_objective(context, criterion, options)


@component(
    "loss",
    "normalized-softmax",
    summary="softmax over cosines to class weights (Zhai and Wu 2019)",
    version=2,
    varies=BY_HEAD,
)
def normalized_softmax(context: LossContext, *, options: Options, scale: Scale = 16.0) -> EmbeddingObjective:
    """See `metric_learning.normalized_softmax`. The class directions belong to the objective, as in `arcface`."""
    size = dimensions(context, options.projection, options.embedding)
    return embedding_objective(context, metric_learning.normalized_softmax(size, context.classes, scale=scale), options)


@dataclass(frozen=True, kw_only=True)
class SupConTerm:
    """The supervised contrastive term in addition to cross-entropy.

    Raises:
        ValueError: An argument has no effect given the others.
    """

    weight: Annotated[float, Field(ge=0, description="weight of the supervised contrastive term")] = 1.0
    temperature: Temperature = 0.1
    projection: Annotated[
        Projection, Field(description="what stands between the features and the contrastive term")
    ] = "none"
    embedding: Dimensions = None

    def __post_init__(self) -> None:
        """Refuse arguments without effect."""
        check_projection(self.projection, self.embedding)


@component(
    "loss",
    "cross-entropy-supcon",
    summary="cross-entropy of the logits + weight * supervised contrastive of the features",
)
def cross_entropy_supcon(context: LossContext, *, term: SupConTerm) -> EmbeddingObjective:
    """Cross-entropy of the logits + weight * supcon of the (projected) features; the head is trained along."""
    return EmbeddingObjective(
        projection_head(context, term.projection, term.embedding),
        metric_learning.supcon(temperature=term.temperature),
        criterion_weight=term.weight,
        cross_entropy_weight=1.0,
    )
