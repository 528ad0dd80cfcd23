"""Words of a page: names of recipes, test conditions and measures, and sentences on comparisons.

Functions take rows of the tables `contrasts`, `estimates` and `environments` of a run folder, and return text.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from assay.core.measures import INDEPENDENT, MEASURES, NEUTRAL, Measure, label_of
from assay.core.reasons import Code, reason_of
from assay.report.sentences.reasons import cause_words, reason_words
from assay.stats.format import count, decimals, in_words, join_words, number, p_value, unrounded, with_interval
from assay.stats.rows import (
    BEYOND_MARGIN,
    CONCLUSIVE,
    CONFIDENCE,
    CONFOUNDER,
    CONTROLS,
    DIFFERENT,
    FAILED,
    MATCHED,
    PRIMARY,
    WITHIN_MARGIN,
    Row,
    Verdict,
    is_undefined,
    json_object,
    numeric,
    over_doses,
    text_of,
)

UNINFORMATIVE_BELOW = 0.15
"""An association below this is called uninformative."""
MIN_STRENGTH_DIFFERENCE = 0.05
"""An association that differs by less between environments is not named on the page."""
TRAINING = "train"
UNSHIFTED = "in-distribution"
"""Name of a test condition whose images are chosen as those of training."""
WHOLE_SET = "all"
"""Environment of a model that is tested on all of its images, without a test condition."""
UNCHANGED, REVERSED = "as in training", "reversed"
"""Two of the words of `relation` for an association in a test condition."""
MEAN_PREFIX = "mean of "
"""Prefix of a level of a comparison that is a mean over several levels."""

MAX_NAMED = 3
"""Most levels that a headline names, and most primary comparisons that it does not count."""
LAST_LAYER = "trunk"

# Names of recipes, test conditions and measures.

_DISPLAY_NAMES = {
    "arcface": "ArcFace", "supcon": "SupCon", "simclr": "SimCLR", "vicreg": "VICReg", "dice": "Dice",
    "imagenet": "ImageNet", "radimagenet": "RadImageNet", "cnn": "CNN", "unet": "U-Net", "auroc": "AUROC",
    "jpeg": "JPEG", "ssl": "SSL", "streams": "repetition", "xray": "X-ray", "flatter": "lower contrast",
    "brighter": "higher brightness", "darker": "lower brightness",
}  # fmt: skip
"""Word of an identifier -> the word for readers, where that is another or has capitals."""


def display_name(name: str) -> str:
    """Return the name of a component or factor for readers: `ArcFace`, `cross-entropy Dice`."""
    words = " ".join(_DISPLAY_NAMES.get(word, word) for word in in_words(name).split(" "))
    return words.replace("under exposure", "under-exposure")  # a hyphen of the word, not of the name


def level_words(axis: str, level: str) -> str:
    """Return a value of an axis for readers: `ArcFace`, `10 epochs`, `p = 0.5`, `streams 1`.

    Examples:
        >>> level_words("epochs", "10"), level_words("p", "0.5"), level_words("batch_size", "16")
        ('10 epochs', 'p = 0.5', 'batch size 16')
        >>> [level_words("loss", name) for name in ("cross-entropy", "arcface", "dice(reduce=image)")]
        ['cross-entropy', 'ArcFace', 'Dice (reduce image)']
    """
    if not level[:1].isdigit():
        name, _, argument = level.partition("(")
        if not level.endswith(")") or not name:
            return display_name(level)
        return f"{display_name(name)} ({in_words(argument[:-1]).replace('=', ' ')})"
    if axis == "epochs":
        return f"{level} epochs"
    return f"{axis} = {level}" if len(axis) == 1 else f"{display_name(axis)} {level}"


def bare_name(environment: str) -> str:
    """Return the name of an environment without the recipe in parentheses: `same` of `same (recipe)`."""
    return environment.partition(" (")[0] or environment


def association_strengths(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Return factor -> environment -> strength of its association, for factors in which environments differ."""
    by_factor: dict[str, dict[str, float]] = {}
    for row in rows:
        value = math.nan if row["held"] or row.get("set") else numeric(row, "strength")
        by_environment, name = by_factor.setdefault(row["factor"], {}), bare_name(row["environment"])
        if value == value and abs(value) >= abs(by_environment.get(name, 0.0)):
            by_environment[name] = value
    return {
        name: by_environment
        for name, by_environment in by_factor.items()
        if by_environment and max(by_environment.values()) - min(by_environment.values()) > MIN_STRENGTH_DIFFERENCE
    }


def relation(value: float, training: float) -> str:
    """Return how an association relates to that of training, in words.

    Examples:
        >>> [relation(value, 0.8) for value in (0.05, -0.7, 0.75, 0.4)], relation(0.5, 0.2)
        (['uninformative', 'reversed', 'as in training', 'weaker'], 'stronger')
    """
    if abs(value) < UNINFORMATIVE_BELOW:
        return "uninformative"
    if abs(training) >= UNINFORMATIVE_BELOW and value * training < 0:
        return REVERSED
    return (
        UNCHANGED
        if abs(value - training) < UNINFORMATIVE_BELOW
        else "weaker"
        if abs(value) < abs(training)
        else "stronger"
    )


