"""Remove what an audit found from a copy of its images, and list rows in which it is balanced."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from assay.audit.model import open_images
from assay.audit.prepared import IMAGES, new_folder
from assay.audit.remedy.balance import balanced_positions, open_sound_audit
from assay.audit.remedy.pixels import Change, Cover, cover_region, equalizing_change, likely_without_mark, row_batches
from assay.audit.remedy.tables import image_table, write_frame
from assay.audit.search.finders import region_of
from assay.audit.search.regions import WITHOUT_PLACE, Region
from assay.audit.search.words import content_words, has_remedy, is_drawn, region_title
from assay.core.errors import DataError, SpecError
from assay.core.files import content_hash
from assay.core.registry import code_of_folder
from assay.core.types import FactorTable
from assay.data.cache import ProgressCallback, no_progress
from assay.models.external import picture_of
from assay.shifts.environment import Environment
from assay.spec.request import ProbeSpec
from assay.spec.schema import DataSpec
from assay.stats.rows import Row, leading_region
from assay.store.folder import RunFolder
from assay.store.local import require_paths, restore_paths

COVERED_FILE, BALANCED_FILE = "data.csv", "balanced.csv"
CARRIES_COLUMN = "carries"
"""Column of both tables: yes or no, empty of images that were not searched."""
_BEFORE = "-before.png"
"""End of the name of an image that was not changed."""


@dataclass(frozen=True, slots=True)
class RemediedFinding:
    """A finding of an audit that can be removed: a mark on some images, or a change of the whole image.

    Attributes:
        row: Its row of the table `regions`.
        region: Its place.
        carry: Whether each searched image carries it.
        worth: Effect of each searched image's content there on scores of other images.
    """

    row: Row
    region: Region
    carry: Bool[np.ndarray, " n"]
    worth: Float[np.ndarray, " n"]


@dataclass(frozen=True, slots=True)
class RemedyCounts:
    """Counts of a remedy.

    Attributes:
        findings: The findings that were removed, the leading one first.
        balanced_by: The first of them by which rows can be balanced.
        images: Images that were changed.
        share: Changed share of the image, about; a mean of images with shapes.
        donors: Images without the leading mark whose patches they got.
        searched: Images of which it is known whether they carry the mark; 0 where there are no carriers.
        balanced: Positions of the images whose rows were listed.
        swap_is_doubtful: Whether `swapped` was given although the mark looks drawn on the other images.
        data: Where the images come from.
        table: The images.
    """

    findings: Sequence[RemediedFinding]
    balanced_by: RemediedFinding
    images: int
    share: float
    donors: int
    searched: int
    balanced: Sequence[int]
    swap_is_doubtful: bool
    data: DataSpec
    table: FactorTable


def write_remedy(
    audit: Path, out: Path, *, swapped: bool = False, on_progress: ProgressCallback = no_progress
) -> RemedyCounts:
    """Write a copy of the images in which an audit found something, without it.

    At the place of each mark, each image gets the content of the donor that is most like it elsewhere, of another
    patient and of any class. Donors are the quarter of the images without the mark whose patches move scores least its
    way, since a search misses some carriers; where that quarter is of one patient, all images without it. Without any
    mark, a change of the whole image is made the same in all of them (`Region.equalize`). Images have the size and the
    framing that the model reads.

    Args:
        audit: The folder of the audit.
        out: A new or empty folder. It gets `images/` and `data.csv` with the columns of the original table. Where
            images form two groups, `balanced.csv` has rows of images that were not changed: of each class as many with
            the leading mark as without, or with another one where all images of a class carry that, or none do.
        swapped: Whether the images that the audit takes for carriers of the leading mark are those without it.
        on_progress: Callback for images while they are read.

    Raises:
        SpecError: The folder holds no audit, nothing with a remedy was found, all images without the mark are of one
            patient, or `out` is not empty.
        DataError: The images changed since.
    """
    folder = RunFolder(audit)
    rows = rows_with_remedy(folder)
    row, records = rows[0], [folder.record("probes", row["search"]) for row in rows]
    if swapped and row["of"] in WITHOUT_PLACE:
        raise SpecError(f"--swap is for a mark at one place, and this audit found {content_words(row)}")
    data, images = _searched_images(audit, row, records[0], on_progress)
    searched = np.searchsorted(images.table.row, np.array(records[0]["searched"], dtype=np.int64))
    marks = list(map(_read_finding, rows, records, [swapped] + [False] * len(rows)))
    table, target = image_table(data, images.table), images.table.target[searched]
    table[data.image] = [f"{IMAGES}/{at:06d}.png" for at in range(len(table))]
    balanced, chosen = marks[0], np.array([], dtype=np.int64)
    if row["discrete"]:
        positions = [searched[balanced_positions(target, mark.carry)] for mark in marks]
        index = next((at for at, rows_of_mark in enumerate(positions) if len(rows_of_mark)), 0)
        balanced, chosen = marks[index], positions[index]
        table[CARRIES_COLUMN] = ""
        table.iloc[searched, -1] = np.where(balanced.carry, "yes", "no")
    with new_folder(out / IMAGES):
        if row["of"] == "whole":
            changes, share, donors = [equalizing_change(images, marks[0].region)], 1.0, 0
        else:
            covers = [_cover_of_mark(images, marks, at, searched) for at in range(len(marks))]
            changes, donors = [cover.change for cover in covers], covers[0].donors
            share = min(1.0, sum(cover.share for cover in covers))
        _write_changed(images, changes, set(chosen.tolist()), out / IMAGES)
    write_frame(out / COVERED_FILE, table)
    if row["discrete"]:
        table[data.image] = table[data.image].str.replace(".png", _BEFORE)
        write_frame(out / BALANCED_FILE, table.iloc[chosen])
    count = len(searched) if row["discrete"] else 0
    doubtful = swapped and is_drawn(row)
    return RemedyCounts(
        marks, balanced, len(images), share, donors, count, chosen.tolist(), doubtful, data, images.table
    )


def rows_with_remedy(folder: RunFolder) -> list[Row]:
    """Return the findings that have a remedy, the leading one first: all marks, or else a change of the whole image.

    Raises:
        SpecError: There are none.
        StoreError: The folder is damaged.
    """
    rows = open_sound_audit(folder.root).table("regions")
    with_remedy = [row for row in rows if has_remedy(row)]
    leading = leading_region(with_remedy)
    if leading is None:
        found_text = f": {region_title(rows[0])}" if rows else ""
        raise SpecError(f"{folder.root} found no mark that can be covered{found_text}")
    others = [row for row in with_remedy if row is not leading and row["of"] != "whole"]
    return [leading] if leading["of"] == "whole" else [leading, *others]


def _read_finding(row: Row, record: dict[str, Any], swapped: bool) -> RemediedFinding:
    worth = np.array(record["worth"], dtype=float)
    return RemediedFinding(row, region_of(row["kind"], record["region"]), np.array(record["carry"]) ^ swapped, worth)


def _cover_of_mark(
    images: Environment, marks: Sequence[RemediedFinding], at: int, searched: Int[np.ndarray, " n"]
) -> Cover:
    """Return what covers a mark. Donors are surely without it and carry no other mark, where two patients have such."""
    mark = marks[at]
    donors = likely_without_mark(mark.carry, mark.worth)
    others = np.any([other.carry for other in marks if other is not mark], axis=0)
    choices = [searched[rows] for rows in (donors & ~others, donors, ~mark.carry)]
    of_several = (rows for rows in choices if len(np.unique(images.table.patient[rows])) > 1)
    return cover_region(images, mark.region, next(of_several, choices[-1]), searched[mark.carry])


def searched_spec(audit: Path, row: Row) -> ProbeSpec:
    """Return where the images of a search come from. Raises StoreError where their paths were left out."""
    record = RunFolder(audit).record("probes", row["search"])
    request = restore_paths(audit, f"search-{row['search']}", record["request"])
    require_paths(audit, request["data"], "make the audit again here")
    with code_of_folder():  # a component may be code
        return ProbeSpec.model_validate(request)


def _searched_images(
    audit: Path, row: Row, record: dict[str, Any], on_progress: ProgressCallback
) -> tuple[DataSpec, Environment]:
    """Return where the searched images come from, and all of them.

    Raises:
        SpecError: They are of a segmentation or of a phantom.
        DataError: They changed since.
    """
    spec = searched_spec(audit, row)
    if spec.task == "segmentation":
        raise SpecError(
            "this audit is of a segmentation, whose masks a patch of another image would make wrong; crop "
            "or cover the place in all images yourself"
        )
    skip = bool(RunFolder(audit).record("models", record["model"])["skip_bad_rows"])
    with code_of_folder():
        _, population, scene = open_images(spec, skip_bad_rows=skip, on_progress=on_progress)
    if population.dataset is None:
        raise SpecError("the images of this audit are drawn by a phantom: draw them without the mark")
    if content_hash(scene.identity("all")) != record["content"]:
        raise DataError(f"the images of {audit} changed since the audit: audit them again")
    return spec.data, scene.environment("all")


def _write_changed(images: Environment, changes: Sequence[Change], originals: Set[int], out: Path) -> None:
    """Write all images with the changes, those to keep also without."""
    for part in row_batches(len(images)):
        before = images.images.read(part).numpy()
        after = reduce(lambda pixels, change: change(part, pixels), changes, before)
        for at, old, new in zip(part.tolist(), before, after, strict=True):
            picture_of(torch.as_tensor(new)).save(out / f"{at:06d}.png")
            if at in originals:
                picture_of(torch.as_tensor(old)).save(out / f"{at:06d}{_BEFORE}")
