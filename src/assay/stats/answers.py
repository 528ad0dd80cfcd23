"""Answers of a study, as findings: the factors that recipes rely on, the cost of a shift, comparisons, and limits."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, Literal

from assay.core.measures import QUIET, WORST_GROUP, range_of
from assay.core.reasons import NOT_CONVERGED, NOTHING, Code, Reason, because, reason_of
from assay.stats.doubts import AREAS, Split, doubts
from assay.stats.findings import (
    AtChance,
    Decided,
    Decisions,
    Fall,
    FalsePositives,
    Family,
    Finding,
    Held,
    Kind,
    Matched,
    OneMeasure,
    Reliance,
    Relied,
    Tally,
    Value,
    WorstGroup,
    comparison_of,
    of_comparison,
    value_of_row,
    with_ids,
)
from assay.stats.measures import COMPUTED
from assay.stats.rows import (
    ALPHA,
    CHANCE,
    CONFIDENCE,
    CONTROLS,
    EXHAUSTED,
    MATCHED,
    OF_THE_MODEL,
    PASSED,
    PRIMARY,
    RELIANCE,
    SHOWN,
    Row,
    along,
    along_amounts,
    ends,
    mapping,
    numeric,
    over_doses,
    text_of,
    with_outcomes,
)

# The recipes that an answer is about: every level of the compared axis where the leading contrast holds the rest.

Recipes = Mapping[str, Sequence[Row]]

BUDGET = "epochs"
"""The axis along which recipes are trained for longer."""


def of_slice(rows: Sequence[Row], main: Row | None) -> Recipes:
    """Name -> rows of each recipe where the contrast holds the other axes; all recipes without a contrast.

    A name is the level of the compared axis where that names each recipe once, else the recipe.
    """
    held: Mapping[str, Any] = mapping(main.get("where")) if main else {}
    found: dict[str, list[Row]] = {}
    levels: dict[str, str] = {}
    for row in rows:
        at = mapping(row.get("coordinates"))
        if all(str(at.get(axis)) == str(value) for axis, value in held.items()):
            recipe = text_of(row, "recipe")
            found.setdefault(recipe, []).append(row)
            levels[recipe] = str(at.get(text_of(main, "axis"))) if main else recipe
    if len(set(levels.values())) < len(levels):
        return found
    return {levels[recipe]: own for recipe, own in found.items()}


def held_by(main: Row | None) -> Held:
    """Return the values that a contrast holds, and the axis that it compares; nothing without one."""
    if main is None:
        return Held()
    where = mapping(main.get("where"))
    return Held(tuple((axis, str(level)) for axis, level in where.items()), text_of(main, "axis"))


def _named_values(rows: Mapping[str, Row]) -> tuple[Value, ...]:
    return tuple(value_of_row(row, name) for name, row in rows.items())


# What a shift cost: values of the measure before and after, which claim no difference.
#
# The answer leads with the widest fall there is. Over every training (a place on the axes that are not compared, at the
# budget of the leading contrast, else the largest) and every test environment, a fall is the median over recipes of how
# much worse the measure is than in the first environment; along doses, than at p = 0 in the same environment. Where
# every recipe is at chance, whatever it was trained on, an environment does not separate trainings any more: unless a
# comparison was stated of it, it does not compete and has a finding of its own.

Training = Mapping[str, str]


@dataclass(frozen=True)
class Change:
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
    def overlapping(self) -> tuple[str, ...]:
        """Recipes whose intervals before and after overlap; none where intervals are missing."""
        return tuple(name for name in self.after if _overlap(self.before[name], self.after[name]))


def cost(estimates: Sequence[Row], main: Row | None, compared: Collection[str] = ()) -> list[Finding]:
    """Return the widest fall of the measure of the leading contrast, and the environments at chance; none without one.

    Args:
        estimates: Rows of the table.
        main: The leading contrast of those of all images.
        compared: The environments that comparisons were stated of.
    """
    if main is None:
        return []
    rows = [row for row in estimates if _fits(row, text_of(main, "measure"))]
    names = list(dict.fromkeys(text_of(row, "environment") for row in rows))
    apart = [name for name in names if _at_chance(rows, name)]
    dosed = over_doses(main)
    falls = _over_doses(rows, names, main) if dosed else _between_environments(rows, names, main)
    kept = [fall for fall in falls if fall.environment not in apart or fall.environment in compared] or falls
    if not kept:
        return _chances(rows, apart, main)
    widest = max(kept, key=lambda fall: fall.size)
    left = tuple(name for name in apart if name in {fall.environment for fall in falls if fall not in kept})
    held, dose = dict(widest.where), ""
    if dosed:
        *_, axis = held
        dose = held.pop(axis)
    fall = Fall(
        Held(tuple(held.items()), text_of(main, "axis")),
        names[0],
        _named_values(widest.before),
        _named_values(widest.after),
        widest.size,
        _common_chance(widest.after.values()),
        len(kept),
        left,
        widest.overlapping,
        any(row.get("direction") == "lower" for row in widest.after.values()),
        dose,
    )
    found = Finding(
        Kind.FALL,
        "answer",
        axis=text_of(main, "axis"),
        measure=text_of(main, "measure"),
        environment=widest.environment,
        value=widest.size,
        table="performance",
        details=fall,
    )
    rest = [name for name in apart if name != widest.environment or widest.size <= 0]
    return [found, *_chances(rows, rest, main)]


def _between_environments(rows: Sequence[Row], names: Sequence[str], main: Row) -> list[Change]:
    """From the first environment to every other one, for every training."""
    found: list[Change] = []
    for training, own in _trainings(rows, main, (BUDGET,)):
        before = _values(own, names[0], main)
        found += [_fall(training, name, before, _values(own, name, main)) for name in names[1:]]
    return [fall for fall in found if fall.after]


def _over_doses(rows: Sequence[Row], names: Sequence[str], main: Row) -> list[Change]:
    """From p = 0 to the greatest dose, in every environment, for every training."""
    axis = along(main, rows[0]) if rows else ""
    found: list[Change] = []
    for training, own in _trainings(rows, main, (BUDGET, axis)):
        doses = sorted({dose for row in own if (dose := _at(row).get(axis))}, key=float)
        if len(doses) < 2 or float(doses[0]):
            continue
        before, after = ([row for row in own if _at(row).get(axis) == dose] for dose in (doses[0], doses[-1]))
        held = {**training, axis: doses[-1]}
        found += [_fall(held, name, _values(before, name, main), _values(after, name, main)) for name in names]
    return [fall for fall in found if fall.after]


def _trainings(rows: Sequence[Row], main: Row, free: Collection[str]) -> list[tuple[Training, list[Row]]]:
    """Values held on the axes that are neither compared nor free -> rows; of budgets one."""
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


def _fall(where: Training, environment: str, before: Mapping[str, Row], after: Mapping[str, Row]) -> Change:
    both = [name for name in before if name in after]
    return Change(where, environment, {name: before[name] for name in both}, {name: after[name] for name in both})


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


def _chances(rows: Sequence[Row], names: Sequence[str], main: Row) -> list[Finding]:
    """Return the environments in which the interval of every recipe holds chance, as one finding; none without any."""
    if not names:
        return []
    own = [row for row in rows if text_of(row, "environment") in names]
    ends = {
        text_of(row, "recipe") + (f" in {text_of(row, 'environment')}" if len(names) > 1 else ""): row for row in own
    }
    details = AtChance(tuple(names), _common_chance(own), _named_values(ends))
    measure, environment = text_of(main, "measure"), names[0] if len(names) == 1 else ""
    return [
        Finding(Kind.CHANCE, "answer", measure=measure, environment=environment, table="performance", details=details)
    ]


def _common_chance(rows: Iterable[Row]) -> float:
    """The level of chance that all rows have; NaN where it differs, as a share of positives does."""
    levels = {numeric(row, "chance") for row in rows}
    return levels.pop() if len(levels) == 1 else math.nan


# Where the worst group of a recipe falls to chance though the recipe is good over all images.


def at_chance_in_worst_group(estimates: Sequence[Row]) -> list[Finding]:
    """Return the recipe and environment whose worst group has the least AUROC; none where no group fell to chance.

    A group fell to chance where its interval holds chance or is below it, and is below the interval over all images,
    which is above chance. So a group that is too small to say is not among them.
    """
    whole = {_key(row): row for row in estimates if text_of(row, "measure") in AREAS and not _parts(row, "group")}
    pairs = [
        (row, whole[_key(row)])
        for row in estimates
        if text_of(row, "group") == WORST_GROUP and not _parts(row) and _key(row) in whole
    ]
    fallen = [pair for pair in pairs if _fell(*pair)]
    if not fallen:
        return []
    group, overall = min(fallen, key=lambda pair: numeric(pair[0], "value"))
    low, high = ends(group)
    all_low, all_high = ends(overall)
    details = WorstGroup(
        Value("", numeric(overall, "value"), all_low, all_high), high < CHANCE, len(fallen) - 1, len(pairs)
    )
    recipe, environment, measure = _key(group)
    return [
        Finding(
            Kind.WORST_GROUP,
            "answer",
            recipe=recipe,
            measure=measure,
            environment=environment,
            value=numeric(group, "value"),
            low=low,
            high=high,
            level=CONFIDENCE,
            reason=reason_of(group),
            table="performance",
            details=details,
        )
    ]


def _fell(group: Row, overall: Row) -> bool:
    """False where an interval is missing."""
    (low, high), least = ends(group), ends(overall)[0]
    return low <= CHANCE < least and high < least


def _key(row: Row) -> tuple[str, str, str]:
    return text_of(row, "recipe"), text_of(row, "environment"), text_of(row, "measure")


def _parts(row: Row, *more: str) -> bool:
    return any(text_of(row, name) for name in ("factor", "level", "layer", *more))


# What recipes relied on: all those of the slice that is compared.

Above = Collection[tuple[str, str, str]]
"""Recipe, factor and another factor that the first is shown to be above."""


def relied(
    estimates: Sequence[Row], main: Row | None, interventions: Collection[str] = (), paired: Sequence[Row] = ()
) -> list[Finding]:
    """Return which factor each recipe relied on most, by the first measure of reliance that was taken of all of them.

    Single directions and pairs of levels (a `group`) are parts of the same effect and are not ranked with it. Along
    doses, recipes are those of the greatest.

    Args:
        estimates: Rows of the table.
        main: The leading contrast.
        interventions: Changes to pixels, which a design over a phantom's factors leaves out: where another measure was
            taken of one, the design ranks nothing, since it may lack what the study is about.
        paired: Rows of `schema.RELIANCE_CONTRASTS`, which alone can show that a factor is above the others.
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
            above = _above(paired, name)
            outcomes = tuple(_outcome(recipe, own, above) for recipe, own in recipes.items())
            unsure = any(_doubtful(row) for own in recipes.values() for row in own)
            return [
                Finding(
                    Kind.RELIANCE,
                    "answer",
                    light="warn" if unsure else "none",
                    measure=name,
                    axis=text_of(main, "axis") if main else "",
                    table="estimates",
                    details=Reliance(held_by(main), outcomes),
                )
            ]
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
    return numeric(row, "p_holm") < ALPHA or Code.NO_VARIATION in reason_of(row)


