"""Distortions of images at severities 1 to 5, and how environments apply them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from PIL import Image
from pydantic import Field
from torch import Tensor

from assay.core.compiled import compiled
from assay.core.errors import SpecError, unknown_name
from assay.core.opencv import cv2
from assay.core.registry import build, entries
from assay.core.traits import Extent, Origin
from assay.data.dataset import ImagesWrapper
from assay.shifts.confounders.drawing import Mark, Shape, image_change, in_channels, luminance
from assay.shifts.confounders.marks import Hair, Ruler
from assay.shifts.confounders.pixels import (
    Change,
    Levels,
    Picture,
    PoissonNoise,
    Row,
    blurred,
    evenly,
    flat,
    normals,
    per_plane,
    seed_generator,
    through_jpeg,
    to_levels,
)
from assay.shifts.environment import Environment
from assay.shifts.intervention import DrawnIntervention, Draws, Parameters, draw
from assay.shifts.sampling import TEST_SEED

# Families of distortions and their groups.

SEVERITIES = (1, 2, 3, 4, 5)

GROUPS: Mapping[str, tuple[str, ...]] = {
    "common": (
        "gaussian-noise", "shot-noise", "impulse-noise", "speckle-noise", "gaussian-blur", "defocus-blur", "glass-blur",
        "motion-blur", "zoom-blur", "snow", "frost", "fog", "spatter", "brightness", "contrast", "saturate",
        "elastic-transform", "pixelate", "jpeg-compression",
    ),
    "retinal": ("retinal-defocus", "retinal-illumination", "retinal-artifacts"),
    "endoscopy": ("endoscopy-specular", "endoscopy-bubbles", "endoscopy-smoke"),
    "dermoscopy": ("dermoscopy-hair", "dermoscopy-ruler", "dermoscopy-gel"),
    "xray": ("xray-noise", "xray-grid", "xray-under-exposure"),
}  # fmt: skip
"""Families that are named together, in the order of their measurements. `common`: those of ImageNet-C (Hendrycks and
Dietterich 2019), its four for validation among them."""


def families_of(names: Sequence[str]) -> tuple[str, ...]:
    """Resolve names of families and groups to families, each once, in this order. A dotted path is itself.

    Raises:
        SpecError: A name is neither; the text gives the nearest.
    """
    every = [entry.name for entry in entries("distortion")]
    unknown = [name for name in names if name not in GROUPS and name not in every and ":" not in name]
    if unknown:
        raise SpecError(unknown_name("distortion", unknown[0], [*GROUPS, *every]))
    return tuple(dict.fromkeys(family for name in names for family in GROUPS.get(name, (name,))))


# One distortion: a function of an image, a strength and random numbers, and five strengths.

T = TypeVar("T")


class RowRandom:
    """Random numbers of one row. They depend on family and row and not on the severity, so that for example the same
    drops fall at every severity, only harder.
    """

    def __init__(self, seed: float) -> None:
        """Start them anew; no other may be in use in this thread."""
        self.seed = int(seed)
        seed_generator(seed)

    def normal(self, size: tuple[int, ...]) -> Float32[np.ndarray, "*size"]:
        """Draw standard normal numbers."""
        return normals(size)

    def uniform(self, low: float, high: float, size: tuple[int, ...]) -> Float32[np.ndarray, "*size"]:
        """Draw numbers from `low` to below `high`."""
        return evenly(size, low, high)

    def integers(self, low: int, high: int, size: tuple[int, ...]) -> Int[np.ndarray, "*size"]:
        """Draw whole numbers from `low` to below `high`."""
        numbers = np.empty(size, dtype=np.int32)
        cv2.randu(numbers, low, high)
        return numbers

    def poisson(self, mean: Float[np.ndarray, "*size"]) -> Int[np.ndarray, "*size"]:
        """Draw counts; the same ones at every call."""
        return np.random.Generator(np.random.SFC64(self.seed)).poisson(mean)


@dataclass(frozen=True, kw_only=True)
class Distortion(Change):
    """Implements `Intervention`: drawn by row first, then applied deterministically.

    severity: 0 to 5; at 0 the given images come back.

    Examples:
        A family of one's own, with a factor for each severity:

        >>> @dataclass(frozen=True, kw_only=True)
        ... class Darker(Distortion):
        ...     def change(self, image, row):
        ...         return image * self.at((0.9, 0.8, 0.7, 0.6, 0.5))
        >>> white = np.ones((1, 1, 1), dtype=np.float32)
        >>> [round(Darker(severity=severity).change(white, {}).item(), 1) for severity in (1, 5)]
        [0.9, 0.5]
    """

    severity: Annotated[int, Field(ge=0, le=5, description="0 (nothing changes), 1 (least) to 5 (most)")] = 3

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """`seed`: for the row's own generator."""
        return {"seed": draws.seeds("distortion")}

    def apply(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """Return the distorted images, float32 in [0, 1]; the very same tensor at severity 0."""
        return images if self.severity == 0 else super().apply(images, parameters)

    def at(self, levels: Sequence[T]) -> T:
        """Return the constant of this severity."""
        return levels[self.severity - 1]


Function = Callable[[Levels, Any, RowRandom], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class FunctionDistortion(Distortion):
    """A distortion made of a function by `distortion`. Like the published ones it works on 8 bits; what it adds is not
    rounded to them.
    """

    function: ClassVar[Function]
    strengths: ClassVar[Sequence[Any]]
    refuse: ClassVar[Callable[[Shape], str]]

    def check(self, shape: Shape) -> None:
        """Raises SpecError for images that cannot be distorted so."""
        if reason := type(self).refuse(shape):
            raise SpecError(reason)

    def change(self, image: Picture, row: Row) -> Picture:
        """Return the distorted image."""
        family = type(self)
        levels = family.function(to_levels(image), self.at(family.strengths), RowRandom(row["seed"]))
        return levels * np.float32(1 / 255)


def _nothing(shape: Shape) -> str:
    return ""


def distortion(
    name: str,
    strengths: Sequence[T],
    summary: str,
    *,
    extent: Extent = "global",
    origin: Origin = "environment",
    refuse: Callable[[Shape], str] = _nothing,
    version: int = 2,
) -> Callable[[Callable[[Levels, T, RowRandom], np.ndarray]], type[FunctionDistortion]]:
    """Declare a function as a family of distortions; it becomes a class.

    The function takes one image, uint8 [c, h, w], a strength and the row's random numbers. It returns levels, whole
    or not, that are clipped to 0..255; the given image may be overwritten.

    Args:
        name: Name in specs.
        strengths: Of severity 1 to 5.
        summary: One line for `assay list`.
        extent: See `ChangeTraits`.
        origin: See `ChangeTraits`.
        refuse: Returns why images of a shape cannot be distorted, or nothing.
        version: Rises when pixels change.
    """

    def declare(function: Callable[[Levels, T, RowRandom], np.ndarray]) -> type[FunctionDistortion]:
        body = {"function": staticmethod(function), "strengths": strengths, "refuse": staticmethod(refuse)}
        places = {"__module__": function.__module__, "__doc__": function.__doc__, "__qualname__": function.__qualname__}
        declared = type(function.__name__, (FunctionDistortion,), {**body, **places})
        return image_change(name, summary, "distortion", extent=extent, origin=origin, version=version)(declared)

    return declare


def only_color(name: str) -> Callable[[Shape], str]:
    """Return what refuses images that are not RGB, by the name of a family."""
    return lambda shape: (
        ""
        if shape[0] == 3
        else f"distortion '{name}' changes colors, and the images have {shape[0]} channel{'s' * (shape[0] > 1)}: "
        "leave it out of the families"
    )


# Environments as a distortion leaves them: batch by batch as they are read, nothing is stored.


@dataclass(frozen=True)
class DistortedImages(ImagesWrapper):
    """`Images` that are distorted on reading, and then moved to a device."""

    change: DrawnIntervention
    device: str = "cpu"

    def read(self, index: np.ndarray) -> Float[Tensor, "n c h w"]:
        """Distorted images at these positions, in this order, on the device."""
        return self.change.apply(self.images.read(index), index).to(self.device)


def distort(environment: Environment, family: str, severity: int, device: str = "cpu") -> Environment:
    """Return the same rows under a distortion, named `<environment>, <family> <severity>`, without masks.

    Random numbers depend on family and row alone: every model and every seed sees the same images.

    Raises:
        SpecError: Such images cannot carry it.

    Examples:
        An environment of a study, blurred at the third of five severities:

            blurred = distort(environment, "defocus-blur", 3)
            blurred.name  # "clean, defocus-blur 3"
    """
    intervention = build("distortion", family, {"severity": severity})
    everyone = np.ones(len(environment), dtype=bool)
    change = draw(
        family, intervention, everyone, environment.table.row, TEST_SEED, environment.images.shape, environment.boxes
    )
    return replace(
        environment,
        name=f"{environment.name}, {family} {severity}",
        images=DistortedImages(environment.images, change, device),
        masks=None,
        native=None,
    )


# Noise.


@distortion("gaussian-noise", (0.08, 0.12, 0.18, 0.26, 0.38), "independent Gaussian noise, as of a dark sensor")
def gaussian_noise(image: Levels, sigma: float, random: RowRandom) -> np.ndarray:
    """x + sigma z, cut at black and white; z independent in every pixel and channel.

    Examples:
        >>> gray = np.full((1, 100, 100), 0.5, dtype=np.float32)
        >>> round(float(gaussian_noise(severity=1).change(gray, {"seed": 0}).std()), 2)
        0.08
    """
    noise = random.normal(image.shape)
    noise *= np.float32(255 * sigma)
    noise += image
    return noise


@distortion("shot-noise", (60.0, 25.0, 12.0, 5.0, 3.0), "the noise of counted photons")
def shot_noise(image: Levels, photons: float, random: RowRandom) -> np.ndarray:
    """Poisson counts of mean photons x, over photons, cut at white.

    Examples:
        >>> gray = np.full((1, 100, 100), 0.5, dtype=np.float32)
        >>> round(float(shot_noise(severity=1).change(gray, {"seed": 0}).std()), 2)  # sqrt(0.5 / 60)
        0.09
    """
    return random.poisson(image * (photons / 255)) * (255 / photons)


@distortion("impulse-noise", (0.03, 0.06, 0.09, 0.17, 0.27), "single values that are black or white")
def impulse_noise(image: Levels, share: float, random: RowRandom) -> np.ndarray:
    """A share of all values, by channel, is black or white, each as likely.

    Examples:
        >>> gray = np.full((1, 200, 200), 0.5, dtype=np.float32)
        >>> noisy = impulse_noise(severity=5).change(gray, {"seed": 0})
        >>> round(float((noisy == 0).mean() + (noisy == 1).mean()), 2)
        0.27
    """
    u = random.uniform(0, 1, image.shape)
    struck, white = (cv2.compare(flat(u), limit, cv2.CMP_LT).reshape(image.shape) for limit in (share, share / 2))
    return (image & ~struck) | white


@distortion("speckle-noise", (0.15, 0.2, 0.35, 0.45, 0.6), "Gaussian noise in proportion to the pixel")
def speckle_noise(image: Levels, sigma: float, random: RowRandom) -> np.ndarray:
    """x + sigma x z, cut at black and white.

    Examples:
        >>> grays = [np.full((1, 200, 200), gray, dtype=np.float32) for gray in (0.2, 0.4)]
        >>> [round(float(speckle_noise(severity=1).change(gray, {"seed": 0}).std()), 2) for gray in grays]  # 0.15 x
        [0.03, 0.06]
    """
    noise = random.normal(image.shape)
    noise *= np.float32(sigma)
    noise += 1
    noise *= image
    return noise


# Blurs: Gaussian, out of focus, along a direction, toward the middle, behind glass.


@distortion("gaussian-blur", (1.0, 2.0, 3.0, 4.0, 6.0), "a Gaussian blur")
def gaussian_blur(image: Levels, sigma: float, random: RowRandom) -> np.ndarray:
    """A Gaussian blur of sigma px, cut at four sigma; the edge goes on outside.

    Examples:
        >>> point = np.zeros((1, 31, 31), dtype=np.float32)
        >>> point[0, 15, 15] = 1
        >>> round(float(gaussian_blur(severity=1).change(point, {"seed": 0}).max()), 2)  # 1 / (2 pi)
        0.16
    """
    return per_plane(image, lambda plane: blurred(plane, sigma))


@distortion("defocus-blur", ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)), "every point becomes a disc")
def defocus_blur(image: Levels, strength: tuple[int, float], random: RowRandom) -> np.ndarray:
    """Every point becomes a disc with a soft rim; the image is mirrored beyond its edge pixels.

    Examples:
        A point becomes a disc of radius 10, here of 317 pixels; with a soft rim it touches some more:

        >>> point = np.zeros((1, 41, 41), dtype=np.float32)
        >>> point[0, 20, 20] = 1
        >>> disc_of_point = defocus_blur(severity=5).change(point, {"seed": 0})
        >>> round(float(disc_of_point[0, 20, 20]), 3)  # 1 / 317
        0.004
    """
    kernel = disc(*strength)
    return per_plane(image, lambda plane: cv2.filter2D(plane, -1, kernel, borderType=cv2.BORDER_REFLECT_101))


