"""Read and write Parquet and JSON files. Files are replaced as a whole; Parquet is read with DuckDB."""

from __future__ import annotations

import atexit
import csv
import errno
import functools
import hashlib
import io
import json
import math
import os
import re
import shutil
import stat
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from json.encoder import encode_basestring
from pathlib import Path
from tempfile import gettempdir, mkdtemp
from typing import Any, Literal, cast

import duckdb
import numpy as np

from assay.core.errors import StoreError, shorten
from assay.core.files import MACHINE, is_alive, is_stream, read_stored_bytes, stored_size, write_bytes, write_whole

Columns = Mapping[str, np.ndarray]
Row = dict[str, Any]


def write_text(path: Path, text: str) -> None:
    """Write a text file whole."""

    write_bytes(path, text.encode())


def write_json(path: Path, value: Any, *, sort_keys: bool = True) -> None:
    """Write JSON whole: sorted keys and fixed indentation, so that equal values are equal bytes. NaN becomes null.

    Args:
        sort_keys: False where the order means something, such as that of a study's axes.
    """
    write_text(path, json_text(value, sort_keys=sort_keys))


def json_text(value: Any, *, sort_keys: bool = True) -> str:
    """Return the text that `write_json` writes."""
    return _json_value(value, "\n", sort_keys) + "\n"


def _json_value(value: Any, newline: str, sort_keys: bool) -> str:
    """Return JSON as `json.dumps` with an indentation of 1, in a third of its time.

    Args:
        value: The value. NaN and infinity become null, keys text.
        newline: A line break with the indentation of the value.
        sort_keys: See `write_json`.
    """
    if isinstance(value, str):
        return encode_basestring(value)
    if value is None or isinstance(value, (bool, int, float)):
        return json.dumps(None if isinstance(value, float) and not math.isfinite(value) else value)
    inner_newline = newline + " "
    if isinstance(value, Mapping):
        items = {str(key): item for key, item in cast("Mapping[object, Any]", value).items()}
        names = sorted(items) if sort_keys else items
        texts = [f"{encode_basestring(name)}: {_json_value(items[name], inner_newline, sort_keys)}" for name in names]
        brackets = "{}"
    elif isinstance(value, (list, tuple)):
        texts = [_json_value(item, inner_newline, sort_keys) for item in cast("Sequence[Any]", value)]
        brackets = "[]"
    else:
        raise TypeError(f"{type(value).__name__} is no JSON: {value!r}")
    return f"{brackets[0]}{inner_newline}{f',{inner_newline}'.join(texts)}{newline}{brackets[1]}" if texts else brackets


