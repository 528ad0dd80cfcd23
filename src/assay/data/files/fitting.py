"""Fit images of any size into the square of a study, and map results back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image

from assay.core.opencv import cv2
from assay.data.files.pictures import scaled
from assay.data.files.table import Unreadable
from assay.spec.schema import DataSpec, Fit, Resize

if TYPE_CHECKING:
    from torch import Tensor


# How images and masks of any size become squares of the study's size.
#
# The rule: an image is scaled so that its longer side is `size` px, antialiased (triangle filter), its aspect kept, and
# padded with black to a centered square, so that a round lesion stays round. A mask follows the same geometry: a pixel
# is lesion where at least half of the native pixels whose middles lie in it are, of the kind that has most of them;
# lesions too small for that keep the pixels that they cover most where the image has no other, so that no image loses
# its last.
#
# `data.fit` states another rule for images and masks alike: `squash` stretches the image over the whole square, `crop`
# keeps its central square. A lesion beyond that part is not in the fitted mask.

_LUMINANCE = np.array([0.299, 0.587, 0.114])
_TOUCHING = np.ones((3, 3), dtype=np.int64)
"""Lesion pixels that share a corner are one lesion."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a scaled image is in the square.

    Examples:
        >>> place = Placement(top=16, left=0, height=32, width=64)
        >>> place.rows, place.columns
        (slice(16, 48, None), slice(0, 64, None))
    """

    top: int
    left: int
    height: int
    width: int

    @property
    def rows(self) -> slice:
        """Rows of the square that the image takes."""
        return slice(self.top, self.top + self.height)

    @property
    def columns(self) -> slice:
        """Columns of the square that the image takes."""
        return slice(self.left, self.left + self.width)


def placed(height: int, width: int, size: int) -> Placement:
    """Return the place of an image in a square of `size` pixels.

    Args:
        height: Height of the image, in pixels.
        width: Its width.
        size: Side of the square.

    Examples:
        >>> placed(100, 200, 64)  # half as high as wide: 16 rows of padding above and below
        Placement(top=16, left=0, height=32, width=64)
    """
    longer = max(height, width)
    tall, wide = (max(1, round(side * size / longer)) for side in (height, width))
    return Placement((size - tall) // 2, (size - wide) // 2, tall, wide)


def by_box(
    boxes: Int[np.ndarray, "n 4"] | None, index: Int[np.ndarray, "b"], shape: tuple[int, int, int]
) -> Iterator[tuple[Placement, Int[np.ndarray, "k"]]]:
    """Return each box in which pictures of these rows lie, and which of the rows, in ascending order.

    Args:
        shape: Of a square.
    """
    if boxes is None:
        yield Placement(0, 0, *shape[1:]), np.arange(len(index))
        return
    distinct, which = np.unique(boxes[index], axis=0, return_inverse=True)
    for number, edges in enumerate(distinct.tolist()):
        yield Placement(*edges), np.flatnonzero(which.reshape(-1) == number)


@dataclass(frozen=True, slots=True)
class Framing:
    """`DataSpec.fit`, `DataSpec.crop_share` and `DataSpec.resize`: how images become squares.

    Examples:
        Of an image of 400 x 300 px, padding shows all and a crop the central square:

        >>> Framing("pad").window(300, 400), Framing("crop").window(300, 400)
        (Placement(top=0, left=0, height=300, width=400), Placement(top=0, left=50, height=300, width=300))
    """

    fit: Fit = "pad"
    share: float = 1.0
    resize: Resize = ""

    @property
    def label(self) -> str:
        """Its name in a cache; empty for the default."""
        return "" if self == PAD else f"fit {self.fit} {self.share:g}{self.resize and ' '}{self.resize}"

    def window(self, height: int, width: int) -> Placement:
        """Return the part of an image of this native height and width that is shown: for `crop` the central square."""
        sides = (min(height, width),) * 2 if self.fit == "crop" else (height, width)
        tall, wide = (max(1, round(side * self.share)) for side in sides)
        return Placement((height - tall) // 2, (width - wide) // 2, tall, wide)

    def shown(self, native: Int[np.ndarray, "n 2"]) -> Int[np.ndarray, "n 2"]:
        """Return height and width of the part that is shown, of images of this native width and height."""
        windows = [self.window(height, width) for width, height in native.tolist()]
        return np.array([(window.height, window.width) for window in windows], dtype=np.int64).reshape(-1, 2)

    def kept(self, pixels: np.ndarray) -> np.ndarray:
        """Return the part of pixels [h, w] or [h, w, 3] that is shown."""
        if self.fit == "pad":
            return pixels
        window = self.window(pixels.shape[0], pixels.shape[1])
        return np.ascontiguousarray(pixels[window.rows, window.columns])

    def placed(self, height: int, width: int, size: int) -> Placement:
        """Return where an image of this native height and width is in a square of `size` px."""
        return placed(height, width, size) if self.fit == "pad" else Placement(0, 0, size, size)


PAD = Framing()
"""The default: the whole image, its aspect kept, padded with black."""


def framing_of(spec: DataSpec) -> Framing:
    """Return the framing that a spec asks for."""
    return Framing(spec.fit, spec.crop_share, spec.resize)


def is_colored(pixels: np.ndarray) -> bool:
    """Return whether the channels differ anywhere.

    Args:
        pixels: [h, w] or [h, w, 3].
    """
    return pixels.ndim == 3 and bool((pixels != pixels[..., :1]).any())


def fit_image(
    pixels: np.ndarray, size: int, channels: int, dtype: np.dtype[Any], box: Placement | None = None, how: Resize = ""
) -> np.ndarray:
    """Pixels [h, w] or [h, w, 3], uint8 or uint16, as [channels, size, size] of `dtype` by the rule above.

    Args:
        box: Where they are to lie, of pixels that were decoded at a part of their file's size; else the result of
            `placed`.
        how: Filter of the resize.

    Raises:
        Unreadable: If `dtype` has fewer bits than the pixels.
    """
    box = box or placed(pixels.shape[0], pixels.shape[1], size)
    small = resized(pixels, box.width, box.height, how)
    if channels == 1:
        small = grayed(small)
    if dtype == np.uint16 and small.dtype == np.uint8:
        # 255 * 257 = 65535: an 8-bit image in a 16-bit set keeps its levels exactly.
        small = small.astype(np.uint16) * np.uint16(257)
    if small.dtype.itemsize > dtype.itemsize:
        raise Unreadable("its pixels have 16 bit, and its header says 8", "copy or export it again")
    out = np.zeros((channels, size, size), dtype=dtype)
    out[:, box.rows, box.columns] = small if small.ndim == 2 else np.moveaxis(small, -1, 0)
    return out


def grayed(pixels: np.ndarray) -> np.ndarray:
    """Return the luminance (Rec. 601) of pixels [h, w, 3]; [h, w] stay as they are."""
    return pixels if pixels.ndim == 2 else np.round(pixels @ _LUMINANCE).astype(pixels.dtype)


def fit_labels(labels: UInt8[np.ndarray, "h w"], size: int, framing: Framing = PAD) -> UInt8[np.ndarray, "size size"]:
    """Return a label map (0 background, i the i-th kind) in the square, by the rule above. Of equal shares the first
    kind.
    """
    box = framing.placed(labels.shape[0], labels.shape[1], size)
    labels = framing.kept(labels)
    out = np.zeros((size, size), dtype=np.uint8)
    lesion = labels > 0
    if not lesion.any():
        return out
    share = _lesion_share(lesion, box)
    # The filter's weights add up to 1 only to some rounding: exactly half must stay lesion.
    inside = share >= min(0.5, float(share.max())) - 1e-6
    kinds = np.unique(labels[lesion])
    most = kinds[0]
    if len(kinds) > 1:
        most = kinds[np.argmax(np.stack([_lesion_share(labels == kind, box) for kind in kinds]), axis=0)]
    out[box.rows, box.columns] = np.where(inside, most, 0)
    return out


def cut_off(labels: UInt8[np.ndarray, "h w"], framing: Framing) -> bool:
    """Return whether a lesion lies wholly outside the part that is shown."""
    window = framing.window(labels.shape[0], labels.shape[1])
    if framing.fit == "pad" or (window.height, window.width) == labels.shape or not labels.any():
        return False
    return any(
        count > len(np.unique(numbers[window.rows, window.columns][labels[window.rows, window.columns] == kind]))
        for kind in np.unique(labels[labels > 0])
        for numbers, count in (_lesions(labels == kind),)
    )


_SPECK, _TIMES = 2, 100
"""Pixels of a speck at most, and times that a lesion in the same mask is larger."""


def has_specks(lesion: Bool[np.ndarray, "h w"]) -> bool:
    """Return whether a mask has specks of a pixel or two beside a lesion, as compression or a brush leave them."""
    areas = cv2.connectedComponentsWithStats(lesion.astype(np.uint8), connectivity=8)[2][1:, cv2.CC_STAT_AREA]
    return bool(areas.size > 1 and areas.min() <= _SPECK and areas.max() >= _TIMES * _SPECK)


def vanished(labels: UInt8[np.ndarray, "h w"], fitted: UInt8[np.ndarray, "size size"], framing: Framing = PAD) -> int:
    """How many lesions of a label map have no pixel of their kind left where they were, once fitted into the square.

    A lesion is a set of pixels of one kind that touch, also at corners. Only the part that is shown counts.
    """
    box = framing.placed(labels.shape[0], labels.shape[1], len(fitted))
    labels = framing.kept(labels)
    height, width = labels.shape
    if max(height, width) <= len(fitted) or not labels.any():
        return 0
    pixels = fitted[box.rows, box.columns]
    matching = np.zeros(labels.shape, dtype=np.bool_)
    for rows in _seen_in(height, box.height):
        for columns in _seen_in(width, box.width):
            matching |= pixels[rows][:, columns] == labels
    if matching[labels > 0].all():
        return 0
    count_lost = 0
    for kind in np.unique(labels[labels > 0]):
        numbers, count = _lesions(labels == kind)
        count_lost += count - len(np.unique(numbers[matching & (numbers > 0)]))
    return count_lost


def touched(labels: UInt8[np.ndarray, "h w"], size: int, framing: Framing = PAD) -> Bool[np.ndarray, "size size"]:
    """Pixels of the square into whose part of the image any lesion reaches, however little.

    The part of row i of the box is native rows i * h // H up to (i + 1) * h // H, h native and H fitted; columns alike.
    """
    box = framing.placed(labels.shape[0], labels.shape[1], size)
    labels = framing.kept(labels)
    down = np.arange(box.height) * labels.shape[0] // box.height
    across = np.arange(box.width) * labels.shape[1] // box.width
    lesion = (labels > 0).astype(np.uint8)
    out = np.zeros((size, size), dtype=np.bool_)
    out[box.rows, box.columns] = np.maximum.reduceat(np.maximum.reduceat(lesion, down, axis=0), across, axis=1) > 0
    return out


def _seen_in(native: int, fitted: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the fitted pixel in which the middle of each native one; twice, since it may be between two."""
    middle = (2 * np.arange(native) + 1) * fitted
    return (middle - 1) // (2 * native), middle // (2 * native)


