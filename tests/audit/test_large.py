"""Audits of more images than the model reads."""

from __future__ import annotations

import re
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.data.test_near_copies import CHANGES, scene
from tests.worlds.audits import audited, images
from tests.worlds.files import write_table

import assay
from assay.data import cache
from assay.data.cache import ArrayImages
from assay.plugin import ArrayCache

COUNT, READ = 60, 40
ALONE: dict[str, Any] = {"marks": {}, "distortions": (), "as_given": True}
BRIEF = 1
"""Budget for the least images."""


def brightness(images: np.ndarray) -> np.ndarray:
    return np.asarray(40 * (images[:, 0].mean((1, 2)) - 0.4))


def scenes(folder: Path, patients: list[int], drawn: dict[int, Image.Image], first: int = 0) -> dict[str, Any]:
    """Different scenes in two classes, and `drawn` in place of those at its keys."""
    folder.mkdir()
    for at in range(len(patients)):
        drawn.get(at, scene(first + at)).save(folder / f"{at}.png")
    rows = [[f"{at}.png", at % 2, f"p{patient}"] for at, patient in enumerate(patients)]
    write_table(folder / "data.csv", [["image", "label", "who"], *rows])
    return {"folder": str(folder), "target": "label", "patient": "who", "size": 32}


def checks(found: assay.Audit) -> dict[str, str]:
    return dict(found.table("checks")[["check", "text"]].to_numpy().tolist())


def test_near_copies_are_searched_among_the_images_that_are_read_and_copies_among_all(tmp_path: Path) -> None:
    patients, mirrored = list(range(COUNT)), CHANGES["mirrored"]
    first = audited(brightness, scenes(tmp_path / "plain", patients, {}), budget=BRIEF, **ALONE)
    read = sorted(first.table("images").row.tolist())
    left = [at for at in range(COUNT) if at not in read]
    assert len(read) == READ
    assert checks(first)["no-copies"].endswith("near copies among 40 of 60 images")

    drawn = {read[1]: mirrored(scene(read[0])), left[1]: mirrored(scene(left[0])), left[3]: scene(left[2])}
    patients[left[3]] = left[2]
    data = scenes(tmp_path / "copies", patients, drawn)
    part = checks(audited(brightness, data, tmp_path / "part", budget=BRIEF, **ALONE))
    assert "2 pictures in 4 files, 1 picture under different patients" in part["copy-clusters"]
    assert part["copy-clusters"].endswith("near copies among 40 of 60 images")
    assert "near copies among 40 of 60 images" in (tmp_path / "part" / "report.html").read_text()
    whole = checks(audited(brightness, data, **ALONE))
    assert "3 pictures in 6 files, 2 pictures under different patients" in whole["copy-clusters"]

    others = list(range(100, 140))
    drawn = {0: mirrored(scene(read[2])), 1: mirrored(scene(left[4]))}
    train = scenes(tmp_path / "train", others, drawn, first=100)
    held = audited(brightness, data, budget=BRIEF, train=train, **ALONE)
    apart, values = checks(held), dict(held.table("checks")[["check", "value"]].to_numpy().tolist())
    text = (
        "images that are copies of one of 40 training images; turned, mirrored and cropped ones among 40 of 60 images"
    )
    assert apart["training-copies"] == text
    assert values["training-copies"] == 1


@pytest.mark.nightly
def test_few_of_many_images_are_in_memory_at_any_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, read, held, most = images(tmp_path / "set", 1_500), ArrayImages.values, 0, 0

    def counted(self: ArrayImages, index: np.ndarray) -> np.ndarray:
        nonlocal held, most
        found = read(self, index)
        held += len(index)
        most = max(most, held)
        weakref.finalize(found, freed, len(index))
        return found

    def freed(count: int) -> None:
        nonlocal held
        held -= count

    monkeypatch.setattr(ArrayImages, "values", counted)
    found = audited(brightness, data, budget=BRIEF, **ALONE)
    assert checks(found)["no-copies"].endswith("among 40 of 1,500 images")
    assert 0 < most <= 600


def test_a_large_array_is_not_mapped_longer_than_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(array: np.ndarray) -> None:
        array[:] = np.arange(64)[:, None, None, None]

    array = ArrayCache(tmp_path).get("images", (64, 1, 256, 256), np.uint8, fill)
    held: dict[int, int] = {}
    for limit in (cache._LARGE, 0):  # pyright: ignore[reportPrivateUsage]
        monkeypatch.setattr(cache, "_LARGE", limit)
        pixels = ArrayImages(array).read(np.arange(64))
        assert torch.equal((pixels[:, 0, 0, 0] * 255).round(), torch.arange(64.0))
        maps = Path("/proc/self/smaps").read_text().split(str(tmp_path / "images.npy"))[1]
        held[limit] = int(re.findall(r"Rss: +([0-9]+) kB", maps)[0])
    assert held[cache._LARGE] == 0  # pyright: ignore[reportPrivateUsage]
    assert max(held.values()) >= 64 * 256 * 256 // 1024
