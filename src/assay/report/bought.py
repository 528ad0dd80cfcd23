"""What each level reaches on clean images before any dose, beside what the doses change where it is tested."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from assay.report.axes import limits
from assay.report.choosing import ROWS, decisive, is_overall, some_levels
from assay.report.doses import COUNTED, changes_in, lowered
from assay.report.dosing import clean_environment
from assay.report.evidence import Evidence
from assay.report.figures import FULL, Figure, chance, strips
from assay.report.marks import Mark, Panel, Plot, Reference
from assay.report.tables import coordinates, mapping, numeric
from assay.report.wording import bounds, held_words, measure_name
from assay.stats.rows import CONFOUNDER
from assay.store.files import Row


def bought(evidence: Evidence, width: float = FULL) -> Figure | None:
    """Performance at p = 0 in the clean environment, and a panel per confounder of the change over doses."""
    view = evidence.outline
    where, clean = decisive(evidence, view.environments), clean_environment(evidence)
    changes, fewer = changes_in(evidence, where)
    if not changes:
        return None
    levels, cut = some_levels(evidence, ROWS)
    before = _before(evidence, clean or where)
    name = measure_name(view.measure)
    panels = (*_clean(evidence, before, f"{name} in {clean or where} at p = 0", levels),
              *_changes(evidence, changes, levels, where))  # fmt: skip
    axis = f"{name}, then its mean change over the doses"
    plot = Plot(panels, levels, view.styles, axis, panels[-1].limits or (0.0, 1.0))
    held = {axis: value for axis, value in view.held.items() if axis not in (view.dosed, CONFOUNDER)}
    counted = lowered(name, where, changes)
    note = [f"At {held_words(held)}." if held else "", "Bars: 95 % intervals; dots: seeds.", COUNTED if counted else "",
            fewer, cut]  # fmt: skip
    rows = [*(row for own in before.values() for row in own), *changes]
    title = counted or f"{name} without a dose, and what the doses change in {where}"
    return strips("bought", title, " ".join(filter(None, note)), plot, _alike(rows), width)


def _before(evidence: Evidence, environment: str) -> dict[str, list[Row]]:
    """Confounder -> the estimates at p = 0, one per level; under no name where all confounders share them.

    They do but for one by choosing rows: rows without it, or with it in equal shares, are others than all rows.
    """
    view = evidence.outline
    rows = evidence.estimates(view.measure, lambda row: is_overall(row) and row["environment"] == environment)
    at_zero = [row for row in rows if coordinates(row).get(view.dosed) == view.doses[0]]
    near = [row for row in at_zero if view.shown(row, view.dosed, CONFOUNDER)]
    found: dict[str, dict[str, Row]] = {}
    for row in near:
        name = "" if view.axis == CONFOUNDER else coordinates(row).get(CONFOUNDER, "")
        found.setdefault(name, {})[view.level(row)] = row
    alike = {tuple((level, str(row["value"])) for level, row in own.items()) for own in found.values()}
    if len(alike) == 1:
        found = {"": next(iter(found.values()))}
    return {name: list(own.values()) for name, own in found.items()}


def _clean(
    evidence: Evidence, before: Mapping[str, Sequence[Row]], title: str, levels: Sequence[str]
) -> Iterator[Panel]:
    """One panel, or one per confounder where these begin apart; all with the same limits."""
    marks = {
        name: tuple(mark for mark in evidence.marks(rows) if mark.level in levels) for name, rows in before.items()
    }
    references = {name: chance(rows) for name, rows in before.items()}
    known = [value for own in references.values() for one in own for _, value in one.values]
    span = _limits([mark for own in marks.values() for mark in own], known, bounds(evidence.outline.measure))
    for name, own in marks.items():
        yield Panel(f"{name}: {title}" if name else title, own, references[name], limits=span)


def _changes(evidence: Evidence, rows: Sequence[Row], levels: Sequence[str], where: str) -> list[Panel]:
    """A panel per confounder, where these are not what is compared; all with the same limits."""
    apart = evidence.outline.axis != CONFOUNDER
    of = [coordinates(row).get(CONFOUNDER, "") if apart else "" for row in rows]
    marks = {
        name: tuple(
            mark
            for mark in (_mark(evidence, row) for row, own in zip(rows, of, strict=True) if own == name)
            if mark.level in levels
        )
        for name in dict.fromkeys(of)
    }
    span = _limits([mark for own in marks.values() for mark in own], [0.0], (-1.0, 1.0))
    none = (Reference.level("no change", 0.0),)
    return [
        Panel(f"{name}: change in {where}" if name else f"change in {where}", own, none, limits=span)
        for name, own in marks.items()
    ]


def _mark(evidence: Evidence, row: Row) -> Mark:
    seeds = tuple((int(seed), float(value)) for seed, value in mapping(row["per_seed"]).items())
    ends = (numeric(row, "value"), numeric(row, "low"), numeric(row, "high"))
    return Mark(evidence.outline.level(row), *ends, seeds, reason=row["reason"])


def _limits(marks: Sequence[Mark], more: Sequence[float], within: tuple[float, float]) -> tuple[float, float]:
    points = [value for mark in marks for value in mark.points]
    return limits([*points, *more], [end for mark in marks for end in (mark.low, mark.high)], within)


def _alike(rows: Sequence[Row]) -> list[Row]:
    """Estimates and changes as rows of the same columns, for the figure's file."""
    names = ("recipe", "measure", "environment", "value", "low", "high", "seeds", "patients", "reason")
    lacking = dict.fromkeys(("factor", "level", "layer", "group", "images", "chance", "unit"), "")
    made = [{**lacking, **{name: row[name] for name in names}, "measure": _measured(row)} for row in rows]
    return [{**row, "chance": math.nan, "images": math.nan} for row in made]


def _measured(row: Row) -> str:
    return f"mean change in {row['measure']} from p = 0" if "per_seed" in row else str(row["measure"])
