"""Places whose occlusion moves some images: what a network uses there is on these images alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.cluster.vq import kmeans, vq
from scipy.ndimage import gaussian_filter
from torch.nn import functional

from assay.audit.search.candidates import LEAST_CARRIERS, MOST_CARRIERS, Candidate, find_candidate
from assay.audit.search.regions import Box, Pixels, Region
from assay.audit.search.search import (
    AT_ONCE,
    LEAST_GROUP,
    ONE_NORMAL,
    CountedModel,
    RegionFinding,
    Scores,
    SearchSample,
    split,
)
from assay.audit.search.shapes import averaged, averaged_by
from assay.core.reasons import Reason

# Each window of each image is filled smoothly from around it. The changes of the score are the image's map. Images with
# like maps (spectral clusters, Lapuschkin et al. 2019), and images that one window moves apart from the others, are
# candidates. Their effect is measured with patches of images of the same class: a lesion is on one class alone, and
# would raise scores as a mark does.

_SIDE = 4
"""Windows a side; as many rows and columns."""
_CLUSTERS, _RESTARTS, _SCALE = 6, 8, 0.5
"""Clusters of maps, restarts of the search for them, and the scale of likeness."""
_LEAST_OF_CLASS = 2
_MOST = 2
"""Places of each half of the patients that go on."""


@dataclass(frozen=True, eq=False)
class OccludedPlace(Candidate):
    """A window with the images that it moves.

    Attributes:
        box: The window.
        moves: By how much more its occlusion moves carriers, within classes.
    """

    box: Box
    moves: float

    @property
    def region(self) -> Region:
        """The window."""
        return self.box


def find_occluded(
    scores: Scores,
    sample: SearchSample,
    labels: Sequence[str] = ("",),
    threshold: float = 0.0,
    at_once: int = AT_ONCE,
) -> RegionFinding | Reason:
    """Return the place whose content moves some images most; see `candidates.find_candidate`."""
    model = CountedModel(scores, at_once)

    def propose(first: SearchSample, second: SearchSample) -> Iterator[tuple[OccludedPlace, OccludedPlace]]:
        yield from _places_of_both(model, first, second)

    finding = find_candidate(propose, scores, sample, labels, threshold, at_once, within_class=True)
    if isinstance(finding, Reason):
        return finding
    return replace(finding, passes=finding.passes + model.passes, searched=finding.searched + model.passes)


def _places_of_both(
    model: CountedModel, first: SearchSample, second: SearchSample
) -> Iterator[tuple[OccludedPlace, OccludedPlace]]:
    """Yield places of either half, with the images of the other half that the same window moves in that direction."""
    every = [_occlusion_maps(model, half) for half in (first, second)]
    column = int(np.sum([maps.var(axis=0).sum(axis=0) for maps in every], axis=0).argmax())
    maps, boxes = [of_half[..., column] for of_half in every], _occluded_windows()
    for half, sample in enumerate((first, second)):
        chosen = list[OccludedPlace]()
        for place in _places_of(maps[half], sample.target):
            if any(place.shares_images(other) or place.box == other.box for other in chosen):
                continue
            carry, distance = split((np.sign(place.moves) or 1.0) * maps[1 - half][:, boxes.index(place.box)])
            if not _enough(carry):
                continue
            chosen.append(place)
            other = OccludedPlace(carry, distance, place.box, place.moves)
            yield (other, place) if half else (place, other)
            if len(chosen) == _MOST:
                break


def _occluded_windows() -> list[Box]:
    steps = [(at / _SIDE, (at + 1) / _SIDE) for at in range(_SIDE)]
    cells = [Box(top, left, bottom, right) for top, bottom in steps for left, right in steps]
    return [*cells, *(Box(low, 0, high, 1) for low, high in steps), *(Box(0, low, 1, high) for low, high in steps)]


def _occlusion_maps(model: CountedModel, sample: SearchSample) -> Float[np.ndarray, "n w m"]:
    """Return by how much scores fall where each window is filled, in standard deviations within class."""
    windows = _occluded_windows()
    answers = model(_filled(sample.images, window) for window in windows)
    filled = sample.scores_from_answers(answers, windows).reshape(len(windows), len(sample.images), -1)
    return np.moveaxis((sample.clean - filled) / sample.spread, 0, 1)


def _filled(images: Pixels, window: Box) -> Pixels:
    """Return images whose window has a weighted mean of the pixels around it."""
    small = averaged(images, averaged_by(images))
    outside = (~window.pixel_mask(*small.shape[2:])).astype(np.float32)
    width = min(small.shape[2:]) / _SIDE / 2
    weight = gaussian_filter(outside, width, mode="nearest")
    means = gaussian_filter(small * outside, (0, 0, width, width), mode="nearest") / np.maximum(weight, 1e-6)
    smooth = functional.interpolate(torch.as_tensor(means), images.shape[2:], mode="bilinear").numpy()
    return window.put(images, smooth.astype(images.dtype))


def _places_of(maps: Float[np.ndarray, "n w"], target: Int[np.ndarray, " n"]) -> list[OccludedPlace]:
    """Return windows with the images of one half that they move, the largest effect within classes first."""
    proposed = list[tuple[np.ndarray, int]]()
    for carry in _clusters_of(maps):
        if _enough(carry):
            gap = maps[carry].mean(axis=0) - maps[~carry].mean(axis=0)
            proposed.append((carry, int(np.abs(gap).argmax())))
    for at in range(maps.shape[1]):
        for sign in (1, -1):
            carry, distance = split(sign * maps[:, at])
            if _enough(carry) and distance > ONE_NORMAL:
                proposed.append((carry, at))
    places, boxes = list[OccludedPlace](), _occluded_windows()
    for carry, at in proposed:
        values = maps[:, at]
        gap = abs(float(values[carry].mean() - values[~carry].mean()))
        within = (carry.sum() * values[carry].var() + (~carry).sum() * values[~carry].var()) / len(values)
        distance = gap / max(math.sqrt(within), 1e-6)
        places.append(OccludedPlace(carry, distance, boxes[at], _moves_within_class(values, carry, target)))
    return sorted(places, key=lambda place: -abs(place.moves))


def _moves_within_class(
    values: Float[np.ndarray, " n"], carry: Bool[np.ndarray, " n"], target: Int[np.ndarray, " n"]
) -> float:
    """Return the mean over classes of carriers' values less those of others; of classes with few, none."""
    gaps = list[float]()
    for code in np.unique(target):
        groups = [values[group & (target == code)] for group in (carry, ~carry)]
        if min(map(len, groups)) >= _LEAST_OF_CLASS:
            gaps.append(float(groups[0].mean() - groups[1].mean()))
    return float(np.mean(gaps)) if gaps else 0.0


