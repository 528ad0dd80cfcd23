"""The chest phantom: a frontal radiograph of known sex, age, view and scanner, with a mass in a lung or without."""

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
from assay.data.phantoms.chest_anatomy import Anatomy, anatomy
from assay.data.phantoms.chest_bones import Bones, bones, skeleton
from assay.data.phantoms.chest_detector import exposed, sharp_edge
from assay.data.phantoms.chest_frame import frame
from assay.data.phantoms.chest_mass import Mass, draw_mass, mass
from assay.data.phantoms.chest_soft import soft_tissue
from assay.data.phantoms.chest_texture import lung_texture
from assay.data.phantoms.chest_vessels import vessels
from assay.data.phantoms.chest_visible import Visible, visible
from assay.data.phantoms.factors import CHEST as FACTORS
from assay.data.phantoms.marginals import Levels, Marginal, Skewed, Uniform, quantile_of
from assay.data.phantoms.request import check_difficulty, check_size, check_values

FIELD = 400.0
"""Millimetres at the detector that an image shows a side, whatever its size in pixels."""

_SMALLEST, _LARGEST = 64, 512
_BLOCK = 1024  # rows whose geometry is held at once
_PIXELS = {"cpu": 64 * 64 * 32}  # pixels drawn at once: what fits a core's cache
_PIXELS_ELSEWHERE = 2**24

MARGINALS: Mapping[str, Marginal] = MappingProxyType(
    {
        "mass": Levels((0.5, 0.5)),
        "size": Skewed(29.0, 67.0),
        "contrast": Uniform(0.2, 0.5),
        "edge": Uniform(0.0, 1.0),
        "side": Levels((0.5, 0.5)),
        "zone": Levels((0.25, 0.375, 0.375)),
        "sex": Levels((0.5, 0.5)),
        "age": Uniform(20.0, 90.0),
        "view": Levels((0.5, 0.5)),
        "scanner": Levels((0.5, 0.5)),
        "habitus": Uniform(0.0, 1.0),
        "exposure": Uniform(-1.0, 1.0),
    }
)


@dataclass(frozen=True, slots=True)
class _Patients:
    """All that is drawn of some images, before there are pixels."""

    seen: Visible
    build: Anatomy
    skeleton: Bones
    vessels: Capsules
    mass: Mass
    blur: Float[np.ndarray, "n"]
    nuisance: Int[np.ndarray, "n"]


class ChestPhantom:
    """Frontal chest radiographs of 400 mm a side, 64 to 512 px, bright where much is absorbed.

    grain: standard deviation of the noise in the mediastinum on the computed scanner, in grey levels of 1.
    vessels: attenuation of hila and vessels, 1 normal, 0 none.
    bones: attenuation of all bone, 1 normal, 0 none.
    texture: strength of the lung's own fine texture, 1 normal, 0 none.

    Attenuations are summed, then turned into grey levels pixel by pixel, noise included: so a mass adds to what lies
    before and behind it, and a change of its factors leaves every pixel that it does not reach the same to the bit.
    """

    def __init__(self, *, grain: float = 0.014, vessels: float = 1.0, bones: float = 1.0, texture: float = 1.0) -> None:
        self._grain = grain
        self._vessels = vessels
        self._bones = bones
        self._texture = texture

    @property
    def factors(self) -> tuple[Factor, ...]:
        """The twelve factors, with range and unit."""
        return FACTORS

    @property
    def card(self) -> Card:
        """What the phantom is and is not."""
        return Card(
            name="chest phantom",
            summary="frontal chest radiographs of known sex, age, view and scanner, with a mass of known place or none",
            licence="Apache-2.0",
            source="drawn by Assay",
            known_faults=(
                "sex, age and view change what they are said to change and nothing else; real ones differ in more ways",
                "no other disease, no tubes, wires, markers or collimation: those are interventions",
                "one breath and one stance a patient; no rotation about the body's axis, no scoliosis beyond a bend",
            ),
        )

    def scale(self, size: int) -> PixelScale:
        """Grey levels without a unit; 400 mm over `size` pixels."""
        check_size(size, _SMALLEST, _LARGEST)
        return PixelScale("", 0.0, 1.0, FIELD / size)

    def quantile(self, factor: str, u: Float[np.ndarray, "n"]) -> np.ndarray:
        """Values at probabilities u in [0, 1); codes for factors with levels. Raises DataError."""
        return quantile_of(MARGINALS, factor, u)

    def groups(self) -> Mapping[str, tuple[str, ...]]:
        """Every factor is an input of its own."""
        return {}

    def render(
        self,
        values: Mapping[str, np.ndarray],
        nuisance: Int[np.ndarray, "n"],
        size: int,
        difficulty: Mapping[str, float],
        device: str = "cpu",
    ) -> Rendered:
        """Images [n, 1, size, size] and masks of the mass, empty where there is none.

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
        step = max(1, _PIXELS.get(device, _PIXELS_ELSEWHERE) // size**2)
        for block in _slices(n, _BLOCK):
            seen = visible({k: v[block] for k, v in checked.items()}, difficulty)
            patients = self._patients(seen, nuisance[block], grid)
            for part in _slices(len(patients.nuisance), step):
                at = slice(block.start + part.start, block.start + part.stop)
                images[at, 0], masks[at, 0] = self._draw(take(patients, part), grid)
        return Rendered(images, masks)

    def _patients(self, seen: Visible, nuisance: Int[np.ndarray, "n"], grid: Grid) -> _Patients:
        build = anatomy(seen, nuisance)
        return _Patients(
            seen,
            build,
            bones(seen, build, nuisance, self._bones),
            vessels(seen, build, nuisance, self._vessels),
            mass(seen, build, nuisance),
            sharp_edge(seen, nuisance, grid),
            nuisance,
        )

    def _draw(
        self, patients: _Patients, grid: Grid
    ) -> tuple[Float[Tensor, "n size size"], Bool[Tensor, "n size size"]]:
        at = frame(patients.build, patients.blur, grid)
        soft = soft_tissue(patients.build, at)
        marks, speckle = lung_texture(patients.seen, patients.nuisance, self._texture, grid)
        tubes = grid.blank(len(patients.nuisance))
        draw_capsules(tubes, patients.vessels, patients.blur, grid)
        total = soft.attenuation
        marks.add_(tubes.view(total.shape)).mul_((soft.air * 1.25).clamp_(max=1))
        total.add_(marks).add_(skeleton(patients.skeleton, soft.above, speckle, at))
        mask = draw_mass(total, patients.mass, patients.blur, grid)
        return exposed(total, patients.seen, patients.nuisance, self._grain, grid), mask


def _slices(count: int, step: int) -> Iterator[slice]:
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))
