"""The rows of a k-fold study, and what probes say of all folds of a seed together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from jaxtyping import Int

from assay.core.errors import StoreError
from assay.core.measures import PERFORMANCE, PROBES_OF_MAPS
from assay.core.registry import build
from assay.core.types import FactorTable
from assay.probes.performance import Performance
from assay.probes.probe import groups_of
from assay.probes.segmentation import OfMaps
from assay.shifts.environment import Environment
from assay.shifts.population import Population, PopulationScene, Tests
from assay.spec.recipe import Component, readout_of
from assay.spec.schema import EnvironmentSpec, RecipePoint
from assay.stats.influence import Answers
from assay.store.files import Row
from assay.store.folder import OF_ROWS, measurement_row

# K-fold groups and kinds of lesion: what probes say of all folds of a seed together, which none of their runs saw.
#
# A mean over folds of each fold's worst group lies below the worst group of all rows, since the least of small groups
# is lower for their smallness alone; and a mean over folds weighs one image with a kind like forty. So both are made
# anew, of the outputs that are kept per image.

POOLED = (PERFORMANCE, *PROBES_OF_MAPS)
"""Probes whose groups and kinds are of all folds together."""
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

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their codes."""
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

    @property
    def classes(self) -> tuple[str, ...]:
        """See `Pooled`."""
        return self.population.classes

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
            outside = {name for name, made in tests.items() if made.data} | ({""} if Tests(tests).home else set[str]())
            self._tables[key] = {
                name: joined_tables([_table(scene, name) for scene in (scenes[:1] if name in outside else scenes)])
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
    of_rows = found["logits"][order], mine.target, found["threshold"][order], found["fold"][order]
    said = Answers(*of_rows, maps=maps, middle=middle, names=mine.classes)
    return said, mine
