"""A block of a page as data: which rows of the tables it shows, how they are placed, and how they are drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Row = Mapping[str, Any]
Chart = Literal["strip", "curve", "field", "froc", "trade", "heat", "none"]
ZERO = ("", 0.0)
"""The reference level of differences, whose number the axis has."""


@dataclass(frozen=True, slots=True)
class Query:
    """A choice of rows.

    Attributes:
        measures: Measures, in the order in which they are shown; empty for any.
        filled: Columns that hold something.
        empty: Columns that hold nothing.
        allowed: Column -> the values that it may have.
        excluded: Column -> values that it may not have.
        max_rows: Number of rows at most, the first ones; 0 for all.
    """

    measures: tuple[str, ...] = ()
    filled: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()
    allowed: Mapping[str, tuple[object, ...]] = field(default_factory=dict[str, tuple[object, ...]])
    excluded: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    max_rows: int = 0

    def select(self, rows: Sequence[Row]) -> list[Row]:
        """Return the rows that fit, those of the first measure first."""
        places = {measure: place for place, measure in enumerate(self.measures)}
        in_place = [row for row in rows if row["measure"] in places] if places else list(rows)
        for name in self.filled:
            in_place = [row for row in in_place if row[name] not in ("", None)]
        for name in self.empty:
            in_place = [row for row in in_place if row[name] in ("", None)]
        for name, values in self.allowed.items():
            in_place = [row for row in in_place if row[name] in values]
        for name, values in self.excluded.items():
            in_place = [row for row in in_place if row[name] not in values]
        in_place = in_place[: self.max_rows or None]
        return sorted(in_place, key=lambda row: places[row["measure"]]) if places else in_place


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A chart and a table of rows.

    Example:
        Block(id="shape", title="Effective rank, by layer", query=Query(measures=("effective-rank",)), chart="curve",
              along="layer")

    Attributes:
        id: Anchor in the page, and name of its files.
        title: What is shown.
        table: Name of the table of the run folder.
        query: Rows of it.
        chart: `strip` places values and intervals by row, `curve` along an axis, `field` in a plane of two values,
            `froc` in one with false positives across, `trade` as points of two measures, `heat` in cells; `none` for a
            table alone.
        row_columns: Columns that name a row of a strip, and lead a line of the table.
        panel: Column whose values divide a chart into panels, each with limits of its own where it is the measure.
        along: Column along which a curve runs, or of the axis across a field or heat map; `axis NAME` for an axis of
            recipes.
        order: Values of that column in their order; numbers have theirs, and others that of the rows.
        up: Column of the axis up a field, or down a heat map.
        axes: Words of both axes, those of a strip with `{}` for its panel; from the columns where empty.
        value: Column of the value, whose ends are `low` and `high`.
        color_column: Column whose values are told apart by color; the compared axis where empty.
        across: Column whose values become columns of the table.
        columns: Columns of the table; where empty, the place and the value.
        reference_level: Words and value of a reference line; where None, chance or no effect by the rows, if they have
            a chance.
        shades_margin: Whether the margin of its rows is shaded.
        cited_column: Column whose cells text cites.
        reference_groups: Groups whose values are drawn as gray references of a curve, or such levels of a field.
        note: Sentences about the block.
        folded: Whether it is closed until a reader opens it.
        has_table: Whether the block has a table.
        keeps_order: Whether a strip of factors keeps the order of its rows, in place of the largest value first.
    """

    id: str
    title: str
    table: str = "estimates"
    query: Query = Query()
    chart: Chart = "none"
    row_columns: tuple[str, ...] = ()
    panel: str = ""
    along: str = ""
    order: tuple[str, ...] = ()
    up: str = ""
    axes: tuple[str, str] | None = None
    value: str = "value"
    color_column: str = ""
    across: str = ""
    columns: tuple[str, ...] = ()
    reference_level: tuple[str, float] | None = None
    shades_margin: bool = False
    cited_column: str = ""
    reference_groups: tuple[str, ...] = ()
    note: str = ""
    folded: bool = False
    has_table: bool = True
    keeps_order: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """Blocks under one heading.

    words: what the heading means; tab: its short name in the navigation; alone: whether its words are a result, which
    is shown without any block too.
    """

    id: str
    title: str
    blocks: tuple[Block, ...]
    words: str = ""
    folded: bool = False
    tab: str = ""
    alone: bool = False
