"""What a study will look at, before a second of training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from assay.core.spec import RecipePoint, StudySpec
from assay.execution.pictures import Gallery
from assay.shifts.association import also_achieved
from assay.shifts.environment import Achieved, Environment
from assay.shifts.neutral import Tests
from assay.shifts.population import Population
from assay.store.files import Row


@dataclass(frozen=True)
class Preview:
    """Pictures and tables of a study's environments. environments: name -> what it holds and what was achieved."""

    pictures: tuple[Row, ...]
    environments: tuple[tuple[str, int, tuple[Achieved, ...]], ...]


def make_preview(spec: StudySpec, population: Population, folder: Path) -> Preview:
    """Draw every environment of the study, the training ones as the first seed sees them.

    Pictures go to `folder`. Raises as the run would when an association cannot be had.
    """
    gallery = Gallery(folder, population.scale)
    environments = distinct_environments(spec.points, population, spec.first_seed)
    pictures = [gallery.sheet(environment, name) for name, _, environment in environments]
    point = spec.points[0]
    scene = population.scene(point.tests, spec.first_seed)
    for factor in scene.changeable():
        pictures += gallery.pairs(scene, factor, {})
    facts = tuple((name, len(environment), environment.achieved) for name, _, environment in environments)
    return Preview(tuple(pictures), facts)


def distinct_environments(
    points: Sequence[RecipePoint], population: Population, seed: int
) -> list[tuple[str, str, Environment]]:
    """Every training and test environment of the grid once: (name, recipe, environment).

    Where one name means several environments along an axis, the first recipe that has each is named, and the name says
    which; else the recipe is empty. Environments are those of this seed and the first fold.
    """
    wanted: dict[str, tuple[str, RecipePoint]] = {}
    for point in points:
        for name, environment in {"train": point.train, **point.tests}.items():
            wanted.setdefault(f"{name} {environment.model_dump_json()}", (name, point))
    names = [name for name, _ in wanted.values()]
    found: list[tuple[str, str, Environment]] = []
    for name, point in wanted.values():
        several = names.count(name) > 1
        scene = population.scene(point.tests, seed)
        made = population.training(point.train, seed)[0] if name == "train" else scene.environment(name)
        made = also_achieved(made, Tests(point.tests).ties)
        found.append((f"{name} ({point.label})" if several else name, point.label if several else "", made))
    return found
