"""What stands on the page of where there is no lesion: which numbers, of which environment, in which order."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion
from tests.report.reading import tables_of

from assay.report.layout import Evidence, outline
from assay.report.sections.performance import cost
from assay.report.sections.segmentation import _ranks, by_kind, conventions, planes, trade  # pyright: ignore[reportPrivateUsage]
from assay.report.wording import measure_name
from assay.store.files import Row

NAN = math.nan
LOSSES = ("cross-entropy", "dice", "focal")
MATCHED = "false-positive-rate-at-90"
DICE = {"cross-entropy": 0.80, "dice": 0.84, "focal": 0.78}
ALARMS = {"cross-entropy": 0.10, "dice": 0.30, "focal": 0.12}
CONVENTIONS = {
    "dice": DICE,
    "dice-one": {"cross-entropy": 0.85, "dice": 0.60, "focal": 0.84},
    "dice-skip": {"cross-entropy": 0.70, "dice": 0.60, "focal": 0.69},
    "dice-smoothed": {"cross-entropy": 0.85, "dice": 0.61, "focal": 0.84},
    "dice-zero": {"cross-entropy": 0.40, "dice": 0.42, "focal": 0.39},
}
REGION = [[0.78, 0.05], [0.82, 0.05], [0.82, 0.15], [0.78, 0.15]]


def of_recipe(loss: str, epochs: str = "20") -> Row:
    return {"recipe": f"{loss} · {epochs}", "coordinates": json.dumps({"loss": loss, "epochs": epochs})}


def estimate(loss: str, measure: str, environment: str, value: float, epochs: str = "20") -> Row:
    return {
        **of_recipe(loss, epochs), "measure": measure, "environment": environment, "factor": "", "level": "",
        "layer": "", "group": "", "unit": "", "direction": "lower", "value": value, "low": value - 0.03,
        "high": value + 0.03, "standard_error": 0.01, "df": 6.0, "seeds": 5, "patients": 300, "images": 300,
        "chance": NAN, "reason": "",
    }  # fmt: skip


def both_budgets(measure: str, environment: str, values: Mapping[str, float]) -> list[Row]:
    """Estimates of every loss; at the budget that is not shown all are 0.05 less."""
    return [
        estimate(loss, measure, environment, value - shift, epochs)
        for loss, value in values.items()
        for epochs, shift in (("10", 0.05), ("20", 0.0))
    ]


def trades(region: Mapping[str, list[list[float]]]) -> list[Row]:
    where = {"across": "dice", "across_environment": "lesions", "up": MATCHED, "up_environment": "lesion-free"}
    return [
        {**of_recipe(loss, epochs), **where, "correlation": 0.4, "df": 4.5,
         "region": json.dumps(region.get(loss, [])), "seeds": 5, "reason": ""}
        for loss in LOSSES
        for epochs in ("10", "20")
    ]  # fmt: skip


def plane(loss: str, environment: str, rates: Mapping[tuple[float, float], float], epochs: str = "20") -> list[Row]:
    return [
        {**of_recipe(loss, epochs), "environment": environment, "threshold": threshold, "area": area, "value": value,
         "seeds": 5, "patients": 300, "images": 300}
        for (threshold, area), value in rates.items()
    ]  # fmt: skip


def evidence(**more: list[Row]) -> Evidence:
    """Three losses at two budgets, compared by false alarms at 20 epochs."""
    contrast = {"axis": "loss", "a": "dice", "b": "cross-entropy", "measure": MATCHED, "environment": "lesion-free",
                "where": '{"epochs": "20"}', "at": "equal-budget", "conclusion": "higher", "p_holm": 0.01,
                "p": 0.01}  # fmt: skip
    trials = [{**of_recipe(loss, epochs), "status": "done"} for loss in LOSSES for epochs in ("10", "20")]
    seeds = [
        {**row, "seed": seed, "value": row["value"] + 0.01 * (seed - 2)}
        for row in more.get("estimates", [])
        for seed in range(5)
    ]
    rows: dict[str, Any] = {name: tuple(found) for name, found in more.items()}
    tables = tables_of(contrasts=(contrast,), trials=tuple(trials), seeds=tuple(seeds), **rows)
    return Evidence(tables, outline(tables))


def traded(region: Mapping[str, list[list[float]]]) -> Evidence:
    measured = both_budgets("dice", "lesions", DICE) + both_budgets(MATCHED, "lesion-free", ALARMS)
    # Of other images, or of a part of them: never shown.
    measured += both_budgets("dice", "both", dict.fromkeys(LOSSES, 0.11))
    measured += [{**row, "factor": "size"} for row in both_budgets("dice", "lesions", dict.fromkeys(LOSSES, 0.22))]
    return evidence(estimates=measured, trades=trades(region))


def test_the_trade_shows_each_loss_once_where_its_two_values_are(snapshot: SnapshotAssertion) -> None:
    figure = trade(traded({}))
    assert figure is not None
    assert figure.alternative.count(" across, ") == len(LOSSES)
    assert (figure.title, figure.alternative) == snapshot
    assert [(row["measure"], row["value"]) for row in figure.rows][:2] == [("dice", 0.80), (MATCHED, 0.10)]


def test_a_seed_is_a_dot_at_both_of_its_values() -> None:
    figure = trade(traded({}))
    assert figure is not None
    path = next(found for found in re.findall(r'd="((?:M[\d.]+ [\d.]+h0)+)"', figure.wide))
    places = [tuple(map(float, pair.split())) for pair in re.findall(r"M([\d.]+ [\d.]+)h0", path)]
    assert len(places) == 5
    steps = {(b[0] > a[0], b[1] < a[1]) for a, b in pairwise(places)}
    assert steps == {(True, True)}  # to the right as Dice rises, upwards as alarms do


def test_the_front_holds_what_no_other_matches_both_ways(snapshot: SnapshotAssertion) -> None:
    """Focal is beaten by cross-entropy both ways; the two others each win one way."""
    figure = trade(traded({}))
    assert figure is not None
    assert figure.note == snapshot


def test_the_region_of_both_is_shaded_and_explained(snapshot: SnapshotAssertion) -> None:
    figure = trade(traded({"cross-entropy": REGION}))
    assert figure is not None
    shades = re.findall(r'd="M([^"]+)Z" fill="[^"]+" fill-opacity="0.1"', figure.wide)
    assert len(shades) == 1
    corners = [tuple(map(float, pair.split())) for pair in shades[0].split("L")]
    assert len(corners) == 4
    assert corners[0][0] == corners[3][0] < corners[1][0] == corners[2][0]
    assert corners[0][1] == corners[1][1] > corners[2][1] == corners[3][1]
    assert figure.note == snapshot


def test_regions_are_not_drawn_where_one_would_fill_the_figure(snapshot: SnapshotAssertion) -> None:
    everywhere = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]
    figure = trade(traded({"cross-entropy": REGION, "dice": everywhere}))
    assert figure is not None
    assert "fill-opacity" not in figure.wide
    assert figure.note == snapshot


def test_without_false_alarms_there_is_nothing_to_trade() -> None:
    assert trade(evidence(estimates=both_budgets("dice", "lesions", DICE))) is None
    silent = traded({})
    undefined = tuple({**row, "value": NAN} if row["measure"] == MATCHED else row for row in silent.tables.estimates)
    assert trade(Evidence(replace(silent.tables, estimates=undefined), silent.outline)) is None


def test_planes_are_of_the_images_compared_at_the_budget_shown(snapshot: SnapshotAssertion) -> None:
    rates = {(0.0, 0.0): 0.5, (0.0, 0.001): 0.25, (2.0, 0.0): 0.125, (3.0, 0.0): 0.99}
    rows = plane("dice", "both", dict.fromkeys(rates, 0.77)) + plane("dice", "lesion-free", rates)
    rows += plane("dice", "lesion-free", dict.fromkeys(rates, 0.88), epochs="10")
    figure = planes(evidence(planes=rows))
    assert figure is not None
    assert (figure.title, figure.alternative) == snapshot
    assert {(row["environment"], row["value"]) for row in figure.rows} == {
        ("lesion-free", value) for value in rates.values()
    }


def test_without_lesion_free_images_there_is_no_plane() -> None:
    assert planes(evidence()) is None


def test_conventions_stand_side_by_side_with_the_order_that_each_gives() -> None:
    response = [{**of_recipe(loss), "environment": "both", "false_positives": 0.5,
                 "sensitivity": 0.8} for loss in LOSSES]  # fmt: skip
    measured = [
        estimate(loss, measure, where, value + (0.0 if where == "both" else 0.1))
        for measure, values in CONVENTIONS.items()
        for loss, value in values.items()
        for where in ("lesions", "both")
    ]
    free = plane("dice", "both", {(0.0, 0.0): 0.5})
    found = conventions(evidence(estimates=measured, free_response=response, planes=free))
    assert found is not None
    assert found.heads[1:] == (
        "Dice", "Dice with empty pairs scored 1", "Dice without empty pairs", "Dice, smoothed",
        "Dice with empty pairs scored 0", "rank under each",
    )  # fmt: skip
    cells = {line.cells[0].text: [cell.text for cell in line.cells[1:]] for line in found.lines}
    assert cells["dice · 20"] == [
        "0.84 [0.81, 0.87]", "0.60 [0.57, 0.63]", "0.60 [0.57, 0.63]", "0.61 [0.58, 0.64]", "0.42 [0.39, 0.45]",
        "1, 3, 3, 3, 1",
    ]  # fmt: skip
    assert cells["cross-entropy · 20"][-1] == "2, 1, 1, 1, 2"
    assert cells["focal · 20"][-1] == "3, 2, 2, 2, 3"
    assert "of the images of both" in found.note


def test_ranks_are_shared_by_equals_and_what_has_no_value_has_none() -> None:
    rows = {name: {"value": value} for name, value in {"a": 0.5, "b": math.nan, "c": 0.9, "d": 0.5}.items()}
    assert _ranks(rows) == {"a": 2, "c": 1, "d": 2}


@pytest.mark.parametrize("kept", [(), ("dice",)])
def test_one_convention_alone_needs_no_table(kept: tuple[str, ...]) -> None:
    rows = [estimate(loss, name, "both", value) for name in kept for loss, value in CONVENTIONS[name].items()]
    response = [{**of_recipe("dice"), "environment": "both", "false_positives": 0.5,
                 "sensitivity": 0.8}]  # fmt: skip
    assert conventions(evidence(estimates=rows, free_response=response)) is None


def test_an_environment_in_which_a_measure_can_have_no_value_is_not_drawn() -> None:
    alarms = both_budgets(MATCHED, "lesion-free", ALARMS)
    none = [{**row, "environment": "lesions", "value": math.nan, "low": math.nan, "high": math.nan} for row in alarms]
    drawn = cost(evidence(estimates=[*none, *alarms]))
    assert drawn is not None
    assert drawn.title.casefold() == f"{measure_name(MATCHED)} in lesion-free"
    assert "undefined" not in drawn.note


def of_kind(loss: str, kind: str, dice: float, found: float, false: float) -> list[Row]:
    values = {"dice": dice, "lesion-sensitivity": found, "false-positives-per-image": false}
    return [{**estimate(loss, measure, "lesions", value), "level": kind} for measure, value in values.items()]


def test_each_kind_of_lesion_has_a_line_with_what_is_found_and_what_is_false(snapshot: SnapshotAssertion) -> None:
    measured = of_kind("dice", "polyp", 0.81, 0.91, 1.25) + of_kind("dice", "ulcer", 0.42, NAN, 0.5)
    measured += both_budgets("dice", "lesions", DICE)  # of any kind
    measured += [{**row, "factor": "size", "level": "low"} for row in both_budgets("dice", "lesions", DICE)]
    table = by_kind(evidence(estimates=measured))
    assert table is not None
    lines = [[cell.text for cell in line.cells] for line in table.lines]
    assert [line[1] for line in lines] == ["polyp", "ulcer"]
    assert [[cell.split(" [")[0] for cell in line[2:5]] for line in lines] == [
        ["0.81", "0.91", "1.25"],
        ["0.42", "undefined", "0.50"],
    ]
    assert table.note == snapshot


def test_without_kinds_there_is_no_table_of_them() -> None:
    assert by_kind(evidence(estimates=both_budgets("dice", "lesions", DICE))) is None
