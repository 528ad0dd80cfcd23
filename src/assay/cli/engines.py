"""`assay status` and `assay cancel`: runs that go on elsewhere."""

from __future__ import annotations

import json as jsonlib
from dataclasses import asdict
from pathlib import Path

from assay.execution.engines import cancel, status_of
from assay.stats.format import count
from assay.store.folder import find_run


def status_command(run: str, out: Path, json: bool) -> None:
    """Print how far a run is."""
    root = find_run(run, out)
    found = status_of(root)
    if json:
        print(jsonlib.dumps({"folder": str(root), "done": found.done, **asdict(found)}))
        return
    if found.trials:
        trials = count(found.trials, "trial")
        print(f"{root}: {found.trained} of {trials} trained, {found.probed} of {found.probes} probed")
    if found.failed:
        print(f"{count(found.failed, 'unit')} failed: `assay doctor {root}` says why")
    on = f" on {found.engine}" if found.engine else ""
    if found.working or found.submitted:
        waiting = max(0, found.submitted - found.working)
        print(f"{count(found.working, 'unit')} at work{on}" + (f", {waiting} submitted" if found.submitted else ""))
    elif not found.done and not found.jobs:
        print("nothing is at work: the same `assay run` command goes on")
    if found.jobs:
        print(f"the command goes on as {count(len(found.jobs), 'job')} of Slurm: {', '.join(found.jobs)}")


def cancel_command(run: str, out: Path) -> None:
    """Ask a run to stop, from any machine."""
    root = find_run(run, out)
    if status_of(root).done:
        print(f"{root}: finished; there is nothing to cancel")
        return
    found = cancel(root)
    tasks = f"; {count(found, 'submitted task')} not over" if found else ""
    print(
        f"{root}: asked to stop{tasks}. Training stops within seconds and leaves a checkpoint; probes finish "
        "their model. The same `assay run` command goes on"
    )
