"""The fundus phantom: graded photographs of the back of the eye."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
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
    DrawnPhantom,
    Levels,
    PhantomDesign,
    PhantomRows,
    Shown,
    drawn_by_assay,
    planned,
)
from assay.data.phantoms.drawing import Grid, Planes, blend, colors, column, direction, paint, ramp
from assay.data.phantoms.fundus_anatomy import (
    KINDS,
    Counts,
    Eye,
    Marks,
    Spots,
    Tree,
    bleeding,
    draw_fundus,
    draw_lesions,
    draw_scars,
    draw_tree,
    eye,
    lesions,
    numbers,
    tree,
)
from assay.data.phantoms.noise import lattice, spline_zoom, spread, uniforms, white_noise

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


@dataclass(frozen=True, slots=True)
class Shot:
    """Light and camera of each photograph, float64.

    gain: by channel [n, 3]. fall: of light toward the border. middle: of the light [n, 2]. uneven: strength of slow
    changes of the light. haze: share of the picture that is veiled. stray: light at the border, by channel [n, 3], and
    on which side [n, 2]. contrast: of the tone curve. cut: share of the way to the cut field.
    """

    gain: Float[np.ndarray, "n 3"]
    fall: np.ndarray
    middle: Float[np.ndarray, "n 2"]
    uneven: np.ndarray
    haze: np.ndarray
    stray: Float[np.ndarray, "n 3"]
    aside: Float[np.ndarray, "n 2"]
    contrast: np.ndarray
    cut: np.ndarray
    dust: np.ndarray


def shot(seen: PhantomRows, nuisance: Int[np.ndarray, "n"], flaws: float) -> Shot:
    """Every image's light and camera. flaws: how often and how strongly the picture is poor, 1 normal, 0 never."""

    def draw(name: str, low: float, high: float, count: int = 1) -> np.ndarray:
        return spread(nuisance, f"fundus-{name}", low, high, count)

    cut = seen["camera"][:, None]
    light = 0.98 * (1 + 0.3 * seen["illumination"] + draw("exposure", -0.1, 0.1)[:, 0]).clip(0.2)
    balance = np.array([0.98, 0.98, 1.0]) + cut * np.array([0.11, 0.32, -0.06]) + draw("balance", -0.05, 0.05, 3)
    cosine, sine = direction(uniforms(nuisance, "fundus-stray-side", 1)[:, 0])
    u, v = draw("haze", 0, 1)[:, 0], draw("stray", 0, 1)[:, 0]
    stray = (1 - cut) * _STRAY[0] + cut * _STRAY[1]
    return Shot(
        gain=light[:, None] * balance,
        fall=draw("fall", 0.5, 1.6)[:, 0] * (1 + 0.2 * seen["camera"]),
        middle=draw("middle", -0.12, 0.12, 2),
        uneven=draw("uneven", 0.02, 0.1)[:, 0],
        haze=flaws * 0.35 * u * u * u,
        stray=stray * (flaws * 0.8 * v * v)[:, None],
        aside=np.stack([cosine, sine], axis=1),
        contrast=0.12 + 0.1 * seen["camera"],
        cut=seen["camera"],
        dust=flaws * (draw("dust", 0, 1)[:, 0] < 0.12),
    )


def exposed(planes: Planes, how: Shot, nuisance: Int[np.ndarray, "n"], grain: float, grid: Grid) -> Planes:
    """The photograph: colors in their light through a camera, black outside its field."""

    def put(values: np.ndarray) -> Tensor:
        return column(values, grid.device)

    x, y = grid.axes()
    dx, dy = x - put(how.middle[:, 0]), y - put(how.middle[:, 1])
    level = 1 / (dx * dx + dy * dy).mul_(put(how.fall)).add_(1)
    level.mul_(spline_zoom(lattice(nuisance, "fundus-uneven", 3, how.uneven, grid).add_(1), grid.size))
    planes.mul_(level).mul_(colors(how.gain, grid.device))
    planes.mul_(1 - put(how.haze)).add_(level * put(how.haze) * colors(np.tile(_HAZE, (len(nuisance), 1)), grid.device))
    apart = (x * x + y * y).sqrt_()
    border = (apart - 0.33).div_(0.165).clamp_(0, 1)
    side = (x * put(how.aside[:, 0]) + y * put(how.aside[:, 1])).add_(0.15).clamp_(0, 0.5).mul_(2)
    border = border * border * side
    planes.add_(border * colors(how.stray, grid.device))
    _speck(planes, how, nuisance, grid)
    planes.clamp_(0, 1)
    # A tone curve through 0 and 1 that darkens the dark the more contrast it has.
    planes.mul_((planes * put(how.contrast)).add_(put(1 - how.contrast)))
    planes.add_(_noise(nuisance, grain, grid))
    return planes.clamp_(0, 1).mul_(_field(how, apart, y, grid))


