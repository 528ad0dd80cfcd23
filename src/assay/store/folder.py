"""A run folder (`RunFolder`): its request, units of work with their records, and tables.

A unit has a folder or a place in a pack. Its record is written last and holds checksums of its files; whatever reads a
unit compares them. `begin` states what is requested, `write_tables` ends a run.
"""

from __future__ import annotations

import filecmp
import hashlib
import os
import re
import shutil
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from assay.core.errors import NoTableError, StoreError, key_text, shorten, unknown_name
from assay.core.files import file_hash, hide_paths, is_abandoned, is_file, is_folder, is_hidden, sha256
from assay.core.types import Contributions, Measurement
from assay.store.arrays import (
    REMAKE_UNIT,
    measurement_row,
    output_columns,
    outputs_from_columns,
    read_activations,
    read_contributions,
    write_activations,
    write_contributions,
)
from assay.store.columns import Table
from assay.store.files import (
    ALTERED,
    REMAKE_FILE,
    ColumnRows,
    Row,
    column_rows,
    content_key,
    json_text,
    parse_json,
    read_checked_json,
    read_column_rows,
    read_json_content,
    read_parquets,
    verify_once,
    write_checked_json,
    write_json,
    write_parquet,
    write_rows,
)
from assay.store.kinds import Kind, kinds
from assay.store.layout import RUN, UNIT_KINDS, UnitKind, holds_folder
from assay.store.local import keep_paths, restore_paths
from assay.store.manifest import MANIFEST, PREVIEW, is_ours, read_manifest, require_listed, require_signed_data
from assay.store.migrations import migrate, refuse_earlier, without_version
from assay.store.packs import PACK_SIZE, PACKED, PackEntry, pack, pack_entries, read_packed
from assay.store.schema import MEASUREMENTS, SCHEMA_VERSION
from assay.store.views import VIEWS

# Every unit of work leaves one record, and the record's presence means that the unit is complete.

STAMP = "stamp.json"
"""What the tables were made of; written after them."""

EARLIER_TABLES = (
    "these tables belong to an earlier spec or earlier data: the run of the present ones did not end; run it again"
)

ACTIVATIONS = "activations.safetensors"
CONTRIBUTIONS = "contributions.safetensors"


def checked_id(id: str) -> str:
    """Return the id of a unit, such as `923ed0a9bf2767d3`, which names its folder. Raises StoreError for a path."""
    if not re.fullmatch(r"\w[\w-]*", id):
        raise StoreError(f"'{shorten(id)}' is no id of a unit that Assay writes: the run folder was altered")
    return id


def remove_unit(path: Path) -> None:
    """Delete the folder of a unit, its record first, so that an interrupted deletion leaves no complete unit."""
    if path.is_dir() and not path.is_symlink():
        (path / "record.json").unlink(missing_ok=True)
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


# Checksums: a record holds those of the files of its unit, and one of itself.

FILE_CHECKSUMS, RECORD_CHECKSUM = "files", "sha256"
_UNCHECKED = {"record.json", "provenance.json", "checkpoint.pt"}
"""Those that hold times, whose checksum would not be the same when they are made again."""


def _checksums(folder: Path) -> dict[str, str]:
    """File name -> SHA-256 of the files in a folder that are the same whenever they are made again."""
    paths = sorted(path for path in folder.glob("*") if path.name not in _UNCHECKED and not path.name.startswith("."))
    return {path.name: sha256(path) for path in paths if path.is_file()}


def _checksum(id: str, record: Mapping[str, Any]) -> str:
    """That of a record without its own, which belongs to this unit alone."""
    text = json_text([id, {key: value for key, value in record.items() if key != RECORD_CHECKSUM}])
    return hashlib.sha256(text.encode()).hexdigest()


def _require_checksum(path: Path, expected: str | None) -> Path:
    """Return the path, whose content has this checksum. A file that cannot be read is left to its reader to refuse.

    Raises:
        StoreError: For another content, or where no checksum is known.
    """
    try:
        altered = file_hash(path) != expected
    except OSError:
        altered = False
    if altered:
        raise StoreError(f"cannot read {path}: {ALTERED}; {REMAKE_UNIT}")
    return path


