"""The chest phantom: radiographs with or without a mass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Protocol

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
    DrawnPhantom,
    Levels,
    PhantomDesign,
    PhantomRows,
    Shown,
    Skewed,
    direction,
    drawn_by_assay,
    uneven_outline,
)
from assay.data.phantoms.chest_anatomy import (
    Anatomy,
    Bones,
    anatomy,
    bones,
    frame,
    left_heart,
    on_image,
    outlines,
    skeleton,
    soft_tissue,
)
from assay.data.phantoms.drawing import Capsules, Grid, Windows, column, draw_capsules, ramp
from assay.data.phantoms.noise import soften, spline_zoom, spread, uniforms, white_noise, zoom_gain

FACTORS = (
    Factor(
        "mass", "categorical", "core", levels=("absent", "present"), high=("present",), description="a mass in a lung"
    ),
    Factor("size", "continuous", unit="mm", range=(29.0, 67.0), description="diameter of the circle of equal area"),
    Factor(
        "contrast",
        "continuous",
        range=(0.2, 0.5),
        description="attenuation that the mass adds, the whole chest's being 1",
    ),
    Factor("edge", "continuous", range=(0.0, 1.0), description="0 sharp to 1 ill-defined"),
    Factor(
        "side", "categorical", levels=("right", "left"), high=("left",), description="the patient's side of the mass"
    ),
    Factor("zone", "ordinal", levels=("upper", "middle", "lower"), description="third of the lung with the mass"),
    Factor("sex", "categorical", levels=("F", "M"), high=("M",), description="breasts, width of the thorax"),
    Factor("age", "continuous", unit="years", range=(20.0, 90.0), description="bone, cartilage, aorta, lung marks"),
    Factor(
        "view", "categorical", levels=("PA", "AP"), high=("AP",), description="heart, shoulder blades, collar bones"
    ),
    Factor(
        "scanner", "categorical", levels=("computed", "direct"), high=("direct",), description="grain, sharpness, tone"
    ),
    Factor("habitus", "continuous", range=(0.0, 1.0), description="0 slender to 1 heavy"),
    Factor("exposure", "continuous", range=(-1.0, 1.0), description="-1 dark to 1 bright"),
)


# From attenuation to gray levels: scatter, exposure, the scanner's tone curve and grain.

FINEST = 256
"""Cells of the finest lattice of grain over the field: some 1.6 mm."""


def sharp_edge(seen: PhantomRows, nuisance: Int[np.ndarray, "n"], grid: Grid) -> Float[np.ndarray, "n"]:
    """Width of a sharp edge in mm on the image: the scanner's own, the patient's motion and that of a pixel."""
    own = spread(nuisance, "chest-blur", 2.0, 3.2)[:, 0] * (1 - 0.55 * seen["scanner"]).clip(0.2) + 0.8 * seen["view"]
    return np.sqrt(own * own + grid.pixel * grid.pixel)


def exposed(
    attenuation: Float[Tensor, "n size size"],
    seen: PhantomRows,
    nuisance: Int[np.ndarray, "n"],
    grain: float,
    grid: Grid,
) -> Float[Tensor, "n size size"]:
    """Gray levels 0 to 1, bright where much is absorbed.

    grain: standard deviation of the noise in gray levels of 1 in the mediastinum on the computed scanner at 256 px.
    """

    def draw(name: str, low: float, high: float) -> Float[np.ndarray, "n"]:
        return spread(nuisance, f"chest-{name}", low, high)[:, 0]

    def put(values: Float[np.ndarray, "n"]) -> Float[Tensor, "n 1 1"]:
        return column(values, grid.device)

    scatter = (0.06 + 0.1 * seen["view"] + 0.1 * (seen["habitus"] + 0.5)) * draw("scatter", 0.6, 1.4)
    contrast = draw("contrast", 0.82, 1.12) * (1 + 0.16 * seen["scanner"]) * (1 - 0.22 * seen["view"]) * (1 - scatter)
    level = draw("level", -0.07, 0.05) + 0.09 * seen["exposure"] + 0.5 * scatter + 0.1 * seen["view"]
    body = (attenuation * 4).clamp_(0, 1)  # what lies beside the patient stays dark, however the film is exposed
    veil = (put(level) + _shading(seen, nuisance, grid)).mul_(body)
    z = attenuation.mul_(put(0.82 * contrast)).add_(veil)
    z.add_(_noise(nuisance, grid).mul_(z.clamp(min=0).mul_(put(_loudness(seen, grain))).add_(0.15 * grain)))
    return _tone(z, put(0.3 - 0.55 * seen["scanner"]))


def _shading(seen: PhantomRows, nuisance: Int[np.ndarray, "n"], grid: Grid) -> Float[Tensor, "n size size"]:
    """A slope of gray across the image: the beam is not quite straight upon the detector, least so at the bedside."""
    steep = (1 + 1.2 * seen["view"])[:, None] * spread(nuisance, "chest-shading", -0.07, 0.07, 2) * (2 / grid.field)
    x, y = grid.axes()
    return x * column(steep[:, 0], grid.device) + y * column(steep[:, 1], grid.device)


def _loudness(seen: PhantomRows, grain: float) -> Float[np.ndarray, "n"]:
    """Grain per gray level: the thicker the patient, the fewer the photons."""
    scanner = (1 - 0.5 * seen["scanner"]).clip(0.2)
    return grain * scanner * (1 + 0.35 * seen["view"]) * (1 + 0.7 * (seen["habitus"] + 0.2))


def _tone(z: Float[Tensor, "n size size"], lift: Float[Tensor, "n 1 1"]) -> Float[Tensor, "n size size"]:
    """A curve that lifts (or deepens) the middle grays, is straight in the dark and saturates toward white."""
    z = z.clamp_(min=0)
    fourth = (z * z).mul_(z * z)
    z = z.div_((fourth + 1).sqrt_().sqrt_()).mul_(1.12).clamp_(max=1)
    return (1 - z).mul_(lift).mul_(z).add_(z).clamp_(0, 1)


def _noise(nuisance: Int[np.ndarray, "n"], grid: Grid) -> Float[Tensor, "n size size"]:
    """Grain of unit deviation at 256 px; larger pixels average it."""
    cells = min(grid.size, FINEST)
    white = white_noise(nuisance, "chest-grain", cells + 4, cells + 4, grid.device)
    side = torch.full((len(nuisance),), 0.14, device=grid.device)
    shaped = soften(white, side, side)
    if grid.size > FINEST:
        return spline_zoom(shaped, grid.size).mul_(1 / float(zoom_gain(cells, grid.size, 0.14, 0.14)))
    return shaped[:, 1:-1, 1:-1] * (cells / FINEST)


# The finding of a chest radiograph: a mass in a lung, lobulated, with an edge from sharp to ill-defined.

SOFTEST = 22.0
"""Width in mm over which the most ill-defined edge fades."""
_UNEVEN = 0.09
_BULGE = 1 + 1.6 * 2 * _UNEVEN


@dataclass(frozen=True, slots=True)
class Mass:
    """One mass an image; float64 [n] each. Place and size in mm on the image.

    strength: attenuation added at its center, 0 where there is no mass. fade: width of its edge in mm.
    cosine, sine: direction of its long axis. stretch: root of long over short axis. uneven: harmonics [n, 4].
    """

    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    strength: np.ndarray
    fade: np.ndarray
    cosine: np.ndarray
    sine: np.ndarray
    stretch: np.ndarray
    uneven: np.ndarray


def mass(seen: PhantomRows, build: Anatomy, nuisance: Int[np.ndarray, "n"]) -> Mass:
    """Place each mass in its zone of its lung, clear of the heart and the ribs' border, and compute its looks."""
    x, y = on_image(build.pose, *_place(seen, build, nuisance))
    cosine, sine = direction(uniforms(nuisance, "mass-axis", 1)[:, 0])
    return Mass(
        x=x[:, 0],
        y=y[:, 0],
        radius=0.5 * seen["size"],
        strength=seen["mass"] * seen["contrast"],
        fade=1 + (SOFTEST - 1) * seen["edge"],
        cosine=cosine,
        sine=sine,
        stretch=np.sqrt(spread(nuisance, "mass-stretch", 1.0, 1.35)[:, 0]),
        uneven=spread(nuisance, "mass-uneven", -_UNEVEN, _UNEVEN, 4),
    )


