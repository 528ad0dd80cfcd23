"""The smallest study that can be run: seconds, its models learn nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from assay.execution.local import InProcess
from assay.spec.parse import parse_study
from assay.study.run import Prepared, Result, prepare, quietly, run_study

TINY: dict[str, Any] = {
    "name": "tiny",
    "data": {"phantom": "nodule", "size": 32, "train": 96, "validation": 32, "test": 32, "core": "margin"},
    "environments": {"train": {"association": {"texture": 0.5}}, "same": {"like": "train"}},
    "recipe": {"epochs": 2, "batch_size": 8},
    "seeds": 1,
    "probes": ["performance"],
}


def plan_tiny(root: Path, **changes: Any) -> Prepared:
    """The tiny study with changes, prepared for this run folder."""
    return prepare(parse_study({**TINY, **changes}), root)


def run_tiny(root: Path, **changes: Any) -> Result:
    """The tiny study with changes, run in this process."""
    return run_study(plan_tiny(root, **changes), quietly, InProcess())
