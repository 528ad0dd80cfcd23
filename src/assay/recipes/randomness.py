"""Draws that libraries make from global state, seeded and undone: what a fit leaves behind is what it found."""

from __future__ import annotations

import random
import warnings
from collections.abc import Generator
from contextlib import contextmanager

import numpy as np
import torch

from assay.core.seeds import derive
from assay.recipes.untyped import fill_fresh_memory, fills_fresh_memory, fork_generators, seed_torch


@contextmanager
def library_draws(seed: int, *purpose: str | int) -> Generator[None]:
    """Seed the global generators of torch, NumPy and Python for this block, and restore them after it."""
    numpy_state = np.random.get_state()  # noqa: NPY002 - libraries draw from it
    python_state = random.getstate()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with fork_generators(devices):
        reseed(seed, *purpose)
        try:
            yield
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002
            random.setstate(python_state)


def reseed(seed: int, *purpose: str | int) -> None:
    """Set the global generators. Only within `library_draws`, which undoes it."""
    value = derive(seed, *purpose)
    seed_torch(value)
    np.random.seed(value % 2**32)  # noqa: NPY002 - libraries draw from it
    random.seed(value)


@contextmanager
def deterministic(threads: int) -> Generator[None]:
    """A fixed number of threads and deterministic kernels for this block, where the library has them.

    Sums on a CPU depend on the number of threads. Filling fresh memory, which torch adds to its deterministic mode, is
    left off: it guards against reading what was never written and costs a pass over every activation.
    """
    before = (
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        fills_fresh_memory(),
    )
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    fill_fresh_memory(False)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not have a deterministic implementation.*")
            yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1], warn_only=before[2])
        fill_fresh_memory(before[3])
