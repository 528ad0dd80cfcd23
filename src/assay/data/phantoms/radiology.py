"""The radiology-like phantom: other tasks on the chest and nodule phantoms, as classes of a source to pretrain on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from types import MappingProxyType
from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from assay.core.registry import component
from assay.core.types import Factor
from assay.data.dataset import Phantom, Rendered
from assay.data.phantoms.base import DrawnPhantom, PhantomDesign, PhantomRows, drawn_by_assay
from assay.data.phantoms.chest import ChestPhantom
from assay.data.phantoms.drawing import Grid
from assay.data.phantoms.nodule import NodulePhantom
from assay.data.phantoms.noise import uniforms

# The classes of the radiology-like phantom: tasks on chest radiographs and on CT patches.
#
# None of them is what studies on these phantoms ask for: no chest holds a mass, no nodule has a spiculated margin.
# Neither are sex, view and scanner among them, which studies tie to a target: they vary freely within every class.

Anatomy = Literal["both", "chest", "ct"]

FINDINGS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "clear": {},
        "congested": {"vessels": 2.0},
        "oligaemic": {"vessels": 0.2},
        "interstitial": {"texture": 2.2},
        "osteopenic": {"bones": 0.35},
    }
)
"""Diffuse findings of a chest, as arguments of the chest phantom."""
AGES = {"young": (0.0, 0.3), "middle": (0.35, 0.65), "old": (0.7, 1.0)}
HABITUS = {"slender": (0.0, 0.45), "heavy": (0.55, 1.0)}
TEXTURES = {"solid": (0.0, 0.5), "part-solid": (0.5, 0.75), "ground-glass": (0.75, 1.0)}
VESSELS = {"free": (0.0, 0.5), "fed": (0.5, 1.0)}
SIZES = 5


@dataclass(frozen=True, slots=True)
class Task:
    """A class.

    Attributes:
        phantom: The phantom that draws it.
        finding: Of a chest.
        within: Factor -> the part of its marginal, as shares.
    """

    phantom: Literal["chest", "ct"]
    name: str
    finding: str = ""
    within: Mapping[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])


def _chest() -> tuple[Task, ...]:
    return tuple(
        Task("chest", f"chest-{finding}-{age}-{habitus}", finding, {"age": AGES[age], "habitus": HABITUS[habitus]})
        for finding, age, habitus in product(FINDINGS, AGES, HABITUS)
    )


def _ct() -> tuple[Task, ...]:
    return tuple(
        Task(
            "ct",
            f"ct-{texture}-{vessel}-{size + 1}",
            within={
                "texture": TEXTURES[texture],
                "vessel": VESSELS[vessel],
                "size": (size / SIZES, (size + 1) / SIZES),
            },
        )
        for texture, vessel, size in product(TEXTURES, VESSELS, range(SIZES))
    )


TASKS: Mapping[Anatomy, tuple[Task, ...]] = MappingProxyType(
    {"both": (*_chest(), *_ct()), "chest": _chest(), "ct": _ct()}
)
"""The classes by what is shown: thirty of the chest, thirty of CT, or all sixty."""


def radiology_factors(anatomy: Anatomy) -> tuple[Factor, ...]:
    """The phantom's one factor."""
    levels = tuple(task.name for task in TASKS[anatomy])
    high = levels[len(levels) // 2 :]
    return (
        Factor("kind", "categorical", "core", levels=levels, high=high, description="finding, build and age; nodule"),
    )


_HELD = {"mass": 0.0, "margin": 0.0}
"""Factors that studies ask for, as shares of their marginals: no mass, no spicules."""


@component(
    "phantom",
    "radiology",
    summary="chest radiographs without a mass and CT patches with smooth nodules, 64 to 256 px, of up to 60 classes",
)
class RadiologyPhantom(DrawnPhantom[PhantomRows]):
    """Chest radiographs without a mass and CT patches with smooth nodules, 64 to 256 px (32 to 256 for CT alone).

    anatomy: `chest` (30 classes: diffuse finding x age x habitus), `ct` (30: texture x vessel x size), or `both`.

    All else about an image follows from its nuisance seed: the other factors of the phantom that draws it too. Masks
    are empty: the classes are of whole images. Less difficulty fades every kind toward the first one of the same seed.
    """

    def __init__(
        self,
        *,
        anatomy: Annotated[
            Anatomy, Field(description="chest radiographs, ct patches, or both: 30, 30 or 60 classes")
        ] = "both",
    ) -> None:
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
        drawn_by = np.array([task.finding or task.phantom for task in tasks])[kind]
        for name in np.unique(drawn_by):
            rows = np.flatnonzero(drawn_by == name)
            phantom = self._chests.get(str(name), self._nodule)
            given = _values(phantom, tasks, kind[rows], nuisance[rows])
            drawn = phantom.render(given, nuisance[rows], grid.size, {}, grid.device)
            images[torch.as_tensor(rows, device=grid.device)] = drawn.images
        return images


def _values(
    phantom: Phantom, tasks: tuple[Task, ...], kind: Int[np.ndarray, "m"], nuisance: Int[np.ndarray, "m"]
) -> dict[str, np.ndarray]:
    """Draw every factor of the phantom by seed: within the class's range, held, or from all of its marginal."""
    given: dict[str, np.ndarray] = {}
    for factor in phantom.factors:
        held = _HELD.get(factor.name)
        whole = (0.0, 1.0) if held is None else (held, held)
        ends = np.array([task.within.get(factor.name, whole) for task in tasks])[kind]
        u = uniforms(nuisance, f"radiology-{factor.name}", 1)[:, 0]
        share = ends[:, 0] + (ends[:, 1] - ends[:, 0]) * u
        given[factor.name] = phantom.quantile(factor.name, np.minimum(share, np.nextafter(ends[:, 1], 0.0)).clip(0))
    return given
