"""Sentences on what a study found. Typed findings will replace them."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Literal

from assay.core.measures import QUIET, better, range_of
from assay.stats.compare import ALPHA, NONINFERIORITY_ALPHA
from assay.stats.doubts import Split, doubts
from assay.stats.estimate import NO_VARIATION
from assay.stats.exhausted import EXHAUSTED
from assay.stats.format import common_decimals, count, decimals, in_words, listed, number, p_value
from assay.stats.groups import at_chance_in_worst_group
from assay.stats.measures import COMPUTED
from assay.stats.rows import (
    CONFOUNDER,
    MATCHED,
    OF_THE_MODEL,
    RELIANCE,
    SHOWN,
    Light,
    Row,
    Sentence,
    along,
    along_amounts,
    ends,
    equivalence_interval,
    find,
    first_sign,
    label,
    mapping,
    numeric,
    over_doses,
    place,
    seeds_of,
    text_of,
    under_seeds,
    value_of,
    where,
    without_seeds,
)

# The recipes that an answer speaks of: every level of the compared axis where the leading contrast holds the rest.

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


# The sentences on what a shift cost: values of the measure before and after, claiming nothing of differences.
#
# The answer leads with the widest fall there is. Over every training (a place on the axes that are not compared, at the
# budget of the leading contrast, else the largest) and every test environment, a fall is the median over recipes of how
# much worse the measure is than in the first environment; along doses, than at p = 0 in the same environment. What
# every recipe met at chance, whatever it was trained on, tells trainings apart no more: unless a comparison was stated
# of it, such an environment does not compete and has a sentence of its own.

Training = Mapping[str, str]


@dataclass(frozen=True)
class Fall:
    """The rows of recipes (by name, the same in both) before a shift and after it. where: the axes held."""

    where: Training
    environment: str
    before: Mapping[str, Row]
    after: Mapping[str, Row]

    @property
    def size(self) -> float:
        """The median over recipes of how much worse the measure became, in its unit; negative where it got better."""
        return median(_better(self.before[name]) - _better(self.after[name]) for name in self.after)

    @property
    def overlapping(self) -> list[str]:
        """Recipes whose intervals before and after do not lie apart; none where intervals lack."""
        return [name for name in self.after if _overlap(self.before[name], self.after[name])]


def cost(estimates: Sequence[Row], main: Row | None, compared: Collection[str] = ()) -> list[Sentence]:
    """`At association view=0.8, AUROC was .92 [.88, .95] (triplet) to .93 [.89, .95] (cross-entropy) in same; in
    reversed it was .51 [.37, .64] (supcon) to .55 [.47, .64] (cross-entropy): the widest of 9 falls, each a median over
    recipes.`

    main: the leading contrast of those of all images, whose measure and axis are told of; nothing is without one.
    compared: the environments that comparisons were stated of.
    """
    if main is None:
        return []
    rows = [row for row in estimates if _fits(row, text_of(main, "measure"))]
    names = list(dict.fromkeys(text_of(row, "environment") for row in rows))
    apart = [name for name in names if _at_chance(rows, name)]
    dosed = over_doses(main)
    falls = _over_doses(rows, names, main) if dosed else _between_environments(rows, names, main)
    told = [fall for fall in falls if fall.environment not in apart or fall.environment in compared] or falls
    if not told:
        return _chances(rows, apart)
    widest = max(told, key=lambda fall: fall.size)
    left = [name for name in apart if name in {fall.environment for fall in falls if fall not in told}]
    text = (_dosed if dosed else _fall_sentence)(widest, len(told), left, main, names[0])
    rest = [name for name in apart if name != widest.environment or widest.size <= 0]
    return [Sentence("answer", text, evidence="performance"), *_chances(rows, rest)]


# --- the falls that there are ---------------------------------------------------------------------------------------


def _between_environments(rows: Sequence[Row], names: Sequence[str], main: Row) -> list[Fall]:
    """From the first environment to every other one, for every training."""
    found: list[Fall] = []
    for training, own in _trainings(rows, main, (BUDGET,)):
        before = _values(own, names[0], main)
        found += [_fall(training, name, before, _values(own, name, main)) for name in names[1:]]
    return [fall for fall in found if fall.after]


def _over_doses(rows: Sequence[Row], names: Sequence[str], main: Row) -> list[Fall]:
    """From p = 0 to the greatest dose, in every environment, for every training."""
    axis = along(main, rows[0]) if rows else ""
    found: list[Fall] = []
    for training, own in _trainings(rows, main, (BUDGET, axis)):
        doses = sorted({dose for row in own if (dose := _at(row).get(axis))}, key=float)
        if len(doses) < 2 or float(doses[0]):
            continue
        before, after = ([row for row in own if _at(row).get(axis) == dose] for dose in (doses[0], doses[-1]))
        held = {**training, axis: doses[-1]}
        found += [_fall(held, name, _values(before, name, main), _values(after, name, main)) for name in names]
    return [fall for fall in found if fall.after]


def _trainings(rows: Sequence[Row], main: Row, free: Collection[str]) -> list[tuple[Training, list[Row]]]:
    """What is held on the axes that are neither compared nor free -> its rows; of budgets the one that is told of."""
    axis = text_of(main, "axis")
    budget = _budget(rows, main)
    found: dict[tuple[tuple[str, str], ...], list[Row]] = {}
    for row in rows:
        at = _at(row)
        if axis != BUDGET and at.get(BUDGET, budget) != budget:
            continue
        held = tuple((name, value) for name, value in at.items() if name != axis and name not in free)
        found.setdefault(held, []).append(row)
    first = {BUDGET: budget} if budget and axis != BUDGET else {}
    return [({**first, **dict(held)}, own) for held, own in found.items()]


def _budget(rows: Sequence[Row], main: Row) -> str:
    """The budget that the contrast holds, else the largest; empty where there is no axis of budgets."""
    budgets = {budget for row in rows if (budget := _at(row).get(BUDGET))}
    return str(mapping(main.get("where")).get(BUDGET) or max(budgets, key=float, default=""))


def _fall(where: Training, environment: str, before: Mapping[str, Row], after: Mapping[str, Row]) -> Fall:
    both = [name for name in before if name in after]
    return Fall(where, environment, {name: before[name] for name in both}, {name: after[name] for name in both})


def _values(rows: Sequence[Row], environment: str, main: Row) -> dict[str, Row]:
    """Recipe, by its level of the compared axis -> its row, of one training in one environment."""
    there = [row for row in rows if text_of(row, "environment") == environment]
    return {name: own[0] for name, own in of_slice(there, {**main, "where": {}}).items()}


def _fits(row: Row, measure: str) -> bool:
    """Whether an estimate is of all images of an environment."""
    parts = any(text_of(row, key) for key in ("factor", "level", "layer"))
    known = not math.isnan(numeric(row, "value"))
    whole = text_of(row, "group") in OF_THE_MODEL and bool(text_of(row, "environment"))
    return text_of(row, "measure") == measure and known and whole and not parts


def _at(row: Row) -> Mapping[str, str]:
    return {axis: str(value) for axis, value in mapping(row.get("coordinates")).items()}


def _better(row: Row) -> float:
    """The value, signed so that more is better."""
    return -numeric(row, "value") if row.get("direction") == "lower" else numeric(row, "value")


def _overlap(a: Row, b: Row) -> bool:
    return numeric(a, "low") <= numeric(b, "high") and numeric(b, "low") <= numeric(a, "high")


def _at_chance(rows: Sequence[Row], environment: str) -> bool:
    """Whether the interval of every recipe there holds chance."""
    there = [row for row in rows if text_of(row, "environment") == environment]
    return all(numeric(row, "low") <= numeric(row, "chance") <= numeric(row, "high") for row in there)


# --- their words ----------------------------------------------------------------------------------------------------


def _fall_sentence(fall: Fall, of: int, apart: Sequence[str], main: Row, first: str) -> str:
    called = label({"measure": main["measure"]})
    held = {**main, "where": fall.where}
    if fall.size <= 0:
        none = f"the median {_worse(fall)} over recipes was above 0 in none of {of}{_apart(apart)}"
        return opening(held, f"{called} was {spread(fall.before)} in {first}; {none}.")
    text = f"{called} was {spread(fall.before)} in {first}; in {fall.environment} it was {spread(fall.after)}"
    return opening(held, f"{text}{_chance(fall.after.values())}{_widest(fall, of, apart, main)}.")


def _dosed(fall: Fall, of: int, apart: Sequence[str], main: Row, _: str) -> str:
    called = label({"measure": main["measure"]})
    (*held, (_, dose)) = fall.where.items()
    place = f"In {fall.environment} ({listed([f'{in_words(name)} {value}' for name, value in held])})"
    text = (
        f"{place if held else f'In {fall.environment}'}, {called} was {spread(fall.before)} at p = 0; at p = {dose} it"
    )
    return f"{text} was {spread(fall.after)}{_chance(fall.after.values())}{_widest(fall, of, apart, main)}."


def _widest(fall: Fall, of: int, apart: Sequence[str], main: Row) -> str:
    """How many falls this is the widest of, and whose intervals do not bear it out."""
    many = f"the widest of {of} {_worse(fall)}s, each a median over recipes{_apart(apart)}"
    chosen = f": {many}" if of > 1 and fall.size > 0 else ""
    unclear = fall.overlapping
    who = several(unclear, len(fall.after), main)
    return chosen + (f"; the intervals before and after overlap with {who}" if unclear else "")


def _apart(names: Sequence[str]) -> str:
    return f", {listed(list(names))} apart" if names else ""


def _worse(fall: Fall) -> str:
    """What becoming worse is called."""
    return "rise" if any(row.get("direction") == "lower" for row in fall.after.values()) else "fall"


def _chances(rows: Sequence[Row], names: Sequence[str]) -> list[Sentence]:
    """`In other-origin every recipe's interval held chance (.50): .48 [.42, .54] (...) to .52 [.46, .57] (...).`"""
    if not names:
        return []
    own = [row for row in rows if text_of(row, "environment") in names]
    ends = {
        text_of(row, "recipe") + (f" in {text_of(row, 'environment')}" if len(names) > 1 else ""): row for row in own
    }
    level = _common_chance(own)
    said = "" if math.isnan(level) else f" ({number(level)})"
    text = f"In {listed(list(names))} every recipe's interval held chance{said}: {spread(ends)}."
    return [Sentence("answer", text, evidence="performance")]


def _chance(rows: Iterable[Row]) -> str:
    level = _common_chance(rows)
    return "" if math.isnan(level) else f", where chance is {number(level)}"


def _common_chance(rows: Iterable[Row]) -> float:
    """The level of chance that all rows have; NaN where it differs, as a share of positives does."""
    levels = {numeric(row, "chance") for row in rows}
    return levels.pop() if len(levels) == 1 else math.nan


# The sentence on what recipes relied on: all those of the slice that is compared, alike ones together.

MOST_CLAUSES = 3
"""Where recipes come out in more ways than this, those of which nothing can be told are told together."""
MOST_NAMED = 4
"""Of more factors that cannot be told apart, the first are named and the others counted."""
_CLEAR = ("most", "largest")
Above = Collection[tuple[str, str, str]]
"""Recipe, factor and another factor that the first is shown to be above."""
UNSURE = "not converged"
"""What a probe says in `reason` of a value that more samples might move."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What can be said of a recipe's reliance, and of which factors.

    kind: `most` and `unclear` by paired contrasts between factors, `doubtful` where values have not converged,
    `largest` where there are values without intervals, which claim no order, and `undefined` without a value. without:
    factors that lack a value, beside which nothing is known to be the greatest; of: all factors that there are.
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


