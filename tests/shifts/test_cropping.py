"""Crops without lesion: the largest window by brute force, the files' own pixels, and what environments say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from assay.plugin import ArrayCache, DataError, DataSpec, SpecError, SplitSpec, load_dataset, placed
from assay.report.sentences.reasons import reason_words
from assay.shifts.file_rows import FilePopulation, largest_window
from assay.shifts.population import Population
from assay.spec.parse import parse_study
from assay.spec.schema import EnvironmentSpec
from assay.study.confounders import ConfounderSample, cautions

BLACK = 10 / 255
LEAST_SIDE = 0.5

CROPS = EnvironmentSpec(crop="lesion-free")
WIDE, HIGH, SIZE = 96, 72, 32


@given(st.integers(0, 100_000), st.integers(10, 24), st.integers(10, 24), st.floats(0, 0.08))
def test_no_larger_window_is_free_and_none_of_its_size_lies_nearer_to_the_middle(
    seed: int, height: int, width: int, share: float
) -> None:
    box = placed(height, width, 16)
    touched = np.zeros((16, 16), dtype=np.bool_)
    touched[box.rows, box.columns] = np.random.default_rng(seed).random((box.height, box.width)) < share
    inside = touched[box.rows, box.columns]
    free: dict[int, list[tuple[int, int, int]]] = {}
    for longer in range(16, 0, -1):
        tall, wide = (max(1, round(side * longer / 16)) for side in (box.height, box.width))
        free[longer] = [
            ((2 * top + tall - box.height) ** 2 + (2 * left + wide - box.width) ** 2, top, left)
            for top in range(box.height - tall + 1)
            for left in range(box.width - wide + 1)
            if not inside[top : top + tall, left : left + wide].any()
        ]
    found = largest_window(touched, box)
    largest = next((longer for longer, places in free.items() if places), 0)
    if largest < 16 * LEAST_SIDE:
        assert found is None
        return
    assert found is not None
    assert max(found[2] - found[0], found[3] - found[1]) == largest
    assert (found[0] - box.top, found[1] - box.left) == min(free[largest])[1:]


def files(folder: Path, lesions: dict[int, tuple[int, int, int, int]], n: int = 24) -> Path:
    """Photographs of noise, 96 x 72 px, with lesions (top, left, bottom, right) of their own color; none elsewhere."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for at in range(n):
        pixels = np.random.default_rng(at).integers(0, 200, (HIGH, WIDE, 3), dtype=np.uint8)
        mask = np.zeros((HIGH, WIDE), dtype=np.uint8)
        if at in lesions:
            top, left, bottom, right = lesions[at]
            pixels[top:bottom, left:right] = 255
            mask[top:bottom, left:right] = 255
        Image.fromarray(pixels).save(folder / "images" / f"{at:02d}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{at:02d}.png")
    return folder


EDGE, MIDDLE, SPECK = (4, 4, 20, 20), (26, 38, 46, 58), (70, 94, 71, 95)
LESIONS = {at: (EDGE, MIDDLE, SPECK)[at % 3] for at in range(18)}


def population(folder: Path, **split: Any) -> Population:
    spec = DataSpec(folder=str(folder), table="", target="lesion", size=SIZE, split=SplitSpec(**split))
    cache = ArrayCache(folder.parent / "cache")
    return FilePopulation(spec, lambda: load_dataset(spec, cache))


def test_a_crop_is_the_files_own_pixels_framed_like_the_whole(tmp_path: Path) -> None:
    files_ = population(files(tmp_path / "set", LESIONS), train=0.4, validation=0.2, test=0.4)
    crops = files_.scene({"crops": CROPS}, 0).environment("crops")
    tested = files_.parts(0, 0).test
    assert crops.table.row.tolist() == [row for row in tested.tolist() if LESIONS.get(row) in (EDGE, SPECK)]
    images = crops.images.read(np.arange(len(crops)))
    assert images.shape == (len(crops), 3, SIZE, SIZE)
    assert images.max() < 0.99  # a lesion is white, all else is not
    box = placed(HIGH, WIDE, SIZE)
    assert not images[:, :, : box.top].any()
    assert not images[:, :, box.top + box.height :].any()
    assert images[:, :, box.rows].flatten(2).std(dim=2).min() > 0.02
    at = next(i for i, row in enumerate(crops.table.row.tolist()) if LESIONS[row] == EDGE)
    row = int(crops.table.row[at])
    # The lesion ends at column 20 of 96, in pixel 6 of 32: 25 are free beside it, 19 of 24 high, from the third row on.
    source = np.asarray(Image.open(tmp_path / "set" / "images" / f"{row:02d}.png"))
    np.testing.assert_allclose(images[at, :, box.rows].numpy(), _scaled(source[6:63, 21:96]), atol=1e-6)


