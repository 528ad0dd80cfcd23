"""Public chest radiograph sets: NIH ChestX-ray14, CheXpert and MIMIC-CXR-JPG."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from assay.core.errors import DataError, SpecError, unknown_name
from assay.core.registry import Role, component
from assay.core.traits import DataTraits
from assay.core.types import Factor
from assay.data.cache import ArrayCache
from assay.data.dataset import Dataset
from assay.data.files.table import Problem, Table, Torn, Unreadable, inside, number, read_table, refuse
from assay.data.public.sets import SETS
from assay.data.public.tables import SPLIT, Column, Finder, Part, Rows, Sides, TableSet, file_of, found_in, load_tables
from assay.spec.schema import DataSpec

# Arguments and factors.

Policy = Literal["refuse", "negative", "positive", "drop"]

SEX = Factor("sex", "categorical", levels=("F", "M"), high=("M",), description="as the table says")
AGE = Factor("age", "continuous", unit="years", range=(0.0, 120.0))
VIEWS = ("PA", "AP", "lateral", "LL", "RL")
VIEW = Factor("view", "categorical", levels=VIEWS, high=("AP",), description="AP: mostly at the bedside")
NIH_FACTORS = (
    Factor("view", "categorical", levels=("PA", "AP"), high=("AP",), description="AP: mostly at the bedside"),
    SEX,
    AGE,
    Factor("follow_up", "continuous", description="number of the visit, 0 the first"),
)
MIMIC_FACTORS = (Factor("view", "categorical", high=("AP",), description="AP: mostly at the bedside"),)


def refuse_several(finding: str, against: str) -> None:
    """Refuse several findings in one argument.

    Raises:
        ValueError: One finding is not compared with one other.
    """
    for name in (finding, against):
        if "|" in name or "," in name:
            raise ValueError(f"'{name}' is several findings; multi-label targets are not built yet: name one finding")
    if finding == against:
        raise ValueError(f"finding and against are both '{finding}'; name two different ones")


@dataclass(frozen=True, kw_only=True)
class NihArguments:
    """Arguments of `nih`: one named finding against No Finding or another one."""

    folder: Annotated[
        str, Role("folder"), Field(min_length=1, description="the folder that holds the table and the images")
    ]
    finding: Annotated[str, Field(min_length=1, description="the positive class, such as Mass")]
    against: Annotated[str, Field(min_length=1, description="the negative class: No Finding, or another finding")] = (
        "No Finding"
    )
    alone: Annotated[bool, Field(description="leave out images that show other findings beside")] = False
    table: Annotated[str, Field(description="the table of images")] = "Data_Entry_2017.csv"

    def __post_init__(self) -> None:
        """Refuse several findings."""
        refuse_several(self.finding, self.against)


_MEANS = "negative, positive, left out, or an error"


@dataclass(frozen=True, kw_only=True)
class MinedArguments:
    """Arguments of `chexpert`, whose findings are 1, 0, -1 (uncertain) or blank (not mentioned)."""

    folder: Annotated[
        str, Role("folder"), Field(min_length=1, description="the folder that holds the tables and the images")
    ]
    finding: Annotated[str, Field(min_length=1, description="the positive class, such as Edema")]
    against: Annotated[
        str, Field(description="the negative class: another finding or No Finding; empty: finding is 0")
    ] = ""
    uncertain: Annotated[Policy, Field(description=f"what -1 means: {_MEANS}")] = "refuse"
    blank: Annotated[Policy, Field(description=f"what an empty cell means: {_MEANS}")] = "refuse"

    def __post_init__(self) -> None:
        """Refuse several findings."""
        refuse_several(self.finding, self.against)


@dataclass(frozen=True, kw_only=True)
class MimicArguments(MinedArguments):
    """Arguments of `mimic`."""

    labels: Annotated[Literal["chexpert", "negbio"], Field(description="which labeller read the reports")] = "chexpert"


# Which radiographs of a set with many findings are positive and which negative: one finding against one other.

PRESENT, ABSENT, UNCERTAIN, BLANK = 1, 0, -1, -2
"""Codes of one finding of one image."""
_SIDE = {"negative": ABSENT, "positive": PRESENT}


def check_findings(known: Sequence[str], asked: NihArguments | MinedArguments) -> None:
    """Check that the set has the findings. Raises SpecError with the nearest name."""
    for place, name in (("finding", asked.finding), ("against", asked.against)):
        if name and name not in known:
            raise SpecError(f"data.dataset.{place}: {unknown_name('finding', name, known)}")


def compared(
    finding: str, against: str, has_finding: np.ndarray, has_against: np.ndarray, others: np.ndarray | None = None
) -> Sides:
    """Compute the classes of one finding against another.

    Class 1 has the finding, class 0 the other. Rows with both or neither are not used.

    Args:
        finding: Name of class 1.
        against: Name of class 0.
        has_finding: Rows with the finding, bool [n].
        has_against: Rows with the other finding, bool [n].
        others: Rows to leave out because they show further findings, bool [n].

    Raises:
        DataError: A class is empty.
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


