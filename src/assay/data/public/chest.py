"""Public chest radiograph sets: NIH ChestX-ray14, CheXpert and MIMIC-CXR-JPG."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from assay.core.errors import DataError, SpecError, unknown_name
from assay.core.types import Factor
from assay.data.files.table import Problem, TextTable, Unreadable, inside, number, read_table, refuse
from assay.data.public.tables import (
    SPLIT,
    Finder,
    RowClasses,
    SetFolder,
    SetRows,
    TablePart,
    find_root,
    finder,
    found_in,
    map_columns,
    public_set,
    read_parts,
)

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
            raise ValueError(
                f"'{name}' is several findings; multi-label targets are not supported yet: name one finding"
            )
    if finding == against:
        raise ValueError(f"finding and against are both '{finding}'; name two different ones")


@dataclass(frozen=True, kw_only=True)
class NihArguments:
    """Arguments of `nih`: one named finding against No Finding or another one."""

    folder: SetFolder
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

    folder: SetFolder
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


def check_findings(findings: Sequence[str], arguments: NihArguments | MinedArguments) -> None:
    """Check that the set has the findings. Raises SpecError with the nearest name."""
    for place, name in (("finding", arguments.finding), ("against", arguments.against)):
        if name and name not in findings:
            raise SpecError(f"data.dataset.{place}: {unknown_name('finding', name, findings)}")


def finding_classes(
    finding: str, against: str, has_finding: np.ndarray, has_against: np.ndarray, others: np.ndarray | None = None
) -> RowClasses:
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
        excluded = others & (codes >= 0)
        codes[excluded] = -1
        facts.append(f"{int(excluded.sum()):,} images with other findings beside were left out")
    for code, name in ((1, finding), (0, against)):
        if not (codes == code).any():
            raise DataError(
                f"no image is {name}; name findings that the chosen rows have (data.where and the policies choose rows)"
            )
    return RowClasses(codes, (against, finding), tuple(facts))


def mined_classes(params: MinedArguments, state: Callable[[str], np.ndarray]) -> RowClasses:
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
    status = _apply_policy(params.finding, state(params.finding), UNCERTAIN, params.uncertain, "uncertain")
    if not params.against:
        status = _apply_policy(params.finding, status, BLANK, params.blank, "blank")
        sides = finding_classes(params.finding, f"not {params.finding}", status == PRESENT, status == ABSENT)
    else:
        other = _apply_policy(params.against, state(params.against), UNCERTAIN, params.uncertain, "uncertain")
        sure = (status != UNCERTAIN) & (other != UNCERTAIN)
        sides = finding_classes(params.finding, params.against, sure & (status == PRESENT), sure & (other == PRESENT))
    return replace(sides, facts=(*sides.facts, *_policy_facts(params, state)))


def _apply_policy(finding: str, state: np.ndarray, kind: int, policy: Policy, word: str) -> np.ndarray:
    """Replace states with one kind of doubt as the policy says. Dropped ones stay, and no class uses them."""
    doubtful = state == kind
    if policy == "refuse" and doubtful.any():
        written = "-1" if kind == UNCERTAIN else "an empty cell"
        raise SpecError(
            f"data.dataset.{word}: '{finding}' is {word} ({written}) in {int(doubtful.sum()):,} of {len(state):,} "
            f"images; say what that means: {word}: negative, positive or drop"
        )
    return np.where(doubtful, _SIDE[policy], state) if policy in _SIDE else state


def _policy_facts(params: MinedArguments, state: Callable[[str], np.ndarray]) -> list[str]:
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
    parsed = [codes.get(cell) for cell in cells]
    wrong = [at for at, code in enumerate(parsed) if code is None]
    return np.array([BLANK if code is None else code for code in parsed], dtype=np.int64), wrong


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
    match = _AGE.fullmatch(cell)
    years = float(match[1]) / _YEARS[match[2]] if match else number(cell)
    if years is None:
        return cell
    return f"{years:g}" if 0 <= years <= OLDEST else "NA"


def _nih_sides(arguments: NihArguments, frame: pd.DataFrame) -> RowClasses:
    labels = [frozenset(part.strip() for part in cell.split("|")) for cell in frame["labels"]]
    allowed = frozenset(NIH_FINDINGS)
    wrong = {at: _strange(findings - allowed) for at, findings in enumerate(labels) if not findings <= allowed}
    two = {arguments.finding, arguments.against}
    has_finding = np.array([arguments.finding in findings for findings in labels])
    has_against = np.array([arguments.against in findings for findings in labels])
    others = np.array([bool(findings - two) for findings in labels]) if arguments.alone else None
    return replace(finding_classes(arguments.finding, arguments.against, has_finding, has_against, others), wrong=wrong)


def _strange(names: frozenset[str]) -> tuple[str, str]:
    listed = ", ".join(sorted(names))
    what = f"its labels name '{listed}', which is none of the 14 findings" if listed else "it has no label"
    return what, "write the labels as published, joined by |"


@public_set("nih", NIH_FACTORS, split_files=" and ".join(LISTS))
def nih(arguments: NihArguments, skip_bad_rows: bool) -> SetRows:
    """Convert NIH ChestX-ray14, with the official split where both lists are there; count the ages that no one has."""
    check_findings(NIH_FINDINGS, arguments)
    root = find_root(arguments.folder, (arguments.table,), hint="name the table of images", place="table")
    columns = {
        "image": "Image Index",
        "labels": "Finding Labels",
        "follow_up": "Follow-up #",
        "patient": "Patient ID",
        "age": "Patient Age",
        "sex": "Patient Gender|Patient Sex",
        "view": "View Position",
    }
    table = map_columns(read_parts(root, [TablePart((arguments.table,))], columns), age=_years)
    wrong = table.column("age", "data.dataset").count("NA")
    fact = f"{wrong:,} ages below 0 or over {OLDEST} years are in the table; they count as missing"
    if all((root / name).is_file() for name in LISTS):
        sides: dict[str, str] = {}
        for name, side in LISTS.items():
            for image in (root / name).read_text(encoding="utf-8-sig").split():
                if sides.setdefault(image, side) != side:
                    raise DataError(f"{' and '.join(LISTS)} both name an image ({image}); download them again")
        table.frame[SPLIT.name] = [sides.get(image, "") for image in table.frame["image"]]
    return SetRows(table, partial(_nih_sides, arguments), finder(root), (fact,) if wrong else ())


# CheXpert (Irvin et al. 2019) as it is published: `train.csv`, `valid.csv`, `<side>/patientN/studyN/viewN_*.jpg`.

CHEXPERT_FINDINGS = (
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation",
    "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture", "Support Devices",
)  # fmt: skip
_PATIENT = re.compile(r"(?:^|/)(patient\d+)/study\d+/")
_SEX = {"Female": "F", "Male": "M", "Unknown": ""}


def _patient_of_path(path: str) -> str:
    match = _PATIENT.search(path)
    return match[1] if match else ""


def _mined_sides(arguments: MinedArguments, frame: pd.DataFrame) -> RowClasses:
    """The classes of the rows by the stated policies, and rows whose labels are none of 1, 0, -1 and blank."""
    parsed = {name: states(frame[name].tolist()) for name in (arguments.finding, arguments.against) if name}
    wrong = {
        at: (f"'{name}' is none of 1, 0, -1 and empty", "copy the table again")
        for name, (_, positions) in parsed.items()
        for at in positions
    }
    return replace(mined_classes(arguments, lambda name: parsed[name][0]), wrong=wrong)


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


@public_set("chexpert", (VIEW, SEX, AGE), split_files="train.csv and valid.csv")
def chexpert(arguments: MinedArguments, skip_bad_rows: bool) -> SetRows:
    """Convert CheXpert; the images that radiologists read are the test part."""
    check_findings(CHEXPERT_FINDINGS, arguments)
    root = find_root(arguments.folder, ("train.csv",))
    parts = TablePart(("train.csv",), "train"), TablePart(("valid.csv",), "test")
    columns = {
        "image": "Path",
        "patient": "Path",
        "view": "AP/PA",
        "side": "Frontal/Lateral",
        "sex": "Sex",
        "age": "Age",
    }
    table = map_columns(
        read_parts(root, parts, columns, CHEXPERT_FINDINGS),
        patient=_patient_of_path,
        sex=lambda sex: _SEX.get(sex, sex),
    )
    frame = table.frame
    lateral = ["lateral" if side == "Lateral" else "" for side in frame.pop("side")]
    frame["view"] = [view or side for view, side in zip(frame["view"], lateral, strict=True)]
    for name in (arguments.finding, arguments.against):
        if name:
            table.column(name, "data.dataset")
    return SetRows(table, partial(_mined_sides, arguments), _chexpert_finder(root))


# MIMIC-CXR-JPG (Johnson et al. 2019) as it is published: tables of labels, metadata and split, and `files/`.

MIMIC_FINDINGS = (
    "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Enlarged Cardiomediastinum", "Fracture", "Lung Lesion",
    "Lung Opacity", "No Finding", "Pleural Effusion", "Pleural Other", "Pneumonia", "Pneumothorax", "Support Devices",
)  # fmt: skip
_SIDES = {"train": "train", "validate": "validation", "test": "test"}


def _table_names(kind: str) -> tuple[str, ...]:
    return f"mimic-cxr-2.0.0-{kind}.csv.gz", f"mimic-cxr-*-{kind}.csv", f"mimic-cxr-*-{kind}.csv.gz"


@public_set("mimic", MIMIC_FACTORS, split_files="mimic-cxr-2.0.0-split.csv.gz")
def mimic(arguments: MimicArguments, skip_bad_rows: bool) -> SetRows:
    """Convert MIMIC-CXR-JPG: images with the labels of their study, and the split where its table is there."""
    check_findings(MIMIC_FINDINGS, arguments)
    hint = "put it there as published"
    root = find_root(arguments.folder, _table_names("metadata"), hint=hint)
    columns = {"patient": "subject_id", "study": "study_id", "dicom": "dicom_id", "view": "ViewPosition"}
    table = read_parts(root, [TablePart(_table_names("metadata"))], columns)
    frame = table.frame
    ids = zip(frame["patient"], frame["study"], frame["dicom"], strict=True)
    frame.insert(0, "image", [f"files/p{patient[:2]}/p{patient}/s{study}/{dicom}.jpg" for patient, study, dicom in ids])
    source = found_in(root, _table_names(arguments.labels))
    if source is None:
        raise SpecError(f"data.dataset.folder: {root.name}/ has no file '{_table_names(arguments.labels)[0]}'; {hint}")
    wanted = [name for name in (arguments.finding, arguments.against) if name]
    labels = _lookup(source, ("study_id", "subject_id", *wanted), skip_bad_rows)
    if split_table := found_in(root, _table_names("split")):
        sides = _lookup(split_table, ("dicom_id", "split"), skip_bad_rows)
        split_of_image = dict(zip(sides.column("dicom_id", ""), sides.column("split", ""), strict=True))
        frame[SPLIT.name] = [
            _SIDES.get(side, side) for side in (split_of_image.get(name, "") for name in frame["dicom"])
        ]
    return _join_labels(table, labels, partial(_mined_sides, arguments), partial(inside, root))


def _lookup(path: Path, names: Sequence[str], skip_bad_rows: bool) -> TextTable:
    """Return these columns of a table; the first one names rows. Raises DataError for bad ones unless left out."""
    table = read_table(path, names[0])
    if not skip_bad_rows:
        refuse(table.name, table.problems)
    for name in names:
        table.column(name, "data.dataset")
    return replace(table, frame=table.frame[list(names)])


def _join_labels(
    table: TextTable, labels: TextTable, sides: Callable[[pd.DataFrame], RowClasses], find: Finder
) -> SetRows:
    """Join images with the labels of their study."""
    unique = labels.frame.drop_duplicates("study_id", keep="last")
    labels_of_study = unique.rename(columns={"study_id": "study", "subject_id": "owner"})
    frame = table.frame.assign(line=table.frame.index).merge(labels_of_study, "left", "study").set_index("line")
    bare = frame["owner"].isna()
    strange = (frame["owner"] != frame["patient"]) & ~bare
    what = "its study belongs to another patient in the labels"
    problems = [
        Problem(row, image, what, "download both tables again")
        for row, image in zip(frame.index[strange].tolist(), frame["image"][strange], strict=True)
    ]
    unread = f" ({len(labels.problems):,} lines of {labels.name} cannot be read)" if labels.problems else ""
    warning = f"{int(bare.sum()):,} images belong to a study without labels and were left out{unread}"
    usable = frame[~bare & ~strange].drop(columns="owner")
    joined = replace(table, frame=usable, problems=(*table.problems, *problems))
    return SetRows(joined, sides, find, (warning,) if bare.any() else ())
