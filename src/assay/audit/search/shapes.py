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
from assay.audit.search.patches import MIN_GROUP_SHARE, split_in_two
from assay.audit.search.regions import Kind, MovingRegion, Pixels, Region
from assay.audit.search.sample import SearchSample

# Squares around corners of single images are templates. The distance of an image from a template is that of its most
# similar square: squared differences as a share of the template's variance, so that edges, which are all similar, count
# little. A template is a shape where a few images are very near to it, and the others are not.

_AVERAGED_SIDE = 64
"""Approximate side to which larger images are averaged."""
_SQUARES_PER_SIDE = 9
"""Side of an image as a multiple of the side of a square."""
_N_TEMPLATES = 12
"""Templates of each image."""
_TEMPLATES_AT_ONCE = 128
"""Templates that an image is compared with at a time: their products stay in the cache of a processor."""
_MAX_DISTANCE, _MIN_SEPARATION = 0.5, 6.5
"""Largest distance of carriers; smallest separation of carriers and others in standard deviations. In clean
radiographs, skin and phantoms this was 5.9 at most, with shapes 6.2 to 95."""
_MAX_RELATIVE_SD = 0.25
"""Largest standard deviation of carriers at a pixel of the shape, in standard deviations of the template."""
_MIN_PIXELS = 9
"""Fewest pixels of a shape; with fewer the whole square is the shape."""
_MAX_SHAPES = 3
"""Most shapes of each half of the patients whose effects are measured."""


@dataclass(frozen=True, slots=True)
class Shape(MovingRegion):
    """A square wherever an image is most like a template.

    Attributes:
        template: Values of its pixels, by channel.
        weight: Whether each pixel is of the shape.
        max_distance: Largest distance of an image that has it.
    """

    kind: ClassVar[Kind] = "shape"
    template: tuple[float, ...]
    weight: tuple[float, ...]
    max_distance: float

    def places(self, images: Pixels) -> tuple[Bool[np.ndarray, "n h w"], Float[np.ndarray, " n"]]:
        """Return where each image is most like it, with a margin, and its distance."""
        factor, side = averaging_factor(images), math.isqrt(len(self.weight))
        weight = np.array(self.weight, dtype=np.float32).reshape(1, side, side)
        template = np.array(self.template, dtype=np.float32).reshape(1, -1, side, side)
        distances, positions = _nearest_squares(average_squares(images, factor), template, weight)
        return squares_at(images.shape, positions[:, 0], side, factor, side - 2), distances[:, 0]

    def occurrences(self, images: Pixels) -> tuple[Bool[np.ndarray, "n h w"], Bool[np.ndarray, " n"]]:
        """See `MovingRegion`."""
        where, distances = self.places(images)
        return where, distances <= self.max_distance


@dataclass(frozen=True, eq=False)
class RepeatedShape(Candidate):
    """A shape with the images that have it."""

    shape: Shape

    @property
    def region(self) -> Region:
        """The shape."""
        return self.shape


def pairs_of_shapes(first: SearchSample, second: SearchSample) -> Iterator[tuple[RepeatedShape, RepeatedShape]]:
    """Yield shapes of either half that images of both have, the most distinct first."""
    factor, pairs = averaging_factor(first.images), list[tuple[RepeatedShape, RepeatedShape]]()
    halves = [average_squares(half.images, factor) for half in (first, second)]
    for half in (0, 1):
        for mark in _shapes_of(halves[half]):
            other = _carriers_of(mark.shape, (first, second)[1 - half].images)
            if other is not None:
                pairs.append((mark, other) if half == 0 else (other, mark))
    yield from sorted(pairs, key=lambda pair: -min(mark.distance for mark in pair))


def _carriers_of(shape: Shape, images: Pixels) -> RepeatedShape | None:
    """Return the shape with the images of the other half that have it; None where these are too few, or too many."""
    distances = shape.places(images)[1]
    carry = distances <= shape.max_distance
    if not max(LEAST_CARRIERS, MIN_GROUP_SHARE * len(carry)) <= carry.sum() <= MOST_CARRIERS * len(carry):
        return None
    return RepeatedShape(carry, _separation_of_carriers(distances, carry), shape)


