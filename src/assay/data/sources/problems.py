"""Bad rows: what is wrong with each, said all at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from assay.core.errors import DataError

SHOWN = 20


@dataclass(frozen=True, slots=True)
class Problem:
    """One row that cannot be used.

    row: its number as the file shows it (a table's header is row 1). name: the image as the row names it; it is shown
    to the user only and never kept, since a file name may hold an identifier. what, remedy: half a sentence each.
    """

    row: int
    name: str
    what: str
    remedy: str


class Unreadable(Exception):
    """A file that cannot be used as an image or a mask: what is wrong, and what to do."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}; {remedy}")
        self.what = what
        self.remedy = remedy


def shown(text: str, limit: int = 60) -> str:
    """Text from a file, in quotes, safe on a terminal: control characters escaped, the middle of a long one cut."""
    plain = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    if len(plain) > limit:
        half = (limit - 3) // 2
        plain = f"{plain[:half]}...{plain[-half:]}"
    return f"'{plain}'"


def refuse(where: str, problems: Sequence[Problem], word: str = "row") -> None:
    """Raise one DataError that lists up to 20 bad rows and counts the others. Does nothing when there are none.

    where: the table or folder. word: what a row is called there (`row` of a table, `file` of a folder).
    """
    if not problems:
        return
    ordered = sorted(problems, key=lambda problem: problem.row)
    lines = [f"{len(ordered)} bad {word}{'s' if len(ordered) > 1 else ''} in {where}:"]
    lines += [f"  {word} {p.row} {shown(p.name)}: {p.what}; {p.remedy}" for p in ordered[:SHOWN]]
    if len(ordered) > SHOWN:
        lines.append(f"  and {len(ordered) - SHOWN} more")
    lines.append("mend them, or leave them out with --skip-bad-rows")
    raise DataError("\n".join(lines))


def left_out(problems: Sequence[Problem], word: str = "row") -> tuple[str, ...]:
    """Sentences for the card: row and reason, without the name."""
    return tuple(f"{word} {p.row}: {p.what}" for p in sorted(problems, key=lambda problem: problem.row))


def first_of_each(problems: Sequence[Problem]) -> list[Problem]:
    """One problem a row: a row that is wrong twice is one bad row."""
    first: dict[int, Problem] = {}
    for problem in problems:
        first.setdefault(problem.row, problem)
    return list(first.values())
