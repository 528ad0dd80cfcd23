"""The foot phantom: photographs of feet with or without ulcers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float
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
    Skewed,
    drawn_by_assay,
)
from assay.data.phantoms.drawing import (
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
    draw_depth,
    ramp,
    reach,
    smooth,
    white_noise,
    within,
)
from assay.data.phantoms.foot_anatomy import (
    Texture,
    depth_of,
    draw_ulcers,
    foot,
    on_limb,
    photo,
    room,
    texture,
    toes_of,
    ulcers,
)

FACTORS = (
    Factor.either("lesion", ("absent",), ("present",), "an ulcer on the foot", role="core"),
    Factor.numeric("size", 0.03, 0.24, "diameter of the circle of equal area, of the largest ulcer, image side 1"),
    Factor.numeric("contrast", 0.45, 1.0, "0 the color of the skin around to 1 of a wound"),
    Factor.numeric("slough", 0.0, 1.0, "share of the bed under yellow slough"),
    Factor.numeric("rim", 0.0, 1.0, "0 no rim to 1 a broad pale one"),
    Factor.numeric("irregularity", 0.0, 1.0, "0 a smooth to 1 a ragged outline"),
    Factor.numeric("position_x", -1.0, 1.0, "-1 left to 1 right on the foot"),
    Factor.numeric("position_y", -1.0, 1.0, "-1 top to 1 bottom of the foot"),
    Factor.ranked("count", ("one", "two", "three"), "how many ulcers"),
    Factor.numeric("skin_tone", 0.0, 1.0, "0 lightest to 1 darkest"),
    Factor.either("background", ("white",), ("colored", "none"), "the cloth under the foot"),
    Factor.numeric("illumination", -1.0, 1.0, "-1 dim to 1 glaring"),
    Factor.either("view", ("sole", "heel"), ("side", "top"), "from where the foot is seen"),
)


# Light on a foot and around it, and the camera: relief, shadow, shine, white balance, exposure and grain.

SHADOW = 9.0
"""Reach of a foot's shadow, in % of the side."""


def light(rows: PhantomRows, roughness: float) -> Numbers:
    """Every image's light: how bright from the factor, the rest from the nuisance seed."""
    draw, bright = rows.draw("foot-"), rows["illumination"]
    warm = draw("warm", -0.5, 1.0, 1) * np.array([0.04, 0.0, -0.08])
    color = 1 + warm + draw("green", -0.02, 0.03, 1) * np.array([0.0, 1.0, 0.0])
    exposure = 1.09 + draw("exposure", -0.1, 0.1) + np.where(bright > 0, 0.24, 0.36) * bright
    return Numbers(
        # Sideways part of the direction that light comes from, its part from the camera, and light from everywhere.
        toward=draw("aside", 0.1, 0.75, 1) * np.stack(draw.heading("light"), axis=1),
        front=draw("front", 0.55, 0.75),
        ambient=draw("ambient", 0.34, 0.5),
        gain=color * exposure[:, None].clip(0.15),  # by channel
        shine=draw("shine", 0.02, 0.2) * (1 + 0.7 * bright.clip(-1)),  # strength of highlights
        fall=draw("fall", -0.003, 0.003, 2),  # of light across the image
        round=draw("round", 0.6, 1.0),  # how far a foot bulges, relative to its width
        wrinkled=roughness * draw("wrinkled", 0.02, 0.09),
        shadow=draw("shadow", 0.4, 0.9),
    )


