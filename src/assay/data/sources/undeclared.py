"""The columns of a study's table that have no part in it: read to be doubted, never to be used."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from assay.core.data_section import undeclared_columns
from assay.core.data_spec import DataSpec, FactorSpec
from assay.core.types import Factor, FactorTable
from assay.data.sources.columns import chosen, factor_column, patient_codes, target_column
from assay.data.sources.folder import folder_of, pasted
from assay.data.sources.table import absent, number

FEW = 20
"""Up to so many different numbers, each on five rows and more, are taken for levels, such as those of a site."""
MOST = 100
"""A column of text with more different values names things."""


def undeclared_table(spec: DataSpec) -> FactorTable | None:
    """The rows that a study uses, with the columns that it does not name as factors; None where there are none.

    Files are not looked at: a row whose image is left out is here. Columns of text with over `MOST` values are left
    out, and those of whole numbers no two of which are equal, which count rows.
    """
    names = undeclared_columns(spec)
    if not names:
        return None
    folder = folder_of(spec.folder, "data.folder")
    table = chosen(pasted(folder, folder / spec.table, spec), spec.where)
    if spec.target not in table.header:  # whether masks show a lesion
        return None
    target = target_column(spec.target, spec.positive, table.column(spec.target, "data.target"))
    patient = patient_codes(table.column(spec.patient or spec.image, "data.patient"))
    factors: list[Factor] = []
    columns: dict[str, np.ndarray] = {}
    for name in names:
        cells = table.column(name, f"data.factors.{name}")
        kind = _kind(cells, table.comma)
        if kind is not None:
            factor, columns[name], _ = factor_column(name, kind, cells, comma=table.comma)
            factors.append(factor)
    rows = np.arange(len(table), dtype=np.int64)
    whole = FactorTable(rows, target.codes, patient, target.classes, tuple(factors), columns)
    return whole.take(np.flatnonzero(target.codes >= 0))


def _kind(cells: Sequence[str], comma: bool) -> FactorSpec | None:
    """Numbers or levels; None for what names rows or things."""
    present = [cell for cell in cells if not absent(cell)]
    values = set(present)
    numbers = [number(value, comma) for value in values]
    if any(found is None for found in numbers):
        return FactorSpec(kind="categorical") if len(values) <= MOST else None
    if len(values) <= FEW and 5 * len(values) <= len(present):
        return FactorSpec(kind="categorical")
    counts = len(values) == len(present) and all(found is not None and found.is_integer() for found in numbers)
    return None if counts else FactorSpec(kind="continuous")
