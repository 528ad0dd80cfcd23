"""The endoscopy phantom: color frames of a bowel with or without polyps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from assay.core.registry import component
from assay.core.traits import DataTraits
from assay.core.types import Factor
from assay.data.dataset import Rendered
from assay.data.phantoms.base import DrawnPhantom, Levels, PhantomDesign, PhantomRows, Shown, drawn_by_assay
from assay.data.phantoms.drawing import Capsules, Grid, Windows, column, direction, draw_capsules, ramp
from assay.data.phantoms.endoscopy_anatomy import (
    Polyps,
    Surface,
    Tube,
    around,
    draw_polyps,
    polyps,
    tube,
    wall,
)
from assay.data.phantoms.noise import lattice, spline_zoom, spread, uniforms, white_noise, zoom_gain

FACTORS = (
    Factor("lesion", "categorical", "core", levels=("absent", "present"), high=("present",), description="a polyp"),
    Factor("size", "continuous", range=(0.14, 0.62), description="diameter of the circle of equal area, image side 1"),
    Factor("shape", "continuous", range=(0.0, 1.0), description="0 flat over 0.5 sessile to 1 on a stalk"),
    Factor("contrast", "continuous", range=(0.0, 1.0), description="color against the mucosa, 0 none"),
    Factor("texture", "continuous", range=(0.0, 1.0), description="surface, 0 smooth to 1 lobulated"),
    Factor("position_x", "continuous", range=(-0.2, 0.2), description="to the right of the middle, image side 1"),
    Factor("position_y", "continuous", range=(-0.2, 0.2), description="below the middle, image side 1"),
    Factor("count", "ordinal", levels=("one", "two", "three"), description="polyps where there are any"),
    Factor("hue", "continuous", range=(-1.0, 1.0), description="mucosa, -1 pale to 1 red"),
    Factor("illumination", "continuous", range=(-1.0, 1.0), description="-1 dark to 1 bright"),
    Factor("folds", "continuous", range=(0.0, 1.0), description="depth of the folds, 0 none"),
    Factor("distance", "continuous", range=(0.0, 1.0), description="0 close to the wall to 1 down the lumen"),
    Factor("bubbles", "continuous", range=(0.0, 1.0), description="0 none to 1 many"),
    Factor("highlights", "continuous", range=(0.0, 1.0), description="share of the wet surface that glints"),
)


# A video endoscope: a lamp beside the lens, colors that saturate, a view with its corners cut, and grain.

_DIFFUSE = 0.2  # share of the light that comes from the walls around
FINEST = 256
"""Cells of the finest lattice of grain over the image."""


def lit(surface: Surface, nuisance: Int[np.ndarray, "n"], grid: Grid) -> Float[Tensor, "n size size"]:
    """Light that the surface returns: that which falls on it times the cosine to the lamp."""
    lamp = spread(nuisance, "endo-lamp", -0.5, 0.5, 2)
    x, y = surface.slope_x, surface.slope_y
    toward = x * _flat(lamp[:, 0], grid) + y * _flat(lamp[:, 1], grid)
    toward.add_(1).clamp_(min=0).div_((x * x).add_(y * y).add_(1).sqrt_()).mul_(1 - _DIFFUSE).add_(_DIFFUSE)
    return toward.mul_(surface.light).view(-1, grid.size, grid.size)


def colors(
    light: Float[Tensor, "n size size"],
    blood: Float[Tensor, "n size size"],
    film: Float[Tensor, "n size size"],
    seen: PhantomRows,
    nuisance: Int[np.ndarray, "n"],
    grid: Grid,
) -> Float[Tensor, "n 3 size size"]:
    """Red, green and blue, 0 to 1, of the light that mucosa of this hue reflects, over a curve that saturates.

    Args:
        blood: Over the mucosa's mean; it absorbs mostly green.
        film: Yellow matter, which absorbs blue.
    """

    def draw(name: str, low: float, high: float) -> Float[np.ndarray, "n"]:
        return spread(nuisance, f"endo-{name}", low, high)[:, 0]

    e = 0.48 * seen["illumination"] + draw("exposure", -0.25, 0.25)
    exposure = 2.35 * (1 + 0.5 * e) / (1 - 0.4 * e)
    green = 0.365 - 0.065 * seen["hue"] + draw("green", -0.03, 0.03)
    blue = green * (0.6 + 0.08 * seen["hue"] + draw("blue", -0.21, 0.21))
    taken = ((1.0, 0.16, 0.18), (green, 0.5 * green, 0.15 * green), (blue, 0.5 * blue, 0.75 * blue))
    out = torch.empty(len(nuisance), 3, grid.size, grid.size, device=grid.device)
    for channel, (own, by_blood, by_film) in enumerate(taken):
        x = (blood * column(-by_blood * exposure, grid.device)).sub_(film * column(by_film * exposure, grid.device))
        x.add_(column(own * exposure, grid.device)).clamp_(min=0).mul_(light)
        out[:, channel] = x.div_((x * x).add_(1).sqrt_())
    return out


def filmed(
    picture: Float[Tensor, "n 3 size size"], nuisance: Int[np.ndarray, "n"], grain: float, grid: Grid
) -> tuple[Float[Tensor, "n 3 size size"], Float[Tensor, "n size size"]]:
    """The picture with grain, within its view; and the view, 1 inside to 0 outside.

    grain: standard deviation in gray levels of 1 at 256 px; larger pixels average it.
    """
    inside = view(nuisance, grid)
    picture.add_(_noise(nuisance, grain, grid)[:, None])
    beyond = column(spread(nuisance, "endo-border", 0.0, 0.04)[:, 0], grid.device)[:, None]
    return picture.sub_(beyond).mul_(inside[:, None]).add_(beyond).clamp_(0, 1), inside


def view(nuisance: Int[np.ndarray, "n"], grid: Grid) -> Float[Tensor, "n size size"]:
    """Part of the image that the scope shows: a rectangle cut by a diagonal and a circle, 1 inside, 0 outside."""

    def put(name: str, low: float, high: float) -> Float[Tensor, "n 1 1"]:
        return column(spread(nuisance, f"view-{name}", low, high)[:, 0], grid.device)

    x, y = grid.axes()
    x, y = (x - put("x", -0.03, 0.03)).abs_(), (y - put("y", -0.015, 0.015)).abs_()
    sides = torch.minimum(put("width", 0.4, 0.47) - x, put("height", 0.44, 0.485) - y)
    cut = (put("cut", 0.68, 0.9) - x - y).mul_(0.7071)
    circle = put("circle", 0.5, 0.62) - (x * x + y * y).sqrt_()
    depth = torch.minimum(torch.minimum(sides, cut), circle)
    return ramp(depth, torch.full((1, 1, 1), 1.5 * grid.pixel, device=grid.device))


def _noise(nuisance: Int[np.ndarray, "n"], grain: float, grid: Grid) -> Float[Tensor, "n size size"]:
    cells = min(grid.size, FINEST)
    strength = grain * spread(nuisance, "endo-grain-strength", 0.4, 1.6)[:, 0]
    if grid.size <= FINEST:
        white = white_noise(nuisance, "endo-grain", cells, cells, grid.device)
        return white.mul_(column(strength * (cells / FINEST), grid.device))
    white = white_noise(nuisance, "endo-grain", cells + 2, cells + 2, grid.device)
    return spline_zoom(white, grid.size).mul_(column(strength / float(zoom_gain(cells, grid.size)), grid.device))


def _flat(values: Float[np.ndarray, "n"], grid: Grid) -> Float[Tensor, "n 1"]:
    return column(values, grid.device)[:, :, 0]


# What colors a mucosa: blood in its tissue and its vessels, and what the bowel was not rinsed of.

_COARSE, _FINE = 6, 34
"""Cells over the image of slow changes of color and of fine ones."""
_TREES, _TRUNK, _TWIGS, _TWIG = 5, 6, 3, 3
_STEP = 0.06  # length of a piece of a vessel at a middling distance, in sides of the image


def mottling(nuisance: Int[np.ndarray, "n"], grid: Grid) -> Float[Tensor, "n size size"]:
    """Blood in the tissue over its mean: some patches redder, some paler, and a fine grain."""
    coarse = lattice(nuisance, "endo-patches", _COARSE, spread(nuisance, "patchy", 0.04, 0.14)[:, 0], grid)
    fine = lattice(nuisance, "endo-speckle", _FINE, spread(nuisance, "speckled", 0.03, 0.16)[:, 0], grid)
    return spline_zoom(fine.add_(spline_zoom(coarse, _FINE + 2)), grid.size)


def film(nuisance: Int[np.ndarray, "n"], share: float, grid: Grid) -> Float[Tensor, "n size size"]:
    """Yellow mucus and rests of stool, 0 to 1 where they lie. share: of images that have some."""
    there = uniforms(nuisance, "endo-film", 1)[:, 0] < share
    amount = there * spread(nuisance, "film-amount", 0.4, 1.0)[:, 0]
    level = column(spread(nuisance, "film-level", 0.72, 1.92)[:, 0], grid.device)
    field = spline_zoom(lattice(nuisance, "film", _COARSE, np.full(len(nuisance), 1.2), grid), grid.size)
    return field.sub_(level).clamp_(0, 1).mul_(column(amount, grid.device))


def vessels(seen: PhantomRows, nuisance: Int[np.ndarray, "n"], amount: float) -> Capsules:
    """Trees of vessels that branch under the mucosa, larger from close by, as strengths 0 to 1.

    amount: scales how plain they are, 1 normal.
    """
    n = len(nuisance)
    near = (1.5 - 0.9 * seen["distance"]).clip(0.5)[:, None]

    def draw(name: str, low: float, high: float, count: int) -> np.ndarray:
        return spread(nuisance, f"endo-vessel-{name}", low, high, count)

    plain = amount * draw("plain", -0.2, 1.3, 1).clip(0) * draw("strength", 0.5, 1.0, _TREES)
    radius = near * draw("radius", 0.0025, 0.006, _TREES)
    start = (draw("x", -0.5, 0.5, _TREES), draw("y", -0.5, 0.5, _TREES), draw("heading", 0, 1, _TREES), radius, plain)
    trunk = _path(nuisance, "trunk", start, near, _TRUNK)
    pieces = [trunk[:8]]
    for number in range(_TWIGS):
        x, y, heading = (value[:, :, number + 1] for value in trunk[8:])
        turn = np.where(number % 2 == 0, 0.13, -0.13) + draw(f"fork-{number}", -0.05, 0.05, _TREES)
        twig = (x, y, heading + turn, (0.72 - 0.08 * number) * radius, 0.8 * plain)
        pieces.append(_path(nuisance, f"twig-{number}", twig, 0.8 * near, _TWIG)[:8])
    return Capsules(*(np.concatenate([piece[k].reshape(n, -1) for piece in pieces], axis=1) for k in range(8)))


def _path(
    nuisance: Int[np.ndarray, "n"],
    stream: str,
    start: tuple[np.ndarray, ...],
    near: Float[np.ndarray, "n 1"],
    steps: int,
) -> list[Float[np.ndarray, "n trees steps"]]:
    """Bent, tapering paths from (x, y, heading, radius, strength): the pieces' two ends, radii and strengths, then
    where each piece ends and its heading.
    """
    x, y, heading, radius, strength = start
    shape = (*x.shape, steps)

    def draw(name: str, low: float, high: float) -> np.ndarray:
        return spread(nuisance, f"endo-{stream}-{name}", low, high, x.shape[1] * steps).reshape(shape)

    headings = heading[:, :, None] + np.cumsum(draw("turn", -0.11, 0.11), axis=2)
    cosine, sine = direction(headings)
    lengths = near[:, :, None] * draw("length", 0.6 * _STEP, _STEP)
    x1, y1 = x[:, :, None] + np.cumsum(lengths * cosine, axis=2), y[:, :, None] + np.cumsum(lengths * sine, axis=2)
    x0 = np.concatenate([x[:, :, None], x1[:, :, :-1]], axis=2)
    y0 = np.concatenate([y[:, :, None], y1[:, :, :-1]], axis=2)
    fading = 1 - np.arange(steps + 1) / (steps + 2)
    radii, strengths = radius[:, :, None] * fading, strength[:, :, None] * fading
    ends = [x0, y0, x1, y1, radii[:, :, :-1], radii[:, :, 1:], strengths[:, :, :-1], strengths[:, :, 1:]]
    return [*ends, x1, y1, headings]


# A wet surface: ripples, glints where they face the lamp, and bubbles.

_BUBBLES = 28  # in an image whose factor is 1
_RIPPLES, _PATCHES = 40, 6  # cells over the image: of ripples, and of where the wall leans


def glints(
    surface: Surface, seen: PhantomRows, nuisance: Int[np.ndarray, "n"], grid: Grid
) -> Float[Tensor, "n size size"]:
    """White reflections of the lamp, 0 to 1: where the slope is such that it mirrors the lamp into the lens."""
    shape = (-1, grid.size, grid.size)
    x, y = grid.axes()
    lens = column(spread(nuisance, "endo-lens", 0.3, 0.9)[:, 0], grid.device)
    aim = spread(nuisance, "endo-aim", -0.15, 0.15, 2)
    rough = spread(nuisance, "endo-rough", 0.12, 0.4)[:, 0]
    # Where the wall leans by chance no ripple makes up for it: glints stand in patches.
    lean = spline_zoom(lattice(nuisance, "lean", _PATCHES, np.full(len(nuisance), 0.5), grid), _RIPPLES + 2)
    off_x = spline_zoom(lattice(nuisance, "ripple-x", _RIPPLES, rough, grid).add_(lean), grid.size)
    off_y = spline_zoom(lattice(nuisance, "ripple-y", _RIPPLES, rough, grid), grid.size)
    off_x.add_(surface.slope_x.view(shape))
    off_y.add_(surface.slope_y.view(shape))
    off_x.add_(x * lens - column(aim[:, 0], grid.device))
    off_y.add_(y * lens - column(aim[:, 1], grid.device))
    missed = off_x.mul_(off_x).add_(off_y.mul_(off_y))
    size = 0.012 * seen["highlights"] * spread(nuisance, "endo-wet", 0.3, 1.7)[:, 0] + 1e-9
    return (1 - missed.mul_(column(1 / size, grid.device))).mul_(2.5).clamp_(0, 1).mul_(_lamp(surface).view(shape))


def bubbles(
    surface: Surface, seen: PhantomRows, nuisance: Int[np.ndarray, "n"], grid: Grid
) -> Float[Tensor, "n pixels"]:
    """Bubbles as brightness 0 to 1 that they add: a rim, and the lamp's image in it. They lie in clusters."""
    count = 4 * _BUBBLES  # as many as a difficulty of 2 shows
    cluster = (uniforms(nuisance, "bubble-cluster", count) * 3).astype(np.int64)

    def around(axis: str) -> Float[np.ndarray, "n k"]:
        middles = spread(nuisance, f"bubble-middle-{axis}", -0.36, 0.36, 3)
        u = spread(nuisance, f"bubble-{axis}", -1, 1, count)
        return np.take_along_axis(middles, cluster, axis=1) + 0.16 * u * np.abs(u)

    x, y = around("x"), around("y")
    v = uniforms(nuisance, "bubble-radius", count)
    radius = 0.005 + 0.02 * v * v * v
    plain = (_BUBBLES * seen["bubbles"][:, None] ** 2 - np.arange(count)).clip(0, 1)
    canvas = grid.blank(len(nuisance))
    chosen = np.flatnonzero(plain > 0)
    if len(chosen) > 0:
        own_x, own_y = x.ravel()[chosen], y.ravel()[chosen]
        windows = Windows.around(chosen // count, own_x, own_y, 0.028 + grid.pixel, grid)
        drawn = _bubble(
            windows.x - column(own_x, grid.device),
            windows.y - column(own_y, grid.device),
            radius.ravel()[chosen],
            plain.ravel()[chosen],
            grid,
        )
        windows.draw(canvas, drawn)
    return canvas.mul_(_lamp(surface))


def _lamp(surface: Surface) -> Float[Tensor, "n pixels"]:
    """Share of the lamp's light that can be mirrored: all of it except in the depth."""
    return (surface.light * 2.5).clamp_(max=1)


def _bubble(
    dx: Float[Tensor, "m 1 w"],
    dy: Float[Tensor, "m w 1"],
    radius: Float[np.ndarray, "m"],
    plain: Float[np.ndarray, "m"],
    grid: Grid,
) -> Float[Tensor, "m w w"]:
    """Brightness at these distances from the middles of bubbles, fainter where a pixel is wider than the highlight."""

    def put(values: Float[np.ndarray, "m"]) -> Float[Tensor, "m 1 1"]:
        return column(values, grid.device)

    distance = (dx * dx + dy * dy).sqrt_()
    wide = np.full_like(radius, 1.2 * grid.pixel)
    rim = ramp(put(0.0025 + 0.1 * radius) - (distance - put(0.85 * radius)).abs_(), put(wide))
    seen_as = np.minimum(1, 2 * (0.0025 + 0.1 * radius) / wide)
    aside_x, aside_y = dx + put(0.35 * radius), dy + put(0.35 * radius)
    spot = ramp(put(0.3 * radius) - (aside_x * aside_x + aside_y * aside_y).sqrt_(), put(wide))
    spot.mul_(put(0.9 * np.minimum(1, 0.6 * radius / wide) ** 2))
    return rim.mul_(put(0.4 * seen_as)).add_(spot).mul_(put(plain))


# The endoscopy phantom: a bowel seen from within, with polyps of known size, shape, color and place or without.


@dataclass(frozen=True, slots=True)
class _Scenes:
    """All that is drawn of some images, before there are pixels."""

    seen: PhantomRows
    bowel: Tube
    vessels: Capsules
    growths: Polyps


@component(
    "phantom",
    "endoscopy",
    DataTraits(factors=FACTORS),
    summary="color frames of a bowel from within, 64 to 512 px, with one to three polyps or without",
)
class EndoscopyPhantom(DrawnPhantom[_Scenes]):
    """Color images of a bowel from within, 64 to 512 px, as a video endoscope shows it.

    grain: standard deviation of the camera's noise at 256 px, in gray levels of 1.
    vessels: how plain the vessels under the mucosa are, 1 normal, 0 none.
    film: share of images in which yellow mucus or stool covers part of the wall.

    Light, slope and blood are put together pixel by pixel before the camera sees them, polyps laid over the bare wall;
    so a change of a polyp leaves every pixel that neither it nor its shadow reaches the same to the bit.

    At difficulty 0 of all factors there is no polyp; that of its other factors makes it single, smooth, sessile, in the
    middle, 0.35 wide and colored as the mucosa. Mucosa, light, folds, distance and highlights become middling, and
    bubbles vanish.
    """

    design = PhantomDesign(
        card=drawn_by_assay(
            "endoscopy phantom",
            "a bowel from within, with polyps of known size, shape, color, surface, place and number or none",
            "a polyp is laid over the picture of the wall: it does not bend folds or vessels, and none hides it",
            "no blood, stool in lumps, instruments, retroflexion, narrow-band light, motion or chromatic fringes",
            "one still at a time: no sequence, no patient",
            "texts and insets on the screen are interventions, not part of the phantom",
        ),
        factors=FACTORS,
        sizes=(64, 512),
        channels=3,
        marginals={"count": Levels((0.625, 0.25, 0.125))},
        shown={
            "lesion": Shown(0, 0, 1),
            "size": Shown(0.35, 0.05, 0.8),
            "shape": Shown(0.5, 0, 1.2),
            "contrast": Shown(0, 0, 2),
            "texture": Shown(0, 0, 1.5),
            "position_x": Shown(0, -0.35, 0.35),
            "position_y": Shown(0, -0.35, 0.35),
            "count": Shown(0, 0, 2),
            "hue": Shown(0, -1.5, 1.5),
            "illumination": Shown(0, -1.6, 1.6),
            "folds": Shown(0.5, 0, 1.4),
            "distance": Shown(0.5, 0, 1.2),
            "bubbles": Shown(0, 0, 2),
            "highlights": Shown(0.5, 0, 1.5),
        },
        groups={"position": ("position_x", "position_y")},
        pixels_elsewhere=2**23,
    )

    def __init__(
        self,
        *,
        grain: Annotated[float, Field(ge=0, le=0.3, description="the camera's noise at 256 px, of gray 1")] = 0.015,
        vessels: Annotated[
            float, Field(ge=0, le=2, description="how plain vessels under the mucosa are, 1 normal, 0 none")
        ] = 1.0,
        film: Annotated[
            float, Field(ge=0, le=1, description="share of images with yellow mucus or stool on the wall")
        ] = 0.4,
    ) -> None:
        self._grain = grain
        self._vessels = vessels
        self._film = film

    def plan(self, rows: PhantomRows, grid: Grid) -> _Scenes:
        """Compute bowel, vessels and polyps."""
        marks = vessels(rows, rows.nuisance, self._vessels)
        return _Scenes(rows, tube(rows, rows.nuisance), marks, polyps(rows, rows.nuisance))

    def draw(self, plan: _Scenes, grid: Grid) -> Rendered:
        """Draw frames and masks of the polyps with their stalks."""
        seen, nuisance = plan.seen, plan.seen.nuisance
        surface = wall(plan.bowel, nuisance, around(plan.bowel, *grid.axes()), grid)
        blood = grid.blank(len(nuisance))
        draw_capsules(blood, plan.vessels, np.full(len(nuisance), 1.2 * grid.pixel), grid)
        mask = draw_polyps(surface, blood, plan.growths, plan.bowel, grid)
        blood.add_(mottling(nuisance, grid).view(blood.shape))
        shape = (-1, grid.size, grid.size)
        yellow = film(nuisance, self._film, grid)
        picture = colors(lit(surface, nuisance, grid), blood.view(shape), yellow, seen, nuisance, grid)
        white = torch.maximum(glints(surface, seen, nuisance, grid), bubbles(surface, seen, nuisance, grid).view(shape))
        picture.add_((1 - picture).mul_(white[:, None]))
        picture, inside = filmed(picture, nuisance, self._grain, grid)
        return Rendered(picture, (mask.view(shape) & (inside >= 0.5))[:, None])
