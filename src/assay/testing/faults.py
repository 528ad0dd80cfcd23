"""What a file system can do to a writer: the process is killed before a step, or the step fails.

Steps are the file operations that Python announces to audit hooks (`open`, `os.rename`, `os.mkdir`, ...) within one
folder, counted from 1. So every moment between two of them is met once, whatever the writer's Python code looks like,
and no privilege, mount or timing is needed. Not met: moments within a library's own writes (DuckDB writes Parquet
without telling Python), of which only the steps around them are. What such a write leaves half done lies under the
temporary name of `core.files.write_whole`, and its failures are tested with the files that use it.
"""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

from assay.core.errors import StoreError

FAILURES = {"full": errno.ENOSPC, "read-only": errno.EROFS, "forbidden": errno.EACCES}
"""What a step can fail with."""

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_CHANGES = ("os.rename", "os.mkdir", "os.link", "os.symlink", "os.truncate")
_REMOVES = ("os.remove", "os.rmdir", "shutil.rmtree")
_KILLED, _DONE, _REFUSED, _BROKEN = 9, 10, 11, 12
_ENDS = {_KILLED: "killed", _DONE: "done", _REFUSED: "refused"}

MOST_STEPS = 500
"""File operations after which work is taken to have no end."""

Work = Callable[[Path], None]
"""What writes into a folder. A function of a module, so that another process can be told of it."""


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
