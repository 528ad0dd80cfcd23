"""Public sets of retinal photographs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field

from assay.core.errors import SpecError
from assay.core.types import Factor
from assay.data.cards import OWN_PATIENT
from assay.data.files.table import TextTable, number, shown
from assay.data.public.tables import (
    Finder,
    RowClasses,
    SetFolder,
    SetRows,
    TablePart,
    directory,
    find_root,
    finder,
    finder_by_part,
    found_in,
    map_columns,
    public_set,
    read_parts,
)

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

    folder: SetFolder
    cut: Annotated[
        Annotated[int, Field(ge=1, le=4)] | None,
        Field(description="two classes in the place of five: grades below it, and from it on (2: referable)"),
    ] = None


@dataclass(frozen=True, kw_only=True)
class MessidorArguments:
    """Arguments of `messidor`, whose grades are 0 to 3."""

    folder: SetFolder
    cut: Annotated[
        Annotated[int, Field(ge=1, le=3)] | None,
        Field(description="two classes in the place of four: grades below it, and from it on (2: referable)"),
    ] = None


# Photographs with a grade of diabetic retinopathy: classes are all grades, or two at a cut.

_EYE = re.compile(r"(.+)_(left|right)")
_UNGRADABLE = "ungradable"


def _graded_rows(
    arguments: GradedArguments | MessidorArguments, table: TextTable, find: Finder, *warnings: str
) -> SetRows:
    return SetRows(table, partial(_grade_sides, arguments), find, warnings)


def _grade_sides(arguments: GradedArguments | MessidorArguments, frame: pd.DataFrame) -> RowClasses:
    """Return the grades as classes, whether or not they occur. Ungradable photographs are left out and counted."""
    grades = MESSIDOR_GRADES if isinstance(arguments, MessidorArguments) else GRADES
    last = len(grades) - 1
    cells = frame["grade"].tolist()
    numbers = [number(cell) for cell in cells]
    codes = np.array(
        [
            int(grade) if grade is not None and str(int(grade)) in grades and grade == int(grade) else -1
            for grade in numbers
        ],
        dtype=np.int64,
    )
    wrong = {
        at: (f"its grade is {shown(cell)}", f"grades are {', '.join(grades[:-1])} and {last}")
        for at, cell in enumerate(cells)
        if codes[at] < 0 and cell != _UNGRADABLE
    }
    out = cells.count(_UNGRADABLE)
    warnings = (f"{out} photographs that are ungradable are left out",) if out else ()
    if arguments.cut is None:
        return RowClasses(codes, grades, (f"classes are the grades 0 to {last}",), warnings, wrong)
    two = np.where(codes < 0, -1, codes >= arguments.cut).astype(np.int64)
    classes = (_grade_range(0, arguments.cut - 1), _grade_range(arguments.cut, last))
    return RowClasses(two, classes, (f"grades {classes[1]} are positive, {classes[0]} negative",), warnings, wrong)


def _grade_range(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


def _eye(part: int) -> Callable[[str], str]:
    """Patient (1) or eye (2) in a photograph's name."""
    return lambda name: match[part] if (match := _EYE.fullmatch(name)) else ""


@public_set("eyepacs", (EYE,), ordered=True)
def eyepacs(arguments: GradedArguments, skip_bad_rows: bool) -> SetRows:
    """Convert EyePACS, whose patients and eyes are in the names of the photographs."""
    files = ("trainLabels.csv",)
    root = find_root(arguments.folder, files)
    columns = {"image": "image", "patient": "image", "eye": "image", "grade": "level"}
    return _graded_rows(
        arguments,
        map_columns(read_parts(root, [TablePart(files)], columns), patient=_eye(1), eye=_eye(2)),
        finder(root),
    )


@public_set("aptos", (), ordered=True)
def aptos(arguments: GradedArguments, skip_bad_rows: bool) -> SetRows:
    """Convert APTOS 2019."""
    files = ("train.csv",)
    root = find_root(arguments.folder, files)
    columns = {"image": "id_code", "patient": "id_code", "grade": "diagnosis"}
    return _graded_rows(arguments, read_parts(root, [TablePart(files)], columns), finder(root), OWN_PATIENT)


@public_set("idrid", IDRID_FACTORS, ordered=True)
def idrid(arguments: GradedArguments, skip_bad_rows: bool) -> SetRows:
    """Convert the disease grading of IDRiD, with the makers' split."""
    below = ("B. Disease Grading", "B.%20Disease%20Grading")
    root = find_root(
        arguments.folder, ("2. Groundtruths",), below, "give 'B. Disease Grading' as published", what="folder"
    )
    parts = [
        TablePart(
            (f"2. Groundtruths/{letter}. IDRiD_Disease Grading_{word} Labels.csv",),
            split,
            f"1. Original Images/{letter}. {word} Set",
        )
        for letter, word, split in (("a", "Training", "train"), ("b", "Testing", "test"))
    ]
    columns = {"image": "Image name", "grade": "Retinopathy grade", EDEMA: "Risk of macular edema"}
    return _graded_rows(arguments, read_parts(root, parts, columns), finder_by_part(root, parts), OWN_PATIENT)


# Messidor-2: grades by adjudication; the two eyes of a patient by the set's own list of pairs, where that is there.


