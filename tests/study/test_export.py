"""Trained networks written for others: the same outputs from the folder, from ONNX, and when they are probed."""

from __future__ import annotations

import errno
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from tests.worlds.assets import write_assets, write_endoscopy
from tests.worlds.studies import SMALL

import assay
from assay.cli import main
from assay.core.types import Inputs
from assay.plugin import DataSpec, ExtraError, FullError, RunFolder, SpecError, StoreError
from assay.study import export

CARD = "README.md"
EXPORTED = "model.json"
MODELS = "models.csv"
ONNX_FILE = "model.onnx"


def trial_of(run: Path, recipe: str = "supcon", seed: int = 1) -> str:
    rows = assay.open_run(run).table("trials").to_dict("records")
    return next(row["trial"] for row in rows if (row["recipe"], row["seed"]) == (recipe, seed))


@pytest.mark.parametrize("recipe", ["cross-entropy", "supcon"])
def test_the_folder_gives_the_same_outputs_and_thresholds(run_copy: Path, tmp_path: Path, recipe: str) -> None:
    trial = trial_of(run_copy, recipe)
    folder = assay.open_run(run_copy).export(trial, tmp_path / "net")
    here, there = assay.load_model(run_copy / "trials" / trial), assay.load_model(folder)
    images = torch.rand(3, 1, 32, 32)
    with torch.inference_mode():
        assert torch.equal(here.network(images), there.network(images))
    assert (here.threshold, here.layers) == (there.threshold, there.layers)


def test_a_probe_reads_the_folder_as_the_training_run(run_copy: Path, tmp_path: Path) -> None:
    trial = trial_of(run_copy)
    folder = assay.open_run(run_copy).export(trial, tmp_path / "net")
    tables = [
        assay.probe(model, SMALL["data"], out=tmp_path / name, progress=False).table()
        for name, model in {"a": run_copy / "trials" / trial, "b": folder}.items()
    ]
    columns = ["measure", "environment", "level", "group", "value"]
    assert tables[0][columns].equals(tables[1][columns])


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
    probed = assay.probe(folder / ONNX_FILE, SMALL["data"], out=tmp_path / "probed", progress=False).table()
    own = assay.probe(folder.parent / "runs/small/trials" / trial, SMALL["data"], out=tmp_path / "own", progress=False)
    auroc = [
        float(table[(table.measure == "auroc") & (table.level == "") & (table.group == "")].value.iloc[0])
        for table in (probed, own.table())
    ]
    assert auroc[0] == pytest.approx(auroc[1], abs=1e-6)


def test_an_onnx_file_with_other_outputs_is_refused(tmp_path: Path) -> None:
    class Alters(torch.nn.Module):
        """Gives other outputs outside the exporter."""

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            wrong = 0.0 if torch.compiler.is_exporting() else 1.0
            return images.mean((1, 2, 3)).unsqueeze(1) + wrong

    with pytest.raises(export.WeightsError, match="outputs of ONNX differ by"):
        export._write_onnx(Alters().eval(), Inputs(1, 8, 2), tmp_path / "a.onnx")
    assert not (tmp_path / "a.onnx").exists()


def test_the_description_has_what_a_program_needs(run_copy: Path, tmp_path: Path) -> None:
    trial = trial_of(run_copy)
    values = json.loads((assay.open_run(run_copy).export(trial, tmp_path / "net") / EXPORTED).read_text())
    record = json.loads((run_copy / "trials" / trial / "record.json").read_text())
    assert (values["id"], values["label"], values["seed"]) == (trial, "supcon", 1)
    assert values["input"].items() >= {"size": 32, "channels": 1, "fit": "pad", "scaling": record["scaling"]}.items()
    assert values["output"]["classes"] == ["not malignant", "malignant"]
    assert values["output"]["threshold"] == record["threshold"]
    assert values["sha256"] == record["files"]["weights.safetensors"]


def test_the_card_has_facts_of_the_run(run_copy: Path, tmp_path: Path) -> None:
    trial, run = trial_of(run_copy), assay.open_run(run_copy)
    card = (run.export(trial, tmp_path / "net") / CARD).read_text()
    seeds = run.table("seeds")
    chosen = (seeds.recipe == "supcon") & (seeds.seed == 1) & (seeds.environment == "reversed") & (seeds.group == "")
    (value,) = seeds[chosen & (seeds.measure == "auroc") & (seeds.level == "")].value
    assert card.startswith("# small: supcon, seed 1\n")
    assert f"| reversed | {value:.2f} |" in card
    assert "It was not validated for clinical use." in card
    assert "association in training: texture with malignant, Somers' D 0.92" in card
    assert "training images: 128" in card
    assert f"training run: {trial}" in card
    assert "inconclusive" in card


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


