"""Public sets that publish their labels in tables: one reader for all, each set a table of its columns."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from assay.core.errors import DataError, SpecError
from assay.core.files import is_file, is_folder
from assay.core.types import Factor
from assay.data.cache import ArrayCache
from assay.data.dataset import Dataset
from assay.data.files.build import from_files
from assay.data.files.masks import Listing
from assay.data.files.table import (
    LACKING,
    Problem,
    Table,
    Torn,
    Unreadable,
    absent,
    chosen,
    expand,
    factor_column,
    patient_codes,
    problems_of,
    read_table,
)
from assay.data.public.sets import KnownSet
from assay.spec.schema import DataSpec, FactorSpec

SPLIT = Factor("split", "categorical", levels=("train", "validation", "test"), description="as its makers divide it")
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
_PLACE = "data.dataset"

# What a set declares.

Finder = Callable[[str], Path]
"""Image's name -> its file. Raises Unreadable."""


class Published(Protocol):
    """Arguments of a public set."""

    @property
    def folder(self) -> str:
        """The folder of the set."""
        ...


Asked = TypeVar("Asked", bound=Published)


@dataclass(frozen=True, slots=True)
class Part:
    """A table of a set, with the images that it names.

    Args:
        files: Names or patterns of the table, below the set's folder; the first that is there is read.
        split: The makers' part that all rows are.
        images: Folder of the part's images. An image is then called `split/name`, since names repeat between parts.
        header: Columns of a list without a header, whose cells are separated by the last blank of a line; or of a
            folder of images, whose names are the only column.
    """

    files: tuple[str, ...]
    split: str = ""
    images: str = ""
    header: tuple[str, ...] = ()


class Column:
    """A common column: the published columns that it is made of, and how.

    Args:
        sources: Published names; `a|b` takes the first that is there. Capitals and repeated blanks do not matter.
        cell: Cell of the only source -> cell of the column; as it is by default.
        joined: Cells of all sources -> cell of the column.
    """

    def __init__(
        self,
        *sources: str,
        cell: Callable[[str], str] | None = None,
        joined: Callable[[tuple[str, ...]], str] | None = None,
    ) -> None:
        self.sources = [source.split("|") for source in sources]
        self._cell = cell
        self._joined = joined

    def read(self, table: Table) -> tuple[str, ...]:
        """Compute the column. Raises DataError when a source is missing."""
        plain = {_plain(name): name for name in table.header}
        cells = [table.column(_first(names, plain, table.name), _PLACE) for names in self.sources]
        if self._joined:
            return tuple(map(self._joined, zip(*cells, strict=True)))
        return tuple(map(self._cell, cells[0])) if self._cell else cells[0]


def _first(names: Sequence[str], there: Mapping[str, str], table: str) -> str:
    found = next((there[_plain(name)] for name in names if _plain(name) in there), None)
    if found is None:
        raise DataError(f"{table} has no column '{names[0]}'; give the table as published")
    return found


