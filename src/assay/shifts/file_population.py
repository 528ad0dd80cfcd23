"""Populations of images from files, their environments and crops."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int, UInt8
from torch import Tensor

from assay.core.errors import AssociationError, DataError, SpecError, unknown_name
from assay.core.files import content_hash
from assay.core.seeds import derive
from assay.core.types import Factor, FactorTable
from assay.data.dataset import Card, Crops, Dataset, Images, Masks, PixelScale
from assay.data.files.fitting import Box, placed
from assay.data.leakage import check_disjoint
from assay.data.splits import Split, assign_folds
from assay.shifts.association import achieved, also_achieved, choose, preference, satisfies
from assay.shifts.environment import Achieved, Environment, PickedImages, PickedLesions, PickedMasks, PickedNative
from assay.shifts.intervention import Drawn, changes_of, with_changes
from assay.shifts.sampling import ROWS_VERSION, TEST_SEED, drawn, enough, first_patients, first_rows, parts
from assay.shifts.scene import INDEPENDENT, NEUTRAL, Tests, switched
from assay.spec.schema import AssociationSpec, DataSpec, EnvironmentSpec
from assay.spec.sections import LESION

# What a probe may look at on images from files: test environments, and interventions put on and taken off.


LEAST_NEUTRAL = 0.25
"""The share of the rows that untying a factor from the target must leave, or the factor stays as found."""


@dataclass(frozen=True)
class Untied:
    """An environment that unties factors from the target. left: those that stay as found -> why."""

    spec: EnvironmentSpec
    left: Mapping[str, str]


@dataclass(frozen=True)
class FileScene:
    """See `Scene`. On k-fold data an environment's rows are chosen once, over all rows and for all seeds; what is
    shown of them are the rows whose patients this seed and fold never trained on.
    """

    population: FilePopulation
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
        """Names of the classes, the positive one last."""
        return self.population.classes

    @property
    def has_phantom(self) -> bool:
        """False: factors are as they are found."""
        return False

    @property
    def tests(self) -> Tests:
        """The test environments' specs."""
        return Tests(self.specs)

    def identity(self, name: str) -> dict[str, Any]:
        """What decides an environment's images and what is known of them: the data, the split and its seed, the whole
        factor table, the environment.

        `(neutral)`, or `neutral` where no test environment has that name: all that the scene derives from its tests.
        """
        described = self.tests.described(name, self.tests.neutral)
        spec = self.specs.get(name, self.tests.neutral)
        folded = self.population.folds > 1
        here = {"seed": self.seed, "fold": self.fold} if folded else {}
        known = {"factors": self.population.factors_hash}
        boxed = self.population.dataset.lesions
        boxes = {} if boxed is None else {"boxes": boxed.content}
        left = sorted(self._neutral.left) if name not in self.specs else []
        found = {"as found": left} if left else {}
        return {**self.population.identity(spec), **known, **boxes, **here, **described, **found}

    def environment(self, name: str) -> Environment:
        """A test environment. Raises SpecError for an unknown name, DataError when a patient was trained on."""
        return self._make(name, self.tests.named(name))

    def neutral(self) -> Environment:
        """Test rows in which no factor that any test ties is tied to the target, with the interventions alone that all
        tests put on all images. A factor that the rows cannot untie, or that would cost most of them, stays as found;
        `notes` say so.
        """
        return self._untied(NEUTRAL, self._neutral)

    def independent(self) -> Environment:
        """The neutral rows, with every factor untied that can be, however few rows that leaves: on files no factor can
        be set.
        """
        return self._untied(INDEPENDENT, self._untie(0.0))

    def changeable(self) -> tuple[str, ...]:
        """The interventions of the test environments."""
        return tuple(self.tests.interventions)

    def counterfactual(self, factor: str, end: str) -> Environment:
        """The neutral rows without (`low`) or with (`high`) an intervention. Raises SpecError for another name."""
        self.tests.check_change(factor, end, self.changeable())
        return switched(self.neutral(), factor, self.tests.interventions[factor], end, TEST_SEED)

    def at_quantile(self, factor: str, u: float) -> None:
        """None: there is no phantom whose factors could be set."""
        return

    def sobol(self, samples: int) -> None:
        """None: there is no phantom to draw from."""
        return

    def _untied(self, name: str, untied: Untied) -> Environment:
        if name not in self._made:
            made = self._make(name, untied.spec)
            self._made[name] = replace(made, notes=(*made.notes, *untied.left.values()))
        return self._made[name]

    @cached_property
    def _neutral(self) -> Untied:
        return self._untie(LEAST_NEUTRAL)

    def _untie(self, least: float) -> Untied:
        """Untie as many of the factors that any test ties as the rows allow, in the order of their names.

        least: the share of rows that must remain.
        """
        wanted, population = self.tests.neutral, self.population
        positions = self._parts.test if population.folds == 1 else np.arange(len(population.table))

        def rows(ties: Mapping[str, AssociationSpec]) -> int:
            return len(population.choose(wanted.model_copy(update={"association": ties}), positions, TEST_SEED))

        whole = rows({})
        with suppress(AssociationError):
            if rows(wanted.association) >= least * whole:
                return Untied(wanted, {})
        kept: dict[str, AssociationSpec] = {}
        left: dict[str, str] = {}
        for name, tie in wanted.association.items():
            try:
                count = rows({**kept, name: tie})
            except AssociationError as error:
                left[name] = (
                    f"'{name}' cannot be untied from the target and stays as found in the neutral rows: {error}"
                )
                continue
            if count >= least * whole:
                kept[name] = tie
            else:
                left[name] = (
                    f"'{name}' stays as found in the neutral rows: to untie it from the target would leave {count:,} "
                    f"of {whole:,}; decodability is asked on these {count:,}"
                )
        return Untied(wanted.model_copy(update={"association": kept}), left)

    def _make(self, name: str, spec: EnvironmentSpec) -> Environment:
        if name not in self._made:
            self._made[name] = self._of_test(name, spec)
        return self._made[name]

    def _from(self, name: str, spec: EnvironmentSpec, positions: Int[np.ndarray, "n"]) -> Environment:
        return also_achieved(self.population.tested(name, spec, positions), self.tests.ties)

    def _of_test(self, name: str, spec: EnvironmentSpec) -> Environment:
        population, folds = self.population, self.population.folds
        if folds == 1:
            shown = self._from(name, spec, self._parts.test)
        else:
            whole = self._from(name, spec, np.arange(len(population.table)))
            shown = self._tested(name, spec, whole, folds)
        self._refuse_leak(name, shown.table)
        return shown

    def _tested(self, name: str, spec: EnvironmentSpec, whole: Environment, folds: int) -> Environment:
        """The part that this fold tests, changed as in the whole: a row is the same image for every seed, and an exact
        dose is one of all folds together, as what was achieved is.
        """
        fold: Int[np.ndarray, "n"] = assign_folds(self.population.table, folds, self.seed)
        at = np.flatnonzero(fold[whole.table.row] == self.fold)
        if not len(at):
            raise DataError(f"environment '{name}' has no row in fold {self.fold} of {folds}: use fewer folds")
        here = whole.table.row[at]
        table = replace(self.population.table.take(here), fold=fold[here])
        changes = [change.take(at) for change in changes_of(whole.images)]
        shown = self.population.show(name, spec, table, TEST_SEED, len(here), changes)
        return replace(shown, achieved=whole.achieved, notes=whole.notes)

    @cached_property
    def _parts(self) -> Split:
        return self.population.parts(self.seed, self.fold)

    @cached_property
    def _trained_on(self) -> Bool[np.ndarray, "n"]:
        return self.population.trained_on(self.seed, self.fold)

    def _refuse_leak(self, name: str, table: FactorTable) -> None:
        if not self._trained_on[table.row].any():
            return
        here = self._parts
        try:
            check_disjoint(self.population.table.take(np.concatenate([here.train, here.validation])), table)
        except DataError as error:
            raise DataError(f"environment '{name}': {error}") from error


