"""Findings of a study or of one model, as data with stable ids. `assay.report.sentences` makes English of them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum, unique
from typing import Any, Literal, cast

from pydantic import TypeAdapter

from assay.core.measures import better
from assay.core.reasons import NOTHING, Reason, read
from assay.stats.rows import (
    ALPHA,
    CONFIDENCE,
    EXHAUSTED,
    NONINFERIORITY_ALPHA,
    SHOWN,
    UNCLAIMED,
    Row,
    find,
    mapping,
    numeric,
    text_of,
)

Part = Literal["answer", "limit", "doubt", "comparison"]
"""Where a page has it: in the answer, among the limits or the cautions, or as one comparison of the table."""
Light = Literal["ok", "warn", "bad", "none"]


@unique
class Kind(StrEnum):
    """Kinds of findings."""

    CONTRAST = "contrast"
    CONTROL = "control"
    PRIMARY = "primary"
    DECISIONS = "decisions"
    FAMILY = "family"
    MATCHED = "matched"
    UNCOMPARED = "uncompared"
    RELIANCE = "reliance"
    FALL = "fall"
    CHANCE = "chance"
    WORST_GROUP = "worst-group"
    FALSE_POSITIVES = "false-positives"
    LIMIT = "limit"
    FAILURE = "failure"
    LEAKAGE = "leakage"
    SHORTCUT = "shortcut"
    CAUTION = "caution"
    PERFORMANCE = "performance"
    WORST_ENVIRONMENT = "worst-environment"
    FALSE_ALARMS = "false-alarms"
    USED = "used"
    ENCODED = "encoded"


@unique
class Decided(StrEnum):
    """The decision on a comparison. `-small`: a difference that is also shown to be under the margin."""

    HIGHER = "higher"
    LOWER = "lower"
    HIGHER_SMALL = "higher-small"
    LOWER_SMALL = "lower-small"
    EQUIVALENT = "equivalent"
    INCONCLUSIVE = "inconclusive"
    SCALE_DEPENDENT = "scale-dependent"
    EXHAUSTED = "exhausted"
    UNDEFINED = "undefined"
    UNCLAIMED = "unclaimed"


@unique
class Shown(StrEnum):
    """The decision on a measurement of one model, by its interval. NONE: no answer changed."""

    ABOVE = "above"
    BELOW = "below"
    SHOWN = "shown"
    NONE = "none"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Value:
    """A value with its interval, and whose it is."""

    name: str
    value: float
    low: float = math.nan
    high: float = math.nan
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One comparison: a row of `schema.CONTRASTS`, with the values of both recipes where they are known.

    small: `equivalence` or `noninferiority`, the test by which a difference is also under the margin, or empty.
    """

    row: dict[str, Any]
    sides: tuple[Value, ...] = ()
    small: Literal["", "equivalence", "noninferiority"] = ""


@dataclass(frozen=True, slots=True)
class Family:
    """The comparisons of one axis, counted, and the one that leads.

    against: the common reference, if there is one. ways: how those with a difference were made. link: the role of the
    leading comparison in the family.
    """

    axis: str
    count: int
    against: str
    shown: int
    equivalent: int
    exhausted: int
    undefined: int
    ways: tuple[str, ...]
    link: Literal["alone", "only", "surest", "one", "nearest", "first"]
    leading: Comparison


@dataclass(frozen=True, slots=True)
class Tally:
    """Comparisons of one role, counted by what was decided."""

    role: str
    count: int
    different: int
    small: int
    equivalent: int

    @property
    def decided(self) -> int:
        """The number of comparisons with a decision."""
        return self.different + self.small + self.equivalent


@dataclass(frozen=True, slots=True)
class Decisions:
    """Decisions of a study, primary comparisons first; controls are counted apart. passed: of the controls."""

    tallies: tuple[Tally, ...]
    controls: int
    passed: int


