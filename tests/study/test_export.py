"""Trained networks written for others: the same outputs from the folder, from ONNX, and when they are probed."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from tests.worlds.assets import write_assets
from tests.worlds.studies import SMALL

import assay
from assay.cli import main
from assay.core.errors import ExtraError, SpecError, StoreError
from assay.models.ref import Inputs
from assay.spec.given import EXPORTED
from assay.spec.schema import DataSpec
from assay.store.folder import RunFolder
from assay.study import export
from assay.study.export import CARD, MODELS, ONNX_FILE


def trial_of(run: Path, recipe: str = "supcon", seed: int = 1) -> str:
    rows = assay.open_run(run).table("trials").to_dict("records")
    return next(row["trial"] for row in rows if (row["recipe"], row["seed"]) == (recipe, seed))


@pytest.fixture(scope="module")
def nets(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all exported models of the finished run. Not to be written to."""
    return assay.open_run(finished_run).export("all", tmp_path_factory.mktemp("nets"))


def test_the_folder_gives_the_outputs_thresholds_and_facts_of_the_run(run_copy: Path, tmp_path: Path) -> None:
    trial, run = trial_of(run_copy), assay.open_run(run_copy)
    folder = run.export(trial, tmp_path / "net")
    here, there = assay.load_model(run_copy / "trials" / trial), assay.load_model(folder)
    images = torch.rand(3, 1, 32, 32)
    with torch.inference_mode():
        assert torch.equal(here.network(images), there.network(images))
    assert (here.threshold, here.layers, here.middle) == (there.threshold, there.layers, there.middle)

    data = {key: value for key, value in SMALL["data"].items() if key != "size"}
    probed = assay.probe(folder, data, out=tmp_path / "probed", progress=False)
    (id,) = RunFolder(probed.folder).ids("models")
    size = RunFolder(probed.folder).record("models", id)["size"]
    assert size == SMALL["data"]["size"] != DataSpec.model_fields["size"].default, "that of the network"

    values, record = (
        json.loads(path.read_text()) for path in (folder / EXPORTED, run_copy / "trials" / trial / "record.json")
    )
    assert (values["id"], values["label"], values["seed"]) == (trial, "supcon", 1)
    assert values["input"].items() >= {"size": 32, "channels": 1, "fit": "pad", "scaling": record["scaling"]}.items()
    assert values["output"]["classes"] == ["not malignant", "malignant"]
    assert values["output"]["threshold"] == record["threshold"]
    assert values["sha256"] == record["files"]["weights.safetensors"]

    card, seeds = (folder / CARD).read_text(), run.table("seeds")
    chosen = (seeds.recipe == "supcon") & (seeds.seed == 1) & (seeds.environment == "reversed") & (seeds.group == "")
    (value,) = seeds[chosen & (seeds.measure == "auroc") & (seeds.level == "")].value
    assert card.startswith("# small: supcon, seed 1\n")
    for text in (
        f"| reversed | {value:.2f} |",
        "It was not validated for clinical use.",
        "association in training: texture with malignant, Somers' D 0.92",
        "training images: 128",
        f"training run: {trial}",
        "inconclusive",
    ):
        assert text in card


def test_onnx_gives_the_same_outputs_for_any_number_of_images(run_copy: Path, tmp_path: Path) -> None:
    trial = trial_of(run_copy)
    folder = assay.open_run(run_copy).export(trial, tmp_path / "net", "onnx")
    session = onnxruntime.InferenceSession(str(folder / ONNX_FILE), providers=["CPUExecutionProvider"])
    model = assay.load_model(run_copy / "trials" / trial)
    for count in (1, 5):
        images = torch.rand(count, 1, 32, 32)
        (given,) = session.run(None, {"images": images.numpy()})
        with torch.inference_mode():
            wanted = model.network(images).numpy()
        assert np.abs(given - wanted).max() <= 1e-4 * max(1.0, float(np.abs(wanted).max()))