def _speck(planes: Planes, how: Shot, nuisance: Int[np.ndarray, "n"], grid: Grid) -> None:
    """A smear on the lens: a pale spot out of focus."""
    x, y = grid.axes()
    at = spread(nuisance, "fundus-dust-at", -0.3, 0.3, 2)
    radius = spread(nuisance, "fundus-dust-radius", 0.012, 0.05)[:, 0]
    dx, dy = x - column(at[:, 0], grid.device), y - column(at[:, 1], grid.device)
    veil = (1 - (dx * dx + dy * dy).mul_(column(1 / radius**2, grid.device))).clamp_(min=0)
    veil = (veil * veil).mul_(column(0.3 * how.dust, grid.device))
    planes.add_(veil)


def _noise(nuisance: Int[np.ndarray, "n"], grain: float, grid: Grid) -> Float[Tensor, "n size size"]:
    strength = grain * spread(nuisance, "fundus-grain-strength", 0.4, 1.6)[:, 0]
    white = white_noise(nuisance, "fundus-grain", grid.size, grid.size, grid.device)
    return white.mul_(column(strength, grid.device))


def _field(how: Shot, apart: Tensor, y: Tensor, grid: Grid) -> Float[Tensor, "n size size"]:
    """1 in the camera's view, 0 outside."""
    edge = torch.full((1, 1, 1), 1.2 * grid.pixel, device=grid.device)
    kept = column(0.5 + (CUT - 0.5) * how.cut, grid.device)
    depth = torch.minimum(RADIUS - apart, kept - y.abs())
    return ramp(depth, edge)


# The fundus phantom: photographs of the back of the eye of known anatomy, camera and retinopathy.

_YELLOW, _WHITE, _SCAR = np.array([1.05, 0.86, 0.34]), np.array([1.0, 0.84, 0.56]), np.array([0.98, 0.76, 0.42])
_TAKEN = {"vein": (0.24, 0.53, 0.43), "artery": (0.06, 0.38, 0.37), "blood": (0.34, 0.7, 0.55), "scar": (0.5, 0.5, 0.4)}
"""Share of red, green and blue that each takes."""


@dataclass(frozen=True, slots=True)
class Photographs:
    """All that is drawn of some images, before there are pixels."""

    shape: Eye
    arteries: Tree
    veins: Tree
    how: Shot
    spots: Mapping[str, Spots]
    nuisance: Int[np.ndarray, "n"]


