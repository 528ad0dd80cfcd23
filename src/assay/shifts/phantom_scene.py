"""What a probe may look at on a phantom: test environments, counterfactuals of every factor, a Sobol' design."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.core.errors import SpecError, unknown_name
from assay.core.seeds import derive
from assay.core.spec import AssociationSpec, EnvironmentSpec, InterventionSpec
from assay.core.types import Factor
from assay.shifts.environment import Environment, SobolDesign
from assay.shifts.intervention import ChangedImages
from assay.shifts.marginal import Marginal, marginal
from assay.shifts.marking import drawn
from assay.shifts.neutral import ENDS, neutral_spec, without
from assay.shifts.sobol import saltelli

if TYPE_CHECKING:
    from assay.shifts.phantom_population import PhantomPopulation

NUISANCE = "nuisance seed"
"""The name of the last Sobol' input."""

_ENDS_U = {"low": 0.1, "high": 0.9}


@dataclass(frozen=True)
class PhantomScene:
    """See `Scene`. Environments share targets, nuisance and all that they do not change, row by row.

    `neutral` is clean: no intervention is on and only the core factor is tied to the target. It keeps the difficulty
    and the restrictions that all test environments have in common.
    """

    population: PhantomPopulation
    tests: Mapping[str, EnvironmentSpec]

    @property
    def names(self) -> tuple[str, ...]:
        """The test environments, in the order of the spec."""
        return tuple(self.tests)

    @property
    def classes(self) -> tuple[str, ...]:
        """The two classes, the positive one last."""
        return self.population.classes

    def identity(self, name: str) -> dict[str, Any]:
        """What decides a test environment: the phantom, the question, the number of images, the environment."""
        return {**self.population.test_identity(), "environment": self._test(name).canonical()}

    def environment(self, name: str) -> Environment:
        """A test environment. Raises SpecError for a name that the spec lacks."""
        return self.population.test(name, self._test(name))

    def neutral(self) -> Environment:
        """Test rows in which the core factor alone is tied to the target, without interventions."""
        return self.population.test("(neutral)", self._neutral)

    def independent(self) -> Environment:
        """Test rows in which no factor is tied to the target, nor to another; the target is then a coin's."""
        core = {self.population.data.core: AssociationSpec(strength=0.0)}
        return self.population.test("(independent)", self._neutral.model_copy(update={"association": core}))

    def changeable(self) -> tuple[str, ...]:
        """Every factor of the phantom, then every intervention of the test environments."""
        return (*(factor.name for factor in self.population.factors), *self._interventions)

    def counterfactual(self, factor: str, end: str) -> Environment:
        """The neutral rows with one factor at its `low` or `high` end and everything else the same.

        A categorical factor moves to its first level that is not high, or to its first high one; an ordinal one to its
        first or last level; a continuous one to the 10th or 90th percentile of its neutral marginal; an intervention
        is on nowhere or everywhere. The target stays what it was. Raises SpecError for another factor or end.
        """
        if end not in ENDS:
            raise SpecError(unknown_name("end of a factor", end, ENDS))
        if factor in self._interventions:
            return self._with_intervention(factor, end)
        if factor not in self.changeable():
            raise SpecError(unknown_name("changeable factor", factor, self.changeable()))
        seed = derive(0, "test")
        table = self.population.draw(self._neutral, self.population.data.test, seed, 0)
        described = table.factor(factor)
        value = end_value(described, marginal(self.population.phantom, described, self._neutral.where), end)
        column = np.full_like(table.columns[factor], value)
        table = replace(table, columns={**table.columns, factor: column})
        plain = without(self._neutral, frozenset({factor, self.population.data.core}))
        return replace(self.population.render(f"({factor} {end})", plain, table, seed), achieved=())

    def sobol(self, samples: int) -> SobolDesign:
        """A Saltelli design over the phantom's groups, its other factors and the nuisance seed; interventions are off.

        Inputs are independent draws from the neutral marginals, whatever is tied in training (Saltelli et al. 2010,
        with scrambled Sobol' points); `samples` is best a power of two. Rendered once and shared by all models.
        """
        inputs = self._inputs()
        columns = [name for members in inputs.values() for name in members]
        groups = [[columns.index(name) for name in members] for members in inputs.values()]
        u = saltelli(samples, groups, derive(0, "sobol"))
        where, phantom = self._neutral.where, self.population.phantom
        values = {
            factor.name: marginal(phantom, factor, where).values(u[:, columns.index(factor.name)])
            for factor in self.population.factors
        }
        nuisance = (u[:, columns.index(NUISANCE)] * 2.0**32).astype(np.int64)
        images = self.population.renderer.images(values, nuisance, self._neutral.difficulty)
        return SobolDesign(tuple(inputs), samples, images)

    @property
    def _neutral(self) -> EnvironmentSpec:
        return without(neutral_spec(self.tests), frozenset({*self._interventions, self.population.data.core}))

    @property
    def _interventions(self) -> dict[str, InterventionSpec]:
        """Interventions of the test environments by name, as the first that has it states it."""
        found: dict[str, InterventionSpec] = {}
        for test in self.tests.values():
            for name, spec in test.interventions.items():
                found.setdefault(name, spec)
        return found

    def _inputs(self) -> dict[str, tuple[str, ...]]:
        """Sobol' inputs: name -> the factors that move together."""
        grouped = dict(self.population.phantom.groups())
        taken = {name for members in grouped.values() for name in members}
        alone = {factor.name: (factor.name,) for factor in self.population.factors if factor.name not in taken}
        return {**grouped, **alone, NUISANCE: (NUISANCE,)}

    def _with_intervention(self, name: str, end: str) -> Environment:
        clean = self.neutral()
        only = EnvironmentSpec(interventions={name: self._interventions[name]})
        (change,), _ = drawn(only, clean.table, derive(0, "test"), clean.images.shape)
        change = change.on(end == "high")
        table = clean.table.with_column(change.factor, change.marked.astype(np.int64))
        return replace(clean, name=f"({name} {end})", table=table, images=ChangedImages(clean.images, [change]))

    def _test(self, name: str) -> EnvironmentSpec:
        if name not in self.tests:
            raise SpecError(unknown_name("environment", name, self.names))
        return self.tests[name]


def end_value(factor: Factor, source: Marginal, end: str) -> float:
    """The value at an end: see `PhantomScene.counterfactual`."""
    if factor.kind == "categorical":
        wanted = [level for level in factor.levels if (level in factor.high) == (end == "high")]
        return float(factor.levels.index(wanted[0]))
    if factor.kind == "ordinal":
        return 0.0 if end == "low" else float(len(factor.levels) - 1)
    return float(source.values(np.array([_ENDS_U[end]]))[0])
