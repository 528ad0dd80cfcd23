"""Planning, resuming, status, tables, page and `assay results` of a study of 1,000 or 10,000 trials.

    assay run nodule-loss --scale quick --set 'probes=[performance, reliance, decodability]'
    python benchmarks/many_trials.py runs/nodule-loss-quick [--trials 1000] [--folder DIR] [--out FILE]

The records of the given run, under other names: its recipes are repeated at other learning rates until there are enough
trials, and noise is added to their logits. Each step then runs in a process of its own, whose processor time and most
resident memory count. With `--folder` the records stay there and are used again. `--plan-only` plans `--trials` in
memory, and writes nothing.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from _shared import Page, parser

from assay.core.files import default_cache_root
from assay.execution.jobs import population_of
from assay.execution.plan import Plan, make_plan
from assay.execution.workspace import Workspace
from assay.spec.schema import RecipePoint, StudySpec
from assay.store.files import read_checked_json, read_json, write_checked_json
from assay.store.folder import RunFolder
from assay.study.kind import STUDY
from assay.study.preflight import sweep
from assay.study.records import stamp, store, stored_study, study_values
from assay.study.registration import state
from assay.study.run import prepare

COPY = "copy"
"""The axis of the learning rates."""
NOISE = 0.3
"""Standard deviation of what is added to logits."""
STEPS: Mapping[str, str] = {
    "plan": "from pathlib import Path; import many_trials; many_trials.planned(Path({root!r}))",
    "resume": "from pathlib import Path; import many_trials; many_trials.resumed(Path({root!r}))",
    "`status`": "from assay.cli import main; main(['status', {root!r}])",
    "tables and page": "from assay.cli import main; main(['report', {root!r}])",
    "`results`": "from assay.cli import main; main(['results', {root!r}])",
    "`results --table estimates`": "from assay.cli import main; main(['results', {root!r}, '--table', 'estimates'])",
    "`results --table estimates --csv`": (
        "from assay.cli import main; main(['results', {root!r}, '--table', 'estimates', '--csv'])"
    ),
}


def options() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("run", type=Path, help="folder of a finished study of a phantom")
    made.add_argument("--trials", type=int, default=1000)
    made.add_argument("--folder", type=Path, help="where the records are kept")
    made.add_argument("--plan-only", action="store_true")
    made.add_argument("--steps", default="", help="comma-separated beginnings of the steps to take, default all")
    return made.parse_args()


def repeated(spec: StudySpec, copies: int) -> StudySpec:
    """The study with each recipe at many learning rates."""
    points = [_at(point, number) for number in range(copies) for point in spec.points]
    axes = {**spec.axes, COPY: tuple(str(number) for number in range(copies))}
    return spec.model_copy(update={"points": tuple(points), "axes": axes, "looks": ()})


def _at(point: RecipePoint, number: int) -> RecipePoint:
    optimizer = point.recipe.optimizer
    rate = optimizer.params["lr"] * (1 + number / 1e6)
    own = optimizer.model_copy(update={"params": {**optimizer.params, "lr": rate}})
    recipe = point.recipe.model_copy(update={"optimizer": own})
    return point.model_copy(update={"recipe": recipe, "coordinates": {**point.coordinates, COPY: str(number)}})


def repeated_for(spec: StudySpec, trials: int) -> StudySpec:
    """The study with so many trials, or a few less."""
    return repeated(spec, round(trials / len(spec.points) / spec.seeds))


def planned_only(run: Path, trials: int) -> str:
    """Plan so many trials of the study of a run folder."""
    study = stored_study(run)
    spec = repeated_for(study.plan.spec, trials)
    population = population_of(spec.data, Workspace(run, default_cache_root(), study.skip_bad_rows))
    start = time.process_time()
    plan = make_plan(spec, population)
    return f"{len(plan.trials)} trials, {len(plan.readings)} readings: {time.process_time() - start:.2f} s"


def planned(root: Path) -> Plan:
    """Plan the study of a run folder, and look for what is missing there."""
    study = stored_study(root)
    place = Workspace(root, default_cache_root(), study.skip_bad_rows)
    start = time.process_time()
    plan = make_plan(study.plan.spec, population_of(study.plan.spec.data, place))
    made = time.process_time()
    missing = len(plan.missing_trials(place.folder)) + len(plan.missing_probes(place.folder))
    print(f"make_plan {made - start:.2f} s, look for {missing} missing {time.process_time() - made:.2f} s", flush=True)
    return plan


def resumed(root: Path) -> None:
    """Do all that a run of the study does before its first task."""
    study = stored_study(root)
    start = time.process_time()
    prepared = prepare(study.plan.spec, root, skip_bad_rows=study.skip_bad_rows)
    ready = time.process_time()
    store(prepared.place.folder, prepared.plan, study.inputs)
    sweep(prepared.plan, prepared.place.folder)
    print(f"prepare {ready - start:.2f} s, store and sweep {time.process_time() - ready:.2f} s", flush=True)


def made_up(run: Path, root: Path, trials: int) -> None:
    """Write a run folder of so many trials, without waiting for the disk after each file."""
    os.fsync = lambda _: None
    base, source = stored_study(run), RunFolder(run)
    spec = repeated_for(base.plan.spec, trials)
    folder = RunFolder(root)
    plan = make_plan(spec, population_of(spec.data, Workspace(root, default_cache_root(), base.skip_bad_rows)))
    root.mkdir(parents=True)
    state(root, spec, results_exist=False)
    store(folder, plan, base.inputs)
    folder.begin(STUDY, study_values(spec, base.skip_bad_rows), stamp(plan), spec.name)
    described: dict[str, Any] = read_checked_json(run / "described.json")
    write_checked_json(root / "described.json", {**described, "pictures": []}, sort_keys=False)
    rng = np.random.default_rng(0)
    earlier = {(trial.point.label, trial.training.seed): trial.id for trial in base.plan.trials}
    readings = {(point, trial, name): id for (point, trial, name), id in base.plan.readings.items()}
    probes = {(u.trial.point.label, u.trial.id, u.component.name): u.id for u in base.plan.probes}
    of_trial: dict[tuple[str, str], tuple[str, str]] = {}
    for trial in plan.trials:
        point = base.plan.spec.points[plan.spec.points.index(trial.point) % len(base.plan.spec.points)].label
        old = earlier[point, trial.training.seed]
        of_trial[trial.point.label, trial.id] = (point, old)
        for name in ("curve.parquet", "provenance.json"):
            target = folder.unit("trials", trial.id) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source.unit("trials", old) / name, target)
        record = source.record("trials", old)
        folder.write_record("trials", trial.id, {**record, "training": trial.training.canonical()})
    for (label, trial, name), id in plan.readings.items():
        old = readings[*of_trial[label, trial], name]
        outputs = source.outputs(old)
        outputs["logits"] = outputs["logits"] + rng.normal(0, NOISE, outputs["logits"].shape)
        folder.write_outputs(id, outputs, {**source.record("readings", old), "trial": trial})
    for unit in plan.probes:
        old = probes[*of_trial[unit.trial.point.label, unit.trial.id], unit.component.name]
        shutil.copytree(source.unit("probes", old), folder.unit("probes", unit.id))
        record = source.record("probes", old)
        names: Mapping[str, str] = record["readings"]
        own = {name: plan.readings[unit.trial.point.label, unit.trial.id, name] for name in names}
        folder.write_record("probes", unit.id, {**record, "trial": unit.trial.id, "readings": own})


def taken(code: str) -> tuple[float, float, str]:
    """Processor seconds, gigabytes at most, and the last line of what a process printed."""
    measured = (
        "import os, sys; most = next(line for line in open('/proc/self/status') if line.startswith('VmHWM')); "
        "print(sum(os.times()[:4]), int(most.split()[1]) / 2**20, file=sys.stderr)"  # getrusage has the parent's memory
    )
    here = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    script = f"try:\n    {code}\nexcept SystemExit as end:\n    assert not end.code, end.code\n{measured}"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": here},
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, memory = map(float, done.stderr.splitlines()[-1].split())
    return seconds, memory, (done.stdout.splitlines() or [""])[-1]


def main() -> None:
    given = options()
    if given.plan_only:
        print(planned_only(given.run, given.trials))
        return
    with tempfile.TemporaryDirectory() as temporary:
        root: Path = given.folder or Path(temporary, "run")
        if not (root / "run.json").is_file():
            made_up(given.run, root, given.trials)
        trials = len(read_json(root / "plan.json")["trials"])
        page = Page(("trials", "step", "processor, s", "memory at most, GB", "note"), given.out)
        for step, code in STEPS.items():
            if step.startswith(tuple(given.steps.split(","))):
                seconds, memory, last = taken(code.format(root=str(root)))
                note = last if step in ("plan", "resume") else ""
                page.row(trials, step, f"{seconds:.1f}", f"{memory:.2f}", note)
        page.close(f"Page {(root / 'report.html').stat().st_size / 1e6:.1f} MB." if given.steps == "" else "")


if __name__ == "__main__":
    main()
