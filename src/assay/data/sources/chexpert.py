"""CheXpert (Irvin et al. 2019) as it is published: `train.csv`, `valid.csv`, `<side>/patientN/studyN/viewN_*.jpg`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from assay.core.data_spec import DataSpec
from assay.core.errors import DataError, SpecError
from assay.data.cache import ArrayCache
from assay.data.cards import KnownSet
from assay.data.dataset import Dataset
from assay.data.parameters import ChexpertParams, MinedParams
from assay.data.sources.assemble import from_files
from assay.data.sources.findings import Sides, check_finding, mined, states
from assay.data.sources.nih import directory
from assay.data.sources.paths import inside
from assay.data.sources.problems import Unreadable
from assay.data.sources.radiographs import SPLIT, Radiographs, listing_of
from assay.data.sources.table import Table, read_table

ABOUT = KnownSet(
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
FINDINGS = (
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
    check_findings(params, FINDINGS)
    root = directory(params.folder)
    rows = _rows(root)
    given = Radiographs("CheXpert", ABOUT, rows, params.FACTORS, _finder(root), "train.csv and valid.csv")
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


def _rows(root: Path) -> Table:
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
        **{name: table.column(name, "data.dataset") for name in FINDINGS if name in table.header},
    }
    rows = tuple(zip(*cells.values(), strict=True))
    return Table(table.name, tuple(cells), rows, table.numbers, table.problems)


def with_column(table: Table, name: str, value: str) -> Table:
    """The table with a column that holds the same in every row."""
    return replace(table, header=(*table.header, name), rows=tuple((*row, value) for row in table.rows))


def _patient(path: str) -> str:
    found = _PATIENT.search(path)
    return found[1] if found else ""


def _finder(root: Path) -> Callable[[str], Path]:
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