def test_an_onnx_file_with_other_outputs_is_refused(tmp_path: Path) -> None:
    class Alters(torch.nn.Module):
        """Gives other outputs outside the exporter."""

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            wrong = 0.0 if torch.compiler.is_exporting() else 1.0
            return images.mean((1, 2, 3)).unsqueeze(1) + wrong

    with pytest.raises(export.WeightsError, match="outputs of ONNX differ by"):
        export._write_onnx(Alters().eval(), Inputs(1, 8, 2), tmp_path / "a.onnx")
    assert not (tmp_path / "a.onnx").exists()


def test_what_cannot_be_exported_is_refused(run_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trial, run = trial_of(run_copy), assay.open_run(run_copy)
    with pytest.raises(StoreError, match="unknown trial 'nosuch'"):
        run.export("nosuch", tmp_path / "net")
    with pytest.raises(StoreError, match="unknown format 'onx': did you mean 'onnx'"):
        run.export(trial, tmp_path / "net", "onx")  # pyright: ignore[reportArgumentType]
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("")
    with pytest.raises(StoreError, match="holds other files"):
        run.export(trial, tmp_path / "full")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ExtraError, match=r"assay-imaging\[onnx\]"):
        run.export(trial, tmp_path / "net", "onnx")
    monkeypatch.undo()
    folder = run.export(trial, tmp_path / "safe")
    run.export(trial, folder)
    content = bytearray((folder / "weights.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "weights.safetensors").write_bytes(bytes(content))
    with pytest.raises(StoreError, match="is damaged or changed"):
        assay.load_model(folder)
    (folder / "weights.safetensors").unlink()
    with pytest.raises(StoreError, match=r"give its \.onnx file"):
        assay.load_model(folder)
    (run_copy / "trials" / trial / "weights.safetensors").unlink()
    with pytest.raises(StoreError, match="were not kept"):
        run.export(trial, tmp_path / "gone")


def test_exported_models_of_a_run_are_tested_in_another_study_as_in_their_own(
    finished_run: Path, nets: Path, tmp_path: Path
) -> None:
    study: dict[str, Any] = {key: SMALL[key] for key in ("data", "environments", "probes")}
    again = assay.Study({**study, "name": "again", "models": str(nets / MODELS)})
    made = again.run(tmp_path / "runs", workers=0, progress=False)
    columns = ["recipe", "seed", "measure", "environment", "factor", "group", "level", "layer", "value"]
    first, second = (
        rows[columns].sort_values(columns, ignore_index=True)
        for rows in (assay.open_run(finished_run).table("seeds"), made.table("seeds"))
    )
    assert len(second) > 100
    assert first.equals(second)


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"sha256": "0" * 64}, "does not describe these weights"),
        ({"recipe": {"task": "segmentation", "architecture": "small-unet", "loss": "dice"}},
         "models of classification and of segmentation are in one table"),
    ],
)  # fmt: skip
def test_a_description_of_other_weights_or_of_another_task_is_refused(
    nets: Path, tmp_path: Path, changed: dict[str, Any], text: str
) -> None:
    folder = shutil.copytree(nets, tmp_path / "nets")
    described = next(folder.glob(f"*/{EXPORTED}"))
    described.write_text(json.dumps({**json.loads(described.read_text()), **changed}))
    study = {"name": "again", "data": SMALL["data"], "models": str(folder / MODELS), "probes": ["performance"]}
    with pytest.raises(SpecError, match=text):
        _ = assay.Study(study).spec


def test_a_program_does_not_tell_its_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_assets(tmp_path)
    table = tmp_path / "dermoscopy" / "data.csv"
    given = ["audit", "--command", "true {images} {scores}", "--images", str(table), "--target", "melanoma"]
    with pytest.raises(SystemExit, match="2"):
        main(given)
    assert "does not tell the size of its images" in capsys.readouterr().err
