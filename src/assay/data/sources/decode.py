"""Decode files once, at study resolution, into the cache: streamed, so that only a few are in memory at a time.

How an image and its mask are fitted into a square stands in `fitting`. Grey levels stay 8 bit unless any image of the
set has more, when all become 16 bit.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Int

from assay.data.cache import ArrayCache
from assay.data.sources.fitting import Box, fit_image, fit_labels, is_coloured, placed, vanished
from assay.data.sources.masks import Labels
from assay.data.sources.problems import Unreadable
from assay.data.sources.readers import read_picture
from assay.data.sources.retouch import ben_graham, circle_crop

VERSION = 2
"""Rises when the same files decode to other pixels."""
READING = "reading images"
_AHEAD = 256
VANISHED = "vanished"
"""The note of a mask with lesions that are too small to be seen at study resolution."""

Channels = Literal["auto", "grey", "colour"]
Failures = dict[int, tuple[str, str]]
"""Position -> what is wrong with the file, and what to do."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """An array of all files, with zeros where one failed. notes: what was changed on the way -> positions of files.

    boxes: top, left, height and width in the square of every image; None where each fills it, and for masks.
    """

    array: np.ndarray
    failures: Failures
    notes: dict[str, list[int]]
    boxes: Int[np.ndarray, "n 4"] | None = None


class _Filled(NamedTuple):
    """What is to be known of one file: what was changed on the way, and where the image lies in the square."""

    notes: tuple[str, ...]
    box: Box | None = None


class _ColourFound(Exception):
    """An image with differing channels turned up where grey was hoped for."""


def decode_images(
    sources: Sequence[Callable[[], np.ndarray | bytes]],
    digests: Sequence[str],
    size: int,
    deep: bool,
    channels: Channels,
    cache: ArrayCache,
    changes: Sequence[str] = (),
    native: Int[np.ndarray, "n 2"] | None = None,
) -> Decoded:
    """All images as uint8 (or uint16 when `deep`) [n, c, size, size].

    sources: per image, a call that gives the file's bytes or pixels [h, w] or [h, w, 3]. digests: what names their
    content. channels: `grey` takes the luminance (Rec. 601) of colour images, `colour` repeats grey ones; `auto` is
    colour if any image has differing channels. changes: `DataSpec.preprocessing`. native: width and height
    of the files, where some may be decoded at a part of that. Files that fail are listed, not raised.
    """
    if channels != "auto":
        return _decode(sources, digests, size, deep, 1 if channels == "grey" else 3, False, cache, changes, native)
    try:
        return _decode(sources, digests, size, deep, 1, True, cache, changes, native)
    except _ColourFound:
        return _decode(sources, digests, size, deep, 3, False, cache, changes, native)


def decode_masks(
    sources: Sequence[Callable[[], Labels]], digests: Sequence[str], size: int, cache: ArrayCache
) -> Decoded:
    """All masks as label maps, uint8 [n, 1, size, size]; notes as in `Labels`, and `VANISHED`.

    digests: what names the masks' content and what their values mean.
    """

    def one(at: int, out: np.ndarray) -> _Filled:
        labels = sources[at]()
        out[0] = fit_labels(labels.values, size)
        return _Filled((*labels.notes, *((VANISHED,) if vanished(labels.values, out[0]) else ())))

    name = name_of("labels", digests, size)
    return _fill(name, (len(sources), 1, size, size), np.dtype(np.uint8), one, cache)


def _decode(
    sources: Sequence[Callable[[], np.ndarray | bytes]],
    digests: Sequence[str],
    size: int,
    deep: bool,
    channels: int,
    only_grey: bool,
    cache: ArrayCache,
    changes: Sequence[str],
    native: Int[np.ndarray, "n 2"] | None,
) -> Decoded:
    """One attempt. only_grey: stop at the first coloured image, and remember that for the next time."""
    dtype = np.dtype(np.uint16 if deep else np.uint8)
    told = ("+".join(changes),) if changes else ()
    name = name_of("images", digests, size, dtype.name, channels, only_grey, *told)
    coloured = f"{name}.coloured.json"
    if only_grey and cache.read_notes(coloured):
        raise _ColourFound

    def one(at: int, out: np.ndarray) -> _Filled:
        given = sources[at]()
        pixels, notes = (given, ()) if isinstance(given, np.ndarray) else _picture(given, size)
        if only_grey and is_coloured(pixels):
            raise _ColourFound
        if "circle-crop" in changes:
            pixels = circle_crop(pixels)
            height, width = pixels.shape[:2]
        else:
            height, width = pixels.shape[:2] if native is None else native[at, ::-1].tolist()
        box = placed(height, width, size)
        fitted = fit_image(pixels, size, channels, dtype, box)
        out[:] = ben_graham(fitted) if "ben-graham" in changes else fitted
        return _Filled(notes, box)

    try:
        return _fill(name, (len(sources), channels, size, size), dtype, one, cache)
    except _ColourFound:
        cache.write_notes(coloured, True)
        raise


def _picture(data: bytes, size: int) -> tuple[np.ndarray, tuple[str, ...]]:
    picture = read_picture(data, size)
    return picture.pixels, picture.notes


def _fill(
    name: str,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    one: Callable[[int, np.ndarray], _Filled],
    cache: ArrayCache,
) -> Decoded:
    """Get or build the array `name`; what failed, what was changed and where images lie is kept beside it."""
    beside = f"{name}.notes.json"

    def fill(array: np.ndarray) -> None:
        failures: dict[str, list[str]] = {}
        noted: dict[str, list[int]] = {}
        whole = Box(0, 0, *shape[2:])
        boxes: list[Box] = []

        def attempt(at: int) -> tuple[int, _Filled, Unreadable | None]:
            try:
                return at, one(at, array[at]), None
            except Unreadable as error:
                array[at] = 0
                return at, _Filled(()), error

        for at, filled, error in in_threads(attempt, range(len(array))):
            cache.told(READING, at + 1, len(array))
            if error is not None:
                failures[str(at)] = [error.what, error.remedy]
            for note in filled.notes:
                noted.setdefault(note, []).append(at)
            boxes.append(filled.box or whole)
        padded = any(box != whole for box in boxes)
        edges = [[box.top, box.left, box.height, box.width] for box in boxes] if padded else None
        cache.write_notes(beside, {"failures": failures, "notes": noted, "boxes": edges})

    array = cache.get(name, shape, dtype, fill, beside)
    kept = cache.read_notes(beside)
    failures = {int(at): (what, remedy) for at, (what, remedy) in kept["failures"].items()}
    boxes = None if kept["boxes"] is None else np.array(kept["boxes"], dtype=np.int64)
    return Decoded(array, failures, kept["notes"], boxes)


def in_threads(step: Callable[[int], Any], positions: Iterable[int]) -> Iterable[Any]:
    """Results in order, a bounded number in flight. Decoders work outside Python's lock, so threads are enough."""
    todo = list(positions)
    with ThreadPoolExecutor(max_workers=len(os.sched_getaffinity(0))) as pool:
        for start in range(0, len(todo), _AHEAD):
            yield from pool.map(step, todo[start : start + _AHEAD])


def name_of(kind: str, digests: Sequence[str], *decides: object) -> str:
    """The name in the cache of an array made of files of this content."""
    text = "\n".join([str(VERSION), *(str(item) for item in decides), *digests])
    return f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:24]}"
