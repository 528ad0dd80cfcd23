"""Images in one folder and masks in another, paired by the stems of their names."""

from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from assay.core.errors import DataError
from assay.data.sources.masking import MaskAt
from assay.data.sources.problems import Problem

SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".gif", ".bmp", ".webp", ".jp2", ".dcm", ".dicom", ".nii", ".gz")
)
UNMASKED = "name one, or write data.unmasked: lesion-free or leave-out"
"""What to do with an image that has no mask: whether it shows a lesion is never guessed."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Images and their masks, and how many other files lie beside the images."""

    images: tuple[Path, ...]
    names: tuple[str, ...]
    masks: tuple[MaskAt, ...]
    problems: list[Problem]
    warnings: tuple[str, ...]
    others: int


def paired(images: Path, masks: Path, root: Path, all_masked: bool, suffix: str = "", first: int = 1) -> Pairs:
    """The images of a folder, each with the mask of its stem. An image without one is a problem if all have masks.

    suffix: what a mask's stem has more than its image's, in any case; without it a file is the mask of no image, or,
    if all have masks, passed over. first: the number of the first image.
    """
    files, others = image_files(images)
    found: dict[str, list[Path]] = {}
    strays: list[str] = []
    for mask in image_files(masks)[0]:
        stem = stem_of(mask)
        if stem.casefold().endswith(suffix.casefold()):
            found.setdefault(stem[: len(stem) - len(suffix)], []).append(mask)
        elif not all_masked:
            strays.append(mask.name)
    names = tuple(str(path.relative_to(root)) for path in files)
    problems: list[Problem] = []
    stems = [stem_of(path) for path in files]
    count = Counter(stems)
    for at, stem in enumerate(stems):
        number = at + first
        if count[stem] > 1:
            problems.append(Problem(number, names[at], "another image has the same stem", "rename one of them"))
        elif len(found.get(stem, ())) > 1:
            what = f"{len(found[stem])} masks have its stem in {masks.name}/"
            problems.append(Problem(number, names[at], what, "keep one of them"))
        elif stem not in found and all_masked:
            problems.append(Problem(number, names[at], "no mask has its stem: lesion-free, or not labelled?", UNMASKED))
    orphans = sorted([*strays, *(path.name for stem in found.keys() - set(stems) for path in found[stem])])
    lacking = [stem for stem in stems if stem not in found]
    if orphans and lacking and not all_masked:
        raise DataError(
            f"{masks.name}/ has {len(orphans):,} masks of no image, first {orphans[0]}, while {len(lacking):,} images "
            f"have no mask, first {lacking[0]}: what is free of lesions cannot be told from what is misnamed; give a "
            f"mask its image's stem{suffix and f' and {suffix}'}, or take it away"
        )
    warnings = (f"{len(orphans):,} masks belong to no image, first {orphans[0]}",) if orphans else ()
    chosen = tuple(found[stem][0] if stem in found else None for stem in stems)
    return Pairs(tuple(files), names, chosen, problems, warnings, others)


def image_files(folder: Path, deep: bool = False) -> tuple[list[Path], int]:
    """Image files in sorted order, hidden ones left out, and how many other files there are."""
    found = [path for path in (folder.rglob("*") if deep else folder.iterdir()) if path.is_file()]
    seen = [path for path in found if not path.name.startswith(".")]
    images = sorted(path for path in seen if path.suffix.lower() in SUFFIXES)
    return images, len(seen) - len(images)


def stem_of(path: Path) -> str:
    """A file's name without its ending, in one Unicode form."""
    name = path.name[: -len(".nii.gz")] if path.name.endswith(".nii.gz") else path.stem
    return unicodedata.normalize("NFC", name)
