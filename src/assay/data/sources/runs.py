"""Masks written as run lengths, as Kaggle and COCO do.

kaggle-rle: pairs of start and length, the first pixel being 1, counted down the columns; kaggle-rle-rows: along the
rows. `-1` is a mask without a lesion. coco-rle: JSON with `size` ([height, width]) and `counts`, lengths of background
and lesion in turn down the columns, as numbers or in COCO's compressed text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal, cast

import numpy as np
from jaxtyping import Bool, Int, UInt8

from assay.data.sources.masking import Drawn
from assay.data.sources.problems import Unreadable, shown

Format = Literal["kaggle-rle", "kaggle-rle-rows", "coco-rle"]
_NONE = "-1"
_KAGGLE = "write pairs of start and length, the first pixel being 1"
_COCO = 'write {"size": [height, width], "counts": [...]}'


def runs(cell: str, how: Format) -> Drawn:
    """The mask that a table's cell describes. Raises Unreadable for text that is no runs of this format."""
    digest = hashlib.sha256(f"{how} {cell}".encode()).hexdigest()[:32]
    if how == "coco-rle":
        try:
            given = json.loads(cell)
        except ValueError:
            raise Unreadable(f"{shown(cell)} is no JSON", _COCO) from None
        return Drawn(digest, partial(_labels_of_coco, given))
    return Drawn(digest, partial(_kaggle, _numbers(cell), how == "kaggle-rle"))


def _numbers(cell: str) -> Int[np.ndarray, "n 2"]:
    if cell.strip() == _NONE:
        return np.empty((0, 2), dtype=np.int64)
    try:
        values = np.array([int(word) for word in cell.split()], dtype=np.int64)
    except (ValueError, OverflowError):
        raise Unreadable(f"{shown(cell)} is no run length", _KAGGLE) from None
    if len(values) % 2:
        raise Unreadable(f"it has {len(values)} numbers, an odd one without a length", _KAGGLE)
    return values.reshape(-1, 2)


def _kaggle(pairs: Int[np.ndarray, "n 2"], down: bool, height: int, width: int) -> UInt8[np.ndarray, "h w"]:
    starts, ends = pairs[:, 0] - 1, pairs.sum(axis=1) - 1
    if (starts < 0).any() or (pairs[:, 1] < 1).any():
        raise Unreadable("a run starts before pixel 1 or has no length", _KAGGLE)
    if len(ends) and int(ends.max()) > height * width:
        what = f"its runs end at pixel {int(ends.max())}, the image has {height * width}"
        raise Unreadable(what, "give the runs of an image of this size")
    # How many runs are open at each pixel.
    steps = np.bincount(starts, minlength=height * width + 1) - np.bincount(ends, minlength=height * width + 1)
    lesion = (np.cumsum(steps)[:-1] > 0).astype(np.uint8)
    return lesion.reshape(width, height).T if down else lesion.reshape(height, width)


def _labels_of_coco(given: Any, height: int, width: int) -> UInt8[np.ndarray, "h w"]:
    return coco_runs(given, height, width).astype(np.uint8)


def coco_runs(given: Any, height: int, width: int) -> Bool[np.ndarray, "h w"]:
    """The pixels of COCO run lengths. Raises Unreadable when they are of another size or are no run lengths."""
    fields = cast("Mapping[str, Any]", given if isinstance(given, Mapping) else {})
    size, counts = fields.get("size"), fields.get("counts")
    if not isinstance(size, list) or not isinstance(counts, (list, str)):
        raise Unreadable("its run lengths have no `size` and `counts`", _COCO)
    if cast("list[Any]", size) != [height, width]:
        what = f"its runs are of {shown(str(cast(object, size)))} (height, width), the image is {height} x {width}"
        raise Unreadable(what, "give the runs of an image of this size")
    lengths = _decompressed(counts) if isinstance(counts, str) else cast("Sequence[Any]", counts)
    whole = all(isinstance(length, int) and length >= 0 for length in lengths)
    if not whole or sum(lengths) != height * width:
        raise Unreadable("its counts are no whole numbers that add up to the image's pixels", _COCO)
    lesion = np.repeat(np.arange(len(lengths)) % 2 == 1, np.array(lengths, dtype=np.int64))
    return lesion.reshape(width, height).T


def _decompressed(text: str) -> list[int]:
    """COCO's compressed counts: 5 bits a character, the sixth says that more follow, later counts are differences."""
    counts: list[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64:
            raise Unreadable("its counts are no compressed run lengths", _COCO)
        value |= (code & 31) << shift
        shift += 5
        if code & 32:
            continue
        if code & 16:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    return counts
