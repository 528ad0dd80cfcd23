"""Combine measurements of probes over seeds and folds.

`Measurements` sorts the measurements of a recipe by what was measured. `with_common_worst_place` replaces each seed's
worst group by the one that is worst on average. `average_folds` averages the folds of a seed. `FoldTables` computes
again what must be measured on all folds together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import accumulate
from operator import itemgetter
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from jaxtyping import Int
from pydantic import BaseModel

from assay.core.errors import StoreError
from assay.core.measures import PERFORMANCE, PROBES_OF_MAPS, WORST, WORST_ENVIRONMENT, WORST_GROUP
from assay.core.reasons import NO_REASON, Code, Reason, combine_reasons, reason_of
from assay.core.registry import build
from assay.core.types import Contributions, FactorTable
from assay.probes.probe import groups_of, worst_group_place
from assay.spec.recipe import Component
from assay.spec.schema import EnvironmentSpec, RecipePoint
from assay.stats.influence import ModelPredictions
from assay.stats.panel import MeasureBySeed, measure_by_seed, pseudo_samples
from assay.stats.rows import KEY_FIELDS
from assay.store.arrays import ROW_COLUMNS, measurement_row
from assay.store.description import DESCRIPTION, Rows
from assay.store.files import ColumnRows, Row

if TYPE_CHECKING:
    from assay.probes.performance import Performance
    from assay.probes.segmentation import MapMeasures
    from assay.shifts.environment import Environment
    from assay.shifts.population import Population, PopulationScene


CONTRIBUTIONS = "contributions"
"""The entry of a measurement's row that reads its contributions when they are needed; none in tables."""
PLACE = "at"
"""What it is called with: the place of the measurement in its probe unit."""
SEED = "seed"
"""The column of the seed in measurements of several seeds."""
ContributionLoader = Callable[[int], Contributions | None]
Columns = Mapping[str, Any]
"""Measurements by column."""
NUMBERS = (SEED, "value", "standard_error", "n", "patients", "chance")
SEED_COLUMNS = (*NUMBERS, "unit", "direction", "reason", CONTRIBUTIONS, PLACE)
"""Columns of a measurement that may differ between seeds."""
_UNDEFINED: Mapping[str, float] = dict.fromkeys(("value", "standard_error"), math.nan)

Key = tuple[str, str, str, str, str, str]
"""measure, environment, factor, level, layer, group"""


@dataclass(frozen=True)
class Measurements(Mapping[Key, ColumnRows]):
    """Measurements of a recipe by what was measured: of each, a row of `SEED_COLUMNS` per seed.

    Attributes:
        columns: Columns of all rows, those of one measurement one after another.
        places: Where the rows of each begin and end.
        replaced: Rows of measurements that are not as in the columns.
    """

    columns: Columns
    places: Mapping[Key, tuple[int, int]]
    replaced: Mapping[Key, ColumnRows] = field(default_factory=dict[Key, ColumnRows])

    @classmethod
    def of_recipe(cls, rows: ColumnRows, smallest_group: int) -> Measurements:
        """Sort rows with the columns `KEY_FIELDS` and `SEED_COLUMNS`; of equal ones the first counts.

        See `undefined_if_units_differ` and `with_common_worst_place`.
        """
        positions: dict[Key, dict[int, int]] = {}
        keys = zip(*(rows.columns[name] for name in KEY_FIELDS), strict=True)
        for at, (key, seed) in enumerate(zip(cast("Iterator[Key]", keys), rows.columns[SEED], strict=True)):
            positions.setdefault(key, {}).setdefault(seed, at)
        order = [at for seeds in positions.values() for at in seeds.values()]
        columns = {
            name: np.array(rows.columns[name])[order] if name in NUMBERS else [rows.columns[name][at] for at in order]
            for name in SEED_COLUMNS
        }
        ends = accumulate(map(len, positions.values()))
        places = {key: (end - len(seeds), end) for (key, seeds), end in zip(positions.items(), ends, strict=True)}
        measurements = cls(columns, places)
        mixed_keys = [key for key in places if len(set(measurements.column(key, "unit"))) > 1]
        return with_common_worst_place(
            replace(measurements, replaced={key: undefined_if_units_differ(measurements[key]) for key in mixed_keys}),
            smallest_group,
        )

    def column(self, key: Key, name: str) -> list[Any]:
        """Return one column of a measurement."""
        if key in self.replaced:
            return self.replaced[key].columns[name]
        values = self.columns[name][slice(*self.places[key])]
        return values.tolist() if isinstance(values, np.ndarray) else values

    def __getitem__(self, key: Key) -> ColumnRows:
        return self.replaced.get(key) or ColumnRows({name: self.column(key, name) for name in SEED_COLUMNS})

    def __iter__(self) -> Iterator[Key]:
        return iter(self.places)

    def __contains__(self, key: object) -> bool:
        return key in self.places  # a mapping's own makes the rows

    def __len__(self) -> int:
        return len(self.places)


