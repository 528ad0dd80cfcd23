"""The lung nodule phantom: lung, vessels and one nodule in CT-like patches."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from assay.core.registry import component
from assay.core.traits import DataTraits
from assay.core.types import Factor
from assay.data.dataset import PixelScale, Rendered
from assay.data.phantoms.base import DifficultyEffect, DrawnPhantom, PhantomDesign, PhantomRows, Skewed, drawn_by_assay
from assay.data.phantoms.drawing import (
    Canvas,
    Capsules,
    Course,
    Draw,
    Grid,
    Numbers,
    Plane,
    Windows,
    direction,
    draw_capsules,
    oval,
    path_points,
    ramp,
    soften,
    spline_zoom,
    uneven_outline,
    wander,
    white_noise,
    zoom_gain,
)

FACTORS = (
    Factor.numeric("margin", 0.0, 1.0, "0 smooth to 1 spiculated", role="core"),
    Factor.either("texture", ("solid",), ("part-solid", "ground-glass"), "how dense the nodule is"),
    Factor.numeric("size", 6.0, 18.0, "diameter of the circle of equal area", unit="mm"),
    Factor.numeric("contrast", 550.0, 950.0, "solid part over parenchyma", unit="HU"),
    Factor.numeric("position_x", -6.0, 6.0, "to the right of the middle", unit="mm"),
    Factor.numeric("position_y", -6.0, 6.0, "below the middle", unit="mm"),
    Factor.numeric("elongation", 1.0, 1.6, "long over short axis, at equal area"),
    Factor.either("vessel", ("none",), ("attached",), "a feeding vessel"),
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
_BULGE = 1 + 1.6 * 2 * _UNEVEN  # the outline is nowhere farther out, in half axes


@dataclass(frozen=True, slots=True)
class Lesion:
    """All of a nodule's shapes. Strengths are HU over parenchyma."""

    body: Numbers
    spicules: Capsules
    feeder: Capsules


def nodule(rows: PhantomRows, draw: Draw) -> Lesion:
    """The nodule's geometry: factors from `rows`, all else from the nuisance seed.

    The outline of its body is at 1 + the sum of harmonics 3 and 5 of the polar angle, in units of the half axes. Its
    edge is `softness` times as wide as the scanner's blur: ground glass fades out, solid tissue ends.
    """
    outer, stretch, half = _opacity(rows, OUTER), np.sqrt(rows["elongation"]), 0.5 * rows["size"]
    cosine, sine = draw.heading("axis")
    body = Numbers(
        x=rows["position_x"],
        y=rows["position_y"],
        cosine=cosine,
        sine=sine,
        long=half * stretch,
        short=half / stretch,
        uneven=draw("uneven", -_UNEVEN, _UNEVEN, 4),
        core=draw("core", -0.25, 0.25, 2),  # place and radius, in half axes
        core_radius=draw("core-radius", 0.4, 0.65),
        outer_hu=rows["contrast"] * outer,
        core_hu=rows["contrast"] * _opacity(rows, CORE),
        softness=1 + 1.2 * (1 - outer),
    )
    return Lesion(body, _spicules(rows, body, draw), _feeder(rows, body, draw))


def draw_lesion(canvas: Canvas, lesion: Lesion, blur: Float[np.ndarray, "n"], grid: Grid) -> Bool[Tensor, "n pixels"]:
    """Draw the nodule on the canvas of HU over parenchyma; return its mask: pixels at least half covered.

    The mask holds the body and the spicules, not the feeding vessel.
    """
    body, certain = lesion.body, (lesion.spicules.strength0 > 0).astype(np.float64)
    extent = _BULGE * float(body.long.max()) + 0.5 * float((body.softness * blur).max())
    windows = Windows.around(np.arange(len(blur)), body.x, body.y, extent, grid)
    coverage, hu = _paint_lesion(body, blur, windows, grid)
    windows.draw(canvas, hu)
    covered = grid.blank(canvas.shape[0])
    windows.draw(covered, coverage)
    draw_capsules(canvas, lesion.spicules, blur, grid)
    draw_capsules(covered, replace(lesion.spicules, strength0=certain, strength1=certain), blur, grid)
    draw_capsules(canvas, lesion.feeder, blur, grid)
    return covered >= 0.5


