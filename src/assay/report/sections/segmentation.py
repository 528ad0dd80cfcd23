"""Segmentation without lesions: the trade against overlap, the plane, the free response."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace

from assay.core.measures import quiet_of, range_of
from assay.report.account import by_place
from assay.report.charts import Field, Planes, Spot, Trace, draw_field, draw_planes
from assay.report.drawing import limits
from assay.report.figures import FULL, HALF, Figure, drawn, slice_note
from assay.report.layout import ROWS, SHOWN, Evidence, is_overall, some_levels
from assay.report.rows import distinct, numeric
from assay.report.sheets import Line, Sheet, estimated, sheet, words
from assay.report.wording import axis_name, column_places, measure_name, recipe_head
from assay.stats.format import listed, number
from assay.store import schema
from assay.store.files import Row

CONVENTIONS = ("dice", "dice-one", "dice-skip", "dice-smoothed", "dice-zero")
OF_A_KIND = ("dice", "lesion-sensitivity", "false-positives-per-image")
WIDE, GRID = 0.75, 24
"""Share of the figure above which a region fills it, and points a side by which that is judged."""
SHOWN_THRESHOLDS = (8.0, 4.0, 2.0, 1.0, 0.0, -1.0, -2.0, -4.0, -8.0)
"""Logits at which the plane is shown; the file has all."""


def trade(evidence: Evidence, width: float = FULL) -> Figure | None:
    """Overlap on lesions against false alarms on healthy images at matched sensitivity: a point per level, in the
    region where both may lie.
    """
    levels, cut = some_levels(evidence, ROWS)
    shown = [row for row in evidence.tables.trades if evidence.outline.shown(row)]
    trades = [row for row in shown if evidence.outline.level(row) in levels]
    pairs = [pair for row in trades if (pair := _pair(evidence, row)) is not None]
    if not pairs:
        return None
    spots = tuple(_spot(evidence, *pair) for pair in pairs)
    if len(spots) > SHOWN:
        spots = tuple(replace(spot, region=()) for spot in spots)  # so many shades would hide each other
    measure, across = trades[0]["up"], trades[0]["across"]
    limits = _limits(spots, 0, range_of(across)), _limits(spots, 1, range_of(measure))
    wide = sum(_covered(spot.region, *limits) > WIDE for spot in spots)
    if wide:  # one shade over everything hides the others, and those alone would look the widest
        spots = tuple(replace(spot, region=()) for spot in spots)
    field = Field(
        f"Dice in {trades[0]['across_environment']} (higher is better)",
        f"{axis_name(measure)}, in {trades[0]['up_environment']}",
        *limits,
        levels,
        evidence.outline.styles,
        spots,
    )
    title = f"{measure_name(measure).capitalize()} against {measure_name(across)}"
    of = f"95% regions of both together are not drawn: {wide} of {len(spots)} fill the figure. " if wide else ""
    around = _explained(spots, evidence.tables.unit)
    note = slice_note(evidence, f"Best is low and to the right. {around} {of}{_front(spots)}", cut)
    rows = [row for _, *both in pairs for row in both]
    return drawn("trade", title, note, field, rows, draw_field, width)


def free_response(evidence: Evidence, width: float = HALF) -> Figure | None:
    """Sensitivity by lesion against components that touch no lesion, a line per level."""
    rows = [row for row in evidence.tables.free_response if evidence.outline.shown(row)]
    where = _mixed(evidence, [row["environment"] for row in rows])
    rows = [row for row in rows if row["environment"] == where]
    levels, cut = some_levels(evidence, ROWS)
    traces = tuple(
        Trace(level, _rising(own))
        for level in levels
        if (own := [row for row in rows if evidence.outline.level(row) == level])
    )
    if not traces:
        return None
    most = max(x for trace in traces for x, _ in trace.points)
    field = Field(
        "components per image that touch no lesion",
        f"sensitivity by lesion, in {where}",
        (0.0, most or 1.0),
        (0.0, 1.02),
        levels,
        evidence.outline.styles,
        traces=traces,
        square=True,
    )
    note = slice_note(
        evidence,
        "The mean over seeds at as many false positives. Across: a scale of square roots.",
        cut,
    )
    return drawn("free-response", "Lesions found against false positives", note, field, rows, draw_field, width)


def planes(evidence: Evidence, width: float = FULL) -> Figure | None:
    """The false-positive rate over threshold and minimum area, a map per level."""
    rows = [row for row in evidence.tables.planes if evidence.outline.shown(row)]
    where = _free(evidence, [row["environment"] for row in rows])
    rows = [row for row in rows if row["environment"] == where]
    levels, cut = some_levels(evidence, ROWS)
    values = {
        level: {
            (_probability(numeric(row, "threshold")), _share(numeric(row, "area"))): numeric(row, "value")
            for row in rows
            if evidence.outline.level(row) == level and numeric(row, "threshold") in SHOWN_THRESHOLDS
        }
        for level in levels
    }
    values = {level: cells for level, cells in values.items() if cells}
    if not values:
        return None
    areas = tuple(distinct(_share(numeric(row, "area")) for row in rows))
    shown = tuple(_probability(threshold) for threshold in SHOWN_THRESHOLDS)
    plot = Planes(values, shown, areas, "threshold", "minimum area", "share of lesion-free images called")
    note = slice_note(evidence, "Images with a component of that area at that threshold; means over seeds.", cut)
    return drawn("planes", f"False alarms in {where} by threshold and area", note, plot, rows, draw_planes, width)


def conventions(evidence: Evidence) -> Sheet | None:
    """Dice under every convention for empty masks, side by side, and the order in which each puts the recipes."""
    found = {name: _by_recipe(evidence, name) for name in CONVENTIONS}
    found = {name: own for name, own in found.items() if own}
    if len(found) < 2:
        return None
    ranks = {name: _ranks(own) for name, own in found.items()}
    places = {name: column_places(own.values()) for name, own in found.items()}
    lines = [
        Line(
            (
                words(recipe),
                *(estimated(own.get(recipe), places[name]) for name, own in found.items()),
                words(", ".join(str(ranks[name].get(recipe, "")) for name in found)),
            )
        )
        for recipe in distinct(recipe for own in found.values() for recipe in own)
    ]
    heads = (recipe_head(evidence.tables), *map(measure_name, found), "rank under each")
    note = (
        f"Dice is of images with a lesion. The others are of the images of {_mixed_name(evidence)}, and differ in the "
        "score of an image without a lesion and without a prediction (`skip` leaves it out). They can change the order "
        "of the same recipes."
    )
    rows = [row for own in found.values() for row in own.values()]
    return sheet("conventions", "Dice by the convention for empty masks", heads, lines, (rows, schema.ESTIMATES), note)


def by_kind(evidence: Evidence) -> Sheet | None:
    """A row per recipe, environment and kind of lesion, where masks name several; folded."""
    rows = [
        row
        for row in evidence.tables.estimates
        if row["measure"] in OF_A_KIND and row["level"] and not (row["factor"] or row["group"])
    ]
    note = (
        "A pixel is predicted as the kind with its greatest logit. A lesion is found if at least half of its pixels "
        "are predicted as its kind. A predicted component without a pixel of its kind is a false positive in any image."
    )
    rows = [row for name in OF_A_KIND for row in rows if row["measure"] == name]
    place, heads = ("recipe", "environment", "level"), {"level": "kind"}
    made = by_place(evidence, "kinds", "By kind of lesion", rows, place, "measure", note, heads=heads)
    return made and replace(made, folded=True)


# --- what is shown, and where ----------------------------------------------------------------------------------------


def _stated(evidence: Evidence) -> str:
    """The measure of false alarms that the study compares, else the one at 90% sensitivity."""
    return quiet_of(row["measure"] for row in evidence.tables.contrasts)


def _compared(evidence: Evidence, measure: str) -> list[str]:
    return distinct(row["environment"] for row in evidence.tables.contrasts if row["measure"] == measure)


def _free(evidence: Evidence, names: Sequence[str]) -> str:
    """The environment of the stated comparison of false alarms, else the first that has a plane."""
    return next((name for name in [*_compared(evidence, _stated(evidence)), *names] if name in names), "")


def _mixed(evidence: Evidence, names: Sequence[str]) -> str:
    """An environment with lesions and without, else the first."""
    free = {row["environment"] for row in evidence.tables.planes}
    return next((name for name in names if name in free), next(iter(names), ""))


def _mixed_name(evidence: Evidence) -> str:
    return _mixed(evidence, distinct(row["environment"] for row in evidence.tables.free_response))


def _by_recipe(evidence: Evidence, measure: str) -> dict[str, Row]:
    where = _mixed_name(evidence)
    rows = evidence.estimates(measure, lambda row: is_overall(row) and row["environment"] == where)
    return {row["recipe"]: row for row in rows}


def _ranks(rows: dict[str, Row]) -> dict[str, int]:
    """Rank values, the greatest first. Equal values share the better rank, and missing values have none."""
    values = {recipe: value for recipe, row in rows.items() if not math.isnan(value := numeric(row, "value"))}
    return {recipe: 1 + sum(other > value for other in values.values()) for recipe, value in values.items()}


def _pair(evidence: Evidence, trade: Row) -> tuple[Row, Row, Row] | None:
    """A recipe's row of the trade and its two estimates; None where either has no value."""
    found = [
        row
        for side in ("across", "up")
        for row in evidence.estimates(trade[side], is_overall)
        if (row["recipe"], row["environment"]) == (trade["recipe"], trade[f"{side}_environment"])
        and not math.isnan(numeric(row, "value"))
    ]
    return (trade, found[0], found[1]) if len(found) == 2 else None


