from __future__ import annotations

from typing import Any

import pytest

from assay.plugin import SpecError
from assay.spec.parse import parse_study
from assay.spec.schema import AssociationSpec, StudySpec

Study = dict[str, Any]


def with_recipe(study: Study, **recipe: Any) -> StudySpec:
    study["recipe"] = recipe
    return parse_study(study)


def with_train(study: Study, **train: Any) -> StudySpec:
    study["environments"]["train"] = train
    study["recipe"] = {"epochs": 5}
    return parse_study(study)


def test_axes_are_crossed_and_the_last_runs_fastest(study: Study) -> None:
    spec = with_recipe(study, loss=["cross-entropy", "supcon"], epochs=[5, 10, 20])
    assert spec.axes == {"loss": ("cross-entropy", "supcon"), "epochs": ("5", "10", "20")}
    assert [tuple(point.coordinates.values()) for point in spec.points] == [
        (loss, epochs) for loss in ("cross-entropy", "supcon") for epochs in ("5", "10", "20")
    ]
    assert [point.recipe.epochs for point in spec.points] == [5, 10, 20] * 2


def test_an_argument_alone_is_an_axis_of_its_own(study: Study) -> None:
    spec = with_recipe(study, loss={"supcon": {"temperature": [0.05, 0.5]}})
    assert spec.axes == {"temperature": ("0.05", "0.5")}
    assert [point.recipe.loss.params for point in spec.points] == [{"temperature": 0.05}, {"temperature": 0.5}]


def test_lists_inside_a_list_belong_to_its_axis(study: Study) -> None:
    loss = ["cross-entropy", {"supcon": {"temperature": [0.05, 0.5], "head": ["after", "joint"]}}, "triplet"]
    spec = with_recipe(study, loss=loss)
    assert list(spec.axes) == ["loss"]
    assert spec.axes["loss"] == (
        "cross-entropy",
        "supcon(temperature=0.05, head=after)",
        "supcon(temperature=0.05, head=joint)",
        "supcon(temperature=0.5, head=after)",
        "supcon(temperature=0.5, head=joint)",
        "triplet",
    )


def test_a_list_by_nature_is_no_axis(study: Study) -> None:
    spec = with_recipe(study, augmentation=["flip", {"shift": {"pixels": [2, 4]}}])
    assert spec.axes == {"pixels": ("2", "4")}
    assert [[one.label for one in point.recipe.augmentation] for point in spec.points] == [
        ["flip", "shift(pixels=2)"],
        ["flip", "shift"],
    ]


def test_a_list_by_nature_is_one_value_of_an_explicit_axis(study: Study) -> None:
    spec = with_recipe(study, augmentation={"axis": [["flip", "shift"], ["flip"], []]})
    assert spec.axes == {"augmentation": ("flip + shift", "flip", "none")}
    assert [len(point.recipe.augmentation) for point in spec.points] == [2, 1, 0]


def test_strengths_difficulties_and_shares_are_axes(study: Study) -> None:
    spec = with_train(
        study,
        association={"texture": [0.5, 0.9], "size": {"strength": [0, 0.5]}},
        difficulty={"texture": [0.5, 1]},
        interventions={"tag": {"size": [0.1, 0.2], "share": [0, 0.5]}},
    )
    # 'size' of the tag and 'size' of the association are told apart, and so is its texture from the difficulty of it.
    assert spec.axes == {
        "association.texture": ("0.5", "0.9"),
        "association.size": ("0", "0.5"),
        "difficulty.texture": ("0.5", "1"),
        "tag.size": ("0.1", "0.2"),
        "tag.share": ("0", "0.5"),
    }
    assert len(spec.points) == 32


def test_a_whole_mapping_may_be_an_axis(study: Study) -> None:
    spec = with_train(study, association={"axis": [{}, {"texture": 0.9}, {"texture": 0.9, "size": 0.5}]})
    assert spec.axes == {"association": ("none", "texture=0.9", "texture=0.9, size=0.5")}
    # the factor is inherited by `like: train` at each point
    assert [dict(point.tests["same"].association) == dict(point.train.association) for point in spec.points] == [
        True
    ] * 3


def test_tests_follow_training_at_each_point_and_override_it(study: Study) -> None:
    spec = with_train(study, association={"texture": [0.5, 0.9], "size": 0.3}, difficulty={"margin": 0.8})
    for point, strength in zip(spec.points, (0.5, 0.9), strict=True):
        same, turned = point.tests["same"], point.tests["reversed"]
        assert same.association["texture"].strength == strength
        assert turned.association["texture"].strength == -0.9
        assert turned.association["size"].strength == 0.3
        assert turned.difficulty == {"margin": 0.8}
        assert (point.train.split, same.split) == ("train", "test")


