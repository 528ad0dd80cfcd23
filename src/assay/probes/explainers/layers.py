"""Explainers that read a layer's maps: Grad-CAM and Layer-CAM."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float, Int
from torch import Tensor, nn

from assay.probes.explainers.explainer import Step, Subject, slopes_at

INSTEAD = "use gradient, integrated-gradients, smoothgrad or occlusion"


class _OfALayer:
    """What explainers by the maps of one layer share."""

    additive: ClassVar[bool] = False

    def __init__(self, *, layer: str = "") -> None:
        self.layer = layer

    def refusal(self, subject: Subject) -> str:
        """It needs a layer that gives maps and through which all that comes later goes."""
        return why_not(subject, self.layer)


class GradCam(_OfALayer):
    """Implements `Explainer`: a layer's maps, weighted by the mean over space of the gradient by them, summed, without
    the negative part, brought to the image's size by linear interpolation (Selvaraju et al. 2017).

    layer: dotted module name; the last convolution where it is empty, with what is done to its map up to the last step
    of the same shape (norm, rectifier, the block's sum). A coarse map favours large lesions, whatever the network sees.
    """

    def explain(
        self, subject: Subject, images: Float[Tensor, "b c h w"], own: Int[Tensor, " b"]
    ) -> Float[Tensor, "b h w"]:
        """See `Explainer`."""
        maps, slope = slopes_at(subject, map_layer(subject, self.layer).module, images, own)
        return _shown((slope.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1), images)


class LayerCam(_OfALayer):
    """Implements `Explainer`: a layer's maps, each place weighted by the positive part of the gradient there, summed,
    without the negative part, brought to the image's size (Jiang et al. 2021).

    layer: as of `GradCam`. Places keep their own weight, so that earlier and finer layers can be shown.
    """

    def explain(
        self, subject: Subject, images: Float[Tensor, "b c h w"], own: Int[Tensor, " b"]
    ) -> Float[Tensor, "b h w"]:
        """See `Explainer`."""
        maps, slope = slopes_at(subject, map_layer(subject, self.layer).module, images, own)
        return _shown((slope.clamp(min=0) * maps).sum(dim=1), images)


def why_not(subject: Subject, layer: str) -> str:
    """Why a layer's maps cannot explain a network; empty where they can."""
    if layer:
        found = [step for step in subject.steps if step.name == layer]
        if not found:
            near = ", ".join(step.name for step in subject.steps if _is_map(step))
            return f"no layer '{layer}' runs in this network; layers that give maps: {near or 'none'}"
        if not _is_map(found[-1]):
            return f"layer '{layer}' gives {list(found[-1].shape)}, no maps [b, d, h, w] of several places: {INSTEAD}"
        many = sum(step.name == layer for step in found)
        return f"layer '{layer}' runs {many} times in a pass, so its maps are not one: {INSTEAD}" if many > 1 else ""
    last = _last_convolution(subject)
    if last is None:
        return f"no convolution of this network gives maps of several places: {INSTEAD}"
    after = subject.steps[subject.steps.index(map_layer(subject, "")) + 1 :]
    tokens = next((step.name for step in after if _is_tokens(step)), "")
    return f"the network goes on with tokens ('{tokens}') after its last convolution: {INSTEAD}" if tokens else ""


def map_layer(subject: Subject, layer: str) -> Step:
    """The layer of that name; else the last step of the same shape as the last convolution's map."""
    if layer:
        return next(step for step in subject.steps if step.name == layer)
    last = _last_convolution(subject)
    assert last is not None, "ask why_not first"
    return [step for step in subject.steps[subject.steps.index(last) :] if step.shape == last.shape][-1]


def _last_convolution(subject: Subject) -> Step | None:
    found = [step for step in subject.steps if isinstance(step.module, nn.Conv2d) and _is_map(step)]
    return found[-1] if found else None


def _is_map(step: Step) -> bool:
    return len(step.shape) == 4 and step.shape[2] * step.shape[3] > 1


def _is_tokens(step: Step) -> bool:
    """An output [b, t, d], or one of a module that attends, whatever its shape."""
    return len(step.shape) == 3 or "Attention" in type(step.module).__name__


def _shown(coarse: Float[Tensor, "b u v"], images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b h w"]:
    return enlarged(coarse.clamp(min=0), images.shape[2], images.shape[3])


def enlarged(coarse: Float[Tensor, "b u v"], height: int, width: int) -> Float[Tensor, "b {height} {width}"]:
    """A coarse map brought to a size by linear interpolation between the middles of its places."""
    size = (height, width)
    return nn.functional.interpolate(coarse[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]
