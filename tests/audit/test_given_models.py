"""Models that a user has: each kind leaves the records of a trial, is read once, and has a page."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from markupsafe import escape
from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]
from tests.report.reading import require_links
from tests.worlds.files import save, write_table
from tests.worlds.studies import SMALL
from torch import nn

import assay
from assay.cli import main
from assay.core.measures import direction_of, label_of
from assay.plugin import RunFolder, SpecError, StoreError, WeightsError
from assay.report.sentences.reasons import reason_words
from assay.stats.findings import finding_row, parse_finding
from assay.store import schema
from assay.store.soundness import Soundness

SIDE = 16
SEEN: list[int] = []
"""Images in each batch that a model or function of this file was given."""


class Bright(nn.Module):
    """One logit of an image, or of every pixel: how bright it is."""

    def __init__(self, *, dense: bool = False, slope: float = 20.0) -> None:
        super().__init__()
        self.dense = dense
        self.slope = nn.Parameter(torch.tensor(slope))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        SEEN.append(len(images))
        return self.slope * ((images if self.dense else images.mean((1, 2, 3))) - 0.34)


def bright(images: np.ndarray) -> np.ndarray:
    """The same as a function of arrays."""
    SEEN.append(len(images))
    return np.asarray(np.float32(20.0) * (images.mean((1, 2, 3)) - np.float32(0.34)))


def probable(images: np.ndarray) -> np.ndarray:
    """The same as probabilities of the two classes."""
    p = 1 / (1 + np.exp(-bright(images).astype(np.float64)))
    return np.stack([1 - p, p], axis=1)


def nine(images: np.ndarray) -> np.ndarray:
    """How bright nine pixels are."""
    return np.asarray(20.0 * (images[:, 0, 7:10, 7:10].mean((1, 2)) - 0.34))


def bright_pixels(images: np.ndarray) -> np.ndarray:
    """The same of every pixel."""
    return 20 * (images - 0.34)


def grays(folder: Path, count: int = 24) -> dict[str, Any]:
    """Noisy images; those of class 1 are brighter on average, and each patient has two."""
    draws = np.random.default_rng(3)
    rows: list[list[object]] = [["image", "label", "who", "site"]]
    for at in range(count):
        save(folder / f"{at}.png", draws.integers(30 + 30 * (at % 2), 130, (SIDE, SIDE), dtype=np.uint8))
        rows.append([f"{at}.png", at % 2, f"p{at // 2}", "ab"[at // 6 % 2]])
    write_table(folder / "data.csv", rows)
    factors = {"site": {"kind": "categorical", "levels": ["a", "b"]}}
    return {"folder": str(folder), "target": "label", "patient": "who", "size": SIDE, "factors": factors}


def lesions(folder: Path) -> dict[str, Any]:
    """Dark images with a bright square, which is the lesion in two of three."""
    rows: list[list[object]] = [["image", "mask"]]
    for at in range(12):
        pixels, mask = np.zeros((SIDE, SIDE), np.uint8), np.zeros((SIDE, SIDE), np.uint8)
        pixels[4:10, 4:10] = 90 + 10 * at
        mask[4:10, 4:10] = 255 * (at % 3 > 0)
        save(folder / f"{at}.png", pixels)
        save(folder / f"m{at}.png", mask)
        rows.append([f"{at}.png", f"m{at}.png"])
    write_table(folder / "data.csv", rows)
    return {"folder": str(folder), "target": "lesion", "mask": "mask", "size": SIDE}


def weights(folder: Path, slope: float = 20.0) -> Path:
    save_file(Bright(slope=slope).state_dict(), folder / "bright.safetensors")
    return folder / "bright.safetensors"


def overall(found: assay.Probed, measure: str, environment: str = "all") -> float:
    table = found.table()
    here = (table.measure == measure) & (table.environment == environment)
    (row,) = table[here & (table.factor == "") & (table.group == "") & (table.level == "")].to_dict("records")
    return float(row["value"])


Asked = Callable[[Path], dict[str, Any]]
KINDS: dict[str, Asked] = {
    "module": lambda folder: {"model": Bright()},
    "function": lambda folder: {"model": bright},
    "probabilities": lambda folder: {"model": probable, "scores": "probabilities"},
    "file": lambda folder: {"model": weights(folder), "factory": Bright},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_model_measures_the_same_and_is_read_once(tmp_path: Path, kind: str) -> None:
    data, asked = grays(tmp_path / "set"), KINDS[kind](tmp_path)
    by_hand = assay.probe(Bright(), data, out=tmp_path / "by-hand", progress=False)
    found = assay.probe(**asked, data=data, out=tmp_path / "out", progress=False)
    for measure in ("auroc", "accuracy", "log-loss"):
        assert overall(found, measure) == pytest.approx(overall(by_hand, measure), rel=1e-4)
    folder = RunFolder(found.folder)
    (model,), (reading,), (probe,) = (list(folder.ids(unit)) for unit in ("models", "readings", "probes"))
    assert folder.record("probes", probe)["model"] == folder.record("readings", reading)["model"] == model
    record = folder.record("models", model)
    assert (record["task"], record["channels"], record["size"], record["classes"]) == ("classification", 1, SIDE, 2)
    assert json.loads((folder.unit("models", model) / "provenance.json").read_text())["device"]
    assert Soundness(folder).changes() == []
    assert folder.outputs(reading)["logits"].shape == (24, 2)

    first = assay.probe(**asked, data=data, progress=False)
    SEEN.clear()
    second = assay.probe(**KINDS[kind](tmp_path), data=data, progress=False)
    assert sum(SEEN) <= 17, "one image for its shape and sixteen for which model it is"
    assert second.folder == first.folder
    assert first.table().equals(second.table())
    if kind in ("module", "file"):
        other: dict[str, Any] = (
            {"model": Bright(slope=5.0)} if kind == "module" else {**asked, "model": weights(tmp_path, 5.0)}
        )
        third = assay.probe(**other, data=data, progress=False)
        assert third.folder != first.folder
        assert overall(third, "log-loss") != overall(first, "log-loss")


def test_no_model_is_read_behind_a_link_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    (elsewhere := tmp_path / "elsewhere").mkdir()
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "models").symlink_to(elsewhere)
    with pytest.raises(StoreError, match="cache/models is a link, and a cache has none"):
        assay.probe(Bright(), grays(tmp_path / "set"), progress=False)
    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize("model", [Bright(dense=True), bright_pixels], ids=["module", "function"])
def test_a_segmentation_is_measured_by_maps_and_without_lesions(tmp_path: Path, model: Any) -> None:
    data = lesions(tmp_path / "set")
    probes = ["segmentation", "lesion-free"]
    found = assay.probe(model, data, probes, task="segmentation", out=tmp_path / "out", progress=False)
    assert overall(found, "dice") == pytest.approx(1.0)
    assert overall(found, "false-positive-rate") == 1
    set_by = assay.probe(
        model, data, probes, task="segmentation", validation=lesions_of_validation(tmp_path), progress=False
    )
    assert np.isnan(overall(found, "lesion-sensitivity-at-90"))
    assert overall(set_by, "lesion-sensitivity-at-90") == 7 / 8, "the faintest of validation is brighter than it"
    page = found.report().read_text()
    assert label_of("false-positive-rate") in page
    assert "<h1>Dice 1.00, 100% of lesions found and 100% of lesion-free images falsely marked.</h1>" in page


def lesions_of_validation(folder: Path) -> dict[str, Any]:
    data = lesions(folder / "validation")
    for at in range(12):
        pixels = np.zeros((SIDE, SIDE), np.uint8)
        pixels[4:10, 4:10] = 95 + 10 * at
        save(folder / "validation" / f"{at}.png", pixels)
    return data


def test_a_trial_of_a_run_folder_measures_what_its_own_probes_measured(tmp_path: Path, run_copy: Path) -> None:
    run = assay.open_run(run_copy)
    trial, recipe, seed = run.table("trials").iloc[0][["trial", "recipe", "seed"]]
    tests = {name: {"association": {"texture": strength}} for name, strength in (("same", 0.9), ("reversed", -0.9))}
    own = run_copy / "trials" / trial
    found = assay.probe(own, SMALL["data"], environments=tests, seed=0, out=tmp_path / "out", progress=False).table()
    kept = RunFolder(run_copy)
    (id,) = [id for id in kept.ids("probes") if kept.record("probes", id)["trial"] == trial]
    then = {tuple(row[key] for key in KEYS): row["value"] for row in kept.measurements(id)}
    now = {tuple(row[key] for key in KEYS): row["value"] for row in found.to_dict("records")}
    of_images = {key: value for key, value in now.items() if key not in then}
    assert then.keys() <= now.keys()
    np.testing.assert_array_equal([now[key] for key in then], list(then.values()))
    made = run.table("seeds").query(f"recipe == {recipe!r} and seed == {seed}")
    of_seed = {tuple(row[key] for key in KEYS): row["value"] for row in made.to_dict("records")}
    by_environment = {key: value for key, value in of_images.items() if key[KEYS.index("environment")]}
    assert len(by_environment) == 2 * 8
    np.testing.assert_array_equal(list(by_environment.values()), [of_seed[key] for key in by_environment])
    for (measure, *_), worst in ((key, now[key]) for key in of_images.keys() - by_environment.keys()):
        each = [value for key, value in by_environment.items() if key[0] == measure]
        assert worst == (max if direction_of(measure) == "lower" else min)(each)
    estimates = run.table("estimates").query(f"recipe == {recipe!r} and measure == 'auroc' and factor == ''")
    place = estimates.query("group == 'worst environment'").iloc[0]
    assert place.value == pytest.approx(estimates.query("group == ''").value.min())
    layers = assay.probe(own, SMALL["data"], ["representation"], environments=tests, progress=False).table()
    assert set(layers.layer) > {"trunk"}


KEYS = ("measure", "environment", "factor", "level", "group", "layer")

TRAINING_WORDS = re.compile(r"\b(recipes?|trials?|seeds?|trained|training|epochs?|collapsed)\b", re.IGNORECASE)


def visible(page: str) -> str:
    """The words of a page, without scripts, styles and what it carries as files."""
    bare = re.sub(r"<(script|style)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return re.sub(r"<[^>]*>", " ", bare)


def not_numbers(images: np.ndarray) -> object:
    return ["a"] * len(images)


def far_out(images: np.ndarray) -> object:
    return images.mean((1, 2, 3)) * 30


@pytest.mark.parametrize(
    ("asked", "error", "said"),
    [
        ({"model": 3}, SpecError, "model is int; expected a torch.nn.Module, a function of images, a file of weights"),
        ({"model": "w.safetensors"}, WeightsError, "there is no file w.safetensors"),
        ({"model": Bright(), "factory": Bright}, SpecError, "factory: of a module or function nothing is built"),
        ({"model": "none.safetensors", "factory": Bright}, WeightsError, "does not exist"),
        (
            {"model": bright, "probes": ["representation"]},
            SpecError,
            "a function of images shows none: give the module",
        ),
        ({"model": not_numbers}, SpecError, "the function returned list; expected an array of scores"),
        ({"model": far_out, "scores": "probabilities"}, SpecError, "probabilities are between 0 and 1"),
        ({"model": Bright(), "environments": {"a": {"split": "train"}}}, SpecError, "leave `split` out"),
        ({"model": Bright(), "environments": {"a": {"rows": 3}}}, SpecError, "keeps all of its own rows"),
    ],
)
def test_what_cannot_be_probed_is_refused_with_the_remedy(
    tmp_path: Path, asked: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error) as refused:
        assay.probe(**asked, data=grays(tmp_path / "set"), progress=False)
    assert said in str(refused.value)
    assert len(str(refused.value).splitlines()) <= 3


@pytest.fixture(name="audited", scope="module")
def _audited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the run folder of a function that was probed, under `runs`; its images are gone."""
    root = tmp_path_factory.mktemp("probed")
    tag = {"tag": {"size": 0.6, "share": {"positive": 1.0, "negative": 0.0}}}
    tests: dict[str, Any] = {"as-is": {}, "tagged": {"interventions": tag}}
    given: dict[str, Any] = {"environments": tests, "out": root / "runs" / "m1", "name": "My <model>", "expect": 0.5}
    data = grays(root / "set")
    assay.probe(nine, data, ["performance", "reliance"], **given, progress=False)
    shutil.rmtree(root / "set")
    return root / "runs" / "m1"


