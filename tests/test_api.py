"""Assay from Python: the five lines of the README on a small study, and the same trials as from YAML."""

from __future__ import annotations

import html
import inspect
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score
from tests.cli.asking import Asking
from tests.worlds.files import noise, save, small_set
from tests.worlds.studies import SMALL, TINY, write_spec

import assay
from assay.audit.request import AuditRequest, ProbeRequest
from assay.compare.request import CompareRequest
from assay.look.request import LookRequest
from assay.plugin import AssayError, DataError, ReadingError, RunFolder, SpecError, StoreError
from assay.spec.load import apply_sets
from assay.spec.parse import read_study
from assay.store.files import read_rows
from assay.store.schema import TABLES
from assay.study.run import prepare


def trial_ids(study: assay.Study, root: Path) -> list[str]:
    return [trial.id for trial in prepare(study.spec, root).plan.trials]


def test_five_lines(run_copy: Path) -> None:
    study = assay.load(SMALL).set("recipe.loss", ["cross-entropy", "supcon"])
    run = study.run(run_copy.parent, workers=0, progress=False)
    table = run.table("contrasts")
    page = run.report()
    assert run.results.equals(run.table("estimates"))
    assert {"recipe", "measure", "environment", "value", "low", "high", "seeds"} <= set(run.results.columns)
    assert dir(assay) == sorted(assay.__all__)

    assert isinstance(table, pd.DataFrame)
    (row,) = table.to_dict("records")
    assert (row["a"], row["b"], row["seeds"]) == ("supcon", "cross-entropy", 3)
    assert math.isfinite(row["value"])
    assert run.table("estimates")["coordinates.loss"].unique().tolist() == ["cross-entropy", "supcon"]
    assert page == run_copy / "report.html"


def test_yaml_and_python_name_the_same_trials(run_copy: Path, tmp_path: Path) -> None:
    from_yaml = trial_ids(assay.load(write_spec(tmp_path)), run_copy)
    from_python = trial_ids(assay.load(SMALL), run_copy)
    assert from_yaml == from_python
    assert sorted(from_yaml) == sorted(path.name for path in (run_copy / "trials").iterdir())
    assert trial_ids(assay.load(write_spec(tmp_path)).set("recipe.epochs", 3), run_copy) == trial_ids(
        assay.load({**SMALL, "recipe": {**SMALL["recipe"], "epochs": 3}}), run_copy
    )


def test_a_changed_study_is_a_new_one() -> None:
    study = assay.load(SMALL)
    more = study.set("seeds", 4).set("recipe.loss", ["cross-entropy", {"focal": {"gamma": 1.0}}])
    assert (study.spec.seeds, more.spec.seeds) == (3, 4)
    assert more.spec.axes == {"loss": ("cross-entropy", "focal(gamma=1)")}
    assert SMALL["seeds"] == 3


