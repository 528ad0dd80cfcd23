"""Estimate how long a study takes on this machine: steps and readings of its recipes are timed before it is run."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from assay.core.errors import AssayError
from assay.core.files import canonical_json
from assay.core.registry import build
from assay.core.types import FactorTable, Inputs
from assay.data.cache import ArrayImages, ArrayMasks, ProgressCallback, no_progress
from assay.execution.jobs import inputs_of, network_of
from assay.execution.local import PROCESSOR, computing_on, keep_freed_memory
from assay.execution.plan import Plan
from assay.execution.sources import Source, start_id
from assay.models.initialization import build_finetuning
from assay.models.networks import as_network
from assay.models.ref import Model
from assay.models.untyped import channels_last
from assay.probes.probe import Probe
from assay.probes.reader import batch_size_for
from assay.shifts.environment import Environment
from assay.shifts.intervention import mark_factor
from assay.shifts.population import Population
from assay.spec.recipe import Component
from assay.spec.schema import DataSpec, EnvironmentSpec, TrainingSpec
from assay.training.loop import training_numerics
from assay.training.mitigations import phases_of
from assay.training.state import begin_training

SHARING = 1.1  # workers share caches and memory, read images and tell their progress
TRIAL = 0.3  # seconds of a trial other than steps: a head, weights, records
PROBES = 0.5  # seconds of a trial's probes other than reading: fits, measures, records
START = 5.0  # seconds until a worker has imported its libraries
END_PER_TRIAL = 0.25  # seconds of comparisons, tables and page for every trial
FEWEST, MOST = 3, 5  # repetitions
ENOUGH, LONG = 0.3, 3.0  # seconds of enough of them, and of one that is not redone
MOST_SECONDS = 15.0  # of timing recipes that differ from a timed one in more than their network
RENDERED = 64  # images that a phantom is timed on


@dataclass(frozen=True)
class Speed:
    """Seconds of one training step, and of one image that is read without training."""

    step: float = 0.0
    image: float = 0.0


def after_units(trials: int) -> float:
    """Return the seconds of a study outside its units: starting workers, and comparing trials at the end."""
    return START + END_PER_TRIAL * trials


def unit_seconds(plan: Plan, population: Population, timer: Timer) -> Mapping[str, tuple[float, float]]:
    """Trial id -> expected seconds of one worker to train it, and to probe it.

    Each recipe is timed on made-up images, with its own loss, augmentation and optimizer, as a worker would run it. An
    error in a user's own part is left to the trial that fails by it, whose time is then not known.
    """
    trained_on, validated_on = _training_images(plan.spec.data, population)
    inputs = inputs_of(population, plan.spec.data, plan.spec.task)
    images_read = _or_default(lambda: _probed_images(plan, population, inputs), 0)
    image = _or_default(lambda: _render_seconds(population, plan.spec.data.size, timer.device), 0.0)
    environments = len({canonical_json(trial.training.environment.for_training()) for trial in plan.trials})
    drawing = environments * plan.spec.seeds / len(plan.trials) * (trained_on + validated_on) * image
    costs: dict[str, tuple[float, float]] = {}
    if plan.spec.models:
        return {trial.id: (TRIAL, PROBES) for trial in plan.trials}
    recipes = {trial.point.label: trial.training for trial in plan.trials}
    for i, training in enumerate(recipes.values()):
        timer.on_progress("timing recipes", i, len(recipes))
        timer.speed(training, inputs, trained_on)
    for trial in plan.trials:
        if trial.training.members:
            costs[trial.id] = (TRIAL, PROBES)
            continue
        recipe, speed = trial.training.recipe, timer.speed(trial.training, inputs, trained_on)
        epochs = sum(phases_of(recipe))
        images = _row_count(trial.training.environment, trained_on)
        steps = epochs * max(1, images // recipe.batch_size) * speed.step
        reading = (epochs * validated_on + images + validated_on) * speed.image
        probing = images_read * (speed.image + image / len(plan.trials))
        costs[trial.id] = ((steps + reading) * SHARING + TRIAL + drawing, probing * SHARING + PROBES)
    return costs


def source_seconds(
    sources: Sequence[Source], populations: Mapping[str, Population], timer: Timer
) -> Mapping[str, float]:
    """Source id -> expected seconds of one worker to train it.

    Args:
        populations: Of the sources, by name.
    """
    costs: dict[str, float] = {}
    drawing: dict[str, float] = {}  # by name: each seed draws images of the same kind
    for i, source in enumerate(sources):
        timer.on_progress("timing sources", i, len(sources))
        population = populations[source.name]
        trained_on, validated_on = _training_images(source.data, population)
        trained_on = _row_count(source.training.environment, trained_on)
        inputs = inputs_of(population, source.data, source.training.recipe.task)
        speed = timer.speed(source.training, inputs, trained_on)
        if source.name not in drawing:
            render = partial(_render_seconds, population, source.data.size, timer.device)
            drawing[source.name] = _or_default(render, 0.0)
        epochs = source.training.recipe.epochs
        steps = epochs * max(1, trained_on // source.training.recipe.batch_size) * speed.step
        reading = ((epochs + 1) * validated_on + trained_on) * speed.image
        costs[source.id] = (steps + reading) * SHARING + TRIAL + (trained_on + validated_on) * drawing[source.name]
    return costs


def _row_count(environment: EnvironmentSpec, images: int) -> int:
    """Return how many of the training images an environment takes."""
    return round(images * (environment.fraction or 1)) if environment.rows is None else min(images, environment.rows)


def _training_images(data: DataSpec, population: Population) -> tuple[int, int]:
    """Return the numbers of images that a trial is trained on, and validated on."""
    if population.dataset is None:
        return data.train, data.validation
    split, rows = data.split, len(population.dataset.table)
    if split.folds:
        fold = rows / population.folds
        training = rows - (fold if split.train_on_all_others else 2 * fold)
        return round(training), round(training if split.train_on_all_others else fold)
    return round(rows * split.train), round(rows * split.validation)


def _probed_images(plan: Plan, population: Population, inputs: Inputs) -> int:
    """Return how many images all probes of one trial read, those of a Sobol' design included."""
    training, tests = plan.trials[0].training, plan.trials[0].tests
    network = network_of(_before_sources(training).recipe, training.seed, inputs)
    model = Model(network, as_network(network).layers, untrained=lambda: network, threshold=0.5)
    scene = population.scene(tests, training.seed, training.fold)
    probes = [build("probe", component.name, component.params) for component in plan.spec.probes]
    images_by_request = {
        (request.environment.name, request.untrained): len(request.environment)
        for probe in probes
        for request in cast(Probe, probe).requests(model, scene)
    }
    samples = [count for probe in probes if isinstance(count := getattr(probe, "samples", None), int)]
    return sum(images_by_request.values()) + sum(map(population.sobol_images, samples))


