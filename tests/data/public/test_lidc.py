"""LIDC-IDRI on a small tree of DICOM and XML: outlines, consensus, ratings, patches in mm, what cannot be used."""

from __future__ import annotations

import math
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from tests.worlds.files import age
from tests.worlds.public import (
    DrawnIntervention,
    hu,
    load,
    nodule,
    ring,
    slice_uid,
    targets,
    values,
    write_series,
    write_slice,
    xml,
)

from assay.data.splits import assign_folds
from assay.plugin import DataError, Dataset, SpecError

# 16 mm at 0.5 mm a pixel is 32 px: with size 32 a patch is the pixels themselves.
WHOLE: dict[str, Any] = {"field_mm": 16, "data": {"size": 32}}


def read(folder: Path, *readers: list[DrawnIntervention], **tags: object) -> Dataset:
    """The nodules of one series; those of mean malignancy 3 are left out."""
    write_series(folder / "set", 1, readers, **tags)
    return load("lidc", folder / "set", field_mm=16, data={"size": 64})


def outlined(*outlines: tuple[list[tuple[int, int]], bool], at: int = 1, **ratings: int) -> DrawnIntervention:
    return DrawnIntervention({at: outlines}, ratings)


def areas(dataset: Dataset) -> list[float]:
    """Of agreed pixels, of which each is four of a patch of 64."""
    assert dataset.masks is not None
    return [float(mask.sum()) / 4 for mask in dataset.masks.read(np.arange(len(dataset.table)))]


# --- outlines ---------------------------------------------------------------------------------------------------------

BOX = ring(20, 20, 7, 5)
CORNERS = [(19, 19), (27, 19), (27, 25), (19, 25)]
RHOMBUS = [(20, 16), (21, 17), (22, 18), (23, 19), (22, 20), (21, 21), (20, 22), (19, 21), (18, 20), (17, 19), (18, 18),
           (19, 17)]  # fmt: skip


@pytest.mark.parametrize(("outlines", "pixels"), [
    ([(BOX, True)], 35),  # the published convention: an outline's own pixels are not nodule
    ([(CORNERS, True)], 35),  # corners alone give the same pixels as the whole chain
    ([(CORNERS[::-1], True)], 35),
    ([(ring(20, 20, 7), True), (ring(23, 23, 1), False)], 49 - 9),  # a cavity is taken out with its outline
    ([(RHOMBUS, True)], 1 + 3 + 5 + 3 + 1),  # a chain whose pixels touch at corners only holds tight
])  # fmt: skip
def test_a_nodule_is_what_its_outlines_enclose(outlines: Any, pixels: int, tmp_path: Path) -> None:
    assert areas(read(tmp_path, [outlined(*outlines)])) == [pixels]


def test_the_box_of_an_outline_lies_where_it_was_drawn(tmp_path: Path) -> None:
    dataset = read(tmp_path, [outlined((BOX, True))])
    assert dataset.masks is not None
    rows, columns = np.nonzero(dataset.masks.read(np.array([0]))[0, 0].numpy())
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (
        27,
        36,
        25,
        38,
    )  # its middle is at 32


# --- consensus --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("starts", "pixels"), [
    ((20, 20, 22), 36),  # two of three agree on the first box alone
    ((20, 22), 36 + 12),  # one of two is half: the union
    ((20, 20, 22, 22), 36 + 12),
])  # fmt: skip
def test_at_least_half_of_the_readers_have_a_pixel_inside(starts: Any, pixels: int, tmp_path: Path) -> None:
    assert areas(read(tmp_path, *([nodule(x, 20, 6)] for x in starts))) == [pixels]


@pytest.mark.parametrize("turn", [1, -1])
def test_outlines_of_different_readers_that_share_pixels_are_one_nodule(turn: int, tmp_path: Path) -> None:
    readers = [[nodule(20 + reader, 20, 6)] for reader in range(4)]
    readers[0].append(nodule(50, 50, 5))
    assert values(read(tmp_path, *readers[::turn]), "readers") == [4, 1]


