"""The endoscopy phantom: color frames of a bowel with or without polyps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from assay.core.registry import component
from assay.core.traits import DataTraits
from assay.core.types import Factor
from assay.data.dataset import Rendered
from assay.data.phantoms.base import DrawnPhantom, Levels, PhantomDesign, PhantomRows, Shown, drawn_by_assay
from assay.data.phantoms.drawing import (
    Canvas,
    Capsules,
    Course,
    Grid,
    Numbers,
    Plane,
    Windows,
    draw_capsules,
    ramp,
    wander,
)
from assay.data.phantoms.endoscopy_anatomy import Surface, around, draw_polyps, polyps, tube, wall
from assay.data.phantoms.noise import Draw, lattice, spline_zoom, white_noise, zoom_gain

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


def lit(surface: Surface, draw: Draw, grid: Grid) -> Plane:
    """Light that the surface returns: that which falls on it times the cosine to the lamp."""
    across, down = (grid.put(each)[:, :, 0] for each in draw("endo-lamp", -0.5, 0.5, 2).T)
    x, y = surface.slope_x, surface.slope_y
    toward = (x * across + y * down).add_(1).clamp_(min=0)
    toward.div_((x * x).add_(y * y).add_(1).sqrt_()).mul_(1 - _DIFFUSE).add_(_DIFFUSE)
    return toward.mul_(surface.light).view(-1, grid.size, grid.size)


def colors(light: Plane, blood: Plane, film: Plane, rows: PhantomRows, grid: Grid) -> Float[Tensor, "n 3 size size"]:
    """Red, green and blue, 0 to 1, of the light that mucosa of this hue reflects, over a curve that saturates.

    Args:
        light: Light that returns from the surface.
        blood: Over the mucosa's mean; it absorbs mostly green.
        film: Yellow matter, which absorbs blue.
        rows: Hue and illumination.
        grid: The images.
    """
    draw, put = rows.draw("endo-"), grid.put
    e = 0.48 * rows["illumination"] + draw("exposure", -0.25, 0.25)
    exposure = 2.35 * (1 + 0.5 * e) / (1 - 0.4 * e)
    green = 0.365 - 0.065 * rows["hue"] + draw("green", -0.03, 0.03)
    blue = green * (0.6 + 0.08 * rows["hue"] + draw("blue", -0.21, 0.21))
    taken = ((1.0, 0.16, 0.18), (green, 0.5 * green, 0.15 * green), (blue, 0.5 * blue, 0.75 * blue))
    out = torch.empty(len(e), 3, grid.size, grid.size, device=grid.device)
    for channel, (own, by_blood, by_film) in enumerate(taken):
        x = (blood * put(-by_blood * exposure)).sub_(film * put(by_film * exposure))
        x.add_(put(own * exposure)).clamp_(min=0).mul_(light)
        out[:, channel] = x.div_((x * x).add_(1).sqrt_())
    return out


def filmed(
    picture: Float[Tensor, "n 3 size size"], draw: Draw, grain: float, grid: Grid
) -> tuple[Float[Tensor, "n 3 size size"], Plane]:
    """The picture with grain, within its view; and the view, 1 inside to 0 outside.

    grain: standard deviation in gray levels of 1 at 256 px; larger pixels average it.
    """
    inside = view(draw, grid)
    picture.add_(_noise(draw, grain, grid)[:, None])
    beyond = grid.put(draw("endo-border", 0.0, 0.04))[:, None]
    return picture.sub_(beyond).mul_(inside[:, None]).add_(beyond).clamp_(0, 1), inside


def view(draw: Draw, grid: Grid) -> Plane:
    """Part of the image that the scope shows: a rectangle cut by a diagonal and a circle, 1 inside, 0 outside."""

    def put(name: str, low: float, high: float) -> Float[Tensor, "n 1 1"]:
        return grid.put(draw(f"view-{name}", low, high))

    x, y = grid.axes()
    x, y = (x - put("x", -0.03, 0.03)).abs_(), (y - put("y", -0.015, 0.015)).abs_()
    sides = torch.minimum(put("width", 0.4, 0.47) - x, put("height", 0.44, 0.485) - y)
    cut = (put("cut", 0.68, 0.9) - x - y).mul_(0.7071)
    circle = put("circle", 0.5, 0.62) - (x * x + y * y).sqrt_()
    depth = torch.minimum(torch.minimum(sides, cut), circle)
    return ramp(depth, torch.full((1, 1, 1), 1.5 * grid.pixel, device=grid.device))


def _noise(draw: Draw, grain: float, grid: Grid) -> Plane:
    cells, strength = min(grid.size, FINEST), grain * draw("endo-grain-strength", 0.4, 1.6)
    if grid.size <= FINEST:
        white = white_noise(draw.nuisance, "endo-grain", cells, cells, grid.device)
        return white.mul_(grid.put(strength * (cells / FINEST)))
    white = white_noise(draw.nuisance, "endo-grain", cells + 2, cells + 2, grid.device)
    return spline_zoom(white, grid.size).mul_(grid.put(strength / float(zoom_gain(cells, grid.size))))


# What colors a mucosa: blood in its tissue and its vessels, and what the bowel was not rinsed of.

_COARSE, _FINE = 6, 34
"""Cells over the image of slow changes of color and of fine ones."""
_TREES, _TRUNK, _TWIGS, _TWIG = 5, 6, 3, 3
_STEP = 0.06  # length of a piece of a vessel at a middling distance, in sides of the image


def mottling(draw: Draw, grid: Grid) -> Plane:
    """Blood in the tissue over its mean: some patches redder, some paler, and a fine grain."""
    coarse = lattice(draw.nuisance, "endo-patches", _COARSE, draw("patchy", 0.04, 0.14), grid)
    fine = lattice(draw.nuisance, "endo-speckle", _FINE, draw("speckled", 0.03, 0.16), grid)
    return spline_zoom(fine.add_(spline_zoom(coarse, _FINE + 2)), grid.size)


def film(draw: Draw, share: float, grid: Grid) -> Plane:
    """Yellow mucus and rests of stool, 0 to 1 where they lie. share: of images that have some."""
    amount = (draw("endo-film") < share) * draw("film-amount", 0.4, 1.0)
    field = spline_zoom(lattice(draw.nuisance, "film", _COARSE, np.full(len(amount), 1.2), grid), grid.size)
    return field.sub_(grid.put(draw("film-level", 0.72, 1.92))).clamp_(0, 1).mul_(grid.put(amount))


def vessels(rows: PhantomRows, amount: float) -> Capsules:
    """Trees of vessels that branch under the mucosa, larger from close by, as strengths 0 to 1.

    amount: scales how plain they are, 1 normal.
    """
    near = (1.5 - 0.9 * rows["distance"]).clip(0.5)[:, None]
    draw, courses = rows.draw("endo-vessel-"), rows.draw("endo-")

    def path(stream: str, start: Course, near: np.ndarray, steps: int) -> Course:
        turns = courses(f"{stream}-turn", -0.11, 0.11, _TREES, steps)
        return wander(start, turns, near[..., None] * courses(f"{stream}-length", 0.6 * _STEP, _STEP, _TREES, steps))

    def tubes(course: Course, radius: np.ndarray, strength: np.ndarray) -> Capsules:
        x, y, _ = course
        fading = 1 - np.arange(len(x.T)) / (len(x.T) + 1)
        return Capsules.along(x, y, radius[..., None] * fading, strength[..., None] * fading)

    plain = amount * draw("plain", -0.2, 1.3, 1).clip(0) * draw("strength", 0.5, 1.0, _TREES)
    radius = near * draw("radius", 0.0025, 0.006, _TREES)
    start = draw("x", -0.5, 0.5, _TREES), draw("y", -0.5, 0.5, _TREES), draw("heading", 0, 1, _TREES)
    x, y, headings = path("trunk", start, near, _TRUNK)
    found = [tubes((x, y, headings), radius, plain)]
    for number in range(_TWIGS):
        turn = (-1) ** number * 0.13 + draw(f"fork-{number}", -0.05, 0.05, _TREES)
        fork = x[..., number + 2], y[..., number + 2], headings[..., number + 1] + turn
        twig = path(f"twig-{number}", fork, 0.8 * near, _TWIG)
        found.append(tubes(twig, (0.72 - 0.08 * number) * radius, 0.8 * plain))
    return Capsules.joined(found)


# A wet surface: ripples, glints where they face the lamp, and bubbles.

_BUBBLES = 28  # in an image whose factor is 1
_RIPPLES, _PATCHES = 40, 6  # cells over the image: of ripples, and of where the wall leans


def glints(surface: Surface, rows: PhantomRows, grid: Grid) -> Plane:
    """White reflections of the lamp, 0 to 1: where the slope is such that it mirrors the lamp into the lens."""
    shape, (x, y), draw = (-1, grid.size, grid.size), grid.axes(), rows.draw("endo-")
    lens, aim, rough = grid.put(draw("lens", 0.3, 0.9)), draw("aim", -0.15, 0.15, 2), draw("rough", 0.12, 0.4)
    # Where the wall leans by chance no ripple makes up for it: glints stand in patches.
    lean = spline_zoom(lattice(rows.nuisance, "lean", _PATCHES, np.full(len(rough), 0.5), grid), _RIPPLES + 2)
    off_x = spline_zoom(lattice(rows.nuisance, "ripple-x", _RIPPLES, rough, grid).add_(lean), grid.size)
    off_y = spline_zoom(lattice(rows.nuisance, "ripple-y", _RIPPLES, rough, grid), grid.size)
    off_x.add_(surface.slope_x.view(shape)).add_(x * lens - grid.put(aim[:, 0]))
    off_y.add_(surface.slope_y.view(shape)).add_(y * lens - grid.put(aim[:, 1]))
    missed = off_x.mul_(off_x).add_(off_y.mul_(off_y))
    size = 0.012 * rows["highlights"] * draw("wet", 0.3, 1.7) + 1e-9
    return (1 - missed.mul_(grid.put(1 / size))).mul_(2.5).clamp_(0, 1).mul_(_lamp(surface).view(shape))


def bubbles(surface: Surface, rows: PhantomRows, grid: Grid) -> Canvas:
    """Bubbles as brightness 0 to 1 that they add: a rim, and the lamp's image in it. They lie in clusters."""
    count, draw = 4 * _BUBBLES, rows.draw("bubble-")  # as many as a difficulty of 2 shows
    cluster = (draw("cluster", 0, 1, count) * 3).astype(np.int64)

    def placed(axis: str) -> Float[np.ndarray, "n k"]:
        u = draw(axis, -1, 1, count)
        return np.take_along_axis(draw(f"middle-{axis}", -0.36, 0.36, 3), cluster, axis=1) + 0.16 * u * np.abs(u)

    v = draw("radius", 0, 1, count)
    plain = (_BUBBLES * rows["bubbles"][:, None] ** 2 - np.arange(count)).clip(0, 1)
    canvas = grid.blank(len(v))
    chosen = np.nonzero(plain > 0)
    if len(chosen[0]) > 0:
        own = Numbers(x=placed("x"), y=placed("y"), radius=0.005 + 0.02 * v * v * v, plain=plain).take(chosen)
        windows = Windows.around(chosen[0], own.x, own.y, 0.028 + grid.pixel, grid)
        windows.draw(canvas, _bubble(own, windows, grid))
    return canvas.mul_(_lamp(surface))