def _plain(name: str) -> str:
    return " ".join(name.casefold().split())


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a set in common words: `image`, `patient`, the factors, the labels, and `split` where it is known.

    Args:
        table: The rows.
        find: Finder of a row's image.
        warnings: Doubts about this copy of the set.
    """

    table: Table
    find: Finder
    warnings: tuple[str, ...] = ()

    def with_column(self, name: str, cells: Sequence[str], *warnings: str) -> Rows:
        """Add or replace a column."""
        columns = {each: self.table.column(each, _PLACE) for each in self.table.header} | {name: tuple(cells)}
        return Rows(_table_of(self.table, columns), self.find, (*self.warnings, *warnings))


@dataclass(frozen=True, slots=True)
class Sides:
    """Classes of rows.

    Args:
        codes: Class of each row, int64 [n], -1 where the study does not use it.
        classes: Names of the classes.
        facts: Facts for the card.
        warnings: Faults for the card.
        wrong: Position of a row whose label cannot be right -> the problem and the remedy.
    """

    codes: np.ndarray
    classes: tuple[str, ...]
    facts: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    wrong: Mapping[int, tuple[str, str]] = field(default_factory=dict[int, tuple[str, str]])


Extend = Callable[[Rows, Path, Any, bool], Rows]
"""Rows, folder, arguments and whether bad rows are left out -> the rows with more columns or warnings."""


@dataclass(frozen=True, kw_only=True)
class TableSet(Generic[Asked]):
    """A public set as its makers publish it.

    Args:
        title: Name of the set.
        about: Summary, license, source and known faults.
        parts: Tables; the first must be there, unless each has a folder of images.
        columns: Common name -> column of the tables.
        sides: Classes of the chosen rows. Raises SpecError or DataError.
        check: Check of the arguments before anything is read. Raises SpecError.
        findings: Published columns that are kept under their own names where they are there.
        factors: The factors among the columns.
        split_files: Files that hold the makers' split, for messages.
        below: Folders inside the given one in which the set may be.
        needed: Folder or file by which the place is recognized; the first part's table by default.
        hint: Remedy where it is missing.
        place: Argument that names it.
        find: Folder -> finder of the images.
        extend: Columns from further files.
        warnings: Faults of every copy.
    """

    title: str
    about: KnownSet
    parts: tuple[Part, ...]
    columns: Mapping[str, Column]
    sides: Callable[[Asked, Table], Sides]
    check: Callable[[Asked], None] | None = None
    findings: tuple[str, ...] = ()
    factors: tuple[Factor, ...] = ()
    split_files: str = "the makers' own lists"
    below: tuple[str, ...] = ()
    needed: str = ""
    hint: str = "give the folder that holds it"
    place: str = "folder"
    find: Callable[[Path], Finder] | None = None
    extend: Extend | None = None
    warnings: tuple[str, ...] = ()


# Reading a set.


def load_tables(
    known: TableSet[Asked], spec: DataSpec, cache: ArrayCache, skip_bad_rows: bool, asked: Asked
) -> Dataset:
    """Load a set that is described by its tables.

    Rows of a second table are numbered on from the last of the first.

    Raises:
        SpecError: A missing file, an argument that does not fit the set, or a label whose meaning was not stated.
        DataError: Bad rows, all of them.
    """
    if known.check:
        known.check(asked)
    rows = rows_of(known, directory(asked.folder), asked, skip_bad_rows)
    return from_files(
        listing_of(known, rows, spec, lambda table: known.sides(asked, table)), spec, cache, skip_bad_rows
    )


def directory(text: str) -> Path:
    """Return the folder of a set. Raises SpecError when it does not exist or is a file."""
    path = expand(text, "data.dataset.folder")
    if not path.is_dir():
        raise SpecError(f"data.dataset.folder: '{text}' is a file; give the folder that holds the set")
    return path


def file_of(root: Path, files: Sequence[str], hint: str) -> Path:
    """Return the first of these files, names or patterns. Raises SpecError where none is there."""
    found = found_in(root, files)
    if found is None:
        raise SpecError(f"data.dataset.folder: {root.name}/ has no file '{files[0]}'; {hint}")
    return found


def found_in(root: Path, files: Sequence[str]) -> Path | None:
    """Return the first of these files, or None."""
    places = (path for name in files for path in (sorted(root.glob(name)) if "*" in name else [root / name]))
    return next((path for path in places if is_file(path) or is_folder(path)), None)


def place_of(known: TableSet[Any], folder: Path) -> Path:
    """Return the folder in which the set is: the given one, or one below. Raises SpecError where it is in none."""
    places = (folder, *(folder / name for name in known.below))
    root = next((place for place in places if _fits(known, place)), None)
    if root is None:
        what = f"folder '{known.needed}'" if known.needed else f"file '{known.parts[0].files[0]}'"
        raise SpecError(f"data.dataset.{known.place}: {folder.name}/ has no {what}; {known.hint}")
    return root


def rows_of(known: TableSet[Any], folder: Path, asked: Any, skip_bad_rows: bool) -> Rows:
    """Read the tables of a set as rows in common words. Raises SpecError and DataError as `load_tables` does."""
    root = place_of(known, folder)
    there = [(part, path) for part in known.parts if (path := found_in(root, part.files))]
    if not there:
        raise SpecError(f"data.dataset.folder: {folder.name}/ has no tables of labels in '{known.needed}'")
    by_part = {part.split: finder(root / part.images, 1) for part, _ in there if part.images}
    divided = len(there) > 1 or bool(by_part)
    table = _joined([_common(known, part, path, divided) for part, path in there])
    find = _by_part(by_part) if by_part else known.find(root) if known.find else finder(root)
    rows = Rows(table, find, known.warnings)
    return known.extend(rows, root, asked, skip_bad_rows) if known.extend else rows


def _fits(known: TableSet[Any], root: Path) -> bool:
    if known.needed:
        return (root / known.needed).is_dir()
    parts = known.parts if known.parts[0].images else known.parts[:1]
    return any(found_in(root, part.files) for part in parts)


def _common(known: TableSet[Any], part: Part, path: Path, divided: bool) -> Table:
    read = _listed(path, part.header) if part.header else read_table(path, known.columns["image"].sources[0][0])
    common = _table_of(read, _cells(known, part, read, divided))
    if not read.torn:
        return common
    rows = tuple(row for line in read.torn for row in line.rows)
    made = iter(_table_of(read, _cells(known, part, replace(read, rows=rows), divided)).rows)
    return replace(common, torn=tuple(Torn(line.row, tuple(next(made) for _ in line.rows)) for line in read.torn))


def _cells(known: TableSet[Any], part: Part, read: Table, divided: bool) -> dict[str, tuple[str, ...]]:
    cells = {name: column.read(read) for name, column in known.columns.items()}
    cells |= {name: read.column(name, _PLACE) for name in known.findings if name in read.header}
    if part.images:
        named = tuple(f"{part.split}/{name}" for name in cells["image"])
        cells |= {"image": named, "patient": named}
    if divided and part.split:
        cells[SPLIT.name] = (part.split,) * len(read)
    return cells


def _listed(path: Path, header: tuple[str, ...]) -> Table:
    """A list of `name label` without a header, or a folder of images, as a table whose first row is 1."""
    if path.is_dir():
        names = sorted(image.stem for image in path.iterdir() if image.suffix.casefold() in SUFFIXES)
        return Table(f"{path.name}/", header, tuple((name,) for name in names), tuple(range(1, len(names) + 1)))
    lines = enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1)
    split = [(number, line.strip().rpartition(" ")) for number, line in lines]
    rows = [(number, (name.strip(), label)) for number, (name, _, label) in split if name]
    return Table(path.name, header, tuple(row for _, row in rows), tuple(number for number, _ in rows))


def _table_of(read: Table, cells: Mapping[str, Sequence[str]]) -> Table:
    rows = tuple(zip(*cells.values(), strict=True))
    torn = tuple(Torn(line.row, tuple(_under(cells, read.header, row) for row in line.rows)) for line in read.torn)
    return replace(read, header=tuple(cells), rows=rows, torn=torn)


def _under(header: Iterable[str], before: Sequence[str], row: Sequence[str]) -> tuple[str, ...]:
    """Return a row under another header; a column that it did not have is `LACKING`."""
    cells = dict(zip(before, row, strict=True))
    return tuple(cells.get(name, LACKING) for name in header)


def _joined(tables: Sequence[Table]) -> Table:
    """Several tables as one; rows of each are numbered on from the last of the one before."""
    whole = tables[0]
    for number, table in enumerate(tables[1:]):
        if whole.header != table.header:
            raise DataError(f"{whole.name} and {table.name} have different columns; give both as they are published")
        last = max((*whole.numbers, *(max(problem.row, problem.last) for problem in whole.problems)), default=1)
        problems = [replace(one, row=one.row + last, last=one.last and one.last + last) for one in table.problems]
        whole = Table(
            f"{whole.name} and{'' if number else ', numbered on,'} {table.name}",
            whole.header,
            (*whole.rows, *table.rows),
            (*whole.numbers, *(row + last for row in table.numbers)),
            (*whole.problems, *problems),
            torn=(*whole.torn, *(replace(line, row=line.row + last) for line in table.torn)),
        )
    return whole


def finder(root: Path, deep: int = 3) -> Finder:
    """Return a finder of images up to so many folders below.

    A name is looked for as it is, and then without its ending and in any case.
    """
    folders = [root]
    level = [root]
    for _ in range(deep):
        level = sorted(Path(entry.path) for place in level for entry in os.scandir(place) if entry.is_dir())
        folders += level
    files = [Path(entry.path) for place in folders for entry in os.scandir(place) if entry.is_file()]
    images = sorted(path for path in files if path.suffix.casefold() in SUFFIXES)
    exact = {path.name: path for path in reversed(images)}
    stems = {path.stem.casefold(): path for path in reversed(images)}

    def find(name: str) -> Path:
        stem = name.rpartition(".")[0] if Path(name).suffix.casefold() in SUFFIXES else name
        path = exact.get(name) or stems.get(stem.casefold())
        if path is None:
            raise Unreadable("the file is missing", f"unpack the images into {root.name}/")
        return path

    return find


def _by_part(finders: Mapping[str, Finder]) -> Finder:
    def find(name: str) -> Path:
        part, _, own = name.partition("/")
        return finders[part](own)

    return find


# From the rows of a set to a listing of the ones that the study uses.


def listing_of(known: TableSet[Any], rows: Rows, spec: DataSpec, sides: Callable[[Table], Sides]) -> Listing:
    """List the rows that `where` chooses and that belong to a class.

    Rows that are not used are not judged, and their images need not be there.
    """
    table = chosen(rows.table, spec.where)
    if not len(table) and not table.problems:
        raise SpecError(f"data.where: no row of {table.name} fits")
    found, lost = _sides_and_lost(table, sides)
    names = table.column("image", _PLACE)
    problems = problems_of(table, names, dict(found.wrong))
    used = [code >= 0 or at in found.wrong for at, code in enumerate(found.codes.tolist())]
    target = found.codes[np.array(used, dtype=bool)]
    table = table.keep(used)
    names, patients = table.column("image", _PLACE), table.column("patient", _PLACE)
    problems += [
        Problem(number, name, "its patient is not told", "say whose image it is")
        for number, name, patient in zip(table.numbers, names, patients, strict=True)
        if absent(patient)
    ]
    factors, columns = _factors(known, spec, table, problems)
    images = _images(rows.find, table, names, problems)
    listing = Listing(
        title=known.title,
        where=table.name,
        word="line",
        numbers=table.numbers,
        names=names,
        images=images,
        masks=None,
        target=target,
        classes=found.classes,
        patient=patient_codes(patients),
        factors=factors,
        columns=columns,
        problems=table.problems,
        facts=found.facts,
        warnings=(*rows.warnings, *found.warnings),
        about=known.about,
        lost=lost,
    )
    return listing.drop(problems)[0]


def _sides_and_lost(table: Table, sides: Callable[[Table], Sides]) -> tuple[Sides, dict[int, int]]:
    """Return the classes of the rows, and of the lines with too few or too many cells: line -> class, -1 if unknown.

    A line that can be read as a row of no class is not counted.
    """
    rows = tuple(row for line in table.torn for row in line.rows)
    numbers = tuple(line.row for line in table.torn for _ in line.rows)
    if not rows:
        return sides(table), {}
    try:
        whole = sides(replace(table, rows=(*table.rows, *rows), numbers=(*table.numbers, *numbers), torn=()))
    except (DataError, SpecError):
        return sides(table), dict.fromkeys(numbers, -1)
    codes: dict[int, list[int]] = {number: [] for number in numbers}
    for at, number in enumerate(numbers, start=len(table)):
        if at not in whole.wrong:
            codes[number].append(int(whole.codes[at]))
    read = {number: next((code for code in found if code >= 0), None) for number, found in codes.items()}
    lost = {
        number: -1 if code is None else code for number, code in read.items() if code is not None or not codes[number]
    }
    try:
        return sides(table), lost
    except DataError:
        kept = whole.codes[: len(table)]
        if set(lost.values()) <= {-1, *kept.tolist()}:
            raise
        return replace(whole, codes=kept, wrong={at: one for at, one in whole.wrong.items() if at < len(table)}), lost


def _factors(
    known: TableSet[Any], spec: DataSpec, table: Table, problems: list[Problem]
) -> tuple[tuple[Factor, ...], dict[str, np.ndarray]]:
    names = table.column("image", _PLACE)
    declared = list(known.factors)
    if SPLIT.name in table.header:
        declared.append(SPLIT)
    elif spec.split.column == SPLIT.name:
        raise SpecError(
            f"data.split.column: the set's own split stands in {known.split_files}, which the folder lacks; "
            "put it there, or divide by folds or shares"
        )
    made: list[Factor] = []
    columns: dict[str, np.ndarray] = {}
    for factor in declared:
        wanted = FactorSpec(kind=factor.kind, unit=factor.unit, levels=factor.levels)
        found, values, wrong = factor_column(factor.name, wanted, table.column(factor.name, _PLACE))
        high = tuple(level for level in factor.high if level in found.levels)
        made.append(replace(factor, levels=found.levels, high=high))
        columns[factor.name] = values
        problems += problems_of(table, names, wrong)
    if spec.split.column == SPLIT.name:
        outside = np.flatnonzero(columns[SPLIT.name] < 0).tolist()
        what, remedy = f"its part is not told by {known.split_files}", "divide by folds or shares"
        problems += problems_of(table, names, dict.fromkeys(outside, (what, remedy)))
    return tuple(made), columns


def _images(find: Finder, table: Table, names: Sequence[str], problems: list[Problem]) -> tuple[Path, ...]:
    images: list[Path] = []
    first: dict[Path, int] = {}
    for line, name in zip(table.numbers, names, strict=True):
        try:
            path = find(name)
        except Unreadable as error:
            problems.append(Problem(line, name, error.what, error.remedy))
            path = Path()
        else:
            if first.setdefault(path, line) != line:
                what = f"line {first[path]} names the same image"
                problems.append(Problem(line, name, what, "keep one of them"))
        images.append(path)
    return tuple(images)
