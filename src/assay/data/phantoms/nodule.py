"""The lung nodule phantom: lung, vessels and one nodule in CT-like patches."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor

from assay.core.registry import component
from assay.core.traits import DataTraits
from assay.core.types import Factor
from assay.data.dataset import PixelScale, Rendered
from assay.data.phantoms.base import (
    DrawnPhantom,
    PhantomDesign,
    PhantomRows,
    Shown,
    Skewed,
    direction,
    drawn_by_assay,
    uneven_outline,
)
from assay.data.phantoms.drawing import Capsules, Grid, Windows, column, draw_capsules, ramp
from assay.data.phantoms.noise import soften, spline_zoom, spread, uniforms, white_noise, zoom_gain

FACTORS = (
    Factor("margin", "continuous", "core", range=(0.0, 1.0), description="0 smooth to 1 spiculated"),
    Factor(
        "texture",
        "categorical",
        levels=("solid", "part-solid", "ground-glass"),
        high=("part-solid", "ground-glass"),
        description="how dense the nodule is",
    ),
    Factor("size", "continuous", unit="mm", range=(6.0, 18.0), description="diameter of the circle of equal area"),
    Factor("contrast", "continuous", unit="HU", range=(550.0, 950.0), description="solid part over parenchyma"),
    Factor("position_x", "continuous", unit="mm", range=(-6.0, 6.0), description="to the right of the middle"),
    Factor("position_y", "continuous", unit="mm", range=(-6.0, 6.0), description="below the middle"),
    Factor("elongation", "continuous", range=(1.0, 1.6), description="long over short axis, at equal area"),
    Factor("vessel", "categorical", levels=("none", "attached"), high=("attached",), description="a feeding vessel"),
)


# A pulmonary nodule: an uneven ellipse, solid or part-solid or ground-glass, with spicules and a feeding vessel.

OUTER = np.array([1.0, 0.5, 0.45])
"""Opacity of a nodule's outer part by code of texture: solid, part-solid, ground-glass."""
CORE = np.array([1.0, 1.0, 0.45])
"""Opacity of its core."""
SPICULE = (2.5, 6.5)
"""Length of a spicule at margin 1, in mm: the shortest and the longest."""
SPICULE_RADIUS = (0.65, 1.0)
"""Radius of a spicule at its root, in mm."""
FEEDER = 4.5
"""Length of the longest of the three pieces of the feeding vessel, in mm."""
FEEDER_HU = 750.0
"""HU of the feeding vessel over parenchyma."""

_SPICULES, _FEEDERS = 12, 3
_UNEVEN = 0.085
_BULGE = 1 + 1.6 * 2 * _UNEVEN  # the outline nowhere lies farther out than this, in half axes


@dataclass(frozen=True, slots=True)
class Body:
    """The ellipse: center, direction and half lengths of its axes (mm), unevenness, core, HU, softness. [n, 1] each.

    The outline is at 1 + the sum of harmonics 3 and 5 of the polar angle, in units of the half axes. Its edge is
    `softness` times as wide as the scanner's blur: ground glass fades out, solid tissue ends.
    """

    x: np.ndarray
    y: np.ndarray
    cosine: np.ndarray
    sine: np.ndarray
    half_long: np.ndarray
    half_short: np.ndarray
    cosine3: np.ndarray
    sine3: np.ndarray
    cosine5: np.ndarray
    sine5: np.ndarray
    core_x: np.ndarray
    core_y: np.ndarray
    core_radius: np.ndarray
    outer_hu: np.ndarray
    core_hu: np.ndarray
    softness: np.ndarray


@dataclass(frozen=True, slots=True)
class Lesion:
    """All of a nodule's shapes. Strengths are HU over parenchyma."""

    body: Body
    spicules: Capsules
    feeder: Capsules


def shape(seen: PhantomRows, nuisance: Int[np.ndarray, "n"]) -> Lesion:
    """The nodule's geometry: factors from `seen`, all else from the nuisance seed."""
    body = _body(seen, nuisance)
    return Lesion(body, _spicules(seen, body, nuisance), _feeder(seen, body, nuisance))