def _place(
    seen: PhantomRows, build: Anatomy, nuisance: Int[np.ndarray, "n"]
) -> tuple[Float[np.ndarray, "n 1"], Float[np.ndarray, "n 1"]]:
    """The center in the patient's coordinates."""
    side = seen["side"][:, None]
    dome = (1 - seen["side"]) * build.dome_right + seen["side"] * build.dome_left
    share = 0.24 + 0.27 * seen["zone"] + spread(nuisance, "mass-height", -0.07, 0.07)[:, 0]
    y = (build.apex + share * (dome - build.apex))[:, None]
    shape = outlines(build, y)
    inner = (1 - side) * shape.right + side * (left_heart(build, y) + build.turned[:, None]) + 12
    outer = (1 - side) * shape.lung_right + side * shape.lung_left - 18
    across = spread(nuisance, "mass-across", 0.12, 0.95)
    return (2 * side - 1) * (inner + across * np.maximum(outer - inner, 0)), y


def draw_mass(
    total: Float[Tensor, "n size size"], masses: Mass, blur: Float[np.ndarray, "n"], grid: Grid
) -> Bool[Tensor, "n size size"]:
    """Add the masses' attenuation; return their masks: pixels inside the outline, at half of the edge."""
    rows = np.flatnonzero(masses.strength > 0)
    mask = grid.blank(total.shape[0])
    if len(rows) > 0:
        own = Mass(*(getattr(masses, name)[rows] for name in Mass.__dataclass_fields__))
        edge = np.sqrt(own.fade**2 + blur[rows] ** 2)
        extent = _BULGE * float((own.radius * own.stretch).max()) + 0.5 * float(edge.max())
        windows = Windows.around(rows, own.x, own.y, extent, grid)
        depth = _depth(own, windows, grid.device)
        added = grid.blank(total.shape[0])
        windows.draw(added, _profile(own, depth, edge, grid.device))
        windows.draw(mask, (depth >= 0).to(torch.float32))
        total.add_(added.view(total.shape))
    return mask.view(total.shape) > 0.5


