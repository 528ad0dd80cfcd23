"""Tables of a publication: their names are checked, their cells found, and their seeds tested by permutation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from scipy import stats

from assay.cli.results import _published_cells
from assay.core.files import canonical_json
from assay.plugin import SpecError
from assay.spec.parse import parse_study
from assay.spec.schema import StudySpec
from assay.store.files import ColumnRows
from assay.study import published

COLUMN = {"name": "AUROC", "measure": "auroc", "environment": "same", "where": {"epochs": 2}}
TABLE = {"title": "Losses", "source": "Somebody 2020", "rows": "loss"}


def study(
    columns: Sequence[Mapping[str, Any]] = (COLUMN,), losses: Sequence[str] = ("cross-entropy", "focal"), **table: Any
) -> StudySpec:
    return parse_study(
        {
            "name": "published",
            "data": {"phantom": "nodule", "size": 32, "core": "margin"},
            "environments": {"train": {}, "same": {}},
            "recipe": {"loss": [*losses], "epochs": [1, 2], "batch_size": 8},
            "published": [{**TABLE, "columns": [*columns], **table}],
        }
    )


def estimate(id: str, value: float, loss: str, epochs: int = 2, measure: str = "auroc", **more: str) -> dict[str, Any]:
    place = {"environment": "same", "factor": "", "level": "", "layer": "", "group": ""}
    at = canonical_json({"loss": loss, "epochs": str(epochs)})
    return {
        "id": id,
        "measure": measure,
        "coordinates": at,
        **place,
        **more,
        "value": value,
        "low": value - 0.1,
        "high": value + 0.1,
    }


def seeds(**values: Sequence[float]) -> ColumnRows:
    every = [(id, seed, value) for id, each in values.items() for seed, value in enumerate(each)]
    ids, numbers, found = (list(column) for column in zip(*every, strict=True))
    return ColumnRows({"id": ids, "seed": numbers, "value": found})


@pytest.mark.parametrize(
    ("column", "table", "said"),
    [
        ({}, {"rows": "los"}, "no such axis, and neither layer nor level: did you mean 'loss'?"),
        ({"where": {"epoch": 2}}, {}, "did you mean 'epochs'?"),
        ({"where": {"epochs": 3}}, {}, "not a value of axis 'epochs'"),
        ({"where": {"batch_size": 16}}, {}, "recipe.batch_size is 8 in this study, and no axis"),
        ({"values": {"dice": 0.5}}, {}, "none of these rows is a value of axis 'loss'"),
        ({"against": "accuracy"}, {}, "no other column of this table has this name"),
        ({"measure": "aurocs"}, {}, "no such measure"),
        ({"environment": "sam"}, {}, "did you mean 'same'?"),
    ],
)
def test_a_wrong_name_is_one_sentence(column: dict[str, Any], table: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError) as refused:
        study([{**COLUMN, **column}], **table)
    assert said in str(refused.value)
    assert str(refused.value).count("published[0]") == 1


def test_a_field_that_is_no_axis_may_be_named_with_its_value() -> None:
    (table,) = study([{**COLUMN, "where": {"recipe.epochs": 2, "batch_size": 8}}]).published
    assert table.columns[0].where == {"epochs": "2"}


def test_cells_are_of_the_named_recipe_and_the_others_are_not_run() -> None:
    spec = study([{**COLUMN, "values": {"focal": 0.8, "dice": 0.7}}])
    estimates = [estimate("a", 0.1, "focal", epochs=1), estimate("b", 0.6, "focal"),
                 estimate("c", 0.2, "focal", group="old")]  # fmt: skip
    found = {row["row"]: row for row in published.published_rows(spec, estimates, seeds(b=[0.5, 0.7]))}
    assert {name: row["published"] for name, row in found.items() if row["row"] != "cross-entropy"} == {
        "focal": 0.8,
        "dice": 0.7,
    }
    assert (found["focal"]["value"], found["focal"]["seeds"]) == (0.6, "0.500 0.700")
    assert math.isnan(found["dice"]["value"])
    assert found["dice"]["seeds"] == ""


def test_no_other_recipe_stands_in_for_the_first_one_where_that_has_no_estimate() -> None:
    spec = study([{**COLUMN, "where": {}, "values": {"focal": 0.8, "cross-entropy": 0.7}}])
    estimates = [estimate("a", 0.6, "focal", epochs=2), estimate("b", 0.5, "cross-entropy", epochs=1)]
    found = {row["row"]: row for row in published.published_rows(spec, estimates, seeds(a=[0.6], b=[0.5]))}
    assert (math.isnan(found["focal"]["value"]), found["focal"]["seeds"]) == (True, "")
    assert found["cross-entropy"]["value"] == 0.5
    assert published.order_rows(spec, estimates, []) == [], "one recipe has no order"


def test_a_value_that_is_undefined_is_not_called_not_run() -> None:
    estimates = [estimate("a", math.nan, "focal"), estimate("b", 0.5, "focal", epochs=1)]
    other = {**COLUMN, "name": "after one", "where": {"epochs": 1}}
    values = seeds(a=[math.nan, math.nan, 0.4], b=[0.5, 0.6, 0.7])
    rows = published.published_rows(study([{**COLUMN, "against": "after one"}, other]), estimates, values)
    (found,) = (row for row in rows if (row["row"], row["column"]) == ("focal", "AUROC"))
    assert (found["seeds"], math.isnan(found["p"])) == ("nan nan 0.400", True)
    heads = ["this run", "seeds of AUROC", "p, against after one"]
    assert _published_cells(found, heads)[0] == "undefined"
    assert _published_cells({**found, "seeds": ""}, heads)[0] == "not run"


def test_rows_are_layers_and_ranks_of_a_spectrum() -> None:
    share = {"measure": "eigenvalue-share-maps", "group": "trained"}
    estimates = [
        estimate("a", 3.0, "focal", measure="condition-number-maps", layer="trunk.conv1", group="trained"),
        estimate("b", 5.0, "focal", measure="condition-number-maps", layer="trunk", group="trained"),
        estimate("c", 9.0, "focal", measure="condition-number-maps", layer="trunk", group="untrained"),
        *(estimate(f"d{rank}", 1 / int(rank), "focal", layer="trunk.conv1", level=rank, **share) for rank in "12"),
    ]
    own = {"name": "focal", "environment": "same", "where": {"loss": "focal", "epochs": 2}, "group": "trained"}
    values = seeds(a=[3.0])
    layers = published.published_rows(
        study([{**own, "measure": "condition-number-maps"}], rows="layer"), estimates, values
    )
    assert {row["row"]: row["value"] for row in layers} == {"trunk.conv1": 3.0, "trunk": 5.0}
    spectrum = study([{**own, "measure": "eigenvalue-share-maps", "layer": "trunk.conv1"}], rows="level")
    assert {row["row"]: row["value"] for row in published.published_rows(spectrum, estimates, values)} == {
        "1": 1.0,
        "2": 0.5,
    }


def test_columns_are_compared_row_by_row_over_their_seeds() -> None:
    other = {**COLUMN, "name": "after one", "where": {"epochs": 1}}
    estimates = [estimate("a", 0.2, "focal", epochs=1), estimate("b", 0.8, "focal")]
    spec = study([{**COLUMN, "against": "after one"}, other])
    rows = published.published_rows(spec, estimates, seeds(a=[0.1, 0.2, 0.3], b=[0.7, 0.8, 0.9]))
    found = {(row["row"], row["column"]): row["p"] for row in rows}
    assert found["focal", "AUROC"] == pytest.approx(2 / 20)
    assert math.isnan(found["cross-entropy", "AUROC"])
    assert math.isnan(found["focal", "after one"])


def test_five_folds_against_five_that_lie_apart_have_the_smallest_p_of_252_divisions() -> None:
    assert published.permutation_p([1, 2, 3, 4, 5], [11, 12, 13, 14, 15]) == pytest.approx(2 / 252)
    assert math.isnan(published.permutation_p([1], [2, 3]))


def test_the_p_value_is_the_share_of_divisions_that_lie_as_far_apart() -> None:
    first, second = np.random.default_rng(3).normal([[0.8], [0]], size=(2, 5))
    every = np.concatenate([first, second])
    apart = [every[list(one)].mean() - np.delete(every, one).mean() for one in combinations(range(10), 5)]
    by_hand = np.mean(np.abs(apart) >= abs(first.mean() - second.mean()) - 1e-12)
    found = published.permutation_p(first.tolist(), second.tolist())
    assert found == pytest.approx(by_hand)
    independent = stats.permutation_test((first, second), lambda a, b: np.mean(a) - np.mean(b), n_resamples=np.inf)
    assert found == pytest.approx(independent.pvalue)


def compared(a: str, decision: str, low: float = -0.1, high: float = 0.1, **more: Any) -> dict[str, Any]:
    place = {"axis": "loss", "at": "equal-budget", "measure": "auroc", "environment": "same", "factor": "", "layer": ""}
    where = canonical_json({"epochs": "2"})
    found = {"low": low, "high": high, "decision": decision}
    return {**place, "a": a, "b": "cross-entropy", "where": where, **found, **more}


FOUR = {"cross-entropy": 0.9, "focal": 0.8, "supcon": 0.7, "triplet": 0.6}


def order_of(values: Mapping[str, float], contrasts: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    spec = study([{**COLUMN, "values": FOUR}], [*FOUR])
    estimates = [estimate(loss, value, loss) for loss, value in values.items()]
    (row,) = published.order_rows(spec, estimates, contrasts)
    return row


def test_the_order_of_a_published_column_is_held_against_that_of_the_run() -> None:
    tests = [compared("focal", "lower-small"), compared("supcon", "inconclusive", -0.2, -0.1),
             compared("triplet", "higher"), compared("triplet", "lower", at="matched-fit"),
             compared("supcon", "lower", where="{}"), compared("supcon", "lower", environment="other"),
             compared("supcon", "", math.nan, math.nan)]  # fmt: skip
    row = order_of({"cross-entropy": 0.8, "focal": 0.6, "supcon": 0.75, "triplet": 0.85}, tests)
    counts = {"rows": 4, "pairs": 6, "same": 2, "compared": 3, "same_shown": 1, "other_shown": 1}
    assert {name: row[name] for name in counts} == counts
    assert (row["table"], row["column"], row["measure"]) == ("Losses", "AUROC", "auroc")


@pytest.mark.parametrize("drawn", range(5))
def test_rank_agreement_is_kendalls_tau_b(drawn: int) -> None:
    values = dict(zip(FOUR, np.random.default_rng(drawn).integers(0, 3, 4) / 10, strict=True))
    tau = float(stats.kendalltau(list(FOUR.values()), list(values.values())).statistic)
    assert order_of(values)["tau"] == pytest.approx(tau, nan_ok=True)


def test_an_order_needs_two_rows_with_both_figures() -> None:
    spec = study([{**COLUMN, "values": FOUR}], [*FOUR])
    assert published.order_rows(spec, [estimate("a", 0.5, "focal"), estimate("b", math.nan, "triplet")], []) == []
