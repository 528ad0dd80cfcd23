"""Every scale of every built-in study is planned on few images, and its first training starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.cli.asking import Asking
from tests.worlds.assets import write_assets
from torch import Tensor, nn

import assay
from assay.data import near_copies
from assay.execution.jobs import TrainJob
from assay.execution.lease import LeasedJob
from assay.execution.sources import SourceJob, StartedJob
from assay.execution.tasks import Context, Stopped
from assay.models import initialization
from assay.spec.load import apply_scale, study_files
from assay.spec.parse import parse_study
from assay.spec.yaml import read_yaml
from assay.study import run as study_run
from assay.study.run import prepare

pytestmark = pytest.mark.acceptance

FEW = {"train": 64, "validation": 32, "test": 32}
STOPPING = Context(report=lambda share, word: None, should_stop=lambda: True)


def _scales() -> list[tuple[str, str]]:
    return [
        (name, scale)
        for name in study_files()
        for scale in ("default", *read_yaml(study_files()[name]).values.get("scales", {}))
    ]


def _few(study: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Overrides that leave one seed of few and small images, and every axis as long as it is."""
    yield "seeds", 1
    yield from _few_of(study["data"], "data")
    for name, source in study.get("sources", {}).items():
        if isinstance(source.get("data"), Mapping):
            yield from _few_of(source["data"], f"sources.{name}.data")
    train = study["environments"]["train"]
    if "rows" in train:
        rows = _spread(train["rows"], 48)
        yield "environments.train.rows", rows
        if isinstance(rows, list):
            named = dict(zip(train["rows"], rows, strict=True))
            yield from ((part, _at_rows(study[part], named)) for part in ("grid", "contrasts") if part in study)
    if "fraction" in train and "phantom" in study["data"]:  # as written, since the grid and the contrasts name it
        fractions = train["fraction"] if isinstance(train["fraction"], list) else [train["fraction"]]
        yield "data.train", max(round(FEW["train"] / fraction) for fraction in fractions)


def _spread(asked: object, most: float) -> object:
    """As many values as were asked for, up to `most`."""
    values = np.linspace(most / 2, most, len(asked)) if isinstance(asked, Sequence) else None
    return most if values is None else [type(most)(value) for value in values]


def _at_rows(part: Any, named: Mapping[Any, Any]) -> Any:
    """A part of a study with other numbers on the axis of rows."""
    if isinstance(part, Mapping):
        own = {"rows", *(("against", "levels") if part.get("axis") == "rows" else ())}
        return {key: _renamed(value, named) if key in own else _at_rows(value, named) for key, value in part.items()}
    return [_at_rows(item, named) for item in part] if isinstance(part, list) else part


def _renamed(value: Any, named: Mapping[Any, Any]) -> Any:
    return [named[item] for item in value] if isinstance(value, list) else named[value]


def _few_of(data: Mapping[str, Any], key: str) -> Iterator[tuple[str, Any]]:
    data, key = (data["train"], f"{key}.train") if isinstance(data.get("train"), Mapping) else (data, key)
    yield f"{key}.size", 64 if "phantom" in data else 32
    if "phantom" in data:
        yield from ((f"{key}.{part}", count) for part, count in FEW.items() if part in data)


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_assets(tmp_path_factory.mktemp("assets"))


