"""Populations and their scenes: environments to train and test on, and counterfactuals, of a phantom or of files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Int

from assay.core.errors import SpecError, unknown_name
from assay.core.types import Factor, FactorTable
from assay.data.dataset import Card, Dataset, DrawnLesions, Phantom, PixelScale
from assay.shifts.association import Marginal, achieved, also_achieved, marginal
from assay.shifts.environment import Achieved, Environment, SobolDesign
from assay.shifts.intervention import ChangedLesions, Drawn, changes_of, with_changes
from assay.shifts.rows import Part, Pixels, Rows, Untied, columns_of
from assay.shifts.sampling import change, drawn, test_seed
from assay.shifts.scene import INDEPENDENT, NEUTRAL, Tests, switched
from assay.spec.schema import DataSpec, EnvironmentSpec

_KEPT = 64
"""Number of test environments that a population remembers: their tables, no pixels."""
_ENDS_U = {"low": 0.1, "high": 0.9}


class Population(ABC):
    """All images that a study or an audit can draw on, and the environments made of them.

    Nothing is read or rendered before it is needed.
    """

    data: DataSpec
    """The `data` section that describes it."""
    sets: Mapping[str, Population]
    """Other sets to test on, by name; their classes are those of this one, and their patients are others."""

    def of(self, environment: EnvironmentSpec) -> Population:
        """Return the population whose rows a test environment has."""
        return self.sets[environment.data] if environment.data else self

    @property
    @abstractmethod
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, the positive one of two last; associations refer to the last one."""

    @property
    @abstractmethod
    def kinds(self) -> tuple[str, ...]:
        """The kinds of lesion in masks, in the order of their labels; empty without masks."""

    @property
    @abstractmethod
    def channels(self) -> int:
        """1 for gray images, 3 for color."""

    @property
    @abstractmethod
    def factors(self) -> tuple[Factor, ...]:
        """The known attributes of every image."""

    @property
    @abstractmethod
    def card(self) -> Card:
        """Description of the data and its known faults."""

    @property
    @abstractmethod
    def scale(self) -> PixelScale:
        """The meaning of pixel values and sizes."""

    @property
    def folds(self) -> int:
        """Number of folds that every seed trains; 1 when the split is not k-fold."""
        return 1

    @property
    def test_seed(self) -> int:
        """The seed of test rows and of their changes, whatever the seed of a trial."""
        return test_seed(self.data.population)

    @property
    def phantom(self) -> Phantom | None:
        """The generator, when images are rendered."""
        return None

    @property
    def dataset(self) -> Dataset | None:
        """The decoded files, when images are read."""
        return None

    @abstractmethod
    def identity(self, environment: EnvironmentSpec, groups: str = "") -> dict[str, Any]:
        """Return the part of the data that determines training in this environment: it names trials.

        Args:
            environment: The training environment.
            groups: A factor that a recipe uses in addition to those of the environment.
        """

    @abstractmethod
    def test_identity(self, environment: EnvironmentSpec, seed: int, fold: int) -> dict[str, Any]:
        """Return the part of the data that determines the images of a test environment."""

    @abstractmethod
    def choose(self, name: str, part: Part, environment: EnvironmentSpec, seed: int, fold: int) -> Rows:
        """Choose or draw the rows of an environment.

        Args:
            name: Name of the environment, for messages.
            part: The part of the split. Test rows are those of all folds.
            environment: Its specification.
            seed: Seed of the trial. Test rows do not depend on it.
            fold: Fold of the trial.

        Raises:
            SpecError: The environment names something that these data lack.
            AssociationError: The rows cannot have the associations.
            DataError: No row is left, or fewer than were asked for.
        """

    def of_fold(
        self, name: str, table: FactorTable, seed: int, fold: int
    ) -> tuple[Int[np.ndarray, "m"], FactorTable] | None:
        """Return the rows of a test environment that this seed and fold test, as positions and as a table.

        Returns:
            None where all rows are tested.

        Raises:
            DataError: A patient was trained on, or the fold has no row.
        """
        return None

    @abstractmethod
    def pixels(self, environment: EnvironmentSpec, table: FactorTable, seed: int) -> Pixels:
        """Return the images of these rows without interventions. Raises SpecError as `choose` does."""

    def neutral(self, tests: Tests) -> EnvironmentSpec:
        """Return the environment in which no factor is tied, with everything that all test environments share."""
        return tests.neutral

    def untied(self, neutral: EnvironmentSpec, seed: int, fold: int) -> Untied:
        """Return the neutral environment with the associations that the rows can have."""
        return Untied(neutral, {})

    @abstractmethod
    def independent(self, neutral: EnvironmentSpec, seed: int, fold: int) -> Untied:
        """Return the environment in which no factor is tied to the target or, on a phantom, to another."""

    def sobol(self, samples: int, neutral: EnvironmentSpec) -> tuple[SobolDesign, Int[np.ndarray, "rows"]] | None:
        """Return a Saltelli design without interventions and its nuisance seeds; None where factors cannot be set."""
        return None

    @cached_property
    def _tested(self) -> dict[str, Environment]:
        return {}

    def training(self, environment: EnvironmentSpec, seed: int, fold: int = 0) -> tuple[Environment, Environment]:
        """Return the training and the validation rows of a seed and fold, both from the training distribution.

        Raises:
            SpecError: The environment names something that these data lack.
            AssociationError: The rows cannot have the associations.
            DataError: No row is left, or fewer than were asked for.
        """
        if environment.crop:
            raise SpecError("crop is for environments to test on: what is trained on are whole images")
        return (
            self._make("train", "train", environment, seed, fold),
            self._make("validation", "validation", environment, seed, fold),
        )

    def scene(self, tests: Mapping[str, EnvironmentSpec], seed: int, fold: int = 0) -> PopulationScene:
        """Return the test environments and their counterfactuals.

        Test rows are common to all seeds, except on k-fold data, where each seed and fold sees its own part of them.
        No patient of theirs was trained on with this seed and fold.
        """
        return PopulationScene(self, dict(tests), seed, fold)

    def tested(self, name: str, environment: EnvironmentSpec, seed: int, fold: int) -> Environment:
        """Return a test environment with the rows of all folds, which are the same for every seed.

        Environments that were made first are kept for the seeds and grid points that follow.
        """
        key = environment.model_dump_json()
        if key not in self._tested:
            if len(self._tested) == _KEPT:
                del self._tested[next(iter(self._tested))]
            self._tested[key] = self._make(name, "test", environment, seed, fold)
        return replace(self._tested[key], name=name)

    def show(
        self, name: str, environment: EnvironmentSpec, rows: Rows, changes: tuple[Drawn, ...] | None = None
    ) -> Environment:
        """Return the environment of these rows, with its interventions applied.

        Args:
            name: Name of the environment.
            environment: Its specification.
            rows: Its rows.
            changes: Interventions that are drawn already; by default those of the environment are drawn.
        """
        found = self.pixels(environment, rows.table, rows.seed)
        if changes is None:
            changes, table = drawn(environment, found.table, rows.seed, found.images.shape, found.boxes, found.original)
        else:
            table = columns_of(found.table, changes)
        lesions = found.lesions
        if changes and isinstance(lesions, DrawnLesions):
            lesions = ChangedLesions(lesions, changes)
        return Environment(
            name,
            table,
            with_changes(found.images, changes),
            found.masks,
            _achieved(rows, table),
            notes=rows.notes,
            native=found.native,
            millimeters=found.millimeters,
            lesions=lesions,
            boxes=found.boxes,
            original=found.original,
            data=environment.data,
        )

    def _make(self, name: str, part: Part, environment: EnvironmentSpec, seed: int, fold: int) -> Environment:
        return self.show(name, environment, self.choose(name, part, environment, seed, fold))


