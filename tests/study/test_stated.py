"""What was stated before results existed stays so; what was added or changed afterwards is exploratory, for ever."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.worlds.studies import SMALL

from assay.plugin import StoreError
from assay.spec.parse import parse_study
from assay.spec.schema import StudySpec
from assay.study.families import study_comparisons
from assay.study.registration import read_prespecified, state

PRESPECIFIED = "stated.json"


def small(**changes: Any) -> StudySpec:
    return parse_study({**SMALL, **changes})


def losses(*names: str) -> StudySpec:
    return small(recipe={**SMALL["recipe"], "loss": ["cross-entropy", *names]})


def reversed_by(strength: float) -> StudySpec:
    return small(environments={**SMALL["environments"], "reversed": {"association": {"texture": strength}}})


def exploratory(root: Path, spec: StudySpec) -> dict[str, bool]:
    """Level -> whether its comparison is exploratory."""
    before = read_prespecified(root, spec).pairs
    return {pair.level_a: pair.id not in before for pair in study_comparisons(spec)}


def test_a_level_that_is_added_after_results_is_exploratory(tmp_path: Path) -> None:
    state(tmp_path, losses("supcon"), results_exist=False)
    for _ in range(2):
        state(tmp_path, losses("supcon", "focal"), results_exist=True)
        assert exploratory(tmp_path, losses("supcon", "focal")) == {"supcon": False, "focal": True}


def test_a_damaged_file_of_what_was_stated_is_to_be_restored_and_never_deleted(tmp_path: Path) -> None:
    state(tmp_path, losses("supcon"), results_exist=False)
    (tmp_path / PRESPECIFIED).write_text("{")
    with pytest.raises(
        StoreError, match=r"stated\.json: it is damaged .*; restore it from a copy: .*exploratory"
    ) as caught:
        state(tmp_path, losses("supcon"), results_exist=True)
    assert "delete" not in str(caught.value)
    assert (tmp_path / PRESPECIFIED).read_text() == "{"


def test_another_test_after_results_is_another_comparison(tmp_path: Path) -> None:
    first, other = reversed_by(-0.9), reversed_by(-0.5)
    state(tmp_path, first, results_exist=False)
    state(tmp_path, other, results_exist=True)
    assert exploratory(tmp_path, other) == {"supcon": True}
    state(tmp_path, first, results_exist=True)
    assert exploratory(tmp_path, first) == {"supcon": False}
    state(tmp_path, other, results_exist=False)  # the records were removed
    assert exploratory(tmp_path, other) == {"supcon": True}


@pytest.mark.parametrize(
    "changes",
    [
        {"recipe": {**SMALL["recipe"], "optimizer": {"adamw": {"lr": 0.5}}}},
        {"environments": {**SMALL["environments"], "train": {"association": {"texture": 0.1}}}},
        {"data": {**SMALL["data"], "train": 7}},
        {"first_seed": 40},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_another_training_after_results_is_another_comparison(tmp_path: Path, changes: dict[str, Any]) -> None:
    state(tmp_path, small(), results_exist=False)
    state(tmp_path, small(**changes), results_exist=True)
    assert exploratory(tmp_path, small(**changes)) == {"supcon": True}
    state(tmp_path, small(), results_exist=True)
    assert exploratory(tmp_path, small()) == {"supcon": False}


def test_a_change_that_no_comparison_rests_on_leaves_it_stated(tmp_path: Path) -> None:
    beside = {**SMALL["environments"], "neutral": {"association": {"texture": 0.0}}}
    state(tmp_path, small(), results_exist=False)
    state(tmp_path, small(environments=beside, question="?"), results_exist=True)
    assert exploratory(tmp_path, small(environments=beside, question="?")) == {"supcon": False}


def test_boxes_of_lesions_are_tested_on_alone_so_they_may_be_named_after_results(tmp_path: Path) -> None:
    for name, columns in (("data.csv", "image,grade"), ("boxes.csv", "image,kind,x0,y0,x1,y1")):
        (tmp_path / name).write_text(columns)
    own = {"own": {"data": "own", "recipe": {"loss": "vicreg"}}}
    recipe = {**SMALL["recipe"], "loss": "cross-entropy", "initialization": ["random", "own"]}
    contrast = {"axis": "initialization", "against": "random", "environment": "all"}

    def given(**more: Any) -> StudySpec:
        return small(
            data={"folder": str(tmp_path), "target": "grade", "size": 32, **more},
            sources=own,
            recipe=recipe,
            environments={"train": {}, "all": {}},
            contrasts=[contrast],
        )

    boxed = given(boxes={"table": "boxes.csv", "kinds": ["drusen"]})
    state(tmp_path, given(), results_exist=False)
    state(tmp_path, boxed, results_exist=True)
    assert exploratory(tmp_path, boxed) == {"own": False}
    assert boxed.training_hash == given().training_hash


def test_the_seeds_are_those_planned_when_results_first_existed(tmp_path: Path) -> None:
    for seeds, results_exist in ((5, False), (3, False), (9, True), (12, True)):
        state(tmp_path, small(seeds=seeds), results_exist)
    assert read_prespecified(tmp_path, small(seeds=12)).looks == (3,)