def _limits(spots: Sequence[Spot], axis: int, within: tuple[float, float]) -> tuple[float, float]:
    """The range of one axis of the trade: points and seeds, and intervals and regions as far as they fit."""
    shown = [(spot.across, spot.up)[axis] for spot in spots]
    points = [value for value, _, _ in shown] + [seed[axis] for spot in spots for seed in spot.seeds]
    ends = [end for _, low, high in shown for end in (low, high)]
    return limits(points, ends + [point[axis] for spot in spots for point in spot.region], within)


def _covered(region: Sequence[tuple[float, float]], across: tuple[float, float], up: tuple[float, float]) -> float:
    """The share of the figure that a region covers, from a grid of points."""
    steps = [(at + 0.5) / GRID for at in range(GRID)]
    points = [(across[0] + x * (across[1] - across[0]), up[0] + y * (up[1] - up[0])) for x in steps for y in steps]
    return sum(_within(region, x, y) for x, y in points) / len(points)


def _within(region: Sequence[tuple[float, float]], x: float, y: float) -> bool:
    """Whether a ray from the point to the right crosses the outline an odd number of times."""
    edges = zip(region, [*region[1:], *region[:1]], strict=True)
    return bool(sum((a[1] > y) != (b[1] > y) and x < a[0] + (y - a[1]) / (b[1] - a[1]) * (b[0] - a[0])
                    for a, b in edges) % 2)  # fmt: skip


