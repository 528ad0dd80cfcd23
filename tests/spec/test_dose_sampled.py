"""A dose of a factor is short for an association; p = 0 of a phantom is one trial whatever the confounder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from assay.plugin import SpecError
from assay.spec.parse import parse_study
from assay.spec.schema import AssociationSpec, HighShares, StudySpec, TrainingSpec

TESTS: dict[str, Any] = {
    "same": {"like": "train"},
    "clean": {"like": "train", "dose": {"p": 0}},
    "none": {"like": "train", "dose": {"p": 0.5, "on": "both"}},
    "reversed": {"like": "train", "dose": {"p": 1, "on": "negative"}},
}
CHEST = {"phantom": "chest", "size": 64, "core": "mass", "target": "ill"}


def study(dose: Any, tests: Any = TESTS, data: Any = CHEST, **train: Any) -> StudySpec:
    return parse_study({"name": "doses", "data": data, "environments": {"train": {"dose": dose, **train}, **tests}})


def ids(spec: StudySpec) -> list[str]:
    return [TrainingSpec(data={}, environment=point.train, recipe=point.recipe, seed=0).id for point in spec.points]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "data.csv").write_text("image,ill,sex,view,age\n")
    factors = {"sex": {"kind": "categorical", "levels": ["F", "M"], "high": ["F"]}, "age": {"unit": "years"}}
    view = {"view": {"kind": "categorical", "levels": ["PA", "AP"], "high": ["AP"]}}
    return {"folder": str(tmp_path), "target": "ill", "factors": {**factors, **view}}


@pytest.mark.parametrize(
    ("confounder", "same", "none", "reverse"),
    [
        ("sex", AssociationSpec(strength=0.2), None, AssociationSpec(strength=-1)),
        ({"sex": {"scheme": "balanced"}}, AssociationSpec(strength=0.2), None, AssociationSpec(strength=-1)),
        (
            {"sex": {"high": ["M"], "scheme": "one-sided"}},
            AssociationSpec(strength=0.2, high=("M",), share=HighShares(positive=0.2, negative=0)),
            AssociationSpec(strength=0, high=("M",), share=HighShares(positive=0.5, negative=0.5)),
            AssociationSpec(strength=-1, high=("M",), share=HighShares(positive=0, negative=1)),
        ),
    ],
)
def test_a_dose_of_a_factor_is_the_association_that_it_is_short_for(
    confounder: Any, same: AssociationSpec, none: AssociationSpec | None, reverse: AssociationSpec
):
    (point,) = study({"confounder": confounder, "p": 0.2}).points
    assert point.train.association == {"sex": same} == point.tests["same"].association
    assert point.tests["none"].association == ({} if none is None else {"sex": none})
    assert point.tests["reversed"].association == {"sex": reverse}
    assert not point.train.interventions


def test_of_files_strength_0_stays_since_it_chooses_rows(files: dict[str, Any]):
    (point,) = study({"confounder": {"sex": {"high": "M"}}, "p": 0}, data=files).points
    tie = AssociationSpec(strength=0, high=("M",))
    assert point.train.association == point.tests["none"].association == {"sex": tie}


def test_factors_and_interventions_share_the_axes():
    spec = study({"confounder": ["tag", "sex", {"view": {"scheme": "one-sided"}}], "p": [0, 0.2, 1]})
    assert spec.axes == {"confounder": ("tag", "sex", "view(scheme=one-sided)"), "p": ("0", "0.2", "1")}


def test_a_phantom_is_trained_once_at_0_whatever_is_balanced_and_apart_on_one_side():
    named = ids(study({"confounder": ["tag", "sex", "view", {"view": {"scheme": "one-sided"}}], "p": [0, 1]}))
    tag, sex, view, one_sided = named[::2]
    assert tag == sex == view != one_sided
    assert len({tag, one_sided, *named[1::2]}) == 2 + 4


def test_a_factor_on_both_classes_in_training_is_refused_beside_what_can_be_on_both():
    with pytest.raises(SpecError) as refused:
        study({"confounder": ["tag", "sex"], "p": [0, 0.5, 1], "on": "both"})
    assert "trained on both classes, 'sex' is tied to neither, and the same at every p" in str(refused.value)
    assert "leave 'sex' out of this dose, or put it on one class" in str(refused.value)
    study({"confounder": ["tag", "low-pass"], "p": [0, 0.5, 1], "on": "both"})


def test_a_target_that_is_a_factor_misspelt_is_no_name_for_the_classes_of_another():
    with pytest.raises(SpecError) as refused:
        study({"confounder": "tag", "p": [0, 1]}, data={**CHEST, "target": "sexx"})
    assert "no factor is called 'sexx', so it would be a name for the classes of 'mass'" in str(refused.value)
    assert "did you mean 'sex'? else give it another name" in str(refused.value)


def test_a_key_that_yaml_read_as_true_is_told_as_such():
    with pytest.raises(SpecError, match=r"YAML 1\.1 reads the key `on` as true: write 'on' in quotes"):
        study({"confounder": "tag", "p": [0, 1], True: "both"})


def test_files_are_trained_for_every_factor_at_0(files: dict[str, Any]):
    assert len(set(ids(study({"confounder": ["tag", "low-pass", "sex", "view"], "p": 0}, data=files)))) == 3


def test_a_name_that_is_both_is_a_factor_where_its_arguments_are_those_of_one():
    nodule = {"phantom": "nodule", "size": 32, "core": "margin"}
    dose = {"confounder": {"contrast": {"scheme": "balanced"}}, "p": 0.5}
    (point,) = study(dose, data=nodule).points
    assert point.train.association == {"contrast": AssociationSpec(strength=0.5)}
    (point,) = study({"confounder": "contrast", "p": 0.5}, data=nodule).points
    assert list(point.train.interventions) == ["contrast"]


def test_rows_are_an_axis_of_training_and_no_part_of_tests():
    spec = study({"confounder": "sex", "p": [0, 1]}, rows=[100, 300])
    assert spec.axes["rows"] == ("100", "300")
    assert {point.train.rows for point in spec.points} == {100, 300}
    assert all(test.rows is None for point in spec.points for test in point.tests.values())
    assert len(set(ids(spec))) == 4