def _known(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if not math.isnan(numeric(row, "value"))]


def _ranked(rows: Sequence[Row]) -> list[Row]:
    """The strongest row of each factor (of classes, if there are several), the strongest factor first."""
    strongest = {text_of(row, "factor"): row for row in sorted(_known(rows), key=lambda row: numeric(row, "value"))}
    return sorted(strongest.values(), key=lambda row: -numeric(row, "value"))


def _outcome(recipe: str, rows: Sequence[Row], above: Above) -> Relied:
    """Summarize the rows of one recipe. Only factors whose paired difference is shown are ordered."""
    ranked = _ranked(rows)
    of = tuple(dict.fromkeys(text_of(row, "factor") for row in rows))
    if not ranked:
        return Relied(recipe, "undefined", (), (), of, ())
    first, *others = ranked
    lacking = {text_of(row, "factor") for row in rows if math.isnan(numeric(row, "value"))} - {text_of(first, "factor")}
    without = tuple(factor for factor in of if factor in lacking)
    values = tuple(value_of_row(row, text_of(row, "factor")) for row in ranked)
    bare = all(math.isnan(ends(row)[0]) for row in ranked)
    pairs = {
        text_of(row, "factor"): (text_of(row, "recipe"), text_of(first, "factor"), text_of(row, "factor"))
        for row in others
    }
    near = [first, *(row for row in others if not (bare or pairs[text_of(row, "factor")] in above))]
    doubtful = tuple(text_of(row, "factor") for row in near if _doubtful(row))
    if doubtful:
        return Relied(recipe, "doubtful", doubtful, without, of, values)
    if bare:
        return Relied(recipe, "largest", (text_of(first, "factor"),), without, of, values)
    factors = [text_of(row, "factor") for row in near]
    if len(near) == 1:
        return Relied(recipe, "most", tuple(factors), without, of, values)
    return Relied(recipe, "unclear", tuple(sorted(factors)), without, of, values)


