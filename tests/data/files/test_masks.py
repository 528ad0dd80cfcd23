"""What masks say: every way of writing one is read rightly, or refused by row with what to write."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image
from tests.worlds.files import SIDE, blob, labels, load, noise, save, small_set, spec_of

from assay.plugin import ArrayCache, DataError, DataSpec, FactorSpec, SpecError, load_dataset
from assay.spec.parse import parse_study

N = 8


def masked(folder: Path, masks: Mapping[int, np.ndarray | None] | None = None, **fields: Any) -> Path:
    """The small set with a column `mask`: blobs but where told otherwise; None is an empty cell."""
    given = {at: blob() for at in range(N)} | dict(masks or {})
    small_set(folder, extra={"mask": ["" if given[at] is None else f"m{at}.png" for at in range(N)]})
    for at, mask in given.items():
        if mask is not None:
            save(folder / f"m{at}.png", mask, **fields)
    return folder


def refused(folder: Path, **fields: Any) -> str:
    with pytest.raises(DataError) as caught:
        load(folder, mask="mask", **fields)
    return str(caught.value)


# --- one kind ---------------------------------------------------------------------------------------------------------


def test_the_target_is_whether_the_mask_shows_a_lesion(tmp_path: Path) -> None:
    empty = np.zeros((SIDE, SIDE), dtype=np.uint8)
    dataset = load(masked(tmp_path / "set", {2: empty, 5: empty}), target="lesion", mask="mask")
    assert dataset.table.classes == ("absent", "present")
    assert dataset.table.target.tolist() == [1, 1, 0, 1, 1, 0, 1, 1]
    factor = dataset.table.factor("lesion")
    assert (factor.levels, factor.high, factor.role) == (("absent", "present"), ("present",), "core")
    np.testing.assert_array_equal(dataset.table.columns["lesion"], dataset.table.target)
    assert dataset.masks is not None
    assert dataset.masks.kinds == ("lesion",)


def test_a_column_called_lesion_is_the_target_where_there_is_one(tmp_path: Path) -> None:
    words = ["naevus", "melanoma"] * 4
    folder = small_set(tmp_path / "set", extra={"mask": ["m.png"] * N, "lesion": words})
    save(folder / "m.png", blob())
    dataset = load(folder, target="lesion", mask="mask", positive=("melanoma",))
    assert dataset.table.classes == ("naevus", "melanoma")
    assert dataset.table.factors == ()


@pytest.mark.parametrize("words", [("absent", "present"), ("no", "yes"), ("0", "1")])
def test_a_column_that_says_lesion_or_none_is_the_target_and_a_factor(tmp_path: Path, words: tuple[str, str]) -> None:
    shown = [at % 2 for at in range(N)]
    masks = [f"m{at}.png" for at in shown]
    folder = small_set(tmp_path / "set", extra={"mask": masks, "lesion": [words[at] for at in shown]})
    for at in range(2):
        save(folder / f"m{at}.png", at * blob())
    table = load(folder, target="lesion", mask="mask").table
    assert table.classes == ("absent", "present")
    assert table.target.tolist() == table.columns["lesion"].tolist() == shown


@pytest.mark.parametrize("fields", [{"target": "lesion"}, {"factors": {"lesion": FactorSpec(kind="categorical")}}])
def test_a_column_of_absent_and_present_must_say_what_the_masks_show(tmp_path: Path, fields: dict[str, Any]) -> None:
    folder = small_set(
        tmp_path / "set",
        extra={"mask": [f"m{at % 2}.png" for at in range(N)], "lesion": ["absent", "present"] * 3 + ["present"] * 2},
    )
    save(folder / "m0.png", np.zeros((16, 16), np.uint8))
    save(folder / "m1.png", blob())
    assert refused(folder, **fields).splitlines()[-2] == (
        "  line 8 '6.png': it says present, and its mask shows no lesion; correct the column or the mask"
    )
    kept = load(folder, mask="mask", skip_bad_rows=True, **fields)
    assert len(kept.table) == N - 1


def test_another_target_leaves_the_factors_as_they_were(tmp_path: Path) -> None:
    dataset = load(masked(tmp_path / "set"), mask="mask")
    assert dataset.table.classes == ("not label", "label")
    assert dataset.table.factors == ()


def test_a_factor_cannot_take_the_masks_word(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"data\.factors\.lesion: that is what the masks say; give the factor another"):
        load(masked(tmp_path / "set"), target="lesion", mask="mask", factors={"lesion": FactorSpec(column="label")})


def test_jpeg_masks_are_cut_at_half_whatever_else_they_hold(tmp_path: Path) -> None:
    folder = masked(tmp_path / "set")
    for at in range(N):
        large = np.kron(blob() if at else 0 * blob(), np.ones((4, 4), dtype=np.uint8))
        save(folder / f"m{at}.png", large, format="JPEG", quality=75)
        save(folder / f"{at}.png", noise(at, side=64))
    stored = np.asarray(Image.open(folder / "m1.png"))
    assert {1, 254} & set(np.unique(stored).tolist())
    found = labels(load(folder, target="lesion", mask="mask"))
    assert not found[0].any()
    np.testing.assert_array_equal(found[1], blob() > 0)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ((100,), "it is a lossy file of values up to 100, none above half of the range; export it as PNG, black"),
        ((38,), "it is a lossy file of values up to 38, none above half"),
        ((120, 255), "it holds 120, 255, as if these were several kinds; export it as PNG with one number per kind"),
    ],
)
def test_a_jpeg_in_which_half_would_hide_a_lesion_is_refused(
    tmp_path: Path, values: tuple[int, ...], said: str
) -> None:
    folder = masked(tmp_path / "set")
    for at in range(N):
        drawn = np.zeros((64, 64), np.uint8)
        for place, value in enumerate(values if at == 3 else (255,)):
            drawn[8:24, 8 + 24 * place : 24 + 24 * place] = value
        save(folder / f"m{at}.png", drawn, format="JPEG", quality=95)
        save(folder / f"{at}.png", noise(at, side=64))
    with pytest.raises(DataError, match=re.escape(said)):
        load(folder, target="lesion", mask="mask")


def test_a_jpeg_saved_anew_as_png_is_read_like_one(tmp_path: Path) -> None:
    traces = blob().astype(np.int64)
    traces[:, ::3] += np.where(traces[:, ::3] > 0, -1, 1)
    traces[8:, :] += 3 * (traces[8:, :] < 9)
    np.testing.assert_array_equal(
        labels(load(masked(tmp_path / "set", {3: traces.astype(np.uint8)}), mask="mask"))[3], blob() > 0
    )


def test_smooth_edges_are_cut_at_half(tmp_path: Path) -> None:
    large = np.kron(blob(), np.ones((5, 5), dtype=np.uint8))
    smooth = np.asarray(Image.fromarray(large).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    assert len(np.unique(smooth)) > 4
    np.testing.assert_array_equal(labels(load(masked(tmp_path / "set", {0: smooth}), mask="mask"))[0], blob() > 0)


def _bytes(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def _palette(values: np.ndarray, colors: list[int]) -> bytes:
    image = Image.fromarray(values, mode="P")
    image.putpalette(colors)
    return _bytes(image)


WAYS: dict[str, Callable[[], bytes]] = {
    "RGB": lambda: _bytes(Image.fromarray(np.repeat(blob()[..., None], 3, axis=2))),
    "a red lesion": lambda: _bytes(Image.fromarray(np.stack([blob(), 0 * blob(), 0 * blob()], axis=2))),
    "RGBA": lambda: _bytes(Image.fromarray(np.dstack([blob()] * 3 + [0 * blob() + 255]))),
    "1 bit": lambda: _bytes(Image.fromarray(blob() > 0)),
    "16 bit": lambda: _bytes(Image.fromarray((blob() > 0).astype(np.uint16) * 65535)),
    "palette of 0 and 1": lambda: _palette(blob() // 255, [0, 0, 0, 128, 0, 0]),
    "palette of gray": lambda: _palette(blob() // 255 * 7, [value for at in range(8) for value in [at // 7 * 255] * 3]),
    "TIFF": lambda: _bytes(Image.fromarray(blob()), "TIFF"),
    "NIfTI": lambda: nibabel.Nifti1Image((blob().T // 255).astype(np.int16), np.diag([-1, -1, 1, 1.0])).to_bytes(),
}


@pytest.mark.parametrize("way", WAYS)
def test_one_mask_in_many_files_is_one_mask(tmp_path: Path, way: str) -> None:
    folder = masked(tmp_path / "set")
    (folder / "m3.png").write_bytes(WAYS[way]())
    np.testing.assert_array_equal(labels(load(folder, mask="mask"))[3], blob() > 0)


def test_an_inverted_set_is_warned_of_and_turned(tmp_path: Path) -> None:
    folder = masked(tmp_path / "set", {at: 255 - blob() for at in range(N)})
    told = (
        "lesions cover more than half of 8 of 8 images with a lesion; if they mark the background, write "
        "data.mask_inverted: true"
    )
    assert told in load(folder, mask="mask").card.known_faults
    turned = load(folder, mask="mask", mask_inverted=True)
    assert not any("cover over half" in fault for fault in turned.card.known_faults)
    np.testing.assert_array_equal(labels(turned), np.stack([blob() > 0] * N))


def test_images_without_a_lesion_do_not_hide_that_masks_are_inverted(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for at in range(20):
        save(folder / "images" / f"{at}.png", noise(at))
        if at < 10:
            save(folder / "masks" / f"{at}.png", 255 - blob())
    faults = load(folder, table="", unmasked="lesion-free").card.known_faults
    assert any("lesions cover more than half of 10 of 10 images with a lesion" in fault for fault in faults)
    assert "10 images without a mask count as free of lesions" in faults


def test_padding_does_not_hide_that_masks_are_inverted(tmp_path: Path) -> None:
    folder = masked(tmp_path / "set", {at: (255 - blob())[:8] for at in range(N)})
    for at in range(N):
        save(folder / f"{at}.png", noise(at)[:8])
    assert any("cover more than half of 8 of 8" in fault for fault in load(folder, mask="mask").card.known_faults)


def test_masks_of_which_none_shows_a_lesion_are_refused(tmp_path: Path) -> None:
    folder = masked(tmp_path / "set", {at: 0 * blob() for at in range(N)})
    assert refused(folder) == (
        "data.csv: none of 8 masks shows a lesion; check that data.mask names the right column, and say with "
        "data.mask_values what their values mean"
    )


def test_a_target_that_nobody_named_is_told_beside_masks(tmp_path: Path) -> None:
    folder = masked(tmp_path / "set")
    given = {
        "name": "own",
        "data": {"folder": str(folder), "mask": "mask", "size": 32},
        "environments": {"train": {}, "test": {}},
    }
    with pytest.raises(
        SpecError, match=r"no column 'malignant'\n.*with masks `target: lesion` is whether one shows any"
    ):
        parse_study({**given, "recipe": {"task": "segmentation", "epochs": 1}, "seeds": 1})


def test_ones_among_255s_are_not_guessed_at(tmp_path: Path) -> None:
    traces = np.zeros((SIDE, SIDE), dtype=np.uint8)
    traces[0, :4] = 1
    folder = masked(tmp_path / "set", {2: traces, 4: blob() // 255})
    assert refused(folder).splitlines()[:3] == [
        "2 bad lines in data.csv:",
        "  line 4 '2.png': its mask goes up to 1, those of other rows beyond: its 1s are lesions, or traces of a "
        "JPEG; write data.mask_values with every value that occurs, such as {1: lesion, 255: lesion}, or correct the "
        "file",
        "  line 6 '4.png': its mask goes up to 1, those of other rows beyond: its 1s are lesions, or traces of a "
        "JPEG; write data.mask_values with every value that occurs, such as {1: lesion, 255: lesion}, or correct the "
        "file",
    ]
    both = labels(load(folder, mask="mask", mask_values={1: "lesion", 255: "lesion"}))
    assert both.reshape(N, -1).sum(axis=1).tolist() == [36, 36, 4, 36, 36, 36, 36, 36]
    bright = labels(load(folder, mask="mask", mask_values={1: "background", 255: "lesion"}))
    assert bright.reshape(N, -1).sum(axis=1).tolist() == [36, 36, 0, 36, 0, 36, 36, 36]


def test_lesions_too_small_to_be_seen_are_counted(tmp_path: Path) -> None:
    speck = np.kron(blob(), np.ones((8, 8), dtype=np.uint8))
    speck[100, 100] = 255
    alone = np.zeros_like(speck)
    alone[50, 60] = 255
    folder = masked(tmp_path / "set", {at: (speck, alone)[at == 7] for at in range(N)})
    for at in range(N):
        save(folder / f"{at}.png", noise(at, side=128))
    dataset = load(folder, mask="mask")
    assert "7 images have lesions too small to be seen at 16 px: a larger size shows them" in dataset.card.known_faults
    assert labels(dataset)[7].sum() == 1  # the only lesion of an image is kept
    whole = load(folder, mask="mask", size=128)
    assert not any("too small" in fault for fault in whole.card.known_faults)
    np.testing.assert_array_equal(whole.native, np.full((N, 2), 128))


def test_native_sizes_stay_with_their_rows(tmp_path: Path) -> None:
    folder = masked(tmp_path / "set")
    save(folder / "3.png", noise(3, side=40)[:20])
    save(folder / "m3.png", np.kron(blob(), np.ones((3, 3), dtype=np.uint8))[:20, :40])
    (folder / "1.png").write_bytes(b"")
    dataset = load(folder, mask="mask", skip_bad_rows=True)
    assert dataset.native is not None
    assert dataset.native.tolist() == [[16, 16], [16, 16], [40, 20], [16, 16], [16, 16], [16, 16], [16, 16]]


# --- several kinds ----------------------------------------------------------------------------------------------------


def kinds() -> np.ndarray:
    """A polyp of 1 and an instrument of 2, of 36 and 16 px."""
    mask = blob() // 255
    mask[10:14, 8:12] = 2
    return mask


def test_values_with_names_become_labels_in_the_order_of_their_least_value(tmp_path: Path) -> None:
    folder = masked(tmp_path / "set", {at: kinds() if at else 0 * kinds() for at in range(N)})
    dataset = load(folder, target="lesion", mask="mask", mask_values={2: "instrument", 1: "polyp"})
    assert dataset.masks is not None
    assert dataset.masks.kinds == ("polyp", "instrument")
    np.testing.assert_array_equal(labels(dataset)[3], kinds())
    assert dataset.table.target.tolist() == [0, 1, 1, 1, 1, 1, 1, 1]
    assert "polyp in 7 images, instrument in 7 images" in dataset.card.summary
    one = load(folder, mask="mask", mask_values={1: "polyp", 2: "background"})
    assert one.masks is not None
    assert one.masks.kinds == ("polyp",)
    np.testing.assert_array_equal(labels(one)[3], blob() > 0)
    merged = load(folder, mask="mask", mask_values={1: "finding", 2: "finding"})
    np.testing.assert_array_equal(labels(merged)[3], kinds() > 0)


def test_names_change_what_is_read_and_not_what_was_kept(tmp_path: Path) -> None:
    folder = masked(tmp_path / "set", {at: kinds() for at in range(N)})
    cache = ArrayCache(tmp_path / "cache")
    specs = [{1: "a", 2: "b"}, {1: "a", 2: "background"}, {1: "a", 2: "b"}]
    loaded = [load_dataset(spec_of(folder, mask="mask", mask_values=values), cache) for values in specs]
    assert loaded[0].content == loaded[2].content != loaded[1].content


SEVERAL: dict[str, tuple[Callable[[], bytes], str]] = {
    "1 and 2": (
        lambda: _bytes(Image.fromarray(kinds())),
        "its values are 0 and 1, 2, none above half of the range; say what each value is, such as data.mask_values: "
        "{1: lesion, 2: other}",
    ),
    "100 and 255": (
        lambda: _bytes(Image.fromarray(np.array([0, 100, 255], dtype=np.uint8)[kinds()])),
        "it holds 100, 255, as if these were several kinds; say what each value is, such as data.mask_values: "
        "{100: lesion, 255: other}",
    ),
    "palette of three": (
        lambda: _palette(kinds(), [0, 0, 0, 255, 0, 0, 0, 255, 0]),
        "it shows lesions in 2 colors; export it as PNG with one number per kind",
    ),
    "two colors": (
        lambda: _bytes(Image.fromarray(np.array([[0] * 3, [255, 0, 0], [255, 255, 0]], dtype=np.uint8)[kinds()])),
        "it shows lesions in 2 colors; export it as PNG with one number per kind",
    ),
}


@pytest.mark.parametrize("kind", SEVERAL)
def test_several_kinds_without_names_are_refused_by_row(tmp_path: Path, kind: str) -> None:
    write, told = SEVERAL[kind]
    folder = masked(tmp_path / "set")
    (folder / "m3.png").write_bytes(write())
    assert refused(folder).splitlines()[1] == f"  line 5 '3.png': mask: {told}"


NUMBERED: dict[str, tuple[Callable[[], bytes], str]] = {
    "a value without a name": (
        lambda: _bytes(Image.fromarray(kinds() * 3)),
        "it holds 3, 6, which data.mask_values does not name; name it there, or write `3: background`",
    ),
    "JPEG": (
        lambda: _bytes(Image.fromarray(kinds()), "JPEG"),
        "it is a lossy file, in which the numbers of kinds are smeared; export it as PNG with one number per kind",
    ),
    "colors": (
        lambda: _bytes(Image.fromarray(np.stack([kinds(), 0 * kinds(), 0 * kinds()], axis=2))),
        "it is in colors, and data.mask_values names numbers; export it as PNG with one number per kind",
    ),
}


@pytest.mark.parametrize("kind", NUMBERED)
def test_files_without_the_numbers_that_were_named_are_refused_by_row(tmp_path: Path, kind: str) -> None:
    write, told = NUMBERED[kind]
    folder = masked(tmp_path / "set", {at: kinds() for at in range(N)})
    (folder / "m3.png").write_bytes(write())
    text = refused(folder, mask_values={1: "polyp", 2: "instrument"})
    assert text.splitlines()[1] == f"  line 5 '3.png': mask: {told}"


def test_indices_of_a_palette_and_equal_channels_are_numbers(tmp_path: Path) -> None:
    folder = masked(tmp_path / "set", {at: kinds() for at in range(N)})
    (folder / "m1.png").write_bytes(_palette(kinds(), [0, 0, 0, 255, 0, 0, 0, 255, 0]))
    (folder / "m2.png").write_bytes(_bytes(Image.fromarray(np.repeat(kinds()[..., None], 3, axis=2))))
    image = nibabel.Nifti1Image(kinds().T.astype(np.float64), np.diag([-1, -1, 1, 1.0]))  # as ITK saves a PNG
    (folder / "m3.png").write_bytes(image.to_bytes())
    found = labels(load(folder, mask="mask", mask_values={1: "polyp", 2: "instrument"}))
    for at in range(4):
        np.testing.assert_array_equal(found[at], kinds())


def test_names_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mask_values names no kind of lesion; name at least one"):
        DataSpec(folder="x", mask_values={1: "background"})
    with pytest.raises(ValueError, match="mask_inverted is for masks of one kind; mask_values says what every value"):
        DataSpec(folder="x", mask_values={1: "lesion"}, mask_inverted=True)


# --- images without a mask --------------------------------------------------------------------------------------------


def test_an_image_without_a_mask_is_never_guessed_at(tmp_path: Path) -> None:
    folder = masked(tmp_path / "set", {2: None, 5: None})
    asked = "data.csv: 2 of 8 images have no mask, such as '2.png', '5.png': do they show no lesion, or were they not"
    assert refused(folder, target="lesion").startswith(asked)
    with pytest.raises(DataError, match=re.escape(asked)):  # a question is no bad row
        load(folder, target="lesion", mask="mask", skip_bad_rows=True)
    free = load(folder, target="lesion", mask="mask", unmasked="lesion-free")
    assert free.table.target.tolist() == [1, 1, 0, 1, 1, 0, 1, 1]
    assert not labels(free)[2].any()
    left = load(folder, target="lesion", mask="mask", unmasked="leave-out")
    assert len(left.table) == 6
    assert "2 images without a mask were left out" in left.card.summary
    assert left.card.left_out == ()


@pytest.mark.parametrize("unmasked", ["lesion-free", "leave-out"])
def test_a_mask_that_is_named_and_missing_is_no_image_without_one(tmp_path: Path, unmasked: str) -> None:
    folder = masked(tmp_path / "set", {2: None})
    (folder / "m3.png").unlink()
    text = refused(folder, unmasked=unmasked)
    assert text.splitlines()[:2] == [
        "1 bad line in data.csv:",
        "  line 5 '3.png': mask: the file is missing; put it there, or take the row out of the table",
    ]


def test_stems_ask_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for at in range(6):
        save(folder / "images" / f"{at}.png", noise(at))
        if at != 4:
            save(folder / "masks" / f"{at}.png", blob())
    with pytest.raises(DataError, match=re.escape("1 of 6 images have no mask, such as 'images/4.png'")):
        load(folder, table="")
    assert load(folder, table="", unmasked="lesion-free").table.target.tolist() == [1, 1, 1, 1, 0, 1]
    assert len(load(folder, table="", unmasked="leave-out").table) == 5


def test_a_single_kind_that_is_named_among_values_is_one_kind(tmp_path: Path) -> None:
    """A spec of several classes that names one: a network has background and that kind, and nothing else changes."""
    dataset = load(masked(tmp_path / "set"), mask="mask", mask_values={255: "polyp"})
    assert dataset.masks is not None
    assert dataset.masks.kinds == ("polyp",)
    assert set(np.unique(labels(dataset))) == {0, 1}
    np.testing.assert_array_equal(labels(dataset), labels(load(masked(tmp_path / "other"), mask="mask")))
