"""Which figures a study gets: chosen, titled and described from its tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from assay.core.measures import range_of
from assay.report.charts import draw_curves, draw_rows, draw_strips
from assay.report.drawing import Drawing, Panel, Plot, Reference, limits
from assay.report.layout import BUDGET, Evidence
from assay.report.rows import numeric, whole
from assay.report.sheets import Download, as_csv, as_svg
from assay.report.wording import axis_name, held_words, knows_nothing, plural
from assay.store.files import Row

HALF, FIRST, FULL, NARROW = 540.0, 680.0, 800.0, 350.0
"""Widths in pixels: next to another figure, on the first screen, alone, and on a phone."""

COLUMNS = (
    "recipe", "measure", "environment", "factor", "level", "layer", "group", "value", "low", "high", "seeds",
    "patients", "images", "chance", "unit", "reason",
)  # fmt: skip


@dataclass(frozen=True)
class Figure:
    """A figure as the page shows it: two layouts, words for those who do not see it, its rows and its files.

    folded: whether it is closed until a reader opens it.
    """

    id: str
    title: str
    note: str
    alternative: str
    wide: str
    narrow: str
    rows: tuple[Row, ...]
    csv: Download | None
    svg: Download | None
    folded: bool = False


def strips(id: str, title: str, note: str, plot: Plot, rows: Sequence[Row], width: float = FULL) -> Figure:
    """A figure of strips, without rows for levels that stand in none of its panels."""
    there = {mark.level for panel in plot.panels for mark in panel.marks}
    plot = replace(plot, levels=tuple(level for level in plot.levels if level in there))
    return drawn(id, title, note, plot, rows, draw_strips, width, still=_still)


def curves(id: str, title: str, note: str, plot: Plot, rows: Sequence[Row], width: float = FULL) -> Figure:
    """A figure of curves."""
    return drawn(id, title, note, plot, rows, draw_curves, width, still=_still)


def dot_rows(id: str, title: str, note: str, plot: Plot, rows: Sequence[Row], width: float = FULL) -> Figure:
    """A figure with a row per position, such as a factor, and the levels in it."""
    return drawn(id, title, note, plot, rows, draw_rows, width, still=_still)


class Shown(Protocol):
    """Names and units for figures and texts."""

    @property
    def axis(self) -> str:
        """The measured quantity."""
        ...

    def words(self) -> Iterator[str]:
        """All marks as sentences."""
        ...


Drawn = TypeVar("Drawn", bound=Shown)


def _still(plot: Plot) -> Plot:
    return replace(plot, hover=False)


def drawn(
    id: str,
    title: str,
    note: str,
    plot: Drawn,
    rows: Sequence[Row],
    draw: Callable[[Drawn, float], Drawing],
    width: float,
    still: Callable[[Drawn], Drawn] = lambda plot: plot,
) -> Figure:
    """A figure of any kind. still: the plot without its texts on hovering, for a phone and for the file."""
    alternative = f"{title}. {plot.axis[:1].upper()}{plot.axis[1:]}. " + " ".join(plot.words())
    note = " ".join(part for part in (note, counted(rows), doubted(rows)) if part)
    wide, quiet = draw(plot, width), still(plot)
    of_one = not rows or ({"recipe", "measure"} <= rows[0].keys() and "against" not in rows[0])
    columns = COLUMNS if of_one else tuple(rows[0])
    return Figure(
        id,
        title,
        note,
        alternative,
        wide.inline(alternative, "wide"),
        draw(quiet, NARROW).inline(alternative, "narrow"),
        tuple(rows),
        as_csv(id, columns, rows),
        as_svg(id, draw(quiet, width).standalone(title, alternative)),
    )


def plot_of(
    evidence: Evidence,
    measure: str,
    groups: Sequence[tuple[str, Sequence[Row]]],
    levels: Sequence[str],
    along: tuple[str, tuple[str, ...], Callable[[Row], str]] | None = None,
    references: Callable[[Sequence[Row]], tuple[Reference, ...]] = lambda _: (),
) -> Plot:
    """Panels of estimates of one measure that share their limits.

    along: name, positions and the position of a row, for curves. references: the gray levels of a panel's rows.
    """
    where = along[2] if along else _nowhere
    panels = tuple(
        Panel(title, tuple(mark for mark in evidence.marks(rows, where) if mark.level in levels), references(rows))
        for title, rows in groups
    )
    marks = [mark for panel in panels for mark in panel.marks]
    points = [value for mark in marks for value in mark.points]
    points += [value for panel in panels for one in panel.references for _, value in one.values]
    ends = [end for mark in marks for end in (mark.low, mark.high)]
    name, positions = (along[0], along[1]) if along else ("", ())
    span = limits(points, ends, range_of(measure))
    unit = next((str(row.get("unit") or "") for _, rows in groups for row in rows), "")
    return Plot(panels, tuple(levels), evidence.outline.styles, axis_name(measure, unit), span, positions, name)


def _nowhere(_: Row) -> str:
    return ""


def chance(rows: Sequence[Row]) -> tuple[Reference, ...]:
    """The level of a model that knows nothing, where it is the same for all rows, with the measure's name for it."""
    values = {round(value, 6) for row in rows if not math.isnan(value := numeric(row, "chance"))}
    return (Reference.level(knows_nothing(rows[0]["measure"]), values.pop()),) if len(values) == 1 else ()


def counted(rows: Sequence[Row]) -> str:
    """How many seeds and patients the values of a figure rest on: `4 to 5 seeds, 1,000 patients.`

    Images take the place of patients where these are not named.
    """
    over = "patients" if any(whole(row, "patients") for row in rows if "patients" in row) else "images"
    parts = [_range([whole(row, name) for row in rows if name in row], name) for name in ("seeds", over)]
    return ", ".join(part for part in parts if part) + "." if any(parts) else ""


def doubted(rows: Sequence[Row]) -> str:
    """How many values of a figure something was said against: `2 of 40 values undefined or doubtful: ...`"""
    found = sum(bool(row.get("reason")) for row in rows)
    return f"{found} of {plural(len(rows), 'value')} undefined or doubtful: see the table of reasons." if found else ""


def _range(found: Sequence[int], name: str) -> str:
    some = sorted(value for value in found if value)
    if not some:
        return ""
    low, high = some[0], some[-1]
    return plural(low, name.removesuffix("s")) if low == high else f"{low:,} to {high:,} {name}"


def slice_note(evidence: Evidence, *more: str, budget: bool = True) -> str:
    """State the values held in a figure, and further remarks, as sentences."""
    held = evidence.outline.named() if budget else evidence.outline.named(BUDGET)
    words = f"At {held_words(held)}." if held else ""
    return " ".join(part for part in (words, *more) if part)
