"""Optimizers and learning-rate schedules."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch.optim import SGD, Adam, AdamW, NAdam, Optimizer, RMSprop

from assay.core.errors import SpecError

# Optimisers by name: each takes groups of parameters and its checked arguments, and returns a torch optimiser.

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


# Learning rates as pure functions of the step: a share of the optimiser's own rate, which is the peak.
#
# A schedule holds no state, so a resumed training has nothing to restore. Step counts from 0 to steps - 1.


class Schedule(Protocol):
    """Share of the peak learning rate at a step."""

    def __call__(self, step: int, steps: int) -> float:
        """From 0 to 1."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OneCycle:
    """Half a cosine from `start` to 1 over the first `warmup` share of the steps, half a cosine down to `end` after.

    Smith and Topin 2018, as in torch's OneCycleLR, whose cycling of the momentum is left out.
    """

    warmup: float
    start: float
    end: float

    def __call__(self, step: int, steps: int) -> float:
        """The peak lies on step warmup * steps - 1, the end on the last step."""
        peak = self.warmup * steps - 1
        if step < peak:
            return _cosine(self.start, 1.0, step / peak)
        return _cosine(1.0, self.end, (step - max(0.0, peak)) / max(1.0, steps - 1 - max(0.0, peak)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosine:
    """Linear warm-up, then half a cosine from 1 to `end` (Loshchilov and Hutter 2017, without restarts)."""

    warmup: float
    end: float

    def __call__(self, step: int, steps: int) -> float:
        """See the class."""
        up, share = _warm(self.warmup, step, steps)
        return up if share < 0 else _cosine(1.0, self.end, share)


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """Linear warm-up, then linearly from 1 to `end`."""

    warmup: float
    end: float

    def __call__(self, step: int, steps: int) -> float:
        """See the class."""
        up, share = _warm(self.warmup, step, steps)
        return up if share < 0 else 1 + (self.end - 1) * share


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """Linear warm-up, then 1."""

    warmup: float

    def __call__(self, step: int, steps: int) -> float:
        """See the class."""
        up, share = _warm(self.warmup, step, steps)
        return up if share < 0 else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """1, multiplied by `factor` at each of the shares `at` of the steps."""

    at: tuple[float, ...]
    factor: float

    def __call__(self, step: int, steps: int) -> float:
        """See the class."""
        return self.factor ** sum(step >= share * steps for share in self.at)


def _cosine(first: float, last: float, share: float) -> float:
    """From first to last along half a cosine."""
    return last + (first - last) * (1 + math.cos(math.pi * min(1.0, share))) / 2


def _warm(warmup: float, step: int, steps: int) -> tuple[float, float]:
    """(rate during warm-up, share of the way down), the share being negative while warming up."""
    length = warmup * steps
    if step < length:
        return (step + 1) / (length + 1), -1.0
    return 1.0, (step - length) / max(1.0, steps - 1 - length)
