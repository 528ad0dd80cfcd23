"""Wrong files and rows: each is refused with its row, what is wrong and the remedy, or read rightly; all at once."""

from __future__ import annotations

import gzip
import io
import unicodedata
import zlib
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image
from tests.worlds.files import blob, load, noise, save, small_set, write_table

from assay.plugin import DataError, FactorSpec, SpecError


def _truncated_png(path: Path) -> None:
    save(path, noise(99, side=64))
    path.write_bytes(path.read_bytes()[:2000])


def _truncated_jpeg(path: Path) -> None:
    save(path, noise(99, side=64), format="JPEG")
    path.write_bytes(path.read_bytes()[:1500])


def _flipped_png(path: Path) -> None:
    save(path, noise(99, side=64))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))


def _gif(path: Path) -> None:
    frames = [Image.fromarray(noise(at)) for at in range(3)]
    frames[0].save(path, format="GIF", save_all=True, append_images=frames[1:])


def _tiff_stack(path: Path) -> None:
    tifffile.imwrite(path, np.stack([noise(at) for at in range(3)]), photometric="minisblack")


def _nan_tiff(path: Path) -> None:
    values = noise(99).astype(np.float32) / 255
    values[0, :3] = np.nan
    tifffile.imwrite(path, values)


def _wide_float_tiff(path: Path) -> None:
    tifffile.imwrite(path, noise(99).astype(np.float32) - 100)


def _signed_tiff(path: Path) -> None:
    tifffile.imwrite(path, noise(99).astype(np.int16) - 1000)


def _nifti(values: np.ndarray) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(gzip.compress(nibabel.Nifti1Image(values, np.eye(4)).to_bytes()))

    return write


def _nan_nifti(path: Path) -> None:
    values = noise(99).astype(np.float32)
    values[0, 0] = np.nan
    _nifti(values)(path)


def _bomb(path: Path) -> None:
    # A PNG header that claims 40,000 x 40,000 px: opening it must not allocate that.
    chunk = b"IHDR" + (40000).to_bytes(4, "big") * 2 + b"\x08\x00\x00\x00\x00"
    crc = zlib.crc32(chunk).to_bytes(4, "big")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + (13).to_bytes(4, "big") + chunk + crc + (9).to_bytes(4, "big") + b"IDAT")


def _large(path: Path) -> None:
    Image.new("1", (10000, 9000)).save(path, format="PNG")


FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated PNG": (_truncated_png, "the file is damaged or cut short (image file is truncated"),
    "truncated JPEG": (_truncated_jpeg, "the file is damaged or cut short (image file is truncated"),
    "PNG with a wrong byte": (_flipped_png, "the file is damaged or cut short ("),
    "empty": (lambda path: path.write_bytes(b""), "the file is empty; copy it again"),
    "text": (
        lambda path: path.write_text("a report"),
        "it is no PNG, JPEG, TIFF, DICOM, NIfTI, GIF, BMP or WebP image; export it as PNG",
    ),
    "start of a PNG": (
        lambda path: path.write_bytes(b"\x89PNG\r\n"),
        "the file is damaged or cut short (no image can be made of it); copy or export it again",
    ),
    "one pixel": (
        lambda path: save(path, noise(99, side=1), format="PNG"),
        "it is 1 x 1 px; an image needs at least 8 x 8 px",
    ),
    "GIF with three frames": (
        _gif,
        "it holds 3 frames; save the one frame that is meant as a file of its own",
    ),
    "TIFF with three pages": (_tiff_stack, "it holds 3 frames; save the one frame"),
    "NaN in a float TIFF": (
        _nan_tiff,
        "3 of its values are NaN or infinite; replace them, for example by the background",
    ),
    "float TIFF beyond 0..1": (
        _wide_float_tiff,
        "and what range is shown is not said; shift and scale them to 0 to 1",
    ),
    "negative 16-bit TIFF": (_signed_tiff, "is not said; shift and scale them to 0 to 65535"),
    "NaN in NIfTI": (_nan_nifti, "1 of its values are NaN or infinite"),
    "NIfTI volume": (
        _nifti(np.zeros((16, 16, 5), dtype=np.int16)),
        "it is a volume of 16 x 16 x 5; 3-D images are not supported yet; export one slice a file",
    ),
    "decompression bomb": (_bomb, "it is far too large for an image (a decompression bomb?); save a smaller version"),
    "very large": (_large, "it is 10000 x 9000 px, over 89,478,485; save a smaller version"),
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("kind", FILES)
def test_a_bad_file_is_refused_by_row_or_left_out(tmp_path: Path, kind: str) -> None:
    write, expected = FILES[kind]
    folder = small_set(tmp_path / "set")
    write(folder / "3.png")
    with pytest.raises(DataError) as caught:
        load(folder)
    text = str(caught.value)
    assert text.startswith("1 bad line in data.csv:\n  line 5 '3.png': ")
    assert expected in text
    assert text.endswith("\ncorrect them; run, preview and audit leave them out with --skip-bad-rows")
    dataset = load(folder, skip_bad_rows=True)
    assert len(dataset.table) == 7
    assert len(dataset.card.left_out) == 1
    assert dataset.card.left_out[0].startswith("line 5: ")
    assert "3.png" not in dataset.card.left_out[0]  # a file name may hold an identifier


def _rows(folder: Path, *changed: tuple[int, list[object]], extra: list[list[object]] | None = None) -> Path:
    """The small set with some lines of its table changed; line 2 is the first row."""
    small_set(folder)
    lines: list[list[object]] = [["image", "label"], *([f"{at}.png", at % 2] for at in range(8))]
    for number, cells in changed:
        lines[number - 1] = cells
    write_table(folder / "data.csv", [*lines, *(extra or [])])
    return folder


CELLS: dict[str, tuple[list[object], str]] = {
    "missing file": (
        ["9.png", 1],
        "line 4 '9.png': the file is missing; put it there, or take the row out of the table",
    ),
    "without its ending": (["2", 0], "line 4 '2': the file is missing; there is '2.png'; write the whole path"),
    "no name": (["", 1], "line 4 '': it names no image; name a file"),
    "missing label": (["2.png", ""], "line 4 '2.png': label is missing; label it"),
    "label NA": (["2.png", "NA"], "line 4 '2.png': label is missing ('NA', as in pandas); label it"),
    "climbing": (
        ["../set/2.png", 0],
        "line 4 '../set/2.png': its path climbs out of the folder; keep all images under set/",
    ),
    "climbing with backslashes": (["..\\set\\2.png", 0], "its path climbs out of the folder"),
    "absolute": (["/etc/hostname", 0], "line 4 '/etc/hostname': its path is absolute; give it relative to set/"),
    "absolute on Windows": (["C:\\x\\2.png", 0], "its path is absolute"),
    "a folder": (["", 1], "it names no image"),
    "too few cells": (["2.png"], "line 4 '2.png': it has 1 cells where the header has 2; fill it up"),
    "too many cells": (
        ["2.png", 0, "more"],
        "it has 3 cells where the header has 2; fill it up, or put text that holds the separator in double quotes",
    ),
    "name too long": (["x" * 5000, 0], f"line 4 '{'x' * 28}...{'x' * 28}': the file is missing"),
    "control characters": (["a\x1b[31m\u202eb.png", 0], "line 4 'a\\x1b[31m\\u202eb.png': the file is missing"),
}


@pytest.mark.parametrize("kind", CELLS)
def test_a_bad_row_is_refused_by_number(tmp_path: Path, kind: str) -> None:
    cells, expected = CELLS[kind]
    folder = _rows(tmp_path / "set", (4, cells))
    with pytest.raises(DataError) as caught:
        load(folder)
    assert str(caught.value).startswith("1 bad line in data.csv:\n")
    assert expected in str(caught.value)
    assert len(load(folder, skip_bad_rows=True).table) == 7


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    folder = small_set(tmp_path / "set")
    outside = save(tmp_path / "outside.png", noise(50))
    (folder / "2.png").unlink()
    (folder / "2.png").symlink_to(outside)
    with pytest.raises(DataError, match=r"line 4 '2\.png': its path leads out of the folder by a link; copy the file"):
        load(folder)
    assert len(load(folder, links="follow").table) == 8


def test_a_linked_folder_that_leads_out_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "elsewhere" / "2.png", noise(50))
    folder = _rows(tmp_path / "set", (4, ["linked/2.png", 0]))
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=r"its path leads out of the folder by a link"):
        load(folder)


