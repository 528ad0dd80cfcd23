"""Exact copies are found exactly, shared patients by their rows; near copies: `test_near_copies`."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from assay.data.leakage import check_disjoint, row_hashes
from assay.plugin import DataError, FactorTable


def scenes(n: int, side: int = 64, seed: int = 0) -> np.ndarray:
    """Smooth random images over one shared bright disc, uint8 [n, 1, side, side]: alike at a glance, never copies."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(size=(n, 12, 12)).astype(np.float32)
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    disc = np.where(np.hypot(x, y) < side * 0.45, 120, 0)
    fine = [np.asarray(Image.fromarray(field).resize((side, side), Image.Resampling.BICUBIC)) for field in coarse]
    return np.clip(disc + 25 * np.stack(fine) + 10, 0, 255).astype(np.uint8)[:, None]


def test_copies_have_equal_hashes_and_one_bit_makes_another() -> None:
    array = scenes(8)
    array[5] = array[1]
    hashes = row_hashes(array)
    assert hashes[5] == hashes[1]
    assert len(set(hashes.tolist())) == 7
    array[5, 0, 0, 0] ^= 1
    assert len(set(row_hashes(array).tolist())) == 8


def table_of(rows: list[int], patients: list[int]) -> FactorTable:
    n = len(rows)
    return FactorTable(np.array(rows), np.zeros(n, dtype=np.int64), np.array(patients), ("a",))


def test_disjoint_tables_pass() -> None:
    check_disjoint(table_of([0, 1, 2], [0, 0, 1]), table_of([3, 4], [2, 3]))


def test_shared_rows_are_named() -> None:
    with pytest.raises(DataError) as caught:
        check_disjoint(table_of([0, 1, 2], [0, 0, 1]), table_of([4, 2, 1], [3, 1, 0]))
    assert str(caught.value) == (
        "2 images are in training and in test: rows 1, 2; choose test rows that were not trained on"
    )


def test_shared_patients_are_named_by_their_rows() -> None:
    with pytest.raises(DataError) as caught:
        check_disjoint(table_of([0, 1, 2], [8, 8, 9]), table_of([3, 4, 5], [8, 9, 7]))
    assert str(caught.value) == (
        "2 patients are in training and in test: rows 0, 1 in training and row 3 in test; "
        "row 2 in training and row 4 in test; split by patient"
    )


def test_many_offenders_are_cut_short() -> None:
    many = list(range(30))
    with pytest.raises(DataError) as caught:
        check_disjoint(table_of(many, many), table_of(many, many))
    assert "30 images are in training and in test: rows 0, 1, 2, 3, 4, 5, 6, 7, ... (30 in all)" in str(caught.value)
    with pytest.raises(DataError, match="; and 25 patients more; split by patient"):
        check_disjoint(table_of(many, many), table_of([row + 30 for row in many], many))
