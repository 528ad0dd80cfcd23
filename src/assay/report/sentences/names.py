"""English shared by sentences: recipes, places, values with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from assay.core.measures import label_of
from assay.stats.findings import Held, Value
from assay.stats.format import common_decimals, decimals, in_words, listed, number, p_value, with_interval
from assay.stats.rows import CONFOUNDER, DOSES, MATCHED, Row, mapping, numeric, over_doses, text_of

NAMED = 6
"""More recipes than this are counted in a sentence instead of named."""


def measure_words(name: str) -> str:
    """Return the name of a measure in a sentence."""
    return label_of(name)


def label(row: Row) -> str:
    """Return the subject of a comparison: its measure, of a factor; of a dose-response, the change in it."""
    return f"the {_subject(row)}" if over_doses(row) else _subject(row)


def _subject(row: Row) -> str:
    called, factor = measure_words(text_of(row, "measure")), text_of(row, "factor")
    of = f" of {in_words(factor)}" if factor else ""
    if over_doses(row):
        doses = text_of(row, "doses")
        return f"change in {called}{of} from p = 0" + (f" to {doses}" if doses else "")
    return called + of


def statement(row: Row) -> str:
    """Name a comparison by its columns (`COMPARED`): `supcon against cross-entropy: AUROC in reversed, epochs 16`."""
    layer, at = text_of(row, "layer"), text_of(row, "at")
    first = named(text_of(row, "axis"), text_of(row, "a"))
    main = f"{first} against {text_of(row, 'b')}: {_subject(row)}{where(text_of(row, 'environment'))}"
    tag = (CONFOUNDER, text_of(row, "factor"))  # a tag's reliance, where the confounder is the tag
    held = [f"{axis} {value}" for axis, value in held_equal(row).items() if (axis, value) != tag]
    equal = f"at equal {measure_words(text_of(row, 'measure'))}{where(text_of(row, 'clean'))}"
    matched = {"matched-fit": "at matched fit", MATCHED: equal}.get(at, "")
    pooled = mapping(row.get("pooled")).items()
    over = [f"{name} {listed(list(values))}" for name, values in pooled if name != text_of(row, "axis")]
    mean = f"mean over {listed(over)}" if over else ""
    return ", ".join(part for part in (f"{main} at {layer}" if layer else main, *held, matched, mean) if part)


def held_equal(row: Row) -> dict[str, Any]:
    """Return the values that a comparison holds equal, without the usual random streams: others are of A/A recipes."""
    return {axis: value for axis, value in mapping(row.get("where")).items() if (axis, str(value)) != ("streams", "0")}


def where(environment: str) -> str:
    """Return ` in reversed`, or nothing."""
    return f" in {environment}" if environment else ""


def named(axis: str, level: str) -> str:
    """Return a level as a sentence names it: by itself where it is a loss, else after its axis."""
    return level if axis == "loss" or not axis else f"{in_words(axis)} {level}"


def several(names: Sequence[str], of: int, axis: str) -> str:
    """Return `every loss`, `supcon and triplet`, `association none and tag`, `37 of 46 recipes`."""
    if len(names) == of > 2:
        return f"every {in_words(axis)}" if axis else f"all {of:,} recipes"
    if len(names) > NAMED:
        return f"{len(names):,} of {of:,} recipes"
    return listed([named(axis, names[0]), *names[1:]]) if names else ""


def shown(value: Value, places: int | None = None) -> str:
    """Return a value with its interval. places: decimals in common with others."""
    return with_interval(value.value, value.low, value.high, value.unit, places)


def half_widths(values: Sequence[Value]) -> list[float]:
    """Return half of each interval's width."""
    return [(value.high - value.low) / 2 for value in values]


def spread(values: Sequence[Value], axis: str = "") -> str:
    """Return the least and the greatest value with their recipes: `0.50 [0.42, 0.58] (supcon) to 0.53 (...)`."""
    low = min(values, key=lambda one: one.value)
    high = max(values, key=lambda one: one.value)
    places = common_decimals(half_widths([low, high]))
    ends = [shown(one, places) for one in (low, high)]
    if low.name == high.name:
        return ends[0]
    return f"{ends[0]} ({named(axis, low.name)}) to {ends[1]} ({named(axis, high.name)})"


