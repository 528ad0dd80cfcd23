"""The same image on both sides of a split: exact copies, near copies, and patients that two tables share."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from assay.core.errors import DataError
from assay.core.types import FactorTable

_BLOCK = 2048
_GRID = 16
_STANDARDISE_FROM = 50  # images below which the spread at a pixel is not known well enough to divide by
_FARTHEST = 2.0  # spreads
VERSION = 1
"""Rises when the same images give other pairs."""
LIKENESS = 0.92
"""Above it two images are called near copies. On six real sets different patients lie below .91; recompressed,
rescaled, brightened and gamma-corrected copies lie above .97, but for gamma-corrected fundus photographs (.90 up)."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two positions that hold nearly the same image; `likeness` is a correlation in 0..1."""

    first: int
    second: int
    likeness: float


def row_hashes(array: np.ndarray) -> np.ndarray:
    """A 64-bit hash of each row's pixels, uint64 [n]. array: [n, ...]."""
    rows = np.asarray(array)
    digests = (hashlib.blake2b(np.ascontiguousarray(row).data, digest_size=8).digest() for row in rows)
    return np.frombuffer(b"".join(digests), dtype=np.uint64)


def exact_groups(hashes: np.ndarray, patients: np.ndarray) -> list[np.ndarray]:
    """Positions that hold the same pixels for more than one patient, one ascending array a group, by first position.

    hashes: uint64 [n]. patients: int64 [n]. Copies within a patient are no leak and make no group.
    """
    order = np.argsort(hashes, kind="stable")
    starts = np.flatnonzero(np.diff(hashes[order])) + 1
    groups = [np.sort(group) for group in np.split(order, starts) if len(group) > 1]
    return sorted((group for group in groups if len(np.unique(patients[group])) > 1), key=lambda group: int(group[0]))


def near_pairs(
    array: np.ndarray,
    patients: np.ndarray,
    rows: np.ndarray | None = None,
    least: float = LIKENESS,
    most: int = 10_000,
) -> list[Pair]:
    """Pairs of different patients whose images are nearly the same, the most alike first.

    array: uint8 or uint16 [m, c, h, w]. rows: int64 [n], the positions in it that are compared, all when None; pairs
    are positions in `rows`. patients: int64 [n]. Likeness is the correlation of `descriptors`: it withstands
    recompression, rescaling, brightness and contrast, and falls with a crop of over 2 %. All pairs are compared, in
    blocks. At most `most` pairs are returned.
    """
    x = descriptors(array, rows)
    found: list[Pair] = []
    for top in range(0, len(x), _BLOCK):
        for left in range(top, len(x), _BLOCK):
            likeness = x[top : top + _BLOCK] @ x[left : left + _BLOCK].T
            first, second = np.nonzero(likeness >= least)
            pair = (first + top < second + left) & (patients[first + top] != patients[second + left])
            found += [
                Pair(int(i + top), int(j + left), float(likeness[i, j]))
                for i, j in zip(first[pair], second[pair], strict=True)
            ]
    return sorted(found, key=lambda pair: (-pair.likeness, pair.first, pair.second))[:most]


def descriptors(array: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
    """What near copies are found by, float32 [n, d], each row of length 1 (0 for an image without detail).

    The mean over channels on a grid of 16 x 16, less its 3 x 3 mean and brought to length 1, so that overall shading
    and contrast do not count; then, from 50 images on, less the set's mean and over its spread at each place, so that
    what all images share (the round field of a fundus camera, the thorax) does not count either; no place counts more
    than two spreads, so that the edge of black padding does not decide.
    """
    positions = np.arange(len(array)) if rows is None else rows
    n, (height, width) = len(positions), array.shape[2:]
    small = np.empty((n, min(_GRID, height), min(_GRID, width)), dtype=np.float32)
    for start in range(0, n, _BLOCK):
        small[start : start + _BLOCK] = _pooled(array[positions[start : start + _BLOCK]], small.shape[1:])
    detail = _unit((small - _mean_of_nine(small)).reshape(n, -1))
    if n >= _STANDARDISE_FROM:
        has_detail = detail.any(axis=1, keepdims=True)
        spread = detail.std(axis=0)
        detail = (detail - detail.mean(axis=0)) / (spread + 0.1 * spread.mean() + 1e-12) * has_detail
        detail = np.clip(detail, -_FARTHEST, _FARTHEST)
    return _unit(detail - detail.mean(axis=1, keepdims=True))


def _unit(rows: np.ndarray) -> np.ndarray:
    """Rows brought to length 1, float32; a row without any length stays 0."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.where(length > 1e-4, rows / np.maximum(length, 1e-4), 0).astype(np.float32)


def _pooled(block: np.ndarray, grid: tuple[int, ...]) -> np.ndarray:
    """Means over the cells of a grid, in 0..1: [b, c, h, w] -> [b, rows, columns]."""
    grey = block.mean(axis=1, dtype=np.float32) / np.float32(np.iinfo(block.dtype).max)
    height, width = int(block.shape[2]), int(block.shape[3])
    down = np.arange(grid[0] + 1) * height // grid[0]
    across = np.arange(grid[1] + 1) * width // grid[1]
    sums = np.add.reduceat(np.add.reduceat(grey, down[:-1], axis=1), across[:-1], axis=2)
    return sums / (np.diff(down)[:, None] * np.diff(across))


def _mean_of_nine(small: np.ndarray) -> np.ndarray:
    padded = np.pad(small, ((0, 0), (1, 1), (1, 1)), mode="edge")
    height, width = small.shape[1:]
    total = np.zeros_like(small)
    for down in range(3):
        for across in range(3):
            total += padded[:, down : down + height, across : across + width]
    return total / 9


def check_disjoint(train: FactorTable, test: FactorTable) -> None:
    """Raise DataError, naming rows, when training and test rows share an image or a patient.

    Rows are named as their file counts them, patients by nothing: their codes say no more than the rows do.
    """
    shared_rows = np.intersect1d(train.row, test.row)
    if len(shared_rows):
        raise DataError(
            f"{len(shared_rows)} images are in training and in test: {train.named(shared_rows)}; "
            "choose test rows that were not trained on"
        )
    shared = np.intersect1d(train.patient, test.patient)
    if not len(shared):
        return
    examples = [
        f"{train.named(train.row[train.patient == patient])} in training and "
        f"{test.named(test.row[test.patient == patient])} in test"
        for patient in shared[:5]
    ]
    more = f"; and {len(shared) - 5} patients more" if len(shared) > 5 else ""
    raise DataError(
        f"{len(shared)} patients are in training and in test: {'; '.join(examples)}{more}; split by patient"
    )
