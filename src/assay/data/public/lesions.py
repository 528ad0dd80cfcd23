"""Public sets of images with masks of lesions as published: folders of images next to folders of masks.

The target is whether the mask shows a lesion. Patients are not named, so every image counts as one of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from assay.core.errors import SpecError
from assay.core.files import is_folder
from assay.core.traits import DataTraits
from assay.data.cache import ArrayCache
from assay.data.cards import OWN_PATIENT
from assay.data.dataset import Dataset
from assay.data.files.build import from_files
from assay.data.files.decode import ONE, LabelMeaning
from assay.data.files.folder import BY_MASK, plain
from assay.data.files.listing import Listing, frame_of
from assay.data.files.masks import MaskFolder, Pairs, paired, paired_by_kind
from assay.data.files.table import TextTable, chosen
from assay.data.public.sets import SETS, KnownSet
from assay.data.public.tables import SPLIT, SetFolder, declare_dataset, directory
from assay.spec.data import LESION
from assay.spec.schema import DataSpec

WITH_LESION = DataTraits(factors=(LESION,))


@dataclass(frozen=True, slots=True)
class MaskedPart:
    """A folder of images, the folder of their masks, and the part of the makers' own split that they are."""

    images: str
    masks: str
    split: str = ""


@dataclass(frozen=True, slots=True)
class PublishedLayout:
    """Published layout of a set. Of several parts the first must be there.

    Args:
        parts: Folders of images and masks.
        below: Folders inside the given one in which the parts may be.
        suffix: Suffix of a mask's stem after that of its image.
        kinds: Folder of masks for each kind of lesion, if they are apart.
        together: Count all kinds as one.
    """

    parts: tuple[MaskedPart, ...]
    below: tuple[str, ...] = ()
    suffix: str = ""
    kinds: Mapping[str, MaskFolder] = field(default_factory=dict[str, MaskFolder])
    together: bool = False

    @property
    def meaning(self) -> LabelMeaning:
        """Meaning of the values of its masks."""
        return ONE if self.together or not self.kinds else LabelMeaning(tuple(self.kinds))


@dataclass(frozen=True, kw_only=True)
class FolderArguments:
    """Arguments of a set of images and masks."""

    folder: SetFolder


def mask_set(name: str) -> Callable[[Callable[[Any], PublishedLayout]], Callable[..., Dataset]]:
    """Declare the layout that a function returns, of its `arguments`, as the dataset of this name."""

    def declare(layout: Callable[[Any], PublishedLayout]) -> Callable[..., Dataset]:
        def load(
            spec: DataSpec, cache: ArrayCache, skip_bad_rows: bool, keep_copies: bool = False, *, arguments: Any
        ) -> Dataset:
            listing = list_pairs(layout(arguments), SETS[name], directory(arguments.folder), spec, cache)
            return from_files(listing, spec, cache, skip_bad_rows, keep_copies)

        return declare_dataset(name, load, layout, WITH_LESION)

    return declare


@mask_set("kvasir-seg")
def kvasir_seg(arguments: FolderArguments) -> PublishedLayout:
    """Layout of Kvasir-SEG."""
    return PublishedLayout((MaskedPart("images", "masks"),), below=("Kvasir-SEG", "kvasir-seg"))


@mask_set("hyperkvasir-seg")
def hyperkvasir_seg(arguments: FolderArguments) -> PublishedLayout:
    """Layout of the segmented part of HyperKvasir."""
    inside = "segmented-images"
    return PublishedLayout(
        (MaskedPart("images", "masks"),),
        below=(inside, f"hyper-kvasir-segmented-images/{inside}", f"labeled-images/{inside}"),
    )


@mask_set("dfuc2022")
def dfuc2022(arguments: FolderArguments) -> PublishedLayout:
    """Layout of DFUC 2022."""
    return PublishedLayout(
        (MaskedPart("DFUC2022_train_images", "DFUC2022_train_masks"),), below=("DFUC2022_train_release",)
    )


@mask_set("fuseg")
def fuseg(arguments: FolderArguments) -> PublishedLayout:
    """Layout of FUSeg."""
    parts = tuple(MaskedPart(f"{name}/images", f"{name}/labels", name) for name in ("train", "validation"))
    return PublishedLayout(parts, below=("Foot Ulcer Segmentation Challenge", "data/Foot Ulcer Segmentation Challenge"))


@mask_set("isic-seg")
def isic_seg(arguments: FolderArguments) -> PublishedLayout:
    """Layout of ISIC 2018, task 1."""
    parts = tuple(
        MaskedPart(f"ISIC2018_Task1-2_{name}_Input", f"ISIC2018_Task1_{name}_GroundTruth", split)
        for name, split in (("Training", "train"), ("Validation", "validation"), ("Test", "test"))
    )
    return PublishedLayout(parts, suffix="_segmentation")


@dataclass(frozen=True, kw_only=True)
class EndotectArguments(FolderArguments):
    """Arguments of `endotect`."""

    images: Annotated[str, Field(min_length=1, description="the folder of images in it")] = "images"
    masks: Annotated[str, Field(min_length=1, description="the folder of masks in it")] = "masks"


@mask_set("endotect")
def endotect(arguments: EndotectArguments) -> PublishedLayout:
    """Layout of the test set of EndoTect 2020."""
    return PublishedLayout((MaskedPart(arguments.images, arguments.masks),))


