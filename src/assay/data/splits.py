"""Divide patients into training, validation and test: never an image, always all of a patient's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from assay.core.errors import DataError, SpecError, unknown_name
from assay.core.seeds import row_uniform
from assay.core.types import FactorTable
from assay.spec.data import LESION
from assay.spec.schema import SplitSpec

PARTS = ("train", "validation", "test")
_MEANING = {
    "train": 0, "training": 0, "validation": 1, "val": 1, "valid": 1, "dev": 1, "test": 2, "testing": 2,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Split:
    """Positions in the table that was split, int64, ascending."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def split(table: FactorTable, spec: SplitSpec, seed: int, fold: int = 0) -> Split:
    """Training, validation and test rows; no patient is in two of them.

    By `folds`: fold `fold` is tested, the next one (cyclically) is validation, the others train. By `column`: as the
    table says; where it names no validation, patients are drawn from training for it. Else by the shares. The draw
    depends on the seed and on the patients' codes and labels, not on the order of rows. With folds and
    `validation: 0` the validation rows are the training rows.

    Raises:
        SpecError: For a wrong spec, DataError when there are too few patients or a patient is across the column's
            values.
    """
    if spec.folds is not None:
        return _split_by_folds(table, spec, seed, fold)
    if spec.column:
        part = _split_by_column(table, spec, seed)
    else:
        part = _by_shares(table, (spec.train, spec.validation, spec.test), seed)
    return Split(*(np.flatnonzero(part == code).astype(np.int64) for code in range(3)))


def _split_by_folds(table: FactorTable, spec: SplitSpec, seed: int, fold: int) -> Split:
    folds = spec.folds or 0
    if not 0 <= fold < folds:
        raise SpecError(f"fold {fold} of {folds} folds: expected 0 to {folds - 1}")
    tested_in = fold_numbers(table, spec, seed)
    test = np.flatnonzero(tested_in == fold).astype(np.int64)
    if spec.train_on_all_others:
        others = np.flatnonzero(tested_in != fold).astype(np.int64)
        return Split(others, others, test)
    following = (fold + 1) % folds
    train, validation = ~np.isin(tested_in, [fold, following]), tested_in == following
    return Split(np.flatnonzero(train).astype(np.int64), np.flatnonzero(validation).astype(np.int64), test)


def fold_numbers(table: FactorTable, spec: SplitSpec, seed: int) -> np.ndarray:
    """Return the fold that tests each row, int64 [n] in 0..folds - 1: as a column says, or drawn by the seed."""
    k = spec.folds or 1
    return _read_folds(table, spec.column, k) if spec.column else assign_folds(table, k, seed)


def _read_folds(table: FactorTable, column: str, k: int) -> np.ndarray:
    """Return the fold of each row as a column numbers it, int64 [n]: its values in their order are 0..k-1."""
    levels, values = _levels_of_column(table, column)
    numbered = sorted(levels, key=lambda level: (len(level), level))  # 2 before 10
    if len(levels) != k:
        raise SpecError(
            f"data.split: column '{column}' has {len(levels)} values ({', '.join(numbered[:6])}), and folds is {k}: "
            "folds must be as many as there are values"
        )
    tested_in = np.array([numbered.index(level) for level in levels], dtype=np.int64)[values]
    _refuse_shared_patients(table, tested_in, column)
    _require_all_classes(table, tested_in, [f"fold {level}" for level in numbered], "correct the column")
    return tested_in


def assign_folds(table: FactorTable, k: int, seed: int) -> np.ndarray:
    """Return the fold in which each row is tested, int64 [n] in 0..k-1: whole patients, stratified by target.

    Raises:
        DataError: If some fold would hold none of a class, as with fewer than k patients that have it.
    """
    part = _deal(table, np.full(k, 1.0 / k), seed, "folds")
    _require_all_classes(table, part, [f"fold {fold}" for fold in range(k)], f"ask for fewer than {k} folds")
    return part


def _by_shares(table: FactorTable, shares: Sequence[float], seed: int) -> np.ndarray:
    if abs(sum(shares) - 1) > 1e-6:
        raise SpecError(
            f"data.split: the shares add up to {sum(shares):g}; train, validation and test must add up to 1"
        )
    if shares[0] == 0:
        raise SpecError("data.split.train is 0; give training a share")
    part = _deal(table, np.array(shares, dtype=np.float64), seed, "split")
    names = [name if share > 0 else "" for name, share in zip(PARTS, shares, strict=True)]
    _require_all_classes(table, part, names, "raise the smallest share, or add patients")
    return part


def _require_all_classes(table: FactorTable, part: np.ndarray, names: Sequence[str], remedy: str) -> None:
    """Every part with a name holds every class that the table has."""
    for code, name in enumerate(table.classes):
        of_class = table.target == code
        for at, where in enumerate(names):
            if where and of_class.any() and not (of_class & (part == at)).any():
                patients = len(np.unique(table.patient[of_class]))
                have = "1 patient has" if patients == 1 else f"{patients} patients have"
                what = f"{where} would hold no '{name}', which {have} in all"
                mend = f"correct the table if '{name}' is no class of its own, or " if len(table.classes) > 2 else ""
                raise DataError(f"{what}; {mend}{remedy}{_cure(table, name)}")


def _cure(table: FactorTable, name: str) -> str:
    """Return further remedies where images without a lesion are too few to be in every part."""
    if table.classes != LESION.levels or name != LESION.levels[0]:
        return ""
    return (
        ", or, in a study of segmentation, test on all of them and train on lesions alone: data.split: {train: 0.6, "
        "validation: 0.2, test: 0.2, test_only: {lesion: absent}}"
    )


