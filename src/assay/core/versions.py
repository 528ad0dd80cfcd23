"""Versions of Assay and of the libraries that it computes with."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version

from assay.core.errors import DISTRIBUTION

LIBRARIES = (DISTRIBUTION, "torch", "numpy", "scipy", "timm", "pytorch-metric-learning", "duckdb")
OF_STATISTICS = (DISTRIBUTION, "numpy", "scipy")
"""What compares results that are there, without any network."""
OF_IMAGES = (*OF_STATISTICS, "opencv-python-headless", "pillow")
"""What reads and measures images, without any network."""


@cache
def versions(names: tuple[str, ...] = LIBRARIES) -> Mapping[str, str]:
    """Return versions by name, looked up on disk once per process."""
    return {name: version(name) for name in names}


def time_and_versions(names: tuple[str, ...] = LIBRARIES) -> dict[str, str]:
    """Return the time as `made`, and versions by name: when and with what results were made."""
    return {"made": datetime.now(UTC).isoformat(timespec="seconds"), **versions(names)}
