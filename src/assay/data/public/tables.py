"""Public sets that publish their labels in tables: each is a converter to rows in common words."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import numpy as np
import pandas as pd
from pydantic import Field

from assay.core.errors import DataError, SpecError
from assay.core.files import is_file, is_folder
from assay.core.registry import Role, component
from assay.core.traits import DataTraits
from assay.core.types import Factor
from assay.data.cache import ArrayCache
from assay.data.dataset import Dataset
from assay.data.files.build import from_files
from assay.data.files.listing import Listing, factors_of, frame_of, located, same_image
from assay.data.files.table import (
    Problem,
    TextTable,
    Unreadable,
    absent,
    chosen,
    expand,
    problems_of,
    read_table,
    stacked,
    unread,
)
from assay.data.public.sets import SETS, KnownSet
from assay.spec.schema import DataSpec

SetFolder = Annotated[
    str, Role("folder"), Field(min_length=1, description="the folder into which the set was unpacked")
]
SPLIT = Factor("split", "categorical", levels=("train", "validation", "test"), description="as its makers divide it")
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
_PLACE = "data.dataset"

Finder = Callable[[str], Path]
"""Image's name -> its file. Raises Unreadable."""
Loader = TypeVar("Loader", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class RowClasses:
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


@dataclass(frozen=True, slots=True)
class SetRows:
    """Rows of a set in common words.

    Args:
        table: Its columns are `image`, `patient`, the factors, the labels, and `split` where it is known.
        sides: Classes of the chosen rows. Raises SpecError or DataError.
        find: Finder of a row's image.
        warnings: Faults of this copy of the set.
    """

    table: TextTable
    sides: Callable[[pd.DataFrame], RowClasses]
    find: Finder
    warnings: tuple[str, ...] = ()


def public_set(
    name: str,
    factors: tuple[Factor, ...] | None = None,
    *,
    ordered: bool = False,
    split_files: str = "the makers' own lists",
) -> Callable[[Callable[[Any, bool], SetRows]], Callable[..., Dataset]]:
    """Declare a converter as the dataset of this name, whose facts are in `sets.toml`.

    The converter takes its arguments, a dataclass, as `arguments`, and whether bad rows are left out.

    Args:
        factors: The factors among the columns.
        ordered: The classes are grades.
        split_files: Files that hold the makers' split, for messages.
    """

    def declare(convert: Callable[[Any, bool], SetRows]) -> Callable[..., Dataset]:
        def load(
            spec: DataSpec, cache: ArrayCache, skip_bad_rows: bool, keep_copies: bool = False, *, arguments: Any
        ) -> Dataset:
            rows = convert(arguments, skip_bad_rows)
            listing = list_rows(SETS[name], rows, spec, factors or (), split_files)
            return from_files(listing, spec, cache, skip_bad_rows, keep_copies)

        return declare_dataset(name, load, convert, DataTraits(factors=factors, ordered=ordered))

    return declare


def declare_dataset(name: str, load: Loader, place: Callable[..., Any], traits: DataTraits) -> Loader:
    """Declare a loader as the dataset of this name, found where `place` is, with the arguments of that."""
    load.__module__, load.__qualname__, load.__doc__ = place.__module__, place.__qualname__, place.__doc__
    load.__annotations__ |= {
        key: hint for key, hint in get_type_hints(place, include_extras=True).items() if key in load.__annotations__
    }
    return component("dataset", name, traits, summary=SETS[name].line)(load)


# Reading a set.


@dataclass(frozen=True, slots=True)
class TablePart:
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


def directory(text: str) -> Path:
    """Return the folder of a set. Raises SpecError when it does not exist or is a file."""
    path = expand(text, "data.dataset.folder")
    if not path.is_dir():
        raise SpecError(f"data.dataset.folder: '{text}' is a file; give the folder that holds the set")
    return path


def find_root(
    text: str,
    files: Sequence[str],
    below: Sequence[str] = (),
    hint: str = "give the folder that holds it",
    *,
    what: str = "file",
    place: str = "folder",
) -> Path:
    """Return the folder of a set: the given one, or one below, that holds any of these files or folders.

    Args:
        text: The argument `folder`.
        files: Names or patterns.
        below: Folders inside the given one in which the set may be.
        hint: Remedy where it is missing.
        what: Word for `files`.
        place: Argument that names them.

    Raises:
        SpecError: It is in none.
    """
    folder = directory(text)
    for root in (folder, *(folder / name for name in below)):
        if found_in(root, files):
            return root
    raise SpecError(f"data.dataset.{place}: {folder.name}/ has no {what} '{files[0]}'; {hint}")


def found_in(root: Path, files: Sequence[str]) -> Path | None:
    """Return the first of these files, names or patterns, or None."""
    places = (path for name in files for path in (sorted(root.glob(name)) if "*" in name else [root / name]))
    return next((path for path in places if is_file(path) or is_folder(path)), None)


def read_parts(
    root: Path, parts: Sequence[TablePart], columns: Mapping[str, str], keep: Sequence[str] = ()
) -> TextTable:
    """Read the tables of a set, with columns in common words. Rows of a second one are numbered on from the first.

    Args:
        root: The folder of the set.
        parts: Its tables; those that are there are read.
        columns: Common name -> published name; `a|b` takes the first that is there. Capitals and repeated blanks do not
            matter. The first one names rows in messages.
        keep: Published columns that are kept under their own names where they are there.
    """
    present = [(part, path) for part in parts if (path := found_in(root, part.files))]
    if not present:
        raise SpecError(f"data.dataset.folder: {root.name}/ has no tables of labels")
    named = next(iter(columns.values())).partition("|")[0]
    tables: list[TextTable] = []
    for part, path in present:
        read = _read_list(path, part.header) if part.header else read_table(path, named)
        plain = {_normalize_name(name): name for name in read.header}
        cells = {name: read.frame[_first_column(text, plain, read.name)] for name, text in columns.items()}
        frame = pd.DataFrame(cells | {name: read.frame[name] for name in keep if name in read.frame})
        if part.images:
            frame["image"] = frame["patient"] = [f"{part.split}/{name}" for name in frame["image"]]
        if part.split and (len(present) > 1 or part.images):
            frame[SPLIT.name] = part.split
        tables.append(replace(read, frame=frame))
    for table in tables[1:]:
        if set(table.header) != set(tables[0].header):
            raise DataError(
                f"{tables[0].name} and {table.name} have different columns; give both as they are published"
            )
    others = " and ".join(table.name for table in tables[1:])
    return stacked(f"{tables[0].name} and, numbered on, {others}" if others else tables[0].name, tables, headers=True)


def map_columns(table: TextTable, **columns: Callable[[str], str]) -> TextTable:
    """Return the table with each cell of these columns replaced by what its function returns."""
    changed = {name: [change(cell) for cell in table.frame[name]] for name, change in columns.items()}
    return replace(table, frame=table.frame.assign(**changed))


def _first_column(names: str, columns: Mapping[str, str], table: str) -> str:
    for name in names.split("|"):
        if _normalize_name(name) in columns:
            return columns[_normalize_name(name)]
    raise DataError(f"{table} has no column '{names.partition('|')[0]}'; give the table as published")


def _normalize_name(name: str) -> str:
    return " ".join(name.casefold().split())


def _read_list(path: Path, header: tuple[str, ...]) -> TextTable:
    """A list of `name label` without a header, or a folder of images, as a table whose first row is 1."""
    if path.is_dir():
        names = sorted(image.stem for image in path.iterdir() if image.suffix.casefold() in SUFFIXES)
        return TextTable(f"{path.name}/", pd.DataFrame(names, range(1, len(names) + 1), header, dtype=object))
    split = [line.strip().rpartition(" ") for line in path.read_text(encoding="utf-8-sig").splitlines()]
    rows = {number: (name.strip(), label) for number, (name, _, label) in enumerate(split, 1) if name}
    return TextTable(path.name, pd.DataFrame(list(rows.values()), list(rows), header, dtype=object))


def finder(root: Path, deep: int = 3) -> Finder:
    """Return a finder of images up to so many folders below.

    A name is looked for as it is, and then without its ending and in any case. `joins.match` is not for it: tables of
    public sets name a part of the images on purpose, and millions are found without comparing both sides.
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


def finder_by_part(root: Path, parts: Sequence[TablePart]) -> Finder:
    """Return a finder of images called `split/name`, in the folder of the part of this split."""
    finders = {part.split: finder(root / part.images, 1) for part in parts if found_in(root, part.files)}

    def find(name: str) -> Path:
        part, _, stem = name.partition("/")
        return finders[part](stem)

    return find


# From the rows of a set to a listing of the ones that the study uses.


def list_rows(
    published: KnownSet, rows: SetRows, spec: DataSpec, factors: Sequence[Factor] = (), split_files: str = ""
) -> Listing:
    """List the rows that `where` chooses and that belong to a class.

    Rows that are not used are not judged, and their images need not be there.

    Args:
        published: Facts about the set.
        rows: Its rows.
        spec: The data of the study.
        factors: The factors among the columns.
        split_files: Files that hold the makers' split, for messages.
    """
    table = chosen(rows.table, spec.where)
    if not len(table) and not table.problems:
        raise SpecError(f"data.where: no row of {table.name} fits")
    try:
        classes = rows.sides(table.frame)
    except DataError as error:
        if not table.problems:
            raise
        raise DataError(f"{error}; {unread(table)}") from error
    problems = problems_of(table, table.column("image", _PLACE), dict(classes.wrong))
    used = classes.codes >= 0
    used[list(classes.wrong)] = True
    table = replace(table, frame=table.frame[used])
    names, patients = table.column("image", _PLACE), table.column("patient", _PLACE)
    problems += [
        Problem(number, name, "its patient is not given", "say whose image it is")
        for number, name, patient in zip(table.numbers, names, patients, strict=True)
        if absent(patient)
    ]
    set_factors, columns = _set_factors(factors, split_files, spec, table, problems)
    images = located(table, names, rows.find, problems)
    target = classes.codes[used]
    problems += same_image(table, images, target, classes.classes, "line", names)
    listing = Listing(
        title=published.title,
        where=table.name,
        word="line",
        frame=frame_of(table.numbers, name=names, image=images, target=target, patient=patients),
        classes=classes.classes,
        factors=set_factors,
        columns=columns,
        problems=table.problems,
        facts=classes.facts,
        warnings=(*rows.warnings, *classes.warnings),
        about=published,
        lost=table.lost,
    )
    return listing.drop(problems)[0]


def _set_factors(
    declared: Sequence[Factor], split_files: str, spec: DataSpec, table: TextTable, problems: list[Problem]
) -> tuple[tuple[Factor, ...], dict[str, np.ndarray]]:
    names = table.column("image", _PLACE)
    if SPLIT.name in table.header:
        declared = (*declared, SPLIT)
    elif spec.split.column == SPLIT.name:
        raise SpecError(
            f"data.split.column: the set's own split is in {split_files}, which the folder lacks; put it there, or "
            "divide by folds or shares"
        )
    factors, columns = factors_of(declared, table, names, problems)
    if spec.split.column == SPLIT.name:
        outside = np.flatnonzero(columns[SPLIT.name] < 0).tolist()
        what, remedy = f"its part is not given by {split_files}", "divide by folds or shares"
        problems += problems_of(table, names, dict.fromkeys(outside, (what, remedy)))
    return factors, columns
