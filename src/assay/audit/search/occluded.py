"""Places whose occlusion changes the scores of some images: only these have there what the network uses."""

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
from assay.audit.search.patches import MIN_GROUP_SHARE, NORMAL_SEPARATION, split_in_two
from assay.audit.search.regions import Box, Pixels, Region
from assay.audit.search.sample import BATCH_SIZE, CountedModel, Scores, SearchSample
from assay.audit.search.search import RegionFinding
from assay.audit.search.shapes import average_squares, averaging_factor
from assay.core.reasons import Reason

# Each window of each image is filled smoothly from its surroundings. The changes of the score are the occlusion map of
# the image. Candidates are images with similar maps (spectral clusters, Lapuschkin et al. 2019), and images whose
# scores one window changes more than those of the others. Their effect is measured with patches of images of the same
# class, since a lesion is on one class alone and raises scores as a mark does.

_WINDOWS_PER_SIDE = 4
"""Windows in a row, and in a column; whole rows and columns are windows too."""
_N_CLUSTERS, _N_RESTARTS, _LIKENESS_SCALE = 6, 8, 0.5
"""Clusters of maps, restarts of k-means, and the scale of the similarity of maps."""
_MIN_PER_CLASS = 2
"""Fewest carriers of a class, and others, for which it counts."""
_MAX_PLACES = 2
"""Most places of each half of the patients whose effects are measured."""


@dataclass(frozen=True, eq=False)
class OccludedPlace(Candidate):
    """A window with the images whose scores its occlusion changes.

    Attributes:
        box: The window.
        score_change: By how much more its occlusion lowers the scores of carriers than of others, within classes.
    """

    box: Box
    score_change: float

    @property
    def region(self) -> Region:
        """The window."""
        return self.box


def find_occluded(
    scores: Scores,
    sample: SearchSample,
    labels: Sequence[str] = ("",),
    threshold: float = 0.0,
    batch_size: int = BATCH_SIZE,
) -> RegionFinding | Reason:
    """Return the place whose content changes the scores of some images most; see `candidates.find_candidate`."""
    model = CountedModel(scores, batch_size)

    def propose(first: SearchSample, second: SearchSample) -> Iterator[tuple[OccludedPlace, OccludedPlace]]:
        yield from _places_of_both(model, first, second)

    finding = find_candidate(propose, scores, sample, labels, threshold, batch_size, within_class=True)
    if isinstance(finding, Reason):
        return finding
    return replace(finding, passes=finding.passes + model.passes, search_passes=finding.search_passes + model.passes)


def _places_of_both(
    model: CountedModel, first: SearchSample, second: SearchSample
) -> Iterator[tuple[OccludedPlace, OccludedPlace]]:
    """Yield places of either half, with the images of the other half whose scores the same window changes likewise."""
    maps_of_halves = [_occlusion_maps(model, half) for half in (first, second)]
    score_column = int(np.sum([maps.var(axis=0).sum(axis=0) for maps in maps_of_halves], axis=0).argmax())
    maps, boxes = [of_half[..., score_column] for of_half in maps_of_halves], _occluded_windows()
    for half, sample in enumerate((first, second)):
        places = list[OccludedPlace]()
        for place in _places_of(maps[half], sample.target):
            if any(place.shares_images(other) or place.box == other.box for other in places):
                continue
            carry, distance = split_in_two(
                (np.sign(place.score_change) or 1.0) * maps[1 - half][:, boxes.index(place.box)]
            )
            if not _has_enough_carriers(carry):
                continue
            places.append(place)
            other = OccludedPlace(carry, distance, place.box, place.score_change)
            yield (other, place) if half else (place, other)
            if len(places) == _MAX_PLACES:
                break


def _occluded_windows() -> list[Box]:
    steps = [(index / _WINDOWS_PER_SIDE, (index + 1) / _WINDOWS_PER_SIDE) for index in range(_WINDOWS_PER_SIDE)]
    cells = [Box(top, left, bottom, right) for top, bottom in steps for left, right in steps]
    return [*cells, *(Box(low, 0, high, 1) for low, high in steps), *(Box(0, low, 1, high) for low, high in steps)]


