"""Measurements of probes over seeds and folds: the worst of several, and when several are one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import itemgetter
from typing import Any

import numpy as np

from assay.core.measures import WORST, WORST_ENVIRONMENT, WORST_GROUP
from assay.core.reasons import NOTHING, Code, because, reason_of, together
from assay.core.types import Contributions
from assay.probes.probe import worst_group_place
from assay.stats.panel import Evaluated, of_seeds, own_samples
from assay.stats.rows import KEY_FIELDS
from assay.store.files import Row

CONTRIBUTIONS = "contributions"
"""The entry of a measurement's row that reads its contributions when they are needed; none in tables."""
AT = "at"
"""What it is called with: the place of the measurement in its probe unit."""
Reader = Callable[[int], Contributions | None]
Columns = Mapping[str, Any]
"""Measurements by column."""
NUMBERS = ("value", "standard_error", "n", "patients", "chance")
OF_EACH_SEED = (*NUMBERS, "unit", "direction", "reason", CONTRIBUTIONS, AT)
"""Columns of a measurement that may differ between seeds."""
_UNDEFINED: Mapping[str, float] = dict.fromkeys(("value", "standard_error"), math.nan)


# The worst group and the worst environment of a recipe: chosen by the mean over its seeds, and then one place for all.
#
# A mean over seeds of each seed's own worst is below the worst place's value, the more so the more places there are
# and the smaller: the least of several uncertain numbers is low for its uncertainty alone.

Key = tuple[str, str, str, str, str, str]
"""measure, environment, factor, level, layer, group"""
BySeed = Mapping[int, Row]


def with_one_worst(every: Mapping[Key, BySeed], smallest_group: int) -> dict[Key, BySeed]:
    """The measurements of a recipe, the worst of each measure being those of one place, the same for every seed.

    every: measurement key -> seed -> measurement, among them the candidates. smallest_group: images that a group needs
    in every seed. Where no place has a value for every seed there is none, and a reason.
    """
    alike: dict[str, dict[Key, BySeed]] = {}
    for key, rows in every.items():
        alike.setdefault(key[0], {})[key] = rows
    return {
        key: _worst(key, rows, alike[key[0]], smallest_group) if key[5] in WORST else rows
        for key, rows in every.items()
    }


def chosen_place(key: Key, every: Mapping[Key, BySeed], smallest_group: int) -> Key | None:
    """The place whose mean over seeds is the worst, among those with a value for every seed; None where none has.

    key: of the worst place, whose seeds are meant.
    """
    seeds = every[key]
    places = {other: found for other, found in every.items() if _is_place(other, key)}
    least = smallest_group if key[5] == WORST_GROUP else 0
    means = {
        place: float(np.mean(values))
        for place, found in places.items()
        if set(found) >= set(seeds) and (values := _counted(found, seeds, least))
    }
    if not means:
        return None
    lower_is_worse = key[5] == WORST_GROUP or next(iter(seeds.values()))["direction"] == "higher"
    return (min if lower_is_worse else max)(means, key=lambda place: means[place])


def _worst(key: Key, rows: BySeed, every: Mapping[Key, BySeed], smallest_group: int) -> BySeed:
    chosen = chosen_place(key, every, smallest_group)
    if chosen is None:
        known = (reason_of(row) for row in rows.values() if math.isnan(row["value"]))
        reason = str(next(known, NOTHING) or because(Code.NO_COMMON_GROUP))
        return {seed: {**row, **_UNDEFINED, "reason": reason} for seed, row in rows.items()}
    if key[5] == WORST_ENVIRONMENT:
        where = because(Code.WORST_ENVIRONMENT_PLACE, environment=chosen[1])
    else:
        where = worst_group_place(chosen[2], chosen[3], chosen[5])
    return of_place(every[chosen], key, list(rows), str(where))


