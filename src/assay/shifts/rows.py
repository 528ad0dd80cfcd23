"""The protocol of row sources: a phantom, or images from files."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from jaxtyping import Float, Int

from assay.core.errors import AssociationError, DataError
from assay.core.types import Factor, FactorTable
from assay.data.dataset import Card, Dataset, Images, Lesions, Masks, NativeMasks, Phantom, PixelScale
from assay.shifts.environment import SobolDesign
from assay.shifts.intervention import Drawn
from assay.shifts.scene import Tests
from assay.spec.schema import AssociationSpec, DataSpec, EnvironmentSpec

Part = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class Rows:
    """The rows that were chosen or drawn for an environment, before interventions.

    Attributes:
        table: The rows with their factors.
        seed: Seed of everything else that is drawn for them.
        ties: The associations whose achieved strength is reported.
        available: Number of rows there were to choose from; None where rows are drawn.
        notes: Sentences on the choice that a reader should know.
    """

    table: FactorTable
    seed: int
    ties: Mapping[str, AssociationSpec]
    available: int | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pixels:
    """The images of some rows, before interventions.

    The fields are those of `Environment`. `table` is the rows as these images show them: a crop without a lesion is
    of another class than its photograph.
    """

    table: FactorTable
    images: Images
    masks: Masks | None
    lesions: Lesions | None = None
    native: NativeMasks | None = None
    millimeters: Float[np.ndarray, " n"] | None = None
    boxes: Int[np.ndarray, "n 4"] | None = None


@dataclass(frozen=True)
class Untied:
    """An environment in which factors are independent of the target.

    Attributes:
        spec: The environment.
        left: Factors that stay as found, each with the reason.
        notes: Sentences on the rows that untying the other factors leaves.
    """

    spec: EnvironmentSpec
    left: Mapping[str, str]
    notes: tuple[str, ...] = ()


class RowSource(Protocol):
    """The rows and images that a study or an audit draws on. Nothing is read or rendered before it is needed."""

    @property
    def data(self) -> DataSpec:
        """The `data` section that describes it."""
        ...

    @property
    def phantom(self) -> Phantom | None:
        """The generator, when images are rendered."""
        ...

    @property
    def dataset(self) -> Dataset | None:
        """The decoded files, when images are read."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, the positive one of two last."""
        ...

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of lesion in masks, in the order of their labels; empty without masks."""
        ...

    @property
    def channels(self) -> int:
        """1 for gray images, 3 for color."""
        ...

    @property
    def factors(self) -> tuple[Factor, ...]:
        """The known attributes of every image."""
        ...

    @property
    def card(self) -> Card:
        """Description of the data and its known faults."""
        ...

    @property
    def scale(self) -> PixelScale:
        """The meaning of pixel values and sizes."""
        ...

    @property
    def folds(self) -> int:
        """Number of folds that every seed trains; 1 when the split is not k-fold."""
        ...

    def identity(self, environment: EnvironmentSpec, groups: str = "") -> Mapping[str, Any]:
        """Return the part of the data that determines training in this environment.

        Args:
            environment: The training environment.
            groups: A factor that a recipe uses in addition to those of the environment.
        """
        ...

    def test_identity(self, environment: EnvironmentSpec, seed: int, fold: int) -> Mapping[str, Any]:
        """Return the part of the data that determines the images of a test environment."""
        ...

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
        ...

    def tested(
        self, name: str, table: FactorTable, seed: int, fold: int
    ) -> tuple[Int[np.ndarray, "m"], FactorTable] | None:
        """Return the rows of a test environment that this seed and fold test, as positions and as a table.

        Returns:
            None where all rows are tested.

        Raises:
            DataError: A patient was trained on, or the fold has no row.
        """
        ...

    def pixels(self, environment: EnvironmentSpec, table: FactorTable, seed: int) -> Pixels:
        """Return the images of these rows without interventions. Raises SpecError as `choose` does."""
        ...

    def neutral(self, tests: Tests) -> EnvironmentSpec:
        """Return the environment in which no factor is tied, with everything that all test environments share."""
        ...

    def untied(self, neutral: EnvironmentSpec, seed: int, fold: int) -> Untied:
        """Return the neutral environment with the associations that the rows can have."""
        ...

    def independent(self, neutral: EnvironmentSpec, seed: int, fold: int) -> Untied:
        """Return the environment in which no factor is tied to the target or, on a phantom, to another."""
        ...

    def sobol(self, samples: int, neutral: EnvironmentSpec) -> tuple[SobolDesign, Int[np.ndarray, "rows"]] | None:
        """Return a Saltelli design without interventions and its nuisance seeds; None where factors cannot be set."""
        ...


@contextmanager
def naming(environment: str) -> Generator[None]:
    """Name the environment in errors about its rows."""
    try:
        yield
    except (AssociationError, DataError) as error:
        raise type(error)(f"environment '{environment}': {error}") from error


def columns_of(table: FactorTable, changes: tuple[Drawn, ...]) -> FactorTable:
    """Return the table with a 0/1 column for each intervention; columns that it has already stay."""
    for change in changes:
        if change.factor.name in table.columns:
            continue
        table = table.with_column(change.factor, change.marked.astype(np.int64))
    return table
