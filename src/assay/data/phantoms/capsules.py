"""Tapered tubes: vessels, their cross-sections, and spicules."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from torch import Tensor

from assay.data.phantoms.canvas import Grid, Windows, column, ramp


@dataclass(frozen=True, slots=True)
class Capsules:
    """k tubes per row, each from (x0, y0) to (x1, y1) in mm, with a radius (mm) and a strength at either end.

    A strength of 0 leaves no trace. All fields are float64 [n, k].
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
    along_x, along_y = tubes.x1 - tubes.x0, tubes.y1 - tubes.y0
    longest = float(np.sqrt((along_x * along_x + along_y * along_y).max()))
    thickest = float(max(seen.radius0.max(), seen.radius1.max()))
    windows = Windows.around(
        0.5 * (tubes.x0 + tubes.x1),
        0.5 * (tubes.y0 + tubes.y1),
        0.5 * longest + thickest + 0.5 * float(blur.max()),
        grid,
    )
    windows.draw(canvas, _coverage(seen, blur, windows, grid.device))


def _partial_volume(tubes: Capsules, blur: Float[np.ndarray, "n 1"]) -> Capsules:
    """A tube thinner than the blur is seen as wide as the blur and as much weaker as it is thinner."""
    return replace(
        tubes,
        radius0=np.maximum(tubes.radius0, 0.5 * blur),
        radius1=np.maximum(tubes.radius1, 0.5 * blur),
        strength0=tubes.strength0 * np.minimum(1, 2 * tubes.radius0 / blur),
        strength1=tubes.strength1 * np.minimum(1, 2 * tubes.radius1 / blur),
    )


def _coverage(tubes: Capsules, blur: Float[np.ndarray, "n"], windows: Windows, device: str) -> Float[Tensor, "n k w w"]:
    along_x, along_y = tubes.x1 - tubes.x0, tubes.y1 - tubes.y0
    squared = np.maximum(along_x * along_x + along_y * along_y, 1e-6)
    x, y = windows.x - column(tubes.x0, device), windows.y - column(tubes.y0, device)
    t = (x * column(along_x / squared, device) + y * column(along_y / squared, device)).clamp_(0, 1)
    away_x, away_y = x - t * column(along_x, device), y - t * column(along_y, device)
    distance = (away_x.mul_(away_x)).add_(away_y.mul_(away_y)).sqrt_()
    radius = t * column(tubes.radius1 - tubes.radius0, device) + column(tubes.radius0, device)
    strength = t.mul_(column(tubes.strength1 - tubes.strength0, device)).add_(column(tubes.strength0, device))
    return ramp(radius.sub_(distance), column(blur[:, None], device)).mul_(strength)
