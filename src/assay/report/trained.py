"""How training went: losses by epoch, and what a schedule set beside them, a line per level of the compared axis."""

from __future__ import annotations

import math
from collections.abc import Mapping

from assay.report.axes import limits
from assay.report.choosing import ROWS, some_levels
from assay.report.evidence import Evidence
from assay.report.field import Field, Trace, draw_field
from assay.report.figures import HALF, Figure, drawn, slice_note
from assay.report.tables import numeric

_SCALES = "Each loss has its own scale: lines tell when training came to rest, not which loss is better."
COURSES: Mapping[str, tuple[str, str, str]] = {
    "train_loss": ("Loss in training", "loss of the training images", _SCALES),
    "validation_loss": ("Loss on validation images", "loss of the validation images", _SCALES),
    "lr": ("Schedule of the learning rate", "learning rate at the end of the epoch", ""),
    "weight": ("Schedule of the loss", "weight of the loss's first term", "Only losses with a weight have a line."),
}
"""Column of `schema.CURVES` -> title, what stands along the axis, note."""


def course(evidence: Evidence, column: str, width: float = HALF) -> Figure | None:
    """One column of the curves over epochs, means over seeds; None where nothing is known."""
    rows = [row for row in evidence.tables.curves if evidence.outline.shown(row)]
    rows = [row for row in rows if not math.isnan(numeric(row, column))]
    levels, cut = some_levels(evidence, ROWS)
    traces = tuple(
        Trace(level, tuple((numeric(row, "epoch"), numeric(row, column)) for row in own))
        for level in levels
        if (own := [row for row in rows if evidence.outline.level(row) == level])
    )
    points = [point for trace in traces for point in trace.points]
    if not points:
        return None
    title, named, note = COURSES[column]
    values = [value for _, value in points]
    across = (min(epoch for epoch, _ in points), max(epoch for epoch, _ in points))
    span = limits(values, [], (-math.inf, math.inf))
    field = Field(
        "epoch", named, (across[0], max(across[1], across[0] + 1)), span, levels, evidence.outline.styles, traces=traces
    )
    return drawn(
        f"course-{column.replace('_', '-')}", title, slice_note(evidence, note, cut), field, rows, draw_field, width
    )