# Crops of lesion photographs that show no lesion: a second lesion-free set, framed as the first is not.
#
# Of each photograph the largest window of its own aspect without any lesion pixel is taken, the one nearest to the
# middle where there are several, and scaled to the whole photograph's place in the square. Black rows and columns
# around a photograph are no part of it and stay as they are.

LEAST_SIDE = 0.5
"""The share of a photograph's side that a window has at the least; a smaller one would be another kind of picture."""
BLACK = 10 / 255
"""Rows and columns of a photograph's edge that are nowhere brighter are padding."""

Window = tuple[int, int, int, int]
"""Top, left, bottom, right in pixels of the square."""


def largest_window(touched: Bool[np.ndarray, "h w"], box: Box) -> Window | None:
    """The largest window of the box's aspect, of at least `LEAST_SIDE` of its sides, that holds no touched pixel.

    Of several that are equally large the one whose middle is nearest to the box's, and of those the first by rows. None
    when there is none.
    """
    whole = np.zeros((box.height + 1, box.width + 1), dtype=np.int64)
    whole[1:, 1:] = touched[box.rows, box.columns].cumsum(axis=0).cumsum(axis=1)
    longer = max(box.height, box.width)
    low, high = int(np.ceil(longer * LEAST_SIDE)) - 1, longer
    # A smaller window fits wherever a larger one does, so halving finds the largest.
    while low < high:
        middle = (low + high + 1) // 2
        if _free(whole, *_sides(box, middle)).any():
            low = middle
        else:
            high = middle - 1
    tall, wide = _sides(box, low)
    free = _free(whole, tall, wide)
    if low < longer * LEAST_SIDE or not free.any():
        return None
    down, across = np.ogrid[: free.shape[0], : free.shape[1]]
    away = (2 * down + tall - box.height) ** 2 + (2 * across + wide - box.width) ** 2
    at = int(np.argmin(np.where(free, away, np.iinfo(np.int64).max)))
    top, left = box.top + at // free.shape[1], box.left + at % free.shape[1]
    return top, left, top + tall, left + wide


