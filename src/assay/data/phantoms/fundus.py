"""The fundus phantom: graded photographs of the back of the eye."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Bool, Int
from pydantic import Field
from torch import Tensor

from assay.core.errors import DataError
from assay.core.registry import component
from assay.core.traits import DataTraits
from assay.core.types import Factor
from assay.data.dataset import Rendered
from assay.data.phantoms.base import DrawnPhantom, Levels, PhantomDesign, PhantomRows, Shown, drawn_by_assay, planned
from assay.data.phantoms.drawing import (
    Capsules,
    Grid,
    Numbers,
    Plane,
    Planes,
    blend,
    colors,
    draw_capsules,
    paint,
    ramp,
)
from assay.data.phantoms.fundus_anatomy import (
    KINDS,
    Counts,
    Marks,
    bleeding,
    draw_fundus,
    draw_lesions,
    draw_scars,
    eye,
    lesions,
    numbers,
    tree,
)
from assay.data.phantoms.noise import Draw, lattice, spline_zoom, white_noise

FACTORS = (
    Factor(
        "grade",
        "ordinal",
        "core",
        levels=("0", "1", "2", "3", "4"),
        description="international scale: 0 none, 1 mild, 2 moderate, 3 severe, 4 proliferative",
    ),
    Factor("microaneurysms", "continuous", range=(0.0, 1.0), description="fewest to most that the grade allows"),
    Factor("hemorrhages", "continuous", range=(0.0, 1.0), description="fewest to most that the grade allows"),
    Factor("exudates", "continuous", range=(0.0, 1.0), description="hard ones, fewest to most that the grade allows"),
    Factor("cotton_wool", "continuous", range=(0.0, 1.0), description="spots, fewest to most that the grade allows"),
    Factor("new_vessels", "continuous", range=(0.0, 1.0), description="tufts, fewest to most that the grade allows"),
    Factor("lesion_size", "continuous", range=(0.7, 1.5), description="of all lesions, 1 usual"),
    Factor("lesion_contrast", "continuous", range=(0.5, 1.0), description="of all lesions, 0 none"),
    Factor("centrality", "continuous", range=(0.0, 1.0), description="lesions 0 far from to 1 near the fovea"),
    Factor("side", "categorical", levels=("left", "right"), high=("right",), description="which eye"),
    Factor("camera", "categorical", levels=("round", "cut"), high=("cut",), description="field of view and colors"),
    Factor("pigment", "continuous", range=(0.0, 1.0), description="0 blond to 1 dark fundus"),
    Factor("cup", "continuous", range=(0.2, 0.8), description="diameter of the cup over the disc's"),
    Factor("caliber", "continuous", range=(0.8, 1.25), description="width of all vessels, 1 usual"),
    Factor("illumination", "continuous", range=(-1.0, 1.0), description="-1 dark to 1 bright"),
)


# Two fundus cameras: uneven light, haze, stray light at the border, colors, grain and the mask of the field.

RADIUS = 0.496
"""Radius of the field of view of both cameras."""
CUT = 0.42
"""Half the height that the cut camera keeps."""
_HAZE = np.array([0.60, 0.43, 0.30])
_STRAY = np.array([[0.30, 0.36, 0.20], [0.50, 0.42, 0.42]])


def shot(rows: PhantomRows, flaws: float) -> Numbers:
    """Every image's light and camera. flaws: how often and how strongly the picture is poor, 1 normal, 0 never."""
    draw, cut = rows.draw("fundus-"), rows["camera"]
    light = 0.98 * (1 + 0.3 * rows["illumination"] + draw("exposure", -0.1, 0.1)).clip(0.2)
    tint = cut[:, None] * np.array([0.11, 0.32, -0.06]) + draw("balance", -0.05, 0.05, 3)
    u, v = draw("haze"), draw("stray")
    stray = (1 - cut[:, None]) * _STRAY[0] + cut[:, None] * _STRAY[1]
    return Numbers(
        gain=light[:, None] * (np.array([0.98, 0.98, 1.0]) + tint),  # by channel
        fall=draw("fall", 0.5, 1.6) * (1 + 0.2 * cut),  # of light toward the border
        middle=draw("middle", -0.12, 0.12, 2),  # of the light, x and y
        uneven=draw("uneven", 0.02, 0.1),  # strength of slow changes of the light
        haze=flaws * 0.35 * u * u * u,  # share of the picture that is veiled
        stray=stray * (flaws * 0.8 * v * v)[:, None],  # light at the border, by channel, and on which side
        aside=np.stack(draw.turned("stray-side"), axis=1),
        contrast=0.12 + 0.1 * cut,  # of the tone curve
        cut=cut,  # share of the way to the cut field
        dust=flaws * (draw("dust") < 0.12),
    )


