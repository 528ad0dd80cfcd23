"""Every environment of a dose-response on 100,000 images made, as before a run: seconds, memory, disk.

    python benchmarks/planning.py [--images 100000] [--patients 30000] [--repetitions 3] [--out FILE]

The design of `source-matters`: four confounders (three interventions and one column of the table), six doses, tests
same, clean, none and reversed, three seeds. The table is synthetic, with several images of a patient; the images are
named and never decoded: who reads one gets an error. All rows of training, validation and every test are chosen and
marked, with the association achieved, and all units are named. Processor seconds; memory is the most resident memory
that the process had, less what it had when all was imported and the table stood. Disk is what planning left in the
folder in which it ran, which is the cache, too.
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _shared import Page, parser
from torch import Tensor

from assay.core.types import Factor, FactorTable
from assay.data.dataset import Card, Dataset, PixelScale
from assay.execution.plan import make_plan
from assay.shifts.file_rows import FilePopulation
from assay.spec.parse import parse_study
from assay.spec.schema import StudySpec
from assay.study.preflight import check_rows

STUDY: dict[str, Any] = {
    "name": "planning",
    "data": {"size": 256, "target": "nodule", "patient": "patient", "factors": {"sex": {"kind": "categorical"}}},
    "environments": {
        "train": {
            "dose": {
                "confounder": ["tag", "low-pass", "poisson-noise", {"sex": {"high": ["F"]}}],
                "p": [0, 0.2, 0.4, 0.6, 0.8, 1],
            }
        },
        "same": {"like": "train"},
        "clean": {"like": "train", "dose": {"p": 0}},
        "reversed": {"like": "train", "dose": {"p": 1, "on": "negative"}},
        "none": {},
    },
    "recipe": {"loss": "cross-entropy"},
    "seeds": 3,
    "probes": ["performance", "reliance"],
}


@dataclass(frozen=True)
class Undecoded:
    """Images that are there by name only."""

    count: int
    shape: tuple[int, int, int] = (1, 256, 256)

    def __len__(self) -> int:
        return self.count

    def read(self, index: np.ndarray) -> Tensor:
        raise RuntimeError(f"{len(index)} images were decoded to plan a study")


def dataset(images: int, patients: int) -> Dataset:
    """A table like a large radiograph archive's: one in nine positive, sex and age by patient, view by image."""
    rng = np.random.default_rng(0)
    patient = np.sort(rng.integers(0, patients, images))
    sex, age = rng.integers(0, 2, patients)[patient], rng.uniform(20, 90, patients).round()[patient]
    table = FactorTable(
        row=np.arange(images),
        target=(rng.random(images) < 1 / 9).astype(np.int64),
        patient=patient,
        classes=("no nodule", "nodule"),
        factors=(
            Factor("sex", "categorical", levels=("F", "M"), high=("F",)),
            Factor("age", "continuous", unit="years"),
            Factor("view", "categorical", levels=("PA", "AP"), high=("AP",)),
        ),
        columns={"sex": sex, "age": age, "view": (rng.random(images) < 0.4).astype(np.int64)},
    )
    return Dataset(table, Undecoded(images), None, Card("planning", "a table"), PixelScale(), "content")


def megabytes() -> float:
    """The most resident memory that this process had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def options() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--images", type=int, default=100_000)
    made.add_argument("--patients", type=int, default=30_000)
    made.add_argument("--repetitions", type=int, default=3)
    return made.parse_args()


def planned(spec: StudySpec, made: Dataset) -> tuple[float, float, int]:
    """Seconds to make all environments, to name all units, and how many trials there are."""
    population = FilePopulation(spec.data, lambda: made)
    start = time.process_time()
    check_rows(spec, population, {}, seconds=math.inf)
    chosen = time.process_time()
    plan = make_plan(spec, population)
    return chosen - start, time.process_time() - chosen, len({trial.id for trial in plan.trials})


def main() -> None:
    given = options()
    if given.out is not None:
        given.out = given.out.absolute()
    made = dataset(given.images, given.patients)
    page = Page(
        ("images", "trials", "environments, s", "names of units, s", "memory before, MB", "added at most, MB",
         "disk, bytes"),
        given.out, f"seconds of the processor, least of {given.repetitions} times",
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "data.csv").write_text("image,patient,nodule,sex\n", encoding="utf-8")
        spec = parse_study({**STUDY, "data": {**STUDY["data"], "folder": folder}})
        os.chdir(folder)
        os.environ["ASSAY_CACHE"] = folder
        before, found = megabytes(), [planned(spec, made) for _ in range(given.repetitions)]
        disk = sum(
            path.stat().st_size for path in Path(folder).rglob("*") if path.is_file() and path.name != "data.csv"
        )
        os.chdir("/")
    page.row(
        given.images,
        found[0][2],
        f"{min(one[0] for one in found):.2f}",
        f"{min(one[1] for one in found):.2f}",
        f"{before:.0f}",
        f"{megabytes() - before:.0f}",
        disk,
    )
    page.close("Asked: all environments in under 2 s and 500 MB; a level costs no more disk than its index.")


if __name__ == "__main__":
    main()
