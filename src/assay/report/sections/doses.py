"""Sections on dose-response."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from assay.core.measures import range_of
from assay.report.drawing import Mark, Panel, Plot, Reference, limits
from assay.report.figures import FULL, Figure, chance, curves, plot_of, strips
from assay.report.layout import ROWS, Evidence, decisive, is_overall, some_levels
from assay.report.rows import Tables, coordinates, distinct, mapping, numeric, whole
from assay.report.sections.reliance import TRAINED
from assay.report.sentences.names import amounts, equivalence_interval, half_dose_words, statement
from assay.report.sentences.reasons import reason_words
from assay.report.sheets import Line, Sheet, amount, estimated, figure, probability, sheet, words
from assay.report.wording import (
    column_places,
    held_words,
    higher_is_better,
    is_performance,
    measure_name,
    plural,
)
from assay.stats.format import in_words, listed, number
from assay.stats.rows import CONFOUNDER, over_doses
from assay.store import schema
from assay.store.files import Row

# On which images a dosed confounder lies, in training and in each environment, as the spec says.


def clean_environment(evidence: Evidence) -> str:
    """The environment in which the fewest recipes meet a confounder, and none of those trained at p = 0; or empty.

    A factor that is tied in training at p = 0 too is no confounder of the doses.
    """
    points = _points(evidence)
    dosed = evidence.outline.dosed
    start = [point["train"].get("association", {}) for point in points if point["coordinates"].get(dosed) == "0"]
    tied = {factor for ties in start for factor, tie in ties.items() if _ties(tie)}
    marked: dict[str, list[str]] = {}
    for point in points:
        for name, test in point["tests"].items():
            shares = [one.get("share", 0.5) for one in test.get("interventions", {}).values()]
            ties = [tie for factor, tie in test.get("association", {}).items() if factor not in tied]
            found = marked.setdefault(name, [])
            met = any(map(_marks_rows, shares)) or any(map(_ties, ties))
            found += [str(point["coordinates"].get(dosed))] if met else []
    clean = [name for name, doses in marked.items() if "0" not in doses]
    return min(clean, key=lambda name: len(marked[name]), default="")


def _marks_rows(share: float | Mapping[str, float]) -> bool:
    return any(share.values()) if isinstance(share, Mapping) else share > 0


def _ties(tie: Mapping[str, Any]) -> bool:
    """Whether an association puts a factor's high level on any row because of its class."""
    return any(tie["share"].values()) if tie.get("share") else tie["strength"] != 0


def where_borne(evidence: Evidence, environment: str) -> str:
    """Explain which images have the confounder; empty where none is a marking, or markings are on different classes.

    `p: the share of present images that bear the confounder in training. In reversed it is on no present image and on
    all others.` A property of all images alike, as the noise of every scan, is no confounder where there is another. An
    environment whose images bear it as those trained on do, dose by dose, is said to do so; of one that changes
    otherwise, nothing.
    """
    dosed, points = evidence.outline.dosed, _points(evidence)
    most = max((float(point["coordinates"].get(dosed, 0)) for point in points), default=0.0)
    by_dose: dict[float, tuple[set[tuple[float, float]], set[tuple[float, float]]]] = {}
    for point in points:
        shares = by_dose.setdefault(float(point["coordinates"].get(dosed, 0)), (set(), set()))
        shares[0].update(_shares(point["train"]))
        shares[1].update(_shares(point["tests"].get(environment, {})))
    trained, tested = (shares - {(1.0, 1.0)} or shares for shares in by_dose.get(most, (set(), set())))
    target = next((row["target"] for row in evidence.tables.environments if row["target"]), "positive")
    if not most or len(trained) != 1:
        return ""
    of = {(True, False): f"{target} images", (False, True): "the other images", (True, True): "the images"}
    positive, negative = next(iter(trained))
    told = f"{dosed}: the share of {of[positive > 0, negative > 0]} with the confounder in training"
    if by_sampling := _sampled(points, dosed, most):
        told += f" (of {listed(by_sampling)}, which no image is given: Somers' D given the target)"
    told += "."
    where = {
        (1.0, 0.0): f"every {target} image and no other",
        (0.0, 1.0): f"no {target} image and on all others",
        (1.0, 1.0): "every image",
        (0.0, 0.0): "no image",
    }
    if all(one == other for one, other in by_dose.values()):
        return f"{told} In {environment} it is on as many."
    same = all(other == by_dose[most][1] for _, other in by_dose.values())
    lies = where.get(next(iter(tested)), "") if same and len(tested) == 1 else ""
    return f"{told} In {environment} it is on {lies}." if lies else told


