"""Comparisons at matched fit where no fit is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from tests.worlds.studies import run_tiny

import assay


def test_fit_of_lesions_where_validation_has_none_is_not_reached(tmp_path: Path) -> None:
    images = tmp_path / "images"
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    drawn = np.random.default_rng(0)
    rows = ["image,mask,patient,part"]
    for at, part in enumerate(["train"] * 12 + ["validation"] * 4 + ["test"] * 8):
        mask = np.zeros((16, 16), dtype=np.uint8)
        if at % 2 and part != "validation":
            mask[4:10, 4:10] = 255
        Image.fromarray((drawn.integers(0, 60, (16, 16)) + mask // 2).astype(np.uint8)).save(images / f"{at}.png")
        Image.fromarray(mask).save(tmp_path / "masks" / f"{at}.png")
        rows.append(f"images/{at}.png,masks/{at}.png,p{at},{part}")
    (tmp_path / "data.csv").write_text("\n".join(rows) + "\n")
    columns = {"mask": "mask", "patient": "patient", "target": "lesion", "split": {"column": "part"}}
    way = {"axis": "loss", "against": "cross-entropy", "measure": "dice", "environment": "same", "at": "matched-fit"}
    result = run_tiny(
        tmp_path / "run",
        data={"folder": str(tmp_path), "size": 16, **columns},
        environments={"train": {}, "same": {}},
        recipe={
            "task": "segmentation",
            "architecture": "small-unet",
            "loss": ["cross-entropy", "dice"],
            "epochs": [1, 2],
            "batch_size": 4,
        },
        seeds=3,
        probes=["performance", "segmentation"],
        contrasts=[way],
    )
    run = assay.open_run(result.folder)
    assert run.table("trials")["yardstick"].isna().all()
    (row,) = run.table("contrasts").to_dict("records")
    assert np.isnan(row["value"])
    assert "unreached-fit" in row["reason"]
