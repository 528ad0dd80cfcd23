"""Studies on the public sets: those of the docs parse and give environments; wrong ones say what is wrong."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from tests.worlds import public
from tests.worlds.public import chexpert, mimic, nih

from assay.plugin import ArrayCache, Component, Dataset, DataSpec, SpecError, load_dataset
from assay.shifts.sources import open_population
from assay.spec.parse import parse_study

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "public-sets.md").read_text(encoding="utf-8")
BLOCKS = {yaml.safe_load(block)["name"]: block for block in re.findall(r"```yaml\n(name:.*?)```", PAGE, re.DOTALL)}
STUDIES = {name: block for name, block in BLOCKS.items() if "segmentation" not in block}  # those: test_lesion_sets
assert STUDIES, "the page of public sets shows studies"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with each set where the docs have it, large enough to be divided."""
    monkeypatch.setenv("HOME", str(tmp_path))
    data = tmp_path / "data"
    rows = [(f"{at:08d}_000.png", ("Mass", "No Finding")[at % 2], 0, at, "050Y", "F", "PA") for at in range(1, 25)]
    folder = nih(data / "ChestX-ray14", rows=rows)
    (folder / "train_val_list.txt").write_text("\n".join(row[0] for row in rows[:16]))
    (folder / "test_list.txt").write_text("\n".join(row[0] for row in rows[16:]))
    path = "train/patient{:05d}/study1/view1_frontal.jpg"
    chexpert(
        data / "CheXpert-v1.0-small", [{"path": path.format(at), "Edema": (1, 0, "", -1)[at % 4]} for at in range(40)]
    )
    images = [
        {"dicom": f"d{at}", "patient": 10000000 + at, "study": at, "split": ("train", "validate", "test")[at // 8]}
        for at in range(24)
    ]
    labels: dict[str, dict[str, object]] = {
        str(at): {"patient": 10000000 + at, ("Pneumothorax", "No Finding")[at % 2]: "1.0"} for at in range(24)
    }
    mimic(data / "mimic-cxr-jpg", images, labels)
    for at in range(1, 11):
        box = public.nodule(20, 20, 6, malignancy=5 if at % 2 else 1)
        public.write_series(data / "LIDC-IDRI", at, [[box]] * 3)
    return tmp_path


@pytest.mark.parametrize("name", STUDIES)
def test_the_studies_of_the_docs_start(name: str, home: Path) -> None:
    assert len(STUDIES[name].splitlines()) == 8
    (home / "study.yaml").write_text(STUDIES[name])
    study = parse_study(home / "study.yaml")
    population = open_population(study.data, ArrayCache(home / "cache"))
    train, validation = population.training(study.points[0].train, 0)
    tested = population.scene(study.points[0].tests, 0).environment("same")
    parts = [set(part.table.patient.tolist()) for part in (train, validation, tested)]
    assert all(parts)
    assert sum(map(len, parts)) == len({patient for part in parts for patient in part}), "a patient on two sides"
    assert len(np.unique(train.table.target)) == 2


def study(data: dict[str, Any], **environment: Any) -> dict[str, Any]:
    return {"name": "a", "data": data, "environments": {"train": {}, "same": environment}}


def test_what_a_study_gets_wrong_is_told_before_anything_is_read(home: Path) -> None:
    folder = str(home / "data" / "ChestX-ray14")
    mass = {"nih": {"folder": folder, "finding": "Mass"}}
    for wrong, message in (
        (study({"dataset": {"nhi": {}}}), "unknown dataset 'nhi': did you mean 'nih'?"),
        (study({"dataset": {"nih": {"folder": folder}}}), "'finding' is missing"),
        (study({"dataset": {"nih": {"folder": folder + "x", "finding": "Mass"}}}), "there is no such file or folder"),
        (
            study({"dataset": {"nih": {"folder": folder, "finding": "Mass|Nodule"}}}),
            "'Mass|Nodule' is several findings; multi-label targets are not supported yet: name one finding",
        ),
        (
            study({"dataset": mass, "target": "Mass", "factors": {"sex": "categorical"}}),
            "target, factors: for a table of your own; a dataset's columns are known, its target is an argument",
        ),
        (study({"dataset": mass}, association={"gender": 0.5}), "no factor 'gender' in the dataset 'nih'"),
        (study({"dataset": mass}, where={"view": "LL"}), "not a level of 'view'"),
        (study({"dataset": mass, "folder": folder}), "images come from dataset and folder"),
        (
            study({"dataset": {"chexpert": {"folder": folder, "finding": "Edema", "uncertain": "zero"}}}),
            "input should be 'refuse', 'negative', 'positive' or 'drop'",
        ),
    ):
        with pytest.raises(SpecError, match=re.escape(message)):
            parse_study(wrong)


def test_a_loader_of_ones_own_is_named_by_its_path(home: Path) -> None:
    folder = str(home / "data" / "ChestX-ray14")
    named = {f"{__name__}:load_own": {"folder": folder, "finding": "Mass"}}
    parsed = parse_study(study({"dataset": named, "size": 16}))
    assert len(load_dataset(parsed.data, ArrayCache(home / "cache")).table) == 24


def load_own(spec: DataSpec, cache: ArrayCache, skip_bad_rows: bool, *, folder: str, finding: str) -> Dataset:
    """What a user would write; here it hands on to a set that Assay knows."""
    known = Component(kind="dataset", name="nih", params={"folder": folder, "finding": finding})
    return load_dataset(DataSpec(dataset=known, size=spec.size), cache, skip_bad_rows=skip_bad_rows)
