"""Which levels a figure shows when there are more than it can hold: never by hand, always said beneath it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from assay.core.measures import WORST_GROUP
from assay.report.evidence import Evidence
from assay.report.outline import SHOWN
from assay.report.tables import distinct, numeric
from assay.store.files import Row

ROWS = 24
"""Strips show at most so many levels; the first screen and curves at most `SHOWN`."""
DIFFERS = ("higher", "lower")


def some_levels(evidence: Evidence, most: int = SHOWN) -> tuple[tuple[str, ...], str]:
    """At most so many levels in the spec's order, and a note on which they are if any lack.

    First those compared against; then, to a third of the room, those of which a difference is shown; to a sixth, those
    whose training collapsed or diverged; the rest from both ends of the ranking by performance in the decisive
    environment. Every figure thus shows the same ones.
    """
    levels = evidence.outline.levels
    if len(levels) <= most:
        return levels, ""
    against = distinct(row["b"] for row in evidence.tables.contrasts if row["b"] in levels)
    differ = [level for level in _differing(evidence) if level in levels][: most // 3]
    lost = [level for level in _lost(evidence) if level in levels and level not in against][: max(1, most // 6)]
    ends = _outside_in(evidence)
    chosen = set(distinct([*against, *differ, *lost, *ends, *levels])[:most])
    kinds = (
        (against, "what is compared against"),
        (differ, "differences that are shown"),
        (lost, "some that collapsed or diverged"),
        (ends, "both ends of the ranking"),
    )
    which = ", ".join(words for found, words in kinds if found)
    note = f"{most} of {len(levels)} shown{': ' if which else ''}{which}. The table has all."
    return tuple(level for level in levels if level in chosen), note


def _differing(evidence: Evidence) -> list[str]:
    """Levels of which a difference is shown, the surest first."""
    shown = [row for row in evidence.tables.contrasts if row["conclusion"] in DIFFERS]
    return distinct(row["a"] for row in sorted(shown, key=lambda row: (numeric(row, "p_holm"), numeric(row, "p"))))


def _lost(evidence: Evidence) -> list[str]:
    """Levels of the slice shown with trials that collapsed or diverged."""
    view = evidence.outline
    ends = ("collapsed", "diverged")
    return distinct(view.level(row) for row in evidence.tables.trials if row["status"] in ends and view.shown(row))


def _outside_in(evidence: Evidence) -> list[str]:
    """Levels from both ends of the ranking inwards."""
    main = decisive(evidence, evidence.outline.environments)
    known = [row for row in overall(evidence) if row["environment"] == main and not math.isnan(numeric(row, "value"))]
    ranked = distinct(evidence.outline.level(row) for row in sorted(known, key=lambda row: numeric(row, "value")))
    return distinct(level for pair in zip(ranked, reversed(ranked), strict=True) for level in pair)


def decisive(evidence: Evidence, names: Sequence[str]) -> str:
    """The environment that the first contrast is about, the last one where there is none; empty of none."""
    return next((name for name in compared(evidence) if name in names), names[-1] if names else "")


def compared(evidence: Evidence) -> list[str]:
    """The environments of the contrasts of the study's performance."""
    return [row["environment"] for row in evidence.tables.contrasts if row["measure"] == evidence.outline.measure]


def overall(evidence: Evidence) -> list[Row]:
    """The study's performance in each environment, at the slice shown."""
    return evidence.estimates(evidence.outline.measure, lambda row: is_overall(row) and evidence.outline.shown(row))


def worst_groups(evidence: Evidence, measure: str) -> dict[str, Row]:
    """Recipe -> its worst group over all environments, the one with the lowest value; without those undefined."""
    rows = evidence.estimates(measure, lambda row: row["group"] == WORST_GROUP)
    known = [row for row in rows if not math.isnan(numeric(row, "value"))]
    found: dict[str, Row] = {}
    for row in sorted(known, key=lambda row: numeric(row, "value")):
        found.setdefault(row["recipe"], row)
    return found


def is_overall(row: Row) -> bool:
    """Whether an estimate is of all images of an environment."""
    return bool(row["environment"]) and not (row["factor"] or row["level"] or row["group"])