@component(
    "phantom",
    "fundus",
    DataTraits(factors=FACTORS),
    summary="photographs of the back of the eye, 64 to 512 px, with counted lesions of five kinds and grade 0 to 4",
    version=2,
)
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

    def __init__(
        self,
        *,
        scars: Annotated[
            float, Field(ge=0, le=1, description="share of images with scars of laser, whatever the grade")
        ] = 0.06,
        flaws: Annotated[
            float, Field(ge=0, le=2, description="haze, stray light, smears on the lens: 1 normal, 0 never")
        ] = 1.0,
        blur: Annotated[
            float, Field(ge=0, le=3, description="how far pictures are out of focus, 1 normal, 0 never")
        ] = 1.0,
        texture: Annotated[
            float, Field(ge=0, le=3, description="mottling and vessels of the choroid, 1 normal, 0 none")
        ] = 1.0,
        grain: Annotated[
            float, Field(ge=0, le=0.3, description="standard deviation of the camera's noise, of gray 1")
        ] = 0.008,
        smallest: Annotated[
            float, Field(ge=0, le=0.03, description="least radius of a lesion at the usual size, the side being 1")
        ] = 0.0,
        eyes: Annotated[
            Literal[1, 2], Field(description="a patient's photographs: of one eye, or of both, of the same camera")
        ] = 1,
    ) -> None:
        self.images_per_patient = eyes
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
                *(alone if eyes == 1 else ()),
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
        self._scars = scars
        self._flaws = flaws
        self._blur = blur
        self._texture = texture
        self._grain = grain
        self._smallest = smallest

    def counts(
        self,
        values: Mapping[str, np.ndarray],
        nuisance: Int[np.ndarray, "n"],
        difficulty: Mapping[str, float] | None = None,
    ) -> Counts:
        """Count the lesions of each kind that an image shows. Raises as `render` does."""
        rows = self.design.request(values, nuisance, difficulty or {})
        counted = numbers(rows, nuisance)
        return Counts(**{**counted, "hemorrhages": bleeding(rows, counted, nuisance)})

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
            masks[at] = _by_kind(draw_lesions(taken.spots, taken.shape, taken.nuisance, grid), grid)
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
        return _Without(self, kind).render(values, nuisance, size, difficulty, device)

    def plan(self, rows: PhantomRows, grid: Grid) -> Photographs:
        """Compute anatomy, camera and lesions."""
        nuisance, shape = rows.nuisance, eye(rows, rows.nuisance, self._texture, self._blur)
        arteries, veins = (tree(kind, rows, shape, nuisance) for kind in ("artery", "vein"))
        how = shot(rows, nuisance, self._flaws)
        return Photographs(shape, arteries, veins, how, lesions(rows, shape, nuisance, self._smallest), nuisance)

    def draw(self, plan: Photographs, grid: Grid) -> Rendered:
        """Draw photographs and masks of all lesions together."""
        marks = draw_lesions(plan.spots, plan.shape, plan.nuisance, grid)
        return Rendered(self._picture(plan, marks, grid).transpose(0, 1), _by_kind(marks, grid).any(1, keepdim=True))

    def _picture(self, taken: Photographs, marks: Marks, grid: Grid) -> Planes:
        n, soft = len(taken.nuisance), taken.shape.blur + 1.1 * grid.pixel
        flat = (n, grid.size, grid.size)
        planes = draw_fundus(taken.shape, taken.nuisance, grid)
        pale, dark = draw_scars(taken.shape, taken.nuisance, self._scars, grid)
        blend(planes, paint(_SCAR, n, grid.device), pale.view(flat).clamp_(max=1))
        blend(planes, paint(_YELLOW, n, grid.device), marks.exudates.view(flat).clamp_(max=1))
        artery, vein = grid.blank(n), grid.blank(n)
        draw_tree(artery, taken.arteries, soft, grid)
        draw_tree(vein, taken.veins, soft, grid)
        under = {"vein": vein, "artery": torch.maximum(artery, marks.tufts), "blood": marks.blood, "scar": dark}
        for name, canvas in under.items():
            for plane, share in zip(planes, _TAKEN[name], strict=True):
                plane.mul_((canvas.view(flat) * -share).add_(1))
        blend(planes, paint(_WHITE, n, grid.device), marks.cotton_wool.view(flat).mul(0.8).clamp_(max=1))
        return exposed(planes, taken.how, taken.nuisance, self._grain, grid)


def _by_kind(marks: Marks, grid: Grid) -> Bool[Tensor, "n 5 size size"]:
    return marks.masks.view(len(KINDS), -1, grid.size, grid.size).transpose(0, 1)


class _Without(DrawnPhantom[Photographs]):
    """The photographs of a fundus phantom without the lesions of one kind."""

    def __init__(self, phantom: FundusPhantom, kind: str) -> None:
        self.design = phantom.design
        self._phantom = phantom
        self._kind = kind

    def plan(self, rows: PhantomRows, grid: Grid) -> Photographs:
        """Compute the same photographs with no lesion of the kind shown."""
        taken = self._phantom.plan(rows, grid)
        left_out = taken.spots[self._kind]
        hidden = replace(left_out, shown=np.zeros_like(left_out.shown))
        return replace(taken, spots={**taken.spots, self._kind: hidden})

    def draw(self, plan: Photographs, grid: Grid) -> Rendered:
        """Draw the remaining parts."""
        return self._phantom.draw(plan, grid)
