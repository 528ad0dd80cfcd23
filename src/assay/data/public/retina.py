"""Public sets of retinal photographs."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from assay.core.errors import SpecError
from assay.data.cache import ArrayCache
from assay.data.cards import OWN_PATIENT, KnownSet
from assay.data.dataset import Dataset
from assay.data.files.build import from_files
from assay.data.files.table import Table, Unreadable, number, read_table, shown
from assay.data.public.chest import Radiographs, Sides, directory, listing_of
from assay.data.retina_parameters import (
    GRADES,
    OEDEMA,
    DiaretdbParams,
    EyepacsParams,
    GradedParams,
    IdridParams,
    Messidor2Params,
)
from assay.spec.schema import DataSpec

# Public sets of retinal photographs as their makers publish them: which columns hold grade, patient and eye.

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
_EYE = re.compile(r"(.+)_(left|right)")
_UNGRADABLE = "ungradable"
_SCALE = "grades follow the international scale, by readers whose agreement is limited: see the makers' own figures"


@dataclass(frozen=True, slots=True)
class Rows:
    """What a set's tables say, in common words: a table with `image`, `patient`, `grade` and the factors; `grade` is
    `ungradable` where the makers say so. find: where an image lies. warnings: what to know of this copy.
    """

    table: Table
    find: Callable[[str], Path]
    warnings: tuple[str, ...] = ()


def load_graded(
    title: str,
    about: KnownSet,
    params: type[GradedParams],
    rows: Callable[[Path], Rows],
    spec: DataSpec,
    cache: ArrayCache,
    skip_bad_rows: bool,
    **arguments: Any,
) -> Dataset:
    """The photographs of a set with their grades 0 to 4 as classes, all five whether or not they occur; or two classes
    where `cut` makes them. Ungradable ones are left out and counted.

    Raises SpecError for a missing table or folder, DataError with all bad rows.
    """
    asked = params.model_validate(arguments)
    found = rows(directory(asked.folder))
    out = sum(cell == _UNGRADABLE for cell in found.table.column("grade", "data.dataset"))
    warnings = (*found.warnings, *((f"{out} photographs that are ungradable are left out",) if out else ()))
    split = "the makers' own lists"
    given = Radiographs(title, about, found.table, asked.FACTORS, found.find, split, warnings)
    return from_files(listing_of(given, spec, partial(_sides, asked.cut)), spec, cache, skip_bad_rows)


def _sides(cut: int | None, table: Table) -> tuple[Sides, Mapping[int, tuple[str, str]]]:
    cells = table.column("grade", "data.dataset")
    numbers = [number(cell) for cell in cells]
    codes = np.array([int(one) if one is not None and str(int(one)) in GRADES and one == int(one) else -1
                      for one in numbers], dtype=np.int64)  # fmt: skip
    wrong = {
        at: (f"its grade is {shown(cell)}", "grades are 0, 1, 2, 3 and 4")
        for at, cell in enumerate(cells)
        if codes[at] < 0 and cell != _UNGRADABLE
    }
    if cut is None:
        return Sides(codes, GRADES, ("classes are the grades 0 to 4",)), wrong
    two = np.where(codes < 0, -1, codes >= cut)
    classes = (_span(0, cut - 1), _span(cut, 4))
    return Sides(two.astype(np.int64), classes, (f"grades {classes[1]} are positive, {classes[0]} negative",)), wrong


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


def _made(read: Table, cells: Mapping[str, Sequence[str]]) -> Table:
    rows = tuple(zip(*cells.values(), strict=True))
    return Table(read.name, tuple(cells), rows, read.numbers, read.problems, read.comma)


def _table(root: Path, names: Sequence[str], image: str) -> Table:
    for name in names:
        if (root / name).is_file():
            return read_table(root / name, image)
    raise SpecError(f"data.dataset.folder: {root.name}/ has no file '{names[0]}'; give the folder that holds it")


def _column(table: Table, *names: str) -> tuple[str, ...]:
    """The first of these columns that is there; capitals and spaces between words do not matter."""
    plain = {" ".join(name.casefold().split()): name for name in table.header}
    found = next((plain[name.casefold()] for name in names if name.casefold() in plain), names[0])
    return table.column(found, "data.dataset")


def finder(root: Path, deep: int = 3) -> Callable[[str], Path]:
    """Where images lie, by their name without its ending, in whatever case, up to so many folders below."""
    folders = [root]
    level = [root]
    for _ in range(deep):
        level = sorted(Path(entry.path) for place in level for entry in os.scandir(place) if entry.is_dir())
        folders += level
    files = [Path(entry.path) for place in folders for entry in os.scandir(place) if entry.is_file()]
    images = sorted(path for path in files if path.suffix.casefold() in SUFFIXES)
    stems = {path.stem.casefold(): path for path in reversed(images)}

    def find(name: str) -> Path:
        stem = name.rpartition(".")[0] if Path(name).suffix.casefold() in SUFFIXES else name
        path = stems.get(stem.casefold())
        if path is None:
            raise Unreadable("the file is missing", f"unpack the images into {root.name}/")
        return path

    return find


def _eyepacs(root: Path) -> Rows:
    read = _table(root, ("trainLabels.csv",), "image")
    names = _column(read, "image")
    parts = [_EYE.fullmatch(name) for name in names]
    cells = {
        "image": names,
        "patient": [part[1] if part else "" for part in parts],
        "grade": _column(read, "level"),
        "eye": [part[2] if part else "" for part in parts],
    }
    return Rows(_made(read, cells), finder(root))


def _aptos(root: Path) -> Rows:
    read = _table(root, ("train.csv",), "id_code")
    names = _column(read, "id_code")
    cells = {"image": names, "patient": names, "grade": _column(read, "diagnosis")}
    return Rows(_made(read, cells), finder(root), (OWN_PATIENT,))


def _idrid(root: Path) -> Rows:
    """Names repeat in the makers' two parts, so that an image is called by its part too."""
    base = next((place for place in (root, root / "B. Disease Grading", root / "B.%20Disease%20Grading")
                 if (place / "2. Groundtruths").is_dir()), None)  # fmt: skip
    if base is None:
        raise SpecError(
            f"data.dataset.folder: {root.name}/ has no folder '2. Groundtruths'; give 'B. Disease Grading' as published"
        )
    lines: dict[str, list[str]] = {name: [] for name in ("image", "patient", "grade", OEDEMA, "split")}
    finders: dict[str, Callable[[str], Path]] = {}
    for letter, word, split in (("a", "Training", "train"), ("b", "Testing", "test")):
        table = base / "2. Groundtruths" / f"{letter}. IDRiD_Disease Grading_{word} Labels.csv"
        if not table.is_file():
            continue
        read = read_table(table, "Image name")
        names = [f"{split}/{name}" for name in _column(read, "Image name")]
        finders[split] = finder(base / "1. Original Images" / f"{letter}. {word} Set", 1)
        part = {
            "image": names,
            "patient": names,
            "grade": _column(read, "Retinopathy grade"),
            OEDEMA: _column(read, "Risk of macular edema"),
            "split": [split] * len(names),
        }
        for key, cells in part.items():
            lines[key] += cells
    if not finders:
        raise SpecError(f"data.dataset.folder: {root.name}/ has no tables of labels in '2. Groundtruths'")
    table = Table("IDRiD's labels", tuple(lines), tuple(zip(*lines.values(), strict=True)), numbered(lines["image"]))
    return Rows(table, _by_part(finders), (OWN_PATIENT,))