def mined(params: MinedArguments, state: Callable[[str], np.ndarray]) -> Sides:
    """Compute the classes of a set whose labels were mined with uncertainty.

    Without `against`, the negatives are the rows whose finding is absent, and the meaning of blank labels must be
    stated. With it, they are the rows with that other finding, and a blank label means that it was not mentioned. If
    uncertain labels are left out, a row is in no class when either finding is uncertain.

    Args:
        params: Findings and policies.
        state: Finding -> PRESENT, ABSENT, UNCERTAIN or BLANK [n].

    Raises:
        SpecError: Uncertain or blank labels whose meaning is not stated.
    """
    stated = _settled(params.finding, state(params.finding), UNCERTAIN, params.uncertain, "uncertain")
    if not params.against:
        stated = _settled(params.finding, stated, BLANK, params.blank, "blank")
        sides = compared(params.finding, f"not {params.finding}", stated == PRESENT, stated == ABSENT)
    else:
        other = _settled(params.against, state(params.against), UNCERTAIN, params.uncertain, "uncertain")
        sure = (stated != UNCERTAIN) & (other != UNCERTAIN)
        sides = compared(params.finding, params.against, sure & (stated == PRESENT), sure & (other == PRESENT))
    return replace(sides, facts=(*sides.facts, *_told(params, state)))


def _settled(finding: str, state: np.ndarray, kind: int, policy: Policy, word: str) -> np.ndarray:
    """Replace states with one kind of doubt as the policy says. Dropped ones stay, and no class uses them."""
    doubtful = state == kind
    if policy == "refuse" and doubtful.any():
        written = "-1" if kind == UNCERTAIN else "an empty cell"
        raise SpecError(
            f"data.dataset.{word}: '{finding}' is {word} ({written}) in {int(doubtful.sum()):,} of {len(state):,} "
            f"images; say what that means: {word}: negative, positive or drop"
        )
    return np.where(doubtful, _SIDE[policy], state) if policy in _SIDE else state


def _told(params: MinedArguments, state: Callable[[str], np.ndarray]) -> list[str]:
    """Count the labels that each policy touched, for the card."""
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


# NIH ChestX-ray14 (Wang et al. 2017) as it is published: `Data_Entry_2017.csv`, the two lists, the image archives.

NIH_FINDINGS = (
    "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Effusion", "Emphysema", "Fibrosis", "Hernia",
    "Infiltration", "Mass", "No Finding", "Nodule", "Pleural_Thickening", "Pneumonia", "Pneumothorax",
)  # fmt: skip
LISTS = {"train_val_list.txt": "train", "test_list.txt": "test"}
OLDEST = 120
_YEARS = {"Y": 1.0, "M": 12.0, "W": 52.18, "D": 365.25}
_AGE = re.compile(r"(\d{1,3})([YMWD])")


