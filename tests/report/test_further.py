"""Every measure of the estimates is on the page, those of a probe of one's own too."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from tests.worlds.tables import Made, make_run

from assay.report.page import collect, write_page
from assay.store import schema
from assay.store.files import Row
from assay.store.folder import RunFolder

OWN = "mean-margin"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made-up run whose estimates hold measures without a section: one known, one of a plug-in, one undefined."""
    root = make_run(tmp_path_factory.mktemp("run"), Made(seeds=3))
    folder = RunFolder(root)
    estimates, seeds = folder.table("estimates"), folder.table("seeds")
    some = [row for row in estimates if row["measure"] == "auroc" and not (row["factor"] or row["group"])]
    added: list[Row] = [{**row, "measure": name} for name in (OWN, "place-called") for row in some]
    added += [{**row, "measure": "place-found", "value": math.nan, "reason": "no lesion"} for row in some]
    folder.write_table("estimates", schema.ESTIMATES.names, [*estimates, *added])
    folder.write_table("seeds", schema.SEEDS.names, [*seeds, *(
        {**row, "measure": OWN} for row in seeds if row["measure"] == "auroc" and not (row["factor"] or row["group"])
    )])  # fmt: skip
    return root


def test_every_measure_of_the_estimates_is_in_a_figure_or_a_table(run: Path) -> None:
    sections = collect(run).sections
    shown = {row["measure"] for part in sections for one in part.figures for row in one.rows if "measure" in row}
    shown |= {name for part in sections for one in part.sheets for name in one.of}
    assert {row["measure"] for row in RunFolder(run).table("estimates")} <= shown


def test_further_measures_have_a_figure_and_a_table_below_all_sections_of_measures(run: Path) -> None:
    content = collect(run)
    (part,) = (part for part in content.sections if part.id == "further")
    assert [one.title for one in part.figures] == ["Mean margin", "Removed lesion's place predicted"]
    (table,) = part.sheets
    assert table.of >= {OWN, "place-called", "place-found"}
    assert {line.cells[0].text for line in table.lines} >= {"mean margin", "removed lesions found"}
    assert [one.id for one in content.sections].index("further") > [one.id for one in content.sections].index("relies")


def test_they_are_closed_until_opened(run: Path) -> None:
    page = write_page(run).read_text(encoding="utf-8")
    further = page.partition('<h2 id="further">')[2].partition("</section>")[0]
    assert "<details><summary>Mean margin</summary>" in further
    assert further.count("<figure") == further.count("<details><summary>") - 1


def test_a_study_whose_measures_all_have_sections_has_no_such_section(tmp_path: Path) -> None:
    made = Made(seeds=3, probes=())
    assert "further" not in [part.id for part in collect(make_run(tmp_path, made)).sections]
