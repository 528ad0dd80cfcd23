"""Objectives that shape an embedding: a loss of pairs, triplets or class directions, and how the head is trained.

`library` holds those whose loss comes from pytorch-metric-learning. Under `head: after` the network's own head is never
trained: a linear head is fitted on the frozen features after the last step, for ArcFace and the normalized softmax too,
whose class directions (and projection) are discarded; so every loss is judged by the same yardstick. Under `head:
joint` the network's head is trained along by cross-entropy and gives the logits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn

from assay.core.registry import component
from assay.data.dataset import Batch
from assay.models.classifier import Outputs
from assay.training.losses.classification import class_logits, cross_entropy, widened, without_autocast
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
    Field(description="what stands between the features and the loss; thrown away after training"),
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
            embedded = self.projection(widened(outputs.features))
            total = self.criterion_weight * self.criterion(embedded, batch.target)
            if self.cross_entropy_weight is None:
                return total
            return total + self.cross_entropy_weight * cross_entropy(class_logits(outputs), batch.target)


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
    """

    def criterion(z: Float[Tensor, "b d"], target: Int[Tensor, "b"]) -> Float[Tensor, ""]:
        seen = unit(z) if normalize else z
        d, apart = euclidean(seen, seen), negatives(target)
        crowd = masked_logsumexp(margin - d, apart)
        j = d + torch.logaddexp(crowd[:, None], crowd[None, :])
        return masked_mean(j.relu().square() / 2, positives(target) & apart.any())

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
    """

    def criterion(z: Float[Tensor, "b d"], target: Int[Tensor, "b"]) -> Float[Tensor, ""]:
        similarity, apart = z @ z.T, negatives(target)
        pairs = positives(target) & apart.any()
        each = nn.functional.softplus(masked_logsumexp(similarity, apart)[:, None] - similarity)
        return masked_mean(each, pairs) + regularization * z.square().sum(dim=1).mean() * pairs.any()

    return embedding_objective(context, criterion, options)