def numbered(rows: Sequence[str]) -> tuple[int, ...]:
    """Line numbers of rows that stand in one table below its header."""
    return tuple(range(2, len(rows) + 2))


def _by_part(finders: Mapping[str, Callable[[str], Path]]) -> Callable[[str], Path]:
    def find(name: str) -> Path:
        part, _, own = name.partition("/")
        return finders[part](own)

    return find


def _messidor2(root: Path) -> Rows:
    """Grades by Google's adjudication; who is whose other eye by the set's own list of pairs, where that is there."""
    read = _table(root, ("messidor_data.csv",), "image_id")
    names = _column(read, "image_id", "id_code")
    gradable = _column(read, "adjudicated_gradable")
    graded = _column(read, "adjudicated_dr_grade", "diagnosis")
    stems = [Path(name).stem.casefold() for name in names]
    pairs, cautions = _pairs(root, [stem for stem, ok in zip(stems, gradable, strict=True) if number(ok) == 1])
    cells = {
        "image": names,
        "patient": [pairs.get(stem, stem) for stem in stems],
        "grade": [cell if number(ok) == 1 else _UNGRADABLE for cell, ok in zip(graded, gradable, strict=True)],
        OEDEMA: _column(read, "adjudicated_dme"),
    }
    return Rows(_made(read, cells), finder(root), cautions)


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
    both = zip(_column(read, "left"), _column(read, "right"), strict=True)
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


def _ddr(root: Path) -> Rows:
    """Lists of `name grade`, one for each part; names repeat between parts. Grade 5 is ungradable."""
    base = root / "DR_grading" if (root / "DR_grading").is_dir() else root
    lines: dict[str, list[str]] = {name: [] for name in ("image", "patient", "grade", "split")}
    finders: dict[str, Callable[[str], Path]] = {}
    for part, split in (("train", "train"), ("valid", "validation"), ("test", "test")):
        listed = base / f"{part}.txt"
        if not listed.is_file():
            continue
        finders[split] = finder(base / part, 0)
        for line in listed.read_text(encoding="utf-8-sig").splitlines():
            name, _, grade = line.strip().rpartition(" ")
            if name:
                image = f"{split}/{name.strip()}"
                given = (image, image, _UNGRADABLE if grade == "5" else grade, split)
                for key, cell in zip(lines, given, strict=True):
                    lines[key].append(cell)
    if not finders:
        raise SpecError(f"data.dataset.folder: {root.name}/ has no file 'train.txt'; give the folder DR_grading")
    table = Table("DDR's lists", tuple(lines), tuple(zip(*lines.values(), strict=True)), numbered(lines["image"]))
    return Rows(table, _by_part(finders), (OWN_PATIENT,))


