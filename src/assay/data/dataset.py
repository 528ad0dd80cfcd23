"""Datasets in memory: factor table, images, masks and the levels of factors."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped, UInt8

from assay.core.types import Factor, FactorTable

if TYPE_CHECKING:
    from torch import Tensor

    from assay.data.files.fitting import Framing
    from assay.data.near_copies import NearPair

# The dataset protocol: images that can be read by row, a factor table, masks where there are any, and a card.


@dataclass(frozen=True, slots=True)
class PixelScale:
    """Meaning of a pixel value in 0 to 1: `low` to `high` in `unit` (HU for CT), and mm per pixel where known.

    Examples:
        >>> scale = PixelScale(unit="HU", low=-1000.0, high=400.0)
        >>> scale.low + 0.5 * (scale.high - scale.low)  # the HU of a pixel of 0.5
        -300.0
    """

    unit: str = ""
    low: float = 0.0
    high: float = 1.0
    mm_per_pixel: float | None = None


@dataclass(frozen=True, slots=True)
class Card:
    """Facts that users need about a dataset before they trust a number from it.

    Examples:
        >>> card = Card("nodules", "CT of nodules", license="CC BY 3.0", known_faults=("four readers disagree",))
        >>> card.known_faults
        ('four readers disagree',)
    """

    name: str
    summary: str
    license: str = ""
    source: str = ""
    known_faults: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()  # rows that were skipped, with the reason; identifiers stay out
    doubts: tuple[str, ...] = ()  # reasons to doubt any result from it, other than its known faults
    read: Mapping[str, str] = field(default_factory=dict[str, str])  # rows of `provenance` on how it was read


@runtime_checkable
class Images(Protocol):
    """Pixels by position. `shape` is (channels, height, width).

    Examples:
        >>> import torch
        >>> class Black:
        ...     shape = (1, 8, 8)
        ...     def __len__(self):
        ...         return 10
        ...     def read(self, index):
        ...         return torch.zeros(len(index), *self.shape)
        >>> isinstance(Black(), Images), Black().read(np.arange(3)).shape
        (True, torch.Size([3, 1, 8, 8]))
    """

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        ...

    def __len__(self) -> int: ...

    def read(self, index: np.ndarray) -> Float[Tensor, "n c h w"]:
        """Float32 images in [0, 1] at these positions, in this order, on the CPU."""
        ...


@dataclass(frozen=True)
class ImagesWrapper:
    """Other images that are changed or chosen on reading, as many and of the same shape if not said otherwise."""

    images: Images

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return self.images.shape

    def __len__(self) -> int:
        return len(self.images)


ONE_KIND = ("lesion",)
"""The kinds of masks that tell lesion from background alone."""


@runtime_checkable
class Masks(Protocol):
    """Label maps by position, aligned with the images: 0 is background, i the i-th of `kinds`."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the kinds of lesion, from label 1 on."""
        ...

    def __len__(self) -> int: ...

    def read(self, index: np.ndarray) -> UInt8[Tensor, "n 1 h w"]:
        """Label maps at these positions, in this order, on the CPU."""
        ...


@runtime_checkable
class Lesions(Protocol):
    """Where lesions of several kinds lie, aligned with the images. Heat maps are compared with it; nothing is trained
    on it. Kinds may overlap, as those of `Masks` cannot.
    """

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the kinds of lesion."""
        ...

    def __len__(self) -> int: ...

    def read(self, index: np.ndarray) -> Bool[Tensor, "n k h w"]:
        """Return a plane per kind at these positions, in this order, on the CPU."""
        ...


@runtime_checkable
class DrawnLesions(Lesions, Protocol):
    """Lesions that were drawn, so that those of a kind can be left out."""

    def without(self, kind: str, index: np.ndarray) -> Images:
        """Return the images at these positions, drawn without the lesions of this kind and all else the same."""
        ...


class NativeMasks(Protocol):
    """Label maps at the size of the files, for metrics at native size: of the part of each image that is shown."""

    @property
    def framing(self) -> Framing:
        """How images become squares: where each part of a file is in the square."""
        ...

    @property
    def sizes(self) -> Int[np.ndarray, "n 2"]:
        """Width and height of the shown part of every image in px."""
        ...

    def read_one(self, position: int) -> UInt8[np.ndarray, "h w"]:
        """Return the label map of the shown part of one image, read again from its file."""
        ...


class Crops(NativeMasks, Protocol):
    """Parts of a dataset's files at native resolution: masks, and windows of the photographs."""

    @property
    def touched(self) -> Bool[np.ndarray, "n h w"]:
        """Pixels into whose part of the native image any lesion reaches, however little."""
        ...

    def cut(
        self, rows: Int[np.ndarray, "k"], windows: Int[np.ndarray, "k 4"], places: Int[np.ndarray, "k 4"]
    ) -> Images:
        """Windows of these rows, each scaled to its place in an else black image.

        Args:
            windows, places: Top, left, bottom, right in pixels.
        """
        ...