def _sides(box: Box, longer: int) -> tuple[int, int]:
    """Height and width of the window whose longer side is `longer`."""
    most = max(box.height, box.width)
    return max(1, round(box.height * longer / most)), max(1, round(box.width * longer / most))


def _free(whole: Int[np.ndarray, "H W"], tall: int, wide: int) -> Bool[np.ndarray, "down across"]:
    """Where a window of this size may start, from sums over all rectangles that start in the corner."""
    counts = whole[tall:, wide:] - whole[:-tall, wide:] - whole[tall:, :-wide] + whole[:-tall, :-wide]
    return counts == 0


@dataclass(frozen=True)
class LesionFreeCrops:
    """The windows of a dataset's lesion photographs, each found when it is first asked for."""

    dataset: Dataset
    _found: dict[int, Window | None] = field(default_factory=dict[int, "Window | None"], compare=False)

    def has_window(self, table: FactorTable) -> Bool[np.ndarray, "n"]:
        """Which rows show a lesion and have a window without it. Raises SpecError where masks do not decide."""
        self._files()
        lesion = table.columns[LESION.name] > 0
        return np.array(
            [bool(shown) and self._window(row) is not None for row, shown in zip(table.row, lesion, strict=True)]
        )

    def told(self, table: FactorTable) -> tuple[str, ...]:
        """What to know of the crops of these rows before some are left out."""
        lesions = table.take(table.columns[LESION.name] > 0)
        with_one = lesions.take(self.has_window(lesions))
        left = len(lesions) - len(with_one)
        scales = [self._magnified(row) for row in with_one.row.tolist()]
        none = f"{left:,} of {len(lesions):,} lesion photographs have no window of half their side without a lesion"
        told = (f"{none} and are left out",) if left else ()
        if not scales:
            return told
        by = f"crops are magnified {np.median(scales):.2f} times (median; up to {max(scales):.2f})"
        return (*told, by)

    def shown(self, table: FactorTable) -> tuple[FactorTable, Images, Masks]:
        """The rows as what their crops are: lesion-free."""
        windows = np.array([self._window(row) for row in table.row.tolist()], dtype=np.int64).reshape(-1, 4)
        frames = [self._frame(row) for row in table.row.tolist()]
        places = [[f.top, f.left, f.top + f.height, f.left + f.width] for f in frames]
        images = self._files().cut(table.row, windows, np.array(places, dtype=np.int64).reshape(-1, 4))
        none = np.zeros(len(table), dtype=np.int64)
        free = replace(table, target=none, columns={**table.columns, LESION.name: none})
        kinds: Sequence[str] = () if self.dataset.masks is None else self.dataset.masks.kinds
        return free, images, NoLesions(len(table), images.shape[1:], tuple(kinds))

    def _files(self) -> Crops:
        if self.dataset.crops is None or LESION not in self.dataset.table.factors:
            raise SpecError("crop: lesion-free needs images from files with masks, and `target: lesion`")
        return self.dataset.crops

    def _window(self, row: int) -> Window | None:
        if row not in self._found:
            self._found[row] = largest_window(self._files().touched[row], self._frame(row))
        return self._found[row]

    def _frame(self, row: int) -> Box:
        """Where the photograph lies in the square, without black padding of its own."""
        assert self.dataset.native is not None
        width, height = self.dataset.native[row].tolist()
        box = placed(height, width, self.dataset.images.shape[1])
        bright = (self.dataset.images.read(np.array([row]))[0].amax(dim=0) > BLACK).numpy()[box.rows, box.columns]
        down, across = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
        if not len(down):
            return box
        top, left = int(down[0]), int(across[0])
        return Box(box.top + top, box.left + left, int(down[-1]) + 1 - top, int(across[-1]) + 1 - left)

    def _magnified(self, row: int) -> float:
        window, frame = self._window(row), self._frame(row)
        assert window is not None
        return max(frame.height, frame.width) / max(window[2] - window[0], window[3] - window[1])


@dataclass(frozen=True)
class NoLesions:
    """`Masks` of images that show none."""

    count: int
    sides: tuple[int, int]
    kinds: tuple[str, ...]

    def __len__(self) -> int:
        return self.count

    def read(self, index: np.ndarray) -> UInt8[Tensor, "n 1 h w"]:
        """Background everywhere."""
        return torch.zeros((len(index), 1, *self.sides), dtype=torch.uint8)


# A population that is read from files: environments are chosen from its rows, by patient.

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
