"""Anatomy of the chest phantom: frame, outlines, bones and soft tissue."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from assay.data.phantoms.base import PhantomRows
from assay.data.phantoms.drawing import Grid, Numbers, Plane, ramp, smooth

# The build of a chest: where its parts lie, how large they are, and how the patient stands before the detector.
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
        # How the patient stands: magnification, place of the chest in the image, sideways lean and bend of the midline.
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
        body=_body(each, y),
        thickness=0.62 + 0.38 * smooth((y + 190) / 110) + 0.25 * smooth((y - 30) / 110),
        lung_right=lung * each.asymmetry,
        lung_left=lung * (2 - each.asymmetry),
        lung_cosine=_cosine(lung, y),
        apical=_arc(((y - each.apex) / 95).clip(0, 1)),
        right=_right(each, y) - each.turned,
        left=_left(each, y) + each.turned,
    )


def _arc(t: np.ndarray) -> np.ndarray:
    """A quarter of a circle that rises from 0 at t = 0 to 1 at t = 1."""
    return np.sqrt((t * (2 - t)).clip(0))


def _cosine(border: Lines, y: Lines) -> Lines:
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


def _body(build: Numbers, y: Lines) -> Lines:
    """Neck, slope of the shoulders, then the trunk below the armpits."""
    t = ((y + 216) / 96).clip(0, 1)
    shoulders = build.neck + 200 * t * (0.35 + 0.65 * t)
    trunk = (build.width + build.wall) * (1 + 0.03 * smooth((y - 40) / 120))
    return np.minimum(shoulders, trunk + 130 * (1 - smooth((y + 85) / 90)))


def _right(build: Numbers, y: Lines) -> Lines:
    """Vena cava, then the right atrium, then its angle with the diaphragm."""
    vessels = build.mediastinum * (1 + 0.08 * smooth((y + 100) / 60)) + 12 * (1 - smooth((y + 170) / 60))
    return np.maximum(vessels, 43 * build.heart * _bulge(y - build.heart_y + 10, 62 * build.tall, 58))


def _left(build: Numbers, y: Lines) -> Lines:
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


# Where each pixel lies in the patient: the coordinates that all parts of a chest are drawn in.


@dataclass(frozen=True, slots=True)
class Frame:
    """Coordinates of m images, in mm at the patient from the middle of the chest.

    y: [m, size, 1] as `lines` [m, size] in float64. x: [m, size, size], to the patient's left. away: |x|. left: x > 0.
    depth: mm inside the rib cage, across its border. reach: |x| as a share of the rib cage's half width.
    edge: [m, 1, 1], width in mm of a sharp edge as the scanner and the pixel blur it.
    """

    grid: Grid
    lines: Float[np.ndarray, "m size"]
    outlines: Numbers
    y: Float[Tensor, "m size 1"]
    x: Plane
    away: Plane
    left: Bool[Tensor, "m size size"]
    depth: Plane
    reach: Plane
    edge: Float[Tensor, "m 1 1"]

    def put(self, values: Float[np.ndarray, "m"]) -> Float[Tensor, "m 1 1"]:
        """One number per image, to be broadcast."""
        return self.grid.put(values)

    def along(self, values: Float[np.ndarray, "m size"]) -> Float[Tensor, "m size 1"]:
        """One number per line, to be broadcast."""
        return self.grid.flat(values)[:, :, None]

    def sided(self, right: Float[Tensor, "m #size 1"], left: Float[Tensor, "m #size 1"]) -> Plane:
        """Return the number of each pixel's side."""
        return torch.where(self.left, left, right)


def frame(build: Numbers, blur: Float[np.ndarray, "m"], grid: Grid) -> Frame:
    """The coordinates of these images; `blur` is the width of a sharp edge in mm at the detector."""
    zoom, flat = build.zoom[:, None], grid.flat
    y = (grid.line - build.y[:, None]) / zoom
    shape = outlines(build, y)
    x = flat(grid.line / zoom)[:, None, :] - flat(_midline(build, y) / zoom)[:, :, None]
    away, left = x.abs(), x > 0
    border = torch.where(left, flat(shape.lung_left)[:, :, None], flat(shape.lung_right)[:, :, None])
    depth = (border - away).mul_(flat(shape.lung_cosine)[:, :, None])
    reach = away / border.clamp_(min=25)
    return Frame(grid, y, shape, flat(y)[:, :, None], x, away, left, depth, reach, grid.put(blur / build.zoom))


def on_image(build: Numbers, x: Float[np.ndarray, "n ..."], y: Float[np.ndarray, "n ..."]) -> tuple[Lines, Lines]:
    """Convert points of the patient to millimeters on the image; the inverse of `frame`."""
    own = build.take((slice(None), *[None] * (y.ndim - 1)))
    return x * own.zoom + _midline(build, y), y * own.zoom + own.y


def _midline(build: Numbers, y: Float[np.ndarray, "n ..."]) -> Float[np.ndarray, "n ..."]:
    """Compute the midline's place on the image in mm, at these heights of the patient."""
    own, bent = build.take((slice(None), *[None] * (y.ndim - 1))), y * (1 / 150)
    return own.x + own.zoom * (own.lean * y + own.bend * (bent * bent - 0.5))


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


