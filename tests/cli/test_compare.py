"""`assay compare` prints decisions about predictions that were made elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

from tests.analysis.test_predictions import rows_of_file, write
from tests.cli.asking import Asking


def test_the_command_prints_decisions_and_json(tmp_path: Path, ask: Asking) -> None:
    path = write(tmp_path / "p.csv", rows_of_file())
    answer = ask("compare", path, "--by", "loss", "--margin", "0.05")
    lines = answer.out.splitlines()
    assert lines[0] == "AUROC against reference"
    assert lines[1].startswith("  copy       equivalent within 0.05: ")
    assert "95% CI" in lines[1]  # of two tests at 0.025, the first of two by Holm
    assert lines[2].startswith("  worse      lower: -0.")
    found = json.loads(ask("compare", path, "--by", "loss", "--margin", "0.05", "--json").out)
    assert [row["conclusion"] for row in found["contrasts"]] == ["equivalent", "lower"]
    assert found["notes"] == []
    refused = ask("compare", tmp_path / "none.csv", "--by", "loss")
    assert refused.code == 2
    assert "there is no file" in refused.err