def foot_light(
    depth: Plane, cover: Plane, cloth: Plane, scene: Numbers, how: Numbers, fields: Texture, grid: Grid
) -> tuple[Plane, Plane]:
    """Light that falls on each pixel, and the shine of skin."""
    tensor, zoom = grid.tensor, scene.zoom
    deep = (depth * tensor(1 / (8 * zoom))).clamp_(0, 1)
    deep = (2 - deep).mul_(deep).mul_(tensor(6.5 * zoom * how.round))
    deep.add_((fields.fine * tensor(how.wrinkled)).mul_(cover))
    folds = (
        fields.coarse.abs().mul_(-0.3).add_(fields.coarse * 0.35).add_(fields.fine * 0.04).mul_(tensor(scene.crumpled))
    )
    height = deep.add_(folds.mul_(cloth).mul_(1 - cover))
    right, down = _slopes(height, grid)
    steep = (right * right).add_(down * down).add_(1).sqrt_()
    facing = right.mul_(tensor(-how.toward[:, 0])).add_(down.mul_(tensor(-how.toward[:, 1])))
    facing = facing.add_(tensor(how.front)).div_(steep)
    facing.clamp_(min=0)
    shine = (facing * facing).square_().square_().mul_(tensor(how.shine)).mul_(cover)
    x, y = grid.axes()
    level = facing.mul_(0.85).add_(tensor(how.ambient))
    level.mul_((x * tensor(how.fall[:, 0]) + y * tensor(how.fall[:, 1])).add_(1))
    near = (depth * (1 / SHADOW)).add_(1).clamp_(0, 1)
    right, down = _slopes(depth, grid)  # into the foot: toward the light on the side where its shadow falls
    turned = right.mul_(tensor(how.toward[:, 0])).add_(down.mul_(tensor(how.toward[:, 1]))).add_(0.3).clamp_(0, 1)
    return level.mul_(near.mul_(near).mul_(turned).mul_(tensor(-how.shadow)).mul_(1 - cover).add_(1)), shine


def _slopes(height: Plane, grid: Grid) -> tuple[Plane, Plane]:
    """Rise of the height to the right and down, 0 at the image's border."""
    right, down = torch.zeros_like(height), torch.zeros_like(height)
    right[:, :, 1:-1] = (height[:, :, 2:] - height[:, :, :-2]).mul_(0.5 / grid.pixel)
    down[:, 1:-1] = (height[:, 2:] - height[:, :-2]).mul_(0.5 / grid.pixel)
    return right, down


def photograph_foot(planes: Planes, level: Plane, shine: Plane, how: Numbers, frame: Numbers, grid: Grid) -> Planes:
    """The photograph: colors in their light through a camera, black around."""

    def side(center: np.ndarray, half: np.ndarray) -> Tensor:
        return grid.flat(np.abs(grid.line - center[:, None]) < half[:, None])

    planes.mul_(level).mul_(colors(how.gain, grid.device)).add_(shine)
    inside = side(frame.x, frame.half_x)[:, None, :] * side(frame.y, frame.half_y)[:, :, None]
    return planes.clamp_(0, 1).mul_(inside)


# The surroundings of a foot in a photograph: a room out of focus with things in it, and a cloth under the foot.

_WALL = np.array([[0.07, 0.07, 0.08], [0.22, 0.21, 0.20], [0.42, 0.41, 0.39], [0.62, 0.59, 0.53], [0.74, 0.74, 0.72]])
_FLOOR = np.array([[0.08, 0.07, 0.07], [0.24, 0.20, 0.17], [0.36, 0.30, 0.25], [0.30, 0.32, 0.35]])
_THINGS = np.array([
    [0.70, 0.10, 0.12], [0.12, 0.25, 0.60], [0.05, 0.05, 0.06], [0.92, 0.92, 0.90],
    [0.10, 0.45, 0.50], [0.36, 0.28, 0.62], [0.80, 0.62, 0.48], [0.45, 0.10, 0.16],
])  # fmt: skip
_WHITE = np.array([[0.76, 0.76, 0.78], [0.90, 0.91, 0.92]])
_COLORED = np.array([
    [0.62, 0.80, 0.90], [0.25, 0.45, 0.70], [0.20, 0.50, 0.48], [0.42, 0.44, 0.46],
    [0.48, 0.12, 0.18], [0.66, 0.56, 0.44],
])  # fmt: skip
_BOXES = 2


