"""Finished units of a run folder in packs: one Parquet file with the rows of up to 1,000 units, and its index.

A pack is complete when its index, `packs/<name>.json`, is there. The index holds the checksum of the Parquet file and
the record of each unit as it was. Only then are the units' own files removed, records first. A unit is looked for in
the packs first: files of its own, which somebody may have added, never stand for it. What a kill leaves is a Parquet
file without index, which is removed, or files of units that are packed, which are equal and are removed the next time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np

from assay.core.errors import StoreError
from assay.core.files import content_hash, file_state, sha256
from assay.store.files import (
    ALTERED,
    read_checked_json,
    read_columns,
    require_bounded_memory,
    split_columns,
    write_checked_json,
    write_parquet,
)

PACKS = "packs"
PACK_SIZE = 1000
"""Number of units of a pack."""
PACKED: Mapping[str, str] = {"readings": "outputs.parquet", "probes": "measurements.parquet"}
"""Kind of units that are packed -> the file of a unit whose rows a pack holds."""
ROW_GROUP = 8192
"""Rows of a Parquet row group, so that few rows of other units are read with those of one."""
UNIT_ID = "of_unit"
"""The column with a unit's id."""
UNIT_NUMBER = "unit_number"
"""The column with a unit's number within its pack, ascending."""
_REMEDY = "delete it, with its .json, and run the study again"

Columns = dict[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class PackEntry:
    """Entry of a unit in the index of its pack.

    Attributes:
        path: Parquet file of the pack.
        number: Number of the unit in the pack.
        record: Text of its `record.json`.
    """

    path: Path
    number: int
    record: str


def pack_entries(root: Path, kind: str) -> Mapping[str, PackEntry]:
    """Return the packed units of a kind by id.

    Raises:
        StoreError: An index is damaged.
    """
    folder = f"{root}/{PACKS}"
    try:
        modified = os.stat(folder).st_mtime_ns  # noqa: PTH116  asked once for every unit
    except OSError:
        return {}
    return _packed_units(folder, modified).get(kind, {})


@lru_cache(maxsize=8)
def _packed_units(folder: str, modified: int) -> dict[str, dict[str, PackEntry]]:
    """Cached as long as no file of the folder is added or removed."""
    entries: dict[str, dict[str, PackEntry]] = {}
    for index in _indices(Path(folder)):
        values = _read_index(index)
        path = index.with_suffix(".parquet")
        if path.is_file():  # a user who deletes a damaged pack has its units made again
            units = cast("dict[str, str]", values["units"])
            entries.setdefault(values["kind"], {}).update(
                {id: PackEntry(path, number, record) for number, (id, record) in enumerate(units.items())}
            )
    return entries


def _read_index(path: Path) -> dict[str, Any]:
    remedy = "delete it, with its .parquet, and run the study again"
    values = read_checked_json(path, remedy=remedy)
    if not {"kind", "content", "units"} <= values.keys():
        raise StoreError(f"cannot read {path}: it is damaged (it is no index of a pack); {remedy}")
    return values


def read_packed(root: Path, kind: str, ids: Sequence[str]) -> dict[str, Columns]:
    """Return the rows of packed units by id.

    Raises:
        StoreError: A pack is damaged.
    """
    entries = pack_entries(root, kind)
    columns: dict[str, Columns] = {}
    for path in dict.fromkeys(entries[id].path for id in ids):
        _require_unaltered(path)
        ids_of_pack = [id for id in ids if entries[id].path == path]
        numbers = sorted({entries[id].number for id in ids_of_pack})
        number_list = ", ".join(map(str, numbers))
        condition = f"{UNIT_NUMBER} BETWEEN {numbers[0]} AND {numbers[-1]} AND {UNIT_NUMBER} IN ({number_list})"
        read = read_columns(path, UNIT_ID, condition)
        numbers_of_rows = read.pop(UNIT_NUMBER)
        starts = np.searchsorted(numbers_of_rows, numbers)
        parts = dict(zip(numbers, split_columns(read, starts), strict=True))
        columns |= {id: dict(parts[entries[id].number]) for id in ids_of_pack}
    return columns


def recorded_packs(root: Path) -> dict[str, str]:
    """Return the packs of a run folder, by their path there, with the checksums that their indices have.

    Raises:
        StoreError: An index is damaged.
    """
    return {f"{PACKS}/{index.stem}.parquet": _read_index(index)["content"] for index in _indices(root / PACKS)}


def _indices(folder: Path) -> list[Path]:
    """Return the indices of packs, without hidden files, which no manifest lists."""
    return sorted(path for path in folder.glob("*.json") if not path.name.startswith("."))


def _require_unaltered(path: Path) -> None:
    """Compare a pack with its checksum, once as long as its files stay."""
    index = path.with_suffix(".json")
    try:
        _verify(path, file_state(path), index, file_state(index))
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}; {_REMEDY}") from error