def draw_lesion(
    canvas: Float[Tensor, "n pixels"], lesion: Lesion, blur: Float[np.ndarray, "n"], grid: Grid
) -> Bool[Tensor, "n pixels"]:
    """Draw the nodule on the canvas of HU over parenchyma; return its mask: pixels at least half covered.

    The mask holds the body and the spicules, not the feeding vessel.
    """
    body = lesion.body
    extent = _BULGE * float(body.half_long.max()) + 0.5 * float((body.softness[:, 0] * blur).max())
    windows = Windows.around(np.arange(len(blur)), body.x[:, 0], body.y[:, 0], extent, grid)
    coverage, hu = _paint(body, blur, windows, grid.device)
    windows.draw(canvas, hu)
    covered = grid.blank(canvas.shape[0])
    windows.draw(covered, coverage)
    draw_capsules(canvas, lesion.spicules, blur, grid)
    draw_capsules(covered, _certain(lesion.spicules), blur, grid)
    draw_capsules(canvas, lesion.feeder, blur, grid)
    return covered >= 0.5


def _opacity(seen: PhantomRows, table: Float[np.ndarray, "3"]) -> Float[np.ndarray, "n"]:
    """Opacity by texture; less difficulty of the texture makes it more solid."""
    return np.clip(1 + seen.difficulty["texture"] * (table[seen.values["texture"]] - 1), 0.1, 1)


def _certain(tubes: Capsules) -> Capsules:
    """The same tubes with strength 1 wherever there is any."""
    present = (tubes.strength0 > 0).astype(np.float64)
    return replace(tubes, strength0=present, strength1=present)


def _body(seen: PhantomRows, nuisance: Int[np.ndarray, "n"]) -> Body:
    outer, stretch = _opacity(seen, OUTER), np.sqrt(seen["elongation"])
    long, short = 0.5 * seen["size"] * stretch, 0.5 * seen["size"] / stretch
    cosine, sine = direction(uniforms(nuisance, "axis", 1))
    uneven = spread(nuisance, "uneven", -_UNEVEN, _UNEVEN, 4)
    core = spread(nuisance, "core", -0.25, 0.25, 2)
    core_radius = spread(nuisance, "core-radius", 0.4, 0.65)
    cosine3, sine3, cosine5, sine5 = np.split(uneven, 4, axis=1)
    return Body(
        x=seen["position_x"][:, None],
        y=seen["position_y"][:, None],
        cosine=cosine,
        sine=sine,
        half_long=long[:, None],
        half_short=short[:, None],
        cosine3=cosine3,
        sine3=sine3,
        cosine5=cosine5,
        sine5=sine5,
        core_x=core[:, :1],
        core_y=core[:, 1:],
        core_radius=core_radius,
        outer_hu=(seen["contrast"] * outer)[:, None],
        core_hu=(seen["contrast"] * _opacity(seen, CORE))[:, None],
        softness=(1 + 1.2 * (1 - outer))[:, None],
    )


def _paint(
    body: Body, blur: Float[np.ndarray, "n"], windows: Windows, device: str
) -> tuple[Float[Tensor, "n w w"], Float[Tensor, "n w w"]]:
    """Coverage by the body, and its HU over parenchyma, in its windows."""

    def put(values: Float[np.ndarray, "n 1"]) -> Float[Tensor, "n 1 1"]:
        return column(values[:, 0], device)

    x, y = windows.x - put(body.x), windows.y - put(body.y)
    u = x * put(body.cosine / body.half_long) + y * put(body.sine / body.half_long)
    v = y * put(body.cosine / body.half_short) - x * put(body.sine / body.half_short)
    rho = (u * u).add_(v * v).sqrt_()
    inverse = 1 / (rho + 1e-4)
    radius = (x * x + y * y).sqrt_().mul_(inverse)  # mm per unit of rho along this direction
    outline = uneven_outline(u * inverse, v * inverse, *map(put, (body.cosine3, body.sine3, body.cosine5, body.sine5)))
    edge = put(blur[:, None])
    coverage = ramp((outline - rho).mul_(radius), edge * put(body.softness))
    core_u, core_v = u - put(body.core_x), v - put(body.core_y)
    core_rho = core_u.mul_(core_u).add_(core_v.mul_(core_v)).sqrt_()
    # The core's edge is measured by the short half axis: a little too sharp along the long one, nowhere negative.
    core = ramp((put(body.core_radius) - core_rho).mul_(put(body.half_short)), 1.4 * edge)
    hu = core.mul_(put(body.core_hu - body.outer_hu)).add_(put(body.outer_hu)).mul_(coverage)
    return coverage, hu


