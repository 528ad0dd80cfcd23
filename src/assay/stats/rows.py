"""Access to rows of result tables, and reasons for missing results."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from assay.core.measures import label_of
from assay.stats.estimate import MINIMUM_SEEDS, NO_VARIATION
from assay.stats.format import count, decimals, in_words, listed, number, p_value, with_interval

# Reading rows of the store's tables, and the sentence that is made of them.

Row = Mapping[str, Any]
Part = Literal["answer", "doubt", "limit"]
Light = Literal["ok", "warn", "bad", "none"]

DOSES, MATCHED = "dose-response", "matched-clean"
"""How contrasts are made that compare along the doses, the second where clean performance is equal."""
AMOUNTS = "rows"
"""The axis of amounts of training data, by the end of its name."""
CONFOUNDER = "confounder"
"""The axis of what is dosed."""
RELIANCE = ("sobol-total", "flip-rate")
"""Measures that carry the words *relies on*, in the order in which an answer looks for them."""
SHOWN = ("higher", "lower")
"""Conclusions that claim a difference."""
FIRST_SIGN_UNDER = 5
"""A difference shown on fewer seeds is called a first sign: three may agree by chance, and their spread is all there is
to tell by. A sign-flip test of four cannot fall under .125."""
SILENT = "calls no pixel lesion"
LOUD = "calls over nine tenths of the pixels lesion"
"""How the finding on a trained segmentation begins that says lesion nowhere."""
OF_THE_MODEL = ("", "trained")
"""Groups that say what the trained network does: the others are parts of its rows, or references beside it."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A row of the table of sentences.

    evidence: the id of the contrast, or `estimates`, `performance`, `trials`, `environments`.
    """

    part: Part
    text: str
    light: Light = "none"
    evidence: str = ""


def over_doses(row: Row) -> bool:
    """Whether a contrast compares changes over the doses."""
    return row.get("at") in (DOSES, MATCHED)


def numeric(row: Row, key: str) -> float:
    """A number of a row, NaN where it has none."""
    value = row.get(key)
    return float("nan") if value is None or value == "" else float(value)


def ends(row: Row) -> tuple[float, float]:
    """The interval of a row; of a value that was the same for every seed and patient, and so has none, the value.

    NaN where there is neither.
    """
    low, high = numeric(row, "low"), numeric(row, "high")
    if (math.isnan(low) or math.isnan(high)) and text_of(row, "reason").startswith(NO_VARIATION):
        return numeric(row, "value"), numeric(row, "value")
    return low, high


def text_of(row: Row, key: str) -> str:
    """A text of a row, empty where it has none."""
    value = row.get(key)
    return "" if value is None else str(value)


def label(row: Row) -> str:
    """What a reader calls the measure of a row; of a dose-response, the change in it."""
    name = text_of(row, "measure")
    factor = text_of(row, "factor")
    label = label_of(name)
    if over_doses(row):
        of = f" of {in_words(factor)}" if factor else ""
        return f"the change in {label}{of} from p = 0" + (f" to {doses}" if (doses := text_of(row, "doses")) else "")
    return f"{label} of {in_words(factor)}" if factor and "a" in row else label


def value_of(row: Row, places: int | None = None) -> str:
    """The value of a row with its interval. A measure that says what it is a share of needs no unit.

    places: see `with_interval`.
    """
    unit = "" if text_of(row, "measure") == "sobol-total" else text_of(row, "unit")
    return with_interval(numeric(row, "value"), numeric(row, "low"), numeric(row, "high"), unit, places)


def equivalence_interval(row: Row) -> str:
    """Interval and p-value that decide on equivalence: `90 % interval [-.04, .04], p = .02 for equivalence`."""
    low, high = numeric(row, "equivalence_low"), numeric(row, "equivalence_high")
    places = decimals((high - low) / 2)
    ends = f"[{number(low, places)}, {number(high, places)}]"
    level = f"{100 * numeric(row, 'equivalence_level'):.3g} %"
    return f"{level} interval {ends}, {p_value(numeric(row, 'equivalence_p'))} for equivalence after correction"


def seeds_of(row: Row) -> str:
    """How many seeds a row rests on."""
    return count(int(numeric(row, "seeds")), "seed") if not math.isnan(numeric(row, "seeds")) else "no seed"


def first_sign(row: Row) -> str:
    """` With 3 seeds this is a first sign, ...`, behind a difference that is shown on so few; else empty."""
    few = row.get("conclusion") in SHOWN and numeric(row, "seeds") < FIRST_SIGN_UNDER
    return f" With {seeds_of(row)} this is a first sign: see it again with more before building on it." if few else ""


def under_seeds(row: Row) -> bool:
    """Whether a comparison or an estimate has a value, and for want of seeds neither interval nor test."""
    return 0 < numeric(row, "seeds") < MINIMUM_SEEDS and not math.isnan(numeric(row, "value"))


def where(row: Row) -> str:
    """` in reversed`, or nothing."""
    environment = text_of(row, "environment")
    return f" in {environment}" if environment else ""


def place(row: Row) -> str:
    """What a contrast held equal, to open a sentence."""
    if row.get("at") == "matched-fit":
        return "At matched fit"
    fixed = [f"{in_words(axis)} {value}" for axis, value in mapping(row.get("where")).items()]
    if row.get("at") == MATCHED:
        told = [part for part in (amounts(row), listed(fixed)) if part]
        return "Where both are equally good without a dose" + (f" ({'; '.join(told)})" if told else "")
    return ("Over the doses" if row.get("at") == DOSES else "At equal budget") + (
        f" ({listed(fixed)})" if fixed else ""
    )


def amounts(row: Row) -> str:
    """`AUROC .84 in clean: random with 640 rows, natural with about 120 rows`; empty where nothing was matched.

    About: between two amounts that were trained.
    """
    equal = mapping(row.get("equal"))
    if not equal:
        return ""
    sides = [
        f"{text_of(row, side)} with {'' if equal[side] in equal['trained'] else 'about '}{equal[side]:.0f} rows"
        for side in ("a", "b")
    ]
    measure = label_of(text_of(row, "measure"))
    return f"{measure} {number(equal['level'])} in {equal['clean']}: {', '.join(sides)}"


def mapping(value: Any) -> Mapping[str, Any]:
    """A column that holds JSON."""
    found: Mapping[str, Any] = json.loads(value) if isinstance(value, str) and value else value or {}
    return found


def along(contrast: Row, row: Row) -> str:
    """The axis that a dose-response runs along: the one that its contrast neither compares nor holds."""
    held = {text_of(contrast, "axis"), *mapping(contrast.get("where"))}
    matched = along_amounts(contrast, row)
    return next((axis for axis in mapping(row.get("coordinates")) if axis not in held and axis != matched), "")


def along_amounts(contrast: Row, row: Row) -> str:
    """The axis of amounts that a comparison at matched clean performance runs along; empty for any other."""
    axes = mapping(row.get("coordinates")) if contrast.get("at") == MATCHED else ()
    return next((axis for axis in axes if axis.split(".")[-1] == AMOUNTS), "")


def belongs(estimate: Row, contrast: Row, side: str) -> bool:
    """Whether an estimate belongs to the recipe on that side of a contrast."""
    wanted = {text_of(contrast, "axis"): text_of(contrast, side), **mapping(contrast.get("where"))}
    at = mapping(estimate.get("coordinates"))
    return all(str(at.get(axis)) == str(value) for axis, value in wanted.items())


def find(estimates: Sequence[Row], contrast: Row, side: str) -> Row | None:
    """The estimate of one side of a contrast, of the trained network where references stand beside it.

    None when none, or more than one, fits.
    """
    keys = ("measure", "environment", "factor", "layer")
    fitting = [
        row
        for row in estimates
        if all(text_of(row, key) == text_of(contrast, key) for key in keys)
        and text_of(row, "group") in OF_THE_MODEL
        and not text_of(row, "level")
        and belongs(row, contrast, side)
    ]
    return fitting[0] if len(fitting) == 1 else None


# Why nothing was kept: what became of a recipe's trials, said in the place of `no seed of it was kept`.

_OF = re.compile(r"no seed of (?P<recipe>.+) was kept")
_NONE = "no seed was kept"


def without_seeds(reason: str, trials: Sequence[Row]) -> str:
    """A reason in words for who knows no kept seeds: `all 10 trials of triplet collapsed`.

    >>> without_seeds("no seed was kept; no image of the positive class", [])
    'no image of the positive class'
    """
    named = _OF.search(reason)
    if named:
        ends = [text_of(row, "status") for row in trials if text_of(row, "recipe") == named["recipe"]]
        return reason.replace(named[0], _became(named["recipe"], ends)) if ends else reason
    head, _, rest = reason.partition("; ")
    if head == _NONE:
        return rest or "no trial was trained to a sound end"
    return reason


def _became(recipe: str, ends: Sequence[str]) -> str:
    kinds = [kind for kind in ("collapsed", "diverged", "failed", "pending", "done") if kind in ends]
    words = {"pending": "not trained yet", "done": "without a value"}
    if len(kinds) == 1:
        return f"all {count(len(ends), 'trial')} of {recipe} {words.get(kinds[0], kinds[0])}"
    parts = [f"{ends.count(kind)} {words.get(kind, kind)}" for kind in kinds]
    return f"no trial of {recipe} counts: {listed(parts)}"
