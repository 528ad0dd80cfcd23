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
from assay.audit.search.regions import Kind, MovingRegion, Pixels, Region
from assay.audit.search.search import SearchSample, split
from assay.audit.search.shapes import averaged, averaged_by, squares_at

# A place is described by circular harmonics of the rings around it, whose sizes stay where the image is turned. The
# descriptions of all places of all images have a covariance. In units of it, what is rare is far from the mean. A
# template is the mean description of the rarest places of some images; an image is as like it as the place that lies
# farthest in its direction (a linear discriminant of one example, Hariharan, Malik and Ramanan, ECCV 2012).

_PART = 4
"""The square is one of so many parts of the side."""
_RINGS, _HARMONICS, _WIDTH = 5, 4, 0.13
"""Rings, harmonics of each, and the width of a ring as a share of the largest radius."""
_RIDGE = 1e-3
"""Share of the mean variance that is added to the covariance."""
_EVERY = 7
"""Of so many places one counts for the covariance."""
_TEMPLATES, _GROUPS, _TURNS = 8, 24, 3
"""Templates of each image, groups that are averaged, and how often."""
_SAME = 0.8
"""Share that groups have in common of which one is averaged."""
_NEIGHBORS = 5
"""Side of the square in which one place is a template."""
_LEAST = 0.15
"""Least share of carriers of each half: of a tenth, halves of the patients have too few."""
_OF_CLASS = 3
"""Carriers of each class in both halves together: what one class alone has may be its disease."""
_MOST = 3
"""Shapes of each half of the patients that go on."""
_MARGIN = 2


@dataclass(frozen=True, slots=True)
class RotatedSquare(MovingRegion):
    """A square wherever an image is most like a template, however turned.

    Attributes:
        weight: Weight of each part of the description of a place, by channel; 1 in sum at the template.
        mean: What is subtracted.
        side: Side of the square, of averaged images.
        least: Likeness from which on an image has it.
    """

    kind: ClassVar[Kind] = "turned"
    weight: tuple[float, ...]
    mean: float
    side: int
    least: float

    def places(self, images: Pixels) -> tuple[Bool[np.ndarray, "n h w"], Float[np.ndarray, " n"]]:
        """Return where each image is most like it, with a margin, and how much."""
        by = averaged_by(images)
        described = _ring_harmonics(averaged(images, by), self.side)
        like = np.array(self.weight, dtype=np.float32) @ described - self.mean
        return squares_at(images.shape, like.argmax(axis=1), self.side, by, _MARGIN), like.max(axis=1)

    def occurrences(self, images: Pixels) -> tuple[Bool[np.ndarray, "n h w"], Bool[np.ndarray, " n"]]:
        """See `MovingRegion`."""
        where, likeness = self.places(images)
        return where, likeness >= self.least


@dataclass(frozen=True, eq=False)
class TurnedShape(Candidate):
    """A shape with the images that have it."""

    shape: RotatedSquare

    @property
    def region(self) -> Region:
        """The shape."""
        return self.shape


def shapes_turned(first: SearchSample, second: SearchSample) -> Iterator[tuple[TurnedShape, TurnedShape]]:
    """Yield shapes of either half that images of both and of all classes have, the most distinct first."""
    pairs = list[tuple[TurnedShape, TurnedShape]]()
    for half, (sample, other) in enumerate(((first, second), (second, first))):
        chosen = list[TurnedShape]()
        for mark in sorted(_mean_shapes(sample.images), key=lambda mark: -mark.distance):
            likeness = mark.shape.places(other.images)[1]
            carry = likeness >= mark.shape.least
            suitable = _enough_carriers(carry) and _in_all_classes(sample.target, mark.carry, other.target, carry)
            if len(chosen) < _MOST and suitable and not any(mark.shares_images(earlier) for earlier in chosen):
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
    return all((carriers == code).sum() >= _OF_CLASS for code in np.unique(first))


def _enough_carriers(carry: Bool[np.ndarray, " n"]) -> bool:
    return bool(_LEAST * len(carry) <= carry.sum() <= MOST_CARRIERS * len(carry))


def _separation_of_carriers(likeness: Float[np.ndarray, " n"], carry: Bool[np.ndarray, " n"]) -> float:
    groups = likeness[carry], likeness[~carry]
    within = sum(float(((group - group.mean()) ** 2).sum()) for group in groups)
    return float(groups[0].mean() - groups[1].mean()) / math.sqrt(max(within / (len(carry) - 2), 1e-6))


