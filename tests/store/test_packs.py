"""Packed units are read as they were, whenever packing was stopped."""

from __future__ import annotations

import functools
import math
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.store.stores import WRITERS, contents, with_every_fault

from assay.plugin import RunFolder, StoreError
from assay.store.soundness import Soundness

UNITS = 3
IDS = ("g", "bb", "a", "e2")
KINDS: tuple[Any, ...] = ("readings", "probes")


def made(root: Path) -> RunFolder:
    """A folder of four readings and probes."""
    folder = RunFolder(root)
    for kind in KINDS:
        for id in IDS:
            WRITERS[kind](folder, id)
    return folder


def pack_all(root: Path) -> None:
    """Pack all units by threes."""
    for kind in KINDS:
        RunFolder(root).pack(kind, [id for id in IDS if RunFolder(root).complete(kind, id)], UNITS)


def plain(value: Any) -> Any:
    """A value that equals itself where it has NaN."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list):
        return [plain(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, np.ndarray):
        array: np.ndarray[Any, np.dtype[Any]] = value  # pyright: ignore[reportUnknownVariableType]
        return str(array.dtype), array.shape, array.tobytes()
    return "NaN" if isinstance(value, float) and math.isnan(value) else value


def said(folder: RunFolder) -> Any:
    """All that a folder gives of its units, one by one and together."""
    every = {kind: [folder.record(kind, id) for id in folder.ids(kind)] for kind in KINDS}
    samples = [plain({row: [one.samples, one.values] for row, one in folder.contributions(id).items()}) for id in IDS]
    return (
        {kind: list(folder.ids(kind)) for kind in KINDS},
        every,
        plain(folder.outputs_of(IDS)),
        plain([folder.outputs(id) for id in IDS]),
        plain(list(map(list, folder.measurements_of(IDS)))),
        plain([list(folder.measurements(id)) for id in IDS]),
        samples,
        Soundness(folder).changes(),
    )


def test_packed_units_are_read_as_before_and_have_no_files_of_their_own(tmp_path: Path) -> None:
    folder = made(tmp_path)
    before = said(folder)
    pack_all(tmp_path)
    assert said(folder) == before
    assert sorted(path.name for path in (tmp_path / "readings").iterdir()) == ["e2"]  # the fourth fills no pack
    assert len(list((tmp_path / "packs").iterdir())) == 4
    assert not folder.complete("readings", "never")


def test_rows_keep_their_order_over_many_row_groups(tmp_path: Path) -> None:
    folder, draw, ids = RunFolder(tmp_path), np.random.default_rng(0), [f"u{number}" for number in range(100)]
    for id in ids:
        columns = {name: draw.integers(0, 999, 1000) for name in ("row", "patient", "target", "fold")}
        folder.write_outputs(id, {**columns, "logits": draw.normal(size=(1000, 2))}, {})
    some = [ids[int(number)] for number in np.sort(np.random.default_rng(0).choice(100, 20, replace=False))]
    before = plain(folder.outputs_of(some))
    folder.pack("readings", ids, len(ids))
    assert not folder.unit("readings", ids[0]).exists()
    assert plain(folder.outputs_of(some)) == before
    assert plain(folder.outputs(some[0])) == before[0]


def test_a_kill_at_any_step_loses_nothing_and_the_repetition_has_the_same_bytes(tmp_path: Path) -> None:
    before = said(made(tmp_path / "before"))
    whole = tmp_path / "whole"
    shutil.copytree(tmp_path / "before", whole)
    pack_all(whole)
    ends = with_every_fault(pack_all, "killed", tmp_path / "before", tmp_path)
    assert {end.how for end in ends.values()} == {"killed", "done"}
    assert len(ends) > 20
    for root in ends:
        folder = RunFolder(root)
        assert said(folder) == before, root.name
        folder.remove_partial_files()
        pack_all(root)
        assert said(folder) == before, root.name
        assert contents(root) == contents(whole), root.name


def test_a_full_disk_is_one_sentence_and_damages_nothing(tmp_path: Path) -> None:
    before = said(made(tmp_path / "before"))
    for root, end in with_every_fault(pack_all, "full", tmp_path / "before", tmp_path).items():
        assert end.how == "done" or (end.how == "refused" and "the disk is full" in end.text)
        assert said(RunFolder(root)) == before


@pytest.mark.parametrize("suffix", [".parquet", ".json"])
def test_a_damaged_pack_is_refused_with_its_path(suffix: str, tmp_path: Path) -> None:
    folder = made(tmp_path)
    pack_all(tmp_path)
    index = next(path for path in (tmp_path / "packs").glob("readings-*.json") if '"bb"' in path.read_text())
    path = index.with_suffix(suffix)
    path.write_bytes(path.read_bytes().replace(b"b", b"c", 1))
    os.utime(path.parent)
    with pytest.raises(StoreError, match=f"(?s){path.name}.*damaged.*delete it, with its"):
        folder.outputs("bb")
    if suffix == ".parquet":
        assert [one.path for one in Soundness(folder).changes()] == [path]


def test_the_units_of_a_pack_that_was_deleted_are_missing(tmp_path: Path) -> None:
    folder = made(tmp_path)
    pack_all(tmp_path)
    for path in (tmp_path / "packs").glob("readings-*"):
        path.unlink()
    assert list(folder.ids("readings")) == ["e2"]
    assert not folder.complete("readings", "bb")
    functools.reduce(lambda _, id: WRITERS["readings"](folder, id), IDS, None)
    assert list(folder.ids("readings")) == sorted(IDS)
