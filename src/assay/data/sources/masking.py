"""The masks of a whole set: where each comes from, how they are decoded, and what only all of them together show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8

from assay.core.errors import DataError
from assay.data.cache import ArrayCache
from assay.data.sources.decode import VANISHED, Decoded, decode_masks
from assay.data.sources.files import Fact, facts_of, read_file
from assay.data.sources.fitting import placed
from assay.data.sources.masks import UNIT, Labels, Meaning, labels_of
from assay.data.sources.readers import read_stored

_MOST, _NEARLY_ALL, _LEAST = 0.5, 0.9, 5


@dataclass(frozen=True, slots=True)
class Drawn:
    """A mask that is written as text. draw: height and width -> label map; raises Unreadable. digest: its content."""

    digest: str
    draw: Callable[[int, int], UInt8[np.ndarray, "h w"]]


MaskAt = Path | Drawn | None
"""Where a row's mask is: in a file, in text, or nowhere, which was said to mean that no lesion is there."""


def mask_facts(masks: Sequence[MaskAt], cache: ArrayCache) -> list[Fact | None]:
    """What is known of each mask that is a file, None for the others."""
    at = [position for position, mask in enumerate(masks) if isinstance(mask, Path)]
    found = iter(facts_of([mask for mask in masks if isinstance(mask, Path)], cache))
    facts: list[Fact | None] = [None] * len(masks)
    for position in at:
        facts[position] = next(found)
    return facts


def mask_source(mask: MaskAt, width: int, height: int, meaning: Meaning) -> Callable[[], Labels]:
    """A call that gives the label map of an image of this native size."""
    if isinstance(mask, Path):
        return lambda: labels_of(read_stored(read_file(mask)), meaning)
    if isinstance(mask, Drawn):
        return lambda: Labels(mask.draw(height, width))
    return lambda: Labels(np.zeros((height, width), dtype=np.uint8))


def mask_digests(masks: Sequence[MaskAt], facts: Sequence[Fact | None], native: Int[np.ndarray, "n 2"]) -> list[str]:
    """What names the content of every mask, but for what its values mean."""
    return [
        fact.digest if fact is not None else f"{_text(mask)} {width}x{height}"
        for mask, fact, (width, height) in zip(masks, facts, native.tolist(), strict=True)
    ]


def decoded_masks(
    masks: Sequence[MaskAt],
    facts: Sequence[Fact | None],
    native: Int[np.ndarray, "n 2"],
    meaning: Meaning,
    size: int,
    cache: ArrayCache,
) -> Decoded:
    """All masks as label maps. native: width and height of the images."""
    sources = [
        mask_source(mask, width, height, meaning) for mask, (width, height) in zip(masks, native.tolist(), strict=True)
    ]
    digests = [f"{meaning.digest} {digest}" for digest in mask_digests(masks, facts, native)]
    return decode_masks(sources, digests, size, cache)


def _text(mask: MaskAt) -> str:
    return mask.digest if isinstance(mask, Drawn) else "empty"


def doubtful(decoded: Decoded, rows: Int[np.ndarray, "n"]) -> dict[int, tuple[str, str]]:
    """Positions (of `rows`) whose mask goes up to 1 where masks of other rows go beyond: what, and what to do."""
    unit = set(decoded.notes.get(UNIT, ()))
    others = [at for at in rows.tolist() if at not in unit and decoded.array[at].any()]
    if not others:
        return {}
    what = "its mask goes up to 1, those of other rows beyond: its 1s are lesions, or traces of a JPEG"
    remedy = "write data.mask_values with every value that occurs, such as {1: lesion, 255: lesion}, or mend the file"
    return {position: (what, remedy) for position, at in enumerate(rows.tolist()) if at in unit}


def refuse_empty(decoded: Decoded, rows: Int[np.ndarray, "n"], where: str) -> None:
    """Raise DataError when no mask shows a lesion."""
    if len(rows) and not any(decoded.array[at].any() for at in rows.tolist()):
        raise DataError(
            f"{where}: none of {len(rows):,} masks shows a lesion; check that data.mask names the right column, "
            "and say with data.mask_values what their values mean"
        )


def told_of(
    decoded: Decoded, rows: Int[np.ndarray, "n"], native: Int[np.ndarray, "n 2"], meaning: Meaning
) -> tuple[list[str], list[str]]:
    """Half-sentences for the card, and warnings. native: of `rows`."""
    array = decoded.array
    size = array.shape[-1]
    lost = len(set(decoded.notes.get(VANISHED, ())) & set(rows.tolist()))
    warnings = [f"{lost:,} images have lesions too small to be seen at {size} px: raise data.size"] if lost else []
    counts = np.zeros(len(meaning.kinds) + 1, dtype=np.int64)
    shown = large = 0
    for at, (width, height) in zip(rows.tolist(), native.tolist(), strict=True):
        pixels = np.bincount(array[at].ravel(), minlength=len(counts))
        counts += pixels > 0
        box = placed(height, width, size)
        shown += bool(pixels[1:].any())
        large += int(pixels[1:].sum() > _MOST * box.height * box.width)
    if shown >= _LEAST and large >= _NEARLY_ALL * shown:
        undo = "take out data.mask_inverted" if meaning.inverted else "write data.mask_inverted: true"
        warnings.append(
            f"lesions cover over half of {large:,} of {shown:,} images with one: if that is the rest, {undo}"
        )
    several = [f"{kind} in {count:,} images" for kind, count in zip(meaning.kinds, counts[1:].tolist(), strict=True)]
    return ([", ".join(several)] if len(several) > 1 else []), warnings
