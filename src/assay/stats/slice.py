"""The recipes that an answer speaks of: every level of the compared axis where the leading contrast holds the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from assay.stats.format import common_decimals, in_words, listed
from assay.stats.rows import CONFOUNDER, Row, mapping, numeric, text_of, value_of

Recipes = Mapping[str, Sequence[Row]]

BUDGET = "epochs"
"""The axis along which recipes are trained for longer."""
NAMED = 6
"""More recipes than this are counted in a sentence instead of named."""


def of_slice(rows: Sequence[Row], main: Row | None) -> Recipes:
    """Name -> rows of each recipe that lies where the contrast holds the other axes; all recipes without a contrast.

    Named by the level of the compared axis where that tells the recipes apart, else by the recipe.
    """
    held: Mapping[str, Any] = mapping(main.get("where")) if main else {}
    found: dict[str, list[Row]] = {}
    levels: dict[str, str] = {}
    for row in rows:
        at = mapping(row.get("coordinates"))
        if all(str(at.get(axis)) == str(value) for axis, value in held.items()):
            recipe = text_of(row, "recipe")
            found.setdefault(recipe, []).append(row)
            levels[recipe] = named(text_of(main, "axis"), str(at.get(text_of(main, "axis")))) if main else recipe
    if len(set(levels.values())) < len(levels):
        return found
    return {levels[recipe]: own for recipe, own in found.items()}


def named(axis: str, level: str) -> str:
    """A level as a sentence names it: by itself where it is a loss, else after its axis: `association none`."""
    return level if axis == "loss" else f"{in_words(axis)} {level}"


def several(names: Sequence[str], of: int, main: Row | None) -> str:
    """`every loss`, `supcon and triplet`, `association none and tag`, `37 of 46 recipes`."""
    if len(names) == of > 2:
        return f"every {in_words(text_of(main, 'axis'))}" if main else f"all {of:,} recipes"
    if len(names) > NAMED:
        return f"{len(names):,} of {of:,} recipes"
    axis = named(text_of(main, "axis"), "") if main else ""
    return listed([*names[:1], *(name.removeprefix(axis) for name in names[1:])])


def spread(rows: Mapping[str, Row]) -> str:
    """The least and the greatest value with whose they are: `.50 [.42, .58] (supcon) to .53 [.44, .62] (triplet)`."""
    low = min(rows, key=lambda name: numeric(rows[name], "value"))
    high = max(rows, key=lambda name: numeric(rows[name], "value"))
    places = common_decimals((numeric(rows[name], "high") - numeric(rows[name], "low")) / 2 for name in (low, high))
    ends = [value_of(rows[name], places) for name in (low, high)]
    return ends[0] if low == high else f"{ends[0]} ({low}) to {ends[1]} ({high})"


def opening(main: Row | None, text: str) -> str:
    """The text with what is held before it: `At epochs 16, every loss relied ...`; `Trained with tag at p = 1, ...`."""
    held: Mapping[str, Any] = mapping(main.get("where")) if main else {}
    dose = (CONFOUNDER, "p") if "p" in held else ()
    others = [f"{in_words(axis)} {value}" for axis, value in held.items() if axis not in dose]
    told = [f"at {listed(others)}"] if others else []
    what = f" with {held[CONFOUNDER]}" if CONFOUNDER in held else ""
    told += [f"trained{what} at p = {held['p']}"] if dose else []
    before = ", ".join(told)
    return f"{before[0].upper()}{before[1:]}, {text}" if before else text
