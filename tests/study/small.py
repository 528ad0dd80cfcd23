"""A study small enough to be run many times, and large enough that its models learn something."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

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
