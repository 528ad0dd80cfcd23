"""The losses without labels that a spec can name beside `nt-xent`, with their checked arguments. Imports no torch."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from assay.core.registry import register
from assay.spec.schema import LossParams

_HERE = "assay.training.losses.self_supervised"
_Width = Annotated[int, Field(ge=4, le=65536)]
_Temperature = Annotated[float, Field(gt=0, le=10)]
_Momentum = Annotated[float, Field(ge=0, lt=1)]


class UnlabelledParams(LossParams):
    """The arguments of a loss of two views. It never trains the network's head."""

    @property
    def trains_head(self) -> bool:
        """Never."""
        return False

    @property
    def unlabelled(self) -> bool:
        """Always."""
        return True


class BarlowTwinsParams(UnlabelledParams):
    """Arguments of `barlow-twins`."""

    embedding: _Width = Field(default=512, description="dimensions of the projection, of each of its three layers")
    off_diagonal: float = Field(default=0.005, ge=0, description="weight of the correlations between dimensions")


class VicRegParams(UnlabelledParams):
    """Arguments of `vicreg`."""

    embedding: _Width = Field(default=512, description="dimensions of the expander, of each of its three layers")
    invariance: float = Field(default=25.0, ge=0, description="weight of the distance between views")
    variance: float = Field(default=25.0, ge=0, description="weight of the hinge on standard deviations under 1")
    covariance: float = Field(default=1.0, ge=0, description="weight of the covariances between dimensions")


class SwAVParams(UnlabelledParams):
    """Arguments of `swav`."""

    embedding: _Width = Field(default=128, description="dimensions of the projection")
    prototypes: _Width = Field(default=300, description="how many prototypes; a few times as many as kinds of images")
    temperature: _Temperature = Field(default=0.1, description="divides the cosines to prototypes")
    sharpness: _Temperature = Field(default=0.05, description="divides them where codes are made")


class ByolParams(UnlabelledParams):
    """Arguments of `byol`."""

    hidden: _Width = Field(default=512, description="width of the hidden layers of projection and predictor")
    embedding: _Width = Field(default=128, description="dimensions of the projection")
    momentum: _Momentum = Field(default=0.99, description="what a step keeps of the teacher, rising to 1")


class MocoParams(UnlabelledParams):
    """Arguments of `moco`, those of its second version."""

    embedding: _Width = Field(default=128, description="dimensions of the projection")
    queue: int = Field(default=65536, ge=1, description="keys kept of earlier batches")
    temperature: _Temperature = Field(default=0.2, description="divides cosine similarities, no unit")
    momentum: _Momentum = Field(default=0.999, description="what a step keeps of the teacher")


class DinoParams(UnlabelledParams):
    """Arguments of `dino`."""

    hidden: _Width = Field(
        default=512, description="width of the projection's hidden layer; four times its last but one"
    )
    outputs: _Width = Field(default=1024, description="how many directions the projection ends in")
    temperature: _Temperature = Field(default=0.1, description="divides the network's cosines")
    sharpness: _Temperature = Field(default=0.04, description="divides the teacher's")
    momentum: _Momentum = Field(default=0.996, description="what a step keeps of the teacher, rising to 1")
    centring: _Momentum = Field(default=0.9, description="what a step keeps of the teacher's mean scores")


class MaskedAutoencoderParams(UnlabelledParams):
    """Arguments of `masked-autoencoder`."""

    architectures: ClassVar[tuple[str, ...]] = ("timm",)

    hidden: float = Field(default=0.75, gt=0, lt=1, description="share of patches that the network does not see")
    depth: int = Field(default=4, ge=1, le=64, description="blocks of the decoder; 8 as published")
    width: int = Field(
        default=256, ge=32, le=4096, multiple_of=32, description="of the decoder's tokens; 512 as published"
    )


register(
    "loss",
    "masked-autoencoder",
    "assay.training.losses.masked:MaskedAutoencoder",
    MaskedAutoencoderParams,
    summary="no labels, vision transformers: pixels of patches that were not shown (He et al. 2022)",
)

for _name, _attribute, _params, _summary in (
    ("barlow-twins", "BarlowTwins", BarlowTwinsParams, "no labels: correlations of two views (Zbontar et al. 2021)"),
    ("vicreg", "VicReg", VicRegParams, "no labels: variance, invariance, covariance of two views (Bardes et al. 2022)"),
    ("swav", "SwAV", SwAVParams, "no labels: each view's code from the other, on prototypes (Caron et al. 2020)"),
    ("byol", "Byol", ByolParams, "no labels: one view predicts a teacher's other view (Grill et al. 2020)"),
    ("moco", "Moco", MocoParams, "no labels: a view's teacher key among a queue of keys (MoCo v2, Chen et al. 2020)"),
    (
        "dino",
        "Dino",
        DinoParams,
        "no labels: a teacher's centred, sharpened scores of the other view (Caron et al. 2021)",
    ),
):
    register("loss", _name, f"{_HERE}:{_attribute}", _params, summary=_summary)
