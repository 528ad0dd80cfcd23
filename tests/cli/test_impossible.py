"""What cannot be had is told before anything is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.cli.asking import Asking
from tests.worlds.studies import TINY


def tagged(**changes: Any) -> dict[str, Any]:
    return {"like": "train", "interventions": {"tag": {"size": 0.2, "share": 0.5, **changes}}}


@pytest.mark.parametrize(
    ("environment", "text"),
    [
        (
            tagged(size=2.0),
            'interventions.tag = {"size": 2.0, "share": 0.5}\n  a tag of size 2 is 64 x 46 px, larger than',
        ),
        (tagged(share={"malign": 0.5}), "unknown class in the share of 'tag' 'malign'"),
        ({"association": {"texture": 0.9}, "where": {"texture": "solid"}}, "cannot be tied to 'malignant' at +0.9"),
    ],
    ids=["tag", "class", "association"],
)
def test_a_run_that_cannot_be_is_refused_and_nothing_is_written(
    environment: dict[str, Any], text: str, ask: Asking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    study = {**TINY, "environments": {**TINY["environments"], "other": environment}}
    (tmp_path / "tiny.yaml").write_text(json.dumps(study))
    answer = ask("run", "tiny.yaml", "--workers", "0")
    assert (answer.code, answer.out) == (2, "")
    assert text in answer.err
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.yaml"]
