"""The losses for segmentation once more, in NumPy and float64, image by image and class by class, as papers write them.

Logits [b, k, h, w], label maps [b, h, w]. Nothing is shared with the library.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

import numpy as np

Region = tuple[np.ndarray, np.ndarray]
"""Probabilities and truth of one class, flat, over the pixels that count together."""


def softmax(logits: np.ndarray) -> np.ndarray:
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def pixel_entropies(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    p = softmax(logits)
    each = np.empty(labels.shape)
    for b, y, x in np.ndindex(labels.shape):
        each[b, y, x] = -math.log(p[b, labels[b, y, x], y, x])
    return each


def regions(logits: np.ndarray, labels: np.ndarray, reduce: str, background: bool) -> Iterator[list[Region]]:
    """For each image, or once for the batch, the regions of the classes."""
    p, classes = softmax(logits), range(0 if background else 1, logits.shape[1])
    for group in [slice(None)] if reduce == "batch" else [slice(i, i + 1) for i in range(len(labels))]:
        yield [(p[group, c].ravel(), (labels[group] == c).ravel().astype(float)) for c in classes]


def mean_over_classes(of: Callable[[np.ndarray, np.ndarray], float]) -> Callable[[list[Region]], float]:
    return lambda found: float(np.mean([of(p, g) for p, g in found]))


def dice(smoothing: float) -> Callable[[np.ndarray, np.ndarray], float]:
    def of(p: np.ndarray, g: np.ndarray) -> float:
        return 1 - (2 * (p * g).sum() + smoothing) / (p.sum() + g.sum() + smoothing)

    return of


def tversky(smoothing: float, alpha: float, beta: float) -> Callable[[np.ndarray, np.ndarray], float]:
    def of(p: np.ndarray, g: np.ndarray) -> float:
        hit, extra, missed = (p * g).sum(), (p * (1 - g)).sum(), ((1 - p) * g).sum()
        return 1 - (hit + smoothing / 2) / (hit + alpha * extra + beta * missed + smoothing / 2)

    return of


def mcc(p: np.ndarray, g: np.ndarray) -> float:
    tp, tn, fp, fn = (p * g).sum(), ((1 - p) * (1 - g)).sum(), (p * (1 - g)).sum(), ((1 - p) * g).sum()
    return 1 - (tp * tn - fp * fn) / math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn) + 1e-5)


def over_groups(
    logits: np.ndarray, labels: np.ndarray, reduce: str, background: bool, of: Callable[[list[Region]], float]
) -> float:
    return float(np.mean([of(found) for found in regions(logits, labels, reduce, background)]))


def to_other_side(region: np.ndarray) -> np.ndarray:
    """For each pixel the distance to the nearest one that is on the other side; 0 where there is none."""
    height, width = region.shape
    found = np.zeros(region.shape)
    if region.all() or not region.any():
        return found
    places = list(itertools.product(range(height), range(width)))
    for a in places:
        found[a] = min(math.dist(a, b) for b in places if region[a] != region[b])
    return found


def boundary(logits: np.ndarray, labels: np.ndarray, background: bool) -> float:
    p, values = softmax(logits), []
    for b, c in itertools.product(range(len(labels)), range(0 if background else 1, logits.shape[1])):
        region = labels[b] == c
        distance = to_other_side(region)
        inside = region & ~region.all()
        values.append((p[b, c] * np.where(inside, 1 - distance, distance)).mean())
    return float(np.mean(values))


def hausdorff(logits: np.ndarray, labels: np.ndarray, background: bool, exponent: float) -> float:
    p, values = softmax(logits), []
    for b, c in itertools.product(range(len(labels)), range(0 if background else 1, logits.shape[1])):
        region = labels[b] == c
        far = to_other_side(region) ** exponent + to_other_side(p[b, c] > 0.5) ** exponent
        values.append(((p[b, c] - region) ** 2 * far).mean())
    return float(np.mean(values))
