"""A start that cannot be taken up is told when a study is planned: nothing is trained by then."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tests.worlds.studies import plan_tiny, run_tiny

from assay.execution import estimate
from assay.plugin import ExplainedNetwork, RunFolder, SpecError, WeightsError
from assay.probes.explainers import Gradient


class OfMaps(Gradient):
    """An explainer for networks without tokens."""

    def refusal(self, subject: ExplainedNetwork) -> str:
        """Why it cannot explain a network; empty if it can."""
        return "the network has tokens" if any(len(step.shape) == 3 for step in subject.steps) else ""


OWN = f"{__name__}:OfMaps"
VIT = {"timm": {"model": "test_vit"}}
LARGE: dict[str, Any] = {
    "data": {"phantom": "nodule", "size": 64, "train": 64, "validation": 32, "target": "large", "core": "size"},
    "recipe": {"epochs": 1, "batch_size": 8},
}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))


def recipe(**changes: Any) -> dict[str, Any]:
    return {"epochs": 1, "batch_size": 8, **changes}


def test_a_source_of_another_size_is_refused_where_the_network_hangs_on_it(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as refused:
        run_tiny(tmp_path, sources={"large": LARGE}, recipe=recipe(architecture=VIT, initialization="large"))
    assert str(refused.value) == (
        "source 'large' has images of 64 px and what starts from it of 32 px, and the architecture 'test_vit' depends "
        "on the size (pos_embed: 1x17x64 and 1x5x64): set sources.large.data.size: 32"
    )
    assert not list(tmp_path.glob("cache/sources/*"))
    assert not list(RunFolder(tmp_path).ids("sources"))


def test_a_source_of_another_size_is_taken_where_the_network_does_not(tmp_path: Path) -> None:
    prepared = plan_tiny(tmp_path, sources={"large": LARGE}, recipe=recipe(initialization="large"))
    assert prepared.new_sources == 1


def test_a_source_that_starts_from_one_of_another_size_is_refused(tmp_path: Path) -> None:
    further = {"data": {**LARGE["data"], "size": 32}, "recipe": {**LARGE["recipe"], "initialization": "large"}}
    with pytest.raises(SpecError, match=r"^source 'large' has images of 64 px and what starts from it of 32 px"):
        plan_tiny(
            tmp_path,
            sources={"large": LARGE, "further": further},
            recipe=recipe(architecture=VIT, initialization="further"),
        )


def test_every_start_is_tried_however_little_time_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"conv1.weight": torch.zeros(64, 3, 7, 7)}, path)
    monkeypatch.setattr(estimate, "MOST_SECONDS", -1.0)
    starts = ["random", {"file": {"path": str(path)}}]
    said = f"weights file '{re.escape(str(path))}' does not fit the architecture 'small-cnn'; "
    with pytest.raises(WeightsError, match=said) as refused:
        plan_tiny(tmp_path, recipe=recipe(initialization=starts))
    assert refused.value.given == str(path)


def test_a_layer_that_no_network_has_is_refused_with_the_nearest(tmp_path: Path) -> None:
    stated = {"axis": "loss", "against": "cross-entropy", "measure": "decodability", "factor": "size"}
    losses = recipe(loss=["cross-entropy", "supcon"])
    with pytest.raises(SpecError) as refused:
        run_tiny(tmp_path, recipe=losses, contrasts=[{**stated, "layer": "trunk.blok1"}], probes=["decodability"])
    assert "contrasts by decodability: unknown layer 'trunk.blok1': did you mean 'trunk.block1'?" in str(refused.value)
    assert not list(tmp_path.glob("*/trials"))


def test_an_explainer_that_can_explain_no_network_is_told_before_training(tmp_path: Path) -> None:
    probes: list[Any] = ["performance", {"attribution": {"explainers": ["gradient", OWN], "images": 8}}]
    with pytest.raises(SpecError) as refused:
        plan_tiny(tmp_path, recipe=recipe(architecture=VIT), probes=probes)
    assert str(refused.value) == f"probes[1].attribution.explainers: {OWN}: the network has tokens"
    plan_tiny(tmp_path, recipe=recipe(architecture=["small-cnn", VIT]), probes=probes)


def test_a_queue_longer_than_a_batch_and_than_the_set_is_planned(tmp_path: Path) -> None:
    own = {"data": "own", "recipe": {"loss": {"moco": {"queue": 5000}}, "epochs": 1, "batch_size": 8}}
    prepared = plan_tiny(tmp_path, sources={"own": own}, recipe=recipe(initialization=["random", "own"]))
    assert prepared.new_sources == 1
