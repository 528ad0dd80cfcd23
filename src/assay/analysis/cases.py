"""Choose single test images by condition and outcome: surely wrong, divided between recipes, surely right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from assay.analysis.pictures import Gallery
from assay.analysis.results import Gathered
from assay.shifts.environment import Environment
from assay.shifts.population import Population
from assay.spec.schema import RecipePoint, StudySpec
from assay.stats.panel import Panel
from assay.store.files import Row

MOST_PLACES = 4
"""Test conditions with images, those of primary comparisons first."""
FEWEST, OF_EACH = 24, 5
"""Images of a study, if it has as many; of each outcome in a condition, or more where there are few conditions."""


def case_rows(gathered: Gathered, population: Population, gallery: Gallery) -> list[Row]:
    """Draw single images of a classification, by the mean of recipes and seeds; none where no outputs were kept.

    Images are those of the first seed's first fold. Recipes differ on the compared axis alone.
    """
    spec = gathered.plan.spec
    points = [point for point in _beside(spec) if gathered.kept_seeds(point)]
    if spec.task != "classification" or not points:
        return []
    scene = population.scene(points[0].tests, gathered.kept_seeds(points[0])[0])
    asked = [stated.environment for stated in spec.contrasts]
    rows: list[Row] = []
    places = sorted(scene.names, key=lambda one: one not in asked)[:MOST_PLACES]
    for name in places:
        environment = scene.environment(name)
        panels = [panel for point in points if (panel := gathered.panel(point, name)) is not None]
        each = [found for panel in panels if (found := _probabilities(panel, len(environment))) is not None]
        if each:
            count = max(OF_EACH, FEWEST // (3 * len(places)))
            rows += _drawn(each, environment, name, gallery, count, made=population.dataset is None)
    return rows


def _beside(spec: StudySpec) -> list[RecipePoint]:
    """Return the recipes that differ on the axis compared first and in nothing else, the most there are."""
    axis = spec.contrasts[0].axis if spec.contrasts else next(iter(spec.axes), "")
    others = [tuple(item for item in point.coordinates.items() if item[0] != axis) for point in spec.points]
    held = Counter(reversed(others)).most_common(1)[0][0]
    return [point for point, own in zip(spec.points, others, strict=True) if own == held]


def _probabilities(panel: Panel, images: int) -> tuple[Float[np.ndarray, "n k"], Int[np.ndarray, " n"]] | None:
    """Return the probability of each class, from the mean logits of seeds, and the truth.

    Rows are in the order of their numbers. None where the first seed's first fold has other images.
    """
    mine = np.ones(len(panel.target), dtype=bool) if panel.tested is None else panel.tested[0]
    mine = mine if panel.fold is None else mine & (panel.fold[0] == 0)
    if mine.sum() != images:
        return None
    logits = np.nanmean(panel.scores[:, mine], axis=0)
    if logits.shape[1] == 1:
        positive: Float[np.ndarray, "n 1"] = 1 / (1 + np.exp(-logits))
        return np.concatenate([1 - positive, positive], axis=1), panel.target[mine]
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True), panel.target[mine]


def _drawn(
    each: Sequence[tuple[np.ndarray, np.ndarray]],
    environment: Environment,
    name: str,
    gallery: Gallery,
    count: int,
    *,
    made: bool,
) -> Iterator[Row]:
    probabilities: Float[np.ndarray, "n k"] = np.mean([own for own, _ in each], axis=0)
    target = each[0][1]
    every = np.arange(len(target))
    true = probabilities[every, target]
    called = probabilities.argmax(axis=1)
    apart = np.ptp([own[every, target] for own, _ in each], axis=0)
    place, classes = np.argsort(environment.table.row, kind="stable"), environment.table.classes
    taken: set[int] = set()
    facts: dict[str, Any]
    for outcome, score, among in (
        ("wrong", true, called != target),
        ("divided", -apart, apart > 0),
        ("right", -true, called == target),
    ):
        order = np.flatnonzero(among)[np.argsort(score[among], kind="stable")]
        for position in [one for one in order.tolist() if one not in taken][:count]:
            taken.add(position)
            facts = {
                "outcome": outcome,
                "truth": classes[target[position]],
                "called": classes[called[position]],
                "probability": float(probabilities[position, called[position]]),
                "made": made,
            }
            yield gallery.case(environment, int(place[position]), facts, f"{name}-{outcome}-{len(taken)}", name)
