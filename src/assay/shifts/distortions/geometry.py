"""Places and pixels: an elastic transform, larger pixels, JPEG."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.nn import functional

from assay.shifts.confounders.compression import Jpeg
from assay.shifts.confounders.diffuse import same, settled
from assay.shifts.confounders.layers import Shape
from assay.shifts.confounders.randomness import singles
from assay.shifts.confounders.smoothing import gaussian
from assay.shifts.distortions.distortion import Distortion, stream, untied
from assay.shifts.intervention import Draws, Parameters

_ELASTIC = (12.5, 16.25, 21.25, 25.0, 30.0)
_PIXELS = (0.6, 0.5, 0.4, 0.3, 0.25)
_QUALITY = (25, 18, 15, 10, 7)


@dataclass(frozen=True)
class ElasticTransform(Distortion):
    """Every pixel read from a place a little away (bilinear), by a random field smoothed over 1 % of each side.

    Against the reference, given its field: within one level of 8 bits.
    """

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The bent images."""
        height, width = images.shape[2:]
        across, down = (
            singles(stream(parameters, part), height * width).mul_(2).sub_(1).view(-1, 1, height, width)
            for part in (0, 1)
        )
        return self.bent(images, across, down)

    def bent(
        self, images: Float[Tensor, "b c h w"], across: Float[Tensor, "b 1 h w"], down: Float[Tensor, "b 1 h w"]
    ) -> Float[Tensor, "b c h w"]:
        """The images bent by these rough fields in -1..1."""
        height, width = images.shape[2:]
        far, sigma = 0.005 * height * self.at(_ELASTIC), (0.01 * height, 0.01 * width)
        x = torch.arange(width, device=images.device) + gaussian(across, sigma, "reflect", 3.0)[:, 0] * far
        y = torch.arange(height, device=images.device)[:, None] + gaussian(down, sigma, "reflect", 3.0)[:, 0] * far
        grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1)
        read = functional.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
        return settled(read.double())


@dataclass(frozen=True)
class Pixelate(Distortion):
    """Larger pixels: means over boxes of whole pixels, then the nearest. One pixel is left at least.

    Against the reference: within two levels of 8 bits, since it cuts to 8 bits along each axis. Where the middle of a
    pixel lies on the border of two boxes (never at 224 px), rounding decides in Pillow, and it may give the other one.
    """

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """Nothing is random: `severity`, the same for all rows."""
        return same(draws, "severity", self.severity)

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The coarser images."""
        sides = images.shape[2:]
        small = images
        for axis, length in ((2, sides[0]), (3, sides[1])):
            small = box_means(small, axis, max(1, int(length * self.at(_PIXELS))))
        small = untied(small.double())
        for axis, length in ((2, sides[0]), (3, sides[1])):
            nearest = (2 * torch.arange(length, device=images.device) + 1) * small.shape[axis] // (2 * length)
            small = small.index_select(axis, nearest)
        return small


def box_means(images: Float[Tensor, "b c h w"], axis: int, coarse: int) -> Float64[Tensor, "b c h2 w2"]:
    """Means along an axis over the pixels whose middles lie in each coarse pixel (Pillow's box filter)."""
    length = images.shape[axis]
    # of pixel i the middle i + .5 lies in box ceil((i + .5) coarse / length) - 1: box k begins at the first such i
    edges = (2 * torch.arange(coarse + 1, device=images.device) * length + coarse) // (2 * coarse)
    first, sizes = edges[:-1], edges.diff()
    shape = [-1 if at == axis else 1 for at in range(images.ndim)]
    total = images.index_select(axis, first).double()
    for step in range(1, int(sizes.max())):
        there = (sizes > step).view(shape)
        total += images.index_select(axis, (first + step).clamp(max=length - 1)) * there
    return total / sizes.view(shape)


@dataclass(frozen=True)
class JpegCompression(Distortion):
    """Saved as JPEG and read again, by the confounder `jpeg`; on the processor. Equal to the reference on RGB."""

    def check(self, shape: Shape) -> None:
        """Raises SpecError for images that are neither grey nor RGB."""
        Jpeg(_QUALITY[0]).check(shape)

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """Nothing is random: `severity`, the same for all rows."""
        return same(draws, "severity", self.severity)

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The images with the traces of compression."""
        return Jpeg(self.at(_QUALITY)).changed(images, parameters)