def csv_text(rows: Iterable[Sequence[object]], quoting: Literal[0, 1] = csv.QUOTE_MINIMAL) -> str:
    """Return rows, the first of which has the heads, as CSV."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n", quoting=quoting).writerows(rows)
    return text.getvalue()


REMAKE_FILE = "delete this file and run the study again"


_MAX_JSON_BYTES = 1 << 28
"""Bytes of a JSON file. A sparse file, which an archive holds in a few bytes, may have any size."""


def read_json(path: Path, *, remedy: str = REMAKE_FILE) -> Any:
    """Return the value in a JSON file.

    Raises StoreError that names the file when it is missing, cannot be read or is damaged.

    Args:
        remedy: Remedy for a file that holds no JSON.
    """
    return read_json_content(path, remedy=remedy)[0]


def read_json_content(path: Path, *, remedy: str = REMAKE_FILE) -> tuple[Any, bytes]:
    """Return the value in a JSON file, and the bytes that it was read from. See `read_json`."""
    content = _read_bytes(path, remedy="restore it from a copy, or run the study again", max_bytes=_MAX_JSON_BYTES)
    return parse_json(content, path, remedy=remedy), content


def parse_json(content: bytes, path: Path, *, remedy: str = REMAKE_FILE) -> Any:
    """Return the value of a JSON text of a file. See `read_json`."""
    try:
        value = json.loads(content.decode("utf-8"))
        if b"\\ud" in content.lower():  # half of a character can be neither printed nor written
            json_text(value).encode()
        return value
    except (ValueError, RecursionError) as error:
        raise StoreError(f"cannot read {path}: it is damaged ({error}); {remedy}") from error


# JSON objects that hold the SHA-256 of their content.

CHECKSUM = "sha256"
ALTERED = "it is damaged (its content is not that of its checksum)"


def write_checked_json(path: Path, values: Mapping[str, Any], *, sort_keys: bool = True) -> None:
    """Write a JSON object whole, with the SHA-256 of the rest under `CHECKSUM`. See `write_json`."""
    if not sort_keys:
        write_json(path, {**values, CHECKSUM: _digest(values)}, sort_keys=False)
        return
    texts = {key: _json_value(value, "\n ", sort_keys=True) for key, value in values.items()}  # of each value once
    digest = hashlib.sha256(_json_object(texts).encode()).hexdigest()
    write_text(path, _json_object({**texts, CHECKSUM: encode_basestring(digest)}))


def _json_object(texts: Mapping[str, str]) -> str:
    """Return the text that `json_text` gives for an object with values of these texts."""
    entries = ",\n ".join(f"{encode_basestring(key)}: {texts[key]}" for key in sorted(texts))
    return f"{{\n {entries}\n}}\n" if texts else "{}\n"


def read_checked_json(path: Path, *, remedy: str = REMAKE_FILE) -> dict[str, Any]:
    """Read a JSON object and compare its checksum.

    Args:
        path: The file.
        remedy: The remedy for a damaged file.

    Returns:
        The object without its checksum.

    Raises:
        StoreError: The file is missing, cannot be read or is damaged, or holds no checksum.
    """
    parsed, content = read_json_content(path, remedy=remedy)
    values = cast("dict[str, Any]", parsed if isinstance(parsed, dict) else {})
    recorded = values.pop(CHECKSUM, None)

    def verify(paths: Sequence[Path]) -> None:
        try:
            is_right = recorded == _digest(values)
        except RecursionError:  # nested just less than its reader allows
            is_right = False
        if not is_right:
            raise StoreError(f"cannot read {paths[0]}: {ALTERED}; {remedy}")

    verify_once({path: content_key("object", content)}, verify)
    return values


# What is read is verified once in a process: a report reads each record three times, the request forty times and its
# tables several times, and to verify takes up to four times as long as to read.

_VERIFIED: set[bytes] = set()
"""Keys of contents that this process has verified or written."""


def content_key(check: str, content: bytes) -> bytes:
    """Return the key of a content for `verify_once`: the SHA-256 of all that the answer of a check depends on."""
    return hashlib.sha256(f"{check}\n".encode() + content).digest()


def verify_once(keys: Mapping[Path, bytes | None], verify: Callable[[Sequence[Path]], None]) -> None:
    """Verify files, but for those whose content this process has verified or written.

    Args:
        keys: File -> key of its content, see `content_key`; None of a file that is verified each time.
        verify: Verifies files. Raises where one of them is wrong.
    """
    if unknown := [path for path, key in keys.items() if key not in _VERIFIED]:
        verify(unknown)
        _VERIFIED.update(filter(None, keys.values()))


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json_text(values).encode()).hexdigest()


def _read_bytes(path: Path, remedy: str, max_bytes: float = math.inf) -> bytes:
    """Return the content of a file. Raises StoreError where the system does not let it be read.

    Args:
        path: The file.
        remedy: What the user can do where it is missing.
        max_bytes: Size from which on it is refused.
    """
    if is_stream(path):
        raise StoreError(f"cannot read {path}: it is a pipe or a device, which may have no end; {remedy}")
    try:
        if (size := path.stat().st_size) > max_bytes:
            raise StoreError(f"cannot read {path}: it has {size:,} bytes, more than Assay writes; {remedy}")
        return read_stored_bytes(path)
    except FileNotFoundError as error:
        raise StoreError(f"cannot read {path}: there is no such file; {remedy}") from error
    except OSError as error:
        raise StoreError(
            f"cannot read {path}: {error.strerror}; keep the file, see to its permissions and its disk, and try again"
        ) from error


def write_parquet(path: Path, columns: Columns, *, row_group: int = 0) -> None:
    """Write columns of equal length as Parquet, whole. Text columns are object arrays of str.

    Args:
        path: The file.
        columns: Name -> values.
        row_group: Rows of a row group, by default those of DuckDB.
    """
    format_options = f"FORMAT parquet, ROW_GROUP_SIZE {row_group}" if row_group else "FORMAT parquet"
    arrays = dict(columns)  # DuckDB finds the local variable of this name

    def write(temporary: Path) -> None:
        with connect() as database:
            database.register("arrays", arrays)
            try:
                database.execute(f"COPY (SELECT * FROM arrays) TO '{quote_path(temporary)}' ({format_options})")
            except duckdb.IOException as error:
                raise _os_error(error) from error
        verify_once({temporary: _key_of_small(temporary)}, lambda _: None)  # what it holds was in memory

    write_whole(path, write)


class ColumnRows(Sequence[Row]):
    """Rows kept by column, in a tenth of the memory of dictionaries; a row is made when it is read."""

    def __init__(self, columns: Mapping[str, list[Any]]) -> None:
        self.columns = columns

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __iter__(self) -> Iterator[Row]:
        return (dict(zip(self.columns, values, strict=True)) for values in zip(*self.columns.values(), strict=True))

    def __getitem__(self, at: Any) -> Any:  # `overload` would keep this module, and DuckDB, until after the end
        row = {name: column[at] for name, column in self.columns.items()}
        return list(ColumnRows(row)) if isinstance(at, slice) else row

    def extend(self, shared: Row, by_row: Mapping[str, Sequence[Any]]) -> None:
        """Add rows.

        Args:
            shared: Values that all of them have.
            by_row: Column -> the values that each has.
        """
        count = len(next(iter(by_row.values())))
        for name, column in self.columns.items():
            column.extend(by_row[name] if name in by_row else [shared[name]] * count)

    def add(self, rows: Sequence[Row]) -> None:
        """Add rows that have all of the columns."""
        for name, column in self.columns.items():
            column.extend(row[name] for row in rows)


_EMPTY: dict[tuple[str, ...], bytes] = {}
"""Columns -> the file of a table without rows. Half of a run's tables have none, and take as long as others."""


