"""Random texture of a photograph: two fields that skin, wounds and cloth share, each with its own use for them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from assay.data.phantoms.canvas import Grid
from assay.data.phantoms.counter import white_noise
from assay.data.phantoms.fields import spline_zoom, zoom_gain

_BROAD, _COARSE, _FINE, _FINEST = 5, 18, 60, 200


@dataclass(frozen=True, slots=True)
class Texture:
    """Fields of mean 0 and variance near 1, [n, size, size]. coarse: spots of 5 to 20 % of a side; fine: of 1 to 2."""

    coarse: Float[Tensor, "n size size"]
    fine: Float[Tensor, "n size size"]


def texture(nuisance: Int[np.ndarray, "n"], grid: Grid) -> Texture:
    """The fields of these images; from 256 px on the fine one holds a still finer octave."""
    broad = white_noise(nuisance, "foot-broad", _BROAD + 2, _BROAD + 2, grid.device)
    spots = white_noise(nuisance, "foot-coarse", _COARSE + 2, _COARSE + 2, grid.device)
    mixed = spline_zoom(broad, _COARSE + 2).mul_(1.0 / float(zoom_gain(_BROAD, _COARSE + 2))).add_(spots.mul_(0.8))
    coarse = spline_zoom(mixed, grid.size)
    grains = white_noise(nuisance, "foot-fine", _FINE + 2, _FINE + 2, grid.device)
    fine = spline_zoom(grains, grid.size).mul_(1 / float(zoom_gain(_FINE, grid.size)))
    if grid.size >= 256:
        pores = white_noise(nuisance, "foot-finest", _FINEST + 2, _FINEST + 2, grid.device)
        fine.mul_(0.8).add_(spline_zoom(pores, grid.size).mul_(0.6 / float(zoom_gain(_FINEST, grid.size))))
    return Texture(coarse, fine)
