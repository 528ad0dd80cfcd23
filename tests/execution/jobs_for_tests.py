"""Jobs that worker processes can import, further to those of the suite of executors."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from assay.execution.tasks import Context, Stopped


@dataclass(frozen=True)
class Die:
    signal: int = 0

    def __call__(self, context: Context) -> None:
        if self.signal:
            os.kill(os.getpid(), self.signal)
        os._exit(9)


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


@dataclass(frozen=True)
class Slow:
    """Takes two seconds, and counts how often it was carried out."""

    path: Path

    def __call__(self, context: Context) -> None:
        time.sleep(2)
        with self.path.open("a", encoding="utf-8") as file:
            file.write("once\n")


@dataclass(frozen=True)
class StopOnce:
    """Stops at its first try, as when an earlier driver asked for it, then leaves a file."""

    path: Path

    def __call__(self, context: Context) -> None:
        tried = self.path.with_suffix(".tried")
        if not tried.exists():
            tried.touch()
            raise Stopped
        self.path.touch()


@dataclass(frozen=True)
class Advance:
    """Is killed so many times, each time further on, then leaves a file."""

    path: Path
    times: int

    def __call__(self, context: Context) -> None:
        tries = len(list(self.path.parent.glob(f"{self.path.name}.try-*")))
        self.path.with_name(f"{self.path.name}.try-{tries}").touch()
        context.report((tries + 1) / (self.times + 1), "training")
        if tries < self.times:
            os._exit(9)
        self.path.touch()
