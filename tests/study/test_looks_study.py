"""A study that is run until its primary comparisons are decided, as a whole."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from tests.worlds.studies import SMALL, records

import assay
from assay.execution.local import InProcess
from assay.execution.run import observe_nothing
from assay.execution.tasks import Event
from assay.plugin import DataError, RunFolder
from assay.spec.parse import parse_study
from assay.study.finished import find_finished
from assay.study.run import prepare, run_study
from assay.study.tables import tables_of

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
    assert run_study(prepare(spec, root), observe_nothing, InProcess()).trained == 2
    assert records(root) == records(looked)


@pytest.mark.nightly
def test_the_first_look_alone_is_not_finished(looked: Path, tmp_path: Path) -> None:
    spec, root = parse_study(STUDY, looks=LOOKS), tmp_path / "looked"

    def killed() -> Any:
        raise SystemExit

    with pytest.raises(SystemExit):
        run_study(prepare(spec, root), observe_nothing, InProcess(), prepare_again=killed)
    assert find_finished(root, spec, False) is None
    again = assay.load(STUDY).run(tmp_path, workers=0, progress=False, looks=LOOKS)
    assert again.result is not None
    assert again.result.trained == 2 + 3, "the second look's, then those of the secondary comparison"
    assert records(root) == records(looked)
    assert find_finished(root, spec, False) is not None
    assert find_finished(root, parse_study(STUDY, seeds=3), False) is None


TWO_QUESTIONS: dict[str, Any] = {
    **STUDY,
    "name": "two-questions",
    "recipe": {**STUDY["recipe"], "loss": ["cross-entropy", "focal", "supcon", "triplet"]},
    "contrasts": [
        {**PRIMARY, "levels": ["focal", "supcon"], "environment": "same", "family": "same"},
        {**PRIMARY, "levels": ["focal"], "environment": "reversed", "family": "reversed", "margin": 0.4},
        {"axis": "loss", "against": "cross-entropy", "levels": ["triplet"], "measure": "brier", "environment": "same"},
    ],
}


@dataclass
class Timed(InProcess):
    """An executor for which a training with SupCon takes this long, and any other a second."""

    supcon: float = 1.0

    def run(self, tasks: Sequence[Any], observe: Any) -> Any:
        return super().run(
            [replace(task, cost=self.supcon if "supcon" in task.label else 1.0) for task in tasks], observe
        )


@pytest.mark.nightly
@pytest.mark.parametrize("supcon", [0.1, 10.0])
def test_what_can_be_decided_comes_first_and_is_decided_as_in_the_whole_look(supcon: float, tmp_path: Path) -> None:
    """Cross-entropy and focal settle one question alone, the other needs supcon too, and none needs triplet.

    Which networks of a look take longest, and so come first, differs between machines and changes nothing.
    """
    spec, root = parse_study(TWO_QUESTIONS, looks=LOOKS), tmp_path / "two-questions"
    ended, lines, ended_at, pages = list[str](), list[str](), list[int](), list[str]()

    @contextmanager
    def watch(_: object) -> Generator[Callable[[Event], None]]:
        yield lambda event: ended.append(event.task.label) if event.status == "done" else None

    def hear(line: str) -> None:
        lines.append(line)
        ended_at.append(len(ended))
        page = root / "so-far.html"
        pages.append(page.read_text() if page.exists() else "")

    assert run_study(prepare(spec, root), watch, Timed(supcon=supcon), hear).trained == 3 * 4 + 3
    trained = [label for label in ended if not label.startswith("probes of")]
    assert not [label for label in trained[:6] if "supcon" in label or "triplet" in label]
    assert not [label for label in trained[:-3] if "triplet" in label]
    starts = [n for n, line in enumerate(lines) if line.startswith("look at")]
    assert [(ended_at[n], lines[n][:15]) for n in starts] == [
        (12, "look at 3 seeds"),
        (18, "look at 3 seeds"),
        (24, "look at 4 seeds"),
    ]
    early, whole = lines[starts[0] : starts[1]], lines[starts[1] : starts[2]]
    settled = [line for line in early if line.startswith("  not decidable by seeds: AUROC in reversed")]
    assert settled == [line for line in whole if line.startswith("  not decidable by seeds")] != []
    unfinished = [line.removeprefix("  networks not finished: ") for line in early[2:]]
    assert unfinished == [line.removeprefix("  open: ") for line in whole[2:]]
    assert len(unfinished) == 2
    assert lines[ended_at.index(24) + len(whole)] == "networks that no primary comparison needs follow"
    title = "two-questions: 0 of 3 primary comparisons open after 3 seeds, networks not finished for 2"
    assert [page.count('networks not finished</td><td class="n"></td>') for page in pages if title in page][:1] == [2]
    assert "two-questions: 2 of 3 primary comparisons open after 3 seeds</h1>" in "".join(pages)


class Losing(InProcess):
    """An executor that loses one training with SupCon."""

    def run(self, tasks: Sequence[Any], observe: Any) -> Any:
        lost = [task.id for task in tasks if "supcon" in task.label and "probes" not in task.label][:1]
        return super().run([replace(task, job=_lose) if task.id in lost else task for task in tasks], observe)


def _lose(_: object) -> None:
    raise DataError("lost")


@pytest.mark.nightly
def test_a_failed_network_leaves_the_comparisons_that_need_it_without_a_look(tmp_path: Path) -> None:
    spec, root, lines = parse_study(TWO_QUESTIONS, looks=LOOKS), tmp_path / "two-questions", list[str]()
    result = run_study(prepare(spec, root), observe_nothing, Losing(), lines.append)
    assert (result.failed, result.trained) == (1, 3 * 4 - 1)
    assert len([line for line in lines if line.startswith("look at 3 seeds")]) == 1, "the early one alone"
    assert len([line for line in lines if line.startswith("  networks not finished: AUROC in same")]) == 2
    assert "no look at 3 seeds: networks that it needs failed" in lines
    assert "networks that no primary comparison needs follow" in lines
    lines.clear()
    assert run_study(prepare(spec, root), observe_nothing, InProcess(), lines.append).trained == 1 + 3
    assert [line[:15] for line in lines if line.startswith("look at")] == ["look at 3 seeds", "look at 4 seeds"]


WORST: dict[str, Any] = {
    "name": "looked",
    "data": {"phantom": "nodule", "size": 32, "train": 160, "validation": 64, "test": 96, "core": "margin"},
    "environments": {
        "train": {"association": {"texture": 0.8}},
        "same": {"like": "train"},
        "reversed": {"association": {"texture": -0.8}},
    },
    "recipe": {"loss": ["cross-entropy", "focal"], "epochs": 3, "batch_size": 16, "optimizer": {"adamw": {"lr": 0.01}}},
    "probes": [{"performance": {"smallest_group": 5}}],
    "contrasts": [
        {**PRIMARY, "measure": "worst-group-accuracy", "environment": "reversed"},
        {**PRIMARY, "measure": "worst-group-auroc", "environment": "same"},
    ],
}


@pytest.mark.nightly
def test_looks_at_the_worst_group_are_made_again_from_the_folder_alone(tmp_path: Path) -> None:
    """Another group is the worst after three seeds than after five: the images of both are kept.

    With which seeds it is depends on how a processor rounds, so that some are tried.
    """
    for first_seed in range(0, 80, 10):
        study = assay.load({**WORST, "first_seed": first_seed})
        folder = study.run(tmp_path / str(first_seed), workers=0, progress=False, looks=(3, 4, 5)).folder
        kept = json.loads((folder / "described.json").read_text())["worst"]
        reversed_ones = [entry for entry in kept if entry["environment"] == "reversed"]
        groups = {tuple(entry["group"]) for entry in reversed_ones for recipe, _ in entry["of"] if recipe == "focal"}
        if len(groups) > 1:
            break
    assert len(groups) > 1
    run = RunFolder(folder)
    again, rows = (
        [[row[name] for name in ("id", "look", "value", "decision")] for row in table]
        for table in (tables_of(run)["looks"], run.table("looks"))
    )
    assert again == rows
