"""IDRiD's segmentation part, a mask for each kind of lesion, on a small tree of its layout."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.worlds.files import SIDE, labels, noise, save
from tests.worlds.public import load, spec_of, targets, values

from assay.plugin import ArrayCache, DataError, Dataset, SpecError, load_dataset
from assay.probes.lesion_maps import choose_images
from assay.shifts.sources import open_population
from assay.spec.data import declared_factors
from assay.spec.parse import parse_study
from assay.testing.data import DatasetConformance

A = "A. Segmentation"
KINDS = ("microaneurysms", "hemorrhages", "exudates", "cotton_wool")
FOLDERS = {
    "MA": "1. Microaneurysms",
    "HE": "2. Haemorrhages",
    "EX": "3. Hard Exudates",
    "SE": "4. Soft Exudates",
    "OD": "5. Optic Disc",
}
PLACES: Mapping[str, tuple[slice, slice]] = {
    "MA": np.s_[0:2, 0:2],
    "HE": np.s_[4:9, 4:9],
    "EX": np.s_[7:10, 7:10],  # 4 of its 9 pixels are hemorrhage too
    "SE": np.s_[12:16, 0:4],
    "OD": np.s_[10:16, 10:16],
}
PARTS = (("a. Training Set", (1, 2, 3, 4)), ("b. Testing Set", (55, 56)))


def lesion(kind: str, value: int = 255) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), dtype=np.uint8)
    mask[PLACES[kind]] = value
    return mask


def where(folder: Path, number: int, kind: str) -> Path:
    """The mask of a photograph."""
    part = next(name for name, numbers in PARTS if number in numbers)
    return folder / A / "2. All Segmentation Groundtruths" / part / FOLDERS[kind] / f"IDRiD_{number:02d}_{kind}.tif"


def image(folder: Path, number: int) -> Path:
    part = next(name for name, numbers in PARTS if number in numbers)
    return folder / A / "1. Original Images" / part / f"IDRiD_{number:02d}.jpg"


def idrid_seg(folder: Path) -> Path:
    """Two parts; soft exudates in one photograph of each; what the makers' programs write for a lesion varies."""
    for _, numbers in PARTS:
        for number in numbers:
            save(image(folder, number), noise(number, channels=3))
            for kind in FOLDERS:
                if kind != "SE" or number in (2, 55):
                    save(where(folder, number, kind), lesion(kind, 76 if number == 1 else 255))
    indices = Image.fromarray(lesion("HE", 1), mode="P")
    indices.putpalette([0, 0, 0, 255, 0, 0])
    indices.save(where(folder, 3, "HE"))
    red = np.zeros((SIDE, SIDE, 3), dtype=np.uint8)
    red[..., 0] = lesion("HE")
    save(where(folder, 4, "HE"), red)
    return folder


def test_the_kinds_are_told_apart_and_the_smaller_one_is_seen_where_they_overlap(tmp_path: Path) -> None:
    dataset = load("idrid-seg", idrid_seg(tmp_path / "IDRiD"))
    assert dataset.masks is not None
    assert dataset.masks.kinds == KINDS
    for number, found in zip((1, 2, 3, 4, 55, 56), labels(dataset), strict=True):
        expected = np.zeros((SIDE, SIDE), dtype=np.uint8)
        for kind, label in (("HE", 2), ("EX", 3), ("MA", 1), ("SE", 4)):
            if kind != "SE" or number in (2, 55):
                expected[PLACES[kind]] = label
        np.testing.assert_array_equal(found, expected, err_msg=f"IDRiD_{number:02d}")
    told = "microaneurysms in 6 images, hemorrhages in 6 images, exudates in 6 images, cotton_wool in 2 images"
    assert told in dataset.card.summary
    assert dataset.card.license == "CC BY 4.0"
    assert "Porwal et al. 2018" in dataset.card.source
    assert any("no grade is joined" in fault for fault in dataset.card.known_faults)


def test_taken_together_the_mask_is_the_union_of_the_chosen_kinds(tmp_path: Path) -> None:
    folder = idrid_seg(tmp_path / "IDRiD")
    dataset = load("idrid-seg", folder, kinds=["hemorrhages", "exudates"], together=True)
    assert dataset.masks is not None
    assert dataset.masks.kinds == ("lesion",)
    union = (lesion("HE") > 0) | (lesion("EX") > 0)
    assert (labels(dataset) == union).all()
    apart = load("idrid-seg", folder, kinds=["exudates", "hemorrhages"])
    assert ((labels(apart) > 0) == union).all()
    assert (labels(apart)[0] == 1).sum() == 9


def test_the_optic_disc_is_a_kind_where_it_is_asked_for(tmp_path: Path) -> None:
    dataset = load("idrid-seg", idrid_seg(tmp_path / "IDRiD"), kinds=["optic_disc"])
    assert dataset.masks is not None
    assert dataset.masks.kinds == ("optic_disc",)
    assert (labels(dataset) == lesion("OD", 1)).all()


