"""The nodule phantom: a CT-like patch of lung with one nodule whose every feature is a factor that we set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from assay.core.types import Factor
from assay.data.dataset import Card, PixelScale, Rendered
from assay.data.phantoms.canvas import Grid, take
from assay.data.phantoms.capsules import Capsules, draw_capsules
from assay.data.phantoms.counter import spread
from assay.data.phantoms.factors import NODULE as FACTORS
from assay.data.phantoms.lesion import Lesion, draw_lesion, shape, visible
from assay.data.phantoms.lung import chest_wall, has_wall, parenchyma, scanner_noise, wall_tissue
from assay.data.phantoms.marginals import Levels, Marginal, Skewed, Uniform, quantile_of
from assay.data.phantoms.request import check_difficulty, check_size, check_values
from assay.data.phantoms.vessels import branching_vessels, cut_vessels

FIELD = 48.0
"""Millimetres that an image shows a side, whatever its size in pixels."""
LOW, HIGH = -1000.0, 400.0
"""HU of pixel values 0 and 1."""

_SMALLEST, _LARGEST = 32, 256
_BLOCK = 2048  # rows whose geometry is held at once
_PIXELS = {"cpu": 64 * 64 * 64}  # pixels drawn at once: what fits a core's cache; larger chunks halve the speed
_PIXELS_ELSEWHERE = 2**24

MARGINALS: Mapping[str, Marginal] = MappingProxyType(
    {
        "margin": Uniform(0.0, 1.0),
        "texture": Levels((0.5, 0.25, 0.25)),
        "size": Skewed(6.0, 18.0),
        "contrast": Uniform(550.0, 950.0),
        "position_x": Uniform(-6.0, 6.0),
        "position_y": Uniform(-6.0, 6.0),
        "elongation": Uniform(1.0, 1.6),
        "vessel": Levels((0.5, 0.5)),
    }
)


class NodulePhantom:
    """CT-like lung patches of 48 mm a side, 32 to 256 px, in the window -1000 to 400 HU.

    noise: standard deviation of the scanner's noise in HU at the middle dose.
    dose: how far the noise differs from patch to patch: between 1 / (1 + dose) and (1 + dose) times `noise`.
    vessels: density of the vessels around, 1 normal, 0 none.
    parenchyma: standard deviation of the lung's own fine texture in HU.
    wall: share of patches that show the chest wall.

    The nodule is drawn over the rest by the higher density, noise is added last; so a factor's change leaves every
    pixel that the nodule, its spicules and its feeding vessel do not reach the same to the bit.
    """

    def __init__(
        self,
        *,
        noise: float = 22.0,
        dose: float = 0.8,
        vessels: float = 1.0,
        parenchyma: float = 20.0,
        wall: float = 0.5,
    ) -> None:
        self._noise = noise
        self._dose = dose
        self._vessels = vessels
        self._parenchyma = parenchyma
        self._wall = wall

    @property
    def factors(self) -> tuple[Factor, ...]:
        """The eight factors, with range and unit."""
        return FACTORS

    @property
    def card(self) -> Card:
        """What the phantom is and is not."""
        return Card(
            name="nodule phantom",
            summary="CT-like lung patches with one nodule of known margin, texture, size, contrast, place and shape",
            licence="Apache-2.0",
            source="drawn by Assay",
            known_faults=(
                "one slice: no continuity from slice to slice, so vessels and nodules are told apart by shape alone",
                "no calcification, cavitation, emphysema, fissures or motion",
            ),
        )

    def scale(self, size: int) -> PixelScale:
        """-1000 to 400 HU; 48 mm over `size` pixels."""
        check_size(size, _SMALLEST, _LARGEST)
        return PixelScale("HU", LOW, HIGH, FIELD / size)

    def quantile(self, factor: str, u: Float[np.ndarray, "n"]) -> np.ndarray:
        """Values at probabilities u in [0, 1); codes for texture and vessel. Raises DataError."""
        return quantile_of(MARGINALS, factor, u)

    def groups(self) -> Mapping[str, tuple[str, ...]]:
        """The two coordinates count as one input."""
        return {"position": ("position_x", "position_y")}

    def render(
        self,
        values: Mapping[str, np.ndarray],
        nuisance: Int[np.ndarray, "n"],
        size: int,
        difficulty: Mapping[str, float],
        device: str = "cpu",
    ) -> Rendered:
        """Images [n, 1, size, size] and masks of the nodule with its spicules.

        difficulty: per factor 0 (no trace of it in the pixels) to 3; 1 where not given.
        Raises SpecError for a wrong size or difficulty, DataError for wrong values.
        """
        check_size(size, _SMALLEST, _LARGEST)
        check_difficulty(FACTORS, difficulty)
        checked = check_values(FACTORS, values, nuisance)
        grid = Grid(size, FIELD, device)
        n = len(nuisance)
        images = torch.empty(n, 1, size, size, device=device)
        masks = torch.empty(n, 1, size, size, dtype=torch.bool, device=device)
        for block in _slices(n, _BLOCK):
            lesion = shape(visible({k: v[block] for k, v in checked.items()}, difficulty), nuisance[block])
            seeds = nuisance[block]
            trees = branching_vessels(seeds, self._vessels, FIELD)
            dots = cut_vessels(seeds, self._vessels, FIELD)
            for part in _slices(len(seeds), max(1, _PIXELS.get(device, _PIXELS_ELSEWHERE) // size**2)):
                at = slice(block.start + part.start, block.start + part.stop)
                pictures = (take(trees, part), take(dots, part))
                images[at, 0], masks[at, 0] = self._draw(take(lesion, part), pictures, seeds[part], grid)
        return Rendered(images, masks)

    def _draw(
        self, lesion: Lesion, vessels: tuple[Capsules, ...], nuisance: Int[np.ndarray, "n"], grid: Grid
    ) -> tuple[Tensor, Tensor]:
        blur = _blur(nuisance, grid)
        tissue = grid.blank(len(nuisance))
        for tubes in vessels:
            draw_capsules(tissue, tubes, blur, grid)
        mask = draw_lesion(tissue, lesion, blur, grid)
        shape = (-1, grid.size, grid.size)
        hu = parenchyma(nuisance, self._parenchyma, tissue.view(shape), grid)
        self._add_wall(hu, nuisance, blur, grid)
        hu.add_(scanner_noise(nuisance, self._noise, self._dose, grid))
        return hu.sub_(LOW).mul_(1 / (HIGH - LOW)).clamp_(0, 1), mask.view(shape)

    def _add_wall(
        self, hu: Float[Tensor, "n h w"], nuisance: Int[np.ndarray, "n"], blur: Float[np.ndarray, "n"], grid: Grid
    ) -> None:
        rows = has_wall(nuisance, self._wall)
        if len(rows) == 0:
            return
        coverage, tissue = wall_tissue(chest_wall(nuisance[rows]), blur[rows], grid)
        index = torch.as_tensor(rows, device=grid.device)
        lung = hu[index]
        hu[index] = torch.maximum(lung, lung + (tissue - lung) * coverage)


def _blur(nuisance: Int[np.ndarray, "n"], grid: Grid) -> Float[np.ndarray, "n"]:
    """Width of an edge in mm: the scanner's own, which differs from patch to patch, and that of a pixel."""
    own = spread(nuisance, "blur", 1.2, 2.4)[:, 0]
    return np.sqrt(own * own + grid.pixel * grid.pixel)


def _slices(count: int, step: int) -> Iterator[slice]:
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))
