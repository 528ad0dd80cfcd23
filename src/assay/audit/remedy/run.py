"""Cover the mark that an audit found in a copy of its images, and list rows in which it is balanced."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch.nn.functional import adaptive_avg_pool2d

from assay.audit.compare import require_audit
from assay.audit.model import opened_images
from assay.audit.prepared import IMAGES, filling
from assay.audit.search.finders import region_of
from assay.audit.search.regions import WITHOUT_PLACE, Border, Box, Corners, Region
from assay.audit.search.words import is_drawn, region_title, what_words
from assay.core.errors import DataError, SpecError
from assay.core.files import content_hash
from assay.core.registry import code_of_folder
from assay.core.seeds import generator
from assay.data.cache import ProgressCallback, no_progress
from assay.data.files.folder import pasted
from assay.data.files.load import listing_of
from assay.data.files.table import expand
from assay.models.external import picture_of
from assay.shifts.environment import Environment
from assay.spec.data import is_coco
from assay.spec.request import ProbeSpec
from assay.spec.schema import DataSpec
from assay.stats.rows import REPORTED, Row
from assay.store.files import write_text
from assay.store.folder import RunFolder
from assay.store.local import require_paths, restore_paths

# A patch of another image leaves a seam. All images therefore get one, and from images of any class: patches of the
# own class, or on carriers alone, would tell the class as the mark did.

COVERED, BALANCED = "data.csv", "balanced.csv"
CARRIES = "carries"
"""Column of both tables: yes or no, empty of images that were not searched."""
_MARGIN = 0.5
"""Margin of the covered area around the region on each side, as a share of the region."""
_BEFORE = "-before.png"
"""End of the name of an image that was not covered."""
_SURE = 0.25
"""Share of the images without the mark that are donors."""
_SMALL = 16
"""Side of the pictures by which images are compared outside the region."""
_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class RemedyCounts:
    """Counts of a remedy.

    Attributes:
        what: The mark in words.
        trained: Whether these are images of the training.
        images: Images that were covered.
        share: Covered share of the image.
        donors: Images without the mark whose patches they got.
        searched: Images of which it is known whether they carry the mark.
        carriers: Those that carry it.
        balanced: Rows that were listed.
        doubtful: Whether the page shows something drawn on the donors.
    """

    what: str
    trained: bool
    images: int
    share: float
    donors: int
    searched: int
    carriers: int
    balanced: int
    doubtful: bool


def remedy(
    audit: Path, out: Path, *, swapped: bool = False, on_progress: ProgressCallback = no_progress
) -> RemedyCounts:
    """Write a copy of the images in which an audit found a mark, with the place of the mark covered in all of them.

    Each image gets the place of the donor that is most like it elsewhere, of another patient and of any class. Donors
    are the quarter of the images without the mark whose patches move scores least its way, since a search misses some
    carriers. Images have the size and the framing that the model reads.

    Args:
        audit: The folder of the audit.
        out: A new or empty folder. It gets `images/`, `data.csv` with the columns of the original table, and
            `balanced.csv` with rows of images that were not covered: of each class as many with the mark as without.
        swapped: Whether the images that the audit takes for carriers are those without the mark.
        on_progress: Callback for images while they are read.

    Raises:
        SpecError: The folder holds no audit, no mark with a place was found, or `out` is not empty.
        DataError: The images changed since.
    """
    folder = RunFolder(audit)
    row = _row_of(folder)
    record = folder.record("probes", row["search"])
    request = restore_paths(audit, f"search-{row['search']}", record["request"])
    require_paths(audit, request["data"], "make the audit again here")
    with code_of_folder():  # a component may be code
        spec = ProbeSpec.model_validate(request)
    if spec.task == "segmentation":
        raise SpecError(
            "this audit is of a segmentation, whose masks a patch of another image would make wrong; crop "
            "or cover the place in all images yourself"
        )
    skip = bool(folder.record("models", record["model"])["skip_bad_rows"])
    with code_of_folder():
        _, population, scene = opened_images(spec, skip_bad_rows=skip, on_progress=on_progress)
    if population.dataset is None:
        raise SpecError("the images of this audit are drawn by a phantom: draw them without the mark")
    if content_hash(scene.identity("all")) != record["content"]:
        raise DataError(f"the images of {audit} changed since the audit: audit them again")
    places = population.dataset.table.places
    assert places is not None
    images = scene.environment("all")
    table = _table(spec.data, places.numbers).iloc[images.table.row].copy()
    searched = np.searchsorted(images.table.row, np.array(record["searched"], dtype=np.int64))
    carry = np.array(record["carry"]) ^ swapped
    table[CARRIES] = ""
    table.iloc[searched, -1] = np.where(carry, "yes", "no")
    chosen = searched[_balanced_positions(images.table.target[searched], carry)]
    where = _grown(region_of(row["kind"], record["region"])).pixel_mask(*images.images.shape[1:])
    assert where is not None
    donors = searched[_surely_without(carry, np.array(record["worth"], dtype=float))]
    table[spec.data.image] = [f"{IMAGES}/{at:06d}.png" for at in range(len(table))]
    with filling(out / IMAGES):
        _cover(images, where, donors, set(chosen.tolist()), out / IMAGES)
    write_text(out / COVERED, table.to_csv(index=False, lineterminator="\n"))
    table[spec.data.image] = table[spec.data.image].str.replace(".png", _BEFORE)
    write_text(out / BALANCED, table.iloc[chosen].to_csv(index=False, lineterminator="\n"))
    return RemedyCounts(
        what_words(row),
        row["trained"],
        len(images),
        float(where.mean()),
        len(donors),
        len(searched),
        int(carry.sum()),
        len(chosen),
        swapped and is_drawn(row),
    )


def _row_of(folder: RunFolder) -> Row:
    """Return the verdict on a mark with a place. Raises SpecError where there is none."""
    require_audit(folder)
    rows = [row for row in folder.table("regions") if row["of"] not in WITHOUT_PLACE]
    able = [row for row in rows if row["verdict"] in REPORTED and row["discrete"]]
    if not able:
        found_text = f": {region_title(rows[0])}" if rows else ""
        raise SpecError(f"{folder.root} found no mark that can be covered{found_text}")
    return able[0]


def _table(data: DataSpec, numbers: Sequence[int]) -> pd.DataFrame:
    """Return the rows of the original table; of images without one, their file, class and patient."""
    if data.table and not is_coco(data):
        path = expand(data.folder, "data.folder")
        return pasted(path, path / data.table, data).frame.loc[list(numbers)]
    listing = listing_of(data)
    frame = listing.frame.loc[list(numbers)]
    codes: list[int] = frame["target"].tolist()
    columns_of_table: dict[str, Any] = {
        data.image: frame["name"],
        data.target: [listing.classes[code] for code in codes],
    }
    return pd.DataFrame({**columns_of_table, **({data.patient: frame["patient"]} if data.patient else {})})


def _balanced_positions(target: Int[np.ndarray, " n"], carry: Bool[np.ndarray, " n"]) -> Int[np.ndarray, " k"]:
    """Return positions of as many images with the mark as without it in each class, by chance."""
    cells = [
        np.flatnonzero((target == code) & (carry == with_it)) for code in np.unique(target) for with_it in (False, True)
    ]
    least, draws = min(map(len, cells)), generator(0, "balanced")
    return np.sort(np.concatenate([draws.permutation(cell)[:least] for cell in cells]))


def _surely_without(carry: Bool[np.ndarray, " n"], values: Float[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Return the images without the mark with the worth least like that of carriers; all where none is known.

    The worth of the halves of a search differs by a constant, so that all may come from one of them.
    """
    toward = values if values[carry].mean() > values[~carry].mean() else -values
    return ~carry & ~(toward > np.quantile(toward[~carry], _SURE))


