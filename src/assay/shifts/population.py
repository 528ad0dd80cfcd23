"""Populations and their scenes: environments to train and test on, and counterfactuals, of a phantom or of files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from assay.core.errors import SpecError, unknown_name
from assay.core.types import Factor, FactorTable
from assay.data.dataset import Card, Dataset, DrawnLesions, Phantom, PixelScale
from assay.shifts.association import also_achieved, measure_association
from assay.shifts.environment import (
    AchievedAssociation,
    Environment,
    IndependentFactors,
    Part,
    Pixels,
    SelectedRows,
    SobolDesign,
    columns_of,
)
from assay.shifts.intervention import ChangedLesions, DrawnIntervention, changes_of, with_changes, without_interventions
from assay.shifts.marginals import FactorMarginal, marginal
from assay.shifts.sampling import change, draw_interventions, test_seed
from assay.spec.schema import AssociationSpec, DataSpec, EnvironmentSpec, InterventionSpec

# Environments derived from the test environments of a scene: the neutral one, interventions put on and taken off.

NEUTRAL = "(neutral)"
INDEPENDENT = "(independent)"
"""Names of environments that a scene makes by itself; in parentheses, so that no environment of a spec has them."""

ENDS = ("low", "high")


@dataclass(frozen=True)
class TestEnvironments:
    """The test environments of a scene, by name."""

    specs: Mapping[str, EnvironmentSpec]

    @property
    def home(self) -> str:
        """The set of the neutral rows: the training set (""), or that of the first test where no test is of it."""
        sets = [test.data for test in self.specs.values()]
        return sets[0] if sets and "" not in sets else ""

    @property
    def at_home(self) -> TestEnvironments:
        """The test environments of the same set as the neutral rows."""
        return TestEnvironments({name: test for name, test in self.specs.items() if test.data == self.home})

    def environment(self, name: str) -> EnvironmentSpec:
        """Return the environment of that name. Raises SpecError."""
        if name not in self.specs:
            raise SpecError(unknown_name("environment", name, tuple(self.specs)))
        return self.specs[name]

    @property
    def interventions(self) -> dict[str, InterventionSpec]:
        """Interventions of the test environments, each as the first environment that has it states it."""
        by_name: dict[str, InterventionSpec] = {}
        for test in self.specs.values():
            for name, spec in test.interventions.items():
                by_name.setdefault(name, spec)
        return by_name

    @property
    def shared_interventions(self) -> dict[str, InterventionSpec]:
        """Interventions that every test environment puts on all of its images by `share: 1`, with the same arguments.

        Shares by class, as a dose has them, are no such thing even where all are 1: images that others are compared
        with would change from dose to dose.
        """
        common: dict[str, InterventionSpec] = _common([test.interventions for test in self.specs.values()])
        tied = {name for test in self.specs.values() for name in test.association}
        return {name: spec for name, spec in common.items() if spec.share == 1 and name not in tied}

    @property
    def ties(self) -> dict[str, tuple[str, ...]]:
        """Every factor and intervention that any test environment ties, with the high levels that the first states."""
        by_name: dict[str, tuple[str, ...]] = {}
        for test in self.specs.values():
            for name, tie in test.association.items():
                by_name.setdefault(name, tie.high)
        return by_name

    @property
    def disagreements(self) -> tuple[str, ...]:
        """Differences between two test environments in the statements of one factor or intervention, in sentences."""
        sentences: list[str] = []
        arguments: dict[str, tuple[str, Any]] = {}
        levels: dict[str, tuple[str, Any]] = {}
        for test, spec in self.specs.items():
            changes = {name: intervention.change for name, intervention in spec.interventions.items()}
            tied = {name: tie.high for name, tie in spec.association.items() if tie.high}
            for what, statements, firsts in (("arguments", changes, arguments), ("high levels", tied, levels)):
                for name, value in statements.items():
                    first, decides = firsts.setdefault(name, (test, value))
                    if value != decides:
                        sentences.append(
                            f"'{test}' states other {what} of '{name}' than '{first}', by which probes go that change "
                            "it alone, and the neutral rows"
                        )
        return tuple(sentences)

    @property
    def neutral(self) -> EnvironmentSpec:
        """The environment in which nothing is tied, with the common settings of all test environments. Common settings
        stay: a difficulty, a restriction to some values, or an intervention on all images, that every one of them has
        is a property of the study and not a shift. Every factor that any test ties is stated with strength 0, since
        files need it to choose rows.
        """
        tests = list(self.specs.values())
        factors = sorted(set(self.ties) - set(self.interventions))
        return EnvironmentSpec(
            data=self.home,
            association={name: AssociationSpec(strength=0.0, high=self.ties[name]) for name in factors},
            interventions=self.shared_interventions,
            where=_common([test.where for test in tests]),
            difficulty=_common([test.difficulty for test in tests]),
        )

    def common_association(self, factor: str) -> dict[str, AssociationSpec]:
        """Return the association of a factor when every test environment states the same one, else nothing."""
        return _common(
            [{factor: test.association[factor]} if factor in test.association else {} for test in self.specs.values()]
        )

    def identity_of(self, name: str, neutral: EnvironmentSpec) -> dict[str, Any]:
        """Return the part of an environment's identity that the spec decides; for `(neutral)` with the possible
        changes.

        Args:
            neutral: The environment from which the scene makes its neutral rows.
        """
        if name in self.specs:
            return {"environment": self.specs[name].canonical()}
        if name not in (NEUTRAL, "neutral"):
            raise SpecError(unknown_name("environment", name, tuple(self.specs)))
        changes = {key: spec.change for key, spec in self.interventions.items()}
        return {"environment": neutral.canonical(), "changes": changes}

    def check_change(self, factor: str, end: str, changeable: Sequence[str]) -> None:
        """Raises SpecError when a factor cannot be changed alone, or an end is neither low nor high."""
        if end not in ENDS:
            raise SpecError(unknown_name("end of a factor", end, ENDS))
        if factor not in changeable:
            raise SpecError(unknown_name("changeable factor", factor, changeable))


def switch(clean: Environment, name: str, spec: InterventionSpec, end: str, seed: int) -> Environment:
    """Return the same rows without (`low`) or with (`high`) an intervention, whose parameters are those that tests
    have; the others that the rows bear stay.
    """
    others = [change for change in changes_of(clean.images) if change.name != name]
    alone = EnvironmentSpec(interventions={name: spec.model_copy(update={"share": 0.5})})
    (change,), _ = draw_interventions(
        alone, clean.table.without(name), seed, clean.images.shape, clean.boxes, clean.original
    )
    change = change.on(end == "high")
    return replace(
        clean,
        name=f"({name} {end})",
        table=clean.table.with_column(change.factor, change.marked.astype(np.int64)),
        images=with_changes(without_interventions(clean.images), [*others, change]),
    )


def _common(parts: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the entries that all parts have in common."""
    first: Mapping[str, Any] = parts[0] if parts else dict[str, Any]()
    return {key: value for key, value in first.items() if all(key in part and part[key] == value for part in parts)}


