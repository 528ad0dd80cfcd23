"""Copies of pictures among the images of a look."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import ndimage
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from tests.cases import first_of
from tests.cli.asking import Asking
from tests.reading.situations import situation

SIDE = 48


def _pictures(folder: Path, copy: str) -> np.ndarray:
    """Write 60 pictures of chance with classes of chance, each with a copy, and a table; return the pictures."""
    folder.mkdir()
    draw = np.random.default_rng(3)
    noise = ndimage.gaussian_filter(draw.normal(size=(60, SIDE, SIDE)), (0, 1.5, 1.5))
    pictures = np.clip(128 + 200 * noise, 0, 255).astype(np.uint8)
    rows: list[tuple[str, int]] = []
    for at, pixels in enumerate(pictures):
        label = int(draw.random() < 0.5)
        image = Image.fromarray(pixels)
        image.save(folder / f"{at}.png")
        again = image.resize((SIDE - 4, SIDE - 4)) if copy == "smaller" else image
        again.save(folder / f"{at}_b.{'jpg' if copy == 'JPEG' else 'png'}", quality=92)
        rows += [(f"{at}.png", label), (f"{at}_b.{'jpg' if copy == 'JPEG' else 'png'}", label)]
    pd.DataFrame(rows, columns=["image", "label"]).to_csv(folder / "data.csv", index=False)
    return pictures


@pytest.mark.parametrize("copy", first_of(["PNG", "JPEG", "smaller"]))
@situation(
    "each picture twice among images of chance, as .png and .jpg, exactly or resized",
    "no cue is found by the copy of an image: copies are in one fold, and count once in every interval",
)
def test_copies_are_no_cue(ask: Asking, tmp_path: Path, copy: str) -> None:
    pictures = _pictures(tmp_path / "set", copy)
    label = pd.read_csv(tmp_path / "set" / "data.csv")["label"].to_numpy()[::2]
    small = np.stack([np.asarray(Image.fromarray(one).resize((16, 16), Image.Resampling.BOX)) for one in pictures])
    held_out = cross_val_predict(RidgeClassifier(), small.reshape(60, -1) / 255.0, label, method="decision_function")
    assert roc_auc_score(label, held_out) < 0.65  # chance, by scikit-learn, of one file a picture
    said = ask("look", tmp_path / "set", "--out", "look")
    assert said.code == 0, said.err
    rows = json.loads(ask("results", "look", "--table", "shortcuts", "--json").out)
    thumbnail = next(row for row in rows if row["name"].startswith("thumbnail"))
    assert thumbnail["value"] < 0.65
    assert not any(row["strong"] for row in rows)


@pytest.mark.parametrize("thumbnail", first_of(["{}_thumb.png", "thumbs/{}.png", "{}-thumbnail.png"]))
@situation(
    "thumbnails among the images of a table, as `a_thumb.png` beside `a.png` or in a folder `thumbs`",
    "a caution with their number: each picture counts twice",
)
@situation("the same beside images in folders of classes", "left out, and counted")
@situation("images called `a_small.png` that are not smaller than `a.png`, or without one", "no caution")
def test_thumbnails(ask: Asking, tmp_path: Path, thumbnail: str) -> None:
    rows: list[tuple[str, int]] = []
    for at in range(24):
        image = Image.fromarray(np.random.default_rng(at).integers(0, 256, (32, 32)).astype(np.uint8))
        for name, size in (
            (f"{at}.png", 32),
            (thumbnail.format(at), 8),
            (f"{at}_small.png", 32),
            (f"x{at}_small.png", 8),
            (f"thumbs/y{at}_thumb.png", 8),
        ):
            for path in (tmp_path / "set" / name, tmp_path / "classes" / "ab"[at % 2] / name):
                path.parent.mkdir(parents=True, exist_ok=True)
                image.resize((size, size)).save(path)
            rows.append((name, at % 2))
    table = pd.DataFrame(rows, columns=["image", "label"])
    table.to_csv(tmp_path / "set" / "data.csv", index=False)
    said = ask("look", tmp_path / "set", "--out", "look").out
    assert (
        "caution: smaller copies: 24 images are named as smaller copies of others of the set, the first in line 3"
        in said
    )
    said = ask("look", tmp_path / "classes", "--positive", "a", "--out", "classes-look").out
    assert "named as the mask or thumbnail of another one, are left out" in said
    assert "smaller copies" not in said


@pytest.mark.parametrize("name", ["{}_aug1.png", "{}_rot90_flip.png", "{} (1).png", "{} - Copy.png"])
@situation(
    "changed copies of images, as `a_aug1.png` or `a (1).png` beside `a.png`, of other patients or of none",
    "a caution with their number: give them the patient of the original",
)
@situation("the same of one patient, or names such as `a (1).png` without `a.png`", "no caution")
def test_changed_copies_by_name(ask: Asking, tmp_path: Path, name: str) -> None:
    rows: list[tuple[str, int, str]] = []
    for at in range(24):
        image = Image.fromarray(np.random.default_rng(at).integers(0, 256, (32, 32)).astype(np.uint8))
        for copy, path in enumerate((f"{at}.png", name.format(at), name.format(f"x{at}"))):
            (tmp_path / "set").mkdir(exist_ok=True)
            image.rotate(25 * copy).save(tmp_path / "set" / path)
            rows.append((path, at % 2, f"p{at}"))
    table = pd.DataFrame(rows, columns=["image", "label", "patient"])
    table.drop(columns="patient").to_csv(tmp_path / "set" / "data.csv", index=False)
    said = ask("look", tmp_path / "set", "--out", "look").out
    assert (
        "caution: changed copies: 24 images are named as changed copies of others of the set, the first in line 3"
        in said
    )
    table.to_csv(tmp_path / "set" / "data.csv", index=False)
    assert "changed copies" not in ask("look", tmp_path / "set", "--out", "again").out
