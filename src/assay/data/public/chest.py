"""Public chest radiograph sets: NIH ChestX-ray14, CheXpert and MIMIC-CXR-JPG."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from assay.core.errors import DataError, SpecError, unknown_name
from assay.core.types import Factor
from assay.data.cache import ArrayCache
from assay.data.cards import KnownSet
from assay.data.dataset import Dataset
from assay.data.files.build import from_files
from assay.data.files.masks import Listing
from assay.data.files.table import (
    Problem,
    Table,
    Unreadable,
    absent,
    chosen,
    expand,
    factor_column,
    inside,
    number,
    patient_codes,
    problems_of,
    read_table,
    refuse,
)
from assay.data.parameters import ChexpertParams, MimicParams, MinedParams, NihParams, Policy
from assay.spec.schema import DataSpec, FactorSpec

# Which radiographs of a set with many findings are positive and which negative: one finding against one other.

PRESENT, ABSENT, UNCERTAIN, BLANK = 1, 0, -1, -2
"""What a table says of one finding of one image."""
_SIDE = {"negative": ABSENT, "positive": PRESENT}


@dataclass(frozen=True, slots=True)
class Sides:
    """codes: int64 [n], the class of each row, -1 where the study does not use it. facts: for the card."""

    codes: np.ndarray
    classes: tuple[str, ...]
    facts: tuple[str, ...]


def check_finding(name: str, place: str, known: Sequence[str]) -> None:
    """Raise SpecError with the nearest name for a finding that the set does not have."""
    if name not in known:
        raise SpecError(f"data.dataset.{place}: {unknown_name('finding', name, known)}")


def compared(
    finding: str, against: str, has_finding: np.ndarray, has_against: np.ndarray, others: np.ndarray | None = None
) -> Sides:
    """Class 1 where the finding is present, class 0 where the other is; rows with both or with neither are not used.

    others: bool [n], rows to leave out because they show further findings.
    Raises DataError when a class would be empty.
    """
    both = has_finding & has_against
    codes = np.where(has_finding, 1, np.where(has_against, 0, -1)).astype(np.int64)
    codes[both] = -1
    facts = [f"{finding} is positive, {against} negative"]
    if both.any():
        facts.append(f"{int(both.sum()):,} images that are both were left out")
    if others is not None:
        apart = others & (codes >= 0)
        codes[apart] = -1
        facts.append(f"{int(apart.sum()):,} images with other findings beside were left out")
    for code, name in ((1, finding), (0, against)):
        if not (codes == code).any():
            raise DataError(
                f"no image is {name}; name findings that the chosen rows have (data.where and the policies choose rows)"
            )
    return Sides(codes, (against, finding), tuple(facts))


def mined(params: MinedParams, state: Callable[[str], np.ndarray]) -> Sides:
    """The classes of a set whose labels were mined with uncertainty.

    state: finding -> PRESENT, ABSENT, UNCERTAIN or BLANK [n]. Without `against` the negatives are the rows whose
    finding is absent, and what blank means must be said. With it they are the rows with that other finding, and a blank
    is just not a mention; where what is uncertain is left out, a row of which either is uncertain is in no class.
    Raises SpecError while uncertain or blank labels that matter are to be refused.
    """
    stated = _settled(params.finding, state(params.finding), UNCERTAIN, params.uncertain, "uncertain")
    if not params.against:
        stated = _settled(params.finding, stated, BLANK, params.blank, "blank")
        sides = compared(params.finding, f"not {params.finding}", stated == PRESENT, stated == ABSENT)
    else:
        other = _settled(params.against, state(params.against), UNCERTAIN, params.uncertain, "uncertain")
        sure = (stated != UNCERTAIN) & (other != UNCERTAIN)
        sides = compared(params.finding, params.against, sure & (stated == PRESENT), sure & (other == PRESENT))
    return Sides(sides.codes, sides.classes, (*sides.facts, *_told(params, state)))


def _settled(finding: str, state: np.ndarray, kind: int, policy: Policy, word: str) -> np.ndarray:
    """The states with one kind of doubt replaced as the policy says; what is dropped stays, and no class uses it."""
    doubtful = state == kind
    if policy == "refuse" and doubtful.any():
        written = "-1" if kind == UNCERTAIN else "an empty cell"
        raise SpecError(
            f"data.dataset.{word}: '{finding}' is {word} ({written}) in {int(doubtful.sum()):,} of {len(state):,} "
            f"images; say what that means: {word}: negative, positive or drop"
        )
    return np.where(doubtful, _SIDE[policy], state) if policy in _SIDE else state


def _told(params: MinedParams, state: Callable[[str], np.ndarray]) -> list[str]:
    """How many labels each policy touched, for the card."""
    doubts = [(params.finding, UNCERTAIN, "uncertain", params.uncertain)]
    if params.against:
        doubts.append((params.against, UNCERTAIN, "uncertain", params.uncertain))
    else:
        doubts.append((params.finding, BLANK, "blank", params.blank))
    counted = [(name, int((state(name) == kind).sum()), word, policy) for name, kind, word, policy in doubts]
    done = {"negative": "taken as negative", "positive": "taken as positive", "drop": "left out"}
    return [f"{count:,} {word} labels of {name} were {done[policy]}" for name, count, word, policy in counted if count]


def states(cells: Sequence[str]) -> tuple[np.ndarray, list[int]]:
    """States of a column of 1, 0, -1 and blank (also as 1.0), and the positions of cells that are none of these."""
    codes = {"": BLANK}
    for value in (PRESENT, ABSENT, UNCERTAIN):
        codes |= {str(value): value, f"{value}.0": value}
    found = [codes.get(cell) for cell in cells]
    wrong = [at for at, code in enumerate(found) if code is None]
    return np.array([BLANK if code is None else code for code in found], dtype=np.int64), wrong


# From the rows of a public set of images, in common words, to a listing: columns, patients, images, split.

SPLIT = Factor("split", "categorical", levels=("train", "validation", "test"), description="as its makers divide it")


@dataclass(frozen=True, slots=True)
class Radiographs:
    """The rows of a set, one image each.

    rows: a table with the columns `image` (its name for messages), `patient`, one per factor, `split` where the makers'
    own is known, and one per finding. about: what is known of the set. find: where a row's image lies, by its name;
    raises Unreadable. split_files: which files tell the split, for the message when they are missing.
    """

    title: str
    about: KnownSet
    rows: Table
    factors: tuple[Factor, ...]
    find: Callable[[str], Path]
    split_files: str
    warnings: tuple[str, ...] = ()


def listing_of(
    given: Radiographs, spec: DataSpec, sides: Callable[[Table], tuple[Sides, Mapping[int, tuple[str, str]]]]
) -> Listing:
    """The rows that the study uses: those that `where` chooses and that belong to one of its classes.

    sides: the classes of the chosen rows, and which of them have labels that cannot be right (what, remedy). Rows that
    are not used are not judged, and their images need not be there.
    """
    table = chosen(given.rows, spec.where)
    if not len(table) and not table.problems:
        raise SpecError(f"data.where: no row of {table.name} fits")
    found, wrong = sides(table)
    names = table.column("image", "data.dataset")
    problems = problems_of(table, names, dict(wrong))
    used = [code >= 0 or at in wrong for at, code in enumerate(found.codes.tolist())]
    target = found.codes[np.array(used, dtype=bool)]
    table = table.keep(used)
    names = table.column("image", "data.dataset")
    patients = table.column("patient", "data.dataset")
    problems += [
        Problem(number, name, "its patient is not told", "say whose image it is")
        for number, name, patient in zip(table.numbers, names, patients, strict=True)
        if absent(patient)
    ]
    factors, columns = _factors(given, spec, table, problems)
    images = _images(given, table, names, problems)
    listing = Listing(
        title=given.title,
        where=table.name,
        word="line",
        numbers=table.numbers,
        names=names,
        images=images,
        masks=None,
        target=target,
        classes=found.classes,
        patient=patient_codes(patients),
        factors=factors,
        columns=columns,
        problems=table.problems,
        facts=found.facts,
        warnings=given.warnings,
        about=given.about,
    )
    return listing.drop(problems)[0]


def _factors(
    given: Radiographs, spec: DataSpec, table: Table, problems: list[Problem]
) -> tuple[tuple[Factor, ...], dict[str, np.ndarray]]:
    names = table.column("image", "data.dataset")
    declared = list(given.factors)
    if "split" in table.header:
        declared.append(SPLIT)
    elif spec.split.column == SPLIT.name:
        raise SpecError(
            f"data.split.column: the set's own split stands in {given.split_files}, which the folder lacks; "
            "put it there, or divide by folds or shares"
        )
    made: list[Factor] = []
    columns: dict[str, np.ndarray] = {}
    for factor in declared:
        wanted = FactorSpec(kind=factor.kind, unit=factor.unit, levels=factor.levels)
        found, values, wrong = factor_column(factor.name, wanted, table.column(factor.name, "data.dataset"))
        high = tuple(level for level in factor.high if level in found.levels)
        made.append(replace(factor, levels=found.levels, high=high))
        columns[factor.name] = values
        problems += problems_of(table, names, wrong)
    if spec.split.column == SPLIT.name:
        outside = np.flatnonzero(columns[SPLIT.name] < 0).tolist()
        what, remedy = f"its part is not told by {given.split_files}", "divide by folds or shares"
        problems += problems_of(table, names, dict.fromkeys(outside, (what, remedy)))
    return tuple(made), columns


def _images(given: Radiographs, table: Table, names: Sequence[str], problems: list[Problem]) -> tuple[Path, ...]:
    images: list[Path] = []
    first: dict[Path, int] = {}
    for line, name in zip(table.numbers, names, strict=True):
        try:
            path = given.find(name)
        except Unreadable as error:
            problems.append(Problem(line, name, error.what, error.remedy))
            path = Path()
        else:
            if first.setdefault(path, line) != line:
                what = f"line {first[path]} names the same image"
                problems.append(Problem(line, name, what, "keep one of them"))
        images.append(path)
    return tuple(images)


# NIH ChestX-ray14 (Wang et al. 2017) as it is published: `Data_Entry_2017.csv`, the two lists, the image archives.

NIH_ABOUT = KnownSet(
    (),
    "frontal chest radiographs of the NIH Clinical Center; the whole set holds 112,120 of 30,805 patients",
    "free use with attribution",
    "NIH ChestX-ray14 (Wang et al. 2017)",
    (
        "labels were mined from reports, not read from the images: some are wrong, more so for rare findings",
        "No Finding means that none of 14 was mentioned, not a healthy chest",
        "images were scaled to 1024 x 1024 px whatever their aspect, so that shapes are distorted by image",
        "AP is mostly at the bedside: view goes with severity; many pneumothoraces are already drained",
        "the official test list holds more findings an image than the other",
    ),
)
NIH_FINDINGS = (
    "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Effusion", "Emphysema", "Fibrosis", "Hernia",
    "Infiltration", "Mass", "No Finding", "Nodule", "Pleural_Thickening", "Pneumonia", "Pneumothorax",
)  # fmt: skip
LISTS = {"train_val_list.txt": "train", "test_list.txt": "test"}
OLDEST = 120
_YEARS = {"Y": 1.0, "M": 12.0, "W": 52.18, "D": 365.25}
_AGE = re.compile(r"(\d{1,3})([YMWD])")
_COLUMNS = {
    "image": ("Image Index",),
    "labels": ("Finding Labels",),
    "follow_up": ("Follow-up #",),
    "patient": ("Patient ID",),
    "age": ("Patient Age",),
    "sex": ("Patient Gender", "Patient Sex"),
    "view": ("View Position",),
}
_SUFFIXES = (".png", ".jpg", ".jpeg")


def load_nih(spec: DataSpec, cache: ArrayCache, skip_bad_rows: bool, **arguments: Any) -> Dataset:
    """The images of two findings as a dataset of two classes; factors view, sex, age, follow_up, and `split`.

    The arguments are those of `NihParams`. Raises SpecError for a finding that the set does not have or a missing file,
    DataError with all bad rows.
    """
    params = NihParams.model_validate(arguments)
    for place in ("finding", "against"):
        check_finding(getattr(params, place), place, NIH_FINDINGS)
    root = directory(params.folder)
    rows, warnings = _nih_rows(root, params.table)
    given = Radiographs(
        "NIH ChestX-ray14", NIH_ABOUT, rows, params.FACTORS, _nih_finder(root), " and ".join(LISTS), warnings
    )
    listing = listing_of(given, spec, lambda chosen: _sides(params, chosen))
    return from_files(listing, spec, cache, skip_bad_rows)


def directory(text: str) -> Path:
    """The folder of a set. Raises SpecError when it does not exist or is a file."""
    path = expand(text, "data.dataset.folder")
    if not path.is_dir():
        raise SpecError(f"data.dataset.folder: '{text}' is a file; give the folder that holds the set")
    return path


def _nih_rows(root: Path, name: str) -> tuple[Table, tuple[str, ...]]:
    """The table in common words, and warnings. Bracketed headers hold bare commas: their pieces are not used."""
    if not (root / name).is_file():
        raise SpecError(f"data.dataset.table: {root.name}/ has no file '{name}'; name the table of images")
    read = read_table(root / name, "Image Index")
    cells = {word: read.column(_column(read, names), "data.dataset") for word, names in _COLUMNS.items()}
    ages = [_years(cell) for cell in cells["age"]]
    wrong = sum(age == "NA" for age in ages)
    warnings = (
        (f"{wrong:,} ages below 0 or over {OLDEST} years stand in the table; they count as missing",) if wrong else ()
    )
    cells["age"] = tuple(ages)
    sides = _official(root)
    if sides is not None:
        cells["split"] = tuple(sides.get(image, "") for image in cells["image"])
    rows = tuple(zip(*cells.values(), strict=True))
    return Table(read.name, tuple(cells), rows, read.numbers, read.problems, read.comma), warnings


def _column(table: Table, names: Sequence[str]) -> str:
    found = [name for name in names if name in table.header]
    if not found:
        raise DataError(f"{table.name} has no column '{names[0]}'; give the table as the NIH publishes it")
    return found[0]


def _years(cell: str) -> str:
    """An age in years: `058Y` is 58, `018M` 1.5; what is no human age is missing; other text stays as it is."""
    found = _AGE.fullmatch(cell)
    years = float(found[1]) / _YEARS[found[2]] if found else number(cell)
    if years is None:
        return cell
    return f"{years:g}" if 0 <= years <= OLDEST else "NA"


def _official(root: Path) -> dict[str, str] | None:
    """Image -> train or test by the official lists, or None where they are not there."""
    if not all((root / name).is_file() for name in LISTS):
        return None
    sides: dict[str, str] = {}
    for name, side in LISTS.items():
        for image in (root / name).read_text(encoding="utf-8-sig").split():
            if sides.setdefault(image, side) != side:
                raise DataError(f"{' and '.join(LISTS)} both name an image ({image}); download them again")
    return sides


def _sides(params: NihParams, table: Table) -> tuple[Sides, Mapping[int, tuple[str, str]]]:
    labels = [frozenset(part.strip() for part in cell.split("|")) for cell in table.column("labels", "data.dataset")]
    known = frozenset(NIH_FINDINGS)
    wrong = {at: _strange(found - known) for at, found in enumerate(labels) if not found <= known}
    two = {params.finding, params.against}
    has_finding = np.array([params.finding in found for found in labels])
    has_against = np.array([params.against in found for found in labels])
    others = np.array([bool(found - two) for found in labels]) if params.alone else None
    return compared(params.finding, params.against, has_finding, has_against, others), wrong


def _strange(names: frozenset[str]) -> tuple[str, str]:
    listed = ", ".join(sorted(names))
    what = f"its labels name '{listed}', which is none of the 14 findings" if listed else "it has no label"
    return what, "write the labels as published, joined by |"


def _nih_finder(root: Path) -> Callable[[str], Path]:
    """Where images lie: anywhere up to two folders below, also as JPEG where they were made smaller."""
    folders = (root, *sorted(root.glob("*/")), *sorted(root.glob("*/*/")))
    places = {entry.name: Path(entry.path) for folder in folders for entry in os.scandir(folder) if entry.is_file()}
    stems = {path.stem: path for path in places.values() if path.suffix.lower() in _SUFFIXES}

    def find(name: str) -> Path:
        path = places.get(name) or stems.get(name.rpartition(".")[0])
        if path is None:
            raise Unreadable("the file is missing", f"unpack the image archives into {root.name}/")
        return path

    return find


# CheXpert (Irvin et al. 2019) as it is published: `train.csv`, `valid.csv`, `<side>/patientN/studyN/viewN_*.jpg`.

CHEXPERT_ABOUT = KnownSet(
    (),
    "chest radiographs of Stanford Hospital, frontal and lateral; the whole set holds 224,316 of 65,240 patients",
    "Stanford's research use agreement: not for commerce, never to be passed on",
    "CheXpert (Irvin et al. 2019)",
    (
        "labels of train.csv were mined from reports, not read from the images",
        "a blank label is a finding that the report does not mention, not one that was excluded",
        "valid.csv was read by three radiologists: its labels are of another kind than those of train.csv",
        "AP is mostly at the bedside: view goes with severity",
    ),
)
CHEXPERT_FINDINGS = (
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation",
    "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture", "Support Devices",
)  # fmt: skip
TABLES = {"train.csv": "train", "valid.csv": "test"}
_PATIENT = re.compile(r"(?:^|/)(patient\d+)/study\d+/")
_SEX = {"Female": "F", "Male": "M", "Unknown": ""}


def load_chexpert(spec: DataSpec, cache: ArrayCache, skip_bad_rows: bool, **arguments: Any) -> Dataset:
    """The images of one finding as a dataset of two classes; factors view, sex, age, and `split` if valid.csv is there.

    The arguments are those of `ChexpertParams`. Rows of valid.csv are numbered on from the last of train.csv. Raises
    SpecError for a finding that the set does not have or a label whose meaning was not said, DataError with all bad
    rows.
    """
    params = ChexpertParams.model_validate(arguments)
    check_findings(params, CHEXPERT_FINDINGS)
    root = directory(params.folder)
    rows = _chexpert_rows(root)
    given = Radiographs(
        "CheXpert", CHEXPERT_ABOUT, rows, params.FACTORS, _chexpert_finder(root), "train.csv and valid.csv"
    )
    listing = listing_of(given, spec, lambda chosen: mined_sides(params, chosen))
    return from_files(listing, spec, cache, skip_bad_rows)


def check_findings(params: MinedParams, known: Sequence[str]) -> None:
    """Raise SpecError for a finding that the set does not have."""
    check_finding(params.finding, "finding", known)
    if params.against:
        check_finding(params.against, "against", known)


def mined_sides(params: MinedParams, table: Table) -> tuple[Sides, Mapping[int, tuple[str, str]]]:
    """The classes of the rows by the stated policies, and rows whose labels are none of 1, 0, -1 and blank."""
    read = {name: states(table.column(name, "data.dataset")) for name in (params.finding, params.against) if name}
    wrong = {
        at: (f"'{name}' is none of 1, 0, -1 and empty", "copy the table again")
        for name, (_, positions) in read.items()
        for at in positions
    }
    return mined(params, lambda name: read[name][0]), wrong


def _chexpert_rows(root: Path) -> Table:
    """Both tables as one, in common words; rows of the second are numbered on."""
    if not (root / "train.csv").is_file():
        raise SpecError(f"data.dataset.folder: {root.name}/ has no file 'train.csv'; give the folder that holds it")
    tables = [read_table(root / name, "Path") for name in TABLES if (root / name).is_file()]
    parts = [_common(table) for table in tables]
    if len(tables) == 1:
        return parts[0]
    first, second = (with_column(part, SPLIT.name, side) for part, side in zip(parts, TABLES.values(), strict=True))
    if first.header != second.header:
        raise DataError("train.csv and valid.csv have different columns; give both as they are published")
    last = max((*first.numbers, *(problem.row for problem in first.problems)), default=1)
    return Table(
        "train.csv and, numbered on, valid.csv",
        first.header,
        (*first.rows, *second.rows),
        (*first.numbers, *(number + last for number in second.numbers)),
        (*first.problems, *(replace(problem, row=problem.row + last) for problem in second.problems)),
    )


def _common(table: Table) -> Table:
    """One table in common words: image, patient, view, sex, age and its findings."""
    paths = table.column("Path", "data.dataset")
    side, views = table.column("Frontal/Lateral", "data.dataset"), table.column("AP/PA", "data.dataset")
    cells = {
        "image": paths,
        "patient": tuple(_patient(path) for path in paths),
        "view": tuple(view or ("lateral" if of == "Lateral" else "") for of, view in zip(side, views, strict=True)),
        "sex": tuple(_SEX.get(cell, cell) for cell in table.column("Sex", "data.dataset")),
        "age": table.column("Age", "data.dataset"),
        **{name: table.column(name, "data.dataset") for name in CHEXPERT_FINDINGS if name in table.header},
    }
    rows = tuple(zip(*cells.values(), strict=True))
    return Table(table.name, tuple(cells), rows, table.numbers, table.problems)


def with_column(table: Table, name: str, value: str) -> Table:
    """The table with a column that holds the same in every row."""
    return replace(table, header=(*table.header, name), rows=tuple((*row, value) for row in table.rows))


def _patient(path: str) -> str:
    found = _PATIENT.search(path)
    return found[1] if found else ""


def _chexpert_finder(root: Path) -> Callable[[str], Path]:
    """Where images lie: paths begin with the name of the set's own folder, whatever it is called here."""

    def find(path: str) -> Path:
        try:
            return inside(root, path)
        except Unreadable as error:
            _, slash, rest = path.partition("/")
            if not slash or "missing" not in error.what:
                raise
            return inside(root, rest)

    return find


