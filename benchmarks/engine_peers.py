"""The same tiny grid with Assay, with submitit by hand, and with Ray Tune: lines of user code, killed workers, time.

    python benchmarks/engine_peers.py [--out FILE]

Two losses at two numbers of epochs. Each trial of a peer is a study of one trial, so that all ways train the same
networks: their scores are compared. Lines are those of the user's own text that follows here, without blank ones.
Each way runs twice: without a fault, and with one worker killed at work. It counts as lost where a score is missing
after the command has ended, or where the command is still there after the patience. submitit and Assay use a Slurm in
a temporary folder without accounting, which takes root. Peers that are not installed are left out
(`pip install submitit pyarrow`).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from _shared import Page, parser

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.execution.slurm_for_tests import slurm
from tests.worlds.studies import SMALL

SOURCE = str(Path(__file__).parents[1] / "src")
PATIENCE = 400.0
LOSSES, EPOCHS = ["cross-entropy", "supcon"], [2, 3]
BASE: dict[str, Any] = {**SMALL, "seeds": 1, "contrasts": []}
TRIAL = f"""\
import assay

BASE = {BASE!r}

def trial(loss, epochs):
    recipe = {{**BASE["recipe"], "loss": loss, "epochs": epochs}}
    run = assay.load({{**BASE, "recipe": recipe}}).run(f"one/{{loss}}-{{epochs}}", workers=0, progress=False)
    rows = run.table("seeds").query("measure == 'auroc' and environment == 'reversed' and factor == '' and group == ''")
    return float(rows["value"].iloc[0])
"""
"""What both peers call. It is not counted, since it takes the place of a training script."""
SUBMITIT = """\
import json
from pathlib import Path
import submitit
from trial import trial
executor = submitit.AutoExecutor("logs", cluster="slurm")
executor.update_parameters(timeout_min=30, cpus_per_task=1, slurm_partition="low")
jobs = {}
for loss in ["cross-entropy", "supcon"]:
    for epochs in [2, 3]:
        path = Path(f"scores/{loss}-{epochs}.json")
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            jobs[path] = executor.submit(trial, loss, epochs)
for path, job in jobs.items():
    path.write_text(json.dumps(job.result()))
"""
TUNE = """\
import json
from pathlib import Path
from ray import tune
from trial import trial
place = Path.cwd()
def objective(config):
    import os
    os.chdir(place)
    score = trial(config["loss"], config["epochs"])
    path = place / "scores" / f"{config['loss']}-{config['epochs']}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(score))
    tune.report({"auroc": score})
tuner = tune.Tuner(
    tune.with_resources(objective, {"cpu": 1}),
    param_space={
        "loss": tune.grid_search(["cross-entropy", "supcon"]),
        "epochs": tune.grid_search([2, 3]),
    },
    run_config=tune.RunConfig(
        name="grid", storage_path=str(place / "tune"), failure_config=tune.FailureConfig(max_failures=3)
    ),
)
tuner.fit()
"""
STUDY = """\
recipe:
  loss: [cross-entropy, supcon]
  epochs: [2, 3]