@dataclass(frozen=True)
class PopulationScene:
    """The test environments of a population for one seed and fold. See `Scene`.

    On a phantom, environments share targets, nuisance and everything that they do not change, row by row. On k-fold
    data, the rows of an environment are chosen once, over all rows and for all seeds; the scene shows those whose
    patients this seed and fold never trained on.
    """

    population: Population
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
        """Names of the classes, the positive one of two last."""
        return self.population.classes

    @property
    def has_phantom(self) -> bool:
        """Whether images are rendered by a phantom."""
        return self._home.phantom is not None

    @property
    def tests(self) -> Tests:
        """The specifications of the test environments."""
        return Tests(self.specs)

    def identity(self, name: str) -> dict[str, Any]:
        """Return the part of data and spec that determines an environment's images and their factors.

        Args:
            name: A test environment, or `(neutral)` (`neutral` where no test environment has that name) for all that
                the scene derives from its tests.
        """
        neutral = self._neutral
        described = self.tests.described(name, neutral)
        spec = self.specs.get(name, neutral)
        known = self.population.of(spec).test_identity(spec, self.seed, self.fold)
        left = sorted(self._untied.left) if name not in self.specs else []
        return {**known, **described, **({"as found": left} if left else {})}

    def environment(self, name: str) -> Environment:
        """Return a test environment.

        Raises:
            SpecError: There is no test environment of that name.
            DataError: One of its patients was trained on.
        """
        return self._make(name, self.tests.named(name))

    def neutral(self) -> Environment:
        """Return test rows in which no factor that any test ties is tied to the target.

        The core factor of a phantom stays tied. Interventions that all tests put on all images stay on. A factor of
        files that the rows cannot untie, or that would cost most of them, stays as found, with a note.
        """
        return self._noted(NEUTRAL, self._untied)

    def independent(self) -> Environment:
        """Return test rows in which all factors are independent of the target, and on a phantom of each other.

        On a phantom the target is then a coin flip. On files every factor is untied that can be, however few rows that
        leaves.
        """
        return self._noted(INDEPENDENT, self._home.independent(self._neutral, self.seed, self.fold))

    def changeable(self) -> tuple[str, ...]:
        """Return every factor of a phantom, then every intervention of the test environments."""
        return (*(factor.name for factor in self._settable), *self.tests.interventions)

    def counterfactual(self, factor: str, end: str) -> Environment:
        """Return the neutral rows with one factor at its `low` or `high` end and everything else the same.

        An intervention is on nowhere or everywhere. A categorical factor of a phantom moves to its first level that is
        not high, or to its first high one; an ordinal one to its first or last level; a continuous one to the 10th or
        90th percentile of its neutral marginal. The target stays as it was.

        Raises:
            SpecError: The factor cannot be changed alone, or the end is neither low nor high.
        """
        self.tests.check_change(factor, end, self.changeable())
        if factor in self.tests.interventions:
            return switched(self.neutral(), factor, self.tests.interventions[factor], end, self.population.test_seed)
        described, source = self._marginal(factor)
        return self._with(f"({factor} {end})", described, end_value(described, source, end))

    def at_quantile(self, factor: str, u: float) -> Environment | None:
        """Return the neutral rows with a phantom's factor set to a quantile of its neutral marginal.

        Args:
            factor: Name of the factor.
            u: The quantile, 0 <= u < 1.

        Returns:
            None without a phantom, whose factors alone can be set.

        Raises:
            SpecError: The phantom has no such factor.
        """
        if not self.has_phantom:
            return None
        names = [known.name for known in self._settable]
        if factor not in names:
            raise SpecError(unknown_name("factor", factor, names))
        described, source = self._marginal(factor)
        return self._with(f"({factor} at {u:g})", described, float(source.values(np.array([u]))[0]))

    def sobol(self, samples: int) -> SobolDesign | None:
        """Return a Saltelli design over the phantom's groups, its other factors and the nuisance seed.

        The interventions of the neutral rows are on.

        Args:
            samples: Rows of each block, best a power of two.

        Returns:
            None without a phantom.
        """
        found = self._home.sobol(samples, self._neutral)
        if found is None:
            return None
        design, nuisance = found
        # Draws are named by the nuisance seed: AB_i is A in them too, unless the nuisance is mixed.
        every, shared = np.ones(len(nuisance), dtype=bool), self.tests.shared.items()
        seed = self.population.test_seed
        changes = [change(name, spec, every, nuisance, seed, design.images.shape) for name, spec in shared]
        return replace(design, images=with_changes(design.images, changes))

    @cached_property
    def _neutral(self) -> EnvironmentSpec:
        return self._home.neutral(self.tests.at_home)

    @cached_property
    def _untied(self) -> Untied:
        return self._home.untied(self._neutral, self.seed, self.fold)

    @property
    def _home(self) -> Population:
        """The population of the neutral rows."""
        return self.population.sets.get(self.tests.home, self.population)

    @property
    def _settable(self) -> tuple[Factor, ...]:
        return self._home.factors if self.has_phantom else ()

    def _marginal(self, factor: str) -> tuple[Factor, Marginal]:
        phantom, described = self._home.phantom, self.neutral().table.factor(factor)
        assert phantom is not None
        return described, marginal(phantom, described, self._neutral.where)

    def _with(self, name: str, factor: Factor, value: float) -> Environment:
        """Return the neutral rows, all with this value of a factor."""
        neutral = self.neutral()
        moved = neutral.table.with_column(factor, np.full_like(neutral.table.columns[factor.name], value))
        return self._home.show(name, self._neutral, Rows(moved, self._home.test_seed, {}), changes_of(neutral.images))

    def _noted(self, name: str, untied: Untied) -> Environment:
        if name not in self._made:
            made = self._make(name, untied.spec)
            self._made[name] = replace(made, notes=(*made.notes, *untied.left.values(), *untied.notes))
        return self._made[name]

    def _make(self, name: str, spec: EnvironmentSpec) -> Environment:
        if name not in self._made:
            self._made[name] = self._of_fold(name, spec)
        return self._made[name]

    def _of_fold(self, name: str, spec: EnvironmentSpec) -> Environment:
        """Return the part of an environment that this fold tests, changed as in the whole.

        A row is then the same image for every seed, and an exact dose is one of all folds together, as are the
        achieved associations.
        """
        population = self.population.of(spec)
        whole = also_achieved(population.tested(name, spec, self.seed, self.fold), self.tests.ties)
        mine = population.of_fold(name, whole.table, self.seed, self.fold)
        if mine is None:
            return whole
        at, table = mine
        changes = tuple(change.take(at) for change in changes_of(whole.images))
        shown = population.show(name, spec, Rows(table, population.test_seed, {}), changes)
        return replace(shown, achieved=whole.achieved, notes=whole.notes)


def end_value(factor: Factor, source: Marginal, end: str) -> float:
    """Return the value of a factor at its `low` or `high`

    Args:
        end: See `PopulationScene.counterfactual`.
    """
    if factor.kind == "categorical":
        wanted = [level for level in factor.levels if (level in factor.high) == (end == "high")]
        return float(factor.levels.index(wanted[0]))
    if factor.kind == "ordinal":
        return 0.0 if end == "low" else float(len(factor.levels) - 1)
    return float(source.values(np.array([_ENDS_U[end]]))[0])


def _achieved(rows: Rows, table: FactorTable) -> tuple[Achieved, ...]:
    return tuple(
        achieved(table, name, asked=tie.strength, high=tie.high, given=tie.given, available=rows.available)
        for name, tie in rows.ties.items()
    )
