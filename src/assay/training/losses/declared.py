"""The losses for classification that a spec can name, with their checked arguments. Imports no torch.

The first four serve segmentation as well.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from assay.core.registry import register
from assay.spec.schema import ImageLossParams, LossParams


class LabelLossParams(ImageLossParams):
    """The arguments of a loss per label: of an image, or of each pixel of its mask."""

    tasks = ("classification", "segmentation")


class LabelSmoothingParams(LabelLossParams):
    """Arguments of `label-smoothing`."""

    smoothing: float = Field(default=0.1, ge=0, lt=1, description="share of the target spread evenly over all classes")


class FocalParams(LabelLossParams):
    """Arguments of `focal`."""

    gamma: float = Field(default=2.0, ge=0, le=20, description="focusing exponent, no unit; 0 is cross-entropy")


class EmbeddingParams(LossParams):
    """Arguments shared by the losses that shape an embedding: how the head is had, and what the loss looks at."""

    head: Literal["after", "joint"] = Field(
        default="after",
        description="after: the loss trains the encoder alone, a linear head is fitted on its frozen features at the "
        "end; joint: loss + weight * cross-entropy of the network's own logits",
    )
    weight: float = Field(default=1.0, ge=0, description="weight of the cross-entropy under `head: joint`")
    projection: Literal["none", "linear", "mlp"] = Field(
        default="none", description="what stands between the features and the loss; thrown away after training"
    )
    embedding: int | None = Field(
        default=None, ge=1, le=8192, description="dimensions of the projection; as many as features unless said"
    )

    @property
    def trains_head(self) -> bool:
        """Under `head: joint`."""
        return self.head == "joint"

    @model_validator(mode="after")
    def _nothing_without_effect(self) -> EmbeddingParams:
        if self.projection == "none" and self.embedding is not None:
            raise ValueError(
                f"embedding: {self.embedding} has no effect without a projection: set projection to linear or mlp, "
                "or leave embedding out"
            )
        if self.head == "after" and self.weight != 1:
            raise ValueError(
                f"weight: {self.weight:g} weighs the cross-entropy of `head: joint` and has no effect under "
                "`head: after`: set head to joint, or leave weight out"
            )
        return self


class TemperatureParams(EmbeddingParams):
    """Arguments of `supcon`."""

    temperature: float = Field(default=0.1, gt=0, le=10, description="divides cosine similarities, no unit")


class NTXentParams(EmbeddingParams):
    """Arguments of `nt-xent`; a projection of two layers unless said, as in SimCLR."""

    temperature: float = Field(default=0.5, gt=0, le=10, description="divides cosine similarities, no unit")
    projection: Literal["none", "linear", "mlp"] = Field(
        default="mlp", description="what stands between the features and the loss; thrown away after training"
    )

    @property
    def unlabelled(self) -> bool:
        """Under `head: after`."""
        return self.head == "after"


class PairwiseParams(EmbeddingParams):
    """Arguments of `pairwise-contrastive`.

    On directions unless said: on raw features a network with random weights tends to stop at equal distances for all.
    """

    margin: float = Field(default=1.0, gt=0, description="Euclidean distance in the embedding")
    normalise: bool = Field(
        default=True, description="scale embeddings to length 1 first (distances are then at most 2)"
    )


class LiftedParams(EmbeddingParams):
    """Arguments of `lifted-structure`."""

    margin: float = Field(default=1.0, gt=0, description="Euclidean distance in the embedding")
    normalise: bool = Field(
        default=False, description="scale embeddings to length 1 first (distances are then at most 2)"
    )


class TripletParams(EmbeddingParams):
    """Arguments of `triplet`."""

    margin: float = Field(default=0.2, gt=0, description="Euclidean distance in the embedding; has no effect with soft")
    mining: Literal["semi-hard", "hard"] = Field(
        default="semi-hard",
        description="semi-hard: every positive pair with its nearest negative that is farther than the positive and "
        "within the margin; hard: every anchor with its farthest positive and its nearest negative",
    )
    soft: bool = Field(default=False, description="softplus of the difference of distances in place of the margin")
    normalise: bool = Field(
        default=True, description="scale embeddings to length 1 first (distances are then at most 2)"
    )

    @model_validator(mode="after")
    def _no_margin_when_soft(self) -> TripletParams:
        if self.soft and self.margin != 0.2:
            raise ValueError(
                f"margin: {self.margin:g} has no effect with soft: true: leave margin out, or set soft to false"
            )
        return self


class NPairParams(EmbeddingParams):
    """Arguments of `n-pair`."""

    regularisation: float = Field(
        default=0.002, ge=0, description="weight of the mean squared length of the embeddings"
    )


class NormalisedSoftmaxParams(EmbeddingParams):
    """Arguments of `normalised-softmax`."""

    scale: float = Field(default=16.0, gt=0, le=256, description="multiplies cosines to class weights, no unit")


class ArcFaceParams(NormalisedSoftmaxParams):
    """Arguments of `arcface`."""

    margin: float = Field(default=0.2, ge=0, lt=1.5707963, description="angle added to the target's, radian")


class CircleParams(EmbeddingParams):
    """Arguments of `circle`."""

    margin: float = Field(default=0.4, ge=0, lt=1, description="relaxation of the optima in cosine, no unit")
    scale: float = Field(default=16.0, gt=0, le=512, description="multiplies weighted cosines, no unit")


class CrossEntropySupConParams(LossParams):
    """Arguments of `cross-entropy-supcon`."""

    weight: float = Field(default=1.0, ge=0, description="weight of the supervised contrastive term")
    temperature: float = Field(default=0.1, gt=0, le=10, description="divides cosine similarities, no unit")
    projection: Literal["none", "linear", "mlp"] = Field(
        default="none", description="what stands between the features and the contrastive term"
    )
    embedding: int | None = Field(
        default=None, ge=1, le=8192, description="dimensions of the projection; as many as features unless said"
    )

    @model_validator(mode="after")
    def _nothing_without_effect(self) -> CrossEntropySupConParams:
        EmbeddingParams(projection=self.projection, embedding=self.embedding)
        return self


_CLASSIFICATION = "assay.training.losses.classification"
_EMBEDDING = "assay.training.losses.embedding"
_LIBRARY = "assay.training.losses.library"

register(
    "loss",
    "cross-entropy",
    f"{_CLASSIFICATION}:CrossEntropy",
    LabelLossParams,
    summary="log-loss of the softmax",
)
register(
    "loss",
    "weighted-cross-entropy",
    f"{_CLASSIFICATION}:WeightedCrossEntropy",
    LabelLossParams,
    summary="cross-entropy, classes weighted by inverse frequency in training",
)
register(
    "loss",
    "label-smoothing",
    f"{_CLASSIFICATION}:LabelSmoothing",
    LabelSmoothingParams,
    summary="cross-entropy against a target softened towards the uniform (Szegedy et al. 2016)",
)
register(
    "loss",
    "focal",
    f"{_CLASSIFICATION}:Focal",
    FocalParams,
    summary="cross-entropy that discounts what is already right (Lin et al. 2017)",
)
register(
    "loss",
    "pairwise-contrastive",
    f"{_LIBRARY}:pairwise_contrastive",
    PairwiseParams,
    summary="pulls pairs of a class together, pushes others a margin apart (Hadsell, Chopra and LeCun 2006)",
)
register(
    "loss",
    "triplet",
    f"{_LIBRARY}:triplet",
    TripletParams,
    summary="positives nearer than negatives by a margin, semi-hard or batch-hard (Schroff 2015, Hermans 2017)",
)
register(
    "loss",
    "n-pair",
    f"{_EMBEDDING}:n_pair",
    NPairParams,
    summary="every positive pair against all negatives of its anchor, inner products (Sohn 2016)",
)
register(
    "loss",
    "lifted-structure",
    f"{_EMBEDDING}:lifted_structure",
    LiftedParams,
    summary="every positive pair against the negatives of both its ends (Song et al. 2016)",
)
register(
    "loss",
    "supcon",
    f"{_LIBRARY}:supcon",
    TemperatureParams,
    summary="supervised contrastive, all positives of an anchor at once (Khosla et al. 2020)",
)
register(
    "loss",
    "nt-xent",
    f"{_LIBRARY}:nt_xent",
    NTXentParams,
    summary="self-supervised: an image's second view among all other images (Chen et al. 2020)",
)
register(
    "loss",
    "arcface",
    f"{_LIBRARY}:arcface",
    ArcFaceParams,
    summary="softmax over angles to class weights, with a margin in angle (Deng et al. 2019)",
    version=2,
)
register(
    "loss",
    "normalised-softmax",
    f"{_LIBRARY}:normalised_softmax",
    NormalisedSoftmaxParams,
    summary="softmax over cosines to class weights (Zhai and Wu 2019)",
    version=2,
)
register(
    "loss",
    "circle",
    f"{_LIBRARY}:circle",
    CircleParams,
    summary="pairwise cosine similarities, each weighted by how far it is from its optimum (Sun et al. 2020)",
)
register(
    "loss",
    "cross-entropy-supcon",
    f"{_LIBRARY}:cross_entropy_supcon",
    CrossEntropySupConParams,
    summary="cross-entropy of the logits + weight * supervised contrastive of the features",
)
