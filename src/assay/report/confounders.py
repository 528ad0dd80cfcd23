"""How visible each confounder is, as a table beside its pictures."""

from __future__ import annotations

from assay.report.sheets import NONE, Line, Sheet, amount, figure, sheet, words
from assay.report.tables import Tables, numeric, whole
from assay.store import schema

FIGURES = "pixels changed (share)", "mean difference", "SSIM"
MEANING = (
    "Means over the test images counted at the right, each without and with the confounder. Pixels changed: the share "
    "that differs by at least half of 1/255 in some channel. Mean difference: of all pixels, changed or not, black to "
    "white being 1. SSIM: structural similarity, 1 for equal images and less the less alike they are."
)
"""What the figures of visibility mean, for the page and the preview."""


def visible(tables: Tables) -> Sheet | None:
    """A row per confounder; None where no pixel is changed in the study."""
    rows = tables.visibility
    lines = [
        Line(
            (
                words(row["confounder"]),
                *(figure(numeric(row, name), 3) for name in ("share", "difference", "ssim")),
                amount(whole(row, "images")),
                words(row["reason"] or NONE),
            )
        )
        for row in rows
    ]
    heads = ("confounder", *FIGURES, "images", "why there is none")
    caption = "How visible each confounder is"
    return sheet("visibility", caption, heads, lines, (rows, schema.VISIBILITY), MEANING) if rows else None
