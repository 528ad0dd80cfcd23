"""Augmentation of images and of views."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal, Protocol, cast

import numpy as np
import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from assay.core import registry
from assay.core.registry import component
from assay.core.seeds import generator
from assay.data.dataset import Batch
from assay.models.untyped import tensor_of
from assay.spec.recipe import Component

Probability = Annotated[float, Field(ge=0, le=1)]
_Share = Annotated[float, Field(ge=0, lt=1)]
_Shares = Annotated[tuple[_Share, ...], Field(min_length=2, max_length=2)]
_Factors = Annotated[tuple[Annotated[float, Field(gt=0, le=4)], ...], Field(min_length=2, max_length=2)]


# Augmentations: parameters are drawn first, from (seed, name, view, step), then applied to the batch at once.
#
# Draws are made by NumPy on the CPU, so that they are the same on every device; pixels are changed where the batch is.

Draws = Mapping[str, np.ndarray]
"""Parameters by name, one entry for each image. `Augmenter` adds `boxes`, where pictures that do not fill their squares
lie in them before any is moved.
"""


class Augmentation(Protocol):
    """One kind of change. `geometric` ones move pixels and so are applied to masks too: label maps, whose values they
    take over and never mix. One with `on_device = True` also takes draws that are tensors on the images' device, and
    asks the device for the same work whatever their values.

    Examples:
        A kind of change of one's own:

        >>> class UpsideDown:
        ...     geometric = True
        ...     def draw(self, rng, count):
        ...         return {"turned": rng.random(count) < 0.5}
        ...     def apply(self, images, draws):
        ...         return torch.where(torch.as_tensor(draws["turned"])[:, None, None, None], images.flip(2), images)
        >>> UpsideDown().apply(torch.tensor([[[[0.0], [1.0]]]]), {"turned": np.array([True])}).flatten().tolist()
        [1.0, 0.0]
    """

    @property
    def geometric(self) -> bool:
        """Whether it moves pixels."""
        ...

    def draw(self, rng: np.random.Generator, count: int) -> Draws:
        """Parameters for `count` images, one entry each along the first axis."""
        ...

    def apply(self, images: Float[Tensor, "b c h w"], draws: Draws) -> Float[Tensor, "b c h w"]:
        """Changed images, float32 in [0, 1], or label maps, uint8; the input is left as it was."""
        ...


@dataclass(frozen=True)
class Augmenter:
    """All augmentations of a recipe, in order."""

    steps: tuple[tuple[str, Augmentation], ...]

    def __call__(self, batch: Batch, seed: int, purpose: str, step: int, view: int) -> Batch:
        """The batch as this step and view see it."""
        return self.apply(batch, self.draw(len(batch.images), seed, purpose, step, view))

    def draw(self, count: int, seed: int, purpose: str, step: int, view: int) -> list[Draws]:
        """Return the parameters of each augmentation for so many images."""
        return [
            augmentation.draw(generator(seed, purpose, name, view, step), count) for name, augmentation in self.steps
        ]

    def apply(self, batch: Batch, parameters: Sequence[Mapping[str, Any]]) -> Batch:
        """Return the batch changed with these parameters, which are tensors only for augmentations `on_device`."""
        images, masks = batch.images, batch.masks
        placed = {} if batch.boxes is None else {"boxes": batch.boxes}
        for (_, augmentation), step_parameters in zip(self.steps, parameters, strict=True):
            draws = {**step_parameters, **placed}
            images = augmentation.apply(images, draws)
            if masks is not None and augmentation.geometric:
                masks = augmentation.apply(masks, draws)
        return replace(batch, images=images, masks=masks, boxes=None)  # pictures may have been moved


def build_augmenter(components: Sequence[Component], first: Sequence[tuple[str, Augmentation]] = ()) -> Augmenter:
    """Return the augmentations of a recipe, after those of its mitigation.

    A second one of the same name draws from a generator of its own.
    """
    steps = list(first)
    for augmentation in components:
        repeated = sum(name.partition("#")[0] == augmentation.name for name, _ in steps)
        name = f"{augmentation.name}#{repeated}" if repeated else augmentation.name
        steps.append((name, cast(Augmentation, registry.build("augmentation", augmentation.name, augmentation.params))))
    return Augmenter(tuple(steps))


def stack_views(views: Sequence[Batch]) -> Batch:
    """Several views as one batch: view 1 of all images first, then view 2 of all."""
    first = views[0]
    masks = [view.masks for view in views if view.masks is not None]
    return replace(
        first,
        images=torch.cat([view.images for view in views]),
        target=first.target.repeat(len(views)),
        row=first.row.repeat(len(views)),
        masks=torch.cat(masks) if masks else None,
        group=None if first.group is None else first.group.repeat(len(views)),
    )


@component("augmentation", "flip", summary="mirror left and right, up and down")
@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """Mirror left and right, up and down, each with its probability.

    Examples:
        >>> flip = Flip(horizontal=1.0)
        >>> flip.apply(torch.tensor([[[[0.0, 1.0]]]]), flip.draw(np.random.default_rng(0), 1)).tolist()
        [[[[1.0, 0.0]]]]
    """

    horizontal: Annotated[Probability, Field(description="probability of swapping left and right")] = 0.5
    vertical: Annotated[Probability, Field(description="probability of swapping up and down; 0 where up is up")] = 0.5
    geometric: ClassVar[bool] = True
    on_device: ClassVar[bool] = True

    def draw(self, rng: np.random.Generator, count: int) -> Draws:
        """left_right, up_down: bool [count]."""
        u = rng.random((2, count))
        return {"left_right": u[0] < self.horizontal, "up_down": u[1] < self.vertical}

    def apply(self, images: Float[Tensor, "b c h w"], draws: Draws) -> Float[Tensor, "b c h w"]:
        """Return a copy, in which every mirrored image is written once."""
        right, down = draws["left_right"], draws["up_down"]
        if images.is_cuda:  # where a deterministic `index_copy_` sorts
            for axis, some in ((-1, right), (-2, down)):
                images = torch.where(_to(some, images)[:, None, None, None], images.flip(axis), images)
            return images
        mirrored = images.clone()
        for axes, some in (((-1,), right & ~down), ((-2,), down & ~right), ((-2, -1), right & down)):
            chosen = _to(np.flatnonzero(some), images)
            mirrored.index_copy_(0, chosen, images.index_select(0, chosen).flip(axes))
        return mirrored


@component("augmentation", "shift", summary="move by whole pixels, edges repeated")
@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """Move by whole pixels, up to `pixels` along each axis; revealed pixels repeat the edge.

    Examples:
        >>> image = torch.tensor([[[[0.1, 0.2, 0.3]]]])
        >>> moved = Shift(pixels=1).apply(image, {"down": np.array([0]), "right": np.array([1])})
        >>> [round(value, 1) for value in moved.flatten().tolist()]  # the edge is repeated
        [0.1, 0.1, 0.2]
    """

    pixels: Annotated[
        int, Field(ge=0, le=512, description="largest shift along each axis, in pixels; edges are repeated")
    ] = 4
    geometric: ClassVar[bool] = True
    on_device: ClassVar[bool] = True

    def draw(self, rng: np.random.Generator, count: int) -> Draws:
        """down, right: int64 [count] in [-pixels, pixels]."""
        moves = rng.integers(-self.pixels, self.pixels + 1, size=(2, count))
        return {"down": moves[0], "right": moves[1]}

    def apply(self, images: Float[Tensor, "b c h w"], draws: Draws) -> Float[Tensor, "b c h w"]:
        """Return every image is one window of its padded self: a single gather of whole rows of pixels."""
        if self.pixels == 0:
            return images
        height, width = images.shape[-2:]
        padded = functional.pad(images.float(), (self.pixels,) * 4, mode="replicate").to(images.dtype)
        windows = padded.unfold(2, height, 1).unfold(3, width, 1)
        down, right = (self.pixels - _to(draws[name], images) for name in ("down", "right"))
        return windows[torch.arange(len(images), device=images.device), :, down, right]


@component("augmentation", "affine", summary="rotate, shear, scale and move")
@dataclass(frozen=True, slots=True, kw_only=True)
class Affine:
    """Rotate, shear, scale and move about the center, bilinear (label maps: nearest).

    The shear slants vertical lines and comes before the rotation, as in torchvision's `RandomAffine`. Keras counts
    `shear_range` in degrees too, so that a published 0.1 there is a tenth of a degree.

    Examples:
        Half a turn without any other change brings the corner to the opposite one:

        >>> turn = {"angle": [math.pi], "scale": [1.0], "down": [0.0], "right": [0.0], "slant": [0.0]}
        >>> corner = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
        >>> turned = Affine().apply(corner, {name: np.array(value) for name, value in turn.items()})
        >>> turned.round(decimals=3).abs().tolist()
        [[[[0.0, 0.0], [0.0, 1.0]]]]
    """

    degrees: Annotated[float, Field(ge=0, le=180, description="largest rotation either way, in degrees")] = 10.0
    scale: Annotated[
        _Share | _Factors,
        Field(description="largest change of scale either way, as a share, or the least and the largest factor"),
    ] = 0.1
    shift: Annotated[
        _Share | _Shares,
        Field(description="largest shift either way, as a share of the side, or of the width and of the height"),
    ] = 0.05
    shear: Annotated[float, Field(ge=0, lt=90, description="largest slant either way, in degrees")] = 0.0
    together: Annotated[
        bool, Field(description="whether an image gets all of these changes, or one of them, each as likely")
    ] = True
    fill: Annotated[Literal["edge", "black"], Field(description="revealed pixels: the edge repeated, or black")] = (
        "edge"
    )
    geometric: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse a choice among no changes, and a least factor of scale above the largest."""
        if isinstance(self.scale, tuple) and self.scale[0] > self.scale[1]:
            raise ValueError(f"scale: the least factor, {self.scale[0]:g}, is above the largest, {self.scale[1]:g}")
        if not (self.together or self.degrees or self.scale or self.shift or self.shear):
            raise ValueError("together: false draws one of several changes, and all of them are 0")

    def draw(self, rng: np.random.Generator, count: int) -> Draws:
        """angle (radians), scale (factor), down and right (shares of the side), slant (tangent): float64 [count]."""
        u = rng.uniform(-1, 1, size=(5, count))
        rotates, scales, moves, slants = self._drawn(rng, count)
        middle, reach = 1.0, self.scale
        if isinstance(reach, tuple):
            middle, reach = (reach[0] + reach[1]) / 2, (reach[1] - reach[0]) / 2
        right, down = self.shift if isinstance(self.shift, tuple) else (self.shift, self.shift)
        return {
            "angle": rotates * u[0] * math.radians(self.degrees),
            "scale": np.where(scales, middle + u[1] * reach, 1.0),
            "down": moves * u[2] * down,
            "right": moves * u[3] * right,
            "slant": np.tan(slants * u[4] * math.radians(self.shear)),
        }

    def _drawn(self, rng: np.random.Generator, count: int) -> Bool[np.ndarray, "4 n"]:
        """Return whether each image is rotated, scaled, moved and slanted."""
        if self.together:
            return np.ones((4, count), dtype=bool)
        possible = np.flatnonzero([self.degrees > 0, self.scale != 0, self.shift != 0, self.shear > 0])
        return np.arange(4)[:, None] == rng.choice(possible, size=count)

    def apply(self, images: Float[Tensor, "b c h w"], draws: Draws) -> Float[Tensor, "b c h w"]:
        """Sample the inverse map of every image; sides of unequal length keep angles."""
        height, width = images.shape[-2:]
        cosine = np.cos(draws["angle"]) / draws["scale"]
        sine = np.sin(draws["angle"]) / draws["scale"]
        across, along = cosine - draws["slant"] * sine, sine + draws["slant"] * cosine
        right, down = 2 * draws["right"], 2 * draws["down"]
        ratio = height / width
        theta = np.stack(
            [
                np.stack([across, along * ratio, -across * right - along * ratio * down], axis=1),
                np.stack([-sine / ratio, cosine, sine / ratio * right - cosine * down], axis=1),
            ],
            axis=1,
        )
        return _sample_affine(images, theta, self.fill)