def _is_place(other: Key, key: Key) -> bool:
    """Whether a measurement is of one of the places that a worst one is chosen from."""
    measure, environment, factor, level, _, group = other
    if measure != key[0] or group in WORST:
        return False
    if key[5] == WORST_ENVIRONMENT:
        return bool(environment) and not factor and not group and level == key[3]
    return environment == key[1] and bool(factor)


def _counted(found: BySeed, seeds: BySeed, least: int) -> list[float]:
    """Return the values of these seeds; none where one of them has no value, or too few images."""
    every = zip(found, column_of(found, "value"), column_of(found, "n"), strict=True)
    values = [value for seed, value, n in every if seed in seeds and n >= least and not math.isnan(value)]
    return values if len(values) == len(seeds) else []


# When measurements of several folds, or of several seeds, are one measurement, and when they are not.

OF_ONE_IMAGE = "row "
"""How the group of a measurement of a single image begins."""
MISSING = "missing"
"""The measure that counts images without a value of a factor."""


def of_one_unit(rows: BySeed) -> BySeed:
    """One measurement of several seeds; undefined where they did not measure the same thing, as their units tell."""
    units = _units(rows.values()) if len(set(column_of(rows, "unit"))) > 1 else ()
    if len(units) < 2:
        return rows
    reason = str(because(Code.MIXED_UNITS, of="seeds", units=" and some ".join(units)))
    return {seed: {**row, **_UNDEFINED, "unit": "", "reason": reason} for seed, row in rows.items()}


def over_folds(key: Key, folds: Sequence[Mapping[Key, Row]]) -> Row:
    """Average the rows of the folds of a seed: the mean of their values, NaN where one of them is NaN or absent.

    NaN too where folds did not measure the same thing, as their units show. Every reason is kept. Measurements of
    single images (a pair's logits) belong to one fold and are left as they are, and images without a value are counted,
    so that a fold without such images counts none. Contributions are averaged as values are.
    """
    rows = [fold[key] for fold in folds if key in fold]
    if len(folds) == 1 or rows[0]["group"].startswith(OF_ONE_IMAGE):
        return rows[0]
    reasons = together(map(reason_of, rows))
    images, patients = (sum(row[name] for row in rows) for name in ("n", "patients"))
    readers: list[tuple[Reader | None, int]] = [(row.get(CONTRIBUTIONS), row.get(AT, 0)) for row in rows]
    total = {**rows[0], "n": images, "patients": patients, CONTRIBUTIONS: partial(_averaged, readers)}
    values = np.array([row["value"] for row in rows], dtype=np.float64)
    if rows[0]["measure"] == MISSING:
        return {**total, "value": float(values.sum()), "reason": str(reasons)}
    units = _units(rows)
    if len(units) > 1:
        reasons += because(Code.MIXED_UNITS, of="folds", units=" and some ".join(units))
        return {**total, **_UNDEFINED, "unit": "", "reason": str(reasons)}
    if len(rows) < len(folds):
        reasons += because(Code.MISSING_FOLDS, count=len(rows), folds=len(folds))
        return {**total, **_UNDEFINED, "reason": str(reasons)}
    error = math.sqrt(sum(row["standard_error"] ** 2 for row in rows)) / len(rows)
    return {**total, "value": float(values.mean()), "standard_error": error, "reason": str(reasons)}


def _averaged(readers: Sequence[tuple[Reader | None, int]], _: int) -> Contributions | None:
    """The contributions to a mean of values; None where one of them has none."""
    found = [read(at) if read else None for read, at in readers]
    known = [one for one in found if one is not None]
    if len(known) < len(found):
        return None
    samples, place = np.unique(np.concatenate([one.samples for one in known]), return_inverse=True)
    total = np.bincount(place, np.concatenate([one.values for one in known]), len(samples))
    return Contributions(samples, total / len(known))


def _units(rows: Iterable[Row]) -> list[str]:
    """The units of the measurements with a value; undefined ones may have none."""
    return sorted({row["unit"] for row in rows if not math.isnan(row["value"])})


