"""The pictures of a finished study: every environment, and pairs with what each recipe made of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assay.core.spec import RecipePoint, StudySpec
from assay.execution.gather import KEY_FIELDS, Gathered
from assay.execution.pictures import Gallery
from assay.execution.preview import distinct_environments
from assay.shifts.neutral import NEUTRAL
from assay.shifts.population import Population
from assay.store.files import Row

PAIR_LOGIT = "pair-logit"
Logits = Mapping[str, Mapping[int, tuple[float, float]]]
"""Recipe -> row -> the logits with a factor low and high."""


def illustrate(gathered: Gathered, population: Population) -> list[Row]:
    """Write the sheets and pairs to `pictures/` and return their rows."""
    gallery = Gallery(gathered.folder.root / "pictures", population.scale, population.folds)
    spec = gathered.plan.spec
    environments = distinct_environments(spec.points, population, spec.first_seed)
    rows = [gallery.sheet(environment, name) for name, _, environment in environments]
    for factor in population.scene(spec.points[0].tests, spec.first_seed).changeable():
        logits = pair_logits(gathered, factor)
        point = next((point for point in spec.points if point.label in logits), spec.points[0])
        scene = population.scene(point.tests, spec.first_seed)
        rows += gallery.pairs(scene, factor, same_pairs(logits, point, spec, population))
    return rows


def same_pairs(logits: Logits, shown: RecipePoint, spec: StudySpec, population: Population) -> Logits:
    """The logits of recipes whose pairs are the very images of the recipe that is shown."""

    def images(point: RecipePoint) -> Mapping[str, Any]:
        return population.scene(point.tests, spec.first_seed).identity(NEUTRAL)

    points = {point.label: point for point in spec.points}
    return {recipe: by_row for recipe, by_row in logits.items() if images(points[recipe]) == images(shown)}


def pair_logits(gathered: Gathered, factor: str) -> Logits:
    """Recipe -> row -> the logits with the factor low and high, as the first kept seed gave them."""
    found: dict[str, Mapping[int, tuple[float, float]]] = {}
    for point in gathered.plan.spec.points:
        ends: dict[int, dict[str, float]] = {}
        for key, by_seed in gathered.scalars[point.label].items():
            named = dict(zip(KEY_FIELDS, key, strict=True))
            if named["measure"] == PAIR_LOGIT and named["factor"] == factor:
                row = int(named["group"].removeprefix("row "))
                ends.setdefault(row, {})[named["level"]] = by_seed[min(by_seed)]["value"]
        if ends:
            found[point.label] = {row: (by_end["low"], by_end["high"]) for row, by_end in ends.items()}
    return found
