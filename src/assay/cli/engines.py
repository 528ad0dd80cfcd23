"""`assay status` and `assay cancel`: runs that go on elsewhere."""

from __future__ import annotations

import json as jsonlib
from dataclasses import asdict
from pathlib import Path

from assay.cli.results import find_run
from assay.execution.engines import cancel, status_of
from assay.stats.format import count


def status_command(run: str, out: Path, json: bool) -> None:
    """Print how far a run is."""
    root = find_run(run, out)
    found = status_of(root)
    if json:
        print(jsonlib.dumps({"folder": str(root), "done": found.done, **asdict(found)}))
        return
    print(f"{root}: {found.trained} of {count(found.trials, 'trial')} trained, {found.probed} of {found.probes} probed")
    if found.failed:
        print(f"{count(found.failed, 'unit')} failed: `assay doctor {root}` says why")
    on = f" on {found.engine}" if found.engine else ""
    if found.working or found.submitted:
        waiting = max(0, found.submitted - found.working)
        print(f"{count(found.working, 'unit')} at work{on}" + (f", {waiting} submitted" if found.submitted else ""))
    elif not found.done:
        print("nothing is at work: the same `assay run` command goes on")


def cancel_command(run: str, out: Path) -> None:
    """Ask a run to stop, from any machine."""
    root = find_run(run, out)
    if status_of(root).done:
        print(f"{root}: finished; there is nothing to cancel")
        return
    found = cancel(root)
    print(f"{root}: asked to stop; {count(found, 'submitted task')} not over. The same `assay run` command goes on")
