"""NIH ChestX-ray14 (Wang et al. 2017) as it is published: `Data_Entry_2017.csv`, the two lists, the image archives."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from assay.core.data_spec import DataSpec
from assay.core.errors import DataError, SpecError
from assay.data.cache import ArrayCache
from assay.data.cards import KnownSet
from assay.data.dataset import Dataset
from assay.data.parameters import NihParams
from assay.data.sources.assemble import from_files
from assay.data.sources.findings import Sides, check_finding, compared
from assay.data.sources.paths import expand
from assay.data.sources.problems import Unreadable
from assay.data.sources.radiographs import Radiographs, listing_of
from assay.data.sources.table import Table, number, read_table

ABOUT = KnownSet(
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
FINDINGS = (
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
        check_finding(getattr(params, place), place, FINDINGS)
    root = directory(params.folder)
    rows, warnings = _rows(root, params.table)
    given = Radiographs("NIH ChestX-ray14", ABOUT, rows, params.FACTORS, _finder(root), " and ".join(LISTS), warnings)
    listing = listing_of(given, spec, lambda chosen: _sides(params, chosen))
    return from_files(listing, spec, cache, skip_bad_rows)


def directory(text: str) -> Path:
    """The folder of a set. Raises SpecError when it does not exist or is a file."""
    path = expand(text, "data.dataset.folder")
    if not path.is_dir():
        raise SpecError(f"data.dataset.folder: '{text}' is a file; give the folder that holds the set")
    return path


def _rows(root: Path, name: str) -> tuple[Table, tuple[str, ...]]:
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
    known = frozenset(FINDINGS)
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


def _finder(root: Path) -> Callable[[str], Path]:
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
