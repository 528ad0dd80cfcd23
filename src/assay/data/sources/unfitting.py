"""Maps of the study's square back at an image's own size: the rule of `fitting` undone."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from assay.data.sources.fitting import placed


def unfitted(maps: Float[Tensor, "k size size"], height: int, width: int) -> Float[Tensor, "k height width"]:
    """Maps over the square as maps over an image of this native height and width.

    The padding is cut off, at the box that `placed` says, and the box scaled to the image, pixel areas on pixel areas,
    rows and columns each by their own factor. Between the middles of pixels values are linear, beyond the outermost
    ones those of the edge; where the image is smaller than its box, which an enlarged one is, they are averaged by the
    triangle filter of `fit_image`. Values stay within those of the maps, and a box of the image's size is taken as it
    is.
    """
    box = placed(height, width, maps.shape[-1])
    inside = maps[:, box.rows, box.columns]
    if inside.shape[1:] == (height, width):
        return inside
    return functional.interpolate(inside[None], (height, width), mode="bilinear", align_corners=False, antialias=True)[
        0
    ]