def test_a_link_within_the_folder_is_fine(tmp_path: Path) -> None:
    folder = small_set(tmp_path / "set")
    (folder / "2.png").rename(folder / "real.png")
    (folder / "2.png").symlink_to(folder / "real.png")
    assert len(load(folder).table) == 8


def test_an_identical_row_is_refused_with_both_numbers(tmp_path: Path) -> None:
    folder = _rows(tmp_path / "set", extra=[["1.png", 1]])
    with pytest.raises(DataError, match=r"line 10 '1\.png': it says the same as line 3; keep one of them"):
        load(folder)


def test_a_copy_under_another_name_is_another_patients(tmp_path: Path) -> None:
    folder = small_set(tmp_path / "set")
    save(folder / "6.png", noise(2), compress_level=1)
    with pytest.raises(DataError) as caught:
        load(folder)
    assert (
        "line 8 '6.png': its pixels are those of line 4, which counts as another patient's; "
        "keep one of them, or give both the same patient"
    ) in str(caught.value)
    left = load(folder, skip_bad_rows=True)
    assert left.card.left_out == ("line 8: its pixels are those of line 4, which counts as another patient's",)


def test_copies_that_contradict_each_other_are_both_bad(tmp_path: Path) -> None:
    folder = small_set(tmp_path / "set")
    save(folder / "5.png", noise(2))
    left = load(folder, skip_bad_rows=True).card.left_out
    assert left == (
        "line 4: its pixels are those of line 7, which counts as another patient's under another label ('label' there, "
        "'not label' here)",
        "line 7: its pixels are those of line 4, which counts as another patient's under another label ("
        "'not label' there, 'label' here)",
    )


def test_a_copy_within_a_patient_is_fine(tmp_path: Path) -> None:
    folder = small_set(tmp_path / "set", extra={"who": ["a", "b", "c", "d", "e", "f", "c", "g"]})
    save(folder / "6.png", noise(2))
    assert len(load(folder, patient="who").table) == 8


def test_a_row_without_a_patient_is_bad(tmp_path: Path) -> None:
    folder = small_set(tmp_path / "set", extra={"who": ["a", "b", "", "d", "e", "f", "c", "g"]})
    with pytest.raises(DataError, match=r"line 4 '2\.png': who is missing; say whose image it is"):
        load(folder, patient="who")


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        (
            blob(side=12),
            "line 4 '2.png': its mask is 12 x 12 px, the image 16 x 16; export the mask at the image's size",
        ),
        (
            blob() // 255 * 2,
            "line 4 '2.png': mask: its values are 0 and 2, none above half of the range; say what each value is, such "
            "as data.mask_values: {2: lesion}",
        ),
        (None, "line 4 '2.png': mask: the file is missing"),
    ],
)
def test_a_bad_mask_is_refused(tmp_path: Path, mask: np.ndarray | None, expected: str) -> None:
    folder = small_set(tmp_path / "set", extra={"mask": [f"m{at}.png" for at in range(8)]})
    for at in range(8):
        save(folder / f"m{at}.png", blob())
    (folder / "m2.png").unlink()
    if mask is not None:
        save(folder / "m2.png", mask)
    with pytest.raises(DataError) as caught:
        load(folder, mask="mask")
    assert expected in str(caught.value)
    assert len(load(folder, mask="mask", skip_bad_rows=True).table) == 7


def test_lines_are_counted_as_an_editor_shows_them(tmp_path: Path) -> None:
    """The note of the first row holds a line break, so that the second row begins in line 4."""
    folder = small_set(tmp_path / "set")
    rows = [["image", "label", "note"], ["0.png", 0, '"two\nlines"'], ["1.png", "", ""], ["2.png", 1, ""]]
    write_table(folder / "data.csv", rows)
    with pytest.raises(DataError, match=r"line 4 '1\.png': label is missing; label it"):
        load(folder)