def _pair_eyes(root: Path, stems: Sequence[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Pair the eyes of patients by `messidor-2.csv`.

    Args:
        stems: Of all photographs with a grade.

    Returns:
        Stem of an image -> the stem of its patient's left one, or right one where there is no other; empty without the
        file. And the doubts about it.

    Raises:
        SpecError: The list names none of the stems: both eyes of every patient could then fall into different parts.
    """
    name = next(
        (candidate for candidate in ("messidor-2.csv", "messidor-ground-truth.csv") if (root / candidate).is_file()),
        None,
    )
    if name is None:
        return {}, (OWN_PATIENT,)
    read = map_columns(
        read_parts(root, [TablePart((name,))], {"left": "left", "right": "right"}), left=_stem, right=_stem
    )
    pairs = {eye: left or right for left, right in read.rows for eye in (left, right) if eye}
    unpaired = sum(stem not in pairs for stem in stems)
    if stems and unpaired == len(stems):
        raise SpecError(
            f"data.dataset.folder: {name} names none of the {len(stems):,} graded photographs of messidor_data.csv, so "
            "that nobody's two eyes are known; give the list of the same set, or remove it to count each as a patient"
        )
    share = f"{unpaired:,} of {len(stems):,} graded photographs"
    unpaired_warning = [f"{share} are in no pair of {name}: each counts as a patient of its own"]
    unread_warning = [f"{len(read.problems):,} lines of {name} could not be read"]
    return pairs, (*(unpaired_warning if unpaired else ()), *(unread_warning if read.problems else ()))


def _stem(name: str) -> str:
    return Path(name).stem.casefold()


@public_set("messidor2", MESSIDOR2_FACTORS, ordered=True)
def messidor2(arguments: GradedArguments, skip_bad_rows: bool) -> SetRows:
    """Convert Messidor-2: adjudicated grades of the gradable photographs, patients by the list of pairs."""
    files = ("messidor_data.csv",)
    root = find_root(arguments.folder, files)
    columns = {
        "image": "image_id|id_code",
        "patient": "image_id|id_code",
        "grade": "adjudicated_dr_grade|diagnosis",
        "gradable": "adjudicated_gradable",
        EDEMA: "adjudicated_dme",
    }
    table = map_columns(read_parts(root, [TablePart(files)], columns), patient=_stem)
    frame = table.frame
    gradable = np.array([number(cell) == 1 for cell in frame.pop("gradable")], dtype=np.bool_)
    frame["grade"] = frame["grade"].where(gradable, _UNGRADABLE)
    pairs, cautions = _pair_eyes(root, frame["patient"][frame["grade"] != _UNGRADABLE].tolist())
    return _graded_rows(
        arguments, map_columns(table, patient=lambda stem: pairs.get(stem, stem)), finder(root), *cautions
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


def _saved_as_csv(arguments: MessidorArguments) -> None:
    """Refuse annotations that are there as .xls alone.

    Raises:
        SpecError: At least one is.
    """
    root = directory(arguments.folder)
    tables = [(found_in(root, _annotations(base, "xls")), found_in(root, _annotations(base, "csv"))) for base in _BASES]
    unread = [xls.name for xls, csv in tables if xls and not csv]
    if unread:
        more = f" and {len(unread) - 1} more" if len(unread) > 1 else ""
        raise SpecError(
            f"data.dataset.folder: Assay reads no .xls, and {root.name}/ has {unread[0]}{more} without a CSV of that "
            "name: open each in a spreadsheet program and save it as CSV (UTF-8) where it is, or run "
            "`libreoffice --headless --convert-to csv` on it there"
        )


@public_set("messidor", MESSIDOR_FACTORS, ordered=True)
def messidor(arguments: MessidorArguments, skip_bad_rows: bool) -> SetRows:
    """Convert Messidor: correct the four grades of the makers' errata where the first ones stand, count the bases."""
    _saved_as_csv(arguments)
    hint = "give the folder that holds the annotations of Base11 to Base34, saved as CSV, and the images"
    root = find_root(arguments.folder, _annotations(_BASES[0], "csv"), hint=hint)
    parts = [TablePart(_annotations(base, "csv")) for base in _BASES]
    columns = {
        "image": "Image name",
        "patient": "Image name",
        "grade": "Retinopathy grade",
        DEPARTMENT: "Ophthalmologic department",
        EDEMA: "Risk of macular edema",
    }
    table = replace(read_parts(root, parts, columns), name="the annotations, numbered on from base to base")
    errata = [_CORRECTED.get(_stem(name), ("", "")) for name in table.frame["image"]]
    grades = table.frame["grade"].tolist()
    corrected = [new if new and grade == old else grade for grade, (old, new) in zip(grades, errata, strict=True)]
    table.frame["grade"] = corrected
    count = sum(before != after for before, after in zip(grades, corrected, strict=True))
    present = sum(found_in(root, part.files) is not None for part in parts)
    notes = (
        *([f"{count} of 4 grades were corrected as in the makers' errata of 2016"] if count else []),
        *([f"the annotations of {present} of the 12 bases are there"] if present < len(_BASES) else []),
    )
    return _graded_rows(arguments, table, finder(root), OWN_PATIENT, *notes)


@public_set("ddr", (), ordered=True)
def ddr(arguments: GradedArguments, skip_bad_rows: bool) -> SetRows:
    """Convert the grading of DDR, with the makers' split."""
    splits = (("train", "train"), ("valid", "validation"), ("test", "test"))
    parts = [TablePart((f"{part}.txt",), split, part, ("name", "grade")) for part, split in splits]
    root = find_root(
        arguments.folder, [f"{part}.txt" for part, _ in splits], ("DR_grading",), "give the folder DR_grading"
    )
    table = read_parts(root, parts, {"image": "name", "grade": "grade"})
    table = map_columns(table, grade=lambda grade: _UNGRADABLE if grade == "5" else grade)
    return _graded_rows(arguments, table, finder_by_part(root, parts), OWN_PATIENT)
