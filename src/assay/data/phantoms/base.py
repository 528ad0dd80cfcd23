"""Base class of phantoms: a declared design, checked requests, drawing in chunks; marginals and exact arithmetic."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from assay.core.errors import DataError, SpecError, unknown_name
from assay.core.types import Factor
from assay.data.dataset import Card, PixelScale, Rendered
from assay.data.phantoms.drawing import Draw, Grid, take

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

# Neutral marginals of a phantom's factors as quantile functions: u in [0, 1) -> values.
#
# They use exactly defined arithmetic only, so that a row's factor has the same bits in any batch.


class Marginal(Protocol):
    """A distribution given by its quantile function.

    Examples:
        A factor with the same value in every image:

        >>> class Fixed:
        ...     def quantile(self, u):
        ...         return np.full(len(u), 12.0)
        >>> Fixed().quantile(np.array([0.1, 0.9])).tolist()
        [12.0, 12.0]
    """

    def quantile(self, u: Float[np.ndarray, "n"]) -> np.ndarray:
        """Values at these probabilities; float64 numbers, or int64 codes for a factor with levels."""
        ...


@dataclass(frozen=True, slots=True)
class Uniform:
    """Every number between `low` and `high` alike.

    Examples:
        >>> Uniform(2.0, 4.0).quantile(np.array([0.0, 0.25, 0.5])).tolist()
        [2.0, 2.5, 3.0]
    """

    low: float
    high: float

    def quantile(self, u: Float[np.ndarray, "n"]) -> np.ndarray:
        """Float64 numbers."""
        return self.low + (self.high - self.low) * u


@dataclass(frozen=True, slots=True)
class Skewed:
    """Between `low` and `high` with more of the low: low + (high - low) (u + u^2) / 2, the median at 3/8 of the way.

    Examples:
        >>> Skewed(6.0, 18.0).quantile(np.array([0.0, 0.5])).tolist()  # 6 + 12 * (0.5 + 0.25) / 2
        [6.0, 10.5]
    """

    low: float
    high: float

    def quantile(self, u: Float[np.ndarray, "n"]) -> np.ndarray:
        """Float64 numbers."""
        return self.low + (self.high - self.low) * (0.5 * u * (1 + u))


@dataclass(frozen=True, slots=True)
class Levels:
    """Codes 0, 1, ... with these shares, in order; shares are sums of powers of two, so that their edges are exact.

    Examples:
        >>> Levels((0.5, 0.25, 0.25)).quantile(np.array([0.0, 0.5, 0.75])).tolist()
        [0, 1, 2]
    """

    shares: Sequence[float]

    def quantile(self, u: Float[np.ndarray, "n"]) -> np.ndarray:
        """Int64 codes."""
        edges = np.cumsum(np.asarray(self.shares))[:-1]
        return np.searchsorted(edges, u, side="right").astype(np.int64)


@dataclass(frozen=True, slots=True)
class TwoPartLevels:
    """Codes of which the `low` first fill u < 0.5 evenly, and the `high` others the rest.

    Examples:
        >>> TwoPartLevels(2, 1).quantile(np.array([0.0, 0.25, 0.5, 0.75])).tolist()
        [0, 1, 2, 2]
    """

    low: int
    high: int

    def quantile(self, u: Float[np.ndarray, "n"]) -> np.ndarray:
        """Return int64 codes."""
        upper = u >= 0.5
        within = np.where(upper, (2 * u - 1) * self.high, 2 * u * self.low).astype(np.int64)
        return within + self.low * upper


# The declaration of a phantom, and the checked rows of a request.


@dataclass(frozen=True, slots=True)
class DifficultyEffect:
    """The effect of difficulty on a factor: reference + difficulty * (value - reference), clipped to low..high.

    Args:
        reference: Value that every image shows at difficulty 0.
        low: Lowest value that can be drawn.
        high: Highest value that can be drawn.
        scaled: Conversion of the clipped values to the units of the drawing.

    Examples:
        At difficulty 1 a factor is shown as it is, at 0 at its reference:

        >>> shown = DifficultyEffect(reference=10.0, low=5.0, high=30.0)
        >>> [shown.of(np.array([20.0, 40.0]), difficulty).tolist() for difficulty in (1.0, 0.5, 0.0)]
        [[20.0, 30.0], [15.0, 25.0], [10.0, 10.0]]
    """

    reference: float
    low: float
    high: float
    scaled: Callable[[np.ndarray], np.ndarray] | None = None

    def of(self, values: np.ndarray, difficulty: float) -> Float[np.ndarray, "n"]:
        """Return the values that the images show."""
        visible = np.clip(self.reference + difficulty * (values - self.reference), self.low, self.high)
        return visible if self.scaled is None else self.scaled(visible)


@dataclass(frozen=True, slots=True)
class PhantomRows:
    """Checked factors and seeds of some images; `rows["size"]` is the factor as it is shown, float64 [n].

    Args:
        visible: Values by factor after difficulty, float64 [n].
        values: Values by factor as requested: float64 numbers or int64 codes [n].
        difficulty: Difficulty by factor, 1 where none was requested.
        nuisance: Seeds of all that no factor sets, int64 [n].

    Examples:
        >>> rows = PhantomRows(
        ...     visible={"size": np.array([9.0])}, values={"size": np.array([8.0])}, difficulty={"size": 0.5},
        ...     nuisance=np.array([7]),
        ... )
        >>> rows["size"].tolist()  # as the image shows it
        [9.0]
    """

    visible: Mapping[str, Float[np.ndarray, "n"]]
    values: Mapping[str, np.ndarray]
    difficulty: Mapping[str, float]
    nuisance: Int[np.ndarray, "n"]

    def __getitem__(self, factor: str) -> Float[np.ndarray, "n"]:
        """Return the factor as the images show it."""
        return self.visible[factor]

    def draw(self, prefix: str = "") -> Draw:
        """Return random numbers of these rows in streams whose names begin so."""
        return Draw(self.nuisance, prefix)


NO_SCALE = PixelScale()


@dataclass(frozen=True)
class PhantomDesign:
    """Properties of a phantom that do not depend on a request.

    Args:
        card: Name, summary and known faults.
        factors: The factors that can be set.
        sizes: Smallest and largest side of an image in pixels.
        channels: Channels of an image, 1 or 3.
        side: Length of an image's side in the units of the drawing.
        in_mm: State that these units are millimeters.
        scale: Meaning of pixel values.
        marginals: Marginal of each factor that has another one than `marginal_of` gives.
        shown: Effect of difficulty on each factor that has another one than `shown_of` gives.
        groups: Factors that count as one input of a sensitivity analysis.
        rows: Images whose plan is made at once.
        pixels: Pixels that are drawn at once on the CPU: as many as fit a core's cache.
        pixels_elsewhere: Pixels that are drawn at once on a GPU.
        order: Key by which images are sorted before they are drawn, for speed alone.

    Examples:
        >>> from assay.plugin import build
        >>> design = build("phantom", "nodule", {}).design
        >>> design.sizes, design.channels
        ((32, 256), 1)
    """

    card: Card
    factors: tuple[Factor, ...]
    sizes: tuple[int, int] = (32, 512)
    channels: int = 1
    side: float = 1.0
    in_mm: bool = False
    scale: PixelScale = NO_SCALE
    marginals: Mapping[str, Marginal] = field(default_factory=dict[str, Marginal])
    shown: Mapping[str, DifficultyEffect] = field(default_factory=dict[str, DifficultyEffect])
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    rows: int = 1024
    pixels: int = 64 * 64 * 64
    pixels_elsewhere: int = 2**24
    order: Callable[[PhantomRows], np.ndarray] | None = None

    def check_size(self, size: int) -> None:
        """Check that the phantom draws this image size.

        Raises:
            SpecError: The size is outside `sizes`.
        """
        smallest, largest = self.sizes
        if not smallest <= size <= largest:
            raise SpecError(f"image size {size} px: this phantom draws {smallest} to {largest} px a side")

    def request(
        self, values: Mapping[str, np.ndarray], nuisance: Int[np.ndarray, "n"], difficulty: Mapping[str, float]
    ) -> PhantomRows:
        """Check a request and apply its difficulty.

        Raises:
            SpecError: The difficulty of an unknown factor, or one outside 0 to 3.
            DataError: A missing or unknown factor, a wrong number of values, or a value out of range.
        """
        names = [factor.name for factor in self.factors]
        for name, value in difficulty.items():
            if name not in names:
                raise SpecError(unknown_name("factor in difficulty:", name, names))
            if not 0 <= value <= 3:
                raise SpecError(f"difficulty of '{name}' is {value:g}; give 0 (invisible) to 3, normal being 1")
        checked = _checked_values(self.factors, values, nuisance)
        amount = {name: float(difficulty.get(name, 1.0)) for name in names}
        rules = {factor.name: self.shown.get(factor.name) or shown_of(factor) for factor in self.factors}
        visible = {name: rule.of(checked[name], amount[name]) for name, rule in rules.items()}
        return PhantomRows(visible, checked, MappingProxyType(amount), nuisance)


def drawn_by_assay(name: str, summary: str, *known_faults: str) -> Card:
    """Return the card of a phantom that Assay ships."""
    return Card(name, summary, "Apache-2.0", "drawn by Assay", known_faults)


def marginal_of(factor: Factor) -> Marginal:
    """Return a factor's default marginal: uniform over its range, or its high levels in the upper half."""
    if factor.levels:
        high = len(factor.high) or (len(factor.levels) + 1) // 2
        return TwoPartLevels(len(factor.levels) - high, high)
    return Uniform(*_limits(factor))