def _opacity(rows: PhantomRows, table: Float[np.ndarray, "3"]) -> Float[np.ndarray, "n"]:
    """Opacity by texture; less difficulty of the texture makes it more solid."""
    return np.clip(1 + rows.difficulty["texture"] * (table[rows.values["texture"]] - 1), 0.1, 1)


def _paint_lesion(body: Numbers, blur: Float[np.ndarray, "n"], windows: Windows, grid: Grid) -> tuple[Tensor, Tensor]:
    """Coverage by the body, and its HU over parenchyma, in its windows [n, w, w]."""
    tensor, edge = grid.tensor, grid.tensor(blur)
    at = oval(body, body.long, body.short, windows, grid)
    rho, cosine, sine, radius = at.rays()
    outline = uneven_outline(cosine, sine, [tensor(body.uneven[:, k]) for k in range(4)])
    coverage = ramp((outline - rho).mul_(radius), edge * tensor(body.softness))
    core_u, core_v = at.u - tensor(body.core[:, 0]), at.v - tensor(body.core[:, 1])
    core_rho = core_u.mul_(core_u).add_(core_v.mul_(core_v)).sqrt_()
    # The core's edge is measured by the short half axis: a little too sharp along the long one, nowhere negative.
    core = ramp((tensor(body.core_radius) - core_rho).mul_(tensor(body.short)), 1.4 * edge)
    return coverage, core.mul_(tensor(body.core_hu - body.outer_hu)).add_(tensor(body.outer_hu)).mul_(coverage)


def _rim(body: Numbers, turns: Float[np.ndarray, "n k"]) -> list[Float[np.ndarray, "n k"]]:
    """Points at nine tenths of the way to the outline at these polar angles, and the outward normals: x, y of each."""
    cosine, sine = direction(turns)
    long, short, along_x, along_y = (each[:, None] for each in (body.long, body.short, body.cosine, body.sine))
    reach = 0.9 * uneven_outline(cosine, sine, [body.uneven[:, k, None] for k in range(4)])
    along, across = reach * long * cosine, reach * short * sine
    normal_a, normal_b = cosine * short, sine * long
    length = np.sqrt(normal_a * normal_a + normal_b * normal_b)
    normal_a, normal_b = normal_a / length, normal_b / length
    return [
        body.x[:, None] + along * along_x - across * along_y,
        body.y[:, None] + along * along_y + across * along_x,
        normal_a * along_x - normal_b * along_y,
        normal_a * along_y + normal_b * along_x,
    ]


def _spicules(rows: PhantomRows, body: Numbers, draw: Draw) -> Capsules:
    """Twelve tapering strands, evenly spread but for a jitter; their length and width grow with the spiculation."""
    around = (np.arange(_SPICULES) + draw("spicule-angle", 0, 1, _SPICULES)) / _SPICULES
    x, y, out_x, out_y = _rim(body, around)
    tilt_c, tilt_s = direction(draw("spicule-tilt", -0.06, 0.06, _SPICULES))
    out_x, out_y = out_x * tilt_c - out_y * tilt_s, out_x * tilt_s + out_y * tilt_c
    amount = rows["margin"][:, None]
    length = amount * draw("spicule-length", *SPICULE, _SPICULES)
    width = np.minimum(1, 2 * amount) * draw("spicule-width", *SPICULE_RADIUS, _SPICULES)
    # Strands are of tissue denser than ground glass, so that the margin is as visible in every texture but for a share.
    strength = (amount > 0) * (rows["contrast"] * (0.8 + 0.2 * _opacity(rows, OUTER)))[:, None] * np.ones_like(length)
    extent = length + 0.1 * body.short[:, None]
    return Capsules(x, y, x + extent * out_x, y + extent * out_y, width, 0.3 * width, strength, 0.8 * strength)