# The worst group and the worst environment of a recipe: chosen by the mean over its seeds, and then one place for all.
#
# A mean over seeds of each seed's own worst is below the worst place's value, the more so the more places there are
# and the smaller: the least of several uncertain numbers is low for its uncertainty alone.


def with_common_worst_place(measurements: Measurements, smallest_group: int) -> Measurements:
    """Return the measurements of a recipe, the worst of each measure being those of one place, the same for every seed.

    Where no place has a value for every seed there is none, and a reason.

    Args:
        measurements: All measurements, among them the candidates.
        smallest_group: Images that a group needs in every seed.
    """
    keys_by_measure: dict[str, list[Key]] = {}
    for key in measurements:
        keys_by_measure.setdefault(key[0], []).append(key)
    worst = {
        key: _rows_of_worst_place(key, measurements, keys_by_measure[key[0]], smallest_group)
        for key in measurements
        if key[5] in WORST
    }
    return replace(measurements, replaced={**measurements.replaced, **worst})


def worst_place(key: Key, measurements: Measurements, candidates: Iterable[Key], smallest_group: int) -> Key | None:
    """The place whose mean over seeds is the worst, among those with a value for every seed; None where none has.

    key: of the worst place, whose seeds are meant. candidates: keys that may be places.
    """
    seeds = set[int](measurements.column(key, SEED))
    min_images = smallest_group if key[5] == WORST_GROUP else 0
    means = {
        place: float(np.mean(values))
        for place in candidates
        if _is_place(place, key) and (values := _values_of(measurements, place, seeds, min_images))
    }
    if not means:
        return None
    lower_is_worse = key[5] == WORST_GROUP or measurements.column(key, "direction")[0] == "higher"
    return (min if lower_is_worse else max)(means, key=lambda place: means[place])


def _rows_of_worst_place(
    key: Key, measurements: Measurements, candidates: Iterable[Key], smallest_group: int
) -> ColumnRows:
    worst, rows = worst_place(key, measurements, candidates, smallest_group), measurements[key]
    if worst is None:
        reasons = (reason_of(row) for row in rows if math.isnan(row["value"]))
        return _with_values(rows, **_UNDEFINED, reason=str(next(reasons, NO_REASON) or Reason.of(Code.NO_COMMON_GROUP)))
    if key[5] == WORST_ENVIRONMENT:
        where = Reason.of(Code.WORST_ENVIRONMENT_PLACE, environment=worst[1])
    else:
        where = worst_group_place(worst[2], worst[3], worst[5])
    of_place = measurements[worst].columns
    positions = [of_place[SEED].index(seed) for seed in rows.columns[SEED]]
    return _with_values(
        ColumnRows({name: [column[i] for i in positions] for name, column in of_place.items()}), reason=str(where)
    )


def _with_values(rows: ColumnRows, **values: Any) -> ColumnRows:
    """Return rows with these values in all of them."""
    return ColumnRows({**rows.columns, **{name: [value] * len(rows) for name, value in values.items()}})


def _is_place(other: Key, key: Key) -> bool:
    """Whether a measurement is of one of the places that a worst one is chosen from."""
    measure, environment, factor, level, _, group = other
    if measure != key[0] or group in WORST:
        return False
    if key[5] == WORST_ENVIRONMENT:
        return bool(environment) and not factor and not group and level == key[3]
    return environment == key[1] and bool(factor)


def _values_of(measurements: Measurements, place: Key, seeds: Collection[int], min_images: int) -> list[float]:
    """Return the values of these seeds; none where one of them has no value, or too few images."""
    rows = zip(*(measurements.column(place, name) for name in (SEED, "value", "n")), strict=True)
    values = [value for seed, value, n in rows if seed in seeds and n >= min_images and not math.isnan(value)]
    return values if len(values) == len(seeds) else []


