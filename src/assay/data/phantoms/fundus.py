"""The fundus phantom: graded photographs of the back of the eye."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor

from assay.core.errors import DataError
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
    plan_parts,
)
from assay.data.phantoms.drawing import (
    Capsules,
    Draw,
    Grid,
    Numbers,
    Plane,
    Planes,
    Windows,
    along,
    blend,
    colors,
    dab,
    direction,
    draw_capsules,
    lattice,
    paint,
    path_points,
    ramp,
    spline_zoom,
    white_noise,
    within,
)
from assay.data.phantoms.fundus_lesions import (
    KINDS,
    Counts,
    Marks,
    bleeding,
    draw_lesions,
    draw_scars,
    lesion_counts,
    lesions_by_kind,
)

FACTORS = (
    Factor.ranked(
        "grade",
        ("0", "1", "2", "3", "4"),
        "international scale: 0 none, 1 mild, 2 moderate, 3 severe, 4 proliferative",
        role="core",
    ),
    Factor.numeric("microaneurysms", 0.0, 1.0, "fewest to most that the grade allows"),
    Factor.numeric("hemorrhages", 0.0, 1.0, "fewest to most that the grade allows"),
    Factor.numeric("exudates", 0.0, 1.0, "hard ones, fewest to most that the grade allows"),
    Factor.numeric("cotton_wool", 0.0, 1.0, "spots, fewest to most that the grade allows"),
    Factor.numeric("new_vessels", 0.0, 1.0, "tufts, fewest to most that the grade allows"),
    Factor.numeric("lesion_size", 0.7, 1.5, "of all lesions, 1 usual"),
    Factor.numeric("lesion_contrast", 0.5, 1.0, "of all lesions, 0 none"),
    Factor.numeric("centrality", 0.0, 1.0, "lesions 0 far from to 1 near the fovea"),
    Factor.either("side", ("left",), ("right",), "which eye"),
    Factor.either("camera", ("round",), ("cut",), "field of view and colors"),
    Factor.numeric("pigment", 0.0, 1.0, "0 blond to 1 dark fundus"),
    Factor.numeric("cup", 0.2, 0.8, "diameter of the cup over the disc's"),
    Factor.numeric("caliber", 0.8, 1.25, "width of all vessels, 1 usual"),
    Factor.numeric("illumination", -1.0, 1.0, "-1 dark to 1 bright"),
)

# Place of disc and fovea of a fundus, its color, and the look of disc, cup and macula.
#
# Lengths are sides of the image, from its middle: x to the right, y down. Two eyes of a patient are the nuisance seeds
# 2k and 2k + 1: properties that both eyes share are drawn from k.
DISC = 0.077
"""Radius of a usual disc."""
_BLOND, _MIDDLE, _DARK = (0.92, 0.45, 0.15), (0.74, 0.31, 0.07), (0.55, 0.235, 0.075)
_PALE_DISC = np.array([1.25, 0.80, 0.35])
_PALE_CUP = np.array([1.32, 1.0, 0.56])
_COARSE, _FINE, _CHOROID = 5, 44, 21


def eye(rows: PhantomRows, texture: float, blur: float) -> Numbers:
    """The anatomy of each image. texture: strength of the mottling; blur: of defocus; 1 normal, 0 none."""
    draw, shared = rows.draw("fundus-"), Draw(rows.nuisance // 2, "fundus-patient-")
    side = np.where((rows.values["side"] == 0) & (rows.difficulty["side"] > 0), -1.0, 1.0)
    disc = np.stack([side * draw("disc-x", 0.215, 0.285), draw("disc-y", -0.045, 0.02)], axis=1)
    away = np.stack([-side * shared("fovea", 0.365, 0.405), draw("fovea-y", 0.01, 0.055)], axis=1)
    tint = 1 + shared("tint", -0.09, 0.09, 3) + draw("tint", -0.02, 0.02, 3)
    defocus = draw("defocus")
    return Numbers(
        disc=disc,  # its middle, x and y
        radius=DISC * shared("disc", 0.9, 1.1) * draw("disc", 0.97, 1.03),
        oval=draw("oval", 1.0, 1.06),
        fovea=disc + away,
        cup=rows["cup"],  # its radius over the disc's
        nasal=side,  # 1 where the nose is to the right, -1 to the left
        color=along(np.array([_BLOND, _MIDDLE, _DARK]), rows["pigment"]) * tint,
        paleness=draw("paleness", 0.6, 1.0),  # of the disc
        dim=(0.32 + 0.25 * rows["pigment"]) * draw("dim", 0.6, 1.3),  # light that the macula takes
        ring=shared("ring", 0.05, 0.2),  # brightness of the nerve fibers about the disc
        choroid=texture * (1 - rows["pigment"]) * shared("choroid", 0.0, 0.12),  # how plain its vessels are
        mottled=texture * draw("mottled", 0.4, 1.0, 2) * np.array([0.05, 0.03]),  # coarsely and finely
        blur=blur * 0.011 * defocus * defocus * defocus,  # width of every edge
    )


def draw_fundus(shape: Numbers, nuisance: Int[np.ndarray, "n"], grid: Grid) -> Planes:
    """The back of the eye without vessels: pigment, choroid, macula, disc and cup, as colors in even light."""
    tensor = grid.tensor
    x, y = grid.axes()
    coarse = lattice(nuisance, "fundus-coarse", _COARSE, shape.mottled[:, 0], grid)
    fine = lattice(nuisance, "fundus-fine", _FINE, shape.mottled[:, 1], grid)
    mottling = spline_zoom(fine.add_(spline_zoom(coarse, _FINE + 2)), grid.size)
    streaks = spline_zoom(lattice(nuisance, "fundus-choroid", _CHOROID, np.ones(len(nuisance)), grid), grid.size)
    streaks = (1 - streaks.abs_().mul_(1.6)).clamp_(min=0).mul_(tensor(shape.choroid))
    to_disc = _squared_distance(x, y, shape.disc, grid)
    to_fovea = _squared_distance(x, y, shape.fovea, grid)
    halo = 1 / (to_disc * (1 / 0.17**2)).add_(1)
    macula = 1 / (to_fovea * (1 / 0.1**2)).add_(1)
    macula.mul_(macula).mul_(tensor(shape.dim))
    streaks.mul_(1 - macula)
    planes = torch.empty(3, len(nuisance), grid.size, grid.size, device=grid.device)
    channels = ((0.35, 0.5, 0.9), (0.8, 1.0, 1.0), (1.0, 1.2, 1.0))
    for plane, (by_macula, by_mottling, by_choroid) in zip(planes, channels, strict=True):
        plane.copy_(macula).mul_(-by_macula).add_(1).add_(mottling * by_mottling).add_(streaks * by_choroid)
        plane.add_(halo * tensor(shape.ring))
    planes.mul_(colors(shape.color, grid.device))
    _draw_disc(planes, shape, grid)
    return planes


def _draw_disc(planes: Planes, shape: Numbers, grid: Grid) -> None:
    n, tensor, background = len(shape.radius), grid.tensor, shape.color
    soft, flat = shape.blur + 1.1 * grid.pixel, np.zeros((n, 1))
    disc = Numbers(
        x=shape.disc[:, 0],
        y=shape.disc[:, 1],
        radius=shape.radius,
        cosine=np.zeros(n),
        sine=np.ones(n),
        stretch=shape.oval,
        even=flat,
        odd=flat,
    )
    extent = 1.25 * float(shape.radius.max(initial=0)) + float(soft.max(initial=0))
    windows = Windows.around(np.arange(n), disc.x, disc.y, extent, grid)
    share, depth, u, v = within(disc, windows, grid)
    # The cup is a little to the temple; u runs down and v to the left.
    aside = v.sub_(tensor(0.08 * shape.nasal))
    from_cup = (u * u).add_(aside * aside).sqrt_()
    cup = ramp((tensor(shape.cup) - from_cup).mul_(tensor(shape.radius)), tensor(soft + 0.018))
    rim, pit = (
        colors(background + shape.paleness[:, None] * (pale - background), grid.device)
        for pale in (_PALE_DISC, _PALE_CUP)
    )
    shade = (share * share).mul_(-0.08).add_(1)
    dab(planes, windows, ramp(depth, tensor(soft + 0.006)), (rim * shade).mul_(1 - cup).add_(pit * cup))


def _squared_distance(
    x: Tensor, y: Tensor, center: Float[np.ndarray, "n 2"], grid: Grid
) -> Float[Tensor, "n size size"]:
    dx, dy = x - grid.tensor(center[:, 0]), y - grid.tensor(center[:, 1])
    return dx * dx + dy * dy


# Arteries and veins of a fundus: arcades from the disc around the macula, their branches and twigs.
CALIBER = {"artery": 0.0043, "vein": 0.0058}
"""Half the width of a usual trunk at the disc."""
_TRUNKS, _PIECES = 4, 12  # upper and lower, to the temple and to the nose
_FORKS = (2, 4, 6, 8)  # pieces of a trunk after which it branches
_BRANCH, _TWIG = 6, 4
_TWIGS_AT = (2, 4)


def tree(kind: str, rows: PhantomRows, shape: Numbers) -> tuple[Capsules, ...]:
    """The arteries or the veins of each eye: twigs, branches and trunks, whose strength is the blood in the way."""
    trunks = _trunks(kind, rows, shape)
    branches = _offshoots(rows.draw(f"fundus-{kind}-branch-"), trunks, _FORKS, _BRANCH, 0.052, 0.62)
    twigs = _offshoots(rows.draw(f"fundus-{kind}-twig-"), branches, _TWIGS_AT, _TWIG, 0.036, 0.55)
    return tuple(_tubes(course, shape) for course in (twigs, branches, trunks))


def _trunks(kind: str, rows: PhantomRows, shape: Numbers) -> Numbers:
    """Temporal trunks arch above and below the macula; nasal ones run outwards."""
    t, draw = np.arange(_PIECES + 1) / _PIECES, rows.draw(f"fundus-{kind}-")
    up = np.array([-1.0, 1.0, -1.0, 1.0])
    temporal = np.array([1.0, 1.0, 0.0, 0.0])
    wide = temporal * (1.0 if kind == "vein" else 0.88)
    height = up * (wide * draw("height", 0.25, 0.31, _TRUNKS) + (1 - temporal) * draw("rise", 0.14, 0.36, _TRUNKS))
    reach = temporal * draw("reach", 0.62, 0.78, _TRUNKS) - (1 - temporal) * draw("nasal", 0.2, 0.34, _TRUNKS)
    bend = draw("bend", -0.05, 0.4, _TRUNKS)[:, :, None]
    start = draw("start", -0.2, 0.2, _TRUNKS) * shape.radius[:, None]
    sway = path_points(np.zeros(start.shape), draw("swing", -1, 1, _TRUNKS, _PIECES))
    sway = sway * (0.004 + 0.007 * Draw(rows.nuisance // 2)("fundus-patient-tortuous", 0, 1, 1, 1))
    # To the temple u rises with the square of the way and v with its parabola; to the nose both are straight.
    nasal = (1 - temporal)[:, None]
    bow = temporal[:, None] * (0.75 * t * t + 0.25 * t * t * t) + nasal * t
    arch = temporal[:, None] * (2.25 * t - 1.25 * t * t - bend * (t * t * t)) + nasal * (1.2 * t - 0.2 * t * t)
    u = start[:, :, None] + reach[:, :, None] * bow + 0.5 * sway
    x = shape.disc[:, 0, None, None] - shape.nasal[:, None, None] * u
    y = shape.disc[:, 1, None, None] + height[:, :, None] * arch + sway
    caliber = CALIBER[kind] * rows["caliber"][:, None]
    radius = caliber * (0.62 + 0.38 * temporal) * draw("radius", 0.85, 1.15, _TRUNKS)
    return Numbers(x=x, y=y, radius=radius[:, :, None] * (1 - 0.55 * t))


def _offshoots(draw: Draw, parent: Numbers, forks: tuple[int, ...], steps: int, step: float, thinner: float) -> Numbers:
    """Paths that leave their parents after these pieces, to one side and the other in turns."""
    n, many = len(parent.x), parent.x.shape[1]
    at, branches = list(forks), many * len(forks)
    side = np.tile(np.where(np.arange(len(forks)) % 2 == 0, 1.0, -1.0), many)[None, :, None]
    turns = side * draw("leave", 0.08, 0.15, branches, 1) - side * 0.012 * np.arange(steps)
    cosine, sine = direction(turns + np.cumsum(draw("turn", -0.035, 0.035, branches, steps), axis=2))
    dx, dy = np.diff(parent.x, axis=2), np.diff(parent.y, axis=2)
    way = np.sqrt(dx * dx + dy * dy) + 1e-9
    last = [fork - 1 for fork in at]  # the parent's piece that ends where the offshoot begins
    from_x, from_y = ((each / way)[:, :, last].reshape(n, branches, 1) for each in (dx, dy))
    x, y, radius = (each[:, :, at].reshape(n, branches) for each in (parent.x, parent.y, parent.radius))
    length = step * draw("length", 0.6, 1.25, branches, steps)
    radius = thinner * radius * draw("radius", 0.7, 1.15, branches)
    return Numbers(
        x=path_points(x, length * (from_x * cosine - from_y * sine)),
        y=path_points(y, length * (from_x * sine + from_y * cosine)),
        radius=radius[:, :, None] * (1 - 0.6 * np.arange(steps + 1) / steps),
    )


def _tubes(course: Numbers, shape: Numbers) -> Capsules:
    """Tubes that fade toward the fovea, which has no vessels."""
    dx, dy = course.x - shape.fovea[:, :1, None], course.y - shape.fovea[:, 1:, None]
    strength = ((np.sqrt(dx * dx + dy * dy) - 0.045) / 0.06).clip(0, 1)
    return Capsules.along(course.x, course.y, course.radius, strength)


# Two fundus cameras: uneven light, haze, stray light at the border, colors, grain and the mask of the field.
RADIUS = 0.496
"""Radius of the field of view of both cameras."""
CUT = 0.42
"""Half the height that the cut camera keeps."""
_HAZE = np.array([0.60, 0.43, 0.30])
_GLARE = np.array([[0.30, 0.36, 0.20], [0.50, 0.42, 0.42]])


def shot(rows: PhantomRows, flaws: float) -> Numbers:
    """Every image's light and camera. flaws: how often and how strongly the picture is poor, 1 normal, 0 never."""
    draw, cut = rows.draw("fundus-"), rows["camera"]
    light = 0.98 * (1 + 0.3 * rows["illumination"] + draw("exposure", -0.1, 0.1)).clip(0.2)
    tint = cut[:, None] * np.array([0.11, 0.32, -0.06]) + draw("balance", -0.05, 0.05, 3)
    u, v = draw("haze"), draw("stray")
    glare = (1 - cut[:, None]) * _GLARE[0] + cut[:, None] * _GLARE[1]
    return Numbers(
        gain=light[:, None] * (np.array([0.98, 0.98, 1.0]) + tint),  # by channel
        fall=draw("fall", 0.5, 1.6) * (1 + 0.2 * cut),  # of light toward the border
        middle=draw("middle", -0.12, 0.12, 2),  # of the light, x and y
        uneven=draw("uneven", 0.02, 0.1),  # strength of slow changes of the light
        haze=flaws * 0.35 * u * u * u,  # share of the picture that is veiled
        glare=glare * (flaws * 0.8 * v * v)[:, None],  # light at the border, by channel, and on which side
        aside=np.stack(draw.heading("stray-side"), axis=1),
        contrast=0.12 + 0.1 * cut,  # of the tone curve
        cut=cut,  # share of the way to the cut field
        dust=flaws * (draw("dust") < 0.12),
    )


