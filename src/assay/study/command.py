"""The commands of studies: `assay run`, `preview`, `register` and `replicate`."""

from __future__ import annotations

import json
import json as jsonlib
import math
import os
import shlex
import shutil
import sys
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from assay.core.terminal import print_lines, terminal_width
from assay.stats.format import count, duration

if TYPE_CHECKING:
    from assay.execution.tasks import Observer, Task
    from assay.spec.schema import StudySpec
    from assay.study.finished import FinishedStudy, Result
    from assay.study.request import ResolvedStudy, RunRequest
    from assay.study.run import PreparedStudy
if TYPE_CHECKING:
    from assay.report.context import PageContext
    from assay.study.request import RunRequest
if TYPE_CHECKING:
    from assay.study.request import RunRequest


def _tell_changed_sources(spec: StudySpec) -> None:
    """Print that a table which `assay init` joined is older than its source, and how to join again."""
    from assay.data.files.joins import changed_since_joined

    changed = [source for data in (spec.data, *spec.data.tests.values()) for source in changed_since_joined(data)]
    for why, line in changed:
        print(f"caution: {why}{f'. To join again: {line}' if line else ''}", file=sys.stderr)


# `assay run`: a study from its spec to its page.


def run_command(request: RunRequest, given: ResolvedStudy | None = None) -> None:
    """Run, and end with the exit code of the outcome. Only the requested output goes to standard output.

    Args:
        request: The request.
        given: The study and its folder, where they are not those of the request.
    """
    settled = given or request.settle(compare=False)
    _tell_changed_sources(settled.spec)

    from assay.study.finished import find_finished

    if (finished_study := find_finished(settled.root, settled.spec, request.skip_bad_rows)) is not None:
        _tell_unchanged(finished_study, settled, request)
        return
    settled = given or request.settle()

    from assay.execution.engines import detach, stop_file
    from assay.execution.local import choose_device, executor_for
    from assay.execution.progress import display_for, show_reading, stage_printer
    from assay.study.run import prepare, run_study

    engine, json, quiet = request.engine, request.as_json, request.as_json or request.quiet
    device = choose_device(request.device) if engine is None else engine.device(request.device)
    stopping = threading.Event()
    if request.detach and engine and not request.dry_run and "SLURM_JOB_ID" not in os.environ:
        job = detach(settled.root, engine.slurm(settled.root), sys.argv[1:])
        _tell_detached(settled.root, f"job {job} plans the study and submits its work")
        return
    remote = None if engine is None or request.dry_run else engine.executor(settled.root, stopping.set, request.detach)
    local, count = executor_for(request.workers, device, stopping.set, stop_file(settled.root))
    executor, before = remote or local, dict[str, int]()

    def prepare_and_count() -> PreparedStudy:
        nonlocal count, before
        with show_reading(quiet) as on_progress:
            prepared = prepare(
                settled.spec, settled.root, skip_bad_rows=request.skip_bad_rows, device=device, on_progress=on_progress
            )
        if engine is not None:
            count = engine.workers(prepared.tasks, remote.backend.at_once if remote else engine.at_once)
        _tell_plan(prepared, count, request)
        before = prepared.tasks_before
        return prepared

    def display(tasks: Sequence[Task]) -> AbstractContextManager[Observer]:
        return display_for(tasks, count, json, stopping.is_set, quiet=quiet, verbose=request.verbose, before=before)

    prepared = prepare_and_count()
    if request.dry_run:
        return
    result = run_study(prepared, display, executor, stage_printer(quiet), prepare_and_count)
    if request.detach and engine and remote and remote.handles:
        rest = [arguments for arguments in sys.argv[1:] if arguments != "--detach"]
        job = detach(settled.root, engine.slurm(settled.root), rest, remote.handles)
        _tell_detached(settled.root, f"the work is submitted; job {job} writes tables and page after it")
        return
    if json:
        print(jsonlib.dumps(_finished_event(result)), flush=True)
    else:
        _print_result(result)
    _show(request, result)
    raise typer.Exit(130 if result.stopped else 1 if result.failed else 0)