class Redraw(Protocol):
    """A change of pictures at original resolution."""

    def __call__(self, picture: Float[Tensor, "1 c h w"], position: int) -> Float[Tensor, "1 c h w"]:
        """Return the picture of a row changed, float32 in [0, 1]."""
        ...


class Originals(Protocol):
    """Pictures at the resolution of their files, of the part of each that is shown."""

    @property
    def boxes(self) -> Int[np.ndarray, "n 4"]:
        """Top (0), left (0), height and width of every picture in px."""
        ...

    def take(self, rows: Int[np.ndarray, "k"]) -> Originals:
        """Return the pictures at these positions."""
        ...

    def measured(self, name: str, measure: Callable[[np.ndarray], np.ndarray]) -> Float[np.ndarray, "k m"]:
        """Return numbers of every picture.

        Args:
            name: All that decides the measure.
            measure: Returns the numbers [b, m] of pictures of one size [b, c, h, w] in [0, 1].
        """
        ...

    def changed(self, change: Redraw, names: Sequence[str]) -> Images:
        """Return the pictures changed and then brought to the study's size; they are kept in the cache.

        Args:
            change: The change.
            names: For every picture, all that decides its change.

        Raises:
            DataError: If a file was changed or lost meanwhile.
        """
        ...


class NearCopies(Protocol):
    """Search for near copies among images of different patients. See `data.near_copies`."""

    def among(self, rows: Int[np.ndarray, " m"]) -> tuple[NearPair, ...]:
        """Return pairs of rows, the most alike first. Images are compared with those of these rows only."""
        ...


@dataclass(frozen=True)
class BoxedLesions:
    """`Lesions` given as boxes: a pixel is lesion where its middle is in a box, and of a box too small for that the
    nearest is.

    Attributes:
        boxes: Of every image, float64 [b, 5]: number of the kind, then left, top, right, bottom in px at study
            resolution.
        content: A hash of all boxes.
    """

    kinds: tuple[str, ...]
    size: int
    boxes: tuple[Float[np.ndarray, "b 5"], ...]
    content: str

    def __len__(self) -> int:
        return len(self.boxes)

    def read(self, index: np.ndarray) -> Bool[Tensor, "n k h w"]:
        """Return a plane per kind at these positions, in this order, on the CPU."""
        import torch

        planes = np.zeros((len(index), len(self.kinds), self.size, self.size), dtype=np.bool_)
        positions: list[int] = index.tolist()
        for plane, position in zip(planes, positions, strict=True):
            boxes: list[list[float]] = self.boxes[position].tolist()
            for kind, *edges in boxes:
                across, down = (self._span(edges[axis], edges[axis + 2]) for axis in (0, 1))
                plane[int(kind), down, across] = True
        return torch.as_tensor(planes)

    def _span(self, low: float, high: float) -> slice:
        first, last = math.ceil(low - 0.5), math.ceil(high - 0.5)
        if last <= first:
            first = math.floor((low + high) / 2)
            last = first + 1
        return slice(min(max(first, 0), self.size - 1), min(max(last, 1), self.size))


