"""The chest phantom: radiographs with or without a mass."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from assay.core.registry import component
from assay.core.traits import DataTraits
from assay.core.types import Factor
from assay.data.dataset import Rendered
from assay.data.phantoms.base import (
    DifficultyEffect,
    DrawnPhantom,
    Levels,
    PhantomDesign,
    PhantomRows,
    Skewed,
    drawn_by_assay,
)
from assay.data.phantoms.drawing import (
    Capsules,
    Course,
    Grid,
    Numbers,
    Plane,
    Windows,
    draw_capsules,
    oval,
    ramp,
    smooth,
    soften,
    spline_zoom,
    uneven_outline,
    wander,
    white_noise,
    zoom_gain,
)

FACTORS = (
    Factor.either("mass", ("absent",), ("present",), "a mass in a lung", role="core"),
    Factor.numeric("size", 29.0, 67.0, "diameter of the circle of equal area", unit="mm"),
    Factor.numeric("contrast", 0.2, 0.5, "attenuation that the mass adds, the whole chest's being 1"),
    Factor.numeric("edge", 0.0, 1.0, "0 sharp to 1 ill-defined"),
    Factor.either("side", ("right",), ("left",), "the patient's side of the mass"),
    Factor.ranked("zone", ("upper", "middle", "lower"), "third of the lung with the mass"),
    Factor.either("sex", ("F",), ("M",), "breasts, width of the thorax"),
    Factor.numeric("age", 20.0, 90.0, "bone, cartilage, aorta, lung marks", unit="years"),
    Factor.either("view", ("PA",), ("AP",), "heart, shoulder blades, collar bones"),
    Factor.either("scanner", ("computed",), ("direct",), "grain, sharpness, tone"),
    Factor.numeric("habitus", 0.0, 1.0, "0 slender to 1 heavy"),
    Factor.numeric("exposure", -1.0, 1.0, "-1 dark to 1 bright"),
)


# The build of a chest: place and size of its parts, and the patient's position before the detector.
#
# Lengths are millimeters at the patient, from the middle of the chest: x to the image's right (the patient's left), y
# down. Everything follows from the visible factors and the nuisance seed.


def anatomy(rows: PhantomRows) -> Numbers:
    """The build of each patient: factors from `rows`, all else from the nuisance seed. Sizes and places, [n] each."""
    draw = rows.draw("chest-")
    sex, view, heavy, age = (rows[name] for name in ("sex", "view", "habitus", "age"))
    breath = draw("breath", -20, 20) - 13 * view - 10 * heavy
    loose = 1 + 0.6 * view
    return Numbers(
        # Position of the patient: magnification, place of the chest in the image, lean and bend of the midline.
        zoom=draw("zoom", 0.92, 1.1) * (1 - 0.02 * sex) * (1 + 0.03 * view),
        x=draw("x", -10, 10) * loose,
        y=draw("y", -16, 14) * loose + 2,
        lean=draw("lean", -0.035, 0.035) * loose,
        bend=draw("bend", -6, 6),
        # Height of the lungs' top and of the diaphragm's domes, and how far the costophrenic angles lie below these.
        apex=draw("apex", -166, -148) + 4 * sex,
        dome_right=80 + breath,
        dome_left=80 + breath + draw("left-dome", 2, 18),
        angle=draw("angle", 34, 54),
        # Half width of the rib cage, thickness of the chest wall, half width of the neck, and the gap between arm and
        # trunk, negative where they touch.
        width=draw("width", 142, 160) * (1 - 0.085 * sex) * (1 + 0.05 * heavy),
        wall=(draw("wall", 16, 34) + 46 * (heavy + 0.25)).clip(10),
        neck=draw("neck", 56, 68) - 6 * sex + 22 * heavy,
        arms=draw("arms", -14, 30) - 22 * view - 24 * heavy,
        # Depth of the lungs over normal, right over left lung width, and how far a turn of the body moves heart and
        # vessels to the left of the spine.
        inflation=draw("inflation", 0.9, 1.05) - 0.12 * view,
        asymmetry=draw("asymmetry", 0.96, 1.05),
        turned=draw("turned", -7, 7) * (1 + view),
        # Width and height of the heart over normal, and the height of its middle; half width of the great vessels above
        # it, radius of the aortic knob, and how far the aorta below it bulges.
        heart=draw("heart", 0.86, 1.08) * (1 + 0.13 * view) * (1 + 0.1 * heavy) * (1 - 0.06 * sex),
        heart_y=70 + 0.8 * breath + draw("heart-y", -5, 5),
        tall=draw("heart-tall", 0.9, 1.1),
        mediastinum=draw("mediastinum", 22, 28) * (1 + 0.2 * view) * (1 + 0.2 * heavy),
        knob=draw("knob", 15, 20) + 5.5 * age,
        unfolding=draw("unfolding", 0, 5) + 7 * age,
        # Thickness of the breasts as a share of the chest's, their half width and place; strength of the bubble in the
        # stomach, 0 none, its place and half lengths.
        breast=sex * draw("breast", 0.1, 0.26) * (1 + 0.5 * heavy) * (1 - 0.2 * view),
        breast_size=draw("breast-size", 60, 82) * (1 + 0.25 * heavy),
        breast_x=draw("breast-x", 82, 100) + 12 * view,
        breast_y=draw("breast-y", 48, 84) - 8 * view,
        stomach=draw("stomach", -0.5, 1.0).clip(0) * (1 - 0.45 * view),
        stomach_x=draw("stomach-x", 46, 82),
        stomach_width=draw("stomach-width", 20, 38),
        stomach_height=draw("stomach-height", 10, 18),
    )


# The outlines of a chest, line by line of the image: half widths of body and lungs, borders of the mediastinum.
#
# One number per row and line, in exactly defined float64 arithmetic, so that drawing an outline costs its pixels one
# comparison with a border.

Lines = Float[np.ndarray, "n lines"]


def outlines(build: Numbers, y: Lines) -> Numbers:
    """The outlines at these heights (mm from the middle of the chest, down): distances from the midline in mm.

    body: the skin. thickness: of the trunk in the middle, as a share of the chest's. lung_right, lung_left: the rib
    cage's inner border. lung_cosine: of the border's slope, so that a distance along the line becomes one across the
    border. apical: how deep the lung is at this height, 0 at the apex to 1. right, left: borders of heart and vessels.
    """
    each = build.take(np.s_[:, None])
    lung = _lung(each, y)
    return Numbers(
        body=_body_width(each, y),
        thickness=0.62 + 0.38 * smooth((y + 190) / 110) + 0.25 * smooth((y - 30) / 110),
        lung_right=lung * each.asymmetry,
        lung_left=lung * (2 - each.asymmetry),
        lung_cosine=_border_cosine(lung, y),
        apical=_arc(((y - each.apex) / 95).clip(0, 1)),
        right=_right_border(each, y) - each.turned,
        left=_left_border(each, y) + each.turned,
    )


def _arc(t: np.ndarray) -> np.ndarray:
    """A quarter of a circle that rises from 0 at t = 0 to 1 at t = 1."""
    return np.sqrt((t * (2 - t)).clip(0))


def _border_cosine(border: Lines, y: Lines) -> Lines:
    """Cosine of the angle between a border and the vertical, from the difference between lines."""
    slope = np.zeros_like(border)
    slope[:, 1:-1] = (border[:, 2:] - border[:, :-2]) / (y[:, 2:] - y[:, :-2])
    return 1 / np.sqrt(1 + slope * slope)


def _lung(build: Numbers, y: Lines) -> Lines:
    """Narrow at the apex, widest near the diaphragm, then slightly narrower."""
    t = ((y - build.apex) / 190).clip(0, 1)
    below = ((y - build.apex - 190) / 130).clip(0, 1)
    wide = build.width * (1 - 0.05 * below * below)
    return np.where(t > 0, 20 + (wide - 20) * (0.84 * _arc(t) + 0.16 * t), 0.0)


def _body_width(build: Numbers, y: Lines) -> Lines:
    """Neck, slope of the shoulders, then the trunk below the armpits."""
    t = ((y + 216) / 96).clip(0, 1)
    shoulders = build.neck + 200 * t * (0.35 + 0.65 * t)
    trunk = (build.width + build.wall) * (1 + 0.03 * smooth((y - 40) / 120))
    return np.minimum(shoulders, trunk + 130 * (1 - smooth((y + 85) / 90)))


def _right_border(build: Numbers, y: Lines) -> Lines:
    """Vena cava, then the right atrium, then its angle with the diaphragm."""
    vessels = build.mediastinum * (1 + 0.08 * smooth((y + 100) / 60)) + 12 * (1 - smooth((y + 170) / 60))
    return np.maximum(vessels, 43 * build.heart * _bulge(y - build.heart_y + 10, 62 * build.tall, 58))


def _left_border(build: Numbers, y: Lines) -> Lines:
    """Subclavian vessels, aortic knob, then the heart."""
    vessels = build.mediastinum * 0.92 + 14 * (1 - smooth((y + 170) / 70))
    vessels = vessels + build.unfolding.clip(0) * smooth((y + 78) / 25)
    round_knob = _bulge(y + 76, build.knob, build.knob)
    knob = np.where(round_knob > 0, 14 + build.knob * round_knob, 0)
    return np.maximum(np.maximum(vessels, knob), left_heart(build, y))


def left_heart(build: Numbers, y: Lines) -> Lines:
    """Pulmonary trunk and left ventricle: the part of the left border that does not change with age.

    Its build has a second axis for the lines.
    """
    trunk = 21 + 12 * _bulge(y + 32, 34, 40)
    t = ((y - build.heart_y - 8) / (92 * build.tall)).clip(-1, 0)
    upper = 0.75 * (1 - t * t) + 0.25 * np.sqrt((1 - t * t).clip(0))
    lower = _bulge(y - build.heart_y - 8, 1e6, 62)
    return np.maximum(trunk, (18 + 66 * build.heart) * np.where(t < 0, upper, lower))


def _bulge(y: Lines, above: np.ndarray | float, below: np.ndarray | float) -> Lines:
    """Half an ellipse of height 1 about y = 0 that reaches so far up and so far down."""
    t = y / np.where(y < 0, above, below)
    return np.sqrt((1 - t * t).clip(0))


# Coordinates of each pixel in the patient, in which all parts of a chest are drawn.


@dataclass(frozen=True, slots=True)
class ChestCoordinates:
    """Coordinates of m images, in mm at the patient from the middle of the chest.

    y: [m, size, 1] as `lines` [m, size] in float64. x: [m, size, size], to the patient's left. away: |x|.
    is_left: x > 0. depth: mm inside the rib cage, across its border. reach: |x| as a share of the cage's half width.
    edge: [m, 1, 1], width in mm of a sharp edge as the scanner and the pixel blur it.
    """

    grid: Grid
    lines: Float[np.ndarray, "m size"]
    outlines: Numbers
    y: Float[Tensor, "m size 1"]
    x: Plane
    away: Plane
    is_left: Bool[Tensor, "m size size"]
    depth: Plane
    reach: Plane
    edge: Float[Tensor, "m 1 1"]

    def tensor(self, values: Float[np.ndarray, "m"]) -> Float[Tensor, "m 1 1"]:
        """One number per image, to be broadcast."""
        return self.grid.tensor(values)

    def along(self, values: Float[np.ndarray, "m size"]) -> Float[Tensor, "m size 1"]:
        """One number per line, to be broadcast."""
        return self.grid.flat(values)[:, :, None]

    def by_side(self, right: Float[Tensor, "m #size 1"], left: Float[Tensor, "m #size 1"]) -> Plane:
        """Return the number of each pixel's side."""
        return torch.where(self.is_left, left, right)