# MIMIC-CXR-JPG (Johnson et al. 2019) as it is published: tables of labels, metadata and split, and `files/`.

MIMIC_ABOUT = KnownSet(
    (),
    "chest radiographs of Beth Israel Deaconess Medical Center, all views; the whole set holds 377,110",
    "PhysioNet credentialed health data licence: never to be passed on",
    "MIMIC-CXR-JPG (Johnson et al. 2019)",
    (
        "labels were mined from reports, not read from the images, and all images of a study share them",
        "a blank label is a finding that the report does not mention, not one that was excluded",
        "many images are of the emergency department and the bedside: view goes with severity",
        "sex and age are not part of the set",
    ),
)
MIMIC_FINDINGS = (
    "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Enlarged Cardiomediastinum", "Fracture", "Lung Lesion",
    "Lung Opacity", "No Finding", "Pleural Effusion", "Pleural Other", "Pneumonia", "Pneumothorax", "Support Devices",
)  # fmt: skip
_SIDES = {"train": "train", "validate": "validation", "test": "test"}


def load_mimic(spec: DataSpec, cache: ArrayCache, skip_bad_rows: bool, **arguments: Any) -> Dataset:
    """The images of one finding as a dataset of two classes; factor view, and `split` if its table is there.

    The arguments are those of `MimicParams`. Rows are those of the metadata. Raises SpecError for a missing table, a
    finding that the set does not have or a label whose meaning was not said, DataError with all bad rows.
    """
    params = MimicParams.model_validate(arguments)
    check_findings(params, MIMIC_FINDINGS)
    root = directory(params.folder)
    rows, warnings = _mimic_rows(root, params, skip_bad_rows)
    given = Radiographs(
        "MIMIC-CXR-JPG",
        MIMIC_ABOUT,
        rows,
        params.FACTORS,
        lambda name: inside(root, name),
        "mimic-cxr-2.0.0-split.csv.gz",
        warnings,
    )
    listing = listing_of(given, spec, lambda chosen: mined_sides(params, chosen))
    return from_files(listing, spec, cache, skip_bad_rows)


