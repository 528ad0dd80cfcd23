"""Numbers as a reader sees them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.stats.format import common_decimals, count, decimals, join_words, number, p_value, with_interval


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (number(0.842), "0.84"),
        (number(-0.016), "-0.02"),
        (number(-0.001), "0.00"),
        (number(1.0), "1.00"),
        (number(12.3, 0), "12"),
        (number(math.nan), "undefined"),
        (with_interval(0.48, 0.43, 0.53), "0.48 [0.43, 0.53]"),
        (with_interval(0.7, math.nan, math.nan), "0.70"),
        (with_interval(0.9871, 0.9852, 0.9889), "0.987 [0.985, 0.989]"),
        (with_interval(31.24, 18.0, 45.0), "31 [18, 45]"),
        (p_value(0.0004), "p < 0.001"),
        (p_value(0.004), "p = 0.004"),
        (p_value(0.0301), "p = 0.03"),
        (p_value(0.0496), "p = 0.050"),
        (p_value(math.nan), "p undefined"),
        (count(1, "trial"), "1 trial"),
        (count(2000, "image"), "2,000 images"),
        (count(3, "weight decay"), "3 weight decays"),
        (count(3, "sampling strategy"), "3 sampling strategies"),
        (count(3, "patch"), "3 patches"),
        (join_words(["a"]), "a"),
        (join_words(["a", "b", "c"]), "a, b and c"),
    ],
)
def test_numbers_as_a_reader_sees_them(text: str, expected: str) -> None:
    assert text == expected


@given(st.floats(1e-4, 1e4))
def test_decimals_show_two_digits_of_the_uncertainty_and_one_of_small_ones(half: float) -> None:
    places = decimals(half)
    assert 0 <= places <= 6
    assert round(half, places) == pytest.approx(half, rel=0.06 if half >= 0.1 else 0.51)
    assert half >= 1 or half * 10**places >= (9.99 if half >= 0.1 else 0.99)


def test_a_column_has_the_decimals_that_most_of_it_deserves() -> None:
    assert common_decimals([0.05, 0.05, 0.004, math.nan, 0.0]) == 2
    assert common_decimals([0.05, 0.004]) == 3
    assert common_decimals([]) == 2
