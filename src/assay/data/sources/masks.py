"""What the values of a mask mean: label maps from what files store, or why a file holds none.

Without names for its values a mask is of one kind, and lesion is what lies above half of the file's range, or above 0
in a file of 0 and 1. That rule is not used where it would hide something: several flat values or colours, or values of
which none is above half, are refused. In a lossy file values are smeared: `_of_lossy` says what is taken for which.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import UInt8

from assay.core.data_spec import BACKGROUND, DataSpec
from assay.core.hashing import content_hash
from assay.data.dataset import ONE_KIND
from assay.data.sources.pictures import Picture
from assay.data.sources.problems import Unreadable

VERSION = 2
"""Rises when the same file gives another label map."""
UNIT = "0 and 1"
"""The note of a mask that holds 0 and 1 only, where others of its set might hold 0 and 255."""
_NAMED = 6
_EXPORT = "export it as PNG with one number per kind"


@dataclass(frozen=True, slots=True)
class Labels:
    """A label map, uint8 [h, w], 0 background, and what was noted about it (`UNIT`)."""

    values: UInt8[np.ndarray, "h w"]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Meaning:
    """What the values of a set's masks mean.

    kinds: names of the labels from 1 on. labels: value in a file -> label, 0 for background; empty where masks are of
    one kind, told by brightness. inverted: of one kind, lesion is what is dark.
    """

    kinds: tuple[str, ...] = ONE_KIND
    labels: Mapping[int, int] = field(default_factory=dict[int, int])
    inverted: bool = False

    @property
    def digest(self) -> str:
        """What names this meaning in a cache."""
        return content_hash([VERSION, dict(self.labels), self.inverted])


ONE = Meaning()
"""Masks of one kind, told by brightness."""


def meaning_of(spec: DataSpec) -> Meaning:
    """What a spec says of its masks' values."""
    if not spec.mask_values:
        return Meaning(inverted=spec.mask_inverted)
    return numbered(spec.mask_values)


def numbered(names: Mapping[int, str]) -> Meaning:
    """Values with names: kinds in the order of their least value; `background` is none."""
    kinds = tuple(dict.fromkeys(names[value] for value in sorted(names) if names[value] != BACKGROUND))
    label = {BACKGROUND: 0, **{kind: at for at, kind in enumerate(kinds, start=1)}}
    return Meaning(kinds, {value: label[name] for value, name in names.items()})


def labels_of(stored: Picture, meaning: Meaning) -> Labels:
    """The label map of what a file stores. Raises Unreadable, with what to write, where that would be a guess."""
    if meaning.labels:
        return Labels(_by_number(stored, meaning.labels))
    lesion, notes = _by_brightness(stored)
    return Labels((lesion != meaning.inverted).astype(np.uint8), notes)


def _by_number(stored: Picture, labels: Mapping[int, int]) -> np.ndarray:
    pixels = stored.pixels
    if stored.lossy:
        raise Unreadable("it is a lossy file, in which the numbers of kinds are smeared", _EXPORT)
    if pixels.ndim == 3:
        if (pixels != pixels[..., :1]).any():
            raise Unreadable("it is in colours, and data.mask_values names numbers", _EXPORT)
        pixels = pixels[..., 0]
    found = np.unique(pixels).astype(np.int64)
    unnamed = [int(value) for value in found if value and int(value) not in labels]
    if unnamed:
        what = f"it holds {_listed(unnamed)}, which data.mask_values does not name"
        raise Unreadable(what, f"name it there, or write `{unnamed[0]}: {BACKGROUND}`")
    table = np.zeros(int(found[-1]) + 1, dtype=np.uint8)
    for value, label in labels.items():
        table[value : value + 1] = label
    return table[pixels.astype(np.int64)]


def _by_brightness(stored: Picture) -> tuple[np.ndarray, tuple[str, ...]]:
    pixels = stored.pixels
    if pixels.dtype == np.bool_:
        return pixels, ()
    if stored.palette is not None and int(pixels.max()) > 1:
        pixels = stored.palette  # a label tool writes 0 and 1 with any colours; other indices say nothing by themselves
    grey = pixels if pixels.ndim == 2 else pixels.max(axis=2)
    largest, range_ = int(grey.max()), int(np.iinfo(grey.dtype).max)
    if stored.lossy:
        return _of_lossy(grey, range_), ()
    if largest <= 1:
        return grey > 0, (UNIT,) if largest and stored.palette is None else ()
    values = _several(pixels, grey, range_)
    if values:
        raise Unreadable(values, _EXPORT if pixels.ndim == 3 and _coloured(pixels) else _name(grey))
    return grey > range_ // 2, ()


def _of_lossy(grey: np.ndarray, range_: int) -> np.ndarray:
    """Lesion is what lies above half. Up to a sixteenth of the range is black; what goes higher and not above half is
    refused, and so is a value between, where it fills more of the mask than an edge can: a fiftieth.
    """
    low, high, largest = range_ // 16, range_ - range_ // 16, int(grey.max())
    if low < largest <= range_ // 2:
        what = f"it is a lossy file of values up to {largest}, none above half of the range"
        raise Unreadable(what, "export it as PNG, black and white")
    counts = np.bincount(grey.ravel().astype(np.int64), minlength=range_ + 1)
    plain = [int(value) for value in np.flatnonzero(counts > grey.size // 50) if low < value < high]
    if plain:
        raise Unreadable(f"it holds {_listed([*plain, largest])}, as if these were several kinds", _EXPORT)
    return grey > range_ // 2


def _several(pixels: np.ndarray, grey: np.ndarray, range_: int) -> str:
    """What shows that a lossless mask holds several kinds, or another one than 0 and the range's end; else empty.

    Edges may be smooth, and values near both ends come from a JPEG that was saved anew: a value in between counts only
    where it fills a square of 3 x 3 px.
    """
    if int(grey.max()) <= range_ // 2:
        return f"its values are 0 and {_listed(np.unique(grey[grey > 0]).tolist())}, none above half of the range"
    if pixels.ndim == 3 and _coloured(pixels):
        bright = (pixels > range_ // 2) @ np.array([1, 2, 4])
        colours = [value for value in _flat(bright) if value]
        return f"it shows lesions in {len(colours)} colours" if len(colours) > 1 else ""
    low, high = range_ // 16, range_ - range_ // 16
    if not ((grey > low) & (grey < high)).any():
        return ""
    between = [value for value in _flat(grey) if low < value < high]
    return f"it holds {_listed([*between, int(grey.max())])}, as if these were several kinds" if between else ""


def _coloured(pixels: np.ndarray) -> bool:
    return bool((pixels != pixels[..., :1]).any())


def _flat(values: np.ndarray) -> list[int]:
    """The values that fill a square of 3 x 3 px somewhere, ascending."""
    centre = values[1:-1, 1:-1]
    same = np.ones(centre.shape, dtype=np.bool_)
    height, width = values.shape
    for down in range(3):
        for across in range(3):
            same &= values[down : height - 2 + down, across : width - 2 + across] == centre
    return [int(value) for value in np.unique(centre[same])]


def _name(grey: np.ndarray) -> str:
    found = [int(value) for value in np.unique(grey) if value][:2]
    example = ", ".join(f"{value}: {name}" for value, name in zip(found, ("lesion", "other"), strict=False))
    return f"say what each value is, such as data.mask_values: {{{example}}}"


def _listed(values: list[int]) -> str:
    shown = ", ".join(str(value) for value in values[:_NAMED])
    return f"{shown} and {len(values) - _NAMED} values more" if len(values) > _NAMED else shown
