"""LIDC-IDRI (Armato et al. 2011) from DICOM series and the readers' XML: one patch a nodule of 3 mm and more."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from assay.core.data_spec import DataSpec, FactorSpec
from assay.core.errors import DataError, SpecError
from assay.core.types import Factor
from assay.data.cache import ArrayCache
from assay.data.cards import KnownSet
from assay.data.dataset import Dataset, PixelScale
from assay.data.parameters import LidcParams
from assay.data.sources.assemble import Pixels, assemble
from assay.data.sources.columns import chosen, factor_column, patient_codes
from assay.data.sources.ct import hounsfield
from assay.data.sources.decode import decode_images, decode_masks
from assay.data.sources.files import facts_of
from assay.data.sources.lidc_series import Entry, entries_of
from assay.data.sources.lidc_xml import pixels
from assay.data.sources.listing import Listing
from assay.data.sources.masks import Labels
from assay.data.sources.nih import directory
from assay.data.sources.patches import Patch, cut, cut_mask
from assay.data.sources.problems import Problem, refuse
from assay.data.sources.table import Table

VERSION = 1
"""Rises when the same files yield other patches."""
CLASSES = ("benign", "malignant")
ABOUT = KnownSet(
    (),
    "patches of lung nodules of 3 mm and more in CT, by the readers' rating of malignancy; the whole set holds 1,018 "
    "scans of 1,010 patients",
    "CC BY 3.0",
    "LIDC-IDRI (Armato et al. 2011)",
    (
        "malignant is the readers' mean rating (under or over 3), not pathology",
        "size goes with the rating: diameter alone tells much of the label",
        "readers' numbers are not the same persons from scan to scan",
        "in about 100 of the first 399 cases spiculation and lobulation were rated on inconsistent scales",
        "a few patients have two scans: a nodule can stand in both, on one side of every split",
    ),
)


def load_lidc(spec: DataSpec, cache: ArrayCache, skip_bad_rows: bool, **arguments: Any) -> Dataset:
    """One row a nodule, malignant or benign by the mean of its readers' ratings; mask by at least half of its readers.

    The arguments are those of `LidcParams`; the rule that joins outlines of several readers stands in `lidc_consensus`.
    The patch is cut from the slice with the largest agreed area, centred on it, `field_mm` wide, `spec.size` px. Raises
    SpecError when there is no XML or no nodule, DataError with all entries that cannot be used.
    """
    params = LidcParams.model_validate(arguments)
    root = directory(params.folder)
    found = entries_of(root, cache)
    if not found.entries and not found.problems:
        raise SpecError(f"data.dataset.folder: {root.name}/ holds no XML of LIDC readers; give the folder of the set")
    used, facts = _ruled(params, found.entries)
    usable = [entry for entry in used if not entry.what]
    problems = [*found.problems, *(Problem(e.number, e.name, e.what, e.remedy) for e in used if e.what)]
    table = chosen(_table(usable), spec.where)
    kept = {entry.number: entry for entry in usable}
    listing = _listing(params, spec, [kept[number] for number in table.numbers], table, facts, found.notes)
    listing, _ = listing.drop(problems)
    listing, entries = _readable(listing, kept, cache)
    if not len(listing):
        refuse(listing.where, listing.problems, listing.word)
        raise DataError(f"{root.name} gives no nodules; {', '.join(facts)}")
    return assemble(listing, _pixels(params, spec, entries, cache), spec, cache, skip_bad_rows)


def _ruled(params: LidcParams, entries: Sequence[Entry]) -> tuple[list[Entry], list[str]]:
    """The nodules that the stated rules leave, and how many each rule took away."""
    few = [entry for entry in entries if entry.nodule.readers < params.readers]
    rest = [entry for entry in entries if entry.nodule.readers >= params.readers]
    rated = [entry for entry in rest if not np.isnan(entry.nodule.rating("malignancy"))]
    kept = [entry for entry in rated if params.indeterminate != "drop" or entry.nodule.rating("malignancy") != 3]
    counts = (
        (len(few), f"outlined by fewer than {params.readers} readers"),
        (len(rest) - len(rated), "without a rating of malignancy"),
        (len(rated) - len(kept), "of mean malignancy 3"),
    )
    facts = [f"{count:,} nodules {what} were left out" for count, what in counts if count]
    middle = "" if params.indeterminate == "drop" else f", exactly 3 is {params.indeterminate}"
    return kept, [f"malignant over a mean malignancy of 3, benign under 3{middle}", *facts]


def _malignant(params: LidcParams, entry: Entry) -> int:
    mean = entry.nodule.rating("malignancy")
    return int(mean > 3 or (mean == 3 and params.indeterminate == "malignant"))


def _table(entries: Sequence[Entry]) -> Table:
    """The nodules as a table of text, so that `where` and factors are read as everywhere."""
    rows = [_row(entry) for entry in entries]
    header = tuple(rows[0]) if rows else ("image",)
    cells = tuple(tuple("" if text == "nan" else text for text in row.values()) for row in rows)
    return Table("the table of nodules", header, cells, tuple(entry.number for entry in entries))


def _row(entry: Entry) -> dict[str, str]:
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


def _listing(
    params: LidcParams,
    spec: DataSpec,
    entries: Sequence[Entry],
    table: Table,
    facts: Sequence[str],
    notes: tuple[str, ...],
) -> Listing:
    factors, columns = _factors(params.FACTORS, table)
    single = sum(entry.nodule.readers == 1 for entry in entries)
    warnings = (*notes, *((f"{single:,} nodules rest on a single reader",) if single else ()))
    scale = PixelScale("HU", params.low, params.high, params.field_mm / spec.size)
    return Listing(
        title="LIDC-IDRI",
        where=directory(params.folder).name + "/",
        word="item",
        numbers=table.numbers,
        names=tuple(entry.name for entry in entries),
        images=tuple(entry.path for entry in entries),
        masks=None,
        target=np.array([_malignant(params, entry) for entry in entries], dtype=np.int64),
        classes=CLASSES,
        patient=patient_codes([entry.header.patient for entry in entries]),
        factors=factors,
        columns=columns,
        facts=(
            *facts,
            f"patches of {params.field_mm:g} mm from the slice with the largest area that half of the readers outline",
            f"{params.low:g} to {params.high:g} HU",
        ),
        warnings=warnings,
        about=replace(ABOUT, scale=scale),
    )


def _factors(declared: Sequence[Factor], table: Table) -> tuple[tuple[Factor, ...], dict[str, np.ndarray]]:
    made: list[Factor] = []
    columns: dict[str, np.ndarray] = {}
    for factor in declared:
        cells = table.column(factor.name, "data.dataset") if len(table) else ()
        found, columns[factor.name], _ = factor_column(factor.name, FactorSpec(kind=factor.kind), cells)
        made.append(replace(factor, levels=found.levels, high=found.high))
    return tuple(made), columns


def _readable(listing: Listing, kept: Mapping[int, Entry], cache: ArrayCache) -> tuple[Listing, list[Entry]]:
    """The listing without nodules whose slice cannot be read, and its entries with the hashes of their slices."""
    facts = facts_of(listing.images, cache)
    bad = [listing.problem(at, fact.what, fact.remedy) for at, fact in enumerate(facts) if fact.header is None]
    short, positions = listing.drop(bad)
    entries = [replace(kept[listing.numbers[at]], digest=facts[at].digest) for at in positions]
    return short, entries


def _pixels(params: LidcParams, spec: DataSpec, entries: Sequence[Entry], cache: ArrayCache) -> Pixels:
    patches = [_patch(params, spec, entry) for entry in entries]
    window = (params.low, params.high)
    sources: list[Callable[[], np.ndarray | bytes]] = [
        partial(_image, entry, patch, *window) for entry, patch in zip(entries, patches, strict=True)
    ]
    masks = [partial(_mask, entry, patch) for entry, patch in zip(entries, patches, strict=True)]
    names = [f"lidc {VERSION} {e.digest} {p} {window}" for e, p in zip(entries, patches, strict=True)]
    agreed = [f"{name} {hashlib.sha256(e.codes.tobytes()).hexdigest()}" for name, e in zip(names, entries, strict=True)]
    native = [[round(p.side_mm / p.column_mm), round(p.side_mm / p.row_mm)] for p in patches]
    return Pixels(
        decode_images(sources, names, spec.size, True, spec.channels, cache),
        decode_masks(masks, agreed, spec.size, cache),
        np.array(native, dtype=np.int64),
    )


def _patch(params: LidcParams, spec: DataSpec, entry: Entry) -> Patch:
    rows, columns = pixels(entry.codes)
    x, y = float(columns.mean()) + 0.5, float(rows.mean()) + 0.5
    return Patch(x, y, entry.header.row_mm, entry.header.column_mm, params.field_mm, spec.size)


def _image(entry: Entry, patch: Patch, low: float, high: float) -> np.ndarray:
    return cut(hounsfield(entry.path), patch, low, high)


def _mask(entry: Entry, patch: Patch) -> Labels:
    rows, columns = pixels(entry.codes)
    mask = np.zeros((int(rows.max()) + 1, int(columns.max()) + 1), dtype=np.bool_)
    mask[rows, columns] = True
    return Labels(cut_mask(mask, patch))
