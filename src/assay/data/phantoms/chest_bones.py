"""The bones of a chest: ribs behind and in front, collar bones, shoulder blades and spine, as attenuation added."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from assay.data.phantoms.canvas import ramp
from assay.data.phantoms.chest_anatomy import Anatomy
from assay.data.phantoms.chest_frame import Frame
from assay.data.phantoms.chest_outlines import smooth
from assay.data.phantoms.chest_visible import Visible
from assay.data.phantoms.counter import spread

_RIBS = 14


@dataclass(frozen=True, slots=True)
class Bones:
    """Sizes and places of the bones, float64 [n] unless stated; lengths in mm.

    spacing: from rib to rib. first: height of the first rib's head. bow, drop: how ribs curve behind, and fall at the
    side. fall: how far they fall in front. shift, half: each rib's own, in spacings [n, 2 * ribs], right then left.
    density: of all bone. calcified: of the ribs' cartilage.
    collar, collar_slope, collar_bow: height of the collar bones at the breast bone, rise per mm, depth of the S.
    blade, blade_y: distance of the shoulder blades' inner border from the midline, and their height.
    vertebra, phase: height of one with its disc, and where the first begins.
    """

    spacing: np.ndarray
    first: np.ndarray
    bow: np.ndarray
    drop: np.ndarray
    fall: np.ndarray
    shift: np.ndarray
    half: np.ndarray
    density: np.ndarray
    calcified: np.ndarray
    collar: np.ndarray
    collar_slope: np.ndarray
    collar_bow: np.ndarray
    blade: np.ndarray
    blade_y: np.ndarray
    vertebra: np.ndarray
    phase: np.ndarray


def bones(seen: Visible, build: Anatomy, nuisance: Int[np.ndarray, "n"], amount: float) -> Bones:
    """The skeleton of each patient. amount: scales the attenuation of all bone, 1 normal."""

    def draw(name: str, low: float, high: float) -> Float[np.ndarray, "n"]:
        return spread(nuisance, f"bone-{name}", low, high)[:, 0]

    reach = build.dome_right - build.apex
    return Bones(
        spacing=reach / draw("count", 9.6, 11.0),
        first=build.apex - 6,
        bow=draw("bow", 44, 66),
        drop=draw("drop", 14, 34),
        fall=draw("fall", 44, 62) + 5 * seen.age - 6 * seen.ap,
        shift=spread(nuisance, "bone-shift", -0.08, 0.08, 2 * _RIBS),
        half=spread(nuisance, "bone-half", 0.22, 0.28, 2 * _RIBS),
        density=amount * draw("density", 0.8, 1.15) * (1 - 0.12 * seen.age) * (1 - 0.1 * seen.female),
        calcified=(draw("calcified", -0.2, 0.5) + 0.9 * seen.age).clip(0),
        collar=build.apex + draw("collar", 34, 50) - 16 * seen.ap,
        collar_slope=draw("collar-slope", 0.16, 0.32) - 0.17 * seen.ap,
        collar_bow=draw("collar-bow", 0.6, 1.4),
        blade=draw("blade", 124, 138) - 36 * seen.ap,
        blade_y=build.apex + draw("blade-y", 58, 76),
        vertebra=draw("vertebra", 21.5, 25),
        phase=draw("phase", 0, 1),
    )


def skeleton(
    own: Bones, above: Float[Tensor, "m size size"], speckle: Float[Tensor, "m size size"], at: Frame
) -> Float[Tensor, "m size size"]:
    """All bones' attenuation. above: 1 over the diaphragm, 0 under it. speckle: how chalk is spread in cartilage."""
    total = _ribs(own, above, speckle, at)
    top = at.size - at.size // 3
    upper = _collar_bones(own, at, top).add_(_shoulder_blades(own, at, top))
    within = ramp(at.along(at.outlines.body - 4)[:, :top] - at.away[:, :top], at.edge + 4)
    total[:, :top].add_(upper.mul_(within))
    return total.mul_(at.put(own.density)).add_(_spine(own, at))


def _ribs(
    b: Bones, above: Float[Tensor, "m size size"], speckle: Float[Tensor, "m size size"], at: Frame
) -> Float[Tensor, "m size size"]:
    """Ribs counted along the height, bent by how far to the side a pixel lies."""
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


def _bands(
    s: Float[Tensor, "m size size"], b: Bones, at: Frame
) -> tuple[Float[Tensor, "m size size"], Float[Tensor, "m size size"]]:
    """Tubes at whole numbers of s, denser at their rims; and how much of a rim each pixel is."""
    number = s.floor().clamp_(0, _RIBS - 1)
    index = (number + at.left * _RIBS).to(torch.int64).flatten(1)

    def own(table: np.ndarray) -> Float[Tensor, "m size size"]:
        values = torch.as_tensor(table.astype(np.float32), device=s.device)
        return values.gather(1, index).view(s.shape)

    spacing = at.put(b.spacing)
    depth = (own(b.half) - (s - number - 0.5).sub_(own(b.shift)).abs_()).mul_(spacing)
    whole = ramp(depth, at.edge + 0.6)
    marrow = ramp(depth - 2.6, at.edge + 1.6)
    return whole - marrow * 0.4, whole - marrow * 0.7


def _collar_bones(b: Bones, at: Frame, top: int) -> Float[Tensor, "m top size"]:
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


def _shoulder_blades(b: Bones, at: Frame, top: int) -> Float[Tensor, "m top size"]:
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


def _spine(b: Bones, at: Frame) -> Float[Tensor, "m size size"]:
    """Vertebrae with discs between them, wider the lower they are."""
    t = at.lines / b.vertebra[:, None] + b.phase[:, None]
    t = np.abs(2 * (t - np.floor(t)) - 1)
    body = 0.06 + 0.04 * smooth(3 * (0.86 - t)) + 0.025 * smooth(6 * (0.25 - t))
    half = 15 + 6 * ((at.lines + 160) / 320).clip(0, 1) + 2 * smooth(3 * (t - 0.6))
    depth = at.along(half) - at.away
    return ramp(depth, at.edge + 9).mul_(at.along(body * b.density[:, None]))
