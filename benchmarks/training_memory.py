"""Memory of training on 50,000 images of 128 px: anonymous resident memory, read while it trains.

    python benchmarks/training_memory.py [--rows 50000] [--size 128] [--steps 60]

Images are 8-bit in a memory-mapped file, as Assay's cache keeps them. Anonymous memory leaves out file pages, which the
system takes back when it needs them. The bound is 3 GB.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from assay.core.spec import RecipeSpec
from assay.core.types import FactorTable
from assay.recipes.train import Interrupted, ProgressReport, fit
from assay.shifts.environment import Environment

BOUND = 3.0


class MappedPictures:
    """8-bit images in a memory-mapped file, read as float32 in [0, 1]."""

    def __init__(self, path: Path, rows: int, size: int) -> None:
        self.array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(rows, 1, size, size))
        rng = np.random.default_rng(0)
        for start in range(0, rows, 1000):
            self.array[start : start + 1000] = rng.integers(0, 256, (1, 1, size, size), dtype=np.uint8)
        self.array.flush()
        self.shape = (1, size, size)

    def __len__(self) -> int:
        return len(self.array)

    def read(self, index: np.ndarray) -> Tensor:
        return torch.from_numpy(self.array[index]).float() / 255


def environment(path: Path, rows: int, size: int) -> Environment:
    target = np.arange(rows) % 2
    table = FactorTable(row=np.arange(rows), target=target, patient=np.arange(rows), classes=("a", "b"))
    return Environment("mapped", table, MappedPictures(path, rows, size), None, ())


def anonymous_gigabytes() -> float:
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"RssAnon:\s+(\d+)", status)[1]) / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=60)
    options = parser.parse_args()
    peak, before = 0.0, anonymous_gigabytes()

    def look(report: ProgressReport) -> None:
        nonlocal peak
        peak = max(peak, anonymous_gigabytes())

    with tempfile.TemporaryDirectory() as name:
        folder, calls = Path(name), iter(range(1, options.steps + 1))
        training = environment(folder / "training.npy", options.rows, options.size)
        validation = environment(folder / "validation.npy", 500, options.size)
        try:
            fit(RecipeSpec(), training, validation, classes=2, seed=0, folder=folder, on_progress=look,
                should_stop=lambda: next(calls) >= options.steps)  # fmt: skip
        except Interrupted:
            peak = max(peak, anonymous_gigabytes())
    print(
        f"{options.rows} images of {options.size} px: {peak:.2f} GB anonymous at most ({before:.2f} before); "
        f"bound {BOUND} GB"
    )


if __name__ == "__main__":
    main()
