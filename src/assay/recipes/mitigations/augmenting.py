"""An intervention put on training images at random, so that it says nothing of their class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from jaxtyping import Float
from torch import Tensor

from assay.core.registry import build
from assay.recipes.augmentation import Augmentation, Draws
from assay.recipes.mitigations.mitigation import Mitigation
from assay.shifts.intervention import Intervention, draw


@dataclass(frozen=True)
class RandomIntervention:
    """An intervention as an augmentation: each image gets it with one probability, with parameters drawn anew.

    Neither the class nor what the image already shows has a say. An image that shows it may get a second one.
    """

    name: str
    intervention: Intervention
    probability: float
    geometric: bool = False

    def draw(self, rng: np.random.Generator, count: int) -> Draws:
        """chosen: bool [count]; key: int64 [count], all of one value, the seed of the parameters."""
        chosen = rng.random(count) < self.probability
        return {"chosen": chosen, "key": np.full(count, rng.integers(0, 2**62))}

    def apply(self, images: Float[Tensor, "b c h w"], draws: Draws) -> Float[Tensor, "b c h w"]:
        """The images, changed where chosen."""
        rows = np.arange(len(images))
        channels, height, width = images.shape[1:]
        shape, seed = (channels, height, width), int(draws["key"][0])
        drawn = draw(self.name, self.intervention, draws["chosen"], rows, seed, shape, draws.get("boxes"))
        return drawn.apply(images, rows)


class ConfounderAugmentation(Mitigation):
    """Breaks the tie between a marking and the class by putting the marking on images of every class.

    With probability q, images of a class whose share p of the rows bears it bear it with p + (1 - p) q: the classes
    differ by (1 - q) times what they did. Only what can be put on pixels can be treated so. Uses no group labels.
    """

    def __init__(self, *, intervention: Mapping[str, Any], probability: float, version: str) -> None:
        ((self.name, arguments),) = intervention.items()
        self.intervention = cast(Intervention, build("intervention", self.name, arguments))
        self.probability = probability

    def augmentations(self) -> tuple[tuple[str, Augmentation], ...]:
        """The intervention, before the recipe's own: it lies in the image, and is moved and flipped with it."""
        return ((f"confounder {self.name}", RandomIntervention(self.name, self.intervention, self.probability)),)
