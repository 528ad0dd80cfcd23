"""A study that is run until its primary comparisons are decided, as a whole."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.worlds.studies import SMALL, records

import assay
from assay.execution.local import InProcess
from assay.execution.run import quietly
from assay.spec.parse import parse_study
from assay.study.finished import find_finished
from assay.study.run import prepare, run_study

PRIMARY = {"axis": "loss", "against": "cross-entropy", "measure": "auroc", "role": "primary", "margin": 0.02}
STUDY: dict[str, Any] = {
    **SMALL,
    "name": "looked",
    "recipe": {"loss": ["cross-entropy", "focal", "supcon"], "epochs": 2, "batch_size": 8},
    "contrasts": [
        {**PRIMARY, "levels": ["focal"], "environment": "same"},
        {"axis": "loss", "against": "cross-entropy", "environment": "reversed"},
    ],
}
LOOKS = (3, 4)


@pytest.fixture(scope="module")
def looked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study in one go."""
    folder = tmp_path_factory.mktemp("looks")
    return assay.load(STUDY).run(folder, workers=0, progress=False, looks=LOOKS).folder


def test_seeds_are_spent_on_the_open_comparison_alone(looked: Path) -> None:
    trials = assay.open_run(looked).table("trials")
    assert trials.groupby("recipe")["seed"].nunique().to_dict() == {"cross-entropy": 4, "focal": 4, "supcon": 3}
    looks = assay.open_run(looked).table("looks")
    assert looks[["look", "seeds", "decision"]].to_numpy().tolist() == [[3, 3, "inconclusive"], [4, 4, "inconclusive"]]
    contrasts = assay.open_run(looked).table("contrasts")
    assert contrasts.groupby("role")["seeds"].max().to_dict() == {"primary": 4, "secondary": 3}
    assert "Looks at the primary comparisons" in (looked / "report.html").read_text()


def test_a_study_that_was_killed_between_and_within_looks_ends_with_the_same_records(
    looked: Path, tmp_path: Path
) -> None:
    spec, root = parse_study(STUDY, looks=LOOKS), tmp_path / "looked"
    shutil.copytree(looked, root)
    first = prepare(spec, root)
    assert not first.tasks, "records of all looks are found again"
    for trial in first.plan.trials:
        if trial.training.seed == 3:
            shutil.rmtree(root / "trials" / trial.id)
    for unit in first.plan.probes:
        if unit.trial.training.seed == 3:
            shutil.rmtree(root / "probes" / unit.id)
    assert run_study(prepare(spec, root), quietly, InProcess()).trained == 2
    assert records(root) == records(looked)


def test_the_first_look_alone_is_not_finished(looked: Path, tmp_path: Path) -> None:
    spec, root = parse_study(STUDY, looks=LOOKS), tmp_path / "looked"

    def killed() -> Any:
        raise SystemExit

    with pytest.raises(SystemExit):
        run_study(prepare(spec, root), quietly, InProcess(), again=killed)
    assert find_finished(root, spec, False) is None
    again = assay.load(STUDY).run(tmp_path, workers=0, progress=False, looks=LOOKS)
    assert again.result is not None
    assert again.result.trained == 2
    assert records(root) == records(looked)
    assert find_finished(root, spec, False) is not None
    assert find_finished(root, parse_study(STUDY, seeds=3), False) is None