def photograph_fundus(planes: Planes, how: Numbers, draw: Draw, grain: float, grid: Grid) -> Planes:
    """The photograph: colors in their light through a camera, black outside its field."""
    tensor, (x, y) = grid.tensor, grid.axes()
    dx, dy = x - tensor(how.middle[:, 0]), y - tensor(how.middle[:, 1])
    level = 1 / (dx * dx + dy * dy).mul_(tensor(how.fall)).add_(1)
    level.mul_(spline_zoom(lattice(draw.nuisance, "fundus-uneven", 3, how.uneven, grid).add_(1), grid.size))
    planes.mul_(level).mul_(colors(how.gain, grid.device))
    planes.mul_(1 - tensor(how.haze)).add_(level * tensor(how.haze) * paint(_HAZE, len(how.haze), grid.device))
    distance = (x * x + y * y).sqrt_()
    border = (distance - 0.33).div_(0.165).clamp_(0, 1)
    side = (x * tensor(how.aside[:, 0]) + y * tensor(how.aside[:, 1])).add_(0.15).clamp_(0, 0.5).mul_(2)
    planes.add_(border * border * side * colors(how.glare, grid.device))
    # A smear on the lens: a pale spot out of focus.
    at, radius = draw("fundus-dust-at", -0.3, 0.3, 2), draw("fundus-dust-radius", 0.012, 0.05)
    dx, dy = x - tensor(at[:, 0]), y - tensor(at[:, 1])
    veil = (1 - (dx * dx + dy * dy).mul_(tensor(1 / radius**2))).clamp_(min=0)
    planes.add_((veil * veil).mul_(tensor(0.3 * how.dust))).clamp_(0, 1)
    # A tone curve through 0 and 1 that darkens the dark the more contrast it has.
    planes.mul_((planes * tensor(how.contrast)).add_(tensor(1 - how.contrast)))
    white = white_noise(draw.nuisance, "fundus-grain", grid.size, grid.size, grid.device)
    planes.add_(white.mul_(tensor(grain * draw("fundus-grain-strength", 0.4, 1.6))))
    # The camera's view.
    edge = torch.full((1, 1, 1), 1.2 * grid.pixel, device=grid.device)
    field = torch.minimum(RADIUS - distance, tensor(0.5 + (CUT - 0.5) * how.cut) - y.abs())
    return planes.clamp_(0, 1).mul_(ramp(field, edge))


