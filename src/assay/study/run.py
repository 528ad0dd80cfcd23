"""Run a study: plan its tasks, train and probe what is missing, compare recipes and write the page.

`prepare` checks a study against its run folder and returns its missing tasks. `run_study` carries them out, and
`StudyRun` has the steps of a run. In a study with looks, the tasks come in rounds: after each look, the study is
prepared again with the seeds that its open comparisons need.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from assay.core.files import default_cache_root
from assay.core.registry import own_code
from assay.core.types import Inputs
from assay.data.cache import ProgressCallback, no_progress
from assay.execution.engines import LEASES
from assay.execution.estimate import Timer, after_units, source_seconds, unit_seconds
from assay.execution.jobs import EnsembleJob, ImportModelJob, ProbeJob, TrainedModel, TrainJob, inputs_of, population_of
from assay.execution.lease import LeasedJob
from assay.execution.local import PROCESSOR, planning_device
from assay.execution.plan import Plan, ProbeUnit, Trial, make_plan
from assay.execution.progress import Stage, stage_printer
from assay.execution.run import ObserverFactory, RunSteps, Tables, carry_out, is_own, record_owner, run_tasks
from assay.execution.sources import Source, SourceJob, StartedJob, check_sources, missing_sources, start_id
from assay.execution.tasks import Event, Executor, Job, Observer, Outcome, Task, with_needs
from assay.execution.workspace import Workspace
from assay.models.weights import has_checkpoint
from assay.report.sentences.reasons import reason_words
from assay.report.words import comparison_name
from assay.shifts.population import Population
from assay.spec.schema import StudySpec
from assay.stats.format import count
from assay.stats.rows import CONCLUSIVE
from assay.store.files import Row, write_text
from assay.store.folder import RunFolder
from assay.store.layout import working_in
from assay.store.manifest import MANIFEST
from assay.study import early, finished
from assay.study.described import gather_records
from assay.study.finished import Result
from assay.study.interim import (
    ComparisonGroup,
    InterimLook,
    comparison_groups,
    deciding_recipes,
    has_next_look,
    look_rows,
    next_seeds,
    order_groups,
    worst_case,
)
from assay.study.kind import STUDY
from assay.study.preflight import (
    check_explainers,
    check_given,
    check_layers,
    check_measurable,
    check_rows,
    check_starts,
    check_weights,
    sweep,
    weight_bytes,
)
from assay.study.records import stamp, store, study_values
from assay.study.registration import require_registered, state
from assay.study.tables import analyze, compute_looks, estimates_so_far

PROBE_PREFIX = "probe-"
"""Prefix of the names of probe tasks, before the id of their trial."""
SOURCE_PREFIX = "source-"
"""Prefix of the name of a source's task, before its id."""
PROBE_RANK = -1
"""Probes of a finished trial come before new trials: results early, and few weights at once."""

PROBED = "trials probed"
"""Unit in which probe tasks are counted."""
ENSEMBLED = "ensembles joined"
"""Unit in which ensembles are counted, which are not trained."""


def training_unit(spec: StudySpec) -> str:
    """Return the unit in which training tasks are counted."""
    return "models read" if spec.models else "trials trained"


