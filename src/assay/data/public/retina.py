"""Public sets of retinal photographs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from assay.core.errors import SpecError
from assay.data.cards import OWN_PATIENT, KnownSet
from assay.data.dataset import Dataset
from assay.data.files.table import Table, Unreadable, number, read_table, shown
from assay.data.public.tables import Column, Part, Rows, Sides, TableSet, directory, finder, load_tables, place_of
from assay.data.retina_parameters import (
    GRADES,
    OEDEMA,
    DiaretdbParams,
    EyepacsParams,
    GradedParams,
    IdridParams,
    Messidor2Params,
)

# Photographs with a grade of diabetic retinopathy, 0 to 4: classes are all five, or two at a cut.

_EYE = re.compile(r"(.+)_(left|right)")
_UNGRADABLE = "ungradable"
_SCALE = "grades follow the international scale, by readers whose agreement is limited: see the makers' own figures"


def _sides(asked: GradedParams, table: Table) -> Sides:
    """The grades as classes, whether or not they occur. Ungradable photographs are left out and counted."""
    cells = table.column("grade", "data.dataset")
    numbers = [number(cell) for cell in cells]
    codes = np.array([int(one) if one is not None and str(int(one)) in GRADES and one == int(one) else -1
                      for one in numbers], dtype=np.int64)  # fmt: skip
    wrong = {
        at: (f"its grade is {shown(cell)}", "grades are 0, 1, 2, 3 and 4")
        for at, cell in enumerate(cells)
        if codes[at] < 0 and cell != _UNGRADABLE
    }
    out = cells.count(_UNGRADABLE)
    warnings = (f"{out} photographs that are ungradable are left out",) if out else ()
    if asked.cut is None:
        return Sides(codes, GRADES, ("classes are the grades 0 to 4",), warnings, wrong)
    two = np.where(codes < 0, -1, codes >= asked.cut).astype(np.int64)
    classes = (_span(0, asked.cut - 1), _span(asked.cut, 4))
    return Sides(two, classes, (f"grades {classes[1]} are positive, {classes[0]} negative",), warnings, wrong)


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


def _about(summary: str, licence: str, source: str, *faults: str) -> KnownSet:
    return KnownSet((), summary, licence, source, (_SCALE, *faults))


def _eye(part: int) -> Callable[[str], str]:
    """Patient (1) or eye (2) in a photograph's name."""
    return lambda name: found[part] if (found := _EYE.fullmatch(name)) else ""


EYEPACS: TableSet[GradedParams] = TableSet(
    title="EyePACS",
    about=_about(
        "both eyes' photographs of many cameras; the training part holds 35,126", "Kaggle's rules of the competition",
        "EyePACS (Kaggle 2015)", "one reader an image: labels are noisy", "many are dark, blurred or out of frame",
    ),
    params=EyepacsParams,
    parts=(Part(("trainLabels.csv",)),),
    columns={
        "image": Column("image"),
        "patient": Column("image", cell=_eye(1)),
        "grade": Column("level"),
        "eye": Column("image", cell=_eye(2)),
    },
    factors=EyepacsParams.FACTORS,
    sides=_sides,
)  # fmt: skip
APTOS: TableSet[GradedParams] = TableSet(
    title="APTOS 2019",
    about=_about(
        "photographs of Aravind's clinics; the training part holds 3,662", "Kaggle's rules of the competition",
        "APTOS 2019 (Kaggle)", "some stand in it twice, under other grades too",
        "size and framing tell the grade in part: cameras differ between clinics",
    ),
    params=GradedParams,
    parts=(Part(("train.csv",)),),
    columns={"image": Column("id_code"), "patient": Column("id_code"), "grade": Column("diagnosis")},
    sides=_sides,
    warnings=(OWN_PATIENT,),
)  # fmt: skip
IDRID: TableSet[GradedParams] = TableSet(
    title="IDRiD",
    about=_about(
        "516 photographs of one clinic and camera, 413 to train and 103 to test", "CC BY 4.0",
        "IDRiD (Porwal et al. 2018)", "more severe than a population: an eye clinic's patients",
    ),
    params=IdridParams,
    parts=tuple(
        Part(
            (f"2. Groundtruths/{letter}. IDRiD_Disease Grading_{word} Labels.csv",),
            split,
            f"1. Original Images/{letter}. {word} Set",
        )
        for letter, word, split in (("a", "Training", "train"), ("b", "Testing", "test"))
    ),
    columns={
        "image": Column("Image name"),
        "patient": Column("Image name"),
        "grade": Column("Retinopathy grade"),
        OEDEMA: Column("Risk of macular edema"),
    },
    factors=IdridParams.FACTORS,
    sides=_sides,
    below=("B. Disease Grading", "B.%20Disease%20Grading"),
    needed="2. Groundtruths",
    hint="give 'B. Disease Grading' as published",
    warnings=(OWN_PATIENT,),
)  # fmt: skip


