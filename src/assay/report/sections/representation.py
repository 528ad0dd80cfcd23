"""Properties of layers: dimensions, similarity of recipes compared with seeds, effects of resetting layers."""

from __future__ import annotations

import math
from collections.abc import Sequence

from assay.report.account import by_place
from assay.report.charts import Planes, draw_planes
from assay.report.drawing import Mark, Panel, Plot, Reference, limits, short_names
from assay.report.figures import FULL, HALF, Figure, curves, drawn, plot_of, slice_note
from assay.report.layout import Evidence, some_levels
from assay.report.rows import distinct, numeric
from assay.report.sentences.reasons import reason_words
from assay.report.sheets import NONE, Cell, Line, Sheet, figure, probability, sheet, sort_key, words
from assay.report.wording import column_places, measure_name, recipe_head
from assay.stats.format import listed, with_interval
from assay.store import schema
from assay.store.files import Row

SHAPES = ("effective-rank", "participation-ratio", "class-separation", "cka-to-untrained")
"""The panel of each layer."""
MORE = ("intrinsic-dimension", "condition-number-90-10", "condition-number-maps", "kurtosis", "constant-units")
PUT_BACK = {"auroc-lost-to-start": "reset to its start", "auroc-lost-to-random": "permuted"}
MAPS = 4
"""Pairs of recipes whose maps are drawn, at most."""
TRAINED, UNTRAINED = "trained", "untrained"


# --- one layer by itself ---------------------------------------------------------------------------------------------


def shape(evidence: Evidence, measure: str) -> Figure | None:
    """One number along the layers, a curve per level; in gray the first recipe's before training."""
    rows = [row for row in evidence.estimates(measure, evidence.outline.shown) if row["group"] in (TRAINED, UNTRAINED)]
    trained = [row for row in rows if row["group"] == TRAINED]
    if not trained:
        return None
    levels, cut = some_levels(evidence)
    first = [row for row in rows if row["group"] == UNTRAINED and row["recipe"] == trained[0]["recipe"]]
    gray = tuple((row["layer"], numeric(row, "value")) for row in first)
    known = any(not math.isnan(value) for _, value in gray)
    references = (Reference(UNTRAINED, gray),) if known else ()
    layers = tuple(distinct(row["layer"] for row in trained))
    along = ("layer", layers, _layer)
    plot = plot_of(evidence, measure, [("", trained)], levels, along, lambda _: references)
    said = f"Gray: {evidence.outline.level(trained[0])} before training." if references else ""
    name = measure_name(measure)
    title = f"{name[:1].upper()}{name[1:]}, by layer"
    return curves(f"shape-{measure}", title, slice_note(evidence, said, cut), plot, rows, HALF)


def layers(evidence: Evidence) -> Sheet | None:
    """A row per recipe and layer, a column per measure of its shape; folded."""
    names = [name for name in (*SHAPES, *MORE) if evidence.estimates(name, lambda _: True)]
    chosen = [row for name in names for row in evidence.estimates(name, lambda row: row["group"] == TRAINED)]
    if not chosen:
        return None
    note = (
        "Of activations pooled over space, on the same images for all. Ranks change with the number of images; "
        "those of a layer with more units than images cannot exceed it."
    )
    return by_place(evidence, "layers", "The shape of every layer", chosen, ("recipe", "layer"), "measure", note)


def _layer(row: Row) -> str:
    return str(row["layer"])


# --- recipes beside their seeds --------------------------------------------------------------------------------------


def alike(evidence: Evidence) -> Figure | None:
    """CKA of the same layer between recipes, a panel per pair; in gray between two seeds of one recipe."""
    rows = _same_layer(evidence, "cka")
    pairs, cut = _pairs(evidence, rows)
    if not pairs:
        return None
    names = tuple(distinct(row["layer"] for row in rows))
    panels = tuple(
        Panel(
            f"{level} and {against}",
            tuple(_across(level, row) for row in own),
            (Reference("seeds alone", tuple((row["layer"], _baseline(row)) for row in own)),),
        )
        for (level, against), own in pairs.items()
    )
    shown = [row for own in pairs.values() for row in own]
    marks = [mark for panel in panels for mark in panel.marks]
    points = [mark.value for mark in marks] + [_baseline(row) for row in shown]
    span = limits(points, [end for mark in marks for end in (mark.low, mark.high)], (-math.inf, 1.0))
    levels = tuple(distinct(level for level, _ in pairs))
    plot = Plot(panels, levels, evidence.outline.styles, "CKA between models of different seeds", span, names, "layer")
    note = slice_note(
        evidence,
        "Gray: two seeds of one recipe, mean of both recipes. Bars: 95% interval over seeds of the distance to the "
        "gray line. A layer differs only if it is below the gray line by more than seeds explain.",
        cut,
    )
    return curves("alike", _title(shown), note, plot, shown)