def _years(cell: str) -> str:
    """Parse an age in years: `058Y` is 58, `018M` 1.5. An implausible age is missing; other text stays as it is."""
    found = _AGE.fullmatch(cell)
    years = float(found[1]) / _YEARS[found[2]] if found else number(cell)
    if years is None:
        return cell
    return f"{years:g}" if 0 <= years <= OLDEST else "NA"


def _with_lists(rows: Rows, root: Path, asked: NihArguments, skip_bad_rows: bool) -> Rows:
    """Add the official split where both lists are there, and count the ages that no one has."""
    wrong = sum(age == "NA" for age in rows.table.column("age", "data.dataset"))
    told = (f"{wrong:,} ages below 0 or over {OLDEST} years stand in the table; they count as missing",)
    if not all((root / name).is_file() for name in LISTS):
        return replace(rows, warnings=told if wrong else ())
    sides: dict[str, str] = {}
    for name, side in LISTS.items():
        for image in (root / name).read_text(encoding="utf-8-sig").split():
            if sides.setdefault(image, side) != side:
                raise DataError(f"{' and '.join(LISTS)} both name an image ({image}); download them again")
    named = [sides.get(image, "") for image in rows.table.column("image", "data.dataset")]
    return rows.with_column(SPLIT.name, named, *(told if wrong else ()))


def _nih_sides(asked: NihArguments, table: Table) -> Sides:
    labels = [frozenset(part.strip() for part in cell.split("|")) for cell in table.column("labels", "data.dataset")]
    known = frozenset(NIH_FINDINGS)
    wrong = {at: _strange(found - known) for at, found in enumerate(labels) if not found <= known}
    two = {asked.finding, asked.against}
    has_finding = np.array([asked.finding in found for found in labels])
    has_against = np.array([asked.against in found for found in labels])
    others = np.array([bool(found - two) for found in labels]) if asked.alone else None
    return replace(compared(asked.finding, asked.against, has_finding, has_against, others), wrong=wrong)


def _strange(names: frozenset[str]) -> tuple[str, str]:
    listed = ", ".join(sorted(names))
    what = f"its labels name '{listed}', which is none of the 14 findings" if listed else "it has no label"
    return what, "write the labels as published, joined by |"


NIH = TableSet(
    title="NIH ChestX-ray14",
    about=SETS["nih"],
    parts=(Part(("Data_Entry_2017.csv",)),),
    columns={
        "image": Column("Image Index"),
        "labels": Column("Finding Labels"),
        "follow_up": Column("Follow-up #"),
        "patient": Column("Patient ID"),
        "age": Column("Patient Age", cell=_years),
        "sex": Column("Patient Gender|Patient Sex"),
        "view": Column("View Position"),
    },
    factors=NIH_FACTORS,
    sides=_nih_sides,
    check=partial(check_findings, NIH_FINDINGS),
    hint="name the table of images",
    place="table",
    split_files=" and ".join(LISTS),
    extend=_with_lists,
)


@component(
    "dataset",
    "nih",
    DataTraits(factors=NIH_FACTORS),
    summary="NIH ChestX-ray14 with its Data_Entry_2017.csv: one finding against another or No Finding",
)
def load_nih(spec: DataSpec, cache: ArrayCache, skip_bad_rows: bool, *, asked: NihArguments) -> Dataset:
    """Load NIH ChestX-ray14 by the table that is asked for; see `load_tables`."""
    known = replace(NIH, parts=(Part((asked.table,)),))
    return load_tables(known, spec, cache, skip_bad_rows, asked)


# CheXpert (Irvin et al. 2019) as it is published: `train.csv`, `valid.csv`, `<side>/patientN/studyN/viewN_*.jpg`.

CHEXPERT_FINDINGS = (
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation",
    "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture", "Support Devices",
)  # fmt: skip
_PATIENT = re.compile(r"(?:^|/)(patient\d+)/study\d+/")
_SEX = {"Female": "F", "Male": "M", "Unknown": ""}


def _patient(path: str) -> str:
    found = _PATIENT.search(path)
    return found[1] if found else ""