def _about(summary: str, licence: str, source: str, *faults: str) -> KnownSet:
    return KnownSet((), summary, licence, source, (_SCALE, *faults))


_Loader = Callable[..., Dataset]
load_eyepacs: _Loader = partial(
    load_graded,
    "EyePACS",
    _about(
        "both eyes' photographs of many cameras; the training part holds 35,126", "Kaggle's rules of the competition",
        "EyePACS (Kaggle 2015)", "one reader an image: labels are noisy", "many are dark, blurred or out of frame",
    ),
    EyepacsParams,
    _eyepacs,
)  # fmt: skip
load_aptos: _Loader = partial(
    load_graded,
    "APTOS 2019",
    _about(
        "photographs of Aravind's clinics; the training part holds 3,662", "Kaggle's rules of the competition",
        "APTOS 2019 (Kaggle)", "some stand in it twice, under other grades too",
        "size and framing tell the grade in part: cameras differ between clinics",
    ),
    GradedParams,
    _aptos,
)  # fmt: skip
load_idrid: _Loader = partial(
    load_graded,
    "IDRiD",
    _about(
        "516 photographs of one clinic and camera, 413 to train and 103 to test", "CC BY 4.0",
        "IDRiD (Porwal et al. 2018)", "more severe than a population: an eye clinic's patients",
    ),
    IdridParams,
    _idrid,
)  # fmt: skip
load_messidor2: _Loader = partial(
    load_graded,
    "Messidor-2",
    _about(
        "1,748 photographs of 874 examinations, graded by adjudication", "for research, never to be passed on",
        "Messidor-2 (Decenciere et al. 2014), grades of Krause et al. 2018",
        "the two origins differ in look and severity",
    ),
    Messidor2Params,
    _messidor2,
)  # fmt: skip
load_ddr: _Loader = partial(
    load_graded,
    "DDR",
    _about(
        "13,673 photographs of 147 hospitals, of which 1,151 are ungradable", "for research",
        "DDR (Li et al. 2019)", "patients are not told",
    ),
    GradedParams,
    _ddr,
)  # fmt: skip


# DIARETDB1 (Kauppi et al. 2007): photographs of the retina with maps of where experts saw what; no grades.

_FOUND: Mapping[str, str] = {
    "exudates": "hardexudates",
    "cotton_wool": "softexudates",
    "haemorrhages": "hemorrhages",
    "microaneurysms": "redsmalldots",
}
"""Our word -> the folder of DIARETDB1's maps of it."""


def load_diaretdb1(spec: DataSpec, cache: ArrayCache, skip_bad_rows: bool, **arguments: Any) -> Dataset:
    """DIARETDB1 as two classes: whether any place was marked as the finding by so many of the experts."""
    params = DiaretdbParams.model_validate(arguments)
    root = directory(params.folder)
    places = (root, root / "images", root / "resources" / "images", root / "ddb1_v02_01" / "images")
    base = next((place for place in places if (place / "ddb1_fundusimages").is_dir()), None)
    if base is None:
        raise SpecError(
            f"data.dataset.folder: {root.name}/ has no folder 'ddb1_fundusimages'; give the one that has it"
        )
    maps = base / "ddb1_groundtruth" / _FOUND[params.finding]
    find, marked = finder(base / "ddb1_fundusimages", 0), finder(maps, 0) if maps.is_dir() else None
    if marked is None:
        raise SpecError(f"data.dataset.folder: ddb1_groundtruth/ has no folder '{maps.name}'; unpack the maps too")
    names = sorted(path.stem for path in (base / "ddb1_fundusimages").iterdir() if path.suffix.casefold() in SUFFIXES)
    table = Table("ddb1_fundusimages/", ("image", "patient"), tuple((name, name) for name in names), numbered(names))
    about = KnownSet((), "89 photographs, 84 with at least mild retinopathy", "research and education",
                     "DIARETDB1 (Kauppi et al. 2007)", ("few images, most of them ill",))  # fmt: skip
    given = Radiographs("DIARETDB1", about, table, (), find, "no file", (OWN_PATIENT,))

    def sides(rows: Table) -> tuple[Sides, Mapping[int, tuple[str, str]]]:
        codes = np.zeros(len(rows.rows), dtype=np.int64)
        wrong: dict[int, tuple[str, str]] = {}
        for at, name in enumerate(rows.column("image", "data.dataset")):
            try:
                codes[at] = _shows(marked(name), params.agreement)
            except (Unreadable, OSError):
                what = f"its map of {params.finding} is missing or cannot be read"
                wrong[at] = what, f"unpack ddb1_groundtruth/{maps.name}/ again"
        fact = f"positive where at least {params.agreement:g} of the experts marked {params.finding} anywhere"
        return Sides(codes, (f"no {params.finding}", params.finding), (fact,)), wrong

    return from_files(listing_of(given, spec, sides), spec, cache, skip_bad_rows)


def _shows(path: Path, agreement: float) -> int:
    with Image.open(path) as file:
        return int(np.asarray(file.convert("L")).max() >= round(agreement * 255))
