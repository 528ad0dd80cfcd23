"""A study of grades, from its spec to its tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.worlds.studies import run_tiny

from assay.plugin import RunFolder

DENSITY = {"phantom": "nodule", "size": 32, "train": 96, "validation": 32, "test": 32, "target": "texture",
           "core": "texture", "referable": 1}  # fmt: skip
"""Solid, part-solid, ground-glass."""


def test_the_likeliest_grade_is_called_and_grades_are_cut_where_the_study_says(tmp_path: Path) -> None:
    run_tiny(
        tmp_path,
        data=DENSITY,
        environments={"train": {}, "same": {}},
        recipe={"epochs": 6, "batch_size": 8, "loss": "cross-entropy", "optimizer": {"adamw": {"lr": 0.01}}},
    )
    folder = RunFolder(tmp_path)
    rows = {
        row["measure"]: row
        for row in folder.table("seeds")
        if row["environment"] == "same" and not (row["group"] or row["factor"] or row["level"])
    }
    for id in folder.ids("readings"):
        outputs = folder.outputs(id)
        record = folder.record("trials", folder.record("readings", id)["trial"])
        called = outputs["logits"].argmax(1)
        assert rows["accuracy"]["value"] == pytest.approx((called == outputs["target"]).mean())
        odds = np.logaddexp(outputs["logits"][:, 1], outputs["logits"][:, 2]) - outputs["logits"][:, 0]
        above = outputs["target"] >= 1
        assert len(record["specific"]) == 2
        caught = (odds >= record["specific"][0][1])[above].mean()
        assert rows["sensitivity-at-specificity-90"]["value"] == pytest.approx(caught)
