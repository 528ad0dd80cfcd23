from __future__ import annotations

import errno
import hashlib
import math
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pytest
from tests.store.stores import WRITERS
from tests.worlds.files import sha256_of

from assay.core.files import write_whole
from assay.plugin import RunFolder, StoreError
from assay.store import files
from assay.store.files import (
    connect,
    read_json,
    read_parquet,
    read_parquets,
    read_rows,
    write_json,
    write_parquet,
    write_rows,
)
from assay.store.migrations import migrate
from assay.store.soundness import Soundness


def test_parquet_gives_back_what_was_written(tmp_path: Path) -> None:
    columns = {
        "row": np.arange(3),
        "value": np.array([1.5, math.nan, -2.0]),
        "logit": np.array([0.1, 0.2, 0.3], dtype=np.float32),
        "name": np.array(["a", "", "it's é"], dtype=object),
        "marked": np.array([True, False, True]),
    }
    write_parquet(tmp_path / "it's a table.parquet", columns)
    found = read_parquet(tmp_path / "it's a table.parquet")
    assert list(found) == list(columns)
    for name, column in columns.items():
        np.testing.assert_array_equal(found[name], column)


def test_equal_tables_are_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_parquet(tmp_path / name, {"x": np.linspace(0, 1, 1000), "t": np.array(["x"] * 1000, dtype=object)})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_rows_may_lack_values(tmp_path: Path) -> None:
    write_rows(tmp_path / "t", ("text", "number", "whole"), [{"text": "a", "whole": 1}, {"number": 2.5, "whole": 2}])
    first, second = read_rows(tmp_path / "t")
    assert first["text"] == "a"
    assert math.isnan(first["number"])
    assert second == {"text": "", "number": 2.5, "whole": 2}


def test_nan_is_null_in_json(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"b": math.nan, "a": [1, math.inf]})
    assert read_json(tmp_path / "x.json") == {"a": [1, None], "b": None}


def test_a_checked_document_holds_the_checksum_of_its_text_without_it(tmp_path: Path) -> None:
    values: dict[str, object] = {"b": [1.5, math.nan, "é"], "sha": {"y": True, "x": []}, "a": {}}
    path = tmp_path / "document.json"
    files.write_checked_json(path, values)
    digest = hashlib.sha256(files.json_text(values).encode()).hexdigest()
    assert path.read_text(encoding="utf-8") == files.json_text({**values, files.CHECKSUM: digest})
    files.write_checked_json(path, {})
    assert files.read_checked_json(path) == {}


def test_a_write_that_fails_leaves_what_stood_there(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    write_json(path, {"first": True})

    def full(temporary: Path) -> None:
        temporary.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(StoreError, match="the disk is full; free some space and run the same command again; "):
        write_whole(path, full)
    assert read_json(path) == {"first": True}
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]


def test_a_damaged_record_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(StoreError, match=r"x\.json.*delete this file and run the study again"):
        read_json(tmp_path / "x.json")


@pytest.mark.parametrize("read", [read_json, read_parquet])
@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE])
def test_a_file_that_cannot_be_read_now_is_not_called_damaged_nor_to_be_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[[Path], object], number: int
) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"{}")

    def refused(self: Path) -> bytes:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "read_bytes", refused)
    with pytest.raises(StoreError) as caught:
        read(path)
    why = os.strerror(number)
    assert str(caught.value) == (
        f"cannot read {path}: {why}; keep the file, see to its permissions and its disk, and try again"
    )


def test_records_of_another_schema_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="schema 99, this Assay reads up to 1: install a newer Assay"):
        migrate({"schema": 99}, tmp_path)
    with pytest.raises(StoreError, match="no schema version"):
        migrate({}, tmp_path)
    with pytest.raises(StoreError, match="no Assay wrote"):
        migrate({"schema": 0}, tmp_path)


@pytest.mark.parametrize(("name", "beside"), [("a[1]", "a1"), ("a*", "ab"), ("a?", "ab"), ("it's", "its")])
def test_a_file_is_read_and_never_one_that_its_path_would_fit_as_a_pattern(
    tmp_path: Path, name: str, beside: str
) -> None:
    for folder, value in ((name, 1), (beside, 2)):
        write_parquet(tmp_path / folder / "x.parquet", {"a": np.array([value])})
    assert read_parquet(tmp_path / name / "x.parquet")["a"].tolist() == [1]


@pytest.mark.parametrize("folder", ["runs", "file:", "a[1]"])
def test_several_files_of_a_relative_folder_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    monkeypatch.chdir(tmp_path)
    paths = [Path(folder) / f"{at}.parquet" for at in range(3)]
    for at, path in enumerate(paths):
        write_parquet(path, {"a": np.array([at])})
    assert [read["a"].tolist() for read in read_parquets(paths)] == [[0], [1], [2]]


def test_folders_named_as_settings_are_no_columns(tmp_path: Path) -> None:
    """DuckDB reads `lr=0.1/` as the column of a partitioned table, and `target=3/` in place of a column."""
    paths = [tmp_path / "lr=0.1" / "target=3" / str(n) / "x.parquet" for n in range(2)]
    for n, path in enumerate(paths):
        write_parquet(path, {"target": np.array([n, n + 1])})
    for read in ([read_parquet(path) for path in paths], read_parquets(paths)):
        assert [{name: column.tolist() for name, column in one.items()} for one in read] == [
            {"target": [0, 1]},
            {"target": [1, 2]},
        ]


