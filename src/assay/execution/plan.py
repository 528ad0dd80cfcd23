"""Plan the units of a study, or of one model: trials, readings and probe units, each named by a hash of its inputs.

`make_plan` enumerates them, whether they are complete or not; `Plan` returns those that are missing. The sources that
trials start from are planned by `execution.sources`.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

from assay.core.files import (
    canonical_json,
    content_hash,
    hash_by_last,
)
from assay.core.map_grid import COLUMNS_VERSION, KINDS_VERSION
from assay.core.registry import lookup
from assay.core.request import Task
from assay.execution.sources import Source, resolve_start, with_weights
from assay.spec.checks import asks_native, environments_of
from assay.spec.recipe import Component, Frozen
from assay.spec.request import ProbeSpec
from assay.spec.schema import EnvironmentSpec, RecipePoint, StudySpec, TrainingSpec
from assay.store.folder import RunFolder

if TYPE_CHECKING:
    from assay.probes.probe import Probe, Scope
    from assay.shifts.population import Population, PopulationScene


# From a spec to its units of work: trials, the probes of each trial, and their names.


@dataclass(frozen=True)
class Trial:
    """One recipe x training environment x seed (x fold), and the point of the grid that it belongs to.

    id: the hash of all inputs of its weights. Points that differ in nothing that is trained (a tag of any size on no
        image) have trials of the same id: trained once, and tested in the environments of each point.
    ensembled: Whether environments of other sets are read by the ensemble of a seed's folds, which is a trial too.
    """

    id: str
    training: TrainingSpec
    point: RecipePoint
    ensembled: bool = False

    @property
    def tests(self) -> Mapping[str, EnvironmentSpec]:
        """The test environments that it reads."""
        return {
            name: environment
            for name, environment in self.point.tests.items()
            if not self.ensembled or bool(environment.data) == bool(self.training.members)
        }

    @property
    def label(self) -> str:
        """Name in progress and messages."""
        fold = f", fold {self.training.fold}" if self.training.fold else ", ensemble" if self.training.members else ""
        return f"{self.point.label}, seed {self.training.seed}{fold}"


@dataclass(frozen=True)
class ProbeUnit:
    """One probe on one trial. `id` covers the trial, the probe's arguments, and the images it looks at.

    Trials of the same id that are tested on the same images have probe units of the same id.
    """

    id: str
    trial: Trial
    component: Component


Unit = TypeVar("Unit", Trial, ProbeUnit)


@dataclass(frozen=True)
class Plan:
    """All units of a study, complete or not: one trial per point of the grid, seed and fold.

    Attributes:
        readings: (label of the point, trial id, environment name) -> reading id.
        sources: Each id once, after its own sources.
    """

    spec: StudySpec
    trials: tuple[Trial, ...]
    probes: tuple[ProbeUnit, ...]
    readings: Mapping[tuple[str, str, str], str]
    sources: tuple[Source, ...] = ()

    @property
    def trainings(self) -> tuple[Trial, ...]:
        """The trials without ensembles, which have no network of their own."""
        return tuple(trial for trial in self.trials if not trial.training.members)

    def missing_trials(self, folder: RunFolder) -> list[Trial]:
        """Trials without a record, each id once."""
        return [trial for trial in _distinct(self.trials) if not folder.complete("trials", trial.id)]

    def missing_probes(self, folder: RunFolder) -> list[ProbeUnit]:
        """Probe units that lack their record or a reading that they made, each id once."""
        unread = {trial for (_, trial, _), id in self.readings.items() if not folder.complete("readings", id)}
        return [
            unit
            for unit in _distinct(self.probes)
            if not (folder.probed(unit.id) if unit.trial.id in unread else folder.complete("probes", unit.id))
        ]

    def of_first_seeds(self, seeds: int) -> Plan:
        """Return the plan with the trials and probes of the first seeds alone, and sources and readings of all."""
        end = self.spec.first_seed + seeds
        trials = tuple(trial for trial in self.trials if trial.training.seed < end)
        return replace(self, trials=trials, probes=tuple(u for u in self.probes if u.trial.training.seed < end))

    def of_recipes(self, labels: Collection[str]) -> Plan:
        """Return the plan with the trials and probes of some recipes alone, and sources and readings of all."""
        trials = tuple(trial for trial in self.trials if trial.point.label in labels)
        return replace(self, trials=trials, probes=tuple(u for u in self.probes if u.trial.point.label in labels))

    def ids(self) -> Iterator[str]:
        """Return the names of all trials, readings and probe units; a trial's name covers its sources."""
        yield from (trial.id for trial in self.trials)
        yield from (unit.id for unit in self.probes)
        yield from self.readings.values()