def chest_coordinates(build: Numbers, blur: Float[np.ndarray, "m"], grid: Grid) -> ChestCoordinates:
    """The coordinates of these images; `blur` is the width of a sharp edge in mm at the detector."""
    zoom, flat = build.zoom[:, None], grid.flat
    y = (grid.line - build.y[:, None]) / zoom
    shape = outlines(build, y)
    x = flat(grid.line / zoom)[:, None, :] - flat(_midline(build, y) / zoom)[:, :, None]
    away, is_left = x.abs(), x > 0
    border = torch.where(is_left, flat(shape.lung_left)[:, :, None], flat(shape.lung_right)[:, :, None])
    depth = (border - away).mul_(flat(shape.lung_cosine)[:, :, None])
    reach = away / border.clamp_(min=25)
    return ChestCoordinates(
        grid, y, shape, flat(y)[:, :, None], x, away, is_left, depth, reach, grid.tensor(blur / build.zoom)
    )


def on_image(build: Numbers, x: Float[np.ndarray, "n ..."], y: Float[np.ndarray, "n ..."]) -> tuple[Lines, Lines]:
    """Convert points of the patient to millimeters on the image; the inverse of `chest_coordinates`."""
    expanded = build.take((slice(None), *[None] * (y.ndim - 1)))
    return x * expanded.zoom + _midline(build, y), y * expanded.zoom + expanded.y