def skeleton(own: Numbers, above: Plane, speckle: Plane, at: Frame) -> Plane:
    """All bones' attenuation. above: 1 over the diaphragm, 0 under it. speckle: how chalk is spread in cartilage."""
    total = _ribs(own, above, speckle, at)
    top = at.grid.size - at.grid.size // 3
    upper = _collar_bones(own, at, top).add_(_shoulder_blades(own, at, top))
    within = ramp(at.along(at.outlines.body - 4)[:, :top] - at.away[:, :top], at.edge + 4)
    total[:, :top].add_(upper.mul_(within))
    return total.mul_(at.put(own.density)).add_(_spine(own, at))


def _ribs(b: Numbers, above: Plane, speckle: Plane, at: Frame) -> Plane:
    """Ribs counted along the height, bent by the lateral position of a pixel."""
    r2 = at.reach * at.reach
    r4 = r2 * r2
    count = at.along((at.lines - b.first[:, None]) / b.spacing[:, None])
    behind = (at.reach * at.put(-0.7 * b.bow)).add_(r2 * at.put(b.bow)).add_(r4.mul_(r4) * at.put(b.drop))
    ends = ramp(at.depth + 5, at.edge + 4)
    back, _ = _bands(count - behind.mul_(at.put(1 / b.spacing)), b, at)
    back.mul_((r2 * 0.35).add_(0.75)).mul_(ramp(at.away - 14, at.edge + 6))
    bend = (1 - r2).mul_(at.put(b.fall)).add_(at.put(0.3 * b.bow + b.drop))
    front, rim = _bands(count - bend.mul_(at.put(1 / b.spacing)), b, at)
    stop = at.along(52 + 40 * smooth((at.lines + 20) / 140))
    bony = ramp(at.away - stop, at.edge + 6)
    chalk = rim.mul_(speckle).mul_(at.put(b.calcified)).mul_(1 - bony).mul_(ramp(at.away - (stop - 42), at.edge + 20))
    front.mul_(bony).mul_(0.5).add_(chalk.mul_(0.9))
    return back.add_(front).mul_(above * 0.75 + 0.25).mul_(ends).mul_(0.083)


def _bands(s: Plane, b: Numbers, at: Frame) -> tuple[Plane, Plane]:
    """Tubes at whole numbers of s, denser at their rims; and how much of a rim each pixel is."""
    number = s.floor().clamp_(0, _RIBS - 1)
    index = (number + at.left * _RIBS).to(torch.int64).flatten(1)

    def own(table: np.ndarray) -> Plane:
        return at.grid.flat(table).gather(1, index).view(s.shape)

    spacing = at.put(b.spacing)
    depth = (own(b.half) - (s - number - 0.5).sub_(own(b.shift)).abs_()).mul_(spacing)
    whole = ramp(depth, at.edge + 0.6)
    marrow = ramp(depth - 2.6, at.edge + 1.6)
    return whole - marrow * 0.4, whole - marrow * 0.7


def _collar_bones(b: Numbers, at: Frame, top: int) -> Plane:
    """An S from the breast bone outwards and up."""
    away, y = at.away[:, :top], at.y[:, :top]
    t = (away - 18).mul_(1 / 130)
    s_shape = (t * (1 - t)).mul_(t * 2 - 1).mul_(at.put(52 * b.collar_bow))
    rise = t.mul(at.put(-130 * b.collar_slope)).add_(s_shape).add_(at.put(b.collar))
    half = (t - 0.45).abs_().mul_(5).add_(5.4)
    depth = half - (rise - y).abs_()
    bone = ramp(depth, at.edge + 0.8)
    bone.sub_(ramp(depth - 2.6, at.edge + 1.6).mul_(0.35))
    ends = ramp(away - 17, at.edge + 5).mul_(ramp(165 - away, at.edge + 8))
    return bone.mul_(ends).mul_(0.15)


def _shoulder_blades(b: Numbers, at: Frame, top: int) -> Plane:
    """Triangles with a dense rim that point down, and the head of the upper arm."""
    away, y = at.away[:, :top], at.y[:, :top]
    u, v = away - at.put(b.blade), y - at.put(b.blade_y)
    inner = u - v * 0.2 + 7 - (v * v).mul_(0.0018)
    outer = 84 - u - v * 0.62
    upper = v + 62 - u * 0.16
    depth = torch.minimum(torch.minimum(inner, outer), upper)
    blade = ramp(depth, at.edge + 1).mul_(0.11).sub_(ramp(depth - 4, at.edge + 3).mul_(0.055))
    u, v = u.sub_(74), v + 34
    head = ramp(26 - u.mul_(u).add_(v * v).sqrt_(), at.edge + 3).mul_(0.14)
    return torch.maximum(blade, head)


def _spine(b: Numbers, at: Frame) -> Plane:
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
_RECESS = 0.2  # share of that depth which lies behind the diaphragm's dome
_TAPER = 0.25  # share of its thickness that the trunk has lost at the skin, beside what an ellipse has