def _sampled(points: Sequence[Any], dosed: str, most: float) -> list[str]:
    """The factors of the data whose tie to the target is the dose, in the order of their names."""

    def tied(point: Any) -> set[str]:
        ties: Mapping[str, Any] = point["train"].get("association", {})
        return {name for name, tie in ties.items() if abs(tie.get("strength") or 0) == most and not tie.get("share")}

    def at(p: float) -> list[set[str]]:
        return [tied(one) for one in points if float(one["coordinates"].get(dosed, 0)) == p]

    none = at(0.0)
    return sorted(name for name in set[str]().union(*at(most)) if not none or not all(name in one for one in none))


def _points(evidence: Evidence) -> list[Any]:
    return json.loads(evidence.tables.facts.get("spec", "") or "{}").get("points", [])


def _shares(environment: Mapping[str, Any]) -> set[tuple[float, float]]:
    """Which share of the last class, and of the others, bears each marking of an environment."""
    given: list[float | Mapping[str, float]] = [
        one.get("share", 0.5) for one in environment.get("interventions", {}).values()
    ]
    return {
        (share["positive"], share["negative"]) if isinstance(share, Mapping) else (share, share)
        for share in given
        if not isinstance(share, Mapping) or set(share) == {"positive", "negative"}
    }


# Dose-response: a measure over the share marked in training, what interacts with it, and half-doses.


def responses(evidence: Evidence) -> list[Figure]:
    """One figure for every environment: a panel per confounder, a curve per level of the compared axis."""
    return [made for name in evidence.outline.environments if (made := _response(evidence, name, FULL, "dose"))]


COUNTED = "A case is a curve; cases are counted by the 95% interval of the mean change."
"""Beneath a figure whose title `lowered` makes."""


def response(evidence: Evidence, width: float) -> Figure | None:
    """For the first screen: the environment that the contrasts are about."""
    names = evidence.outline.environments
    return _response(evidence, decisive(evidence, names), width, "first-dose") if names else None


def _response(evidence: Evidence, environment: str, width: float, id: str) -> Figure | None:
    view = evidence.outline
    rows = evidence.estimates(view.measure, _kept(evidence, environment)) if view.doses else []
    if not rows:
        return None
    groups = _by_confounder(evidence, rows)
    levels, cut = some_levels(evidence)
    plot = plot_of(evidence, view.measure, groups, levels, (view.dosed, view.doses, dose_of(evidence)), chance)
    clean = clean_environment(evidence)
    panels = tuple(
        replace(panel, references=(*panel.references, *_clean_levels(evidence, clean, own, levels)))
        for panel, (_, own) in zip(plot.panels, groups, strict=True)
    )
    ends = [value for panel in panels for one in panel.references for _, value in one.values]
    low, high = min([plot.limits[0], *ends]), max([plot.limits[1], *ends])
    drawn = replace(plot, panels=panels, scaled=True, limits=(low, high), position_name="p in training")
    said = f"Dotted, in a curve's color: trained at p = 0 and tested in {clean}." if clean else ""
    held = view.named(view.dosed, CONFOUNDER)
    borne = where_borne(evidence, environment)
    name = measure_name(view.measure)
    changes, fewer = changes_in(evidence, environment)
    counted = lowered(name, environment, changes)
    note = [f"At {held_words(held)}." if held else "", borne, "Bands: 95% intervals; dots: seeds.",
            f"{COUNTED} {fewer}".strip() if counted else "", said, cut]  # fmt: skip
    title = counted or f"{name} in {environment} by share of marked images"
    return curves(f"{id}-{environment}", title, " ".join(part for part in note if part), drawn, rows, width)


def _kept(evidence: Evidence, environment: str) -> Callable[[Row], bool]:
    view = evidence.outline
    return lambda row: is_overall(row) and row["environment"] == environment and view.shown(row, view.dosed, CONFOUNDER)


