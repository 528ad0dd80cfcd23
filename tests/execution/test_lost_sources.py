"""Pretraining that collapsed, diverged or failed: an outcome of what starts from it, or none."""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.worlds.studies import FURTHER, HOPELESS, LARGE, STUDY, WORKING, prepared, run, source

from assay.core.files import file_lock
from assay.core.reasons import reason_in_words
from assay.execution.sources import SourceJob
from assay.plugin import Code, Diverged, Reason, RunFolder, default_cache_root
from assay.report.sentences.reasons import reason_words
from assay.stats.findings import parse_finding


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))


def test_a_source_that_collapsed_is_an_outcome_of_what_starts_from_it(tmp_path: Path):
    contrast = {"axis": "initialization", "against": "random", "measure": "auroc", "environment": "reversed"}
    root = run(tmp_path, sources=source(**HOPELESS), contrasts=[contrast])
    folder = RunFolder(root)
    assert folder.failures() == {}
    starts = folder.table("sources")
    assert [row["status"] for row in starts] == ["collapsed"]
    lost = [row for row in folder.table("trials") if row["recipe"] == "large"]
    for row, start in zip(lost, starts, strict=True):
        assert row["status"] == "collapsed"
        named = f"source large, seed {row['seed']} collapsed, so no training starts from it: "
        assert reason_words(row["reason"]) == named + reason_words(start["reason"])
        assert math.isnan(row["yardstick"])
    rates = {(row["recipe"], row["against"]): row for row in folder.table("collapses")}
    assert (rates["large", ""]["collapsed"], rates["large", ""]["seeds"], rates["large", ""]["rate"]) == (1, 1, 1.0)
    assert rates["large", "random"]["seeds"] == 1
    assert not any(row["recipe"] == "large" for row in folder.table("estimates"))
    lost = Reason.of(Code.NO_SEED_OF, recipe="large", collapsed=1)
    assert folder.table("contrasts")[0]["reason"] == str(lost)
    said = [reason_words(parse_finding(row).reason) for row in folder.table("findings")]
    assert any("no training run of large counts: 1 collapsed" in text for text in said)
    again = prepared(root, sources=source(**HOPELESS), contrasts=[contrast])
    assert (again.new_sources, again.new_trials, again.new_probes) == (0, 0, 0)  # it would only collapse again


def test_a_source_that_diverged_is_told_as_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def diverge(*_: Any, **__: Any) -> None:
        raise Diverged(3, math.nan)

    one = prepared(tmp_path / STUDY["name"])
    (start,) = one.plan.sources
    with monkeypatch.context() as patch:
        patch.setattr("assay.execution.jobs.fit", diverge)
        SourceJob(one.workspace, start)(WORKING)
    assert one.workspace.folder.record("sources", start.id)["status"] == "diverged"
    trials = RunFolder(run(tmp_path)).table("trials")
    (row,) = (row for row in trials if row["recipe"] == "large")
    assert row["status"] == "diverged"
    assert reason_words(row["reason"]).startswith(
        "source large, seed 0 diverged, so no training starts from it: diverged: the loss is"
    )


def test_a_source_that_diverged_is_not_trained_again_by_another_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Nor is its record taken away, which the first run may be reading: it would only diverge again."""
    fits: list[int] = []

    def diverge(*_: Any, **__: Any) -> None:
        fits.append(1)
        raise Diverged(3, math.nan)

    monkeypatch.setattr("assay.execution.jobs.fit", diverge)
    runs = [prepared(tmp_path / name) for name in ("one", "two")]
    (start,) = runs[0].plan.sources
    for one in runs:
        SourceJob(one.workspace, start)(WORKING)
    assert len(fits) == 1
    assert {one.workspace.folder.record("sources", start.id)["status"] for one in runs} == {"diverged"}


def test_who_waited_for_a_source_takes_what_was_left_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("trained a second time")

    monkeypatch.setattr("assay.execution.jobs.fit", never)
    one = prepared(tmp_path / "one")
    (start,) = one.plan.sources
    cache = RunFolder(default_cache_root())
    with ExitStack() as other:
        other.enter_context(file_lock(cache.unit("sources", start.id) / ".lock"))

        def other_ends(share: float, word: str) -> None:
            assert word == "another run trains it"
            cache.write_record("sources", start.id, {"status": "diverged", "reason": "the loss is nan"})
            other.close()

        SourceJob(one.workspace, start)(replace(WORKING, report=other_ends))
    assert one.workspace.folder.record("sources", start.id)["reason"] == "the loss is nan"


def test_a_source_of_a_source_that_collapsed_has_collapsed_with_it(tmp_path: Path):
    recipe = {**STUDY["recipe"], "initialization": "further"}
    root = run(tmp_path, sources={**source(**HOPELESS), "further": FURTHER}, recipe=recipe)
    first, second = RunFolder(root).table("sources")
    (trial,) = RunFolder(root).table("trials")
    assert (first["status"], second["status"], trial["status"]) == ("collapsed",) * 3
    assert reason_words(second["reason"]).startswith("source large, seed 0 collapsed, so no training starts from it: ")
    assert reason_words(trial["reason"]).startswith(
        "source further, seed 0 collapsed, so no training starts from it: source large, "
    )


def test_what_needs_a_source_that_failed_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: Any, **__: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("assay.execution.jobs.fit", fail)
    recipe = {**STUDY["recipe"], "initialization": "further"}
    root = run(tmp_path, sources={"large": LARGE, "further": FURTHER}, recipe=recipe)
    first, second = RunFolder(root).table("sources")
    (trial,) = RunFolder(root).table("trials")
    assert (first["status"], second["status"], trial["status"]) == ("failed",) * 3
    assert "no space left on device" in reason_words(first["reason"])
    assert second["reason"] == trial["reason"] == str(reason_in_words("needs source large, seed 0, which failed"))
    assert [row["seeds"] for row in RunFolder(root).table("collapses")] == [0]
