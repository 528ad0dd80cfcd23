"""A population that is read from files: environments are chosen from its rows, by patient."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from assay.core.data_spec import DataSpec
from assay.core.environment_spec import AssociationSpec, EnvironmentSpec
from assay.core.errors import AssociationError, DataError, SpecError, unknown_name
from assay.core.hashing import content_hash
from assay.core.seeds import derive
from assay.core.types import Factor, FactorTable
from assay.data.dataset import Card, Dataset, PixelScale
from assay.data.splits import Split
from assay.shifts.association import achieved
from assay.shifts.choosing import choose, preference
from assay.shifts.conditions import satisfies
from assay.shifts.cropping import LesionFreeCrops
from assay.shifts.environment import Achieved, Environment
from assay.shifts.file_scene import FileScene
from assay.shifts.intervention import Drawn, with_changes
from assay.shifts.marking import drawn
from assay.shifts.parts import ROWS_VERSION, TEST_SEED, parts
from assay.shifts.picking import PickedImages, PickedLesions, PickedMasks, PickedNative
from assay.shifts.thinning import enough, first_patients, first_rows

_KEPT = 64
"""How many test environments a population remembers: their tables, no pixels."""


@dataclass(frozen=True)
class FilePopulation:
    """See `Population`. `load` reads the dataset, once, when it is first needed."""

    data: DataSpec
    load: Callable[[], Dataset]
    _parts: dict[tuple[int, int], Split] = field(
        default_factory=dict[tuple[int, int], Split], init=False, compare=False
    )
    _tested: dict[str, Environment] = field(default_factory=dict[str, Environment], init=False, compare=False)

    @property
    def dataset(self) -> Dataset:
        """The decoded files. Raises DataError and SpecError as the loader does."""
        return self._loaded

    @property
    def phantom(self) -> None:
        """There is no generator."""
        return

    @property
    def table(self) -> FactorTable:
        """All rows."""
        return self.dataset.table

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; associations are stated for the last one."""
        return self.table.classes

    @property
    def kinds(self) -> tuple[str, ...]:
        """What the masks tell from background; empty without masks."""
        return () if self.dataset.masks is None else self.dataset.masks.kinds

    @property
    def channels(self) -> int:
        """1 for grey images, 3 for colour."""
        return self.dataset.images.shape[0]

    @property
    def factors(self) -> tuple[Factor, ...]:
        """The table's factors."""
        return self.table.factors

    @property
    def card(self) -> Card:
        """What to know of the data before believing a number from it."""
        return self.dataset.card

    @property
    def scale(self) -> PixelScale:
        """What pixels mean."""
        return self.dataset.scale

    @property
    def folds(self) -> int:
        """In how many folds every seed trains; 1 when the split is not k-fold."""
        return self.data.split.folds or 1

    def identity(self, environment: EnvironmentSpec, groups: str = "") -> dict[str, Any]:
        """What of the data decides training: content, decoding, split, and the columns that the environment and the
        recipe use.
        """
        used = {*environment.association, *environment.where, groups}
        used |= {name for tie in environment.association.values() for name in tie.given}
        used |= {self.data.split.column, *self.data.split.test_only} - {""}
        columns = sorted(used & {factor.name for factor in self.factors})
        return {
            **self._placed,
            "content": self.dataset.content,
            "rows": ROWS_VERSION,
            "shape": list(self.dataset.images.shape),
            "target": self.data.target,
            "classes": list(self.classes),
            "patient": self.data.patient,
            "split": self.data.split.canonical(),
            "columns": {name: _column_hash(self.table, name) for name in columns},
        }

    def training(self, environment: EnvironmentSpec, seed: int, fold: int = 0) -> tuple[Environment, Environment]:
        """Training and validation rows of a seed and fold, both with the environment's associations; of the training
        rows as many as it asks for.

        Raises AssociationError when the rows cannot have them, DataError when no row is left, or fewer than asked for.
        """
        if environment.crop:
            raise SpecError("crop is for environments to test on: what is trained on are whole images")
        mine = self.parts(seed, fold)
        return (
            self.make("train", environment, mine.train, derive(seed, "train"), amount=True),
            self.make("validation", environment, mine.validation, derive(seed, "validation")),
        )

    def parts(self, seed: int, fold: int) -> Split:
        """Which rows a seed and fold train on, validate on and test on, found once. Raises as `parts.parts` does."""
        if (seed, fold) not in self._parts:
            self._parts[seed, fold] = parts(self.table, self.data.split, seed, fold)
        return self._parts[seed, fold]

    def trained_on(self, seed: int, fold: int) -> Bool[np.ndarray, "n"]:
        """Which rows of the dataset are of patients that this seed and fold trained or validated on."""
        mine, patient = self.parts(seed, fold), self.table.patient
        return np.isin(patient, patient[np.concatenate([mine.train, mine.validation])])

    def tested(self, name: str, environment: EnvironmentSpec, positions: Int[np.ndarray, "n"]) -> Environment:
        """A test environment of these rows, all those that may be tested. They are the same whatever the seed, so the
        environments that were made first are kept for the seeds and grid points that follow.
        """
        key = environment.model_dump_json()
        if key not in self._tested:
            if len(self._tested) == _KEPT:
                del self._tested[next(iter(self._tested))]
            self._tested[key] = self.make(name, environment, positions, TEST_SEED)
        return replace(self._tested[key], name=name)

    def scene(self, tests: Mapping[str, EnvironmentSpec], seed: int, fold: int = 0) -> FileScene:
        """The test environments, of patients that this seed and fold never trained on."""
        return FileScene(self, dict(tests), seed, fold)

    def make(
        self,
        name: str,
        environment: EnvironmentSpec,
        positions: Int[np.ndarray, "n"],
        seed: int,
        *,
        amount: bool = False,
    ) -> Environment:
        """An environment made of some of these rows: those that it allows, chosen for its associations, and of these,
        where its `amount` is to be kept, so many.
        """
        try:
            table = self.choose(environment, positions, seed)
        except (AssociationError, DataError) as error:
            raise type(error)(f"environment '{name}': {error}") from error
        if amount:
            table = self._amount(name, environment, table, seed)
        shown = self.show(name, environment, table, seed, len(positions))
        if not environment.crop:
            return shown
        return replace(shown, notes=self._crops.told(self._allowed(environment, positions)))

    def _amount(self, name: str, environment: EnvironmentSpec, table: FactorTable, seed: int) -> FactorTable:
        ties, draw = _row_ties(environment), preference(table.row, seed)
        if environment.fraction is not None:
            return first_patients(name, table, environment.fraction, ties, draw)
        count = enough(name, environment.rows, len(table), "after its associations and `where`")
        return first_rows(table, count, ties, draw)

    def choose(self, environment: EnvironmentSpec, positions: Int[np.ndarray, "n"], seed: int) -> FactorTable:
        """The rows that the environment leaves of these. Raises SpecError, AssociationError, DataError."""
        known = [*(factor.name for factor in self.factors), *environment.interventions]
        for name in environment.association:
            if name not in known:
                raise SpecError(unknown_name("factor", name, known))
        if environment.difficulty:
            raise SpecError("`difficulty` is for phantoms: what is in a photograph cannot be made fainter")
        allowed = self._allowed(environment, positions)
        if not len(allowed):
            raise DataError(f"none of {len(positions)} rows has {dict(environment.where)}: loosen `where`")
        if environment.crop:
            allowed = allowed.take(self._crops.has_window(allowed))
            if not len(allowed):
                raise DataError(
                    f"none of {len(positions)} rows has a lesion and a window of half its side without one; if masks "
                    "are the wrong way round, data.mask_inverted says so"
                )
        ties = _row_ties(environment)
        return allowed.take(choose(allowed, ties, seed).positions) if ties else allowed

    def _allowed(self, environment: EnvironmentSpec, positions: Int[np.ndarray, "n"]) -> FactorTable:
        allowed = self.table.take(positions)
        return allowed.take(satisfies(allowed, environment.where)) if environment.where else allowed

    def show(
        self,
        name: str,
        environment: EnvironmentSpec,
        table: FactorTable,
        seed: int,
        available: int,
        changes: Sequence[Drawn] | None = None,
    ) -> Environment:
        """The environment of these rows, with its interventions on them; `changes` where they are drawn already."""
        if environment.crop:
            table, images, masks = self._crops.shown(table)
        else:
            images = PickedImages(self.dataset.images, table.row)
            masks = None if self.dataset.masks is None else PickedMasks(self.dataset.masks, table.row)
        files = None if environment.crop else self.dataset.crops
        native = None if files is None else PickedNative(files, table.row)
        boxes = None if self.dataset.boxes is None else self.dataset.boxes[table.row]
        if changes is None:
            changes, table = drawn(environment, table, seed, images.shape, boxes)
        else:
            for change in changes:
                table = table.with_column(change.factor, change.marked.astype(np.int64))
        shown = with_changes(images, changes)
        known = None if environment.crop else self.dataset.millimetres
        millimetres = None if known is None else known[table.row]
        achieved = _achieved(environment, table, available)
        boxed = None if environment.crop else self.dataset.lesions
        lesions = None if boxed is None else PickedLesions(boxed, table.row)
        return Environment(
            name, table, shown, masks, achieved, native=native, millimetres=millimetres, lesions=lesions, boxes=boxes
        )

    @cached_property
    def factors_hash(self) -> str:
        """The hash of every factor with its column: probes read them all, whichever an environment uses."""
        return content_hash({factor.name: _column_hash(self.table, factor.name) for factor in self.factors})

    @cached_property
    def _placed(self) -> dict[str, str]:
        """Where pictures lie in their squares, as what decides interventions and distortions beside the pixels."""
        boxes = self.dataset.boxes
        return (
            {} if boxes is None else {"placed": hashlib.sha256(np.ascontiguousarray(boxes).tobytes()).hexdigest()[:16]}
        )

    @cached_property
    def _crops(self) -> LesionFreeCrops:
        return LesionFreeCrops(self.dataset)

    @cached_property
    def _loaded(self) -> Dataset:
        return self.load()


