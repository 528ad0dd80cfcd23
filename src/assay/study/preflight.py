"""Check a study before training, and clean up after earlier runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from assay.core.errors import SpecError, StoreError, UnfitError, WeightsError, shorten, unknown_name
from assay.core.files import canonical_json
from assay.core.measures import COMPARED, OF_WORST_GROUP, Among
from assay.core.registry import build
from assay.core.types import FactorTable, Inputs
from assay.execution.jobs import layers_of, network_of, weights_path
from assay.execution.plan import Plan, ProbeUnit, Trial
from assay.execution.sources import start_id
from assay.execution.workspace import no_network_reason
from assay.models.initialization import with_trunk
from assay.models.networks import empty_network
from assay.models.ref import given_network
from assay.models.weight_files import shape
from assay.models.weights import remove_checkpoint
from assay.probes.attribution import Attribution
from assay.probes.explainers import ExplainedNetwork
from assay.probes.reader import eval_mode
from assay.shifts.population import Population
from assay.spec.data import LESION
from assay.spec.schema import ContrastSpec, EnvironmentSpec, RecipePoint, StudySpec, TrainingSpec
from assay.stats.measures import COMPUTED
from assay.store.folder import RunFolder
from assay.study.confounders import reads_neutral
from assay.study.families import study_comparisons
from assay.training.mitigations import build_mitigation, labels_for

# Whether all that a study asks for can be had, before anything is written: rows are chosen, no pixel is made.
#
# Rows of the groups that mitigations and selections need among it.

SECONDS = 2.0
"""How long the rows of further seeds are chosen after those of the first."""

Check = Callable[[int], object]
"""Chooses rows of an environment for a seed. Raises SpecError, DataError or AssociationError when that cannot be."""


def check_rows(
    spec: StudySpec, population: Population, starts: Mapping[str, Population], seconds: float = SECONDS
) -> None:
    """Choose the rows of every distinct training and test environment, of the neutral ones that are used, and of the
    images of every source (`starts`: their populations by name).

    Every fold of the first seed is checked, then further seeds until `seconds` have passed: whether rows suffice hangs
    little on the seed, and a large grid is not to be waited for.
    Raises SpecError, DataError and AssociationError as the run would when it came to these rows, and UnfitError with
    the interventions of all environments that the images cannot carry.
    """
    checks = [*_source_checks(spec, starts), *_checks(spec, population)]
    refused: dict[str, tuple[Mapping[str, Any], str]] = {}
    for check in checks:
        try:
            check(spec.first_seed)
        except UnfitError as error:
            refused |= error.refused
    if refused:
        raise UnfitError(refused)
    end = time.monotonic() + seconds
    for seed in range(spec.first_seed + 1, spec.first_seed + spec.seeds):
        for check in checks:
            if time.monotonic() > end:
                return
            check(seed)


def _source_checks(spec: StudySpec, starts: Mapping[str, Population]) -> Iterator[Check]:
    for name, source in spec.sources.items():
        yield _source(starts[name], source.environment)


def _source(population: Population, environment: EnvironmentSpec) -> Check:
    return lambda seed: population.training(environment, seed)


def _checks(spec: StudySpec, population: Population) -> Iterator[Check]:
    trained: dict[str, list[RecipePoint]] = {}
    for point in spec.points:
        trained.setdefault(point.train.model_dump_json(), []).append(point)
    tested = {_tests_key(point): point for point in spec.points}
    neutral = reads_neutral(spec)
    for fold in range(population.folds):
        for points in trained.values():
            yield _training(population, points, fold)
        for point in tested.values():
            yield _testing(population, point, fold, neutral=neutral)


def _training(population: Population, points: Sequence[RecipePoint], fold: int) -> Check:
    """Check the rows of a training environment: its classes, and each group that a recipe trained on it needs."""
    grouped = [point.recipe for point in points if point.recipe.groups]
    ways = {(recipe.groups, recipe.mitigation.label, recipe.selection): recipe for recipe in grouped}
    classifies = any(point.recipe.task == "classification" for point in points)

    def check(seed: int) -> None:
        training, validation = population.training(points[0].train, seed, fold)
        if classifies:
            _refuse_one_class(training.table)
        for recipe in ways.values():
            labels_for(recipe, build_mitigation(recipe), training, validation)

    return check


def _refuse_one_class(training: FactorTable) -> None:
    classes_present = np.unique(training.target)
    if len(classes_present) == 1:
        raise SpecError(
            f"environment 'train': all {len(training)} training images are of class "
            f"'{training.classes[classes_present[0]]}', "
            "and a classifier needs images of two classes: check `where` of train and data.split.test_only"
        )


def _testing(population: Population, point: RecipePoint, fold: int, *, neutral: bool) -> Check:
    def check(seed: int) -> None:
        scene = population.scene(point.tests, seed, fold)
        for name in scene.names:
            scene.environment(name)
        if neutral or scene.changeable():
            scene.neutral()

    return check


def _tests_key(point: RecipePoint) -> str:
    return "\n".join(f"{name} {environment.model_dump_json()}" for name, environment in point.tests.items())


# Whether the images of an environment can define what a contrast compares in it, before anything is trained.

_NEEDED: Mapping[Among, tuple[str, str]] = {
    "both": ("images of two classes", "all there are of class '{only}'"),
    "lesions": ("images with a lesion", "none there has one"),
    "no lesions": ("images without a lesion", "all there have one"),
}


def check_measurable(spec: StudySpec, population: Population) -> None:
    """Raises SpecError for the first stated contrast whose measure needs two classes where the target has more, or
    whose environment has no image of a class that it needs, in any fold of the first seed. Which images show a lesion
    is known where that is the target.
    """
    for contrast in spec.contrasts if len(population.classes) > 2 else ():
        _refuse_more_classes(contrast, population.classes)
    point, classes_by_environment = spec.points[0], dict[str, tuple[int, ...]]()
    for contrast in (contrast.contrast for pair in study_comparisons(spec) for contrast in pair.single_comparisons):
        among = COMPARED[contrast.measure].among if contrast.measure in COMPARED else ""
        name = contrast.environment
        unknown = among != "both" and population.classes != LESION.levels
        if not among or unknown or name not in point.tests:
            continue
        if name not in classes_by_environment:
            classes_by_environment[name] = _classes_in(population, point, name, spec.first_seed)
        classes = classes_by_environment[name]
        enough: Mapping[Among, bool] = {
            "both": len(classes) > 1,
            "lesions": max(classes) > 0,
            "no lesions": 0 in classes,
        }
        if not enough[among]:
            needed, missing = _NEEDED[among]
            raise SpecError(
                f"contrasts in environment '{name}': '{contrast.measure}' needs {needed}, and "
                f"{missing.format(only=population.classes[classes[0]])}; compare it in another environment, or another "
                "measure in this one"
            )


_OF_SEVERAL = {"auroc": "auroc-macro", "somers-d": "auroc-macro", "worst-group-auroc": "worst-group-accuracy"}
"""Measure of two classes -> that of several which is nearest to it; `accuracy` of the others."""


def _refuse_more_classes(contrast: ContrastSpec, classes: Sequence[str]) -> None:
    """Raise SpecError where a contrast compares a measure of two classes."""
    name = OF_WORST_GROUP.get(contrast.measure, contrast.measure)
    if name in COMPUTED and (domain := COMPUTED[name].requirements).binary and not domain.maps:
        raise SpecError(
            f"contrasts along {contrast.axis}: '{contrast.measure}' needs two classes, and the target has "
            f"{len(classes)} ({shorten(', '.join(classes), 80)}): write "
            f"measure: {_OF_SEVERAL.get(contrast.measure, 'accuracy')} in the contrast"
        )


def _classes_in(population: Population, point: RecipePoint, name: str, seed: int) -> tuple[int, ...]:
    """The codes of the classes tested in an environment."""
    tables = [population.scene(point.tests, seed, fold).environment(name).table for fold in range(population.folds)]
    return tuple(sorted({int(code) for table in tables for code in np.unique(table.target)}))


# Whether every network of a study can be built, has the layers compared, can be explained as asked and can take up its
# start; before training.


def check_starts(plan: Plan, inputs: Inputs, of_sources: Mapping[str, Inputs]) -> None:
    """Build each distinct pair of architecture and start once; weights are loaded, and fetched where they are not here.

    inputs: of the study's networks. of_sources: of the networks of its sources, by name.
    Raises SpecError and WeightsError as `build_network` does, and SpecError for a source whose trunk has tensors of
    another shape because its images are of another size, or gray.
    """
    sources = {source.id: source for source in plan.sources}
    trainings = [(source.training, of_sources[source.name]) for source in plan.sources]
    trainings += [(trial.training, inputs) for trial in plan.trials]
    labels_done: set[str] = set()
    for training, inputs_of_training in trainings:
        if training.recipe.given is not None:
            continue  # `check_given` builds them
        start = sources.get(start_id(training.recipe))
        initialization = start.name if start else training.recipe.initialization.model_dump(mode="json")
        key = canonical_json(
            [training.recipe.architecture.model_dump(mode="json"), initialization, inputs_of_training.size]
        )
        if key in labels_done:
            continue
        labels_done.add(key)
        if start is None:
            _try(training, inputs_of_training)
        else:
            _check_source(start.name, training, inputs_of_training, of_sources[start.name])


def check_given(plan: Plan, trials: Sequence[Trial], inputs: Inputs) -> None:
    """Check that weights that were trained elsewhere fit their network. Raises WeightsError and SpecError."""
    for trial in trials:
        files = plan.spec.given(trial.point, trial.training.seed)
        if trial.training.recipe.given is not None:
            given_network(trial.training.recipe, inputs, [model.path for model in files])


def _try(training: TrainingSpec, inputs: Inputs) -> None:
    """Build the network with its start.

    Raises:
        WeightsError: It names the weights as the recipe does.
    """
    try:
        network_of(training.recipe, training.seed, inputs)
    except WeightsError as error:
        start = training.recipe.initialization.params
        raise WeightsError(str(error), str(start.get("path") or start.get("url") or "")) from error


def weight_bytes(trials: Sequence[Trial], inputs: Inputs) -> int:
    """Return the bytes of the parameters and buffers of all trials' networks, each distinct one built once."""
    sizes: dict[str, int] = {}
    total = 0
    for trial in trials:
        recipe = trial.training.recipe
        weights = recipe.given and [recipe.given.network, len(recipe.given.weights)]
        key = canonical_json([recipe.architecture.canonical(), recipe.loss.canonical(), weights])
        if key not in sizes:
            state = network_of(recipe, trial.training.seed, inputs, empty_network).state_dict()
            sizes[key] = sum(tensor.nbytes for tensor in state.values())
        total += sizes[key]
    return total


