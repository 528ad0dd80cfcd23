"""Somers' D and its interval: another implementation, hand-derived values, limits, invariances, coverage."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import somersd

from assay.plugin import Factor, FactorTable, SpecError
from assay.shifts.association import measure_association, somers_d

SITE = Factor("site", "categorical", levels=("a", "b", "c"), high=("c", "b"))
SIZE = Factor("size", "continuous", unit="mm", range=(0, 10))
GRADE = Factor("grade", "ordinal", levels=("low", "mid", "top"))


def table(target, patient=None, **columns):
    known = {factor.name: factor for factor in (SITE, SIZE, GRADE)}
    count = len(target)
    return FactorTable(
        row=np.arange(count),
        target=np.asarray(target, dtype=np.int64),
        patient=np.arange(count) if patient is None else np.asarray(patient),
        classes=("no", "yes"),
        factors=tuple(known[name] for name in columns),
        columns={name: np.asarray(values) for name, values in columns.items()},
    )


BOTH = table([0, 1], size=[0.0, 1.0], site=[0, 1])
NAMELESS = replace(BOTH, factors=(SIZE, Factor("site", "categorical", levels=("a", "b"))))


def of_rows(**where):
    """The association among rows that meet conditions."""
    return measure_association(BOTH, "size", given=where)


def test_d_by_hand():
    # pairs (positive, negative): (3,1) + (3,2) + (2,1) + (2,2) tie = 3 of 4 concordant, none discordant: D = 3 / 4
    assert somers_d(np.array([3.0, 2.0, 1.0, 2.0]), np.array([True, True, False, False])) == 0.75


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=2, max_size=40))
@settings(max_examples=60, deadline=None)
def test_d_is_scipys_and_changes_sign_with_values_and_with_target(pairs):
    values = np.array([value for value, _ in pairs], dtype=float)
    of = np.array([is_positive for _, is_positive in pairs])
    if of.all() or not of.any():
        assert np.isnan(somers_d(values, of))
        return
    d = somers_d(values, of)
    other = somersd(of.astype(int), values).statistic if np.ptp(values) else 0.0  # SciPy gives NaN for a constant
    assert d == pytest.approx(other, abs=1e-12)
    assert somers_d(-values, of) == pytest.approx(-d, abs=1e-12)
    assert somers_d(values, ~of) == pytest.approx(-d, abs=1e-12)
    assert somers_d(np.exp(values), of) == pytest.approx(d, abs=1e-12)


@pytest.mark.parametrize(
    ("column", "held"),
    [
        ({"site": [1, 1, 1, 1]}, "b"),
        ({"site": [1, 2, 1, 2]}, "b or c"),  # both count as high: nothing is tied to the target
        ({"site": [0, -1, 0, 0]}, "a"),
        ({"site": [0, 1, 0, 0]}, ""),
        ({"site": [-1, -1, -1, -1]}, ""),
        ({"size": [3.5, 3.5, np.nan, 3.5]}, "3.5 mm"),
        ({"size": [3.5, 3.5, 3.5, 4.0]}, ""),
        ({"grade": [2, 2, 2, 2]}, "top"),
    ],
)
def test_a_factor_that_all_rows_have_alike_is_held(column, held):
    (name,) = column
    found = measure_association(table([1, 1, 0, 0], **column), name)
    assert found.held == held
    if held:
        assert (found.strength, found.low, found.high) == (0, 0, 0)


def test_a_binary_factors_d_is_the_difference_of_shares():
    # 3 of 4 positives and 1 of 5 negatives are high (b or c)
    found = measure_association(
        table([1, 1, 1, 1, 0, 0, 0, 0, 0], site=[1, 2, 1, 0, 0, 0, 0, 0, 2]), "site", requested=0.5
    )
    assert found.strength == pytest.approx(3 / 4 - 1 / 5)
    assert (found.target, found.asked, found.kept, found.available) == ("yes", 0.5, 9, 9)
    assert found.counts == {
        ("no", "a"): 4,
        ("no", "b"): 0,
        ("no", "c"): 1,
        ("yes", "a"): 1,
        ("yes", "b"): 2,
        ("yes", "c"): 1,
    }


def test_missing_values_are_counted_and_left_out():
    found = measure_association(table([1, 1, 0, 0], size=[5.0, np.nan, 1.0, np.nan]), "size")
    assert found.strength == 1.0
    assert found.counts["yes", "missing"] == 1
    assert found.counts["no", "missing"] == 1
    assert sum(found.counts.values()) == 4


def test_without_a_class_there_is_no_strength_and_no_interval():
    found = measure_association(table([1, 1, 1], size=[1.0, 2.0, 3.0]), "size")
    assert np.isnan([found.strength, found.low, found.high]).all()


def test_given_looks_at_those_rows_only():
    rows = table([1, 0, 1, 0], size=[2.0, 1.0, 1.0, 2.0], site=[0, 0, 1, 1])
    assert measure_association(rows, "size").strength == 0
    assert measure_association(rows, "size", given={"site": "a"}).strength == 1
    assert measure_association(rows, "size", given={"site": ["b", "c"]}).strength == -1


def test_other_high_levels_can_be_named():
    rows = table([1, 1, 0, 0], site=[0, 0, 1, 1])
    assert measure_association(rows, "site").strength == -1
    assert measure_association(rows, "site", high=("a",)).strength == 1


def test_the_standard_error_is_the_jackknifes_over_patients():
    draws = np.random.default_rng(0)
    patient = np.repeat(np.arange(60), 4)
    target = (patient + draws.integers(0, 2, 240)) % 2
    values = target + draws.normal(size=240) + np.repeat(draws.normal(size=60), 4)
    found = measure_association(table(target, patient, size=values), "size")
    left_out = np.array([somers_d(values[patient != p], target[patient != p] == 1) for p in range(60)])
    jackknife = np.sqrt(59 / 60 * np.sum((left_out - left_out.mean()) ** 2))
    assert (found.high - found.low) / (2 * 1.96) == pytest.approx(jackknife, rel=0.03)


def test_repeating_every_image_of_a_patient_narrows_nothing():
    draws = np.random.default_rng(1)
    target = draws.integers(0, 2, 80)
    values = target + draws.normal(size=80)
    once = measure_association(table(target, size=values), "size")
    thrice = measure_association(
        table(np.repeat(target, 3), np.repeat(np.arange(80), 3), size=np.repeat(values, 3)), "size"
    )
    assert (thrice.strength, thrice.low, thrice.high) == pytest.approx((once.strength, once.low, once.high))


def test_the_interval_covers():
    draws, inside = np.random.default_rng(2), 0
    truth = 2 * 0.7602499 - 1  # AUROC of two unit normals one apart: Phi(1 / sqrt 2)
    for _ in range(400):
        target = np.repeat([0, 1], 60)
        found = measure_association(table(target, size=draws.normal(size=120) + target), "size")
        inside += found.low <= truth <= found.high
    assert 0.91 <= inside / 400 <= 0.985


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda: measure_association(NAMELESS, "site"),
            "categorical factor 'site' is tied by its high levels: name them, leaving at least one other, as "
            "high: [...] from a, b",
        ),
        (lambda: measure_association(BOTH, "site", high=("a", "b", "c")), "leaving at least one other"),
        (lambda: measure_association(BOTH, "site", high=("aa",)), "unknown level of 'site' 'aa': did you mean 'a'?"),
        (lambda: of_rows(site="d"), "unknown level of 'site' 'd': allowed: a, b, c"),
        (lambda: of_rows(site=[]), "'site' is restricted to an empty list: name at least one value"),
        (lambda: of_rows(site={"min": 1}), "'site' is categorical and has no range: list the levels wanted"),
        (lambda: of_rows(size={"mim": 1}), "a range of 'size' has the keys min and max; given: mim"),
        (lambda: of_rows(size={"min": 3, "max": 2}), "the range of 'size' is empty: min 3 is above max 2"),
        (lambda: of_rows(size="big"), "'size' takes numbers in mm, given 'big'"),
        (
            lambda: measure_association(table([0, 1], size=[0.0, 1.0]), "sise"),
            "unknown factor 'sise': did you mean 'size'?",
        ),
    ],
)
def test_refusals(call, text):
    with pytest.raises(SpecError) as refused:
        call()
    assert text in str(refused.value)


def test_conditions_by_value_list_and_range():
    rows = table([0, 1, 0, 1], size=[1.0, 2.5, np.nan, 4.0], grade=[0, 2, -1, 1], site=[0, 1, 2, -1])
    places = ("no", "a"), ("yes", "b"), ("no", "c"), ("yes", "missing")  # of the four rows

    def met(where):
        counts = measure_association(rows, "site", given=where).counts
        return [bool(counts.get(place, 0)) for place in places]

    assert met({"size": 2.5}) == [False, True, False, False]
    assert met({"size": {"min": 2.5}}) == [False, True, False, True]
    assert met({"size": {"max": 2.5}}) == [True, True, False, False]
    assert met({"grade": {"min": "mid"}}) == [False, True, False, True]
    assert met({"grade": {"max": "mid"}}) == [True, False, False, True]
    assert met({"site": ["a", "c"], "size": {"min": 0}}) == [True, False, False, False]
