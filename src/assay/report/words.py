"""Words of a page: names of recipes, test conditions and measures, and the templates of its sentences."""

from __future__ import annotations

import math
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

UNTIED = 0.15
"""An association below this is called uninformative."""
MIN_STRENGTH_DIFFERENCE = 0.05
"""Associations that differ by less through all environments are not told."""
TRAINING = "train"
UNSHIFTED = "in-distribution"
"""Name of a test condition whose images are chosen as those of training."""
WHOLE_SET = "all"
"""Name of the images of a request that asks for no test condition."""
UNCHANGED, REVERSED = "as in training", "reversed"
"""Of an association in a test condition, see `relation`."""
MEAN_PREFIX = "mean of "
"""Words that open a level of a comparison that is a mean over several."""

MAX_NAMED = 3
"""Levels or comparisons that a headline names or leaves to the list below it; more are counted."""
LAST_LAYER = "trunk"

# Names of recipes, test conditions and measures.

_DISPLAYED = {
    "arcface": "ArcFace", "supcon": "SupCon", "simclr": "SimCLR", "vicreg": "VICReg", "dice": "Dice",
    "imagenet": "ImageNet", "radimagenet": "RadImageNet", "cnn": "CNN", "unet": "U-Net", "auroc": "AUROC",
    "jpeg": "JPEG", "ssl": "SSL", "streams": "repetition", "xray": "X-ray", "flatter": "lower contrast",
    "brighter": "higher brightness", "darker": "lower brightness",
}  # fmt: skip
"""Names that readers know by others, or that are not written in lower case."""


def display_name(name: str) -> str:
    """Return a name of a component or factor for readers: `ArcFace`, `cross-entropy Dice`."""
    words = " ".join(_DISPLAYED.get(word, word) for word in in_words(name).split(" "))
    return words.replace("under exposure", "under-exposure")  # a hyphen of the word, not of the name


def level_words(axis: str, level: str) -> str:
    """Return a value of an axis: `ArcFace`, `10 epochs`, `p = 0.5`, `streams 1`.

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
    """Return an environment without the recipe that it is of."""
    return environment.partition(" (")[0] or environment


def association_strengths(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Return, by factor whose association differs between environments, its strength in each of them."""
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
    if abs(value) < UNTIED:
        return "uninformative"
    if abs(training) >= UNTIED and value * training < 0:
        return REVERSED
    return UNCHANGED if abs(value - training) < UNTIED else "weaker" if abs(value) < abs(training) else "stronger"