def _doubtful(row: Row) -> bool:
    return reason_of(row).first(*NOT_CONVERGED) is not None


# What a segmentation does where there is no lesion, with what it does where there is one.

OVERLAP = "dice"


def quiet(contrasts: Sequence[Row], estimates: Sequence[Row], main: Row) -> list[Finding]:
    """Return false positives, overlap and sensitivity of all recipes of the slice; none where none were compared.

    The false positives are those of the first comparison of them that was stated. A recipe without a value, as where
    no threshold finds so many lesions, is named. main: the leading contrast.
    """
    stated = next((row for row in contrasts if text_of(row, "measure").startswith(QUIET)), None)
    if stated is None:
        return []
    measure = text_of(stated, "measure")
    false_positives = _one_measure(estimates, measure, text_of(stated, "environment"), main)
    others = [text_of(row, "environment") for row in contrasts if row.get("measure") == OVERLAP]
    overlap = _one_measure(estimates, OVERLAP, others[0] if others else "", main)
    if not (false_positives.values or overlap.values):
        return []
    sensitivity = measure.replace(QUIET, "lesion-sensitivity")
    reached = _one_measure(estimates, sensitivity, overlap.environment, main).values if measure != QUIET else ()
    details = FalsePositives(held_by(main), false_positives, overlap, reached)
    axis, environment = text_of(main, "axis"), false_positives.environment
    return [
        Finding(
            Kind.FALSE_POSITIVES,
            "answer",
            axis=axis,
            measure=measure,
            environment=environment,
            table="performance",
            details=details,
        )
    ]