def _distinct(units: Sequence[Unit]) -> list[Unit]:
    """Return the first unit of each id."""
    by_id: dict[str, Unit] = {}
    for unit in units:
        by_id.setdefault(unit.id, unit)
    return list(by_id.values())


def make_plan(
    spec: StudySpec,
    population: Population,
    source_populations: Mapping[str, Population] | None = None,
    seeds: Mapping[str, int] | None = None,
) -> Plan:
    """Enumerate the units of a study: seed by seed, so that every recipe has a first result early.

    Args:
        source_populations: The populations of the study's `sources`, by name.
        seeds: Label of a recipe -> its number of seeds, where it has more than the study's.
    """
    with gc_paused():
        return _plan_trials(spec, population, source_populations or {}, seeds or {})


@contextmanager
def gc_paused() -> Generator[None]:
    """Pause the garbage collector while many objects are made, all of which it would visit again and again."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _plan_trials(
    spec: StudySpec, population: Population, source_populations: Mapping[str, Population], seeds: Mapping[str, int]
) -> Plan:
    sources: dict[str, Source] = {}
    trials = _trials(spec, population, source_populations, sources, seeds)
    probes: list[ProbeUnit] = []
    readings: dict[tuple[str, str, str], str] = {}
    columns = column_settings(spec.task, spec.probes, population)
    # many recipes share their environments, and all parts of the units' names but the trial
    ids_by_images: dict[tuple[object, ...], tuple[dict[str, IdFromTrial], list[tuple[IdFromTrial, Component]]]] = {}
    keys: dict[tuple[str, bool], tuple[tuple[str, str], ...]] = {}
    probes_of_tests = [probe for probe in spec.probes if _scope(probe.name) == "tests"]
    for trial in trials:
        recipe_key = label, _ = trial.point.label, bool(trial.training.members)
        if recipe_key not in keys:
            keys[recipe_key] = tuple((name, test.model_dump_json()) for name, test in trial.tests.items())
        key = keys[recipe_key], trial.training.seed, trial.training.fold, recipe_key[1]
        if key not in ids_by_images:
            identities = image_identities(population.scene(trial.tests, trial.training.seed, trial.training.fold))
            probes_of_trial = probes_of_tests if trial.training.members else spec.probes
            reading_ids = {
                name: _id_from_trial(_reading_identity(identities, name, columns)) for name in identities.tests
            }
            ids_by_images[key] = (
                reading_ids,
                [
                    (_id_from_trial(unit), each)
                    for unit, each in _probe_identities(probes_of_trial, identities, columns)
                ],
            )
        trial_id, (reading_ids, probe_ids) = canonical_json(trial.id), ids_by_images[key]
        probes += [ProbeUnit(name_of_trial(trial_id), trial, component) for name_of_trial, component in probe_ids]
        for name, id_from_trial in reading_ids.items():
            readings[label, trial.id, name] = id_from_trial(trial_id)
    return Plan(spec, tuple(trials), tuple(probes), readings, tuple(sources.values()))


def column_settings(task: Task, probes: Sequence[Component], population: Population) -> dict[str, Any]:
    """Return the settings of a reading's columns other than model and images; empty for a classification."""
    if task != "segmentation":
        return {}
    kinds = {"kinds": KINDS_VERSION} if len(population.kinds) > 1 else {}
    return {"maps": COLUMNS_VERSION} | kinds | ({"native": True} if asks_native(probes) else {})


def _trials(
    spec: StudySpec,
    population: Population,
    source_populations: Mapping[str, Population],
    sources: dict[str, Source],
    seeds: Mapping[str, int],
) -> list[Trial]:
    """Return all trials; the sources that they start from are added to `sources` by id."""
    trials: list[Trial] = []
    canonical_texts: dict[str, dict[str, str]] = {}
    hash_functions: dict[tuple[str, int], Callable[[str], str]] = {}
    for number in range(max([spec.seeds, *seeds.values()])):
        seed = spec.first_seed + number
        for point in (
            recipe_point for recipe_point in spec.points if number < seeds.get(recipe_point.label, spec.seeds)
        ):
            data = population.identity(point.train, point.recipe.groups)
            if point.recipe.given is not None and not spec.given(point, seed):
                continue  # the table of models has no such seed of this recipe
            members: list[Trial] = []
            for fold in range(population.folds):
                recipe, sources_of_recipe = resolve_start(
                    with_weights(point, seed, spec), seed, fold, spec, source_populations
                )
                sources |= {source.id: source for source in sources_of_recipe}
                parts: dict[str, Any] = {"environment": point.train, "recipe": recipe, "seed": seed, "fold": fold}
                training = TrainingSpec.model_construct(data=data, **parts)  # all of it was validated with the study
                id = (
                    training.named(canonical_texts, hash_functions, point.label)
                    if recipe is point.recipe
                    else training.id
                )
                members.append(Trial(id, training, point, spec.ensemble))
            trials += [*members, *([ensemble_of(members)] if spec.ensemble else [])]
    return trials


