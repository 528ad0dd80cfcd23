"""The same small shape at changing places: on some images, each of which has it somewhere."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch.nn import functional

from assay.audit.search.candidates import LEAST_CARRIERS, MOST_CARRIERS, Candidate, find_candidate
from assay.audit.search.regions import Kind, MovingRegion, Pixels, Region
from assay.audit.search.search import LEAST_GROUP, SearchSample, split

# Squares around corners of single images are templates. An image is as far from a template as the square in it that is
# most like it: squared differences as a share of the template's variance, so that edges, of which all are alike, count
# little. A shape is drawn where a few images are very near, apart from the others.

_SIDE = 64
"""Images are averaged to at most about this side."""
_PART = 9
"""The square is one of so many parts of the side."""
_TEMPLATES = 12
"""Templates of each image."""
_TEMPLATES_AT_ONCE = 128
"""Templates that an image is compared with at a time: their products stay in the cache of a processor."""
_NEAR, _APART = 0.5, 6.5
"""Largest distance of carriers; least distance of both groups in standard deviations. In clean radiographs, skin and
phantoms it was 5.9 at most, around shapes 6.2 to 95."""
_ALIKE = 0.25
"""Spread of carriers at a pixel of the shape, in standard deviations of the template."""
_LEAST_PIXELS = 9
_MOST = 3
"""Shapes of each half of the patients that go on."""


@dataclass(frozen=True, slots=True)
class Shape(MovingRegion):
    """A square wherever an image is most like a template.

    Attributes:
        template: Values of its pixels, by channel.
        weight: Whether each pixel is of the shape.
        nearest: Distance below which an image has it.
    """

    kind: ClassVar[Kind] = "shape"
    template: tuple[float, ...]
    weight: tuple[float, ...]
    nearest: float

    def places(self, images: Pixels) -> tuple[Bool[np.ndarray, "n h w"], Float[np.ndarray, " n"]]:
        """Return where each image is most like it, with a margin, and its distance."""
        by, side = averaged_by(images), math.isqrt(len(self.weight))
        weight = np.array(self.weight, dtype=np.float32).reshape(1, side, side)
        template = np.array(self.template, dtype=np.float32).reshape(1, -1, side, side)
        distances, at = _nearest(averaged(images, by), template, weight)
        return squares_at(images.shape, at[:, 0], side, by, side - 2), distances[:, 0]

    def occurrences(self, images: Pixels) -> tuple[Bool[np.ndarray, "n h w"], Bool[np.ndarray, " n"]]:
        """See `MovingRegion`."""
        where, distances = self.places(images)
        return where, distances <= self.nearest


@dataclass(frozen=True, eq=False)
class RepeatedShape(Candidate):
    """A shape with the images that have it."""

    shape: Shape

    @property
    def region(self) -> Region:
        """The shape."""
        return self.shape


def shapes_drawn_alike(first: SearchSample, second: SearchSample) -> Iterator[tuple[RepeatedShape, RepeatedShape]]:
    """Yield shapes of either half that images of both have, the most distinct first."""
    by, pairs = averaged_by(first.images), list[tuple[RepeatedShape, RepeatedShape]]()
    halves = [averaged(half.images, by) for half in (first, second)]
    for half in (0, 1):
        for mark in _shapes_of(halves[half]):
            other = _carriers_of(mark.shape, (first, second)[1 - half].images)
            if other is not None:
                pairs.append((mark, other) if half == 0 else (other, mark))
    yield from sorted(pairs, key=lambda pair: -min(mark.distance for mark in pair))


def _carriers_of(shape: Shape, images: Pixels) -> RepeatedShape | None:
    """Return the shape with the images of the other half that have it; None where these are too few, or too many."""
    distances = shape.places(images)[1]
    carry = distances <= shape.nearest
    if not max(LEAST_CARRIERS, LEAST_GROUP * len(carry)) <= carry.sum() <= MOST_CARRIERS * len(carry):
        return None
    return RepeatedShape(carry, _distance_of(distances, carry), shape)


def _distance_of(distances: Float[np.ndarray, " n"], carry: Bool[np.ndarray, " n"]) -> float:
    groups = distances[carry], distances[~carry]
    within = sum(float(((group - group.mean()) ** 2).sum()) for group in groups)
    return float(groups[1].mean() - groups[0].mean()) / math.sqrt(max(within / (len(carry) - 2), 1e-6))


def _shapes_of(images: Float[np.ndarray, "n c h w"]) -> Iterator[RepeatedShape]:
    """Yield the shapes of one half, the most distinct first, each on other images than those before."""
    side = max(3, min(images.shape[2:]) // _PART | 1)
    templates, sources = _templates(images, side)
    every = np.ones((1, side, side), dtype=np.float32)
    distances, at = _nearest(images, templates, every)
    distinct = [_grouped(row, source) for row, source in zip(distances.T, sources.tolist(), strict=True)]
    order = sorted(range(len(distinct)), key=lambda number: -distinct[number][1])
    yielded: list[RepeatedShape] = []
    for number in order:
        carry, apart = distinct[number]
        if apart < _APART or len(yielded) == _MOST:
            return
        if any((carry & mark.carry).sum() > carry.sum() / 2 for mark in yielded):
            continue
        weight = _pixels_alike(images, templates[number], carry, at[:, number])
        again = _nearest(images, templates[number : number + 1], weight)[0][:, 0]
        with_it, apart_again = _grouped(again, int(sources[number]))
        if apart_again < _APART:
            with_it, again, weight = carry, distances[:, number], every
        nearest = float(again[with_it].max() + again[~with_it].min()) / 2
        shape = Shape(tuple(map(float, templates[number].ravel())), tuple(map(float, weight.ravel())), nearest)
        yielded.append(RepeatedShape(with_it, _distance_of(again, with_it), shape))
        yield yielded[-1]


def _grouped(distances: Float[np.ndarray, " n"], source: int) -> tuple[Bool[np.ndarray, " n"], float]:
    """Return the images near a template and how far the others are from them; 0 where these are no carriers."""
    others = np.delete(distances, source)  # an image is like itself
    high, apart = split(others)
    carry = np.insert(~high, source, values=True)
    least = max(LEAST_CARRIERS, LEAST_GROUP * len(carry))
    able = least <= carry.sum() <= MOST_CARRIERS * len(carry) and others[~high].max(initial=0.0) < _NEAR
    return carry, apart if able else 0.0


def _pixels_alike(
    images: Float[np.ndarray, "n c h w"],
    template: Float[np.ndarray, "c s s"],
    carry: Bool[np.ndarray, " n"],
    at: Int[np.ndarray, " n"],
) -> Float[np.ndarray, "1 s s"]:
    """Return which pixels of a template its carriers have alike."""
    side = template.shape[1]
    squares = np.lib.stride_tricks.sliding_window_view(images[carry], (side, side), axis=(2, 3))
    squares = squares.reshape(*squares.shape[:2], -1, side, side)[np.arange(carry.sum()), :, at[carry]]
    alike = np.sqrt(squares.var(axis=0).mean(axis=0)) <= _ALIKE * template.std()
    return (alike if alike.sum() >= _LEAST_PIXELS else np.ones_like(alike))[None].astype(np.float32)


def _templates(
    images: Float[np.ndarray, "n c h w"], side: int
) -> tuple[Float[np.ndarray, "t c s s"], Int[np.ndarray, " t"]]:
    """Return squares around the corners of each image, by the smaller eigenvalue of gradients, and their images.

    References:
        Shi and Tomasi, "Good features to track", CVPR 1994.
    """
    gray = torch.as_tensor(images).mean(dim=1, keepdim=True)
    padded = functional.pad(gray, (1, 1, 1, 1), mode="replicate")
    across, down = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2], padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
    a, b, c = (functional.avg_pool2d(part, side, 1) for part in (across**2, down**2, across * down))
    corner = (a + b) / 2 - (((a - b) / 2) ** 2 + c**2).sqrt()
    peaks = torch.where(corner == functional.max_pool2d(corner, side, 1, side // 2), corner, 0.0).flatten(1)
    at = peaks.topk(min(_TEMPLATES, peaks.shape[1])).indices.numpy()
    squares = np.lib.stride_tricks.sliding_window_view(images, (side, side), axis=(2, 3))
    squares = squares.reshape(*squares.shape[:2], -1, side, side)
    sources = np.repeat(np.arange(len(images)), at.shape[1])
    return np.ascontiguousarray(squares[sources, :, at.ravel()]), sources


def _nearest(
    images: Float[np.ndarray, "n c h w"], templates: Float[np.ndarray, "t c s s"], weight: Float[np.ndarray, "1 s s"]
) -> tuple[Float[np.ndarray, "n t"], Int[np.ndarray, "n t"]]:
    """Return how far the square of each image that is most like each template is from it, and its position."""
    kernel: Any = torch.as_tensor(np.broadcast_to(weight, templates.shape[1:])[None].copy())
    patterns = torch.as_tensor(templates)
    weighted = patterns * kernel
    middle = weighted.sum(dim=(2, 3), keepdim=True) / kernel.sum(dim=(2, 3), keepdim=True)
    spread = (kernel * (patterns - middle) ** 2).sum(dim=(1, 2, 3)).clamp(min=1e-3)
    constant = (weighted * patterns).sum(dim=(1, 2, 3))
    at = np.empty((len(images), len(templates)), dtype=np.int64)
    least = np.empty(at.shape, dtype=np.float32)
    pixels = [torch.as_tensor(image[None]) for image in images]
    norms = [functional.conv2d(image**2, kernel) for image in pixels]
    for start in range(0, len(templates), _TEMPLATES_AT_ONCE):
        part = slice(start, start + _TEMPLATES_AT_ONCE)
        for row, (image, norm) in enumerate(zip(pixels, norms, strict=True)):
            products = functional.conv2d(image, -2 * weighted[part]).add_(norm)[0].flatten(1).numpy()
            at[row, part] = products.argmin(axis=1)  # NumPy's is eight times as fast as PyTorch's
            least[row, part] = products.min(axis=1)
    distances = ((torch.as_tensor(least) + constant).clamp(min=0) / spread).sqrt().numpy()
    return distances, at


def squares_at(
    shape: Sequence[int], places: Int[np.ndarray, " n"], side: int, by: int, margin: int
) -> Bool[np.ndarray, "n h w"]:
    """Return squares on images.

    Args:
        shape: Shape of the images.
        places: Position of the square of each image, among those of the averaged image.
        side: Side of a square of the averaged image.
        by: Side of the pixels that are averaged.
        margin: Pixels of the averaged image that are added on each side.
    """
    where = np.zeros((shape[0], *shape[2:]), dtype=bool)
    columns = shape[3] // by - side + 1
    for mask, place in zip(where, places.tolist(), strict=True):
        top, left = (by * (start - margin) for start in divmod(place, columns))
        end = by * (side + 2 * margin)
        mask[max(0, top) : top + end, max(0, left) : left + end] = True
    return where


def averaged_by(images: Pixels) -> int:
    """Return the side of the pixels of an image that are averaged to one."""
    return -(-max(images.shape[2:]) // _SIDE)


def averaged(images: Pixels, by: int) -> Float[np.ndarray, "n c h w"]:
    """Return images averaged by squares of pixels."""
    return functional.avg_pool2d(torch.as_tensor(np.ascontiguousarray(images, dtype=np.float32)), by).numpy()


find_shape = partial(find_candidate, shapes_drawn_alike)
"""The search for such shapes, as `search.find_region`."""
