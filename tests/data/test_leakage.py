"""Copies are found: exact ones exactly, near ones by likeness, shared patients by their rows."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from assay.core.errors import DataError
from assay.core.types import FactorTable
from assay.data.leakage import LIKENESS, check_disjoint, descriptors, exact_groups, near_pairs, row_hashes


def scenes(n: int, side: int = 64, seed: int = 0) -> np.ndarray:
    """Smooth random images over one shared bright disc, uint8 [n, 1, side, side]: alike at a glance, never copies."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(size=(n, 12, 12)).astype(np.float32)
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    disc = np.where(np.hypot(x, y) < side * 0.45, 120, 0)
    fine = [np.asarray(Image.fromarray(field).resize((side, side), Image.Resampling.BICUBIC)) for field in coarse]
    return np.clip(disc + 25 * np.stack(fine) + 10, 0, 255).astype(np.uint8)[:, None]


def recompressed(image: np.ndarray) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=60)
    return np.asarray(Image.open(buffer))


def rescaled(image: np.ndarray) -> np.ndarray:
    small = Image.fromarray(image).resize((45, 45), Image.Resampling.BILINEAR)
    return np.asarray(small.resize((64, 64), Image.Resampling.BILINEAR))


CHANGES = {
    "recompressed": recompressed,
    "rescaled": rescaled,
    "darker, less contrast": lambda image: (image * 0.7 + 20).astype(np.uint8),
    "gamma": lambda image: (255 * (image / 255) ** 1.3).astype(np.uint8),
    "mirrored in grey levels of one": lambda image: image + (image < 255),
}


@pytest.mark.parametrize("n", [10, 80])
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_found_and_nothing_else(change: str, n: int) -> None:
    array = scenes(n)
    array[7, 0] = CHANGES[change](array[2, 0])
    pairs = near_pairs(array, np.arange(n))
    assert [(pair.first, pair.second) for pair in pairs] == [(2, 7)]
    assert pairs[0].likeness >= LIKENESS


def test_a_copy_within_a_patient_is_no_pair() -> None:
    array = scenes(80)
    array[7] = array[2]
    patients = np.arange(80)
    patients[7] = 2
    assert near_pairs(array, patients) == []


def test_pairs_agree_with_the_plain_loop_and_cross_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assay.data.leakage._BLOCK", 16)
    array, patients = scenes(70), np.arange(70) // 2
    x = descriptors(array).astype(np.float64)
    expected = {
        (i, j): float(x[i] @ x[j])
        for i in range(70)
        for j in range(i + 1, 70)
        if patients[i] != patients[j] and float(x[i] @ x[j]) >= 0.3
    }
    pairs = near_pairs(array, patients, least=0.3)
    assert {(pair.first, pair.second) for pair in pairs} == set(expected)
    for pair in pairs:
        assert pair.likeness == pytest.approx(expected[pair.first, pair.second], abs=1e-5)
    assert [pair.likeness for pair in pairs] == sorted((pair.likeness for pair in pairs), reverse=True)


def test_rows_choose_what_is_compared() -> None:
    array = scenes(80)
    array[7] = array[2]
    rows = np.array([79, 7, 5, 2])
    pairs = near_pairs(array, np.arange(4), rows)
    assert [(pair.first, pair.second) for pair in pairs] == [(1, 3)]


@pytest.mark.parametrize(("channels", "side"), [(1, 8), (3, 28), (1, 50)])
def test_any_size_and_flat_images(channels: int, side: int) -> None:
    array = np.repeat(scenes(60, side), channels, axis=1)
    array[:3] = 9  # three flat images are no copies of anything
    assert all(pair.first > 2 for pair in near_pairs(array, np.arange(60)))


def test_descriptors_do_not_see_the_overall_level_or_shading() -> None:
    array = scenes(10)
    ramp = np.add.outer(np.arange(64), np.arange(64)) // 4
    shaded = np.clip(array.astype(int) // 2 + ramp, 0, 255).astype(np.uint8)
    inner = np.s_[:, 1:-1, 1:-1]  # the mean over 3 x 3 at the border repeats the edge
    plain = descriptors(array // 2).reshape(10, 16, 16)[inner].reshape(10, -1)
    other = descriptors(shaded).reshape(10, 16, 16)[inner].reshape(10, -1)
    for one, two in zip(plain, other, strict=True):
        assert np.corrcoef(one, two)[0, 1] > 0.98


def test_exact_groups_are_copies_across_patients() -> None:
    array = scenes(8)
    array[5] = array[1]
    array[6] = array[1]
    array[7] = array[4]
    hashes = row_hashes(array)
    assert [group.tolist() for group in exact_groups(hashes, np.arange(8))] == [[1, 5, 6], [4, 7]]
    assert [group.tolist() for group in exact_groups(hashes, np.array([0, 1, 2, 3, 4, 1, 1, 4]))] == []
    one_bit = array.copy()
    one_bit[5, 0, 0, 0] ^= 1
    assert [group.tolist() for group in exact_groups(row_hashes(one_bit), np.arange(8))] == [[1, 6], [4, 7]]


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
        "2 patients are in training and in test: rows 0, 1 in training and rows 3 in test; "
        "rows 2 in training and rows 4 in test; split by patient"
    )


def test_many_offenders_are_cut_short() -> None:
    many = list(range(30))
    with pytest.raises(DataError) as caught:
        check_disjoint(table_of(many, many), table_of(many, many))
    assert "30 images are in training and in test: rows 0, 1, 2, 3, 4, 5, 6, 7, ... (30 in all)" in str(caught.value)
    with pytest.raises(DataError, match="; and 25 patients more; split by patient"):
        check_disjoint(table_of(many, many), table_of([row + 30 for row in many], many))
