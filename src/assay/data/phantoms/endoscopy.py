"""The endoscopy phantom: color frames of a bowel with or without polyps."""

from __future__ import annotations

from collections.abc import Iterator
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
from assay.data.dataset import Rendered
from assay.data.phantoms.base import (
    DifficultyEffect,
    DrawnPhantom,
    Levels,
    PhantomDesign,
    PhantomRows,
    drawn_by_assay,
)
from assay.data.phantoms.drawing import (
    Canvas,
    Capsules,
    Course,
    Draw,
    Grid,
    Numbers,
    Oval,
    Plane,
    Windows,
    direction,
    draw_capsules,
    lattice,
    oval,
    ramp,
    spline_zoom,
    uneven_outline,
    wander,
    white_noise,
    zoom_gain,
)

FACTORS = (
    Factor.either("lesion", ("absent",), ("present",), "a polyp", role="core"),
    Factor.numeric("size", 0.14, 0.62, "diameter of the circle of equal area, image side 1"),
    Factor.numeric("shape", 0.0, 1.0, "0 flat over 0.5 sessile to 1 on a stalk"),
    Factor.numeric("contrast", 0.0, 1.0, "color against the mucosa, 0 none"),
    Factor.numeric("texture", 0.0, 1.0, "surface, 0 smooth to 1 lobulated"),
    Factor.numeric("position_x", -0.2, 0.2, "to the right of the middle, image side 1"),
    Factor.numeric("position_y", -0.2, 0.2, "below the middle, image side 1"),
    Factor.ranked("count", ("one", "two", "three"), "polyps where there are any"),
    Factor.numeric("hue", -1.0, 1.0, "mucosa, -1 pale to 1 red"),
    Factor.numeric("illumination", -1.0, 1.0, "-1 dark to 1 bright"),
    Factor.numeric("folds", 0.0, 1.0, "depth of the folds, 0 none"),
    Factor.numeric("distance", 0.0, 1.0, "0 close to the wall to 1 down the lumen"),
    Factor.numeric("bubbles", 0.0, 1.0, "0 none to 1 many"),
    Factor.numeric("highlights", 0.0, 1.0, "share of the wet surface that glints"),
)


# The wall of a bowel seen from within: a tube that leads to a dark lumen, with folds behind which light fades.
#
# Lengths are sides of the image, from its middle: x to the right, y down. A point of a straight tube that appears at
# distance r from the lumen's middle is at a depth in proportion to 1 / r, so folds at equal steps of depth crowd
# toward the lumen.

_TIP = 0.05
"""Added to distances from the lumen's middle, so that depth stays finite there."""
_TUBE_UNEVEN = np.array([0.2, 0.2, 0.1, 0.1])
_CREST = 0.25  # light on a crest over that on a smooth wall
_WARP, _PARTIAL, _WAVES = 3, 3, 7  # cells over the image: of folds' course and strength, and of other unevenness


@dataclass(frozen=True, slots=True)
class Surface:
    """Surface before the camera: light on it, its slope (normal over depth), and blood over the mucosa's mean."""

    light: Canvas
    slope_x: Canvas
    slope_y: Canvas
    blood: Canvas

    def lay(self, windows: Windows, cover: Float[Tensor, "m w w"], *values: Float[Tensor, "m w w"]) -> None:
        """Blend light, slopes and blood over it in windows, at most one on each image."""
        for canvas, each in zip((self.light, self.slope_x, self.slope_y, self.blood), values, strict=True):
            windows.blend(canvas, each, cover)


@dataclass(frozen=True, slots=True)
class PolarPlaces:
    """Places in polar coordinates about the lumen: distance (outline at 1), and the outward direction on the image."""

    radius: Float[Tensor, "n *where"]
    cosine: Float[Tensor, "n *where"]
    sine: Float[Tensor, "n *where"]


def toward_lumen(draw: Draw) -> Float[np.ndarray, "n"]:
    """The side of the image's middle on which the lumen is, in turns, whatever its distance."""
    return draw("tube-side")


def tube(rows: PhantomRows) -> Numbers:
    """The bowel of each image: the lumen in sight from afar, beyond the image's border from close by."""
    draw = rows.draw("tube-")
    away_x, away_y = direction(toward_lumen(rows.draw()))
    away = 0.78 * (1 - rows["distance"]).clip(0) + draw("away", 0.05, 0.33)
    return Numbers(
        # The lumen's middle, the harmonics two and three of its outline, its radius as it appears at depth 1, and the
        # depth at which light has fallen to a quarter.
        x=away * away_x,
        y=away * away_y,
        uneven=draw("uneven", -1, 1, 4) * _TUBE_UNEVEN,
        radius=draw("radius", 0.5, 0.75),
        reach=draw("reach", 1.0, 1.9),
        # Folds per depth, the position of the first, how dark it is behind one, 0 to 1, and how far they stray from
        # rings, as a share of their depth.
        rate=draw("rate", 0.75, 1.7),
        phase=draw("phase", 0.0, 1.0),
        depth=rows["folds"] * draw("depth", 0.75, 1.0),
        warp=draw("warp", 0.03, 0.1),
        # Relative variation of the light by further unevenness, and its change across and down the image.
        waves=draw("waves", 0.03, 0.15),
        slant_x=draw("slant-x", -2.2, 2.2),
        slant_y=draw("slant-y", -2.2, 2.2),
    )