# The fundus phantom: photographs of the back of the eye of known anatomy, camera and retinopathy.
_YELLOW, _WHITE, _SCAR = np.array([1.05, 0.86, 0.34]), np.array([1.0, 0.84, 0.56]), np.array([0.98, 0.76, 0.42])
_ABSORBED = {
    "vein": (0.24, 0.53, 0.43),
    "artery": (0.06, 0.38, 0.37),
    "blood": (0.34, 0.7, 0.55),
    "scar": (0.5, 0.5, 0.4),
}
"""Share of red, green and blue that each takes."""


@dataclass(frozen=True, slots=True)
class Photographs:
    """All that is drawn of some images, before there are pixels."""

    shape: Numbers
    arteries: tuple[Capsules, ...]
    veins: tuple[Capsules, ...]
    how: Numbers
    spots: Mapping[str, Numbers]
    draw: Draw


@component(
    "phantom",
    "fundus",
    DataTraits(factors=FACTORS),
    summary="photographs of the back of the eye, 64 to 512 px, with counted lesions of five kinds and grade 0 to 4",
    version=2,
)
@dataclass(kw_only=True, eq=False)
class FundusPhantom(DrawnPhantom[Photographs]):
    """Color photographs of the back of the eye, 64 to 512 px, of a known grade of diabetic retinopathy.

    scars: share of images with scars of laser, whatever the grade.
    flaws: how poor pictures are (haze, stray light at the border, smears on the lens), 1 normal, 0 never.
    blur: how far pictures are out of focus, 1 normal, 0 never.
    texture: strength of mottling and of the choroid's vessels, 1 normal, 0 none.
    grain: standard deviation of the camera's noise, in gray levels of 1.
    smallest: least radius of a lesion at the usual size, the image's side being 1: minute lesions of small images.
    eyes: how many a study's patient has, 1 or 2; with 2 both were taken by one camera.

    The grade is set, and the number of lesions is drawn from the range of that grade, so that `grade_of(counts(...))`
    is always the grade. Lesions are drawn on canvases of their own before the camera sees the picture, pixel by pixel:
    a change of theirs leaves every pixel that it does not reach the same to the bit.

    The shared features of a patient's eyes (disc, vessels' course, tint) are drawn from `nuisance // 2`: seeds 2k and
    2k + 1 are two eyes of a patient.

    At difficulty 0 of all factors every image shows a right eye without lesions before the round camera, of middling
    pigment, cup, vessels and light. A grade has no half: its difficulty makes lesions fainter, and at 0 there are none.
    The side is seen at any difficulty but 0.

    Examples:
        Grade 0 shows no lesion of diabetic retinopathy, grade 2 some:

        >>> phantom = FundusPhantom()
        >>> values = {factor.name: phantom.quantile(factor.name, np.full(2, 0.6)) for factor in phantom.factors}
        >>> values["grade"] = np.array([0, 2])
        >>> phantom.render(values, np.array([7, 7]), 64, {}).masks.any((1, 2, 3)).tolist()
        [False, True]
    """

    kinds = KINDS
    """The kinds of lesions, in the order of `masks_by_kind`."""
    alike = frozenset({"camera", "pigment", "cup", "caliber"})
    """Factors that two eyes of a patient have in common, besides those drawn from their nuisance seeds."""
    opposite = frozenset({"side"})
    """One eye is the left one."""

    scars: Annotated[
        float, Field(ge=0, le=1, description="share of images with scars of laser, whatever the grade")
    ] = 0.06
    flaws: Annotated[
        float, Field(ge=0, le=2, description="haze, stray light, smears on the lens: 1 normal, 0 never")
    ] = 1.0
    blur: Annotated[float, Field(ge=0, le=3, description="how far pictures are out of focus, 1 normal, 0 never")] = 1.0
    texture: Annotated[
        float, Field(ge=0, le=3, description="mottling and vessels of the choroid, 1 normal, 0 none")
    ] = 1.0
    grain: Annotated[float, Field(ge=0, le=0.3, description="standard deviation of the camera's noise, of gray 1")] = (
        0.008
    )
    smallest: Annotated[
        float, Field(ge=0, le=0.03, description="least radius of a lesion at the usual size, the side being 1")
    ] = 0.0
    eyes: Annotated[
        Literal[1, 2], Field(description="a patient's photographs: of one eye, or of both, of the same camera")
    ] = 1

    def __post_init__(self) -> None:
        self._hidden = ""
        self.images_per_patient = self.eyes
        alone = ("with one eye a patient (eyes: 1) no two images of a study have anything in common",)
        self.design = PhantomDesign(
            card=drawn_by_assay(
                "fundus phantom",
                "photographs of the back of the eye of known grade, lesions, side, pigment, vessels and camera",
                "grade 3 is made of hemorrhages alone: no venous beading or intraretinal microvascular abnormality",
                "the scale's more than 20 hemorrhages a quadrant are 4 in each quadrant of the photograph",
                "grade 4 is made of new vessels alone: no vitreous or preretinal hemorrhage, no detachment",
                "no macular edema beside exudates; no drusen, naevi, scars of other diseases or reflexes",
                "vessels cross without nicking, and lesions neither follow nor push them aside",
                *(alone if self.eyes == 1 else ()),
            ),
            factors=FACTORS,
            sizes=(64, 512),
            channels=3,
            marginals={"grade": Levels((0.375, 0.125, 0.25, 0.125, 0.125))},
            shown={
                **dict.fromkeys(KINDS, DifficultyEffect(0.4, 0, 1)),
                "lesion_size": DifficultyEffect(1, 0.5, 2),
                "lesion_contrast": DifficultyEffect(0.8, 0.1, 1.2),
                "camera": DifficultyEffect(0, 0, 1),
                "pigment": DifficultyEffect(0.45, 0, 1),
                "cup": DifficultyEffect(0.4, 0.05, 0.9),
                "caliber": DifficultyEffect(1, 0.5, 1.8),
                "illumination": DifficultyEffect(0, -1.6, 1.6),
            },
            rows=256,
            pixels_elsewhere=2**23,
        )

    def counts(
        self,
        values: Mapping[str, np.ndarray],
        nuisance: Int[np.ndarray, "n"],
        difficulty: Mapping[str, float] | None = None,
    ) -> Counts:
        """Count the lesions of each kind that an image shows. Raises as `render` does."""
        rows = self.design.request(values, nuisance, difficulty or {})
        counted = lesion_counts(rows)
        return Counts(**{**counted, "hemorrhages": bleeding(rows, counted)})

    def masks_by_kind(
        self,
        values: Mapping[str, np.ndarray],
        nuisance: Int[np.ndarray, "n"],
        size: int,
        difficulty: Mapping[str, float],
        device: str = "cpu",
    ) -> Bool[Tensor, "n 5 size size"]:
        """Draw masks of each kind of lesion, in the order of `kinds`; they may overlap. Their union is `render`'s."""
        self.design.check_size(size)
        masks = torch.empty(len(nuisance), len(KINDS), size, size, dtype=torch.bool, device=device)
        grid = Grid(size, self.design.side, device)
        for at, photographs in plan_parts(
            self.design.request(values, nuisance, difficulty), self.design, grid, self.plan
        ):
            masks[at] = _by_kind(draw_lesions(photographs.spots, photographs.shape, photographs.draw, grid), grid)
        return masks

    def without(
        self,
        kind: str,
        values: Mapping[str, np.ndarray],
        nuisance: Int[np.ndarray, "n"],
        size: int,
        difficulty: Mapping[str, float],
        device: str = "cpu",
    ) -> Rendered:
        """Draw the images of `render` without the lesions of one of `kinds`, and the masks of the others.

        Their grade may then be none that the counts allow.

        Raises:
            DataError: Another kind, or a request that `render` refuses.
        """
        if kind not in KINDS:
            raise DataError(f"the fundus phantom has no lesions '{kind}'; expected one of {', '.join(KINDS)}")
        other = copy(self)
        other._hidden = kind
        return other.render(values, nuisance, size, difficulty, device)

    def plan(self, rows: PhantomRows, grid: Grid) -> Photographs:
        """Compute anatomy, camera and lesions."""
        shape = eye(rows, self.texture, self.blur)
        spots = lesions_by_kind(rows, shape, self.smallest)
        if self._hidden:
            spots[self._hidden].visible[:] = False
        arteries, veins = (tree(kind, rows, shape) for kind in ("artery", "vein"))
        return Photographs(shape, arteries, veins, shot(rows, self.flaws), spots, rows.draw())

    def draw(self, plan: Photographs, grid: Grid) -> Rendered:
        """Draw photographs and masks of all lesions together."""
        marks = draw_lesions(plan.spots, plan.shape, plan.draw, grid)
        return Rendered(self._picture(plan, marks, grid).transpose(0, 1), _by_kind(marks, grid).any(1, keepdim=True))

    def _picture(self, photographs: Photographs, marks: Marks, grid: Grid) -> Planes:
        shape, n, soft = photographs.shape, len(photographs.shape.blur), photographs.shape.blur + 1.1 * grid.pixel

        def flat(canvas: Tensor) -> Plane:
            return canvas.view(n, grid.size, grid.size)

        planes = draw_fundus(shape, photographs.draw.nuisance, grid)
        pale, dark = draw_scars(shape, photographs.draw, self.scars, grid)
        blend(planes, paint(_SCAR, n, grid.device), flat(pale).clamp_(max=1))
        blend(planes, paint(_YELLOW, n, grid.device), flat(marks.exudates).clamp_(max=1))
        artery, vein = grid.blank(n), grid.blank(n)
        for canvas, vessels in ((artery, photographs.arteries), (vein, photographs.veins)):
            for tubes in vessels:
                draw_capsules(canvas, tubes, soft, grid)
        absorbers = {"vein": vein, "artery": torch.maximum(artery, marks.tufts), "blood": marks.blood, "scar": dark}
        for name, canvas in absorbers.items():
            for plane, share in zip(planes, _ABSORBED[name], strict=True):
                plane.mul_((flat(canvas) * -share).add_(1))
        blend(planes, paint(_WHITE, n, grid.device), flat(marks.cotton_wool).mul(0.8).clamp_(max=1))
        return photograph_fundus(planes, photographs.how, photographs.draw, self.grain, grid)


def _by_kind(marks: Marks, grid: Grid) -> Bool[Tensor, "n 5 size size"]:
    return marks.masks.view(len(KINDS), -1, grid.size, grid.size).transpose(0, 1)
