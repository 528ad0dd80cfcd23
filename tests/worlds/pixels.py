"""Sets of image files whose pixels a test knows, and the pixels that a model is given of them."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from tests.worlds.files import write_table

import assay

SIDE = 24


def smooth(seed: int, most: int, dtype: Any = np.uint16, least: int = 0) -> np.ndarray:
    """An image [SIDE, SIDE] of its own for every seed, from `least` to `most`."""
    across, down = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    wave = np.sin(across / (3 + seed)) + np.cos(down / (4 + seed / 2))
    wave = (wave - wave.min()) / np.ptp(wave)
    return np.round(least + wave * (most - least)).astype(dtype)


def dataset(values: np.ndarray, **tags: Any) -> FileDataset:
    """A secondary capture with these stored values."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    made.SOPClassUID, made.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    made.Rows, made.Columns = values.shape[:2]
    made.SamplesPerPixel = 3 if values.ndim == 3 else 1
    if values.ndim == 3:
        made.PlanarConfiguration = 0
    made.PhotometricInterpretation = "RGB" if values.ndim == 3 else "MONOCHROME2"
    if values.dtype.kind == "f":
        made.BitsAllocated = 32
        made.FloatPixelData = values.astype("<f4").tobytes()
    else:
        made.BitsAllocated = made.BitsStored = values.dtype.itemsize * 8
        made.PixelRepresentation = int(values.dtype.kind == "i")
        made.PixelData = values.tobytes()
    for name, value in tags.items():
        setattr(made, name, value)
    if values.dtype.kind != "f":
        made.HighBit = made.BitsStored - 1
    return made


def written(made: FileDataset, **options: Any) -> bytes:
    """The file of a dataset."""
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, made, **{"enforce_file_format": True, **options})
    return buffer.getvalue()


def dicom(values: np.ndarray, **tags: Any) -> bytes:
    return written(dataset(values, **tags))


def item(**tags: Any) -> Dataset:
    """An item of a sequence."""
    made = Dataset()
    for name, value in tags.items():
        setattr(made, name, value)
    return made


def grouped(rescale: Mapping[str, Any] | None, window: Mapping[str, Any] | None) -> Items:
    """A functional group with slope and intercept, and with a window."""
    group = Dataset()
    if rescale is not None:
        group.PixelValueTransformationSequence = Items([item(**rescale, RescaleType="US")])
    if window is not None:
        group.FrameVOILUTSequence = Items([item(**window)])
    return Items([group])


def encoded(pixels: np.ndarray | Image.Image, kind: str, **options: Any) -> bytes:
    """The file that Pillow writes."""
    buffer = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def image_set(folder: Path, files: Sequence[bytes], ending: str = ".dcm", **columns: Sequence[object]) -> Path:
    """A folder with these files and a table with a label for each; returns the table."""
    folder.mkdir(parents=True, exist_ok=True)
    for at, data in enumerate(files):
        (folder / f"{at}{ending}").write_bytes(data)
    rows = [[f"{at}{ending}", at % 2, *(column[at] for column in columns.values())] for at in range(len(files))]
    write_table(folder / "data.csv", [["image", "label", *columns], *rows])
    return folder / "data.csv"


def given(table: Path, model: Callable[[np.ndarray], np.ndarray] | None = None, **keys: Any) -> assay.Probed:
    """A model probed on a set."""
    task = keys.pop("task", "classification")
    probes = ["segmentation"] if task == "segmentation" else ["performance"]
    data = {"folder": str(table.parent), "table": table.name, "target": "label", "size": SIDE, **keys}
    return assay.probe(model or _mean, data, probes=probes, task=task, progress=False, out=table.parent / "probed")


def _mean(images: np.ndarray) -> np.ndarray:
    return images.mean(axis=(1, 2, 3))[:, None]


def shown(table: Path, **keys: Any) -> np.ndarray:
    """The images that a model is given of a set, float [n, c, h, w] of 0 to 1."""
    calls: list[np.ndarray] = []

    def model(images: np.ndarray) -> np.ndarray:
        calls.append(images.copy())
        return _mean(images)

    given(table, model, **keys)
    return calls[-1]


def dice(table: Path, kinds: int = 1, **keys: Any) -> float:
    """Dice of a model that finds the kinds of lesions by the level of gray: i of `kinds` is i / kinds."""

    def model(images: np.ndarray) -> np.ndarray:
        level = np.rint(images[:, :1].mean(axis=1, keepdims=True) * kinds)
        if kinds == 1:
            return np.where(level > 0, 9.0, -9.0)
        return np.concatenate([np.where(level == at, 9.0, -9.0) for at in range(kinds + 1)], axis=1)

    found = given(table, model, task="segmentation", **{"mask": "mask", "target": "lesion", **keys})
    rows = found.table("estimates")
    return float(rows[rows["measure"] == "dice"]["value"].dropna().min())