def _midline(build: Numbers, y: Float[np.ndarray, "n ..."]) -> Float[np.ndarray, "n ..."]:
    """Compute the midline's place on the image in mm, at these heights of the patient."""
    expanded, bent = build.take((slice(None), *[None] * (y.ndim - 1))), y * (1 / 150)
    return expanded.x + expanded.zoom * (expanded.lean * y + expanded.bend * (bent * bent - 0.5))


# The bones of a chest: ribs behind and in front, collar bones, shoulder blades and spine, as attenuation added.

_RIBS = 14


def bones(rows: PhantomRows, build: Numbers, amount: float) -> Numbers:
    """The skeleton of each patient; lengths in mm. amount: scales the attenuation of all bone, 1 normal."""
    draw, age, view = rows.draw("bone-"), rows["age"], rows["view"]
    return Numbers(
        # From rib to rib, height of the first rib's head, how ribs curve behind and fall at the side and in front, and
        # each rib's own shift and half width in spacings, right then left.
        spacing=(build.dome_right - build.apex) / draw("count", 9.6, 11.0),
        first=build.apex - 6,
        bow=draw("bow", 44, 66),
        drop=draw("drop", 14, 34),
        fall=draw("fall", 44, 62) + 5 * age - 6 * view,
        shift=draw("shift", -0.08, 0.08, 2 * _RIBS),
        half=draw("half", 0.22, 0.28, 2 * _RIBS),
        # Of all bone, and chalk in the ribs' cartilage.
        density=amount * draw("density", 0.8, 1.15) * (1 - 0.12 * age) * (1 - 0.1 * rows["sex"]),
        calcified=(draw("calcified", -0.2, 0.5) + 0.9 * age).clip(0),
        # Height of the collar bones at the breast bone, their rise per mm and the depth of their S; distance of the
        # shoulder blades' inner border from the midline, and their height.
        collar=build.apex + draw("collar", 34, 50) - 16 * view,
        collar_slope=draw("collar-slope", 0.16, 0.32) - 0.17 * view,
        collar_bow=draw("collar-bow", 0.6, 1.4),
        blade=draw("blade", 124, 138) - 36 * view,
        blade_y=build.apex + draw("blade-y", 58, 76),
        # Height of a vertebra with its disc, and where the first begins.
        vertebra=draw("vertebra", 21.5, 25),
        phase=draw("phase", 0, 1),
    )


def skeleton(skeletons: Numbers, above: Plane, speckle: Plane, at: ChestCoordinates) -> Plane:
    """All bones' attenuation. above: 1 over the diaphragm, 0 under it. speckle: how chalk is spread in cartilage."""
    total = _ribs(skeletons, above, speckle, at)
    top = at.grid.size - at.grid.size // 3
    upper = _collar_bones(skeletons, at, top).add_(_shoulder_blades(skeletons, at, top))
    within = ramp(at.along(at.outlines.body - 4)[:, :top] - at.away[:, :top], at.edge + 4)
    total[:, :top].add_(upper.mul_(within))
    return total.mul_(at.tensor(skeletons.density)).add_(_spine(skeletons, at))


