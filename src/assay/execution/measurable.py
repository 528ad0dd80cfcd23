"""Whether the images of an environment can define what a contrast compares in it, before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from assay.core.errors import SpecError
from assay.core.factors import LESION
from assay.core.measures import ON, Among
from assay.core.spec import RecipePoint, StudySpec
from assay.shifts.population import Population

_NEEDED: Mapping[Among, tuple[str, str]] = {
    "both": ("images of two classes", "all there are of class '{only}'"),
    "lesions": ("images with a lesion", "none there has one"),
    "no lesions": ("images without a lesion", "all there have one"),
}


def check_measurable(spec: StudySpec, population: Population) -> None:
    """Raises SpecError for the first stated contrast whose environment has no image of a class that it needs, in any
    fold of the first seed. Which images show a lesion is known where that is the target.
    """
    point, found = spec.points[0], dict[str, tuple[int, ...]]()
    for stated in spec.contrasts:
        among, name = ON.get(stated.measure), stated.environment
        unknown = among != "both" and population.classes != LESION.levels
        if among is None or unknown or name not in point.tests:
            continue
        if name not in found:
            found[name] = _classes_in(population, point, name, spec.first_seed)
        there = found[name]
        enough: Mapping[Among, bool] = {"both": len(there) > 1, "lesions": max(there) > 0, "no lesions": 0 in there}
        if not enough[among]:
            needed, missing = _NEEDED[among]
            raise SpecError(
                f"contrasts in environment '{name}': '{stated.measure}' needs {needed}, and "
                f"{missing.format(only=population.classes[there[0]])}; compare it in another environment, or another "
                "measure in this one"
            )


def _classes_in(population: Population, point: RecipePoint, name: str, seed: int) -> tuple[int, ...]:
    """The codes of the classes tested in an environment."""
    tables = [population.scene(point.tests, seed, fold).environment(name).table for fold in range(population.folds)]
    return tuple(sorted({int(code) for table in tables for code in np.unique(table.target)}))
