"""Which rows get an intervention."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.plugin import Component, Factor, FactorTable, SpecError, row_uniform
from assay.shifts.sampling import draw_interventions, marked_rows
from assay.spec.schema import AssociationSpec, EnvironmentSpec, InterventionSpec


def table(count=4000, seed=0):
    rows = np.arange(count)
    draws = np.random.default_rng(seed)
    site = Factor("site", "categorical", levels=("a", "b"), high=("b",))
    columns = {"site": draws.integers(0, 2, count)}
    return FactorTable(rows, draws.integers(0, 2, count), rows, ("no", "yes"), (site,), columns)


def tag(share=0.5):
    return InterventionSpec(component=Component(kind="intervention", name="tag"), share=share)


@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_rows_marked_at_a_share_are_among_those_marked_at_a_higher_one(a, b, seed):
    low, high = sorted((a, b))
    rows = table()
    fewer, more = (marked_rows("tag", tag(share), None, rows, seed) for share in (low, high))
    assert not (fewer & ~more).any()
    for target in (0, 1):
        own = more[rows.target == target]
        assert abs(own.sum() - high * len(own)) <= 0.5 + 1e-9  # of a class, to the nearest whole row


def test_shares_of_0_and_1_mark_none_and_all_and_shares_per_class_keep_to_their_class():
    rows = table()
    assert not marked_rows("tag", tag(0.0), None, rows, 0).any()
    assert marked_rows("tag", tag(1.0), None, rows, 0).all()
    only = marked_rows("tag", tag({"no": 0.0, "yes": 1.0}), None, rows, 0)
    assert np.array_equal(only, rows.target == 1)


@pytest.mark.parametrize("strength", [-1.0, -0.6, 0.0, 0.8, 1.0])
def test_a_tied_mark_has_its_strength_and_half_of_the_rows(strength):
    rows = table(20000)
    marked = marked_rows("tag", tag(), AssociationSpec(strength=strength), rows, 3)
    d = marked[rows.target == 1].mean() - marked[rows.target == 0].mean()  # D of a binary factor
    assert abs(d - strength) < 2e-4  # a row more or less in either class
    assert abs(marked.mean() - 0.5) < 0.02  # the classes differ in size


@pytest.mark.parametrize(
    ("count", "share", "marks"), [(60, 0.5, 30), (7, 0.2, 1), (2, 0.2, 0), (5, 0.5, 3), (1, 0.5, 1)]
)
def test_a_dose_is_the_share_of_a_class_to_the_nearest_row(count, share, marks):
    rows = FactorTable(np.arange(count), np.ones(count, dtype=np.int64), np.arange(count), ("no", "yes"), (), {})
    for seed in range(5):
        assert marked_rows("tag", tag({"positive": share, "negative": 0.0}), None, rows, seed).sum() == marks


@pytest.mark.parametrize("share", [0.0, 0.2, 0.37, 1.0])
def test_the_rows_of_a_class_with_the_smallest_draws_are_marked(share):
    rows = table(501)
    draws = row_uniform(7, "mark:tag", rows.row)
    for tie, part in ((None, share), (AssociationSpec(strength=2 * share - 1, given={"site": "a"}), share)):
        marked = marked_rows("tag", tag({"no": 0.5, "yes": share}) if tie is None else tag(), tie, rows, 7)
        own = np.flatnonzero((rows.target == 1) & ((tie is None) | (rows.columns["site"] == 0)))
        first = own[np.argsort(draws[own], kind="stable")[: int(part * len(own) + 0.5)]]
        assert np.flatnonzero(marked[own]).tolist() == sorted(np.searchsorted(own, first).tolist())


def test_seeds_mark_other_rows():
    rows = table(400)
    first, second = (marked_rows("tag", tag(), None, rows, seed) for seed in (0, 1))
    assert 0.3 < (first != second).mean() < 0.7


def test_given_ties_marks_in_those_rows_only():
    rows = table(20000)
    tie = AssociationSpec(strength=1.0, given={"site": "b"})
    marked = marked_rows("tag", tag(), tie, rows, 3)
    inside = rows.columns["site"] == 1
    assert np.array_equal(marked[inside], rows.target[inside] == 1)
    outside = marked[~inside]
    assert abs(outside[rows.target[~inside] == 1].mean() - outside[rows.target[~inside] == 0].mean()) < 0.04


def test_rows_outside_given_are_marked_alike_whatever_the_strength():
    rows = table(400)
    outside = rows.columns["site"] != 1
    ties = [AssociationSpec(strength=strength, given={"site": "b"}) for strength in (0.0, 0.2, 1.0)]
    none, some, all_ = (marked_rows("tag", tag(), tie, rows, 3)[outside] for tie in ties)
    assert np.array_equal(none, some)
    assert np.array_equal(none, all_)


def test_the_order_in_which_interventions_are_written_changes_no_pixel():
    """Two overlapping tags, of which the one put on last shows."""
    params = {"size": 0.5, "x": 0.5, "y": 0.5}
    dark, light = (
        InterventionSpec(component=Component(kind="intervention", name="tag", params={**params, "contrast": c}))
        for c in (0.2, 0.9)
    )
    rows, images = table(40), torch.rand(40, 1, 16, 16)
    shown = []
    for tags in ({"u": dark, "v": light}, {"v": light, "u": dark}):
        changes, marked = draw_interventions(EnvironmentSpec(interventions=tags), rows, 0, (1, 16, 16))
        changed = images
        for change in changes:
            changed = change.apply(changed, np.arange(40))
        shown.append((changed, list(marked.columns)))
    assert torch.equal(shown[0][0], shown[1][0])
    assert shown[0][1] == shown[1][1]


@pytest.mark.parametrize(
    ("environment", "text"),
    [
        ({"interventions": {"site": tag()}}, "intervention 'site' has the name of a factor: give it another"),
        (
            {"interventions": {"tag": tag({"no": 0.1})}},
            "the share of 'tag' has no value for the class yes: give one share per class",
        ),
        (
            {"interventions": {"tag": tag({"no": 0.1, "yess": 1.0})}},
            "unknown class in the share of 'tag' 'yess': did you mean 'yes'?",
        ),
        (
            {
                "interventions": {"tag": tag()},
                "association": {"tag": AssociationSpec(strength=0.5, high=("with",))},
            },
            "'tag' is an intervention, with it being high: leave out `high`",
        ),
    ],
)
def test_refusals(environment, text):
    with pytest.raises(SpecError) as refused:
        draw_interventions(EnvironmentSpec(**environment), table(), 0, (1, 32, 32))
    assert str(refused.value) == text