def _profile(own: Mass, depth: Tensor, edge: np.ndarray, device: str) -> Float[Tensor, "m w w"]:
    """A ball's thickness along the beam, flattened, times the edge's coverage."""
    inner = (depth * column(1 / own.radius, device)).clamp_(0, 1)
    ball = (2 - inner).mul_(inner).sqrt_().mul_(0.5).add_(0.5)
    return ramp(depth, column(edge, device)).mul_(ball).mul_(column(own.strength, device))


def _depth(own: Mass, windows: Windows, device: str) -> Float[Tensor, "m w w"]:
    """mm inside the outline, along the ray from the center."""
    x, y = windows.x - column(own.x, device), windows.y - column(own.y, device)
    along, across = own.radius * own.stretch, own.radius / own.stretch
    u = x * column(own.cosine / along, device) + y * column(own.sine / along, device)
    v = y * column(own.cosine / across, device) - x * column(own.sine / across, device)
    rho = (u * u).add_(v * v).sqrt_()
    inverse = 1 / (rho + 1e-4)
    radius = (x * x + y * y).sqrt_().mul_(inverse)
    harmonics = (column(own.uneven[:, k], device) for k in range(4))
    return (uneven_outline(u * inverse, v * inverse, *harmonics) - rho).mul_(radius)


# The texture of a radiograph's lungs: what is too fine to be drawn as vessels, and chalk's speckle in cartilage.

