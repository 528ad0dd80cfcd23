"""The folders of a study, fields of the records of its trainings, and the provenance of its units."""

from __future__ import annotations

import json
import math
import platform
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from assay.core.reasons import NO_REASON, Code, Reason
from assay.core.versions import versions
from assay.execution.local import device_name
from assay.store.folder import RunFolder


@dataclass(frozen=True)
class Workspace:
    """Folders and settings of a study's jobs.

    Attributes:
        root: The run folder.
        cache: The cache that runs share.
        skip_bad_rows: Whether rows that cannot be read are left out.
        code: As reported by `own_code` when the study was planned.
    """

    root: Path
    cache: Path
    skip_bad_rows: bool = False
    code: tuple[tuple[str, str], ...] = ()

    @property
    def folder(self) -> RunFolder:
        """The run folder."""
        return RunFolder(self.root)


CURVE = "curve.parquet"
"""Name of a unit's curve."""
OF_A_SOURCE, OF_OWN_IMAGES = {"for": "source", "drawn": "apart"}, {"for": "source", "drawn": "own"}
"""Stands in the identity of a source's data, so that no source has the name of a trial that is trained alike: one whose
images are drawn apart from its trials', or one that is trained on theirs.
"""
STOPPED = "stopped"
"""In the record of a training that was stopped, since its features had collapsed, and left no network."""
WITHOUT_START = "without_start"
"""In the record of a unit that could not start: the id of the source that is of no use."""


def specific_of(record: Mapping[str, Any]) -> tuple[tuple[float, ...], ...]:
    """Return, for each division of the classes in two, the log-odds that reach each specificity; NaN where none do."""
    cuts: list[list[float | None]] = record.get("specific", [])
    return tuple(tuple(math.nan if odds is None else float(odds) for odds in cut) for cut in cuts)


def operating_of(record: Mapping[str, Any]) -> tuple[float, ...]:
    """Return the logits at which a segmentation finds each share of its validation lesions, NaN where none does."""
    return tuple(math.nan if logit is None else float(logit) for logit in record.get("operating", ()))


def no_network_reason(trial: Mapping[str, Any]) -> Reason:
    """Return why a trial left no network; nothing where it left one."""
    if WITHOUT_START in trial:
        return Reason.of(Code.USELESS_SOURCE)
    if STOPPED in trial:
        return Reason.of(Code.TRAINING_STOPPED)
    return Reason.of(Code.TRAINING_DIVERGED) if trial["status"] == "diverged" else NO_REASON


# Time, host and versions of a unit. Never part of a result, so that results are the same bytes everywhere.

PROVENANCE = "provenance.json"


def processor_name() -> str:
    """Return the name of the processor, where the system tells it, and the instructions that PyTorch uses on it."""
    import torch  # here, since tables need the rest of this module without it

    name = platform.processor()
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    return f"{name} {torch.backends.cpu.get_cpu_capability()}".strip()


def provenance(start: float, device: str) -> dict[str, Any]:
    """Return the contents of `PROVENANCE`.

    Args:
        start: When the work began, in seconds since the epoch.
    """
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(start)),
        "seconds": time.time() - start,
        "host": platform.node(),
        "machine": platform.machine(),
        "processor": processor_name(),
        "device": device_name(device),
        "python": platform.python_version(),
        "libraries": versions(),
    }


_FACTS: Mapping[str, type | tuple[type, ...]] = {
    "started": str,
    "seconds": (int, float),
    "host": str,
    "machine": str,
    "processor": str,
    "device": str,
    "python": str,
    "libraries": dict,
}


def read_provenance(unit: Path) -> dict[str, Any]:
    """Return the `PROVENANCE` of a unit; empty where it is missing or damaged, since it decides no result."""
    try:
        content = json.loads((unit / PROVENANCE).read_bytes())
    except (OSError, ValueError):
        return {}
    facts = cast("dict[str, Any]", content) if isinstance(content, dict) else {}
    is_complete = all(isinstance(facts.get(name), kind) for name, kind in _FACTS.items())
    return facts if is_complete else {}
