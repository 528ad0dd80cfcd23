"""Randomness that depends on (seed, purpose, name or row or step) and on nothing else.

Never on the study, the trial or the value of an axis: two recipes that share a seed then share initial weights, rows,
batch order and augmentation, so that they can be compared in pairs.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np  # at run time it is imported on first use: a study is checked without it, in half the time

LOOKS = (10, 20, 40)
"""Numbers of seeds at which the primary comparisons of a sequential study are looked at."""


def derive(seed: int, *purpose: str | int) -> int:
    """Return a 63-bit integer from a seed and a purpose, for example `derive(3, "batch-order", epoch)`.

    Examples:
        >>> derive(3, "batch-order", 0) == derive(3, "batch-order", 0)
        True
        >>> derive(3, "batch-order", 0) == derive(3, "batch-order", 1)
        False
    """
    text = "\x1f".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """Return a NumPy generator of its own for one purpose.

    Examples:
        >>> bool((generator(3, "noise").random(4) == generator(3, "noise").random(4)).all())
        True
    """
    import numpy as np

    bit_generator = np.random.Philox(
        np.random.SeedSequence(0)
    )  # given a key, it would first ask the system for entropy
    state = bit_generator.state
    state["state"]["key"][:] = derive(seed, *purpose), 0
    bit_generator.state = state
    return np.random.Generator(bit_generator)


def row_uniform(seed: int, purpose: str, rows: np.ndarray) -> np.ndarray:
    """One uniform number in [0, 1) per row, which depends on (seed, purpose, row) and not on the other rows.

    Args:
        rows: int64 [n].

    Returns:
        float64 [n]. A row keeps its number regardless of other rows, so that the images marked at one dose are among
        those marked at a higher one.

    Examples:
        >>> import numpy as np
        >>> numbers = row_uniform(0, "tag", np.arange(10_000))
        >>> round(float(numbers.mean()), 1), bool(((0 <= numbers) & (numbers < 1)).all())
        (0.5, True)
    """
    return (mix(rows, derive(seed, purpose)) >> 11).astype("float64") * 2.0**-53


def row_seed(seed: int, purpose: str, rows: np.ndarray) -> np.ndarray:
    """Return a non-negative 32-bit seed per row, int64 [n], for generators that are keyed by row and pixel.

    Examples:
        >>> import numpy as np
        >>> two, one = row_seed(0, "tag", np.array([5, 7])), row_seed(0, "tag", np.array([7]))
        >>> bool(two[1] == one[0])  # other rows do not matter
        True
    """
    return (mix(rows, derive(seed, purpose)) >> 32).astype("int64")


def mix(rows: np.ndarray, key: int | np.ndarray = 0) -> np.ndarray:
    """Return the finalizer of SplitMix64 (Steele, Lea and Flood 2014) of each row, after a key."""
    import numpy as np

    x = rows.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.asarray(key, dtype=np.uint64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def folds_by_patient(patient: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Return the fold [n] of each row: patients in an order drawn from (seed, patient), distributed in turn."""
    import numpy as np

    codes, position = np.unique(patient, return_inverse=True)
    order = np.argsort(row_uniform(seed, "decodability-folds", codes), kind="stable")
    fold = np.empty(len(codes), dtype=np.int64)
    fold[order] = np.arange(len(codes)) % folds
    return fold[position]
