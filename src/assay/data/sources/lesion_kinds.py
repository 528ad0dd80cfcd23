"""Masks of several kinds of lesion, a file for each image and kind, as one label map an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8

from assay.core.errors import DataError, SpecError
from assay.core.hashing import content_hash
from assay.data.cache import ArrayCache
from assay.data.sources.files import facts_of, read_file
from assay.data.sources.masking import Drawn
from assay.data.sources.masks import ONE, labels_of
from assay.data.sources.pairs import Pairs, image_files, paired
from assay.data.sources.problems import Problem, Unreadable
from assay.data.sources.readers import read_stored

VERSION = 1
"""Rises when the same files give another label map."""


@dataclass(frozen=True, slots=True)
class Kind:
    """The folder that holds the masks of a kind, and what a mask's stem has more than its image's."""

    folder: str
    suffix: str


@dataclass(frozen=True, slots=True)
class _Mask:
    """The file of an image's lesions of a kind, and their label."""

    kind: str
    label: int
    path: Path


def paired_by_kind(
    images: Path, masks: Path, root: Path, kinds: Mapping[str, Kind], together: bool, first: int, cache: ArrayCache
) -> Pairs:
    """The images of a folder, each with the label map of its masks: kinds are 1 and so on in their order, or all 1
    where they are taken together. An image without a file of a kind shows none of it.

    In a lossless file lesion is what is not 0, and a lossy one is read as any other mask. Where kinds overlap, the one
    with fewer pixels in the image is seen. first: the number of the first image. Raises SpecError for a kind without
    any mask, DataError for a mask without an image; single bad files come as problems.
    """
    found = [_of_kind(images, masks, root, name, kind, first) for name, kind in kinds.items()]
    files = [
        [
            _Mask(name, 1 if together else label, path)
            for label, (name, path) in enumerate(zip(kinds, row, strict=True), start=1)
            if isinstance(path, Path)
        ]
        for row in zip(*(one.masks for one in found), strict=True)
    ]
    paths = [file.path for row in files for file in row]
    facts = dict(zip(paths, facts_of(paths, cache), strict=True))
    problems = list(dict.fromkeys(problem for one in found for problem in one.problems))
    for at, (row, name) in enumerate(zip(files, found[0].names, strict=True), start=first):
        problems += [
            Problem(at, name, _of(file, facts[file.path].what), facts[file.path].remedy)
            for file in row
            if facts[file.path].header is None
        ]
    drawn = tuple(
        Drawn(
            content_hash([VERSION, *([file.label, facts[file.path].digest] for file in row)], 32), partial(_labels, row)
        )
        if row
        else None
        for row in files
    )
    return replace(found[0], masks=drawn, problems=problems)


def _of_kind(images: Path, masks: Path, root: Path, name: str, kind: Kind, first: int) -> Pairs:
    folder = masks / kind.folder
    place = f"data.dataset.folder: {masks.relative_to(root)}/"
    if not folder.is_dir() or not image_files(folder)[0]:
        raise SpecError(f"{place} has no masks in {kind.folder}/; unpack them, or leave {name} out of kinds")
    pairs = paired(images, folder, root, False, kind.suffix, first)
    if pairs.warnings:
        raise DataError(f"{place}{kind.folder}/: {pairs.warnings[0]}; unpack its image, or take the mask away")
    return pairs


def _labels(masks: Sequence[_Mask], height: int, width: int) -> UInt8[np.ndarray, "h w"]:
    planes = [(_lesion(mask, height, width), mask.label) for mask in masks]
    labels = np.zeros((height, width), dtype=np.uint8)
    for lesion, label in sorted(planes, key=lambda plane: -int(plane[0].sum())):
        labels[lesion] = label
    return labels


def _lesion(mask: _Mask, height: int, width: int) -> Bool[np.ndarray, "h w"]:
    try:
        stored = read_stored(read_file(mask.path))
        values = labels_of(stored, ONE).values if stored.lossy else stored.pixels
    except Unreadable as error:
        raise Unreadable(_of(mask, error.what), error.remedy) from error
    if values.shape[:2] != (height, width):
        what = f"{values.shape[1]} x {values.shape[0]} px, the image {width} x {height}"
        raise Unreadable(f"the mask of {mask.kind} is {what}", "export the mask at the image's size")
    return (values if values.ndim == 2 else values.max(axis=2)) > 0


def _of(mask: _Mask, what: str) -> str:
    return f"the mask of {mask.kind}: {what}"