def relations(rows: Sequence[Row]) -> dict[str, dict[str, str]]:
    """Return factor -> environment -> `relation` of its association to that in training.

    Only factors in which environments differ are named; training itself is left out.

    Examples:
        >>> ties = [("train", 0.8, 0.0), ("same", 0.79, 0.0), ("flip", -0.8, 0.6)]
        >>> rows = [{"environment": name, "factor": factor, "strength": strength, "held": ""}
        ...         for name, *both in ties for factor, strength in zip(("texture", "sex"), both)]
        >>> relations(rows)["texture"], relations(rows)["sex"]["flip"]
        ({'same': 'as in training', 'flip': 'reversed'}, 'stronger')
    """
    related: dict[str, dict[str, str]] = {}
    for factor, by_environment in association_strengths(rows).items():
        training = by_environment.pop(TRAINING, math.nan)
        related[factor] = {
            name: relation(value, training) for name, value in by_environment.items() if training == training
        }
    return related


def _uninformative_names(rows: Sequence[Row]) -> dict[str, str]:
    """Return environment -> `sex uninformative`, for those that only remove the association of one factor."""
    requests: dict[str, set[tuple[str, float]]] = {}
    for row in rows:
        if row["environment"] != TRAINING and not text_of(row, "set") and not math.isnan(numeric(row, "asked")):
            requests.setdefault(text_of(row, "environment"), set()).add((row["factor"], numeric(row, "asked")))
    single = {name: next(iter(of)) for name, of in requests.items() if len(of) == 1}
    return {name: f"{in_words(factor)} uninformative" for name, (factor, value) in single.items() if value == 0}


def condition_labels(rows: Sequence[Row]) -> dict[str, str]:
    """Return environment -> label: `texture reversed` where only one condition is so, else its name in the study.

    Examples:
        >>> strengths = {"train": 0.8, "same": 0.79, "flip": -0.8, "neutral": 0.0, "again": 0.01}
        >>> rows = [{"environment": name, "factor": "texture", "strength": strength, "held": ""}
        ...         for name, strength in strengths.items()]
        >>> list(condition_labels(rows).values())  # two conditions are uninformative, so that neither is named so
        ['training', 'texture as in training', 'texture reversed', 'neutral', 'again']

        A condition that removes one association is named so, unless it changes another factor or is another set:

        >>> train, neutral = rows[0] | {"asked": math.nan}, rows[3] | {"asked": 0.0}
        >>> condition_labels([train, neutral])["neutral"]
        'texture uninformative'
        >>> condition_labels([train, neutral | {"set": "site_b"}])["neutral"]
        'neutral'
        >>> flip = rows[2] | {"asked": -0.8}
        >>> of_sex = {"factor": "sex", "strength": 0.0, "asked": 0.0}
        >>> tied = [train, neutral, flip, rows[0] | {"factor": "sex", "strength": 0.6}, flip | of_sex]
        >>> condition_labels(tied)["flip"]  # texture differs, too
        'texture reversed'

        Where no association differs, the names of the study remain:

        >>> condition_labels([rows[0], rows[0] | {"environment": "site_b"}])
        {'train': 'training', 'site_b': 'site b'}
    """
    factor, related = next(iter(relations(rows).items()), ("", dict[str, str]()))
    names = list(dict.fromkeys(text_of(row, "environment") for row in rows))
    words = {name: f"{in_words(factor)} {related[bare_name(name)]}" for name in names if bare_name(name) in related}
    counts = Counter((uninformative := _uninformative_names(rows)).values())
    words = {name: label for name, label in words.items() if label not in counts} | uninformative
    counts = Counter(words.values())
    once = {name: label for name, label in words.items() if counts[label] == 1}
    return {**{name: in_words(name) for name in names}, **once, TRAINING: "training"}


def condition_labels_by_recipe(
    names: Sequence[str], recipes: Mapping[str, Mapping[str, str]], labels: Mapping[str, str]
) -> dict[str, str]:
    """Return environment -> label of test conditions that depend on the recipe: `same, texture 0.9`.

    The label names the axes in which the recipes of a condition differ.

    Args:
        names: Environments; `same (recipe)` is that of one recipe.
        recipes: Recipe -> its coordinates.
        labels: Labels of the environments that all recipes share.

    Examples:
        >>> recipes = {f"ce · 0 · {tie}": {"loss": "ce", "streams": "0", "texture": tie} for tie in ("0.8", "0.9")}
        >>> names = [*(f"same ({recipe})" for recipe in recipes), "train (ce · 0 · 0.9)", "reversed"]
        >>> for name, words in condition_labels_by_recipe(names, recipes, {"same": "same"}).items():
        ...     print(name, "=", words)
        same (ce · 0 · 0.8) = same, texture 0.8
        same (ce · 0 · 0.9) = same, texture 0.9
        train (ce · 0 · 0.9) = training
    """
    groups: dict[str, dict[str, Mapping[str, str]]] = {}
    for name in names:
        bare, recipe = bare_name(name), name.partition(" (")[2].removesuffix(")")
        if recipe in recipes:
            groups.setdefault(bare, {})[name] = recipes[recipe]
    labels_by_name: dict[str, str] = {}
    for bare, group in groups.items():
        condition = "training" if bare == TRAINING else labels.get(bare) or display_name(bare)
        axes = [axis for axis in next(iter(group.values())) if len({point.get(axis) for point in group.values()}) > 1]
        labels_by_name |= {
            name: ", ".join([condition, *(level_words(axis, point[axis]) for axis in axes)])
            for name, point in group.items()
        }
    return labels_by_name


