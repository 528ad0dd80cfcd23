"""The difference of two estimates from independent samples, such as the patients of two hospitals."""

from __future__ import annotations

import math

ValueWithInterval = tuple[float, float, float]
"""A value with the lower and the upper end of its interval."""


def unpaired_difference(a: ValueWithInterval, b: ValueWithInterval) -> ValueWithInterval:
    """Return a - b with its interval, from the intervals of both.

    low = (a - b) - sqrt((a - low_a)^2 + (high_b - b)^2), high = (a - b) + sqrt((high_a - a)^2 + (b - low_b)^2). Each
    side has the ends that matter for it, so intervals need not be symmetric. Where the estimates rise and fall
    together, as with the same networks in both sets, the interval is wider than needed.

    Args:
        a: The first estimate with its interval.
        b: The second, of other patients.

    Returns:
        The difference; its ends are NaN where an interval is.

    References:
        Newcombe, "Interval estimation for the difference between independent proportions", Statistics in Medicine 1998;
        Zou and Donner, "Construction of confidence limits about effect measures", Statistics in Medicine 2008.

    Examples:
        >>> [round(end, 2) for end in unpaired_difference((0.65, 0.59, 0.70), (0.49, 0.37, 0.61))]
        [0.16, 0.03, 0.29]
    """
    (value_a, low_a, high_a), (value_b, low_b, high_b) = a, b
    value = value_a - value_b
    return (
        value,
        value - math.hypot(value_a - low_a, high_b - value_b),
        value + math.hypot(high_a - value_a, value_b - low_b),
    )