def test_what_is_lesion_follows_the_kinds_and_the_makers_split_is_a_factor(tmp_path: Path) -> None:
    folder = idrid_seg(tmp_path / "IDRiD")
    assert targets(load("idrid-seg", folder)) == [1] * 6
    dataset = load("idrid-seg", folder, kinds=["cotton_wool"])
    assert targets(dataset) == [0, 1, 0, 0, 1, 0]
    assert values(dataset, "lesion") == [("absent", "present")[code] for code in targets(dataset)]
    assert values(dataset, "split") == ["train"] * 4 + ["test"] * 2
    assert len(load("idrid-seg", folder, data={"where": {"split": "test"}}).table) == 2
    assert set(declared_factors(spec_of("idrid-seg", folder)) or {}) == {"lesion"}


@pytest.mark.parametrize("below", [A, "A.%20Segmentation", "A.%20Segmentation/A. Segmentation"])
def test_the_part_is_found_as_it_was_unpacked_and_endings_in_capitals_are(tmp_path: Path, below: str) -> None:
    folder = idrid_seg(tmp_path / "IDRiD")
    expected = load("idrid-seg", folder)
    assert load("idrid-seg", folder / A).content == expected.content
    for path in (image(folder, 2), where(folder, 2, "SE"), where(folder, 55, "MA")):
        path.rename(path.with_suffix(path.suffix.upper()))
    (tmp_path / "other" / below).parent.mkdir(parents=True)
    (folder / A).rename(tmp_path / "other" / below)
    assert load("idrid-seg", tmp_path / "other").content == expected.content


def test_a_mask_that_changes_is_another_dataset(tmp_path: Path) -> None:
    folder = idrid_seg(tmp_path / "IDRiD")
    before = load("idrid-seg", folder)
    save(where(folder, 2, "SE"), lesion("OD"))
    after = load("idrid-seg", folder)
    assert after.content != before.content
    assert (labels(after)[1] == 4).sum() == 36


def test_a_lossy_mask_is_cut_at_half(tmp_path: Path) -> None:
    folder = idrid_seg(tmp_path / "IDRiD")
    large = np.kron(lesion("HE"), np.ones((4, 4), dtype=np.uint8))
    for number in (1, 2, 3, 4, 55, 56):
        save(image(folder, number), noise(number, side=64, channels=3))
        save(where(folder, number, "HE"), large)
    path = where(folder, 1, "HE")
    path.unlink()
    save(path.with_suffix(".jpg"), large, format="JPEG", quality=90)
    stored = np.asarray(Image.open(path.with_suffix(".jpg")))
    assert len(np.unique(stored)) > 2
    assert (labels(load("idrid-seg", folder, kinds=["hemorrhages"])) == lesion("HE", 1)).all()


def study(place: Path, arguments: str = "") -> Path:
    """A study of the set beside it."""
    named = f"{{idrid-seg: {{folder: {idrid_seg(place / 'IDRiD')}{arguments}}}}}"
    path = place / "study.yaml"
    path.write_text(
        f"name: a\ndata: {{dataset: {named}, size: 16, split: {{column: split}}}}\n"
        "environments: {train: {}, same: {}}\n"
    )
    return path


