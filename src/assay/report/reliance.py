"""Figures of what a model uses: by variance, by flips, by effect on the logit."""

from __future__ import annotations

import math
from collections.abc import Sequence

from assay.report.choosing import ROWS, some_levels
from assay.report.claims import greatest, with_levels
from assay.report.evidence import Evidence
from assay.report.figures import HALF, Figure, plot_of, slice_note, strips
from assay.report.marks import Reference
from assay.report.settings import tied
from assay.report.tables import numeric
from assay.report.wording import NO_EFFECT
from assay.stats.format import in_words, listed
from assay.store.files import Row

FIRST_SCREEN, MOST_TIED = 3, 6
"""Panels of the first screen, and how many there may be where so many factors are tied to the target."""
CHOICES = ("sobol-total", "flip-rate", "logit-effect-absolute")

Group = tuple[str, list[Row]]


def relied_on(evidence: Evidence) -> Figure | None:
    """For the first screen: the core and the tied factors, then the heaviest, by the first measure there is."""
    for measure in CHOICES:
        groups, without = _groups(evidence, measure)
        groups = _named(groups)
        if groups:
            kept = _first(evidence, groups)
            rows = [row for _, group in kept for row in group]
            levels, note = some_levels(evidence)
            plot = plot_of(evidence, measure, kept, levels, references=_nothing)
            of = len(groups) + len(without)
            more = f"{len(kept)} of {of} inputs shown." if len(kept) < of else ""
            title = _title(evidence, measure, groups, len(without))
            said = slice_note(evidence, more, _undefined(without), note)
            return strips("relied-on", title, said, plot, rows, HALF)
    return None


def by_factor(evidence: Evidence, measure: str) -> Figure | None:
    """Every factor by one measure, at the slice shown."""
    groups, without = _groups(evidence, measure)
    groups = _named(groups)
    if not groups:
        return None
    rows = [row for _, group in groups for row in group]
    levels, note = some_levels(evidence, ROWS)
    plot = plot_of(evidence, measure, groups, levels, references=_nothing)
    title = _title(evidence, measure, groups, len(without))
    return strips(measure, title, slice_note(evidence, _undefined(without), note), plot, rows)


def _named(groups: Sequence[Group]) -> list[Group]:
    return [(in_words(name), rows) for name, rows in groups]


def _first(evidence: Evidence, groups: Sequence[Group]) -> list[Group]:
    """Groups of factors that are tied to the target, and as many of the heaviest as there is room for."""
    known = tied(evidence.tables)
    own = [group for group in groups if group[1][0]["factor"] in known][:MOST_TIED]
    rest = sorted((group for group in groups if group not in own), key=lambda group: -_largest(group[1]))
    kept = [*own, *rest[: max(0, FIRST_SCREEN - len(own))]]
    return [group for group in groups if group in kept]


def _groups(evidence: Evidence, measure: str) -> tuple[list[Group], list[str]]:
    """Rows by factor, and by class where there are several, without directions; and the names of those without a value.

    Factors that are tied to the target come first.
    """
    rows = evidence.estimates(measure, lambda row: evidence.outline.shown(row) and not row["group"])
    found: dict[str, list[Row]] = {}
    for row in rows:
        name = f"{row['factor']} ({row['level']})" if row["level"] else row["factor"]
        found.setdefault(name, []).append(row)
    known = tied(evidence.tables)
    groups = [(name, group) for name, group in found.items() if not math.isnan(_largest(group))]
    without = [name for name, group in found.items() if math.isnan(_largest(group))]
    return sorted(groups, key=lambda group: group[1][0]["factor"] not in known), without


def _title(evidence: Evidence, measure: str, groups: Sequence[Group], without: int) -> str:
    """Which factor weighs most with which level, where intervals show it; neutral where they show none.

    without: how many inputs have no value. The greatest is then claimed of the others alone, and said to be.
    """
    by_level: dict[str, dict[str, Row]] = {}
    for name, rows in groups:
        for row in rows:
            by_level.setdefault(evidence.outline.level(row), {})[name] = row
    first: dict[str, list[str]] = {}
    for level in (level for level in evidence.outline.levels if level in by_level):
        first.setdefault(greatest(by_level[level]), []).append(level)
    unclear = first.pop("", [])
    verb, neutral = _VERBS[measure]
    if not first:
        return neutral
    axis, all_ = evidence.outline.axis, len(by_level)
    clauses = [f"{name}{_with(levels, all_, axis)}" for name, levels in first.items()]
    clauses[0] = clauses[0].replace(" with ", f" {verb} most with ", 1) if all_ > 1 else f"{clauses[0]} {verb} most"
    if unclear:
        clauses.append(f"no order is clear{_with(unclear, all_, axis)}")
    among = f" (of {len(groups)} of {len(groups) + without} inputs)" if without else ""
    words = "; ".join(clauses) + among
    return words[:1].upper() + words[1:]


def _undefined(names: Sequence[str]) -> str:
    which = listed(list(map(in_words, names))) if len(names) <= NAMED else f"{len(names)} inputs"
    return f"No value for {which}." if names else ""


def _with(levels: list[str], of: int, axis: str) -> str:
    """` with every loss`, ` with cross-entropy and supcon`, ` with 37 of 46 recipes`."""
    named = 1 < of <= NAMED and len(levels) < of
    return f" with {listed(levels)}" if named else with_levels(len(levels), of, axis)


_VERBS = {
    "sobol-total": ("weighs", "How much each input weighs"),
    "flip-rate": ("flips the class", "How often each factor flips the class"),
    "logit-effect": ("moves the logit", "How far each factor moves the logit"),
    "logit-effect-absolute": ("moves the logit", "How far each factor moves the logit"),
}
"""What a title says where one factor is first, and where none is."""
NAMED = 6
"""More levels than this are counted in a title instead of named."""


def _largest(rows: Sequence[Row]) -> float:
    return max((abs(value) for row in rows if not math.isnan(value := numeric(row, "value"))), default=math.nan)


def _nothing(_: Sequence[Row]) -> tuple[Reference, ...]:
    return (Reference.level(NO_EFFECT, 0.0),)
