"""The checked arguments of everything a recipe names but losses. Imports no torch: a refused spec answers at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from assay.core.registry import Params
from assay.spec.schema import ArchitectureParams, Task

Probability = Annotated[float, Field(ge=0, le=1)]
LearningRate = Annotated[float, Field(gt=0, le=10)]
WeightDecay = Annotated[float, Field(ge=0, le=10)]

# --- architectures ----------------------------------------------------------------------------------------------------


class SmallCnnParams(ArchitectureParams):
    """Four strided blocks."""

    width: int = Field(8, ge=4, le=128, multiple_of=4, description="channels of the first block (8: 8-16-32-64)")
    in_chans: Literal[1, 3] | None = Field(
        None, description="input channels, the images' if not said; 3: grey repeated"
    )


class Resnet18Params(ArchitectureParams):
    """ResNet-18."""

    stem: Literal["imagenet", "small"] = Field(
        "imagenet", description="7x7 stride 2 and max-pooling, or 3x3 stride 1 without pooling for small images"
    )
    in_chans: Literal[1, 3] = Field(3, description="input channels; grey images are repeated to fill 3")


class TimmParams(ArchitectureParams):
    """Any network of the timm library."""

    model: str = Field(description="timm's name of the network, such as tf_efficientnet_lite0")
    in_chans: Literal[1, 3] = Field(3, description="input channels; grey images are repeated to fill 3")


class _SegmenterParams(ArchitectureParams):
    """Logits for every pixel."""

    tasks: ClassVar[tuple[Task, ...]] = ("segmentation",)


class SmallUnetParams(_SegmenterParams):
    """Four strided stages down, three up."""

    width: int = Field(8, ge=8, le=128, multiple_of=8, description="channels of the first stage (8: 8-16-32-48)")


SmpNetwork = Literal[
    "unet",
    "unetplusplus",
    "manet",
    "linknet",
    "fpn",
    "pspnet",
    "deeplabv3",
    "deeplabv3plus",
    "pan",
    "upernet",
    "segformer",
]


class SmpParams(_SegmenterParams):
    """Any network of segmentation-models-pytorch that ends in a convolution."""

    network: SmpNetwork = Field(description="its name in the library")
    encoder: str = Field(
        "tu-resnet18",
        description="tu- and timm's name of a network, such as tu-tf_efficientnet_lite0; or one of the library's own",
    )
    in_chans: Literal[1, 3] = Field(3, description="input channels; grey images are repeated to fill 3")


class WNetParams(SmpParams):
    """Two networks in a row."""

    network: SmpNetwork = Field("fpn", description="the library's name of the network that stands twice")
    auxiliary_weight: float = Field(
        1.0, ge=0, le=10, description="of the first network's loss beside the second's 1 (deep supervision)"
    )


class MonaiParams(_SegmenterParams):
    """Two-dimensional networks of MONAI."""

    network: Literal["basic-unet", "dynunet", "segresnet"] = Field(description="which of them")


# --- initialisations --------------------------------------------------------------------------------------------------


class SourceParams(Params):
    """One of the study's own sources. A study names it; what is trained knows it by its id alone."""

    name: str = Field("", description="which of the study's `sources`")
    id: str = Field("", description="the hash of all that decides its weights, which names its folder in the cache")
    statistics: bool = Field(False, description="whether weights are drawn with its layers' means and variances alone")


Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _WeightsParams(Params):
    """How a weights file is read."""

    prefix: str | None = Field(
        None, description="text before every key of the network, such as module., or '' for none; found when left out"
    )
    layout: Literal["auto", "monai-resnet"] = Field(
        "auto", description="how layers are named; found in the file, but that MONAI's ResNet strides by 1 in its stem"
    )
    leave_out: tuple[str, ...] = Field(
        (), description="names of parts of the file that are not wanted, beyond heads, projections and momentum copies"
    )
    input: Literal["auto", "imagenet", "symmetric", "unit", "caffe", "caffe-255"] = Field(
        "auto",
        description=(
            "how images x in [0, 1] are scaled: ImageNet mean and deviation; 2x - 1; unchanged; blue, green, red with "
            "255x less the ImageNet mean; the same over 255; auto: what the file's metadata say, else timm's own "
            "configuration of the architecture, refused for Keras, MONAI and numbered layers, which that is not about"
        ),
    )


class FileParams(_WeightsParams):
    """Weights from a file."""

    file_hashes: ClassVar[Mapping[str, str]] = {"path": "sha256"}
    path: str = Field(
        min_length=1, description="a .safetensors file, a .pt/.pth that holds tensors alone, or a Keras .h5"
    )
    sha256: str = Field(
        "", pattern="^([0-9a-f]{64})?$", description="of the file, found when left out; another file is refused"
    )


