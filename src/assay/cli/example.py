"""`assay example`: a folder of images with a CSV file and a study, or with a model to audit."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from assay.core.errors import StoreError
from assay.core.files import default_cache_root, whole_folder
from assay.data.cache import ArrayCache
from assay.shifts.environment import Environment
from assay.shifts.sources import open_population
from assay.spec.parse import parse_study
from assay.store.files import csv_text, write_text

IMAGES = 600
"""Enough for a network to learn from in seconds, and for a test of reversed rows."""
SOURCE = {
    "name": "example",
    "data": {"phantom": "nodule", "size": 64, "train": 2, "validation": 2, "test": IMAGES, "core": "margin"},
    "environments": {"train": {}, "drawn": {"association": {"texture": 0.8}}},
    "probes": ["performance"],
}
STUDY = """\
# Six hundred drawn lung nodules: malignant or not. Most malignant ones are part-solid or ground-glass, and most benign
# ones solid, so a network may learn the texture in place of the margin. Put your own images here by changing `data`.
name: my-images
question: Does a network trained on these images rely on texture, whatever its loss?
data: {folder: ., target: malignant, patient: patient, split: {folds: 3},
       factors: {texture: {kind: categorical, high: [part-solid, ground-glass]}, size: {unit: mm}}}
environments:
  train: {}                                   # as found
  same: {}
  neutral: {association: {texture: 0}}        # rows in which texture says nothing
  reversed: {association: {texture: -0.6}}    # rows in which it misleads
recipe: {loss: [cross-entropy, supcon], epochs: 12, batch_size: 32, optimizer: {adamw: {lr: 0.01}}}
seeds: 3
probes: [performance]
contrasts: [{axis: loss, against: cross-entropy, measure: auroc, environment: reversed}]
"""


CHESTS: Mapping[str, Any] = {"phantom": "chest", "size": 64, "target": "mass", "core": "mass"}
"""Images of the model that is to be audited."""
DIFFICULTY: Mapping[str, float] = {"mass": 1.5}
"""How clearly a mass is drawn in them."""
AUDITED = {
    "name": "audited",
    "data": {**CHESTS, "train": 2, "validation": 2, "test": 400},
    "environments": {"train": {}, "clean": {"difficulty": DIFFICULTY}},
    "probes": ["performance"],
}
MODEL = Path(__file__).parents[1] / "studies" / "examples" / "chest-mass.onnx"
"""Made by `tools/audited_model.py`."""


def example_command(folder: Path, audited: bool) -> None:
    """Write the example. A folder with content is left as it is.

    Args:
        folder: A new folder.
        audited: Write images and a model to audit, in place of images and a study.

    Raises:
        StoreError: The folder holds something, or cannot be written to.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StoreError(f"{folder} is not empty, and nothing was written: name a new folder")
    with whole_folder(folder) as partial:
        summary = (_fill_with_audit if audited else _fill_with_study)(partial, folder)
    print(summary)


def _fill_with_audit(partial: Path, folder: Path) -> str:
    environment = _draw_environment(AUDITED, "clean")
    images, table = environment.images.read(np.arange(len(environment))).numpy(), environment.table
    rows = [
        {
            "image": f"images/{number:04d}.png",
            "mass": "yes" if target else "no",
            "patient": f"P{number:03d}",
            **{name: _level(environment, name, number) for name in ("sex", "view")},
        }
        for number, target in enumerate(table.target)
    ]
    _write(partial, rows, images)
    shutil.copyfile(MODEL, partial / "model.onnx")
    return (
        f"{folder}: {len(rows)} images, data.csv, model.onnx. Next: assay audit {folder / 'model.onnx'} --images "
        f"{folder} --target mass --patient patient --columns sex,view --domain phantom-chest"
    )


def _fill_with_study(partial: Path, folder: Path) -> str:
    environment = _draw_environment(SOURCE, "drawn")
    images, table = environment.images.read(np.arange(len(environment))).numpy(), environment.table
    rows = [
        {
            "image": f"images/{number:04d}.png",
            "malignant": "yes" if table.target[number] else "no",
            "patient": f"P{number // 2:03d}",
            "texture": _level(environment, "texture", number),
            "size": f"{table.columns['size'][number]:.1f}",
        }
        for number in range(len(environment))
    ]
    copy = {**rows[0], "image": f"images/{len(rows):04d}.png", "patient": "P999"}
    _write(partial, [*rows, copy], [*images, np.clip(images[0] * 0.97 + 0.01, 0, 1)])
    write_text(partial / "study.yaml", STUDY)
    return f"{folder}: {len(rows) + 1} images, data.csv, study.yaml. Next: assay run {folder / 'study.yaml'} --open"


def _draw_environment(source: Mapping[str, Any], environment: str) -> Environment:
    spec = parse_study(source)
    scene = open_population(spec.data, ArrayCache(default_cache_root())).scene(spec.points[0].tests, 0, 0)
    return scene.environment(environment)


def _level(environment: Environment, name: str, number: int) -> str:
    return environment.table.factor(name).levels[int(environment.table.columns[name][number])]


def _write(folder: Path, rows: Sequence[Mapping[str, str]], images: Sequence[np.ndarray] | np.ndarray) -> None:
    (folder / "images").mkdir(parents=True)
    for row, image in zip(rows, images, strict=True):
        Image.fromarray((image[0] * 255).round().astype(np.uint8)).save(folder / row["image"])
    write_text(folder / "data.csv", csv_text([list(rows[0]), *(list(row.values()) for row in rows)]))
