"""How many rows make how many steps, and what is checked and hashed of the rows before the first."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from assay.core.errors import SpecError
from assay.core.hashing import content_hash
from assay.core.spec import RecipeSpec
from assay.recipes.objective import Progress
from assay.shifts.environment import Environment


@dataclass(frozen=True, slots=True)
class Plan:
    """How many rows make how many steps. Batches are whole; a set smaller than a batch is one batch."""

    rows: int
    batch: int
    epochs: int

    @property
    def per_epoch(self) -> int:
        """Steps in an epoch."""
        return max(1, self.rows // self.batch)

    @property
    def drawn(self) -> int:
        """Rows that an epoch sees."""
        return self.per_epoch * self.batch

    @property
    def steps(self) -> int:
        """Steps in all."""
        return self.epochs * self.per_epoch

    def progress(self, step: int) -> Progress:
        """Where a step stands."""
        return Progress(step=step, steps=self.steps, epoch=step // self.per_epoch, epochs=self.epochs)


def make_plans(rows: int, batch: int, phases: Sequence[int]) -> tuple[Plan, ...]:
    """One plan for each phase of so many epochs."""
    return tuple(Plan(rows=rows, batch=min(batch, rows), epochs=epochs) for epochs in phases)


def identity(
    recipe: RecipeSpec,
    training: Environment,
    validation: Environment,
    classes: int,
    seed: int,
    groups: Sequence[np.ndarray | None],
) -> str:
    """Names what decides this training, so that a checkpoint of another is never continued."""
    rows = hashlib.sha256()
    for table in (training.table, validation.table):
        rows.update(np.ascontiguousarray(table.row).tobytes())
        rows.update(np.ascontiguousarray(table.target).tobytes())
    for codes in groups:
        rows.update(b"" if codes is None else codes.tobytes())
    return content_hash({"recipe": recipe.canonical(), "seed": seed, "classes": classes, "rows": rows.hexdigest()})


def check_masks(training: Environment, validation: Environment, classes: int) -> None:
    """Raises SpecError for a set without rows or without masks, for masks of another number of kinds, and where no
    training image shows a lesion.
    """
    for environment, what in ((training, "training"), (validation, "validation")):
        if len(environment) == 0:
            raise SpecError(f"the {what} environment '{environment.name}' has no rows")
        if environment.masks is None:
            raise SpecError(
                f"task segmentation needs masks, and the {what} environment '{environment.name}' has none: name the "
                "column of masks in data.mask, or use a phantom that draws a lesion"
            )
        if 1 + len(environment.masks.kinds) != classes:
            kinds = ", ".join(environment.masks.kinds)
            raise SpecError(f"the masks of '{environment.name}' tell {kinds} from background; {classes} classes given")


def check_targets(training: Environment, validation: Environment, classes: int) -> None:
    """Raises SpecError for a set without rows, and for targets that are no class."""
    for environment, what in ((training, "training"), (validation, "validation")):
        target = environment.table.target
        if len(target) == 0:
            raise SpecError(f"the {what} environment '{environment.name}' has no rows")
        if target.min() < 0 or target.max() >= classes:
            raise SpecError(
                f"the {what} environment '{environment.name}' holds target {int(target.max())} and there are "
                f"{classes} classes; targets are indices from 0 to {classes - 1}"
            )
