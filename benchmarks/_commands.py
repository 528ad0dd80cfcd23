"""Commands of Assay under troubles: forks of a benchmark, how they end, and what they leave."""

from __future__ import annotations

import argparse
import atexit
import csv
import ctypes
import gc
import importlib
import os
import random
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import numpy as np
from _shared import Page, parser
from PIL import Image

from assay.cli import main as main_of_assay

PATIENCE = 900
"""Seconds after which a command counts as one that hangs, and a process that it started as one that is left."""
SENTENCE = {2, 74, 130}
"""Exit codes of a request that cannot be done, of a full disk or closed output, and of an interruption."""
TIMED = {"provenance.json", "provenance.parquet", "trials.parquet", "finished.json", "manifest.json", "report.html"}
"""Files that hold times."""
DATA = "--target mass --patient patient"
"""Options that name the columns of the images."""
_SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER of prctl."""


class Wrong(Exception):
    """A command did not end as it should."""


def ends_in_sentence(code: int, said: str, silent: bool = False) -> bool:
    """Return whether a command ended in a sentence of at most three lines.

    Args:
        code: Its exit code.
        said: Standard error.
        silent: Whether standard error was closed or full, so that nothing can be said.
    """
    if code == 130 and not said:  # its reader has gone
        return True
    lines = said.splitlines()
    return code in SENTENCE and "Traceback" not in said and (not lines if silent else 0 < len(lines) <= 3)


# Commands as forks


def become_command(
    words: Sequence[str], folder: Path, variables: Mapping[str, str], prepare: Callable[[], object]
) -> NoReturn:
    """Be a command, as a new process would be: in a session of its own, with default signals.

    Args:
        words: What follows `assay`.
        folder: Its working folder.
        variables: Of its environment.
        prepare: Called before it starts, such as to redirect its outputs.
    """
    code = 70
    try:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.chdir(folder)
        os.environ.update(variables)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.modules["__main__"] = ModuleType("__main__")  # workers import that of a command
        prepare()
        main_of_assay(words)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and error.__traceback__ and not error.__traceback__.tb_next:
            code = 130  # the command had ended
        else:
            traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        os._exit(code)


def import_most() -> None:
    """Import what commands import, once, and let forks share it."""
    for name in (
        "audit.command",
        "audit.predictions_command",
        "compare.command",
        "look.command",
        "study.command",
        "validate.command",
        "models.process",
        "study.run",
        "cli.example",
        "cli.init",
    ):
        importlib.import_module(f"assay.{name}")
    gc.collect()
    gc.freeze()


# Processes that commands leave


def adopt_orphans() -> None:
    """Become the parent of all processes whose parent among the commands ends, so that none is out of sight."""
    if ctypes.CDLL(None, use_errno=True).prctl(_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def descendants() -> list[int]:
    """Return the processes below this one, in any depth and session. Those that ended are waited for and left out."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[:2]
            pid = int(path.parent.name)
            if state != "Z":
                parents[pid] = int(parent)
            elif int(parent) == os.getpid():
                os.waitpid(pid, os.WNOHANG)
    found: list[int] = []
    for pid in parents:
        above = parents[pid]
        while above in parents and above != os.getpid():
            above = parents[above]
        if above == os.getpid():
            found.append(pid)
    return found


def end_processes(seconds: float) -> int:
    """Wait until all processes below this one have ended.

    Args:
        seconds: How long to wait; then they are killed.

    Returns:
        The number of processes that were killed.
    """
    late = time.monotonic() + seconds
    while left := descendants():
        if time.monotonic() > late:
            for pid in left:
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            return len(left)
        time.sleep(0.05)
    return 0


# Files


def is_private(name: str) -> bool:
    """Return whether a file is a lock or the like, which no reader sees; those half-written left out."""
    return name.startswith(".") and not name.endswith(".partial")


def write_rows(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write a table."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def write_scores(prepared: Path, path: Path) -> None:
    """Write a score for each prepared image: the standard deviation of its pixels."""
    images = sorted((prepared / "images").iterdir())
    write_rows(path, [{"image": one.name, "score": f"{np.asarray(Image.open(one)).std() / 255:.6f}"} for one in images])


# The page of results


def trouble_parser(doc: str | None, commands: Collection[str], troubles: Collection[str]) -> argparse.ArgumentParser:
    """Return a parser of commands, troubles and a seed."""
    asked = parser(doc)
    asked.add_argument("--only", nargs="+", choices=tuple(commands), default=tuple(commands))
    asked.add_argument("--troubles", nargs="+", choices=tuple(troubles), default=tuple(troubles))
    asked.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6), help="default: a new one")
    return asked


def add_row(page: Page, name: str, ends: Collection[Counter[str]]) -> None:
    """Add the row of a command: how often it ended how, under each trouble."""
    cells = [", ".join(f"{count} {how}" for how, count in sorted(one.items())) for one in ends]
    page.row(name, *cells, sum(one["wrong"] for one in ends))