@dataclass(frozen=True)
class Dataset:
    """Images from files: position i of `images` and `masks` is row i of the table (`table.row == arange(n)`).

    Attributes:
        content: A hash of pixels, targets and patients, so that a changed file is a changed dataset.
        native: int64 [n, 2], width and height in px of every image before it was decoded; None where files do not say.
        crops: Native masks, and where windows can be cut from; None without masks, or where images are no files.
        millimeters: How many a pixel is wide and high at study resolution, by image, NaN where unknown; None where no
            column says so.
        lesions: Boxes of lesions by kind; None where none are named.
        boxes: Top, left, height and width of every picture in its square; None where each fills it.
        names: Name of each row's patient, for comparison with another set; none where none are named.
        formats: How the name of each image's file ends, `jpg`; none where images are no files.
        digests: Hash of each image's file as it is; none where images are no files.
        pixels: Hash of each image's pixels at study size; none where images are no files.
        search: Search for near copies; None where there is none.
        original: Pictures at original resolution; None where files have no other than the study's.
        mask_pixels: Hash of each mask's pixels at study size; none without masks.
        in_files: Pictures to be measured in their files; None where these are not what the study shows.
    """

    table: FactorTable
    images: Images
    masks: Masks | None
    card: Card
    scale: PixelScale
    content: str
    native: Int[np.ndarray, "n 2"] | None = None
    crops: Crops | None = None
    millimeters: Float[np.ndarray, " n"] | None = None
    lesions: BoxedLesions | None = None
    boxes: Int[np.ndarray, "n 4"] | None = None
    names: tuple[str, ...] = field(default=(), repr=False)
    formats: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    pixels: tuple[int, ...] = field(default=(), repr=False)
    search: NearCopies | None = None
    original: Originals | None = None
    mask_pixels: tuple[int, ...] = field(default=(), repr=False)
    in_files: Originals | None = None

    @cached_property
    def near_copies(self) -> tuple[NearPair, ...]:
        """Near copies of different patients, and with `split.together` of those put together; the most alike first."""
        return () if self.search is None else self.search.among(self.table.row)


@dataclass(frozen=True, slots=True)
class Rendered:
    """Output of a phantom: float32 images in [0, 1] and the lesion masks.

    Examples:
        >>> import torch
        >>> rendered = Rendered(torch.zeros(2, 1, 32, 32), torch.zeros(2, 1, 32, 32, dtype=torch.bool))
        >>> rendered.masks.any().item()  # no lesion
        False
    """

    images: Float[Tensor, "n c h w"]
    masks: Bool[Tensor, "n 1 h w"]


@runtime_checkable
class Phantom(Protocol):
    """A generator whose factors we set: (factor values, nuisance seed) -> image, mask.

    The same nuisance seed with one factor changed gives the same image outside the region of that factor, and a row's
    pixels depend neither on its batch nor on its neighbors.
    """

    @property
    def factors(self) -> tuple[Factor, ...]:
        """Factors, each with its range or levels."""
        ...

    @property
    def card(self) -> Card:
        """Caveats on numbers from it."""
        ...

    def scale(self, size: int) -> PixelScale:
        """Meaning of pixels at this image size."""
        ...

    def quantile(self, factor: str, u: Float[np.ndarray, "n"]) -> np.ndarray:
        """Return the factor's neutral marginal as a quantile function: u in [0, 1) -> values (codes or numbers).

        The upper half of the marginal is u >= 0.5; a categorical factor's high levels fill exactly that half.
        """
        ...

    def groups(self) -> Mapping[str, tuple[str, ...]]:
        """Factors that Sobol' analysis treats as one input, such as position -> (x, y); the others stand alone."""
        ...

    def render(
        self,
        values: Mapping[str, np.ndarray],
        nuisance: Int[np.ndarray, "n"],
        size: int,
        difficulty: Mapping[str, float],
        device: str = "cpu",
    ) -> Rendered:
        """Images of `size` x `size` pixels. `values` holds every factor; `difficulty` scales visibility (1 normal)."""
        ...


@runtime_checkable
class DrawsPairs(Protocol):
    """A phantom of which a patient may have two images, those of the nuisance seeds 2k and 2k + 1."""

    @property
    def images_per_patient(self) -> int:
        """1 or 2."""
        ...

    @property
    def alike(self) -> frozenset[str]:
        """Factors in which both images of a patient are the same."""
        ...

    @property
    def opposite(self) -> frozenset[str]:
        """Factors of which one image has a value of the lower half and the other one of the upper half."""
        ...


