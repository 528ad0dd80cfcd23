"""`tools/guard.py` finds every difference between two folders of results, apart from masked fields."""

from __future__ import annotations

import base64
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import duckdb
import pytest

PLACE = Path(__file__).parents[1] / "tools" / "guard.py"
ROWS = "('a', 0.5::DOUBLE, 'nan'::DOUBLE), ('b', {}::DOUBLE, 1)"
TRIAL = "study/runs/study/trials/0a1b"


def load() -> ModuleType:
    place = importlib.util.spec_from_file_location("guard", PLACE)
    assert place is not None
    assert place.loader is not None
    module = sys.modules["guard"] = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    return module


GUARD = load()


def write_parquet(path: Path, rows: str, columns: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    duckdb.sql(f"SELECT * FROM (VALUES {rows}) AS t({columns})").write_parquet(str(path))


def write_page(path: Path, seconds: str, started: str, csv_value: str) -> None:
    csv = base64.b64encode(f"recipe,seconds,loss\na,{seconds},{csv_value}\n".encode()).decode()
    words = f"%23 A%0A%7C trained from %7C {started} %7C"
    path.write_text(
        f'<p>The verdict</p>\n<tr><td>trained from</td><td class="s">{started}</td></tr>\n'
        f'<a href="data:text/csv;base64,{csv}" download="trials.csv">CSV</a>\n'
        f'<a href="data:text/csv;base64,{csv}" download="trials.csv">CSV</a>\n'
        f'<a href="data:text/markdown;charset=utf-8,{words}" download="a.md">A</a>\n',
        encoding="utf-8",
    )


def write_results(root: Path, *, seconds: float = 1.0, started: str = "10:00") -> None:
    """Write one file of every kind; `seconds` and `started` are what may differ."""
    run = root / "study" / "runs" / "study"
    write_parquet(run / "tables/estimates.parquet", ROWS.format(0.25), "recipe, value, low")
    write_parquet(run / "tables/trials.parquet", f"('a', {seconds}::DOUBLE)", "recipe, seconds")
    rows = f"('study', 'x'), ('trained from', '{started}')"
    write_parquet(run / "tables/provenance.parquet", rows, "key, value")
    (root / TRIAL).mkdir(parents=True)
    (root / TRIAL / "weights.safetensors").write_bytes(b"\0\1")
    (root / TRIAL / "record.json").write_text(json.dumps({"status": "done", "specific": [[0.1, 0.2]]}))
    (root / TRIAL / "provenance.json").write_text(json.dumps({"seconds": seconds, "libraries": {"torch": started}}))
    (run / ".lock").write_text(started)
    write_page(run / "report.html", str(seconds), started, "0.5")


@pytest.fixture
def both(tmp_path: Path) -> tuple[Path, Path]:
    """Two folders of results that differ in masked fields alone."""
    write_results(tmp_path / "before")
    write_results(tmp_path / "after", seconds=2.5, started="11:30")
    return tmp_path / "before", tmp_path / "after"


def differences(both: tuple[Path, Path]) -> list[str]:
    comparison = GUARD.Comparison()
    comparison.compare_folders(both[0] / "study", both[1] / "study", "study")
    return comparison.differences


def test_masked_fields_may_differ_and_everything_is_counted(both: tuple[Path, Path]) -> None:
    comparison = GUARD.Comparison()
    comparison.compare_folders(both[0] / "study", both[1] / "study", "study")
    assert comparison.differences == []
    assert (comparison.files, comparison.tables, comparison.rows, comparison.masked) == (7, 5, 7, 8)


def test_a_parquet_cell_is_named_by_table_row_and_column(both: tuple[Path, Path]) -> None:
    path = both[1] / "study/runs/study/tables/estimates.parquet"
    write_parquet(path, ROWS.format(0.2500000000000001), "recipe, value, low")
    (line,) = differences(both)
    assert line == "study/runs/study/tables/estimates.parquet: row 1 (b), column value: 0.25 -> 0.2500000000000001"


@pytest.mark.parametrize(
    ("rows", "columns", "said"),
    [
        ("('a', 0.5::DOUBLE)", "recipe, seconds2", "columns [('seconds', 'DOUBLE')] -> [('seconds2', 'DOUBLE')]"),
        ("('a', 0.5::FLOAT)", "recipe, seconds", "columns [('seconds', 'DOUBLE')] -> [('seconds', 'FLOAT')]"),
        ("('a', 1::DOUBLE), ('b', 2)", "recipe, seconds", "1 rows -> 2 rows"),
    ],
)
def test_schema_and_number_of_rows(both: tuple[Path, Path], rows: str, columns: str, said: str) -> None:
    write_parquet(both[1] / "study/runs/study/tables/trials.parquet", rows, columns)
    assert differences(both) == [f"study/runs/study/tables/trials.parquet: {said}"]


def test_a_json_key_is_named_by_its_path(both: tuple[Path, Path]) -> None:
    (both[1] / TRIAL / "record.json").write_text(json.dumps({"status": "done", "specific": [[0.1, 0.3]]}))
    assert differences(both) == [f"{TRIAL}/record.json: specific[0][1]: 0.2 -> 0.3"]
    (both[1] / TRIAL / "record.json").write_text(json.dumps({"specific": [[0.1, 0.2]], "status": "done"}))
    assert differences(both) == [
        f"{TRIAL}/record.json: (top): keys ['status', 'specific'] -> ['specific', 'status']",
    ]


def test_a_page_is_compared_with_the_files_that_it_embeds(both: tuple[Path, Path]) -> None:
    page = both[1] / "study/runs/study/report.html"
    write_page(page, "2.5", "11:30", "0.6")
    name = "study/runs/study/report.html"
    cell = "row 0 (a, 1.0, 0.5), column loss: '0.5' -> '0.6'"
    assert differences(both) == [f"{name}/trials.csv: {cell}", f"{name}/trials-2.csv: {cell}"]
    write_page(page, "2.5", "11:30", "0.5")
    page.write_text(page.read_text().replace("The verdict", "A verdict"))
    assert differences(both) == [f"{name}: line 1: '<p>The verdict</p>' -> '<p>A verdict</p>'"]


def test_weights_missing_and_extra_files(both: tuple[Path, Path]) -> None:
    (both[1] / TRIAL / "weights.safetensors").write_bytes(b"\0\2")
    (both[1] / TRIAL / "record.json").rename(both[1] / TRIAL / "records.json")
    missing, extra, weights = differences(both)
    assert missing == f"{TRIAL}/record.json: missing, the reference has it"
    assert extra == f"{TRIAL}/records.json: extra, the reference lacks it"
    assert weights.startswith(f"{TRIAL}/weights.safetensors: 'b413f47d")


def test_same_compares_bits() -> None:
    nan = float("nan")
    assert GUARD.same(nan, -nan)
    assert GUARD.same(0.1, 0.1)
    for before, after in ((0.0, -0.0), (1, 1.0), (True, 1), (nan, None), (0.1, 0.1 + 2**-55)):
        assert not GUARD.same(before, after)


def test_a_folder_in_the_repository_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        GUARD.main(["record", str(PLACE.parent / "reference")])
    assert end.value.code == 2
    assert "choose a folder outside it" in capsys.readouterr().err


def test_compare_needs_a_reference(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="holds no reference: run `record` before the refactoring"):
        GUARD.main(["compare", str(tmp_path)])


def test_wrong_studies_are_found_where_the_tests_keep_them() -> None:
    assert len(GUARD.wrong_studies()) > 10