"""
"""The lines of a study by which it is a grid."""


def _processes(mark: str, root: int) -> dict[int, str]:
    """Return processes that were started with a mark, or below a process, and their command lines."""
    below, found = _below(root), dict[int, str]()
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if int(path.name) in below or f"ASSAY_PEER={mark}".encode() in (path / "environ").read_bytes():
                line = (path / "cmdline").read_bytes()
                found[int(path.name)] = line.replace(b"\0", b" ").decode(errors="replace")
    return found


def _below(pid: int) -> set[int]:
    found: set[int] = set()
    with suppress(OSError):
        for path in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in map(int, path.read_text().split()):
                found |= {child} | _below(child)
    return found


def run(command: list[str], folder: Path, variables: dict[str, str], worker: str, kill: bool) -> tuple[float, str]:
    """Run a command, perhaps with one worker killed; return wall seconds and how it ended."""
    mark = f"{folder.name}-{int(kill)}"
    paths = {"PYTHONPATH": f"{SOURCE}:{folder}", "ASSAY_PEER": mark}
    environment = {**os.environ, **variables, **paths, "RAY_worker_niceness": "0"}  # else behind all other processes
    begun, killed = time.perf_counter(), not kill
    with (folder / f"out-{int(kill)}.txt").open("wb") as out:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=out)
        while process.poll() is None and time.perf_counter() - begun < PATIENCE:
            time.sleep(0.2)
            at_work = [
                pid for pid, line in _processes(mark, process.pid).items() if worker in line and pid != process.pid
            ]
            if not killed and at_work and time.perf_counter() - begun > 5:
                with suppress(ProcessLookupError):
                    os.kill(at_work[0], signal.SIGKILL)
                    killed = True
        seconds = time.perf_counter() - begun
        if process.poll() is None:
            process.kill()
            process.wait()
            return seconds, f"still waiting after {seconds:.0f} s"
    return seconds, f"ended with {process.returncode}"


def scores(folder: Path, own: bool) -> dict[str, float]:
    """Return the score of each trial that has one."""
    if not own:
        return {path.stem: json.loads(path.read_text()) for path in sorted((folder / "scores").glob("*.json"))}
    import assay

    with suppress(Exception):
        rows = assay.open_run(next((folder / "runs").iterdir())).table("seeds")
        rows = rows.query("measure == 'auroc' and environment == 'reversed' and factor == '' and group == ''")
        return {f"{row['coordinates.loss']}-{row['coordinates.epochs']}": row["value"] for _, row in rows.iterrows()}
    return {}


def lines(text: str) -> int:
    """Return the number of lines that are not blank."""
    return sum(bool(line.strip()) for line in text.splitlines())


def main() -> None:
    given = parser(__doc__).parse_args()
    assay = [sys.executable, "-m", "assay", "run", "study.json", "--quiet", "--on"]
    ways: dict[str, tuple[list[str], str, int]] = {
        "Assay, `--on slurm`": (
            [*assay, "slurm", "--engine", "partition=low"],
            "assay.execution.remote",
            lines(STUDY) + 1,
        ),
        "Assay, `--on ray`": ([*assay, "ray"], "ray::work", lines(STUDY) + 1),
    }
    if find_spec("submitit"):
        ways["submitit by hand"] = ([sys.executable, "by_submitit.py"], "submitit.core._submit", lines(SUBMITIT))
    if find_spec("pyarrow") and find_spec("ray"):
        ways["Ray Tune"] = ([sys.executable, "by_tune.py"], "ray::ImplicitFunc", lines(TUNE))
    page = Page(("way", "lines", "wall seconds", "scores", "with a killed worker", "wall seconds", "scores"), given.out)
    with tempfile.TemporaryDirectory(prefix="peers-") as name:
        base = Path(name)
        os.environ["ASSAY_CACHE"] = str(base / "cache")
        (base / "slurm").mkdir()
        with slurm(base / "slurm") as variables:
            wanted: dict[str, float] = {}
            for number, (way, (command, worker, count)) in enumerate(ways.items()):
                row: list[object] = [way, count]
                for kill in (False, True):
                    folder = base / f"way-{number}-{int(kill)}"
                    folder.mkdir()
                    study = {**BASE, "recipe": {**BASE["recipe"], "loss": LOSSES, "epochs": EPOCHS}}
                    (folder / "study.json").write_text(json.dumps(study), encoding="utf-8")
                    for file, text in (("trial", TRIAL), ("by_submitit", SUBMITIT), ("by_tune", TUNE)):
                        (folder / f"{file}.py").write_text(text, encoding="utf-8")
                    seconds, end = run(command, folder, variables, worker, kill)
                    found = scores(folder, way.startswith("Assay"))
                    wanted = wanted or found
                    equal = sum(wanted.get(key) == value for key, value in found.items())
                    row += [end] * kill + [f"{seconds:.0f}", f"{equal} of 4 equal"]
                    print((folder / f"out-{int(kill)}.txt").read_text()[-800:], found, file=sys.stderr, flush=True)
                page.row(*row)
    page.close()


if __name__ == "__main__":
    main()