def test_no_reader_stands_in_a_nodule_twice(tmp_path: Path) -> None:
    """One reader drew two nodules, another a single one around both: it goes with the one that it overlaps most."""
    found = read(tmp_path, [nodule(10, 10, 4, margin=1), nodule(16, 10, 8, margin=2)], [nodule(9, 9, 16, margin=5)])
    assert values(found, "readers") == [1, 2]
    assert values(found, "margin") == [1, 3.5]


def test_nodules_over_one_another_are_told_apart_by_slice(tmp_path: Path) -> None:
    assert values(read(tmp_path, [nodule(9, 9, 4, (0,))], [nodule(9, 9, 4, (1,))]), "readers") == [1, 1]


@pytest.mark.parametrize(("spacing", "longest", "pixel"), [
    ([0.5, 0.5], math.hypot(3.5, 1.0), 0.5), ([0.5, 1.0], math.hypot(7.0, 1.0), 0.75)
])  # fmt: skip
def test_diameter_is_what_the_outline_encloses(
    spacing: list[float], longest: float, pixel: float, tmp_path: Path
) -> None:
    """A bar of 6 x 1 pixels: outline points lie 7 pixels across and 2 down, less a pixel."""
    found = read(tmp_path, [outlined((ring(20, 20, 6, 1), True))], PixelSpacing=spacing)
    assert values(found, "diameter_mm") == pytest.approx([longest - pixel])


def test_the_diameter_is_the_mean_of_its_readers(tmp_path: Path) -> None:
    found = read(tmp_path, *([outlined((ring(20, 20, wide, 1), True))] for wide in (6, 2)))
    assert values(found, "diameter_mm") == pytest.approx([(math.hypot(3.5, 1) + math.hypot(1.5, 1)) / 2 - 0.5])


def test_ratings_are_means_of_those_who_gave_them(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        [nodule(9, 9, 4, margin=5, calcification=6)],
        [nodule(9, 9, 4, margin=2, calcification=6)],
        [nodule(9, 9, 4, margin=0, calcification=3)],
    )
    assert values(found, "margin") == [3.5]  # a rating of 0 is none
    assert values(found, "calcified") == pytest.approx([1 / 3])


# --- XML --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("namespace", ["http://www.nih.gov", "http://www.nih.gov/other", ""])
def test_marks_of_three_millimeters_and_more_are_read(tmp_path: Path, namespace: str) -> None:
    small = DrawnIntervention({1: [([(30, 30)], True)]})  # a single point: under 3 mm
    unrated = DrawnIntervention({1: [(ring(50, 50, 4), True)]}, rated=False)
    readers = [[nodule(20, 20, 6, slices=(0, 1)), small, unrated], [nodule(50, 50, 4)]]
    folder = tmp_path / "set"
    place = write_series(folder, 1, readers)
    (place / "001.xml").write_text(xml("1.3.6.1.4.1.14519.1", readers, namespace))
    dataset = load("lidc", folder, **WHOLE)
    assert values(dataset, "readers") == [1, 1]
    assert values(dataset, "diameter_mm") == pytest.approx([5 / math.sqrt(2) - 0.5, 7 / math.sqrt(2) - 0.5])