def _scaled(pixels: np.ndarray) -> np.ndarray:
    small = Image.fromarray(pixels).resize((32, 24), Image.Resampling.BILINEAR)
    return np.moveaxis(np.asarray(small), -1, 0).astype(np.float32) / 255


def test_black_padding_of_a_photograph_stays_where_it_is(tmp_path: Path) -> None:
    """The left third and the lowest rows are black, as in a set that pads its photographs."""
    folder = files(tmp_path / "set", LESIONS)
    for path in sorted((folder / "images").iterdir()):
        pixels = np.array(Image.open(path))
        pixels[:, :30], pixels[60:] = 4, 3
        Image.fromarray(pixels).save(path)
    for path in sorted((folder / "masks").iterdir()):
        mask = np.zeros((HIGH, WIDE), dtype=np.uint8)
        mask[0:18, 33:48] = 255 * (int(path.stem) < 18)
        Image.fromarray(mask).save(path)
    files_ = population(folder)
    crops = files_.scene({"crops": CROPS}, 0).environment("crops")
    assert len(crops) > 0
    bright, whole = (
        one.amax(dim=1) > BLACK
        for one in (crops.images.read(np.arange(len(crops))), files_.dataset.images.read(crops.table.row))
    )
    for axis in (1, 2):
        # The last of a photograph's rows may be nothing but the shine of the one before.
        assert (bright.any(dim=axis) ^ whole.any(dim=axis)).sum(dim=1).max() <= 1
    box = placed(HIGH, WIDE, SIZE)
    assert not bright[:, :, :9].any()
    assert not bright[:, box.top + 21 :].any()
    assert bright[:, box.top : box.top + 19, 11:].float().mean() > 0.97


def test_crops_are_lesion_free_by_table_and_by_mask(tmp_path: Path) -> None:
    files_ = population(files(tmp_path / "set", LESIONS))
    whole = files_.scene({"all": EnvironmentSpec(), "crops": CROPS}, 0)
    crops = whole.environment("crops")
    assert not crops.table.target.any()
    assert not crops.table.columns["lesion"].any()
    assert crops.masks is not None
    assert crops.masks.kinds == ("lesion",)
    shown = crops.masks.read(np.arange(len(crops)))
    assert shown.dtype == torch.uint8
    assert shown.shape == (len(crops), 1, SIZE, SIZE)
    assert not shown.any()
    assert whole.environment("all").table.target.any()  # the others are left as they were


def test_masks_at_native_size_follow_their_rows(tmp_path: Path) -> None:
    files_ = population(files(tmp_path / "set", LESIONS))
    scene = files_.scene({"all": EnvironmentSpec(), "crops": CROPS}, 0)
    whole = scene.environment("all")
    assert whole.native is not None
    assert (whole.native.sizes == (WIDE, HIGH)).all()
    assert len(whole.native.sizes) == len(whole)
    for position, row in enumerate(whole.table.row.tolist()):
        expected = np.zeros((HIGH, WIDE), dtype=np.uint8)
        if row in LESIONS:
            top, left, bottom, right = LESIONS[row]
            expected[top:bottom, left:right] = 1
        np.testing.assert_array_equal(whole.native.read_one(position), expected)
    assert scene.environment("crops").native is None
    (tmp_path / "set" / "masks" / f"{int(whole.table.row[0]):02d}.png").write_bytes(b"")
    with pytest.raises(DataError, match="a mask was read before and cannot be read now: the file is empty; copy it"):
        whole.native.read_one(0)


def test_what_was_left_out_is_counted(tmp_path: Path) -> None:
    files_ = population(files(tmp_path / "set", LESIONS), train=0.4, validation=0.2, test=0.4)
    crops = files_.scene({"crops": CROPS}, 0).environment("crops")
    lesions = [LESIONS[row] for row in files_.parts(0, 0).test.tolist() if row in LESIONS]
    none = lesions.count(MIDDLE)
    assert none > 0
    assert crops.notes[0] == (
        f"{none} of {len(lesions)} lesion photographs have no window of half their side without a lesion and are left "
        "out"
    )
    assert crops.notes[1].startswith("crops are magnified ")


