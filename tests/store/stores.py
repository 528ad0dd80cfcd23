"""What a store of records must be, and faults to inject."""

from __future__ import annotations

import errno
import functools
import json
import multiprocessing
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import numpy as np
import pytest

from assay.core.reasons import reason_of
from assay.plugin import Contributions, Measurement, RunFolder, StoreError, undefined
from assay.store.files import write_json
from assay.store.folder import remove_unit
from assay.store.schema import SCHEMA_VERSION
from assay.study.kind import STUDY

# Faults of a file system: the process is killed before a step, or the step fails.
#
# Steps are the file operations that Python announces to audit hooks (`open`, `os.rename`, `os.mkdir`, ...) within one
# folder, counted from 1. So every moment between two of them is met once, whatever the writer's Python code looks like,
# and no privilege, mount or timing is needed. Not met: moments within a library's own writes (DuckDB writes Parquet
# without telling Python), of which only the steps around them are. A half-done write is under the
# temporary name of `core.files.write_whole`, and its failures are tested with the files that use it.

FAILURES = {"full": errno.ENOSPC, "read-only": errno.EROFS, "forbidden": errno.EACCES}
"""Errors of a step."""

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_CHANGES = ("os.rename", "os.mkdir", "os.link", "os.symlink", "os.truncate")
_REMOVES = ("os.remove", "os.rmdir", "shutil.rmtree")
_KILLED, _DONE, _REFUSED, _BROKEN = 9, 10, 11, 12
_ENDS = {_KILLED: "killed", _DONE: "done", _REFUSED: "refused"}

MOST_STEPS = 500
"""File operations after which work is taken to have no end."""

Work = Callable[[Path], None]
"""Writer into a folder. A function of a module, so that another process can be told of it."""


@dataclass(frozen=True, slots=True)
class Fault:
    """kind: `killed` before the step, or one of `FAILURES`, which steps that take space meet from this one on."""

    kind: str
    step: int


@dataclass(frozen=True, slots=True)
class End:
    """How the work ended: `done` | `killed` | `refused` (StoreError, with its text) | `broken` (anything else)."""

    how: str
    text: str = ""


def with_every_fault(work: Work, kind: str, template: Path, folder: Path) -> dict[Path, End]:
    """Do the work in copies of `template`, below `folder`, with a fault before its first step, its second, ...

    Ends with the copy in which the fault lay beyond the last step, or in which the work broke. Each attempt has a
    process of its own.
    """
    context = multiprocessing.get_context("spawn")
    heard, said = context.Pipe(duplex=False)
    process = context.Process(target=_each, args=(work, kind, template, folder, said))
    process.start()
    said.close()
    ends: dict[Path, End] = {}
    try:
        while True:
            root, end = heard.recv()
            ends[root] = end
    except EOFError:
        process.join()
    assert process.exitcode == 0, "the process that tries every fault died; see what it printed"
    return ends


def _each(work: Work, kind: str, template: Path, folder: Path, said: Connection) -> None:
    """In a process that has no threads yet, so that it can fork."""
    for step in range(1, MOST_STEPS + 1):
        root = folder / f"{kind}-{step}"
        shutil.copytree(template, root)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            _attempt(work, root, Fault(kind, step), writing)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            text = pipe.read()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        end = End(_ENDS.get(code, "broken"), text)
        said.send((root, end))
        if end.how in ("done", "broken"):
            return


def _attempt(work: Work, root: Path, fault: Fault, told: int) -> NoReturn:
    sys.addaudithook(_hook(str(root), fault))
    try:
        work(root)
    except StoreError as error:
        os.write(told, str(error).encode())
        os._exit(_REFUSED)
    except BaseException as error:
        os.write(told, repr(error).encode())
        os._exit(_BROKEN)
    os._exit(_DONE)


def _hook(root: str, fault: Fault) -> Callable[[str, tuple[Any, ...]], None]:
    seen = 0

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        changes = event in _CHANGES or (event == "open" and bool(arguments[2] & _WRITES))
        if not (changes or event in _REMOVES) or not _within(root, arguments):
            return
        seen += 1
        if fault.kind == "killed" and seen == fault.step:
            os._exit(_KILLED)
        if fault.kind in FAILURES and changes and seen >= fault.step:
            number = FAILURES[fault.kind]
            raise OSError(number, os.strerror(number))

    return watch


def _within(root: str, arguments: tuple[Any, ...]) -> bool:
    return any(str(path).startswith(root) for path in arguments if isinstance(path, (str, Path)))


# Suite of stores of a study's records.

ID = "unit-1"

Store = type[RunFolder]
Writer = Callable[[RunFolder, str], None]