def _mined_sides(asked: MinedArguments, table: Table) -> Sides:
    """The classes of the rows by the stated policies, and rows whose labels are none of 1, 0, -1 and blank."""
    read = {name: states(table.column(name, "data.dataset")) for name in (asked.finding, asked.against) if name}
    wrong = {
        at: (f"'{name}' is none of 1, 0, -1 and empty", "copy the table again")
        for name, (_, positions) in read.items()
        for at in positions
    }
    return replace(mined(asked, lambda name: read[name][0]), wrong=wrong)


def _chexpert_finder(root: Path) -> Finder:
    """Paths begin with the name of the set's own folder, whatever it is called here."""

    def find(path: str) -> Path:
        try:
            return inside(root, path)
        except Unreadable as error:
            _, slash, rest = path.partition("/")
            if not slash or "missing" not in error.what:
                raise
            return inside(root, rest)

    return find


CHEXPERT = TableSet(
    title="CheXpert",
    about=SETS["chexpert"],
    parts=(Part(("train.csv",), "train"), Part(("valid.csv",), "test")),
    columns={
        "image": Column("Path"),
        "patient": Column("Path", cell=_patient),
        "view": Column(
            "AP/PA", "Frontal/Lateral", joined=lambda cells: cells[0] or ("lateral" if cells[1] == "Lateral" else "")
        ),
        "sex": Column("Sex", cell=lambda sex: _SEX.get(sex, sex)),
        "age": Column("Age"),
    },
    factors=(VIEW, SEX, AGE),
    sides=_mined_sides,
    check=partial(check_findings, CHEXPERT_FINDINGS),
    findings=CHEXPERT_FINDINGS,
    split_files="train.csv and valid.csv",
    find=_chexpert_finder,
)


# MIMIC-CXR-JPG (Johnson et al. 2019) as it is published: tables of labels, metadata and split, and `files/`.

MIMIC_FINDINGS = (
    "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Enlarged Cardiomediastinum", "Fracture", "Lung Lesion",
    "Lung Opacity", "No Finding", "Pleural Effusion", "Pleural Other", "Pneumonia", "Pneumothorax", "Support Devices",
)  # fmt: skip
_SIDES = {"train": "train", "validate": "validation", "test": "test"}


Cells = tuple[str, ...]


def _files(kind: str) -> tuple[str, ...]:
    return f"mimic-cxr-2.0.0-{kind}.csv.gz", f"mimic-cxr-*-{kind}.csv", f"mimic-cxr-*-{kind}.csv.gz"


def _labeled(rows: Rows, root: Path, asked: MimicArguments, skip_bad_rows: bool) -> Rows:
    """Add the labels of each image's study, and the split where its table is there.

    Images of a study whose labels are in a line with too few or too many cells are bad lines of the table of images.
    """
    known, images = rows.table, rows.table.column("image", "data.dataset")
    patients, studies, names = (known.column(name, "data.dataset") for name in ("patient", "study", "dicom"))
    wanted = [name for name in (asked.finding, asked.against) if name]
    source = file_of(root, _files(asked.labels), "put it there as published")
    stated, unsure = _lookup(source, "study_id", ["subject_id", *wanted], skip_bad_rows)
    labels = [stated.get(study) for study in studies]
    torn = [unsure.get(study, ()) if found is None else () for found, study in zip(labels, studies, strict=True)]
    for at, name in enumerate(wanted, 1):
        rows = rows.with_column(name, [found[at] if found else "" for found in labels])
    divided = found_in(root, _files("split"))
    if divided:
        sides, _ = _lookup(divided, "dicom_id", ["split"], skip_bad_rows)
        rows = rows.with_column(SPLIT.name, [_side(sides.get(name)) for name in names])
    strange = [found is not None and found[0] != patient for found, patient in zip(labels, patients, strict=True)]
    problems = [
        Problem(row, image, "its study belongs to another patient in the labels", "download both tables again")
        for row, image, wrong in zip(known.numbers, images, strange, strict=True)
        if wrong
    ]
    what = f"the line of its study in {source.name} has too few or too many cells"
    problems += [
        Problem(row, image, what, "copy that table again")
        for row, image, lines in zip(known.numbers, images, torn, strict=True)
        if lines
    ]
    header = rows.table.header
    guessed = [
        Torn(number, tuple(_with_labels(header, row, wanted, line[1:]) for line in lines))
        for number, row, lines in zip(rows.table.numbers, rows.table.rows, torn, strict=True)
        if lines
    ]
    whole = replace(rows.table, problems=(*known.problems, *problems), torn=(*rows.table.torn, *guessed))
    table = whole.keep([found is not None and not wrong for found, wrong in zip(labels, strange, strict=True)])
    bare = sum(found is None and not lines for found, lines in zip(labels, torn, strict=True))
    told = (f"{bare:,} images belong to a study without labels and were left out",)
    return Rows(table, rows.find, told if bare else ())