@dataclass(frozen=True, slots=True)
class Names:
    """Names of a run for readers.

    Attributes:
        conditions: Environment -> label of the test condition, see `condition_labels`.
        labels: Level of an axis, or environment -> its name in the study file, which comes before any other.
        lesion_free: Test conditions in which no image has a lesion.
        subsets: Test conditions that choose images and change nothing else.
    """

    conditions: Mapping[str, str] = field(default_factory=dict[str, str])
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    lesion_free: Collection[str] = ()
    subsets: Collection[str] = ()

    def measure_entry(self, measure: str, environment: str) -> Measure | None:
        """Return the entry of a measure, or where no image has a lesion that of its equal there; None if unknown."""
        entry = MEASURES.get(measure)
        equal = entry.without_lesion if entry is not None and environment in self.lesion_free else ""
        return MEASURES[equal] if equal else entry

    def measure(self, measure: str, environment: str) -> str:
        """Return the label of a measure; where no image has a lesion, that of the measure that it then equals."""
        entry = self.measure_entry(measure, environment)
        return label_of(measure) if entry is None else entry.label

    def level(self, axis: str, level: str) -> str:
        """Return the name of a value of an axis, or of the mean over several."""
        if level.startswith(MEAN_PREFIX):
            parts = level.removeprefix(MEAN_PREFIX).split(", ")
            return MEAN_PREFIX + join_words([self.level(axis, part) for part in parts])
        return self.labels.get(level) or level_words(axis, level)

    def condition(self, environment: str) -> str:
        """Return the label of a test condition."""
        if environment in (NEUTRAL, INDEPENDENT):
            return "factors independent"
        usual = "these images" if environment == WHOLE_SET else self.conditions.get(environment)
        return self.labels.get(environment) or usual or display_name(environment)

    def in_condition(self, environment: str) -> str:
        """Return a test condition as the end of a clause: ` with texture reversed`, ` in site b`; empty for none."""
        if not environment:
            return ""
        label = self.condition(environment)
        if label == UNSHIFTED:
            return f" {label}"
        named = label == display_name(environment) or environment == WHOLE_SET or environment in self.subsets
        return f" in {label}" if named else f" with {label}"

    def in_condition_if_needed(self, measure: str, environment: str) -> str:
        """Return `in_condition`; empty where the measure is of lesion-free images and only one condition has these."""
        entry = self.measure_entry(measure, environment)
        of_these = entry is not None and entry.among == "no lesions" and set(self.lesion_free) == {environment}
        return "" if of_these else self.in_condition(environment)

    def recipe(self, point: Mapping[str, str], axes: Sequence[str]) -> str:
        """Return the name of a recipe by what differs: `ArcFace, 10 epochs`. Empty where nothing does."""
        usual = ("streams", "0")
        return ", ".join(
            self.level(axis, point[axis]) for axis in axes if axis in point and (axis, point[axis]) != usual
        )


DEFAULT_NAMES = Names()


def axis_words(measure: str, unit: str = "") -> str:
    """Return the title of a chart's axis for a measure, with its unit and the better direction."""
    entry = MEASURES.get(measure)
    if entry is None:
        return f"{label_of(measure)}{f' in {unit}' if unit else ''}"
    if entry.axis:
        return entry.axis
    unit_text = unit or entry.unit
    ranked = f" ({entry.direction} is better)" if entry.direction != "none" else ""
    return f"{entry.label}{f' in {unit_text}' if unit_text else ''}{ranked}"