# The points at which a variance-based sensitivity analysis looks.


def saltelli(samples: int, inputs: Sequence[Sequence[int]], seed: int) -> Float[np.ndarray, "rows columns"]:
    """Return a Saltelli design on the unit cube: A, B, then per input i AB_i, which is A with the columns of i from B.

    Args:
        samples: Rows of A, at least 1, best a power of two.
        inputs: The columns of each input; together they are 0 .. columns - 1.

    Returns:
        [(len(inputs) + 2) * samples, columns] in [0, 1). A and B are the two halves of the columns of one scrambled
        Sobol' sequence (Saltelli et al. 2010, Owen 1998).
    """
    from scipy.stats import qmc  # here, since importing it takes a second that planning a study need not wait for

    columns = sum(len(members) for members in inputs)
    sequence = qmc.Sobol(2 * columns, scramble=True, rng=np.random.default_rng(seed))
    # The whole power of two is drawn and then cut: SciPy warns where balance is lost, and the caller knows.
    points = sequence.random_base2(max(0, int(samples - 1).bit_length()))[:samples]
    a, b = points[:, :columns], points[:, columns:]
    blocks = [a, b]
    for members in inputs:
        mixed = a.copy()
        mixed[:, list(members)] = b[:, list(members)]
        blocks.append(mixed)
    return np.minimum(np.concatenate(blocks), np.nextafter(1.0, 0.0))