def test_a_missing_or_damaged_table_is_named_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    with pytest.raises(StoreError, match=r"x\.parquet: there is no such file; delete its folder and run"):
        read_parquet(path)
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(StoreError, match=r"x\.parquet: it is damaged; delete its folder and run the study again"):
        read_parquet(path)


def test_a_missing_whole_number_is_no_number(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    with connect() as database:
        database.execute(f"COPY (SELECT * FROM (VALUES (1), (NULL), (3)) AS t(a)) TO '{path}' (FORMAT parquet)")
    assert np.array_equal(read_parquet(path)["a"], [1.0, np.nan, 3.0], equal_nan=True)


def test_partial_files_of_living_writers_stay(tmp_path: Path) -> None:
    """Jobs of a driver that died go on writing while the next driver begins."""
    here, hour = re.sub(r"[^\w-]", "-", platform.node())[:32], time.time() - 4000
    living = [f".a.pt.{here}-{os.getppid()}-00000000.partial", ".a.pt.far-away-7-00000000.partial"]
    gone = [f".a.pt.{here}-{2**22 + 1}-00000000.partial", ".b.pt.far-away-7-00000000.partial", ".c.77.partial"]
    for name in (*living, *gone):
        (tmp_path / name).touch()
    os.utime(tmp_path / gone[1], (hour, hour))
    RunFolder(tmp_path).remove_partial_files()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(living)


def test_who_completes_a_unit_removes_what_a_killed_worker_left_in_it(tmp_path: Path) -> None:
    """An engine starts a task again within one command, which removes partial files only where it begins."""
    here = re.sub(r"[^\w-]", "-", platform.node())[:32]
    folder = RunFolder(tmp_path)
    living, gone = (f".curve.parquet.{here}-{pid}-00000000.partial" for pid in (os.getppid(), 2**22 + 1))
    (unit := folder.unit("trials", "a")).mkdir(parents=True)
    for name in (living, gone):
        (unit / name).touch()
    folder.write_record("trials", "a", {"status": "complete"})
    assert sorted(path.name for path in unit.iterdir()) == [living, "record.json"]


def test_a_file_is_read_once_to_be_compared_as_long_as_it_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(tmp_path)
    WRITERS["readings"](folder, "a")
    path = folder.unit("readings", "a") / "outputs.parquet"
    with monkeypatch.context() as patched:
        read: list[Path] = []
        patched.setattr("assay.core.files.sha256", lambda path: (read.append(path), sha256_of(path))[1])
        assert not Soundness(folder).altered_units()
        folder.outputs("a")
        assert read.count(path) == 1
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(StoreError, match="its content is not that of its checksum"):
        folder.outputs("a")


def test_no_file_makes_duckdb_fetch_an_extension() -> None:
    with connect() as database:
        query = "SELECT value FROM duckdb_settings() WHERE name LIKE 'auto%_known_extensions'"
        assert database.execute(query).fetchall() == [("false",)] * 2


def test_ctrl_c_in_a_query_is_an_interrupt() -> None:
    code = """
import os, signal, threading
from assay.store.files import connect
signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever started the tests may ignore it
with connect() as database:
    hit = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    hit.start()
    database.execute("select sum(a.range * b.range) from range(10000000) a, range(10000000) b").fetchnumpy()
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.stderr.strip().endswith("KeyboardInterrupt")


@pytest.mark.parametrize("error", [duckdb.InvalidInputException, RuntimeError, duckdb.InterruptException])
def test_ctrl_c_while_duckdb_reads_arrays_is_an_interrupt(error: type[Exception]) -> None:
    with pytest.raises(KeyboardInterrupt), connect():
        raise error("Python exception occurred: KeyboardInterrupt: At: numpy/_core/_dtype.py(352): _name_get")
    with pytest.raises(error, match="another"), connect():
        raise error("another")


def test_no_database_is_left_at_exit() -> None:
    """DuckDB prints a line for each of its objects that is left, where a run has loaded more libraries."""
    code = """
import atexit
atexit.register(lambda: print(files._database.cache_info().currsize))
from assay.store import files
with files.connect() as database:
    database.execute("select 1").fetchnumpy()
print(files._database.cache_info().currsize)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["1", "0"]


def test_the_folder_of_a_killed_process_is_removed_by_the_next(tmp_path: Path) -> None:
    end = "import os, signal; from assay.store.files import connect\nwith connect():\n    os.kill(os.getpid(), {})"
    environment = {**os.environ, "TMPDIR": str(tmp_path)}

    def use(ended_by: str) -> None:
        subprocess.run([sys.executable, "-c", end.format(ended_by)], env=environment, check=False)

    (of_a_user := tmp_path / "assay-results").mkdir()
    use("signal.SIGKILL")
    assert len(list(tmp_path.iterdir())) == 2
    use("0")
    assert list(tmp_path.iterdir()) == [of_a_user]


def test_what_memory_does_not_hold_goes_to_a_folder_of_its_own(tmp_path: Path) -> None:
    """DuckDB's own choice is `.tmp` in the working folder, which may be somebody else's, and a link."""
    (tmp_path / "temporary").mkdir()
    code = (
        "from assay.store.files import connect\n"
        "with connect() as database:\n"
        "    folder, = database.execute(\"SELECT current_setting('temp_directory')\").fetchone()\n"
        "    import os; print(folder, oct(os.stat(folder).st_mode & 0o777))\n"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path / "temporary")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    folder, mode = done.stdout.split()
    assert (Path(folder).parent, mode) == (tmp_path / "temporary", "0o700")
    assert not Path(folder).exists()
