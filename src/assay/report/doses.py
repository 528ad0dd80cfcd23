"""Dose-response: a measure over the share marked in training, what interacts with it, and half-doses."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from assay.report.axes import limits
from assay.report.choosing import decisive, is_overall, some_levels
from assay.report.dosing import clean_environment, where_borne
from assay.report.evidence import Evidence
from assay.report.figures import FULL, Figure, chance, curves, plot_of, strips
from assay.report.marks import Mark, Panel, Plot, Reference
from assay.report.sheets import Line, Sheet, amount, estimated, figure, probability, sheet, words
from assay.report.tables import Tables, coordinates, distinct, mapping, numeric, whole
from assay.report.wording import column_places, held_words, higher_is_better, is_performance, measure_name, plural
from assay.stats.format import in_words, listed, number
from assay.stats.rows import CONFOUNDER, amounts, over_doses
from assay.store import schema
from assay.store.files import Row


def responses(evidence: Evidence) -> list[Figure]:
    """One figure for every environment: a panel per confounder, a curve per level of the compared axis."""
    return [made for name in evidence.outline.environments if (made := _response(evidence, name, FULL, "dose"))]


COUNTED = "Cases are counted by the 95 % interval of each mean change, taken alone."
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
        replace(panel, references=(*panel.references, *_clean(evidence, clean, own, levels)))
        for panel, (_, own) in zip(plot.panels, groups, strict=True)
    )
    ends = [value for panel in panels for one in panel.references for _, value in one.values]
    low, high = min([plot.limits[0], *ends]), max([plot.limits[1], *ends])
    drawn = replace(plot, panels=panels, scaled=True, limits=(low, high), position_name="p in training")
    said = f"Dotted, in a curve's colour: trained at p = 0 and tested in {clean}." if clean else ""
    held = {axis: value for axis, value in view.held.items() if axis not in (view.dosed, CONFOUNDER)}
    borne = where_borne(evidence, environment)
    name = measure_name(view.measure)
    changes, fewer = changes_in(evidence, environment)
    counted = lowered(name, environment, changes)
    note = [f"At {held_words(held)}." if held else "", borne, "Bands: 95 % intervals; dots: seeds.",
            f"{COUNTED} {fewer}".strip() if counted else "", said, cut]  # fmt: skip
    title = counted or f"{name} in {environment} over the doses"
    return curves(f"{id}-{environment}", title, " ".join(part for part in note if part), drawn, rows, width)


def _kept(evidence: Evidence, environment: str) -> Callable[[Row], bool]:
    view = evidence.outline
    return lambda row: is_overall(row) and row["environment"] == environment and view.shown(row, view.dosed, CONFOUNDER)


def _by_confounder(evidence: Evidence, rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """Panels: the confounders, where they are not what is compared; rows in the order of their doses."""
    apart = evidence.outline.axis != CONFOUNDER
    of = [coordinates(row).get(CONFOUNDER, "") if apart else "" for row in rows]
    order = sorted(zip(of, rows, strict=True), key=lambda pair: float(dose_of(evidence)(pair[1])))
    return [(name, [row for other, row in order if other == name]) for name in dict.fromkeys(of)]


def dose_of(evidence: Evidence) -> Callable[[Row], str]:
    """A row -> the dose that its recipe was trained at."""
    return lambda row: coordinates(row).get(evidence.outline.dosed, "0")


def _clean(evidence: Evidence, clean: str, rows: Sequence[Row], levels: Sequence[str]) -> list[Reference]:
    """A dashed level for each curve of a panel: what its recipe reaches at p = 0 where no image is marked."""
    recipes = {row["recipe"] for row in rows if dose_of(evidence)(row) == "0"}
    found = evidence.estimates(evidence.outline.measure, _kept(evidence, clean)) if clean else []
    return [
        Reference(
            "",
            tuple((dose, numeric(row, "value")) for dose in evidence.outline.doses),
            "2 4",
            evidence.outline.styles[evidence.outline.level(row)].colour,
        )
        for row in found
        if row["recipe"] in recipes and evidence.outline.level(row) in levels
    ]


def changes_in(evidence: Evidence, environment: str) -> tuple[list[Row], str]:
    """The mean changes over the doses that figures show there, of the study's performance: one per curve, but for
    those of fewer doses than others under the same confounder, which are means of something else. What was left out.
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
    """In how many cases the doses lower or raise the measure, by intervals of the mean change that hold no 0; empty
    where in none.
    """
    found = {"lower": sum(numeric(row, "high") < 0 for row in changes),
             "raise": sum(numeric(row, "low") > 0 for row in changes)}  # fmt: skip
    words = [f"{word} {name} in {environment} in {_cases(some, len(changes))}" for word, some in found.items() if some]
    return f"The doses {listed(words)}" if words else ""


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
            (*(Reference.level("greatest of some", p) for p in smaller), Reference.level("greatest dose", greatest)),
        )
        for name in names
    )
    span = limits([0.0, greatest * 1.12], [], (-math.inf, math.inf))
    plot = Plot(panels, levels, view.styles, "half-dose: p at which half of the margin is gone", span)
    told = [row for row in rows if not row["reason"]]
    reached = sum(not math.isnan(numeric(row, "value")) for row in told)
    title = f"Half of the margin over chance is gone in {where} within the doses in {reached} of {len(told)} curves"
    title = title if told else f"No half-dose in {where} is defined"
    note = f"An arrow or > {greatest:g} lies beyond the greatest dose."
    if smaller:
        note = "An arrow or > lies beyond the greatest dose that a recipe was trained at, of some a smaller one."
    note = f"{note} {cut}".strip()
    return strips("half-doses-figure", title, note, plot, rows)