@runtime_checkable
class TellsKinds(Protocol):
    """A phantom whose lesions are of several kinds."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of lesions, in the order of `masks_by_kind`."""
        ...

    def masks_by_kind(
        self,
        values: Mapping[str, np.ndarray],
        nuisance: Int[np.ndarray, "n"],
        size: int,
        difficulty: Mapping[str, float],
        device: str = "cpu",
    ) -> Bool[Tensor, "n k h w"]:
        """Masks of each kind, which may overlap; their union is the mask that `render` gives."""
        ...

    def without(
        self,
        kind: str,
        values: Mapping[str, np.ndarray],
        nuisance: Int[np.ndarray, "n"],
        size: int,
        difficulty: Mapping[str, float],
        device: str = "cpu",
    ) -> Rendered:
        """Return the images of `render` without the lesions of one kind, all else the same, and the masks of the
        others.
        """
        ...


@dataclass(frozen=True, slots=True)
class Batch:
    """Input of a training step. Images are float32 in [0, 1]; `row` tells which images they are.

    Attributes:
        masks: Label maps, 0 background.
        group: Where a recipe uses groups, the group of each image: target * levels + level of the factor.
        boxes: Top, left, height and width of every picture in its square; None where each fills it.

    Examples:
        >>> import torch
        >>> images = torch.zeros(2, 1, 8, 8)
        >>> batch = Batch(images, target=torch.tensor([0, 1]), row=torch.tensor([12, 5]))
        >>> batch.masks is None
        True
    """

    images: Float[Tensor, "b c h w"]
    target: Int[Tensor, "b"]
    row: Int[Tensor, "b"]
    masks: UInt8[Tensor, "b 1 h w"] | None = None
    group: Int[Tensor, "b"] | None = None
    boxes: Int[np.ndarray, "b 4"] | None = None

    def take_over(self, other: Batch) -> None:
        """Copy the tensors of another batch of the same shapes into this one's."""
        for name in ("images", "target", "row", "masks", "group"):
            if (target := getattr(self, name)) is not None:
                target.copy_(getattr(other, name))


# The levels of a factor by which rows are grouped: its own, two numbers, or the halves about a median.

LOW_HALF, HIGH_HALF = "low half", "high half"


@dataclass(frozen=True)
class FactorLevels:
    """Grouping of a factor's values.

    Attributes:
        names: Of the levels.
        values: Values in the rows of each level, ascending; empty where the factor is halved at `cut`, values at which
            belong to the low half.
    """

    names: tuple[str, ...]
    values: tuple[float, ...] = ()
    cut: float = float("nan")

    def of(self, column: Shaped[np.ndarray, "n"]) -> Int[np.ndarray, "n"]:
        """Return the level of every row, int64; -1 where the value is missing or is of none of them."""
        if not self.values:
            return np.where(np.isnan(column), -1, column > self.cut).astype(np.int64)
        place = np.searchsorted(self.values, column).clip(max=len(self.values) - 1)
        return np.where(np.asarray(self.values)[place] == column, place, -1).astype(np.int64)

    def only(self, positions: Sequence[int]) -> FactorLevels:
        """Levels that have values, without all but these."""
        return FactorLevels(tuple(self.names[k] for k in positions), tuple(self.values[k] for k in positions))


def levels_of(factor: Factor, column: Shaped[np.ndarray, "n"]) -> FactorLevels:
    """Return the levels of a factor as these values of it have them; none where it has no levels and every value is
    missing.

    A factor with levels has them all, also those that do not occur. Numbers are levels by themselves where there are
    two of them (0 and 1). Any others are halved: the low half goes up to the median, or up to the greatest value below
    the median where no value is above it, so that both halves have rows unless all values are one.
    """
    if factor.levels:
        return FactorLevels(factor.levels, tuple(float(code) for code in range(len(factor.levels))))
    present = np.unique(column[~np.isnan(column)])
    if not len(present):
        return FactorLevels(())
    if len(present) == 2:
        return FactorLevels(tuple(map(_level_name, present.tolist())), tuple(present.tolist()))
    median = float(np.nanmedian(column))
    return FactorLevels((LOW_HALF, HIGH_HALF), cut=median if median < present[-1] else float(present[-2:][0]))


def _level_name(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else str(float(value))
