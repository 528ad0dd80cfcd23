"""How often training collapsed, as the page's table says it."""

from __future__ import annotations

import math
from typing import Any

from tests.report.reading import tables_of

from assay.report.account import collapses, finished, statuses
from assay.store.files import Row


def rate(recipe: str, lost: int, **changes: Any) -> Row:
    row = {"recipe": recipe, "coordinates": "{}", "against": "", "collapsed": lost, "diverged": 0, "seeds": 5}
    return {**row, "rate": lost / 5, "low": 0.0, "high": 0.522, "p": math.nan, "min_p": math.nan, **changes}


def test_where_none_collapsed_one_sentence_says_how_often_they_might() -> None:
    rates = (rate("plain", 0), rate("metric", 0), rate("metric", 0, against="plain", p=1.0))
    found = tables_of(collapses=rates, trials=[{"status": "done"}] * 10)
    assert collapses(found) is statuses(found) is None
    assert finished(found) == (
        "All 10 training runs finished without collapse. A recipe may collapse in up to 52% of seeds (upper 95% limit)."
    )
    assert finished(tables_of(trials=[{"status": "done"}, {"status": "pending"}])) == finished(tables_of()) == ""


def test_rates_and_their_differences_stand_with_intervals() -> None:
    difference = rate("metric", 3, against="plain", rate=0.6, low=0.03, high=0.88, p=0.25, min_p=0.0625)
    sheet = collapses(tables_of(collapses=(rate("plain", 0), rate("metric", 3, low=0.147, high=0.947), difference)))
    assert sheet is not None
    texts = [[cell.text for cell in line.cells] for line in sheet.lines]
    assert texts[1][-2:] == ["0.60 [0.15, 0.95]", "–"]
    assert texts[2][:2] == ["metric", "plain"]
    assert texts[2][-2:] == ["0.60 [0.03, 0.88]", "0.250 (0.062)"]


def test_without_trials_there_is_no_table() -> None:
    assert collapses(tables_of()) is None