@dataclass(frozen=True, slots=True)
class Kept:
    """Reads the contributions to the measurements of a probe unit by their place there; None where it kept none."""

    read: Callable[[str], Mapping[int, Contributions]]
    unit: str

    def __call__(self, place: int) -> Contributions | None:
        """Read those of one measurement."""
        return self.read(self.unit).get(place)


@dataclass(frozen=True, slots=True)
class OfSeeds(Mapping[int, Row]):
    """One measurement of several seeds; a row is made when it is read.

    Attributes:
        key: What was measured.
        seeds: The seeds.
        places: Their places in the columns, one after another.
        columns: Columns of all measurements of a recipe.
        reason: In place of those in the columns; theirs where None.
    """

    key: Key
    seeds: tuple[int, ...]
    places: range
    columns: Columns
    reason: str | None = None

    def column(self, name: str) -> list[Any]:
        """Return the values of the seeds in a column."""
        if name == "reason" and self.reason is not None:
            return [self.reason] * len(self.seeds)
        found = self.columns[name][self.places.start : self.places.stop]
        return found.tolist() if isinstance(found, np.ndarray) else found

    def __getitem__(self, seed: int) -> Row:
        at = self.places[self.seeds.index(seed)]
        row: Row = {**dict(zip(KEY_FIELDS, self.key, strict=True))}
        for name, column in self.columns.items():
            row[name] = column.item(at) if isinstance(column, np.ndarray) else column[at]
        return row if self.reason is None else {**row, "reason": self.reason}

    def __iter__(self) -> Iterator[int]:
        return iter(self.seeds)

    def __len__(self) -> int:
        return len(self.seeds)


def of_place(found: BySeed, key: Key, seeds: Sequence[int], reason: str) -> BySeed:
    """Return the measurement of a place as that of the worst one, of these seeds."""
    if isinstance(found, OfSeeds) and list(found) == seeds:
        return replace(found, key=key, reason=reason)
    named = {"environment": key[1], "factor": "", "level": key[3], "group": key[5]}
    return {seed: {**found[seed], **named, "reason": reason} for seed in seeds}


def column_of(by_seed: BySeed, name: str) -> list[Any]:
    """Return one column of a measurement of several seeds."""
    return by_seed.column(name) if isinstance(by_seed, OfSeeds) else [row.get(name) for row in by_seed.values()]


def by_column(rows: Sequence[Row]) -> Columns:
    """Return measurements by column."""
    return {name: [row.get(name) for row in rows] for name in (*KEY_FIELDS, *OF_EACH_SEED)}


key_of: Callable[[Row], Key] = itemgetter(*KEY_FIELDS)


def values_of_seeds(
    by_seed: Mapping[int, Row], own: str, bounds: tuple[float, float] = (-math.inf, math.inf)
) -> Evaluated:
    """Return the rows of one measurement, by seed, as values with the contributions of their samples.

    Contributions are read only where every seed has a value. Without them, the standard errors within models are taken
    as those of samples that the seeds share and no other recipe does.

    Args:
        by_seed: Rows of the measurement.
        own: Name of the samples of the recipe where it has no contributions (see `own_samples`).
        bounds: Range of the true value.
    """
    values, errors = (np.array(column_of(by_seed, name), dtype=np.float64) for name in ("value", "standard_error"))
    seeds = np.array(list(by_seed), dtype=np.int64)
    if np.isnan(values).any():
        undefined = next(row for row in by_seed.values() if math.isnan(row["value"]))
        return of_seeds(values, seeds, reason=reason_of(undefined))
    if np.isnan(errors).all():
        return of_seeds(values, seeds, bounds=bounds)
    readers = zip(column_of(by_seed, CONTRIBUTIONS), column_of(by_seed, AT), strict=True)
    found = [read(at) if read else None for read, at in readers]
    kept = [one for one in found if one is not None]
    if len(kept) < len(found):
        shared = own_samples(errors, own)
        return Evaluated(values, shared.values, shared.samples, seeds, 0, bounds)
    return of_seeds(values, seeds, kept, bounds=bounds)
