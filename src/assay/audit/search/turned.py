"""The same small shape, turned, at changing places: on some images, each of which has it somewhere."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from assay.audit.search.candidates import MOST_CARRIERS, Candidate, find_candidate
from assay.audit.search.patches import split_in_two
from assay.audit.search.regions import Kind, MovingRegion, Pixels, Region
from assay.audit.search.sample import SearchSample
from assay.audit.search.shapes import average_squares, averaging_factor, squares_at

# A place in an image is described by circular harmonics of the rings around it, whose amplitudes do not change when the
# image is rotated. Descriptions are whitened by the covariance of all places of all images, so that rare places are far
# from the mean. A template is the mean description of the rarest places of some images. The likeness of an image is
# that of its place farthest in the direction of the template (a linear discriminant of one example, Hariharan, Malik
# and Ramanan, ECCV 2012).

_SQUARES_PER_SIDE = 4
"""Side of an image as a multiple of the side of a square."""
_N_RINGS, _N_HARMONICS, _RING_WIDTH = 5, 4, 0.13
"""Rings, harmonics of each, and the width of a ring as a share of the largest radius."""
_RIDGE = 1e-3
"""Share of the mean variance that is added to the covariance."""
_COVARIANCE_STEP = 7
"""Step between the places that count for the covariance."""
_N_TEMPLATES, _MAX_GROUPS, _N_ITERATIONS = 8, 24, 3
"""Templates of each image, most groups of carriers that are averaged, and iterations of averaging."""
_MAX_OVERLAP = 0.8
"""Share of the images of two groups that both have, above which only one of them is averaged."""
_NEIGHBORS = 5
"""Side of the square of places of which only the rarest can be a template."""
_MIN_CARRIER_SHARE = 0.15
"""Smallest share of carriers in each half: of a tenth, halves of the patients have too few."""
_MIN_PER_CLASS = 3
"""Fewest carriers of each class in both halves together: what one class alone has may be its disease."""
_MAX_SHAPES = 3
"""Most shapes of each half of the patients whose effects are measured."""
_MARGIN = 2
"""Pixels of the averaged image that are added to a square on each side."""


@dataclass(frozen=True, slots=True)
class RotatedSquare(MovingRegion):
    """A square wherever an image is most like a template, however turned.

    Attributes:
        weight: Weight of each part of the description of a place, by channel; 1 in sum at the template.
        mean: What is subtracted.
        side: Side of the square, of averaged images.
        min_likeness: Smallest likeness of an image that has it.
    """

    kind: ClassVar[Kind] = "turned"
    weight: tuple[float, ...]
    mean: float
    side: int
    min_likeness: float

    def places(self, images: Pixels) -> tuple[Bool[np.ndarray, "n h w"], Float[np.ndarray, " n"]]:
        """Return where each image is most like it, with a margin, and how much."""
        like = self.likeness(_describe_places(images, self.side))
        factor = averaging_factor(images)
        return squares_at(images.shape, like.argmax(axis=1), self.side, factor, _MARGIN), like.max(axis=1)

    def likeness(self, descriptions: Float[np.ndarray, "n d p"]) -> Float[np.ndarray, "n p"]:
        """Return how much places with these descriptions are like it."""
        return np.array(self.weight, dtype=np.float32) @ descriptions - self.mean

    def occurrences(self, images: Pixels) -> tuple[Bool[np.ndarray, "n h w"], Bool[np.ndarray, " n"]]:
        """See `MovingRegion`."""
        where, likeness = self.places(images)
        return where, likeness >= self.min_likeness


@dataclass(frozen=True, eq=False)
class TurnedShape(Candidate):
    """A shape with the images that have it."""

    shape: RotatedSquare

    @property
    def region(self) -> Region:
        """The shape."""
        return self.shape


def pairs_turned(first: SearchSample, second: SearchSample) -> Iterator[tuple[TurnedShape, TurnedShape]]:
    """Yield shapes of either half that images of both and of all classes have, the most distinct first."""
    pairs = list[tuple[TurnedShape, TurnedShape]]()
    for half, (sample, other) in enumerate(((first, second), (second, first))):
        chosen = list[TurnedShape]()
        marks = sorted(_mean_shapes(sample.images), key=lambda mark: -mark.distance)
        descriptions = _describe_places(other.images, marks[0].shape.side) if marks else np.empty(0)
        for mark in marks:
            likeness = mark.shape.likeness(descriptions).max(axis=1)
            carry = likeness >= mark.shape.min_likeness
            suitable = _enough_carriers(carry) and _in_all_classes(sample.target, mark.carry, other.target, carry)
            if len(chosen) < _MAX_SHAPES and suitable and not any(mark.shares_images(earlier) for earlier in chosen):
                chosen.append(mark)
                matched = TurnedShape(carry, _separation_of_carriers(likeness, carry), mark.shape)
                pairs.append((matched, mark) if half else (mark, matched))
    yield from sorted(pairs, key=lambda pair: -min(mark.distance for mark in pair))


def _in_all_classes(
    first: Int[np.ndarray, " n"],
    carry: Bool[np.ndarray, " n"],
    second: Int[np.ndarray, " m"],
    also_carry: Bool[np.ndarray, " m"],
) -> bool:
    carriers = np.concatenate([first[carry], second[also_carry]])
    return all((carriers == code).sum() >= _MIN_PER_CLASS for code in np.unique(first))


def _enough_carriers(carry: Bool[np.ndarray, " n"]) -> bool:
    return bool(_MIN_CARRIER_SHARE * len(carry) <= carry.sum() <= MOST_CARRIERS * len(carry))


def _separation_of_carriers(likeness: Float[np.ndarray, " n"], carry: Bool[np.ndarray, " n"]) -> float:
    groups = likeness[carry], likeness[~carry]
    within = sum(float(((group - group.mean()) ** 2).sum()) for group in groups)
    return float(groups[0].mean() - groups[1].mean()) / math.sqrt(max(within / (len(carry) - 2), 1e-6))


def _mean_shapes(images: Pixels) -> Iterator[TurnedShape]:
    """Yield the shapes of one half."""
    small = average_squares(images, averaging_factor(images))
    side = max(5, min(small.shape[2:]) // _SQUARES_PER_SIDE | 1)
    descriptions = _ring_harmonics(small, side)
    mean, whiten = _whitening(descriptions)
    whitened = whiten @ (descriptions - mean[:, None])
    templates, sources = _rarest_places(whitened, small.shape[2] - side + 1)
    likeness = np.concatenate([_likeness_to(whitened[[at]], templates)[0] for at in range(len(whitened))])
    grouped = [_group_by_likeness(values, source) for values, source in zip(likeness.T, sources.tolist(), strict=True)]
    groups = list[np.ndarray]()
    for number in sorted(range(len(grouped)), key=lambda number: -grouped[number][1]):
        carry, separation = grouped[number]
        if separation == 0 or len(groups) == _MAX_GROUPS:
            return
        if any((carry & other).sum() > _MAX_OVERLAP * (carry | other).sum() for other in groups):
            continue
        groups.append(carry)
        mark = _shape_of_carriers(whitened, templates[number], carry)
        if mark is not None:
            template, carry, values = mark
            weight = whiten.T @ template / (template**2).sum()
            min_likeness = float(values[carry].min() + values[~carry].max()) / 2
            shape = RotatedSquare(tuple(map(float, weight)), float(weight @ mean), side, min_likeness)
            yield TurnedShape(carry, _separation_of_carriers(values, carry), shape)


def _shape_of_carriers(
    whitened: Float[np.ndarray, "n d p"], template: Float[np.ndarray, " d"], carry: Bool[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " d"], Bool[np.ndarray, " n"], Float[np.ndarray, " n"]] | None:
    """Return the mean of carriers where they are most like a template, its carriers, and how like it images are."""
    values = np.zeros(len(carry))
    for _ in range(_N_ITERATIONS):
        place = _likeness_to(whitened, template[None])[1][:, 0]
        rows = np.flatnonzero(carry)
        template = whitened[rows, :, place[rows]].mean(axis=0)
        values = _likeness_to(whitened, template[None])[0][:, 0]
        new_carry, separation = _group_by_likeness(values)
        if not separation:
            return None
        if (new_carry == carry).all():
            break
        carry = new_carry
    return template, carry, values


def _group_by_likeness(values: Float[np.ndarray, " n"], source: int = -1) -> tuple[Bool[np.ndarray, " n"], float]:
    """Return which images are near a template, and the separation of the others; 0 where these are no carriers."""
    others = values if source < 0 else np.delete(values, source)  # an image is like itself
    carry, separation = split_in_two(others)
    carry = carry if source < 0 else np.insert(carry, source, values=True)
    return carry, separation if _enough_carriers(carry) else 0.0


def _likeness_to(
    whitened: Float[np.ndarray, "n d p"], templates: Float[np.ndarray, "t d"]
) -> tuple[Float[np.ndarray, "n t"], Int[np.ndarray, "n t"]]:
    """Return the likeness of each image to each template, as a share of the template's length, and at which place."""
    like = (templates / (templates**2).sum(axis=1, keepdims=True)) @ whitened
    return like.max(axis=2), like.argmax(axis=2)


