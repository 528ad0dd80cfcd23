"""What figures show: the axis compared, the slice held, every seed and interval where it belongs."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion
from tests.report.reading import evidence_in, evidence_of
from tests.worlds.tables import LEVELS, Made, make_run

from assay.core.reasons import Code, because
from assay.report.charts import draw_curves, draw_strips
from assay.report.drawing import Mark, Panel, Plot, Reference, styles
from assay.report.layout import greatest, sides, some_levels
from assay.report.sections import performance, reliance
from assay.report.sheets import PLAIN, as_csv
from assay.stats.findings import Family, Kind, from_row
from assay.stats.format import in_words
from assay.store import schema
from assay.store.folder import RunFolder


def plot_of(*marks: Mark, limits: tuple[float, float] = (0.0, 1.0), positions: tuple[str, ...] = ()) -> Plot:
    levels = tuple(dict.fromkeys(mark.level for mark in marks))
    panel = Panel("there", marks, (Reference.level("chance", 0.5),))
    return Plot((panel,), levels, styles(levels), "AUROC", limits, positions, "epochs")


def test_the_compared_axis_is_that_of_the_contrasts(tmp_path: Path) -> None:
    view = evidence_of(tmp_path, Made(pictures=False)).outline
    assert view.axis == "loss"
    assert view.levels == tuple(LEVELS)
    assert view.held == {"epochs": "20"}
    assert view.budgets == ("10", "20", "40")
    assert view.measure == "auroc"


def test_without_contrasts_the_longest_axis_is_compared(tmp_path: Path) -> None:
    view = evidence_of(tmp_path, Made(pictures=False, contrasts=False)).outline
    assert (view.axis, view.held) == ("loss", {"epochs": "40"})


def test_an_axis_of_budgets_alone_is_compared(tmp_path: Path) -> None:
    made = Made(losses=("cross-entropy",), contrasts=False, pictures=False)
    view = evidence_of(tmp_path, made).outline
    assert (view.axis, view.levels, view.budgets) == ("epochs", ("10", "20", "40"), ())


def test_a_single_recipe_is_its_own_level(tmp_path: Path) -> None:
    view = evidence_of(tmp_path, Made(losses=("arcface",), budgets=("20",), contrasts=False, pictures=False)).outline
    assert (view.axis, view.levels) == ("", ("arcface",))


def test_titles_say_what_is_seen(tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    evidence = evidence_of(tmp_path, Made(pictures=False))
    cost, relied, budgets = performance.cost(evidence), reliance.relied_on(evidence), performance.by_budget(evidence)
    assert cost is not None
    assert relied is not None
    assert budgets is not None
    assert {"cost": cost.title, "relied on": relied.title, "budgets": budgets.title} == snapshot
    assert "At epochs 20." in cost.note
    assert "4 to 5 seeds, 1,000 patients." in cost.note


def test_a_title_says_of_how_many_inputs_its_greatest_is(tmp_path: Path) -> None:
    root = make_run(tmp_path, Made(pictures=False))
    known = reliance.relied_on(evidence_in(root))
    assert known is not None
    folder = RunFolder(root)
    unknown = {"value": math.nan, "low": math.nan, "high": math.nan, "reason": "the factor has one value"}
    rows = [
        {**row, **unknown} if row["measure"] == "sobol-total" and row["factor"] == "size" else row
        for row in folder.table("estimates")
    ]
    folder.write_table("estimates", schema.ESTIMATES.names, rows)
    evidence = evidence_in(root)
    for figure in (reliance.relied_on(evidence), reliance.by_factor(evidence)):
        assert figure is not None
        assert figure.title == f"{known.title} (of 7 of 8 inputs)"
        assert "No value for size." in figure.note


def test_factors_are_the_rows_of_one_figure_with_a_panel_per_measure(tmp_path: Path) -> None:
    evidence = evidence_of(tmp_path, Made(pictures=False))
    figure = reliance.by_factor(evidence)
    assert figure is not None
    assert {row["measure"] for row in figure.rows} == {"sobol-total", "flip-rate", "logit-effect"}
    heads = re.findall(r'font-weight="600">([^<]*)<', figure.wide)
    assert 3 <= len(heads) <= 9  # lines of three titles
    rows: dict[str, list[float]] = {row["factor"]: [] for row in figure.rows}
    for row in figure.rows:
        if row["measure"] == "sobol-total" and row["value"] == row["value"]:
            rows[row["factor"]].append(abs(row["value"]))
    names = re.findall(r'<text x="0" y="([\d.]+)"[^>]*>([^<]+)<', figure.wide)
    drawn = [name for _, name in names if name in {in_words(factor) for factor in rows}]
    assert len(drawn) == len(set(drawn)) == len(rows)
    most = max(rows, key=lambda factor: sum(rows[factor]) / max(len(rows[factor]), 1))
    assert drawn[0] == in_words(most)


def test_few_factors_are_encoded_at_first_sight_and_all_of_them_once(tmp_path: Path) -> None:
    evidence = evidence_of(tmp_path, Made(pictures=False))
    shown, rest = reliance.by_layer(evidence)
    assert (shown.folded, rest.folded) == (False, True)
    factors = [{row["factor"] for row in figure.rows} for figure in (shown, rest)]
    assert len(factors[0]) == reliance.MOST_ENCODED
    assert not factors[0] & factors[1]
    assert factors[0] | factors[1] == {row["factor"] for row in evidence.estimates("decodability", lambda _: True)}


def test_titles_claim_no_order_that_no_interval_shows(tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    evidence = evidence_of(tmp_path, Made(pictures=False, seeds=2))
    cost, relied, budgets = performance.cost(evidence), reliance.relied_on(evidence), performance.by_budget(evidence)
    assert cost is not None
    assert relied is not None
    assert budgets is not None
    assert {"cost": cost.title, "relied on": relied.title, "budgets": budgets.title} == snapshot


def row(value: float, low: float, high: float, reason: str = "") -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "reason": reason}


def test_the_greatest_lies_above_all_others() -> None:
    margin, texture = row(0.7, 0.6, 0.8), row(0.3, 0.2, 0.4)
    assert greatest({"margin": margin, "texture": texture}) == "margin"
    assert greatest({"margin": row(0.5, 0.35, 0.65), "texture": texture}) == ""
    assert greatest({"margin": row(-0.7, -0.8, -0.6), "texture": texture}) == "margin"
    assert greatest({"margin": row(0.7, math.nan, math.nan), "texture": texture}) == ""
    still = row(0.0, math.nan, math.nan, str(because(Code.NO_VARIATION)))
    assert greatest({"margin": row(0.7, 0.6, 0.8), "texture": still}) == "margin"
    unsure = str(because(Code.NOT_CONVERGED_ERROR, error=0.06, tolerance=0.05))
    assert greatest({"margin": row(0.7, 0.6, 0.8, unsure), "texture": texture}) == ""
    assert greatest({"margin": margin}) == ""
    assert greatest({"margin": margin, "texture": texture, "size": row(math.nan, math.nan, math.nan)}) == ""


def test_a_side_is_claimed_only_where_no_pair_lies_on_the_other() -> None:
    low, middle, high = row(0.2, 0.1, 0.3), row(0.5, 0.25, 0.75), row(0.8, 0.7, 0.9)
    assert sides([(low, high), (low, high), (low, middle)]) == ("lower", 2)
    assert sides([(high, low)]) == ("higher", 1)
    assert sides([(low, high), (high, low)]) == ("", 0)
    assert sides([(low, high), (low, high), (high, low)]) == ("", 0)
    assert sides([(low, middle)]) == ("", 0)
    assert sides([]) == ("", 0)


def test_the_core_and_the_tied_factors_are_always_shown_first(tmp_path: Path) -> None:
    root = make_run(tmp_path, Made(pictures=False))
    folder = RunFolder(root)
    rows = folder.table("environments")
    core = [{**row, "factor": "elongation", "asked": 1.0, "strength": 1.0} for row in rows]
    folder.write_table("environments", schema.ENVIRONMENTS.names, [*core, *rows])
    relied = reliance.relied_on(evidence_in(root))
    assert relied is not None
    assert {row["factor"] for row in relied.rows} == {"elongation", "texture", "margin"}


def test_a_figure_is_made_of_the_rows_that_its_file_holds(tmp_path: Path) -> None:
    cost = performance.cost(evidence_of(tmp_path, Made(pictures=False)))
    assert cost is not None
    assert {row["environment"] for row in cost.rows} == {"same", "neutral", "reversed"}
    assert {row["measure"] for row in cost.rows} == {"auroc"}
    assert all(row["recipe"].endswith("· 20") for row in cost.rows)
    for row in cost.rows:
        assert f"{row['value']:.2f}" in cost.alternative


def test_of_many_levels_the_reference_and_the_ends_are_shown(tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    losses = tuple(f"loss {i}" for i in range(40))
    evidence = evidence_of(tmp_path, Made(losses=losses, budgets=("10",), seeds=3, pictures=False))
    rows = evidence.estimates("auroc", lambda row: row["environment"] == "reversed" and not row["group"])
    levels, note = some_levels(evidence)
    ranked = [row["recipe"] for row in sorted(rows, key=lambda row: row["value"])]
    surest = min(evidence.tables.contrasts, key=lambda row: (row["p_holm"], row["p"]))["a"]
    assert len(levels) == 8
    assert {"loss 0", surest, "loss 39", *ranked[:2], *ranked[-2:]} <= set(levels)
    assert evidence.tables.trials[-1]["status"] == "collapsed"
    assert note == snapshot


def test_every_seed_is_a_dot_and_lies_where_its_value_is() -> None:
    mark = Mark("a", 0.5, 0.25, 0.75, ((0, 0.0), (1, 0.5), (2, 1.0)))
    drawn = draw_strips(plot_of(mark), 540).body
    places = [float(x) for x in re.findall(r'<circle cx="([\d.]+)"[^>]*><title>a, seed', drawn)]
    assert len(places) == 3
    assert places[1] - places[0] == pytest.approx(places[2] - places[1], abs=0.2)
    bar = re.search(r'd="M([\d.]+) [\d.]+L([\d.]+) [\d.]+" stroke="var\(--s0\)" stroke-width="2"', drawn)
    assert bar is not None
    assert float(bar[1]) == pytest.approx((places[0] + places[1]) / 2, abs=0.2)
    assert float(bar[2]) == pytest.approx((places[1] + places[2]) / 2, abs=0.2)


def test_without_an_interval_no_bar_is_drawn() -> None:
    mark = Mark("a", 0.5, seeds=((0, 0.4), (1, 0.6)))
    assert 'stroke-width="2"' not in draw_strips(plot_of(mark), 540).body


def test_an_interval_beyond_the_drawing_ends_in_an_arrow() -> None:
    inside = draw_strips(plot_of(Mark("a", 0.5, 0.2, 0.8)), 540).body
    outside = draw_strips(plot_of(Mark("a", 0.5, 0.2, 3.0)), 540).body
    assert (inside.count('stroke-width="1.5"'), outside.count('stroke-width="1.5"')) == (0, 2)


def test_what_is_undefined_is_said_in_its_place() -> None:
    drawn = draw_strips(plot_of(Mark("a", math.nan, reason="no image"), Mark("b", 0.5)), 540).body
    assert ">undefined<title>a undefined (no image)</title>" in drawn


def test_a_curve_passes_through_its_means() -> None:
    marks = (Mark("a", 0.0, at="10"), Mark("a", 0.5, at="20"), Mark("a", 1.0, at="40"))
    drawn = draw_curves(plot_of(*marks, positions=("10", "20", "40")), 540).body
    path = re.search(r'd="M([^"]+)" stroke="var\(--s0\)" stroke-width="1.2"', drawn)
    assert path is not None
    heights = [float(point.split()[1]) for point in path[1].split("L")]
    assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2], abs=0.2)
    assert heights[0] - heights[2] == pytest.approx(160, abs=0.2)


def test_up_to_six_curves_are_named_where_they_end_and_more_by_a_key() -> None:
    for count, anchor in ((6, "end"), (7, "key")):
        marks = [Mark(f"loss {i}", i / 10, at=at) for i in range(count) for at in ("10", "20")]
        drawn = draw_curves(plot_of(*marks, positions=("10", "20")), 540).body
        lines = [float(y) for y in re.findall(r'y="([\d.]+)"[^>]*>loss \d<', drawn)]
        assert len(lines) == count
        assert (min(lines) < 20) == (anchor == "key")


def test_a_long_table_is_compressed_and_a_very_long_one_is_not_carried() -> None:
    def rows(count: int) -> list[dict[str, str]]:
        return [{"a": f"{(i * 2654435761) % 2**64:x}"} for i in range(count)]

    short, long = as_csv("t", ("a",), rows(10)), as_csv("t", ("a",), rows(PLAIN // 8))
    assert short is not None
    assert long is not None
    assert (short.name, long.name) == ("t.csv", "t.csv.gz")
    assert as_csv("t", ("a",), rows(20_001)) is None


def test_the_figure_of_comparisons_counts_as_the_answer_does(tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    """Stated comparisons, those without a value among them, and none that was added later."""
    evidence = evidence_of(tmp_path, Made(pictures=False))
    stated = [row for row in evidence.tables.contrasts if not row["exploratory"]]
    assert any(math.isnan(row["value"]) for row in stated)
    assert len(stated) < len(evidence.tables.contrasts)
    (figure,) = performance.differences(evidence)
    (answer,) = (one.details for row in evidence.tables.findings if (one := from_row(row)).kind == Kind.FAMILY)
    assert isinstance(answer, Family)
    assert figure.title.startswith(f"{answer.shown} of {answer.count} comparisons of AUROC")
    assert answer.count == len(stated)
    assert (figure.title, figure.note) == snapshot


def test_comparisons_that_were_all_added_later_are_called_exploratory(
    tmp_path: Path, snapshot: SnapshotAssertion
) -> None:
    evidence = evidence_of(tmp_path, Made(pictures=False))
    for row in evidence.tables.contrasts:
        row["exploratory"] = True
    (figure,) = performance.differences(evidence)
    assert " exploratory comparisons of AUROC " in figure.title
    assert (figure.title, figure.note) == snapshot
