"""Where networks compute: chosen when a study is run, recorded next to its records, and part of no spec and no hash.

Torch is imported by the functions that ask it, so that a wrong word is refused at once.
"""

from __future__ import annotations

import os
import re
from collections.abc import Generator
from contextlib import contextmanager

from assay.core.errors import SpecError

PROCESSOR = "cpu"
DEVICES = "auto, cpu, cuda or cuda:N"
WORKERS_PER_GPU = 4
"""Small networks wait for Python to launch their kernels, so a few processes share a GPU well; each holds a context of
about half a GB there."""


def is_device(text: str) -> bool:
    """Return whether a text has the form of a device, there or not."""
    return re.fullmatch(r"auto|cpu|cuda(:[0-9]{1,3})?", text) is not None


def choose_device(asked: str) -> str:
    """`cpu` or `cuda:N`. `auto` is the first GPU that torch sees, else the processor.

    Raises:
        SpecError: For a word that names no device, and for a missing GPU, with the available devices.
    """
    if not is_device(asked):
        raise SpecError(f"device '{asked}': expected {DEVICES}")
    if asked == PROCESSOR:
        return PROCESSOR
    there = _gpus()
    if asked == "auto":
        return "cuda:0" if there else PROCESSOR
    number = int(asked.partition(":")[2] or 0)
    if number >= len(there):
        import torch

        named = ", ".join([PROCESSOR, *(f"cuda:{n} ({name})" for n, name in enumerate(there))])
        seen = f"torch {torch.__version__} sees {named}"
        raise SpecError(f"device '{asked}' is not there: {seen}; choose one of these, or auto")
    return f"cuda:{number}"


def planning_device(device: str) -> str:
    """Return the device to plan on: the processor where tasks are for a GPU that is not on this machine."""
    return device if device == PROCESSOR or _gpus() else PROCESSOR


def device_name(device: str) -> str:
    """Name of a device in records: `cpu`, or `cuda:0 (NVIDIA H200)`."""
    if device == PROCESSOR:
        return device
    import torch

    return f"{device} ({torch.cuda.get_device_name(device)})"


@contextmanager
def computing_on(device: str) -> Generator[None]:
    """A GPU computes float32 in float32 and chooses the same kernels each time; for the processor nothing is changed.

    The workspace of cuBLAS is fixed for the rest of the process, since the library reads it once.
    """
    if device == PROCESSOR:
        yield
        return
    import torch

    from assay.models.checkpoint import deterministic

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    try:
        with exact, deterministic(torch.get_num_threads()):
            yield
    finally:
        torch.set_float32_matmul_precision(precision)


def _gpus() -> list[str]:
    """Return the names of the GPUs that torch can use."""
    import torch

    if not torch.cuda.is_available():
        return []
    return [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
