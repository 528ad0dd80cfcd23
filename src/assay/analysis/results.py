"""Gather results of trials over seeds and folds, with worst groups."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache, partial
from operator import itemgetter
from typing import Any, Protocol, cast

import numpy as np
from jaxtyping import Int

from assay.core.errors import StoreError
from assay.core.map_grid import AT_NATIVE
from assay.core.measures import OF_WORST_GROUP, WORST, WORST_ENVIRONMENT, WORST_GROUP
from assay.core.reasons import NOTHING, Code, Reason, because, reason_of, together
from assay.core.registry import build, lookup
from assay.core.types import TRAINED_GROUPS, Contributions, FactorTable
from assay.execution.jobs import operating_of, specific_of
from assay.execution.plan import Plan, ProbeUnit, Trial, start_id
from assay.maps.summary import of_one_width
from assay.probes.performance import Performance, overall
from assay.probes.probe import groups_of, worst_group_place
from assay.probes.segmentation import OfMaps
from assay.shifts.environment import Environment
from assay.shifts.population import Population, PopulationScene
from assay.spec.recipe import Component, readout_of
from assay.spec.schema import REFERABLE, ContrastSpec, EnvironmentSpec, RecipePoint
from assay.stats.influence import Answers
from assay.stats.measures import COMPUTED
from assay.stats.panel import Evaluated, Panel, of_seeds, own_samples
from assay.store.files import ColumnRows, Row
from assay.store.folder import OF_ROWS, RunFolder, measurement_row

# K-fold groups and kinds of lesion: what probes say of all folds of a seed together, which none of their runs saw.
#
# A mean over folds of each fold's worst group lies below the worst group of all rows, since the least of small groups
# is lower for their smallness alone; and a mean over folds weighs one image with a kind like forty. So both are made
# anew, of the outputs that are kept per image.

CONTRIBUTIONS = "contributions"
"""The entry of a measurement's row that reads its contributions when they are needed; none in tables."""
Reader = Callable[[], Contributions | None]
PERFORMANCE = "performance"
POOLED = (PERFORMANCE, "segmentation", "lesion-free")
"""Probes whose groups and kinds are of all folds together."""
Columns = Mapping[str, Any]
"""Measurements by column."""
Outputs = Mapping[str, np.ndarray]
"""What one seed said of an environment, folds one after another: row, fold, threshold [n], logits [n, k]."""


Group = tuple[str, str, str]
"""Some rows of an environment: a factor, one of its levels or half of it, and a class, or empty for all of them."""


class Pooled(Protocol):
    """Measurements of all folds of a seed together."""

    @property
    def folds(self) -> int:
        """In how many folds every seed trained; 1 when the split is not k-fold."""
        ...

    def measurements(self, point: RecipePoint, seed: int, outputs: Mapping[str, Outputs]) -> list[Row]:
        """See `Folds.measurements`."""
        ...

    def members(self, point: RecipePoint, seed: int, environment: str, group: Group) -> Int[np.ndarray, "n"]:
        """See `Folds.members`."""
        ...


