"""`assay status` and `assay cancel`: runs that go on elsewhere."""

from __future__ import annotations

import json as jsonlib
from dataclasses import asdict
from pathlib import Path

from assay.execution.engines import cancel, status_of
from assay.stats.format import count
from assay.store.find import find_run


def status_command(run: str, out: Path, json: bool) -> None:
    """Print how far a run is."""
    root = find_run(run, out)
    status = status_of(root)
    if json:
        print(jsonlib.dumps({"folder": str(root), "done": status.done, **asdict(status)}))
        return
    if status.trials:
        trials = count(status.trials, "trial")
        print(f"{root}: {status.trained} of {trials} trained, {status.probed} of {status.probes} probed")
    if status.failed:
        print(f"{count(status.failed, 'unit')} failed: `assay doctor {root}` says why")
    on = f" on {status.engine}" if status.engine else ""
    if status.working or status.submitted:
        waiting = max(0, status.submitted - status.working)
        print(f"{count(status.working, 'unit')} at work{on}" + (f", {waiting} submitted" if status.submitted else ""))
    elif not status.done and not status.jobs:
        print("nothing is at work: the same `assay run` command continues")
    if status.jobs:
        print(f"the command continues as {count(len(status.jobs), 'job')} of Slurm: {', '.join(status.jobs)}")


def cancel_command(run: str, out: Path) -> None:
    """Ask a run to stop, from any machine."""
    root = find_run(run, out)
    if status_of(root).done:
        print(f"{root}: finished; there is nothing to cancel")
        return
    canceled = cancel(root)
    tasks = f"; {count(canceled, 'submitted task')} not over" if canceled else ""
    print(
        f"{root}: asked to stop{tasks}. Training stops within seconds and leaves a checkpoint; probes finish their "
        "model. The same `assay run` command continues"
    )
