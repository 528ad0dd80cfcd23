"""Objectives that shape an embedding: the loss of pairs, triplets or class directions, and how the head is had.

The builders are what a spec names. Under `head: after` the network's own head is never trained: a linear head is fitted
on the frozen features after the last step, for ArcFace and the normalised softmax too, whose class directions (and
whatever projection there was) are thrown away; so every loss is judged by the same yardstick. Under `head: joint` the
network's head is trained along by cross-entropy and is what gives the logits.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal, TypedDict, Unpack

from jaxtyping import Float, Int
from torch import Tensor, nn

from assay.data.dataset import Batch
from assay.recipes.losses import pairs, triplets
from assay.recipes.losses.classification import class_logits, cross_entropy
from assay.recipes.losses.precision import widened, without_autocast
from assay.recipes.losses.proxies import AngularSoftmax
from assay.recipes.network import Outputs
from assay.recipes.objective import LossContext, Objective, Progress

Criterion = Callable[[Float[Tensor, "b d"], Int[Tensor, "b"]], Float[Tensor, ""]]
Projection = Literal["none", "linear", "mlp"]
Head = Literal["after", "joint"]


class Options(TypedDict):
    """What every embedding loss takes (`declared.EmbeddingParams`)."""

    head: Head
    weight: float
    projection: Projection
    embedding: int | None


class EmbeddingObjective(Objective):
    """criterion_weight * criterion(projection(features), target) + cross_entropy_weight * cross-entropy of the logits.

    Without cross-entropy (weight None) it never trains the network's head. The criterion may be a module with
    parameters of its own. Projection and criterion are built of standard modules, so that the loop can initialise each
    of their parameters by name. All is computed in float32, the projection too, under autocast.
    """

    def __init__(
        self,
        projection: nn.Module,
        criterion: Criterion,
        *,
        criterion_weight: float = 1.0,
        cross_entropy_weight: float | None = None,
        views: int = 1,
    ) -> None:
        super().__init__()
        self.projection = projection
        self.criterion: Criterion = criterion
        self.criterion_weight = criterion_weight
        self.cross_entropy_weight = cross_entropy_weight
        self.views = views
        self.fits_head = cross_entropy_weight is not None

    def loss(self, outputs: Outputs, batch: Batch, progress: Progress) -> Float[Tensor, ""]:
        """The weighted sum. Where the criterion is undefined on the batch its term is 0, connected to the graph."""
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


def _objective(context: LossContext, criterion: Criterion, options: Options, views: int = 1) -> EmbeddingObjective:
    return EmbeddingObjective(
        projection_head(context, options["projection"], options["embedding"]),
        criterion,
        cross_entropy_weight=options["weight"] if options["head"] == "joint" else None,
        views=views,
    )


def pairwise_contrastive(
    context: LossContext, *, margin: float, normalise: bool, **options: Unpack[Options]
) -> EmbeddingObjective:
    """See `pairs.pairwise_contrastive`."""
    criterion = partial(pairs.pairwise_contrastive, margin=margin, normalise=normalise)
    return _objective(context, criterion, options)


def lifted_structure(
    context: LossContext, *, margin: float, normalise: bool, **options: Unpack[Options]
) -> EmbeddingObjective:
    """See `pairs.lifted_structure`."""
    return _objective(context, partial(pairs.lifted_structure, margin=margin, normalise=normalise), options)


def triplet(
    context: LossContext,
    *,
    margin: float,
    mining: triplets.Mining,
    soft: bool,
    normalise: bool,
    **options: Unpack[Options],
) -> EmbeddingObjective:
    """See `triplets.triplet`."""
    criterion = partial(triplets.triplet, margin=margin, mining=mining, soft=soft, normalise=normalise)
    return _objective(context, criterion, options)


def n_pair(context: LossContext, *, regularisation: float, **options: Unpack[Options]) -> EmbeddingObjective:
    """See `pairs.n_pair`."""
    return _objective(context, partial(pairs.n_pair, regularisation=regularisation), options)


def supcon(context: LossContext, *, temperature: float, **options: Unpack[Options]) -> EmbeddingObjective:
    """See `pairs.supcon`."""
    return _objective(context, partial(pairs.supcon, temperature=temperature), options)


def nt_xent(context: LossContext, *, temperature: float, **options: Unpack[Options]) -> EmbeddingObjective:
    """See `pairs.nt_xent`. Sees two views of each image; the target serves the cross-entropy of `head: joint` alone."""

    def without_target(z: Float[Tensor, "b d"], target: Int[Tensor, "b"]) -> Float[Tensor, ""]:
        return pairs.nt_xent(z, temperature=temperature)

    return _objective(context, without_target, options, views=2)


def circle(context: LossContext, *, margin: float, scale: float, **options: Unpack[Options]) -> EmbeddingObjective:
    """See `pairs.circle`."""
    return _objective(context, partial(pairs.circle, margin=margin, scale=scale), options)


def arcface(context: LossContext, *, scale: float, margin: float, **options: Unpack[Options]) -> EmbeddingObjective:
    """See `proxies.angular_softmax`. The class directions belong to the objective and never give the logits."""
    size = dimensions(context, options["projection"], options["embedding"])
    return _objective(context, AngularSoftmax(size, context.classes, scale=scale, margin=margin), options)


def normalised_softmax(context: LossContext, *, scale: float, **options: Unpack[Options]) -> EmbeddingObjective:
    """ArcFace without a margin (Zhai and Wu, *Classification is a Strong Baseline for Deep Metric Learning*, 2019)."""
    return arcface(context, scale=scale, margin=0.0, **options)


def cross_entropy_supcon(
    context: LossContext, *, weight: float, temperature: float, projection: Projection, embedding: int | None
) -> EmbeddingObjective:
    """Cross-entropy of the logits + weight * `pairs.supcon` of the (projected) features; the head is trained along."""
    return EmbeddingObjective(
        projection_head(context, projection, embedding),
        partial(pairs.supcon, temperature=temperature),
        criterion_weight=weight,
        cross_entropy_weight=1.0,
    )
