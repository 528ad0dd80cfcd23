"""Small image sets that the tests write."""

from __future__ import annotations

import csv
import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from assay.plugin import ArrayCache, Dataset, DataSpec, load_dataset

SIDE = 16


def noise(seed: int, side: int = SIDE, channels: int = 1) -> np.ndarray:
    """A random uint8 image [side, side] or [side, side, 3] of its own for every seed."""
    shape = (side, side) if channels == 1 else (side, side, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def save(path: Path, pixels: np.ndarray, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def blob(side: int = SIDE, width: int = 6) -> np.ndarray:
    """A mask, 0 and 255, with a square lesion."""
    mask = np.zeros((side, side), dtype=np.uint8)
    mask[2 : 2 + width, 3 : 3 + width] = 255
    return mask


def write_table(path: Path, rows: Sequence[Sequence[object]], separator: str = ",", encoding: str = "utf-8") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "\n".join(separator.join(str(cell) for cell in row) for row in rows) + "\n"
    path.write_bytes(text.encode(encoding))


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write a CSV with the keys of the first row as its header."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([list(rows[0]), *(list(row.values()) for row in rows)])
    return path


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def small_set(folder: Path, n: int = 8, *, extra: Mapping[str, Sequence[object]] | None = None) -> Path:
    """`n` noise images with alternating labels and a CSV `image,label[,extra...]`; row i of the file is image i - 2."""
    names = list((extra or {}).keys())
    rows: list[list[object]] = [["image", "label", *names]]
    for at in range(n):
        save(folder / f"{at}.png", noise(at))
        rows.append([f"{at}.png", at % 2, *((extra or {})[name][at] for name in names)])
    write_table(folder / "data.csv", rows)
    return folder


def spec_of(folder: Path, /, **fields: Any) -> DataSpec:
    return DataSpec(**{"folder": str(folder), "target": "label", "size": 16, **fields})


def load(folder: Path, /, *, skip_bad_rows: bool = False, **fields: Any) -> Dataset:
    """Load a folder with a cache of its own beside it."""
    cache = ArrayCache(folder.parent / f"{folder.name}-cache")
    return load_dataset(spec_of(folder, **fields), cache, skip_bad_rows=skip_bad_rows)


def labels(dataset: Dataset) -> np.ndarray:
    """Masks [n, h, w] of all rows."""
    assert dataset.masks is not None
    return dataset.masks.read(np.arange(len(dataset.table)))[:, 0].numpy()


def age(folder: Path, seconds: float = 60) -> None:
    """Make all files look as if they had been written a while ago."""
    then = time.time() - seconds
    for path in folder.rglob("*"):
        os.utime(path, (then, then))