def _lesions(mask: Bool[np.ndarray, "h w"]) -> tuple[np.ndarray, int]:
    from scipy import ndimage  # here, since few images have masks

    numbers = np.zeros(mask.shape, dtype=np.int32)
    return numbers, int(ndimage.label(mask, structure=_TOUCHING, output=numbers))


def _lesion_share(lesion: Bool[np.ndarray, "h w"], box: Placement) -> Float[np.ndarray, "H W"]:
    covered = Image.fromarray(lesion.astype(np.float32)).resize((box.width, box.height), Image.Resampling.BOX)
    return np.asarray(covered)


_FILTERS = {"nearest": Image.Resampling.NEAREST, "area": Image.Resampling.BOX, "bilinear": Image.Resampling.BILINEAR}


def resized(pixels: np.ndarray, width: int, height: int, how: Resize = "") -> np.ndarray:
    """Pixels [h, w] or [h, w, 3], uint8 or uint16, at this width and height.

    Args:
        how: The pixel in the middle, the mean of the area, or by default a triangle filter (antialiased).
    """
    if pixels.shape[:2] == (height, width):
        return pixels
    by = _FILTERS[how or "bilinear"]
    if pixels.dtype == np.uint8:
        return np.asarray(Image.fromarray(pixels).resize((width, height), by))
    planes = [pixels] if pixels.ndim == 2 else [pixels[..., at] for at in range(3)]
    small = [np.asarray(Image.fromarray(plane.astype(np.float32)).resize((width, height), by)) for plane in planes]
    rounded = np.round(np.clip(np.stack(small, axis=-1), 0, 65535)).astype(np.uint16)
    return rounded[..., 0] if pixels.ndim == 2 else rounded