def relied(
    estimates: Sequence[Row], main: Row | None, interventions: Collection[str] = (), paired: Sequence[Row] = ()
) -> list[Sentence]:
    """Which factor each recipe relied on most, by the first measure of reliance that was taken of all of them.

    paired: rows of `schema.RELIANCE_CONTRASTS`, which alone can show that a factor is above the others.
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
            text = "; ".join(_clauses(recipes, main, _above(paired, name))) + "."
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


def _above(paired: Sequence[Row], measure: str) -> Above:
    """The pairs of factors of which the first is shown to be above the second, by recipe."""
    return frozenset(
        (text_of(row, "recipe"), text_of(row, "factor"), text_of(row, "against"))
        for row in paired
        if text_of(row, "measure") == measure and numeric(row, "value") > 0 and _shown_apart(row)
    )


def _shown_apart(row: Row) -> bool:
    """By its p, or because the difference was the same for every seed, which leaves nothing to test."""
    return numeric(row, "p_holm") < ALPHA or text_of(row, "reason").startswith(NO_VARIATION)


def _clauses(recipes: Recipes, main: Row | None, above: Above) -> list[str]:
    """One clause for the recipes of each outcome: the clear ones, then the rest, each in order of appearance.

    Where even the clear ones are many, the first of them.
    """
    alike: dict[Outcome, list[str]] = {}
    for recipe, rows in recipes.items():
        alike.setdefault(_outcome(rows, above), []).append(recipe)
    found = dict(sorted(alike.items(), key=lambda item: item[0].kind not in _CLEAR))
    rest: list[str] = []
    if len(found) > MOST_CLAUSES:
        open_ = [outcome for outcome in found if outcome.kind not in _CLEAR]
        rest = [name for outcome in open_ for name in found.pop(outcome)]
    told = [
        most(names[0], recipes[names[0]], outcome)
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


def _outcome(rows: Sequence[Row], above: Above) -> Outcome:
    """What the rows of one recipe say. An order is claimed of factors whose paired difference is shown alone."""
    ranked = _ranked(rows)
    of = tuple(dict.fromkeys(text_of(row, "factor") for row in rows))
    if not ranked:
        return Outcome("undefined", (), (), of)
    first, *others = ranked
    lacking = {text_of(row, "factor") for row in rows if math.isnan(numeric(row, "value"))} - {text_of(first, "factor")}
    without = tuple(factor for factor in of if factor in lacking)
    bare = all(math.isnan(ends(row)[0]) for row in ranked)
    pairs = {
        text_of(row, "factor"): (text_of(row, "recipe"), text_of(first, "factor"), text_of(row, "factor"))
        for row in others
    }
    near = [first, *(row for row in others if not (bare or pairs[text_of(row, "factor")] in above))]
    doubtful = tuple(text_of(row, "factor") for row in near if _doubtful(row))
    if doubtful:
        return Outcome("doubtful", doubtful, without, of)
    if bare:
        return Outcome("largest", (text_of(first, "factor"),), without, of)
    factors = [text_of(row, "factor") for row in near]
    if len(near) == 1:
        return Outcome("most", tuple(factors), without, of)
    return Outcome("unclear", tuple(sorted(factors)), without, of)


def most(recipe: str, rows: Sequence[Row], outcome: Outcome) -> str:
    """`arcface relied most on texture (total Sobol' index .68 [.61, .75])`.

    Values without intervals claim no order: of these it is said which is the largest. None is claimed either where the
    largest value, or one that is not shown to be below it, has not converged. Of a single factor there is no most: its
    value is told.
    """
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


# The sentences on what a segmentation does where there is no lesion, beside what it does where there is one.

OVERLAP = "dice"


def quiet(contrasts: Sequence[Row], estimates: Sequence[Row], main: Row) -> list[Sentence]:
    """`At epochs 20, the false-positive rate at 90 % sensitivity was .12 [.09, .16] (focal) to .31 [.25, .38] (dice) in
    lesion-free; Dice was .81 [.79, .83] (focal) to .85 [.83, .86] (dice) in lesions, where the same thresholds, which
    validation lesions set, found .88 [.85, .90] (dice) to .92 [.89, .94] (focal) of the lesions.`

    A recipe whose value is undefined, as where no threshold finds so many lesions, is named as that. Of the first
    comparison of false positives that was stated; none without one. main: the leading contrast, whose
    slice is told of.
    """
    stated = next((row for row in contrasts if text_of(row, "measure").startswith(QUIET)), None)
    if stated is None:
        return []
    measure = text_of(stated, "measure")
    told = [_lesion_free_sentence(estimates, measure, text_of(stated, "environment"), main)]
    others = [text_of(row, "environment") for row in contrasts if row.get("measure") == OVERLAP]
    where = others[0] if others else _first_with(OVERLAP, estimates)
    told.append(_lesion_free_sentence(estimates, OVERLAP, where, main) + _reached(estimates, measure, where, main))
    text = "; ".join(part for part in told if part)
    if not text:
        return []
    said = opening(main, f"{'the ' if text[0].islower() else ''}{text}.")
    return [Sentence("answer", said[:1].upper() + said[1:], evidence="performance")]


def _lesion_free_sentence(estimates: Sequence[Row], measure: str, environment: str, main: Row) -> str:
    """What the recipes reached, and where; of an environment that is not named, the first that has the measure."""
    where = environment or _first_with(measure, estimates)
    every = _by_recipe(estimates, measure, where, main)
    found = {name: row for name, row in every.items() if _valued(row)}
    lost = [name for name in every if name not in found]
    beside = f", and undefined with {listed(lost)}" if lost else ""
    return f"{label({'measure': measure})} was {spread(found)} in {where}{beside}" if found else ""


def _reached(estimates: Sequence[Row], measure: str, where: str, main: Row) -> str:
    """What share of test lesions is found at thresholds that were set on validation lesions; empty at p = .5."""
    found = _by_recipe(estimates, measure.replace(QUIET, "lesion-sensitivity"), where, main)
    found = {name: row for name, row in found.items() if _valued(row)}
    if not found or measure == QUIET:
        return ""
    return f", where the same thresholds, which validation lesions set, found {spread(found)} of the lesions"


def _by_recipe(estimates: Sequence[Row], measure: str, where: str, main: Row) -> dict[str, Row]:
    rows = [row for row in estimates if text_of(row, "measure") == measure and _whole(row)]
    return {name: own[0] for name, own in of_slice([row for row in rows if row["environment"] == where], main).items()}


def _first_with(measure: str, estimates: Sequence[Row]) -> str:
    """The first environment in which the measure has a value."""
    having = (row for row in estimates if text_of(row, "measure") == measure and _whole(row) and _valued(row))
    return next((text_of(row, "environment") for row in having), "")


def _valued(row: Row) -> bool:
    return not math.isnan(numeric(row, "value"))


def _whole(row: Row) -> bool:
    """Whether it is of all images of an environment."""
    parts = any(text_of(row, key) for key in ("factor", "level", "layer"))
    return not parts and text_of(row, "group") in OF_THE_MODEL


# The page's words, made from rows of the tables and from nothing else.
#
# Rows are plain mappings with the columns of `store.schema` (CONTRASTS, ESTIMATES, TRIALS, ENVIRONMENTS); a sentence is
# a row of SENTENCES. A recipe *relies on* a factor when changing it changes the output, *encodes* it when it can be
# decoded from a layer: two verbs, never exchanged. What was not shown is never called no difference.

MOST_AXES = 2
"""An answer tells of the comparisons of so many axes; the table has all."""
_NONE = "No comparison was stated, so nothing is claimed about differences."
MATCHING = {"matched-fit": "at matched fit", MATCHED: "where both are equally good without a dose"}
"""How comparisons are made that stand beside one at equal budget or of all amounts -> its words."""


def verdict(
    contrasts: Sequence[Row],
    estimates: Sequence[Row],
    trials: Sequence[Row] = (),
    environments: Sequence[Row] = (),
    leakage: Sequence[str] | None = None,
    seeds: tuple[int, int] | None = None,
    dosed: str = "",
    cautions: Sequence[str] = (),
    interventions: Collection[str] = (),
    unnamed: str = "",
    paired: Sequence[Row] = (),
    drawn: bool = False,
    split: Split = "",
) -> list[dict[str, str]]:
    """Every sentence of a study's first screen, in order: answers, limits, doubts, as rows of SENTENCES.

    leakage: what the leakage check found, as sentences; None when none was made.
    seeds: how many were planned when results first existed, and how many now. dosed: the axis of the doses, or empty.
    cautions: what is to be known of the data beside, as sentences. interventions: the study's changes to pixels.
    unnamed: what the data say where no column names patients, else empty. paired: rows of `schema.RELIANCE_CONTRASTS`.
    drawn: images come from a phantom, each drawn for itself.
    split: how the training rows of all seeds come from one pool.
    """
    contrasts = [{**row, "reason": without_seeds(text_of(row, "reason"), trials)} for row in contrasts]
    sentences = [
        *at_chance_in_worst_group(estimates),
        *answers(contrasts, estimates, interventions, paired),
        *limits(contrasts, estimates),
        *doubts(contrasts, estimates, trials, environments, leakage, seeds, dosed, cautions, unnamed, drawn, split),
    ]
    return [asdict(sentence) for sentence in sentences]


# --- the answer -----------------------------------------------------------------------------------------------------


def answers(
    contrasts: Sequence[Row],
    estimates: Sequence[Row],
    interventions: Collection[str] = (),
    paired: Sequence[Row] = (),
) -> list[Sentence]:
    """What the recipes relied on, what the shift cost, what the comparisons of each axis found, whether it held at
    equal fit. Of a dose-response the comparisons come first: they are its question.
    """
    stated = [row for row in contrasts if not row.get("exploratory")]
    if not stated:
        late = f"{count(len(contrasts), 'comparison')}, added or changed after results were known, can claim nothing"
        none = f"{late}: stated before results, in a folder of their own, they could." if contrasts else _NONE
        return [*relied(estimates, None, interventions, paired), Sentence("answer", none)]
    axes = [text_of(row, "axis") for row in stated]
    families = [
        [row for row in stated if text_of(row, "axis") == axis]
        for axis in sorted(dict.fromkeys(axes), key=lambda axis: -axes.count(axis))
    ]
    first = leading(families[0])
    compared = {text_of(row, "environment") for row in stated}
    performances = [row for row in families[0] if _of_all_images(row)]
    fell = leading(performances) if performances else None
    before = [
        *relied(estimates, first, interventions, paired),
        *(quiet(stated, estimates, first) or cost(estimates, fell, compared)),
    ]
    said: list[Sentence] = []
    for own in families[:MOST_AXES]:
        main = leading(own)
        said.append(Sentence("answer", _found(own, main, estimates), evidence=text_of(main, "id")))
        for how in MATCHING:
            matched = _matched(own, main, how)
            if matched is not None:
                opens = f"{place(matched)}," if how == MATCHED else "At matched fit"
                said.append(Sentence("answer", f"{opens} {_short(matched, main)}", evidence=text_of(matched, "id")))
    return [*said, *reversed(before)] if over_doses(first) else [*before, *said]


def _of_all_images(row: Row) -> bool:
    """Whether what is compared is measured of all images of an environment, so that a fall of it can be told."""
    return text_of(row, "measure") in COMPUTED and not (text_of(row, "factor") or text_of(row, "layer"))


def leading(contrasts: Sequence[Row]) -> Row:
    """The contrast that an answer leads with: at equal budget if there is one, the least p after and before Holm."""
    budget = [row for row in contrasts if row.get("at") not in MATCHING] or list(contrasts)
    return min(budget, key=lambda row: (_rank(numeric(row, "p_holm")), _rank(numeric(row, "p"))))


def _rank(p: float) -> float:
    return 2.0 if math.isnan(p) else p


def _found(contrasts: Sequence[Row], main: Row, estimates: Sequence[Row]) -> str:
    """How many comparisons of an axis showed what, and the surest of them."""
    told = f"{place(main)}, {difference(main, estimates)}"
    if len(contrasts) == 1:
        return told
    conclusions = [text_of(row, "conclusion") for row in contrasts]
    shown, equal = sum(kind in SHOWN for kind in conclusions), conclusions.count("equivalent")
    against = list(dict.fromkeys(text_of(row, "b") for row in contrasts))
    of = f"Of {count(len(contrasts), 'comparison')} of {in_words(text_of(main, 'axis'))}"
    of += f" with {against[0]}" if len(against) == 1 else ""
    alike = f", {equal} showed equivalence" if equal else ""
    spent = conclusions.count(EXHAUSTED)
    alike += f", {spent} had no room for one ({EXHAUSTED})" if spent else ""
    lost = conclusions.count("undefined")
    alike += f", {lost} could not be tested" if lost and not shown else ""  # else the doubts alone tell it
    if all(kind == "undefined" for kind in conclusions):
        return f"{of}, none could be tested; the first: {told[:1].lower()}{told[1:]}"
    sure = main.get("conclusion") in SHOWN
    ways = dict.fromkeys(text_of(row, "at") for row in contrasts if text_of(row, "conclusion") in SHOWN)
    where = f", {listed([MATCHING[way] for way in ways])} alone" if shown and not sure else ""
    surest = all(_rank(numeric(main, "p_holm")) <= _rank(numeric(row, "p_holm")) for row in contrasts)
    link = "; the surest: " if sure and surest else "; one of them: " if sure else "; the nearest to it: "
    link = ": " if sure and shown == 1 and not equal else link
    return f"{of}, {shown or 'none'} showed a difference{where}{alike}{link}{told[:1].lower()}{told[1:]}"


def corrected(row: Row) -> str:
    """The p-value within its family; the interval beside it is of this comparison alone."""
    return f"{p_value(numeric(row, 'p_holm'))} after correction"


def _decided(row: Row) -> tuple[str, str]:
    """The difference, and the p of the test that its conclusion rests on, either of them with the interval."""
    if row.get("conclusion") == "equivalent":
        return number(numeric(row, "value"), decimals(numeric(row, "standard_error"))), equivalence_interval(row)
    return value_of(row), corrected(row)


def difference(row: Row, estimates: Sequence[Row]) -> str:
    """What a contrast found, with both recipes' values, its interval, its p and the seeds it rests on."""
    called, there = label(row), where(row)
    a, b = _sides(row)
    levels = [find(estimates, row, side) for side in ("a", "b")]
    known = all(level is not None for level in levels)
    values = _both([level for level in levels if level is not None]) if known else ""
    found = f"difference {', '.join(_decided(row))}{both_scales(row)}, {seeds_of(row)}"
    if over_doses(row) and row.get("conclusion") in _OVER_DOSES:
        changes = _OVER_DOSES[str(row["conclusion"])].format(a=a, b=b)
        return f"{called}{there} {changes}{_within(row)}: {found}.{first_sign(row)}"
    if under_seeds(row):
        sides = f"{values}, " if known else ""
        return f"{called} of {a} against {b}{there}: {sides}difference {value_of(row)}, not tested."
    shown = f"{values} ({found})" if known else found
    conclusion = row.get("conclusion")
    if conclusion in ("higher", "lower"):
        return f"{a} had a {conclusion} {called} than {b}{there}{_within(row)}: {shown}.{first_sign(row)}"
    if conclusion == "equivalent":
        margin = number(numeric(row, "margin"))
        return f"{a} and {b} were equivalent in {called}{there} within {margin}: {shown}."
    if conclusion == EXHAUSTED:
        return f"{called} of {a} and {b}{there} leaves no room for a difference{_exhausted(row)}: {shown}."
    if conclusion == "not shown":
        return f"a difference in {called} between {a} and {b}{there} was not shown{_not_worse(row, a)}: {shown}."
    return f"the comparison of {a} with {b} in {called}{there} is undefined: {text_of(row, 'reason') or 'no value'}."


