"""What was read: the first lines of every answer, in the terminal and on the page."""

from __future__ import annotations

from collections.abc import Mapping

KEYS = ("positive class", "matched", "scores", "outputs")
"""Keys of the table `provenance` that are read out first, in this order."""


def reading_lines(facts: Mapping[str, str]) -> list[str]:
    """Return a line for each fact on what was read, to be shown before the answer.

    Args:
        facts: Key -> value of the table `provenance`.
    """
    return [f"{key}: {facts[key]}" for key in KEYS if facts.get(key)]
