"""Bad rows: what is wrong with each, said all at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from assay.core.errors import DataError

SHOWN = 20


@dataclass(frozen=True, slots=True)
class Problem:
    """One row that cannot be used.

    row: its number as the file shows it (a table's header is line 1). name: the image as the row names it; it is shown
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


def refuse(where: str, problems: Sequence[Problem], word: str = "line") -> None:
    """Raise one DataError that lists all that is wrong with up to 20 bad rows and counts the others. Does nothing when
    there are none.

    where: the table or folder. word: what a row is called there (`line` of a table, `file` of a folder).
    """
    if not problems:
        return
    rows = sorted({problem.row for problem in problems})
    told = sorted((p for p in problems if p.row in rows[:SHOWN]), key=lambda problem: problem.row)
    lines = [f"{len(rows)} bad {word}{'s' if len(rows) > 1 else ''} in {where}:"]
    lines += [f"  {word} {p.row} {shown(p.name)}: {p.what}; {p.remedy}" for p in told]
    if len(rows) > SHOWN:
        lines.append(f"  and {len(rows) - SHOWN} more")
    lines.append("mend them, or leave them out with --skip-bad-rows")
    raise DataError("\n".join(lines))


def left_out(problems: Sequence[Problem], word: str = "line") -> tuple[str, ...]:
    """Sentences for the card, one a row: its number and all reasons, without the name."""
    reasons: dict[int, list[str]] = {}
    for problem in sorted(problems, key=lambda problem: problem.row):
        reasons.setdefault(problem.row, []).append(problem.what)
    return tuple(f"{word} {row}: {' and '.join(what)}" for row, what in reasons.items())
