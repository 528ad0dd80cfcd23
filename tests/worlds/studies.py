"""Small studies: one that learns something, one that runs in seconds, one with a start of its own."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import assay
from assay.execution.local import InProcess
from assay.execution.run import observe_nothing
from assay.execution.tasks import Context
from assay.spec.parse import parse_study
from assay.study.finished import Result
from assay.study.run import prepare, run_study

# A study small enough to be run many times, and large enough that its models learn something.

SMALL: dict[str, Any] = {
    "name": "small",
    "question": "Does the small study run?",
    "data": {"phantom": "nodule", "size": 32, "train": 128, "validation": 48, "test": 64, "core": "margin"},
    "environments": {
        "train": {"association": {"texture": 0.9}},
        "same": {"like": "train"},
        "reversed": {"association": {"texture": -0.9}},
    },
    "recipe": {"loss": ["cross-entropy", "supcon"], "epochs": 2, "batch_size": 8},
    "seeds": 3,
    "probes": ["performance"],
    "contrasts": [{"axis": "loss", "against": "cross-entropy", "measure": "auroc", "environment": "reversed"}],
}
TIMED = {"trials.parquet", "provenance.parquet"}  # tables that hold seconds and dates


def run_small(root: Path, watch: Any, **changes: Any) -> Result:
    """The small study with changes, run in this process under a watch."""
    return run_study(prepare(parse_study({**SMALL, **changes}), root), watch, InProcess())


def write_spec(folder: Path, **changes: Any) -> Path:
    """The small study as a file; JSON is YAML."""
    path = folder / "small.yaml"
    path.write_text(json.dumps({**SMALL, **changes}))
    return path


def records(root: Path) -> dict[str, str]:
    """The hash of every file that must be reproducible, by its path in the run folder."""
    files = [path for kind in ("trials", "readings", "probes", "tables") for path in (root / kind).rglob("*")]
    kept = [path for path in files if path.is_file() and path.name != "provenance.json" and path.name not in TIMED]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(kept)}


# The small study with a start of its own: what it pretrains on, and running it.

LARGE: dict[str, Any] = {
    "data": {"phantom": "nodule", "size": 32, "train": 64, "validation": 32, "target": "large", "core": "size"},
    "recipe": {"epochs": 6, "batch_size": 8, "optimizer": {"adamw": {"lr": 0.01}}},
}
"""Easy enough to be learned from 64 images."""
STUDY: dict[str, Any] = {
    **SMALL,
    "sources": {"large": LARGE},
    "recipe": {"initialization": ["random", "large"], "epochs": 1, "batch_size": 16},
    "seeds": 1,
    "contrasts": [],
}
BRIGHT: dict[str, Any] = {**LARGE, "data": {**LARGE["data"], "target": "bright", "core": "contrast"}}
FURTHER = {**BRIGHT, "recipe": {**BRIGHT["recipe"], "initialization": "large"}}
HOPELESS: dict[str, Any] = {"optimizer": {"adamw": {"lr": 1e-9}}, "epochs": 1}
"""Too little to learn anything from."""
TRAIN: dict[str, Any] = SMALL["environments"]["train"]
WORKING = Context(report=lambda share, word: None, should_stop=lambda: False)


def study(**changes: Any) -> dict[str, Any]:
    return {**STUDY, **changes}


def source(**changes: Any) -> dict[str, Any]:
    return {"large": {**LARGE, "recipe": {**LARGE["recipe"], **changes}}}


def prepared(root: Path, **changes: Any) -> Any:
    return prepare(parse_study(study(**changes)), root)


def run(root: Path, **changes: Any) -> Path:
    return assay.load(study(**changes)).run(root, workers=0, progress=False).folder


# The smallest study that can be run: seconds, its models learn nothing.

TINY: dict[str, Any] = {
    "name": "tiny",
    "data": {"phantom": "nodule", "size": 32, "train": 96, "validation": 32, "test": 32, "core": "margin"},
    "environments": {"train": {"association": {"texture": 0.5}}, "same": {"like": "train"}},
    "recipe": {"epochs": 2, "batch_size": 8},
    "seeds": 1,
    "probes": ["performance"],
}


def plan_tiny(root: Path, **changes: Any) -> Any:
    """The tiny study with changes, prepared for this run folder."""
    return prepare(parse_study({**TINY, **changes}), root)


def run_tiny(root: Path, **changes: Any) -> Result:
    """The tiny study with changes, run in this process."""
    return run_study(plan_tiny(root, **changes), observe_nothing, InProcess())
