"""Results of a run in MLflow, in a folder as its store."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
from tests.cli.asking import Asking
from tests.worlds.studies import SMALL, write_spec

import assay
from assay.core.errors import ExtraError, SpecError, StoreError
from assay.store.files import read_rows
from assay.store.folder import RunFolder


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[mlflow.MlflowClient]:
    """A folder of runs that MLflow writes to, and a client that reads it."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    mlflow.set_tracking_uri(None)
    return mlflow.MlflowClient()


def runs(client: mlflow.MlflowClient, experiment: str = "small") -> list[Any]:
    found = client.get_experiment_by_name(experiment)
    return list(client.search_runs([found.experiment_id])) if found else []


def test_a_study_is_one_run_with_one_below_it_per_training_run(run_copy: Path, store: mlflow.MlflowClient) -> None:
    run = assay.open_run(run_copy)
    id = run.log_to("mlflow")
    whole = store.get_run(id)
    below = [one for one in runs(store) if one.data.tags.get("mlflow.parentRunId") == id]
    assert len(runs(store)) == 7
    assert len(below) == 6
    assert {one.info.status for one in (whole, *below)} == {"FINISHED"}
    assert whole.data.params["question"] == "Does the small study run?"
    assert "inconclusive" in whole.data.tags["assay.verdict"]
    assert [file.path for file in store.list_artifacts(id)] == ["report.html"]

    estimates = run.table("estimates")
    chosen = (estimates.measure == "auroc") & (estimates.environment == "reversed") & (estimates.group == "")
    (value,) = estimates[chosen & (estimates.recipe == "supcon") & (estimates.level == "")].value
    assert whole.data.metrics["auroc/reversed - supcon"] == value
    (contrast,) = run.table("contrasts").to_dict("records")
    compared = f"auroc - reversed - supcon against cross-entropy - {contrast['id']}"
    assert whole.data.metrics[f"difference/{compared}"] == contrast["value"]
    assert whole.data.metrics[f"p/{compared}"] == contrast["p_holm"]


def test_a_training_run_has_its_settings_its_curve_and_its_measures(run_copy: Path, store: mlflow.MlflowClient) -> None:
    assay.open_run(run_copy).log_to("mlflow", experiment="mine")
    trial = next(row for row in RunFolder(run_copy).table("trials") if (row["recipe"], row["seed"]) == ("supcon", 1))
    (one,) = (one for one in runs(store, "mine") if one.data.params.get("trial") == trial["trial"])
    wanted = {
        "recipe.loss": "supcon",
        "coordinates.loss": "supcon",
        "recipe.epochs": "2",
        "seed": "1",
        "data.size": "32",
    }
    assert {key: one.data.params[key] for key in wanted} == wanted
    curve = read_rows(run_copy / "trials" / trial["trial"] / "curve.parquet")
    logged = store.get_metric_history(one.info.run_id, "curve/validation_loss")
    assert [(point.step, point.value) for point in logged] == [(row["epoch"], row["validation_loss"]) for row in curve]
    seeds = RunFolder(run_copy).table("seeds")
    keys = ("recipe", "seed", "measure", "environment", "group", "level")
    place = ("supcon", 1, "auroc", "same", "", "")
    values = [row["value"] for row in seeds if tuple(row[key] for key in keys) == place]
    assert [one.data.metrics["auroc/same"]] == values


def test_the_same_results_are_logged_once(run_copy: Path, store: mlflow.MlflowClient) -> None:
    run = assay.open_run(run_copy)
    assert run.log_to("mlflow") == run.log_to("mlflow")
    assert len(runs(store)) == 7


def test_a_probed_model_is_one_run(run_copy: Path, tmp_path: Path, store: mlflow.MlflowClient) -> None:
    trial = next((run_copy / "trials").iterdir())
    probed = assay.probe(trial, SMALL["data"], out=tmp_path / "model", progress=False)
    logged = store.get_run(probed.log_to("mlflow", experiment="models"))
    table = probed.table()
    (value,) = table[(table.measure == "auroc") & (table.level == "") & (table.group == "")].value
    assert logged.data.metrics["auroc/all"] == value
    assert "AUROC is" in logged.data.tags["assay.verdict"]


def test_run_logs_its_results(run_copy: Path, ask: Asking, tmp_path: Path, store: mlflow.MlflowClient) -> None:
    write_spec(tmp_path)
    answer = ask("run", "small.yaml", "--workers", "0", "--log-to", "mlflow")
    assert answer.code == 0
    assert "logged to mlflow: run " in answer.err
    assert len(runs(store)) == 7
    assert "logged" not in ask("run", "small.yaml", "--log-to", "mlflow", "-q").err
    assert len(runs(store)) == 7


def test_what_cannot_be_logged_is_refused_before_training(
    ask: Asking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_spec(tmp_path)
    refused = ask("run", "small.yaml", "--log-to", "mlfow")
    assert (refused.code, refused.out) == (2, "")
    assert "unknown tracker 'mlfow': did you mean 'mlflow'?" in refused.err
    monkeypatch.setitem(sys.modules, "mlflow", None)
    absent = ask("run", "small.yaml", "--log-to", "mlflow")
    assert absent.code == 2
    assert "pip install 'assay-imaging[mlflow]'" in absent.err
    assert not list(tmp_path.glob("runs/small/trials/*"))


def test_errors_of_the_api(run_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = assay.open_run(run_copy)
    with pytest.raises(SpecError, match="unknown tracker 'wandb'"):
        run.log_to("wandb")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "mlflow", None)
        with pytest.raises(ExtraError, match=r"assay-imaging\[mlflow\]"):
            run.log_to("mlflow")
    shutil.rmtree(run_copy / "tables")
    with pytest.raises(StoreError, match="holds no table"):
        run.log_to("mlflow")
