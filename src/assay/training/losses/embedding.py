"""Objectives that shape an embedding: a loss of pairs, triplets or class directions, and how the head is had.

The builders are named by specs; `library` holds those whose loss comes from pytorch-metric-learning. Under `head:
after` the network's own head is never trained: a linear head is fitted on the frozen features after the last step, for
ArcFace and the normalized softmax too, whose class directions (and whatever projection there was) are thrown away; so
every loss is judged by the same yardstick. Under `head: joint` the network's head is trained along by cross-entropy and
gives the logits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from assay.core.registry import component
from assay.data.dataset import Batch
from assay.models.classifier import Outputs
from assay.training.losses import pairs
from assay.training.losses.classification import class_logits, cross_entropy, widened, without_autocast
from assay.training.objective import LossContext, Objective, Progress

Criterion = Callable[[Float[Tensor, "b d"], Int[Tensor, "b"]], Float[Tensor, ""]]
Projection = Literal["none", "linear", "mlp"]
Head = Literal["after", "joint"]


ProjectionLayers = Annotated[
    Projection, Field(description="what stands between the features and the loss; thrown away after training")
]
Dimensions = Annotated[
    int | None, Field(ge=1, le=8192, description="dimensions of the projection; as many as features unless said")
]
Margin = Annotated[float, Field(gt=0, description="Euclidean distance in the embedding")]
Normalized = Annotated[bool, Field(description="scale embeddings to length 1 first (distances are then at most 2)")]
BY_HEAD = {"trains_head": ("head", {"after": False, "joint": True})}
"""`Options.head` decides whether the network's own head is trained."""


def check_projection(projection: Projection, embedding: int | None) -> None:
    """Refuse dimensions of a projection that is none.

    Raises:
        ValueError: They have no effect.
    """
    if projection == "none" and embedding is not None:
        raise ValueError(
            f"embedding: {embedding} has no effect without a projection: set projection to linear or mlp, "
            "or leave embedding out"
        )


@dataclass(frozen=True, kw_only=True)
class Options:
    """Arguments of every embedding loss: how the head is trained, and the features that the loss is applied to.

    Raises:
        ValueError: An argument has no effect given the others.
    """

    head: Annotated[
        Head,
        Field(
            description="after: the loss trains the encoder alone, a linear head is fitted on its frozen features at "
            "the end; joint: loss + weight * cross-entropy of the network's own logits"
        ),
    ] = "after"
    weight: Annotated[float, Field(ge=0, description="weight of the cross-entropy under `head: joint`")] = 1.0
    projection: ProjectionLayers = "none"
    embedding: Dimensions = None

    def __post_init__(self) -> None:
        """Refuse arguments without effect."""
        check_projection(self.projection, self.embedding)
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


def dimensions(context: LossContext, projection: Projection, embedding: int | None) -> int:
    """Length of the embedding that the criterion sees."""
    return context.width if projection == "none" or embedding is None else embedding


def projection_head(context: LossContext, projection: Projection, embedding: int | None) -> nn.Module:
    """From features to the embedding: nothing, a linear map, or the two layers of SimCLR and SupCon."""
    width, out = context.width, dimensions(context, projection, embedding)
    makers: dict[Projection, Callable[[], nn.Module]] = {
        "none": nn.Identity,
        "linear": lambda: nn.Linear(width, out),
        "mlp": lambda: nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, out)),
    }
    return makers[projection]()


def embedding_objective(
    context: LossContext, criterion: Criterion, options: Options, views: int = 1, *, unlabeled: bool = False
) -> EmbeddingObjective:
    """Return the criterion on projected features, with the head as the options say."""
    return EmbeddingObjective(
        projection_head(context, options.projection, options.embedding),
        criterion,
        cross_entropy_weight=options.weight if options.head == "joint" else None,
        views=views,
        unlabeled=unlabeled,
    )


@component(
    "loss",
    "lifted-structure",
    summary="every positive pair against the negatives of both its ends (Song et al. 2016)",
    varies=BY_HEAD,
)
def lifted_structure(
    context: LossContext, *, options: Options, margin: Margin = 1.0, normalize: Normalized = False
) -> EmbeddingObjective:
    """See `pairs.lifted_structure`."""
    criterion = partial(pairs.lifted_structure, margin=margin, normalize=normalize)
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
    """See `pairs.n_pair`."""
    return embedding_objective(context, partial(pairs.n_pair, regularization=regularization), options)