def polar_coordinates(bowel: Numbers, x: Tensor, y: Tensor, grid: Grid) -> PolarPlaces:
    """Polar coordinates of these points, given as [1 or n, 1, w] and [1 or n, h, 1]."""
    dx, dy = x - grid.tensor(bowel.x), y - grid.tensor(bowel.y)
    distance = (dx * dx + dy * dy).sqrt_()
    inverse = 1 / (distance + 1e-3)
    cosine, sine = dx * inverse, inverse.mul_(dy)
    two_c, two_s, three_c, three_s = (grid.tensor(bowel.uneven[:, k]) for k in range(4))
    # Harmonics two and three of the angle as the real part of z^2 (a + b z), z on the unit circle.
    real = (cosine * three_c).add_(sine * three_s).add_(two_c)
    imaginary = (cosine * three_s).sub_(sine * three_c).add_(two_s)
    square = (cosine * cosine).mul_(2).sub_(1)
    outline = real.mul_(square).add_(imaginary.mul_(cosine).mul_(sine).mul_(2))
    return PolarPlaces(distance.div_(outline.add_(1)), cosine, sine)


def wall_brightness(bowel: Numbers, at: PolarPlaces, x: Tensor, y: Tensor, grid: Grid) -> Float[Tensor, "n *where"]:
    """Light on a smooth wall, about 1 near the camera: less by the square of depth, and again as the wall turns away;
    more on the side to which the camera is nearer.
    """
    depth = 1 / (at.radius + _TIP).mul_(grid.tensor(bowel.reach / bowel.radius))
    near = 1 / depth.mul_(depth).add_(1)
    slant = (x * grid.tensor(bowel.slant_x)).add(y * grid.tensor(bowel.slant_y)).add_(1).clamp_(min=0.15)
    return near.mul_(near).mul_(slant)


def wall(bowel: Numbers, draw: Draw, at: PolarPlaces, grid: Grid) -> Surface:
    """The wall with its folds: bright on their crests, dark behind them, where the next crest hides it."""
    behind = _behind(bowel, draw, at, grid)
    light = wall_brightness(bowel, at, *grid.axes(), grid).mul_(1 - behind)
    waves = lattice(draw.nuisance, "waves", _WAVES, bowel.waves, grid).add_(1)
    light.mul_(spline_zoom(waves, grid.size).clamp_(min=0.2))
    tilt, flat = (behind * 0.6).add_(0.3).neg_(), (len(light), -1)
    blood = grid.blank(len(light))
    return Surface(light.view(flat), (at.cosine * tilt).view(flat), (at.sine * tilt).view(flat), blood)


def _behind(bowel: Numbers, draw: Draw, at: PolarPlaces, grid: Grid) -> Plane:
    """Share of the light that a fold takes: 0 on a crest, rising outward to the fold's depth, then sharply 0 again."""
    near = 1 / (at.radius + _TIP)
    order = near * grid.tensor(bowel.rate * bowel.radius)
    width = (near * order).mul_(1.2 * grid.pixel).clamp_(max=0.5)
    warp = spline_zoom(lattice(draw.nuisance, "warp", _WARP, bowel.warp, grid), grid.size)
    order.mul_(warp.add_(1)).add_(grid.tensor(bowel.phase))
    step = torch.floor(order)
    from_crest = step.sub_(order).add_(1)
    square, to_crest = from_crest * from_crest, 1 - from_crest
    crest = (to_crest * to_crest).mul_(to_crest).mul_(_CREST)
    shadow = (square * square).mul_(0.65).add_(square.mul_(0.35)).add_(_CREST).sub_(crest)
    shadow.mul_(to_crest.div_(width).clamp_(0, 1)).sub_(_CREST)
    strength = lattice(draw.nuisance, "partial", _PARTIAL, 0.45 * bowel.depth, grid).add_(
        grid.tensor(0.65 * bowel.depth)
    )
    partial = torch.minimum(spline_zoom(strength, grid.size).clamp_(min=0), grid.tensor(bowel.depth))
    return shadow.mul_(partial)


# Polyps: place and appearance, from a flat patch over a dome to a head on a stalk.

MOST = 3
"""Polyps in an image at most."""
STALKED = 0.6
"""Shape from which on a stalk shows."""