def _lamp(surface: Surface) -> Canvas:
    """Share of the lamp's light that can be mirrored: all of it except in the depth."""
    return (surface.light * 2.5).clamp_(max=1)


def _bubble(own: Numbers, windows: Windows, grid: Grid) -> Float[Tensor, "m w w"]:
    """Brightness of bubbles in their windows, fainter where a pixel is wider than the highlight."""
    put, radius = grid.put, own.radius
    dx, dy = windows.x - put(own.x), windows.y - put(own.y)
    distance = (dx * dx + dy * dy).sqrt_()
    wide, half = np.full_like(radius, 1.2 * grid.pixel), 0.0025 + 0.1 * radius
    rim = ramp(put(half) - (distance - put(0.85 * radius)).abs_(), put(wide))
    aside_x, aside_y = dx + put(0.35 * radius), dy + put(0.35 * radius)
    spot = ramp(put(0.3 * radius) - (aside_x * aside_x + aside_y * aside_y).sqrt_(), put(wide))
    spot.mul_(put(0.9 * np.minimum(1, 0.6 * radius / wide) ** 2))
    return rim.mul_(put(0.4 * np.minimum(1, 2 * half / wide))).add_(spot).mul_(put(own.plain))


# The endoscopy phantom: a bowel seen from within, with polyps of known size, shape, color and place or without.


