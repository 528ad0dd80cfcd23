"""One image's overlap and surfaces at the size of its own file, where the mask is as it came."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from assay.core.maps import AT_NATIVE, MapGrid
from assay.maps.kinds import count_kinds
from assay.maps.summary import DEFAULT_GRID
from assay.maps.surfaces import surfaces


def at_native(
    probabilities: Float[Tensor, "k h w"],
    labels: UInt8[Tensor, "h w"],
    millimetres: float = 1.0,
    grid: MapGrid = DEFAULT_GRID,
) -> dict[str, np.ndarray]:
    """The `native_` columns of docs/reference/maps.md, each with a first axis of one image.

    probabilities: of background and k - 1 kinds of lesion, at the size of the labels. A pixel is called lesion where
    they leave at most half to the background, and of several kinds it is called what is likeliest.
    millimetres: how many a pixel is wide and high, NaN where that is unknown; 1 to measure surfaces in px.
    """
    called: Bool[np.ndarray, "h w"] = (probabilities[0] <= 0.5).cpu().numpy()
    lesion: Bool[np.ndarray, "h w"] = (labels != 0).cpu().numpy()
    apart = surfaces(called[None], lesion[None], np.full((1, 2), millimetres), grid.tolerance)
    pixels = {"pixels": lesion.size, "truth": lesion.sum(), "predicted": called.sum(), "hit": (lesion & called).sum()}
    found = {
        **{name: np.array([count], dtype=np.int32) for name, count in pixels.items()},
        "hd95": apart.hd95,
        "surface_distance": apart.distance,
        "surface_dice": apart.dice,
        "surface_code": apart.code,
        **(count_kinds(probabilities[None], labels[None], grid.covered) if len(probabilities) > 2 else {}),
    }
    return {f"{AT_NATIVE}{name}": column for name, column in found.items()}
