"""Optimisers by name: each takes groups of parameters and its checked arguments, and returns a torch optimiser."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch.optim import SGD, Adam, AdamW, NAdam, Optimizer, RMSprop

from assay.core.errors import SpecError

Parameters = Sequence[dict[str, Any]]
"""Groups of parameters, as torch takes them: `{"params": [...]}`."""


def adamw(
    parameters: Parameters, *, lr: float, beta1: float, beta2: float, eps: float, weight_decay: float
) -> Optimizer:
    """AdamW, fused: one kernel over all parameters, on a CPU too."""
    return AdamW(parameters, lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay, fused=True)


def adam(
    parameters: Parameters, *, lr: float, beta1: float, beta2: float, eps: float, weight_decay: float
) -> Optimizer:
    """Adam, fused."""
    return Adam(parameters, lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay, fused=True)


def nadam(
    parameters: Parameters, *, lr: float, beta1: float, beta2: float, eps: float, weight_decay: float
) -> Optimizer:
    """NAdam."""
    return NAdam(parameters, lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay)


def sgd(parameters: Parameters, *, lr: float, momentum: float, nesterov: bool, weight_decay: float) -> Optimizer:
    """SGD with momentum, fused. Raises SpecError for Nesterov's variant without momentum."""
    if nesterov and momentum == 0:
        raise SpecError("optimiser sgd: nesterov needs momentum above 0, and momentum is 0; set momentum: 0.9")
    return SGD(parameters, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay, fused=True)


def rmsprop(parameters: Parameters, *, lr: float, alpha: float, momentum: float, weight_decay: float) -> Optimizer:
    """RMSprop."""
    return RMSprop(parameters, lr=lr, alpha=alpha, momentum=momentum, weight_decay=weight_decay)