@dataclass(frozen=True)
class PreparedStudy:
    """A study ready to run: its tasks and their approximate duration.

    Attributes:
        spec: The study.
        workspace: Its folders.
        population: Its images.
        starts: The images of each of its sources.
        plan: All units.
        tasks: The missing ones.
        new_sources: How many sources are trained.
        new_trials: How many trials are trained.
        new_probes: How many probe units are measured.
        device: As `choose_device` gives it.
        causes: As `finished.causes` gives them before anything is read.
        looks: Those that its records suffice for.
    """

    spec: StudySpec
    workspace: Workspace
    population: Population
    starts: Mapping[str, Population]
    plan: Plan
    tasks: tuple[Task, ...]
    new_sources: int
    new_trials: int
    new_probes: int
    device: str
    causes: str
    looks: Sequence[InterimLook] = ()

    @property
    def undecisive_tasks(self) -> tuple[Task, ...]:
        """Tasks of a study with looks that no primary comparison rests on. They come after the last look."""
        if not self.spec.looks:
            return ()
        units = {trial.id for trial in self.plan.of_recipes(deciding_recipes(self.spec)).trials}
        needed = with_needs([task.id for task in self.tasks if task.unit in units or task.id in units], self.tasks)
        return tuple(task for task in self.tasks if task.id not in needed)

    @property
    def most_trials(self) -> int:
        """Return the number of trainings if no primary comparison is decided before the last look."""
        return len(make_plan(self.spec, self.population, self.starts, worst_case(self.spec)).trainings)

    def seconds(self, workers: int) -> float:
        """Expected seconds with that many workers, from the start of the first one to the page."""
        at_once = min(max(1, workers), len(self.tasks) or 1)
        return sum(task.cost for task in self.tasks) / at_once + after_units(len(self.plan.trials))

    @property
    def tasks_before(self) -> dict[str, int]:
        """Unit of counting -> number of tasks of the plan that an earlier run finished."""
        trained, plan = training_unit(self.spec), self.plan
        ids_by_unit = {
            trained: {trial.id for trial in plan.trainings},
            ENSEMBLED: {trial.id for trial in plan.trials} - {trial.id for trial in plan.trainings},
            PROBED: {(unit.trial.id, unit.trial.point.label) for unit in plan.probes},
        }
        units = [task.counted for task in self.tasks]
        return {unit: len(ids) - units.count(unit) for unit, ids in ids_by_unit.items()}

    def weight_bytes(self) -> int:
        """Bytes of the weights that new trials leave."""
        if self.plan.spec.keep != "all":
            return 0
        new = [trial for trial in self.plan.missing_trials(self.workspace.folder) if not trial.training.members]
        return weight_bytes(new, inputs_of(self.population, self.plan.spec.data, self.plan.spec.task))


def prepare(
    spec: StudySpec,
    root: Path,
    *,
    skip_bad_rows: bool = False,
    device: str = PROCESSOR,
    on_progress: ProgressCallback = no_progress,
) -> PreparedStudy:
    """Plan a study against the contents of its run folder. Reads data, trains nothing, writes nothing there.

    Args:
        device: As `choose_device` gives it.
        on_progress: Callback for images while they are read.

    Raises:
        SpecError: Another study is registered, an environment cannot be made, its images cannot define what a contrast
            compares in it (`check_measurable`), no network has a layer (`check_layers`), or an explainer can explain
            none (`check_explainers`).
        DataError: An environment cannot be read (`check_rows`).
        AssociationError: An environment's associations cannot be had (`check_rows`).
        WeightsError: A start cannot be had (`check_starts`).
        StoreError: Weights that a new probe reads were not kept.
    """
    require_registered(root, spec)
    causes = finished.causes(spec, skip_bad_rows)
    planning_on = planning_device(device)
    workspace, population, source_populations = _open_images(spec, root, skip_bad_rows, planning_on, on_progress)
    plan, looks = _plan_to_next_look(spec, population, source_populations, workspace)
    inputs = inputs_of(population, spec.data, spec.task)
    check_layers(spec, plan, inputs)
    check_explainers(spec, plan, inputs)
    trials, probes = plan.missing_trials(workspace.folder), plan.missing_probes(workspace.folder)
    trials_with_start = [
        *trials,
        *(unit.trial for unit in probes),
    ]  # a probe looks at the network before its training too
    sources = missing_sources(plan.sources, {start_id(trial.training.recipe) for trial in trials_with_start}, workspace)
    if not trials and not probes and not sources:
        return PreparedStudy(spec, workspace, population, source_populations, plan, (), 0, 0, 0, device, causes, looks)
    check_weights(probes, workspace.folder)
    check_rows(spec, population, source_populations)
    check_measurable(spec, population)
    check_given(plan, trials, inputs)
    check_starts(plan, inputs, _inputs_of_sources(spec, source_populations))
    ranks = _ranks(plan, looks, trials_with_start)
    tasks = _plan_tasks(
        plan,
        sources,
        trials,
        probes,
        workspace,
        population,
        source_populations,
        device,
        Timer(planning_on, on_progress),
        ranks,
    )
    counts = len(sources), sum(not trial.training.members for trial in trials), len(probes)
    return PreparedStudy(spec, workspace, population, source_populations, plan, tasks, *counts, device, causes, looks)


