"""`assay audit remedy`: remove what an audit found from its images or rows, and print what to do next."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from assay.audit.command import show_training
from assay.audit.compare import require_audit
from assay.audit.predictions_command import speaker
from assay.audit.remedy.balance import ColumnCounts, RareCell, balance_column
from assay.audit.remedy.retrain import Retrained, StudyNetwork, require_own_marks, retrain, study_network
from assay.audit.remedy.run import BALANCED_FILE, COVERED_FILE, RemedyCounts, rows_with_remedy, write_remedy
from assay.audit.search.words import AUDIT_COMMAND, content_words, equalized_words
from assay.core.errors import SpecError
from assay.core.files import typed_path
from assay.core.terminal import paths_spelled, print_lines
from assay.execution.progress import show_reading
from assay.execution.run import observe_nothing
from assay.report.context import PageContext
from assay.stats.format import number
from assay.stats.rows import RegionVerdict
from assay.store.folder import RunFolder

TEST_IMAGES = "these are the test images: do not train on them. Audit again with --train to {do} the training images"


def remedy_command(audit: Path, folder: Path, *, column: str, swap: bool, retrains: bool, is_quiet: bool) -> None:
    """Remove what an audit found from its images, or balance a column, and print what to do next.

    Args:
        audit: The folder of the audit.
        folder: The new folder.
        column: The column to balance, instead of images that are changed.
        swap: Whether the mark is on the images that the page shows as being without it.
        retrains: Whether the network is trained and audited again.
        is_quiet: Whether nothing is shown meanwhile.

    Raises:
        SpecError: The folder holds no audit, nothing with a remedy was found, or the new folder is not empty.
        DataError: The images changed since.
        StoreError: The folder is damaged, or has words for another program in place of its command.
    """
    require_audit(RunFolder(audit))
    _next_commands(audit)  # is refused before anything is written
    if column:
        if swap or retrains:
            raise SpecError(f"{'--swap' if swap else '--retrain'} is for what was found in images, not for --column")
        lines = _column_lines(balance_column(audit, folder / BALANCED_FILE, column), column, audit, folder)
    else:
        network = _trained_network(audit) if retrains else None
        with show_reading(quiet=is_quiet) as on_progress:
            counts = write_remedy(audit, folder, swapped=swap, on_progress=on_progress)
        lines = _image_lines(counts, audit, folder, is_last=network is None)
        if network is not None:
            watch = observe_nothing if is_quiet else show_training
            attempts = retrain(network, audit, folder, counts, watch, speaker(is_quiet))
            lines = chain(lines, _retrained_lines(counts, attempts))
    with paths_spelled([str(audit), str(folder), *_paths_of_images(audit)]):
        print_lines(lines)


def _trained_network(audit: Path) -> StudyNetwork:
    """Return the network of an audit. Raises SpecError with what to do instead where it cannot be trained here."""
    require_own_marks(audit)
    rows_with_remedy(RunFolder(audit))
    try:
        return study_network(audit)
    except SpecError as error:
        retrained, compare = _next_commands(audit)
        raise SpecError(
            f"{error}. Leave --retrain out, retrain the model yourself, then: {retrained}, and compare: {compare}"
        ) from error


def _paths_of_images(audit: Path) -> Iterator[str]:
    """Yield the paths of tables and folders that the command of an audit names."""
    request = RunFolder(audit).document()["request"]
    sources: list[dict[str, Any]] = [request["data"], request["train"] or {}]
    for data in sources:
        yield from (str(data[key]) for key in ("folder", "classes") if data.get(key))
        if data.get("folder") and data.get("table"):
            yield str(Path(data["folder"]) / str(data["table"]))


def _image_lines(counts: RemedyCounts, audit: Path, folder: Path, *, is_last: bool) -> Iterator[str]:
    row = counts.findings[0].row
    is_whole = row["of"] == "whole"
    if not row["trained"]:
        yield TEST_IMAGES.format(do="change" if is_whole else "cover")
    searched = f"{counts.searched:,} images that were searched, and perhaps on others"
    carried = [f"{content_words(mark.row)} is on {mark.carry.sum():,} of {searched}" for mark in counts.findings]
    yield from dict.fromkeys(carried if counts.searched else ())
    without = f"{counts.donors:,} without it" if len(carried) == 1 else "others without them"
    share = f"{100 * counts.share:.0f}% of each image covered by that of {without}"
    yield f"{folder / COVERED_FILE}: {counts.images:,} images, {equalized_words(row) if is_whole else share}"
    if counts.searched:
        absent = "since all images of a class carry it, or none do: collect images of each class with and without it"
        balance = f"{content_words(counts.balanced_by.row)} on half of each class" if counts.balanced else absent
        yield f"{folder / BALANCED_FILE}: {len(counts.balanced):,} of {counts.searched:,} rows, {balance}"
    if counts.swap_is_doubtful:
        yield "caution: what the page shows with it looks drawn, and is on all images now: look whether --swap is right"
    if row["trained"] and is_last:
        yield from _next_lines(audit, folder / COVERED_FILE)


def _column_lines(counts: ColumnCounts, column: str, audit: Path, folder: Path) -> Iterator[str]:
    if not counts.in_training:
        yield TEST_IMAGES.format(do="balance")
    levels = ", ".join(f"{level} ({listed:,} of {images:,})" for level, (listed, images) in counts.levels.items())
    rows = f"{counts.balanced:,} of {counts.images:,} rows"
    yield f"{folder / BALANCED_FILE}: {rows}, {column} independent of the class: {levels}"
    yield from (_collect(cell, column) for cell in counts.rare)
    if counts.in_training and counts.balanced:
        yield from _next_lines(audit, folder / BALANCED_FILE)


def _collect(cell: RareCell, column: str) -> str:
    verb = "is" if cell.images == 1 else "are"
    return (
        f"collect images of class '{cell.name}' with {column}={cell.level}: there {verb} {cell.images}, of the others "
        f"{cell.others:,}"
    )


def _next_lines(audit: Path, table: Path) -> Iterator[str]:
    """Yield what a user does after a remedy: retrain, audit the new model in the same way, and compare."""
    retrained, compare = _next_commands(audit)
    yield f"retrain on {table}, then: {retrained}"
    yield f"and compare: {compare}"


def _next_commands(audit: Path) -> tuple[str, str]:
    """Return the commands that audit a retrained model, and compare it with the first.

    Raises:
        StoreError: The audit has words for another program in place of its command.
    """
    line = PageContext.of(audit).facts.get("command", AUDIT_COMMAND)
    line = re.sub(r"^(assay audit )(?!-)(?:'[^']*'|\S)+", r"\1NEW", line)
    new = typed_path(audit.parent / f"{audit.name}-retrained")
    return f"{line} --out {new}", f"assay audit compare {typed_path(audit)} {new}"


def _retrained_lines(counts: RemedyCounts, attempts: Iterable[Retrained]) -> Iterator[str]:
    """Yield AUROC and the finding before and after, and which table is better for training."""
    mark, tried = counts.findings[0].row, list(attempts)
    done = [attempt for attempt in tried if attempt.audit is not None]
    if done:
        yield (
            f"before: AUROC {number(done[0].first_auroc, 2)}; {content_words(mark)}, "
            f"effect {number(mark['value'], 2)} sd"
        )
    for attempt in tried:
        result = f"AUROC {number(attempt.auroc, 2)}; {_remaining_words(attempt)}" if attempt.audit else attempt.reason
        yield f"retrained on {attempt.name}: {result}"
    clear = [attempt for attempt in done if attempt.is_clear]
    if clear:
        best = max(clear, key=lambda attempt: attempt.auroc)
        lower = ", though AUROC is lower: the first network may owe some of it to what was found"
        yield f"better for training: {best.name}{lower if best.auroc < best.first_auroc else ''}"
    elif done:
        yield "no table removes the finding: collect images in which it is independent of the class"
    yield from (f"report: {attempt.audit / 'report.html'}" for attempt in done if attempt.audit)


def _remaining_words(attempt: Retrained) -> str:
    """Return what the second search found at the place of the finding."""
    if attempt.remaining is None:
        return "nothing was found at that place" if attempt.searched else "it was not searched again"
    row = attempt.remaining
    found = f"{content_words(row)}, effect {number(row['value'], 2)} sd"
    return f"inconclusive at that place: {found}" if row["verdict"] == RegionVerdict.INCONCLUSIVE else f"still {found}"