def _ribs(b: Numbers, above: Plane, speckle: Plane, at: ChestCoordinates) -> Plane:
    """Ribs counted along the height, bent by the lateral position of a pixel."""
    r2 = at.reach * at.reach
    r4 = r2 * r2
    count = at.along((at.lines - b.first[:, None]) / b.spacing[:, None])
    behind = (at.reach * at.tensor(-0.7 * b.bow)).add_(r2 * at.tensor(b.bow)).add_(r4.mul_(r4) * at.tensor(b.drop))
    ends = ramp(at.depth + 5, at.edge + 4)
    back, _ = _rib_bands(count - behind.mul_(at.tensor(1 / b.spacing)), b, at)
    back.mul_((r2 * 0.35).add_(0.75)).mul_(ramp(at.away - 14, at.edge + 6))
    bend = (1 - r2).mul_(at.tensor(b.fall)).add_(at.tensor(0.3 * b.bow + b.drop))
    front, rim = _rib_bands(count - bend.mul_(at.tensor(1 / b.spacing)), b, at)
    stop = at.along(52 + 40 * smooth((at.lines + 20) / 140))
    bony = ramp(at.away - stop, at.edge + 6)
    chalk = (
        rim.mul_(speckle).mul_(at.tensor(b.calcified)).mul_(1 - bony).mul_(ramp(at.away - (stop - 42), at.edge + 20))
    )
    front.mul_(bony).mul_(0.5).add_(chalk.mul_(0.9))
    return back.add_(front).mul_(above * 0.75 + 0.25).mul_(ends).mul_(0.083)


def _rib_bands(s: Plane, b: Numbers, at: ChestCoordinates) -> tuple[Plane, Plane]:
    """Tubes at whole numbers of s, denser at their rims; and how much of a rim each pixel is."""
    number = s.floor().clamp_(0, _RIBS - 1)
    index = (number + at.is_left * _RIBS).to(torch.int64).flatten(1)

    def of_rib(table: np.ndarray) -> Plane:
        return at.grid.flat(table).gather(1, index).view(s.shape)

    spacing = at.tensor(b.spacing)
    depth = (of_rib(b.half) - (s - number - 0.5).sub_(of_rib(b.shift)).abs_()).mul_(spacing)
    tube = ramp(depth, at.edge + 0.6)
    marrow = ramp(depth - 2.6, at.edge + 1.6)
    return tube - marrow * 0.4, tube - marrow * 0.7


def _collar_bones(b: Numbers, at: ChestCoordinates, top: int) -> Plane:
    """An S from the breast bone outwards and up."""
    away, y = at.away[:, :top], at.y[:, :top]
    t = (away - 18).mul_(1 / 130)
    s_shape = (t * (1 - t)).mul_(t * 2 - 1).mul_(at.tensor(52 * b.collar_bow))
    rise = t.mul(at.tensor(-130 * b.collar_slope)).add_(s_shape).add_(at.tensor(b.collar))
    half = (t - 0.45).abs_().mul_(5).add_(5.4)
    depth = half - (rise - y).abs_()
    bone = ramp(depth, at.edge + 0.8)
    bone.sub_(ramp(depth - 2.6, at.edge + 1.6).mul_(0.35))
    ends = ramp(away - 17, at.edge + 5).mul_(ramp(165 - away, at.edge + 8))
    return bone.mul_(ends).mul_(0.15)


def _shoulder_blades(b: Numbers, at: ChestCoordinates, top: int) -> Plane:
    """Triangles with a dense rim that point down, and the head of the upper arm."""
    away, y = at.away[:, :top], at.y[:, :top]
    u, v = away - at.tensor(b.blade), y - at.tensor(b.blade_y)
    inner = u - v * 0.2 + 7 - (v * v).mul_(0.0018)
    outer = 84 - u - v * 0.62
    upper = v + 62 - u * 0.16
    depth = torch.minimum(torch.minimum(inner, outer), upper)
    blade = ramp(depth, at.edge + 1).mul_(0.11).sub_(ramp(depth - 4, at.edge + 3).mul_(0.055))
    u, v = u.sub_(74), v + 34
    head = ramp(26 - u.mul_(u).add_(v * v).sqrt_(), at.edge + 3).mul_(0.14)
    return torch.maximum(blade, head)


def _spine(b: Numbers, at: ChestCoordinates) -> Plane:
    """Vertebrae with discs between them, wider the lower they are."""
    t = at.lines / b.vertebra[:, None] + b.phase[:, None]
    t = np.abs(2 * (t - np.floor(t)) - 1)
    body = 0.06 + 0.04 * smooth(3 * (0.86 - t)) + 0.025 * smooth(6 * (0.25 - t))
    half = 15 + 6 * ((at.lines + 160) / 320).clip(0, 1) + 2 * smooth(3 * (t - 0.6))
    depth = at.along(half) - at.away
    return ramp(depth, at.edge + 9).mul_(at.along(body * b.density[:, None]))


# Soft tissue and air of a chest as a radiograph sums them: trunk, arms, lungs, heart, diaphragm, breasts, stomach.
#
# The unit is the attenuation of the chest's whole thickness without its air: 1 in the mediastinum.

INFLATED = 0.8
"""Share of the chest's thickness that is lung where it is deepest."""
_RECESS = 0.2  # share of that depth behind the diaphragm's dome
_TAPER = 0.25  # share of its thickness that the trunk loses at the skin, compared with an ellipse


def soft_tissue(build: Numbers, at: ChestCoordinates) -> tuple[Plane, Plane, Plane]:
    """Attenuation of all but bones, vessels, texture and the finding; depth of lung, 0 to 1; 1 above the diaphragm."""
    air, above = _air(build, at)
    trunk = _torso(at)
    total = torch.maximum(trunk, _arms(build, at)).sub_((air * at.tensor(INFLATED * build.inflation)).mul_(trunk))
    total.sub_(_trachea(at).mul_(0.12)).sub_(_stomach(build, at))
    _add_breasts(total, build, at)
    return total.clamp_(min=0), air, above


