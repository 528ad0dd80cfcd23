"""The small study with a start of its own: what it pretrains on, and running it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.study.small import SMALL

import assay
from assay.execution.tasks import Context
from assay.spec.parse import parse_study
from assay.study.run import Prepared, prepare

LARGE: dict[str, Any] = {
    "data": {"phantom": "nodule", "size": 32, "train": 64, "validation": 32, "target": "large", "core": "size"},
    "recipe": {"epochs": 6, "batch_size": 8, "optimiser": {"adamw": {"lr": 0.01}}},
}
"""Easy enough to be learned from 64 images."""
STUDY: dict[str, Any] = {
    **SMALL,
    "sources": {"large": LARGE},
    "recipe": {"initialisation": ["random", "large"], "epochs": 1, "batch_size": 16},
    "seeds": 1,
    "contrasts": [],
}
BRIGHT: dict[str, Any] = {**LARGE, "data": {**LARGE["data"], "target": "bright", "core": "contrast"}}
FURTHER = {**BRIGHT, "recipe": {**BRIGHT["recipe"], "initialisation": "large"}}
HOPELESS: dict[str, Any] = {"optimiser": {"adamw": {"lr": 1e-9}}, "epochs": 1}
"""Too little to learn anything from."""
TRAIN: dict[str, Any] = SMALL["environments"]["train"]
WORKING = Context(report=lambda share, word: None, should_stop=lambda: False)


def study(**changes: Any) -> dict[str, Any]:
    return {**STUDY, **changes}


def source(**changes: Any) -> dict[str, Any]:
    return {"large": {**LARGE, "recipe": {**LARGE["recipe"], **changes}}}


def prepared(root: Path, **changes: Any) -> Prepared:
    return prepare(parse_study(study(**changes)), root)


def run(root: Path, **changes: Any) -> Path:
    return assay.load(study(**changes)).run(root, workers=0, progress=False).folder