def check_layers(spec: StudySpec, plan: Plan, inputs: Inputs) -> None:
    """Every layer that a comparison names is one of the networks that it compares. Raises SpecError.

    inputs: of the study's networks.
    """
    trainings = {trial.point.label: trial.training for trial in plan.trials}
    layers: dict[str, tuple[str, ...]] = {}
    for pair in study_comparisons(spec):
        contrast = pair.contrast
        for point in (*pair.a, *pair.b) if contrast.layer else ():
            training = trainings[point.label]
            weights = training.recipe.given
            key = canonical_json([training.recipe.architecture.model_dump(mode="json"), weights and weights.network])
            if key not in layers:
                network = network_of(training.recipe, training.seed, inputs, empty_network)
                layers[key] = layers_of(training.recipe, network)
            if contrast.layer not in layers[key]:
                what = unknown_name("layer", contrast.layer, layers[key])
                raise SpecError(f"contrasts by {contrast.measure}: {what} (of '{training.recipe.architecture.label}')")


def check_explainers(spec: StudySpec, plan: Plan, inputs: Inputs) -> None:
    """Check that every explainer named by a probe can explain one of the study's networks.

    Segmentation networks are not explained.

    Raises:
        SpecError: With the reason, and the explainers that can.
    """
    attribution_probes = [(n, build("probe", probe.name, probe.params)) for n, probe in enumerate(spec.probes)]
    probes = [(n, probe) for n, probe in attribution_probes if isinstance(probe, Attribution)]
    if not probes or spec.task == "segmentation":
        return
    trainings: dict[str, TrainingSpec] = {}
    for trial in plan.trials:
        recipe = trial.training.recipe
        given = recipe.given and recipe.given.network
        # a loss may bring a head of its own
        network = [recipe.architecture.canonical(), recipe.loss.canonical(), given]
        trainings.setdefault(canonical_json(network), trial.training)
    subjects = [_subject(training, inputs) for training in trainings.values()]
    for number, probe in probes:
        for name, explainer in probe.methods.items():
            refused = [explainer.refusal(subject) for subject in subjects]
            if all(refused):
                raise SpecError(f"probes[{number}].attribution.explainers: {name}: {refused[0]}")


