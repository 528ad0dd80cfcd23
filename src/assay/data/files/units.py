"""Columns of numbers that mix two units, such as ages in years and in months."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from assay.data.files.ages import ages_among
from assay.data.files.doubts import AGES, OTHER_UNITS
from assay.data.files.roles import SCORES, words_of
from assay.data.files.table import absent, number, shown

_OF_LENGTH = {10.0: "mm among cm", 2.54: "cm among inches", 25.4: "mm among inches", 100.0: "cm among m",
              1000.0: "mm among m or µm among mm"}  # fmt: skip
_OF_WEIGHT = {2.2046: "lb among kg", 1000.0: "g among kg"}
_OF_ANYTHING = {10.0: "", 1000.0: ""}
_UNITS: Mapping[frozenset[str], Mapping[float, str]] = {
    AGES: {
        12.0: "months among years", 52.18: "weeks among years", 365.25: "days among years"
    },
    frozenset({"weight", "gewicht", "mass", "kg", "lb", "lbs", "pounds"}): _OF_WEIGHT,
    frozenset({"height", "length", "size", "diameter", "thickness", "depth", "width", "distance", "spacing", "axis",
               "groesse", "laenge", "durchmesser", "mm", "cm", "inch", "inches"}): _OF_LENGTH,
    frozenset({"area", "flaeche", "mm2", "cm2"}): {100.0: "mm² among cm²"},
    frozenset({"volume", "volumen", "ml", "mm3", "cm3"}): {1000.0: "mm³ among ml"},
    frozenset({"glucose", "cholesterol", "creatinine", "bilirubin", "hemoglobin", "hb"}): {
        10.0: "per liter among per deciliter", 18.02: "mg/dl among mmol/l", 38.67: "mg/dl among mmol/l",
        88.42: "µmol/l among mg/dl", 17.1: "µmol/l among mg/dl"
    },
    frozenset({"temperature", "temp", "fever"}): {2.64: "Fahrenheit among Celsius"},
    frozenset({"percent", "percentage", "pct", "share", "fraction"}): {100.0: "percent among shares"},
}  # fmt: skip
"""Words of the names of columns -> how many times greater a number is in another unit, and which units these are."""
_UNITS_IN_NAMES = frozenset({"mm", "cm", "kg", "lb"})
"""Words of names that are units: numbers of such a column are in no two others."""
_INCHES, _TALLEST = 2.54, 250
"""Centimeters of an inch, and how many no length in a body exceeds: widths of pictures in pixels do."""

_FEWEST, _LEAST, _SHARE, _DISTINCT = 30, 5, 0.02, 4
"""Numbers of a column and of a group, the share of the latter, and different numbers in it."""
_GAIN, _APART, _ALIKE, _VALLEY = 0.05, 3.2, 1.7, 0.5
"""Gain in log-likelihood a number, distance in standard deviations, ratio of these, and numbers between the groups."""
_NEAR, _OF_DISTANCE, _FARTHEST = 0.05, 0.02, 0.12
"""Difference of logarithms from a unit factor: what is always allowed, as a share of the distance, and at most."""


class _Groups(NamedTuple):
    """Two groups of the logarithms of numbers, sorted."""

    low: Float[np.ndarray, " a"]
    high: Float[np.ndarray, " b"]

    @property
    def distance(self) -> float:
        return float(np.median(self.high) - np.median(self.low))

    @property
    def deviation(self) -> float:
        """Standard deviation within the groups."""
        sizes = len(self.low), len(self.high)
        return math.sqrt((sizes[0] * self.low.var() + sizes[1] * self.high.var()) / sum(sizes))


def mixed_units(name: str, cells: Sequence[str], comma: bool) -> str:
    """Return a sentence on a column whose numbers seem to be in two units; empty of another one.

    Their logarithms form two groups of a similar width with few numbers between them, and the groups are as far apart
    as the units that such a quantity is measured in. Which units there are is known by the name of the column; of
    other names but those of scores, a factor of 10 or 1,000 counts.
    """
    words = words_of(name)
    if words & {*SCORES}:
        return ""
    ages = ages_among(cells)
    converted = ages_among(cells, but_years=True)
    cells = [cell for cell in cells if cell not in converted]
    values = {cell: value for cell in {*cells} if (value := ages.get(cell, number(cell, comma))) is not None}
    numbers = np.array([values[cell] for cell in cells if cell in values], dtype=np.float64)
    if len(numbers) < _FEWEST or len({*values.values()}) < 2 * _DISTINCT or numbers.min() <= 0:
        return ""
    groups = _two_groups(np.sort(np.log(numbers)))
    if groups is None:
        return ""
    units = _unit_factors(words, float(numbers.max())) or _OF_ANYTHING
    error = 1.25 * groups.deviation * math.sqrt(1 / len(groups.low) + 1 / len(groups.high))
    factor = min(units, key=lambda each: abs(math.log(each) - groups.distance))
    near = max(_NEAR, _OF_DISTANCE * math.log(factor), min(2 * error, _FARTHEST) if units is not _OF_ANYTHING else 0)
    if abs(math.log(factor) - groups.distance) > near:
        return ""
    parts = [
        f"{len(part):,} from {math.exp(part[0]):.4g} to {math.exp(part[-1]):.4g}" for part in (groups.low, groups.high)
    ]
    return (
        f"{name} has two groups of numbers, {parts[0]} and {parts[1]}, which are {math.exp(groups.distance):.3g} "
        f"times greater, as with {units[factor] or 'another unit'}"
    )


def _unit_factors(words: set[str], greatest: float) -> dict[float, str]:
    """Return the factors between units of a quantity with these words in its name; empty of an unknown one."""
    units = dict(chain.from_iterable(unit.items() for of, unit in _UNITS.items() if words & of))
    if greatest > _TALLEST:
        units.pop(_INCHES, None)
    in_name = words & _UNITS_IN_NAMES
    return {factor: text for factor, text in units.items() if not in_name or in_name & {*text.split()}}


def _two_groups(logs: Float[np.ndarray, " n"]) -> _Groups | None:
    """Return the two groups of sorted numbers, split where two normal distributions of one width fit best; None where
    a single one fits about as well, or the two differ in width, are few, or have no gap between them.
    """
    n, low = len(logs), np.arange(1, len(logs))
    sums, squares = np.cumsum(logs), np.cumsum(logs**2)
    total = squares[-1] - sums[-1] ** 2 / n
    within = squares[-1] - sums[:-1] ** 2 / low - (sums[-1] - sums[:-1]) ** 2 / (n - low)
    share = low / n
    entropy = -(share * np.log(share) + (1 - share) * np.log(1 - share))
    if total <= 0:
        return None
    gain = 0.5 * np.log(total / np.maximum(within, 1e-9 * total)) - entropy
    at = int(gain.argmax()) + 1
    groups = _Groups(logs[:at], logs[at:])
    fewest = max(_LEAST, _SHARE * n)
    if gain[at - 1] < _GAIN or min(at, n - at) < fewest or min(len(np.unique(part)) for part in groups) < _DISTINCT:
        return None
    deviations = groups.low.std(), groups.high.std()
    is_apart = groups.distance > _APART * groups.deviation and max(deviations) < _ALIKE * min(deviations)
    return groups if is_apart and _has_valley(logs, groups) else None


def _has_valley(logs: Float[np.ndarray, " n"], groups: _Groups) -> bool:
    """Return whether there are fewer numbers between two groups than around the middle of either."""
    middle = (groups.low[-1] + groups.high[0]) / 2
    places = np.array([middle, np.median(groups.low), np.median(groups.high)])
    reach = 0.1 * groups.distance
    counts = np.searchsorted(logs, places + reach, "right") - np.searchsorted(logs, places - reach)
    return bool(counts[0] <= _VALLEY * counts[1:].min())


_NEVER_ZERO = frozenset({
    "weight", "gewicht", "height", "bmi", "kvp", "kv", "glucose", "insulin", "pressure", "systolic",
    "diastolic", "pulse", "hemoglobin", "cholesterol", "creatinine",
}) | AGES  # fmt: skip
"""Words of the names of quantities that no person has 0 of; only newborns are 0 years old."""
_OF_CHANGES = frozenset({
    "change", "loss", "gain", "delta", "diff", "difference", "score", "percentile", "norm", "normalized", "breslow",
    "tumor", "lesion", "plaque", "class", "group", "sample", "sampling", "drop", "tolerance", "box", "bbox", "bounding",
    "crop", "dose", "unit", "units", "daily", "gradient", "support", "ulcer", "wound", "implant", "effusion",
})  # fmt: skip
"""Words of names beside these of what may be 0."""
_YOUNGEST, _FEWEST_ZEROS = 15, 2
"""The second lowest age from which 0 stands for none, and zeros that are no slip."""
_LEAST_MOST = 10
"""A column whose numbers are all less than this is of weights of cases, or on a scale of its own."""


def zeros_for_missing(name: str, cells: Sequence[str], comma: bool) -> str:
    """Return a sentence on zeros among numbers that are never 0, as of weight, height or ages of adults; else empty."""
    words = words_of(name)
    if not words & _NEVER_ZERO or words & _OF_CHANGES or (words & AGES and words & OTHER_UNITS):
        return ""
    of_cell = {cell: value for cell in {*cells} if (value := number(cell, comma)) is not None}
    values = sorted({*of_cell.values()})
    zeros = sum(of_cell.get(cell) == 0 for cell in cells)
    if zeros < _FEWEST_ZEROS or len(values) <= _DISTINCT or values[0] < 0 or values[-1] < _LEAST_MOST:
        return ""
    if words & AGES and values[1] < _YOUNGEST:
        return ""
    return f"'0' in {zeros:,} rows of {name}, whose next number is {values[1]:g}"


_WITH_UNIT = re.compile(
    r"[-+]?[0-9][0-9 ]*([.,][0-9]+)? ?"
    r"(mm|cm|m|µm|um|in|kg|g|mg|lbs?|ml|cc|l|mm2|cm2|mm3|cm3|kvp?|ma|mas|mgy|msv|bpm|mmhg|hu|mg/dl|mmol/l|ng/ml|%)",
    re.IGNORECASE,
)
_CENSORED = re.compile(r"[<>≤≥~][=]? ?[0-9][0-9.,]*")
_DIFFERENT_NUMBERS, _MOSTLY = 10, 0.8
"""Different numbers that a column has more of than levels would be, and their share with those that have a sign."""


def numbers_as_levels(name: str, cells: Sequence[str], comma: bool) -> str:
    """Return a sentence on a column of levels that rather are numbers with a unit, such as 70kg, or signs, as <5.

    A few texts beside such numbers may be of any kind. More are codes, as of eyes: 12L and 12R.
    """
    present = [cell for cell in cells if not absent(cell)]
    signed = {cell for cell in {*present} if _WITH_UNIT.fullmatch(cell.strip()) or _CENSORED.fullmatch(cell.strip())}
    plain = {cell for cell in {*present} - signed if number(cell, comma) is not None}
    share = sum(cell in signed or cell in plain for cell in present) / max(1, len(present))
    if not signed or len(signed) + len(plain) <= _DIFFERENT_NUMBERS or share < _MOSTLY:
        return ""
    count = sum(cell in signed for cell in present)
    return f"{name} has numbers with a unit or sign in {count:,} rows, such as {shown(min(signed))}"
