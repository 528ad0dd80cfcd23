"""The page of a dose-response: panels on a scale of doses, interactions in words, half-doses censored and undefined."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion
from tests.report.reading import DOSED, evidence_in, page_of, words_of
from tests.worlds.tables import Made, make_run

from assay.report.charts import draw_curves
from assay.report.drawing import Mark, Panel, Plot, styles
from assay.report.figures import FULL, NARROW, chance
from assay.report.layout import outline
from assay.report.page import write_page
from assay.report.rows import read_tables
from assay.report.sections.doses import (
    COUNTED,
    changes_in,
    dosed_factors,
    forest,
    in_training,
    interactions,
    lowered,
    response,
)
from assay.store.files import Row

THREE = replace(DOSED, losses=("cross-entropy", "supcon", "triplet"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("dosed"), THREE)


@pytest.fixture(scope="module")
def page(run: Path) -> str:
    return write_page(run).read_text()


def test_every_environment_has_a_figure_with_a_panel_per_confounder(page: str) -> None:
    """Those of the environment on the first screen are not drawn twice."""
    assert 'id="figure-dose-reversed"' not in page
    for name in ("dose-same", "dose-neutral", "first-dose-reversed"):
        figure = page[page.index(f'<figure id="figure-{name}"') :]
        figure = figure[: figure.index("</figure>")]
        assert [word in figure for word in (">tag<", ">low-pass<", "by p in training", "chance")] == [True] * 4


def test_the_first_screen_shows_the_environment_compared(run: Path, page: str) -> None:
    first = page[page.index('<div class="first">') : page.index("<nav")]
    changes, _ = changes_in(evidence_in(run), "reversed")
    assert 'id="figure-first-dose-reversed"' in first
    assert (sum(row["high"] < 0 for row in changes), len(changes)) == (3, 6)
    assert lowered("AUROC", "reversed", changes) in first
    assert COUNTED in first


def test_titles_of_all_figures_of_the_doses_go_by_the_interval_of_the_change(page: str) -> None:
    titles = re.findall(r"<h[23]>(.*AUROC.*share.*|Marking .*)</h[23]>", page)
    assert len(titles) >= 4
    assert {title.partition(" AUROC")[0] for title in titles} == {"Marking more training images lowers"}
    assert "lies lower" not in page


@pytest.mark.parametrize(
    "ends",
    [
        [(-0.3, -0.1), (-0.2, 0.1)],
        [(-0.3, -0.1), (-0.2, -0.1)],
        [(-0.3, -0.1)],
        [(-0.3, -0.1), (0.1, 0.2), (0.1, 0.3)],
    ],
    ids=["some", "every", "one", "both ways"],
)
def test_titles_count_changes_whose_intervals_exclude_zero(
    ends: list[tuple[float, float]], snapshot: SnapshotAssertion
) -> None:
    assert lowered("AUROC", "same", [{"low": low, "high": high} for low, high in ends]) == snapshot


def test_without_a_change_whose_interval_excludes_zero_there_is_no_title() -> None:
    ends = [(-0.2, 0.1), (math.nan, math.nan)]
    assert lowered("AUROC", "same", [{"low": low, "high": high} for low, high in ends]) == ""


def test_interactions_have_words_and_both_p(run: Path, page: str, snapshot: SnapshotAssertion) -> None:
    sheet = interactions(read_tables(run))
    assert sheet is not None
    assert sorted({line.cells[1].text for line in sheet.lines}) == snapshot
    assert "0.400" in words_of(page, "interactions")


@pytest.mark.parametrize("measure", ["auroc", "calibration-error", "flip-rate"])
def test_only_what_is_better_when_higher_is_kept_or_lost(run: Path, measure: str, snapshot: SnapshotAssertion) -> None:
    tables = read_tables(run)
    row = {**tables.contrasts[0], "at": "dose-response", "conclusion": "higher", "measure": measure, "a": "a", "b": "b"}
    sheet = interactions(replace(tables, contrasts=[row]))
    assert sheet is not None
    assert sheet.lines[0].cells[1].text == snapshot


def test_half_doses_are_given_with_limits_beyond_the_doses_and_reasons(
    run: Path, page: str, snapshot: SnapshotAssertion
) -> None:
    table = page[page.index('id="half-doses"') :]
    for words in ("0.43 [0.31, 0.60]", "&gt; 1 [0.91, &gt; 1]", "undefined", "is not clear of chance (0.50)"):
        assert words in table
    drawn = forest(evidence_in(run))
    assert drawn is not None
    assert drawn.title in page
    assert (drawn.title, drawn.note) == snapshot


def test_a_recipe_of_fewer_doses_is_neither_counted_nor_shown_beyond_its_own(
    run: Path, snapshot: SnapshotAssertion
) -> None:
    evidence = evidence_in(run)
    evidence = replace(evidence, tables=replace(
        evidence.tables,
        dose_changes=[{**row, "doses": "[0.3]"} if of_triplet(row) else row for row in evidence.tables.dose_changes],
        half_doses=[{**row, "greatest": 0.3, "value": math.nan, "low": 0.2, "high": math.nan, "beyond": "value",
                     "reason": ""} if of_triplet(row) else row
                    for row in evidence.tables.half_doses],
    ))  # fmt: skip
    changes, fewer = changes_in(evidence, "reversed")
    assert len(changes) == 4
    assert not any(map(of_triplet, changes))
    first, apart = response(evidence, FULL), forest(evidence)
    assert first is not None
    assert apart is not None
    assert "in 2 of 4 cases" in first.title
    assert fewer in first.note
    assert (fewer, apart.note) == snapshot
    assert "largest of some" in apart.wide


def of_triplet(row: Row) -> bool:
    return json.loads(row["coordinates"])["loss"] == "triplet"


def test_a_confounder_is_told_of_recipes_that_were_trained_at_fewer_doses(run: Path) -> None:
    evidence = evidence_in(run)
    tag = {"interventions": {"tag": {"component": "tag", "share": {"positive": 1, "negative": 0}}}}
    trained = {"supcon": ("0", "0.3", "1"), "triplet": ("0", "0.3")}
    points = [
        {"coordinates": {"loss": loss, "p": p}, "train": {} if p == "0" else tag}
        for loss, doses in trained.items()
        for p in doses
    ]
    spec = {"key": "spec", "value": json.dumps({"points": points})}
    evidence = replace(evidence, tables=replace(evidence.tables, provenance=(spec,)))
    assert dosed_factors(evidence) == {(("loss", "supcon"),): "tag", (("loss", "triplet"),): "tag"}


def test_the_images_that_each_dose_was_on_are_counted(page: str) -> None:
    table = words_of(page, "dose-counts")
    assert "tag 0.3" not in table
    for words in ("benign 0 of 150, malignant 45 of 150", "malignant 41 to 45 of 150", "malignant 146 to 150 of 150"):
        assert words in table


def test_a_study_without_doses_has_no_such_part(tmp_path: Path) -> None:
    page = page_of(tmp_path, Made(losses=("cross-entropy", "supcon"), pictures=False))
    assert "Dose-response" not in page


def test_every_line_has_its_name_where_the_last_panel_lacks_one() -> None:
    def panel(title: str, *levels: str) -> Panel:
        return Panel(title, tuple(Mark(level, 0.5, 0.4, 0.6, at=at) for level in levels for at in ("0", "1")))

    def drawn(*panels: Panel, width: float = FULL) -> str:
        levels = ("first", "second", "third")
        return draw_curves(Plot(panels, levels, styles(levels), "AUROC", (0.0, 1.0), ("0", "1"), "p"), width).body

    for width in (FULL, NARROW):
        body = drawn(panel("a", "first", "second"), panel("b", "second"), width=width)
        assert [name in body for name in (">first<", ">second<")] == [True, True]
    whole = drawn(panel("a", "second"), panel("b", "first", "second"))
    assert [whole.count(f">{name}<") for name in ("first", "second", "third")] == [1, 1, 0]


@pytest.mark.parametrize(
    ("measure", "name"), [("flip-rate", "no effect"), ("logit-effect", "no effect"), ("decodability", "chance")]
)
def test_the_level_of_knowing_nothing_is_called_what_the_measure_calls_it(measure: str, name: str) -> None:
    (reference,) = chance([{"measure": measure, "chance": 0.0}])
    assert reference.name == name


def test_a_dose_in_training_is_explained_for_marks_and_for_factors(run: Path, snapshot: SnapshotAssertion) -> None:
    evidence = evidence_in(run)

    def explained(**trained: dict[str, Any]) -> str:
        points = [
            {"coordinates": {"confounder": name, "p": p}, "train": made if p == "1" else {}}
            for name, made in trained.items()
            for p in ("0", "0.3", "1")
        ]
        spec = {"key": "spec", "value": json.dumps({"points": points})}
        return in_training(replace(evidence, tables=replace(evidence.tables, provenance=(spec,))))

    tag = {"interventions": {"tag": {"component": "tag", "share": {"positive": 1, "negative": 0}}}}
    sex, view = ({"association": {name: {"strength": 1.0}}} for name in ("sex", "view"))
    alone = {"association": {"sex": {"strength": 1.0, "share": {"positive": 1, "negative": 0}}}}
    assert explained(tag=tag, sex=sex) == f"{explained(tag=tag)} {explained(sex=sex)}"
    assert {
        "a mark": explained(tag=tag),
        "a factor": explained(sex=sex),
        "two factors": explained(sex=sex, view=view),
        "a factor of one class": explained(sex=alone),
    } == snapshot
    evidence = replace(evidence, outline=replace(evidence.outline, dosed="", doses=()))
    assert explained(tag=tag) == ""


def test_doses_stand_where_they_are_numbers() -> None:
    marks = tuple(Mark("a", 0.9 - 0.4 * p, 0.8 - 0.4 * p, 0.95 - 0.4 * p, at=at) for at, p in (("0", 0), ("0.2", 0.2)))
    marks = (*marks, Mark("a", 0.5, 0.4, 0.6, at="1"))
    plot = Plot((Panel("", marks),), ("a",), styles(["a"]), "AUROC", (0.3, 1.0), ("0", "0.2", "1"), "p", scaled=True)
    body = draw_curves(plot, FULL).body
    line = re.search(r'd="M([^Z"]+)" stroke="var\(--s0\)" stroke-width="1.8"', body)
    assert line is not None
    x = [float(point.split()[0]) for point in line[1].split("L")]
    assert (x[1] - x[0]) / (x[2] - x[0]) == pytest.approx(0.2, abs=0.01)
    assert 'fill-opacity="0.16"' in body
    assert 'fill-opacity="0.16"' not in draw_curves(replace(plot, scaled=False), NARROW).body


def test_what_is_compared_is_never_the_dose(run: Path) -> None:
    tables = read_tables(run)
    view = outline(replace(tables, contrasts=()))
    assert view.axis != "p"
    assert (view.dosed, view.doses) == ("p", ("0", "0.3", "1"))
    assert evidence_in(run).outline.axis == "loss"


def test_a_study_of_one_recipe_under_one_confounder_has_a_page_without_a_forest(tmp_path: Path) -> None:
    alone = replace(DOSED, losses=("cross-entropy",), more=(("confounder", ("tag",)), ("p", ("0", "0.3", "1"))))
    text = write_page(make_run(tmp_path, alone)).read_text()
    assert 'id="figure-dose-' in text
    assert "half-doses-figure" not in text
