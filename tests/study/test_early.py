"""A study shows the values of its first seeds while it runs, and ends as one that shows none."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.worlds.studies import SMALL, records, run_small

import assay
import assay.study.early

SEEDS = 3
PAGE = "so-far.html"


def run(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], first: int
) -> tuple[list[str], list[str]]:
    """Run the small study; return the lines that it prints while it runs, and the pages that it writes meanwhile."""
    pages = list[str]()

    def write(path: Path, page: str) -> None:
        pages.append(page)
        path.write_text(page)

    monkeypatch.setattr("assay.study.early.FIRST", first)
    monkeypatch.setattr("assay.study.early.write_text", write)
    study = assay.load({**SMALL, "seeds": SEEDS, "labels": {"reversed": "texture against"}})
    assert study.run(root, workers=0).folder == root / "small"
    return capsys.readouterr().err.splitlines(), pages


def test_the_first_seeds_are_shown_and_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    says, pages = run(tmp_path / "shown", monkeypatch, capsys, 1)
    so_far = [text for text in says if "so far" in text]
    assert [text.split(":")[0] for text in so_far] == ["2 of 6 networks", "4 of 6 networks"]
    value = r"0\.\d\d( to 0\.\d\d)?"
    assert re.search(rf": so far AUROC is {value} in-distribution and {value} with texture against; ", so_far[0])
    assert f"a first page, of 2 of 6 networks, comes before the end: {tmp_path / 'shown' / 'small' / PAGE}" in says
    assert "<h1>small: 2 of 6 networks</h1>" in pages[0]
    assert "nothing is decided before" in pages[0]
    assert "mean over the first 2 of 3 seeds" in pages[1]
    assert re.findall(r"<td>([^<]*)</td>", pages[0]) == ["cross-entropy", "SupCon"]
    plain, none = run(tmp_path / "plain", monkeypatch, capsys, SEEDS)
    assert not [text for text in plain if "so far" in text]
    assert not none
    for name in ("shown", "plain"):
        assert not (tmp_path / name / "small" / PAGE).exists()
    assert records(tmp_path / "shown" / "small") == records(tmp_path / "plain" / "small")


def test_the_first_seeds_of_all_recipes_are_trained_before_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended, at_page = list[str](), list[int]()

    def hear(event: Any) -> None:
        if event.status == "done":
            ended.append(event.task.label)

    def write(*_: object) -> None:
        at_page.append(len(ended))

    @contextmanager
    def watch(_: object) -> Generator[Callable[[Any], None]]:
        yield hear

    monkeypatch.setattr("assay.study.early.FIRST", 1)
    monkeypatch.setattr("assay.study.early.write_text", write)
    monkeypatch.setattr("assay.study.run.unit_seconds", _seconds_by_loss)
    run_small(tmp_path / "run", watch, seeds=SEEDS)
    assert at_page == [4, 8]  # a training and its probes of each of two recipes, for one seed and for two
    assert [label for label in ended[:4] if "seed 0" not in label] == []


def _seconds_by_loss(plan: Any, *_: object) -> dict[str, tuple[float, float]]:
    """The networks of one loss take far longer than those of the other."""
    return {trial.id: (100.0 if "supcon" in trial.label else 1.0, 0.1) for trial in plan.trials}


def test_a_page_that_cannot_be_made_ends_no_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> str:
        raise ValueError("no such cell")

    monkeypatch.setattr("assay.study.early._values_page", broken)
    says, pages = run(tmp_path / "run", monkeypatch, capsys, 1)
    assert "no page of the first 1 seeds: ValueError: no such cell" in says
    assert not pages


def test_the_page_of_a_look_has_what_is_open_first() -> None:
    row = {"axis": "loss", "a": "supcon", "b": "cross-entropy", "measure": "auroc", "environment": "reversed"}
    rows = [
        {
            **dict.fromkeys(("factor", "level", "layer", "group", "held", "at"), ""),
            **row,
            "id": id,
            "look": 10,
            "seeds": 10,
            "decision": decision,
            "closed_at": closed,
        }
        for id, decision, closed in (("x", "higher", 10.0), ("y", "inconclusive", float("nan")))
    ]
    page = assay.study.early.looks_page("mine", rows, 20)
    assert "<h1>mine: 1 of 2 primary comparisons open after 10 seeds</h1>" in page
    cells = re.findall(r"<td[^>]*>(open|higher)</td>", page)
    assert cells == ["open", "higher"]
    assert "until the look at 20 seeds" in page
