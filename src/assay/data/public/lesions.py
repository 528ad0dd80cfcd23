"""Public sets of images with masks of lesions as published: folders of images next to folders of masks.

The target is whether the mask shows a lesion. Patients are not named, so every image counts as one of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from assay.core.errors import SpecError
from assay.core.files import is_folder
from assay.core.registry import Role, component
from assay.core.traits import DataTraits
from assay.data.cache import ArrayCache
from assay.data.cards import OWN_PATIENT
from assay.data.dataset import Dataset
from assay.data.files.build import from_files
from assay.data.files.decode import ONE, Meaning
from assay.data.files.folder import BY_MASK
from assay.data.files.masks import Kind, Listing, Pairs, paired, paired_by_kind
from assay.data.files.table import Table, chosen
from assay.data.public.sets import SETS, KnownSet
from assay.data.public.tables import SPLIT, directory
from assay.spec.data import LESION
from assay.spec.schema import DataSpec

SetFolder = Annotated[
    str, Role("folder"), Field(min_length=1, description="the folder into which the set was unpacked")
]
WITH_LESION = DataTraits(factors=(LESION,))


@dataclass(frozen=True, slots=True)
class Part:
    """A folder of images, the folder of their masks, and the part of the makers' own split that they are."""

    images: str
    masks: str
    split: str = ""


@dataclass(frozen=True, slots=True)
class Layout:
    """Published layout of a set. Of several parts the first must be there.

    Args:
        about: Summary, license, source and known faults.
        parts: Folders of images and masks.
        below: Folders inside the given one in which the parts may be.
        suffix: Suffix of a mask's stem after that of its image.
        kinds: Folder of masks for each kind of lesion, if they are apart.
        together: Count all kinds as one.
    """

    about: KnownSet
    parts: tuple[Part, ...]
    below: tuple[str, ...] = ()
    suffix: str = ""
    kinds: Mapping[str, Kind] = field(default_factory=dict[str, Kind])
    together: bool = False

    @property
    def meaning(self) -> Meaning:
        """Meaning of the values of its masks."""
        return ONE if self.together or not self.kinds else Meaning(tuple(self.kinds))


KVASIR_SEG = Layout(
    SETS["kvasir-seg"],
    (Part("images", "masks"),),
    below=("Kvasir-SEG", "kvasir-seg"),
)
HYPERKVASIR_SEG = Layout(
    SETS["hyperkvasir-seg"],
    (Part("images", "masks"),),
    below=("segmented-images", "hyper-kvasir-segmented-images/segmented-images", "labeled-images/segmented-images"),
)
DFUC2022 = Layout(
    SETS["dfuc2022"],
    (Part("DFUC2022_train_images", "DFUC2022_train_masks"),),
    below=("DFUC2022_train_release",),
)
FUSEG = Layout(
    SETS["fuseg"],
    (Part("train/images", "train/labels", "train"), Part("validation/images", "validation/labels", "validation")),
    below=("Foot Ulcer Segmentation Challenge", "data/Foot Ulcer Segmentation Challenge"),
)
ISIC_SEG = Layout(
    SETS["isic-seg"],
    tuple(
        Part(f"ISIC2018_Task1-2_{name}_Input", f"ISIC2018_Task1_{name}_GroundTruth", split)
        for name, split in (("Training", "train"), ("Validation", "validation"), ("Test", "test"))
    ),
    suffix="_segmentation",
)
IDRID_SEG = Layout(
    SETS["idrid-seg"],
    tuple(
        Part(f"1. Original Images/{name}", f"2. All Segmentation Groundtruths/{name}", split)
        for name, split in (("a. Training Set", "train"), ("b. Testing Set", "test"))
    ),
    below=("A. Segmentation", "A.%20Segmentation", "A.%20Segmentation/A. Segmentation"),
    kinds={
        "microaneurysms": Kind("1. Microaneurysms", "_MA"),
        "hemorrhages": Kind("2. Haemorrhages", "_HE"),
        "exudates": Kind("3. Hard Exudates", "_EX"),
        "cotton_wool": Kind("4. Soft Exudates", "_SE"),
        "optic_disc": Kind("5. Optic Disc", "_OD"),
    },
)


