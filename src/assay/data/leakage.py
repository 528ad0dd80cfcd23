"""The same image on both sides of a split: exact copies, and patients that two tables share."""

from __future__ import annotations

import hashlib

import numpy as np
from jaxtyping import Int

from assay.core.errors import DataError
from assay.core.types import FactorTable
from assay.data.dataset import Images
from assay.data.near_copies import NearPair

_AT_ONCE = 256
"""Images that are read and hashed together."""


def row_hashes(array: np.ndarray) -> np.ndarray:
    """Return a 64-bit hash of each row's pixels, uint64 [n].

    Args:
        array: [n, ...].
    """
    rows = np.asarray(array)
    digests = (hashlib.blake2b(np.ascontiguousarray(row).data, digest_size=8).digest() for row in rows)
    return np.frombuffer(b"".join(digests), dtype=np.uint64)


def image_hashes(images: Images) -> np.ndarray:
    """Return the hash of every image."""
    return np.concatenate([row_hashes(images.read(part).numpy()) for part in parts_of_images(len(images))])


def parts_of_images(count: int) -> list[np.ndarray]:
    """Return positions of images in parts that are held at once."""
    return np.array_split(np.arange(count), max(1, count // _AT_ONCE))


def exact_groups(hashes: np.ndarray, patients: np.ndarray) -> list[np.ndarray]:
    """Positions that hold the same pixels for more than one patient, one ascending array a group, by first position.

    Args:
        hashes: uint64 [n].
        patients: int64 [n]. Copies within a patient are no leak and make no group.

    Examples:
        >>> hashes = np.array([3, 5, 2, 9, 7, 5, 5, 7], dtype=np.uint64)
        >>> [group.tolist() for group in exact_groups(hashes, np.arange(8))]
        [[1, 5, 6], [4, 7]]
        >>> exact_groups(hashes, np.array([0, 1, 2, 3, 4, 1, 1, 4]))
        []
    """
    order = np.argsort(hashes, kind="stable")
    starts = np.flatnonzero(np.diff(hashes[order])) + 1
    groups = [np.sort(group) for group in np.split(order, starts) if len(group) > 1]
    return sorted((group for group in groups if len(np.unique(patients[group])) > 1), key=lambda group: int(group[0]))


def exact_pairs(hashes: Int[np.ndarray, "n"], patients: Int[np.ndarray, "n"]) -> list[NearPair]:
    """Return the first of the images of each group of exact copies with each of the others. See `exact_groups`."""
    groups = exact_groups(hashes, patients)
    return [NearPair(int(group[0]), int(at), 1.0) for group in groups for at in group[1:]]


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
