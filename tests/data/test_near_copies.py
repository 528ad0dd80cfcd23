"""Near copies are found whatever was done to them, at any size of study, and different images are not."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from assay.data.near_copies import NearPair, details, near_pairs
from assay.data.splits import split
from assay.look.checks import data_checks
from assay.plugin import ArrayCache, Code, DataError, Dataset, DataSpec, PixelScale, load_dataset
from assay.report.pictures import PictureWriter
from assay.report.sentences.captions import caption
from assay.report.sentences.reasons import reason_words

SIDE = 160
T = Image.Transpose


def scene(seed: int) -> Image.Image:
    """A random scene of blobs and lines in a bright round field on black: alike at a glance, never copies."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(size=(14, 14)).astype(np.float32)
    fine = np.asarray(Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    shading = 140 - 0.004 * (x**2 + y**2)
    gray = np.clip(shading + 28 * fine, 25, 250) * (np.hypot(x, y) < SIDE * 0.48)
    return Image.fromarray(gray.astype(np.uint8))


def cropped(image: Image.Image, x: float, y: float, share: float = 0.9) -> Image.Image:
    side = round(SIDE * share)
    left, top = round((SIDE - side) * x), round((SIDE - side) * y)
    return image.crop((left, top, left + side, top + side))


def encoded(image: Image.Image, quality: int = 60) -> Image.Image:
    kept = io.BytesIO()
    image.save(kept, "JPEG", quality=quality)
    return Image.open(kept)


def padded(image: Image.Image, left: int = 0, below: int = 0) -> Image.Image:
    canvas = Image.new("L", (image.width + left, image.height + below))
    canvas.paste(image, (left, 0))
    return canvas


def annotated(image: Image.Image) -> Image.Image:
    made = image.copy()
    ImageDraw.Draw(made).text((50, 60), "R  12:30", fill=255)
    return made


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "mirrored": lambda image: image.transpose(T.FLIP_LEFT_RIGHT),
    "upside down": lambda image: image.transpose(T.FLIP_TOP_BOTTOM),
    "quarter turn left": lambda image: image.transpose(T.ROTATE_90),
    "half turn": lambda image: image.transpose(T.ROTATE_180),
    "quarter turn right": lambda image: image.transpose(T.ROTATE_270),
    "transposed": lambda image: image.transpose(T.TRANSPOSE),
    "transversed": lambda image: image.transpose(T.TRANSVERSE),
    "re-encoded": encoded,
    "rescaled": lambda image: image.resize((90, 90), Image.Resampling.BILINEAR),
    "cropped in the middle": lambda image: cropped(image, 0.5, 0.5),
    "cropped in a corner": lambda image: cropped(image, 0, 1),
    "cropped at a side": lambda image: cropped(image, 0.5, 1),
    "shifted": lambda image: image.transform(image.size, Image.Transform.AFFINE, (1, 0, -6, 0, 1, 6)),
    "brighter": lambda image: image.point([min(255, int(value * 1.2 + 10)) for value in range(256)]),
    "padded and half-turned": lambda image: padded(image, below=70).transpose(T.ROTATE_180),
    "padded, re-encoded, mirrored": lambda image: encoded(padded(image, left=70)).transpose(T.FLIP_LEFT_RIGHT),
    "annotated": annotated,
    "cropped, mirrored, re-encoded": lambda image: encoded(cropped(image, 0.2, 0.8).transpose(T.FLIP_LEFT_RIGHT)),
}


@pytest.mark.parametrize("n", [10, 70])
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_found_and_nothing_else(change: str, n: int) -> None:
    images = [scene(seed) for seed in range(n)]
    images[7] = CHANGES[change](images[2])
    pairs = near_pairs(np.stack([details(np.asarray(image)) for image in images]), np.arange(n))
    assert [(pair.first, pair.second) for pair in pairs] == [(2, 7)]


LIKENESS = {"re-encoded": 0.993, "rescaled": 0.995, "cropped in the middle": 0.991, "cropped in a corner": 0.997,
            "cropped at a side": 0.995, "shifted": 0.999, "padded, re-encoded, mirrored": 0.979,
            "cropped, mirrored, re-encoded": 0.992}  # fmt: skip
