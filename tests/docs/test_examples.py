"""YAML of the pages is read as a study, Python runs on a study small enough, and the tutorial runs on made images."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import timm
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file
from tests.docs.reading import PAGES, ROOT, blocks, name
from tests.worlds.studies import SMALL

import assay
from assay.cli import main
from assay.core import measures
from assay.execution.local import InProcess
from assay.plugin import build
from assay.spec.parse import parse_study
from assay.spec.yaml import parse_yaml

DATASET = ROOT / "docs/how-to/add-a-dataset.md"  # its blocks are the data: part alone; tests/data/files/test_docs.py
WHOLE = {"data", "environments"}  # what makes a block a study and not a part of one
ELSEWHERE = ("forbid:", "models:", "name: two-hospitals")
"""Beginnings of a policy (tests/audit/test_audit.py), of a study whose table of models has the recipes
(tests/study/test_models_elsewhere.py), and of one of two folders (tests/study/test_two_sets.py)."""
YAML = [
    (page, block)
    for page in PAGES
    if page != DATASET
    for block in blocks(page, "yaml")
    if not block.startswith(ELSEWHERE)
]
RUN = (
    "README.md",
    "docs/reference/interventions.md",
    "docs/reference/python.md",
    "docs/reference/spec.md",
    "docs/reference/testing.md",
)
SCRIPTS = [(ROOT / page, block) for page in RUN for block in blocks(ROOT / page, "python")]
BASE: dict[str, Any] = {
    **SMALL,
    "recipe": {**SMALL["recipe"], "batch_size": 32, "loss": "cross-entropy"},
    "contrasts": [],
    "probes": ["performance"],
}


def study_of(block: str, folder: Path) -> dict[str, Any]:
    """A block as a study: whole ones as they are, parts of one put into a small study; images in `folder`."""
    values: Any = parse_yaml(block, "the page")[0]
    if set(values) >= WHOLE:
        if "folder" in values["data"]:
            values["data"]["folder"] = str(folder)
        for arguments in values["data"].get("dataset", {}).values():
            arguments["folder"] = str(folder)
        return values
    made = copy.deepcopy(BASE)
    for key, value in values.items():
        if key == "grid":
            made["recipe"] |= {"loss": ["cross-entropy", "supcon"], "epochs": [10, 20], "batch_size": [32, 64]}
            made["recipe"] |= {"optimizer": {"adamw": {"lr": 0.001}}}
        made[key] = {**made[key], **value} if isinstance(made.get(key), dict) else value
    return made


@pytest.fixture
def modules(page_modules: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The modules that the how-to pages write, where Python finds them; what they register is forgotten."""
    monkeypatch.syspath_prepend(page_modules)
    registries = (measures._declared, measures._compared)
    before = [dict(registry) for registry in registries]
    yield
    for registry, names in zip(registries, before, strict=True):
        registry.clear()
        registry.update(names)


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights files that pages name: in the folder of a variable, or beside the study."""
    for file in ("resnet50.pth", "my-weights.safetensors"):
        (tmp_path / file).write_bytes(b"weights")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIGHTS", str(tmp_path))


@pytest.mark.usefixtures("modules", "weights")
@pytest.mark.parametrize(("page", "block"), YAML, ids=[f"{name(page)}-{i}" for i, (page, _) in enumerate(YAML)])
def test_yaml_is_read_as_a_study(page: Path, block: str, images: Path) -> None:
    assert parse_study(study_of(block, images)).points


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Forty lesions of two images each, as the tutorial has them: discs, larger where melanoma, in older patients."""
    folder = tmp_path / "my-images"
    folder.mkdir()
    draw = np.random.default_rng(0)
    rows = ["image,melanoma,lesion,age,finding"]
    y, x = np.mgrid[:32, :32]
    for lesion in range(40):
        positive = lesion % 2
        age = round(float(draw.normal(50 + 8 * positive, 12)))
        for side in range(2):
            disc = (x - 16) ** 2 + (y - 16) ** 2 < (5 + 5 * positive) ** 2
            pixels = np.clip(170 - 80 * disc[..., None] + draw.normal(0, 12, (32, 32, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{lesion}-{side}.png")
            rows.append(f"{lesion}-{side}.png,{positive},lesion {lesion},{age},{positive}")
    (folder / "data.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.mark.acceptance
def test_the_tutorial_shows_what_a_look_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = blocks(ROOT / "docs/tutorials/own-images.md", "text")[0]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    for command in ("example my-images", "look my-images"):
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(command.split())
        assert end.value.code == 0
    assert capsys.readouterr().out.splitlines() == printed.splitlines()


@pytest.mark.acceptance
def test_the_tutorial_runs_on_images_of_ones_own(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (block,) = blocks(ROOT / "docs/tutorials/own-images.md", "yaml")
    assert len(block.splitlines()) == 10
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    Path("my-images.yaml").write_text(block.replace("${ASSAY_ASSETS}/dermoscopy", "my-images"))
    smaller = ["--set", "recipe.epochs=1", "--set", "data.size=32", "--set", "data.split.folds=3", "--seeds", "1"]
    with pytest.raises(SystemExit) as end:
        main(["run", "my-images.yaml", "--workers", "0", *smaller])
    assert end.value.code == 0
    assert "report: runs/dermoscopy/report.html\n" in capsys.readouterr().out
    page = Path("runs/dermoscopy/report.html").read_text(encoding="utf-8")
    assert "melanoma" in page
    assert "lesion 7" not in page  # a patient's identifier


@pytest.mark.acceptance
@pytest.mark.usefixtures("modules")
def test_the_tutorial_on_a_confounder_of_ones_own_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (block,) = blocks(ROOT / "docs/tutorials/own-confounder.md", "yaml")
    assert len(block.splitlines()) == 12
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    Path("own-confounder.yaml").write_text(block + "labels: {clean: images without a blank}\n")
    few = {"data.train": 32, "data.validation": 16, "data.test": 16, "recipe.epochs": 1, "recipe.batch_size": 16,
           "environments.train.dose.p": "[0, 1]"}  # fmt: skip
    smaller = [word for key, value in few.items() for word in ("--set", f"{key}={value}")] + ["--seeds", "1"]
    for command in ("preview", "run"):
        with pytest.raises(SystemExit) as end:
            main([command, "own-confounder.yaml", "--workers", "0", *smaller])
        assert end.value.code == 0
    assert "report: runs/own-confounder/report.html" in capsys.readouterr().out
    for page in ("report.html", "preview/report.html"):
        assert Path("runs/own-confounder", page).read_text(encoding="utf-8").count("images without a blank") > 2
    tables = assay.open_run("runs/own-confounder")
    (blanked,) = tables.table("visibility").itertuples()
    assert blanked.confounder == "blanked"
    assert 0.01 < blanked.share < 0.1
    assert set(tables.table("dose_changes").environment) == {"clean", "reversed"}


@pytest.mark.acceptance
@pytest.mark.usefixtures("images")
def test_the_tutorial_on_weights_of_others_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (block,) = blocks(ROOT / "docs/tutorials/own-weights.md", "yaml")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    theirs = timm.create_model("resnet18", pretrained=False)
    save_file(theirs.state_dict(), "my-weights.safetensors")
    Path("own-weights.yaml").write_text(block)
    few = {"data.size": 32, "recipe.epochs": 1, "recipe.architecture": "{timm: {model: resnet18}}",
           "environments.train.dose": "{confounder: tag, p: [0, 1]}"}  # fmt: skip
    smaller = [word for key, value in few.items() for word in ("--set", f"{key}={value}")] + ["--seeds", "1"]
    with pytest.raises(SystemExit) as end:
        main(["run", "own-weights.yaml", "--workers", "0", *smaller])
    assert end.value.code == 0
    assert "report: runs/own-weights/report.html\n" in capsys.readouterr().out
    (start,) = assay.open_run("runs/own-weights").table("starts").query("start == 'theirs'").itertuples()
    assert start.file == "my-weights.safetensors"


@pytest.mark.acceptance
@pytest.mark.usefixtures("images")
def test_the_tutorial_on_a_model_that_one_has_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    save_file(timm.create_model("resnet10t", num_classes=2).state_dict(), "my-model.safetensors")
    held: dict[str, Any] = {}
    for block in blocks(ROOT / "docs/tutorials/timm-model.md", "python"):
        exec(compile(block, "timm-model.md", "exec"), held)
    said = capsys.readouterr().out
    assert "auroc" in said
    assert "logit-effect" in said
    assert set(held["found"].table().environment) >= {"plain", "tagged"}


@pytest.fixture
def outlined(tmp_path: Path) -> Path:
    """Frames with a polyp and their masks, and frames of healthy patients without one, as the tutorial has them."""
    phantom, draw = build("phantom", "endoscopy", {}), np.random.default_rng(0)
    ill, healthy = 30, 6
    values = {one.name: phantom.quantile(one.name, draw.random(ill + healthy)) for one in phantom.factors}
    values["lesion"] = np.array([1] * ill + [0] * healthy)
    shown = phantom.render(values, np.arange(ill + healthy), 64, {})
    for folder in ("images", "masks"):
        (tmp_path / "my-images" / folder).mkdir(parents=True)
    pixels = (255 * shown.images).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    masks = 255 * shown.masks[:, 0].to(torch.uint8).numpy()
    for i in range(ill + healthy):
        name = f"p{i:03}.png" if i < ill else f"h{i:03}.png"
        Image.fromarray(pixels[i]).save(tmp_path / "my-images/images" / name)
        if i < ill:
            Image.fromarray(masks[i]).save(tmp_path / "my-images/masks" / name)
    return tmp_path


@pytest.mark.acceptance
def test_the_tutorial_on_healthy_patients_runs(
    outlined: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = ROOT / "docs/tutorials/quiet.md"
    (block,) = blocks(page, "yaml")
    assert len(block.splitlines()) == 12
    monkeypatch.chdir(outlined)
    monkeypatch.setenv("ASSAY_CACHE", str(outlined / "cache"))
    Path("quiet.yaml").write_text(block)
    smaller = ["--set", "recipe.epochs=1", "--set", "data.size=32", "--set", "recipe.batch_size=6", "--seeds", "1"]
    with pytest.raises(SystemExit) as end:
        main(["run", "quiet.yaml", "--workers", "0", *smaller])
    assert end.value.code == 0
    assert "report: runs/quiet/report.html\n" in capsys.readouterr().out
    tables = assay.open_run("runs/quiet")
    images = tables.table("environments").set_index("environment").images
    assert images["healthy"] == 6  # all of them
    assert 0 < images["crops"] <= images["lesions"] == 6
    rates = tables.table("estimates").query("measure == 'false-positive-rate' and environment == 'healthy'")
    assert len(rates) == 2
    told = Path("runs/quiet/report.html").read_text(encoding="utf-8")
    for section in ("Share of lesion-free images called, by threshold and area", "Predicted outlines"):
        assert section in told


def outlining_network(folder: Path) -> torch.nn.Module:
    """A network that was trained to outline the polyps of `folder`, well enough that a threshold finds nine in ten."""
    files = sorted((folder / "masks").iterdir())

    def read(path: Path, mode: str) -> np.ndarray:
        return np.asarray(Image.open(path).convert(mode).resize((96, 96)), np.float32) / 255

    images = torch.from_numpy(np.stack([read(folder / "images" / one.name, "RGB") for one in files])).permute(
        0, 3, 1, 2
    )
    masks = torch.from_numpy(np.stack([read(one, "L") for one in files]))[:, None]
    network = smp.Unet("resnet18", encoder_weights=None, classes=1)
    loss = torch.nn.BCEWithLogitsLoss(pos_weight=torch.tensor(4.0))
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    for _ in range(25):
        optimizer.zero_grad()
        loss(network(images), masks).backward()
        optimizer.step()
    return network


@pytest.mark.acceptance
def test_a_network_that_one_has_is_asked_whether_it_is_quiet(
    outlined: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (block,) = blocks(ROOT / "docs/tutorials/quiet.md", "python")
    monkeypatch.chdir(outlined)
    monkeypatch.setenv("ASSAY_CACHE", str(outlined / "cache"))
    shutil.copytree("my-images", "my-validation")
    for path in Path("my-validation/images").iterdir():  # one level brighter, and so other images
        Image.fromarray(np.asarray(Image.open(path)).clip(0, 254) + np.uint8(1)).save(path)
    torch.save(outlining_network(outlined / "my-images").state_dict(), "my-network.pt")
    held: dict[str, Any] = {}
    exec(compile(block, "quiet.md", "exec"), held)
    found = held["rows"].query("factor == '' and group == '' and level == ''").set_index(["environment", "measure"])
    # Nine in ten of the images that set the threshold, which are nearly these.
    assert found.loc[("lesions", "lesion-sensitivity-at-90"), "value"] > 0.85
    assert 0 <= found.loc[("healthy", "false-positive-rate-at-90"), "value"] <= 1
    assert found.loc[("lesions", "dice"), "value"] > 0.3  # which no untrained one reaches
    assert "false-positive-rate-at-90" in capsys.readouterr().out


def test_the_tutorial_shows_the_built_in_study() -> None:
    (block,) = blocks(ROOT / "docs/tutorials/own-images.md", "yaml")
    built_in = (ROOT / "src/assay/studies/examples/dermoscopy.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(block) == yaml.safe_load(built_in)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `nodule-loss` stands for in the examples of the pages: one loss, one seed, one step an epoch."""
    study = {**BASE, "name": "nodule-loss", "seeds": 1, "scales": {"quick": {"data.test": 48}}}
    study["data"] = {**SMALL["data"], "size": 64, "train": 32, "validation": 32, "test": 32}
    path = tmp_path_factory.mktemp("studies") / "nodule-loss.yaml"
    path.write_text(json.dumps(study))
    return path


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the examples run one after another, so that the second finds what the first has done."""
    return tmp_path_factory.mktemp("workplace")


@pytest.mark.parametrize(("page", "block"), SCRIPTS, ids=[f"{name(page)}-{i}" for i, (page, _) in enumerate(SCRIPTS)])
def test_python_runs_on_a_small_study(
    page: Path, block: str, tiny: Path, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workplace)
    monkeypatch.setenv("ASSAY_CACHE", str(workplace / "cache"))
    for place in ("assay.spec.parse.study_files", "assay.spec.load.study_files"):
        monkeypatch.setattr(place, lambda: {"nodule-loss": tiny})
    monkeypatch.setattr("assay.execution.local.Workers", lambda *_, **__: InProcess())
    exec(compile(block, name(page), "exec"), {"__name__": "__main__"})