@component(
    "dataset",
    "endotect",
    WITH_LESION,
    summary="the test set of EndoTect 2020: 200 polyps and 20 lesion-free frames, masks in RGB",
)
def load_endotect(
    spec: DataSpec,
    cache: ArrayCache,
    skip_bad_rows: bool,
    *,
    folder: SetFolder,
    images: Annotated[str, Field(min_length=1, description="the folder of images in it")] = "images",
    masks: Annotated[str, Field(min_length=1, description="the folder of masks in it")] = "masks",
) -> Dataset:
    """EndoTect 2020's test set, see `load_pairs`."""
    return load_pairs(
        Layout(SETS["endotect"], (Part(images, masks),)), "EndoTect 2020", spec, cache, skip_bad_rows, folder=folder
    )


Outlined = Literal["microaneurysms", "hemorrhages", "exudates", "cotton_wool", "optic_disc"]


@dataclass(frozen=True, kw_only=True)
class IdridSegArguments:
    """Arguments of `idrid-seg`: masks of these kinds of lesion, each its own label or one for all.

    Raises:
        ValueError: A kind is repeated.
    """

    folder: SetFolder
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


@component(
    "dataset",
    "idrid-seg",
    WITH_LESION,
    summary="IDRiD, segmentation: masks of four kinds of lesion and the optic disc, the makers' split as a factor",
)
def load_idrid_seg(spec: DataSpec, cache: ArrayCache, skip_bad_rows: bool, *, asked: IdridSegArguments) -> Dataset:
    """IDRiD's segmentation part with the kinds that are asked for, see `load_pairs`."""
    kinds = {kind: IDRID_SEG.kinds[kind] for kind in asked.kinds}
    layout = replace(IDRID_SEG, kinds=kinds, together=asked.together)
    return load_pairs(layout, "IDRiD, segmentation", spec, cache, skip_bad_rows, folder=asked.folder)


def load_pairs(
    layout: Layout, title: str, spec: DataSpec, cache: ArrayCache, skip_bad_rows: bool, *, folder: str
) -> Dataset:
    """Load a set of this layout. The target is `lesion`; the makers' split, if any, is the factor `split`.

    An image without a mask is a bad row, unless there is a mask for each kind.

    Raises:
        SpecError: A folder is missing.
        DataError: Bad rows, all of them.
    """
    root, found = _found(layout, directory(folder))
    pairs: list[Pairs] = []
    for part in found:
        first = 1 + sum(len(one.images) for one in pairs)
        images, masks = root / part.images, root / part.masks
        pairs.append(
            paired_by_kind(images, masks, root, layout.kinds, layout.together, first, cache)
            if layout.kinds
            else paired(images, masks, root, True, layout.suffix, first)
        )
    listing = _listing(layout, title, root, pairs)
    if any(part.split for part in found):
        words = [part.split for part, one in zip(found, pairs, strict=True) for _ in one.images]
        listing = _divided(listing, words, spec)
    elif spec.where:
        raise SpecError(f"data.where: {title} has no columns to choose images by; leave it out")
    problems = [problem for one in pairs for problem in one.problems if problem.row in listing.numbers]
    return from_files(listing.drop(problems)[0], spec, cache, skip_bad_rows)


@component(
    "dataset", "kvasir-seg", WITH_LESION, summary="Kvasir-SEG: polyps in images/ and masks/ (lossy JPEG, cut at half)"
)
def load_kvasir_seg(spec: DataSpec, cache: ArrayCache, skip_bad_rows: bool, *, folder: SetFolder) -> Dataset:
    """Load Kvasir-SEG; see `load_pairs`."""
    return load_pairs(KVASIR_SEG, "Kvasir-SEG", spec, cache, skip_bad_rows, folder=folder)


