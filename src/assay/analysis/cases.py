"""Choose single test images by outcome: surely wrong, divided between recipes, moved by a mark, surely right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from assay.analysis.audit import Scored, ScoredMaps
from assay.analysis.pictures import Gallery
from assay.analysis.results import Gathered
from assay.core.map_grid import MapGrid
from assay.shifts.environment import Environment
from assay.shifts.population import Population
from assay.spec.schema import RecipePoint, StudySpec
from assay.stats.metrics import probabilities
from assay.stats.panel import Panel
from assay.store.files import Row

MOST_PLACES = 4
"""Test conditions with images, those of primary comparisons first."""
FEWEST, OF_EACH = 24, 5
"""Images of a study, if it has as many; of each outcome in a condition, or more where there are few conditions."""
OF_AUDIT = 12
"""Images of each outcome in an audit."""
MISSED = 0.5
"""A Dice below this counts as wrong."""
_HALF = MapGrid().thresholds.index(0.0)

Facts = dict[str, Any]
Outcomes = Sequence[tuple[str, Float[np.ndarray, " n"], Bool[np.ndarray, " n"]]]
"""Outcome, score by which its images are taken, the smallest first, and which images have it."""
Masks = tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"], Float[np.ndarray, " n"]]
"""Dice of each image, NaN without a lesion, and the shares of it that are predicted and true."""


def case_rows(gathered: Gathered, population: Population, gallery: Gallery) -> list[Row]:
    """Draw single images by the mean of recipes and seeds; none where no outputs were kept.

    Images are those of the first seed's first fold. Recipes differ on the compared axis alone.
    """
    spec = gathered.plan.spec
    points = [point for point in beside(spec, spec.points) if gathered.kept_seeds(point)]
    if not points:
        return []
    scene = population.scene(points[0].tests, gathered.kept_seeds(points[0])[0])
    asked = [stated.environment for stated in spec.contrasts]
    rows: list[Row] = []
    places = sorted(scene.names, key=lambda one: one not in asked)[:MOST_PLACES]
    count = max(OF_EACH, FEWEST // (3 * len(places)))
    for name in places:
        environment = scene.environment(name)
        panels = [panel for point in points if (panel := gathered.panel(point, name)) is not None]
        of = _masks if spec.task == "segmentation" else _probabilities
        each: list[Any] = [found for panel in panels if (found := of(panel, len(environment))) is not None]
        if each:
            place, classes = np.argsort(environment.table.row, kind="stable"), environment.table.classes
            judged = of_masks(each) if spec.task == "segmentation" else of_classes(each, classes)
            made: Facts = {"made": population.dataset is None}
            rows += [
                gallery.case({"": (environment, int(place[at]))}, own | made, f"{name}-{own['outcome']}-{at}", name)
                for at, own in taken(*judged, count)
            ]
    return rows


@dataclass(frozen=True)
class Moved:
    """Answers to some images with the mark that leads.

    Attributes:
        mark: Its name.
        scored: The answers.
        images: The images.
        sample: Their positions among those without a mark.
    """

    mark: str
    scored: Scored
    images: Environment
    sample: Int[np.ndarray, " m"]


def audited_cases(clean: Scored, images: Environment, moved: Moved | None, made: bool, gallery: Gallery) -> list[Row]:
    """Draw single images of an audit: the surest of the wrong, those that a mark moves most, the surest of the right.

    Args:
        clean: The answers to images without a mark.
        images: These images.
        moved: The mark that leads, if there is one.
        made: Whether the images are synthetic.
        gallery: Where they are drawn.
    """
    (first, *others), facts = _of_scored(clean)
    if moved is not None:
        apart = np.zeros(len(clean.table))
        apart[moved.sample] = np.abs(moved.scored.scores - clean.take(moved.sample).scores).max(axis=1)
        others = [("moved", -apart, apart > 0), *others]
    rows: list[Row] = []
    for at, own in taken((first, *others), facts, OF_AUDIT):
        shown = {"": (images, at)}
        if moved is not None and own["outcome"] == "moved":
            there = int(np.flatnonzero(moved.sample == at)[0])
            shown[moved.mark] = (moved.images, there)
            own["marked"] = _of_scored(moved.scored)[1](there)
        rows.append(gallery.case(shown, {**own, "made": made}, f"{own['outcome']}-{at}", ""))
    return rows


def _of_scored(scored: Scored) -> tuple[Outcomes, Callable[[int], Facts]]:
    """Return the outcomes of an audited model."""
    if isinstance(scored, ScoredMaps):
        maps = scored.maps
        return of_masks([(scored.dice, maps["predicted"][:, _HALF] / maps["pixels"], maps["truth"] / maps["pixels"])])
    return of_classes([(probabilities(scored.logits), scored.table.target)], scored.table.classes, scored.called)


def taken(outcomes: Outcomes, facts: Callable[[int], Facts], count: int) -> Iterator[tuple[int, Facts]]:
    """Yield position and facts of so many images of each outcome, each image once."""
    seen: set[int] = set()
    for outcome, score, among in outcomes:
        order = np.flatnonzero(among)[np.argsort(score[among], kind="stable")]
        for at in [one for one in order.tolist() if one not in seen][:count]:
            seen.add(at)
            yield at, {"outcome": outcome, **facts(at)}


def of_classes(
    each: Sequence[tuple[Float[np.ndarray, "n k"], Int[np.ndarray, " n"]]],
    classes: Sequence[str],
    called: Int[np.ndarray, " n"] | None = None,
) -> tuple[Outcomes, Callable[[int], Facts]]:
    """Return the outcomes of a classification, from the probabilities of each recipe and the truth.

    Args:
        each: Probabilities and class codes by recipe.
        classes: Names of the classes.
        called: Predicted class codes; by default those of the highest probability.
    """
    mean: Float[np.ndarray, "n k"] = np.mean([own for own, _ in each], axis=0)
    target = each[0][1]
    codes = mean.argmax(axis=1) if called is None else called
    true, right = mean[np.arange(len(target)), target], codes == target
    apart = np.ptp([own[np.arange(len(target)), target] for own, _ in each], axis=0)
    outcomes = (("wrong", true, ~right), ("divided", -apart, apart > 0), ("right", -true, right))

    def facts(at: int) -> Facts:
        code = int(codes[at])
        return {"truth": classes[int(target[at])], "called": classes[code], "probability": float(mean[at, code])}

    return outcomes, facts


def of_masks(
    each: Sequence[Masks],
) -> tuple[Outcomes, Callable[[int], Facts]]:
    """Return the outcomes of a segmentation, from the answers of each recipe."""
    dice, area, lesion = np.mean(each, axis=0)
    free, apart = np.isnan(dice), np.ptp([own for own, *_ in each], axis=0)
    outcomes = (
        ("missed", dice, ~free & (dice < MISSED)),
        ("false-mask", -area, free & (area > 0)),
        ("divided", -apart, ~free & (apart > 0)),
        ("outlined", -dice, ~free),
    )
    return outcomes, lambda at: {
        "dice": None if free[at] else float(dice[at]), "area": float(area[at]), "lesion": float(lesion[at])
    }  # fmt: skip


def beside(spec: StudySpec, points: Sequence[RecipePoint]) -> list[RecipePoint]:
    """Return the recipes that differ on the axis compared first and in nothing else, the most there are."""
    axis = spec.contrasts[0].axis if spec.contrasts else next(iter(spec.axes), "")
    others = [tuple(item for item in point.coordinates.items() if item[0] != axis) for point in points]
    held = [most for most, _ in Counter(reversed(others)).most_common(1)]  # of equal counts the one met last
    return [point for point, own in zip(points, others, strict=True) if own in held]


def _first(panel: Panel, images: int) -> Bool[np.ndarray, " n"] | None:
    """Return the images of the first seed's first fold, in the order of their numbers; None where it has others."""
    mine = np.ones(len(panel.target), dtype=bool) if panel.tested is None else panel.tested[0]
    mine = mine if panel.fold is None else mine & (panel.fold[0] == 0)
    return mine if mine.sum() == images else None


def _probabilities(panel: Panel, images: int) -> tuple[Float[np.ndarray, "n k"], Int[np.ndarray, " n"]] | None:
    """Return the probability of each class, from the mean logits of seeds, and the truth."""
    if (mine := _first(panel, images)) is None:
        return None
    return probabilities(np.nanmean(panel.scores[:, mine], axis=0)), panel.target[mine]


def _masks(panel: Panel, images: int) -> Masks | None:
    """Return the answers of one recipe, means of seeds."""
    if (mine := _first(panel, images)) is None:
        return None
    maps: Mapping[str, np.ndarray] = {name: values[:, mine] for name, values in panel.maps.items()}
    seen = np.ones(maps["truth"].shape, dtype=bool) if panel.tested is None else panel.tested[:, mine]
    truth, predicted = maps["truth"].astype(np.float64), maps["predicted"][..., _HALF]
    dice = np.mean(2 * maps["hit"][..., _HALF] / np.maximum(predicted + truth, 1), axis=0, where=seen)
    area = np.mean(predicted / np.maximum(maps["pixels"], 1), axis=0, where=seen)
    return np.where(truth[0] > 0, dice, np.nan), area, truth[0] / np.maximum(maps["pixels"][0], 1)
