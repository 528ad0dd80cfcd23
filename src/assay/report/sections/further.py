"""Section on every measure that no other section shows, such as those of a probe of one's own."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import replace

from assay.core.measures import MEASURES
from assay.report.figures import Figure, chance, plot_of, slice_note, strips
from assay.report.layout import ROWS, Evidence, some_levels
from assay.report.rows import distinct, numeric, whole
from assay.report.sheets import NONE, Line, Sheet, amount, estimated, sheet, words
from assay.report.wording import column_places, measure_name, recipe_head
from assay.stats.format import in_words
from assay.store import schema
from assay.store.files import Row

PLACES = ("environment", "factor", "level", "layer", "group")
MOST_PANELS = 12
"""Panels of a figure at most; the table has every place."""


def measures(evidence: Evidence, shown: Collection[str]) -> list[str]:
    """Return the measures of the estimates that are not among those shown, in the order of the table."""
    return [name for name in distinct(row["measure"] for row in evidence.tables.estimates) if name not in shown]


def figure(evidence: Evidence, measure: str) -> Figure | None:
    """Make an interval plot of a measure: recipes by environment, factor, level, layer and group."""
    found: dict[str, list[Row]] = {}
    for row in evidence.estimates(measure, evidence.outline.shown):
        found.setdefault(_place(row), []).append(row)
    groups = [(place, rows) for place, rows in found.items() if any(map(_defined, rows))]
    if not groups:
        return None
    kept = groups[:MOST_PANELS]
    levels, note = some_levels(evidence, ROWS)
    plot = plot_of(evidence, measure, kept, levels, references=chance)
    cut = f"{len(kept)} of {len(groups)} places shown. The table has all." if len(kept) < len(groups) else ""
    meaning = f"{MEASURES[measure].meaning.capitalize()}." if measure in MEASURES else ""
    name = measure_name(measure)
    title = name[:1].upper() + name[1:]
    rows = [row for _, own in kept for row in own]
    return strips(f"further-{measure}", title, slice_note(evidence, meaning, cut, note), plot, rows)


def table(evidence: Evidence, names: Sequence[str]) -> Sheet | None:
    """Make a table with a row for every estimate of these measures; folded."""
    rows = [row for name in names for row in evidence.estimates(name, lambda _: True)]
    places = {name: column_places(evidence.estimates(name, lambda _: True)) for name in names}
    lines = [
        Line(
            (
                words(measure_name(row["measure"])),
                words(row["recipe"]),
                words(_place(row) or NONE),
                estimated(row, places[row["measure"]]),
                words(row["unit"] or NONE),
                amount(whole(row, "seeds")),
                amount(whole(row, "images")),
            ),
            first=evidence.outline.shown(row),
        )
        for row in rows
    ]
    heads = ("measure", recipe_head(evidence.tables), "place", "value", "unit", "seeds", "images")
    made = sheet("further-measures", "Further measures", heads, lines, (rows, schema.ESTIMATES))
    return replace(made, folded=True) if lines else None


def _place(row: Row) -> str:
    return ", ".join(in_words(str(row[name])) for name in PLACES if row[name])


def _defined(row: Row) -> bool:
    return not math.isnan(numeric(row, "value"))
