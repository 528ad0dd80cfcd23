"""Render blocks: rows of tables as a chart and a table of the page."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from assay.core.measures import MEASURES, label_of, range_of
from assay.report.block import Block
from assay.report.charts import Field, Planes, Spot, Trace, draw_curves, draw_field, draw_planes, draw_rows
from assay.report.context import PageContext, coordinates, distinct_values, int_or_zero
from assay.report.drawing import (
    REFERENCE,
    ChartPanel,
    Drawing,
    EstimateMark,
    Plot,
    ReferenceLine,
    Style,
    limits,
    short_names,
    styles,
)
from assay.report.sentences.reasons import place_words as worst_words
from assay.report.sentences.reasons import reason_words
from assay.report.sheets import (
    NONE,
    SHOWN_ROWS,
    Cell,
    Download,
    Sheet,
    SheetRow,
    amount,
    as_csv,
    as_svg,
    estimate_cell,
    figure,
    probability,
    sheet,
    words,
)
from assay.report.words import (
    VERDICTS,
    axis_words,
    display_name,
    doubtful,
    sentence_case,
    verdict_words,
)
from assay.stats.format import common_decimals, count, in_words, join_words
from assay.stats.rows import Row, numeric
from assay.store.columns import CellKind

FULL, FIRST_WIDTH, NARROW = 800.0, 680.0, 350.0
"""Widths in pixels: on a desktop, there on the first screen, and on a phone."""
MOST_LEVELS, MOST_PANELS, MOST_COLUMNS = 12, 12, 8
"""What a chart and a table of the page show at most; the file has all."""
EFFECTS = "reliance"
"""The probe whose measures have no effect at 0."""


@dataclass(frozen=True)
class Figure:
    """A figure as the page shows it: two layouts, words for those who do not see it, its rows and its files."""

    id: str
    title: str
    note: str
    alternative: str
    wide: str
    narrow: str
    csv: Download | None
    svg: Download | None
    folded: bool = False


@dataclass(frozen=True)
class RenderedBlock:
    """A block on the page: its chart and its table, either of which it may lack."""

    figure: Figure | None
    sheet: Sheet | None


class DisplayNames(Protocol):
    """Names and units for figures and texts."""

    @property
    def axis(self) -> str:
        """The measured quantity."""
        ...

    def words(self) -> Iterator[str]:
        """All marks as sentences."""
        ...


PlotT = TypeVar("PlotT", bound=DisplayNames)
T = TypeVar("T")


def render(block: Block, context: PageContext) -> RenderedBlock:
    """Render a block; nothing of one without rows."""
    rows = block.keep.of(context.rows(block.table))
    table = _table(block, rows, context) if block.listed and rows else None
    figure = chart(block, context)
    if figure and table:
        table = replace(table, caption=f"{table.caption}, in numbers")
    return RenderedBlock(figure, table)


def chart(block: Block, context: PageContext, width: float = FULL) -> Figure | None:
    """Draw a block; None where it has no value to draw."""
    rows = block.keep.of(context.rows(block.table))
    free = (block.along.removeprefix("axis "),) if block.along.startswith("axis ") else ()
    free += tuple(name.removeprefix("axis ") for name in block.place if name.startswith("axis "))
    rows = [row for row in rows if context.scope.is_in_slice(row, *free)]
    match block.chart:
        case "strip":
            return _strip(block, rows, context, width)
        case "curve":
            return _curve(block, rows, context, width)
        case "field" | "froc":
            return _field(block, rows, context, width)
        case "trade":
            return _trade(block, rows, context, width)
        case "heat":
            return _heat(block, rows, context, width)
        case "none":
            return None


# Charts.


def _strip(block: Block, rows: Sequence[Row], context: PageContext, width: float) -> Figure | None:
    """Values with intervals: a row per place, recipes as colors, a panel per measure."""
    undefined = [row for row in rows if math.isnan(numeric(row, block.value))]
    rows = [row for row in rows if row not in undefined]
    levels, kept, cut = _levels(block, rows, context)
    by_panel, more = _panels(block, kept, context)
    if not by_panel:
        return None
    block = replace(
        block, place=(*block.place, *_distinguishing_columns(block, kept, (*block.place, block.panel or "measure")))
    )
    places: dict[str, float] = {}
    panels: list[ChartPanel] = []
    for title, panel_rows in by_panel.items():
        most = max(abs(numeric(row, block.value)) for row in panel_rows) or 1.0
        for row in panel_rows:
            at = _place(block, row, context)
            places[at] = max(places.get(at, 0.0), abs(numeric(row, block.value)) / most)
        at = (_place(block, row, context) for row in undefined if _panel_of(block, row, context) == title)
        panels.append(replace(_panel(block, title, panel_rows, context), undefined=frozenset(at)))
    by_size = "factor" in block.place and not block.ordered
    order = sorted(places, key=lambda place: -places[place]) if by_size else list(places)
    colors = {level: style for level, style in _styles(block, levels, context).items() if level in levels}
    axis = axis_words(kept[0]["measure"], str(kept[0].get("unit") or "")) if "measure" in kept[0] else ""
    title = panels[0].title if len(panels) == 1 else ""
    axis = block.axes[0].format(title) if block.axes and title else axis if len(panels) == 1 else ""
    if len(panels) == 1:
        panels = [replace(panels[0], title="")]
    plot = Plot(tuple(panels), tuple(levels), colors, axis, panels[0].limits or (0.0, 1.0), tuple(order), "")
    return make_figure(block, plot, kept, draw_rows, width, f"{cut} {more}".strip(), still=_still)


def _curve(block: Block, rows: Sequence[Row], context: PageContext, width: float) -> Figure | None:
    """Values along an axis of recipes, a layer or a severity: a curve per level, a panel per place."""
    references = [row for row in rows if row.get("group") in block.reference]
    rows = [row for row in rows if row not in references] if references else list(rows)
    along = _position_of_rows(block)
    levels, kept, cut = _levels(block, [row for row in rows if not math.isnan(numeric(row, block.value))], context)
    positions = distinct_values(along(row) for row in kept)
    if len(positions) < 2:
        return None
    scaled = block.along.startswith("axis ") and all(map(_is_number, positions))
    if all(map(_is_number, positions)):
        positions = sorted(positions, key=float)
    elif set(positions) <= set(block.order):
        positions = sorted(positions, key=block.order.index)
    by_panel, more = _panels(block, kept, context)
    panels = tuple(
        _panel(
            block,
            title,
            panel_rows,
            context,
            along,
            _gray([row for row in references if _panel_of(block, row, context) == title]),
        )
        for title, panel_rows in by_panel.items()
    )
    name = block.along.removeprefix("axis ")
    colors = _styles(block, levels, context)
    measures = distinct_values(row.get("measure") for row in kept)
    axis = axis_words(measures[0]) if len(measures) == 1 else "value"
    span = (
        min(panel.limits[0] for panel in panels if panel.limits),
        max(panel.limits[1] for panel in panels if panel.limits),
    )
    if block.panel != "measure":
        panels = tuple(replace(panel, limits=None) for panel in panels)
    along_name = "share p" if name == "p" else in_words(name)
    shares = scaled and float(positions[-1]) <= 1.0
    plot = Plot(panels, tuple(levels), colors, axis, span, tuple(positions), along_name, scaled=shares)
    return make_figure(block, plot, kept, draw_curves, width, f"{cut} {more}".strip(), still=_still)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _still(plot: Plot) -> Plot:
    return replace(plot, hover=False)


def _position_of_rows(block: Block) -> Callable[[Row], str]:
    if block.along.startswith("axis "):
        axis = block.along.removeprefix("axis ")
        return lambda row: coordinates(row).get(axis, "").partition("+")[0]
    return lambda row: str(row.get(block.along, ""))


def _levels(block: Block, rows: Sequence[Row], context: PageContext) -> tuple[list[str], list[Row], str]:
    """Return the levels that a chart shows, their rows, and a note where there are more than it can hold."""
    levels = distinct_values(_color(block, row, context) for row in rows) or [""]
    cut = f"{MOST_LEVELS} of {len(levels)} shown; the table has all." if len(levels) > MOST_LEVELS else ""
    if cut:  # both ends of the ranking
        best = sorted(levels, key=lambda one: _mean(one, block, rows, context))
        chosen = {*best[: MOST_LEVELS // 2], *best[-MOST_LEVELS // 2 :]}
        levels = [level for level in levels if level in chosen]
    return levels, [row for row in rows if _color(block, row, context) in levels], cut


def _mean(level: str, block: Block, rows: Sequence[Row], context: PageContext) -> float:
    values = [numeric(row, block.value) for row in rows if _color(block, row, context) == level]
    return sum(values) / len(values)


def _color(block: Block, row: Row, context: PageContext) -> str:
    if not block.colors:
        return context.level_label(row)
    value = str(row[block.colors])
    if block.colors == "verdict" and value in VERDICTS:
        return VERDICTS[value].text
    if block.colors == "factor":
        return display_name(value.replace("-", " "))
    return in_words(value).replace("-", " ") or "all images"


def _styles(block: Block, levels: Sequence[str], context: PageContext) -> dict[str, Style]:
    page_styles: dict[str, Style] = {} if block.colors else context.styles
    return page_styles if all(level in page_styles for level in levels) else styles(levels)


def _panels(block: Block, rows: Sequence[Row], context: PageContext) -> tuple[dict[str, list[Row]], str]:
    """Return the panels of a chart, and a note where there are more than it can hold."""
    by_panel: dict[str, list[Row]] = {}
    for row in rows:
        by_panel.setdefault(_panel_of(block, row, context), []).append(row)
    return _first_of(by_panel, MOST_PANELS, "panels")


def _first_of(by_level: Mapping[str, T], most: int, name: str) -> tuple[dict[str, T], str]:
    """Return the first of what a chart draws, and a note where there is more."""
    cut = f"{most} of {len(by_level)} {name} shown; the file has all." if len(by_level) > most else ""
    return dict(list(by_level.items())[:most]), cut


def _panel_of(block: Block, row: Row, context: PageContext) -> str:
    """Return the title of a row's panel: its value of the panel's column; confounders of doses are apart."""
    name = _text(block.table, block.panel or "measure", row, context) if block.panel or "measure" in row else ""
    confounder = coordinates(row).get("confounder", "") if block.along.startswith("axis ") else ""
    if not confounder or "confounder" not in context.scope.axes or context.scope.axis == "confounder":
        return name
    return f"{name}, {context.names.level('confounder', confounder)}"


def _place(block: Block, row: Row, context: PageContext) -> str:
    """Return the words of the columns that name a row of a strip."""
    parts = [
        coordinates(row).get(name.removeprefix("axis "), "")
        if name.startswith("axis ")
        else _text(block.table, name, row, context)
        if row.get(name)
        else ""
        for name in block.place
    ]
    return ", ".join(part for part in parts if part) or "all"


def ends_of(row: Row, name: str) -> tuple[float, float]:
    """Return the ends of the interval of a column: its own, that which decided a comparison, or that of the row."""
    if name == "value" and not math.isnan(numeric(row, "decision_low")):
        return numeric(row, "decision_low"), numeric(row, "decision_high")
    prefix = f"{name}_" if f"{name}_low" in row else ""
    return numeric(row, f"{prefix}low"), numeric(row, f"{prefix}high")


def _panel(
    block: Block,
    title: str,
    rows: Sequence[Row],
    context: PageContext,
    along: Callable[[Row], str] | None = None,
    references: tuple[ReferenceLine, ...] = (),
) -> ChartPanel:
    marks = tuple(
        EstimateMark(
            _color(block, row, context),
            numeric(row, block.value),
            *ends_of(row, block.value),
            context.values_by_seed(row),
            along(row) if along else _place(block, row, context),
            reason_words(row.get("reason", "")) if doubtful(row) else "",
        )
        for row in rows
    )
    margins = [margin for row in rows if (margin := numeric(row, "margin")) > 0] if block.shaded else []
    band = (-margins[0], margins[0]) if margins else None
    lines = (*references, *_chance(block, rows))
    points = [value for mark in marks for value in mark.points] + [v for point in lines for _, v in point.values]
    points += band or ()
    bounds = (-math.inf, math.inf)
    if "chance" in rows[0]:
        bounds = range_of(rows[0]["measure"])
    ends = [end for mark in marks for end in (mark.low, mark.high)]
    return ChartPanel(
        title, marks, lines, band, limits([point for point in points if not math.isnan(point)], ends, bounds)
    )


def _chance(block: Block, rows: Sequence[Row]) -> tuple[ReferenceLine, ...]:
    """Return the level of the block, or of a model that knows nothing, where it is the same for all rows."""
    if block.level is not None:
        return (ReferenceLine.level(*block.level),)
    if "chance" not in rows[0]:
        return ()
    measure = rows[0]["measure"]
    if measure in MEASURES and MEASURES[measure].probe == EFFECTS:
        return (ReferenceLine.level("no effect", 0.0),)
    values = {round(value, 6) for row in rows if not math.isnan(value := numeric(row, "chance"))}
    return (ReferenceLine.level("chance", values.pop()),) if len(values) == 1 else ()


_DASHES = ("5 3", "1 3", "")


def _gray(rows: Sequence[Row]) -> tuple[ReferenceLine, ...]:
    """Return gray references along a curve, as the first recipe has them."""
    of_recipe = [row for row in rows if row["recipe"] == rows[0]["recipe"]]
    lines: list[ReferenceLine] = []
    for group, dash in zip(distinct_values(row["group"] for row in of_recipe), _DASHES, strict=False):
        defined = [row for row in of_recipe if row["group"] == group and not math.isnan(numeric(row, "value"))]
        if defined and not defined[0]["layer"]:
            lines.append(ReferenceLine.level(group, numeric(defined[0], "value")))
        elif defined:
            lines.append(ReferenceLine(group, tuple((row["layer"], numeric(row, "value")) for row in defined), dash))
    return tuple(lines)


def _trade(block: Block, rows: Sequence[Row], context: PageContext, width: float) -> Figure | None:
    """False positives against overlap: a point per recipe with its intervals, in the region where both may lie."""
    estimates = {
        (row["recipe"], row["measure"], row["environment"]): row
        for row in context.tables["estimates"]
        if not (row["factor"] or row["level"] or row["group"]) and not math.isnan(numeric(row, "value"))
    }
    spots: list[Spot] = []
    used: list[Row] = []
    for row in rows:
        both = [estimates.get((row["recipe"], row[side], row[f"{side}_environment"])) for side in ("across", "up")]
        if both[0] is None or both[1] is None:
            continue
        used += [both[0], both[1]]
        seeds = [dict(context.values_by_seed(point)) for point in (both[0], both[1])]
        ends = [
            (numeric(point, "value"), numeric(point, "low"), numeric(point, "high")) for point in (both[0], both[1])
        ]
        pairs = tuple((seeds[0][seed], seeds[1][seed]) for seed in sorted(seeds[0].keys() & seeds[1].keys()))
        region = tuple((float(x), float(y)) for x, y in json.loads(row["region"] or "[]"))
        spots.append(Spot(context.level_label(row), ends[0], ends[1], pairs, region))
    if not spots:
        return None
    names = tuple(
        f"{axis_words(rows[0][side])}, {context.names.place(rows[0][f'{side}_environment'])}"
        for side in ("across", "up")
    )
    spans = [
        limits(
            [value for spot in spots for value in ((spot.across, spot.up)[i][0], *(pair[i] for pair in spot.seeds))],
            [end for spot in spots for end in (spot.across, spot.up)[i][1:]],
            range_of(rows[0][side]),
        )
        for i, side in enumerate(("across", "up"))
    ]
    if any(_fills(spot.region, spans) for spot in spots):  # a shade over everything hides the others
        spots = [replace(spot, region=()) for spot in spots]
    levels = tuple(spot.level for spot in spots)
    field = Field(names[0], names[1], spans[0], spans[1], levels, _styles(block, levels, context), tuple(spots))
    return make_figure(block, field, used, draw_field, width)


def _fills(region: Sequence[tuple[float, float]], spans: Sequence[tuple[float, float]]) -> bool:
    """Return whether a region reaches beyond both axes on both sides."""
    ends = [[point[i] for point in region] for i in (0, 1)]
    return bool(region) and all(
        min(own_ends) <= low + 0.05 * (high - low) and max(own_ends) >= high - 0.05 * (high - low)
        for own_ends, (low, high) in zip(ends, spans, strict=True)
    )


def _field(block: Block, rows: Sequence[Row], context: PageContext, width: float) -> Figure | None:
    """A line per recipe through points of two columns, with the area of its intervals where it has some."""
    defined = [row for row in rows if not math.isnan(numeric(row, block.up))]
    lines: dict[str, list[tuple[float, float]]] = {}
    ends: dict[str, list[tuple[float, float, float]]] = {}
    for row in defined:
        level, at = _color(block, row, context), numeric(row, block.along)
        lines.setdefault(level, []).append((at, numeric(row, block.up)))
        low, high = ends_of(row, block.up)
        ends.setdefault(level, []).extend([] if math.isnan(low) else [(at, low, high)])
    if not lines:
        return None
    lines, cut = _first_of(lines, MOST_LEVELS, "lines")
    traces = tuple(Trace(level, tuple(sorted(points)), _band(ends[level])) for level, points in lines.items())
    points = [point for trace in traces for point in (*trace.points, *trace.band)]
    across = (min(x for x, _ in points), max(x for x, _ in points))
    square = block.chart == "froc"
    span = (0.0, 1.02) if square else limits([y for _, y in points], [], (-math.inf, math.inf))
    levels = tuple(trace.level for trace in traces)
    across = (across[0], max(across[1], across[0] + 1e-9))
    colors = _styles(block, levels, context)
    colors |= dict.fromkeys(block.reference, REFERENCE)
    field = Field(*_axis_titles(block), across, span, levels, colors, traces=traces, square=square)
    return make_figure(block, field, defined, draw_field, width, cut)


def _band(ends: Sequence[tuple[float, float, float]]) -> tuple[tuple[float, float], ...]:
    """Return the corners of the area between lower and upper ends along a line."""
    ordered = sorted(ends)
    return (*((at, low) for at, low, _ in ordered), *((at, high) for at, _, high in reversed(ordered)))


def _heat(block: Block, rows: Sequence[Row], context: PageContext, width: float) -> Figure | None:
    """A value by two columns: a map per recipe, or per pair of recipes."""
    names = short_names(distinct_values(str(row[one]) for row in rows for one in (block.up, block.along)) or [""])
    short = dict(
        zip(distinct_values(str(row[one]) for row in rows for one in (block.up, block.along)), names, strict=False)
    )

    def label_of(row: Row, column: str) -> str:
        return _text(block.table, column, row, context) if column in context.page.cells else short[str(row[column])]

    values: dict[str, dict[tuple[str, str], float]] = {}
    for row in rows:
        name = str(row[block.panel]) if block.panel else context.level_label(row)
        values.setdefault(name, {})[label_of(row, block.up), label_of(row, block.along)] = numeric(row, "value")
    values, cut = _first_of(values, MOST_PANELS, "panels")
    if not values:
        return None
    down, across = (tuple(distinct_values(key[i] for cells in values.values() for key in cells)) for i in (0, 1))
    along, up = _axis_titles(block)
    plot = Planes(values, down, across, up, along, block.title)
    return make_figure(block, plot, rows, draw_planes, width, cut)


def _axis_titles(block: Block) -> tuple[str, str]:
    return block.axes or (in_words(block.along), in_words(block.up))


def make_figure(
    block: Block,
    plot: PlotT,
    rows: Sequence[Row],
    draw: Callable[[PlotT, float], Drawing],
    width: float,
    cut: str = "",
    still: Callable[[PlotT], PlotT] = lambda plot: plot,
) -> Figure:
    """Make a figure. still: the plot without its texts on hovering, for a phone and for the file."""
    alternative = f"{block.title}. {sentence_case(plot.axis)}. " + " ".join(plot.words())
    note = " ".join(part for part in (block.note, _describe_counts(rows, first=width == FIRST_WIDTH), cut) if part)
    wide, plain_plot = draw(plot, width), still(plot)
    return Figure(
        block.id,
        block.title,
        note,
        alternative,
        wide.inline(alternative, "wide"),
        draw(plain_plot, NARROW).inline(alternative, "narrow"),
        as_csv(block.id, tuple(rows[0]), rows),
        as_svg(block.id, draw(plain_plot, width).standalone(block.title, alternative)),
        block.folded,
    )


def _describe_counts(rows: Sequence[Row], *, first: bool) -> str:
    """Return the seeds and patients that the values of a figure rest on: `4 to 5 seeds, 1,000 patients.`

    first: On the first screen, which names the seeds elsewhere.
    """
    over = "patients" if any(int_or_zero(row, "patients") for row in rows if "patients" in row) else "images"
    parts = [_range([int_or_zero(row, name) for row in rows if name in row], name) for name in ("seeds", over)[first:]]
    doubts = [row for row in rows if doubtful(row)]
    without = all("low" in row and math.isnan(numeric(row, "low")) for row in doubts)
    what = "without an interval" if without else "undefined or doubtful"
    words = f" {len(doubts)} of {count(len(rows), 'value')} {what}." if doubts else ""
    return ", ".join(part for part in parts if part) + "." + words if any(parts) else words.strip()


def _range(counts: Sequence[int], name: str) -> str:
    some = sorted(value for value in counts if value)
    if not some:
        return ""
    low, high = some[0], some[-1]
    return count(low, name.removesuffix("s")) if low == high else f"{low:,} to {high:,} {name}"


# Tables.


_WORDS: Mapping[CellKind, Callable[[str], str]] = {
    "measure": label_of,
    "reason": reason_words,
    "code": lambda value: in_words(value).replace("-", " "),
    "list": lambda value: join_words([f"{number_of_list:g}" for number_of_list in json.loads(value or "[]")]),
    "text": str,
}
"""Kind of a cell -> its words; of others the value is the name of a component."""


def _text(table: str, name: str, row: Row, context: PageContext) -> str:
    """Return the value of a column in words: those of the page, else by the kind of its cells."""
    if name in context.page.cells:
        return context.page.cells[name].cell(row, context).text
    value = str(row.get(name, ""))
    match context.column(table, name).cell:
        case "recipe":
            own = "coordinates" in row and value == row.get("recipe")
            return context.recipe(row) if own else context.recipe_name(value)
        case "environment":
            return context.names.place(value)
        case "decision":
            return verdict_words(row)
        case "place":
            return worst_words(value, context.names.place)
        case kind:
            return _WORDS.get(kind, display_name)(value)


def cell(table: str, name: str, row: Row, context: PageContext, places: int | None = None) -> Cell:
    """Return the cell of a column: in the words of the page, else by the kind of its cells.

    Args:
        table: Name of the table.
        name: Name of the column.
        row: The row.
        context: The tables, with the page.
        places: Decimals of the column; by the value or its interval where None.
    """
    if name in context.page.cells:
        special = context.page.cells[name].cell(row, context)
        return special if special.text else words(NONE)
    kind, value = context.column(table, name).cell, row.get(name)
    if kind == "count":
        return amount(number_of) if (number_of := int_or_zero(row, name)) else Cell(NONE, "", True)
    if isinstance(value, bool | str) or value is None:
        return words(_text(table, name, row, context) or NONE)
    if kind == "p":
        return probability(numeric(row, name))
    low, high = ends_of(row, name)
    if kind == "interval" and not math.isnan(low):
        prefix = f"{name}_low" in row
        return estimate_cell({**row, "value": value, "low": low, "high": high}, None if prefix else places)
    if isinstance(value, int):
        return amount(value)
    return figure(float(value), 2 if places is None else places)


def anchor(row: Row) -> str:
    """Return the anchor of a comparison in the page."""
    return "row-" + "".join(letter if letter.isalnum() else "-" for letter in str(row["id"]))


def _table(block: Block, rows: Sequence[Row], context: PageContext) -> Sheet | None:
    table = context.kind.tables[block.table]
    if block.across and not block.columns:
        heads, lines = _pivot(block, rows, context)
    else:
        columns = block.columns or ("recipe", *(one for one in block.place if not one.startswith("axis ")), "value")
        columns = [one for one in columns if one != "recipe" or context.has_several_recipes]
        measures = {row.get("measure", "") for row in rows}
        decimals = {name: _places([row for row in rows if row.get("measure", "") == name]) for name in measures}
        heads = [_heading(block.table, name, context) for name in columns]
        lines = [
            SheetRow(
                tuple(
                    _cell_with_anchor(block, name, row, context, decimals[row.get("measure", "")]) for name in columns
                )
            )
            for row in _first(rows, context)
        ]
    note, pivoted = "" if block.chart != "none" else block.note, block.across and not block.columns
    table_sheet = sheet(block.id, block.title, heads, lines, (rows, table), note, 0 if pivoted else len(rows))
    return replace(table_sheet, folded=block.folded)


def _heading(table: str, name: str, context: PageContext) -> str:
    """Return the heading of a column: that of the page, or that of the table."""
    special = context.page.cells[name].heading if name in context.page.cells else ""
    return special or context.column(table, name).head or in_words(name)


def _cell_with_anchor(block: Block, name: str, row: Row, context: PageContext, places: int) -> Cell:
    """Return a cell, with an anchor where text cites it."""
    plain_cell = cell(block.table, name, row, context, places)
    return replace(plain_cell, anchor=anchor(row)) if name == block.cited and plain_cell.text != NONE else plain_cell


def _first(rows: Sequence[Row], context: PageContext) -> Sequence[Row]:
    """Return the rows that a page shows: where there are too many, the first ones of the recipes that charts show."""
    if len(rows) <= SHOWN_ROWS:
        return rows
    return [row for row in rows if "coordinates" not in row or context.scope.is_in_slice(row)][:SHOWN_ROWS]


def _places(rows: Sequence[Row]) -> int:
    return common_decimals((numeric(row, "high") - numeric(row, "low")) / 2 for row in rows)


def _pivot(block: Block, rows: Sequence[Row], context: PageContext) -> tuple[list[str], list[SheetRow]]:
    """Return a table with a line per place and a column per value of `across`; long where that makes too many.

    A part of the place that is the same everywhere is left out, and what else tells rows of one cell apart is added.

    Raises:
        ValueError: Two rows of one cell do not differ.
    """
    place = (
        block.place if "recipe" in block.place else ("recipe", *(name for name in block.place if name != block.across))
    )
    place = (*place, *_distinguishing_columns(block, rows, ("recipe", *place, block.across)))
    keys = [
        key
        for key in place
        if (context.has_several_recipes if key == "recipe" else len({row[key] for row in rows}) > 1)
    ]
    columns = distinct_values(str(row[block.across]) for row in rows)
    wide = len(keys) + len(columns) <= MOST_COLUMNS
    keys += [] if wide else [block.across]
    by_place: dict[tuple[str, ...], dict[str, Row]] = {}
    for row in rows:
        cells = by_place.setdefault(tuple(str(row[key]) for key in keys), {})
        at = str(row[block.across]) if wide else "value"
        if at in cells:
            raise ValueError(f"block {block.id}: two rows of {block.table} share a cell: {cells[at]} and {row}")
        cells[at] = row
    columns = columns if wide else ["value"]
    total = list(by_place.values())[:SHOWN_ROWS]
    decimals: dict[str, int] = {}
    for column in columns:
        decimals[column] = _places([own[column] for own in total if column in own])
    lines = [
        SheetRow(
            (
                *(words(_text(block.table, key, next(iter(own.values())), context) or NONE) for key in keys),
                *(_amount(own.get(column), decimals[column]) for column in columns),
            ),
        )
        for own in total
    ]
    heads = [_heading(block.table, key, context) for key in keys]
    heads += [_level_head(block, column, rows, context) for column in columns]
    return heads, lines


_IDENTITY = ("measure", "environment", "factor", "level", "layer", "group")
"""Columns that tell estimates of one recipe apart."""


def _distinguishing_columns(block: Block, rows: Sequence[Row], identity: Sequence[str]) -> list[str]:
    """Return the columns of identity besides those known without which rows of estimates would coincide."""
    if block.table != "estimates":
        return []
    names = [name for name in _IDENTITY if name not in identity]
    by_key: dict[tuple[str, ...], dict[str, set[str]]] = {}
    for row in rows:
        values = by_key.setdefault(tuple(str(row[name]) for name in (*identity, "recipe") if name in row), {})
        for name in names:
            values.setdefault(name, set()).add(str(row[name]))
    return [name for name in names if any(len(values[name]) > 1 for values in by_key.values())]


def _amount(row: Row | None, places: int) -> Cell:
    """Return a count, or an estimate with its interval."""
    return amount(row["value"]) if row and isinstance(row["value"], int) else estimate_cell(row, places)


def _level_head(block: Block, value: str, rows: Sequence[Row], context: PageContext) -> str:
    """Return the heading of a column of a pivoted table."""
    row = next((row for row in rows if str(row.get(block.across)) == value), None)
    return value if row is None else _text(block.table, block.across, row, context) or value
