"""A population that is drawn from a phantom: every row can be made, and remade with one factor changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from assay.core.component import Component
from assay.core.data_spec import DataSpec
from assay.core.environment_spec import AssociationSpec, EnvironmentSpec
from assay.core.errors import AssociationError, SpecError, unknown_name
from assay.core.seeds import derive
from assay.core.types import Factor, FactorTable
from assay.data.cache import ArrayCache
from assay.data.dataset import ONE_KIND, Card, DrawnLesions, Phantom, PixelScale
from assay.shifts.association import achieved
from assay.shifts.drawing import Question, draw_rows, ties
from assay.shifts.environment import Environment
from assay.shifts.intervention import ChangedLesions, with_changes
from assay.shifts.marking import drawn
from assay.shifts.parts import ROWS_VERSION
from assay.shifts.patients import Patients
from assay.shifts.phantom_scene import PhantomScene
from assay.shifts.rendering import Renderer
from assay.shifts.thinning import enough, part_of

_PATIENTS_PER_SPLIT = 2**31


@dataclass(frozen=True)
class PhantomPopulation:
    """See `Population`. Every image is a patient of its own, or one of two of a patient."""

    data: DataSpec
    cache: ArrayCache
    device: str = "cpu"

    @cached_property
    def renderer(self) -> Renderer:
        """The phantom at the study's image size."""
        return Renderer(self._component, self.data.size, self.cache, self.device)

    @property
    def phantom(self) -> Phantom:
        """The generator."""
        return self.renderer.phantom

    @property
    def patients(self) -> Patients:
        """Whose the images are."""
        return Patients.of(self.phantom)

    @property
    def dataset(self) -> None:
        """There are no files."""
        return

    @property
    def question(self) -> Question:
        """Which factor defines the target, or is it. Raises SpecError when the spec names none, or no such factor."""
        if not self.data.core:
            names = ", ".join(factor.name for factor in self.phantom.factors)
            raise SpecError(f"a phantom needs data.core, the factor that defines '{self.data.target}': one of {names}")
        known = {factor.name: factor for factor in self.factors}
        if self.data.core not in known:
            raise SpecError(
                f"the core factor defines the target; {unknown_name('factor', self.data.core, list(known))}"
            )
        return Question.of(self.data.target, known[self.data.core])

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes, the positive one of two last."""
        return self.question.classes

    @property
    def kinds(self) -> tuple[str, ...]:
        """What a phantom's masks tell from background."""
        return ONE_KIND

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

    def identity(self, environment: EnvironmentSpec, groups: str = "") -> dict[str, Any]:
        """What of the data decides training: all but the number of test images; its factors are drawn from that."""
        return {**self._identity, "train": self.data.train, "validation": self.data.validation}

    def test_identity(self) -> dict[str, Any]:
        """What of the data decides a test environment: all but the numbers of training and validation images."""
        return {**self._identity, "test": self.data.test}

    def training(self, environment: EnvironmentSpec, seed: int, fold: int = 0) -> tuple[Environment, Environment]:
        """Training and validation images, drawn anew for every seed; the first training images where fewer are asked
        for, which hold every class alike. Raises as `draw_rows` and `drawn` do, and DataError when more are asked for.
        """
        first = (2 * seed + 1) * _PATIENTS_PER_SPLIT
        data = self.data
        count = enough("train", environment.rows, data.train, "in data.train")
        if environment.fraction is not None:
            each, what = self.patients.each, "images" if self.patients.each == 1 else "patients"
            there = -(-data.train // each)
            count = min(each * part_of("train", environment.fraction, there, what), data.train)
        return (
            self.make("train", environment, count, derive(seed, "train"), first),
            self.make(
                "validation", environment, data.validation, derive(seed, "validation"), first + _PATIENTS_PER_SPLIT
            ),
        )

    def scene(self, tests: Mapping[str, EnvironmentSpec], seed: int, fold: int = 0) -> PhantomScene:
        """The test environments; the same rows for every seed."""
        return PhantomScene(self, dict(tests))

    def make(
        self, name: str, environment: EnvironmentSpec, count: int, seed: int, first_patient: int = 0
    ) -> Environment:
        """An environment of `count` images drawn from `seed`, whose patients are numbered from `first_patient`."""
        rows = np.arange(count, dtype=np.int64)
        try:
            table = draw_rows(self.phantom, self.question, environment, rows, seed)
        except AssociationError as error:
            raise AssociationError(f"environment '{name}': {error}") from error
        table = replace(table, patient=table.patient + first_patient)
        marks = {key: tie for key, tie in environment.association.items() if key in environment.interventions}
        return self.show(name, environment, table, seed, {**ties(self.phantom, self.question, environment), **marks})

    def show(
        self,
        name: str,
        environment: EnvironmentSpec,
        table: FactorTable,
        seed: int,
        stated: Mapping[str, AssociationSpec],
    ) -> Environment:
        """The environment of these rows: images are rendered when read, then changed by its interventions.

        stated: the associations whose achieved strength is reported.
        """
        unknown = set(environment.difficulty) - {factor.name for factor in self.factors}
        if unknown:
            raise SpecError(unknown_name("factor", min(unknown), [factor.name for factor in self.factors]))
        nuisance = self.patients.nuisance(seed, table.row)
        images = self.renderer.images(table.columns, nuisance, environment.difficulty)
        masks = self.renderer.masks(table.columns, nuisance, environment.difficulty)
        lesions = self.renderer.lesions(table.columns, nuisance, environment.difficulty)
        changes, table = drawn(environment, table, seed, images.shape)
        shown = with_changes(images, changes)
        if changes and isinstance(lesions, DrawnLesions):
            lesions = ChangedLesions(lesions, changes)
        found = tuple(
            achieved(table, factor, asked=tie.strength, high=tie.high, given=tie.given)
            for factor, tie in stated.items()
        )
        return Environment(name, table, shown, masks, found, lesions=lesions)

    @property
    def _component(self) -> Component:
        if self.data.phantom is None:
            raise ValueError("a phantom population needs data.phantom")
        return self.data.phantom

    @property
    def _identity(self) -> dict[str, Any]:
        return {
            "phantom": self._component.model_dump(),
            "rows": ROWS_VERSION,
            "size": self.data.size,
            "target": self.data.target,
            "core": self.data.core,
        }
