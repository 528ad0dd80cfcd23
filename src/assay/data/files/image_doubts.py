"""Doubts about the pixels of images and masks: ranges, contradictory headers, lost signs, inverted masks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Int, Shaped

from assay.core.opencv import cv2
from assay.data.files.decode import Decoded
from assay.data.files.fitting import Framing
from assay.data.files.hints import ASPECT, KIND, OVERFLOW, PADDING, SHAPE, SIGN, UNIT, WRAPPED
from assay.data.files.pictures import HINT, OWN_RANGE, VALUES
from assay.spec.data import LESION

_NAMED = 5
"""Rows that a doubt names."""


def doubts_of(images: Decoded, numbers: Sequence[int], word: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return doubts about decoded images, and cautions on how they are shown as rows of `provenance`.

    Args:
        images: The images.
        numbers: Numbers of their rows.
        word: What a row is called.
    """
    hints = {
        note.removeprefix(HINT): _listed_rows([numbers[at] for at in positions], word)
        for note, positions in sorted(images.notes.items())
        if note.startswith(HINT)
    }
    values = [*_own_ranges(images), *_unlike_ranges(images), *_units_of(images)]
    values += [_HINTS[hint].format(rows) for hint, rows in hints.items() if hint in _HINTS]
    read = {"gray values": "; ".join(values), "pixels": _not_square(images, numbers, word),
            "kinds of images": "; ".join(_several_kinds(images, numbers, word))}  # fmt: skip
    return tuple(_doubts_of_depth(images, numbers, word)), {key: text for key, text in read.items() if text}


def _listed_rows(numbers: Sequence[int], word: str) -> str:
    """Return the first rows by their numbers, and that there are more."""
    named = ", ".join(map(str, numbers[:_NAMED])) + (" and others" if len(numbers) > _NAMED else "")
    return f"{word} {named}"


# Hints of single files.

_HINTS = {
    WRAPPED: "values jump from one end of their range to the other between neighboring pixels, as negative ones do "
    "that were stored without a sign ({}): store them as signed (PixelRepresentation 1), or add an offset",
    OVERFLOW: "values of 8 bit jump between black and white from one pixel to the next, as the remainders of greater "
    "values do ({}): save them over the range of 8 bit, or with 16 bit",
    PADDING: "padding around the image is shown bright ({}): store it as the darkest value",
    SHAPE: "PresentationLUTShape contradicts PhotometricInterpretation, which decides what is bright here ({}): "
    "viewers may show these images inverted, so correct one of them",
    SIGN: "JPEG 2000 states by itself whether values have a sign, and PixelRepresentation, which decides here, states "
    "the opposite ({}): correct it if gray values look wrong",
}
"""Hint of a file -> what is said of it, with its rows."""


def _units_of(images: Decoded) -> Iterator[str]:
    """Yield what is to be said where headers state several units of the values."""
    start = HINT + UNIT
    counts = {note.removeprefix(start): len(at) for note, at in images.notes.items() if note.startswith(start)}
    if len(counts) > 1:
        listed = ", ".join(f"{unit} ({count:,} images)" for unit, count in sorted(counts.items()))
        yield f"values are in several units by their headers, {listed}: equal values differ; convert them to one unit"


def _several_kinds(images: Decoded, numbers: Sequence[int], word: str) -> Iterator[str]:
    """Yield what is to be said where headers state several kinds of images, such as modalities and localizers."""
    kinds: dict[str, dict[str, Sequence[int]]] = {}
    for note, positions in sorted(images.notes.items()):
        if note.startswith(HINT + KIND):
            name, _, value = note.removeprefix(HINT + KIND).partition(" ")
            kinds.setdefault(name, {})[value] = positions
    for name, of_value in kinds.items():
        is_rare = name == "ImageType" and sum(map(len, of_value.values())) < len(images.array)
        if len(of_value) > 1 or is_rare:
            listed = ", ".join(
                f"{value} ({len(at):,} images, {_listed_rows([numbers[place] for place in at[: _NAMED + 1]], word)})"
                for value, at in of_value.items()
            )
            yield f"{name} is {listed}: leave out what is not meant"


def _not_square(images: Decoded, numbers: Sequence[int], word: str) -> str:
    start = HINT + ASPECT
    ratios = {at: note.removeprefix(start) for note, of in images.notes.items() if note.startswith(start) for at in of}
    if not ratios:
        return ""
    ends = " to ".join(sorted({*ratios.values()}, key=float)[:: max(1, len({*ratios.values()}) - 1)])
    return (
        f"{len(ratios):,} images have pixels that are {ends} times as high as wide by their headers, and are shown as "
        f"if these were square ({_listed_rows([numbers[at] for at in sorted(ratios)], word)}); resample them"
    )


# Colors.


_LOOKED_AT, _PIXELS_A_SIDE = 2000, 16
"""Images, and about so many rows and columns of each, whose colors are compared."""
_TINTED, _BETWEEN, _FEWEST_SWAPPED, _MOST_SWAPPED = 0.1, 0.05, 3, 0.45
"""Logarithm of red over blue of a tinted image, and shares of images: with less, and with swapped colors at most."""


