"""Losses over the pairs of a batch, as pure functions of embeddings and targets.

Each is a mean over the pairs or anchors for which it is defined. Where there are none (no two images of one class, or
no two classes) the value is 0 with a gradient of 0, connected to the graph, so that a step can always be taken.
Nothing here loops over images.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from assay.core.errors import DataError
from assay.recipes.losses.geometry import distances, masked_logsumexp, masked_mean, negatives, positives, unit


def pairwise_contrastive(
    z: Float[Tensor, "b d"], target: Int[Tensor, "b"], *, margin: float, normalise: bool
) -> Float[Tensor, ""]:
    """Mean over all pairs of D^2 / 2 for two of a class and max(0, margin - D)^2 / 2 for others, D Euclidean.

    Undefined, hence 0, for fewer than 2 images; a batch of one class, or of all different classes, is defined. Two
    negatives in the same place have no direction to part in and get no gradient. Hadsell, Chopra and LeCun,
    *Dimensionality Reduction by Learning an Invariant Mapping*, CVPR 2006.
    """
    d = distances(unit(z) if normalise else z)
    pull, push = positives(target), negatives(target)
    return masked_mean(torch.where(pull, d.square(), (margin - d).relu().square()) / 2, pull | push)


def lifted_structure(
    z: Float[Tensor, "b d"], target: Int[Tensor, "b"], *, margin: float, normalise: bool
) -> Float[Tensor, ""]:
    """Mean over positive pairs of max(0, J)^2 / 2, where for the pair (i, j)

    J = D_ij + log(sum over negatives k of i: exp(margin - D_ik) + sum over negatives k of j: exp(margin - D_jk)).

    Undefined, hence 0, without a positive pair or with a single class. Song, Xiang, Jegelka and Savarese, *Deep Metric
    Learning via Lifted Structured Feature Embedding*, CVPR 2016 (its smooth upper bound).
    """
    d = distances(unit(z) if normalise else z)
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


def supcon(z: Float[Tensor, "b d"], target: Int[Tensor, "b"], *, temperature: float) -> Float[Tensor, ""]:
    """Mean over anchors i that have a positive of the mean over their positives p of

    -log(exp(s_ip) / sum over k != i: exp(s_ik)), s being cosine / temperature: the paper's L_out, at least 0.

    Undefined, hence 0, without a positive pair or with a single class. Khosla et al., *Supervised Contrastive
    Learning*, NeurIPS 2020.
    """
    direction = unit(z)
    similarity = direction @ direction.T / temperature
    pairs, apart = positives(target), negatives(target)
    log_p = similarity - masked_logsumexp(similarity, pairs | apart)[:, None]
    per_anchor = -(log_p * pairs).sum(dim=1) / pairs.sum(dim=1).clamp_min(1)
    return masked_mean(per_anchor, pairs.any(dim=1) & apart.any())


def nt_xent(z: Float[Tensor, "b d"], *, temperature: float) -> Float[Tensor, ""]:
    """Mean over all 2 n rows of the cross-entropy of finding an image's other view among the 2 n - 1 other rows.

    Rows are two views of n images, view 1 of all first (b = 2 n); the logits are cosine / temperature. At least 0.
    A single image is 0: its other view is the only one left. Raises DataError for an odd number of rows. Chen,
    Kornblith, Norouzi and Hinton, *A Simple Framework for Contrastive Learning of Visual Representations*, ICML 2020.
    """
    if len(z) % 2:
        raise DataError(f"nt-xent needs two views of every image, stacked, but got {len(z)} rows: an odd number")
    direction = unit(z)
    similarity = direction @ direction.T / temperature
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    other_view = torch.arange(len(z), device=z.device).roll(len(z) // 2)
    log_p = similarity - masked_logsumexp(similarity, ~itself)[:, None]
    return -log_p.gather(1, other_view[:, None]).mean()


def circle(z: Float[Tensor, "b d"], target: Int[Tensor, "b"], *, margin: float, scale: float) -> Float[Tensor, ""]:
    """Mean over anchors with a positive and a negative of softplus(push + pull), at least 0, s being cosines:

    push = logsumexp over negatives of scale * a_n * (s_n - margin),
    pull = logsumexp over positives of -scale * a_p * (s_p - 1 + margin).

    The weights a_n = max(0, s_n + margin) and a_p = max(0, 1 + margin - s_p) are constants of the step: no gradient
    flows through them. Undefined, hence 0, without a positive pair or with a single class. Sun et al., *Circle Loss: A
    Unified Perspective of Pair Similarity Optimization*, CVPR 2020.
    """
    direction = unit(z)
    similarity = direction @ direction.T
    pairs, apart = positives(target), negatives(target)
    fixed = similarity.detach()
    push = scale * (fixed + margin).relu() * (similarity - margin)
    pull = -scale * (1 + margin - fixed).relu() * (similarity - 1 + margin)
    each = nn.functional.softplus(masked_logsumexp(push, apart) + masked_logsumexp(pull, pairs))
    return masked_mean(each, pairs.any(dim=1) & apart.any(dim=1))
