"""From a spec to its units of work: which trials, which probes of which trial, and what each is named by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from assay.core.check_probes import environments_of
from assay.core.check_task import asks_native
from assay.core.component import Component
from assay.core.hashing import content_hash
from assay.core.registry import lookup
from assay.core.spec import RecipePoint, RecipeSpec, StudySpec, TrainingSpec
from assay.execution.sources import Source, settled
from assay.maps.kinds import KINDS_VERSION
from assay.maps.summary import COLUMNS_VERSION
from assay.probes.probe import Probe, Scope
from assay.shifts.neutral import NEUTRAL
from assay.shifts.population import NamedScene, Population
from assay.store.folder import RunFolder


@dataclass(frozen=True)
class Trial:
    """One recipe x training environment x seed (x fold), and the point of the grid that it belongs to.

    id: the hash of what decides its weights. Points that differ in nothing that is trained (a tag of any size on no
        image) have trials of the same id: trained once, and tested in the environments of each point.
    """

    id: str
    training: TrainingSpec
    point: RecipePoint

    @property
    def label(self) -> str:
        """What progress and messages call it."""
        fold = f", fold {self.training.fold}" if self.training.fold else ""
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

    readings: (label of the point, trial id, environment name) -> reading id. sources: each id once, after what it
    starts from.
    """

    spec: StudySpec
    trials: tuple[Trial, ...]
    probes: tuple[ProbeUnit, ...]
    readings: Mapping[tuple[str, str, str], str]
    sources: tuple[Source, ...] = ()

    def missing_trials(self, folder: RunFolder) -> list[Trial]:
        """Trials without a record, each id once."""
        return [trial for trial in _distinct(self.trials) if not folder.complete("trials", trial.id)]

    def missing_probes(self, folder: RunFolder) -> list[ProbeUnit]:
        """Probe units without a record, each id once."""
        return [unit for unit in _distinct(self.probes) if not folder.complete("probes", unit.id)]

    def ids(self) -> Iterator[str]:
        """The names of all trials, readings and probe units; a trial's name covers its sources."""
        yield from (trial.id for trial in self.trials)
        yield from (unit.id for unit in self.probes)
        yield from self.readings.values()


def _distinct(units: Sequence[Unit]) -> list[Unit]:
    """The first unit of each id."""
    found: dict[str, Unit] = {}
    for unit in units:
        found.setdefault(unit.id, unit)
    return list(found.values())


def make_plan(spec: StudySpec, population: Population, starts: Mapping[str, Population] | None = None) -> Plan:
    """Enumerate the units of a study: seed by seed, so that every recipe has a first result early.

    starts: the populations of the study's `sources`, by name.
    """
    sources: dict[str, Source] = {}
    trials = _trials(spec, population, starts or {}, sources)
    probes: list[ProbeUnit] = []
    readings: dict[tuple[str, str, str], str] = {}
    kept = _kept(spec, population)
    for trial in trials:
        scene = population.scene(trial.point.tests, trial.training.seed, trial.training.fold)
        probes += _probes(spec.probes, trial, scene, kept)
        for name in scene.names:
            id = content_hash({"trial": trial.id, "environment": scene.identity(name), **kept})
            readings[trial.point.label, trial.id, name] = id
    return Plan(spec, tuple(trials), tuple(probes), readings, tuple(sources.values()))


def _kept(spec: StudySpec, population: Population) -> dict[str, Any]:
    """What decides, beside the model and the images, which columns a reading holds; empty where it is as ever."""
    if spec.task != "segmentation":
        return {}
    several = {"kinds": KINDS_VERSION} if len(population.kinds) > 1 else {}
    return {"maps": COLUMNS_VERSION} | several | ({"native": True} if asks_native(spec.probes) else {})


def _trials(
    spec: StudySpec, population: Population, starts: Mapping[str, Population], sources: dict[str, Source]
) -> list[Trial]:
    """All trials; the sources that they start from are added to `sources` by id."""
    trials: list[Trial] = []
    for seed in range(spec.first_seed, spec.first_seed + spec.seeds):
        for point in spec.points:
            data = population.identity(point.train, point.recipe.groups)
            for fold in range(population.folds):
                recipe, needed = settled(point.recipe, seed, fold, spec, starts)
                sources |= {source.id: source for source in needed}
                trials.append(_trial(point, recipe, seed, fold, data))
    return trials


def _trial(point: RecipePoint, recipe: RecipeSpec, seed: int, fold: int, data: Mapping[str, Any]) -> Trial:
    training = TrainingSpec(data=data, environment=point.train, recipe=recipe, seed=seed, fold=fold)
    return Trial(training.id, training, point)


def _probes(
    components: Sequence[Component], trial: Trial, scene: NamedScene, kept: Mapping[str, Any]
) -> list[ProbeUnit]:
    """The probes of a trial, each named by the trial, its own arguments, the images that it looks at and what readings
    hold (`_kept`): readings are written by the probes that read, so that other columns need the probes anew.
    """
    tests = {name: scene.identity(name) for name in scene.names}
    looked_at = {"tests": tests, "neutral": scene.identity(NEUTRAL)}
    units: list[ProbeUnit] = []
    for component in components:
        made = {"trial": trial.id, "probe": component.model_dump(), "images": looked_at[_scope(component.name)]}
        if kept:
            made["kept"] = kept
        if _scope(component.name) == "neutral" and (named := environments_of(component)):
            made["named"] = {name: tests[name] for name in named.values()}
        units.append(ProbeUnit(content_hash(made), trial, component))
    return units


def _scope(probe: str) -> Scope:
    return cast("type[Probe]", lookup("probe", probe).load()).scope