# Maps of the study's square back at an image's own size: the rule of `fitting` undone.


def unfitted(
    maps: Float[Tensor, "k size size"], height: int, width: int, framing: Framing = PAD
) -> Float[Tensor, "k height width"]:
    """Maps over the square as maps over the shown part of an image, of this native height and width.

    The padding is cut off, at the box that `Framing.placed` says, and the box scaled to the image, pixel areas on
    pixel areas, rows and columns each by their own factor. Between the middles of pixels values are linear, beyond the
    outermost ones those of the edge; where the image is smaller than its box, which an enlarged one is, they are
    averaged by the triangle filter of `fit_image`. Values stay within those of the maps, and a box of the image's size
    is taken as it is.
    """
    from torch.nn import functional

    box = framing.placed(height, width, maps.shape[-1])
    inside = maps[:, box.rows, box.columns]
    if inside.shape[1:] == (height, width):
        return inside
    return functional.interpolate(inside[None], (height, width), mode="bilinear", align_corners=False, antialias=True)[
        0
    ]


# Square patches of a stated size in mm from a slice, with their masks, at study resolution.


@dataclass(frozen=True, slots=True)
class Patch:
    """Position of a patch: its center in pixels (the middle of the pixel in column 0 is at 0.5), its side in mm.

    Attributes:
        row_mm, column_mm: The distance between rows and between columns.
        size: Its side in pixels of the study.
    """

    x: float
    y: float
    row_mm: float
    column_mm: float
    side_mm: float
    size: int

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom in pixels of the slice."""
        wide, tall = self.side_mm / self.column_mm / 2, self.side_mm / self.row_mm / 2
        return self.x - wide, self.y - tall, self.x + wide, self.y + tall


def cut(values: np.ndarray, patch: Patch, low: float, high: float) -> np.ndarray:
    """Return the patch as uint16 [size, size]: `low` HU and below is 0, `high` 65535, and outside of the slice is
    black.

    Resampled by an antialiasing triangle filter.

    Args:
        values: float32 [h, w].
    """
    clipped = np.clip(values, low, high)
    return scaled(_resample(clipped, patch, low), low, high)


def cut_mask(mask: np.ndarray, patch: Patch) -> np.ndarray:
    """Return the mask's patch, uint8 [size, size] of 0 and 1: 1 where at least half of the filter's support is lesion.

    A lesion too small for that keeps the pixels that it covers most, so that it never vanishes.

    Args:
        mask: Bool [h, w].
    """
    share = _resample(mask.astype(np.float32), patch, 0.0)
    return (share >= min(0.5, float(share.max())) - 1e-6).astype(np.uint8)


def _resample(values: np.ndarray, patch: Patch, background: float) -> np.ndarray:
    left, top, right, bottom = patch.box
    # The filter reaches over the edge of the patch by its support; without a margin it would be cut off there.
    margin = int(np.ceil(max(right - left, bottom - top) / patch.size)) + 1
    x0, y0 = int(np.floor(left)) - margin, int(np.floor(top)) - margin
    x1, y1 = int(np.ceil(right)) + margin, int(np.ceil(bottom)) + margin
    height, width = values.shape
    around = np.full((y1 - y0, x1 - x0), background, dtype=np.float32)
    rows, columns = slice(max(y0, 0), min(y1, height)), slice(max(x0, 0), min(x1, width))
    if rows.start < rows.stop and columns.start < columns.stop:
        around[rows.start - y0 : rows.stop - y0, columns.start - x0 : columns.stop - x0] = values[rows, columns]
    box = (left - x0, top - y0, right - x0, bottom - y0)
    small = Image.fromarray(around).resize((patch.size, patch.size), Image.Resampling.BILINEAR, box=box)
    return np.asarray(small)
