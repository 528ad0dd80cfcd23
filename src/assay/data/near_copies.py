"""Near copies: the same picture mirrored, turned, cropped, shifted, brightened or re-encoded.

Three steps. `details` reduces each native image to its local detail on a square grid, without shading, contrast and
black surroundings. A search compares low-frequency DCT coefficients of all pairs in eight orientations and in windows
that stand for crops and shifts, and keeps the nearest few of each image. Each of these candidates is registered
(affine, inverse compositional Gauss-Newton) at two resolutions, and scored by the median correlation over the cells of
a grid: a copy agrees everywhere, two retinas agree at the rim or the disc at most. The threshold is set from random
pairs of different patients of the same set.

References:
    Baker and Matthews, "Lucas-Kanade 20 years on: a unifying framework", IJCV 2004 (the registration).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Int8
from PIL import Image
from scipy.special import ndtri

from assay.core.files import release
from assay.core.opencv import cv2

VERSION = 6
"""Rises when the same images give other pairs."""
GRID = 96
STRICTEST = 0.9
LOOSEST = 0.76
"""Bounds of the threshold on likeness, whatever the random pairs say."""
_FEW_PAIRS = 0.85
"""The threshold where there are too few random pairs."""

_COARSE, _MIDDLE = 32, 48  # sides at which pairs are registered; they are scored at GRID
_FLAT = 8.0  # gray levels that the lines of a constant border span at most, as after compression
_SCALE = 40.0  # detail of 1 as an int8
_FREQUENCIES = 12
_WINDOW, _SHIFTED = 0.91, 0.96
_CANDIDATES = 6
_SEARCHED, _ROUGH = 0.65, 0.7  # least correlations at which a candidate is registered, and registered finely
_RANDOM_PAIRS = 100
_FALSE_IMAGES = 0.01
_BLOCK, _AT_ONCE = 2048, 32
_MOST = 50_000  # images that are compared in all windows: time rises with the square of their number
_CELLS = 6

# The eight orientations as maps of coordinates in -1..1 (x, y), and the windows that are laid over each other: the
# whole of one image on a window of the other (a crop), or opposite sides of both (a shift).
_ORIENTATIONS = [np.array([[a, 0], [0, b]], dtype=np.float32) for a in (1, -1) for b in (1, -1)] + [
    np.array([[0, a], [b, 0]], dtype=np.float32) for a in (1, -1) for b in (1, -1)
]
_PLACES = [(x, y) for y in (0.0, 0.5, 1.0) for x in (0.0, 0.5, 1.0)]
_FULL_IMAGE = (1.0, 0.5, 0.5)
_Window = tuple[float, float, float]
_OVERLAYS: list[tuple[_Window, _Window]] = [
    (_FULL_IMAGE, _FULL_IMAGE),
    *((_FULL_IMAGE, (_WINDOW, x, y)) for x, y in _PLACES),
    *(((_SHIFTED, 1 - x, 1 - y), (_SHIFTED, x, y)) for x, y in _PLACES if (x, y) != (0.5, 0.5)),
]


@dataclass(frozen=True, slots=True)
class NearPair:
    """Two positions with nearly the same image.

    Attributes:
        first: the lower position.
        second: the higher position.
        likeness: median correlation of local detail after registration, at most 1.
    """

    first: int
    second: int
    likeness: float


def details(pixels: np.ndarray) -> Int8[np.ndarray, "g g"]:
    """Reduce an image to its local detail on a square grid.

    The gray image without constant borders is squeezed to the grid, so that neither padding nor aspect matters. Each
    point is taken less the local mean and over the local spread, both without the black surroundings of the picture,
    which become 0.

    Args:
        pixels: uint8 [h, w] or [h, w, 3], or uint16 at the range of the set: an image that spans little of it is nearly
            flat, and its noise is no detail.
    """
    gray = pixels.astype(np.float32) if pixels.ndim == 2 else pixels @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    if pixels.dtype != np.uint8:
        gray = gray * np.float32(255 / 65535)
    varied = [np.flatnonzero(np.ptp(gray, axis=axis) > _FLAT) for axis in (1, 0)]
    if all(len(axis_range) for axis_range in varied):
        gray = gray[varied[0][0] : varied[0][-1] + 1, varied[1][0] : varied[1][-1] + 1]
    size = (GRID, GRID)
    small = np.asarray(Image.fromarray(gray.astype(np.float32)).resize(size, Image.Resampling.BILINEAR, reducing_gap=2))
    low, high = np.quantile(small, (0.005, 0.995))
    inside: np.ndarray = cv2.erode(
        (small > low + 0.06 * (high - low) + 1).astype(np.float32), np.ones((5, 5), np.uint8)
    )
    weight = _blur(inside) + 1e-3
    centered = (small - _blur(small * inside) / weight) * inside
    spread = np.sqrt(_blur(centered**2) / weight + 16)  # 4 gray levels: noise is not raised to detail
    return np.round(np.clip(centered / spread, -2, 2) * _SCALE).astype(np.int8)


def _blur(values: np.ndarray) -> np.ndarray:
    """Return the same bytes as `scipy.ndimage.gaussian_filter(values, 5, mode="nearest", truncate=2.5)`, sooner."""
    for across, down in ((_POINT, _GAUSSIAN), (_GAUSSIAN, _POINT)):
        exact = values.astype(np.float64)
        blurred = cv2.sepFilter2D(exact, cv2.CV_64F, across, down, borderType=cv2.BORDER_REPLICATE)
        values = np.asarray(blurred, dtype=np.float32)
    return values


_POINT = np.ones(1)
_BELL = np.exp(-0.5 / 5**2 * np.arange(-13, 14) ** 2)
_GAUSSIAN = _BELL / _BELL.sum()


def near_pairs(
    detail: Int8[np.ndarray, "n g g"], patients: Int[np.ndarray, "n"], verified: Int[np.ndarray, "m"] | None = None
) -> list[NearPair]:
    """Find pairs of different patients whose images are nearly the same, the most alike first.

    Every image is compared with all others; the six nearest candidates of each are verified. Of very large sets whole
    images alone are compared (see `compares_full_images_only`).

    Args:
        detail: `details` of images.
        patients: the patient of each row.
        verified: positions of the images whose candidates are verified, all of them when None.
    """
    every = np.arange(len(detail))
    if len(np.unique(patients)) < 2:
        return []
    searched = _Searched.of(detail, every)
    verified = every if verified is None else verified
    first, second = searched.candidates(patients, verified)
    likeness = _likeness(searched, first, second, gated=True)
    if likeness.max(initial=-1.0) < LOOSEST:  # the lowest threshold
        return []
    threshold = _likeness_threshold(searched, patients, verified)
    likeness_of: dict[tuple[int, int], float] = {}
    for i, j, value in zip(first.tolist(), second.tolist(), likeness.tolist(), strict=True):
        if value >= threshold:
            pair = (min(i, j), max(i, j))
            likeness_of[pair] = max(value, likeness_of.get(pair, -1.0))
    pairs = [NearPair(i, j, round(value, 3)) for (i, j), value in likeness_of.items()]
    return sorted(pairs, key=lambda pair: (-pair.likeness, pair.first, pair.second))


def compares_full_images_only(images: int) -> bool:
    """Return whether a set of so many images is too large to search it for cropped and shifted copies."""
    return images > _MOST


def _laid(images: int) -> Sequence[tuple[_Window, _Window]]:
    """Return the windows that are laid over each other in a set of so many images."""
    return _OVERLAYS[:1] if compares_full_images_only(images) else _OVERLAYS


def _likeness_threshold(searched: _Searched, patients: Int[np.ndarray, "n"], verified: Int[np.ndarray, "m"]) -> float:
    """Return the similarity that a normal law fitted to random pairs (Fisher's z) exceeds in 1% of images."""
    n = len(patients)
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, n, (2, min(_RANDOM_PAIRS, max(n // 2, 20))))
    if len(verified) < n:
        first = verified[first % len(verified)]
    other = patients[first] != patients[second]
    scores = _likeness(searched, first[other], second[other], gated=False)
    if len(scores) < 10:
        return _FEW_PAIRS
    z = np.arctanh(np.clip(scores, -0.99, 0.99))
    middle = float(np.median(z))
    spread = 1.4826 * float(np.median(np.abs(z - middle)))  # robust: random pairs of a set full of copies may be copies
    far = -float(ndtri(_FALSE_IMAGES / n))
    return float(np.clip(np.tanh(middle + far * spread), LOOSEST, STRICTEST))


def merge_patients(patients: Int[np.ndarray, "n"], pairs: Sequence[NearPair]) -> Int[np.ndarray, "n"]:
    """Return patients such that the images of each pair are of one: the least of those that pairs link.

    Examples:
        >>> patients = np.array([5, 7, 9, 7, 11, 13])
        >>> merge_patients(patients, [NearPair(0, 1, 0.9), NearPair(3, 2, 0.9)]).tolist()
        [5, 5, 5, 5, 11, 13]
        >>> merge_patients(patients, []).tolist()
        [5, 7, 9, 7, 11, 13]
    """
    from scipy import sparse  # here, since few searches end with pairs
    from scipy.sparse import csgraph

    codes, at = np.unique(patients, return_inverse=True)
    links = np.array([(at[pair.first], at[pair.second]) for pair in pairs], dtype=np.int64).reshape(-1, 2)
    graph = sparse.coo_matrix((np.ones(len(links)), (links[:, 0], links[:, 1])), shape=(len(codes), len(codes)))
    _, group = csgraph.connected_components(graph, directed=False)
    least = np.full(len(codes), np.iinfo(np.int64).max)
    np.minimum.at(least, group, codes)
    return least[group][at]


# The search.


@dataclass(frozen=True, slots=True)
class _Searched:
    """A set as the search sees it.

    Attributes:
        mean, spread: Of coefficients over all images in all orientations.
    """

    detail: Int8[np.ndarray, "m g g"]
    rows: Int[np.ndarray, "n"]
    mean: np.ndarray
    spread: np.ndarray
    first: Mapping[_Window, Float[np.ndarray, "n d"]]

    @classmethod
    def of(cls, detail: np.ndarray, rows: np.ndarray) -> _Searched:
        """Compute the shared inputs of all comparisons."""
        full = _coefficients(detail, rows, _FULL_IMAGE)
        turns = range(len(_ORIENTATIONS))
        mean = np.mean([_turn(full, turn).mean(axis=0) for turn in turns], axis=0)
        spread = np.sqrt(np.mean([((_turn(full, turn) - mean) ** 2).mean(axis=0) for turn in turns], axis=0))
        spread = spread + 0.05 * spread.mean() + 1e-6
        descriptors = {_FULL_IMAGE: _normalize(full, mean, spread)}
        for window in dict.fromkeys(first for first, _ in _laid(len(rows))):
            if window != _FULL_IMAGE:
                descriptors[window] = _normalize(_coefficients(detail, rows, window), mean, spread)
        release(detail)
        return cls(detail, rows, mean, spread, descriptors)

    def second(self, places: np.ndarray) -> dict[tuple[int, _Window], Float[np.ndarray, "k d"]]:
        """Descriptors of the images at these places, in every orientation and window."""
        descriptors: dict[tuple[int, _Window], np.ndarray] = {}
        for window in dict.fromkeys(second for _, second in _laid(len(self.rows))):
            raw = _coefficients(self.detail, self.rows[places], window)
            for turn in range(len(_ORIENTATIONS)):
                descriptors[turn, window] = _normalize(_turn(raw, turn), self.mean, self.spread)
        return descriptors

    def candidates(self, patients: np.ndarray, verified: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the nearest images of other patients of each asked one, each pair once, as two arrays of places."""
        n, m = len(self.rows), len(verified)
        best_so_far = [(np.zeros((m, 0), dtype=np.float32), np.zeros((m, 0), dtype=np.int64))]
        for start in range(0, n, _BLOCK):
            places = np.arange(start, min(start + _BLOCK, n))
            second = self.second(places)
            near, at = zip(
                *(self._nearest(verified[top : top + _BLOCK], places, second, patients) for top in range(0, m, _BLOCK)),
                strict=True,
            )
            del second  # a hundred megabytes, before those of the next block are computed
            release(self.detail)
            likeness, others = (
                np.concatenate([old, new], axis=1)
                for old, new in zip(best_so_far[-1], (np.concatenate(near), np.concatenate(at)), strict=True)
            )
            best = np.argsort(-likeness, axis=1, kind="stable")[:, :_CANDIDATES]
            best_so_far = [(np.take_along_axis(likeness, best, axis=1), np.take_along_axis(others, best, axis=1))]
        likeness, others = best_so_far[-1]
        first = np.repeat(verified, likeness.shape[1])
        close = likeness.reshape(-1) >= _SEARCHED
        first, second = first[close], others.reshape(-1)[close]
        # Of the two directions of a pair the likelier; rounded, or the last bit of a processor would choose.
        likelier = -likeness.reshape(-1)[close].round(3)
        order = np.lexsort((likelier, np.maximum(first, second), np.minimum(first, second)))
        names = (np.minimum(first, second) * n + np.maximum(first, second))[order]
        once = order[np.r_[True, names[1:] != names[:-1]][: len(names)]]
        return first[once], second[once]

    def _nearest(
        self,
        rows: np.ndarray,
        places: np.ndarray,
        second: Mapping[tuple[int, _Window], np.ndarray],
        patients: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        most = min(_CANDIDATES, len(places))
        if len(np.unique(np.concatenate([patients[rows], patients[places]]))) == 1:
            return np.full((len(rows), most), -1, dtype=np.float32), np.tile(places[:most], (len(rows), 1))
        best = np.full((len(rows), len(places)), -1, dtype=np.float32)
        laid = _laid(len(self.rows))
        for (_, b), descriptor in second.items():
            for first, other in laid:
                if other == b:
                    np.maximum(best, self.first[first][rows] @ descriptor.T, out=best)
        best[patients[rows][:, None] == patients[places]] = -1
        at = np.argpartition(-best, most - 1, axis=1)[:, :most]
        return np.take_along_axis(best, at, axis=1), places[at]

    def starts(self, first: np.ndarray, second: np.ndarray) -> Float[np.ndarray, "k 2 3"]:
        """Return the map from first to second images at which the descriptors of each pair agree best."""
        descriptors, laid = self.second(second), _laid(len(self.rows))
        turns = range(len(_ORIENTATIONS))
        likeness = [(self.first[a][first] * descriptors[turn, b]).sum(axis=1) for turn in turns for a, b in laid]
        starts = np.stack([_start_map(turn, a, b) for turn in turns for a, b in laid])
        return starts[np.argmax(likeness, axis=0)]


def _basis(n: int, scale: float, place: float) -> Float[np.ndarray, "f n"]:
    """DCT-II basis over a window of this share of the side; rows of length 1."""
    t = ((np.arange(n) + 0.5) / n - place * (1 - scale)) / scale
    rows = np.cos(np.pi * np.arange(_FREQUENCIES)[:, None] * t) * ((t >= 0) & (t <= 1))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def _coefficients(detail: np.ndarray, rows: np.ndarray, window: _Window) -> Float[np.ndarray, "k f f"]:
    scale, x, y = window
    down, across = _basis(GRID, scale, y), _basis(GRID, scale, x)
    parts = [
        down @ (detail[rows[start : start + 256]].astype(np.float32) / _SCALE) @ across.T
        for start in range(0, len(rows), 256)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, _FREQUENCIES, _FREQUENCIES), dtype=np.float32)


def _turn(coefficients: np.ndarray, turn: int) -> np.ndarray:
    """Coefficients of turned images: mirroring changes signs of odd frequencies, turning swaps the axes."""
    map_, sign = _ORIENTATIONS[turn], (-1.0) ** np.arange(_FREQUENCIES, dtype=np.float32)
    if map_[0, 0]:
        out, across, down = coefficients, map_[0, 0] < 0, map_[1, 1] < 0
    else:
        out, across, down = coefficients.transpose(0, 2, 1), map_[1, 0] < 0, map_[0, 1] < 0
    return out * (sign[:, None] if down else np.float32(1)) * (sign if across else np.float32(1))


_RADIUS = np.hypot(*np.mgrid[:_FREQUENCIES, :_FREQUENCIES])
_USED: Bool[np.ndarray, "f f"] = (_RADIUS >= 2) & (_RADIUS < _FREQUENCIES)


def _normalize(coefficients: np.ndarray, mean: np.ndarray, spread: np.ndarray) -> Float[np.ndarray, "k d"]:
    """Standardized coefficients of length 1; those of an image without detail stay 0."""
    plain = ((coefficients - mean) / spread)[:, _USED]
    plain = np.clip(plain, -3, 3) * (np.abs(coefficients).max(axis=(1, 2)) > 0.1)[:, None]
    length = np.linalg.norm(plain, axis=1, keepdims=True)
    return (plain / np.maximum(length, 1e-6)).astype(np.float32)


def _start_map(turn: int, first: _Window, second: _Window) -> np.ndarray:
    """Return the map of coordinates that lays the first window on the second of a turned image, [2, 3]."""
    here, target = (np.array([(2 * x - 1) * (1 - scale), (2 * y - 1) * (1 - scale)]) for scale, x, y in (first, second))
    scale = second[0] / first[0]
    turned = _ORIENTATIONS[turn]
    return np.concatenate([turned * scale, (turned @ (target - scale * here))[:, None]], axis=1).astype(np.float32)


# Verification.


def _likeness(searched: _Searched, first: np.ndarray, second: np.ndarray, gated: bool) -> Float[np.ndarray, "k"]:
    """Return the similarity of registered pairs; -1 where `gated` and the rough registration shows a difference."""
    out = np.full(len(first), -1.0)
    if not len(first):
        return out
    laid = [searched.starts(first[at : at + 512], second[at : at + 512]) for at in range(0, len(first), 512)]
    starts = np.concatenate(laid)
    for start in range(0, len(first), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        left_images, right_images = (_detail_images(searched, places[part]) for places in (first, second))
        rough, maps = _register(_reduce(left_images, _COARSE), _reduce(right_images, _COARSE), starts[part], 5)
        go_on = rough >= _ROUGH if gated else np.ones(len(rough), dtype=np.bool_)
        if go_on.any():
            left_images, right_images = left_images[go_on], right_images[go_on]
            _, maps = _register(_reduce(left_images, _MIDDLE), _reduce(right_images, _MIDDLE), maps[go_on], 2)
            out[np.arange(len(first))[part][go_on]] = _cell_agreement(left_images, right_images, maps)
    return out


def _detail_images(searched: _Searched, places: np.ndarray) -> Float[np.ndarray, "k g g"]:
    return searched.detail[searched.rows[places]].astype(np.float32) / np.float32(_SCALE)


def _reduce(images: Float[np.ndarray, "k n n"], side: int) -> Float[np.ndarray, "k s s"]:
    """Return means over squares."""
    k, n, _ = images.shape
    return images.reshape(k, side, n // side, side, n // side).mean(axis=(2, 4), dtype=np.float32)


def _grid_points(n: int) -> Float[np.ndarray, "p 3"]:
    """Centers of pixels in -1..1 as x, y, 1."""
    center = (np.arange(n, dtype=np.float32) + np.float32(0.5)) / n * 2 - 1
    y, x = np.meshgrid(center, center, indexing="ij")
    return np.stack([x, y, np.ones_like(x)], axis=-1).reshape(-1, 3)


def _register(
    template: Float[np.ndarray, "k n n"],
    image: Float[np.ndarray, "k n n"],
    maps: Float[np.ndarray, "k 2 3"],
    steps: int,
) -> tuple[Float[np.ndarray, "k"], Float[np.ndarray, "k 2 3"]]:
    """Improve affine maps from the template to the image; their correlation and the best map of each pair."""
    k, n, _ = template.shape
    points = _grid_points(n)
    padded = np.pad(template, ((0, 0), (1, 1), (1, 1)), mode="edge")
    slopes = [padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2], padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]]
    descent = np.concatenate([slope.reshape(k, -1, 1) * np.float32(n / 4) * points for slope in slopes], axis=2)
    across = descent.transpose(0, 2, 1)
    normal = across @ descent
    damping = np.diagonal(normal, axis1=1, axis2=2).mean(axis=1) * np.float32(1e-3) + np.float32(1e-6)
    inverse = _inverse(normal + np.eye(6, dtype=np.float32) * damping[:, None, None])
    wanted = template.reshape(k, -1)
    best, best_maps = np.full(k, -2.0, dtype=np.float32), maps
    for step in range(steps + 1):
        warped, inside = _warp(image, maps, points)
        a, b = (_center(values, inside) for values in (wanted, warped))
        length, other = _length(a), _length(b) + np.float32(1e-6)
        correlation = (a * b).sum(axis=1) / (length * other + np.float32(1e-6))[:, 0]
        correlation = np.where(inside.mean(axis=1) > 0.6, correlation, np.float32(-1))
        better = correlation > best
        best, best_maps = np.where(better, correlation, best), np.where(better[:, None, None], maps, best_maps)
        if step < steps:
            change = inverse @ (across @ (b / other * length - a)[..., None])
            maps = _before(maps, np.eye(2, 3, dtype=np.float32) + change.reshape(k, 2, 3))
    return best, best_maps


def _inverse(matrices: np.ndarray) -> np.ndarray:
    return np.linalg.inv(matrices)  # pyright: ignore[reportUnknownVariableType]


def _before(maps: Float[np.ndarray, "k 2 3"], moved: Float[np.ndarray, "k 2 3"]) -> Float[np.ndarray, "k 2 3"]:
    """Return maps after the inverse of others.

    They are not finite where these are singular, whose pairs then keep the map that they had.
    """
    a, b, c, d = (moved[:, at, side] for at in (0, 1) for side in (0, 1))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        turned = (
            np.stack([np.stack([d, -b], axis=1), np.stack([-c, a], axis=1)], axis=1) / (a * d - b * c)[:, None, None]
        )
        linear = maps[:, :, :2] @ turned
        return np.concatenate([linear, maps[:, :, 2:] - linear @ moved[:, :, 2:]], axis=2)


def _length(values: Float[np.ndarray, "k p"]) -> Float[np.ndarray, "k 1"]:
    return np.sqrt((values * values).sum(axis=1, keepdims=True))


def _warp(
    image: Float[np.ndarray, "k n n"], maps: Float[np.ndarray, "k 2 3"], points: Float[np.ndarray, "p 3"]
) -> tuple[Float[np.ndarray, "k p"], Float[np.ndarray, "k p"]]:
    """Return the image where the map takes each point, linear between pixels, and 1 for points that stay inside."""
    k, n, _ = image.shape
    with np.errstate(invalid="ignore"):
        at = points @ maps.transpose(0, 2, 1)
        inside = (np.abs(at) <= 1).all(axis=2).astype(np.float32)
        place = np.clip(np.nan_to_num(((at + 1) * n - 1) / 2), 0, n - 1)
    low = place.astype(np.int32)
    share = place - low
    x, y, to_right, to_below = low[..., 0], low[..., 1], share[..., 0], share[..., 1]
    right, below = np.minimum(x + 1, n - 1) - x, (np.minimum(y + 1, n - 1) - y) * n
    first, values = (np.arange(k, dtype=np.int32) * (n * n))[:, None] + y * n + x, image.reshape(-1)
    upper = np.take(values, first) * (1 - to_right) + np.take(values, first + right) * to_right
    lower = np.take(values, first + below) * (1 - to_right) + np.take(values, first + below + right) * to_right
    return np.asarray(upper * (1 - to_below) + lower * to_below), np.asarray(inside)


def _center(values: Float[np.ndarray, "k p"], inside: Float[np.ndarray, "k p"]) -> Float[np.ndarray, "k p"]:
    mean = (values * inside).sum(axis=1, keepdims=True) / np.maximum(inside.sum(axis=1, keepdims=True), 1)
    return (values - mean) * inside


def _cell_agreement(
    template: Float[np.ndarray, "k n n"], image: Float[np.ndarray, "k n n"], maps: Float[np.ndarray, "k 2 3"]
) -> Float[np.ndarray, "k"]:
    """Return the median correlation over cells that hold detail in either image and lie inside both."""
    k, n, _ = template.shape
    warped, inside = _warp(image, maps, _grid_points(n))

    def cells(values: np.ndarray) -> np.ndarray:
        return _reduce(values.reshape(k, n, n), _CELLS).reshape(k, -1)

    a, b, share = template.reshape(k, -1), warped, cells(inside)
    of = np.maximum(share, np.float32(1e-6))
    mean_a, mean_b = cells(a * inside) / of, cells(b * inside) / of
    spread_a, spread_b = cells(a * a * inside) / of - mean_a**2, cells(b * b * inside) / of - mean_b**2
    together = cells(a * b * inside) / of - mean_a * mean_b
    correlation = together / np.sqrt(np.maximum(spread_a, 1e-6) * np.maximum(spread_b, 1e-6))
    counts = (np.maximum(spread_a, spread_b) > 0.02) & (share > 0.5)
    counted = counts.sum(axis=1)
    ascending = np.sort(np.where(counts, correlation, np.inf), axis=1)  # of two middle cells, the one that agrees less
    middle = ascending[np.arange(k), np.maximum(counted - 1, 0) // 2]
    return np.where(counted >= _CELLS, middle, -1.0)
