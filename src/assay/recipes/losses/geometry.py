"""Distances, directions and pairs of a batch of embeddings, with gradients that are finite everywhere."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

_TINY_LENGTH = 1e-8


def unit(z: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
    """Each row scaled to length 1.

    A row shorter than 1e-8 has no direction: it becomes 0 and gets no gradient (dividing by a small constant in place
    of its length would multiply its gradient by that constant's inverse).
    """
    squared = z.square().sum(dim=1, keepdim=True)
    length = squared.clamp_min(_TINY_LENGTH**2).sqrt()
    return torch.where(squared > _TINY_LENGTH**2, z / length, 0.0)


def euclidean(a: Float[Tensor, "b d"], b: Float[Tensor, "k d"]) -> Float[Tensor, "b k"]:
    """Euclidean distances between the rows of `a` and those of `b`; 0 has gradient 0.

    Summed differences, not the expansion into inner products, whose cancellation leaves 3e-4 where 0 is due.
    """
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def positives(target: Int[Tensor, "b"]) -> Bool[Tensor, "b b"]:
    """Which ordered pairs are of one class; nobody is paired with itself."""
    same = target[:, None] == target[None, :]
    return same & ~torch.eye(len(target), dtype=torch.bool, device=target.device)


def negatives(target: Int[Tensor, "b"]) -> Bool[Tensor, "b b"]:
    """Which ordered pairs are of two classes."""
    return target[:, None] != target[None, :]


def masked_mean(values: Tensor, where: Bool[Tensor, "..."]) -> Float[Tensor, ""]:
    """The mean of `values` where `where` holds; 0, still connected to the graph, where it holds nowhere.

    Values elsewhere may be anything finite.
    """
    return (values * where).sum() / where.sum().clamp_min(1)


def masked_logsumexp(values: Float[Tensor, "b k"], where: Bool[Tensor, "b k"]) -> Float[Tensor, "b"]:
    """log sum exp over the entries of a row where `where` holds; hugely negative, yet finite, where it holds nowhere.

    Minus infinity would be the limit, and its gradient NaN.
    """
    floor = torch.finfo(values.dtype).min / 4
    return torch.logsumexp(values.masked_fill(~where, floor), dim=1)
