"""The pictures of a finished study: every environment, and pairs with what each recipe made of them."""

from __future__ import annotations

from collections.abc import Mapping

from assay.core.spec import RecipePoint
from assay.execution.gather import KEY_FIELDS, Gathered
from assay.execution.pictures import Gallery
from assay.execution.preview import distinct_environments
from assay.shifts.neutral import NEUTRAL
from assay.shifts.population import NamedScene, Population
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
    for factor in _scene(gathered, population, spec.points[0]).changeable():
        logits = pair_logits(gathered, factor)
        point = next((point for point in spec.points if point.label in logits), spec.points[0])
        scene = _scene(gathered, population, point)
        rows += gallery.pairs(scene, factor, _same_pairs(logits, scene, gathered, population))
    return rows


def _scene(gathered: Gathered, population: Population, point: RecipePoint) -> NamedScene:
    return population.scene(point.tests, gathered.plan.spec.first_seed)


def _same_pairs(logits: Logits, scene: NamedScene, gathered: Gathered, population: Population) -> Logits:
    """The logits of recipes that were shown the very images of this scene's pairs."""
    points = {point.label: point for point in gathered.plan.spec.points}
    shown = scene.identity(NEUTRAL)
    return {
        recipe: by_row
        for recipe, by_row in logits.items()
        if _scene(gathered, population, points[recipe]).identity(NEUTRAL) == shown
    }


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
