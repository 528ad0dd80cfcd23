"""What recipes outline on the same images: the best, the median, the worst and a random one, with a lesion and without.

Images are ranked by the mean over recipes of what was kept of their maps; few are read again, by the first seed's
models, to draw the outlines.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import nn

from assay.core.maps import MapGrid
from assay.core.seeds import generator
from assay.core.spec import RecipePoint
from assay.execution.drawing import TRUTH, coloured, enlarged, outlined
from assay.execution.gather import Gathered
from assay.execution.jobs import inputs_of, trained_model, weights_path
from assay.execution.pictures import Gallery
from assay.execution.study import Trial
from assay.maps.odds import lesion_logits
from assay.probes.probe import Model
from assay.shifts.environment import Environment
from assay.shifts.population import Population
from assay.stats import maps
from assay.stats.format import number
from assay.stats.panel import Panel
from assay.store.files import Row

MOST_RECIPES = 6
"""Recipes that stand side by side."""
PREDICTED = (255, 122, 26)
_HALF = MapGrid().thresholds.index(0.0)


@dataclass(frozen=True)
class Recipe:
    """A recipe, what its first seed kept of the environment, and its network."""

    point: RecipePoint
    model: Model


def outline_rows(gathered: Gathered, population: Population, gallery: Gallery) -> list[Row]:
    """Pictures of every test environment in which maps were kept; none where no weights were."""
    spec = gathered.plan.spec
    if spec.task != "segmentation":
        return []
    recipes = list(recipes_of(gathered, population))
    if not recipes:
        return []
    seed = gathered.kept_seeds(recipes[0].point)[0]
    scene = population.scene(recipes[0].point.tests, seed)
    rows: list[Row] = []
    for name in scene.names:
        environment = scene.environment(name)
        panels = [gathered.panel(recipe.point, name) for recipe in recipes]
        known = [panel for panel in panels if panel is not None and panel.maps]
        if len(known) == len(recipes) and environment.masks is not None:
            for called, position in _chosen(known, environment).items():
                image, caption = _picture(recipes, environment, position)
                text = f"{name}, {called}: {caption}"
                rows.append(gallery.outlined(image, text, f"{name}-{called}", name))
    return rows


def recipes_of(gathered: Gathered, population: Population) -> Iterator[Recipe]:
    """Recipes that differ on the axis compared first and in nothing else, whose weights were kept: the most there are,
    of equally many those at the last values of the other axes.
    """
    spec, found = gathered.plan.spec, 0
    axis = spec.contrasts[0].axis if spec.contrasts else next(iter(spec.axes), "")
    beside = [
        tuple((name, value) for name, value in point.coordinates.items() if name != axis) for point in spec.points
    ]
    kept = [(point, others, trial) for point, others in zip(spec.points, beside, strict=True)
            if (trial := _first(gathered, point)) is not None]  # fmt: skip
    counted = Counter(others for _, others, _ in reversed(kept)).most_common(1)  # of equal counts the one met last
    for point, others, trial in kept:
        if others == counted[0][0] and found < MOST_RECIPES:
            inputs = inputs_of(population, spec.data, spec.task)
            yield Recipe(point, trained_model(gathered.folder, trial.id, trial.training, inputs))
            found += 1


def _first(gathered: Gathered, point: RecipePoint) -> Trial | None:
    """The first fold of the first kept seed, where its weights were kept."""
    for seed in gathered.kept_seeds(point)[:1]:
        trial = gathered.by_point[point.label][seed][0]
        if weights_path(gathered.folder, trial.id).is_file():
            return trial
    return None


# --- which images ---------------------------------------------------------------------------------------------------


def _chosen(panels: Sequence[Panel], environment: Environment) -> dict[str, int]:
    """What an image is an example of -> its position: by Dice where it shows a lesion, else by the area called; a
    random one alone where all have the same value.

    environment: the images that the recipes' models were not trained on, in the first fold of the first seed. Empty
    in folds where recipes lost their first seed, so that these are others for each.
    """
    panel = panels[0]
    if panel.tested is None or panel.fold is None:
        return {}
    mine = panel.tested[0] & (panel.fold[0] == 0)
    others = not mine.all() and any(other.numbers[0] != panel.numbers[0] for other in panels)
    if len(environment) != mine.sum() or others:
        return {}
    lesion = panel.maps["truth"][0][mine] > 0
    dice = np.mean([_dice(one)[mine] for one in panels], axis=0)
    area = np.mean([(one.maps["predicted"][0, :, _HALF] / one.maps["pixels"][0])[mine] for one in panels], axis=0)
    place = np.argsort(environment.table.row, kind="stable")  # a panel's rows are in the order of their numbers
    found: dict[str, int] = {}
    for of, score, among in (("lesion", dice, lesion), ("no lesion", -area, ~lesion)):
        order = np.flatnonzero(among)[np.argsort(score[among], kind="stable")]
        if len(order):
            random = int(generator(0, "outlines", of).integers(len(order)))
            picks = {"best": order[-1], "median": order[len(order) // 2], "worst": order[0], "random": order[random]}
            if score[order[0]] == score[order[-1]]:  # none is better than another
                picks = {"random": order[random]}
            found |= {f"{of}, {called}": int(place[position]) for called, position in picks.items()}
    return found


def _dice(panel: Panel) -> Float[np.ndarray, " n"]:
    kept = panel.maps
    return np.nan_to_num(
        maps.dice(kept["truth"][0], kept["predicted"][0, :, _HALF], kept["hit"][0, :, _HALF], "lesions")
    )


# --- what is drawn --------------------------------------------------------------------------------------------------


def _picture(recipes: Sequence[Recipe], environment: Environment, position: int) -> tuple[np.ndarray, str]:
    """The image, then the same with the outlines of truth and prediction for each recipe; and the caption."""
    index = np.array([position])
    assert environment.masks is not None
    pixels = environment.images.read(index)
    truth = environment.masks.read(index)[0, 0].numpy() > 0
    plain = coloured(pixels[0].numpy())
    shown, said = [enlarged(plain)], list[str]()
    for recipe in recipes:
        predicted = _predicted(recipe.model.network, pixels)
        shown.append(outlined(plain, {TRUTH: truth, PREDICTED: predicted}))
        said.append(f"{recipe.point.label} {_told(truth, predicted)}")
    white = np.full((shown[0].shape[0], 3, 3), 255, np.uint8)
    parts = [part for image in shown for part in (image, white)][:-1]
    return np.concatenate(parts, axis=1), f"the image, then {'; '.join(said)}. White: truth; orange: called."


def _told(truth: np.ndarray, predicted: np.ndarray) -> str:
    """`Dice .81` of a lesion; of none the share of the image that is called, or `nothing`."""
    if truth.any():
        return f"Dice {number(2 * float((truth & predicted).sum()) / float(truth.sum() + predicted.sum()))}"
    return f"{number(100 * float(predicted.mean()), 1)} % called" if predicted.any() else "nothing"


@torch.inference_mode()
def _predicted(network: nn.Module, pixels: torch.Tensor) -> Bool[np.ndarray, "h w"]:
    return (lesion_logits(network(pixels))[0] >= 0).numpy()
