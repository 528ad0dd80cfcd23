"""Facts about a set that readers need before they trust a number from it: counts, license and known faults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from assay.core.types import FactorTable
from assay.data.dataset import Card
from assay.data.files.classes import positive_words
from assay.data.files.kinds import one_patient
from assay.data.public.sets import PREPARED, KnownSet

OWN_PATIENT = (
    "no patient column is named: every image counts as a patient of its own, so a patient may be on both sides"
)
"""Known fault of a set without patients; a suggestion may follow it."""


def without_patients(faults: Sequence[str]) -> str:
    """Return the fault among these that says that patients are not named; empty where they are."""
    return next((fault for fault in faults if fault.startswith(OWN_PATIENT)), "")


def card_of(
    title: str,
    published: KnownSet | None,
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
    read: Mapping[str, str] | None = None,
) -> Card:
    """Return the card of a set from files.

    Args:
        title: The set's or the folder's name.
        published: Facts about it.
        native: int64 [n, 2], width and height before decoding.
        shape: (channels, height, width) after.
        read: How it was read, as rows of `provenance`.
        deep: 16 bit. facts end the summary; warnings join the known faults.
        read: Rows of `provenance` on how the set was read.
    """
    computed = f"{_count_rows(table, warnings)}; {_sizes(native)}, decoded to {_shape(shape, deep)}"
    about = [published.summary] if published else []
    summary = ". ".join([*about, computed, *facts])
    faults = (
        *(published.faults if published else ()),
        *warnings,
        *_missing_values(table),
        *_aspects(native, table, fit),
    )
    return Card(
        name=title,
        summary=summary,
        license=published.license if published else "not stated",
        source=published.source if published else "the user's own",
        known_faults=faults,
        left_out=left_out,
        doubts=doubts,
        read={**(read or {}), **one_patient(table.patient)},
    )


def known_set(title: str, header: Sequence[str]) -> KnownSet | None:
    """Facts about a folder of this name whose table has these columns."""
    prepared = PREPARED.get(title)
    return prepared if prepared is not None and set(prepared.columns) <= set(header) else None


def _count_rows(table: FactorTable, warnings: Sequence[str]) -> str:
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


def _missing_values(table: FactorTable) -> list[str]:
    counted = [
        (factor.name, int(np.isnan(factor.numbers(table.columns[factor.name])).sum())) for factor in table.factors
    ]
    return [f"{name} is missing in {count:,} of {len(table):,} rows" for name, count in counted if count]


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


_LISTED = 1000
"""Rows left out that are listed with their reasons."""


def facts_of(card: Card, classes: Sequence[str]) -> dict[str, str]:
    """Return the provenance of the data."""
    omitted = card.left_out
    more = (f"and {len(omitted) - _LISTED:,} more",) if len(omitted) > _LISTED else ()
    return {
        "positive class": positive_words(classes),
        **card.read,
        "data": card.name,
        "data summary": card.summary,
        "license": card.license,
        "known faults": "; ".join(card.known_faults),
        "rows left out": "; ".join((*omitted[:_LISTED], *more)),
        "intervals over": "images" if without_patients(card.known_faults) else "patients",
    }
