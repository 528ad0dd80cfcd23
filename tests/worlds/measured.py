"""Made-up measurements of recipes, as probes give them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from assay.store.files import ColumnRows
from assay.study.measurements import Measurements

KEY_FIELDS = ("measure", "environment", "factor", "level", "layer", "group")
"""What names a measurement of a recipe."""
UNSAID = {"value": math.nan, "standard_error": math.nan, "n": 0, "patients": 0, "chance": math.nan, "unit": "",
          "direction": "none", "reason": "", "contributions": None, "at": 0}  # fmt: skip
"""A measurement of which nothing is known."""


def by_column(rows: Mapping[Any, Mapping[int, Mapping[str, Any]]]) -> ColumnRows:
    """Measurements by what names them, and by seed, as rows of a recipe."""
    every = [
        {**UNSAID, **row, **dict(zip(KEY_FIELDS, key, strict=True)), "seed": seed}
        for key, by_seed in rows.items()
        for seed, row in by_seed.items()
    ]
    return ColumnRows({name: [row[name] for row in every] for name in (*KEY_FIELDS, "seed", *UNSAID)})


def measurements(rows: Mapping[Any, Mapping[int, Mapping[str, Any]]], smallest_group: int = 0) -> Measurements:
    """Measurements of a recipe by what names them, and by seed."""
    return Measurements.of_recipe(by_column(rows), smallest_group)
