"""`assay audit remedy`: take what an audit found out of its images or rows, and print what to do next."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from assay.audit.remedy.balance import ColumnCounts, RareCell, balance_column
from assay.audit.remedy.run import BALANCED, COVERED, RemedyCounts, remedy
from assay.audit.search.words import ANEW, equalized_words, what_words
from assay.core.errors import SpecError
from assay.core.files import typed_path
from assay.core.terminal import paths_spelled, print_lines
from assay.execution.progress import reading_shown
from assay.store.folder import RunFolder

TEST_IMAGES = "these are the test images: do not train on them. Audit again with --train to {do} the training images"


def remedy_command(audit: Path, folder: Path, *, column: str, swap: bool, is_quiet: bool) -> None:
    """Take what an audit found out of its images, or balance a column, and print what to do next.

    Raises:
        SpecError: The folder holds no audit, nothing with a remedy was found, or the new folder is not empty.
        DataError: The images changed since.
    """
    if column:
        if swap:
            raise SpecError("--swap is for a mark, and --column for a column: give one of them")
        lines = list(_column_lines(balance_column(audit, folder / BALANCED, column), column, audit, folder))
    else:
        with reading_shown(quiet=is_quiet) as on_progress:
            counts = remedy(audit, folder, swapped=swap, on_progress=on_progress)
        lines = list(_image_lines(counts, audit, folder))
    with paths_spelled([str(audit), str(folder), *_paths_of_images(audit)]):
        print_lines(lines)


def _paths_of_images(audit: Path) -> Iterator[str]:
    """Yield the paths of tables and folders that the command of an audit names."""
    request = RunFolder(audit).document()["request"]
    sources: list[dict[str, Any]] = [request["data"], request["train"] or {}]
    for data in sources:
        yield from (str(data[key]) for key in ("folder", "classes") if data.get(key))
        if data.get("folder") and data.get("table"):
            yield str(Path(data["folder"]) / str(data["table"]))


def _image_lines(counts: RemedyCounts, audit: Path, folder: Path) -> Iterator[str]:
    row = counts.marks[0].row
    is_whole = row["of"] == "whole"
    if not row["trained"]:
        yield TEST_IMAGES.format(do="change" if is_whole else "cover")
    searched = f"{counts.searched:,} images that were searched, and perhaps on others"
    carried = [f"{what_words(mark.row)} is on {mark.carry.sum():,} of {searched}" for mark in counts.marks]
    yield from dict.fromkeys(carried if counts.searched else ())
    without = f"{counts.donors:,} without it" if len(carried) == 1 else "others without them"
    share = f"{100 * counts.share:.0f}% of each image covered by that of {without}"
    yield f"{folder / COVERED}: {counts.images:,} images, {equalized_words(row) if is_whole else share}"
    if counts.searched:
        absent = "since all images of a class carry it, or none do: collect images of each class with and without it"
        balance = f"{what_words(counts.by.row)} on half of each class" if counts.balanced else absent
        yield f"{folder / BALANCED}: {counts.balanced:,} of {counts.searched:,} rows, {balance}"
    if counts.doubtful:
        yield "caution: what the page shows with it looks drawn, and is on all images now: look whether --swap is right"
    if row["trained"]:
        yield from _next_lines(audit, folder / COVERED)


def _column_lines(counts: ColumnCounts, column: str, audit: Path, folder: Path) -> Iterator[str]:
    if not counts.trained:
        yield TEST_IMAGES.format(do="balance")
    levels = ", ".join(f"{level} ({listed:,} of {images:,})" for level, (listed, images) in counts.levels.items())
    rows = f"{counts.balanced:,} of {counts.images:,} rows"
    yield f"{folder / BALANCED}: {rows}, {column} independent of the class: {levels}"
    yield from (_collect(cell, column) for cell in counts.rare)
    if counts.trained and counts.balanced:
        yield from _next_lines(audit, folder / BALANCED)


def _collect(cell: RareCell, column: str) -> str:
    verb = "is" if cell.images == 1 else "are"
    return (
        f"collect images of class '{cell.name}' with {column}={cell.level}: there {verb} {cell.images}, of the others "
        f"{cell.others:,}"
    )


def _next_lines(audit: Path, table: Path) -> Iterator[str]:
    """Yield what a user does after a remedy: retrain, audit the new model in the same way, and compare."""
    facts = {str(row["key"]): str(row["value"]) for row in RunFolder(audit).table("provenance")}
    line = re.sub(r"^(assay audit )(?!-)(?:'[^']*'|\S)+", r"\1NEW", facts.get("command", ANEW))
    new = typed_path(audit.parent / f"{audit.name}-retrained")
    yield f"retrain on {table}, then: {line} --out {new}"
    yield f"and compare: assay audit compare {typed_path(audit)} {new}"
