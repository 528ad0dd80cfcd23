from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.worlds.environments import AGE, tagged, with_column

from assay.plugin import DataError, SpecError
from assay.training.mitigations import grouping

HIGH_HALF = "high half"
LOW_HALF = "low half"

WORLD = tagged(40, tied=0.5)


def test_a_group_is_a_class_crossed_with_a_level():
    made = grouping("tag", WORLD.table)
    groups = made.of(WORLD.table, "training")
    assert made.names == ("no square, without", "no square, with", "square, without", "square, with")
    assert groups.dtype == np.int64
    for number, name in enumerate(made.names):
        target, level = name.split(", ")
        chosen = (WORLD.table.target == made.classes.index(target)) & (
            WORLD.table.columns["tag"] == ("without", "with").index(level)
        )
        assert np.array_equal(groups == number, chosen)
        assert made.counts(groups)[name] == chosen.sum()


def test_a_factor_without_levels_is_halved_at_the_median_of_the_rows_behind_it():
    made = grouping("age", WORLD.table)
    age, other = WORLD.table.columns["age"], with_column(WORLD, "age", np.full(40, 70.0))
    assert made.levels == (LOW_HALF, HIGH_HALF)
    assert np.array_equal(made.of(WORLD.table, "training") % 2, age > np.median(age))
    assert set(made.of(other.table, "validation") % 2) == {1}, "halves mean the same in every set"


@pytest.mark.parametrize("ones", [1, 19, 20, 21, 39])
def test_two_numbers_are_two_levels_however_many_rows_have_each(ones: int):
    view = (np.arange(40) < ones).astype(float)
    table = with_column(WORLD, "age", view).table
    made = grouping("age", table)
    assert made.levels == ("0", "1")
    assert np.array_equal(made.of(table, "training"), table.target * 2 + view)
    unseen = with_column(WORLD, "age", np.r_[view[:37], 0.5, 2, -1]).table
    with pytest.raises(DataError, match="3 of 40 validation rows have none of 0, 1: leave them out with `where`"):
        made.of(unseen, "validation")


def test_two_numbers_need_not_be_whole_or_lie_beside_each_other():
    made = grouping("age", with_column(WORLD, "age", np.where(np.arange(40) < 30, 100.0, -0.25)).table)
    assert made.names == ("no square, -0.25", "no square, 100", "square, -0.25", "square, 100")


@given(st.lists(st.integers(-3, 3), min_size=40, max_size=40).filter(lambda values: len(set(values)) > 2))
def test_both_halves_have_rows_and_no_low_value_lies_above_a_high_one(values: list[int]):
    table = with_column(WORLD, "age", np.array(values, dtype=float)).table
    high = grouping("age", table).of(table, "training") % 2 == 1
    age = table.columns["age"]
    assert age[~high].max() < age[high].min()
    median = np.median(age)
    assert np.array_equal(high, age > median if (age > median).any() else age == age.max())


def test_a_level_without_rows_makes_no_group_and_is_refused_where_it_turns_up():
    three = AGE.__class__("scanner", "categorical", levels=("a", "b", "c"))
    table = WORLD.table.with_column(three, np.arange(40) // 2 % 2 * 2)
    made = grouping("scanner", table)
    assert made.levels == ("a", "c")
    assert np.array_equal(made.of(table, "training") % 2, np.arange(40) // 2 % 2)
    unseen = table.with_column(three, np.ones(40, dtype=np.int64))
    with pytest.raises(DataError, match="40 of 40 validation rows have none of a, c: leave them out with `where`"):
        made.of(unseen, "validation")


@pytest.mark.parametrize(
    ("column", "values", "text"),
    [
        ("tag", np.r_[-1, np.arange(39) % 2], "1 of 40 training rows have none of without, with: leave them out"),
        ("age", np.r_[np.nan, np.nan, np.arange(38.0)], "2 of 40 training rows have none of low half, high half"),
        ("tag", np.ones(40, dtype=np.int64), "at least 2 of its values, and all 40 rows have with: name a factor"),
        ("age", np.full(40, 7.0), "at least 2 of its values, and all 40 rows have 7 years: name a factor"),
        ("age", np.full(40, np.nan), "at least 2 of its values, and all 40 rows have none"),
    ],
)
def test_rows_that_cannot_be_grouped_are_refused(column, values, text):
    table = with_column(WORLD, column, values).table
    with pytest.raises(DataError, match=text):
        grouping(column, table).of(table, "training")


def test_an_unknown_factor_is_refused():
    with pytest.raises(SpecError, match="unknown factor for groups 'tga': did you mean 'tag'"):
        grouping("tga", WORLD.table)


def test_a_group_without_rows_is_refused_with_the_counts():
    table = with_column(WORLD, "tag", WORLD.table.target).table
    made = grouping("tag", table)
    with pytest.raises(
        DataError,
        match=r"it needs at least 1 training row in every group of the target with 'tag', and the rows are no "
        r"square, without: 20; no square, with: 0; square, without: 0; square, with: 20: tie it by `association`",
    ):
        made.check_all_there(made.of(table, "training"), "it", "training")
