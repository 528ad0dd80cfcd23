"""Masks of lesions: of tables, paired with images by name, by kind, and boxes."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from assay.core.errors import DataError, SpecError, key_text, unknown_name
from assay.core.files import content_hash, is_file
from assay.data.cache import ArrayCache
from assay.data.dataset import BoxedLesions
from assay.data.files.decode import (
    CUT_OFF,
    ONE,
    SMOOTH,
    SPECKS,
    UNIT,
    VANISHED,
    Decoded,
    FileFact,
    LabelMap,
    LabelMeaning,
    decode_masks,
    facts_of,
    labels_of,
    read_file,
)
from assay.data.files.fitting import PAD, Framing
from assay.data.files.joins import Unmatched, image_files, match, stem_of, such
from assay.data.files.outlines import Coco, LesionPatch, WrittenMask, painted, runs, unknown
from assay.data.files.pictures import DecodedImage
from assay.data.files.readers import IN_ALPHA, read_stored
from assay.data.files.table import Problem, TextTable, Unreadable, absent, inside, number, read_table, refuse, shown
from assay.spec.data import has_masks
from assay.spec.schema import IGNORE, BoxesSpec, DataSpec

# The masks of a whole set: where each comes from, how they are decoded, and checks that need all of them together.

_MOST, _NEARLY_ALL, _OFTEN, _LEAST = 0.5, 0.9, 0.01, 5


@dataclass(frozen=True, slots=True)
class TurnedMask:
    """A mask in a file whose pixels are turned to those of its image, by an orientation as EXIF counts them."""

    path: Path
    turn: int


MaskAt = Path | TurnedMask | WrittenMask | None
"""Where a row's mask is: in a file, in text, or nowhere, which was said to mean that no lesion is there."""


def mask_facts(masks: Sequence[MaskAt], cache: ArrayCache) -> list[FileFact | None]:
    """Header of each mask that is a file, None for the others."""
    facts = iter(facts_of([mask for mask in masks if isinstance(mask, Path)], cache))
    return [next(facts) if isinstance(mask, Path) else None for mask in masks]


def mask_source(mask: MaskAt, width: int, height: int, meaning: LabelMeaning) -> Callable[[], LabelMap]:
    """Return a call that gives the label map of an image of this native size."""
    if isinstance(mask, Path):
        return lambda: labels_of(read_stored(read_file(mask)), meaning)
    if isinstance(mask, TurnedMask):
        return lambda: labels_of(_turned(read_stored(read_file(mask.path)), mask.turn), meaning)
    if isinstance(mask, WrittenMask):
        return lambda: LabelMap(mask.draw(height, width), (IGNORE,) if mask.ignored else ())
    return lambda: LabelMap(np.zeros((height, width), dtype=np.uint8))


def _turned(stored: DecodedImage, turn: int) -> DecodedImage:
    from assay.data.files.formats import upright  # here, since only NIfTI needs it

    return replace(stored, pixels=upright(stored.pixels, turn))


def mask_digests(
    masks: Sequence[MaskAt], facts: Sequence[FileFact | None], native: Int[np.ndarray, "n 2"]
) -> list[str]:
    """Name of the content of every mask, without the meaning of its values."""
    return [
        f"{fact.digest}{f' turn {mask.turn}' if isinstance(mask, TurnedMask) else ''}"
        if fact
        else f"{mask.digest if isinstance(mask, WrittenMask) else 'empty'} {width}x{height}"
        for mask, fact, (width, height) in zip(masks, facts, native.tolist(), strict=True)
    ]


def decoded_masks(
    masks: Sequence[MaskAt],
    facts: Sequence[FileFact | None],
    native: Int[np.ndarray, "n 2"],
    meaning: LabelMeaning,
    size: int,
    cache: ArrayCache,
    framing: Framing,
) -> Decoded:
    """Return all masks as label maps.

    Args:
        native: Width and height of the images.
    """
    sources = [
        mask_source(mask, width, height, meaning) for mask, (width, height) in zip(masks, native.tolist(), strict=True)
    ]
    digests = [f"{meaning.digest} {digest}" for digest in mask_digests(masks, facts, native)]
    return decode_masks(sources, digests, size, cache, framing)