def scene(rows: PhantomRows, frame: Numbers, clutter: float) -> Numbers:
    """Draw every image's surroundings.

    Args:
        rows: Background and nuisance seeds.
        frame: Part of each image that is a photograph.
        clutter: Amount of objects in the room, 1 normal, 0 none.
    """
    draw = rows.draw("foot-")
    kind, cloth = rows.values["background"], min(1.0, rows.difficulty["background"])
    present = draw("thing", 0, 1, _BOXES) < 0.6 * clutter
    thing, tint = (
        (draw(name, 0, 1, *k) * len(table)).astype(np.int64)
        for name, table, k in (("box-kind", _THINGS, (_BOXES,)), ("hue", _COLORED, ()))
    )
    white = along(_WHITE, draw("white"))
    turn_c, turn_s = direction(draw("cloth-turn", 0.08, 0.42))
    return Numbers(
        wall=along(_WALL, draw("wall")),
        floor=along(_FLOOR, draw("floor")),
        # Height of their border, and its slope.
        horizon=np.stack([draw("horizon", -40, 45), draw("horizon-slope", -0.5, 0.5)], axis=1),
        # Things in the room: center and half sides, and their colors.
        boxes=np.stack(
            [
                frame.x[:, None] + draw("box-x", -45, 45, _BOXES),
                frame.y[:, None] + draw("box-y", -50, 30, _BOXES),
                draw("box-wide", 3, 16, _BOXES) * present,
                draw("box-high", 3, 22, _BOXES) * present,
            ],
            axis=-1,
        ),
        paint=_THINGS[thing] * draw("box-dim", 0.35, 1.0, _BOXES)[..., None],
        # The cloth: its color, the direction and place of its border, how much of it there is, strength and period of
        # the weave in % of the side, and its folds.
        cloth=white + (cloth * (kind == 1))[:, None] * (_COLORED[tint] - white),
        edge=np.stack([turn_c, turn_s, frame.x * turn_c + frame.y * turn_s + draw("cloth-start", -34, 8)], axis=1),
        covered=1 - cloth * (kind == 2),
        weave=draw("weave", 0.0, 0.05),
        threads=draw("threads", 2.2, 4.0),
        crumpled=draw("crumpled", 0.4, 1.4),
    )


def draw_scene(view: Numbers, fields: Texture, grid: Grid) -> tuple[Planes, Plane]:
    """Colors without light, and how much of each pixel is cloth."""
    (x, y), tensor, n = grid.axes(), grid.tensor, len(view.wall)
    below = (y - tensor(view.horizon[:, 0])) + x * tensor(view.horizon[:, 1])
    wall = colors(view.wall, grid.device)
    planes = ramp(below, tensor(np.full(n, 2.0))) * (colors(view.floor, grid.device) - wall)
    planes.add_(wall)
    for k in range(_BOXES):
        blend(planes, colors(view.paint[:, k], grid.device), _box_cover(view.boxes[:, k], grid))
    cover = (x * tensor(view.edge[:, 0]) + y * tensor(view.edge[:, 1])).sub_(tensor(view.edge[:, 2]))
    cover.add_(fields.coarse * 1.5)
    cover = ramp(cover, tensor(np.full(n, 1.2 + grid.pixel))).mul_(tensor(view.covered))
    across, down = _threads(view, grid)
    shades = (across * down).mul_(cover).add_(1)
    blend(planes, colors(view.cloth, grid.device), cover)
    return planes.mul_(shades), cover


def _box_cover(box: Float[np.ndarray, "n 4"], grid: Grid) -> Plane:
    """Coverage by a thing with straight sides, out of focus."""
    blur = 1.5 + grid.pixel
    wide, high = (
        grid.flat(smooth(((half - np.abs(grid.line - center)) / blur + 0.5) * (half > 0)))
        for center, half in ((box[:, k, None], box[:, k + 2, None]) for k in (0, 1))
    )
    return wide[:, None, :] * high[:, :, None]


def _threads(view: Numbers, grid: Grid) -> tuple[Float[Tensor, "n 1 size"], Float[Tensor, "n size 1"]]:
    """A weave as the product of two triangle waves, fainter the nearer its period is to the pixels'."""
    phase = grid.line / view.threads[:, None]
    wave = 4 * np.abs(phase - np.floor(phase) - 0.5) - 1
    strength = view.weave * (1 - 2 * grid.pixel / view.threads).clip(0)
    return grid.flat(wave)[:, None, :], grid.flat(wave * strength[:, None])[:, :, None]


# Skin: its color from tone and side of the foot, blotches, nails, and marks that are no ulcers.

_BACK = np.array([[0.95, 0.79, 0.73], [0.89, 0.70, 0.62], [0.77, 0.57, 0.48], [0.55, 0.40, 0.33], [0.34, 0.25, 0.21]])
"""Skin of leg and back of the foot, from the lightest tone to the darkest."""
_SOLE = np.array([[0.95, 0.76, 0.69], [0.91, 0.70, 0.61], [0.82, 0.61, 0.51], [0.68, 0.51, 0.41], [0.54, 0.41, 0.34]])
"""Skin of the sole, which has less pigment."""
_NAIL = np.array([[0.86, 0.68, 0.42], [0.90, 0.78, 0.68], [0.95, 0.86, 0.80]])
_POLISH = np.array([[0.72, 0.05, 0.10], [0.50, 0.06, 0.16], [0.85, 0.30, 0.40]])