def shown_of(factor: Factor) -> DifficultyEffect:
    """Return a factor's default effect of difficulty: about level 0, or about the middle of its range."""
    low, high = _limits(factor)
    return DifficultyEffect(low if factor.levels else (low + high) / 2, low, high)


def _limits(factor: Factor) -> tuple[float, float]:
    return (0.0, float(len(factor.levels) - 1)) if factor.levels else (factor.range or (-np.inf, np.inf))


def _checked_values(
    factors: Sequence[Factor], values: Mapping[str, np.ndarray], nuisance: Int[np.ndarray, "n"]
) -> dict[str, np.ndarray]:
    names = [factor.name for factor in factors]
    for name in values:
        if name not in names:
            raise DataError(unknown_name("factor", name, names))
    missing = [name for name in names if name not in values]
    if missing:
        raise DataError(f"no values for factor(s) {', '.join(missing)}; a phantom needs one value per image for each")
    for name in names:
        if values[name].shape != nuisance.shape:
            raise DataError(
                f"factor '{name}' has shape {values[name].shape}; "
                f"expected one value per nuisance seed: {nuisance.shape}"
            )
    return {factor.name: _check_values(factor, values[factor.name]) for factor in factors}


def _check_values(factor: Factor, values: np.ndarray) -> np.ndarray:
    numbers = values.astype(np.float64)
    low, high = _limits(factor)
    wrong = ~((numbers >= low) & (numbers <= high))
    if factor.levels:
        wrong |= numbers != np.rint(numbers)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        allowed = (
            f"codes 0 to {len(factor.levels) - 1} ({', '.join(factor.levels)})"
            if factor.levels
            else f"{low:g} to {high:g} {factor.unit}".rstrip()
        )
        raise DataError(
            f"factor '{factor.name}' is {numbers[row]:g} in row {row} "
            f"({int(wrong.sum())} such value(s)); allowed: {allowed}"
        )
    return numbers.astype(np.int64) if factor.levels else numbers


