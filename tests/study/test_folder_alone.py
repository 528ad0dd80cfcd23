"""What a run folder is good for when the data or code behind it changed or are gone, and who may write to it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.worlds.studies import TINY, WORKING, plan_tiny, run_tiny

import assay
from assay.execution import jobs
from assay.execution.run import rebuild
from assay.execution.tasks import Event, Outcome, Task
from assay.plugin import RunFolder, SpecError, StoreError
from assay.store.files import read_checked_json, write_checked_json
from assay.store.layout import working_in
from assay.study.records import stamp, stored_study, unnamed_units

TABLES = ("trials", "values", "estimates", "contrasts", "environments", "findings", "pictures", "provenance")


@pytest.fixture(scope="module")
def tiny_run(tmp_path_factory: pytest.TempPathFactory, study_cache: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASSAY_CACHE", str(study_cache))
        return run_tiny(tmp_path_factory.mktemp("runs") / "tiny").folder


@pytest.fixture
def copied(tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The run folder on a machine that has neither the data nor the cache."""

    def gone(*_: object, **__: object) -> None:
        raise AssertionError("the data are gone")

    monkeypatch.setattr(jobs, "open_population", gone)
    monkeypatch.setattr(jobs, "_populations", {})
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "empty"))
    return Path(shutil.copytree(tiny_run, tmp_path / "tiny"))


def test_a_report_needs_nothing_but_the_folder(copied: Path) -> None:
    page = (copied / "report.html").read_bytes()
    before = {name: (copied / "tables" / f"{name}.parquet").read_bytes() for name in TABLES}
    shutil.rmtree(copied / "tables")
    (copied / "report.html").unlink()
    assert rebuild(copied).read_bytes() == page
    assert {name: (copied / "tables" / f"{name}.parquet").read_bytes() for name in TABLES} == before


OWN = """
from torch.nn.functional import cross_entropy
from assay.training.objective import Objective
class Plain(Objective):
    def __init__(self, context):
        super().__init__()
    def loss(self, outputs, batch, progress):
        return cross_entropy(outputs.logits, batch.target)
"""


REBUILT = """
import sys
from pathlib import Path
from assay.core.registry import code_trusted
from assay.execution.run import rebuild
from assay.study.records import stamp, stored_study
from assay.store.folder import RunFolder
root = Path(sys.argv[1])
with code_trusted():  # it was edited since it ran here
    rebuild(root)
    stamped = stamp(stored_study(root).plan)["trained"]
print(stamped, RunFolder(root).tables_are_current())
"""


@pytest.fixture
def own_loss(study_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A loss of the user's own, in a module that no process has imported yet."""
    monkeypatch.setenv("ASSAY_CACHE", str(study_cache))
    monkeypatch.syspath_prepend(tmp_path)
    name = f"own_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(OWN)
    return tmp_path / f"{name}.py"


def with_loss(module: Path) -> dict[str, Any]:
    return {**TINY["recipe"], "epochs": 1, "loss": f"{module.stem}:Plain"}


def test_a_report_of_a_loss_that_was_edited_since_is_that_of_the_run(own_loss: Path, tmp_path: Path) -> None:
    root = run_tiny(tmp_path / "tiny", recipe=with_loss(own_loss)).folder
    assert RunFolder(root).tables_are_current()
    before = stamp(stored_study(root).plan)["trained"]
    own_loss.write_text(OWN + "# a comment\n")
    run = [sys.executable, "-B", "-c", REBUILT, str(root)]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=True)
    now, current = done.stdout.split()
    assert now != before
    assert current == "True"


def test_a_loss_that_is_edited_while_python_runs_is_refused_as_the_old_code_would_run(
    own_loss: Path, tmp_path: Path
) -> None:
    first = plan_tiny(tmp_path / "tiny", recipe=with_loss(own_loss))
    (name,) = {trial.id for trial in first.plan.trials}
    own_loss.write_text(OWN.replace("cross_entropy(", "2 * cross_entropy("))
    assert first.plan.trials[0].training.id == name, "the name is that of the code that this process has"
    with pytest.raises(SpecError, match=f"{own_loss.stem} was edited after this Python process .*: restart Python"):
        plan_tiny(tmp_path / "tiny", recipe=with_loss(own_loss))
    assert plan_tiny(tmp_path / "other").new_trials == 1, "a study that does not name it is none the worse"