def _subject(training: TrainingSpec, inputs: Inputs) -> ExplainedNetwork:
    network = network_of(training.recipe, training.seed, inputs, empty_network)
    with eval_mode(network):
        return ExplainedNetwork.of(network, torch.zeros(1, inputs.channels, inputs.size, inputs.size))


def _check_source(name: str, training: TrainingSpec, of_training: Inputs, of_source: Inputs) -> None:
    ours, theirs = (
        with_trunk(network_of(training.recipe, training.seed, inputs, empty_network)).trunk.state_dict()
        for inputs in (of_training, of_source)
    )
    for key, value in ours.items():
        if theirs[key].shape == value.shape:
            continue
        if of_training.channels != of_source.channels:
            raise SpecError(
                f"source '{name}' has gray images and what starts from it color ones, and the architecture "
                f"'{training.recipe.architecture.label}' has as many input channels as its images ({key}: "
                f"{shape(theirs[key])} and {shape(value)}): set in_chans: 3 for it, which repeats gray images"
            )
        raise SpecError(
            f"source '{name}' has images of {of_source.size} px and what starts from it of {of_training.size} px, and "
            f"the architecture '{training.recipe.architecture.label}' depends on the size ({key}: "
            f"{shape(theirs[key])} and {shape(value)}): set sources.{name}.data.size: {of_training.size}"
        )


