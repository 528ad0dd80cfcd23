"""The hash behind `counter.lattice_bits`, compiled for a processor."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt32

from assay.core.compiled import compiled


@compiled
def hash_lattice(
    keys: UInt32[np.ndarray, "n"], codes: UInt32[np.ndarray, "count"], out: UInt32[np.ndarray, "n count"]
) -> None:
    """Write Wellons' `lowbias32` finaliser of every key with every code."""
    half, other = np.uint32(16), np.uint32(15)
    first, second = np.uint32(0x7FEB352D), np.uint32(0x846CA68B)
    for row in range(len(keys)):
        bits, key = out[row], keys[row]
        for i in range(len(codes)):
            x = np.uint32(key ^ codes[i])
            x = np.uint32(np.uint32(x ^ np.uint32(x >> half)) * first)
            x = np.uint32(np.uint32(x ^ np.uint32(x >> other)) * second)
            bits[i] = np.uint32(x ^ np.uint32(x >> half))
