"""Decoding: geometry, depth, color, masks that never vanish, and a cache that is used."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.data.files.test_retouch import fundus
from tests.worlds.files import age, blob, load, noise, save, small_set, spec_of, write_table

from assay.data.files import decode
from assay.data.files.decode import decode_images
from assay.data.files.fitting import fit_image, fit_labels, touched, vanished
from assay.data.files.table import Unreadable
from assay.plugin import ArrayCache, Placement, load_dataset, placed

U8, U16 = np.dtype(np.uint8), np.dtype(np.uint16)
GRAYS = {"r": (255, 0, 0), "g": (0, 255, 0), "b": (0, 0, 255)}


def test_deep_pixels_are_not_wrapped_into_8_bit() -> None:
    with pytest.raises(Unreadable, match="its pixels have 16 bit, and its header says 8"):
        fit_image(np.full((16, 16), 256, dtype=np.uint16), 16, 1, U8)


def test_an_image_of_study_size_is_untouched() -> None:
    np.testing.assert_array_equal(fit_image(noise(0), 16, 1, U8)[0], noise(0))
    np.testing.assert_array_equal(fit_image(noise(0, channels=3), 16, 3, U8), np.moveaxis(noise(0, channels=3), -1, 0))


@given(st.integers(8, 80), st.integers(8, 80), st.sampled_from([8, 16, 33]), st.sampled_from([U8, U16]))
def test_aspect_is_kept_and_the_rest_is_black(height: int, width: int, size: int, dtype: np.dtype[np.uint8]) -> None:
    out = fit_image(np.full((height, width), 200, dtype=dtype), size, 1, dtype)[0]
    rows, columns = np.flatnonzero(out.any(axis=1)), np.flatnonzero(out.any(axis=0))
    longer = max(height, width)
    assert (len(rows), len(columns)) == (round(height * size / longer), round(width * size / longer))
    assert (out[np.ix_(rows, columns)] == 200).all()  # a flat image stays flat to its edges
    for found in (rows, columns):
        assert abs(found[0] - (size - 1 - found[-1])) <= 1  # centered


def test_shrinking_averages_instead_of_picking() -> None:
    # Stripes finer than the new grid: a sampler without a filter would give black or white.
    stripes = np.tile(np.array([[0, 255]], dtype=np.uint8), (64, 32))
    small = fit_image(stripes, 8, 1, U8)[0]
    assert np.abs(small[2:-2, 2:-2].astype(int) - 127).max() <= 2


def test_sixteen_bit_shrinks_like_eight_bit() -> None:
    eight = fit_image(noise(1, side=48), 16, 1, U8).astype(float)
    sixteen = fit_image(noise(1, side=48).astype(np.uint16) * 257, 16, 1, U16) / 257
    assert np.abs(eight - sixteen).max() <= 1


@pytest.mark.parametrize(("color", "level"), [("r", 76), ("g", 150), ("b", 29)])
def test_gray_of_a_color_is_its_luminance(color: str, level: int) -> None:
    # Rec. 601: 0.299, 0.587 and 0.114 of 255.
    pixels = np.tile(np.array(GRAYS[color], dtype=np.uint8), (16, 16, 1))
    assert (fit_image(pixels, 16, 1, U8) == level).all()


def test_color_of_a_gray_is_the_same_thrice() -> None:
    out = fit_image(noise(0), 16, 3, U8)
    assert all((plane == noise(0)).all() for plane in out)


@given(st.integers(8, 60), st.integers(8, 60), st.integers(0, 10_000))
def test_a_single_lesion_pixel_never_vanishes(height: int, width: int, seed: int) -> None:
    mask = np.zeros((height, width), dtype=np.uint8)
    mask[seed % height, seed % width] = 1
    small = fit_labels(mask, 8)
    assert 1 <= small.sum() <= max(4, (8 // min(height, width) + 1) ** 2)
    assert vanished(mask, small) == 0
    assert not fit_labels(np.zeros_like(mask), 8).any()
    assert fit_labels(np.ones((16, 16), dtype=np.uint8), 8).all()


def test_a_mask_pixel_is_lesion_from_half_on() -> None:
    mask = np.zeros((16, 16), dtype=np.uint8)
    mask[:4, :4] = 1  # four whole pixels of the small grid
    mask[8:10, 8:9] = 1  # exactly half of one
    mask[12, 12] = 1  # a quarter of one
    small = fit_labels(mask, 8)
    expected = np.zeros((8, 8), dtype=np.uint8)
    expected[:2, :2] = expected[4, 4] = 1
    np.testing.assert_array_equal(small, expected)
    assert vanished(mask, small) == 1  # the quarter


def test_a_pixel_of_several_kinds_is_of_the_one_that_has_most_of_it() -> None:
    labels = np.zeros((16, 16), dtype=np.uint8)
    labels[:4, :4] = np.array([[1, 2, 2, 2], [1, 1, 1, 2], [1, 2, 0, 0], [0, 0, 3, 0]])
    small = fit_labels(labels, 4)
    # Of 16 native pixels 5 are kind 1, 5 kind 2 and 1 kind 3: 11 are lesion, and of equal shares the first kind wins.
    assert small[0, 0] == 1
    assert small.sum() == 1
    labels[3, 0] = 2
    assert fit_labels(labels, 4)[0, 0] == 2
    # Where kind 2 is seen, the one lesion of kind 1 and the one of kind 3 are not.
    assert vanished(labels, fit_labels(labels, 4)) == 2


def test_labels_of_study_size_are_untouched() -> None:
    labels = noise(4) % 4
    np.testing.assert_array_equal(fit_labels(labels, 16), labels)
    assert vanished(labels, labels) == 0


@given(st.integers(8, 70), st.integers(8, 70), st.integers(0, 10_000), st.sampled_from([8, 20]))
def test_a_window_of_untouched_pixels_holds_no_lesion_pixel(height: int, width: int, seed: int, size: int) -> None:
    labels = (np.random.default_rng(seed).random((height, width)) < 0.02).astype(np.uint8)
    box = placed(height, width, size)
    seen = touched(labels, size)[box.rows, box.columns]
    rows, columns = np.nonzero(labels)
    # Every lesion pixel lies in the part of some touched pixel, and every touched pixel's part holds one.
    down = [np.arange(box.height) * height // box.height, (np.arange(box.height) + 1) * height // box.height]
    across = [np.arange(box.width) * width // box.width, (np.arange(box.width) + 1) * width // box.width]
    for i in range(box.height):
        for j in range(box.width):
            bottom, right = max(down[1][i], down[0][i] + 1), max(across[1][j], across[0][j] + 1)
            inside = (rows >= down[0][i]) & (rows < bottom) & (columns >= across[0][j]) & (columns < right)
            assert seen[i, j] == inside.any()


def test_mask_and_image_share_their_geometry() -> None:
    mask = np.zeros((20, 50), dtype=np.uint8)
    mask[4:16, 10:40] = 1
    image = fit_image(mask * np.uint8(255), 25, 1, U8)[0] > 127
    np.testing.assert_array_equal(fit_labels(mask, 25), image)


def test_channels_are_color_only_where_some_image_has_differing_ones(tmp_path: Path) -> None:
    folder = small_set(tmp_path / "set")
    for at in range(8):  # gray pictures stored as RGB
        save(folder / f"{at}.png", np.repeat(noise(at)[..., None], 3, axis=2))
    gray = load(folder)
    assert gray.images.shape == (1, 16, 16)
    assert load(folder, channels="color").images.shape == (3, 16, 16)
    one = np.repeat(noise(5)[..., None], 3, axis=2)
    one[0, 0] = (9, 9, 10)
    save(folder / "5.png", one)
    assert load(folder).images.shape == (3, 16, 16)
    assert load(folder, channels="gray").images.shape == (1, 16, 16)


def test_one_deep_image_makes_the_set_deep_and_keeps_the_others_levels(tmp_path: Path) -> None:
    folder = small_set(tmp_path / "set")
    eight = load(folder).images.read(np.arange(8))
    save(folder / "0.png", noise(0).astype(np.uint16) * 257)
    dataset = load(folder)
    assert dataset.images.array.dtype == np.uint16  # pyright: ignore[reportAttributeAccessIssue]
    np.testing.assert_allclose(dataset.images.read(np.arange(8)), eight, atol=1e-7)
    assert "16 bit" in dataset.card.summary


@pytest.mark.parametrize(
    ("fit", "trace"),
    [("pad", "in black padding"), ("squash", "in how much they are stretched"), ("crop", "in how much is cut off")],
)
def test_aspects_that_differ_are_warned_of_by_class(tmp_path: Path, fit: str, trace: str) -> None:
    folder = small_set(tmp_path / "set")
    for at in (1, 3, 5, 7):
        save(folder / f"{at}.png", noise(at, side=32)[:16])
    warned = [fault for fault in load(folder, fit=fit).card.known_faults if "aspect" in fault]
    assert warned == [f"images differ in aspect, so {trace}: mean width / height not label 1.00, label 2.00"]


class _Counter:
    """Counts how often files are read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.examined = self.decoded = 0
        examine, read = decode.examine, decode.read_picture

        def counting_examine(data: bytes) -> object:
            self.examined += 1
            return examine(data)

        def counting_read(data: bytes, size: int) -> object:
            self.decoded += 1
            return read(data, size)

        monkeypatch.setattr(decode, "examine", counting_examine)
        monkeypatch.setattr(decode, "read_picture", counting_read)


