"""Interventions: parameters are drawn first, then applied deterministically."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, wraps
from pathlib import Path
from traceback import extract_tb
from typing import Any, Protocol, overload, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from assay.core.errors import SpecError
from assay.core.seeds import row_seed, row_uniform
from assay.core.types import Factor
from assay.data.dataset import DrawnLesions, Images, ImagesWrapper, Originals
from assay.data.files.fitting import Placement, by_box

# Changes to pixels: parameters are drawn per row first, then applied deterministically, and kept.
#
# A row's parameters depend on (seed, name of the intervention, name of the parameter, row) alone, and its pixels on its
# parameters and its own image alone: neither on the batch nor on the neighbors. So every image exists with and without
# the change.
#
# Photographs that are not square are padded to a square. Only the picture is changed: an intervention sees its shape
# and puts marks at its edges, and the padding stays as it is.

Parameters = Mapping[str, Tensor]
"""Parameter name -> float64 or int64 [n], one value per row."""


@dataclass(frozen=True, slots=True)
class Draws:
    """The only randomness that an intervention has: named numbers per row.

    Attributes:
        rows: int64 [n], the images' numbers within their dataset.

    Examples:
        >>> draws = Draws(seed=0, name="border", rows=np.array([4, 17]))
        >>> bool(torch.equal(draws.uniform("width"), Draws(0, "border", np.array([4, 17])).uniform("width")))
        True
    """

    seed: int
    name: str
    rows: Int[np.ndarray, "n"]

    def uniform(self, parameter: str) -> Float[Tensor, "n"]:
        """One number in [0, 1) per row, float64."""
        return torch.as_tensor(row_uniform(self.seed, f"{self.name}:{parameter}", self.rows))

    def seeds(self, parameter: str) -> Int[Tensor, "n"]:
        """One 32-bit seed per row, int64, for a generator that is keyed by row and pixel."""
        return torch.as_tensor(row_seed(self.seed, f"{self.name}:{parameter}", self.rows))


@runtime_checkable
class Intervention(Protocol):
    """A registered change to pixels. Built with its checked arguments; holds no other state.

    `shape` is (channels, height, width) of one image. Images of several shapes come in turn, each with its own draws.

    Examples:
        >>> @intervention
        ... def darker(images):
        ...     return images * 0.5
        >>> isinstance(darker(), Intervention)
        True
    """

    def check(self, shape: tuple[int, int, int]) -> None:
        """Raises SpecError when images of this shape cannot carry it."""
        ...

    def draw(self, draws: Draws, shape: tuple[int, int, int]) -> dict[str, Tensor]:
        """Parameters for every row of `draws`, float64 or int64 [n]; drawn for unmarked rows too."""
        ...

    def apply(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """Return the changed images, float32 in [0, 1], on the CPU as the given ones, which stay as they are."""
        ...

    def mask(self, parameters: Parameters, shape: tuple[int, int, int]) -> Bool[Tensor, "b 1 h w"]:
        """Return every pixel that may differ; all of them for a diffuse change."""
        ...


@dataclass(frozen=True)
class DrawnIntervention:
    """An intervention with its parameters drawn, and the rows that get it.

    Attributes:
        marked: Bool [n]. Position i is row i of the environment's table.
        shape: (channels, height, width) of the squares that are read.
        boxes: Top, left, height and width of every row's picture in its square; None where each fills it.
        original: The rows' pictures at original resolution, where those are changed and not the images that are read.
        identity: The change, for the cache of pictures that it changes.

    Examples:
        Both ends of a counterfactual pair, with the same drawn parameters:

        >>> @intervention
        ... def darker(images, amount):
        ...     return images * (1 - amount)
        >>> drawn = draw("darker", darker(), np.array([True]), np.array([3]), 0, (1, 4, 4))
        >>> image, row = torch.ones(1, 1, 4, 4), np.array([0])
        >>> bool((drawn.on(True).apply(image, row) < 1).all()), bool((drawn.on(False).apply(image, row) == 1).all())
        (True, True)
    """

    name: str
    intervention: Intervention
    parameters: Parameters
    marked: Bool[np.ndarray, "n"]
    shape: tuple[int, int, int]
    boxes: Int[np.ndarray, "n 4"] | None = None
    original: Originals | None = None
    identity: str = ""

    def apply(self, images: Float[Tensor, "b c h w"], index: Int[np.ndarray, "b"]) -> Float[Tensor, "b c h w"]:
        """Images at these positions, on their device, changed where the row is marked; the very same tensor when none
        is. Changes are made on the CPU.
        """
        chosen = np.flatnonzero(self.marked[index])
        if not len(chosen):
            return images
        original = images.cpu()
        if len(chosen) == len(images) and self.boxes is None:
            return self.intervention.apply(original, self._at(index)).to(images.device)
        out = original.clone()
        for box, some in by_box(self.boxes, index[chosen], self.shape):
            chosen_rows = chosen[some]
            pictures = original[torch.as_tensor(chosen_rows)][:, :, box.rows, box.columns].contiguous()
            changed = self.intervention.apply(pictures, self._at(index[chosen_rows]))
            out.numpy()[chosen_rows, :, box.rows, box.columns] = (
                changed.numpy()
            )  # as NumPy, which copies each row at once
        return out.to(images.device)

    def mask(self, index: Int[np.ndarray, "b"]) -> Bool[Tensor, "b 1 h w"]:
        """Mask of the possible changes of each of these images; nowhere for an unmarked row."""
        channels, height, width = self.shape
        where = torch.zeros(len(index), 1, height, width, dtype=torch.bool)
        for box, some in by_box(self.boxes if self.original is None else self.original.boxes, index, self.shape):
            parameters = self._at(index[some])
            part, place = self.intervention.mask(parameters, (channels, box.height, box.width)), box
            if self.original is not None:  # pictures of one size have one place in the square
                place, _ = next(by_box(self.boxes, index[some], self.shape))
                part = _pixels_reached(part, place)
            where[torch.as_tensor(some), :, place.rows, place.columns] = part
        return where & torch.as_tensor(self.marked[index])[:, None, None, None]

    def on(self, marked: bool) -> DrawnIntervention:
        """Return the same drawn parameters with every row marked, or none: the two ends of a counterfactual pair."""
        return replace(self, marked=np.full(len(self.marked), marked))

    def take(self, index: Int[np.ndarray, "b"]) -> DrawnIntervention:
        """Return the same of these rows alone, in this order."""
        boxes = None if self.boxes is None else self.boxes[index]
        original = None if self.original is None else self.original.take(index)
        parameters = self._at(index)
        return replace(self, parameters=parameters, marked=self.marked[index], boxes=boxes, original=original)

    def identity_of_row(self, position: int) -> str:
        """Return all that decides a row's change; empty where it is not marked."""
        parameters = {name: values[position].item() for name, values in sorted(self.parameters.items())}
        return f"{self.identity}{parameters}" if self.marked[position] else ""

    @property
    def factor(self) -> Factor:
        """The column that it leaves in the factor table."""
        return mark_factor(self.name)

    def _at(self, index: np.ndarray) -> Parameters:
        at = torch.as_tensor(np.asarray(index, dtype=np.int64))
        return {name: values[at] for name, values in self.parameters.items()}


