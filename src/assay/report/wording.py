"""What a reader calls things: measures, their axes, environments, places."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from assay.core.measures import MEASURES as NAMED
from assay.report.rows import Tables, coordinates, numeric
from assay.stats.format import common_decimals, in_words, with_interval
from assay.stats.measures import MEASURES
from assay.stats.rows import LABELS
from assay.store.files import Row

NO_EFFECT = "no effect"
"""What the zero of an effect is called."""
_MORE = {
    "sobol-first": "first-order Sobol' index",
    "auroc-lost-to-start": "AUROC lost",
    "auroc-lost-to-random": "AUROC lost",
    "logit-effect": "effect on the logit",
    "logit-effect-absolute": "absolute effect on the logit",
}
_BOUNDS = {
    "mass-accuracy": (0.0, 1.0),
    "sobol-first": (float("-inf"), 1.0),
    "sobol-total": (float("-inf"), 1.0),
    "flip-rate": (0.0, 1.0),
    "decodability": (0.0, 1.0),
    "logit-effect-absolute": (0.0, float("inf")),
}
_AXES = {
    "mass-accuracy": "part of the map that lies on the lesion",
    "lesion-effect": "fall of the logit without the lesions, in within-class sd",
    "erasure-effect-over-elsewhere": "fall of the logit over that elsewhere, in within-class sd",
    "sobol-first": "share of the logit's variance, first order",
    "sobol-total": "share of the logit's variance, with interactions",
    "flip-rate": "share of images whose class flips",
    "logit-effect": "change of the logit, in within-class sd",
    "logit-effect-absolute": "absolute change of the logit, in within-class sd",
    "decodability": "AUROC of a linear decoder",
}


def measure_name(measure: str) -> str:
    """`AUROC`, `flip rate`."""
    return LABELS.get(measure) or _MORE.get(measure) or measure.replace("-", " ")


def axis_name(measure: str, unit: str = "") -> str:
    """What stands along an axis that shows the measure, with its unit and which way is better.

    unit: of the values shown, where the measure's own is not it.
    """
    if measure in _AXES:
        return _AXES[measure]
    described = MEASURES.get(measure)
    if described is None:
        return measure_name(measure)
    given = unit or described.unit
    return f"{measure_name(measure)}{f' in {given}' if given else ''} ({described.direction} is better)"


def bounds(measure: str) -> tuple[float, float]:
    """The range that a measure cannot leave."""
    if measure in _BOUNDS:
        return _BOUNDS[measure]
    described = MEASURES.get(measure)
    return (float("-inf"), float("inf")) if described is None else (described.low, described.high)


def higher_is_better(measure: str) -> bool:
    """Which end of a measure is the good one; True where there is none."""
    return measure not in MEASURES or MEASURES[measure].direction == "higher"


def knows_nothing(measure: str) -> str:
    """What the level is called at which a model that knows nothing stands: of what a change does, that is no effect."""
    return NO_EFFECT if measure in NAMED and NAMED[measure].probe == "reliance" else "chance"


def is_performance(measure: str) -> bool:
    """Whether a measure is one of performance."""
    return measure in MEASURES or (measure in NAMED and NAMED[measure].probe == "performance")


def valued(row: Row, places: int | None = None) -> str:
    """A row's value with its interval; `undefined` where there is none. places: decimals of its column."""
    return with_interval(numeric(row, "value"), numeric(row, "low"), numeric(row, "high"), places=places)


def column_places(rows: Iterable[Row]) -> int:
    """The decimals that a column of estimates has in common."""
    return common_decimals((numeric(row, "high") - numeric(row, "low")) / 2 for row in rows)


def recipe_head(tables: Tables) -> str:
    """What heads a column of recipes: `recipe: loss · epochs`, the axes in the order in which a label names them."""
    axes = [in_words(axis) for axis in coordinates(tables.trials[0])] if tables.trials else []
    return f"recipe: {' · '.join(axes)}" if axes else "recipe"


def placed(row: Row, key: str) -> str:
    """A part of where an estimate is of, such as its factor or layer, as a table has it."""
    return in_words(row[key]) if key == "factor" else str(row[key])


def held_words(held: Mapping[str, str]) -> str:
    """`epochs 20, texture .9`: what is held while something else is compared."""
    return ", ".join(f"{in_words(axis)} {value}" for axis, value in held.items())


def plural(count: int, thing: str) -> str:
    """`1 seed`, `5 seeds`."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def most_common(values: Sequence[str]) -> str:
    """The value that occurs most often, the first of several; empty of none."""
    return max(dict.fromkeys(values), key=values.count, default="")