def _title(rows: Sequence[Row]) -> str:
    """State which layers are below the similarity of seeds alone, after correction."""
    beyond = distinct(short for row in rows if row["conclusion"] == "beyond seeds" for short in [str(row["layer"])])
    if not any(row["conclusion"] for row in rows) or not beyond:
        return "Similarity of recipes by layer, compared with their seeds"
    return f"Recipes differ beyond their seeds in {listed(short_names(beyond))}"


def _baseline(row: Row) -> float:
    return (numeric(row, "within") + numeric(row, "against_within")) / 2


def _across(level: str, row: Row) -> Mark:
    """CKA across recipes, with the interval of its distance below the seeds' own."""
    gray = _baseline(row)
    ends = (gray - numeric(row, "high"), gray - numeric(row, "low"))
    return Mark(level, numeric(row, "value"), *ends, at=row["layer"], reason=reason_words(row["reason"]))


def maps(evidence: Evidence) -> Figure | None:
    """CKA of all layers and all layers: between two recipes, and between the seeds of each."""
    rows = [row for row in evidence.tables.similarities if row["measure"] == "cka" and row["layer"]]
    pairs, cut = _pairs(evidence, [row for row in rows if row["recipe"] != row["against"] and _drawn(evidence, row)])
    pairs = dict(list(pairs.items())[:MAPS])
    if not pairs:
        return None
    names = tuple(distinct(row["layer"] for own in pairs.values() for row in own))
    others = tuple(distinct(row["against_layer"] for own in pairs.values() for row in own))
    both = tuple(distinct((*names, *others)))
    short = dict(zip(both, short_names(both), strict=True))
    values: dict[str, dict[tuple[str, str], float]] = {}
    used: dict[int, Row] = {}
    for (level, against), own in pairs.items():
        seeds = {row["recipe"]: level for row in own} | {row["against"]: against for row in own}
        alone = {
            name: [row for row in rows if row["recipe"] == recipe == row["against"]] for recipe, name in seeds.items()
        }
        for title, shown in (
            (f"seeds of {level}", alone[level]),
            (f"{level} (down) and {against} (across)", own),
            (f"seeds of {against}", alone[against]),
        ):
            place = title if title not in values else f"{title}, next to {level}"
            values[place] = {(short[row["layer"]], short[row["against_layer"]]): numeric(row, "value") for row in shown}
            used |= {id(row): row for row in shown}
    down, across = (tuple(short[name] for name in side) for side in (both, both))
    plot = Planes(values, down, across, "layer", "layer", "CKA between models of different seeds")
    note = slice_note(evidence, "Left and right: the seed baseline of each recipe. One scale for all maps.", cut)
    return drawn("cka-maps", "CKA of every layer with every layer", note, plot, list(used.values()), draw_planes, FULL)


def likeness(evidence: Evidence) -> Sheet | None:
    """A row per pair of recipes and layer: CKA, CKA of the seeds of each, the distance, and second opinions."""
    every = [row for row in evidence.tables.similarities if row["recipe"] != row["against"]]
    rows = [row for row in every if row["layer"] == row["against_layer"]]
    places: dict[tuple[str, str, str], dict[str, Row]] = {}
    for row in rows:
        where = f"answers in {row['environment']}" if row["measure"] == "kappa" else row["layer"] or NONE
        places.setdefault((row["recipe"], row["against"], where), {})[row["measure"]] = row
    if not places:
        return None
    decimals = column_places([{"high": numeric(row, "high"), "low": numeric(row, "low")} for row in rows])
    lines = [
        Line(_line(recipe, against, where, found, decimals), first=evidence.outline.shown(next(iter(found.values()))))
        for (recipe, against, where), found in places.items()
    ]
    head = recipe_head(evidence.tables)
    heads = (head, "and", "where", "CKA or kappa", "seeds of each", "less alike than seeds", "p (Holm)",
             "conclusion")  # fmt: skip
    note = (
        "All values are between models of different seeds, of one recipe or of two. Less alike than seeds: the mean of "
        "both recipes' seeds less the value, with the 95% interval of this row alone. P: one-sided, corrected for all "
        "rows of its measure. Kappa: agreement of predictions beyond chance (Cohen), at each one's threshold. The "
        "file also has RBF CKA, Procrustes, RSA and the share of 10 nearest neighbors in common."
    )
    source = (every, schema.SIMILARITIES)
    return sheet("likeness", "Similarity of recipes, compared with their seeds", heads, lines, source, note)