@dataclass(frozen=True, slots=True)
class SkinMark:
    """Looks of a mark: its share of feet, radius, colors, strength, and the width of its edge in radii."""

    share: float
    radius: tuple[float, float]
    color: Float[np.ndarray, "k 3"]
    strength: tuple[float, float]
    soft: float


MARKS = (
    SkinMark(0.5, (2.5, 7.5), np.array([[0.93, 0.82, 0.58], [0.96, 0.90, 0.78]]), (0.2, 0.65), 0.9),
    SkinMark(0.55, (2.0, 8.0), np.array([[0.66, 0.18, 0.18], [0.82, 0.36, 0.34]]), (0.2, 0.6), 1.1),
    SkinMark(0.45, (3.0, 11.0), np.array([[0.28, 0.15, 0.11], [0.45, 0.26, 0.20]]), (0.15, 0.5), 1.0),
    SkinMark(0.4, (0.7, 1.8), np.array([[0.22, 0.08, 0.06], [0.50, 0.16, 0.12]]), (0.4, 0.9), 0.9),
)
"""Callus, pressure mark, stain, scab: alike on feet with and without an ulcer."""


def skin(rows: PhantomRows, shape: Numbers, roughness: float) -> Numbers:
    """Colors of every foot's skin and nails."""
    draw, tone = rows.draw("foot-"), rows["skin_tone"]
    back, sole = along(_BACK, tone), along(_SOLE, tone)
    color = back + shape.plantar[:, None] * (sole - back)
    blood = draw("blood", -0.6, 1.0, 1) * np.array([0.05, -0.05, -0.045])
    yellow = draw("yellow", -0.5, 1.0, 1) * np.array([0.01, 0.0, -0.05])
    blotch = draw("blotch", 0.1, 0.8, 1) * np.array([0.008, -0.03, -0.028])
    blotch = blotch + draw("pigment", 0.0, 0.035, 1) * tone[:, None]
    nail = along(_NAIL, draw("nail")) * (0.45 + 0.55 * color)
    return Numbers(
        color=(color + blood + yellow).clip(0.05, 0.98),
        # Change of color per unit of the coarse field, and of the fine one.
        blotch=blotch * (0.4 + 0.6 * color[:, :1]),
        grain=roughness * draw("skin-grain", 0.01, 0.04),
        nail=np.where(draw("polish", 0, 1, 1) < 0.14, along(_POLISH, draw("polish")), nail),
    )


def marks(shape: Numbers, draw: Draw, amount: float) -> tuple[Numbers, ...]:
    """One mark of each kind on some feet, of strength 0 on the others. amount: 1 normal, 0 none."""
    return tuple(_place_marks(f"mark-{k}", kind, shape, draw, amount) for k, kind in enumerate(MARKS))


def _place_marks(name: str, kind: SkinMark, shape: Numbers, every: Draw, amount: float) -> Numbers:
    draw = Draw(every.nuisance, f"{every.prefix}{name}-")
    low, high = room(shape)
    x, y = on_limb(shape, low + draw("along") * (high - low), draw("across", -0.75, 0.75))
    cosine, sine = draw.heading("axis")
    return Numbers(
        x=x,
        y=y,
        radius=draw("radius", *kind.radius),
        cosine=cosine,
        sine=sine,
        stretch=np.sqrt(draw("stretch", 1.0, 2.2)),
        even=draw("even", -0.1, 0.1, 3),
        odd=draw("odd", -0.1, 0.1, 3),
        color=along(kind.color, draw("color")),
        strength=draw("strength", *kind.strength) * (every(name) < kind.share * amount),
        soft=np.full(len(x), kind.soft),
    )


def draw_skin(look: Numbers, fields: Texture, grid: Grid) -> Planes:
    """Colors of bare skin everywhere on the image, without light; the foot's outline is applied later."""
    planes = fields.coarse * colors(look.blotch, grid.device)
    planes.add_(colors(look.color, grid.device))
    return planes.mul_((fields.fine * grid.tensor(look.grain)).add_(1))