def test_folds_crop_each_photograph_once(tmp_path: Path) -> None:
    files_ = population(files(tmp_path / "set", LESIONS), folds=3)
    found = [files_.scene({"crops": CROPS}, 0, fold).environment("crops") for fold in range(3)]
    together = sorted(row for one in found for row in one.table.row.tolist())
    assert together == [row for row, lesion in LESIONS.items() if lesion != MIDDLE]
    assert all(len(one.notes) == 2 for one in found)
    assert len({one.notes for one in found}) == 1


def test_environments_choose_before_they_crop(tmp_path: Path) -> None:
    files_ = population(files(tmp_path / "set", LESIONS))
    free = EnvironmentSpec(crop="lesion-free", where={"lesion": ["absent"]})
    with pytest.raises(DataError, match=r"none of .* rows has a lesion and a window of half its side without one"):
        files_.scene({"none": free}, 0).environment("none")


def test_training_on_crops_is_refused(tmp_path: Path) -> None:
    files_ = population(files(tmp_path / "set", LESIONS))
    with pytest.raises(SpecError, match="crop is for test environments: training uses whole images"):
        files_.training(CROPS, 0)


def test_crops_and_whole_images_are_probed_under_names_of_their_own(tmp_path: Path) -> None:
    files_ = population(files(tmp_path / "set", LESIONS))
    scene = files_.scene({"all": EnvironmentSpec(), "crops": CROPS}, 0)
    assert scene.identity("all") != scene.identity("crops")
    assert "crop" not in EnvironmentSpec().canonical()


def test_an_environment_like_one_of_crops_shows_them_unless_it_names_whole_images(tmp_path: Path) -> None:
    folder = files(tmp_path / "set", LESIONS)
    tests = {
        "crops": {"crop": "lesion-free"},
        "tagged": {"like": "crops", "interventions": {"tag": {"size": 0.3, "shape": "rectangle", "share": 1}}},
        "whole": {"like": "tagged", "crop": "", "interventions": {"tag": None}},
    }
    data = {"folder": str(folder), "table": "", "target": "lesion", "size": SIZE}
    study: dict[str, Any] = {"name": "a", "data": data, "environments": {"train": {}, **tests}, "seeds": 1}
    point = parse_study(study).points[0]
    scene = population(folder).scene(point.tests, 0)
    crops, tagged, whole = (scene.environment(name) for name in tests)
    assert tagged.table.row.tolist() == crops.table.row.tolist()
    assert not tagged.table.target.any()
    assert set(crops.table.row.tolist()) < set(whole.table.row.tolist())
    assert whole.table.target.any()
    assert tagged.notes[:2] == crops.notes[:2] != whole.notes[:2]
    before, after = (shown.images.read(np.arange(len(crops))) for shown in (crops, tagged))
    changed = (before != after).any(dim=1).flatten(1).float().mean(dim=1)
    assert 0.02 < changed.min() <= changed.max() < 0.3, "the mark is on the crops"
    study["environments"]["train"] = {"crop": "lesion-free"}
    with pytest.raises(SpecError, match=r"environments\.train\.crop = 'lesion-free'\n  crop is for test"):
        parse_study(study)
    study["environments"] = {"train": {}, **tests}
    study["data"] = {"phantom": "nodule", "size": SIZE, "core": "margin"}
    with pytest.raises(SpecError) as refused:
        parse_study(study)
    assert str(refused.value).count("crops need photographs with masks") == 1, (
        "where it is written, not where inherited"
    )


def test_a_study_says_what_its_crops_are(tmp_path: Path) -> None:
    folder = files(tmp_path / "set", LESIONS)
    study = parse_study(
        {
            "name": "a",
            "data": {"folder": str(folder), "table": "", "target": "lesion", "size": SIZE},
            "environments": {
                "train": {"where": {"lesion": "present"}},
                "healthy": {"where": {"lesion": "absent"}},
                "crops": {"crop": "lesion-free"},
            },
            "seeds": 1,
        }
    )
    files_ = population(folder)
    told = [reason_words(one) for one in cautions(study, files_, ConfounderSample.at(study, files_))]
    assert [text for text in told if text.startswith("'crops': ")] != []
    assert not [text for text in told if "levels of 'lesion'" in text]  # to train on lesions alone is what it says
