"""Rows of images from files: splits by patient, associations by choice, and lesion-free crops."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from assay.core.errors import AssociationError, DataError, SpecError, unknown_name
from assay.core.files import content_hash
from assay.core.seeds import derive
from assay.core.types import Factor, FactorTable
from assay.data.cache import ArrayMasks
from assay.data.dataset import Card, Crops, Dataset, Images, Masks, PixelScale
from assay.data.files.fitting import Placement
from assay.data.leakage import check_disjoint
from assay.data.splits import Split, fold_numbers
from assay.shifts.choice import choose, preference
from assay.shifts.environment import (
    IndependentFactors,
    Part,
    PickedImages,
    PickedMasks,
    PickedNative,
    Pixels,
    SelectedRows,
    naming,
)
from assay.shifts.marginals import satisfies
from assay.shifts.population import Population
from assay.shifts.sampling import ROWS_VERSION, TEST_SEED, enough, first_patients, first_rows, parts
from assay.spec.data import LESION
from assay.spec.schema import AssociationSpec, DataSpec, EnvironmentSpec

LEAST_NEUTRAL = 0.25
"""The share of the rows that untying a factor from the target must leave, or the factor stays as found."""

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


def largest_window(touched: Bool[np.ndarray, "h w"], box: Placement) -> Window | None:
    """Return the largest window of the box's aspect, of at least `LEAST_SIDE` of its sides, that holds no touched
    pixel.

    Of several that are equally large the one whose middle is nearest to the box's, and of those the first by rows. None
    when there is none.
    """
    integral = np.zeros((box.height + 1, box.width + 1), dtype=np.int64)
    integral[1:, 1:] = touched[box.rows, box.columns].cumsum(axis=0).cumsum(axis=1)
    longer = max(box.height, box.width)
    low, high = int(np.ceil(longer * LEAST_SIDE)) - 1, longer
    # A smaller window fits wherever a larger one does, so halving finds the largest.
    while low < high:
        middle = (low + high + 1) // 2
        if _free(integral, *_sides(box, middle)).any():
            low = middle
        else:
            high = middle - 1
    tall, wide = _sides(box, low)
    free = _free(integral, tall, wide)
    if low < longer * LEAST_SIDE or not free.any():
        return None
    down, across = np.ogrid[: free.shape[0], : free.shape[1]]
    away = (2 * down + tall - box.height) ** 2 + (2 * across + wide - box.width) ** 2
    at = int(np.argmin(np.where(free, away, np.iinfo(np.int64).max)))
    top, left = box.top + at // free.shape[1], box.left + at % free.shape[1]
    return top, left, top + tall, left + wide


def _sides(box: Placement, longer: int) -> tuple[int, int]:
    """Height and width of the window whose longer side is `longer`."""
    most = max(box.height, box.width)
    return max(1, round(box.height * longer / most)), max(1, round(box.width * longer / most))


def _free(integral: Int[np.ndarray, "H W"], tall: int, wide: int) -> Bool[np.ndarray, "down across"]:
    """Where a window of this size may start, from sums over all rectangles that start in the corner."""
    counts = integral[tall:, wide:] - integral[:-tall, wide:] - integral[tall:, :-wide] + integral[:-tall, :-wide]
    return counts == 0


@dataclass(frozen=True)
class LesionFreeCrops:
    """The windows of a dataset's lesion photographs, each found when it is first asked for."""

    dataset: Dataset
    _windows: dict[int, Window | None] = field(default_factory=dict[int, "Window | None"], compare=False)

    def has_window(self, table: FactorTable) -> Bool[np.ndarray, "n"]:
        """Which rows show a lesion and have a window without it.

        Raises:
            SpecError: If masks do not decide.
        """
        self._files()
        lesion = table.columns[LESION.name] > 0
        return np.array(
            [
                bool(has_lesion) and self._window(row) is not None
                for row, has_lesion in zip(table.row, lesion, strict=True)
            ]
        )

    def notes(self, table: FactorTable) -> tuple[str, ...]:
        """Notes on the crops of these rows before some are left out."""
        lesions = table.take(table.columns[LESION.name] > 0)
        with_one = lesions.take(self.has_window(lesions))
        without_window = len(lesions) - len(with_one)
        scales = [self._magnification(row) for row in with_one.row.tolist()]
        none = (
            f"{without_window:,} of {len(lesions):,} lesion photographs have no window of half their side without a "
            "lesion"
        )
        notes = (f"{none} and are left out",) if without_window else ()
        if not scales:
            return notes
        by = f"crops are magnified {np.median(scales):.2f} times (median; up to {max(scales):.2f})"
        return (*notes, by)

    def crops(self, table: FactorTable) -> tuple[FactorTable, Images, Masks]:
        """Return the rows labeled as their crops are: lesion-free."""
        windows = np.array([self._window(row) for row in table.row.tolist()], dtype=np.int64).reshape(-1, 4)
        frames = [self._frame(row) for row in table.row.tolist()]
        places = [[f.top, f.left, f.top + f.height, f.left + f.width] for f in frames]
        images = self._files().cut(table.row, windows, np.array(places, dtype=np.int64).reshape(-1, 4))
        none = np.zeros(len(table), dtype=np.int64)
        free = replace(table, target=none, columns={**table.columns, LESION.name: none})
        kinds: Sequence[str] = () if self.dataset.masks is None else self.dataset.masks.kinds
        background = np.broadcast_to(np.uint8(0), (len(table), 1, *images.shape[1:]))
        return free, images, ArrayMasks(background, kinds=tuple(kinds))

    def _files(self) -> Crops:
        if self.dataset.crops is None or LESION not in self.dataset.table.factors:
            raise SpecError("crop: lesion-free needs images from files with masks, and `target: lesion`")
        return self.dataset.crops

    def _window(self, row: int) -> Window | None:
        if row not in self._windows:
            self._windows[row] = largest_window(self._files().touched[row], self._frame(row))
        return self._windows[row]

    def _frame(self, row: int) -> Placement:
        """Where the photograph is in the square, without black padding of its own."""
        size = self.dataset.images.shape[1]
        box = (
            Placement(0, 0, size, size) if self.dataset.boxes is None else Placement(*self.dataset.boxes[row].tolist())
        )
        bright = (self.dataset.images.read(np.array([row]))[0].amax(dim=0) > BLACK).numpy()[box.rows, box.columns]
        down, across = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
        if not len(down):
            return box
        top, left = int(down[0]), int(across[0])
        return Placement(box.top + top, box.left + left, int(down[-1]) + 1 - top, int(across[-1]) + 1 - left)

    def _magnification(self, row: int) -> float:
        window, frame = self._window(row), self._frame(row)
        assert window is not None
        return max(frame.height, frame.width) / max(window[2] - window[0], window[3] - window[1])