def exposed(planes: Planes, how: Numbers, draw: Draw, grain: float, grid: Grid) -> Planes:
    """The photograph: colors in their light through a camera, black outside its field."""
    put, (x, y) = grid.put, grid.axes()
    dx, dy = x - put(how.middle[:, 0]), y - put(how.middle[:, 1])
    level = 1 / (dx * dx + dy * dy).mul_(put(how.fall)).add_(1)
    level.mul_(spline_zoom(lattice(draw.nuisance, "fundus-uneven", 3, how.uneven, grid).add_(1), grid.size))
    planes.mul_(level).mul_(colors(how.gain, grid.device))
    planes.mul_(1 - put(how.haze)).add_(level * put(how.haze) * paint(_HAZE, len(how.haze), grid.device))
    apart = (x * x + y * y).sqrt_()
    border = (apart - 0.33).div_(0.165).clamp_(0, 1)
    side = (x * put(how.aside[:, 0]) + y * put(how.aside[:, 1])).add_(0.15).clamp_(0, 0.5).mul_(2)
    planes.add_(border * border * side * colors(how.stray, grid.device))
    # A smear on the lens: a pale spot out of focus.
    at, radius = draw("fundus-dust-at", -0.3, 0.3, 2), draw("fundus-dust-radius", 0.012, 0.05)
    dx, dy = x - put(at[:, 0]), y - put(at[:, 1])
    veil = (1 - (dx * dx + dy * dy).mul_(put(1 / radius**2))).clamp_(min=0)
    planes.add_((veil * veil).mul_(put(0.3 * how.dust))).clamp_(0, 1)
    # A tone curve through 0 and 1 that darkens the dark the more contrast it has.
    planes.mul_((planes * put(how.contrast)).add_(put(1 - how.contrast)))
    white = white_noise(draw.nuisance, "fundus-grain", grid.size, grid.size, grid.device)
    planes.add_(white.mul_(put(grain * draw("fundus-grain-strength", 0.4, 1.6))))
    # The camera's view.
    edge = torch.full((1, 1, 1), 1.2 * grid.pixel, device=grid.device)
    field = torch.minimum(RADIUS - apart, put(0.5 + (CUT - 0.5) * how.cut) - y.abs())
    return planes.clamp_(0, 1).mul_(ramp(field, edge))


# The fundus phantom: photographs of the back of the eye of known anatomy, camera and retinopathy.

_YELLOW, _WHITE, _SCAR = np.array([1.05, 0.86, 0.34]), np.array([1.0, 0.84, 0.56]), np.array([0.98, 0.76, 0.42])
_TAKEN = {"vein": (0.24, 0.53, 0.43), "artery": (0.06, 0.38, 0.37), "blood": (0.34, 0.7, 0.55), "scar": (0.5, 0.5, 0.4)}
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
                **dict.fromkeys(KINDS, Shown(0.4, 0, 1)),
                "lesion_size": Shown(1, 0.5, 2),
                "lesion_contrast": Shown(0.8, 0.1, 1.2),
                "camera": Shown(0, 0, 1),
                "pigment": Shown(0.45, 0, 1),
                "cup": Shown(0.4, 0.05, 0.9),
                "caliber": Shown(1, 0.5, 1.8),
                "illumination": Shown(0, -1.6, 1.6),
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
        counted = numbers(rows)
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
        for at, taken in planned(self.design.request(values, nuisance, difficulty), self.design, grid, self.plan):
            masks[at] = _by_kind(draw_lesions(taken.spots, taken.shape, taken.draw, grid), grid)
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
        spots = lesions(rows, shape, self.smallest)
        if self._hidden:
            spots[self._hidden].shown[:] = False
        arteries, veins = (tree(kind, rows, shape) for kind in ("artery", "vein"))
        return Photographs(shape, arteries, veins, shot(rows, self.flaws), spots, rows.draw())

    def draw(self, plan: Photographs, grid: Grid) -> Rendered:
        """Draw photographs and masks of all lesions together."""
        marks = draw_lesions(plan.spots, plan.shape, plan.draw, grid)
        return Rendered(self._picture(plan, marks, grid).transpose(0, 1), _by_kind(marks, grid).any(1, keepdim=True))

    def _picture(self, taken: Photographs, marks: Marks, grid: Grid) -> Planes:
        shape, n, soft = taken.shape, len(taken.shape.blur), taken.shape.blur + 1.1 * grid.pixel

        def flat(canvas: Tensor) -> Plane:
            return canvas.view(n, grid.size, grid.size)

        planes = draw_fundus(shape, taken.draw.nuisance, grid)
        pale, dark = draw_scars(shape, taken.draw, self.scars, grid)
        blend(planes, paint(_SCAR, n, grid.device), flat(pale).clamp_(max=1))
        blend(planes, paint(_YELLOW, n, grid.device), flat(marks.exudates).clamp_(max=1))
        artery, vein = grid.blank(n), grid.blank(n)
        for canvas, vessels in ((artery, taken.arteries), (vein, taken.veins)):
            for tubes in vessels:
                draw_capsules(canvas, tubes, soft, grid)
        under = {"vein": vein, "artery": torch.maximum(artery, marks.tufts), "blood": marks.blood, "scar": dark}
        for name, canvas in under.items():
            for plane, share in zip(planes, _TAKEN[name], strict=True):
                plane.mul_((flat(canvas) * -share).add_(1))
        blend(planes, paint(_WHITE, n, grid.device), flat(marks.cotton_wool).mul(0.8).clamp_(max=1))
        return exposed(planes, taken.how, taken.draw, self.grain, grid)


def _by_kind(marks: Marks, grid: Grid) -> Bool[Tensor, "n 5 size size"]:
    return marks.masks.view(len(KINDS), -1, grid.size, grid.size).transpose(0, 1)