def doubtful(decoded: Decoded, rows: Int[np.ndarray, "n"]) -> dict[int, tuple[str, str]]:
    """Positions (of `rows`) whose mask goes up to 1 where masks of other rows go beyond: the problem and its remedy."""
    unit = set(decoded.notes.get(UNIT, ()))
    others = [at for at in rows.tolist() if at not in unit and decoded.array[at].any()]
    if not others:
        return {}
    what = "its mask goes up to 1, those of other rows beyond: its 1s are lesions, or traces of a JPEG"
    remedy = (
        "write data.mask_values with every value that occurs, such as {1: lesion, 255: lesion}, or correct the file"
    )
    return {position: (what, remedy) for position, at in enumerate(rows.tolist()) if at in unit}


def refuse_empty(decoded: Decoded, rows: Int[np.ndarray, "n"], where: str) -> None:
    """Raise DataError when no mask shows a lesion."""
    if len(rows) and not any(decoded.array[at].any() for at in rows.tolist()):
        raise DataError(
            f"{where}: none of {len(rows):,} masks shows a lesion; check that {key_text('data.mask')} names the "
            f"right column, "
            "and say with data.mask_values what their values mean"
        )


def mask_notes(
    decoded: Decoded,
    rows: Int[np.ndarray, "n"],
    native: Int[np.ndarray, "n 2"],
    meaning: LabelMeaning,
    framing: Framing,
) -> tuple[list[str], list[str], dict[str, str]]:
    """Return half-sentences for the card, warnings, and what is said first, as rows of `provenance`.

    Args:
        native: Of `rows`.
    """
    array = decoded.array
    size = array.shape[-1]
    vanished_count = len(set(decoded.notes.get(VANISHED, ())) & set(rows.tolist()))
    warnings = (
        [f"{vanished_count:,} images have lesions too small to be seen at {size} px: a larger size shows them"]
        if vanished_count
        else []
    )
    if outside := len(set(decoded.notes.get(CUT_OFF, ())) & set(rows.tolist())):
        warnings.append(f"{outside:,} images have lesions outside the part that the framing '{framing.fit}' shows")
    counts = np.zeros(len(meaning.kinds) + 1, dtype=np.int64)
    with_lesion = large = 0
    alike = Counter[int]()
    for at, (width, height) in zip(rows.tolist(), native.tolist(), strict=True):
        pixels = np.bincount(array[at].ravel(), minlength=len(counts))
        counts += pixels > 0
        box = framing.placed(height, width, size)
        with_lesion += bool(pixels[1:].any())
        alike[hash(array[at].tobytes())] += bool(pixels[1:].any())
        large += int(pixels[1:].sum() > _MOST * box.height * box.width)
    used = {note: len(set(decoded.notes.get(note, ())) & set(rows.tolist())) for note in (IN_ALPHA, SMOOTH)}
    read = {"masks": "; ".join(f"{note} ({count:,} masks)" for note, count in used.items() if count)}
    if with_lesion >= _LEAST and large >= _NEARLY_ALL * with_lesion:
        undo = "take out data.mask_inverted" if meaning.inverted else "write data.mask_inverted: true"
        large_of = (
            f"cover more than half of {large:,} of {with_lesion:,} images with a lesion; if they mark the background, "
            f"{undo}"
        )
        warnings.append(f"lesions {large_of}")
        read["lesions"] = large_of
    if with_lesion >= _LEAST and 2 * (most := max(alike.values())) > with_lesion:
        same = f"{most:,} of {with_lesion:,} masks are the same: of one image, or a template"
        read["lesions"] = "; ".join(filter(None, (read.get("lesions"), same)))
    specked = len(set(decoded.notes.get(SPECKS, ())) & set(rows.tolist()))
    if specked > max(1, _OFTEN * with_lesion):
        specks = (
            f"{specked:,} of {with_lesion:,} masks have specks of 1 or 2 px beside a lesion, which count as lesion: "
            "take them out, if compression or a brush left them"
        )
        read["lesions"] = "; ".join(filter(None, (read.get("lesions"), specks)))
    several = [f"{kind} in {count:,} images" for kind, count in zip(meaning.kinds, counts[1:].tolist(), strict=True)]
    return (
        ([", ".join(several)] if len(several) > 1 else []),
        warnings,
        {key: text for key, text in read.items() if text},
    )


# Boxes of lesions by kind, from a second table. Heat maps are compared with them; nothing is trained on them.

EDGES = ("x0", "y0", "x1", "y1")
"""Columns of a table of boxes in addition to `image` and `kind`: left, top, right and bottom edge in px of the file."""


