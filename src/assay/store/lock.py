"""One run at a time works in a run folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from assay.core.errors import StoreError

LOCK = ".lock"


@contextmanager
def working_in(root: Path) -> Generator[None]:
    """Hold a run folder while something is written there; the system lets go of it when this process dies.

    Raises StoreError when another process holds it, or the folder cannot be made. Processes that are started meanwhile
    do not hold it.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        lock = os.open(root / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StoreError(
            f"cannot write {root / LOCK}: {error.strerror}; choose another place with --out, or change its permissions"
        ) from error
    try:
        _hold(lock, root)
        yield
    finally:
        os.close(lock)


def _hold(lock: int, root: Path) -> None:
    if not _taken(lock):
        raise StoreError(f"another run works in {root}: wait until it ends, or choose another place with --out")


@contextmanager
def alone_with(path: Path, wait: Callable[[], None]) -> Generator[None]:
    """Hold the lock file `path` once no other process does; `wait` is called between tries and may raise to give up.

    Raises StoreError when it cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}; change its permissions or its place") from error
    try:
        while not _taken(lock):
            wait()
        yield
    finally:
        os.close(lock)


def _taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system that knows no locks: keeping runs apart is then up to the user
        return True
    return True