_POLYP_UNEVEN = 0.075
BULGE = 1 + 1.6 * 2 * _POLYP_UNEVEN
"""The outline nowhere lies farther out than this, in half axes."""
LOBES = 12
"""Lobules of a polyp."""
_GOLDEN = 0.3819660112501051  # of a turn: points at multiples of it, at radii as square roots, lie evenly on a disc
_ROOM = 0.3  # largest distance of a further polyp's center from the middle, across and down


def polyps(rows: PhantomRows) -> Numbers:
    """Draw the polyps of each image: factors from `rows`, all else from the nuisance seed. [n, 3] each.

    The first has the stated place and size. The further ones share its look, are smaller, and are placed next to it.
    """
    draw = rows.draw("polyp-")
    contrast, shape, count = (rows[name][:, None] for name in ("contrast", "shape", "count"))
    share = np.where(np.arange(MOST) == 0, 1.0, draw("share", 0.4, 0.75, MOST))
    radius = 0.5 * rows["size"][:, None] * share
    x, y = _polyp_centers(rows, radius, draw)
    cosine, sine = draw.heading("axis", MOST)
    toward = toward_lumen(rows.draw())[:, None]
    stalk_x, stalk_y = direction(toward + 0.5 + draw("stalk", -0.14, 0.14, MOST))
    shade_x, shade_y = draw.heading("shade", MOST)
    lobes_x, lobes_y = _lobes(rows.draw("lobe-"))
    every = np.ones(MOST)
    return Numbers(
        x=x,
        y=y,
        radius=radius,
        opacity=rows["lesion"][:, None] * (1 + count - np.arange(MOST)).clip(0, 1),  # 0 where there is none
        # Direction of the long axis, root of long over short, and harmonics of the outline.
        cosine=cosine,
        sine=sine,
        stretch=np.sqrt(draw("stretch", 1.0, 1.5, MOST)),
        uneven=draw("uneven", -_POLYP_UNEVEN, _POLYP_UNEVEN, MOST, 4),
        height=(0.2 + 1.6 * shape).clip(0.2, 1.0) * every,  # 0.2 flat to 1 a half ball
        # Color over the mucosa's: three polyps in four are redder, one is paler.
        redness=contrast * np.where(draw("paler", 0, 1, 1) < 0.25, -0.5, 0.6) * every,
        # Length of the stalk in radii, 0 none; the direction from head to base, and its thickness in radii.
        stalk=(shape - STALKED).clip(0) / (1 - STALKED) * draw("stalk-length", 0.8, 1.4, MOST),
        stalk_x=stalk_x,
        stalk_y=stalk_y,
        thickness=draw("stalk-thickness", 0.24, 0.36, MOST),
        # Centers of lobules in half axes, how far each gives way to the others, as a squared distance; 0 smooth to 1.
        lobes_x=lobes_x,
        lobes_y=lobes_y,
        lobes_weight=rows.draw("lobe-")("weight", 0.0, 0.09, MOST, LOBES),
        lobulated=rows["texture"][:, None] ** 2 * every,
        shade_x=shade_x,  # the direction in which the shadow falls
        shade_y=shade_y,
    )