def _both(levels: Sequence[Row]) -> str:
    """`.912 [.902, .920] against .901 [.890, .911]`: both with the decimals that they have in common."""
    places = common_decimals((numeric(level, "high") - numeric(level, "low")) / 2 for level in levels)
    return " against ".join(value_of(level, places) for level in levels)


def _exhausted(row: Row) -> str:
    """` (scale exhausted: all values lie within .10 of 1)`."""
    return f" ({EXHAUSTED}: all values lie {text_of(row, 'exhausted')})"


def _within(row: Row) -> str:
    """`, but by less than .02 (90 % interval ...)`: of a shown difference that is also shown to be under the margin.

    That is equivalence, or of a worse recipe non-inferiority: the two say one thing of a difference to the worse.
    """
    conclusion, good = row.get("conclusion"), better(text_of(row, "measure"))
    if conclusion not in SHOWN:
        return ""
    small = f", but by less than {number(numeric(row, 'margin'))}"
    if good and conclusion != good and numeric(row, "noninferiority_p") < NONINFERIORITY_ALPHA:
        return f"{small} ({p_value(numeric(row, 'noninferiority_p'))}, one-sided)"
    return f"{small} ({equivalence_interval(row)})" if numeric(row, "equivalence_p") < ALPHA else ""


def _not_worse(row: Row, a: str) -> str:
    """`, but arcface was not worse by .05 or more (p = .01, one-sided)`, where the one-sided test shows it."""
    p = numeric(row, "noninferiority_p")
    if not p < NONINFERIORITY_ALPHA:
        return ""
    return f", but {a} was not worse by {number(numeric(row, 'margin'))} or more ({p_value(p)}, one-sided)"


