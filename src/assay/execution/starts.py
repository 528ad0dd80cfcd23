"""Whether every network of a study can be built, has the layers compared, can be explained as asked and can take up its
start; before training.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from assay.core.errors import SpecError, WeightsError, unknown_name
from assay.core.hashing import canonical_json
from assay.core.registry import build
from assay.core.spec import StudySpec, TrainingSpec
from assay.execution.contrasts import pairs
from assay.execution.jobs import Inputs, empty_network, network_of
from assay.execution.sources import start_id
from assay.execution.study import Plan
from assay.probes.attribution import Attribution
from assay.probes.explainers.explainer import Subject
from assay.probes.reading import evaluating
from assay.recipes.initialisation import with_trunk
from assay.recipes.models import as_network
from assay.recipes.weights.words import shape


def check_starts(plan: Plan, inputs: Inputs, of_sources: Mapping[str, Inputs]) -> None:
    """Build each distinct pair of architecture and start once; weights are loaded, and fetched where they are not here.

    inputs: of the study's networks. of_sources: of the networks of its sources, by name.
    Raises SpecError and WeightsError as `build_network` does, and SpecError for a source whose trunk has tensors of
    another shape because its images are of another size, or grey.
    """
    sources = {source.id: source for source in plan.sources}
    trainings = [(source.training, of_sources[source.name]) for source in plan.sources]
    trainings += [(trial.training, inputs) for trial in plan.trials]
    seen: set[str] = set()
    for training, own in trainings:
        start = sources.get(start_id(training.recipe))
        initialisation = start.name if start else training.recipe.initialisation.model_dump(mode="json")
        key = canonical_json([training.recipe.architecture.model_dump(mode="json"), initialisation, own.size])
        if key in seen:
            continue
        seen.add(key)
        if start is None:
            _try(training, own)
        else:
            _check_source(start.name, training, own, of_sources[start.name])


def _try(training: TrainingSpec, own: Inputs) -> None:
    """Build the network with its start. Raises WeightsError that holds what the recipe calls the weights."""
    try:
        network_of(training, own)
    except WeightsError as error:
        start = training.recipe.initialisation.params
        raise WeightsError(str(error), str(start.get("path") or start.get("url") or "")) from error


def check_layers(spec: StudySpec, plan: Plan, inputs: Inputs) -> None:
    """Every layer that a comparison names is one of the networks that it compares. Raises SpecError.

    inputs: of the study's networks.
    """
    trainings = {trial.point.label: trial.training for trial in plan.trials}
    layers: dict[str, tuple[str, ...]] = {}
    for stated in spec.contrasts:
        points = [point for pair in pairs(stated, spec.points, tuple(spec.axes)) for point in (*pair.a, *pair.b)]
        for point in points if stated.layer else ():
            training = trainings[point.label]
            key = canonical_json(training.recipe.architecture.model_dump(mode="json"))
            if key not in layers:
                layers[key] = as_network(network_of(training, inputs, empty_network)).layers
            if stated.layer not in layers[key]:
                what = unknown_name("layer", stated.layer, layers[key])
                raise SpecError(f"contrasts by {stated.measure}: {what} (of '{training.recipe.architecture.label}')")


def check_explainers(spec: StudySpec, plan: Plan, inputs: Inputs) -> None:
    """Every explainer that a probe names can explain one of the study's networks. Raises SpecError with why it cannot,
    and what can. Of a network that says something of pixels nothing is explained.
    """
    asked = [(n, build("probe", probe.name, probe.params)) for n, probe in enumerate(spec.probes)]
    probes = [(n, probe) for n, probe in asked if isinstance(probe, Attribution)]
    if not probes or spec.task == "segmentation":
        return
    trainings: dict[str, TrainingSpec] = {}
    for trial in plan.trials:
        recipe = trial.training.recipe
        network = [recipe.architecture.canonical(), recipe.loss.canonical()]  # a loss may bring a head of its own
        trainings.setdefault(canonical_json(network), trial.training)
    subjects = [_subject(training, inputs) for training in trainings.values()]
    for number, probe in probes:
        for method in probe.methods:
            refused = [method.explainer.refusal(subject) for subject in subjects]
            if all(refused):
                raise SpecError(f"probes[{number}].attribution.explainers: {method.name}: {refused[0]}")


def _subject(training: TrainingSpec, inputs: Inputs) -> Subject:
    network = network_of(training, inputs, empty_network)
    with evaluating(network):
        return Subject.of(network, torch.zeros(1, inputs.channels, inputs.size, inputs.size))


def _check_source(name: str, training: TrainingSpec, own: Inputs, of_source: Inputs) -> None:
    ours, theirs = (
        with_trunk(network_of(training, inputs, empty_network)).trunk.state_dict() for inputs in (own, of_source)
    )
    for key, value in ours.items():
        if theirs[key].shape == value.shape:
            continue
        if own.channels != of_source.channels:
            raise SpecError(
                f"source '{name}' has grey images and what starts from it colour ones, and the architecture "
                f"'{training.recipe.architecture.label}' has as many input channels as its images ({key}: "
                f"{shape(theirs[key])} and {shape(value)}): set in_chans: 3 for it, which repeats grey images"
            )
        raise SpecError(
            f"source '{name}' has images of {of_source.size} px and what starts from it of {own.size} px, and the "
            f"architecture '{training.recipe.architecture.label}' hangs on the size ({key}: {shape(theirs[key])} "
            f"and {shape(value)}): set sources.{name}.data.size: {own.size}"
        )