def relations(rows: Sequence[Row]) -> dict[str, dict[str, str]]:
    """Return, by factor whose association differs between environments, its `relation` in each but training.

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
    """Return names of test conditions that ask for nothing but no association with one factor: `sex uninformative`."""
    asked: dict[str, set[tuple[str, float]]] = {}
    for row in rows:
        if row["environment"] != TRAINING and not text_of(row, "set") and not math.isnan(numeric(row, "asked")):
            asked.setdefault(text_of(row, "environment"), set()).add((row["factor"], numeric(row, "asked")))
    single = {name: next(iter(of)) for name, of in asked.items() if len(of) == 1}
    return {name: f"{in_words(factor)} uninformative" for name, (factor, value) in single.items() if value == 0}


def condition_labels(rows: Sequence[Row]) -> dict[str, str]:
    """Return names of test conditions: `texture reversed` where that names one alone, else the name in the study.

    Examples:
        >>> strengths = {"train": 0.8, "same": 0.79, "flip": -0.8, "neutral": 0.0, "again": 0.01}
        >>> rows = [{"environment": name, "factor": "texture", "strength": strength, "held": ""}
        ...         for name, strength in strengths.items()]
        >>> list(condition_labels(rows).values())  # two conditions are uninformative, so that neither is named so
        ['training', 'texture as in training', 'texture reversed', 'neutral', 'again']

        One that asks for no association is named so, unless another factor is asked for too, or it is another set:

        >>> train, neutral = rows[0] | {"asked": math.nan}, rows[3] | {"asked": 0.0}
        >>> condition_labels([train, neutral])["neutral"]
        'texture uninformative'
        >>> condition_labels([train, neutral | {"set": "site_b"}])["neutral"]
        'neutral'
        >>> flip = rows[2] | {"asked": -0.8}
        >>> of_sex = {"factor": "sex", "strength": 0.0, "asked": 0.0}
        >>> tied = [train, neutral, flip, rows[0] | {"factor": "sex", "strength": 0.6}, flip | of_sex]
        >>> condition_labels(tied)["flip"]  # sex is not all that differs
        'texture reversed'

        Where no association differs, the names of the study remain:

        >>> condition_labels([rows[0], rows[0] | {"environment": "site_b"}])
        {'train': 'training', 'site_b': 'site b'}
    """
    factor, related = next(iter(relations(rows).items()), ("", dict[str, str]()))
    names = list(dict.fromkeys(text_of(row, "environment") for row in rows))
    words = {name: f"{in_words(factor)} {related[bare_name(name)]}" for name in names if bare_name(name) in related}
    uninformative = _uninformative_names(rows)
    words = {name: label for name, label in words.items() if label not in uninformative.values()} | uninformative
    once = {name: label for name, label in words.items() if list(words.values()).count(label) == 1}
    return {**{name: in_words(name) for name in names}, **once, TRAINING: "training"}


def condition_labels_by_recipe(
    names: Sequence[str], recipes: Mapping[str, Mapping[str, str]], labels: Mapping[str, str]
) -> dict[str, str]:
    """Return names of test conditions that depend on the recipe, by the axes that differ: `same, texture 0.9`.

    Args:
        names: Environments, `same (recipe)` where they are of one recipe.
        recipes: Recipe -> its coordinates.
        labels: Labels of environments that are of every recipe.

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
    labels_found: dict[str, str] = {}
    for bare, own in groups.items():
        called = "training" if bare == TRAINING else labels.get(bare) or display_name(bare)
        axes = [axis for axis in next(iter(own.values())) if len({at.get(axis) for at in own.values()}) > 1]
        labels_found |= {
            name: ", ".join([called, *(level_words(axis, at[axis]) for axis in axes)]) for name, at in own.items()
        }
    return labels_found


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
        """Return the entry of a measure, where no image has a lesion of what it then equals; None of an unknown one."""
        entry = MEASURES.get(measure)
        equal = entry.without_lesion if entry is not None and environment in self.lesion_free else ""
        return MEASURES[equal] if equal else entry

    def measure(self, measure: str, environment: str) -> str:
        """Return a measure, where no image has a lesion by what it then equals."""
        entry = self.measure_entry(measure, environment)
        return label_of(measure) if entry is None else entry.label

    def level(self, axis: str, level: str) -> str:
        """Return a value of an axis, or the mean of several."""
        if level.startswith(MEAN_PREFIX):
            parts = level.removeprefix(MEAN_PREFIX).split(", ")
            return MEAN_PREFIX + join_words([self.level(axis, part) for part in parts])
        return self.labels.get(level) or level_words(axis, level)

    def condition(self, environment: str) -> str:
        """Return a test condition."""
        if environment in (NEUTRAL, INDEPENDENT):
            return "factors independent"
        usual = "these images" if environment == WHOLE_SET else self.conditions.get(environment)
        return self.labels.get(environment) or usual or display_name(environment)

    def inside(self, environment: str) -> str:
        """Return ` with texture reversed`, ` in site b`, ` in-distribution`, or nothing for no environment."""
        if not environment:
            return ""
        label = self.condition(environment)
        if label == UNSHIFTED:
            return f" {label}"
        named = label == display_name(environment) or environment == WHOLE_SET or environment in self.subsets
        return f" in {label}" if named else f" with {label}"

    def where(self, measure: str, environment: str) -> str:
        """Return `inside`, but nothing for the only lesion-free images where the measure is of such images alone."""
        entry = self.measure_entry(measure, environment)
        of_these = entry is not None and entry.among == "no lesions" and set(self.lesion_free) == {environment}
        return "" if of_these else self.inside(environment)

    def recipe(self, at: Mapping[str, str], axes: Sequence[str]) -> str:
        """Return the name of a recipe by what differs: `ArcFace, 10 epochs`. Empty where nothing does."""
        usual = ("streams", "0")
        return ", ".join(self.level(axis, at[axis]) for axis in axes if axis in at and (axis, at[axis]) != usual)