def swapped_colors(array: Shaped[np.ndarray, "n 3 h w"], numbers: Sequence[int], word: str) -> str:
    """Return a caution on images whose red and blue seem swapped, as OpenCV writes RGB; empty without such images.

    Most images have more red than blue, or the reverse, and a few have as much more of the other one; none are between.

    Args:
        array: Images, [n, 3, height, width].
        numbers: Numbers of their rows.
        word: What a row is called.
    """
    at = np.unique(np.linspace(0, len(array) - 1, min(len(array), _LOOKED_AT)).astype(np.int64))
    step = max(1, array.shape[-1] // _PIXELS_A_SIDE)
    means = np.array([array[place, :, ::step, ::step].mean(axis=(1, 2)) for place in at.tolist()], dtype=np.float64)
    tint = np.log((means[:, 0] + 1) / (means[:, 2] + 1))
    usual = float(np.median(tint))
    if abs(usual) < _TINTED or np.mean(np.abs(tint) < abs(usual) / 2) > _BETWEEN:
        return ""
    is_swapped = np.sign(tint) == -np.sign(usual)
    spread = 3 * float(tint[~is_swapped].std()) + _TINTED / 2
    is_swapped &= np.abs(tint + usual) < spread
    rows: list[int] = at[is_swapped].tolist()
    if not _FEWEST_SWAPPED <= len(rows) <= _MOST_SWAPPED * len(at):
        return ""
    return (
        f"red and blue seem swapped in {len(rows):,} of {len(at):,} images, as OpenCV writes RGB as BGR "
        f"({_listed_rows([numbers[row] for row in rows], word)}): swap them in these files"
    )


# Ranges.


def _own_ranges(images: Decoded) -> Iterator[str]:
    notes = [f"{note} ({len(at):,} images)" for note, at in sorted(images.notes.items()) if note.endswith(OWN_RANGE)]
    if notes:
        yield f"{'; '.join(notes)}: equal values differ between images"


def _doubts_of_depth(images: Decoded, numbers: Sequence[int], word: str) -> Iterator[str]:
    """Yield doubts about the range of images of more than 8 bit: values that were clipped, and images that are flat."""
    by_range: dict[tuple[float, float], list[int]] = {}
    for at in images.clipped:
        by_range.setdefault(images.depths[at].range, []).append(numbers[at])
    for (low, high), clipped in by_range.items():
        yield (
            f"16-bit images with values far beyond those of the others are clipped to {low:,.6g} to {high:,.6g}, the "
            f"range of the set: {len(clipped):,} of {len(images.depths):,} images, "
            f"{_listed_rows(clipped, word)}; check them"
        )
    if doubt := _flatness(images) or _unlike_bits(images):
        yield doubt


_FLAT = 8
"""An image that spans less than one part in so many of the range counts as flat."""


def _unlike_ranges(decoded: Decoded) -> list[str]:
    """Return what is to be said where headers show the values of files over different ranges."""
    displays = Counter(depth.display for depth in decoded.depths.values() if depth.display)
    values, common = displays[VALUES], decoded.stretch.common
    sentences: list[str] = []
    if common:
        sentences.append(
            f"{values:,} DICOM images without a window are shown from {common[0]:,.6g} to {common[1]:,.6g}, so that "
            "equal values look equal; the range of each by BitsStored, RescaleSlope and RescaleIntercept is not used"
        )
    if len(displays) > 1:
        without = f", and {values:,} images without one" if values else ""
        sentences.append(
            f"headers show {displays.total() - values:,} images by {len(displays) - bool(values):,} windows or "
            f"ranges{without}: equal values differ between images; give all the same window, or none"
        )
    return sentences


def _flatness(decoded: Decoded) -> str:
    """Return a doubt where most images of more than 8 bit use little of the range that is shown; else empty."""
    flat = [depth for depth in decoded.depths.values() if _FLAT * (depth.bright - depth.dark) < 65535]
    if 2 * len(flat) <= len(decoded.depths):
        return ""
    ranges = Counter(f"{depth.range[0]:,.6g} to {depth.range[1]:,.6g}" for depth in flat)
    (most, _), several = ranges.most_common(1)[0], len(ranges) > 1
    return (
        f"most images are nearly of one gray level: in {len(flat):,} of {len(decoded.depths):,} images of more than 8 "
        f"bit, 98% of the pixels span less than an eighth of the range shown, {most}{' in most' if several else ''}; "
        "scale their values, or set the range in the files (the window of DICOM, cal_min and cal_max of NIfTI)"
    )


_GAP, _SHARE = 3, 0.05
"""Bits between files of several kinds, and the share of the files from which they are a kind."""


def _unlike_bits(decoded: Decoded) -> str:
    """Return a doubt where 16-bit files are of two kinds by the bits that their values take; else empty."""
    files = [depth.used for depth in decoded.depths.values() if depth.used and not depth.used.signed]
    bits = sorted(min(file.bits, decoded.stretch.unsigned) for file in files)
    for lower, upper in pairwise(bits):
        below = bits.index(upper)
        if upper - lower >= _GAP and min(below, len(bits) - below) >= max(2, _SHARE * len(bits)):
            return (
                f"{below:,} 16-bit images hold values of up to {lower} bit, {len(bits) - below:,} of {upper} bit and "
                f"more: shown over one range, the former are {2 ** (upper - lower)} times darker; check whether they "
                "come from other devices, and save all over one range"
            )
    return ""


# Masks.


_NO_LESION = frozenset({
    "normal", "healthy", "background", "unremarkable", "tissue", "liver", "kidney", "kidneys", "lung", "lungs", "heart",
    "prostate", "brain", "breast", "pancreas", "spleen", "bladder", "skin", "organ", "body", "optic", "disc", "fovea",
})  # fmt: skip
"""Words of the names of kinds that are no lesions."""


def kinds_without_lesion(kinds: Sequence[str]) -> str:
    """Return a caution on kinds of lesions whose names are of organs or of normal tissue; empty without such kinds."""
    named = [
        kind for kind in kinds if (words := set(kind.casefold().replace("_", " ").split())) and words <= _NO_LESION
    ]
    if not named:
        return ""
    return (
        f"by name, no lesions are {', '.join(named)}, which count as such: take them out of the masks if they are none"
    )


_FEWEST, _USUAL, _RARE = 5, 0.5, 0.1
"""Images of each class, and shares of them with a lesion where masks show the class: at least, and at most."""


def masks_against_classes(
    decoded: Decoded, rows: Int[np.ndarray, "n"], target: Int[np.ndarray, "n"] | None, classes: Sequence[str]
) -> str:
    """Return a caution on masks that contradict the class, where those of one class usually show a lesion and those of
    the other do not; else empty.

    Args:
        target: The class of each of `rows`; None where masks decide it.
    """
    if target is None or len(classes) != 2 or tuple(classes) == LESION.levels:
        return ""
    has_lesion = np.array([bool(decoded.array[at].any()) for at in rows.tolist()])
    sizes, with_lesion = (np.bincount(target[chosen], minlength=2) for chosen in (target >= 0, has_lesion))
    shares = with_lesion / np.maximum(sizes, 1)
    ill, well = int(shares.argmax()), int(shares.argmin())
    empty, wrong = int(sizes[ill] - with_lesion[ill]), int(with_lesion[well])
    if sizes.min() < _FEWEST or shares[ill] < _USUAL or shares[well] > _RARE or not (empty or wrong):
        return ""
    counts = [(f"{empty:,} of {sizes[ill]:,} images of '{classes[ill]}' have an empty mask", empty),
              (f"{wrong:,} of {sizes[well]:,} of '{classes[well]}' show a lesion", wrong)]  # fmt: skip
    return f"{', and '.join(text for text, count in counts if count)}: check masks and classes"


_RING, _OUTSIDE, _HOLE = 0.9, 0.1, 0.01
"""Share of the pixels at the border that an inverted mask has at least, and another one at most; area of its hole."""
_TURNED, _OTHERS = 2, 0.8
"""Inverted masks that are no chance, and the share of the other ones with a lesion that are small and inside."""
_MOSTLY = 0.5


def _has_hole_inside(mask: Bool[np.ndarray, "h w"]) -> bool:
    """Return whether the largest part without a lesion does not reach the border."""
    _, _, boxes, _ = cv2.connectedComponentsWithStats((~mask).astype(np.uint8))
    left, top, width, height, _ = max(boxes[1:].tolist(), key=lambda box: box[4])
    return left > 0 and top > 0 and left + width < mask.shape[1] and top + height < mask.shape[0]


def partly_inverted(
    decoded: Decoded,
    rows: Int[np.ndarray, "n"],
    native: Int[np.ndarray, "n 2"],
    framing: Framing,
    numbers: Sequence[int],
    word: str,
) -> str:
    """Return a caution on masks that seem inverted in a set whose other masks are not; else empty.

    The lesion of an inverted mask has nearly all of the border and most of the image, with a hole inside.

    Args:
        native: Width and height of the images of `rows`.
        numbers: Numbers of these rows.
        word: What a row is called.
    """
    size = decoded.array.shape[-1]
    inverted: list[int] = []
    inside = total = 0
    for number, at, (width, height) in zip(numbers, rows.tolist(), native.tolist(), strict=True):
        box = framing.placed(height, width, size)
        mask = decoded.array[at, 0, box.top : box.top + box.height, box.left : box.left + box.width] > 0
        area = float(mask.mean())
        if not area:
            continue
        ring = float(np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]]).mean())
        total += 1
        if ring >= _RING and _MOSTLY < area <= 1 - _HOLE and _has_hole_inside(mask):
            inverted.append(number)
        inside += area <= _MOSTLY and ring <= _OUTSIDE
    if len(inverted) < _TURNED or inside < max(_TURNED, _OTHERS * (total - len(inverted))):
        return ""
    return (
        f"{len(inverted):,} of {total:,} masks with a lesion mark the border and most of the image, and most others a "
        f"part inside: the former seem inverted ({_listed_rows(inverted, word)}); correct these files"
    )
