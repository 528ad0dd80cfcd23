"""One colour and one marker per level of the axis that is compared, the same through the whole page.

Colours follow Okabe and Ito (2008), safe for colour-blind eyes, darkened for light paper and lightened for dark so that
each stands out from its ground by at least 3 : 1 (WCAG 1.4.11; a test computes it). Text is never set in them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SERIES_LIGHT = ("#0072b2", "#d55e00", "#008a65", "#b5578f", "#b07400", "#2a8fc7", "#1d1d1b", "#7d7500")
SERIES_DARK = ("#4aa3e0", "#ff8a3d", "#2fc59b", "#e39ac4", "#f0b429", "#8fd0f5", "#f2f2ee", "#f0e442")
MARKERS = ("circle", "square", "triangle", "diamond", "wedge", "cross", "star")

LIGHT = {
    "paper": "#ffffff",
    "ink": "#1c1e21",
    "soft": "#565b62",
    "line": "#d9dcdf",
    "grid": "#e9ebed",
    "reference": "#7a8087",
    "ok": "#00684a",
    "warn": "#8a5200",
    "bad": "#b3261e",
    **{f"s{i}": colour for i, colour in enumerate(SERIES_LIGHT)},
}
DARK = {
    "paper": "#15181b",
    "ink": "#e8eaec",
    "soft": "#a9b0b7",
    "line": "#3a4047",
    "grid": "#262b30",
    "reference": "#868e96",
    "ok": "#4fd1a5",
    "warn": "#f0b429",
    "bad": "#ff8a80",
    **{f"s{i}": colour for i, colour in enumerate(SERIES_DARK)},
}


@dataclass(frozen=True, slots=True)
class Style:
    """How one level is drawn: a CSS colour (a variable, so that it follows light and dark) and a marker."""

    colour: str
    marker: str


def styles(levels: Sequence[str]) -> dict[str, Style]:
    """A style per level. Eight colours and seven markers give 56 levels of which no two are drawn alike."""
    return {
        level: Style(f"var(--s{i % len(SERIES_LIGHT)})", MARKERS[i % len(MARKERS)]) for i, level in enumerate(levels)
    }


def declarations(colours: Mapping[str, str]) -> str:
    """The colours as CSS custom properties."""
    return "".join(f"--{name}:{colour};" for name, colour in colours.items())


def on_paper(svg: str) -> str:
    """A drawing with the variables put in as colours for white paper, for programs that know no CSS variables."""
    return re.sub(r"var\(--([a-z0-9]+)\)", lambda found: LIGHT[found[1]], svg)
