"""A planted world: the target is a square that is hard to see, and a tag that is easy to see is tied to it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from tests.training.world import part

from assay.core.types import Factor, FactorTable
from assay.models.untyped import tensor_of
from assay.shifts.environment import Environment
from assay.shifts.intervention import mark_factor
from assay.spec.schema import RecipeSpec
from assay.testing.data import ImagesInMemory

SIDE = 16
TAG = mark_factor("tag")
AGE = Factor("age", "continuous", "nuisance", unit="years")


def tagged(rows: int, seed: int = 0, tied: float = 0.9, square: float = 0.35, tag: float = 0.5) -> Environment:
    """Noise [0, .5]; class 1 has a square of 4 px somewhere, and a share (1 + tied) / 2 of it a tag in the corner,
    which a share (1 - tied) / 2 of class 0 has.
    """
    rng = np.random.default_rng(seed)
    target = np.arange(rows) % 2
    marked = rng.random(rows) < np.where(target == 1, (1 + tied) / 2, (1 - tied) / 2)
    pixels = rng.random((rows, 1, SIDE, SIDE), dtype=np.float32) * 0.5
    for image in np.flatnonzero(target):
        top, left = rng.integers(3, SIDE - 4, 2)
        pixels[image, 0, top : top + 4, left : left + 4] += square
    pixels[marked, 0, :2, :2] += tag
    table = FactorTable(
        row=np.arange(rows) + 10_000 * seed,
        target=target,
        patient=np.arange(rows),
        classes=("no square", "square"),
        factors=(TAG, AGE),
        columns={"tag": marked.astype(np.int64), "age": rng.uniform(20, 80, rows)},
    )
    return Environment("tagged", table, ImagesInMemory(tensor_of(np.minimum(pixels, 1))), None, ())


def with_column(environment: Environment, name: str, values: Any) -> Environment:
    """The same images with one column of the table replaced."""
    columns = {**environment.table.columns, name: np.asarray(values)}
    return replace(environment, table=replace(environment.table, columns=columns))


def mitigated(
    mitigation: str = "none", loss: str = "cross-entropy", recipe: dict[str, Any] | None = None, **params: Any
) -> RecipeSpec:
    """A recipe of few steps with a mitigation, grouped by the tag, without augmentation."""
    fields: dict[str, Any] = {"groups": "tag", "epochs": 2, "batch_size": 16, "augmentation": (), **(recipe or {})}
    return RecipeSpec(loss=part("loss", loss), mitigation=part("mitigation", mitigation, **params), **fields)


class CornerTag:
    """The tag of this world as an intervention."""

    def check(self, shape: tuple[int, int, int]) -> None:
        """It fits these images."""

    def draw(self, draws: Any, shape: tuple[int, int, int]) -> dict[str, Any]:
        """It has no parameters."""
        return {}

    def apply(self, images: Any, parameters: Any) -> Any:
        """Brighter by .5 in the corner, at most 1."""
        changed = images.clone()
        changed[:, :, :2, :2] = (changed[:, :, :2, :2] + 0.5).clamp(max=1)
        return changed

    def mask(self, parameters: Any, shape: tuple[int, int, int]) -> Any:
        """Never asked for here."""
        raise NotImplementedError
