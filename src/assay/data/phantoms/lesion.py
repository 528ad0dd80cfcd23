"""A pulmonary nodule: an uneven ellipse, solid or part-solid or ground-glass, with spicules and a feeding vessel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import Tensor

from assay.data.phantoms.canvas import Grid, Windows, column, ramp
from assay.data.phantoms.capsules import Capsules, draw_capsules
from assay.data.phantoms.counter import spread, uniforms
from assay.data.phantoms.exact import direction
from assay.data.phantoms.shapes import uneven_outline

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
class Visible:
    """What of each factor can be seen, after its difficulty: float64 [n] each."""

    x: np.ndarray
    y: np.ndarray
    diameter: np.ndarray
    elongation: np.ndarray
    contrast: np.ndarray
    spiculation: np.ndarray
    outer: np.ndarray
    core: np.ndarray
    feeder: np.ndarray


@dataclass(frozen=True, slots=True)
class Body:
    """The ellipse: centre, direction and half lengths of its axes (mm), unevenness, core, HU, softness. [n, 1] each.

    The outline lies at 1 + the sum of harmonics 3 and 5 of the polar angle, in units of the half axes. Its edge is
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


def visible(values: Mapping[str, np.ndarray], difficulty: Mapping[str, float]) -> Visible:
    """Scale each factor's distance from a fixed reference by its difficulty, within what can be drawn.

    At difficulty 0 every image has the reference: centred, 10 mm, round, 750 HU, smooth, solid, no vessel.
    """

    def scaled(name: str, reference: float, low: float, high: float) -> np.ndarray:
        return np.clip(reference + difficulty.get(name, 1.0) * (values[name] - reference), low, high)

    opaque = difficulty.get("texture", 1.0)
    return Visible(
        x=scaled("position_x", 0, -20, 20),
        y=scaled("position_y", 0, -20, 20),
        diameter=scaled("size", 10, 3, 30),
        elongation=scaled("elongation", 1, 1, 3),
        contrast=scaled("contrast", 750, 50, 1200),
        spiculation=scaled("margin", 0, 0, 3),
        outer=np.clip(1 + opaque * (OUTER[values["texture"]] - 1), 0.1, 1),
        core=np.clip(1 + opaque * (CORE[values["texture"]] - 1), 0.1, 1),
        feeder=scaled("vessel", 0, 0, 1.5),
    )


def shape(seen: Visible, nuisance: Int[np.ndarray, "n"]) -> Lesion:
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


def _certain(tubes: Capsules) -> Capsules:
    """The same tubes with strength 1 wherever there is any."""
    present = (tubes.strength0 > 0).astype(np.float64)
    return replace(tubes, strength0=present, strength1=present)


def _body(seen: Visible, nuisance: Int[np.ndarray, "n"]) -> Body:
    stretch = np.sqrt(seen.elongation)
    long, short = 0.5 * seen.diameter * stretch, 0.5 * seen.diameter / stretch
    cosine, sine = direction(uniforms(nuisance, "axis", 1))
    uneven = spread(nuisance, "uneven", -_UNEVEN, _UNEVEN, 4)
    core = spread(nuisance, "core", -0.25, 0.25, 2)
    core_radius = spread(nuisance, "core-radius", 0.4, 0.65)
    cosine3, sine3, cosine5, sine5 = np.split(uneven, 4, axis=1)
    return Body(
        x=seen.x[:, None],
        y=seen.y[:, None],
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
        outer_hu=(seen.contrast * seen.outer)[:, None],
        core_hu=(seen.contrast * seen.core)[:, None],
        softness=(1 + 1.2 * (1 - seen.outer))[:, None],
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
    """Points at `depth` (1: on the outline, 0: centre) at these polar angles, and the outward normals. [n, k] each."""
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


def _spicules(seen: Visible, body: Body, nuisance: Int[np.ndarray, "n"]) -> Capsules:
    """Twelve tapering strands, evenly spread but for a jitter; their length and width grow with the spiculation."""
    around = (np.arange(_SPICULES) + uniforms(nuisance, "spicule-angle", _SPICULES)) / _SPICULES
    x, y, out_x, out_y = _rim(body, around, 0.9)
    tilt_c, tilt_s = direction(spread(nuisance, "spicule-tilt", -0.06, 0.06, _SPICULES))
    out_x, out_y = out_x * tilt_c - out_y * tilt_s, out_x * tilt_s + out_y * tilt_c
    amount = seen.spiculation[:, None]
    length = amount * spread(nuisance, "spicule-length", *SPICULE, _SPICULES)
    width = np.minimum(1, 2 * amount) * spread(nuisance, "spicule-width", *SPICULE_RADIUS, _SPICULES)
    # Strands are of tissue denser than ground glass, so that the margin is as visible in every texture but for a share.
    strength = (amount > 0) * (seen.contrast * (0.8 + 0.2 * seen.outer))[:, None] * np.ones_like(length)
    start = 0.1 * body.half_short
    return Capsules(
        x, y, x + (length + start) * out_x, y + (length + start) * out_y, width, 0.3 * width, strength, 0.8 * strength
    )


def _feeder(seen: Visible, body: Body, nuisance: Int[np.ndarray, "n"]) -> Capsules:
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
    strength = FEEDER_HU * seen.feeder[:, None] * (1 + np.concatenate([np.zeros((n, 1)), fading], axis=1))
    return Capsules(x0, y0, x1, y1, radii[:, :-1], radii[:, 1:], strength[:, :-1], strength[:, 1:])
