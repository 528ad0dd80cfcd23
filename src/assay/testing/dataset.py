"""What every dataset from files must be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from assay.data.leakage import exact_groups, row_hashes
from assay.plugin import ArrayCache, Dataset, Images, Masks


class DatasetConformance:
    """Define `make`.

    Proven: position i is row i of the table, the images and the masks; targets and patients are codes, every factor has
    its column; images are float32 in [0, 1], masks are label maps of their size; reading follows the index and gives
    memory of its own; no exact copy is shared by two patients; loading again, from another cache too, gives the same;
    the card counts what there is.
    """

    def make(self, folder: Path, cache: ArrayCache) -> Dataset:
        """Write the files into `folder` unless they are there, and load them."""
        raise NotImplementedError(f"{type(self).__name__} must define make(self, folder, cache)")

    @pytest.fixture
    def dataset(self, tmp_path: Path) -> Dataset:
        """The dataset, loaded for the first time."""
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
        codes = np.unique(table.patient)
        assert np.array_equal(codes, np.arange(len(codes))), "patients are numbered from 0 without gaps"

    def test_every_factor_has_its_column(self, dataset: Dataset) -> None:
        table = dataset.table
        assert set(table.columns) == {factor.name for factor in table.factors}, "columns and factors differ"
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
        assert 0 <= float(images.min()) <= float(images.max()) <= 1, "pixels outside [0, 1]"

    def test_masks_are_labels_and_of_the_images_size(self, dataset: Dataset) -> None:
        if dataset.masks is None:
            return
        assert isinstance(dataset.masks, Masks)
        masks = dataset.masks.read(np.arange(len(dataset.table)))
        assert masks.shape == (len(dataset.table), 1, *dataset.images.shape[1:])
        assert masks.dtype == torch.uint8
        kinds = dataset.masks.kinds
        assert len(kinds) == len(set(kinds)) > 0
        assert int(masks.max()) <= len(kinds), "a label beyond the last kind"

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
        assert torch.equal(dataset.images.read(np.array([0])), before), "who writes to a batch changes the dataset"

    def test_no_image_is_two_patients(self, dataset: Dataset) -> None:
        pixels = dataset.images.read(np.arange(len(dataset.table))).numpy()
        shared = exact_groups(row_hashes(pixels), dataset.table.patient)
        assert shared == [], f"rows of several patients that are the same image: {shared}"

    def test_loading_again_gives_the_same(self, dataset: Dataset, tmp_path: Path) -> None:
        index = np.arange(len(dataset.table))
        for cache in ("cache", "another cache"):
            again = self.make(tmp_path / "files", ArrayCache(tmp_path / cache))
            assert again.content == dataset.content, "loaded again it has another content hash"
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
