"""What every dataset from files keeps. Inherit `DatasetConformance` and say how yours is made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from assay.data.cache import ArrayCache
from assay.data.dataset import Dataset, Images, Masks
from assay.data.leakage import exact_groups, row_hashes


class DatasetConformance:
    """Subclass as `class TestMine(DatasetConformance)` and define `make`."""

    def make(self, folder: Path, cache: ArrayCache) -> Dataset:
        """Write the files into `folder` unless they are there, and load them."""
        raise NotImplementedError

    @pytest.fixture
    def dataset(self, tmp_path: Path) -> Dataset:
        return self.make(tmp_path / "files", ArrayCache(tmp_path / "cache"))

    def test_position_i_is_row_i_everywhere(self, dataset: Dataset) -> None:
        n = len(dataset.table)
        assert n > 0
        np.testing.assert_array_equal(dataset.table.row, np.arange(n))
        assert len(dataset.images) == n
        assert dataset.masks is None or len(dataset.masks) == n
        for column in (dataset.table.target, dataset.table.patient, *dataset.table.columns.values()):
            assert column.shape == (n,)

    def test_targets_and_patients_are_codes(self, dataset: Dataset) -> None:
        table = dataset.table
        assert table.target.dtype == table.patient.dtype == np.int64
        assert table.target.min() >= 0
        assert table.target.max() < len(table.classes)
        np.testing.assert_array_equal(np.unique(table.patient), np.arange(len(np.unique(table.patient))))

    def test_every_factor_has_its_column(self, dataset: Dataset) -> None:
        table = dataset.table
        assert set(table.columns) == {factor.name for factor in table.factors}
        for factor in table.factors:
            values = table.columns[factor.name]
            if factor.levels:
                assert values.dtype == np.int64
                assert values.min() >= -1
                assert values.max() < len(factor.levels)
            else:
                assert values.dtype == np.float64
                assert not np.isinf(values).any()

    def test_images_are_float_in_zero_to_one(self, dataset: Dataset) -> None:
        assert isinstance(dataset.images, Images)
        images = dataset.images.read(np.arange(len(dataset.table)))
        assert images.shape == (len(dataset.table), *dataset.images.shape)
        assert images.dtype == torch.float32
        assert images.device.type == "cpu"
        assert float(images.min()) >= 0
        assert float(images.max()) <= 1

    def test_masks_are_boolean_and_of_the_images_size(self, dataset: Dataset) -> None:
        if dataset.masks is None:
            return
        assert isinstance(dataset.masks, Masks)
        masks = dataset.masks.read(np.arange(len(dataset.table)))
        assert masks.shape == (len(dataset.table), 1, *dataset.images.shape[1:])
        assert masks.dtype == torch.bool

    def test_reading_follows_the_index(self, dataset: Dataset) -> None:
        n = len(dataset.table)
        index = np.array([n - 1, 0, n - 1])
        whole = dataset.images.read(np.arange(n))
        assert torch.equal(dataset.images.read(index), whole[index])
        assert len(dataset.images.read(np.array([], dtype=np.int64))) == 0
        if dataset.masks is not None:
            assert torch.equal(dataset.masks.read(index), dataset.masks.read(np.arange(n))[index])

    def test_reading_gives_memory_of_its_own(self, dataset: Dataset) -> None:
        first = dataset.images.read(np.array([0]))
        before = first.clone()
        first += 1
        assert torch.equal(dataset.images.read(np.array([0])), before)

    def test_no_image_is_two_patients(self, dataset: Dataset) -> None:
        pixels = dataset.images.read(np.arange(len(dataset.table))).numpy()
        assert exact_groups(row_hashes(pixels), dataset.table.patient) == []

    def test_loading_again_gives_the_same(self, dataset: Dataset, tmp_path: Path) -> None:
        index = np.arange(len(dataset.table))
        for cache in ("cache", "another cache"):
            again = self.make(tmp_path / "files", ArrayCache(tmp_path / cache))
            assert again.content == dataset.content
            assert again.card == dataset.card
            assert again.leakage == dataset.leakage
            assert torch.equal(again.images.read(index), dataset.images.read(index))
            np.testing.assert_array_equal(again.table.target, dataset.table.target)
            np.testing.assert_array_equal(again.table.patient, dataset.table.patient)

    def test_the_card_counts(self, dataset: Dataset) -> None:
        card = dataset.card
        patients = len(np.unique(dataset.table.patient))
        assert f"{len(dataset.table):,} images of {patients:,} patients" in card.summary
        for code, name in enumerate(dataset.table.classes):
            assert f"{name} {int((dataset.table.target == code).sum()):,}" in card.summary
        assert card.name
        assert card.licence
        assert card.source