@component("augmentation", "noise", summary="add Gaussian noise")
@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """Add Gaussian noise of a standard deviation drawn from 0 to `sd`; clipped to [0, 1].

    Examples:
        >>> gray = torch.full((1, 1, 100, 100), 0.5)
        >>> round(float(Noise().apply(gray, {"sd": np.array([0.05]), "key": np.array([7])}).std()), 2)
        0.05
    """

    sd: Annotated[float, Field(gt=0, le=1, description="largest standard deviation, in units of the pixel range")] = (
        0.02
    )
    geometric: ClassVar[bool] = False

    def draw(self, rng: np.random.Generator, count: int) -> Draws:
        """sd: float32 [count]; key: int64 [count], the seed of each image's noise."""
        return {"sd": (rng.random(count) * self.sd).astype(np.float32), "key": rng.integers(0, 2**63, size=count)}

    def apply(self, images: Float[Tensor, "b c h w"], draws: Draws) -> Float[Tensor, "b c h w"]:
        """Return the batch's noise comes from the first key; drawn on the CPU, so that every device adds the same."""
        rng = torch.Generator().manual_seed(int(draws["key"][0]))
        noise = torch.randn(images.shape, generator=rng).to(images.device)
        return (images + noise * _to(draws["sd"], images).reshape(-1, 1, 1, 1)).clamp(0, 1)