def _polyp_centers(
    rows: PhantomRows, radius: Float[np.ndarray, "n 3"], draw: Draw
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3"]]:
    """The first where it is stated; the second to one side of it and the third to the other, folded into the image."""
    turn = draw("beside", 0, 1, 1) + np.array([0.0, 0.0, 0.5])
    cosine, sine = direction(turn + draw("aside", -0.1, 0.1, MOST))
    gap = 1.35 * (radius[:, :1] + radius) + draw("gap", 0.0, 0.08, MOST)
    gap = gap * (np.arange(MOST) > 0)
    return _reflect(rows["position_x"][:, None], gap * cosine), _reflect(rows["position_y"][:, None], gap * sine)


def _reflect(start: Float[np.ndarray, "n 1"], step: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """Start and step added; a step that would lead out of sight is turned about, and ends where sight does."""
    forward, back = start + step, start - step
    end = np.where((np.abs(forward) > _ROOM) & (np.abs(back) < np.abs(forward)), back, forward)
    return np.where(step == 0, start, end.clip(-_ROOM, _ROOM))


def _lobes(draw: Draw) -> tuple[Float[np.ndarray, "n 3 k"], Float[np.ndarray, "n 3 k"]]:
    """Centers of lobules: even on the disc but for a jitter."""
    order, jitter = np.arange(LOBES), draw("turn", -0.05, 0.05, MOST, LOBES)
    cosine, sine = direction(draw("start", 0, 1, MOST)[:, :, None] + order * _GOLDEN + jitter)
    away = np.sqrt((order + 0.5) / LOBES) * draw("away", 0.88, 1.04, MOST, LOBES)
    return away * cosine, away * sine


# Polyps on the wall: their outline, slope, shade and color, laid over the picture of the wall.

SHADOW = 0.45
"""Reach of a polyp's shadow beyond its outline, in its radii."""
_BUMP = 1.6  # slope of a lobule at one half axis from its center
_EDGE = 1.3  # width of an edge in pixels
_FLARE = 1.3  # half width of a stalk at its base, over that at its middle


@dataclass(frozen=True, slots=True)
class _Polyps:
    """One polyp of each of some rows, with the light on it."""

    rows: Int[np.ndarray, "m"]
    polyp: Numbers
    light: Float[Tensor, "m 1 1"]
    grid: Grid

    def take(self, part: Int[np.ndarray, "k"]) -> _Polyps:
        """Some of them."""
        light = self.light[torch.as_tensor(part, device=self.grid.device)]
        return replace(self, rows=self.rows[part], polyp=self.polyp.take(part), light=light)

    def tensor(self, values: Float[np.ndarray, "m *k"]) -> Float[Tensor, "m *k 1 1"]:
        """Numbers of each polyp, to be broadcast."""
        return self.grid.tensor(values)

    def windows(self, reach: Float[np.ndarray, "m"]) -> Windows:
        """Windows about the polyps' centers that reach so far, in radii of each."""
        furthest = float((self.polyp.radius * reach).max()) + self.grid.pixel
        return Windows.around(self.rows, self.polyp.x, self.polyp.y, furthest, self.grid)

    def oval(self, windows: Windows) -> Oval:
        """The pixels about the heads, in their half axes."""
        radius, stretch = self.polyp.radius, self.polyp.stretch
        return oval(self.polyp, radius * stretch, radius / stretch, windows, self.grid)


@dataclass(frozen=True, slots=True)
class _Head:
    """A polyp's head in its window. inside: 0 at the center, 1 on the outline, more beyond. cover: of the pixel.
    u, v: place in half axes along the long and the short axis. away_x, away_y: direction from the center.
    """

    inside: Float[Tensor, "m w w"]
    cover: Float[Tensor, "m w w"]
    u: Float[Tensor, "m w w"]
    v: Float[Tensor, "m w w"]
    away_x: Float[Tensor, "m w w"]
    away_y: Float[Tensor, "m w w"]


def draw_polyps(surface: Surface, growths: Numbers, bowel: Numbers, grid: Grid) -> Bool[Tensor, "n pixels"]:
    """Lay the polyps over the surface, the first one uppermost; return the pixels that are at least half theirs."""
    mask = torch.zeros(surface.light.shape, dtype=torch.bool, device=grid.device)
    # Light on polyps: that on the wall at their centers, and more, since they rise toward the camera.
    x, y, rise = (grid.flat(each)[:, None, :] for each in (growths.x, growths.y, 0.1 + 0.5 * growths.height))
    on_wall = wall_brightness(bowel, polar_coordinates(bowel, x, y, grid), x, y, grid)
    light = on_wall.add_((1 - on_wall).mul_(rise))
    for number in reversed(range(MOST)):
        for rows in _alike(growths.opacity[:, number], growths.radius[:, number]):
            lit = light[torch.as_tensor(rows, device=grid.device), :, number, None]
            visible = _Polyps(rows, growths.take((rows, number)), lit, grid)
            _cast_shadow(surface, visible)
            _draw_stalk(surface, mask, visible)
            _draw_head(surface, mask, visible)
    return mask


def _alike(opacity: Float[np.ndarray, "n"], radius: Float[np.ndarray, "n"]) -> Iterator[Int[np.ndarray, "m"]]:
    """Rows whose polyp is there, an octave of sizes at a time, so that windows fit."""
    octave = np.ceil(np.log2(radius)).astype(np.int64)
    for step in np.unique(octave[opacity > 0]):
        yield np.flatnonzero((opacity > 0) & (octave == step))


def _cast_shadow(surface: Surface, polyps: _Polyps) -> None:
    """Take light from the wall around a head, more on the side away from the lamp."""
    polyp, tensor = polyps.polyp, polyps.tensor
    windows = polyps.windows(polyp.stretch * (1 + SHADOW))
    at = polyps.oval(windows)
    outside = at.u.mul_(at.u).add_(at.v.mul_(at.v)).sqrt_().sub_(1)
    fade = outside.clamp_(min=0).mul_(-1 / SHADOW).add_(1).clamp_(min=0)
    side = (
        (at.x * tensor(polyp.shade_x))
        .add(at.y * tensor(polyp.shade_y))
        .mul_(tensor(0.5 / polyp.radius))
        .clamp_(-0.5, 0.5)
    )
    strength = side.add_(0.5).mul_(tensor(polyp.opacity * 0.75 * (polyp.height - 0.15)))
    windows.multiply(surface.light, 1 - fade.mul_(fade).mul_(strength))


def _draw_head(surface: Surface, mask: Bool[Tensor, "n pixels"], polyps: _Polyps) -> None:
    polyp, tensor = polyps.polyp, polyps.tensor
    windows = polyps.windows(polyp.stretch * BULGE)
    head = _head_shape(polyps, windows)
    slope_x, slope_y, crease = _relief(polyps, head)
    windows.mark(mask, head.cover >= 0.5)
    top = (head.inside * head.inside).mul_(tensor(-0.6 * polyp.height)).add_(tensor(1 + 0.6 * polyp.height))
    cover = (1 - _wall_share(polyps, head)).mul_(head.cover).mul_(tensor(polyp.opacity))
    light = (1 - crease * tensor(0.28 * polyp.lobulated)).mul_(top).mul_(polyps.light)
    blood = crease.mul_(tensor(0.25 * polyp.lobulated)).add_(tensor(polyp.redness))
    surface.lay(windows, cover, light, slope_x, slope_y, blood)


def _head_shape(polyps: _Polyps, windows: Windows) -> _Head:
    polyp, tensor, at = polyps.polyp, polyps.tensor, polyps.oval(windows)
    rho, cosine, sine, scale = at.rays()
    outline = uneven_outline(cosine, sine, [tensor(polyp.uneven[:, k]) for k in range(4)])
    depth = (outline - rho).mul_(scale)
    plain = 1 / (at.x * at.x + at.y * at.y).sqrt_().add_(1e-6)
    softness = 0.1 * polyp.radius * (1 - polyp.height)
    edge = tensor(np.sqrt((_EDGE * polyps.grid.pixel) ** 2 + softness * softness))
    return _Head((rho / outline).clamp_(max=1), ramp(depth, edge), at.u, at.v, at.x * plain, at.y * plain)


def _wall_share(polyps: _Polyps, head: _Head) -> Float[Tensor, "m w w"]:
    """Share of the wall's own look in a sessile polyp: greatest where it passes into the wall, toward its edge."""
    polyp, tensor = polyps.polyp, polyps.tensor
    side = (head.away_x * tensor(polyp.stalk_x)).add_(head.away_y * tensor(polyp.stalk_y))
    return side.clamp_(min=0).mul_(head.inside).mul_(head.inside).mul_(tensor(0.75 * (polyp.stalk == 0)))


def _relief(
    polyps: _Polyps, head: _Head
) -> tuple[Float[Tensor, "m w w"], Float[Tensor, "m w w"], Float[Tensor, "m w w"]]:
    """Slope of the dome with its lobules, and the closeness of a point to the crease between two of them, 0 to 1."""
    polyp, tensor = polyps.polyp, polyps.tensor
    square = head.inside * head.inside
    flank = (square * tensor(1 - polyp.height)).add_(tensor(polyp.height)).mul_(head.inside).mul_(tensor(polyp.height))
    flank.div_((1.07 - square).sqrt_())
    near_u, near_v, crease = _lobule(polyps, head)
    along, across = _BUMP * polyp.lobulated * polyp.cosine, _BUMP * polyp.lobulated * polyp.sine
    slope_x = (flank * head.away_x).add_(near_u * tensor(along)).sub_(near_v * tensor(across))
    slope_y = flank.mul_(head.away_y).add_(near_u * tensor(across)).add_(near_v * tensor(along))
    return slope_x, slope_y, crease


def _lobule(
    polyps: _Polyps, head: _Head
) -> tuple[Float[Tensor, "m w w"], Float[Tensor, "m w w"], Float[Tensor, "m w w"]]:
    """Distance of each point from its lobule's center, in half axes, and its nearness to the next lobule's."""
    near_u, near_v = head.u, head.v
    nearest = torch.full_like(head.u, 1e6)
    second = nearest
    polyp, tensor = polyps.polyp, polyps.tensor
    lobes_u, lobes_v, weight = tensor(polyp.lobes_x), tensor(polyp.lobes_y), tensor(polyp.lobes_weight)
    for number in range(LOBES):
        du, dv = head.u - lobes_u[:, number], head.v - lobes_v[:, number]
        square = (du * du).add_(dv * dv).add_(weight[:, number])
        closer = square < nearest
        second = torch.minimum(second, torch.maximum(nearest, square))
        nearest = torch.minimum(nearest, square)
        near_u, near_v = torch.where(closer, du, near_u), torch.where(closer, dv, near_v)
    crease = second.sub_(nearest).mul_(-4).add_(1).clamp_(min=0)
    return near_u, near_v, crease.mul_(crease)


def _draw_stalk(surface: Surface, mask: Bool[Tensor, "n pixels"], polyps: _Polyps) -> None:
    """Round strands from under the heads to the wall, which they meet flared, in the mucosa's color."""
    chosen = np.flatnonzero(polyps.polyp.stalk > 0)
    if len(chosen) == 0:
        return
    stalked = polyps.take(chosen)
    polyp, tensor = stalked.polyp, stalked.tensor
    reach = 0.9 + polyp.stalk
    windows = stalked.windows(reach + _FLARE * polyp.thickness)
    x, y = windows.x - tensor(polyp.x), windows.y - tensor(polyp.y)
    along = (
        (x * tensor(polyp.stalk_x) + y * tensor(polyp.stalk_y)).mul_(tensor(1 / (polyp.radius * reach))).clamp_(0, 1)
    )
    away_x = x - along * tensor(polyp.stalk_x * polyp.radius * reach)
    away_y = y - along * tensor(polyp.stalk_y * polyp.radius * reach)
    distance = (away_x * away_x).add_(away_y * away_y).sqrt_()
    half = polyp.radius * polyp.thickness * np.minimum(1, 4 * polyp.stalk)
    thick = (along * along).mul_(_FLARE - 0.8).add_(0.8).mul_(tensor(half))
    cover = ramp(thick - distance, tensor(np.full_like(half, _EDGE * stalked.grid.pixel)))
    cover.mul_((1 - along).mul_(5).clamp_(max=1))  # it has become the wall where it ends
    windows.mark(mask, cover >= 0.5)
    t = (distance / (thick + 1e-6)).clamp_(max=1)
    flank = (t / (1.07 - t * t).sqrt_()).div_(distance.add_(1e-6))
    cover.mul_(tensor(polyp.opacity))
    light, blood = along.mul_(-0.35).add_(1).mul_(stalked.light), tensor(0.3 * polyp.redness).expand_as(cover)
    surface.lay(windows, cover, light, away_x.mul_(flank), away_y.mul_(flank), blood)


# A video endoscope: a lamp next to the lens, colors that saturate, a view with its corners cut, and grain.

_DIFFUSE = 0.2  # share of the light that comes from the walls around
FINEST = 256
"""Cells of the finest lattice of grain over the image."""


def lamp_light(surface: Surface, draw: Draw, grid: Grid) -> Plane:
    """Light that the surface returns: that which falls on it times the cosine to the lamp."""
    across, down = (grid.tensor(each)[:, :, 0] for each in draw("endo-lamp", -0.5, 0.5, 2).T)
    x, y = surface.slope_x, surface.slope_y
    toward = (x * across + y * down).add_(1).clamp_(min=0)
    toward.div_((x * x).add_(y * y).add_(1).sqrt_()).mul_(1 - _DIFFUSE).add_(_DIFFUSE)
    return toward.mul_(surface.light).view(-1, grid.size, grid.size)


def mucosa_colors(
    light: Plane, blood: Plane, film: Plane, rows: PhantomRows, grid: Grid
) -> Float[Tensor, "n 3 size size"]:
    """Red, green and blue, 0 to 1, of the light that mucosa of this hue reflects, over a curve that saturates.

    Args:
        light: Light that returns from the surface.
        blood: Over the mucosa's mean; it absorbs mostly green.
        film: Yellow matter, which absorbs blue.
        rows: Hue and illumination.
        grid: The images.
    """
    draw, tensor = rows.draw("endo-"), grid.tensor
    e = 0.48 * rows["illumination"] + draw("exposure", -0.25, 0.25)
    exposure = 2.35 * (1 + 0.5 * e) / (1 - 0.4 * e)
    green = 0.365 - 0.065 * rows["hue"] + draw("green", -0.03, 0.03)
    blue = green * (0.6 + 0.08 * rows["hue"] + draw("blue", -0.21, 0.21))
    channels = ((1.0, 0.16, 0.18), (green, 0.5 * green, 0.15 * green), (blue, 0.5 * blue, 0.75 * blue))
    out = torch.empty(len(e), 3, grid.size, grid.size, device=grid.device)
    for channel, (base, by_blood, by_film) in enumerate(channels):
        x = (blood * tensor(-by_blood * exposure)).sub_(film * tensor(by_film * exposure))
        x.add_(tensor(base * exposure)).clamp_(min=0).mul_(light)
        out[:, channel] = x.div_((x * x).add_(1).sqrt_())
    return out


def film_picture(
    picture: Float[Tensor, "n 3 size size"], draw: Draw, grain: float, grid: Grid
) -> tuple[Float[Tensor, "n 3 size size"], Plane]:
    """The picture with grain, within its view; and the view, 1 inside to 0 outside.

    grain: standard deviation in gray levels of 1 at 256 px; larger pixels average it.
    """
    inside = view(draw, grid)
    picture.add_(_sensor_noise(draw, grain, grid)[:, None])
    border = grid.tensor(draw("endo-border", 0.0, 0.04))[:, None]
    return picture.sub_(border).mul_(inside[:, None]).add_(border).clamp_(0, 1), inside


def view(draw: Draw, grid: Grid) -> Plane:
    """Part of the image that the scope shows: a rectangle cut by a diagonal and a circle, 1 inside, 0 outside."""

    def put(name: str, low: float, high: float) -> Float[Tensor, "n 1 1"]:
        return grid.tensor(draw(f"view-{name}", low, high))

    x, y = grid.axes()
    x, y = (x - put("x", -0.03, 0.03)).abs_(), (y - put("y", -0.015, 0.015)).abs_()
    sides = torch.minimum(put("width", 0.4, 0.47) - x, put("height", 0.44, 0.485) - y)
    cut = (put("cut", 0.68, 0.9) - x - y).mul_(0.7071)
    circle = put("circle", 0.5, 0.62) - (x * x + y * y).sqrt_()
    depth = torch.minimum(torch.minimum(sides, cut), circle)
    return ramp(depth, torch.full((1, 1, 1), 1.5 * grid.pixel, device=grid.device))


def _sensor_noise(draw: Draw, grain: float, grid: Grid) -> Plane:
    cells, strength = min(grid.size, FINEST), grain * draw("endo-grain-strength", 0.4, 1.6)
    if grid.size <= FINEST:
        white = white_noise(draw.nuisance, "endo-grain", cells, cells, grid.device)
        return white.mul_(grid.tensor(strength * (cells / FINEST)))
    white = white_noise(draw.nuisance, "endo-grain", cells + 2, cells + 2, grid.device)
    return spline_zoom(white, grid.size).mul_(grid.tensor(strength / float(zoom_gain(cells, grid.size))))


# Colors of a mucosa: blood in its tissue and its vessels, and residue in the bowel.

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
    return field.sub_(grid.tensor(draw("film-level", 0.72, 1.92))).clamp_(0, 1).mul_(grid.tensor(amount))


def mucosa_vessels(rows: PhantomRows, amount: float) -> Capsules:
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
    parts = [tubes((x, y, headings), radius, plain)]
    for number in range(_TWIGS):
        turn = (-1) ** number * 0.13 + draw(f"fork-{number}", -0.05, 0.05, _TREES)
        fork = x[..., number + 2], y[..., number + 2], headings[..., number + 1] + turn
        twig = path(f"twig-{number}", fork, 0.8 * near, _TWIG)
        parts.append(tubes(twig, (0.72 - 0.08 * number) * radius, 0.8 * plain))
    return Capsules.concatenate(parts)


# A wet surface: ripples, glints where they face the lamp, and bubbles.

_BUBBLES = 28  # in an image whose factor is 1
_RIPPLES, _PATCHES = 40, 6  # cells over the image: of ripples, and of where the wall leans


def glints(surface: Surface, rows: PhantomRows, grid: Grid) -> Plane:
    """White reflections of the lamp, 0 to 1: where the slope is such that it mirrors the lamp into the lens."""
    shape, (x, y), draw = (-1, grid.size, grid.size), grid.axes(), rows.draw("endo-")
    lens, aim, rough = grid.tensor(draw("lens", 0.3, 0.9)), draw("aim", -0.15, 0.15, 2), draw("rough", 0.12, 0.4)
    # Where the wall leans by chance no ripple makes up for it: glints stand in patches.
    lean = spline_zoom(lattice(rows.nuisance, "lean", _PATCHES, np.full(len(rough), 0.5), grid), _RIPPLES + 2)
    off_x = spline_zoom(lattice(rows.nuisance, "ripple-x", _RIPPLES, rough, grid).add_(lean), grid.size)
    off_y = spline_zoom(lattice(rows.nuisance, "ripple-y", _RIPPLES, rough, grid), grid.size)
    off_x.add_(surface.slope_x.view(shape)).add_(x * lens - grid.tensor(aim[:, 0]))
    off_y.add_(surface.slope_y.view(shape)).add_(y * lens - grid.tensor(aim[:, 1]))
    missed = off_x.mul_(off_x).add_(off_y.mul_(off_y))
    size = 0.012 * rows["highlights"] * draw("wet", 0.3, 1.7) + 1e-9
    return (1 - missed.mul_(grid.tensor(1 / size))).mul_(2.5).clamp_(0, 1).mul_(_lamp(surface).view(shape))


def bubbles(surface: Surface, rows: PhantomRows, grid: Grid) -> Canvas:
    """Bubbles as brightness 0 to 1 that they add: a rim, and the lamp's image in it. They lie in clusters."""
    count, draw = 4 * _BUBBLES, rows.draw("bubble-")  # as many as a difficulty of 2 shows
    cluster = (draw("cluster", 0, 1, count) * 3).astype(np.int64)

    def place_along(axis: str) -> Float[np.ndarray, "n k"]:
        u = draw(axis, -1, 1, count)
        return np.take_along_axis(draw(f"middle-{axis}", -0.36, 0.36, 3), cluster, axis=1) + 0.16 * u * np.abs(u)

    v = draw("radius", 0, 1, count)
    plain = (_BUBBLES * rows["bubbles"][:, None] ** 2 - np.arange(count)).clip(0, 1)
    canvas = grid.blank(len(v))
    chosen = np.nonzero(plain > 0)
    if len(chosen[0]) > 0:
        visible = Numbers(x=place_along("x"), y=place_along("y"), radius=0.005 + 0.02 * v * v * v, plain=plain).take(
            chosen
        )
        windows = Windows.around(chosen[0], visible.x, visible.y, 0.028 + grid.pixel, grid)
        windows.draw(canvas, _bubble(visible, windows, grid))
    return canvas.mul_(_lamp(surface))


def _lamp(surface: Surface) -> Canvas:
    """Share of the lamp's light that can be mirrored: all of it except in the depth."""
    return (surface.light * 2.5).clamp_(max=1)


def _bubble(bubble: Numbers, windows: Windows, grid: Grid) -> Float[Tensor, "m w w"]:
    """Brightness of bubbles in their windows, fainter where a pixel is wider than the highlight."""
    tensor, radius = grid.tensor, bubble.radius
    dx, dy = windows.x - tensor(bubble.x), windows.y - tensor(bubble.y)
    distance = (dx * dx + dy * dy).sqrt_()
    wide, half = np.full_like(radius, 1.2 * grid.pixel), 0.0025 + 0.1 * radius
    rim = ramp(tensor(half) - (distance - tensor(0.85 * radius)).abs_(), tensor(wide))
    aside_x, aside_y = dx + tensor(0.35 * radius), dy + tensor(0.35 * radius)
    spot = ramp(tensor(0.3 * radius) - (aside_x * aside_x + aside_y * aside_y).sqrt_(), tensor(wide))
    spot.mul_(tensor(0.9 * np.minimum(1, 0.6 * radius / wide) ** 2))
    return rim.mul_(tensor(0.4 * np.minimum(1, 2 * half / wide))).add_(spot).mul_(tensor(bubble.plain))


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

    Examples:
        The same image without and with a polyp; pixels that it does not reach stay the same:

        >>> phantom = EndoscopyPhantom()
        >>> values = {factor.name: phantom.quantile(factor.name, np.full(2, 0.6)) for factor in phantom.factors}
        >>> values["lesion"] = np.array([0, 1])
        >>> rendered = phantom.render(values, np.array([7, 7]), 64, {})
        >>> rendered.masks.any((1, 2, 3)).tolist()
        [False, True]
        >>> float((rendered.images[0] == rendered.images[1]).float().mean()) > 0.5
        True
    """

    design = PhantomDesign(
        card=drawn_by_assay(
            "endoscopy phantom",
            "a bowel from within, with polyps of known size, shape, color, surface, place and number or none",
            "a polyp is drawn over the wall: folds and vessels do not bend around it, and none covers it",
            "no blood, stool in lumps, instruments, retroflexion, narrow-band light, motion or chromatic fringes",
            "one still at a time: no sequence, no patient",
            "texts and insets on the screen are interventions, not part of the phantom",
        ),
        factors=FACTORS,
        sizes=(64, 512),
        channels=3,
        marginals={"count": Levels((0.625, 0.25, 0.125))},
        shown={
            "lesion": DifficultyEffect(0, 0, 1),
            "size": DifficultyEffect(0.35, 0.05, 0.8),
            "shape": DifficultyEffect(0.5, 0, 1.2),
            "contrast": DifficultyEffect(0, 0, 2),
            "texture": DifficultyEffect(0, 0, 1.5),
            "position_x": DifficultyEffect(0, -0.35, 0.35),
            "position_y": DifficultyEffect(0, -0.35, 0.35),
            "count": DifficultyEffect(0, 0, 2),
            "hue": DifficultyEffect(0, -1.5, 1.5),
            "illumination": DifficultyEffect(0, -1.6, 1.6),
            "folds": DifficultyEffect(0.5, 0, 1.4),
            "distance": DifficultyEffect(0.5, 0, 1.2),
            "bubbles": DifficultyEffect(0, 0, 2),
            "highlights": DifficultyEffect(0.5, 0, 1.5),
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
        return _Scenes(rows, tube(rows), mucosa_vessels(rows, self.vessels), polyps(rows))

    def draw(self, plan: _Scenes, grid: Grid) -> Rendered:
        """Draw frames and masks of the polyps with their stalks."""
        rows, draw, shape = plan.rows, plan.rows.draw(), (-1, grid.size, grid.size)
        surface = wall(plan.bowel, draw, polar_coordinates(plan.bowel, *grid.axes(), grid), grid)
        draw_capsules(surface.blood, plan.vessels, np.full(len(rows.nuisance), 1.2 * grid.pixel), grid)
        mask = draw_polyps(surface, plan.growths, plan.bowel, grid)
        surface.blood.add_(mottling(draw, grid).view(surface.blood.shape))
        yellow = film(draw, self.film, grid)
        picture = mucosa_colors(lamp_light(surface, draw, grid), surface.blood.view(shape), yellow, rows, grid)
        white = torch.maximum(glints(surface, rows, grid), bubbles(surface, rows, grid).view(shape))
        picture.add_((1 - picture).mul_(white[:, None]))
        picture, inside = film_picture(picture, draw, self.grain, grid)
        return Rendered(picture, (mask.view(shape) & (inside >= 0.5))[:, None])