_OVER_DOSES = {
    "higher": "was higher with {a} than with {b}",
    "lower": "was lower with {a} than with {b}",
    "depends on the scale": "differs between {a} and {b} or not, depending on the scale",
}
"""What a dose-response amounts to -> the words between the change that is compared and its numbers."""


def both_scales(row: Row) -> str:
    """` (.02 plain, .30 probit)`: the p-values of the two scales of a dose-response, before correction."""
    if not over_doses(row) or math.isnan(numeric(row, "plain_p")):
        return ""
    ends = [p_value(numeric(row, name)).removeprefix("p ").removeprefix("= ") for name in ("plain_p", "probit_p")]
    return f" ({ends[0]} plain, {ends[1]} probit, before it)"


def _sides(row: Row) -> tuple[str, str]:
    axis = text_of(row, "axis")
    return named(axis, text_of(row, "a")), named(axis, text_of(row, "b"))


def _short(row: Row, main: Row) -> str:
    """What a contrast found, beside the one that an answer leads with: `still` where both found the same."""
    a, b = _sides(row)
    still = "still " if row.get("conclusion") == main.get("conclusion") else ""
    if under_seeds(row):
        return f"the difference in {label(row)} between {a} and {b} was {value_of(row)}: not tested."
    if row.get("conclusion") == "undefined":
        return f"the comparison of {a} with {b} is undefined: {text_of(row, 'reason') or 'no value'}."
    verdicts = {
        "higher": f"{a} {still}higher{_within(row)}",
        "lower": f"{a} {still}lower{_within(row)}",
        "equivalent": f"equivalent within {number(numeric(row, 'margin'))}",
        EXHAUSTED: f"no room for a difference{_exhausted(row)}",
    }
    ending = verdicts.get(text_of(row, "conclusion"), f"not shown{_not_worse(row, a)}")
    value, tested = _decided(row)
    return f"the difference in {label(row)} between {a} and {b} was {value} ({tested}): {ending}."