def _deal(table: FactorTable, shares: np.ndarray, seed: int, purpose: str) -> np.ndarray:
    """Which part each row falls into, int64 [n].

    Patients alike in their counts per class are shuffled and distributed in whole rounds, so that each part gets its
    share of every kind of patient exactly; those left over go, the largest first, where they bring images per class and
    patients per kind (which classes a patient has) nearest to the shares.
    """
    patients, member, counts = _patient_counts(table)
    order = np.argsort(row_uniform(seed, purpose, patients), kind="stable")
    kinds, kind = np.unique(counts, axis=0, return_inverse=True)
    part = np.full(len(patients), -1, dtype=np.int64)
    remainders: list[np.ndarray] = []
    for code in range(len(kinds)):
        alike = order[kind.reshape(-1)[order] == code]
        full_rounds = np.floor(len(alike) * shares + 1e-9).astype(np.int64)
        part[alike[: full_rounds.sum()]] = np.repeat(np.arange(len(shares)), full_rounds)
        remainders.append(alike[full_rounds.sum() :])
    _place_remainder(np.concatenate(remainders), counts, shares, part)
    return part[member]


def _patient_counts(table: FactorTable) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Patient codes [p], each row's position among them [n], and their image counts per class [p, k]."""
    patients, member = np.unique(table.patient, return_inverse=True)
    counts = np.zeros((len(patients), len(table.classes)), dtype=np.int64)
    np.add.at(counts, (member, table.target), 1)
    return patients.astype(np.int64), member, counts


def _place_remainder(remainder: np.ndarray, counts: np.ndarray, shares: np.ndarray, part: np.ndarray) -> None:
    """Give each patient in `left` a part, in place, keeping the sum of squared departures from the shares small."""
    kinds, kind = np.unique(counts > 0, axis=0, return_inverse=True)
    features = np.concatenate([counts, np.eye(len(kinds))[kind.reshape(-1)]], axis=1)
    features = features / np.maximum(features.sum(axis=0), 1)
    have = np.zeros((len(shares), features.shape[1]))
    dealt = part >= 0
    np.add.at(have, part[dealt], features[dealt])
    open_parts = np.flatnonzero(shares > 0)
    # Patients with several classes are few and weigh on all of them, so they are placed while there is most room.
    largest_first = np.lexsort((-counts[remainder].sum(axis=1), -(counts[remainder] > 0).sum(axis=1)))
    for patient in remainder[largest_first].tolist():
        short = have[open_parts] - shares[open_parts, None]
        cost = ((2 * short + features[patient]) * features[patient]).sum(axis=1)
        chosen = int(open_parts[np.argmin(cost)])
        part[patient] = chosen
        have[chosen] += features[patient]


def _levels_of_column(table: FactorTable, column: str) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the values of a column that divides rows, and the position of each row's value among them."""
    names = [factor.name for factor in table.factors]
    if column not in names:
        raise SpecError(f"data.split.column: {unknown_name('factor', column, names or ['(none)'])}")
    levels, values = table.factor(column).levels, table.columns[column]
    if levels and (values < 0).any():
        rows = table.named(table.row[values < 0])
        raise DataError(f"column '{column}' is missing in {int((values < 0).sum())} rows ({rows}); fill it in")
    return levels, values


def _split_by_column(table: FactorTable, spec: SplitSpec, seed: int) -> np.ndarray:
    levels, values = _levels_of_column(table, spec.column)
    for level in spec.means:
        if level not in levels:
            raise SpecError(f"data.split.means: {unknown_name(f'value of {spec.column}', level, levels)}")
    unknown = [level for level in levels if level not in spec.means and level.casefold() not in _MEANING]
    if unknown or not levels:
        raise SpecError(
            f"data.split.column: '{spec.column}' holds {', '.join(levels[:6]) or 'numbers'}; its values must be train, "
            "validation (or val) and test, or folds must say how many folds it numbers"
        )
    codes = [PARTS.index(spec.means[level]) if level in spec.means else _MEANING[level.casefold()] for level in levels]
    part = np.array(codes, dtype=np.int64)[values]
    _refuse_shared_patients(table, part, spec.column)
    for code in (0, 2):
        if not (part == code).any():
            raise SpecError(
                f"data.split.column: '{spec.column}' never says {PARTS[code]}; use folds or shares instead, or say "
                "with means which value is that part"
            )
    return part if (part == 1).any() else _with_validation(table, part, spec, seed)


def _with_validation(table: FactorTable, part: np.ndarray, spec: SplitSpec, seed: int) -> np.ndarray:
    """Draw validation patients from training, in the ratio that the shares give the two."""
    training = np.flatnonzero(part == 0)
    share = spec.validation / max(spec.train + spec.validation, 1e-9)
    part_of_row = _by_shares(table.take(training), (1 - share, share, 0.0), seed)
    out = part.copy()
    out[training[part_of_row == 1]] = 1
    return out


def _refuse_shared_patients(table: FactorTable, part: np.ndarray, column: str) -> None:
    patients, member = np.unique(table.patient, return_inverse=True)
    lies_in = np.zeros((len(patients), part.max() + 1), dtype=bool)
    lies_in[member, part] = True
    shared = lies_in.sum(axis=1) > 1
    if not shared.any():
        return
    rows = table.row[shared[member]]
    raise DataError(
        f"column '{column}' puts {int(shared.sum())} patients on several sides "
        f"({len(rows)} rows: {table.named(rows)}); move each patient to one side, "
        "or use folds or shares, which split by patient"
    )
