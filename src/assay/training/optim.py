"""Optimizers and learning-rate schedules."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, cast

from pydantic import Field
from torch.optim import SGD, Adam, AdamW, NAdam, Optimizer

from assay.core.errors import SpecError
from assay.core.registry import component

L2 = Annotated[float, Field(ge=0, le=10, description="L2 penalty, added to the gradient")]
Last = Annotated[float, Field(ge=0, le=1, description="last learning rate as a share of the peak")]


# Optimizers by name: each takes groups of parameters and its checked arguments, and returns a torch optimizer.

Parameters = Sequence[dict[str, Any]]
"""Groups of parameters, as torch takes them: `{"params": [...]}`."""


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Arguments of Adam and its kin: the rate, and how the moments of the gradient are followed."""

    lr: Annotated[float, Field(gt=0, le=100, description="peak learning rate")] = 2e-3
    beta1: Annotated[float, Field(ge=0, lt=1, description="decay of the first moment")] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1, description="decay of the second moment")] = 0.999
    eps: Annotated[float, Field(gt=0, le=1, description="added to the denominator")] = 1e-8

    def make(self, kind: type[Optimizer], parameters: Parameters, weight_decay: float, **more: bool) -> Optimizer:
        """Return torch's optimizer of this kind."""
        betas = (self.beta1, self.beta2)
        options = {"lr": self.lr, "betas": betas, "eps": self.eps, "weight_decay": weight_decay, **more}
        return kind(parameters, **cast("dict[str, Any]", options))


@component("optimizer", "adamw", summary="Adam with decoupled weight decay (Loshchilov and Hutter 2019)")
def adamw(
    parameters: Parameters,
    *,
    moments: Moments,
    weight_decay: Annotated[
        float, Field(ge=0, le=10, description="decoupled weight decay, times the learning rate")
    ] = 0.01,
) -> Optimizer:
    """AdamW, fused: one kernel over all parameters, on a CPU too.

    Examples:
        >>> import torch
        >>> weight = torch.nn.Parameter(torch.tensor([1.0]))
        >>> optimizer = adamw([{"params": [weight]}], moments=Moments(lr=0.1), weight_decay=0.0)
        >>> weight.grad = torch.tensor([5.0])
        >>> optimizer.step()  # the first step is the rate, whatever the gradient's size
        >>> round(weight.item(), 3)
        0.9
    """
    return moments.make(AdamW, parameters, weight_decay, fused=True)


@component("optimizer", "adam", summary="Adam (Kingma and Ba 2015)")
def adam(parameters: Parameters, *, moments: Moments, weight_decay: L2 = 0.0) -> Optimizer:
    """Adam, fused.

    Examples:
        >>> import torch
        >>> weight = torch.nn.Parameter(torch.tensor([1.0]))
        >>> optimizer = adam([{"params": [weight]}], moments=Moments(lr=0.1))
        >>> weight.grad = torch.tensor([5.0])
        >>> optimizer.step()  # the first step is the rate, whatever the gradient's size
        >>> round(weight.item(), 3)
        0.9
    """
    return moments.make(Adam, parameters, weight_decay, fused=True)


@component("optimizer", "nadam", summary="Adam with Nesterov's momentum (Dozat 2016)")
def nadam(parameters: Parameters, *, moments: Moments, weight_decay: L2 = 0.0) -> Optimizer:
    """NAdam.

    Examples:
        >>> import torch
        >>> weight = torch.nn.Parameter(torch.tensor([1.0]))
        >>> optimizer = nadam([{"params": [weight]}], moments=Moments(lr=0.1))
        >>> weight.grad = torch.tensor([5.0])
        >>> optimizer.step()
        >>> weight.item() < 1
        True
    """
    return moments.make(NAdam, parameters, weight_decay)


@component("optimizer", "sgd", summary="stochastic gradient descent with momentum")
def sgd(
    parameters: Parameters,
    *,
    lr: Annotated[float, Field(gt=0, le=100, description="peak learning rate")] = 0.1,
    momentum: Annotated[float, Field(ge=0, lt=1, description="momentum")] = 0.9,
    nesterov: Annotated[bool, Field(description="Nesterov's momentum; needs momentum above 0")] = False,
    weight_decay: L2 = 0.0,
) -> Optimizer:
    """SGD with momentum, fused.

    Raises:
        SpecError: For Nesterov's variant without momentum.

    Examples:
        >>> import torch
        >>> weight = torch.nn.Parameter(torch.tensor([1.0]))
        >>> optimizer = sgd([{"params": [weight]}], lr=0.1)
        >>> weight.grad = torch.tensor([5.0])
        >>> optimizer.step()  # 1 - 0.1 x 5
        >>> weight.item()
        0.5
    """
    if nesterov and momentum == 0:
        raise SpecError("optimizer sgd: nesterov needs momentum above 0, and momentum is 0; set momentum: 0.9")
    return SGD(parameters, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay, fused=True)


