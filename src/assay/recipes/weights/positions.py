"""Position embeddings of a vision transformer, brought from the image size of a file to that of the network."""

from __future__ import annotations

import math
from collections.abc import Mapping

from timm.layers.pos_embed import resample_abs_pos_embed
from torch import Tensor, nn

POSITIONS = "pos_embed"
"""timm's name of the embeddings [1, tokens, width]: those of the prefix (class, registers), then one a patch."""


def fitted_positions(trunk: nn.Module, tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """The tensors with position embeddings for the trunk's grid of patches, and what was done, as `14x14 to 4x4`.

    They are resampled as timm does when it loads its own weights at another size: bicubic, antialiased, those of prefix
    tokens as they are. Left as they are, with nothing said, when they fit, and where the grid that they were learned on
    cannot be told: it is square in all weights that timm publishes.
    """
    here, given = trunk.state_dict().get(POSITIONS), tensors.get(POSITIONS)
    grid: tuple[int, int] | None = getattr(getattr(trunk, "patch_embed", None), "grid_size", None)
    if here is None or given is None or grid is None or here.shape == given.shape:
        return dict(tensors), ""
    prefix = 0 if getattr(trunk, "no_embed_class", False) else int(getattr(trunk, "num_prefix_tokens", 0))
    side = math.isqrt(max(0, given.shape[1] - prefix)) if given.ndim == 3 else 0
    fits = prefix + grid[0] * grid[1] == here.shape[1]
    if not fits or side == 0 or prefix + side**2 != given.shape[1] or given.shape[2] != here.shape[2]:
        return dict(tensors), ""
    made = resample_abs_pos_embed(given, new_size=list(grid), num_prefix_tokens=prefix)
    return {**tensors, POSITIONS: made}, f"{side}x{side} to {grid[0]}x{grid[1]}"
