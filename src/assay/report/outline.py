"""What the page is about: the axis that is compared, its levels, and the slice of the grid that figures show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from assay.report.palette import Style, styles
from assay.report.tables import Tables, coordinates, distinct, mapping, numeric
from assay.report.wording import is_performance, most_common
from assay.stats.verdict import leading
from assay.store.files import Row

BUDGET = "epochs"
SHOWN = 8
"""Figures of the first screen and curves show at most so many levels; strips further down show all."""


@dataclass(frozen=True)
class Outline:
    """axis: what is compared, empty for a single recipe. levels: its values in the spec's order. held: the other axes
    and the value at which figures show them. budgets: the values of the budget's axis, empty where there is none.
    measure: the performance that the study is about. environments: those it was measured in, in order.
    dosed, doses: the axis of the doses of a dose-response and its values, ascending; empty where there is none.
    """

    axis: str
    levels: tuple[str, ...]
    held: Mapping[str, str]
    budgets: tuple[str, ...]
    measure: str
    environments: tuple[str, ...]
    dosed: str = ""
    doses: tuple[str, ...] = ()

    @cached_property
    def styles(self) -> dict[str, Style]:
        """One style per level for the whole page."""
        return styles(self.levels)

    def level(self, row: Row) -> str:
        """Which level a row's recipe has."""
        return coordinates(row).get(self.axis) or str(row["recipe"])

    def shown(self, row: Row, *but: str) -> bool:
        """Whether a row's recipe lies in the slice that figures show; `but` names axes that are left free."""
        at = coordinates(row)
        return all(at.get(axis, value) == value for axis, value in self.held.items() if axis not in but)

    @property
    def held_elsewhere(self) -> dict[str, str]:
        """What is held beside the budget."""
        return {axis: value for axis, value in self.held.items() if axis != BUDGET}


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
    return Outline(axis, levels or ("recipe",), held, budgets, measure, tuple(environments), dosed, doses)


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
    tested = [row for row in tables.contrasts if not row.get("exploratory") and numeric(row, "p_holm") >= 0]
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
