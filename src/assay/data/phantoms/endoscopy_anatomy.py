"""Anatomy of the endoscopy phantom: wall, relief and polyps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from assay.data.phantoms.base import PhantomRows
from assay.data.phantoms.drawing import Grid, Windows, column, direction, ramp, uneven_outline
from assay.data.phantoms.noise import lattice, spline_zoom, spread, uniforms

# The wall of a bowel seen from within: a tube that leads to a dark lumen, with folds behind which light fades.
#
# Lengths are sides of the image, from its middle: x to the right, y down. A point of a straight tube that appears at
# distance r from the lumen's middle lies at a depth in proportion to 1 / r, so folds at equal steps of depth crowd
# toward the lumen.

_TIP = 0.05
"""Added to distances from the lumen's middle, so that depth stays finite there."""
_TUBE_UNEVEN = np.array([0.2, 0.2, 0.1, 0.1])
_CREST = 0.25  # light on a crest over that on a smooth wall
_WARP, _PARTIAL, _WAVES = 3, 3, 7  # cells over the image: of folds' course and strength, and of what is uneven else


@dataclass(frozen=True, slots=True)
class Tube:
    """Course and folds of a bowel, float64 [n] unless stated.

    x, y: the lumen's middle. uneven: harmonics two and three of its outline [n, 4]. radius: the tube's, as it appears
    at depth 1. reach: depth at which light has fallen to a quarter.
    rate, phase: folds per depth, and the position of the first. depth: how dark it is behind a fold, 0 to 1.
    warp: how far folds stray from rings, as a share of their depth.
    waves: relative variation of the light by further unevenness. slant_x, slant_y: share by which light changes across
    and down the image.
    """

    x: np.ndarray
    y: np.ndarray
    uneven: np.ndarray
    radius: np.ndarray
    reach: np.ndarray
    rate: np.ndarray
    phase: np.ndarray
    depth: np.ndarray
    warp: np.ndarray
    waves: np.ndarray
    slant_x: np.ndarray
    slant_y: np.ndarray


@dataclass(frozen=True, slots=True)
class Surface:
    """Surface before the camera, flat canvases [n, pixels]: light on it, and its slope (normal over depth)."""

    light: Float[Tensor, "n pixels"]
    slope_x: Float[Tensor, "n pixels"]
    slope_y: Float[Tensor, "n pixels"]


@dataclass(frozen=True, slots=True)
class Around:
    """Places in polar coordinates about the lumen: distance (outline at 1), and the outward direction on the image."""

    radius: Float[Tensor, "n *where"]
    cosine: Float[Tensor, "n *where"]
    sine: Float[Tensor, "n *where"]


def toward_lumen(nuisance: Int[np.ndarray, "n"]) -> Float[np.ndarray, "n 1"]:
    """The side of the image's middle on which the lumen is, in turns, whatever its distance."""
    return uniforms(nuisance, "tube-side", 1)


def tube(seen: PhantomRows, nuisance: Int[np.ndarray, "n"]) -> Tube:
    """The bowel of each image: the lumen in sight from afar, beyond the image's border from close by."""

    def draw(name: str, low: float, high: float) -> Float[np.ndarray, "n"]:
        return spread(nuisance, f"tube-{name}", low, high)[:, 0]

    away_x, away_y = direction(toward_lumen(nuisance)[:, 0])
    away = 0.78 * (1 - seen["distance"]).clip(0) + draw("away", 0.05, 0.33)
    return Tube(
        x=away * away_x,
        y=away * away_y,
        uneven=spread(nuisance, "tube-uneven", -1, 1, 4) * _TUBE_UNEVEN,
        radius=draw("radius", 0.5, 0.75),
        reach=draw("reach", 1.0, 1.9),
        rate=draw("rate", 0.75, 1.7),
        phase=draw("phase", 0.0, 1.0),
        depth=seen["folds"] * draw("depth", 0.75, 1.0),
        warp=draw("warp", 0.03, 0.1),
        waves=draw("waves", 0.03, 0.15),
        slant_x=draw("slant-x", -2.2, 2.2),
        slant_y=draw("slant-y", -2.2, 2.2),
    )


