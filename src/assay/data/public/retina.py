"""Public sets of retinal photographs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from PIL import Image
from pydantic import Field

from assay.core.errors import SpecError
from assay.core.registry import Role, component
from assay.core.traits import DataTraits
from assay.core.types import Factor
from assay.data.cache import ArrayCache
from assay.data.cards import OWN_PATIENT
from assay.data.dataset import Dataset
from assay.data.files.table import Table, Unreadable, number, read_table, shown
from assay.data.public.sets import SETS
from assay.data.public.tables import (
    Column,
    Part,
    Rows,
    Sides,
    TableSet,
    directory,
    finder,
    found_in,
    load_tables,
    place_of,
)
from assay.spec.schema import DataSpec

# Arguments and factors.

GRADES = ("0", "1", "2", "3", "4")
EYE = Factor("eye", "categorical", levels=("left", "right"), high=("right",), description="as the file's name says")
EDEMA = "macular_edema"
MESSIDOR_GRADES = GRADES[:4]
DEPARTMENT = "department"
IDRID_FACTORS = (Factor(EDEMA, "ordinal", levels=("0", "1", "2"), description="risk of macular edema"),)
MESSIDOR2_FACTORS = (
    Factor(EDEMA, "categorical", levels=("0", "1"), high=("1",), description="adjudicated macular edema"),
)
MESSIDOR_FACTORS = (
    Factor(DEPARTMENT, "categorical", description="the hospital that took the photograph"),
    Factor(EDEMA, "ordinal", levels=("0", "1", "2"), description="risk of macular edema"),
)


@dataclass(frozen=True, kw_only=True)
class GradedArguments:
    """Arguments of a set with a grade of diabetic retinopathy, 0 to 4, for each photograph."""

    folder: Annotated[
        str, Role("folder"), Field(min_length=1, description="the folder that holds the table and the images")
    ]
    cut: Annotated[
        Annotated[int, Field(ge=1, le=4)] | None,
        Field(description="two classes in the place of five: grades below it, and from it on (2: referable)"),
    ] = None


@dataclass(frozen=True, kw_only=True)
class MessidorArguments:
    """Arguments of `messidor`, whose grades are 0 to 3."""

    folder: Annotated[
        str,
        Role("folder"),
        Field(min_length=1, description="the folder that holds the images and Annotation_BaseNN.xls, saved as CSV"),
    ]
    cut: Annotated[
        Annotated[int, Field(ge=1, le=3)] | None,
        Field(description="two classes in the place of four: grades below it, and from it on (2: referable)"),
    ] = None


@dataclass(frozen=True, kw_only=True)
class DiaretdbArguments:
    """Arguments of `diaretdb1`: which finding a photograph shows or not."""

    folder: Annotated[
        str,
        Role("folder"),
        Field(min_length=1, description="the folder that holds ddb1_fundusimages and ddb1_groundtruth"),
    ]
    finding: Annotated[
        Literal["exudates", "cotton_wool", "hemorrhages", "microaneurysms"],
        Field(description="which kind of lesion makes the positive class"),
    ] = "exudates"
    agreement: Annotated[float, Field(gt=0, le=1, description="share of the four experts that any place needs")] = 0.75


# Photographs with a grade of diabetic retinopathy: classes are all grades, or two at a cut.

_EYE = re.compile(r"(.+)_(left|right)")
_UNGRADABLE = "ungradable"


def _sides(asked: GradedArguments | MessidorArguments, table: Table) -> Sides:
    """Return the grades as classes, whether or not they occur. Ungradable photographs are left out and counted."""
    grades = MESSIDOR_GRADES if isinstance(asked, MessidorArguments) else GRADES
    last = len(grades) - 1
    cells = table.column("grade", "data.dataset")
    numbers = [number(cell) for cell in cells]
    codes = np.array([int(one) if one is not None and str(int(one)) in grades and one == int(one) else -1
                      for one in numbers], dtype=np.int64)  # fmt: skip
    wrong = {
        at: (f"its grade is {shown(cell)}", f"grades are {', '.join(grades[:-1])} and {last}")
        for at, cell in enumerate(cells)
        if codes[at] < 0 and cell != _UNGRADABLE
    }
    out = cells.count(_UNGRADABLE)
    warnings = (f"{out} photographs that are ungradable are left out",) if out else ()
    if asked.cut is None:
        return Sides(codes, grades, (f"classes are the grades 0 to {last}",), warnings, wrong)
    two = np.where(codes < 0, -1, codes >= asked.cut).astype(np.int64)
    classes = (_span(0, asked.cut - 1), _span(asked.cut, last))
    return Sides(two, classes, (f"grades {classes[1]} are positive, {classes[0]} negative",), warnings, wrong)


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


def _eye(part: int) -> Callable[[str], str]:
    """Patient (1) or eye (2) in a photograph's name."""
    return lambda name: found[part] if (found := _EYE.fullmatch(name)) else ""


