"""Scales of built-in studies of phantoms are planned on few images, and their first training starts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor, nn

from assay.execution.jobs import TrainJob
from assay.execution.plan import SourceJob
from assay.execution.tasks import Context, Stopped
from assay.models import initialisation
from assay.spec.load import load_study_mapping
from assay.spec.parse import parse_study
from assay.study.run import prepare

FEW = {"train": 64, "validation": 32, "test": 32}
STOPPING = Context(report=lambda share, word: None, should_stop=lambda: True)


def _scales() -> list[tuple[str, str]]:
    whole = ("lesion-loss-ood", "nodule-loss")
    every = [(name, scale) for name in whole for scale in ("default", *load_study_mapping(name)["scales"])]
    quick = [("source-matters", "quick"), ("dr-pretraining", "quick")]
    return [*every, *quick, ("nodule-loss-rate", "default"), ("source-matters-rate", "default")]


def _few(study: Mapping[str, Any]) -> list[str]:
    """Overrides that leave few images of the study and of its sources."""
    changed = [f"data.{part}={count}" for part, count in FEW.items()]
    for name, source in study.get("sources", {}).items():
        if isinstance(source.get("data"), Mapping):
            changed += [f"sources.{name}.data.{part}={FEW[part]}" for part in ("train", "validation")]
    return changed


@pytest.fixture(autouse=True)
def weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors in place of those that timm would download."""

    def published(goal: nn.Module, channels: int) -> dict[str, Tensor]:
        return {key: tensor.clone() for key, tensor in goal.state_dict().items()}

    monkeypatch.setattr(initialisation, "_cached", lambda configuration: True)
    monkeypatch.setattr(initialisation, "published", published)


@pytest.mark.parametrize(("name", "scale"), _scales())
def test_a_scale_is_planned_and_its_first_training_starts(name: str, scale: str, tmp_path: Path) -> None:
    spec = parse_study(name, scale=None if scale == "default" else scale, overrides=_few(load_study_mapping(name)))
    prepared = prepare(spec, tmp_path)
    job = prepared.tasks[0].job
    assert isinstance(job, TrainJob | SourceJob)
    with pytest.raises(Stopped):
        job(STOPPING)
