"""Every source passes the conformance suite."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tests.worlds.files import SIDE, blob, noise, save, small_set, write_table

from assay.plugin import ArrayCache, Dataset, DataSpec, FactorSpec, load_dataset
from assay.testing.data import DatasetConformance


class TestTable(DatasetConformance):
    """A CSV with patients, factors of each kind, missing values."""

    def make(self, folder: Path, cache: ArrayCache) -> Dataset:
        if not folder.exists():
            extra = {
                "who": ["p1", "p1", "p2", "p2", "p3", "p3", "p4", "p5"],
                "age": [40, "", 51.5, 60, 61, 62, 63, 64],
                "grade": ["low", "high", "mid", "low", "NA", "high", "mid", "low"],
                "site": ["a", "b", "a", "b", "", "c", "a", "b"],
            }
            small_set(folder, extra=extra)
        factors = {
            "age": FactorSpec(unit="years"),
            "grade": FactorSpec(kind="ordinal", levels=("low", "mid", "high")),
            "site": FactorSpec(kind="categorical"),
        }
        spec = DataSpec(folder=str(folder), target="label", patient="who", size=12, factors=factors)
        return load_dataset(spec, cache)


class TestStems(DatasetConformance):
    """Color images and masks with equal stems, two without a lesion."""

    def make(self, folder: Path, cache: ArrayCache) -> Dataset:
        if not folder.exists():
            for at in range(6):
                save(folder / "images" / f"case {at}.png", noise(at, channels=3))
                save(folder / "masks" / f"case {at}.png", blob() if at > 1 else np.zeros((SIDE, SIDE), dtype=np.uint8))
        return load_dataset(DataSpec(folder=str(folder), table="", size=8), cache)


class TestClasses(DatasetConformance):
    """One folder per class, three of them."""

    def make(self, folder: Path, cache: ArrayCache) -> Dataset:
        if not folder.exists():
            for at in range(6):
                save(folder / ("ash", "birch", "cedar")[at % 3] / f"{at}.png", noise(at))
        return load_dataset(DataSpec(classes=str(folder), size=16), cache)


class TestMedmnist(DatasetConformance):
    """A 2-D color `.npz`."""

    def make(self, folder: Path, cache: ArrayCache) -> Dataset:
        path = folder / "toymnist.npz"
        if not path.exists():
            folder.mkdir()
            rng = np.random.default_rng(0)
            arrays: dict[str, np.ndarray] = {}
            for part, n in (("train", 6), ("val", 2), ("test", 4)):
                arrays[f"{part}_images"] = rng.integers(0, 256, (n, 28, 28, 3), dtype=np.uint8)
                arrays[f"{part}_labels"] = (np.arange(n) % 2).reshape(n, 1).astype(np.uint8)
            np.savez_compressed(path, **arrays)
        return load_dataset(DataSpec(medmnist=str(path), size=28), cache)


class TestSixteenBitWithMasks(DatasetConformance):
    """A table of 16-bit and 8-bit images with masks."""

    def make(self, folder: Path, cache: ArrayCache) -> Dataset:
        if not folder.exists():
            rows: list[list[object]] = [["image", "label", "mask"]]
            for at in range(4):
                deep = noise(at).astype(np.uint16) * 257 if at else noise(at)
                save(folder / f"{at}.png", deep)
                save(folder / f"{at}-mask.png", blob())
                rows.append([f"{at}.png", at % 2, f"{at}-mask.png"])
            write_table(folder / "data.csv", rows)
        return load_dataset(DataSpec(folder=str(folder), target="label", mask="mask", size=16), cache)