def sentence_case(text: str) -> str:
    """Return a text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


# Comparisons. `a` against `b`; the verdict, then the numbers that decided.


@dataclass(frozen=True, slots=True)
class VerdictWords:
    """Words of a decision or verdict.

    Attributes:
        text: The decision, with `{margin}`.
        title: Of a verdict on a mark or column, a heading with `{factor}` and `{margin}`.
        meaning: What a verdict means and does not establish, and the next step.
    """

    text: str
    title: str = ""
    meaning: str = ""


VERDICTS: Mapping[str, VerdictWords] = {
    Verdict.RELIES: VerdictWords(
        "relies on",
        "Relies on {factor}",
        "The effect is beyond that on reference networks that never saw the mark in training. Next: remove the mark "
        "from images, or retrain with it in both classes, and audit again.",
    ),
    Verdict.AFFECTED: VerdictWords(
        "affected by",
        "Affected by {factor}",
        "The effect exceeds the margin. Not established: that the model learned the mark; a network that never saw it "
        "can be affected too. Next: count the mark in each class, and compare with reference networks.",
    ),
    Verdict.UNDIRECTED: VerdictWords(
        "affected, no direction shown",
        "Affected by {factor}, no direction shown",
        "AUROC or predictions change by more than the margin. A shift of scores in one direction is not shown to "
        "exceed it. Next: count the mark where the model will be used.",
    ),
    Verdict.DIFFERS: VerdictWords(
        "scores differ with",
        "Scores differ with {factor}",
        "Not established: the cause, since a column goes with disease severity or the device. Next: compare groups of "
        "equal severity.",
    ),
    Verdict.INCONCLUSIVE: VerdictWords(
        "inconclusive", "{factor}: inconclusive", "Neither an effect nor its absence is shown. Next: audit more images."
    ),
    Verdict.NO_EFFECT: VerdictWords(
        "no effect",
        "No effect of {margin} or more: {factor}, {drawn}",
        "All bounds are below the margin at three strengths, for the mark as drawn.",
    ),
    Verdict.NO_DIFFERENCE: VerdictWords(
        "no AUROC shift",
        "No AUROC shift of {margin} or more by {factor}",
        "All bounds are below the margin for the groups of these columns. Performance may still differ: see the gaps "
        "between groups.",
    ),
    "not-tested": VerdictWords("not tested", "{factor}: not tested"),
    "higher-beyond": VerdictWords("higher by more than the margin"),
    "lower-beyond": VerdictWords("lower by more than the margin"),
    "higher": VerdictWords("higher"),
    "lower": VerdictWords("lower"),
    "higher-small": VerdictWords("higher, but by less than the margin"),
    "lower-small": VerdictWords("lower, but by less than the margin"),
    "equivalent": VerdictWords("equivalent within {margin}"),
    "detected": VerdictWords("detected"),
    "undetected": VerdictWords("not detected"),
    "none detected": VerdictWords("none detected"),
    "differs": VerdictWords("differs"),
    "untested": VerdictWords("not tested"),
    "within": VerdictWords("within the margin"),
    "beyond": VerdictWords("beyond the margin"),
}
"""Verdict of an audit, in order of harm, or decision on a comparison -> its words."""


def code_words(value: str) -> str:
    """Return a code in words: the verdict on a mark or column as in headings, else the code without hyphens.

    Examples:
        >>> code_words("answers-differ-with"), code_words("suspected-label")
        ('scores differ with', 'suspected label')
    """
    return VERDICTS[value].text if value in set(Verdict) else in_words(value).replace("-", " ")


def subject(row: Row, names: Names = DEFAULT_NAMES) -> str:
    """Return what is compared: `AUROC with texture reversed`, `Change in AUROC from p = 0 in clean`."""
    factors = (
        [text_of(row, "factor")] if text_of(row, "factor") else list(json_object(row.get("pooled")).get("factor", ()))
    )
    name = names.measure(text_of(row, "measure"), text_of(row, "environment"))
    if factors:
        first, *others = map(display_name, factors)
        others = [factor.removeprefix(f"{first.partition(' ')[0]} ") for factor in others]
        name = f"{'mean ' if others else ''}{name} of {join_words([first, *others])}"
    if over_doses(row):
        doses = text_of(row, "doses")
        name = f"change in {name} from p = 0" + (f" to {doses}" if doses else "")
    layer = f" at {row['layer']}" if text_of(row, "layer") else ""
    condition = names.in_condition_if_needed(text_of(row, "measure"), text_of(row, "environment"))
    return sentence_case(f"{name}{layer}{condition}")


def fixed_words(row: Row, names: Names = DEFAULT_NAMES) -> str:
    """Return what a comparison holds constant or averages over: `, 6 epochs, matched fit, mean over p 0.5 and 1`."""
    tag = (CONFOUNDER, text_of(row, "factor"))
    fixed = {axis: str(value) for axis, value in json_object(row.get("where")).items()}
    parts = [names.level(axis, value) for axis, value in fixed.items() if (axis, value) not in (tag, ("streams", "0"))]
    if row.get("at") == "matched-fit":
        parts.append("at matched fit")
    if row.get("at") == MATCHED:
        parts.append(f"at equal {label_of(text_of(row, 'measure'))}{names.in_condition(text_of(row, 'clean'))}")
    for axis, values in json_object(row.get("pooled")).items():
        if axis not in (text_of(row, "axis"), "factor"):
            level_names = [
                names.condition(level) if axis == "environment" else names.level(axis, level)
                for level in map(str, values)
            ]
            parts.append(f"mean over {join_words(level_names)}")
    return "".join(f", {part}" for part in parts)


def side_labels(row: Row, names: Names = DEFAULT_NAMES) -> tuple[str, str]:
    """Return the names of the two levels that are compared."""
    axis = text_of(row, "axis")
    return names.level(axis, text_of(row, "a")), names.level(axis, text_of(row, "b"))


def comparison_name(row: Row, names: Names = DEFAULT_NAMES) -> str:
    """Return the name of a comparison: `AUROC with texture reversed, ArcFace against cross-entropy, 6 epochs`."""
    return f"{subject(row, names)}, {' against '.join(side_labels(row, names))}{fixed_words(row, names)}"


def _decision_words(row: Row) -> str:
    decision = text_of(row, "decision")
    return VERDICTS[decision].text if decision in VERDICTS else decision


def verdict_words(row: Row) -> str:
    """Return the decision on a comparison, and the reason for none: `equivalent within 0.05`, `inconclusive`."""
    late = [cause_words(cause) for cause in reason_of(row).causes if cause.code in (Code.RULE_CHANGED, Code.LOOK_ADDED)]
    text = ", ".join((_decision_words(row), *late))
    text = text.format(margin=unrounded(numeric(row, "margin")))
    failures = failures_text([row])
    text = f"{text}; {failures}" if failures else text
    if row.get("decision") in CONCLUSIVE or "p_holm" not in row:
        return text
    why = reason_of(row).first(Code.CONTROL_FAILED, Code.EXHAUSTED, Code.DEPENDS_ON_SCALE)
    reason = cause_words(why) if why else reason_words(row.get("reason")) if is_undefined(row) else ""
    return f"{text} ({reason})" if reason else text


def failures_text(rows: Sequence[Row]) -> str:
    """Return how many networks failed, for comparisons that claim a small difference.

    Of one comparison, both recipes are counted; of several, the recipe with most failures. Empty where no comparison
    claims a small difference, or failures were not counted.

    Examples:
        >>> row = {"decision": "equivalent", "failed_a": 0, "trained_a": 12, "failure_limit_a": 0.22}
        >>> row |= {"failed_b": 0, "trained_b": 12, "failure_limit_b": 0.22}
        >>> failures_text([row])
        'failed networks: 0 of 12 each (with 95% confidence at most 22% fail)'
        >>> failures_text([row | {"failed_b": 1, "failure_limit_b": 0.34}])
        'failed networks: 0 of 12 and 1 of 12 (with 95% confidence at most 22% and 34% fail)'
        >>> failures_text([row | {"decision": "higher"}])
        ''
    """
    small = [row for row in rows if row.get("decision") in WITHIN_MARGIN and "failed_a" in row]
    counts = [
        tuple(numeric(row, f"{name}_{side}") for name in ("failure_limit", "failed", "trained"))
        for row in small
        for side in ("a", "b")
    ]
    if not counts or any(map(math.isnan, sum(counts, ()))):
        return ""
    differ = len(set(counts)) > 1
    shown = counts if differ and len(small) == 1 else [max(counts)]
    failed = " and ".join(f"{failed:.0f} of {trained:.0f}" for _, failed, trained in shown)
    limits = " and ".join(f"{100 * limit:.0f}%" for limit, _, _ in shown)
    suffix = "" if len(shown) > 1 else " at most" if differ else " each"
    return f"failed networks: {failed}{suffix} (with 95% confidence at most {limits} fail)"


def decision_numbers(row: Row, difference: str = "value") -> str:
    """Return the numbers behind a decision: `+0.09 [0.00, 0.18], 97.5% CI, p = 0.02`."""
    value, low, high = (numeric(row, name) for name in (difference, "decision_low", "decision_high"))
    level, p = numeric(row, "decision_level"), numeric(row, "decision_p")
    if math.isnan(value):
        return "no value"
    if math.isnan(low):
        return signed_text(value, decimals(math.nan))
    at = ", corrected CI" if math.isnan(level) else "" if abs(level - CONFIDENCE) < 1e-9 else f", {100 * level:.3g}% CI"
    return f"{difference_words(value, low, high)}{at}{'' if math.isnan(p) else f', {p_value(p)}'}"


def comparison_line(row: Row, names: Names = DEFAULT_NAMES) -> str:
    """Return a comparison with its decision: `AUROC with texture reversed, ArcFace against cross-entropy: higher`."""
    needed = numeric(row, "seeds_needed")
    more = f" (about {needed:.0f} seeds would decide)" if row.get("decision") == "inconclusive" and needed > 0 else ""
    return f"{comparison_name(row, names)}: {verdict_words(row)}{more}"


def outcome_sentence(row: Row, names: Names = DEFAULT_NAMES) -> str:
    """Return a decision as a sentence without a period; failed networks are counted where it claims a limit."""
    return _decision_sentence(row, names) + _failures_clause([row])


def _decision_sentence(row: Row, names: Names) -> str:
    (a, b), subject_words, decision = side_labels(row, names), subject(row, names), text_of(row, "decision")
    fixed_text = f" ({fixed_words(row, names).removeprefix(', ')})" if fixed_words(row, names) else ""
    if decision == "equivalent":
        within = f", within {unrounded(numeric(row, 'margin'))}"
        return f"{sentence_case(a)} and {b} are equivalent in {_mid_sentence(subject_words)}{fixed_text}{within}"
    if decision in DIFFERENT:
        direction, _, size = decision.partition("-")
        by = {"beyond": ", by more than the margin", "small": ", but by less than the margin"}.get(size, "")
        clause = _difference_clause(row, names) or f"{subject_words} is {direction}"
        return f"{clause} with {a} than with {b}{by}{fixed_text}"
    return f"{comparison_name(row, names)}: {_decision_words(row)}"


def _difference_clause(row: Row, names: Names) -> str:
    """Return a difference in the words of its measure: `Fewer lesion-free images are left empty`; empty without any.

    Also empty for a change over doses and for a measure of a factor or a layer, which have no such words.
    """
    measure, environment = text_of(row, "measure"), text_of(row, "environment")
    entry = names.measure_entry(measure, environment)
    if entry is None or not entry.difference or over_doses(row) or text_of(row, "factor") or text_of(row, "layer"):
        return ""
    more, larger = ("more", "larger") if text_of(row, "decision").startswith("higher") else ("fewer", "smaller")
    place = names.in_condition_if_needed(measure, environment).strip()
    images = "images" if place and environment in names.lesion_free else "lesion-free images"
    clause = entry.difference.format(more=more, larger=larger, images=images)
    return sentence_case(f"{place}, {clause}" if place else clause)


def _failures_clause(rows: Sequence[Row]) -> str:
    text = failures_text(rows)
    return f"; {text}" if text else ""


def equivalence_sentence(rows: Sequence[Row], names: Names = DEFAULT_NAMES) -> str:
    """Return the equivalences to the base of the first row, in its measure and condition, without a period.

    Levels are each compared with the base alone: two that are within the margin of it can differ by more.
    """
    keys = [(side_labels(row, names)[1], subject(row, names), fixed_words(row, names), row["margin"]) for row in rows]
    equal_rows = [row for row, of in zip(rows, keys, strict=True) if of == keys[0]]
    levels = list(dict.fromkeys(side_labels(row, names)[0] for row in equal_rows))
    first_sentence, base = _decision_sentence(rows[0], names), keys[0][0]
    if len(levels) == 1:
        return first_sentence + _failures_clause(equal_rows)
    opening = f"{sentence_case(levels[0])} and {base} are equivalent in "
    listed = join_words(levels) if len(levels) <= MAX_NAMED else count(len(levels), in_words(text_of(rows[0], "axis")))
    where = first_sentence.removeprefix(opening)
    return f"{sentence_case(listed)} are each equivalent to {base} in {where}{_failures_clause(equal_rows)}"


def _mid_sentence(text: str) -> str:
    """Return a text with a lower first letter, for the middle of a sentence; abbreviations keep their capitals."""
    return text if text[:2].isupper() or text.split()[0] in _DISPLAY_NAMES.values() else text[:1].lower() + text[1:]


def control_words(row: Row, names: Names | None = None) -> str:
    """Return the result of a control: `A/A control (AUROC, streams 1 against streams 0) found no difference`.

    Args:
        row: The control.
        names: Names for what it compares, which is left out where None.

    Examples:
        >>> row = {"role": "a-a", "decision": "none detected"}
        >>> control_words(row), control_words({"role": "positive-control", "decision": "undetected"})
        ('A/A control found no difference', 'positive control did not find the planted difference')
    """
    compared = "" if names is None else f" ({comparison_name(row, names)})"
    verb = {
        "detected": "found the planted difference",
        "undetected": "did not find the planted difference",
        "none detected": "found no difference",
        "differs": "shows a difference",
        "untested": "could not be tested",
    }[text_of(row, "decision")]
    return f"{control_name(row)}{compared} {verb}"


def control_name(row: Row) -> str:
    """Return the name of the kind of a control."""
    return "A/A control" if text_of(row, "role") == "a-a" else "positive control"


def common_axes(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the axes that all comparisons hold constant at one value: axis -> value."""
    first, *others = (json_object(row.get("where")) for row in rows)
    return {axis: value for axis, value in first.items() if all(other.get(axis) == value for other in others)}


