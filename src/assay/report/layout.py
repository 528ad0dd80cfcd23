"""Layout of a page: its scope, chosen levels, evidence and claims."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from assay.core.measures import WORST_GROUP
from assay.core.reasons import NOT_CONVERGED, reason_of
from assay.report.drawing import Mark, Style, styles
from assay.report.rows import Tables, coordinates, distinct, mapping, numeric, whole
from assay.report.sentences.reasons import reason_words
from assay.report.wording import is_performance, most_common
from assay.stats.answers import leading
from assay.stats.format import in_words
from assay.stats.rows import CONTROLS, ends
from assay.store.files import Row

# What the page is about: the axis that is compared, its levels, and the slice of the grid that figures show.

BUDGET = "epochs"
SHOWN = 8
"""Figures of the first screen and curves show at most so many levels; strips further down show all."""


@dataclass(frozen=True)
class Outline:
    """Scope of a page.

    Attributes:
        axis: The compared axis, empty for a single recipe.
        levels: Its values in the spec's order.
        held: The other axes and the value at which figures show them.
        budgets: The values of the budget's axis, empty where there is none.
        measure: The performance that the study is about.
        environments: Those it was measured in, in order.
        dosed: The axis of the doses of a dose-response; empty where there is none.
        doses: Its values, ascending.
        controls: Axes that only controls vary; figures hold them, and notes do not name them.
    """

    axis: str
    levels: tuple[str, ...]
    held: Mapping[str, str]
    budgets: tuple[str, ...]
    measure: str
    environments: tuple[str, ...]
    dosed: str = ""
    doses: tuple[str, ...] = ()
    controls: frozenset[str] = frozenset()

    @cached_property
    def styles(self) -> dict[str, Style]:
        """One style per level for the whole page."""
        return styles(self.levels)

    def level(self, row: Row) -> str:
        """Which level a row's recipe has."""
        return coordinates(row).get(self.axis) or str(row["recipe"])

    def shown(self, row: Row, *but: str) -> bool:
        """Return whether a row's recipe is in the slice that figures show; `but` names axes that are left free."""
        at = coordinates(row)
        return all(at.get(axis, value) == value for axis, value in self.held.items() if axis not in but)

    def named(self, *but: str) -> dict[str, str]:
        """Return the held values that a note names: without those of controls, and without the axes in `but`."""
        return {axis: value for axis, value in self.held.items() if axis not in (*self.controls, *but)}


def outline(tables: Tables) -> Outline:
    """The outline that the stated contrasts suggest, or failing these the grid itself."""
    values: dict[str, list[str]] = {}
    for row in tables.trials:
        for axis, value in coordinates(row).items():
            values.setdefault(axis, []).append(value)
    axes = {axis: tuple(distinct(found)) for axis, found in values.items()}
    wide = {axis: levels for axis, levels in axes.items() if len(levels) > 1}
    axis = _compared(tables, wide)
    held = {other: _held(tables, other, levels) for other, levels in wide.items() if other != axis}
    levels = wide[axis] if axis else tuple(distinct(row["recipe"] for row in tables.trials))
    measure = _measure(tables)
    environments = distinct(
        row["environment"] for row in tables.estimates if row["measure"] == measure and not row["factor"]
    )
    budgets = wide.get(BUDGET, ()) if axis != BUDGET else ()
    dosed = dose_axis(tables)
    doses = tuple(sorted(wide.get(dosed, ()), key=float))
    of_controls = {row["axis"] for row in tables.contrasts if row.get("role") in CONTROLS}
    controls = frozenset(of_controls - {row["axis"] for row in tables.contrasts if row.get("role") not in CONTROLS})
    return Outline(axis, levels or ("recipe",), held, budgets, measure, tuple(environments), dosed, doses, controls)


def dose_axis(tables: Tables) -> str:
    """The axis of the doses; empty where there is none."""
    return str(tables.half_doses[0]["axis"]) if tables.half_doses else ""


def _compared(tables: Tables, wide: Mapping[str, tuple[str, ...]]) -> str:
    stated = [row["axis"] for row in tables.contrasts if row["axis"] in wide]
    others = [axis for axis in wide if axis not in (BUDGET, dose_axis(tables))] or list(wide)
    return most_common(stated) or max(others, key=lambda axis: len(wide[axis]), default="")


def _held(tables: Tables, axis: str, levels: tuple[str, ...]) -> str:
    """Where the contrast that the answer leads with holds another axis; else where most do, the last of its values
    where they hold several as often, or none.
    """
    asked = [row for row in tables.contrasts if not row.get("exploratory") and row.get("role") not in CONTROLS]
    tested = [row for row in asked if numeric(row, "p_holm") >= 0]
    lead = mapping(leading(tested)["where"]).get(axis, "") if tested else ""
    stated = [mapping(row["where"]).get(axis, "") for row in tables.contrasts]
    return lead if lead in levels else max(reversed(levels), key=stated.count)


