"""The sentence on what recipes relied on: all those of the slice that is compared, alike ones together."""

from __future__ import annotations

import math
from collections.abc import Sequence

from assay.stats.format import listed
from assay.stats.rows import Light, Row, Sentence, label, numeric, text_of, value_of
from assay.stats.slice import Recipes, of_slice, opening, several, spread

RELIANCE = ("sobol-total", "flip-rate")
"""Measures that carry the words *relies on*, in the order in which an answer looks for them."""
UNSURE = "not converged"
"""What a probe says in `reason` of a value that more samples might move."""

Outcome = tuple[str, tuple[str, ...]]


def relied(estimates: Sequence[Row], main: Row | None) -> list[Sentence]:
    """Which factor each recipe relied on most, by the first measure of reliance that was taken.

    Single directions and pairs of levels (a `group`) are parts of the same effect and are not ranked beside it.
    """
    for name in RELIANCE:
        rows = [row for row in estimates if text_of(row, "measure") == name and not text_of(row, "group")]
        recipes = of_slice([row for row in rows if not math.isnan(numeric(row, "value"))], main)
        if recipes:
            light: Light = "warn" if any(_doubtful(row) for own in recipes.values() for row in own) else "none"
            text = "; ".join(_clauses(recipes, main)) + "."
            return [Sentence("answer", opening(main, text), light, "estimates")]
    return []


def _clauses(recipes: Recipes, main: Row | None) -> list[str]:
    """One clause for the recipes of each outcome, in order of appearance."""
    found: dict[Outcome, list[str]] = {}
    for recipe, rows in recipes.items():
        found.setdefault(_outcome(rows), []).append(recipe)
    return [
        most(names[0], recipes[names[0]])
        if len(names) == 1
        else _together(outcome, {name: recipes[name] for name in names}, several(names, len(recipes), main))
        for outcome, names in found.items()
    ]


def _ranked(rows: Sequence[Row]) -> list[Row]:
    """The strongest row of each factor (of classes, if there are several), the strongest factor first."""
    strongest = {text_of(row, "factor"): row for row in sorted(rows, key=lambda row: numeric(row, "value"))}
    return sorted(strongest.values(), key=lambda row: -numeric(row, "value"))


def _outcome(rows: Sequence[Row]) -> Outcome:
    """(`most` | `unclear` | `doubtful`, the factors concerned). Overlapping intervals claim no order."""
    first, *others = _ranked(rows)
    near = [first, *(row for row in others if not numeric(row, "high") < numeric(first, "low"))]
    doubtful = tuple(text_of(row, "factor") for row in near if _doubtful(row))
    if doubtful:
        return "doubtful", doubtful
    factors = [text_of(row, "factor") for row in near]
    return ("most", tuple(factors)) if len(near) == 1 else ("unclear", tuple(sorted(factors)))


def most(recipe: str, rows: Sequence[Row]) -> str:
    """`arcface relied most on texture (total Sobol' index .68 [.61, .75])`.

    Overlapping intervals claim no order. Neither is one claimed where the largest value, or one whose interval reaches
    it, has not converged.
    """
    kind, factors = _outcome(rows)
    of = {text_of(row, "factor"): row for row in _ranked(rows)}
    called = label(rows[0])
    if kind == "doubtful":
        return f"what {recipe} relied on most could not be told: {called} has not converged for {listed(list(factors))}"
    if kind == "most":
        return f"{recipe} relied most on {factors[0]} ({called} {value_of(of[factors[0]])})"
    values = [f"{factor} {value_of(row)}" for factor, row in of.items() if factor in factors]
    return f"which of these {recipe} relied on most could not be told ({called}: {listed(values)})"


def _together(outcome: Outcome, recipes: Recipes, who: str) -> str:
    """The same of several recipes; of the clear ones, the ends of their values."""
    kind, factors = outcome
    called, which = label(next(iter(recipes.values()))[0]), listed(list(factors))
    if kind == "doubtful":
        return f"with {who}, what was relied on most could not be told: {called} has not converged for {which}"
    if kind == "unclear":
        return f"with {who}, which of {which} was relied on most could not be told"
    top = {name: _ranked(rows)[0] for name, rows in recipes.items()}
    return f"{who} relied most on {which} ({called} {spread(top)})"


def _doubtful(row: Row) -> bool:
    return UNSURE in text_of(row, "reason")
