"""Rows of a phantom: the strength that comes out, what environments share, and what cannot be drawn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.worlds.environments import FACTORS, Toy

from assay.plugin import AssociationError, SpecError
from assay.shifts.association import measure_association
from assay.shifts.sampling import TargetRequest, draw_rows
from assay.spec.schema import AssociationSpec, EnvironmentSpec

PHANTOM = Toy()
QUESTION = TargetRequest("malignant", "margin")
NAMES = [factor.name for factor in FACTORS]


def rows(count=4000, seed=0, where=None, **strengths):
    ties = {
        name: tie if isinstance(tie, AssociationSpec) else AssociationSpec(strength=tie)
        for name, tie in strengths.items()
    }
    environment = EnvironmentSpec(association=ties, where=where or {})
    return draw_rows(PHANTOM, QUESTION, environment, np.arange(count), seed)


@pytest.mark.parametrize("strength", [-0.9, -0.3, 0.0, 0.6, 0.9, 1.0])
@pytest.mark.parametrize("factor", ["size", "texture", "grade"])
def test_the_strength_that_comes_out_is_the_one_asked(factor, strength):
    # D's standard error is at most 2 / sqrt(n) for equal classes, here 0.0082: within 4 of it
    found = measure_association(rows(60000, **{factor: strength}), factor)
    assert found.strength == pytest.approx(strength, abs=0.033 * np.sqrt(1 - strength**2) + 1e-9)


def test_the_density_of_a_tied_factor_is_one_and_s_in_its_half():
    drawn = rows(80000, size=0.6)
    u = (drawn.columns["size"] - 4) / 26
    of = drawn.target == 1
    shares = np.histogram(u[of], bins=4, range=(0, 1))[0] / of.sum()
    assert shares == pytest.approx([0.1, 0.1, 0.4, 0.4], abs=0.007)
    assert np.histogram(u[~of], bins=4, range=(0, 1))[0] / (~of).sum() == pytest.approx(shares[::-1], abs=0.01)


def test_the_core_factor_defines_the_target_and_all_others_know_nothing_of_it_or_of_each_other():
    drawn = rows(20000)
    assert measure_association(drawn, "margin").strength == 1
    assert np.array_equal(drawn.columns["margin"] >= 0.5, drawn.target == 1)
    columns = np.stack([drawn.numbers(name) for name in NAMES] + [drawn.target])
    correlation = np.abs(np.corrcoef(columns) - np.eye(len(columns)))
    core, target = 0, len(NAMES)
    correlation[core, target] = correlation[target, core] = 0
    assert correlation.max() < 0.03


@pytest.mark.parametrize("count", [2, 10, 501])
def test_classes_are_equal_whatever_the_count_and_rows_keep_theirs(count):
    drawn = rows(count)
    assert abs(2 * int(drawn.target.sum()) - count) <= count % 2
    assert np.array_equal(drawn.target, rows(4000).target[:count])


@given(st.floats(-1, 1), st.floats(-1, 1), st.integers(0, 20))
@settings(max_examples=25, deadline=None)
def test_environments_share_all_that_they_do_not_change(a, b, seed):
    one, other = rows(300, seed, size=a), rows(300, seed, size=b)
    assert np.array_equal(one.target, other.target)
    for name in NAMES:
        if name != "size":
            assert np.array_equal(one.columns[name], other.columns[name])


@given(st.floats(0, 1), st.floats(0, 1), st.sampled_from([1, -1]))
@settings(max_examples=25, deadline=None)
def test_rows_moved_at_one_strength_are_among_those_moved_at_a_stronger_one(a, b, sign):
    weak, strong = sorted((a, b))
    free, less, more = (rows(400, size=sign * s).columns["size"] for s in (0.0, weak, strong))
    moved_less, moved_more = less != free, more != free
    assert not (moved_less & ~moved_more).any()
    assert np.array_equal(less[moved_less], more[moved_less])


def test_seeds_redraw_everything():
    one, other = rows(2000, 0), rows(2000, 1)
    assert abs(np.mean(one.target == other.target) - 0.5) < 0.06
    assert abs(np.corrcoef(one.columns["size"], other.columns["size"])[0, 1]) < 0.08


def test_given_ties_in_those_rows_only_whatever_the_order_of_factors():
    tie = AssociationSpec(strength=0.8, given={"grade": ["2", "3"]})
    drawn = rows(40000, texture=tie)
    inside = drawn.columns["grade"] >= 2
    assert measure_association(drawn, "texture", given=tie.given).strength == pytest.approx(0.8, abs=0.02)
    assert measure_association(drawn.take(~inside), "texture").strength == pytest.approx(0, abs=0.03)


def test_several_ties_at_once_are_independent_within_a_class():
    drawn = rows(40000, size=0.7, texture=-0.5, grade=0.3)
    for name, strength in {"size": 0.7, "texture": -0.5, "grade": 0.3}.items():
        assert measure_association(drawn, name).strength == pytest.approx(strength, abs=0.03)
    within = drawn.take(drawn.target == 1)
    assert abs(np.corrcoef(within.numbers("size"), within.numbers("texture"))[0, 1]) < 0.03


def test_where_holds_constant_and_restricts():
    held = rows(where={"texture": "part", "size": 12, "grade": "1"})
    assert set(held.columns["texture"]) == {2}
    assert set(held.columns["size"]) == {12.0}
    assert set(held.columns["grade"]) == {1}
    within = rows(20000, where={"size": {"min": 10, "max": 20}}, size=0.5)
    assert within.columns["size"].min() >= 10
    assert within.columns["size"].max() <= 20
    assert np.quantile(within.columns["size"], 0.25) == pytest.approx(12.5, abs=0.2)
    assert measure_association(within, "size").strength == pytest.approx(0.5, abs=0.03)
    listed = rows(where={"size": [8, 10, 16]})
    assert np.unique(listed.columns["size"], return_counts=True)[1] / 4000 == pytest.approx([1 / 3] * 3, abs=0.03)


def test_a_restricted_categorical_factor_keeps_half_of_its_mass_high():
    drawn = rows(20000, where={"texture": ["part", "solid"]}, texture=0.6)
    assert set(drawn.columns["texture"]) == {1, 2}
    assert np.mean(drawn.columns["texture"] == 1) == pytest.approx(0.5, abs=0.02)
    assert measure_association(drawn, "texture").strength == pytest.approx(0.6, abs=0.03)


def test_where_changes_nothing_but_its_own_factor():
    free, held = rows(), rows(where={"texture": "solid"})
    for name in NAMES:
        if name != "texture":
            assert np.array_equal(free.columns[name], held.columns[name])


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: rows(sise=0.5), SpecError, "unknown factor 'sise': did you mean 'size'?"),
        (lambda: rows(where={"sise": 3}), SpecError, "unknown factor 'sise': did you mean 'size'?"),
        (
            lambda: rows(size=AssociationSpec(strength=0.5, given={"sise": 3})),
            SpecError,
            "unknown factor 'sise': did you mean 'size'?",
        ),
        (
            lambda: rows(
                size=AssociationSpec(strength=0.5, given={"texture": "solid"}),
                texture=AssociationSpec(strength=0.5, given={"size": {"min": 9}}),
            ),
            SpecError,
            "`given` is circular between the factors size, texture: break it",
        ),
        (
            lambda: rows(texture=AssociationSpec(strength=0.5, high=("part",))),
            SpecError,
            "the high levels of the phantom's 'texture' are solid: leave out `high`",
        ),
        (
            lambda: rows(where={"texture": ["glass", "part"]}, texture=-0.5),
            AssociationError,
            "'texture' cannot be tied to 'malignant' at -0.5 where it is held constant: 0 rows of its other half can "
            "be drawn; the strongest strength that can be had is 0",
        ),
        (lambda: rows(where={"margin": 0.7}), AssociationError, "'margin' cannot be tied to 'malignant' at +1 where"),
        (
            lambda: rows(where={"size": {"min": 40}}),
            SpecError,
            "no value of 'size' that the phantom draws is allowed by {'min': 40.0}",
        ),
        (lambda: rows(where={"size": 50}), SpecError, "'size' goes from 4 to 30 mm; given [50.0]"),
    ],
)
def test_refusals(make, error, text):
    with pytest.raises(error) as refused:
        make()
    assert text in str(refused.value)


def test_a_core_that_is_no_factor_is_refused():
    with pytest.raises(SpecError, match="the core factor defines the target; unknown factor 'margn'"):
        draw_rows(PHANTOM, TargetRequest("malignant", "margn"), EnvironmentSpec(), np.arange(4), 0)