def _feeder(rows: PhantomRows, body: Numbers, draw: Draw) -> Capsules:
    """A vessel that enters the nodule: three bent pieces outward from just under its outline."""
    x, y, out_x, out_y = _rim(body, draw("feeder-angle", 0, 1, 1))
    turn_c, turn_s = direction(np.cumsum(draw("feeder-turn", -0.09, 0.09, _FEEDERS), axis=1))
    lengths = draw("feeder-length", 0.6 * FEEDER, FEEDER, _FEEDERS)
    radii = draw("feeder-radius", 0.6, 1.2, 1) * np.array([1.0, 0.88, 0.76, 0.64])
    fading = path_points(np.zeros(len(x)), draw("feeder-fading", -0.3, 0.0, _FEEDERS))
    return Capsules.along(
        path_points(x[:, 0], lengths * (out_x * turn_c - out_y * turn_s)),
        path_points(y[:, 0], lengths * (out_x * turn_s + out_y * turn_c)),
        radii,
        FEEDER_HU * rows["vessel"][:, None] * (1 + fading),
    )


# The surroundings of a lesion in a CT patch of lung: parenchyma, chest wall with ribs, and the scanner's noise.

FINEST = 64
"""Cells of the finest lattice of noise over the field: CT noise has no structure finer than some 0.7 mm."""
SOLID = 900.0
"""HU over parenchyma of tissue without air."""


def parenchyma(draw: Draw, texture: float, tissue: Plane, grid: Grid) -> Plane:
    """HU of the lung with the tissue in it: a level per patch, slow changes over centimeters and fine ones over 2 mm.

    texture: standard deviation of the fine changes in aerated lung, in HU; the slow ones have half of it. They are
    strongest where air and tissue mix, as in ground glass, and vanish in solid tissue.
    tissue: HU above parenchyma of the tissue in the lung.
    """
    coarse = white_noise(draw.nuisance, "parenchyma-coarse", 8, 8, grid.device)
    fine = white_noise(draw.nuisance, "parenchyma-fine", 26, 26, grid.device)
    slow = spline_zoom(coarse, 26).mul_(0.5 * texture / float(zoom_gain(6, 26)))
    field = spline_zoom(slow.add_(fine.mul_(texture / float(zoom_gain(24, 64)))), grid.size)
    solid = (tissue * (1 / SOLID)).clamp_(max=1)
    mixed = (solid * 10 + 1).mul_(1 - solid)
    return field.mul_(mixed).add_(tissue).add_(grid.tensor(draw("parenchyma-level", -910, -800)))


def scanner_noise(draw: Draw, deviation: float, dose_range: float, grid: Grid) -> Plane:
    """Noise in HU, correlated over about a millimeter, by a reconstruction kernel that differs from patch to patch.

    deviation: standard deviation in HU at the middle dose; single patches have between 1 / (1 + dose_range) and
    (1 + dose_range) times that. Pixels wider than the finest lattice average its noise.
    """
    cells = min(grid.size, FINEST)
    white = white_noise(draw.nuisance, "noise", cells + 4, cells + 4, grid.device)
    kernel = draw("kernel", 0.12, 0.32, 2).T
    shaped = soften(white, *(grid.flat(along) for along in kernel))
    t = draw("dose", -1, 1)
    level = np.where(t < 0, 1 / (1 - dose_range * t), 1 + dose_range * t) * deviation
    if grid.size > FINEST:
        shaped, level = spline_zoom(shaped, grid.size), level / zoom_gain(cells, grid.size, *kernel)
    else:
        shaped, level = shaped[:, 1:-1, 1:-1], level * (cells / FINEST) ** 0.5
    return shaped * grid.tensor(level)


