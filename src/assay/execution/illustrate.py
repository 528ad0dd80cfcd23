"""The pictures of a finished study: every environment, and pairs with what each recipe made of them."""

from __future__ import annotations

from collections.abc import Mapping

from assay.execution.gather import KEY_FIELDS, Gathered
from assay.execution.pictures import Gallery
from assay.execution.preview import distinct_environments
from assay.shifts.population import Population
from assay.store.files import Row

PAIR_LOGIT = "pair-logit"


def illustrate(gathered: Gathered, population: Population) -> list[Row]:
    """Write the sheets and pairs to `pictures/` and return their rows."""
    gallery = Gallery(gathered.folder.root / "pictures", population.scale)
    spec = gathered.plan.spec
    rows = [gallery.sheet(environment, name) for name, _, environment in distinct_environments(spec.points, population)]
    scene = population.scene(spec.points[0].tests, 0)
    for factor in scene.changeable():
        rows += gallery.pairs(scene, factor, pair_logits(gathered, factor))
    return rows


def pair_logits(gathered: Gathered, factor: str) -> dict[str, Mapping[int, tuple[float, float]]]:
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
