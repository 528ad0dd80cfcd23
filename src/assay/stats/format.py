"""Numbers as a reader sees them: as many digits as the uncertainty allows, 0.84 for a share, p < 0.001."""

from __future__ import annotations

import math
from collections.abc import Iterable


def decimals(half_width: float) -> int:
    """How many decimals a value with this uncertainty deserves: two significant digits of the uncertainty from 0.1 on,
    one below, so that an AUROC reads 0.84 or 0.976. Two where the uncertainty is unknown or zero.

    Examples:
        >>> [decimals(half) for half in (45.0, 10.0, 9.9, 1.2, 0.5, 0.1, 0.099, 0.01, 0.0099, 1e-4, 1e-9)]
        [0, 0, 1, 1, 2, 2, 2, 2, 3, 4, 6]
        >>> decimals(0.0), decimals(math.nan)
        (2, 2)
    """
    if not math.isfinite(half_width) or half_width <= 0:
        return 2
    digits = 1 - math.floor(math.log10(half_width))
    return max(0, min(digits if half_width >= 0.1 else digits - 1, 6))


def common_decimals(half_widths: Iterable[float]) -> int:
    """How many decimals a column has throughout: those that most of its values deserve, of equals the more; else 2.

    Examples:
        >>> common_decimals([0.05, 0.05, 0.004, math.nan, 0.0]), common_decimals([0.05, 0.004]), common_decimals([])
        (2, 3, 2)
    """
    places_of = [decimals(half) for half in half_widths if math.isfinite(half) and half > 0]
    return max(places_of, key=lambda places: (places_of.count(places), places), default=2)


def number(value: float, places: int = 2) -> str:
    """Return a number with so many decimals: 0.84, -0.02, 1.30, 12; an undefined one is `undefined`.

    Examples:
        >>> [number(value) for value in (0.842, -0.016, -0.001, 1.0, math.nan, -math.inf)]
        ['0.84', '-0.02', '0.00', '1.00', 'undefined', '-infinite']
        >>> number(12.3, 0)
        '12'
    """
    if not math.isfinite(value):
        return "undefined" if math.isnan(value) else ("-" if value < 0 else "") + "infinite"
    digits = f"{abs(value):.{places}f}"
    return f"-{digits}" if value < 0 and float(digits) != 0 else digits


def unrounded(value: float) -> str:
    """Return a number that somebody chose, such as a margin: at least two decimals, and all that it has.

    Examples:
        >>> [unrounded(value) for value in (0.05, 0.1, 0.015, 2, 1e-05)]
        ['0.05', '0.10', '0.015', '2.00', '0.00001']
    """
    return number(value, next((places for places in range(2, 12) if round(value, places) == value), 12))


def with_interval(value: float, low: float, high: float, places: int | None = None) -> str:
    """A value with its 95% interval, `0.48 [0.43, 0.53]`, or the value alone where there is none.

    places: decimals that a column has in common; by default those that the value's own uncertainty deserves.

    Examples:
        >>> with_interval(0.48, 0.43, 0.53), with_interval(0.7, math.nan, math.nan)
        ('0.48 [0.43, 0.53]', '0.70')
        >>> with_interval(0.9871, 0.9852, 0.9889), with_interval(31.24, 18.0, 45.0)
        ('0.987 [0.985, 0.989]', '31 [18, 45]')
    """
    places = decimals((high - low) / 2) if places is None else places
    if math.isnan(low) or math.isnan(high):
        return number(value, places)
    return f"{number(value, places)} [{number(low, places)}, {number(high, places)}]"


def p_value(p: float) -> str:
    """`p = 0.03`, `p = 0.004`, `p < 0.001`; three decimals near 0.05, so that rounding decides nothing.

    Examples:
        >>> [p_value(p) for p in (0.0004, 0.004, 0.0301, 0.0496, math.nan)]
        ['p < 0.001', 'p = 0.004', 'p = 0.03', 'p = 0.050', 'p undefined']
    """
    if math.isnan(p):
        return "p undefined"
    if p < 0.001:
        return "p < 0.001"
    return f"p = {number(p, 3 if p < 0.01 or 0.045 <= p < 0.055 else 2)}"


def plural(name: str) -> str:
    """Return `trials`, `boxes`, `weight decays`, `strategies`."""
    ends = name.endswith("y") and name[-2:-1] not in "aeiou"
    hisses = name.endswith(("s", "x", "ch", "sh")) and not name.endswith("epoch")
    return f"{name[:-1]}ies" if ends else f"{name}{'es' if hisses else 's'}"


def count(n: int, thing: str) -> str:
    """`1 trial`, `90 trials`, `2,000 images`.

    Examples:
        >>> count(1, "trial"), count(2000, "image"), count(3, "weight decay")
        ('1 trial', '2,000 images', '3 weight decays')
        >>> count(3, "sampling strategy"), count(3, "patch")
        ('3 sampling strategies', '3 patches')
    """
    return f"{n:,} {thing if n == 1 else plural(thing)}"


def duration(seconds: float) -> str:
    """Seconds as a person says them: 45 s, 3 min 20 s, 2 h 5 min.

    Examples:
        >>> duration(0), duration(59.6), duration(200), duration(7500)
        ('0 s', '1 min 0 s', '3 min 20 s', '2 h 5 min')
    """
    seconds_rounded = round(seconds)
    if seconds_rounded < 60:
        return f"{seconds_rounded} s"
    if seconds_rounded < 3600:
        return f"{seconds_rounded // 60} min {seconds_rounded % 60} s"
    return f"{seconds_rounded // 3600} h {seconds_rounded % 3600 // 60} min"


def in_words(name: str) -> str:
    """A name as a sentence has it: `position x` for position_x, `batch size` for batch_size."""
    return name.replace("_", " ")


def join_words(names: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`.

    Examples:
        >>> join_words(["a"]), join_words(["a", "b"]), join_words(["a", "b", "c"])
        ('a', 'a and b', 'a, b and c')
    """
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
