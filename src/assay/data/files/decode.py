"""Decode image and mask files into the cache."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, astuple, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar, cast

import numpy as np
from jaxtyping import Int, UInt8

from assay.core.errors import DataError, ExtraError, StoreError
from assay.core.files import content_hash, file_state, read_stored_bytes, release
from assay.data.cache import ArrayCache
from assay.data.dataset import ONE_KIND
from assay.data.files.fitting import (
    PAD,
    Framing,
    Placement,
    cut_off,
    fit_image,
    fit_labels,
    has_specks,
    is_colored,
    vanished,
)
from assay.data.files.pictures import (
    HINT,
    VALUES,
    DecodedImage,
    Header,
    StoredRange,
    at_full_range,
    ben_graham,
    circle_crop,
    limits,
    over_common_range,
)
from assay.data.files.readers import examine, read_picture
from assay.data.files.table import Unreadable
from assay.spec.schema import BACKGROUND, IGNORE, DataSpec

# Label maps from the values that mask files store, or the reason why a file has none.
#
# Without names for its values a mask is of one kind: lesion is every value above half of the file's range, or above 0
# in a file of 0 and 1. That rule is not used where it would hide something: several flat values or colors, or values
# of which none is above half, are refused. In a lossy file values are smeared: see `_of_lossy`.

MASK_VERSION = 5
"""Rises when the same file gives another label map."""
UNIT = "0 and 1"
"""The note of a mask that holds 0 and 1 only, where others of its set might hold 0 and 255."""
SMOOTH = "lesion is above half of the range, in masks with smooth edges"
"""The note of a mask of one kind with values between both ends."""
IGNORED = 255
"""The label of pixels that are neither lesion nor background."""
_NAMED = 6
_FEW = 4
_EXPORT = "export it as PNG with one number per kind"


@dataclass(frozen=True, slots=True)
class LabelMap:
    """A label map, uint8 [h, w], 0 background, and notes about it (`UNIT`, `IGNORE`)."""

    values: UInt8[np.ndarray, "h w"]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LabelMeaning:
    """Meaning of the values of a set's masks.

    Attributes:
        kinds: Names of the labels from 1 on.
        labels: Value in a file -> label, 0 for background, `IGNORED` for neither; empty where masks are of one kind,
            given by brightness.
        inverted: Of one kind, dark pixels are lesion.
    """

    kinds: tuple[str, ...] = ONE_KIND
    labels: Mapping[int, int] = field(default_factory=dict[int, int])
    inverted: bool = False

    @property
    def digest(self) -> str:
        """Name of this meaning in a cache."""
        return content_hash([MASK_VERSION, dict(self.labels), self.inverted])


ONE = LabelMeaning()
"""Masks of one kind, given by brightness."""


def meaning_of(spec: DataSpec) -> LabelMeaning:
    """Declaration of a spec on its masks' values."""
    if not spec.mask_values:
        return LabelMeaning(inverted=spec.mask_inverted)
    return numbered(spec.mask_values)


def numbered(names: Mapping[int, str]) -> LabelMeaning:
    """Values with names: kinds in the order of their least value; `background` and `ignore` are none.

    Raises:
        DataError: There are more kinds than a label map has numbers.
    """
    kinds = tuple(dict.fromkeys(names[value] for value in sorted(names) if names[value] not in (BACKGROUND, IGNORE)))
    if len(kinds) >= IGNORED:
        raise DataError(
            f"masks name {len(kinds):,} kinds of lesions, over {IGNORED - 1}; give several one name in data.mask_values"
        )
    label = {BACKGROUND: 0, IGNORE: IGNORED, **{kind: at for at, kind in enumerate(kinds, start=1)}}
    return LabelMeaning(kinds, {value: label[name] for value, name in names.items()})


def labels_of(stored: DecodedImage, meaning: LabelMeaning) -> LabelMap:
    """Return the label map that a file stores.

    Raises:
        Unreadable: If the meaning would be a guess; the text names the keys to write.
    """
    if meaning.labels:
        values = _by_number(stored, meaning.labels)
        ignored = values == IGNORED
        return LabelMap(np.where(ignored, np.uint8(0), values), (IGNORE,) if ignored.any() else ())
    lesion, notes = _by_brightness(stored)
    return LabelMap((lesion != meaning.inverted).astype(np.uint8), (*notes, *stored.notes))


