"""Access to rows of result tables."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum, unique
from functools import lru_cache
from hashlib import sha256
from typing import Any

from assay.core.reasons import Cause, Code, Reason, reason_of, split_places

Row = Mapping[str, Any]


@unique
class Verdict(StrEnum):
    """Verdict on one factor, in order of harm."""

    RELIES = "relies-on"
    AFFECTED = "affected-by"
    UNDIRECTED = "affected-without-direction"
    DIFFERS = "answers-differ-with"
    INCONCLUSIVE = "inconclusive"
    NO_EFFECT = "no-effect"
    NO_DIFFERENCE = "no-difference"


ADVERSE_VERDICTS = (Verdict.RELIES, Verdict.AFFECTED, Verdict.UNDIRECTED)
"""Verdicts on a mark that changes answers."""


@unique
class RegionVerdict(StrEnum):
    """Verdict on the region that a model's answers lead to, in order of harm."""

    RELIES = "relies-on-region"
    LOOK = "relies-on-look"
    UNVERIFIED = "unverified"
    INCONCLUSIVE = "inconclusive"
    NOTHING_FOUND = "nothing-found"


REPORTED = (RegionVerdict.RELIES, RegionVerdict.LOOK, RegionVerdict.UNVERIFIED)
"""Verdicts on a region that was found."""
OPEN = (*REPORTED, RegionVerdict.INCONCLUSIVE)
"""Verdicts on a region after which no mark clears the model, that of the headline first."""

RULES_VERSION = 2
"""Version of the statistical rules: raised with every change after which the same values can be decided otherwise."""
ALPHA = 0.05
"""Level of a two-sided test of a difference, and of each of the two one-sided tests of equivalence."""
CONFIDENCE = 0.95
"""Level of an interval."""
MIN_PATIENTS, FEW_PATIENTS = 6, 10
"""Effective patients below which nothing is decided, and below which a decision has a caution."""
MIN_SEEDS = 3
"""Least number of seeds with an interval."""

DOSES, MATCHED = "dose-response", "matched-clean"
"""How contrasts are made that compare along the doses, the second where clean performance is equal."""
CONFOUNDER = "confounder"
"""The axis of what is dosed."""
RELIANCE = ("sobol-total", "flip-rate")
"""Measures that carry the words *relies on*, in the order in which an answer looks for them."""
BEYOND_MARGIN = ("higher-beyond", "lower-beyond")
"""Decisions that claim a difference of more than the margin."""
SMALL = ("higher-small", "lower-small")
"""Decisions that claim a difference that is also shown to be under the margin."""
DIFFERENT = (*BEYOND_MARGIN, "higher", "lower", *SMALL)
"""Decisions that claim a difference."""
CONCLUSIVE = (*DIFFERENT, "equivalent")
"""Decisions that answer a question; all others are inconclusive."""
WITHIN_MARGIN = (*SMALL, "equivalent")
"""Decisions that claim that no difference of the margin or more is there, of networks that did not fail."""
CONTROLS = ("positive-control", "a-a")
"""Roles of comparisons that test the study itself."""
PRIMARY = "primary"
"""Role of the comparisons that are the question of a study."""
PASSED = ("detected", "none detected")
"""Decisions of controls that let the study claim anything."""
FAILED = ("undetected", "differs")
"""Decisions of controls after which no difference is claimed."""
COMPARISON_KEY = (
    "axis", "a", "b", "at", "doses", "measure", "environment", "clean", "factor", "layer", "where", "pooled",
)  # fmt: skip
"""Columns that name a comparison."""
FIRST_SIGN_BELOW_SEEDS = 5
"""A difference shown on fewer seeds is called a first sign: three may agree by chance, and their spread is all there is
to tell by. A sign-flip test of four cannot fall under 0.125."""
GROUPS_OF_WHOLE_MODEL = ("", "trained")
"""Groups that say what the trained network does: the others are parts of its rows, or references beside it."""


KEY_FIELDS = ("measure", "environment", "factor", "level", "layer", "group")
"""Columns that name a measurement of a recipe."""
ESTIMATE_KEY = ("recipe", *KEY_FIELDS)
"""Columns that name an estimate."""


def with_id(row: Row) -> dict[str, Any]:
    """Return an estimate with its id, 12 digits of the hash of what names it, and with its worst place apart."""
    where, reason = split_places(reason_of(row))
    id = sha256("\n".join(text_of(row, name) for name in ESTIMATE_KEY).encode()).hexdigest()[:12]
    return {**row, "id": id, "where": str(where), "reason": str(reason)}


def over_doses(row: Row) -> bool:
    """Whether a contrast compares changes over the doses."""
    return row.get("at") in (DOSES, MATCHED)


def is_undefined(row: Row) -> bool:
    """Whether a comparison could not be tested; its reason says why."""
    return math.isnan(numeric(row, "p_holm"))


