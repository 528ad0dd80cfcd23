"""Train the small classifier that `assay example --audit` writes, and export it as ONNX.

    python tools/audited_model.py src/assay/studies/examples/chest-mass.onnx

In training a tag is on most phantom chests with a mass, and on few without: the planted confounder of `make demo`. A
collimation border is on half of either. It takes a minute on one core. State the hash in docs/how-to/audit-a-model.md.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import assay
from assay.cli.example import CHESTS, DIFFICULTY
from assay.core.files import sha256
from assay.study.export import ONNX_FILE

STUDY: dict[str, Any] = {
    "name": "audited",
    "data": {**CHESTS, "train": 1500, "validation": 150, "test": 200},
    "environments": {
        "train": {
            "interventions": {"tag": {}, "collimation-border": {}},
            "association": {"tag": 0.9},
            "difficulty": DIFFICULTY,
        },
        "same": {"like": "train"},
        "without": {"difficulty": DIFFICULTY},
    },
    "recipe": {
        "architecture": "small-cnn",
        "optimizer": {"adamw": {"lr": 0.01}},
        "augmentation": [{"flip": {"vertical": 0}}, "shift"],
        "epochs": 16,
        "batch_size": 32,
    },
    "first_seed": 1,
    "seeds": 1,
    "probes": ["performance"],
}


def main(path: Path) -> None:
    """Train, export, and print the AUROC with and without the tag."""
    with tempfile.TemporaryDirectory() as folder:
        run = assay.load(STUDY).run(Path(folder) / "runs", progress=False)
        (trial,) = run.table("trials")["trial"]
        shutil.copyfile(run.export(trial, Path(folder) / "net", "onnx") / ONNX_FILE, path)
        found = run.table("seeds").query("measure == 'auroc' and group == '' and factor == ''")
        print("AUROC", {row.environment: round(row.value, 3) for row in found.itertuples()})
    print(f"{path}: {path.stat().st_size:,} bytes, SHA-256 {sha256(path)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
