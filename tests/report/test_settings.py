"""What an environment sets, in words: marks with each class's share of them, nothing of marks on no row."""

from __future__ import annotations

import json
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion
from tests.report.reading import tables_of

from assay.report.account import settings


def told(test: dict[str, Any]) -> str:
    spec = {"points": [{"tests": {"there": test}}]}
    return said(spec, "there").get("there", "")


def said(spec: dict[str, Any], *environments: str) -> dict[str, str]:
    rows = tuple({"environment": name} for name in environments)
    return settings(tables_of(environments=rows, provenance=({"key": "spec", "value": json.dumps(spec)},)))


@pytest.mark.parametrize(
    "test",
    [
        {"interventions": {"tag": {"share": {"positive": 0.0, "negative": 1.0}}}},
        {"interventions": {"tag": {"share": {"positive": 0.5, "negative": 0.25}}}},
        {"interventions": {"tag": {"share": {"positive": 0.0, "negative": 0.0}}}},
        {"interventions": {"hair": {"component": {"hair": {"count": 9}}}}},
        {"interventions": {"tag": {"share": 0.2}}, "difficulty": {"margin": 0.7}},
    ],
    ids=["one class", "both classes", "no image", "all images", "with a difficulty"],
)
def test_marks_are_given_with_the_share_of_each_class(test: dict[str, Any], snapshot: SnapshotAssertion) -> None:
    assert told(test) == snapshot


def test_each_dose_says_what_its_training_images_bear() -> None:
    points = [
        {
            "coordinates": {"confounder": "tag", "p": p},
            "train": {"split": "train", "interventions": {"tag": {"share": {"positive": float(p), "negative": 0.0}}}},
            "tests": {"clean": {}, "reversed": {"interventions": {"tag": {"share": {"negative": 1.0}}}}},
        }
        for p in ("0", "0.5")
    ]
    names = ("train (tag · 0)", "train (tag · 0.5)", "clean", "reversed")
    assert said({"points": points}, *names) == {"train (tag · 0.5)": "tag on 0.50 of positive",
                                                 "reversed": "tag on 1.00 of negative"}  # fmt: skip
