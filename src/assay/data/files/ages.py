"""Ages that are written with their unit, as DICOM and people write them."""

from __future__ import annotations

import re
from collections.abc import Iterable

_DICOM_AGE = re.compile(r"\d{3}[DWMY]$")
_SPELLED_AGE = re.compile(r"(\d+(?:[.,]\d+)?) ?([^\W\d_]+)\.?(?: old)?$")
_A_YEAR = {
    "y yr yrs year years j jahr jahre ans año años": 1.0,
    "m mo mos mth mths month months monat monate mois mes meses": 12.0,
    "w wk wks week weeks woche wochen semaine semaines": 365.25 / 7,
    "d day days tag tage jour jours": 365.25,
}
_IN_A_YEAR = {word: times for words, times in _A_YEAR.items() for word in words.split()}
_LETTERS = frozenset("mwd")
"""Letters that are months, weeks or days beside ages in years alone: 13m may be meters, and 3D a kind of image."""


def _number_and_unit(cell: str) -> tuple[float, str] | None:
    age = _SPELLED_AGE.match(cell.casefold())
    return (float(age[1].replace(",", ".")), age[2]) if age and age[2] in _IN_A_YEAR else None


def ages_among(cells: Iterable[str], *, but_years: bool = False) -> dict[str, float]:
    """Return the cells of a column that are ages with their unit -> years: 030Y and 018M of DICOM, 13 months, 53y.

    Args:
        cells: The cells.
        but_years: Leave out the ages whose unit is years.
    """
    ages = {cell: age for cell in {*cells} if (age := _number_and_unit(cell))}
    has_years = any(_IN_A_YEAR[unit] == 1 for _, unit in ages.values())
    return {
        cell: value / _IN_A_YEAR[unit]
        for cell, (value, unit) in ages.items()
        if (has_years or unit not in _LETTERS or _DICOM_AGE.match(cell)) and not (but_years and _IN_A_YEAR[unit] == 1)
    }
