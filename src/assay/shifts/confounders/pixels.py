"""Changes of whole images: tone, compression, noise and loss of fine detail."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Literal, cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, UInt8
from pydantic import AfterValidator, Field
from torch import Tensor

from assay.core.errors import SpecError
from assay.core.opencv import cv2
from assay.shifts.confounders.drawing import Shape, image_change, luminance
from assay.shifts.intervention import Draws, Parameters

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Picture = Float32[np.ndarray, "c h w"]
"""One image in 0..1, C-contiguous."""

Levels = UInt8[np.ndarray, "c h w"]
"""One image in whole levels of 8 bits, C-contiguous."""

Row = Mapping[str, float]
"""Parameter name -> the row's value."""


class Change(ABC):
    """A change of the whole image, made image by image."""

    def check(self, shape: Shape) -> None:
        """Raises SpecError when images of this shape cannot carry it; every image can, unless a change says so."""
        return

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """Parameters for every row, at least one, float64 or int64 [n].

        Where nothing is random it is the first argument, the same for all rows.
        """
        name = fields(cast("DataclassInstance", self))[0].name
        return {name: torch.full((len(draws.rows),), float(getattr(self, name)), dtype=torch.float64)}

    @abstractmethod
    def change(self, image: Picture, row: Row) -> Float[np.ndarray, "c h w"]:
        """Return one image changed; what lies beyond 0..1 is clipped afterwards. The given one stays as it is."""

    def apply(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """Return the changed images."""
        out = torch.empty_like(images, memory_format=torch.contiguous_format)
        rows = {name: values.numpy() for name, values in parameters.items()}
        for at, (image, result) in enumerate(zip(images.contiguous().numpy(), out.numpy(), strict=True)):
            np.clip(self.change(image, {name: float(values[at]) for name, values in rows.items()}), 0, 1, out=result)
        return out

    def mask(self, parameters: Parameters, shape: Shape) -> Bool[Tensor, "b 1 h w"]:
        """Return all pixels."""
        return torch.ones(len(next(iter(parameters.values()))), 1, *shape[1:], dtype=torch.bool)


def per_plane(image: np.ndarray, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Return an image [c, h, w] each of whose channels was changed by a function."""
    return change(image[0])[None] if len(image) == 1 else np.stack([change(plane) for plane in image])


def flat(image: np.ndarray) -> np.ndarray:
    """Return an image as OpenCV takes one whose channels do not matter, [rows, w]."""
    return image.reshape(-1, image.shape[-1])


# Tone: an uneven field, gamma, contrast, the histogram of another scanner.

_LEVELS = 2**16
_ORDER = 3
_TERMS = tuple((i, j) for i in range(_ORDER + 1) for j in range(_ORDER + 1) if 1 <= i + j <= _ORDER)


@image_change("bias-field", "smoothly uneven brightness, as of an MR coil")
class BiasField(Change):
    """Smoothly uneven brightness: pixels times exp(amplitude f), with f a polynomial of degree 3 that stays in -1..1.

    f is a sum of products of Legendre polynomials along x and y with coefficients of the row's own, divided by the sum
    of their sizes. Van Leemput et al. 1999 model the field of a coil in this way.

    Examples:
        No pixel becomes more than twice as bright or half as bright at an amplitude of ln 2:

        >>> field = BiasField(amplitude=math.log(2))
        >>> drawn = field.draw(Draws(seed=0, name="bias", rows=np.arange(1)), (1, 32, 32))
        >>> changed = field.apply(torch.full((1, 1, 32, 32), 0.4), drawn)
        >>> 0.2 <= changed.min() < 0.4 < changed.max() <= 0.8
        tensor(True)
    """

    amplitude: Annotated[
        float, Field(ge=0, le=5, description="largest natural logarithm of the factor; 0 changes nothing")
    ] = 0.7

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """`x<i> y<j>`: the nine coefficients, with sizes that sum to 1."""
        parameters = {f"x{i} y{j}": 2 * draws.uniform(f"x{i} y{j}") - 1 for i, j in _TERMS}
        total = torch.stack([value.abs() for value in parameters.values()]).sum(dim=0)
        return {name: value / total for name, value in parameters.items()}

    def change(self, image: Picture, row: Row) -> Picture:
        """Return the unevenly lit image."""
        weights = np.zeros((_ORDER + 1, _ORDER + 1), dtype=np.float32)
        for i, j in _TERMS:
            weights[j, i] = self.amplitude * row[f"x{i} y{j}"]
        down, along = (_legendre(length) for length in image.shape[1:])
        return image * cv2.exp(down @ weights @ along.T)


@lru_cache(maxsize=16)
def _legendre(length: int) -> Float32[np.ndarray, "length order"]:
    """Legendre polynomials of degree 0 to 3 at the pixels' centers, the image spanning -1 to 1."""
    return np.polynomial.legendre.legvander((np.arange(length) + 0.5) * (2 / length) - 1, _ORDER).astype(np.float32)


@image_change("gamma", "a power of the gray value")
class Gamma(Change):
    """Pixels x become x^gamma: above 1 darker, below 1 brighter, at 1 unchanged; black and white stay.

    Examples:
        >>> Gamma(gamma=2.0).change(np.array([[[0.0, 0.5, 1.0]]], dtype=np.float32), {}).tolist()
        [[[0.0, 0.25, 1.0]]]
    """

    gamma: Annotated[float, Field(ge=0.1, le=10, description="exponent; above 1 darker, 1 changes nothing")] = 0.7

    def change(self, image: Picture, row: Row) -> Picture:
        """Return the brighter or darker image."""
        return image if self.gamma == 1 else cv2.pow(flat(image), self.gamma).reshape(image.shape)


@image_change("contrast", "lower or higher contrast")
class ContrastChange(Change):
    """Pixels x become pivot + factor (x - pivot), cut at black and white; a factor of 1 changes nothing.

    Examples:
        >>> ContrastChange(factor=0.5).change(np.array([[[0.0, 0.5, 1.0]]], dtype=np.float32), {}).tolist()
        [[[0.25, 0.5, 0.75]]]
    """

    factor: Annotated[float, Field(ge=0, le=10, description="slope; below 1 lower contrast, 1 changes nothing")] = 0.7
    pivot: Annotated[float, Field(ge=0, le=1, description="the gray value that stays, black to white being 0 to 1")] = (
        0.5
    )

    def change(self, image: Picture, row: Row) -> Picture:
        """Return the flatter or steeper image."""
        if self.factor == 1:
            return image
        result = image * np.float32(self.factor)
        result += np.float32(self.pivot * (1 - self.factor))
        return result


def _rising(values: tuple[float, ...]) -> tuple[float, ...]:
    if not 0 <= values[0] <= values[-1] <= 1 or any(b < a for a, b in pairwise(values)):
        raise ValueError("quantiles must not fall and must lie within 0 to 1, such as [0, 0.2, 0.5, 1]")
    return values


@image_change("scanner-histogram", "gray values of another scanner")
class ScannerHistogram(Change):
    """The gray values of another scanner: each image's histogram moved toward a stated one.

    A pixel whose luminance has rank u (0 the darkest of the image, 1 the brightest) moves by `strength` of the way from
    there to the target's quantile at u, a polyline through `quantiles` at even steps of u; all channels move alike, so
    that colors keep their hue. The order of gray values is kept, so at strength 1 two gray images with the same order
    come out equal. Values within one 65,535th share a rank. An image of a single value has no ranks and stays as it is.

    Examples:
        The darkest pixel goes to the first quantile, the brightest to the last, the one between them half way:

        >>> scanner = ScannerHistogram(strength=1.0, quantiles=(0.0, 0.5))
        >>> scanner.change(np.array([[[0.2, 0.3, 0.8]]], dtype=np.float32), {}).round(2).tolist()
        [[[0.0, 0.25, 0.5]]]
    """

    strength: Annotated[
        float, Field(ge=0, le=1, description="share of the way to the target's histogram; 0 changes nothing")
    ] = 0.3
    quantiles: Annotated[
        tuple[float, ...],
        Field(
            min_length=2,
            max_length=101,
            description="the target's gray values at even steps of rank, darkest to brightest",
        ),
        AfterValidator(_rising),
    ] = (0.0, 0.15, 0.3, 0.5, 0.75, 1.0)

    def change(self, image: Picture, row: Row) -> Picture:
        """Return the image in the other scanner's gray values."""
        gray = luminance(image)
        clipped = np.fmin(np.fmax(gray, 0), 1)  # no number becomes 0
        level = (clipped * np.float32(_LEVELS - 1) + np.float32(0.5)).astype(np.intp)
        counts = np.bincount(level.ravel(), minlength=_LEVELS)
        darker = counts.cumsum() - counts
        most = darker[int(level.max())]
        if most == 0:
            return image
        occupied = np.flatnonzero(counts)
        target = np.zeros(_LEVELS, dtype=np.float32)
        target[occupied] = np.interp(darker[occupied] / most, np.linspace(0, 1, len(self.quantiles)), self.quantiles)
        return image + np.float32(self.strength) * (target[level] - gray)


# Lossy compression.


@image_change("jpeg", "the traces of JPEG compression")
class Jpeg(Change):
    """The image saved as JPEG and read again, with 8 bits; colors at half resolution (4:2:0). quality: 1 to 100.

    Examples:
        Fine detail of little contrast is lost:

        >>> checks = (0.5 + 0.02 * (-1) ** np.indices((8, 8)).sum(0, keepdims=True)).astype(np.float32)
        >>> round(float(checks.std()), 2), float(Jpeg(quality=10).change(checks, {}).std())
        (0.02, 0.0)
    """

    quality: Annotated[int, Field(ge=1, le=100, description="libjpeg's quality; lower is stronger")] = 30

    def check(self, shape: Shape) -> None:
        """Raises SpecError for images that are neither gray nor RGB."""
        if shape[0] not in (1, 3):
            raise SpecError(f"JPEG takes gray and RGB images, not {shape[0]} channels: set `channels` to gray or color")

    def change(self, image: Picture, row: Row) -> Picture:
        """Return the image with the traces of compression."""
        return through_jpeg(to_levels(image), self.quality) * np.float32(1 / 255)


def through_jpeg(levels: Levels, quality: int) -> Levels:
    """Return a gray image or one of red, green, blue as JPEG gives it back. OpenCV's own order is blue, green, red."""
    gray = len(levels) == 1
    _, file = cv2.imencode(".jpg", levels[0] if gray else cv2.merge(levels[::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality])
    read: UInt8[np.ndarray, "h w *c"] = cv2.imdecode(file, cv2.IMREAD_GRAYSCALE if gray else cv2.IMREAD_COLOR_RGB)
    return read[None] if gray else np.stack(cv2.split(read))


def to_levels(image: Picture) -> Levels:
    """Return an image in whole levels of 8 bits."""
    return cv2.convertScaleAbs(flat(image), alpha=255).reshape(image.shape).astype(np.uint8, copy=False)


# Noise: of counted photons, by the published formula, and Gaussian.

_HU_LOW, _HU_SPAN = -1200.0, 2000.0  # black is -1200 HU, white 800
_WATER, _LESS = 0.1837, 0.1662  # attenuation at 0 HU, and at -1000 HU
_BLACK = _HU_LOW * (_WATER - _LESS) / 1000 + _WATER
_SPAN = _HU_SPAN * (_WATER - _LESS) / 1000  # from the attenuation of black to that of white


def seed_generator(seed: float) -> None:
    """Start OpenCV's generator of this thread anew, so that the numbers drawn next depend on the seed alone."""
    cv2.setRNGSeed(int(seed) - 2**31)


def normals(shape: tuple[int, ...]) -> Float32[np.ndarray, "*shape"]:
    """Draw standard normal numbers from OpenCV's generator: see `seed_generator`."""
    numbers = np.empty(shape, dtype=np.float32)
    cv2.randn(flat(numbers), 0, 1)
    return numbers


def evenly(shape: tuple[int, ...], low: float = 0.0, high: float = 1.0) -> Float32[np.ndarray, "*shape"]:
    """Draw numbers uniform between `low` and `high` from OpenCV's generator: see `seed_generator`."""
    numbers = np.empty(shape, dtype=np.float32)
    cv2.randu(flat(numbers), low, high)
    return numbers


@image_change("poisson-noise", "the noise of a scan with fewer photons", version=2)
class PoissonNoise(Change):
    """The noise of a scan with fewer photons, as the published study of confounders made it.

    A pixel x of 0..1 is read as HU = 2000 x - 1200, attenuation a = HU (0.1837 - 0.1662) / 1000 + 0.1837 and expected
    count photons exp(-a); a Poisson count c is drawn and read back as a = -ln max(1e-8, c / photons). The published
    code works on 8 bits: it adds a uniform number below one gray level first and cuts to whole levels at the end, which
    keeps the mean; `levels` = 256 does so, 0 leaves both out.

    photons: N0. The noise has a standard deviation of about 31 / sqrt(photons) in units of black to white.

    Examples:
        >>> gray = np.full((1, 100, 100), 0.5, dtype=np.float32)
        >>> noisy = PoissonNoise(photons=1e6, levels=0).change(gray, {"seed": 0})
        >>> round(float(noisy.std()), 3)  # 31 / sqrt(1e6)
        0.031
    """

    photons: Annotated[
        float,
        Field(ge=100, le=1e12, description="expected photons per pixel before the patient (N0); fewer is stronger"),
    ] = 1.5e7
    levels: Annotated[
        Literal[0, 256],
        Field(description="gray levels to which the result is cut, as in the published code; 0: not at all"),
    ] = 256

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """`seed`: for counts and for the noise below one level."""
        return {"seed": draws.seeds("counts")}

    def change(self, image: Picture, row: Row) -> Float64[np.ndarray, "c h w"]:
        """Return the noisy image; each channel is counted by itself."""
        seed_generator(row["seed"])
        chance, top = flat(normals(image.shape)), self.levels - 1
        pixels = flat(image + evenly(image.shape, 0, 1 / top) if self.levels else image)
        # the root of the expected count: with it at hand, no square root is taken of every pixel
        root = cv2.exp(pixels * (-_SPAN / 2) - _BLACK / 2).astype(np.float64) * math.sqrt(self.photons)
        absorption = -cv2.log(np.maximum(poisson_quantile(chance, root) / self.photons, 1e-8))
        noisy = ((absorption - _BLACK) / _SPAN).reshape(image.shape)
        return np.floor(noisy.clip(0, 1) * top) / top if self.levels else noisy


@image_change("gaussian-noise", "independent Gaussian noise in every pixel", version=2)
class GaussianNoise(Change):
    """Independent Gaussian noise in every pixel and channel, cut at black and white.

    sigma: standard deviation in units of the range black to white.

    Examples:
        >>> gray = np.full((1, 100, 100), 0.5, dtype=np.float32)
        >>> round(float(GaussianNoise(sigma=0.1).change(gray, {"seed": 0}).std()), 2)
        0.1
    """

    sigma: Annotated[
        float, Field(ge=0, le=1, description="standard deviation, black to white being 1; 0 changes nothing")
    ] = 0.03

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """`seed`: for the row's noise."""
        return {"seed": draws.seeds("noise")}

    def change(self, image: Picture, row: Row) -> Picture:
        """Return the noisy image."""
        seed_generator(row["seed"])
        result = normals(image.shape)
        result *= np.float32(self.sigma)
        result += image
        return result


def poisson_quantile(w: Float[np.ndarray, "*shape"], root: Float64[np.ndarray, "*shape"]) -> np.ndarray:
    """Return Poisson counts of means root^2, from 50 up: the quantile at the probability below `w` of a normal.

    The Cornish-Fisher expansion to order 1 / mean, cut to a whole number (Giles 2016, ACM TOMS 42, 7): at means of 50
    and above it is the exact quantile but for less than one draw in 10^4, which is then off by one. NumPy's own counts
    take twice as long as the whole change.
    """
    square = w * w
    third, fourth = w * (square * (-1 / 72) - 1 / 36), square * (square * (1 / 270) + 7 / 810) - 8 / 405
    correction = (fourth / root + third) / root + 1 / 3 + square / 6
    return np.maximum(np.floor((root + w) * root + correction), 0)


# Loss of fine detail: low-pass filters, blur, a coarser grid.


@image_change("low-pass", "frequencies beyond a cutoff taken away, sharply or as a Gaussian")
class LowPass(Change):
    """Frequencies beyond `cutoff` taken away in the Fourier plane: a centered disc, or a Gaussian.

    cutoff: share of the Nyquist frequency. `ideal`: all within is kept, all beyond is gone; from sqrt(2) on nothing
    changes. `gaussian`: the amplitude at the cutoff is multiplied by exp(-1/2). Like any product in the Fourier plane
    it takes the image as periodic, so opposite edges run into each other.

    Examples:
        A wave of two pixels is beyond half of the Nyquist frequency, so that its mean is left; one of eight stays:

        >>> waves = [np.tile(np.repeat([1.0, 0.0], half), (1, 16, 8 // half)).astype(np.float32) for half in (1, 4)]
        >>> [round(float(LowPass(cutoff=0.5).change(wave, {}).std()), 2) for wave in waves]
        [0.0, 0.46]
    """

    cutoff: Annotated[
        float,
        Field(
            gt=0,
            le=2,
            description="share of the Nyquist frequency; lower is stronger, from 1.42 on `ideal` changes nothing",
        ),
    ] = 0.49
    filter: Annotated[
        Literal["ideal", "gaussian"],
        Field(description="a disc in the Fourier plane, or a Gaussian that falls to 61% at the cutoff"),
    ] = "ideal"

    def change(self, image: Picture, row: Row) -> Picture:
        """Return the filtered image."""
        ideal = self.filter == "ideal"
        if ideal and self.cutoff >= math.sqrt(2):
            return image
        relative = _squared_frequency(*image.shape[1:]) / (self.cutoff * self.cutoff)
        filter = ((relative <= 1) if ideal else np.exp(-0.5 * relative)).astype(np.float32)
        return per_plane(image, lambda plane: cv2.idft(cv2.dft(plane) * filter, flags=cv2.DFT_SCALE))


@lru_cache(maxsize=16)
def _squared_frequency(height: int, width: int) -> Float64[np.ndarray, "h w"]:
    """Squared distance from the center of the coefficients that `cv2.dft` packs into a plane; 1 is Nyquist's frequency.

    Columns 2k - 1 and 2k hold the real and imaginary parts at frequency k along x; the first, and of an even width the
    last, hold those along y in this way, since there the other half is the same.
    """
    rows, columns = np.arange(height), np.arange(width)
    down, along = 2 / height * np.minimum(rows, height - rows), 2 / width * ((columns + 1) // 2)
    squared = down[:, None] ** 2 + along**2
    for column in {0, width - 1} if width % 2 == 0 else {0}:
        squared[:, column] = (2 / height * ((rows + 1) // 2)) ** 2 + along[column] ** 2
    return squared


@image_change("blur", "a Gaussian blur")
class BlurChange(Change):
    """A Gaussian blur in space; the image is mirrored at its edges.

    sigma: standard deviation as a share of the shorter side; weights are those of the Gaussian at whole pixels out to
    four standard deviations, with sum 1.

    Examples:
        A point of 1 becomes a bell of the same sum, with 1 / (2 pi sigma^2) in its middle; sigma is 2 px of 40:

        >>> point = np.zeros((1, 40, 40), dtype=np.float32)
        >>> point[0, 20, 20] = 1
        >>> blurred_point = BlurChange(sigma=0.05).change(point, {})
        >>> round(float(blurred_point.sum()), 3), round(float(blurred_point.max()), 3)
        (1.0, 0.04)
    """

    sigma: Annotated[
        float, Field(ge=0, le=0.2, description="standard deviation, as a share of the shorter side; 0 changes nothing")
    ] = 0.01

    def change(self, image: Picture, row: Row) -> Picture:
        """Return the blurred image."""
        sigma = self.sigma * min(image.shape[1:])
        return image if sigma == 0 else per_plane(image, lambda plane: blurred(plane, sigma, cv2.BORDER_REFLECT))


def blurred(
    plane: np.ndarray, sigma: float | tuple[float, float], edge: int = cv2.BORDER_REPLICATE
) -> Float32[np.ndarray, "h w"]:
    """Return a Gaussian blur out to four standard deviations, rounded.

    Of 8 bits `cv2.GaussianBlur` takes four times as long.

    Args:
        plane: [h, w].
        sigma: px; or one along y and one along x.
        edge: OpenCV's name of the rule for pixels outside.
    """
    sides = sigma if isinstance(sigma, tuple) else (sigma, sigma)
    down, along = (cv2.getGaussianKernel(2 * int(4 * side + 0.5) + 1, side, cv2.CV_32F) for side in sides)
    return cv2.sepFilter2D(plane.astype(np.float32, copy=False), -1, along, down, borderType=edge)


def gaussian(images: Float[Tensor, "b c h w"], sigma: float) -> Float[Tensor, "b c h w"]:
    """Return images after a Gaussian blur of sigma px on their device; the edge goes on outside."""
    planes = [per_plane(image, lambda plane: blurred(plane, sigma)) for image in images.detach().cpu().numpy()]
    return torch.as_tensor(np.stack(planes), device=images.device)


@image_change("resample", "a coarser resolution, brought back to size", version=2)
class Resample(Change):
    """The image at a coarser resolution, brought back to its size: means over areas down, bilinear up.

    factor: how many times coarser, 1 changes nothing; at least one pixel is left.

    Examples:
        Twice as coarse, one pixel in place of four:

        >>> Resample(factor=2).change(np.array([[[1.0, 0.0], [0.0, 0.0]]], dtype=np.float32), {}).tolist()
        [[[0.25, 0.25], [0.25, 0.25]]]
    """

    factor: Annotated[float, Field(ge=1, le=64, description="how many times coarser; 1 changes nothing")] = 2.0

    def change(self, image: Picture, row: Row) -> Picture:
        """Return the coarser image."""
        if self.factor == 1:
            return image
        height, width = image.shape[1:]
        coarse = max(1, round(width / self.factor)), max(1, round(height / self.factor))
        return per_plane(
            image,
            lambda plane: cv2.resize(
                cv2.resize(plane, coarse, interpolation=cv2.INTER_AREA), (width, height), interpolation=cv2.INTER_LINEAR
            ),
        )
