"""A run ends with its answer, and its page can be opened from the terminal."""

from __future__ import annotations

import json
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.cli.asking import Asking

from assay.plugin import RunFolder
from assay.store.schema import TABLES
from assay.store.soundness import Soundness
from assay.study.finished import FinishedStudy, Result
from assay.study.kind import STUDY


def primary(environment: str, decision: str, value: float) -> dict[str, Any]:
    """A primary comparison that was tested."""
    return {
        **dict.fromkeys(TABLES["contrasts"].names, ""),
        "id": f"c-{environment}",
        "axis": "loss",
        "a": "supcon",
        "b": "cross-entropy",
        "at": "equal-budget",
        "measure": "auroc",
        "environment": environment,
        "where": "{}",
        "role": "primary",
        "exploratory": False,
        "margin": 0.05,
        "decision": decision,
        "value": value,
        "seeds": 10,
        "decision_low": value - 0.03,
        "decision_high": value + 0.03,
        "decision_level": 0.975,
        "decision_p": 0.012,
    }


LOWER, OPEN = primary("reversed", "lower", -0.04), primary("same", "inconclusive", 0.01)
VERDICTS = {
    "several": (
        [LOWER, OPEN],
        "AUROC in reversed is lower with SupCon than with cross-entropy.",
    ),
    "one": ([LOWER], "AUROC in reversed is lower with SupCon than with cross-entropy."),
    "none": ([], "No comparison was pre-specified, so no difference is claimed."),
}


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The pages that were opened, on a machine with a screen."""
    opened: list[str] = []
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    monkeypatch.setenv("DISPLAY", ":0")

    def shown(url: str) -> bool:
        opened.append(url)
        return True

    monkeypatch.setattr(webbrowser, "open", shown)
    return opened


def finish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, contrasts: Sequence[dict[str, Any]]) -> Path:
    """Make the folder of a finished run that nothing has changed since, in the working folder; return its page."""
    monkeypatch.chdir(tmp_path)
    root = Path("runs/small")
    folder = RunFolder(root)
    for table in TABLES.values():
        if not table.parts:
            folder.write_table(table.name, table.names, contrasts if table.name == "contrasts" else [])
    folder.begin(STUDY, {})
    page = root / "report.html"
    page.write_text("<!doctype html>")
    Soundness(folder).seal()
    result = Result(root, trained=0, probed=0, failed=0, unlearned=0, stopped=False, page=page)
    monkeypatch.setattr("assay.study.finished.find_finished", lambda *_: FinishedStudy(6, result))
    return page.absolute()


@pytest.mark.parametrize(("contrasts", "opening"), VERDICTS.values(), ids=VERDICTS)
def test_a_run_ends_with_the_verdict_the_primary_comparisons_and_the_page(
    contrasts: list[dict[str, Any]],
    opening: str,
    ask: Asking,
    tmp_path: Path,
    browser: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = finish(tmp_path, monkeypatch, contrasts)
    verdict, *lines, page = ask("run", "nodule-loss", "--open").out.splitlines()
    assert (verdict, page) == (opening, "report: runs/small/report.html")
    assert (
        lines
        == [
            "  AUROC in reversed, SupCon against cross-entropy: lower, -0.04 [-0.07, -0.01], 97.5% CI, p = 0.01",
            "  AUROC in same, SupCon against cross-entropy: inconclusive, +0.01 [-0.02, 0.04], 97.5% CI, p = 0.01",
        ][: len(contrasts)]
    )
    assert browser == [path.as_uri()]
    finished = json.loads(ask("run", "nodule-loss", "--json").out.splitlines()[-1])
    assert (finished["verdict"], finished["primary"]) == (verdict, [line.strip() for line in lines])
    assert len(browser) == 1


def test_a_page_opens_in_the_browser_and_over_ssh_is_copied(
    ask: Asking, tmp_path: Path, browser: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = finish(tmp_path, monkeypatch, [])
    assert ask("open", "small").out == "runs/small/report.html\n"
    assert browser == [page.as_uri()]
    other = tmp_path / "comparison" / "report.html"  # of `assay compare --out`, which is not a run folder
    other.parent.mkdir()
    other.write_text("<!doctype html>")
    assert ask("open", "comparison").out == "comparison/report.html\n"
    browser.pop()
    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.2 51234 10.0.0.1 22")
    monkeypatch.setenv("LOGNAME", "ana")
    answer = ask("open", "small")
    assert (answer.out, answer.err) == ("runs/small/report.html\n", f"on your own machine: scp ana@10.0.0.1:{page} .\n")
    assert len(browser) == 1


def test_without_a_screen_or_a_page_the_next_step_is_named(
    ask: Asking, tmp_path: Path, browser: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = finish(tmp_path, monkeypatch, [])
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert ask("open", "small").err == f"no browser here: copy {page}, which needs no other file\n"
    assert browser == []
    page.unlink()
    answer = ask("open", "small")
    assert (answer.code, answer.out) == (2, "")
    assert "`assay report small` writes it" in answer.err