def disc(radius: int, softness: float) -> Float[np.ndarray, "k k"]:
    """Return a disc of sum 1 on 17 px, or on 2 radius + 1 where that is more, then smoothed over 3 px or 5."""
    reach, rim = (8, 3) if radius <= 8 else (radius, 5)
    place = np.arange(-reach, reach + 1)
    filled = (place[:, None] ** 2 + place**2 <= radius**2).astype(np.float64)
    return cv2.GaussianBlur(filled / filled.sum(), (rim, rim), softness)


@distortion("motion-blur", ((10, 3.0), (15, 5.0), (15, 8.0), (15, 12.0), (20, 15.0)), "a blur along one direction")
def motion_blur(image: Levels, strength: tuple[int, float], random: RowRandom) -> np.ndarray:
    """A mean along a line through the pixel and to one side, half a Gaussian its weights; the edge goes on outside.

    The line's angle is drawn within 45 degrees of the horizontal. Where the line is longer than the image the reference
    stops adding, which makes the image darker; here the edge goes on, as in ImageMagick, which MedMNIST-C calls.

    Examples:
        A horizontal line stays longer than a point: the blur is within 45 degrees of it.

        >>> point = np.zeros((1, 41, 41), dtype=np.float32)
        >>> point[0, 20, 20] = 1
        >>> streak = motion_blur(severity=1).change(point, {"seed": 0})[0]
        >>> bool(np.ptp(streak.nonzero()[1]) >= np.ptp(streak.nonzero()[0])), round(float(streak.sum()), 2)
        (True, 1.0)
    """
    degrees = float(random.uniform(-45, 45, (1,))[0])
    return per_plane(image, lambda plane: moved(plane, *strength, degrees))


