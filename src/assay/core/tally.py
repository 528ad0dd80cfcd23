"""Counts of many classes told in few: the most frequent by name, the rest as one number."""

from __future__ import annotations

from collections.abc import Mapping

MOST = 12
"""So many classes are told one by one, the rest of them in one entry."""


def foremost(rows: Mapping[str, int], most: int = MOST) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The classes to tell by name, in their own order, and those that are told together.

    rows: class -> how many rows it has. Up to `most` classes are all named. Of more it is `most` - 1: the last, since
    associations are stated for it against the rest, and the most frequent, of equals the first.
    """
    names = list(rows)
    if len(names) <= most:
        return tuple(names), ()
    frequent = sorted(names[:-1], key=lambda name: -rows[name])[: most - 2]
    named = {*frequent, names[-1]}
    return tuple(name for name in names if name in named), tuple(name for name in names if name not in named)


def others(names: tuple[str, ...]) -> str:
    """What classes that are told together are called: `49 others`."""
    return f"{len(names)} others"
