"""Say where the worst group of a recipe falls to chance though the recipe is good over all images."""

from __future__ import annotations

from collections.abc import Sequence

from assay.core.measures import WORST_GROUP
from assay.stats.doubts import AREAS
from assay.stats.format import number, with_interval
from assay.stats.rows import Row, Sentence, ends, label, numeric, text_of

CHANCE = 0.5
"""Of all measures in `AREAS`."""


def at_chance_in_worst_group(estimates: Sequence[Row]) -> list[Sentence]:
    """One sentence on the recipe and environment whose worst group has the least AUROC; none where no group fell.

    A group fell to chance where its interval holds chance or lies below it, and lies below the interval over all
    images, which lies above chance. So a group that is too small to tell is not among them.
    """
    whole = {_key(row): row for row in estimates if text_of(row, "measure") in AREAS and not _parts(row, "group")}
    pairs = [
        (row, whole[_key(row)])
        for row in estimates
        if text_of(row, "group") == WORST_GROUP and not _parts(row) and _key(row) in whole
    ]
    fallen = [pair for pair in pairs if _fell(*pair)]
    if not fallen:
        return []
    group, overall = min(fallen, key=lambda pair: numeric(pair[0], "value"))
    below = ends(group)[1] < CHANCE
    others = len(fallen) - 1
    more = f"; so it did in {others} more of {len(pairs)} recipes and environments" if others else ""
    where = next((part[3:] for part in text_of(group, "reason").split("; ") if part.startswith("in ")), "")
    text = (
        f"The worst group of {text_of(group, 'recipe')} in {text_of(group, 'environment')}"
        f"{f' ({where})' if where else ''} fell {'below' if below else 'to'} chance ({number(CHANCE)}): "
        f"{label(group)} {_shown(group)} there, {_shown(overall)} over all images{more}."
    )
    return [Sentence("answer", text, "none", "performance")]


def _fell(group: Row, overall: Row) -> bool:
    """False where an interval is missing."""
    (low, high), least = ends(group), ends(overall)[0]
    return low <= CHANCE < least and high < least


def _shown(row: Row) -> str:
    return with_interval(numeric(row, "value"), *ends(row))


def _key(row: Row) -> tuple[str, str, str]:
    return text_of(row, "recipe"), text_of(row, "environment"), text_of(row, "measure")


def _parts(row: Row, *more: str) -> bool:
    return any(text_of(row, name) for name in ("factor", "level", "layer", *more))