def _grown(region: Region) -> Region:
    """Return the region with a margin: a search keeps the smallest part that has most of an effect."""
    match region:
        case Box(top, left, bottom, right):
            high, wide = _MARGIN * (bottom - top), _MARGIN * (right - left)
            return Box(max(0.0, top - high), max(0.0, left - wide), min(1.0, bottom + high), min(1.0, right + wide))
        case Border(width):
            return Border((1 + _MARGIN) * width)
        case Corners(side):
            return Corners((1 + _MARGIN) * side)
        case _:
            return region


def _cover(
    images: Environment, where: Bool[np.ndarray, "h w"], donors: Int[np.ndarray, " d"], rows_kept: Set[int], out: Path
) -> None:
    """Write all images with the patch of a donor, those to keep also without."""
    given = images.images.read(donors).numpy()
    patches, theirs, patient = given[:, :, where], _thumbnails_outside(given, where), images.table.patient
    for part in np.array_split(np.arange(len(images)), max(1, len(images) // _AT_ONCE)):
        before = images.images.read(part).numpy()
        distances = ((_thumbnails_outside(before, where)[:, None] - theirs) ** 2).sum(axis=2)
        distances[patient[part][:, None] == patient[donors]] = np.inf
        pixels = before.copy()
        pixels[:, :, where] = patches[distances.argmin(axis=1)]
        for at, old, new in zip(part.tolist(), before, pixels, strict=True):
            picture_of(torch.as_tensor(new)).save(out / f"{at:06d}.png")
            if at in rows_kept:
                picture_of(torch.as_tensor(old)).save(out / f"{at:06d}{_BEFORE}")


def _thumbnails_outside(
    images: Float[np.ndarray, "n c h w"], where: Bool[np.ndarray, "h w"]
) -> Float[np.ndarray, "n k"]:
    """Return small pictures of the images outside the region."""
    return adaptive_avg_pool2d(torch.as_tensor(images * ~where), _SMALL).flatten(1).numpy()