UNNAMED = Names()


def axis_words(measure: str, unit: str = "") -> str:
    """Return the text along an axis that shows a measure, with its unit and the better direction."""
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
        text: The answer, with `{margin}`.
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
        "affected, no direction beyond the margin",
        "Affected by {factor}, no direction beyond the margin",
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
        "inconclusive",
        "{factor}: inconclusive",
        "Neither an effect nor its absence is shown. Next: audit more images.",
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


def subject(row: Row, names: Names = UNNAMED) -> str:
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
    return sentence_case(f"{name}{layer}{names.where(text_of(row, 'measure'), text_of(row, 'environment'))}")


def fixed_words(row: Row, names: Names = UNNAMED) -> str:
    """Return what a comparison holds equal or averages over: `, 6 epochs, matched fit, mean over p 0.5 and 1`."""
    tag = (CONFOUNDER, text_of(row, "factor"))
    fixed = {axis: str(value) for axis, value in json_object(row.get("where")).items()}
    parts = [names.level(axis, value) for axis, value in fixed.items() if (axis, value) not in (tag, ("streams", "0"))]
    if row.get("at") == "matched-fit":
        parts.append("at matched fit")
    if row.get("at") == MATCHED:
        parts.append(f"at equal {label_of(text_of(row, 'measure'))}{names.inside(text_of(row, 'clean'))}")
    for axis, values in json_object(row.get("pooled")).items():
        if axis not in (text_of(row, "axis"), "factor"):
            called = [
                names.condition(one) if axis == "environment" else names.level(axis, one) for one in map(str, values)
            ]
            parts.append(f"mean over {join_words(called)}")
    return "".join(f", {part}" for part in parts)


def side_labels(row: Row, names: Names = UNNAMED) -> tuple[str, str]:
    """Return the levels that are compared, in words."""
    axis = text_of(row, "axis")
    return names.level(axis, text_of(row, "a")), names.level(axis, text_of(row, "b"))


def statement(row: Row, names: Names = UNNAMED) -> str:
    """Name a comparison: `AUROC with texture reversed, ArcFace against cross-entropy, 6 epochs`."""
    return f"{subject(row, names)}, {' against '.join(side_labels(row, names))}{fixed_words(row, names)}"


def _decision(row: Row) -> str:
    decision = text_of(row, "decision")
    return VERDICTS[decision].text if decision in VERDICTS else decision


def verdict_words(row: Row) -> str:
    """Return the decision on a comparison, and why there is none: `equivalent within 0.05`, `inconclusive`."""
    late = [cause_words(cause) for cause in reason_of(row).causes if cause.code in (Code.RULE_CHANGED, Code.LOOK_ADDED)]
    text = ", ".join((_decision(row), *late))
    text = text.format(margin=unrounded(numeric(row, "margin")))
    failures = failures_text([row])
    text = f"{text}; {failures}" if failures else text
    if row.get("decision") in CONCLUSIVE or "p_holm" not in row:
        return text
    why = reason_of(row).first(Code.CONTROL_FAILED, Code.EXHAUSTED, Code.DEPENDS_ON_SCALE)
    reason = cause_words(why) if why else reason_words(row.get("reason")) if is_undefined(row) else ""
    return f"{text} ({reason})" if reason else text


