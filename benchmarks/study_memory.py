"""Memory of training on 50,000 images of 128 px: the most anonymous resident memory of the process, against 3 GB.

    python benchmarks/study_memory.py [--rows 50000] [--size 128] [--epochs 1] [--out FILE]

Images are 8-bit random bytes in Assay's own cache, a memory-mapped file, and are read as a study reads them. A whole
training runs: all its epochs, then what follows the last step, which reads every training image once more. A thread
looks at the memory every 20 ms. Anonymous memory leaves out pages of the mapped file, which the system takes back when
it needs them.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from _shared import Page, Peak, gigabytes, parser

from assay.core.types import FactorTable
from assay.data.cache import ArrayCache, ArrayImages
from assay.shifts.environment import Environment
from assay.spec.recipe import RecipeSpec
from assay.training.loop import ProgressReport, fit

BOUND = 3.0
CHUNK = 2000


def random_bytes(out: np.ndarray) -> None:
    """Every image its own noise."""
    rng = np.random.default_rng(0)
    for start in range(0, len(out), CHUNK):
        part = out[start : start + CHUNK]
        part[...] = np.frombuffer(rng.bytes(part.size), dtype=np.uint8).reshape(part.shape)


def environment(cache: ArrayCache, name: str, rows: int, size: int) -> Environment:
    images = ArrayImages(cache.get(name, (rows, 1, size, size), np.uint8, random_bytes))
    numbers = np.arange(rows)
    table = FactorTable(row=numbers, target=numbers % 2, patient=numbers, classes=("a", "b"))
    return Environment(name, table, images, None, ())


def options() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--rows", type=int, default=50_000)
    made.add_argument("--size", type=int, default=128)
    made.add_argument("--epochs", type=int, default=1)
    return made.parse_args()


def main() -> None:
    given = options()
    page = Page(
        ("images", "px", "array, GB", "before, GB", "training, GB at most", "with what follows, GB at most",
         "within 3 GB", "seconds"),
        given.out,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        cache = ArrayCache(Path(name))
        training = environment(cache, "training", given.rows, given.size)
        validation = environment(cache, "validation", max(2, given.rows // 10), given.size)
        before, peak, steps = gigabytes("RssAnon"), Peak(), [0.0]

        def look(report: ProgressReport) -> None:
            steps[0] = peak.most

        start = time.perf_counter()
        with peak.watching():
            fit(
                RecipeSpec(epochs=given.epochs),
                training,
                validation,
                classes=2,
                seed=0,
                folder=Path(name) / "trial",
                on_progress=look,
            )
        seconds = time.perf_counter() - start
        page.row(
            given.rows,
            given.size,
            f"{given.rows * given.size**2 / 2**30:.2f}",
            f"{before:.2f}",
            f"{steps[0]:.2f}",
            f"{peak.most:.2f}",
            "yes" if peak.most <= BOUND else "no",
            f"{seconds:.0f}",
        )
    page.close("Anonymous resident memory (RssAnon); what follows is the linear head on all training images.")


if __name__ == "__main__":
    main()
