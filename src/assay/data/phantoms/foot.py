"""The foot phantom: photographs of feet of known skin, view and light, with ulcers of known looks and place or none."""

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
from assay.data.phantoms.canvas import Grid, column, ramp, take
from assay.data.phantoms.capsules import draw_depth
from assay.data.phantoms.factors import FOOT as FACTORS
from assay.data.phantoms.foot_light import SHADOW, Light, exposed, light, lit
from assay.data.phantoms.foot_scene import Scene, draw_scene, scene
from assay.data.phantoms.foot_shape import Foot, Photo, depth_of, foot, photo, toes_of
from assay.data.phantoms.foot_skin import Marks, Skin, draw_marks, draw_nails, draw_skin, marks, skin
from assay.data.phantoms.foot_texture import texture
from assay.data.phantoms.foot_ulcer import Ulcers, draw_ulcers, ulcers
from assay.data.phantoms.foot_visible import visible
from assay.data.phantoms.marginals import Levels, Marginal, Skewed, Uniform, quantile_of
from assay.data.phantoms.painting import Planes, blend
from assay.data.phantoms.request import check_difficulty, check_size, check_values

SIDE = 100.0
"""Length of the image's side in the units of the phantom's geometry: photographs have no millimetres."""

_SMALLEST, _LARGEST = 64, 512
_BLOCK = 1024  # rows whose geometry is held at once
_PIXELS = {"cpu": 64 * 64 * 64}  # pixels drawn at once: what fits a core's cache
_PIXELS_ELSEWHERE = 2**24

MARGINALS: Mapping[str, Marginal] = MappingProxyType(
    {
        "lesion": Levels((0.5, 0.5)),
        "size": Skewed(0.03, 0.24),
        "contrast": Uniform(0.45, 1.0),
        "slough": Skewed(0.0, 1.0),
        "rim": Uniform(0.0, 1.0),
        "irregularity": Uniform(0.0, 1.0),
        "position_x": Uniform(-1.0, 1.0),
        "position_y": Uniform(-1.0, 1.0),
        "count": Levels((0.75, 0.1875, 0.0625)),
        "skin_tone": Uniform(0.0, 1.0),
        "background": Levels((0.5, 0.25, 0.25)),
        "illumination": Uniform(-1.0, 1.0),
        "view": Levels((0.375, 0.125, 0.25, 0.25)),
    }
)


@dataclass(frozen=True, slots=True)
class _Photographs:
    """All that is drawn of some images, before there are pixels."""

    frame: Photo
    shape: Foot
    scene: Scene
    skin: Skin
    light: Light
    nuisance: Int[np.ndarray, "n"]