@dataclass(frozen=True)
class Folds:
    """The rows of a k-fold study by environment. Tables are made once per tests and seed, whatever the recipe."""

    population: Population
    probes: Sequence[Component]
    _tables: dict[tuple[str, int], Mapping[str, FactorTable]] = field(
        default_factory=dict[tuple[str, int], Mapping[str, FactorTable]]
    )

    @property
    def folds(self) -> int:
        """See `Pooled`."""
        return self.population.folds

    def measurements(self, point: RecipePoint, seed: int, outputs: Mapping[str, Outputs]) -> list[Row]:
        """Compute the measurements of each probe of `POOLED` on one seed, all folds together, as rows of MEASUREMENTS.

        outputs: environment -> the outputs of the seed's models, for environments that every fold has read. Without all
        of the environments there is no worst one, so that none is given.
        """
        components = [component for component in self.probes if component.name in POOLED]
        if not components or set(outputs) != set(point.tests):
            return []
        tables = self.tables(point.tests, seed)
        middle = readout_of(point.recipe.loss) != "linear"
        answered = {name: _answers(found, tables[name], middle) for name, found in outputs.items()}
        rows: list[Row] = []
        for component in components:
            probe: Performance | OfMaps = build("probe", component.name, component.params)
            if isinstance(probe, OfMaps):
                of_maps = {name: found for name, found in answered.items() if found[0].maps}
                found = probe.describe(of_maps, tables[""], self.population.kinds)
            else:
                found = probe.describe(answered, tables[""])
            rows += [measurement_row(one) for one in found]
        return rows

    def members(self, point: RecipePoint, seed: int, environment: str, group: Group) -> Int[np.ndarray, "n"]:
        """The numbers of the rows of a test environment that are in a group, of all folds; none of an unknown one."""
        tables = self.tables(point.tests, seed)
        table, (factor, level, target) = tables[environment], group
        inside = np.zeros(len(table), dtype=bool)
        for one in groups_of(table, tables[""]):
            inside |= one.rows if (one.factor, one.level) == (factor, level) else False
        return table.row[inside & (table.target == table.classes.index(target)) if target else inside]

    def whole(self, tests: Mapping[str, EnvironmentSpec], name: str, environment: Environment) -> FactorTable:
        """All rows of a test environment, where the given one is the part of the first fold; training rows as given."""
        if self.population.folds == 1 or name not in tests:
            return environment.table
        return self.tables(tests, 0)[name]

    def tables(self, tests: Mapping[str, EnvironmentSpec], seed: int) -> Mapping[str, FactorTable]:
        """Environment -> its rows of all folds; the neutral ones under ""."""
        key = ("\n".join(f"{name} {spec.model_dump_json()}" for name, spec in tests.items()), seed)
        if key not in self._tables:
            scenes = [self.population.scene(tests, seed, fold) for fold in range(self.population.folds)]
            self._tables[key] = {
                name: joined_tables([_table(scene, name) for scene in scenes]) for name in ("", *tests)
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


def _answers(found: Outputs, table: FactorTable, middle: bool) -> tuple[Answers, FactorTable]:
    """Outputs in the order of the table's rows, which are matched by number within the environment."""
    order = np.argsort(found["row"], kind="stable")
    mine = table.take(np.argsort(table.row, kind="stable"))
    if not np.array_equal(found["row"][order], mine.row) or not np.array_equal(found["target"][order], mine.target):
        raise StoreError(
            f"the outputs hold {len(order)} rows and the environment {len(mine)}, not the same ones: "
            "the data changed since the study ran; run it again"
        )
    maps = {
        name: column[order]
        for name, column in found.items()
        if name not in (*OF_ROWS, "threshold", "logits", "specific")
    }
    said = Answers(
        found["logits"][order], mine.target, found["threshold"][order], found["fold"][order], maps=maps, middle=middle
    )
    return said, mine


# The worst group and the worst environment of a recipe: chosen by the mean over its seeds, and then one place for all.
#
# A mean over seeds of each seed's own worst lies below the worst place's value, the more so the more places there are
# and the smaller: the least of several uncertain numbers is low for its uncertainty alone.

Key = tuple[str, str, str, str, str, str]
"""measure, environment, factor, level, layer, group"""
BySeed = Mapping[int, Row]


def with_one_worst(every: Mapping[Key, BySeed], smallest_group: int) -> dict[Key, BySeed]:
    """The measurements of a recipe, the worst of each measure being those of one place, the same for every seed.

    every: measurement key -> seed -> measurement, among them the candidates. smallest_group: images that a group needs
    in every seed. Where no place has a value for every seed there is none, and a reason.
    """
    return {key: _worst(key, rows, every, smallest_group) if key[5] in WORST else rows for key, rows in every.items()}


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
        return {seed: {**row, "value": math.nan, "standard_error": math.nan, "reason": reason}
                for seed, row in rows.items()}  # fmt: skip
    if key[5] == WORST_ENVIRONMENT:
        where = because(Code.WORST_ENVIRONMENT_PLACE, environment=chosen[1])
    else:
        where = worst_group_place(chosen[2], chosen[3], chosen[5])
    named = {"environment": key[1], "factor": "", "level": key[3], "group": key[5]}
    return {seed: {**every[chosen][seed], **named, "reason": str(where)} for seed in rows}


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
    return {
        seed: {**row, "unit": "", "value": math.nan, "standard_error": math.nan, "reason": reason}
        for seed, row in rows.items()
    }


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
    readers: list[Reader | None] = [row.get(CONTRIBUTIONS) for row in rows]
    total = {**rows[0], "n": images, "patients": patients, CONTRIBUTIONS: partial(_averaged, readers)}
    values = np.array([row["value"] for row in rows], dtype=np.float64)
    if rows[0]["measure"] == MISSING:
        return {**total, "value": float(values.sum()), "reason": str(reasons)}
    units = _units(rows)
    if len(units) > 1:
        reasons += because(Code.MIXED_UNITS, of="folds", units=" and some ".join(units))
        return {**total, "unit": "", "value": math.nan, "standard_error": math.nan, "reason": str(reasons)}
    if len(rows) < len(folds):
        reasons += because(Code.MISSING_FOLDS, count=len(rows), folds=len(folds))
        return {**total, "value": math.nan, "standard_error": math.nan, "reason": str(reasons)}
    error = math.sqrt(sum(row["standard_error"] ** 2 for row in rows)) / len(rows)
    return {**total, "value": float(values.mean()), "standard_error": error, "reason": str(reasons)}


def _averaged(readers: Sequence[Reader | None]) -> Contributions | None:
    """The contributions to a mean of values; None where one of them has none."""
    found = [read() if read else None for read in readers]
    known = [one for one in found if one is not None]
    if len(known) < len(found):
        return None
    samples, place = np.unique(np.concatenate([one.samples for one in known]), return_inverse=True)
    total = np.bincount(place, np.concatenate([one.values for one in known]), len(samples))
    return Contributions(samples, total / len(known))


def _units(rows: Iterable[Row]) -> list[str]:
    """The units of the measurements with a value; undefined ones may have none."""
    return sorted({row["unit"] for row in rows if not math.isnan(row["value"])})


# From records to what statistics take: panels of outputs per recipe and environment, and probes' values per seed.

KEY_FIELDS = ("measure", "environment", "factor", "level", "layer", "group")
SURFACES = {"surface_code": "shared", f"{AT_NATIVE}surface_code": f"{AT_NATIVE}shared"}
"""Columns that are 0 where truth and prediction both have a surface -> those that say where all recipes have both."""
READ_AT_ONCE = 64
"""Probe units whose contributions are held at once: about 0.2 MB each."""
SPECIFIC = "specific"
"""The column of log-odds from which specificities are reached on validation rows."""
NUMBERS = ("value", "standard_error", "n", "patients", "chance")
OF_EACH_SEED = (*NUMBERS, "unit", "direction", "reason", CONTRIBUTIONS)
"""Columns of a measurement that may differ between seeds."""
PANELS = 16
"""Panels kept in memory with the measures computed of them. One of 10 seeds takes 2 MB and more."""


@dataclass(frozen=True)
class Gathered:
    """The complete records of a study, by recipe and seed."""

    plan: Plan
    folder: RunFolder
    folds: Pooled

    @cached_property
    def records(self) -> Mapping[str, dict[str, Any]]:
        """Trial id -> its record, for complete trials."""
        complete = [trial.id for trial in self.plan.trials if self.folder.complete("trials", trial.id)]
        return {id: self.folder.record("trials", id) for id in complete}

    @cached_property
    def failures(self) -> Mapping[str, dict[str, Any]]:
        """Trial id -> record of its failure or that of its probes."""
        return self.folder.failures()

    @cached_property
    def by_point(self) -> Mapping[str, Mapping[int, list[Trial]]]:
        """Recipe label -> seed -> its trials, one per fold."""
        found: dict[str, dict[int, list[Trial]]] = {point.label: {} for point in self.plan.spec.points}
        for trial in self.plan.trials:
            found[trial.point.label].setdefault(trial.training.seed, []).append(trial)
        return found

    def kept_seeds(self, point: RecipePoint) -> list[int]:
        """Seeds all of whose folds were trained to the end and did not collapse or diverge."""
        return [seed for seed, trials in self.by_point[point.label].items() if all(map(self._kept, trials))]

    def lost_seeds(self, point: RecipePoint) -> list[int]:
        """Seeds with a fold that collapsed or diverged."""
        statuses = {
            seed: {self.records[trial.id]["status"] for trial in trials if trial.id in self.records}
            for seed, trials in self.by_point[point.label].items()
        }
        return [seed for seed, status in statuses.items() if status & {"collapsed", "diverged"}]

    def panel(self, point: RecipePoint, environment: str) -> Panel | None:
        """Return the outputs of a recipe's kept seeds in an environment; None when no seed has been read there."""
        return self._panels(point.label, environment)

    @cached_property
    def _panels(self) -> Any:
        return lru_cache(maxsize=PANELS)(self._panel)

    def _panel(self, label: str, environment: str) -> Panel | None:
        point = next(point for point in self.plan.spec.points if point.label == label)
        ahead = self._ahead.pop((label, environment), None)
        found = self._reads(self.kept_seeds(point), label, [environment])[environment] if ahead is None else ahead
        for outputs in found.values():
            for code, shared in SURFACES.items():
                if code in outputs:
                    outputs[shared] = np.isin(outputs["row"], self._with_surfaces[environment, code])
        if not found:
            return None
        panel = panel_of(found, f"{label} in {environment}")
        cut = self._cut if panel.scores.shape[2] > 2 else 1
        return replace(panel, middle=readout_of(point.recipe.loss) != "linear", cut=cut)

    @cached_property
    def _ahead(self) -> dict[tuple[str, str], dict[int, dict[str, np.ndarray]]]:
        return {}

    def read_ahead(self, point: RecipePoint) -> None:
        """Read the outputs of a recipe in all environments at once, in half the time, for the next call of `panel`."""
        self._ahead.clear()
        read = self._reads(self.kept_seeds(point), point.label, list(point.tests))
        self._ahead.update({(point.label, environment): found for environment, found in read.items()})

    def worst_group(self, point: RecipePoint, environment: str, measure: str) -> Panel | None:
        """Return the outputs of a recipe's kept seeds on its worst group by a measure, the same group for all seeds.

        None where no group has the measure for every seed (`why_no_worst`).
        """
        return self._worst_panels(point.label, environment, measure)

    @cached_property
    def _worst_panels(self) -> Any:
        return lru_cache(maxsize=PANELS)(self._worst_panel)

    def _worst_panel(self, label: str, environment: str, measure: str) -> Panel | None:
        point = next(point for point in self.plan.spec.points if point.label == label)
        place, panel = self.worst_place(point, environment, measure), self.panel(point, environment)
        if place is None or panel is None:
            return None
        numbers = panel.numbers.tolist()
        read = [self._read(seed, point.label, environment) for seed in numbers]
        rows = np.unique(np.concatenate([outputs["row"] for outputs in read if outputs is not None]))
        inside = np.stack([np.isin(rows, self.folds.members(point, seed, environment, place)) for seed in numbers])
        tested = inside if panel.tested is None else inside & panel.tested
        return replace(panel, tested=tested).rows(np.flatnonzero(tested.any(axis=0)))

    def worst_place(self, point: RecipePoint, environment: str, measure: str) -> Group | None:
        """The group that is the worst of a recipe by a measure; None where none has it for every seed."""
        every, key = self.scalars[point.label], _worst_key(environment, measure)
        place = chosen_place(key, every, self._smallest_group) if key in every else None
        return (place[2], place[3], place[5]) if place else None

    def why_no_worst(self, point: RecipePoint, environment: str, measure: str) -> Reason:
        """Return why no group of a recipe that kept seeds is the worst, as its measurement says."""
        rows = self.scalars[point.label].get(_worst_key(environment, measure), {})
        return next((reason_of(row) for row in rows.values()), NOTHING)

    @property
    def _cut(self) -> int:
        return self.plan.spec.data.referable or REFERABLE

    @cached_property
    def _with_surfaces(self) -> Mapping[tuple[str, str], np.ndarray]:
        """Environment, column of `SURFACES` -> the rows in which the maps of every kept seed of every recipe have both
        surfaces: surfaces are averaged over the same images for all (METHODS, segmentation on healthy images).
        """
        lacking: dict[tuple[str, str], list[np.ndarray]] = {}
        having: dict[tuple[str, str], list[np.ndarray]] = {}
        for point in self.plan.spec.points:
            for environment in point.tests:
                for seed in self.kept_seeds(point):
                    outputs = self._read(seed, point.label, environment) or {}
                    for code in SURFACES.keys() & outputs.keys():
                        undefined = outputs[code] != 0
                        lacking.setdefault((environment, code), []).append(outputs["row"][undefined])
                        having.setdefault((environment, code), []).append(outputs["row"][~undefined])
        return {key: np.setdiff1d(np.concatenate(rows), np.concatenate(lacking[key])) for key, rows in having.items()}

    def _read(self, seed: int, label: str, environment: str) -> dict[str, np.ndarray] | None:
        """Outputs of all folds of one seed, one after another; None while any fold has not been read."""
        return self._reads([seed], label, [environment])[environment].get(seed)

    def _reads(
        self, seeds: Sequence[int], label: str, environments: Sequence[str]
    ) -> dict[str, dict[int, dict[str, np.ndarray]]]:
        """Outputs of several seeds by environment, without those of which a fold has not been read."""
        ids = {
            (name, seed): [self.plan.readings.get((label, trial.id, name), "") for trial in self.by_point[label][seed]]
            for name in environments
            for seed in seeds
        }
        complete = {key: own for key, own in ids.items() if all(self.folder.complete("readings", id) for id in own)}
        read = iter(self.folder.outputs_of([id for own in complete.values() for id in own]))
        found: dict[str, dict[int, dict[str, np.ndarray]]] = {name: {} for name in environments}
        for (name, seed), own in complete.items():
            found[name][seed] = self._joined(seed, label, [next(read) for _ in own])
        return found

    def _joined(self, seed: int, label: str, parts: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """Outputs of the folds of a seed with the thresholds of their models."""
        for trial, outputs in zip(self.by_point[label][seed], parts, strict=True):
            record = self.records[trial.id]
            threshold = record["threshold"]
            outputs["threshold"] = np.full(len(outputs["row"]), 0.5 if threshold is None else threshold)
            if operating := operating_of(record):
                outputs["operating"] = np.tile(operating, (len(outputs["row"]), 1))
            if specific := specific_of(record):
                outputs[SPECIFIC] = np.tile(specific[min(self._cut, len(specific)) - 1], (len(outputs["row"]), 1))
        return joined_columns(parts)

    def yardsticks(self, point: RecipePoint, seeds: np.ndarray) -> np.ndarray:
        """Validation log-loss of the refitted head per seed [s], folds averaged (METHODS, matched fit)."""
        return np.array(
            [
                np.mean([self.records[trial.id]["yardstick"] for trial in self.by_point[point.label][int(seed)]])
                for seed in seeds
            ]
        )

    @cached_property
    def scalars(self) -> Mapping[str, Mapping[Key, Mapping[int, Row]]]:
        """Recipe label -> measurement key -> seed -> the measurement, averaged over folds.

        A value that a fold lacks makes that of its seed NaN. Measures of all images, computed from kept outputs, only
        give the worst environment here, since `panel` has them with intervals over patients. Groups of k-fold rows are
        made of all folds together (`pooled`). The worst of them is one for all seeds.
        """
        return _Lazily({point.label: point for point in self.plan.spec.points}, self._scalars_of)

    def _scalars_of(self, point: RecipePoint) -> dict[Key, BySeed]:
        seeds = self.kept_seeds(point)
        trials = [trial for seed in seeds for trial in self.by_point[point.label][seed]]
        ids = [unit.id for trial in trials for unit in self._probes.get((point.label, trial.id), [])]
        read = dict(zip(ids, self.folder.measurements_of(ids), strict=True))
        columns: dict[str, list[Any]] = {name: [] for name in (*KEY_FIELDS, *OF_EACH_SEED)}
        places: dict[Key, dict[int, int]] = {}
        for seed in seeds:
            start = len(columns["value"])
            for part in self._parts(point, seed, read):
                for name, column in columns.items():
                    column.extend(part[name])
            keys = zip(*(columns[name][start:] for name in KEY_FIELDS), strict=True)
            for place, key in enumerate(cast("Iterator[Key]", keys), start):
                places.setdefault(key, {}).setdefault(seed, place)
        kept = {name: np.array(columns[name]) if name in NUMBERS else columns[name] for name in OF_EACH_SEED}
        every = {key: of_one_unit(OfSeeds(key, tuple(own), tuple(own.values()), kept)) for key, own in places.items()}
        settled = with_one_worst(every, self._smallest_group)
        return {key: rows for key, rows in settled.items() if not _from_outputs(key)}

    def _parts(self, point: RecipePoint, seed: int, read: Mapping[str, ColumnRows]) -> Iterator[Columns]:
        """Yield the measurements of a seed by column; of a key that two of them have, the first counts."""
        trials = self.by_point[point.label][seed]
        if len(trials) == 1 and self.folds.folds == 1:
            yield from self._measured(trials[0], read)
            return
        folds: list[dict[Key, Row]] = [{} for _ in trials]
        for trial, fold in zip(trials, folds, strict=True):
            for row in (row for part in self._measured(trial, read) for row in ColumnRows(part)):
                fold.setdefault(_key(row), row)
        keys = dict.fromkeys(key for fold in folds for key in fold)
        rows = {key: over_folds(key, folds) for key in keys} | {
            _key(row): row for row in self._of_all_folds(point, seed)
        }
        yield by_column(list(rows.values()))

    @cached_property
    def _smallest_group(self) -> int:
        """Images that a group needs to count for the worst one, as the study's probe says."""
        probes = [probe for probe in self.plan.spec.probes if probe.name == PERFORMANCE]
        params = lookup("probe", PERFORMANCE).params.model_validate(dict(probes[0].params) if probes else {})
        return int(params.model_dump()["smallest_group"])

    def _measured(self, trial: Trial, read: Mapping[str, ColumnRows]) -> Iterator[Columns]:
        """Yield the measurements of each probe of a trial by column.

        Args:
            trial: The trial.
            read: Measurements by the id of their unit.
        """
        for unit in self._probes.get((trial.point.label, trial.id), []):
            columns, count = read[unit.id].columns, len(read[unit.id])
            kept = self.folder.has_contributions(unit.id)
            readers = [_Kept(self._contributions, unit.id, i) if kept else None for i in range(count)]
            columns = {**columns, CONTRIBUTIONS: readers}
            overall = unit.component.name == PERFORMANCE
            yield with_overall(columns, self._overall(trial.point, trial.training.seed)) if overall else columns

    @cached_property
    def _contributions(self) -> Callable[[str], Mapping[int, Contributions]]:
        return lru_cache(maxsize=READ_AT_ONCE)(self.folder.contributions)

    def _overall(self, point: RecipePoint, seed: int) -> list[Row]:
        """Compute the performance of one seed on all images; nothing while an environment has not been read."""
        answered: dict[str, tuple[Answers, Int[np.ndarray, " n"]]] = {}
        for environment in point.tests:
            panel = self.panel(point, environment)
            if panel is None or seed not in panel.numbers:
                return []
            answered[environment] = panel.answers(int(np.flatnonzero(panel.numbers == seed)[0]))
        return [measurement_row(one) for one in overall(answered)]

    @cached_property
    def _probes(self) -> Mapping[tuple[str, str], list[ProbeUnit]]:
        """(recipe label, trial id) -> its complete probes, without those that are measured of all folds together."""
        found: dict[tuple[str, str], list[ProbeUnit]] = {}
        for unit in self.plan.probes:
            pooled = self.folds.folds > 1 and unit.component.name == PERFORMANCE
            if not pooled and self.folder.complete("probes", unit.id):
                found.setdefault((unit.trial.point.label, unit.trial.id), []).append(unit)
        return found

    @cached_property
    def pooled(self) -> Mapping[tuple[str, int], list[Row]]:
        """(recipe label, seed) -> measurements of all folds together, for kept seeds; empty without folds."""
        if self.folds.folds == 1:
            return {}
        return {
            (point.label, seed): self._pooled(point, seed)
            for point in self.plan.spec.points
            for seed in self.kept_seeds(point)
        }

    def _of_all_folds(self, point: RecipePoint, seed: int) -> list[Row]:
        rows = self.pooled.get((point.label, seed), [])
        here = self.folds.folds > 1 and any(probe.name == PERFORMANCE for probe in self.plan.spec.probes)
        return list(ColumnRows(with_overall(by_column(rows), self._overall(point, seed)))) if here else rows

    def _pooled(self, point: RecipePoint, seed: int) -> list[Row]:
        read = {name: self._read(seed, point.label, name) for name in point.tests}
        return self.folds.measurements(point, seed, {name: found for name, found in read.items() if found is not None})

    def unfinished(self, trial: Trial) -> Reason:
        """Return the planned units of a trained trial that are missing and have not failed."""
        start = start_id(trial.training.recipe)
        if start and not self.folder.complete("sources", start):
            return because(Code.NO_RECORD_OF_SOURCE)
        if any(not self.folder.probed(unit.id) for unit in self._planned[trial.point.label, trial.id]):
            return because(Code.UNFINISHED_PROBES)
        return NOTHING

    @cached_property
    def _planned(self) -> Mapping[tuple[str, str], list[ProbeUnit]]:
        """(recipe label, trial id) -> its probe units, complete or not."""
        found: dict[tuple[str, str], list[ProbeUnit]] = defaultdict(list)
        for unit in self.plan.probes:
            found[unit.trial.point.label, unit.trial.id].append(unit)
        return found

    def _kept(self, trial: Trial) -> bool:
        return self.records.get(trial.id, {}).get("status") == "done"


@dataclass(frozen=True, slots=True)
class _Kept:
    """Reads the contributions to the measurement of a probe unit at a place; None where the probe kept none."""

    read: Callable[[str], Mapping[int, Contributions]]
    unit: str
    place: int

    def __call__(self) -> Contributions | None:
        return self.read(self.unit).get(self.place)


@dataclass(frozen=True, slots=True)
class OfSeeds(Mapping[int, Row]):
    """One measurement of several seeds; a row is made when it is read.

    Attributes:
        key: What was measured.
        seeds: The seeds.
        places: The place of each in the columns.
        columns: Columns of all measurements of a recipe.
    """

    key: Key
    seeds: tuple[int, ...]
    places: tuple[int, ...]
    columns: Columns

    def column(self, name: str) -> list[Any]:
        """Return the values of the seeds in a column."""
        column = self.columns[name]
        if isinstance(column, np.ndarray):
            return column[list(self.places)].tolist()
        return [column[place] for place in self.places]

    def __getitem__(self, seed: int) -> Row:
        at = self.places[self.seeds.index(seed)]
        named = dict(zip(KEY_FIELDS, self.key, strict=True))
        values = {name: column[at] for name, column in self.columns.items()}
        return {**named, **{k: one.item() if isinstance(one, np.generic) else one for k, one in values.items()}}

    def __iter__(self) -> Iterator[int]:
        return iter(self.seeds)

    def __len__(self) -> int:
        return len(self.seeds)


def column_of(by_seed: BySeed, name: str) -> list[Any]:
    """Return one column of a measurement of several seeds."""
    return by_seed.column(name) if isinstance(by_seed, OfSeeds) else [row.get(name) for row in by_seed.values()]


def by_column(rows: Sequence[Row]) -> Columns:
    """Return measurements by column."""
    return {name: [row.get(name) for row in rows] for name in (*KEY_FIELDS, *OF_EACH_SEED)}


@dataclass(frozen=True)
class _Lazily(Mapping[str, dict[Key, BySeed]]):
    """Measurements of recipes by label, each made when it is first asked for, while its panels are in memory."""

    points: Mapping[str, RecipePoint]
    make: Callable[[RecipePoint], dict[Key, BySeed]]
    made: dict[str, dict[Key, BySeed]] = field(default_factory=dict[str, dict[Key, BySeed]])

    def __getitem__(self, label: str) -> dict[Key, BySeed]:
        if label not in self.made:
            self.made[label] = self.make(self.points[label])
        return self.made[label]

    def __iter__(self) -> Iterator[str]:
        return iter(self.points)

    def __len__(self) -> int:
        return len(self.points)


def with_overall(columns: Columns, of_all: Sequence[Row]) -> Columns:
    """Return columns of the performance probe with rows of all images, which come after classes and before groups."""
    named = zip(columns["factor"], columns["group"], strict=True)
    place = next((i for i, (factor, group) in enumerate(named) if factor or group), len(columns["factor"]))
    more = {name: [row.get(name) for row in of_all] for name in columns}
    return {name: [*column[:place], *more[name], *column[place:]] for name, column in columns.items()}


def _from_outputs(key: Key) -> bool:
    measure, _, factor, level, _, group = key
    return measure in COMPUTED and not (factor or group or level)


def _worst_key(environment: str, measure: str) -> Key:
    return (measure, environment, "", "", "", WORST_GROUP)


_key: Callable[[Row], Key] = itemgetter(*KEY_FIELDS)


def joined_columns(parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Rows of several parts one after another; arrays with an entry per lesion are padded to the most."""
    made: dict[str, np.ndarray] = {}
    for name in parts[0]:
        columns = [part[name] for part in parts]
        made[name] = np.concatenate(of_one_width(name, columns))
    return made


def panel_of(outputs: Mapping[int, Mapping[str, np.ndarray]], where: str) -> Panel:
    """Make the panel of outputs by seed: columns row, patient, target, fold, threshold, logits [n, k], columns of maps.

    Raises StoreError where a seed answered a row twice, or seeds disagree about the target or patient of a row.
    """
    rows = np.unique(np.concatenate([found["row"] for found in outputs.values()]))
    classes = next(iter(outputs.values()))["logits"].shape[1]
    shape = (len(outputs), len(rows))
    scores = np.full((*shape, classes), np.nan)
    tested, fold, thresholds = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=np.int64), np.full(shape, 0.5)
    facts = {"target": np.full(len(rows), -1), "patient": np.full(len(rows), -1)}
    known = np.zeros(len(rows), dtype=bool)
    for s, (seed, found) in enumerate(outputs.items()):
        if len(np.unique(found["row"])) < len(found["row"]):
            raise StoreError(f"{where}: seed {seed} answered a row twice; delete its readings and run the study again")
        place = np.searchsorted(rows, found["row"])
        for name, column in facts.items():
            _require_same(column[place][known[place]], found[name][known[place]], f"{where}: seed {seed}", name)
            column[place] = found[name]
        known[place], tested[s, place] = True, True
        scores[s, place], fold[s, place], thresholds[s, place] = found["logits"], found["fold"], found["threshold"]
    seeds = np.array(list(outputs), dtype=np.int64)
    maps = _maps(list(outputs.values()), rows)
    specific = maps.pop(SPECIFIC, None)
    made = Panel(scores, facts["target"], facts["patient"], fold, tested, thresholds, seeds, maps)
    return replace(made, specific=specific)


def _maps(found: Sequence[Mapping[str, np.ndarray]], rows: np.ndarray) -> dict[str, np.ndarray]:
    """Stack the columns of maps as [seeds, rows, ...]. Rows without an output are zero and are never read."""
    made: dict[str, np.ndarray] = {}
    for name in found[0].keys() - {*OF_ROWS, "threshold", "logits"}:
        columns = of_one_width(name, [one[name] for one in found])
        made[name] = np.zeros((len(found), len(rows), *columns[0].shape[1:]), np.result_type(*columns))
        for s, (one, column) in enumerate(zip(found, columns, strict=True)):
            made[name][s, np.searchsorted(rows, one["row"])] = column
    return made


def _require_same(earlier: np.ndarray, found: np.ndarray, who: str, name: str) -> None:
    differing = int((earlier != found).sum())
    if differing:
        raise StoreError(
            f"{who} has another {name} than earlier seeds for {differing} rows, so its images are not theirs: "
            "delete its readings and run the study again"
        )


# What was measured of a recipe: of its outputs, with patients behind it, or by a probe, one number per seed.


def measured(stated: ContrastSpec) -> str:
    """Return the measure that a contrast names; of the worst group, the measure within that group."""
    return OF_WORST_GROUP.get(stated.measure, stated.measure)


def is_of_panels(stated: ContrastSpec) -> bool:
    """Return whether a contrast's values can be computed from outputs, paired by patient and seed."""
    return measured(stated) in COMPUTED and not stated.factor


def panel_for(gathered: Gathered, stated: ContrastSpec, point: RecipePoint) -> Panel | None:
    """Return the outputs of a recipe's kept seeds in the environment of a contrast, or in its worst group there."""
    if stated.measure in OF_WORST_GROUP:
        return gathered.worst_group(point, stated.environment, measured(stated))
    return gathered.panel(point, stated.environment)


def why_nothing(gathered: Gathered, stated: ContrastSpec, point: RecipePoint) -> Reason:
    """Return why a recipe has nothing that a contrast could compare."""
    if not gathered.kept_seeds(point):
        return because(Code.NO_SEED_OF, recipe=point.label)
    of = {"measure": stated.measure, "factor": stated.factor, "recipe": point.label}
    if stated.measure in OF_WORST_GROUP and (
        reason := gathered.why_no_worst(point, stated.environment, measured(stated))
    ):
        return because(Code.MEASURE_OF_RECIPE, **of) + reason
    return because(Code.NOT_MEASURED, **of)


def seed_values(gathered: Gathered, point: RecipePoint, stated: ContrastSpec, own: str = "") -> Evaluated | None:
    """Return the values of the measurement that a contrast names; None where no seed has it.

    Where a probe measures in groups, the trained network's is meant. A seed of which the measurement is undefined makes
    the comparison undefined.

    Args:
        gathered: Records of the study.
        point: The recipe.
        stated: The contrast.
        own: Name of the recipe's own samples (see `values_of_seeds`), its label by default.
    """
    wanted = (stated.measure, stated.environment, stated.factor, stated.layer)
    for (measure, environment, factor, level, layer, group), by_seed in gathered.scalars[point.label].items():
        if (measure, environment, factor, layer) == wanted and not level and group in TRAINED_GROUPS and by_seed:
            return values_of_seeds(by_seed, own or point.label)
    return None


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
    found = [read() if read else None for read in column_of(by_seed, CONTRIBUTIONS)]
    kept = [one for one in found if one is not None]
    if len(kept) < len(found):
        shared = own_samples(errors, own)
        return Evaluated(values, shared.values, shared.samples, seeds, 0, bounds)
    return of_seeds(values, seeds, kept, bounds=bounds)