def _tell_plan(prepared: PreparedStudy, count: int, request: RunRequest) -> None:
    if request.as_json:
        disk = {"weight_bytes": prepared.weight_bytes()} if request.dry_run else {}
        print(jsonlib.dumps({**_plan_event(prepared, count), **disk}), flush=True)
    elif request.dry_run:
        jobs = [] if request.engine is None else [request.engine.describe_size(prepared.tasks, count)]
        print("\n".join([*plan_lines(prepared, count), *jobs, *disk_lines(prepared)]))
    elif not request.quiet:
        for line in plan_lines(prepared, count):
            print(line, file=sys.stderr, flush=True)


def _tell_detached(root: Path, text: str) -> None:
    print(f"{root}: {text}. `assay status {root}` shows how far it is, `assay cancel {root}` stops it")


def _tell_unchanged(finished_study: FinishedStudy, settled: ResolvedStudy, request: RunRequest) -> None:
    if request.as_json:
        print(jsonlib.dumps(_finished_event(finished_study.result)), flush=True)
    elif request.quiet:
        _print_result(finished_study.result)
    else:
        trials = count(finished_study.trials, "trial")
        print(f"{settled.spec.name}: {trials} done before, and nothing has changed since", file=sys.stderr)
        print(f"`assay doctor {settled.root}` checks the contents of the records", file=sys.stderr, flush=True)
        _print_result(finished_study.result)
    _show(request, finished_study.result)


def _show(request: RunRequest, result: Result) -> None:
    """Open the page where that is asked and it is what its tables give. Raises StoreError where it is another."""
    if request.open and result.page:
        from assay.report.browser import open_page
        from assay.report.page import require_page

        require_page(result.folder)
        open_page(result.page)


def plan_lines(prepared: PreparedStudy, workers: int) -> list[str]:
    """Describe the planned work and its duration."""
    spec, plan = prepared.spec, prepared.plan
    seeds = len({trial.training.seed for trial in plan.trials})
    kinds = ((len(plan.trials), "trial"), (len(spec.points), "recipe"), (seeds, "seed"))
    size = ", ".join(count(number, kind) for number, kind in kinds)
    lines = [f"{spec.name}: {size}; records in {prepared.workspace.root}"]
    lines += [*registration_lines(prepared.workspace.root), *worst_lines(prepared)]
    if not prepared.tasks:
        return [*lines, "every trial and probe is done: nothing to train, comparisons are computed again"]
    time = f"about {duration(prepared.seconds(workers))} with {count(workers, 'worker')}{on_device(prepared)}"
    sources = f"{count(prepared.new_sources, 'source')} and " if prepared.new_sources else ""
    trials, probes = count(prepared.new_trials, "trial"), count(prepared.new_probes, "probe")
    work = f"{count(prepared.new_trials, 'model')} to take" if spec.models else f"{sources}{trials} to train"
    return [*lines, f"{work}, {probes} to read: {time}", *reach_lines(prepared)]


def registration_lines(root: Path) -> list[str]:
    """Name the registration that is next to a run folder, which the study follows; nothing without one.

    One that was taken into the folder is named where this user did not make it here.
    """
    from assay.study.registration import ANOTHER_SOURCE, FILE, read_registration, registration_file

    files = (registration_file(root), root / FILE)
    registrations = {file: registration for file in files if (registration := read_registration(file))}
    foreign = {file: registration for file, registration in registrations.items() if not registration.is_ours}
    if not foreign and files[0] not in registrations:
        return []
    file, registration = next(iter((foreign or registrations).items()))
    caution = f"; time and deposit are as the file states, since it comes from {ANOTHER_SOURCE}" if foreign else ""
    return [f"registration: {file} is there and is used, SHA-256 {registration.sha256}{caution}"]


def reach_lines(prepared: PreparedStudy) -> list[str]:
    """State the smallest difference that a quick look could detect; nothing of a full study.

    Primary comparisons count, and all where none is primary.
    """
    from assay.study.words import is_quick, quick_look

    spec = prepared.spec
    if not is_quick(prepared.workspace.root) or not spec.contrasts:
        return []

    from assay.study.preview import detectable_differences

    every = detectable_differences(spec, prepared.population)
    rows = [row for row in every if row["role"] == "primary"] or every
    detectable = [(float(row["detectable"]), str(row["measure"])) for row in rows if not math.isnan(row["detectable"])]
    least, measure = min(detectable, default=(None, ""))
    return [quick_look(measure, least, spec.seeds)]


