"""Checks of the images of an audit: patients, copies, and the images that the model was trained on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from assay.data.dataset import Images
from assay.data.files.table import read_table
from assay.data.leakage import row_hashes
from assay.data.near_copies import details, near_pairs
from assay.execution.jobs import population_of
from assay.shifts.environment import Environment
from assay.spec.request import parse_request
from assay.spec.schema import DataSpec
from assay.store.files import Row
from assay.study.audit import Prepared

FEW_PATIENTS = 20
"""Patients below which intervals are too narrow."""
_AT_ONCE = 256
"""Images that are held at once."""


def check(name: str, status: str, text: str, value: float = math.nan) -> Row:
    """Return a row of `audit_tables.AUDIT_CHECKS`."""
    return {"check": name, "status": status, "value": value, "text": text}


def data_checks(whole: Environment, given: Prepared, train: Mapping[str, Any] | None) -> Iterator[Row]:
    """Yield rows of `audit_tables.AUDIT_CHECKS` on the images.

    Args:
        whole: All images of the audit.
        given: The model and its request.
        train: As `data` of a study, the images that the model was trained on; None where they are not known.
    """
    table = whole.table
    if not given.request.data.patient:
        yield check("patients", "warn", "no column names patients: each image counts as one, and intervals are too "
                     "narrow where a patient has several")  # fmt: skip
    elif (patients := len(np.unique(table.patient))) < FEW_PATIENTS:
        yield check("few-patients", "warn", "few patients: intervals are by patient, and too narrow with so few",
                    patients)  # fmt: skip
    hashes = np.concatenate([row_hashes(whole.images.read(part).numpy()) for part in
                             np.array_split(np.arange(len(whole)), max(1, len(whole) // 256))])  # fmt: skip
    _, which, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    copies = int((counts - 1).sum())
    yield check("copies", "warn" if copies else "ok", "images that are copies of another, pixel by pixel", copies)
    least, most = (np.full(len(counts), start) for start in (len(table.classes), -1))
    np.minimum.at(least, which, table.target)
    np.maximum.at(most, which, table.target)
    against = int((least < most).sum())
    yield check("contradictions", "warn" if against else "ok", "sets of copies with different classes", against)
    dataset = given.population.dataset
    if dataset is not None:
        near = len(dataset.leakage)
        yield check("near-copies", "warn" if near else "ok", "near copies of images of different patients", near)
    yield from _training_checks(whole, given, train)


def _training_checks(whole: Environment, given: Prepared, train: Mapping[str, Any] | None) -> Iterator[Row]:
    if train is None:
        yield check("training-images", "not-done", "no training images were given: independence of these images from "
                     "training is not established")  # fmt: skip
        return
    own = given.request.data
    framed = {"size": own.size, "channels": own.channels, "fit": own.fit, "crop_share": own.crop_share}
    asked = parse_request({**train, **framed}, {"all": {}}, ("performance",), given.request.task)
    place = replace(given.place, root=Path())
    images = population_of(asked.data, place, all_tested=True).scene(asked.tests, 0).environment("all").images
    hashes, detail = _looked_at(images)
    known, here = _looked_at(whole.images)
    copies = int(np.isin(known, hashes).sum())
    parts = np.repeat([0, 1], [len(detail), len(here)])
    pairs = near_pairs(np.concatenate([detail, here]), parts)
    near = len({pair.second for pair in pairs})
    text = f"images that are copies of one of {len(detail):,} training images, turned, mirrored and cropped ones too"
    found = max(copies, near)
    yield check("training-copies", "warn" if found else "ok", text, found)
    shared = _shared_patients(given.request.data, asked.data)
    if shared is None:
        yield check("training-patients", "not-done", "patients are not named in a file of both sets")
    else:
        yield check("training-patients", "warn" if shared else "ok", "patients who are in the training images too",
                     shared)  # fmt: skip


def _looked_at(images: Images) -> tuple[np.ndarray, np.ndarray]:
    """Return the hash and the local detail of every image."""
    hashes: list[np.ndarray] = []
    detail: list[np.ndarray] = []
    for part in np.array_split(np.arange(len(images)), max(1, len(images) // _AT_ONCE)):
        read = images.read(part).numpy()
        hashes.append(row_hashes(read))
        detail += [details(_bytes(one)) for one in read]
    return np.concatenate(hashes), np.stack(detail)


def _bytes(image: np.ndarray) -> np.ndarray:
    whole = (image * 255).round().astype(np.uint8)
    return whole[0] if len(whole) == 1 else whole.transpose(1, 2, 0)


def _shared_patients(one: DataSpec, other: DataSpec) -> int | None:
    """Count patients of the first table who are in the second; None where a table names none."""
    names: list[set[str]] = []
    for data in (one, other):
        if not data.folder or not data.table or not data.patient:
            return None
        path = Path(data.folder) / data.table
        names.append(set(read_table(path, data.image).column(data.patient, "patient")))
    return len(names[0] & names[1])