@lru_cache(maxsize=1024)
def _verify(path: Path, state: tuple[int, ...], index: Path, index_state: tuple[int, ...]) -> None:
    if sha256(path) != _read_index(index)["content"]:
        raise StoreError(f"cannot read {path}: {ALTERED}; {_REMEDY}")
    require_bounded_memory(path)


# Packing, by the process that holds the folder. A repetition after a kill ends with the same bytes.


def pack(
    root: Path, kind: str, ids: Sequence[str], read: Callable[[Sequence[str]], Sequence[Columns]], size: int = PACK_SIZE
) -> None:
    """Pack the units that have files of their own, in this order, and remove those files.

    Units in a pack have the same columns. Those that do not fill a pack stay as they are.

    Args:
        root: The run folder.
        kind: Kind of the units.
        ids: Complete units, packed or not.
        read: Return the rows of units after comparing their checksums.
        size: Units of a pack.
    """
    folder = root / PACKS
    for path in folder.glob("*.parquet"):
        if not path.with_suffix(".json").is_file():
            path.unlink()
    _remove_packed(root, kind)
    packed = pack_entries(root, kind)
    unpacked = [id for id in dict.fromkeys(ids) if id not in packed]
    by_columns: dict[tuple[tuple[str, str], ...], dict[str, Columns]] = {}
    for start in range(0, len(unpacked) if len(unpacked) >= size else 0, size):
        batch = unpacked[start : start + size]
        for id, columns in zip(batch, read(batch), strict=True):
            group = by_columns.setdefault(tuple((name, str(column.dtype)) for name, column in columns.items()), {})
            group[id] = columns
            if len(group) == size:
                _write(root, kind, group)
                group.clear()
    _remove_packed(root, kind)


def _write(root: Path, kind: str, units: Mapping[str, Columns]) -> None:
    """Write one pack, its index last."""
    path = root / PACKS / f"{kind}-{content_hash(list(units))}.parquet"
    lengths = [len(next(iter(columns.values()))) for columns in units.values()]
    first = next(iter(units.values()))
    columns: Columns = {
        UNIT_ID: np.repeat(np.array(list(units), dtype=object), lengths),
        UNIT_NUMBER: np.repeat(np.arange(len(units)), lengths),
        **{name: np.concatenate([unit[name] for unit in units.values()]) for name in first},
    }
    write_parquet(path, columns, row_group=ROW_GROUP)
    records = {id: (root / kind / id / "record.json").read_text(encoding="utf-8") for id in units}
    values = {"kind": kind, "content": sha256(path), "units": records}
    write_checked_json(path.with_suffix(".json"), values, sort_keys=False)
    now = time.time_ns()
    os.utime(path.parent, ns=(now, now))  # finer than the clock of the file system: no reader keeps an older index


def _remove_packed(root: Path, kind: str) -> None:
    """Remove the own files of units that are in a whole pack, records first."""
    packed = pack_entries(root, kind)
    for path in _subfolders(root / kind):
        if path.name in packed:
            _require_unaltered(packed[path.name].path)
            for name in ("record.json", PACKED[kind]):
                (path / name).unlink(missing_ok=True)
            if not any(path.iterdir()):
                path.rmdir()


def _subfolders(parent: Path) -> Iterator[Path]:
    yield from sorted(path for path in parent.glob("*") if path.is_dir())
