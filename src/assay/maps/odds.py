"""From a network's logits per pixel to the log-odds of lesion, and to probabilities."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def lesion_logits(logits: Float[Tensor, "b k h w"]) -> Float[Tensor, "b h w"]:
    """Log-odds of any kind of lesion against background, float32, from a softmax over k labels, 0 being background.

    A single channel is the log-odds already (sigmoid). Never saturates, as a probability does.
    """
    wide = logits.float()
    if wide.shape[1] == 1:
        return wide[:, 0]
    return wide[:, 1:].logsumexp(dim=1) - wide[:, 0]


def label_probabilities(logits: Float[Tensor, "b k h w"]) -> Float[Tensor, "b l h w"]:
    """Probabilities of background and every kind of lesion, float32; of a single channel, of background and lesion."""
    wide = logits.float()
    if wide.shape[1] == 1:
        return torch.cat([torch.sigmoid(-wide), torch.sigmoid(wide)], dim=1)
    return wide.softmax(dim=1)