class DownloadParams(_WeightsParams):
    """Weights from a public address."""

    url: str = Field(pattern="^https?://", description="where the file is; fetched once into the cache")
    sha256: Sha256 = Field(description="of the file; another file is refused")
    size: int = Field(0, ge=0, description="of the file in bytes, 0 when not known")


class RandomStatisticsParams(_WeightsParams):
    """Random weights with the means and variances of pretrained layers."""

    file_hashes: ClassVar[Mapping[str, str]] = {"path": "sha256"}
    path: str = Field("", description="the weights file; left out: the weights that timm publishes")
    source: str = Field("", description="in place of a file: which of the sources that the study trains itself")
    sha256: str = Field(
        "", pattern="^([0-9a-f]{64})?$", description="of the file, found when left out; another file is refused"
    )


# --- optimisers -------------------------------------------------------------------------------------------------------


class AdamParams(Params):
    """Adam and its kin."""

    lr: LearningRate = Field(2e-3, description="peak learning rate")
    beta1: float = Field(0.9, ge=0, lt=1, description="decay of the first moment")
    beta2: float = Field(0.999, ge=0, lt=1, description="decay of the second moment")
    eps: float = Field(1e-8, gt=0, le=1, description="added to the denominator")
    weight_decay: WeightDecay = Field(0.0, description="L2 penalty, added to the gradient")


class AdamWParams(AdamParams):
    """Adam with decoupled weight decay."""

    weight_decay: WeightDecay = Field(0.01, description="decoupled weight decay, times the learning rate")


class SgdParams(Params):
    """Stochastic gradient descent."""

    lr: LearningRate = Field(0.1, description="peak learning rate")
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum")
    nesterov: bool = Field(False, description="Nesterov's momentum; needs momentum above 0")
    weight_decay: WeightDecay = Field(0.0, description="L2 penalty, added to the gradient")


class RmspropParams(Params):
    """RMSprop."""

    lr: LearningRate = Field(1e-3, description="peak learning rate")
    alpha: float = Field(0.99, ge=0, lt=1, description="decay of the squared gradient")
    momentum: float = Field(0.0, ge=0, lt=1, description="momentum")
    weight_decay: WeightDecay = Field(0.0, description="L2 penalty, added to the gradient")


# --- schedules --------------------------------------------------------------------------------------------------------


class OneCycleParams(Params):
    """Cosine up, cosine down."""

    warmup: float = Field(0.3, ge=0, lt=1, description="share of the steps on the way up")
    start: float = Field(0.04, gt=0, le=1, description="first learning rate as a share of the peak")
    end: float = Field(4e-6, ge=0, le=1, description="last learning rate as a share of the peak")


class DecayParams(Params):
    """A warm-up and a way down."""

    warmup: float = Field(0.0, ge=0, lt=1, description="share of the steps of linear warm-up from 0")
    end: float = Field(0.0, ge=0, le=1, description="last learning rate as a share of the peak")


class ConstantParams(Params):
    """A warm-up, then constant."""

    warmup: float = Field(0.0, ge=0, lt=1, description="share of the steps of linear warm-up from 0")


class StepParams(Params):
    """A drop by a factor at stated shares of the steps."""

    at: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field((0.5, 0.75), description="shares of the steps")
    factor: float = Field(0.1, gt=0, lt=1, description="what the rate is multiplied by at each")


# --- augmentations ----------------------------------------------------------------------------------------------------


class FlipParams(Params):
    """Mirror images."""

    horizontal: Probability = Field(0.5, description="probability of swapping left and right")
    vertical: Probability = Field(0.5, description="probability of swapping up and down; 0 where up is up")


class ShiftParams(Params):
    """Move images."""

    pixels: int = Field(4, ge=0, le=512, description="largest shift along each axis, in pixels; edges are repeated")


class AffineParams(Params):
    """Rotate, scale and move images."""

    degrees: float = Field(10.0, ge=0, le=180, description="largest rotation either way, in degrees")
    scale: float = Field(0.1, ge=0, lt=1, description="largest change of scale either way, as a share")
    shift: float = Field(0.05, ge=0, lt=1, description="largest shift either way, as a share of the side")


class IntensityParams(Params):
    """Change contrast and brightness."""

    contrast: float = Field(
        0.1, ge=0, lt=1, description="largest change of contrast about the image's mean, as a share"
    )
    brightness: float = Field(0.1, ge=0, le=1, description="largest change of brightness, in units of the pixel range")


class NoiseParams(Params):
    """Add Gaussian noise."""

    sd: float = Field(0.02, gt=0, le=1, description="largest standard deviation, in units of the pixel range")
