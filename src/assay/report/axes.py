"""Where a value lies on a drawing: the range of an axis, its ticks, its scale. Limits of drawing, not statistics."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from assay.stats.format import number

MARGIN = 0.04


@dataclass(frozen=True, slots=True)
class Scale:
    """Values low..high put on pixels start..end."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The pixel of a value; values beyond the range are held at its ends."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def beyond(self, value: float) -> bool:
        """Whether a value lies outside what is drawn."""
        slack = 1e-9 * (self.high - self.low)
        return value < self.low - slack or value > self.high + slack


def limits(points: Iterable[float], ends: Iterable[float], bounds: tuple[float, float]) -> tuple[float, float]:
    """The range of an axis: all points, and ends of intervals as far beyond them as half a range, or as twice what is
    usual of these ends; within bounds.

    A wild interval (three seeds that disagree) would otherwise press all else together; it is drawn with an arrow.
    """
    known = [value for value in points if math.isfinite(value)]
    if not known:
        return (bounds[0], bounds[1]) if all(map(math.isfinite, bounds)) else (0.0, 1.0)
    low, high = min(known), max(known)
    drawn = [end for end in ends if math.isfinite(end)]
    usual = median(max(low - end, end - high, 0.0) for end in drawn) if drawn else 0.0
    reach = max((high - low) * 0.5, 0.05 * max(abs(low), abs(high), 0.2), 2 * usual)
    for end in drawn:
        low, high = min(low, max(end, min(known) - reach)), max(high, min(end, max(known) + reach))
    differ = high - low > max(1e-9 * max(abs(low), abs(high)), 1e-300)  # else a float holds nothing between them
    room = (high - low if differ else 0.2) * MARGIN
    return max(bounds[0] - room, low - room), min(bounds[1] + room, high + room)


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round values within a range, at most so many: steps of 1, 2 or 5 times a power of ten (2.5 is left out)."""
    span = high - low
    step = 10.0 ** math.floor(math.log10(span / max(most, 1)))
    for factor in (1, 2, 5, 10, 20):
        first, last = math.ceil(low / (step * factor) - 1e-9), math.floor(high / (step * factor) + 1e-9)
        if last - first + 1 <= most:
            return [round(i * step * factor, 10) for i in range(first, last + 1)]
    return []


def tick_text(value: float) -> str:
    """A tick as it is written: 0, .5, 1, -2."""
    places = next((places for places in range(5) if math.isclose(round(value, places), value, abs_tol=1e-9)), 5)
    return number(value, places)