def write_rows(path: Path, names: Sequence[str], rows: Sequence[Row]) -> None:
    """Write rows as Parquet with these columns in this order. A value that a row lacks is empty, NaN or false."""
    if not rows and (content := _EMPTY.get(tuple(names))):
        write_bytes(path, content)
        return
    if isinstance(rows, ColumnRows):
        columns = {name: rows.columns[name] for name in names}
    else:
        columns = {name: [row.get(name) for row in rows] for name in names}
    write_parquet(path, {name: _to_array(values) for name, values in columns.items()})
    if not rows:
        _EMPTY[tuple(names)] = path.read_bytes()


def read_parquet(path: Path) -> dict[str, np.ndarray]:
    """Return all columns of a Parquet file; missing numbers are NaN.

    Raises StoreError that names the file when it is missing, cannot be read or is damaged.
    """
    return _read_arrays(path, lambda: _select(_bounded_files([path])))


ROWS_PER_READ = 2**16
"""Rows that are read at once: until equal texts are merged, every text of them takes memory of its own."""


def read_column_rows(path: Path, *, trusted: bool = False) -> ColumnRows:
    """Return a Parquet file as `column_rows` does, with the memory of `ROWS_PER_READ` rows while it is read.

    Raises StoreError as `read_parquet` does.

    Args:
        path: The file.
        trusted: Whether Assay wrote it here, as its checksum shows: then it is not asked whether it fills the memory.
    """
    row_number = "file_row_number"

    def part(start: int) -> dict[str, np.ndarray]:
        listed = f"[{_list_paths([path])}]" if trusted or start else _bounded_files([path])
        if not start and path.is_file() and path.stat().st_size <= ROWS_PER_READ:
            return _select(listed)  # sorting the rows of a small file would take as long as reading them
        source = f"{listed}, {row_number} = true"
        within = f" WHERE {row_number} >= {start} AND {row_number} < {start + ROWS_PER_READ} ORDER BY {row_number}"
        return _select(source, f"* EXCLUDE ({row_number})", within)

    rows = column_rows(_read_arrays(path, lambda: part(0)))
    while (
        rows and len(rows) % ROWS_PER_READ == 0 and (more := column_rows(_read_arrays(path, lambda: part(len(rows)))))
    ):
        rows.extend({}, more.columns)
    return rows


