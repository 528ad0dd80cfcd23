"""Blocks of a page: no row is lost without a word, and a number is shown by the type of its column."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import pytest

from assay.report.block import Block
from assay.report.blocks import cell, chart, render
from assay.report.context import PageContext
from assay.study.kind import STUDY
from assay.study.page import sections

Row = dict[str, Any]
REMOVED = ("lesion-effect", "erasure-effect-over-elsewhere")
BLOCKS = {block.id: block for one in sections({}) for block in one.blocks}


def page_context(tables: dict[str, list[Row]]) -> PageContext:
    """Tables of a study without a folder."""
    return PageContext(tables, Path(), STUDY)


def estimate(**given: Any) -> Row:
    """A row of estimates."""
    named = dict.fromkeys(("environment", "factor", "level", "layer", "group", "reason", "unit", "per_seed"), "")
    value = given.get("value", 0.5)
    return {
        "recipe": "one",
        "measure": "auroc",
        **named,
        "coordinates": "{}",
        "value": value,
        "low": value - 0.01,
        "high": value + 0.01,
        "chance": math.nan,
        "seeds": 5,
        "images": 100,
        "patients": 50,
        "per_seed": "{}",
        **given,
    }


def shown(block: Block, rows: list[Row]) -> str:
    """The text of every cell of the block's table."""
    sheet = render(block, page_context({"estimates": rows})).sheet
    assert sheet is not None
    return " | ".join(one.text for line in sheet.lines for one in line.cells)


@pytest.mark.parametrize(
    ("block", "axes"),
    [
        ("kinds", {"measure": REMOVED, "group": ("solid", "ground glass")}),
        ("kinds", {"measure": REMOVED, "group": ("solid",), "environment": ("same", "reversed")}),
        ("attribution", {"measure": ("mass-accuracy",), "factor": ("gradient",), "environment": ("same", "reversed")}),
        ("reliance-table", {"measure": ("flip-rate",), "factor": ("tag",), "environment": ("same", "reversed")}),
        ("erased", {"measure": ("erasure-effect-over-elsewhere",), "level": ("small", "large"),
                    "environment": ("same", "reversed")}),
        ("decodability-table", {"measure": ("decodability",), "factor": ("tag",), "layer": ("trunk",),
                                "group": ("trained",), "environment": ("same", "reversed")}),
    ],
)  # fmt: skip
def test_no_estimate_takes_the_cell_of_another(block: str, axes: dict[str, tuple[str, ...]]) -> None:
    rows = [estimate(**dict(zip(axes, values, strict=True))) for values in itertools.product(*axes.values())]
    text = shown(BLOCKS[block], rows)
    assert text.count("[") == len(rows), text
    figure = chart(BLOCKS[block], page_context({"estimates": rows})) if BLOCKS[block].chart == "strip" else None
    if figure and "environment" in axes:
        assert "reversed" in figure.alternative


def test_equal_rows_are_refused() -> None:
    rows = [estimate(measure="flip-rate", factor="tag", value=value) for value in (0.1, 0.2)]
    with pytest.raises(ValueError, match="block reliance-table: two rows of estimates share a cell"):
        shown(BLOCKS["reliance-table"], rows)


@pytest.mark.parametrize("block", [
    Block(id="strip", title="S", chart="strip", row_columns=("level",), panel="factor"),
    Block(id="curve", title="C", chart="curve", along="layer", panel="factor"),
    Block(id="heat", title="H", chart="heat", along="layer", up="level", panel="factor"),
])  # fmt: skip
def test_panels_that_do_not_fit_are_counted(block: Block) -> None:
    rows = [estimate(factor=f"f{n}", layer=layer, level="a") for n in range(15) for layer in ("x", "y")]
    if block.chart == "strip":
        rows = [row for row in rows if row["layer"] == "x"]
    figure, whole = (chart(block, page_context({"estimates": some})) for some in (rows, rows[:11]))
    assert figure is not None
    assert whole is not None
    assert "12 of 15 panels shown; the file has all." in figure.note
    assert "panels shown" not in whole.note


def test_strengths_are_in_their_order_and_not_in_that_of_the_rows() -> None:
    block = Block(id="curve", title="C", chart="curve", along="layer", order=("weak", "middle", "strong"))
    rows = [estimate(layer=layer, level="a") for layer in ("middle", "weak", "strong")]
    figure = chart(block, page_context({"estimates": rows}))
    assert figure is not None
    ticks = [figure.wide.index(f">{name}<") for name in block.order]
    assert ticks == sorted(ticks)


@pytest.mark.parametrize(
    ("table", "name", "value", "text"),
    [
        ("visibility", "share", 1.0, "1.00"),
        ("dose_counts", "least", 0, "0"),
        ("sources", "steps", 1204.0, "1,204"),
        ("estimates", "images", 7, "7"),
        ("collapses", "p", 0.0004, "< 0.001"),
    ],
)
def test_a_number_is_shown_by_the_kind_of_its_column(table: str, name: str, value: float, text: str) -> None:
    assert cell(table, name, {name: value}, page_context({})).text == text


def test_a_text_is_shown_by_the_kind_of_its_column() -> None:
    row = {"layer": "batch_norm", "factor": "batch_norm", "measure": "auroc", "environment": "", "axis": ""}
    text = {name: cell("contrasts", name, row, page_context({})).text for name in row}
    assert text == {"layer": "batch_norm", "factor": "batch norm", "measure": "AUROC", "environment": "–", "axis": "–"}
