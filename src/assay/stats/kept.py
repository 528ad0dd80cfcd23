"""Why nothing was kept: what became of a recipe's trials, said in the place of `no seed of it was kept`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from assay.stats.format import count, listed
from assay.stats.rows import Row, text_of

_OF = re.compile(r"no seed of (?P<recipe>.+) was kept")
_NONE = "no seed was kept"


def without_seeds(reason: str, trials: Sequence[Row]) -> str:
    """A reason in words for who knows no kept seeds: `all 10 trials of triplet collapsed`.

    >>> without_seeds("no seed was kept; no image of the positive class", [])
    'no image of the positive class'
    """
    named = _OF.search(reason)
    if named:
        ends = [text_of(row, "status") for row in trials if text_of(row, "recipe") == named["recipe"]]
        return reason.replace(named[0], _became(named["recipe"], ends)) if ends else reason
    head, _, rest = reason.partition("; ")
    if head == _NONE:
        return rest or "no trial was trained to a sound end"
    return reason


def _became(recipe: str, ends: Sequence[str]) -> str:
    kinds = [kind for kind in ("collapsed", "diverged", "failed", "pending", "done") if kind in ends]
    words = {"pending": "not trained yet", "done": "without a value"}
    if len(kinds) == 1:
        return f"all {count(len(ends), 'trial')} of {recipe} {words.get(kinds[0], kinds[0])}"
    parts = [f"{ends.count(kind)} {words.get(kind, kind)}" for kind in kinds]
    return f"no trial of {recipe} counts: {listed(parts)}"