EYEPACS: TableSet[GradedArguments] = TableSet(
    title="EyePACS",
    about=SETS["eyepacs"],
    parts=(Part(("trainLabels.csv",)),),
    columns={
        "image": Column("image"),
        "patient": Column("image", cell=_eye(1)),
        "grade": Column("level"),
        "eye": Column("image", cell=_eye(2)),
    },
    factors=(EYE,),
    sides=_sides,
)
APTOS: TableSet[GradedArguments] = TableSet(
    title="APTOS 2019",
    about=SETS["aptos"],
    parts=(Part(("train.csv",)),),
    columns={"image": Column("id_code"), "patient": Column("id_code"), "grade": Column("diagnosis")},
    sides=_sides,
    warnings=(OWN_PATIENT,),
)
IDRID: TableSet[GradedArguments] = TableSet(
    title="IDRiD",
    about=SETS["idrid"],
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
        EDEMA: Column("Risk of macular edema"),
    },
    factors=IDRID_FACTORS,
    sides=_sides,
    below=("B. Disease Grading", "B.%20Disease%20Grading"),
    needed="2. Groundtruths",
    hint="give 'B. Disease Grading' as published",
    warnings=(OWN_PATIENT,),
)


# Messidor-2: grades by adjudication; the two eyes of a patient by the set's own list of pairs, where that is there.


def _paired(rows: Rows, root: Path, asked: GradedArguments, skip_bad_rows: bool) -> Rows:
    """Name the patients by the list of pairs."""
    stems, grades = (rows.table.column(name, "data.dataset") for name in ("patient", "grade"))
    graded = [stem for stem, grade in zip(stems, grades, strict=True) if grade != _UNGRADABLE]
    pairs, cautions = _pairs(root, graded)
    return rows.with_column("patient", [pairs.get(stem, stem) for stem in stems], *cautions)


