"""Scales, ticks, colors and the words of marks."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.report.reading import DOSED, page_of

from assay.report.drawing import EstimateMark, axis_limits, break_lines, styles_by_level, text_width

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


def test_marks_and_text_stand_out_from_the_paper(tmp_path: Path) -> None:
    """In both sets of colors of a page, light and dark."""
    palettes = [
        dict(re.findall(r"--(\w+):\s*(#[0-9a-f]{6})", block))
        for block in re.findall(r"\{([^{}]*--paper:[^{}]*)\}", page_of(tmp_path, DOSED))
    ]
    assert {colors["paper"] for colors in palettes} == {"#ffffff", "#15181b"}
    for colors in palettes:
        for name, color in colors.items():
            if name in ("ink", "soft", "ok", "warn", "bad"):
                assert contrast(color, colors["paper"]) >= 4.5, name
            elif re.fullmatch(r"s\d|reference", name):
                assert contrast(color, colors["paper"]) >= 3, name


def test_no_two_of_56_levels_are_drawn_alike() -> None:
    found = styles_by_level([f"level {i}" for i in range(56)])
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
        lines = break_lines(title, width, BOLD)
        assert len(lines) <= 3
        assert all(text_width(line, BOLD) <= width * 1.1 for line in lines)  # a cut one is measured by its mean letter
        if not any("…" in line for line in lines):
            assert " ".join(lines) == title


@given(st.lists(values, min_size=1), st.lists(values))
def test_every_point_lies_within_the_limits(points: list[float], ends: list[float]) -> None:
    low, high = axis_limits(points, ends, (-math.inf, math.inf))
    assert low < min(points) <= max(points) < high


def test_a_wild_interval_does_not_press_the_points_together() -> None:
    low, high = axis_limits([0.5, 0.6, 0.55], [0.45, 0.55, 0.54, 0.64, -20.0, 30.0], (-math.inf, math.inf))
    assert high - low < 0.35
    assert high < 30


def test_intervals_of_groups_are_drawn_whole() -> None:
    """Those of the demo's audit: AUROC of all images, of two sexes and of two views."""
    ends = [0.76, 0.84, 0.72, 0.90, 0.66, 0.86, 0.63, 0.84, 0.74, 0.92]
    low, high = axis_limits([0.80, 0.83, 0.78, 0.75, 0.85], ends, (0.0, 1.0))
    assert low <= min(ends) <= max(ends) <= high


def test_a_mark_in_words() -> None:
    assert EstimateMark("arcface", 0.48, 0.43, 0.53).text == "arcface 0.48 [0.43, 0.53]"
    assert EstimateMark("arcface", math.nan, reason="no image").text == "arcface undefined (no image)"
