"""Scales, ticks, colors and the words of marks."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.report.drawing import (
    DARK,
    LIGHT,
    AxisScale,
    EstimateMark,
    breadth,
    element,
    limits,
    lines_of,
    panel_grid,
    styles,
    text,
    ticks,
)

BOLD = 15.0
values = st.floats(-100, 100, allow_nan=False)


def luminance(color: str) -> float:
    """Relative luminance of WCAG 2."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(a: str, b: str) -> float:
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("colors", [LIGHT, DARK], ids=["light", "dark"])
def test_marks_and_text_stand_out_from_the_paper(colors: dict[str, str]) -> None:
    for name, color in colors.items():
        if name in ("ink", "soft", "ok", "warn", "bad"):
            assert contrast(color, colors["paper"]) >= 4.5, name
        elif re.fullmatch(r"s\d|reference", name):
            assert contrast(color, colors["paper"]) >= 3, name


def test_no_two_of_56_levels_are_drawn_alike() -> None:
    found = styles([f"level {i}" for i in range(56)])
    assert len({(style.color, style.marker) for style in found.values()}) == 56


TITLES = (
    "reversed-view, epochs 30, association view=0.8, equal budget",
    "same",
    "other-hospital-of-the-university-of-somewhere-in-the-far-north-and-beyond-the-cold-sea-to-the-east",
    "a b c d e f g h i j k l m n o p q r s t u v w x y z and all the letters that there may be beside",
)


@pytest.mark.parametrize("width", [80, 120, 228, 340])
def test_a_title_stands_on_up_to_three_lines_that_keep_within_their_panel(width: float) -> None:
    for title in TITLES:
        lines = lines_of(title, width, BOLD)
        assert len(lines) <= 3
        assert all(breadth(line, BOLD) <= width * 1.1 for line in lines)  # a cut one is measured by its mean letter
        if not any("…" in line for line in lines):
            assert " ".join(lines) == title


@given(st.lists(values, min_size=1), st.lists(values))
def test_every_point_lies_within_the_limits(points: list[float], ends: list[float]) -> None:
    low, high = limits(points, ends, (-math.inf, math.inf))
    assert low < min(points) <= max(points) < high


def test_a_wild_interval_does_not_press_the_points_together() -> None:
    low, high = limits([0.5, 0.6, 0.55], [0.45, 0.55, 0.54, 0.64, -20.0, 30.0], (-math.inf, math.inf))
    assert high - low < 0.35
    assert AxisScale(low, high, 0, 100).beyond(30.0)


def test_intervals_of_groups_are_drawn_whole() -> None:
    """Those of the demo's audit: AUROC of all images, of two sexes and of two views."""
    ends = [0.76, 0.84, 0.72, 0.90, 0.66, 0.86, 0.63, 0.84, 0.74, 0.92]
    low, high = limits([0.80, 0.83, 0.78, 0.75, 0.85], ends, (0.0, 1.0))
    assert not any(AxisScale(low, high, 0, 100).beyond(end) for end in ends)


@pytest.mark.parametrize(
    ("low", "high", "most", "expected"),
    [
        (0.0, 1.0, 6, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0.0, 1.0, 3, [0, 0.5, 1]),
        (0.34, 1.02, 4, [0.4, 0.6, 0.8, 1.0]),
        (-3.2, 4.1, 4, [-2, 0, 2, 4]),
        (0.481, 0.519, 4, [0.49, 0.5, 0.51]),
    ],
)
def test_ticks(low: float, high: float, most: int, expected: list[float]) -> None:
    assert ticks(low, high, most) == pytest.approx(expected)


@given(values, st.floats(0.001, 100), st.integers(3, 8))
def test_ticks_lie_within_and_are_not_too_many(low: float, span: float, most: int) -> None:
    found = ticks(low, low + span, most)
    assert len(found) <= most
    assert all(low - 1e-6 * span - 1e-9 <= value <= low + span + 1e-6 * span + 1e-9 for value in found)


@given(st.integers(1, 60), st.floats(50, 2000), st.floats(50, 400))
def test_a_grid_holds_all_its_panels(count: int, room: float, least: float) -> None:
    columns, rows = panel_grid(count, room, least)
    assert (rows - 1) * columns < count <= rows * columns
    assert columns == 1 or columns * least <= room


def test_a_mark_in_words() -> None:
    assert EstimateMark("arcface", 0.48, 0.43, 0.53).text == "arcface 0.48 [0.43, 0.53]"
    assert EstimateMark("arcface", math.nan, reason="no image").text == "arcface undefined (no image)"


def test_what_is_drawn_is_escaped() -> None:
    assert text(0, 0, "<b>&") == (
        '<text x="0" y="0" font-size="12" text-anchor="start" fill="var(--ink)">&lt;b&gt;&amp;</text>'
    )
    assert element("path", d='"<') == '<path d="&quot;&lt;"/>'
