"""Where each pixel lies in the patient: the coordinates that all parts of a chest are drawn in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from assay.data.phantoms.canvas import Grid, column
from assay.data.phantoms.chest_anatomy import Anatomy, Pose
from assay.data.phantoms.chest_outlines import Outlines, outlines


@dataclass(frozen=True, slots=True)
class Frame:
    """Coordinates of m images, in mm at the patient from the middle of the chest.

    y: [m, size, 1] as `lines` [m, size] in float64. x: [m, size, size], to the patient's left. away: |x|. left: x > 0.
    depth: mm inside the rib cage, across its border. reach: |x| as a share of the rib cage's half width.
    edge: [m, 1, 1], width in mm of a sharp edge as the scanner and the pixel blur it.
    """

    lines: Float[np.ndarray, "m size"]
    outlines: Outlines
    y: Float[Tensor, "m size 1"]
    x: Float[Tensor, "m size size"]
    away: Float[Tensor, "m size size"]
    left: Bool[Tensor, "m size size"]
    depth: Float[Tensor, "m size size"]
    reach: Float[Tensor, "m size size"]
    edge: Float[Tensor, "m 1 1"]

    @property
    def size(self) -> int:
        """Pixels a side."""
        return self.x.shape[-1]

    def put(self, values: Float[np.ndarray, "m"]) -> Float[Tensor, "m 1 1"]:
        """One number per image, to be broadcast."""
        return column(values, str(self.x.device))

    def along(self, values: Float[np.ndarray, "m size"]) -> Float[Tensor, "m size 1"]:
        """One number per line, to be broadcast."""
        return torch.as_tensor(values.astype(np.float32), device=self.x.device)[:, :, None]

    def sided(
        self, right: Float[Tensor, "m #size 1"], left: Float[Tensor, "m #size 1"]
    ) -> Float[Tensor, "m size size"]:
        """The number of the side that a pixel lies on."""
        return torch.where(self.left, left, right)


def frame(build: Anatomy, blur: Float[np.ndarray, "m"], grid: Grid) -> Frame:
    """The coordinates of these images; `blur` is the width of a sharp edge in mm at the detector."""
    pose = build.pose
    line = (np.arange(grid.size) + (0.5 - 0.5 * grid.size)) * grid.pixel
    y = (line - pose.y[:, None]) / pose.zoom[:, None]
    shape = outlines(build, y)

    def put(values: np.ndarray) -> Tensor:
        return torch.as_tensor(values.astype(np.float32), device=grid.device)

    x = put(line / pose.zoom[:, None])[:, None, :] - put(_midline(pose, y) / pose.zoom[:, None])[:, :, None]
    away, left = x.abs(), x > 0
    border = torch.where(left, put(shape.lung_left)[:, :, None], put(shape.lung_right)[:, :, None])
    depth = (border - away).mul_(put(shape.lung_cosine)[:, :, None])
    reach = away / border.clamp_(min=25)
    edge = put(blur / pose.zoom)[:, None, None]
    return Frame(y, shape, put(y)[:, :, None], x, away, left, depth, reach, edge)


def on_image(
    pose: Pose, x: Float[np.ndarray, "n k"], y: Float[np.ndarray, "n k"]
) -> tuple[Float[np.ndarray, "n k"], Float[np.ndarray, "n k"]]:
    """Points of the patient as millimetres on the image: the inverse of what `frame` does."""
    zoom = pose.zoom[:, None]
    return x * zoom + _midline(pose, y), y * zoom + pose.y[:, None]


def _midline(pose: Pose, y: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
    """Where the midline runs on the image, in mm, at these heights of the patient."""
    bent = y * (1 / 150)
    return pose.x[:, None] + pose.zoom[:, None] * (pose.lean[:, None] * y + pose.bend[:, None] * (bent * bent - 0.5))
