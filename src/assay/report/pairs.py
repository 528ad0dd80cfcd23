"""What each level made of a counterfactual pair: its logit at both ends of the factor, beside zero."""

from __future__ import annotations

import math
from collections.abc import Mapping

from assay.report.axes import Scale
from assay.report.palette import Style
from assay.report.svg import NARROW, Drawing, breadth, line, marker, shortened, text
from assay.stats.format import number

Ends = Mapping[str, tuple[float, float]]

ROW, TOP, SAID = 20.0, 18.0, 92.0


def logit_drawing(values: Ends, styles: Mapping[str, Style], width: float) -> Drawing:
    """A row per level: from the logit with the factor low (a stroke) to the one with it high (the level's marker)."""
    label = min(max(breadth(level, NARROW) for level in values) + 8, width * 0.36)
    known = [value for ends in values.values() for value in ends if math.isfinite(value)] or [0.0]
    low, high = min(0.0, *known), max(0.0, *known)
    scale = Scale(low, high if high > low else low + 1, label + 8, width - SAID - 8)
    zero, bottom = scale(0.0), TOP + ROW * len(values)
    parts = [
        text(0, 11, "logit", size=NARROW, colour="var(--soft)"),
        text(zero, 11, "0", size=NARROW, anchor="middle", colour="var(--soft)"),
        text(width, 11, "low → high", size=NARROW, anchor="end", colour="var(--soft)"),
        line(zero, 15, zero, bottom, "var(--reference)"),
    ]
    for i, (level, ends) in enumerate(values.items()):
        y = TOP + ROW * (i + 0.5)
        parts.append(text(0, y + 4, shortened(level, label, NARROW), size=NARROW, full=level))
        parts.append(_ends(ends, scale, y, styles[level]))
        words = f"{number(ends[0], 1)} → {number(ends[1], 1)}"
        parts.append(text(width, y + 4, words, size=NARROW, anchor="end"))
    return Drawing(width, bottom + 4, "".join(parts))


def _ends(ends: tuple[float, float], scale: Scale, y: float, style: Style) -> str:
    if not all(map(math.isfinite, ends)):
        return ""
    before, after = map(scale, ends)
    shaft = line(before, y, after, y, style.colour, 2.0) + line(before, y - 4, before, y + 4, style.colour, 2.0)
    return shaft + marker(style.marker, after, y, 4.2, style.colour)


def logit_words(values: Ends) -> str:
    """The same in words."""
    said = "; ".join(f"{level} {number(low, 1)}, {number(high, 1)}" for level, (low, high) in values.items())
    return f"Logit with the factor low, then high: {said}"