def around(bowel: Tube, x: Tensor, y: Tensor) -> Around:
    """Polar coordinates of these points, given as [1 or n, 1, w] and [1 or n, h, 1]."""
    device = str(x.device)
    dx, dy = x - column(bowel.x, device), y - column(bowel.y, device)
    distance = (dx * dx + dy * dy).sqrt_()
    inverse = 1 / (distance + 1e-3)
    cosine, sine = dx * inverse, inverse.mul_(dy)
    two_c, two_s, three_c, three_s = (column(bowel.uneven[:, k], device) for k in range(4))
    # Harmonics two and three of the angle as the real part of z^2 (a + b z), z on the unit circle.
    real = (cosine * three_c).add_(sine * three_s).add_(two_c)
    imaginary = (cosine * three_s).sub_(sine * three_c).add_(two_s)
    square = (cosine * cosine).mul_(2).sub_(1)
    outline = real.mul_(square).add_(imaginary.mul_(cosine).mul_(sine).mul_(2))
    return Around(distance.div_(outline.add_(1)), cosine, sine)


def brightness(bowel: Tube, at: Around, x: Tensor, y: Tensor) -> Float[Tensor, "n *where"]:
    """Light on a smooth wall, about 1 near the camera: less by the square of depth, and again as the wall turns away;
    more on the side to which the camera is nearer.
    """
    device = str(at.radius.device)
    depth = 1 / (at.radius + _TIP).mul_(column(bowel.reach / bowel.radius, device))
    near = 1 / depth.mul_(depth).add_(1)
    slant = (x * column(bowel.slant_x, device)).add(y * column(bowel.slant_y, device)).add_(1).clamp_(min=0.15)
    return near.mul_(near).mul_(slant)


def wall(bowel: Tube, nuisance: Int[np.ndarray, "n"], at: Around, grid: Grid) -> Surface:
    """The wall with its folds: bright on their crests, dark behind them, where the next crest hides it."""
    behind = _behind(bowel, nuisance, at, grid)
    light = brightness(bowel, at, *grid.axes())
    tilt = (behind * 0.6).add_(0.3)
    light.mul_(1 - behind)
    light.mul_(spline_zoom(lattice(nuisance, "waves", _WAVES, bowel.waves, grid).add_(1), grid.size).clamp_(min=0.2))
    tilt.neg_()
    flat = (len(nuisance), -1)
    return Surface(light.view(flat), (at.cosine * tilt).view(flat), (at.sine * tilt).view(flat))


def _behind(bowel: Tube, nuisance: Int[np.ndarray, "n"], at: Around, grid: Grid) -> Float[Tensor, "n size size"]:
    """Share of the light that a fold takes: 0 on a crest, rising outward to the fold's depth, then sharply 0 again."""

    def put(values: Float[np.ndarray, "n"]) -> Float[Tensor, "n 1 1"]:
        return column(values, grid.device)

    near = 1 / (at.radius + _TIP)
    order = near * put(bowel.rate * bowel.radius)
    width = (near * order).mul_(1.2 * grid.pixel).clamp_(max=0.5)
    warp = spline_zoom(lattice(nuisance, "warp", _WARP, bowel.warp, grid), grid.size)
    order.mul_(warp.add_(1)).add_(put(bowel.phase))
    step = torch.floor(order)
    from_crest = step.sub_(order).add_(1)
    square, ahead = from_crest * from_crest, 1 - from_crest
    crest = (ahead * ahead).mul_(ahead).mul_(_CREST)
    shadow = (square * square).mul_(0.65).add_(square.mul_(0.35)).add_(_CREST).sub_(crest)
    shadow.mul_(ahead.div_(width).clamp_(0, 1)).sub_(_CREST)
    strength = lattice(nuisance, "partial", _PARTIAL, 0.45 * bowel.depth, grid).add_(put(0.65 * bowel.depth))
    partial = torch.minimum(spline_zoom(strength, grid.size).clamp_(min=0), put(bowel.depth))
    return shadow.mul_(partial)


