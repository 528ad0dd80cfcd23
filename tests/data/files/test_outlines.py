"""Masks as text: run lengths by their published definitions, polygons by pixel centers, COCO files as they come."""

from __future__ import annotations

import json
import re
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.worlds.files import SIDE, blob, labels, load, noise, save, small_set, write_table

from assay.data.files.outlines import filled, runs
from assay.plugin import DataError, Dataset, FactorSpec, SpecError
from assay.spec.parse import parse_study

LESION = blob() > 0


# --- run lengths ------------------------------------------------------------------------------------------------------


def kaggle(mask: np.ndarray, order: str) -> str:
    """Pairs of start and length, by walking over the pixels one by one."""
    flat, pairs, at = mask.flatten(order), [], 0
    while at < len(flat):
        if flat[at]:
            start = at
            while at < len(flat) and flat[at]:
                at += 1
            pairs += [start + 1, at - start]
        at += 1
    return " ".join(map(str, pairs))


def counts(mask: np.ndarray) -> list[int]:
    """COCO's counts, by walking down the columns: background first."""
    out, seen, length = [], False, 0
    for value in mask.flatten("F").tolist():
        if value == seen:
            length += 1
        else:
            out.append(length)
            seen, length = value, 1
    return [*out, length]


def compressed(values: list[int]) -> str:
    """COCO's text of counts, as rleToString of its C code writes it."""
    text = ""
    for at, count in enumerate(values):
        value = count - values[at - 2] if at > 2 else count
        more = True
        while more:
            code = value & 0x1F
            value >>= 5
            more = value != -1 if code & 0x10 else value != 0
            text += chr((code | 0x20 if more else code) + 48)
    return text


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 10_000))
def test_runs_of_every_format_come_back(height: int, width: int, seed: int) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < 0.4
    size = {"size": [height, width]}
    cells: dict[Any, str] = {
        "kaggle-rle": kaggle(mask, "F") or "-1",
        "kaggle-rle-rows": kaggle(mask, "C") or "-1",
        "coco-rle": json.dumps({**size, "counts": counts(mask)}),
    }
    for how, cell in cells.items():
        np.testing.assert_array_equal(runs(cell, how).draw(height, width), mask)
    text = json.dumps({**size, "counts": compressed(counts(mask))})
    np.testing.assert_array_equal(runs(text, "coco-rle").draw(height, width), mask)


def test_compressed_counts_of_a_known_mask() -> None:
    # Five bits a character, from "0" on: 6 is "6"; 40 is 8 with more to come, "X", and 1, "1"; the fourth count is told
    # as its difference from the second, 50 - 40, ":".
    text = json.dumps({"size": [6, 17], "counts": "6X16:"})
    expected = np.repeat([0, 1, 0, 1], [6, 40, 6, 50]).reshape(17, 6).T
    np.testing.assert_array_equal(runs(text, "coco-rle").draw(6, 17), expected)


