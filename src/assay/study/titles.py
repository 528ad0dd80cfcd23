"""Title of a study: first the effect that all recipes share, then the decisions on what was asked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from assay.core.measures import better, label_of
from assay.report.context import PageContext, distinct_values
from assay.report.sentences.reasons import reason_words
from assay.report.words import (
    TRAINING,
    UNCHANGED,
    UNINFORMATIVE_BELOW,
    UNSHIFTED,
    bare_name,
    difference_words,
    relations,
    sentence_case,
    signed_text,
    value_text,
)
from assay.stats.bounds import MARGIN
from assay.stats.format import decimals, in_words, join_words, number, plural, unrounded, with_interval
from assay.stats.harms import Harm, Rank, rank_harms
from assay.stats.rows import RELIANCE, Row, numeric
from assay.stats.unpaired import ValueWithInterval, unpaired_difference

_SMALL_NUMBERS = ("", "", "both", "all three", "all four", "all five", "all six", "all seven", "all eight", "all nine")
_SEGMENTED = {
    "dice": "Dice {0}",
    "lesion-sensitivity": "{0}% of lesions found",
    "false-positive-rate": "{0}% of lesion-free images falsely marked",
}
"""Measure of a segmentation -> its part of a sentence."""


# The effect that all recipes share.


def performances(context: PageContext, measure: str) -> dict[str, list[tuple[int, Row]]]:
    """Return a measure of the compared recipes on all images: test condition -> rows with their positions."""
    by_recipe: dict[str, list[tuple[int, Row]]] = {}
    for at, row in enumerate(context.tables["estimates"]):
        whole_images = not any(row[name] for name in ("factor", "level", "layer", "group"))
        if row["measure"] == measure and row["environment"] and whole_images and context.scope.is_in_slice(row):
            by_recipe.setdefault(bare_name(row["environment"]), []).append((at, row))
    return by_recipe


def usual_condition(context: PageContext) -> str:
    """Return the test condition whose images are chosen as those of training; empty without one."""
    ties = relations(context.tables.get("environments", ()))
    names = distinct_values(bare_name(row["environment"]) for row in context.tables.get("environments", ()))
    alike = [
        name
        for name in names
        if name != TRAINING
        and (
            context.names.conditions.get(name) == UNSHIFTED
            or (ties and all(by_condition.get(name) == UNCHANGED for by_condition in ties.values()))
        )
    ]
    return next(iter(alike), "")


def shared_harms(context: PageContext) -> list[Harm]:
    """Return the test conditions in which every recipe loses more than the margin, the most harmful first.

    The loss is that of the recipe that loses least. Its interval is from the lower end of one interval to the upper
    end of the other, which is wider than that of the paired difference.
    """
    measure = context.scope.measure
    values, usual = performances(context, measure), usual_condition(context)
    if better(measure) != "higher" or usual not in values or context.scope.dose_axis:
        return []
    clean = {row["recipe"]: row for _, row in values[usual]}
    harms: list[Harm] = []
    for name, rows in values.items():
        losses = [
            (
                numeric(clean[row["recipe"]], "low") - numeric(row, "high"),
                numeric(clean[row["recipe"]], "value") - numeric(row, "value"),
                numeric(clean[row["recipe"]], "high") - numeric(row, "low"),
                at,
            )
            for at, row in rows
            if row["recipe"] in clean
        ]
        if name != usual and len(losses) == len(clean) and all(low > MARGIN for low, *_ in losses):
            low, loss, high, at = min(losses)
            rank = Rank.SHORTCUT if tied_factor(context, name) in relied_factors(context) else Rank.SHIFT
            harms.append(Harm(rank, "condition", name, "estimates", at, loss, low, high))
    return rank_harms(harms)


def transfer_words(context: PageContext, sets: Mapping[str, str]) -> str:
    """Return in which other sets networks do worse, or as well, or neither is shown, as a clause; empty without any.

    They do worse where every recipe loses, and as well where none loses more than the margin, by intervals of the
    differences: see `unpaired_difference`.

    Args:
        context: The tables of the study.
        sets: Test condition -> its set, of those of other sets.
    """
    measure, way = context.scope.measure, better(context.scope.measure)
    values, usual = performances(context, measure), usual_condition(context)
    if way not in ("higher", "lower") or usual not in values or usual in sets or context.scope.dose_axis:
        return ""
    clean = {row["recipe"]: row for _, row in values[usual]}
    parts: dict[str, list[str]] = {}
    for name, set_name in sets.items():
        losses = [
            set_change(clean[row["recipe"]], row, -1 if way == "higher" else 1)
            for _, row in values.get(bare_name(name), ())
            if row["recipe"] in clean
        ]
        if losses:
            parts.setdefault(_transfer_kind(losses), []).append(set_name)
    texts = {
        "worse": "networks did worse in {0}",
        "lower": f"networks did worse in {{0}}, perhaps by less than {number(MARGIN)}",
        "alike": f"networks did as well in {{0}}, within {number(MARGIN)}",
        "open": "whether networks do as well in {0} cannot be said",
    }
    clauses = [text.format(join_words(distinct_values(parts[kind]))) for kind, text in texts.items() if kind in parts]
    return sentence_case("; ".join(clauses))


def _transfer_kind(losses: Sequence[ValueWithInterval]) -> str:
    if all(low > MARGIN for _, low, _ in losses):
        return "worse"
    if all(high < MARGIN for *_, high in losses):
        return "alike"
    return "lower" if all(low > 0 for _, low, _ in losses) else "open"


def set_change(clean: Row, row: Row, sign: int = 1) -> ValueWithInterval:
    """Return how much a value changes in another set, with its interval; NaN ends without intervals.

    Args:
        clean: The value in the set of training.
        row: That in the other, of other patients.
        sign: -1 for how much it falls.
    """
    value, low, high = unpaired_difference(_with_ends(row), _with_ends(clean))
    return (value, low, high) if sign > 0 else (-value, -high, -low)


def _with_ends(row: Row) -> ValueWithInterval:
    return numeric(row, "value"), numeric(row, "low"), numeric(row, "high")


def performance_words(context: PageContext) -> str:
    """Return the performance of the only recipe on images as those of training, as a sentence; empty of several."""
    place, measure = usual_condition(context), context.scope.measure
    rows = [row for _, row in performances(context, measure).get(place, ())]
    if len(rows) != 1 or math.isnan(numeric(rows[0], "value")):
        return ""
    return f"{sentence_case(label_of(measure))} was {value_text(rows[0], 2)}{context.names.in_condition(place)}."


def change_words(context: PageContext) -> str:
    """Return whether the only recipe does worse where a column does not predict the target; empty of several recipes.

    A column that hardly predicts the target in training cannot have become a shortcut, which is said.
    """
    rows = context.tables.get("condition_changes", ())
    if len({row["recipe"] for row in rows}) != 1:
        return ""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(_change_kind(row), []).append(row)
    texts = {
        "worse": "{0}: networks use {3} as a shortcut, or something associated with it.",
        "better": "{0}: a shortcut by {1} would lower it.",
        "unchanged": "No shortcut by {1} was found: {0}, less than {2} either way.",
        "open": "Evidence on a shortcut by {1} is insufficient: {0}, and {2} would matter.",
    }
    sentences = [_words_of_changes(context, groups[kind], text) for kind, text in texts.items() if kind in groups]
    weak = {
        row["factor"]: value
        for row in groups.get("unchanged", ())
        if abs(value := _strength_in_training(context, row["factor"])) < UNINFORMATIVE_BELOW
    }
    if weak:
        listed = join_words([f"{number(value)} for {in_words(name)}" for name, value in weak.items()])
        sentences.append(
            f"In training the association with the target was weak (Somers' D {listed}), so such a shortcut could "
            "hardly form."
        )
    return " ".join(sentences)


def _change_kind(row: Row) -> str:
    low, high, margin = (numeric(row, name) for name in ("low", "high", "margin"))
    if high < -margin or low > margin:
        return "worse" if high < 0 else "better"
    return "unchanged" if low > -margin and high < margin else "open"


def _words_of_changes(context: PageContext, rows: Sequence[Row], text: str) -> str:
    """Fill a text with the changes, the factors joined by *or*, the margin, and the factors joined by *and*."""
    rose = _change_kind(rows[0]) == "better"
    sizes = [
        with_interval(numeric(row, "value"), numeric(row, "low"), numeric(row, "high"))
        if rose
        else signed_interval(row)
        for row in rows
    ]
    shared = len({row["reason"] for row in rows}) == 1
    changes = join_words(
        [
            f"{size}{context.names.in_condition(row['environment'])}{'' if shared else _why_open(row)}"
            for size, row in zip(sizes, rows, strict=True)
        ]
    ) + (_why_open(rows[0]) if shared else "")
    measure = sentence_case(label_of(rows[0]["measure"])) if text.startswith("{0}") else label_of(rows[0]["measure"])
    factors, margin = [in_words(row["factor"]) for row in rows], unrounded(numeric(rows[0], "margin"))
    change = f"{measure} {'rose' if rose else 'changed'} by {changes}"
    return text.format(change, " or ".join(factors), margin, join_words(factors))


def _why_open(row: Row) -> str:
    """Return why there is no interval, in brackets."""
    return f" ({reason_words(row['reason'])})" if row["reason"] else ""


def signed_interval(row: Row) -> str:
    """Return a change with its interval, if it has one: `-0.003 [-0.008, 0.002]`."""
    value, low, high = (numeric(row, name) for name in ("value", "low", "high"))
    return signed_text(value, decimals(math.nan)) if math.isnan(low) else difference_words(value, low, high)


def _strength_in_training(context: PageContext, factor: str) -> float:
    rows = (row for row in context.tables.get("environments", ()) if row["factor"] == factor)
    return next((numeric(row, "strength") for row in rows if bare_name(row["environment"]) == TRAINING), math.nan)


def chance_words(context: PageContext) -> str:
    """Return that no recipe is shown to be better than chance on images as those of training; empty otherwise.

    Each is within the margin of chance, and its interval, if it has one, reaches chance. A wide interval around a
    larger value is no such result.
    """
    place, measure = usual_condition(context), context.scope.measure
    rows = [row for _, row in performances(context, measure).get(place, ())]
    if not rows or better(measure) != "higher" or not all(map(_not_above_chance, rows)):
        return ""
    reached = value_text(rows[0], 2) if len(rows) == 1 else _span_words([numeric(row, "value") for row in rows])
    what = f"{label_of(measure)} was {reached}{context.names.in_condition(place)}"
    return f"Networks were not shown to predict the target better than chance: {what}."


def _not_above_chance(row: Row) -> bool:
    low, value, chance = (numeric(row, name) for name in ("low", "value", "chance"))
    return value - chance < MARGIN and (math.isnan(low) or low <= chance)


def tied_factor(context: PageContext, condition: str) -> str:
    """Return the factor whose tie to the target differs in a test condition; empty without one."""
    ties = relations(context.tables.get("environments", ()))
    changed = (factor for factor, tie in ties.items() if tie.get(condition, UNCHANGED) != UNCHANGED)
    return next(changed, "")


def relied_factors(context: PageContext) -> set[str]:
    """Return the factors that all compared recipes rely on by the lower bound of a measure of reliance."""
    rows = [
        row
        for row in context.tables["estimates"]
        if row["measure"] in RELIANCE and not (row["level"] or row["group"]) and context.scope.is_in_slice(row)
    ]
    relying: dict[str, set[str]] = {}
    for row in rows:
        if numeric(row, "low") > MARGIN:
            relying.setdefault(row["factor"], set()).add(row["recipe"])
    everyone = {row["recipe"] for _, row in performances(context, context.scope.measure)[usual_condition(context)]}
    return {name for name, recipes in relying.items() if recipes >= everyone}


def shared_words(context: PageContext, harms: Sequence[Harm]) -> str:
    """Return the effect that all recipes share as a sentence; empty without one."""
    if not harms:
        return ""
    condition, measure = harms[0].code, context.scope.measure
    values = performances(context, measure)
    clean, changed = (
        [numeric(row, "value") for _, row in values[name]] for name in (usual_condition(context), condition)
    )
    fell = f"{label_of(measure)} fell from {_span_words(clean)} to {_span_words(changed)} {_when(context, condition)}"
    who, factor = _everyone(context), in_words(tied_factor(context, condition))
    if harms[0].rank == Rank.SHORTCUT:
        fell = f"networks rely on {factor}: {fell}"
    return f"{sentence_case(f'{who} {fell}'.strip())}."


def _everyone(context: PageContext) -> str:
    """Return `with all three losses`; empty for one recipe."""
    levels, axis = context.scope.levels, in_words(context.scope.axis)
    if len(levels) < 2 or not axis:
        return ""
    many = _SMALL_NUMBERS[len(levels)] if len(levels) < len(_SMALL_NUMBERS) else f"all {len(levels)}"
    return f"with {many} {plural(axis)}"


def _when(context: PageContext, condition: str) -> str:
    factor = tied_factor(context, condition)
    relation = relations(context.tables.get("environments", ())).get(factor, {}).get(condition, "")
    if context.names.condition(condition) == f"{in_words(factor)} {relation}":
        return f"when {in_words(factor)} was {relation}"
    return context.names.in_condition(condition).strip()


def _span_words(values: Sequence[float]) -> str:
    ends = list(dict.fromkeys(number(value) for value in (min(values), max(values))))
    return ends[0] if len(ends) == 1 else f"between {ends[0]} and {ends[1]}"


# Segmentations.


def segmented_words(context: PageContext) -> str:
    """Return Dice, lesions found and lesion-free images falsely marked by set of images; empty of classifications.

    Of each measure and set, the first test condition that has a value counts, with the range over recipes.
    """
    sets = {row["environment"]: row.get("set", "") for row in context.tables.get("environments", ())}
    texts: dict[str, list[str]] = {}
    for measure, words in _SEGMENTED.items():
        first: dict[str, list[float]] = {}
        for name, rows in performances(context, measure).items():
            values = [value for _, row in rows if not math.isnan(value := numeric(row, "value"))]
            if values:
                first.setdefault(sets.get(name, ""), values)
        for name, values in first.items():
            texts_of_values = [number(value) if measure == "dice" else f"{100 * value:.0f}" for value in values]
            ends = list(dict.fromkeys((min(texts_of_values, key=float), max(texts_of_values, key=float))))
            texts.setdefault(name, []).append(words.format(" to ".join(ends)))
    if not any(text.startswith("Dice") for parts in texts.values() for text in parts):
        return ""
    held_out = "held-out images of the training set" if any(texts) else ""
    order = sorted(texts, key=lambda name: not name)  # another set first
    return f"{'; '.join(f'{join_words(texts[name])}{_in_set(name or held_out)}' for name in order)}."


def _in_set(name: str) -> str:
    return f" in {name}" if name else ""
