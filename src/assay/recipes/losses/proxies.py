"""Losses that compare embeddings with one learned direction per class."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from assay.recipes.losses.geometry import unit

_SMALL_SINE_SQUARED = 1e-12


def angular_softmax(
    cosines: Float[Tensor, "b k"], target: Int[Tensor, "b"], *, scale: float, margin: float
) -> Float[Tensor, ""]:
    """Mean cross-entropy of scale * cosines, the target's angle first enlarged by `margin` radian; at least 0.

    Where angle + margin passes pi, cos would turn upwards again; there the target's cosine is lowered by
    margin * sin(margin) in its place, as in the authors' code, so that the loss keeps falling with the angle.
    Margin 0 is the normalised softmax. Deng, Guo, Xue and Zafeiriou, *ArcFace*, CVPR 2019.
    """
    own = cosines.gather(1, target[:, None])
    # kept off 0, where the root has no finite gradient: an embedding that lies on its class's direction
    sine = (1 - own.square()).clamp_min(_SMALL_SINE_SQUARED).sqrt()
    turned = own * math.cos(margin) - sine * math.sin(margin)
    lowered = own - margin * math.sin(margin)
    with_margin = torch.where(own > -math.cos(margin), turned, lowered)
    return nn.functional.cross_entropy(scale * cosines.scatter(1, target[:, None], with_margin), target)


class AngularSoftmax(nn.Module):
    """`angular_softmax` against learned directions, one per class: rows of `directions.weight`, used at length 1."""

    def __init__(self, dimensions: int, classes: int, *, scale: float, margin: float) -> None:
        super().__init__()
        self.scale = scale
        self.margin = margin
        self.directions = nn.Linear(dimensions, classes, bias=False)

    def forward(self, z: Float[Tensor, "b d"], target: Int[Tensor, "b"]) -> Float[Tensor, ""]:
        """The mean over the batch. Defined on every batch; an embedding of length 0 has cosine 0 to all classes."""
        cosines = unit(z) @ unit(self.directions.weight).T
        return angular_softmax(cosines, target, scale=self.scale, margin=self.margin)
