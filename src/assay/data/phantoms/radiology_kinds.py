"""The classes of the radiology-like phantom: tasks on chest radiographs and on CT patches. Torch-free.

None of them is what studies on these phantoms ask for: no chest holds a mass, no nodule has a spiculated margin.
Neither are sex, view and scanner among them, which studies tie to a target: they vary freely within every class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from types import MappingProxyType
from typing import Literal

from assay.core.types import Factor

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
    """A class. phantom: what draws it. finding: of a chest. within: factor -> the part of its marginal, as shares."""

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
