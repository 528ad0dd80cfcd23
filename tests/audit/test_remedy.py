"""From finding to remedy: the mark of a network is covered, the network is trained again, and the verdict is gone."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image
from sklearn.metrics import roc_auc_score
from tests.audit.search.test_leads import COUNT, GLYPH, LETTER, MODELS, SIDE, audited, limits, middle, pictures
from tests.cases import first_of
from tests.worlds.files import save, write_rows, write_table
from torch import nn

import assay
from assay.audit.remedy.run import write_remedy
from assay.cli import main
from assay.plugin import RunFolder
from assay.store.files import read_parquet, write_parquet
from assay.store.manifest import write_manifest

COLUMNS = {"target": "label", "patient": "who", "size": SIDE}


def trained(folder: Path) -> nn.Module:
    """A small network, trained for seconds on the images of a table."""
    images, label = read(folder)
    torch.manual_seed(0)
    made = nn.Sequential(
        nn.Conv2d(1, 8, 5, 2),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, 2),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.LazyLinear(1),
    )
    made(images[:1])
    steps = torch.optim.AdamW(made.parameters(), 0.01, weight_decay=0.01)
    for _ in range(120):
        rows = torch.randint(len(images), (64,))
        steps.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(made(images[rows])[:, 0], label[rows]).backward()
        steps.step()
    return made.eval()


def read(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    rows = table(folder / "data.csv")
    images = np.stack([np.asarray(Image.open(folder / row["image"]), dtype=np.float32) / 255 for row in rows])
    return torch.tensor(images)[:, None], torch.tensor([float(row["label"]) for row in rows])


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.open(encoding="utf-8")))


def auroc(network: nn.Module, folder: Path) -> float:
    images, label = read(folder)
    with torch.inference_mode():
        return float(roc_auc_score(label, network(images)[:, 0]))


def main_json(command: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    with pytest.raises(SystemExit, match="0"):
        main([*command, "--json"])
    made: dict[str, Any] = json.loads(capsys.readouterr().out)
    return made


def found(network: nn.Module, data: Mapping[str, Any], train: Mapping[str, Any], out: Path) -> dict[str, Any]:
    marks = {"tag": [{"tag": {"size": 0.1, "x": 0.9, "y": 0.1}}] * 3}
    assay.audit(network, data, train=train, marks=marks, distortions=[], out=out, progress=False)
    return RunFolder(out).table("regions")[0]


def test_the_mark_is_gone_after_training_on_images_with_it_covered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train, clean = pictures(tmp_path / "train", tie=0.96), pictures(tmp_path / "clean", "none", seed=1)
    before, after, covered = tmp_path / "before", tmp_path / "after", tmp_path / "covered"
    first = trained(tmp_path / "train")
    mark = found(first, clean, train, before)
    assert (mark["verdict"], mark["name"], mark["bright"]) == ("unverified", "0.167 lower right", True)
    with pytest.raises(SystemExit, match="0"):
        main(["audit", "remedy", str(before), str(covered), "--quiet"])
    said = capsys.readouterr().out
    assert "a bright mark in the lower right corner is on 8" in said
    assert f"{COUNT} images, " in said
    assert "test images" not in said
    second = trained(covered)
    middle = found(second, clean, train, after)
    assert middle["name"] == "0.333,0.333,0.667,0.667", "where the finding is"
    assert mark["value_low"] > 1.5 * middle["value_high"]
    areas = [auroc(network, tmp_path / "clean") for network in (first, second)]
    assert areas[1] > areas[0] + 0.03
    with pytest.raises(SystemExit, match="0"):
        main(["audit", "compare", str(before), str(after), "--out", str(tmp_path / "differ")])
    said = capsys.readouterr().out.splitlines()
    ends = [", {value:.2f} sd [{value_low:.2f}, {value_high:.2f}]".format(**one) for one in (mark, middle)]
    unverified = "finding without a verified limit"
    named = (
        f"before: a bright mark in the lower right corner: {unverified}{ends[0]}; after: the look of the middle: "
        f"{unverified}{ends[1]}."
    )
    assert named in said
    said = said[said.index(named) :]
    assert said[1].startswith(
        f"AUROC on the 160 images that both read: {areas[0]:.3f} in before and {areas[1]:.3f} in after, the first minus"
    )
    assert "Fixed region" not in "".join(said), "it is said once"
    page = (tmp_path / "differ" / "report.html").read_text().replace("\u00a0", " ")
    assert named in page
    assert re.search(r"<tr[^>]*>\s*<td[^>]*>[Ff]ixed regions<", page), "in the table"
    assert main_json(["audit", "compare", str(before), str(after)], capsys)["answer"] == [
        f"AUROC ({areas[0]:.2f} in before, {areas[1]:.2f} in after) differs between before and after.",
        named,
    ]
    row = next(row for row in RunFolder(tmp_path / "differ").table("compared") if row["kind"] == "region")
    assert row["value"] == pytest.approx(mark["value"] - middle["value"])
    assert 0 < row["low"] < mark["value_low"] - middle["value_high"] + 0.5
    assert row["high"] - row["low"] > mark["value_high"] - mark["value_low"], "of two that vary"


def test_every_image_gets_a_place_without_the_mark_and_its_row_says_what_it_carried(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, covered = audited("letter", tmp_path), tmp_path / "covered"
    with pytest.raises(SystemExit, match="0"):
        main(["audit", "remedy", str(out), str(covered), "--quiet"])
    said = capsys.readouterr().out
    assert said.startswith("these are the test images: do not train on them.")
    assert "retrain" not in said
    assert "6% of each image covered by that of 19 without it" in said, "a quarter of the images without it"
    assert "caution" not in said
    with pytest.raises(SystemExit, match="0"):
        main(["audit", "remedy", str(out), str(tmp_path / "swapped"), "--quiet", "--swap"])
    assert "is on all images now: look whether --swap is right" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="0"):
        main(["results", str(out), "--table", "regions"])
    assert "shares." in capsys.readouterr().out.splitlines()[0]
    swapped = [np.asarray(Image.open(path)) for path in (tmp_path / "swapped" / "images").glob("??????.png")]
    assert min(one[LETTER].max() for one in swapped) > 200, "it is"
    before, after = table(tmp_path / "set" / "data.csv"), table(covered / "data.csv")
    assert [row["label"] for row in before] == [row["label"] for row in after]
    assert [row["who"] for row in before] == [row["who"] for row in after]
    letters = [np.asarray(Image.open(tmp_path / "set" / row["image"]))[LETTER].max() > 200 for row in before]
    assert np.mean([one == (row["carries"] == "yes") for one, row in zip(letters, after, strict=True)]) > 0.95
    for old, new in zip(before, after, strict=True):
        one, other = (
            np.asarray(Image.open(path)).astype(int)
            for path in (tmp_path / "set" / old["image"], covered / new["image"])
        )
        assert other[LETTER].max() < 200
        assert (one != other).any()
        assert np.abs(one - other)[:32, :32].max() == 0, "outside it is the same"
    balanced = table(covered / "balanced.csv")
    counts = {(row["label"], row["carries"]) for row in balanced}
    assert len(counts) == 4
    assert {sum((row["label"], row["carries"]) == one for row in balanced) for one in counts} == {len(balanced) // 4}
    for row in balanced:
        kept = np.asarray(Image.open(covered / row["image"]))
        assert (kept[LETTER].max() > 200) == (row["carries"] == "yes"), "it is not covered"


def test_no_rows_balance_a_mark_that_is_on_all_images_of_a_class(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given: dict[str, Any] = {"marks": {}, "distortions": [], "pictures": False, "progress": False, "as_given": True}
    assay.audit(MODELS["letter"], pictures(tmp_path / "set", tie=1.0), out=tmp_path / "out", **given)
    with pytest.raises(SystemExit, match="0"):
        main(["audit", "remedy", str(tmp_path / "out"), str(tmp_path / "covered"), "--quiet"])
    assert (
        " rows, since all images of a class carry it, or none do: collect images of each class with and without it\n"
        in capsys.readouterr().out
    )


def test_a_patch_comes_from_another_patient_or_the_remedy_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given: dict[str, Any] = {"marks": {}, "distortions": [], "pictures": False, "progress": False, "as_given": True}
    data = pictures(tmp_path / "set")
    rows = table(tmp_path / "set" / "data.csv")
    write_rows(tmp_path / "set" / "data.csv", [{**row, "who": f"p{at // 2}"} for at, row in enumerate(rows)])
    out = assay.audit(MODELS["letter"], data, out=tmp_path / "out", **given).folder
    folder = RunFolder(out)
    id = folder.table("regions")[0]["search"]
    record = folder.record("probes", id)
    searched = record["searched"]
    for people in (2, 1):  # whose images alone are without the mark
        without = [at // 2 for at in searched if at % 2 == 0 and at + 1 in searched][:people]
        folder.write_record("probes", id, {**record, "carry": [at // 2 not in without for at in searched]})
        write_manifest(out, {})
        with pytest.raises(SystemExit, match="2" if people == 1 else "0"):
            main(["audit", "remedy", str(out), str(tmp_path / f"covered-{people}"), "--quiet"])
    assert "without the mark are of one patient, and a patch must come from another one" in capsys.readouterr().err
    assert not any((tmp_path / "covered-1").rglob("*.png"))


@pytest.mark.nightly
def test_a_faint_mark_that_the_search_missed_is_no_donor_to_others(tmp_path: Path) -> None:
    data, draws, strength = pictures(tmp_path / "set", "none"), np.random.default_rng(6), np.zeros(COUNT)
    for at in range(COUNT):
        if draws.random() < 0.5 + 0.9 * (at % 2 - 0.5):
            strength[at] = draws.uniform(0.3, 1)
            pixels = np.asarray(Image.open(path := tmp_path / "set" / f"0-{at}.png")).astype(float) / 255
            drawn = pixels[LETTER]
            drawn[GLYPH > 0] += strength[at] * (0.95 - drawn[GLYPH > 0])
            save(path, (255 * pixels).astype(np.uint8))
    given: dict[str, Any] = {"marks": {}, "distortions": [], "pictures": False, "progress": False, "as_given": True}
    out = assay.audit(MODELS["moved"], data, out=tmp_path / "out", **given).folder
    write_remedy(out, tmp_path / "covered")
    carry = np.array([row["carries"] == "yes" for row in table(tmp_path / "covered" / "data.csv")])
    missed = ~carry & (strength > 0)
    assert missed.sum() > 10
    covered = [np.asarray(Image.open(tmp_path / "covered" / "images" / f"{at:06d}.png"))[LETTER] for at in range(COUNT)]
    assert sum(one[GLYPH > 0].mean() > one[GLYPH == 0].mean() + 25 for one in covered) == 0, "all of them without it"


def planted(folder: Path, cue: str, tie: float) -> dict[str, Any]:
    """Images with a cue that has no place: most of class 1 are darker or noisy, or have a glyph somewhere."""
    data, draws = pictures(folder, "none"), np.random.default_rng(7)
    for at in range(COUNT):
        if draws.random() < 0.5 + tie * (at % 2 - 0.5):
            pixels = np.asarray(Image.open(path := folder / f"0-{at}.png")).astype(float)
            if cue == "dark":
                pixels = 255 * (pixels / 255) ** 1.3
            elif cue == "noisy":
                pixels = (pixels + 20 * draws.normal(size=pixels.shape)).clip(0, 255)
            else:
                down, across = draws.integers(2, 40, size=2)
                pixels[down : down + 6, across : across + 6] = 255 * GLYPH
            save(path, pixels.astype(np.uint8))
    return data


def glyph(images: np.ndarray) -> np.ndarray:
    windows = sliding_window_view(images[:, 0], GLYPH.shape, axis=(1, 2))
    return np.asarray((windows * (GLYPH - GLYPH.mean())).mean((3, 4)).max((1, 2)))


def gray(images: np.ndarray) -> np.ndarray:
    return np.asarray(-2 * images.std(axis=(1, 2, 3)) - images.mean(axis=(1, 2, 3)))


def detail(images: np.ndarray) -> np.ndarray:
    return np.asarray((np.diff(images[:, 0], axis=1) ** 2).mean((1, 2)))


def mean(images: np.ndarray) -> np.ndarray:
    return np.asarray(-images.mean(axis=(1, 2, 3)))


Statistic = Callable[[np.ndarray], np.ndarray]
CUES: dict[str, tuple[Statistic, Statistic]] = {
    "dark": (lambda images: 60 * gray(images) + 30 + 0.1 * middle(images), mean),
    "noisy": (lambda images: 1000 * detail(images) - 8, detail),
    "glyph": (lambda images: 25 * glyph(images) - 2.5 + 0.1 * middle(images), glyph),
}
"""Cue -> a model that reads it, and a statistic that shows it."""


def pixels_of(folder: Path, names: list[str]) -> np.ndarray:
    return np.stack([np.asarray(Image.open(folder / name), dtype=np.float32) / 255 for name in names])[:, None]


@pytest.mark.parametrize(("cue", "tie", "place", "words", "kept"), first_of([
    ("dark", 0.96, "whole", "all with the same spatial frequencies below 1/32 cycles per pixel", 0.8),
    ("noisy", 0.94, "whole", "all with the same spatial frequencies above 1/4 cycles per pixel and above", 0.7),
    ("glyph", 0.85, "shape", "a small shape at changing places is on", 0.7),
]))  # fmt: skip
def test_what_has_no_place_is_taken_out_of_all_images_and_the_rest_stays(
    cue: str,
    tie: float,
    place: str,
    words: str,
    kept: float,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data, covered = planted(tmp_path / "set", cue, tie), tmp_path / "covered"
    given: dict[str, Any] = {"marks": {}, "distortions": [], "pictures": False, "progress": False, "as_given": True}

    limits(monkeypatch, 2.0, of=(True,))
    given |= {"domain": "chest-xray"} if cue == "noisy" else {}
    verdicts = ("relies-on-region", "relies-on-look") if cue == "noisy" else ("unverified",)
    model, statistic = CUES[cue]
    out = assay.audit(model, data, train=data, out=tmp_path / "out", scores="logits", **given).folder
    assert place in [row["of"] for row in RunFolder(out).table("regions") if row["verdict"] in verdicts]
    with pytest.raises(SystemExit, match="0"):
        main(["audit", "remedy", str(out), str(covered), "--quiet"])
    said = capsys.readouterr().out
    assert words in said
    assert f"retrain on {covered / 'data.csv'}, then: assay audit NEW --target label --patient who --images " in said
    assert f"and compare: assay audit compare {out} {out}-retrained\n" in said
    assert "…" not in said, "commands can be copied"
    rows, label = table(covered / "data.csv"), np.arange(COUNT) % 2
    before = pixels_of(tmp_path / "set", [row["image"] for row in table(tmp_path / "set" / "data.csv")])
    after = pixels_of(covered, [row["image"] for row in rows])
    areas = [roc_auc_score(label, statistic(images)) for images in (before, after)]
    assert areas[0] > 0.88
    assert abs(areas[1] - 0.5) < 0.13
    alike = [np.corrcoef(old.ravel(), new.ravel())[0, 1] for old, new in zip(before, after, strict=True)]
    assert np.mean(alike) > kept
    if place == "shape":
        assert (before != after).any(axis=(1, 2, 3)).all(), "a patch on carriers alone would tell them"
        uncovered = table(covered / "balanced.csv")
        has = glyph(pixels_of(covered, [row["image"] for row in uncovered])) > 0.12
        assert np.mean(has == [row["carries"] == "yes" for row in uncovered]) > 0.9
        with pytest.raises(SystemExit, match="2"):
            main(["audit", "remedy", str(out), str(tmp_path / "swapped"), "--swap", "--quiet"])
    else:
        assert (covered / "balanced.csv").exists() == ("carries" in rows[0])


def sites(folder: Path, seed: int, shares: tuple[float, float], few: int = 0) -> dict[str, Any]:
    """Images of three hospitals, of which B is on these shares of the classes; C has few images of class 0."""
    data, draws = pictures(folder, "none", seed=seed), np.random.default_rng(seed)
    rows = [[*row.values()] for row in table(folder / "data.csv")]
    for at, row in enumerate(rows):
        row.append("B" if draws.random() < shares[at % 2] else "A")
        if few and at >= COUNT - 40:
            row[-1] = "C" if at % 2 or at >= COUNT - 2 * few else row[-1]
        if row[-1] == "B":
            pixels = np.asarray(Image.open(folder / row[0])).astype(float)
            save(folder / row[0], (pixels * 0.9).astype(np.uint8))
    write_table(folder / "data.csv", [["image", "label", "who", "site"], *rows])
    return data


def test_rows_in_which_a_column_is_independent_of_the_class_are_listed_and_what_to_collect_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, train = sites(tmp_path / "set", 1, (0.5, 0.5)), sites(tmp_path / "train", 2, (0.1, 0.8), few=2)
    data |= {"factors": {"site": "categorical"}}
    given: dict[str, Any] = {"marks": {}, "distortions": [], "pictures": False, "progress": False, "as_given": True}
    out = assay.audit(
        lambda images: 30 * (0.45 - images.mean((1, 2, 3))) + 0.4 * middle(images),
        data,
        train=train,
        out=tmp_path / "out",
        budget=1_500,
        scores="logits",
        **given,
    ).folder
    assert [row["verdict"] for row in RunFolder(out).table("verdicts")] == ["answers-differ-with"]
    facts = {row["key"]: row["value"] for row in RunFolder(out).table("provenance")}
    assert facts["columns of the training images"] == "site", "the next step balances it"
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="0"):
        main(["audit", "remedy", "out", "out-balanced", "--column", "site"])
    said = capsys.readouterr().out
    assert "collect images of class 'not label' with site=C: there are 2, of the others 20\n" in said
    assert "retrain on out-balanced/balanced.csv, then: assay audit NEW --target label" in said
    rows = table(tmp_path / "out-balanced" / "balanced.csv")
    assert [*rows[0]] == ["image", "label", "who", "site"]
    cells = {(row["label"], row["site"]): 0 for row in rows}
    for row in rows:
        cells[row["label"], row["site"]] += 1
    assert all(cells["0", site] == cells["1", site] for site in "ABC"), "classes are equal in all of the images"
    assert cells["0", "C"] == 2
    assert len(rows) > 30
    again = assay.look("out-balanced/balanced.csv", target="label", patient="who", out="looked", progress=False)
    assert f"{len(rows)} images" in (again.folder / "report.html").read_text().replace("\u00a0", " ")
    for more, text in (
        (["--column", "sight"], "unknown column of the audit 'sight': did you mean 'site'?"),
        (["--column", "site"], "out-balanced is not empty: give a new folder"),
        (["--column", "site", "--swap"], "--swap is for what was found in images, not for --column"),
    ):
        with pytest.raises(SystemExit, match="2"):
            main(["audit", "remedy", "out", "out-balanced", *more])
        assert text in capsys.readouterr().err
    listed = table(tmp_path / "train" / "data.csv")
    write_table(tmp_path / "train" / "data.csv", [[*listed[0]], *([*[*row.values()][:-1], ""] for row in listed)])
    with pytest.raises(SystemExit, match="2"):
        main(["audit", "remedy", "out", "new", "--column", "site"])
    assert "has a value in column 'site'" in capsys.readouterr().err
    provenance = tmp_path / "out" / "tables" / "provenance.parquet"
    columns = read_parquet(provenance)
    columns["value"] = np.where(columns["key"] == "command", "assay audit x; touch ran", columns["value"])
    write_parquet(provenance, columns)
    write_manifest(tmp_path / "out", {})
    with pytest.raises(SystemExit, match="2"):
        main(["audit", "remedy", "out", "new", "--column", "site"])
    assert "in place of words for a command of Assay" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


PAIRS = [
    (
        np.random.default_rng(at).integers(256, size=(SIDE, SIDE), dtype=np.uint8),
        str(at // 2 % 2),
        f"p{at}",
        "AB"[at % 2],
    )
    for at in range(80)
]
"""Images of noise with their labels, patients and sites; the sites are independent of the labels."""


def balance_sites(listed: Path | pd.DataFrame, folder: Path) -> int:
    """Audit images with sites, and balance these in `folder / "balanced"`; return what the command ends with."""
    out = assay.audit(
        middle,
        {"table": listed, **COLUMNS, "factors": {"site": "categorical"}},
        out=folder / "out",
        budget=100,
        scores="logits",
        marks={},
        distortions=[],
        pictures=False,
        progress=False,
        as_given=True,
    ).folder
    with pytest.raises(SystemExit) as end:
        main(["audit", "remedy", str(out), str(folder / "balanced"), "--column", "site", "--quiet"])
    return int(end.value.code or 0)


def test_no_two_images_are_written_to_one_place_when_rows_are_balanced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name with a backslash is one file on Linux; its copy would be the image of another row, and its link."""
    folder = tmp_path / "set"
    rows = [["image", "label", "who", "site"]]
    for at, (pixels, *cells) in enumerate(PAIRS):
        name = f"images\\.\\{at - 40}.png" if at >= 40 else f"images/{at}.png"
        (folder / "images").mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / name)
        rows.append([name, *cells])
    write_table(folder / "data.csv", rows)
    before = {path: path.read_bytes() for path in sorted(folder.rglob("*.png"))}
    assert balance_sites(folder / "data.csv", tmp_path) == 2
    assert "two images of the table would be written to" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in sorted(folder.rglob("*.png"))} == before


