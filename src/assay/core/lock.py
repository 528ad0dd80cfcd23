"""Locks between processes: files that the system lets go of when their holder dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from assay.core.errors import StoreError

OUT = "choose another place with --out, or change its permissions"


@contextmanager
def holding(path: Path, wait: Callable[[], None] | None = None, *, remedy: str = OUT) -> Generator[None]:
    """Hold the lock file `path`, which stays when it is let go: removing it would race.

    wait: called between tries while another process has it, and may raise to give up; without it the system waits.
    Processes that are started meanwhile do not hold it. A file system that knows no locks holds nobody up: keeping
    runs apart is then up to the user.
    Raises StoreError, which says `remedy`, when the file cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}; {remedy}") from error
    try:
        if wait is None:
            _taken(lock, fcntl.LOCK_EX)
        else:
            while not _taken(lock, fcntl.LOCK_EX | fcntl.LOCK_NB):
                wait()
        yield
    finally:
        os.close(lock)


def _taken(lock: int, how: int) -> bool:
    try:
        fcntl.flock(lock, how)
    except BlockingIOError:
        return False
    except OSError:  # the file system knows no locks
        return True
    return True
