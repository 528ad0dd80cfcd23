"""Shares of rows with the high level, on a phantom and on a table: cells by hand, nestedness, refusals."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.worlds.environments import Toy

from assay.plugin import AssociationError, Factor, FactorTable, SpecError
from assay.shifts.association import measure_association, positive, somers_d
from assay.shifts.choice import choose
from assay.shifts.sampling import TargetRequest, draw_rows
from assay.spec.schema import AssociationSpec, EnvironmentSpec, HighShares

DOSES = (0.0, 0.2, 0.5, 0.8, 1.0)
SOLID = Toy.factors[1].levels.index("solid")
SITE = Factor("site", "categorical", levels=("a", "b"), high=("b",))


def by_shares(positive: float, negative: float) -> AssociationSpec:
    return AssociationSpec.model_validate({"share": {"positive": positive, "negative": negative}})


def drawn(tie: AssociationSpec, factor: str = "texture", seed: int = 3) -> FactorTable:
    environment = EnvironmentSpec(association={factor: tie})
    return draw_rows(Toy(), TargetRequest("ill", "margin"), environment, np.arange(4000), seed)


def crossed(**counts: int) -> FactorTable:
    """A table with these numbers of rows: yes_b=10 means 10 rows of 'yes' with site b."""
    cells = [(name.split("_"), count) for name, count in counts.items()]
    target = np.repeat([("no", "yes").index(cell[0]) for cell, _ in cells], list(counts.values()))
    site = np.repeat([SITE.levels.index(cell[1]) for cell, _ in cells], list(counts.values()))
    rows = np.arange(len(target))
    return FactorTable(rows, target, rows, ("no", "yes"), (SITE,), {"site": site})


def chosen(table: FactorTable, tie: AssociationSpec, seed: int = 0) -> FactorTable:
    return table.take(choose(table, {"site": tie}, seed))


def cells(table: FactorTable) -> dict[tuple[str, str], int]:
    return measure_association(table, "site").counts


# --- a phantom -----------------------------------------------------------------------------------------------------


def test_of_a_phantom_the_share_is_high_and_every_other_row_low():
    for p in DOSES:
        rows = drawn(by_shares(p, 0))
        high, of = rows.columns["texture"] == SOLID, positive(rows)
        assert not high[~of].any()
        assert high[of].mean() == pytest.approx(p, abs=0.03)
        assert somers_d(rows.numbers("texture"), of) == pytest.approx(p, abs=0.03)
    assert not (drawn(by_shares(0, 0)).columns["texture"] == SOLID).any()
    assert (drawn(by_shares(1, 1)).columns["texture"] == SOLID).all()


def test_of_a_phantom_high_rows_at_one_share_are_among_those_at_a_greater_one():
    marked = [drawn(by_shares(p, 0)).columns["texture"] == SOLID for p in DOSES]
    assert all((lower <= higher).all() for lower, higher in pairwise(marked))


def test_half_of_each_class_tells_what_strength_0_tells():
    rows = drawn(by_shares(0.5, 0.5))
    high = rows.columns["texture"] == SOLID
    assert high.mean() == pytest.approx(0.5, abs=0.03)
    assert somers_d(rows.numbers("texture"), positive(rows)) == pytest.approx(0, abs=0.04)


def test_of_a_phantom_nothing_else_moves():
    one, other = drawn(by_shares(0.2, 0)), drawn(by_shares(1, 0))
    assert (one.target == other.target).all()
    for name in ("margin", "size", "grade", "x", "y"):
        assert (one.columns[name] == other.columns[name]).all()


@pytest.mark.parametrize(("factor", "kind"), [("size", "continuous"), ("grade", "ordinal")])
def test_a_factor_without_high_levels_has_no_shares(factor: str, kind: str):
    with pytest.raises(SpecError) as refused:
        drawn(by_shares(0.5, 0), factor)
    assert str(refused.value) == (
        f"'{factor}' is {kind}: shares of rows with the high level (`scheme: one-sided`) are for categorical factors; "
        "a strength (`scheme: balanced`) ties any factor"
    )
    balanced = drawn(AssociationSpec(strength=0.5), factor)
    assert somers_d(balanced.numbers(factor), positive(balanced)) > 0.4


# --- a table -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tie", "expected"),
    [
        # Classes are equal, so each keeps equally many rows. One side, p = 0: 'yes' has 40 in a, 'no' 50: 40 of each.
        (by_shares(0, 0), {("yes", "a"): 40, ("no", "a"): 40}),
        # p = 0.25: of n rows of 'yes' 3 in 4 are in a, which has 40, and n rows of 'no' are, which has 50: n = 50.
        (by_shares(0.25, 0), {("yes", "b"): (12, 13), ("yes", "a"): (37, 38), ("no", "a"): 50}),
        # p = 1: 60 of 'yes' in b, 50 of 'no' in a: 50 of each.
        (by_shares(1, 0), {("yes", "b"): 50, ("no", "a"): 50}),
        # on the negatives: 40 of 'yes' in a, so 40 of 'no', half of them in b.
        (by_shares(0, 0.5), {("yes", "a"): 40, ("no", "a"): 20, ("no", "b"): 20}),
        # all of both in b: 50 of 'no' there.
        (by_shares(1, 1), {("yes", "b"): 50, ("no", "b"): 50}),
        # balanced, at 0: half of each class in a, of which 'yes' has 40.
        (AssociationSpec(strength=0), {("yes", "b"): 40, ("yes", "a"): 40, ("no", "b"): 40, ("no", "a"): 40}),
        (by_shares(0.5, 0.5), {("yes", "b"): 40, ("yes", "a"): 40, ("no", "b"): 40, ("no", "a"): 40}),
    ],
)
def test_cells_of_a_table_by_hand(tie: AssociationSpec, expected: dict[tuple[str, str], int | tuple[int, int]]):
    found = cells(chosen(crossed(yes_b=60, yes_a=40, no_b=50, no_a=50), tie))
    for cell, count in found.items():
        wanted = expected.get(cell, 0)
        assert count in (wanted if isinstance(wanted, tuple) else (wanted,)), cell
    assert found["yes", "a"] + found["yes", "b"] == found["no", "a"] + found["no", "b"]


def test_a_level_that_no_class_may_have_need_not_be_there():
    only = crossed(yes_b=0, yes_a=40, no_b=0, no_a=60)
    assert len(chosen(only, by_shares(0, 0))) == 100


@settings(max_examples=60, deadline=None)
@given(st.tuples(*[st.integers(30, 90)] * 4), st.sampled_from(DOSES), st.sampled_from(DOSES), st.integers(0, 5))
def test_shares_come_out_within_a_row_and_classes_keep_their_ratio(
    counts: tuple[int, int, int, int], of_yes: float, of_no: float, seed: int
):
    table = crossed(**dict(zip(("yes_b", "yes_a", "no_b", "no_a"), counts, strict=True)))
    rows = chosen(table, by_shares(of_yes, of_no), seed)
    kept = cells(rows)
    for name, share in (("yes", of_yes), ("no", of_no)):
        total = kept[name, "a"] + kept[name, "b"]
        assert abs(kept[name, "b"] - share * total) <= 1
    ratio = (counts[0] + counts[1]) / sum(counts)
    assert abs(positive(rows).sum() - ratio * len(rows)) <= 1


def test_rows_that_are_not_there_are_refused_with_the_cell_that_is_short():
    # 3 of 'yes' are in b: at a share f they allow 3 / f rows of 'yes', 10 at f = 0.3.
    with pytest.raises(AssociationError) as refused:
        chosen(crossed(yes_b=3, yes_a=40, no_b=50, no_a=50), by_shares(1, 0))
    assert str(refused.value) == (
        "'site' high in 1 of 'yes' and 0 of the others cannot be tied to 'yes': rows of 'yes' with site b: 3 there, "
        "10 needed to keep 10 a class; it can be had at 30% of these shares"
    )


def test_shares_and_strengths_go_together():
    draws = np.random.default_rng(0)
    target = draws.integers(0, 2, 2000)
    maker = Factor("maker", "categorical", levels=("v", "w"), high=("w",))
    columns = {"site": draws.integers(0, 2, 2000), "maker": draws.integers(0, 2, 2000)}
    rows = np.arange(2000)
    table = FactorTable(rows, target, rows, ("no", "yes"), (SITE, maker), columns)
    ties = {"site": by_shares(0.4, 0), "maker": AssociationSpec(strength=0.6)}
    kept = table.take(choose(table, ties, 0))
    for name, tie in ties.items():
        assert somers_d(kept.numbers(name), positive(kept)) == pytest.approx(tie.strength, abs=0.02)
    assert not kept.columns["site"][~positive(kept)].any()


def test_shares_of_several_classes_are_of_the_last_against_the_rest():
    rows = np.arange(3000)
    table = FactorTable(rows, rows % 3, rows, ("x", "y", "z"), (SITE,), {"site": rows // 3 % 2})
    kept = chosen(table, AssociationSpec(strength=0.5, share=HighShares(positive=0.5, negative=0)))
    high = kept.columns["site"] == 1
    assert high[kept.target == 2].mean() == 0.5
    assert not high[kept.target < 2].any()