def _torso(at: ChestCoordinates) -> Plane:
    """An ellipse across, tapered to the sides, as thick as this line's height is."""
    t = at.away * at.along(1 / at.outlines.body)
    side = 1 - t * _TAPER
    return (1 - t.mul_(t)).clamp_(min=0).sqrt_().mul_(side).mul_(at.along(at.outlines.thickness))


def _arms(build: Numbers, at: ChestCoordinates) -> Plane:
    """A tube next to the trunk with its bone, farther away the lower it is."""
    below = ((at.lines + 30) / 100).clip(0, 2.2)
    inner = (build.width + build.wall)[:, None] + build.arms[:, None] * below + 6 * below * below
    t = (at.away - at.along(inner + 44)).mul_(1 / 44)
    arm = (1 - t * t).clamp_(min=0).sqrt_().mul_(0.42)
    bone = ramp((0.26 - t.abs_()).mul_(44), at.edge).mul_(0.13)
    return arm.add_(bone).mul_(at.along(((at.lines + 60) / 40).clip(0, 1)))


def _air(build: Numbers, at: ChestCoordinates) -> tuple[Plane, Plane]:
    """Depth of lung at each pixel, 0 to 1, and 1 above the diaphragm to 0 below."""
    t = (at.depth * (1 / 92)).clamp_(0, 1)
    lung = (2 - t).mul_(t).sqrt_().mul_(at.along(at.outlines.apical))
    lung.mul_(1 - _mediastinum(at))
    above = _above_diaphragm(build, at)
    recess = (above / 62 + 1).clamp_(0, 1).mul_(_RECESS)
    share = ramp(above, at.edge + 1.5)
    lung.mul_(share + (1 - share) * recess)
    return lung, share


def _mediastinum(at: ChestCoordinates) -> Plane:
    """Share of the lung's depth that heart and vessels take: a step at their border, then more toward the middle."""
    depth = at.by_side(at.along(at.outlines.right), at.along(at.outlines.left)) - at.away
    t = (depth * (1 / 48)).clamp_(0, 1)
    inner = (2 - t).mul_(t).mul_(0.68)
    return ramp(depth, at.edge + 1.2).mul_(0.3).add_(inner)


def _above_diaphragm(build: Numbers, at: ChestCoordinates) -> Plane:
    """mm above the dome of the side: flat in the middle, steep toward the angle with the ribs."""
    t = (at.reach - 0.46).mul_(1 / 0.54)
    t.mul_(t)
    steep = (t * t).mul_(0.55).add_(t * 0.45).mul_(at.tensor(build.angle))
    return at.by_side(at.tensor(build.dome_right), at.tensor(build.dome_left)).add(steep).sub_(at.y)


def _trachea(at: ChestCoordinates) -> Plane:
    """The windpipe, a little to the right at its end."""
    place = -5 * ((at.lines + 110) / 55).clip(0, 1)
    extent = ((-48 - at.lines) / 10).clip(0, 1)
    return ramp((8.5 - (at.x - at.along(place)).abs_()), at.edge + 6).mul_(at.along(extent))


def _stomach(build: Numbers, at: ChestCoordinates) -> Plane:
    """A bubble of gas under the left dome over a level of fluid."""
    middle = build.dome_left + 1.25 * build.stomach_height + 6
    u = (at.x - at.tensor(build.stomach_x)).mul_(at.tensor(1 / build.stomach_width))
    v = (at.y - at.tensor(middle)) * at.tensor(1 / build.stomach_height)
    rho = u.mul_(u).add_(v * v)
    gas = (1.05 - rho).clamp_(0, 1).mul_(3).clamp_(max=1).mul_(0.2)
    level = ((middle + 0.55 * build.stomach_height)[:, None] - at.lines) / 3 + 0.5
    return gas.mul_(at.along(level.clip(0, 1) * build.stomach[:, None]))


def _add_breasts(total: Plane, build: Numbers, at: ChestCoordinates) -> None:
    """Half-ellipses that fade upwards and end in a fold below."""
    v = (at.lines - build.breast_y[:, None]) / build.breast_size[:, None]
    v = v * (v < 0) * 0.6 + v * (v >= 0) * 1.15
    u = (at.away - at.tensor(build.breast_x)).mul_(at.tensor(1 / build.breast_size))
    full = (1 - u.mul_(u)).sub_(at.along(v * v)).clamp_(min=0).sqrt_()
    total.add_(full.mul_(at.tensor(build.breast)))


# From attenuation to gray levels: scatter, exposure, the scanner's tone curve and grain.

FINEST = 256
"""Cells of the finest lattice of grain over the field: some 1.6 mm."""


def sharp_edge(rows: PhantomRows, grid: Grid) -> Float[np.ndarray, "n"]:
    """Width of a sharp edge in mm on the image: the scanner's own, the patient's motion and that of a pixel."""
    motion_blur = rows.draw("chest-")("blur", 2.0, 3.2) * (1 - 0.55 * rows["scanner"]).clip(0.2) + 0.8 * rows["view"]
    return np.sqrt(motion_blur * motion_blur + grid.pixel * grid.pixel)