@dataclass(frozen=True, slots=True)
class Boxes:
    """The boxes of a listing's images, in its order: float64 [b, 5], number of the kind, then `EDGES`.

    Attributes:
        said: Sentences on boxes of no image, and on what was ignored in names.
    """

    kinds: tuple[str, ...]
    of_image: tuple[Float[np.ndarray, "b 5"], ...]
    said: tuple[str, ...] = ()

    def take(self, positions: Sequence[int]) -> Boxes:
        """Return those of the images at these positions."""
        return replace(self, of_image=tuple(self.of_image[at] for at in positions))

    def fitted(self, native: Int[np.ndarray, "n 2"], size: int, framing: Framing = PAD) -> BoxedLesions:
        """Return the same at study resolution. Boxes outside the part that is shown are left out, others cut to it.

        Args:
            native: Width and height of every image in px.
        """
        fitted_boxes: list[Float[np.ndarray, "b 5"]] = []
        digest = hashlib.sha256("\n".join(self.kinds).encode())
        for boxes, (width, height) in zip(self.of_image, native.tolist(), strict=True):
            place, window = framing.placed(height, width, size), framing.window(height, width)
            across, down = place.width / window.width, place.height / window.height
            scale = np.array([1, across, down, across, down])
            moved = boxes - np.array([0, window.left, window.top, window.left, window.top])
            moved = moved * scale + np.array([0, place.left, place.top, place.left, place.top])
            if framing.fit != "pad":
                moved[:, 1:] = moved[:, 1:].clip(0, size)
                moved = moved[(moved[:, 1] < moved[:, 3]) & (moved[:, 2] < moved[:, 4])]
            fitted_boxes.append(moved)
            digest.update(np.ascontiguousarray(fitted_boxes[-1]).tobytes() + b"|")
        return BoxedLesions(self.kinds, size, tuple(fitted_boxes), digest.hexdigest()[:16])


def read_boxes(folder: Path, spec: BoxesSpec, images: Sequence[str]) -> Boxes:
    """Return the boxes of these images, of the kinds that the spec names, or of all, sorted. Boxes of other images are
    passed over: rows may have been left out.

    Raises:
        SpecError: For a file, a column or a kind that is not there, DataError for bad lines and where no box is of any
            of the images.
    """
    path = folder / spec.table
    if not is_file(path):
        raise SpecError(f"data.boxes: {folder.name}/ has no file '{spec.table}'; name a CSV that lies beside the table")
    table = read_table(path, "image")
    names, kind = (table.column(column, "data.boxes") for column in ("image", "kind"))
    present = tuple(sorted(set(kind)))
    for wanted in spec.kinds:
        if wanted not in present:
            raise SpecError(f"data.boxes.kinds: {unknown_name('kind', wanted, present)}")
    kinds = spec.kinds or present
    edges = [[number(cell, table.comma) for cell in table.column(column, "data.boxes")] for column in EDGES]
    problems = list(table.problems)
    matched = match(tuple(dict.fromkeys(images)), tuple(dict.fromkeys(names)))
    image_of = {matched.right[other]: matched.left[at] for at, other in matched.pairs.items()}
    boxes_of: Mapping[str, list[list[float]]] = {name: [] for name in images}
    for line, name, of, box in zip(table.numbers, names, kind, zip(*edges, strict=True), strict=True):
        if of not in kinds or name not in image_of:
            continue
        present = [edge for edge in box if edge is not None]
        if len(present) < len(EDGES) or present[0] >= present[2] or present[1] >= present[3]:
            problems.append(Problem(line, name, "it is no box", "give x0 < x1 and y0 < y1 in px of the file"))
        else:
            boxes_of[image_of[name]].append([kinds.index(of), *present])
    refuse(spec.table, problems)
    if not any(boxes_of.values()):
        raise DataError(f"data.boxes: no box of {spec.table} is of an image of the table; name images as it does")
    if max(max(box[1:]) for boxes in boxes_of.values() for box in boxes) <= 1:
        raise DataError(
            f"data.boxes: all edges in {spec.table} are between 0 and 1, as shares of width and height are: give px"
        )
    of_image = tuple(np.array(boxes_of[name], dtype=np.float64).reshape(-1, 5) for name in images)
    return Boxes(kinds, of_image, (*matched.strays(f"images of {spec.table}", "image"), *matched.ignoring()))


# Images in one folder and masks in another, paired by the stems of their names.