def _read_arrays(path: Path, read: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return what a file holds. Raises StoreError that names the file when it is missing or damaged."""
    try:
        return read()
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        remedy = "delete its folder and run the study again"
        _read_bytes(path, remedy=remedy)  # a file that can be read, and not by DuckDB, is damaged
        raise StoreError(f"cannot read {path}: it is damaged; {remedy}") from error


def read_parquets(paths: Sequence[Path]) -> list[dict[str, np.ndarray]]:
    """Return all columns of several Parquet files. Those with the same columns are read together, three times as fast.

    Raises:
        StoreError: A file is missing, cannot be read or is damaged.
    """
    try:
        groups = _group_by_columns(paths) if len(paths) > 1 else []
        by_path = {path: columns for group in groups for path, columns in zip(group, _read_group(group), strict=True)}
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error:
        by_path = {}  # one by one, the file that cannot be read is named
    return [by_path.get(path) or read_parquet(path) for path in paths]


def _group_by_columns(paths: Sequence[Path]) -> list[list[Path]]:
    """Group files by the names and types of their columns."""
    columns = "string_agg(concat_ws(' ', name, type, converted_type), '|')"
    query = f"SELECT file_name, {columns} FROM parquet_schema([{_list_paths(paths)}]) GROUP BY file_name"
    with connect() as database:
        rows = cast("list[tuple[str, str]]", database.execute(query).fetchall())
    columns_by_path = {Path(name): kind for name, kind in rows}  # without the `./` before a relative one
    groups: dict[str, list[Path]] = {}
    for path in dict.fromkeys(paths):
        groups.setdefault(columns_by_path[Path(path)], []).append(path)
    return list(groups.values())


def _read_group(paths: Sequence[Path]) -> list[dict[str, np.ndarray]]:
    """Read files of the same columns; empty where one of them has no row, since rows are told apart by their number."""
    row_number = "file_row_number"
    columns = _select(f"{_bounded_files(paths)}, {row_number} = true")
    starts = np.flatnonzero(columns.pop(row_number) == 0)
    if len(starts) < len(paths):
        return [{} for _ in paths]
    return split_columns(columns, starts)


def split_columns(columns: Columns, starts: np.ndarray) -> list[dict[str, np.ndarray]]:
    """Split columns before these rows, the first of which is 0; each part is a copy."""
    parts = {name: np.split(column, starts[1:]) for name, column in columns.items()}
    return [{name: parts[name][i].copy() for name in parts} for i in range(len(starts))]


_CELLS_PER_BYTE, _ALLOWED_CELLS = 200, 5_000_000
"""Cells that a byte of a file may hold, and cells that any file may: repeated rows pack without end."""


def require_bounded_memory(path: Path) -> None:
    """Check a Parquet file that is read in parts. Raises StoreError where it is damaged or would fill the memory."""

    def read() -> dict[str, np.ndarray]:
        _bounded_files([path])
        return {}

    _read_arrays(path, read)


_SMALL_BYTES = 2**20
"""Bytes of a file of which the key is computed, since to hash a larger one takes as long as to verify it."""


def _key_of_small(path: Path) -> bytes | None:
    """Return the key of a small file; None for a large one, and for what cannot be read or has no end."""
    with suppress(OSError):
        status = path.stat()
        if stat.S_ISREG(status.st_mode) and status.st_size <= _SMALL_BYTES:
            return content_key("size", path.read_bytes())
    return None


def _bounded_files(paths: Sequence[Path]) -> str:
    """Return files as DuckDB names them.

    Raises:
        StoreError: One states far more cells than its size allows, or would fill the memory with texts.
    """

    def verify(unknown: Sequence[Path]) -> None:
        _check_cells(unknown)
        _check_texts(unknown)

    verify_once({path: _key_of_small(path) for path in paths}, verify)
    return f"[{_list_paths(paths)}]"


def _check_cells(paths: Sequence[Path]) -> None:
    """Read the footers of files. Raise StoreError where one states far more cells than its size allows."""
    cells = "sum(greatest(row_group_num_rows, num_values))"  # a list has more values than rows
    query = f"SELECT file_name, {cells} FROM parquet_metadata([{_list_paths(paths)}]) GROUP BY file_name"
    with connect() as database:
        cells_by_file = cast("list[tuple[str, int]]", database.execute(query).fetchall())
    for name, cells in cells_by_file:
        if cells > _ALLOWED_CELLS + _CELLS_PER_BYTE * stored_size(name):
            raise StoreError(
                f"cannot read {name}: it is small and states {cells:,} values, which would fill the memory; "
                "restore it from a copy"
            )


_MAX_TEXT_BYTES, _TEXT_PER_BYTE, _ALLOWED_TEXT = 10_000_000, 1_000, 100_000_000
"""Bytes of one text, those that a byte of the files may unpack to, and those that any files may."""
_NESTED_TYPES = re.compile(r"\b(STRUCT|MAP|UNION|JSON)\b|(VARCHAR|BLOB).*\[")
"""Types of DuckDB whose texts could be long unseen."""


def _check_texts(paths: Sequence[Path]) -> None:
    """Raise StoreError where repeated texts, which a file holds once, would fill the memory: each becomes an object."""
    source = f"FROM read_parquet([{_list_paths(paths)}], hive_partitioning = false)"
    with connect() as database:
        description = database.execute(f"DESCRIBE SELECT * {source}").fetchall()
        kinds = [(str(name), str(kind)) for name, kind, *_ in description]
        if nested := [name for name, kind in kinds if _NESTED_TYPES.search(kind)]:
            where = f"{paths[0]}: column {shorten(nested[0])!r}"
            raise StoreError(f"cannot read {where} holds nested values or texts in lists; store a column for each")
        lengths = {"VARCHAR": "strlen", "BLOB": "octet_length"}
        texts = ['{}("{}")'.format(lengths[kind], name.replace('"', '""')) for name, kind in kinds if kind in lengths]
        if not texts:
            return
        query = f"SELECT sum({' + '.join(f'coalesce({text}, 0)' for text in texts)}), max(greatest({', '.join(texts)}))"
        total, longest = cast("tuple[int, int]", database.execute(f"{query} {source}").fetchall()[0])
    size = sum(map(stored_size, paths))
    if (longest or 0) > _MAX_TEXT_BYTES or (total or 0) > _ALLOWED_TEXT + _TEXT_PER_BYTE * size:
        raise StoreError(
            f"cannot read {paths[0]}: its texts would take {total:,} bytes, which would fill the memory; "
            "restore it from a copy"
        )


def _list_paths(paths: Sequence[Path]) -> str:
    return ", ".join(f"'{quote_path(escape_glob(path))}'" for path in paths)


def read_columns(path: Path, excluded: str, condition: str) -> dict[str, np.ndarray]:
    """Return some rows of a Parquet file in their order, without a column; missing numbers are NaN."""
    row_number = "file_row_number"  # with a filter DuckDB takes row groups in any order
    source = f"'{quote_path(escape_glob(path))}', {row_number} = true"
    return _select(source, f"* EXCLUDE ({excluded}, {row_number})", f" WHERE {condition} ORDER BY {row_number}")


def _select(source: str, columns: str = "*", condition: str = "") -> dict[str, np.ndarray]:
    table = f"read_parquet({source}, hive_partitioning = false)"  # else a folder `lr=0.1` is a column
    query = f"SELECT {columns} FROM {table}{condition}"
    with connect() as database:
        columns_read = cast("dict[str, np.ndarray]", database.execute(query).fetchnumpy())
    return {name: _fill_masked(column) for name, column in columns_read.items()}


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a Parquet file as dictionaries of Python values; missing numbers are NaN."""
    return rows_of(read_parquet(path))


def rows_of(columns: Mapping[str, np.ndarray]) -> list[Row]:
    """Return columns as dictionaries of Python values, one for each row."""
    return list(column_rows(columns))


def column_rows(columns: Mapping[str, np.ndarray]) -> ColumnRows:
    """Return columns as rows of Python values that stay columns. Equal texts are one object."""
    return ColumnRows({name: _listed_values(column) for name, column in columns.items()})


def _listed_values(column: np.ndarray) -> list[Any]:
    values = cast("list[Any]", column.tolist())
    return list(map(sys.intern, values)) if column.dtype.kind == "O" else values


@contextmanager
def connect() -> Generator[duckdb.DuckDBPyConnection]:
    """Yield a cursor of its own on this process's DuckDB, which costs a tenth of starting one.

    Raises:
        KeyboardInterrupt: Ctrl-C, of which DuckDB makes an error without a class, or one that quotes Python's.
    """
    try:
        yield _database(os.getpid()).cursor()
    except Exception as error:
        text = str(error)
        is_interrupt = isinstance(error, RuntimeError | duckdb.InterruptException) and "interrupt" in text.casefold()
        if is_interrupt or (isinstance(error, duckdb.Error) and KeyboardInterrupt.__name__ in text):
            raise KeyboardInterrupt from None
        raise


_SPILL_PREFIX = f"assay-{MACHINE}-"
"""How the names of folders for what memory does not hold begin, before the id of the process."""


@functools.cache
def _database(process_id: int) -> duckdb.DuckDBPyConnection:
    """One thread, in memory, without a file of its own. No file makes it fetch or load an extension.

    What memory does not hold goes to a folder that this user alone may read, not to the working folder, where somebody
    else may have put a link; nowhere where no such folder can be made.

    Args:
        process_id: Whose it is, since none survives a fork.
    """
    no_extensions = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
    folder = ""
    with suppress(OSError):  # the disk is full
        _remove_abandoned_folders()
        folder = mkdtemp(prefix=f"{_SPILL_PREFIX}{process_id}-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return duckdb.connect(":memory:", config={"threads": "1", "temp_directory": folder, **no_extensions})


def _remove_abandoned_folders() -> None:
    """Remove such folders of this user's processes on this machine that were killed."""
    for folder in Path(gettempdir()).glob(f"{_SPILL_PREFIX}*-*"):
        process = folder.name.removeprefix(_SPILL_PREFIX).split("-")[0]
        with suppress(OSError):  # another process removed it first
            status = folder.lstat()
            is_own = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()
            if is_own and process.isdecimal() and not is_alive(int(process)):
                shutil.rmtree(folder, ignore_errors=True)


atexit.register(_database.cache_clear)  # else DuckDB lists all of its objects where other libraries outlive it


def quote_path(path: Path | str) -> str:
    """Return a path as it may stand between single quotes in SQL; DuckDB reads a relative `file:` as an address."""
    return str(path if Path(path).is_absolute() else f"./{path}").replace("'", "''")


def escape_glob(path: Path) -> str:
    """Return a pattern that no other path fits: DuckDB would read `runs/a1` for `runs/a[1]`."""
    if re.search("[\ud800-\udfff]", str(path)):  # which DuckDB refuses without a class
        raise StoreError(f"cannot read {str(path)!a}: the name is no UTF-8; rename the folder")
    return re.sub(r"[*?[]", r"[\g<0>]", str(path))


def _to_array(values: list[Any]) -> np.ndarray:
    present = [value for value in values if value is not None]
    if any(isinstance(value, str) for value in present) or not present:
        return np.array(["" if value is None else str(value) for value in values], dtype=object)
    if all(isinstance(value, bool) for value in present):
        return np.array([bool(value) for value in values], dtype=bool)
    if all(isinstance(value, (int, np.integer)) for value in present) and len(present) == len(values):
        return np.array(values, dtype=np.int64)
    return np.array([math.nan if value is None else float(value) for value in values], dtype=np.float64)


def _fill_masked(column: np.ndarray) -> np.ndarray:
    if not isinstance(column, np.ma.MaskedArray):
        return column
    if column.dtype.kind == "O":
        return column.filled("")
    if column.dtype.kind == "b":
        return column.filled(False)
    missing = np.ma.getmaskarray(column)
    return np.where(missing, np.nan, column.data) if missing.any() else column.data


def _os_error(error: duckdb.IOException) -> OSError:
    """DuckDB tells the system's reason in words."""
    text = str(error)
    reasons = {"No space left": errno.ENOSPC, "Permission denied": errno.EACCES, "Read-only": errno.EROFS}
    number = next((number for words, number in reasons.items() if words in text), errno.EIO)
    return OSError(number, text)
