"""Environments and recipes for tests of training: counted images, planted squares and tags."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from assay.plugin import (
    Card,
    Component,
    ComponentKind,
    Environment,
    Factor,
    FactorTable,
    Images,
    PixelScale,
    Probe,
    RecipeSpec,
    Rendered,
    build,
    mark_factor,
)
from assay.testing.data import ImagesInMemory

# Recipes in few words, and images that count what was read of them.


@dataclass
class CountedImages:
    """`Images` that counts what was read."""

    images: Images
    reads: list[int] = field(default_factory=list)

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.images.shape

    def __len__(self) -> int:
        return len(self.images)

    def read(self, index: np.ndarray) -> Tensor:
        self.reads.append(len(index))
        return self.images.read(index)


def part(kind: ComponentKind, name: str, **params: Any) -> Component:
    return Component(kind=kind, name=name, params=params)


def make_probe(name: str, **arguments: Any) -> Probe:
    """Return a probe of this name."""
    return build("probe", name, arguments)


def recipe(loss: str = "cross-entropy", **fields: Any) -> RecipeSpec:
    """A recipe of few steps."""
    given = {"epochs": 2, "batch_size": 16, "loss": part("loss", loss), **fields}
    return RecipeSpec(**given)


# A planted world: the target is a square that is hard to see, and a tag that is easy to see is tied to it.

SIDE = 16
TAG = mark_factor("tag")
AGE = Factor("age", "continuous", "nuisance", unit="years")


def tagged(rows: int, seed: int = 0, tied: float = 0.9, square: float = 0.35, tag: float = 0.5) -> Environment:
    """Noise [0, 0.5]; class 1 has a square of 4 px somewhere, and a share (1 + tied) / 2 of it a tag in the corner,
    which a share (1 - tied) / 2 of class 0 has.
    """
    rng = np.random.default_rng(seed)
    target = np.arange(rows) % 2
    marked = rng.random(rows) < np.where(target == 1, (1 + tied) / 2, (1 - tied) / 2)
    pixels = rng.random((rows, 1, SIDE, SIDE), dtype=np.float32) * 0.5
    for image in np.flatnonzero(target):
        top, left = rng.integers(3, SIDE - 4, 2)
        pixels[image, 0, top : top + 4, left : left + 4] += square
    pixels[marked, 0, :2, :2] += tag
    table = FactorTable(
        row=np.arange(rows) + 10_000 * seed,
        target=target,
        patient=np.arange(rows),
        classes=("no square", "square"),
        factors=(TAG, AGE),
        columns={"tag": marked.astype(np.int64), "age": rng.uniform(20, 80, rows)},
    )
    return Environment("tagged", table, ImagesInMemory(torch.as_tensor(np.minimum(pixels, 1))), None, ())


def with_column(environment: Environment, name: str, values: Any) -> Environment:
    """The same images with one column of the table replaced."""
    columns = {**environment.table.columns, name: np.asarray(values)}
    return replace(environment, table=replace(environment.table, columns=columns))


def mitigated(
    mitigation: str = "none", loss: str = "cross-entropy", recipe: dict[str, Any] | None = None, **params: Any
) -> RecipeSpec:
    """A recipe of few steps with a mitigation, grouped by the tag, without augmentation."""
    fields: dict[str, Any] = {"groups": "tag", "epochs": 2, "batch_size": 16, "augmentation": (), **(recipe or {})}
    return RecipeSpec(loss=part("loss", loss), mitigation=part("mitigation", mitigation, **params), **fields)


class CornerTag:
    """The tag of this world as an intervention."""

    def check(self, shape: tuple[int, int, int]) -> None:
        """It fits these images."""

    def draw(self, draws: Any, shape: tuple[int, int, int]) -> dict[str, Any]:
        """It has no parameters."""
        return {}

    def apply(self, images: Any, parameters: Any) -> Any:
        """Brighter by 0.5 in the corner, at most 1."""
        changed = images.clone()
        changed[:, :, :2, :2] = (changed[:, :, :2, :2] + 0.5).clamp(max=1)
        return changed

    def mask(self, parameters: Any, shape: tuple[int, int, int]) -> Any:
        """Never asked for here."""
        raise NotImplementedError


# A phantom whose pixels say outright what its factors are, and that counts what it renders.

FACTORS = (
    Factor("margin", "continuous", "core", range=(0.0, 1.0)),
    Factor("texture", "categorical", "associated", levels=("glass", "solid", "part"), high=("solid",)),
    Factor("size", "continuous", "associated", unit="mm", range=(4.0, 30.0)),
    Factor("grade", "ordinal", "associated", levels=("0", "1", "2", "3")),
    Factor("x", "continuous", unit="share", range=(-1.0, 1.0)),
    Factor("y", "continuous", unit="share", range=(-1.0, 1.0)),
)


class Toy:
    """Pixel (0, j) holds factor j scaled to 0..1 by its range or levels, all others noise of (nuisance, pixel)."""

    rendered = 0

    def __init__(self, *, channels: int = 1):
        self.channels = channels

    factors = FACTORS
    card = Card("toy", "factors written into pixels")

    def scale(self, size: int) -> PixelScale:
        return PixelScale(mm_per_pixel=40 / size)

    def groups(self) -> dict[str, tuple[str, ...]]:
        return {"position": ("x", "y")}

    def quantile(self, factor: str, u: np.ndarray) -> np.ndarray:
        if factor == "texture":  # glass 0.2, part 0.3, solid 0.5
            return np.select([u < 0.2, u < 0.5], [0, 2], 1)
        if factor == "grade":
            return np.floor(4 * u).astype(np.int64)
        low, high = next(f.range for f in FACTORS if f.name == factor)
        return low + (high - low) * u

    def render(self, values, nuisance, size, difficulty, device="cpu") -> Rendered:
        Toy.rendered += len(nuisance)
        images = np.stack([np.random.default_rng(int(seed)).random((self.channels, size, size)) for seed in nuisance])
        for j, factor in enumerate(FACTORS):
            low, high = factor.range or (0.0, float(len(factor.levels) - 1))
            images[:, :, 0, j] = ((values[factor.name] - low) / (high - low) * difficulty.get(factor.name, 1.0))[
                :, None
            ]
        masks = torch.zeros(len(nuisance), 1, size, size, dtype=torch.bool)
        masks[:, :, 0, : len(FACTORS)] = True
        return Rendered(torch.as_tensor(images, dtype=torch.float32, device=device).clamp(0, 1), masks.to(device))
