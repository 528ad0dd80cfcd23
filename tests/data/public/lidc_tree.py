"""A small tree in the layout of LIDC-IDRI: DICOM series and the readers' XML, which the tests write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

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
class Drawn:
    """One nodule of one reader: slice number -> outlines (each includes unless its flag says not), and ratings."""

    outlines: Mapping[int, Sequence[tuple[Points, bool]]]
    ratings: Mapping[str, int] = field(default_factory=dict[str, int])
    rated: bool = True


def nodule(x: int, y: int, wide: int, slices: Sequence[int] = (1,), **ratings: int) -> Drawn:
    """A box of pixels, outlined on these slices."""
    return Drawn({at: [(ring(x, y, wide), True)] for at in slices}, ratings)


def slice_uid(series: str, at: int) -> str:
    return f"{series}.{at}"


def xml(series: str, readers: Sequence[Sequence[Drawn]], namespace: str = "http://www.nih.gov") -> str:
    sessions = "".join(
        f"<readingSession><servicingRadiologistID>anonymous</servicingRadiologistID>{_session(series, drawn)}"
        "<nonNodule><nonNoduleID>9</nonNoduleID><imageZposition>0</imageZposition></nonNodule></readingSession>"
        for drawn in readers
    )
    space = f' xmlns="{namespace}"' if namespace else ""
    header = f"<ResponseHeader><SeriesInstanceUid>{series}</SeriesInstanceUid></ResponseHeader>"
    return f'<?xml version="1.0" encoding="UTF-8"?><LidcReadMessage{space}>{header}{sessions}</LidcReadMessage>'


def _session(series: str, drawn: Sequence[Drawn]) -> str:
    return "".join(
        f"<unblindedReadNodule><noduleID>{number}</noduleID>{_ratings(one)}{_rois(series, one)}</unblindedReadNodule>"
        for number, one in enumerate(drawn)
    )


def _ratings(one: Drawn) -> str:
    given = {**SCALES, **one.ratings}
    inside = "".join(f"<{name}>{value}</{name}>" for name, value in given.items())
    return f"<characteristics>{inside}</characteristics>" if one.rated else ""


def _rois(series: str, one: Drawn) -> str:
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
    folder: Path, number: int, readers: Sequence[Sequence[Drawn]], patient: str = "", slices: int = 3, **tags: object
) -> Path:
    """`<patient>/<study>/<series>/` with DICOM slices and the XML beside them."""
    who, series = patient or f"LIDC-IDRI-{number:04d}", f"1.3.6.1.4.1.14519.{number}"
    place = folder / who / "01-01-2000-NA-NA" / f"30000{number:02d}.000000-NA"
    for at in range(slices):
        write_slice(place / f"1-{at + 1:03d}.dcm", series, at, who, hu(100 * number + at), **tags)
    (place / f"{number:03d}.xml").write_text(xml(series, readers), encoding="utf-8")
    return place
