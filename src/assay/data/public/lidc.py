"""LIDC-IDRI: read the readers' XML, match outlines between readers, and cut patches of nodules."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Literal
from xml.etree import ElementTree

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw
from pydantic import Field
from scipy import ndimage

from assay.core.errors import DataError, SpecError
from assay.core.registry import component
from assay.core.traits import DataTraits
from assay.core.types import Factor
from assay.data.cache import ArrayCache
from assay.data.dataset import Dataset
from assay.data.files.build import assemble, detail_of
from assay.data.files.crops import DecodedPixels
from assay.data.files.decode import WHOLE, LabelMap, decode_images, decode_masks, facts_of
from assay.data.files.fitting import Patch, cut, cut_mask
from assay.data.files.listing import Listing, factors_of, frame_of
from assay.data.files.table import Problem, TextTable, Unreadable, chosen, refuse
from assay.data.public.ct import SliceHeader, headers_of, hounsfield
from assay.data.public.sets import SETS
from assay.data.public.tables import SetFolder, directory
from assay.spec.schema import DataSpec

# The readers' XML of LIDC-IDRI: outlines and ratings of nodules of 3 mm and more, reader by reader.
#
# An outline is a chain of pixels just outside the nodule (Armato et al. 2011): its own pixels are not nodule, whether
# it includes a region or excludes one (a cavity). A mark of a single point is a nodule under 3 mm and carries no
# outline.

RATINGS = (
    "subtlety", "internalStructure", "calcification", "sphericity", "margin", "lobulation", "spiculation", "texture",
    "malignancy",
)  # fmt: skip
_MOST = {"internalStructure": 4, "calcification": 6}
_SIDE = 1 << 14
"""Pixels are numbered row * _SIDE + column, so that sets of pixels are sorted arrays of whole numbers."""


@dataclass(frozen=True, slots=True)
class LesionPixels:
    """The pixels of one slice, as sorted codes: inside the outline, and with the outline itself (for overlap)."""

    inside: np.ndarray
    closed: np.ndarray
    extent: tuple[np.ndarray, ...]  # the points [k, 2] (column, row) of each outline that includes


@dataclass(frozen=True, slots=True)
class ReaderMark:
    """Outlines and ratings of one nodule by one reader.

    Attributes:
        slices: SOP instance UID -> region.
        heights: SOP instance UID -> z in mm.
        ratings: Name -> 1 to 5 (calcification to 6), without those that the reader left out or gave as 0.
    """

    reader: int
    slices: Mapping[str, LesionPixels]
    heights: Mapping[str, float]
    ratings: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class SeriesReading:
    """All marks of a series."""

    series: str
    marks: tuple[ReaderMark, ...]


def read_xml(path: Path) -> SeriesReading | None:
    """Read the reading of a file; None for XML of another kind (chest radiographs of the same patients have some).

    Raises:
        Unreadable: The file is damaged or incomplete.
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
        if (mark := _read_mark(reader, nodule)) is not None
    ]
    return SeriesReading(series.strip(), tuple(marks))


def _read_mark(reader: int, nodule: ElementTree.Element) -> ReaderMark | None:
    """A reader's nodule of 3 mm and more; None without an outline or without any rating."""
    ratings = _ratings(nodule.find("characteristics"))
    outlines: dict[str, list[tuple[bool, np.ndarray]]] = {}
    heights: dict[str, float] = {}
    for roi in nodule.findall("roi"):
        slice_uid = (roi.findtext("imageSOP_UID") or "").strip()
        points = _outline_points(roi)
        if len(points) > 1:
            heights[slice_uid] = _parse_number(roi.findtext("imageZposition"), "a slice's position")
            outlines.setdefault(slice_uid, []).append((_includes(roi), points))
    drawn_in = any(includes for parts in outlines.values() for includes, _ in parts)
    if not drawn_in or not ratings:
        return None
    return ReaderMark(reader, {uid: region(contours) for uid, contours in outlines.items()}, heights, ratings)


