"""A dose-response of a world in which nothing but the tag tells the target: what must be found, and what must not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.execution.tiny import TINY, run_tiny

from assay.store.files import Row
from assay.store.folder import RunFolder
from assay.store.schema import HALF_DOSES

TAG_ALONE = {
    "data": {**TINY["data"], "train": 384, "validation": 64, "test": 128},
    "environments": {
        "train": {"association": {"margin": 0}, "dose": {"confounder": "tag", "p": [0, 1]}},
        "reversed": {"like": "train", "dose": {"p": 1, "on": "negative"}},
    },
    "recipe": {"loss": ["cross-entropy", "focal"], "epochs": 4, "batch_size": 32, "optimiser": {"adamw": {"lr": 0.01}}},
    "seeds": 3,
    "contrasts": [{"axis": "loss", "against": "cross-entropy", "environment": "reversed", "at": "dose-response"}],
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, study_cache: Path) -> RunFolder:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASSAY_CACHE", str(study_cache))
        return RunFolder(run_tiny(tmp_path_factory.mktemp("runs") / "doses", **TAG_ALONE).folder)


def auroc(run: RunFolder, p: str) -> list[Row]:
    rows = run.table("estimates")
    own = [row for row in rows if row["measure"] == "auroc" and row["environment"] == "reversed" and not row["factor"]]
    return [row for row in own if json.loads(row["coordinates"])["p"] == p and not row["group"]]


def test_a_model_of_the_tag_alone_falls_below_chance_when_it_is_reversed(run: RunFolder) -> None:
    assert all(row["value"] < 0.35 for row in auroc(run, "1"))


def test_there_is_no_margin_to_halve_where_nothing_could_be_learned(run: RunFolder) -> None:
    rows = run.table("half_doses")
    assert [tuple(row) for row in rows] == [HALF_DOSES] * 2
    assert all("is not clear of chance" in row["reason"] or "no seed" in row["reason"] for row in rows)


def test_alike_losses_are_not_told_apart_and_the_page_says_what_the_dose_does(run: RunFolder) -> None:
    (row,) = run.table("contrasts")
    assert row["conclusion"] in ("not shown", "undefined")
    assert "What the dose does" in (run.root / "report.html").read_text()
