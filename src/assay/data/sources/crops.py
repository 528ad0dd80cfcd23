"""Windows of photographs, cut at native resolution and framed like the whole ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from assay.core.errors import DataError
from assay.data.cache import ArrayCache, ArrayImages
from assay.data.dataset import Images
from assay.data.sources.decode import Channels, decode_images, in_threads, name_of
from assay.data.sources.files import read_file
from assay.data.sources.fitting import placed, resized, touched
from assay.data.sources.masking import MaskAt, mask_source
from assay.data.sources.masks import Meaning
from assay.data.sources.problems import Unreadable
from assay.data.sources.readers import read_picture


@dataclass(frozen=True)
class FileCrops:
    """See `Crops`. digests: what names the content of every image and mask. native: width and height of each."""

    images: tuple[Path, ...]
    masks: tuple[MaskAt, ...]
    digests: tuple[str, ...]
    native: Int[np.ndarray, "n 2"]
    meaning: Meaning
    size: int
    channels: Channels
    deep: bool
    cache: ArrayCache

    def take(self, kept: Sequence[int]) -> FileCrops:
        """The rows at these positions."""
        return replace(
            self,
            images=tuple(self.images[at] for at in kept),
            masks=tuple(self.masks[at] for at in kept),
            digests=tuple(self.digests[at] for at in kept),
            native=self.native[np.array(kept, dtype=np.int64)],
        )

    @property
    def touched(self) -> Bool[np.ndarray, "n h w"]:
        """Pixels into whose part of the native image any lesion reaches; every mask is read once, at native size."""
        return self._touched

    @cached_property
    def _touched(self) -> np.ndarray:
        def fill(array: np.ndarray) -> None:
            for at, found in enumerate(in_threads(self._touched_in, range(len(array)))):
                array[at] = found

        shape = (len(self.masks), self.size, self.size)
        return self.cache.get(name_of("touched", self.digests, self.meaning.digest, self.size), shape, np.bool_, fill)

    def _touched_in(self, at: int) -> Bool[np.ndarray, "h w"]:
        return touched(self.read_one(at), self.size)

    @property
    def sizes(self) -> Int[np.ndarray, "n 2"]:
        """Width and height of every image in px."""
        return self.native

    def read_one(self, position: int) -> UInt8[np.ndarray, "h w"]:
        """The label map of one image at native size. Raises DataError when its file was changed or lost meanwhile."""
        width, height = self.native[position].tolist()
        try:
            return mask_source(self.masks[position], width, height, self.meaning)().values
        except Unreadable as error:
            raise DataError(f"a mask was read before and cannot be read now: {error}") from error

    def cut(
        self, rows: Int[np.ndarray, "k"], windows: Int[np.ndarray, "k 4"], places: Int[np.ndarray, "k 4"]
    ) -> Images:
        """Windows of these rows, each in its place of a black square; nothing is read before a pixel is asked for."""
        return Cut(self, rows, windows, places)


@dataclass(frozen=True)
class Cut:
    """`Images` of windows of files, decoded when first read.

    windows, places: top, left, bottom, right in pixels of the square: what is cut, and where it is put.
    """

    crops: FileCrops
    rows: Int[np.ndarray, "k"]
    windows: Int[np.ndarray, "k 4"]
    places: Int[np.ndarray, "k 4"]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return (1 if self.crops.channels == "grey" else 3), self.crops.size, self.crops.size

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, index: np.ndarray) -> Float[Tensor, "n c h w"]:
        """Float32 images in [0, 1] at these positions. Raises DataError when a file was changed or lost meanwhile."""
        return self._decoded.read(index)

    @cached_property
    def _decoded(self) -> ArrayImages:
        crops = self.crops
        asked: list[list[int]] = np.column_stack([self.rows, self.windows, self.places]).tolist()
        sources = [partial(self._window, row, where[:4], where[4:]) for row, *where in asked]
        digests = [f"{crops.digests[row]} crop {where}" for row, *where in asked]
        decoded = decode_images(sources, digests, crops.size, crops.deep, crops.channels, crops.cache)
        if decoded.failures:
            what, remedy = next(iter(decoded.failures.values()))
            raise DataError(f"{len(decoded.failures)} images cannot be cropped: {what}; {remedy}")
        return ArrayImages(decoded.array)

    def _window(self, row: int, window: Sequence[int], place: Sequence[int]) -> np.ndarray:
        """The native pixels of a window, scaled to their place in the square."""
        pixels = read_picture(read_file(self.crops.images[row]), 0).pixels
        height, width = pixels.shape[:2]
        box = placed(height, width, self.crops.size)
        top, bottom = ((at - box.top) * height // box.height for at in (window[0], window[2]))
        left, right = ((at - box.left) * width // box.width for at in (window[1], window[3]))
        inside = np.ascontiguousarray(pixels[top:bottom, left:right])
        square = np.zeros((self.crops.size, self.crops.size, *pixels.shape[2:]), dtype=pixels.dtype)
        shown = resized(inside, place[3] - place[1], place[2] - place[0])
        square[place[0] : place[2], place[1] : place[3]] = shown
        return square
