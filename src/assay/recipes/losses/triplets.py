"""The triplet loss, and which triplets it looks at. Mining sorts; it never builds the b^3 triplets of a batch."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from assay.recipes.losses.geometry import distances, masked_mean, negatives, positives, unit

Mining = Literal["semi-hard", "hard"]


def triplet(
    z: Float[Tensor, "b d"], target: Int[Tensor, "b"], *, margin: float, mining: Mining, soft: bool, normalise: bool
) -> Float[Tensor, ""]:
    """Mean over the mined triplets of max(0, gap + margin), or of log(1 + exp(gap)) when `soft`.

    The gap is the anchor's distance to the positive minus that to the negative, Euclidean (not squared).

    semi-hard: each ordered positive pair with its nearest negative that is strictly farther than the positive; a pair
        whose gap is then at or beyond the margin is not counted (Schroff, Kalenichenko and Philbin, *FaceNet*, CVPR
        2015). When `soft` there is no margin and none is left out for it.
    hard: each anchor with its farthest positive and its nearest negative (Hermans, Beyer and Leibe, *In Defense of the
        Triplet Loss for Person Re-Identification*, 2017).

    Undefined, hence 0 with a connected gradient of 0, where no triplet is mined: no positive pair, a single class, or
    (semi-hard) all embeddings equal. Under hard mining equal embeddings score the margin, or ln 2 when soft.
    """
    d = distances(unit(z) if normalise else z)
    mine = _MINERS[mining]
    gap, mined = mine(d, positives(target), negatives(target))
    if soft:
        return masked_mean(nn.functional.softplus(gap), mined)
    if mining == "semi-hard":
        mined = mined & (gap > -margin)
    return masked_mean((gap + margin).relu(), mined)


def _semi_hard(
    d: Float[Tensor, "b b"], pairs: Bool[Tensor, "b b"], apart: Bool[Tensor, "b b"]
) -> tuple[Float[Tensor, "b b"], Bool[Tensor, "b b"]]:
    """Per (anchor, positive): the gap to the nearest negative beyond the positive, and whether there is one."""
    far_off = d.detach().masked_fill(~apart, torch.inf)
    ordered, who = far_off.sort(dim=1)
    place = torch.searchsorted(ordered, d.detach(), right=True)
    found = place < apart.sum(dim=1, keepdim=True)
    negative = who.gather(1, place.clamp_max(len(d) - 1))
    return d - d.gather(1, negative), pairs & found


def _hard(
    d: Float[Tensor, "b b"], pairs: Bool[Tensor, "b b"], apart: Bool[Tensor, "b b"]
) -> tuple[Float[Tensor, "b"], Bool[Tensor, "b"]]:
    """Per anchor: the gap between its farthest positive and its nearest negative, and whether it has both."""
    farthest = d.detach().masked_fill(~pairs, -1.0).argmax(dim=1, keepdim=True)
    nearest = d.detach().masked_fill(~apart, torch.inf).argmin(dim=1, keepdim=True)
    gap = d.gather(1, farthest) - d.gather(1, nearest)
    return gap[:, 0], pairs.any(dim=1) & apart.any(dim=1)


_MINERS = {"semi-hard": _semi_hard, "hard": _hard}
