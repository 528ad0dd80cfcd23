"""When, where and by what a unit was made. Never part of a result, so that results are the same bytes everywhere."""

from __future__ import annotations

import platform
import time
from importlib.metadata import version
from typing import Any

import torch

from assay.execution.device import device_name

PROVENANCE = "provenance.json"
LIBRARIES = ("assay", "torch", "numpy", "scipy", "timm", "pytorch-metric-learning", "duckdb")


def provenance(start: float, device: str) -> dict[str, Any]:
    """The contents of `PROVENANCE`. start: when the work began, in seconds since the epoch."""
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(start)),
        "seconds": time.time() - start,
        "machine": platform.machine(),
        "processor": torch.backends.cpu.get_cpu_capability(),
        "device": device_name(device),
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in LIBRARIES},
    }