def _by_number(stored: DecodedImage, labels: Mapping[int, int]) -> np.ndarray:
    pixels = stored.pixels
    if stored.lossy:
        raise Unreadable("it is a lossy file, in which the numbers of kinds are smeared", _EXPORT)
    if pixels.ndim == 3:
        if (pixels != pixels[..., :1]).any():
            raise Unreadable("it is in colors, and data.mask_values names numbers", _EXPORT)
        pixels = pixels[..., 0]
    stored_values = np.unique(pixels).astype(np.int64)
    unnamed = [int(value) for value in stored_values if value and int(value) not in labels]
    if unnamed:
        what = f"it holds {_list_values(unnamed)}, which data.mask_values does not name"
        raise Unreadable(what, f"name it there, or write `{unnamed[0]}: {BACKGROUND}`")
    table = np.zeros(int(stored_values[-1]) + 1, dtype=np.uint8)
    for value, label in labels.items():
        table[value : value + 1] = label
    return table[pixels.astype(np.int64)]


def _by_brightness(stored: DecodedImage) -> tuple[np.ndarray, tuple[str, ...]]:
    from assay.data.files.alignment import color_notes, levels_of_picture  # here: it loads for masks alone

    pixels = stored.pixels
    if pixels.dtype == np.bool_:
        return np.atleast_3d(pixels).max(axis=2), ()
    if stored.palette is not None and int(pixels.max()) > 1:
        pixels = stored.palette  # a label tool writes 0 and 1 with any colors; other indices say nothing by themselves
    gray = pixels if pixels.ndim == 2 else pixels.max(axis=2)
    largest, range_ = int(gray.max()), int(np.iinfo(gray.dtype).max)
    if levels := levels_of_picture(gray):
        what = f"it has {levels} gray levels between black and white, as a picture has, or a map of probabilities"
        raise Unreadable(
            what, f"{_EXPORT}, such as 1 where a probability is over 0.5, or name its values under data.mask_values"
        )
    if stored.lossy:
        return _of_lossy(gray, range_), ()
    if largest <= 1:
        return gray > 0, (UNIT,) if largest and stored.palette is None else ()
    values = _several(pixels, gray, range_)
    if values:
        raise Unreadable(values, _EXPORT if pixels.ndim == 3 and _has_color(pixels) else _example_values(gray))
    smooth = (SMOOTH,) if ((gray > 0) & (gray < gray.max())).any() else ()
    return gray > range_ // 2, (*smooth, *color_notes(pixels, gray > range_ // 2))