def _rarest_places(
    whitened: Float[np.ndarray, "n d p"], rows: int
) -> tuple[Float[np.ndarray, "t d"], Int[np.ndarray, " t"]]:
    """Return the rarest places of each image, and their images."""
    rarity = torch.as_tensor((whitened**2).sum(axis=1).reshape(len(whitened), 1, rows, -1))
    highest = functional.max_pool2d(rarity, _NEIGHBORS, 1, _NEIGHBORS // 2)
    peaks = torch.where(rarity == highest, rarity, 0.0).flatten(1)
    places = peaks.topk(min(_N_TEMPLATES, peaks.shape[1])).indices.numpy()
    sources = np.repeat(np.arange(len(whitened)), places.shape[1])
    return whitened[sources, :, places.ravel()], sources


def _whitening(descriptions: Float[np.ndarray, "n d p"]) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, "d d"]]:
    """Return the mean of descriptions, and the matrix that gives them unit covariance."""
    flat = np.moveaxis(descriptions, 1, 0).reshape(descriptions.shape[1], -1)[:, ::_COVARIANCE_STEP]
    covariance = np.cov(flat)
    covariance += _RIDGE * max(1e-9, float(covariance.trace()) / len(covariance)) * np.eye(len(covariance))
    return flat.mean(axis=1), np.linalg.inv(np.linalg.cholesky(covariance)).astype(np.float32)


