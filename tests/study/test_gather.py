"""From records to panels and values per seed: what seeds must agree on, and what folds must all have."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from tests.worlds.environments import make_probe
from tests.worlds.measured import KEY_FIELDS, by_column, measurements

from assay.core.reasons import parse_reason, reason_in_words
from assay.plugin import Code, Contributions, Measurement, Reason, StoreError
from assay.report.sentences.reasons import reason_words
from assay.stats import ModelPredictions
from assay.study.gathered import panel_of
from assay.study.measurements import average_folds, joined_tables, values_of_seeds
from assay.study.tables import scalar_rows
from assay.testing.probe import table

CONTRIBUTIONS = "contributions"
FLIPS = ("flip-rate", "", "texture", "", "", "")


def said(rows: list[int], **changes: list[int]) -> dict[str, np.ndarray]:
    row = np.array(rows)
    columns = {"row": row, "patient": row // 2, "target": row % 2, "fold": 0 * row, **changes}
    logits = np.stack([0.0 * row, row - 2.5], axis=1)
    return {name: np.asarray(column) for name, column in columns.items()} | {
        "logits": logits,
        "threshold": np.full(len(row), 0.4),
    }


def test_seeds_may_answer_different_rows_in_any_order() -> None:
    panel = panel_of({3: said([0, 1, 2]), 5: said([4, 2])}, "plain in reversed")
    assert panel.seed_ids.tolist() == [3, 5]
    assert panel.target.tolist() == [0, 1, 0, 0]
    assert panel.patient.tolist() == [0, 0, 1, 2]
    answers, patient = panel.predictions_of_seed(1)
    assert answers.logits[:, 1].tolist() == [-0.5, 1.5]
    assert patient.tolist() == [1, 2]


@pytest.mark.parametrize("name", ["target", "patient"])
def test_seeds_must_agree_on_what_a_row_is(name: str) -> None:
    with pytest.raises(StoreError, match=f"plain in reversed: seed 5 has another {name} than earlier seeds for 1 rows"):
        panel_of({3: said([0, 1, 2]), 5: said([2, 4], **{name: [9, said([4])[name][0]]})}, "plain in reversed")


def measured(value: float, **changes: object) -> dict[str, Any]:
    found = Measurement(
        "decodability", value, group="trained", n=10, patients=4, standard_error=0.3, reason=reason_in_words("x")
    )
    return {one.name: getattr(replace(found, **changes), one.name) for one in fields(found)}  # type: ignore[arg-type]


def together(*folds: dict[str, Any] | None) -> dict[str, Any]:
    key = tuple(next(row for row in folds if row)[name] for name in KEY_FIELDS)
    return average_folds(key, [{} if row is None else {key: row} for row in folds])  # type: ignore[arg-type]


def test_folds_are_averaged_with_their_errors_and_counts() -> None:
    row = together(measured(0.6), measured(0.8))
    assert (row["value"], row["n"], row["patients"], reason_words(row["reason"])) == (pytest.approx(0.7), 20, 8, "x")
    assert row["standard_error"] == pytest.approx(0.3 / math.sqrt(2))


def rests_on(samples: list[int], values: list[float]) -> dict[str, object]:
    found = Contributions(np.array(samples), np.array(values))
    return {CONTRIBUTIONS: lambda _: found, "standard_error": found.standard_error}


def test_seeds_are_laid_together_by_their_samples() -> None:
    rows = {
        4: {**measured(0.6), **rests_on([1, 2], [0.2, -0.2])},
        7: {**measured(0.8), **rests_on([2, 5], [0.3, -0.3])},
    }
    found = values_of_seeds(by_column({FLIPS: rows}), "plain")
    assert (found.seeds.tolist(), found.patients.tolist()) == ([4, 7], [1, 2, 5])
    np.testing.assert_array_equal(found.contributions, [[0.2, -0.2, 0.0], [0.0, 0.3, -0.3]])
    # one seed has none: all count by their errors
    lacking = values_of_seeds(by_column({FLIPS: {**rows, 9: measured(0.7)}}), "plain")
    np.testing.assert_allclose((lacking.contributions**2).sum(axis=1), [0.08, 0.18, 0.09])
    assert (lacking.patients < 0).all()
    other = values_of_seeds(by_column({FLIPS: {9: measured(0.7)}}), "supcon")
    assert not set(lacking.patients) & set(other.patients)


@pytest.mark.parametrize(
    ("errors", "half", "reason"),
    [
        ((0.4, math.nan, 0.4), math.nan, Reason.of(Code.UNKNOWN_ERROR)),
        ((math.nan,) * 3, 4.302653 * math.sqrt(0.01 / 3), Reason()),  # Student's t of 2 degrees of freedom
    ],
)
def test_an_error_that_one_seed_lacks_is_a_reason(errors: tuple[float, ...], half: float, reason: Reason) -> None:
    values = zip((0.5, 0.6, 0.7), errors, strict=True)
    rows = [measured(value, standard_error=error, measure="flip-rate", reason="") for value, error in values]
    (row,) = scalar_rows([({"measure": "flip-rate"}, by_column({FLIPS: dict(enumerate(rows))}))])
    assert (row["value"], parse_reason(row["reason"])) == (pytest.approx(0.6), reason)
    assert row["high"] == pytest.approx(expit(logit(0.6) + half / (0.6 * 0.4)), nan_ok=True)  # on the logit scale


def test_a_value_that_one_seed_lacks_is_not_averaged_over_the_others() -> None:
    rows = [measured(value, reason="") for value in (0.5, 0.6, 0.7)] + [
        measured(math.nan, reason=str(reason_in_words("constant layer")))
    ]
    (row,) = scalar_rows([({"measure": "flip-rate"}, by_column({FLIPS: dict(enumerate(rows))}))])
    assert math.isnan(row["value"])
    assert math.isnan(row["low"])
    expected = Reason.of(Code.UNDEFINED_SEEDS, count=1, seeds=4) + reason_in_words("constant layer")
    assert (row["seeds"], parse_reason(row["reason"])) == (4, expected)


def test_a_fold_that_lacks_a_value_is_not_averaged_away() -> None:
    row = together(measured(0.6, reason=""), None, measured(0.8, reason=""))
    assert math.isnan(row["value"])
    assert row["reason"] == str(Reason.of(Code.MISSING_FOLDS, count=2, folds=3))
    assert math.isnan(together(measured(0.6), measured(math.nan))["value"])


def of_two_seeds(*rows: dict[str, Any]) -> dict[str, Any]:
    """The measurement of the second seed."""
    return measurements({FLIPS: dict(enumerate(rows))})[FLIPS][1]


def test_what_folds_measured_in_two_ways_is_not_averaged() -> None:
    within, over = measured(0.6, unit="AUROC within class"), measured(0.8, unit="AUROC")
    for row in (together(within, over, over), of_two_seeds(within, over)):
        assert math.isnan(row["value"])
        cause = parse_reason(row["reason"]).first(Code.MIXED_UNITS)
        assert cause is not None
        assert cause["units"] == "AUROC and some AUROC within class"
    assert of_two_seeds(over, over)["value"] == 0.8
    lost = of_two_seeds(over, measured(math.nan, unit=""))  # what is undefined may have no unit
    assert math.isnan(lost["value"])
    assert reason_words(lost["reason"]) == "x"


def test_the_worst_group_is_one_place_for_all_seeds() -> None:
    """Two groups whose values cross: the mean of each seed's least is 0.5, and neither group is so bad."""
    values = {"a": (0.5, 0.9, 0.8), "b": (0.9, 0.5, 0.5), "small": (0.1, 0.1, 0.1), "holed": (0.0, math.nan, 0.0)}
    images = {"a": 20, "b": 20, "small": 19, "holed": 20}
    every: dict[Any, dict[int, dict[str, Any]]] = {}
    for level, by_seed in values.items():
        place = {"measure": "auroc", "environment": "x", "factor": "site", "level": level, "group": ""}
        rows = {s: measured(value, **place, n=images[level]) for s, value in enumerate(by_seed)}
        every["auroc", "x", "site", level, "", ""] = rows
    key: Any = ("auroc", "x", "", "", "", "worst group")
    least = {s: measured(0.5, measure="auroc", environment="x", group="worst group") for s in range(3)}
    found = measurements({**every, key: least}, 20)
    assert found.column(key, "value") == [0.9, 0.5, 0.5]
    assert {(row["seed"], reason_words(row["reason"])) for row in found[key]} == {(s, "in site b") for s in range(3)}
    for place in every:
        np.testing.assert_array_equal(found.column(place, "value"), values[place[3]])
    none = measurements({**every, key: least}, 21)[key]
    assert math.isnan(none[0]["value"])
    assert none[0]["reason"] == str(Reason.of(Code.NO_COMMON_GROUP))