def _ratings(element: ElementTree.Element | None) -> dict[str, int]:
    texts = {name: (element.findtext(name) or "").strip() for name in RATINGS} if element is not None else {}
    numbers = {name: int(text) for name, text in texts.items() if text.isdecimal()}
    return {name: value for name, value in numbers.items() if 1 <= value <= _MOST.get(name, 5)}


def _includes(roi: ElementTree.Element) -> bool:
    return (roi.findtext("inclusion") or "TRUE").strip().upper() == "TRUE"


def _outline_points(roi: ElementTree.Element) -> np.ndarray:
    """int64 [k, 2], column and row, as drawn."""
    pairs = [
        (_parse_number(edge.findtext("xCoord"), "an outline"), _parse_number(edge.findtext("yCoord"), "an outline"))
        for edge in roi.findall("edgeMap")
    ]
    points = np.array(pairs, dtype=np.float64).reshape(-1, 2).round().astype(np.int64)
    if len(points) and (points.min() < 0 or points.max() >= _SIDE):
        raise Unreadable("an outline leaves the image", "download the XML again")
    return points


def _parse_number(text: str | None, what: str) -> float:
    try:
        return float(text or "")
    except ValueError:
        raise Unreadable(f"the XML has no number for {what}", "download it again") from None


def region(outlines: list[tuple[bool, np.ndarray]]) -> LesionPixels:
    """The pixels within the including outlines and outside of the excluding ones; outlines themselves are never inside.

    drawn: (includes, points [k, 2]) of one slice.
    """
    included = [_enclosed_pixels(points) for includes, points in outlines if includes]
    excluded = [_enclosed_pixels(points)[1] for includes, points in outlines if not includes]
    none = np.zeros(0, dtype=np.int64)
    inside = np.unique(np.concatenate([none, *(pixels for pixels, _ in included)]))
    closed = np.unique(np.concatenate([none, *(pixels for _, pixels in included)]))
    out = np.concatenate([none, *excluded])
    extent = tuple(points for includes, points in outlines if includes)
    return LesionPixels(np.setdiff1d(inside, out), np.setdiff1d(closed, out), extent)