# Learning rates as pure functions of the step: a share of the optimizer's own rate, which is the peak.
#
# A schedule holds no state, so a resumed training has nothing to restore. Step counts from 0 to steps - 1.


class Schedule(Protocol):
    """Share of the peak learning rate at a step.

    Examples:
        A schedule of one's own is a function of the step:

        >>> def halved(step, steps):
        ...     return 0.5 ** (4 * step // steps)
        >>> [halved(step, 100) for step in (0, 25, 50, 75)]
        [1.0, 0.5, 0.25, 0.125]
    """

    def __call__(self, step: int, steps: int) -> float:
        """From 0 to 1."""
        ...


@component("schedule", "one-cycle", summary="cosine from a 25th of the rate to its peak and down to zero")
@dataclass(frozen=True, slots=True, kw_only=True)
class OneCycle:
    """Half a cosine from `start` to 1 over the first `warmup` share of the steps, half a cosine down to `end` after.

    Smith and Topin 2018, as in torch's OneCycleLR, whose cycling of the momentum is left out.

    Examples:
        >>> schedule = OneCycle(warmup=0.3)
        >>> [round(schedule(step, 100), 3) for step in (0, 29, 99)]  # the start, the peak, the end
        [0.04, 1.0, 0.0]
    """

    warmup: Annotated[float, Field(ge=0, lt=1, description="share of the steps on the way up")] = 0.3
    start: Annotated[float, Field(gt=0, le=1, description="first learning rate as a share of the peak")] = 0.04
    end: Last = 4e-6

    def __call__(self, step: int, steps: int) -> float:
        """The peak is at step warmup * steps - 1, the end on the last step."""
        peak = self.warmup * steps - 1
        if step < peak:
            return _cosine(self.start, 1.0, step / peak)
        return _cosine(1.0, self.end, (step - max(0.0, peak)) / max(1.0, steps - 1 - max(0.0, peak)))


@component("schedule", "constant", summary="linear warm-up, then constant")
@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """Linear warm-up, then 1.

    Examples:
        >>> [round(Constant(warmup=0.1)(step, 100), 3) for step in (0, 4, 10, 99)]  # 1/11 and 5/11 on the way up
        [0.091, 0.455, 1.0, 1.0]
    """

    warmup: Annotated[float, Field(ge=0, lt=1, description="share of the steps of linear warm-up from 0")] = 0.0

    def __call__(self, step: int, steps: int) -> float:
        """See the class."""
        length = self.warmup * steps
        if step < length:
            return (step + 1) / (length + 1)
        return self.after((step - length) / max(1.0, steps - 1 - length))

    def after(self, share: float) -> float:
        """Return the rate at a share of the way from the end of the warm-up to the last step."""
        return 1.0


@component("schedule", "cosine", summary="linear warm-up, then half a cosine down")
@dataclass(frozen=True, slots=True, kw_only=True)
class Cosine(Constant):
    """Linear warm-up, then half a cosine from 1 to `end` (Loshchilov and Hutter 2017, without restarts).

    Examples:
        >>> [round(Cosine()(step, 101), 3) for step in (0, 50, 100)]
        [1.0, 0.5, 0.0]
    """

    end: Last = 0.0

    def after(self, share: float) -> float:
        """See the class."""
        return _cosine(1.0, self.end, share)


@component("schedule", "linear", summary="linear warm-up, then linearly down")
@dataclass(frozen=True, slots=True, kw_only=True)
class Linear(Constant):
    """Linear warm-up, then linearly from 1 to `end`.

    Examples:
        >>> [round(Linear(end=0.2)(step, 101), 3) for step in (0, 50, 100)]
        [1.0, 0.6, 0.2]
    """

    end: Last = 0.0

    def after(self, share: float) -> float:
        """See the class."""
        return 1 + (self.end - 1) * share


@component("schedule", "step", summary="a drop by a factor at stated shares of the steps")
@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """1, multiplied by `factor` at each of the shares `at` of the steps.

    Examples:
        >>> [round(Step(at=(0.5, 0.75), factor=0.1)(step, 100), 3) for step in (0, 50, 75)]
        [1.0, 0.1, 0.01]
    """

    at: Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], Field(description="shares of the steps")] = (
        0.5,
        0.75,
    )
    factor: Annotated[float, Field(gt=0, lt=1, description="factor of the rate at each")] = 0.1

    def __call__(self, step: int, steps: int) -> float:
        """See the class."""
        return self.factor ** sum(step >= share * steps for share in self.at)


def _cosine(first: float, last: float, share: float) -> float:
    """From first to last along half a cosine."""
    return last + (first - last) * (1 + math.cos(math.pi * min(1.0, share))) / 2
