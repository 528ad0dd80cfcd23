"""The pictures of a finished study: every environment, and pairs with what each recipe made of them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from assay.core.spec import RecipePoint, StudySpec
from assay.execution.averaged import OF_ONE_IMAGE
from assay.execution.confounders import Confounder, Looked, confounders
from assay.execution.gather import KEY_FIELDS, Gathered
from assay.execution.heat_maps import heat_map_rows
from assay.execution.outlines import outline_rows
from assay.execution.pictures import Gallery
from assay.execution.preview import distinct_environments, headed
from assay.shifts.neutral import NEUTRAL, Tests
from assay.shifts.population import Population
from assay.store.files import Row

PAIR_LOGIT = "pair-logit"
Logits = Mapping[str, Mapping[int, tuple[float, float]]]
"""Recipe -> row -> the logits with a factor low and high, in units of the recipe's within-class deviation."""


def illustrate(gathered: Gathered, population: Population) -> list[Row]:
    """Write the sheets and pairs to `pictures/` and return their rows.

    Confounders, which a study is about, come before factors. One that no model was asked about has no pairs: its sheet
    shows them.
    """
    spec = gathered.plan.spec
    masks = spec.task == "segmentation"
    gallery = Gallery(gathered.folder.root / "pictures", population.scale, spec.data.target, population.folds, masks)
    environments = distinct_environments(spec.points, population, spec.first_seed)
    heads = headed(environments, spec.points)
    rows = [gallery.sheet(found, name, head) for (name, _, found), head in zip(environments, heads, strict=True)]
    rows += outline_rows(gathered, population, gallery)
    rows += heat_map_rows(gathered, population, gallery)
    looked, changes = Looked.at(spec, population), confounders(spec.points)
    rows += [gallery.contact(number, change, looked) for number, change in enumerate(changes, start=1)]
    drawn = {change.name for change in changes}
    for change in changes:
        logits = pair_logits(gathered, change.name, tested_with(change, spec.points))
        rows += _pairs(gallery, logits, change.name, change.label, spec, population) if logits else []
    for factor in population.scene(spec.points[0].tests, spec.first_seed).changeable():
        if factor not in drawn:
            rows += _pairs(gallery, pair_logits(gathered, factor, spec.points), factor, factor, spec, population)
    return rows


def _pairs(
    gallery: Gallery, logits: Logits, factor: str, called: str, spec: StudySpec, population: Population
) -> list[Row]:
    point = next((point for point in spec.points if point.label in logits), spec.points[0])
    scene = population.scene(point.tests, spec.first_seed)
    return gallery.pairs(scene, factor, same_pairs(logits, factor, point, spec, population), called)


def tested_with(change: Confounder, points: Sequence[RecipePoint]) -> list[RecipePoint]:
    """The recipes whose counterfactuals put on this very confounder."""
    found = ((point, Tests(point.tests).interventions.get(change.name)) for point in points)
    return [point for point, spec in found if spec is not None and spec.component == change.spec.component]


def same_pairs(logits: Logits, factor: str, shown: RecipePoint, spec: StudySpec, population: Population) -> Logits:
    """The logits of recipes whose pairs are the very images of the recipe that is shown."""

    def images(point: RecipePoint) -> Mapping[str, Any]:
        identity = population.scene(point.tests, spec.first_seed).identity(NEUTRAL)
        return {**identity, "changes": identity["changes"].get(factor)}

    points = {point.label: point for point in spec.points}
    wanted = images(shown)
    return {recipe: by_row for recipe, by_row in logits.items() if images(points[recipe]) == wanted}


def pair_logits(gathered: Gathered, factor: str, points: Sequence[RecipePoint]) -> Logits:
    """Recipe -> row -> the logits with the factor low and high, each the mean of the kept seeds that saw the row."""
    found: dict[str, Mapping[int, tuple[float, float]]] = {}
    for point in points:
        ends: dict[int, dict[str, Mapping[int, Row]]] = {}
        for key, by_seed in gathered.scalars[point.label].items():
            named = dict(zip(KEY_FIELDS, key, strict=True))
            if named["measure"] == PAIR_LOGIT and named["factor"] == factor:
                row = int(named["group"].removeprefix(OF_ONE_IMAGE))
                ends.setdefault(row, {})[named["level"]] = by_seed
        means = {row: (_mean(by_end["low"]), _mean(by_end["high"])) for row, by_end in ends.items()}
        defined = {row: both for row, both in means.items() if all(map(math.isfinite, both))}
        if defined:
            found[point.label] = defined
    return found


def _mean(by_seed: Mapping[int, Row]) -> float:
    return statistics.fmean(row["value"] for row in by_seed.values())
