"""Environments: named distributions of images with the association that they achieve."""

from __future__ import annotations

import json
import math
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from jaxtyping import Float, Int, UInt8

from assay.core.errors import AssociationError, DataError
from assay.core.types import FactorTable
from assay.data.dataset import Images, ImagesWrapper, Lesions, Masks, NativeMasks, Originals
from assay.data.files.fitting import Framing
from assay.spec.schema import AssociationSpec, EnvironmentSpec

if TYPE_CHECKING:
    from torch import Tensor

    from assay.shifts.intervention import DrawnIntervention


# An environment made real: rows with their factors, images that can be read, and the association achieved.


@dataclass(frozen=True, slots=True)
class AchievedAssociation:
    """The association that an environment really has.

    Attributes:
        strength: Somers' D of the factor given the target (or one class against the rest, named in `target`), with a 95
            % interval over patients.
        counts: (class name, factor level or bin) -> number of rows.
        kept, available: Rows chosen and rows there were.
        held: The value that all rows have, or the levels that count alike, so that nothing can be tied and the strength
            is 0 whatever else holds; empty where the factor varies.
    """

    factor: str
    target: str
    asked: float | None
    strength: float
    low: float
    high: float
    counts: dict[tuple[str, str], int]
    kept: int
    available: int
    held: str = ""


@dataclass(frozen=True)
class Environment:
    """Position i of `images`, `masks` and every intervention is row i of `table`.

    `images` already has the interventions applied. `table` carries one column per intervention (0/1 or its dose).

    Attributes:
        notes: Sentences on how it came about that a reader should know.
        native: Its masks at the size of the files; None for phantoms, crops, and images without masks.
        millimeters: How many a pixel is wide and high, by image, NaN where unknown; None where no column of the data
            says so, and of crops.
        lesions: Where lesions of several kinds lie, for heat-maps alone; None where the masks tell all that is known.
        boxes: Top, left, height and width of every picture in its square; None where each fills it.
        original: Its pictures at original resolution; None where there are none.
        data: Set of `data.tests` that the rows are of; empty for the training set.
    """

    name: str
    table: FactorTable
    images: Images
    masks: Masks | None
    achieved: tuple[AchievedAssociation, ...]
    notes: tuple[str, ...] = ()
    native: NativeMasks | None = None
    millimeters: Float[np.ndarray, " n"] | None = None
    lesions: Lesions | None = None
    boxes: Int[np.ndarray, "n 4"] | None = None
    original: Originals | None = None
    data: str = ""

    def __len__(self) -> int:
        return len(self.table)


class Scene(Protocol):
    """Everything a probe may look at besides the model: environments and their counterfactuals.

    Implemented by `shifts.population.PopulationScene`; images are rendered or decoded once and cached.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """The test environments, in the order of the spec."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, the positive one last."""
        ...

    @property
    def has_phantom(self) -> bool:
        """Whether images are drawn by a phantom, so that its factors can be set and are independent where asked."""
        ...

    def environment(self, name: str) -> Environment:
        """Return a test environment. On k-fold data: the rows whose patients the model at hand never saw."""
        ...

    def neutral(self) -> Environment:
        """Test rows in which no named factor is tied to the target (the core factor of a phantom excepted)."""
        ...

    def independent(self) -> Environment:
        """Rows in which all factors, the core one too, are independent of each other (phantoms), else `neutral`."""
        ...

    def changeable(self) -> tuple[str, ...]:
        """Factors and interventions that can be changed while all else is held: a phantom's, and interventions."""
        ...

    def counterfactual(self, factor: str, end: str) -> Environment:
        """Return the neutral rows with this factor moved to its `low` or `high` end and everything else the same."""
        ...

    def at_quantile(self, factor: str, u: float) -> Environment | None:
        """Return the neutral rows with a phantom's factor set to a quantile, 0 <= u < 1, of its neutral marginal and
        all else the same; None without a phantom.
        """
        ...

    def sobol(self, samples: int) -> SobolDesign | None:
        """Images of a Saltelli design over the phantom's factors and the nuisance seed; None without a phantom."""
        ...