def _render_seconds(population: Population, size: int, device: str) -> float:
    """Return the seconds per image of a phantom; 0 for images from files, which are decoded when a study is planned."""
    phantom = population.phantom
    if phantom is None:
        return 0.0
    u = (np.arange(RENDERED) + 0.5) / RENDERED
    values = {factor.name: phantom.quantile(factor.name, u) for factor in phantom.factors}
    nuisance = np.arange(RENDERED, dtype=np.int64)
    return _seconds(lambda: phantom.render(values, nuisance, size, {}, device), device) / RENDERED


@dataclass
class Timer:
    """Times the recipes of a study and of its sources, each once.

    Attributes:
        device: The device.
        on_progress: Callback with the number of recipes, and of sources, that were timed.
        by_recipe: The speed of each recipe on images of one shape.
        by_network: The speed of the first recipe of each network and batch.
        spent: Seconds of timing so far.
    """

    device: str = PROCESSOR
    on_progress: ProgressCallback = no_progress
    by_recipe: dict[str, Speed] = field(default_factory=dict[str, Speed])
    by_network: dict[str, Speed] = field(default_factory=dict[str, Speed])
    spent: float = 0.0

    def speed(self, training: TrainingSpec, inputs: Inputs, images: int) -> Speed:
        """Return the speed of a recipe, or that of one with the same network and batch if there is no time for more.

        Args:
            training: The training.
            inputs: The inputs of its network.
            images: The number of its training images.
        """
        training = _before_sources(training)
        recipe = training.recipe
        shape = [inputs.size, min(recipe.batch_size, images)]
        plain = recipe.model_copy(update={"epochs": 1, "selection": "last", "patience": None})
        recipe_key = canonical_json([plain.canonical(), inputs.channels, inputs.classes, *shape])
        network = canonical_json([recipe.architecture.label, recipe.precision, recipe.threads, *shape])
        if recipe_key not in self.by_recipe:
            is_late = self.spent > MOST_SECONDS and network in self.by_network
            self.by_recipe[recipe_key] = self.by_network[network] if is_late else self._time(training, inputs, images)
            self.by_network.setdefault(network, self.by_recipe[recipe_key])
        return self.by_recipe[recipe_key]

    def _time(self, training: TrainingSpec, inputs: Inputs, images: int) -> Speed:
        start = time.perf_counter()
        try:
            return _or_default(lambda: _time_recipe(training, inputs, images, self.device), Speed())
        finally:
            self.spent += time.perf_counter() - start


