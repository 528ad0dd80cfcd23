"""Soft tissue and air of a chest as a radiograph sums them: trunk, arms, lungs, heart, diaphragm, breasts, stomach.

The unit is the attenuation of the chest's whole thickness without its air: 1 in the mediastinum.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from assay.data.phantoms.canvas import ramp
from assay.data.phantoms.chest_anatomy import Anatomy
from assay.data.phantoms.chest_frame import Frame

INFLATED = 0.8
"""Share of the chest's thickness that is lung where it is deepest."""
_RECESS = 0.2  # share of that depth which lies behind the diaphragm's dome
_TAPER = 0.25  # share of its thickness that the trunk has lost at the skin, beside what an ellipse has


@dataclass(frozen=True, slots=True)
class Soft:
    """attenuation: all soft tissue and air. air: depth of lung, 0 to 1. above: 1 above the diaphragm, 0 below."""

    attenuation: Float[Tensor, "m size size"]
    air: Float[Tensor, "m size size"]
    above: Float[Tensor, "m size size"]


def soft_tissue(build: Anatomy, at: Frame) -> Soft:
    """Everything but bones, vessels, texture and the finding."""
    air, above = _air(build, at)
    trunk = _trunk(at)
    total = torch.maximum(trunk, _arms(build, at)).sub_((air * at.put(INFLATED * build.inflation)).mul_(trunk))
    total.sub_(_trachea(at).mul_(0.12)).sub_(_stomach(build, at))
    _add_breasts(total, build, at)
    return Soft(total.clamp_(min=0), air, above)


def _trunk(at: Frame) -> Float[Tensor, "m size size"]:
    """An ellipse across, tapered to the sides, as thick as this line's height is."""
    t = at.away * at.along(1 / at.outlines.body)
    side = 1 - t * _TAPER
    return (1 - t.mul_(t)).clamp_(min=0).sqrt_().mul_(side).mul_(at.along(at.outlines.thickness))


def _arms(build: Anatomy, at: Frame) -> Float[Tensor, "m size size"]:
    """A tube beside the trunk with its bone, farther away the lower it is."""
    below = ((at.lines + 30) / 100).clip(0, 2.2)
    inner = (build.width + build.wall)[:, None] + build.arms[:, None] * below + 6 * below * below
    t = (at.away - at.along(inner + 44)).mul_(1 / 44)
    arm = (1 - t * t).clamp_(min=0).sqrt_().mul_(0.42)
    bone = ramp((0.26 - t.abs_()).mul_(44), at.edge).mul_(0.13)
    return arm.add_(bone).mul_(at.along(((at.lines + 60) / 40).clip(0, 1)))


def _air(build: Anatomy, at: Frame) -> tuple[Float[Tensor, "m size size"], Float[Tensor, "m size size"]]:
    """Depth of lung at each pixel, 0 to 1, and 1 above the diaphragm to 0 below."""
    t = (at.depth * (1 / 92)).clamp_(0, 1)
    lung = (2 - t).mul_(t).sqrt_().mul_(at.along(at.outlines.apical))
    lung.mul_(1 - _mediastinum(at))
    above = _above_diaphragm(build, at)
    recess = (above / 62 + 1).clamp_(0, 1).mul_(_RECESS)
    share = ramp(above, at.edge + 1.5)
    lung.mul_(share + (1 - share) * recess)
    return lung, share


def _mediastinum(at: Frame) -> Float[Tensor, "m size size"]:
    """Share of the lung's depth that heart and vessels take: a step at their border, then more towards the middle."""
    depth = at.sided(at.along(at.outlines.right), at.along(at.outlines.left)) - at.away
    t = (depth * (1 / 48)).clamp_(0, 1)
    inner = (2 - t).mul_(t).mul_(0.68)
    return ramp(depth, at.edge + 1.2).mul_(0.3).add_(inner)


def _above_diaphragm(build: Anatomy, at: Frame) -> Float[Tensor, "m size size"]:
    """mm above the dome of the side: flat in the middle, steep towards the angle with the ribs."""
    t = (at.reach - 0.46).mul_(1 / 0.54)
    t.mul_(t)
    steep = (t * t).mul_(0.55).add_(t * 0.45).mul_(at.put(build.angle))
    return at.sided(at.put(build.dome_right), at.put(build.dome_left)).add(steep).sub_(at.y)


def _trachea(at: Frame) -> Float[Tensor, "m size size"]:
    """The windpipe, a little to the right at its end."""
    place = -5 * ((at.lines + 110) / 55).clip(0, 1)
    there = ((-48 - at.lines) / 10).clip(0, 1)
    return ramp((8.5 - (at.x - at.along(place)).abs_()), at.edge + 6).mul_(at.along(there))


def _stomach(build: Anatomy, at: Frame) -> Float[Tensor, "m size size"]:
    """A bubble of gas under the left dome over a level of fluid."""
    middle = build.dome_left + 1.25 * build.stomach_height + 6
    u = (at.x - at.put(build.stomach_x)).mul_(at.put(1 / build.stomach_width))
    v = (at.y - at.put(middle)) * at.put(1 / build.stomach_height)
    rho = u.mul_(u).add_(v * v)
    gas = (1.05 - rho).clamp_(0, 1).mul_(3).clamp_(max=1).mul_(0.2)
    level = ((middle + 0.55 * build.stomach_height)[:, None] - at.lines) / 3 + 0.5
    return gas.mul_(at.along(level.clip(0, 1) * build.stomach[:, None]))


def _add_breasts(total: Float[Tensor, "m size size"], build: Anatomy, at: Frame) -> None:
    """Half-ellipses that fade upwards and end in a fold below."""
    v = (at.lines - build.breast_y[:, None]) / build.breast_size[:, None]
    v = v * (v < 0) * 0.6 + v * (v >= 0) * 1.15
    u = (at.away - at.put(build.breast_x)).mul_(at.put(1 / build.breast_size))
    inside = (1 - u.mul_(u)).sub_(at.along(v * v)).clamp_(min=0)
    full = inside.sqrt_()
    total.add_(full.mul_(at.put(build.breast)))
