"""Build a dataset from listed files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Int

from assay.core.errors import DataError, SpecError
from assay.core.files import IN_MEMORY, default_cache_root, release
from assay.core.types import FactorTable, RowOrigins
from assay.data import near_copies
from assay.data.cache import ArrayCache, ArrayImages, ArrayMasks
from assay.data.cards import card_of, without_patients
from assay.data.dataset import Dataset, PixelScale
from assay.data.files.crops import DecodedPixels, FileCrops, FileOriginals
from assay.data.files.decode import (
    Decoded,
    FileFact,
    Stretch,
    decode_images,
    facts_of,
    file_source,
    in_threads,
    name_of,
)
from assay.data.files.fitting import Framing, framing_of
from assay.data.files.joins import changed_since_joined
from assay.data.files.listing import Listing, contradiction, labeled_by_masks, refuse_vanished, unequally_lost
from assay.data.files.masks import decoded_masks, doubtful, mask_digests, mask_facts, mask_notes, refuse_empty
from assay.data.files.pictures import HINT, DecodedImage
from assay.data.files.readers import read_picture
from assay.data.files.table import Problem, Unreadable, left_out, refuse
from assay.data.leakage import exact_groups, exact_pairs, row_hashes
from assay.data.near_copies import NearPair, merge_patients
from assay.spec.data import LESION
from assay.spec.schema import IGNORE, DataSpec


def from_files(
    listing: Listing,
    spec: DataSpec,
    cache: ArrayCache,
    skip_bad_rows: bool,
    keep_copies: bool = False,
    like: Dataset | None = None,
) -> Dataset:
    """Return the dataset of a listing of files. Raises DataError with all bad rows unless they are to be left out.

    Examples:
        A loader of your own lists its files as a `Listing`:

            def load_eyes(spec: DataSpec, cache: ArrayCache) -> Dataset:
                listing = Listing("eyes", spec.folder, "file", frame, classes=("not referable", "referable"))
                return from_files(listing, spec, cache, skip_bad_rows=False)
    """
    if spec.preprocessing and "mask" in listing.frame:
        raise SpecError("data.preprocessing cuts images, and the masks of these would not follow; leave it out")
    facts = facts_of(listing.cells("image"), cache)
    masks = mask_facts(listing.cells("mask"), cache) if "mask" in listing.frame else None
    usable, positions = listing.drop(_unreadable_header(listing, facts, masks))
    rows: list[int] = positions.tolist()
    facts = [facts[at] for at in rows]
    masks = None if masks is None else [masks[at] for at in rows]
    if not len(usable):
        _raise_empty(usable)
    doubts = _orientation_doubt(usable, facts, masks)
    if masks is not None and any(fact.header.axes for fact in (*facts, *masks) if fact is not None and fact.header):
        from assay.data.files.grids import on_images  # here, since only NIfTI needs it

        usable, positions, more = on_images(usable, facts, masks)
        rows = positions.tolist()
        facts, masks, doubts = [facts[at] for at in rows], [masks[at] for at in rows], (*doubts, *more)
        if not len(usable):
            _raise_empty(usable)
    pixels = replace(_decode_files(usable, facts, masks, spec, cache, like), doubts=doubts)
    return assemble(usable, pixels, spec, cache, skip_bad_rows, keep_copies)


def images_of(listing: Listing, spec: DataSpec, cache: ArrayCache, like: Dataset | None = None) -> ArrayImages:
    """Return the images of a listing alone, without masks and checks. Raises DataError where one cannot be decoded."""
    decoded = _decode_files(listing, facts_of(listing.cells("image"), cache), None, spec, cache, like).images
    if decoded.failures:
        raise DataError(f"{listing.where}: {len(decoded.failures)} images cannot be decoded")
    return ArrayImages(decoded.array, np.arange(len(listing)))


def assemble(
    listing: Listing,
    pixels: DecodedPixels,
    spec: DataSpec,
    cache: ArrayCache,
    skip_bad_rows: bool,
    keep_copies: bool = False,
) -> Dataset:
    """Return the dataset of decoded images. Position i is row i of the table, in the order of the listing.

    With `keep_copies` or `split.together`, exact copies of different patients are no bad rows.

    Raises:
        DataError: For bad rows, unless they are to be left out; for a class, or a whole set, of which none is left.
    """
    hashes = _hashes(pixels.images, cache)
    doubts, doubtful_values = _doubts_of_pixels(listing, pixels.images)
    listing, positions = _usable(listing, pixels, hashes, skip_bad_rows, keep_copies or bool(spec.split.together))
    table, native, images = _table(listing, spec), pixels.native[positions], ArrayImages(pixels.images.array, positions)
    masks, about_masks, warnings, of_masks = _masks(listing, pixels, positions, framing_of(spec))
    mask_hashes = None if pixels.masks is None else _hashes(pixels.masks, cache)[positions]
    search = FileCopies(pixels.detail, positions, table.patient, cache)
    table, notes = _kept_together(table, hashes[positions], search) if spec.split.together else (table, ())
    changes = [f"{note} ({len(noted)} images)" for note, noted in sorted(pixels.images.notes.items())
               if not note.startswith(HINT)]  # fmt: skip
    card = card_of(
        listing.title,
        listing.about,
        table,
        native=native,
        shape=images.shape,
        deep=pixels.images.array.dtype == np.uint16,
        facts=(*listing.facts, *about_masks),
        warnings=(*listing.warnings, *changes, *warnings, *notes),
        left_out=left_out(listing.problems, listing.word),
        doubts=(
            *unequally_lost(listing),
            *pixels.doubts,
            *_left_to_ignore(listing),
            *doubts,
            *(why for why, _ in changed_since_joined(spec)),
        ),
        fit=framing_of(spec).fit,
        read={
            **listing.read,
            **_said_before(listing, spec),
            **doubtful_values,
            **_copies_by_name(listing, native),
            **_alike_names(listing, spec),
            **of_masks,
        },
    )
    millimeters = _millimeters(spec, table, native)
    original = FileOriginals(pixels, positions, spec.size, framing_of(spec), cache)
    return Dataset(
        table,
        images,
        masks,
        card,
        _scale(PixelScale(**listing.about.scale) if listing.about else PixelScale(), millimeters),
        _content(table, hashes[positions], mask_hashes),
        native=native,
        crops=None if pixels.crops is None else pixels.crops.take(positions.tolist()),
        millimeters=millimeters,
        lesions=None if listing.boxes is None else listing.boxes.fitted(native, spec.size, framing_of(spec)),
        boxes=None if pixels.images.boxes is None else pixels.images.boxes[positions],
        names=() if without_patients(listing.warnings) else tuple(map(str, listing.frame["patient"])),
        formats=tuple(path.suffix.lstrip(".").lower() for path in listing.cells("image")),
        digests=_digests(pixels, positions),
        pixels=tuple(hashes[positions].tolist()),
        search=search,
        original=original if spec.resize and pixels.sources else None,
        in_files=original if pixels.sources and not spec.preprocessing else None,
        mask_pixels=() if mask_hashes is None else tuple(mask_hashes.tolist()),
    )


def _kept_together(table: FactorTable, hashes: np.ndarray, search: FileCopies) -> tuple[FactorTable, tuple[str, ...]]:
    """Return the table with patients of copies as one, and a note of it."""
    pairs = [*exact_pairs(hashes, table.patient), *search.among(table.row)]
    if not pairs:
        return table, ()
    return replace(table, patient=merge_patients(table.patient, pairs)), (_linked_patients_note(pairs),)


def _digests(pixels: DecodedPixels, positions: np.ndarray) -> tuple[str, ...]:
    rows: list[int] = positions.tolist()
    return tuple(pixels.digests[at] for at in rows) if pixels.digests else ()


def _usable(
    listing: Listing, pixels: DecodedPixels, hashes: np.ndarray, skip_bad_rows: bool, keep_copies: bool
) -> tuple[Listing, np.ndarray]:
    """Return the listing without rows that cannot be used, with a target, and the positions of those kept."""
    listing, positions = listing.drop(_undecodable(listing, pixels))
    if len(listing) and pixels.masks is not None:
        for find_problems in (_to_ignore, _doubtful, _contradictions):
            listing, again = listing.drop(find_problems(listing, pixels.masks, positions))
            positions = positions[again]
        if listing.target is None and len(listing):
            listing = _target_from_masks(listing, pixels.masks.array[positions])
    listing, again = listing.drop([] if keep_copies else _copies(listing, hashes[positions]))
    if not skip_bad_rows:
        refuse(listing.where, [problem for problem in listing.problems if problem.what != _IGNORE], listing.word)
    if not len(listing):
        _raise_empty(listing)
    listing = labeled_by_masks(listing)
    refuse_vanished(listing)
    return listing, positions[again]


def _doubts_of_pixels(listing: Listing, images: Decoded) -> tuple[tuple[str, ...], Mapping[str, str]]:
    """Return doubts about the values of images, and cautions as rows of `provenance`."""
    is_color = images.array.shape[1] == 3
    if not (images.depths or images.notes or is_color):
        return (), {}
    from assay.data.files.image_doubts import doubts_of, swapped_colors  # here, as below: most images need none of it

    doubts, read = doubts_of(images, listing.numbers, listing.word)
    colors = swapped_colors(images.array, listing.numbers, listing.word) if is_color else ""
    return doubts, {**read, **({"colors": colors} if colors else {})}


def _raise_empty(listing: Listing) -> None:
    refuse(listing.where, listing.problems, listing.word)
    raise DataError(f"{listing.where} gives no images")


def _masks(
    listing: Listing, pixels: DecodedPixels, positions: np.ndarray, framing: Framing
) -> tuple[ArrayMasks | None, Sequence[str], Sequence[str], Mapping[str, str]]:
    """Return the masks, their notes and warnings on the card, and what is said first of them.

    Raises:
        DataError: If none shows a lesion.
    """
    if pixels.masks is None:
        return None, (), (), {}
    refuse_empty(pixels.masks, positions, listing.where)
    facts, warnings, read = mask_notes(pixels.masks, positions, pixels.native[positions], listing.meaning, framing)
    from assay.data.files.alignment import doubts_of_masks
    from assay.data.files.image_doubts import kinds_without_lesion, masks_against_classes, partly_inverted

    doubts = filter(
        None,
        (
            read.get("lesions"),
            kinds_without_lesion(listing.meaning.kinds),
            masks_against_classes(pixels.masks, positions, listing.target, listing.classes),
            partly_inverted(pixels.masks, positions, pixels.native[positions], framing, listing.numbers, listing.word),
            *doubts_of_masks(
                pixels.images.array,
                pixels.masks.array,
                pixels.masks.notes,
                positions,
                listing.cells("image"),
                listing.cells("patient"),
            ),
        ),
    )
    read = {**read, "lesions": text} if (text := "; ".join(doubts)) else read
    return ArrayMasks(pixels.masks.array, positions, listing.meaning.kinds), facts, warnings, read


def _unreadable_header(
    listing: Listing, facts: Sequence[FileFact], masks: Sequence[FileFact | None] | None
) -> list[Problem]:
    """Files whose header already shows that they cannot be used."""
    problems: list[Problem] = []
    for at, fact in enumerate(facts):
        mask = masks[at] if masks is not None else None
        if fact.header is None:
            problems.append(listing.problem(at, fact.what, fact.remedy))
        elif mask is not None and mask.header is None:
            problems.append(listing.problem(at, f"mask: {mask.what}", mask.remedy))
        elif mask is not None and mask.header is not None:
            image, other = ((h.width, h.height) for h in (fact.header, mask.header))
            if image != other and (fact.header.axes == mask.header.axes or sorted(image) != sorted(other)):
                what = f"its mask is {other[0]} x {other[1]} px, the image {image[0]} x {image[1]}"
                if other == image[::-1] and fact.header.orientation != mask.header.orientation:
                    what += ", which the EXIF orientation of one of them turns"
                problems.append(listing.problem(at, what, "export the mask at the image's size"))
    return problems


def _decode_files(
    listing: Listing,
    facts: Sequence[FileFact],
    masks: Sequence[FileFact | None] | None,
    spec: DataSpec,
    cache: ArrayCache,
    like: Dataset | None = None,
) -> DecodedPixels:
    headers = [fact.header for fact in facts if fact.header is not None]
    native = np.array([(header.width, header.height) for header in headers], dtype=np.int64).reshape(-1, 2)
    digests = [fact.digest for fact in facts]
    deep = any(header.deep for header in headers)
    sources = [file_source(path) for path in listing.cells("image")]
    other = like.in_files if like is not None else None
    images = decode_images(
        sources,
        digests,
        spec.size,
        deep,
        spec.channels,
        cache,
        spec.preprocessing,
        native,
        framing_of(spec),
        other.pixels.images.like if isinstance(other, FileOriginals) else None,
    )
    detail = partial(detail_of, sources, digests, cache, images.stretch)
    if masks is None:
        return DecodedPixels(images, None, native, detail, digests=digests, sources=sources)
    mask_cells = listing.cells("mask")
    decoded = decoded_masks(mask_cells, masks, native, listing.meaning, spec.size, cache, framing_of(spec))
    crops = FileCrops(
        images=tuple(listing.cells("image")),
        masks=tuple(mask_cells),
        digests=tuple(map(" ".join, zip(digests, mask_digests(mask_cells, masks, native), strict=True))),
        native=native,
        meaning=listing.meaning,
        size=spec.size,
        channels="gray" if images.array.shape[1] == 1 else "color",
        deep=deep,
        cache=cache,
        framing=framing_of(spec),
        stretch=images.stretch,
    )
    return DecodedPixels(images, decoded, native, detail, crops, digests, sources)


def _undecodable(listing: Listing, pixels: DecodedPixels) -> list[Problem]:
    problems = [listing.problem(at, what, remedy) for at, (what, remedy) in pixels.images.failures.items()]
    bad = set(pixels.images.failures)
    masks = pixels.masks.failures if pixels.masks is not None else {}
    return problems + [
        listing.problem(at, what if what.startswith("the mask") else f"mask: {what}", remedy)
        for at, (what, remedy) in masks.items()
        if at not in bad
    ]


_IGNORE = "its mask marks pixels as neither lesion nor background (`ignore`, or `iscrowd` of COCO)"


def _to_ignore(listing: Listing, masks: Decoded, positions: np.ndarray) -> list[Problem]:
    """Rows that are left out, since no measure and no loss passes over a part of an image."""
    ignored = set(masks.notes.get(IGNORE, ()))
    return [
        listing.problem(position, _IGNORE, "label these pixels, one lesion by one")
        for position, at in enumerate(positions.tolist())
        if at in ignored
    ]


def _said_before(listing: Listing, spec: DataSpec) -> dict[str, str]:
    """Return what was guessed and matched, as rows of `provenance`."""
    notes = {"columns": spec.guessed, "matched": "; ".join((*spec.matched, *listing.matched))}
    return {key: text for key, text in notes.items() if text}


def _alike_names(listing: Listing, spec: DataSpec) -> dict[str, str]:
    """Return cautions on the names of patients, as rows of `provenance`."""
    from assay.data.files.patients import doubtful_patients  # here, as below: it loads where patients are named alone

    return doubtful_patients(listing.cells("patient"), listing.numbers, listing.word) if spec.patient else {}


def _copies_by_name(listing: Listing, native: np.ndarray) -> dict[str, str]:
    """Return the cautions that images are smaller or changed copies of others by name, as rows of `provenance`."""
    from assay.data.files.doubts import named_as_changed, named_as_smaller

    files, patients = listing.cells("image"), listing.cells("patient")
    smaller = [at for at, other in named_as_smaller(files).items() if (native[at] < native[other]).all()]
    changed = [at for at, other in named_as_changed(files).items() if patients[at] != patients[other]]
    text = "{:,} images are named as {} copies of others of the set, the first in {} {}: {}".format
    do = {
        "smaller": "each of these pictures counts twice; take the copies out",
        "changed": "give each the patient of its original, or take the copies out",
    }
    rows = {"smaller": smaller, "changed": changed}
    return {
        f"{how} copies": text(len(at), how, listing.word, listing.numbers[at[0]], do[how])
        for how, at in rows.items()
        if at
    }


def _left_to_ignore(listing: Listing) -> tuple[str, ...]:
    count = sum(problem.what == _IGNORE for problem in listing.problems)
    whose = _IGNORE.removeprefix("its mask marks ")
    return (f"{count:,} images were left out whose masks mark {whose}",) if count else ()


def _orientation_doubt(
    listing: Listing, facts: Sequence[FileFact], masks: Sequence[FileFact | None] | None
) -> tuple[str, ...]:
    """Return doubts where EXIF turns images, or masks, and not the other of the two, and where it turns images with
    boxes.
    """
    masked = zip(facts, masks or (), listing.cells("mask"), strict=True) if masks else ()
    boxed = zip(facts, listing.boxes.of_image if listing.boxes else (), strict=False)
    counts = {
        "masks have no such tag or another one": sum(
            _orientation(fact) != _orientation(mask) for fact, mask, at in masked if at is not None
        ),
        "boxes have none": sum(_orientation(fact) > 1 and len(boxes) > 0 for fact, boxes in boxed),
    }
    return tuple(
        f"{count:,} images are turned as their EXIF orientation says, and their {what}: check that "
        f"{what.partition(' ')[0]} lie on the lesions, or take the tag out of the images"
        for what, count in counts.items()
        if count
    )


def _orientation(fact: FileFact | None) -> int:
    return fact.header.orientation if fact is not None and fact.header is not None else 1


def _doubtful(listing: Listing, masks: Decoded, positions: np.ndarray) -> list[Problem]:
    return [listing.problem(at, *problem) for at, problem in doubtful(masks, positions).items()]


def _contradictions(listing: Listing, masks: Decoded, positions: np.ndarray) -> list[Problem]:
    """Rows of which a column says lesion or none and the mask says otherwise; other meanings of `lesion` are free."""
    claimed = listing.target if listing.classes == LESION.levels else None
    for factor in listing.factors:
        if factor.name == LESION.name and factor.levels == LESION.levels:
            claimed = listing.columns[factor.name]
    if claimed is None:
        return []
    has_lesion = np.array([bool(masks.array[at].any()) for at in positions.tolist()])
    remedy, some = "correct the column or the mask", ("no lesion", "a lesion")
    return [
        listing.problem(
            at, f"it says {LESION.levels[claimed[at]]}, and its mask shows {some[int(has_lesion[at])]}", remedy
        )
        for at in np.flatnonzero((claimed >= 0) & (claimed != has_lesion)).tolist()
    ]


def _target_from_masks(listing: Listing, masks: np.ndarray) -> Listing:
    """Return the target, and the factor that says the same, so that environments can choose by it."""
    has_lesion = masks.reshape(len(masks), -1).any(axis=1).astype(np.int64)
    factors = (*listing.factors, LESION)
    return replace(
        listing,
        frame=listing.frame.assign(target=has_lesion),
        factors=factors,
        columns={**listing.columns, LESION.name: has_lesion},
    )


def _copies(listing: Listing, hashes: np.ndarray) -> list[Problem]:
    """Return all but the first of identical images that are called different patients; all of them if labels
    contradict.
    """
    problems: list[Problem] = []
    target = listing.target
    for group in exact_groups(hashes, listing.patient):
        agree = target is None or len(np.unique(target[group])) == 1
        first = int(group[0])
        for at in (group[1:] if agree else group).tolist():
            other = int(group[1]) if at == first else first
            label = "" if agree else contradiction(listing, at, other)
            line = f"{listing.word} {listing.frame.index[other]}"
            what = f"its pixels are those of {line}, which counts as another patient's{label}"
            problems.append(listing.problem(at, what, "keep one of them, or give both the same patient"))
    return problems


_AT_ONCE = 1024
"""Images that are hashed at once."""


def _hashes(decoded: Decoded, cache: ArrayCache) -> np.ndarray:
    """Row hashes, kept in the cache under the name of their source."""
    array = decoded.array
    name = f"{_mapped_file(array)}-hashes"

    def fill(out: np.ndarray) -> None:
        for start in range(0, len(array), _AT_ONCE):
            out[start : start + _AT_ONCE] = row_hashes(array[start : start + _AT_ONCE])
            release(array)

    return cache.get(name, (len(array),), np.uint64, fill)


def _mapped_file(array: np.ndarray) -> str:
    if not isinstance(array, np.memmap) or array.filename is None:
        raise TypeError("decoded images are in the cache")
    return Path(str(array.filename)).stem


def _table(listing: Listing, spec: DataSpec) -> FactorTable:
    target = listing.target
    if target is None:
        raise TypeError("a listing without masks has a target")
    return FactorTable(
        row=np.arange(len(listing), dtype=np.int64),
        target=target,
        patient=listing.patient,
        classes=listing.classes,
        factors=listing.factors,
        columns=listing.columns,
        places=places_of(listing, spec),
    )


def places_of(listing: Listing, spec: DataSpec) -> RowOrigins:
    """Return where the rows of a listing come from."""
    in_memory = Path(spec.folder).parent == default_cache_root() / IN_MEMORY
    called = ("", "row") if in_memory else (listing.where, listing.word)
    return RowOrigins(*called, tuple(listing.numbers))


def _content(table: FactorTable, image_hashes: np.ndarray, mask_hashes: np.ndarray | None) -> str:
    """Return a hash over the hashes of images and masks, targets and patients, in order."""
    digest = hashlib.sha256()
    for part in (image_hashes, mask_hashes, table.target, table.patient):
        digest.update(b"|" if part is None else np.ascontiguousarray(part).tobytes() + b"|")
    digest.update("\n".join(table.classes).encode())
    return digest.hexdigest()[:16]


def detail_of(
    sources: Sequence[Callable[[], np.ndarray | bytes]],
    digests: Sequence[str],
    cache: ArrayCache,
    stretch: Stretch,
    positions: np.ndarray,
) -> np.ndarray:
    """Return the local detail of images as their files have it, int8 [n, g, g]; 0 for a file that cannot be read.

    It does not depend on the size at which a study looks, and is kept in the cache.

    Args:
        sources: Per image, a call that gives the file's bytes or pixels [h, w] or [h, w, 3].
        digests: Names of their content.
        cache: The cache of decoded images.
        stretch: Bits that the values of the set's 16-bit files take.
        positions: Positions of the images.
    """
    places: list[int] = positions.tolist()
    side = near_copies.GRID

    def one(at: int, out: np.ndarray) -> None:
        try:
            source = sources[places[at]]()
            picture = DecodedImage(source) if isinstance(source, np.ndarray) else read_picture(source, side)
            out[:] = near_copies.details(stretch.shown(picture.pixels, picture))
        except Unreadable:
            out[:] = 0

    def fill(array: np.ndarray) -> None:
        for at, _ in enumerate(in_threads(lambda at: one(at, array[at]), range(len(array)))):
            cache.on_progress("looking for near copies", at + 1, len(array))

    name = name_of("detail", [digests[at] for at in places], near_copies.VERSION, *stretch)
    return cache.get(name, (len(places), side, side), np.int8, fill)


@dataclass(frozen=True)
class FileCopies:
    """See `NearCopies`. The pairs of the same files and patients are found once and kept in the cache.

    Attributes:
        detail: Returns descriptors of the images at some positions of the listing of all files.
        kept: Position of each row there.
        patient: Patient of each row.
        cache: The cache of decoded images.
        training: The search of a training set, among whose images those of this set are looked for (first of each pair)
            in place of this set's; None for a set of its own.
    """

    detail: Callable[[np.ndarray], np.ndarray]
    kept: np.ndarray
    patient: np.ndarray
    cache: ArrayCache
    training: FileCopies | None = None

    def among(self, rows: Int[np.ndarray, " m"]) -> tuple[NearPair, ...]:
        """Return pairs of rows, the most alike first. Images are compared with those of these rows only."""
        detail, patient = self.detail(self.kept[rows]), self.patient[rows]
        if self.training is not None:
            sets = [self.training.detail(self.training.kept), detail]
            count = len(sets[0])
            of_set = np.repeat(np.arange(2, dtype=np.int64), [count, len(rows)])
            pairs = near_copies.near_pairs(np.concatenate(sets), of_set, np.arange(count, count + len(rows)))
            return tuple(NearPair(pair.first, int(rows[pair.second - count]), pair.likeness) for pair in pairs)
        notes = f"near-{_mapped_file(detail)}-{hashlib.sha256(patient.tobytes()).hexdigest()[:16]}.json"
        stored_pairs: list[tuple[int, int, float]] | None = self.cache.read_notes(notes)
        if stored_pairs is None:
            pairs = near_copies.near_pairs(detail, patient)
            stored_pairs = [(pair.first, pair.second, pair.likeness) for pair in pairs]
            self.cache.write_notes(notes, stored_pairs)
        return tuple(
            NearPair(int(rows[first]), int(rows[second]), likeness) for first, second, likeness in stored_pairs
        )


def _linked_patients_note(pairs: Sequence[NearPair]) -> str:
    images = len({at for pair in pairs for at in (pair.first, pair.second)})
    return (
        f"{images:,} images in {len(pairs):,} pairs are copies, exact or near, of other patients' images; the "
        "patients of each pair count as one, so that both images stay on one side (split.together)"
    )


def _millimeters(spec: DataSpec, table: FactorTable, native: np.ndarray) -> np.ndarray | None:
    """Millimeters per pixel at study resolution, to which the longer side of the shown part was brought; NaN where a
    row says none. Squashed pixels have none: `DataSpec` refuses that.
    """
    if not spec.pixel_size or "pixel_size" not in table.columns:
        return None
    longer = framing_of(spec).shown(native).max(axis=1)
    size = table.numbers("pixel_size") * longer / spec.size
    return np.where(np.isfinite(size) & (size > 0), size, np.nan)


def _scale(scale: PixelScale, millimeters: np.ndarray | None) -> PixelScale:
    """Return the median over images that say theirs."""
    if millimeters is None:
        return scale
    present = millimeters[np.isfinite(millimeters)]
    return replace(scale, mm_per_pixel=float(np.median(present)) if len(present) else None)
