"""What distortions cost: errors by family and severity, and the corruption error against a baseline."""

from __future__ import annotations

import math
from collections.abc import Sequence

from assay.report.choosing import some_levels
from assay.report.contents import COUNTS, by_place
from assay.report.evidence import Evidence
from assay.report.figures import Figure, chance, curves, plot_of, slice_note
from assay.report.sheets import Sheet, sheet
from assay.report.tables import distinct, numeric
from assay.report.wording import measure_name, recipe_head
from assay.stats.corruption import CORRUPTION, RELATIVE
from assay.store import schema
from assay.store.files import Row

ERROR, CLEAN = "distorted-error", "clean"
TOLD = (CORRUPTION, RELATIVE, ERROR, "distorted-error-increase", "accuracy-kept", "stability")


def by_severity(evidence: Evidence) -> Figure | None:
    """A panel per family: the share of distorted images that is called wrongly, a curve per level from clean images
    over severities.
    """
    rows = [row for row in evidence.estimates(ERROR, evidence.outline.shown) if row["level"]]
    rows = [row for row in rows if not math.isnan(numeric(row, "value"))]
    if not rows:
        return None
    rows = sorted(rows, key=lambda row: int(row["level"]))
    where = distinct(row["environment"] for row in rows)
    families = distinct(row["factor"] for row in rows)
    clean = {name: _errors_of_clean(evidence, name) for name in where}
    groups = [
        (f"{family}, {name}" if len(where) > 1 else family, [*clean[name], *own])
        for name in where
        for family in families
        if (own := _of(rows, name, family))
    ]
    levels, cut = some_levels(evidence)
    positions = [CLEAN] * any(clean.values()) + distinct(row["level"] for row in rows)
    plot = plot_of(evidence, ERROR, groups, levels, ("severity", tuple(positions), _severity), chance)
    note = slice_note(evidence, "Severities as published, 1 least to 5 most.", cut)
    return curves("distorted", f"Errors on distorted images of {', '.join(where)}, by severity", note, plot, rows)


def _errors_of_clean(evidence: Evidence, environment: str) -> list[Row]:
    """What the accuracy on the same images leaves, undistorted: the curves begin there. Chance is its, too."""
    whole = ("factor", "level", "group", "layer")
    rows = evidence.estimates("accuracy", evidence.outline.shown)
    return [
        {
            **row,
            "measure": ERROR,
            "level": CLEAN,
            **{key: 1 - numeric(row, of) for key, of in (("value", "value"), ("low", "high"), ("high", "low"))},
            "chance": 1 - numeric(row, "chance"),
        }
        for row in rows
        if row["environment"] == environment and not any(row[key] for key in whole)
    ]


def _severity(row: Row) -> str:
    return row["level"]


def _of(rows: Sequence[Row], environment: str, family: str) -> list[Row]:
    return [row for row in rows if (row["environment"], row["factor"]) == (environment, family)]


def table(evidence: Evidence) -> Sheet | None:
    """A row per recipe, environment and family, a column per measure; the mean over severities."""
    rows = [row for name in TOLD for row in evidence.estimates(name, lambda row: not row["level"])]
    names = [name for name in TOLD if any(row["measure"] == name for row in rows)]
    lines, total = by_place(evidence, rows, ("recipe", "environment", "factor"), "measure", names)
    heads = (recipe_head(evidence.tables), "environment", "family", *map(measure_name, names), *COUNTS)
    baseline = next((row["group"] for row in rows if row["measure"] == CORRUPTION), "")
    note = "Means over severities."
    if baseline:
        note += (
            f" Corruption error: a recipe's errors over those of the baseline, {baseline} and all else alike: 1 is as "
            "good, 0 without error; the relative one is that of what errors increase by over clean images. Both are "
            "ratios of means over seeds and have no interval; comparisons are of the errors themselves."
        )
    caption = "What each family of distortions costs"
    return sheet("distortions", caption, heads, lines, (rows, schema.ESTIMATES), note, total) if lines else None