def _one_measure(estimates: Sequence[Row], measure: str, environment: str, main: Row) -> OneMeasure:
    """Return a measure of the recipes; without a named environment, in the first that has a value."""
    where = environment or _first_with(measure, estimates)
    every = _by_recipe(estimates, measure, where, main)
    found = {name: row for name, row in every.items() if _valued(row)}
    return OneMeasure(measure, where, _named_values(found), tuple(name for name in every if name not in found))


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


# All findings of a study, in the order in which a page has them.

MOST_AXES = 2
"""An answer has the comparisons of so many axes; the table has all."""
MATCHING = ("matched-fit", MATCHED)
"""How comparisons are made that accompany one at equal budget or of all amounts."""


def findings_of(
    contrasts: Sequence[Row],
    estimates: Sequence[Row],
    trials: Sequence[Row] = (),
    environments: Sequence[Row] = (),
    leakage: Sequence[Reason] | None = None,
    seeds: tuple[int, int] | None = None,
    dosed: str = "",
    cautions: Sequence[Reason] = (),
    interventions: Collection[str] = (),
    unnamed: str = "",
    paired: Sequence[Row] = (),
    drawn: bool = False,
    split: Split = "",
    bounded: bool = False,
) -> list[Finding]:
    """Return every finding of a study: answers, limits, cautions, and each comparison.

    Args:
        contrasts: Rows of the table; so are estimates, trials and environments.
        estimates: See contrasts.
        trials: See contrasts.
        environments: See contrasts.
        leakage: The result of the leakage check; None when none was made.
        seeds: How many were planned when results first existed, and how many now.
        dosed: The axis of the doses, or empty.
        cautions: Further remarks on the data.
        interventions: The study's changes to pixels.
        unnamed: A remark of the data where no column names patients, else empty.
        paired: Rows of `schema.RELIANCE_CONTRASTS`.
        drawn: Whether images come from a phantom, each drawn for itself.
        split: How the training rows of all seeds come from one pool.
        bounded: Whether the set is too large to search it for cropped copies.
    """
    contrasts = with_outcomes(contrasts, trials)
    return with_ids(
        [
            *at_chance_in_worst_group(estimates),
            *answers(contrasts, estimates, interventions, paired),
            *limits(contrasts, estimates),
            *doubts(
                contrasts,
                estimates,
                trials,
                environments,
                leakage,
                seeds,
                dosed,
                cautions,
                unnamed,
                drawn,
                split,
                bounded,
            ),
            *(of_comparison(row, Kind.CONTRAST, "comparison", comparison_of(row, estimates)) for row in contrasts),
        ]
    )


