"""The list of situations in which files are read: each is a test, and a row of docs/reading.md.

python -m tests.reading.situations    # write docs/reading.md
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

PAGE = Path(__file__).parents[2] / "docs" / "reading.md"
MODULES = ("scores", "classes", "targets", "tables", "data", "joins", "patients", "masks", "images", "copies")
"""Modules `tests.reading.test_*`, in the order of the page. The first line of a module's docstring is its heading."""
HEAD = """# What Assay reads, and what it asks

Each row is a situation from practice. A test builds it and reads it through the command line or `assay.*`. The correct
value comes from another library (scikit-learn, pydicom, nibabel, tifffile, pandas or NumPy) or was written into the
files. The rule is the same everywhere: Assay reports what it read, matched or guessed. If a guess could reverse an
answer, Assay stops and asks. This page is made from the tests: `python -m tests.reading.situations`.
"""

Test = TypeVar("Test", bound=Callable[..., Any])


@dataclass(frozen=True)
class Situation:
    """A situation and what Assay does in it, each half a sentence."""

    situation: str
    outcome: str


def situation(situation: str, outcome: str) -> Callable[[Test], Test]:
    """Mark a test as the proof of a situation.

    Args:
        situation: What the files hold, such as `a table in UTF-16`.
        outcome: What Assay does, such as `read, as pandas reads it`.
    """

    def mark(test: Test) -> Test:
        vars(test).setdefault("situations", []).append(Situation(situation, outcome))
        return test

    return mark


def situations(module: str) -> Iterator[Situation]:
    """Yield the situations of a module, in the order of its tests."""
    for test in vars(importlib.import_module(f"tests.reading.test_{module}")).values():
        if callable(test) and getattr(test, "__module__", "") == f"tests.reading.test_{module}":
            yield from reversed(getattr(test, "situations", ()))


def page() -> str:
    """Return the text of docs/reading.md."""
    parts = [HEAD]
    for module in MODULES:
        heading = (importlib.import_module(f"tests.reading.test_{module}").__doc__ or module).splitlines()[0]
        rows = [f"| {one.situation} | {one.outcome} |" for one in situations(module)]
        parts.append(
            "\n".join([f"## {heading.rstrip('.')}", "", "| situation | what Assay does |", "|---|---|", *rows])
        )
    return "\n\n".join(part.strip() for part in parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