def chest_wall(draw: Draw, blur: Float[np.ndarray, "n"], grid: Grid) -> tuple[Plane, Plane]:
    """Coverage by the chest wall, and its HU: muscle, a layer of fat beyond it, and ribs, bright at their rim.

    The lung is inside a circle, whose border is 9 to 20 mm from the middle of the patch.
    """
    tensor, edge = grid.tensor, grid.tensor(blur)
    (x, y), (out_x, out_y) = grid.axes(), draw.heading("wall-side")
    distance, radius = draw("wall-distance", 9, 20), draw("wall-radius", 35, 110)
    rib = np.where(draw("rib") < 0.75, draw("rib-place", -20, 20), 1e4)
    length, thickness, deep = draw("rib-length", 6, 14), draw("rib-thickness", 2.8, 4.2), draw("rib-depth", 5, 7.5)
    from_x, from_y = x - tensor((distance - radius) * out_x), y - tensor((distance - radius) * out_y)
    depth = (from_x * from_x + from_y * from_y).sqrt_().sub_(tensor(radius))
    hu = ramp(depth - tensor(draw("wall-fat", 11, 18)), 2 * edge + 2).mul_(-140).add_(45)
    along = (x * tensor(-out_y) + y * tensor(out_x)).sub_(tensor(rib)).mul_(tensor(1 / length))
    across = (depth - tensor(deep)).mul_(tensor(1 / thickness))
    inside = 1 - (along.mul_(along)).add_(across.mul_(across)).sqrt_()
    bone = ramp(inside.mul_(tensor(thickness)), edge)
    marrow = ramp(inside.sub_(1.1), edge)
    return ramp(depth, edge), hu.add_(bone.mul_(650)).sub_(marrow.mul_(420))


# The lung's own structure: branching vessels that run in and out of the slice, and vessels cut across.

_STEP = 5.0  # the longest piece of a vessel, in mm
_HU = 850.0  # of a vessel over parenchyma
_TREES, _TRUNK, _BRANCH = 5, 4, 3
_DOTS = 24


def branching_vessels(draw: Draw, density: float, field: float) -> Capsules:
    """Up to five trees per patch: a trunk of four pieces and a side branch of three, thinner and dimmer as they go.

    density: 1 is normal, 0 none; it scales how many of the trees are there.
    """
    strength = _HU * (draw("tree", 0, 1, _TREES) < 0.5 * density)
    x, y = (draw(f"tree-{axis}", -0.55 * field, 0.55 * field, _TREES) for axis in ("x", "y"))
    u = draw("tree-radius", 0, 1, _TREES)
    radius = 0.45 + 1.2 * u * u

    def path(stream: str, start: Course, radius: np.ndarray, steps: int) -> tuple[np.ndarray, ...]:
        turns = draw(f"{stream}-turn", -0.07, 0.07, _TREES, steps)
        lengths = draw(f"{stream}-length", 0.5 * _STEP, _STEP, _TREES, steps)
        x, y, headings = wander(start, turns, lengths)
        radii = radius[..., None] * (1 - 0.14 * np.arange(steps + 1))
        bright = draw(f"{stream}-strength", 0.3, 1.1, _TREES, steps + 1) * strength[..., None]
        return x, y, radii, bright, headings

    *trunk, headings = path("trunk", (x, y, draw("tree-heading", 0, 1, _TREES)), radius, _TRUNK)
    side = np.where(draw("side", 0, 1, _TREES) < 0.5, -0.12, 0.12)
    fork_x, fork_y, fork_radius = (each[..., 2] for each in trunk[:3])
    *branch, _ = path("branch", (fork_x, fork_y, headings[..., 1] + side), 0.7 * fork_radius, _BRANCH)
    return Capsules.concatenate([Capsules.along(*trunk), Capsules.along(*branch)])


def cut_vessels(draw: Draw, density: float, field: float) -> Capsules:
    """Vessels across the slice: dots and short strokes, most of them small and dim."""
    present = draw("dot", 0, 1, _DOTS) < 0.65 * density
    x, y = (draw(f"dot-{axis}", -0.5 * field, 0.5 * field, _DOTS) for axis in ("x", "y"))
    cosine, sine = draw.heading("dot-heading", _DOTS)
    u, v = draw("dot-length", 0, 1, _DOTS), draw("dot-radius", 0, 1, _DOTS)
    length, radius = 2.5 * u * u * u, 0.4 + 0.9 * v * v * v
    strength = draw("dot-strength", 0.35, 1.0, _DOTS) * (_HU * present)
    return Capsules(x, y, x + length * cosine, y + length * sine, radius, 0.8 * radius, strength, 0.7 * strength)