class Anywhere:
    """Some path of the user's own."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __fspath__(self) -> str:
        return self.path


@pytest.mark.parametrize(
    ("place", "value", "stands"),
    [
        ("question", "what \N{MICROSCOPE} sees", "what \N{MICROSCOPE} sees"),
        ("question", "yes: [no]", "yes: [no]"),
        ("recipe.epochs", np.int64(3), 3),
        ("data.folder", Path("a") / "b", str(Path("a") / "b")),
        ("data.folder", Anywhere("a/b"), "a/b"),
    ],
)
def test_a_value_is_set_as_it_is(place: str, value: object, stands: object) -> None:
    changes = assay.load(SMALL).set("question", "?").set(place, value).changes
    here: Any = apply_sets(read_study(SMALL), changes).values
    for key in place.split("."):
        here = here[key]
    assert here == stands


def test_a_value_that_no_spec_could_hold_is_told_with_its_place() -> None:
    with pytest.raises(SpecError, match=r"^recipe\.epochs = .*\n  expected text, a number"):
        assay.load(SMALL).set("recipe.epochs", object())


def test_a_wrong_study_is_refused_when_it_is_loaded() -> None:
    with pytest.raises(SpecError, match=r"did you mean 'nodule-loss'\?"):
        assay.load("nodule-los")
    with pytest.raises(SpecError, match=r"recipe\.epochs = 0"):
        _ = assay.load(SMALL).set("recipe.epochs", 0).spec


def test_a_field_that_no_study_has_is_refused_when_it_is_set() -> None:
    with pytest.raises(SpecError, match=r"recipe\.los\n  unknown key 'los' in recipe: did you mean 'loss'\?"):
        assay.load(SMALL).set("recipe.los", 1)
    with pytest.raises(SpecError, match=r"unknown key 'gama' in recipe\.loss\.focal: did you mean 'gamma'\?"):
        assay.load(SMALL).set("recipe.loss", {"focal": {"gamma": 2}}).set("recipe.loss.focal.gama", 1)


def test_a_change_that_the_next_one_mends_is_not_refused() -> None:
    changed = assay.load(SMALL).set("recipe.loss", ["focal", "supcon"])
    with pytest.raises(SpecError, match="contrasts"):
        _ = changed.spec
    assert changed.set("contrasts.0.against", "focal").spec.axes == {"loss": ("focal", "supcon")}


@pytest.mark.parametrize(
    "name", ["contrasts", "estimates", "values", "trials", "environments", "findings", "pictures", "provenance"]
)
def test_every_table_is_a_frame(finished_run: Path, name: str) -> None:
    frame = assay.open_run(finished_run).table(name)
    columns, rows = TABLES[name].spread(read_rows(finished_run / "tables" / f"{name}.parquet"))
    assert (list(frame.columns), len(frame)) == (list(columns), len(rows))


@pytest.mark.parametrize(
    ("name", "said"),
    [("estimats", "did you mean 'estimates'?"), ("qqq", "allowed: added, collapses, condition_changes, contrasts, ")],
)
def test_an_unknown_table_is_told_as_on_the_command_line(
    name: str, said: str, finished_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(StoreError) as error:
        assay.open_run(finished_run).table(name)
    assert str(error.value).startswith(f"unknown table '{name}': {said}")
    assert Asking(capsys)("results", finished_run, "--table", name).err == f"{error.value}\n"


def test_bad_rows_are_left_out_where_that_is_asked_and_the_page_lists_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    folder = small_set(tmp_path / "images", 40)
    broken = save(folder / "6.png", noise(6, side=64))
    broken.write_bytes(broken.read_bytes()[:2000])
    study = assay.load(
        {
            "name": "holes",
            "data": {"folder": str(folder), "target": "label", "size": 16},
            "environments": {"train": {}, "same": {}},
            "recipe": {"epochs": 1, "batch_size": 8},
            "seeds": 1,
        }
    )
    with pytest.raises(DataError, match=r"line 8 '6\.png': .* cut short"):
        study.run(tmp_path / "runs", workers=0, progress=False)
    run = study.run(tmp_path / "runs", workers=0, progress=False, skip_bad_rows=True)
    page = html.unescape(run.report().read_text(encoding="utf-8"))
    left_out = "Excluded rows of the data: line 8: the file is damaged or cut short"
    assert left_out in page
    assert "No row of the data was excluded" not in page
    assert set(run.table("trials").status) <= {"done", "collapsed"}


def test_a_folder_without_a_study_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"is not a run folder: it holds no run\.json"):
        assay.open_run(tmp_path)


def test_a_model_has_its_preprocessing_and_gives_the_kept_logits(run_copy: Path) -> None:
    trial = min((run_copy / "trials").iterdir())
    model = assay.load_model(trial)
    assert not model.network.training
    with torch.inference_mode():
        logits = model.network(torch.rand(2, 1, 32, 32))
    assert logits.shape == (2, 2)
    assert bool(torch.isfinite(logits).all())
    with pytest.raises(StoreError, match="holds no complete trial"):
        assay.load_model(run_copy / "trials" / "nosuch")
    with pytest.raises(StoreError, match=f"is a whole run: name one of its networks, such as .*trials/{trial.name}$"):
        assay.load_model(run_copy)


# --- a model that the user has ----------------------------------------------------------------------------------------


class Brightness(torch.nn.Module):
    """Its logit is the mean of the image; a frozen norm beside it must stay as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.pool, self.norm = torch.nn.AdaptiveAvgPool2d(1), torch.nn.BatchNorm2d(1).eval()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.pool(self.norm(images)).flatten()


def test_a_model_of_ones_own_is_probed_on_every_row_of_a_folder(tmp_path: Path) -> None:
    folder = small_set(tmp_path, 40, extra={"who": [f"p{i // 2}" for i in range(40)], "age": range(40)})
    model = Brightness().train()
    model.norm.eval()
    data = {"folder": str(folder), "target": "label", "patient": "who", "size": 16, "factors": {"age": {}},
            "split": {"folds": 5}}  # fmt: skip
    found = assay.probe(model, data, progress=False).table()
    means = [float(noise(i).mean()) for i in range(40)]
    (row,) = found.query("measure == 'auroc' and factor == '' and group == ''").to_dict("records")
    assert row["value"] == pytest.approx(roc_auc_score([i % 2 for i in range(40)], means))
    assert (row["environment"], row["images"], row["patients"]) == ("all", 40, 20)
    assert set(found.query("factor == 'age'").environment) == {"all"}
    assert model.training
    assert not model.norm.training