def check_data(
    spec: StudySpec, root: Path, *, skip_bad_rows: bool = False, on_progress: ProgressCallback = no_progress
) -> None:
    """Check that the images can be read and that every environment can be made of them. Raises as `prepare` does."""
    _, population, source_populations = _open_images(spec, root, skip_bad_rows, PROCESSOR, on_progress)
    check_rows(spec, population, source_populations)
    check_measurable(spec, population)


def _open_images(
    spec: StudySpec, root: Path, skip_bad_rows: bool, device: str, on_progress: ProgressCallback
) -> tuple[Workspace, Population, dict[str, Population]]:
    """Return where a study is kept, its images, and the images of each of its sources."""
    code = own_code(spec.model_dump_json(context={"complete": True}))
    workspace = Workspace(root, default_cache_root(), skip_bad_rows, code)
    population = population_of(spec.data, workspace, device, fresh=True, on_progress=on_progress)
    source_populations = {
        name: population_of(source.data, workspace, device, on_progress=on_progress)
        for name, source in spec.sources.items()
    }
    check_sources(spec, population, source_populations)
    return workspace, population, source_populations


def _plan_to_next_look(
    spec: StudySpec, population: Population, source_populations: Mapping[str, Population], workspace: Workspace
) -> tuple[Plan, list[InterimLook]]:
    """Plan a study; of one with looks, up to the first look that records do not suffice for."""
    plan, seeds, looks = make_plan(spec, population, source_populations), dict[str, int](), list[InterimLook]()
    while spec.looks:
        looks = compute_looks(
            plan, workspace.root, partial(gather_records, folder=workspace.folder, population=population), looks
        )
        needed = next_seeds(spec, looks)
        if needed == seeds:
            break
        seeds = needed
        plan = make_plan(spec, population, source_populations, seeds)
    return plan, looks


def _inputs_of_sources(spec: StudySpec, source_populations: Mapping[str, Population]) -> dict[str, Inputs]:
    return {
        name: inputs_of(source_populations[name], source.data, source.recipe.task)
        for name, source in spec.sources.items()
    }