def draw_marks(planes: Planes, placed: tuple[Numbers, ...], fields: Texture, grid: Grid) -> None:
    """Paint the marks on the skin, their strength uneven."""
    for each in placed:
        rows = np.flatnonzero(each.strength > 0)
        if len(rows) > 0:
            visible = each.take(rows)
            windows = Windows.around(
                rows, visible.x, visible.y, float((reach(visible) * (1 + 0.5 * visible.soft)).max()), grid
            )
            uneven = (windows.read(fields.fine) * 0.2).add_(1).clamp_(0.3, 1.4)
            weight = ramp(1 - within(visible, windows, grid)[0], grid.tensor(visible.soft))
            weight.mul_(uneven).mul_(grid.tensor(visible.strength))
            dab(planes, windows, weight, colors(visible.color, grid.device))


def draw_nails(planes: Planes, look: Numbers, shape: Numbers, grid: Grid) -> None:
    """Paint nails on the toes that show them."""
    row, toe = np.nonzero(shape.nails > 0)
    if len(row) == 0:
        return
    zoom, (x0, y0, x1, y1, _, radius) = shape.zoom[row], shape.toes[row, toe].T
    along_x, along_y = x1 - x0, y1 - y0
    length = np.sqrt(along_x * along_x + along_y * along_y) + 1e-6
    cosine, sine = along_x / length, along_y / length
    none = np.zeros((len(row), 0))
    blob = Numbers(
        x=shape.x[row] + zoom * (x1 + 0.25 * radius * cosine),
        y=shape.y[row] + zoom * (y1 + 0.25 * radius * sine),
        radius=0.62 * zoom * radius,
        cosine=cosine,
        sine=sine,
        stretch=np.full(len(row), 1.05),
        even=none,
        odd=none,
    )
    windows = Windows.around(row, blob.x, blob.y, float(reach(blob).max()) + 1.5 + grid.pixel, grid)
    cover = ramp(within(blob, windows, grid)[1], grid.tensor(np.full(len(row), 0.4 + grid.pixel)))
    weight = grid.blank(planes.shape[1])
    windows.draw(weight, cover.mul_(grid.tensor(shape.nails[row, toe])))
    some = np.unique(row)
    index = torch.as_tensor(some, device=grid.device)
    weights = weight.view(planes.shape[1:])[index]
    planes[:, index] = blend(planes[:, index], colors(look.nail[some], grid.device), weights)


# The foot phantom: photographs of feet of known skin, view and light, with ulcers of known looks and place or none.

SIDE = 100.0
"""Length of the image's side in the units of the phantom's geometry: photographs have no millimeters."""


@dataclass(frozen=True, slots=True)
class _Photographs:
    """All that is drawn of some images, before there are pixels."""

    frame: Numbers
    shape: Numbers
    scene: Numbers
    skin: Numbers
    light: Numbers
    wounds: tuple[Numbers, ...]
    spots: tuple[Numbers, ...]
    draw: Draw


