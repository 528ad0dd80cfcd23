"""How long a study will take on this machine: a few steps of each network are timed before anything is trained."""

from __future__ import annotations

import time
from collections.abc import Mapping

import torch
from torch.nn import functional

from assay.core.spec import RecipeSpec, StudySpec, TrainingSpec
from assay.execution.jobs import Inputs, inputs_of, network_of
from assay.execution.study import Plan
from assay.shifts.population import Population

STEPS = 4
OVERHEAD = 1.2  # a trial also validates, refits a head, and reads and writes (measured: a 12-minute study)
PROBE_IMAGES = 12_000  # that one probe reads of one model, about: reliance more, performance less


def unit_seconds(plan: Plan, population: Population) -> Mapping[str, tuple[float, float]]:
    """Trial id -> expected seconds of one worker to train it, and to probe it."""
    timed: dict[tuple[str, int, str], tuple[float, float]] = {}
    costs: dict[str, tuple[float, float]] = {}
    images = _training_images(plan.spec, population)
    inputs = inputs_of(population, plan.spec.data)
    for trial in plan.trials:
        recipe = trial.training.recipe
        key = (recipe.architecture.label, recipe.batch_size, recipe.precision)
        if key not in timed:
            timed[key] = _time_step(trial.training, inputs)
        step, forward = timed[key]
        steps = recipe.epochs * max(1, images // recipe.batch_size)
        probing = len(plan.spec.probes) * PROBE_IMAGES / recipe.batch_size * forward
        costs[trial.id] = (steps * step * OVERHEAD, probing * OVERHEAD)
    return costs


def _training_images(spec: StudySpec, population: Population) -> int:
    if population.dataset is None:
        return spec.data.train
    split = spec.data.split
    share = (population.folds - 2) / population.folds if split.folds else split.train
    return round(len(population.dataset.table) * share)


def _time_step(training: TrainingSpec, inputs: Inputs) -> tuple[float, float]:
    """Seconds of one training step, and of one forward pass over a batch, on one thread as a worker has it."""
    recipe: RecipeSpec = training.recipe
    threads = torch.get_num_threads()
    torch.set_num_threads(recipe.threads)
    try:
        network = network_of(training, inputs)
        images = torch.zeros(recipe.batch_size, inputs.channels, inputs.size, inputs.size)
        target = torch.zeros(recipe.batch_size, dtype=torch.int64)
        steps: list[float] = []
        forwards: list[float] = []
        for _ in range(STEPS):
            start = time.perf_counter()
            loss: torch.Tensor = functional.cross_entropy(network(images), target)
            loss.backward()  # pyright: ignore[reportUnknownMemberType]
            steps.append(time.perf_counter() - start)
            start = time.perf_counter()
            with torch.inference_mode():
                network(images)
            forwards.append(time.perf_counter() - start)
        return min(steps), min(forwards)
    finally:
        torch.set_num_threads(threads)
