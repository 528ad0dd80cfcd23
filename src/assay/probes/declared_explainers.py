"""Explainers by name, declared without importing what they need."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from assay.core.registry import Params, register

_REPLACEMENT = "blur: of a Gaussian, sd an eighth of the shorter side; mean: the image's mean colour; black: 0"


class IntegratedGradientsParams(Params):
    """Arguments of `integrated-gradients`."""

    steps: int = Field(32, ge=2, le=1000, description="points of the line from the baseline to the image")
    baseline: Literal["blur", "mean", "black"] = Field("black", description=_REPLACEMENT)


class SmoothGradParams(Params):
    """Arguments of `smoothgrad`."""

    samples: int = Field(16, ge=1, le=1000, description="noisy copies of an image")
    noise: float = Field(0.1, gt=0, le=1, description="standard deviation, as a share of the image's range")


class LayerParams(Params):
    """Arguments of `grad-cam` and `layer-cam`."""

    layer: str = Field("", description="dotted name of a layer that gives maps; the last convolution where empty")


class OcclusionParams(Params):
    """Arguments of `occlusion`."""

    window: float = Field(0.125, gt=0, lt=1, description="side of the window that is covered, shorter side 1")
    stride: float = Field(1.0, gt=0, le=1, description="from one window to the next, side of the window 1")
    replacement: Literal["blur", "mean", "black"] = Field("mean", description=_REPLACEMENT)


class LrpParams(Params):
    """Arguments of `lrp`."""

    epsilon: float = Field(1e-6, gt=0, le=1, description="of the rule of linear layers, in units of their output")


_CODE = "assay.probes.explainers"

register(
    "explainer",
    "gradient",
    f"{_CODE}:Gradient",
    summary="size of the gradient by the pixels (Simonyan et al. 2014)",
)
register(
    "explainer",
    "input-x-gradient",
    f"{_CODE}:InputXGradient",
    summary="pixel times gradient (Shrikumar et al. 2016)",
)
register(
    "explainer",
    "integrated-gradients",
    f"{_CODE}:IntegratedGradients",
    IntegratedGradientsParams,
    summary="the mean gradient on the way from a baseline to the image (Sundararajan et al. 2017)",
)
register(
    "explainer",
    "smoothgrad",
    f"{_CODE}:SmoothGrad",
    SmoothGradParams,
    summary="the gradient averaged over noisy copies (Smilkov et al. 2017)",
)
register(
    "explainer",
    "guided-backprop",
    f"{_CODE}:GuidedBackprop",
    summary="the gradient without the negative part at each ReLU (Springenberg et al. 2015)",
)
register(
    "explainer",
    "grad-cam",
    f"{_CODE}:GradCam",
    LayerParams,
    summary="maps of the last convolution weighted by their mean gradient (Selvaraju et al. 2017)",
)
register(
    "explainer",
    "layer-cam",
    f"{_CODE}:LayerCam",
    LayerParams,
    summary="maps of a layer weighted by the gradient at each place (Jiang et al. 2021)",
)
register(
    "explainer",
    "occlusion",
    "assay.probes.explainers:Occlusion",
    OcclusionParams,
    summary="what the log-odds lose when a window is covered (Zeiler and Fergus 2014)",
)
register(
    "explainer",
    "attention-rollout",
    "assay.probes.explainers:AttentionRollout",
    summary="how much of each patch reaches a vision transformer's feature; of no class (Abnar and Zuidema 2020)",
)
register(
    "explainer",
    "lrp",
    "assay.probes.relevance:Lrp",
    LrpParams,
    summary="the log-odds dealt out layer by layer by rules that keep its sum (Bach et al. 2015)",
)
