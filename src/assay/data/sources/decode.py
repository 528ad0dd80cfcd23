"""Decode files once, at study resolution, into the cache: streamed, so that only a few are in memory at a time.

The rule: an image is scaled so that its longer side is `size` px, antialiased (triangle filter), its aspect kept, and
padded with black to a centred square, so that a round lesion stays round. Grey levels stay 8 bit unless any image of
the set has more, when all become 16 bit. A mask follows the same geometry by area: a pixel is lesion where at least
half of it is; a lesion too small for that keeps the pixels it covers most, so that it never vanishes.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from PIL import Image

from assay.data.cache import ArrayCache
from assay.data.sources.problems import Unreadable
from assay.data.sources.readers import read_mask, read_picture

VERSION = 1
"""Rises when the same files decode to other pixels."""
READING = "reading images"
_AHEAD = 256
_LUMINANCE = np.array([0.299, 0.587, 0.114])

Channels = Literal["auto", "grey", "colour"]
Failures = dict[int, tuple[str, str]]
"""Position -> what is wrong with the file, and what to do."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """An array of all files, with zeros where one failed. notes: what was changed on the way -> in how many files."""

    array: np.ndarray
    failures: Failures
    notes: dict[str, int]


class _ColourFound(Exception):
    """An image with differing channels turned up where grey was hoped for."""


def decode_images(
    sources: Sequence[Callable[[], np.ndarray | bytes]],
    digests: Sequence[str],
    size: int,
    deep: bool,
    channels: Channels,
    cache: ArrayCache,
) -> Decoded:
    """All images as uint8 (or uint16 when `deep`) [n, c, size, size].

    sources: per image, a call that gives the file's bytes or pixels [h, w] or [h, w, 3]. digests: what names their
    content. channels: `grey` takes the luminance (Rec. 601) of colour images, `colour` repeats grey ones; `auto` is
    colour if any image has differing channels. Files that fail are listed, not raised.
    """
    if channels != "auto":
        return _decode(sources, digests, size, deep, 1 if channels == "grey" else 3, False, cache)
    try:
        return _decode(sources, digests, size, deep, 1, True, cache)
    except _ColourFound:
        return _decode(sources, digests, size, deep, 3, False, cache)


def decode_masks(
    sources: Sequence[Callable[[], bytes]], digests: Sequence[str], size: int, cache: ArrayCache
) -> Decoded:
    """All masks as bool [n, 1, size, size]."""

    def one(at: int, out: np.ndarray) -> tuple[str, ...]:
        out[0] = fit_mask(read_mask(sources[at]()), size)
        return ()

    name = _name("masks", digests, size)
    return _fill(name, (len(sources), 1, size, size), np.dtype(np.bool_), one, cache)


def _decode(
    sources: Sequence[Callable[[], np.ndarray | bytes]],
    digests: Sequence[str],
    size: int,
    deep: bool,
    channels: int,
    only_grey: bool,
    cache: ArrayCache,
) -> Decoded:
    """One attempt. only_grey: stop at the first coloured image, and remember that for the next time."""
    dtype = np.dtype(np.uint16 if deep else np.uint8)
    name = _name("images", digests, size, dtype.name, channels, only_grey)
    coloured = f"{name}.coloured.json"
    if only_grey and cache.read_notes(coloured):
        raise _ColourFound

    def one(at: int, out: np.ndarray) -> tuple[str, ...]:
        given = sources[at]()
        pixels, notes = (given, ()) if isinstance(given, np.ndarray) else _picture(given, size)
        if only_grey and is_coloured(pixels):
            raise _ColourFound
        out[:] = fit_image(pixels, size, channels, dtype)
        return notes

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
    one: Callable[[int, np.ndarray], tuple[str, ...]],
    cache: ArrayCache,
) -> Decoded:
    """Get or build the array `name`; what failed and what was changed is kept beside it."""
    beside = f"{name}.json"

    def fill(array: np.ndarray) -> None:
        failures: dict[str, list[str]] = {}
        counts: dict[str, int] = {}

        def attempt(at: int) -> tuple[int, tuple[str, ...], Unreadable | None]:
            try:
                return at, one(at, array[at]), None
            except Unreadable as error:
                array[at] = 0
                return at, (), error

        for at, notes, error in in_threads(attempt, range(len(array))):
            cache.told(READING, at + 1, len(array))
            if error is not None:
                failures[str(at)] = [error.what, error.remedy]
            for note in notes:
                counts[note] = counts.get(note, 0) + 1
        cache.write_notes(beside, {"failures": failures, "notes": counts})

    array = cache.get(name, shape, dtype, fill, beside)
    kept = cache.read_notes(beside)
    return Decoded(array, {int(at): (what, remedy) for at, (what, remedy) in kept["failures"].items()}, kept["notes"])


def in_threads(step: Callable[[int], Any], positions: Iterable[int]) -> Iterable[Any]:
    """Results in order, a bounded number in flight. Decoders work outside Python's lock, so threads are enough."""
    todo = list(positions)
    with ThreadPoolExecutor(max_workers=len(os.sched_getaffinity(0))) as pool:
        for start in range(0, len(todo), _AHEAD):
            yield from pool.map(step, todo[start : start + _AHEAD])


