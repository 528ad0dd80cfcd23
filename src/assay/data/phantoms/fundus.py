"""The fundus phantom: graded photographs of the back of the eye."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from assay.core.errors import DataError
from assay.core.types import Factor
from assay.data.catalogue import FUNDUS as FACTORS
from assay.data.dataset import Card, PixelScale, Rendered
from assay.data.phantoms.base import (
    Levels,
    Marginal,
    Uniform,
    check_difficulty,
    check_size,
    check_values,
    direction,
    quantile_of,
)
from assay.data.phantoms.drawing import Grid, Planes, blend, colours, column, paint, ramp, take
from assay.data.phantoms.fundus_anatomy import (
    KINDS,
    Counts,
    Eye,
    Marks,
    Spots,
    Tree,
    Visible,
    bleeding,
    draw_fundus,
    draw_lesions,
    draw_scars,
    draw_tree,
    eye,
    lesions,
    numbers,
    tree,
    visible,
)
from assay.data.phantoms.noise import lattice, spline_zoom, spread, uniforms, white_noise

# Two fundus cameras: uneven light, haze, stray light at the border, colours, grain and the mask of the field.

RADIUS = 0.496
"""Of the field of view of both cameras."""
CUT = 0.42
"""Half the height that the cut camera keeps."""
_HAZE = np.array([0.60, 0.43, 0.30])
_STRAY = np.array([[0.30, 0.36, 0.20], [0.50, 0.42, 0.42]])


@dataclass(frozen=True, slots=True)
class Shot:
    """How each photograph was taken, float64.

    gain: by channel [n, 3]. fall: of light towards the border. middle: of the light [n, 2]. uneven: strength of slow
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


def shot(seen: Visible, nuisance: Int[np.ndarray, "n"], flaws: float) -> Shot:
    """Every image's light and camera. flaws: how often and how strongly the picture is poor, 1 normal, 0 never."""

    def draw(name: str, low: float, high: float, count: int = 1) -> np.ndarray:
        return spread(nuisance, f"fundus-{name}", low, high, count)

    cut = seen.cut[:, None]
    light = 0.98 * (1 + 0.3 * seen.illumination + draw("exposure", -0.1, 0.1)[:, 0]).clip(0.2)
    balance = np.array([0.98, 0.98, 1.0]) + cut * np.array([0.11, 0.32, -0.06]) + draw("balance", -0.05, 0.05, 3)
    cosine, sine = direction(uniforms(nuisance, "fundus-stray-side", 1)[:, 0])
    u, v = draw("haze", 0, 1)[:, 0], draw("stray", 0, 1)[:, 0]
    stray = (1 - cut) * _STRAY[0] + cut * _STRAY[1]
    return Shot(
        gain=light[:, None] * balance,
        fall=draw("fall", 0.5, 1.6)[:, 0] * (1 + 0.2 * seen.cut),
        middle=draw("middle", -0.12, 0.12, 2),
        uneven=draw("uneven", 0.02, 0.1)[:, 0],
        haze=flaws * 0.35 * u * u * u,
        stray=stray * (flaws * 0.8 * v * v)[:, None],
        aside=np.stack([cosine, sine], axis=1),
        contrast=0.12 + 0.1 * seen.cut,
        cut=seen.cut,
        dust=flaws * (draw("dust", 0, 1)[:, 0] < 0.12),
    )


def exposed(planes: Planes, how: Shot, nuisance: Int[np.ndarray, "n"], grain: float, grid: Grid) -> Planes:
    """The photograph: colours in their light through a camera, black outside its field."""

    def put(values: np.ndarray) -> Tensor:
        return column(values, grid.device)

    x, y = grid.axes()
    dx, dy = x - put(how.middle[:, 0]), y - put(how.middle[:, 1])
    level = 1 / (dx * dx + dy * dy).mul_(put(how.fall)).add_(1)
    level.mul_(spline_zoom(lattice(nuisance, "fundus-uneven", 3, how.uneven, grid).add_(1), grid.size))
    planes.mul_(level).mul_(colours(how.gain, grid.device))
    planes.mul_(1 - put(how.haze)).add_(
        level * put(how.haze) * colours(np.tile(_HAZE, (len(nuisance), 1)), grid.device)
    )
    apart = (x * x + y * y).sqrt_()
    border = (apart - 0.33).div_(0.165).clamp_(0, 1)
    side = (x * put(how.aside[:, 0]) + y * put(how.aside[:, 1])).add_(0.15).clamp_(0, 0.5).mul_(2)
    border = border * border * side
    planes.add_(border * colours(how.stray, grid.device))
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

_SMALLEST, _LARGEST = 64, 512
_BLOCK = 256  # rows whose geometry is held at once
_PIXELS = {"cpu": 64 * 64 * 64}  # pixels drawn at once: what fits a core's cache
_PIXELS_ELSEWHERE = 2**23
_YELLOW, _WHITE, _SCAR = np.array([1.05, 0.86, 0.34]), np.array([1.0, 0.84, 0.56]), np.array([0.98, 0.76, 0.42])
_TAKEN = {"vein": (0.24, 0.53, 0.43), "artery": (0.06, 0.38, 0.37), "blood": (0.34, 0.7, 0.55), "scar": (0.5, 0.5, 0.4)}
"""Share of red, green and blue that each takes."""

