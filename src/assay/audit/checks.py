"""Checks of the images of an audit: patients, copies, and the images that the model was trained on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from assay.audit.model import Prepared
from assay.audit.scored import check
from assay.core.codes import Code
from assay.data.dataset import Dataset
from assay.data.files.build import FileCopies
from assay.data.files.joins import same_id
from assay.data.leakage import image_hashes
from assay.data.near_copies import Pair, bounded
from assay.data.outside import shared_patients
from assay.execution.jobs import population_of
from assay.look.checks import DataChecks, copied
from assay.report.sentences.reasons import reason_words
from assay.shifts.environment import Environment
from assay.shifts.population import PopulationScene
from assay.spec.request import ProbeRequest, parse_request
from assay.store.files import Row

FEW_PATIENTS = 20
"""Patients below which intervals are too narrow."""
MOST_NUMBERED = 2
"""Largest number of a patient, in patients, in a set that seems to count its own from 1."""


def checks_of_images(
    whole: Environment, audited: Environment, given: Prepared, checks: DataChecks, train: Mapping[str, Any] | None
) -> Iterator[Row]:
    """Yield rows of `audit_tables.AUDIT_CHECKS` on the images.

    Args:
        whole: All images in the data.
        audited: The images that the model reads.
        given: The model and its request.
        checks: The checks of the images themselves.
        train: As `data` of a study, the images that the model was trained on; None where they are not known.
    """
    patients = len(np.unique(whole.table.patient))
    if given.request.data.patient and patients < FEW_PATIENTS:
        yield check("few-patients", "warn", "few patients: intervals are by patient, and too narrow with so few",
                    patients)  # fmt: skip
    for one in checks.reasons:
        code = one.codes[0]
        undone = code in (Code.DRAWN_IMAGES, Code.COPIES_UNCHECKED)
        yield check(str(code), "not-done" if undone else "ok" if code.light == "ok" else "warn", reason_words(one))
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
    images, own, trained = scene.environment("all").images, given.population.dataset, scene.population.dataset
    copies = int(np.isin(image_hashes(whole.images), image_hashes(images)).sum())
    pairs: Sequence[Pair] | None = None
    searches = [one.search for one in (own, trained) if one is not None]
    match searches:
        case [FileCopies() as search, FileCopies() as training]:
            pairs = replace(search, training=training).among(audited.table.row)
        case _:
            pass
    sure = copied(pairs or ())
    found, suspected = max(copies, len(sure)), len({pair.second for pair in pairs or ()} - sure)
    turned = "turned and mirrored" if bounded(len(images) + len(audited)) else "turned, mirrored and cropped"
    near = f", {turned} ones too" if len(audited) == len(whole) else f"; {turned} ones among {_part(audited, whole)}"
    near = "; near copies were not searched" if pairs is None else near
    near += f"; {suspected:,} more are much alike, look at them" if suspected else ""
    text = f"images that are copies of one of {len(images):,} training images{near}"
    yield check("training-copies", "warn" if found else "ok", text, found)
    if own is None or trained is None:
        yield check("training-patients", "not-done", "patients are not named in a file of both sets")
        return
    found = shared_patients(given.request.data, own, asked.data, trained)
    shared = len(found.names)
    if found.why:
        yield check("training-patients", "not-done", f"patients of the two sets were not compared: {found.why}")
    elif shared and given.request.data.folder != asked.data.folder and all(map(_counts_from_1, (own, trained))):
        yield check("training-patients", "not-done", "both sets number their patients from 1: whether a number is one "
                     "patient in both is not known")  # fmt: skip
    else:
        yield check("training-patients", "warn" if shared else "ok",
                     f"patients who are in the training images too{found.how}", shared)  # fmt: skip


def _counts_from_1(dataset: Dataset) -> bool:
    names = {same_id(name) for name in dataset.names}
    return all(name.isdecimal() for name in names) and max(map(int, names)) <= MOST_NUMBERED * len(names)
