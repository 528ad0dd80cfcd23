"""Sentences on the leads of an audit."""

from __future__ import annotations

import math

from assay.report.words import sentence_case
from assay.stats.format import in_words
from assay.stats.rows import Row

NOTE = (
    "A lead is a place to look, and no verdict: none of these was shown to be a shortcut. Put it to a test with a mark "
    "or a column of its own."
)
NO_LEADS = "No lead was found. That clears nothing: a shortcut that these images lack cannot be seen."
NONE_OUTSIDE = "All leads are where the finding may be."
USUAL = "Networks without a shortcut often lose so, too: the finding is made of it."
VALUES = (
    "Value: of a place the AUROC lost with content of another class; of a property the swing; of errors the share of "
    "these images more than of the others; of a predictor its AUROC."
)
EXCHANGE = (
    "Images get the content of other patients. Numbers are the AUROC lost with content of another class more than with "
    "content of the same class. A dashed cell is where the finding may be."
)
PLACES = ("cell", "band", "intensities")
"""Kinds of places of the exchange test."""
_BANDS = ("below 1/32", "1/32 to 1/16", "1/16 to 1/8", "1/8 to 1/4", "above 1/4")
_SIDES = {
    (0, 0, 1, 10): "top edge",
    (9, 0, 1, 10): "bottom edge",
    (1, 0, 8, 1): "left edge",
    (1, 9, 8, 1): "right edge",
}


def place_words(kind: str, name: str) -> str:
    """Return a place of the exchange test in words."""
    if kind == "band":
        return f"spatial frequencies {_BANDS[int(name)]} cycles per pixel"
    if kind == "intensities":
        return "the distribution of intensities"
    parts, top, left, high, wide = cell(name)
    if (high, wide) != (1, 1):
        return _SIDES[top, left, high, wide]
    return f"the cell in row {top + 1}, column {left + 1} of {parts}"


def cell(name: str) -> tuple[int, int, int, int, int]:
    """Return cells a side of the grid, row, column, rows and columns of a cell by its name."""
    parts, place, size = name.split(":")
    (top, left), (high, wide) = place.split(","), size.split("x")
    return int(parts), int(top), int(left), int(high), int(wide)


def lead_words(row: Row) -> str:
    """Return a lead without its numbers."""
    name, of = in_words(row["name"]), row["class"]
    if row["kind"] in PLACES:
        center = ", where the finding may be" if row["center"] else ""
        usual = "" if row["kind"] == "cell" or not math.isnan(row["limit"]) else f". {USUAL}"
        return f"{sentence_case(place_words(row['kind'], row['name']))}{center}{usual}"
    also = f". The same images: {row['merged']}" if row["merged"] else ""
    if row["kind"] == "property":
        return f"Scores differ with {name}"
    if row["kind"] == "predictor":
        return f"{sentence_case(name)} predicts the target without a network"
    return f"Errors on '{of}' {'gather near' if row['kind'] == 'cluster' else 'where'} {name}{also}"