def expose_radiograph(attenuation: Plane, rows: PhantomRows, grain: float, grid: Grid) -> Plane:
    """Gray levels 0 to 1, bright where much is absorbed.

    grain: standard deviation of the noise in gray levels of 1 in the mediastinum on the computed scanner at 256 px.
    """
    draw, tensor = rows.draw("chest-"), grid.tensor
    view, scanner, heavy = rows["view"], rows["scanner"], rows["habitus"]
    scatter = (0.06 + 0.1 * view + 0.1 * (heavy + 0.5)) * draw("scatter", 0.6, 1.4)
    contrast = draw("contrast", 0.82, 1.12) * (1 + 0.16 * scanner) * (1 - 0.22 * view) * (1 - scatter)
    level = draw("level", -0.07, 0.05) + 0.09 * rows["exposure"] + 0.5 * scatter + 0.1 * view
    body = (attenuation * 4).clamp_(0, 1)  # the background stays dark at any exposure
    # The beam is not quite straight upon the detector, least so at the bedside.
    steep = (1 + 1.2 * view)[:, None] * draw("shading", -0.07, 0.07, 2) * (2 / grid.field)
    x, y = grid.axes()
    veil = (tensor(level) + (x * tensor(steep[:, 0]) + y * tensor(steep[:, 1]))).mul_(body)
    z = attenuation.mul_(tensor(0.82 * contrast)).add_(veil)
    # The thicker the patient, the fewer the photons.
    loud = grain * (1 - 0.5 * scanner).clip(0.2) * (1 + 0.35 * view) * (1 + 0.7 * (heavy + 0.2))
    z.add_(_quantum_noise(rows, grid).mul_(z.clamp(min=0).mul_(tensor(loud)).add_(0.15 * grain)))
    return _tone(z, tensor(0.3 - 0.55 * scanner))


def _tone(z: Plane, lift: Float[Tensor, "n 1 1"]) -> Plane:
    """A curve that lifts (or deepens) the middle grays, is straight in the dark and saturates toward white."""
    z = z.clamp_(min=0)
    fourth = (z * z).mul_(z * z)
    z = z.div_((fourth + 1).sqrt_().sqrt_()).mul_(1.12).clamp_(max=1)
    return (1 - z).mul_(lift).mul_(z).add_(z).clamp_(0, 1)


def _quantum_noise(rows: PhantomRows, grid: Grid) -> Plane:
    """Grain of unit deviation at 256 px; larger pixels average it."""
    cells = min(grid.size, FINEST)
    white = white_noise(rows.nuisance, "chest-grain", cells + 4, cells + 4, grid.device)
    side = grid.flat(np.full(len(rows.nuisance), 0.14))
    shaped = soften(white, side, side)
    if grid.size > FINEST:
        return spline_zoom(shaped, grid.size).mul_(1 / float(zoom_gain(cells, grid.size, 0.14, 0.14)))
    return shaped[:, 1:-1, 1:-1] * (cells / FINEST)


# The finding of a chest radiograph: a mass in a lung, lobulated, with an edge from sharp to ill-defined.

SOFTEST = 22.0
"""Width in mm over which the most ill-defined edge fades."""
_UNEVEN = 0.09
_BULGE = 1 + 1.6 * 2 * _UNEVEN


def mass(rows: PhantomRows, build: Numbers) -> Numbers:
    """Place each mass in its zone of its lung, clear of the heart and the ribs' border, and compute its looks.

    strength: attenuation added at its center, 0 where there is no mass. fade: width of its edge in mm.
    """
    draw, side = rows.draw("mass-"), rows["side"]
    dome = (1 - side) * build.dome_right + side * build.dome_left
    share = 0.24 + 0.27 * rows["zone"] + draw("height", -0.07, 0.07)
    y = (build.apex + share * (dome - build.apex))[:, None]
    shape = outlines(build, y).take(np.s_[:, 0])
    heart = left_heart(build.take(np.s_[:, None]), y)[:, 0] + build.turned
    inner = (1 - side) * shape.right + side * heart + 12
    outer = (1 - side) * shape.lung_right + side * shape.lung_left - 18
    across = (2 * side - 1) * (inner + draw("across", 0.12, 0.95) * np.maximum(outer - inner, 0))
    x, y = on_image(build, across, y[:, 0])
    cosine, sine = draw.heading("axis")
    return Numbers(
        x=x,
        y=y,
        radius=0.5 * rows["size"],
        strength=rows["mass"] * rows["contrast"],
        fade=1 + (SOFTEST - 1) * rows["edge"],
        cosine=cosine,
        sine=sine,
        stretch=np.sqrt(draw("stretch", 1.0, 1.35)),
        uneven=draw("uneven", -_UNEVEN, _UNEVEN, 4),
    )


def draw_mass(total: Plane, masses: Numbers, blur: Float[np.ndarray, "n"], grid: Grid) -> Bool[Tensor, "n size size"]:
    """Add the masses' attenuation; return their masks: pixels inside the outline, at half of the edge."""
    rows, tensor = np.flatnonzero(masses.strength > 0), grid.tensor
    mask = grid.blank(total.shape[0])
    if len(rows) > 0:
        visible = masses.take(rows)
        edge = np.sqrt(visible.fade**2 + blur[rows] ** 2)
        extent = _BULGE * float((visible.radius * visible.stretch).max()) + 0.5 * float(edge.max())
        windows = Windows.around(rows, visible.x, visible.y, extent, grid)
        at = oval(visible, visible.radius * visible.stretch, visible.radius / visible.stretch, windows, grid)
        rho, cosine, sine, scale = at.rays()
        depth = (uneven_outline(cosine, sine, [tensor(visible.uneven[:, k]) for k in range(4)]) - rho).mul_(scale)
        # A ball's thickness along the beam, flattened, times the edge's coverage.
        inner = (depth * tensor(1 / visible.radius)).clamp_(0, 1)
        ball = (2 - inner).mul_(inner).sqrt_().mul_(0.5).add_(0.5)
        added = grid.blank(total.shape[0])
        windows.draw(added, ramp(depth, tensor(edge)).mul_(ball).mul_(tensor(visible.strength)))
        windows.draw(mask, (depth >= 0).to(mask.dtype))
        total.add_(added.view(total.shape))
    return mask.view(total.shape) > 0.5


