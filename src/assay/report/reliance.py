"""Figures of what a model uses: by variance, by flips, by effect on the logit."""

from __future__ import annotations

import math
from collections.abc import Sequence

from assay.report.evidence import Evidence
from assay.report.figures import HALF, Figure, extremes, plot_of, slice_note, some_levels, strips
from assay.report.marks import Reference
from assay.report.tables import numeric
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
    """Which level the factor weighs most with, for the factor on which the levels lie farthest apart."""
    if not groups:
        return "Nothing could be measured"
    name, rows = _widest(groups)
    ends = extremes(evidence, rows)
    verb = {
        "flip-rate": "flips {} most often",
        "logit-effect": "moves {} most",
        "logit-effect-absolute": "moves {} most",
    }.get(measure, "weighs most with {}")
    if ends is None:
        return "What decides the output: " + max(groups, key=lambda group: _largest(group[1]))[0]
    least, most = ends
    words = verb.format(most)
    return f"{name[:1].upper()}{name[1:]} {words}, least {'with ' if 'with' in verb else ''}{least}"


def _widest(groups: Sequence[Group]) -> Group:
    def spread(group: Group) -> float:
        values = [value for row in group[1] if not math.isnan(value := numeric(row, "value"))]
        return max(values) - min(values) if values else -1.0

    return max(groups, key=spread)


def _largest(rows: Sequence[Row]) -> float:
    return max((abs(value) for row in rows if not math.isnan(value := numeric(row, "value"))), default=math.nan)


def _nothing(_: Sequence[Row]) -> tuple[Reference, ...]:
    return (Reference.level("", 0.0),)