def _measure(tables: Tables) -> str:
    stated = most_common([row["measure"] for row in tables.contrasts if is_performance(row["measure"])])
    there = distinct(row["measure"] for row in tables.estimates if is_performance(row["measure"]))
    whole = [row for row in tables.estimates if not (row["factor"] or row["level"] or row["group"])]
    defined = {row["measure"] for row in whole if row["value"] == row["value"]}
    candidates = [stated, "auroc", "auroc-macro", *there]
    return next((name for name in candidates if name in defined), stated or "auroc")


# Marks from rows: an estimate with the seeds that it is the mean of.

Place = tuple[str, str, str, str, str, str]


def place_of(row: Row) -> Place:
    """Return the fields that distinguish estimates other than the recipe."""
    return row["measure"], row["environment"], row["factor"], row["level"], row["layer"], row["group"]


@dataclass(frozen=True)
class Evidence:
    """The tables with indices of seeds and measures."""

    tables: Tables
    outline: Outline

    @cached_property
    def _of_recipe(self) -> dict[str, list[int]]:
        """Recipe -> the numbers of its rows."""
        found: dict[str, list[int]] = {}
        for number, row in enumerate(self.tables.seeds):
            found.setdefault(row["recipe"], []).append(number)
        return found

    @cached_property
    def _indexed(self) -> dict[str, dict[Place, list[tuple[int, float]]]]:
        return {}

    def _seeds(self, row: Row) -> tuple[tuple[int, float], ...]:
        """(seed, value) of an estimate. Recipes are indexed as they are met: figures show few of hundreds."""
        recipe = row["recipe"]
        if recipe not in self._indexed:
            index: dict[Place, list[tuple[int, float]]] = {}
            for own in map(self.tables.seeds.__getitem__, self._of_recipe.get(recipe, ())):
                index.setdefault(place_of(own), []).append((whole(own, "seed"), numeric(own, "value")))
            self._indexed[recipe] = index
        return tuple(self._indexed[recipe].get(place_of(row), ()))

    def estimates(self, measure: str, keep: Callable[[Row], bool]) -> list[Row]:
        """Estimates of a measure that satisfy a condition."""
        return [row for row in self._by_measure.get(measure, []) if keep(row)]

    @cached_property
    def _by_measure(self) -> dict[str, list[Row]]:
        found: dict[str, list[Row]] = {}
        for row in self.tables.estimates:
            found.setdefault(row["measure"], []).append(row)
        return found

    def marks(self, rows: Sequence[Row], along: Callable[[Row], str] = lambda _: "") -> Iterator[Mark]:
        """One mark per estimate; `along` gives its position on a curve's axis."""
        for row in rows:
            yield Mark(
                self.outline.level(row),
                numeric(row, "value"),
                numeric(row, "low"),
                numeric(row, "high"),
                self._seeds(row),
                along(row),
                reason_words(row["reason"]),
            )


# Which levels a figure shows when there are more than it can hold: never by hand, always said beneath it.

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
        (against, "the reference"),
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


# What a title may claim: only what intervals show by lying apart. An order of means alone is not claimed.


def below(lower: Row, upper: Row) -> bool:
    """Return whether one interval is wholly beneath another. Never where an interval is missing."""
    return numeric(lower, "high") < numeric(upper, "low")


def side(a: Row, b: Row) -> str:
    """`lower` or `higher` where the interval of `a` is wholly beneath or above that of `b`, else empty."""
    return "lower" if below(a, b) else "higher" if below(b, a) else ""


def sides(pairs: Sequence[tuple[Row, Row]]) -> tuple[str, int]:
    """On which side pairs lie apart, and how many do: (`lower`, 4). Empty where none does, or some on either side."""
    found = [word for word in (side(a, b) for a, b in pairs) if word]
    return (found[0], len(found)) if len(set(found)) == 1 else ("", 0)


def greatest(rows: Mapping[str, Row]) -> str:
    """The name whose value is the greatest in size, beyond doubt: its interval is above all others.

    Empty where intervals overlap or lack, where one has no value, or where the first has not converged.
    """
    ends = {name: _size(row) for name, row in rows.items()}
    if not ends or any(math.isnan(numeric(row, "value")) for row in rows.values()):
        return ""
    first = max(ends, key=lambda name: ends[name][0])
    if reason_of(rows[first]).first(*NOT_CONVERGED):
        return ""
    clear = all(ends[first][0] > high for name, (_, high) in ends.items() if name != first)
    return first if clear and len(ends) > 1 else ""


def _size(row: Row) -> tuple[float, float]:
    """The interval of the absolute value; infinite where there is none, so that nothing compares clearly with it.

    A value that was the same for every seed and patient is its own interval.
    """
    low, high = ends(row)
    if low != low or high != high:
        return float("-inf"), float("inf")
    least = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
    return least, max(abs(low), abs(high))


def with_levels(some: int, of: int, axis: str) -> str:
    """` with every loss`, ` with 4 of 5 recipes, whose intervals do not overlap`; nothing where there is but one."""
    if of <= 1:
        return ""
    if some == of:
        return f" with every {in_words(axis) or 'recipe'}"
    return f" with {some} of {of} recipes, whose intervals do not overlap"
