"""Studies of models that were trained elsewhere: the same tables and page, and nothing is trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from tests.cli.asking import Asking
from tests.worlds.files import write_table
from tests.worlds.studies import SMALL
from torch import nn

import assay
from assay.execution.run import rebuild
from assay.plugin import AssayError, SpecError, WeightsError, load_weights, save_weights

SIDE = 32
STUDY: dict[str, Any] = {
    **{key: value for key, value in SMALL.items() if key not in ("recipe", "seeds")},
    "environments": {"same": {"association": {"texture": 0.9}}, "reversed": {"association": {"texture": -0.9}}},
    "probes": ["performance", {"decodability": {"layers": ["0"]}}],
}


def make() -> nn.Module:
    """A network whose layers have names of their own."""
    return nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(16, 1))


def weights(folder: Path, name: str, seed: int, slope: float = 1.0) -> str:
    """Write weights that are drawn from a seed; return the name of the file."""
    network = make()
    drawn = torch.Generator().manual_seed(seed)
    for value in network.state_dict().values():
        value.copy_(slope * torch.randn(value.shape, generator=drawn))
    save_weights(network, folder / f"{name}.safetensors")
    return f"{name}.safetensors"


def written(folder: Path, rows: list[list[object]] | None = None, **models: Any) -> dict[str, Any]:
    """Write weights of two losses and three seeds with their table; return the study."""
    table = rows or [
        ["path", "loss", "seed"],
        *(
            [weights(folder, f"{loss}-{seed}", 10 * at + seed, 1 + at), loss, seed]
            for at, loss in enumerate(("ce", "my loss"))
            for seed in (3, 5, 11)
        ),
    ]
    write_table(folder / "models.csv", table)
    section = {"table": str(folder / "models.csv"), "network": "tests.study.test_models_elsewhere:make", **models}
    contrast = {"axis": "loss", "against": "ce", "measure": "auroc", "environment": "reversed", "margin": 0.1}
    return {**STUDY, "models": section, "probes": ["performance"], "contrasts": [{**contrast, "role": "primary"}]}


def test_networks_are_counted_by_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = written(tmp_path)
    lines = (tmp_path / "models.csv").read_text().splitlines()
    (tmp_path / "models.csv").write_text("\n".join(lines[:-1]) + "\n")
    (tmp_path / "study.yaml").write_text(json.dumps(study))
    assert "2 recipes × 3 seeds: 5 training runs" in assay.load(study)._repr_html_()
    assert json.loads(Asking(capsys)("show", tmp_path / "study.yaml", "--json").out)["trials"] == 5


def test_an_axis_has_a_name_of_its_own(tmp_path: Path) -> None:
    study = written(tmp_path)
    table = tmp_path / "models.csv"
    table.write_text(table.read_text().replace("loss", "axis", 1))
    with pytest.raises(SpecError, match="a column is called 'axis', as what makes one in a study: rename the column"):
        assay.Study({**study, "contrasts": []}).spec  # noqa: B018


def run(study: dict[str, Any], out: Path) -> assay.Run:
    return assay.Study(study).run(out, workers=0, progress=False)


def test_a_table_of_models_gives_tables_and_a_page(tmp_path: Path) -> None:
    study = written(tmp_path)
    made = run(study, tmp_path / "runs")
    assert made.result is not None
    assert (made.result.failed, made.result.unlearned) == (0, 0)
    contrasts = made.table()
    assert contrasts[["a", "b", "axis", "seeds"]].values.tolist() == [["my loss", "ce", "loss", 3]]
    seeds = made.table("seeds")
    own = seeds[(seeds.measure == "auroc") & (seeds.environment == "reversed") & (seeds.seed == 1)]
    network = make().eval()
    load_weights(network, tmp_path / "ce-5.safetensors")
    outside = assay.probe(
        network, STUDY["data"], environments={"reversed": STUDY["environments"]["reversed"]}, progress=False
    ).table()
    wanted = outside[(outside.measure == "auroc") & (outside.group == "")]["value"].iloc[0]
    assert own[own.recipe == "ce"]["value"].iloc[0] == pytest.approx(wanted)
    page = (made.folder / "report.html").read_text()
    assert "my loss" in page
    assert "The 6 models were trained elsewhere" in page
    assert not [word for word in ("epochs", "order of batches", "AdamW", "adamw", "small-cnn") if word in page]


@pytest.mark.nightly
def test_a_run_folder_is_complete_and_goes_on_when_weights_change(tmp_path: Path) -> None:
    study = written(tmp_path)
    first = run(study, tmp_path / "runs")
    again = run(study, tmp_path / "runs").result
    assert again is not None
    assert (again.trained, again.probed) == (0, 0)
    before = {path.name for path in (first.folder / "trials").iterdir()}
    weights(tmp_path, "ce-5", 99)
    changed = run(study, tmp_path / "runs").result
    assert changed is not None
    assert (changed.trained, changed.probed) == (1, 1)
    (added,) = {path.name for path in (first.folder / "trials").iterdir()} - before
    for file in tmp_path.glob("*.safetensors"):
        file.unlink()
    assert rebuild(first.folder).is_file()  # pages need the run folder alone
    assert assay.load_model(first.folder / "trials" / added).network(torch.zeros(1, 1, SIDE, SIDE)).shape == (1, 1)


class Scaled(nn.Module):
    """The network of `make`, with the config that timm keeps for color images; it keeps the darkest pixel it saw."""

    darkest: ClassVar[list[float]] = []

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        self.first, self.rest = nn.Conv2d(channels, 1, 1), make()
        self.pretrained_cfg = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.2, 0.1), "input_size": (3, SIDE, SIDE)}

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.darkest.append(float(images.min()))
        return self.rest(self.first(images))


def wide() -> nn.Module:
    """A network of two channels, with a config of three."""
    return Scaled(2)


def test_gray_images_are_scaled_by_the_averages_of_a_config_of_color(tmp_path: Path) -> None:
    save_weights(Scaled(), tmp_path / "a.safetensors")
    rows: list[list[object]] = [["path", "seed"], ["a.safetensors", 0]]
    study = written(tmp_path, rows, network="tests.study.test_models_elsewhere:Scaled")
    del study["contrasts"]
    Scaled.darkest.clear()
    run(study, tmp_path / "runs")
    assert -0.4 / (0.5 / 3) - 1e-4 < min(Scaled.darkest) < 0
    study["models"] |= {"network": "tests.study.test_models_elsewhere:wide"}
    with pytest.raises(SpecError, match=r"the network takes 2 channels; give .*preprocessing"):
        run(study, tmp_path / "wide")


def pixels() -> nn.Module:
    """One logit of every pixel."""
    return nn.Conv2d(1, 1, 3, padding=1)


def test_segmentations_from_elsewhere_are_probed(tmp_path: Path) -> None:
    rows: list[list[object]] = [["path", "loss", "seed"]]
    for loss in ("dice", "other"):
        for seed in range(2):
            torch.manual_seed(seed + len(loss))
            save_weights(pixels(), tmp_path / f"{loss}-{seed}.safetensors")
            rows.append([f"{loss}-{seed}.safetensors", loss, seed])
    study = written(tmp_path, rows, network="tests.study.test_models_elsewhere:pixels", task="segmentation")
    data = {**SMALL["data"], "train": 8, "validation": 8, "test": 12}
    contrast = {"axis": "loss", "against": "dice", "measure": "dice", "environment": "same"}
    changed: dict[str, Any] = {"data": data, "contrasts": [contrast], "probes": ["segmentation"]}
    changed["environments"] = {"same": {}}
    made = run({**study, **changed}, tmp_path / "runs")
    assert made.result is not None
    assert made.result.failed == 0
    estimates = made.table("estimates")
    assert set(estimates[estimates.measure == "dice"].recipe) == {"dice", "other"}


def test_folds_answer_by_their_mean_probability(tmp_path: Path) -> None:
    rows: list[list[object]] = [["path", "loss", "seed", "fold"]]
    for loss in ("ce", "my loss"):
        for fold in range(3):
            rows.append([weights(tmp_path, f"{loss}-{fold}", len(loss) + fold), loss, 0, fold])
    made = run({**written(tmp_path, rows, ensemble="folds"), "contrasts": []}, tmp_path / "runs")
    trials = made.table("trials")
    assert len(trials) == 2
    images = torch.rand(4, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    members = [make().eval() for _ in range(3)]
    for fold, member in enumerate(members):
        load_weights(member, tmp_path / f"ce-{fold}.safetensors")
    wanted = torch.stack([member(images).sigmoid() for member in members]).mean(0)
    id = trials[trials.recipe == "ce"]["trial"].iloc[0]
    found = assay.load_model(made.folder / "trials" / id).network(images).sigmoid()
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"recipe": {"epochs": 2}}, "recipe\n  models were trained elsewhere"),
        ({"seeds": 3}, "seeds\n  models were trained elsewhere"),
        ({"network": ""}, "name the network that the weights belong to"),
        ({"network": "resnet19x"}, "unknown timm network 'resnet19x'"),
        ({"network": "tests.study.test_models_elsewhere:nothing"}, "cannot be imported"),
        ({"table": "none.csv"}, "there is no such file"),
        ({"ensemble": "folds"}, "has no column `fold`"),
        ({"layers": ["0"], "ensemble": "folds"}, "an ensemble has several"),
    ],
)
def test_a_wrong_section_is_refused(change: dict[str, Any], why: str, tmp_path: Path) -> None:
    study = written(tmp_path)
    top = {key: value for key, value in change.items() if key in ("recipe", "seeds")}
    models = {**study["models"], **{key: value for key, value in change.items() if key not in top}}
    with pytest.raises(SpecError, match=why):
        run({**study, "models": models, **top}, tmp_path / "runs")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("gone.safetensors,ce,20", r"line 8: there is no file 'gone\.safetensors'"),
        ("ce-3.safetensors,ce,3", "lines 2 and 8 are of the same recipe and seed"),
        ("ce-3.safetensors,,20", "line 8 has an empty or a missing cell"),
        ("ce-3.safetensors,ce", "line 8 has an empty or a missing cell"),
    ],
)
def test_a_wrong_row_is_named_by_its_line(line: str, why: str, tmp_path: Path) -> None:
    study = written(tmp_path)
    with (tmp_path / "models.csv").open("a") as table:
        table.write(line + "\n")
    with pytest.raises(SpecError, match=why):
        _ = assay.Study(study).spec


def test_weights_of_another_network_are_refused_before_anything_runs(tmp_path: Path) -> None:
    study = written(tmp_path)
    save_weights(nn.Sequential(nn.Linear(9, 1)), tmp_path / "ce-5.safetensors")
    with pytest.raises(WeightsError, match=r"ce-5"):
        run(study, tmp_path / "runs")
    assert not (tmp_path / "runs" / "small" / "trials").exists()


def test_no_code_that_a_table_of_weights_names_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The study names no code; the table may be somebody else's."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lurking_maker.py").write_text(
        f"open({str(tmp_path / 'ran')!r}, 'w')\nfrom tests.study.test_models_elsewhere import make\n"
    )
    file = weights(tmp_path, "ce-3", 3, 1)
    rows: list[list[object]] = [["path", "network", "seed"], [file, "lurking_maker:make", 3]]
    study: dict[str, Any] = {**written(tmp_path, rows, network=""), "contrasts": []}
    with pytest.raises(
        AssayError, match=r"models\.csv: network 'lurking_maker:make' is code .* as `network` of `models`"
    ):
        _ = assay.Study(study).spec
    assert not (tmp_path / "ran").exists()
    study["models"]["network"] = "lurking_maker:make"  # read, and named by the user
    assert len(assay.Study(study).spec.points) == 1
    assert (tmp_path / "ran").exists()
    study["models"]["network"] = ""
    assert len(assay.Study(study).spec.points) == 1  # which was run before