class AllTested(FilePopulation):
    """A population whose every row is tested and none trained on, whatever its split says."""

    @property
    def folds(self) -> int:
        """1: all rows are tested at once."""
        return 1

    def parts(self, seed: int, fold: int) -> Split:
        """All rows to test on, none else."""
        none = np.zeros(0, dtype=np.int64)
        return Split(none, none, np.arange(len(self.table), dtype=np.int64))

    def trained_on(self, seed: int, fold: int) -> Bool[np.ndarray, "n"]:
        """No row."""
        return np.zeros(len(self.table), dtype=bool)


def _row_ties(environment: EnvironmentSpec) -> dict[str, AssociationSpec]:
    """The associations that are had by choosing rows; those of interventions are had by marking rows."""
    return {name: tie for name, tie in environment.association.items() if name not in environment.interventions}


def _achieved(environment: EnvironmentSpec, table: FactorTable, available: int) -> tuple[Achieved, ...]:
    return tuple(
        achieved(table, name, asked=tie.strength, high=tie.high, given=tie.given, available=available)
        for name, tie in environment.association.items()
    )


def _column_hash(table: FactorTable, name: str) -> str:
    described = f"{table.factor(name)!r}".encode()
    values = np.ascontiguousarray(table.columns[name], dtype=np.float64).tobytes()
    return hashlib.sha256(described + values).hexdigest()[:16]
