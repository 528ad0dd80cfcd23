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


@pytest.mark.parametrize("copy", ["PNG", "JPEG", "smaller"])
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