_COARSE, _FINE = 7, 64
"""Cells over the field of the slow changes and of the fine ones (6 mm)."""


def lung_texture(
    seen: PhantomRows, nuisance: Int[np.ndarray, "n"], amount: float, grid: Grid
) -> tuple[Float[Tensor, "n size size"], Float[Tensor, "n size size"]]:
    """Attenuation that a full depth of lung adds, coarser and stronger with age; and chalk's speckle, 0 to 1.

    amount: scales the texture, 1 normal.
    """
    coarse = white_noise(nuisance, "chest-coarse", _COARSE + 2, _COARSE + 2, grid.device)
    field = spline_zoom(white_noise(nuisance, "chest-fine", _FINE + 2, _FINE + 2, grid.device), grid.size)
    speckle = (field * 1.2).add_(0.5).clamp_(0, 1)
    fine = 0.021 * amount * spread(nuisance, "chest-texture", 0.7, 1.3)[:, 0] * (1 + 0.35 * seen["age"])
    field.mul_(column(fine / float(zoom_gain(_FINE, grid.size)), grid.device))
    slow = spline_zoom(coarse, grid.size).mul_(0.03 * amount / float(zoom_gain(_COARSE, grid.size)))
    return field.add_(slow), speckle


# The vessels of a radiograph: hila, trunks that leave them outwards, and twigs.

_TREES, _STEPS, _TWIGS = 9, 5, 3
_OUTWARD = np.array([-0.235, -0.18, -0.12, -0.06, 0.0, 0.05, 0.1, 0.15, 0.2])
"""Heading of each trunk in turns from straight outwards: up is negative."""


class Draw(Protocol):
    """Numbers per row from the nuisance seed: name, lowest, highest, and the shape for each row."""

    def __call__(self, what: str, low: float, high: float, /, *shape: int) -> Float[np.ndarray, "n ..."]:
        """Uniform numbers."""
        ...


def vessels(seen: PhantomRows, build: Anatomy, nuisance: Int[np.ndarray, "n"], amount: float) -> Capsules:
    """Draw hila and vessels of both lungs as tubes on the image, with the attenuation that they add.

    They grow thicker and denser with age; the lower ones are larger, as in an upright patient.

    Args:
        amount: Scales their attenuation, 1 normal.
    """
    sides = [_side(seen, build, nuisance, sign) for sign in (-1, 1)]
    joined = [np.concatenate(pair, axis=1) for pair in zip(*sides, strict=True)]
    x0, y0, x1, y1, radius0, radius1, strength0, strength1 = joined
    start, end = on_image(build.pose, x0, y0), on_image(build.pose, x1, y1)
    return Capsules(*start, *end, radius0, radius1, amount * strength0, amount * strength1)


def _side(seen: PhantomRows, build: Anatomy, nuisance: Int[np.ndarray, "n"], sign: int) -> list[np.ndarray]:
    """Tubes of one lung in the patient's coordinates, [n, k] each."""
    name = "left" if sign > 0 else "right"
    n = len(nuisance)

    def draw(what: str, low: float, high: float, /, *shape: int) -> Float[np.ndarray, "n ..."]:
        count = int(np.prod(shape))
        return spread(nuisance, f"vessel-{name}-{what}", low, high, count).reshape(n, *shape)

    height = -30 - 9 * (sign > 0) + 0.35 * (build.dome_right - 80)
    root_x = (build.mediastinum + 8)[:, None] + draw("root-x", -4, 8, _TREES)
    root_y = height[:, None] + draw("root-y", -12, 14, _TREES) + 70 * _OUTWARD
    heading = _OUTWARD + draw("heading", -0.03, 0.03, _TREES)
    size = (1 + 0.16 * seen["age"])[:, None]
    radius = size * draw("radius", 2.2, 4.0, _TREES) * (1 + 0.8 * _OUTWARD)
    strength = size * draw("strength", 0.07, 0.14, _TREES)
    length = 19 * (1 + 1.2 * _OUTWARD.clip(0)) * (0.9 + 0.25 * build.width[:, None] / 130)
    trunk = _path(draw, "trunk", (root_x, root_y, heading, radius, strength, length), _STEPS)
    pieces = [trunk]
    for number, turn in ((1, 0.09), (2, -0.09), (3, 0.08)):
        x, y, angle = (trunk[8][:, :, number - 1], trunk[9][:, :, number - 1], trunk[10][:, :, number - 1])
        thinner = (0.7 - 0.09 * number) * radius, 0.9 * strength
        twig = (x, y, angle + turn + draw(f"fork-{number}", -0.04, 0.04, _TREES), *thinner, 0.8 * length)
        pieces.append(_path(draw, f"twig-{number}", twig, _TWIGS))
    tubes = [np.concatenate([piece[k].reshape(n, -1) for piece in pieces], axis=1) for k in range(8)]
    hilum = _hilum(draw, root_x.mean(axis=1), height, size[:, 0])
    tubes = [np.concatenate(pair, axis=1) for pair in zip(tubes, hilum, strict=True)]
    return [sign * tubes[0], tubes[1], sign * tubes[2], *tubes[3:]]


