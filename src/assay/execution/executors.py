"""What runs the tasks of a study: this process, or as many workers as suit the machine."""

from __future__ import annotations

import os
from collections.abc import Callable

from assay.execution.device import PROCESSOR, WORKERS_PER_GPU
from assay.execution.local import InProcess, Workers
from assay.execution.tasks import Executor


def executor_for(workers: int | None, device: str, heard: Callable[[], None] | None = None) -> tuple[Executor, int]:
    """What runs the tasks, and how many at once: as suits the device unless told; with 0 this process alone.

    heard: is called at the first interrupt.
    """
    if workers == 0:
        return InProcess(), 1
    count = workers or default_workers(device)
    return Workers(count, heard=heard), count


def default_workers(device: str = PROCESSOR) -> int:
    """As many as this process may use cores; on a GPU not more than `WORKERS_PER_GPU`."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    return cores if device == PROCESSOR else min(cores, WORKERS_PER_GPU)