def _before_sources(training: TrainingSpec) -> TrainingSpec:
    """Return the same training from random weights where it starts from a source, which is not trained yet."""
    if not start_id(training.recipe):
        return training
    random = Component(kind="initialization", name="random")
    return training.model_copy(update={"recipe": training.recipe.model_copy(update={"initialization": random})})


def _time_recipe(training: TrainingSpec, inputs: Inputs, images: int, device: str) -> Speed:
    """Return a step of a training that is begun and left, and a forward pass over a batch as probes read it."""
    recipe = training.recipe.model_copy(update={"epochs": MOST + 1})
    if build_finetuning(recipe).fits_head:  # which takes no step, or one that a head fitted to noise comes before
        recipe = recipe.model_copy(update={"finetuning": Component(kind="finetuning", name="full")})
    made_up = _random_batch(min(recipe.batch_size, images), inputs, recipe.groups)
    batch_size = batch_size_for(device, (inputs.channels, inputs.size, inputs.size))
    with ExitStack() as stack:
        for setting in (keep_freed_memory(), computing_on(device), training_numerics(recipe, 0, device)):
            stack.enter_context(setting)
        run = begin_training(recipe, made_up, made_up, inputs.classes, training.seed, torch.device(device), Path())
        step = _seconds(run.train_step, device, recipe.threads)
        network = channels_last(run.network, torch.device(device)).eval()
        pixels = torch.rand(batch_size, inputs.channels, inputs.size, inputs.size, device=device)
        with torch.inference_mode():
            reading = _seconds(lambda: network(pixels), device, recipe.threads)
    return Speed(step, reading / batch_size)


def _random_batch(rows: int, inputs: Inputs, groups: str) -> Environment:
    """Return noise images with alternating targets; the factor of a recipe's groups alternates more slowly."""
    numbers = np.arange(rows, dtype=np.int64)
    shape = (rows, inputs.channels, inputs.size, inputs.size)
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    classes = tuple(str(k) for k in range(inputs.classes))
    table = FactorTable(numbers, numbers % inputs.classes, numbers, classes)
    if groups:
        table = table.with_column(mark_factor(groups), numbers // inputs.classes % 2)
    masks = ArrayMasks(pixels[:, :1] % inputs.classes, kinds=classes[1:])
    return Environment("made-up", table, ArrayImages(pixels), masks, ())


def _seconds(call: Callable[[], object], device: str, threads: int = 1) -> float:
    """Return the least seconds that it takes on a machine that does nothing else. The first time, which fills memory,
    counts only where it was long.
    """
    clock = time.process_time if device == PROCESSOR and threads == 1 else time.perf_counter
    durations: list[float] = []
    while len(durations) < FEWEST or (len(durations) < MOST and sum(durations) < ENOUGH):
        start = clock()
        call()
        if device != PROCESSOR:
            torch.cuda.synchronize(device)
        durations.append(clock() - start)
        if durations[-1] > LONG:
            break
    return min(durations)


def _or_default(call: Callable[[], Any], default: Any) -> Any:
    """Return the result of a call, or a default where a user's own code fails.

    The trial will then record the traceback.
    """
    try:
        return call()
    except AssayError:
        raise
    except (Exception, SystemExit):
        return default