def _enclosed_pixels(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the codes of the pixels that an outline encloses: those that no path from outside reaches.

    Without and with the outline's own pixels.
    """
    corner = points.min(axis=0) - 1
    width, height = (points.max(axis=0) - corner + 2).tolist()
    canvas = Image.new("L", (width, height), 0)
    chain = [(int(x), int(y)) for x, y in (points - corner).tolist()]
    ImageDraw.Draw(canvas).line([*chain, chain[0]], fill=1)
    outline = np.asarray(canvas) > 0
    closed = np.asarray(ndimage.binary_fill_holes(outline), dtype=bool)
    return _pixel_codes(closed & ~outline, corner), _pixel_codes(closed, corner)


def _pixel_codes(mask: np.ndarray, corner: np.ndarray) -> np.ndarray:
    rows, columns = np.nonzero(mask)
    return (rows + corner[1]) * _SIDE + columns + corner[0]


def pixel_positions(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of pixel codes."""
    return codes // _SIDE, codes % _SIDE


# Outlines of different readers that are one nodule, and their consensus on it.
#
# The rule: two outlines by different readers are the same nodule when their areas share pixels (outline included).
# Pairs are joined in order of their overlap (pixels shared over pixels of either, all slices together), the largest
# first, and never so that a nodule has a reader twice. So a nodule has one to four readers, and where one reader drew
# two nodules and another a single one around both, the single one joins the nodule that it overlaps most.

ABSENT_CALCIUM = 6


@dataclass(frozen=True, slots=True)
class Nodule:
    """The marks of one nodule, at most one a reader."""

    marks: tuple[ReaderMark, ...]

    @property
    def readers(self) -> int:
        """Number of readers who outlined it."""
        return len(self.marks)

    def rating(self, name: str) -> float:
        """The mean over the readers who gave it; NaN when none did."""
        ratings = [mark.ratings[name] for mark in self.marks if name in mark.ratings]
        return float(np.mean(ratings)) if ratings else float("nan")

    @property
    def calcified(self) -> float:
        """The share of readers who rated it calcified (6 is absent); NaN when none rated it."""
        ratings = [mark.ratings["calcification"] for mark in self.marks if "calcification" in mark.ratings]
        return float(np.mean([value != ABSENT_CALCIUM for value in ratings])) if ratings else float("nan")

    def diameter(self, row_mm: float, column_mm: float) -> float:
        """mm: the largest distance in a slice between two points of an outline, less a pixel; the readers' mean.

        A pixel is taken off since outlines run just outside the nodule, half a pixel beyond it on both sides.
        """
        pixel = (row_mm + column_mm) / 2
        largest = [
            max(_extent(points, row_mm, column_mm) for region in mark.slices.values() for points in region.extent)
            for mark in self.marks
        ]
        return float(np.mean([max(extent - pixel, 0.0) for extent in largest]))

    def agreed(self) -> dict[str, np.ndarray]:
        """Slice -> codes of the pixels that at least half of its readers have inside; slices without any left out."""
        areas = {uid: self._agreed_on(uid) for mark in self.marks for uid in mark.slices}
        return {uid: codes for uid, codes in areas.items() if len(codes)}

    def _agreed_on(self, uid: str) -> np.ndarray:
        inside = [mark.slices[uid].inside for mark in self.marks if uid in mark.slices]
        codes, votes = np.unique(np.concatenate(inside), return_counts=True)
        return codes[2 * votes >= self.readers]

    def middle(self) -> tuple[str, np.ndarray] | None:
        """The slice with the largest agreed area (of equal ones the lowest), and its pixels; None without any."""
        heights = {uid: z for mark in self.marks for uid, z in mark.heights.items()}
        agreed = self.agreed()
        if not agreed:
            return None
        uid = min(agreed, key=lambda name: (-len(agreed[name]), heights[name], name))
        return uid, agreed[uid]


def _extent(points: np.ndarray, row_mm: float, column_mm: float) -> float:
    where = points * np.array([column_mm, row_mm])
    return float(np.sqrt(((where[:, None] - where[None]) ** 2).sum(axis=-1)).max())


def nodules(marks: Sequence[ReaderMark]) -> list[Nodule]:
    """The marks of a series as nodules, by the rule above; in order of height, row and column."""
    group = list(range(len(marks)))
    pairs = sorted(
        (-overlap, first, second)
        for first in range(len(marks))
        for second in range(first + 1, len(marks))
        if marks[first].reader != marks[second].reader
        and (overlap := _jaccard(marks[first].slices, marks[second].slices)) > 0
    )
    for _, first, second in pairs:
        own_group, other = group[first], group[second]
        readers = [marks[at].reader for at, of in enumerate(group) if of in (own_group, other)]
        if own_group != other and len(set(readers)) == len(readers):
            group = [own_group if of == other else of for of in group]
    groups = [Nodule(tuple(marks[at] for at, of in enumerate(group) if of == code)) for code in sorted(set(group))]
    return sorted(groups, key=_position)


def _jaccard(first: Mapping[str, LesionPixels], second: Mapping[str, LesionPixels]) -> float:
    """Pixels shared over pixels of either, all slices together (Jaccard)."""
    shared = sum(
        len(np.intersect1d(first[uid].closed, second[uid].closed, assume_unique=True))
        for uid in first.keys() & second.keys()
    )
    either = sum(len(region.closed) for slices in (first, second) for region in slices.values()) - shared
    return shared / either if either else 0.0


def _position(nodule: Nodule) -> tuple[float, float, float]:
    heights = [z for mark in nodule.marks for z in mark.heights.values()]
    points = np.concatenate([outline for mark in nodule.marks for of in mark.slices.values() for outline in of.extent])
    return float(np.mean(heights)), float(points[:, 1].mean()), float(points[:, 0].mean())


# Find the series and the XML of LIDC-IDRI wherever they lie, and bring nodules and slices together.

_NOWHERE = SliceHeader("", "", "", float("nan"), float("nan"), float("nan"), "", "")


@dataclass(frozen=True, slots=True)
class NoduleEntry:
    """A nodule and the slice that shows it best.

    Attributes:
        codes: Its agreed pixels there.
        digest: Of the slice's file.
        what: Why it cannot be used, if it cannot.
        remedy: How to repair it.
    """

    number: int
    name: str
    nodule: Nodule
    path: Path = Path()
    header: SliceHeader = _NOWHERE
    codes: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    digest: str = ""
    what: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class NoduleList:
    """All nodules of a folder, XML that cannot be used, and notes for the card. Numbers run over both, by path."""

    entries: tuple[NoduleEntry, ...]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]