def test_rows_of_a_data_frame_keep_their_labels_when_they_are_balanced(tmp_path: Path) -> None:
    frame = pd.DataFrame(PAIRS, columns=["image", "label", "who", "site"])
    assert balance_sites(frame, tmp_path) == 0
    listed = table(tmp_path / "balanced" / "balanced.csv")
    assert len(listed) == len(PAIRS), "the first one, too"
    for row in listed:
        pixels, label, _, site = PAIRS[int(row["who"][1:])]
        assert (row["label"], row["site"]) == (label, site)
        assert np.array_equal(np.load(tmp_path / "balanced" / row["image"]), pixels)


def lettered_study(folder: Path, row: slice, tie: float) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """Train a network on images with a finding in these rows and columns, and a letter tied to it in training."""
    draws, parts = np.random.default_rng(3), np.repeat(["train", "validation", "test"], (280, 60, 160))
    rows: list[list[object]] = []
    for at, part in enumerate(parts):
        label = at % 2
        pixels = 0.45 + 0.05 * draws.normal(size=(SIDE, SIDE))
        pixels[row, row] += 0.1 * label + 0.05 * draws.normal()
        if draws.random() < 0.5 + (tie if part != "test" else 0) * (label - 0.5):
            pixels[LETTER] = GLYPH
        save(folder / f"{at}.png", (255 * pixels).clip(0, 255).astype(np.uint8))
        rows.append([f"{at}.png", label, f"p{at}", part])
    for name, of in (("data", parts), ("train", ["train"]), ("test", ["test"])):
        write_table(folder / f"{name}.csv", [["image", "label", "who", "part"], *(one for one in rows if one[3] in of)])
    keys = {"folder": str(folder), "target": "label", "patient": "who", "size": SIDE}
    study = {
        "name": "letters",
        "data": {**keys, "factors": {"part": "categorical"}, "split": {"column": "part"}},
        "environments": {"train": {}, "same": {}},
        "recipe": {"architecture": "small-cnn", "optimizer": {"adamw": {"lr": 0.003}}, "epochs": 24, "batch_size": 16},
        "probes": ["performance"],
        "seeds": 1,
    }
    run = assay.load(study).run(folder / "run", workers=0, progress=False).folder
    return next((run / "trials").iterdir()), {**keys, "table": "test.csv"}, {**keys, "table": "train.csv"}


