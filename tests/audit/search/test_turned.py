"""Turned shapes at changing places through an audit: they are named on page and terminal, and taken off images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.audit.search.test_drawn import turned, world
from tests.worlds.files import save, write_table

import assay
from assay.audit import run
from assay.audit.references import RegionLimits
from assay.cli import main
from assay.plugin import RunFolder


def written(folder: Path, images: np.ndarray, target: np.ndarray) -> dict[str, Any]:
    """Write gray images in 0 to 1, and return them as data."""
    rows: list[list[object]] = [["image", "label", "who"]]
    for at, pixels in enumerate(images[:, 0]):
        save(folder / f"{at}.png", (255 * pixels).round().clip(0, 255).astype(np.uint8))
        rows.append([f"{at}.png", int(target[at]), f"{folder.name}-{at}"])
    write_table(folder / "data.csv", rows)
    return {"folder": str(folder), "target": "label", "patient": "who", "size": images.shape[2]}


@pytest.mark.nightly
def test_a_turned_shape_is_named_and_taken_off_the_images_of_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sample, has, bright = turned((0.2, 0.8))
    largest = {"place": 3.0, "whole": 3.0, "drawn": 3.0, "shape": 3.0, "turned": 0.45}
    limits = RegionLimits(40, largest, 99.0, {})
    monkeypatch.setattr(
        run, "shipped_limits", lambda _, *, in_training, masks: limits if in_training and not masks else None
    )
    monkeypatch.chdir(tmp_path)
    plain = world(2)
    assay.audit(
        lambda images: bright(images)[:, 0],
        written(tmp_path / "test", plain.images, plain.target),
        train=written(tmp_path / "train", sample.images, sample.target),
        domain="chest-xray", marks={}, distortions=[], scores="logits", as_given=True, progress=False, out="out",
        pictures=False,
    )  # fmt: skip
    regions = {row["of"]: row for row in RunFolder(tmp_path / "out").table("regions") if row["round"] == 1}
    assert (regions["turned"]["kind"], regions["turned"]["verdict"]) == ("turned", "relies-on-region")
    assert "turned shape at changing places" in (tmp_path / "out" / "report.html").read_text()
    capsys.readouterr()
    with pytest.raises(SystemExit, match="0"):
        main(["audit", "remedy", "out", "covered"])
    assert "turned shape at changing places is on" in capsys.readouterr().out
    files = pd.read_csv(tmp_path / "covered" / "data.csv")["image"]
    covered = np.stack([np.asarray(Image.open(tmp_path / "covered" / file)) for file in files])
    assert len(covered) == len(sample.images)
    assert (covered > 0.9 * 255).sum() < 0.3 * (sample.images[has] > 0.9).sum()
