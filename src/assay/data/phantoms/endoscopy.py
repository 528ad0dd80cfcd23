"""The endoscopy phantom: a bowel seen from within, with polyps of known size, shape, colour and place or without."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from assay.core.types import Factor
from assay.data.dataset import Card, PixelScale, Rendered
from assay.data.phantoms.canvas import Grid, take
from assay.data.phantoms.capsules import Capsules, draw_capsules
from assay.data.phantoms.endoscopy_camera import colours, filmed, lit
from assay.data.phantoms.endoscopy_mucosa import film, mottling, vessels
from assay.data.phantoms.endoscopy_polyp import Polyps, polyps
from assay.data.phantoms.endoscopy_relief import draw_polyps
from assay.data.phantoms.endoscopy_visible import Visible, visible
from assay.data.phantoms.endoscopy_wall import Tube, around, tube, wall
from assay.data.phantoms.endoscopy_wet import bubbles, glints
from assay.data.phantoms.factors import ENDOSCOPY as FACTORS
from assay.data.phantoms.marginals import Levels, Marginal, Uniform, quantile_of
from assay.data.phantoms.request import check_difficulty, check_size, check_values

_SMALLEST, _LARGEST = 64, 512
_BLOCK = 1024  # rows whose geometry is held at once
_PIXELS = {"cpu": 64 * 64 * 64}  # pixels drawn at once: what fits a core's cache
_PIXELS_ELSEWHERE = 2**23

MARGINALS: Mapping[str, Marginal] = MappingProxyType(
    {
        "lesion": Levels((0.5, 0.5)),
        "size": Uniform(0.14, 0.62),
        "shape": Uniform(0.0, 1.0),
        "contrast": Uniform(0.0, 1.0),
        "texture": Uniform(0.0, 1.0),
        "position_x": Uniform(-0.2, 0.2),
        "position_y": Uniform(-0.2, 0.2),
        "count": Levels((0.625, 0.25, 0.125)),
        "hue": Uniform(-1.0, 1.0),
        "illumination": Uniform(-1.0, 1.0),
        "folds": Uniform(0.0, 1.0),
        "distance": Uniform(0.0, 1.0),
        "bubbles": Uniform(0.0, 1.0),
        "highlights": Uniform(0.0, 1.0),
    }
)


@dataclass(frozen=True, slots=True)
class _Scenes:
    """All that is drawn of some images, before there are pixels."""

    seen: Visible
    bowel: Tube
    vessels: Capsules
    growths: Polyps
    nuisance: Int[np.ndarray, "n"]


class EndoscopyPhantom:
    """Colour images of a bowel from within, 64 to 512 px, as a video endoscope shows it.

    grain: standard deviation of the camera's noise at 256 px, in grey levels of 1.
    vessels: how plain the vessels under the mucosa are, 1 normal, 0 none.
    film: share of images in which yellow mucus or stool lies on the wall.

    Light, slope and blood are put together pixel by pixel before the camera sees them, polyps laid over the bare wall;
    so a change of a polyp leaves every pixel that neither it nor its shadow reaches the same to the bit.
    """

    def __init__(self, *, grain: float = 0.015, vessels: float = 1.0, film: float = 0.4) -> None:
        self._grain = grain
        self._vessels = vessels
        self._film = film

    @property
    def factors(self) -> tuple[Factor, ...]:
        """The fourteen factors, with their ranges."""
        return FACTORS

    @property
    def card(self) -> Card:
        """What the phantom is and is not."""
        return Card(
            name="endoscopy phantom",
            summary="a bowel from within, with polyps of known size, shape, colour, surface, place and number or none",
            licence="Apache-2.0",
            source="drawn by Assay",
            known_faults=(
                "a polyp is laid over the picture of the wall: it does not bend folds or vessels, and none hides it",
                "no blood, stool in lumps, instruments, retroflexion, narrow-band light, motion or chromatic fringes",
                "one still at a time: no sequence, no patient",
                "texts and insets on the screen are interventions, not part of the phantom",
            ),
        )

    def scale(self, size: int) -> PixelScale:
        """Grey levels without a unit; a scope shows no millimetres."""
        check_size(size, _SMALLEST, _LARGEST)
        return PixelScale()

    def quantile(self, factor: str, u: Float[np.ndarray, "n"]) -> np.ndarray:
        """Values at probabilities u in [0, 1); codes for factors with levels. Raises DataError."""
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
        """Images [n, 3, size, size] and masks of the polyps with their stalks, empty where there are none.

        difficulty: per factor 0 (no trace of it in the pixels) to 3; 1 where not given.
        Raises SpecError for a wrong size or difficulty, DataError for wrong values.
        """
        check_size(size, _SMALLEST, _LARGEST)
        check_difficulty(FACTORS, difficulty)
        checked = check_values(FACTORS, values, nuisance)
        grid = Grid(size, 1.0, device)
        n = len(nuisance)
        images = torch.empty(n, 3, size, size, device=device)
        masks = torch.empty(n, 1, size, size, dtype=torch.bool, device=device)
        step = max(1, _PIXELS.get(device, _PIXELS_ELSEWHERE) // size**2)
        for block in _slices(n, _BLOCK):
            seen = visible({k: v[block] for k, v in checked.items()}, difficulty)
            scenes = self._scenes(seen, nuisance[block])
            for part in _slices(len(scenes.nuisance), step):
                at = slice(block.start + part.start, block.start + part.stop)
                images[at], masks[at, 0] = self._draw(take(scenes, part), grid)
        return Rendered(images, masks)

    def _scenes(self, seen: Visible, nuisance: Int[np.ndarray, "n"]) -> _Scenes:
        marks = vessels(seen, nuisance, self._vessels)
        return _Scenes(seen, tube(seen, nuisance), marks, polyps(seen, nuisance), nuisance)

    def _draw(self, scenes: _Scenes, grid: Grid) -> tuple[Float[Tensor, "n 3 size size"], Bool[Tensor, "n size size"]]:
        seen, nuisance = scenes.seen, scenes.nuisance
        surface = wall(scenes.bowel, nuisance, around(scenes.bowel, *grid.axes()), grid)
        blood = grid.blank(len(nuisance))
        draw_capsules(blood, scenes.vessels, np.full(len(nuisance), 1.2 * grid.pixel), grid)
        mask = draw_polyps(surface, blood, scenes.growths, scenes.bowel, grid)
        blood.add_(mottling(nuisance, grid).view(blood.shape))
        shape = (-1, grid.size, grid.size)
        yellow = film(nuisance, self._film, grid)
        picture = colours(lit(surface, nuisance, grid), blood.view(shape), yellow, seen, nuisance, grid)
        white = torch.maximum(glints(surface, seen, nuisance, grid), bubbles(surface, seen, nuisance, grid).view(shape))
        picture.add_((1 - picture).mul_(white[:, None]))
        picture, inside = filmed(picture, nuisance, self._grain, grid)
        return picture, mask.view(shape) & (inside >= 0.5)


def _slices(count: int, step: int) -> Iterator[slice]:
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))
