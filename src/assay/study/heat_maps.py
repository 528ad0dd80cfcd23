"""Illustrate results: outlined predictions and heat maps."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage
from torch import nn

from assay.core.map_grid import MapGrid
from assay.core.reasons import Code, reason_of
from assay.core.registry import build
from assay.core.seeds import generator
from assay.execution.jobs import TrainedModel, inputs_of, weights_path
from assay.execution.plan import Trial
from assay.look.checks import DataChecks
from assay.maps.summary import lesion_logits
from assay.probes.attribution import Attribution
from assay.probes.explainers import Explainer
from assay.probes.lesion_maps import LesionImages, LesionSample, choose_images, localization
from assay.probes.reader import eval_mode
from assay.report.outcomes import (
    classification_outcomes,
    mean_masks,
    mean_probabilities,
    segmentation_outcomes,
    select_cases,
)
from assay.report.pictures import TRUE_MASK_COLOR, Facts, PictureWriter, draw_outlines, enlarge, to_colors
from assay.shifts.environment import Environment
from assay.shifts.population import NEUTRAL, Population, TestEnvironments
from assay.spec.schema import RecipePoint, StudySpec
from assay.stats import maps
from assay.stats.panel import SeedPredictions
from assay.stats.rows import KEY_FIELDS
from assay.store.files import Row
from assay.study.confounders import Confounder, ConfounderSample, confounders, distinct_environments, name_environments
from assay.study.gathered import Records
from assay.study.measurements import IMAGE_GROUP_PREFIX

# What recipes outline on the same images: the best, the median, the worst and a random one, with a lesion and without.
#
# Images are ranked by the mean over recipes of what was kept of their maps; few are read again, by the first seed's
# models, to draw the outlines.

MOST_PLACES = 4
"""Test conditions with images, those of primary comparisons first."""
FEWEST, OF_EACH = 24, 5
"""Images of a study, if it has as many; of each outcome in a condition, or more where there are few conditions."""
MOST_RECIPES = 6
"""Recipes that stand side by side."""
PREDICTED = (255, 122, 26)
_HALF = MapGrid().thresholds.index(0.0)


@dataclass(frozen=True)
class Recipe:
    """A recipe, the outputs of its first seed in the environment, and its network."""

    point: RecipePoint
    network: nn.Module


def outline_rows(records: Records, population: Population, gallery: PictureWriter) -> list[Row]:
    """Pictures of every test environment in which maps were kept; none where no weights were."""
    spec = records.plan.spec
    if spec.task != "segmentation":
        return []
    recipes = list(recipes_of(records, population))
    if not recipes:
        return []
    seed = records.kept_seeds(recipes[0].point)[0]
    scene = population.scene(recipes[0].point.tests, seed)
    rows: list[Row] = []
    for name in scene.names:
        environment = scene.environment(name)
        panels = [records.panel(recipe.point, name) for recipe in recipes]
        with_maps = [panel for panel in panels if panel is not None and panel.maps]
        if len(with_maps) == len(recipes) and environment.masks is not None:
            for (of, example), position in _choose_examples(with_maps, environment).items():
                image, by_recipe = _outline_picture(recipes, environment, position)
                facts = {"lesion": of == "lesion", "example": example, "recipes": by_recipe}
                rows.append(gallery.write_outlines(image, facts, f"{name}-{of}, {example}", name))
    return rows


def recipes_of(records: Records, population: Population) -> Iterator[Recipe]:
    """Recipes that differ on the axis compared first and in nothing else, whose weights were kept: the most there are,
    of equally many those at the last values of the other axes.
    """
    spec = records.plan.spec
    trials = {point.label: trial for point in spec.points if (trial := _first(records, point)) is not None}
    for point in beside(spec, [point for point in spec.points if point.label in trials])[:MOST_RECIPES]:
        trial, inputs = trials[point.label], inputs_of(population, spec.data, spec.task)
        yield Recipe(point, TrainedModel.of(records.folder.root, trial.id, trial.training, inputs).load().network)


def _first(records: Records, point: RecipePoint) -> Trial | None:
    """The first fold of the first kept seed, where its weights were kept."""
    for seed in records.kept_seeds(point)[:1]:
        trial = records.by_point[point.label][seed][0]
        if weights_path(records.folder, trial.id).is_file():
            return trial
    return None


# --- which images ---------------------------------------------------------------------------------------------------


def _choose_examples(panels: Sequence[SeedPredictions], environment: Environment) -> dict[tuple[str, str], int]:
    """Choose example images: (lesion or not, kind of example) -> position.

    They are ranked by Dice with a lesion, else by the predicted area. One random image alone where
    all have the same value.

    Args:
        environment: The images that the recipes' models were not trained on, in the first fold of the first seed. Empty
            in folds where recipes lost their first seed, since each recipe then has other images.
    """
    panel = panels[0]
    if panel.has_prediction is None or panel.fold is None:
        return {}
    mine = panel.has_prediction[0] & (panel.fold[0] == 0)
    others = not mine.all() and any(other.seed_ids[0] != panel.seed_ids[0] for other in panels)
    if len(environment) != mine.sum() or others:
        return {}
    lesion = panel.maps["truth"][0][mine] > 0
    dice = np.mean([_dice(panel)[mine] for panel in panels], axis=0)
    area = np.mean([(panel.maps["predicted"][0, :, _HALF] / panel.maps["pixels"][0])[mine] for panel in panels], axis=0)
    place = np.argsort(environment.table.row, kind="stable")  # a panel's rows are in the order of their numbers
    positions: dict[tuple[str, str], int] = {}
    for of, score, among in (("lesion", dice, lesion), ("no lesion", -area, ~lesion)):
        order = np.flatnonzero(among)[np.argsort(score[among], kind="stable")]
        if len(order):
            random = int(generator(0, "outlines", of).integers(len(order)))
            picks = {"best": order[-1], "median": order[len(order) // 2], "worst": order[0], "random": order[random]}
            if score[order[0]] == score[order[-1]]:  # none is better than another
                picks = {"random": order[random]}
            positions |= {(of, example): int(place[position]) for example, position in picks.items()}
    return positions


def _dice(panel: SeedPredictions) -> Float[np.ndarray, " n"]:
    counts = panel.maps
    return np.nan_to_num(
        maps.dice(counts["truth"][0], counts["predicted"][0, :, _HALF], counts["hit"][0, :, _HALF], "lesions")
    )


# --- what is drawn --------------------------------------------------------------------------------------------------


def _outline_picture(
    recipes: Sequence[Recipe], environment: Environment, position: int
) -> tuple[np.ndarray, dict[str, Facts]]:
    """Draw the image, then the same with the outlines of truth and prediction for each recipe.

    Returns:
        The picture, and for each recipe its Dice on a lesion, or the called share of an image without one.
    """
    index = np.array([position])
    assert environment.masks is not None
    pixels = environment.images.read(index)
    truth = environment.masks.read(index)[0, 0].numpy() > 0
    plain = to_colors(pixels[0].numpy())
    images, facts_by_recipe = [enlarge(plain)], dict[str, Facts]()
    for recipe in recipes:
        predicted = _predict_mask(recipe.network, pixels)
        images.append(draw_outlines(plain, {TRUE_MASK_COLOR: truth, PREDICTED: predicted}))
        facts_by_recipe[recipe.point.label] = _segmentation_facts(truth, predicted)
    white = np.full((images[0].shape[0], 3, 3), 255, np.uint8)
    parts = [part for image in images for part in (image, white)][:-1]
    return np.concatenate(parts, axis=1), facts_by_recipe


def _segmentation_facts(truth: np.ndarray, predicted: np.ndarray) -> Facts:
    if truth.any():
        return {"dice": 2 * float((truth & predicted).sum()) / float(truth.sum() + predicted.sum())}
    return {"called": float(predicted.mean())}


@torch.inference_mode()
def _predict_mask(network: nn.Module, pixels: torch.Tensor) -> Bool[np.ndarray, "h w"]:
    return (lesion_logits(network(pixels))[0] >= 0).numpy()


# Heat-maps of recipes on the same images: the image, then the map of each recipe, all on one scale of color.
#
# Few images are explained again, by the first seed's models, to be drawn.

PROBE = "attribution"
IMAGES = 2
"""Drawn of each explainer."""
BRIGHTEST = 99.5
"""Percentile of all values of a picture that has the last color; what lies above has it too."""
_EDGE = (255, 255, 255)
_COLORS = np.array([(0, 0, 0), (66, 10, 104), (147, 38, 103), (221, 81, 58), (252, 165, 10), (252, 255, 164)])
"""From 0 up: each lighter than the one before, so that they are told apart without color."""


def heat_map_rows(records: Records, population: Population, gallery: PictureWriter) -> list[Row]:
    """Pictures of every explainer on the first images that it was asked about; none where no weights were kept."""
    spec = records.plan.spec
    attribution_probes = [probe for probe in spec.probes if probe.name == PROBE]
    recipes = list(recipes_of(records, population)) if attribution_probes and spec.task == "classification" else []
    if not recipes:
        return []
    probe = cast(Attribution, build("probe", PROBE, attribution_probes[0].params))
    chosen = choose_images(
        probe.environment_of(population.scene(recipes[0].point.tests, spec.first_seed)), probe.images
    )
    if chosen is None:
        return []
    sample, rows = LesionSample.of(chosen, "cpu").first(IMAGES), list[Row]()
    for name, explainer in probe.methods.items():
        maps = [_maps(recipe, explainer, sample) for recipe in recipes]
        for i in range(len(sample)):
            of_image = [None if maps_of_recipe is None else maps_of_recipe[i] for maps_of_recipe in maps]
            if any(heat_map is not None for heat_map in of_image):
                image, scale = _heat_map_picture(chosen, sample, i, of_image)
                facts = {
                    "image": i + 1,
                    "recipes": {
                        recipe.point.label: _on_lesion(records, recipe, heat_map, name, sample, i)
                        for recipe, heat_map in zip(recipes, of_image, strict=True)
                    },
                    "times": scale,
                }
                rows.append(gallery.write_heat_maps(image, facts, f"{name}-{i}", chosen.name, name))
    return rows


def _maps(recipe: Recipe, explainer: Explainer, sample: LesionSample) -> Float[np.ndarray, "n h w"] | None:
    """The sizes of a method's maps; None where it does not support the network or a map is not finite."""
    with eval_mode(recipe.network):
        subject = sample.subject(recipe.network)
        if explainer.refusal(subject):
            return None
        maps = np.abs(sample.maps(explainer, subject))
    return maps if np.isfinite(maps).all() else None


