"""A dose is short for an intervention with a share per class; p = 0 is trained once whatever the confounder."""

from __future__ import annotations

from typing import Any

import pytest

from assay.plugin import SpecError
from assay.spec.parse import parse_study
from assay.spec.schema import StudySpec, TrainingSpec
from assay.study.families import study_comparisons

TRAIN: dict[str, Any] = {"confounder": ["tag", "low-pass"], "p": [0, 0.2, 1]}
TESTS: dict[str, Any] = {
    "same": {"like": "train"},
    "clean": {"like": "train", "dose": {"p": 0}},
    "none": {"like": "train", "dose": {"p": 0.5, "on": "both"}},
    "reversed": {"like": "train", "dose": {"p": 1, "on": "negative"}},
}


def study(dose: Any = TRAIN, tests: Any = TESTS, **train: Any) -> StudySpec:
    return parse_study(
        {
            "name": "doses",
            "data": {"phantom": "nodule", "size": 32, "core": "margin"},
            "environments": {"train": {"dose": dose, **train}, **tests},
        }
    )


def shares(spec: StudySpec, point: int, name: str) -> Any:
    (marked,) = spec.points[point].tests[name].interventions.values()
    return marked.share


def test_confounder_and_p_are_two_axes():
    assert study().axes == {"confounder": ("tag", "low-pass"), "p": ("0", "0.2", "1")}


def test_environments_take_the_confounder_and_override_p_and_class():
    spec = study()
    assert [list(point.train.interventions) for point in spec.points] == [["tag"]] * 3 + [["low-pass"]] * 3
    assert shares(spec, 1, "same") == {"positive": 0.2, "negative": 0}
    assert shares(spec, 4, "clean") == {"positive": 0, "negative": 0}
    assert shares(spec, 4, "none") == {"positive": 0.5, "negative": 0.5}
    assert shares(spec, 4, "reversed") == {"positive": 0, "negative": 1}


def test_training_at_0_is_the_same_for_every_confounder():
    spec = study()
    ids = [TrainingSpec(data={}, environment=point.train, recipe=point.recipe, seed=0).id for point in spec.points]
    assert ids[0] == ids[3]
    assert len(set(ids)) == 5


def test_a_dose_is_the_intervention_that_it_is_short_for():
    short = study({"confounder": {"tag": {"contrast": 0.5}}, "p": 0.2}, {"same": {"like": "train"}})
    share = {"positive": 0.2, "negative": 0.0}
    written = parse_study(
        {
            "name": "doses",
            "data": {"phantom": "nodule", "size": 32, "core": "margin"},
            "environments": {
                "train": {"interventions": {"tag": {"contrast": 0.5, "share": share}}},
                "same": {"like": "train"},
            },
        }
    )
    assert short.points[0].train == written.points[0].train
    assert short.points[0].tests == written.points[0].tests


def test_one_dose_in_where_is_the_change_from_0_at_that_dose():
    """It is the mean over that dose, however it is written, and its recipes are those of p = 0 and of the dose."""
    way = {"axis": "loss", "against": "cross-entropy", "environment": "reversed", "at": "dose-response"}
    written = [{**way, "where": {"p": 0.2}}, {**way, "mean_over": {"p": [0.2]}}]
    values = {
        "name": "doses",
        "data": {"phantom": "nodule", "size": 32, "core": "margin"},
        "environments": {"train": {"dose": TRAIN}, **TESTS},
        "recipe": {"loss": ["cross-entropy", "focal"]},
        "contrasts": [{**one, "role": "primary", "margin": 0.05} for one in written],
    }
    spec = parse_study(values)
    assert spec.contrasts[0] == spec.contrasts[1]
    found = [[point.coordinates["p"] for point in pair.a] for pair in study_comparisons(spec)]
    assert found == [["0", "0.2"]] * 4, "of each way, by confounder"


