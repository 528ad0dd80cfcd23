"""Starts trained on the study's own training images: whose images these are, and what their records keep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.worlds.studies import SMALL, prepared, run

import assay
from assay.core.types import Inputs
from assay.execution.jobs import network_of
from assay.execution.sources import start_id
from assay.execution.workspace import no_network_reason
from assay.plugin import Code, Component, Reason, RunFolder, SpecError, StoreError, WeightsError, default_cache_root
from assay.report.sentences.reasons import reason_words
from assay.shifts.population import Population
from assay.spec.schema import EnvironmentSpec
from assay.store.files import read_rows
from assay.study.records import stored_study

CURVE = "curve.parquet"

OWN: dict[str, Any] = {
    "data": "own",
    "recipe": {"epochs": 2, "batch_size": 16, "loss": {"vicreg": {"embedding": 16}}, "augmentation": ["resized-crop"]},
}
RECIPE = {"initialization": ["random", "own"], "epochs": 1, "batch_size": 16}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))


def test_it_sees_all_training_images_of_the_seed_and_its_record_tells_how_it_went(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environments = {**SMALL["environments"], "train": {"association": {"texture": 0.9}, "fraction": 0.25}}
    seen: list[tuple[int, int]] = []
    training = Population.training

    def watched(self: Population, environment: EnvironmentSpec, seed: int, fold: int = 0) -> Any:
        made = training(self, environment, seed, fold)
        seen.append((seed, len(made[0])))
        return made

    monkeypatch.setattr(Population, "training", watched)
    folder = RunFolder(run(tmp_path, sources={"own": OWN}, recipe=RECIPE, environments=environments))
    assert {seed for seed, _ in seen} == {0}, "images of the seed's own, not of one drawn apart"
    assert {count for _, count in seen} == {SMALL["data"]["train"], SMALL["data"]["train"] // 4}
    (row,) = folder.table("sources")
    assert (row["name"], row["status"], row["images"]) == ("own", "done", SMALL["data"]["train"])
    curve = read_rows(folder.unit("sources", row["source"]) / CURVE)
    assert [one["epoch"] for one in curve] == [1, 2]
    assert all(one["rank"] > 1 and one["spread"] > 0 and 0 <= one["knn_accuracy"] <= 1 for one in curve)
    starts = {one["start"]: (one["data"], one["target"], one["size"]) for one in folder.table("starts")}
    assert starts["own"] == ("own", "", 32)


def test_on_files_each_fold_has_a_source_of_its_own_training_patients(tmp_path: Path) -> None:
    draws = np.random.default_rng(0)
    for label in ("well", "ill"):
        (tmp_path / "images" / label).mkdir(parents=True)
        for number in range(9):
            pixels = draws.integers(0, 255, (32, 32), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / label / f"{number}.png")
    planned = prepared(
        tmp_path / "run",
        data={"classes": str(tmp_path / "images"), "size": 32, "split": {"folds": 3}},
        environments={"train": {}, "same": {}},
        sources={"own": OWN},
        recipe=RECIPE,
    )
    sources = planned.plan.sources
    assert [source.training.fold for source in sources] == [0, 1, 2]
    assert len({source.id for source in sources}) == 3
    started = {
        trial.training.fold: start_id(trial.training.recipe)
        for trial in planned.plan.trials
        if start_id(trial.training.recipe)
    }
    assert started == {source.training.fold: source.id for source in sources}
    population = planned.population
    for source in sources:
        training, validation = population.training(source.training.environment, 0, source.training.fold)
        seen = {*training.table.patient.tolist(), *validation.table.patient.tolist()}
        tested = population.parts(0, source.training.fold).test  # type: ignore[union-attr]
        assert not seen & set(population.table.patient[tested].tolist())  # type: ignore[union-attr]


def test_one_that_dies_is_stopped_and_what_starts_from_it_ends_alike(tmp_path: Path) -> None:
    dies = {**OWN, "recipe": {"epochs": 9, "batch_size": 16, "loss": "tests.training.test_watching:Dies"}}
    folder = RunFolder(run(tmp_path, sources={"own": dies}, recipe=RECIPE))
    (row,) = folder.table("sources")
    record = folder.record("sources", row["source"])
    assert record["status"] == "collapsed"
    assert reason_words(record["reason"]).startswith("the features collapsed: after epoch")
    assert 2 <= len(read_rows(folder.unit("sources", row["source"]) / CURVE)) < 9
    assert no_network_reason(record) == Reason.of(Code.TRAINING_STOPPED)
    assert not (default_cache_root() / "sources" / row["source"] / "weights.safetensors").exists()
    (started,) = (one for one in folder.table("trials") if one["recipe"] == "own")
    assert started["status"] == "collapsed"
    assert reason_words(started["reason"]).startswith(
        "source own, seed 0 collapsed, so no training starts from it: the features collapsed"
    )


def test_a_start_on_gray_images_serves_color_ones_where_the_network_repeats_them(tmp_path: Path) -> None:
    color = {"phantom": "fundus", "size": 64, "train": 16, "validation": 8, "test": 8, "target": "grade",
              "core": "grade"}  # fmt: skip
    changes: dict[str, Any] = {
        "data": color,
        "environments": {"train": {}, "same": {}},
        "sources": {"own": {"data": {"phantom": {"natural": {"classes": 2}}, "size": 64, "train": 16, "validation": 8,
                                     "target": "kind", "core": "kind"}, "recipe": {"epochs": 1}}},
    }  # fmt: skip
    with pytest.raises(SpecError, match=r"source 'own' has gray images .* set in_chans: 3 for it, which repeats gray"):
        prepared(tmp_path / "a", recipe=RECIPE, **changes)
    recipe = {**RECIPE, "architecture": {"small-cnn": {"in_chans": 3}}}
    assert prepared(tmp_path / "b", recipe=recipe, **changes).new_sources == 1


def test_a_start_is_exported_for_others_and_taken_up_as_a_file(tmp_path: Path) -> None:
    opened = assay.open_run(run(tmp_path, sources={"own": OWN}, recipe=RECIPE))
    written = opened.export_start("own", tmp_path / "own.safetensors")
    started = next(trial for trial in stored_study(opened.folder).plan.trials if start_id(trial.training.recipe))
    as_file = Component(kind="initialization", name="file", params={"path": str(written)})
    other = started.training.model_copy(
        update={"recipe": started.training.recipe.model_copy(update={"initialization": as_file})}
    )
    ours, theirs = (
        network_of(one.recipe, one.seed, Inputs(1, 32, 2)).state_dict() for one in (started.training, other)
    )
    assert all(torch.equal(value, theirs[key]) for key, value in ours.items() if key.startswith(("trunk", "scaling")))
    with pytest.raises(StoreError, match="trained no start 'owm': did you mean 'own'"):
        opened.export_start("owm", written)
    with pytest.raises(StoreError, match="has no seed 7, fold 0: its seeds are 0"):
        opened.export_start("own", written, seed=7)
    with pytest.raises(WeightsError, match=r"give a name that ends in \.safetensors"):
        opened.export_start("own", tmp_path / "own.pt")