# Measurements of several folds or seeds as one measurement.

IMAGE_GROUP_PREFIX = "row "
"""How the group of a measurement of a single image begins."""
MISSING = "missing"
"""The measure that counts images without a value of a factor."""


def undefined_if_units_differ(rows: ColumnRows) -> ColumnRows:
    """One measurement of several seeds; undefined where they did not measure the same thing, as their units tell."""
    units = _units(rows)
    if len(units) < 2:
        return rows
    return _with_values(
        rows, **_UNDEFINED, unit="", reason=str(Reason.of(Code.MIXED_UNITS, of="seeds", units=" and some ".join(units)))
    )


def average_folds(key: Key, folds: Sequence[Mapping[Key, Row]]) -> Row:
    """Average the rows of the folds of a seed: the mean of their values, NaN where one of them is NaN or absent.

    NaN too where folds did not measure the same thing, as their units show. Every reason is kept. Measurements of
    single images (a pair's logits) belong to one fold and are left as they are, and images without a value are counted,
    so that a fold without such images counts none. Contributions are averaged as values are.
    """
    rows = [fold[key] for fold in folds if key in fold]
    if len(folds) == 1 or rows[0]["group"].startswith(IMAGE_GROUP_PREFIX):
        return rows[0]
    reasons = combine_reasons(map(reason_of, rows))
    images, patients = (sum(row[name] for row in rows) for name in ("n", "patients"))
    loaders: list[tuple[ContributionLoader | None, int]] = [(row.get(CONTRIBUTIONS), row.get(PLACE, 0)) for row in rows]
    averaged = {**rows[0], "n": images, "patients": patients, CONTRIBUTIONS: partial(_mean_contributions, loaders)}
    values = np.array([row["value"] for row in rows], dtype=np.float64)
    if rows[0]["measure"] == MISSING:
        return {**averaged, "value": float(values.sum()), "reason": str(reasons)}
    units = _units(rows)
    if len(units) > 1:
        reasons += Reason.of(Code.MIXED_UNITS, of="folds", units=" and some ".join(units))
        return {**averaged, **_UNDEFINED, "unit": "", "reason": str(reasons)}
    if len(rows) < len(folds):
        reasons += Reason.of(Code.MISSING_FOLDS, count=len(rows), folds=len(folds))
        return {**averaged, **_UNDEFINED, "reason": str(reasons)}
    error = math.sqrt(sum(row["standard_error"] ** 2 for row in rows)) / len(rows)
    return {**averaged, "value": float(values.mean()), "standard_error": error, "reason": str(reasons)}


def _mean_contributions(loaders: Sequence[tuple[ContributionLoader | None, int]], _: int) -> Contributions | None:
    """The contributions to a mean of values; None where one of them has none."""
    contributions_read = [read(at) if read else None for read, at in loaders]
    defined = [contributions for contributions in contributions_read if contributions is not None]
    if len(defined) < len(contributions_read):
        return None
    samples, place = np.unique(
        np.concatenate([contributions.samples for contributions in defined]), return_inverse=True
    )
    total = np.bincount(place, np.concatenate([contributions.values for contributions in defined]), len(samples))
    return Contributions(samples, total / len(defined))


def _units(rows: Iterable[Row]) -> list[str]:
    """The units of the measurements with a value; undefined ones may have none."""
    return sorted({row["unit"] for row in rows if not math.isnan(row["value"])})


@dataclass(frozen=True, slots=True)
class ContributionReader:
    """Reads the contributions to the measurements of a probe unit by their place there; None where it kept none."""

    read: Callable[[str], Mapping[int, Contributions]]
    unit: str

    def __call__(self, place: int) -> Contributions | None:
        """Read those of one measurement."""
        return self.read(self.unit).get(place)


def by_column(rows: Sequence[Row]) -> Columns:
    """Return measurements by column."""
    return {name: [row.get(name) for row in rows] for name in (*KEY_FIELDS, *SEED_COLUMNS[1:])}


key_of: Callable[[Row], Key] = itemgetter(*KEY_FIELDS)