# The texture of a radiograph's lungs, too fine to be drawn as vessels, and calcified speckle in cartilage.

_COARSE, _FINE = 7, 64
"""Cells over the field of the slow changes and of the fine ones (6 mm)."""


def lung_texture(rows: PhantomRows, amount: float, grid: Grid) -> tuple[Plane, Plane]:
    """Attenuation that a full depth of lung adds, coarser and stronger with age; and chalk's speckle, 0 to 1.

    amount: scales the texture, 1 normal.
    """
    coarse = white_noise(rows.nuisance, "chest-coarse", _COARSE + 2, _COARSE + 2, grid.device)
    field = spline_zoom(white_noise(rows.nuisance, "chest-fine", _FINE + 2, _FINE + 2, grid.device), grid.size)
    speckle = (field * 1.2).add_(0.5).clamp_(0, 1)
    fine = 0.021 * amount * rows.draw("chest-")("texture", 0.7, 1.3) * (1 + 0.35 * rows["age"])
    field.mul_(grid.tensor(fine / float(zoom_gain(_FINE, grid.size))))
    slow = spline_zoom(coarse, grid.size).mul_(0.03 * amount / float(zoom_gain(_COARSE, grid.size)))
    return field.add_(slow), speckle


# The vessels of a radiograph: hila, trunks that leave them outwards, and twigs.

_TREES, _STEPS, _TWIGS = 9, 5, 3
_OUTWARD = np.array([-0.235, -0.18, -0.12, -0.06, 0.0, 0.05, 0.1, 0.15, 0.2])
"""Heading of each trunk in turns from straight outwards: up is negative."""


def chest_vessels(rows: PhantomRows, build: Numbers, amount: float) -> Capsules:
    """Draw hila and vessels of both lungs as tubes on the image, with the attenuation that they add.

    They grow thicker and denser with age; the lower ones are larger, as in an upright patient.

    Args:
        rows: Age and nuisance seeds.
        build: Build of each patient.
        amount: Scales their attenuation, 1 normal.
    """
    return Capsules.concatenate(
        [
            Capsules.along(*on_image(build, sign * x, y), radius, amount * strength)
            for sign in (-1, 1)
            for x, y, radius, strength in _lung_vessels(rows, build, sign)
        ]
    )


def _lung_vessels(rows: PhantomRows, build: Numbers, sign: int) -> Iterator[tuple[np.ndarray, ...]]:
    """Paths of one lung in the patient's coordinates, outwards being positive: x, y, radius, strength by point."""
    draw = rows.draw(f"vessel-{'left' if sign > 0 else 'right'}-")
    height = -30 - 9 * (sign > 0) + 0.35 * (build.dome_right - 80)
    root_x = (build.mediastinum + 8)[:, None] + draw("root-x", -4, 8, _TREES)
    root_y = height[:, None] + draw("root-y", -12, 14, _TREES) + 70 * _OUTWARD
    size = (1 + 0.16 * rows["age"])[:, None]
    radius = size * draw("radius", 2.2, 4.0, _TREES) * (1 + 0.8 * _OUTWARD)
    strength = size * draw("strength", 0.07, 0.14, _TREES)
    length = 19 * (1 + 1.2 * _OUTWARD.clip(0)) * (0.9 + 0.25 * build.width[:, None] / 130)

    def path(stream: str, start: Course, length: np.ndarray, steps: int) -> Course:
        turns = draw(f"{stream}-turn", -0.035, 0.035, _TREES, steps)
        return wander(start, turns, length[..., None] * draw(f"{stream}-length", 0.7, 1.2, _TREES, steps))

    def fade(values: np.ndarray, steps: int) -> np.ndarray:
        return values[..., None] * (1 - 0.15 * np.arange(steps + 1))

    heading = _OUTWARD + draw("heading", -0.03, 0.03, _TREES)
    x, y, headings = path("trunk", (root_x, root_y, heading), length, _STEPS)
    yield x, y, fade(radius, _STEPS), fade(strength, _STEPS)
    for number, turn in ((1, 0.09), (2, -0.09), (3, 0.08)):
        fork = headings[..., number - 1] + turn + draw(f"fork-{number}", -0.04, 0.04, _TREES)
        twig = path(f"twig-{number}", (x[..., number], y[..., number], fork), 0.8 * length, _TWIGS)
        yield *twig[:2], fade((0.7 - 0.09 * number) * radius, _TWIGS), fade(0.9 * strength, _TWIGS)
    # Three short thick tubes where the vessels leave the heart.
    x, y = root_x.mean(axis=1)[:, None] + draw("hilum-x", -8, 2, 3), height[:, None] + draw("hilum-y", -12, 10, 3)
    thick, dense = draw("hilum-radius", 4.5, 7.5, 3) * size, draw("hilum-strength", 0.12, 0.19, 3)
    ends = (x, x + draw("hilum-across", 2, 12, 3)), (y, y + draw("hilum-along", 8, 28, 3))
    x, y, thick, dense = (np.stack(each, axis=-1) for each in (*ends, (thick, 0.7 * thick), (dense, 0.8 * dense)))
    yield x, y, thick, dense


# The chest phantom: a frontal radiograph of known sex, age, view and scanner, with a mass in a lung or without.

