"""`assay example`: a folder of images with a CSV file and a study, to try "your own images" on."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image

from assay.core.errors import StoreError
from assay.data.cache import ArrayCache, default_cache_root
from assay.shifts.population import open_population
from assay.spec.parse import parse_study
from assay.store.files import write_text

IMAGES = 600
"""Enough for a network to learn from in seconds, and for a test of reversed rows."""
SOURCE = {
    "name": "example",
    "data": {"phantom": "nodule", "size": 64, "train": 2, "validation": 2, "test": IMAGES, "core": "margin"},
    "environments": {"train": {}, "drawn": {"association": {"texture": 0.8}}},
    "probes": ["performance"],
}
STUDY = """\
# Six hundred drawn lung nodules: malignant or not. Nobody planned it, but most malignant ones are part-solid, so a
# network may learn the texture in place of the margin. Put your own images here by changing `data`.
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


def example_command(folder: Path) -> None:
    """Write the example. A folder with content is left as it is.

    Raises:
        StoreError: The folder holds something, or cannot be written to.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StoreError(f"{folder} is not empty, and nothing was written: name a new folder")
    spec = parse_study(SOURCE)
    scene = open_population(spec.data, ArrayCache(default_cache_root())).scene(spec.points[0].tests, 0, 0)
    drawn = scene.environment("drawn")
    images, table = drawn.images.read(np.arange(len(drawn))).numpy(), drawn.table
    levels = next(factor.levels for factor in table.factors if factor.name == "texture")
    (folder / "images").mkdir(parents=True)
    rows = [
        {
            "image": f"images/{number:04d}.png",
            "malignant": "yes" if table.target[number] else "no",
            "patient": f"P{number // 2:03d}",
            "texture": levels[int(table.columns["texture"][number])],
            "size": f"{table.columns['size'][number]:.1f}",
        }
        for number in range(len(drawn))
    ]
    for row, image in zip(rows, images, strict=True):
        _save(image[0], folder / row["image"])
    copy = {**rows[0], "image": f"images/{len(rows):04d}.png", "patient": "P999"}
    _save(np.clip(images[0][0] * 0.97 + 0.01, 0, 1), folder / copy["image"])
    with (folder / "data.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(copy))
        writer.writeheader()
        writer.writerows([*rows, copy])
    write_text(folder / "study.yaml", STUDY)
    print(f"{folder}: {len(rows) + 1} images, data.csv, study.yaml. Next: assay run {folder / 'study.yaml'} --open")


def _save(image: np.ndarray, path: Path) -> None:
    Image.fromarray((image * 255).round().astype(np.uint8)).save(path)