def test_a_confounder_may_not_stand_twice():
    with pytest.raises(SpecError, match="'tag' is under interventions too; keep one"):
        study({"confounder": "tag", "p": 0.2}, {"clean": {}}, interventions={"tag": 0.5})


ALONG: dict[str, Any] = {"axis": "loss", "against": "cross-entropy", "at": "dose-response", "factor": "confounder"}
CONFOUNDERS = "environments.train.dose.confounder"
TWO_TAGS = [{"tag": {"contrast": 0.3}}, {"tag": {"contrast": 0.6}}, "sex"]
SCENE: dict[str, Any] = {
    "name": "study",
    "data": {"phantom": "chest", "size": 64, "target": "mass", "core": "mass"},
    "environments": {
        "train": {"dose": {"confounder": TWO_TAGS, "p": [0, 1]}},
        "reversed": {"like": "train", "dose": {"p": 1, "on": "negative"}},
    },
    "recipe": {"loss": ["cross-entropy", "focal"]},
    "probes": ["performance", "reliance"],
}


def test_the_confounder_of_a_contrast_is_each_that_is_dosed() -> None:
    spec = parse_study({**SCENE, "contrasts": [{**ALONG, "measure": "flip-rate"}]})
    assert [(one.factor, one.where["confounder"]) for one in spec.contrasts] == [
        ("tag", "tag(contrast=0.3)"),
        ("tag", "tag(contrast=0.6)"),
        ("sex", "sex"),
    ]
    held = {**ALONG, "measure": "flip-rate", "where": {"confounder": "sex"}}
    assert [one.factor for one in parse_study({**SCENE, "contrasts": [held]}).contrasts] == ["sex"]
    alone = {**SCENE["environments"], "train": {"dose": {"confounder": "tag", "p": [0, 1]}}}
    spec = parse_study({**SCENE, "environments": alone, "contrasts": [{**ALONG, "measure": "flip-rate"}]})
    assert [(one.factor, dict(one.where)) for one in spec.contrasts] == [("tag", {})]


@pytest.mark.parametrize(
    ("environments", "changes", "told"),
    [
        (None, {"measure": "auroc", "environment": "reversed"}, "measure 'auroc' is of the whole and of no factor"),
        (
            {"train": {}, "reversed": {"like": "train"}},
            {"measure": "flip-rate", "at": "equal-budget"},
            "factor = 'confounder'\n  stands for each confounder along its doses, and this study has no list of them",
        ),
        (None, {"measure": "flip-rate", "factor": "confonder"}, "did you mean 'confounder'?"),
        (
            None,
            {"measure": "worst-group-acuracy", "factor": "", "environment": "reversed"},
            "did you mean 'worst-group-accuracy'?",
        ),
        (
            None,
            {"measure": "flip-rate", "environment": "revrsed"},
            "'flip-rate' is not measured there, but in: (neutral)",
        ),
        (
            None,
            {"measure": "flip-rate", "where": {"confounder": "sexx"}},
            "not a value of axis 'confounder': did you mean 'sex'?\n  allowed: tag(contrast=0.3), tag(",
        ),
        (
            None,
            {"measure": "logit-effect", "where": {"confounder": "tag"}},
            "not a value of axis 'confounder': did you mean 'tag(contrast=0.3)'?\n  allowed: tag(contrast=0.3), tag(",
        ),
        (
            None,
            {"measure": "flip-rate", "where": {"confounder": "sex", CONFOUNDERS: "tag(contrast=0.3)"}},
            "leaves no recipe that is trained with a dose of a confounder",
        ),
    ],
)
def test_a_wrong_confounder_of_a_contrast_is_told_once_and_as_it_is_written(
    environments: dict[str, Any] | None, changes: dict[str, str], told: str
) -> None:
    study = {**SCENE, "environments": environments or SCENE["environments"], "contrasts": [{**ALONG, **changes}]}
    with pytest.raises(SpecError) as error:
        parse_study(study)
    assert told in str(error.value)
    assert str(error.value).count("contrasts[0].") == 1
