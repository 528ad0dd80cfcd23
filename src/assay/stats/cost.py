"""The sentence on what a shift cost: the values of the measure before and after, claiming nothing of differences."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from assay.stats.format import listed, number
from assay.stats.rows import DOSES, OF_THE_MODEL, Row, Sentence, along, label, mapping, numeric, text_of
from assay.stats.slice import of_slice, spread


def cost(estimates: Sequence[Row], main: Row | None) -> list[Sentence]:
    """`AUROC was .98 [.97, .98] in same; in reversed it was .38 [.31, .45] (triplet) to .42 [.36, .49] (supcon).`

    Of the leading contrast's measure, in the first environment there is and in the contrast's own. None where the
    contrast is of a factor or a layer, or where the two are one.
    """
    if main is None or text_of(main, "factor") or text_of(main, "layer"):
        return []
    rows = [row for row in estimates if _fits(row, text_of(main, "measure"))]
    if main.get("at") == DOSES:
        return _over_doses(rows, main)
    names = list(dict.fromkeys(text_of(row, "environment") for row in rows))
    there = text_of(main, "environment")
    if there not in names or names[0] == there:
        return []
    before, after = (_values(rows, name, main) for name in (names[0], there))
    if not before or not after:
        return []
    called = label({"measure": main["measure"]})
    text = f"{called} was {spread(before)} in {names[0]}; in {there} it was {spread(after)}{_chance(after.values())}."
    return [Sentence("answer", text, evidence="performance")]


def _over_doses(rows: Sequence[Row], main: Row) -> list[Sentence]:
    """`In reversed, AUROC was .93 [.9, .95] (a) to .95 [.93, .96] (b) at p = 0; at p = 1 ...`"""
    there, axis = text_of(main, "environment"), along(main, rows[0]) if rows else ""
    doses = sorted({str(mapping(row.get("coordinates")).get(axis)) for row in rows}, key=float) if axis else []
    if len(doses) < 2:
        return []
    ends = [{**main, "where": {**mapping(main.get("where")), axis: p}} for p in (doses[0], doses[-1])]
    values = [_values(rows, there, end) for end in ends]
    if not all(values):
        return []
    called = label({"measure": main["measure"]})
    held = [f"{name} {value}" for name, value in mapping(main.get("where")).items()]
    place = f"In {there} ({listed(held)})" if held else f"In {there}"
    text = (
        f"{place}, {called} was {spread(values[0])} at p = {doses[0]}; at p = {doses[-1]} it was "
        f"{spread(values[1])}{_chance(values[1].values())}."
    )
    return [Sentence("answer", text, evidence="performance")]


def _fits(row: Row, measure: str) -> bool:
    """Whether an estimate is of all images of an environment."""
    parts = any(text_of(row, key) for key in ("factor", "level", "layer"))
    known = not math.isnan(numeric(row, "value"))
    whole = text_of(row, "group") in OF_THE_MODEL and bool(text_of(row, "environment"))
    return text_of(row, "measure") == measure and known and whole and not parts


def _values(rows: Sequence[Row], environment: str, main: Row) -> dict[str, Row]:
    there = [row for row in rows if text_of(row, "environment") == environment]
    return {name: own[0] for name, own in of_slice(there, main).items()}


def _chance(rows: Iterable[Row]) -> str:
    levels = {numeric(row, "chance") for row in rows}
    level = levels.pop() if len(levels) == 1 else math.nan
    return "" if math.isnan(level) else f", where chance is {number(level)}"
