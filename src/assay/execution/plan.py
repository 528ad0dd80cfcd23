"""Plan a study: its trials, sources and probe units."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from assay.core.errors import SpecError
from assay.core.files import (
    WEIGHTS_FILE,
    cache_folder,
    canonical_json,
    content_hash,
    file_lock,
    hash_by_last,
    write_bytes,
)
from assay.core.map_grid import COLUMNS_VERSION, KINDS_VERSION
from assay.core.reasons import Code, Reason, reason_of
from assay.core.registry import lookup
from assay.core.request import Task
from assay.data.cache import NO_ROOM_REMEDY
from assay.execution.tasks import Context, Stopped
from assay.execution.workspace import (
    CURVE,
    OF_A_SOURCE,
    OF_OWN_IMAGES,
    PROVENANCE,
    WITHOUT_START,
    Workspace,
    provenance,
)
from assay.spec.checks import asks_native, environments_of
from assay.spec.environments import start_of
from assay.spec.recipe import Component, Frozen, RecipeSpec
from assay.spec.request import ProbeSpec
from assay.spec.schema import DataSpec, EnvironmentSpec, RecipePoint, StudySpec, TrainingSpec
from assay.store.files import write_json
from assay.store.folder import RunFolder, checked_id
from assay.store.place import UnitKind

if TYPE_CHECKING:
    from assay.execution.jobs import TrainJob
    from assay.probes.probe import Probe, Scope
    from assay.shifts.population import Population, PopulationScene


# Sources that a study trains itself: their names, and the job that trains one for all runs.

_POLL_SECONDS = 0.2  # seconds


@dataclass(frozen=True)
class Source:
    """One source of one seed.

    Attributes:
        id: The hash of all inputs of its weights, its own start included.
    """

    id: str
    name: str
    data: DataSpec
    training: TrainingSpec

    @property
    def label(self) -> str:
        """Name in progress and messages."""
        fold = f", fold {self.training.fold}" if self.training.fold else ""
        return f"source {self.name}, seed {self.training.seed}{fold}"

    @property
    def start(self) -> str:
        """The id of the source that it starts from; empty where it starts otherwise."""
        return start_id(self.training.recipe)


def start_id(recipe: RecipeSpec) -> str:
    """Return the id of the source that a recipe starts from, once settled (`resolve_start`); empty for other starts."""
    start = recipe.initialization
    return str(start.params["id"]) if start.name == "source" else ""


def resolve_start(
    recipe: RecipeSpec, seed: int, fold: int, spec: StudySpec, populations: Mapping[str, Population]
) -> tuple[RecipeSpec, tuple[Source, ...]]:
    """Return the recipe with the id of the source it starts from in place of its name, and the sources this needs, in
    order.

    Args:
        populations: Of every source by name. Its seed is the trial's, so that trials of several seeds have several
            sources; so is its fold where it is trained on the study's own images.
    """
    name = start_of(recipe)
    if not name:
        return recipe, ()
    start = spec.sources[name]
    recipe_of_source = start.recipe.model_copy(update={"architecture": recipe.architecture})
    recipe_of_source, earlier_sources = resolve_start(recipe_of_source, seed, fold, spec, populations)
    source_keys = OF_OWN_IMAGES if start.own else OF_A_SOURCE
    identity = {**populations[name].identity(start.environment, start.recipe.groups), **source_keys}
    part = fold if start.own else 0
    training = TrainingSpec(data=identity, environment=start.environment, recipe=recipe_of_source, seed=seed, fold=part)
    source = Source(training.id, name, start.data, training)
    return with_start_id(recipe, source.id), (*earlier_sources, source)


def with_start_id(recipe: RecipeSpec, id: str) -> RecipeSpec:
    """Return the recipe with a start that is named by its id."""
    params = recipe.initialization.params
    start = Component(kind="initialization", name="source", params={**params, "name": "", "id": id})
    return recipe.model_copy(update={"initialization": start})


def with_weights(point: RecipePoint, seed: int, spec: StudySpec) -> RecipeSpec:
    """Return the recipe of a point; with checksums of a seed's weights, where these were trained elsewhere."""
    given = point.recipe.given
    if given is None:
        return point.recipe
    models = spec.given(point, seed)
    recipe_of_models = next((model.recipe for model in models if model.recipe), None) or point.recipe
    weights = tuple(model.sha256 for model in models)
    return recipe_of_models.model_copy(update={"given": given.model_copy(update={"weights": weights})})


def check_sources(spec: StudySpec, population: Population, sources: Mapping[str, Population]) -> None:
    """Refuse a source that could not be taken up, or whose images could be the study's test images. Raises SpecError.

    Pretraining images count as training rows. Phantoms draw training rows that no test has, and the study's own
    training images are none of its tests; other images from files would have to be kept apart from the study's test
    patients, which nothing here can know.
    """
    for name, images in sources.items():
        if images.phantom is None and not spec.sources[name].own:
            raise SpecError(
                f"source '{name}' is trained on images from files, which may be the study's own test patients: train "
                "sources on phantoms or on the study's own training images (`data: own`), or give weights as a file"
            )
        if images.channels > population.channels:
            raise SpecError(
                f"source '{name}' has images of {images.channels} channel(s), the study's have {population.channels}: "
                "networks that start from it could not take them"
            )