@dataclass(frozen=True, slots=True)
class _Scenes:
    """All that is drawn of some images, before there are pixels."""

    rows: PhantomRows
    bowel: Numbers
    vessels: Capsules
    growths: Numbers


@component(
    "phantom",
    "endoscopy",
    DataTraits(factors=FACTORS),
    summary="color frames of a bowel from within, 64 to 512 px, with one to three polyps or without",
)
@dataclass(kw_only=True, eq=False)
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

    grain: Annotated[float, Field(ge=0, le=0.3, description="the camera's noise at 256 px, of gray 1")] = 0.015
    vessels: Annotated[
        float, Field(ge=0, le=2, description="how plain vessels under the mucosa are, 1 normal, 0 none")
    ] = 1.0
    film: Annotated[float, Field(ge=0, le=1, description="share of images with yellow mucus or stool on the wall")] = (
        0.4
    )

    def plan(self, rows: PhantomRows, grid: Grid) -> _Scenes:
        """Compute bowel, vessels and polyps."""
        return _Scenes(rows, tube(rows), vessels(rows, self.vessels), polyps(rows))

    def draw(self, plan: _Scenes, grid: Grid) -> Rendered:
        """Draw frames and masks of the polyps with their stalks."""
        rows, draw, shape = plan.rows, plan.rows.draw(), (-1, grid.size, grid.size)
        surface = wall(plan.bowel, draw, around(plan.bowel, *grid.axes(), grid), grid)
        draw_capsules(surface.blood, plan.vessels, np.full(len(rows.nuisance), 1.2 * grid.pixel), grid)
        mask = draw_polyps(surface, plan.growths, plan.bowel, grid)
        surface.blood.add_(mottling(draw, grid).view(surface.blood.shape))
        yellow = film(draw, self.film, grid)
        picture = colors(lit(surface, draw, grid), surface.blood.view(shape), yellow, rows, grid)
        white = torch.maximum(glints(surface, rows, grid), bubbles(surface, rows, grid).view(shape))
        picture.add_((1 - picture).mul_(white[:, None]))
        picture, inside = filmed(picture, draw, self.grain, grid)
        return Rendered(picture, (mask.view(shape) & (inside >= 0.5))[:, None])
