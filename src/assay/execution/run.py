"""A study from spec to page: plan, train and probe what is missing, compare, write the report."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from assay.core.errors import StoreError
from assay.core.spec import StudySpec
from assay.data.cache import default_cache_root
from assay.execution.analysis import analyse
from assay.execution.estimate import unit_seconds
from assay.execution.explain import reasons
from assay.execution.jobs import Place, ProbeJob, TrainJob, population_of, trained_model
from assay.execution.local import Workers
from assay.execution.stated import state
from assay.execution.study import Plan, ProbeUnit, Trial, make_plan
from assay.execution.tasks import Event, Executor, Observer, Task
from assay.probes.probe import Model
from assay.report.page import write_page
from assay.shifts.population import Population
from assay.store.files import read_json, write_json
from assay.store.folder import RunFolder

Watch = Callable[[Sequence[Task]], AbstractContextManager[Observer]]
"""Given the tasks of a run, something to enter that then sees every event."""


@dataclass(frozen=True)
class Prepared:
    """A study ready to run: what there is to do, why it is new, and about how long it takes."""

    spec: StudySpec
    place: Place
    population: Population
    plan: Plan
    tasks: tuple[Task, ...]
    new_trials: int
    new_probes: int
    why: tuple[tuple[str, int], ...]

    def seconds(self, workers: int) -> float:
        """Expected seconds with that many workers."""
        return sum(task.cost for task in self.tasks) / max(1, workers)


@dataclass(frozen=True)
class Result:
    """How a run ended. `page` is None when there is nothing to show yet."""

    folder: Path
    trained: int
    probed: int
    failed: int
    stopped: bool
    page: Path | None


def default_workers() -> int:
    """As many as this process may use cores."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def prepare(spec: StudySpec, root: Path, *, skip_bad_rows: bool = False, device: str = "cpu") -> Prepared:
    """Plan a study against what its run folder already holds. Reads data, trains nothing, writes nothing there."""
    place = Place(root, default_cache_root(), skip_bad_rows)
    population = population_of(spec.data, place.cache, skip_bad_rows)
    plan = make_plan(spec, population)
    trials, probes = plan.missing_trials(place.folder), plan.missing_probes(place.folder)
    known = [place.folder.record("trials", id)["training"] for id in place.folder.ids("trials")] if trials else []
    why = reasons([trial.training.canonical() for trial in trials], known)
    tasks = _tasks(plan, trials, probes, place, population, device) if trials or probes else ()
    return Prepared(spec, place, population, plan, tasks, len(trials), len(probes), tuple(why))


def run_study(prepared: Prepared, watch: Watch, executor: Executor) -> Result:
    """Carry out a prepared study and write its tables and page. Failures are kept and the rest goes on."""
    folder = prepared.place.folder
    _store(prepared.spec, prepared.place)
    with watch(prepared.tasks) as display:
        outcome = executor.run(prepared.tasks, lambda event: _kept(prepared.place, event, display))
    trials = {trial.id for trial in prepared.plan.trials}
    trained = sum(id in trials for id in outcome.done)
    page = None
    if not outcome.stopped:
        analyse(prepared.plan, prepared.place, prepared.population)
        page = write_page(folder.root)
    return Result(folder.root, trained, len(outcome.done) - trained, len(outcome.failed), outcome.stopped, page)


@contextmanager
def quietly(_: Sequence[Task]) -> Generator[Observer]:
    """A `Watch` that shows nothing."""
    yield lambda _: None


def local_executor(workers: int | None) -> Workers:
    """Worker processes on this machine, one per core unless told otherwise."""
    return Workers(workers or default_workers())


def _tasks(
    plan: Plan, trials: Sequence[Trial], probes: Sequence[ProbeUnit], place: Place, population: Population, device: str
) -> tuple[Task, ...]:
    costs = unit_seconds(plan, population)
    train = [
        Task(trial.id, TrainJob(place, plan.spec.data, trial.training, device), trial.label, cost=costs[trial.id][0])
        for trial in trials
    ]
    by_trial: dict[str, list[ProbeUnit]] = {}
    for unit in probes:
        by_trial.setdefault(unit.trial.id, []).append(unit)
    probe = [
        Task(
            f"probe-{id}",
            _probe_job(units, place, plan, device),
            f"probes of {units[0].trial.label}",
            needs=(id,),
            cost=costs[id][1],
        )
        for id, units in by_trial.items()
    ]
    return (*train, *probe)


def _probe_job(units: Sequence[ProbeUnit], place: Place, plan: Plan, device: str) -> ProbeJob:
    """The job that runs all missing probes of one trial, so that the model is read once per environment."""
    trial = units[0].trial
    readings = {name: plan.readings[trial.id, name] for name in trial.point.tests}
    components = {unit.id: unit.component for unit in units}
    keep = plan.spec.keep == "all"
    return ProbeJob(place, plan.spec.data, trial.training, trial.point.tests, components, readings, keep, device)


def _kept(place: Place, event: Event, display: Observer) -> None:
    if event.status == "failed":
        write_json(
            place.folder.failure_path(event.task.id.removeprefix("probe-")),
            {"task": event.task.label, "text": event.text},
        )
    display(event)


def rebuild(root: Path) -> Path:
    """Statistics and page anew from the records of a run folder. Trains and reads nothing.

    Raises StoreError when the folder holds no study.
    """
    spec, place = _stored(root)
    population = population_of(spec.data, place.cache, place.skip_bad_rows)
    analyse(make_plan(spec, population), place, population)
    return write_page(root)


def unnamed(root: Path) -> list[Path]:
    """Units in a run folder that its study no longer names: folders of trials, readings and probes, and failures."""
    spec, place = _stored(root)
    plan = make_plan(spec, population_of(spec.data, place.cache, place.skip_bad_rows))
    named = {trial.id for trial in plan.trials} | {unit.id for unit in plan.probes}
    named |= set(plan.readings.values())
    folders = [path for kind in ("trials", "readings", "probes") for path in sorted((root / kind).glob("*"))]
    failures = sorted((root / "failures").glob("*.json"))
    return [path for path in (*folders, *failures) if path.stem not in named]


def stored_model(trial: Path) -> Model:
    """A trained model from the folder of its trial. Raises StoreError when it holds no complete trial."""
    root, id = trial.parent.parent, trial.name
    spec, place = _stored(root)
    if not place.folder.complete("trials", id):
        raise StoreError(f"{trial} holds no complete trial: choose a folder of trials/ with a record.json")
    plan = make_plan(spec, population_of(spec.data, place.cache, place.skip_bad_rows))
    training = next((planned.training for planned in plan.trials if planned.id == id), None)
    if training is None:
        raise StoreError(f"trial {id} is named by no spec of {root}: run the study that made it again")
    population = population_of(spec.data, place.cache, place.skip_bad_rows)
    return trained_model(place.folder, training, spec.data, population)


def _store(spec: StudySpec, place: Place) -> None:
    state(place.root, spec.contrasts, results_exist=any(place.folder.ids("probes")))
    complete = spec.model_dump(mode="json", context={"complete": True})
    write_json(place.root / "study.json", {"spec": complete, "skip_bad_rows": place.skip_bad_rows}, sort_keys=False)


def _stored(root: Path) -> tuple[StudySpec, Place]:
    RunFolder(root).require_study()
    stored = read_json(root / "study.json")
    return StudySpec.model_validate(stored["spec"]), Place(root, default_cache_root(), stored["skip_bad_rows"])