class FootPhantom:
    """Colour photographs of feet, 64 to 512 px a side, with up to three ulcers whose every feature is a factor.

    padded: share of photographs of 3 to 4 that leave a quarter of the image black, as the real set's do.
    marks: how often there is callus, a pressure mark, a stain or a scab, 1 normal, 0 never; alike with an ulcer.
    clutter: how often things stand about in the room, 1 normal, 0 never.
    texture: strength of the skin's grain and wrinkles, 1 normal, 0 none.
    grain: standard deviation of the camera's noise, in grey levels of 1.

    Skin, light and surroundings are drawn first, the ulcer is painted into windows of them, and what follows works
    pixel by pixel: so a change of its factors leaves every pixel that it does not reach the same to the bit.
    """

    def __init__(
        self,
        *,
        padded: float = 0.5,
        marks: float = 1.0,
        clutter: float = 1.0,
        texture: float = 1.0,
        grain: float = 0.008,
    ) -> None:
        self._padded = padded
        self._marks = marks
        self._clutter = clutter
        self._texture = texture
        self._grain = grain

    @property
    def factors(self) -> tuple[Factor, ...]:
        """The thirteen factors, with range and unit."""
        return FACTORS

    @property
    def card(self) -> Card:
        """What the phantom is and is not."""
        return Card(
            name="foot phantom",
            summary="photographs of feet of known skin, view and light, with known ulcers or none",
            licence="Apache-2.0",
            source="drawn by Assay",
            known_faults=(
                "toes, ankles and folds are simple shapes; no bones, tendons, veins or hair show through the skin",
                "ulcers are red beds with slough and a pale rim: no black eschar, exposed bone, dressing or blood",
                "an ulcer lies flat on the image: it is not foreshortened where the foot turns away",
                "each kind of mark occurs at most once a foot; no second foot, hand or printed date is in the picture",
            ),
        )

    def scale(self, size: int) -> PixelScale:
        """Colours without a unit; a photograph has no scale in millimetres."""
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
        """Images [n, 3, size, size] and masks of the ulcers' beds, empty where there is none.

        difficulty: per factor 0 (no trace of it in the pixels) to 3; 1 where not given.
        Raises SpecError for a wrong size or difficulty, DataError for wrong values.
        """
        check_size(size, _SMALLEST, _LARGEST)
        check_difficulty(FACTORS, difficulty)
        checked = check_values(FACTORS, values, nuisance)
        grid = Grid(size, SIDE, device)
        n = len(nuisance)
        images = torch.empty(n, 3, size, size, device=device)
        masks = torch.empty(n, 1, size, size, dtype=torch.bool, device=device)
        step = max(1, _PIXELS.get(device, _PIXELS_ELSEWHERE) // size**2)
        for block in _slices(n, _BLOCK):
            taken, wounds, spots = self._taken({k: v[block] for k, v in checked.items()}, difficulty, nuisance[block])
            # Windows are as wide as the widest ulcer that is drawn with them: those of a size are drawn together.
            order = np.argsort(wounds[0].shape.radius * (wounds[0].presence > 0), kind="stable")
            for part in _slices(len(order), step):
                rows = order[part]
                painted, mask = self._draw(
                    take(taken, rows), tuple(take(w, rows) for w in wounds), tuple(take(s, rows) for s in spots), grid
                )
                at = torch.as_tensor(block.start + rows, device=device)
                images.index_copy_(0, at, painted.transpose(0, 1))
                masks[at, 0] = mask
        return Rendered(images, masks)

    def _taken(
        self, values: Mapping[str, np.ndarray], difficulty: Mapping[str, float], nuisance: Int[np.ndarray, "n"]
    ) -> tuple[_Photographs, tuple[Ulcers, ...], tuple[Marks, ...]]:
        seen = visible(values, difficulty)
        frame = photo(nuisance, self._padded)
        shape = foot(seen, frame, nuisance)
        taken = _Photographs(
            frame,
            shape,
            scene(seen, frame, nuisance, self._clutter),
            skin(seen, shape, nuisance, self._texture),
            light(seen, nuisance, self._texture),
            nuisance,
        )
        return taken, ulcers(seen, shape, frame, nuisance), marks(shape, nuisance, self._marks)

    def _draw(
        self, taken: _Photographs, wounds: tuple[Ulcers, ...], spots: tuple[Marks, ...], grid: Grid
    ) -> tuple[Planes, Bool[Tensor, "n size size"]]:
        shape, fields = taken.shape, texture(taken.nuisance, grid)
        depth = depth_of(shape, grid)
        draw_depth(depth.view(len(shape.x), -1), toes_of(shape), SHADOW, grid)
        edge = np.full(len(shape.x), 0.5 + 1.1 * grid.pixel)
        cover = ramp(depth, column(edge, grid.device))
        around, cloth = draw_scene(taken.scene, fields, grid)
        level, shine = lit(depth, cover, cloth, taken.scene.crumpled, shape.zoom, taken.light, fields, grid)
        bare = draw_skin(taken.skin, fields, grid)
        draw_nails(bare, taken.skin, shape, grid)
        draw_marks(bare, spots, fields, grid)
        mask = draw_ulcers(bare, level, cover, wounds, fields, taken.light.towards, grid)
        picture = exposed(
            blend(around, bare, cover), level, shine, taken.light, taken.frame, taken.nuisance, self._grain, grid
        )
        return picture, mask


def _slices(count: int, step: int) -> Iterator[slice]:
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))