def ensemble_of(members: Sequence[Trial]) -> Trial:
    """Return the ensemble of the trials of a seed's folds."""
    ids = tuple(member.id for member in members)
    training = members[0].training.model_copy(update={"members": ids})
    return Trial(training.id, training, members[0].point, ensembled=True)


@dataclass(frozen=True)
class ImageIdentities:
    """What probes look at: the parts of data and spec that determine each test environment, and the neutral one."""

    tests: Mapping[str, Mapping[str, Any]]
    neutral: Mapping[str, Any]


def image_identities(scene: PopulationScene) -> ImageIdentities:
    """Return the identities of the environments of a scene."""
    from assay.shifts.population import NEUTRAL

    return ImageIdentities({name: scene.identity(name) for name in scene.names}, scene.identity(NEUTRAL))


def reading_id(model: Mapping[str, str], identities: ImageIdentities, name: str, columns: Mapping[str, Any]) -> str:
    """Return the name of the outputs of a model in an environment.

    Args:
        model: `trial` or `model`, with the hash of everything that determines its outputs.
        identities: The environments of its scene.
        name: The environment.
        columns: See `column_settings`.
    """
    return content_hash({**model, **_reading_identity(identities, name, columns)})


def _reading_identity(identities: ImageIdentities, name: str, columns: Mapping[str, Any]) -> dict[str, Any]:
    return {"environment": identities.tests[name], **columns}


IdFromTrial = Callable[[str], str]
"""Canonical JSON of a trial's id -> name of a unit."""


def _id_from_trial(parts: Mapping[str, Any]) -> IdFromTrial:
    return hash_by_last({name: canonical_json(part) for name, part in parts.items()}, "trial")


def probe_units(
    model: Mapping[str, str], components: Sequence[Component], identities: ImageIdentities, columns: Mapping[str, Any]
) -> list[tuple[str, Component]]:
    """Return the probes of a model with their names.

    A name covers the model, the probe's arguments, the images that it looks at and the columns of readings: readings
    are written by the probes that read, so other columns need the probes again.

    Args:
        model: `trial` or `model`, with the hash of everything that determines its outputs and calls.
        components: The probes.
        identities: The environments.
        columns: See `column_settings`.
    """
    return [
        (content_hash({**model, **parts}), component)
        for parts, component in _probe_identities(components, identities, columns)
    ]


def _probe_identities(
    components: Sequence[Component], identities: ImageIdentities, columns: Mapping[str, Any]
) -> Iterator[tuple[dict[str, Any], Component]]:
    images = {"tests": identities.tests, "neutral": identities.neutral}
    for component in components:
        identity: dict[str, Any] = {"probe": component.model_dump(), "images": images[_scope(component.name)]}
        if columns:
            identity["kept"] = columns
        if _scope(component.name) == "neutral" and (environments := environments_of(component)):
            identity["named"] = {name: identities.tests[name] for name in environments.values()}
        yield identity, component


def _scope(probe: str) -> Scope:
    return cast("type[Probe]", lookup("probe", probe).load()).scope


# Units of one model that was trained elsewhere.


class ModelPlan(Frozen):
    """The units of a request to probe one model.

    Attributes:
        model: Id of the model.
        request: The request.
        readings: Reading ids by name of the environment.
        probes: Names of probe units with their probes.
        doubts: Sentences on assumptions that were made and on results that look wrong.
    """

    model: str
    request: ProbeSpec
    readings: Mapping[str, str]
    probes: tuple[tuple[str, Component], ...]
    doubts: tuple[str, ...] = ()

    @property
    def stamp(self) -> dict[str, str]:
        """Return the stamp of tables that are made of it."""
        units = content_hash([*sorted(self.readings.values()), *(id for id, _ in self.probes)])
        return {"model": self.model, "request": self.request.id, "units": units}
