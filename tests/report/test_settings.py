"""What an environment sets, in words: marks with each class's share of them, nothing of marks on no row."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.report.reading import tables_of

from assay.report.account import settings


def told(test: dict[str, Any]) -> str:
    spec = {"points": [{"tests": {"there": test}}]}
    return said(spec, "there").get("there", "")


def said(spec: dict[str, Any], *environments: str) -> dict[str, str]:
    rows = tuple({"environment": name} for name in environments)
    return settings(tables_of(environments=rows, provenance=({"key": "spec", "value": json.dumps(spec)},)))


@pytest.mark.parametrize(
    ("test", "words"),
    [
        ({"interventions": {"tag": {"share": {"positive": 0.0, "negative": 1.0}}}}, "tag on 1.00 of negative"),
        (
            {"interventions": {"tag": {"share": {"positive": 0.5, "negative": 0.25}}}},
            "tag on 0.50 of positive and 0.25 of negative",
        ),
        ({"interventions": {"tag": {"share": {"positive": 0.0, "negative": 0.0}}}}, ""),
        ({"interventions": {"hair": {"component": {"hair": {"count": 9}}}}}, "hair on 0.50 of images"),
        (
            {"interventions": {"tag": {"share": 0.2}}, "difficulty": {"margin": 0.7}},
            "tag on 0.20 of images; difficulty margin 0.7",
        ),
    ],
)
def test_marks_are_told_by_the_share_of_each_class(test: dict[str, Any], words: str) -> None:
    assert told(test) == words


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
