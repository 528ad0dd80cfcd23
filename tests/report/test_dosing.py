"""On which images a dosed confounder lies, in words."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest
from syrupy.assertion import SnapshotAssertion

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
    ("train", "test"),
    [
        ({"tag": on(1, 0)}, {"tag": on(0, 1)}),
        ({"noise": 1.0, "tag": on(1, 0)}, {"noise": 1.0, "tag": on(1, 0)}),
        ({"tag": on(0, 1)}, {"tag": on(0.5, 0.5)}),
        ({"tag": 1.0}, {}),
    ],
    ids=["reversed", "alike", "half", "all"],
)
def test_marked_images_are_described_as_the_spec_has_them(
    train: Shares, test: Shares, snapshot: SnapshotAssertion
) -> None:
    assert where_borne(evidence(train, reversed=test), "reversed") == snapshot


@pytest.mark.parametrize("train", [{}, {"tag": on(1, 0), "hair": on(0, 1)}], ids=["no mark", "marks on both classes"])
def test_without_one_marking_nothing_is_described(train: Shares) -> None:
    assert where_borne(evidence(train, reversed={}), "reversed") == ""


def test_a_class_that_no_table_names_is_the_positive_one() -> None:
    """Environments name it where a factor is tied to it."""
    unnamed, named = (
        where_borne(evidence({"tag": on(1, 0)}, target, reversed={"tag": on(0, 1)}), "reversed")
        for target in ("", "present")
    )
    assert unnamed == named.replace("present", "positive") != named


def test_of_factors_that_no_image_is_given_the_dose_is_no_share(snapshot: SnapshotAssertion) -> None:
    made = evidence({"tag": on(1, 0)}, reversed={"tag": on(0, 1)})
    points = json.loads(made.tables.facts["spec"])["points"]
    always = {"view": {"strength": 1.0}}
    for one in points:
        one["train"]["association"] = always
    drawn = {"coordinates": {"p": "1"}, "train": {"association": {**always, "sex": {"strength": 1.0}}}, "tests": {}}
    facts = {"spec": json.dumps({"points": [*points, drawn]})}
    tables = SimpleNamespace(facts=facts, environments=made.tables.environments)
    found = where_borne(cast(Evidence, SimpleNamespace(outline=made.outline, tables=tables)), "reversed")
    assert found == snapshot


def test_the_clean_environment_is_the_one_without_the_marking() -> None:
    assert clean_environment(evidence({"tag": on(1, 0)}, same={"tag": on(1, 0)}, clean={})) == "clean"
