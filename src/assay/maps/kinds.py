"""Pixels of each kind of lesion, where several kinds are told apart."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor


def count_kinds(
    logits: Float[Tensor, "b k h w"], labels: Integer[Tensor, "b h w"] | Bool[Tensor, "b h w"]
) -> dict[str, np.ndarray]:
    """`kind_truth`, `kind_predicted` and `kind_hit`, int32 [b, k - 1]: pixels of each kind that are true, called, both.

    logits: of background and k - 1 kinds; a pixel is called what has its greatest logit, of equal ones the first.
    """
    called, true = logits.argmax(dim=1), labels.to(logits.device).long()
    counts: dict[str, list[Tensor]] = {"kind_truth": [], "kind_predicted": [], "kind_hit": []}
    for kind in range(1, logits.shape[1]):
        there, said = true == kind, called == kind
        for name, pixels in zip(counts, (there, said, there & said), strict=True):
            counts[name].append(pixels.sum(dim=(1, 2)))
    return {name: torch.stack(found, dim=1).to(torch.int32).cpu().numpy() for name, found in counts.items()}
