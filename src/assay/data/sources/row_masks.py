"""The mask of every row of a table: a file, runs in a cell, the outlines of a COCO file, or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from assay.core.data_spec import DataSpec
from assay.core.errors import SpecError
from assay.core.factors import has_masks
from assay.data.sources.coco import Coco
from assay.data.sources.listing import Listing
from assay.data.sources.masking import MaskAt
from assay.data.sources.pairs import UNMASKED
from assay.data.sources.paths import inside
from assay.data.sources.problems import Problem, Unreadable
from assay.data.sources.runs import runs
from assay.data.sources.table import Table, absent


def row_masks(
    folder: Path, spec: DataSpec, table: Table, names: Sequence[str], coco: Coco | None
) -> tuple[list[MaskAt] | None, list[Problem]]:
    """The masks, None for a row without one where the spec says what that means; None where no row has any."""
    if coco is not None and spec.mask:
        raise SpecError(f"data.mask: the outlines stand in {spec.table}; leave it out")
    if not has_masks(spec):
        return None, []
    cells = table.column(spec.mask, "data.mask") if coco is None else names
    masks: list[MaskAt] = []
    problems: list[Problem] = []
    for line, name, cell in zip(table.numbers, names, cells, strict=True):
        mask: MaskAt = None
        try:
            mask = coco.masks[line - 1] if coco is not None else _of_cell(folder, spec, cell)
            if mask is None and spec.unmasked == "refuse":
                what = "it names none" if coco is None else "no annotation outlines anything"
                raise Unreadable(f"{what}: lesion-free, or not labelled?", UNMASKED)
        except Unreadable as error:
            problems.append(Problem(line, name, f"mask: {error.what}", error.remedy))
        masks.append(mask)
    return masks, problems


def _of_cell(folder: Path, spec: DataSpec, cell: str) -> MaskAt:
    if absent(cell):
        return None
    return inside(folder, cell) if spec.mask_format == "file" else runs(cell, spec.mask_format)


def unmasked(masks: Sequence[object], spec: DataSpec) -> tuple[str, ...]:
    """How many images without a mask count as free of lesions, for the card."""
    without = sum(mask is None for mask in masks)
    if spec.unmasked != "lesion-free" or not without:
        return ()
    return (f"{without:,} images without a mask count as free of lesions",)


def leave_out_unmasked(listing: Listing, spec: DataSpec) -> Listing:
    """The listing without images that have no mask, counted, if the spec leaves them out."""
    if spec.unmasked != "leave-out" or listing.masks is None:
        return listing
    kept = [at for at, mask in enumerate(listing.masks) if mask is not None]
    left = len(listing) - len(kept)
    facts = (f"{left:,} images without a mask were left out",) if left else ()
    return replace(listing.take(kept), facts=(*listing.facts, *facts))
