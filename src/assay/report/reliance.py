"""Figures of what a model uses: by variance, by flips, by effect on the logit."""

from __future__ import annotations

import math
from collections.abc import Sequence

from assay.report.evidence import Evidence
from assay.report.figures import HALF, Figure, plot_of, slice_note, some_levels, strips
from assay.report.marks import Reference
from assay.report.tables import numeric
from assay.stats.format import count, listed
from assay.store.files import Row

FIRST_SCREEN = 3
CHOICES = ("sobol-total", "flip-rate", "logit-effect-absolute")

Group = tuple[str, list[Row]]


def relied_on(evidence: Evidence) -> Figure | None:
    """For the first screen: the three factors that weigh most with any level, by the first measure there is."""
    for measure in CHOICES:
        groups = _groups(evidence, measure)
        if groups:
            top = sorted(groups, key=lambda group: -_largest(group[1]))[:FIRST_SCREEN]
            kept = [group for group in groups if group in top]
            rows = [row for _, group in kept for row in group]
            levels, note = some_levels(evidence, _widest(kept)[1])
            plot = plot_of(evidence, measure, kept, levels, references=_nothing)
            more = f"{len(kept)} of {len(groups)} inputs." if len(kept) < len(groups) else ""
            title = _title(evidence, measure, kept)
            return strips("relied-on", title, slice_note(evidence, more, note), plot, rows, HALF)
    return None


def by_factor(evidence: Evidence, measure: str) -> Figure | None:
    """Every factor and every level by one measure, at the slice shown."""
    groups = _groups(evidence, measure)
    if not groups:
        return None
    rows = [row for _, group in groups for row in group]
    plot = plot_of(evidence, measure, groups, evidence.outline.levels, references=_nothing)
    return strips(measure, _title(evidence, measure, groups), slice_note(evidence), plot, rows)


def _groups(evidence: Evidence, measure: str) -> list[Group]:
    """Rows by factor, and by class where there are several; without directions. Only groups with a value."""
    rows = evidence.estimates(measure, lambda row: evidence.outline.shown(row) and not row["group"])
    found: dict[str, list[Row]] = {}
    for row in rows:
        name = f"{row['factor']} ({row['level']})" if row["level"] else row["factor"]
        found.setdefault(name, []).append(row)
    return [(name, group) for name, group in found.items() if not math.isnan(_largest(group))]


def _title(evidence: Evidence, measure: str, groups: Sequence[Group]) -> str:
    """Which factor weighs most with which level: the order of the means, not a claim."""
    largest: dict[str, tuple[float, str]] = {}
    for name, rows in groups:
        for row in rows:
            level, size = evidence.outline.level(row), abs(numeric(row, "value"))
            if size > largest.get(level, (-1.0, ""))[0]:
                largest[level] = (size, name)
    by_factor: dict[str, list[str]] = {}
    for level in (level for level in evidence.outline.levels if level in largest):
        by_factor.setdefault(largest[level][1], []).append(level)
    verb = _VERBS[measure]
    if len(by_factor) == 1:
        everywhere = f" with every {evidence.outline.axis}" if len(largest) > 1 and evidence.outline.axis else ""
        words = f"{next(iter(by_factor))} {verb} most{everywhere}"
    else:
        many = len(largest) > NAMED
        who = [count(len(levels), "recipe") if many else listed(levels) for levels in by_factor.values()]
        clauses = [f"{name} with {them}" for name, them in zip(by_factor, who, strict=True)]
        words = f"{clauses[0].replace(' with ', f' {verb} most with ', 1)}; {'; '.join(clauses[1:])}"
    return words[:1].upper() + words[1:]


_VERBS = {
    "sobol-total": "weighs",
    "flip-rate": "flips the class",
    "logit-effect": "moves the logit",
    "logit-effect-absolute": "moves the logit",
}
NAMED = 6
"""More levels than this are counted in a title instead of named."""


def _widest(groups: Sequence[Group]) -> Group:
    def spread(group: Group) -> float:
        values = [value for row in group[1] if not math.isnan(value := numeric(row, "value"))]
        return max(values) - min(values) if values else -1.0

    return max(groups, key=spread)


def _largest(rows: Sequence[Row]) -> float:
    return max((abs(value) for row in rows if not math.isnan(value := numeric(row, "value"))), default=math.nan)


def _nothing(_: Sequence[Row]) -> tuple[Reference, ...]:
    return (Reference.level("", 0.0),)