FIELD = 400.0
"""Millimeters at the detector that an image shows a side, whatever its size in pixels."""


@dataclass(frozen=True, slots=True)
class Chests:
    """All that is drawn of some images, before there are pixels. `mass` has a place even where it has no strength."""

    rows: PhantomRows
    build: Numbers
    skeleton: Numbers
    vessels: Capsules
    mass: Numbers
    blur: Float[np.ndarray, "n"]


@component(
    "phantom",
    "chest",
    DataTraits(factors=FACTORS),
    summary="frontal chest radiographs, 64 to 512 px, of known sex, age, view and scanner, with a mass or without",
)
@dataclass(kw_only=True, eq=False)
class ChestPhantom(DrawnPhantom[Chests]):
    """Frontal chest radiographs of 400 mm a side, 64 to 512 px, bright where much is absorbed.

    grain: standard deviation of the noise in the mediastinum on the computed scanner, in gray levels of 1.
    vessels: attenuation of hila and vessels, 1 normal, 0 none.
    bones: attenuation of all bone, 1 normal, 0 none.
    texture: strength of the lung's own fine texture, 1 normal, 0 none.

    Attenuations are summed, then turned into gray levels pixel by pixel, noise included: so a mass adds to the tissue
    before and behind it. A change of its factors leaves every pixel that it does not reach the same to the bit.

    At difficulty 0 of all factors every image shows a man of 50 years and middling habitus, PA, on the computed
    scanner, normally exposed, without a mass.

    Examples:
        The same image without and with a mass; pixels that it does not reach stay the same:

        >>> phantom = ChestPhantom()
        >>> values = {factor.name: phantom.quantile(factor.name, np.full(2, 0.6)) for factor in phantom.factors}
        >>> values["mass"] = np.array([0, 1])
        >>> rendered = phantom.render(values, np.array([7, 7]), 64, {})
        >>> rendered.masks.any((1, 2, 3)).tolist()
        [False, True]
        >>> float((rendered.images[0] == rendered.images[1]).float().mean()) > 0.5
        True
    """

    design = PhantomDesign(
        card=drawn_by_assay(
            "chest phantom",
            "frontal chest radiographs of known sex, age, view and scanner, with a mass of known place or none",
            "sex, age and view change what they are said to change and nothing else; real ones differ in more ways",
            "no other disease, no tubes, wires, markers or collimation: those are interventions",
            "one breath and one stance a patient; no rotation about the body's axis, no scoliosis beyond a bend",
        ),
        factors=FACTORS,
        sizes=(64, 512),
        side=FIELD,
        in_mm=True,
        marginals={"size": Skewed(29.0, 67.0), "zone": Levels((0.25, 0.375, 0.375))},
        shown={
            "mass": DifficultyEffect(0, 0, 3),
            "size": DifficultyEffect(44, 10, 100),
            "contrast": DifficultyEffect(0.35, 0.02, 1.0),
            "edge": DifficultyEffect(0.5, 0, 2),
            "side": DifficultyEffect(0, 0, 1),
            "zone": DifficultyEffect(1, -0.2, 2.2),
            "sex": DifficultyEffect(1, -0.6, 1, lambda man: 1 - man),  # 1 is a woman
            "age": DifficultyEffect(50, 10, 110, lambda years: (years - 50) / 40),
            "view": DifficultyEffect(0, 0, 1.6),
            "scanner": DifficultyEffect(0, 0, 1.6),
            "habitus": DifficultyEffect(0.5, -0.5, 1.5, lambda heavy: heavy - 0.5),
            "exposure": DifficultyEffect(0, -2, 2),
        },
        pixels=64 * 64 * 32,
    )

    grain: Annotated[
        float, Field(ge=0, le=0.3, description="noise in the mediastinum on the computed scanner, of gray 1")
    ] = 0.014
    vessels: Annotated[float, Field(ge=0, le=2, description="attenuation of hila and vessels, 1 normal, 0 none")] = 1.0
    bones: Annotated[float, Field(ge=0, le=2, description="attenuation of all bone, 1 normal, 0 none")] = 1.0
    texture: Annotated[float, Field(ge=0, le=3, description="strength of the lung's own texture, 1 normal, 0 none")] = (
        1.0
    )

    def plan(self, rows: PhantomRows, grid: Grid) -> Chests:
        """Compute build, bones, vessels and mass of each patient."""
        build = anatomy(rows)
        skeleton, tubes = bones(rows, build, self.bones), chest_vessels(rows, build, self.vessels)
        return Chests(rows, build, skeleton, tubes, mass(rows, build), sharp_edge(rows, grid))

    def draw(self, plan: Chests, grid: Grid) -> Rendered:
        """Draw radiographs and masks of the mass."""
        total, mask = self.attenuation(plan, grid)
        return Rendered(expose_radiograph(total, plan.rows, self.grain, grid)[:, None], mask[:, None])

    def attenuation(self, plan: Chests, grid: Grid) -> tuple[Plane, Bool[Tensor, "n size size"]]:
        """Draw the attenuation along the beam, and the mask of the mass."""
        at = chest_coordinates(plan.build, plan.blur, grid)
        total, air, above = soft_tissue(plan.build, at)
        marks, speckle = lung_texture(plan.rows, self.texture, grid)
        tubes = grid.blank(len(plan.blur))
        draw_capsules(tubes, plan.vessels, plan.blur, grid)
        marks.add_(tubes.view(total.shape)).mul_((air * 1.25).clamp_(max=1))
        total.add_(marks).add_(skeleton(plan.skeleton, above, speckle, at))
        return total, draw_mass(total, plan.mass, plan.blur, grid)
