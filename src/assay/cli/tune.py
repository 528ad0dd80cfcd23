"""`assay tune`: one value of every recipe, chosen on validation images."""

from __future__ import annotations

import sys
import threading

import typer

from assay.cli.run import disk_lines, plan_lines
from assay.execution.engines import stop_file
from assay.execution.local import choose_device, executor_for
from assay.execution.progress import display_for, reading_shown
from assay.spec.yaml import parse_yaml
from assay.store.files import json_text
from assay.store.folder import RunFolder, require_writable, run_folder
from assay.study.run import prepare, train_only
from assay.study.run_request import TuneRequest
from assay.study.tuning import lines, notes, plan_tuning, table_rows, tried, write_tuned


def tune_command(asked: TuneRequest) -> None:
    """Train what is missing, and print and write what was chosen."""
    given = parse_yaml(f"[{asked.values}]", "--values")[0]
    tuning = plan_tuning(
        asked.spec, asked.axis, given, by=asked.by, overrides=asked.sets, scale=asked.scale, seeds=asked.seeds or 2
    )
    quiet = asked.quiet or asked.as_json
    root, place = run_folder(tuning.spec.name, tuning.scale, asked.out), choose_device(asked.device)
    require_writable(root)
    stopping = threading.Event()
    executor, workers = executor_for(asked.workers, place, stopping.set, stop_file(root))
    with reading_shown(quiet) as notify:
        prepared = prepare(tuning.spec, root, skip_bad_rows=asked.skip_bad_rows, device=place, notify=notify)
    plan = plan_lines(prepared, workers)
    if asked.dry_run:
        print("\n".join([*plan, *disk_lines(prepared)]))
        return
    if not quiet:
        print("\n".join(plan), file=sys.stderr, flush=True)
    outcome = train_only(
        prepared, lambda tasks: display_for(tasks, workers, False, stopping.is_set, quiet=quiet), executor
    )
    if outcome.stopped:
        print("stopped: the same command goes on from here", file=sys.stderr)
        raise typer.Exit(130)
    rows = tried(tuning, prepared.plan.trials, RunFolder(root))
    study = write_tuned(tuning, rows, root, in_place=asked.write)
    if asked.as_json:
        made = {"tried": table_rows(rows), "cautions": notes(tuning, rows), "study": study and str(study)}
        print(json_text(made, sort_keys=False), end="")
    else:
        print("\n".join([*lines(tuning, rows), *([f"study: {study}"] if study else [])]))
    raise typer.Exit(1 if outcome.failed or study is None else 0)
