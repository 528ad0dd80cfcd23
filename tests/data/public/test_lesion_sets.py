"""Public sets of lesions with masks, each on a small tree of its layout."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.worlds.files import blob, noise, save
from tests.worlds.public import load, spec_of, targets, values

from assay.plugin import ArrayCache, DataError, Dataset, SpecError, SplitSpec, load_dataset
from assay.shifts.sampling import parts
from assay.shifts.sources import open_population
from assay.spec.parse import parse_study
from assay.testing.data import DatasetConformance

JPEG: Mapping[str, Any] = {"format": "JPEG", "quality": 90}


def large(mask: np.ndarray) -> np.ndarray:
    """A mask of 64 px, coarse enough for a JPEG."""
    return np.kron(mask, np.ones((4, 4), dtype=np.uint8))


def kvasir(folder: Path, below: str = "Kvasir-SEG") -> Path:
    for at in range(6):
        save(folder / below / "images" / f"c{at}.jpg", noise(at, side=64, channels=3), **JPEG)
        save(folder / below / "masks" / f"c{at}.jpg", large(blob()), **JPEG)
    (folder / below / "kavsir_bboxes.json").write_text("{}")
    return folder


def hyperkvasir(folder: Path) -> Path:
    return kvasir(folder, "segmented-images")


def endotect(folder: Path) -> Path:
    """Frames of two sizes, masks in RGB, the last two without a lesion."""
    for at in range(6):
        wide = 64 if at % 2 else 48
        mask = large(blob())[:, :wide] * np.uint8(at < 4)
        save(folder / "images" / f"f{at}.jpg", noise(at, side=64, channels=3)[:, :wide], **JPEG)
        save(folder / "masks" / f"f{at}.png", np.repeat(mask[..., None], 3, axis=2))
    return folder


def dfuc(folder: Path) -> Path:
    for at in range(6):
        place = folder / "DFUC2022_train_release"
        save(place / "DFUC2022_train_images" / f"10000{at}.jpg", noise(at, side=64, channels=3)[:48], **JPEG)
        save(place / "DFUC2022_train_masks" / f"10000{at}.png", large(blob())[:48])
    return folder


def fuseg(folder: Path) -> Path:
    """Six to train on, three to validate on, two without labels; one of each of the first is free of lesions."""
    for part, count in (("train", 6), ("validation", 3), ("test", 2)):
        for at in range(count):
            seed = at + {"train": 0, "validation": 10, "test": 20}[part]
            save(folder / part / "images" / f"{at:04d}.png", noise(seed, channels=3))
            if part != "test":
                save(folder / part / "labels" / f"{at:04d}.png", blob() * np.uint8(at > 0))
    return folder


def isic(folder: Path) -> Path:
    for at, part in enumerate(("Training",) * 4 + ("Validation", "Test")):
        name = f"ISIC_000000{at}"
        save(folder / f"ISIC2018_Task1-2_{part}_Input" / f"{name}.jpg", noise(at, side=64, channels=3), **JPEG)
        save(folder / f"ISIC2018_Task1_{part}_GroundTruth" / f"{name}_segmentation.png", large(blob()))
        (folder / f"ISIC2018_Task1-2_{part}_Input" / "LICENSE.txt").write_text("CC")
    return folder


SETS: dict[str, tuple[Callable[[Path], Path], list[int]]] = {
    "kvasir-seg": (kvasir, [1] * 6),
    "hyperkvasir-seg": (hyperkvasir, [1] * 6),
    "endotect": (endotect, [1, 1, 1, 1, 0, 0]),
    "dfuc2022": (dfuc, [1] * 6),
    "fuseg": (fuseg, [0, 1, 1, 1, 1, 1, 0, 1, 1]),
    "isic-seg": (isic, [1] * 6),
}


@pytest.mark.parametrize("name", SETS)
def test_a_set_is_read_as_it_is_published(tmp_path: Path, name: str) -> None:
    write, expected = SETS[name]
    dataset = load(name, write(tmp_path / "set"))
    assert targets(dataset) == expected
    assert values(dataset, "lesion") == [("absent", "present")[code] for code in expected]
    assert dataset.masks is not None
    shown = dataset.masks.read(np.arange(len(expected)))[:, 0].numpy()
    lesion = shown[expected.index(1)]
    columns = np.flatnonzero(lesion.any(axis=0))
    assert 4 <= len(columns) <= 6
    assert (shown.reshape(len(expected), -1).any(axis=1) == expected).all()
    assert len(dataset.card.known_faults) >= 3
    assert dataset.card.license
    assert any("every image counts as a patient of its own" in fault for fault in dataset.card.known_faults)


@pytest.mark.parametrize(("name", "inner"), [("kvasir-seg", "Kvasir-SEG"), ("dfuc2022", "DFUC2022_train_release")])
def test_the_folder_inside_may_be_named_itself(tmp_path: Path, name: str, inner: str) -> None:
    folder = SETS[name][0](tmp_path / "set")
    assert load(name, folder / inner).content == load(name, folder).content


def test_a_lossy_mask_is_the_mask_it_was(tmp_path: Path) -> None:
    folder = kvasir(tmp_path / "set")
    stored = np.asarray(Image.open(folder / "Kvasir-SEG" / "masks" / "c0.jpg"))
    assert len(np.unique(stored)) > 2
    dataset = load("kvasir-seg", folder)
    assert dataset.masks is not None
    np.testing.assert_array_equal(dataset.masks.read(np.array([0]))[0, 0].numpy(), blob() > 0)


def test_the_makers_split_is_a_factor_and_can_be_told_otherwise(tmp_path: Path) -> None:
    folder = fuseg(tmp_path / "set")
    dataset = load("fuseg", folder)
    assert values(dataset, "split") == ["train"] * 6 + ["validation"] * 3
    spec = SplitSpec(column="split", means={"validation": "test"}, test_only={"lesion": ["absent"]})
    for seed in range(3):
        found = parts(dataset.table, spec, seed, 0)
        assert found.test.tolist() == [0, 6, 7, 8]
        assert len(found.train) + len(found.validation) == 5
    with pytest.raises(SpecError, match=r"'split' never says test; .* or say with means which value is that part"):
        parts(dataset.table, SplitSpec(column="split"), 0, 0)
    assert len(load("fuseg", folder, data={"where": {"split": "train"}}).table) == 6
    with pytest.raises(SpecError, match=r"data\.where: no image of set/ fits"):
        load("fuseg", folder, data={"where": {"split": "test"}})
    with pytest.raises(SpecError, match=r"data\.where: Kvasir-SEG has no columns to choose images by; leave it out"):
        load("kvasir-seg", kvasir(tmp_path / "other"), data={"where": {"split": "train"}})


def test_the_study_of_the_docs_parses_and_holds_lesion_free_images_for_tests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference" / "public-sets.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(name: quiet-on-healthy-feet\n.*?)```", page, re.DOTALL)
    monkeypatch.setenv("HOME", str(tmp_path))
    fuseg(tmp_path / "data" / "fuseg")
    (tmp_path / "study.yaml").write_text(block)
    study = parse_study(tmp_path / "study.yaml")
    population = open_population(study.data, ArrayCache(tmp_path / "cache"))
    train, validation = population.training(study.points[0].train, 0)
    assert train.table.target.all()
    assert validation.table.target.all()
    scene = population.scene(study.points[0].tests, 0)
    rows = {name: scene.environment(name).table.row.tolist() for name in scene.names}
    assert rows["same"] == rows["crops"] == [7, 8]
    assert rows["lesion-free"] == [0, 6]
    assert not scene.environment("crops").table.target.any()


def test_an_image_without_a_mask_is_a_bad_file(tmp_path: Path) -> None:
    folder = fuseg(tmp_path / "set")
    (folder / "validation" / "labels" / "0001.png").unlink()
    text = "file 8 'validation/images/0001.png': no mask has its stem: lesion-free, or not labeled?"
    with pytest.raises(DataError, match=re.escape(text)):
        load("fuseg", folder)
    assert len(load("fuseg", folder, skip_bad_rows=True).table) == 8


def test_folders_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    text = "data.dataset.folder: empty/ has no folder train/images/; give the one that holds train/images/ and train/"
    with pytest.raises(SpecError, match=re.escape(text)):
        load("fuseg", tmp_path / "empty")
    (tmp_path / "half" / "images").mkdir(parents=True)
    text = "data.dataset.folder: images/ has no masks/ beside it; unpack the masks too"
    with pytest.raises(SpecError, match=re.escape(text)):
        load("kvasir-seg", tmp_path / "half")
    (tmp_path / "half" / "masks").mkdir()
    with pytest.raises(SpecError, match=r"data\.dataset\.folder: half/ holds no images"):
        load("kvasir-seg", tmp_path / "half")


def test_folders_of_other_names(tmp_path: Path) -> None:
    folder = endotect(tmp_path / "set")
    (folder / "images").rename(folder / "test-images")
    assert targets(load("endotect", folder, images="test-images")) == [1, 1, 1, 1, 0, 0]


class TestEndotect(DatasetConformance):
    """Two sizes, masks in RGB, lesion-free frames."""

    def make(self, folder: Path, cache: ArrayCache) -> Dataset:
        if not folder.exists():
            endotect(folder)
        return load_dataset(spec_of("endotect", folder), cache)


class TestFuseg(DatasetConformance):
    """Two parts, lesion-free images in both, images without labels beside."""

    def make(self, folder: Path, cache: ArrayCache) -> Dataset:
        if not folder.exists():
            fuseg(folder)
        return load_dataset(spec_of("fuseg", folder), cache)