def _line(recipe: str, against: str, where: str, found: dict[str, Row], places: int) -> tuple[Cell, ...]:
    main = found.get("cka") or found.get("kappa") or next(iter(found.values()))
    below = numeric(main, "below")
    apart = with_interval(below, numeric(main, "low"), numeric(main, "high"), places=places)
    return (
        words(recipe),
        words(against),
        words(where),
        figure(numeric(main, "value")),
        words(f"{figure(numeric(main, 'within')).text}, {figure(numeric(main, 'against_within')).text}"),
        Cell(NONE if math.isnan(below) else apart, sort_key(below), True, reason_words(main["reason"])),
        probability(numeric(main, "p_holm")),
        words(main["conclusion"] or NONE, reason_words(main["reason"])),
    )


def _same_layer(evidence: Evidence, measure: str) -> list[Row]:
    return [
        row
        for row in evidence.tables.similarities
        if row["measure"] == measure
        and row["recipe"] != row["against"]
        and row["layer"] == row["against_layer"] != ""
        and _drawn(evidence, row)
    ]


def _drawn(evidence: Evidence, row: Row) -> bool:
    """Return whether a pair differs along the axis of the page, is in the slice that figures show, and has a value."""
    there = evidence.outline.shown(row) and evidence.outline.shown(_other(row))
    return row["axis"] == evidence.outline.axis and there and not math.isnan(numeric(row, "value"))


def _other(row: Row) -> Row:
    return {"recipe": row["against"], "coordinates": row["against_coordinates"]}


def _pairs(evidence: Evidence, rows: Sequence[Row]) -> tuple[dict[tuple[str, str], list[Row]], str]:
    """(level, that it is compared against) -> rows, of the levels that figures show; and a note where some lack."""
    levels, cut = some_levels(evidence)
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        pair = evidence.outline.level(row), evidence.outline.level(_other(row))
        if pair[0] in levels:
            found.setdefault(pair, []).append(row)
    return found, cut


# --- which layers matter ---------------------------------------------------------------------------------------------


def put_back(evidence: Evidence) -> Figure | None:
    """AUROC lost when a layer is reset, by layer; a panel for each state that it is reset to."""
    rows = [row for name in PUT_BACK for row in evidence.estimates(name, evidence.outline.shown) if row["layer"]]
    if not rows:
        return None
    levels, cut = some_levels(evidence)
    groups = [(title, [row for row in rows if row["measure"] == name]) for name, title in PUT_BACK.items()]
    along = ("layer", tuple(distinct(row["layer"] for row in rows)), _layer)
    groups = [(title, own) for title, own in groups if own]
    plot = plot_of(evidence, rows[0]["measure"], groups, levels, along, lambda _: (Reference.level("nothing", 0.0),))
    note = slice_note(
        evidence,
        "One layer at a time, the others as trained. Near 0 when reset: its initial values serve as well. Permuted: "
        "its trained values in other places.",
        cut,
    )
    return curves("put-back", "Value of each layer's trained weights", note, plot, rows)


def put_back_table(evidence: Evidence) -> Sheet | None:
    """A row per recipe and layer: the cost of resetting it, and how far training moved its weights."""
    names = ("auroc-lost-to-start", "accuracy-lost-to-start", "auroc-lost-to-random", "accuracy-lost-to-random",
             "weight-change")  # fmt: skip
    chosen = [row for name in names for row in evidence.estimates(name, lambda _: True)]
    rows = [{**row, "layer": row["layer"] or "whole network"} for row in chosen]
    there = [name for name in names if any(row["measure"] == name for row in rows)]
    if not there:
        return None
    note = (
        "Weight change: length of the difference to the weights before training over their length. Each layer is reset "
        "alone, so two layers may substitute for each other."
    )
    caption = "Layers reset to their start, or permuted"
    place = ("recipe", "layer")
    return by_place(evidence, "put-back-table", caption, rows, place, "measure", note, source=chosen)