# The nodule phantom: a CT-like patch of lung with one nodule whose every feature is a factor that we set.

FIELD = 48.0
"""Millimeters that an image shows a side, whatever its size in pixels."""
LOW, HIGH = -1000.0, 400.0
"""HU of pixel values 0 and 1."""


@dataclass(frozen=True, slots=True)
class _Patches:
    """All that is drawn of some images, before there are pixels."""

    lesion: Lesion
    vessels: tuple[Capsules, ...]
    draw: Draw


@component(
    "phantom",
    "nodule",
    DataTraits(factors=FACTORS),
    summary="CT-like lung patches, 32 to 256 px, with one nodule of known margin, texture, size, contrast and shape",
)
@dataclass(kw_only=True, eq=False)
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

    Examples:
        A nodule of twice the diameter covers more than twice the area:

        >>> phantom = NodulePhantom()
        >>> values = {factor.name: phantom.quantile(factor.name, np.full(2, 0.5)) for factor in phantom.factors}
        >>> values["size"] = np.array([8.0, 16.0])  # mm
        >>> area = phantom.render(values, np.array([7, 7]), 128, {}).masks.sum((1, 2, 3))
        >>> bool(area[1] > 2 * area[0])
        True
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
            "margin": DifficultyEffect(0, 0, 3),
            "size": DifficultyEffect(10, 3, 30),
            "contrast": DifficultyEffect(750, 50, 1200),
            "position_x": DifficultyEffect(0, -20, 20),
            "position_y": DifficultyEffect(0, -20, 20),
            "elongation": DifficultyEffect(1, 1, 3),
            "vessel": DifficultyEffect(0, 0, 1.5),
        },
        groups={"position": ("position_x", "position_y")},
        rows=2048,
    )

    noise: Annotated[
        float, Field(ge=0, le=200, description="HU, standard deviation of the scanner's noise at middle dose")
    ] = 22.0
    dose: Annotated[
        float, Field(ge=0, le=3, description="spread of dose: noise lies between 1/(1+dose) and 1+dose times")
    ] = 0.8
    vessels: Annotated[float, Field(ge=0, le=2, description="density of vessels, 1 normal, 0 none")] = 1.0
    parenchyma: Annotated[
        float, Field(ge=0, le=100, description="HU, standard deviation of the lung's own texture")
    ] = 20.0
    wall: Annotated[float, Field(ge=0, le=1, description="share of patches that show the chest wall")] = 0.5

    def plan(self, rows: PhantomRows, grid: Grid) -> _Patches:
        """Compute the nodules and the vessels around them."""
        draw = rows.draw()
        vessels = branching_vessels(draw, self.vessels, FIELD), cut_vessels(draw, self.vessels, FIELD)
        return _Patches(nodule(rows, draw), vessels, draw)

    def draw(self, plan: _Patches, grid: Grid) -> Rendered:
        """Draw patches and masks of the nodule with its spicules."""
        draw, scanner_blur = plan.draw, plan.draw("blur", 1.2, 2.4)
        # The scanner's own blur, and that of a pixel, in mm.
        blur = np.sqrt(scanner_blur * scanner_blur + grid.pixel * grid.pixel)
        tissue = grid.blank(len(blur))
        for tubes in plan.vessels:
            draw_capsules(tissue, tubes, blur, grid)
        mask = draw_lesion(tissue, plan.lesion, blur, grid)
        hu = parenchyma(draw, self.parenchyma, tissue.view(-1, grid.size, grid.size), grid)
        rows = np.flatnonzero(draw("wall") < self.wall)
        if len(rows) > 0:
            coverage, wall = chest_wall(Draw(draw.nuisance[rows]), blur[rows], grid)
            index = torch.as_tensor(rows, device=grid.device)
            lung = hu[index]
            hu[index] = torch.maximum(lung, lung + (wall - lung) * coverage)
        hu.add_(scanner_noise(draw, self.noise, self.dose, grid))
        shape = (-1, 1, grid.size, grid.size)
        return Rendered(hu.sub_(LOW).mul_(1 / (HIGH - LOW)).clamp_(0, 1).view(shape), mask.view(shape))
