"""Pixels of listed files: whole, as crops of photographs, and at original resolution."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from assay.core.errors import DataError
from assay.data.cache import ArrayCache, ArrayImages
from assay.data.dataset import Images, Redraw
from assay.data.files.decode import (
    WHOLE,
    Channels,
    Decoded,
    LabelMeaning,
    Stretch,
    decode_images,
    in_threads,
    name_of,
    read_file,
)
from assay.data.files.fitting import Framing, grayed, resized, touched
from assay.data.files.masks import MaskAt, mask_source
from assay.data.files.pictures import DecodedImage
from assay.data.files.readers import read_picture
from assay.data.files.table import Unreadable

if TYPE_CHECKING:
    from torch import Tensor

_MEASURED_AT_ONCE = 2**20
"""Pixels of pictures that are read before they are measured, unless one has more."""


@dataclass(frozen=True)
class FileCrops:
    """See `Crops`.

    Attributes:
        digests: Digests of the content of every image and mask.
        native: Width and height of each.
        framing: How images and masks become squares.
    """

    images: tuple[Path, ...]
    masks: tuple[MaskAt, ...]
    digests: tuple[str, ...]
    native: Int[np.ndarray, "n 2"]
    meaning: LabelMeaning
    size: int
    channels: Channels
    deep: bool
    cache: ArrayCache
    framing: Framing
    stretch: Stretch = WHOLE

    def take(self, positions: Sequence[int]) -> FileCrops:
        """Return the rows at these positions."""
        return replace(
            self,
            images=tuple(self.images[at] for at in positions),
            masks=tuple(self.masks[at] for at in positions),
            digests=tuple(self.digests[at] for at in positions),
            native=self.native[np.array(positions, dtype=np.int64)],
        )

    @property
    def touched(self) -> Bool[np.ndarray, "n h w"]:
        """Pixels into whose part of the native image any lesion reaches; every mask is read once, at native size."""
        return self._touched

    @cached_property
    def _touched(self) -> np.ndarray:
        def fill(array: np.ndarray) -> None:
            for at, pixels in enumerate(in_threads(self._touched_in, range(len(array)))):
                array[at] = pixels

        shape = (len(self.masks), self.size, self.size)
        framed = (self.framing.label,) if self.framing.label else ()
        name = name_of("touched", self.digests, self.meaning.digest, self.size, *framed)
        return self.cache.get(name, shape, np.bool_, fill)

    def _touched_in(self, at: int) -> Bool[np.ndarray, "h w"]:
        return touched(self._whole(at), self.size, self.framing)

    @property
    def sizes(self) -> Int[np.ndarray, "n 2"]:
        """Width and height of the shown part of every image in px."""
        return self.framing.shown(self.native)[:, ::-1]

    def read_one(self, position: int) -> UInt8[np.ndarray, "h w"]:
        """Return the label map of the shown part of one image at native size.

        Raises:
            DataError: If its file was changed or lost meanwhile.
        """
        return self.framing.kept(self._whole(position))

    def _whole(self, position: int) -> UInt8[np.ndarray, "h w"]:
        width, height = self.native[position].tolist()
        try:
            return mask_source(self.masks[position], width, height, self.meaning)().values
        except Unreadable as error:
            raise DataError(f"a mask was read before and cannot be read now: {error}") from error

    def cut(
        self, rows: Int[np.ndarray, "k"], windows: Int[np.ndarray, "k 4"], places: Int[np.ndarray, "k 4"]
    ) -> Images:
        """Windows of these rows, each in its place of a black square; nothing is read before a pixel is asked for."""
        return CroppedImages(self, rows, windows, places)


@dataclass(frozen=True)
class CroppedImages:
    """`Images` of windows of files, decoded when first read.

    Attributes:
        windows, places: Top, left, bottom, right in pixels of the square: the cut-out and its position.
    """

    crops: FileCrops
    rows: Int[np.ndarray, "k"]
    windows: Int[np.ndarray, "k 4"]
    places: Int[np.ndarray, "k 4"]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return (1 if self.crops.channels == "gray" else 3), self.crops.size, self.crops.size

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, index: np.ndarray) -> Float[Tensor, "n c h w"]:
        """Float32 images in [0, 1] at these positions.

        Raises:
            DataError: If a file was changed or lost meanwhile.
        """
        return self._decoded.read(index)

    @cached_property
    def _decoded(self) -> ArrayImages:
        crops = self.crops
        requests: list[list[int]] = np.column_stack([self.rows, self.windows, self.places]).tolist()
        sources = [partial(self._window, row, where[:4], where[4:]) for row, *where in requests]
        stretched = crops.stretch.label + (crops.framing.label and f" {crops.framing.label}")
        digests = [f"{crops.digests[row]} crop {where}{stretched}" for row, *where in requests]
        decoded = decode_images(sources, digests, crops.size, crops.deep, crops.channels, crops.cache)
        return _require_decoded(decoded, "cannot be cropped")

    def _window(self, row: int, window: Sequence[int], place: Sequence[int]) -> np.ndarray:
        """Return the native pixels of a window, scaled to their place in the square."""
        picture = read_picture(read_file(self.crops.images[row]), 0)
        pixels = self.crops.stretch.shown(picture.pixels, picture)
        framing = self.crops.framing
        box = framing.placed(pixels.shape[0], pixels.shape[1], self.crops.size)
        pixels = framing.kept(pixels)
        height, width = pixels.shape[:2]
        top, bottom = ((at - box.top) * height // box.height for at in (window[0], window[2]))
        first, right = ((at - box.left) * width // box.width for at in (window[1], window[3]))
        inside = np.ascontiguousarray(pixels[top:bottom, first:right])
        square = np.zeros((self.crops.size, self.crops.size, *pixels.shape[2:]), dtype=pixels.dtype)
        scaled = resized(inside, place[3] - place[1], place[2] - place[0], framing.resize)
        square[place[0] : place[2], place[1] : place[3]] = scaled
        return square


def _require_decoded(decoded: Decoded, what: str) -> ArrayImages:
    """Return images of which all could be decoded. Raises DataError, which says what could not be done."""
    if decoded.failures:
        cause, remedy = next(iter(decoded.failures.values()))
        raise DataError(f"{len(decoded.failures)} images {what}: {cause}; {remedy}")
    return ArrayImages(decoded.array)


@dataclass(frozen=True, slots=True)
class DecodedPixels:
    """Decoded images and masks of a listing, in its order, and the native width and height of each, int64 [n, 2].

    Attributes:
        detail: Returns descriptors of the images at some positions, for finding near copies.
        crops: Where windows of the same images can be cut from.
        digests: Hash of each file as it is; none where images are no files.
        sources: Per image, a call that gives its file; none where images are drawn or cut.
        doubts: Cautions of the files' headers.
    """

    images: Decoded
    masks: Decoded | None
    native: np.ndarray
    detail: Callable[[np.ndarray], np.ndarray]
    crops: FileCrops | None = None
    digests: Sequence[str] = ()
    sources: Sequence[Callable[[], np.ndarray | bytes]] = ()
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class FileOriginals:
    """See `Originals`.

    Attributes:
        pixels: Decoded files with their sources.
        rows: Position of each picture among them.
        size: Of the study's squares.
    """

    pixels: DecodedPixels
    rows: Int[np.ndarray, "n"]
    size: int
    framing: Framing
    cache: ArrayCache

    def take(self, rows: Int[np.ndarray, "k"]) -> FileOriginals:
        """Return the pictures at these positions."""
        return replace(self, rows=self.rows[rows])

    @property
    def boxes(self) -> Int[np.ndarray, "n 4"]:
        """Top (0), left (0), height and width of the part of every picture that is shown."""
        return np.pad(self.framing.shown(self.pixels.native[self.rows]), ((0, 0), (2, 0)))

    def changed(self, change: Redraw, names: Sequence[str]) -> ArrayImages:
        """Return the pictures changed and then brought to the study's size; they are kept in the cache."""
        rows: list[int] = self.rows.tolist()
        sources = [partial(self._changed, row, partial(change, position=at)) for at, row in enumerate(rows)]
        stretched = self.pixels.images.stretch.label
        digests = [f"{self.pixels.digests[row]} {name}{stretched}" for row, name in zip(rows, names, strict=True)]
        deep, channels = self.pixels.images.array.dtype == np.uint16, "gray" if self._planes == 1 else "color"
        images = decode_images(sources, digests, self.size, deep, channels, self.cache, framing=self.framing)
        return _require_decoded(images, "cannot be read at original resolution")

    def measured(self, name: str, measure: Callable[[np.ndarray], np.ndarray]) -> Float[np.ndarray, "k m"]:
        """Return numbers of the shown part of every picture, which are kept in the cache."""
        rows: list[int] = self.rows.tolist()

        def numbers_of(part: Sequence[int]) -> np.ndarray:
            pictures = [np.moveaxis(self.framing.kept(self._picture(rows[at])), 2, 0) for at in part]
            numbers: list[np.ndarray] = []
            for _, alike in groupby(pictures, lambda picture: (picture.shape, picture.dtype)):
                planes = np.stack(list(alike))
                most = np.float32(np.iinfo(planes.dtype).max)
                # Channel by channel in memory: extremes over channels of interleaved pixels take ten times as long.
                numbers.append(measure(np.divide(planes, most, dtype=np.float32, order="C")))
            return np.concatenate(numbers)

        def fill(array: np.ndarray) -> None:
            pixels = np.cumsum(self.pixels.native[self.rows].prod(axis=1))
            pieces = np.split(np.arange(len(array)), np.flatnonzero(np.diff(pixels // _MEASURED_AT_ONCE)) + 1)
            parts: list[list[int]] = [piece.tolist() for piece in pieces]
            for part, numbers in zip(parts, in_threads(numbers_of, parts), strict=True):
                array[part] = numbers
                self.cache.on_progress("measuring the original images", part[-1] + 1, len(array))

        digests = [self.pixels.digests[at] for at in rows]
        name = name_of("measured", digests, name, self._planes, self.framing.label, *self.pixels.images.stretch)
        return self.cache.get(name, (len(rows), numbers_of([0]).shape[1]), np.float32, fill)

    @property
    def _planes(self) -> int:
        return self.pixels.images.array.shape[1]

    def _picture(self, row: int) -> np.ndarray:
        source = self.pixels.sources[row]()
        picture = DecodedImage(source) if isinstance(source, np.ndarray) else read_picture(source, 0)
        pixels = self.pixels.images.stretch.shown(picture.pixels, picture)
        pixels = np.atleast_3d(grayed(pixels) if self._planes == 1 else pixels)
        return np.repeat(pixels, self._planes // pixels.shape[2], axis=2)

    def _changed(self, row: int, change: Callable[[Tensor], Tensor]) -> np.ndarray:
        import torch  # here, since most images are not changed

        out = self._picture(row)
        window, most = self.framing.window(*out.shape[:2]), np.float32(np.iinfo(out.dtype).max)
        before = np.moveaxis(out[window.rows, window.columns], 2, 0)[None] / most
        after = change(torch.as_tensor(before))[0].numpy()
        out[window.rows, window.columns] = np.rint(np.moveaxis(after, 0, 2) * most)
        return out.squeeze(2) if self._planes == 1 else out