@pytest.fixture(autouse=True)
def workplace(assets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made-up assets and their cache, tensors in place of those that timm would download, neither times
    nor near copies, which no plan rests on.
    """

    def published(goal: nn.Module, channels: int) -> dict[str, Tensor]:
        return {key: tensor.clone() for key, tensor in goal.state_dict().items()}

    def no_time(plan: Any, *_: object) -> dict[str, tuple[float, float]]:
        return {trial.id: (0.0, 0.0) for trial in plan.trials}

    def no_time_of_sources(sources: Sequence[Any], *_: object) -> dict[str, float]:
        return {source.id: 0.0 for source in sources}

    monkeypatch.setenv("ASSAY_ASSETS", str(assets))
    monkeypatch.setenv("ASSAY_CACHE", str(assets.parent / "cache"))
    monkeypatch.setattr(initialization, "_is_cached", lambda _: True)
    monkeypatch.setattr("assay.models.timm.download_published", published)
    monkeypatch.setattr(near_copies, "near_pairs", lambda *_: [])
    monkeypatch.setattr(study_run, "unit_seconds", no_time)
    monkeypatch.setattr(study_run, "source_seconds", no_time_of_sources)


@pytest.mark.parametrize(("name", "scale"), _scales())
def test_a_scale_is_planned_and_its_first_training_starts(name: str, scale: str, tmp_path: Path) -> None:
    study = apply_scale(read_yaml(study_files()[name]), scale).values
    prepared = prepare(parse_study(name, scale=scale, overrides=[*_few(study)]), tmp_path)
    given, folder = prepared.tasks[0].job, prepared.workspace.folder
    job = given.job if isinstance(given, LeasedJob) else given
    assert isinstance(job, TrainJob | StartedJob | SourceJob)
    with suppress(Stopped):
        job(STOPPING)
        done = [folder.record("trials", id)["status"] for id in folder.ids("trials")]
        assert done == ["done"]  # a head that is fitted without steps


TINY: Mapping[str, Any] = {"recipe.architecture": {"timm": {"model": "test_resnet.r160_in1k"}}, "recipe.batch_size": 32}
MAPS: Mapping[str, Any] = {"recipe.architecture": "small-unet", "recipe.initialization": "random",
                           "recipe.batch_size": 8, "recipe.epochs": 1}  # fmt: skip
FOLDS: Mapping[str, Any] = {"data.train.size": 32, "data.train.split": {"folds": 3, "validation": 0}}
SMALL: Mapping[str, Mapping[str, Any]] = {
    "source-matters-lidc": {
        **TINY,
        "data.size": 32,
        "recipe.epochs": 1,
        "probes": ["performance"],
        "seeds": 2,
        "environments.train.rows": 24,
        "environments.train.dose.p": [0, 1],
        "sources.imagenet": {"initialization": "timm"},
        "sources.radimagenet": {"initialization": "random"},
        "recipe.initialization": ["imagenet", "radimagenet"],
    },
    "lesion-loss-endotect": {**MAPS, "data.train.size": 32},
    "lesion-loss-dfuc": {**MAPS, **FOLDS},
    "dr-pretraining-eyepacs": {
        **TINY,
        "data.train.size": 32,
        "environments.train.fraction": 1,
        "recipe.epochs": 2,
        **{
            f"sources.{name}.recipe.{key}": value
            for name in ("moco", "imagenet-moco")
            for key, value in {"epochs": 1, "batch_size": 32, "loss.moco.queue": 64}.items()
        },
        "probes": ["performance", {"representation": {"environment": "eyepacs", "maps": 110}}],
    },
}
PRINTED = {
    "source-matters-lidc": ("ImageNet: published", "p, against RadImageNet", "0.82"),
    "lesion-loss-endotect": ("left empty: published", "0.7", "pairs of rows are in the published order (tau"),
    "lesion-loss-dfuc": ("Dice on FUSeg", "left empty"),
    "dr-pretraining-eyepacs": ("Messidor-2", "MoCo from ImageNet", "99.9th over 90th percentile"),
}


@pytest.mark.parametrize("name", SMALL)
def test_a_study_of_public_sets_runs_and_prints_its_published_tables(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = assay.load(name).set("contrasts", []).set("seeds", 1)
    for place, value in SMALL[name].items():
        study = study.set(place, value)
    run = study.run(tmp_path, workers=0, progress=False)
    cells = run.table("published")
    assert cells["value"].notna().any()
    assert set(cells[cells["value"].notna()]["column"]) == set(cells["column"]), "every column has a figure of this run"
    printed = Asking(capsys)("results", run.folder, "--as-published").out
    assert all(text in printed for text in PRINTED[name])