def _pixels_reached(part: Bool[Tensor, "k 1 h w"], box: Placement) -> Bool[Tensor, "k 1 i j"]:
    """Pixels of a box that any resize makes of some of these pixels: the triangle filter reaches one beyond its own."""
    pooled = functional.adaptive_max_pool2d(part.float(), (box.height, box.width))
    return functional.max_pool2d(pooled, 3, stride=1, padding=1).bool()


def mark_factor(name: str) -> Factor:
    """Return the factor of an intervention: 0 without, 1 with.

    Examples:
        >>> mark_factor("tag").levels
        ('without', 'with')
    """
    return Factor(name, "categorical", "associated", levels=("without", "with"), high=("with",))


def draw(
    name: str,
    intervention: Intervention,
    marked: Bool[np.ndarray, "n"],
    rows: Int[np.ndarray, "n"],
    seed: int,
    shape: tuple[int, int, int],
    boxes: Int[np.ndarray, "n 4"] | None = None,
) -> DrawnIntervention:
    """Draw an intervention's parameters for all rows.

    Raises:
        SpecError: If their pictures cannot carry it.

    Examples:
        >>> @intervention
        ... def darker(images, amount):
        ...     return images * (1 - amount)
        >>> drawn = draw("darker", darker(), np.array([True, False]), np.arange(2), 0, (1, 4, 4))
        >>> changed = drawn.apply(torch.ones(2, 1, 4, 4), np.arange(2))
        >>> bool((changed[0] < 1).all()), bool((changed[1] == 1).all())
        (True, True)
    """
    if boxes is None:
        intervention.check(shape)
        return DrawnIntervention(name, intervention, intervention.draw(Draws(seed, name, rows), shape), marked, shape)
    sizes, which = np.unique(boxes[:, 2:], axis=0, return_inverse=True)
    parameters: dict[str, Tensor] = {}
    for number, (height, width) in enumerate(sizes.tolist()):
        picture, part = (shape[0], height, width), np.flatnonzero(which.reshape(-1) == number)
        try:
            intervention.check(picture)
        except SpecError as error:
            raise SpecError(f"{error}; {len(part)} of {len(rows)} pictures are of that size") from error
        for parameter, values in intervention.draw(Draws(seed, name, rows[part]), picture).items():
            values_of_all = parameters.setdefault(parameter, torch.zeros(len(rows), dtype=values.dtype))
            values_of_all[torch.as_tensor(part)] = values
    return DrawnIntervention(name, intervention, parameters, marked, shape, boxes)


