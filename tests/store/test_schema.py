"""Every table is described once, each of its columns too, and files hold what is described."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest

from assay.plugin import RunFolder
from assay.store.schema import TABLES


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_table_and_column_is_described(table: Any) -> None:
    assert table.row
    assert [one.name for one in table.columns if not one.meaning] == []
    assert len(set(table.names)) == len(table.names)
    assert set(table.displayed) <= set(table.names)


MADE = [name for name, table in TABLES.items() if not table.parts]
"""Tables with a file; the others are views of them."""


def test_every_table_has_a_file_and_every_file_is_a_table(finished_run: Path) -> None:
    assert {file.stem for file in (finished_run / "tables").glob("*.parquet")} == set(MADE)


@pytest.mark.parametrize("name", sorted(TABLES.keys() - set(MADE)))
def test_a_view_of_tables_has_the_columns_that_are_described(name: str, finished_run: Path) -> None:
    rows = RunFolder(finished_run).table(name)
    assert set(TABLES[name].parts) <= set(MADE)
    assert all(tuple(row) == TABLES[name].names for row in rows)
    assert rows


@pytest.mark.slow
@pytest.mark.parametrize("name", MADE)
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


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_columns_of_axes_are_keyed(table: Any) -> None:
    assert [one.name for one in table.columns if one.meaning.startswith("JSON: axis") and not one.keyed] == []
