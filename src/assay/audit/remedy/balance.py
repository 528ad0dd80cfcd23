"""Balance rows: choose those in which a finding of an audit, or a column, is independent of the class."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

from assay.audit.compare import require_audit
from assay.audit.prepared import IMAGES, new_folder
from assay.audit.remedy.tables import balanced_columns, rows_by_number, write_frame
from assay.core.errors import DataError, SpecError, unknown_name
from assay.core.registry import code_of_folder
from assay.core.seeds import generator
from assay.core.types import FactorTable
from assay.data.files.listing import Listing
from assay.data.files.load import listing_of
from assay.spec.request import parse_request
from assay.spec.schema import DataSpec
from assay.stats.groups import MAX_LEVELS, rows_by_level
from assay.store.folder import RunFolder, received_folder
from assay.store.local import require_paths
from assay.store.manifest import is_ours
from assay.store.soundness import Soundness

MIN_CELL_IMAGES = 5
"""Images of a class and a level, below which more should be collected."""


def balanced_positions(target: Int[np.ndarray, " n"], carry: Bool[np.ndarray, " n"]) -> Int[np.ndarray, " k"]:
    """Return positions of as many images with the mark as without it in each class, by chance."""
    cells = [
        np.flatnonzero((target == code) & (carry == with_it)) for code in np.unique(target) for with_it in (False, True)
    ]
    least, draws = min(map(len, cells)), generator(0, "balanced")
    return np.sort(np.concatenate([draws.permutation(cell)[:least] for cell in cells]))


@dataclass(frozen=True, slots=True)
class RareCell:
    """A class and a level of a column with few images.

    Attributes:
        name: The class.
        level: The level.
        images: Their number.
        others: Images of other classes with this level.
    """

    name: str
    level: str
    images: int
    others: int


@dataclass(frozen=True, slots=True)
class ColumnCounts:
    """Counts of a column that was balanced.

    Attributes:
        in_training: Whether these are training images.
        images: Images with a value in the column.
        balanced: Rows that were listed.
        levels: Level -> its rows that were listed, and those that it has.
        rare: Classes and levels with few images.
    """

    in_training: bool
    images: int
    balanced: int
    levels: Mapping[str, tuple[int, int]]
    rare: Sequence[RareCell]


def open_sound_audit(root: Path) -> RunFolder:
    """Return the folder of an audit, after checks of its files.

    Raises:
        SpecError: The folder holds no audit.
        StoreError: The folder is damaged.
    """
    received_folder.set(None if is_ours(root) else root)
    folder = RunFolder(root)
    require_audit(folder)
    Soundness(folder).require()
    return folder


def balance_column(audit: Path, out: Path, column: str) -> ColumnCounts:
    """Write rows of the images of an audit in which a column is independent of the class, as many as there can be.

    Each level keeps images of the classes in the proportion of the whole set, by chance.

    Args:
        audit: The folder of the audit.
        out: The file, in a new or empty folder, which gets `images/`, too.
        column: A column that was audited.

    Raises:
        SpecError: The folder holds no audit, or its images have no such column.
        DataError: Rows cannot be read, or none that can has a value in the column.
        StoreError: The folder is damaged.
    """
    request = open_sound_audit(audit).document()["request"]
    columns, in_training = balanced_columns(request["data"], request["train"]), request["train"] is not None
    if column not in columns:
        raise SpecError(
            unknown_name("column of the audit", column, columns)
            if columns
            else f"{audit} audited no column that its {'training images' if in_training else 'images'} have in a table"
        )
    data = request["train"] if in_training else request["data"]
    require_paths(audit, data, "make the audit again here")
    factors = {**data.get("factors", {}), column: request["data"]["factors"][column]}
    with code_of_folder():
        spec = parse_request({**data, "factors": factors}, {"all": {}}, ("performance",), request["task"]).data
    listing = listing_of(spec)
    target, levels = _target_and_levels(listing, column)
    if not any(rows.any() for rows in levels.values()):
        raise DataError(f"no image that could be read has a value in column '{column}'")
    chosen = _independent_positions(target, list(levels.values()))
    _write_rows(spec, listing.frame["image"].iloc[chosen], out)
    sizes = {level: (int(rows[chosen].sum()), int(rows.sum())) for level, rows in levels.items()}
    images = sum(number for _, number in sizes.values())
    return ColumnCounts(in_training, images, len(chosen), sizes, _rare_cells(listing.classes, target, levels))


def _target_and_levels(
    listing: Listing, column: str
) -> tuple[Int[np.ndarray, " n"], Mapping[str, Bool[np.ndarray, " n"]]]:
    """Return the class of each row, and the rows of each level. Raises SpecError without classes."""
    if listing.target is None:
        raise SpecError("the classes of these images come from their masks: balance the table yourself")
    rows = np.arange(len(listing))
    table = FactorTable(rows, listing.target, rows, listing.classes, listing.factors, listing.columns)
    levels = rows_by_level(table, column)
    if len(levels) > MAX_LEVELS:
        raise SpecError(f"column '{column}' has {len(levels)} values, and at most {MAX_LEVELS} can be balanced")
    return listing.target, levels


def _independent_positions(
    target: Int[np.ndarray, " n"], levels: Sequence[Bool[np.ndarray, " n"]]
) -> Int[np.ndarray, " k"]:
    """Return positions of images of each level, classes in the proportion of the whole set, as many as there can be."""
    codes, counts = np.unique(target, return_counts=True)
    shares, draws, chosen = counts / len(target), generator(0, "balanced column"), [np.array([], dtype=np.int64)]
    for rows in levels:
        cells = [np.flatnonzero(rows & (target == code)) for code in codes]
        total = min(len(cell) / share for cell, share in zip(cells, shares, strict=True))
        sizes = np.floor(total * shares + 1e-9).astype(int)
        if min(sizes) > 0:
            chosen += [draws.permutation(cell)[:size] for cell, size in zip(cells, sizes, strict=True)]
    return np.sort(np.concatenate(chosen))


def _rare_cells(
    classes: Sequence[str], target: Int[np.ndarray, " n"], levels: Mapping[str, Bool[np.ndarray, " n"]]
) -> list[RareCell]:
    return [
        RareCell(classes[int(code)], level, count, int(rows.sum()) - count)
        for level, rows in levels.items()
        for code in np.unique(target)
        if (count := int((rows & (target == code)).sum())) < MIN_CELL_IMAGES
    ]


def _write_rows(data: DataSpec, files: pd.Series[Any], out: Path) -> None:
    """Write rows of the original table, and their images next to it: hard links, which take no room.

    Args:
        data: Where the table is.
        files: Number of a row -> its image.
        out: The file to write.
    """
    table = rows_by_number(data, files.index.tolist())
    table[data.image] = [f"{IMAGES}/{name}" for name in table[data.image].str.replace("\\", "/")]
    with new_folder(out.parent / IMAGES):
        for name, file in dict(zip(table[data.image].tolist(), files.tolist(), strict=True)).items():
            copy = out.parent / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            try:
                _link_or_copy(file, copy)
            except FileExistsError:  # as `a\\b` and `a/b` are, or on some disks `A` and `a`
                raise DataError(f"two images of the table would be written to {copy}: rename one of them") from None
    write_frame(out, table)


def _link_or_copy(file: Path, copy: Path) -> None:
    """Write a new file, never into one that is there: it may be a link to another image. Raises FileExistsError."""
    try:
        os.link(os.path.realpath(file), copy)
    except FileExistsError:
        raise
    except OSError:  # another file system
        with file.open("rb") as source, copy.open("xb") as target:
            shutil.copyfileobj(source, target)