def test_a_worker_that_finds_a_loss_edited_since_planning_does_not_run_it(own_loss: Path, tmp_path: Path) -> None:
    """It imports the module when it begins, perhaps an hour after the study was planned."""
    prepared = plan_tiny(tmp_path / "tiny", recipe=with_loss(own_loss))
    ((module, code),) = prepared.workspace.code
    assert module == own_loss.stem
    for task in prepared.tasks:
        job: Any = task.job.job  # within its lease
        assert job.workspace.code == ((module, code),)
        with pytest.raises(SpecError, match="was edited since this run began: run the same command again"):
            replace(job, workspace=replace(job.workspace, code=((module, "another"),)))(WORKING)
    assert not (tmp_path / "tiny").exists()


def test_a_model_is_loaded_from_the_folder_alone(copied: Path) -> None:
    (trial,) = (copied / "trials").iterdir()
    assert assay.load_model(trial).seed == 0


def test_clean_goes_by_what_was_run_and_not_by_the_data_of_today(copied: Path) -> None:
    assert unnamed_units(copied) == []


def test_clean_refuses_when_the_study_names_nothing_here(copied: Path) -> None:
    plan = read_checked_json(copied / "plan.json")
    write_checked_json(copied / "plan.json", {**plan, "trials": [], "probes": [], "readings": []})
    with pytest.raises(StoreError, match="names none of the 3 units here, so nothing is cleaned"):
        unnamed_units(copied)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"schema": None}, r"run\.json has no schema version: it was not written by Assay"),
        ({"schema": 99}, r"run\.json has schema 99, this Assay reads up to \d+: install a newer Assay"),
        (
            {"request": {"spec": {"name": "tiny"}, "written": {}}},
            r"run\.json: data: Field required; run the study again with its spec$",
        ),
        ({"request": {"spec": None, "written": {}}}, r"run\.json: .*; run the study again with its spec$"),
    ],
)
def test_a_study_of_another_assay_is_told_in_one_sentence(copied: Path, change: dict[str, object], text: str) -> None:
    study = read_checked_json(copied / "run.json")
    (copied / "manifest.json").unlink()
    write_checked_json(copied / "run.json", {**study, **change})
    with pytest.raises(StoreError, match=text) as told:
        rebuild(copied)
    assert "\n" not in str(told.value)


def test_a_folder_without_a_plan_says_what_to_do(copied: Path) -> None:
    for name in ("plan.json", "manifest.json"):
        (copied / name).unlink()
    with pytest.raises(StoreError, match=r"holds no plan\.json, .*: run the study again with its spec"):
        rebuild(copied)


def test_tables_of_an_earlier_spec_are_told(
    tiny_run: Path, study_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(study_cache))
    root = Path(shutil.copytree(tiny_run, tmp_path / "tiny"))
    assert RunFolder(root).tables_are_current()
    monkeypatch.setattr("assay.execution.local.InProcess", _Interrupted)
    with pytest.raises(KeyboardInterrupt):
        assay.load({**TINY, "seeds": 2}).run(tmp_path, workers=0, progress=False)
    with pytest.warns(UserWarning, match="these tables belong to an earlier spec"):
        assay.open_run(root).table("trials")


class _Interrupted:
    """An executor whose run is interrupted at once."""

    def __init__(self, *_: object) -> None: ...

    def run(self, tasks: list[Task], observe: Any) -> Outcome:
        observe(Event("started", tasks[0]))
        return Outcome(stopped=True)


def test_one_run_at_a_time_works_in_a_folder(
    tiny_run: Path, study_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(study_cache))
    root = tmp_path / "tiny"
    with (
        working_in(root),
        pytest.raises(StoreError, match=r"another run works in .*tiny: wait until it ends, or choose"),
    ):
        run_tiny(root)
    assert [path.name for path in root.iterdir()] == [".lock"]


def test_what_a_killed_run_left_is_removed_by_the_next(
    tiny_run: Path, study_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(study_cache))
    root = Path(shutil.copytree(tiny_run, tmp_path / "tiny"))
    (trial,) = (root / "trials").iterdir()
    (root / "manifest.json").unlink()  # as a run does when it begins
    left = [trial / "checkpoint.pt", trial / ".curve.parquet.77.partial", root / ".plan.json.77.partial"]
    for path in left:
        path.write_bytes(b"half")
    RunFolder(root).write_failure(trial.name, {"task": "probes", "text": "no luck"})
    run_tiny(root)
    assert [path for path in left if path.exists()] == []
    assert RunFolder(root).failures() == {}
