"""Named parts of a recipe, declared without importing what they need.

Losses and mitigations are declared beside their code.
"""

from __future__ import annotations

from assay.core.registry import register
from assay.models import finetuning_parameters as f
from assay.training import declared_mitigations as mitigations
from assay.training import parameters as p
from assay.training import view_parameters as v
from assay.training.losses import declared as losses
from assay.training.losses import declared_grading as losses_of_grades
from assay.training.losses import declared_segmentation as losses_of_pixels
from assay.training.losses import declared_views as losses_of_views

__all__ = [
    "losses",
    "losses_of_grades",
    "losses_of_pixels",
    "losses_of_views",
    "mitigations",
]  # importing them declares what they hold


register(
    "architecture",
    "small-cnn",
    "assay.models.classifier:small_cnn",
    p.SmallCnnParams,
    summary="four strided 3x3 blocks of 8-16-32-64 channels, 25 thousand parameters; fast on a CPU",
    version=2,
)
register(
    "architecture",
    "resnet18",
    "assay.models.timm:resnet18",
    p.Resnet18Params,
    summary="ResNet-18 (He et al. 2016), with the usual stem or one for small images",
)
register(
    "architecture",
    "timm",
    "assay.models.timm:timm_network",
    p.TimmParams,
    summary="any classification network of the timm library, by its name there",
)

register(
    "architecture",
    "small-unet",
    "assay.models.segmenter:small_unet",
    p.SmallUnetParams,
    summary="U-Net of 8-16-32-48 channels from half the size on, 85 thousand parameters; fast on a CPU",
)
register(
    "architecture",
    "smp",
    "assay.models.segmentation_libraries:smp_network",
    p.SmpParams,
    summary="a network of segmentation-models-pytorch by its name there, on any of its or timm's encoders",
)
register(
    "architecture",
    "w-net",
    "assay.models.segmentation_libraries:w_net",
    p.WNetParams,
    summary="two FPNs in a row, the second sees the image and the first's logits (Galdran et al. 2021)",
)
register(
    "architecture",
    "monai",
    "assay.models.segmentation_libraries:monai_network",
    p.MonaiParams,
    summary="a two-dimensional segmentation network of MONAI: basic-unet, dynunet or segresnet",
)

register("initialisation", "random", "assay.models.initialisation:Random", summary="the library's own random weights")
register(
    "initialisation",
    "timm",
    "assay.models.initialisation:PretrainedByTimm",
    summary="the weights that timm publishes for the architecture (downloaded once)",
)
register(
    "initialisation",
    "file",
    "assay.models.initialisation:FromFile",
    p.FileParams,
    summary="a weights file (timm, torchvision, Keras, RadImageNet, MONAI, MoCo, lightly), every key accounted for",
)
register(
    "initialisation",
    "source",
    "assay.models.initialisation:FromSource",
    p.SourceParams,
    summary="a start that the study trains itself: one of its `sources`, by its own name",
)
register(
    "initialisation",
    "download",
    "assay.models.initialisation:Downloaded",
    p.DownloadParams,
    summary="a weights file from a public address, fetched once and checked",
)
register(
    "initialisation",
    "random-statistics",
    "assay.models.initialisation:RandomStatistics",
    p.RandomStatisticsParams,
    summary="random weights with the mean and variance of each pretrained layer (Raghu et al. 2019)",
)

for _name, _attribute, _params, _summary in (
    ("full", "FineTuning", f.FullParams, "everything is trained, at one learning rate"),
    ("linear-probe", "LinearProbe", f.LinearProbeParams, "a logistic head on the features of the start, no step"),
    ("last-layers", "LastLayers", f.LastLayersParams, "the head and the last layers, the others frozen"),
    (
        "discriminative-rates",
        "DiscriminativeRates",
        f.DiscriminativeRatesParams,
        "lower learning rates for shallower layers (Howard and Ruder 2018)",
    ),
):
    register("finetuning", _name, f"assay.models.initialisation:{_attribute}", _params, summary=_summary)
register(
    "finetuning",
    "probe-then-full",
    "assay.models.initialisation:ProbeThenFull",
    f.ProbeThenFullParams,
    summary="a linear probe, then everything (Kumar et al. 2022)",
    version=2,
)

for _name, _params, _summary in (
    ("adamw", p.AdamWParams, "Adam with decoupled weight decay (Loshchilov and Hutter 2019)"),
    ("adam", p.AdamParams, "Adam (Kingma and Ba 2015)"),
    ("nadam", p.AdamParams, "Adam with Nesterov's momentum (Dozat 2016)"),
    ("sgd", p.SgdParams, "stochastic gradient descent with momentum"),
    ("rmsprop", p.RmspropParams, "RMSprop (Tieleman and Hinton 2012)"),
):
    register("optimiser", _name, f"assay.training.optim:{_name}", _params, summary=_summary)

for _name, _attribute, _params, _summary in (
    ("one-cycle", "OneCycle", p.OneCycleParams, "cosine from a 25th of the rate to its peak and down to nothing"),
    ("cosine", "Cosine", p.DecayParams, "linear warm-up, then half a cosine down"),
    ("linear", "Linear", p.DecayParams, "linear warm-up, then linearly down"),
    ("constant", "Constant", p.ConstantParams, "linear warm-up, then constant"),
    ("step", "Step", p.StepParams, "a drop by a factor at stated shares of the steps"),
):
    register("schedule", _name, f"assay.training.optim:{_attribute}", _params, summary=_summary)

for _name, _attribute, _params, _summary in (
    ("flip", "Flip", p.FlipParams, "mirror left and right, up and down"),
    ("shift", "Shift", p.ShiftParams, "move by whole pixels, edges repeated"),
    ("affine", "Affine", p.AffineParams, "rotate, scale and move, edges repeated"),
    ("intensity", "Intensity", p.IntensityParams, "change contrast and brightness"),
    ("noise", "Noise", p.NoiseParams, "add Gaussian noise"),
):
    register("augmentation", _name, f"assay.training.augmentation:{_attribute}", _params, summary=_summary)

for _name, _attribute, _params, _summary in (
    ("resized-crop", "ResizedCrop", v.ResizedCropParams, "a random window of the image, scaled to its size"),
    ("colour", "Colour", v.ColourParams, "change brightness, contrast, saturation and hue, or take the colour out"),
    ("blur", "Blur", v.BlurParams, "a Gaussian blur of some images"),
):
    register("augmentation", _name, f"assay.training.augmentation:{_attribute}", _params, summary=_summary)
