"""Skin: its colour from tone and side of the foot, blotches, nails, and marks that are no ulcers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int

from assay.data.phantoms.blobs import Blobs, within
from assay.data.phantoms.canvas import Grid, Windows, column, ramp, take
from assay.data.phantoms.counter import spread, uniforms
from assay.data.phantoms.exact import direction
from assay.data.phantoms.foot_shape import Foot, on_limb, room
from assay.data.phantoms.foot_texture import Texture
from assay.data.phantoms.foot_visible import Visible
from assay.data.phantoms.painting import Planes, along, blend, colours, dab

_BACK = np.array([[0.95, 0.79, 0.73], [0.89, 0.70, 0.62], [0.77, 0.57, 0.48], [0.55, 0.40, 0.33], [0.34, 0.25, 0.21]])
"""Skin of leg and back of the foot, from the lightest tone to the darkest."""
_SOLE = np.array([[0.95, 0.76, 0.69], [0.91, 0.70, 0.61], [0.82, 0.61, 0.51], [0.68, 0.51, 0.41], [0.54, 0.41, 0.34]])
"""Skin of the sole, which has less pigment."""
_NAIL = np.array([[0.86, 0.68, 0.42], [0.90, 0.78, 0.68], [0.95, 0.86, 0.80]])
_POLISH = np.array([[0.72, 0.05, 0.10], [0.50, 0.06, 0.16], [0.85, 0.30, 0.40]])
_TOES = 5


@dataclass(frozen=True, slots=True)
class Mark:
    """What a mark may look like: how often there is one, radius, colours, strength, over how many radii it ends."""

    share: float
    radius: tuple[float, float]
    colour: Float[np.ndarray, "k 3"]
    strength: tuple[float, float]
    soft: float


MARKS = (
    Mark(0.5, (2.5, 7.5), np.array([[0.93, 0.82, 0.58], [0.96, 0.90, 0.78]]), (0.2, 0.65), 0.9),
    Mark(0.55, (2.0, 8.0), np.array([[0.66, 0.18, 0.18], [0.82, 0.36, 0.34]]), (0.2, 0.6), 1.1),
    Mark(0.45, (3.0, 11.0), np.array([[0.28, 0.15, 0.11], [0.45, 0.26, 0.20]]), (0.15, 0.5), 1.0),
    Mark(0.4, (0.7, 1.8), np.array([[0.22, 0.08, 0.06], [0.50, 0.16, 0.12]]), (0.4, 0.9), 0.9),
)
"""Callus, pressure mark, stain, scab: alike on feet with and without an ulcer."""


@dataclass(frozen=True, slots=True)
class Marks:
    """One kind of mark on every image; strength 0 where there is none."""

    shape: Blobs
    colour: Float[np.ndarray, "n 3"]
    strength: np.ndarray
    soft: np.ndarray


@dataclass(frozen=True, slots=True)
class Skin:
    """Every image's skin. blotch: change of colour per unit of the coarse field [n, 3]; grain: of the fine one."""

    colour: Float[np.ndarray, "n 3"]
    blotch: Float[np.ndarray, "n 3"]
    grain: np.ndarray
    nail: Float[np.ndarray, "n 3"]
    nails: Float[np.ndarray, "n toes"]


def skin(seen: Visible, shape: Foot, nuisance: Int[np.ndarray, "n"], roughness: float) -> Skin:
    """Colours of every foot's skin and nails."""

    def draw(name: str, low: float, high: float) -> Float[np.ndarray, "n 1"]:
        return spread(nuisance, f"foot-{name}", low, high)

    back, sole = along(_BACK, seen.tone), along(_SOLE, seen.tone)
    colour = back + shape.plantar[:, None] * (sole - back)
    blood = draw("blood", -0.6, 1.0) * np.array([0.05, -0.05, -0.045])
    yellow = draw("yellow", -0.5, 1.0) * np.array([0.01, 0.0, -0.05])
    blotch = (
        draw("blotch", 0.1, 0.8) * np.array([0.008, -0.03, -0.028]) + draw("pigment", 0.0, 0.035) * seen.tone[:, None]
    )
    own = along(_NAIL, draw("nail", 0, 1)[:, 0]) * (0.45 + 0.55 * colour)
    painted = uniforms(nuisance, "foot-polish", 1) < 0.14
    polish = along(_POLISH, draw("polish", 0, 1)[:, 0])
    return Skin(
        colour=(colour + blood + yellow).clip(0.05, 0.98),
        blotch=blotch * (0.4 + 0.6 * colour[:, :1]),
        grain=roughness * draw("skin-grain", 0.01, 0.04)[:, 0],
        nail=np.where(painted, polish, own),
        nails=shape.nails,
    )


