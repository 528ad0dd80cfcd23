"""Draws that libraries make from global state, seeded and undone: what a fit leaves behind is what it found."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from assay.core.seeds import derive


@contextmanager
def library_draws(seed: int, *purpose: str | int) -> Iterator[None]:
    """Seed the global generators of torch, NumPy and Python for this block, and restore them after it."""
    numpy_state = np.random.get_state()  # noqa: NPY002 - libraries draw from it
    python_state = random.getstate()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices=devices):
        reseed(seed, *purpose)
        try:
            yield
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002
            random.setstate(python_state)


def reseed(seed: int, *purpose: str | int) -> None:
    """Set the global generators. Only within `library_draws`, which undoes it."""
    value = derive(seed, *purpose)
    torch.manual_seed(value)
    np.random.seed(value % 2**32)  # noqa: NPY002 - libraries draw from it
    random.seed(value)


@contextmanager
def deterministic(threads: int) -> Iterator[None]:
    """A fixed number of threads and deterministic kernels for this block, where the library has them.

    Sums on a CPU depend on the number of threads. Filling fresh memory, which torch adds to its deterministic mode, is
    left off: it guards against reading what was never written and costs a pass over every activation.
    """
    before = (
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,
    )
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not have a deterministic implementation.*")
            yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1], warn_only=before[2])
        torch.utils.deterministic.fill_uninitialized_memory = before[3]
