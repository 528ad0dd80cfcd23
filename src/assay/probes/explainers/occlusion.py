"""An explainer that needs no gradient: cover a window, see what the network loses."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from assay.probes.explainers.explainer import Subject
from assay.probes.explainers.replacing import Replacement, replaced


class Occlusion:
    """Implements `Explainer`: how far the log-odds fall when a window is covered, spread evenly over its pixels, mean
    over the windows that cover a pixel (Zeiler and Fergus 2014).

    window: side of the window, the image's shorter side being 1. stride: from one window to the next, the window's side
    being 1. replacement: see `replaced`. An image passes through the network as often as there are windows.
    """

    additive: ClassVar[bool] = True

    def __init__(self, *, window: float = 0.125, stride: float = 1.0, replacement: Replacement = "mean") -> None:
        self.window = window
        self.stride = stride
        self.replacement: Replacement = replacement

    def refusal(self, subject: Subject) -> str:
        """It explains every network."""
        return ""

    @torch.no_grad()
    def explain(
        self, subject: Subject, images: Float[Tensor, "b c h w"], own: Int[Tensor, " b"]
    ) -> Float[Tensor, "b h w"]:
        """See `Explainer`."""
        height, width = images.shape[2:]
        side = max(1, round(self.window * min(height, width)))
        step = max(1, round(self.stride * side))
        cover, whole = replaced(images, self.replacement), subject.score(images, own)
        total, windows = torch.zeros_like(images[:, 0]), torch.zeros_like(images[0, 0])
        for top in places(height, side, step):
            for left in places(width, side, step):
                rows, columns = slice(top, top + side), slice(left, left + side)
                covered = images.clone()
                covered[:, :, rows, columns] = cover[:, :, rows, columns]
                fall = (whole - subject.score(covered, own)) / side**2
                total[:, rows, columns] += fall[:, None, None]
                windows[rows, columns] += 1
        return total / windows


def places(length: int, side: int, step: int) -> list[int]:
    """Where windows begin along an axis; the last ends at its end, so that every pixel is covered."""
    found = list(range(0, max(length - side, 0) + 1, step))
    return found if found[-1] + side >= length else [*found, length - side]