def _half_dose(evidence: Evidence, row: Row, greatest: float) -> Mark:
    """A mark whose ends beyond the greatest dose of its recipe are infinite; undefined with its reason.

    greatest: of all recipes.
    """
    level = evidence.outline.level(row)
    if row["reason"]:
        return Mark(level, math.nan, reason=row["reason"])
    value, low, high = (math.inf if math.isnan(end := numeric(row, name)) else end for name in ("value", "low", "high"))
    ends = (math.nan, math.nan) if row["beyond"] == "low" else (low, high)
    own = numeric(row, "greatest")
    return Mark(level, value, *ends, text=row["text"], known_to=math.inf if own == greatest else own)


def interactions(tables: Tables) -> Sheet | None:
    """Every dose-response that was compared: the difference, its p on either scale, what it amounts to."""
    rows = [row for row in tables.contrasts if over_doses(row)]
    places = column_places(rows)
    lines = [
        Line(
            (
                words(row["statement"]),
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
            " Where both are equally good without a dose, each recipe stands at the amount of training data at which "
            "it is as good as the other, so that a small fall is not mere want of something to lose."
        )
    source = (rows, schema.CONTRASTS)
    return sheet("interactions", "Does the dose act differently?", heads, lines, source, note) if rows else None


def _in_words(row: Row) -> str:
    """`triplet loses more, or gains less, than supcon, on both scales`; what was equal without a dose in brackets."""
    more, less = ("keeps more, or loses less", "loses more, or gains less")
    if not is_performance(row["measure"]) or not higher_is_better(row["measure"]):
        more, less = ("rises more, or falls less", "falls more, or rises less")
    scales = ", on its one scale" if math.isnan(numeric(row, "plain_p")) else ", on both scales"
    said = {
        "higher": f"{row['a']} {more}, than {row['b']}{scales}",
        "lower": f"{row['a']} {less}, than {row['b']}{scales}",
        "depends on the scale": "depends on the scale: shown on one, or with opposite signs",
        "equivalent": f"equivalent within {number(numeric(row, 'margin'))}",
        "undefined": f"undefined: {row['reason'] or 'no value'}",
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
                words(row["text"], row["reason"]),
                figure(numeric(row, "margin")),
                amount(whole(row, "seeds")),
                words(row["reason"] or "–"),
            ),
            first=evidence.outline.shown(row, evidence.outline.dosed, CONFOUNDER),
        )
        for row in rows
    ]
    axes = " · ".join(map(in_words, mapping(rows[0]["coordinates"]))) if rows else ""
    heads = (f"recipe: {axes}" if axes else "recipe", "environment", "measure", "half-dose", "margin at p = 0", "seeds",
             "why there is none")  # fmt: skip
    note = (
        "The smallest p at which half of the margin over chance that the recipe had at p = 0 is gone, linear between "
        "doses, with its 95 % interval; > what is beyond the greatest dose."
    )
    source = (rows, schema.HALF_DOSES)
    return sheet("half-doses", "Half-doses", heads, lines, source, note) if rows else None


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
    heads = (*map(in_words, axes), "what they bear", "images that bear it, by class")
    note = "From the least to the most over seeds, where these differ. A factor is borne where its level is high."
    caption = "What came of the doses in training"
    return sheet("dose-counts", caption, heads, lines, (rows, schema.DOSE_COUNTS), note) if rows else None


def _between(row: Row) -> str:
    """`75 of 150`, `72 to 78 of 150`."""
    ends = ((whole(row, a), whole(row, b)) for a, b in (("least", "most"), ("fewest_images", "most_images")))
    return " of ".join(f"{a:,}" if a == b else f"{a:,} to {b:,}" for a, b in ends)
