"""Joining tables, images and masks."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import pydicom
import pytest
import scipy.stats
import yaml
from PIL import Image
from tests.cli.asking import Answer, Asking
from tests.reading.situations import situation
from tests.worlds.files import noise, save, write_table
from tests.worlds.public import hu, write_slice

import assay
from assay.plugin import SpecError

SIDE = 16


def _pixels(at: int) -> np.ndarray:
    return np.random.default_rng(at).integers(0, 256, (SIDE, SIDE)).astype(np.uint8)


def _write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name.endswith(".nii.gz"):
        nibabel.save(nibabel.Nifti1Image(pixels[..., None], np.eye(4)), path)
    else:
        Image.fromarray(pixels).save(path)


def _images(folder: Path, names: Sequence[str]) -> None:
    for at, name in enumerate(names):
        _write(folder / name, _pixels(at))


def _labels(path: Path, key: str, names: Sequence[str], labels: Sequence[object] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    found = labels or [at % 2 for at in range(len(names))]
    pd.DataFrame({key: names, "diagnosis": found}).to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path


def _count(ask: Asking, *arguments: str | Path) -> tuple[int, str]:
    """Return how many images a look reads, and its first lines."""
    shutil.rmtree("look", ignore_errors=True)
    said = ask("look", *arguments, "--out", "look")
    assert said.code == 0, said.err
    counted = next(line for line in said.out.splitlines() if " images, " in line and ", target " in line)
    return int(counted.split(" images")[0].replace(",", "")), said.out


def _refused(ask: Asking, *arguments: str | Path) -> str:
    said = ask("look", *arguments, "--out", "look")
    assert said.code == 2
    return said.err


# Participants (BIDS).

FOLDERS = [f"sub-{at:02d}" for at in range(1, 31)]


def _bids(tmp_path: Path, ids: Sequence[str], labels: Sequence[object] | None = None) -> Path:
    _images(tmp_path / "bids", [f"{name}/anat/{name}_T1w.png" for name in FOLDERS])
    _labels(tmp_path / "bids" / "participants.tsv", "participant_id", ids, labels)
    return tmp_path / "bids"


@situation(
    "participants.tsv has sub-1 to sub-30, folders are sub-01 to sub-30",
    "all 30 are matched, and it says how many only without leading zeros",
)
def test_participants_without_zeros(ask: Asking, tmp_path: Path) -> None:
    ids = [f"sub-{at}" for at in range(1, 31)]
    count, said = _count(ask, _bids(tmp_path, ids))
    right = pd.DataFrame({"at": FOLDERS}).merge(pd.DataFrame({"at": ids}))
    assert count == 30
    assert f"{30 - len(right)} of 30 names" in said
    assert "leading zeros" in said


@situation("participants.tsv has numbers, 1 to 30, folders are sub-01 to sub-30", "all 30 are matched, and it says how")
def test_participants_as_numbers(ask: Asking, tmp_path: Path) -> None:
    count, said = _count(ask, _bids(tmp_path, [str(at) for at in range(1, 31)]))
    assert count == 30
    assert "sub-" in said


@situation(
    "2 of 30 folders of participants have no row, and 1 row no folder",
    "28 are read; both numbers are reported, and the line of the row, but no name: pages and run folders are passed on",
)
def test_a_few_participants_without_a_row(ask: Asking, tmp_path: Path) -> None:
    count, said = _count(ask, _bids(tmp_path, [*FOLDERS[:28], "sub-99"]))
    assert count == len({*FOLDERS} & {*FOLDERS[:28]})
    assert "2 of 30 folders have no row" in said
    assert "1 of 29 rows in participants.tsv fit no folder, such as line 30" in said
    assert not [
        path
        for path in Path("look").rglob("*")
        if path.is_file()
        and path.name != "issues.csv"
        and any(name in path.read_bytes() for name in (b"sub-29", b"sub-30", b"sub-99"))
    ]


@situation(
    "5 of 30 folders of participants have no row",
    "refused with the first names of each side; `--unmatched drop` leaves them out and says so",
)
def test_many_participants_without_a_row(ask: Asking, tmp_path: Path) -> None:
    folder = _bids(tmp_path, [*FOLDERS[:25], *(f"pat{at}" for at in range(5))])
    said = _refused(ask, folder)
    assert "5 of 30 folders" in said
    assert "'sub-26'" in said
    assert "5 of 30 rows" in said
    assert "--unmatched drop" in said
    count, said = _count(ask, folder, "--unmatched", "drop")
    assert count == 25
    assert "5 of 30 folders have no row" in said


# Labels and files.


@situation(
    "DICOM files, half of them named by their UID without `.dcm`, labels by SOPInstanceUID",
    "all are matched: what follows the last point of a UID is no ending",
)
@situation("the same files, labels by file name", "all are matched")
@pytest.mark.parametrize("key", ["SOPInstanceUID", "image"])
def test_files_named_by_their_uid(ask: Asking, tmp_path: Path, key: str) -> None:
    uids: list[str] = []
    for at in range(20):
        write_slice(tmp_path / "set" / "next", "1.2.840.7", at, f"P{at}", hu(at))
        uid = str(pydicom.dcmread(tmp_path / "set" / "next").SOPInstanceUID)
        (tmp_path / "set" / "next").rename(tmp_path / "set" / (uid if at % 2 else f"{uid}.dcm"))
        uids.append(uid)
    table = _labels(tmp_path / "set" / "labels.csv", key, uids)
    assert _count(ask, table)[0] == len(uids) == 20


@situation(
    "labels by AccessionNumber from a spreadsheet, which took the zeros before the numbers",
    "all files of each examination are matched, and it says how",
)
def test_accession_numbers_without_zeros(ask: Asking, tmp_path: Path) -> None:
    for at in range(20):
        write_slice(
            tmp_path / "set" / f"slice-{at}", "1.2.3", at, f"P{at}", hu(at), AccessionNumber=f"{at // 2 + 7:06d}"
        )
    table = _labels(tmp_path / "set" / "labels.csv", "AccessionNumber", [str(at + 7) for at in range(10)])
    count, said = _count(ask, table)
    assert count == 20
    assert "leading zeros" in said


NAMED: Mapping[str, tuple[Callable[[int], str], Callable[[int], str]]] = {
    "endings": (lambda at: f"case_{at:03d}.nii.gz", lambda at: f"case_{at:03d}"),
    "channels": (lambda at: f"case_{at:03d}_0000.nii.gz", lambda at: f"case_{at:03d}.nii.gz"),
    "windows": (lambda at: f"scans/{at % 2}/p{at}.png", lambda at: f"D:\\export\\scans\\{at % 2}\\p{at}.png"),
    "case": (lambda at: f"IMG_{at}.PNG", lambda at: f"img_{at}.png"),
    "zeros": (lambda at: f"{at:05d}.png", str),
    "other": (lambda at: f"p{at}.png", lambda at: f"p{at}.dcm"),
    "unicode": (lambda at: f"mu\u0308ller{at}.png", lambda at: f"m\u00fcller{at}.png"),
}


@situation("labels name `case_000`, files are `case_000.nii.gz`", "matched: endings of two parts are one ending")
@situation("labels name `case_000.nii.gz`, files are `case_000_0000.nii.gz` (nnU-Net)", "matched, and it says how")
@situation(
    "labels have paths of another computer, with backslashes", "matched by as much of the path as tells them apart"
)
@situation("labels and files differ in upper and lower case", "matched, as long as that stays one to one; it says how")
@situation("labels are numbers, 7, files are padded, 00007.png", "matched, and it says how")
@situation("labels name the DICOM files from which PNG files were made", "matched without the ending")
@situation("umlauts in two Unicode forms, as macOS and Windows write them", "matched")
@pytest.mark.parametrize("kind", NAMED)
def test_names_of_files_and_of_labels(ask: Asking, tmp_path: Path, kind: str) -> None:
    file, label = NAMED[kind]
    _images(tmp_path / "set", [file(at) for at in range(20)])
    table = _labels(tmp_path / "set" / "data.csv", "scan", [label(at) for at in range(20)])
    assert _count(ask, table, "--target", "diagnosis")[0] == 20


@situation(
    "two files in different folders have the name that a label has", "refused: it names the label and both files"
)
def test_a_label_that_fits_two_files(ask: Asking, tmp_path: Path) -> None:
    _images(tmp_path / "set", [*(f"one/{at}.png" for at in range(20)), "two/7.png"])
    said = _refused(ask, _labels(tmp_path / "set" / "data.csv", "scan", [f"{at}.png" for at in range(20)]))
    assert "'7.png' fits 'one/7.png' and 'two/7.png'" in said


@situation("each image is there as .png and as .jpg, and labels have no endings", "refused in the same way")
def test_labels_of_images_in_two_formats(ask: Asking, tmp_path: Path) -> None:
    _images(tmp_path / "set", [f"{at}.{ending}" for at in range(20) for ending in ("jpg", "png")])
    said = _refused(ask, _labels(tmp_path / "set" / "data.csv", "scan", [str(at) for at in range(20)]))
    assert "'0' fits '0.jpg' and '0.png'" in said


@situation("a table of labels that is longer than the set of images", "read; the rows without an image are counted")
def test_a_longer_table(ask: Asking, tmp_path: Path) -> None:
    _images(tmp_path / "set", [f"p{at}.png" for at in range(20)])
    count, said = _count(ask, _labels(tmp_path / "set" / "data.csv", "scan", [f"p{at}" for at in range(100)]))
    assert count == 20
    assert "80 of 100 rows" in said


@situation(
    "a tenth of the images has no label, all of one class by the rows that fit no image",
    "refused: the classes lose unequally, so the rest is a biased sample",
)
@situation("a tenth of the images has no label, as many of each class", "read; it says how many and which")
@pytest.mark.parametrize("equal", [False, True])
def test_classes_that_lose_unequally(ask: Asking, tmp_path: Path, equal: bool) -> None:
    _images(tmp_path / "set", [f"p{at}.png" for at in range(100)])
    lost = [at for at in range(100) if (at < 10 if equal else at % 2 and at < 20)]
    names = [f"x{at}" if at in lost else f"p{at}" for at in range(100)]
    table = _labels(tmp_path / "set" / "data.csv", "scan", names)
    right = scipy.stats.chi2_contingency(
        [
            [50 - sum(at % 2 == one for at in lost) for one in (0, 1)],
            [sum(at % 2 == one for at in lost) for one in (0, 1)],
        ]
    ).pvalue
    assert (right < 0.01) != equal
    if equal:
        count, said = _count(ask, table)
        assert count == 90
        assert "10 of 100 images have no row" in said
    else:
        assert "unequally" in _refused(ask, table)


# Masks.


def _masked(folder: Path, names: Sequence[str], masks: Sequence[str]) -> Path:
    _images(folder / "images", names)
    for at, name in enumerate(masks):
        mask = np.zeros((SIDE, SIDE), np.uint8)
        mask[2 : 4 + 9 * (at % 2), 3:9] = 255
        _write(folder / "masks" / name, mask)
    return folder


TWELVE = [f"{at}.png" for at in range(12)]


@situation(
    "images/ and masks/, and 2 of 12 images have no mask",
    "asked once whether they show no lesion: refused with the number and both answers",
)
@situation("the same with `--unmasked lesion-free`", "2 images count as lesion-free")
@situation("the same with `--unmasked leave-out`", "10 images are read, and it says so")
@pytest.mark.parametrize("answer", ["", "lesion-free", "leave-out"])
def test_images_without_a_mask(ask: Asking, tmp_path: Path, answer: str) -> None:
    folder = _masked(tmp_path / "set", TWELVE, TWELVE[:10])
    if not answer:
        said = _refused(ask, folder)
        assert "2 of 12 images have no mask" in said
        assert all(f"--unmasked {one}" in said for one in ("lesion-free", "leave-out"))
        return
    black = np.zeros((SIDE, SIDE), np.uint8)
    _write(folder / "masks" / "0.png", black)  # a lesion-free image with a mask, so that there are two classes
    count, _ = _count(ask, folder, "--unmasked", answer)
    absent = 1 + 2 * (answer == "lesion-free")
    facts = Path("look/report.html").read_text()
    assert count == absent + 9
    assert f"absent {absent}, present 9" in facts


@situation("images/ and masks/, and each image has its mask", "read without a question, by `init` and `preview` too")
def test_each_image_has_a_mask(ask: Asking, tmp_path: Path) -> None:
    folder = _masked(tmp_path / "set", TWELVE, TWELVE)
    made = ask("init", folder)
    assert made.code == 0
    assert "to mend" not in made.out


@situation("a mask is misnamed, and its image is without one", "refused with both: no image becomes lesion-free so")
def test_a_misnamed_mask(ask: Asking, tmp_path: Path) -> None:
    folder = _masked(tmp_path / "set", TWELVE, [*TWELVE[:11], "elsewhere.png"])
    said = _refused(ask, folder, "--unmasked", "lesion-free")
    assert "elsewhere.png" in said
    assert "1 images have no mask" in said


# nnU-Net.


def _nnunet(folder: Path, labels: Mapping[str, Any], values: Sequence[int], masks: int = 12) -> Path:
    """Write twelve images with masks, each with a square of every value."""
    for at in range(12):
        _write(folder / "imagesTr" / f"case_{at:03d}_0000.nii.gz", _pixels(at))
        _write(folder / "imagesTr" / f"case_{at:03d}_0001.nii.gz", _pixels(at + 100))
        mask = np.zeros((SIDE, SIDE), np.uint8)
        for row, value in enumerate(values if at % 2 else ()):
            mask[4 * row : 4 * row + 4, 2:12] = value
        if at < masks:
            _write(folder / "labelsTr" / f"case_{at:03d}.nii.gz", mask)
    (folder / "dataset.json").write_text(json.dumps({"labels": labels}))
    return folder


def _kinds(ask: Asking, folder: Path) -> tuple[Mapping[int, str], str]:
    """Return the names of values in the study that `init` writes, and what it prints."""
    made = ask("init", folder, "--out", "study.yaml")
    assert made.code == 0
    return yaml.safe_load(Path("study.yaml").read_text())["data"].get("mask_values", {}), made.out


@situation("dataset.json of nnU-Net version 1: names by value", "each value has its name")
@situation("dataset.json of nnU-Net version 2: values by name", "each value has its name")
@situation(
    "dataset.json of nnU-Net with regions, lists of values", "a value is named after the smallest region that has it"
)
@pytest.mark.parametrize(
    "labels",
    [
        {"0": "background", "1": "edema", "2": "core", "3": "enhancing"},
        {"background": 0, "edema": 1, "core": 2, "enhancing": 3},
        {"background": 0, "edema": [1, 2, 3], "core": [2, 3], "enhancing": 3},
    ],
)
def test_labels_of_nnunet(ask: Asking, tmp_path: Path, labels: Mapping[str, Any]) -> None:
    found, said = _kinds(ask, _nnunet(tmp_path / "set", labels, (1, 2, 3)))
    assert found == {1: "edema", 2: "core", 3: "enhancing"}
    assert "to mend" not in said


@situation(
    "dataset.json of nnU-Net with one kind of lesion and `ignore`",
    "the value of `ignore` is no kind of lesion: images that have it are named as such",
)
def test_ignore_of_nnunet(ask: Asking, tmp_path: Path) -> None:
    found, said = _kinds(ask, _nnunet(tmp_path / "set", {"background": 0, "tumor": 1, "ignore": 2}, (1, 2)))
    assert found == {1: "tumor", 2: "ignore"}
    assert "neither lesion nor background" in said


@situation("nnU-Net: 1 of 12 images has no mask", "11 are read, and it says that one is without")
@situation("nnU-Net: 4 of 12 images have no mask", "refused with the first names")
@pytest.mark.parametrize("masks", [11, 8])
def test_nnunet_images_without_a_mask(ask: Asking, tmp_path: Path, masks: int) -> None:
    folder = _nnunet(tmp_path / "set", {"background": 0, "tumor": 1}, (1,), masks)
    if masks == 11:
        count, said = _count(ask, folder)
        assert count == 11
        assert "1 of 12 images have no mask" in said
        assert "case_011" not in said
    else:
        assert "4 of 12 images have no mask" in _refused(ask, folder)


@situation("nnU-Net: images of several channels, `_0000` and `_0001`", "the first channel is read, and reported")
def test_channels_of_nnunet(ask: Asking, tmp_path: Path) -> None:
    count, said = _count(ask, _nnunet(tmp_path / "set", {"background": 0, "tumor": 1}, (1,)))
    assert count == 12
    assert "the first channel, _0000, of 24 files" in said


@situation("`init` on a folder where images and rows are left over", "both are in the study file and printed")
def test_init_says_what_is_left_over(ask: Asking, tmp_path: Path) -> None:
    folder = _bids(tmp_path, [*FOLDERS[:25], *(f"pat{at}" for at in range(5))])
    assert ask("init", folder).code == 2
    made = ask("init", folder, "--unmatched", "drop", "--out", "study.yaml")
    assert made.code == 0
    assert "5 of 30 folders have no row" in made.out
    assert "5 of 30 folders have no row" in yaml.safe_load(Path("study.yaml").read_text())["data"]["matched"][0]
    assert "to mend" not in made.out
    assert ask("init", folder, "--unmatched", "maybe").code == 2


# Embeddings.


def _embedded(ask: Asking, tmp_path: Path, names: Sequence[str]) -> Answer:
    """Look at a hundred images whose labels numbers by image tell, two of which are wrong."""
    _images(tmp_path / "set", [f"p{at}.png" for at in range(100)])
    _labels(tmp_path / "set" / "data.csv", "image", [f"p{at}.png" for at in range(100)])
    truth = [at % 2 if at not in (7, 30) else 1 - at % 2 for at in range(100)]
    draw = np.random.default_rng(0)
    pd.DataFrame(
        {
            "image": names,
            "a": [truth[int(name.split(".")[0][1:])] + draw.normal(0, 0.1) for name in names],
            "b": draw.normal(size=len(names)),
        }
    ).to_csv("seen.csv", index=False)
    return ask("look", tmp_path / "set", "--embeddings", "seen.csv", "--out", "look")


@situation("`--embeddings` name images without their endings", "matched, and it says how")
@situation("`--embeddings` lack 5 of 100 images", "it says which; their labels are not judged by them")
@pytest.mark.parametrize("count", [100, 95])
def test_embeddings_of_images(ask: Asking, tmp_path: Path, count: int) -> None:
    said = _embedded(ask, tmp_path, [f"p{at}" for at in range(count)])
    assert said.code == 0, said.err
    assert "endings" in said.out
    assert ("5 of 100 images have no row in seen.csv" in said.out) == (count == 95)
    issues = pd.read_csv("look/issues.csv")
    assert set(issues["file"][issues["kind"] == "suspected-label"]) == {"p7.png", "p30.png"}


@situation("`--embeddings` lack 20 of 100 images", "refused with the first names")
@situation("`--embeddings` have two rows of an image", "refused: it is not known which is meant")
@pytest.mark.parametrize("twice", [False, True])
def test_embeddings_of_other_images(ask: Asking, tmp_path: Path, twice: bool) -> None:
    names = [f"p{at}.png" for at in range(100)]
    said = _embedded(ask, tmp_path, [*names, "p3.png"] if twice else names[20:])
    assert said.code == 2
    assert ("fits" if twice else "20 of 100 images have no row in seen.csv") in said.err


# Predictions of several recipes.


@situation(
    "`assay compare`: one recipe names images with their endings and folders, the other without",
    "compared image by image, and it says how the names were matched",
)
def test_predictions_of_images_with_two_names(ask: Asking) -> None:
    truth = np.arange(80) % 2
    found: list[Any] = []
    for renamed in (False, True):
        rows = [
            {
                "loss": loss,
                "target": truth[at],
                "score": 1 / (1 + np.exp(-(truth[at] + draw.normal()))),
                "image": f"p{at}" if renamed and loss == "dice" else f"images/p{at}.png",
            }
            for draw in (np.random.default_rng(1),)
            for loss in ("bce", "dice")
            for at in range(80)
        ]
        pd.DataFrame(rows).to_csv("scores.csv", index=False)
        said = ask("compare", "scores.csv", "--by", "loss", "--json")
        assert said.code == 0, said.err
        found.append(json.loads(said.out))
    assert found[0]["contrasts"] == found[1]["contrasts"]
    assert not any("ignored" in line for line in found[0]["read"])
    assert any("80 of 80 names" in line for line in found[1]["read"])


@situation(
    "scores of prepared images whose table names them with a folder and without endings",
    "matched; a table that lacks images is refused, with the first of each side",
)
@situation("scores in a file", "no tick for what was not compared: the model cannot be asked again")
def test_scores_of_prepared_images(ask: Asking, tmp_path: Path) -> None:
    for at in range(40):
        _write(tmp_path / "set" / f"{at}.png", (_pixels(at) // 2 + 100 * (at % 2)).astype(np.uint8))
    _labels(tmp_path / "set" / "data.csv", "image", [f"{at}.png" for at in range(40)])
    (tmp_path / "marks.yaml").write_text("tag: [{tag: {size: 0.2}}, {tag: {size: 0.3}}, {tag: {size: 0.4}}]")
    made = ask(
        "audit",
        "prepare",
        "dir",
        "--images",
        tmp_path / "set",
        "--size",
        SIDE,
        "--marks",
        "marks.yaml",
        "--target",
        "diagnosis",
        "--most",
        200,
    )
    assert made.code == 0, made.err
    rows = [
        {"image": f"out/{path.stem}", "score": np.asarray(Image.open(path)).mean() / 10 - 12}
        for path in sorted(Path("dir/images").iterdir(), reverse=True)
    ]
    pd.DataFrame([*rows[3:], {"image": "strange", "score": 0}]).to_csv("scores.csv", index=False)
    refused = ask("audit", "score", "dir", "scores.csv")
    assert refused.code == 2
    assert f"no row for 3 of {len(rows)} images" in refused.err
    assert "'strange'" in refused.err
    pd.DataFrame(rows).to_csv("scores.csv", index=False)
    said = ask("audit", "score", "dir", "scores.csv", "--json")
    assert said.code == 0, said.err
    checks = {row["check"]: row for row in json.loads(said.out)["checks"]}
    assert checks["ranking"]["value"] == 1  # sklearn.metrics.roc_auc_score, as the classes differ by 100 gray levels
    assert {checks[name]["status"] for name in ("repeatable", "scaling")} == {"not-done"}


@situation("a table that names earlier images in a column `prior`", "each image with a row of its own is read")
@situation("a table that names masks in a column `seg`, beside the images", "masks are no images, and are counted")
def test_cells_that_name_other_images(ask: Asking, tmp_path: Path) -> None:
    names = [f"a{at:02d}.png" for at in range(40)]
    _images(tmp_path / "prior", names)
    frame = pd.DataFrame(
        {
            "image": [name[:-4] for name in names],
            "dx": [at % 2 for at in range(40)],
            "prior": [names[at - 20] if at > 19 else "" for at in range(40)],
        }
    )
    frame.to_csv(tmp_path / "prior" / "data.csv", index=False)
    assert _count(ask, tmp_path / "prior", "--target", "dx")[0] == frame["image"].nunique()
    _images(tmp_path / "seg", names)
    for at, name in enumerate(names):
        _write(tmp_path / "seg" / f"s_{name}", 255 * (_pixels(at) // 128))
    frame.drop(columns="prior").assign(seg=[f"s_{name}" for name in names]).to_csv(
        tmp_path / "seg" / "data.csv", index=False
    )
    count, said = _count(ask, tmp_path / "seg", "--target", "dx")
    assert count == 40
    assert "40 files are masks" in said


@situation(
    "a row per patient with a column of files for each eye or view, `left` and `right`",
    "refused: `--image` reads one of them, and the images of the others are counted",
)
@situation("files beside the images of a table that no row names", "counted in the first lines")
def test_images_of_several_columns(ask: Asking, tmp_path: Path) -> None:
    names = [f"{at:02d}_{side}.png" for at in range(20) for side in ("left", "right")]
    _images(tmp_path / "set", names)
    frame = pd.DataFrame({"left": names[::2], "right": names[1::2], "dx": [0, 1] * 10})
    frame.to_csv(tmp_path / "set" / "data.csv", index=False)
    said = ask("look", tmp_path / "set", "--out", "look")
    assert said.code == 2
    assert "columns left, right of data.csv name different images in a row" in said.err
    count, said = _count(ask, tmp_path / "set", "--image", "left")
    assert count == 20
    assert "20 images that only right names are not read" in said
    frame.drop(columns="right").to_csv(tmp_path / "set" / "data.csv", index=False)
    assert "20 image files beside those of data.csv are in no row of it" in _count(ask, tmp_path / "set")[1]
    for side in ("left", "right"):
        _images(tmp_path / "folders" / side, [f"{number:02d}.png" for number in range(20)])
    wide = frame.assign(**{side: [f"{side}/{at:02d}.png" for at in range(20)] for side in ("left", "right")})
    wide.to_csv(tmp_path / "folders" / "data.csv", index=False)
    assert ask("look", tmp_path / "folders", "--out", "look").code == 2
    whole = {"left": "image file path", "right": "cropped image file path"}  # as in CBIS-DDSM
    wide.rename(columns=whole).to_csv(tmp_path / "folders" / "data.csv", index=False)
    count, said = _count(ask, tmp_path / "folders")
    assert count == 20
    assert "20 images that only cropped image file path names are not read" in said
    both = frame.melt("dx", value_name="file").assign(image=lambda rows: rows["file"])
    both.to_csv(tmp_path / "set" / "data.csv", index=False)
    count, said = _count(ask, tmp_path / "set", "--target", "dx")
    assert count == 40
    assert "not read" not in said


def _with_labels(tmp_path: Path, key: str, names: Sequence[str]) -> assay.Audit:
    _images(tmp_path / "set", [f"sub-{at:02d}.png" for at in range(40)])
    table = _labels(tmp_path / "labels.csv", key, names)
    return assay.audit(
        lambda given: np.asarray(given).mean(axis=(1, 2, 3)),
        tmp_path / "set",
        labels=table,
        size=SIDE,
        marks={"tag": [{"tag": {"size": size}} for size in (0.2, 0.3, 0.4)]},
        distortions=(),
        out=tmp_path / "out",
        scores="logits",
        as_given=True,
        progress=False,
    )


@situation(
    "`--labels` whose key is called participant_id, id or otherwise", "found: the column whose values name files"
)
@pytest.mark.parametrize("key", ["participant_id", "quux"])
def test_the_key_of_labels_is_found(tmp_path: Path, key: str) -> None:
    found = _with_labels(tmp_path, key, [f"sub-{at:02d}" for at in range(40)])
    assert found.table("provenance").set_index("key")["value"]["images"].startswith("40 of")


@situation("`--labels` of which no column names the files", "asked for, with the option and the columns")
def test_no_key_of_labels(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"name it with image=COLUMN; its columns are quux, diagnosis"):
        _with_labels(tmp_path, "quux", [f"other{at}" for at in range(40)])


@situation("rows name `p2/a.png` and `p1/b.png`, files are `p1/a.png` and `p2/b.png`", "refused: the folders disagree")
@situation("rows name `old/p1/a.png`, files are `p1/a.png`", "matched: one path is the end of the other")
def test_folders_that_disagree(ask: Asking, tmp_path: Path) -> None:
    names = [f"p{at % 4}/x{at:02d}.png" for at in range(40)]
    for folder in ("other", "same"):
        _images(tmp_path / folder, names)
    other = [f"p{(at + (at < 2)) % 4}/x{at:02d}.png" for at in range(40)]
    _labels(tmp_path / "other" / "data.csv", "image", [name[:-4] for name in other])
    said = _refused(ask, tmp_path / "other")
    assert "p1/x00" in said
    assert "p0/x00" in said
    _labels(tmp_path / "same" / "data.csv", "image", [f"old/{name}" for name in names])
    assert _count(ask, tmp_path / "same")[0] == 40


@situation(
    "labels that are edited after `assay init` joined them with the files",
    "run, preview and init say that the earlier rows are used; the command that joins again is printed, and runs",
)
def test_labels_that_change_after_they_were_joined_are_reported(ask: Asking) -> None:
    draws, rows = np.random.default_rng(0), [["id", "finding", "patient"]]
    for at in range(40):
        save(Path(f"lungs/sub_{at:02}.png"), draws.integers(0, 255, (16, 16), np.uint8))
        rows.append([f"sub_{at:02}", "ab"[at % 2], f"p{at}"])
    write_table(Path("lungs/labels.csv"), rows)
    assert ask("init", "lungs", "--positive", "b").code == 0
    shown = ask("preview", "lungs.yaml")
    assert shown.code == 0
    assert "has changed since" not in shown.err + shown.out
    rows[3][1] = "b"
    write_table(Path("lungs/labels.csv"), rows)
    assert "labels.csv has changed since it was joined with the files" in ask("init", "lungs", "--positive", "b").err
    shown = ask("preview", "lungs.yaml")
    assert "has changed since it was joined with the files: lungs-images.csv has its earlier rows" in shown.err
    assert "has changed since" in next(Path("runs").rglob("preview/report.html")).read_text()
    line = re.search(r"To join again: assay (.*)", shown.err)
    assert line is not None
    assert ask(*line[1].split()).code == 0
    assert "b" in {row.split(",")[1] for row in Path("lungs-2-images.csv").read_text().splitlines() if "sub_02" in row}
    shown = ask("preview", "lungs-2.yaml")
    assert "has changed since" not in shown.err + shown.out


@situation(
    "names of files that hold a level of a column, as `L` or `benign`, of which some contradict their row",
    "a caution with their number and the first line",
)
@situation("names that hold levels by chance, in few files, or that all agree, and columns of readers", "no caution")
def test_names_of_files_that_contradict(ask: Asking, tmp_path: Path) -> None:
    sides, classes = (
        [("L", "right")[at % 2] for at in range(40)],
        [("benign", "malignant")[at // 2 % 2] for at in range(40)],
    )
    names = [f"{at}_{'LR'[at % 2]}_{label}.png" for at, label in enumerate(classes)]
    for at, name in enumerate(names):
        save(tmp_path / name, noise(at))
    frame = pd.DataFrame({"image": names, "side": sides, "label": classes, "view": ["L", "R", "R", "L"] * 10})
    frame["reader1"] = ["malignant" if at in (4, 5) else label for at, label in enumerate(classes)]
    for rows, said in (([], ""), ([4, 7, 9], "3 of 40 files have another value of {} in their names, first in line 6")):
        for column in ("side", "label"):
            swapped = frame.copy()
            levels = frame[column].unique()
            swapped.loc[rows, column] = [levels[int(value == levels[0])] for value in frame[column][rows]]
            swapped.to_csv(tmp_path / "data.csv", index=False)
            answer = ask("look", tmp_path, "--target", "label", "--out", tmp_path.parent / f"{column}{len(rows)}").out
            assert ("names of files: " in answer) == bool(said), answer
            assert said.format(column) in answer