@dataclass(frozen=True)
class ChangedImages(ImagesWrapper):
    """Images with interventions applied on reading, one after another.

    Those at original resolution come first: a row that has any is read from pictures that were changed before they
    were brought to the study's size.
    """

    changes: Sequence[DrawnIntervention]

    def read(self, index: np.ndarray) -> Float[Tensor, "n c h w"]:
        """Float32 images in [0, 1] at these positions, in this order, on the CPU."""
        out = self.images.read(index)
        place = self._place[index]
        if (chosen := np.flatnonzero(place >= 0)).size:
            out = out.clone()
            out[torch.as_tensor(chosen)] = self._redrawn.read(place[chosen])
        for change in self.changes:
            out = out if change.original is not None else change.apply(out, index)
        return out

    @cached_property
    def _early(self) -> list[DrawnIntervention]:
        return [change for change in self.changes if change.original is not None]

    @cached_property
    def _place(self) -> Int[np.ndarray, "n"]:
        """Place of each row among those that are changed at original resolution; -1 for the others."""
        marked = np.any([change.marked for change in self._early], axis=0) if self._early else np.zeros(len(self), bool)
        return np.where(marked, np.cumsum(marked) - 1, -1)

    @cached_property
    def _redrawn(self) -> Images:
        """The rows that are changed at original resolution."""
        rows = np.flatnonzero(self._place >= 0)
        early = [replace(change.take(rows), boxes=None) for change in self._early]  # whole pictures
        names = [" ".join(change.identity_of_row(at) for change in early) for at in range(len(rows))]
        original = early[0].original
        assert original is not None

        def redraw(picture: Float[Tensor, "1 c h w"], position: int) -> Float[Tensor, "1 c h w"]:
            for change in early:
                picture = change.apply(picture, np.array([position]))
            return picture

        return original.changed(redraw, names)