def values_of_seeds(
    rows: ColumnRows, samples_name: str, bounds: tuple[float, float] = (-math.inf, math.inf)
) -> MeasureBySeed:
    """Return the rows of one measurement, one per seed, as values with the contributions of their samples.

    Contributions are read only where every seed has a value. Without them, the standard errors within models are taken
    as those of samples that the seeds share and no other recipe does.

    Args:
        rows: Rows of the measurement.
        samples_name: Name of the samples of the recipe where it has no contributions (see `pseudo_samples`).
        bounds: Range of the true value.
    """
    columns = rows.columns
    values, errors = (np.array(columns[name], dtype=np.float64) for name in ("value", "standard_error"))
    seeds = np.array(columns[SEED], dtype=np.int64)
    if np.isnan(values).any():
        return measure_by_seed(values, seeds, reason=reason_of(rows[int(np.isnan(values).argmax())]))
    if np.isnan(errors).all():
        return measure_by_seed(values, seeds, bounds=bounds)
    loaders = zip(columns[CONTRIBUTIONS], columns[PLACE], strict=True)
    contributions_read = [read(at) if read else None for read, at in loaders]
    defined = [contributions for contributions in contributions_read if contributions is not None]
    if len(defined) < len(contributions_read):
        shared = pseudo_samples(errors, samples_name)
        return MeasureBySeed(values, shared.values, shared.samples, seeds, 0, bounds)
    return measure_by_seed(values, seeds, defined, bounds=bounds)


# K-fold groups and kinds of lesion: what probes say of all folds of a seed together, which none of their runs saw.
#
# A mean over folds of each fold's worst group lies below the worst group of all rows, since the least of small groups
# is lower for their smallness alone; and a mean over folds weighs one image with a kind like forty. So both are made
# anew, of the outputs that are kept per image.

POOLED = (PERFORMANCE, *PROBES_OF_MAPS)
"""Probes whose groups and kinds are of all folds together."""
FoldOutputs = Mapping[str, np.ndarray]
"""What one seed said of an environment, folds one after another: row, fold, threshold [n], logits [n, k]."""
Group = tuple[str, str, str]
"""Some rows of an environment: a factor, one of its levels or half of it, and a class, or empty for all of them."""


class PooledMeasurements(BaseModel):
    """The measurements of one seed of a recipe over all folds together."""

    recipe: str
    seed: int
    rows: Rows


class WorstGroup(BaseModel):
    """The rows of a group that is the worst where a comparison of the worst is stated.

    Attributes:
        environment: The environment.
        group: The group.
        rows: Numbers of its images.
        of: Recipes and seeds whose worst group it is; many share one.
    """

    environment: str
    group: Group
    rows: list[int]
    of: list[tuple[str, int]]


class JoinedFolds(BaseModel):
    """What tables need of all folds of a seed together, so that they can be made without the images.

    Attributes:
        folds: Folds of every seed; 1 when the split is not k-fold.
        classes: Names of the classes, in the order of their codes.
        pooled: Measurements over folds; none where there is one.
        worst: Worst groups.
    """

    folds: int
    classes: tuple[str, ...] = ()
    pooled: tuple[PooledMeasurements, ...] = ()
    worst: tuple[WorstGroup, ...] = ()

    def members(self, point: RecipePoint, seed: int, environment: str, group: Group) -> Int[np.ndarray, "n"]:
        """Return the numbers of the images of a group. Raises StoreError for one that was not kept."""
        place, key = (environment, group), (point.label, seed)
        for worst in self.worst:
            if (worst.environment, worst.group) == place and key in worst.of:
                return np.array(worst.rows, dtype=np.int64)
        raise StoreError(
            f"{DESCRIPTION} holds no images of the group {' '.join(filter(None, group))} in {environment}, which is "
            f"the worst of {point.label}: run the study again, which trains nothing that is there"
        )


