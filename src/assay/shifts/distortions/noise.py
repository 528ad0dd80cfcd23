"""Noise: Gaussian, of counted photons, of dead pixels, and in proportion to the pixel."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from assay.shifts.confounders.randomness import normals, singles
from assay.shifts.distortions.distortion import Distortion
from assay.shifts.intervention import Parameters

_GAUSSIAN = (0.08, 0.12, 0.18, 0.26, 0.38)
_PHOTONS = (60.0, 25.0, 12.0, 5.0, 3.0)
_IMPULSES = (0.03, 0.06, 0.09, 0.17, 0.27)
_SPECKLE = (0.15, 0.2, 0.35, 0.45, 0.6)


@dataclass(frozen=True)
class GaussianNoise(Distortion):
    """x + sigma z, cut at black and white; z independent in every pixel and channel.

    Against the reference, given its z: within one level of 8 bits.
    """

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The noisy images."""
        return self.noisy(images, normals(parameters["seed"], images[0].numel()).view_as(images))

    def noisy(self, images: Float[Tensor, "b c h w"], z: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The images with this standard normal noise."""
        return torch.add(images, z, alpha=self.at(_GAUSSIAN)).clamp_(0, 1)


@dataclass(frozen=True)
class ShotNoise(Distortion):
    """Poisson counts of mean photons x, over photons, cut at white.

    Counts are drawn by torch for one row at a time from a generator with the row's seed, on the images' device: a
    processor and a GPU draw others. Against the reference, given its counts: within one level of 8 bits; the counts
    have the mean and the variance of a Poisson distribution.
    """

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The noisy images."""
        mean = images * self.at(_PHOTONS)
        made = torch.Generator(images.device)
        rows = [
            torch.poisson(one, generator=made.manual_seed(int(seed)))
            for one, seed in zip(mean, parameters["seed"], strict=True)
        ]
        return self.counted(torch.stack(rows))

    def counted(self, counts: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Counts as pixels."""
        return counts.div(self.at(_PHOTONS)).clamp_(max=1)


@dataclass(frozen=True)
class ImpulseNoise(Distortion):
    """A share of all values, by channel, is black or white, each as likely.

    Against the reference, given its choice of values: within one level of 8 bits.
    """

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The images with dead and hot pixels."""
        return self.struck(images, singles(parameters["seed"], images[0].numel()).view_as(images))

    def struck(self, images: Float[Tensor, "b c h w"], u: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """White where u is under half of the share, black up to the whole of it."""
        share = self.at(_IMPULSES)
        return images.masked_fill(u < share, 0.0).masked_fill_(u < share / 2, 1.0)


@dataclass(frozen=True)
class SpeckleNoise(Distortion):
    """x + sigma x z, cut at black and white. Against the reference, given its z: within one level of 8 bits."""

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The noisy images."""
        return self.noisy(images, normals(parameters["seed"], images[0].numel()).view_as(images))

    def noisy(self, images: Float[Tensor, "b c h w"], z: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The images with this standard normal noise."""
        return torch.addcmul(images, images, z, value=self.at(_SPECKLE)).clamp_(0, 1)