def entries_of(root: Path, cache: ArrayCache) -> NoduleList:
    """List every nodule in the XML files below a folder, numbered from 1 in order of path, height, row and column.

    XML files are next to their DICOM series or in a tree of their own; the series is found by its UID.
    """
    folders, papers = _walk_folders(root)
    series = _series(folders, cache)
    entries: list[NoduleEntry] = []
    problems: list[Problem] = []
    others, number, digests = 0, 0, dict[str, str]()
    for path in papers:
        name = str(path.relative_to(root))
        try:
            reading = read_xml(path)
            if reading is None:
                others += 1
                continue
            if _is_repeated(reading, path, digests):
                continue
            here = _slices(reading, series, cache)
        except Unreadable as error:
            number += 1
            problems.append(Problem(number, name, error.what, error.remedy))
            continue
        for nodule in nodules(reading.marks):
            number += 1
            entries.append(_nodule_entry(number, f"{name} nodule {number}", nodule, here))
    notes = (f"{others:,} XML files of another kind were skipped",) if others else ()
    return NoduleList(tuple(entries), tuple(problems), notes)


def _walk_folders(root: Path) -> tuple[dict[Path, list[str]], list[Path]]:
    """Folders with DICOM files -> their names, and all XML files; in sorted order."""
    folders: dict[Path, list[str]] = {}
    papers: list[Path] = []
    for text, inside, names in os.walk(root):
        inside.sort()
        folder = Path(text)
        slices = sorted(name for name in names if name.lower().endswith(".dcm"))
        if slices:
            folders[folder] = slices
        papers += [folder / name for name in names if name.lower().endswith(".xml") and not name.startswith(".")]
    return folders, sorted(papers)


def _series(folders: Mapping[Path, list[str]], cache: ArrayCache) -> dict[str, tuple[Path, list[str]]]:
    """Series UID -> its folder and files, by the first readable file of each folder."""
    series: dict[str, tuple[Path, list[str]]] = {}
    for folder, names in folders.items():
        for name in names:
            header = headers_of(folder, [name], cache).get(name)
            if header is not None:
                series.setdefault(header.series, (folder, names))
                break
    return series


