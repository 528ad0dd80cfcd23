"""What is wrong with a spec, gathered and told at once: place, what was given, what is allowed, the nearest name."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from assay.core.document import Document, Keys, dotted
from assay.core.errors import SpecError, nearest

MOST_TOLD = 5


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. Up to three lines: `place: key = given`, what is expected, and what to do.

    unknown: whether the key itself means nothing, whatever the rest of the study says. by: what changed the study so
    that this is wrong (`--set`), where it stands elsewhere than the change.
    """

    keys: Keys
    given: str
    expected: str
    hint: str = ""
    unknown: bool = False
    by: str = ""

    def text(self, document: Document) -> str:
        """The lines, without a place where none is known."""
        place = document.place(self.keys)
        place += f", as {self.by} changed the study" if place and self.by else ""
        head = ": ".join(part for part in (place, dotted(self.keys)) if part) or "the study"
        lines = [f"{head} = {self.given}" if self.given else head, f"  {self.expected}"]
        return "\n".join([*lines, f"  {self.hint}"] if self.hint else lines)


@dataclass(frozen=True)
class Problems:
    """Collects problems of one document. `origins` says where the values of a grid point were written."""

    document: Document
    found: list[Problem] = field(default_factory=list[Problem])
    origins: Mapping[Keys, Keys] = field(default_factory=dict[Keys, Keys])

    def at(self, origins: Mapping[Keys, Keys]) -> Problems:
        """The same collection for one point of the grid."""
        return Problems(self.document, self.found, origins)

    def source(self, keys: Keys) -> Keys:
        """Where the value at `keys` of the grid point was written in the document."""
        for end in range(len(keys), 0, -1):
            if keys[:end] in self.origins:
                return (*self.origins[keys[:end]], *keys[end:])
        return keys

    def add(self, keys: Keys, given: Any, expected: str, hint: str = "") -> None:
        """Note a problem of the value at `keys`, once however many grid points share it."""
        problem = Problem(self.source(keys), show(given), expected, hint)
        if problem not in self.found:
            self.found.append(problem)

    def unknown_key(self, keys: Keys, allowed: Iterable[str], what: str = "") -> None:
        """Note a key that means nothing here."""
        names = list(allowed)
        holder = self.source(keys[:-1])
        inside = what or (dotted(holder) or "a study")
        near = nearest(str(keys[-1]), names)
        meant = f": did you mean '{near}'?" if near else ""
        if keys[-1] == "true" and "on" in names:
            meant = ": YAML 1.1 reads the key `on` as true: write 'on' in quotes, or give the text itself or its path"
        problem = Problem(
            (*holder, keys[-1]),
            "",
            f"unknown key '{keys[-1]}' in {inside}{meant}",
            f"allowed: {shorten(sorted(names))}",
            unknown=True,
        )
        if problem not in self.found:
            self.found.append(problem)

    def stop(self) -> None:
        """Raise WrongSpec when anything was found: the first few by line, then what stands in no file."""
        if not self.found:
            return
        told = sorted(self.found, key=lambda problem: _line(self.document.place(problem.keys)))[:MOST_TOLD]
        texts = [problem.text(self.document) for problem in told]
        more = len(self.found) - MOST_TOLD
        raise WrongSpec("\n".join([*texts, f"and {more} more"] if more > 0 else texts), self)

    def brought_about(self, before: Sequence[Problem], by: str) -> Problems:
        """The same, of which those that were not there before the change `by` are told as brought about by it.

        What stands where the change was written needs no such word.
        """
        places = (self.document.place(problem.keys) for problem in self.found)
        found = [
            problem if problem in before or place.startswith(by) else replace(problem, by=by)
            for problem, place in zip(self.found, places, strict=True)
        ]
        return Problems(self.document, found, self.origins)

    def of_unknown_keys(self) -> Problems:
        """Those of keys that mean nothing."""
        return Problems(self.document, [problem for problem in self.found if problem.unknown], self.origins)


class WrongSpec(SpecError):
    """All that was found to be wrong with a spec, with the text of the first few."""

    def __init__(self, text: str, problems: Problems) -> None:
        super().__init__(text)
        self.problems = problems


def _line(place: str) -> float:
    """The line of a place such as `study.yaml:12`; beyond all lines where it names none."""
    number = place.rpartition(":")[2]
    return int(number) if number.isdigit() else math.inf


def show(value: Any) -> str:
    """A value on one short line, as YAML would have it."""
    if isinstance(value, str):
        return value if value == "" else f"'{_cut(value)}'"
    if isinstance(value, float):
        return repr(value)
    return _cut(json.dumps(value, ensure_ascii=False, default=str))


def shorten(names: Sequence[str], most: int = 14) -> str:
    """Names joined by commas, the first ones when there are many."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def _cut(text: str, longest: int = 60) -> str:
    text = " ".join(text.split())
    return text if len(text) <= longest else text[: longest - 1] + "…"
