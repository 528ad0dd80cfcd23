"""Jobs that worker processes can import."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from assay.core.errors import DataError, FullError
from assay.execution.tasks import Context, Stopped


@dataclass(frozen=True)
class Touch:
    path: Path

    def __call__(self, context: Context) -> None:
        context.report(1.0, "writing")
        self.path.write_text(os.environ.get("OMP_NUM_THREADS", ""))


@dataclass(frozen=True)
class Refuse:
    def __call__(self, context: Context) -> None:
        raise DataError("row 3 is wrong")


@dataclass(frozen=True)
class Exit:
    def __call__(self, context: Context) -> None:
        raise SystemExit(0)


@dataclass(frozen=True)
class Fill:
    def __call__(self, context: Context) -> None:
        raise FullError("cannot write x: the disk is full")


@dataclass(frozen=True)
class Die:
    def __call__(self, context: Context) -> None:
        os._exit(9)


@dataclass(frozen=True)
class WaitForStop:
    started: Path
    left: Path

    def __call__(self, context: Context) -> None:
        self.started.touch()
        while not context.should_stop():
            time.sleep(0.01)
        self.left.touch()
        raise Stopped


@dataclass(frozen=True)
class DieAtRest:
    """Leaves its record, and its process dies just after it has said so."""

    pid: Path

    def __call__(self, context: Context) -> None:
        self.pid.write_text(str(os.getpid()))


@dataclass(frozen=True)
class Unreadable:
    """Can be sent, and not be read: its class is known to the sender alone."""

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return _cannot_be_read, ()

    def __call__(self, context: Context) -> None:
        raise AssertionError


def _cannot_be_read() -> None:
    raise ModuleNotFoundError("No module named 'my_losses'")