def failures_text(rows: Sequence[Row]) -> str:
    """Return the failed networks of comparisons that claim a small difference.

    One comparison has those of both recipes. Of several comparisons the greatest number is given. Empty where nothing
    small is claimed or nothing was counted.

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
    alike = "" if len(shown) > 1 else " at most" if differ else " each"
    return f"failed networks: {failed}{alike} (with 95% confidence at most {limits} fail)"


def decided_by(row: Row, difference: str = "value") -> str:
    """Return the difference with the interval and p that decided: `+0.09 [0.00, 0.18], 97.5% CI, p = 0.02`."""
    value, low, high = (numeric(row, name) for name in (difference, "decision_low", "decision_high"))
    level, p = numeric(row, "decision_level"), numeric(row, "decision_p")
    if math.isnan(value):
        return "no value"
    if math.isnan(low):
        return signed_text(value, decimals(math.nan))
    at = ", corrected CI" if math.isnan(level) else "" if abs(level - CONFIDENCE) < 1e-9 else f", {100 * level:.3g}% CI"
    return f"{difference_words(value, low, high)}{at}{'' if math.isnan(p) else f', {p_value(p)}'}"


def primary_line(row: Row, names: Names = UNNAMED) -> str:
    """Return a comparison without its numbers: `AUROC with texture reversed, ArcFace against cross-entropy: higher`."""
    needed = numeric(row, "seeds_needed")
    more = f" (about {needed:.0f} seeds would decide)" if row.get("decision") == "inconclusive" and needed > 0 else ""
    return f"{statement(row, names)}: {verdict_words(row)}{more}"


def outcome(row: Row, names: Names = UNNAMED) -> str:
    """Return a decision as a sentence without numbers or a stop, but for failed networks where a limit is claimed."""
    return _outcome(row, names) + _failures([row])


def _outcome(row: Row, names: Names) -> str:
    (a, b), what, decision = side_labels(row, names), subject(row, names), text_of(row, "decision")
    fixed_text = f" ({fixed_words(row, names).removeprefix(', ')})" if fixed_words(row, names) else ""
    if decision == "equivalent":
        within = f", within {unrounded(numeric(row, 'margin'))}"
        return f"{sentence_case(a)} and {b} are equivalent in {_inside(what)}{fixed_text}{within}"
    if decision in DIFFERENT:
        way, _, size = decision.partition("-")
        by = {"beyond": ", by more than the margin", "small": ", but by less than the margin"}.get(size, "")
        return f"{_difference_clause(row, names) or f'{what} is {way}'} with {a} than with {b}{by}{fixed_text}"
    return f"{statement(row, names)}: {_decision(row)}"


def _difference_clause(row: Row, names: Names) -> str:
    """Return a difference as its measure words it: `Fewer lesion-free images are left empty`, or empty.

    Changes over doses, and measures of a factor or a layer, are named instead.
    """
    measure, environment = text_of(row, "measure"), text_of(row, "environment")
    entry = names.measure_entry(measure, environment)
    if entry is None or not entry.difference or over_doses(row) or text_of(row, "factor") or text_of(row, "layer"):
        return ""
    more, larger = ("more", "larger") if text_of(row, "decision").startswith("higher") else ("fewer", "smaller")
    place = names.where(measure, environment).strip()
    images = "images" if place and environment in names.lesion_free else "lesion-free images"
    clause = entry.difference.format(more=more, larger=larger, images=images)
    return sentence_case(f"{place}, {clause}" if place else clause)


def _failures(rows: Sequence[Row]) -> str:
    text = failures_text(rows)
    return f"; {text}" if text else ""


def equivalences(rows: Sequence[Row], names: Names = UNNAMED) -> str:
    """Return the equivalences to the base of the first row, in its measure and condition, without a stop.

    Pairs other than these were not compared: two levels that are each within the margin of a base can differ by more.
    """
    about = [(side_labels(row, names)[1], subject(row, names), fixed_words(row, names), row["margin"]) for row in rows]
    same = [row for row, of in zip(rows, about, strict=True) if of == about[0]]
    levels = list(dict.fromkeys(side_labels(row, names)[0] for row in same))
    alone, base = _outcome(rows[0], names), about[0][0]
    if len(levels) == 1:
        return alone + _failures(same)
    pair = f"{sentence_case(levels[0])} and {base} are equivalent in "
    several = join_words(levels) if len(levels) <= MAX_NAMED else count(len(levels), in_words(text_of(rows[0], "axis")))
    where = alone.removeprefix(pair)
    return f"{sentence_case(several)} are each equivalent to {base} in {where}{_failures(same)}"


def _inside(text: str) -> str:
    """Return a text for the middle of a sentence; abbreviations keep their letters."""
    return text if text[:2].isupper() or text.split()[0] in _DISPLAYED.values() else text[:1].lower() + text[1:]


def control_words(row: Row, names: Names | None = None) -> str:
    """Return a control by what it controls: `A/A control (AUROC, streams 1 against streams 0) found no difference`.

    Args:
        row: The control.
        names: Names of what it compares; without them, that is not told.

    Examples:
        >>> row = {"role": "a-a", "decision": "none detected"}
        >>> control_words(row), control_words({"role": "positive-control", "decision": "undetected"})
        ('A/A control found no difference', 'positive control did not find the planted difference')
    """
    compared = "" if names is None else f" ({statement(row, names)})"
    verb = {
        "detected": "found the planted difference",
        "undetected": "did not find the planted difference",
        "none detected": "found no difference",
        "differs": "shows a difference",
        "untested": "could not be tested",
    }[text_of(row, "decision")]
    return f"{control_name(row)}{compared} {verb}"


def control_name(row: Row) -> str:
    """Return the kind of a control."""
    return "A/A control" if text_of(row, "role") == "a-a" else "positive control"


def common_axes(rows: Sequence[Row]) -> dict[str, Any]:
    """Return what all comparisons hold equal: axis -> value."""
    first, *others = (json_object(row.get("where")) for row in rows)
    return {axis: value for axis, value in first.items() if all(other.get(axis) == value for other in others)}


def shorten_comparison(row: Row, common: Collection[str]) -> Row:
    """Return a comparison without the axes that all hold equal, and without the usual layer and images of a probe."""
    where = {axis: value for axis, value in json_object(row.get("where")).items() if axis not in common}
    usual = row.get("layer") == LAST_LAYER and row.get("environment") in (NEUTRAL, INDEPENDENT)
    return {**row, "where": where, **({"layer": "", "environment": ""} if usual else {})}


def comparisons_asked(contrasts: Sequence[Row]) -> list[Row]:
    """Return the comparisons that a title speaks of: the primary ones, or all that were pre-specified if none is."""
    prespecified = [row for row in contrasts if not row.get("exploratory") and text_of(row, "role") not in CONTROLS]
    return [row for row in prespecified if row.get("role") == PRIMARY] or prespecified


def decided_by_kind(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Return the decided comparisons by kind, the kind that a title names first in front."""
    rows = [row for row in rows if any(not math.isnan(numeric(row, low)) for low in ("decision_low", "low"))]
    return {
        "different by more than the margin": [row for row in rows if row.get("decision") in BEYOND_MARGIN],
        "different": [row for row in rows if row.get("decision") in DIFFERENT and row["decision"] not in BEYOND_MARGIN],
        "equivalent": [row for row in rows if row.get("decision") == "equivalent"],
    }


