"""Losses over pairs of embeddings, and the geometry that they need."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

# Distances, directions and pairs of a batch of embeddings, with gradients that are finite everywhere.

_TINY_LENGTH = 1e-8


def unit(z: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
    """Return each row scaled to length 1.

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
    """Return the mean of `values` where `where` holds; 0, still connected to the graph, where it holds nowhere.

    Values elsewhere may be anything finite.
    """
    return (values * where).sum() / where.sum().clamp_min(1)


def masked_logsumexp(values: Float[Tensor, "b k"], where: Bool[Tensor, "b k"]) -> Float[Tensor, "b"]:
    """log sum exp over the entries of a row where `where` holds; hugely negative, yet finite, where it holds nowhere.

    Minus infinity would be the limit, and its gradient NaN.
    """
    floor = torch.finfo(values.dtype).min / 4
    return torch.logsumexp(values.masked_fill(~where, floor), dim=1)


# The losses over pairs that no library computes as we need them, as pure functions of embeddings and targets.
#
# Each is a mean over the positive pairs of a batch. Where there are none (no two images of one class, or no two
# classes) the value is 0 with a gradient of 0, connected to the graph, so that a step can always be taken. Nothing here
# loops over images.


def lifted_structure(
    z: Float[Tensor, "b d"], target: Int[Tensor, "b"], *, margin: float, normalize: bool
) -> Float[Tensor, ""]:
    """Mean over positive pairs of max(0, J)^2 / 2, where for the pair (i, j)

    J = D_ij + log(sum over negatives k of i: exp(margin - D_ik) + sum over negatives k of j: exp(margin - D_jk)).

    Undefined, hence 0, without a positive pair or with a single class. Song, Xiang, Jegelka and Savarese, *Deep Metric
    Learning via Lifted Structured Feature Embedding*, CVPR 2016 (its smooth upper bound).
    """
    seen = unit(z) if normalize else z
    d = euclidean(seen, seen)
    apart = negatives(target)
    crowd = masked_logsumexp(margin - d, apart)
    j = d + torch.logaddexp(crowd[:, None], crowd[None, :])
    return masked_mean(j.relu().square() / 2, positives(target) & apart.any())


def n_pair(z: Float[Tensor, "b d"], target: Int[Tensor, "b"], *, regularization: float) -> Float[Tensor, ""]:
    """Mean over ordered positive pairs (i, p) of log(1 + sum over negatives n of i: exp(z_i.z_n - z_i.z_p)).

    To it comes regularization * mean |z|^2, which holds the lengths that inner products leave free. The paper draws one
    pair per class; here every positive pair of the batch is used with all negatives of its anchor, so that the value
    does not depend on the order of the batch and two classes do not leave two pairs. Undefined, hence 0 with the
    regularizer, without a positive pair or with a single class. Sohn, *Improved Deep Metric Learning with Multi-class
    N-pair Loss Objective*, NeurIPS 2016.
    """
    similarity = z @ z.T
    apart = negatives(target)
    pairs = positives(target) & apart.any()
    each = nn.functional.softplus(masked_logsumexp(similarity, apart)[:, None] - similarity)
    return masked_mean(each, pairs) + regularization * z.square().sum(dim=1).mean() * pairs.any()