def _on_lesion(
    records: Records, recipe: Recipe, heat_map: np.ndarray | None, method: str, sample: LesionSample, i: int
) -> Facts:
    """Return the share of a map on the lesion, the lesion's share of the image, and whether the method fails sanity."""
    if heat_map is None:
        return {}
    scores = localization(heat_map[None], sample.lesion[i : i + 1])
    fails = _fails(records, recipe.point, method)
    return {"mass": float(scores.mass[0]), "area": float(scores.area[0]), "fails": fails}


def _fails(records: Records, point: RecipePoint, explainer: str) -> bool:
    """Whether any seed's maps failed."""
    place = ("mass-accuracy", explainer, "", "", "")  # a key's fields but for the environment
    every = records.measurements(point)
    key = next((key for key in every if (key[0], *key[2:]) == place), None)
    return key is not None and any(Code.FAILS_SANITY in reason_of(row) for row in every[key])


def _heat_map_picture(
    chosen: LesionImages, sample: LesionSample, i: int, maps: Sequence[np.ndarray | None]
) -> tuple[UInt8[np.ndarray, "h w 3"], float]:
    """Draw the image with the lesion's outline, then each map as multiples of its mean, up to a returned greatest."""
    lesion = enlarge(chosen.lesion[i])
    edge = lesion & ~ndimage.binary_erosion(lesion)
    plain = enlarge(to_colors(sample.images.read(np.array([i]))[0].numpy())).copy()
    plain[edge] = _EDGE
    relative = [
        None if heat_map is None else heat_map / heat_map.mean() if heat_map.any() else heat_map for heat_map in maps
    ]
    values = np.concatenate([heat_map.ravel() for heat_map in relative if heat_map is not None])
    greatest = max(float(np.percentile(values, BRIGHTEST)), 1.0)
    panels = [plain]
    for heat_map in relative:
        panel = np.full_like(plain, 127) if heat_map is None else enlarge(_heat_colors(heat_map / greatest)).copy()
        panel[edge] = _EDGE
        panels.append(panel)
    white = np.full((plain.shape[0], 3, 3), 255, np.uint8)
    return np.concatenate([part for panel in panels for part in (panel, white)][:-1], axis=1), greatest


