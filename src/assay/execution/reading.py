"""How far the reading of images has come: a line that redraws itself on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.live import Live

from assay.data.cache import Told, untold
from assay.execution.progress import PLAIN_EVERY, duration

FIRST_AFTER = 1.0
"""Seconds after which it is said that images are read; what is read sooner needs no words."""


@dataclass
class Reading:
    """What was heard last, and when what is being done began."""

    what: str = ""
    done: int = 0
    of: int = 0
    began: float = 0.0
    now: Callable[[], float] = field(default=time.monotonic)

    def hear(self, what: str, done: int, of: int) -> None:
        """See `data.cache.Told`."""
        if what != self.what or done < self.done:
            self.began = self.now()
        self.what, self.done, self.of = what, done, of

    def line(self) -> str:
        """`reading images: 1,200 of 4,999, about 20 s left`; the time from the second image on."""
        if not self.of:
            return ""
        text = f"{self.what}: {self.done:,} of {self.of:,}"
        if self.done < 2:
            return text
        # the first one's end is when the clock began
        left = (self.now() - self.began) * (self.of - self.done) / (self.done - 1)
        return f"{text}, about {duration(left)} left"


@contextmanager
def reading_shown(quietly: bool) -> Generator[Told]:
    """While it is entered, something that tells on standard error how far images are read; or that tells nothing."""
    if quietly:
        yield untold
        return
    display = _Live() if sys.stderr.isatty() else _Plain()
    try:
        yield display.hear
    finally:
        display.close()


class _Live:
    """One line, drawn from the first image on and taken away at the end."""

    def __init__(self) -> None:
        self.reading = Reading()
        console = Console(stderr=True, markup=False, highlight=False)
        self.live = Live(console=console, refresh_per_second=4, transient=True, get_renderable=self.reading.line)
        self.closed = False

    def hear(self, what: str, done: int, of: int) -> None:
        self.reading.hear(what, done, of)
        if not self.live.is_started and not self.closed:
            self.live.start(refresh=True)

    def close(self) -> None:
        self.closed = True
        self.live.stop()


class _Plain:
    """A line after a second, and then one every ten."""

    def __init__(self) -> None:
        self.reading = Reading()
        self.due = time.monotonic() + min(FIRST_AFTER, PLAIN_EVERY)

    def hear(self, what: str, done: int, of: int) -> None:
        self.reading.hear(what, done, of)
        if time.monotonic() >= self.due:
            self.due = time.monotonic() + PLAIN_EVERY
            print(self.reading.line(), file=sys.stderr, flush=True)

    def close(self) -> None:
        """Nothing is open."""
