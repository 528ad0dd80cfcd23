"""From a spec to its units of work: which trials, which probes of which trial, and what each is named by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast

from assay.core.hashing import content_hash
from assay.core.registry import lookup
from assay.core.spec import Component, RecipePoint, StudySpec, TrainingSpec
from assay.probes.probe import Probe, Scope
from assay.shifts.neutral import NEUTRAL
from assay.shifts.population import NamedScene, Population
from assay.store.folder import RunFolder


@dataclass(frozen=True)
class Trial:
    """One recipe x training environment x seed (x fold), and the point of the grid that it belongs to."""

    training: TrainingSpec
    point: RecipePoint

    @cached_property
    def id(self) -> str:
        """Its name: the hash of what decides its weights."""
        return self.training.id

    @property
    def label(self) -> str:
        """What progress and messages call it."""
        fold = f", fold {self.training.fold}" if self.training.fold else ""
        return f"{self.point.label}, seed {self.training.seed}{fold}"


@dataclass(frozen=True)
class ProbeUnit:
    """One probe on one trial. `id` covers the trial, the probe's arguments, and the images it looks at."""

    id: str
    trial: Trial
    component: Component


@dataclass(frozen=True)
class Plan:
    """All units of a study, complete or not."""

    spec: StudySpec
    trials: tuple[Trial, ...]
    probes: tuple[ProbeUnit, ...]
    readings: Mapping[tuple[str, str], str]  # (trial id, environment name) -> reading id

    def missing_trials(self, folder: RunFolder) -> list[Trial]:
        """Trials without a record."""
        return [trial for trial in self.trials if not folder.complete("trials", trial.id)]

    def missing_probes(self, folder: RunFolder) -> list[ProbeUnit]:
        """Probe units without a record."""
        return [unit for unit in self.probes if not folder.complete("probes", unit.id)]


def make_plan(spec: StudySpec, population: Population) -> Plan:
    """Enumerate the units of a study: seed by seed, so that every recipe has a first result early."""
    trials = {trial.id: trial for trial in _trials(spec, population)}
    probes: list[ProbeUnit] = []
    readings: dict[tuple[str, str], str] = {}
    for trial in trials.values():
        scene = population.scene(trial.point.tests, trial.training.seed, trial.training.fold)
        probes += _probes(spec.probes, trial, scene)
        for name in scene.names:
            readings[trial.id, name] = content_hash({"trial": trial.id, "environment": scene.identity(name)})
    return Plan(spec, tuple(trials.values()), tuple(probes), readings)


def _trials(spec: StudySpec, population: Population) -> list[Trial]:
    return [
        Trial(
            TrainingSpec(
                data=population.identity(point.train),
                environment=point.train,
                recipe=point.recipe,
                seed=seed,
                fold=fold,
            ),
            point,
        )
        for seed in range(spec.first_seed, spec.first_seed + spec.seeds)
        for point in spec.points
        for fold in range(population.folds)
    ]


def _probes(components: Sequence[Component], trial: Trial, scene: NamedScene) -> list[ProbeUnit]:
    looked_at = {
        "tests": {name: scene.identity(name) for name in scene.names},
        "neutral": scene.identity(NEUTRAL),
    }
    return [
        ProbeUnit(
            content_hash(
                {"trial": trial.id, "probe": component.model_dump(), "images": looked_at[_scope(component.name)]}
            ),
            trial,
            component,
        )
        for component in components
    ]


def _scope(probe: str) -> Scope:
    return cast("type[Probe]", lookup("probe", probe).load()).scope