@dataclass(frozen=True, slots=True)
class Pairs:
    """Images and their masks.

    Attributes:
        warnings: Sentences on masks of no image.
        said: Sentences on what was ignored in names.
        others: Number of other files next to the images.
        orphans: Names of masks of no image, for errors.
    """

    images: tuple[Path, ...]
    names: tuple[str, ...]
    masks: tuple[MaskAt, ...]
    problems: list[Problem]
    warnings: tuple[str, ...]
    said: tuple[str, ...]
    others: int
    orphans: tuple[str, ...]


def paired(
    images: Path,
    masks: Path,
    root: Path,
    all_masked: bool,
    suffix: str = "",
    first: int = 1,
    unmatched: Unmatched = "refuse",
) -> Pairs:
    """Return the images of a folder, each with the mask of its stem. An image without one is a problem if all have
    masks.

    Args:
        suffix: Text of a mask's stem that its image's lacks, in any case; without it a file is the mask of no image,
            or, if all have masks, passed over.
        first: The number of the first image.
        unmatched: Whether masks of no image are refused where images have no mask, or left out.
    """
    files, others = image_files(images)
    strays: list[str] = []
    candidates: list[tuple[str, Path]] = []
    for mask in image_files(masks)[0]:
        stem = stem_of(mask)
        if stem.casefold().endswith(suffix.casefold()):
            candidates.append((stem[: len(stem) - len(suffix)], mask))
        elif not all_masked:
            strays.append(mask.name)
    names = tuple(str(path.relative_to(root)) for path in files)
    stems = [stem_of(path) for path in files]
    matched = match(stems, [stem for stem, _ in candidates])
    count, masks_of = Counter(stems), Counter(stem for stem, _ in candidates)
    problems: list[Problem] = []
    chosen: list[MaskAt] = []
    for at, stem in enumerate(stems):
        try:
            if count[stem] > 1:
                raise Unreadable("another image has the same stem", "rename one of them")
            if masks_of[stem] > 1:
                raise Unreadable(f"{masks_of[stem]} masks have its stem in {masks.name}/", "keep one of them")
            if at not in matched.pairs and all_masked:
                raise Unreadable("no mask has its stem: lesion-free, or not labeled?", "name one, or take it away")
            chosen.append(candidates[matched.pairs[at]][1] if at in matched.pairs else None)
        except Unreadable as error:
            problems.append(Problem(at + first, names[at], error.what, error.remedy))
            chosen.append(unknown(error))
    orphans = sorted([*strays, *(candidates[at][1].name for at in matched.right_over if not count[candidates[at][0]])])
    lacking = [stem for stem, mask in zip(stems, chosen, strict=True) if mask is None]
    if orphans and lacking and not all_masked and unmatched == "refuse":
        raise DataError(
            f"{masks.name}/ has {len(orphans):,} masks of no image, first {orphans[0]}, while {len(lacking):,} images "
            f"have no mask, first {lacking[0]}: lesion-free images cannot be distinguished from misnamed ones; give a "
            f"mask its image's stem{suffix and f' and {suffix}'}, or take it away (or pass over it with "
            f"{key_text('--unmatched', 'drop')}; in a study, data: {{unmatched: drop}})"
        )
    warnings = (f"{len(orphans):,} masks belong to no image",) if orphans else ()
    return Pairs(tuple(files), names, tuple(chosen), problems, warnings, matched.ignoring(), others, tuple(orphans))


def ask_unmasked(where: str, names: Sequence[str], masks: Sequence[MaskAt], spec: DataSpec) -> None:
    """Raise DataError where images have no mask and the spec does not say what that means."""
    lacking = [name for name, mask in zip(names, masks, strict=True) if mask is None]
    if lacking and spec.unmasked == "refuse":
        raise DataError(
            f"{where}: {len(lacking):,} of {len(masks):,} images have no mask{such(map(shown, lacking))}: do they show "
            f"no lesion, or were they not labeled? Answer with {key_text('--unmasked', 'lesion-free')} or "
            f"{key_text('--unmasked', 'leave-out')} (in a "
            "study, data: {unmasked: lesion-free} or {unmasked: leave-out})"
        )


# Masks of several kinds of lesion, a file for each image and kind, as one label map an image.

VERSION = 2
"""Rises when the same files give another label map."""


@dataclass(frozen=True, slots=True)
class MaskFolder:
    """The folder that holds the masks of a kind, and the text of a mask's stem that its image's lacks."""

    folder: str
    suffix: str


@dataclass(frozen=True, slots=True)
class _Mask:
    """The file of an image's lesions of a kind, and their label."""

    kind: str
    label: int
    path: Path


