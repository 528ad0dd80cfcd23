"""Another set to test on: its classes are those of the training set, and its patients and images are others."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int

from assay.core.errors import DataError, SpecError, nearest, shorten
from assay.core.files import content_hash
from assay.core.types import FactorTable
from assay.data.dataset import Dataset
from assay.data.files.build import FileCopies
from assay.data.files.classes import answered
from assay.data.files.folder import OWN
from assay.data.files.joins import same_id
from assay.spec.data import LESION
from assay.spec.schema import DataSpec

_SET_DISTANCE = 2**40
"""Distance between the codes of the patients of two sets."""


@dataclass(frozen=True)
class TrainingSetRules:
    """The training set, as far as another set must agree with it or differ from it.

    Attributes:
        data: Its section of the study.
        dataset: Its files; None for a phantom.
    """

    data: DataSpec
    classes: tuple[str, ...]
    kinds: tuple[str, ...]
    channels: int
    dataset: Dataset | None


def add_test_set(number: int, data: DataSpec, dataset: Dataset, training: TrainingSetRules) -> Dataset:
    """Return a set with the classes of the training set and patient codes of its own.

    Args:
        number: Its place among the sets, from 1.
        data: Its section of the study.
        dataset: Its files.
        training: The training set.

    Raises:
        SpecError: Classes, kinds of lesion or channels are others than those of the training set.
        DataError: An image or a patient is in both sets.
    """
    _refuse_other_pixels(dataset, training)
    target = _map_classes(data, dataset.table, training.classes)
    table = replace(
        dataset.table, target=target, classes=training.classes, patient=dataset.table.patient + number * _SET_DISTANCE
    )
    content = content_hash([dataset.content, training.classes, target.tolist(), number])
    search = None
    if training.dataset is not None:
        _refuse_shared(data, dataset, training.data, training.dataset)
        searches = training.dataset.search, dataset.search
        if isinstance(searches[0], FileCopies) and isinstance(searches[1], FileCopies):
            search = replace(searches[1], training=searches[0])
    return replace(dataset, table=table, content=content, search=search)


def _refuse_other_pixels(dataset: Dataset, training: TrainingSetRules) -> None:
    channels = dataset.images.shape[0]
    if channels != training.channels:
        words = {1: "gray (1 channel)", 3: "color (3 channels)"}
        wanted = "gray" if training.channels == 1 else "color"
        raise SpecError(
            f"images are {words[channels]}, and those of the training set {words[training.channels]}; "
            f"write channels: {wanted} there to convert them"
        )
    kinds = () if dataset.masks is None else dataset.masks.kinds
    if kinds and training.kinds and kinds != training.kinds:
        raise SpecError(
            f"masks show {', '.join(kinds)}, and those of the training set {', '.join(training.kinds)}; name "
            "the kinds alike in mask_values"
        )


def _map_classes(data: DataSpec, table: FactorTable, classes: Sequence[str]) -> Int[np.ndarray, " n"]:
    """Return the classes of all rows as those of the training set. Raises SpecError for a class that this lacks."""
    mapping = {answered(own_name, table.classes): answered(to, classes) for own_name, to in data.map.items()}
    unmatched = [name for name in mapping if name not in table.classes]
    if unmatched:
        raise SpecError(f"map: no class is called '{shorten(unmatched[0])}': the set has {', '.join(table.classes)}")
    named = [mapping.get(name, name) for name in table.classes]
    unknown = {name: to for name, to in zip(table.classes, named, strict=True) if to not in classes}
    if unknown:
        strays = " or ".join(f"'{shorten(to)}'" for to in dict.fromkeys(unknown.values()))
        way = ", ".join(f"{name}: {nearest(to, classes) or 'CLASS'}" for name, to in unknown.items())
        raise SpecError(
            f"no class of the training set ({', '.join(classes)}) is called {strays}; say which it is: map: {{{way}}}"
        )
    target = np.array([classes.index(name) for name in named], dtype=np.int64)[table.target]
    present = {int(code) for code in np.unique(target)}
    if len(present) == 1 and tuple(classes) != LESION.levels:
        missing = next(name for code, name in enumerate(classes) if code not in present)
        raise SpecError(
            f"no image is of class '{shorten(missing)}', and classes cannot be told apart in images of one; add "
            "some, or map names of its classes to it"
        )
    return target


def _refuse_shared(data: DataSpec, dataset: Dataset, trained: DataSpec, training: Dataset) -> None:
    """Refuse images by their files or pixels, and patients by name unless each set numbers its own."""
    training_hashes = [set(training.digests), set(training.pixels)]
    same = (
        [digest in training_hashes[0] for digest in dataset.digests],
        [pixels in training_hashes[1] for pixels in dataset.pixels],
    )
    rows = np.array(sorted({row for flags in same for row, shared in enumerate(flags) if shared}), dtype=np.int64)
    if len(rows):
        raise DataError(
            f"the training set has images of this set too ({dataset.table.named(rows)}); leave them out of one of both"
        )
    shared = shared_patients(data, dataset, trained, training)
    rows = np.array([row for row, name in enumerate(dataset.names) if name in shared.names], dtype=np.int64)
    if shared.names:
        raise DataError(
            f"the training set has patients of this set too ({len(shared.names):,}{shared.how}: "
            f"{dataset.table.named(rows)}); leave their rows out of one of both, or write numbering: own where each "
            "set numbers its patients by itself"
        )


@dataclass(frozen=True)
class SharedPatients:
    """Patients that two sets have.

    Attributes:
        names: Their names in the set that is tested.
        loosely: How many of them are found only by `same_id`.
        why: Why nothing was compared; empty where it was.
    """

    names: frozenset[str] = frozenset()
    loosely: int = 0
    why: str = ""

    @property
    def how(self) -> str:
        """How patients were found whose names differ, for a sentence."""
        return f", {self.loosely:,} of them only without case, blanks and leading zeros" if self.loosely else ""


def shared_patients(data: DataSpec, dataset: Dataset, trained: DataSpec, training: Dataset) -> SharedPatients:
    """Return the patients that both sets have, by name or by what `same_id` makes of it.

    Nothing is compared where that could find none: patients have no names in a set, both sets are public, one numbers
    its patients by itself, or their ids are of different kinds, such as hashes and numbers.
    """
    tested, trained_on = ({name for name in side.names if not name.startswith(OWN)} for side in (dataset, training))
    if not tested or not trained_on:
        return SharedPatients(why="patients are not named in a file of both sets")
    if data.dataset and trained.dataset and data.dataset.name != trained.dataset.name:
        return SharedPatients(why="two public sets have their own names of patients")
    if "own" in (data.numbering, trained.numbering):
        return SharedPatients(why="a set numbers its patients by itself")
    ids = {same_id(name) for name in trained_on}
    shared = frozenset(name for name in tested if name in trained_on or same_id(name) in ids)
    kinds = [sorted({_kind(name) for name in names}) for names in (tested, trained_on)]
    if not shared and not set(kinds[0]) & set(kinds[1]):
        words = " and ".join(" or ".join(of_side) for of_side in kinds)
        return SharedPatients(
            why=f"their ids are of different kinds, {words}: whether persons are the same is not known"
        )
    return SharedPatients(shared, len(shared - trained_on))


def _kind(name: str) -> str:
    """Return the kind of an id, for a sentence."""
    text = same_id(name)
    kinds = {r"[0-9]+": "numbers", r"[0-9]+(\.[0-9]+){3,}": "UIDs", r"[0-9a-f-]{16,}": "hashes"}
    return next((kind for pattern, kind in kinds.items() if re.fullmatch(pattern, text)), "names")
