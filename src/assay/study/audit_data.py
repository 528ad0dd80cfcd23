"""Checks of the images of an audit: patients, copies, and the images that the model was trained on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from assay.core.files import content_hash
from assay.data.cache import ArrayCache
from assay.data.dataset import Images
from assay.data.files.table import read_table
from assay.data.leakage import image_hashes, parts_of_images
from assay.data.near_copies import GRID, VERSION, details, near_pairs, not_looked_for
from assay.execution.jobs import population_of
from assay.shifts.environment import Environment
from assay.shifts.population import PopulationScene
from assay.spec.request import ProbeRequest, parse_request
from assay.spec.schema import DataSpec
from assay.store.files import Row
from assay.study.audit import Prepared

FEW_PATIENTS = 20
"""Patients below which intervals are too narrow."""


def check(name: str, status: str, text: str, value: float = math.nan) -> Row:
    """Return a row of `audit_tables.AUDIT_CHECKS`."""
    return {"check": name, "status": status, "value": value, "text": text}


def data_checks(
    whole: Environment, audited: Environment, given: Prepared, train: Mapping[str, Any] | None
) -> Iterator[Row]:
    """Yield rows of `audit_tables.AUDIT_CHECKS` on the images.

    Exact copies are searched among all images, near copies among those that the model reads.

    Args:
        whole: All images in the data.
        audited: The images that the model reads.
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
    hashes = image_hashes(whole.images)
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
        patient, pairs = dataset.table.patient, dataset.search.among(audited.table.row) if dataset.search else ()
        near = sum(1 for pair in pairs if patient[pair.first] != patient[pair.second])
        kinds = "near copies (no cropped ones)" if not_looked_for(len(audited)) else "near copies"
        text = f"{kinds} of images of different patients, among {_part(audited, whole)}"
        yield check("near-copies", "warn" if near else "ok", text, near)
    yield from _training_checks(whole, audited, given, train)


def _part(audited: Environment, whole: Environment) -> str:
    part = len(audited) < len(whole)
    return f"{len(audited):,} of {len(whole):,} images" if part else f"all {len(whole):,} images"


def training_scene(given: Prepared, train: Mapping[str, Any]) -> tuple[ProbeRequest, PopulationScene]:
    """Return the images of the training, framed as those of the audit. Raises SpecError or DataError."""
    own = given.request.data
    framed = {key: getattr(own, key) for key in ("size", "channels", "fit", "crop_share", "resize")}
    asked = parse_request({**train, **framed}, {"all": {}}, ("performance",), given.request.task)
    place = replace(given.place, root=Path())
    return asked, population_of(asked.data, place, all_tested=True).scene(asked.tests, 0)


def _training_checks(
    whole: Environment, audited: Environment, given: Prepared, train: Mapping[str, Any] | None
) -> Iterator[Row]:
    if train is None:
        yield check("training-images", "not-done", "no training images were given: independence of these images from "
                     "training is not established")  # fmt: skip
        return
    asked, scene = training_scene(given, train)
    images = scene.environment("all").images
    copies = int(np.isin(image_hashes(whole.images), image_hashes(images)).sum())
    identity = [VERSION, scene.identity("all"), given.scene.identity("all"), audited.table.row.tolist()]
    detail = _details([images, audited.images], f"audit-detail-{content_hash(identity)}", ArrayCache(given.place.cache))
    parts = np.repeat([0, 1], [len(images), len(audited)])
    pairs = near_pairs(detail, parts, np.flatnonzero(parts))
    found = max(copies, len({pair.second for pair in pairs}))
    turned = "turned and mirrored" if not_looked_for(len(detail)) else "turned, mirrored and cropped"
    near = f", {turned} ones too" if len(audited) == len(whole) else f"; {turned} ones among {_part(audited, whole)}"
    text = f"images that are copies of one of {len(images):,} training images{near}"
    yield check("training-copies", "warn" if found else "ok", text, found)
    shared = _shared_patients(given.request.data, asked.data)
    if shared is None:
        yield check("training-patients", "not-done", "patients are not named in a file of both sets")
    else:
        yield check("training-patients", "warn" if shared else "ok", "patients who are in the training images too",
                     shared)  # fmt: skip


def _details(sets: Sequence[Images], name: str, cache: ArrayCache) -> np.ndarray:
    """Return the local detail of every image of these sets, which is kept in the cache under this name."""

    def fill(out: np.ndarray) -> None:
        read = (one for images in sets for part in parts_of_images(len(images)) for one in images.read(part).numpy())
        for at, one in enumerate(read):
            out[at] = details(_bytes(one))

    return cache.get(name, (sum(map(len, sets)), GRID, GRID), np.int8, fill)


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