def test_a_full_disk_leaves_no_half_export(run_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trial, folder = trial_of(run_copy), tmp_path / "net"

    def full(path: Path, text: str) -> None:
        path.write_text(text[:9])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(export, "write_text", full)
        with pytest.raises(FullError, match=r"cannot write .*net: No space left on device"):
            assay.open_run(run_copy).export(trial, folder)
        assert not [path.name for path in tmp_path.iterdir() if "net" in path.name]
        patch.undo()
        before = {path.name: path.read_bytes() for path in assay.open_run(run_copy).export(trial, folder).iterdir()}
        patch.setattr(export, "write_text", full)
        with pytest.raises(FullError):
            assay.open_run(run_copy).export(trial, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_exported_models_of_a_run_are_tested_in_another_study_as_in_their_own(run_copy: Path, tmp_path: Path) -> None:
    folder = assay.open_run(run_copy).export("all", tmp_path / "nets")
    study: dict[str, Any] = {key: SMALL[key] for key in ("data", "environments", "probes")}
    again = assay.Study({**study, "name": "again", "models": str(folder / MODELS)})
    made = again.run(tmp_path / "runs", workers=0, progress=False)
    columns = ["recipe", "seed", "measure", "environment", "factor", "group", "level", "layer", "value"]
    first, second = (
        rows[columns].sort_values(columns, ignore_index=True)
        for rows in (assay.open_run(run_copy).table("seeds"), made.table("seeds"))
    )
    assert len(second) > 100
    assert first.equals(second)


def test_exported_models_answer_as_an_ensemble(run_copy: Path, tmp_path: Path) -> None:
    table = assay.open_run(run_copy).export("all", tmp_path / "nets") / MODELS
    rows = [line.split(",") for line in table.read_text().splitlines()]
    assert rows[0] == ["path", "loss", "seed"]
    table.write_text("path,loss,fold,seed\n" + "".join(",".join([*row, "0"]) + "\n" for row in rows[1:]))
    study: dict[str, Any] = {"name": "mean", "models": {"table": str(table), "ensemble": "folds"}}
    study |= {**{key: SMALL[key] for key in ("data", "environments")}, "probes": ["performance"]}
    made = assay.Study(study).run(tmp_path / "runs", workers=0, progress=False)
    id = next(row["trial"] for row in made.table("trials").to_dict("records") if row["recipe"] == "supcon")
    members = [assay.load_model((table.parent / row[0]).parent).network for row in rows[1:] if row[1] == "supcon"]
    images = torch.rand(3, 1, 32, 32)
    with torch.inference_mode():
        wanted = torch.stack([member(images).softmax(1) for member in members]).mean(0)
        found = assay.load_model(made.folder / "trials" / id).network(images).softmax(1)
    assert len(members) > 1
    torch.testing.assert_close(found, wanted)


def test_folds_trained_on_one_set_are_tested_on_another_as_an_ensemble(tmp_path: Path) -> None:
    write_endoscopy(tmp_path)
    images = {"size": 32, "channels": "color"}
    polyps, frames = (
        {**images, "dataset": {name: {"folder": str(tmp_path / folder)}}}
        for name, folder in (("hyperkvasir-seg", "hyperkvasir"), ("endotect", "endotect"))
    )
    study: dict[str, Any] = {
        "name": "trained",
        "data": {**polyps, "split": {"folds": 3}},
        "environments": {"train": {}, "same": {}},
        "recipe": {"task": "segmentation", "loss": ["cross-entropy", {"dice": {"reduce": "image"}}], "epochs": 1},
        "seeds": 2,
        "probes": ["segmentation"],
    }
    trained = assay.Study(study).run(tmp_path / "runs", workers=0, progress=False)
    table = trained.export("all", tmp_path / "networks") / MODELS
    assert len(table.read_text().splitlines()) == 1 + 2 * 2 * 3
    tested = assay.Study(
        {
            "name": "tested",
            "models": {"table": str(table), "ensemble": "folds"},
            "data": {**frames, "split": {"train": 0.2, "validation": 0.3, "test": 0.5}},
            "environments": {"same": {}},
            "probes": ["segmentation"],
            "contrasts": [{"axis": "loss", "against": "cross-entropy", "measure": "dice", "environment": "same"}],
        }
    ).run(tmp_path / "runs", workers=0, progress=False)
    assert sorted(tested.table("trials").recipe) == ["cross-entropy"] * 2 + ["dice(reduce=image)"] * 2
    assert tested.table()["seeds"].tolist() == [2]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"sha256": "0" * 64}, "does not describe these weights"),
        (
            {"recipe": {"task": "segmentation", "architecture": "small-unet", "loss": "dice"}},
            "models of classification and of segmentation are in one table",
        ),
    ],
)
def test_a_description_that_does_not_go_with_the_table_is_refused(
    run_copy: Path, tmp_path: Path, changes: dict[str, Any], text: str
) -> None:
    folder = assay.open_run(run_copy).export("all", tmp_path / "nets")
    described = next(folder.glob(f"*/{EXPORTED}"))
    described.write_text(json.dumps({**json.loads(described.read_text()), **changes}))
    study = {"name": "again", "data": SMALL["data"], "models": str(folder / MODELS), "probes": ["performance"]}
    with pytest.raises(SpecError, match=text):
        _ = assay.Study(study).spec


def test_a_network_is_probed_at_its_own_size_and_framing(run_copy: Path, tmp_path: Path) -> None:
    folder = assay.open_run(run_copy).export(trial_of(run_copy), tmp_path / "net")
    data = {key: value for key, value in SMALL["data"].items() if key != "size"}
    for model in (folder, run_copy / "trials" / trial_of(run_copy)):
        kept = RunFolder(assay.probe(model, data, out=tmp_path / f"of-{model.name}", progress=False).folder)
        (id,) = kept.ids("models")
        assert kept.record("models", id)["size"] == SMALL["data"]["size"] != DataSpec.model_fields["size"].default


@pytest.mark.nightly
def test_a_program_does_not_tell_its_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_assets(tmp_path)
    table = tmp_path / "dermoscopy" / "data.csv"
    given = ["audit", "--command", "true {images} {scores}", "--images", str(table), "--target", "melanoma"]
    with pytest.raises(SystemExit, match="2"):
        main(given)
    assert "does not tell the size of its images" in capsys.readouterr().err


def test_no_network_is_exported_without_the_names_that_its_run_has(run_copy: Path, tmp_path: Path) -> None:
    """A pipe or nothing in place of the file would give numbers in place of names."""
    (run_copy / "described.json").unlink()
    run = assay.open_run(run_copy)
    with pytest.raises(StoreError, match=r"cannot read .*described\.json"):
        run.export(next(run_copy.glob("trials/*")).name, tmp_path / "net")