def test_all_that_is_wrong_with_a_line_is_told(tmp_path: Path) -> None:
    folder = small_set(tmp_path / "set")
    rows = [["image", "label", "age"], *([f"{at}.png", at % 2, 30 + at] for at in range(8)), ["gone.png", 1, "old"]]
    write_table(folder / "data.csv", rows)
    with pytest.raises(DataError) as caught:
        load(folder, factors={"age": FactorSpec(kind="continuous")})
    assert str(caught.value).splitlines()[:3] == [
        "1 bad line in data.csv:",
        "  line 10 'gone.png': the file is missing; put it there, or take the row out of the table",
        "  line 10 'gone.png': age is 'old', which is not a number; write a number or leave it empty, "
        "or make age categorical",
    ]
    dataset = load(folder, factors={"age": FactorSpec(kind="continuous")}, skip_bad_rows=True)
    assert dataset.card.left_out == ("line 10: the file is missing and age is 'old', which is not a number",)


def test_all_bad_rows_are_listed_at_once(tmp_path: Path) -> None:
    folder = _rows(tmp_path / "set", (3, ["1.png", ""]), (4, ["gone.png", ""]), (6, ["4.png"]))
    _truncated_png(folder / "5.png")
    (folder / "7.png").write_bytes(b"")
    with pytest.raises(DataError) as caught:
        load(folder)
    lines = str(caught.value).splitlines()
    assert lines[0] == "5 bad lines in data.csv:"
    assert [line.split(" '")[0] for line in lines[1:-1]] == [f"  line {n}" for n in (3, 4, 4, 6, 7, 9)]
    assert len(load(folder, skip_bad_rows=True).card.left_out) == 5


