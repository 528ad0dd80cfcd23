"""Public sets of graded retinal photographs, each on a small tree of its layout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.worlds.files import noise, save
from tests.worlds.public import load, spec_of, targets, values, write_csv

from assay.plugin import ArrayCache, DataError, Dataset, SpecError, load_dataset
from assay.spec.data import has_grades
from assay.testing.data import DatasetConformance

GRADES = (0, 2, 4, 1, 0, 2)  # no 3: it is a class all the same


def picture(path: Path, number: int) -> None:
    save(path, noise(number, side=24, channels=3))


def eyepacs(folder: Path) -> Path:
    """Three patients with both eyes, the images a folder below the table."""
    names = [f"{patient}_{eye}" for patient in (10, 13, 15) for eye in ("left", "right")]
    for number, name in enumerate(names):
        picture(folder / "train" / f"{name}.jpeg", number)
    write_csv(folder / "trainLabels.csv", [["image", "level"], *zip(names, GRADES, strict=True)])
    return folder


def aptos(folder: Path) -> Path:
    names = [f"{number:012x}" for number in range(1, 7)]
    for number, name in enumerate(names):
        picture(folder / "train_images" / f"{name}.png", number)
    write_csv(folder / "train.csv", [["id_code", "diagnosis"], *zip(names, GRADES, strict=True)])
    return folder


def idrid(folder: Path) -> Path:
    """The same names in both parts, headers with a space too many, and empty columns after."""
    base = folder / "B. Disease Grading"
    for letter, word, part in (("a", "Training", GRADES[:4]), ("b", "Testing", GRADES[4:])):
        rows = [[f"IDRiD_{at:03d}", grade, at % 3, "", ""] for at, grade in enumerate(part, start=1)]
        for number, row in enumerate(rows):
            picture(base / "1. Original Images" / f"{letter}. {word} Set" / f"{row[0]}.jpg", number + 40 * len(part))
        head = ["Image name", "Retinopathy grade", "Risk of  macular edema ", "", ""]
        write_csv(base / "2. Groundtruths" / f"{letter}. IDRiD_Disease Grading_{word} Labels.csv", [head, *rows])
    return folder


def messidor2(folder: Path, pairs: bool = True) -> Path:
    """Extensions in another case than in the table, one photograph that is not gradable, and the list of pairs."""
    names = [f"2005_{at}_PP.png" for at in range(4)] + [f"IM00{at}.jpg" for at in range(3)]
    rows = [[name, grade, 0, 1] for name, grade in zip(names[:6], GRADES, strict=True)]
    for number, name in enumerate(names):
        stem, _, ending = name.partition(".")
        picture(folder / "IMAGES" / (f"{stem}.{ending.upper()}" if ending == "jpg" else name), number)
    rows.append([names[6], "", "", 0])
    head = ["image_id", "adjudicated_dr_grade", "adjudicated_dme", "adjudicated_gradable"]
    write_csv(folder / "messidor_data.csv", [head, *rows])
    if pairs:
        both = [["left", "right"], [names[0], names[1]], [names[2], names[3]], [names[4], names[5]]]
        (folder / "messidor-2.csv").write_text("\n".join(";".join(pair) for pair in both))
    return folder


ERRATUM = "20051020_64007_0100_PP.tif"


def messidor(folder: Path) -> Path:
    """Two of the twelve bases, one with a folder of its own; a grade that the makers corrected from 1 to 3."""
    head = ["Image name", "Ophthalmologic department", "Retinopathy grade", "Risk of macular edema "]
    hospitals = ("Service Ophtalmologie Lariboisière", "LaTIM - CHU de BREST")
    names = [f"2005101{at}_38557_0100_PP.tif" for at in range(5)] + [ERRATUM]
    rows = [[name, hospitals[at % 2], (0, 2, 3, 1, 0, 1)[at], at % 3] for at, name in enumerate(names)]
    for base, part in (("Base12", rows[:3]), ("Base11", rows[3:])):
        for number, row in enumerate(part):
            picture(folder / base / str(row[0]), number + 10 * len(base) + 50 * (base == "Base11"))
        place = folder if base == "Base11" else folder / base
        write_csv(place / f"Annotation_{base}.csv", [head, *part])
    return folder


def ddr(folder: Path) -> Path:
    """Names that repeat between parts, and a grade 5."""
    parts = {"train": ["0", "2", "4", "5"], "valid": ["1"], "test": ["0", "2"]}
    for start, (part, grades) in enumerate(parts.items()):
        lines = [f"007-{at:04d}-000.jpg {grade}" for at, grade in enumerate(grades)]
        for at, line in enumerate(lines):
            picture(folder / "DR_grading" / part / line.split()[0], 100 * start + at)
        (folder / "DR_grading" / f"{part}.txt").write_text("\n".join(lines) + "\n")
    return folder


TREES: dict[str, Callable[[Path], Path]] = {
    "eyepacs": eyepacs, "aptos": aptos, "idrid": idrid, "messidor": messidor, "messidor2": messidor2, "ddr": ddr,
}  # fmt: skip


class _OfRetinas(DatasetConformance):
    __test__ = False
    name: str

    def make(self, folder: Path, cache: ArrayCache) -> Dataset:
        if not folder.exists():
            TREES[self.name](folder)
        return load_dataset(spec_of(self.name, folder), cache)


class TestEyepacs(_OfRetinas):
    __test__ = True
    name = "eyepacs"


class TestIdrid(_OfRetinas):
    __test__ = True
    name = "idrid"


class TestMessidor2(_OfRetinas):
    __test__ = True
    name = "messidor2"


class TestMessidor(_OfRetinas):
    __test__ = True
    name = "messidor"


@pytest.mark.parametrize("name", ["eyepacs", "aptos", "idrid", "messidor2", "ddr"])
def test_grades_are_five_classes_in_order_or_two_at_a_cut(name: str, tmp_path: Path) -> None:
    folder = TREES[name](tmp_path / name)
    dataset = load(name, folder)
    expected = [0, 2, 4, 1, 0, 2]
    assert targets(dataset) == expected
    assert dataset.table.classes == ("0", "1", "2", "3", "4")
    two = load(name, folder, cut=2)
    assert targets(two) == [int(grade >= 2) for grade in expected]
    assert two.table.classes == ("0-1", "2-4")
    assert has_grades(spec_of(name, folder))


def test_messidor_has_four_grades_of_its_own_and_the_makers_errata(tmp_path: Path) -> None:
    """Base11 comes first. Its last grade, 1 in the first annotations, is 3 by the errata."""
    dataset = load("messidor", messidor(tmp_path / "messidor"))
    assert targets(dataset) == [1, 0, 3, 0, 2, 3]
    assert dataset.table.classes == ("0", "1", "2", "3")
    assert targets(load("messidor", tmp_path / "messidor", cut=2)) == [0, 0, 1, 0, 1, 1]
    assert load("messidor", tmp_path / "messidor", cut=2).table.classes == ("0-1", "2-3")
    brest, paris = "LaTIM - CHU de BREST", "Service Ophtalmologie Lariboisière"
    assert values(dataset, "department") == [brest, paris, brest, paris, brest, paris]
    assert values(dataset, "macular_edema") == ["0", "1", "2", "0", "1", "2"]
    faults = dataset.card.known_faults
    for fault in (
        "1 of 4 grades were corrected as in the makers' errata of 2016",
        "the annotations of 2 of the 12 bases are there",
        "makers' errata: 13 photographs of Base33 are in it twice, two of them with two grades",
    ):
        assert fault in faults
    with pytest.raises(ValueError, match="cut"):
        spec_of("messidor", tmp_path / "messidor", cut=4)


def test_corrected_annotations_of_messidor_are_not_corrected_again(tmp_path: Path) -> None:
    folder = messidor(tmp_path / "messidor")
    table = folder / "Annotation_Base11.csv"
    text = table.read_text(encoding="utf-8")
    table.write_text(text.replace("BREST,1,2", "BREST,3,2").replace("Lariboisière,1,2", "Lariboisière,3,2"), "utf-8")
    dataset = load("messidor", folder)
    assert targets(dataset) == [1, 0, 3, 0, 2, 3]
    assert not any("were corrected as in" in fault for fault in dataset.card.known_faults)


def test_annotations_of_messidor_that_are_xls_alone_are_refused_with_the_way_out(tmp_path: Path) -> None:
    folder = messidor(tmp_path / "messidor")
    (folder / "Annotation_Base11.xls").write_bytes(b"beside its CSV")
    assert len(load("messidor", folder).table) == 6
    (folder / "Base34").mkdir()
    for name in ("Annotation_Base13.xls", "Base34/Annotation Base34.xls"):
        (folder / name).write_bytes(b"xls")
    with pytest.raises(SpecError, match=r"has Annotation_Base13\.xls and 1 more without a CSV .* save it as CSV"):
        load("messidor", folder)


def test_the_two_eyes_of_a_patient_are_one_patient(tmp_path: Path) -> None:
    for name in ("eyepacs", "messidor2"):
        assert load(name, TREES[name](tmp_path / name)).table.patient.tolist() == [0, 0, 1, 1, 2, 2]
    assert values(load("eyepacs", tmp_path / "eyepacs"), "eye") == ["left", "right"] * 3
    alone = load("messidor2", messidor2(tmp_path / "alone", pairs=False))
    assert len(set(alone.table.patient.tolist())) == 6
    assert any("every image counts as a patient of its own" in fault for fault in alone.card.known_faults)


def test_photographs_that_the_list_of_pairs_leaves_out_are_told_and_a_list_of_others_is_refused(tmp_path: Path) -> None:
    folder = messidor2(tmp_path / "messidor2")
    assert not any("in no pair" in fault for fault in load("messidor2", folder).card.known_faults)
    (folder / "messidor-2.csv").write_text("left;right\n2005_0_PP.png;2005_1_PP.png\n")
    faults = load("messidor2", folder).card.known_faults
    assert "4 of 6 graded photographs are in no pair of messidor-2.csv: each counts as a patient of its own" in faults
    (folder / "messidor-2.csv").write_text("left;right\nx.png;y.png\n")
    with pytest.raises(SpecError, match=r"messidor-2\.csv names none of the 6 graded photographs of messidor_data"):
        load("messidor2", folder)


def test_ungradable_photographs_are_left_out_and_counted(tmp_path: Path) -> None:
    for name in ("messidor2", "ddr"):
        dataset = load(name, TREES[name](tmp_path / name))
        assert len(dataset.table) == 6
        assert "1 photographs that are ungradable are left out" in " ".join(dataset.card.known_faults)


def test_the_makers_split_is_a_factor_and_divides_where_it_is_asked_for(tmp_path: Path) -> None:
    assert values(load("idrid", idrid(tmp_path / "idrid")), "split") == ["train"] * 4 + ["test"] * 2
    assert values(load("ddr", ddr(tmp_path / "ddr")), "split") == ["train"] * 3 + ["validation"] + ["test"] * 2
    assert values(load("idrid", tmp_path / "idrid"), "macular_edema") == ["1", "2", "0", "1", "1", "2"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("eyepacs", "has no file 'trainLabels.csv'; give the folder that holds it"),
        ("idrid", "has no folder '2. Groundtruths'; give 'B. Disease Grading' as published"),
        ("messidor", "has no file 'Annotation_Base11.csv'; give the folder that holds the annotations of Base11"),
        ("ddr", "has no file 'train.txt'; give the folder DR_grading"),
    ],
)
def test_another_folder_is_refused(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SpecError, match=text):
        load(name, tmp_path / "empty")


def test_bad_rows_are_told_together(tmp_path: Path) -> None:
    folder = aptos(tmp_path / "aptos")
    (folder / "train_images" / "000000000002.png").unlink()
    rows = [
        ["id_code", "diagnosis"],
        *([f"{number:012x}", grade] for number, grade in enumerate((0, 2, 7, 1, "", 2), 1)),
    ]
    write_csv(folder / "train.csv", rows)
    with pytest.raises(DataError) as told:
        load("aptos", folder)
    for text in ("its grade is '7'; grades are 0, 1, 2, 3 and 4", "its grade is ''", "the file is missing"):
        assert text in str(told.value)


def test_preprocessing_is_of_images_without_masks(tmp_path: Path) -> None:
    folder = aptos(tmp_path / "aptos")
    plain, cut = (load("aptos", folder, data={"preprocessing": how}) for how in ([], ["circle-crop", "ben-graham"]))
    assert plain.content != cut.content
    for data, text in (
        ({"preprocessing": ["ben-graham"]}, "ben-graham needs the circle that circle-crop finds"),
        ({"preprocessing": ["circle-crop"], "pixel_size": "mm"}, "masks and mm per pixel would not follow"),
    ):
        with pytest.raises(ValueError, match=text):
            spec_of("aptos", folder, data)
    for at in range(4):
        save(tmp_path / "k" / "images" / f"{at}.png", noise(at, side=24, channels=3))
        save(
            tmp_path / "k" / "masks" / f"{at}.png",
            np.kron(np.eye(2, dtype=np.uint8) * 255, np.ones((12, 12), np.uint8)),
        )
    with pytest.raises(SpecError, match="the masks of these would not follow; leave it out"):
        load("kvasir-seg", tmp_path / "k", data={"preprocessing": ["circle-crop"]})


def test_names_are_found_in_whatever_case_and_depth(tmp_path: Path) -> None:
    folder = messidor2(tmp_path / "messidor2")
    (folder / "IMAGES" / "2005_0_PP.png").rename(folder / "2005_0_pp.PNG")
    assert Image.open(folder / "2005_0_pp.PNG").size == (24, 24)
    found: Any = load("messidor2", folder)
    assert targets(found) == [0, 2, 4, 1, 0, 2]
