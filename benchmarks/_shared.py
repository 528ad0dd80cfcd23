"""What every benchmark says and how: the machine, its load, the versions, and one markdown table."""

from __future__ import annotations

import argparse
import os
import platform
import re
import statistics
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

LIBRARIES = ("assay-imaging", "torch", "numpy")
LOOK_EVERY = 0.02
"""Seconds between two looks at the memory."""


def parser(doc: str | None) -> argparse.ArgumentParser:
    """A parser whose help is the script's docstring, with `--out`."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--out", type=Path, metavar="FILE", help="also write what is printed to this file")
    return made


def load() -> str:
    """The load averages over 1, 5 and 15 minutes."""
    return " ".join(f"{value:.1f}" for value in os.getloadavg())


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0))


def summary(name: str, ratios: Mapping[str, float]) -> str:
    """The geometric mean, and the ones for which the peer is faster."""
    mean = statistics.geometric_mean(ratios.values())
    slower = ", ".join(f"{one} {ratio:.2f}" for one, ratio in ratios.items() if ratio < 1) or "none"
    return f"{name}: geometric mean {mean:.2f} over {len(ratios)}; faster than Assay: {slower}."


class Page:
    """Collects what a benchmark prints: facts of the machine first, then one table, then remarks.

    A row is printed as soon as it is known; `close` adds the load at the end and writes the file.
    """

    def __init__(self, columns: Sequence[str], out: Path | None, *facts: str) -> None:
        self.out = out
        self.lines: list[str] = []
        versions = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
        machine = f"{platform.system()} {platform.machine()}, {_processor()}, {cores()} cores"
        self.say(f"{machine}; Python {platform.python_version()}, {versions}; load at the start {load()}")
        for fact in facts:
            self.say(fact)
        self.say("")
        self.row(*columns)
        self.row(*("---" for _ in columns))

    def say(self, line: str) -> None:
        """One line as it is."""
        self.lines.append(line)
        print(line, flush=True)

    def row(self, *cells: object) -> None:
        """One row of the table."""
        self.say("| " + " | ".join(str(cell) for cell in cells) + " |")

    def close(self, *remarks: str) -> None:
        """Remarks below the table, the load at the end, and the file if one was asked for."""
        self.say("")
        for remark in remarks:
            self.say(remark)
        self.say(f"Load at the end {load()}.")
        if self.out is not None:
            self.out.parent.mkdir(parents=True, exist_ok=True)
            self.out.write_text("\n".join(self.lines) + "\n", encoding="utf-8")


def gigabytes(kind: str) -> float:
    """Resident memory of this process of a kind that the system tells apart: `RssAnon`, `RssFile`."""
    found = re.search(rf"{kind}:\s+(\d+)", Path("/proc/self/status").read_text(encoding="ascii"))
    assert found is not None
    return int(found[1]) / 2**20


class Peak:
    """The most anonymous memory seen so far."""

    def __init__(self) -> None:
        self.most = 0.0

    @contextmanager
    def watching(self) -> Generator[None]:
        """Look again and again meanwhile."""
        done = threading.Event()

        def look() -> None:
            while not done.wait(LOOK_EVERY):
                self.most = max(self.most, gigabytes("RssAnon"))

        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def _processor() -> str:
    """The processor's name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "unknown processor"