def _matched(contrasts: Sequence[Row], main: Row, how: str) -> Row | None:
    """The comparison of the same two matched so, which holds all that the leading one holds but what it runs along."""
    keys = ("a", "b", "measure", "environment", "factor", "layer")
    held = mapping(main.get("where"))
    same = [
        row
        for row in contrasts
        if row.get("at") == how
        and row is not main
        and all(text_of(row, key) == text_of(main, key) for key in keys)
        and all(str(held.get(axis)) == str(value) for axis, value in mapping(row.get("where")).items())
    ]
    return same[0] if same else None


# --- what it does not show ------------------------------------------------------------------------------------------


def limits(contrasts: Sequence[Row], estimates: Sequence[Row]) -> list[Sentence]:
    """What the numbers leave open, one sentence each, all beginning `What this does not show:`."""
    stated = [row for row in contrasts if not row.get("exploratory")]
    open_ = [row for row in stated if row.get("conclusion") in ("not shown", "depends on the scale")]
    measures = {text_of(row, "measure") for row in estimates}
    found: list[str] = []
    if open_:
        of = f"{len(open_)} of {count(len(stated), 'comparison')}"
        found.append(f"that there is no difference where none was shown ({of}){_reach(open_)}")
    if stated and not any(row.get("at") in MATCHING for row in stated):
        found.append(_unmatched(stated))
    if "decodability" in measures:
        found.append("that a factor is used because a layer encodes it: decoding is not use")
    environments = sorted({text_of(row, "environment") for row in stated if text_of(row, "environment")})
    if environments:
        found.append(f"anything about distributions other than those compared ({listed(environments)})")
    if any(row.get("exploratory") for row in contrasts):
        extra = sum(bool(row.get("exploratory")) for row in contrasts)
        found.append(f"a confirmed finding in {count(extra, 'comparison')} added after results were known")
    return [Sentence("limit", f"What this does not show: {text}.") for text in found]


