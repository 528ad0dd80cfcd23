"""So many training rows: within each other, in the proportions of the whole, and refused where there are fewer."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.shifts.test_file_population import dataset, population, rows, tag, tied
from tests.shifts.test_shares import DOSES, by_shares, crossed

from assay.plugin import ArrayCache, Component, DataError, DataSpec, Factor, FactorTable
from assay.shifts.association import measure_association, positive
from assay.shifts.choice import preference
from assay.shifts.phantom_rows import PhantomPopulation
from assay.shifts.population import Population
from assay.shifts.sampling import first_patients, first_rows
from assay.spec.schema import AssociationSpec, EnvironmentSpec

SPLIT = {"train": 0.6, "validation": 0.2, "test": 0.2}


def first(table: FactorTable, count: int, tied: tuple[str, ...] = ("site",), seed: int = 0) -> FactorTable:
    return first_rows(table, count, tied, preference(table.row, seed))


def test_each_class_and_level_has_its_share_by_hand():
    # 100 rows in the proportions 1 : 3 : 4 : 2; 10 rows hold 1, 3, 4 and 2 of them, 20 the double.
    table = crossed(yes_b=10, yes_a=30, no_b=40, no_a=20)
    for count in (10, 20, 50, 100):
        counts = measure_association(first(table, count), "site").counts
        assert counts == {
            ("yes", "b"): count // 10,
            ("yes", "a"): 3 * count // 10,
            ("no", "b"): 4 * count // 10,
            ("no", "a"): 2 * count // 10,
        }


@settings(max_examples=60, deadline=None)
@given(st.tuples(*[st.integers(0, 40)] * 4), st.integers(0, 5), st.data())
def test_amounts_are_nested_and_every_class_has_its_share_within_a_row(
    counts: tuple[int, int, int, int], seed: int, data: st.DataObject
):
    table = crossed(**dict(zip(("yes_b", "yes_a", "no_b", "no_a"), counts, strict=True)))
    less, more = sorted(data.draw(st.tuples(*[st.integers(0, len(table))] * 2)))
    few, many = first(table, less, seed=seed), first(table, more, seed=seed)
    assert (len(few), len(many)) == (less, more)
    assert set(few.row) <= set(many.row)
    assert abs(positive(few).sum() - positive(table).mean() * less if len(table) else 0) <= 1


def test_the_order_of_the_table_decides_nothing():
    table = crossed(yes_b=10, yes_a=30, no_b=40, no_a=20)
    mixed = table.take(np.random.default_rng(0).permutation(100))
    assert set(first(table, 33).row) == set(first(mixed, 33).row)


def test_values_of_a_continuous_factor_are_taken_evenly_and_missing_ones_too():
    draws = np.random.default_rng(0)
    size = draws.normal(size=800)
    size[::10] = np.nan
    numbers = np.arange(800)
    table = FactorTable(numbers, numbers % 2, numbers, ("no", "yes"), (Factor("size", "continuous"),), {"size": size})
    for count in (80, 200):
        taken = first(table, count, ("size",)).columns["size"]
        assert abs(np.isnan(taken).sum() - count / 10) <= 2
        assert np.nanmean(taken) == pytest.approx(np.nanmean(size), abs=0.1)


def test_seeds_take_other_rows():
    table = crossed(yes_b=10, yes_a=30, no_b=40, no_a=20)
    assert set(first(table, 30, seed=0).row) != set(first(table, 30, seed=1).row)


# --- files ---------------------------------------------------------------------------------------------------------


def training(environment: EnvironmentSpec, count: int | None, seed: int = 0):
    return population(**SPLIT).training(environment.model_copy(update={"rows": count}), seed)


def test_training_rows_of_files_are_as_many_as_asked_and_nested_and_validation_rows_stay():
    whole, validated = training(tied(site=0.5), None)
    made = [training(tied(site=0.5), count) for count in (60, 150, len(whole))]
    for count, (train, validation) in zip((60, 150, len(whole)), made, strict=True):
        assert len(train) == count
        assert rows(validation) == rows(validated)
        assert abs(positive(train.table).sum() - positive(whole.table).mean() * count) <= 1
        assert train.achieved[0].strength == pytest.approx(0.5, abs=0.04)
    assert all(set(rows(less)) <= set(rows(more)) for (less, _), (more, _) in pairwise(made))
    assert rows(made[-1][0]) == rows(whole)


@pytest.mark.parametrize("scheme", ["balanced", "one-sided"])
def test_high_rows_of_a_class_at_one_dose_are_among_those_at_a_greater_one_when_rows_are_equal(scheme: str):
    ties = [AssociationSpec(strength=p) if scheme == "balanced" else by_shares(p, 0) for p in DOSES]
    made = [training(EnvironmentSpec(association={"site": tie}), 120)[0].table for tie in ties]
    assert {len(table) for table in made} == {120}
    high = [set(table.row[positive(table) & (table.columns["site"] == 1)].tolist()) for table in made]
    low = [set(table.row[positive(table) & (table.columns["site"] == 0)].tolist()) for table in made]
    assert all(less < more for less, more in pairwise(high))
    assert all(more < less for less, more in pairwise(low))


@pytest.mark.parametrize("count", [60, 61, 150])
def test_a_share_of_each_class_is_marked_whatever_the_number_of_rows(count):
    table = training(EnvironmentSpec(interventions={"tag": tag(0.5)}), count)[0].table
    for code in np.unique(table.target):
        own = table.columns["tag"][table.target == code]
        assert abs(own.sum() - len(own) / 2) <= 0.5


def test_more_rows_than_there_are_are_refused_with_both_numbers():
    there = len(training(tied(site=0.5), None)[0])
    with pytest.raises(DataError) as refused:
        training(tied(site=0.5), there + 1)
    assert str(refused.value) == (
        f"environment 'train': {there + 1} rows are requested; there are {there} after its associations and `where`: "
        "ask for fewer"
    )
    assert there < len(dataset().table)


# --- a phantom -----------------------------------------------------------------------------------------------------


@pytest.fixture
def phantom(tmp_path):
    data = DataSpec(
        phantom=Component(kind="phantom", name="tests.worlds.environments:Toy"),
        core="margin",
        target="ill",
        train=200,
        test=50,
    )
    return PhantomPopulation(data, ArrayCache(tmp_path))


def test_a_phantom_has_the_first_of_its_training_rows_with_as_many_of_either_class(phantom: Population):
    environment = tied(texture=0.5)
    whole = phantom.training(environment, 0)[0]
    for count in (50, 120):
        train, validation = phantom.training(environment.model_copy(update={"rows": count}), 0)
        assert len(train) == count
        assert positive(train.table).sum() == count // 2
        assert rows(train) == rows(whole)[:count]
        assert (train.table.columns["texture"] == whole.table.columns["texture"][:count]).all()
        assert len(validation) == phantom.data.validation


def test_a_phantom_has_no_more_than_data_train_says(phantom: Population):
    with pytest.raises(DataError) as refused:
        phantom.training(EnvironmentSpec(rows=201), 0)
    assert str(refused.value) == (
        "environment 'train': 201 rows are requested; there are 200 in data.train: ask for fewer"
    )


def eyes(patients: int) -> FactorTable:
    """Two rows a patient but for every fifth, who has one; the right eye's grade is at most one above the left's."""
    draws = np.random.default_rng(4)
    left = draws.integers(0, 4, patients)
    grade = np.stack([left, left + draws.integers(0, 2, patients)], axis=1)
    there = np.ones((patients, 2), dtype=bool)
    there[::5, 1] = False
    patient = np.repeat(np.arange(patients), 2)[there.reshape(-1)]
    number = np.arange(len(patient))
    classes = ("0", "1", "2", "3", "4")
    return FactorTable(number, grade.reshape(-1)[there.reshape(-1)], patient, classes, (), {})


def of_patients(table: FactorTable, fraction: float, seed: int = 0) -> FactorTable:
    return first_patients("train", table, fraction, (), preference(table.row, seed))


@settings(max_examples=30, deadline=None)
@given(st.integers(10, 300), st.integers(0, 5), st.floats(0.2, 1), st.floats(0.2, 1))
def test_shares_of_patients_are_nested_and_keep_both_eyes(patients: int, seed: int, one: float, other: float):
    table = eyes(patients)
    few, many = (of_patients(table, share, seed) for share in sorted((one, other)))
    assert set(few.row) <= set(many.row)
    assert len(np.unique(few.patient)) == round(min(one, other) * patients)
    for taken in (few, many):
        assert set(taken.row) == set(table.row[np.isin(table.patient, taken.patient)])


def test_a_share_of_patients_holds_them_by_their_worse_eye():
    """Of 1,000 patients a tenth: each worst grade has a tenth of its patients, within one."""
    table = eyes(1000)
    worst = np.array([table.target[table.patient == patient].max() for patient in range(1000)])
    taken = np.unique(of_patients(table, 0.1).patient)
    for grade in range(5):
        assert abs((worst[taken] == grade).sum() - (worst == grade).sum() / 10) <= 1


def test_another_seed_takes_other_patients_and_a_share_of_one_takes_all():
    table = eyes(200)
    assert set(of_patients(table, 0.1, 0).patient) != set(of_patients(table, 0.1, 1).patient)
    assert of_patients(table, 1.0) is table


def test_a_share_of_fewer_than_two_patients_is_refused():
    with pytest.raises(DataError, match=r"'train': fraction 0.01 of 100 patients is 1; at least 2 are needed"):
        of_patients(eyes(100), 0.01)


def test_a_phantom_takes_a_share_of_its_images(tmp_path):
    data = DataSpec(
        phantom=Component(kind="phantom", name="nodule"), size=32, train=200, validation=20, test=20, core="margin"
    )
    drawn = PhantomPopulation(data, ArrayCache(tmp_path))
    few, some, whole = (
        drawn.training(EnvironmentSpec(split="train", fraction=share), 3)[0].table for share in (0.01, 0.1, 1.0)
    )
    assert (len(few), len(some), len(whole)) == (2, 20, 200)
    assert set(few.row) <= set(some.row) <= set(whole.row)
    plain = EnvironmentSpec(split="train")
    assert EnvironmentSpec(split="train", fraction=1.0).for_training() == plain.for_training()


def test_two_ways_to_say_how_much_are_refused():
    with pytest.raises(ValueError, match="rows and fraction both say how much is trained on: keep one"):
        EnvironmentSpec(split="train", rows=5, fraction=0.5)
