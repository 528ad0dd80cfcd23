"""Changes to pixels: parameters are drawn per row first, then applied deterministically, and kept.

A row's parameters depend on (seed, name of the intervention, name of the parameter, row) alone, and its pixels on its
parameters and its own image alone: neither on the batch nor on the neighbours. So the pair with and without the change
is always to be had, on any device.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from assay.core.seeds import row_seed, row_uniform
from assay.core.types import Factor
from assay.data.dataset import Images

Parameters = Mapping[str, Tensor]
"""Parameter name -> float64 or int64 [n], one value per row."""


@dataclass(frozen=True, slots=True)
class Draws:
    """The only randomness that an intervention has: named numbers per row.

    rows: int64 [n], the images' numbers within their dataset.
    """

    seed: int
    name: str
    rows: Int[np.ndarray, "n"]

    def uniform(self, parameter: str) -> Float[Tensor, "n"]:
        """One number in [0, 1) per row, float64."""
        return torch.as_tensor(row_uniform(self.seed, f"{self.name}:{parameter}", self.rows))

    def seeds(self, parameter: str) -> Int[Tensor, "n"]:
        """One 32-bit seed per row, int64, for a generator that is keyed by row and pixel."""
        return torch.as_tensor(row_seed(self.seed, f"{self.name}:{parameter}", self.rows))


@runtime_checkable
class Intervention(Protocol):
    """A registered change to pixels. Built with its checked arguments; holds no other state.

    `shape` is (channels, height, width) of one image.
    """

    def check(self, shape: tuple[int, int, int]) -> None:
        """Raises SpecError when images of this shape cannot carry it."""
        ...

    def draw(self, draws: Draws, shape: tuple[int, int, int]) -> dict[str, Tensor]:
        """Parameters for every row of `draws`, float64 or int64 [n]; drawn for unmarked rows too."""
        ...

    def apply(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The changed images, float32 in [0, 1]; `images` itself stays as it is."""
        ...

    def mask(self, parameters: Parameters, shape: tuple[int, int, int]) -> Bool[Tensor, "b 1 h w"]:
        """Every pixel that may differ; all of them for a diffuse change."""
        ...


@dataclass(frozen=True)
class Drawn:
    """An intervention with its parameters drawn, and the rows that get it.

    marked: bool [n]. Position i is row i of the environment's table.
    """

    name: str
    intervention: Intervention
    parameters: Parameters
    marked: Bool[np.ndarray, "n"]
    shape: tuple[int, int, int]

    def apply(self, images: Float[Tensor, "b c h w"], index: Int[np.ndarray, "b"]) -> Float[Tensor, "b c h w"]:
        """Images at these positions, changed where the row is marked; the very same tensor when none is."""
        chosen = np.flatnonzero(self.marked[index])
        if not len(chosen):
            return images
        if len(chosen) == len(images):
            return self.intervention.apply(images, self._at(index, images.device))
        at = torch.as_tensor(chosen).to(images.device)
        changed = self.intervention.apply(images.index_select(0, at), self._at(index[chosen], images.device))
        out = images.clone()
        for run in np.split(np.arange(len(chosen)), np.flatnonzero(np.diff(chosen) != 1) + 1):
            out[chosen[run[0]] : chosen[run[-1]] + 1] = changed[run[0] : run[-1] + 1]
        return out

    def mask(self, index: Int[np.ndarray, "b"]) -> Bool[Tensor, "b 1 h w"]:
        """Where each of these images may differ from what it was; nowhere for an unmarked row."""
        where = self.intervention.mask(self._at(index, torch.device("cpu")), self.shape)
        return where & torch.as_tensor(self.marked[index])[:, None, None, None]

    def on(self, marked: bool) -> Drawn:
        """The same drawn parameters with every row marked, or none: the two ends of a counterfactual pair."""
        return replace(self, marked=np.full(len(self.marked), marked))

    @property
    def factor(self) -> Factor:
        """The column that it leaves in the factor table."""
        return mark_factor(self.name)

    def _at(self, index: np.ndarray, device: torch.device) -> Parameters:
        at = torch.as_tensor(np.asarray(index, dtype=np.int64))
        return {name: values[at].to(device) for name, values in self.parameters.items()}


def mark_factor(name: str) -> Factor:
    """The factor of an intervention: 0 without, 1 with."""
    return Factor(name, "categorical", "associated", levels=("without", "with"), high=("with",))


def draw(
    name: str,
    intervention: Intervention,
    marked: Bool[np.ndarray, "n"],
    rows: Int[np.ndarray, "n"],
    seed: int,
    shape: tuple[int, int, int],
) -> Drawn:
    """Draw an intervention's parameters for all rows. Raises SpecError when images of this shape cannot carry it."""
    intervention.check(shape)
    return Drawn(name, intervention, intervention.draw(Draws(seed, name, rows), shape), marked, shape)


@dataclass(frozen=True)
class ChangedImages:
    """Images with interventions applied on reading, one after another."""

    images: Images
    changes: Sequence[Drawn]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return self.images.shape

    def __len__(self) -> int:
        return len(self.images)

    def read(self, index: np.ndarray) -> Float[Tensor, "n c h w"]:
        """Float32 images in [0, 1] at these positions, in this order, on the CPU."""
        out = self.images.read(index)
        for change in self.changes:
            out = change.apply(out, index)
        return out