MARGINALS: Mapping[str, Marginal] = MappingProxyType(
    {
        "grade": Levels((0.375, 0.125, 0.25, 0.125, 0.125)),
        "microaneurysms": Uniform(0.0, 1.0),
        "haemorrhages": Uniform(0.0, 1.0),
        "exudates": Uniform(0.0, 1.0),
        "cotton_wool": Uniform(0.0, 1.0),
        "new_vessels": Uniform(0.0, 1.0),
        "lesion_size": Uniform(0.7, 1.5),
        "lesion_contrast": Uniform(0.5, 1.0),
        "centrality": Uniform(0.0, 1.0),
        "side": Levels((0.5, 0.5)),
        "camera": Levels((0.5, 0.5)),
        "pigment": Uniform(0.0, 1.0),
        "cup": Uniform(0.2, 0.8),
        "calibre": Uniform(0.8, 1.25),
        "illumination": Uniform(-1.0, 1.0),
    }
)


@dataclass(frozen=True, slots=True)
class _Photographs:
    """All that is drawn of some images but for lesions, before there are pixels."""

    shape: Eye
    arteries: Tree
    veins: Tree
    how: Shot
    nuisance: Int[np.ndarray, "n"]


class FundusPhantom:
    """Colour photographs of the back of the eye, 64 to 512 px, of a known grade of diabetic retinopathy.

    scars: share of images with scars of laser, whatever the grade.
    flaws: how poor pictures are (haze, stray light at the border, smears on the lens), 1 normal, 0 never.
    blur: how far pictures are out of focus, 1 normal, 0 never.
    texture: strength of mottling and of the choroid's vessels, 1 normal, 0 none.
    grain: standard deviation of the camera's noise, in grey levels of 1.
    eyes: how many a study's patient has, 1 or 2; with 2 both were taken by one camera.

    The grade is set, and how many lesions there are is drawn within what it allows, so that `grade_of(counts(...))` is
    the grade always. Lesions are drawn on canvases of their own before the camera sees the picture, pixel by pixel: a
    change of theirs leaves every pixel that it does not reach the same to the bit.

    What a patient's eyes share (disc, vessels' course, tint) is drawn from `nuisance // 2`: seeds 2k and 2k + 1 are two
    eyes of a patient.
    """

    kinds = KINDS
    """The kinds of lesions, in the order of `masks_by_kind`."""

    def __init__(
        self,
        *,
        scars: float = 0.06,
        flaws: float = 1.0,
        blur: float = 1.0,
        texture: float = 1.0,
        grain: float = 0.008,
        eyes: int = 1,
    ) -> None:
        self._eyes = eyes
        self._scars = scars
        self._flaws = flaws
        self._blur = blur
        self._texture = texture
        self._grain = grain

    @property
    def factors(self) -> tuple[Factor, ...]:
        """The fifteen factors, with their ranges."""
        return FACTORS

    @property
    def images_per_patient(self) -> int:
        """As many as eyes."""
        return self._eyes

    @property
    def alike(self) -> frozenset[str]:
        """What two eyes of a patient have in common, beside what is drawn from their nuisance seeds."""
        return frozenset({"camera", "pigment", "cup", "calibre"})

    @property
    def opposite(self) -> frozenset[str]:
        """One eye is the left one."""
        return frozenset({"side"})

    @property
    def card(self) -> Card:
        """What the phantom is and is not."""
        return Card(
            name="fundus phantom",
            summary="photographs of the back of the eye of known grade, lesions, side, pigment, vessels and camera",
            licence="Apache-2.0",
            source="drawn by Assay",
            known_faults=(
                "grade 3 is made of haemorrhages alone: no venous beading or intraretinal microvascular abnormality",
                "the scale's more than 20 haemorrhages a quadrant are 4 in each quadrant of the photograph",
                "grade 4 is made of new vessels alone: no vitreous or preretinal haemorrhage, no detachment",
                "no macular oedema beside exudates; no drusen, naevi, scars of other diseases or reflexes",
                "vessels cross without nicking, and lesions neither follow nor push them aside",
                *(
                    ("with one eye a patient (eyes: 1) no two images of a study have anything in common",)
                    if self._eyes == 1
                    else ()
                ),
            ),
        )

    def scale(self, size: int) -> PixelScale:
        """Colours without a unit; the disc of 1.8 mm is about 0.154 of the side, which no camera states."""
        check_size(size, _SMALLEST, _LARGEST)
        return PixelScale()

    def quantile(self, factor: str, u: Float[np.ndarray, "n"]) -> np.ndarray:
        """Values at probabilities u in [0, 1); codes for factors with levels. Raises DataError."""
        return quantile_of(MARGINALS, factor, u)

    def groups(self) -> Mapping[str, tuple[str, ...]]:
        """Every factor stands alone."""
        return {}

    def counts(
        self,
        values: Mapping[str, np.ndarray],
        nuisance: Int[np.ndarray, "n"],
        difficulty: Mapping[str, float] | None = None,
    ) -> Counts:
        """How many lesions of each kind an image shows. Raises as `render` does."""
        difficulty = difficulty or {}
        check_difficulty(FACTORS, difficulty)
        seen = visible(check_values(FACTORS, values, nuisance), difficulty)
        counted = numbers(seen.grade, seen.share, nuisance)
        return Counts(**{**counted, "haemorrhages": bleeding(seen, counted, nuisance)})

    def render(
        self,
        values: Mapping[str, np.ndarray],
        nuisance: Int[np.ndarray, "n"],
        size: int,
        difficulty: Mapping[str, float],
        device: str = "cpu",
    ) -> Rendered:
        """Images [n, 3, size, size] and masks of all lesions together, empty where there are none.

        difficulty: per factor 0 (no trace of it in the pixels) to 3; 1 where not given.
        Raises SpecError for a wrong size or difficulty, DataError for wrong values.
        """
        images, masks = self._rendered(values, nuisance, size, difficulty, device, pictures=True)
        return Rendered(images, masks.any(1, keepdim=True))

    def masks_by_kind(
        self,
        values: Mapping[str, np.ndarray],
        nuisance: Int[np.ndarray, "n"],
        size: int,
        difficulty: Mapping[str, float],
        device: str = "cpu",
    ) -> Bool[Tensor, "n 5 size size"]:
        """Masks of each kind of lesion, in the order of `kinds`; they may overlap. Their union is `render`'s masks."""
        return self._rendered(values, nuisance, size, difficulty, device, pictures=False)[1]

    def without(
        self,
        kind: str,
        values: Mapping[str, np.ndarray],
        nuisance: Int[np.ndarray, "n"],
        size: int,
        difficulty: Mapping[str, float],
        device: str = "cpu",
    ) -> Rendered:
        """The images of `render` without the lesions of one of `kinds`, and the masks of the others.

        Their grade may then be none that the counts allow. Raises as `render` does, and DataError for another kind.
        """
        if kind not in KINDS:
            raise DataError(f"the fundus phantom has no lesions '{kind}'; expected one of {', '.join(KINDS)}")
        images, masks = self._rendered(values, nuisance, size, difficulty, device, pictures=True, without=kind)
        return Rendered(images, masks.any(1, keepdim=True))

    def _rendered(
        self,
        values: Mapping[str, np.ndarray],
        nuisance: Int[np.ndarray, "n"],
        size: int,
        difficulty: Mapping[str, float],
        device: str,
        *,
        pictures: bool,
        without: str = "",
    ) -> tuple[Float[Tensor, "n 3 size size"], Bool[Tensor, "n 5 size size"]]:
        check_size(size, _SMALLEST, _LARGEST)
        check_difficulty(FACTORS, difficulty)
        checked = check_values(FACTORS, values, nuisance)
        grid = Grid(size, 1.0, device)
        n = len(nuisance)
        images = torch.empty(n if pictures else 0, 3, size, size, device=device)
        masks = torch.empty(n, len(KINDS), size, size, dtype=torch.bool, device=device)
        step = max(1, _PIXELS.get(device, _PIXELS_ELSEWHERE) // size**2)
        for block in _slices(n, _BLOCK):
            taken, spots = self._taken({k: v[block] for k, v in checked.items()}, difficulty, nuisance[block])
            if without:
                spots[without] = replace(spots[without], shown=np.zeros_like(spots[without].shown))
            for part in _slices(len(taken.nuisance), step):
                at = slice(block.start + part.start, block.start + part.stop)
                some, own = take(taken, part), {kind: take(each, part) for kind, each in spots.items()}
                marks = draw_lesions(own, some.shape, some.nuisance, grid)
                masks[at] = marks.masks.view(len(KINDS), -1, size, size).transpose(0, 1)
                if pictures:
                    images[at] = self._draw(some, marks, grid).transpose(0, 1)
        return images, masks

    def _taken(
        self, values: Mapping[str, np.ndarray], difficulty: Mapping[str, float], nuisance: Int[np.ndarray, "n"]
    ) -> tuple[_Photographs, dict[str, Spots]]:
        seen = visible(values, difficulty)
        shape = eye(seen, nuisance, self._texture, self._blur)
        arteries, veins = (tree(kind, seen, shape, nuisance) for kind in ("artery", "vein"))
        taken = _Photographs(shape, arteries, veins, shot(seen, nuisance, self._flaws), nuisance)
        return taken, lesions(seen, shape, nuisance)

    def _draw(self, taken: _Photographs, marks: Marks, grid: Grid) -> Planes:
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


def _slices(count: int, step: int) -> Iterator[slice]:
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))