def answers(
    contrasts: Sequence[Row],
    estimates: Sequence[Row],
    interventions: Collection[str] = (),
    paired: Sequence[Row] = (),
) -> list[Finding]:
    """Return the findings on reliance, on the cost of the shift, on the comparisons of each axis, and on equal fit.

    Of a dose-response the comparisons come first: they are its question.
    """
    opening = decided_first(contrasts, estimates)
    asked = [row for row in contrasts if text_of(row, "role") not in CONTROLS]
    stated = [row for row in asked if not row.get("exploratory")]
    if not stated:
        why = because(Code.LATE_CONTRASTS, count=len(asked)) if asked else because(Code.NO_CONTRAST)
        return [
            *opening,
            *relied(estimates, None, interventions, paired),
            Finding(Kind.UNCOMPARED, "answer", reason=why),
        ]
    primary = [row for row in stated if row.get("role") == PRIMARY]
    others = [row for row in stated if row not in primary]
    axes = [text_of(row, "axis") for row in others]
    families = [
        [row for row in others if text_of(row, "axis") == axis]
        for axis in sorted(dict.fromkeys(axes), key=lambda axis: -axes.count(axis))
    ]
    main = primary or families[0]
    first = leading(main)
    compared = {text_of(row, "environment") for row in stated}
    performances = [row for row in main if _of_all_images(row)]
    fell = leading(performances) if performances else None
    before = [
        *relied(estimates, first, interventions, paired),
        *(quiet(stated, estimates, first) or cost(estimates, fell, compared)),
    ]
    found: list[Finding] = []
    for own in families[:MOST_AXES]:
        main = leading(own)
        found.append(of_comparison(main, Kind.FAMILY, "answer", _family(own, main, estimates)))
        for how in MATCHING:
            matched = _matched(own, main, how)
            if matched is not None:
                same = matched.get("conclusion") == main.get("conclusion")
                details = Matched(comparison_of(matched, estimates), same)
                found.append(of_comparison(matched, Kind.MATCHED, "answer", details))
    after = [*found, *reversed(before)] if over_doses(first) else [*before, *found]
    return [*opening, *after]


def decided_first(contrasts: Sequence[Row], estimates: Sequence[Row]) -> list[Finding]:
    """Return controls, primary comparisons and counts of decisions; nothing of a study without any of these roles.

    Exploratory comparisons are not counted. A control that was added late is reported all the same: it may have failed.
    """
    controls = [row for row in contrasts if text_of(row, "role") in CONTROLS]
    stated = [row for row in contrasts if not row.get("exploratory") and row not in controls]
    primary = [row for row in stated if row.get("role") == PRIMARY]
    if not (controls or primary):
        return []
    found = [
        replace(
            of_comparison(row, Kind.CONTROL, "answer", comparison_of(row, estimates)),
            light="ok" if row["decision"] in PASSED else "warn" if row["decision"] == "untested" else "bad",
        )
        for row in controls
    ]
    found += [of_comparison(row, Kind.PRIMARY, "answer", comparison_of(row, estimates)) for row in primary]
    tallies = tuple(_tally(role, [row for row in stated if row.get("role") == role]) for role in (PRIMARY, "secondary"))
    passed = sum(row["decision"] in PASSED for row in controls)
    counts = Decisions(tuple(one for one in tallies if one.count), len(controls), passed)
    return [*found, Finding(Kind.DECISIONS, "answer", table="contrasts", details=counts)]


def _tally(role: str, rows: Sequence[Row]) -> Tally:
    decisions = [text_of(row, "decision") for row in rows]
    return Tally(
        role,
        len(rows),
        sum(one in (Decided.HIGHER, Decided.LOWER) for one in decisions),
        sum(one in (Decided.HIGHER_SMALL, Decided.LOWER_SMALL) for one in decisions),
        decisions.count(Decided.EQUIVALENT),
    )


def _of_all_images(row: Row) -> bool:
    """Whether a comparison is of a measure of all images of an environment, which can fall."""
    return text_of(row, "measure") in COMPUTED and not (text_of(row, "factor") or text_of(row, "layer"))


