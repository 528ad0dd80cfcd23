"""A population that is drawn from a phantom: every row can be made, and remade with one factor changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from assay.core.errors import SpecError
from assay.core.seeds import derive, row_seed
from assay.core.spec import AssociationSpec, Component, DataSpec, EnvironmentSpec
from assay.core.types import Factor, FactorTable
from assay.data.cache import ArrayCache
from assay.data.dataset import Card, Phantom, PixelScale
from assay.shifts.association import achieved
from assay.shifts.drawing import Question, draw_rows, ties
from assay.shifts.environment import Achieved, Environment
from assay.shifts.intervention import ChangedImages
from assay.shifts.marking import drawn
from assay.shifts.phantom_scene import PhantomScene
from assay.shifts.rendering import Renderer

_TEST_PATIENTS = 0
_PATIENTS_PER_SPLIT = 2**31


@dataclass(frozen=True)
class PhantomPopulation:
    """See `Population`. Every image is a patient of its own."""

    data: DataSpec
    cache: ArrayCache

    @cached_property
    def renderer(self) -> Renderer:
        """The phantom at the study's image size."""
        return Renderer(self._component, self.data.size, self.cache)

    @property
    def phantom(self) -> Phantom:
        """The generator."""
        return self.renderer.phantom

    @property
    def dataset(self) -> None:
        """There are no files."""
        return

    @property
    def question(self) -> Question:
        """Which factor defines the target. Raises SpecError when the spec names none."""
        if not self.data.core:
            names = ", ".join(factor.name for factor in self.phantom.factors)
            raise SpecError(f"a phantom needs data.core, the factor that defines '{self.data.target}': one of {names}")
        return Question(self.data.target, self.data.core)

    @property
    def classes(self) -> tuple[str, ...]:
        """The two classes, the positive one last."""
        return self.question.classes

    @property
    def channels(self) -> int:
        """1 for a grey phantom, 3 for a colour one."""
        return self.renderer.channels

    @property
    def factors(self) -> tuple[Factor, ...]:
        """The phantom's factors."""
        return self.phantom.factors

    @property
    def card(self) -> Card:
        """What to know of the phantom."""
        return self.phantom.card

    @property
    def scale(self) -> PixelScale:
        """What its pixels mean."""
        return self.phantom.scale(self.data.size)

    @property
    def folds(self) -> int:
        """1: images are drawn anew, there is nothing to be folded."""
        return 1

    def identity(self, environment: EnvironmentSpec) -> dict[str, Any]:
        """What of the data decides training: all but the number of test images."""
        return {**self._identity, "train": self.data.train, "validation": self.data.validation}

    def test_identity(self) -> dict[str, Any]:
        """What of the data decides a test environment: all but the numbers of training and validation images."""
        return {**self._identity, "test": self.data.test}

    def training(self, environment: EnvironmentSpec, seed: int, fold: int = 0) -> tuple[Environment, Environment]:
        """Training and validation images, drawn anew for every seed. Raises as `draw_rows` and `drawn` do."""
        first = (2 * seed + 1) * _PATIENTS_PER_SPLIT
        return (
            self.make("train", environment, self.data.train, derive(seed, "train"), first),
            self.make("validation", environment, self.data.validation, derive(seed, "validation"),
                      first + _PATIENTS_PER_SPLIT),
        )  # fmt: skip

    def scene(self, tests: Mapping[str, EnvironmentSpec], seed: int, fold: int = 0) -> PhantomScene:
        """The test environments; the same rows for every seed."""
        return PhantomScene(self, dict(tests))

    def test(self, name: str, environment: EnvironmentSpec) -> Environment:
        """A test environment. All of them share targets, nuisance and every factor that they do not change."""
        return self.make(name, environment, self.data.test, derive(0, "test"), _TEST_PATIENTS)

    def make(self, name: str, environment: EnvironmentSpec, count: int, seed: int, first_patient: int) -> Environment:
        """An environment of `count` images, drawn from `seed`."""
        table = self.draw(environment, count, seed, first_patient)
        return self.render(name, environment, table, seed)

    def draw(self, environment: EnvironmentSpec, count: int, seed: int, first_patient: int) -> FactorTable:
        """Its factor table, without interventions."""
        rows = np.arange(count, dtype=np.int64)
        table = draw_rows(self.phantom, self.question, environment, rows, seed)
        return FactorTable(rows, table.target, rows + first_patient, table.classes, table.factors, table.columns)

    def render(self, name: str, environment: EnvironmentSpec, table: FactorTable, seed: int) -> Environment:
        """The environment of these rows: images are rendered when read, then changed by its interventions."""
        unknown = set(environment.difficulty) - {factor.name for factor in self.factors}
        if unknown:
            raise SpecError(f"difficulty of '{min(unknown)}', which is no factor of the phantom")
        nuisance = row_seed(seed, "nuisance", table.row)
        values = dict(table.columns)
        images = self.renderer.images(values, nuisance, environment.difficulty)
        masks = self.renderer.masks(values, nuisance, environment.difficulty)
        changes, table = drawn(environment, table, seed, images.shape)
        shown = ChangedImages(images, changes) if changes else images
        return Environment(name, table, shown, masks, self._achieved(environment, table))

    def _achieved(self, environment: EnvironmentSpec, table: FactorTable) -> tuple[Achieved, ...]:
        marks = {name: tie for name, tie in environment.association.items() if name in environment.interventions}
        stated: dict[str, AssociationSpec] = {**ties(self.phantom, self.data.core, environment), **marks}
        return tuple(
            achieved(table, name, asked=tie.strength, high=tie.high, given=tie.given) for name, tie in stated.items()
        )

    @property
    def _component(self) -> Component:
        if self.data.phantom is None:
            raise ValueError("a phantom population needs data.phantom")
        return self.data.phantom

    @property
    def _identity(self) -> dict[str, Any]:
        return {
            "phantom": self._component.model_dump(),
            "size": self.data.size,
            "target": self.data.target,
            "core": self.data.core,
        }
