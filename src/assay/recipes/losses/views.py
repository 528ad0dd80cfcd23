"""What two views of images should have in common: the criteria of losses that need no label, as pure functions."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from assay.recipes.losses.geometry import unit

_VARIANCE_FLOOR = 1e-4  # added to a variance before its root, as published


def barlow_twins(a: Float[Tensor, "n d"], b: Float[Tensor, "n d"], *, off_diagonal: float) -> Float[Tensor, ""]:
    """sum_i (1 - C_ii)^2 + off_diagonal * sum_{i != j} C_ij^2, C being the correlations over the images between the
    dimensions of one view and those of the other; at least 0.

    A dimension that does not vary correlates with none. Zbontar, Jing, Misra, LeCun and Deny, *Barlow Twins*, ICML
    2021.
    """
    correlation = _standardised(a).T @ _standardised(b) / len(a)
    diagonal = correlation.diagonal()
    return (1 - diagonal).square().sum() + off_diagonal * (correlation.square().sum() - diagonal.square().sum())


def _standardised(z: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """Mean 0 and variance 1 over the images, as a batch norm without parameters has it."""
    centred = z - z.mean(0)
    return centred / (centred.square().mean(0) + 1e-5).sqrt()


def vicreg(
    a: Float[Tensor, "n d"], b: Float[Tensor, "n d"], *, invariance: float, variance: float, covariance: float
) -> Float[Tensor, ""]:
    """invariance * mean (a - b)^2 + variance * hinge + covariance * redundancy, at least 0.

    hinge: the mean over dimensions and views of max(0, 1 - sqrt(var + 1e-4)). redundancy: the sum over views of the
    squared covariances between different dimensions, over their number d. Both with n - 1; a batch of one image has
    neither, and counts as not varying at all. Bardes, Ponce and LeCun, *VICReg*, ICLR 2022, as its code has it.
    """
    hinge = redundancy = a.new_zeros(())
    for z in (a, b):
        centred = z - z.mean(0)
        covariances = centred.T @ centred / max(1, len(z) - 1)
        own = covariances.diagonal()
        hinge = hinge + functional.relu(1 - (own + _VARIANCE_FLOOR).sqrt()).mean() / 2
        redundancy = redundancy + (covariances.square().sum() - own.square().sum()) / z.shape[1]
    return invariance * functional.mse_loss(a, b) + variance * hinge + covariance * redundancy


def agreement(predicted: Float[Tensor, "n d"], target: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """Mean squared distance of unit vectors, 2 - 2 cos, from 0 to 4; no gradient flows into `target`.

    Grill et al., *Bootstrap Your Own Latent*, NeurIPS 2020, of one view's prediction.
    """
    return (2 - 2 * (unit(predicted) * unit(target.detach())).sum(1)).mean()


def info_nce(
    query: Float[Tensor, "n d"],
    key: Float[Tensor, "n d"],
    queue: Float[Tensor, "q d"],
    left_out: Bool[Tensor, "n q"],
    *,
    temperature: float,
) -> Float[Tensor, ""]:
    """Mean over images of the log-loss in nats of finding the own key among it and the queue, by cosines over the
    temperature; no gradient flows into keys. 0 for an image that all of the queue is left out for.

    He, Fan, Wu, Xie and Girshick, *Momentum Contrast*, CVPR 2020. `queue` holds unit vectors.
    """
    seen, own = unit(query), unit(key.detach())
    others = (seen @ queue.detach().T).masked_fill(left_out, -torch.inf)
    logits = torch.cat([(seen * own).sum(1, keepdim=True), others], dim=1) / temperature
    return functional.cross_entropy(logits, torch.zeros(len(seen), dtype=torch.int64, device=seen.device))


def assignments(scores: Float[Tensor, "n k"], *, sharpness: float, rounds: int = 3) -> Float[Tensor, "n k"]:
    """Soft assignments of images to prototypes, each row summing to 1 and prototypes filled nearly evenly: rounds of
    Sinkhorn and Knopp on exp(scores / sharpness). Without gradient. Caron et al., *SwAV*, NeurIPS 2020.
    """
    with torch.no_grad():
        log_q = scores.double() / sharpness
        for _ in range(rounds):
            log_q = log_q - torch.logsumexp(log_q, dim=0, keepdim=True)
            log_q = log_q - torch.logsumexp(log_q, dim=1, keepdim=True)
        return log_q.exp().to(scores.dtype)
