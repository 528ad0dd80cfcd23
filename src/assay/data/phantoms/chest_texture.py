"""The texture of a radiograph's lungs: what is too fine to be drawn as vessels, and chalk's speckle in cartilage."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from assay.data.phantoms.canvas import Grid, column
from assay.data.phantoms.chest_visible import Visible
from assay.data.phantoms.counter import spread, white_noise
from assay.data.phantoms.fields import spline_zoom, zoom_gain

_COARSE, _FINE = 7, 64
"""Cells over the field of the slow changes and of the fine ones (6 mm)."""


def lung_texture(
    seen: Visible, nuisance: Int[np.ndarray, "n"], amount: float, grid: Grid
) -> tuple[Float[Tensor, "n size size"], Float[Tensor, "n size size"]]:
    """Attenuation that a full depth of lung adds, coarser and stronger with age; and chalk's speckle, 0 to 1.

    amount: scales the texture, 1 normal.
    """
    coarse = white_noise(nuisance, "chest-coarse", _COARSE + 2, _COARSE + 2, grid.device)
    field = spline_zoom(white_noise(nuisance, "chest-fine", _FINE + 2, _FINE + 2, grid.device), grid.size)
    speckle = (field * 1.2).add_(0.5).clamp_(0, 1)
    fine = 0.021 * amount * spread(nuisance, "chest-texture", 0.7, 1.3)[:, 0] * (1 + 0.35 * seen.age)
    field.mul_(column(fine / float(zoom_gain(_FINE, grid.size)), grid.device))
    slow = spline_zoom(coarse, grid.size).mul_(0.03 * amount / float(zoom_gain(_COARSE, grid.size)))
    return field.add_(slow), speckle
