"""Corruption errors of a study's recipes against those that share all but one axis."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from assay.report.sentences.reasons import reason_words
from assay.stats.corruption import corruption_rows

CORRUPTION = "corruption-error"
EVERY = "all families"
RELATIVE = "relative-corruption-error"


def row(start: str, family: str, level: str, value: float, **more: Any) -> dict[str, Any]:
    at = {"initialization": start, "finetuning": more.pop("finetuning", "full")}
    return {
        "recipe": " · ".join(at.values()),
        "coordinates": json.dumps(at),
        "measure": "distorted-error",
        "environment": "same",
        "factor": family,
        "level": level,
        "group": "",
        "unit": "",
        "direction": "lower",
        "value": value,
        "low": value - 0.1,
        "high": value + 0.1,
        "standard_error": 0.04,
        "df": 3.0,
        "chance": math.nan,
        "seeds": 3,
        "patients": 100,
        "images": 100,
        "reason": "",
        **more,
    }


def errors(start: str, fog: tuple[float, float], snow: tuple[float, float], **more: Any) -> list[dict[str, Any]]:
    given = [("fog", fog), ("snow", snow)]
    rows = [
        row(start, name, level, value, **more) for name, two in given for level, value in zip("35", two, strict=True)
    ]
    return [*rows, row(start, "fog", "", 9.0, **more)]  # the mean over severities is not one of the terms


def values(rows: list[dict[str, Any]]) -> dict[tuple[str, str], float]:
    return {(one["recipe"], one["factor"]): one["value"] for one in rows}


def test_a_ratio_is_of_sums_over_severities_and_the_mean_is_over_families() -> None:
    found = corruption_rows(
        [*errors("random", (0.2, 0.6), (0.1, 0.1)), *errors("pictures", (0.1, 0.1), (0.1, 0.2))],
        "initialization",
        "random",
    )
    own = {family: value for (recipe, family), value in values(found).items() if recipe == "pictures · full"}
    assert own == pytest.approx({"fog": 0.2 / 0.8, "snow": 0.3 / 0.2, EVERY: (0.25 + 1.5) / 2})
    baseline = {value for (recipe, _), value in values(found).items() if recipe == "random · full"}
    assert baseline == {1.0}


def test_the_relative_one_is_of_the_increase_over_clean_images() -> None:
    """Random makes 0.2 errors on clean images, pictures 0.05."""
    given = [*errors("random", (0.2, 0.6), (0.3, 0.3)), *errors("pictures", (0.1, 0.1), (0.1, 0.2))]
    clean = {"random": 0.2, "pictures": 0.05}
    increase = [
        {**one, "measure": "distorted-error-increase", "value": one["value"] - clean[one["recipe"].split(" ")[0]]}
        for one in given
    ]
    found = corruption_rows([*given, *increase], "initialization", "random")
    relative = [one for one in found if one["measure"] == RELATIVE and one["recipe"] == "pictures · full"]
    own = {one["factor"]: one["value"] for one in relative}
    assert own == pytest.approx({"fog": 0.1 / 0.4, "snow": 0.2 / 0.2, EVERY: (0.25 + 1) / 2})
    assert {one["measure"] for one in found} == {CORRUPTION, RELATIVE}
    assert {one["level"] for one in found} == {""}


@pytest.mark.parametrize(("low", "defined"), [(0.01, True), (0.0, False), (-0.03, False), (math.nan, False)])
def test_a_baseline_whose_errors_may_not_increase_at_all_has_no_relative_one(low: float, defined: bool) -> None:
    rows = [
        row(start, "fog", level, value, measure="distorted-error-increase", low=low)
        for start, value in (("random", 0.001), ("pictures", 0.2))
        for level in ("3", "5", "")
    ]
    found = [one for one in corruption_rows(rows, "initialization", "random") if one["recipe"] == "pictures · full"]
    assert [one["factor"] for one in found] == ["fog", EVERY]
    for one in found:
        assert one["value"] == pytest.approx(200) if defined else math.isnan(one["value"])
        why = "the interval of the increase in the baseline's error includes 0"
        if math.isnan(low):
            why = "no interval shows whether the baseline's error increases"
        assert reason_words(one["reason"]) == ("" if defined else why)


def test_without_a_baseline_there_is_no_row() -> None:
    rows = errors("pictures", (0.1, 0.1), (0.1, 0.1))
    assert corruption_rows(rows, "initialization", "random") == []
    assert corruption_rows(rows, "loss", "cross-entropy") == []
    lacking = [one for one in errors("random", (0.1, 0.1), (0.1, 0.1)) if one["level"] != "5"]
    assert all(
        one["recipe"] == "random · full" for one in corruption_rows([*rows, *lacking], "initialization", "random")
    )


@pytest.mark.parametrize(
    ("fog", "said"), [((0.0, 0.0), "the baseline makes no error"), ((math.nan, 0.1), "an error is undefined")]
)
def test_an_undefined_family_leaves_no_mean(fog: tuple[float, float], said: str) -> None:
    rows = [*errors("random", fog, (0.2, 0.2)), *errors("pictures", (0.1, 0.1), (0.1, 0.1))]
    found = {
        one["factor"]: one for one in corruption_rows(rows, "initialization", "random") if "pictures" in one["recipe"]
    }
    assert [math.isnan(found[name]["value"]) for name in ("fog", "snow", EVERY)] == [True, False, True]
    assert [reason_words(found[name]["reason"]) for name in ("fog", "snow", EVERY)] == [said, "", said]