@dataclass
class StudyRun(RunSteps):
    """A study as a `Run`.

    Attributes:
        prepared: Its present plan.
        again: Prepares it again, with the seeds that a look asks for.
        stage: Callback for the steps after tasks.
    """

    prepared: PreparedStudy
    again: Callable[[], PreparedStudy]
    stage: Stage
    kind = STUDY

    def __post_init__(self) -> None:
        """Note what decides the results, before anything is read."""
        self.causes = self.prepared.causes

    @property
    def request(self) -> StudySpec:
        """The study."""
        return self.prepared.spec

    @property
    def subject(self) -> str:
        """See `Run`."""
        return self.request.name

    @property
    def sources(self) -> Sequence[Path]:
        """See `Run`."""
        return self.request.files

    @property
    def values(self) -> Mapping[str, Any]:
        """See `Run`."""
        return study_values(self.request, self.prepared.workspace.skip_bad_rows)

    @property
    def stamp(self) -> Mapping[str, str]:
        """See `Run`."""
        return stamp(self.prepared.plan)

    def rounds(self, folder: RunFolder) -> Iterator[Sequence[Task]]:
        """Yield the trainings and probes that are missing: up to each look those that it needs, then all others."""
        (folder.root / MANIFEST).unlink(missing_ok=True)  # before any file that it lists
        finished.forget(folder.root)
        state(folder.root, self.request, results_exist=any(folder.ids("probes")))
        _record_plan(self.prepared)
        look_follows, has_run_tasks = bool(self.prepared.tasks), False
        while look_follows:
            later_ids = {task.id for task in self.prepared.undecisive_tasks}
            if current_tasks := [task for task in self.prepared.tasks if task.id not in later_ids]:
                has_run_tasks = True
                yield current_tasks
            if look_follows := self._report_look_and_continue():
                self._prepare_again()
        if self.prepared.undecisive_tasks:
            self.stage("networks that no primary comparison needs follow")
            if has_run_tasks:
                self._prepare_again()  # counts those that are trained by now
            yield self.prepared.undecisive_tasks

    def _prepare_again(self) -> None:
        self.prepared = self.again()
        _record_plan(self.prepared)

    def _report_look_and_continue(self) -> bool:
        """Report the last look at the primary comparisons, and return whether the records ask for another."""
        spec, prepared = self.request, self.prepared
        if not spec.looks:
            return False
        plan, looks = _plan_to_next_look(spec, prepared.population, prepared.starts, prepared.workspace)
        rows = look_rows(looks)
        self._report_look(rows)
        if len(looks) == len(prepared.looks) and (not rows or has_next_look(spec, rows)):
            self.stage(f"no look at {spec.looks[len(looks)]} seeds: networks that it needs failed")
        return has_next_look(spec, rows) and plan.trials != prepared.plan.trials

    def _report_look(self, rows: Sequence[Row], unfinished_ids: Collection[str] = ()) -> None:
        """Report rows of `schema.LOOKS`, on the page too; some comparisons of the last look may be unseen yet."""
        spec = self.request
        for line in look_lines(rows, unfinished_ids):
            self.stage(line)
        if rows:
            last = max(row["look"] for row in rows)
            next_seeds_planned = (
                next((seeds for seeds in spec.looks if seeds > last), 0) if has_next_look(spec, rows) else 0
            )
            page = early.looks_page(spec.name, rows, next_seeds_planned, unfinished_ids)
            write_text(self.prepared.workspace.root / early.PAGE, page)

    @contextmanager
    def watch_groups(self, tasks: Sequence[Task], watch: ObserverFactory) -> Generator[Observer]:
        """Show tasks as `watch` does, and look at each group of comparisons as soon as its networks are finished.

        A group that an earlier look closed waits for none: its networks are trained for the others.
        """
        plan = self.prepared.plan
        closed = {id for look in self.prepared.looks for id in look.closed}
        waiting: dict[ComparisonGroup, set[str]] = {}
        for group in comparison_groups(self.request):
            if group.ids <= closed:
                continue
            units = {trial.id for trial in plan.of_recipes(group.recipes).trials}
            waiting[group] = {task.id for task in tasks if task.unit in units or task.id in units}
        waiting = {group: ids for group, ids in waiting.items() if ids}
        with watch(tasks) as display:

            def observe(event: Event) -> None:
                display(event)
                if event.status != "done":  # a group with a failed network waits for another run
                    return
                for ids in waiting.values():
                    ids.discard(event.task.id)
                finished_groups = [group for group, ids in waiting.items() if not ids]
                for group in finished_groups:
                    del waiting[group]
                if finished_groups and waiting:  # with the last one, the look is complete
                    self._look_early(finished_groups, list(waiting))

            yield observe

    def _look_early(self, finished_groups: Sequence[ComparisonGroup], open_groups: Sequence[ComparisonGroup]) -> None:
        """Look at comparisons whose networks are finished; what goes wrong here ends no study."""
        prepared = self.prepared
        recipes = {label for group in finished_groups for label in group.recipes}
        workspace, plan = prepared.workspace, prepared.plan
        gather_part = partial(gather_records, folder=workspace.folder, population=prepared.population)
        try:
            looks = compute_looks(plan, workspace.root, gather_part, prepared.looks, recipes)
            if len(looks) > len(prepared.looks):
                unfinished_ids = {id for group in open_groups for id in group.ids}
                unfinished_ids -= {id for look in prepared.looks for id in look.closed}
                self._report_look(look_rows(looks), unfinished_ids)
        except Exception as error:
            self.stage(f"no early look: {type(error).__name__}: {error}")

    def conclude(self, folder: RunFolder) -> Tables:
        """Return all tables."""
        tables = analyze(self.prepared.plan, self.prepared.workspace, self.prepared.population, self.stage)
        self.stage("writing the page")
        (folder.root / early.PAGE).unlink(missing_ok=True)
        return tables

    def finish(self, folder: RunFolder, outcome: Outcome) -> None:
        """Pack the units of a study of which nothing failed, and note that it is finished."""
        if outcome.failed:
            return
        plan, skip = self.prepared.plan, self.prepared.workspace.skip_bad_rows
        folder.pack("readings", [id for id in plan.readings.values() if folder.complete("readings", id)])
        folder.pack("probes", [unit.id for unit in plan.probes if folder.complete("probes", unit.id)])
        unlearned_count = count_unlearned(plan.trials, folder)
        finished.remember(folder.root, len(plan.trials), unlearned_count, self.causes, finished.causes(plan.spec, skip))


