"""On which images a dosed confounder lies, in words."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from assay.report.layout import Evidence
from assay.report.sections.doses import clean_environment, where_borne

Shares = dict[str, Any]


def on(positive: float, negative: float) -> dict[str, float]:
    return {"positive": positive, "negative": negative}


def evidence(train: Shares, target: str = "present", **tests: Shares) -> Evidence:
    """Of a study at p = 0 and 1; shares of interventions at p = 1, which those of a test like it follow."""

    def bearing(shares: Shares) -> dict[str, Any]:
        return {"interventions": {name: {"component": name, "share": share} for name, share in shares.items()}}

    undosed = {name: bearing({} if shares == train else shares) for name, shares in tests.items()}
    points = [
        {"coordinates": {"p": "0"}, "train": bearing({}), "tests": undosed},
        {
            "coordinates": {"p": "1"},
            "train": bearing(train),
            "tests": {name: bearing(shares) for name, shares in tests.items()},
        },
    ]
    facts, environments = {"spec": json.dumps({"points": points})}, [{"target": ""}, {"target": target}]
    made = SimpleNamespace(
        outline=SimpleNamespace(dosed="p"), tables=SimpleNamespace(facts=facts, environments=environments)
    )
    return cast(Evidence, made)


@pytest.mark.parametrize(
    ("train", "test", "said"),
    [
        (
            {"tag": on(1, 0)},
            {"tag": on(0, 1)},
            "p: the share of present images that bear the confounder in training. In reversed it is on no present "
            "image and on all others.",
        ),
        (
            {"noise": 1.0, "tag": on(1, 0)},
            {"noise": 1.0, "tag": on(1, 0)},
            "p: the share of present images that bear the confounder in training. In reversed it is on as many.",
        ),
        (
            {"tag": on(0, 1)},
            {"tag": on(0.5, 0.5)},
            "p: the share of the other images that bear the confounder in training.",
        ),
        (
            {"tag": 1.0},
            {},
            "p: the share of the images that bear the confounder in training.",
        ),
        ({}, {}, ""),
        ({"tag": on(1, 0), "hair": on(0, 1)}, {}, ""),
    ],
)  # fmt: skip
def test_where_a_marking_lies_is_said_as_the_spec_has_it(train: Shares, test: Shares, said: str) -> None:
    assert where_borne(evidence(train, reversed=test), "reversed") == said


def test_a_class_that_no_table_names_is_the_positive_one() -> None:
    """Environments name it where a factor is tied to it."""
    assert where_borne(evidence({"tag": on(1, 0)}, "", reversed={"tag": on(0, 1)}), "reversed") == (
        "p: the share of positive images that bear the confounder in training. In reversed it is on no positive image "
        "and on all others."
    )


def test_of_factors_that_no_image_is_given_the_dose_is_no_share() -> None:
    made = evidence({"tag": on(1, 0)}, reversed={"tag": on(0, 1)})
    points = json.loads(made.tables.facts["spec"])["points"]
    always = {"view": {"strength": 1.0}}
    for one in points:
        one["train"]["association"] = always
    drawn = {"coordinates": {"p": "1"}, "train": {"association": {**always, "sex": {"strength": 1.0}}}, "tests": {}}
    facts = {"spec": json.dumps({"points": [*points, drawn]})}
    tables = SimpleNamespace(facts=facts, environments=made.tables.environments)
    found = where_borne(cast(Evidence, SimpleNamespace(outline=made.outline, tables=tables)), "reversed")
    assert found.startswith(
        "p: the share of present images that bear the confounder in training (of sex, which no image is given: "
        "Somers' D given the target)."
    )


def test_the_clean_environment_is_the_one_without_the_marking() -> None:
    assert clean_environment(evidence({"tag": on(1, 0)}, same={"tag": on(1, 0)}, clean={})) == "clean"