def _by_confounder(evidence: Evidence, rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """Panels: the confounders, where they are not compared; rows in the order of their doses."""
    apart = evidence.outline.axis != CONFOUNDER
    of = [coordinates(row).get(CONFOUNDER, "") if apart else "" for row in rows]
    order = sorted(zip(of, rows, strict=True), key=lambda pair: float(dose_of(evidence)(pair[1])))
    return [(name, [row for other, row in order if other == name]) for name in dict.fromkeys(of)]


def dose_of(evidence: Evidence) -> Callable[[Row], str]:
    """A row -> the dose that its recipe was trained at."""
    return lambda row: coordinates(row).get(evidence.outline.dosed, "0")


def _clean_levels(evidence: Evidence, clean: str, rows: Sequence[Row], levels: Sequence[str]) -> list[Reference]:
    """A dashed level for each curve of a panel: its recipe's value at p = 0 where no image is marked."""
    recipes = {row["recipe"] for row in rows if dose_of(evidence)(row) == "0"}
    found = evidence.estimates(evidence.outline.measure, _kept(evidence, clean)) if clean else []
    return [
        Reference(
            "",
            tuple((dose, numeric(row, "value")) for dose in evidence.outline.doses),
            "2 4",
            evidence.outline.styles[evidence.outline.level(row)].color,
        )
        for row in found
        if row["recipe"] in recipes and evidence.outline.level(row) in levels
    ]


def changes_in(evidence: Evidence, environment: str) -> tuple[list[Row], str]:
    """The mean changes over the doses that figures show there, of the study's performance: one per curve.

    Curves with fewer doses than others under the same confounder are means of something else, and are left out. The
    second value lists them.
    """
    view = evidence.outline
    rows = [
        row
        for row in evidence.tables.dose_changes
        if (row["environment"], row["measure"]) == (environment, view.measure)
        and view.shown(row, view.dosed, CONFOUNDER)
    ]
    most: dict[str, list[float]] = {}
    for row in rows:
        under = coordinates(row).get(CONFOUNDER, "")
        most[under] = max(most.get(under, []), json.loads(row["doses"]), key=len)
    full = [row for row in rows if json.loads(row["doses"]) == most[coordinates(row).get(CONFOUNDER, "")]]
    fewer = distinct(view.level(row) for row in rows if row not in full)
    return full, f"No mean change for {listed(fewer)}: trained at other doses than the rest." if fewer else ""


def lowered(name: str, environment: str, changes: Sequence[Row]) -> str:
    """Return in how many cases marks lower or raise the measure: the interval of the mean change has no 0."""
    found = {"lowers": sum(numeric(row, "high") < 0 for row in changes),
             "raises": sum(numeric(row, "low") > 0 for row in changes)}  # fmt: skip
    words = [f"{word} {name} in {environment} in {_cases(some, len(changes))}" for word, some in found.items() if some]
    return f"Marking more training images {listed(words)}" if words else ""


def _cases(some: int, of: int) -> str:
    return "every case" if some == of > 1 else f"{some} of {plural(of, 'case')}"


def forest(evidence: Evidence) -> Figure | None:
    """The half-doses in the environment that the contrasts are about, a panel per confounder."""
    view, tables = evidence.outline, evidence.tables
    where = decisive(evidence, view.environments)
    rows = [row for row in tables.half_doses if row["environment"] == where and row["measure"] == view.measure]
    rows = [row for row in rows if view.shown({**row, "recipe": ""}, view.dosed, CONFOUNDER)]
    levels, cut = some_levels(evidence)
    if not any(view.level(row) in levels for row in rows):
        return None  # also where p itself is what recipes are compared by: a half-dose is of all of them
    apart = view.axis != CONFOUNDER
    names = dict.fromkeys(coordinates(row).get(CONFOUNDER, "") if apart else "" for row in rows)
    greatest = max(numeric(row, "greatest") for row in rows)
    smaller = sorted({numeric(row, "greatest") for row in rows if row["beyond"]} - {greatest})
    panels = tuple(
        Panel(
            name,
            tuple(
                _half_dose(evidence, row, greatest)
                for row in rows
                if (not apart or coordinates(row).get(CONFOUNDER, "") == name) and view.level(row) in levels
            ),
            (*(Reference.level("largest of some", p) for p in smaller), Reference.level("largest share", greatest)),
        )
        for name in names
    )
    span = limits([0.0, greatest * 1.12], [], (-math.inf, math.inf))
    plot = Plot(
        panels,
        levels,
        view.styles,
        "half-effect dose: share of marked images at which half of the margin is gone",
        span,
    )
    told = [row for row in rows if not row["reason"]]
    reached = sum(not math.isnan(numeric(row, "value")) for row in told)
    title = f"Half of the margin over chance is gone in {where} in {reached} of {len(told)} curves"
    title = title if told else f"No half-effect dose in {where} is defined"
    note = f"Arrows and > {greatest:g}: not reached at the largest share."
    if smaller:
        note = "Arrows and >: not reached at the largest share of the recipe, which is smaller for some."
    note = f"{note} {cut}".strip()
    return strips("half-doses-figure", title, note, plot, rows)


def _half_dose(evidence: Evidence, row: Row, greatest: float) -> Mark:
    """A mark whose ends beyond the greatest dose of its recipe are infinite; undefined with its reason.

    greatest: of all recipes.
    """
    level = evidence.outline.level(row)
    if row["reason"]:
        return Mark(level, math.nan, reason=reason_words(row["reason"]))
    value, low, high = (math.inf if math.isnan(end := numeric(row, name)) else end for name in ("value", "low", "high"))
    ends = (math.nan, math.nan) if row["beyond"] == "low" else (low, high)
    own = numeric(row, "greatest")
    return Mark(level, value, *ends, text=half_dose_words(row), known_to=math.inf if own == greatest else own)


def interactions(tables: Tables) -> Sheet | None:
    """Table of every compared dose-response: the difference, its p on either scale, and the conclusion."""
    rows = [row for row in tables.contrasts if over_doses(row)]
    places = column_places(rows)
    lines = [
        Line(
            (
                words(statement(row)),
                words(_in_words(row)),
                estimated(row, places),
                probability(numeric(row, "plain_p")),
                probability(numeric(row, "probit_p")),
                probability(numeric(row, "p_holm")),
                amount(whole(row, "seeds")),
            )
        )
        for row in rows
    ]
    heads = ("comparison", "in words", "difference", "p plain", "p probit", "p (Holm)", "seeds")
    note = (
        "A recipe's change is the mean over p > 0 of its value less that at p = 0; the difference is of two recipes' "
        "changes. It is shown only where the plain and the probit scale both show it with one sign: p (Holm) corrects "
        "the greater of their p-values, 1 where signs differ. An effect on the logit has no end to come near, and one "
        "scale. The interval is of the plain scale, of this comparison alone."
    )
    if any(row["equal"] for row in rows):
        note += (
            " Where recipes are compared at equal clean performance, each has the amount of training data that gives "
            "it. Otherwise a recipe may fall less only because it has less to lose."
        )
    source = (rows, schema.CONTRASTS)
    return sheet("interactions", "Do marks act differently?", heads, lines, source, note) if rows else None


def _in_words(row: Row) -> str:
    """`triplet loses more, or gains less, than supcon, on both scales`; equal values without a dose in brackets."""
    more, less = ("keeps more, or loses less", "loses more, or gains less")
    if not is_performance(row["measure"]) or not higher_is_better(row["measure"]):
        more, less = ("rises more, or falls less", "falls more, or rises less")
    scales = ", on its one scale" if math.isnan(numeric(row, "plain_p")) else ", on both scales"
    said = {
        "higher": f"{row['a']} {more}, than {row['b']}{scales}",
        "lower": f"{row['a']} {less}, than {row['b']}{scales}",
        "depends on the scale": "depends on the scale: shown on one, or with opposite signs",
        "equivalent": f"equivalent within {number(numeric(row, 'margin'))} ({equivalence_interval(row)})",
        "undefined": f"undefined: {reason_words(row['reason']) or 'no value'}",
    }
    equal = amounts(row)
    return (said.get(row["conclusion"]) or str(row["conclusion"])) + (f" ({equal})" if equal else "")


def half_doses(evidence: Evidence) -> Sheet | None:
    """Every half-dose, with the margin over chance that there was to lose."""
    rows = evidence.tables.half_doses
    lines = [
        Line(
            (
                words(row["recipe"]),
                words(row["environment"]),
                words(measure_name(row["measure"])),
                words(half_dose_words(row), reason_words(row["reason"])),
                figure(numeric(row, "margin")),
                amount(whole(row, "seeds")),
                words(reason_words(row["reason"]) or "–"),
            ),
            first=evidence.outline.shown(row, evidence.outline.dosed, CONFOUNDER),
        )
        for row in rows
    ]
    axes = " · ".join(map(in_words, mapping(rows[0]["coordinates"]))) if rows else ""
    heads = (f"recipe: {axes}" if axes else "recipe", "environment", "measure", "half-effect dose", "margin at p = 0",
             "seeds", "why there is none")  # fmt: skip
    note = (
        "The smallest p at which half of the margin over chance that the recipe had at p = 0 is gone, linear between "
        "shares, with its 95% interval. Values after > are beyond the largest share."
    )
    source = (rows, schema.HALF_DOSES)
    return sheet("half-doses", "Half-effect doses", heads, lines, source, note) if rows else None


def counts(tables: Tables) -> Sheet | None:
    """How many images of each class bore the confounder at each dose."""
    rows = tables.dose_counts
    of: dict[str, list[Row]] = {}
    for row in rows:
        of.setdefault(f"{row['factor']} {row['coordinates']}", []).append(row)
    at = {key: coordinates(own[0]) for key, own in of.items()}
    axes = [axis for axis in (next(iter(at.values())) if at else ()) if len({own[axis] for own in at.values()}) > 1]
    lines = [
        Line(
            (
                *(words(at[key][axis]) for axis in axes),
                words(in_words(own[0]["factor"])),
                words(", ".join(f"{row['target']} {_between(row)}" for row in own)),
            )
        )
        for key, own in of.items()
    ]
    heads = (*map(in_words, axes), "confounder", "images with it, by class")
    note = "From the least to the most over seeds, where these differ. Of a factor: images with its high level."
    caption = "Marked images in training, by p"
    made = sheet("dose-counts", caption, heads, lines, (rows, schema.DOSE_COUNTS), note)
    return replace(made, folded=True) if rows else None


def _between(row: Row) -> str:
    """`75 of 150`, `72 to 78 of 150`."""
    ends = ((whole(row, a), whole(row, b)) for a, b in (("least", "most"), ("fewest_images", "most_images")))
    return " of ".join(f"{a:,}" if a == b else f"{a:,} to {b:,}" for a, b in ends)


# What each level reaches on clean images before any dose, beside what the doses change where it is tested.


def bought(evidence: Evidence, width: float = FULL) -> Figure | None:
    """Performance at p = 0 in the clean environment, and a panel per confounder of the change over doses."""
    view = evidence.outline
    where, clean = decisive(evidence, view.environments), clean_environment(evidence)
    changes, fewer = changes_in(evidence, where)
    if not changes:
        return None
    levels, cut = some_levels(evidence, ROWS)
    before = _before(evidence, clean or where)
    name = measure_name(view.measure)
    panels = (*_clean_panels(evidence, before, f"{name} in {clean or where} at p = 0", levels),
              *_changes(evidence, changes, levels, where))  # fmt: skip
    axis = f"{name}, then its mean change from p = 0"
    plot = Plot(panels, levels, view.styles, axis, panels[-1].limits or (0.0, 1.0))
    held = view.named(view.dosed, CONFOUNDER)
    counted = lowered(name, where, changes)
    note = [f"At {held_words(held)}." if held else "", "Bars: 95% intervals; dots: seeds.", COUNTED if counted else "",
            fewer, cut]  # fmt: skip
    rows = [*(row for own in before.values() for row in own), *changes]
    title = counted or f"{name} without marks, and its change with them in {where}"
    return strips("bought", title, " ".join(filter(None, note)), plot, _alike(rows), width)


def _before(evidence: Evidence, environment: str) -> dict[str, list[Row]]:
    """Confounder -> the estimates at p = 0, one per level; under no name where all confounders share them.

    They do but for one by choosing rows: rows without it, or with it in equal shares, are others than all rows.
    """
    view = evidence.outline
    rows = evidence.estimates(view.measure, lambda row: is_overall(row) and row["environment"] == environment)
    at_zero = [row for row in rows if coordinates(row).get(view.dosed) == view.doses[0]]
    near = [row for row in at_zero if view.shown(row, view.dosed, CONFOUNDER)]
    found: dict[str, dict[str, Row]] = {}
    for row in near:
        name = "" if view.axis == CONFOUNDER else coordinates(row).get(CONFOUNDER, "")
        found.setdefault(name, {})[view.level(row)] = row
    alike = {tuple((level, str(row["value"])) for level, row in own.items()) for own in found.values()}
    if len(alike) == 1:
        found = {"": next(iter(found.values()))}
    return {name: list(own.values()) for name, own in found.items()}


def _clean_panels(
    evidence: Evidence, before: Mapping[str, Sequence[Row]], title: str, levels: Sequence[str]
) -> Iterator[Panel]:
    """One panel, or one per confounder where these begin apart; all with the same limits."""
    marks = {
        name: tuple(mark for mark in evidence.marks(rows) if mark.level in levels) for name, rows in before.items()
    }
    references = {name: chance(rows) for name, rows in before.items()}
    known = [value for own in references.values() for one in own for _, value in one.values]
    span = _limits([mark for own in marks.values() for mark in own], known, range_of(evidence.outline.measure))
    for name, own in marks.items():
        yield Panel(f"{name}: {title}" if name else title, own, references[name], limits=span)


def _changes(evidence: Evidence, rows: Sequence[Row], levels: Sequence[str], where: str) -> list[Panel]:
    """A panel per confounder, where these are not compared; all with the same limits."""
    apart = evidence.outline.axis != CONFOUNDER
    of = [coordinates(row).get(CONFOUNDER, "") if apart else "" for row in rows]
    marks = {
        name: tuple(
            mark
            for mark in (_mark(evidence, row) for row, own in zip(rows, of, strict=True) if own == name)
            if mark.level in levels
        )
        for name in dict.fromkeys(of)
    }
    span = _limits([mark for own in marks.values() for mark in own], [0.0], (-1.0, 1.0))
    none = (Reference.level("no change", 0.0),)
    return [
        Panel(f"{name}: change in {where}" if name else f"change in {where}", own, none, limits=span)
        for name, own in marks.items()
    ]


def _mark(evidence: Evidence, row: Row) -> Mark:
    seeds = tuple((int(seed), float(value)) for seed, value in mapping(row["per_seed"]).items())
    ends = (numeric(row, "value"), numeric(row, "low"), numeric(row, "high"))
    return Mark(evidence.outline.level(row), *ends, seeds, reason=reason_words(row["reason"]))


def _limits(marks: Sequence[Mark], more: Sequence[float], within: tuple[float, float]) -> tuple[float, float]:
    points = [value for mark in marks for value in mark.points]
    return limits([*points, *more], [end for mark in marks for end in (mark.low, mark.high)], within)


def _alike(rows: Sequence[Row]) -> list[Row]:
    """Estimates and changes as rows of the same columns, for the figure's file."""
    names = ("recipe", "measure", "environment", "value", "low", "high", "seeds", "patients", "reason")
    lacking = dict.fromkeys(("factor", "level", "layer", "group", "images", "chance", "unit"), "")
    made = [{**lacking, **{name: row[name] for name in names}, "measure": _measured(row)} for row in rows]
    return [{**row, "chance": math.nan, "images": math.nan} for row in made]


def _measured(row: Row) -> str:
    return f"mean change in {row['measure']} from p = 0" if "per_seed" in row else str(row["measure"])


# What the probes say of the confounder over its doses: how many answers it flips, how far it moves the logit, and
# where it can be decoded.

PROBED = ("flip-rate", "logit-effect", "decodability")
PANELS = 12
"""A figure has at most so many panels; where layers would make more, the last layer is shown and tables have all."""
Rest = tuple[tuple[str, str], ...]
"""Where a recipe lies on the axes, without its dose."""


def probed(evidence: Evidence) -> list[Figure]:
    """A figure for each measure that was taken at every dose: a panel per confounder and layer."""
    if not evidence.outline.doses:
        return []
    factors = dosed_factors(evidence)
    return [made for measure in PROBED if (made := _figure(evidence, measure, factors))]


def in_training(evidence: Evidence) -> str:
    """Explain a dose p in training, of confounders that are put on images and of factors that these have."""
    dosed = dict(_dosed(evidence).values())
    put_on = [made for made in dosed.values() if "component" in made]
    said = [f"In training a confounder was put on a share p of {_class(put_on[0]['share'])}."] if put_on else []
    alike: dict[str, list[str]] = {}
    for name, made in dosed.items():
        if made not in put_on:
            sign = "-" if made["strength"] < 0 else ""
            goal = f"Somers' D given the target is {sign}p"
            if made.get("share"):
                goal = f"a share p of {_class(made['share'])}, and no other image, has the high level"
            alike.setdefault(goal, []).append(in_words(name))
    for goal, names in alike.items():
        are = "is" if len(names) == 1 else "are"
        called = listed(names)
        said.append(
            f"{called[:1].upper()}{called[1:]} {are} put on no image: images were drawn or chosen so that {goal}."
        )
    return " ".join(said)


def _class(shares: Mapping[str, float]) -> str:
    """Whose images bear it: `the positive class`."""
    sides = [side for side, share in shares.items() if share]
    return f"the {sides[0]} class" if len(sides) == 1 else "each class"


def dosed_factors(evidence: Evidence) -> dict[Rest, str]:
    """Recipe without its dose -> the factor of the confounder."""
    return {rest: name for rest, (name, _) in _dosed(evidence).items()}


def _dosed(evidence: Evidence) -> dict[Rest, tuple[str, Mapping[str, Any]]]:
    """Recipe without its dose -> the difference between its training at the greatest dose and at p = 0.

    The difference is a name, and the intervention or the association that the spec has under it.
    """
    view = evidence.outline
    if not view.doses:
        return {}
    points: Any = json.loads(evidence.tables.facts.get("spec", "") or "{}").get("points", [])
    trained: dict[Rest, dict[str, dict[str, Any]]] = {}
    for point in points:
        ties = {**point["train"].get("association", {}), **point["train"].get("interventions", {})}
        trained.setdefault(_rest(evidence, point["coordinates"]), {})[point["coordinates"].get(view.dosed, "")] = ties
    found: dict[Rest, tuple[str, Mapping[str, Any]]] = {}
    for rest, by_dose in trained.items():
        own = [p for p in view.doses if p in by_dose]
        if own and own[0] == view.doses[0]:
            none, most = by_dose[own[0]], by_dose[own[-1]]
            differing = [name for name in most if none.get(name) != most[name]]
            found |= {rest: (differing[0], most[differing[0]])} if len(differing) == 1 else {}
    return found


def _rest(evidence: Evidence, at: Mapping[str, str]) -> Rest:
    return tuple(item for item in at.items() if item[0] != evidence.outline.dosed)


def _figure(evidence: Evidence, measure: str, factors: Mapping[Rest, str]) -> Figure | None:
    view = evidence.outline
    group = TRAINED if measure == "decodability" else ""

    def kept(row: Row) -> bool:
        own = (row["factor"], row["group"], row["level"]) == (factors.get(_rest(evidence, coordinates(row))), group, "")
        return own and view.shown(row, view.dosed, CONFOUNDER)

    rows = evidence.estimates(measure, kept)
    if all(math.isnan(numeric(row, "value")) for row in rows):
        return None
    layers = distinct(row["layer"] for row in rows)
    groups = list(_panels(evidence, rows))
    note = ""
    if len(groups) > PANELS:
        note = f"In {layers[-1]}; the table has all {len(layers)} layers."
        rows = [row for row in rows if row["layer"] == layers[-1]]
        groups = list(_panels(evidence, rows))
    levels, cut = some_levels(evidence)
    plot = plot_of(evidence, measure, groups, levels, (view.dosed, view.doses, dose_of(evidence)), chance)
    plot = replace(plot, scaled=True, position_name="p in training")
    held = view.named(view.dosed, CONFOUNDER)
    said = (f"At {held_words(held)}." if held else "", _SAID[measure], note, cut)
    title = f"{measure_name(measure).capitalize()} of the confounder by share of marked images"
    return curves(f"dose-{measure}", title, " ".join(part for part in said if part), plot, rows)


_SAID = {
    "flip-rate": "The share of images whose class changes when the confounder alone is changed.",
    "logit-effect": "How far the confounder moves the logit, in within-class standard deviations.",
    "decodability": "How well a linear decoder finds it, fitted where it is independent of the target: not use.",
}


def _panels(evidence: Evidence, rows: Sequence[Row]) -> Iterator[tuple[str, list[Row]]]:
    """Title -> rows in the order of their doses; confounders, where they are not compared, and layers apart."""
    apart = evidence.outline.axis != CONFOUNDER
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        name = coordinates(row).get(CONFOUNDER, "") if apart else ""
        found.setdefault((name, row["layer"]), []).append(row)
    for place, own in found.items():
        title = " · ".join(part for part in place if part)
        yield title, sorted(own, key=lambda row: float(dose_of(evidence)(row)))
