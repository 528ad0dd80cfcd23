"""Files that are there whole or not at all: written under another name, flushed, renamed."""

from __future__ import annotations

import errno
import os
import platform
import re
import secrets
from collections.abc import Callable
from pathlib import Path

from assay.core.errors import StoreError

_REASONS = {
    errno.ENOSPC: "the disk is full; free some space and run the same command again",
    errno.EDQUOT: "the disk quota is used up; free some space and run the same command again",
    errno.EROFS: "the file system is read-only; choose another place with --out",
    errno.EACCES: "writing is not permitted; choose another place with --out",
    errno.EPERM: "writing is not permitted; choose another place with --out",
    errno.ENOTDIR: "a file stands where a folder is expected; choose another place with --out",
    errno.EEXIST: "a file stands where a folder is expected; choose another place with --out",
}

_WRITER = re.sub(r"[^\w-]", "-", platform.node())[:32]
"""The machine: process ids alone repeat where several write to one file system."""


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file beside `path`, flush it to disk, and rename it.

    Raises StoreError with one sentence when the disk is full or may not be written; what stood at `path` is untouched.
    """
    temporary = path.with_name(f".{path.name}.{_WRITER}-{os.getpid()}-{secrets.token_hex(4)}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        _flush(temporary)
        temporary.replace(path)
        _flush(path.parent)
    except OSError as error:
        _discard(temporary)
        raise StoreError(f"cannot write {path}: {_reason(error)}; what was written before is undamaged") from error
    except BaseException:
        _discard(temporary)
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write these bytes whole."""

    def write(temporary: Path) -> None:
        temporary.write_bytes(content)

    write_whole(path, write)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _discard(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:  # the folder itself cannot be reached: nothing was left there
        return


def _reason(error: OSError) -> str:
    return _REASONS.get(error.errno or 0, str(error))