# The base class: everything about a phantom but its drawing.

Plan = TypeVar("Plan", bound="DataclassInstance")


class DrawnPhantom(ABC, Generic[Plan]):
    """A `Phantom` made of a design and two hooks, `plan` and `draw`.

    A row's pixels must depend on its own factors and seed alone. Both hooks may use `uniforms`, `spread` and
    `white_noise`, which keep this rule.
    """

    design: PhantomDesign
    """Factors, sizes, card and the rest; set on the class, or in the constructor where it depends on arguments."""

    @abstractmethod
    def plan(self, rows: PhantomRows, grid: Grid) -> Plan:
        """Compute the geometry of up to `design.rows` images.

        Returns:
            A dataclass of arrays whose first axis is the images; or `rows` itself, if there is nothing to prepare.
        """
        ...

    @abstractmethod
    def draw(self, plan: Plan, grid: Grid) -> Rendered:
        """Draw the images of a part of a plan.

        Returns:
            Images [n, channels, size, size] in 0..1 and masks [n, 1, size, size], on the grid's device.
        """
        ...

    @property
    def factors(self) -> tuple[Factor, ...]:
        """The factors that can be set."""
        return self.design.factors

    @property
    def card(self) -> Card:
        """Name, summary and known faults."""
        return self.design.card

    def scale(self, size: int) -> PixelScale:
        """Return the meaning of pixels at this image size. Raises SpecError for a size that is not drawn."""
        self.design.check_size(size)
        return replace(self.design.scale, mm_per_pixel=self.design.side / size if self.design.in_mm else None)

    def quantile(self, factor: str, u: Float[np.ndarray, "n"]) -> np.ndarray:
        """Compute a factor's values at probabilities u in [0, 1): numbers, or codes of levels [n].

        Raises:
            DataError: The factor is unknown, or a probability is outside.
        """
        factors = {each.name: each for each in self.factors}
        if factor not in factors:
            raise DataError(unknown_name("factor", factor, tuple(factors)))
        if not bool(np.all((u >= 0) & (u < 1))):
            raise DataError(f"a quantile of '{factor}' was asked outside 0 <= u < 1")
        marginal = self.design.marginals.get(factor) or marginal_of(factors[factor])
        return marginal.quantile(np.asarray(u, dtype=np.float64))

    def groups(self) -> Mapping[str, tuple[str, ...]]:
        """Return the factors that count as one input of a sensitivity analysis."""
        return self.design.groups

    def render(
        self,
        values: Mapping[str, np.ndarray],
        nuisance: Int[np.ndarray, "n"],
        size: int,
        difficulty: Mapping[str, float],
        device: str = "cpu",
    ) -> Rendered:
        """Draw images and the masks of lesions, empty where there are none.

        Args:
            values: Values of every factor, codes for levels, [n] each.
            nuisance: Seeds of all that no factor sets, int64 [n].
            size: Side of the images in pixels.
            difficulty: By factor, 0 (no trace of it in the pixels) to 3; 1 where not given.
            device: PyTorch device.

        Returns:
            Images [n, channels, size, size] and masks [n, 1, size, size].

        Raises:
            SpecError: A wrong size or difficulty.
            DataError: Wrong values.
        """
        self.design.check_size(size)
        rows = self.design.request(values, nuisance, difficulty)
        shape = (len(nuisance), self.design.channels, size, size)
        images = torch.empty(shape, device=device)
        masks = torch.empty(len(nuisance), 1, size, size, dtype=torch.bool, device=device)
        grid = Grid(size, self.design.side, device)
        for at, part in plan_parts(rows, self.design, grid, self.plan):
            rendered = self.draw(part, grid)
            images[at], masks[at] = rendered.images, rendered.masks
        return Rendered(images, masks)


def plan_parts(
    rows: PhantomRows, design: PhantomDesign, grid: Grid, plan: Callable[[PhantomRows, Grid], Plan]
) -> Iterator[tuple[Int[Tensor, "m"], Plan]]:
    """Plan rows in blocks and yield each plan in parts to be drawn at once, with the positions of its rows."""
    step = max(1, (design.pixels if grid.device == "cpu" else design.pixels_elsewhere) // grid.size**2)
    n = len(rows.nuisance)
    order = np.arange(n) if design.order is None else np.argsort(design.order(rows), kind="stable")
    for start in range(0, n, design.rows):
        index = order[start : start + design.rows]
        block = plan(take(rows, index), grid)
        for first in range(0, len(index), step):
            part = slice(first, first + step)
            yield torch.as_tensor(index[part], device=grid.device), take(block, part)
