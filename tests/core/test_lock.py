"""One lock for all: of a run folder, of a source, of what the cache builds and downloads."""

from __future__ import annotations

import errno
import fcntl
from pathlib import Path

import numpy as np
import pytest

from assay.core import files
from assay.core.files import file_lock
from assay.plugin import ArrayCache, StoreError
from assay.store.layout import working_in


def test_who_waits_is_asked_between_tries_and_has_it_when_it_is_free(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    first = file_lock(path)
    first.__enter__()
    asked: list[int] = []

    def wait() -> None:
        asked.append(1)
        if len(asked) == 3:
            first.__exit__(None, None, None)

    with file_lock(path, wait):
        assert len(asked) == 3
        with pytest.raises(StoreError, match="given up"), file_lock(path, give_up):
            raise AssertionError("two hold it")
    with file_lock(path, give_up):
        assert path.exists()


def give_up() -> None:
    raise StoreError("given up")


def test_a_lock_that_cannot_be_made_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a file")
    with (
        pytest.raises(StoreError, match=r"cannot write .*a/\.lock: .*; choose another place with --out"),
        file_lock(tmp_path / "a" / ".lock"),
    ):
        raise AssertionError("it was made")


def test_missing_locks_are_told_once_and_hold_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    files._say_unlocked.cache_clear()  # pyright: ignore[reportPrivateUsage]
    with (
        pytest.warns(UserWarning, match=r"no locks \(No locks available\): make sure") as warned,
        working_in(tmp_path / "run"),
        file_lock(tmp_path / "source" / ".lock"),
    ):
        built = ArrayCache(tmp_path / "cache").get("a", (2,), np.uint8, lambda array: None)
    assert (len(warned), built.tolist()) == (1, [0, 0])