def without(kind: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        for number in (55, 56):
            where(folder, number, kind).unlink(missing_ok=True)

    return change


def unnamed(folder: Path) -> None:
    where(folder, 2, "SE").rename(where(folder, 2, "SE").with_name("IDRiD_02.tif"))


@pytest.mark.parametrize(
    ("change", "asked", "error", "text"),
    [
        (
            lambda folder: (folder / A / "1. Original Images").rename(folder / "away"),
            {},
            SpecError,
            "data.dataset.folder: IDRiD/ has no folder 1. Original Images/a. Training Set/; give the one that holds "
            "1. Original Images/a. Training Set/ and 2. All Segmentation Groundtruths/a. Training Set/",
        ),
        (
            lambda folder: (folder / A / "2. All Segmentation Groundtruths").rename(folder / "away"),
            {},
            SpecError,
            "1. Original Images/a. Training Set/ has no 2. All Segmentation Groundtruths/a. Training Set/ beside it; "
            "unpack the masks too",
        ),
        (
            without("SE"),
            {},
            SpecError,
            "data.dataset.folder: 2. All Segmentation Groundtruths/b. Testing Set/ has no masks in 4. Soft Exudates/; "
            "unpack them, or leave cotton_wool out of kinds",
        ),
        (
            lambda folder: image(folder, 3).unlink(),
            {"kinds": ["exudates"]},
            DataError,
            "2. All Segmentation Groundtruths/a. Training Set/3. Hard Exudates/: 1 masks belong to no image, first "
            "IDRiD_03_EX.tif; unpack its image, or take the mask away",
        ),
        (
            lambda folder: image(folder, 2).unlink(),
            {"kinds": ["cotton_wool"]},
            DataError,
            "4. Soft Exudates/ has 1 masks of no image, first IDRiD_02_SE.tif, while 3 images have no mask, first "
            "IDRiD_01: lesion-free images cannot be distinguished from misnamed ones; give a mask its image's stem "
            "and _SE, or take it away",
        ),
        (
            unnamed,
            {},
            DataError,
            "4. Soft Exudates/ has 1 masks of no image, first IDRiD_02.tif, while 4 images have no mask",
        ),
        (
            lambda folder: save(where(folder, 4, "HE"), lesion("HE")[:12]),
            {},
            DataError,
            "file 4 '1. Original Images/a. Training Set/IDRiD_04.jpg': the mask of hemorrhages is 16 x 12 px, the "
            "image 16 x 16; export the mask at the image's size",
        ),
        (
            lambda folder: where(folder, 55, "EX").write_bytes(where(folder, 55, "EX").read_bytes()[:40]),
            {},
            DataError,
            "file 5 '1. Original Images/b. Testing Set/IDRiD_55.jpg': the mask of exudates: the file is damaged or "
            "cut short",
        ),
        (
            lambda folder: where(folder, 1, "MA").write_text("no picture"),
            {},
            DataError,
            "the mask of microaneurysms: it is no PNG, JPEG, TIFF, DICOM, NIfTI, GIF, BMP or WebP image; export it as "
            "PNG",
        ),
        (
            lambda folder: save(where(folder, 1, "MA").with_suffix(".png"), lesion("MA")),
            {},
            DataError,
            "2 masks have its stem in 1. Microaneurysms/; keep one of them",
        ),
    ],
)
def test_what_is_wrong_with_the_files_is_told(
    change: Callable[[Path], Any], asked: dict[str, Any], error: type[Exception], text: str, tmp_path: Path
) -> None:
    folder = idrid_seg(tmp_path / "IDRiD")
    change(folder)
    with pytest.raises(error, match=re.escape(text)):
        load("idrid-seg", folder, **asked)


def test_bad_masks_can_be_left_out(tmp_path: Path) -> None:
    folder = idrid_seg(tmp_path / "IDRiD")
    save(where(folder, 4, "HE"), lesion("HE")[:12])
    where(folder, 4, "EX").write_bytes(b"")
    where(folder, 1, "MA").write_bytes(b"")
    dataset = load("idrid-seg", folder, skip_bad_rows=True)
    assert len(dataset.table) == 4
    assert dataset.card.left_out == (
        "file 1: the mask of microaneurysms: the file is empty",
        "file 4: the mask of exudates: the file is empty",
    )


@pytest.mark.parametrize(
    ("kinds", "text"),
    [
        (
            "[hard_exudates]",
            "data.dataset.idrid-seg.kinds[0] = 'hard_exudates'\n  input should be 'microaneurysms', 'hemorrhages', "
            "'exudates', 'cotton_wool' or 'optic_disc'",
        ),
        ("[exudates, exudates]", "kinds names exudates more than once; name each once"),
        ("[]", "should have at least 1 item after validation, not 0"),
    ],
)
def test_kinds_that_are_none_are_refused_with_the_list(kinds: str, text: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=re.escape(text)):
        parse_study(study(tmp_path, f", kinds: {kinds}"))


def test_heat_maps_are_held_against_each_kind(tmp_path: Path) -> None:
    asked = parse_study(study(tmp_path))
    population = open_population(asked.data, ArrayCache(tmp_path / "cache"))
    found = choose_images(population.scene(asked.points[0].tests, 0).environment("same"), 8)
    assert found is not None
    assert found.kinds == KINDS
    assert [part.kind for part in found.subsets() if not part.size] == ["", *KINDS]
    assert found.of_kind.any(axis=(2, 3)).tolist() == [[True] * 4, [True] * 3 + [False]]


def test_the_study_of_the_docs_trains_on_the_union(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference" / "public-sets.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(name: lesions-of-the-retina\n.*?)```", page, re.DOTALL)
    monkeypatch.setenv("HOME", str(tmp_path))
    idrid_seg(tmp_path / "data" / "IDRiD")
    (tmp_path / "study.yaml").write_text(block.replace("512", "16"))
    asked = parse_study(tmp_path / "study.yaml")
    population = open_population(asked.data, ArrayCache(tmp_path / "cache"))
    train, validation = population.training(asked.points[0].train, 0)
    tested = population.scene(asked.points[0].tests, 0).environment("same")
    assert tested.table.row.tolist() == [4, 5]
    assert sorted([*train.table.row.tolist(), *validation.table.row.tolist()]) == [0, 1, 2, 3]
    assert train.masks is not None
    assert train.masks.kinds == ("lesion",)
    union = (lesion("HE") > 0) | (lesion("EX") > 0)
    assert (train.masks.read(np.arange(len(train)))[:, 0].numpy() == union).all()


class TestIdridSeg(DatasetConformance):
    """Four kinds, one of them in two photographs alone, in both parts."""

    def make(self, folder: Path, cache: ArrayCache) -> Dataset:
        if not folder.exists():
            idrid_seg(folder)
        return load_dataset(spec_of("idrid-seg", folder), cache)
