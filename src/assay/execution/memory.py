"""Keeping freed memory: a training step frees its activations and asks for them again.

glibc would give each large block back to the system and have it zeroed anew, a fifth of the time of a step.
"""

from __future__ import annotations

import ctypes
from collections.abc import Generator
from contextlib import contextmanager

KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**32)}
"""Variables with which a new process keeps what it has freed."""
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # glibc's names for the same in a process that has begun


@contextmanager
def keeping_memory() -> Generator[None]:
    """This process keeps what it has freed, as workers do, where its C library can be told so; afterwards it keeps no
    more than glibc grows to by itself.
    """
    tell = getattr(ctypes.CDLL(None), "mallopt", None)
    if tell is None:
        yield
        return
    tell(_MMAP_THRESHOLD, 2**30)
    tell(_TRIM_THRESHOLD, 2**31 - 1)
    try:
        yield
    finally:
        tell(_MMAP_THRESHOLD, 2**25)
        tell(_TRIM_THRESHOLD, 2**26)
