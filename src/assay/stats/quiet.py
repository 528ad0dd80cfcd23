"""The sentences on what a segmentation does where there is no lesion, beside what it does where there is one."""

from __future__ import annotations

import math
from collections.abc import Sequence

from assay.core.measures import QUIET
from assay.stats.format import listed
from assay.stats.rows import OF_THE_MODEL, Row, Sentence, label, numeric, text_of
from assay.stats.slice import of_slice, opening, spread

OVERLAP = "dice"


def quiet(contrasts: Sequence[Row], estimates: Sequence[Row], main: Row) -> list[Sentence]:
    """`At epochs 20, the false-positive rate at 90 % sensitivity was .12 [.09, .16] (focal) to .31 [.25, .38] (dice) in
    lesion-free; Dice was .81 [.79, .83] (focal) to .85 [.83, .86] (dice) in lesions, where the same thresholds, which
    validation lesions set, found .88 [.85, .90] (dice) to .92 [.89, .94] (focal) of the lesions.`

    A recipe whose value is undefined, as where no threshold finds so many lesions, is named as that. Of the first
    comparison of false positives that was stated; none without one. main: the leading contrast, whose
    slice is told of.
    """
    stated = next((row for row in contrasts if text_of(row, "measure").startswith(QUIET)), None)
    if stated is None:
        return []
    measure = text_of(stated, "measure")
    told = [_told(estimates, measure, text_of(stated, "environment"), main)]
    others = [text_of(row, "environment") for row in contrasts if row.get("measure") == OVERLAP]
    where = others[0] if others else _first_with(OVERLAP, estimates)
    told.append(_told(estimates, OVERLAP, where, main) + _reached(estimates, measure, where, main))
    text = "; ".join(part for part in told if part)
    if not text:
        return []
    said = opening(main, f"{'the ' if text[0].islower() else ''}{text}.")
    return [Sentence("answer", said[:1].upper() + said[1:], evidence="performance")]


def _told(estimates: Sequence[Row], measure: str, environment: str, main: Row) -> str:
    """What the recipes reached, and where; of an environment that is not named, the first that has the measure."""
    where = environment or _first_with(measure, estimates)
    every = _by_recipe(estimates, measure, where, main)
    found = {name: row for name, row in every.items() if _valued(row)}
    lost = [name for name in every if name not in found]
    beside = f", and undefined with {listed(lost)}" if lost else ""
    return f"{label({'measure': measure})} was {spread(found)} in {where}{beside}" if found else ""


def _reached(estimates: Sequence[Row], measure: str, where: str, main: Row) -> str:
    """What share of test lesions is found at thresholds that were set on validation lesions; empty at p = .5."""
    found = _by_recipe(estimates, measure.replace(QUIET, "lesion-sensitivity"), where, main)
    found = {name: row for name, row in found.items() if _valued(row)}
    if not found or measure == QUIET:
        return ""
    return f", where the same thresholds, which validation lesions set, found {spread(found)} of the lesions"


def _by_recipe(estimates: Sequence[Row], measure: str, where: str, main: Row) -> dict[str, Row]:
    rows = [row for row in estimates if text_of(row, "measure") == measure and _whole(row)]
    return {name: own[0] for name, own in of_slice([row for row in rows if row["environment"] == where], main).items()}


def _first_with(measure: str, estimates: Sequence[Row]) -> str:
    """The first environment in which the measure has a value."""
    having = (row for row in estimates if text_of(row, "measure") == measure and _whole(row) and _valued(row))
    return next((text_of(row, "environment") for row in having), "")


def _valued(row: Row) -> bool:
    return not math.isnan(numeric(row, "value"))


def _whole(row: Row) -> bool:
    """Whether it is of all images of an environment."""
    parts = any(text_of(row, key) for key in ("factor", "level", "layer"))
    return not parts and text_of(row, "group") in OF_THE_MODEL