def test_a_model_of_a_run_measures_as_it_did_there(run_copy: Path) -> None:
    run = assay.open_run(run_copy)
    trial = run.table("trials").iloc[0]
    model = assay.load_model(run_copy / "trials" / trial["trial"])
    tests = {name: {"association": {"texture": strength}} for name, strength in (("same", 0.9), ("reversed", -0.9))}
    found = assay.probe(
        model.network, SMALL["data"], environments=tests, seed=model.seed, threshold=model.threshold, progress=False
    ).table()
    kept = RunFolder(run_copy)
    ids = [
        path.name
        for path in (run_copy / "probes").iterdir()
        if kept.record("probes", path.name)["probe"] == "performance"
    ]
    (id,) = [id for id in ids if kept.record("probes", id)["trial"] == trial["trial"]]
    of_images = run.table("seeds").query(
        f"recipe == {trial.recipe!r} and seed == {trial.seed} and factor == '' and group == ''"
    )
    then = pd.concat([pd.DataFrame(kept.measurements(id)), of_images])
    keys = ["measure", "environment", "factor", "level", "group"]
    mine = found[found.group != "worst environment"]
    both = mine.merge(then, on=keys, suffixes=("", "_then"))
    assert len(both) == len(mine)
    assert {"auroc", "accuracy", "log-loss"} <= set(both.query("factor == '' and group == ''").measure)
    np.testing.assert_allclose(both.value, both.value_then, rtol=1e-5, atol=1e-6)


def test_layers_of_a_model_of_ones_own_are_described(tmp_path: Path) -> None:
    folder = small_set(tmp_path, 40)
    data = {"folder": str(folder), "target": "label", "size": 16}
    found = assay.probe(Brightness(), data, ["representation"], layers=["norm"], progress=False).table()
    assert set(found.layer) - {""} == {"norm"}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"probes": ["representation"], "layers": ["poll"]}, "unknown layer 'poll': did you mean 'pool'"),
        (
            {"probes": ["decodability"]},
            "probe 'decodability' looks at layers: name modules in layers=(...), such as pool and norm",
        ),
        (
            {"environments": {"train": {}}},
            "environments: 'train' is what a study trains on, and nothing is trained here; name it otherwise",
        ),
        ({"environments": {"same": {"like": "train"}}}, "nothing is trained here"),
        ({"probes": ["performence"]}, "did you mean 'performance'"),
        ({"task": "segmentation", "probes": ["segmentation"]}, "these data have no masks"),
    ],
)
def test_what_cannot_be_probed_is_said(tmp_path: Path, asked: dict[str, Any], said: str) -> None:
    folder = small_set(tmp_path, 8)
    with pytest.raises(AssayError) as error:
        assay.probe(Brightness(), {"folder": str(folder), "target": "label", "size": 16}, **asked, progress=False)
    assert said in str(error.value)


def test_a_model_that_cannot_take_the_images_is_told_with_their_shape(tmp_path: Path) -> None:
    folder = small_set(tmp_path, 8)
    colored = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 16), torch.nn.Flatten())
    with pytest.raises(ReadingError) as error:
        assay.probe(colored, {"folder": str(folder), "target": "label", "size": 16}, progress=False)
    assert str(error.value).startswith(
        "the model cannot read images [1, 1, 16, 16]: they are gray, and its first layer"
    )
    assert "give channels=color" in str(error.value)
    larger = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(8, 2))
    with pytest.raises(ReadingError, match=r"cannot read images \[1, 1, 16, 16\], float32 in 0..1: .* as size"):
        assay.probe(larger, {"folder": str(folder), "target": "label", "size": 16}, progress=False)


def test_a_script_without_a_main_guard_runs_with_workers(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "print('script begins')\n"
        "import assay\n"
        f"run = assay.load({TINY!r}).run('runs', workers=1, progress=False)\n"
        "print('rows', len(run.table('estimates')))\n"
    )
    ended = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("script begins") == 1
    assert int(ended.stdout.split()[-1]) > 0


def test_code_of_the_script_itself_is_refused() -> None:
    recipe = {**TINY["recipe"], "loss": "__main__:mine"}
    with pytest.raises(SpecError, match="loss '__main__:mine' is in the script that runs: move it to a module of its"):
        assay.load({**TINY, "recipe": recipe})


@pytest.mark.parametrize(
    ("function", "request_"),
    [
        (assay.probe, ProbeRequest),
        (assay.audit, AuditRequest),
        (assay.look, LookRequest),
        (assay.compare, CompareRequest),
    ],
)
def test_every_parameter_is_a_field_of_the_request_with_the_same_default(function: Any, request_: type[Any]) -> None:
    parameters = inspect.signature(function).parameters.values()
    assert {one.name for one in parameters} <= request_.model_fields.keys()
    defaults = {one.name: one.default for one in parameters if one.default is not inspect.Parameter.empty}
    assert defaults == {name: request_.model_fields[name].get_default() for name in defaults}