def used(rows: Sequence[Row]) -> list[Row]:
    """Return the comparisons of what networks do, not of what their layers hold; all where there is no other."""
    return [
        row for row in rows if MEASURES.get(row["measure"]) is None or MEASURES[row["measure"]].probe not in _OF_LAYERS
    ] or list(rows)


_OF_LAYERS = ("decodability", "representation", "reinitialization")


def leading(contrasts: Sequence[Row]) -> Row | None:
    """Return the comparison that a title names, or the first that was asked where nothing was shown.

    Examples:
        A difference comes before an equivalence, and that before what is open; controls are never named:

        >>> common = {"measure": "auroc", "role": "primary", "low": 0.0}
        >>> open_, equal, lower = (common | {"decision": word} for word in ("inconclusive", "equivalent", "lower"))
        >>> leading([open_, equal, lower])["decision"], leading([open_, equal])["decision"], leading([open_]) is open_
        ('lower', 'equivalent', True)
        >>> leading([common | {"role": "a-a", "decision": "differs"}]) is None
        True
    """
    rows = used(comparisons_asked(contrasts))
    return next(iter([row for kind in decided_by_kind(rows).values() for row in kind] or rows), None)


def title_comparison(contrasts: Sequence[Row]) -> Row | None:
    """Return the comparison whose outcome a title states; None where a control failed, or nothing was shown.

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
    return (
        None if failed or not any(decided_by_kind(used(comparisons_asked(contrasts))).values()) else leading(contrasts)
    )


def headline(contrasts: Sequence[Row], names: Names = UNNAMED) -> str:
    """Return the verdict of a study, without numbers, by the first rule that applies.

    A control failed; none was pre-specified; nothing was shown: what was compared; the first difference, or the
    equivalences to one base, among primary comparisons (or of a study without any, all), then counts if they are more
    than a first screen lists.
    Shown is what has an interval, which takes three seeds. What all hold equal is left to the list.
    """
    failed = [row for row in contrasts if row.get("decision") in FAILED]
    if failed:
        return f"No difference is claimed, since the {control_words(failed[0])}."
    rows = comparisons_asked(contrasts)
    if not rows:
        return "No comparison was pre-specified, so no difference is claimed."
    called = "primary comparisons" if rows[0].get("role") == PRIMARY else "comparisons"
    rows = [shorten_comparison(row, common_axes(rows)) for row in rows]
    kinds = decided_by_kind(rows)
    open_ = len(rows) - sum(map(len, kinds.values()))
    decided = [row for group in decided_by_kind(used(rows)).values() for row in group]
    if not decided:
        return _nothing_shown(used(rows), names)
    equal = decided[0]["decision"] == "equivalent"
    said = equivalences(decided, names) if equal else outcome(decided[0], names)
    if len(rows) <= (MAX_NAMED if rows[0].get("role") == PRIMARY else 1):
        return f"{said}."
    parts = [f"{len(group)} {name}" for name, group in {**kinds, "inconclusive": range(open_)}.items() if group]
    return f"{said}. Of {len(rows)} {called}: {join_words(parts)}."


def _nothing_shown(rows: Sequence[Row], names: Names) -> str:
    """Return what was compared without a result, or why there is no value."""
    if all(math.isnan(numeric(row, "value")) for row in rows):
        why = next((reason_words(row["reason"]) for row in rows if row.get("reason")), "no comparison has a value")
        return f"This run cannot answer: {why}."
    compared = list(dict.fromkeys(side_labels(row, names) for row in rows))
    levels, bases = dict.fromkeys(a for a, _ in compared), dict.fromkeys(b for _, b in compared)
    axis = in_words(text_of(rows[0], "axis"))
    named = join_words(list(levels)) if len(levels) <= MAX_NAMED else count(len(levels), axis)
    against_what = next(iter(bases)) if len(bases) == 1 else "one another"
    about = {subject(row, names) for row in rows}
    where = f" in {_inside(about.pop())}" if len(about) == 1 else ""
    differs, each = ("differs", "") if len(levels) == 1 else ("differ", " for each")
    return f"Whether {named} {differs} from {against_what}{where} is inconclusive{each}."


def model_headline(rows: Sequence[Row], measure: str, names: Names = UNNAMED) -> str:
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
        places_text = join_words([names.inside(name).strip() for name in unsure])
        everywhere = "in every test condition" if len(overall) > 1 else names.inside(overall[0]["environment"]).strip()
        sentences.append(f"not shown to be above chance {places_text}" if unsure else f"above chance {everywhere}")
        sentences = [f"This model's {label_of(measure)} is {sentences[0]}"]
    flips = [row for row in rows if row["measure"] == "flip-rate" and not (row["level"] or row["group"])]
    moved = {row["factor"]: numeric(row, "value") for row in flips if numeric(row, "low") > 0}
    most = sorted(moved, key=lambda name: -moved[name])[:3]
    if most:
        sentences.append(f"its predictions change with {join_words([display_name(name) for name in most])}")
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
    """A row's value with its interval; `undefined` where there is none. places: decimals of its column."""
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


def doubtful(row: Row) -> bool:
    """Return whether a value has a reason to doubt it, other than that nothing varied."""
    reason = reason_of(row)
    return bool(reason) and reason.codes != (Code.NO_VARIATION,)
