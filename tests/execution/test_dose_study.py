"""A dose-response of a world in which nothing but the confounder tells the target: what must be found, and what not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.execution.tiny import TINY, run_tiny

from assay.store.files import Row
from assay.store.folder import RunFolder
from assay.store.schema import HALF_DOSES

CONFOUNDERS = ("tag", "texture")
"""One that changes pixels, and one by sampling."""
DOSED: dict[str, Any] = {
    "data": {**TINY["data"], "train": 384, "validation": 64, "test": 128},
    "environments": {
        "train": {"association": {"margin": 0}, "dose": {"confounder": list(CONFOUNDERS), "p": [0, 1]}},
        "clean": {"like": "train", "dose": {"p": 0}},
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
        return RunFolder(run_tiny(tmp_path_factory.mktemp("runs") / "doses", **DOSED).folder)


def auroc(run: RunFolder, confounder: str, p: str) -> list[Row]:
    rows = run.table("estimates")
    own = [row for row in rows if row["measure"] == "auroc" and row["environment"] == "reversed" and not row["factor"]]
    at = {"confounder": confounder, "p": p}
    return [row for row in own if json.loads(row["coordinates"]).items() >= at.items() and not row["group"]]


@pytest.mark.parametrize("confounder", CONFOUNDERS)
def test_a_model_of_the_confounder_alone_falls_below_chance_when_it_is_reversed(run: RunFolder, confounder: str):
    values = [row["value"] for row in auroc(run, confounder, "1")]
    assert len(values) == 2
    assert all(value < 0.35 for value in values)


def test_p_0_was_trained_once_for_both(run: RunFolder) -> None:
    assert len({row["trial"] for row in run.table("trials")}) == 2 * (1 + 2) * 3


def test_there_is_no_margin_to_halve_where_nothing_could_be_learned(run: RunFolder) -> None:
    rows = run.table("half_doses")
    assert [tuple(row) for row in rows] == [HALF_DOSES] * 2 * 2 * 2
    assert {json.loads(row["coordinates"])["confounder"] for row in rows} == set(CONFOUNDERS)
    assert all("is not clear of chance" in row["reason"] or "no seed" in row["reason"] for row in rows)


def test_alike_losses_are_not_told_apart_and_the_page_says_what_the_dose_does(run: RunFolder) -> None:
    rows = run.table("contrasts")
    assert [json.loads(row["where"]) for row in rows] == [{"confounder": name} for name in CONFOUNDERS]
    assert all(row["conclusion"] in ("not shown", "undefined") for row in rows)
    page = (run.root / "report.html").read_text()
    assert "What the dose does" in page
    assert "trained at p = 0 and tested in clean" in page


def test_what_a_sampled_dose_achieved_is_told(run: RunFolder) -> None:
    rows = [row for row in run.table("environments") if row["factor"] == "texture" and row["asked"] == row["asked"]]
    by_name = {row["environment"].partition(" (")[0]: row for row in rows}
    assert {name: row["asked"] for name, row in by_name.items()} == {"train": 1, "reversed": -1}
    assert all(row["strength"] == row["asked"] for row in by_name.values())