def outputs_of(id: str) -> dict[str, np.ndarray]:
    """Outputs of a model for five images; another id, other numbers."""
    draw = np.random.default_rng(len(id))
    numbers = {name: draw.integers(0, 9, 5) for name in ("row", "patient", "target", "fold")}
    return {**numbers, "logits": draw.standard_normal((5, 3)).astype(np.float32)}


def measurements_of(id: str) -> list[Measurement]:
    """Return a number and an undefined value."""
    rests_on = Contributions(np.array([-1, 4]), np.array([0.5, -0.25]))
    known = Measurement("auroc", 1 / len(id), n=10, contributions=rests_on)
    return [known, undefined("auroc", "one class only — ça", environment="it's")]


def sampled_of(id: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Row numbers of five images and the activations of two layers; the later name first."""
    draw = np.random.default_rng(len(id))
    layers = {"trunk.two": draw.standard_normal((5, 3)), "a/one é": draw.standard_normal((5, 1))}
    return draw.integers(0, 99, 5), {name: values.astype(np.float32) for name, values in layers.items()}


def write_trial(store: RunFolder, id: str) -> None:
    """A trial: its curve, then its record."""
    write_json(store.unit("trials", id) / "curve.json", [1.0, 0.5])
    store.write_record("trials", id, {"note": f"«{id}»"})


def write_reading(store: RunFolder, id: str) -> None:
    """A reading."""
    store.write_outputs(id, outputs_of(id), {"note": id})


def write_probe(store: RunFolder, id: str) -> None:
    """A probe, with the activations that it keeps."""
    store.write_activations(id, *sampled_of(id))
    store.write_measurements(id, measurements_of(id), {"note": id})


WRITERS: Mapping[Any, Writer] = {"trials": write_trial, "readings": write_reading, "probes": write_probe}
KINDS = tuple(WRITERS)


def write(store: Store, kind: Any, id: str, root: Path) -> None:
    """Write one unit into a store."""
    WRITERS[kind](store(root), id)


def remove(store: Store, kind: Any, id: str, root: Path) -> None:
    """Take one unit out of a store."""
    remove_unit(store(root).unit(kind, id))


def write_tables(store: Store, root: Path) -> None:
    """All tables, with the stamp of the study."""
    with store(root).stamping_tables({"spec": "b"}):
        store(root).write_table("trials", ("trial", "seed"), [{"trial": "one", "seed": 1}])


def many(store: Store, kind: Any, ids: tuple[str, ...], root: Path) -> None:
    """Write these units again and again."""
    for _ in range(5):
        for id in ids:
            write(store, kind, id, root)


def contents(root: Path) -> dict[str, bytes]:
    """Return every file below a folder."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


class StoreConformance:
    """Set `store` where it is not `RunFolder`: a class of an importable module, made with the path of its folder.

    The layout on disk is the contract (`docs/reference/run-folder.md`), since a run folder is read without Assay; so a
    store of one's own is a `RunFolder` that writes otherwise. Proven, by stopping a writer before each of its file
    operations: the marker is last, so that a torn write is an absent unit and never a damaged one, other units are
    untouched, and the remains can be cleaned up and written again to the same bytes; a full disk and a read-only folder
    are one sentence. Further: written content comes back, the same content is the same bytes, writing twice is writing
    the last, processes that write at once leave whole units, tables count only with their stamp, and records of an
    unknown schema are refused in words.
    """

    store: ClassVar[Store] = RunFolder

    @pytest.mark.parametrize("kind", KINDS)
    def test_what_is_written_comes_back(self, kind: Any, tmp_path: Path) -> None:
        root = tmp_path / "it's a run – où"
        folder = self.store(root)
        assert not folder.complete(kind, ID)
        assert list(folder.ids(kind)) == []
        for id in ("b", "a"):
            WRITERS[kind](folder, id)
        assert list(folder.ids(kind)) == ["a", "b"]
        assert all(not folder.complete(other, "a") for other in KINDS if other != kind)
        self.check_whole(self.store(root), kind, "a")

    def check_whole(self, folder: RunFolder, kind: Any, id: str) -> None:
        """A complete unit holds all that was written, as `WRITERS` writes it."""
        record = folder.record(kind, id)
        assert record.pop("schema") == SCHEMA_VERSION
        assert record == {"note": f"«{id}»" if kind == "trials" else id}
        if kind == "readings":
            found, expected = folder.outputs(id), outputs_of(id)
            assert list(found) == list(expected)
            for name, column in expected.items():
                np.testing.assert_array_equal(found[name], column)
                assert found[name].dtype == column.dtype
        elif kind == "probes":
            rows: list[dict[str, Any]] = [{**row, "reason": reason_of(row)} for row in folder.measurements(id)]
            found = [repr(Measurement(**row)) for row in rows]  # NaN is equal to NaN so
            assert found == [repr(expected) for expected in measurements_of(id)]
            (kept,) = folder.contributions(id).items()
            assert (kept[0], kept[1].samples.tolist(), kept[1].values.tolist()) == (0, [-1, 4], [0.5, -0.25])
            assert folder.has_activations(id)
            sampled, (row, layers) = folder.activations(id), sampled_of(id)
            np.testing.assert_array_equal(sampled[0], row)
            assert list(sampled[1]) == list(layers)
            for name, values in layers.items():
                np.testing.assert_array_equal(sampled[1][name], values)
                assert sampled[1][name].dtype == np.float32
        else:
            assert json.loads((folder.unit(kind, id) / "curve.json").read_text()) == [1.0, 0.5]

    @pytest.mark.parametrize("kind", KINDS)
    def test_the_same_content_is_the_same_bytes_and_the_last_write_counts(self, kind: Any, tmp_path: Path) -> None:
        once, twice = self.store(tmp_path / "once"), self.store(tmp_path / "twice")
        WRITERS[kind](once, ID)
        twice.write_record(kind, ID, {"note": "an earlier one, and longer than what follows" * 9})
        for _ in range(2):
            WRITERS[kind](twice, ID)
        assert contents(tmp_path / "once") == contents(tmp_path / "twice")

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_torn_write_is_an_absent_unit(self, kind: Any, tmp_path: Path) -> None:
        whole = tmp_path / "whole"
        for id in ("other", ID):
            write(self.store, kind, id, whole)
        ends = self.ends(functools.partial(write, self.store, kind, ID), "killed", kind, tmp_path)
        assert {end.how for end in ends.values()} == {"killed", "done"}
        for root, end in ends.items():
            folder = self.store(root)
            present = folder.complete(kind, ID)
            assert present or end.how == "killed"
            assert list(folder.ids(kind)) == sorted(["other", *[ID] * present])
            for id in folder.ids(kind):
                self.check_whole(folder, kind, id)
            folder.remove_partial_files()
            WRITERS[kind](folder, ID)
            assert contents(root) == contents(whole), f"{root.name}: written again after it was killed, it differs"

    def ends(self, work: Work, fault: str, kind: Any, folder: Path) -> dict[Path, End]:
        """How the work ends with a fault before each of its steps, in copies of a store that holds the unit `other`."""
        write(self.store, kind, "other", folder / "before")
        found = with_every_fault(work, fault, folder / "before", folder)
        broken = {root.name: end.text for root, end in found.items() if end.how == "broken"}
        assert not broken, f"the work broke with something else than a StoreError: {broken}"
        return found

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_removal_that_is_killed_leaves_a_whole_unit_or_none(self, kind: Any, tmp_path: Path) -> None:
        write(self.store, kind, ID, tmp_path / "before")
        work = functools.partial(remove, self.store, kind, ID)
        for root, end in with_every_fault(work, "killed", tmp_path / "before", tmp_path).items():
            folder = self.store(root)
            if folder.complete(kind, ID):
                assert end.how == "killed"
                self.check_whole(folder, kind, ID)

    @pytest.mark.parametrize(
        ("fault", "says"),
        [("full", "the disk is full"), ("read-only", "read-only"), ("forbidden", "not permitted")],
    )
    def test_what_cannot_be_written_is_one_sentence_and_damages_nothing(
        self, fault: str, says: str, tmp_path: Path
    ) -> None:
        ends = self.ends(functools.partial(write, self.store, "probes", ID), fault, "probes", tmp_path)
        assert {end.how for end in ends.values()} == {"refused", "done"}
        for root, end in ends.items():
            folder = self.store(root)
            assert (end.how == "refused") == bool(end.text)
            assert says in end.text or end.how == "done", f"the refusal does not say why: {end.text}"
            assert str(root) in end.text or end.how == "done", f"the refusal does not name the place: {end.text}"
            assert len(end.text.splitlines()) <= 1, f"the refusal is more than one line: {end.text}"
            for id in folder.ids("probes"):
                self.check_whole(folder, "probes", id)
            assert folder.complete("probes", "other")
            assert not list(root.rglob("*.partial")), f"{root.name} holds a part of a file"

    def test_processes_that_write_at_once_leave_whole_units(self, tmp_path: Path) -> None:
        context = multiprocessing.get_context("spawn")
        own = ("first", "second")
        workers = [context.Process(target=many, args=(self.store, "probes", ("shared", id), tmp_path)) for id in own]
        for worker in workers:
            worker.start()
        folder = self.store(tmp_path)
        while any(worker.is_alive() for worker in workers):
            for id in folder.ids("probes"):
                self.check_whole(folder, "probes", id)
        assert [worker.exitcode for worker in workers] == [0, 0]
        assert set(folder.ids("probes")) == {"shared", *own}
        assert not list(tmp_path.rglob("*.partial"))

    def test_a_failure_is_no_unit_and_is_forgotten_when_the_unit_succeeds(self, tmp_path: Path) -> None:
        folder = self.store(tmp_path)
        folder.write_failure(ID, {"text": "it broke"})
        assert folder.failures() == {ID: {"text": "it broke"}}
        assert not any(folder.complete(kind, ID) for kind in KINDS)
        WRITERS["trials"](folder, ID)
        assert folder.failures() == {}

    def test_tables_count_only_when_all_of_them_are_written(self, tmp_path: Path) -> None:
        before = self.store(tmp_path / "before")
        before.begin(STUDY, {}, {"spec": "a"})
        with before.stamping_tables({"spec": "a"}):
            before.write_table("trials", ("trial", "seed"), [])
        assert before.tables_are_current()
        before.begin(STUDY, {}, {"spec": "b"})
        assert not before.tables_are_current()
        work = functools.partial(write_tables, self.store)
        for root, end in with_every_fault(work, "killed", before.root, tmp_path).items():
            folder = self.store(root)
            assert end.how == "killed" or folder.tables_are_current()
            if folder.tables_are_current():
                assert folder.table("trials") == [{"trial": "one", "seed": 1}]

    @pytest.mark.parametrize(
        ("record", "says"),
        [
            ({"schema": SCHEMA_VERSION + 1}, f"schema {SCHEMA_VERSION + 1}.*reads up to {SCHEMA_VERSION}: install"),
            ({"note": "of another program"}, "no schema version"),
        ],
    )
    def test_records_of_an_unknown_schema_are_refused(self, record: dict[str, Any], says: str, tmp_path: Path) -> None:
        folder = self.store(tmp_path)
        path = folder.unit("trials", ID) / "record.json"
        write_json(path, record)
        with pytest.raises(StoreError, match=says) as refused:
            folder.record("trials", ID)
        assert str(path) in str(refused.value)

    def test_a_damaged_record_is_refused_by_its_name(self, tmp_path: Path) -> None:
        folder = self.store(tmp_path)
        WRITERS["trials"](folder, ID)
        path = folder.unit("trials", ID) / "record.json"
        path.write_bytes(path.read_bytes()[:-5])
        with pytest.raises(StoreError, match=r"record\.json.*delete this file"):
            folder.record("trials", ID)

    @pytest.mark.parametrize("name", ["study.json", "request.json", "audit.json"])
    def test_a_folder_of_an_earlier_layout_is_refused(self, name: str, tmp_path: Path) -> None:
        (tmp_path / name).write_text("{}")
        with pytest.raises(StoreError, match="was written by an earlier Assay: run it again in another folder"):
            self.store(tmp_path).require(STUDY)

    def test_another_subject_is_refused(self, tmp_path: Path) -> None:
        folder = self.store(tmp_path)
        folder.begin(STUDY, {}, subject="a")
        folder.require(STUDY, "a")
        with pytest.raises(StoreError, match="holds the study of another name"):
            folder.require(STUDY, "b")

    def test_other_sources_are_refused_by_name(self, tmp_path: Path) -> None:
        first, other, copy = (tmp_path / part / "study.yaml" for part in ("one", "two", "copy"))
        for path, text in ((first, "a"), (other, "b"), (copy, "a")):
            path.parent.mkdir()
            path.write_text(text)
        folder = self.store(tmp_path / "runs" / "x")
        folder.begin(STUDY, {}, sources=(first,))
        for same in ((first,), (copy,), ()):
            folder.require(STUDY, sources=same)
        words = r"x holds a study of .*one/study\.yaml, not of .*two/study\.yaml: .*--out, or give one of the studies"
        with pytest.raises(StoreError, match=words):
            folder.require(STUDY, sources=(other,))
        with pytest.raises(StoreError, match=r"one/study\.yaml, not of .*copy/study\.yaml and "):
            folder.require(STUDY, sources=(copy, other))
        (tmp_path / "moved").mkdir()
        for name in ("one", "two", "runs"):
            (tmp_path / name).rename(tmp_path / "moved" / name)
        moved = self.store(tmp_path / "moved" / "runs" / "x")
        with pytest.raises(StoreError, match="holds a study of"):
            moved.require(STUDY, sources=(tmp_path / "moved" / "two" / "study.yaml",))
        first_moved = tmp_path / "moved" / "one" / "study.yaml"
        first_moved.rename(tmp_path / "renamed.yaml")
        moved.require(STUDY, sources=(tmp_path / "renamed.yaml",))
        moved.begin(STUDY, {})
        moved.require(STUDY, sources=(other,))