@dataclass(frozen=True, slots=True)
class Matched:
    """A comparison at matched fit or matched clean performance. same: it has the decision of the leading one."""

    comparison: Comparison
    same: bool


@dataclass(frozen=True, slots=True)
class Held:
    """Values that are held in a comparison: axis and level, and the axis that is compared, if one is."""

    levels: tuple[tuple[str, str], ...] = ()
    axis: str = ""


@dataclass(frozen=True, slots=True)
class Relied:
    """Reliance of one recipe on factors.

    kind: `most` and `unclear` by paired contrasts between factors, `doubtful` where values have not converged,
    `largest` where there are values without intervals, which claim no order, and `undefined` without a value.
    without: factors that lack a value. of: all factors. values: the strongest of each factor, in descending order.
    """

    recipe: str
    kind: Literal["most", "unclear", "doubtful", "largest", "undefined"]
    factors: tuple[str, ...]
    without: tuple[str, ...]
    of: tuple[str, ...]
    values: tuple[Value, ...] = field(compare=False)


@dataclass(frozen=True, slots=True)
class Reliance:
    """Reliance of recipes on factors, by one measure."""

    held: Held
    recipes: tuple[Relied, ...]


@dataclass(frozen=True, slots=True)
class Fall:
    """A change of performance between the first environment and another one, or from p = 0 to the greatest dose.

    size: the median over recipes of how much worse it became. falls: how many there are, of which this is the widest.
    apart: environments that were left out, since every recipe is at chance there. overlapping: recipes whose intervals
    before and after overlap. lower: whether a lower value is better. dose: the greatest, of a dose-response.
    """

    held: Held
    first: str
    before: tuple[Value, ...]
    after: tuple[Value, ...]
    size: float
    chance: float
    falls: int
    apart: tuple[str, ...]
    overlapping: tuple[str, ...]
    lower: bool
    dose: str = ""


@dataclass(frozen=True, slots=True)
class AtChance:
    """Environments in which the interval of every recipe holds chance."""

    environments: tuple[str, ...]
    chance: float
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class WorstGroup:
    """A group that falls to chance while its recipe is good over all images. others: as many more do, of `of`."""

    overall: Value
    below: bool
    others: int
    of: int


@dataclass(frozen=True, slots=True)
class OneMeasure:
    """A measure of every recipe in one environment, and the recipes without a value."""

    measure: str
    environment: str
    values: tuple[Value, ...]
    undefined: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FalsePositives:
    """False positives in lesion-free images, the overlap in images with lesions, and the lesions found there."""

    held: Held
    false_positives: OneMeasure
    overlap: OneMeasure
    found: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class OfModel:
    """A measurement of one model.

    Attributes:
        probe: Label of the probe.
        reference: Chance, or the value in the environment that it is compared with.
        against: That environment; empty where there is none.
    """

    probe: str
    reference: float
    against: str = ""


