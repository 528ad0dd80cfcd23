"""MIMIC-CXR-JPG (Johnson et al. 2019) as it is published: tables of labels, metadata and split, and `files/`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assay.core.data_spec import DataSpec
from assay.core.errors import SpecError
from assay.data.cache import ArrayCache
from assay.data.cards import KnownSet
from assay.data.dataset import Dataset
from assay.data.parameters import MimicParams
from assay.data.sources.assemble import from_files
from assay.data.sources.chexpert import check_findings, mined_sides
from assay.data.sources.nih import directory
from assay.data.sources.paths import inside
from assay.data.sources.problems import Problem, refuse
from assay.data.sources.radiographs import Radiographs, listing_of
from assay.data.sources.table import Table, read_table

ABOUT = KnownSet(
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
FINDINGS = (
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
    check_findings(params, FINDINGS)
    root = directory(params.folder)
    rows, warnings = _rows(root, params, skip_bad_rows)
    given = Radiographs(
        "MIMIC-CXR-JPG",
        ABOUT,
        rows,
        params.FACTORS,
        lambda name: inside(root, name),
        "mimic-cxr-2.0.0-split.csv.gz",
        warnings,
    )
    listing = listing_of(given, spec, lambda chosen: mined_sides(params, chosen))
    return from_files(listing, spec, cache, skip_bad_rows)


def _rows(root: Path, params: MimicParams, skip_bad_rows: bool) -> tuple[Table, tuple[str, ...]]:
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
