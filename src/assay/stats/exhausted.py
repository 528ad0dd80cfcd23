"""Find comparisons whose recipes all lie at one end of the scale, where equivalence says nothing.

Two recipes within the margin of an end cannot differ by more than the margin, whatever they are, so that the test of
equivalence shows only where they lie. The same holds at chance for measures of skill, such as the AUROC of a coin or
the accuracy of naming the commonest class. An effect of 0 is no end: that neither recipe has one is a result. The
conclusion is "scale exhausted" and never "equivalent".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from assay.core.measures import better, range_of
from assay.core.reasons import NOTHING, Code, Reason, because
from assay.stats.rows import EXHAUSTED, OF_THE_MODEL, Row, belongs, ends, mapping, numeric, text_of

NEAR_WORST = 0.05
"""Share of the range next to its worst end within which recipes are at that end, whatever the margin."""


def with_ends_of_scale(contrasts: Sequence[Row], estimates: Sequence[Row]) -> list[dict[str, Any]]:
    """Contrasts with the column `exhausted`, and with "scale exhausted" in place of "equivalent" where it is set."""
    marked: list[dict[str, Any]] = []
    for row in contrasts:
        where = str(end_of_scale(row, estimates))
        equivalent = row.get("conclusion") == "equivalent"
        marked.append({**row, "exhausted": where, **({"conclusion": EXHAUSTED} if where and equivalent else {})})
    return marked


def end_of_scale(contrast: Row, estimates: Sequence[Row]) -> Reason:
    """Return the end of the scale at which every value behind a contrast is, as a code; nothing elsewhere.

    The values are those of both recipes, at every budget or dose that is compared. Chance is an end for equivalent
    values alone: an interval may also hold chance for want of data.
    """
    sides = [_values(contrast, estimates, side) for side in ("a", "b")]
    rows = [row for side in sides for row in side]
    if not all(sides):
        return NOTHING
    margin = numeric(contrast, "margin")
    margin = 0.0 if math.isnan(margin) else margin
    low, high = range_of(text_of(contrast, "measure"))
    worst = {"higher": low, "lower": high}.get(better(text_of(contrast, "measure")), math.nan)
    for end in (low, high):
        near = max(margin, NEAR_WORST * (high - low)) if end == worst and math.isfinite(high - low) else margin
        if math.isfinite(end) and all(abs(numeric(row, "value") - end) <= near for row in rows):
            return because(Code.NEAR_END_OF_SCALE, margin=near, end=end)
    skill = better(text_of(contrast, "measure")) in ("higher", "lower")  # an effect of 0 is a result, not a guess
    if skill and contrast.get("conclusion") == "equivalent" and all(_at_chance(row) for row in rows):
        return because(Code.AT_CHANCE)
    return NOTHING


def _values(contrast: Row, estimates: Sequence[Row], side: str) -> list[Row]:
    """Estimates of the measure of one recipe that a contrast rests on."""
    keys = ("measure", "factor", "layer")
    environments = mapping(contrast.get("pooled")).get("environment", [text_of(contrast, "environment")])
    return [
        row
        for row in estimates
        if text_of(row, "environment") in environments
        and all(text_of(row, key) == text_of(contrast, key) for key in keys)
        and text_of(row, "group") in OF_THE_MODEL
        and not text_of(row, "level")
        and not math.isnan(numeric(row, "value"))
        and belongs(row, contrast, side)
    ]


def _at_chance(row: Row) -> bool:
    low, high = ends(row)
    return low <= numeric(row, "chance") <= high
