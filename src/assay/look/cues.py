"""Find columns that predict the target without a network: one AUROC per column, with its interval over patients.

The input is the table of the images. `image_cues` adds properties of the images themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from assay.core.reasons import Code, Field, Reason
from assay.core.seeds import folds_by_patient
from assay.core.types import Factor, FactorTable
from assay.stats.estimate import interval
from assay.stats.influence import auroc_influence, sum_by_patient
from assay.stats.metrics import placements
from assay.stats.panel import effective_patients
from assay.store.data_tables import LARGE
from assay.store.files import Row

CAUTION_AUROC = 0.6
"""A cue whose AUROC has an interval above this is a caution. Of many useless cues, hardly any reaches it."""
FOLDS, SEED = 5, 0
MIN_ROWS = 10
"""Least rows on each side for an AUROC: of fewer, a column can separate the sides by chance."""
BINS = 8
"""Bins of equal size of a number, which show whether it predicts the target other than by being high or low."""
MIN_GAIN = 0.05
"""Least gain in AUROC by bins, from which on it replaces the AUROC of the number."""
MIXED = "mixed"
"""Direction of a number that predicts the target other than by being high or low."""


@dataclass(frozen=True)
class Cue:
    """A score that may predict the target without a network.

    Attributes:
        row: Its row of `data_tables.SHORTCUTS`.
        scores: Class code -> the score of each image, NaN where there is none.
    """

    row: Row
    scores: Mapping[int, Float[np.ndarray, " n"]]

    def expand_to_all(self, rows: Int[np.ndarray, " m"], images: int) -> Cue:
        """Return the cue of some images (`rows`) with scores for all images, NaN for the others."""
        scores = {code: np.full(images, np.nan) for code in self.scores}
        for code, score in self.scores.items():
            scores[code][rows] = score
        return replace(self, scores=scores)


OF_COLUMNS = ("factor", "column")
"""Kinds of cues that are a column of the table, which readers understand more easily than properties of images."""


def shortcut_rows(cues: Iterable[Cue]) -> list[Row]:
    """Return rows of `data_tables.SHORTCUTS`, the greatest AUROC first; of those that round alike, columns first."""

    def order_of_cue(row: Row) -> tuple[float, bool, float]:
        value = -1.0 if np.isnan(row["value"]) else float(row["value"])
        return -round(value, 2), row["kind"] not in OF_COLUMNS, -value

    return sorted((cue.row for cue in cues), key=order_of_cue)


def cues_of_table(table: FactorTable, kind: str = "factor") -> Iterator[Cue]:
    """Yield the factors of a table, and whether they are filled."""
    for factor in table.factors:
        if factor.role == "core":
            continue
        yield _factor_cue(kind, factor, table)
        values = table.columns[factor.name]
        is_present = (values >= 0 if factor.levels else np.isfinite(values.astype(np.float64))).astype(np.float64)
        if MIN_ROWS <= is_present.sum() <= len(is_present) - MIN_ROWS:
            yield cue_of("filled", factor.name, table, dict.fromkeys(compared_classes(table), is_present), None)


def shortcut_cautions(rows: Sequence[Row]) -> Iterator[Reason]:
    """Yield the caution on strong predictors of the target, and of lesion area."""
    for size in (0, 1):
        # A check of few images is strong by its class, and predicts little; the reason of its images says so.
        strong = [row for row in rows if row["strong"] and (row["of"] == LARGE) == size]
        if strong := [row for row in strong if row["kind"] != "check" or row["low"] > CAUTION_AUROC]:
            columns = {"kinds": "kind", "names": "name", "values": "value", "lows": "low", "highs": "high"}
            fields: dict[str, Field] = {key: tuple(str(row[of]) for row in strong) for key, of in columns.items()}
            yield Reason.of(Code.PLAIN_SIGHT, **fields, **({"size": size} if size else {}))


# AUROC of a score per image for a class of the target.


@dataclass(frozen=True)
class _AurocOfScore:
    """AUROC of a score for a class against the others, with its 95% interval and the direction of the score."""

    value: float
    low: float
    high: float
    direction: str = ""


def _auroc_with_interval(
    score: Float[np.ndarray, " n"],
    positive: Bool[np.ndarray, " n"],
    patient: Int[np.ndarray, " n"],
    fold: Int[np.ndarray, " n"] | None,
    spread: float = 1.0,
) -> _AurocOfScore:
    """Compute an AUROC with its 95% interval over patients (DeLong's components, summed by patient).

    Args:
        score: A score per image.
        positive: Whether an image is of the class.
        patient: Codes of patients.
        fold: Fold for which a score was fitted: images are compared within a fold. None for a score that was not
            fitted, which is turned so that its AUROC is at least 0.5.
        spread: Factor of the standard error.
    """
    answer = positive.astype(np.int64)
    right, opposite = placements(score, answer, fold)
    value = float(right[positive].sum() / opposite[positive].sum())
    error = sum_by_patient(auroc_influence(right, opposite, answer), patient).standard_error
    direction = ""
    if fold is None:
        direction = "higher" if value >= 0.5 else "lower"
        value = max(value, 1 - value)
    least = min(effective_patients(patient[side]) for side in (positive, ~positive))
    return _AurocOfScore(value, *auroc_interval(value, spread * error, least), direction)


def auroc_interval(value: float, error: float, least: float) -> tuple[float, float]:
    """Return the 95% interval of an AUROC over patients, of which the smaller side has `least` effective ones."""
    if value in (0.0, 1.0):  # no variance is seen: the exact bound of the smaller side (Clopper and Pearson)
        edge = 0.025 ** (1 / least)
        return (edge, 1.0) if value else (0.0, 1 - edge)
    return interval(value, error, max(1, least - 1), (0.0, 1.0))


def cue_of(
    kind: str,
    name: str,
    table: FactorTable,
    scores: Mapping[int, np.ndarray],
    fold: np.ndarray | None,
    spread: float = 1.0,
) -> Cue:
    """Return the cue of scores, with the AUROC for the class that they predict best.

    Args:
        kind: Kind of the cue, see the table `shortcuts`.
        name: Name of the cue.
        table: The images.
        scores: Class code -> a number per row, NaN where there is none.
        fold: See `_auroc_with_interval`.
        spread: See `_auroc_with_interval`.
    """
    best, class_name, images, patients = None, "", 0, 0
    for code, score in scores.items():
        present = np.isfinite(score)
        positive = table.target[present] == code
        if min(positive.sum(), (~positive).sum()) < MIN_ROWS:
            continue
        auroc = _auroc_with_interval(
            score[present], positive, table.patient[present], None if fold is None else fold[present], spread
        )
        if best is None or auroc.value > best.value:
            best, class_name = auroc, table.classes[code]
            images, patients = int(present.sum()), len(np.unique(table.patient[present]))
    reason = "" if best else str(Reason.of(Code.FEW_VALUES, least=MIN_ROWS))
    best = best or _AurocOfScore(np.nan, np.nan, np.nan)
    row = {
        "name": name,
        "kind": kind,
        "of": class_name,
        "value": best.value,
        "low": best.low,
        "high": best.high,
        "direction": best.direction,
        "strong": best.low > CAUTION_AUROC,
        "images": images,
        "patients": patients,
        "reason": reason,
    }
    return Cue(row, scores)


def number_cue(kind: str, name: str, values: Float[np.ndarray, " n"], table: FactorTable) -> Cue:
    """Return the cue of a number as it is, or in bins where these predict the target more clearly.

    A number may be high for two classes and low for a third, or positives may have middle values. The score of a bin is
    the share of the class among patients of the other folds, so that a number without information gains nothing.
    """
    raw = cue_of(kind, name, table, dict.fromkeys(compared_classes(table), values), None)
    present = np.isfinite(values)
    if len(np.unique(values[present])) <= 2:
        return raw

    def bins(fitted: Bool[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
        edges = np.unique(np.quantile(values[fitted], np.arange(1, BINS) / BINS))
        return np.searchsorted(edges, values, side="right")

    binned = level_cue(kind, name, table, present, bins)
    is_clearer = binned.row["value"] > raw.row["value"] + MIN_GAIN
    return replace(binned, row={**binned.row, "direction": MIXED}) if is_clearer else raw


def compared_classes(table: FactorTable) -> Sequence[int]:
    """Return the codes of the classes that are compared with the others: the last of two, each of several."""
    return (1,) if len(table.classes) == 2 else range(len(table.classes))


def _factor_cue(kind: str, factor: Factor, table: FactorTable) -> Cue:
    """Return the cue of a factor: numbers, ordered levels and two levels as they are.

    The score of one of several unordered levels is the share of the class among patients of the other folds with it.
    """
    if factor.kind != "categorical" or len(factor.levels) in (0, 2):  # a blank column has no levels
        values = table.columns[factor.name].astype(np.float64)
        score = np.where(values < 0, np.nan, values) if factor.levels else values
        cue = number_cue(kind, factor.name, score, table)
        if factor.kind != "categorical" or len(factor.levels) != 2 or not cue.row["direction"]:
            return cue
        frequent = factor.levels[1 if cue.row["direction"] == "higher" else 0]
        return replace(cue, row={**cue.row, "direction": frequent})
    level = table.columns[factor.name].astype(np.int64)
    return level_cue(kind, factor.name, table, level >= 0, lambda _: level)


def level_cue(
    kind: str,
    name: str,
    table: FactorTable,
    present: Bool[np.ndarray, " n"],
    levels: Callable[[Bool[np.ndarray, " n"]], Int[np.ndarray, " n"]],
) -> Cue:
    """Return the cue of levels, whose score is the share of the class among patients of the other folds.

    Args:
        kind: Kind of the cue.
        name: Name of the cue.
        table: The images.
        present: Whether a row has a value.
        levels: Returns the level of every row, fitted to some of the rows.
    """
    fold = folds_by_patient(table.patient, FOLDS, SEED)
    scores = {code: np.full(len(present), np.nan) for code in compared_classes(table)}
    for part in np.unique(fold):
        fitted, tested = present & (fold != part), present & (fold == part)
        if fitted.any() and tested.any():
            level = levels(fitted)
            for code, score in scores.items():
                score[tested] = _shares(level[fitted], table.target[fitted] == code, level[tested])
    return cue_of(kind, name, table, scores, fold)


def _shares(
    level: Int[np.ndarray, " m"], positive: Bool[np.ndarray, " m"], levels_of_tested: Int[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """Return the share of the class in each of `levels_of_tested`; in a level without rows, the share in all."""
    size = int(max(level.max(), levels_of_tested.max())) + 1
    counts, sums = np.bincount(level, minlength=size), np.bincount(level, weights=positive, minlength=size)
    return np.where(counts > 0, sums / np.maximum(counts, 1), positive.mean())[levels_of_tested]
