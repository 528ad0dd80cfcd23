"""The default nodule-loss study with Assay beside three other ways to train its trials, in processor time.

    python benchmarks/default_study.py [--trials 4] [--epochs 5 10 20] [--rounds 3] [--processes 1 2] [--out FILE]

The other ways are in `training_peers.py`: the usual `Dataset` and `DataLoader`, a bare loop over tensors in memory, and
Lightning with augmentation of whole batches (pip install lightning). Same images, augmentation, network, loss,
optimizer, schedule, epochs, validation loss of each epoch, and evaluation on the same test environments. With the probe
`performance` alone Assay does that work; it also refits a head, looks for collapse and writes records. With all probes
it computes also `reliance` and `decodability`.

Every process has one thread and keeps freed memory as Assay's workers do. A block of trials is shared by one process,
or by two at the same time. Each first trains one epoch, not counted; images are rendered beforehand. Counted is the
processor time of all processes of a block: on idle cores two processes finish a block in half of the time of one. All
ways take turns in each round, and a ratio is of one round: the usual script with as many processes over the way. Above
1, the way is faster.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from _shared import Page, parser
from training_peers import WAYS, Images

import assay
from assay.execution.jobs import population_of
from assay.execution.local import KEEP_MEMORY, THREAD_VARIABLES, InProcess
from assay.execution.plan import Trial
from assay.execution.tasks import Event, Outcome
from assay.spec.schema import StudySpec
from assay.study.run import prepare

COLUMNS = (
    "way", "processes", "processor s a trial, median", "least", "most", "ratio, geometric mean", "least", "most",
)  # fmt: skip
ASSAY = {"Assay, performance": ["performance"], "Assay, all probes": None}
GRID = {
    "grid.only": None, "contrasts": [], "published": [], "seeds": 5, "recipe.streams": 0,
    "environments.train.association.texture": 0.9,
}  # fmt: skip
"""Every loss with every budget; controls are left out."""
QUICK = {
    "data.size": 32, "data.train": 128, "data.validation": 64, "data.test": 64,
    "probes": ["performance", {"reliance": {"samples": 64}}, "decodability"],
}  # fmt: skip
"""A study too small to show anything, to try the script."""


def chosen(spec: StudySpec, trials: Sequence[Trial], count: int) -> list[Trial]:
    """The first trials of a walk that steps through losses and budgets at once: 15 hold every pair of them once."""
    losses, budgets = spec.axes["loss"], spec.axes.get("epochs", (spec.points[0].recipe.epochs,))
    by_place = {(t.point.coordinates["loss"], t.training.recipe.epochs, t.training.seed): t for t in trials}
    grid = len(losses) * len(budgets)
    return [
        by_place[losses[i % len(losses)], int(budgets[i % len(budgets)]), spec.first_seed + i // grid]
        for i in range(count)
    ]


@dataclass(frozen=True)
class Block:
    """The trials of one way, by place among the chosen ones, that one process trains and evaluates."""

    way: str
    quick: bool
    epochs: tuple[int, ...]
    trials: int
    places: tuple[int, ...]

    def study(self, epochs: Sequence[int]) -> assay.Study:
        study = assay.load("nodule-loss")
        for place, value in (GRID | (QUICK if self.quick else {}) | {"recipe.epochs": list(epochs)}).items():
            study = study.set(place, value)
        return study if ASSAY.get(self.way) is None else study.set("probes", ASSAY[self.way])


def ready(block: Block, epochs: Sequence[int], places: Sequence[int], folder: Path) -> Callable[[], None]:
    """Plan the study, open its images, and return the work on some of the trials."""
    spec = block.study(epochs).spec
    prepared = prepare(spec, folder)
    trials = chosen(spec, prepared.plan.trials, block.trials)
    population = population_of(spec.data, prepared.place)
    seeds = {trials[at].training.seed: trials[at] for at in places}
    if block.way in ASSAY:
        for trial in seeds.values():
            population.training(trial.training.environment, trial.training.seed)
        ids = {id for at in places for id in (trials[at].id, f"probe-{trials[at].id}")}
        tasks = [task for task in prepared.tasks if task.id in ids]
        return lambda: _done(InProcess().run(tasks, _fails))
    images = {
        seed: tuple(Images.of(part) for part in population.training(trial.training.environment, seed))
        for seed, trial in seeds.items()
    }
    scene = population.scene(trials[0].point.tests, 0)
    tests = {name: Images.of(scene.environment(name)) for name in scene.names}
    way = WAYS[block.way]
    assert way is not None

    def work() -> None:
        for at in places:
            way(trials[at].training, *images[trials[at].training.seed], tests)

    return work


def _fails(event: Event) -> None:
    if event.status == "failed":
        raise SystemExit(event.text)


def _done(outcome: Outcome) -> None:
    assert not outcome.failed


def serve(pipe: Connection) -> None:
    """Take blocks until the pipe closes; prepare each, wait for the other processes, and send the seconds it took."""
    torch.set_num_threads(1)
    warm = set[str]()
    while (block := pipe.recv()) is not None:
        with tempfile.TemporaryDirectory() as folder:
            if block.way not in warm:
                ready(block, [1], block.places[:1], Path(folder) / "warm")()
                warm.add(block.way)
            trained = ready(block, block.epochs, block.places, Path(folder) / "block")
            pipe.send("ready")
            pipe.recv()
            begun = time.process_time()
            trained()
            pipe.send(time.process_time() - begun)


def seconds(way: str, given: argparse.Namespace, pipes: Sequence[Connection]) -> float:
    """Processor seconds a trial of a way, its trials shared by the processes behind these pipes."""
    for number, pipe in enumerate(pipes):
        places = tuple(range(given.trials)[number :: len(pipes)])
        pipe.send(Block(way, given.quick, tuple(given.epochs), given.trials, places))
    for pipe in pipes:
        pipe.recv()
    for pipe in pipes:
        pipe.send("start")
    return sum(pipe.recv() for pipe in pipes) / given.trials


def started(count: int) -> list[Connection]:
    """Start processes of one thread; the pipes to them."""
    context, pipes = multiprocessing.get_context("spawn"), []
    for _ in range(count):
        ours, theirs = context.Pipe()
        context.Process(target=serve, args=(theirs,), daemon=True).start()
        theirs.close()
        pipes.append(ours)
    return pipes


def options() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--trials", type=int, default=4, help="by each way in each round")
    made.add_argument("--epochs", type=int, nargs="+", default=[5, 10, 20])
    made.add_argument("--rounds", type=int, default=3)
    made.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    made.add_argument("--ways", nargs="+", choices=(*WAYS, *ASSAY), default=[*WAYS, *ASSAY])
    made.add_argument("--quick", action="store_true", help="a study too small to show anything, to try the script")
    return made.parse_args()


def main() -> None:
    given = options()
    os.environ.update({**dict.fromkeys(THREAD_VARIABLES, "1"), **KEEP_MEMORY})
    installed = [way for way in given.ways if way in ASSAY or WAYS[way] is not None]
    kept = {(way, processes): list[float]() for processes in given.processes for way in installed}
    with tempfile.TemporaryDirectory() as cache:
        os.environ["ASSAY_CACHE"] = cache
        pipes = started(max(given.processes))
        once = argparse.Namespace(**{**vars(given), "epochs": [1], "trials": 1})
        seconds("Assay, all probes", once, pipes[:1])  # renders the images
        page = Page(
            COLUMNS, given.out, f"{given.trials} trials of {given.epochs} epochs in turn, {given.rounds} rounds."
        )
        for _ in range(given.rounds):
            for (way, processes), times in kept.items():
                times.append(seconds(way, given, pipes[:processes]))
        for pipe in pipes:
            pipe.send(None)
    for (way, processes), times in kept.items():
        ratios = [peer / its for peer, its in zip(kept[installed[0], processes], times, strict=True)]
        page.row(
            way,
            processes,
            *(f"{of(times):.2f}" for of in (statistics.median, min, max)),
            *(f"{of(ratios):.2f}" for of in (statistics.geometric_mean, min, max)),
        )
    missing = [f"{way} is not installed." for way in given.ways if way not in installed]
    page.close(*missing)


if __name__ == "__main__":
    main()
