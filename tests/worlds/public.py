"""Folders in the layout of public datasets, with made images."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from tests.worlds.files import noise, save

from assay.plugin import ArrayCache, Component, Dataset, DataSpec, load_dataset

# Small trees in the layout of the public sets, which the tests write.

# The header as the NIH publishes it: brackets with bare commas, and a comma at the end.
NIH_HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
)
NIH_ROWS = (
    ("00000001_000.png", "Mass", 0, 1, "058Y", "M", "PA"),
    ("00000001_001.png", "No Finding", 1, 1, "059Y", "M", "AP"),
    ("00000002_000.png", "No Finding", 0, 2, "081Y", "F", "PA"),
    ("00000003_000.png", "Mass|Effusion", 0, 3, "018M", "F", "PA"),
    ("00000004_000.png", "Effusion", 0, 4, "414Y", "M", "AP"),
    ("00000005_000.png", "Mass", 0, 5, "074", "F", "PA"),
    ("00000006_000.png", "No Finding", 0, 6, "033Y", "M", "PA"),
)
NIH_TRAIN = ("00000001_000.png", "00000001_001.png", "00000002_000.png", "00000003_000.png")
NIH_TEST = tuple(f"0000000{at}_000.png" for at in (4, 5, 6))

CHEXPERT_FINDINGS = (
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation",
    "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture", "Support Devices",
)  # fmt: skip


def load(
    name: str, folder: Path, /, *, skip_bad_rows: bool = False, data: Mapping[str, Any] | None = None, **asked: Any
) -> Dataset:
    """The dataset of that name in a folder, with a cache of its own beside it."""
    cache = ArrayCache(folder.parent / f"{folder.name}-cache")
    return load_dataset(spec_of(name, folder, data, **asked), cache, skip_bad_rows=skip_bad_rows)


def spec_of(name: str, folder: Path, data: Mapping[str, Any] | None = None, /, **asked: Any) -> DataSpec:
    component = Component(kind="dataset", name=name, params={"folder": str(folder), **asked})
    return DataSpec.model_validate({"dataset": component, "size": 16, **(data or {})})


def nih(
    folder: Path, *, rows: Sequence[Sequence[object]] = NIH_ROWS, header: str = NIH_HEADER, lists: bool = True
) -> Path:
    """`images_001/images/` and `images_002/images/`, the table, the lists. The size and spacing of all are the same."""
    for at, row in enumerate(rows):
        save(folder / f"images_00{1 + at % 2}" / "images" / str(row[0]), noise(at))
    lines = [header, *(",".join([*(str(cell) for cell in row), "2682,2749,0.143,0.143,"]) for row in rows)]
    (folder / "Data_Entry_2017.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    if lists:
        (folder / "train_val_list.txt").write_text("\n".join(NIH_TRAIN), encoding="utf-8")
        (folder / "test_list.txt").write_text("\n".join(NIH_TEST) + "\n", encoding="utf-8")
    return folder


def chexpert(folder: Path, rows: Sequence[Mapping[str, object]], table: str = "train.csv") -> Path:
    """A table and its images. A row gives path (below the set's folder), sex, age, side, view and findings by name."""
    lines: list[list[object]] = [["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *CHEXPERT_FINDINGS]]
    for row in rows:
        path = str(row["path"])
        save(folder / path, noise(abs(hash_of(path))))
        findings = [row.get(name, "") for name in CHEXPERT_FINDINGS]
        common = [row.get("sex", "Female"), row.get("age", 60), row.get("side", "Frontal"), row.get("view", "AP")]
        lines.append([f"CheXpert-v1.0-small/{path}", *common, *findings])
    write_csv(folder / table, lines)
    return folder


def mimic(folder: Path, images: Sequence[Mapping[str, object]], labels: Mapping[str, Mapping[str, object]]) -> Path:
    """Tables in gzip and images. images: dicom, patient, study, view, split; labels: study -> patient and findings."""
    metadata: list[list[object]] = [["dicom_id", "subject_id", "study_id", "ViewPosition", "Rows", "Columns"]]
    split: list[list[object]] = [["dicom_id", "study_id", "subject_id", "split"]]
    for row in images:
        dicom, patient, study = (str(row[key]) for key in ("dicom", "patient", "study"))
        save(folder / "files" / f"p{patient[:2]}" / f"p{patient}" / f"s{study}" / f"{dicom}.jpg", noise(hash_of(dicom)))
        metadata.append([dicom, patient, study, row.get("view", "AP"), 16, 16])
        split.append([dicom, study, patient, row.get("split", "train")])
    stated: list[list[object]] = [["subject_id", "study_id", *CHEXPERT_FINDINGS]]
    for study, row in labels.items():
        stated.append([row["patient"], study, *(row.get(name, "") for name in CHEXPERT_FINDINGS)])
    for kind, lines in (("metadata", metadata), ("split", split), ("chexpert", stated)):
        write_csv(folder / f"mimic-cxr-2.0.0-{kind}.csv.gz", lines)
    return folder


def write_csv(path: Path, lines: Sequence[Sequence[object]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    data = text.getvalue().encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def hash_of(text: str) -> int:
    """A seed for the picture of this name, the same in every process."""
    return sum(ord(c) * 31**at for at, c in enumerate(text[:40])) % 2**32


def targets(dataset: Dataset) -> list[int]:
    return dataset.table.target.tolist()


def values(dataset: Dataset, name: str) -> list[Any]:
    """A factor's column as its level names or numbers."""
    factor, column = dataset.table.factor(name), dataset.table.columns[name]
    return [factor.text(value) if factor.levels else value for value in np.asarray(column).tolist()]


# A small tree in the layout of LIDC-IDRI: DICOM series and the readers' XML, which the tests write.

SIDE = 64
SCALES = {"subtlety": 5, "internalStructure": 1, "calcification": 6, "sphericity": 3, "margin": 4, "lobulation": 1}
SCALES |= {"spiculation": 1, "texture": 5, "malignancy": 4}
Points = Sequence[tuple[int, int]]


def ring(x: int, y: int, wide: int, tall: int | None = None) -> list[tuple[int, int]]:
    """The chain of pixels just outside a box of pixels whose first is (x, y)."""
    tall = wide if tall is None else tall
    left, top, right, bottom = x - 1, y - 1, x + wide, y + tall
    chain = [(at, top) for at in range(left, right)] + [(right, at) for at in range(top, bottom)]
    return chain + [(at, bottom) for at in range(right, left, -1)] + [(left, at) for at in range(bottom, top, -1)]


@dataclass
class DrawnIntervention:
    """One nodule of one reader: slice number -> outlines (each includes unless its flag says not), and ratings."""

    outlines: Mapping[int, Sequence[tuple[Points, bool]]]
    ratings: Mapping[str, int] = field(default_factory=dict[str, int])
    rated: bool = True


def nodule(x: int, y: int, wide: int, slices: Sequence[int] = (1,), **ratings: int) -> DrawnIntervention:
    """A box of pixels, outlined on these slices."""
    return DrawnIntervention({at: [(ring(x, y, wide), True)] for at in slices}, ratings)


def slice_uid(series: str, at: int) -> str:
    return f"{series}.{at}"


def xml(series: str, readers: Sequence[Sequence[DrawnIntervention]], namespace: str = "http://www.nih.gov") -> str:
    sessions = "".join(
        f"<readingSession><servicingRadiologistID>anonymous</servicingRadiologistID>{_session(series, drawn)}"
        "<nonNodule><nonNoduleID>9</nonNoduleID><imageZposition>0</imageZposition></nonNodule></readingSession>"
        for drawn in readers
    )
    space = f' xmlns="{namespace}"' if namespace else ""
    header = f"<ResponseHeader><SeriesInstanceUid>{series}</SeriesInstanceUid></ResponseHeader>"
    return f'<?xml version="1.0" encoding="UTF-8"?><LidcReadMessage{space}>{header}{sessions}</LidcReadMessage>'


def _session(series: str, drawn: Sequence[DrawnIntervention]) -> str:
    return "".join(
        f"<unblindedReadNodule><noduleID>{number}</noduleID>{_ratings(one)}{_rois(series, one)}</unblindedReadNodule>"
        for number, one in enumerate(drawn)
    )


def _ratings(one: DrawnIntervention) -> str:
    given = {**SCALES, **one.ratings}
    inside = "".join(f"<{name}>{value}</{name}>" for name, value in given.items())
    return f"<characteristics>{inside}</characteristics>" if one.rated else ""


def _rois(series: str, one: DrawnIntervention) -> str:
    return "".join(
        f"<roi><imageZposition>{-100 - 2.5 * at}</imageZposition><imageSOP_UID>{slice_uid(series, at)}</imageSOP_UID>"
        f"<inclusion>{str(includes).upper()}</inclusion>"
        + "".join(f"<edgeMap><xCoord>{x}</xCoord><yCoord>{y}</yCoord></edgeMap>" for x, y in points)
        + "</roi>"
        for at, outlines in one.outlines.items()
        for points, includes in outlines
    )


def hu(seed: int) -> np.ndarray:
    """A slice of its own: -800 HU with some noise, and a bright box of 100 HU at rows and columns 20 to 25."""
    values = -800 + np.random.default_rng(seed).integers(-40, 40, (SIDE, SIDE))
    values[20:26, 20:26] = 100
    return values.astype(np.int16)


def write_slice(path: Path, series: str, at: int, patient: str, values: np.ndarray, **tags: object) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    meta.MediaStorageSOPInstanceUID = slice_uid(series, at)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    common = {
        "SOPClassUID": meta.MediaStorageSOPClassUID, "SOPInstanceUID": slice_uid(series, at),
        "SeriesInstanceUID": series, "PatientID": patient, "Modality": "CT", "Manufacturer": "GE MEDICAL SYSTEMS",
        "ConvolutionKernel": "BONE", "SliceThickness": 2.5, "PixelSpacing": [0.5, 0.5],
        "ImagePositionPatient": [0, 0, -100 - 2.5 * at], "Rows": values.shape[0], "Columns": values.shape[1],
        "BitsAllocated": 16, "BitsStored": 16, "HighBit": 15, "PixelRepresentation": 1, "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2", "RescaleSlope": 1, "RescaleIntercept": -1024,
    }  # fmt: skip
    for name, value in {**common, **tags}.items():
        setattr(dataset, name, value)
    dataset.PixelData = (values + 1024).astype(np.int16).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)


def write_series(
    folder: Path,
    number: int,
    readers: Sequence[Sequence[DrawnIntervention]],
    patient: str = "",
    slices: int = 3,
    **tags: object,
) -> Path:
    """`<patient>/<study>/<series>/` with DICOM slices and the XML beside them."""
    who, series = patient or f"LIDC-IDRI-{number:04d}", f"1.3.6.1.4.1.14519.{number}"
    place = folder / who / "01-01-2000-NA-NA" / f"30000{number:02d}.000000-NA"
    for at in range(slices):
        write_slice(place / f"1-{at + 1:03d}.dcm", series, at, who, hu(100 * number + at), **tags)
    (place / f"{number:03d}.xml").write_text(xml(series, readers), encoding="utf-8")
    return place