def _name(kind: str, digests: Sequence[str], *decides: object) -> str:
    text = "\n".join([str(VERSION), *(str(item) for item in decides), *digests])
    return f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:24]}"


def is_coloured(pixels: np.ndarray) -> bool:
    """Whether the channels differ anywhere. pixels: [h, w] or [h, w, 3]."""
    return pixels.ndim == 3 and bool((pixels != pixels[..., :1]).any())


def fit_image(pixels: np.ndarray, size: int, channels: int, dtype: np.dtype[Any]) -> np.ndarray:
    """Pixels [h, w] or [h, w, 3], uint8 or uint16, as [channels, size, size] of `dtype` by the rule above."""
    box = _placed(pixels.shape[0], pixels.shape[1], size)
    small = _resized(pixels, box.width, box.height)
    if small.ndim == 3 and channels == 1:
        small = np.round(small @ _LUMINANCE).astype(small.dtype)
    if dtype == np.uint16 and small.dtype == np.uint8:
        # 255 * 257 = 65535: an 8-bit image in a 16-bit set keeps its levels exactly.
        small = small.astype(np.uint16) * np.uint16(257)
    out = np.zeros((channels, size, size), dtype=dtype)
    out[:, box.rows, box.columns] = small if small.ndim == 2 else np.moveaxis(small, -1, 0)
    return out


def fit_mask(mask: np.ndarray, size: int) -> np.ndarray:
    """A mask, bool [h, w], as bool [size, size] by the rule above."""
    box = _placed(mask.shape[0], mask.shape[1], size)
    covered = Image.fromarray(mask.astype(np.float32)).resize((box.width, box.height), Image.Resampling.BOX)
    share = np.asarray(covered)
    out = np.zeros((size, size), dtype=np.bool_)
    # The filter's weights add up to 1 only to some rounding: exactly half must stay lesion.
    out[box.rows, box.columns] = share >= min(0.5, float(share.max())) - 1e-6 if mask.any() else False
    return out


@dataclass(frozen=True, slots=True)
class _Box:
    """Where a scaled image lies in the square."""

    top: int
    left: int
    height: int
    width: int

    @property
    def rows(self) -> slice:
        return slice(self.top, self.top + self.height)

    @property
    def columns(self) -> slice:
        return slice(self.left, self.left + self.width)


def _placed(height: int, width: int, size: int) -> _Box:
    longer = max(height, width)
    tall, wide = (max(1, round(side * size / longer)) for side in (height, width))
    return _Box((size - tall) // 2, (size - wide) // 2, tall, wide)


def _resized(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    if pixels.shape[:2] == (height, width):
        return pixels
    if pixels.dtype == np.uint8:
        return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))
    planes = [pixels] if pixels.ndim == 2 else [pixels[..., at] for at in range(3)]
    small = [
        np.asarray(Image.fromarray(plane.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR))
        for plane in planes
    ]
    whole = np.round(np.clip(np.stack(small, axis=-1), 0, 65535)).astype(np.uint16)
    return whole[..., 0] if pixels.ndim == 2 else whole
