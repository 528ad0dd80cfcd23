"""Changes of whole images: tone, frequency, smoothing, compression and noise."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import fields
from io import BytesIO
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int, UInt8
from PIL import Image
from pydantic import AfterValidator, Field
from torch import Tensor
from torch.nn import functional

from assay.core.errors import SpecError
from assay.shifts.confounders import kernels
from assay.shifts.confounders.drawing import (
    AT_ONCE,
    COMPILED,
    Shape,
    image_change,
    luminance,
    normals,
    pieces,
    uniforms,
)
from assay.shifts.confounders.kernels import at_hand
from assay.shifts.intervention import Draws, Parameters

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def _rising(values: tuple[float, ...]) -> tuple[float, ...]:
    if not 0 <= values[0] <= values[-1] <= 1 or any(b < a for a, b in pairwise(values)):
        raise ValueError("quantiles must not fall and must lie within 0 to 1, such as [0, 0.2, 0.5, 1]")
    return values


# What all changes of the whole image share, and how a result is made the same in any batch.

_GRID = 2.0**20


class Change(ABC):
    """A change of the whole image."""

    at_once: ClassVar[int] = AT_ONCE
    """Values that are changed in one call on a processor."""

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
    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """Some images, at least one, changed."""

    def apply(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The changed images."""
        parts = pieces(images, self.at_once)
        if len(parts) == 1:
            return self.changed(images, parameters)
        out = torch.empty_like(images)
        for some in parts:
            out[some] = self.changed(images[some], {name: values[some] for name, values in parameters.items()})
        return out

    def mask(self, parameters: Parameters, shape: Shape) -> Bool[Tensor, "b 1 h w"]:
        """All pixels."""
        some = next(iter(parameters.values()))
        return torch.ones(len(some), 1, *shape[1:], dtype=torch.bool, device=some.device)


