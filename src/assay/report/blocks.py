"""Render blocks of a page: select rows of a table of the run folder, and show them as a chart and a table.

`render` returns both. `chart` calls the `_draw_` function of the block's chart, and each of these makes a plot from
rows. `make_figure` draws a plot for the page, for a phone and as a file. `_make_table` makes the table.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from assay.core.measures import MEASURES, label_of, range_of
from assay.report.block import Block
from assay.report.charts import HeatMaps, Point, Scatter, Trace, draw_curves, draw_heat_maps, draw_rows, draw_scatter
from assay.report.context import PageContext, coordinates, distinct_values, int_or_zero
from assay.report.drawing import (
    REFERENCE,
    ChartPanel,
    Drawing,
    EstimateMark,
    Plot,
    ReferenceLine,
    Style,
    axis_limits,
    short_names,
    styles_by_level,
)
from assay.report.sentences.reasons import place_words as worst_words
from assay.report.sentences.reasons import reason_words
from assay.report.sheets import (
    MAX_ROWS_SHOWN,
    NONE,
    Cell,
    Download,
    Sheet,
    SheetRow,
    count_cell,
    csv_download,
    estimate_cell,
    make_sheet,
    number_cell,
    p_value_cell,
    svg_download,
    text_cell,
)
from assay.report.words import VERDICTS, axis_words, code_words, display_name, is_doubtful, sentence_case, verdict_words
from assay.stats.format import common_decimals, count, in_words, join_words
from assay.stats.rows import Row, numeric
from assay.store.columns import CellKind

FULL_WIDTH, FIRST_WIDTH, PHONE_WIDTH = 800.0, 680.0, 350.0
"""Widths in pixels: on a desktop, there on the first screen, and on a phone."""
MAX_LEVELS, MAX_PANELS, MAX_COLUMNS = 12, 12, 8
"""What a chart and a table of the page show at most; the file has all."""
EFFECT_PROBE = "reliance"
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


class DescribedPlot(Protocol):
    """Names and units for figures and texts."""

    @property
    def axis_title(self) -> str:
        """The measured quantity."""
        ...

    def words(self) -> Iterator[str]:
        """All marks as sentences."""
        ...


PlotT = TypeVar("PlotT", bound=DescribedPlot)
T = TypeVar("T")


def render(block: Block, context: PageContext) -> RenderedBlock:
    """Render a block; nothing of one without rows."""
    rows = block.query.select(context.rows(block.table))
    table = _make_table(block, rows, context) if block.has_table and rows else None
    figure = chart(block, context)
    if figure and table:
        table = replace(table, caption=f"{table.caption}, in numbers")
    return RenderedBlock(figure, table)


def chart(block: Block, context: PageContext, width: float = FULL_WIDTH) -> Figure | None:
    """Draw a block; None where it has no value to draw."""
    rows = block.query.select(context.rows(block.table))
    free_axes = (block.along.removeprefix("axis "),) if block.along.startswith("axis ") else ()
    free_axes += tuple(name.removeprefix("axis ") for name in block.row_columns if name.startswith("axis "))
    rows = [row for row in rows if context.scope.is_in_slice(row, *free_axes)]
    match block.chart:
        case "strip":
            return _draw_strip(block, rows, context, width)
        case "curve":
            return _draw_curve(block, rows, context, width)
        case "field" | "froc":
            return _draw_lines(block, rows, context, width)
        case "trade":
            return _draw_operating_points(block, rows, context, width)
        case "heat":
            return _draw_heat_map(block, rows, context, width)
        case "none":
            return None


# Charts.


def _draw_strip(block: Block, rows: Sequence[Row], context: PageContext, width: float) -> Figure | None:
    """Values with intervals: a row per place, recipes as colors, a panel per measure."""
    undefined = [row for row in rows if math.isnan(numeric(row, block.value))]
    rows = [row for row in rows if row not in undefined]
    levels, selected, level_note = _select_levels(block, rows, context)
    by_panel, panel_note = _rows_by_panel(block, selected, context)
    if not by_panel:
        return None
    further = _distinguishing_columns(block, selected, (*block.row_columns, block.panel or "measure"))
    block = replace(block, row_columns=(*block.row_columns, *further))
    size_by_row_name: dict[str, float] = {}
    panels: list[ChartPanel] = []
    for title, panel_rows in by_panel.items():
        largest = max(abs(numeric(row, block.value)) for row in panel_rows) or 1.0
        for row in panel_rows:
            row_name = _row_name(block, row, context)
            size = abs(numeric(row, block.value)) / largest
            size_by_row_name[row_name] = max(size_by_row_name.get(row_name, 0.0), size)
        row_name = (_row_name(block, row, context) for row in undefined if _panel_title(block, row, context) == title)
        panels.append(replace(_chart_panel(block, title, panel_rows, context), undefined=frozenset(row_name)))
    by_size = "factor" in block.row_columns and not block.keeps_order
    order = sorted(size_by_row_name, key=lambda place: -size_by_row_name[place]) if by_size else list(size_by_row_name)
    colors = {level: style for level, style in _level_styles(block, levels, context).items() if level in levels}
    row = selected[0]
    axis_title = axis_words(row["measure"], str(row.get("unit") or "")) if "measure" in row else ""
    title = panels[0].title if len(panels) == 1 else ""
    axis_title = block.axes[0].format(title) if block.axes and title else axis_title if len(panels) == 1 else ""
    if len(panels) == 1:
        panels = [replace(panels[0], title="")]
    plot = Plot(tuple(panels), tuple(levels), colors, axis_title, panels[0].limits or (0.0, 1.0), tuple(order), "")
    return make_figure(block, plot, selected, draw_rows, width, f"{level_note} {panel_note}".strip(), _no_hover)


def _draw_curve(block: Block, rows: Sequence[Row], context: PageContext, width: float) -> Figure | None:
    """Values along an axis of recipes, a layer or a severity: a curve per level, a panel per place."""
    references = [row for row in rows if row.get("group") in block.reference_groups]
    rows = [row for row in rows if row not in references] if references else list(rows)
    along = _position_getter(block)
    levels, selected, level_note = _select_levels(
        block, [row for row in rows if not math.isnan(numeric(row, block.value))], context
    )
    positions = distinct_values(along(row) for row in selected)
    if len(positions) < 2:
        return None
    is_numeric = block.along.startswith("axis ") and all(map(_is_number, positions))
    if all(map(_is_number, positions)):
        positions = sorted(positions, key=float)
    elif set(positions) <= set(block.order):
        positions = sorted(positions, key=block.order.index)
    by_panel, panel_note = _rows_by_panel(block, selected, context)
    panels = tuple(
        _chart_panel(
            block,
            title,
            panel_rows,
            context,
            along,
            _gray_references([row for row in references if _panel_title(block, row, context) == title]),
        )
        for title, panel_rows in by_panel.items()
    )
    name = block.along.removeprefix("axis ")
    colors = _level_styles(block, levels, context)
    measures = distinct_values(row.get("measure") for row in selected)
    axis_title = axis_words(measures[0]) if len(measures) == 1 else "value"
    limits = (
        min(panel.limits[0] for panel in panels if panel.limits),
        max(panel.limits[1] for panel in panels if panel.limits),
    )
    if block.panel != "measure":
        panels = tuple(replace(panel, limits=None) for panel in panels)
    along_name = "share p" if name == "p" else in_words(name)
    shares = is_numeric and float(positions[-1]) <= 1.0
    plot = Plot(panels, tuple(levels), colors, axis_title, limits, tuple(positions), along_name, is_numeric=shares)
    return make_figure(block, plot, selected, draw_curves, width, f"{level_note} {panel_note}".strip(), _no_hover)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _no_hover(plot: Plot) -> Plot:
    return replace(plot, hover=False)


def _position_getter(block: Block) -> Callable[[Row], str]:
    if block.along.startswith("axis "):
        axis = block.along.removeprefix("axis ")
        return lambda row: coordinates(row).get(axis, "").partition("+")[0]
    return lambda row: str(row.get(block.along, ""))


def _select_levels(block: Block, rows: Sequence[Row], context: PageContext) -> tuple[list[str], list[Row], str]:
    """Return the levels that a chart shows, their rows, and a note where there are more than it can hold."""
    levels = distinct_values(_level_of_row(block, row, context) for row in rows) or [""]
    note = f"{MAX_LEVELS} of {len(levels)} shown; the table has all." if len(levels) > MAX_LEVELS else ""
    if note:  # both ends of the ranking
        best = sorted(levels, key=lambda one: _mean_of_level(one, block, rows, context))
        chosen = {*best[: MAX_LEVELS // 2], *best[-MAX_LEVELS // 2 :]}
        levels = [level for level in levels if level in chosen]
    return levels, [row for row in rows if _level_of_row(block, row, context) in levels], note


def _mean_of_level(level: str, block: Block, rows: Sequence[Row], context: PageContext) -> float:
    values = [numeric(row, block.value) for row in rows if _level_of_row(block, row, context) == level]
    return sum(values) / len(values)


def _level_of_row(block: Block, row: Row, context: PageContext) -> str:
    if not block.color_column:
        return context.level_label(row)
    value = str(row[block.color_column])
    if block.color_column in ("verdict", "decision") and value in VERDICTS:
        return VERDICTS[value].text.removesuffix(" {margin}")
    if block.color_column == "factor":
        return display_name(value.replace("-", " "))
    return in_words(value).replace("-", " ") or "all images"


def _level_styles(block: Block, levels: Sequence[str], context: PageContext) -> dict[str, Style]:
    page_styles: dict[str, Style] = {} if block.color_column else context.styles
    return page_styles if all(level in page_styles for level in levels) else styles_by_level(levels)


def _rows_by_panel(block: Block, rows: Sequence[Row], context: PageContext) -> tuple[dict[str, list[Row]], str]:
    """Return the panels of a chart, and a note where there are more than it can hold."""
    by_panel: dict[str, list[Row]] = {}
    for row in rows:
        by_panel.setdefault(_panel_title(block, row, context), []).append(row)
    return _limit(by_panel, MAX_PANELS, "panels")


def _limit(by_level: Mapping[str, T], most: int, name: str) -> tuple[dict[str, T], str]:
    """Return the first of what a chart draws, and a note where there is more."""
    note = f"{most} of {len(by_level)} {name} shown; the file has all." if len(by_level) > most else ""
    return dict(list(by_level.items())[:most]), note


def _panel_title(block: Block, row: Row, context: PageContext) -> str:
    """Return the title of a row's panel: its value of the panel's column; confounders of doses are apart."""
    name = _cell_words(block.table, block.panel or "measure", row, context) if block.panel or "measure" in row else ""
    confounder = coordinates(row).get("confounder", "") if block.along.startswith("axis ") else ""
    if not confounder or "confounder" not in context.scope.axes or context.scope.axis == "confounder":
        return name
    return f"{name}, {context.names.level('confounder', confounder)}"


def _row_name(block: Block, row: Row, context: PageContext) -> str:
    """Return the words of the columns that name a row of a strip."""
    parts = [
        coordinates(row).get(name.removeprefix("axis "), "")
        if name.startswith("axis ")
        else _cell_words(block.table, name, row, context)
        if row.get(name)
        else ""
        for name in block.row_columns
    ]
    return ", ".join(part for part in parts if part) or "all"


def interval_ends(row: Row, name: str) -> tuple[float, float]:
    """Return the ends of the interval of a column: its own, that which decided a comparison, or that of the row."""
    if name == "value" and not math.isnan(numeric(row, "decision_low")):
        return numeric(row, "decision_low"), numeric(row, "decision_high")
    prefix = f"{name}_" if f"{name}_low" in row else ""
    return numeric(row, f"{prefix}low"), numeric(row, f"{prefix}high")


def _chart_panel(
    block: Block,
    title: str,
    rows: Sequence[Row],
    context: PageContext,
    along: Callable[[Row], str] | None = None,
    references: tuple[ReferenceLine, ...] = (),
) -> ChartPanel:
    marks = tuple(
        EstimateMark(
            _level_of_row(block, row, context),
            numeric(row, block.value),
            *interval_ends(row, block.value),
            context.values_by_seed(row),
            along(row) if along else _row_name(block, row, context),
            reason_words(row.get("reason", "")) if is_doubtful(row) else "",
        )
        for row in rows
    )
    margins = [margin for row in rows if (margin := numeric(row, "margin")) > 0] if block.shades_margin else []
    band = (-margins[0], margins[0]) if margins else None
    lines = (*references, *_reference_lines(block, rows))
    points = [value for mark in marks for value in mark.points] + [v for point in lines for _, v in point.values]
    points += band or ()
    bounds = (-math.inf, math.inf)
    if "chance" in rows[0]:
        bounds = range_of(rows[0]["measure"])
    ends = [end for mark in marks for end in (mark.low, mark.high)]
    return ChartPanel(
        title, marks, lines, band, axis_limits([point for point in points if not math.isnan(point)], ends, bounds)
    )


def _reference_lines(block: Block, rows: Sequence[Row]) -> tuple[ReferenceLine, ...]:
    """Return the level of the block, or of a model that knows nothing, where it is the same for all rows."""
    if block.reference_level is not None:
        return (ReferenceLine.level(*block.reference_level),)
    if "chance" not in rows[0]:
        return ()
    measure = rows[0]["measure"]
    if measure in MEASURES and MEASURES[measure].probe == EFFECT_PROBE:
        return (ReferenceLine.level("no effect", 0.0),)
    values = {round(value, 6) for row in rows if not math.isnan(value := numeric(row, "chance"))}
    return (ReferenceLine.level("chance", values.pop()),) if len(values) == 1 else ()


_DASHES = ("5 3", "1 3", "")


def _gray_references(rows: Sequence[Row]) -> tuple[ReferenceLine, ...]:
    """Return the reference groups of a curve as gray lines, from the rows of the first recipe."""
    of_recipe = [row for row in rows if row["recipe"] == rows[0]["recipe"]]
    lines: list[ReferenceLine] = []
    for group, dash in zip(distinct_values(row["group"] for row in of_recipe), _DASHES, strict=False):
        defined = [row for row in of_recipe if row["group"] == group and not math.isnan(numeric(row, "value"))]
        if defined and not defined[0]["layer"]:
            lines.append(ReferenceLine.level(group, numeric(defined[0], "value")))
        elif defined:
            lines.append(ReferenceLine(group, tuple((row["layer"], numeric(row, "value")) for row in defined), dash))
    return tuple(lines)


def _draw_operating_points(block: Block, rows: Sequence[Row], context: PageContext, width: float) -> Figure | None:
    """Draw false positives against overlap: a point per recipe with its intervals and its joint confidence region."""
    estimates = {
        (row["recipe"], row["measure"], row["environment"]): row
        for row in context.tables["estimates"]
        if not (row["factor"] or row["level"] or row["group"]) and not math.isnan(numeric(row, "value"))
    }
    points: list[Point] = []
    source_rows: list[Row] = []
    for row in rows:
        sides = [estimates.get((row["recipe"], row[side], row[f"{side}_environment"])) for side in ("across", "up")]
        if sides[0] is None or sides[1] is None:
            continue
        source_rows += [sides[0], sides[1]]
        seeds = [dict(context.values_by_seed(point)) for point in (sides[0], sides[1])]
        intervals = [
            (numeric(point, "value"), numeric(point, "low"), numeric(point, "high")) for point in (sides[0], sides[1])
        ]
        pairs = tuple((seeds[0][seed], seeds[1][seed]) for seed in sorted(seeds[0].keys() & seeds[1].keys()))
        region = tuple((float(x), float(y)) for x, y in json.loads(row["region"] or "[]"))
        points.append(Point(context.level_label(row), intervals[0], intervals[1], pairs, region))
    if not points:
        return None
    names = tuple(
        f"{axis_words(rows[0][side])}, {context.names.condition(rows[0][f'{side}_environment'])}"
        for side in ("across", "up")
    )
    ranges = [
        axis_limits(
            [value for at in points for value in ((at.across, at.up)[i][0], *(pair[i] for pair in at.seeds))],
            [end for at in points for end in (at.across, at.up)[i][1:]],
            range_of(rows[0][side]),
        )
        for i, side in enumerate(("across", "up"))
    ]
    if any(_covers_axes(point.region, ranges) for point in points):  # a shade over everything hides the others
        points = [replace(point, region=()) for point in points]
    levels = tuple(point.level for point in points)
    styles = _level_styles(block, levels, context)
    scatter = Scatter(names[0], names[1], ranges[0], ranges[1], levels, styles, tuple(points))
    return make_figure(block, scatter, source_rows, draw_scatter, width)


def _covers_axes(region: Sequence[tuple[float, float]], ranges: Sequence[tuple[float, float]]) -> bool:
    """Return whether a region covers both axes from end to end."""
    ends = [[point[i] for point in region] for i in (0, 1)]
    return bool(region) and all(
        min(axis_ends) <= low + 0.05 * (high - low) and max(axis_ends) >= high - 0.05 * (high - low)
        for axis_ends, (low, high) in zip(ends, ranges, strict=True)
    )


def _draw_lines(block: Block, rows: Sequence[Row], context: PageContext, width: float) -> Figure | None:
    """Draw a line per recipe through points of two columns, with the area of its intervals where it has any."""
    defined = [row for row in rows if not math.isnan(numeric(row, block.up))]
    lines: dict[str, list[tuple[float, float]]] = {}
    ends: dict[str, list[tuple[float, float, float]]] = {}
    for row in defined:
        level, at = _level_of_row(block, row, context), numeric(row, block.along)
        lines.setdefault(level, []).append((at, numeric(row, block.up)))
        low, high = interval_ends(row, block.up)
        ends.setdefault(level, []).extend([] if math.isnan(low) else [(at, low, high)])
    if not lines:
        return None
    lines, limit = _limit(lines, MAX_LEVELS, "lines")
    traces = tuple(Trace(level, tuple(sorted(points)), _band_corners(ends[level])) for level, points in lines.items())
    points = [point for trace in traces for point in (*trace.points, *trace.band)]
    x_limits = (min(x for x, _ in points), max(x for x, _ in points))
    is_froc = block.chart == "froc"
    y_limits = (0.0, 1.02) if is_froc else axis_limits([y for _, y in points], [], (-math.inf, math.inf))
    levels = tuple(trace.level for trace in traces)
    x_limits = (x_limits[0], max(x_limits[1], x_limits[0] + 1e-9))
    colors = _level_styles(block, levels, context)
    colors |= dict.fromkeys(block.reference_groups, REFERENCE)
    scatter = Scatter(*_axis_titles(block), x_limits, y_limits, levels, colors, traces=traces, has_root_scale=is_froc)
    return make_figure(block, scatter, defined, draw_scatter, width, limit)


def _band_corners(ends: Sequence[tuple[float, float, float]]) -> tuple[tuple[float, float], ...]:
    """Return the corners of the band between the lower and upper ends (x, low, high) of the intervals along a line."""
    ordered = sorted(ends)
    return (*((at, low) for at, low, _ in ordered), *((at, high) for at, _, high in reversed(ordered)))


def _draw_heat_map(block: Block, rows: Sequence[Row], context: PageContext, width: float) -> Figure | None:
    """Draw a value by two columns as heat maps, one per recipe or per pair of recipes."""
    names = short_names(distinct_values(str(row[axis]) for row in rows for axis in (block.up, block.along)) or [""])
    short_by_name = dict(
        zip(distinct_values(str(row[axis]) for row in rows for axis in (block.up, block.along)), names, strict=False)
    )

    def cell_label(row: Row, column: str) -> str:
        is_special = column in context.page.cells
        return _cell_words(block.table, column, row, context) if is_special else short_by_name[str(row[column])]

    values: dict[str, dict[tuple[str, str], float]] = {}
    for row in rows:
        name = str(row[block.panel]) if block.panel else context.level_label(row)
        values.setdefault(name, {})[cell_label(row, block.up), cell_label(row, block.along)] = numeric(row, "value")
    values, limit = _limit(values, MAX_PANELS, "panels")
    if not values:
        return None
    down, across = (tuple(distinct_values(key[i] for cells in values.values() for key in cells)) for i in (0, 1))
    along, up = _axis_titles(block)
    plot = HeatMaps(values, down, across, up, along, block.title)
    return make_figure(block, plot, rows, draw_heat_maps, width, limit)


def _axis_titles(block: Block) -> tuple[str, str]:
    return block.axes or (in_words(block.along), in_words(block.up))


def make_figure(
    block: Block,
    plot: PlotT,
    rows: Sequence[Row],
    draw: Callable[[PlotT, float], Drawing],
    width: float,
    limit: str = "",
    without_hover: Callable[[PlotT], PlotT] = lambda plot: plot,
) -> Figure:
    """Draw a plot for the page, for a phone and as a file, with its note and its text alternative.

    Args:
        block: The block that the plot is of.
        plot: The plot.
        rows: Its rows, for the CSV file and for the counts of seeds and patients.
        draw: Draws a plot at a width.
        width: Width in pixels.
        limit: What is left out of the plot; empty for nothing.
        without_hover: Returns the plot without texts on hovering, for a phone and for the file.
    """
    alternative = f"{block.title}. {sentence_case(plot.axis_title)}. " + " ".join(plot.words())
    note = " ".join(part for part in (block.note, _describe_counts(rows, first=width == FIRST_WIDTH), limit) if part)
    wide, plain_plot = draw(plot, width), without_hover(plot)
    return Figure(
        block.id,
        block.title,
        note,
        alternative,
        wide.inline(alternative, "wide"),
        draw(plain_plot, PHONE_WIDTH).inline(alternative, "narrow"),
        csv_download(block.id, tuple(rows[0]), rows),
        svg_download(block.id, draw(plain_plot, width).standalone(block.title, alternative)),
        block.folded,
    )


def _describe_counts(rows: Sequence[Row], *, first: bool) -> str:
    """Return the seeds and patients behind the values of a figure: `4 to 5 seeds, 1,000 patients.`

    first: Whether it is on the first screen, which names the seeds elsewhere.
    """
    unit = "patients" if any(int_or_zero(row, "patients") for row in rows if "patients" in row) else "images"
    parts = [_counts([int_or_zero(row, name) for row in rows if name in row], name) for name in ("seeds", unit)[first:]]
    doubtful = [row for row in rows if is_doubtful(row)]
    without = all("low" in row and math.isnan(numeric(row, "low")) for row in doubtful)
    problem = "without an interval" if without else "undefined or doubtful"
    text = f" {len(doubtful)} of {count(len(rows), 'value')} {problem}." if doubtful else ""
    return ", ".join(part for part in parts if part) + "." + text if any(parts) else text.strip()


def _counts(counts: Sequence[int], name: str) -> str:
    positive = sorted(value for value in counts if value)
    if not positive:
        return ""
    low, high = positive[0], positive[-1]
    return count(low, name.removesuffix("s")) if low == high else f"{low:,} to {high:,} {name}"


# Tables.


_WORDS_OF_KIND: Mapping[CellKind, Callable[[str], str]] = {
    "measure": label_of,
    "reason": reason_words,
    "code": code_words,
    "list": lambda value: join_words([f"{number_of_list:g}" for number_of_list in json.loads(value or "[]")]),
    "text": str,
}
"""Kind of a cell -> the words for its value; values of other kinds are names of components."""


def _cell_words(table: str, name: str, row: Row, context: PageContext) -> str:
    """Return the value of a column in words: in those of the page, else in those of the kind of its cells."""
    if name in context.page.cells:
        return context.page.cells[name].cell(row, context).text
    value = str(row.get(name, ""))
    match context.column(table, name).cell:
        case "recipe":
            is_own_recipe = "coordinates" in row and value == row.get("recipe")
            return context.recipe(row) if is_own_recipe else context.recipe_name(value)
        case "environment":
            return context.names.condition(value)
        case "decision":
            return verdict_words(row)
        case "place":
            return worst_words(value, context.names.condition)
        case kind:
            return _WORDS_OF_KIND.get(kind, display_name)(value)


def cell(table: str, name: str, row: Row, context: PageContext, decimals: int | None = None) -> Cell:
    """Return the cell of a column as the page writes it, else as the kind of its cells is written.

    Args:
        table: Name of the table.
        name: Name of the column.
        row: The row.
        context: The tables, with the page.
        decimals: Decimals of the column; chosen by the value or its interval where None.
    """
    if name in context.page.cells:
        page_cell = context.page.cells[name].cell(row, context)
        return page_cell if page_cell.text else text_cell(NONE)
    kind, value = context.column(table, name).cell, row.get(name)
    if kind == "count":
        return count_cell(count_value) if (count_value := int_or_zero(row, name)) else Cell(NONE, "", True)
    if isinstance(value, bool | str) or value is None:
        return text_cell(_cell_words(table, name, row, context) or NONE)
    if kind == "p":
        return p_value_cell(numeric(row, name))
    low, high = interval_ends(row, name)
    if kind == "interval" and not math.isnan(low):
        has_own_interval = f"{name}_low" in row
        return estimate_cell({**row, "value": value, "low": low, "high": high}, None if has_own_interval else decimals)
    if isinstance(value, int):
        return count_cell(value)
    return number_cell(float(value), 2 if decimals is None else decimals)


def anchor(row: Row) -> str:
    """Return the HTML anchor of a comparison."""
    return "row-" + "".join(letter if letter.isalnum() else "-" for letter in str(row["id"]))


def _make_table(block: Block, rows: Sequence[Row], context: PageContext) -> Sheet | None:
    table = context.kind.tables[block.table]
    if block.across and not block.columns:
        heads, lines = _pivot(block, rows, context)
    else:
        named = (column for column in block.row_columns if not column.startswith("axis "))
        columns = block.columns or ("recipe", *named, "value")
        columns = [column for column in columns if column != "recipe" or context.has_several_recipes]
        measures = {row.get("measure", "") for row in rows}
        decimals = {name: _decimals([row for row in rows if row.get("measure", "") == name]) for name in measures}
        heads = [_heading(block.table, name, context) for name in columns]
        lines = [
            SheetRow(tuple(_cell_with_anchor(block, name, row, context, places) for name in columns))
            for row in _limit_rows(rows, context)
            for places in (decimals[row.get("measure", "")],)
        ]
    note, pivoted = "" if block.chart != "none" else block.note, block.across and not block.columns
    table_sheet = make_sheet(block.id, block.title, heads, lines, (rows, table), note, 0 if pivoted else len(rows))
    return replace(table_sheet, folded=block.folded)


def _heading(table: str, name: str, context: PageContext) -> str:
    """Return the heading of a column: that of the page, or that of the table."""
    special = context.page.cells[name].heading if name in context.page.cells else ""
    return special or context.column(table, name).head or in_words(name)


def _cell_with_anchor(block: Block, name: str, row: Row, context: PageContext, decimals: int) -> Cell:
    """Return a cell, with an anchor in the column that sentences of the page link to."""
    plain_cell = cell(block.table, name, row, context, decimals)
    is_cited = name == block.cited_column and plain_cell.text != NONE
    return replace(plain_cell, anchor=anchor(row)) if is_cited else plain_cell


def _limit_rows(rows: Sequence[Row], context: PageContext) -> Sequence[Row]:
    """Return the rows that a page shows: all, or of too many the first ones of the recipes that charts show."""
    if len(rows) <= MAX_ROWS_SHOWN:
        return rows
    return [row for row in rows if "coordinates" not in row or context.scope.is_in_slice(row)][:MAX_ROWS_SHOWN]


def _decimals(rows: Sequence[Row]) -> int:
    return common_decimals((numeric(row, "high") - numeric(row, "low")) / 2 for row in rows)


def _pivot(block: Block, rows: Sequence[Row], context: PageContext) -> tuple[list[str], list[SheetRow]]:
    """Return the headings and lines of a pivoted table, with a column per value of `across`.

    Lines are named by the block's row columns, without those that are equal in all rows, and with others that
    distinguish rows. Where there would be too many columns, the table is long: a line per row.

    Raises:
        ValueError: Two rows share a cell.
    """
    identity = (
        block.row_columns
        if "recipe" in block.row_columns
        else ("recipe", *(name for name in block.row_columns if name != block.across))
    )
    identity = (*identity, *_distinguishing_columns(block, rows, ("recipe", *identity, block.across)))
    keys = [
        key
        for key in identity
        if (context.has_several_recipes if key == "recipe" else len({row[key] for row in rows}) > 1)
    ]
    columns = distinct_values(str(row[block.across]) for row in rows)
    is_wide = len(keys) + len(columns) <= MAX_COLUMNS
    keys += [] if is_wide else [block.across]
    rows_by_line: dict[tuple[str, ...], dict[str, Row]] = {}
    for row in rows:
        cells = rows_by_line.setdefault(tuple(str(row[key]) for key in keys), {})
        name = str(row[block.across]) if is_wide else "value"
        if name in cells:
            raise ValueError(f"block {block.id}: two rows of {block.table} share a cell: {cells[name]} and {row}")
        cells[name] = row
    columns = columns if is_wide else ["value"]
    shown_lines = list(rows_by_line.values())[:MAX_ROWS_SHOWN]
    decimals: dict[str, int] = {}
    for column in columns:
        decimals[column] = _decimals([line[column] for line in shown_lines if column in line])
    lines = [
        SheetRow(
            (
                *(text_cell(_cell_words(block.table, key, next(iter(line.values())), context) or NONE) for key in keys),
                *(_count_or_estimate(line.get(column), decimals[column]) for column in columns),
            )
        )
        for line in shown_lines
    ]
    heads = [_heading(block.table, key, context) for key in keys]
    heads += [_level_heading(block, column, rows, context) for column in columns]
    return heads, lines


_IDENTITY_COLUMNS = ("measure", "environment", "factor", "level", "layer", "group")
"""Columns that identify an estimate among those of its recipe."""


def _distinguishing_columns(block: Block, rows: Sequence[Row], identity: Sequence[str]) -> list[str]:
    """Return the columns that are needed beyond `identity` to distinguish rows of the table `estimates`."""
    if block.table != "estimates":
        return []
    names = [name for name in _IDENTITY_COLUMNS if name not in identity]
    by_key: dict[tuple[str, ...], dict[str, set[str]]] = {}
    for row in rows:
        values = by_key.setdefault(tuple(str(row[name]) for name in (*identity, "recipe") if name in row), {})
        for name in names:
            values.setdefault(name, set()).add(str(row[name]))
    return [name for name in names if any(len(values[name]) > 1 for values in by_key.values())]


def _count_or_estimate(row: Row | None, decimals: int) -> Cell:
    """Return the cell of a count, or of an estimate with its interval."""
    return count_cell(row["value"]) if row and isinstance(row["value"], int) else estimate_cell(row, decimals)


def _level_heading(block: Block, value: str, rows: Sequence[Row], context: PageContext) -> str:
    """Return the heading of a column of a pivoted table."""
    row = next((row for row in rows if str(row.get(block.across)) == value), None)
    return value if row is None else _cell_words(block.table, block.across, row, context) or value
