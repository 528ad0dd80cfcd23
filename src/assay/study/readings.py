"""The usual ways to read an image: scalings, inverted gray values, and BGR."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from torch import Tensor

from assay.data.dataset import Images
from assay.models.ref import Scaling

SCALINGS: Mapping[str, Scaling | None] = {
    "0..1": None,
    "imagenet": Scaling((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "-1..1": Scaling((0.5,), (0.5,)),
    "0..255": Scaling((0.0,), (1 / 255,)),
    "-1024..1024": Scaling((0.5,), (1 / 2048,)),
}
"""Usual scalings of images in [0, 1], by name."""

Change = Callable[[Float[Tensor, "b c h w"]], Float[Tensor, "b c h w"]]


@dataclass(frozen=True)
class ReadAs:
    """`Images` that are changed on reading."""

    images: Images
    change: Change

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return self.images.shape

    def __len__(self) -> int:
        return len(self.images)

    def read(self, index: np.ndarray) -> Float[Tensor, "n c h w"]:
        """Changed images at these positions."""
        return self.change(self.images.read(index))


def alternatives(scaling: Scaling | None, channels: int) -> dict[str, Change]:
    """Return other ways to read images: name -> a change before the given scaling that amounts to it."""

    def scaled(other: Scaling | None) -> Change:
        def change(images: Tensor) -> Tensor:
            wanted = images if other is None else other(images)
            if scaling is None:
                return wanted
            mean, sd = (images.new_tensor(part).view(1, -1, 1, 1) for part in (scaling.mean, scaling.sd))
            return wanted * sd + mean

        return change

    found = {
        name: scaled(other)
        for name, other in SCALINGS.items()
        if other != scaling and (other is None or len(other.mean) in (1, channels))
    }
    found["inverted gray values"] = lambda images: 1 - images
    if channels == 3:
        found["BGR"] = lambda images: images.flip(1)
    return found


def misread(measure: str, given: float, better: Mapping[str, float], flipped: bool) -> str:
    """Return the refusal of a model that seems to be read wrongly, with the remedy."""
    best = max(better, key=lambda one: better[one]) if better else ""
    if flipped:
        more = f", or images be read as {best} ({measure} {better[best]:.2f})" if better else ""
        return (
            f"the {measure} is {given:.2f}, below 0.5: the classes may be the other way round{more}; check target, "
            "positive class and output, or give --as-given to go on"
        )
    key = f"--scaling {best}" if best in SCALINGS else f"images prepared as {best}"
    return (
        f"the {measure} is {given:.2f} as given and {better[best]:.2f} with images read as {best}: the model was "
        f"probably trained so; give {key}, or --as-given to go on"
    )
