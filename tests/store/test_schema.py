"""Every table is described once, each of its columns too, and files hold what is described."""

from __future__ import annotations

import math
from pathlib import Path

import duckdb
import pytest

from assay.store.columns import Column, Table
from assay.store.schema import TABLES
from assay.store.views import VIEWS
from assay.study.tables import MAKERS


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_table_and_column_is_described(table: Table) -> None:
    assert table.row
    assert [one.name for one in table.columns if not one.meaning] == []
    assert len(set(table.names)) == len(table.names)
    assert set(table.displayed) <= set(table.names)


def test_every_table_has_a_maker() -> None:
    assert set(MAKERS) == {name for name, table in TABLES.items() if not table.parts}


def test_every_view_is_of_tables_with_files() -> None:
    views = {name: table.parts for name, table in TABLES.items() if table.parts}
    assert VIEWS.keys() == views.keys()
    assert {part for parts in views.values() for part in parts} <= set(MAKERS)


@pytest.mark.slow
@pytest.mark.parametrize("name", MAKERS)
def test_files_hold_the_columns_and_types_that_are_described(name: str, finished_run: Path) -> None:
    file = finished_run / "tables" / f"{name}.parquet"
    written = duckdb.sql(f"DESCRIBE SELECT * FROM '{file}'").fetchall()
    assert tuple(row[0] for row in written) == TABLES[name].names
    (rows,) = duckdb.sql(f"SELECT count(*) FROM '{file}'").fetchall()
    if not rows[0]:
        return
    for column, kind in ((row[0], row[1]) for row in written):
        if kind != (wanted := TABLES[name].column(column).type):
            missing = f"\"{column}\" = ''" if kind == "VARCHAR" else f'isnan("{column}")'
            (found,) = duckdb.sql(f"SELECT count(*) FROM '{file}' WHERE {missing}").fetchall()
            text = kind == "VARCHAR" and found[0] == rows[0]
            count = kind == "DOUBLE" and wanted == "BIGINT" and found[0] > 0
            assert text or count, f"{column}: {kind} in the file, {wanted} as described"


def test_objects_become_a_column_per_key() -> None:
    table = Table(
        "made",
        "row",
        (Column("recipe", "r"), Column("at", "axis", keyed=True), Column("each", "seed", keyed=True), Column("n", "n")),
        (),
    )
    rows = [
        {"recipe": "a", "at": '{"loss": "focal", "p": "0"}', "each": '{"0": 1, "1": 0.5}', "n": 1},
        {"recipe": "b", "at": '{"p": ["0.1", "0.5"]}', "each": '{"1": 0.25}', "n": 2},
        {"recipe": "c", "at": "", "each": "", "n": 3},
    ]
    names, plain = table.spread(rows)
    assert names == ["recipe", "at.loss", "at.p", "each.0", "each.1", "n"]
    assert [list(row) for row in plain] == [names] * 3
    assert [row["at.loss"] for row in plain] == ["focal", "", ""]
    assert [row["at.p"] for row in plain] == ["0", "0.1, 0.5", ""]
    assert [row["each.1"] for row in plain][:2] == [0.5, 0.25]
    assert math.isnan(plain[1]["each.0"])
    assert math.isnan(plain[2]["each.1"])
    assert table.spread([]) == (["recipe", "n"], [])


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_columns_of_axes_are_keyed(table: Table) -> None:
    assert [one.name for one in table.columns if one.meaning.startswith("JSON: axis") and not one.keyed] == []
