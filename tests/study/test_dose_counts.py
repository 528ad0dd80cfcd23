"""What came of each dose is counted by class: exactly of marks, as drawn of a phantom's factors."""

from __future__ import annotations

import json
from pathlib import Path

from assay.execution.jobs import population_of
from assay.execution.workspace import Workspace
from assay.spec.parse import parse_study
from assay.study.contrasts import dose_count_rows

STUDY = {
    "name": "dosed",
    "data": {"phantom": "chest", "size": 64, "train": 60, "validation": 16, "test": 16, "target": "mass",
             "core": "mass"},
    "environments": {
        "train": {"dose": {"confounder": ["tag", "sex"], "p": [0, 0.5, 1]}},
        "clean": {"like": "train", "dose": {"p": 0}},
    },
    "recipe": {"loss": ["cross-entropy", "focal"], "epochs": 1},
    "seeds": 4,
}  # fmt: skip


def test_marks_are_counted_exactly_and_drawn_factors_over_the_seeds(tmp_path: Path) -> None:
    spec = parse_study(STUDY)
    rows = dose_count_rows(spec, population_of(spec.data, Workspace(tmp_path, tmp_path / "cache")))
    assert len(rows) == 2 * 3 * 2  # confounders, doses, classes: once for both losses
    found = {(row["factor"], json.loads(row["coordinates"])["p"], row["target"]): row for row in rows}
    for p, exact in (("0", 0), ("0.5", 15), ("1", 30)):
        assert found["tag", p, "absent"]["most"] == 0
        present = found["tag", p, "present"]
        assert (present["least"], present["most"], present["fewest_images"]) == (exact, exact, 30)
    drawn = found["sex", "0.5", "present"]
    assert 15 < drawn["least"] < drawn["most"] < 30
    assert 0 < found["sex", "0", "absent"]["least"] < 30
    assert found["sex", "1", "absent"]["most"] == 0
