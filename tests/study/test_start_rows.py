"""What tables say of starts, of group labels and of what doses change: against the records and the kept outputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.study.test_two_sets import hospital
from tests.worlds.studies import TINY, run_tiny
from torchmetrics.functional.classification import binary_auroc

import assay
from assay.plugin import ArrayCache, RunFolder, default_cache_root, empty_network, load_weights
from assay.shifts.sources import open_population
from assay.spec.environments import images_seed
from assay.spec.parse import parse_study
from assay.study.records import stored_study
from assay.study.tables import recipe_rows

WEIGHTS_FILE = "weights.safetensors"

LARGE: dict[str, Any] = {
    "data": {"phantom": "nodule", "size": 32, "train": 64, "validation": 32, "target": "large", "core": "size"},
    "recipe": {"epochs": 4, "batch_size": 8, "optimizer": {"adamw": {"lr": 0.01}}},
}
STUDY: dict[str, Any] = {
    "sources": {"large": LARGE},
    "environments": {
        "train": {"dose": {"confounder": "tag", "p": [0, 1]}},
        "reversed": {"like": "train", "dose": {"p": 1, "on": "negative"}},
    },
    "recipe": {
        "initialization": ["random", "large"],
        "epochs": 3,
        "batch_size": 16,
        "optimizer": {"adamw": {"lr": 0.01}},
    },
    "seeds": 3,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return RunFolder(run_tiny(tmp_path_factory.mktemp("runs") / "start-rows", **STUDY).folder)


def test_every_start_is_told_once(run: RunFolder) -> None:
    random, large = run.table("starts")
    assert (random["start"], random["kind"], random["data"]) == ("random", "random", "")
    assert random["scaling"] == large["scaling"] == "(x - (0.5)) / (0.5)"
    assert (large["start"], large["kind"]) == ("large", "source")
    assert (large["data"], large["phantom"], large["target"], large["size"]) == ("phantom", "nodule", "large", 32)
    assert (large["images"], large["steps"], large["seeds"]) == (64, 32, 3)


def test_a_sources_own_auroc_is_that_of_its_weights_on_its_validation_images(
    run: RunFolder,
) -> None:
    """Read anew from the kept weights, and scored by torchmetrics."""
    sources = stored_study(run.root).plan.sources
    found: list[float] = []
    for source in sources:
        network = empty_network(source.training.recipe, channels=1, size=32, classes=2)
        load_weights(network, default_cache_root() / "sources" / source.id / WEIGHTS_FILE)
        population = open_population(source.data, ArrayCache(default_cache_root()))
        _, validation = population.training(source.training.environment, images_seed(source.training.seed))
        with torch.no_grad():
            logits = network.eval()(validation.images.read(np.arange(len(validation))))
        found.append(float(binary_auroc(logits.softmax(1)[:, 1], torch.as_tensor(validation.table.target))))
    kept = [row["validation_auroc"] for row in run.table("sources")]
    assert kept == pytest.approx(found, abs=1e-6)
    large = run.table("starts")[1]
    assert large["value"] == pytest.approx(sum(found) / 3)
    assert large["low"] < large["value"] < large["high"] <= 1


def test_what_the_dose_changes_is_the_difference_of_the_estimates(run: RunFolder) -> None:
    changes = {json.loads(row["coordinates"])["initialization"]: row for row in run.table("dose_changes")}
    assert set(changes) == {"random", "large"}
    for start, row in changes.items():
        dosed, bare = (values(run, start, p) for p in ("1", "0"))
        assert len(dosed) == len(bare) == 3
        assert json.loads(row["per_seed"]) == pytest.approx({seed: dosed[seed] - bare[seed] for seed in bare})
        assert row["value"] == pytest.approx(sum(dosed.values()) / 3 - sum(bare.values()) / 3)


def values(run: RunFolder, start: str, p: str) -> dict[str, float]:
    rows = [row for row in run.table("seeds") if row["measure"] == "auroc" and row["environment"] == "reversed"]
    plain = [row for row in rows if not (row["factor"] or row["group"] or row["level"])]
    wanted = {"initialization": start, "p": p}
    return {str(row["seed"]): row["value"] for row in plain if json.loads(row["coordinates"]) == wanted}


def test_the_labels_of_every_recipe_are_told() -> None:
    study = {
        **TINY,
        "recipe": {
            **TINY["recipe"],
            "mitigation": ["none", "tests.training.mitigations.own:Reweighted"],
            "groups": "texture",
        },
    }
    plain, weighted = recipe_rows(parse_study(study).points)
    assert labels(plain) == ("", "none", "none")
    assert labels(weighted) == ("texture", "training", "none")
    study["recipe"]["selection"] = "best-worst-group"
    assert labels(recipe_rows(parse_study(study).points)[0]) == ("texture", "none", "validation")


def labels(row: dict[str, Any]) -> tuple[str, str, str]:
    return row["groups"], row["training_labels"], row["selection_labels"]


def test_folds_of_a_source_are_averaged_and_count_as_one_seed(tmp_path: Path) -> None:
    images = hospital(tmp_path / "set", 1)
    columns = {"target": "grade", "patient": "patient", "size": 32, "split": {"folds": 3}}
    learning = {"epochs": 6, "batch_size": 8, "optimizer": {"adamw": {"lr": 0.01}}}
    study = {
        "data": {"folder": str(images), **columns},
        "environments": {"train": {}, "same": {}},
        "sources": {"own": {"data": "own", "recipe": learning}},
        "recipe": {"initialization": "own", "epochs": 1, "batch_size": 8},
        "seeds": 3,
    }
    result = run_tiny(tmp_path / "run", **study)
    assert (result.trained, result.probed) == (9, 9), "a source is neither"
    assert "1 recipe × 3 seeds × 3 folds: 9 training runs" in assay.load({**TINY, **study})._repr_html_()
    run = RunFolder(result.folder)
    (start,) = run.table("starts")
    sources = run.table("sources")
    assert len(sources) == 9
    whole = [seed for seed in range(3) if {row["status"] for row in sources if row["seed"] == seed} == {"done"}]
    assert start["seeds"] == len(whole) > 1
    aurocs = [np.mean([row["validation_auroc"] for row in sources if row["seed"] == seed]) for seed in whole]
    assert start["value"] == pytest.approx(np.mean(aurocs))
