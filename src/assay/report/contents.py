"""Tables of what was found: comparisons, performance, reliance, decodability."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from assay.core.measures import MEASURES as NAMED
from assay.core.measures import WORST
from assay.report.choosing import DIFFERS, is_overall, worst_groups
from assay.report.evidence import Evidence
from assay.report.sheets import MOST, NONE, Cell, Line, Sheet, amount, estimated, figure, probability, sheet, words
from assay.report.tables import Tables, distinct, numeric, whole
from assay.report.wording import column_places, measure_name, placed, recipe_head
from assay.stats.format import in_words, number
from assay.stats.kept import without_seeds
from assay.stats.measures import MEASURES
from assay.store import schema
from assay.store.files import Row

EVIDENCE = {"estimates": "reliance", "performance": "performance", "trials": "trials", "environments": "environments"}
"""What a sentence names as its evidence, beside a contrast -> the table of the page."""
USED = ("sobol-total", "sobol-first", "flip-rate", "logit-effect", "logit-effect-absolute")
_REPEATED = ("somers-d", "auroc-macro", "quadratic-weighted-kappa")
"""Measures that say the same as others do in two classes: in the file, not in the table."""


def contrasts(tables: Tables, anchors: Mapping[str, str]) -> Sheet | None:
    """Every comparison: the difference, its interval, p after Holm, what it amounts to."""
    if not tables.contrasts:
        return None
    heads = ("comparison", "difference", "p (Holm)", "conclusion", "p equivalent (margin)", "p not worse",
             "detectable", "sign-flip p (least)", "seeds", "patients", "status")  # fmt: skip
    order = sorted(tables.contrasts, key=lambda row: (bool(row["exploratory"]), _nan_last(numeric(row, "p_holm"))))
    measures = distinct(row["measure"] for row in order)
    places = {name: column_places(row for row in order if row["measure"] == name) for name in measures}
    lines = [Line(_compared(row, places[row["measure"]], tables.trials), anchors[row["id"]]) for row in order]
    note = (
        "A row is what the study says that it compares, and the conclusion what may be claimed of it. "
        "Difference: the first less the second, with the 95 % interval of this comparison alone, over seeds and "
        "patients. p (Holm): corrected for all comparisons of its family; it decides what is shown. Detectable: the "
        "difference that this design would find four times in five. Sign-flip: a test over seeds alone, with the least "
        "p that so few seeds can give. Stated: before there were results."
    )
    if not all(math.isnan(numeric(row, "noninferiority_p")) for row in order):
        note += " P not worse: one-sided, of the first being worse than the second by the margin or more."
    return sheet("contrasts", "Claim by claim", heads, lines, (order, schema.CONTRASTS), note)


def _compared(row: Row, places: int, trials: Sequence[Row]) -> tuple[Cell, ...]:
    return (
        words(row["statement"]),
        estimated({**row, "reason": without_seeds(row["reason"], trials)}, places),
        probability(numeric(row, "p_holm")),
        words(_conclusion(row, trials)),
        _equivalence(row, places),
        probability(numeric(row, "noninferiority_p")),
        figure(numeric(row, "detectable"), places),
        _flips(row),
        _less(row, "seeds", whole(row, "left_out"), "left out"),
        _less(row, "patients", whole(row, "paired_patients"), "paired", whole(row, "patients")),
        words("exploratory" if row["exploratory"] else "stated"),
    )


def _conclusion(row: Row, trials: Sequence[Row]) -> str:
    """`arcface lower`, `not shown`, `undefined: why`."""
    if row["conclusion"] == "undefined" and row["reason"]:
        return f"undefined: {without_seeds(row['reason'], trials)}"
    return f"{row['a']} {row['conclusion']}" if row["conclusion"] in DIFFERS else row["conclusion"]


def _equivalence(row: Row, places: int) -> Cell:
    p, margin = probability(numeric(row, "equivalence_p")), numeric(row, "margin")
    return p if p.text == NONE else Cell(f"{p.text} ({number(margin, places)})", p.sort, True)


def _less(row: Row, name: str, other: int, word: str, usual: int = 0) -> Cell:
    """A count, and beside it another one that says how it came about, unless that is as usual: `9 (1 left out)`.

    A dash where neither is any, as of patients where a seed is one number.
    """
    if not (whole(row, name) or other):
        return Cell(NONE, "", True)
    count = amount(whole(row, name))
    return count if other == usual else Cell(f"{count.text} ({other:,} {word})", count.sort, True)


def performance(evidence: Evidence) -> Sheet | None:
    """A row per recipe: the study's measure in every environment, and in the group where it is worst."""
    measure = evidence.outline.measure
    rows = evidence.estimates(measure, is_overall)
    names = distinct(row["environment"] for row in rows)
    found: dict[str, dict[str, Row]] = {}
    for row in rows:
        found.setdefault(row["recipe"], {})[row["environment"]] = row
    worst = worst_groups(evidence, measure)
    if not worst and measure in NAMED and NAMED[measure].probe == "performance":
        worst = worst_groups(evidence, "accuracy")
    places = [column_places(own[name] for own in found.values() if name in own) for name in names]
    least = column_places(worst.values())
    lines = [
        Line(
            (
                words(recipe),
                *(estimated(own.get(name), decimals) for name, decimals in zip(names, places, strict=True)),
                estimated(worst.get(recipe), least),
                words(_which(worst[recipe]) if recipe in worst else NONE),
            ),
            first=evidence.outline.shown(next(iter(own.values()))),
        )
        for recipe, own in found.items()
    ]
    of = next((row["measure"] for row in worst.values()), measure)
    group = "worst group" if of == measure else f"worst group, {measure_name(of)}"
    heads = (recipe_head(evidence.tables), *names, group, "which")
    note = "Worst group: of all environments the one with the lowest mean over seeds, one for all of them."
    source = ([*rows, *worst.values()], schema.ESTIMATES)
    caption = f"{measure_name(measure)} of every recipe, by environment"
    return sheet("performance", caption, heads, lines, source, note if worst else "") if lines else None