# Rows that are read from files: environments are chosen from them, by patient.


@dataclass(frozen=True)
class FilePopulation(Population):
    """Rows and images from files.

    Attributes:
        data: The `data` section.
        load: Reads the dataset; called once, when it is first needed.
        all_tested: Every row is a test row and none is trained on, whatever the split says.
        sets: See `Population`.
    """

    data: DataSpec
    load: Callable[[], Dataset]
    all_tested: bool = False
    sets: Mapping[str, Population] = field(default_factory=dict[str, Population])
    _parts: dict[tuple[int, int], Split] = field(
        default_factory=dict[tuple[int, int], Split], init=False, compare=False
    )

    @property
    def dataset(self) -> Dataset:
        """The decoded files. Raises DataError and SpecError as the loader does."""
        return self._dataset

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
        """Kinds of the masks other than background; empty without masks."""
        return () if self.dataset.masks is None else self.dataset.masks.kinds

    @property
    def channels(self) -> int:
        """1 for gray images, 3 for color."""
        return self.dataset.images.shape[0]

    @property
    def factors(self) -> tuple[Factor, ...]:
        """The table's factors."""
        return self.table.factors

    @property
    def card(self) -> Card:
        """Caveats on numbers from the data."""
        return self.dataset.card

    @property
    def scale(self) -> PixelScale:
        """Meaning of pixels."""
        return self.dataset.scale

    @property
    def folds(self) -> int:
        """Number of folds that every seed trains; 1 when the split is not k-fold."""
        return 1 if self.all_tested else self.data.split.folds or 1

    def identity(self, environment: EnvironmentSpec, groups: str = "") -> dict[str, Any]:
        """Inputs of training in the data: content, decoding, split, and the columns that the environment and the recipe
        use.
        """
        used = {*environment.association, *environment.where, groups}
        used |= {name for tie in environment.association.values() for name in tie.given}
        used |= {self.data.split.column, *self.data.split.test_only} - {""}
        columns = sorted(used & {factor.name for factor in self.factors})
        return {
            **self._picture_places,
            **({"files": content_hash(self.dataset.digests)} if self.dataset.original else {}),
            "content": self.dataset.content,
            "rows": ROWS_VERSION,
            "shape": list(self.dataset.images.shape),
            "target": self.data.target,
            "classes": list(self.classes),
            "patient": self.data.patient,
            "split": self.data.split.canonical(),
            "columns": {name: _column_hash(self.table, name) for name in columns},
        }

    def test_identity(self, environment: EnvironmentSpec, seed: int, fold: int) -> dict[str, Any]:
        """Return the inputs of training, the whole factor table, lesion boxes and, of k-fold data, seed and fold."""
        boxed = self.dataset.lesions
        return {
            **self.identity(environment),
            "factors": self.factors_hash,
            **({} if boxed is None else {"boxes": boxed.content}),
            **({"seed": seed, "fold": fold} if self.folds > 1 else {}),
        }

    def choose(self, name: str, part: Part, environment: EnvironmentSpec, seed: int, fold: int) -> SelectedRows:
        """Choose the rows of an environment for its associations; of training rows as many as it asks for.

        Test rows are those of all folds.

        Raises:
            SpecError: The environment names something that these data lack.
            AssociationError: The rows cannot have the associations.
            DataError: No row is left, or fewer than were asked for.
        """
        positions = self._positions(part, seed, fold)
        drawn_from = TEST_SEED if part == "test" else derive(seed, part)
        with naming(name):
            table = self._chosen(environment, positions, drawn_from)
        if part == "train":
            table = self._amount(name, environment, table, drawn_from)
        notes = self._crops.notes(self._allowed_rows(environment, positions)) if environment.crop else ()
        return SelectedRows(table, drawn_from, environment.association, len(positions), notes)

    def of_fold(
        self, name: str, table: FactorTable, seed: int, fold: int
    ) -> tuple[Int[np.ndarray, "m"], FactorTable] | None:
        """Return the rows that this fold tests; None where the split is not k-fold.

        Raises:
            DataError: A patient was trained on, or the fold has no row.
        """
        if self.folds == 1:
            self._refuse_leak(name, table, seed, fold)
            return None
        of_fold: Int[np.ndarray, "n"] = fold_numbers(self.table, self.data.split, seed)
        at = np.flatnonzero(of_fold[table.row] == fold)
        if not len(at):
            raise DataError(f"environment '{name}' has no row in fold {fold} of {self.folds}: use fewer folds")
        here = table.row[at]
        self._refuse_leak(name, table.take(at), seed, fold)
        return at, replace(self.table.take(here), fold=of_fold[here])

    def pixels(self, environment: EnvironmentSpec, table: FactorTable, seed: int) -> Pixels:
        """Return the images of these rows, or their lesion-free crops."""
        dataset, row = self.dataset, table.row
        boxes = None if dataset.boxes is None else dataset.boxes[row]
        if environment.crop:
            table, images, masks = self._crops.crops(table)
            return Pixels(table, images, masks, boxes=boxes)
        return Pixels(
            table,
            PickedImages(dataset.images, row),
            None if dataset.masks is None else PickedMasks(dataset.masks, row),
            lesions=None if dataset.lesions is None else PickedMasks(dataset.lesions, row),
            native=None if dataset.crops is None else PickedNative(dataset.crops, row),
            millimeters=None if dataset.millimeters is None else dataset.millimeters[row],
            boxes=boxes,
            original=None if dataset.original is None else dataset.original.take(row),
        )

    def weaken_ties(self, neutral: EnvironmentSpec, seed: int, fold: int) -> IndependentFactors:
        """Return the neutral environment without ties that would cost most of the rows."""
        return self._untie(neutral, seed, fold, LEAST_NEUTRAL)

    def independent(self, neutral: EnvironmentSpec, seed: int, fold: int) -> IndependentFactors:
        """Return the neutral environment with every factor untied that can be, however few rows that leaves."""
        return replace(self._untie(neutral, seed, fold, 0.0), notes=())

    def parts(self, seed: int, fold: int) -> Split:
        """Return the rows that a seed and fold train on, validate on and test on. Raises as `sampling.parts` does."""
        if (seed, fold) not in self._parts:
            self._parts[seed, fold] = self._split(seed, fold)
        return self._parts[seed, fold]

    def _split(self, seed: int, fold: int) -> Split:
        if not self.all_tested:
            return parts(self.table, self.data.split, seed, fold)
        none = np.zeros(0, dtype=np.int64)
        return Split(none, none, np.arange(len(self.table), dtype=np.int64))

    def _positions(self, part: Part, seed: int, fold: int) -> Int[np.ndarray, "n"]:
        """Return the rows of a part; test rows are those of all folds."""
        if part == "test" and self.folds > 1:
            return np.arange(len(self.table))
        mine = self.parts(seed, fold)
        return {"train": mine.train, "validation": mine.validation, "test": mine.test}[part]

    def _refuse_leak(self, name: str, table: FactorTable, seed: int, fold: int) -> None:
        mine, patient = self.parts(seed, fold), self.table.patient
        training_rows = np.concatenate([mine.train, mine.validation])
        if not np.isin(patient, patient[training_rows])[table.row].any():
            return
        with naming(name):
            check_disjoint(self.table.take(training_rows), table)

    def _untie(self, wanted: EnvironmentSpec, seed: int, fold: int, least: float) -> IndependentFactors:
        """Untie as many of the factors that any test ties as the rows allow, in the order of their names.

        Args:
            wanted: The environment with all of them untied.
            seed: Seed of the trial.
            fold: Fold of the trial.
            least: Share of the rows that must remain.
        """
        positions = self._positions("test", seed, fold)

        def rows(ties: Mapping[str, AssociationSpec]) -> int:
            return len(self._chosen(wanted.model_copy(update={"association": ties}), positions, TEST_SEED))

        available = rows({})
        with suppress(AssociationError):
            count = rows(wanted.association)
            if count >= least * available:
                return IndependentFactors(wanted, {}, _fewer(wanted.association, count, available))
        untied: dict[str, AssociationSpec] = {}
        reasons: dict[str, str] = {}
        remain = available
        for name, tie in wanted.association.items():
            try:
                count = rows({**untied, name: tie})
            except AssociationError as error:
                reasons[name] = (
                    f"'{name}' cannot be untied from the target and stays as found in the neutral rows: {error}"
                )
                continue
            if count >= least * available:
                untied[name], remain = tie, count
            else:
                reasons[name] = (
                    f"'{name}' stays as found in the neutral rows: to untie it from the target would leave {count:,} "
                    f"of {available:,}; decodability is asked on these {count:,}"
                )
        return IndependentFactors(
            wanted.model_copy(update={"association": untied}), reasons, _fewer(untied, remain, available)
        )

    def _amount(self, name: str, environment: EnvironmentSpec, table: FactorTable, seed: int) -> FactorTable:
        ties, draw = _row_ties(environment), preference(table.row, seed)
        if environment.fraction is not None:
            return first_patients(name, table, environment.fraction, ties, draw)
        count = enough(name, environment.rows, len(table), "after its associations and `where`")
        return first_rows(table, count, ties, draw)

    def _chosen(self, environment: EnvironmentSpec, positions: Int[np.ndarray, "n"], seed: int) -> FactorTable:
        """Return the rows that the environment leaves of these. Raises SpecError, AssociationError, DataError."""
        names = [*(factor.name for factor in self.factors), *environment.interventions]
        for name in environment.association:
            if name not in names:
                raise SpecError(unknown_name("factor", name, names))
        if environment.difficulty:
            raise SpecError("`difficulty` is for phantoms: a factor of photographs cannot be made fainter")
        if not len(positions):
            raise DataError("data.split leaves no row for it: give this part a share, such as 0.1")
        allowed = self._allowed_rows(environment, positions)
        if not len(allowed):
            raise DataError(f"none of {len(positions)} rows has {dict(environment.where)}: loosen `where`")
        if environment.crop:
            allowed = allowed.take(self._crops.has_window(allowed))
            if not len(allowed):
                raise DataError(
                    f"none of {len(positions)} rows has a lesion and a window of half its side without one; if masks "
                    "are inverted, set data.mask_inverted"
                )
        ties = _row_ties(environment)
        return allowed.take(choose(allowed, ties, seed)) if ties else allowed

    def _allowed_rows(self, environment: EnvironmentSpec, positions: Int[np.ndarray, "n"]) -> FactorTable:
        allowed = self.table.take(positions)
        return allowed.take(satisfies(allowed, environment.where)) if environment.where else allowed

    @cached_property
    def factors_hash(self) -> str:
        """The hash of every factor with its column: probes read them all, whichever an environment uses."""
        return content_hash({factor.name: _column_hash(self.table, factor.name) for factor in self.factors})

    @cached_property
    def _picture_places(self) -> dict[str, str]:
        """Places of pictures in their squares, which decide interventions and distortions together with the pixels."""
        boxes = self.dataset.boxes
        if boxes is None:
            return {}
        return {"placed": hashlib.sha256(np.ascontiguousarray(boxes).tobytes()).hexdigest()[:16]}

    @cached_property
    def _crops(self) -> LesionFreeCrops:
        return LesionFreeCrops(self.dataset)

    @cached_property
    def _dataset(self) -> Dataset:
        return self.load()


def _row_ties(environment: EnvironmentSpec) -> dict[str, AssociationSpec]:
    """Return the associations that are had by choosing rows; those of interventions are had by marking rows."""
    return {name: tie for name, tie in environment.association.items() if name not in environment.interventions}


def _fewer(untied: Iterable[str], count: int, available: int) -> tuple[str, ...]:
    """Return a note where untying factors leaves fewer rows; none where it leaves all."""
    if count == available:
        return ()
    named = " and ".join(f"'{name}'" for name in untied)
    return (
        f"the neutral rows are {count:,} of {available:,} test rows: to untie {named} from the target leaves out the "
        f"others; every probe of neutral rows reads these {count:,}, unless the environments that tie {named} are in a "
        "study of their own",
    )


def _column_hash(table: FactorTable, name: str) -> str:
    described = f"{table.factor(name)!r}".encode()
    values = np.ascontiguousarray(table.columns[name], dtype=np.float64).tobytes()
    return hashlib.sha256(described + values).hexdigest()[:16]