def disk_lines(prepared: PreparedStudy) -> list[str]:
    """State the size of the weights that new trials leave, and the free space where they go."""
    root = prepared.workspace.root.absolute()
    free = shutil.disk_usage(next(folder for folder in (root, *root.parents) if folder.is_dir())).free
    weights = prepared.weight_bytes()
    kept_text = (
        f"about {weights / 1e6:,.0f} MB of weights, and the outputs" if weights else "outputs; no weights are kept"
    )
    return [f"disk: {kept_text}; {free / 1e9:,.0f} GB free", "dry run: nothing was trained"]


def worst_lines(prepared: PreparedStudy) -> list[str]:
    """State the looks and the most trials that they can take; nothing of a study with a fixed number of seeds."""
    spec = prepared.spec
    if not spec.looks:
        return []
    from assay.study.preview_page import looks_words

    return [looks_words(spec.looks, prepared.most_trials, len(prepared.plan.trainings))]


def on_device(prepared: PreparedStudy) -> str:
    """Where it runs, when that is not the processor."""
    return "" if prepared.device == "cpu" else f" on {prepared.device}"


def _plan_event(prepared: PreparedStudy, workers: int) -> dict[str, object]:
    return {
        "event": "planned",
        "study": prepared.spec.name,
        "folder": str(prepared.workspace.root),
        "trials": len(prepared.plan.trials),
        "to_train": prepared.new_trials,
        "to_probe": prepared.new_probes,
        "seconds": round(prepared.seconds(workers), 1),
        "workers": workers,
        "device": prepared.device,
        "registration": " ".join(registration_lines(prepared.workspace.root)).removeprefix("registration: "),
    }


def _finished_event(result: Result) -> dict[str, object]:
    read, verdict, lines, _ = _answer(result)
    return {
        "event": "finished",
        "folder": str(result.folder),
        **{name: getattr(result, name) for name in ("trained", "probed", "failed", "unlearned", "stopped")},
        "read": read,
        "verdict": verdict,
        "primary": lines,
        "report": str(result.page) if result.page else None,
    }


def _answer(result: Result) -> tuple[list[str], str, list[str], str]:
    """Return what was read, verdict, a line per primary comparison, and the next step; empty without a page."""
    if result.page is None:
        return [], "", [], ""

    from assay.report.context import PageContext
    from assay.report.sentences.reading import reading_lines
    from assay.report.words import comparison_line, decision_numbers
    from assay.study.words import next_step, primary_rows, verdict

    context = PageContext.of(result.folder)
    lines = [f"{comparison_line(row, context.names)}, {decision_numbers(row)}" for row in primary_rows(context)]
    then = next_step(context, shlex.quote(str(result.folder)))
    return reading_lines(context.facts), verdict(context), lines, then


def _print_result(result: Result) -> None:
    if result.stopped:
        print(f"stopped: {result.trained} trials were finished; the same command continues from here", file=sys.stderr)
        return
    if result.unlearned:
        _warn(
            f"{count(result.unlearned, 'trial')} collapsed or diverged, left out of means: train longer, or lower the "
            "learning rate; the report says which and why"
        )
    if result.failed:
        _warn(f"{count(result.failed, 'task')} failed; the report shows why, and the same command tries again")
    read, verdict, lines, then = _answer(result)
    rows = [f"  {line}" for line in lines]
    print_lines(filter(None, (*read, verdict, *rows, f"report: {result.page}", then)))


def _warn(line: str) -> None:
    from assay.execution.progress import warn

    warn(line)


