"""Rows chosen for an association: hand-derived counts, invariances, and texts where it cannot be had."""

import time
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.plugin import AssociationError, Factor, FactorTable
from assay.shifts.association import measure_association, somers_d
from assay.shifts.choice import choose
from assay.spec.schema import AssociationSpec

LEAST_ROWS = 10

SITE = Factor("site", "categorical", levels=("a", "b"), high=("b",))
MAKER = Factor("maker", "categorical", levels=("w", "x", "y", "z"), high=("w",))
SIZE = Factor("size", "continuous", unit="mm")
AGE = Factor("age", "continuous")


def table(target, classes=("no", "yes"), row=None, **columns):
    known = {factor.name: factor for factor in (SITE, MAKER, SIZE, AGE)}
    row = np.arange(len(target)) if row is None else np.asarray(row)
    return FactorTable(
        row=row,
        target=np.asarray(target, dtype=np.int64),
        patient=row,
        classes=classes,
        factors=tuple(known[name] for name in columns),
        columns={name: np.asarray(values) for name, values in columns.items()},
    )


def crossed(**counts):
    """A table with these numbers of rows: yes_b=10 means 10 rows of 'yes' with site b."""
    cells = [(name.split("_"), count) for name, count in counts.items()]
    target = np.repeat([("no", "yes").index(cell[0]) for cell, _ in cells], [count for _, count in cells])
    site = np.repeat([SITE.levels.index(cell[1]) for cell, _ in cells], [count for _, count in cells])
    return table(target, site=site)


def world(count=3000, seed=0, lift=1.0, share=0.4):
    draws = np.random.default_rng(seed)
    target = (draws.random(count) < share).astype(int)
    size = draws.normal(size=count) + lift * target
    age = draws.normal(size=count) + 0.5 * size
    site = (draws.random(count) < 0.3 + 0.2 * target).astype(int)
    maker = draws.integers(0, 4, count)
    return table(target, size=size, age=age, site=site, maker=maker)


def tie(**strengths):
    return {name: AssociationSpec(strength=s) for name, s in strengths.items()}


def kept(rows, **strengths):
    return rows.take(choose(rows, tie(**strengths), 0))


def test_counts_by_hand():
    # 100 a class. s = 0.5 asks of 'yes' 3 : 1 for b : a, of 'no' 1 : 3. 'yes' has 60 in b and 40 in a, 'no' 50 and 50.
    # mass by half: b: min(60 / 0.75, 50 / 0.25) = 80, a: min(40 / 0.25, 50 / 0.75) = 66.7; equal halves of 66.7 give
    # 'yes' b 50, a 16.7; 'no' b 16.7, a 50: 133 rows, rounded without losing one.
    found = kept(crossed(yes_b=60, yes_a=40, no_b=50, no_a=50), site=0.5)
    counts = measure_association(found, "site").counts
    assert len(found) == 133 or len(found) == 134
    assert counts["yes", "b"] == 50
    assert counts["no", "a"] == 50
    assert counts["yes", "a"] in (16, 17)
    assert counts["no", "b"] in (16, 17)


def test_at_full_strength_each_class_keeps_its_half_and_nothing_else():
    found = kept(crossed(yes_b=60, yes_a=40, no_b=50, no_a=50), site=1.0)
    assert {key: n for key, n in measure_association(found, "site").counts.items() if n} == {
        ("yes", "b"): 50,
        ("no", "a"): 50,
    }


def test_the_association_as_it_is_keeps_nearly_everything():
    rows = crossed(yes_b=300, yes_a=100, no_b=100, no_a=300)
    assert len(kept(rows, site=0.5)) == 800


@pytest.mark.parametrize("strength", [-0.9, -0.5, 0.0, 0.5, 0.9])
@pytest.mark.parametrize("factor", ["size", "site", "maker", "age"])
def test_the_strength_achieved_is_near_the_one_asked_and_the_class_ratio_stays(factor, strength):
    rows = world()
    found = kept(rows, **{factor: strength})
    assert measure_association(found, factor).strength == pytest.approx(strength, abs=0.02)
    assert found.target.mean() == pytest.approx(rows.target.mean(), abs=0.01)


