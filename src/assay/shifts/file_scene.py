"""What a probe may look at on images from files: test environments, and interventions put on and taken off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Int

from assay.core.environment_spec import EnvironmentSpec
from assay.core.errors import DataError
from assay.core.types import FactorTable
from assay.data.leakage import check_disjoint
from assay.data.splits import Split, assign_folds
from assay.shifts.association import also_achieved
from assay.shifts.environment import Environment
from assay.shifts.intervention import changes_of
from assay.shifts.neutral import INDEPENDENT, NEUTRAL, Tests, switched
from assay.shifts.parts import TEST_SEED

if TYPE_CHECKING:
    from assay.shifts.file_population import FilePopulation


@dataclass(frozen=True)
class FileScene:
    """See `Scene`. On k-fold data an environment's rows are chosen once, over all rows and for all seeds; what is
    shown of them are the rows whose patients this seed and fold never trained on.
    """

    population: FilePopulation
    specs: Mapping[str, EnvironmentSpec]
    seed: int
    fold: int
    _made: dict[str, Environment] = field(default_factory=dict[str, Environment])

    @property
    def names(self) -> tuple[str, ...]:
        """The test environments, in the order of the spec."""
        return tuple(self.specs)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, the positive one last."""
        return self.population.classes

    @property
    def has_phantom(self) -> bool:
        """False: factors are as they are found."""
        return False

    @property
    def tests(self) -> Tests:
        """The test environments' specs."""
        return Tests(self.specs)

    def identity(self, name: str) -> dict[str, Any]:
        """What decides an environment's images and what is known of them: the data, the split and its seed, the whole
        factor table, the environment.

        `(neutral)`, or `neutral` where no test environment has that name: all that the scene derives from its tests.
        """
        described = self.tests.described(name, self.tests.neutral)
        spec = self.specs.get(name, self.tests.neutral)
        folded = self.population.folds > 1
        here = {"seed": self.seed, "fold": self.fold} if folded else {}
        known = {"factors": self.population.factors_hash}
        boxed = self.population.dataset.lesions
        boxes = {} if boxed is None else {"boxes": boxed.content}
        return {**self.population.identity(spec), **known, **boxes, **here, **described}

    def environment(self, name: str) -> Environment:
        """A test environment. Raises SpecError for an unknown name, DataError when a patient was trained on."""
        return self._make(name, self.tests.named(name))

    def neutral(self) -> Environment:
        """Test rows in which no factor that any test ties is tied to the target, with the interventions alone that all
        tests put on all images.
        """
        return self._make(NEUTRAL, self.tests.neutral)

    def independent(self) -> Environment:
        """The neutral rows: on files no factor can be set."""
        return self._make(INDEPENDENT, self.tests.neutral)

    def changeable(self) -> tuple[str, ...]:
        """The interventions of the test environments."""
        return tuple(self.tests.interventions)

    def counterfactual(self, factor: str, end: str) -> Environment:
        """The neutral rows without (`low`) or with (`high`) an intervention. Raises SpecError for another name."""
        self.tests.check_change(factor, end, self.changeable())
        return switched(self.neutral(), factor, self.tests.interventions[factor], end, TEST_SEED)

    def at_quantile(self, factor: str, u: float) -> None:
        """None: there is no phantom whose factors could be set."""
        return

    def sobol(self, samples: int) -> None:
        """None: there is no phantom to draw from."""
        return

    def _make(self, name: str, spec: EnvironmentSpec) -> Environment:
        if name not in self._made:
            self._made[name] = self._of_test(name, spec)
        return self._made[name]

    def _from(self, name: str, spec: EnvironmentSpec, positions: Int[np.ndarray, "n"]) -> Environment:
        return also_achieved(self.population.tested(name, spec, positions), self.tests.ties)

    def _of_test(self, name: str, spec: EnvironmentSpec) -> Environment:
        population, folds = self.population, self.population.folds
        if folds == 1:
            shown = self._from(name, spec, self._parts.test)
        else:
            whole = self._from(name, spec, np.arange(len(population.table)))
            shown = self._tested(name, spec, whole, folds)
        self._refuse_leak(name, shown.table)
        return shown

    def _tested(self, name: str, spec: EnvironmentSpec, whole: Environment, folds: int) -> Environment:
        """The part that this fold tests, changed as in the whole: a row is the same image for every seed, and an exact
        dose is one of all folds together, as what was achieved is.
        """
        fold: Int[np.ndarray, "n"] = assign_folds(self.population.table, folds, self.seed)
        at = np.flatnonzero(fold[whole.table.row] == self.fold)
        if not len(at):
            raise DataError(f"environment '{name}' has no row in fold {self.fold} of {folds}: use fewer folds")
        here = whole.table.row[at]
        table = replace(self.population.table.take(here), fold=fold[here])
        changes = [change.take(at) for change in changes_of(whole.images)]
        shown = self.population.show(name, spec, table, TEST_SEED, len(here), changes)
        return replace(shown, achieved=whole.achieved, notes=whole.notes)

    @cached_property
    def _parts(self) -> Split:
        return self.population.parts(self.seed, self.fold)

    @cached_property
    def _trained_on(self) -> Bool[np.ndarray, "n"]:
        return self.population.trained_on(self.seed, self.fold)

    def _refuse_leak(self, name: str, table: FactorTable) -> None:
        if not self._trained_on[table.row].any():
            return
        here = self._parts
        try:
            check_disjoint(self.population.table.take(np.concatenate([here.train, here.validation])), table)
        except DataError as error:
            raise DataError(f"environment '{name}': {error}") from error