def marks(shape: Foot, nuisance: Int[np.ndarray, "n"], amount: float) -> tuple[Marks, ...]:
    """One mark of each kind on some feet. amount: 1 normal, 0 none."""
    return tuple(_mark(k, kind, shape, nuisance, amount) for k, kind in enumerate(MARKS))


def _mark(k: int, kind: Mark, shape: Foot, nuisance: Int[np.ndarray, "n"], amount: float) -> Marks:
    def draw(name: str, low: float, high: float, count: int = 1) -> np.ndarray:
        return spread(nuisance, f"foot-mark-{k}-{name}", low, high, count)

    low, high = room(shape, shape.on)
    at = low + draw("along", 0, 1)[:, 0] * (high - low)
    x, y = on_limb(shape, shape.on, at, draw("across", -0.75, 0.75)[:, 0])
    cosine, sine = direction(uniforms(nuisance, f"foot-mark-{k}-axis", 1)[:, 0])
    there = uniforms(nuisance, f"foot-mark-{k}", 1)[:, 0] < kind.share * amount
    blob = Blobs(
        x=x,
        y=y,
        radius=draw("radius", *kind.radius)[:, 0],
        cosine=cosine,
        sine=sine,
        stretch=np.sqrt(draw("stretch", 1.0, 2.2)[:, 0]),
        even=draw("even", -0.1, 0.1, 3),
        odd=draw("odd", -0.1, 0.1, 3),
    )
    strength = draw("strength", *kind.strength)[:, 0] * there
    return Marks(blob, along(kind.colour, draw("colour", 0, 1)[:, 0]), strength, np.full(len(x), kind.soft))


def draw_skin(look: Skin, fields: Texture, grid: Grid) -> Planes:
    """Colours of bare skin everywhere on the image, without light; what is foot is decided later."""
    planes = fields.coarse * colours(look.blotch, grid.device)
    planes.add_(colours(look.colour, grid.device))
    return planes.mul_((fields.fine * column(look.grain, grid.device)).add_(1))


def draw_marks(planes: Planes, found: tuple[Marks, ...], fields: Texture, grid: Grid) -> None:
    """Paint the marks on the skin, their strength uneven."""
    for each in found:
        rows = np.flatnonzero(each.strength > 0)
        if len(rows) > 0:
            own = take(each, rows)
            reach = own.shape.reach() * (1 + 0.5 * own.soft)
            windows = Windows.around(rows, own.shape.x, own.shape.y, float(reach.max()), grid)
            share = within(own.shape, windows, grid.device)[0]
            uneven = (windows.read(fields.fine) * 0.2).add_(1).clamp_(0.3, 1.4)
            weight = ramp(1 - share, column(own.soft, grid.device))
            weight.mul_(uneven).mul_(column(own.strength, grid.device))
            dab(planes, windows, weight, colours(own.colour, grid.device))


def draw_nails(planes: Planes, look: Skin, shape: Foot, grid: Grid) -> None:
    """Paint nails on the toes that show them."""
    row, toe = np.nonzero(look.nails > 0)
    if len(row) == 0:
        return
    toes, zoom = shape.toes[row, toe], shape.zoom[row]
    along_x, along_y = toes[:, 2] - toes[:, 0], toes[:, 3] - toes[:, 1]
    length = np.sqrt(along_x * along_x + along_y * along_y) + 1e-6
    cosine, sine = along_x / length, along_y / length
    out = 0.25 * toes[:, 5]
    none = np.zeros((len(row), 0))
    blob = Blobs(
        x=shape.x[row] + zoom * (toes[:, 2] + out * cosine),
        y=shape.y[row] + zoom * (toes[:, 3] + out * sine),
        radius=0.62 * zoom * toes[:, 5],
        cosine=cosine,
        sine=sine,
        stretch=np.full(len(row), 1.05),
        even=none,
        odd=none,
    )
    windows = Windows.around(row, blob.x, blob.y, float(blob.reach().max()) + 1.5 + grid.pixel, grid)
    depth = within(blob, windows, grid.device)[1]
    cover = ramp(depth, column(np.full(len(row), 0.4 + grid.pixel), grid.device))
    cover.mul_(column(look.nails[row, toe], grid.device))
    weight = grid.blank(planes.shape[1])
    windows.draw(weight, cover)
    some = np.unique(row)
    index = torch.as_tensor(some, device=grid.device)
    painted = planes[:, index]
    blend(painted, colours(look.nail[some], grid.device), weight.view(planes.shape[1:])[index])
    planes[:, index] = painted