Outlined = Literal["microaneurysms", "hemorrhages", "exudates", "cotton_wool", "optic_disc"]
_OUTLINED = {
    "microaneurysms": MaskFolder("1. Microaneurysms", "_MA"),
    "hemorrhages": MaskFolder("2. Haemorrhages", "_HE"),
    "exudates": MaskFolder("3. Hard Exudates", "_EX"),
    "cotton_wool": MaskFolder("4. Soft Exudates", "_SE"),
    "optic_disc": MaskFolder("5. Optic Disc", "_OD"),
}


@dataclass(frozen=True, kw_only=True)
class IdridSegArguments(FolderArguments):
    """Arguments of `idrid-seg`: masks of these kinds of lesion, each its own label or one for all.

    Raises:
        ValueError: A kind is repeated.
    """

    kinds: Annotated[
        tuple[Outlined, ...],
        Field(min_length=1, description="what counts as a lesion; exudates are hard, cotton_wool is soft exudates"),
    ] = ("microaneurysms", "hemorrhages", "exudates", "cotton_wool")
    together: Annotated[bool, Field(description="all of them are one kind, lesion")] = False

    def __post_init__(self) -> None:
        """Refuse a kind that is repeated."""
        twice = [kind for kind in dict.fromkeys(self.kinds) if self.kinds.count(kind) > 1]
        if twice:
            raise ValueError(f"kinds names {', '.join(twice)} more than once; name each once")


@mask_set("idrid-seg")
def idrid_seg(arguments: IdridSegArguments) -> PublishedLayout:
    """Layout of IDRiD's segmentation part, with the kinds that are asked for."""
    return PublishedLayout(
        tuple(
            MaskedPart(f"1. Original Images/{name}", f"2. All Segmentation Groundtruths/{name}", split)
            for name, split in (("a. Training Set", "train"), ("b. Testing Set", "test"))
        ),
        below=("A. Segmentation", "A.%20Segmentation", "A.%20Segmentation/A. Segmentation"),
        kinds={kind: _OUTLINED[kind] for kind in arguments.kinds},
        together=arguments.together,
    )


def list_pairs(
    layout: PublishedLayout, published: KnownSet, folder: Path, spec: DataSpec, cache: ArrayCache
) -> Listing:
    """List a set of this layout. The target is `lesion`; the makers' split, if any, is the factor `split`.

    An image without a mask is a bad row, unless there is a mask for each kind.

    Raises:
        SpecError: A folder is missing.
    """
    root, parts = _find_parts(layout, folder)
    pairs: list[Pairs] = []
    for part in parts:
        first = 1 + sum(len(earlier.images) for earlier in pairs)
        images, masks = root / part.images, root / part.masks
        pairs.append(
            paired_by_kind(images, masks, root, layout.kinds, layout.together, first, cache)
            if layout.kinds
            else paired(images, masks, root, True, layout.suffix, first)
        )
    listing = plain(
        root,
        [path for part_pairs in pairs for path in part_pairs.images],
        [name for part_pairs in pairs for name in part_pairs.names],
        None,
        BY_MASK,
        (OWN_PATIENT, *(text for part_pairs in pairs for text in part_pairs.warnings)),
        [mask for part_pairs in pairs for mask in part_pairs.masks],
        "data.dataset.folder",
    )
    matched = tuple(text for part_pairs in pairs for text in part_pairs.said)
    listing = replace(listing, title=published.title, about=published, meaning=layout.meaning, matched=matched)
    if any(part.split for part in parts):
        words = [part.split for part, part_pairs in zip(parts, pairs, strict=True) for _ in part_pairs.images]
        listing = _choose_split(listing, words, spec)
    elif spec.where:
        raise SpecError(f"data.where: {published.title} has no columns to choose images by; leave it out")
    numbers = set(listing.numbers)
    return listing.drop([problem for part_pairs in pairs for problem in part_pairs.problems if problem.row in numbers])[
        0
    ]


def _find_parts(layout: PublishedLayout, folder: Path) -> tuple[Path, tuple[MaskedPart, ...]]:
    """Find the folder of the parts, and the parts that are there, each with its masks."""
    roots = [folder, *(folder / name for name in layout.below)]
    needed = layout.parts[0]
    root = next((place for place in roots if is_folder(place / needed.images)), None)
    if root is None:
        raise SpecError(
            f"data.dataset.folder: {folder.name}/ has no folder {needed.images}/; give the one that holds "
            f"{needed.images}/ and {needed.masks}/"
        )
    parts = tuple(part for part in layout.parts if is_folder(root / part.images))
    for part in parts:
        if not is_folder(root / part.masks):
            raise SpecError(f"data.dataset.folder: {part.images}/ has no {part.masks}/ beside it; unpack the masks too")
    return root, parts


def _choose_split(listing: Listing, words: Sequence[str], spec: DataSpec) -> Listing:
    """The rows that `where` chooses, with the factor `split`."""
    levels = tuple(level for level in SPLIT.levels if level in words)
    index = np.array([levels.index(word) for word in words], dtype=np.int64)
    factored = replace(listing, factors=(replace(SPLIT, levels=levels),), columns={SPLIT.name: index})
    frame = frame_of(listing.numbers, image=listing.cells("name"), split=words)
    rows = chosen(TextTable(listing.where, frame), spec.where)
    if not len(rows):
        raise SpecError(f"data.where: no image of {listing.where} fits")
    return factored.take(np.array(rows.numbers, dtype=np.int64) - 1)
