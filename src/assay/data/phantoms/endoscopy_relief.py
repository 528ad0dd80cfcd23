"""Polyps on the wall: their outline, slope, shade and colour, laid over what the camera sees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from assay.data.phantoms.canvas import Grid, Windows, column, ramp
from assay.data.phantoms.endoscopy_polyp import BULGE, LOBES, MOST, Polyps
from assay.data.phantoms.endoscopy_wall import Surface, Tube, around, brightness
from assay.data.phantoms.shapes import uneven_outline

SHADOW = 0.45
"""How far a polyp's shadow reaches beyond its outline, in its radii."""
_BUMP = 1.6  # slope of a lobule at one half axis from its centre
_EDGE = 1.3  # width of an edge in pixels
_FLARE = 1.3  # half width of a stalk at its base, over that at its middle


@dataclass(frozen=True, slots=True)
class _Own:
    """One polyp of each of some rows, with the light on it."""

    rows: Int[np.ndarray, "m"]
    polyp: Polyps
    light: Float[Tensor, "m 1 1"]
    grid: Grid

    def put(self, values: Float[np.ndarray, "m *k"]) -> Float[Tensor, "m *k 1 1"]:
        """Numbers of each polyp, to be broadcast."""
        return column(values, self.grid.device)

    def windows(self, reach: Float[np.ndarray, "m"]) -> Windows:
        """Windows about the polyps' centres that reach so far, in radii of each."""
        furthest = float((self.polyp.radius * reach).max()) + self.grid.pixel
        return Windows.around(self.rows, self.polyp.x, self.polyp.y, furthest, self.grid)


@dataclass(frozen=True, slots=True)
class _Head:
    """A polyp's head in its window. inside: 0 at the centre, 1 on the outline, more beyond. cover: of the pixel.
    u, v: place in half axes along the long and the short axis. away_x, away_y: direction from the centre.
    """

    inside: Float[Tensor, "m w w"]
    cover: Float[Tensor, "m w w"]
    u: Float[Tensor, "m w w"]
    v: Float[Tensor, "m w w"]
    away_x: Float[Tensor, "m w w"]
    away_y: Float[Tensor, "m w w"]


def draw_polyps(
    surface: Surface, blood: Float[Tensor, "n pixels"], growths: Polyps, bowel: Tube, grid: Grid
) -> Bool[Tensor, "n pixels"]:
    """Lay the polyps over the surface, the first one uppermost; return the pixels that are at least half theirs."""
    mask = torch.zeros(blood.shape, dtype=torch.bool, device=grid.device)
    light = _light(growths, bowel, grid)
    for number in reversed(range(MOST)):
        for rows in _alike(growths.opacity[:, number], growths.radius[:, number]):
            polyp = Polyps(*(getattr(growths, field.name)[rows, number] for field in fields(Polyps)))
            lit = light[torch.as_tensor(rows, device=grid.device), :, number, None]
            own = _Own(rows, polyp, lit, grid)
            _cast_shadow(surface, own)
            _draw_stalk(surface, blood, mask, own)
            _draw_head(surface, blood, mask, own)
    return mask


def _alike(opacity: Float[np.ndarray, "n"], radius: Float[np.ndarray, "n"]) -> Iterator[Int[np.ndarray, "m"]]:
    """Rows whose polyp is there, an octave of sizes at a time, so that windows fit."""
    octave = np.ceil(np.log2(radius)).astype(np.int64)
    for step in np.unique(octave[opacity > 0]):
        yield np.flatnonzero((opacity > 0) & (octave == step))


def _light(growths: Polyps, bowel: Tube, grid: Grid) -> Float[Tensor, "n 1 3"]:
    """Light on polyps: that on the wall at their centres, and more, since they rise towards the camera."""

    def put(values: Float[np.ndarray, "n 3"]) -> Float[Tensor, "n 1 3"]:
        return column(values, grid.device)[:, None, :, 0, 0]

    x, y = put(growths.x), put(growths.y)
    on_wall = brightness(bowel, around(bowel, x, y), x, y)
    return on_wall.add_((1 - on_wall).mul_(put(0.1 + 0.5 * growths.height)))


