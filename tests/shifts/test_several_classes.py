"""A factor of several levels that is the target itself: its levels are the classes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.worlds.environments import Toy

from assay.plugin import ArrayCache, Component, DataSpec, SpecError, row_uniform
from assay.shifts.association import measure_association
from assay.shifts.sampling import TargetRequest, draw_interventions, draw_rows
from assay.shifts.sources import open_population
from assay.spec.schema import AssociationSpec, EnvironmentSpec, InterventionSpec

GRADE = TargetRequest.of("grade", next(factor for factor in Toy.factors if factor.name == "grade"))


def rows(index=4000, seed=0, where=None, **strengths):
    ties = {
        name: tie if isinstance(tie, AssociationSpec) else AssociationSpec(strength=tie)
        for name, tie in strengths.items()
    }
    environment = EnvironmentSpec(association=ties, where=where or {})
    return draw_rows(Toy(), GRADE, environment, np.arange(index) if isinstance(index, int) else index, seed)


def test_a_factor_asked_for_by_its_own_name_gives_the_classes_and_any_other_gives_two():
    by_name = {factor.name: factor for factor in Toy.factors}
    assert TargetRequest.of("grade", by_name["grade"]).classes == ("0", "1", "2", "3")
    assert TargetRequest.of("texture", by_name["texture"]).classes == ("glass", "solid", "part")
    assert TargetRequest.of("ill", by_name["grade"]).classes == ("not ill", "ill")
    assert TargetRequest.of("margin", by_name["margin"]).classes == ("not margin", "margin")  # it has no levels


@given(st.integers(0, 50), st.integers(1, 60))
@settings(max_examples=30, deadline=None)
def test_every_four_rows_hold_one_of_each_class(seed, blocks):
    target = rows(4 * blocks, seed).target
    assert (np.sort(target.reshape(-1, 4), axis=1) == np.arange(4)).all()


def test_the_factor_says_the_class_and_every_order_is_as_likely():
    table = rows(48000)
    assert np.array_equal(table.columns["grade"], table.target)
    code = table.target.reshape(-1, 4) @ np.array([64, 16, 4, 1])
    found, counts = np.unique(code, return_counts=True)
    assert len(found) == 24
    expected = 12000 / 24  # chi-squared with 23 degrees of freedom: mean 23, standard deviation 6.8
    assert ((counts - expected) ** 2 / expected).sum() < 23 + 4 * 6.8


@given(st.permutations(range(40)), st.integers(1, 40))
@settings(max_examples=30, deadline=None)
def test_a_row_keeps_its_class_whatever_rows_stand_beside_it(order, count):
    index = np.array(order[:count])
    assert np.array_equal(rows(index).target, rows(40).target[index])


@given(st.integers(0, 2**31), st.lists(st.integers(0, 10**6), min_size=1, max_size=50))
@settings(max_examples=30, deadline=None)
def test_two_classes_are_drawn_as_ever(seed, index):
    """By the formula that two classes had before there could be more."""
    chosen = np.array(index)
    target = draw_rows(Toy(), TargetRequest("ill", "margin"), EnvironmentSpec(), chosen, seed).target
    assert np.array_equal(target, (chosen + (row_uniform(seed, "target", chosen // 2) < 0.5)) % 2)


def test_levels_that_where_leaves_out_are_not_drawn_and_the_classes_keep_their_codes():
    table = rows(3000, where={"grade": {"min": "1"}})
    assert table.classes == ("0", "1", "2", "3")
    assert (np.sort(table.target.reshape(-1, 3), axis=1) == [1, 2, 3]).all()
    assert np.array_equal(table.columns["grade"], table.target)


def test_an_association_is_that_of_the_last_class_against_the_rest():
    table = rows(60000, size=0.6, texture=-0.5)
    assert measure_association(table, "size").strength == pytest.approx(0.6, abs=0.02)
    assert measure_association(table, "texture").strength == pytest.approx(-0.5, abs=0.02)
    assert measure_association(table, "size").target == "3"
    means = [table.columns["size"][table.target == k].mean() for k in range(4)]
    assert means[:3] == pytest.approx([means[0]] * 3, abs=0.4)  # the others are alike
    assert means[3] > means[0] + 5


def test_an_intervention_tied_to_the_last_class_marks_it():
    tag = InterventionSpec(component=Component(kind="intervention", name="tag"))
    environment = EnvironmentSpec(association={"tag": AssociationSpec(strength=1.0)}, interventions={"tag": tag})
    _, table = draw_interventions(environment, rows(400), 0, (1, 32, 32))
    assert np.array_equal(table.columns["tag"] == 1, table.target == 3)


def test_at_strength_0_the_target_is_a_coins():
    table = rows(40000, grade=0.0)
    counts = np.zeros((4, 4))
    np.add.at(counts, (table.target, table.columns["grade"]), 1)
    assert counts / 2500 == pytest.approx(np.ones((4, 4)), abs=0.1)


@pytest.mark.parametrize(
    ("tie", "text"),
    [
        (0.5, r"'grade' is the target itself, with 4 classes: its strength is 1, or 0 .*; given \+0.5"),
        (-1.0, "given -1"),
        (AssociationSpec(strength=1.0, given={"texture": "part"}), "with high, given or share"),
    ],
)
def test_the_target_cannot_be_half_of_itself(tie, text):
    with pytest.raises(SpecError, match=text):
        rows(40, grade=tie)


def test_a_population_has_the_levels_as_classes_and_reports_no_tie_of_the_target_to_itself(tmp_path):
    phantom = Component(kind="phantom", name="tests.worlds.environments:Toy")
    data = DataSpec(phantom=phantom, target="grade", core="grade", size=8, train=40, validation=20, test=40)
    population = open_population(data, ArrayCache(tmp_path))
    assert population.classes == ("0", "1", "2", "3")
    tied = EnvironmentSpec(association={"size": AssociationSpec(strength=0.8)})
    train, _ = population.training(tied, 0)
    assert [found.factor for found in train.achieved] == ["size"]
    scene = population.scene({"same": tied}, 0)
    assert scene.classes == population.classes
    assert np.array_equal(scene.neutral().table.columns["grade"], scene.neutral().table.target)
    apart = scene.independent().table
    assert not np.array_equal(apart.columns["grade"], apart.target)
    with pytest.raises(SpecError, match="the core factor defines the target; unknown factor 'grad'"):
        _ = open_population(data.model_copy(update={"core": "grad"}), ArrayCache(tmp_path)).classes