# Polyps: where they lie and what they look like, from a flat patch over a dome to a head on a stalk.

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
_ROOM = 0.3  # the center of a further polyp lies within this distance of the middle, across and down


@dataclass(frozen=True, slots=True)
class Polyps:
    """Up to three polyps an image, float64 [n, 3] unless stated; lengths in sides of the image.

    opacity: 0 where there is none. cosine, sine: direction of the long axis. stretch: root of long over short axis.
    uneven: harmonics of the outline [n, 3, 4]. height: 0.2 flat to 1 a half ball. redness: color over the mucosa's.
    stalk: length in radii, 0 none. stalk_x, stalk_y: direction from head to base. thickness: of the stalk, in radii.
    lobes_x, lobes_y: centers of lobules in half axes [n, 3, 12]; lobes_weight: how far each gives way to the others, as
    a squared distance. lobulated: 0 smooth to 1.
    shade_x, shade_y: direction in which the shadow falls.
    """

    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    opacity: np.ndarray
    cosine: np.ndarray
    sine: np.ndarray
    stretch: np.ndarray
    uneven: np.ndarray
    height: np.ndarray
    redness: np.ndarray
    stalk: np.ndarray
    stalk_x: np.ndarray
    stalk_y: np.ndarray
    thickness: np.ndarray
    lobes_x: np.ndarray
    lobes_y: np.ndarray
    lobes_weight: np.ndarray
    lobulated: np.ndarray
    shade_x: np.ndarray
    shade_y: np.ndarray


def polyps(seen: PhantomRows, nuisance: Int[np.ndarray, "n"]) -> Polyps:
    """Draw the polyps of each image: factors from `seen`, all else from the nuisance seed.

    The first has the stated place and size. The further ones share its look, are smaller, and are placed next to it.
    """

    def draw(name: str, low: float, high: float) -> Float[np.ndarray, "n 3"]:
        return spread(nuisance, f"polyp-{name}", low, high, MOST)

    def turned(name: str) -> tuple[np.ndarray, np.ndarray]:
        return direction(uniforms(nuisance, f"polyp-{name}", MOST))

    share = np.where(np.arange(MOST) == 0, 1.0, draw("share", 0.4, 0.75))
    radius = 0.5 * seen["size"][:, None] * share
    x, y = _places(seen, radius, nuisance)
    cosine, sine = turned("axis")
    stalk_x, stalk_y = direction(toward_lumen(nuisance) + 0.5 + draw("stalk", -0.14, 0.14))
    shade_x, shade_y = turned("shade")
    lobes_x, lobes_y = _lobes(nuisance)
    every = np.ones(MOST)
    return Polyps(
        x=x,
        y=y,
        radius=radius,
        opacity=seen["lesion"][:, None] * (1 + seen["count"][:, None] - np.arange(MOST)).clip(0, 1),
        cosine=cosine,
        sine=sine,
        stretch=np.sqrt(draw("stretch", 1.0, 1.5)),
        uneven=spread(nuisance, "polyp-uneven", -_POLYP_UNEVEN, _POLYP_UNEVEN, 4 * MOST).reshape(-1, MOST, 4),
        height=(0.2 + 1.6 * seen["shape"][:, None]).clip(0.2, 1.0) * every,
        redness=_redness(seen, nuisance) * every,
        stalk=(seen["shape"][:, None] - STALKED).clip(0) / (1 - STALKED) * draw("stalk-length", 0.8, 1.4),
        stalk_x=stalk_x,
        stalk_y=stalk_y,
        thickness=draw("stalk-thickness", 0.24, 0.36),
        lobes_x=lobes_x,
        lobes_y=lobes_y,
        lobes_weight=spread(nuisance, "lobe-weight", 0.0, 0.09, MOST * LOBES).reshape(-1, MOST, LOBES),
        lobulated=seen["texture"][:, None] ** 2 * every,
        shade_x=shade_x,
        shade_y=shade_y,
    )


def _redness(seen: PhantomRows, nuisance: Int[np.ndarray, "n"]) -> Float[np.ndarray, "n 1"]:
    """Three polyps in four are redder than the mucosa, one is paler."""
    paler = uniforms(nuisance, "polyp-paler", 1) < 0.25
    return seen["contrast"][:, None] * np.where(paler, -0.5, 0.6)