def _cast_shadow(surface: Surface, own: _Own) -> None:
    """Take light from the wall around a head, more on the side away from the lamp."""
    polyp, put = own.polyp, own.put
    windows = own.windows(polyp.stretch * (1 + SHADOW))
    x, y = windows.x - put(polyp.x), windows.y - put(polyp.y)
    u, v = _in_axes(own, x, y)
    beyond = u.mul_(u).add_(v.mul_(v)).sqrt_().sub_(1)
    fade = beyond.clamp_(min=0).mul_(-1 / SHADOW).add_(1).clamp_(min=0)
    side = (x * put(polyp.shade_x)).add(y * put(polyp.shade_y)).mul_(put(0.5 / polyp.radius)).clamp_(-0.5, 0.5)
    strength = side.add_(0.5).mul_(put(polyp.opacity * 0.75 * (polyp.height - 0.15)))
    windows.multiply(surface.light, 1 - fade.mul_(fade).mul_(strength))


def _draw_head(surface: Surface, blood: Float[Tensor, "n pixels"], mask: Bool[Tensor, "n pixels"], own: _Own) -> None:
    polyp, put = own.polyp, own.put
    windows = own.windows(polyp.stretch * BULGE)
    head = _head(own, windows)
    slope_x, slope_y, crease = _relief(own, head)
    windows.mark(mask, head.cover >= 0.5)
    top = (head.inside * head.inside).mul_(put(-0.6 * polyp.height)).add_(put(1 + 0.6 * polyp.height))
    cover = (1 - _attached(own, head)).mul_(head.cover).mul_(put(polyp.opacity))
    windows.blend(surface.light, (1 - crease * put(0.28 * polyp.lobulated)).mul_(top).mul_(own.light), cover)
    windows.blend(surface.slope_x, slope_x, cover)
    windows.blend(surface.slope_y, slope_y, cover)
    windows.blend(blood, crease.mul_(put(0.25 * polyp.lobulated)).add_(put(polyp.redness)), cover)


def _in_axes(own: _Own, x: Tensor, y: Tensor) -> tuple[Float[Tensor, "m w w"], Float[Tensor, "m w w"]]:
    """Place along the long and the short axis, in half axes."""
    polyp, put = own.polyp, own.put
    along, across = polyp.radius * polyp.stretch, polyp.radius / polyp.stretch
    u = x * put(polyp.cosine / along) + y * put(polyp.sine / along)
    return u, y * put(polyp.cosine / across) - x * put(polyp.sine / across)


def _head(own: _Own, windows: Windows) -> _Head:
    polyp, put = own.polyp, own.put
    x, y = windows.x - put(polyp.x), windows.y - put(polyp.y)
    u, v = _in_axes(own, x, y)
    rho = (u * u).add_(v * v).sqrt_()
    inverse = 1 / (rho + 1e-4)
    distance = (x * x + y * y).sqrt_()
    outline = uneven_outline(u * inverse, v * inverse, *(put(polyp.uneven[:, k]) for k in range(4)))
    depth = (outline - rho).mul_(inverse.mul_(distance))
    plain = 1 / distance.add_(1e-6)
    softness = 0.1 * polyp.radius * (1 - polyp.height)
    edge = put(np.sqrt((_EDGE * own.grid.pixel) ** 2 + softness * softness))
    return _Head((rho / outline).clamp_(max=1), ramp(depth, edge), u, v, x * plain, y * plain)


def _attached(own: _Own, head: _Head) -> Float[Tensor, "m w w"]:
    """How far a sessile polyp has the wall's own look: on the side where it passes into the wall, towards its edge."""
    polyp, put = own.polyp, own.put
    side = (head.away_x * put(polyp.stalk_x)).add_(head.away_y * put(polyp.stalk_y))
    return side.clamp_(min=0).mul_(head.inside).mul_(head.inside).mul_(put(0.75 * (polyp.stalk == 0)))


