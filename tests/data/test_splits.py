"""Splits keep patients together, classes even, and depend on the seed alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.core.types import RowOrigins
from assay.data.splits import assign_folds, split
from assay.plugin import DataError, Factor, FactorTable, SpecError, SplitSpec


def table_of(patient: list[int], target: list[int], classes: int = 2, **columns: list[int]) -> FactorTable:
    n = len(patient)
    return FactorTable(
        row=np.arange(n, dtype=np.int64),
        target=np.array(target, dtype=np.int64),
        patient=np.array(patient, dtype=np.int64),
        classes=tuple("abcdefgh"[:classes]),
        columns={name: np.array(column, dtype=np.int64) for name, column in columns.items()},
    )


@st.composite
def tables(draw: st.DrawFn) -> FactorTable:
    """Patients of one to five images, of one class or of several, at least thirty images of each class."""
    classes = draw(st.integers(2, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    most = draw(st.sampled_from([1, 5]))
    patient: list[int] = []
    target: list[int] = []
    for code in range(draw(st.integers(40, 80)) * classes):
        images = int(rng.integers(1, most + 1))
        mixed = rng.random() < 0.2
        labels = rng.integers(0, classes, images) if mixed else np.full(images, code % classes)
        patient += [code] * images
        target += labels.tolist()
    return table_of(patient, target, classes)


def parts_of(table: FactorTable, found: Any) -> np.ndarray:
    part = np.full(len(table), -1)
    for code, positions in enumerate((found.train, found.validation, found.test)):
        assert (part[positions] == -1).all()
        part[positions] = code
    return part


def assert_whole_patients(table: FactorTable, part: np.ndarray) -> None:
    pairs = np.unique(np.stack([table.patient, part]), axis=1)
    assert pairs.shape[1] == len(np.unique(table.patient))


def assert_near_shares(table: FactorTable, part: np.ndarray, shares: list[float]) -> None:
    """Each class within two of the largest patients of its share."""
    for code in range(len(table.classes)):
        of_class = table.target == code
        largest = np.bincount(table.patient[of_class]).max()
        for at, share in enumerate(shares):
            assert abs((part[of_class] == at).sum() - share * of_class.sum()) <= 2 * largest


@settings(max_examples=40, deadline=None)
@given(tables(), st.integers(0, 2**31))
def test_shares_split_by_patient_every_row_once_and_evenly(table: FactorTable, seed: int) -> None:
    part = parts_of(table, split(table, SplitSpec(), seed))
    assert (part >= 0).all()
    assert_whole_patients(table, part)
    assert_near_shares(table, part, [0.6, 0.2, 0.2])


@settings(max_examples=40, deadline=None)
@given(tables(), st.integers(0, 2**31), st.sampled_from([3, 5, 10]))
def test_folds_split_by_patient_evenly(table: FactorTable, seed: int, k: int) -> None:
    folds = assign_folds(table, k, seed)
    assert_whole_patients(table, folds)
    assert_near_shares(table, folds, [1 / k] * k)


@settings(max_examples=40, deadline=None)
@given(tables(), st.integers(0, 2**31))
def test_every_row_is_tested_once_and_validates_once_over_the_folds(table: FactorTable, seed: int) -> None:
    tested = np.zeros(len(table))
    validated = np.zeros(len(table))
    for fold in range(5):
        found = split(table, SplitSpec(folds=5), seed, fold)
        part = parts_of(table, found)
        assert (part >= 0).all()
        assert_whole_patients(table, part)
        following = split(table, SplitSpec(folds=5), seed, (fold + 1) % 5)
        np.testing.assert_array_equal(found.validation, following.test)
        tested[found.test] += 1
        validated[found.validation] += 1
    assert (tested == 1).all()
    assert (validated == 1).all()


@settings(max_examples=40, deadline=None)
@given(tables(), st.integers(0, 2**31), st.integers(0, 2**31))
def test_the_order_of_rows_does_not_matter(table: FactorTable, seed: int, shuffle: int) -> None:
    order = np.random.default_rng(shuffle).permutation(len(table))
    for spec in (SplitSpec(), SplitSpec(folds=4)):
        plain = parts_of(table, split(table, spec, seed))
        shuffled = parts_of(table.take(order), split(table.take(order), spec, seed))
        np.testing.assert_array_equal(shuffled, plain[order])


def test_patients_with_both_classes_are_spread_evenly() -> None:
    # 40 patients with one image of each class, 60 of class a alone, 20 of class b alone: all divide by 5.
    patient = [p for p in range(40) for _ in range(2)] + list(range(40, 120))
    target = [0, 1] * 40 + [0] * 60 + [1] * 20
    table = table_of(patient, target)
    folds = assign_folds(table, 5, seed=0)
    for fold in range(5):
        inside = folds == fold
        assert len(np.unique(table.patient[inside & (table.patient < 40)])) == 8
        assert np.bincount(table.target[inside]).tolist() == [20, 12]


def test_the_seed_redraws_the_split_and_the_same_seed_repeats_it() -> None:
    table = table_of(list(range(200)), [0, 1] * 100)
    draws = [tuple(split(table, SplitSpec(), seed).test.tolist()) for seed in range(20)]
    assert len(set(draws)) == 20
    assert draws[3] == tuple(split(table, SplitSpec(), 3).test.tolist())
    # Over seeds each patient is tested about a fifth of the time: 20 draws of 0.2 stay within 0 and 14 (p < 1e-6 each).
    often = np.bincount(np.concatenate([np.array(draw) for draw in draws]), minlength=200)
    assert often.sum() == 20 * 40
    assert often.max() <= 14


def test_a_part_without_a_class_is_refused() -> None:
    table = table_of(list(range(12)), [0] * 10 + [1] * 2)
    with pytest.raises(DataError) as caught:
        assign_folds(table, 3, 0)
    assert "would hold no 'b', which 2 patients have in all; ask for fewer than 3 folds" in str(caught.value)
    with pytest.raises(DataError, match="would hold no 'b', which 2 patients have in all; raise the smallest share"):
        split(table, SplitSpec(), 0)


def test_a_rare_class_of_several_may_be_misspelled() -> None:
    table = table_of(list(range(13)), [0] * 6 + [1] * 6 + [2], classes=3)
    with pytest.raises(
        DataError, match="correct the table if 'c' is no class of its own, or ask for fewer than 3 folds"
    ):
        assign_folds(table, 3, 0)


def test_shares_that_cannot_be() -> None:
    table = table_of(list(range(20)), [0, 1] * 10)
    with pytest.raises(SpecError, match=r"data\.split: the shares add up to 1\.1; train, validation and test must add"):
        split(table, SplitSpec(train=0.7), 0)
    with pytest.raises(SpecError, match=r"data\.split\.train is 0; give training a share"):
        split(table, SplitSpec(train=0, validation=0.5, test=0.5), 0)
    with pytest.raises(SpecError, match="fold 5 of 5 folds: expected 0 to 4"):
        split(table, SplitSpec(folds=5), 0, 5)
    whole = split(table, SplitSpec(train=0.8, validation=0.0, test=0.2), 0)
    assert (len(whole.train), len(whole.validation), len(whole.test)) == (16, 0, 4)


def with_column(levels: tuple[str, ...], values: list[int], patient: list[int] | None = None) -> FactorTable:
    n = len(values)
    table = table_of(patient or list(range(n)), [0, 1] * (n // 2))
    return table.with_column(Factor("side", "categorical", levels=levels), np.array(values, dtype=np.int64))


def test_a_given_column_is_followed() -> None:
    table = with_column(("test", "Train", "val"), [1, 1, 1, 1, 2, 2, 0, 0])
    found = split(table, SplitSpec(column="side"), 0)
    assert (found.train.tolist(), found.validation.tolist(), found.test.tolist()) == ([0, 1, 2, 3], [4, 5], [6, 7])


def test_without_a_given_validation_it_is_drawn_from_training_by_patient() -> None:
    table = with_column(("test", "train"), [1] * 40 + [0] * 10, [*(at // 2 for at in range(40)), *range(20, 30)])
    found = split(table, SplitSpec(column="side"), 0)
    assert found.test.tolist() == list(range(40, 50))
    assert (len(found.train), len(found.validation)) == (30, 10)  # 0.6 to 0.2
    assert_whole_patients(table, parts_of(table, found))


def test_folds_of_a_column_train_on_all_others_and_leave_no_validation() -> None:
    table = with_column(("10", "2", "1"), [0, 1, 2, 2, 1, 0])
    spec = SplitSpec(folds=3, column="side", validation=0)
    found = [split(table, spec, seed, fold) for fold in range(3) for seed in (0, 7)]
    assert [one.test.tolist() for one in found] == [[2, 3]] * 2 + [[1, 4]] * 2 + [[0, 5]] * 2  # 1, 2, 10
    assert all(one.train.tolist() == sorted({*range(6)} - {*one.test.tolist()}) for one in found)
    assert all(np.array_equal(one.train, one.validation) for one in found)
    kept = split(table, SplitSpec(folds=3, column="side"), 0, 2)
    assert (kept.test.tolist(), kept.validation.tolist(), kept.train.tolist()) == ([0, 5], [2, 3], [1, 4])


def test_drawn_folds_without_validation_train_on_all_others() -> None:
    table = table_of(list(range(40)), [0, 1] * 20)
    found = split(table, SplitSpec(folds=4, validation=0), 3, 1)
    assert (len(found.train), len(found.test)) == (30, 10)
    assert np.array_equal(np.sort(np.concatenate([found.train, found.test])), np.arange(40))


def test_folds_of_a_column_that_cannot_be() -> None:
    with pytest.raises(SpecError, match="column 'side' has 2 values \\(a, b\\), and folds is 3"):
        split(with_column(("a", "b"), [0, 1]), SplitSpec(folds=3, column="side"), 0)
    shared = with_column(("a", "b", "c"), [0, 1, 2, 0, 1, 2], [70, 71, 72, 72, 71, 70])
    with pytest.raises(DataError, match="column 'side' puts 2 patients on several sides"):
        split(shared, SplitSpec(folds=3, column="side"), 0)
    with pytest.raises(ValueError, match="with folds, validation is the next fold, or 0 for none"):
        SplitSpec(folds=3, validation=0.1)


def test_columns_that_cannot_be() -> None:
    spec = SplitSpec(column="side")
    with pytest.raises(SpecError, match=r"data\.split\.column: unknown factor 'sid': did you mean 'side'\?"):
        split(with_column(("test", "train"), [0, 1]), SplitSpec(column="sid"), 0)
    with pytest.raises(SpecError, match="'side' holds left, train; its values must be train, validation"):
        split(with_column(("left", "train"), [0, 1]), spec, 0)
    with pytest.raises(SpecError, match="'side' never says test; use folds or shares instead"):
        split(with_column(("train", "val"), [0, 1]), spec, 0)
    with pytest.raises(DataError, match=r"column 'side' is missing in 2 rows \(rows 1, 3\); fill it in"):
        split(with_column(("test", "train"), [0, -1, 1, -1]), spec, 0)


def test_a_patient_across_a_given_column_is_refused_by_rows() -> None:
    table = with_column(("test", "train"), [1, 1, 1, 0, 0, 0], [70, 71, 72, 70, 73, 72])
    with pytest.raises(DataError) as caught:
        split(table, SplitSpec(column="side"), 0)
    assert str(caught.value) == (
        "column 'side' puts 2 patients on several sides (4 rows: rows 0, 2, 3, 5); "
        "move each patient to one side, or use folds or shares, which split by patient"
    )


def test_too_few_images_without_a_lesion_are_refused_with_the_cure() -> None:
    table = table_of(list(range(12)), [1] * 10 + [0] * 2)
    lesions = replace(table, classes=("absent", "present"))
    cure = r"in a study of segmentation, test on all of them .*test_only: \{lesion: absent\}\}"
    with pytest.raises(DataError, match=rf"would hold no 'absent', which 2 patients have in all.*{cure}"):
        split(lesions, SplitSpec(), 0)
    one = replace(table_of(list(range(12)), [1] * 11 + [0]), classes=("absent", "present"))
    with pytest.raises(DataError, match="would hold no 'absent', which 1 patient has in all"):
        split(one, SplitSpec(), 0)


def test_rows_are_named_as_their_file_counts_them() -> None:
    table = table_of([0, 0, 1, 1, 2], [0, 1, 0, 1, 0])
    side = Factor("side", "categorical", levels=("test", "train"))
    table = table.with_column(side, np.array([0, 1, 0, -1, 1]))
    named = replace(table, places=RowOrigins("data.csv", "line", (2, 3, 5, 9, 10)))
    with pytest.raises(DataError, match=r"is missing in 1 rows \(line 9 of data\.csv\); fill it in"):
        split(named, SplitSpec(column="side"), 0)
    whole = named.with_column(side, np.array([0, 1, 0, 0, 1]))
    with pytest.raises(DataError, match=r"\(2 rows: lines 2, 3 of data\.csv\)"):
        split(whole, SplitSpec(column="side"), 0)
