"""Find the series and the XML of LIDC-IDRI wherever they lie, and bring nodules and slices together."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from assay.data.cache import ArrayCache
from assay.data.sources.ct import SliceHeader, headers_of
from assay.data.sources.lidc_consensus import Nodule, nodules
from assay.data.sources.lidc_xml import Reading, read_xml
from assay.data.sources.problems import Problem, Unreadable

_NOWHERE = SliceHeader("", "", "", float("nan"), float("nan"), float("nan"), "", "")


@dataclass(frozen=True, slots=True)
class Entry:
    """A nodule and the slice that shows it best.

    codes: its agreed pixels there. digest: of the slice's file. what, remedy: why it cannot be used, if it cannot.
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
class Found:
    """All nodules of a folder, XML that cannot be used, and notes for the card. Numbers run over both, by path."""

    entries: tuple[Entry, ...]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]


def entries_of(root: Path, cache: ArrayCache) -> Found:
    """Every nodule that the XML below a folder tells of, numbered from 1 in order of path, height, row and column.

    XML lies beside its DICOM series or in a tree of its own; the series is found by its UID.
    """
    folders, papers = _walk(root)
    series = _series(folders, cache)
    entries: list[Entry] = []
    problems: list[Problem] = []
    others, number, seen = 0, 0, dict[str, str]()
    for path in papers:
        name = str(path.relative_to(root))
        try:
            reading = read_xml(path)
            if reading is None:
                others += 1
                continue
            if _again(reading, path, seen):
                continue
            here = _slices(reading, series, cache)
        except Unreadable as error:
            number += 1
            problems.append(Problem(number, name, error.what, error.remedy))
            continue
        for nodule in nodules(reading.marks):
            number += 1
            entries.append(_entry(number, f"{name} nodule {number}", nodule, here))
    notes = (f"{others:,} XML files of another kind were passed over",) if others else ()
    return Found(tuple(entries), tuple(problems), notes)


def _walk(root: Path) -> tuple[dict[Path, list[str]], list[Path]]:
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
    found: dict[str, tuple[Path, list[str]]] = {}
    for folder, names in folders.items():
        for name in names:
            header = headers_of(folder, [name], cache).get(name)
            if header is not None:
                found.setdefault(header.series, (folder, names))
                break
    return found


def _again(reading: Reading, path: Path, seen: dict[str, str]) -> bool:
    """Whether the same file was read before. Raises Unreadable when another file reads the same series."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if reading.series not in seen:
        seen[reading.series] = digest
        return False
    if seen[reading.series] != digest:
        raise Unreadable("another XML reads the same series", "keep the later release of the two")
    return True


def _slices(
    reading: Reading, series: Mapping[str, tuple[Path, list[str]]], cache: ArrayCache
) -> dict[str, tuple[Path, SliceHeader]]:
    """SOP instance UID -> file and header, of the series that a reading is of."""
    if reading.series not in series:
        raise Unreadable("the series that it reads is not there", "download the series, or take the XML out")
    folder, names = series[reading.series]
    headers = headers_of(folder, names, cache)
    return {header.uid: (folder / name, header) for name, header in headers.items()}


def _entry(number: int, name: str, nodule: Nodule, slices: Mapping[str, tuple[Path, SliceHeader]]) -> Entry:
    middle = nodule.middle()
    if middle is None:
        what = "half of its readers agree on no pixel"
        return Entry(number, name, nodule, what=what, remedy="leave it out, or ask for more readers")
    uid, codes = middle
    if uid not in slices:
        what = "the slice that it is outlined on is not in its series"
        return Entry(number, name, nodule, what=what, remedy="download the series whole")
    path, header = slices[uid]
    entry = Entry(number, name, nodule, path, header, codes)
    if not header.patient:
        return _bad(entry, "its slice names no patient", "download the series again")
    if not (header.row_mm > 0 and header.column_mm > 0):
        return _bad(entry, "its slice does not say its pixels' size", "download the series again")
    return entry


def _bad(entry: Entry, what: str, remedy: str) -> Entry:
    return Entry(entry.number, entry.name, entry.nodule, entry.path, entry.header, what=what, remedy=remedy)