@pytest.mark.parametrize(
    "strengths",
    [
        {"size": 0.6, "site": 0.0},
        {"size": -0.4, "age": 0.3},
        {"size": 0.0, "age": 0.0},
        {"size": 0.5, "site": -0.5, "maker": 0.5},
    ],
)
def test_several_factors_at_once(strengths):
    rows = world(6000)
    found = kept(rows, **strengths)
    for name, strength in strengths.items():
        assert measure_association(found, name).strength == pytest.approx(strength, abs=0.03)
    assert len(found) > 600


def test_factors_tied_together_are_independent_within_a_class():
    found = kept(world(8000), size=0.5, site=0.5)
    for label in (0, 1):
        inside = found.take(found.target == label)
        assert abs(somers_d(inside.numbers("size"), inside.columns["site"] == 1)) < 0.05


def test_at_strength_0_classes_are_alike_in_the_whole_distribution():
    found = kept(world(20000), size=0.0)
    values, of = found.columns["size"], found.target == 1
    grid = np.quantile(values, np.arange(1, 20) / 20)
    apart = np.abs(
        np.searchsorted(np.sort(values[of]), grid) / of.sum()
        - np.searchsorted(np.sort(values[~of]), grid) / (~of).sum()
    )
    assert apart.max() < 0.02


@given(st.permutations(range(300)), st.sampled_from([-0.6, 0.0, 0.7]))
@settings(max_examples=15, deadline=None)
def test_neither_the_order_of_rows_nor_the_coding_of_values_matters(order, strength):
    rows = world(300)
    base = np.sort(kept(rows, size=strength).row)
    shuffled = rows.take(np.array(order))
    assert np.array_equal(np.sort(kept(shuffled, size=strength).row), base)
    stretched = rows.with_column(SIZE, np.exp(rows.columns["size"]))
    assert np.array_equal(np.sort(kept(stretched, size=strength).row), base)


@given(st.integers(0, 1000), st.floats(-1, 1), st.integers(40, 400))
@settings(max_examples=40, deadline=None)
def test_no_row_is_chosen_twice_and_what_is_chosen_was_there(seed, strength, count):
    rows = world(count, seed)
    try:
        chosen = choose(rows, tie(size=strength), seed)
    except AssociationError:
        return
    assert np.array_equal(chosen, np.unique(chosen))
    assert (chosen >= 0).all()
    assert (chosen < count).all()
    assert np.bincount(rows.target[chosen], minlength=2).min() >= LEAST_ROWS - 1


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40), st.integers(0, 40), st.integers(-10, 10))
@settings(max_examples=60, deadline=None)
def test_the_choice_is_the_largest_that_the_rule_allows(yes_b, yes_a, no_b, no_a, tenths):
    strength, yes, no = tenths / 10, yes_b + yes_a, no_b + no_a
    if not yes or not no:
        return
    rows = crossed(yes_b=yes_b, yes_a=yes_a, no_b=no_b, no_a=no_a)
    share = np.array([no, yes]) / (yes + no)
    weight = {"b": np.array([1 - strength, 1 + strength]), "a": np.array([1 + strength, 1 - strength])}
    caps = {"b": np.array([no_b, yes_b]), "a": np.array([no_a, yes_a])}
    with np.errstate(divide="ignore", invalid="ignore"):
        half = min(np.nanmin(caps[side] / (share * weight[side])) for side in "ab")
    if half * 2 * share.min() < LEAST_ROWS - 1e-9:
        with pytest.raises(AssociationError):
            kept(rows, site=strength)
    else:
        assert len(kept(rows, site=strength)) == pytest.approx(2 * half, abs=2)


def test_rows_chosen_at_one_strength_are_those_of_a_stronger_one_where_it_has_fewer():
    rows = crossed(yes_b=500, yes_a=500, no_b=500, no_a=500)
    less, more = kept(rows, site=0.2), kept(rows, site=0.6)
    for label, level in ((1, 0), (0, 1)):  # the cells that thin out as the strength grows
        few, many = (set(t.row[(t.target == label) & (t.columns["site"] == level)]) for t in (more, less))
        assert few < many


def test_seeds_and_purposes_choose_other_rows():
    rows = crossed(yes_b=500, yes_a=500, no_b=500, no_a=500)
    one = choose(rows, tie(site=0.6), 0)
    for other in (choose(rows, tie(site=0.6), 1), choose(rows, tie(site=0.6), 0, "again")):
        assert len(other) == len(one)
        assert len(np.intersect1d(one, other)) < 0.9 * len(one)


