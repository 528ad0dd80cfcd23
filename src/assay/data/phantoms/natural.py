"""The natural-like phantom: grey pictures of named laws that have the statistics of natural images and no anatomy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from assay.core.types import Factor
from assay.data.dataset import Card, PixelScale, Rendered
from assay.data.phantoms.canvas import Grid, column
from assay.data.phantoms.counter import spread, uniforms
from assay.data.phantoms.exact import direction
from assay.data.phantoms.fractal import draw_fractal
from assay.data.phantoms.leaves import draw_leaves, ink
from assay.data.phantoms.marginals import Halves, Marginal, Uniform, quantile_of
from assay.data.phantoms.natural_kinds import LAWS, Law, natural_factors
from assay.data.phantoms.natural_noise import draw_noise, power_field
from assay.data.phantoms.request import check_difficulty, check_size, check_values

_SMALLEST, _LARGEST = 32, 256
_PIXELS = {"cpu": 64 * 64 * 16}  # pixels drawn at once: what fits a core's cache
_PIXELS_ELSEWHERE = 2**24
_MIDDLE = {"scale": 1.0, "contrast": 0.7, "illumination": 0.0}
_LIMITS = {"scale": (0.7, 1.4), "contrast": (0.0, 1.6), "illumination": (0.0, 3.0)}


class NaturalPhantom:
    """Grey pictures, 32 to 256 px, of `classes` kinds: dead leaves, noise of power-law spectra, fractals.

    classes: how many kinds; families take turns, so that every number holds all three from 3 on.

    There is no lesion: masks are empty. Place, turn and arrangement follow from the nuisance seed.
    """

    def __init__(self, *, classes: int = 60) -> None:
        self._factors = natural_factors(classes)
        self._marginals: dict[str, Marginal] = {
            "kind": Halves(classes),
            "scale": Uniform(0.7, 1.4),
            "contrast": Uniform(0.4, 1.0),
            "illumination": Uniform(0.0, 1.0),
        }

    @property
    def factors(self) -> tuple[Factor, ...]:
        """The kind, and how it is seen."""
        return self._factors

    @property
    def card(self) -> Card:
        """What the phantom is and is not."""
        return Card(
            name="natural-like phantom",
            summary="dead leaves, noise of power-law spectra and fractals, as classes of a source to pretrain on",
            licence="Apache-2.0",
            source="drawn by Assay",
            known_faults=(
                "spectra and occlusion are those of natural images; there are no objects, no colour, no depth",
                "a class is a law and not a category that anyone would name",
            ),
        )

    def scale(self, size: int) -> PixelScale:
        """Grey levels without a unit, of scenes without a size."""
        check_size(size, _SMALLEST, _LARGEST)
        return PixelScale()

    def quantile(self, factor: str, u: Float[np.ndarray, "n"]) -> np.ndarray:
        """Values at probabilities u in [0, 1); codes for the kind. Raises DataError."""
        return quantile_of(self._marginals, factor, u)

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
        """Images [n, 1, size, size] and empty masks.

        difficulty: per factor 0 (no trace of it in the pixels) to 3; 1 where not given. A kind is faded towards what
        the first kind shows for the same seed. Raises SpecError for a wrong size or difficulty, DataError for wrong
        values.
        """
        check_size(size, _SMALLEST, _LARGEST)
        check_difficulty(self._factors, difficulty)
        checked = check_values(self._factors, values, nuisance)
        seen = {name: _visible(name, checked[name], difficulty.get(name, 1.0)) for name in _MIDDLE}
        grid = Grid(size, 1.0, device)
        images = torch.empty(len(nuisance), 1, size, size, device=device)
        step = max(1, _PIXELS.get(device, _PIXELS_ELSEWHERE) // size**2)
        for rows in _together(checked["kind"], step):
            here = {name: column_[rows] for name, column_ in seen.items()}
            picture = _scene(LAWS[checked["kind"][rows[0]]], here["scale"], nuisance[rows], grid)
            fade = difficulty.get("kind", 1.0)
            if fade != 1:
                first = _scene(LAWS[0], here["scale"], nuisance[rows], grid)
                picture = first + (picture - first) * fade
            images[torch.as_tensor(rows, device=device), 0] = _exposed(picture, here, nuisance[rows], grid)
        return Rendered(images, torch.zeros(images.shape, dtype=torch.bool, device=device))


def _together(kind: Int[np.ndarray, "n"], step: int) -> Iterator[Int[np.ndarray, "m"]]:
    """Rows of one kind at a time, at most `step` of them."""
    for each in np.unique(kind):
        rows = np.flatnonzero(kind == each)
        for start in range(0, len(rows), step):
            yield rows[start : start + step]


def _visible(name: str, values: Float[np.ndarray, "n"], difficulty: float) -> Float[np.ndarray, "n"]:
    """Deviations from the middle, scaled, within what can be drawn."""
    low, high = _LIMITS[name]
    return np.clip(_MIDDLE[name] + (values - _MIDDLE[name]) * difficulty, low, high)


def _scene(
    law: Law, scale: Float[np.ndarray, "n"], nuisance: Int[np.ndarray, "n"], grid: Grid
) -> Float[Tensor, "n size size"]:
    """Pictures of one law, 0..1, in even light."""
    if law.family == "leaves":
        return draw_leaves(law, scale, nuisance, grid)
    if law.family == "noise":
        return draw_noise(law, scale, nuisance, grid.size, grid.device)
    covered = draw_fractal(law.number, scale, nuisance, grid.size, grid.device)
    ground = power_field(2.0, scale, nuisance, grid.size, grid.device).mul_(0.1).add_(0.5)
    return ground.add_((column(ink(nuisance), grid.device) - ground) * covered).clamp_(0, 1)


def _exposed(
    picture: Float[Tensor, "n size size"],
    seen: Mapping[str, Float[np.ndarray, "n"]],
    nuisance: Int[np.ndarray, "n"],
    grid: Grid,
) -> Float[Tensor, "n size size"]:
    """The picture through a lens that softens a little, in light that falls off towards one side."""
    side = column(spread(nuisance, "lens", 0.05, 0.2)[:, 0], grid.device)
    blurred = _softened(_softened(picture, side, 1), side, 2)
    x, y = grid.axes()
    cosine, sine = direction(uniforms(nuisance, "light", 1)[:, 0])
    strength = seen["illumination"]
    light = x * column(cosine * strength, grid.device) + y * column(sine * strength, grid.device)
    grey = blurred.sub_(0.5).mul_(column(seen["contrast"], grid.device)).add_(0.5)
    return grey.mul_(light.add_(1)).clamp_(0, 1)


def _softened(picture: Float[Tensor, "n a b"], side: Float[Tensor, "n 1 1"], axis: int) -> Float[Tensor, "n a b"]:
    """The mean of each pixel and its two neighbours on this axis with weights 1 - 2 side and side; edges repeat."""
    last = picture.shape[axis] - 1
    before = torch.cat([picture.narrow(axis, 0, 1), picture.narrow(axis, 0, last)], dim=axis)
    after = torch.cat([picture.narrow(axis, 1, last), picture.narrow(axis, last, 1)], dim=axis)
    return before.add_(after).mul_(side).add_(picture * (1 - 2 * side))