def _path(draw: Draw, stream: str, start: tuple[np.ndarray, ...], steps: int) -> list[np.ndarray]:
    """Bent, tapering paths from (x, y, heading, radius, strength, length of a step).

    Returns the pieces' two ends, radii and strengths, then where each piece ends and its heading.
    """
    x, y, heading, radius, strength, length = start
    trees = x.shape[1]
    headings = heading[:, :, None] + np.cumsum(draw(f"{stream}-turn", -0.035, 0.035, trees, steps), axis=2)
    cosine, sine = direction(headings)
    lengths = length[:, :, None] * draw(f"{stream}-length", 0.7, 1.2, trees, steps)
    x1, y1 = x[:, :, None] + np.cumsum(lengths * cosine, axis=2), y[:, :, None] + np.cumsum(lengths * sine, axis=2)
    x0 = np.concatenate([x[:, :, None], x1[:, :, :-1]], axis=2)
    y0 = np.concatenate([y[:, :, None], y1[:, :, :-1]], axis=2)
    fading = 1 - 0.15 * np.arange(steps + 1)
    radii, strengths = radius[:, :, None] * fading, strength[:, :, None] * fading
    ends = [x0, y0, x1, y1, radii[:, :, :-1], radii[:, :, 1:], strengths[:, :, :-1], strengths[:, :, 1:]]
    return [*ends, x1, y1, headings]


def _hilum(draw: Draw, x: np.ndarray, y: np.ndarray, size: np.ndarray) -> list[np.ndarray]:
    """Three short thick tubes where the vessels leave the heart."""
    x0 = x[:, None] + draw("hilum-x", -8, 2, 3)
    y0 = y[:, None] + draw("hilum-y", -12, 10, 3)
    x1, y1 = x0 + draw("hilum-across", 2, 12, 3), y0 + draw("hilum-along", 8, 28, 3)
    radius = draw("hilum-radius", 4.5, 7.5, 3) * size[:, None]
    strength = draw("hilum-strength", 0.12, 0.19, 3)
    return [x0, y0, x1, y1, radius, 0.7 * radius, strength, 0.8 * strength]


# The chest phantom: a frontal radiograph of known sex, age, view and scanner, with a mass in a lung or without.

FIELD = 400.0
"""Millimeters at the detector that an image shows a side, whatever its size in pixels."""


@dataclass(frozen=True, slots=True)
class Patients:
    """All that is drawn of some images, before there are pixels. `mass` has a place even where it has no strength."""

    seen: PhantomRows
    build: Anatomy
    skeleton: Bones
    vessels: Capsules
    mass: Mass
    blur: Float[np.ndarray, "n"]


