"""What a study will look at, before a second of training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from assay.core.spec import RecipePoint, StudySpec
from assay.execution.pictures import Gallery
from assay.shifts.environment import Achieved, Environment
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
    environments = distinct_environments(spec.points, population)
    pictures = [gallery.sheet(environment, name) for name, environment in environments]
    point = spec.points[0]
    scene = population.scene(point.tests, 0)
    for factor in scene.changeable():
        pictures += gallery.pairs(scene, factor, {})
    facts = tuple((name, len(environment), environment.achieved) for name, environment in environments)
    return Preview(tuple(pictures), facts)


def distinct_environments(points: Sequence[RecipePoint], population: Population) -> list[tuple[str, Environment]]:
    """Every training and test environment of the grid once, named with the coordinates where one name means several."""
    found: list[tuple[str, Environment]] = []
    seen: set[str] = set()
    for point in points:
        specs = {"train": point.train, **point.tests}
        scene = population.scene(point.tests, 0)
        for name, environment in specs.items():
            key = f"{name} {environment.model_dump_json()}"
            if key in seen:
                continue
            seen.add(key)
            named = name if not any(name == other for other, _ in found) else f"{name} ({point.label})"
            made = population.training(environment, 0)[0] if name == "train" else scene.environment(name)
            found.append((named, made))
    return found