@pytest.mark.parametrize(("old", "new", "message"), [
    ("</readingSession></LidcReadMessage>", "", "the XML is damaged or cut short; download it again"),
    ("<xCoord>19<", "<xCoord>left<", "the XML has no number for an outline"),
    ("<xCoord>19<", "<xCoord>-5<", "an outline leaves the image; download the XML again"),
    ("-102.5", "", "the XML has no number for a slice's position"),
    (".1</Series", "</Series", "the series that it reads is not there"),
    ("<SeriesInstanceUid>1.3.6.1.4.1.14519.1<", "<SeriesInstanceUid><",
     "the XML does not say which series it reads"),
])  # fmt: skip
def test_xml_that_cannot_be_used(old: str, new: str, message: str, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    path = write_series(folder, 1, [[nodule(20, 20, 6)]]) / "001.xml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(DataError, match=re.escape(message)):
        load("lidc", folder, **WHOLE)


# --- patches ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spacing", [[0.5, 0.5], [0.5, 1.0], [0.7, 0.7], [1.0, 0.5]])
def test_a_patch_is_as_wide_in_mm_whatever_the_spacing(spacing: list[float], tmp_path: Path) -> None:
    """A box of 6 x 6 pixels covers its share of a patch of 16 mm, around its middle."""
    dataset = read(tmp_path, [nodule(30, 30, 6)], PixelSpacing=spacing)
    assert dataset.masks is not None
    mask = dataset.masks.read(np.array([0]))[0, 0].numpy()
    assert mask.sum() * (16 / 64) ** 2 == pytest.approx(36 * spacing[0] * spacing[1], rel=0.1)
    assert all(abs(line.mean() - 31.5) < 1 for line in np.nonzero(mask))


def test_what_lies_beyond_the_slice_is_black(tmp_path: Path) -> None:
    image = read(tmp_path, [nodule(1, 1, 2)]).images.read(np.array([0]))[0, 0]  # its middle is 2 pixels from the corner
    assert not image[:27].any()
    assert not image[:, :27].any()
    assert bool((image[28:, 28:] > 0).all())


def test_a_small_lesion_does_not_vanish(tmp_path: Path) -> None:
    write_series(tmp_path / "set", 1, [[nodule(32, 32, 1)]])
    assert areas(load("lidc", tmp_path / "set", field_mm=128, data={"size": 32})) != [0]


# --- the set ----------------------------------------------------------------------------------------------------------


def tree(folder: Path) -> Path:
    """Two patients, one with two scans; nodules of mean malignancy 4, 1, 3 and 5."""
    write_series(
        folder,
        1,
        [
            [nodule(20, 20, 6, (0, 1), malignancy=5, margin=5, calcification=3)],
            [nodule(20, 20, 6, (1,), malignancy=4, margin=2)],
            [nodule(22, 20, 6, (1,), malignancy=3), nodule(40, 40, 5, (2,), malignancy=1)],
        ],
    )
    write_series(
        folder,
        2,
        [[nodule(20, 20, 6, malignancy=3)]],
        patient="LIDC-IDRI-0001",
        Manufacturer="SIEMENS",
        SliceThickness=1,
    )
    write_series(folder, 3, [[nodule(20, 20, 6, malignancy=5)]], ConvolutionKernel="", PixelSpacing=[0.5, 1.0])
    return folder


def test_nodules_become_rows(tmp_path: Path) -> None:
    dataset = load("lidc", tree(tmp_path / "set"), **WHOLE)
    assert dataset.table.classes == ("benign", "malignant")
    assert targets(dataset) == [0, 1, 1]  # slices run downwards, so the nodule of slice 2 comes first
    assert dataset.table.patient.tolist() == [0, 0, 1]
    assert values(dataset, "readers") == [1, 3, 1]
    assert values(dataset, "margin") == [4, pytest.approx((5 + 2 + 4) / 3), 4]
    assert values(dataset, "calcified") == [0, pytest.approx(1 / 3), 0]
    assert values(dataset, "diameter_mm")[:2] == pytest.approx([6 * math.sqrt(2) / 2 - 0.5, 7 * math.sqrt(2) / 2 - 0.5])
    assert values(dataset, "slice_thickness") == [2.5, 2.5, 2.5]
    assert values(dataset, "pixel_size") == [0.5, 0.5, 0.75]
    assert values(dataset, "manufacturer") == ["GE MEDICAL SYSTEMS"] * 3
    assert values(dataset, "kernel") == ["BONE", "BONE", "missing"]
    assert (dataset.scale.unit, dataset.scale.low, dataset.scale.high) == ("HU", -1000, 400)
    assert dataset.scale.mm_per_pixel == 0.5


def test_image_and_mask_are_those_of_the_slice(tmp_path: Path) -> None:
    """Entry 2 lies on slice 1, its agreed box at 20..25; centered on 23.0 the patch is rows and columns 7 to 38."""
    dataset = load("lidc", tree(tmp_path / "set"), **WHOLE)
    assert dataset.masks is not None
    expected = np.clip((hu(101)[7:39, 7:39] + 1000) / 1400, 0, 1)
    np.testing.assert_allclose(dataset.images.read(np.array([1]))[0, 0].numpy(), expected, atol=2e-5)
    box = np.zeros((32, 32), dtype=bool)
    box[13:19, 13:19] = True
    np.testing.assert_array_equal(dataset.masks.read(np.array([1]))[0, 0].numpy(), box)
    # Columns 1.0 mm apart: the six columns are twelve pixels of the patch.
    assert dataset.masks.read(np.array([2])).sum() == 6 * 12


def test_the_rules_are_stated_and_counted(tmp_path: Path) -> None:
    folder = tree(tmp_path / "set")
    card = load("lidc", folder, **WHOLE).card
    assert "1 nodules of mean malignancy 3 were left out" in card.summary
    assert "malignant over a mean malignancy of 3, benign under 3" in card.summary
    assert "patches of 16 mm" in card.summary
    assert "3 images of 2 patients: benign 1, malignant 2" in card.summary
    assert "2 nodules rest on a single reader" in card.known_faults
    assert "kernel is missing in 1 of 3 rows" in card.known_faults
    assert card.license == "CC BY 3.0"
    assert "LIDC-IDRI-0" not in repr(card)
    assert targets(load("lidc", folder, indeterminate="malignant", **WHOLE)) == [0, 1, 1, 1]
    middle = load("lidc", folder, indeterminate="benign", **WHOLE)
    assert targets(middle) == [0, 1, 0, 1]
    assert "exactly 3 is benign" in middle.card.summary
    assert middle.table.patient.tolist() == [0, 0, 0, 1]  # two scans of one patient
    few = load("lidc", folder, readers=2, **WHOLE)
    assert targets(few) == [1]
    assert "3 nodules outlined by fewer than 2 readers were left out" in few.card.summary


def test_where_chooses_nodules_by_any_column(tmp_path: Path) -> None:
    folder = tree(tmp_path / "set")
    data = {"size": 32, "where": {"malignancy": {"min": 4}}}
    assert targets(load("lidc", folder, field_mm=16, data=data)) == [1, 1]
    data = {"size": 32, "where": {"manufacturer": "SIEMENS"}}
    assert targets(load("lidc", folder, field_mm=16, indeterminate="benign", data=data)) == [0]
    with pytest.raises(SpecError, match=r"data\.where\.vendor: the table of nodules has no column 'vendor'"):
        load("lidc", folder, data={"where": {"vendor": "GE"}})


def test_xml_may_lie_in_a_tree_of_its_own_and_stand_twice(tmp_path: Path) -> None:
    folder = tree(tmp_path / "set")
    apart = folder / "tcia-lidc-xml" / "157"
    apart.mkdir(parents=True)
    for path in list(folder.glob("LIDC*/*/*/*.xml")):
        shutil.copy(path, apart)
    both = load("lidc", folder, **WHOLE)
    for path in list(folder.glob("LIDC*/*/*/*.xml")):
        path.unlink()
    assert load("lidc", folder, **WHOLE).content == both.content
    (apart / "cxr.xml").write_text('<IdriReadMessage xmlns="http://www.nih.gov/idri"/>')
    assert "1 XML files of another kind were skipped" in load("lidc", folder, **WHOLE).card.known_faults


def test_all_entries_that_cannot_be_used_at_once(tmp_path: Path) -> None:
    folder = tree(tmp_path / "set")
    places = {at: write_series(folder, at, [[nodule(20, 20, 6)]]) for at in range(4, 10)}
    (places[4] / "004.xml").write_text("<LidcReadMessage><Resp")
    for path in places[5].glob("*.dcm"):
        path.unlink()
    (places[6] / "1-002.dcm").unlink()
    write_slice(places[7] / "1-002.dcm", "1.3.6.1.4.1.14519.7", 1, "", hu(7))
    write_slice(places[8] / "1-002.dcm", "1.3.6.1.4.1.14519.8", 1, "LIDC-IDRI-0008", hu(8), PixelSpacing=None)
    slice_ = (places[9] / "1-002.dcm").read_bytes()
    (places[9] / "1-002.dcm").write_bytes(slice_[:3000])
    other = xml("1.3.6.1.4.1.14519.3", [[nodule(30, 30, 6)]])
    (folder / "z.xml").write_text(other)
    apart = [[nodule(10, 10, 3, (at,))] for at in range(3)]
    write_series(folder, 10, [[nodule(20, 20, 6)], *apart])
    with pytest.raises(DataError) as caught:
        load("lidc", folder, **WHOLE)
    text = str(caught.value)
    assert text.splitlines()[0] == "7 bad items in set/:"
    for what in (
        "the XML is damaged or cut short; download it again",
        "the series that it reads is not there; download the series, or take the XML out",
        "the slice that it is outlined on is not in its series; download the series whole",
        "its slice names no patient; download the series again",
        "its slice does not say its pixels' size; download the series again",
        "the slice is damaged or cut short; download the series again",
        "another XML reads the same series; keep the later release of the two",
    ):
        assert what in text, what
    kept = load("lidc", folder, skip_bad_rows=True, **WHOLE)
    assert len(kept.card.left_out) == 7
    assert not re.search(r"LIDC-IDRI-0\d|14519", repr((kept.card, kept.near_copies)))


@pytest.mark.parametrize("spacing", [b"0.5 ", b"wide\\0.5", b"\\ ", b"0.5\\0.5\\2 "])
def test_a_spacing_that_is_no_pair_of_numbers_is_none(tmp_path: Path, spacing: bytes) -> None:
    """As it lies in the file: what the header says is decoded only when it is asked for."""
    folder = tree(tmp_path / "set")
    path = write_series(folder, 4, [[nodule(20, 20, 6)]]) / "1-002.dcm"
    path.write_bytes(_with_spacing(path.read_bytes(), spacing))
    with pytest.raises(DataError, match="its slice does not say its pixels' size; download the series again"):
        load("lidc", folder, **WHOLE)
    assert len(load("lidc", folder, skip_bad_rows=True, **WHOLE).card.left_out) == 1


def _with_spacing(content: bytes, spacing: bytes) -> bytes:
    """A file of DICOM whose element (0028,0030), of explicit VR, holds these bytes."""
    start = content.index(b"\x28\x00\x30\x00DS") + 6
    length = int.from_bytes(content[start : start + 2], "little")
    return content[:start] + len(spacing).to_bytes(2, "little") + spacing + content[start + 2 + length :]


def test_readers_who_agree_on_no_pixel(tmp_path: Path) -> None:
    """Three outlines in a row that share their edges and nothing inside."""
    drawn = [[nodule(10, 10, 3)], [nodule(14, 10, 3)], [nodule(18, 10, 3)]]
    write_series(tmp_path / "set", 1, drawn)
    with pytest.raises(DataError, match="half of its readers agree on no pixel; leave it out, or ask for more readers"):
        load("lidc", tmp_path / "set", **WHOLE)


def test_a_folder_without_readers_xml(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    with pytest.raises(SpecError, match="set/ holds no XML of LIDC readers; give the folder of the set"):
        load("lidc", tmp_path / "set")
    with pytest.raises(ValueError, match="the window runs from 400 to -1000 HU; low must lie below high"):
        load("lidc", tmp_path / "set", low=400, high=-1000)
    write_series(tmp_path / "set", 1, [[nodule(20, 20, 6, malignancy=3)]])
    with pytest.raises(DataError, match=r"set gives no nodules; .* 1 nodules of mean malignancy 3 were left out"):
        load("lidc", tmp_path / "set")


def test_headers_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tree(tmp_path / "set")
    age(folder)
    before = load("lidc", folder, **WHOLE)

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a slice was read again")

    monkeypatch.setattr(pydicom, "dcmread", refuse)
    assert load("lidc", folder, **WHOLE).content == before.content


def test_all_of_a_patient_lies_on_one_side(tmp_path: Path) -> None:
    for at in range(1, 9):
        drawn = [nodule(20, 20, 6, (0,), malignancy=5), nodule(40, 40, 6, (2,), malignancy=1)]
        write_series(tmp_path / "set", at, [drawn], patient=f"LIDC-IDRI-{(at + 1) // 2:04d}")
    table = load("lidc", tmp_path / "set", **WHOLE).table
    folds = assign_folds(table, 4, 0)
    assert all(len(set(folds[table.patient == patient].tolist())) == 1 for patient in range(4))
    assert slice_uid("1", 2) == "1.2"