def _side(found: Sequence[str] | None) -> str:
    return _SIDES.get(found[0], found[0]) if found else ""


def _with_labels(header: Sequence[str], row: Sequence[str], names: Sequence[str], cells: Sequence[str]) -> Cells:
    found = dict(zip(header, row, strict=True)) | dict(zip(names, cells, strict=True))
    return tuple(found[name] for name in header)


def _lookup(
    path: Path, key: str, names: Sequence[str], skip_bad_rows: bool
) -> tuple[dict[str, Cells], dict[str, tuple[Cells, ...]]]:
    """Return the cells of these columns by the value of the key column, and those of lines that could be read two ways.

    Raises DataError for bad rows unless they are left out.
    """
    table = read_table(path, key)
    if not skip_bad_rows:
        refuse(table.name, table.problems)

    def cells(rows: Table) -> list[tuple[str, Cells]]:
        columns = [rows.column(name, "data.dataset") for name in names]
        return list(zip(rows.column(key, "data.dataset"), zip(*columns, strict=True), strict=True))

    torn: dict[str, tuple[Cells, ...]] = {}
    for value, found in cells(replace(table, rows=tuple(row for line in table.torn for row in line.rows))):
        torn[value] = (*torn.get(value, ()), found)
    return dict(cells(table)), torn


MIMIC = TableSet(
    title="MIMIC-CXR-JPG",
    about=SETS["mimic"],
    parts=(Part(_files("metadata")),),
    columns={
        "image": Column(
            "subject_id",
            "study_id",
            "dicom_id",
            joined=lambda ids: f"files/p{ids[0][:2]}/p{ids[0]}/s{ids[1]}/{ids[2]}.jpg",
        ),
        "patient": Column("subject_id"),
        "study": Column("study_id"),
        "dicom": Column("dicom_id"),
        "view": Column("ViewPosition"),
    },
    factors=MIMIC_FACTORS,
    sides=_mined_sides,
    check=partial(check_findings, MIMIC_FINDINGS),
    hint="put it there as published",
    split_files="mimic-cxr-2.0.0-split.csv.gz",
    find=lambda root: partial(inside, root),
    extend=_labeled,
)


@component(
    "dataset",
    "chexpert",
    DataTraits(factors=(VIEW, SEX, AGE)),
    summary="CheXpert with its train.csv; what uncertain and blank labels mean is stated",
)
def load_chexpert(spec: DataSpec, cache: ArrayCache, skip_bad_rows: bool, *, asked: MinedArguments) -> Dataset:
    """Load CheXpert; see `load_tables`."""
    return load_tables(CHEXPERT, spec, cache, skip_bad_rows, asked)


@component(
    "dataset",
    "mimic",
    DataTraits(factors=MIMIC_FACTORS),
    summary="MIMIC-CXR-JPG with its tables of labels, metadata and split; uncertain and blank labels as stated",
)
def load_mimic(spec: DataSpec, cache: ArrayCache, skip_bad_rows: bool, *, asked: MimicArguments) -> Dataset:
    """Load MIMIC-CXR-JPG; see `load_tables`."""
    return load_tables(MIMIC, spec, cache, skip_bad_rows, asked)