@dataclass(frozen=True)
class SobolDesign:
    """Images for variance-based sensitivity, rendered once a study.

    Attributes:
        inputs: Names of the d inputs (groups of factors count as one; the last is the nuisance seed).
        images: (d + 2) * samples in the order A, B, AB_1 .. AB_d, where AB_i is A with input i taken from B.

    Examples:
        >>> from assay.testing.probe import World
        >>> design = World().sobol(64)
        >>> design.inputs
        ('margin', 'texture', 'size', 'tag', 'nuisance')
        >>> len(design.images)  # (5 + 2) * 64
        448
    """

    inputs: tuple[str, ...]
    samples: int
    images: Images


# Some of a dataset's images and masks, by position.


@dataclass(frozen=True)
class PickedImages(ImagesWrapper):
    """Some of the images, by position."""

    positions: Int[np.ndarray, "n"]

    def __len__(self) -> int:
        return len(self.positions)

    def read(self, index: np.ndarray) -> Float[Tensor, "n c h w"]:
        """Float32 images in [0, 1] at these positions, in this order, on the CPU."""
        return self.images.read(self.positions[index])


@dataclass(frozen=True)
class PickedMasks:
    """Some of the masks or lesions, by position."""

    masks: Masks | Lesions
    positions: Int[np.ndarray, "n"]

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the kinds of lesion, from label 1 on."""
        return self.masks.kinds

    def __len__(self) -> int:
        return len(self.positions)

    def read(self, index: np.ndarray) -> Tensor:
        """Label maps, or a plane per kind, at these positions, in this order."""
        return self.masks.read(self.positions[index])


@dataclass(frozen=True)
class PickedNative:
    """Some of the masks at native size, by position."""

    masks: NativeMasks
    positions: Int[np.ndarray, "n"]

    @property
    def framing(self) -> Framing:
        """How images become squares."""
        return self.masks.framing

    @property
    def sizes(self) -> Int[np.ndarray, "n 2"]:
        """Width and height of the shown part of every image in px."""
        return self.masks.sizes[self.positions]

    def read_one(self, position: int) -> UInt8[np.ndarray, "h w"]:
        """Return the label map of the shown part of one image, read again from its file."""
        return self.masks.read_one(int(self.positions[position]))


# Rows of an environment before interventions, and their images.

Part = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class SelectedRows:
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
    original: Originals | None = None


@dataclass(frozen=True)
class IndependentFactors:
    """An environment in which factors are independent of the target.

    Attributes:
        spec: The environment.
        still_tied: Factors that stay as found, each with the reason.
        notes: Sentences on the rows that untying the other factors leaves.
    """

    spec: EnvironmentSpec
    still_tied: Mapping[str, str]
    notes: tuple[str, ...] = ()


@contextmanager
def naming(environment: str) -> Generator[None]:
    """Name the environment in errors about its rows."""
    try:
        yield
    except (AssociationError, DataError) as error:
        raise type(error)(f"environment '{environment}': {error}") from error


def columns_of(table: FactorTable, changes: tuple[DrawnIntervention, ...]) -> FactorTable:
    """Return the table with a 0/1 column for each intervention; columns that it has already stay."""
    for change in changes:
        if change.factor.name in table.columns:
            continue
        table = table.with_column(change.factor, change.marked.astype(np.int64))
    return table


def environment_rows_of(name: str, recipe: str, environment: Environment, table: FactorTable) -> list[dict[str, Any]]:
    """Describe one environment: a row for each association that it reports, or one without.

    Args:
        name: The environment's name in tables.
        recipe: The recipe that it belongs to; empty where it is common to all, or there is none.
        environment: The environment.
        table: Its rows, of all folds.
    """
    images, patients = len(table), len(np.unique(table.patient))
    shared: dict[str, Any] = {
        "environment": name,
        "recipe": recipe,
        "images": images,
        "patients": patients,
        "set": environment.data,
    }
    return [{**shared, **_achieved_row(achieved)} for achieved in environment.achieved] or [shared]


def _achieved_row(achieved: AchievedAssociation) -> dict[str, Any]:
    names = ("factor", "target", "strength", "low", "high", "kept", "available", "held")
    counts = json.dumps([[label, level, count] for (label, level), count in achieved.counts.items()])
    requested = math.nan if achieved.asked is None else achieved.asked
    return {**{name: getattr(achieved, name) for name in names}, "asked": requested, "counts": counts}