def moved(plane: np.ndarray, radius: int, sigma: float, degrees: float) -> Float32[np.ndarray, "h w"]:
    """Return a motion blur of [h, w] over 2 radius + 1 px in a direction."""
    (height, width), reach, angle = plane.shape, 2 * radius, math.radians(degrees)
    weights = np.exp(-(np.arange(reach + 1) ** 2) / (2 * sigma * sigma))
    wide = cv2.copyMakeBorder(plane.astype(np.float32), *(reach,) * 4, cv2.BORDER_REPLICATE)
    out = np.zeros(plane.shape, dtype=np.float32)
    for step, weight in enumerate((weights / weights.sum()).tolist()):
        top = reach + math.ceil(step * math.sin(angle) - 0.5)
        left = reach + math.ceil(step * math.cos(angle) - 0.5)
        cv2.scaleAdd(wide[top : top + height, left : left + width], weight, out, out)
    return out


@distortion(
    "zoom-blur",
    ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
    "the mean of the image at growing magnifications",
)
def zoom_blur(image: Levels, strength: tuple[float, float], random: RowRandom) -> np.ndarray:
    """The mean of the image and of the image at magnifications from 1 up, each cut to size from its top left corner.

    Examples:
        >>> point = np.zeros((1, 41, 41), dtype=np.float32)
        >>> point[0, 5, 5] = 1
        >>> blur = zoom_blur(severity=5).change(point, {"seed": 0})[0]
        >>> float(blur.max()) < 1, len(blur.nonzero()[0]) > 1  # the point is drawn out
        (True, True)
    """
    (height, width), factors = image.shape[1:], np.arange(1, *strength)[1:].tolist()
    total = image * np.float32(2)  # itself, and its magnification by 1
    for channel, plane in enumerate(image.astype(np.float32)):
        for factor in factors:
            total[channel] += zoomed(plane, factor)[:height, :width]
    return total / np.float32(len(factors) + 2)


