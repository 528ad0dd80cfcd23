"""Maps of logits and label maps, from plain to adversarial, on which every column is held against another's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy import ndimage

from assay.maps.summary import summarize

Map = np.ndarray
HEIGHT, WIDTH = 21, 34


def summary(logits: np.ndarray, labels: np.ndarray, **given: object) -> dict[str, np.ndarray]:
    """Columns of one map [h, w] or of several [b, h, w]."""
    one = logits.ndim == 2
    logits, labels = (logits[None], labels[None]) if one else (logits, labels)
    tensors = torch.from_numpy(np.float32(logits)), torch.from_numpy(np.ascontiguousarray(labels))
    return summarize(*tensors, **given)  # pyright: ignore[reportArgumentType]


def noise(rng: np.random.Generator) -> Map:
    return rng.normal(0, 6, (HEIGHT, WIDTH))


def smooth(rng: np.random.Generator) -> Map:
    return 60 * ndimage.gaussian_filter(rng.normal(size=(HEIGHT, WIDTH)), 3)


def ties(rng: np.random.Generator) -> Map:
    """Few values, among them both zeros and values on the thresholds."""
    return rng.choice([-3.0, -0.0, 0.0, 2.0, 2.5], (HEIGHT, WIDTH))


def checkers(rng: np.random.Generator) -> Map:
    """Pixels of one color meet at corners alone."""
    return np.where(np.indices((HEIGHT, WIDTH)).sum(axis=0) % 2, 5.0, -5.0)


def comb(rng: np.random.Generator) -> Map:
    """Teeth that meet late: every second column high, joined by the last row, which is low."""
    made = np.full((HEIGHT, WIDTH), -9.0)
    made[:, ::2] = 7.0
    made[-1] = -2.0
    return made


def spiral(rng: np.random.Generator) -> Map:
    """One long thin component, falling from end to end."""
    made, row, column, turn = np.full((HEIGHT, WIDTH), -20.0), 0, 0, 0
    steps, value = [(0, 1), (1, 0), (0, -1), (-1, 0)], 15.0
    bounds = [0, WIDTH - 1, HEIGHT - 1, 0]  # least row, greatest column, greatest row, least column
    while bounds[0] <= bounds[2] and bounds[3] <= bounds[1]:
        made[row, column] = value
        value -= 0.05
        down, across = steps[turn]
        if not (bounds[0] <= row + down <= bounds[2] and bounds[3] <= column + across <= bounds[1]):
            bounds[turn] += -2 if turn in (1, 2) else 2
            turn = (turn + 1) % 4
            down, across = steps[turn]
            if not (bounds[0] <= row + down <= bounds[2] and bounds[3] <= column + across <= bounds[1]):
                break
        row, column = row + down, column + across
    return made


def constant(rng: np.random.Generator) -> Map:
    return np.full((HEIGHT, WIDTH), -1.5)


def extreme(rng: np.random.Generator) -> Map:
    """Logits as far as float32 goes, where probabilities are 0 and 1."""
    return rng.choice([-3e38, -1e3, -1e-38, 1e-38, 1e3, 3e38], (HEIGHT, WIDTH))


MAPS: dict[str, Callable[[np.random.Generator], Map]] = {
    made.__name__: made for made in (noise, smooth, ties, checkers, comb, spiral, constant, extreme)
}


def scattered(rng: np.random.Generator) -> Map:
    """Lesions of one pixel, many of them touching at corners."""
    return rng.random((HEIGHT, WIDTH)) > 0.85


def blobs(rng: np.random.Generator) -> Map:
    """Several lesions of two kinds, some at the frame, some side by side."""
    field = ndimage.gaussian_filter(rng.normal(size=(HEIGHT, WIDTH)), 2)
    return np.where(field > 0.1, 1 + (np.arange(WIDTH) % 12 > 5), 0)


def empty(rng: np.random.Generator) -> Map:
    return np.zeros((HEIGHT, WIDTH))


def full(rng: np.random.Generator) -> Map:
    return np.ones((HEIGHT, WIDTH))


def corner(rng: np.random.Generator) -> Map:
    made = np.zeros((HEIGHT, WIDTH))
    made[-1, -1] = 1
    return made


LABELS: dict[str, Callable[[np.random.Generator], Map]] = {
    made.__name__: made for made in (scattered, blobs, empty, full, corner)
}


def world(logits: str, labels: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A map of logits, float32, and a label map, uint8."""
    rng = np.random.default_rng(seed)
    return MAPS[logits](rng).astype(np.float32), LABELS[labels](rng).astype(np.uint8)


PAIRS = [(logits, labels) for logits in MAPS for labels in LABELS]