@dataclass(frozen=True)
class ChangedLesions:
    """`DrawnLesions` of images with interventions: images drawn without a kind of lesion have them too."""

    lesions: DrawnLesions
    changes: Sequence[DrawnIntervention]

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the kinds of lesion."""
        return self.lesions.kinds

    def __len__(self) -> int:
        return len(self.lesions)

    def read(self, index: np.ndarray) -> Bool[Tensor, "n k h w"]:
        """Return a plane per kind at these positions, in this order, on the CPU."""
        return self.lesions.read(index)

    def without(self, kind: str, index: np.ndarray) -> Images:
        """Return the images at these positions, drawn without the lesions of this kind and all else the same."""
        return ChangedImages(self.lesions.without(kind, index), [change.take(index) for change in self.changes])


def changes_of(images: Images) -> tuple[DrawnIntervention, ...]:
    """Return the interventions that lie on images, lowest first."""
    return tuple(images.changes) if isinstance(images, ChangedImages) else ()


def without_interventions(images: Images) -> Images:
    """Return the images without the interventions that lie on them."""
    return images.images if isinstance(images, ChangedImages) else images


def with_changes(images: Images, changes: Sequence[DrawnIntervention]) -> Images:
    """Images with interventions put on, in alphabetical order of their names."""
    return ChangedImages(images, sorted(changes, key=lambda change: change.name)) if changes else images


# A user's own intervention from one function.

Function = Callable[..., Any]
Maker = Callable[..., "OwnIntervention"]

_EXCESS = 1.0  # how far from 0..1 a strong change may go: further off, its scale is another, such as 0..255


@dataclass(frozen=True)
class OwnIntervention:
    """An intervention whose pixels come from a function: see `intervention`."""

    function: Function
    draw_names: tuple[str, ...]
    arguments: Mapping[str, Any]
    local: bool

    def check(self, shape: tuple[int, int, int]) -> None:
        """Raises SpecError when the function does not give images back, on the scale of images, tried on a gray one of
        this shape and on one that goes from black to white.
        """
        channels, height, width = shape
        ramp = torch.linspace(0, 1, height * width).reshape(1, 1, height, width).expand(1, channels, height, width)
        ramps = torch.cat([torch.full((1, *shape), 0.5), ramp])
        parameters = {name: torch.full((2,), 0.5, dtype=torch.float64) for name in self._names}
        result = self._call(ramps.clone(), parameters)
        if not isinstance(result, Tensor) or result.shape != ramps.shape:
            what = list(result.shape) if isinstance(result, Tensor) else type(result).__name__
            raise SpecError(
                f"intervention '{self.function.__name__}' returned {what} for images {list(ramps.shape)}: "
                "return the changed images, of the same shape"
            )
        if not bool(result.isfinite().all()):
            raise SpecError(
                f"intervention '{self.function.__name__}' returned NaN or infinity for pixels from 0 to 1: return "
                "finite numbers"
            )
        lowest, highest = float(result.min()), float(result.max())
        if lowest < -_EXCESS or highest > 1 + _EXCESS:
            raise SpecError(
                f"intervention '{self.function.__name__}' returned pixels from {lowest:.4g} to {highest:.4g} for "
                "pixels from 0 to 1: return them on the same scale (values slightly beyond 0 and 1 are clipped)"
            )

    def draw(self, draws: Draws, shape: tuple[int, int, int]) -> dict[str, Tensor]:
        """One number in [0, 1) per row for every argument between `images` and the star."""
        return {name: draws.uniform(name) for name in self._names}

    def apply(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """Output of the function for the images, cut at black and white."""
        return self._call(images.clone(), parameters).to(images.dtype).clamp(0, 1)

    def mask(self, parameters: Parameters, shape: tuple[int, int, int]) -> Bool[Tensor, "b 1 h w"]:
        """Return all pixels; where it is `local`, those that it changes on a black image or on a white one."""
        some = next(iter(parameters.values()))
        black = torch.zeros(len(some), *shape, device=some.device)
        if not self.local:
            return torch.ones_like(black[:, :1], dtype=torch.bool)
        white = torch.ones_like(black)
        changed = (self.apply(black, parameters) != black) | (self.apply(white, parameters) != white)
        return changed.any(dim=1, keepdim=True)

    @property
    def _names(self) -> tuple[str, ...]:
        """Drawn parameters; a number that nothing uses where there is none, since it tells how many rows there are."""
        return self.draw_names or ("unused",)

    def _call(self, images: Tensor, parameters: Parameters) -> Any:
        numbers = [parameters[name].float()[:, None, None, None] for name in self.draw_names]
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
def intervention(function: Function) -> Maker:
    """Make an intervention of a function that may change all pixels."""
    ...


@overload
def intervention(*, local: bool) -> Callable[[Function], Maker]:
    """Return a decorator for a function that paints over some pixels (local) or may change all."""
    ...


def intervention(function: Function | None = None, *, local: bool = False) -> Maker | Callable[[Function], Maker]:
    """Make an intervention of a function `f(images, drawn, ..., *, argument, ...) -> images`.

    `images` is a copy, float32 [b, c, h, w] in [0, 1]. Each further positional argument is a number in [0, 1) per row,
    float32 [b, 1, 1, 1], drawn by seed, intervention, argument and row. Each keyword-only argument has a type and a
    default, and is checked when a study is read. The result has the shape of `images` and is clipped to [0, 1].

    Args:
        function: The function.
        local: The function paints over some pixels, whatever these hold; the mask is then found on a black and a
            white image. Otherwise all pixels may differ.

    Returns:
        A function of the keyword-only arguments that makes the intervention; without `function`, a decorator.

    Raises:
        SpecError: The function takes no images, or a variable number of arguments.

    Examples:
        >>> import torch
        >>> @intervention
        ... def darker(images, *, by: float = 0.5):
        ...     return images * (1 - by)
        >>> darker(by=0.25).apply(torch.ones(1, 1, 1, 2), {}).tolist()
        [[[[0.75, 0.75]]]]
    """
    if function is None:
        return lambda decorated: _maker(decorated, local)
    return _maker(function, local)


def _maker(function: Function, local: bool) -> Maker:
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