def run_study(
    prepared: PreparedStudy,
    watch: ObserverFactory,
    executor: Executor,
    stage: Stage | None = None,
    prepare_again: Callable[[], PreparedStudy] | None = None,
) -> Result:
    """Carry out a prepared study and write its tables and page. Failures are recorded and the rest goes on.

    Args:
        prepared: The study as it was planned first.
        watch: Shows the tasks of each look.
        executor: Carries out the tasks.
        stage: Callback for the steps after tasks.
        prepare_again: Prepares the study again, with the seeds that the records of a look ask for; by default
            `prepare` with the same arguments.

    Raises:
        StoreError: Another run works in the folder.
    """
    spec, workspace = prepared.spec, prepared.workspace
    prepare_same = partial(prepare, spec, workspace.root, skip_bad_rows=workspace.skip_bad_rows, device=prepared.device)
    run = StudyRun(prepared, prepare_again or prepare_same, stage or stage_printer(quiet=True))
    pages = early.EarlyPages(
        prepared.plan,
        workspace.root,
        lambda part: estimates_so_far(part, workspace.folder, prepared.population),
        run.stage,
    )
    observed = partial(run.watch_groups if spec.looks else pages.watch, watch=watch)
    done = carry_out(run, workspace.root, executor, observed)
    plan, outcome = run.prepared.plan, done.outcome
    networks = {trial.id for trial in plan.trainings}
    return Result(
        folder=workspace.root,
        trained=sum(id in networks for id in outcome.done),
        probed=sum(id.startswith(PROBE_PREFIX) for id in outcome.done),
        failed=len(outcome.failed),
        unlearned=count_unlearned(plan.trials, workspace.folder),
        stopped=outcome.stopped,
        page=done.page,
    )


def _record_plan(prepared: PreparedStudy) -> None:
    """Keep the plan in the folder, and remove the traces of a killed run."""
    plan, workspace = prepared.plan, prepared.workspace
    store(workspace.folder, plan, inputs_of(prepared.population, plan.spec.data, plan.spec.task))
    sweep(plan, workspace.folder)