def _display_path(path: Path) -> str:
    """Return a path from the working directory where it leads there, and else the whole path."""
    inside = os.path.relpath(path)
    return str(path.absolute()) if inside.startswith("..") else inside


def _are_different(paths: Sequence[Path], others: Sequence[Path]) -> bool:
    """Return whether paths surely lead to other files or folders, and not to files of the same content."""
    if not all(map(os.path.exists, paths)):
        return False
    try:
        return len(paths) != len(others) or not all(map(_are_copies, paths, others))
    except OSError:  # somebody else's, which cannot be read
        return False


def _are_copies(path: Path, other: Path) -> bool:
    """Return whether two files, or all files of two folders, have the same content. Raises OSError.

    Names and sizes are compared first. Hidden files and run folders do not count; a link to a folder is not followed.
    """
    if path.samefile(other):
        return True
    pairs, files = [(path, other)], list[tuple[Path, Path]]()
    while pairs:
        first, second = pairs.pop()
        if is_folder(first) and is_folder(second):
            if first is not path and (first.is_symlink() or second.is_symlink()):
                if not first.samefile(second):
                    return False
                continue
            names = _visible_names(first)
            if names != _visible_names(second):
                return False
            pairs += [(first / name, second / name) for name in names]
        elif is_file(first) and is_file(second) and first.stat().st_size == second.stat().st_size:
            files.append((first, second))
        else:
            return False
    return all(filecmp.cmp(first, second, shallow=False) for first, second in files)


def _visible_names(folder: Path) -> list[str]:
    """Return the names in a folder without hidden ones and run folders."""
    return sorted(entry.name for entry in folder.iterdir() if entry.name[0] != "." and not is_file(entry / RUN))