def _rim(
    body: Body, turns: Float[np.ndarray, "n k"], depth: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Points at `depth` (1: on the outline, 0: center) at these polar angles, and the outward normals. [n, k] each."""
    cosine, sine = direction(turns)
    reach = depth * uneven_outline(cosine, sine, body.cosine3, body.sine3, body.cosine5, body.sine5)
    along, across = reach * body.half_long * cosine, reach * body.half_short * sine
    normal_a, normal_b = cosine * body.half_short, sine * body.half_long
    length = np.sqrt(normal_a * normal_a + normal_b * normal_b)
    normal_a, normal_b = normal_a / length, normal_b / length
    return (
        body.x + along * body.cosine - across * body.sine,
        body.y + along * body.sine + across * body.cosine,
        normal_a * body.cosine - normal_b * body.sine,
        normal_a * body.sine + normal_b * body.cosine,
    )


def _spicules(seen: PhantomRows, body: Body, nuisance: Int[np.ndarray, "n"]) -> Capsules:
    """Twelve tapering strands, evenly spread but for a jitter; their length and width grow with the spiculation."""
    around = (np.arange(_SPICULES) + uniforms(nuisance, "spicule-angle", _SPICULES)) / _SPICULES
    x, y, out_x, out_y = _rim(body, around, 0.9)
    tilt_c, tilt_s = direction(spread(nuisance, "spicule-tilt", -0.06, 0.06, _SPICULES))
    out_x, out_y = out_x * tilt_c - out_y * tilt_s, out_x * tilt_s + out_y * tilt_c
    amount = seen["margin"][:, None]
    length = amount * spread(nuisance, "spicule-length", *SPICULE, _SPICULES)
    width = np.minimum(1, 2 * amount) * spread(nuisance, "spicule-width", *SPICULE_RADIUS, _SPICULES)
    # Strands are of tissue denser than ground glass, so that the margin is as visible in every texture but for a share.
    strength = (amount > 0) * (seen["contrast"] * (0.8 + 0.2 * _opacity(seen, OUTER)))[:, None] * np.ones_like(length)
    start = 0.1 * body.half_short
    return Capsules(
        x, y, x + (length + start) * out_x, y + (length + start) * out_y, width, 0.3 * width, strength, 0.8 * strength
    )


def _feeder(seen: PhantomRows, body: Body, nuisance: Int[np.ndarray, "n"]) -> Capsules:
    """A vessel that enters the nodule: three bent pieces outward from just under its outline."""
    n = len(nuisance)
    x, y, out_x, out_y = _rim(body, uniforms(nuisance, "feeder-angle", 1), 0.9)
    turn_c, turn_s = direction(np.cumsum(spread(nuisance, "feeder-turn", -0.09, 0.09, _FEEDERS), axis=1))
    lengths = spread(nuisance, "feeder-length", 0.6 * FEEDER, FEEDER, _FEEDERS)
    x1 = x + np.cumsum(lengths * (out_x * turn_c - out_y * turn_s), axis=1)
    y1 = y + np.cumsum(lengths * (out_x * turn_s + out_y * turn_c), axis=1)
    x0, y0 = np.concatenate([x, x1[:, :-1]], axis=1), np.concatenate([y, y1[:, :-1]], axis=1)
    radii = spread(nuisance, "feeder-radius", 0.6, 1.2) * np.array([1.0, 0.88, 0.76, 0.64])
    fading = np.cumsum(spread(nuisance, "feeder-fading", -0.3, 0.0, _FEEDERS), axis=1)
    strength = FEEDER_HU * seen["vessel"][:, None] * (1 + np.concatenate([np.zeros((n, 1)), fading], axis=1))
    return Capsules(x0, y0, x1, y1, radii[:, :-1], radii[:, 1:], strength[:, :-1], strength[:, 1:])


# What lies around a lesion in a CT patch of lung: parenchyma, chest wall with ribs, and the scanner's noise.

FINEST = 64
"""Cells of the finest lattice of noise over the field: CT noise has no structure finer than some 0.7 mm."""
SOLID = 900.0
"""HU over parenchyma of tissue without air."""


def parenchyma(
    nuisance: Int[np.ndarray, "n"], texture: float, tissue: Float[Tensor, "n size size"], grid: Grid
) -> Float[Tensor, "n size size"]:
    """HU of the lung with the tissue in it: a level per patch, slow changes over centimeters and fine ones over 2 mm.

    texture: standard deviation of the fine changes in aerated lung, in HU; the slow ones have half of it. They are
    strongest where air and tissue mix, as in ground glass, and vanish in solid tissue.
    tissue: HU above parenchyma of the tissue in the lung.
    """
    coarse = white_noise(nuisance, "parenchyma-coarse", 8, 8, grid.device)
    fine = white_noise(nuisance, "parenchyma-fine", 26, 26, grid.device)
    lattice = (
        spline_zoom(coarse, 26)
        .mul_(0.5 * texture / float(zoom_gain(6, 26)))
        .add_(fine.mul_(texture / float(zoom_gain(24, 64))))
    )
    solid = (tissue * (1 / SOLID)).clamp_(max=1)
    mixed = (solid * 10 + 1).mul_(1 - solid)
    level = column(spread(nuisance, "parenchyma-level", -910, -800)[:, 0], grid.device)
    return spline_zoom(lattice, grid.size).mul_(mixed).add_(tissue).add_(level)


def scanner_noise(
    nuisance: Int[np.ndarray, "n"], deviation: float, dose_range: float, grid: Grid
) -> Float[Tensor, "n size size"]:
    """Noise in HU, correlated over about a millimeter, by a reconstruction kernel that differs from patch to patch.

    deviation: standard deviation in HU at the middle dose; single patches have between 1 / (1 + dose_range) and
    (1 + dose_range) times that. Pixels wider than the finest lattice average its noise.
    """
    cells = min(grid.size, FINEST)
    white = white_noise(nuisance, "noise", cells + 4, cells + 4, grid.device)
    kernel = spread(nuisance, "kernel", 0.12, 0.32, 2)
    shaped = soften(white, *(column(kernel[:, axis], grid.device)[:, 0, 0] for axis in (0, 1)))
    t = spread(nuisance, "dose", -1, 1)[:, 0]
    level = np.where(t < 0, 1 / (1 - dose_range * t), 1 + dose_range * t) * deviation
    if grid.size > FINEST:
        shaped, level = spline_zoom(shaped, grid.size), level / zoom_gain(cells, grid.size, *kernel.T)
    else:
        shaped, level = shaped[:, 1:-1, 1:-1], level * (cells / FINEST) ** 0.5
    return shaped * column(level, grid.device)


@dataclass(frozen=True, slots=True)
class Wall:
    """A stretch of chest wall: the lung is inside a circle. All [n]; lengths in mm.

    x, y: the circle's center; radius: its radius. along_x, along_y: the direction along the wall.
    rib: place of a rib along the wall (a large number: none), its half length, half thickness and depth.
    """

    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    along_x: np.ndarray
    along_y: np.ndarray
    rib: np.ndarray
    rib_length: np.ndarray
    rib_thickness: np.ndarray
    rib_depth: np.ndarray
    fat: np.ndarray


def has_wall(nuisance: Int[np.ndarray, "n"], share: float) -> Int[np.ndarray, "m"]:
    """Positions of the rows whose patch shows the chest wall."""
    return np.flatnonzero(uniforms(nuisance, "wall", 1)[:, 0] < share)


def chest_wall(nuisance: Int[np.ndarray, "n"]) -> Wall:
    """Course of the chest wall in each of these patches: 9 to 20 mm from the middle of the patch."""
    out_x, out_y = direction(uniforms(nuisance, "wall-side", 1)[:, 0])
    distance = spread(nuisance, "wall-distance", 9, 20)[:, 0]
    radius = spread(nuisance, "wall-radius", 35, 110)[:, 0]
    ribs = uniforms(nuisance, "rib", 1)[:, 0]
    place, length, thickness, depth, fat = (spread(nuisance, name, low, high)[:, 0] for name, low, high in _RIB)
    return Wall(
        x=(distance - radius) * out_x,
        y=(distance - radius) * out_y,
        radius=radius,
        along_x=-out_y,
        along_y=out_x,
        rib=np.where(ribs < 0.75, place, 1e4),
        rib_length=length,
        rib_thickness=thickness,
        rib_depth=depth,
        fat=fat,
    )


_RIB = (
    ("rib-place", -20.0, 20.0),
    ("rib-length", 6.0, 14.0),
    ("rib-thickness", 2.8, 4.2),
    ("rib-depth", 5.0, 7.5),
    ("wall-fat", 11.0, 18.0),
)


def wall_tissue(
    wall: Wall, blur: Float[np.ndarray, "n"], grid: Grid
) -> tuple[Float[Tensor, "n size size"], Float[Tensor, "n size size"]]:
    """Coverage by the chest wall, and its HU: muscle, a layer of fat beyond it, and ribs, bright at their rim."""
    x, y = grid.axes()

    def put(values: Float[np.ndarray, "n"]) -> Float[Tensor, "n 1 1"]:
        return column(values, grid.device)

    from_x, from_y = x - put(wall.x), y - put(wall.y)
    depth = (from_x * from_x + from_y * from_y).sqrt_().sub_(put(wall.radius))
    edge = put(blur)
    coverage = ramp(depth, edge)
    hu = ramp(depth - put(wall.fat), 2 * edge + 2).mul_(-140).add_(45)
    along = (x * put(wall.along_x) + y * put(wall.along_y)).sub_(put(wall.rib)).mul_(put(1 / wall.rib_length))
    across = (depth - put(wall.rib_depth)).mul_(put(1 / wall.rib_thickness))
    inside = 1 - (along.mul_(along)).add_(across.mul_(across)).sqrt_()
    bone = ramp(inside.mul_(put(wall.rib_thickness)), edge)
    marrow = ramp(inside.sub_(1.1), edge)
    return coverage, hu.add_(bone.mul_(650)).sub_(marrow.mul_(420))


# The lung's own structure: branching vessels that run in and out of the slice, and vessels cut across.

_STEP = 5.0  # the longest piece of a vessel, in mm
_HU = 850.0  # of a vessel over parenchyma
_TREES, _TRUNK, _BRANCH = 5, 4, 3
_DOTS = 24


def branching_vessels(nuisance: Int[np.ndarray, "n"], density: float, field: float) -> Capsules:
    """Up to five trees per patch: a trunk of four pieces and a side branch of three, thinner and dimmer as they go.

    density: 1 is normal, 0 none; it scales how many of the trees are there.
    """
    n = len(nuisance)
    shape = (n, _TREES, 1)
    there = (uniforms(nuisance, "tree", _TREES) < 0.5 * density).reshape(shape)
    half = 0.55 * field
    x = spread(nuisance, "tree-x", -half, half, _TREES).reshape(shape)
    y = spread(nuisance, "tree-y", -half, half, _TREES).reshape(shape)
    heading = uniforms(nuisance, "tree-heading", _TREES).reshape(shape)
    u = uniforms(nuisance, "tree-radius", _TREES).reshape(shape)
    radius = 0.45 + 1.2 * u * u
    trunk, tips = _path(nuisance, "trunk", (x, y, heading, radius), _TRUNK)
    side = np.where(uniforms(nuisance, "side", _TREES).reshape(shape) < 0.5, -0.12, 0.12)
    start = tuple(value[:, :, 1:2] for value in tips)
    branch, _ = _path(nuisance, "branch", (start[0], start[1], start[2] + side, 0.7 * start[3]), _BRANCH)
    joined = [np.concatenate([a, b], axis=2) for a, b in zip(trunk, branch, strict=True)]
    x0, y0, x1, y1, r0, r1, s0, s1 = (value.reshape(n, -1) for value in joined)
    visible = _HU * np.broadcast_to(there, joined[0].shape).reshape(n, -1)
    return Capsules(x0, y0, x1, y1, r0, r1, s0 * visible, s1 * visible)


def cut_vessels(nuisance: Int[np.ndarray, "n"], density: float, field: float) -> Capsules:
    """Vessels across the slice: dots and short strokes, most of them small and dim."""
    half = 0.5 * field
    there = uniforms(nuisance, "dot", _DOTS) < 0.65 * density
    x, y = spread(nuisance, "dot-x", -half, half, _DOTS), spread(nuisance, "dot-y", -half, half, _DOTS)
    cosine, sine = direction(uniforms(nuisance, "dot-heading", _DOTS))
    u = uniforms(nuisance, "dot-length", _DOTS)
    length = 2.5 * u * u * u
    v = uniforms(nuisance, "dot-radius", _DOTS)
    radius = 0.4 + 0.9 * v * v * v
    strength = spread(nuisance, "dot-strength", 0.35, 1.0, _DOTS) * (_HU * there)
    return Capsules(x, y, x + length * cosine, y + length * sine, radius, 0.8 * radius, strength, 0.7 * strength)


def _path(
    nuisance: Int[np.ndarray, "n"], stream: str, start: tuple[np.ndarray, ...], steps: int
) -> tuple[list[np.ndarray], tuple[np.ndarray, ...]]:
    """Bent paths from (x, y, heading, radius): the pieces' ends, radii and strengths, and the state after each step."""
    x, y, heading, radius = start
    n, trees = x.shape[:2]
    shape = (n, trees, steps)

    def draw(name: str, low: float, high: float) -> Float[np.ndarray, "n trees steps"]:
        return spread(nuisance, f"{stream}-{name}", low, high, trees * steps).reshape(shape)

    headings = heading + np.cumsum(draw("turn", -0.07, 0.07), axis=2)
    cosine, sine = direction(headings)
    lengths = draw("length", 0.5 * _STEP, _STEP)
    x1, y1 = x + np.cumsum(lengths * cosine, axis=2), y + np.cumsum(lengths * sine, axis=2)
    x0, y0 = np.concatenate([x, x1[:, :, :-1]], axis=2), np.concatenate([y, y1[:, :, :-1]], axis=2)
    taper = 1 - 0.14 * np.arange(steps + 1)
    bright = spread(nuisance, f"{stream}-strength", 0.3, 1.1, trees * (steps + 1)).reshape(n, trees, steps + 1)
    radii = radius * taper
    pieces = [x0, y0, x1, y1, radii[:, :, :-1], radii[:, :, 1:], bright[:, :, :-1], bright[:, :, 1:]]
    return pieces, (x1, y1, headings, radii[:, :, 1:])


# The nodule phantom: a CT-like patch of lung with one nodule whose every feature is a factor that we set.

FIELD = 48.0
"""Millimeters that an image shows a side, whatever its size in pixels."""
LOW, HIGH = -1000.0, 400.0
"""HU of pixel values 0 and 1."""


@dataclass(frozen=True, slots=True)
class _Patches:
    """All that is drawn of some images, before there are pixels."""

    lesion: Lesion
    trees: Capsules
    dots: Capsules
    nuisance: Int[np.ndarray, "n"]


@component(
    "phantom",
    "nodule",
    DataTraits(factors=FACTORS),
    summary="CT-like lung patches, 32 to 256 px, with one nodule of known margin, texture, size, contrast and shape",
)
class NodulePhantom(DrawnPhantom[_Patches]):
    """CT-like lung patches of 48 mm a side, 32 to 256 px, in the window -1000 to 400 HU.

    noise: standard deviation of the scanner's noise in HU at the middle dose.
    dose: how far the noise differs from patch to patch: between 1 / (1 + dose) and (1 + dose) times `noise`.
    vessels: density of the vessels around, 1 normal, 0 none.
    parenchyma: standard deviation of the lung's own fine texture in HU.
    wall: share of patches that show the chest wall.

    The nodule is drawn over the rest by the higher density, noise is added last; so a factor's change leaves every
    pixel that the nodule, its spicules and its feeding vessel do not reach the same to the bit. At difficulty 0 of all
    factors a nodule is centered, 10 mm wide, round, smooth and solid, of 750 HU and without a vessel.
    """

    design = PhantomDesign(
        card=drawn_by_assay(
            "nodule phantom",
            "CT-like lung patches with one nodule of known margin, texture, size, contrast, place and shape",
            "one slice: no continuity from slice to slice, so vessels and nodules are told apart by shape alone",
            "no calcification, cavitation, emphysema, fissures or motion",
        ),
        factors=FACTORS,
        sizes=(32, 256),
        side=FIELD,
        in_mm=True,
        scale=PixelScale("HU", LOW, HIGH),
        marginals={"size": Skewed(6.0, 18.0)},
        shown={
            "margin": Shown(0, 0, 3),
            "size": Shown(10, 3, 30),
            "contrast": Shown(750, 50, 1200),
            "position_x": Shown(0, -20, 20),
            "position_y": Shown(0, -20, 20),
            "elongation": Shown(1, 1, 3),
            "vessel": Shown(0, 0, 1.5),
        },
        groups={"position": ("position_x", "position_y")},
        rows=2048,
    )

    def __init__(
        self,
        *,
        noise: Annotated[
            float, Field(ge=0, le=200, description="HU, standard deviation of the scanner's noise at middle dose")
        ] = 22.0,
        dose: Annotated[
            float, Field(ge=0, le=3, description="spread of dose: noise lies between 1/(1+dose) and 1+dose times")
        ] = 0.8,
        vessels: Annotated[float, Field(ge=0, le=2, description="density of vessels, 1 normal, 0 none")] = 1.0,
        parenchyma: Annotated[
            float, Field(ge=0, le=100, description="HU, standard deviation of the lung's own texture")
        ] = 20.0,
        wall: Annotated[float, Field(ge=0, le=1, description="share of patches that show the chest wall")] = 0.5,
    ) -> None:
        self._noise = noise
        self._dose = dose
        self._vessels = vessels
        self._parenchyma = parenchyma
        self._wall = wall

    def plan(self, rows: PhantomRows, grid: Grid) -> _Patches:
        """Compute the nodules and the vessels around them."""
        trees = branching_vessels(rows.nuisance, self._vessels, FIELD)
        dots = cut_vessels(rows.nuisance, self._vessels, FIELD)
        return _Patches(shape(rows, rows.nuisance), trees, dots, rows.nuisance)

    def draw(self, plan: _Patches, grid: Grid) -> Rendered:
        """Draw patches and masks of the nodule with its spicules."""
        nuisance, blur = plan.nuisance, _blur(plan.nuisance, grid)
        tissue = grid.blank(len(nuisance))
        for tubes in (plan.trees, plan.dots):
            draw_capsules(tissue, tubes, blur, grid)
        mask = draw_lesion(tissue, plan.lesion, blur, grid)
        shape = (-1, 1, grid.size, grid.size)
        hu = parenchyma(nuisance, self._parenchyma, tissue.view(-1, grid.size, grid.size), grid)
        self._add_wall(hu, nuisance, blur, grid)
        hu.add_(scanner_noise(nuisance, self._noise, self._dose, grid))
        return Rendered(hu.sub_(LOW).mul_(1 / (HIGH - LOW)).clamp_(0, 1).view(shape), mask.view(shape))

    def _add_wall(
        self, hu: Float[Tensor, "n h w"], nuisance: Int[np.ndarray, "n"], blur: Float[np.ndarray, "n"], grid: Grid
    ) -> None:
        rows = has_wall(nuisance, self._wall)
        if len(rows) == 0:
            return
        coverage, tissue = wall_tissue(chest_wall(nuisance[rows]), blur[rows], grid)
        index = torch.as_tensor(rows, device=grid.device)
        lung = hu[index]
        hu[index] = torch.maximum(lung, lung + (tissue - lung) * coverage)


def _blur(nuisance: Int[np.ndarray, "n"], grid: Grid) -> Float[np.ndarray, "n"]:
    """Width of an edge in mm: the scanner's own, which differs from patch to patch, and that of a pixel."""
    own = spread(nuisance, "blur", 1.2, 2.4)[:, 0]
    return np.sqrt(own * own + grid.pixel * grid.pixel)
