"""Tapered tubes: vessels, their cross-sections, and spicules."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from assay.data.phantoms.canvas import Grid, Windows, column, ramp


@dataclass(frozen=True, slots=True)
class Capsules:
    """k tubes per row, each from (x0, y0) to (x1, y1) in mm, with a radius (mm) and a strength at either end.

    A strength of 0 leaves no trace. All fields are float64 [n, k] (one axis within the drawing).
    """

    x0: Float[np.ndarray, "n k"]
    y0: Float[np.ndarray, "n k"]
    x1: Float[np.ndarray, "n k"]
    y1: Float[np.ndarray, "n k"]
    radius0: Float[np.ndarray, "n k"]
    radius1: Float[np.ndarray, "n k"]
    strength0: Float[np.ndarray, "n k"]
    strength1: Float[np.ndarray, "n k"]


def draw_capsules(canvas: Float[Tensor, "n pixels"], tubes: Capsules, blur: Float[np.ndarray, "n"], grid: Grid) -> None:
    """Raise the canvas to strength x coverage along each tube; `blur` is the width of the edges in mm."""
    seen = _partial_volume(tubes, blur[:, None])
    radius = _reach(seen) + 0.5 * blur[:, None]
    chosen = np.flatnonzero(_in_sight(seen, radius, grid))
    if len(chosen) == 0:
        return
    row = chosen // tubes.x0.shape[1]
    drawn = Capsules(*(getattr(seen, field.name).ravel()[chosen] for field in fields(Capsules)))
    furthest = float(radius.ravel()[chosen].max())
    windows = Windows.around(row, 0.5 * (drawn.x0 + drawn.x1), 0.5 * (drawn.y0 + drawn.y1), furthest, grid)
    windows.draw(canvas, _coverage(drawn, blur[row], windows, grid.device))


def draw_depth(canvas: Float[Tensor, "n pixels"], tubes: Capsules, beyond: float, grid: Grid) -> None:
    """Raise a canvas of depths inside an outline (negative outside) to each tube's, where its strength is not 0.

    A tube raises no pixel that lies farther than `beyond` outside it.
    """
    radius = _reach(tubes) + beyond
    chosen = np.flatnonzero(_in_sight(tubes, radius, grid))
    if len(chosen) == 0:
        return
    row = chosen // tubes.x0.shape[1]
    drawn = Capsules(*(getattr(tubes, field.name).ravel()[chosen] for field in fields(Capsules)))
    furthest = float(radius.ravel()[chosen].max())
    windows = Windows.around(row, 0.5 * (drawn.x0 + drawn.x1), 0.5 * (drawn.y0 + drawn.y1), furthest, grid)
    depth = _depth(drawn, windows, grid.device)[0]
    windows.draw(canvas, depth.masked_fill_(depth < -beyond, -np.inf))


def _partial_volume(tubes: Capsules, blur: Float[np.ndarray, "n 1"]) -> Capsules:
    """A tube thinner than the blur is seen as wide as the blur and as much weaker as it is thinner."""
    return replace(
        tubes,
        radius0=np.maximum(tubes.radius0, 0.5 * blur),
        radius1=np.maximum(tubes.radius1, 0.5 * blur),
        strength0=tubes.strength0 * np.minimum(1, 2 * tubes.radius0 / blur),
        strength1=tubes.strength1 * np.minimum(1, 2 * tubes.radius1 / blur),
    )


def _reach(tubes: Capsules) -> Float[np.ndarray, "n k"]:
    """How far from its middle a tube extends, in mm."""
    along_x, along_y = tubes.x1 - tubes.x0, tubes.y1 - tubes.y0
    return 0.5 * np.sqrt(along_x * along_x + along_y * along_y) + np.maximum(tubes.radius0, tubes.radius1)


def _in_sight(tubes: Capsules, radius: Float[np.ndarray, "n k"], grid: Grid) -> Bool[np.ndarray, "n k"]:
    """Tubes that are there at all and not wholly outside the image."""
    half = 0.5 * grid.field
    near_x = np.abs(0.5 * (tubes.x0 + tubes.x1)) < half + radius
    near_y = np.abs(0.5 * (tubes.y0 + tubes.y1)) < half + radius
    return near_x & near_y & (np.maximum(tubes.strength0, tubes.strength1) > 0)


def _coverage(tubes: Capsules, blur: Float[np.ndarray, "m"], windows: Windows, device: str) -> Float[Tensor, "m w w"]:
    depth, t = _depth(tubes, windows, device)
    strength = t.mul_(column(tubes.strength1 - tubes.strength0, device)).add_(column(tubes.strength0, device))
    return ramp(depth, column(blur, device)).mul_(strength)


def _depth(tubes: Capsules, windows: Windows, device: str) -> tuple[Float[Tensor, "m w w"], Float[Tensor, "m w w"]]:
    """mm inside each tube, negative outside; and how far along it each pixel lies, 0 to 1."""
    along_x, along_y = tubes.x1 - tubes.x0, tubes.y1 - tubes.y0
    squared = np.maximum(along_x * along_x + along_y * along_y, 1e-6)
    x, y = windows.x - column(tubes.x0, device), windows.y - column(tubes.y0, device)
    t = (x * column(along_x / squared, device) + y * column(along_y / squared, device)).clamp_(0, 1)
    away_x = (t * column(-along_x, device)).add_(x)
    away_y = (t * column(-along_y, device)).add_(y)
    distance = away_x.mul_(away_x).add_(away_y.mul_(away_y)).sqrt_()
    depth = (t * column(tubes.radius1 - tubes.radius0, device)).sub_(distance).add_(column(tubes.radius0, device))
    return depth, t