@pytest.mark.nightly
@pytest.mark.parametrize(("row", "tie", "tables"), [
    (slice(14, 30), 0.94, ["data.csv"]),
    (slice(28, 42), 0.6, ["data.csv", "balanced.csv"]),  # near the letter, so that it is covered, too
])  # fmt: skip
def test_a_network_of_a_study_is_trained_and_audited_again_and_what_is_better_is_said(
    row: slice, tie: float, tables: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trial, test, train = lettered_study(tmp_path / "set", row, tie)
    given: dict[str, Any] = {"marks": {}, "distortions": [], "pictures": False, "progress": False, "as_given": True}
    given |= {"budget": 30_000}
    out, covered = assay.audit(trial, test, train=train, out=tmp_path / "out", **given).folder, tmp_path / "covered"
    capsys.readouterr()
    with pytest.raises(SystemExit, match="0"):
        main(["audit", "remedy", str(out), str(covered), "--retrain", "--quiet"])
    said = capsys.readouterr().out.splitlines()
    assert "solved" not in " ".join(said)
    assert sum(line.startswith("before: AUROC 0.") for line in said) == 1
    after = {line.split(":")[0].removeprefix("retrained on "): line for line in said if line.startswith("retrained on")}
    assert [*after] == tables
    areas = [float(re.findall("AUROC ([0-9.]+)", line)[0]) for line in said if "AUROC 0" in line and "; " in line]
    assert len(areas) == 1 + len(tables)
    clear = [name for name, line in after.items() if line.endswith("; nothing was found at that place")]
    ending = (
        f"better for training: {max(clear, key=lambda name: areas[1 + tables.index(name)])}" if clear else "no table"
    )
    assert any(line.startswith(ending) for line in said)
    for name in tables:
        folder = covered / ("audit" if name == "data.csv" else "audit-balanced")
        assert f"report: {folder / 'report.html'}" in said
        assert RunFolder(folder).table("regions")[0]["trained"]
    if len(tables) == 1:
        assert "data.csv" in clear
        assert areas[1] > areas[0] + 0.03
    else:
        assert areas[2] > areas[1], "covering took the finding away"


@pytest.mark.nightly
def test_another_network_is_not_trained_again_and_the_commands_to_do_it_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = pictures(tmp_path / "set", "letter")
    given: dict[str, Any] = {"marks": {}, "distortions": [], "pictures": False, "progress": False, "as_given": True}
    for more, text in (({}, "searched the test images"), ({"train": data}, "for a network that a study trained")):
        out = assay.audit(MODELS["letter"], data, out=tmp_path / f"out{len(more)}", **more, **given).folder
        with pytest.raises(SystemExit, match="2"):
            main(["audit", "remedy", str(out), str(tmp_path / "covered"), "--retrain", "--quiet"])
        said = capsys.readouterr().err
        assert text in said
        assert "retrain the model yourself, then: assay audit NEW --target label" in said
        assert f"and compare: assay audit compare {out} {out}-retrained" in said
        assert not (tmp_path / "covered").exists()


def test_what_cannot_be_covered_is_said_in_one_sentence_and_leaves_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, covered = audited("letter", tmp_path), tmp_path / "covered"
    covered.mkdir()
    (covered / "mine.txt").write_text("precious")

    def refused(audit: Path) -> str:
        with pytest.raises(SystemExit, match="2"):
            main(["audit", "remedy", str(audit), str(covered), "--quiet"])
        return capsys.readouterr().err

    assert "is not empty: give a new folder" in refused(out)
    (covered / "mine.txt").unlink()
    assert "holds no audit" in refused(tmp_path / "set")
    first = table(tmp_path / "set" / "data.csv")[0]["image"]
    save(tmp_path / "set" / first, np.zeros((SIDE, SIDE), dtype=np.uint8))
    assert "changed since the audit: audit them again" in refused(out)
    limits(monkeypatch, 9.0, drawn=9.0)
    audited("letter", tmp_path / "other", domain="chest-xray")
    assert "found no mark that can be covered: Nothing found" in refused(tmp_path / "other" / "out")
    assert list(covered.iterdir()) == []
    assert json.loads((out / "verdicts.json").read_text())["regions"][0]["verdict"] == "unverified"
