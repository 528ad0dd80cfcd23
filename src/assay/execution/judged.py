"""What is kept of a training: its curve, what its record says of the validation rows, and how that is read back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from assay.recipes.train import Fitted
from assay.stats.grades import specific_thresholds
from assay.stats.metrics import macro_auroc
from assay.store.files import write_rows

CURVE = "curve.parquet"
"""What a unit calls its curve."""


def of_validation(fitted: Fitted, target: np.ndarray) -> dict[str, Any]:
    """`validation_auroc`, of several classes the mean of each against the rest, None where undefined; and `specific`,
    for every cut of the classes in two the log-odds from which each validation specificity is reached.

    Of a network that says something of pixels there is neither a ranking of images nor a cut.
    """
    if fitted.validated is None:
        return {"validation_auroc": None}
    logits = fitted.validated.double().numpy()
    found = macro_auroc(logits, target)
    specific = [list(specific_thresholds(logits, target, cut)) for cut in range(1, logits.shape[1])]
    return {"validation_auroc": found.value if found.defined else None, "specific": specific}


def specific_of(record: Mapping[str, Any]) -> tuple[tuple[float, ...], ...]:
    """For every cut the log-odds from which each specificity is reached on validation rows, NaN where none is."""
    cuts: list[list[float | None]] = record.get("specific", [])
    return tuple(tuple(math.nan if odds is None else float(odds) for odds in cut) for cut in cuts)


def operating_of(record: Mapping[str, Any]) -> tuple[float, ...]:
    """The logits at which a segmentation finds each share of its validation lesions, NaN where none does."""
    return tuple(math.nan if logit is None else float(logit) for logit in record.get("operating", ()))


def write_curve(unit: Path, curve: Sequence[Mapping[str, float | int]]) -> None:
    """A row for each epoch."""
    write_rows(unit / CURVE, tuple(curve[0]), [dict(row) for row in curve])
