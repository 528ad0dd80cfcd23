"""The default nodule-loss study with Assay against the usual way, in trials per hour, side by side in one run.

    python benchmarks/default_study.py [--trials 4] [--rounds 3] [--whole] [--out FILE]

The usual way (`usual_way.py`): a `Dataset` with per-sample transforms, a `DataLoader` at its best of 0 to 2 workers,
one trial after another in one process with torch's default threads. Same images, augmentation, network, loss,
optimizer, schedule, epochs, and evaluation on the same test environments. Assay: its executor with two one-thread
workers. With the probe `performance` alone it does the work that the usual way does (and refits a head and looks for
collapse besides); with all probes also `reliance` and `decodability`, of which the usual way has nothing.

Trials are taken from a grid of its losses and budgets (`GRID`) so that both are mixed as they are in all 75. Images are
rendered beforehand and counted for neither. Assay's clock runs from when both workers have imported PyTorch to the last
record, the idle end of one worker included: a study has one start whatever its number of trials. Planning, comparisons
and page are left out likewise. Rounds alternate, and a ratio is taken within each. `--whole` then runs all of `assay
run nodule-loss` from an empty cache, start, rendering, comparisons and page included, and compares it with the usual
way's rate for as many trials, its rendering not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from _ready import Ready
from _shared import Page, parser
from usual_way import Images, run_trial

import assay
from assay.execution.jobs import population_of
from assay.execution.local import Workers
from assay.execution.plan import Trial
from assay.execution.tasks import Event, Task
from assay.shifts.population import Population
from assay.spec.schema import StudySpec, TrainingSpec
from assay.study.run import Prepared, prepare

COLUMNS = (
    "way", "trials/hour, median", "least", "most", "ratio to the usual way, median", "least", "most",
    "training s a trial", "evaluation s a trial",
)  # fmt: skip
GRID = {
    "grid.only": None, "contrasts": [], "seeds": 5, "recipe.epochs": [5, 10, 20], "recipe.streams": 0,
    "environments.train.association.texture": 0.9,
}  # fmt: skip
"""Every loss with every budget, 75 trials, as in all rounds of docs/benchmarks.md; controls are left out."""
QUICK = {
    "data.size": 32, "data.train": 128, "data.validation": 64, "data.test": 64, "recipe.epochs": [1, 2, 3],
    "probes": ["performance", {"reliance": {"samples": 64}}, "decodability"],
}  # fmt: skip
"""A study too small to tell anything, which shows that the script runs."""


@dataclass(frozen=True)
class Timed:
    """Seconds of a block of trials, and per trial of training and of evaluation where they can be told apart."""

    seconds: float
    parts: tuple[float, float] = (0.0, 0.0)


def chosen(spec: StudySpec, trials: Sequence[Trial], count: int) -> list[Trial]:
    """The first trials of a walk that steps through losses and budgets at once: 15 hold every pair of them once."""
    losses, budgets = spec.axes["loss"], spec.axes["epochs"]
    by_place = {(t.point.coordinates["loss"], t.point.coordinates["epochs"], t.training.seed): t for t in trials}
    grid = len(losses) * len(budgets)
    return [
        by_place[losses[i % len(losses)], budgets[i % len(budgets)], spec.first_seed + i // grid] for i in range(count)
    ]


def read_images(population: Population, trials: Sequence[Trial]) -> dict[int, tuple[Images, Images]]:
    """Seed -> training and validation images."""
    first = {trial.training.seed: trial.training for trial in trials}
    return {
        seed: tuple(Images.of(part) for part in population.training(training.environment, seed))
        for seed, training in first.items()
    }


class Usual:
    """The usual way on these trials."""

    def __init__(self, population: Population, trials: Sequence[Trial]) -> None:
        self.trials = [trial.training for trial in trials]
        self.images = read_images(population, trials)
        scene = population.scene(trials[0].point.tests, 0)
        self.tests = {name: Images.of(scene.environment(name)) for name in scene.names}
        self.found: dict[str, Mapping[str, float]] = {}

    def run(self, workers: int, trials: Sequence[TrainingSpec]) -> Timed:
        start = time.perf_counter()
        for trial in trials:
            self.found[trial.id] = run_trial(trial, *self.images[trial.seed], self.tests, workers)
        return Timed(time.perf_counter() - start)

    def best_workers(self, epochs: int) -> tuple[int, str]:
        """The fastest number of loader workers on a short trial, and what each number took."""
        short = [
            self.trials[0].model_copy(update={"recipe": self.trials[0].recipe.model_copy(update={"epochs": epochs})})
        ]
        self.run(0, short)  # warms up
        took = {workers: self.run(workers, short).seconds for workers in (0, 1, 2)}
        said = ", ".join(f"{workers} workers {seconds:.1f} s" for workers, seconds in took.items())
        return min(took, key=lambda workers: took[workers]), said


def with_assay(prepared: Prepared, trials: Sequence[Trial], workers: int) -> Timed:
    """These trials and their probes by Assay's executor, from when its workers stand ready to the last record."""
    ids = {trial.id for trial in trials} | {f"probe-{trial.id}" for trial in trials}
    work = [task for task in prepared.tasks if task.id in ids]
    seconds = {"ready": 0.0, "train": 0.0, "probe": 0.0}
    begun = ended = 0.0

    def observe(event: Event) -> None:
        nonlocal begun, ended
        if event.status == "failed":
            raise SystemExit(event.text)
        if event.status == "done":
            kind = event.task.id.partition("-")[0]
            seconds[kind if kind in seconds else "train"] += event.seconds
            ended = time.perf_counter()
            begun = ended if kind == "ready" else begun

    with tempfile.TemporaryDirectory() as meeting:
        first = [Task(f"ready-{i}", Ready(Path(meeting), workers), "", cost=float("inf")) for i in range(workers)]
        Workers(workers).run([*first, *work], observe)
    return Timed(ended - begun, (seconds["train"] / len(trials), seconds["probe"] / len(trials)))


