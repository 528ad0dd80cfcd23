"""`assay run`: a study from its spec to its page."""

from __future__ import annotations

import json as jsonlib
import sys
from collections.abc import Sequence
from pathlib import Path

from assay.core.parsing import parse_study
from assay.core.spec import StudySpec


def run_folder(spec: StudySpec, scale: str | None, out: Path) -> Path:
    """Where a study's records lie: `out/<name>`, and `out/<name>-<scale>` for a named scale."""
    return out / (f"{spec.name}-{scale}" if scale else spec.name)


def run_command(
    source: str,
    sets: Sequence[str],
    seeds: int | None,
    scale: str | None,
    workers: int | None,
    out: Path,
    skip_bad_rows: bool,
    json: bool,
) -> None:
    """Run, and end with the exit code that says how it went."""
    spec = parse_study(source, overrides=sets, seeds=seeds, scale=scale)

    from assay.cli.progress import display_for, duration
    from assay.execution.run import default_workers, local_executor, prepare, run_study

    say = _nothing if json else _to_stderr
    root = run_folder(spec, scale, out)
    crew = workers or default_workers()
    prepared = prepare(spec, root, skip_bad_rows=skip_bad_rows)
    size = f"{len(prepared.plan.trials)} trials, {len(spec.points)} recipes, {spec.seeds} seeds"
    say(f"{spec.name}: {size}; records in {root}")
    if not prepared.tasks:
        say("every trial and probe is done: nothing to train, comparisons are made anew")
    else:
        say(
            f"{prepared.new_trials} trials to train, {prepared.new_probes} probes to read: about "
            f"{duration(prepared.seconds(crew))} with {crew} workers"
        )
    for reason, count in prepared.why[:8]:
        say(f"  {count} new: {reason}")
    if len(prepared.why) > 8:
        say(f"  and {len(prepared.why) - 8} further reasons")
    result = run_study(prepared, lambda tasks: display_for(tasks, crew, json), local_executor(crew))
    if json:
        print(jsonlib.dumps({"event": "finished", "folder": str(result.folder), "trained": result.trained,
                             "probed": result.probed, "failed": result.failed, "stopped": result.stopped,
                             "report": str(result.page) if result.page else None}))  # fmt: skip
    if result.stopped:
        say(f"stopped: {result.trained} trials were finished; the same command goes on from here")
        sys.exit(130)
    if result.failed:
        say(f"{result.failed} tasks failed; the report shows why, and the same command tries them again")
    say(f"report: {result.page}")
    sys.exit(1 if result.failed else 0)


def _to_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _nothing(_: str) -> None:
    return