def test_the_page_says_what_one_model_does_and_nothing_of_a_training(audited: Path) -> None:
    path = audited / "report.html"
    page = path.read_text()
    (doubt,) = (parse_finding(row) for row in RunFolder(audited).table("findings"))
    text = visible(page).replace(str(escape(reason_words(doubt.reason))), "")  # which names its training as a cause
    require_links(page)
    first = page.partition('<div class="first">')[2].partition('<h2 id="findings"')[0]
    (verdict,) = re.findall(r"<h1>(.*?)</h1>", first)
    assert verdict.endswith(".")
    assert not re.search(r"\d\.\d", verdict)
    assert "What has My &lt;model&gt; learned?" in page
    (measured,) = re.findall(r'<td>AUROC in tagged</td><td class="numbers"><a href="#performance">([^<]+)</a>', first)
    assert f">{measured}</td>" in page
    assert "What this does not show: whether the model has seen these images before" in page
    assert not (found_words := set(TRAINING_WORDS.findall(text))), found_words
    for id in re.findall(r'<section aria-labelledby="([\w-]+)"', page):
        section = re.search(rf'<section aria-labelledby="{id}">(.*?)</section>', page, re.DOTALL)
        assert section is not None
        assert re.search(r"<(figure|table|li|p)\b", section[1]), f"section {id} is empty"
    assert "p0" not in text, "a patient's name"
    assert (first.count("<img ") > 0, first.count("<figure id=")) == (True, 1)
    before = path.read_bytes()
    path.unlink()
    assert assay.open_run(audited).report().read_bytes() == before, "from the folder alone"


