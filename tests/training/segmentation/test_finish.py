"""What is said of a segmentation whose training is over: where it calls nothing, the same everywhere, or is broken."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import nn

from assay.plugin import ArrayCache, Code, Diverged, Reason, TrainingResult
from assay.shifts.sources import open_population
from assay.spec.parse import parse_study
from assay.training.loop import _degenerate_maps, finish
from assay.training.state import begin_training

STUDY: dict[str, Any] = {
    "name": "finished",
    "data": {"phantom": "nodule", "size": 32, "train": 16, "validation": 12, "test": 8, "core": "margin"},
    "environments": {"train": {}, "same": {}},
    "recipe": {"task": "segmentation", "architecture": "small-unet", "epochs": 1, "batch_size": 8},
}


@pytest.fixture
def verdict_with(tmp_path: Path) -> Any:
    def judged(scale: float, background: float) -> TrainingResult:
        """Of a network as drawn, its head's weights multiplied and its logit of background set."""
        study = parse_study(STUDY)
        population = open_population(study.data, ArrayCache(tmp_path / "cache"))
        (point,) = study.points
        environments = population.training(point.train, 0)
        run = begin_training(point.recipe, *environments, 2, 0, torch.device("cpu"), tmp_path / "trial")
        head = cast(nn.Conv2d, run.network.head)
        assert head.bias is not None
        with torch.no_grad():
            head.weight.mul_(scale)
            head.bias.copy_(torch.tensor([background, 0.0]))
        return finish(run)

    return judged


def test_a_network_that_calls_nothing_is_told_so_and_has_not_collapsed(verdict_with: Any) -> None:
    found = verdict_with(0.01, 20.0)
    assert found.finding == Reason.of(Code.PREDICTS_NOTHING, images=12)
    assert not found.collapsed


def test_one_that_calls_nearly_everything_is_told_so_too(verdict_with: Any) -> None:
    found = verdict_with(0.01, -20.0)
    assert found.finding == Reason.of(Code.PREDICTS_EVERYTHING, images=12)
    assert not found.collapsed


def test_fit_is_1_less_the_mean_dice_of_lesions_whatever_the_loss(verdict_with: Any, tmp_path: Path) -> None:
    study = parse_study(STUDY)
    _, validation = open_population(study.data, ArrayCache(tmp_path / "again")).training(study.points[0].train, 0)
    masks = validation.masks.read(np.arange(12)).numpy().reshape(12, -1) > 0
    areas = masks.sum(axis=1)[masks.any(axis=1)]
    assert verdict_with(0.01, 20.0).yardstick == 1
    whole = verdict_with(0.01, -20.0).yardstick
    assert whole == pytest.approx(1 - np.mean(2 * areas / (areas + masks.shape[1])))


def test_segmentations_are_compared_at_matched_fit() -> None:
    way = {"axis": "loss", "against": "cross-entropy", "measure": "left-empty", "environment": "same"}
    study = {
        **STUDY,
        "recipe": {**STUDY["recipe"], "loss": ["cross-entropy", "dice"], "epochs": [1, 2]},
        "contrasts": [{**way, "at": "matched-fit"}],
        "probes": ["performance", "segmentation", "lesion-free"],
    }
    assert parse_study(study).contrasts[0].at == "matched-fit"


def test_one_that_calls_some_pixels_is_not() -> None:
    pixels = np.full(2, 100)
    assert not _degenerate_maps(np.array([0, 1]), pixels)
    assert not _degenerate_maps(np.array([90, 100]), pixels)
    assert _degenerate_maps(np.array([91, 100]), pixels) == Reason.of(Code.PREDICTS_EVERYTHING, images=2)


def test_one_that_says_the_same_everywhere_has_collapsed(verdict_with: Any) -> None:
    found = verdict_with(0.0, 20.0)
    assert found.collapsed == Reason.of(Code.COLLAPSED_CONSTANT_MAPS, spread=0.0)
    assert all(math.isnan(logit) for logit in found.operating)


def test_one_whose_logits_are_not_finite_has_diverged(verdict_with: Any) -> None:
    with pytest.raises(Diverged):
        verdict_with(math.nan, 0.0)