def _explained(spots: Sequence[Spot], unit: str) -> str:
    """Explain the marks around the points."""
    if not any(spot.region for spot in spots):
        return "Bars: 95% intervals; dots: seeds."
    return (
        f"Bars: 95% interval of each alone; shaded: 95% region of both together, over {unit} and seeds (Hotelling's); "
        "dots: seeds."
    )


def _front(spots: Sequence[Spot]) -> str:
    """Which levels no other one beats both ways, by their points alone."""
    best = [
        spot.level
        for spot in spots
        if not any(
            other.across[0] >= spot.across[0]
            and other.up[0] <= spot.up[0]
            and (other.across[0], other.up[0]) != (spot.across[0], spot.up[0])
            for other in spots
        )
    ]
    return f"By point estimates, none is better on both axes than {listed(best)}." if len(spots) > 1 else ""


def _spot(evidence: Evidence, trade: Row, across: Row, up: Row) -> Spot:
    seeds = [dict(next(iter(evidence.marks([row]))).seeds) for row in (across, up)]
    both = sorted(seeds[0].keys() & seeds[1].keys())
    return Spot(
        evidence.outline.level(up),
        (numeric(across, "value"), numeric(across, "low"), numeric(across, "high")),
        (numeric(up, "value"), numeric(up, "low"), numeric(up, "high")),
        tuple((seeds[0][seed], seeds[1][seed]) for seed in both),
        tuple((float(x), float(y)) for x, y in json.loads(trade["region"])),
    )


def _rising(rows: Sequence[Row]) -> tuple[tuple[float, float], ...]:
    """A curve from the fewest false positives on."""
    return tuple(sorted((numeric(row, "false_positives"), numeric(row, "sensitivity")) for row in rows))


def _probability(logit: float) -> str:
    """A threshold as readers know it: `p 0.73`."""
    return f"p {number(1 / (1 + math.exp(-logit)), 2 if abs(logit) < 4 else 4 if abs(logit) > 4 else 3)}"


def _share(area: float) -> str:
    """`any px`, `0.1%`."""
    return f"{number(100 * area, 2 if area < 0.001 else 1)}%" if area else "1 px"
