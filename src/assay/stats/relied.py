"""The sentence on what recipes relied on: all those of the slice that is compared, alike ones together."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from assay.stats.format import in_words, listed
from assay.stats.rows import (
    Light,
    Row,
    Sentence,
    along,
    along_amounts,
    ends,
    label,
    mapping,
    numeric,
    over_doses,
    text_of,
    value_of,
)
from assay.stats.slice import NAMED, Recipes, of_slice, opening, several, spread

RELIANCE = ("sobol-total", "flip-rate")
"""Measures that carry the words *relies on*, in the order in which an answer looks for them."""
MOST_CLAUSES = 3
"""Where recipes come out in more ways than this, those of which nothing can be told are told together."""
MOST_NAMED = 4
"""Of more factors that cannot be told apart, the first are named and the others counted."""
_CLEAR = ("most", "largest")
UNSURE = "not converged"
"""What a probe says in `reason` of a value that more samples might move."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What can be said of a recipe's reliance, and of which factors.

    kind: `most` and `unclear` by intervals that lie apart or not, `doubtful` where values have not converged, `largest`
    where there are values without intervals, which claim no order, and `undefined` without a value. without: factors
    that lack a value, beside which nothing is known to be the greatest; of: all factors that there are.
    """

    kind: Literal["most", "unclear", "doubtful", "largest", "undefined"]
    factors: tuple[str, ...]
    without: tuple[str, ...]
    of: tuple[str, ...]

    @property
    def among(self) -> str:
        """`of 7 of 8 factors, no value for size`; nothing where all have one."""
        if not self.without:
            return ""
        which = _named(self.without) if len(self.without) <= NAMED else f"{len(self.without)}"
        return f"of {len(self.of) - len(self.without)} of {len(self.of)} factors, no value for {which}"


def relied(estimates: Sequence[Row], main: Row | None, interventions: Collection[str] = ()) -> list[Sentence]:
    """Which factor each recipe relied on most, by the first measure of reliance that was taken of all of them.

    interventions: changes to pixels, which a design over a phantom's factors leaves out: where another measure was
    taken of one, the design ranks nothing, since what a study is about may be what it lacks.
    Single directions and pairs of levels (a `group`) are parts of the same effect and are not ranked beside it. Along
    doses, recipes are those of the greatest.
    """
    for position, name in enumerate(RELIANCE):
        rows = [row for row in estimates if text_of(row, "measure") == name and not text_of(row, "group")]
        lacking = set(interventions) - {text_of(row, "factor") for row in rows}
        elsewhere = (row for row in estimates if text_of(row, "measure") in RELIANCE[position + 1 :])
        if lacking & {text_of(row, "factor") for row in elsewhere}:
            continue
        main = _at_greatest_dose(main, rows)
        recipes = of_slice(rows, main)
        if any(_known(own) for own in recipes.values()):
            light: Light = "warn" if any(_doubtful(row) for own in recipes.values() for row in own) else "none"
            text = "; ".join(_clauses(recipes, main)) + "."
            said = opening(main, text)
            if said.startswith(("with ", "what ", label(rows[0]))):  # a recipe's name keeps its own letters
                said = said[:1].upper() + said[1:]
            return [Sentence("answer", said, light, "estimates")]
    return []


def _at_greatest_dose(main: Row | None, rows: Sequence[Row]) -> Row | None:
    """The contrast with its axes of doses and of amounts held at the last; one that runs along none, as it is."""
    if main is None or not over_doses(main) or not rows:
        return main
    axes = [axis for axis in (along_amounts(main, rows[0]), along(main, rows[0])) if axis]
    last = {axis: max((str(mapping(row.get("coordinates")).get(axis)) for row in rows), key=float) for axis in axes}
    return {**main, "where": {**mapping(main.get("where")), **last}}


def _clauses(recipes: Recipes, main: Row | None) -> list[str]:
    """One clause for the recipes of each outcome: the clear ones, then the rest, each in order of appearance.

    Where even the clear ones are many, the first of them.
    """
    alike: dict[Outcome, list[str]] = {}
    for recipe, rows in recipes.items():
        alike.setdefault(_outcome(rows), []).append(recipe)
    found = dict(sorted(alike.items(), key=lambda item: item[0].kind not in _CLEAR))
    rest: list[str] = []
    if len(found) > MOST_CLAUSES:
        open_ = [outcome for outcome in found if outcome.kind not in _CLEAR]
        rest = [name for outcome in open_ for name in found.pop(outcome)]
    told = [
        most(names[0], recipes[names[0]])
        if len(names) == 1
        else _together(outcome, {name: recipes[name] for name in names}, several(names, len(recipes), main))
        for outcome, names in found.items()
    ]
    if len(told) > 2 * MOST_CLAUSES - 1:
        return [*told[:MOST_CLAUSES], f"{len(told) - MOST_CLAUSES} more outcomes of other recipes stand below"]
    if rest:
        rows, who = next(iter(recipes.values())), several(rest, len(recipes), main)
        factors = {text_of(row, "factor") for own in recipes.values() for row in own}
        what = "what was relied on most" if len(factors) > 1 else f"how much {_named(factors)} was relied on"
        told.append(f"with {who}, {what} could not be told by the {label(rows[0])}")
    return told


def _known(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if not math.isnan(numeric(row, "value"))]


def _ranked(rows: Sequence[Row]) -> list[Row]:
    """The strongest row of each factor (of classes, if there are several), the strongest factor first."""
    strongest = {text_of(row, "factor"): row for row in sorted(_known(rows), key=lambda row: numeric(row, "value"))}
    return sorted(strongest.values(), key=lambda row: -numeric(row, "value"))


def _outcome(rows: Sequence[Row]) -> Outcome:
    """What the rows of one recipe say. Overlapping intervals claim no order."""
    ranked = _ranked(rows)
    of = tuple(dict.fromkeys(text_of(row, "factor") for row in rows))
    if not ranked:
        return Outcome("undefined", (), (), of)
    first, *others = ranked
    lacking = {text_of(row, "factor") for row in rows if math.isnan(numeric(row, "value"))} - {text_of(first, "factor")}
    without = tuple(factor for factor in of if factor in lacking)
    bare = all(math.isnan(ends(row)[0]) for row in ranked)
    near = [first, *(row for row in others if not (bare or ends(row)[1] < ends(first)[0]))]
    doubtful = tuple(text_of(row, "factor") for row in near if _doubtful(row))
    if doubtful:
        return Outcome("doubtful", doubtful, without, of)
    if bare:
        return Outcome("largest", (text_of(first, "factor"),), without, of)
    factors = [text_of(row, "factor") for row in near]
    if len(near) == 1:
        return Outcome("most", tuple(factors), without, of)
    return Outcome("unclear", tuple(sorted(factors)), without, of)


def most(recipe: str, rows: Sequence[Row]) -> str:
    """`arcface relied most on texture (total Sobol' index .68 [.61, .75])`.

    Overlapping intervals claim no order, nor do values without any: of these it is said which is the largest. None is
    claimed either where the largest value, or one whose interval reaches it, has not converged. Of a single factor
    there is no most: its value is told.
    """
    outcome = _outcome(rows)
    of = {text_of(row, "factor"): row for row in _ranked(rows)}
    called = label(rows[0])
    if len(outcome.of) == 1:
        return _alone(outcome, recipe, called, "".join(map(value_of, of.values())))
    if outcome.kind == "unclear":
        values = [f"{in_words(factor)} {value_of(row)}" for factor, row in of.items() if factor in outcome.factors]
        if len(values) > MOST_NAMED:
            values = [*values[: MOST_NAMED - 1], f"{len(values) - MOST_NAMED + 1} lower"]
        return f"what {recipe} relied on most could not be told ({called}: {listed(values)})"
    if outcome.kind == "doubtful":
        factors = _named(outcome.factors)
        return f"what {recipe} relied on most could not be told: {called} has not converged for {factors}"
    if outcome.kind == "undefined":
        return f"what {recipe} relied on most could not be told: {called} is undefined"
    (first,) = outcome.factors
    return _said(outcome, recipe, called, value_of(of[first]))


def _together(outcome: Outcome, recipes: Recipes, who: str) -> str:
    """The same of several recipes; of the clear ones, the ends of their values."""
    called, which = label(next(iter(recipes.values()))[0]), _named(outcome.factors)
    known = {name: ranked[0] for name, rows in recipes.items() if (ranked := _ranked(rows))}
    if len(outcome.of) == 1:
        return _alone(outcome, who, called, spread(known) if known else "")
    if outcome.kind == "doubtful":
        return f"with {who}, what was relied on most could not be told: {called} has not converged for {which}"
    if outcome.kind == "undefined":
        return f"with {who}, what was relied on most could not be told: {called} is undefined"
    if outcome.kind == "unclear":
        some = which if len(outcome.factors) <= MOST_NAMED else f"{len(outcome.factors)} inputs"
        return f"with {who}, which of {some} was relied on most could not be told"
    return _said(outcome, who, called, spread(known))


def _said(outcome: Outcome, who: str, called: str, value: str) -> str:
    """Of the factor whose value is the greatest: that it was relied on most, or without an interval only that."""
    first = _named(outcome.factors)
    if outcome.kind == "largest":
        among = f" ({outcome.among})" if outcome.among else ""
        return f"{called} was largest for {first} with {who}: {value}{among}"
    among = f"; {outcome.among}" if outcome.among else ""
    return f"{who} relied most on {first} ({called} {value}{among})"


def _alone(outcome: Outcome, who: str, called: str, value: str) -> str:
    """Of the only factor that there is: its value, or why it has none."""
    thing = f"{called} for {_named(outcome.of)}, the one factor measured,"
    if outcome.kind == "doubtful":
        return f"{thing} has not converged with {who}"
    if outcome.kind == "undefined":
        return f"{thing} is undefined with {who}"
    return f"{thing} was {value}" if value.endswith(")") else f"{thing} was {value} with {who}"  # a range says whose


def _named(factors: Iterable[str]) -> str:
    """`margin, position x and texture`."""
    return listed(list(map(in_words, factors)))


def _doubtful(row: Row) -> bool:
    return UNSURE in text_of(row, "reason")