def test_twenty_bad_rows_are_shown_and_the_others_counted(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    save(folder / "0.png", noise(0))
    save(folder / "1.png", noise(1))
    rows = [["image", "label"], ["0.png", 0], ["1.png", 1], *([f"gone{at}.png", at % 2] for at in range(25))]
    write_table(folder / "data.csv", rows)
    with pytest.raises(DataError) as caught:
        load(folder)
    lines = str(caught.value).splitlines()
    assert lines[0] == "25 bad lines in data.csv:"
    assert len(lines) == 23
    assert lines[21] == "  and 5 more"


def test_a_set_of_bad_rows_only_is_refused_even_when_they_may_be_skipped(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    write_table(folder / "data.csv", [["image", "label"], ["0.png", 0], ["1.png", 1]])
    with pytest.raises(DataError, match="2 bad lines in "):
        load(folder, skip_bad_rows=True)


def test_markup_and_formulas_in_columns_stay_plain_text(tmp_path: Path) -> None:
    sites = ["<script>alert(1)</script>", "=HYPERLINK(1)", "@x", "+1", "a&b", '"q"', "a", "b"]
    folder = small_set(tmp_path / "set", extra={"site": [f'"{site.replace(chr(34), chr(34) * 2)}"' for site in sites]})
    table = load(folder, factors={"site": FactorSpec(kind="categorical")}).table
    factor = table.factor("site")
    assert [factor.text(value) for value in table.columns["site"]] == sites


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_with_spaces_and_unicode_in_either_normal_form(tmp_path: Path, form: str) -> None:
    folder = small_set(tmp_path / "set")
    on_disk = unicodedata.normalize("NFC" if form == "NFD" else "NFD", "Bild für Zoë 日本 <b>.png")
    (folder / "2.png").rename(folder / on_disk)
    rows: list[list[object]] = [["image", "label"], *([f"{at}.png", at % 2] for at in range(8))]
    rows[3][0] = unicodedata.normalize(form, on_disk)
    write_table(folder / "data.csv", rows)
    assert len(load(folder).table) == 8


def test_content_decides_whatever_the_name_says(tmp_path: Path) -> None:
    folder = small_set(tmp_path / "set")
    same = load(folder)
    buffer = io.BytesIO()
    Image.fromarray(noise(2)).save(buffer, format="TIFF")
    (folder / "2.png").write_bytes(buffer.getvalue())
    assert load(folder).content == same.content


def test_bad_files_of_a_class_folder_are_numbered_in_sorted_order(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for at in range(4):
        save(folder / ("no", "yes")[at % 2] / f"{at}.png", noise(at))
    (folder / "yes" / "1.png").write_bytes(b"")
    (folder / "yes" / "notes.txt").write_text("ignored")
    with pytest.raises(
        DataError, match=r"1 bad file in set/:\n  file 3 'yes/1\.png': the file is empty; copy it again"
    ):
        load(folder, folder="", classes=str(folder))
    card = load(folder, folder="", classes=str(folder), skip_bad_rows=True).card
    assert card.left_out == ("file 3: the file is empty",)
    assert "1 files without an image's extension were not looked at" in card.known_faults


def test_stems_without_a_partner_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for at in range(3):
        save(folder / "images" / f"{at}.png", noise(at))
        save(folder / "masks" / f"{at}.png", blob())
    (folder / "masks" / "1.png").rename(folder / "masks" / "9.png")
    save(folder / "masks" / "2.gif", blob())
    with pytest.raises(DataError, match=r"has 1 masks of no image, first 9\.png, while 1 images have no mask, first 1"):
        load(folder, table="", unmasked="lesion-free")
    with pytest.raises(DataError, match=r"file 3 'images/2\.png': 2 masks have its stem"):
        load(folder, table="", unmasked="lesion-free", unmatched="drop")
    read = load(folder, table="", unmasked="lesion-free", unmatched="drop", skip_bad_rows=True).card.read
    assert read["matched"] == "1 masks belong to no image"


def test_a_misnamed_mask_does_not_make_its_image_free_of_lesions(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for at in range(3):
        save(folder / "images" / f"{at}.png", noise(at))
        save(folder / "masks" / f"{at}.png", blob())
    (folder / "masks" / "1.png").rename(folder / "masks" / "1_mask.png")
    with pytest.raises(DataError) as caught:
        load(folder, table="", unmasked="lesion-free")
    assert str(caught.value).startswith(
        "masks/ has 1 masks of no image, first 1_mask.png, while 1 images have no mask, first 1: lesion-free images "
        "cannot be distinguished from misnamed ones; give a mask its image's stem, or take it away"
    )


def test_places_of_a_spec_that_are_not_there(tmp_path: Path) -> None:
    folder = small_set(tmp_path / "set")
    with pytest.raises(
        SpecError, match=r"data\.folder: '.*nowhere' does not exist \(looked for .*\); give an existing"
    ):
        load(tmp_path / "nowhere")
    with pytest.raises(SpecError, match=r"data\.table: set/ has no file 'tabel\.csv'; name its CSV"):
        load(folder, table="tabel.csv")
    with pytest.raises(SpecError, match=r"data\.folder: '.*0\.png' is a file; give the folder"):
        load(folder, folder=str(folder / "0.png"))
    with pytest.raises(SpecError, match=r"data\.folder: set/ has no folder images/; add it, or name a CSV"):
        load(folder, table="")
    with pytest.raises(SpecError, match=r"data\.target: data\.csv has no column 'lable': .*did you mean 'label'"):
        load(folder, target="lable")


def test_exactly_one_source_is_named(tmp_path: Path) -> None:
    folder = small_set(tmp_path / "set")
    with pytest.raises(SpecError, match="one of dataset, folder, classes, medmnist; given: folder, classes"):
        load(folder, classes=str(folder))


def test_the_assets_variable_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = small_set(tmp_path / "shared" / "assay" / "set")
    monkeypatch.delenv("ASSAY_ASSETS", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "shared"))
    assert len(load(folder, folder="${ASSAY_ASSETS}/set").table) == 8
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with pytest.raises(
        SpecError, match=r"data\.folder: the variable ASSAY_ASSETS is not set; set it to the folder that"
    ):
        load(folder, folder="${ASSAY_ASSETS}/set")
    with pytest.raises(SpecError, match="the variable NO_SUCH_PLACE is not set; set it, or write the path itself"):
        load(folder, folder="${NO_SUCH_PLACE}/set")
    monkeypatch.setenv("HOME", str(tmp_path / "shared"))
    assert len(load(folder, folder="~/assay/set").table) == 8