def look_lines(rows: Sequence[Row], unfinished_ids: Collection[str] = ()) -> list[str]:
    """Describe the last of the looks at the primary comparisons: which are decided, and which are open.

    Args:
        rows: Rows of `schema.LOOKS`.
        unfinished_ids: Ids of comparisons whose networks are not finished for this look.
    """
    last = max((row["look"] for row in rows), default=0)
    latest = {row["id"]: row for row in rows}
    closed = [row for row in latest.values() if not math.isnan(row["closed_at"]) and row["id"] not in unfinished_ids]
    decided = [row for row in closed if row["decision"] in CONCLUSIVE]
    by_status = {
        "decided": {comparison_name(row): row["decision"] for row in decided},
        "not decidable by seeds": {
            comparison_name(row): reason_words(row["reason"]) for row in closed if row not in decided
        },
        "open": {
            comparison_name(row): "" for row in latest.values() if row not in closed and row["id"] not in unfinished_ids
        },
        "networks not finished": {comparison_name(row): "" for row in latest.values() if row["id"] in unfinished_ids},
    }
    lines = [f"look at {last} seeds: {len(decided)} of {count(len(latest), 'primary comparison')} decided"]
    for status, texts_by_name in by_status.items():
        lines += [f"  {status}: {name}" + (f": {text}" if text else "") for name, text in texts_by_name.items()]
    return lines if rows else []


def count_unlearned(trials: Sequence[Trial], folder: RunFolder) -> int:
    """How many trials collapsed or diverged. Several can share a training, as all confounders do at p = 0."""
    trained = {trial.id for trial in trials if folder.complete("trials", trial.id)}
    unlearned_ids = {id for id in trained if folder.record("trials", id)["status"] != "done"}
    return sum(trial.id in unlearned_ids for trial in trials if not trial.training.members)


def train_only(prepared: PreparedStudy, watch: ObserverFactory, executor: Executor) -> Outcome:
    """Carry out the tasks of a prepared study, without tables and page. Failures are recorded and the rest goes on."""
    with working_in(prepared.workspace.root):
        workspace, spec = prepared.workspace, prepared.spec
        workspace.folder.require(STUDY, spec.name, spec.files)
        record_owner(workspace.root, ours=is_own(workspace.folder))
        _record_plan(prepared)
        workspace.folder.begin(
            STUDY, study_values(spec, workspace.skip_bad_rows), stamp(prepared.plan), spec.name, spec.files
        )
        with watch(prepared.tasks) as display:
            return run_tasks(prepared.tasks, prepared.workspace.folder, executor, display)


def _plan_tasks(
    plan: Plan,
    sources: Sequence[Source],
    trials: Sequence[Trial],
    probes: Sequence[ProbeUnit],
    workspace: Workspace,
    population: Population,
    source_populations: Mapping[str, Population],
    device: str,
    timer: Timer,
    ranks: Mapping[str, int],
) -> tuple[Task, ...]:
    costs = unit_seconds(plan, population, timer)
    source_costs = source_seconds(sources, source_populations, timer)
    by_id = {source.id: source for source in plan.sources}
    pretrain = [
        Task(
            SOURCE_PREFIX + source.id,
            SourceJob(workspace, source, device, by_id.get(source.start)),
            source.label,
            _source_task_id(source.start),
            source_costs[source.id],
            ranks.get(source.id, 0),
            has_checkpoint(RunFolder(workspace.cache).unit("sources", source.id)),
            counted="sources trained",
            unit=source.id,
        )
        for source in sources
    ]
    train = [
        Task(
            trial.id,
            LeasedJob(
                _ensemble_job(trial, workspace)
                or _given_job(trial, plan.spec, workspace, device)
                or _train_job(TrainJob(workspace, plan.spec.data, trial.training, device), by_id),
                workspace.root / LEASES / trial.id,
            ),
            trial.label,
            trial.training.members or _source_task_id(start_id(trial.training.recipe)),
            costs[trial.id][0],
            ranks[trial.id],
            has_checkpoint(workspace.folder.unit("trials", trial.id)),
            counted=ENSEMBLED if trial.training.members else training_unit(plan.spec),
        )
        for trial in trials
    ]
    return (
        *pretrain,
        *train,
        *_probe_tasks(plan, probes, workspace, inputs_of(population, plan.spec.data, plan.spec.task), device, costs),
    )


def _ensemble_job(trial: Trial, workspace: Workspace) -> Job | None:
    return EnsembleJob(workspace, trial.training) if trial.training.members else None