def settled(images: Float64[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Float64 results as float32 in [0, 1], on a grid of 2^-20, 16 times finer than 16 bits.

    Transforms and powers of libraries differ in their last bit with the size of the batch and from device to device;
    on the grid that is gone, but for one value in some 10^9. Gradients pass as if it were not there.
    """
    kept = images.clamp(0, 1)
    if not kept.requires_grad:
        return kept.mul_(_GRID).round_().float().mul_(1 / _GRID)
    return (kept + ((kept.detach() * _GRID).round_().mul_(1 / _GRID) - kept.detach())).float()


# Brightness: an uneven field, gamma, contrast, the histogram of another scanner.

_LEVELS = 2**16
_ORDER = 3
_TERMS = tuple((i, j) for i in range(_ORDER + 1) for j in range(_ORDER + 1) if 1 <= i + j <= _ORDER)


@image_change("intervention", "bias-field", "global", "environment", "smoothly uneven brightness, as of an MR coil")
class BiasField(Change):
    """Smoothly uneven brightness: pixels times exp(amplitude f), with f a polynomial of degree 3 that stays in -1..1.

    f is a sum of products of Legendre polynomials along x and y with coefficients of the row's own, divided by the sum
    of their sizes. Van Leemput et al. 1999 model the field of a coil in this way. Differentiable.
    """

    amplitude: Annotated[
        float, Field(ge=0, le=5, description="largest natural logarithm of the factor; 0 changes nothing")
    ] = 0.7
    at_once: ClassVar[int] = COMPILED

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """`x<i> y<j>`: the nine coefficients, with sizes that sum to 1."""
        drawn = {f"x{i} y{j}": 2 * draws.uniform(f"x{i} y{j}") - 1 for i, j in _TERMS}
        total = sum((value.abs() for value in drawn.values()), torch.zeros(len(draws.rows), dtype=torch.float64))
        return {name: value / total for name, value in drawn.items()}

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The unevenly lit images."""
        height, width = images.shape[2:]
        along = _legendre(width, images.device)
        down = _legendre(height, images.device)
        rows = [
            sum(
                (parameters[f"x{i} y{j}"].float()[:, None] * down[j] for j in range(_ORDER + 1) if (i, j) in _TERMS),
                torch.zeros(len(images), height, device=images.device),
            )
            for i in range(_ORDER + 1)
        ]
        rows = [self.amplitude * row for row in rows]
        if at_hand(images):
            out = images.clone(memory_format=torch.contiguous_format)
            kernels.light(out.numpy(), torch.stack(rows, dim=1).numpy(), torch.stack(along).numpy())
            return out
        products = (part[:, None, :, None] * columns for part, columns in zip(rows, along, strict=True))
        field = sum(products, torch.zeros(1, device=images.device))
        return (images * field.exp_()).clamp_(0, 1)


@image_change("intervention", "gamma", "global", "environment", "a power of the gray value")
class Gamma(Change):
    """Pixels x become x^gamma: above 1 darker, below 1 brighter, at 1 unchanged; black and white stay.

    Differentiable; below 1 the gradient at black is infinite.
    """

    gamma: Annotated[float, Field(ge=0.1, le=10, description="exponent; above 1 darker, 1 changes nothing")] = 0.7

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The brighter or darker images."""
        return images if self.gamma == 1 else settled(images.double() ** self.gamma)


@image_change("intervention", "contrast", "global", "environment", "a flatter or steeper tone curve")
class Contrast(Change):
    """Pixels x become pivot + factor (x - pivot), cut at black and white; a factor of 1 changes nothing.

    Differentiable but where it cuts.
    """

    factor: Annotated[float, Field(ge=0, le=10, description="slope; below 1 flatter, 1 changes nothing")] = 0.7
    pivot: Annotated[float, Field(ge=0, le=1, description="the gray value that stays, black to white being 0 to 1")] = (
        0.5
    )

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The flatter or steeper images."""
        if self.factor == 1:
            return images
        return (images - self.pivot).mul_(self.factor).add_(self.pivot).clamp_(0, 1)


@image_change("intervention", "scanner-histogram", "global", "environment", "gray values of another scanner")
class ScannerHistogram(Change):
    """The gray values of another scanner: each image's histogram moved toward a stated one.

    A pixel whose luminance has rank u (0 the darkest of the image, 1 the brightest) moves by `strength` of the way from
    there to the target's quantile at u, a polyline through `quantiles` at even steps of u; all channels move alike, so
    that colors keep their hue. The order of gray values is kept, so at strength 1 two gray images with the same order
    come out equal. Values within one 65,535th share a rank. An image of a single value has no ranks and stays as it
    is. Ranks pass no gradient: that of a gray result is 1 - strength.
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

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The images in the other scanner's gray values."""
        gray = luminance(images)
        rank, ranked = _ranks(gray.detach())
        position = rank.mul_(len(self.quantiles) - 1)
        knots = torch.tensor(self.quantiles, dtype=torch.float64, device=images.device)
        first = position.floor().clamp_(0, len(knots) - 2)
        at = first.long().flatten()
        low, rise = (values.gather(0, at).view_as(position) for values in (knots, knots.diff()))
        target = position.sub_(first).mul_(rise).add_(low).float()
        moved = (images + self.strength * (target - gray)).clamp_(0, 1)
        return torch.where(ranked[:, None, None, None], moved, images)


def _ranks(gray: Float[Tensor, "b 1 h w"]) -> tuple[Float64[Tensor, "b 1 h w"], Bool[Tensor, "b"]]:
    """For each pixel the share of the pixels below the brightest that are darker; which images have ranks."""
    level = (gray * (_LEVELS - 1)).round_().nan_to_num_(0.0).clamp_(0, _LEVELS - 1).long().flatten(1)
    image = torch.arange(len(gray), device=gray.device)[:, None]
    counts = torch.bincount((level + image * _LEVELS).flatten(), minlength=len(gray) * _LEVELS).view(-1, _LEVELS)
    darker = counts.cumsum(dim=1).sub_(counts).gather(1, level)
    most = darker.amax(dim=1)
    return darker.double().div_(most.clamp(min=1)[:, None]).view_as(gray), most > 0


def _legendre(length: int, device: torch.device) -> list[Float[Tensor, "length"]]:
    """Legendre polynomials of degree 0 to 3 at the pixels' centers, the image spanning -1 to 1."""
    x = (torch.arange(length, device=device, dtype=torch.float64) + 0.5) * (2 / length) - 1
    square = x * x
    polynomials = [torch.ones_like(x), x, 1.5 * square - 0.5, (2.5 * square - 1.5) * x]
    return [polynomial.float() for polynomial in polynomials]


# Lossy compression.


@image_change("intervention", "jpeg", "global", "environment", "the traces of JPEG compression")
class Jpeg(Change):
    """The image saved as JPEG and read again, by Pillow's libjpeg; colors at half resolution (4:2:0).

    Done on the processor, image by image and with 8 bits, as the format has it. quality: 1 to 100. No gradient flows.
    """

    quality: Annotated[int, Field(ge=1, le=100, description="libjpeg's quality; lower is stronger")] = 30

    def check(self, shape: Shape) -> None:
        """Raises SpecError for images that are neither gray nor RGB."""
        if shape[0] not in (1, 3):
            raise SpecError(f"JPEG knows gray and RGB images, not {shape[0]} channels: set `channels` to gray or color")

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The images with the traces of compression."""
        whole = (images.detach().cpu() * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        read = np.stack([self._through_a_file(pixels) for pixels in whole])
        return torch.as_tensor(read, device=images.device).permute(0, 3, 1, 2).contiguous().float() / 255

    def _through_a_file(self, pixels: UInt8[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "h w c"]:
        file = BytesIO()
        gray = pixels.shape[2] == 1
        Image.fromarray(pixels[:, :, 0] if gray else pixels).save(
            file, "JPEG", quality=self.quality, subsampling="4:2:0"
        )
        with Image.open(file) as saved:
            return np.asarray(saved).reshape(pixels.shape)


# Noise: of counted photons, by the published formula, and Gaussian.

_HU_LOW, _HU_SPAN = -1200.0, 2000.0  # black is -1200 HU, white 800
_WATER, _LESS = 0.1837, 0.1662  # attenuation at 0 HU, and at -1000 HU
_BLACK = _HU_LOW * (_WATER - _LESS) / 1000 + _WATER
_SPAN = _HU_SPAN * (_WATER - _LESS) / 1000  # from the attenuation of black to that of white


@image_change("intervention", "poisson-noise", "global", "environment", "the noise of a scan with fewer photons")
class PoissonNoise(Change):
    """The noise of a scan with fewer photons, as the published study of confounders made it.

    A pixel x of 0..1 is read as HU = 2000 x - 1200, attenuation a = HU (0.1837 - 0.1662) / 1000 + 0.1837 and expected
    count photons exp(-a); a Poisson count c is drawn and read back as a = -ln max(1e-8, c / photons). The published
    code works on 8 bits: it adds a uniform number below one gray level first and cuts to whole levels at the end, which
    keeps the mean; `levels` = 256 does so, 0 leaves both out.

    photons: N0. The noise has a standard deviation of about 31 / sqrt(photons) in units of black to white. Counts are
    whole numbers, so no gradient flows.
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
        """`seed`: for counts; `dither`: for the noise below one level."""
        return {"seed": draws.seeds("counts"), "dither": draws.seeds("dither")}

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The noisy images; each channel is counted by itself."""
        pixels, size, top = images.detach().double(), images[0].numel(), self.levels - 1
        if self.levels:
            pixels += uniforms(parameters["dither"], size).view_as(pixels).div_(top)
        chance = normals(parameters["seed"], size).view_as(images)
        # the root of the expected count: with it at hand, no square root is taken of every pixel
        root = pixels.mul_(-_SPAN / 2).sub_(_BLACK / 2).exp_().mul_(math.sqrt(self.photons))
        counts = poisson_quantile(chance, root)
        noisy = counts.div_(self.photons).clamp_(min=1e-8).log_().add_(_BLACK).mul_(-1 / _SPAN)
        return noisy.clamp_(0, 1).mul_(top).floor_().float().div_(top) if self.levels else settled(noisy)


@image_change("intervention", "gaussian-noise", "global", "environment", "independent Gaussian noise in every pixel")
class GaussianNoise(Change):
    """Independent Gaussian noise in every pixel and channel, cut at black and white.

    sigma: standard deviation in units of the range black to white. Differentiable.
    """

    sigma: Annotated[
        float, Field(ge=0, le=1, description="standard deviation, black to white being 1; 0 changes nothing")
    ] = 0.03

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """`seed`: for the row's noise."""
        return {"seed": draws.seeds("noise")}

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The noisy images."""
        noise = normals(parameters["seed"], images[0].numel()).view_as(images)
        return (images + noise.mul_(self.sigma)).clamp_(0, 1)


def poisson_quantile(w: Float[Tensor, "*shape"], root: Float64[Tensor, "*shape"]) -> Float64[Tensor, "*shape"]:
    """Poisson counts of means root^2, for means from 50 up: the quantile at the probability below `w` of a normal.

    The Cornish-Fisher expansion to order 1 / mean, cut to a whole number (Giles 2016, ACM TOMS 42, 7): at means of 50
    and above it is the exact quantile but for less than one draw in 10^4, which is then off by one.
    """
    square, per_root = w * w, root.reciprocal().to(w.dtype)
    third = (square * (-1 / 72)).sub_(1 / 36).mul_(w)
    fourth = (square * (1 / 270)).add_(7 / 810).mul_(square).sub_(8 / 405)
    correction = fourth.mul_(per_root).add_(third).mul_(per_root).add_(1 / 3).add_(square.mul_(1 / 6))
    return (root + w).mul_(root).add_(correction).floor_().clamp_(min=0)


# The Fourier transforms of torch, which come without types.

_fft: Any = torch.fft


def squared_frequency(height: int, width: int, device: torch.device) -> Float64[Tensor, "h k"]:
    """Squared distance of each coefficient of a real image's spectrum from the center; 1 is the Nyquist frequency."""
    down: Tensor = _fft.fftfreq(height, 0.5, dtype=torch.float64, device=device)
    along: Tensor = _fft.rfftfreq(width, 0.5, dtype=torch.float64, device=device)
    return (down * down)[:, None] + (along * along)[None, :]


def filtered(images: Float64[Tensor, "b c h w"], kept: Float64[Tensor, "h k"]) -> Float64[Tensor, "b c h w"]:
    """The images with each coefficient of their spectra multiplied. kept: not zero throughout."""
    columns = int(kept.any(dim=0).nonzero().max()) + 1  # those beyond are all zero: neither made nor read
    spectrum: Tensor = _fft.fft(_fft.rfft(images)[..., :columns], dim=2)
    made: Tensor = _fft.irfft(_fft.ifft(spectrum * kept[:, :columns], dim=2), n=images.shape[3])
    return made


def spectrum_of(kernel: Float64[Tensor, "h w"]) -> Float64[Tensor, "h k"]:
    """The half spectrum of a kernel around the first pixel that is the same turned by half a turn: it is real."""
    made: Tensor = _fft.rfft2(kernel)
    return made.real.contiguous()


# Linear filters: sums over shifts along an axis, and products in the Fourier plane for large kernels.

Edge = Literal["nearest", "reflect", "mirror"]
"""What lies beyond an edge `a b c`: `nearest` a a a, `reflect` c b a, `mirror` d c b (SciPy's words)."""


def beyond(length: int, reach: int, edge: Edge, device: torch.device) -> Tensor:
    """Return the index of the pixel used at places -reach .. length + reach - 1."""
    place = torch.arange(-reach, length + reach, device=device)
    if edge == "nearest" or length == 1:
        return place.clamp(0, length - 1)
    if edge == "reflect":
        place = place % (2 * length)
        return torch.minimum(place, 2 * length - 1 - place)
    place = place % (2 * length - 2)
    return torch.minimum(place, 2 * length - 2 - place)


def widened(images: Float[Tensor, "b c h w"], reach: int | tuple[int, int], edge: Edge) -> Float[Tensor, "b c h2 w2"]:
    """The images with `reach` px more on every side, or one number above and below and one left and right."""
    down, along = reach if isinstance(reach, tuple) else (reach, reach)
    tall = images.index_select(2, beyond(images.shape[2], down, edge, images.device))
    return tall.index_select(3, beyond(images.shape[3], along, edge, images.device))


def smooth(images: Float[Tensor, "b c h w"], weights: list[float], axis: int, edge: Edge) -> Float[Tensor, "b c h w"]:
    """The sum over shifts along one axis, shift by shift: a library's convolution would depend on the batch.

    weights: for a shift of 0, 1, ... pixels either way.
    """
    length, reach = images.shape[axis], len(weights) - 1
    if at_hand(images):
        return _compiled(images.contiguous(), weights, axis, beyond(length, reach, edge, images.device))
    wide = images.index_select(axis, beyond(length, reach, edge, images.device))
    total = wide.narrow(axis, reach, length) * weights[0]
    for step in range(1, reach + 1):
        pair = wide.narrow(axis, reach - step, length) + wide.narrow(axis, reach + step, length)
        total += pair.mul_(weights[step])
    return total


def smoothed(images: Float[Tensor, "b c h w"], weights: list[float], edge: Edge) -> Float[Tensor, "b c h w"]:
    """`smooth` along both axes."""
    if not at_hand(images):
        return smooth(smooth(images, weights, 2, edge), weights, 3, edge)
    reach, (height, width) = len(weights) - 1, images.shape[2:]
    out, given = torch.empty(images.shape), np.array(weights, dtype=np.float32)
    down, along = (beyond(length, reach, edge, images.device).numpy() for length in (height, width))
    planes = images.contiguous().flatten(0, 1).numpy()
    kernels.smooth_both(planes, out.flatten(0, 1).numpy(), given, down, along)
    return out


def _compiled(
    images: Float[Tensor, "b c h w"], weights: list[float], axis: int, places: Int[Tensor, "n"]
) -> Float[Tensor, "b c h w"]:
    """`smooth` on a processor."""
    out, given = torch.empty(images.shape), np.array(weights, dtype=np.float32)
    smooth_one = kernels.smooth_down if axis == 2 else kernels.smooth_along
    smooth_one(images.flatten(0, 1).numpy(), out.flatten(0, 1).numpy(), given, places.numpy())
    return out


def gaussian_weights(sigma: float, truncate: float = 4.0) -> list[float]:
    """A Gaussian at whole pixels out to `truncate` standard deviations (rounded), with sum 1 over both sides."""
    reach = int(truncate * sigma + 0.5)
    weights = [math.exp(-0.5 * (step / sigma) ** 2) for step in range(reach + 1)] if reach else [1.0]
    total = weights[0] + 2 * sum(weights[1:])
    return [weight / total for weight in weights]


def gaussian(
    images: Float[Tensor, "b c h w"],
    sigma: float | tuple[float, float],
    edge: Edge = "nearest",
    truncate: float = 4.0,
) -> Float[Tensor, "b c h w"]:
    """A Gaussian blur as scikit-image and SciPy make it; sigma in px, or one along y and one along x."""
    down, along = sigma if isinstance(sigma, tuple) else (sigma, sigma)
    if down == along:
        return smoothed(images, gaussian_weights(down, truncate), edge)
    tall = smooth(images, gaussian_weights(down, truncate), 2, edge)
    return smooth(tall, gaussian_weights(along, truncate), 3, edge)


def correlated(
    images: Float64[Tensor, "b c h w"], kernel: Float64[Tensor, "k k"], edge: Edge
) -> Float64[Tensor, "b c h w"]:
    """The images filtered with a kernel that is the same turned by half a turn; k is odd."""
    reach, (height, width) = len(kernel) // 2, images.shape[2:]
    down, along = _fast(height, reach), _fast(width, reach)
    wide = widened(images, (down, along), edge)
    page = torch.zeros(wide.shape[2:], dtype=torch.float64, device=images.device)
    page[: len(kernel), : len(kernel)] = kernel
    out = filtered(wide, spectrum_of(page.roll((-reach, -reach), (0, 1))))
    return out[:, :, down : down + height, along : along + width]


def _fast(length: int, reach: int) -> int:
    """The least reach from this one on that makes a length without prime factors above 5: transforms are then fast."""
    while True:
        rest = length + 2 * reach
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return reach
        reach += 1


# Loss of fine detail: low-pass filters, blur, a coarser grid.


@image_change(
    "intervention",
    "low-pass",
    "global",
    "environment",
    "frequencies beyond a cutoff taken away, sharply or as a Gaussian",
)
class LowPass(Change):
    """Frequencies beyond `cutoff` taken away in the Fourier plane: a centered disc, or a Gaussian.

    cutoff: share of the Nyquist frequency. `ideal`: all within is kept, all beyond is gone; from sqrt(2) on nothing
    changes. `gaussian`: the amplitude at the cutoff is multiplied by exp(-1/2). Like any product in the Fourier plane
    it takes the image as periodic, so opposite edges run into each other. Differentiable.
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

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The filtered images."""
        if self.filter == "ideal" and self.cutoff >= math.sqrt(2):
            return images
        height, width = images.shape[2:]
        relative = squared_frequency(height, width, images.device) / (self.cutoff * self.cutoff)
        kept = (relative <= 1).double() if self.filter == "ideal" else torch.exp(-0.5 * relative)
        return settled(filtered(images.double(), kept))


@image_change("intervention", "blur", "global", "environment", "a Gaussian blur")
class Blur(Change):
    """A Gaussian blur in space; the image is mirrored at its edges.

    sigma: standard deviation as a share of the shorter side; weights are those of the Gaussian at whole pixels out to
    four standard deviations, with sum 1. Differentiable.
    """

    sigma: Annotated[
        float, Field(ge=0, le=0.2, description="standard deviation, as a share of the shorter side; 0 changes nothing")
    ] = 0.01
    at_once: ClassVar[int] = COMPILED

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The blurred images."""
        sigma = self.sigma * min(images.shape[2:])
        if sigma == 0:
            return images
        reach = math.ceil(4 * sigma)
        weights = [math.exp(-0.5 * (step / sigma) ** 2) for step in range(reach + 1)]
        total = weights[0] + 2 * sum(weights[1:])
        return smoothed(images, [weight / total for weight in weights], "reflect").clamp_(0, 1)


@image_change("intervention", "resample", "global", "environment", "a coarser resolution, brought back to size")
class Resample(Change):
    """The image at a coarser resolution, brought back to its size: antialiased bilinear down, bilinear up.

    factor: how many times coarser, 1 changes nothing; at least one pixel is left. Differentiable.
    """

    factor: Annotated[float, Field(ge=1, le=64, description="how many times coarser; 1 changes nothing")] = 2.0

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The coarser images."""
        if self.factor == 1:
            return images
        height, width = images.shape[2:]
        coarse = max(1, round(height / self.factor)), max(1, round(width / self.factor))
        small = functional.interpolate(images, size=coarse, mode="bilinear", antialias=True)
        return functional.interpolate(small, size=(height, width), mode="bilinear").clamp(0, 1)