def _which(row: Row) -> str:
    """`in other-origin: sex F; view AP`."""
    parts = in_words(row["reason"]).split("; ")
    places = [part.removeprefix("in ") for part in parts if part.startswith("in ")]
    return f"in {row['environment']}: {'; '.join(places or parts)}"


def measures(evidence: Evidence) -> Sheet | None:
    """A row per recipe and environment, a column per measure; folded."""
    chosen = [row for row in evidence.tables.estimates if row["measure"] in MEASURES and is_overall(row)]
    names = [name for name in MEASURES if any(row["measure"] == name and _defined(row) for row in chosen)]
    if "auroc" in names:
        names = [name for name in names if name not in _REPEATED]
    lines, total = by_place(evidence, chosen, ("recipe", "environment"), "measure", names)
    heads = (recipe_head(evidence.tables), "environment", *map(measure_name, names), *COUNTS)
    source = (chosen, schema.ESTIMATES)
    made = sheet("measures", "Every measure in every environment", heads, lines, source, "", total)
    return replace(made, folded=True) if lines else None


def worst(evidence: Evidence) -> Sheet | None:
    """The worst environment of each recipe, and the worst group in each environment; folded."""
    chosen = [row for row in evidence.tables.estimates if row["group"] in WORST]
    shown = [row for row in chosen if row["measure"] in (evidence.outline.measure, "accuracy")]
    places = column_places(shown)
    lines = [
        Line(
            (
                words(row["recipe"]),
                words(row["group"]),
                words(row["environment"] or "all"),
                words(measure_name(row["measure"])),
                estimated(row, places),
                words(in_words(row["reason"])),
                amount(whole(row, "seeds")),
            ),
            first=evidence.outline.shown(row),
        )
        for row in sorted(shown, key=lambda row: (WORST.index(row["group"]), _nan_last(numeric(row, "value"))))
    ]
    heads = (recipe_head(evidence.tables), "worst", "environment", "measure", "value", "which, by seed", "seeds")
    source = (chosen, schema.ESTIMATES)
    made = sheet("worst", "Worst environments and groups", heads, lines, source)
    return replace(made, folded=True) if lines else None