def worst(found: list[Measurement]) -> float:
    return next(m.value for m in found if m.group == "worst group" and m.measure == "accuracy")


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**16))
def test_the_worst_group_of_all_folds_is_that_of_all_rows(seed: int) -> None:
    """Against cells counted by hand, of a model at chance, whose folds have worse groups for their smallness alone."""
    made = table(240, seed, {"tag": 0.5})
    made = replace(made, factors=tuple(factor for factor in made.factors if factor.levels))
    logits = np.random.default_rng(seed).normal(size=(len(made), 2))
    parts = [np.flatnonzero(made.row % 4 == k) for k in range(4)]
    whole, order = joined_tables([made.take(part) for part in parts]), np.concatenate(parts)
    assert whole.row.tolist() == made.row[order].tolist()
    answers = ModelPredictions(logits[order], whole.target, np.full(len(order), 0.5), whole.fold)

    probe = make_probe("performance", smallest_group=1)
    right = logits.argmax(axis=1) == made.target
    cells = [
        right[(made.columns[factor.name] == code) & (made.target == label)]
        for factor in made.factors
        for code in range(len(factor.levels))
        for label in (0, 1)
    ]
    pooled = worst(probe.describe({"same": (answers, whole)}, whole))
    assert pooled == pytest.approx(min(cell.mean() for cell in cells if len(cell)))
    split = [
        worst(probe.describe({"same": (ModelPredictions(logits[part], made.target[part]), made.take(part))}, made))
        for part in parts
    ]
    assert np.mean(split) < pooled