@dataclass(frozen=True)
class RunFolder:
    """The records and tables of a run. See `store.schema` for the layout."""

    root: Path

    def document(self) -> dict[str, Any]:
        """Return what was last begun here: `kind`, `stamp`, `subject` and `request`.

        Raises:
            StoreError: Nothing was, or the file is damaged.
        """
        return restore_paths(self.root, Path(RUN).stem, self._document_without_paths())

    def _document_without_paths(self) -> dict[str, Any]:
        path = self.root / RUN
        if not is_file(path):
            refuse_earlier(self.root)
        return migrate(read_checked_json(path), path)

    @property
    def kind(self) -> Kind | None:
        """The kind of run that was last begun here; None where none was.

        Raises:
            StoreError: This version does not know the kind.
        """
        if not is_file(self.root / RUN):
            refuse_earlier(self.root)
            return None
        name = self._document_without_paths()["kind"]
        if name not in kinds():
            raise StoreError(f"{self.root} holds a run of the kind '{name}', which this version does not know")
        return kinds()[name]

    @property
    def tables(self) -> Mapping[str, Table]:
        """Descriptions of its tables by name, the most requested first."""
        return self.require_run().tables

    def require_run(self) -> Kind:
        """Return the kind of run. Raises StoreError when none was begun here."""
        kind = self.kind
        if kind is None:
            raise StoreError(f"{self.root} is not a run folder: it holds no {RUN}")
        return kind

    def require(self, kind: Kind, subject: str = "", sources: Sequence[Path] = ()) -> None:
        """Check that nothing else was started here.

        Args:
            kind: The kind of run.
            subject: What may not change in a folder, such as the hash of a model and its images; not compared if empty.
            sources: The files or folders that the run is of. Those of a run before are not compared where there are
                none, and where one of them is gone or cannot be read: it may have been moved.

        Raises:
            StoreError: The folder holds another kind of run, or one of another subject or other sources.
        """
        kind_of_run = self.kind
        if kind_of_run not in (None, kind):
            raise StoreError(f"{self.root} holds {kind_of_run.noun}, not {kind.noun}: give another folder")
        if kind_of_run and subject and self.document()["subject"] != subject:
            raise StoreError(
                f"{self.root} holds the {kind.name} of another {kind.subject}: choose another place with "
                f"{key_text('--out')}"
            )
        earlier = self._earlier_sources() if kind_of_run and sources else []
        if earlier and _are_different(earlier, sources):
            before, now = (" and ".join(map(_display_path, paths)) for paths in (earlier, sources))
            raise StoreError(
                f"{self.root} holds {kind.noun} of {before}, not of {now}: choose another place with "
                f"{key_text('--out')}, or {kind.other_place_hint}"
            )

    def _earlier_sources(self) -> list[Path]:
        """Return the sources of the run that was begun here; none where its paths were left out of the folder."""
        paths: Any = self.document().get("sources")
        listed = cast("list[Any]", paths) if isinstance(paths, list) else []
        return [Path(path) for path in listed if isinstance(path, str) and not is_hidden(path)]

    def begin(
        self,
        kind: Kind,
        request: Mapping[str, Any],
        stamp: Mapping[str, str] | None = None,
        subject: str = "",
        sources: Sequence[Path] = (),
    ) -> None:
        """Write what is asked for, after removing what only a run that ended has.

        Args:
            kind: The kind of run.
            request: What is asked for.
            stamp: What the tables will be made of.
            subject: See `require`.
            sources: See `require`. Those beside the folder can be moved together with it.
        """
        replaced = self._fields_replaced(request)
        self.remove_end_marks()
        values = {"kind": kind.name, "stamp": stamp or {}, "subject": subject, "request": request}
        values |= {"replaced": replaced} if replaced else {}
        values |= {"sources": list(map(os.path.realpath, sources))} if sources else {}
        path, document = self.root / RUN, {"schema": SCHEMA_VERSION, **values}
        write_checked_json(path, keep_paths(self.root, path.stem, document), sort_keys=False)

    def _fields_replaced(self, request: Mapping[str, Any]) -> list[str]:
        """Return the fields in which a request differs from that of the run that ended here; none without one.

        Of a run that has begun again and has not ended, these are the ones that it keeps.
        """
        if not is_file(self.root / RUN):
            return []
        document = self.document()
        if not self.has_ended:
            return list(document.get("replaced", ()))
        before: Mapping[str, Any] = document["request"]
        return [
            name
            for name, value in request.items()
            if name in before and json_text(before[name]) not in (json_text(value), json_text(hide_paths(value)))
        ]

    def remove_end_marks(self) -> None:
        """Remove what only a run that ended has."""
        for path in (self.root / MANIFEST, self.root / "tables" / STAMP):
            path.unlink(missing_ok=True)

    def require_table(self, name: str) -> Table:
        """Return the description of a table. Raises NoTableError, with the nearest name, when it has none of it."""
        kind_of_run = self.require_run()
        if name in kind_of_run.tables:
            return kind_of_run.tables[name]
        if any(name in kind.tables for kind in kinds().values()):
            has = ", ".join(kind_of_run.tables)
            raise NoTableError(f"{self.root} holds {kind_of_run.noun}, which has no table '{name}'; it has {has}")
        raise NoTableError(unknown_name("table", name, tuple(kind_of_run.tables)))

    def unit(self, kind: UnitKind, id: str) -> Path:
        """Return the folder of one unit. Raises StoreError where its id may lead out of this folder."""
        return self.root / kind / checked_id(id)

    def complete(self, kind: UnitKind, id: str) -> bool:
        """Return whether this unit's record, which is written last, is there or in a pack."""
        return self._has_own_record(kind, id) or id in pack_entries(self.root, kind)

    def _pack_of(self, kind: UnitKind, id: str) -> PackEntry | None:
        """Return where a unit is packed; None where it has only files of its own, which never stand for a pack."""
        entry = pack_entries(self.root, kind).get(id)
        if entry is None and not self._has_own_record(kind, id):
            entry = pack_entries(self.root, kind).get(id)  # it was packed meanwhile
        return entry

    def _require_listed(self, path: Path) -> None:
        """Check that a run which ended here wrote a record or a pack, unless one works here now. Raises StoreError."""
        if not holds_folder(self.root):
            require_listed(self.root, path)

    def _has_own_record(self, kind: UnitKind, id: str) -> bool:
        """Return whether a unit has a record of its own."""
        return os.path.isfile(f"{self.root}/{kind}/{id}/record.json")  # noqa: PTH113  pathlib takes four times as long

    def probed(self, id: str) -> bool:
        """Return whether a probe has a record that lists its readings, and every one of these is complete."""
        if not self.complete("probes", id):
            return False
        readings: Mapping[str, str] | None = self.record("probes", id).get("readings")
        return readings is not None and all(self.complete("readings", reading) for reading in readings.values())

    def ids(self, kind: UnitKind) -> Iterator[str]:
        """Return the complete units of a kind, sorted."""
        loose = {path.parent.name for path in (self.root / kind).glob("*/record.json")}
        every = loose | pack_entries(self.root, kind).keys()  # in this order, as units go from one to the other
        return iter(sorted(every))

    def write_record(self, kind: UnitKind, id: str, record: Mapping[str, Any]) -> None:
        """Mark a unit complete. Everything else it leaves must be written before; an earlier failure is forgotten.

        What a killed worker did not finish writing before this one took the unit over goes.
        """
        unit = self.unit(kind, id)
        for partial_file in unit.glob(".*.partial"):
            if is_abandoned(partial_file):
                partial_file.unlink(missing_ok=True)
        complete = {"schema": SCHEMA_VERSION, **record, FILE_CHECKSUMS: _checksums(unit)}
        write_json(unit / "record.json", {**complete, RECORD_CHECKSUM: _checksum(id, complete)})
        self.forget_failure(id)

    def record(self, kind: UnitKind, id: str) -> dict[str, Any]:
        """Return the record of a complete unit, brought to the present schema.

        Raises:
            StoreError: If it is damaged.
        """
        record = self._checked_record(kind, id)
        return {key: value for key, value in record.items() if key not in (FILE_CHECKSUMS, RECORD_CHECKSUM)}

    def _checked_record(self, kind: UnitKind, id: str) -> dict[str, Any]:
        path = self.unit(kind, id) / "record.json"
        in_pack = self._pack_of(kind, id)
        self._require_listed(in_pack.path.with_suffix(".json") if in_pack else path)
        if in_pack:
            content = str(in_pack.record).encode("utf-8", "surrogatepass")  # which no reader takes as text
            value = parse_json(content, path)
        else:
            value, content = read_json_content(path)
        record = migrate(value, path)

        def verify(paths: Sequence[Path]) -> None:
            if record.get(RECORD_CHECKSUM) != _checksum(id, record):
                raise StoreError(f"cannot read {paths[0]}: {ALTERED}; {REMAKE_FILE}")

        verify_once({path: content_key(f"record {id}", content)}, verify)
        return record

    def checked_path(self, kind: UnitKind, id: str, name: str) -> Path:
        """Return the path of a file of a complete unit.

        Raises:
            StoreError: If its content has changed since the unit was completed.
        """
        path = self.unit(kind, id) / name
        if not self.complete(kind, id):
            return path
        return _require_checksum(path, self._checked_record(kind, id).get(FILE_CHECKSUMS, {}).get(name))

    def units(self) -> Iterator[tuple[UnitKind, str]]:
        """Return the kinds and ids of all complete units."""
        return ((kind, id) for kind in UNIT_KINDS for id in self.ids(kind))

    def recorded_sums(self, kind: UnitKind, id: str) -> dict[str, str]:
        """Return the files of a complete unit, below this folder, with the checksums that its record has.

        Raises:
            StoreError: The record is damaged.
        """
        files: Mapping[str, str] = self._checked_record(kind, id)[FILE_CHECKSUMS]
        in_pack = PACKED.get(kind) if self._pack_of(kind, id) else ""
        return {f"{kind}/{id}/{name}": digest for name, digest in files.items() if name != in_pack}

    @property
    def has_ended(self) -> bool:
        """Whether the last run here has written its tables."""
        return (self.root / "tables" / STAMP).is_file()

    def failure_path(self, id: str) -> Path:
        """Where the traceback of a failed unit is kept."""
        return self.root / "failures" / f"{id}.json"

    def write_failure(self, id: str, failure: Mapping[str, Any]) -> None:
        """Keep why a unit failed."""
        write_checked_json(self.failure_path(id), {"schema": SCHEMA_VERSION, **failure})

    def forget_failure(self, id: str) -> None:
        """The unit succeeded after all."""
        self.failure_path(id).unlink(missing_ok=True)

    def failures(self) -> dict[str, dict[str, Any]]:
        """Unit id -> record of its failure, without the schema version."""
        paths = sorted((self.root / "failures").glob("*.json"))
        read = {path.stem: migrate(without_version(read_checked_json(path)), path) for path in paths}
        return {id: {key: value for key, value in record.items() if key != "schema"} for id, record in read.items()}

    def write_outputs(self, id: str, outputs: Mapping[str, np.ndarray], record: Mapping[str, Any]) -> None:
        """Store the outputs of one model in one environment, see `arrays.output_columns`."""
        write_parquet(self.unit("readings", id) / "outputs.parquet", output_columns(outputs))
        self.write_record("readings", id, record)

    def outputs(self, id: str) -> dict[str, np.ndarray]:
        """Read the outputs stored by `write_outputs`, with `logits` as float32 or float64 [n, k], as they were."""
        return self.outputs_of([id])[0]

    def outputs_of(self, ids: Sequence[str]) -> list[dict[str, np.ndarray]]:
        """Read the outputs of several units, as `outputs` does."""
        return list(map(outputs_from_columns, self._rows("readings", ids)))

    def _rows(self, kind: UnitKind, ids: Sequence[str]) -> list[dict[str, np.ndarray]]:
        """Read the rows of several units from their own files or from packs."""
        in_packs = {id: entry for id in ids if (entry := self._pack_of(kind, id))}
        for path in {entry.path for entry in in_packs.values()}:
            self._require_listed(path.with_suffix(".json"))
        loose = [id for id in ids if id not in in_packs]
        read = dict(zip(loose, read_parquets([self.checked_path(kind, id, PACKED[kind]) for id in loose]), strict=True))
        if len(loose) < len(ids):
            read |= read_packed(self.root, kind, [id for id in ids if id not in read])
        return [read[id] for id in ids]

    def pack(self, kind: UnitKind, ids: Sequence[str], units: int = PACK_SIZE) -> None:
        """Move complete units into packs (see `store.packs`), in this order. For who holds the folder."""
        pack(self.root, kind, ids, lambda some: self._rows(kind, some), units)

    def write_measurements(self, id: str, measurements: Sequence[Measurement], record: Mapping[str, Any]) -> None:
        """Store the measurements of one probe on one model, and the contributions to those that are compared."""
        write_contributions(self._contributions(id), measurements)
        rows = [measurement_row(measurement) for measurement in measurements]
        write_rows(self.unit("probes", id) / "measurements.parquet", tuple(MEASUREMENTS), rows)
        self.write_record("probes", id, record)

    def measurements(self, id: str) -> ColumnRows:
        """Read the measurements stored by `write_measurements`."""
        return self.measurements_of([id])[0]

    def measurements_of(self, ids: Sequence[str]) -> list[ColumnRows]:
        """Read the measurements of several units, as `measurements` does."""
        return list(map(column_rows, self._rows("probes", ids)))

    def contributions(self, id: str) -> dict[int, Contributions]:
        """Read the contributions to the measurements of a probe, by the place of their rows."""
        return read_contributions(self.checked_path("probes", id, CONTRIBUTIONS))

    def has_contributions(self, id: str) -> bool:
        """Return whether a probe kept contributions."""
        return self._contributions(id).is_file()

    def _contributions(self, id: str) -> Path:
        return self.unit("probes", id) / CONTRIBUTIONS

    def write_activations(self, id: str, row: np.ndarray, layers: Mapping[str, np.ndarray]) -> None:
        """Keep what layers of one model said of a sample of images: float32 [n, d] by layer. Before its probe's record.

        Args:
            row: The images' numbers [n].
        """
        write_activations(self._activations_path(id), row, layers)

    def activations(self, id: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Read the activations stored by `write_activations`: rows, and layers in their order.

        Raises:
            StoreError: If a probe kept nothing.
        """
        return read_activations(self.checked_path("probes", id, ACTIVATIONS))

    def has_activations(self, id: str) -> bool:
        """Return whether a probe kept activations."""
        return self._activations_path(id).is_file()

    def _activations_path(self, id: str) -> Path:
        return self.unit("probes", id) / ACTIVATIONS

    def write_table(self, name: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Replace one of the tables that the report is made of."""
        write_rows(self.root / "tables" / f"{name}.parquet", columns, rows)

    def write_tables(self, tables: Mapping[str, Sequence[Row]]) -> None:
        """Write every table of what was last asked here; those that are not given are empty."""
        with self.stamping_tables(self.requested_stamp()):
            for name, table in self.tables.items():
                if not table.parts:
                    self.write_table(name, table.names, tables.get(name, ()))

    @contextmanager
    def stamping_tables(self, stamp: Mapping[str, str]) -> Generator[None]:
        """Around the making of all tables: they bear this stamp when they are whole, and none before."""
        path = self.root / "tables" / STAMP
        self.remove_end_marks()  # the manifest has checksums of the tables before
        yield
        write_checked_json(path, {"schema": SCHEMA_VERSION, **stamp})

    def tables_are_current(self) -> bool:
        """Return whether the tables were made of the study or request that was last begun here."""
        stamp = self.stamp()
        return bool(stamp) and stamp == self.requested_stamp()

    def requested_stamp(self) -> dict[str, str]:
        """Return the stamp of the run that was last begun here; empty where it has none."""
        return self.document()["stamp"]

    def stamp(self) -> dict[str, Any]:
        """Return what the tables were made of; empty while they are made."""
        path = self.root / "tables" / STAMP
        content = migrate(read_checked_json(path), path) if path.is_file() else {}
        return {key: value for key, value in content.items() if key != "schema"}

    def remove_partial_files(self) -> None:
        """Remove files that a killed run did not finish writing. For who holds the folder.

        Those of a preview are its own, which may be written while a run begins; those of living processes are written
        by jobs of an earlier driver.
        """
        folders = [str(self.root)] if self.root.is_dir() else []
        while folders:  # os.walk looks at every folder twice
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders += [entry.path] if entry.path != f"{self.root}/{PREVIEW}" else []
                    elif re.fullmatch(r"\..*\.partial", entry.name) and is_abandoned(Path(entry.path)):
                        Path(entry.path).unlink(missing_ok=True)

    def table(self, name: str) -> list[Row]:
        """Return a table as rows. See `table_by_column`."""
        return list(self.table_by_column(name))

    def table_by_column(self, name: str) -> ColumnRows:
        """Return a table as rows that are made when they are read, for a long one.

        Raises:
            StoreError: If there is none of that name, or no analysis ended here.
        """
        if parts := self.require_table(name).parts:
            return VIEWS[name](*map(self.table_by_column, parts))
        path = self.root / "tables" / f"{name}.parquet"
        if not path.is_file():
            raise StoreError(f"{self.root} holds no table '{name}': {self.require_run().remedy}")
        listed = read_manifest(self.root)
        if listed is not None:  # there is none while a run reads its tables for its page
            require_signed_data(self.root)
            _require_checksum(path, listed.get(f"tables/{path.name}", (0, ""))[1])
        return read_column_rows(path, trusted=listed is not None and is_ours(self.root))


received_folder: ContextVar[Path | None] = ContextVar("received", default=None)
"""A run folder that this process reads and that this user's Assay did not finish here."""
