"""`assay list`, and the checks of `assay doctor` for users and for developers."""

from __future__ import annotations

import json

import pytest
from tests.cli.asking import Asking

from assay.cli import inspect
from assay.cli.inspect import CheckResult


@pytest.mark.parametrize(
    ("plural", "kind"), [("losses", "loss"), ("studies", "study"), ("probes", "probe"), ("measures", "measure")]
)
def test_plurals_are_understood(plural: str, kind: str, ask: Asking) -> None:
    assert ask("list", plural).out == ask("list", kind).out != ""


def test_studies_are_listed_with_their_size_time_and_needs(ask: Asking) -> None:
    lines = {line.split()[0]: line for line in ask("list", "studies").out.splitlines()}
    assert lines["nodule-loss"].split(maxsplit=1)[1] == "110 training runs, about 15 minutes on 2 cores"
    assert lines["dermoscopy"].endswith("30 training runs; needs images dermoscopy")
    assert "weights" in lines["source-matters-xray"].partition("needs images chest-xray; ")[2]
    rows = {row["name"]: row for row in json.loads(ask("list", "studies", "--json").out)}
    assert rows["dermoscopy"]["needs"] == "needs images dermoscopy"
    assert rows["dermoscopy"]["summary"].startswith("Your own images")


def test_what_developers_need_is_checked_on_request_only(ask: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_python", "_torch", "_cache", "_assets", "_weights"):
        monkeypatch.setattr(inspect, name, lambda: [CheckResult("ok", "here", "fine")])
    plain, whole = (ask("doctor", *more).out for more in ([], ["--dev"]))
    assert "playwright" not in plain
    assert "playwright" in whole
    assert "run folder" in plain