"""By `grid_sample` and `linalg.inv_ex` of PyTorch, of the changes whose likeness is no 1."""


def test_the_likeness_is_that_of_a_registration_in_pytorch() -> None:
    images = [scene(seed) for seed in range(20)]
    copies = [change(image) for change, image in zip(CHANGES.values(), images, strict=False)]
    pairs = near_pairs(np.stack([details(np.asarray(image)) for image in images + copies]), np.arange(20 + len(copies)))
    found = {list(CHANGES)[pair.second - 20]: pair.likeness for pair in pairs}
    assert found == pytest.approx({change: LIKENESS.get(change, 1.0) for change in CHANGES}, abs=0.0011)


def kin(seed: int) -> Image.Image:
    """A smooth scene that shares most of its detail with all others, as aligned chests do."""
    common, own = (np.random.default_rng(one).normal(size=(14, 14)) for one in (99, seed))
    mixed = Image.fromarray((0.94 * common + 0.35 * own).astype(np.float32))
    fine = np.asarray(mixed.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    return Image.fromarray(np.clip(128 + 28 * fine, 0, 255).astype(np.uint8))


def test_images_that_are_all_alike_are_hardly_copies_of_each_other() -> None:
    """Of these pairs 55 have a likeness of 0.85 or more."""
    images = [kin(seed) for seed in range(60)]
    images.append(cropped(images[7], 0.5, 0.5, 0.96))
    found = near_pairs(np.stack([details(np.asarray(one)) for one in images]), np.arange(61))
    assert (found[0].first, found[0].second) == (7, 60)
    assert len(found) <= 5


def test_a_copy_within_a_patient_is_no_pair() -> None:
    detail = np.stack([details(np.asarray(scene(seed))) for seed in (0, 0, 1, 2)])
    assert near_pairs(detail, np.array([0, 0, 1, 2])) == []
    assert [(pair.first, pair.second) for pair in near_pairs(detail, np.arange(4))] == [(0, 1)]
    assert near_pairs(detail, np.zeros(4, dtype=np.int64)) == []
    assert near_pairs(detail[:0], np.zeros(0, dtype=np.int64)) == []


def test_candidates_of_the_asked_images_alone_are_verified() -> None:
    images = [scene(seed) for seed in range(60)]
    images[52], images[53] = CHANGES["mirrored"](images[7]), CHANGES["half turn"](images[8])
    detail, parts = np.stack([details(np.asarray(image)) for image in images]), np.repeat([0, 1], [50, 10])
    assert {(pair.first, pair.second) for pair in near_pairs(detail, parts)} == {(7, 52), (8, 53)}
    assert {(pair.first, pair.second) for pair in near_pairs(detail, parts, np.arange(50, 60))} == {(7, 52), (8, 53)}
    assert {(pair.first, pair.second) for pair in near_pairs(detail, parts, np.array([8, 52]))} == {(7, 52), (8, 53)}
    assert [(pair.first, pair.second) for pair in near_pairs(detail, parts, np.array([53]))] == [(8, 53)]


def test_pairs_cross_blocks_and_do_not_depend_on_them(monkeypatch: pytest.MonkeyPatch) -> None:
    detail = np.stack([details(np.asarray(scene(seed % 33))) for seed in range(40)])
    whole = near_pairs(detail, np.arange(40))
    assert [(pair.first, pair.second) for pair in whole] == [(at, at + 33) for at in range(7)]
    monkeypatch.setattr("assay.data.near_copies._BLOCK", 9)
    assert near_pairs(detail, np.arange(40)) == whole


def test_whole_images_alone_are_compared_in_a_very_large_set(monkeypatch: pytest.MonkeyPatch) -> None:
    images = [scene(seed) for seed in range(40)]
    images[30], images[31] = CHANGES["mirrored"](images[2]), CHANGES["cropped in a corner"](images[4])
    detail = np.stack([details(np.asarray(image)) for image in images])
    assert [(pair.first, pair.second) for pair in near_pairs(detail, np.arange(40))] == [(2, 30), (4, 31)]
    monkeypatch.setattr("assay.data.near_copies._MOST", 39)
    assert [(pair.first, pair.second) for pair in near_pairs(detail, np.arange(40))] == [(2, 30)]


@pytest.mark.parametrize(("shape", "dtype"), [((8, 8), "uint8"), ((28, 40, 3), "uint8"), ((300, 200), "uint16")])
def test_any_size_and_flat_images(shape: tuple[int, ...], dtype: str) -> None:
    rng = np.random.default_rng(0)
    made = [np.full(shape, 9, dtype)] * 3 + [rng.integers(0, 255, shape).astype(dtype) for _ in range(20)]
    assert near_pairs(np.stack([details(one) for one in made]), np.arange(23)) == []  # flat images are no copies


def test_16_bit_images_are_reduced_at_the_range_of_their_set(tmp_path: Path) -> None:
    """The noise of a nearly flat image is no detail, and a set of 12 bit has the detail of the same images of 8 bit."""
    rng = np.random.default_rng(0)
    for seed in range(6):
        values = np.asarray(scene(seed)).astype(np.uint16) * 16
        if seed == 5:
            values = rng.integers(1000, 1020, values.shape).astype(np.uint16)
        path = tmp_path / "set" / "ab"[seed % 2] / f"{seed}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values).save(path)
    spec = DataSpec.model_validate({"classes": str(tmp_path / "set"), "size": 32, "positive": ["b"]})
    assert load_dataset(spec, ArrayCache(tmp_path / "c")).near_copies == ()
    (kept,) = (tmp_path / "c").rglob("detail-*.npy")
    found = np.load(kept).astype(int)
    assert [np.abs(one).max() > 20 for one in found] == [True] * 5 + [False]
    assert np.abs(found[0] - details(np.asarray(scene(0)))).max() <= 2


def folder_of(root: Path, copies: int) -> DataSpec:
    """60 scenes of 60 patients in two classes; the last ones are mirrored, smoothed copies of the first ones."""
    root.mkdir()
    rows: list[dict[str, object]] = []
    for at in range(60):
        image = scene(at)
        if at >= 60 - copies:
            image = scene(at - (60 - copies)).transpose(T.FLIP_LEFT_RIGHT).filter(ImageFilter.GaussianBlur(0.7))
        image.save(root / f"{at}.png")
        rows.append({"image": f"{at}.png", "sick": at % 2, "patient": f"p{at}"})
    with (root / "data.csv").open("w", newline="") as handle:
        writer = csv.DictWriter(handle, ["image", "sick", "patient"])
        writer.writeheader()
        writer.writerows(rows)
    return DataSpec(folder=str(root), table="data.csv", target="sick", patient="patient")


def loaded(spec: DataSpec, cache: Path, **changes: object) -> Dataset:
    return load_dataset(spec.model_copy(update=changes), ArrayCache(cache))


def test_pairs_do_not_depend_on_the_size_of_the_study_and_are_counted_rightly(tmp_path: Path) -> None:
    spec = folder_of(tmp_path / "set", copies=25)
    small, large = (loaded(spec, tmp_path / "cache", size=size) for size in (16, 64))
    assert len(small.near_copies) == 25
    assert small.near_copies == large.near_copies
    # Row 35 is a copy of row 0, which has another label.
    words = reason_words(data_checks(spec, small).reasons[0])
    assert words.startswith("copies, exact or near: 25 pictures in 50 files, 25 pictures under different patients, 25 ")
    assert "25 pictures with different classes, such as lines 2 and 37 of data.csv" in words
    assert "cropped" not in words


def test_of_a_large_set_the_copies_that_are_not_searched_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assay.data.near_copies._MOST", 59)
    spec = folder_of(tmp_path / "set", copies=2)
    words = reason_words(data_checks(spec, loaded(spec, tmp_path / "cache", size=16)).reasons[0])
    assert words.endswith("such as lines 2 and 60 of data.csv; among so many images cropped ones were not searched")


def test_near_copies_stay_on_one_side_when_asked(tmp_path: Path) -> None:
    spec = folder_of(tmp_path / "set", copies=20)
    apart, kept = (
        loaded(spec, tmp_path / "cache", split=spec.split.model_copy(update={"together": how}))
        for how in ("", "near-copies")
    )

    def crossing(dataset: Dataset) -> int:
        parts = split(dataset.table, spec.split, 0)
        side = np.empty(60, dtype=np.int64)
        for code, rows in enumerate((parts.train, parts.validation, parts.test)):
            side[rows] = code
        return sum(side[pair.first] != side[pair.second] for pair in dataset.near_copies)

    assert crossing(apart) > 0
    assert crossing(kept) == 0
    assert data_checks(spec, apart).reasons[0].codes == (Code.COPY_CLUSTERS,)
    assert data_checks(spec, kept).reasons[0].codes == (Code.COPIES_OF_ONE_PATIENT,)
    assert len(kept.near_copies) == 20
    assert any("(split.together)" in text for text in kept.card.known_faults)
    assert apart.content != kept.content


def test_exact_copies_stay_on_one_side_too_when_asked(tmp_path: Path) -> None:
    spec = folder_of(tmp_path / "set", copies=0)
    shutil.copyfile(tmp_path / "set" / "4.png", tmp_path / "set" / "50.png")
    with pytest.raises(DataError, match="its pixels are those of line 6"):
        loaded(spec, tmp_path / "cache")
    kept = loaded(spec, tmp_path / "cache", split=spec.split.model_copy(update={"together": "near-copies"}))
    assert kept.table.patient[50] == kept.table.patient[4]
    assert len(np.unique(kept.table.patient)) == 59


def test_exact_copies_with_different_masks_are_named(tmp_path: Path) -> None:
    for at in range(24):
        mask = np.zeros((SIDE, SIDE), np.uint8)
        mask[40:60, 30 + at : 60 + at] = 255 * (at % 3 > 0)
        scene(max(at, 2)).save(tmp_path / f"{at}.png")  # 0, 1 and 2 show one picture
        Image.fromarray(mask).save(tmp_path / f"m{at}.png")
    lines = ["image,mask,patient", *(f"{at}.png,m{at}.png,p{max(at, 2)}" for at in range(24))]
    (tmp_path / "data.csv").write_text("\n".join(lines))
    spec = DataSpec(folder=str(tmp_path), table="data.csv", mask="mask", target="lesion", patient="patient", size=160)
    (said, *_) = map(reason_words, data_checks(spec, loaded(spec, tmp_path / "cache")).reasons)
    assert "1 picture in 3 files, 1 picture with different classes, 1 picture with different masks, such as" in said


class Found:
    """A search whose pairs are known."""

    def among(self, rows: np.ndarray) -> tuple[NearPair, ...]:
        return NearPair(2, 3, 0.95), NearPair(0, 1, 0.8)


def test_pairs_below_certainty_are_shown_to_look_at_and_not_called_copies(tmp_path: Path) -> None:
    spec = folder_of(tmp_path / "set", copies=0)
    dataset = replace(loaded(spec, tmp_path / "cache", size=16), search=Found())
    checks = data_checks(spec, dataset)
    assert [(one.codes[0], one.codes[0].light) for one in checks.reasons[:2]] == [
        (Code.COPY_CLUSTERS, "bad"),
        (Code.COPIES_SUSPECTED, "warn"),
    ]
    assert "1 picture in 2 files, such as lines 2 and 3 of data.csv; look at them; not searched:" in reason_words(
        checks.reasons[1]
    )
    between = data_checks(spec, dataset, {"far": dataset}).reasons[:2]
    assert [(one.codes[0], one.codes[0].light) for one in between] == [
        (Code.COPIES_BETWEEN_SETS, "bad"),
        (Code.SUSPECTED_BETWEEN_SETS, "warn"),
    ]
    assert reason_words(between[1]).startswith(
        "1 image of far very similar to a training image, such as line 3 of data.csv there and line 2 of data.csv in"
    )
    assert [(row["kind"], row["row"]) for row in checks.issues[:4]] == [
        ("copy", 4),
        ("copy", 5),
        ("suspected-copy", 2),
        ("suspected-copy", 3),
    ]
    drawn = [caption(row) for row in checks.pictures(PictureWriter(tmp_path, PixelScale(), "sick"))]
    assert (
        drawn[0] == "1 picture that several files hold (1 with contradicting labels): two of the files, one above "
        "the other; from the left, labels contradict in all (framed)."
    )
    assert drawn[1] == "2 images: very similar, which may be copies; from the left, lines 2 and 3 of data.csv."


@pytest.mark.parametrize("likeness", [0.95, 0.8])
def test_no_copies_is_not_said_where_another_set_may_have_one(tmp_path: Path, likeness: float) -> None:
    spec = folder_of(tmp_path / "set", copies=0)
    dataset = loaded(spec, tmp_path / "cache", size=16)

    def lights(*pairs: NearPair) -> list[tuple[Code, str]]:
        other = SimpleNamespace(near_copies=pairs, table=dataset.table)
        reasons = data_checks(spec, dataset, {"far": cast("Any", other)}).reasons
        return [(one.codes[0], one.codes[0].light) for one in reasons[:2]]

    assert (Code.NO_COPIES, "ok") in lights()
    assert Code.NO_COPIES not in dict(lights(NearPair(4, 7, likeness)))


def test_pairs_are_drawn_one_above_the_other_and_those_that_contradict_come_first(tmp_path: Path) -> None:
    spec = folder_of(tmp_path / "set", copies=11)  # row 49 copies row 0: the labels of all pairs contradict
    table = tmp_path / "set" / "data.csv"
    text = table.read_text()
    for at in range(2, 11):
        text = text.replace(f"\n{at}.png,{at % 2},", f"\n{at}.png,{(at + 1) % 2},")
    table.write_text(text)
    dataset = loaded(spec, tmp_path / "cache", size=32)
    (tmp_path / "out").mkdir()
    first, second = data_checks(spec, dataset).pictures(PictureWriter(tmp_path / "out", PixelScale(), "sick"))
    of = "of 11 pictures that several files hold (2 with contradicting labels): two of the files, one above the other"
    assert caption(first) == f"1 to 8 {of}; from the left, labels contradict in 1 and 2 (framed)."
    assert caption(second) == f"9 to 11 {of}."
    shapes = [Image.open(tmp_path / "out" / str(row["file"])) for row in (first, second)]
    assert [round(image.width / image.height * 2) for image in shapes] == [8, 3]  # columns over two rows
    frame, scale = np.asarray(shapes[0]), int(first["scale"])
    places = range(0, frame.shape[1], scale * (32 + 3 * 2))
    assert [tuple(frame[0, x]) == (213, 94, 0) for x in places] == [True, True] + [False] * 6


def test_all_pairs_are_counted_and_a_few_are_drawn(tmp_path: Path) -> None:
    spec = folder_of(tmp_path / "set", copies=29)
    dataset = loaded(spec, tmp_path / "cache", size=16)
    (tmp_path / "out").mkdir()
    rows = data_checks(spec, dataset).pictures(PictureWriter(tmp_path / "out", PixelScale(), "sick"))
    assert len(dataset.near_copies) == 29
    assert [caption(row).split(" pictures")[0] for row in rows] == [
        "1 to 8 of 29",
        "9 to 16 of 29",
        "17 to 24 of 29",
    ]


def test_patients_that_are_not_named_are_not_said_to_differ(tmp_path: Path) -> None:
    spec = folder_of(tmp_path / "set", copies=3).model_copy(update={"patient": ""})
    said = [reason_words(one) for one in data_checks(spec, loaded(spec, tmp_path / "cache")).reasons]
    (copies,) = [text for text in said if text.startswith("copies, exact or near: 3 pictures in 6 files")]
    assert "patient" not in copies
