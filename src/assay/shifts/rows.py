"""Rows of an environment before interventions, and their images."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from assay.core.errors import AssociationError, DataError
from assay.core.types import FactorTable
from assay.data.dataset import Images, Lesions, Masks, NativeMasks, Originals
from assay.shifts.intervention import Drawn
from assay.spec.schema import AssociationSpec, EnvironmentSpec

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
    original: Originals | None = None


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