WRONG: dict[str, tuple[Any, str, str]] = {
    "words": ("kaggle-rle", "1 two", "'1 two' is not a run length; write pairs of start and length, the first pixel"),
    "odd": ("kaggle-rle", "1 2 3", "it has 3 numbers, an odd one without a length; write pairs"),
    "zero": ("kaggle-rle", "0 2", "a run starts before pixel 1 or has no length; write pairs"),
    "empty run": ("kaggle-rle", "4 0", "a run starts before pixel 1 or has no length; write pairs"),
    "too long": ("kaggle-rle", "250 8", "its runs end at pixel 257, the image has 256; give the runs of an image of"),
    "over 64 bit": ("kaggle-rle", f"2 {2**63 - 1}", f"its runs end at pixel {2**63}, the image has 256; give the runs"),
    "both over 64 bit": ("kaggle-rle", f"{2**63 - 1} {2**63 - 1}", f"its runs end at pixel {2**64 - 3}, the image has"),
    "JSON without end": ("coco-rle", "[" * 100_000, f"'{'[' * 28}...{'[' * 28}' is no JSON; write {{"),
    "a count without end": (
        "coco-rle",
        json.dumps({"size": [16, 16], "counts": "o" * 13 + "0"}),
        "its counts are no compressed run lengths",
    ),
    "no JSON": ("coco-rle", "1 2", '\'1 2\' is no JSON; write {"size": [height, width], "counts": [...]}'),
    "no counts": ("coco-rle", "{}", "its run lengths have no `size` and `counts`; write {"),
    "other size": (
        "coco-rle",
        '{"size": [8, 32], "counts": [256]}',
        "its runs are of '[8, 32]' (height, width), the image is 16 x 16; give the runs of an image of this size",
    ),
    "wrong sum": ("coco-rle", '{"size": [16, 16], "counts": [250]}', "its counts are not whole numbers that add up"),
    "no text of counts": (
        "coco-rle",
        '{"size": [16, 16], "counts": "a b"}',
        "its counts are no compressed run lengths",
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_runs_are_refused_by_row(tmp_path: Path, kind: str) -> None:
    how, cell, told = WRONG[kind]
    quoted = '"' + cell.replace('"', '""') + '"'
    good = "35 6" if how.startswith("kaggle") else '"' + '{""size"":[16,16],""counts"":[40,6,210]}' + '"'
    folder = small_set(tmp_path / "set", extra={"runs": [quoted if at == 2 else good for at in range(8)]})
    with pytest.raises(DataError) as caught:
        load(folder, mask="runs", mask_format=how)
    assert f"  line 4 '2.png': mask: {told}" in str(caught.value)
    assert len(load(folder, mask="runs", mask_format=how, skip_bad_rows=True).table) == 7


def test_runs_in_a_table_are_masks(tmp_path: Path) -> None:
    cells = ["-1" if at == 3 else kaggle(LESION, "F") for at in range(8)]
    folder = small_set(tmp_path / "set", extra={"runs": cells})
    dataset = load(folder, target="lesion", mask="runs", mask_format="kaggle-rle")
    assert dataset.table.target.tolist() == [1, 1, 1, 0, 1, 1, 1, 1]
    np.testing.assert_array_equal(labels(dataset)[0], LESION)
    cells[3] = ""
    folder = small_set(tmp_path / "unsaid", extra={"runs": cells})
    with pytest.raises(DataError, match=r"data\.csv: 1 of 8 images have no mask, such as '3\.png'"):
        load(folder, target="lesion", mask="runs", mask_format="kaggle-rle")


# --- polygons ---------------------------------------------------------------------------------------------------------


def inside(points: np.ndarray, x: float, y: float) -> bool:
    """Whether a point lies in a polygon, by the angle that the corners turn about it."""
    to = points - (x, y)
    angles = np.arctan2(to[:, 1], to[:, 0])
    turns = np.diff(np.append(angles, angles[0]))
    total = ((turns + np.pi) % (2 * np.pi) - np.pi).sum()
    return round(abs(total) / (2 * np.pi)) % 2 == 1


def drawn(points: np.ndarray, height: int, width: int) -> np.ndarray:
    patch, mask = filled(points, height, width), np.zeros((height, width), dtype=bool)
    mask[patch.place] = patch.lesion
    return mask


@given(st.integers(0, 10_000), st.integers(3, 7))
def test_a_pixel_is_inside_where_its_center_is(seed: int, corners: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.uniform(-3, 13, (corners, 2))
    expected = np.array([[inside(points, j + 0.5, i + 0.5) for j in range(9)] for i in range(8)])
    if expected.any():
        np.testing.assert_array_equal(drawn(points, 8, 9), expected)


def test_a_rectangle_on_the_grid_is_its_pixels_and_a_speck_is_one() -> None:
    mask = drawn(np.array([[3.0, 2], [9, 2], [9, 8], [3, 8]]), SIDE, SIDE)
    np.testing.assert_array_equal(mask, LESION)
    speck = drawn(np.array([[4.6, 7.6], [4.8, 7.6], [4.7, 7.9]]), SIDE, SIDE)
    assert speck[7, 4]
    assert speck.sum() == 1
    assert not drawn(np.array([[-5.0, -5], [-4, -5], [-4, -4]]), SIDE, SIDE).any()


# --- COCO files -------------------------------------------------------------------------------------------------------

SQUARE = [3, 2, 9, 2, 9, 8, 3, 8]


def coco(folder: Path, *, n: int = 6, below: str = "images", **changed: Any) -> Path:
    """`n` images, a square polyp on each but the last, an instrument over a corner of the first two."""
    for at in range(n):
        save(folder / below / f"{at}.png", noise(at))
    images = [
        {"id": 10 + at, "file_name": f"{at}.png", "height": SIDE, "width": SIDE, "patient": f"p{at // 2}", "site": "a"}
        for at in range(n)
    ]
    annotations: list[dict[str, Any]] = [
        {"id": at, "image_id": 10 + at, "category_id": 1, "iscrowd": 0, "segmentation": [SQUARE]} for at in range(n - 1)
    ]
    corner = np.zeros((SIDE, SIDE), dtype=bool)
    corner[6:10, 7:9] = True
    runs = {"size": [SIDE, SIDE], "counts": counts(corner)}
    annotations += [
        {"id": 90 + at, "image_id": 10 + at, "category_id": 7, "iscrowd": 0, "segmentation": runs} for at in range(2)
    ]
    categories = [{"id": 0, "name": "all"}, {"id": 1, "name": "polyp"}, {"id": 7, "name": "instrument"}]
    whole = {"images": images, "annotations": annotations, "categories": categories, **changed}
    (folder / "annotations.json").write_text(json.dumps(whole))
    return folder


def loaded(folder: Path, **fields: Any) -> Dataset:
    return load(folder, **{"table": "annotations.json", "target": "lesion", "unmasked": "lesion-free", **fields})


@pytest.mark.parametrize("below", ["images", "."])
def test_annotations_of_an_image_make_one_mask_and_categories_are_kinds(tmp_path: Path, below: str) -> None:
    dataset = loaded(coco(tmp_path / "set", below=below))
    assert dataset.masks is not None
    assert dataset.masks.kinds == ("polyp", "instrument")
    assert dataset.table.target.tolist() == [1, 1, 1, 1, 1, 0]
    expected = LESION.astype(np.uint8)
    np.testing.assert_array_equal(labels(dataset)[2], expected)
    expected[6:10, 7:9] = 2  # the smaller one is seen
    np.testing.assert_array_equal(labels(dataset)[0], expected)
    assert "polyp in 5 images, instrument in 2 images" in dataset.card.summary


def test_numbers_of_categories_can_be_named_anew(tmp_path: Path) -> None:
    folder = coco(tmp_path / "set")
    one = loaded(folder, mask_values={1: "polyp", 7: "background"})
    assert one.masks is not None
    assert one.masks.kinds == ("polyp",)
    assert labels(one)[0].sum() == LESION.sum() - 4  # the background lies over it
    with pytest.raises(DataError, match=re.escape("annotations are of category 7, not in data.mask_values; name it")):
        loaded(folder, mask_values={1: "polyp"})


def test_what_the_file_says_of_images_are_columns(tmp_path: Path) -> None:
    dataset = loaded(coco(tmp_path / "set"), patient="patient", factors={"site": FactorSpec(kind="categorical")})
    assert dataset.table.patient.tolist() == [0, 0, 1, 1, 2, 2]
    assert dataset.table.factor("site").levels == ("a",)
    assert len(loaded(coco(tmp_path / "some"), where={"patient": ["p0", "p2"]}).table) == 4


def test_an_image_without_annotations_is_never_guessed_at(tmp_path: Path) -> None:
    folder = coco(tmp_path / "set")
    with pytest.raises(DataError, match=r"annotations\.json: 1 of 6 images have no mask, such as '5\.png'"):
        loaded(folder, unmasked="refuse")
    assert len(loaded(folder, unmasked="leave-out").table) == 5


def annotation(segmentation: Any, **fields: Any) -> dict[str, Any]:
    return {"id": 1, "image_id": 10, "category_id": 1, "segmentation": segmentation, **fields}


BAD_OUTLINES: dict[str, tuple[Any, str]] = {
    "a box alone": ([], "an annotation of it has no outline; give `segmentation` as polygons"),
    "two points": ([[1, 1, 2, 2]], "mask: a polygon of it has 2 points; an outline needs three or more"),
    "no number": ([[float("nan"), 1, 2, 2, 3, 3]], "mask: a polygon of it has a point that is no place in an image"),
    "beyond": ([[1e308, 1, -1e308, 2, 1e308, 3]], "mask: a polygon of it has a point that is no place in an image"),
    "over 64 bit": ([[10**400, 1, 2, 2, 3, 3]], "mask: a polygon of it is no list of x and y in turn; give"),
    "words": ([["a", 1, 2, 2, 3, 3]], "mask: a polygon of it is no list of x and y in turn; give `segmentation` as"),
    "runs of another size": (
        {"size": [4, 4], "counts": [16]},
        "mask: its runs are of '[4, 4]' (height, width), the image is 16 x 16; give the runs of an image of this size",
    ),
}


@pytest.mark.parametrize("kind", BAD_OUTLINES)
def test_outlines_that_cannot_be_drawn_are_refused_by_image(tmp_path: Path, kind: str) -> None:
    segmentation, told = BAD_OUTLINES[kind]
    rest = [annotation([SQUARE], image_id=10 + at, id=at) for at in range(1, 6)]
    folder = coco(tmp_path / "set", annotations=[annotation(segmentation), *rest])
    with pytest.raises(DataError) as caught:
        loaded(folder)
    assert f"  image 1 '0.png': {told}" in str(caught.value)
    assert len(loaded(folder, skip_bad_rows=True).table) == 5


@pytest.mark.parametrize("kinds", [254, 255])
def test_more_kinds_than_a_label_map_has_numbers_are_refused(tmp_path: Path, kinds: int) -> None:
    annotations = [annotation([SQUARE], image_id=10 + at % 6, id=at, category_id=at) for at in range(1, kinds + 1)]
    categories = [{"id": at, "name": f"kind {at}"} for at in range(1, kinds + 1)]
    folder = coco(tmp_path / "set", annotations=annotations, categories=categories)
    if kinds == 254:
        assert loaded(folder).masks is not None
        return
    with pytest.raises(DataError, match=r"masks name 255 kinds of lesions, over 254; give several one name in"):
        loaded(folder)


def test_many_lesions_of_an_image_are_drawn_one_at_a_time(tmp_path: Path) -> None:
    large = [1, 1, 127, 1, 127, 127, 1, 127]
    annotations = [annotation([large], image_id=10 + at % 6, id=at) for at in range(4_800)]
    folder = coco(tmp_path / "set", annotations=annotations)
    for at in range(6):
        save(folder / "images" / f"{at}.png", noise(at, side=128))
    path = folder / "annotations.json"
    path.write_text(path.read_text().replace('"height": 16', '"height": 128').replace('"width": 16', '"width": 128'))
    loaded(folder)  # libraries are imported here
    tracemalloc.start()
    loaded(folder, size=64)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 800 * 128 * 128  # of the 800 lesions of one image together


def test_an_outline_is_drawn_in_its_rectangle_whatever_the_size_of_the_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    annotations = [annotation([SQUARE], image_id=10 + at % 6, id=at) for at in range(60)]
    folder = coco(tmp_path / "set", annotations=annotations)
    for at in range(6):
        save(folder / "images" / f"{at}.png", noise(at, side=2048))
    path = folder / "annotations.json"
    path.write_text(path.read_text().replace('"height": 16', '"height": 2048').replace('"width": 16', '"width": 2048'))
    drawn = list[int]()

    def fill(points: np.ndarray, height: int, width: int) -> Any:
        patch = filled(points, height, width)
        drawn.append(patch.lesion.size)
        return patch

    monkeypatch.setattr("assay.data.files.outlines.filled", fill)
    loaded(folder, size=64)
    assert len(drawn) >= 60
    assert max(drawn) <= 16 * 16


def test_outlines_for_an_image_of_another_size(tmp_path: Path) -> None:
    folder = coco(tmp_path / "set")
    save(folder / "images" / "3.png", noise(3, side=32))
    with pytest.raises(DataError) as caught:
        loaded(folder)
    assert (
        "image 4 '3.png': mask: its outlines are for 16 x 16 px, the image is 32 x 32; give the image that was "
        "annotated, or export the outlines for this one"
    ) in str(caught.value)


def test_files_that_are_no_coco(tmp_path: Path) -> None:
    folder = coco(tmp_path / "set")
    path = folder / "annotations.json"
    path.write_text("{")
    with pytest.raises(DataError, match=r"annotations\.json is not JSON: .*; export it again as COCO"):
        loaded(folder)
    path.write_text("[]")
    with pytest.raises(DataError, match="is not COCO: expected images, annotations and categories"):
        loaded(folder)
    path.write_text("{}")
    with pytest.raises(DataError, match="has no list of images; export it as COCO, with images, annotations, categor"):
        loaded(folder)
    coco(folder, categories=[{"id": 1, "name": "polyp"}])
    with pytest.raises(DataError, match="annotations are of category 7, not in its categories; name it"):
        loaded(folder)
    coco(folder)
    path.write_text(path.read_text().replace('"category_id": 7', '"category_id": "7"'))
    with pytest.raises(DataError, match="category_id '7' of an annotation is not a whole number, as COCO has it"):
        loaded(folder)
    coco(folder)
    with pytest.raises(SpecError, match=r"data\.mask: the outlines stand in annotations\.json; leave it out"):
        loaded(folder, mask="mask")


def test_annotations_of_no_image_are_counted(tmp_path: Path) -> None:
    stray = [annotation([SQUARE], image_id=10 + at, id=at) for at in range(6)] + [annotation([SQUARE], image_id=99)]
    dataset = loaded(coco(tmp_path / "set", annotations=stray))
    assert "1 annotations belong to no image" in dataset.card.known_faults


def test_annotations_of_no_image_beside_images_without_any_are_refused(tmp_path: Path) -> None:
    """Ids that are text on one side make lesions look like none."""
    folder = coco(tmp_path / "set")
    path = folder / "annotations.json"
    path.write_text(path.read_text().replace('"image_id": 12', '"image_id": "12"'))
    with pytest.raises(DataError) as caught:
        loaded(folder)
    assert str(caught.value) == (
        "annotations.json: 1 annotations are of no image, first image_id '12', while 2 images have none, first 2.png: "
        "lesion-free images cannot be distinguished from misnumbered ones; give annotations their images' ids, or "
        "take them out"
    )


def test_ids_tell_one_image_from_another(tmp_path: Path) -> None:
    folder = coco(tmp_path / "set")
    path = folder / "annotations.json"
    whole = path.read_text()
    for before, after, said in (
        ('"id": 11', '"id": 10', "id 10 stands for several images; give each its own"),
        ('"id": 11', '"id": [11]', "id of image '1.png' is [11], where COCO has a number; export it again"),
        ('"image_id": 11', '"image_id": [11]', "image_id of an annotation is [11], where COCO has a number"),
        ('{"id": 0, "name": "all"}', '{"id": [0], "name": "all"}', "id of a category is [0], where COCO has a num"),
    ):
        path.write_text(whole.replace(before, after))
        with pytest.raises(DataError, match=re.escape(said)):
            loaded(folder)


def test_a_study_of_segmentation_is_planned_on_a_coco_file(tmp_path: Path) -> None:
    folder = coco(tmp_path / "set", n=12)
    study = {
        "name": "coco",
        "data": {"folder": str(folder), "table": "annotations.json", "target": "lesion", "unmasked": "lesion-free",
                 "size": 16, "mask_values": {1: "lesion", 7: "lesion"}},
        "environments": {"train": {}, "same": {}},
        "recipe": {"task": "segmentation", "epochs": 1, "batch_size": 4},
        "seeds": 1,
    }  # fmt: skip
    assert parse_study(study).task == "segmentation"


def test_a_table_of_runs_is_like_any_other(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for at in range(4):
        save(folder / f"{at}.png", noise(at))
    write_table(folder / "data.csv", [["image", "label", "rle"], *([f"{at}.png", at % 2, "35 6"] for at in range(4))])
    dataset = load(folder, mask="rle", mask_format="kaggle-rle")
    assert labels(dataset)[0].sum() == 6
    assert labels(dataset)[0][2:8, 2].all()  # pixel 35 is the third of the third column