def preview_command(request: RunRequest) -> None:
    """Print the tables, and write them, pictures and a page to `<run folder>/preview/`."""
    from assay.execution.local import InProcess, choose_device, executor_for
    from assay.execution.progress import show_reading
    from assay.execution.run import carry_out
    from assay.report.browser import open_page
    from assay.report.context import PageContext
    from assay.report.sentences.reading import reading_lines, where_issues_are
    from assay.store.files import json_text
    from assay.store.layout import require_run_folder
    from assay.store.manifest import PREVIEW
    from assay.study.preview import PreviewRun
    from assay.study.preview_page import preview_lines, preview_step
    from assay.study.run import prepare

    settled = request.settle()
    _tell_changed_sources(settled.spec)
    spec, root, device = settled.spec, settled.root, choose_device(request.device)
    require_run_folder(root)
    with show_reading(request.as_json) as on_progress:
        prepared = prepare(spec, root, skip_bad_rows=request.skip_bad_rows, device=device, on_progress=on_progress)
    workers = executor_for(request.workers, device)[1]
    page = carry_out(PreviewRun(prepared, request, workers), root / PREVIEW, InProcess()).page
    assert page is not None
    context = PageContext.of(page.parent)
    if request.as_json:
        print(json_text(_facts(context, page), sort_keys=False), end="")
    else:
        issues = where_issues_are(page.parent)
        step = preview_step(context)
        lines = [*reading_lines(context.facts), *preview_lines(context, terminal_width())]
        print_lines([*lines, *issues, f"preview: {page}", *([step] if step else [])])
    if request.open:
        open_page(page)


def _facts(context: PageContext, page: Path) -> dict[str, object]:
    """Return the rows of the tables, with the numbers of training runs."""
    from assay.report.sentences.reading import reading_lines
    from assay.report.sentences.reasons import reason_words
    from assay.stats.findings import parse_finding

    facts, tables = context.facts, context.tables
    tables_printed = ("environments", "counts", "visibility", "shortcuts", "issues", "power")
    return {
        "read": reading_lines(facts),
        "study": facts["study"],
        "trials": int(facts["training runs"]),
        "to_train": int(facts["new training runs"]),
        "seconds": float(facts["seconds"]),
        "workers": int(facts["workers"]),
        "device": facts["device"],
        **{name: list(tables[name]) for name in tables_printed},
        "doubts": [reason_words(parse_finding(row).reason) for row in tables["findings"] if row["light"] != "ok"],
        "pictures": [str(page.parent / "pictures" / row["file"]) for row in tables["pictures"]],
        "preview": str(page),
    }


def register_command(request: RunRequest, receipt: str) -> None:
    """Register a study whose data a run would accept, and print its file and its hash."""
    from assay.execution.progress import show_reading
    from assay.study.registration import ANOTHER_SOURCE, register, registration_file
    from assay.study.run import check_data

    settled = request.settle()
    with show_reading(quiet=request.as_json) as on_progress:
        check_data(settled.spec, settled.root, skip_bad_rows=request.skip_bad_rows, on_progress=on_progress)
    registration = register(settled.root, settled.spec, receipt)
    file = registration_file(settled.root)
    if request.as_json:
        more = {key: registration.content.get(key, "") for key in ("time", "commit")}
        print(json.dumps({"file": str(file), "sha256": registration.sha256, **more, "receipt": registration.receipt}))
        return
    commit = f", commit {registration.content['commit']}" if registration.content.get("commit") else ""
    print(f"registered: {file}, {registration.content['time']}{commit}\nSHA-256: {registration.sha256}")
    if not registration.is_ours:
        print(f"time and commit are as the file states, since it comes from {ANOTHER_SOURCE}")
    if not registration.receipt:
        print("deposit the hash elsewhere (a commit, an e-mail, a registry), and name the place with --receipt")


def replicate_command(request: RunRequest) -> None:
    """Run the study of a finished run again, in a folder of its own."""
    from assay.execution.run import is_own, record_owner
    from assay.store.find import find_run
    from assay.store.folder import RunFolder
    from assay.store.layout import require_writable, working_in
    from assay.study.replication import SEEDS, keep_earlier, prepare_replication

    settled, first = prepare_replication(find_run(request.spec, request.out), request.out, request.seeds or SEEDS)
    require_writable(settled.root)
    if not request.dry_run:
        with working_in(settled.root):
            record_owner(settled.root, ours=is_own(RunFolder(settled.root)))
            keep_earlier(settled.root, first)
    run_command(request, settled)
