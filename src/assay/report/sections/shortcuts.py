"""The page's table of predictors of the target that need no network."""

from __future__ import annotations

from collections.abc import Sequence

from assay.report.rows import Tables, numeric, whole
from assay.report.sentences.reasons import reason_words
from assay.report.sheets import NONE, Cell, Line, Sheet, amount, sheet, words
from assay.stats.format import with_interval
from assay.store import schema
from assay.store.files import Row

HEADS = ("cue", "kind", "class", "AUROC", "direction", "images", "patients", "reason")
CAPTION = "Cues that predict the target without a network"
KINDS = {"factor": "factor", "column": "column, undeclared", "image": "image property", "baseline": "baseline"}


def meaning(rows: Sequence[Row]) -> str:
    """Explain the figures, for the page and the preview; rows that count no patients are over images."""
    unit = "patients" if any(whole(row, "patients") for row in rows) else "images"
    return (
        f"AUROC of one column, property or fitted score for a class against the others, with its 95% interval over "
        f"{unit}, of the images as they are found; of several classes the best predicted one. Numbers count in "
        f"either direction. Levels and baselines (ridge regressions) are fitted on other {unit} than they are "
        "judged on."
    )


def table(tables: Tables) -> Sheet | None:
    """A row per factor, column, image property and baseline, the greatest AUROC first; None for a phantom, whose
    factors the study draws itself.
    """
    rows = tables.shortcuts
    lines = [Line((*map(words, texts(row)), *counts(row), words(reason_words(row["reason"]) or NONE))) for row in rows]
    return sheet("shortcuts", CAPTION, HEADS, lines, (rows, schema.SHORTCUTS), meaning(rows)) if rows else None


def texts(row: Row) -> tuple[str, ...]:
    """Name, kind, class, AUROC and direction of a row; a dash where there is none."""
    value, low, high = (numeric(row, name) for name in ("value", "low", "high"))
    auroc = with_interval(value, low, high) if value == value else NONE
    return str(row["name"]), KINDS[str(row["kind"])], str(row["of"]) or NONE, auroc, str(row["direction"]) or NONE


def counts(row: Row) -> tuple[Cell, ...]:
    """Images and patients as cells."""
    return amount(whole(row, "images")), amount(count) if (count := whole(row, "patients")) else words(NONE)
