"""Names for readers: measures, their axes, environments, places."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from assay.core.measures import MEASURES, direction_of, label_of
from assay.report.rows import Tables, coordinates, numeric
from assay.stats.format import common_decimals, in_words, with_interval
from assay.store.files import Row

NO_EFFECT = "no effect"
"""Name of the zero of an effect."""
_PERFORMANCE = ("performance", "segmentation", "lesion-free")
"""Probes whose measures are of performance."""


def measure_name(measure: str) -> str:
    """Return the name of a measure for readers, such as `AUROC` or `flip rate`."""
    return label_of(measure)


def axis_name(measure: str, unit: str = "") -> str:
    """Return the text along an axis that shows the measure, with its unit and the better direction.

    Args:
        measure: Name of the measure.
        unit: Unit of the values shown, where it is not the measure's own.
    """
    described = MEASURES.get(measure)
    if described is None:
        return f"{label_of(measure)}{f' in {unit}' if unit else ''}"
    if described.axis:
        return described.axis
    given = unit or described.unit
    ranked = f" ({described.direction} is better)" if described.direction != "none" else ""
    return f"{described.label}{f' in {given}' if given else ''}{ranked}"


def higher_is_better(measure: str) -> bool:
    """Return whether higher values are better; True for a measure that does not rank."""
    return direction_of(measure) != "lower"


def knows_nothing(measure: str) -> str:
    """Return the name of the level of a model that knows nothing: for the effect of a change, no effect."""
    return NO_EFFECT if measure in MEASURES and MEASURES[measure].probe == "reliance" else "chance"


def is_performance(measure: str) -> bool:
    """Return whether a measure is one of performance."""
    return measure in MEASURES and MEASURES[measure].probe in _PERFORMANCE


def valued(row: Row, places: int | None = None) -> str:
    """A row's value with its interval; `undefined` where there is none. places: decimals of its column."""
    return with_interval(numeric(row, "value"), numeric(row, "low"), numeric(row, "high"), places=places)


def column_places(rows: Iterable[Row]) -> int:
    """The decimals that a column of estimates has in common."""
    return common_decimals((numeric(row, "high") - numeric(row, "low")) / 2 for row in rows)


def recipe_head(tables: Tables) -> str:
    """Heading of a column of recipes: `recipe: loss · epochs`, the axes in the order in which a label names them."""
    axes = [in_words(axis) for axis in coordinates(tables.trials[0])] if tables.trials else []
    return f"recipe: {' · '.join(axes)}" if axes else "recipe"


def placed(row: Row, key: str) -> str:
    """A part of where an estimate is of, such as its factor or layer, as a table has it."""
    return in_words(row[key]) if key == "factor" else str(row[key])


def held_words(held: Mapping[str, str]) -> str:
    """`epochs 20, texture .9`: the values held in a comparison."""
    return ", ".join(f"{in_words(axis)} {value}" for axis, value in held.items())


def plural(count: int, thing: str) -> str:
    """`1 seed`, `5 seeds`."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def most_common(values: Sequence[str]) -> str:
    """The value that occurs most often, the first of several; empty of none."""
    return max(dict.fromkeys(values), key=values.count, default="")
