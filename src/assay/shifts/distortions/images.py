"""Environments as a distortion leaves them: batch by batch as they are read, nothing is stored."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from torch import Tensor

from assay.core.registry import build
from assay.data.dataset import Images
from assay.shifts.environment import Environment
from assay.shifts.intervention import Drawn, draw
from assay.shifts.parts import TEST_SEED


@dataclass(frozen=True)
class DistortedImages:
    """`Images` that are distorted on reading, on a device of their own."""

    images: Images
    change: Drawn
    device: str = "cpu"

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return self.images.shape

    def __len__(self) -> int:
        return len(self.images)

    def read(self, index: np.ndarray) -> Float[Tensor, "n c h w"]:
        """Distorted images at these positions, in this order, on the device."""
        return self.change.apply(self.images.read(index).to(self.device), index)


def distorted(environment: Environment, family: str, severity: int, device: str = "cpu") -> Environment:
    """The same rows under a distortion, named `<environment>, <family> <severity>`, without masks.

    What is random depends on family and row alone: every model and every seed sees the same images. Raises SpecError
    when such images cannot carry it.
    """
    made = build("distortion", family, {"severity": severity})
    everyone = np.ones(len(environment), dtype=bool)
    change = draw(family, made, everyone, environment.table.row, TEST_SEED, environment.images.shape,
                  environment.boxes)  # fmt: skip
    return replace(
        environment,
        name=f"{environment.name}, {family} {severity}",
        images=DistortedImages(environment.images, change, device),
        masks=None,
        native=None,
    )