@component(
    "phantom",
    "chest",
    DataTraits(factors=FACTORS),
    summary="frontal chest radiographs, 64 to 512 px, of known sex, age, view and scanner, with a mass or without",
)
class ChestPhantom(DrawnPhantom[Patients]):
    """Frontal chest radiographs of 400 mm a side, 64 to 512 px, bright where much is absorbed.

    grain: standard deviation of the noise in the mediastinum on the computed scanner, in gray levels of 1.
    vessels: attenuation of hila and vessels, 1 normal, 0 none.
    bones: attenuation of all bone, 1 normal, 0 none.
    texture: strength of the lung's own fine texture, 1 normal, 0 none.

    Attenuations are summed, then turned into gray levels pixel by pixel, noise included: so a mass adds to the tissue
    before and behind it. A change of its factors leaves every pixel that it does not reach the same to the bit.

    At difficulty 0 of all factors every image shows a man of 50 years and middling habitus, PA, on the computed
    scanner, normally exposed, without a mass.
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
            "mass": Shown(0, 0, 3),
            "size": Shown(44, 10, 100),
            "contrast": Shown(0.35, 0.02, 1.0),
            "edge": Shown(0.5, 0, 2),
            "side": Shown(0, 0, 1),
            "zone": Shown(1, -0.2, 2.2),
            "sex": Shown(1, -0.6, 1, lambda man: 1 - man),  # 1 is a woman
            "age": Shown(50, 10, 110, lambda years: (years - 50) / 40),
            "view": Shown(0, 0, 1.6),
            "scanner": Shown(0, 0, 1.6),
            "habitus": Shown(0.5, -0.5, 1.5, lambda heavy: heavy - 0.5),
            "exposure": Shown(0, -2, 2),
        },
        pixels=64 * 64 * 32,
    )

    def __init__(
        self,
        *,
        grain: Annotated[
            float, Field(ge=0, le=0.3, description="noise in the mediastinum on the computed scanner, of gray 1")
        ] = 0.014,
        vessels: Annotated[
            float, Field(ge=0, le=2, description="attenuation of hila and vessels, 1 normal, 0 none")
        ] = 1.0,
        bones: Annotated[float, Field(ge=0, le=2, description="attenuation of all bone, 1 normal, 0 none")] = 1.0,
        texture: Annotated[
            float, Field(ge=0, le=3, description="strength of the lung's own texture, 1 normal, 0 none")
        ] = 1.0,
    ) -> None:
        self._grain = grain
        self._vessels = vessels
        self._bones = bones
        self._texture = texture

    def plan(self, rows: PhantomRows, grid: Grid) -> Patients:
        """Compute build, bones, vessels and mass of each patient."""
        nuisance, build = rows.nuisance, anatomy(rows, rows.nuisance)
        return Patients(
            rows,
            build,
            bones(rows, build, nuisance, self._bones),
            vessels(rows, build, nuisance, self._vessels),
            mass(rows, build, nuisance),
            sharp_edge(rows, nuisance, grid),
        )

    def draw(self, plan: Patients, grid: Grid) -> Rendered:
        """Draw radiographs and masks of the mass."""
        total, mask = self.attenuation(plan, grid)
        return Rendered(exposed(total, plan.seen, plan.seen.nuisance, self._grain, grid)[:, None], mask[:, None])

    def attenuation(
        self, plan: Patients, grid: Grid
    ) -> tuple[Float[Tensor, "n size size"], Bool[Tensor, "n size size"]]:
        """Draw the attenuation along the beam, and the mask of the mass."""
        nuisance, at = plan.seen.nuisance, frame(plan.build, plan.blur, grid)
        soft = soft_tissue(plan.build, at)
        marks, speckle = lung_texture(plan.seen, nuisance, self._texture, grid)
        tubes = grid.blank(len(nuisance))
        draw_capsules(tubes, plan.vessels, plan.blur, grid)
        total = soft.attenuation
        marks.add_(tubes.view(total.shape)).mul_((soft.air * 1.25).clamp_(max=1))
        total.add_(marks).add_(skeleton(plan.skeleton, soft.above, speckle, at))
        mask = draw_mass(total, plan.mass, plan.blur, grid)
        return total, mask