def _unmatched(stated: Sequence[Row]) -> str:
    """What may pass for what is compared where nothing was matched."""
    if all(map(over_doses, stated)):
        return "whether a recipe keeps more or only had less to lose: performance without a dose was not matched"
    return "whether recipes differ in what they prefer or only in how fast they learn: fit was not matched"


def _reach(open_: Sequence[Row]) -> str:
    """What the design would find in comparisons that showed nothing, measure by measure; empty where that is not
    known.
    """
    found: dict[str, list[float]] = {}
    beyond = 0
    for row in open_:
        measure, size = text_of(row, "measure"), numeric(row, "detectable")
        low, high = range_of(measure)
        greatest = (high - low) * (2 if over_doses(row) else 1)  # one may rise by as much as the other falls
        if size <= greatest:
            found.setdefault(measure, []).append(size)
        beyond += size > greatest
    if len(found) > 1:
        said = [
            f"in {label({'measure': measure})} of {_range_of_sizes(sizes)} or more" for measure, sizes in found.items()
        ]
        parts = [f"a difference {listed(said)}"]
    else:
        parts = [_least(sizes) for sizes in found.values()]
    parts += [f"not even the greatest difference there can be in {beyond} of them"] if beyond else []
    return f"; the design would find, four times in five, {', and '.join(parts)}" if parts else ""


def _range_of_sizes(sizes: Sequence[float]) -> str:
    """`.06`, or `.06 to .12` where comparisons are made in several ways, each with a figure of its own."""
    ends = dict.fromkeys((number(min(sizes)), number(max(sizes))))
    return " to ".join(ends)


def _least(sizes: Sequence[float]) -> str:
    """The least difference that comparisons would find, on average over them."""
    return f"a difference of {_range_of_sizes(sizes)} or more"
