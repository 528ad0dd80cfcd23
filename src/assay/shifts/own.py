"""A user's own intervention from one function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from traceback import extract_tb
from typing import Any, overload

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from assay.core.errors import SpecError
from assay.shifts.intervention import Draws, Parameters

Function = Callable[..., Any]
Maker = Callable[..., "OwnIntervention"]

_BEYOND = 1.0  # how far from 0..1 a strong change may go: further off, its scale is another, such as 0..255


@dataclass(frozen=True)
class OwnIntervention:
    """An intervention whose pixels come from a function: see `intervention`."""

    function: Function
    drawn: tuple[str, ...]
    arguments: Mapping[str, Any]
    local: bool

    def check(self, shape: tuple[int, int, int]) -> None:
        """Raises SpecError when the function does not give images back, on the scale of images, tried on a grey one of
        this shape and on one that goes from black to white.
        """
        channels, height, width = shape
        ramp = torch.linspace(0, 1, height * width).reshape(1, 1, height, width).expand(1, channels, height, width)
        given = torch.cat([torch.full((1, *shape), 0.5), ramp])
        parameters = {name: torch.full((2,), 0.5, dtype=torch.float64) for name in self._names}
        made = self._called(given.clone(), parameters)
        if not isinstance(made, Tensor) or made.shape != given.shape:
            what = list(made.shape) if isinstance(made, Tensor) else type(made).__name__
            raise SpecError(
                f"intervention '{self.function.__name__}' made {what} of images {list(given.shape)}: "
                "return the changed images, of the same shape"
            )
        if not bool(made.isfinite().all()):
            raise SpecError(
                f"intervention '{self.function.__name__}' made NaN or infinity of pixels from 0 to 1: return numbers"
            )
        lowest, highest = float(made.min()), float(made.max())
        if lowest < -_BEYOND or highest > 1 + _BEYOND:
            raise SpecError(
                f"intervention '{self.function.__name__}' made pixels from {lowest:.4g} to {highest:.4g} of pixels "
                "from 0 to 1: return them on the same scale (what lies a little beyond 0 and 1 is cut)"
            )

    def draw(self, draws: Draws, shape: tuple[int, int, int]) -> dict[str, Tensor]:
        """One number in [0, 1) per row for every argument between `images` and the star."""
        return {name: draws.uniform(name) for name in self._names}

    def apply(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """What the function makes of the images, cut at black and white."""
        return self._called(images.clone(), parameters).to(images.dtype).clamp(0, 1)

    def mask(self, parameters: Parameters, shape: tuple[int, int, int]) -> Bool[Tensor, "b 1 h w"]:
        """All pixels; where it is `local`, those that it changes on a black image or on a white one."""
        some = next(iter(parameters.values()))
        black = torch.zeros(len(some), *shape, device=some.device)
        if not self.local:
            return torch.ones_like(black[:, :1], dtype=torch.bool)
        white = torch.ones_like(black)
        changed = (self.apply(black, parameters) != black) | (self.apply(white, parameters) != white)
        return changed.any(dim=1, keepdim=True)

    @property
    def _names(self) -> tuple[str, ...]:
        """What is drawn; a number that nothing uses where there is none, since it tells how many rows there are."""
        return self.drawn or ("unused",)

    def _called(self, images: Tensor, parameters: Parameters) -> Any:
        numbers = [parameters[name].float()[:, None, None, None] for name in self.drawn]
        try:
            return self.function(images, *numbers, **self.arguments)
        except Exception as error:
            raise SpecError(
                f"intervention '{self.function.__name__}' failed on images {list(images.shape)}: "
                f"{type(error).__name__}: {error} ({_place(error)})"
            ) from error


def _place(error: Exception) -> str:
    """File and line of the innermost frame, as `my_marks.py:46`."""
    last = extract_tb(error.__traceback__)[-1]
    return f"{Path(last.filename).name}:{last.lineno}"


@overload
def intervention(function: Function) -> Maker: ...
@overload
def intervention(*, local: bool) -> Callable[[Function], Maker]: ...
def intervention(function: Function | None = None, *, local: bool = False) -> Maker | Callable[[Function], Maker]:
    """Make an intervention of a function `f(images, drawn, ..., *, argument, ...) -> images`.

    images: float32 [b, c, h, w] in [0, 1], a copy. drawn: every further positional argument is a number in [0, 1) per
    row, float32 [b, 1, 1, 1], named by seed, intervention, argument and row. argument: keyword-only with a type and a
    default, checked when a study is read. What is returned is cut at 0 and 1.

    local: the function lays paint over some pixels, whatever these hold; the mask is then found on a black and a white
    image. Otherwise all pixels may differ. Raises SpecError for a function of another form.
    """
    if function is None:
        return lambda given: _made(given, local)
    return _made(function, local)


def _made(function: Function, local: bool) -> Maker:
    positional: list[str] = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            raise SpecError(
                f"intervention '{function.__name__}' takes *{parameter.name}: name every argument, "
                "images and what is drawn per row before a star, all else after it"
            )
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            positional.append(parameter.name)
    if not positional:
        raise SpecError(f"intervention '{function.__name__}' takes no images: make them its first argument")

    @wraps(function)
    def make(**arguments: Any) -> OwnIntervention:
        return OwnIntervention(function, tuple(positional[1:]), arguments, local)

    return make
