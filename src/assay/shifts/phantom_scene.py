"""What a probe may look at on a phantom: test environments, counterfactuals of every factor, a Sobol' design."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.core.environment_spec import AssociationSpec, EnvironmentSpec
from assay.core.errors import SpecError, unknown_name
from assay.core.seeds import derive
from assay.core.types import Factor
from assay.data.dataset import DrawnLesions
from assay.shifts.association import also_achieved
from assay.shifts.environment import Environment, SobolDesign
from assay.shifts.intervention import ChangedLesions, changes_of, with_changes
from assay.shifts.marginal import Marginal, marginal
from assay.shifts.marking import change
from assay.shifts.neutral import INDEPENDENT, NEUTRAL, Tests, switched
from assay.shifts.parts import TEST_SEED
from assay.shifts.sobol import saltelli

if TYPE_CHECKING:
    from assay.shifts.phantom_population import PhantomPopulation

NUISANCE = "nuisance seed"
"""The name of the last Sobol' input."""

_ENDS_U = {"low": 0.1, "high": 0.9}


@dataclass(frozen=True)
class PhantomScene:
    """See `Scene`. Environments share targets, nuisance and all that they do not change, row by row.

    In `neutral` only the core factor is tied to the target. It keeps the difficulty, the restrictions and the
    interventions on all images that all test environments have in common; no other intervention is on.
    """

    population: PhantomPopulation
    specs: Mapping[str, EnvironmentSpec]
    _made: dict[str, Environment] = field(default_factory=dict[str, Environment])

    @property
    def names(self) -> tuple[str, ...]:
        """The test environments, in the order of the spec."""
        return tuple(self.specs)

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes, the positive one of two last."""
        return self.population.classes

    @property
    def has_phantom(self) -> bool:
        """True: factors are drawn."""
        return True

    @property
    def tests(self) -> Tests:
        """The test environments' specs."""
        return Tests(self.specs)

    def identity(self, name: str) -> dict[str, Any]:
        """What decides an environment's images: the phantom, the question, the number of images, the environment.

        `(neutral)`, or `neutral` where no test environment has that name: all that the scene derives from its tests.
        """
        return {**self.population.test_identity(), **self.tests.described(name, self._neutral)}

    def environment(self, name: str) -> Environment:
        """A test environment. Raises SpecError for a name that the spec lacks."""
        return self._make(name, self.tests.named(name))

    def neutral(self) -> Environment:
        """Test rows in which the core factor alone is tied to the target (or is it), with the interventions alone that
        all tests put on all images.
        """
        return self._make(NEUTRAL, self._neutral)

    def independent(self) -> Environment:
        """Test rows in which no factor is tied to the target, nor to another; the target is then a coin's."""
        core = {self.population.data.core: AssociationSpec(strength=0.0)}
        return self._make(INDEPENDENT, self._neutral.model_copy(update={"association": core}))

    def changeable(self) -> tuple[str, ...]:
        """Every factor of the phantom, then every intervention of the test environments."""
        return (*(factor.name for factor in self.population.factors), *self.tests.interventions)

    def counterfactual(self, factor: str, end: str) -> Environment:
        """The neutral rows with one factor at its `low` or `high` end and everything else the same.

        A categorical factor moves to its first level that is not high, or to its first high one; an ordinal one to its
        first or last level; a continuous one to the 10th or 90th percentile of its neutral marginal; an intervention
        is on nowhere or everywhere. The target stays what it was. Raises SpecError for another factor or end.
        """
        self.tests.check_change(factor, end, self.changeable())
        if factor in self.tests.interventions:
            return switched(self.neutral(), factor, self.tests.interventions[factor], end, TEST_SEED)
        described, source = self._marginal(factor)
        return self._with(f"({factor} {end})", described, end_value(described, source, end))

    def at_quantile(self, factor: str, u: float) -> Environment:
        """The neutral rows with one of the phantom's factors set to a quantile, 0 <= u < 1, of its neutral marginal and
        everything else the same. Raises SpecError for another factor.
        """
        names = [known.name for known in self.population.factors]
        if factor not in names:
            raise SpecError(unknown_name("factor", factor, names))
        described, source = self._marginal(factor)
        return self._with(f"({factor} at {u:g})", described, float(source.values(np.array([u]))[0]))

    def sobol(self, samples: int) -> SobolDesign:
        """A Saltelli design over the phantom's groups, its other factors and the nuisance seed; of interventions those
        of the neutral rows are on.

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
        # Draws are named by the nuisance seed: AB_i is A in them too, unless the nuisance is what is mixed.
        every, shared = np.ones(len(u), dtype=bool), self.tests.shared.items()
        changes = [change(name, spec, every, nuisance, TEST_SEED, images.shape) for name, spec in shared]
        return SobolDesign(tuple(inputs), samples, with_changes(images, changes))

    @property
    def _neutral(self) -> EnvironmentSpec:
        """On a phantom nothing is tied unless it is said; the core factor is, as all tests agree or else fully."""
        return self.tests.neutral.model_copy(update={"association": self.tests.agreed(self.population.data.core)})

    def _marginal(self, factor: str) -> tuple[Factor, Marginal]:
        described = self.neutral().table.factor(factor)
        return described, marginal(self.population.phantom, described, self._neutral.where)

    def _with(self, name: str, factor: Factor, value: float) -> Environment:
        """The neutral rows, all with this value of a factor."""
        neutral = self.neutral()
        moved = neutral.table.with_column(factor, np.full_like(neutral.table.columns[factor.name], value))
        bare = self._neutral.model_copy(update={"interventions": {}})
        shown = self.population.show(name, bare, moved, TEST_SEED, {})
        changes, lesions = changes_of(neutral.images), shown.lesions
        if changes and isinstance(lesions, DrawnLesions):
            lesions = ChangedLesions(lesions, changes)
        return replace(shown, images=with_changes(shown.images, changes), lesions=lesions)

    def _inputs(self) -> dict[str, tuple[str, ...]]:
        """Sobol' inputs: name -> the factors that move together."""
        grouped = dict(self.population.phantom.groups())
        taken = {name for members in grouped.values() for name in members}
        alone = {factor.name: (factor.name,) for factor in self.population.factors if factor.name not in taken}
        return {**grouped, **alone, NUISANCE: (NUISANCE,)}

    def _make(self, name: str, spec: EnvironmentSpec) -> Environment:
        if name not in self._made:
            made = self.population.make(name, spec, self.population.data.test, TEST_SEED)
            self._made[name] = also_achieved(made, self.tests.ties)
        return self._made[name]


def end_value(factor: Factor, source: Marginal, end: str) -> float:
    """The value at an end: see `PhantomScene.counterfactual`."""
    if factor.kind == "categorical":
        wanted = [level for level in factor.levels if (level in factor.high) == (end == "high")]
        return float(factor.levels.index(wanted[0]))
    if factor.kind == "ordinal":
        return 0.0 if end == "low" else float(len(factor.levels) - 1)
    return float(source.values(np.array([_ENDS_U[end]]))[0])
