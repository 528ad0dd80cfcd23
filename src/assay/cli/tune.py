"""`assay tune`: one value of every recipe, chosen on validation images."""

from __future__ import annotations

import json as jsonlib
import sys
import threading
from pathlib import Path

import typer

from assay.cli.run import disk_lines, plan_lines
from assay.execution.device import choose_device
from assay.execution.local import executor_for
from assay.execution.progress import display_for, reading_shown
from assay.store.folder import RunFolder, require_writable, run_folder
from assay.study.run import prepare, train_only
from assay.study.tuning import Tuning, lines, notes, table_rows, tried, write_tuned


def tune_command(
    tuning: Tuning,
    *,
    out: Path,
    workers: int | None,
    device: str,
    dry_run: bool,
    write: bool,
    quiet: bool,
    json: bool,
    skip_bad_rows: bool,
) -> None:
    """Train what is missing, and print and write what was chosen.

    Args:
        tuning: The tuning.
        out: The folder of run folders.
        workers: Worker processes; None for one per core.
        device: See `choose_device`.
        dry_run: Print the plan and train nothing.
        write: Write the study over its own file.
        quiet: Print no progress.
        json: Print JSON.
        skip_bad_rows: Leave out rows that cannot be read.
    """
    root, place = run_folder(tuning.spec, tuning.scale, out), choose_device(device)
    require_writable(root)
    stopping = threading.Event()
    executor, workers_used = executor_for(workers, place, stopping.set)
    with reading_shown(quiet or json) as notify:
        prepared = prepare(tuning.spec, root, skip_bad_rows=skip_bad_rows, device=place, notify=notify)
    plan = plan_lines(prepared, workers_used)
    if dry_run:
        print("\n".join([*plan, *disk_lines(prepared)]))
        return
    if not (quiet or json):
        print("\n".join(plan), file=sys.stderr, flush=True)
    outcome = train_only(
        prepared,
        lambda tasks: display_for(tasks, workers_used, False, stopping.is_set, quiet=quiet or json),
        executor,
    )
    if outcome.stopped:
        print("stopped: the same command goes on from here", file=sys.stderr)
        raise typer.Exit(130)
    rows = tried(tuning, prepared.plan.trials, RunFolder(root))
    study = write_tuned(tuning, rows, root, in_place=write)
    if json:
        made = [{key: None if value != value else value for key, value in row.items()} for row in table_rows(rows)]
        print(jsonlib.dumps({"tried": made, "cautions": notes(tuning, rows), "study": study and str(study)}))
    else:
        print("\n".join([*lines(tuning, rows), *([f"study: {study}"] if study else [])]))
    raise typer.Exit(1 if outcome.failed or study is None else 0)