def is_open(row: Row) -> bool:
    """Whether more seeds may decide an inconclusive comparison."""
    closed = (Code.EXHAUSTED, Code.CONTROL_FAILED)
    return row.get("decision") == "inconclusive" and not is_undefined(row) and not reason_of(row).first(*closed)


def shows_difference(row: Row) -> bool:
    """Whether a comparison or a control shows a difference."""
    return row.get("decision") in (*DIFFERENT, "detected", "differs")


def numeric(row: Row, key: str) -> float:
    """A number of a row, NaN where it has none."""
    value = row.get(key)
    return float("nan") if value is None or value == "" else float(value)


def leading_region(rows: Sequence[Row]) -> Row | None:
    """Return the row of the region that the headline is about; None where none is open."""
    reported = [row for row in rows if row["verdict"] in OPEN]
    return min(
        reported, key=lambda row: (OPEN.index(row["verdict"]), row["of"] == "whole", not row["discrete"]), default=None
    )


def row_interval(row: Row) -> tuple[float, float]:
    """The interval of a row; of a value that was the same for every seed and patient, and so has none, the value.

    NaN where there is neither.
    """
    low, high = numeric(row, "low"), numeric(row, "high")
    if (math.isnan(low) or math.isnan(high)) and Code.NO_VARIATION in reason_of(row):
        return numeric(row, "value"), numeric(row, "value")
    return low, high


def text_of(row: Row, key: str) -> str:
    """A text of a row, empty where it has none."""
    value = row.get(key)
    return "" if value is None else str(value)


def has_too_few_seeds(row: Row) -> bool:
    """Whether a comparison or an estimate has a value, and for want of seeds neither interval nor test."""
    return 0 < numeric(row, "seeds") < MIN_SEEDS and not math.isnan(numeric(row, "value"))


def json_object(value: Any) -> Mapping[str, Any]:
    """A column that holds JSON."""
    return _parse_json(value) if isinstance(value, str) and value else value or {}


@lru_cache(maxsize=2**12)
def _parse_json(text: str) -> Mapping[str, Any]:
    """Cached: every contrast is held against the coordinates of many estimates."""
    return json.loads(text)


def is_on_side(estimate: Row, contrast: Row, side: str) -> bool:
    """Whether an estimate belongs to the recipe on that side of a contrast."""
    pooled = json_object(contrast.get("pooled"))
    wanted = {text_of(contrast, "axis"): text_of(contrast, side), **json_object(contrast.get("where"))}
    several = {axis: values for axis, values in pooled.items() if axis != text_of(contrast, "axis") or side == "a"}
    at = json_object(estimate.get("coordinates"))
    single = all(str(at.get(axis)) == str(value) for axis, value in wanted.items() if axis not in several)
    zero = ["0"] if over_doses(contrast) else []
    return single and all(str(at.get(axis)) in [*values, *zero] for axis, values in several.items() if axis in at)


def is_of_whole_model(row: Row) -> bool:
    """Whether an estimate is of the trained network, on all images."""
    return text_of(row, "group") in GROUPS_OF_WHOLE_MODEL and not text_of(row, "level")


ResultKey = tuple[str, str, str, str]
"""Measure, factor, layer, environment."""


def result_key(row: Row) -> ResultKey:
    """Return the place that an estimate is of, or a contrast is in."""
    return text_of(row, "measure"), text_of(row, "factor"), text_of(row, "layer"), text_of(row, "environment")


def compared_estimates(estimates: Iterable[Row], contrasts: Sequence[Row]) -> list[Row]:
    """Return the estimates of the trained network in the places of contrasts, in any environment; without these, all.

    They are few: a large study has hundreds of thousands of estimates.
    """
    named = {result_key(row)[:3] for row in contrasts}
    return [row for row in filter(is_of_whole_model, estimates) if not named or result_key(row)[:3] in named]


_TRIAL_STATUSES = ("collapsed", "diverged", "failed", "pending", "done")


def add_trial_counts(rows: Sequence[Row], trials: Sequence[Row]) -> list[dict[str, Any]]:
    """Return rows whose reasons say how the trials of a recipe without a seed ended: counts by status."""
    return [{**row, "reason": str(_add_counts_to_reason(reason_of(row), trials))} for row in rows]


def _add_counts_to_reason(reason: Reason, trials: Sequence[Row]) -> Reason:
    causes = [
        _add_counts_to_cause(cause, trials) if cause.code == Code.NO_SEED_OF else cause for cause in reason.causes
    ]
    return Reason(tuple(causes))


def _add_counts_to_cause(cause: Cause, trials: Sequence[Row]) -> Cause:
    ends = [text_of(row, "status") for row in trials if text_of(row, "recipe") == cause["recipe"]]
    counts = {end: ends.count(end) for end in _TRIAL_STATUSES if end in ends}
    return Cause(cause.code, (("recipe", cause["recipe"]), *counts.items()))


def without_patient_counts(row: Row) -> dict[str, Any]:
    """A row of a set whose patients are not named: it counts none, since its interval is over images."""
    return {name: 0 if name in ("patients", "paired_patients") else value for name, value in row.items()}
