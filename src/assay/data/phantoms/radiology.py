"""The radiology-like phantom: other tasks on the chest and nodule phantoms, as classes of a source to pretrain on."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from assay.data.catalogue import FINDINGS, TASKS, Anatomy, Task, radiology_factors
from assay.data.dataset import Phantom, Rendered
from assay.data.phantoms.base import DrawnPhantom, PhantomDesign, PhantomRows, drawn_by_assay
from assay.data.phantoms.chest import ChestPhantom
from assay.data.phantoms.drawing import Grid
from assay.data.phantoms.nodule import NodulePhantom
from assay.data.phantoms.noise import uniforms

_HELD = {"mass": 0.0, "margin": 0.0}
"""Factors that studies ask for, as shares of their marginals: no mass, no spicules."""


class RadiologyPhantom(DrawnPhantom[PhantomRows]):
    """Chest radiographs without a mass and CT patches with smooth nodules, 64 to 256 px (32 to 256 for CT alone).

    anatomy: `chest` (30 classes: diffuse finding x age x habitus), `ct` (30: texture x vessel x size), or `both`.

    All else about an image follows from its nuisance seed: the other factors of the phantom that draws it too. Masks
    are empty: the classes are of whole images. Less difficulty fades every kind toward the first one of the same seed.
    """

    def __init__(self, *, anatomy: Anatomy = "both") -> None:
        self._anatomy: Anatomy = anatomy
        self.design = PhantomDesign(
            card=drawn_by_assay(
                "radiology-like phantom",
                "chest radiographs without a mass and CT patches with smooth nodules, as classes of a source",
                "the anatomy is that of the phantoms which studies are made of: only the tasks differ",
                "findings are diffuse changes of vessels, lung texture and bone: no focal disease but the nodule",
            ),
            factors=radiology_factors(anatomy),
            sizes=(32 if anatomy == "ct" else 64, 256),
            pixels=2**24,  # the phantoms that draw divide them further
        )
        self._chests = {name: ChestPhantom(**arguments) for name, arguments in FINDINGS.items()}
        self._nodule = NodulePhantom()

    def plan(self, rows: PhantomRows, grid: Grid) -> PhantomRows:
        """Plan nothing: the phantoms that draw do."""
        return rows

    def draw(self, plan: PhantomRows, grid: Grid) -> Rendered:
        """Draw images and empty masks."""
        kind, fade = plan.values["kind"], plan.difficulty["kind"]
        images = self._images(kind, plan.nuisance, grid)
        if fade != 1:
            first = self._images(np.zeros_like(kind), plan.nuisance, grid)
            images = (first + (images - first) * fade).clamp_(0, 1)
        return Rendered(images, torch.zeros(images.shape, dtype=torch.bool, device=grid.device))

    def _images(
        self, kind: Int[np.ndarray, "n"], nuisance: Int[np.ndarray, "n"], grid: Grid
    ) -> Float[Tensor, "n 1 size size"]:
        tasks = TASKS[self._anatomy]
        images = torch.empty(len(kind), 1, grid.size, grid.size, device=grid.device)
        drawn_by = np.array([_phantom_of(task) for task in tasks])[kind]
        for name in np.unique(drawn_by):
            rows = np.flatnonzero(drawn_by == name)
            phantom = self._chests.get(str(name), self._nodule)
            given = _values(phantom, tasks, kind[rows], nuisance[rows])
            drawn = phantom.render(given, nuisance[rows], grid.size, {}, grid.device)
            images[torch.as_tensor(rows, device=grid.device)] = drawn.images
        return images


def _phantom_of(task: Task) -> str:
    """Name of the phantom that draws a task: the finding, or CT."""
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