def zoomed(plane: np.ndarray, factor: float) -> np.ndarray:
    """Return the middle of [h, w], `factor` times as large (bilinear, corners on corners): at least its size."""
    sides = plane.shape[1], plane.shape[0]
    inner = [math.ceil(side / factor) for side in sides]
    left, top = ((side - small) // 2 for side, small in zip(sides, inner, strict=True))
    wide, tall = (round(small * factor) for small in inner)
    across, down = ((small - 1) / max(1, side - 1) for small, side in zip(inner, (wide, tall), strict=True))
    places = np.array([[across, 0, left], [0, down, top]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(plane, places, (wide, tall), flags=flags, borderMode=cv2.BORDER_REPLICATE)


@distortion(
    "glass-blur",
    ((0.7, 1, 2), (0.9, 2, 1), (1.0, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
    "pixels overwritten by near ones, as behind frosted glass",
)
def glass_blur(image: Levels, strength: tuple[float, int, int], random: RowRandom) -> np.ndarray:
    """Blurred, every pixel overwritten by a near one drawn at random, blurred again.

    The published code means to swap two pixels, but on colors its second assignment reads the result of the first, so
    that the near pixel is copied. Assay does the same, on gray images too. Against the reference: within three levels,
    since it cuts to 8 bits in between where Assay rounds.

    strength: standard deviation in px, farthest step in px, and how often all pixels are gone through.

    Examples:
        >>> stripes = np.tile(np.repeat([0.0, 1.0], 4).astype(np.float32), (1, 40, 5))
        >>> sharpness = [float(abs(np.diff(glass_blur(severity=s).change(stripes, {"seed": 0}))).max()) for s in (1, 5)]
        >>> sharpness[1] < sharpness[0] < 1
        True
    """
    (height, width), (sigma, far, times) = image.shape[1:], strength
    count = times * max(0, height - 2 * far) * max(0, width - 2 * far)
    result = per_plane(image, lambda plane: blurred(plane, sigma))
    if count:
        steps = random.integers(-far, far, (count, 2))
        for plane in result:
            _copy_near(plane, far, times, steps)
    return per_plane(result, lambda plane: blurred(plane, sigma))


@compiled
def _copy_near(plane: np.ndarray, far: int, times: int, steps: Int[np.ndarray, "n 2"]) -> None:
    """Overwrite pixels one after another, from the lower right to the upper left, by those these steps away."""
    height, width, copies = plane.shape[0], plane.shape[1], 0
    for _ in range(times):
        for y in range(height - far, far, -1):
            for x in range(width - far, far, -1):
                plane[y, x] = plane[y + steps[copies, 1], x + steps[copies, 0]]
                copies += 1


# Weather: snow, frost, fog.

_ICE = (0.59, 0.11)  # mean and standard deviation of the reference's six photographs of ice, on average
_ROUGHEST = 100.0


@distortion(
    "snow",
    (
        (0.1, 0.3, 3.0, 0.5, 10, 4.0, 0.8),
        (0.2, 0.3, 2.0, 0.5, 12, 4.0, 0.7),
        (0.55, 0.3, 4.0, 0.9, 12, 8.0, 0.7),
        (0.55, 0.3, 4.5, 0.85, 12, 8.0, 0.65),
        (0.55, 0.3, 2.5, 0.85, 12, 12.0, 0.55),
    ),
    "bright streaks over a whitened image",
)
def snow(
    image: Levels, strength: tuple[float, float, float, float, int, float, float], random: RowRandom
) -> np.ndarray:
    """Flakes, magnified noise above a threshold, drawn out along the fall, twice (turned by half a turn), over an image
    that is moved toward white.

    Against the reference: within two levels for 99% of values; the others lie where noise meets the threshold.

    Examples:
        >>> dark = np.full((1, 64, 64), 0.2, dtype=np.float32)
        >>> snowy = snow(severity=1).change(dark, {"seed": 0})
        >>> float(snowy.mean()) > 0.2, float(snowy.max()) > 0.5
        (True, True)
    """
    mean, spread, zoom, least, radius, sigma, opacity = strength
    height, width = image.shape[1:]
    flakes = zoomed(random.normal((height, width)) * np.float32(spread) + np.float32(mean), zoom)
    flakes = np.where(flakes < least, np.float32(0), flakes).clip(0, 1)
    flakes = moved(flakes, radius, sigma, float(random.uniform(-135, -45, (1,))[0]))[:height, :width]
    flakes = np.rint(255 * flakes)
    white = np.maximum(image, luminance(image).astype(np.float32) * np.float32(1.5) + np.float32(127.5))
    return image * np.float32(opacity) + white * np.float32(1 - opacity) + (flakes + flakes[::-1, ::-1])


@distortion(
    "frost",
    ((1.0, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
    "bright crystals over a darkened image",
)
def frost(image: Levels, strength: tuple[float, float], random: RowRandom) -> np.ndarray:
    """a x + b ice, with the published a and b.

    The reference takes crops of six photographs of frosted panes that are not free to be passed on. Here the ice is
    made: ridges of smooth noise on three scales, brought to the photographs' mean and standard deviation. So pixels
    cannot agree with the reference; frost is the one family of ImageNet-C whose figures do not compare with those
    published.

    Examples:
        The image counts a = 0.6 at severity 5, so that the contrast between two halves of it falls to that:

        >>> dark, bright = (np.full((1, 64, 64), gray, dtype=np.float32) for gray in (0.2, 0.4))
        >>> frosted = [frost(severity=5).change(image, {"seed": 0}) for image in (dark, bright)]
        >>> round(float((frosted[1] - frosted[0]).mean()), 2)  # 0.6 x 0.2
        0.12
    """
    ridges = np.zeros(image.shape[1:], dtype=np.float32)
    for size in (8.0, 3.0, 1.2):
        smooth = blurred(random.normal(image.shape[1:]), (size, size / 2), cv2.BORDER_REFLECT)
        ridges += np.float32(size**0.5) / (1 + np.float32(12 * size) * np.abs(smooth))
    mean, spread = (part.item() for part in cv2.meanStdDev(ridges))
    ice = ((ridges - np.float32(mean)) * np.float32(_ICE[1] / max(spread, 1e-6)) + np.float32(_ICE[0])).clip(0, 1)
    return image * np.float32(strength[0]) + ice * np.float32(255 * strength[1])


@distortion(
    "fog", ((1.5, 2.0), (2.0, 2.0), (2.5, 1.7), (2.5, 1.5), (3.0, 1.4)), "a bright cloud that takes contrast away"
)
def fog(image: Levels, strength: tuple[float, float], random: RowRandom) -> np.ndarray:
    """A cloud of the diamond-square kind is added, and the whole brought back to the image's greatest value.

    Examples:
        A cloud lies on the image, and takes contrast from it:

        >>> halves = np.repeat(np.array([0.0, 1.0], dtype=np.float32), 32 * 64).reshape(1, 64, 64)
        >>> foggy = fog(severity=1).change(halves, {"seed": 0})
        >>> round(float(foggy[0, 32:].mean() - foggy[0, :32].mean()), 1) < 1
        True
    """
    thick, decay = strength
    top = int(image.max()) / 255
    cloud = cloud_of(image, decay, random) * np.float32(255 * thick)
    return (image + cloud) * np.float32(top / (top + thick))


def cloud_of(image: np.ndarray, decay: float, random: RowRandom) -> Float32[np.ndarray, "h w"]:
    """Return a height map in 0..1 by diamonds and squares on the least power of two that holds an image.

    decay: how much less rough each finer grid is. Opposite edges of the whole map meet.
    """
    height, width = image.shape[1:]
    step = side = max(2, 1 << (max(height, width) - 1).bit_length())
    u = random.uniform(-1, 1, (side * side - 1,)).astype(np.float32)
    heights, filled, rough = np.zeros((side, side), dtype=np.float32), 0, _ROUGHEST
    while step >= 2:
        half, count = step // 2, (side // step) ** 2
        noise = np.float32(rough * rough) * u[filled : filled + 3 * count].reshape(3, side // step, side // step)
        corners = heights[::step, ::step]
        total = corners + np.roll(corners, -1, 0)
        middles = (total + np.roll(total, -1, 1)) / 4 + noise[0]
        heights[half::step, half::step] = middles
        across, down = corners + np.roll(corners, -1, 1), corners + np.roll(corners, -1, 0)
        heights[::step, half::step] = (middles + np.roll(middles, 1, 0) + across) / 4 + noise[1]
        heights[half::step, ::step] = (middles + np.roll(middles, 1, 1) + down) / 4 + noise[2]
        step, rough, filled = half, rough / decay, filled + 3 * count
    heights -= heights.min()
    return heights[:height, :width] / max(float(heights.max()), 1e-12)


# Drops on the lens: water, then mud.

_WATER = (175 / 255, 238 / 255, 238 / 255)
_MUD = (63 / 255, 42 / 255, 20 / 255)


@distortion(
    "spatter",
    (
        (0.65, 0.3, 4.0, 0.69, 0.6, False),
        (0.65, 0.3, 3.0, 0.68, 0.6, False),
        (0.65, 0.3, 2.0, 0.68, 0.5, False),
        (0.65, 0.3, 1.0, 0.65, 1.5, True),
        (0.67, 0.4, 1.0, 0.65, 1.5, True),
    ),
    "drops of water, then of mud, on the lens",
    extent="local",
)
def spatter(image: Levels, strength: tuple[float, float, float, float, float, bool], random: RowRandom) -> np.ndarray:
    """Blurred noise above a threshold: drops of water with a lit relief up to severity 3, mud from 4 on.

    Against the reference: within one level for 99% of values; the others lie where noise meets the threshold.

    Examples:
        >>> gray = np.full((1, 64, 64), 0.5, dtype=np.float32)
        >>> water, mud = (spatter(severity=severity).change(gray, {"seed": 0}) for severity in (1, 4))
        >>> float(water.min()) >= 0.5, float(mud.max()) <= 0.51  # water is lit, mud is dark
        (True, True)
    """
    mean, spread, sigma, least, amount, mud = strength
    liquid = blurred(random.normal(image.shape[1:]) * np.float32(spread) + np.float32(mean), sigma)
    if mud:
        cover = blurred((liquid > least).astype(np.float32), amount)
        return toward(image, _MUD, np.where(cover < 0.8, np.float32(0), cover))
    drops = np.where(liquid < least, np.float32(0), liquid * 255).clip(0, 255).astype(np.uint8)
    away = cv2.distanceTransform(255 - cv2.Canny(drops, 50, 150), cv2.DIST_L2, 5)
    level = cv2.equalizeHist(cv2.blur(np.minimum(away, 20), (3, 3)).astype(np.uint8))
    lit = cv2.blur(cv2.filter2D(level, -1, np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]], np.float32)), (3, 3))
    relief = drops * lit.astype(np.float32)
    return image + relief * (amount / max(1.0, float(relief.max())) * levels_of(_WATER, image))


def levels_of(color: tuple[float, float, float], image: np.ndarray) -> Float32[np.ndarray, "c 1 1"]:
    """Return a color in levels, for an image with as many channels."""
    return 255 * in_channels(color, len(image))[:, None, None]


def toward(image: np.ndarray, color: tuple[float, float, float], share: Float32[np.ndarray, "h w"]) -> np.ndarray:
    """Return an image moved by a share of the way to a color."""
    return image + (levels_of(color, image) - image) * share


# Tone and color.


@distortion("brightness", (0.1, 0.2, 0.3, 0.4, 0.5), "a greater value of every pixel")
def brightness(image: Levels, more: float, random: RowRandom) -> np.ndarray:
    """A constant added to the value of HSV (the greatest channel), hue and saturation kept; gray images: added.

    Examples:
        >>> gray = np.full((1, 2, 2), 0.4, dtype=np.float32)
        >>> round(float(brightness(severity=1).change(gray, {"seed": 0}).max()), 2)
        0.5
    """
    value, levels = image.max(axis=0), np.arange(256, dtype=np.float32)
    brighter = np.minimum(levels + np.float32(255 * more), 255)
    result = image * cv2.LUT(value, brighter / np.maximum(levels, 1))
    result[:, value == 0] = brighter[0]
    return result


@distortion("contrast", (0.4, 0.3, 0.2, 0.1, 0.05), "values nearer to their mean")
def contrast(image: Levels, share: float, random: RowRandom) -> np.ndarray:
    """Every channel nearer to its mean over the image.

    Examples:
        >>> halves = np.array([[[0.0, 1.0]]], dtype=np.float32)
        >>> [round(value, 2) for value in contrast(severity=4).change(halves, {"seed": 0}).ravel().tolist()]  # a tenth
        [0.45, 0.55]
    """
    levels = np.arange(256, dtype=np.float32) * np.float32(share)
    return per_plane(image, lambda plane: cv2.LUT(plane, levels + np.float32((1 - share) * cv2.mean(plane)[0])))


@distortion(
    "saturate",
    ((0.3, 0.0), (0.1, 0.0), (2.0, 0.0), (5.0, 0.1), (20.0, 0.2)),
    "fainter, then stronger colors",
    refuse=only_color("saturate"),
)
def saturate(image: Levels, strength: tuple[float, float], random: RowRandom) -> np.ndarray:
    """The saturation of HSV multiplied and added to; a gray pixel, whose hue is 0, turns red from severity 4 on.

    Examples:
        At severity 1 three tenths of the saturation are left, 0.3 x 0.5 below the greatest channel:

        >>> pink = np.array([1.0, 0.5, 0.5], dtype=np.float32).reshape(3, 1, 1)
        >>> [round(value, 2) for value in saturate(severity=1).change(pink, {"seed": 0}).ravel().tolist()]
        [1.0, 0.85, 0.85]
    """
    times, plus = strength
    value = image.max(axis=0).astype(np.float32)
    most = value - image.min(axis=0)
    wanted = (most / np.maximum(value, 1) * np.float32(times) + np.float32(plus)).clip(0, 1) * value
    result = value - (value - image) * (wanted / np.maximum(most, 1))
    result[1:] -= np.where(most == 0, wanted, 0)
    return result


# Places and pixels: an elastic transform, larger pixels, JPEG.


@distortion("elastic-transform", (12.5, 16.25, 21.25, 25.0, 30.0), "places shifted by a rough random field")
def elastic_transform(image: Levels, far: float, random: RowRandom) -> np.ndarray:
    """Every pixel read from a place a little away (bilinear), by a random field smoothed over 1% of each side.

    Examples:
        Pixels move, so that no new gray value goes beyond those of the image:

        >>> ramp = np.tile(np.linspace(0.2, 0.8, 64, dtype=np.float32), (1, 64, 1))
        >>> moved_ramp = elastic_transform(severity=5).change(ramp, {"seed": 0})
        >>> bool((moved_ramp != ramp).any()), round(float(np.ptp(moved_ramp)), 2) <= 0.6
        (True, True)
    """
    height, width = image.shape[1:]
    sides = [2 * int(3 * 0.01 * side + 0.5) + 1 for side in (width, height)]
    across, down = (
        cv2.GaussianBlur(
            random.uniform(-1, 1, (height, width)).astype(np.float32),
            sides,
            0.01 * width,
            sigmaY=0.01 * height,
            borderType=cv2.BORDER_REFLECT,
        )
        * np.float32(0.005 * height * far)
        for _ in range(2)
    )
    x, y = across + np.arange(width, dtype=np.float32), down + np.arange(height, dtype=np.float32)[:, None]
    return per_plane(image, lambda plane: cv2.remap(plane, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT))


@distortion("pixelate", (0.6, 0.5, 0.4, 0.3, 0.25), "fewer, larger pixels")
def pixelate(image: Levels, share: float, random: RowRandom) -> np.ndarray:
    """Larger pixels: means over boxes of whole pixels, then the nearest, by Pillow as in the reference.

    Examples:
        A quarter of the pixels along each axis is left at severity 5, 16 of 64:

        >>> ramp = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (1, 64, 1))
        >>> len(np.unique(pixelate(severity=5).change(ramp, {"seed": 0})))
        16
    """
    height, width = image.shape[1:]
    coarse = max(1, int(width * share)), max(1, int(height * share))

    def larger(plane: np.ndarray) -> np.ndarray:
        small = np.asarray(Image.fromarray(plane).resize(coarse, Image.Resampling.BOX))
        return cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)

    return per_plane(image, larger)


def _gray_or_rgb(shape: Shape) -> str:
    allowed = "JPEG takes gray and RGB images, not {} channels: set `channels` to gray or color"
    return "" if shape[0] in (1, 3) else allowed.format(shape[0])


@distortion("jpeg-compression", (25, 18, 15, 10, 7), "the traces of JPEG compression", refuse=_gray_or_rgb)
def jpeg_compression(image: Levels, quality: int, random: RowRandom) -> np.ndarray:
    """Saved as JPEG and read again.

    Examples:
        Fine detail of little contrast is lost:

        >>> checks = (0.5 + 0.02 * (-1) ** np.indices((8, 8)).sum(0, keepdims=True)).astype(np.float32)
        >>> round(float(checks.std()), 2), float(jpeg_compression(severity=5).change(checks, {"seed": 0}).std())
        (0.02, 0.0)
    """
    return through_jpeg(image, quality)


# Round things at drawn places: soft spots and bubbles.


def _draw_places(
    image: np.ndarray, count: int, low: float, high: float, random: RowRandom
) -> Iterator[tuple[float, float, float]]:
    """Draw places in px and radii, as shares of the shorter side from `low` to `high`."""
    height, width = image.shape[1:]
    for x, y, r in random.uniform(0, 1, (count, 3)).tolist():
        yield x * width, y * height, (low + (high - low) * r) * min(height, width)


def _near(canvas: np.ndarray, x: float, y: float, reach: float) -> tuple[np.ndarray, Float32[np.ndarray, "i j"]]:
    """Return a view of a canvas within so many px of a place, and the squared distance of its pixels' middles."""
    left, top = max(0, math.floor(x - reach)), max(0, math.floor(y - reach))
    part = canvas[top : max(top, math.ceil(y + reach)), left : max(left, math.ceil(x + reach))]
    down, across = (np.arange(count, dtype=np.float32) for count in part.shape)
    return part, (down + np.float32(top + 0.5 - y))[:, None] ** 2 + (across + np.float32(left + 0.5 - x)) ** 2


def spots(image: np.ndarray, count: int, low: float, high: float, random: RowRandom) -> Float32[np.ndarray, "h w"]:
    """Return spots, 1 in the middle, 0 from their radius on, smooth between ((1 - d^2)^2); added where they meet."""
    total = np.zeros(image.shape[1:], dtype=np.float32)
    for x, y, radius in _draw_places(image, count, low, high, random):
        part, squared = _near(total, x, y, radius)
        part += _spot(squared, radius)
    return total


def _spot(squared: Float32[np.ndarray, "h w"], radius: float) -> Float32[np.ndarray, "h w"]:
    return np.maximum(1 - squared / np.float32(max(radius, 1e-3) ** 2), 0) ** 2


def add_bubbles(image: np.ndarray, count: int, random: RowRandom) -> np.ndarray:
    """Return levels with so many bubbles of 2 to 8% of the shorter side.

    A rim is a fifth of the radius wide, 1.5 px at least; each bubble has a glint to its upper left.
    """
    rims, glints = (np.zeros(image.shape[1:], dtype=np.float32) for _ in range(2))
    for x, y, radius in _draw_places(image, count, 0.02, 0.08, random):
        wide = max(0.1 * radius, 0.75)
        part, squared = _near(rims, x, y, radius + wide)
        np.maximum(part, 1 - ((np.sqrt(squared) - np.float32(radius)) / np.float32(wide)) ** 2, out=part)
        small, aside = max(0.35 * radius, 1.0), 0.45 * radius
        part, squared = _near(glints, x - aside, y - aside, small)
        np.maximum(part, _spot(squared, small), out=part)
    return toward(toward(image, _PALE, np.float32(0.6) * rims), (1.0, 1.0, 1.0), glints)


# In front of the lens of an endoscope: glare, bubbles, smoke.

_PALE = (0.86, 0.88, 0.9)


@distortion("endoscopy-specular", (3, 6, 10, 16, 24), "glare of the lamp on wet mucosa", extent="local")
def endoscopy_specular(image: Levels, count: int, random: RowRandom) -> np.ndarray:
    """Saturated highlights: spots that go over into white.

    Examples:
        >>> gray = np.full((1, 64, 64), 0.5, dtype=np.float32)
        >>> glare = endoscopy_specular(severity=5).change(gray, {"seed": 0})
        >>> float(glare.max()), float(glare.min()) > 0.49  # saturated spots, nothing darker
        (1.0, True)
    """
    glare = spots(image, count, 0.015, 0.07, random)
    return toward(image, (1.0, 1.0, 1.0), np.minimum(glare * np.float32(1.6), 1))


@distortion("endoscopy-bubbles", (2, 4, 8, 14, 22), "bubbles of fluid on the mucosa", extent="local", origin="patient")
def endoscopy_bubbles(image: Levels, count: int, random: RowRandom) -> np.ndarray:
    """Bubbles with a bright rim and a white glint.

    Examples:
        >>> gray = np.full((1, 128, 128), 0.5, dtype=np.float32)
        >>> bubbles = [endoscopy_bubbles(severity=severity).change(gray, {"seed": 0}) for severity in (1, 5)]
        >>> [int((image > 0.51).sum()) for image in bubbles] == sorted(int((image > 0.51).sum()) for image in bubbles)
        True
    """
    return add_bubbles(image, count, random)


@distortion("endoscopy-smoke", (0.2, 0.35, 0.5, 0.65, 0.8), "smoke of the diathermy")
def endoscopy_smoke(image: Levels, strength: float, random: RowRandom) -> np.ndarray:
    """A pale veil of uneven thickness: x (1 - t) + pale t, t from half of the strength to all of it.

    The thickness is the cloud of `fog` at its slowest decay.

    Examples:
        At severity 5 the smoke is 0.4 to 0.8 thick, so that a black image becomes at least 0.4 x 0.86:

        >>> black = np.zeros((3, 64, 64), dtype=np.float32)
        >>> smoky = endoscopy_smoke(severity=5).change(black, {"seed": 0})
        >>> round(float(smoky[0].min()), 2), round(float(smoky[0].max()), 2)  # red
        (0.34, 0.69)
    """
    return toward(image, _PALE, (cloud_of(image, 2.0, random) + 1) * np.float32(0.5 * strength))


# Faults of a fundus camera, after the model of Shen et al. 2020 (arXiv 2005.12594), in its three parts.

_GRAIN = 0.01


@distortion("retinal-defocus", (0.004, 0.008, 0.012, 0.018, 0.026), "a fundus camera out of focus, with its noise")
def retinal_defocus(image: Levels, sigma: float, random: RowRandom) -> np.ndarray:
    """A Gaussian blur of a share of the shorter side, then a little Gaussian noise: x * G + n.

    Examples:
        A point is blurred by 0.026 of the side, 2.6 px of 100: 1 / (2 pi 2.6^2) is left of it, with noise of 0.01.

        >>> point = np.zeros((1, 100, 100), dtype=np.float32)
        >>> point[0, 50, 50] = 1
        >>> abs(float(retinal_defocus(severity=5).change(point, {"seed": 0})[0, 50, 50]) - 0.024) < 0.04
        True
    """
    wide, noise = sigma * min(image.shape[1:]), random.normal(image.shape) * np.float32(255 * _GRAIN)
    return per_plane(image, lambda plane: blurred(plane, wide, cv2.BORDER_REFLECT)) + noise


@distortion("retinal-illumination", (0.15, 0.3, 0.45, 0.6, 0.8), "part of the fundus lit too much or too little")
def retinal_illumination(image: Levels, strength: float, random: RowRandom) -> np.ndarray:
    """A round, soft region lit too much or too little, each as likely: x (1 + a J), J from 1 in its middle to 0.

    Examples:
        At most 15% brighter or darker at severity 1:

        >>> gray = np.full((1, 64, 64), 0.5, dtype=np.float32)
        >>> lit = retinal_illumination(severity=1).change(gray, {"seed": 0}) / gray
        >>> round(float(abs(lit - 1).max()), 2)
        0.15
    """
    way = strength if random.uniform(0, 1, (1,))[0] < 0.5 else -strength
    return image * (1 + np.float32(way) * spots(image, 1, 0.35, 0.65, random))


@distortion(
    "retinal-artifacts",
    ((3, 0.15), (5, 0.2), (8, 0.3), (12, 0.35), (18, 0.4)),
    "bright, soft spots of dust on the lens",
    extent="local",
)
def retinal_artifacts(image: Levels, strength: tuple[int, float], random: RowRandom) -> np.ndarray:
    """Bright, soft spots of dust near the lens, added: x + sum of o_k G_k. strength: number and brightness.

    Examples:
        >>> black = np.zeros((1, 128, 128), dtype=np.float32)
        >>> dusty = retinal_artifacts(severity=1).change(black, {"seed": 0})  # three spots of 0.15
        >>> round(float(dusty.max()), 2), float(np.median(dusty))
        (0.15, 0.0)
    """
    count, bright = strength
    return image + spots(image, count, 0.015, 0.06, random) * np.float32(255 * bright)


# In front of a dermatoscope: hairs, its scale, its gel.

_SHORTEST = 25


def add_mark(image: Levels, mark: Mark, parameters: dict[str, Tensor]) -> np.ndarray:
    """Return levels with a confounder on them."""
    return 255 * mark.apply(torch.as_tensor(image)[None] / 255, parameters)[0].numpy()


@distortion(
    "dermoscopy-hair", (4, 8, 15, 30, 60), "dark hairs over the lesion", extent="local", origin="patient", version=3
)
def dermoscopy_hair(image: Levels, count: int, random: RowRandom) -> np.ndarray:
    """The confounder `hair`, with 4 to 60 of them.

    Examples:
        >>> white = np.ones((3, 64, 64), dtype=np.float32)
        >>> covered = [float((dermoscopy_hair(severity=s).change(white, {"seed": 0}) < 0.9).mean()) for s in (1, 3, 5)]
        >>> covered == sorted(set(covered))  # 4, 15 and 60 hairs
        True
    """
    seed = torch.tensor([int(random.integers(0, 2**31 - 1, (1,))[0])])
    return add_mark(image, Hair(opacity=0.85, count=count, width=0.009, length=0.6), {"seed": seed})


def _too_low(shape: Shape) -> str:
    needed = f"distortion 'dermoscopy-ruler' needs images of at least {_SHORTEST} px in height, these have {shape[1]}"
    return f"{needed}: leave it out of the families" if shape[1] < _SHORTEST else ""


@distortion(
    "dermoscopy-ruler",
    (0.3, 0.5, 0.7, 0.85, 1.0),
    "the black scale of a dermatoscope",
    extent="local",
    refuse=_too_low,
    version=3,
)
def dermoscopy_ruler(image: Levels, opacity: float, random: RowRandom) -> np.ndarray:
    """The confounder `ruler` in black at the right edge, fainter to full.

    Examples:
        >>> white = np.ones((1, 64, 64), dtype=np.float32)
        >>> scale = dermoscopy_ruler(severity=5).change(white, {"seed": 0})[0]
        >>> bool((scale[:, :50] == 1).all()), bool((scale[:, 50:] < 0.5).any())  # in black at the right edge
        (True, True)
    """
    scale = Ruler(opacity=opacity, side="right", length=0.8, marks=20, size=0.12, jitter=0.05, ink="black")
    height, reach = image.shape[1], 0.05 * min(image.shape[1:])
    middle = 0.5 * height + float(random.uniform(-reach, reach, (1,))[0])
    return add_mark(image, scale, {"along": torch.tensor([middle], dtype=torch.float64)})


@distortion(
    "dermoscopy-gel",
    ((3, 0.1), (6, 0.15), (10, 0.2), (16, 0.3), (24, 0.4)),
    "bubbles and glare in the contact gel",
    extent="local",
)
def dermoscopy_gel(image: Levels, strength: tuple[int, float], random: RowRandom) -> np.ndarray:
    """Bubbles in the gel and patches of glare where it is thick. strength: number of bubbles, share of glare.

    Examples:
        >>> dark = np.full((1, 128, 128), 0.2, dtype=np.float32)
        >>> wet = dermoscopy_gel(severity=5).change(dark, {"seed": 0})
        >>> float(wet.min()) > 0.19, float(wet.max()) > 0.5  # bubbles and glare are bright
        (True, True)
    """
    count, wet = strength
    glare = np.minimum(spots(image, 4, 0.15, 0.4, random), 1) * np.float32(wet)
    return add_bubbles(toward(image, (1.0, 1.0, 1.0), glare), count, random)


# Faults of an X-ray detector: few photons, a grid, too short an exposure.

_FULL = 5e5  # photons of a full exposure
_PERIOD = 4.7  # px of the aliased lines at 224 px


def _photon_noise(image: Levels, photons: float, random: RowRandom) -> np.ndarray:
    """Return levels after the noise of as many photons, without a cut to whole levels."""
    image_01 = image.astype(np.float32) / 255
    return 255 * PoissonNoise(photons=photons, levels=0).change(image_01, {"seed": random.seed})


@distortion("xray-noise", (4e5, 2e5, 1e5, 4e4, 1.5e4), "fewer photons at the detector")
def xray_noise(image: Levels, photons: float, random: RowRandom) -> np.ndarray:
    """The confounder `poisson-noise` (a scan's counts), with 4e5 down to 1.5e4 photons, and no cut to whole levels.

    Examples:
        Fewer photons, more noise: 4e5 at severity 1, a tenth at severity 4.

        >>> gray = np.full((1, 100, 100), 0.5, dtype=np.float32)
        >>> noise = [float(xray_noise(severity=severity).change(gray, {"seed": 0}).std()) for severity in (1, 4)]
        >>> round(noise[1] / noise[0], 1)  # sqrt(10)
        3.2
    """
    return _photon_noise(image, photons, random)


@distortion("xray-grid", (0.02, 0.04, 0.07, 0.11, 0.16), "lines of an anti-scatter grid")
def xray_grid(image: Levels, strength: float, random: RowRandom) -> np.ndarray:
    """Lines of a stationary anti-scatter grid: pixels times 1 + a cos, upright.

    They are 4.7 px apart at 224 px, as far in proportion at other sizes, 2.5 px at the least.

    Examples:
        >>> gray = np.full((1, 224, 224), 0.5, dtype=np.float32)
        >>> lines = xray_grid(severity=5).change(gray, {"seed": 0}) / gray  # 1 + 0.16 cos, upright
        >>> round(float(lines.max()), 2), bool((lines == lines[:, :1]).all())
        (1.16, True)
    """
    turns = np.arange(image.shape[2], dtype=np.float64) / max(2.5, _PERIOD * min(image.shape[1:]) / 224)
    lines = 1 + strength * np.cos(2 * math.pi * (turns + float(random.uniform(0, 1, (1,))[0])))
    return image * lines.astype(np.float32)


@distortion("xray-under-exposure", (0.8, 0.65, 0.5, 0.35, 0.2), "too short an exposure: darker, and noisier with it")
def xray_under_exposure(image: Levels, share: float, random: RowRandom) -> np.ndarray:
    """All values times the share of a full exposure, after the noise of as few photons.

    The factor is that of MedMNIST-C's `brightness_down`: on average over the noise it agrees within two levels of 8
    bits, where the noise is cut neither at black nor at white.

    Examples:
        >>> gray = np.full((1, 100, 100), 0.5, dtype=np.float32)
        >>> dim = xray_under_exposure(severity=5).change(gray, {"seed": 0})
        >>> round(float(dim.mean()), 2)  # 0.2 of a full exposure
        0.1
    """
    return _photon_noise(image, _FULL * share, random).clip(0, 255) * share
