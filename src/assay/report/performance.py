"""Figures of performance: by environment with seeds and intervals, and along the budget."""

from __future__ import annotations

import math
from collections.abc import Sequence

from assay.report.evidence import Evidence
from assay.report.figures import HALF, Figure, chance, curves, extremes, plot_of, slice_note, some_levels, strips
from assay.report.outline import BUDGET
from assay.report.tables import coordinates, distinct, numeric
from assay.report.wording import higher_is_better, measure_name
from assay.store.files import Row

FIRST_SCREEN = 3


def cost(evidence: Evidence) -> Figure | None:
    """For the first screen: performance in up to three environments, the compared ones among them."""
    rows = _overall(evidence)
    if not rows:
        return None
    there = [name for name in evidence.outline.environments if any(row["environment"] == name for row in rows)]
    first = distinct([*there[:1], *(name for name in _compared(evidence) if name in there), *there[1:]])[:FIRST_SCREEN]
    chosen = [name for name in there if name in first]
    main = decisive(evidence, chosen)
    levels, note = some_levels(evidence, [row for row in rows if row["environment"] == main])
    groups = [(name, [row for row in rows if row["environment"] == name]) for name in chosen]
    plot = plot_of(evidence, evidence.outline.measure, groups, levels, references=chance)
    shown = [row for _, group in groups for row in group]
    return strips("cost", _title(evidence, rows, main), slice_note(evidence, note), plot, shown, HALF)


def by_environment(evidence: Evidence) -> Figure | None:
    """Every environment and every level, at the slice shown."""
    rows = _overall(evidence)
    if not rows:
        return None
    names = distinct(row["environment"] for row in rows)
    groups = [(name, [row for row in rows if row["environment"] == name]) for name in names]
    plot = plot_of(evidence, evidence.outline.measure, groups, evidence.outline.levels, references=chance)
    title = f"{measure_name(evidence.outline.measure)} in every environment"
    worst = _worst(evidence, rows)
    title = f"{title}: worst in {worst}" if worst else title
    return strips("environments-performance", title, slice_note(evidence), plot, rows)


def by_budget(evidence: Evidence) -> Figure | None:
    """Along the budget, a panel per environment."""
    outline = evidence.outline
    if not outline.budgets:
        return None
    rows = evidence.estimates(outline.measure, lambda row: _is_overall(row) and outline.shown(row, BUDGET))
    if not rows:
        return None
    levels, note = some_levels(evidence, [row for row in rows if outline.shown(row)])
    names = distinct(row["environment"] for row in rows)
    groups = [(name, [row for row in rows if row["environment"] == name]) for name in names]
    along = (BUDGET, outline.budgets, _budget)
    plot = plot_of(evidence, outline.measure, groups, levels, along, chance)
    title = _gain(evidence, rows, decisive(evidence, names))
    return curves("budgets", title, slice_note(evidence, note, budget=False), plot, rows)


def decisive(evidence: Evidence, names: Sequence[str]) -> str:
    """The environment that the first contrast is about, the last one where there is none."""
    return next((name for name in _compared(evidence) if name in names), names[-1])


def _compared(evidence: Evidence) -> list[str]:
    return [row["environment"] for row in evidence.tables.contrasts if row["measure"] == evidence.outline.measure]


def _gain(evidence: Evidence, rows: Sequence[Row], environment: str) -> str:
    """With how many levels the last budget does better than the first: what is seen, not what is claimed."""
    first, last = evidence.outline.budgets[0], evidence.outline.budgets[-1]
    at: dict[str, dict[str, float]] = {}
    for row in rows:
        if row["environment"] == environment and not math.isnan(numeric(row, "value")):
            at.setdefault(evidence.outline.level(row), {})[coordinates(row).get(BUDGET, "")] = numeric(row, "value")
    both = [found for found in at.values() if first in found and last in found]
    sign = 1 if higher_is_better(evidence.outline.measure) else -1
    better = sum(sign * (found[last] - found[first]) > 0 for found in both)
    name = measure_name(evidence.outline.measure)
    if not both:
        return f"{name} from {first} to {last} {BUDGET}"
    way, count = ("better", better) if 2 * better >= len(both) else ("worse", len(both) - better)
    return f"In {environment}, {name} is {way} at {last} than at {first} {BUDGET} for {count} of {len(both)}"


def _budget(row: Row) -> str:
    return coordinates(row).get(BUDGET, "")


def _overall(evidence: Evidence) -> list[Row]:
    return evidence.estimates(evidence.outline.measure, lambda row: _is_overall(row) and evidence.outline.shown(row))


def _is_overall(row: Row) -> bool:
    return bool(row["environment"]) and not (row["factor"] or row["level"] or row["group"])


def _title(evidence: Evidence, rows: Sequence[Row], environment: str) -> str:
    """Which level is best and worst where it matters: an order that is seen, not one that is claimed."""
    there = [row for row in rows if row["environment"] == environment]
    ends = extremes(evidence, there)
    name = measure_name(evidence.outline.measure)
    if ends is None:
        return f"{name} in {environment}"
    worst, best = ends if higher_is_better(evidence.outline.measure) else ends[::-1]
    return f"In {environment}, {worst} has the lowest mean and {best} the highest"


def _worst(evidence: Evidence, rows: Sequence[Row]) -> str:
    known = [row for row in rows if not math.isnan(numeric(row, "value"))]
    if not known:
        return ""
    pick = min if higher_is_better(evidence.outline.measure) else max
    return str(pick(known, key=lambda row: numeric(row, "value"))["environment"])
