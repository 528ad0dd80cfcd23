"""A linear logistic head on frozen features: what encoders end with, and the yardstick of matched fit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import optimize
from torch import Tensor, nn
from torch.nn import functional

from assay.core.errors import AssayError
from assay.recipes.untyped import tensor_of

_ITERATIONS = 3000
_REMEMBERED = 40
"""Steps of L-BFGS that shape the next: with 10, correlated features of many classes take twice as long, or too long."""
_STEEPEST = 1e-5
"""The largest slope, in nats per row, at which a fit that stopped early counts: rounding alone can end one there."""

L2 = 1.0
"""Penalty on the weights of standardised features: L2 / 2 times their squared norm, beside the summed log-loss."""


class HeadNotFitted(AssayError):
    """The logistic head on frozen features did not reach its minimum; the text holds how far it came."""

    def __init__(self, iterations: int, slope: float, message: str) -> None:
        super().__init__(iterations, slope, message)
        self.iterations, self.slope, self.message = iterations, slope, message

    def __str__(self) -> str:
        return (
            f"the linear head on frozen features did not converge: slope {self.slope:.1e} after {self.iterations} "
            f"iterations, expected at most {_STEEPEST:.0e} ({self.message}); "
            "look at the training's curve, and try a lower learning rate"
        )


@dataclass(frozen=True)
class LinearHead:
    """Logits = features @ weight.T + bias, in units of the raw features. weight: float64 [k, d]; bias: [k]."""

    weight: Float[Tensor, "k d"]
    bias: Float[Tensor, "k"]

    def logits(self, features: Float[Tensor, "n d"]) -> Float[Tensor, "n k"]:
        """In float64."""
        return features.double() @ self.weight.T + self.bias

    def log_loss(self, features: Float[Tensor, "n d"], targets: Int[Tensor, "n"]) -> float:
        """Mean negative log-likelihood in nats."""
        return float(functional.cross_entropy(self.logits(features), targets))

    def fold_into(self, layer: nn.Linear) -> None:
        """Make a linear layer compute the same logits, to the precision of its own numbers."""
        with torch.no_grad():
            layer.weight.copy_(self.weight)
            layer.bias.copy_(self.bias)


def fit_head(features: Float[Tensor, "n d"], targets: Int[Tensor, "n"], classes: int, *, l2: float = L2) -> LinearHead:
    """Multinomial logistic regression with an L2 penalty on standardised features, by full-batch L-BFGS in float64.

    A feature that does not vary gets weight 0. The same penalty `L2` for every loss, so that losses are compared by one
    yardstick. Deterministic: no draws, and sums in torch, whose number of threads the caller fixes.
    Raises HeadNotFitted where the minimum was not reached: a head on its way would compare losses by chance.
    """
    raw = features.detach().cpu().double()
    mean, sd = raw.mean(0), raw.std(0, correction=0)
    dead = sd <= 1e-12 * (1 + mean.abs())
    scale = torch.where(dead, torch.zeros_like(sd), 1 / torch.where(dead, torch.ones_like(sd), sd))
    standard = (raw - mean) * scale
    goal = targets.detach().cpu()
    width = raw.shape[1]

    def loss_and_slope(flat: np.ndarray) -> tuple[float, np.ndarray]:
        theta = tensor_of(flat).reshape(classes, width + 1)
        weight, bias = theta[:, :-1], theta[:, -1]
        log_p = functional.log_softmax(standard @ weight.T + bias, dim=1)
        loss = functional.nll_loss(log_p, goal, reduction="sum") + l2 / 2 * weight.square().sum()
        residual = log_p.exp() - functional.one_hot(goal, classes)
        slope = torch.cat([residual.T @ standard + l2 * weight, residual.sum(0)[:, None]], dim=1)
        return float(loss) / len(raw), (slope / len(raw)).reshape(-1).numpy()

    found = optimize.minimize(
        loss_and_slope,
        np.zeros(classes * (width + 1)),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": _ITERATIONS, "maxfun": 2 * _ITERATIONS, "maxcor": _REMEMBERED, "ftol": 1e-12, "gtol": 1e-7},
    )
    steepest = float(np.abs(found.jac).max())
    if not found.success and not steepest <= _STEEPEST:
        raise HeadNotFitted(int(found.nit), steepest, str(found.message))
    theta = tensor_of(found.x).reshape(classes, width + 1)
    weight = theta[:, :-1] * scale
    return LinearHead(weight=weight, bias=theta[:, -1] - weight @ mean)