def test_findings_of_a_model_are_cautions_whose_sentences_are_on_the_page(audited: Path) -> None:
    rows = RunFolder(audited).table("findings")
    assert tuple(rows[0]) == schema.FINDINGS.names
    found = [parse_finding(row) for row in rows]
    again = json.dumps([finding_row(one) for one in found], sort_keys=True)
    assert again == json.dumps(rows, sort_keys=True), "a finding survives its row"
    (doubt,) = found
    assert (doubt.kind, doubt.light) == ("caution", "warn")
    assert "where 0.50 was expected" in reason_words(doubt.reason)
    assert str(escape(reason_words(doubt.reason))) in visible((audited / "report.html").read_text())


def test_commands_and_open_run_read_the_folder_of_a_model(audited: Path, capsys: pytest.CaptureFixture[str]) -> None:
    opened = assay.open_run(audited)
    assert isinstance(opened, assay.Probed)
    assert len(opened.doubts) == 1
    for name, table in schema.MODEL_TABLES.items():
        names = tuple(column.name for column in table.columns if not column.keyed)
        assert tuple(opened.table(name).columns) == (names if len(opened.table(name)) else ())
    assert opened.table().equals(opened.table("estimates"))

    def asked(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            main([*words, "--out", str(audited.parent)])
        out, err = capsys.readouterr()
        return int(str(end.value)), out, err

    code, out, _ = asked("results", "m1", "--table", "findings", "--json")
    (row,) = json.loads(out)
    assert (code, row["light"]) == (0, "warn")
    assert "where 0.50 was expected" in row["sentence"]
    code, out, _ = asked("results", "m1", "--csv")
    assert (code, len(out.splitlines())) == (0, 1 + len(opened.table()))
    assert "standard_error" in out.splitlines()[0]
    assert asked("results", "m1", "--table", "contrasts") == (
        2,
        "",
        f"{audited} holds a model probed by itself, which has no table 'contrasts'; it has estimates, findings, "
        "environments, pictures, provenance\n",
    )
    assert asked("report", "m1")[:2] == (0, f"{audited / 'report.html'}\n")
    code, out, _ = asked("doctor", "m1", "--json")
    assert code == 0
    assert {one["what"]: one["found"] for one in json.loads(out)}["files"] == "all compared, none is damaged"
    code, _, error = asked("clean", "m1")
    assert (code, error) == (2, f"{audited} holds a model probed by itself, not a study: give another folder\n")


def test_a_folder_of_a_study_takes_no_model_and_an_empty_one_is_refused(tmp_path: Path, run_copy: Path) -> None:
    page = (run_copy / "report.html").read_bytes()
    with pytest.raises(StoreError, match="holds a study, not a model probed by itself: give another folder"):
        assay.probe(bright, grays(tmp_path / "set"), out=run_copy, progress=False)
    assert (run_copy / "report.html").read_bytes() == page
    with pytest.raises(StoreError, match=r"is not a run folder: it holds no run\.json"):
        assay.open_run(tmp_path)


def test_heat_maps_of_a_model_of_pixels_are_undefined_where_lesions_are_boxes(tmp_path: Path) -> None:
    data = grays(tmp_path / "set")
    boxes = [[f"{at}.png", "spot", 2, 2, 8, 8] for at in range(24)]
    write_table(tmp_path / "set" / "boxes.csv", [["image", "kind", "x0", "y0", "x1", "y1"], *boxes])
    data |= {"boxes": {"table": "boxes.csv"}}
    probes = ["performance", {"attribution": {"explainers": ["gradient"]}}]
    with pytest.warns(UserWarning, match="the same output"):
        table = assay.probe(Bright(dense=True), data, probes=probes, progress=False).table()
    rows = table[table.measure == "mass-accuracy"]
    assert len(rows) > 0
    assert rows["value"].isna().all()
    assert set(rows.reason) == {'[{"code": "pixel-logits"}]'}