Details = OfModel | Comparison | Family | Decisions | Matched | Reliance | Fall | AtChance | WorstGroup | FalsePositives
DETAILS: Mapping[Kind, type[Details]] = {
    Kind.CONTRAST: Comparison,
    Kind.CONTROL: Comparison,
    Kind.PRIMARY: Comparison,
    Kind.DECISIONS: Decisions,
    Kind.FAMILY: Family,
    Kind.MATCHED: Matched,
    Kind.RELIANCE: Reliance,
    Kind.FALL: Fall,
    Kind.CHANCE: AtChance,
    Kind.WORST_GROUP: WorstGroup,
    Kind.FALSE_POSITIVES: FalsePositives,
    **dict.fromkeys(
        (Kind.PERFORMANCE, Kind.WORST_ENVIRONMENT, Kind.FALSE_ALARMS, Kind.USED, Kind.ENCODED),
        OfModel,
    ),
}
"""Kind -> what else its findings hold. Findings of the other kinds are a reason with fields."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a study found, or that was found of one model; a row of `schema.FINDINGS`.

    id: stable as long as the study asks the same: its kind and its subject. recipe, axis, a, b, environment, factor,
    layer: the subject, each empty where it is not part of it. value, low, high: the estimate with its interval of
    `level`. reason: why there is no value, or the content of a caution or a limit. table, row: the evidence, a table of
    the run folder and, of contrasts, the id of its row. role, family: those of a comparison. seeds_needed: seeds that
    would decide an inconclusive one. least_margin: the smallest margin at which it would be equivalent. details:
    further values that a sentence needs.
    """

    kind: Kind
    part: Part
    id: str = ""
    light: Light = "none"
    recipe: str = ""
    axis: str = ""
    a: str = ""
    b: str = ""
    measure: str = ""
    environment: str = ""
    factor: str = ""
    layer: str = ""
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    level: float = math.nan
    p: float = math.nan
    decision: str = ""
    seeds: int = 0
    reason: Reason = NOTHING
    table: str = ""
    row: str = ""
    role: str = ""
    family: str = ""
    seeds_needed: float = math.nan
    least_margin: float = math.nan
    details: Details | None = None


def slug(*parts: str) -> str:
    """Return the parts of an id: lower case, words joined by hyphens, empty parts left out."""
    return ":".join(found for part in parts if (found := re.sub(r"[^a-z0-9.+]+", "-", part.lower()).strip("-")))


def with_ids(findings: Sequence[Finding]) -> list[Finding]:
    """Return findings with ids, each its own: the second of two with one subject ends in `:2`."""
    seen: dict[str, int] = {}
    made: list[Finding] = []
    for one in findings:
        id = one.id or _id(one)
        seen[id] = seen.get(id, 0) + 1
        made.append(replace(one, id=id if seen[id] == 1 else f"{id}:{seen[id]}"))
    return made


def _id(one: Finding) -> str:
    sides = f"{one.a}-{one.b}" if one.a or one.b else ""
    code = one.reason.codes[0] if one.reason and one.details is None else ""
    more: tuple[str, ...] = ()
    comparison = compared(one)
    if comparison is not None:
        at = text_of(comparison.row, "at")
        held = (str(level) for level in mapping(comparison.row.get("where")).values())
        more = ("" if at == "equal-budget" else at, *held)
    return slug(one.kind, code, one.axis, sides, one.measure, one.factor, one.layer, one.recipe, one.environment, *more)


def compared(one: Finding) -> Comparison | None:
    """Return the comparison that a finding holds, if it does."""
    match one.details:
        case Comparison():
            return one.details
        case Family(leading=leading):
            return leading
        case Matched(comparison=comparison):
            return comparison
        case _:
            return None


def to_row(one: Finding) -> dict[str, Any]:
    """Return a finding as a row of `schema.FINDINGS`."""
    flat = {name: getattr(one, name) for name in Finding.__slots__}
    details = "" if one.details is None else json.dumps(_without_nan(asdict(one.details)), ensure_ascii=False)
    return {**flat, "kind": str(one.kind), "reason": str(one.reason), "details": details}


def from_row(row: Row) -> Finding:
    """Return the finding of a row of `schema.FINDINGS`."""
    kind = Kind(text_of(row, "kind"))
    text = text_of(row, "details")
    details = TypeAdapter(DETAILS[kind]).validate_python(_with_nan(json.loads(text))) if text else None
    texts = ("id", "recipe", "axis", "a", "b", "measure", "environment", "factor", "layer", "decision", "table", "row")
    flat: dict[str, Any] = {name: text_of(row, name) for name in (*texts, "role", "family")}
    numbers = ("value", "low", "high", "level", "p", "seeds_needed", "least_margin")
    flat |= {name: numeric(row, name) for name in numbers}
    return Finding(
        kind,
        cast("Part", text_of(row, "part")),
        light=cast("Light", text_of(row, "light")),
        seeds=int(numeric(row, "seeds")),
        reason=read(row.get("reason")),
        details=details,
        **flat,
    )