def paired_by_kind(
    images: Path,
    masks: Path,
    root: Path,
    kinds: Mapping[str, MaskFolder],
    together: bool,
    first: int,
    cache: ArrayCache,
) -> Pairs:
    """Return the images of a folder, each with the label map of its masks: kinds are 1 and so on in their order, or all
    1 where they are taken together. An image without a file of a kind shows none of it.

    In a lossless file nonzero pixels are lesion, and a lossy one is read as any other mask. Where kinds overlap, the
    one with fewer pixels in the image is seen.

    Args:
        first: The number of the first image.

    Raises:
        SpecError: For a kind without any mask, DataError for a mask without an image; single bad files come as
            problems.
    """
    by_kind = [_masks_of_kind(images, masks, root, name, kind, first) for name, kind in kinds.items()]
    files = [
        [
            _Mask(name, 1 if together else label, path)
            for label, (name, path) in enumerate(zip(kinds, row, strict=True), start=1)
            if isinstance(path, Path)
        ]
        for row in zip(*(pairs.masks for pairs in by_kind), strict=True)
    ]
    paths = [file.path for row in files for file in row]
    facts = dict(zip(paths, facts_of(paths, cache), strict=True))
    problems = list(dict.fromkeys(problem for pairs in by_kind for problem in pairs.problems))
    for at, (row, name) in enumerate(zip(files, by_kind[0].names, strict=True), start=first):
        problems += [
            Problem(at, name, _of(file, facts[file.path].what), facts[file.path].remedy)
            for file in row
            if facts[file.path].header is None
        ]
    combined = tuple(
        WrittenMask(
            content_hash([VERSION, *([file.label, facts[file.path].digest] for file in row)], 32),
            partial(_combine, row),
        )
        if row
        else None
        for row in files
    )
    return replace(by_kind[0], masks=combined, problems=problems)


def _masks_of_kind(images: Path, masks: Path, root: Path, name: str, kind: MaskFolder, first: int) -> Pairs:
    folder = masks / kind.folder
    place = f"data.dataset.folder: {masks.relative_to(root)}/"
    if not folder.is_dir() or not image_files(folder)[0]:
        raise SpecError(f"{place} has no masks in {kind.folder}/; unpack them, or leave {name} out of kinds")
    pairs = paired(images, folder, root, False, kind.suffix, first)
    if pairs.warnings:
        raise DataError(
            f"{place}{kind.folder}/: {pairs.warnings[0]}, first {pairs.orphans[0]}; unpack its image, "
            "or take the mask away"
        )
    return pairs


def _combine(masks: Sequence[_Mask], height: int, width: int) -> UInt8[np.ndarray, "h w"]:
    return painted(((LesionPatch(_lesion(mask, height, width)), mask.label) for mask in masks), height, width)


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


# The mask of every row of a table: a file, runs in a cell, the outlines of a COCO file, or none.


def row_masks(
    folder: Path, spec: DataSpec, table: TextTable, names: Sequence[str], coco: Coco | None
) -> tuple[list[MaskAt] | None, list[Problem]]:
    """Return the masks, None for a row without one where the spec defines that case; None where no row has any."""
    if coco is not None and spec.mask:
        raise SpecError(f"{key_text('data.mask')}: the outlines stand in {spec.table}; leave it out")
    if not has_masks(spec):
        return None, []
    cells = table.column(spec.mask, key_text("data.mask")) if coco is None else names
    masks: list[MaskAt] = []
    problems: list[Problem] = []
    for line, name, cell in zip(table.numbers, names, cells, strict=True):
        mask: MaskAt = None
        try:
            mask = coco.masks[line - 1] if coco is not None else _of_cell(folder, spec, cell)
        except Unreadable as error:
            problems.append(Problem(line, name, f"mask: {error.what}", error.remedy))
            mask = unknown(error)
        masks.append(mask)
    ask_unmasked(spec.table, names, masks, spec)
    return masks, problems


def _of_cell(folder: Path, spec: DataSpec, cell: str) -> MaskAt:
    if absent(cell):
        return None
    return inside(folder, cell, spec.links == "follow") if spec.mask_format == "file" else runs(cell, spec.mask_format)


def unmasked(masks: Sequence[object], spec: DataSpec) -> tuple[str, ...]:
    """How many images without a mask count as free of lesions, for the card."""
    without = sum(mask is None for mask in masks)
    if spec.unmasked != "lesion-free" or not without:
        return ()
    return (f"{without:,} images without a mask count as free of lesions",)
