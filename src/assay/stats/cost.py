"""The sentences on what a shift cost: values of the measure before and after, claiming nothing of differences.

The answer leads with the widest fall there is. Over every training (a place on the axes that are not compared, at the
budget of the leading contrast, else the largest) and every test environment, a fall is the median over recipes of how
much worse the measure is than in the first environment; along doses, than at p = 0 in the same environment. What every
recipe met at chance, whatever it was trained on, tells trainings apart no more: unless a comparison was stated of it,
such an environment does not compete and has a sentence of its own.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from assay.stats.format import in_words, listed, number
from assay.stats.rows import OF_THE_MODEL, Row, Sentence, along, label, mapping, numeric, over_doses, text_of
from assay.stats.slice import BUDGET, of_slice, opening, several, spread

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
    falls = _over_doses(rows, names, main) if dosed else _between(rows, names, main)
    told = [fall for fall in falls if fall.environment not in apart or fall.environment in compared] or falls
    if not told:
        return _chances(rows, apart)
    widest = max(told, key=lambda fall: fall.size)
    left = [name for name in apart if name in {fall.environment for fall in falls if fall not in told}]
    text = (_dosed if dosed else _told)(widest, len(told), left, main, names[0])
    rest = [name for name in apart if name != widest.environment or widest.size <= 0]
    return [Sentence("answer", text, evidence="performance"), *_chances(rows, rest)]


# --- the falls that there are ---------------------------------------------------------------------------------------


def _between(rows: Sequence[Row], names: Sequence[str], main: Row) -> list[Fall]:
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


def _told(fall: Fall, of: int, apart: Sequence[str], main: Row, first: str) -> str:
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
