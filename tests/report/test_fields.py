"""Two values against each other, and rates over threshold and area: what is drawn, where, and said in words."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest

from assay.report.charts import FIELD_LEFT, RIGHT, Field, Planes, Spot, Trace, draw_field, draw_planes
from assay.report.drawing import breadth, styles

LEVELS = ("cross-entropy", "dice")
NAN = math.nan
PHONE, SCREEN = 320.0, 1000.0
TEXT = re.compile(r'<text x="([-\d.]+)" y="([-\d.]+)" font-size="([\d.]+)" text-anchor="(\w+)"[^>]*>([^<]*)')

TRADE = Field(
    "Dice in lesions (higher is better)",
    "false-positive rate at 90% sensitivity (lower is better), in lesion-free",
    (0.0, 1.0),
    (0.0, 0.5),
    LEVELS,
    styles(LEVELS),
    spots=(
        Spot("cross-entropy", (0.5, 0.4, 0.6), (0.25, 0.1, 0.7), ((0.45, 0.2), (0.55, 0.3))),
        Spot("dice", (NAN, NAN, NAN), (0.3, NAN, NAN)),
    ),
)
RESPONSE = replace(
    TRADE, spots=(), traces=(Trace("dice", ((0.0, 0.0), (0.25, 0.2), (1.0, 0.5))),), square=True
)  # fmt: skip
PLANES = Planes(
    {"dice": {("p 0.88", "1 px"): 1.0, ("p 0.88", "0.1%"): 0.25, ("p 0.50", "1 px"): NAN}},
    ("p 0.88", "p 0.50"),
    ("1 px", "0.1%"),
    "threshold",
    "minimum area",
    "share of lesion-free images called",
)


def across(share: float) -> float:
    """Where a share of the axis lies in a drawing as wide as a screen."""
    return FIELD_LEFT + share * (SCREEN - RIGHT - FIELD_LEFT)


def test_a_spot_and_the_dots_of_its_seeds_lie_where_their_values_are() -> None:
    drawn = draw_field(TRADE, SCREEN).body
    (x,) = re.findall(r'<circle cx="([\d.]+)"', drawn.split("<title>cross-entropy: ")[1])[:1]
    assert float(x) == pytest.approx(across(0.5), abs=0.06)
    seeds = [float(x) for x in re.findall(r"M([\d.]+) [\d.]+h0", drawn)]
    assert seeds == pytest.approx([across(0.45), across(0.55)], abs=0.06)


def test_what_is_undefined_is_no_spot_and_stands_in_the_words() -> None:
    drawn = draw_field(TRADE, SCREEN).body
    assert len(re.findall("<title>dice:", drawn)) == 0
    said = list(TRADE.words())
    assert said[0] == "cross-entropy: 0.5 [0.4, 0.6] across, 0.25 [0.10, 0.70] up."
    assert said[1].startswith("dice: ")


def test_roots_give_room_to_what_lies_near_nought() -> None:
    """A quarter of the way in value is half of the way in place."""
    path = re.search(r'd="M([^"]+)" [^>]*fill="none"', draw_field(RESPONSE, SCREEN).body)
    assert path is not None
    places = [float(pair.split()[0]) for pair in path[1].split("L")]
    assert places == pytest.approx([across(0), across(0.5), across(1)], abs=0.06)
    assert list(RESPONSE.words()) == ["dice: 0.00, 0.00; 0.25, 0.20; 1.00, 0.50."]


@pytest.mark.parametrize("width", [PHONE, SCREEN])
def test_every_word_of_a_field_lies_within_the_drawing(width: float) -> None:
    drawing = draw_field(TRADE, width)
    found = TEXT.findall(drawing.body)
    for x, y, size, anchor, words in found:
        left = float(x) - {"start": 0.0, "middle": 0.5, "end": 1.0}[anchor] * breadth(words, float(size))
        assert left >= -1, words
        room = 1.1 * width if "…" in words else width + 1  # a cut one is measured by its mean letter
        assert left + breadth(words, float(size)) <= room, words
        assert 0 < float(y) <= drawing.height, words


def test_a_plane_is_darker_where_more_is_called_and_leaves_what_is_undefined_blank() -> None:
    svg = draw_planes(PLANES, SCREEN).body
    assert re.findall(r'fill-opacity="([\d.]+)"', svg) == ["0.450", "0.113"]
    assert "<title>dice, p 0.88, 0.1%: 0.250</title>" in svg
    assert "p 0.50, 0.1%" not in svg
    assert next(iter(PLANES.words())).startswith("dice: p 0.88, 1 px: 1.00; p 0.88, 0.1%: 0.25; p 0.50, 1 px: ")


def test_a_title_too_long_for_a_map_goes_on_below() -> None:
    name = "random-statistics(source=pictures) (down) and random (across)"
    long = replace(PLANES, values={"dice": PLANES.values["dice"], name: PLANES.values["dice"]})
    drawing = draw_planes(long, PHONE)
    assert "…" not in drawing.body
    assert drawing.height > draw_planes(replace(long, values=dict.fromkeys("ab", PLANES.values["dice"])), PHONE).height


def test_planes_stand_below_each_other_on_a_phone_and_beside_each_other_on_a_screen() -> None:
    many = replace(PLANES, values=dict.fromkeys("abc", PLANES.values["dice"]))
    narrow, wide = draw_planes(many, PHONE), draw_planes(many, SCREEN)
    assert narrow.height == 3 * wide.height
    for drawing in (narrow, wide):
        assert all(float(x) <= drawing.width for x, *_ in TEXT.findall(drawing.body))
        assert drawing.width - 30 < max(
            float(x) + float(w) for x, w in re.findall(r'<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', drawing.body)
        )
