"""Builders of the objectives whose loss pytorch-metric-learning computes; importing this imports the library."""

from __future__ import annotations

from typing import Unpack

from assay.training.losses import metric_learning
from assay.training.losses.embedding import (
    EmbeddingObjective,
    Options,
    Projection,
    dimensions,
    embedding_objective,
    projection_head,
)
from assay.training.objective import LossContext


def pairwise_contrastive(
    context: LossContext, *, margin: float, normalise: bool, **options: Unpack[Options]
) -> EmbeddingObjective:
    """See `metric_learning.pairwise_contrastive`."""
    criterion = metric_learning.pairwise_contrastive(margin=margin, normalise=normalise)
    return embedding_objective(context, criterion, options)


def triplet(
    context: LossContext,
    *,
    margin: float,
    mining: metric_learning.Mining,
    soft: bool,
    normalise: bool,
    **options: Unpack[Options],
) -> EmbeddingObjective:
    """See `metric_learning.triplet`."""
    criterion = metric_learning.triplet(margin=margin, mining=mining, soft=soft, normalise=normalise)
    return embedding_objective(context, criterion, options)


def supcon(context: LossContext, *, temperature: float, **options: Unpack[Options]) -> EmbeddingObjective:
    """See `metric_learning.supcon`."""
    return embedding_objective(context, metric_learning.supcon(temperature=temperature), options)


def nt_xent(context: LossContext, *, temperature: float, **options: Unpack[Options]) -> EmbeddingObjective:
    """See `metric_learning.NTXent`. The target serves the cross-entropy of `head: joint` alone."""
    return embedding_objective(context, metric_learning.NTXent(temperature=temperature), options, 2, unlabelled=True)


def circle(context: LossContext, *, margin: float, scale: float, **options: Unpack[Options]) -> EmbeddingObjective:
    """See `metric_learning.circle`."""
    return embedding_objective(context, metric_learning.circle(margin=margin, scale=scale), options)


def arcface(context: LossContext, *, scale: float, margin: float, **options: Unpack[Options]) -> EmbeddingObjective:
    """See `metric_learning.arcface`. The class directions belong to the objective and never give the logits."""
    size = dimensions(context, options["projection"], options["embedding"])
    criterion = metric_learning.arcface(size, context.classes, scale=scale, margin=margin)
    return embedding_objective(context, criterion, options)


def normalised_softmax(context: LossContext, *, scale: float, **options: Unpack[Options]) -> EmbeddingObjective:
    """See `metric_learning.normalised_softmax`. The class directions belong to the objective, as in `arcface`."""
    size = dimensions(context, options["projection"], options["embedding"])
    return embedding_objective(context, metric_learning.normalised_softmax(size, context.classes, scale=scale), options)


def cross_entropy_supcon(
    context: LossContext, *, weight: float, temperature: float, projection: Projection, embedding: int | None
) -> EmbeddingObjective:
    """Cross-entropy of the logits + weight * supcon of the (projected) features; the head is trained along."""
    return EmbeddingObjective(
        projection_head(context, projection, embedding),
        metric_learning.supcon(temperature=temperature),
        criterion_weight=weight,
        cross_entropy_weight=1.0,
    )
