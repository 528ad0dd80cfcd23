"""The words that every part uses: factor, factor table, measurement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from assay.core.reasons import NO_REASON, Code, Reason, parse_reason

Kind = Literal["categorical", "ordinal", "continuous"]
Role = Literal["core", "associated", "nuisance", "patient"]
Direction = Literal["higher", "lower", "none"]
"""Which way is better: `higher`, `lower`, or `none` for a quantity that describes and does not rank."""


@dataclass(frozen=True, slots=True)
class Factor:
    """A named attribute of every image.

    Values of a factor with `levels` are codes into them (int64, -1 where missing); all others are numbers (float64,
    NaN where missing). `high` names the levels that count as high when a categorical factor is tied to the target.
    `range` is the closed range that a continuous factor may take, in `unit`.

    Examples:
        >>> scanner = Factor("scanner", "categorical", levels=("a", "b", "c"), high=("c",))
        >>> scanner.numbers(np.array([0, 2, 1]))
        array([0., 1., 0.])
    """

    name: str
    kind: Kind
    role: Role = "nuisance"
    unit: str = ""
    levels: tuple[str, ...] = ()
    high: tuple[str, ...] = ()
    range: tuple[float, float] | None = None
    description: str = ""

    @staticmethod
    def numeric(
        name: str, low: float, high: float, description: str = "", unit: str = "", role: Role = "nuisance"
    ) -> Factor:
        """Return a factor of numbers between `low` and `high`, in `unit`."""
        return Factor(name, "continuous", role, unit, range=(low, high), description=description)

    @staticmethod
    def either(
        name: str, low: tuple[str, ...], high: tuple[str, ...], description: str = "", role: Role = "nuisance"
    ) -> Factor:
        """Return a categorical factor with its low levels and, after them, its high ones."""
        return Factor(name, "categorical", role, levels=(*low, *high), high=high, description=description)

    @staticmethod
    def ranked(name: str, levels: tuple[str, ...], description: str = "", role: Role = "nuisance") -> Factor:
        """Return a factor of levels in order."""
        return Factor(name, "ordinal", role, levels=levels, description=description)

    def numbers(self, values: np.ndarray) -> np.ndarray:
        """Values as float64 [n], higher meaning more; NaN where missing.

        A factor without levels is itself; an ordinal one gives its codes; a categorical one gives 1 for its high
        levels and 0 for the others.
        """
        if not self.levels:
            return values.astype(np.float64)
        codes = values.astype(np.int64)
        if self.kind == "ordinal":
            out = codes.astype(np.float64)
        else:
            out = np.isin(codes, [self.levels.index(level) for level in self.high]).astype(np.float64)
        return np.where(codes < 0, np.nan, out)

    def text(self, value: float) -> str:
        """One value as a reader would write it: the level's name, or the number with its unit."""
        if self.levels:
            return self.levels[int(value)] if value >= 0 else "missing"
        return "missing" if np.isnan(value) else f"{value:g} {self.unit}".rstrip()


@dataclass(frozen=True, slots=True)
class RowOrigins:
    """Where the rows of a dataset come from.

    Attributes:
        numbers: Of every row, as its user counts them (a header is line 1; a table in memory has none).
        where: The table or folder; empty of a table in memory, which is a file of the cache.
        word: Word for a row there, such as `line`.
    """

    where: str
    word: str
    numbers: tuple[int, ...]

    @property
    def names(self) -> dict[str, str]:
        """Return the words with which sentences name rows: fields of a reason, and of a picture."""
        return {"word": self.word, "where": self.where}