def opening(held: Held, text: str) -> str:
    """Return a text that opens with the held values: `At epochs 16, every ...`; `Trained with tag at p = 1, ...`."""
    levels = dict(held.levels)
    dose = (CONFOUNDER, "p") if "p" in levels else ()
    others = [f"{in_words(axis)} {value}" for axis, value in levels.items() if axis not in dose]
    parts = [f"at {listed(others)}"] if others else []
    mark = f" with {levels[CONFOUNDER]}" if CONFOUNDER in levels else ""
    parts += [f"trained{mark} at p = {levels['p']}"] if dose else []
    return f"{sentence_case(', '.join(parts))}, {text}" if parts else text


def sentence_case(text: str) -> str:
    """Return a text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def chance_words(level: float) -> str:
    """Return `, where chance is 0.50`, or nothing where chance is not one level."""
    return "" if math.isnan(level) else f", where chance is {number(level)}"


def signed(difference: float, places: int) -> str:
    """Return a difference with its sign, and with more decimals where it would read 0.00: `+0.04`, `-0.003`."""
    while 1e-6 <= abs(difference) < 0.5 * 10**-places:
        places += 1
    return ("+" if difference >= 1e-6 else "") + number(difference, places)


def difference_words(value: float, low: float, high: float) -> str:
    """Return a signed difference with its interval, with more decimals where an end other than 0 would read 0.00."""
    places = decimals((high - low) / 2)
    while places < 4 and any(1e-6 <= abs(end) < 0.5 * 10**-places for end in (value, low, high)):
        places += 1
    return f"{signed(value, places)} [{number(low, places)}, {number(high, places)}]"


def value_of(row: Row) -> str:
    """Return the difference in a row with its interval. A measure that names its whole needs no unit."""
    unit = "" if text_of(row, "measure") == "sobol-total" else text_of(row, "unit")
    value, low, high = (numeric(row, name) for name in ("value", "low", "high"))
    known = not (math.isnan(low) or math.isnan(high))
    text = difference_words(value, low, high) if known else signed(value, decimals(math.nan))
    return f"{text} {unit}" if unit else text


def half_dose_words(row: Row) -> str:
    """Return `0.43 [0.31, 0.60]`, `0.80 [0.62, > 1]`, `> 1 [0.91, > 1]`, `> 1`, or `undefined`."""
    if row["reason"]:
        return "undefined"
    over = f"> {row['greatest']:g}"
    if row["beyond"] == "low":
        return over
    value, high = (over if math.isnan(end) else number(end) for end in (numeric(row, "value"), numeric(row, "high")))
    return f"{value} [{number(numeric(row, 'low'))}, {high}]"


def equivalence_interval(row: Row) -> str:
    """Return the interval and p-value that decide on equivalence: `90% CI [-0.04, 0.04], p = 0.02 for ...`."""
    low, high = numeric(row, "equivalence_low"), numeric(row, "equivalence_high")
    places = decimals((high - low) / 2)
    ends = f"[{number(low, places)}, {number(high, places)}]"
    level = f"{100 * numeric(row, 'equivalence_level'):.3g}%"
    return f"{level} CI {ends}, {p_value(numeric(row, 'equivalence_p'))} for equivalence after correction"


def amounts(row: Row) -> str:
    """Return `AUROC 0.84 in clean: random with 640 rows, natural with about 120 rows`; empty where nothing was matched.

    About: between two amounts that were trained.
    """
    equal = mapping(row.get("equal"))
    if not equal:
        return ""
    sides = [
        f"{text_of(row, side)} with {'' if equal[side] in equal['trained'] else 'about '}{equal[side]:.0f} rows"
        for side in ("a", "b")
    ]
    measure = measure_words(text_of(row, "measure"))
    return f"{measure} {number(equal['level'])} in {equal['clean']}: {', '.join(sides)}"


def place(row: Row) -> str:
    """Return the values that a comparison holds equal, to open a sentence."""
    if row.get("at") == "matched-fit":
        return "At matched fit"
    fixed = [f"{in_words(axis)} {value}" for axis, value in held_equal(row).items()]
    if row.get("at") == MATCHED:
        parts = [part for part in (amounts(row), listed(fixed)) if part]
        return "Matched on performance at p = 0" + (f" ({'; '.join(parts)})" if parts else "")
    opens = {DOSES: "Over the doses", "as-given": "As given"}.get(text_of(row, "at"), "At equal budget")
    return opens + (f" ({listed(fixed)})" if fixed else "")
