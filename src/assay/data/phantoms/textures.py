"""The natural phantom: dead leaves, power-law noise and fractals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor

from assay.core.registry import component
from assay.core.seeds import row_seed
from assay.core.types import Factor
from assay.data.dataset import Rendered
from assay.data.phantoms.base import DifficultyEffect, DrawnPhantom, PhantomDesign, PhantomRows, drawn_by_assay
from assay.data.phantoms.drawing import (
    Draw,
    Grid,
    Numbers,
    Plane,
    Windows,
    direction,
    lattice_bits,
    spline_zoom,
    spread,
    take,
    white_noise,
)

# Kinds of the natural-like phantom: which law draws each.

Family = Literal["leaves", "noise", "fractal"]

MOST = 60
"""How many kinds there are at most: twenty of each family."""

EXPONENTS = (2.0, 2.7, 3.3, 4.0)
"""Of the density of leaves' radii, r^-a: the higher, the more small leaves."""
FIGURES = ("disc", "ellipse", "square", "triangle", "bar")
SLOPES = (1.2, 1.8, 2.4, 3.0)
"""Of the power spectrum of noise, f^-a: the higher, the smoother."""
FORMS = ("plain", "streaks", "folds", "bands", "patches")


@dataclass(frozen=True, slots=True)
class TextureLaw:
    """The generator of a kind.

    Attributes:
        number: Its place in the family.
        form: Of leaves and noise; empty for a fractal.
        exponent: As `form`.
    """

    family: Family
    number: int
    form: str = ""
    exponent: float = 0.0

    @property
    def name(self) -> str:
        """Such as `leaves-disc-2.7`, `noise-folds-1.8` or `fractal-07`."""
        return f"{self.family}-{self.form}-{self.exponent:.1f}" if self.form else f"{self.family}-{self.number:02d}"


def _law(kind: int) -> TextureLaw:
    """Families take turns; within one, five forms and four exponents meet in all twenty ways."""
    number = kind // 3
    if kind % 3 == 2:
        return TextureLaw("fractal", number)
    if kind % 3 == 1:
        return TextureLaw("noise", number, FORMS[number % 5], SLOPES[number % 4])
    return TextureLaw("leaves", number, FIGURES[number % 5], EXPONENTS[number % 4])


LAWS = tuple(_law(kind) for kind in range(MOST))
"""All kinds in their order."""


