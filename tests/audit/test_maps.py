"""Audits of segmentations whose answers are known."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.cases import first_of
from tests.worlds.audits import LESION_MARKS, SIDE, audited, bright, lesions, lower, run, verdicts
from tests.worlds.files import save, write_table
from torch import nn
from torch.nn.functional import avg_pool2d

import assay
from assay.audit.search.regions import Box
from assay.audit.search.sample import SearchSample
from assay.audit.search.words import region_sentences
from assay.models.ref import FunctionOrigin
from assay.plugin import RunFolder, SpecError
from assay.stats.rows import numeric


def inverted(images: np.ndarray) -> np.ndarray:
    return bright(1 - images)


def mean(images: np.ndarray) -> np.ndarray:
    return np.asarray(images.mean((1, 2, 3)))


def segmented(model: Any, data: dict[str, Any], **more: Any) -> Any:
    return audited(model, data, marks=LESION_MARKS, task="segmentation", **more)


def test_a_mark_that_is_called_lesion_is_named_and_one_that_is_not_looked_at_is_cleared(tmp_path: Path) -> None:
    data = lesions(tmp_path / "set")
    found = segmented(bright, data, out=tmp_path / "out").table("verdicts").set_index("factor")
    # On an image with a lesion of 6 x 6 a tag of 10 x 10 px is called too: Dice 2 x 36 / (36 + 136) in place of 1.
    assert found.loc["tag", "verdict"] == "affected-by", "a lesion-free image with the tag scores as one with a lesion"
    area = found.loc["tag", "stray"] * SIDE**2
    assert found.loc["tag", "dice"] == pytest.approx(1 - 72 / (72 + area), abs=0.02)
    assert found.loc["tag", "stray"] == pytest.approx(0.4**2, abs=0.05)
    assert found.loc["tag", "flips"] == 0.5
    cleared = segmented(lower, data).table("verdicts").set_index("factor")
    assert cleared.loc["upper", "verdict"] == "no-effect"
    assert cleared.loc["tag", "verdict"] == "affected-by"
    assert not set(cleared.loc["tag", "place"].split(" or ")) & {"upper left", "top", "upper right"}
    assert np.isnan(cleared.loc["tag", "limit"])
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Dice lost" in page
    assert re.search(
        r"<h3>Most affected by tag</h3>.*?>line \d+ of data\.csv: no lesion, 0% predicted; "
        r"with the mark no lesion, [\d.]+% pred",
        page,
        re.DOTALL,
    )


@pytest.mark.nightly
def test_where_all_images_have_a_lesion_dice_and_area_decide(tmp_path: Path) -> None:
    data = lesions(tmp_path / "set", without=False)
    table = segmented(bright, data).table("verdicts").set_index("factor")
    assert np.isnan(table.loc["tag", "g"])
    assert table.loc["tag", "verdict"] == "affected-without-direction"
    assert table.loc["sex", "verdict"] == "not-tested"
    clean = segmented(lower, data)
    assert verdicts(clean)["upper"] == "no-effect"
    gaps = clean.table("gaps")
    assert set(gaps[gaps.measure == "dice"].column) == {"sex"}
    few = lesions(tmp_path / "few", without=False, count=40)
    assert verdicts(segmented(lower, few))["upper"] == "inconclusive", "40 images can miss what 5% of images show"


def test_inverted_images_stop_the_audit_and_a_distortion_costs_dice(tmp_path: Path) -> None:
    data = lesions(tmp_path / "set")
    with pytest.raises(SpecError, match=r"the Dice is 0\.\d\d as given and 1\.00 with images read as inverted"):
        segmented(inverted, data)
    rows = segmented(bright, data, distortions=["brightness"]).table("distorted")
    assert list(rows.severity) == [1, 3, 5]
    assert rows.dice.iloc[-1] > rows.dice.iloc[0]


def exchanged(images: np.ndarray) -> np.ndarray:
    """Give the lesion as the first channel and the background as the second."""
    found = lower(images)
    return np.concatenate([found, np.zeros_like(found)], axis=1)


def never(images: np.ndarray) -> np.ndarray:
    return bright(images) - 10_000


def test_a_model_whose_first_channel_is_the_lesion_stops_the_audit(tmp_path: Path) -> None:
    data = lesions(tmp_path / "set")
    with pytest.raises(SpecError, match=r"as given and 1\.00 with background and lesion exchanged") as refused:
        segmented(exchanged, data)
    assert "give maps of the lesion, of several channels with the background first, or as_given=True" in str(
        refused.value
    )
    audit = segmented(exchanged, data, as_given=True)
    found = audit.table("checks").set_index("check")
    assert "with background and lesion exchanged" in found.text["scaling"]
    page = (audit.folder / "report.html").read_text()
    assert "Another reading gives a higher Dice" in page
    assert "gives a higher AUROC" not in page
    checks = segmented(never, data).table("checks").set_index("check")
    assert checks.status["scaling"] == "ok", "maps without a lesion, whose background is no lesion either"


def channels(order: str) -> Any:
    """Return a model whose maps have a channel for each letter: the background, the lesion, or an organ without one."""

    def model(images: np.ndarray) -> np.ndarray:
        found = lower(images)
        organ = np.where(np.arange(SIDE) < SIDE // 2, 60.0, -60.0)[:, None] + 9 * images[:, :1]
        parts = {"b": np.zeros_like(found), "l": found, "o": organ, "n": np.full_like(found, -90.0)}
        return np.concatenate([parts[letter] for letter in order], axis=1)

    return model


@pytest.mark.parametrize(
    ("order", "said"),
    first_of(
        [
            ("lbn", "channel 1 of its maps as the background"),
            ("nlb", "channel 2 of its maps as the background"),
            ("nnlnb", "channel 4 of its maps as the background"),
            ("bol", "channel 2 of its maps as the lesion"),
        ]
    ),
)
def test_maps_of_several_channels_in_another_order_stop_the_audit(tmp_path: Path, order: str, said: str) -> None:
    data = lesions(tmp_path / "set", count=80)
    for scores in ("auto", "probabilities"):

        def model(images: np.ndarray, scores: str = scores) -> np.ndarray:
            maps = channels(order)(images)
            return maps if scores == "auto" else torch.as_tensor(maps).softmax(dim=1).numpy()

        text = rf"the Dice is 0\.\d\d as given and 1\.00 with {said}: .*; give maps of the lesion, of several channels"
        with pytest.raises(SpecError, match=text):
            segmented(model, data, scores=scores)
    found = segmented(channels(order), data, as_given=True).table("checks").set_index("check")
    assert said in found.text["scaling"]
    assert found.value["ranking"] < 0.9, "it is read as it is given"


@pytest.mark.parametrize("order", first_of(["bl", "bln", "bnl", "bnnnl", "b" + "n" * 8 + "l"]))
def test_maps_whose_background_is_first_are_not_asked_about(tmp_path: Path, order: str) -> None:
    found = segmented(channels(order), lesions(tmp_path / "set", count=80)).table("checks").set_index("check")
    assert found.status["scaling"] == "ok"
    assert found.value["ranking"] == pytest.approx(1)


@pytest.mark.parametrize(("most", "remedy"), first_of([(255, "divide them by 255"), (9, "write probabilities")]))
def test_maps_that_are_never_below_0_are_asked_about(tmp_path: Path, most: float, remedy: str) -> None:
    data = lesions(tmp_path / "set", count=60)

    def heat(images: np.ndarray) -> np.ndarray:
        return most * (images[:, :1] > 0.6)

    with pytest.raises(SpecError, match=f"the maps are from 0 to {most}, .*: {remedy}.*scores=percent"):
        segmented(heat, data)
    checks = segmented(lambda images: heat(images) / most, data).table("checks").set_index("check")
    assert checks.value["ranking"] == pytest.approx(1), "the Dice of probabilities"
    segmented(heat, data, scores="logits")


def test_a_classifier_and_a_threshold_are_refused(tmp_path: Path) -> None:
    data = lesions(tmp_path / "other", count=40)
    with pytest.raises(SpecError, match=r"an audit with masks needs maps \[b, k, h, w\]"):
        segmented(mean, data)
    with pytest.raises(SpecError, match=r"pixels of a segmentation are called at 0\.5"):
        segmented(bright, data, threshold=0.3)


@pytest.mark.nightly
def test_masks_of_a_folder_are_joined_by_a_file_of_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lesions(tmp_path / "set", count=40)
    (tmp_path / "set" / "data.csv").rename(tmp_path / "labels.csv")

    def origin(*_: object, **__: object) -> FunctionOrigin:
        return FunctionOrigin(bright)

    monkeypatch.setattr(importlib.import_module("assay.audit.command"), "origin_of", origin)
    given = ["audit", "m.onnx", "--images", str(tmp_path / "set"), "--labels", str(tmp_path / "labels.csv"),
             "--size", "24", "--columns", "sex", "--out", str(tmp_path / "out"), "--quiet", "--mask"]  # fmt: skip
    assert run([*given, "mask"]) == 0
    rows = {row["check"]: row for row in RunFolder(tmp_path / "out").table("checks")}
    assert rows["ranking"]["value"] == pytest.approx(1), "the Dice, with the masks"
    capsys.readouterr()
    assert run([*given, "masks"]) == 2
    assert capsys.readouterr().err.strip() == "--mask: labels.csv has no column 'masks': did you mean 'mask'?"


# The search for a shortcut.

CORNER = (slice(40, 46), slice(40, 46))
GLYPH = np.full((6, 6), 0.35)
GLYPH[::2], GLYPH[:, ::3] = 0.02, 0.02


def blobs(folder: Path, without: bool = True) -> dict[str, Any]:
    """Bright discs left of the middle, on half of the images or of two sizes, and a dark letter in a corner of most."""
    draws, (down, across) = np.random.default_rng(0), np.indices((48, 48))
    rows: list[list[object]] = [["image", "mask", "who"]]
    for at in range(160):
        pixels, radius = 0.35 + 0.03 * draws.normal(size=(48, 48)), 0.0
        if at % 2 or not without:
            radius = draws.uniform(3, 5) + (0 if without else 3 * (at % 2))
        center = draws.integers(14, 26), draws.integers(10, 24)
        inside = (down - center[0]) ** 2 + (across - center[1]) ** 2 < radius**2
        pixels[inside] += draws.uniform(0.2, 0.4)
        if draws.random() < (0.05, 0.95)[at % 2]:
            pixels[CORNER] = GLYPH
        save(folder / f"{at}.png", (255 * pixels).clip(0, 255).astype(np.uint8))
        save(folder / f"{at}-mask.png", (255 * inside).astype(np.uint8))
        rows.append([f"{at}.png", f"{at}-mask.png", f"p{at}"])
    write_table(folder / "data.csv", rows)
    return {"folder": str(folder), "target": "lesion", "mask": "mask", "patient": "who", "size": 48}


class Bright(nn.Module):
    """Calls what is bright around a pixel lesion; with a gate, only where the letter is in the corner."""

    def __init__(self, gated: bool = False) -> None:
        super().__init__()
        self.gated = gated

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found = 40 * (avg_pool2d(images, 5, 1, 2) - 0.45)
        dark = 0.35 - images[:, :, *CORNER].mean((2, 3), keepdim=True)
        return torch.minimum(found, 40 * (dark - 0.08)) if self.gated else found


def searched(model: nn.Module, data: dict[str, Any], **more: Any) -> tuple[list[dict[str, Any]], str]:
    """The rows of the search, and the page."""
    out = Path(data["folder"]).parent / "out"
    given: dict[str, Any] = {"marks": LESION_MARKS, "distortions": [], "pictures": False, "progress": False, **more}
    assay.audit(model, data, task="segmentation", as_given=True, out=out, **given)
    return RunFolder(out).table("regions"), (out / "report.html").read_text()


@pytest.mark.parametrize(("without", "larger"), first_of([(True, "lesion"), (False, "larger lesion")]))
def test_a_segmentation_that_needs_a_letter_in_the_corner_is_said_to(
    without: bool, larger: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = blobs(tmp_path / "set", without)
    (place, drawn, whole), page = searched(Bright(gated=True), data, train=data, domain="chest-xray")
    assert (place["verdict"], place["trained"], np.isnan(numeric(place, "limit"))) == ("unverified", True, True)
    assert place["flips"] > 0.4
    shares = json.loads(place["shares"])
    assert shares.pop(larger) > 0.85 > 0.2 > next(iter(shares.values()))
    said = region_sentences({"regions": [place, drawn, whole]})
    assert re.match(
        r"(The brightness of the lower right corner|"
        r"A dark mark in the lower right corner, found in the (training )?images,) "
        r"changes \d\d% of predictions: a finding without",
        said[0],
    )
    assert said[0] in page
    step = "Look at the pictures. If it is not part of the disease, cover it in all images or crop them,"
    otherwise = "Check how images are scaled and framed for this model"  # its Dice is far higher by image-zscore
    assert (step if without else otherwise) in page
    assert whole["verdict"] == "not-tested"
    assert run(["audit", "remedy", str(tmp_path / "out"), str(tmp_path / "covered")]) == 2
    assert "masks a patch of another image would make wrong" in " ".join(capsys.readouterr().err.split())


@pytest.mark.nightly
def test_the_place_of_lesions_is_no_shortcut_of_a_segmentation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place, drawn, whole), page = searched(Bright(), blobs(tmp_path / "set"))
    assert (place["verdict"], drawn["verdict"], whole["verdict"]) == ("nothing-found", "nothing-found", "not-tested")
    assert abs(place["value"]) < 0.01
    assert re.search(r"Nothing was found in \d+ images by 2 searches\.", page)
    assert "Not searched: orientation, spatial frequencies and gray levels (the whole image, " in page
    kept = SearchSample.scores_from_outputs
    monkeypatch.setattr(
        SearchSample, "scores_from_outputs", lambda self, given, regions: kept(self, given, [None] * len(regions))
    )
    (inside, *_), _ = searched(Bright(), blobs(tmp_path / "naive" / "set"))
    assert (inside["verdict"], inside["name"]) == ("unverified", "0.333,0.167,0.667,0.5"), (
        "by the score of all of the image"
    )
    assert inside["value"] > 2


def test_a_segmentation_is_scored_by_cells_outside_of_the_exchanged_region() -> None:
    cells = np.zeros((2, 16, 16))
    cells[0, 12, 12], cells[1, 1, 1] = 9, 9
    sample = SearchSample(np.zeros((2, 1, 32, 32), np.float32), np.arange(2), np.arange(2), cells, lesion_cells=3)
    assert sample.clean_scores.tolist() == [[3], [3]], "the mean of the three greatest"
    corner, middle = Box(0, 0, 0.25, 0.25), Box(0.4, 0.4, 0.6, 0.6)
    assert sample.scores_from_outputs(cells, [corner]).tolist() == [[3], [0]]
    assert sample.scores_from_outputs(np.concatenate([cells, cells]), [middle, corner]).tolist() == [[3], [3], [3], [0]]
    cells[1, 1, 1], cells[1, 5, 5] = 0, 9
    assert sample.scores_from_outputs(cells, [corner]).tolist() == [[3], [0]], (
        "an eighth around the region is left out too"
    )
