"""English of performance: falls, environments at chance, worst groups, false positives."""

from __future__ import annotations

import math
from collections.abc import Sequence

from assay.report.sentences.names import (
    chance_words,
    measure_words,
    named,
    opening,
    sentence_case,
    several,
    spread,
)
from assay.report.sentences.reasons import place_words
from assay.stats.findings import AtChance, Fall, FalsePositives, Finding, OneMeasure, WorstGroup
from assay.stats.format import in_words, listed, number, with_interval
from assay.stats.rows import CHANCE


def fall(one: Finding, found: Fall) -> str:
    """Return the largest fall: `AUROC was ... in same; in reversed it was ...: the largest of 9 falls, ...`."""
    called, axis = measure_words(one.measure), found.held.axis
    before, after = spread(found.before, axis), spread(found.after, axis)
    if not found.dose and found.size <= 0:
        none = f"the median {worse(found)} over recipes was above 0 in none of {found.falls}{_apart(found.apart)}"
        return opening(found.held, f"{called} was {before} in {found.first}; {none}.")
    ending = f"{after}{chance_words(found.chance)}{_widest(found)}."
    if not found.dose:
        return opening(found.held, f"{called} was {before} in {found.first}; in {one.environment} it was {ending}")
    held = [f"{in_words(name)} {value}" for name, value in found.held.levels]
    place = f"In {one.environment} ({listed(held)})" if held else f"In {one.environment}"
    return f"{place}, {called} was {before} at p = 0; at p = {found.dose} it was {ending}"


def _widest(found: Fall) -> str:
    """How many falls this is the largest of, and whose intervals overlap."""
    many = f"the largest of {found.falls} {worse(found)}s, each a median over recipes{_apart(found.apart)}"
    chosen = f": {many}" if widest(found) else ""
    who = several(found.overlapping, len(found.after), found.held.axis)
    return chosen + (f"; the intervals before and after overlap with {who}" if found.overlapping else "")


def widest(found: Fall) -> bool:
    """Return whether a fall was chosen from several for its size."""
    return found.falls > 1 and found.size > 0


def worse(found: Fall) -> str:
    """Return the verb for becoming worse."""
    return "rise" if found.lower else "fall"


def _apart(names: Sequence[str]) -> str:
    return f", {listed(list(names))} apart" if names else ""


def at_chance(found: AtChance) -> str:
    """Return `In other-origin, every recipe's interval includes chance (0.50): 0.48 [0.42, 0.54] (...) to ...`."""
    level = "" if math.isnan(found.chance) else f" ({number(found.chance)})"
    where = listed(list(found.environments))
    return f"In {where}, every recipe's interval includes chance{level}: {spread(found.values)}."


def worst_group(one: Finding, found: WorstGroup) -> str:
    """Return the worst group that falls to chance though its recipe is good over all images."""
    more = f"; the same holds for {found.others} more of {found.of} recipes and environments" if found.others else ""
    place = f" ({where})" if (where := place_words(one.reason)) else ""
    overall = found.overall
    return (
        f"The worst group of {one.recipe} in {one.environment}{place} fell {'below' if found.below else 'to'} chance "
        f"({number(CHANCE)}): {measure_words(one.measure)} {with_interval(one.value, one.low, one.high)} there, "
        f"{with_interval(overall.value, overall.low, overall.high)} over all images{more}."
    )


def false_positives(found: FalsePositives) -> str:
    """Return false positives in lesion-free images, and overlap and sensitivity in images with lesions."""
    axis = found.held.axis
    reached = (
        f", where the same thresholds, which validation lesions set, found {spread(found.found, axis)} of the lesions"
        if found.found
        else ""
    )
    parts = [_one(found.false_positives, axis), _one(found.overlap, axis) + reached]
    text = "; ".join(part for part in parts if part)
    return sentence_case(opening(found.held, f"{'the ' if text[0].islower() else ''}{text}."))


def _one(found: OneMeasure, axis: str) -> str:
    if not found.values:
        return ""
    lost = listed([named(axis, name) for name in found.undefined])
    beside = f", and undefined with {lost}" if lost else ""
    return f"{measure_words(found.measure)} was {spread(found.values, axis)} in {found.environment}{beside}"