def _given_job(trial: Trial, spec: StudySpec, workspace: Workspace, device: str) -> Job | None:
    """Return the job that takes models that were trained elsewhere; None where a trial is trained."""
    models = spec.given(trial.point, trial.training.seed)
    return ImportModelJob(workspace, spec.data, trial.training, models, device) if models else None


def _train_job(job: TrainJob, sources: Mapping[str, Source]) -> Job:
    """The job that trains a trial, after a look at the source it starts from if it has one."""
    start = sources.get(start_id(job.training.recipe))
    return job if start is None else StartedJob(job, start)


def _ranks(plan: Plan, looks: Sequence[InterimLook], trials_with_start: Sequence[Trial]) -> dict[str, int]:
    """Return the ranks of trainings, by the id of their trial or source.

    The first seeds of all recipes come first, so that an early page can show them. In a study with looks, those come
    first that can decide a primary comparison soonest.
    """
    spec = plan.spec
    if spec.looks:
        missing = Counter(label for label, _ in {(trial.point.label, trial.id) for trial in trials_with_start})
        groups = order_groups(comparison_groups(spec), looks, missing)
        ranks = {trial.id: len(groups) for trial in plan.trials}
        for rank, group in reversed(list(enumerate(groups))):
            ranks |= {trial.id: rank for trial in plan.of_recipes(group.recipes).trials}
    else:
        ranks = {t.id: early.page_number(max(0, t.training.seed - spec.first_seed)) for t in plan.trials}
    sources = {source.id: source for source in plan.sources}
    for trial in sorted(plan.trials, key=lambda trial: ranks[trial.id], reverse=True):
        id = start_id(trial.training.recipe)
        while id:
            ranks[id] = ranks[trial.id]  # at last the lowest of the trials that start from it
            id = sources[id].start
    return ranks


def _source_task_id(id: str) -> tuple[str, ...]:
    return (SOURCE_PREFIX + id,) if id else ()


def _probe_tasks(
    plan: Plan,
    probes: Sequence[ProbeUnit],
    workspace: Workspace,
    inputs: Inputs,
    device: str,
    costs: Mapping[str, tuple[float, float]],
) -> Iterator[Task]:
    """One task per trial and point: trials of one id are probed one after another, and the last drops the weights."""
    by_trial: dict[str, dict[str, list[ProbeUnit]]] = {}
    for unit in probes:
        by_trial.setdefault(unit.trial.id, {}).setdefault(unit.trial.point.label, []).append(unit)
    for id, by_point in by_trial.items():
        previous_task = id
        for n, units in enumerate(by_point.values(), start=1):
            last = n == len(by_point)
            keep_weights = plan.spec.keep == "all" or not last
            job = _probe_job(units, workspace, plan, inputs, keep_weights=keep_weights, device=device)
            name = f"{PROBE_PREFIX}{id}" if n == 1 else f"{PROBE_PREFIX}{id}-{n}"
            needs = (previous_task, *_source_task_id(start_id(units[0].trial.training.recipe)))
            label = f"probes of {units[0].trial.label}"
            leased_job = LeasedJob(job, workspace.root / LEASES / name)
            yield Task(name, leased_job, label, needs, costs[id][1], PROBE_RANK, counted=PROBED, unit=id)
            previous_task = name


def _probe_job(
    units: Sequence[ProbeUnit], workspace: Workspace, plan: Plan, inputs: Inputs, *, keep_weights: bool, device: str
) -> ProbeJob:
    """The job that runs all missing probes of one trial, so that the model is read once per environment."""
    trial, spec = units[0].trial, plan.spec
    tests = trial.tests
    readings = {name: plan.readings[trial.point.label, trial.id, name] for name in tests}
    components = {unit.id: unit.component for unit in units}
    model = TrainedModel.of(workspace.root, trial.id, trial.training, inputs)
    return ProbeJob(workspace, model, spec.data, tests, components, readings, keep_weights, device=device)