def test_a_second_load_reads_no_file_and_a_change_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = small_set(tmp_path / "set")
    age(folder)
    count = _Counter(monkeypatch)
    first = load(folder)
    assert (count.examined, count.decoded) == (8, 8)
    assert load(folder).content == first.content
    assert (count.examined, count.decoded) == (8, 8)
    save(folder / "3.png", noise(77))
    changed = load(folder)
    assert changed.content != first.content
    assert count.examined == 9
    save(folder / "3.png", noise(3))
    age(folder, 30)
    assert load(folder).content == first.content


@pytest.mark.parametrize("how", ["young", "edited", "replaced"])
def test_another_file_of_the_same_size_and_date_is_read_again(tmp_path: Path, how: str) -> None:
    # As when an archive with fixed dates is unpacked over a set. Of a young file only a look inside can tell.
    folder = small_set(tmp_path / "set")
    for at in range(8):
        Image.fromarray(noise(at)).save(folder / f"{at}.bmp")
    write_table(folder / "data.csv", [["image", "label"], *([f"{at}.bmp", at % 2] for at in range(8))])
    if how != "young":
        age(folder)
    first = load(folder)
    stamp = (folder / "3.bmp").stat()
    Image.fromarray(noise(77)).save(folder / ("new.bmp" if how == "replaced" else "3.bmp"))
    if how == "replaced":
        (folder / "new.bmp").rename(folder / "3.bmp")
    os.utime(folder / "3.bmp", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert (folder / "3.bmp").stat().st_size == stamp.st_size
    assert load(folder).content != first.content


def test_a_damaged_memory_or_lost_notes_cost_time_only(tmp_path: Path) -> None:
    folder = small_set(tmp_path / "set", extra={"mask": ["m.png"] * 8})
    save(folder / "m.png", blob())
    (folder / "3.png").write_bytes((folder / "3.png").read_bytes()[:120])
    age(folder)
    cache = tmp_path / "cache"
    spec = spec_of(folder, mask="mask")
    first = load_dataset(spec, ArrayCache(cache), skip_bad_rows=True)
    for notes in cache.glob("*.json"):
        notes.write_text('{"broken')
    again = load_dataset(spec, ArrayCache(cache), skip_bad_rows=True)
    assert again.content == first.content
    assert again.card == first.card


def test_order_of_rows_changes_neither_patients_nor_their_codes(tmp_path: Path) -> None:
    folder = small_set(tmp_path / "set", extra={"who": [f"p{at // 2}" for at in range(8)]})
    first = load(folder, patient="who")
    lines = (folder / "data.csv").read_text().splitlines()
    (folder / "data.csv").write_text("\n".join([lines[0], *reversed(lines[1:])]) + "\n")
    again = load(folder, patient="who")
    np.testing.assert_array_equal(again.table.patient, first.table.patient[::-1])
    np.testing.assert_array_equal(again.images.read(np.arange(8)), first.images.read(np.arange(8)).flip(0))


def test_where_images_lie_is_told_of_what_was_decoded(tmp_path: Path) -> None:
    """A JPEG that was decoded at half its size lies where its whole size says, a cut photograph where the cut does."""
    ramp = np.tile(np.linspace(90, 250, 2696), (1797, 1)).astype(np.uint8)
    save(tmp_path / "large.jpg", ramp, quality=90)
    save(tmp_path / "eye.png", fundus(284, 428, 130, 142, 214))
    sources = [(tmp_path / name).read_bytes for name in ("large.jpg", "eye.png")]
    native = np.array([[2696, 1797], [428, 284]])
    plain = decode_images(sources, ["a", "b"], 224, False, "gray", ArrayCache(tmp_path), (), native)
    cut = decode_images(sources[1:], ["b"], 224, False, "gray", ArrayCache(tmp_path), ("circle-crop",), native[1:])
    assert plain.boxes is not None
    for (top, left, height, width), (wide, high) in zip(plain.boxes.tolist(), native.tolist(), strict=True):
        assert placed(high, wide, 224) == Placement(top, left, height, width)
    top, _, height, _ = plain.boxes[0].tolist()
    assert (plain.array[0, 0, top : top + height] > 60).all()
    assert not plain.array[0, 0, :top].any()
    assert not plain.array[0, 0, top + height :].any()
    assert cut.boxes is None  # the disc fills the square
    again = decode_images(sources, ["a", "b"], 224, False, "gray", ArrayCache(tmp_path), (), native)
    assert again.boxes is not None
    assert again.boxes.tolist() == plain.boxes.tolist()  # kept beside the pixels