@dataclass(frozen=True, slots=True)
class FactorTable:
    """One row per image: its target, its patient, and one column per factor. It survives every shift.

    Attributes:
        row: int64 [n], the image's number within its dataset, stable whatever is chosen from it.
        target: int64 [n], index into `classes`.
        patient: int64 [n], a code; identifiers themselves never leave the data source.
        columns: Factor name -> array [n] as `Factor` describes.
        fold: int64 [n] or None, the fold in which a row is tested, where the split is k-fold.
        places: Where the rows of the whole dataset come from; None where they come from no file.

    Examples:
        >>> age = Factor("age", "continuous", unit="years", range=(18.0, 90.0))
        >>> columns = {"age": np.array([41.0, 63.0])}
        >>> target, patient, classes = np.array([0, 1]), np.array([7, 7]), ("benign", "malignant")
        >>> table = FactorTable(np.arange(2), target, patient, classes, (age,), columns)
        >>> len(table), table.classes[table.target[1]]
        (2, 'malignant')
    """

    row: np.ndarray
    target: np.ndarray
    patient: np.ndarray
    classes: tuple[str, ...]
    factors: tuple[Factor, ...] = ()
    columns: Mapping[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    fold: np.ndarray | None = None
    places: RowOrigins | None = None

    def __len__(self) -> int:
        return len(self.row)

    def named(self, rows: np.ndarray, most: int = 8) -> str:
        """Name rows, given by `row`, as their user counts them: `lines 3, 9 of data.csv`; in memory `rows 2, 8`."""
        ordered: list[int] = np.sort(rows).tolist()
        numbers = ordered if self.places is None else sorted(map(self.places.numbers.__getitem__, ordered))
        text = ", ".join(str(number) for number in numbers[:most])
        text += f", ... ({len(numbers)} in all)" if len(numbers) > most else ""
        word, where = (self.places.word, self.places.where) if self.places else ("row", "")
        return f"{word}{'' if len(numbers) == 1 else 's'} {text}{f' of {where}' if where else ''}"

    def factor(self, name: str) -> Factor:
        """Return the factor of that name. Raises KeyError."""
        for factor in self.factors:
            if factor.name == name:
                return factor
        raise KeyError(name)

    def numbers(self, name: str) -> np.ndarray:
        """Return a factor's column as float64 [n] (see `Factor.numbers`)."""
        return self.factor(name).numbers(self.columns[name])

    def take(self, index: np.ndarray) -> FactorTable:
        """Return the rows at `index` (integers or booleans), in that order."""
        return replace(
            self,
            row=self.row[index],
            target=self.target[index],
            patient=self.patient[index],
            columns={name: column[index] for name, column in self.columns.items()},
            fold=None if self.fold is None else self.fold[index],
        )

    def with_column(self, factor: Factor, values: np.ndarray) -> FactorTable:
        """Return the same rows with one factor added or replaced."""
        factors = (*(f for f in self.factors if f.name != factor.name), factor)
        return replace(self, factors=factors, columns={**self.columns, factor.name: values})

    def without(self, name: str) -> FactorTable:
        """Return the same rows without one factor; the very same table where it has none of that name."""
        if name not in self.columns:
            return self
        columns = {column: values for column, values in self.columns.items() if column != name}
        return replace(self, factors=tuple(f for f in self.factors if f.name != name), columns=columns)


TRAINED_GROUPS = ("", "trained")
"""Groups of measurements of the trained network as it is."""


@dataclass(frozen=True, slots=True)
class Contributions:
    """How much each sample moves a value: its error is nearly the sum of them (see `assay.stats.influence`).

    Samples that two models share have the same code, so that the error of their difference is that of the differences.

    Attributes:
        samples: Sorted codes [p] of patients (0 or more), or of samples that are no patients (below 0).
        values: Contributions [p], widened for small samples; NaN where no variance can be computed.

    Examples:
        >>> moved = Contributions(samples=np.array([3, 8]), values=np.array([0.03, 0.04]))
        >>> round(moved.standard_error, 6)
        0.05
    """

    samples: np.ndarray
    values: np.ndarray

    @property
    def standard_error(self) -> float:
        """Standard error of the value within its model: the root of the sum of squares."""
        return float(np.sqrt((self.values**2).sum())) if len(self.samples) else float("nan")


@dataclass(frozen=True, slots=True)
class Measurement:
    """One number that a probe found, or NaN with the reason why there is none.

    Attributes:
        measure: Its name, such as `auroc`, `sobol-total`, `flip-rate`, `decodability`.
        n: How many images (or pairs) it rests on.
        patients: How many patients.
        standard_error: Within this model, over patients or samples; NaN where it is not defined.
        contributions: Those of patients or samples, by which models are compared that were read on the same ones. A
            value without them is compared as if its samples were its own.
        chance: The value of a model that knows nothing, NaN where there is none.
        reason: Why there is no value, or a remark about the value; see `assay.core.reasons`.

    Examples:
        >>> measurement = Measurement("auroc", 0.91, environment="clean", direction="higher", n=200, chance=0.5)
        >>> measurement.value > measurement.chance
        True
    """

    measure: str
    value: float
    environment: str = ""
    factor: str = ""
    level: str = ""
    layer: str = ""
    group: str = ""
    unit: str = ""
    direction: Direction = "none"
    n: int = 0
    patients: int = 0
    standard_error: float = float("nan")
    chance: float = float("nan")
    reason: Reason = NO_REASON
    contributions: Contributions | None = field(default=None, compare=False, repr=False)

    @property
    def compared(self) -> bool:
        """Whether a contrast of a study can name it: of no level, and of no network but the trained one."""
        return not self.level and self.group in TRAINED_GROUPS

    def __post_init__(self) -> None:
        if np.isnan(self.value) and not self.reason:
            raise ValueError(f"measurement '{self.measure}' is NaN without a reason")


def undefined(measure: str, reason: Reason | Code | str, **where: str) -> Measurement:
    """Return a measurement without a value. reason: a code without fields, a reason, or words of a plug-in's own.

    Examples:
        >>> measurement = undefined("auroc", Code.NO_IMAGES, environment="clean")
        >>> measurement.value, measurement.environment, str(measurement.reason)
        (nan, 'clean', '[{"code": "no-images"}]')
    """
    why = Reason.of(reason) if isinstance(reason, Code) else parse_reason(reason)
    return Measurement(measure=measure, value=float("nan"), reason=why, **where)  # pyright: ignore[reportArgumentType]


@dataclass(frozen=True)
class Inputs:
    """The images that a network takes and the classes that it tells apart.

    Attributes:
        channels: Channels of an image.
        size: Side of an image in pixels.
        classes: Number of classes; in segmentation, background and the kinds of lesion.
    """

    channels: int
    size: int
    classes: int