@dataclass(frozen=True)
class FoldTables:
    """The rows of a study by environment, those of all folds. They are made once per tests and seed, for any recipe."""

    population: Population
    _tables: dict[tuple[str, int], Mapping[str, FactorTable]] = field(
        default_factory=dict[tuple[str, int], Mapping[str, FactorTable]]
    )

    def measurements(
        self, probes: Sequence[Component], point: RecipePoint, seed: int, outputs: Mapping[str, FoldOutputs]
    ) -> list[Row]:
        """Compute the measurements of each probe of `POOLED` on one seed, all folds together, as rows of MEASUREMENTS.

        outputs: environment -> the outputs of the seed's models, for environments that every fold has read. Without all
        of the environments there is no worst one, so that none is given.
        """
        from assay.probes.segmentation import MapMeasures

        components = [component for component in probes if component.name in POOLED]
        if not components or set(outputs) != set(point.tests):
            return []
        tables = self.by_environment(point.tests, seed)
        predictions = {
            name: _predictions_in_table_order(described, tables[name]) for name, described in outputs.items()
        }
        rows: list[Row] = []
        for component in components:
            probe: Performance | MapMeasures = build("probe", component.name, component.params)
            if isinstance(probe, MapMeasures):
                of_maps = {
                    name: answers_of_maps for name, answers_of_maps in predictions.items() if answers_of_maps[0].maps
                }
                described = probe.describe(of_maps, tables[""], self.population.kinds)
            else:
                described = probe.describe(predictions, tables[""])
            rows += [measurement_row(measurement) for measurement in described]
        return rows

    def members(self, point: RecipePoint, seed: int, environment: str, group: Group) -> list[int]:
        """The numbers of the rows of a test environment that are in a group, of all folds; none of an unknown one."""
        tables = self.by_environment(point.tests, seed)
        table, (factor, level, target) = tables[environment], group
        inside = np.zeros(len(table), dtype=bool)
        for part in groups_of(table, tables[""]):
            inside |= part.rows if (part.factor, part.level) == (factor, level) else False
        inside = inside & (table.target == table.classes.index(target)) if target else inside
        return table.row[inside].tolist()

    def all_fold_rows(self, tests: Mapping[str, EnvironmentSpec], name: str, environment: Environment) -> FactorTable:
        """All rows of a test environment, where the given one is the part of the first fold; training rows as given."""
        if self.population.folds == 1 or name not in tests:
            return environment.table
        return self.by_environment(tests, 0)[name]

    def by_environment(self, tests: Mapping[str, EnvironmentSpec], seed: int) -> Mapping[str, FactorTable]:
        """Environment -> its rows of all folds; the neutral ones under ""."""
        from assay.shifts.population import TestEnvironments

        key = ("\n".join(f"{name} {spec.model_dump_json()}" for name, spec in tests.items()), seed)
        if key not in self._tables:
            scenes = [self.population.scene(tests, seed, fold) for fold in range(self.population.folds)]
            same_in_all_folds = {name for name, environment in tests.items() if environment.data} | (
                {""} if TestEnvironments(tests).home else set[str]()
            )
            self._tables[key] = {
                name: joined_tables(
                    [_table(scene, name) for scene in (scenes[:1] if name in same_in_all_folds else scenes)]
                )
                for name in ("", *tests)
            }
        return self._tables[key]


def _table(scene: PopulationScene, name: str) -> FactorTable:
    return scene.environment(name).table if name else scene.neutral().table


def joined_tables(tables: Sequence[FactorTable]) -> FactorTable:
    """The rows of several tables of the same factors, one after another, with the number of the table as their fold."""
    first = tables[0]
    return replace(
        first,
        row=np.concatenate([table.row for table in tables]),
        target=np.concatenate([table.target for table in tables]),
        patient=np.concatenate([table.patient for table in tables]),
        columns={name: np.concatenate([table.columns[name] for table in tables]) for name in first.columns},
        fold=np.repeat(np.arange(len(tables)), [len(table) for table in tables]),
    )


def _predictions_in_table_order(outputs: FoldOutputs, table: FactorTable) -> tuple[ModelPredictions, FactorTable]:
    """Outputs in the order of the table's rows, which are matched by number within the environment."""
    order = np.argsort(outputs["row"], kind="stable")
    sorted_table = table.take(np.argsort(table.row, kind="stable"))
    if not np.array_equal(outputs["row"][order], sorted_table.row) or not np.array_equal(
        outputs["target"][order], sorted_table.target
    ):
        raise StoreError(
            f"the outputs hold {len(order)} rows and the environment {len(sorted_table)}, not the same ones: "
            "the data changed since the study ran; run it again"
        )
    maps = {
        name: column[order]
        for name, column in outputs.items()
        if name not in (*ROW_COLUMNS, "threshold", "logits", "specific")
    }
    of_rows = outputs["logits"][order], sorted_table.target, outputs["threshold"][order], outputs["fold"][order]
    answers = ModelPredictions(*of_rows, maps=maps, class_names=sorted_table.classes)
    return answers, sorted_table
