"""Pixels of a map from the greatest logit down, by a radix sort over the bits of float32."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, UInt32

from assay.core.compiled import compiled

DIGIT, PASSES = 11, 3
BUCKETS = 1 << DIGIT
GREATEST = 0x7FFFFFFF


@compiled
def rising(bits: int) -> int:
    """An integer from -2^31 to 2^31 - 1 that rises with a float32, from its bits as a signed integer; and back."""
    return bits if bits >= 0 else bits ^ GREATEST


@compiled
def descending(
    bits: Int[np.ndarray, "h w"], logits: Float[np.ndarray, "h w"], least: float, count: int
) -> tuple[Float[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """The `count` logits that are at least `least`, greatest first, and where each lies.

    A place is the index into the image with one pixel of margin on every side, [h + 2, w + 2], laid flat. Equal logits
    stand in the order of their places; 0.0 stands before -0.0.
    """
    keys, places = np.empty((2, count), np.uint32), np.empty((2, count), np.int32)
    n = 0
    for row in range(logits.shape[0]):
        for column in range(logits.shape[1]):
            if logits[row, column] >= least:
                keys[0, n] = GREATEST - rising(bits[row, column])
                places[0, n] = (row + 1) * (logits.shape[1] + 2) + column + 1
                n += 1
    for digit in range(PASSES):
        source, target = digit % 2, (digit + 1) % 2
        _by_digit(keys[source], places[source], keys[target], places[target], DIGIT * digit)
    last = PASSES % 2
    sorted_bits = np.empty(count, np.int32)
    for k in range(count):
        sorted_bits[k] = rising(GREATEST - int(keys[last, k]))
    return sorted_bits.view(np.float32), places[last]


@compiled
def _by_digit(
    keys: UInt32[np.ndarray, " n"],
    places: Int[np.ndarray, " n"],
    sorted_keys: UInt32[np.ndarray, " n"],
    sorted_places: Int[np.ndarray, " n"],
    shift: int,
) -> None:
    """Order by one digit, keeping the order of equal ones."""
    next_of = np.zeros(BUCKETS + 1, np.int32)
    for k in range(len(keys)):
        next_of[((keys[k] >> shift) & (BUCKETS - 1)) + 1] += 1
    for bucket in range(BUCKETS):
        next_of[bucket + 1] += next_of[bucket]
    for k in range(len(keys)):
        bucket = (keys[k] >> shift) & (BUCKETS - 1)
        sorted_keys[next_of[bucket]] = keys[k]
        sorted_places[next_of[bucket]] = places[k]
        next_of[bucket] += 1
