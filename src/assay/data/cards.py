"""Facts about a set that readers need before they trust a number from it: counts, license and known faults."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from assay.core.types import Factor, FactorTable
from assay.data.dataset import Card, PixelScale

_PLAIN = PixelScale()


@dataclass(frozen=True, slots=True)
class KnownSet:
    """A public set that Assay knows. A folder is recognized by its name together with these columns of its table."""

    columns: tuple[str, ...]
    summary: str
    license: str
    source: str
    faults: tuple[str, ...]
    scale: PixelScale = _PLAIN


KNOWN: dict[str, KnownSet] = {
    "lung-nodule": KnownSet(
        ("malignant", "diameter_mm", "spiculation"),
        "CT crops around lung nodules of LIDC-IDRI, 71 px at native resolution, HU -1000 to 400 as 8 bit, with masks",
        "CC BY 3.0",
        "LIDC-IDRI (Armato et al. 2011)",
        (
            "malignant is the readers' mean rating (under or over 3), not pathology; 459 rows have a single reader",
            "diameter alone tells the label with AUROC 0.90, lobulation with 0.80: size is a shortcut in all of it",
            "mask_exact 0: the contour is slightly off",
        ),
        PixelScale("HU", -1000.0, 400.0),
    ),
    "chest-xray": KnownSet(
        ("finding", "view", "origin"),
        "chest radiographs from NIH ChestX-ray14, 256 px gray",
        "free use with attribution",
        "NIH ChestX-ray14 (Wang et al. 2017)",
        (
            "labels were mined from reports, not read from the images",
            "origin and view are tied to finding; origin a alone allows balanced designs by view and sex",
        ),
    ),
    "dermoscopy": KnownSet(
        ("melanoma", "lesion", "site"),
        "dermoscopic photographs of melanomas and naevi from HAM10000, one a lesion, 192 px",
        "CC BY-NC 4.0",
        "HAM10000 (Tschandl et al. 2018)",
        ("patients are not given: lesions of one patient may lie on both sides of a split",),
    ),
    "fundus": KnownSet(
        ("grade", "eye", "origin", "repeat_of"),
        "fundus photographs of Messidor-2, 224 px, both eyes of a patient",
        "for research, never to be passed on",
        "Messidor-2 (Decenciere et al. 2014)",
        (
            "patient and eye are inferred from the order of file names",
            "46 rows repeat an eye (repeat_of), 13 of them with another grade",
            "the two origins differ in look and in severity: origin predicts the grade",
        ),
    ),
    "foot-ulcer": KnownSet(
        ("mask", "split", "lesion_fraction"),
        "photographs of foot ulcers with masks from FUSeg, 256 px; exact duplicates were taken out",
        "see the FUSeg challenge",
        "FUSeg (Wang et al.)",
        (
            "images carry black padding at the right or the bottom",
            "patients are not given, and a foot may appear more than once",
            "few have an empty mask, and some of those show what elsewhere in the set is outlined as an ulcer",
        ),
    ),
    "polyp": KnownSet(
        ("mask", "kind", "lesion_fraction"),
        "endoscopic frames with and without polyps from EndoTect, 320 x 256 px, with masks",
        "research and education (HyperKvasir)",
        "EndoTect 2020 / HyperKvasir (Borgli et al. 2020)",
        (
            "many frames carry a green inset of the scope's position and burnt-in text",
            "lesion-free frames are framed tighter and come from another disease",
            "patients are not given",
        ),
    ),
}


OWN_PATIENT = (
    "no patient column is named: every image counts as a patient of its own, so a patient may be on both sides"
)
"""Known fault of a set without patients; a suggestion may follow it."""


def without_patients(faults: Sequence[str]) -> str:
    """Return the fault among these that says that patients are not named; empty where they are."""
    return next((fault for fault in faults if fault.startswith(OWN_PATIENT)), "")


def card_of(
    title: str,
    known: KnownSet | None,
    table: FactorTable,
    *,
    native: np.ndarray,
    shape: tuple[int, int, int],
    deep: bool,
    facts: Sequence[str] = (),
    warnings: Sequence[str] = (),
    left_out: tuple[str, ...] = (),
    doubts: tuple[str, ...] = (),
    fit: str = "pad",
) -> Card:
    """Return the card of a set from files.

    Args:
        title: The set's or the folder's name.
        known: Facts about it.
        native: int64 [n, 2], width and height before decoding.
        shape: (channels, height, width) after.
        deep: 16 bit. facts end the summary; warnings join the known faults.
    """
    computed = f"{_counts(table, warnings)}; {_sizes(native)}, decoded to {_shape(shape, deep)}"
    about = [known.summary] if known else []
    summary = ". ".join([*about, computed, *facts])
    faults = (*(known.faults if known else ()), *warnings, *_missing(table), *_aspects(native, table, fit))
    return Card(
        name=title,
        summary=summary,
        license=known.license if known else "not stated",
        source=known.source if known else "the user's own",
        known_faults=faults,
        left_out=left_out,
        doubts=doubts,
    )


def known_set(title: str, header: Sequence[str]) -> KnownSet | None:
    """Facts about a folder of this name whose table has these columns."""
    known = KNOWN.get(title)
    return known if known is not None and set(known.columns) <= set(header) else None


def _counts(table: FactorTable, warnings: Sequence[str]) -> str:
    classes = ", ".join(f"{name} {int((table.target == code).sum()):,}" for code, name in enumerate(table.classes))
    if without_patients(warnings):
        return f"{len(table):,} images, patients not named: {classes}"
    return f"{len(table):,} images of {len(np.unique(table.patient)):,} patients: {classes}"


def _sizes(native: np.ndarray) -> str:
    low, high = native.min(axis=0), native.max(axis=0)
    if (low == high).all():
        return f"{low[0]} x {low[1]} px"
    return f"{low[0]} to {high[0]} px wide and {low[1]} to {high[1]} px high"


def _shape(shape: tuple[int, int, int], deep: bool) -> str:
    color = "color" if shape[0] == 3 else "gray"
    return f"{shape[2]} x {shape[1]} px {color}, {16 if deep else 8} bit"


def _missing(table: FactorTable) -> list[str]:
    counted = [(factor.name, _absent(factor, table.columns[factor.name])) for factor in table.factors]
    return [f"{name} is missing in {count:,} of {len(table):,} rows" for name, count in counted if count]


def _absent(factor: Factor, values: np.ndarray) -> int:
    return int((values < 0).sum() if factor.levels else np.isnan(values).sum())


_ASPECT = {"pad": "in black padding", "squash": "in how much they are stretched", "crop": "in how much is cut off"}
"""Trace that the aspect ratio leaves in the square, by `data.fit`. A network can read it."""


def _aspects(native: np.ndarray, table: FactorTable, fit: str) -> list[str]:
    """Return a warning with the mean aspect ratio by class where images differ in it."""
    aspect = native[:, 0] / native[:, 1]
    if np.ptp(aspect) < 0.02:
        return []
    means = [
        f"{name} {float(aspect[table.target == code].mean()):.2f}"
        for code, name in enumerate(table.classes)
        if (table.target == code).any()
    ]
    return [f"images differ in aspect, so {_ASPECT[fit]}: mean width / height {', '.join(means)}"]
