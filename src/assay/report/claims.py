"""What a title may claim: only what intervals show by lying apart. An order of means alone is not claimed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from assay.report.tables import numeric
from assay.stats.format import in_words
from assay.stats.rows import ends
from assay.store.files import Row


def below(lower: Row, upper: Row) -> bool:
    """Whether one interval lies wholly beneath another. Never where an interval is lacking."""
    return numeric(lower, "high") < numeric(upper, "low")


def side(a: Row, b: Row) -> str:
    """`lower` or `higher` where the interval of `a` lies wholly beneath or above that of `b`, else empty."""
    return "lower" if below(a, b) else "higher" if below(b, a) else ""


def sides(pairs: Sequence[tuple[Row, Row]]) -> tuple[str, int]:
    """On which side pairs lie apart, and how many do: (`lower`, 4). Empty where none does, or some on either side."""
    found = [word for word in (side(a, b) for a, b in pairs) if word]
    return (found[0], len(found)) if len(set(found)) == 1 else ("", 0)


def greatest(rows: Mapping[str, Row]) -> str:
    """The name whose value is the greatest in size, beyond doubt: its interval lies above all others.

    Empty where intervals overlap or lack, where one has no value, or where the first has not converged.
    """
    ends = {name: _size(row) for name, row in rows.items()}
    if not ends or any(math.isnan(numeric(row, "value")) for row in rows.values()):
        return ""
    first = max(ends, key=lambda name: ends[name][0])
    if "not converged" in rows[first]["reason"]:
        return ""
    clear = all(ends[first][0] > high for name, (_, high) in ends.items() if name != first)
    return first if clear and len(ends) > 1 else ""


def _size(row: Row) -> tuple[float, float]:
    """The interval of the absolute value; infinite where there is none, so that nothing is clear beside it, but for a
    value that was the same for every seed and patient.
    """
    low, high = ends(row)
    if low != low or high != high:
        return float("-inf"), float("inf")
    least = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
    return least, max(abs(low), abs(high))


def with_levels(some: int, of: int, axis: str) -> str:
    """` with every loss`, ` with 4 of 5 recipes, whose intervals lie apart`; nothing where there is but one."""
    if of <= 1:
        return ""
    if some == of:
        return f" with every {in_words(axis) or 'recipe'}"
    return f" with {some} of {of} recipes, whose intervals lie apart"