def _describe_places(images: Pixels, side: int) -> Float[np.ndarray, "n d p"]:
    """Return the description of each place, of averaged images."""
    return _ring_harmonics(average_squares(images, averaging_factor(images)), side)


def _ring_harmonics(images: Float[np.ndarray, "n c h w"], side: int) -> Float[np.ndarray, "n d p"]:
    """Return the sizes of harmonics around each place, by channel; of the mean of a ring its value."""
    real, imaginary, plain = _harmonic_filters(side)
    pixels = torch.as_tensor(images).flatten(0, 1)[:, None]
    first, second = functional.conv2d(pixels, real), functional.conv2d(pixels, imaginary)
    sizes = torch.where(plain[:, None, None], first, torch.hypot(first, second))
    return sizes.reshape(len(images), -1, sizes.shape[2] * sizes.shape[3]).numpy()


@cache
def _harmonic_filters(side: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return filters of circular harmonics, real and imaginary, and which are means of rings."""
    radius = (side - 1) / 2
    down, across = np.mgrid[-radius : radius : side * 1j, -radius : radius : side * 1j]
    angle, distance = np.arctan2(down, across), np.hypot(down, across)
    real, imaginary, plain = list[np.ndarray](), list[np.ndarray](), list[bool]()
    for ring in np.linspace(0, radius, _N_RINGS).tolist():
        profile = np.exp(-(((distance - ring) / (_RING_WIDTH * radius)) ** 2) / 2)
        profile /= profile.sum()
        for harmonic in range(_N_HARMONICS + 1 if ring else 1):
            real.append(profile * np.cos(harmonic * angle))
            imaginary.append(profile * np.sin(harmonic * angle))
            plain.append(harmonic == 0)
    parts = (torch.as_tensor(np.stack(part)[:, None].astype(np.float32)) for part in (real, imaginary))
    return next(parts), next(parts), torch.tensor(plain)


find_turned = partial(find_candidate, pairs_turned)
"""The search for such shapes, as `search.find_region`."""