def _is_repeated(reading: SeriesReading, path: Path, digests: dict[str, str]) -> bool:
    """Return whether the same file was read before. Raises Unreadable when another file reads the same series."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if reading.series not in digests:
        digests[reading.series] = digest
        return False
    if digests[reading.series] != digest:
        raise Unreadable("another XML reads the same series", "keep the later release of the two")
    return True


def _slices(
    reading: SeriesReading, series: Mapping[str, tuple[Path, list[str]]], cache: ArrayCache
) -> dict[str, tuple[Path, SliceHeader]]:
    """SOP instance UID -> file and header, of the series that a reading is of."""
    if reading.series not in series:
        raise Unreadable("the series that it reads is not there", "download the series, or take the XML out")
    folder, names = series[reading.series]
    headers = headers_of(folder, names, cache)
    return {header.uid: (folder / name, header) for name, header in headers.items()}


def _nodule_entry(
    number: int, name: str, nodule: Nodule, slices: Mapping[str, tuple[Path, SliceHeader]]
) -> NoduleEntry:
    middle = nodule.middle()
    if middle is None:
        what = "half of its readers agree on no pixel"
        return NoduleEntry(number, name, nodule, what=what, remedy="leave it out, or ask for more readers")
    uid, codes = middle
    if uid not in slices:
        what = "the slice that it is outlined on is not in its series"
        return NoduleEntry(number, name, nodule, what=what, remedy="download the series whole")
    path, header = slices[uid]
    sized = header.row_mm > 0 and header.column_mm > 0
    what = "its slice names no patient" if not header.patient else "its slice does not say its pixels' size"
    if not header.patient or not sized:
        return NoduleEntry(number, name, nodule, path, header, what=what, remedy="download the series again")
    return NoduleEntry(number, name, nodule, path, header, codes)


# LIDC-IDRI (Armato et al. 2011) from DICOM series and the readers' XML: one patch a nodule of 3 mm and more.

VERSION = 1
"""Rises when the same files yield other patches."""
CLASSES = ("benign", "malignant")


def _rating_factor(name: str, what: str) -> Factor:
    return Factor(name, "continuous", range=(1.0, 5.0), description=f"mean of the readers' ratings, {what}")


FACTORS = (
    Factor("diameter_mm", "continuous", unit="mm", description="largest extent in a slice, mean of the readers"),
    _rating_factor("subtlety", "1 hard to see to 5 obvious"),
    _rating_factor("sphericity", "1 linear to 5 round"),
    _rating_factor("margin", "1 poorly to 5 sharply defined"),
    _rating_factor("lobulation", "1 none to 5 marked"),
    _rating_factor("spiculation", "1 none to 5 marked"),
    _rating_factor("texture", "1 ground-glass to 5 solid"),
    Factor("calcified", "continuous", range=(0.0, 1.0), description="share of readers who saw calcium"),
    Factor("readers", "continuous", range=(1.0, 4.0), description="how many of up to four outlined it"),
    Factor("slice_thickness", "continuous", unit="mm"),
    Factor("pixel_size", "continuous", unit="mm", description="of the scan, before resampling"),
    Factor("manufacturer", "categorical"),
    Factor("kernel", "categorical", description="the scanner's reconstruction kernel"),
)


@dataclass(frozen=True, kw_only=True)
class LidcArguments:
    """Arguments of `lidc`: malignant against benign nodules of 3 mm and more.

    Raises:
        ValueError: The window is empty.
    """

    folder: SetFolder
    readers: Annotated[int, Field(ge=1, le=4, description="a nodule needs the outlines of so many readers")] = 1
    indeterminate: Annotated[
        Literal["drop", "benign", "malignant"], Field(description="what becomes of a mean malignancy of exactly 3")
    ] = "drop"
    field_mm: Annotated[float, Field(ge=10, le=200, description="mm, side of the square patch around the nodule")] = (
        50.0
    )
    low: Annotated[float, Field(ge=-2000, le=4000, description="HU that becomes black")] = -1000.0
    high: Annotated[float, Field(ge=-2000, le=4000, description="HU that becomes white")] = 400.0

    def __post_init__(self) -> None:
        """Refuse an empty window."""
        if self.low >= self.high:
            raise ValueError(f"the window runs from {self.low:g} to {self.high:g} HU; low must lie below high")


@component(
    "dataset",
    "lidc",
    DataTraits(factors=FACTORS),
    summary="LIDC-IDRI from XML and DICOM: patches of nodules, malignancy, masks and ratings as the readers agree",
)
def load_lidc(
    spec: DataSpec, cache: ArrayCache, skip_bad_rows: bool, keep_copies: bool = False, *, arguments: LidcArguments
) -> Dataset:
    """One row a nodule, malignant or benign by the mean of its readers' ratings; mask by at least half of its readers.

    `lidc_consensus` has the rule that joins the outlines of several readers.
    The patch is cut from the slice with the largest agreed area, centered on it, `field_mm` wide, `spec.size` px.

    Raises:
        SpecError: When there is no XML or no nodule.
        DataError: With all entries that cannot be used.
    """
    root = directory(arguments.folder)
    nodule_list = entries_of(root, cache)
    if not nodule_list.entries and not nodule_list.problems:
        raise SpecError(f"data.dataset.folder: {root.name}/ holds no XML of LIDC readers; give the folder of the set")
    used, facts = _apply_rules(arguments, nodule_list.entries)
    usable = [entry for entry in used if not entry.what]
    problems = [*nodule_list.problems, *(Problem(e.number, e.name, e.what, e.remedy) for e in used if e.what)]
    table = chosen(_nodule_table(usable), spec.where)
    by_number = {entry.number: entry for entry in usable}
    listing = _list_nodules(
        arguments, spec, [by_number[number] for number in table.numbers], table, facts, nodule_list.notes
    )
    listing, _ = listing.drop(problems)
    listing, entries = _readable(listing, by_number, cache)
    if not len(listing):
        refuse(listing.where, listing.problems, listing.word)
        raise DataError(f"{root.name} gives no nodules; {', '.join(facts)}")
    pixels = _decode_patches(arguments, spec, entries, cache)
    return assemble(listing, pixels, spec, cache, skip_bad_rows, keep_copies)


def _apply_rules(arguments: LidcArguments, entries: Sequence[NoduleEntry]) -> tuple[list[NoduleEntry], list[str]]:
    """The nodules that the stated rules leave, and how many each rule took away."""
    few = [entry for entry in entries if entry.nodule.readers < arguments.readers]
    rest = [entry for entry in entries if entry.nodule.readers >= arguments.readers]
    rated = [entry for entry in rest if not np.isnan(entry.nodule.rating("malignancy"))]
    determinate = [
        entry for entry in rated if arguments.indeterminate != "drop" or entry.nodule.rating("malignancy") != 3
    ]
    counts = (
        (len(few), f"outlined by fewer than {arguments.readers} readers"),
        (len(rest) - len(rated), "without a rating of malignancy"),
        (len(rated) - len(determinate), "of mean malignancy 3"),
    )
    facts = [f"{count:,} nodules {what} were left out" for count, what in counts if count]
    middle = "" if arguments.indeterminate == "drop" else f", exactly 3 is {arguments.indeterminate}"
    return determinate, [f"malignant over a mean malignancy of 3, benign under 3{middle}", *facts]


def _malignant(arguments: LidcArguments, entry: NoduleEntry) -> int:
    mean = entry.nodule.rating("malignancy")
    return int(mean > 3 or (mean == 3 and arguments.indeterminate == "malignant"))


def _nodule_table(entries: Sequence[NoduleEntry]) -> TextTable:
    """The nodules as a table of text, so that `where` and factors are read as everywhere."""
    frame = pd.DataFrame([_nodule_row(entry) for entry in entries], [entry.number for entry in entries], dtype=object)
    return TextTable("the table of nodules", frame.replace("nan", ""))


def _nodule_row(entry: NoduleEntry) -> dict[str, str]:
    nodule, header = entry.nodule, entry.header
    rated = ("malignancy", "subtlety", "sphericity", "margin", "lobulation", "spiculation", "texture")
    return {
        "image": entry.name,
        "patient": header.patient,
        **{name: repr(nodule.rating(name)) for name in rated},
        "calcified": repr(nodule.calcified),
        "diameter_mm": repr(nodule.diameter(header.row_mm, header.column_mm)),
        "readers": str(nodule.readers),
        "slice_thickness": repr(header.thickness),
        "pixel_size": repr((header.row_mm + header.column_mm) / 2),
        "manufacturer": header.manufacturer,
        "kernel": header.kernel,
    }


def _list_nodules(
    arguments: LidcArguments,
    spec: DataSpec,
    entries: Sequence[NoduleEntry],
    table: TextTable,
    facts: Sequence[str],
    notes: tuple[str, ...],
) -> Listing:
    factors, columns = factors_of(FACTORS, table, (), []) if len(table) else (FACTORS, {})
    factors = tuple(replace(factor, high=factor.levels[1:] if len(factor.levels) == 2 else ()) for factor in factors)
    single = sum(entry.nodule.readers == 1 for entry in entries)
    warnings = (*notes, *((f"{single:,} nodules rest on a single reader",) if single else ()))
    scale = {"unit": "HU", "low": arguments.low, "high": arguments.high, "mm_per_pixel": arguments.field_mm / spec.size}
    return Listing(
        title="LIDC-IDRI",
        where=directory(arguments.folder).name + "/",
        word="item",
        frame=frame_of(
            table.numbers,
            name=[entry.name for entry in entries],
            image=[entry.path for entry in entries],
            target=np.array([_malignant(arguments, entry) for entry in entries], dtype=np.int64),
            patient=[entry.header.patient for entry in entries],
        ),
        classes=CLASSES,
        factors=factors,
        columns=columns,
        facts=(
            *facts,
            f"patches of {arguments.field_mm:g} mm from the slice with the largest area that half of the "
            "readers outline",
            f"{arguments.low:g} to {arguments.high:g} HU",
        ),
        warnings=warnings,
        about=replace(SETS["lidc"], scale=scale),
    )


def _readable(
    listing: Listing, entry_of: Mapping[int, NoduleEntry], cache: ArrayCache
) -> tuple[Listing, list[NoduleEntry]]:
    """The listing without nodules whose slice cannot be read, and its entries with the hashes of their slices."""
    facts = facts_of(listing.cells("image"), cache)
    bad = [listing.problem(at, fact.what, fact.remedy) for at, fact in enumerate(facts) if fact.header is None]
    short, _ = listing.drop(bad)
    digests = dict(zip(listing.numbers, (fact.digest for fact in facts), strict=True))
    entries = [replace(entry_of[number], digest=digests[number]) for number in short.numbers]
    return short, entries


def _decode_patches(
    arguments: LidcArguments, spec: DataSpec, entries: Sequence[NoduleEntry], cache: ArrayCache
) -> DecodedPixels:
    patches = [_patch(arguments, spec, entry) for entry in entries]
    window = (arguments.low, arguments.high)
    sources: list[Callable[[], np.ndarray | bytes]] = [
        partial(_patch_image, entry, patch, *window) for entry, patch in zip(entries, patches, strict=True)
    ]
    masks = [partial(_mask, entry, patch) for entry, patch in zip(entries, patches, strict=True)]
    names = [f"lidc {VERSION} {e.digest} {p} {window}" for e, p in zip(entries, patches, strict=True)]
    agreed = [f"{name} {hashlib.sha256(e.codes.tobytes()).hexdigest()}" for name, e in zip(names, entries, strict=True)]
    native = [[round(p.side_mm / p.column_mm), round(p.side_mm / p.row_mm)] for p in patches]
    return DecodedPixels(
        decode_images(sources, names, spec.size, True, spec.channels, cache),
        decode_masks(masks, agreed, spec.size, cache),
        np.array(native, dtype=np.int64),
        partial(detail_of, sources, names, cache, WHOLE),
    )


def _patch(arguments: LidcArguments, spec: DataSpec, entry: NoduleEntry) -> Patch:
    rows, columns = pixel_positions(entry.codes)
    x, y = float(columns.mean()) + 0.5, float(rows.mean()) + 0.5
    return Patch(x, y, entry.header.row_mm, entry.header.column_mm, arguments.field_mm, spec.size)


def _patch_image(entry: NoduleEntry, patch: Patch, low: float, high: float) -> np.ndarray:
    return cut(hounsfield(entry.path), patch, low, high)


def _mask(entry: NoduleEntry, patch: Patch) -> LabelMap:
    rows, columns = pixel_positions(entry.codes)
    mask = np.zeros((int(rows.max()) + 1, int(columns.max()) + 1), dtype=np.bool_)
    mask[rows, columns] = True
    return LabelMap(cut_mask(mask, patch))