def test_the_order_in_which_associations_are_written_chooses_no_other_rows():
    """Hashes of a spec do not see the order either. Three factors, one of which applies in some rows only."""
    rows = world()
    ties = {
        "size": AssociationSpec(strength=0.7),
        "age": AssociationSpec(strength=-0.3),
        "maker": AssociationSpec(strength=0.2, given={"site": "b"}),
    }
    orders = [choose(rows, {name: ties[name] for name in order}, 4) for order in permutations(ties)]
    assert all(np.array_equal(orders[0], positions) for positions in orders)


def test_missing_values_are_left_out():
    rows = world(1000)
    size = rows.columns["size"].copy()
    size[:100] = np.nan
    chosen = choose(rows.with_column(SIZE, size), tie(size=0.3), 0)
    assert chosen.min() >= 100


def test_given_chooses_among_those_rows_and_keeps_all_others():
    rows = world(4000)
    ties = {"size": AssociationSpec(strength=-0.5, given={"site": "b"})}
    found = rows.take(choose(rows, ties, 0))
    inside = found.columns["site"] == 1
    assert measure_association(found.take(inside), "size").strength == pytest.approx(-0.5, abs=0.02)
    assert (~inside).sum() == (rows.columns["site"] == 0).sum()


def test_levels_of_a_categorical_factor_are_alike_within_its_low_half():
    draws = np.random.default_rng(0)
    target = draws.integers(0, 2, 8000)
    maker = np.where(draws.random(8000) < 0.3, 0, 1 + (draws.random(8000) < 0.3 + 0.4 * target))
    found = kept(table(target, maker=maker), maker=0.0)
    shares = [np.mean(found.columns["maker"][found.target == label] == 2) for label in (0, 1)]
    assert shares[0] == pytest.approx(shares[1], abs=0.01)


def test_several_classes_tie_the_last_against_the_rest_which_keep_their_ratio():
    draws = np.random.default_rng(0)
    target = draws.choice(3, 4000, p=[0.5, 0.2, 0.3])
    rows = table(target, classes=("none", "mild", "severe"), size=draws.normal(size=4000) + target)
    found = kept(rows, size=0.4)
    summary = measure_association(found, "size")
    assert summary.target == "severe"
    assert summary.strength == pytest.approx(0.4, abs=0.02)
    assert np.bincount(found.target) / len(found) == pytest.approx(np.bincount(target) / 4000, abs=0.01)


def test_a_hundred_thousand_rows_take_well_under_a_second():
    rows = world(100_000)
    start = time.process_time()
    kept(rows, size=0.5)
    assert time.process_time() - start < 1.0


@pytest.mark.parametrize(
    ("rows", "strengths", "text"),
    [
        (
            crossed(yes_b=80, yes_a=20, no_b=2, no_a=98),
            {"site": 0.0},
            "'site' at +0 cannot be tied to 'yes': rows of 'no' with site b: 2 there, 5 needed to keep 10 a class; "
            "the nearest strength that can be had is +0.6",
        ),
        (
            crossed(yes_b=3, yes_a=97, no_b=50, no_a=50),
            {"site": 0.9},
            "'site' at +0.9 cannot be tied to 'yes': rows of 'yes' with site b: 3 there, 10 needed to keep 10 a "
            "class; the strongest strength that can be had is -0.4",
        ),
        (
            crossed(yes_b=100, no_a=100),
            {"site": -0.5},
            "'site' at -0.5 cannot be tied to 'yes': rows of 'yes' with site a: 0 there, 8 needed to keep 10 a "
            "class; the nearest strength that can be had is +1",
        ),
        (
            crossed(yes_b=6, no_a=100, no_b=100),
            {"site": 0.5},
            "'site' at +0.5 cannot be tied to 'yes': there are 6 rows of 'yes' to choose from, and 10 a class are "
            "needed",
        ),
        (
            table([0, 1] * 40, site=[0, 0, 1, 1] * 20, size=[1.0, 2.0] * 40),
            {"site": 0.0, "size": 0.0},
            "'site' at +0, 'size' at +0 cannot be tied to 'yes': rows of 'yes' with site a and low size: 0 there, "
            "3 needed to keep 10 a class; together they can be had at no strength",
        ),
    ],
)
def test_what_cannot_be_had_is_refused_with_the_cell_that_is_short(rows, strengths, text):
    with pytest.raises(AssociationError) as refused:
        choose(rows, tie(**strengths), 0)
    assert str(refused.value) == text