def _of_lossy(gray: np.ndarray, range_: int) -> np.ndarray:
    """Threshold a lossy mask at half of its range.

    Up to a sixteenth of the range is black. A value between a sixteenth and a half is refused if it fills more of the
    mask than an edge can, a fiftieth.
    """
    low, high, largest = range_ // 16, range_ - range_ // 16, int(gray.max())
    if low < largest <= range_ // 2:
        what = f"it is a lossy file of values up to {largest}, none above half of the range"
        raise Unreadable(what, "export it as PNG, black and white")
    counts = np.bincount(gray.ravel().astype(np.int64), minlength=range_ + 1)
    plain = [int(value) for value in np.flatnonzero(counts > gray.size // 50) if low < value < high]
    if plain:
        raise Unreadable(f"it holds {_list_values([*plain, largest])}, as if these were several kinds", _EXPORT)
    return gray > range_ // 2


def _several(pixels: np.ndarray, gray: np.ndarray, range_: int) -> str:
    """Evidence that a lossless mask holds several kinds, or another one than 0 and the range's end; else empty.

    Edges may be smooth, and many values near both ends come from a JPEG that was saved again: a value in between, or
    near black where there are few values, counts only where it fills a square of 3 x 3 px.
    """
    if int(gray.max()) <= range_ // 2:
        return f"its values are 0 and {_list_values(np.unique(gray[gray > 0]).tolist())}, none above half of the range"
    if pixels.ndim == 3 and _has_color(pixels):
        bright = (pixels > range_ // 2) @ np.array([1, 2, 4])
        colors = [value for value in _flat(bright) if value]
        return f"it shows lesions in {len(colors)} colors" if len(colors) > 1 else ""
    low, high = range_ // 16, range_ - range_ // 16
    few = np.unique(gray[gray > 0]).tolist()
    if len(few) <= _FEW and any(0 < value <= low for value in _flat(gray)):
        return f"it holds {_list_values(few)}, as if these were several kinds"
    if not ((gray > low) & (gray < high)).any():
        return ""
    between = [value for value in _flat(gray) if low < value < high]
    return f"it holds {_list_values([*between, int(gray.max())])}, as if these were several kinds" if between else ""


def _has_color(pixels: np.ndarray) -> bool:
    return bool((pixels != pixels[..., :1]).any())


def _flat(values: np.ndarray) -> list[int]:
    """Return the values that fill a square of 3 x 3 px somewhere, ascending."""
    center = values[1:-1, 1:-1]
    same = np.ones(center.shape, dtype=np.bool_)
    height, width = values.shape
    for down in range(3):
        for across in range(3):
            same &= values[down : height - 2 + down, across : width - 2 + across] == center
    return [int(value) for value in np.unique(center[same])]


def _example_values(gray: np.ndarray) -> str:
    values = [int(value) for value in np.unique(gray) if value][:2]
    example = ", ".join(f"{value}: {name}" for value, name in zip(values, ("lesion", "other"), strict=False))
    return f"say what each value is, such as data.mask_values: {{{example}}}"


def _list_values(values: list[int]) -> str:
    text = ", ".join(str(value) for value in values[:_NAMED])
    return f"{text} and {len(values) - _NAMED} values more" if len(values) > _NAMED else text


# Decode files once, at study resolution, into the cache: streamed, so that only a few are in memory at a time.
#
# `data.files.fitting` fits an image and its mask into a square.

IMAGE_VERSION = 9
"""Rises when the same files decode to other pixels."""
READING = "reading images"
_AHEAD = 256
VANISHED = "vanished"
"""The note of a mask with lesions that are too small to be seen at study resolution."""
CUT_OFF, SPECKS = "cut off", "specks"
"""The note of a mask with lesions outside the part of the image that is shown."""

Channels = Literal["auto", "gray", "color"]
Failures = dict[int, tuple[str, str]]
"""Position -> error of the file, and its remedy."""


class Stretch(NamedTuple):
    """The range over which the files of a set appear.

    Attributes:
        unsigned, signed: Bits that the values of files take whose header declares no range.
        common: The range of all files of the display `VALUES`, where their own ranges differ.
    """

    unsigned: int = 16
    signed: int = 16
    common: tuple[float, float] | None = None

    def of(self, used: StoredRange) -> int:
        """Return the bits of such a file."""
        return self.signed if used.signed else self.unsigned

    def shown(self, pixels: np.ndarray, of: DecodedImage | Depth) -> np.ndarray:
        """Return the pixels of a file, or of parts of it, over the range of the set."""
        if of.used is not None and self.of(of.used) < 16:
            pixels = at_full_range(pixels, self.of(of.used), of.used)
        shown = self.range_of(of)
        if self.common is None or of.display != VALUES or shown is None:
            return pixels
        return over_common_range(pixels, shown, self.common)

    def range_of(self, of: DecodedImage | Depth) -> tuple[float, float] | None:
        """Return the values of a file that these bits show black and white."""
        return of.range if of.used is None else of.used.range(self.of(of.used))

    @property
    def label(self) -> str:
        """Part of the names of caches; empty of no stretch."""
        return "" if self == WHOLE else f" {tuple(self)}"


WHOLE = Stretch()
"""No stretch."""


class Depth(NamedTuple):
    """Values of one file of more than 8 bit.

    Attributes:
        dark, bright: 1st and 99th percentile of the decoded image, without padding, of 0 to 65,535.
        range: Values that appear black and white.
        used, display: As in `DecodedImage`.
    """

    dark: int
    bright: int
    range: tuple[float, float]
    used: StoredRange | None
    display: str

    def stretched(self, stretch: Stretch) -> Depth:
        """Return the same after this stretch."""
        dark, bright = stretch.shown(np.array([self.dark, self.bright], dtype=np.uint16), self).tolist()
        common = stretch.common if self.display == VALUES else None
        return self._replace(dark=dark, bright=bright, range=common or stretch.range_of(self) or self.range)


@dataclass(frozen=True, slots=True)
class Decoded:
    """An array of all files, with zeros where one failed.

    Attributes:
        notes: Change made while reading -> positions of files.
        boxes: Top, left, height and width in the square of every image; None where each fills it, and for masks.
        depths: Position -> values of a file of more than 8 bit.
        stretch: Bits that were stretched to all 16, in files whose header declares no range.
    """

    array: np.ndarray
    failures: Failures
    notes: dict[str, list[int]]
    boxes: Int[np.ndarray, "n 4"] | None = None
    depths: Mapping[int, Depth] = field(default_factory=dict[int, "Depth"])
    stretch: Stretch = WHOLE

    @property
    def like(self) -> Stretch:
        """The stretch, with 0 for kinds of files that are not there, and with the range of files of `VALUES`."""
        kinds = {depth.used.signed for depth in self.depths.values() if depth.used}
        shown = next((depth.range for depth in self.depths.values() if depth.display == VALUES), None)
        return Stretch(
            self.stretch.unsigned if False in kinds else 0,
            self.stretch.signed if True in kinds else 0,
            shown and (min(shown), max(shown)),
        )

    @property
    def clipped(self) -> list[int]:
        """Positions of images whose values go beyond the range of the set."""
        return [at for at, depth in self.depths.items() if depth.used and depth.used.bits > self.stretch.of(depth.used)]


class _Filled(NamedTuple):
    """Notes on one file: changes made while reading it, and the position of the image in the square."""

    notes: tuple[str, ...]
    box: Placement | None = None
    depth: Depth | None = None


class _ColorFound(Exception):
    """An image with differing channels turned up where gray was hoped for."""


def decode_images(
    sources: Sequence[Callable[[], np.ndarray | bytes]],
    digests: Sequence[str],
    size: int,
    deep: bool,
    channels: Channels,
    cache: ArrayCache,
    changes: Sequence[str] = (),
    native: Int[np.ndarray, "n 2"] | None = None,
    framing: Framing = PAD,
    like: Stretch | None = None,
) -> Decoded:
    """Return all images as uint8 (or uint16 when `deep`) [n, c, size, size].

    Args:
        sources: Per image, a call that gives the file's bytes or pixels [h, w] or [h, w, 3].
        digests: Names of their content.
        channels: `gray` takes the luminance (Rec. 601) of color images, `color` repeats gray ones; `auto` is color if
            any image has differing channels.
        changes: `DataSpec.preprocessing`.
        native: Width and height of the files, where some may be decoded at a part of that. Files that fail are listed,
            not raised.
        framing: How images become squares.
        like: Over which range equal values are shown in a set that these images are compared with; see `Decoded.like`.
    """

    def attempt(planes: int, only_gray: bool) -> Decoded:
        """Decode, stopping at the first colored image if only gray ones are hoped for; remember that."""
        dtype = np.dtype(np.uint16 if deep else np.uint8)
        settings = (*(("+".join(changes),) if changes else ()), *((framing.label,) if framing.label else ()))
        settings = (*settings, "displays") if deep else settings
        name = name_of("images", digests, size, dtype.name, planes, only_gray, *settings)
        colored = f"{name}.colored.json"
        if only_gray and cache.read_notes(colored):
            raise _ColorFound

        def one(at: int, out: np.ndarray) -> _Filled:
            source = sources[at]()
            picture = (
                DecodedImage(source)
                if isinstance(source, np.ndarray)
                else read_picture(source, 0 if framing.resize else size)
            )
            pixels = picture.pixels
            if only_gray and is_colored(pixels):
                raise _ColorFound
            if "circle-crop" in changes:
                pixels = circle_crop(pixels)
                height, width = pixels.shape[:2]
            else:
                height, width = pixels.shape[:2] if native is None else native[at, ::-1].tolist()
            box = framing.placed(height, width, size)
            fitted = fit_image(framing.kept(pixels), size, planes, dtype, box, framing.resize)
            out[:] = ben_graham(fitted) if "ben-graham" in changes else fitted
            # Graham's differences are spread over 16 bits already.
            return _Filled(
                (*picture.notes, *_sign_hint(picture)),
                box,
                None if "ben-graham" in changes else _depth(picture, out, box),
            )

        try:
            decoded = _fill(name, (len(sources), planes, size, size), dtype, one, cache)
            return _at_true_range(name, decoded, cache, like)
        except _ColorFound:
            cache.write_notes(colored, True)
            raise

    if channels == "auto":
        with suppress(_ColorFound):
            return attempt(1, True)
    return attempt(1 if channels == "gray" else 3, False)


def decode_masks(
    sources: Sequence[Callable[[], LabelMap]],
    digests: Sequence[str],
    size: int,
    cache: ArrayCache,
    framing: Framing = PAD,
) -> Decoded:
    """Return all masks as label maps, uint8 [n, 1, size, size]; with notes: those of `Labels`, and the ones above.

    Args:
        digests: Names of the masks' content and of the meaning of their values.
    """

    def one(at: int, out: np.ndarray) -> _Filled:
        labels = sources[at]()
        out[0] = fit_labels(labels.values, size, framing)
        small = (VANISHED,) if vanished(labels.values, out[0], framing) else ()
        outside = (CUT_OFF,) if cut_off(labels.values, framing) else ()
        specks = (SPECKS,) if has_specks((labels.values > 0) & (labels.values != IGNORED)) else ()
        return _Filled((*labels.notes, *small, *outside, *specks))

    name = name_of("labels", digests, size, *((framing.label,) if framing.label else ()))
    return _fill(name, (len(sources), 1, size, size), np.dtype(np.uint8), one, cache)


_SPARED, _FEW_FILES = 100, 5
"""One file in so many, at least one in a set of `_FEW_FILES` files, may go beyond the range of its set."""
_FAR = 3
"""Bits that a file must take more than the others to be clipped: 8 times their range."""


def _sign_hint(picture: DecodedImage) -> tuple[str, ...]:
    """Return the hint that values of 16 bit, whose format states no range, have lost their sign, or those of 8 bit
    their upper bits.
    """
    if picture.pixels.dtype == np.uint8:
        from assay.data.files.hints import OVERFLOW, overflows

        return (HINT + OVERFLOW,) if overflows(np.atleast_3d(picture.pixels)[..., 0]) else ()
    if picture.used is None or picture.used.signed or picture.display:
        return ()
    from assay.data.files.hints import WRAPPED, wraps  # here: it loads for deep images alone

    return (HINT + WRAPPED,) if wraps(picture.pixels, 16) else ()


def _depth(picture: DecodedImage, fitted: np.ndarray, box: Placement) -> Depth | None:
    if picture.range is None:
        return None
    inside = fitted[:, box.top : box.top + box.height, box.left : box.left + box.width]
    dark, bright = np.quantile(inside, (0.01, 0.99), method="nearest").tolist()
    return Depth(int(dark), int(bright), picture.range, picture.used, picture.display)


def _at_true_range(name: str, decoded: Decoded, cache: ArrayCache, like: Stretch | None) -> Decoded:
    """Stretch 16-bit files to the whole range where their set does not use it, such as 12-bit content.

    All files of a set have one number of bits, so that images stay comparable: that of the greatest value in any of
    them, except in a few that go far beyond the others (`_bits_of`), whose values are clipped. So have files of the
    display `VALUES` one range: that of all of them. Windows and 8-bit files do not change.
    """
    used = {at: depth.used for at, depth in decoded.depths.items() if depth.used is not None}
    unsigned, signed = ([file for file in used.values() if file.signed == kind] for kind in (False, True))
    other = like or Stretch(0, 0)
    stretch = Stretch(
        bool(unsigned) * other.unsigned or _bits_of(unsigned), bool(signed) * other.signed or _bits_of(signed)
    )
    ranges = {
        (min(shown), max(shown))
        for depth in decoded.depths.values()
        if depth.display == VALUES and (shown := stretch.range_of(depth))
    }
    if ranges:
        common = other.common or (min(low for low, _ in ranges), max(high for _, high in ranges))
        stretch = stretch._replace(common=common if ranges - {common} else None)
    if stretch == WHOLE:
        return decoded

    def fill(array: np.ndarray) -> None:
        array[:] = decoded.array
        for row, depth in decoded.depths.items():
            top, left, height, width = (0, 0, *array.shape[2:]) if decoded.boxes is None else decoded.boxes[row]
            inside = array[row, :, top : top + height, left : left + width]
            inside[:] = stretch.shown(inside, depth)

    setting = "-".join(map(str, (stretch.unsigned, stretch.signed, *(stretch.common or ()))))
    array = cache.get(f"{name}-{setting}bit", decoded.array.shape, decoded.array.dtype, fill)
    notes = {
        _read_as(group, stretch.of(group[0])): [at for at, file in used.items() if file.signed == group[0].signed]
        for group in (unsigned, signed)
        if group and stretch.of(group[0]) < 16
    }
    depths = {at: depth.stretched(stretch) for at, depth in decoded.depths.items()}
    return replace(decoded, array=array, notes={**decoded.notes, **notes}, depths=depths, stretch=stretch)


def _bits_of(files: Sequence[StoredRange]) -> int:
    """Return the bits that the values of a set's files take, without those of a few files that go far beyond."""
    bits = sorted(file.bits for file in files)
    for spared in range(max(1, len(bits) // _SPARED) if len(bits) >= _FEW_FILES else 0, 0, -1):
        if bits[-spared] - bits[-spared - 1] >= _FAR:
            return bits[-spared - 1]
    return bits[-1] if bits else 16


def _read_as(files: Sequence[StoredRange], bits: int) -> str:
    within = [file for file in files if file.bits <= bits] or files
    signed = files[0].signed
    (low, high), most = limits(bits, signed), max(file.high for file in within)
    contents = f"values of {min(file.low for file in within):,} to {most:,}" if signed else f"values up to {most:,}"
    subject = f"{'signed ' if signed else ''}16-bit files"
    return f"{subject} hold {contents}: they were read as {bits} bit, of {low:,} to {high:,}"


def _fill(
    name: str,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    decode_row: Callable[[int, np.ndarray], _Filled],
    cache: ArrayCache,
) -> Decoded:
    """Get or build the array `name`. Failures, changes and the positions of images are stored next to it."""
    notes_name = f"{name}.notes.json"

    def fill(array: np.ndarray) -> None:
        failures: dict[str, list[str]] = {}
        noted: dict[str, list[int]] = {}
        full = Placement(0, 0, *shape[2:])
        boxes: list[Placement] = []
        depths: dict[str, Depth] = {}

        def attempt(at: int) -> tuple[int, _Filled, Unreadable | None]:
            try:
                return at, decode_row(at, array[at]), None
            except Unreadable as error:
                array[at] = 0
                return at, _Filled(()), error

        for at, filled, error in in_threads(attempt, range(len(array))):
            cache.on_progress(READING, at + 1, len(array))
            if at % _AHEAD == 0:
                release(array)
            if error is not None:
                failures[str(at)] = [error.what, error.remedy]
            for note in filled.notes:
                noted.setdefault(note, []).append(at)
            boxes.append(filled.box or full)
            if filled.depth is not None:
                depths[str(at)] = filled.depth
        padded = any(box != full for box in boxes)
        edges = [[box.top, box.left, box.height, box.width] for box in boxes] if padded else None
        stored = {at: depth._replace(used=depth.used and astuple(depth.used)) for at, depth in depths.items()}
        cache.write_notes(notes_name, {"failures": failures, "notes": noted, "boxes": edges, "depths": stored})

    array = cache.get(name, shape, dtype, fill, notes_name)
    stored = cache.read_notes(notes_name)
    failures = {int(at): (what, remedy) for at, (what, remedy) in stored["failures"].items()}
    boxes = None if stored["boxes"] is None else np.array(stored["boxes"], dtype=np.int64)
    depths = {
        int(at): Depth(dark, bright, tuple(range_), used and StoredRange(*used), display)
        for at, (dark, bright, range_, used, display) in stored["depths"].items()
    }
    return Decoded(array, failures, stored["notes"], boxes, depths)


_Item = TypeVar("_Item")


def in_threads(step: Callable[[_Item], Any], items: Iterable[_Item]) -> Iterable[Any]:
    """Results in order, a bounded number in flight. Decoders work outside Python's lock, so threads are enough."""
    todo = list(items)
    with ThreadPoolExecutor(max_workers=len(os.sched_getaffinity(0))) as pool:
        for start in range(0, len(todo), _AHEAD):
            yield from pool.map(step, todo[start : start + _AHEAD])


def name_of(kind: str, digests: Sequence[str], *decides: object) -> str:
    """Return the name in the cache of an array made of files of this content."""
    text = "\n".join([str(IMAGE_VERSION), *(str(item) for item in decides), *digests])
    return f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:24]}"


# Content hash and header of files are kept by (path, size, time of change), so that planning is quick.

NOTES_VERSION = 5
"""Rises when the same file yields another fact."""
LOOKING = "looking at image files"
_SETTLED = 2.0  # seconds: a file changed this lately may change again within one tick of the clock


@dataclass(frozen=True, slots=True)
class FileFact:
    """A file's content hash (32 hexadecimal digits) and header, or why it cannot be used."""

    digest: str
    header: Header | None
    what: str = ""
    remedy: str = ""


def facts_of(paths: Sequence[Path], cache: ArrayCache) -> list[FileFact]:
    """Return one fact per file, in order. Unchanged files that were read before are not read again.

    Args:
        paths: Existing files. Facts are remembered in the cache, in one file of notes per folder. Losing it costs only
            time.
    """
    by_folder: dict[str, list[int]] = {}
    for at, path in enumerate(paths):
        by_folder.setdefault(str(path).rpartition("/")[0], []).append(at)
    facts: dict[int, FileFact] = {}
    for folder, positions in by_folder.items():
        names = [paths[at].name for at in positions]
        records = remembered("files", NOTES_VERSION, Path(folder), names, lambda path: asdict(_examine(path)), cache)
        facts.update(zip(positions, map(_fact_of_record, records), strict=True))
    return [facts[at] for at in range(len(paths))]


def remembered(
    kind: str, version: int, folder: Path, names: Sequence[str], read: Callable[[Path], Any], cache: ArrayCache
) -> list[Any]:
    """Return a value for each file of a folder; unchanged files that were read before are not read again.

    Args:
        kind: Kind of the values, for the name of the notes.
        version: Rises when the same file yields another value.
        read: File -> value, which JSON can hold.
    """
    notes = f"{kind}-{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:24]}.json"
    notes_read: Any = cache.read_notes(notes)
    before = cast("dict[str, Any]", notes_read) if isinstance(notes_read, dict) else {}
    stored: dict[str, Any] = before["files"] if before.get("version") == version else {}
    stamps = [list(file_state(folder / name)) for name in names]
    fresh = [at for at, name in enumerate(names) if stored.get(name, [None])[0] != stamps[at]]
    settled = (time.time() - _SETTLED) * 1e9
    values: dict[int, Any] = {}
    for at, value in zip(fresh, in_threads(lambda at: read(folder / names[at]), fresh), strict=True):
        values[at] = value
        cache.on_progress(LOOKING, len(values), len(fresh))
    settled_records = {names[at]: [stamps[at], value] for at, value in values.items() if stamps[at][1] < settled}
    if settled_records:
        cache.write_notes(notes, {"version": version, "files": {**stored, **settled_records}})
    return [values[at] if at in values else stored[name][1] for at, name in enumerate(names)]


def _fact_of_record(record: dict[str, Any]) -> FileFact:
    return FileFact(
        record["digest"], Header(**record["header"]) if record["header"] else None, record["what"], record["remedy"]
    )


def _examine(path: Path) -> FileFact:
    try:
        data = read_file(path)
    except Unreadable as error:
        return FileFact("", None, error.what, error.remedy)
    digest = hashlib.blake2b(data, digest_size=16).hexdigest()
    try:
        return FileFact(digest, examine(data))
    except Unreadable as error:
        return FileFact(digest, None, error.what, error.remedy)
    except ExtraError as error:
        raise ExtraError(f"{path.name}: {error}") from error


def read_file(path: Path) -> bytes:
    """Return a file's bytes. Raises Unreadable when the system refuses them."""
    try:
        return read_stored_bytes(path)
    except OSError as error:
        raise Unreadable(f"the file cannot be read ({error.strerror})", "check its permissions") from error
    except StoreError as error:
        raise Unreadable("nearly none of its bytes is on the disk", "copy or export it again") from error


def file_source(path: Path) -> Callable[[], bytes]:
    """Return a call that reads the file."""
    return lambda: read_file(path)
