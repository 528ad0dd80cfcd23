"""Every table is described once, each of its columns too, and files hold what is described."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from assay.analysis.tables import MAKERS
from assay.store.schema import TABLES, Table


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_table_and_column_is_described(table: Table) -> None:
    assert table.row
    assert [one.name for one in table.columns if not one.meaning] == []
    assert len(set(table.names)) == len(table.names)
    assert set(table.shown) <= set(table.names)


def test_every_table_has_a_maker() -> None:
    assert set(MAKERS) == set(TABLES)


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLES)
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