_REMEMBERED = 64
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
    def choose(self, name: str, part: Part, environment: EnvironmentSpec, seed: int, fold: int) -> SelectedRows:
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

    def neutral(self, tests: TestEnvironments) -> EnvironmentSpec:
        """Return the environment in which no factor is tied, with everything that all test environments share."""
        return tests.neutral

    def weaken_ties(self, neutral: EnvironmentSpec, seed: int, fold: int) -> IndependentFactors:
        """Return the neutral environment with the associations that the rows can have."""
        return IndependentFactors(neutral, {})

    @abstractmethod
    def independent(self, neutral: EnvironmentSpec, seed: int, fold: int) -> IndependentFactors:
        """Return the environment in which no factor is tied to the target or, on a phantom, to another."""

    def sobol(self, samples: int, neutral: EnvironmentSpec) -> tuple[SobolDesign, Int[np.ndarray, "rows"]] | None:
        """Return a Saltelli design without interventions and its nuisance seeds; None where factors cannot be set."""
        return None

    def sobol_images(self, samples: int) -> int:
        """Return the number of images of such a design, without drawing it."""
        return 0

    @cached_property
    def _remembered(self) -> dict[str, Environment]:
        return {}

    def training(self, environment: EnvironmentSpec, seed: int, fold: int = 0) -> tuple[Environment, Environment]:
        """Return the training and the validation rows of a seed and fold, both from the training distribution.

        Raises:
            SpecError: The environment names something that these data lack.
            AssociationError: The rows cannot have the associations.
            DataError: No row is left, or fewer than were asked for.
        """
        if environment.crop:
            raise SpecError("crop is for test environments: training uses whole images")
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

    def test_environment(self, name: str, environment: EnvironmentSpec, seed: int, fold: int) -> Environment:
        """Return a test environment with the rows of all folds, which are the same for every seed.

        Environments that were made first are kept for the seeds and grid points that follow.
        """
        key = environment.model_dump_json()
        if key not in self._remembered:
            if len(self._remembered) == _REMEMBERED:
                del self._remembered[next(iter(self._remembered))]
            self._remembered[key] = self._make(name, "test", environment, seed, fold)
        return replace(self._remembered[key], name=name)

    def show(
        self,
        name: str,
        environment: EnvironmentSpec,
        rows: SelectedRows,
        changes: tuple[DrawnIntervention, ...] | None = None,
    ) -> Environment:
        """Return the environment of these rows, with its interventions applied.

        Args:
            name: Name of the environment.
            environment: Its specification.
            rows: Its rows.
            changes: Interventions that are drawn already; by default those of the environment are drawn.
        """
        pixels = self.pixels(environment, rows.table, rows.seed)
        if changes is None:
            changes, table = draw_interventions(
                environment, pixels.table, rows.seed, pixels.images.shape, pixels.boxes, pixels.original
            )
        else:
            table = columns_of(pixels.table, changes)
        lesions = pixels.lesions
        if changes and isinstance(lesions, DrawnLesions):
            lesions = ChangedLesions(lesions, changes)
        return Environment(
            name,
            table,
            with_changes(pixels.images, changes),
            pixels.masks,
            _achieved_ties(rows, table),
            notes=rows.notes,
            native=pixels.native,
            millimeters=pixels.millimeters,
            lesions=lesions,
            boxes=pixels.boxes,
            original=pixels.original,
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
    _environments: dict[str, Environment] = field(default_factory=dict[str, Environment])

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
    def tests(self) -> TestEnvironments:
        """The specifications of the test environments."""
        return TestEnvironments(self.specs)

    def identity(self, name: str) -> dict[str, Any]:
        """Return the part of data and spec that determines an environment's images and their factors.

        Args:
            name: A test environment, or `(neutral)` (`neutral` where no test environment has that name) for all that
                the scene derives from its tests.
        """
        neutral = self._neutral
        described = self.tests.identity_of(name, neutral)
        spec = self.specs.get(name, neutral)
        population_identity = self.population.of(spec).test_identity(spec, self.seed, self.fold)
        weakened = sorted(self._weakened.still_tied) if name not in self.specs else []
        return {**population_identity, **described, **({"as found": weakened} if weakened else {})}

    def environment(self, name: str) -> Environment:
        """Return a test environment.

        Raises:
            SpecError: There is no test environment of that name.
            DataError: One of its patients was trained on.
        """
        return self._make(name, self.tests.environment(name))

    def neutral(self) -> Environment:
        """Return test rows in which no factor that any test ties is tied to the target.

        The core factor of a phantom stays tied. Interventions that all tests put on all images stay on. A factor of
        files that the rows cannot untie, or that would cost most of them, stays as found, with a note.
        """
        return self._with_notes(NEUTRAL, self._weakened)

    def independent(self) -> Environment:
        """Return test rows in which all factors are independent of the target, and on a phantom of each other.

        On a phantom the target is then a coin flip. On files every factor is untied that can be, however few rows that
        leaves.
        """
        return self._with_notes(INDEPENDENT, self._home.independent(self._neutral, self.seed, self.fold))

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
            return switch(self.neutral(), factor, self.tests.interventions[factor], end, self.population.test_seed)
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
        names = [settable.name for settable in self._settable]
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
        design_and_nuisance = self._home.sobol(samples, self._neutral)
        if design_and_nuisance is None:
            return None
        design, nuisance = design_and_nuisance
        # Draws are named by the nuisance seed: AB_i is A in them too, unless the nuisance is mixed.
        every, shared = np.ones(len(nuisance), dtype=bool), self.tests.shared_interventions.items()
        seed = self.population.test_seed
        changes = [change(name, spec, every, nuisance, seed, design.images.shape) for name, spec in shared]
        return replace(design, images=with_changes(design.images, changes))

    @cached_property
    def _neutral(self) -> EnvironmentSpec:
        return self._home.neutral(self.tests.at_home)

    @cached_property
    def _weakened(self) -> IndependentFactors:
        return self._home.weaken_ties(self._neutral, self.seed, self.fold)

    @property
    def _home(self) -> Population:
        """The population of the neutral rows."""
        return self.population.sets.get(self.tests.home, self.population)

    @property
    def _settable(self) -> tuple[Factor, ...]:
        return self._home.factors if self.has_phantom else ()

    def _marginal(self, factor: str) -> tuple[Factor, FactorMarginal]:
        phantom, described = self._home.phantom, self.neutral().table.factor(factor)
        assert phantom is not None
        return described, marginal(phantom, described, self._neutral.where)

    def _with(self, name: str, factor: Factor, value: float) -> Environment:
        """Return the neutral rows, all with this value of a factor."""
        neutral = self.neutral()
        moved = neutral.table.with_column(factor, np.full_like(neutral.table.columns[factor.name], value))
        return self._home.show(
            name, self._neutral, SelectedRows(moved, self._home.test_seed, {}), changes_of(neutral.images)
        )

    def _with_notes(self, name: str, untied: IndependentFactors) -> Environment:
        if name not in self._environments:
            environment = self._make(name, untied.spec)
            self._environments[name] = replace(
                environment, notes=(*environment.notes, *untied.still_tied.values(), *untied.notes)
            )
        return self._environments[name]

    def _make(self, name: str, spec: EnvironmentSpec) -> Environment:
        if name not in self._environments:
            self._environments[name] = self._of_fold(name, spec)
        return self._environments[name]

    def _of_fold(self, name: str, spec: EnvironmentSpec) -> Environment:
        """Return the part of an environment that this fold tests, changed as in the whole.

        A row is then the same image for every seed, and an exact dose is one of all folds together, as are the
        achieved associations.
        """
        population = self.population.of(spec)
        all_folds = also_achieved(population.test_environment(name, spec, self.seed, self.fold), self.tests.ties)
        mine = population.of_fold(name, all_folds.table, self.seed, self.fold)
        if mine is None:
            return all_folds
        at, table = mine
        changes = tuple(change.take(at) for change in changes_of(all_folds.images))
        one_fold = population.show(name, spec, SelectedRows(table, population.test_seed, {}), changes)
        return replace(one_fold, achieved=all_folds.achieved, notes=all_folds.notes)


def end_value(factor: Factor, source: FactorMarginal, end: str) -> float:
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


def _achieved_ties(rows: SelectedRows, table: FactorTable) -> tuple[AchievedAssociation, ...]:
    return tuple(
        measure_association(
            table, name, requested=tie.strength, high=tie.high, given=tie.given, available=rows.available
        )
        for name, tie in rows.ties.items()
    )