def _enough(carry: Bool[np.ndarray, " n"]) -> bool:
    return bool(max(LEAST_CARRIERS, LEAST_GROUP * len(carry)) <= carry.sum() <= MOST_CARRIERS * len(carry))


def _clusters_of(maps: Float[np.ndarray, "n w"]) -> Iterator[Bool[np.ndarray, " n"]]:
    """Yield the images of each spectral cluster of maps.

    References:
        Ng, Jordan and Weiss, "On spectral clustering", NeurIPS 2001; Lapuschkin et al., "Unmasking Clever Hans
        predictors", Nature Communications 2019.
    """
    sizes = np.linalg.norm(maps, axis=1)
    scaled = maps / np.maximum(np.maximum(sizes, np.median(sizes)), 1e-9)[:, None]
    likeness = np.exp(-((scaled[:, None] - scaled) ** 2).sum(axis=2) / _SCALE)
    degree = np.sqrt(likeness.sum(axis=1))
    vectors = np.linalg.eigh(likeness / degree[:, None] / degree)[1][:, -_CLUSTERS:]
    points = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    means = cast(np.ndarray, kmeans(points, _CLUSTERS, iter=_RESTARTS, rng=0)[0])
    labels = cast(np.ndarray, vq(points, means)[0])
    yield from (labels == at for at in range(len(means)))
