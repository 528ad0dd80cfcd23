"""English of reliance."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from assay.report.sentences.names import NAMED, measure_words, named, opening, sentence_case, several, shown, spread
from assay.stats.findings import Finding, Reliance, Relied, Value
from assay.stats.format import in_words, listed

MOST_CLAUSES = 3
"""Where recipes come out in more ways than this, those that show nothing share a clause."""
MOST_NAMED = 4
"""Of more factors that cannot be ordered, the first are named and the others counted."""
_CLEAR = ("most", "largest")


def reliance(one: Finding, found: Reliance) -> str:
    """Return which factor each recipe relied on most, equal ones together."""
    groups = _groups(found)
    text = opening(found.held, "; ".join(_clauses(found, groups, measure_words(one.measure))) + ".")
    first = groups[0]
    counted = len(first) == len(found.recipes) > 2 or len(first) > NAMED
    recipe_first = first[0].kind == "most" and len(first[0].of) > 1 and not (counted or found.held.levels)
    return text if recipe_first else sentence_case(text)  # a recipe's name keeps its own letters


def _groups(found: Reliance) -> list[list[Relied]]:
    """Recipes with the same outcome: the clear ones, then the rest, each in order of appearance."""
    alike: dict[tuple[object, ...], list[Relied]] = {}
    for own in found.recipes:
        alike.setdefault((own.kind, own.factors, own.without, own.of), []).append(own)
    return sorted(alike.values(), key=lambda group: group[0].kind not in _CLEAR)


def _clauses(found: Reliance, groups: list[list[Relied]], called: str) -> list[str]:
    """One clause for the recipes of each outcome.

    Where even the clear ones are many, the first of them.
    """
    axis, of = found.held.axis, len(found.recipes)
    rest: list[Relied] = []
    if len(groups) > MOST_CLAUSES:
        rest = [own for group in groups if group[0].kind not in _CLEAR for own in group]
        groups = [group for group in groups if group[0].kind in _CLEAR]
    told = [
        _single(group[0], called, named(axis, group[0].recipe))
        if len(group) == 1
        else _together(group, called, several([own.recipe for own in group], of, axis), axis)
        for group in groups
    ]
    if len(told) > 2 * MOST_CLAUSES - 1:
        return [*told[:MOST_CLAUSES], f"{len(told) - MOST_CLAUSES} more outcomes in the tables below"]
    if rest:
        who = several([own.recipe for own in rest], of, axis)
        factors = {factor for own in found.recipes for factor in own.of}
        what = "what was relied on most" if len(factors) > 1 else f"how much {_listed(factors)} was relied on"
        told.append(f"with {who}, {what} is inconclusive by {called}")
    return told


def _single(own: Relied, called: str, recipe: str) -> str:
    """`arcface relied most on texture (total Sobol' index 0.68 [0.61, 0.75])`.

    Values without intervals claim no order: the largest is named. Nothing is claimed where the largest value, or one
    that is not shown to be below it, has not converged. Of a single factor there is no most, only its value.
    """
    if len(own.of) == 1:
        return _alone(own, recipe, called, "".join(map(shown, own.values)))
    if own.kind == "unclear":
        values = [f"{in_words(value.name)} {shown(value)}" for value in own.values if value.name in own.factors]
        if len(values) > MOST_NAMED:
            values = [*values[: MOST_NAMED - 1], f"{len(values) - MOST_NAMED + 1} lower"]
        return f"what {recipe} relied on most is inconclusive ({called}: {listed(values)})"
    if own.kind == "doubtful":
        return f"what {recipe} relied on most is inconclusive: {called} has not converged for {_listed(own.factors)}"
    if own.kind == "undefined":
        return f"what {recipe} relied on most is inconclusive: {called} is undefined"
    return _said(own, recipe, called, shown(own.values[0]))


def _together(group: Sequence[Relied], called: str, who: str, axis: str) -> str:
    """The same of several recipes; of the clear ones, the ends of their values."""
    own, which = group[0], _listed(group[0].factors)
    known = [Value(one.recipe, *_numbers(one)) for one in group if one.values]
    if len(own.of) == 1:
        whose = bool(known) and min(known, key=_value).name != max(known, key=_value).name
        return _alone(own, who, called, spread(known, axis) if known else "", names_them=whose)
    if own.kind == "doubtful":
        return f"with {who}, what was relied on most is inconclusive: {called} has not converged for {which}"
    if own.kind == "undefined":
        return f"with {who}, what was relied on most is inconclusive: {called} is undefined"
    if own.kind == "unclear":
        some = which if len(own.factors) <= MOST_NAMED else f"{len(own.factors)} inputs"
        return f"with {who}, which of {some} was relied on most is inconclusive"
    return _said(own, who, called, spread(known, axis))


def _value(one: Value) -> float:
    return one.value


def _numbers(own: Relied) -> tuple[float, float, float, str]:
    first = own.values[0]
    return first.value, first.low, first.high, first.unit


def _said(own: Relied, who: str, called: str, value: str) -> str:
    """The factor whose value is the greatest: that it was relied on most, or without an interval only that."""
    first = _listed(own.factors)
    among = _among(own)
    if own.kind == "largest":
        return f"{called} was largest for {first} with {who}: {value}" + (f" ({among})" if among else "")
    return f"{who} relied most on {first} ({called} {value}" + (f"; {among})" if among else ")")


def _among(own: Relied) -> str:
    """`of 7 of 8 factors, no value for size`; nothing where all have one."""
    if not own.without:
        return ""
    which = _listed(own.without) if len(own.without) <= NAMED else f"{len(own.without)}"
    return f"of {len(own.of) - len(own.without)} of {len(own.of)} factors, no value for {which}"


def _alone(own: Relied, who: str, called: str, value: str, *, names_them: bool = False) -> str:
    """The only factor that there is: its value, or why it has none. names_them: the value says whose it is."""
    thing = f"{called} for {_listed(own.of)}, the one factor measured,"
    if own.kind == "doubtful":
        return f"{thing} has not converged with {who}"
    if own.kind == "undefined":
        return f"{thing} is undefined with {who}"
    return f"{thing} was {value}" if names_them else f"{thing} was {value} with {who}"


def _listed(factors: Iterable[str]) -> str:
    """`margin, position x and texture`."""
    return listed(list(map(in_words, factors)))
