"""What each start is, as a table: where its weights come from, how it scales images, what it was trained on."""

from __future__ import annotations

import math

from assay.report.sheets import NONE, Cell, Line, Sheet, amount, estimated, sheet, words
from assay.report.tables import Tables, numeric
from assay.report.wording import column_places
from assay.store import schema
from assay.store.files import Row

SHOWN_HASH = 12
"""Digits of a checksum that are shown; the file of the table has all."""


def starts(tables: Tables) -> Sheet | None:
    """A row per start; None where all recipes start at random and there is nothing to tell."""
    rows = tables.starts
    if all(row["kind"] == "random" for row in rows):
        return None
    places = column_places(rows)
    lines = [
        Line(
            (
                words(row["start"]),
                words(row["what"]),
                words(row["data"] or NONE),
                _count(row, "images"),
                _count(row, "steps"),
                _count(row, "seeds"),
                estimated(row if row["data"] else None, places),
                words(row["file"] or NONE),
                words(row["sha256"][:SHOWN_HASH] or NONE, row["sha256"]),
                words(row["scaling"] or NONE),
            )
        )
        for row in rows
    ]
    heads = ("start", "what it is", "trained on", "images", "steps", "seeds", "AUROC of its own", "file", "SHA-256",
             "image x is scaled to")  # fmt: skip
    judged = any(not math.isnan(numeric(row, "value")) for row in rows)
    note = (
        "AUROC of its own: on validation images of what the start itself was trained for, mean of its seeds with the "
        "95 % interval over them; of several classes, the mean of each against the rest."
    )
    if any("without labels" in row["data"] for row in rows):
        note += " Of a start trained without labels: by a linear head that is fitted to its features with labels."
    return sheet("starts", "What each start is", heads, lines, (rows, schema.STARTS), note if judged else "")


def _count(row: Row, name: str) -> Cell:
    value = numeric(row, name)
    return Cell(NONE, "", True) if math.isnan(value) else amount(int(value))