def _without_nan(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in cast("Sequence[Any]", value)]
    return value


def _with_nan(value: Any) -> Any:
    if value is None:
        return math.nan
    if isinstance(value, dict):
        return {key: _with_nan(item) for key, item in cast("dict[str, Any]", value).items()}
    return [_with_nan(item) for item in cast("list[Any]", value)] if isinstance(value, list) else value


# Findings on comparisons.


def decided(row: Row) -> Decided:
    """Return the decision on a row of `schema.CONTRASTS`."""
    conclusion = text_of(row, "conclusion")
    if conclusion in SHOWN:
        return Decided(f"{conclusion}-small") if small_by(row) else Decided(conclusion)
    named = {
        "equivalent": Decided.EQUIVALENT,
        "inconclusive": Decided.INCONCLUSIVE,
        "depends on the scale": Decided.SCALE_DEPENDENT,
        EXHAUSTED: Decided.EXHAUSTED,
        UNCLAIMED: Decided.UNCLAIMED,
    }
    return named.get(conclusion, Decided.UNDEFINED)


def small_by(row: Row) -> Literal["", "equivalence", "noninferiority"]:
    """Return the test by which a difference that is shown is also under the margin, or empty.

    Of a worse recipe that is equivalence or non-inferiority: the two are one of a difference to the worse. Empty where
    the scale is exhausted: recipes at the end of a measure cannot differ by more than the margin.
    """
    conclusion, good = row.get("conclusion"), better(text_of(row, "measure"))
    if conclusion not in SHOWN or text_of(row, "exhausted"):
        return ""
    if good and conclusion != good and numeric(row, "noninferiority_p") < NONINFERIORITY_ALPHA:
        return "noninferiority"
    return "equivalence" if numeric(row, "equivalence_p") < ALPHA else ""


def comparison_of(row: Row, estimates: Sequence[Row]) -> Comparison:
    """Return a comparison with both recipes' values, where each is known once."""
    levels = [find(estimates, row, side) for side in ("a", "b")]
    known = [value_of_row(level, text_of(row, side)) for level, side in zip(levels, ("a", "b"), strict=True) if level]
    return Comparison(dict(row), tuple(known) if len(known) == 2 else (), small_by(row))


def value_of_row(row: Row, name: str = "") -> Value:
    """Return the value of an estimate with its interval. A Sobol' index needs no unit."""
    unit = "" if text_of(row, "measure") == "sobol-total" else text_of(row, "unit")
    return Value(name, numeric(row, "value"), numeric(row, "low"), numeric(row, "high"), unit)


def named(row: Row) -> bool:
    """Return whether a comparison has a family or a role of its own, and is reported by what decided it."""
    return text_of(row, "role") not in ("", "secondary") or text_of(row, "family") not in ("", "stated", "exploratory")


def of_comparison(row: Row, kind: Kind, part: Part, details: Details) -> Finding:
    """Return a finding with the flat columns of a comparison."""
    names = ("axis", "a", "b", "measure", "environment", "factor", "layer", "role", "family")
    flat: dict[str, Any] = {name: text_of(row, name) for name in names}
    flat |= {name: numeric(row, name) for name in ("value", "seeds_needed", "least_margin")}
    deciding = named(row)
    flat |= {end: numeric(row, f"decision_{end}" if deciding else end) for end in ("low", "high")}
    return Finding(
        kind,
        part,
        level=numeric(row, "decision_level") if deciding else CONFIDENCE,
        p=numeric(row, "decision_p" if deciding else "p_holm"),
        decision=text_of(row, "decision") if deciding else decided(row),
        seeds=0 if math.isnan(numeric(row, "seeds")) else int(numeric(row, "seeds")),
        reason=read(row.get("reason")),
        table="contrasts",
        row=text_of(row, "id"),
        details=details,
        **flat,
    )