def shorten_comparison(row: Row, common: Collection[str]) -> Row:
    """Return a comparison without the axes in `common`, and without the default layer and environment of a probe."""
    where = {axis: value for axis, value in json_object(row.get("where")).items() if axis not in common}
    usual = row.get("layer") == LAST_LAYER and row.get("environment") in (NEUTRAL, INDEPENDENT)
    return {**row, "where": where, **({"layer": "", "environment": ""} if usual else {})}


def headline_comparisons(contrasts: Sequence[Row]) -> list[Row]:
    """Return the comparisons that a headline counts: the primary ones, or all pre-specified ones without any."""
    prespecified = [row for row in contrasts if not row.get("exploratory") and text_of(row, "role") not in CONTROLS]
    return [row for row in prespecified if row.get("role") == PRIMARY] or prespecified


def conclusive_by_kind(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Return kind of decision -> conclusive comparisons, in the order in which a headline names kinds."""
    rows = [row for row in rows if any(not math.isnan(numeric(row, low)) for low in ("decision_low", "low"))]
    return {
        "different by more than the margin": [row for row in rows if row.get("decision") in BEYOND_MARGIN],
        "different": [row for row in rows if row.get("decision") in DIFFERENT and row["decision"] not in BEYOND_MARGIN],
        "equivalent": [row for row in rows if row.get("decision") == "equivalent"],
    }


def comparisons_of_outputs(rows: Sequence[Row]) -> list[Row]:
    """Return the comparisons of outputs, without those of layers; all where there are only those of layers."""
    entries = [MEASURES.get(row["measure"]) for row in rows]
    pairs = zip(rows, entries, strict=True)
    return [row for row, entry in pairs if entry is None or entry.probe not in _LAYER_PROBES] or list(rows)


_LAYER_PROBES = ("decodability", "representation", "reinitialization")


def leading_comparison(contrasts: Sequence[Row]) -> Row | None:
    """Return the comparison that a headline names first: a conclusive one, or else the first of all.

    Examples:
        A difference comes before an equivalence, and that before what is open; controls are never named:

        >>> common = {"measure": "auroc", "role": "primary", "low": 0.0}
        >>> open_, equal, lower = (common | {"decision": word} for word in ("inconclusive", "equivalent", "lower"))
        >>> [leading_comparison(rows)["decision"] for rows in ([open_, equal, lower], [open_, equal], [open_])]
        ['lower', 'equivalent', 'inconclusive']
        >>> leading_comparison([common | {"role": "a-a", "decision": "differs"}]) is None
        True
    """
    rows = comparisons_of_outputs(headline_comparisons(contrasts))
    return next(iter([row for kind in conclusive_by_kind(rows).values() for row in kind] or rows), None)


def title_comparison(contrasts: Sequence[Row]) -> Row | None:
    """Return the comparison whose decision a title states; None where a control failed or none is conclusive.

    Examples:
        >>> common = {"measure": "auroc", "role": "primary", "low": 0.0}
        >>> open_, equal, lower = (common | {"decision": word} for word in ("inconclusive", "equivalent", "lower"))
        >>> title_comparison([open_, equal, lower]) is lower, title_comparison([open_])
        (True, None)
        >>> control = {"measure": "auroc", "role": "positive-control"}
        >>> title_comparison([lower, control | {"decision": "detected"}]) is lower
        True
        >>> title_comparison([lower, control | {"decision": "undetected"}])
    """
    failed = any(row.get("decision") in FAILED for row in contrasts)
    conclusive = conclusive_by_kind(comparisons_of_outputs(headline_comparisons(contrasts)))
    return leading_comparison(contrasts) if any(conclusive.values()) and not failed else None


def headline(contrasts: Sequence[Row], names: Names = DEFAULT_NAMES) -> str:
    """Return the verdict of a study, without numbers, by the first rule that applies.

    1. A control failed: no difference is claimed.
    2. No comparison was pre-specified.
    3. No comparison is conclusive: what was compared.
    4. Otherwise the first difference, or the equivalences to one base, and counts if there are more than a first
       screen lists. Primary comparisons count, or all of a study without any.

    A comparison is conclusive only with an interval, which takes three seeds. Axes that all comparisons hold constant
    are left to the list.
    """
    failed = [row for row in contrasts if row.get("decision") in FAILED]
    if failed:
        return f"No difference is claimed, since the {control_words(failed[0])}."
    rows = headline_comparisons(contrasts)
    if not rows:
        return "No comparison was pre-specified, so no difference is claimed."
    comparison_kind = "primary comparisons" if rows[0].get("role") == PRIMARY else "comparisons"
    rows = [shorten_comparison(row, common) for common in [common_axes(rows)] for row in rows]
    kinds = conclusive_by_kind(rows)
    open_count = len(rows) - sum(map(len, kinds.values()))
    decided = [row for group in conclusive_by_kind(comparisons_of_outputs(rows)).values() for row in group]
    if not decided:
        return _inconclusive_headline(comparisons_of_outputs(rows), names)
    equal = decided[0]["decision"] == "equivalent"
    sentence = equivalence_sentence(decided, names) if equal else outcome_sentence(decided[0], names)
    if len(rows) <= (MAX_NAMED if rows[0].get("role") == PRIMARY else 1):
        return f"{sentence}."
    parts = [f"{len(group)} {name}" for name, group in {**kinds, "inconclusive": range(open_count)}.items() if group]
    return f"{sentence}. Of {len(rows)} {comparison_kind}: {join_words(parts)}."


def _inconclusive_headline(rows: Sequence[Row], names: Names) -> str:
    """Return that the comparisons are inconclusive, or why they have no value."""
    if all(math.isnan(numeric(row, "value")) for row in rows):
        why = next((reason_words(row["reason"]) for row in rows if row.get("reason")), "no comparison has a value")
        return f"This run cannot answer: {why}."
    compared = list(dict.fromkeys(side_labels(row, names) for row in rows))
    levels, bases = dict.fromkeys(a for a, _ in compared), dict.fromkeys(b for _, b in compared)
    axis = in_words(text_of(rows[0], "axis"))
    level_names = join_words(list(levels)) if len(levels) <= MAX_NAMED else count(len(levels), axis)
    against_what = next(iter(bases)) if len(bases) == 1 else "one another"
    subjects = {subject(row, names) for row in rows}
    where = f" in {_mid_sentence(subjects.pop())}" if len(subjects) == 1 else ""
    differs, each = ("differs", "") if len(levels) == 1 else ("differ", " for each")
    return f"Whether {level_names} {differs} from {against_what}{where} is inconclusive{each}."


def model_headline(rows: Sequence[Row], measure: str, names: Names = DEFAULT_NAMES) -> str:
    """Return the verdict on one model, without numbers: where it is above chance, and what changes predictions.

    Examples:
        >>> place = {"factor": "", "level": "", "layer": "", "group": "", "chance": 0.5}
        >>> good = place | {"measure": "auroc", "environment": "same", "value": 0.8, "low": 0.7}
        >>> bad = good | {"environment": "reversed", "value": 0.5, "low": 0.4}
        >>> flips = [place | {"measure": "flip-rate", "environment": "", "factor": name, "value": low + 0.1, "low": low}
        ...          for name, low in (("texture", 0.3), ("size", -0.1))]
        >>> model_headline([good, *flips], "auroc")
        "This model's AUROC is above chance in same; its predictions change with texture."
        >>> model_headline([good, bad], "auroc")
        "This model's AUROC is not shown to be above chance in reversed."
        >>> model_headline(flips, "auroc"), model_headline([], "auroc")
        ('Its predictions change with texture.', '')
    """
    overall = [
        row
        for row in rows
        if row["measure"] == measure
        and row["environment"]
        and not any(row[name] for name in ("factor", "level", "layer", "group"))
    ]
    unsure = [row["environment"] for row in overall if not numeric(row, "low") > numeric(row, "chance")]
    sentences: list[str] = []
    if overall and all(not math.isnan(numeric(row, "chance")) for row in overall):
        places_text = join_words([names.in_condition(name).strip() for name in unsure])
        everywhere = (
            "in every test condition" if len(overall) > 1 else names.in_condition(overall[0]["environment"]).strip()
        )
        sentences.append(f"not shown to be above chance {places_text}" if unsure else f"above chance {everywhere}")
        sentences = [f"This model's {label_of(measure)} is {sentences[0]}"]
    flips = [row for row in rows if row["measure"] == "flip-rate" and not (row["level"] or row["group"])]
    effects = {row["factor"]: numeric(row, "value") for row in flips if numeric(row, "low") > 0}
    strongest = sorted(effects, key=lambda name: -effects[name])[:3]
    if strongest:
        sentences.append(f"its predictions change with {join_words([display_name(name) for name in strongest])}")
    return sentence_case("; ".join(sentences)) + "." if sentences else ""


# Numbers.


def signed_text(difference: float, places: int) -> str:
    """Return a difference with its sign, and with more decimals where it would read 0.00: `+0.04`, `-0.003`."""
    while 1e-6 <= abs(difference) < 0.5 * 10**-places:
        places += 1
    return ("+" if difference >= 1e-6 else "") + number(difference, places)


def difference_words(value: float, low: float, high: float) -> str:
    """Return a signed difference with its interval, with more decimals where an end other than 0 would read 0.00."""
    places = decimals((high - low) / 2)
    while places < 4 and any(1e-6 <= abs(end) < 0.5 * 10**-places for end in (value, low, high)):
        places += 1
    return f"{signed_text(value, places)} [{number(low, places)}, {number(high, places)}]"


def value_text(row: Row, places: int | None = None) -> str:
    """Return the value of a row with its interval; `undefined` without a value. places: decimals of its column."""
    return with_interval(numeric(row, "value"), numeric(row, "low"), numeric(row, "high"), places=places)


def margin_test(row: Row) -> str:
    """Return the test against the margin: `0.05: 90% CI [-0.04, 0.04], p = 0.02`; empty without one."""
    margin, p = numeric(row, "margin"), numeric(row, "equivalence_p")
    if math.isnan(p):
        worse = numeric(row, "noninferiority_p")
        return "" if math.isnan(worse) else f"not worse by {unrounded(margin)}: {p_value(worse)}"
    low, high = numeric(row, "equivalence_low"), numeric(row, "equivalence_high")
    places = decimals((high - low) / 2)
    level = f"{100 * numeric(row, 'equivalence_level'):.3g}%"
    return f"{unrounded(margin)}: {level} CI [{number(low, places)}, {number(high, places)}], {p_value(p)}"


def is_doubtful(row: Row) -> bool:
    """Return whether a value has a reason for doubt other than `NO_VARIATION`."""
    reason = reason_of(row)
    return bool(reason) and reason.codes != (Code.NO_VARIATION,)