def performance_alone(study: assay.Study) -> assay.Study:
    return study.set("probes", ["performance"])


def rendered(study: assay.Study, trials: Sequence[Trial], folder: Path) -> Population:
    """The study's population with every image that any way will read in the cache: one probed trial asks for all."""
    prepared = prepare(study.set("recipe.epochs", 1).set("contrasts", []).spec, folder)
    population = population_of(study.spec.data, prepared.place)
    read_images(population, trials)
    with_assay(prepared, prepared.plan.trials[:1], 1)
    return population


def summary(page: Page, name: str, blocks: Sequence[Timed], usual: Sequence[Timed], trials: int) -> None:
    rates = [3600 * trials / block.seconds for block in blocks]
    ratios = [peer.seconds / block.seconds for peer, block in zip(usual, blocks, strict=True)]
    parts = [statistics.median(seconds) for seconds in zip(*(block.parts for block in blocks), strict=True)]
    page.row(
        name, *(f"{of(rates):.0f}" for of in (statistics.median, min, max)),
        *(f"{of(ratios):.2f}" for of in (statistics.median, min, max)),
        *(f"{seconds:.1f}" if seconds else "" for seconds in parts),
    )  # fmt: skip


def whole(page: Page, study: assay.Study, rate: float, workers: int) -> None:
    """The whole command from an empty cache, against the usual way's median rate for as many trials."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "assay", "run", "nodule-loss", "--out", folder, "--workers", str(workers)]
        changes = [part for place, value in study.changes for part in ("--set", f"{place}={json.dumps(value)}")]
        start = time.perf_counter()
        subprocess.run([*command, *changes], check=True, env={**os.environ, "ASSAY_CACHE": f"{folder}/cache"})
        seconds = time.perf_counter() - start
    count = len(study.spec.points) * study.spec.seeds
    usual = 3600 * count / rate
    page.say("")
    page.say(
        f"The whole study, {count} trials with all probes, from an empty cache to its page: {seconds / 60:.1f} min. "
        f"The usual way's rate gives {usual / 60:.1f} min for training and evaluation: ratio {usual / seconds:.2f}."
    )


def options() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--trials", type=int, default=4, help="of the 75, by each way in each round")
    made.add_argument("--rounds", type=int, default=3)
    made.add_argument("--workers", type=int, default=2, help="of Assay")
    made.add_argument("--whole", action="store_true", help="run the whole study too: some ten minutes more")
    made.add_argument("--quick", action="store_true", help="a study too small to tell anything, to try the script")
    return made.parse_args()


def main() -> None:
    given = options()
    study = assay.load("nodule-loss")
    for place, value in (GRID | (QUICK if given.quick else {})).items():
        study = study.set(place, value)
    ways = {"Assay, performance": performance_alone(study), "Assay, all probes": study}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["ASSAY_CACHE"] = str(folder / "cache")
        trials = chosen(study.spec, prepare(study.spec, folder / "plan").plan.trials, given.trials)
        usual = Usual(rendered(study, trials, folder / "warm"), trials)
        best, took = usual.best_workers(epochs=2)
        said = ", ".join(f"{t.training.recipe.loss.name} {t.training.recipe.epochs} epochs" for t in trials)
        page = Page(
            COLUMNS, given.out, f"{len(trials)} trials ({said}), {given.rounds} alternating rounds.",
            f"The usual way: {torch.get_num_threads()} threads; a trial of 2 epochs took with {took}; {best} are used.",
        )  # fmt: skip
        blocks: dict[str, list[Timed]] = {"usual way": [], **{way: [] for way in ways}}
        for number in range(given.rounds):
            blocks["usual way"].append(usual.run(best, usual.trials))
            for way, its in ways.items():
                prepared = prepare(its.spec, folder / f"{way}-{number}")
                blocks[way].append(with_assay(prepared, trials, given.workers))
        for way, times in blocks.items():
            summary(page, way, times, blocks["usual way"], len(trials))
        if given.whole:
            rate = 3600 * len(trials) / statistics.median(block.seconds for block in blocks["usual way"])
            whole(page, study, rate, given.workers)
        page.close("Seconds a trial are a worker's; asked for is a ratio of 3, aimed at is 5.")


if __name__ == "__main__":
    main()
