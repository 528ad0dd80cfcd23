"""The chest phantom: radiographs with or without a mass."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from assay.core.registry import component
from assay.core.traits import DataTraits
from assay.core.types import Factor
from assay.data.dataset import Rendered
from assay.data.phantoms.base import DrawnPhantom, Levels, PhantomDesign, PhantomRows, Shown, Skewed, drawn_by_assay
from assay.data.phantoms.chest_anatomy import (
    anatomy,
    bones,
    frame,
    left_heart,
    on_image,
    outlines,
    skeleton,
    soft_tissue,
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
    uneven_outline,
    wander,
)
from assay.data.phantoms.noise import soften, spline_zoom, white_noise, zoom_gain

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


def sharp_edge(rows: PhantomRows, grid: Grid) -> Float[np.ndarray, "n"]:
    """Width of a sharp edge in mm on the image: the scanner's own, the patient's motion and that of a pixel."""
    own = rows.draw("chest-")("blur", 2.0, 3.2) * (1 - 0.55 * rows["scanner"]).clip(0.2) + 0.8 * rows["view"]
    return np.sqrt(own * own + grid.pixel * grid.pixel)


def exposed(attenuation: Plane, rows: PhantomRows, grain: float, grid: Grid) -> Plane:
    """Gray levels 0 to 1, bright where much is absorbed.

    grain: standard deviation of the noise in gray levels of 1 in the mediastinum on the computed scanner at 256 px.
    """
    draw, put = rows.draw("chest-"), grid.put
    view, scanner, heavy = rows["view"], rows["scanner"], rows["habitus"]
    scatter = (0.06 + 0.1 * view + 0.1 * (heavy + 0.5)) * draw("scatter", 0.6, 1.4)
    contrast = draw("contrast", 0.82, 1.12) * (1 + 0.16 * scanner) * (1 - 0.22 * view) * (1 - scatter)
    level = draw("level", -0.07, 0.05) + 0.09 * rows["exposure"] + 0.5 * scatter + 0.1 * view
    body = (attenuation * 4).clamp_(0, 1)  # what lies beside the patient stays dark, however the film is exposed
    # The beam is not quite straight upon the detector, least so at the bedside.
    steep = (1 + 1.2 * view)[:, None] * draw("shading", -0.07, 0.07, 2) * (2 / grid.field)
    x, y = grid.axes()
    veil = (put(level) + (x * put(steep[:, 0]) + y * put(steep[:, 1]))).mul_(body)
    z = attenuation.mul_(put(0.82 * contrast)).add_(veil)
    # The thicker the patient, the fewer the photons.
    loud = grain * (1 - 0.5 * scanner).clip(0.2) * (1 + 0.35 * view) * (1 + 0.7 * (heavy + 0.2))
    z.add_(_noise(rows, grid).mul_(z.clamp(min=0).mul_(put(loud)).add_(0.15 * grain)))
    return _tone(z, put(0.3 - 0.55 * scanner))


def _tone(z: Plane, lift: Float[Tensor, "n 1 1"]) -> Plane:
    """A curve that lifts (or deepens) the middle grays, is straight in the dark and saturates toward white."""
    z = z.clamp_(min=0)
    fourth = (z * z).mul_(z * z)
    z = z.div_((fourth + 1).sqrt_().sqrt_()).mul_(1.12).clamp_(max=1)
    return (1 - z).mul_(lift).mul_(z).add_(z).clamp_(0, 1)


def _noise(rows: PhantomRows, grid: Grid) -> Plane:
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
    cosine, sine = draw.turned("axis")
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
    rows, put = np.flatnonzero(masses.strength > 0), grid.put
    mask = grid.blank(total.shape[0])
    if len(rows) > 0:
        own = masses.take(rows)
        edge = np.sqrt(own.fade**2 + blur[rows] ** 2)
        extent = _BULGE * float((own.radius * own.stretch).max()) + 0.5 * float(edge.max())
        windows = Windows.around(rows, own.x, own.y, extent, grid)
        at = oval(own, own.radius * own.stretch, own.radius / own.stretch, windows, grid)
        rho, cosine, sine, scale = at.rays()
        depth = (uneven_outline(cosine, sine, [put(own.uneven[:, k]) for k in range(4)]) - rho).mul_(scale)
        # A ball's thickness along the beam, flattened, times the edge's coverage.
        inner = (depth * put(1 / own.radius)).clamp_(0, 1)
        ball = (2 - inner).mul_(inner).sqrt_().mul_(0.5).add_(0.5)
        added = grid.blank(total.shape[0])
        windows.draw(added, ramp(depth, put(edge)).mul_(ball).mul_(put(own.strength)))
        windows.draw(mask, (depth >= 0).to(mask.dtype))
        total.add_(added.view(total.shape))
    return mask.view(total.shape) > 0.5


# The texture of a radiograph's lungs: what is too fine to be drawn as vessels, and chalk's speckle in cartilage.

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
    field.mul_(grid.put(fine / float(zoom_gain(_FINE, grid.size))))
    slow = spline_zoom(coarse, grid.size).mul_(0.03 * amount / float(zoom_gain(_COARSE, grid.size)))
    return field.add_(slow), speckle


# The vessels of a radiograph: hila, trunks that leave them outwards, and twigs.

_TREES, _STEPS, _TWIGS = 9, 5, 3
_OUTWARD = np.array([-0.235, -0.18, -0.12, -0.06, 0.0, 0.05, 0.1, 0.15, 0.2])
"""Heading of each trunk in turns from straight outwards: up is negative."""


def vessels(rows: PhantomRows, build: Numbers, amount: float) -> Capsules:
    """Draw hila and vessels of both lungs as tubes on the image, with the attenuation that they add.

    They grow thicker and denser with age; the lower ones are larger, as in an upright patient.

    Args:
        rows: Age and nuisance seeds.
        build: Build of each patient.
        amount: Scales their attenuation, 1 normal.
    """
    return Capsules.joined(
        [
            Capsules.along(*on_image(build, sign * x, y), radius, amount * strength)
            for sign in (-1, 1)
            for x, y, radius, strength in _side(rows, build, sign)
        ]
    )


def _side(rows: PhantomRows, build: Numbers, sign: int) -> Iterator[tuple[np.ndarray, ...]]:
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

    def faded(values: np.ndarray, steps: int) -> np.ndarray:
        return values[..., None] * (1 - 0.15 * np.arange(steps + 1))

    heading = _OUTWARD + draw("heading", -0.03, 0.03, _TREES)
    x, y, headings = path("trunk", (root_x, root_y, heading), length, _STEPS)
    yield x, y, faded(radius, _STEPS), faded(strength, _STEPS)
    for number, turn in ((1, 0.09), (2, -0.09), (3, 0.08)):
        fork = headings[..., number - 1] + turn + draw(f"fork-{number}", -0.04, 0.04, _TREES)
        twig = path(f"twig-{number}", (x[..., number], y[..., number], fork), 0.8 * length, _TWIGS)
        yield *twig[:2], faded((0.7 - 0.09 * number) * radius, _TWIGS), faded(0.9 * strength, _TWIGS)
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
class Patients:
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

    grain: Annotated[
        float, Field(ge=0, le=0.3, description="noise in the mediastinum on the computed scanner, of gray 1")
    ] = 0.014
    vessels: Annotated[float, Field(ge=0, le=2, description="attenuation of hila and vessels, 1 normal, 0 none")] = 1.0
    bones: Annotated[float, Field(ge=0, le=2, description="attenuation of all bone, 1 normal, 0 none")] = 1.0
    texture: Annotated[float, Field(ge=0, le=3, description="strength of the lung's own texture, 1 normal, 0 none")] = (
        1.0
    )

    def plan(self, rows: PhantomRows, grid: Grid) -> Patients:
        """Compute build, bones, vessels and mass of each patient."""
        build = anatomy(rows)
        skeleton, tubes = bones(rows, build, self.bones), vessels(rows, build, self.vessels)
        return Patients(rows, build, skeleton, tubes, mass(rows, build), sharp_edge(rows, grid))

    def draw(self, plan: Patients, grid: Grid) -> Rendered:
        """Draw radiographs and masks of the mass."""
        total, mask = self.attenuation(plan, grid)
        return Rendered(exposed(total, plan.rows, self.grain, grid)[:, None], mask[:, None])

    def attenuation(self, plan: Patients, grid: Grid) -> tuple[Plane, Bool[Tensor, "n size size"]]:
        """Draw the attenuation along the beam, and the mask of the mass."""
        at = frame(plan.build, plan.blur, grid)
        soft = soft_tissue(plan.build, at)
        marks, speckle = lung_texture(plan.rows, self.texture, grid)
        tubes = grid.blank(len(plan.blur))
        draw_capsules(tubes, plan.vessels, plan.blur, grid)
        total = soft.attenuation
        marks.add_(tubes.view(total.shape)).mul_((soft.air * 1.25).clamp_(max=1))
        total.add_(marks).add_(skeleton(plan.skeleton, soft.above, speckle, at))
        return total, draw_mass(total, plan.mass, plan.blur, grid)
