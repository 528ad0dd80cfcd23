"""The readers' XML of LIDC-IDRI: outlines and ratings of nodules of 3 mm and more, reader by reader.

An outline is a chain of pixels just outside the nodule (Armato et al. 2011): its own pixels are not nodule, whether it
includes a region or excludes one (a cavity). A mark of a single point is a nodule under 3 mm and carries no outline.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from assay.data.sources.problems import Unreadable

RATINGS = (
    "subtlety", "internalStructure", "calcification", "sphericity", "margin", "lobulation", "spiculation", "texture",
    "malignancy",
)  # fmt: skip
_MOST = {"internalStructure": 4, "calcification": 6}
_SIDE = 1 << 14
"""Pixels are numbered row * _SIDE + column, so that sets of pixels are sorted arrays of whole numbers."""


@dataclass(frozen=True, slots=True)
class Region:
    """The pixels of one slice, as sorted codes: inside the outline, and with the outline itself (for overlap)."""

    inside: np.ndarray
    closed: np.ndarray
    extent: tuple[np.ndarray, ...]  # the points [k, 2] (column, row) of each outline that includes


@dataclass(frozen=True, slots=True)
class Mark:
    """What one reader drew and said of one nodule. slices: SOP instance UID -> region. heights: the same -> z in mm.

    ratings: name -> 1 to 5 (calcification to 6); what the reader left out or gave as 0 is not there.
    """

    reader: int
    slices: Mapping[str, Region]
    heights: Mapping[str, float]
    ratings: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Reading:
    """All marks of a series."""

    series: str
    marks: tuple[Mark, ...]


def read_xml(path: Path) -> Reading | None:
    """The reading that a file holds; None for XML of another kind (chest radiographs of the same patients have some).

    Raises Unreadable for a damaged file, or one that does not say what it must.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, OSError) as error:
        raise Unreadable("the XML is damaged or cut short", "download it again") from error
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]  # releases differ in the namespace
    if root.tag != "LidcReadMessage":
        return None
    series = root.findtext("ResponseHeader/SeriesInstanceUid") or root.findtext("ResponseHeader/SeriesInstanceUID")
    if not series or not series.strip():
        raise Unreadable("the XML does not say which series it reads", "download it again")
    marks = [
        mark
        for reader, session in enumerate(root.findall("readingSession"))
        for nodule in session.findall("unblindedReadNodule")
        if (mark := _mark(reader, nodule)) is not None
    ]
    return Reading(series.strip(), tuple(marks))


def _mark(reader: int, nodule: ElementTree.Element) -> Mark | None:
    """A reader's nodule of 3 mm and more; None without an outline or without any rating."""
    ratings = _ratings(nodule.find("characteristics"))
    outlines: dict[str, list[tuple[bool, np.ndarray]]] = {}
    heights: dict[str, float] = {}
    for roi in nodule.findall("roi"):
        slice_uid = (roi.findtext("imageSOP_UID") or "").strip()
        points = _points(roi)
        if len(points) > 1:
            heights[slice_uid] = _number(roi.findtext("imageZposition"), "a slice's position")
            outlines.setdefault(slice_uid, []).append((_includes(roi), points))
    drawn_in = any(includes for drawn in outlines.values() for includes, _ in drawn)
    if not drawn_in or not ratings:
        return None
    return Mark(reader, {uid: region(drawn) for uid, drawn in outlines.items()}, heights, ratings)


def _ratings(element: ElementTree.Element | None) -> dict[str, int]:
    given = {name: (element.findtext(name) or "").strip() for name in RATINGS} if element is not None else {}
    numbers = {name: int(text) for name, text in given.items() if text.isdecimal()}
    return {name: value for name, value in numbers.items() if 1 <= value <= _MOST.get(name, 5)}


def _includes(roi: ElementTree.Element) -> bool:
    return (roi.findtext("inclusion") or "TRUE").strip().upper() == "TRUE"


def _points(roi: ElementTree.Element) -> np.ndarray:
    """int64 [k, 2], column and row, as drawn."""
    pairs = [
        (_number(edge.findtext("xCoord"), "an outline"), _number(edge.findtext("yCoord"), "an outline"))
        for edge in roi.findall("edgeMap")
    ]
    points = np.array(pairs, dtype=np.float64).reshape(-1, 2).round().astype(np.int64)
    if len(points) and (points.min() < 0 or points.max() >= _SIDE):
        raise Unreadable("an outline leaves the image", "download the XML again")
    return points


def _number(text: str | None, what: str) -> float:
    try:
        return float(text or "")
    except ValueError:
        raise Unreadable(f"the XML has no number where {what} is told", "download it again") from None


def region(drawn: list[tuple[bool, np.ndarray]]) -> Region:
    """The pixels within the including outlines and outside of the excluding ones; outlines themselves are never inside.

    drawn: (includes, points [k, 2]) of one slice.
    """
    included = [_filled(points) for includes, points in drawn if includes]
    excluded = [_filled(points)[1] for includes, points in drawn if not includes]
    none = np.zeros(0, dtype=np.int64)
    inside = np.unique(np.concatenate([none, *(pixels for pixels, _ in included)]))
    closed = np.unique(np.concatenate([none, *(pixels for _, pixels in included)]))
    out = np.concatenate([none, *excluded])
    extent = tuple(points for includes, points in drawn if includes)
    return Region(np.setdiff1d(inside, out), np.setdiff1d(closed, out), extent)


def _filled(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes of the pixels that an outline encloses, without and with its own: what no path from outside reaches."""
    corner = points.min(axis=0) - 1
    width, height = (points.max(axis=0) - corner + 2).tolist()
    canvas = Image.new("L", (width, height), 0)
    chain = [(int(x), int(y)) for x, y in (points - corner).tolist()]
    ImageDraw.Draw(canvas).line([*chain, chain[0]], fill=1)
    outline = np.asarray(canvas) > 0
    closed = np.asarray(ndimage.binary_fill_holes(outline), dtype=bool)
    return _codes(closed & ~outline, corner), _codes(closed, corner)


def _codes(mask: np.ndarray, corner: np.ndarray) -> np.ndarray:
    rows, columns = np.nonzero(mask)
    return (rows + corner[1]) * _SIDE + columns + corner[0]


def pixels(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of pixel codes."""
    return codes // _SIDE, codes % _SIDE
