"""Figures of performance: by environment with seeds and intervals, and along the budget."""

from __future__ import annotations

import math
from collections.abc import Sequence

from assay.report.choosing import ROWS, compared, decisive, is_overall, overall, some_levels
from assay.report.claims import below, sides, with_levels
from assay.report.evidence import Evidence
from assay.report.figures import HALF, Figure, chance, curves, plot_of, slice_note, strips
from assay.report.outline import BUDGET
from assay.report.settings import associations
from assay.report.tables import coordinates, distinct
from assay.report.wording import higher_is_better, measure_name
from assay.stats.format import listed
from assay.store.files import Row

FIRST_SCREEN = 3


def cost(evidence: Evidence) -> Figure | None:
    """For the first screen: performance in up to three environments, the compared ones among them."""
    rows = _told(overall(evidence))
    if not rows:
        return None
    there = [name for name in evidence.outline.environments if any(row["environment"] == name for row in rows)]
    first = distinct([*there[:1], *(name for name in compared(evidence) if name in there), *there[1:]])[:FIRST_SCREEN]
    chosen = [name for name in there if name in first]
    main = decisive(evidence, chosen)
    levels, note = some_levels(evidence)
    groups = [(name, [row for row in rows if row["environment"] == name]) for name in chosen]
    plot = plot_of(evidence, evidence.outline.measure, groups, levels, references=chance)
    shown = [row for _, group in groups for row in group]
    title = _shift(evidence, rows, chosen, main)
    return strips("cost", title, slice_note(evidence, associations(evidence.tables, chosen), note), plot, shown, HALF)


def by_environment(evidence: Evidence) -> Figure | None:
    """Every environment and every level, at the slice shown."""
    rows = _told(overall(evidence))
    if not rows:
        return None
    names = distinct(row["environment"] for row in rows)
    groups = [(name, [row for row in rows if row["environment"] == name]) for name in names]
    levels, note = some_levels(evidence, ROWS)
    plot = plot_of(evidence, evidence.outline.measure, groups, levels, references=chance)
    title = f"{measure_name(evidence.outline.measure)} in every environment"
    worst = _worst(evidence, rows)
    title = f"{title}: worst in {worst}" if worst else title
    return strips("environments-performance", title, slice_note(evidence, note), plot, rows)


def by_budget(evidence: Evidence) -> Figure | None:
    """Along the budget, a panel per environment."""
    outline = evidence.outline
    if not outline.budgets:
        return None
    rows = evidence.estimates(outline.measure, lambda row: is_overall(row) and outline.shown(row, BUDGET))
    if not rows:
        return None
    levels, note = some_levels(evidence)
    names = distinct(row["environment"] for row in rows)
    groups = [(name, [row for row in rows if row["environment"] == name]) for name in names]
    along = (BUDGET, outline.budgets, _budget)
    plot = plot_of(evidence, outline.measure, groups, levels, along, chance)
    title = _gain(evidence, rows, decisive(evidence, names))
    return curves("budgets", title, slice_note(evidence, note, budget=False), plot, rows)


def _told(rows: Sequence[Row]) -> list[Row]:
    """Without environments in which the measure has no value at all, as false alarms have none among lesions."""
    known = {row["environment"] for row in rows if not math.isnan(row["value"])}
    return [row for row in rows if row["environment"] in known]


def _gain(evidence: Evidence, rows: Sequence[Row], environment: str) -> str:
    """With how many levels the intervals at the last budget and at the first lie apart."""
    outline = evidence.outline
    first, last = outline.budgets[0], outline.budgets[-1]
    at: dict[str, dict[str, Row]] = {}
    for row in rows:
        if row["environment"] == environment:
            at.setdefault(outline.level(row), {})[_budget(row)] = row
    both = [(found[last], found[first]) for found in at.values() if first in found and last in found]
    name = measure_name(outline.measure)
    word, count = sides(both)
    if not word:
        return f"{name} from {first} to {last} {BUDGET}"
    them = with_levels(count, len(both), outline.axis)
    return f"In {environment}, {name} is {word} at {last} than at {first} {BUDGET}{them}"


def _budget(row: Row) -> str:
    return coordinates(row).get(BUDGET, "")


def _shift(evidence: Evidence, rows: Sequence[Row], names: Sequence[str], main: str) -> str:
    """With how many levels the main environment's interval lies apart from the first one's; neutral where none does."""
    name, first = measure_name(evidence.outline.measure), names[0]
    by_level = _by_level(evidence, rows)
    both = [(found[main], found[first]) for found in by_level.values() if main in found and first in found]
    word, count = sides(both) if main != first else ("", 0)
    if not word:
        return f"{name[:1].upper()}{name[1:]} in {listed(list(names))}"
    return f"{name} is {word} in {main} than in {first}{with_levels(count, len(both), evidence.outline.axis)}"


def _worst(evidence: Evidence, rows: Sequence[Row]) -> str:
    """The environment whose interval lies on the bad side of all others with every level; empty where none does."""
    by_level = _by_level(evidence, rows)
    names = distinct(row["environment"] for row in rows)

    def is_worst(name: str) -> bool:
        return len(names) > 1 and all(
            name in found and all(_worse(evidence, found[name], row) for other, row in found.items() if other != name)
            for found in by_level.values()
        )

    return next((name for name in names if is_worst(name)), "")


def _worse(evidence: Evidence, a: Row, b: Row) -> bool:
    return below(a, b) if higher_is_better(evidence.outline.measure) else below(b, a)


def _by_level(evidence: Evidence, rows: Sequence[Row]) -> dict[str, dict[str, Row]]:
    found: dict[str, dict[str, Row]] = {}
    for row in rows:
        found.setdefault(evidence.outline.level(row), {})[row["environment"]] = row
    return found