def _heat_colors(shares: Float[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """Colors of values from 0 to 1."""
    at, colored = np.linspace(0, 1, len(_COLORS)), np.empty((*shares.shape, 3), dtype=np.uint8)
    for channel in range(3):
        colored[..., channel] = np.interp(shares.clip(0, 1), at, _COLORS[:, channel])
    return colored


# The pictures of a finished study: every environment, and pairs with what each recipe made of them.

PAIR_LOGIT = "pair-logit"
Logits = Mapping[str, Mapping[int, tuple[float, float]]]
"""Recipe -> row -> the logits with a factor low and high, in units of the recipe's within-class deviation."""


def illustrate(records: Records, population: Population, checks: DataChecks) -> list[Row]:
    """Write the sheets and pairs to `pictures/` and return their rows.

    Confounders, which a study is about, come before factors. One that no model was asked about has no pairs: its sheet
    shows them.
    """
    spec = records.plan.spec
    masks = spec.task == "segmentation"
    gallery = PictureWriter(
        records.folder.root / "pictures", population.scale, spec.data.target, population.folds, masks
    )
    environments = distinct_environments(spec.points, population, spec.first_seed)
    heads = name_environments(environments, spec.points)
    rows = [
        gallery.draw_sheet(environment.environment, environment.label, head)
        for environment, head in zip(environments, heads, strict=True)
    ]
    rows += outline_rows(records, population, gallery)
    rows += heat_map_rows(records, population, gallery)
    rows += case_rows(records, population, gallery)
    rows += checks.pictures(gallery)
    clean_sample, changes = ConfounderSample.at(spec, population), confounders(spec.points)
    rows += [
        gallery.draw_confounder_sheet(number, change.label, clean_sample.clean, clean_sample.with_confounder(change))
        for number, change in enumerate(changes, start=1)
    ]
    names_drawn = {change.name for change in changes}
    for change in changes:
        logits = pair_logits(records, change.name, tested_with(change, spec.points))
        rows += _pairs(gallery, logits, change.name, change.label, spec, population) if logits else []
    for factor in population.scene(spec.points[0].tests, spec.first_seed).changeable():
        if factor not in names_drawn:
            rows += _pairs(gallery, pair_logits(records, factor, spec.points), factor, factor, spec, population)
    return rows


def _pairs(
    gallery: PictureWriter, logits: Logits, factor: str, called: str, spec: StudySpec, population: Population
) -> list[Row]:
    point = next((point for point in spec.points if point.label in logits), spec.points[0])
    scene = population.scene(point.tests, spec.first_seed)
    return gallery.draw_pairs(scene, factor, same_pairs(logits, factor, point, spec, population), called)


def tested_with(change: Confounder, points: Sequence[RecipePoint]) -> list[RecipePoint]:
    """The recipes whose counterfactuals put on this very confounder."""
    interventions = ((point, TestEnvironments(point.tests).interventions.get(change.name)) for point in points)
    return [point for point, spec in interventions if spec is not None and spec.change == change.spec.change]


def same_pairs(
    logits: Logits, factor: str, drawn_point: RecipePoint, spec: StudySpec, population: Population
) -> Logits:
    """The logits of recipes whose pairs are the very images of the recipe that is shown."""

    def images(point: RecipePoint) -> Mapping[str, Any]:
        identity = population.scene(point.tests, spec.first_seed).identity(NEUTRAL)
        return {**identity, "changes": identity["changes"].get(factor)}

    points = {point.label: point for point in spec.points}
    wanted = images(drawn_point)
    return {recipe: by_row for recipe, by_row in logits.items() if images(points[recipe]) == wanted}


def pair_logits(records: Records, factor: str, points: Sequence[RecipePoint]) -> Logits:
    """Recipe -> row -> the logits with the factor low and high, each the mean of the kept seeds that saw the row."""
    logits_by_recipe: dict[str, Mapping[int, tuple[float, float]]] = {}
    for point in points:
        ends: dict[int, dict[str, float]] = {}
        every = records.measurements(point)
        for key in every:
            named = dict(zip(KEY_FIELDS, key, strict=True))
            if named["measure"] == PAIR_LOGIT and named["factor"] == factor:
                row = int(named["group"].removeprefix(IMAGE_GROUP_PREFIX))
                ends.setdefault(row, {})[named["level"]] = statistics.fmean(every.column(key, "value"))
        means = {row: (by_end["low"], by_end["high"]) for row, by_end in ends.items()}
        defined = {row: both for row, both in means.items() if all(map(math.isfinite, both))}
        if defined:
            logits_by_recipe[point.label] = defined
    return logits_by_recipe


def case_rows(records: Records, population: Population, gallery: PictureWriter) -> list[Row]:
    """Draw single images by the mean of recipes and seeds; none where no outputs were kept.

    Images are those of the first fold of the first seed that all recipes kept; where there is none, that the first one
    kept, and recipes without it are left out. Recipes differ on the compared axis alone.
    """
    spec = records.plan.spec
    points = [point for point in beside(spec, spec.points) if records.kept_seeds(point)]
    if not points:
        return []
    seeds, *others = [records.kept_seeds(point) for point in points]
    seed = next((seed for seed in seeds if all(seed in other for other in others)), seeds[0])
    scene = population.scene(points[0].tests, seed)
    compared_environments = [contrast.environment for contrast in spec.contrasts]
    rows: list[Row] = []
    places = sorted(scene.names, key=lambda name: name not in compared_environments)[:MOST_PLACES]
    count = max(OF_EACH, FEWEST // (3 * len(places)))
    for name in places:
        environment = scene.environment(name)
        panels = [panel for point in points if (panel := records.panel(point, name)) is not None]
        of = mean_masks if spec.task == "segmentation" else mean_probabilities
        place, classes = np.argsort(environment.table.row, kind="stable"), environment.table.classes
        read = [of(panel, environment.table.row[place], seed) for panel in panels]
        each: list[Any] = [answer for answer in read if answer is not None]
        if each:
            outcomes = (
                segmentation_outcomes(each) if spec.task == "segmentation" else classification_outcomes(each, classes)
            )
            is_phantom = {"made": population.dataset is None}
            rows += [
                gallery.write_case({"": (environment, int(place[at]))}, facts | is_phantom, name)
                for at, facts in select_cases(*outcomes, count)
            ]
    return rows


def beside(spec: StudySpec, points: Sequence[RecipePoint]) -> list[RecipePoint]:
    """Return the recipes that differ on the axis compared first and in nothing else, the most there are."""
    axis = spec.contrasts[0].axis if spec.contrasts else next(iter(spec.axes), "")
    others = [tuple(item for item in point.coordinates.items() if item[0] != axis) for point in points]
    most_common = [most for most, _ in Counter(reversed(others)).most_common(1)]  # of equal counts the one met last
    return [point for point, other in zip(points, others, strict=True) if other in most_common]