def missing_sources(sources: Sequence[Source], ids_of_starts: Collection[str], place: Workspace) -> list[Source]:
    """Return the sources that must be trained, or whose record the run folder lacks, for the units that start from
    `ids_of_starts`.

    Args:
        sources: All sources, each after its own sources.
        ids_of_starts: Ids of the sources that these units start from. The sources of a missing source are added.
        place: The run folder and the cache. A source without its record is missing even where nothing is left to
            start from it: the tables show the record.
    """
    missing: list[Source] = []
    ids = set(ids_of_starts)
    for source in reversed(sources):
        if not place.folder.complete("sources", source.id) or (source.id in ids and not _complete(source, place)):
            missing.append(source)
            ids.add(source.start)
    return missing[::-1]


def _complete(source: Source, place: Workspace) -> bool:
    """Return whether the run folder has the record, and the cache the weights of a source that is of use."""
    if not place.folder.complete("sources", source.id):
        return False
    return place.folder.record("sources", source.id)["status"] != "done" or _in_cache(source.id, place.cache)


def _in_cache(id: str, cache: Path) -> bool:
    """Return whether it was trained: its weights are there, or a record that it is of no use, which needs none."""
    folder = RunFolder(cache)
    return folder.complete("sources", id) and (
        (folder.unit("sources", id) / WEIGHTS_FILE).is_file() or folder.record("sources", id)["status"] != "done"
    )


@dataclass(frozen=True)
class SourceJob:
    """Trains a source once, in the cache that runs share, and leaves its record in the run folder.

    Attributes:
        start: The source that it starts from. One that collapsed or diverged is a result; units that start from it end
            alike.
    """

    place: Workspace
    source: Source
    device: str = "cpu"
    start: Source | None = None

    def __call__(self, context: Context) -> None:
        """See `Job`."""
        from assay.execution.jobs import TrainJob

        id, folder = self.source.id, self.place.folder
        start = time.time()
        if failure := _failed_source_record(self.start, folder):
            _write_untrained(folder, "sources", self.source.training, failure, provenance(start, self.device))
            return
        shared = replace(self.place, root=self.place.cache)
        unit = cache_folder(self.place.cache, "sources", checked_id(id))

        def wait() -> None:
            context.report(0.0, "another run trains it")
            if context.should_stop():
                raise Stopped
            time.sleep(_POLL_SECONDS)

        if _in_cache(id, self.place.cache):  # existing sources may be read-only
            self._take(shared.folder)
            return
        _check_weights(self.start, self.place)
        with file_lock(unit / ".lock", wait, remedy=NO_ROOM_REMEDY):
            if not _in_cache(id, self.place.cache):  # another run may have left it meanwhile
                (unit / "record.json").unlink(missing_ok=True)  # weights that were deleted are trained again
                for partial_file in unit.glob(".*.partial"):  # by one that was killed: the lock is held
                    partial_file.unlink(missing_ok=True)
                TrainJob(shared, self.source.data, self.source.training, self.device, kind="sources")(context)
            self._take(shared.folder)

    def _take(self, shared: RunFolder) -> None:
        """Copy its files in the cache, except its weights, into the run folder."""
        id, folder = self.source.id, self.place.folder
        unit = shared.unit("sources", id)
        for name in (CURVE, PROVENANCE):
            if (unit / name).is_file():  # one that diverged has no curve
                write_bytes(folder.unit("sources", id) / name, (unit / name).read_bytes())
        folder.write_record("sources", id, shared.record("sources", id))


@dataclass(frozen=True)
class StartedJob:
    """Trains a trial that starts from a source, once that has its record.

    Where the source collapsed or diverged, so did the recipe, of which pretraining is a part: the trial's record says
    so, and which source it was.
    """

    train: TrainJob
    start: Source

    def __call__(self, context: Context) -> None:
        """See `Job`."""
        folder, start = self.train.place.folder, time.time()
        if failure := _failed_source_record(self.start, folder):
            _write_untrained(folder, "trials", self.train.training, failure, provenance(start, self.train.device))
        else:
            _check_weights(self.start, self.train.place)
            self.train(context)


def _failed_source_record(start: Source | None, folder: RunFolder) -> dict[str, Any]:
    """Return the record of a unit that starts from an unusable source; empty where it is of use, or there is none."""
    record = folder.record("sources", start.id) if start else {"status": "done"}
    if start is None or record["status"] == "done":
        return {}
    reason = Reason.of(Code.LOST_SOURCE, source=start.label, status=record["status"]) + reason_of(record)
    return {"status": record["status"], "reason": str(reason), WITHOUT_START: start.id}