def _separation_of_carriers(distances: Float[np.ndarray, " n"], carry: Bool[np.ndarray, " n"]) -> float:
    groups = distances[carry], distances[~carry]
    within = sum(float(((group - group.mean()) ** 2).sum()) for group in groups)
    return float(groups[1].mean() - groups[0].mean()) / math.sqrt(max(within / (len(carry) - 2), 1e-6))


def _shapes_of(images: Float[np.ndarray, "n c h w"]) -> Iterator[RepeatedShape]:
    """Yield the shapes of one half, the most distinct first, each on other images than those before."""
    side = max(3, min(images.shape[2:]) // _SQUARES_PER_SIDE | 1)
    templates, sources = _templates(images, side)
    all_pixels = np.ones((1, side, side), dtype=np.float32)
    distances, positions = _nearest_squares(images, templates, all_pixels)
    distinct = [_group_by_distance(row, source) for row, source in zip(distances.T, sources.tolist(), strict=True)]
    order = sorted(range(len(distinct)), key=lambda number: -distinct[number][1])
    yielded: list[RepeatedShape] = []
    for number in order:
        carry, separation = distinct[number]
        if separation < _MIN_SEPARATION or len(yielded) == _MAX_SHAPES:
            return
        if any((carry & mark.carry).sum() > carry.sum() / 2 for mark in yielded):
            continue
        weight = _pixels_alike(images, templates[number], carry, positions[:, number])
        new_distances = _nearest_squares(images, templates[number : number + 1], weight)[0][:, 0]
        new_carry, new_separation = _group_by_distance(new_distances, int(sources[number]))
        if new_separation < _MIN_SEPARATION:
            new_carry, new_distances, weight = carry, distances[:, number], all_pixels
        max_distance = float(new_distances[new_carry].max() + new_distances[~new_carry].min()) / 2
        shape = Shape(tuple(map(float, templates[number].ravel())), tuple(map(float, weight.ravel())), max_distance)
        yielded.append(RepeatedShape(new_carry, _separation_of_carriers(new_distances, new_carry), shape))
        yield yielded[-1]


def _group_by_distance(distances: Float[np.ndarray, " n"], source: int) -> tuple[Bool[np.ndarray, " n"], float]:
    """Return which images are near a template, and the separation of the others; 0 where these are no carriers."""
    min_carriers = max(LEAST_CARRIERS, MIN_GROUP_SHARE * len(distances))
    others = np.delete(distances, source)  # an image is like itself
    if (others < _MAX_DISTANCE).sum() < min_carriers - 1:  # most templates, whatever the split
        return distances < _MAX_DISTANCE, 0.0
    high, separation = split_in_two(others)
    carry = np.insert(~high, source, values=True)
    are_carriers = (
        min_carriers <= carry.sum() <= MOST_CARRIERS * len(carry) and others[~high].max(initial=0.0) < _MAX_DISTANCE
    )
    return carry, separation if are_carriers else 0.0


def _pixels_alike(
    images: Float[np.ndarray, "n c h w"],
    template: Float[np.ndarray, "c s s"],
    carry: Bool[np.ndarray, " n"],
    positions: Int[np.ndarray, " n"],
) -> Float[np.ndarray, "1 s s"]:
    """Return the pixels of a template at which its carriers have similar values."""
    side = template.shape[1]
    squares = np.lib.stride_tricks.sliding_window_view(images[carry], (side, side), axis=(2, 3))
    squares = squares.reshape(*squares.shape[:2], -1, side, side)[np.arange(carry.sum()), :, positions[carry]]
    alike = np.sqrt(squares.var(axis=0).mean(axis=0)) <= _MAX_RELATIVE_SD * template.std()
    return (alike if alike.sum() >= _MIN_PIXELS else np.ones_like(alike))[None].astype(np.float32)


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
    positions = peaks.topk(min(_N_TEMPLATES, peaks.shape[1])).indices.numpy()
    squares = np.lib.stride_tricks.sliding_window_view(images, (side, side), axis=(2, 3))
    squares = squares.reshape(*squares.shape[:2], -1, side, side)
    sources = np.repeat(np.arange(len(images)), positions.shape[1])
    return np.ascontiguousarray(squares[sources, :, positions.ravel()]), sources


def _nearest_squares(
    images: Float[np.ndarray, "n c h w"], templates: Float[np.ndarray, "t c s s"], weight: Float[np.ndarray, "1 s s"]
) -> tuple[Float[np.ndarray, "n t"], Int[np.ndarray, "n t"]]:
    """Return the distance of each image's most similar square from each template, and the position of this square."""
    kernel: Any = torch.as_tensor(np.broadcast_to(weight, templates.shape[1:])[None].copy())
    patterns = torch.as_tensor(templates)
    weighted = patterns * kernel
    mean = weighted.sum(dim=(2, 3), keepdim=True) / kernel.sum(dim=(2, 3), keepdim=True)
    variance = (kernel * (patterns - mean) ** 2).sum(dim=(1, 2, 3)).clamp(min=1e-3)
    constant = (weighted * patterns).sum(dim=(1, 2, 3))
    factors = torch.cat((-2 * weighted.flatten(1), torch.ones(len(templates), 1)), dim=1)
    positions = np.empty((len(images), len(templates)), dtype=np.int64)
    smallest = np.empty(positions.shape, dtype=np.float32)
    parts = [slice(start, start + _TEMPLATES_AT_ONCE) for start in range(0, len(templates), _TEMPLATES_AT_ONCE)]
    for row, image in enumerate(torch.as_tensor(images)[:, None]):
        norms = functional.conv2d(image**2, kernel).flatten(2)
        squares = torch.cat((functional.unfold(image, templates.shape[2:]), norms), dim=1)[0]
        for part in parts:
            products = (factors[part] @ squares).numpy()  # a convolution takes two to four times as long
            nearest = products.argmin(axis=1)  # NumPy's is eight times as fast as PyTorch's
            positions[row, part] = nearest
            smallest[row, part] = np.take_along_axis(products, nearest[:, None], axis=1)[:, 0]
    distances = ((torch.as_tensor(smallest) + constant).clamp(min=0) / variance).sqrt().numpy()
    return distances, positions


def squares_at(
    shape: Sequence[int], positions: Int[np.ndarray, " n"], side: int, factor: int, margin: int
) -> Bool[np.ndarray, "n h w"]:
    """Return squares on images.

    Args:
        shape: Shape of the images.
        positions: Position of the square of each image, among those of the averaged image.
        side: Side of a square of the averaged image.
        factor: Side of the squares of pixels that are averaged.
        margin: Pixels of the averaged image that are added on each side.
    """
    where = np.zeros((shape[0], *shape[2:]), dtype=bool)
    columns = shape[3] // factor - side + 1
    for mask, position in zip(where, positions.tolist(), strict=True):
        top, left = (factor * (start - margin) for start in divmod(position, columns))
        end = factor * (side + 2 * margin)
        mask[max(0, top) : top + end, max(0, left) : left + end] = True
    return where


def averaging_factor(images: Pixels) -> int:
    """Return the side of the squares of pixels that are averaged to one pixel."""
    return -(-max(images.shape[2:]) // _AVERAGED_SIDE)


def average_squares(images: Pixels, factor: int) -> Float[np.ndarray, "n c h w"]:
    """Return images averaged by squares of pixels."""
    return functional.avg_pool2d(torch.as_tensor(np.ascontiguousarray(images, dtype=np.float32)), factor).numpy()


find_shape = partial(find_candidate, pairs_of_shapes)
"""The search for such shapes, as `search.find_region`."""
