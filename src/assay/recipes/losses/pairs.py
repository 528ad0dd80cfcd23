"""The losses over pairs that no library computes as we need them, as pure functions of embeddings and targets.

Each is a mean over the positive pairs of a batch. Where there are none (no two images of one class, or no two classes)
the value is 0 with a gradient of 0, connected to the graph, so that a step can always be taken. Nothing here loops over
images.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from assay.recipes.losses.geometry import euclidean, masked_logsumexp, masked_mean, negatives, positives, unit


def lifted_structure(
    z: Float[Tensor, "b d"], target: Int[Tensor, "b"], *, margin: float, normalise: bool
) -> Float[Tensor, ""]:
    """Mean over positive pairs of max(0, J)^2 / 2, where for the pair (i, j)

    J = D_ij + log(sum over negatives k of i: exp(margin - D_ik) + sum over negatives k of j: exp(margin - D_jk)).

    Undefined, hence 0, without a positive pair or with a single class. Song, Xiang, Jegelka and Savarese, *Deep Metric
    Learning via Lifted Structured Feature Embedding*, CVPR 2016 (its smooth upper bound).
    """
    seen = unit(z) if normalise else z
    d = euclidean(seen, seen)
    apart = negatives(target)
    crowd = masked_logsumexp(margin - d, apart)
    j = d + torch.logaddexp(crowd[:, None], crowd[None, :])
    return masked_mean(j.relu().square() / 2, positives(target) & apart.any())


def n_pair(z: Float[Tensor, "b d"], target: Int[Tensor, "b"], *, regularisation: float) -> Float[Tensor, ""]:
    """Mean over ordered positive pairs (i, p) of log(1 + sum over negatives n of i: exp(z_i.z_n - z_i.z_p)).

    To it comes regularisation * mean |z|^2, which holds the lengths that inner products leave free.
    The paper draws one pair per class; here every positive pair of the batch is used with all negatives of its anchor,
    so that the value does not depend on the order of the batch and two classes do not leave two pairs. Undefined, hence
    0 with the regulariser, without a positive pair or with a single class. Sohn, *Improved Deep Metric Learning with
    Multi-class N-pair Loss Objective*, NeurIPS 2016.
    """
    similarity = z @ z.T
    apart = negatives(target)
    pairs = positives(target) & apart.any()
    each = nn.functional.softplus(masked_logsumexp(similarity, apart)[:, None] - similarity)
    return masked_mean(each, pairs) + regularisation * z.square().sum(dim=1).mean() * pairs.any()
