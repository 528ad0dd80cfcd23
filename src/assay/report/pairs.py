"""What each level made of a counterfactual pair: its logit of the first image and of the second, beside zero."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping

from assay.report.axes import Scale
from assay.report.evidence import Evidence
from assay.report.palette import Style
from assay.report.svg import NARROW, Drawing, breadth, line, marker, shortened, text
from assay.report.tables import coordinates
from assay.stats.format import number
from assay.stats.rows import CONFOUNDER
from assay.store.files import Row

Both = tuple[float, float]
Ends = Mapping[str, Mapping[str, Both]]
"""Level -> what it was trained with, such as its dose, empty where there is but one -> logits at both ends."""

ROW, TOP, SAID, APART = 18.0, 18.0, 92.0, 5.0
LEAST = 1.0
"""A drawing reaches at least one standard deviation either way, so that what is small looks small."""


def asked(evidence: Evidence, factor: str, recipes: Collection[str]) -> dict[tuple[str, str], str]:
    """(level, dose) -> the recipe of the slice shown that was asked about a pair of this factor.

    Doses are left free. Of a confounder's pair it is the recipe that was trained with it, else the one that figures
    hold, if it was asked.
    """
    view = evidence.outline
    rows = {row["recipe"]: row for row in evidence.tables.trials if row["recipe"] in recipes}
    near = {recipe: row for recipe, row in rows.items() if view.shown(row, view.dosed, CONFOUNDER)}
    own = {recipe: row for recipe, row in near.items() if _confounder(row) == factor.partition("(")[0]}
    held = {recipe: row for recipe, row in near.items() if view.shown(row, view.dosed)}
    return {
        (view.level(row), coordinates(row).get(view.dosed, "") if view.dosed else ""): recipe
        for recipe, row in (own or held or near).items()
    }


def _confounder(row: Row) -> str:
    """The confounder that a recipe was trained with, without its arguments."""
    return coordinates(row).get(CONFOUNDER, "").partition("(")[0]


def logit_drawing(values: Ends, styles: Mapping[str, Style], width: float) -> Drawing:
    """A row per level and dose: from the logit of the first image (a stroke) to that of the second (its marker)."""
    each = [(level, dose) for level, own in values.items() for dose in own]
    aside = max((breadth(dose, NARROW) for _, dose in each), default=0.0) + 4
    label = min(max(breadth(level, NARROW) for level in values) + 8, width * 0.36)
    known = [value for own in values.values() for ends in own.values() for value in ends if math.isfinite(value)]
    low, high = min([-LEAST, *known]), max([LEAST, *known])
    scale = Scale(low, high, label + aside + 8, width - SAID - 8)
    zero, bottom = scale(0.0), TOP + ROW * len(each) + APART * (len(values) - 1)
    parts = [
        text(0, 11, "logit, in sd", size=NARROW, colour="var(--soft)"),
        text(zero, 11, "0", size=NARROW, anchor="middle", colour="var(--soft)"),
        text(width, 11, "first → second", size=NARROW, anchor="end", colour="var(--soft)"),
        line(zero, 15, zero, bottom, "var(--reference)"),
    ]
    y = TOP + ROW / 2
    for level, own in values.items():
        parts.append(text(0, y + 4, shortened(level, label, NARROW), size=NARROW, full=level))
        for dose, ends in own.items():
            parts.append(text(label, y + 4, dose, size=NARROW, colour="var(--soft)"))
            parts.append(_ends(ends, scale, y, styles[level]))
            words = f"{number(ends[0], 1)} → {number(ends[1], 1)}"
            parts.append(text(width, y + 4, words, size=NARROW, anchor="end"))
            y += ROW
        y += APART
    return Drawing(width, bottom + 4, "".join(parts))


def _ends(ends: Both, scale: Scale, y: float, style: Style) -> str:
    if not all(map(math.isfinite, ends)):
        return ""
    before, after = map(scale, ends)
    shaft = line(before, y, after, y, style.colour, 2.0) + line(before, y - 4, before, y + 4, style.colour, 2.0)
    return shaft + marker(style.marker, after, y, 4.2, style.colour)


def logit_words(values: Ends) -> str:
    """The same in words."""
    return f"Logit in within-class sd of the first image, then of the second: {'; '.join(_words(values))}"


def _words(values: Ends) -> Iterator[str]:
    for level, own in values.items():
        for dose, (low, high) in own.items():
            where = f"{level}, trained at {dose}" if dose else level
            yield f"{where} {number(low, 1)}, {number(high, 1)}"