def _mimic_rows(root: Path, params: MimicParams, skip_bad_rows: bool) -> tuple[Table, tuple[str, ...]]:
    """The metadata with the labels of each image's study, in common words, and warnings."""
    metadata = read_table(_table(root, "metadata"), "dicom_id")
    images, patients, studies = (
        metadata.column(name, "data.dataset") for name in ("dicom_id", "subject_id", "study_id")
    )
    wanted = [name for name in (params.finding, params.against) if name]
    stated = _lookup(_table(root, params.labels), "study_id", ["subject_id", *wanted], skip_bad_rows)
    labels = [stated.get(study) for study in studies]
    cells = {
        "image": [_path(*ids) for ids in zip(patients, studies, images, strict=True)],
        "patient": patients,
        "view": metadata.column("ViewPosition", "data.dataset"),
        **{name: [found[at] if found else "" for found in labels] for at, name in enumerate(wanted, 1)},
    }
    if _find(root, "split"):
        sides = _lookup(_table(root, "split"), "dicom_id", ["split"], skip_bad_rows)
        cells["split"] = [_side(sides.get(image)) for image in images]
    strange = [found is not None and found[0] != patient for found, patient in zip(labels, patients, strict=True)]
    problems = [
        Problem(row, image, "its study belongs to another patient in the labels", "download both tables again")
        for row, image, wrong in zip(metadata.numbers, cells["image"], strange, strict=True)
        if wrong
    ]
    rows = tuple(zip(*cells.values(), strict=True))
    whole = Table(metadata.name, tuple(cells), rows, metadata.numbers, (*metadata.problems, *problems))
    table = whole.keep([found is not None and not wrong for found, wrong in zip(labels, strange, strict=True)])
    bare = labels.count(None)
    return table, (f"{bare:,} images belong to a study without labels and were left out",) if bare else ()


def _side(found: Sequence[str] | None) -> str:
    return _SIDES.get(found[0], found[0]) if found else ""


def _lookup(path: Path, key: str, names: Sequence[str], skip_bad_rows: bool) -> dict[str, tuple[str, ...]]:
    """Value of the key column -> its cells of these columns. Raises DataError for bad rows unless they are left out."""
    table = read_table(path, key)
    if not skip_bad_rows:
        refuse(table.name, table.problems)
    columns = [table.column(name, "data.dataset") for name in names]
    return dict(zip(table.column(key, "data.dataset"), zip(*columns, strict=True), strict=True))


def _path(patient: str, study: str, image: str) -> str:
    return f"files/p{patient[:2]}/p{patient}/s{study}/{image}.jpg"


def _find(root: Path, kind: str) -> list[Path]:
    return sorted(root.glob(f"mimic-cxr-*-{kind}.csv")) + sorted(root.glob(f"mimic-cxr-*-{kind}.csv.gz"))


def _table(root: Path, kind: str) -> Path:
    found = _find(root, kind)
    if not found:
        raise SpecError(
            f"data.dataset.folder: {root.name}/ has no file 'mimic-cxr-2.0.0-{kind}.csv.gz'; put it there as published"
        )
    return found[0]