def _relief(own: _Own, head: _Head) -> tuple[Float[Tensor, "m w w"], Float[Tensor, "m w w"], Float[Tensor, "m w w"]]:
    """Slope of the dome with its lobules, and how near a point lies to the crease between two of them, 0 to 1."""
    polyp, put = own.polyp, own.put
    square = head.inside * head.inside
    flank = (square * put(1 - polyp.height)).add_(put(polyp.height)).mul_(head.inside).mul_(put(polyp.height))
    flank.div_((1.07 - square).sqrt_())
    near_u, near_v, crease = _lobule(own, head)
    along, across = _BUMP * polyp.lobulated * polyp.cosine, _BUMP * polyp.lobulated * polyp.sine
    slope_x = (flank * head.away_x).add_(near_u * put(along)).sub_(near_v * put(across))
    slope_y = flank.mul_(head.away_y).add_(near_u * put(across)).add_(near_v * put(along))
    return slope_x, slope_y, crease


def _lobule(own: _Own, head: _Head) -> tuple[Float[Tensor, "m w w"], Float[Tensor, "m w w"], Float[Tensor, "m w w"]]:
    """Where in its lobule each point lies, in half axes from the lobule's centre, and how near to the next one's."""
    near_u, near_v = head.u, head.v
    nearest = torch.full_like(head.u, 1e6)
    second = nearest
    lobes_u, lobes_v, weight = (own.put(own.polyp.lobes_x), own.put(own.polyp.lobes_y), own.put(own.polyp.lobes_weight))
    for number in range(LOBES):
        du, dv = head.u - lobes_u[:, number], head.v - lobes_v[:, number]
        square = (du * du).add_(dv * dv).add_(weight[:, number])
        closer = square < nearest
        second = torch.minimum(second, torch.maximum(nearest, square))
        nearest = torch.minimum(nearest, square)
        near_u, near_v = torch.where(closer, du, near_u), torch.where(closer, dv, near_v)
    crease = second.sub_(nearest).mul_(-4).add_(1).clamp_(min=0)
    return near_u, near_v, crease.mul_(crease)


def _draw_stalk(surface: Surface, blood: Float[Tensor, "n pixels"], mask: Bool[Tensor, "n pixels"], own: _Own) -> None:
    """Round strands from under the heads to the wall, which they meet flared, in the mucosa's colour."""
    chosen = np.flatnonzero(own.polyp.stalk > 0)
    if len(chosen) == 0:
        return
    polyp = Polyps(*(getattr(own.polyp, field.name)[chosen] for field in fields(Polyps)))
    part = _Own(own.rows[chosen], polyp, own.light[torch.as_tensor(chosen, device=own.grid.device)], own.grid)
    put = part.put
    reach = 0.9 + polyp.stalk
    windows = part.windows(reach + _FLARE * polyp.thickness)
    x, y = windows.x - put(polyp.x), windows.y - put(polyp.y)
    along = (x * put(polyp.stalk_x) + y * put(polyp.stalk_y)).mul_(put(1 / (polyp.radius * reach))).clamp_(0, 1)
    away_x = x - along * put(polyp.stalk_x * polyp.radius * reach)
    away_y = y - along * put(polyp.stalk_y * polyp.radius * reach)
    distance = (away_x * away_x).add_(away_y * away_y).sqrt_()
    half = polyp.radius * polyp.thickness * np.minimum(1, 4 * polyp.stalk)
    thick = (along * along).mul_(_FLARE - 0.8).add_(0.8).mul_(put(half))
    cover = ramp(thick - distance, put(np.full_like(half, _EDGE * own.grid.pixel)))
    cover.mul_((1 - along).mul_(5).clamp_(max=1))  # it has become the wall where it ends
    windows.mark(mask, cover >= 0.5)
    t = (distance / (thick + 1e-6)).clamp_(max=1)
    flank = (t / (1.07 - t * t).sqrt_()).div_(distance.add_(1e-6))
    cover.mul_(put(polyp.opacity))
    windows.blend(surface.light, along.mul_(-0.35).add_(1).mul_(part.light), cover)
    windows.blend(surface.slope_x, away_x.mul_(flank), cover)
    windows.blend(surface.slope_y, away_y.mul_(flank), cover)
    windows.blend(blood, put(0.3 * polyp.redness).expand_as(cover), cover)