@dataclass(frozen=True, slots=True)
class Soft:
    """attenuation: all soft tissue and air. air: depth of lung, 0 to 1. above: 1 above the diaphragm, 0 below."""

    attenuation: Plane
    air: Plane
    above: Plane


def soft_tissue(build: Numbers, at: Frame) -> Soft:
    """Everything but bones, vessels, texture and the finding."""
    air, above = _air(build, at)
    trunk = _trunk(at)
    total = torch.maximum(trunk, _arms(build, at)).sub_((air * at.put(INFLATED * build.inflation)).mul_(trunk))
    total.sub_(_trachea(at).mul_(0.12)).sub_(_stomach(build, at))
    _add_breasts(total, build, at)
    return Soft(total.clamp_(min=0), air, above)


def _trunk(at: Frame) -> Plane:
    """An ellipse across, tapered to the sides, as thick as this line's height is."""
    t = at.away * at.along(1 / at.outlines.body)
    side = 1 - t * _TAPER
    return (1 - t.mul_(t)).clamp_(min=0).sqrt_().mul_(side).mul_(at.along(at.outlines.thickness))


def _arms(build: Numbers, at: Frame) -> Plane:
    """A tube next to the trunk with its bone, farther away the lower it is."""
    below = ((at.lines + 30) / 100).clip(0, 2.2)
    inner = (build.width + build.wall)[:, None] + build.arms[:, None] * below + 6 * below * below
    t = (at.away - at.along(inner + 44)).mul_(1 / 44)
    arm = (1 - t * t).clamp_(min=0).sqrt_().mul_(0.42)
    bone = ramp((0.26 - t.abs_()).mul_(44), at.edge).mul_(0.13)
    return arm.add_(bone).mul_(at.along(((at.lines + 60) / 40).clip(0, 1)))


def _air(build: Numbers, at: Frame) -> tuple[Plane, Plane]:
    """Depth of lung at each pixel, 0 to 1, and 1 above the diaphragm to 0 below."""
    t = (at.depth * (1 / 92)).clamp_(0, 1)
    lung = (2 - t).mul_(t).sqrt_().mul_(at.along(at.outlines.apical))
    lung.mul_(1 - _mediastinum(at))
    above = _above_diaphragm(build, at)
    recess = (above / 62 + 1).clamp_(0, 1).mul_(_RECESS)
    share = ramp(above, at.edge + 1.5)
    lung.mul_(share + (1 - share) * recess)
    return lung, share


def _mediastinum(at: Frame) -> Plane:
    """Share of the lung's depth that heart and vessels take: a step at their border, then more toward the middle."""
    depth = at.sided(at.along(at.outlines.right), at.along(at.outlines.left)) - at.away
    t = (depth * (1 / 48)).clamp_(0, 1)
    inner = (2 - t).mul_(t).mul_(0.68)
    return ramp(depth, at.edge + 1.2).mul_(0.3).add_(inner)


def _above_diaphragm(build: Numbers, at: Frame) -> Plane:
    """mm above the dome of the side: flat in the middle, steep toward the angle with the ribs."""
    t = (at.reach - 0.46).mul_(1 / 0.54)
    t.mul_(t)
    steep = (t * t).mul_(0.55).add_(t * 0.45).mul_(at.put(build.angle))
    return at.sided(at.put(build.dome_right), at.put(build.dome_left)).add(steep).sub_(at.y)


def _trachea(at: Frame) -> Plane:
    """The windpipe, a little to the right at its end."""
    place = -5 * ((at.lines + 110) / 55).clip(0, 1)
    there = ((-48 - at.lines) / 10).clip(0, 1)
    return ramp((8.5 - (at.x - at.along(place)).abs_()), at.edge + 6).mul_(at.along(there))


def _stomach(build: Numbers, at: Frame) -> Plane:
    """A bubble of gas under the left dome over a level of fluid."""
    middle = build.dome_left + 1.25 * build.stomach_height + 6
    u = (at.x - at.put(build.stomach_x)).mul_(at.put(1 / build.stomach_width))
    v = (at.y - at.put(middle)) * at.put(1 / build.stomach_height)
    rho = u.mul_(u).add_(v * v)
    gas = (1.05 - rho).clamp_(0, 1).mul_(3).clamp_(max=1).mul_(0.2)
    level = ((middle + 0.55 * build.stomach_height)[:, None] - at.lines) / 3 + 0.5
    return gas.mul_(at.along(level.clip(0, 1) * build.stomach[:, None]))


def _add_breasts(total: Plane, build: Numbers, at: Frame) -> None:
    """Half-ellipses that fade upwards and end in a fold below."""
    v = (at.lines - build.breast_y[:, None]) / build.breast_size[:, None]
    v = v * (v < 0) * 0.6 + v * (v >= 0) * 1.15
    u = (at.away - at.put(build.breast_x)).mul_(at.put(1 / build.breast_size))
    full = (1 - u.mul_(u)).sub_(at.along(v * v)).clamp_(min=0).sqrt_()
    total.add_(full.mul_(at.put(build.breast)))