@component(
    "phantom",
    "foot",
    DataTraits(factors=FACTORS),
    summary="photographs of feet, 64 to 512 px, of known skin, view and light, with one to three ulcers or none",
    version=2,
)
@dataclass(kw_only=True, eq=False)
class FootPhantom(DrawnPhantom[_Photographs]):
    """Color photographs of feet, 64 to 512 px a side, with up to three ulcers whose every feature is a factor.

    padded: share of photographs of 3 to 4 that leave a quarter of the image black, as the real set's do.
    marks: how often there is callus, a pressure mark, a stain or a scab, 1 normal, 0 never; alike with an ulcer.
    clutter: amount of objects in the room, 1 normal, 0 none.
    texture: strength of the skin's grain and wrinkles, 1 normal, 0 none.
    grain: standard deviation of the camera's noise, in gray levels of 1.

    Skin, light and surroundings are drawn first and the ulcer is painted into windows of them. All later steps work
    pixel by pixel, so a change of its factors leaves every pixel that it does not reach the same to the bit.

    At difficulty 0 of all factors there is no ulcer; that of its other factors makes it single, 10% of the side wide,
    in the middle of the foot, with middling contrast, slough, rim and outline. Skin becomes light brown, cloth white,
    light even, and the sole is shown.

    Examples:
        The same image without and with an ulcer; pixels that it does not reach stay the same:

        >>> phantom = FootPhantom()
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
            "foot phantom",
            "photographs of feet of known skin, view and light, with known ulcers or none",
            "toes, ankles and folds are simple shapes; no bones, tendons, veins or hair show through the skin",
            "ulcers are red beds with slough and a pale rim: no black eschar, exposed bone, dressing or blood",
            "an ulcer lies flat on the image: it is not foreshortened where the foot turns away",
            "each kind of mark occurs at most once a foot; no second foot, hand or printed date is in the picture",
        ),
        factors=FACTORS,
        sizes=(64, 512),
        channels=3,
        side=SIDE,
        marginals={
            "size": Skewed(0.03, 0.24),
            "slough": Skewed(0.0, 1.0),
            "count": Levels((0.75, 0.1875, 0.0625)),
            "view": Levels((0.375, 0.125, 0.25, 0.25)),
        },
        shown={
            "lesion": DifficultyEffect(0, 0, 1.5),
            "size": DifficultyEffect(0.1, 0.02, 0.4, lambda share: SIDE * share),
            "contrast": DifficultyEffect(0.7, 0.1, 1.2),
            "slough": DifficultyEffect(0.3, 0, 1),
            "rim": DifficultyEffect(0.3, 0, 2),
            "irregularity": DifficultyEffect(0.4, 0, 1.5),
            "position_x": DifficultyEffect(0, -1.4, 1.4),
            "position_y": DifficultyEffect(0, -1.2, 1.2),
            "skin_tone": DifficultyEffect(0.35, 0, 1),
            "illumination": DifficultyEffect(0, -1.6, 1.6),
        },
        groups={"position": ("position_x", "position_y")},
        # Windows are as wide as the widest ulcer that is drawn with them: those of a size are drawn together.
        order=lambda rows: rows["size"] * (rows["lesion"] > 0),
    )

    padded: Annotated[
        float, Field(ge=0, le=1, description="share of photographs with black at the right or the bottom")
    ] = 0.5
    marks: Annotated[
        float, Field(ge=0, le=1.5, description="how often callus, pressure marks, stains, scabs: 1 normal")
    ] = 1.0
    clutter: Annotated[
        float, Field(ge=0, le=1.5, description="how often objects stand in the room, 1 normal, 0 never")
    ] = 1.0
    texture: Annotated[
        float, Field(ge=0, le=3, description="strength of the skin's grain and wrinkles, 1 normal, 0 none")
    ] = 1.0
    grain: Annotated[float, Field(ge=0, le=0.3, description="standard deviation of the camera's noise, of gray 1")] = (
        0.008
    )

    def plan(self, rows: PhantomRows, grid: Grid) -> _Photographs:
        """Compute feet, their surroundings, ulcers and marks."""
        draw = rows.draw("foot-")
        frame = photo(draw, self.padded)
        shape = foot(rows, frame, draw)
        around, look = scene(rows, frame, self.clutter).but(zoom=shape.zoom), skin(rows, shape, self.texture)
        wounds, spots = ulcers(rows, shape, frame, draw), marks(shape, draw, self.marks)
        return _Photographs(frame, shape, around, look, light(rows, self.texture), wounds, spots, draw)

    def draw(self, plan: _Photographs, grid: Grid) -> Rendered:
        """Draw photographs and masks of the ulcers' beds."""
        shape, nuisance, fields = plan.shape, plan.draw.nuisance, texture(plan.draw, grid)
        depth = depth_of(shape, grid)
        draw_depth(depth.view(len(nuisance), -1), toes_of(shape), SHADOW, grid)
        cover = ramp(depth, grid.tensor(np.full(len(nuisance), 0.5 + 1.1 * grid.pixel)))
        around, cloth = draw_scene(plan.scene, fields, grid)
        level, shine = foot_light(depth, cover, cloth, plan.scene, plan.light, fields, grid)
        bare = draw_skin(plan.skin, fields, grid)
        draw_nails(bare, plan.skin, shape, grid)
        draw_marks(bare, plan.spots, fields, grid)
        mask = draw_ulcers(bare, level, cover, plan.wounds, fields, plan.light.toward, grid)
        noise = white_noise(nuisance, "foot-grain", grid.size, grid.size, grid.device).mul_(self.grain)
        picture = photograph_foot(blend(around, bare, cover), level, shine.add_(noise), plan.light, plan.frame, grid)
        return Rendered(picture.transpose(0, 1), mask[:, None])