def reliance(evidence: Evidence) -> Sheet | None:
    """A row per recipe and factor (and class, of several), a column per measure of use."""
    chosen = [row for row in evidence.tables.estimates if row["measure"] in USED]
    pooled = [row for row in chosen if not row["group"]]
    measures = [name for name in USED if any(row["measure"] == name for row in pooled)]
    place = ("recipe", "factor", "level") if any(row["level"] for row in pooled) else ("recipe", "factor")
    lines, total = by_place(evidence, pooled, place, "measure", measures)
    places = (recipe_head(evidence.tables), *(name.replace("level", "class") for name in place[1:]))
    heads = (*places, *map(measure_name, measures), *COUNTS)
    note = "Effects on the logit are in within-class standard deviations. The file also has each direction by itself."
    source = (chosen, schema.ESTIMATES)
    return sheet("reliance", "What each recipe relies on", heads, lines, source, note, total) if lines else None


def decodability(evidence: Evidence) -> Sheet | None:
    """A row per recipe, factor and layer, a column for the trained network and for each reference."""
    chosen = [row for row in evidence.tables.estimates if row["measure"] == "decodability"]
    groups = distinct(row["group"] for row in chosen)
    lines, total = by_place(evidence, _beside_layers(chosen), ("recipe", "factor", "layer"), "group", groups)
    heads = (recipe_head(evidence.tables), "factor", "layer", *groups, *COUNTS)
    note = "AUROC of a linear decoder on held-out patients. The bare pixels have no layer: theirs stands beside each."
    source = (chosen, schema.ESTIMATES)
    caption = "What each layer encodes"
    return sheet("decodability", caption, heads, lines, source, note, total) if lines else None


def _beside_layers(rows: Sequence[Row]) -> list[Row]:
    """The rows, with those that have no layer repeated for every layer of their recipe and factor."""
    layers: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        layers.setdefault((row["recipe"], row["factor"]), []).append(row["layer"])
    found = [row for row in rows if row["layer"]]
    for row in rows:
        if not row["layer"]:
            there = distinct(layers[row["recipe"], row["factor"]])
            found += [{**row, "layer": layer} for layer in there or [""]]
    return found


COUNTS = ("seeds", "patients", "images")


def by_place(
    evidence: Evidence, rows: Sequence[Row], place: tuple[str, ...], across: str, columns: Sequence[str]
) -> tuple[list[Line], int]:
    """One line per place, the estimates of the columns beside each other, and what they rest on; and how many places.

    Of more than a page shows, lines are made of the slice of the figures alone.
    """
    found: dict[tuple[str, ...], dict[str, Row]] = {}
    for row in rows:
        found.setdefault(tuple(placed(row, name) for name in place), {})[row[across]] = row
    total = len(found)
    if total > MOST:
        found = {where: own for where, own in found.items() if evidence.outline.shown(next(iter(own.values())))}
        found = dict(list(found.items())[:MOST])
    places = {column: column_places(own[column] for own in found.values() if column in own) for column in columns}
    lines: list[Line] = []
    for where, own in found.items():
        cells = [words(name or NONE) for name in where]
        cells += [estimated(own.get(column), places[column]) for column in columns]
        for name in COUNTS:
            count = max(whole(row, name) for row in own.values())
            cells.append(amount(count) if count else estimated(None))
        lines.append(Line(tuple(cells)))
    return lines, total


def _defined(row: Row) -> bool:
    value = numeric(row, "value")
    return value == value


def _flips(row: Row) -> Cell:
    p, least = probability(numeric(row, "sign_flip_p")), probability(numeric(row, "sign_flip_min_p"))
    return p if p.text == NONE else Cell(f"{p.text} ({least.text})", p.sort, True)


def _nan_last(value: float) -> float:
    return 2.0 if value != value else value
