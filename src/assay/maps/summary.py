"""Turn segmentation logits into columns per image: areas, calibration, lesions and kinds.

Logits are not kept. `summarize` turns a batch of them into columns, `StreamedSummary` does so batch by batch.
docs/reference/maps.md lists the columns.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Integer, UInt8
from scipy import ndimage
from torch import Tensor

from assay.core.compiled import compiled
from assay.core.map_grid import AT_NATIVE, REGIONS, ROUNDING, MapGrid, of_one_width, pixels_of
from assay.maps.components import COUNTS, LARGEST, PREDICTED, count_components, descending, root_of, unite

# How far apart the surfaces of a predicted and a true mask lie.

DEFINED, TRUTH_EMPTY, PREDICTION_EMPTY, BOTH_EMPTY, SIZE_UNKNOWN = range(5)
PERCENTILE = 0.95
SLACK = 1 + 1e-6
FAR = 1 << 30


class Surfaces(NamedTuple):
    """One row per image; NaN unless `code` is 0. See docs/reference/maps.md for each."""

    hd95: Float[np.ndarray, " b"]
    distance: Float[np.ndarray, " b"]
    dice: Float[np.ndarray, " b"]
    code: Int[np.ndarray, " b"]


def surfaces(
    predicted: Bool[np.ndarray, "b h w"],
    lesion: Bool[np.ndarray, "b h w"],
    pixel_size: Float[np.ndarray, "b 2"],
    tolerance: float,
) -> Surfaces:
    """Distances between surfaces.

    Args:
        pixel_size: Height and width of an image's pixels, NaN where unknown; tolerance is in the same unit.
    """
    images = len(predicted)
    code = np.where(lesion.any((1, 2)), 0, TRUTH_EMPTY) + np.where(predicted.any((1, 2)), 0, PREDICTION_EMPTY)
    code[(code == DEFINED) & np.isnan(pixel_size).any(axis=1)] = SIZE_UNKNOWN
    measures = Surfaces(*(np.full(images, np.nan) for _ in range(3)), code=code.astype(np.int8))
    _measure_all(predicted, lesion, pixel_size, tolerance * SLACK, measures)
    return measures


@compiled
def _measure_all(
    predicted: Bool[np.ndarray, "b h w"],
    lesion: Bool[np.ndarray, "b h w"],
    pixel_size: Float[np.ndarray, "b 2"],
    within: float,
    measures: Surfaces,
) -> None:
    for i in range(len(predicted)):
        if measures.code[i] != DEFINED:
            continue
        top, bottom, left, right = _box(predicted[i], lesion[i])
        ours, theirs = _edge(predicted[i], top, bottom, left, right), _edge(lesion[i], top, bottom, left, right)
        forward = _distances(ours, _along_rows(theirs), pixel_size[i])
        back = _distances(theirs, _along_rows(ours), pixel_size[i])
        measures.hd95[i] = max(_percentile(forward), _percentile(back))
        measures.distance[i] = (forward.sum() + back.sum()) / (len(forward) + len(back))
        measures.dice[i] = ((forward <= within).sum() + (back <= within).sum()) / (len(forward) + len(back))


@compiled
def _box(a: Bool[np.ndarray, "h w"], b: Bool[np.ndarray, "h w"]) -> tuple[int, int, int, int]:
    """Return the smallest box that holds both masks: first row, row after the last, first column, column after the
    last.
    """
    height, width = a.shape
    top, bottom, left, right = height, 0, width, 0
    for row in range(height):
        for column in range(width):
            if a[row, column] or b[row, column]:
                top, bottom = min(top, row), row + 1
                left, right = min(left, column), max(right, column + 1)
    return top, bottom, left, right


@compiled
def _edge(mask: Bool[np.ndarray, "h w"], top: int, bottom: int, left: int, right: int) -> Bool[np.ndarray, "i j"]:
    """Return the surface of a mask within a box that holds it."""
    height, width = mask.shape
    edge = np.zeros((bottom - top, right - left), np.bool_)
    for row in range(top, bottom):
        for column in range(left, right):
            if mask[row, column]:
                inner = 0 < row < height - 1 and 0 < column < width - 1
                edge[row - top, column - left] = not (
                    inner
                    and mask[row - 1, column]
                    and mask[row + 1, column]
                    and mask[row, column - 1]
                    and mask[row, column + 1]
                )
    return edge


@compiled
def _along_rows(edge: Bool[np.ndarray, "i j"]) -> Int[np.ndarray, "i j"]:
    """How many columns every pixel is from the nearest edge pixel of its row; FAR where the row has none."""
    height, width = edge.shape
    steps = np.empty((height, width), np.int32)
    for row in range(height):
        away = FAR
        for column in range(width):
            away = 0 if edge[row, column] else min(away + 1, FAR)
            steps[row, column] = away
        away = FAR
        for column in range(width - 1, -1, -1):
            away = 0 if edge[row, column] else min(away + 1, FAR)
            steps[row, column] = min(away, steps[row, column])
    return steps


@compiled
def _distances(
    edge: Bool[np.ndarray, "i j"], steps: Int[np.ndarray, "i j"], pixel_size: Float[np.ndarray, " 2"]
) -> Float[np.ndarray, " n"]:
    """From every edge pixel to the nearest edge pixel of the other mask, whose distances along rows are given."""
    height, width = edge.shape
    distances = np.empty(edge.sum(), np.float64)
    n = 0
    for row in range(height):
        for column in range(width):
            if edge[row, column]:
                distances[n] = math.sqrt(_nearest(steps, row, column, pixel_size[0], pixel_size[1]))
                n += 1
    return distances


@compiled
def _nearest(steps: Int[np.ndarray, "i j"], row: int, column: int, tall: float, wide: float) -> float:
    """Return the least squared distance, over rows further and further away until none can be nearer."""
    best = (steps[row, column] * wide) ** 2
    for away in range(1, max(row, len(steps) - 1 - row) + 1):
        row_distance = (away * tall) ** 2
        if row_distance >= best:
            break
        if row - away >= 0:
            best = min(best, row_distance + (steps[row - away, column] * wide) ** 2)
        if row + away < len(steps):
            best = min(best, row_distance + (steps[row + away, column] * wide) ** 2)
    return best


@compiled
def _percentile(values: Float[np.ndarray, " n"]) -> float:
    """Return the 95th percentile, between the two nearest ranks in proportion, as NumPy's and torch's default is."""
    ordered = np.sort(values)
    rank = PERCENTILE * (len(values) - 1)
    below = int(rank)
    above = min(below + 1, len(values) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (rank - below)


# The very logit at which a component first has a given area, and the mean of the greatest logits.
#
# The counts on the grid tell between which two thresholds a component comes to an area. Only the pixels above the lower
# of them are sorted, and added one by one from the greatest logit down until every area is reached.


class Exact(NamedTuple):
    """Scores that are exact at every threshold (see docs/reference/maps.md)."""

    area_score: Float[np.ndarray, "b a"]
    top_mean: Float[np.ndarray, " b"]


def exact_scores(
    logits: Float[np.ndarray, "b h w"],
    counts: Int[np.ndarray, "b t 5"],
    thresholds: Float[np.ndarray, " t"],
    smallest: Int[np.ndarray, " a"],
    top: int,
) -> Exact:
    """Scores of areas of so many pixels, ascending, and the mean of the `top` greatest logits.

    Args:
        counts: Of `count_components` at these thresholds.
    """
    scores = Exact(np.full((len(logits), len(smallest)), -np.inf, np.float32), np.empty(len(logits)))
    _find_all(logits.view(np.int32), logits, counts, thresholds, smallest, top, scores)
    return scores


@compiled
def _find_all(
    bits: Int[np.ndarray, "b h w"],
    logits: Float[np.ndarray, "b h w"],
    counts: Int[np.ndarray, "b t 5"],
    thresholds: Float[np.ndarray, " t"],
    smallest: Int[np.ndarray, " a"],
    top: int,
    scores: Exact,
) -> None:
    for i in range(len(logits)):
        least, count = -np.inf, logits[i].size
        for threshold in range(len(thresholds)):
            enough = counts[i, threshold, LARGEST] >= smallest[-1] and counts[i, threshold, PREDICTED] >= top
            if enough:
                least, count = thresholds[threshold], counts[i, threshold, PREDICTED]
        values, places = descending(bits[i], logits[i], least, count)
        scores.top_mean[i] = _mean(values, top)
        _reach_areas(values, places, logits.shape[1:], smallest, scores.area_score[i])


@compiled
def _mean(values: Float[np.ndarray, " n"], first: int) -> float:
    total = 0.0
    for k in range(first):
        total += values[k]
    return total / first


@compiled
def _reach_areas(
    values: Float[np.ndarray, " n"],
    places: Int[np.ndarray, " n"],
    shape: tuple[int, int],
    smallest: Int[np.ndarray, " a"],
    area_score: Float[np.ndarray, " a"],
) -> None:
    """Add pixels in the order given; the value at which each area is reached."""
    row = shape[1] + 2
    parent = np.zeros((shape[0] + 2) * row, np.int32)
    reached = 0
    for k in range(len(values)):
        parent[places[k]] = -1
        largest = -parent[_join_neighbors(parent, places[k], row)]
        while reached < len(smallest) and largest >= smallest[reached]:
            area_score[reached] = values[k]
            reached += 1
        if reached == len(smallest):
            break


@compiled
def _join_neighbors(parent: Int[np.ndarray, " m"], place: int, row: int) -> int:
    """Return the root of a new pixel once it is joined with those of its 8 neighbors that were added before.

    A diagonal neighbor is skipped where one that shares an edge with it is present, which is in the same component.
    """
    above, below = parent[place - row] != 0, parent[place + row] != 0
    left, right = parent[place - 1] != 0, parent[place + 1] != 0
    root = place
    if above:
        root = _join(parent, root, place - row)
    if below:
        root = _join(parent, root, place + row)
    if left:
        root = _join(parent, root, place - 1)
    if right:
        root = _join(parent, root, place + 1)
    if not (above or left):
        root = _join(parent, root, place - row - 1)
    if not (above or right):
        root = _join(parent, root, place - row + 1)
    if not (below or left):
        root = _join(parent, root, place + row - 1)
    if not (below or right):
        root = _join(parent, root, place + row + 1)
    return root


@compiled
def _join(parent: Int[np.ndarray, " m"], root: int, neighbor: int) -> int:
    if parent[neighbor] == 0:
        return root
    other = root_of(parent, neighbor)
    return root if other == root else unite(parent, root, other)[0]


# Predicted and observed shares of lesion pixels in bins, separately for boundary, lesion and background.

BOUNDARY, LESION, BACKGROUND = range(len(REGIONS))


class Bins(NamedTuple):
    """Per image, region (`REGIONS`) and bin: pixels, their summed probability, and how many of them are lesion."""

    pixels: Int[np.ndarray, "b 3 bins"]
    claimed: Float[np.ndarray, "b 3 bins"]
    came: Int[np.ndarray, "b 3 bins"]


def calibration_bins(
    logits: Float[np.ndarray, "b h w"], lesion: Bool[np.ndarray, "b h w"], bins: int, boundary: float
) -> Bins:
    """Bins of equal width over the probability p = 1 / (1 + exp(-logit)).

    Bin k holds k / bins <= p < (k + 1) / bins, the last one 1 too.

    A pixel is boundary when a pixel of the other kind is within `boundary` px of it, center to center. So a boundary is
    as wide outside a lesion as inside, and where the frame of the image cuts a lesion there is none.
    """
    shape = (len(logits), len(REGIONS), bins)
    counts = Bins(np.zeros(shape, np.int32), np.zeros(shape, np.float64), np.zeros(shape, np.int32))
    _count_all(logits, lesion, boundary, counts)
    return counts


@compiled
def _count_all(
    logits: Float[np.ndarray, "b h w"], lesion: Bool[np.ndarray, "b h w"], boundary: float, counts: Bins
) -> None:
    bins = counts.pixels.shape[2]
    for i in range(len(logits)):
        regions = _label_regions(lesion[i], boundary)
        for row in range(regions.shape[0]):
            for column in range(regions.shape[1]):
                probability = 1 / (1 + math.exp(-np.float64(logits[i, row, column])))
                bin, region = min(int(probability * bins), bins - 1), regions[row, column]
                counts.pixels[i, region, bin] += 1
                counts.claimed[i, region, bin] += probability
                counts.came[i, region, bin] += lesion[i, row, column]


@compiled
def _label_regions(lesion: Bool[np.ndarray, "h w"], boundary: float) -> UInt8[np.ndarray, "h w"]:
    """Return the region of every pixel. Discs are drawn only around pixels with a neighbor of another kind."""
    height, width = lesion.shape
    regions = np.empty((height, width), np.uint8)
    for row in range(height):
        for column in range(width):
            regions[row, column] = LESION if lesion[row, column] else BACKGROUND
    for row in range(height):
        for column in range(width):
            if _has_another_beside(lesion, row, column):
                _mark_others_near(regions, lesion, row, column, boundary)
    return regions


@compiled
def _has_another_beside(lesion: Bool[np.ndarray, "h w"], row: int, column: int) -> bool:
    is_lesion = lesion[row, column]
    return (
        (row > 0 and lesion[row - 1, column] != is_lesion)
        or (row + 1 < lesion.shape[0] and lesion[row + 1, column] != is_lesion)
        or (column > 0 and lesion[row, column - 1] != is_lesion)
        or (column + 1 < lesion.shape[1] and lesion[row, column + 1] != is_lesion)
    )


@compiled
def _mark_others_near(
    regions: UInt8[np.ndarray, "h w"], lesion: Bool[np.ndarray, "h w"], row: int, column: int, within: float
) -> None:
    """Every pixel of the other kind within a distance of this one is boundary."""
    reach = int(within)
    for y in range(max(row - reach, 0), min(row + reach + 1, lesion.shape[0])):
        for x in range(max(column - reach, 0), min(column + reach + 1, lesion.shape[1])):
            if lesion[y, x] != lesion[row, column] and (y - row) ** 2 + (x - column) ** 2 <= within * within:
                regions[y, x] = BOUNDARY


# Every true lesion by itself: how large it is, and from which logit on it is found.

EIGHT_WITHIN_AN_IMAGE = np.stack([np.zeros((3, 3)), np.ones((3, 3)), np.zeros((3, 3))]).astype(bool)


class LesionScores(NamedTuple):
    """One row per image, padded to the most lesions of one and at least to one; in the order of their first pixels.

    Attributes:
        score: float32, NaN where padded.
        area: int32, pixels, 0 where padded.
    """

    score: Float[np.ndarray, "b l"]
    area: Int[np.ndarray, "b l"]


def lesions(logits: Float[np.ndarray, "b h w"], lesion: Bool[np.ndarray, "b h w"], covered: float) -> LesionScores:
    """Score and area of every lesion: a component, 8-connected, of the pixels that are lesion of whatever kind.

    Its score is the highest threshold at which at least the share `covered` of its pixels is predicted. So it is found
    at every threshold up to its score and at none above: the rule is monotone.
    """
    labeled, count = ndimage.label(lesion, EIGHT_WITHIN_AN_IMAGE)
    where = np.flatnonzero(labeled)
    number, values = labeled.ravel()[where] - 1, logits.ravel()[where]
    area = np.bincount(number, minlength=count)
    sorted_within = values[np.lexsort((-values, number))]
    needed = np.maximum(np.ceil(covered * area - ROUNDING).astype(np.int64), 1)
    score = sorted_within[np.cumsum(area) - area + needed - 1]
    first = where[np.unique(number, return_index=True)[1]]
    return _by_image(first // logits[0].size, score, area, len(logits))


def _by_image(image: Int[np.ndarray, " c"], score: np.ndarray, area: np.ndarray, images: int) -> LesionScores:
    """From one row per lesion, images ascending, to one row per image."""
    each = np.bincount(image, minlength=images)
    place = np.arange(len(image)) - np.repeat(np.cumsum(each) - each, each)
    lesions = LesionScores(
        np.full((images, each.max(initial=1)), np.nan, np.float32), np.zeros((images, each.max(initial=1)), np.int32)
    )
    lesions.score[image, place] = score
    lesions.area[image, place] = area
    return lesions


# Maps of lesion logits and label maps to columns, for one batch or batch by batch.

Columns = dict[str, np.ndarray]

DEFAULT_GRID = MapGrid()


def summarize(
    logits: Float[Tensor, "b h w"],
    labels: Integer[Tensor, "b h w"] | Bool[Tensor, "b h w"],
    grid: MapGrid = DEFAULT_GRID,
    pixel_size: Float[np.ndarray, "b 2"] | None = None,
) -> Columns:
    """Per-image columns of a batch of maps (see docs/reference/maps.md).

    logits: log-odds of any lesion against the background. labels: 0 is background, all else lesion.
    pixel_size: height and width of each image's pixels in mm, after any resizing; surfaces are then measured in mm, and
        in px without. NaN where it is unknown, which leaves that image's surfaces undefined.
    An image's columns depend on that image alone, bit for bit, but for the width of those with one entry per lesion:
    the most lesions of any image in the batch. In addition to the batch it takes at most 100 bytes per pixel of one
    image.

    Raises:
        ValueError: Unless there is at least one image with a pixel, a label and a finite logit for every pixel, and a
            pixel size above 0 for every image.
    """
    _check_arrays(logits, labels, pixel_size)
    values = np.ascontiguousarray(logits.detach().to("cpu", torch.float32).numpy())
    lesion = (labels != 0).cpu().numpy()
    size = np.ones((len(values), 2)) if pixel_size is None else np.asarray(pixel_size, np.float64)

    pixels, thresholds = values[0].size, np.array(grid.thresholds, np.float32)
    counts = count_components(values, lesion, thresholds)
    exact = exact_scores(values, counts, thresholds, grid.smallest(pixels), pixels_of(grid.top, pixels))
    each = lesions(values, lesion, grid.covered)
    surface = surfaces(values >= grid.surface_threshold, lesion, size, grid.tolerance)
    bins = calibration_bins(values, lesion, grid.bins, grid.boundary)
    return {
        "pixels": np.full(len(values), pixels, np.int32),
        "truth": np.count_nonzero(lesion, axis=(1, 2)).astype(np.int32),
        **{name: np.ascontiguousarray(counts[:, :, place]) for place, name in enumerate(COUNTS)},
        "peak": values.max((1, 2)),
        "top_mean": exact.top_mean,
        "half_area": np.count_nonzero(values >= 0, axis=(1, 2)).astype(np.int32),
        "floor": values.min((1, 2)),
        "area_score": exact.area_score,
        "lesion_score": each.score,
        "lesion_area": each.area,
        "hd95": surface.hd95,
        "surface_distance": surface.distance,
        "surface_dice": surface.dice,
        "surface_code": surface.code,
        "bin_count": bins.pixels,
        "bin_claimed": bins.claimed,
        "bin_came": bins.came,
    }


class StreamedSummary:
    """Columns of a set of any size, a batch at a time; batches may differ in the size of their images.

    Examples:
        >>> streamed = StreamedSummary()
        >>> for side in (8, 16):  # images of two sizes
        ...     streamed.append(torch.zeros(3, side, side), torch.zeros(3, side, side, dtype=torch.bool))
        >>> len(streamed), streamed.columns()["pixels"].tolist()
        (6, [64, 64, 64, 256, 256, 256])
    """

    def __init__(self, grid: MapGrid = DEFAULT_GRID) -> None:
        self.grid = grid
        self._parts: list[Columns] = []

    def append(
        self,
        logits: Float[Tensor, "b h w"],
        labels: Integer[Tensor, "b h w"] | Bool[Tensor, "b h w"],
        pixel_size: Float[np.ndarray, "b 2"] | None = None,
    ) -> None:
        """Summarize one more batch (see `summarize`) and keep its columns; the maps are not kept."""
        self._parts.append(summarize(logits, labels, self.grid, pixel_size))

    def __len__(self) -> int:
        return sum(len(part["pixels"]) for part in self._parts)

    def columns(self) -> Columns:
        """Of all images so far, in the order they came.

        Raises:
            ValueError: If there were none.
        """
        return join_parts(self._parts)


def join_parts(parts: Sequence[Mapping[str, np.ndarray]]) -> Columns:
    """Return the images of several parts one after another, equal to those of one batch of all of them.

    Raises:
        ValueError: Without a part.
    """
    if not parts:
        raise ValueError("no maps were summarized: give at least one batch")
    return {name: np.concatenate(of_one_width(name, [part[name] for part in parts])) for name in parts[0]}


def _check_arrays(logits: Tensor, labels: Tensor, pixel_size: np.ndarray | None) -> None:
    if logits.ndim != 3 or logits.shape != labels.shape or not logits.numel():
        raise ValueError(
            f"logits have shape {tuple(logits.shape)} and labels {tuple(labels.shape)}: "
            "give both as [images, height, width], with at least one pixel"
        )
    broken = np.flatnonzero((~logits.isfinite()).flatten(1).any(1).cpu().numpy())
    if len(broken):
        raise ValueError(f"logits are not finite in {len(broken)} of {len(logits)} maps, first in map {broken[0]}")
    if pixel_size is not None and (pixel_size.shape != (len(logits), 2) or (pixel_size <= 0).any()):
        raise ValueError(
            f"pixel sizes have shape {pixel_size.shape}: "
            f"give a height and a width above 0 for each of {len(logits)} maps"
        )


# Each of several kinds of lesion: its pixels, its lesions, and the pixels predicted as it.

OF_KINDS = ("truth", "predicted", "hit", "lesions", "found", "stray")
"""Counts per kind; the columns are named `kind_truth` and so on."""


def count_kinds(
    logits: Float[Tensor, "b k h w"],
    labels: Integer[Tensor, "b h w"] | Bool[Tensor, "b h w"],
    covered: float = DEFAULT_GRID.covered,
) -> dict[str, np.ndarray]:
    """`OF_KINDS` of every image and kind, int32 [b, k - 1]; docs/reference/maps.md defines each.

    Args:
        logits: Of background and k - 1 kinds; a pixel is assigned the kind of the greatest logit, the first among
            equals.
        covered: Share of a lesion's pixels that must be called its kind for it to be found.
    """
    called, true = logits.argmax(dim=1).cpu().numpy(), labels.cpu().numpy()
    counts = [_of_kind(true == kind, called == kind, covered) for kind in range(1, logits.shape[1])]
    return {f"kind_{name}": np.stack([count[i] for count in counts], axis=1) for i, name in enumerate(OF_KINDS)}


def _of_kind(
    truth: Bool[np.ndarray, "b h w"], called: Bool[np.ndarray, "b h w"], covered: float
) -> tuple[Int[np.ndarray, " b"], ...]:
    """`OF_KINDS` of every image for one kind. Lesions and predictions are components, 8-connected, of the kind."""
    both = truth & called
    area, hit, image = _component_pixels(truth, both)
    needed = np.maximum(np.ceil(covered * area - ROUNDING), 1)
    # A kind predicted everywhere marks no lesion, as with lesions of any kind.
    everywhere = np.asarray(called.all((1, 2)), dtype=np.bool_)
    is_hit = (hit >= needed) & ~everywhere[image]
    _, touched, called_in = _component_pixels(called, both)
    pixels = (np.count_nonzero(map, axis=(1, 2)) for map in (truth, called, both))
    lesions = (np.bincount(which, minlength=len(truth)) for which in (image, image[is_hit], called_in[touched == 0]))
    return tuple(counted.astype(np.int32) for counted in (*pixels, *lesions))


def _component_pixels(
    mask: Bool[np.ndarray, "b h w"], among: Bool[np.ndarray, "b h w"]
) -> tuple[Int[np.ndarray, " c"], Int[np.ndarray, " c"], Int[np.ndarray, " c"]]:
    """Of every component of a mask: its pixels, those of them that are also of another mask, and its image."""
    labeled, count = ndimage.label(mask, EIGHT_WITHIN_AN_IMAGE)
    where = np.flatnonzero(labeled)
    number = labeled.ravel()[where] - 1
    area = np.bincount(number, minlength=count)
    shared = np.bincount(number[among.ravel()[where]], minlength=count)
    first = where[np.unique(number, return_index=True)[1]]
    return area, shared, first // mask[0].size


# From a network's logits per pixel to the log-odds of lesion, and to probabilities.


def lesion_logits(logits: Float[Tensor, "b k h w"]) -> Float[Tensor, "b h w"]:
    """Log-odds of any kind of lesion against background, float32, from a softmax over k labels, 0 being background.

    A single channel is the log-odds already (sigmoid). Never saturates, as a probability does.
    """
    wide = logits.float()
    if wide.shape[1] == 1:
        return wide[:, 0]
    return wide[:, 1:].logsumexp(dim=1) - wide[:, 0]


def label_probabilities(logits: Float[Tensor, "b k h w"]) -> Float[Tensor, "b l h w"]:
    """Probabilities of background and every kind of lesion, float32; of a single channel, of background and lesion."""
    wide = logits.float()
    if wide.shape[1] == 1:
        return torch.cat([torch.sigmoid(-wide), torch.sigmoid(wide)], dim=1)
    return wide.softmax(dim=1)


# One image's overlap and surfaces at the size of its own file, where the mask is as it came.


def at_native(
    probabilities: Float[Tensor, "k h w"],
    labels: UInt8[Tensor, "h w"],
    millimeters: float = 1.0,
    grid: MapGrid = DEFAULT_GRID,
) -> dict[str, np.ndarray]:
    """Return the `native_` columns of docs/reference/maps.md, each with a first axis of one image.

    Args:
        probabilities: Of background and k - 1 kinds of lesion, at the size of the labels. A pixel is called lesion
            where they leave at most half to the background, and of several kinds the likeliest is assigned.
        millimeters: How many a pixel is wide and high, NaN where that is unknown; 1 to measure surfaces in px.
    """
    called: Bool[np.ndarray, "h w"] = (probabilities[0] <= 0.5).cpu().numpy()
    lesion: Bool[np.ndarray, "h w"] = (labels != 0).cpu().numpy()
    distances = surfaces(called[None], lesion[None], np.full((1, 2), millimeters), grid.tolerance)
    pixels = {"pixels": lesion.size, "truth": lesion.sum(), "predicted": called.sum(), "hit": (lesion & called).sum()}
    columns = {
        **{name: np.array([count], dtype=np.int32) for name, count in pixels.items()},
        "hd95": distances.hd95,
        "surface_distance": distances.distance,
        "surface_dice": distances.dice,
        "surface_code": distances.code,
        **(count_kinds(probabilities[None], labels[None], grid.covered) if len(probabilities) > 2 else {}),
    }
    return {f"{AT_NATIVE}{name}": column for name, column in columns.items()}
