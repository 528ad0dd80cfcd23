"""The radiology-like phantom: other tasks on the chest and nodule phantoms, as classes of a source to pretrain on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from assay.core.types import Factor
from assay.data.catalogue import FINDINGS, TASKS, Anatomy, Task, radiology_factors
from assay.data.dataset import Card, Phantom, PixelScale, Rendered
from assay.data.phantoms.base import Halves, check_difficulty, check_size, check_values, quantile_of
from assay.data.phantoms.chest import ChestPhantom
from assay.data.phantoms.nodule import NodulePhantom
from assay.data.phantoms.noise import uniforms

_SMALLEST = {"both": 64, "chest": 64, "ct": 32}
_LARGEST = 256
_HELD = {"mass": 0.0, "margin": 0.0}
"""Factors that studies ask for, as shares of their marginals: no mass, no spicules."""


class RadiologyPhantom:
    """Chest radiographs without a mass and CT patches with smooth nodules, 64 to 256 px (32 to 256 for CT alone).

    anatomy: `chest` (30 classes: diffuse finding x age x habitus), `ct` (30: texture x vessel x size), or `both`.

    All else about an image follows from its nuisance seed: the other factors of the phantom that draws it too. Masks
    are empty: the classes are of whole images.
    """

    def __init__(self, *, anatomy: Anatomy = "both") -> None:
        self._anatomy: Anatomy = anatomy
        self._factors = radiology_factors(anatomy)
        self._kinds = Halves(len(TASKS[anatomy]))
        self._chests = {name: ChestPhantom(**arguments) for name, arguments in FINDINGS.items()}
        self._nodule = NodulePhantom()

    @property
    def factors(self) -> tuple[Factor, ...]:
        """The kind alone."""
        return self._factors

    @property
    def card(self) -> Card:
        """What the phantom is and is not."""
        return Card(
            name="radiology-like phantom",
            summary="chest radiographs without a mass and CT patches with smooth nodules, as classes of a source",
            licence="Apache-2.0",
            source="drawn by Assay",
            known_faults=(
                "the anatomy is that of the phantoms which studies are made of: only the tasks differ",
                "findings are diffuse changes of vessels, lung texture and bone: no focal disease but the nodule",
            ),
        )

    def scale(self, size: int) -> PixelScale:
        """Grey levels without a unit: images of two fields and two windows."""
        check_size(size, _SMALLEST[self._anatomy], _LARGEST)
        return PixelScale()

    def quantile(self, factor: str, u: Float[np.ndarray, "n"]) -> np.ndarray:
        """Codes of the kind at probabilities u in [0, 1). Raises DataError."""
        return quantile_of({"kind": self._kinds}, factor, u)

    def groups(self) -> Mapping[str, tuple[str, ...]]:
        """One factor, one input."""
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

        difficulty: 0 shows every kind as the first one of the same seed, 1 (where not given) as it is, up to 3 beyond.
        Raises SpecError for a wrong size or difficulty, DataError for wrong values.
        """
        check_size(size, _SMALLEST[self._anatomy], _LARGEST)
        check_difficulty(self._factors, difficulty)
        kind = check_values(self._factors, values, nuisance)["kind"]
        images = self._draw(kind, nuisance, size, device)
        fade = difficulty.get("kind", 1.0)
        if fade != 1:
            first = self._draw(np.zeros_like(kind), nuisance, size, device)
            images = (first + (images - first) * fade).clamp_(0, 1)
        return Rendered(images, torch.zeros(images.shape, dtype=torch.bool, device=device))

    def _draw(
        self, kind: Int[np.ndarray, "n"], nuisance: Int[np.ndarray, "n"], size: int, device: str
    ) -> Float[Tensor, "n 1 size size"]:
        tasks = TASKS[self._anatomy]
        images = torch.empty(len(kind), 1, size, size, device=device)
        drawn_by = np.array([_phantom_of(task) for task in tasks])[kind] if len(kind) else np.array([], dtype=str)
        for name in np.unique(drawn_by):
            rows = np.flatnonzero(drawn_by == name)
            phantom = self._chests.get(str(name), self._nodule)
            given = _values(phantom, tasks, kind[rows], nuisance[rows])
            images[torch.as_tensor(rows, device=device)] = phantom.render(
                given, nuisance[rows], size, {}, device
            ).images
        return images


def _phantom_of(task: Task) -> str:
    """What tells the phantoms apart: the finding, or CT."""
    return task.finding or task.phantom


def _values(
    phantom: Phantom, tasks: tuple[Task, ...], kind: Int[np.ndarray, "m"], nuisance: Int[np.ndarray, "m"]
) -> dict[str, np.ndarray]:
    """Every factor of the phantom: within what the class says, held, or from all of its marginal, by seed."""
    given: dict[str, np.ndarray] = {}
    for factor in phantom.factors:
        held = _HELD.get(factor.name)
        whole = (0.0, 1.0) if held is None else (held, held)
        ends = np.array([task.within.get(factor.name, whole) for task in tasks])[kind]
        u = uniforms(nuisance, f"radiology-{factor.name}", 1)[:, 0]
        share = ends[:, 0] + (ends[:, 1] - ends[:, 0]) * u
        given[factor.name] = phantom.quantile(factor.name, np.minimum(share, np.nextafter(ends[:, 1], 0.0)).clip(0))
    return given