def _occlusion_maps(model: CountedModel, sample: SearchSample) -> Float[np.ndarray, "n w m"]:
    """Return by how much scores fall when each window is filled, in standard deviations within class."""
    windows = _occluded_windows()
    small = average_squares(sample.images, averaging_factor(sample.images))
    outputs = model(_fill_window(sample.images, small, window) for window in windows)
    filled = sample.scores_from_outputs(outputs, windows).reshape(len(windows), len(sample.images), -1)
    return np.moveaxis((sample.clean_scores - filled) / sample.sd_within_classes, 0, 1)


def _fill_window(images: Pixels, small: Float[np.ndarray, "n c h w"], window: Box) -> Pixels:
    """Return images whose window has a weighted mean of the pixels around it, which is computed on averaged images."""
    outside = (~window.pixel_mask(*small.shape[2:])).astype(np.float32)
    width = min(small.shape[2:]) / _WINDOWS_PER_SIDE / 2
    weight = gaussian_filter(outside, width, mode="nearest")
    means = gaussian_filter(small * outside, (0, 0, width, width), mode="nearest") / np.maximum(weight, 1e-6)
    smooth = functional.interpolate(torch.as_tensor(means), images.shape[2:], mode="bilinear").numpy()
    return window.put(images, smooth.astype(images.dtype))


def _places_of(maps: Float[np.ndarray, "n w"], target: Int[np.ndarray, " n"]) -> list[OccludedPlace]:
    """Return windows with the images of one half whose scores they change, the largest effect within classes first."""
    proposed = list[tuple[np.ndarray, int]]()
    for carry in _clusters_of(maps):
        if _has_enough_carriers(carry):
            gap = maps[carry].mean(axis=0) - maps[~carry].mean(axis=0)
            proposed.append((carry, int(np.abs(gap).argmax())))
    for window in range(maps.shape[1]):
        for sign in (1, -1):
            carry, distance = split_in_two(sign * maps[:, window])
            if _has_enough_carriers(carry) and distance > NORMAL_SEPARATION:
                proposed.append((carry, window))
    places, boxes = list[OccludedPlace](), _occluded_windows()
    for carry, window in proposed:
        values = maps[:, window]
        gap = abs(float(values[carry].mean() - values[~carry].mean()))
        within = (carry.sum() * values[carry].var() + (~carry).sum() * values[~carry].var()) / len(values)
        distance = gap / max(math.sqrt(within), 1e-6)
        places.append(OccludedPlace(carry, distance, boxes[window], _score_change_within_class(values, carry, target)))
    return sorted(places, key=lambda place: -abs(place.score_change))


def _score_change_within_class(
    values: Float[np.ndarray, " n"], carry: Bool[np.ndarray, " n"], target: Int[np.ndarray, " n"]
) -> float:
    """Return the mean over classes of carriers' values less those of others; of classes with few, none."""
    gaps = list[float]()
    for code in np.unique(target):
        groups = [values[group & (target == code)] for group in (carry, ~carry)]
        if min(map(len, groups)) >= _MIN_PER_CLASS:
            gaps.append(float(groups[0].mean() - groups[1].mean()))
    return float(np.mean(gaps)) if gaps else 0.0


def _has_enough_carriers(carry: Bool[np.ndarray, " n"]) -> bool:
    return bool(max(LEAST_CARRIERS, MIN_GROUP_SHARE * len(carry)) <= carry.sum() <= MOST_CARRIERS * len(carry))


def _clusters_of(maps: Float[np.ndarray, "n w"]) -> Iterator[Bool[np.ndarray, " n"]]:
    """Yield the images of each spectral cluster of maps.

    References:
        Ng, Jordan and Weiss, "On spectral clustering", NeurIPS 2001; Lapuschkin et al., "Unmasking Clever Hans
        predictors", Nature Communications 2019.
    """
    sizes = np.linalg.norm(maps, axis=1)
    scaled = maps / np.maximum(np.maximum(sizes, np.median(sizes)), 1e-9)[:, None]
    likeness = np.exp(-((scaled[:, None] - scaled) ** 2).sum(axis=2) / _LIKENESS_SCALE)
    degree = np.sqrt(likeness.sum(axis=1))
    vectors = np.linalg.eigh(likeness / degree[:, None] / degree)[1][:, -_N_CLUSTERS:]
    points = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    means = cast(np.ndarray, kmeans(points, _N_CLUSTERS, iter=_N_RESTARTS, rng=0)[0])
    labels = cast(np.ndarray, vq(points, means)[0])
    yield from (labels == at for at in range(len(means)))