def _to(values: np.ndarray | Tensor, like: Tensor) -> Tensor:
    if isinstance(values, Tensor):
        return values
    return tensor_of(np.ascontiguousarray(values)).to(like.device, non_blocking=True)


# Augmentations that make two views of an image differ as much as losses without labels need.
#
# Draws are made by NumPy on the CPU; pixels are changed where the batch is (`assay.training.augmentation`).

_LUMINANCE = np.array([0.299, 0.587, 0.114])
_TO_YIQ = np.array([_LUMINANCE, [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
_FROM_YIQ = np.linalg.inv(_TO_YIQ)
_ASPECT = 4 / 3  # of a crop, either way


@component("augmentation", "resized-crop", summary="a random window of the image, scaled to its size")
@dataclass(frozen=True, slots=True, kw_only=True)
class ResizedCrop:
    """A window of a random share of the area, from `smallest` to 1, and aspect from 3:4 to 4:3, anywhere within the
    image, scaled to the image's size (bilinear; label maps: nearest).

    Examples:
        The whole image is at most taken, a fifth of it at least:

        >>> crop = ResizedCrop(smallest=0.2)
        >>> draws = crop.draw(np.random.default_rng(0), 100)
        >>> bool((draws["height"] * draws["width"] >= 0.19).all()), bool((draws["height"] <= 1).all())
        (True, True)
    """

    smallest: Annotated[float, Field(gt=0, le=1, description="least share of the image's area in the window")] = 0.2
    geometric: ClassVar[bool] = True

    def draw(self, rng: np.random.Generator, count: int) -> Draws:
        """height, width: shares of the sides; down, right: of the middle from the image's, in shares of half a side."""
        u = rng.random((4, count))
        area = self.smallest + (1 - self.smallest) * u[0]
        aspect = np.exp((2 * u[1] - 1) * math.log(_ASPECT))
        height, width = np.minimum(np.sqrt(area / aspect), 1), np.minimum(np.sqrt(area * aspect), 1)
        return {
            "height": height,
            "width": width,
            "down": (2 * u[2] - 1) * (1 - height),
            "right": (2 * u[3] - 1) * (1 - width),
        }

    def apply(self, images: Float[Tensor, "b c h w"], draws: Draws) -> Float[Tensor, "b c h w"]:
        """See the class."""
        zero = np.zeros_like(draws["down"])
        across = np.stack([draws["width"], zero, draws["right"]], axis=1)
        along = np.stack([zero, draws["height"], draws["down"]], axis=1)
        return _sample_affine(images, np.stack([across, along], axis=1))


@component("augmentation", "color", summary="change brightness, contrast, saturation and hue, or take the color out")
@dataclass(frozen=True, slots=True, kw_only=True)
class Color:
    """Change brightness (a factor), contrast about the mean luminance, saturation and hue, of a share of the images;
    take the color out of another share; clipped to [0, 1].

    Saturation and hue are length and angle of the two color differences of YIQ. A gray image has neither.

    Examples:
        Without a change of any kind an image stays as it is; `gray` takes its color out:

        >>> red = torch.tensor([1.0, 0.0, 0.0]).reshape(1, 3, 1, 1)
        >>> color = Color(share=0.0, gray=1.0)
        >>> gray = color.apply(red, color.draw(np.random.default_rng(0), 1)).flatten()
        >>> [round(value, 2) for value in gray.tolist()]  # the luminance of red
        [0.3, 0.3, 0.3]
    """

    brightness: Annotated[
        float, Field(ge=0, le=1, description="largest change of the factor on all values, either way")
    ] = 0.4
    contrast: Annotated[float, Field(ge=0, le=1, description="largest change of contrast either way, as a share")] = 0.4
    saturation: Annotated[
        float, Field(ge=0, le=1, description="largest change of saturation either way, as a share")
    ] = 0.4
    hue: Annotated[float, Field(ge=0, le=0.5, description="largest turn of the hue either way, in turns")] = 0.1
    share: Annotated[Probability, Field(description="share of the images that are changed")] = 0.8
    gray: Annotated[Probability, Field(description="share of the images that are made gray")] = 0.2
    geometric: ClassVar[bool] = False

    def draw(self, rng: np.random.Generator, count: int) -> Draws:
        """gain, contrast, saturation: factors; hue: radians; all 1 and 0 where an image is not changed."""
        u, changed, gray = rng.uniform(-1, 1, (4, count)), rng.random(count) < self.share, rng.random(count) < self.gray
        return {
            "gain": 1 + changed * u[0] * self.brightness,
            "contrast": 1 + changed * u[1] * self.contrast,
            "saturation": (1 + changed * u[2] * self.saturation) * ~gray,
            "hue": changed * u[3] * self.hue * 2 * math.pi,
        }

    def apply(self, images: Float[Tensor, "b c h w"], draws: Draws) -> Float[Tensor, "b c h w"]:
        """See the class."""
        gain, contrast = (_on(draws[name], images).reshape(-1, 1, 1, 1) for name in ("gain", "contrast"))
        if images.shape[1] == 3:
            turned = _on(_color_matrices(draws["saturation"], draws["hue"]), images)
            images = torch.einsum("bij,bjhw->bihw", turned, images)
            weights = _on(_LUMINANCE, images).reshape(1, 3, 1, 1)
            mean = (images * weights).sum(1, keepdim=True).mean((2, 3), keepdim=True)
        else:
            mean = images.mean((1, 2, 3), keepdim=True)
        return (((images - mean) * contrast + mean) * gain).clamp(0, 1)


def _color_matrices(saturation: np.ndarray, hue: np.ndarray) -> np.ndarray:
    """Matrices on red, green and blue, [n, 3, 3], that scale and turn the color differences and keep the luminance."""
    turn = np.zeros((len(hue), 3, 3))
    turn[:, 0, 0] = 1
    turn[:, 1, 1] = turn[:, 2, 2] = saturation * np.cos(hue)
    turn[:, 2, 1] = saturation * np.sin(hue)
    turn[:, 1, 2] = -turn[:, 2, 1]
    return _FROM_YIQ @ turn @ _TO_YIQ


@component("augmentation", "blur", summary="a Gaussian blur of some images")
@dataclass(frozen=True, slots=True, kw_only=True)
class RandomBlur:
    """Blur a share of the images by a Gaussian whose standard deviation is drawn from a tenth of `sigma` to `sigma`,
    in shares of the side; edges are mirrored.

    Examples:
        >>> blur = RandomBlur(sigma=0.01, share=0.5)
        >>> sigma = blur.draw(np.random.default_rng(0), 1000)["sigma"]
        >>> bool((sigma <= 0.01).all()), 400 < int((sigma > 0).sum()) < 600
        (True, True)
    """

    sigma: Annotated[float, Field(gt=0, le=0.1, description="largest standard deviation, as a share of the side")] = (
        0.01
    )
    share: Annotated[Probability, Field(description="share of the images that are blurred")] = 0.5
    geometric: ClassVar[bool] = False

    def draw(self, rng: np.random.Generator, count: int) -> Draws:
        """sigma: shares of the side, 0 where an image is not blurred."""
        u = rng.random((2, count))
        return {"sigma": np.where(u[0] < self.share, self.sigma * (0.1 + 0.9 * u[1]), 0.0)}

    def apply(self, images: Float[Tensor, "b c h w"], draws: Draws) -> Float[Tensor, "b c h w"]:
        """Rows, then columns; every image with a kernel of its own."""
        count, channels, height, width = images.shape
        side = min(height, width)
        radius = min(max(1, math.ceil(3 * self.sigma * side - 1e-9)), side - 1)
        sigma = np.maximum(draws["sigma"] * side, 1e-3)[:, None]
        weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
        kernels = _on(weights / weights.sum(axis=1, keepdims=True), images).repeat_interleave(channels, dim=0)
        flat = images.reshape(1, count * channels, height, width)
        for shape, pad in (
            ((-1, 1, 1, 2 * radius + 1), (radius, radius, 0, 0)),
            ((-1, 1, 2 * radius + 1, 1), (0, 0, radius, radius)),
        ):
            flat = functional.conv2d(
                functional.pad(flat, pad, mode="reflect"), kernels.reshape(*shape), groups=count * channels
            )
        return flat.reshape(images.shape).clamp(0, 1)


def _on(values: np.ndarray | Sequence[float], images: Tensor) -> Tensor:
    """As float32 where the images are."""
    return tensor_of(np.ascontiguousarray(values, dtype=np.float32)).to(images.device)


def _sample_affine(
    images: Float[Tensor, "b c h w"], theta: np.ndarray, fill: Literal["edge", "black"] = "edge"
) -> Float[Tensor, "b c h w"]:
    """Sample images (label maps: the nearest label) where affine maps [b, 2, 3] send their pixels."""
    grid = functional.affine_grid(_on(theta, images), list(images.shape), align_corners=False)
    how = "bilinear" if images.is_floating_point() else "nearest"
    padding = "zeros" if fill == "black" else "border"
    sampled = functional.grid_sample(images.to(grid.dtype), grid, how, padding_mode=padding, align_corners=False)
    return sampled.to(images.dtype)