def _check_weights(start: Source | None, place: Workspace) -> None:
    """Raises StoreError where the weights of a source that is of use are not those that its training left."""
    if start and _in_cache(start.id, place.cache):
        RunFolder(place.cache).checked_path("sources", start.id, WEIGHTS_FILE)


def _write_untrained(
    folder: RunFolder, kind: UnitKind, training: TrainingSpec, record: Mapping[str, Any], facts: Mapping[str, Any]
) -> None:
    """Write the folder of a unit that was never trained: its provenance, and last its record."""
    write_json(folder.unit(kind, training.id) / PROVENANCE, facts)
    folder.write_record(kind, training.id, {"training": training.canonical(), **record})


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

    def first(self, seeds: int) -> Plan:
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
    starts: Mapping[str, Population] | None = None,
    seeds: Mapping[str, int] | None = None,
) -> Plan:
    """Enumerate the units of a study: seed by seed, so that every recipe has a first result early.

    Args:
        starts: The populations of the study's `sources`, by name.
        seeds: Label of a recipe -> its number of seeds, where it has more than the study's.
    """
    with gc_paused():
        return _plan_trials(spec, population, starts or {}, seeds or {})


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
    spec: StudySpec, population: Population, starts: Mapping[str, Population], seeds: Mapping[str, int]
) -> Plan:
    sources: dict[str, Source] = {}
    trials = _trials(spec, population, starts, sources, seeds)
    probes: list[ProbeUnit] = []
    readings: dict[tuple[str, str, str], str] = {}
    columns = column_settings(spec.task, spec.probes, population)
    # many recipes share their environments, and all parts of the units' names but the trial
    ids_by_images: dict[tuple[object, ...], tuple[dict[str, IdFromTrial], list[tuple[IdFromTrial, Component]]]] = {}
    keys: dict[tuple[str, bool], tuple[tuple[str, str], ...]] = {}
    answering_tests = [probe for probe in spec.probes if _scope(probe.name) == "tests"]
    for trial in trials:
        recipe_key = label, _ = trial.point.label, bool(trial.training.members)
        if recipe_key not in keys:
            keys[recipe_key] = tuple((name, test.model_dump_json()) for name, test in trial.tests.items())
        key = keys[recipe_key], trial.training.seed, trial.training.fold, recipe_key[1]
        if key not in ids_by_images:
            identities = image_identities(population.scene(trial.tests, trial.training.seed, trial.training.fold))
            answering_probes = answering_tests if trial.training.members else spec.probes
            read = {name: _by_trial(_reading(identities, name, columns)) for name in identities.tests}
            ids_by_images[key] = (
                read,
                [(_by_trial(unit), each) for unit, each in _probes(answering_probes, identities, columns)],
            )
        trial_id, (read, probed) = canonical_json(trial.id), ids_by_images[key]
        probes += [ProbeUnit(name_of_trial(trial_id), trial, component) for name_of_trial, component in probed]
        for name, name_of_trial in read.items():
            readings[label, trial.id, name] = name_of_trial(trial_id)
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
    starts: Mapping[str, Population],
    sources: dict[str, Source],
    seeds: Mapping[str, int],
) -> list[Trial]:
    """Return all trials; the sources that they start from are added to `sources` by id."""
    trials: list[Trial] = []
    texts: dict[str, dict[str, str]] = {}
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
                recipe, sources_of_recipe = resolve_start(with_weights(point, seed, spec), seed, fold, spec, starts)
                sources |= {source.id: source for source in sources_of_recipe}
                parts: dict[str, Any] = {"environment": point.train, "recipe": recipe, "seed": seed, "fold": fold}
                training = TrainingSpec.model_construct(data=data, **parts)  # all of it was validated with the study
                id = training.named(texts, hash_functions, point.label) if recipe is point.recipe else training.id
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
    return content_hash({**model, **_reading(identities, name, columns)})


def _reading(identities: ImageIdentities, name: str, columns: Mapping[str, Any]) -> dict[str, Any]:
    return {"environment": identities.tests[name], **columns}


IdFromTrial = Callable[[str], str]
"""Canonical JSON of a trial's id -> name of a unit."""


def _by_trial(parts: Mapping[str, Any]) -> IdFromTrial:
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
        (content_hash({**model, **parts}), component) for parts, component in _probes(components, identities, columns)
    ]


def _probes(
    components: Sequence[Component], identities: ImageIdentities, columns: Mapping[str, Any]
) -> Iterator[tuple[dict[str, Any], Component]]:
    images = {"tests": identities.tests, "neutral": identities.neutral}
    for component in components:
        body: dict[str, Any] = {"probe": component.model_dump(), "images": images[_scope(component.name)]}
        if columns:
            body["kept"] = columns
        if _scope(component.name) == "neutral" and (environments := environments_of(component)):
            body["named"] = {name: identities.tests[name] for name in environments.values()}
        yield body, component


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