def _places(
    seen: PhantomRows, radius: Float[np.ndarray, "n 3"], nuisance: Int[np.ndarray, "n"]
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3"]]:
    """The first where it is stated; the second to one side of it and the third to the other, folded into the image."""
    turn = uniforms(nuisance, "polyp-beside", 1) + np.array([0.0, 0.0, 0.5])
    cosine, sine = direction(turn + spread(nuisance, "polyp-aside", -0.1, 0.1, MOST))
    gap = 1.35 * (radius[:, :1] + radius) + spread(nuisance, "polyp-gap", 0.0, 0.08, MOST)
    gap = gap * (np.arange(MOST) > 0)
    return _folded(seen["position_x"][:, None], gap * cosine), _folded(seen["position_y"][:, None], gap * sine)


def _folded(start: Float[np.ndarray, "n 1"], step: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """Start and step added; a step that would lead out of sight is turned about, and ends where sight does."""
    there, back = start + step, start - step
    end = np.where((np.abs(there) > _ROOM) & (np.abs(back) < np.abs(there)), back, there)
    return np.where(step == 0, start, end.clip(-_ROOM, _ROOM))


def _lobes(nuisance: Int[np.ndarray, "n"]) -> tuple[Float[np.ndarray, "n 3 k"], Float[np.ndarray, "n 3 k"]]:
    """Centers of lobules: even on the disc but for a jitter."""
    count = MOST * LOBES
    shape = (len(nuisance), MOST, LOBES)
    order = np.arange(LOBES)
    jitter = spread(nuisance, "lobe-turn", -0.05, 0.05, count).reshape(shape)
    start = uniforms(nuisance, "lobe-start", MOST)[:, :, None]
    cosine, sine = direction(start + order * _GOLDEN + jitter)
    away = np.sqrt((order + 0.5) / LOBES) * spread(nuisance, "lobe-away", 0.88, 1.04, count).reshape(shape)
    return away * cosine, away * sine


# Polyps on the wall: their outline, slope, shade and color, laid over what the camera sees.

SHADOW = 0.45
"""Reach of a polyp's shadow beyond its outline, in its radii."""
_BUMP = 1.6  # slope of a lobule at one half axis from its center
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
        """Windows about the polyps' centers that reach so far, in radii of each."""
        furthest = float((self.polyp.radius * reach).max()) + self.grid.pixel
        return Windows.around(self.rows, self.polyp.x, self.polyp.y, furthest, self.grid)


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
    """Light on polyps: that on the wall at their centers, and more, since they rise toward the camera."""

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
    outline = uneven_outline(u * inverse, v * inverse, [put(polyp.uneven[:, k]) for k in range(4)])
    depth = (outline - rho).mul_(inverse.mul_(distance))
    plain = 1 / distance.add_(1e-6)
    softness = 0.1 * polyp.radius * (1 - polyp.height)
    edge = put(np.sqrt((_EDGE * own.grid.pixel) ** 2 + softness * softness))
    return _Head((rho / outline).clamp_(max=1), ramp(depth, edge), u, v, x * plain, y * plain)


def _attached(own: _Own, head: _Head) -> Float[Tensor, "m w w"]:
    """Share of the wall's own look in a sessile polyp: greatest where it passes into the wall, toward its edge."""
    polyp, put = own.polyp, own.put
    side = (head.away_x * put(polyp.stalk_x)).add_(head.away_y * put(polyp.stalk_y))
    return side.clamp_(min=0).mul_(head.inside).mul_(head.inside).mul_(put(0.75 * (polyp.stalk == 0)))


def _relief(own: _Own, head: _Head) -> tuple[Float[Tensor, "m w w"], Float[Tensor, "m w w"], Float[Tensor, "m w w"]]:
    """Slope of the dome with its lobules, and the closeness of a point to the crease between two of them, 0 to 1."""
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
    """Distance of each point from its lobule's center, in half axes, and its nearness to the next lobule's."""
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
    """Round strands from under the heads to the wall, which they meet flared, in the mucosa's color."""
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