# What earlier runs left in a run folder: weights that a new probe needs, and what is to go before the next run.


def check_weights(probes: Sequence[ProbeUnit], folder: RunFolder) -> None:
    """Raises StoreError where new probes would read networks that were trained, and whose weights are gone."""
    trained = {
        unit.trial.id
        for unit in probes
        if folder.complete("trials", unit.trial.id) and not unit.trial.training.members  # which have no weights
    }
    missing = [
        id
        for id in sorted(trained)
        if not weights_path(folder, id).is_file() and not no_network_reason(folder.record("trials", id))
    ]
    if missing:
        raise StoreError(
            f"{len(missing)} finished trials in {folder.root} would be probed again, but their weights were not kept "
            "(keep: none): leave probes and test environments as they were, or train again in another place with "
            f"--out, or here once you have deleted {_name_trials(folder, missing)}"
        )


def _name_trials(folder: RunFolder, trials: Sequence[str], most: int = 3) -> str:
    more = f" and {len(trials) - most} more" if len(trials) > most else ""
    return ", ".join(str(folder.unit("trials", id)) for id in trials[:most]) + more


def sweep(plan: Plan, folder: RunFolder) -> None:
    """Remove the traces of a killed run.

    These are half-written files, checkpoints of finished trials, failures made good, and weights that are not to be
    kept once all probes have read them.
    """
    folder.remove_partial_files()
    unfinished = {trial.id for trial in plan.missing_trials(folder)}
    unprobed = {unit.trial.id for unit in plan.missing_probes(folder)}
    for id in {trial.id for trial in plan.trials} - unfinished:
        remove_checkpoint(folder.unit("trials", id))
        if id not in unprobed:
            folder.forget_failure(id)
            if plan.spec.keep == "none":
                weights_path(folder, id).unlink(missing_ok=True)
