"""Doubts about masks that do not lie on their images: turned, mirrored, those of other images, or mere outlines."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from assay.core.opencv import cv2

_SIDE, _MOST, _FEWEST, _FEWEST_LINES = 64, 300, 20, 5
"""Side at which masks are laid on images in px; the most and fewest images with a lesion for that, and for lines."""
_HOLLOW, _USUAL = 3, 0.8
"""Times that a line surrounds its own area (a ring of a sixth of its radius), and share of masks that are so."""
_SURE, _CLEARER = 5.0, 2.0
"""Standard errors by which another place of the masks must fit better, and times those by which theirs is unlikely."""
_TURNS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mirrored": lambda maps: maps[:, :, ::-1],
    "mirrored from top to bottom": lambda maps: maps[:, ::-1],
    "turned by 180 degrees": lambda maps: maps[:, ::-1, ::-1],
    "transposed (rows for columns)": lambda maps: maps.transpose(0, 2, 1),
    "turned by 90 degrees": lambda maps: np.rot90(maps, 1, (1, 2)),
    "turned by 270 degrees": lambda maps: np.rot90(maps, -1, (1, 2)),
    "transposed and turned by 180 degrees": lambda maps: maps[:, ::-1, ::-1].transpose(0, 2, 1),
}


_PICTURE, _LEVELS = 1 / 3, 32
"""Share of the pixels between black and white, and number of gray levels there, from which a file is a picture."""
COLORS = ("red", "green", "yellow", "blue", "magenta", "cyan")
"""Colors of masks, by their bright channels: 1 for red, 2 for green and 4 for blue."""


def color_notes(pixels: np.ndarray, lesion: Bool[np.ndarray, "h w"]) -> tuple[str, ...]:
    """Return the note of the color of a lesion in a mask; empty where it is gray.

    Args:
        pixels: The mask, [h, w] or [h, w, 3].
        lesion: Where the lesion is.
    """
    if pixels.ndim == 2 or not lesion.any():
        return ()
    bright = (pixels[lesion][:, :3] > np.iinfo(pixels.dtype).max // 2) @ np.array([1, 2, 4])
    code = int(np.bincount(bright).argmax())
    return (COLORS[code - 1],) if 0 < code <= len(COLORS) else ()


def levels_of_picture(gray: np.ndarray) -> int:
    """Return the number of gray levels of a picture, [h, w]; 0 of a mask, which has few pixels that are not 0 or full.

    Args:
        gray: Whole numbers.
    """
    most = int(np.iinfo(gray.dtype).max)
    counts = np.bincount(gray.ravel().astype(np.int64), minlength=most + 1)[most // 16 : most - most // 16]
    levels = int(np.count_nonzero(counts))
    return levels if counts.sum() > _PICTURE * gray.size and levels > _LEVELS else 0


def doubts_of_masks(
    images: np.ndarray,
    masks: np.ndarray,
    notes: Mapping[str, Sequence[int]],
    rows: Int[np.ndarray, " n"],
    files: Sequence[object],
    patients: Sequence[object],
) -> list[str]:
    """Return doubts about masks that are read as one kind but have several colors, are lines, or lie elsewhere.

    Args:
        images: All images, [m, c, h, w].
        masks: Their label maps, [m, 1, h, w].
        notes: Notes on masks -> positions of these.
        rows: Files that are read.
        files: Paths of their images.
        patients: Their patients.
    """
    colored = {color: len({*notes.get(color, ())} & {*rows.tolist()}) for color in COLORS}
    present = ", ".join(f"{color} in {count:,} masks" for color, count in colored.items() if count)
    kinds = f"their color is {present}: all are one kind; if they are several, export a number per kind"
    names = [str(file).rpartition("/")[2] for file in files]
    lines, elsewhere = hollow_masks(masks, rows), misplaced_masks(images, masks, rows, names, patients)
    return [*([kinds] if "," in present else []), *filter(None, (lines, elsewhere))]


def misplaced_masks(
    images: np.ndarray,
    masks: np.ndarray,
    rows: Int[np.ndarray, " n"],
    names: Sequence[str],
    patients: Sequence[object],
) -> str:
    """Return a doubt where masks fit the images clearly better in another place or order; else empty.

    A mask fits if there are edges in the image along its outline, more than along the outlines of other images' masks.
    So a place that lesions often have counts for nothing, and only what an image and its own mask share does. Images of
    a patient are alike, so a patient counts once. Lesions that hide edges fit clearly worse than by chance; there
    another place must fit even more clearly.

    Args:
        images: Of all files, [m, c, h, w].
        masks: Label maps of all files, [m, 1, h, w].
        rows: Files that are read.
        names: Names of their files.
        patients: Their patients.
    """
    rows_with_lesion = _evenly([at for at, row in enumerate(rows.tolist()) if masks[row].any()])
    outline_at = {at: _outline_of(masks[rows[at]].reshape(masks.shape[-2:]) > 0) for at in rows_with_lesion}
    chosen = [at for at, outline in outline_at.items() if outline.any()]
    _, codes = np.unique([str(patients[at]) for at in chosen], return_inverse=True)
    if int(codes.max(initial=-1)) + 1 < _FEWEST:
        return ""
    outlines = np.stack([outline_at[at] for at in chosen])
    edges = np.stack([_edge_strength(images[rows[at]]) for at in chosen])
    fits = _excess(edges, outlines)
    plain = np.diag(fits)
    turned = [(how, np.diag(_excess(edges, turn(outlines)))) for how, turn in _TURNS.items()]
    orders = _orders([names[at] for at in chosen])
    turned += [(how, fits[np.arange(len(chosen)), outline_of]) for how, outline_of in orders]
    moved = {step: np.diag(_excess(edges, _moved(outlines, *step))) for step in _STEPS}
    # Masks that are too large fit better moved to any side: one way must fit better than the opposite one too.
    one_way = {(y, x): fit for (y, x), fit in moved.items() if _standard_errors(fit - moved[-y, -x], codes) >= _SURE}
    others = [*turned]
    if one_way:  # among the ways that are clearly better, the one that fits best
        step = max(one_way, key=lambda step: float(one_way[step].mean()))
        others.append((_step_words(*step), one_way[step]))
    how, fit = max(others, key=lambda other: _standard_errors(other[1] - plain, codes))
    as_they_are = _standard_errors(plain, codes)  # near their place masks fit somewhat too
    least = max(_SURE, _CLEARER * (abs(as_they_are) if how in dict(turned) else -as_they_are))
    if _standard_errors(fit, codes) < least or _standard_errors(fit - plain, codes) < _SURE:
        return ""
    return f"masks fit the edges in {len(chosen):,} images clearly better {how}: check how they were written"


_STEPS = [
    (y, x) for far in (3, 4, 5, 6, 7, 8, 10, 12) for y in (-far, 0, far) for x in (-far, 0, far) if (y, x) != (0, 0)
]
"""Pixels down and to the right by which masks are moved, at `_SIDE`."""


def _moved(outlines: Float[np.ndarray, "n side side"], down: int, right: int) -> Float[np.ndarray, "n side side"]:
    """The outlines at another place; what leaves the image is lost."""
    moved = np.zeros_like(outlines)
    rows, columns = (slice(max(step, 0), _SIDE + min(step, 0)) for step in (down, right))
    rows_before, columns_before = (slice(max(-step, 0), _SIDE - max(step, 0)) for step in (down, right))
    moved[:, rows, columns] = outlines[:, rows_before, columns_before]
    return moved


def _step_words(down: int, right: int) -> str:
    sides = [("down" if down > 0 else "up", down), ("to the right" if right > 0 else "to the left", right)]
    parts = [f"{side} by about {100 * abs(step) / _SIDE:.0f}%" for side, step in sides if step]
    return f"moved {' and '.join(parts)} of the image"


def hollow_masks(masks: np.ndarray, rows: Int[np.ndarray, " n"]) -> str:
    """Return a doubt where nearly all lesions are thin lines around an area; else empty.

    Args:
        masks: Label maps of all files, [m, 1, h, w].
        rows: Files that are read.
    """
    lesions = (masks[row].reshape(masks.shape[-2:]) > 0 for row in _evenly(rows.tolist()))
    are_hollow = [_is_hollow(lesion.astype(np.uint8)) for lesion in lesions if lesion.any()]
    if len(are_hollow) < _FEWEST_LINES or sum(are_hollow) < _USUAL * len(are_hollow):
        return ""
    return f"{sum(are_hollow):,} of {len(are_hollow):,} masks are lines around an area: fill them, if they mean it"


def _is_hollow(lesion: UInt8[np.ndarray, "h w"]) -> bool:
    area = int(lesion.sum())
    outside = np.pad(1 - lesion, 1, constant_values=1)
    cv2.floodFill(outside, None, (0, 0), 2)
    within = (outside == 1).astype(np.uint8)
    parts, holes = cv2.connectedComponents(lesion)[0], cv2.connectedComponents(within, connectivity=4)[0]
    return holes <= parts and int(within.sum()) + area >= _HOLLOW * area  # a net of vessels has more holes than parts


def _edge_strength(image: np.ndarray) -> Float[np.ndarray, "side side"]:
    """The strength of edges in an image [c, h, w], in standard deviations from their mean."""
    gray = cv2.resize(image.astype(np.float32).mean(axis=0), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    gray = cv2.GaussianBlur(gray, (0, 0), 1)
    edges = np.hypot(cv2.Sobel(gray, cv2.CV_32F, 1, 0), cv2.Sobel(gray, cv2.CV_32F, 0, 1))
    return (edges - edges.mean()) / max(float(edges.std()), 1e-6)


def _outline_of(lesion: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "side side"]:
    """The outline of a lesion, with the sum 1; 0 everywhere where it has none."""
    inside = cv2.resize(lesion.astype(np.float32), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA) > 0.4
    square = np.ones((3, 3), np.uint8)
    both = [change(inside.astype(np.uint8), square).astype(np.float32) for change in (cv2.dilate, cv2.erode)]
    outline = both[0] - both[1]
    return outline / max(float(outline.sum()), 1.0)


def _excess(edges: Float[np.ndarray, "n side side"], outlines: Float[np.ndarray, "n side side"]) -> np.ndarray:
    """How much more edge each image [n] has along each outline [n] than it, and that outline, have on average."""
    count = len(edges)
    along = edges.reshape(count, -1) @ outlines.reshape(count, -1).T
    of_image, of_outline = ((along.sum(axis) - np.diag(along)) / (count - 1) for axis in (1, 0))
    mean = (along.sum() - np.trace(along)) / (count * (count - 1))
    return along - of_image[:, None] - of_outline + mean


def _orders(names: Sequence[str]) -> Iterator[tuple[str, Int[np.ndarray, " n"]]]:
    """Yield what a list in another order does to masks, and the mask that each image then has in truth."""
    at = np.arange(len(names))
    yield "with the image after theirs", np.roll(at, 1)
    yield "with the image before theirs", np.roll(at, -1)
    as_text = np.array(sorted(at.tolist(), key=lambda one: _PADDING.sub("", names[one])))
    as_number = np.array(sorted(at.tolist(), key=lambda one: _number_parts(names[one])))
    if (as_text != as_number).mean() > 0.5:
        how = "in another order: of names as numbers, where these are sorted as text (10 before 2), or the reverse"
        yield how, as_number[np.argsort(as_text)]
        yield how, as_text[np.argsort(as_number)]


_PADDING = re.compile(r"(?<![0-9])0+(?=[0-9])")
"""Zeros before a number, which some lists have and others lack."""


def _number_parts(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", name)]


def _standard_errors(values: Float[np.ndarray, " n"], patients: Int[np.ndarray, " n"]) -> float:
    """The mean over patients of the mean of their values, in its standard errors."""
    means = np.bincount(patients, values) / np.bincount(patients)
    error = float(means.std(ddof=1)) / len(means) ** 0.5
    return float(means.mean()) / error if error else 0.0


def _evenly(rows: Sequence[int]) -> list[int]:
    """Return so many rows as are looked at, evenly among all."""
    at = np.linspace(0, len(rows) - 1, min(len(rows), _MOST)).round().astype(np.int64)
    return [rows[place] for place in at.tolist()]