def _mean_shapes(images: Pixels) -> Iterator[TurnedShape]:
    """Yield the shapes of one half."""
    small = averaged(images, averaged_by(images))
    side = max(5, min(small.shape[2:]) // _PART | 1)
    described = _ring_harmonics(small, side)
    mean, whiten = _whitening(described)
    distinct = whiten @ (described - mean[:, None])
    templates, sources = _rarest_places(distinct, small.shape[2] - side + 1)
    likeness = np.concatenate([_likeness_to(distinct[[at]], templates)[0] for at in range(len(distinct))])
    grouped = [_group_by_likeness(values, source) for values, source in zip(likeness.T, sources.tolist(), strict=True)]
    groups = list[np.ndarray]()
    for number in sorted(range(len(grouped)), key=lambda number: -grouped[number][1]):
        carry, separation = grouped[number]
        if separation == 0 or len(groups) == _GROUPS:
            return
        if any((carry & other).sum() > _SAME * (carry | other).sum() for other in groups):
            continue
        groups.append(carry)
        mark = _shape_of_carriers(distinct, templates[number], carry)
        if mark is not None:
            template, carry, values = mark
            weight = whiten.T @ template / (template**2).sum()
            least = float(values[carry].min() + values[~carry].max()) / 2
            shape = RotatedSquare(tuple(map(float, weight)), float(weight @ mean), side, least)
            yield TurnedShape(carry, _separation_of_carriers(values, carry), shape)


def _shape_of_carriers(
    distinct: Float[np.ndarray, "n d p"], template: Float[np.ndarray, " d"], carry: Bool[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " d"], Bool[np.ndarray, " n"], Float[np.ndarray, " n"]] | None:
    """Return the mean of carriers where they are most like a template, its carriers, and how like it images are."""
    values = np.zeros(len(carry))
    for _ in range(_TURNS):
        at = _likeness_to(distinct, template[None])[1][:, 0]
        rows = np.flatnonzero(carry)
        template = distinct[rows, :, at[rows]].mean(axis=0)
        values = _likeness_to(distinct, template[None])[0][:, 0]
        again, separation = _group_by_likeness(values)
        if not separation:
            return None
        if (again == carry).all():
            break
        carry = again
    return template, carry, values


def _group_by_likeness(values: Float[np.ndarray, " n"], source: int = -1) -> tuple[Bool[np.ndarray, " n"], float]:
    """Return the images near a template and how far the others are from them; 0 where these are no carriers."""
    others = values if source < 0 else np.delete(values, source)  # an image is like itself
    carry, separation = split(others)
    carry = carry if source < 0 else np.insert(carry, source, values=True)
    return carry, separation if _enough_carriers(carry) else 0.0


def _likeness_to(
    distinct: Float[np.ndarray, "n d p"], templates: Float[np.ndarray, "t d"]
) -> tuple[Float[np.ndarray, "n t"], Int[np.ndarray, "n t"]]:
    """Return how far each image goes in the direction of each template, as a share of its length, and where."""
    like = (templates / (templates**2).sum(axis=1, keepdims=True)) @ distinct
    return like.max(axis=2), like.argmax(axis=2)


def _rarest_places(
    distinct: Float[np.ndarray, "n d p"], rows: int
) -> tuple[Float[np.ndarray, "t d"], Int[np.ndarray, " t"]]:
    """Return the rarest places of each image, and their images."""
    rarity = torch.as_tensor((distinct**2).sum(axis=1).reshape(len(distinct), 1, rows, -1))
    highest = functional.max_pool2d(rarity, _NEIGHBORS, 1, _NEIGHBORS // 2)
    peaks = torch.where(rarity == highest, rarity, 0.0).flatten(1)
    at = peaks.topk(min(_TEMPLATES, peaks.shape[1])).indices.numpy()
    sources = np.repeat(np.arange(len(distinct)), at.shape[1])
    return distinct[sources, :, at.ravel()], sources


def _whitening(described: Float[np.ndarray, "n d p"]) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, "d d"]]:
    """Return the mean of descriptions, and what gives them unit covariance."""
    flat = np.moveaxis(described, 1, 0).reshape(described.shape[1], -1)[:, ::_EVERY]
    covariance = np.cov(flat)
    covariance += _RIDGE * max(1e-9, float(covariance.trace()) / len(covariance)) * np.eye(len(covariance))
    return flat.mean(axis=1), np.linalg.inv(np.linalg.cholesky(covariance)).astype(np.float32)


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
    for ring in np.linspace(0, radius, _RINGS).tolist():
        profile = np.exp(-(((distance - ring) / (_WIDTH * radius)) ** 2) / 2)
        profile /= profile.sum()
        for harmonic in range(_HARMONICS + 1 if ring else 1):
            real.append(profile * np.cos(harmonic * angle))
            imaginary.append(profile * np.sin(harmonic * angle))
            plain.append(harmonic == 0)
    parts = (torch.as_tensor(np.stack(part)[:, None].astype(np.float32)) for part in (real, imaginary))
    return next(parts), next(parts), torch.tensor(plain)


find_turned = partial(find_candidate, shapes_turned)
"""The search for such shapes, as `search.find_region`."""