@component(
    "dataset",
    "hyperkvasir-seg",
    WITH_LESION,
    summary="the segmented part of HyperKvasir: polyps in segmented-images/{images,masks}",
)
def load_hyperkvasir_seg(spec: DataSpec, cache: ArrayCache, skip_bad_rows: bool, *, folder: SetFolder) -> Dataset:
    """Load HyperKvasir, segmented; see `load_pairs`."""
    return load_pairs(HYPERKVASIR_SEG, "HyperKvasir, segmented", spec, cache, skip_bad_rows, folder=folder)


@component(
    "dataset", "dfuc2022", WITH_LESION, summary="DFUC 2022: diabetic foot ulcers in DFUC2022_train_{images,masks}"
)
def load_dfuc2022(spec: DataSpec, cache: ArrayCache, skip_bad_rows: bool, *, folder: SetFolder) -> Dataset:
    """Load DFUC 2022; see `load_pairs`."""
    return load_pairs(DFUC2022, "DFUC 2022", spec, cache, skip_bad_rows, folder=folder)


@component(
    "dataset",
    "fuseg",
    WITH_LESION,
    summary="FUSeg: foot ulcers in {train,validation}/{images,labels}, the makers' split as a factor",
)
def load_fuseg(spec: DataSpec, cache: ArrayCache, skip_bad_rows: bool, *, folder: SetFolder) -> Dataset:
    """Load FUSeg; see `load_pairs`."""
    return load_pairs(FUSEG, "FUSeg", spec, cache, skip_bad_rows, folder=folder)


@component(
    "dataset",
    "isic-seg",
    WITH_LESION,
    summary="ISIC 2018, task 1: skin lesions in ISIC2018_Task1-2_*_Input and ISIC2018_Task1_*_GroundTruth",
)
def load_isic_seg(spec: DataSpec, cache: ArrayCache, skip_bad_rows: bool, *, folder: SetFolder) -> Dataset:
    """Load ISIC 2018, task 1; see `load_pairs`."""
    return load_pairs(ISIC_SEG, "ISIC 2018, task 1", spec, cache, skip_bad_rows, folder=folder)


def _found(layout: Layout, folder: Path) -> tuple[Path, tuple[Part, ...]]:
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


def _listing(layout: Layout, title: str, root: Path, pairs: Sequence[Pairs]) -> Listing:
    images = tuple(path for one in pairs for path in one.images)
    if not images:
        raise SpecError(f"data.dataset.folder: {root.name}/ holds no images")
    return Listing(
        title=title,
        where=f"{root.name}/",
        word="file",
        numbers=tuple(range(1, len(images) + 1)),
        names=tuple(name for one in pairs for name in one.names),
        images=images,
        masks=tuple(mask for one in pairs for mask in one.masks),
        target=None,
        classes=LESION.levels,
        patient=np.arange(len(images), dtype=np.int64),
        facts=(BY_MASK,),
        warnings=(OWN_PATIENT, *(text for one in pairs for text in one.warnings)),
        about=layout.about,
        meaning=layout.meaning,
    )


def _divided(listing: Listing, words: Sequence[str], spec: DataSpec) -> Listing:
    """The rows that `where` chooses, with the factor `split`."""
    levels = tuple(level for level in SPLIT.levels if level in words)
    index = np.array([levels.index(word) for word in words], dtype=np.int64)
    whole = replace(listing, factors=(replace(SPLIT, levels=levels),), columns={SPLIT.name: index})
    rows = tuple(zip(listing.names, words, strict=True))
    kept = chosen(Table(listing.where, ("image", SPLIT.name), rows, listing.numbers), spec.where)
    if not len(kept):
        raise SpecError(f"data.where: no image of {listing.where} fits")
    return whole.take([number - 1 for number in kept.numbers])