# Messidor-2: grades by adjudication; the two eyes of a patient by the set's own list of pairs, where that is there.


def _paired(rows: Rows, root: Path, asked: GradedParams, skip_bad_rows: bool) -> Rows:
    """Name the patients by the list of pairs."""
    stems, grades = (rows.table.column(name, "data.dataset") for name in ("patient", "grade"))
    graded = [stem for stem, grade in zip(stems, grades, strict=True) if grade != _UNGRADABLE]
    pairs, cautions = _pairs(root, graded)
    return rows.with_column("patient", [pairs.get(stem, stem) for stem in stems], *cautions)


def _pairs(root: Path, stems: Sequence[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Stem of an image -> the stem of its patient's left one, or right one where there is no other, of
    `messidor-2.csv`, empty without it; and what to doubt.

    stems: of all photographs with a grade. Raises SpecError where the list names none of them: both eyes of every
    patient could then fall into different parts.
    """
    name = next((one for one in ("messidor-2.csv", "messidor-ground-truth.csv") if (root / one).is_file()), None)
    if name is None:
        return {}, (OWN_PATIENT,)
    read = read_table(root / name, "left")
    both = zip(Column("left").read(read), Column("right").read(read), strict=True)
    eyes = [tuple(Path(eye).stem.casefold() for eye in pair) for pair in both]
    pairs = {eye: left or right for left, right in eyes for eye in (left, right) if eye}
    unpaired = sum(stem not in pairs for stem in stems)
    if stems and unpaired == len(stems):
        raise SpecError(
            f"data.dataset.folder: {name} names none of the {len(stems):,} graded photographs of messidor_data.csv, so "
            "that nobody's two eyes are known; give the list of the same set, or remove it to count each as a patient"
        )
    share = f"{unpaired:,} of {len(stems):,} graded photographs"
    told = [f"{share} are in no pair of {name}: each counts as a patient of its own"]
    lost = [f"{len(read.problems):,} lines of {name} could not be read"]
    return pairs, (*(told if unpaired else ()), *(lost if read.problems else ()))


MESSIDOR2: TableSet[GradedParams] = TableSet(
    title="Messidor-2",
    about=_about(
        "1,748 photographs of 874 examinations, graded by adjudication", "for research, never to be passed on",
        "Messidor-2 (Decenciere et al. 2014), grades of Krause et al. 2018",
        "the two origins differ in look and severity",
    ),
    params=Messidor2Params,
    parts=(Part(("messidor_data.csv",)),),
    columns={
        "image": Column("image_id|id_code"),
        "patient": Column("image_id|id_code", cell=lambda name: Path(name).stem.casefold()),
        "grade": Column(
            "adjudicated_dr_grade|diagnosis",
            "adjudicated_gradable",
            joined=lambda cells: cells[0] if number(cells[1]) == 1 else _UNGRADABLE,
        ),
        OEDEMA: Column("adjudicated_dme"),
    },
    factors=Messidor2Params.FACTORS,
    sides=_sides,
    extend=_paired,
)  # fmt: skip
DDR: TableSet[GradedParams] = TableSet(
    title="DDR",
    about=_about(
        "13,673 photographs of 147 hospitals, of which 1,151 are ungradable", "for research",
        "DDR (Li et al. 2019)", "patients are not told",
    ),
    params=GradedParams,
    parts=tuple(
        Part((f"{part}.txt",), split, part, header=("name", "grade"))
        for part, split in (("train", "train"), ("valid", "validation"), ("test", "test"))
    ),
    columns={
        "image": Column("name"),
        "patient": Column("name"),
        "grade": Column("grade", cell=lambda grade: _UNGRADABLE if grade == "5" else grade),
    },
    sides=_sides,
    below=("DR_grading",),
    hint="give the folder DR_grading",
    warnings=(OWN_PATIENT,),
)  # fmt: skip

load_eyepacs: Callable[..., Dataset] = partial(load_tables, EYEPACS)
load_aptos: Callable[..., Dataset] = partial(load_tables, APTOS)
load_idrid: Callable[..., Dataset] = partial(load_tables, IDRID)
load_messidor2: Callable[..., Dataset] = partial(load_tables, MESSIDOR2)
load_ddr: Callable[..., Dataset] = partial(load_tables, DDR)


# DIARETDB1 (Kauppi et al. 2007): photographs of the retina with maps of where experts saw what; no grades.

_FOUND: Mapping[str, str] = {
    "exudates": "hardexudates",
    "cotton_wool": "softexudates",
    "haemorrhages": "hemorrhages",
    "microaneurysms": "redsmalldots",
}
"""Our word -> the folder of DIARETDB1's maps of it."""


def _marked(asked: DiaretdbParams, table: Table) -> Sides:
    """Positive are photographs in which enough of the experts marked the finding anywhere."""
    root = place_of(DIARETDB1, directory(asked.folder))
    maps = root / "ddb1_groundtruth" / _FOUND[asked.finding]
    if not maps.is_dir():
        raise SpecError(f"data.dataset.folder: ddb1_groundtruth/ has no folder '{maps.name}'; unpack the maps too")
    marked, codes = finder(maps, 0), np.zeros(len(table), dtype=np.int64)
    wrong: dict[int, tuple[str, str]] = {}
    for at, name in enumerate(table.column("image", "data.dataset")):
        try:
            codes[at] = _shows(marked(name), asked.agreement)
        except (Unreadable, OSError):
            what = f"its map of {asked.finding} is missing or cannot be read"
            wrong[at] = what, f"unpack ddb1_groundtruth/{maps.name}/ again"
    fact = f"positive where at least {asked.agreement:g} of the experts marked {asked.finding} anywhere"
    return Sides(codes, (f"no {asked.finding}", asked.finding), (fact,), (), wrong)


def _shows(path: Path, agreement: float) -> int:
    with Image.open(path) as file:
        return int(np.asarray(file.convert("L")).max() >= round(agreement * 255))


DIARETDB1 = TableSet(
    title="DIARETDB1",
    about=KnownSet(
        (),
        "89 photographs, 84 with at least mild retinopathy",
        "research and education",
        "DIARETDB1 (Kauppi et al. 2007)",
        ("few images, most of them ill",),
    ),
    params=DiaretdbParams,
    parts=(Part(("ddb1_fundusimages",), header=("name",)),),
    columns={"image": Column("name"), "patient": Column("name")},
    sides=_marked,
    split_files="no file",
    below=("images", "resources/images", "ddb1_v02_01/images"),
    needed="ddb1_fundusimages",
    hint="give the one that has it",
    find=lambda root: finder(root / "ddb1_fundusimages", 0),
    warnings=(OWN_PATIENT,),
)
load_diaretdb1: Callable[..., Dataset] = partial(load_tables, DIARETDB1)