def natural_factors(classes: int) -> tuple[Factor, ...]:
    """The phantom's factors with so many kinds, the first ones of `LAWS`."""
    levels = tuple(law.name for law in LAWS[:classes])
    return (
        Factor(
            "kind",
            "categorical",
            "core",
            levels=levels,
            high=levels[classes // 2 :],
            description="the law that draws it",
        ),
        Factor("scale", "continuous", range=(0.7, 1.4), description="how near the scene is seen"),
        Factor("contrast", "continuous", range=(0.4, 1.0), description="spread of gray levels"),
        Factor("illumination", "continuous", range=(0.0, 1.0), description="how uneven the light is"),
    )


# Random fields whose power falls as f^-a, as that of natural images does (Field 1987, a near 2), and forms of them.

_OCTAVES = tuple(2**i for i in range(1, 9))
_STRETCH = 4
_COARSE = 3.0  # cycles an image below which power falls at scale 1: no picture is one slope from edge to edge


def draw_noise(law: TextureLaw, scale: Float[np.ndarray, "n"], nuisance: Int[np.ndarray, "n"], grid: Grid) -> Plane:
    """Pictures of one law, gray levels in 0..1. Every other one is turned by a quarter."""
    field = power_field(law.exponent, scale, nuisance, grid, _STRETCH if law.form == "streaks" else 1)
    turned = torch.as_tensor(Draw(nuisance)("noise-turn", 0, 1, 1, 1) < 0.5, device=grid.device)
    picture = _FORMS[law.form](torch.where(turned, field.transpose(1, 2), field))
    return picture.mul_(0.22).add_(0.5).clamp_(0, 1)


def power_field(
    slope: float, scale: Float[np.ndarray, "n"], nuisance: Int[np.ndarray, "n"], grid: Grid, stretch: int = 1
) -> Plane:
    """Near-Gaussian fields of mean 0 whose power falls as f^-slope above `_COARSE` / scale cycles an image.

    A sum of octaves of smoothed white noise, each with the power that a band of width f has at that slope. Variance is
    1 over all octaves; those finer than a pixel are missing. stretch: how much longer structures are along x.
    """
    cells = np.array(_OCTAVES, dtype=np.float64)
    low = _COARSE / scale[:, None]
    power = cells ** (2 - slope) * (cells * cells / (cells * cells + low * low)) ** 2
    weight = np.sqrt(power / power.sum(axis=1, keepdims=True)) / _GAIN
    total = torch.zeros(len(nuisance), grid.size, grid.size, device=grid.device)
    for i, count in enumerate(_OCTAVES):
        if count <= grid.size:
            wide = max(1, count // stretch) + 2
            lattice = white_noise(nuisance, f"octave-{count}", count + 2, wide, grid.device)
            total.add_(spline_zoom(lattice, grid.size).mul_(grid.tensor(weight[:, i])))
    return total


_GAIN = 0.55
"""Standard deviation that a quadratic spline leaves of unit noise on its lattice, along both axes: (11 / 20)."""


def _periodic_bands(field: Tensor) -> Tensor:
    turns = field * 0.9
    return (turns - torch.floor(turns) - 0.5).abs_().mul_(7).sub_(1.75)


_FORMS: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {
        "plain": lambda field: field,
        "streaks": lambda field: field,
        "folds": lambda field: field.abs().mul_(-2.2).add_(1.7),
        "bands": _periodic_bands,
        "patches": lambda field: (field * 4).clamp_(-1.6, 1.6),
    }
)


# Dead leaves: opaque shapes of power-law radii that fall on each other, as objects in the world hide each other.
#
# Lee, Mumford and Huang 2001, "Occlusion models for natural images: a statistical study of a scale-invariant dead
# leaves model"; Ruderman 1997, "Origins of scaling in natural images". With r^-3 all sizes cover alike and the picture
# has no scale; other exponents favor the large or the small.

SMALLEST, LARGEST = 0.024, 0.34
"""Radii of the circles of equal area, in sides of the image at scale 1."""
_COVER = 3.0  # area of all leaves over that of the scene: a share of exp(-3) shows the ground
_BANDS = 8  # of radii, each filled evenly, so that pictures of a kind hold as many large leaves as small
_HALF = 0.5 / 0.7 + 0.02  # half the side of the scene, seen from furthest away

Outline = Callable[[Tensor, Tensor], Bool[Tensor, "m w w"]]


OUTLINES: Mapping[str, tuple[Outline, float]] = MappingProxyType(
    {
        "disc": (lambda u, v: u * u + v * v < 1, 1.0),
        "ellipse": (lambda u, v: u * u * 0.5 + v * v * 2 < 1, 1.415),
        "square": (lambda u, v: torch.maximum(u.abs(), v.abs()) < 0.886, 1.254),  # sqrt(pi) / 2
        "triangle": (lambda u, v: torch.maximum(-v, u.abs() * 0.8660254 + v * 0.5) < 0.7776, 1.556),  # its inradius
        "bar": (lambda u, v: torch.maximum(u.abs() * 0.5, v.abs() * 2) < 0.886, 1.827),
    }
)
"""Test of a point in units of the radius of equal area, and the outline's reach in these units."""


def draw_leaves(law: TextureLaw, scale: Float[np.ndarray, "n"], nuisance: Int[np.ndarray, "n"], grid: Grid) -> Plane:
    """Pictures of one law, gray levels uniform in 0..1 from leaf to leaf. grid: its field is 1."""
    leaves = leaves_in_view(law, scale, nuisance)
    outline, reach = OUTLINES[law.form]
    ground = (Draw(nuisance)("leaf-ground", 0, 1, 1) * 65535).astype(np.int32)
    canvas = torch.as_tensor(ground, device=grid.device).repeat(1, grid.size**2)
    width = np.ceil(np.log2(leaves.radius) * 3).astype(np.int64)  # three window widths an octave
    for step in np.unique(width):
        _cover_leaves(canvas, leaves.take(width == step), outline, reach * float(2.0 ** (step / 3)), grid)
    return (canvas & 0xFFFF).to(torch.float32).mul_(1 / 65535).view(-1, grid.size, grid.size)


def leaves_in_view(law: TextureLaw, scale: Float[np.ndarray, "n"], nuisance: Int[np.ndarray, "n"]) -> Numbers:
    """The leaves of these images that lie in view, at this scale, one by one, in sides of the image from its middle.

    row: the image. code: order and gray, int32.
    """
    reach = OUTLINES[law.form][1]
    low, high = _radii(law.exponent, reach)
    numbers = np.moveaxis(Draw(nuisance)("leaf", 0, 1, len(low), 6), 2, 0)
    near = scale[:, None]
    radius = (low + (high - low) * numbers[0]) * near
    x, y = ((2 * each - 1) * (_HALF + high * reach) * near for each in numbers[1:3])
    order, gray = (numbers[3] * 32766).astype(np.int32) + 1, (numbers[4] * 65535).astype(np.int32)
    edge = 0.5 + radius * reach
    at = np.nonzero((np.abs(x) < edge) & (np.abs(y) < edge))
    leaves = Numbers(x=x, y=y, radius=radius, turn=numbers[5], code=(order << 16) | gray)
    return leaves.take(at).but(row=at[0])


@lru_cache(maxsize=32)
def _radii(exponent: float, reach: float) -> tuple[Float[np.ndarray, "m"], Float[np.ndarray, "m"]]:
    """The lowest and highest radius that each leaf may have; the counts follow from the area that each band covers."""
    edges = SMALLEST * (LARGEST / SMALLEST) ** (np.arange(_BANDS + 1) / _BANDS)
    middle = np.sqrt(edges[1:] * edges[:-1])
    share = middle ** (3 - exponent)  # of the area: r^2 r^-a, over bands of equal ratio
    room = (2 * (_HALF + edges[1:] * reach)) ** 2
    counts = np.rint(_COVER * share / share.sum() * room / (np.pi * middle**2)).astype(np.int64)
    return np.repeat(edges[:-1], counts), np.repeat(edges[1:], counts)


def _cover_leaves(canvas: Int[Tensor, "n pixels"], leaves: Numbers, outline: Outline, reach: float, grid: Grid) -> None:
    tensor, (cosine, sine) = grid.tensor, direction(leaves.turn)
    windows = Windows.around(leaves.row, leaves.x, leaves.y, reach, grid)
    along, across = tensor(cosine / leaves.radius), tensor(sine / leaves.radius)
    x, y = windows.x - tensor(leaves.x), windows.y - tensor(leaves.y)
    inside = outline(x * along + y * across, y * along - x * across)
    windows.draw(canvas, inside * torch.as_tensor(leaves.code, device=grid.device)[:, None, None])


def ink(draw: Draw) -> Float[np.ndarray, "n"]:
    """A gray level far from the middle, for drawing on a ground of middle gray."""
    side, depth = draw("ink-side"), draw("ink", 0.3, 0.48)
    return 0.5 + np.where(side < 0.5, -depth, depth)


# Fractals of iterated function systems: one class is one system, whose pictures vary its parameters and the view.
#
# Kataoka et al. 2020, "Pre-training without natural images" (FractalDB): a system is a few affine maps, drawn at random
# and kept when its attractor fills enough of a picture; points are drawn by the chaos game (Barnsley 1988).

MAPS = 4
"""Maps of a system."""
FILLED = 0.25
"""The least share of a 32 x 32 picture that an attractor must reach."""

_PLAYERS = 256  # points that play at once, all of which start on the attractor
_JITTER = 0.12  # how far an image's parameters may lie from those of its class
_CONTRACTION = 0.85 / (1 + _JITTER)


@lru_cache(maxsize=256)
def system(number: int) -> tuple[Float[np.ndarray, "maps 6"], Float[np.ndarray, "maps"]]:
    """The maps (a, b, c, d, e, f: x' = a x + b y + e, y' = c x + d y + f) and probabilities of a class.

    The first of a stream of systems with uniform coefficients that contract and fill enough of a picture. Map k is
    chosen in proportion to the area to which it shrinks one.
    """
    stream = np.array([number], dtype=np.int64)
    for attempt in range(10_000):
        maps = spread(stream, f"ifs-{attempt}", -1, 1, 6 * MAPS).reshape(MAPS, 6)
        if not all(_stretch(coefficients) <= _CONTRACTION for coefficients in maps):
            maps[:, :4] *= (_CONTRACTION / np.array([max(_CONTRACTION, _stretch(each)) for each in maps]))[:, None]
        area = np.abs(maps[:, 0] * maps[:, 3] - maps[:, 1] * maps[:, 2])
        chance = np.maximum(area, 0.02)
        chance /= chance.sum()
        if _filled_share(maps, chance) >= FILLED:
            return maps, chance
    raise RuntimeError(f"no system fills a picture for class {number}")


def draw_fractal(number: int, scale: Float[np.ndarray, "n"], nuisance: Int[np.ndarray, "n"], grid: Grid) -> Plane:
    """Draw the share of each pixel that the attractor of class `number` covers, 0..1; seeds vary and place it."""
    (maps, chance), draw = system(number), Draw(nuisance, "ifs-")
    jittered = maps * draw("jitter", 1 - _JITTER, 1 + _JITTER, MAPS, 6)
    x, y = _play(jittered, chance, nuisance, max(4, grid.size**2 // _PLAYERS), grid.device)
    cosine, sine = (grid.flat(part) for part in draw.heading("turn", 1))
    mirrored = grid.flat(np.where(draw("mirror", 0, 1, 1) < 0.5, -1.0, 1.0))
    return _density((x * cosine + y * sine) * mirrored, y * cosine - x * sine, scale, nuisance, grid)


def _play(
    maps: Float[np.ndarray, "n maps 6"],
    chance: Float[np.ndarray, "maps"],
    nuisance: Int[np.ndarray, "n"],
    steps: int,
    device: str,
) -> tuple[Float[Tensor, "n points"], Float[Tensor, "n points"]]:
    """Points of each row's attractor; every player starts at the fixed point of the first map."""
    n, players = len(nuisance), _PLAYERS
    keys = torch.as_tensor(row_seed(0, "ifs-choice", nuisance).astype(np.uint32).view(np.int32), device=device)
    bits = (lattice_bits(keys, players * steps) >> 8) & 0xFFFF
    choice = torch.zeros_like(bits)
    for edge in np.rint(np.cumsum(chance)[:-1] * 65536).astype(int).tolist():
        choice += bits >= edge
    choice += torch.arange(n, device=device, dtype=choice.dtype)[:, None] * MAPS
    coefficients = torch.as_tensor(maps.reshape(-1, 6).astype(np.float32), device=device)
    chosen = coefficients.index_select(0, choice.view(-1)).view(n, steps, players, 6)
    starts = (start.astype(np.float32)[:, None] for start in _fixed_point(maps[:, 0]))
    x, y = (torch.as_tensor(start, device=device).expand(n, players) for start in starts)
    points: list[tuple[Tensor, Tensor]] = []
    for step in range(steps):
        a, b, c, d, e, f = chosen[:, step].unbind(-1)
        x, y = a * x + b * y + e, c * x + d * y + f
        points.append((x, y))
    return torch.cat([point[0] for point in points], dim=1), torch.cat([point[1] for point in points], dim=1)


def _density(
    x: Float[Tensor, "n points"],
    y: Float[Tensor, "n points"],
    scale: Float[np.ndarray, "n"],
    nuisance: Int[np.ndarray, "n"],
    grid: Grid,
) -> Plane:
    """Points counted by pixel, the attractor's box filling 0.85 of the image at scale 1."""
    size, flat = grid.size, grid.flat
    low_x, high_x, low_y, high_y = (each.unsqueeze(1) for each in (x.amin(1), x.amax(1), y.amin(1), y.amax(1)))
    zoom = flat(0.85 * scale[:, None]) * size / torch.maximum(high_x - low_x, high_y - low_y)
    shift = Draw(nuisance)("ifs-shift", -0.08, 0.08, 2, 1) * size + size / 2
    at_x = torch.floor((x - (low_x + high_x) * 0.5) * zoom + flat(shift[:, 0])).to(torch.int64)
    at_y = torch.floor((y - (low_y + high_y) * 0.5) * zoom + flat(shift[:, 1])).to(torch.int64)
    inside = (at_x >= 0) & (at_x < size) & (at_y >= 0) & (at_y < size)
    place = torch.where(inside, at_y * size + at_x, size * size)  # the last place takes all points outside
    counts = torch.zeros(len(x), size * size + 1, device=grid.device)
    counts.scatter_add_(1, place, torch.ones_like(x))
    counts = counts[:, :-1].view(-1, size, size)
    return counts / (counts + 0.5)


def _fixed_point(maps: Float[np.ndarray, "n 6"]) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"]]:
    a, b, c, d, e, f = maps.T
    determinant = (1 - a) * (1 - d) - b * c
    return ((1 - d) * e + b * f) / determinant, (c * e + (1 - a) * f) / determinant


def _stretch(coefficients: Float[np.ndarray, "6"]) -> float:
    """The larger singular value of a map's matrix."""
    a, b, c, d = coefficients[:4]
    squares, area = a * a + b * b + c * c + d * d, a * d - b * c
    return float(np.sqrt((squares + np.sqrt(max(0.0, squares * squares - 4 * area * area))) / 2))


def _filled_share(maps: Float[np.ndarray, "maps 6"], chance: Float[np.ndarray, "maps"]) -> float:
    """The share of a 32 x 32 picture that 4,096 points of the attractor reach."""
    x, y = _play(maps[None], chance, np.zeros(1, dtype=np.int64), 16, "cpu")
    density = _density(x, y, np.ones(1), np.zeros(1, dtype=np.int64), Grid(32, 1.0, "cpu"))
    return float((density > 0).sum()) / 1024


# The natural-like phantom: gray pictures of named laws that have the statistics of natural images and no anatomy.


@component(
    "phantom",
    "natural",
    summary="natural-like pictures, 32 to 256 px, of up to 60 kinds: dead leaves, power-law noise, fractals",
)
class NaturalPhantom(DrawnPhantom[PhantomRows]):
    """Gray pictures, 32 to 256 px, of `classes` kinds: dead leaves, noise of power-law spectra, fractals.

    classes: how many kinds; families take turns, so that every number holds all three from 3 on.

    There is no lesion: masks are empty. Place, turn and arrangement follow from the nuisance seed. Less difficulty of
    the kind fades it toward the picture that the first kind shows for the same seed.

    Examples:
        At difficulty 0 of the kind all kinds look the same, for the same seed:

        >>> phantom = NaturalPhantom()
        >>> values = {factor.name: phantom.quantile(factor.name, np.full(2, 0.6)) for factor in phantom.factors}
        >>> values["kind"] = np.array([0, 1])
        >>> images = {d: phantom.render(values, np.array([7, 7]), 64, {"kind": d}).images for d in (0.0, 1.0)}
        >>> [bool((images[difficulty][0] == images[difficulty][1]).all()) for difficulty in (0.0, 1.0)]
        [True, False]
    """

    def __init__(
        self,
        *,
        classes: Annotated[
            int, Field(ge=2, le=MOST, description="kinds: dead leaves, noise and fractals in turn")
        ] = MOST,
    ) -> None:
        self.design = PhantomDesign(
            card=drawn_by_assay(
                "natural-like phantom",
                "dead leaves, noise of power-law spectra and fractals, as classes of a source to pretrain on",
                "spectra and occlusion are those of natural images; there are no objects, no color, no depth",
                "a class is a law and not a category that anyone would name",
            ),
            factors=natural_factors(classes),
            sizes=(32, 256),
            shown={
                "scale": DifficultyEffect(1.0, 0.7, 1.4),
                "contrast": DifficultyEffect(0.7, 0.0, 1.6),
                "illumination": DifficultyEffect(0.0, 0.0, 3.0),
            },
            order=lambda rows: rows.values["kind"],
        )

    def plan(self, rows: PhantomRows, grid: Grid) -> PhantomRows:
        """Plan nothing: a law draws its pictures at once."""
        return rows

    def draw(self, plan: PhantomRows, grid: Grid) -> Rendered:
        """Draw pictures and empty masks."""
        kinds, fade = plan.values["kind"], plan.difficulty["kind"]
        pictures = torch.empty(len(kinds), grid.size, grid.size, device=grid.device)
        for kind in np.unique(kinds):
            rows = np.flatnonzero(kinds == kind)
            here = take(plan, rows)
            picture = _scene(LAWS[int(kind)], here["scale"], here.nuisance, grid)
            if fade != 1:
                first = _scene(LAWS[0], here["scale"], here.nuisance, grid)
                picture = first + (picture - first) * fade
            pictures[torch.as_tensor(rows, device=grid.device)] = _apply_lens(picture, here, grid)
        images = pictures[:, None]
        return Rendered(images, torch.zeros(images.shape, dtype=torch.bool, device=grid.device))


def _scene(law: TextureLaw, scale: Float[np.ndarray, "n"], nuisance: Int[np.ndarray, "n"], grid: Grid) -> Plane:
    """Pictures of one law, 0..1, in even light."""
    if law.family == "leaves":
        return draw_leaves(law, scale, nuisance, grid)
    if law.family == "noise":
        return draw_noise(law, scale, nuisance, grid)
    covered = draw_fractal(law.number, scale, nuisance, grid)
    ground = power_field(2.0, scale, nuisance, grid).mul_(0.1).add_(0.5)
    return ground.add_((grid.tensor(ink(Draw(nuisance))) - ground) * covered).clamp_(0, 1)


def _apply_lens(picture: Plane, rows: PhantomRows, grid: Grid) -> Plane:
    """Show the picture through a lens that softens a little, in light that falls off toward one side."""
    (x, y), draw = grid.axes(), rows.draw()
    side = grid.tensor(draw("lens", 0.05, 0.2))
    blurred = _soften(_soften(picture, side, 1), side, 2)
    across, down = (grid.tensor(part * rows["illumination"]) for part in draw.heading("light"))
    gray = blurred.sub_(0.5).mul_(grid.tensor(rows["contrast"])).add_(0.5)
    return gray.mul_((x * across + y * down).add_(1)).clamp_(0, 1)


def _soften(picture: Float[Tensor, "n a b"], side: Float[Tensor, "n 1 1"], axis: int) -> Float[Tensor, "n a b"]:
    """The mean of each pixel and its two neighbors on this axis with weights 1 - 2 side and side; edges repeat."""
    last = picture.shape[axis] - 1
    before = torch.cat([picture.narrow(axis, 0, 1), picture.narrow(axis, 0, last)], dim=axis)
    after = torch.cat([picture.narrow(axis, 1, last), picture.narrow(axis, last, 1)], dim=axis)
    return before.add_(after).mul_(side).add_(picture * (1 - 2 * side))
