"""Drops on the lens: water, then mud."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from assay.shifts.confounders.layers import in_channels
from assay.shifts.confounders.randomness import normals
from assay.shifts.confounders.smoothing import beyond, gaussian, smooth, widened
from assay.shifts.distortions.distortion import Distortion
from assay.shifts.intervention import Parameters

_LEVELS = (
    (0.65, 0.3, 4.0, 0.69, 0.6, False),
    (0.65, 0.3, 3.0, 0.68, 0.6, False),
    (0.65, 0.3, 2.0, 0.68, 0.5, False),
    (0.65, 0.3, 1.0, 0.65, 1.5, True),
    (0.67, 0.4, 1.0, 0.65, 1.5, True),
)
_WATER = (175 / 255, 238 / 255, 238 / 255)
_MUD = (63 / 255, 42 / 255, 20 / 255)
_FAR = 20
_THIRDS = [1 / 3, 1 / 3]


@dataclass(frozen=True)
class Spatter(Distortion):
    """Blurred noise above a threshold: drops of water with a lit relief up to severity 3, mud from 4 on.

    Against the reference, given its noise: mud within one level of 8 bits for 99 % of values (the others lie where
    noise meets the threshold); water by 3 levels on average, since the edges of drops are taken where the threshold
    cuts and not by Canny's rule, and distances to them are exact and not of a 5 x 5 mask.
    """

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The images behind drops."""
        height, width = images.shape[2:]
        return self.splashed(images, normals(parameters["seed"], height * width).view(-1, 1, height, width))

    def splashed(self, images: Float[Tensor, "b c h w"], z: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b c h w"]:
        """The images with drops from this standard normal noise."""
        mean, spread, sigma, least, strength, mud = self.at(_LEVELS)
        liquid = gaussian(z * spread + mean, sigma)
        if mud:
            cover = gaussian((liquid > least).float(), strength)
            cover = torch.where(cover < 0.8, 0.0, cover)
            return (images * (1 - cover)).addcmul_(cover, in_channels(_MUD, images)).clamp_(0, 1)
        wet = liquid >= least
        relief = _relief(wet) * torch.where(wet, (liquid * 255).clamp_(0, 255).floor_(), 0.0)
        relief *= strength / relief.amax(dim=(2, 3), keepdim=True).clamp(min=1e-6)
        return images.addcmul(relief, in_channels(_WATER, images)).clamp_(0, 1)


def _relief(wet: Bool[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
    """How brightly each place of a drop is lit, 0 to 255: distances to its edge, equalised, embossed, smoothed."""
    height = _mean3(_distance(_edges(wet))).floor_()
    level = _equalised(height)
    wide = widened(level, 1, "mirror")
    lit = torch.zeros_like(level)
    for y, line in enumerate(((-2, -1, 0), (-1, 1, 1), (0, 1, 2))):
        for x, weight in enumerate(line):
            lit.add_(wide[:, :, y : y + lit.shape[2], x : x + lit.shape[3]], alpha=weight)
    return _mean3(lit.clamp_(0, 255)).round_()


def _edges(wet: Bool[Tensor, "b 1 h w"]) -> Bool[Tensor, "b 1 h w"]:
    """Pixels of drops with a dry one above, below, left or right."""
    wide = widened(wet, 1, "nearest")
    around = wide[:, :, :-2, 1:-1] & wide[:, :, 2:, 1:-1] & wide[:, :, 1:-1, :-2] & wide[:, :, 1:-1, 2:]
    return wet & ~around


def _distance(edges: Bool[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
    """Distance to the nearest edge pixel in px, 20 at the most."""
    far = float(_FAR * _FAR)
    squared = torch.where(edges, 0.0, far)
    for axis in (2, 3):
        length = squared.shape[axis]
        wide = squared.index_select(axis, beyond(length, _FAR, "nearest", edges.device))
        best = squared.clone()
        for step in range(1, _FAR):
            for first in (_FAR - step, _FAR + step):
                torch.minimum(best, wide.narrow(axis, first, length) + step * step, out=best)
        squared = best
    return squared.clamp_(max=far).sqrt_()


def _equalised(height: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
    """Whole numbers 0 to 20 spread over 0 to 255 by how many pixels lie below, as OpenCV equalises a histogram."""
    flat = height.flatten(1).long()
    counts = torch.zeros(len(flat), _FAR + 1, dtype=torch.long, device=flat.device)
    counts.scatter_add_(1, flat, torch.ones_like(flat))
    upto = counts.cumsum(dim=1)
    first = counts.gather(1, flat.amin(dim=1, keepdim=True))
    rest = (flat.shape[1] - first).clamp(min=1)
    spread = ((upto - first).clamp(min=0).double() * (255.0 / rest)).round().float()
    same = first == flat.shape[1]
    level = torch.where(same, flat.float(), spread.gather(1, flat))
    return level.view_as(height)


def _mean3(values: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
    """The mean over 3 x 3 pixels."""
    return smooth(smooth(values, _THIRDS, 2, "mirror"), _THIRDS, 3, "mirror")