def leading(contrasts: Sequence[Row]) -> Row:
    """Return the contrast that an answer leads with: a primary one if there is one, then at equal budget, then with the
    least p after and before Holm.
    """
    first = [row for row in contrasts if row.get("role") == PRIMARY] or list(contrasts)
    budget = [row for row in first if row.get("at") not in MATCHING] or first
    return min(budget, key=lambda row: (_rank(numeric(row, "p_holm")), _rank(numeric(row, "p"))))


def _rank(p: float) -> float:
    return 2.0 if math.isnan(p) else p


def _family(contrasts: Sequence[Row], main: Row, estimates: Sequence[Row]) -> Family:
    """Count the conclusions on the comparisons of an axis, and return the leading one."""
    conclusions = [text_of(row, "conclusion") for row in contrasts]
    shown, equal = sum(kind in SHOWN for kind in conclusions), conclusions.count("equivalent")
    against = list(dict.fromkeys(text_of(row, "b") for row in contrasts))
    ways = dict.fromkeys(text_of(row, "at") for row in contrasts if text_of(row, "conclusion") in SHOWN)
    sure = main.get("conclusion") in SHOWN
    surest = all(_rank(numeric(main, "p_holm")) <= _rank(numeric(row, "p_holm")) for row in contrasts)
    link: Literal["alone", "only", "surest", "one", "nearest", "first"] = "nearest"
    if len(contrasts) == 1:
        link = "alone"
    elif all(kind == "undefined" for kind in conclusions):
        link = "first"
    elif sure:
        link = "only" if shown == 1 and not equal else "surest" if surest else "one"
    return Family(
        text_of(main, "axis"),
        len(contrasts),
        against[0] if len(against) == 1 else "",
        shown,
        equal,
        conclusions.count(EXHAUSTED),
        conclusions.count("undefined"),
        tuple(ways),
        link,
        comparison_of(main, estimates),
    )


def _matched(contrasts: Sequence[Row], main: Row, how: str) -> Row | None:
    """The matched comparison of the same two, which otherwise holds everything that the leading one holds."""
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


# What the numbers leave open.


def limits(contrasts: Sequence[Row], estimates: Sequence[Row]) -> list[Finding]:
    """Return the limits of a study, a finding each."""
    contrasts = [row for row in contrasts if text_of(row, "role") not in CONTROLS]
    stated = [row for row in contrasts if not row.get("exploratory")]
    open_ = [row for row in stated if row.get("conclusion") in ("inconclusive", "depends on the scale")]
    measures = {text_of(row, "measure") for row in estimates}
    found: list[Reason] = []
    if open_:
        found.append(because(Code.LIMIT_INCONCLUSIVE, count=len(open_), of=len(stated)) + _reach(open_))
    if stated and not any(row.get("at") in MATCHING for row in stated):
        found.append(because(Code.LIMIT_CLEAN_UNMATCHED if all(map(over_doses, stated)) else Code.LIMIT_FIT_UNMATCHED))
    if "decodability" in measures:
        found.append(because(Code.LIMIT_DECODING))
    environments = sorted({text_of(row, "environment") for row in stated if text_of(row, "environment")})
    if environments:
        found.append(because(Code.LIMIT_ENVIRONMENTS, names=tuple(environments)))
    if late := sum(bool(row.get("exploratory")) for row in contrasts):
        found.append(because(Code.LIMIT_EXPLORATORY, count=late))
    return [Finding(Kind.LIMIT, "limit", reason=reason) for reason in found]


def _reach(open_: Sequence[Row]) -> Reason:
    """Return the difference that the design could detect in inconclusive comparisons, by measure, where it is known."""
    found: dict[str, list[float]] = {}
    beyond = 0
    for row in open_:
        measure, size = text_of(row, "measure"), numeric(row, "detectable")
        low, high = range_of(measure)
        greatest = (high - low) * (2 if over_doses(row) else 1)  # one may rise by as much as the other falls
        if size <= greatest:
            found.setdefault(measure, []).append(size)
        beyond += size > greatest
    reach = NOTHING
    for measure, sizes in found.items():
        reach += because(Code.DETECTABLE, measure=measure, low=min(sizes), high=max(sizes))
    return reach + (because(Code.NOTHING_DETECTABLE, count=beyond) if beyond else NOTHING)