def _pairs(root: Path, stems: Sequence[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Pair the eyes of patients by `messidor-2.csv`.

    Args:
        stems: Of all photographs with a grade.

    Returns:
        Stem of an image -> the stem of its patient's left one, or right one where there is no other; empty without the
        file. And the doubts about it.

    Raises:
        SpecError: The list names none of the stems: both eyes of every patient could then fall into different parts.
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


MESSIDOR2: TableSet[GradedArguments] = TableSet(
    title="Messidor-2",
    about=SETS["messidor2"],
    parts=(Part(("messidor_data.csv",)),),
    columns={
        "image": Column("image_id|id_code"),
        "patient": Column("image_id|id_code", cell=lambda name: Path(name).stem.casefold()),
        "grade": Column(
            "adjudicated_dr_grade|diagnosis",
            "adjudicated_gradable",
            joined=lambda cells: cells[0] if number(cells[1]) == 1 else _UNGRADABLE,
        ),
        EDEMA: Column("adjudicated_dme"),
    },
    factors=MESSIDOR2_FACTORS,
    sides=_sides,
    extend=_paired,
)


# Messidor (the first): twelve bases of three hospitals, whose annotations are published as .xls.

_BASES = tuple(f"Base{hospital}{part}" for hospital in (1, 2, 3) for part in (1, 2, 3, 4))
_CORRECTED: Mapping[str, tuple[str, str]] = {
    "20051020_63045_0100_pp": ("3", "0"),
    "20051020_64007_0100_pp": ("1", "3"),
    "20051020_63936_0100_pp": ("3", "1"),
    "20060523_48477_0100_pp": ("2", "3"),
}
"""Image -> its grade in the first annotations, and the one of the makers' errata of 2016."""


def _annotations(base: str, ending: str) -> tuple[str, ...]:
    """Return names of the table of a base, whether or not each base has a folder of its own."""
    names = f"Annotation_{base}.{ending}", f"Annotation {base}.{ending}"
    return *names, *(f"{base}/{name}" for name in names)


def _saved_as_csv(asked: MessidorArguments) -> None:
    """Refuse annotations that are there as .xls alone.

    Raises:
        SpecError: At least one is.
    """
    root = directory(asked.folder)
    tables = [(found_in(root, _annotations(base, "xls")), found_in(root, _annotations(base, "csv"))) for base in _BASES]
    unread = [xls.name for xls, csv in tables if xls and not csv]
    if unread:
        more = f" and {len(unread) - 1} more" if len(unread) > 1 else ""
        raise SpecError(
            f"data.dataset.folder: Assay reads no .xls, and {root.name}/ has {unread[0]}{more} without a CSV of that "
            "name: open each in a spreadsheet program and save it as CSV (UTF-8) where it is, or run "
            "`libreoffice --headless --convert-to csv` on it there"
        )


def _corrected(rows: Rows, root: Path, asked: MessidorArguments, skip_bad_rows: bool) -> Rows:
    """Correct the four grades of the makers' errata where the first ones still stand, and count the bases."""
    names, grades = (rows.table.column(name, "data.dataset") for name in ("image", "grade"))
    errata = [_CORRECTED.get(Path(name).stem.casefold(), ("", "")) for name in names]
    corrected = [new if new and grade == old else grade for grade, (old, new) in zip(grades, errata, strict=True)]
    count = sum(before != after for before, after in zip(grades, corrected, strict=True))
    there = sum(found_in(root, _annotations(base, "csv")) is not None for base in _BASES)
    notes = (
        *([f"{count} of 4 grades were corrected as in the makers' errata of 2016"] if count else []),
        *([f"the annotations of {there} of the 12 bases are there"] if there < len(_BASES) else []),
    )
    named = replace(rows, table=replace(rows.table, name="the annotations, numbered on from base to base"))
    return named.with_column("grade", corrected, *notes)


MESSIDOR: TableSet[MessidorArguments] = TableSet(
    title="Messidor",
    about=SETS["messidor"],
    parts=tuple(Part(_annotations(base, "csv")) for base in _BASES),
    columns={
        "image": Column("Image name"),
        "patient": Column("Image name"),
        "grade": Column("Retinopathy grade"),
        DEPARTMENT: Column("Ophthalmologic department"),
        EDEMA: Column("Risk of macular edema"),
    },
    factors=MESSIDOR_FACTORS,
    sides=_sides,
    check=_saved_as_csv,
    hint="give the folder that holds the annotations of Base11 to Base34, saved as CSV, and the images",
    extend=_corrected,
    warnings=(OWN_PATIENT,),
)
DDR: TableSet[GradedArguments] = TableSet(
    title="DDR",
    about=SETS["ddr"],
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
)


@component(
    "dataset",
    "eyepacs",
    DataTraits(factors=(EYE,), ordered=True),
    summary="EyePACS: trainLabels.csv, <n>_left.jpeg and <n>_right.jpeg of patient n, grade 0 to 4",
)
def load_eyepacs(spec: DataSpec, cache: ArrayCache, skip_bad_rows: bool, *, asked: GradedArguments) -> Dataset:
    """Load EyePACS; see `load_tables`."""
    return load_tables(EYEPACS, spec, cache, skip_bad_rows, asked)


@component(
    "dataset",
    "aptos",
    DataTraits(factors=(), ordered=True),
    summary="APTOS 2019: train.csv with id_code and diagnosis, grades 0 to 4",
)
def load_aptos(spec: DataSpec, cache: ArrayCache, skip_bad_rows: bool, *, asked: GradedArguments) -> Dataset:
    """Load APTOS 2019; see `load_tables`."""
    return load_tables(APTOS, spec, cache, skip_bad_rows, asked)


@component(
    "dataset",
    "idrid",
    DataTraits(factors=IDRID_FACTORS, ordered=True),
    summary="IDRiD, disease grading: grades 0 to 4 and macular edema, the makers' split as a factor",
)
def load_idrid(spec: DataSpec, cache: ArrayCache, skip_bad_rows: bool, *, asked: GradedArguments) -> Dataset:
    """Load the grades of IDRiD; see `load_tables`."""
    return load_tables(IDRID, spec, cache, skip_bad_rows, asked)


@component(
    "dataset",
    "messidor2",
    DataTraits(factors=MESSIDOR2_FACTORS, ordered=True),
    summary="Messidor-2, messidor_data.csv: adjudicated grades 0 to 4 of the gradable images",
)
def load_messidor2(spec: DataSpec, cache: ArrayCache, skip_bad_rows: bool, *, asked: GradedArguments) -> Dataset:
    """Load Messidor-2; see `load_tables`."""
    return load_tables(MESSIDOR2, spec, cache, skip_bad_rows, asked)


@component(
    "dataset",
    "messidor",
    DataTraits(factors=MESSIDOR_FACTORS, ordered=True),
    summary="Messidor-1, Annotation_BaseNN saved as CSV: the makers' grades 0 to 3",
)
def load_messidor(spec: DataSpec, cache: ArrayCache, skip_bad_rows: bool, *, asked: MessidorArguments) -> Dataset:
    """Load Messidor-1; see `load_tables`."""
    return load_tables(MESSIDOR, spec, cache, skip_bad_rows, asked)


@component(
    "dataset",
    "ddr",
    DataTraits(factors=(), ordered=True),
    summary="DDR: {train,valid,test}.txt beside folders of images, grades 0 to 4 of the gradable ones",
)
def load_ddr(spec: DataSpec, cache: ArrayCache, skip_bad_rows: bool, *, asked: GradedArguments) -> Dataset:
    """Load DDR; see `load_tables`."""
    return load_tables(DDR, spec, cache, skip_bad_rows, asked)


# DIARETDB1 (Kauppi et al. 2007): photographs of the retina with maps of where experts saw what; no grades.

_FOUND: Mapping[str, str] = {
    "exudates": "hardexudates",
    "cotton_wool": "softexudates",
    "hemorrhages": "hemorrhages",
    "microaneurysms": "redsmalldots",
}
"""Our word -> the folder of DIARETDB1's maps of it."""


def _marked(asked: DiaretdbArguments, table: Table) -> Sides:
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
    about=SETS["diaretdb1"],
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


@component(
    "dataset", "diaretdb1", summary="DIARETDB1: whether a kind of lesion was marked by enough of its four experts"
)
def load_diaretdb1(spec: DataSpec, cache: ArrayCache, skip_bad_rows: bool, *, asked: DiaretdbArguments) -> Dataset:
    """Load DIARETDB1; see `load_tables`."""
    return load_tables(DIARETDB1, spec, cache, skip_bad_rows, asked)
