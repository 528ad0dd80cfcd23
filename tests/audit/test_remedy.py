"""From finding to remedy: the mark of a network is covered, the network is trained again, and the verdict is gone."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score
from tests.audit.search.test_leads import COUNT, GLYPH, LETTER, MODELS, SIDE, audited, limits, pictures
from tests.worlds.files import save
from torch import nn

import assay
from assay.audit.remedy import remedy
from assay.cli import main
from assay.plugin import RunFolder

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
    assert auroc(second, tmp_path / "clean") > auroc(first, tmp_path / "clean") + 0.03
    with pytest.raises(SystemExit, match="0"):
        main(["audit", "compare", str(before), str(after), "--out", str(tmp_path / "differ")])
    said = capsys.readouterr().out.splitlines()
    ends = [", {value:.2f} sd [{value_low:.2f}, {value_high:.2f}]".format(**one) for one in (mark, middle)]
    unverified = "finding without a verified limit"
    first = (
        f"before: a bright mark in the lower right corner: {unverified}{ends[0]}; after: the look of the middle: "
        f"{unverified}{ends[1]}."
    )
    assert first in said
    said = said[said.index(first) :]
    assert said[1].startswith(
        "AUROC on the 160 images that both read: 0.859 in before and 0.907 in after, the first minus"
    )
    assert "Fixed region" not in "".join(said), "it is said once"
    page = (tmp_path / "differ" / "report.html").read_text().replace("\u00a0", " ")
    assert first in page
    assert re.search(r"<tr[^>]*>\s*<td[^>]*>[Ff]ixed regions<", page), "in the table"
    assert main_json(["audit", "compare", str(before), str(after)], capsys)["answer"] == [
        "AUROC (0.86 in before, 0.91 in after) differs between before and after.",
        first,
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
    assert " rows, since all images of a class carry it, or none do\n" in capsys.readouterr().out


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
    remedy(out, tmp_path / "covered")
    carry = np.array([row["carries"] == "yes" for row in table(tmp_path / "covered" / "data.csv")])
    missed = ~carry & (strength > 0)
    assert missed.sum() > 10
    covered = [np.asarray(Image.open(tmp_path / "covered" / "images" / f"{at:06d}.png"))[LETTER] for at in range(COUNT)]
    assert sum(one[GLYPH > 0].mean() > one[GLYPH == 0].mean() + 25 for one in covered) == 0, "all of them without it"


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