def test_an_environment_changes_single_arguments_of_what_it_inherits(study: Study) -> None:
    study["environments"] = {
        "train": {
            "association": {"texture": {"strength": 0.9, "high": ["solid"]}},
            "interventions": {"tag": {"size": 0.2}},
        },
        "turned": {"like": "train", "association": {"texture": -0.5}, "interventions": {"tag": {"share": 1}}},
        "without": {"like": "turned", "association": {"texture": None}, "interventions": {"tag": None}},
    }
    tests = parse_study(study).points[0].tests
    assert tests["turned"].association["texture"] == AssociationSpec(strength=-0.5, high=("solid",))
    assert tests["turned"].interventions["tag"].component.params == {"size": 0.2}
    assert tests["turned"].interventions["tag"].share == 1
    assert (tests["without"].association, tests["without"].interventions) == ({}, {})


def test_zipped_axes_are_one(study: Study) -> None:
    study["grid"] = {"zip": [["epochs", "recipe.batch_size"]]}
    spec = with_recipe(study, epochs=[5, 10], batch_size=[32, 64], loss=["cross-entropy", "supcon"])
    assert spec.axes == {"epochs+batch_size": ("5+32", "10+64"), "loss": ("cross-entropy", "supcon")}
    assert [(point.recipe.epochs, point.recipe.batch_size) for point in spec.points] == [(5, 32)] * 2 + [(10, 64)] * 2


def test_only_keeps_points_that_match_an_entry(study: Study) -> None:
    study["grid"] = {"only": [{"loss": "cross-entropy"}, {"epochs": [10, 20], "loss": "supcon"}]}
    spec = with_recipe(study, loss=["cross-entropy", "supcon"], epochs=[5, 10, 20])
    assert [tuple(point.coordinates.values()) for point in spec.points] == [
        ("cross-entropy", "5"),
        ("cross-entropy", "10"),
        ("cross-entropy", "20"),
        ("supcon", "10"),
        ("supcon", "20"),
    ]


def test_only_that_a_fixed_axis_leaves_no_entry_of_is_refused(study: Study) -> None:
    study["grid"] = {"only": [{"loss": "triplet"}, {"loss": "supcon", "epochs": 5}]}
    wrong = (
        r"grid\.only\n  recipe\.loss is cross-entropy in this study, and every entry asks for another value\n"
        r"  --set grid\.only=null keeps every point of the grid"
    )
    with pytest.raises(SpecError, match=wrong):
        with_recipe(study, loss="cross-entropy", epochs=[5, 10])


def test_a_grid_beyond_measure_is_refused_before_it_is_made(study: Study) -> None:
    with pytest.raises(
        SpecError,
        match=r"^recipe\.epochs\n  the grid has 1000000 points \(epochs 1000 x batch_size 1000\); at most 20000",
    ):
        with_recipe(study, epochs=list(range(1, 1001)), batch_size=list(range(2, 1002)))


def test_a_contrast_is_settled_to_the_short_names_and_to_the_rows_that_its_probe_looks_at(study: Study) -> None:
    study["probes"] = ["performance", "reliance", "decodability"]
    asked: list[Study] = [
        {"axis": "recipe.loss", "against": "supcon", "measure": measure, "factor": "texture", "layer": layer}
        for measure, layer in (("flip-rate", ""), ("sobol-total", ""), ("decodability", "features"))
    ]
    asked[0]["where"] = {"recipe.loss": "supcon"}
    contrasts = parse_study({**study, "contrasts": asked}).contrasts
    assert [contrast.axis for contrast in contrasts] == ["loss"] * 3
    assert contrasts[0].where == {"loss": "supcon"}
    assert [contrast.environment for contrast in contrasts] == ["(neutral)", "", "(independent)"]


def test_set_gives_some_points_another_value_without_an_axis(study: Study) -> None:
    study["grid"] = {"set": [{"where": {"loss": "supcon"}, "recipe.optimizer.adamw.lr": 0.2}]}
    recipe = {"loss": ["cross-entropy", "supcon"], "epochs": [5, 10], "optimizer": {"adamw": {"lr": 0.1}}}
    spec = with_recipe(study, **recipe)
    assert set(spec.axes) == {"loss", "epochs"}
    assert [point.recipe.optimizer.params["lr"] for point in spec.points] == [0.1, 0.1, 0.2, 0.2]


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ({"where": {"loss": "triplet"}, "recipe.batch_size": 8}, "not a value of axis 'loss'"),
        ({"where": {"loss": "supcon"}, "recipe.patience": 8}, "no such value of the recipe or of"),
        ({"where": {"loss": "supcon"}, "data.size": 32}, "no such value of the recipe or of"),
        ({"where": {"loss": "supcon"}, "recipe.loss": "triplet"}, "is an axis"),
        ({"where": {"loss": "supcon"}, "recipe.batch_size": [8, 16]}, "expected one value"),
        ({"recipe.batch_size": 8}, "expected entries such as"),
        ({"where": {"loss": "supcon"}, "recipe.batch_size": "many"}, "input should be a valid integer"),
    ],
)
def test_a_wrong_entry_of_set_is_refused(study: Study, entry: dict[str, object], why: str) -> None:
    study["grid"] = {"set": [entry]}
    with pytest.raises(SpecError, match=why):
        with_recipe(study, loss=["cross-entropy", "supcon"], batch_size=64)
