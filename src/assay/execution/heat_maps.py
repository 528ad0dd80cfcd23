"""Heat-maps of recipes on the same images: the image, then the map of each recipe, all on one scale of colour.

Few images are explained again, by the first seed's models, to be drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from jaxtyping import Float, UInt8
from scipy import ndimage

from assay.core.registry import build
from assay.execution.drawing import coloured, enlarged
from assay.execution.gather import Gathered
from assay.execution.outlines import Recipe, recipes_of
from assay.execution.pictures import Gallery
from assay.probes.attribution import Attribution
from assay.probes.attribution_rows import Method
from assay.probes.explained import Sample
from assay.probes.localisation import localised
from assay.probes.reading import evaluating
from assay.probes.sanity import FAILS
from assay.probes.shown import Shown, shown
from assay.shifts.population import Population
from assay.stats.format import number
from assay.store.files import Row

PROBE = "attribution"
IMAGES = 2
"""Drawn of each explainer."""
BRIGHTEST = 99.5
"""Percentile of all values of a picture that has the last colour; what lies above has it too."""
_EDGE = (255, 255, 255)
_COLOURS = np.array([(0, 0, 0), (66, 10, 104), (147, 38, 103), (221, 81, 58), (252, 165, 10), (252, 255, 164)])
"""From 0 up: each lighter than the one before, so that they are told apart without colour."""


def heat_map_rows(gathered: Gathered, population: Population, gallery: Gallery) -> list[Row]:
    """Pictures of every explainer on the first images that it was asked about; none where no weights were kept."""
    spec = gathered.plan.spec
    asked = [probe for probe in spec.probes if probe.name == PROBE]
    recipes = list(recipes_of(gathered, population)) if asked and spec.task == "classification" else []
    if not recipes:
        return []
    probe = cast(Attribution, build("probe", PROBE, asked[0].params))
    found = shown(probe.looked_at(population.scene(recipes[0].point.tests, spec.first_seed)), probe.images)
    if found is None:
        return []
    sample, rows = Sample.of(found, "cpu").first(IMAGES), list[Row]()
    for method in probe.methods:
        maps = [_maps(recipe, method, sample) for recipe in recipes]
        for i in range(len(sample)):
            of_image = [None if own is None else own[i] for own in maps]
            if any(one is not None for one in of_image):
                image, scale = _picture(found, sample, i, of_image)
                said = "; ".join(
                    _told(gathered, *pair, method, sample, i) for pair in zip(recipes, of_image, strict=True)
                )
                text = (
                    f"{method.name}, {found.name}, image {i + 1}: with the lesion's outline, then {said}. Black is 0, "
                    f"the lightest {number(scale, 0)} times the map's mean, for all alike."
                )
                rows.append(gallery.heat_map(image, text, f"{method.name}-{i}", found.name, method.name))
    return rows


def _maps(recipe: Recipe, method: Method, sample: Sample) -> Float[np.ndarray, "n h w"] | None:
    """The sizes of a method's maps; None where it does not support the network or a map is not finite."""
    with evaluating(recipe.model.network):
        subject = sample.subject(recipe.model.network)
        if method.explainer.refusal(subject):
            return None
        maps = np.abs(sample.maps(method.explainer, subject))
    return maps if np.isfinite(maps).all() else None


def _told(gathered: Gathered, recipe: Recipe, one: np.ndarray | None, method: Method, sample: Sample, i: int) -> str:
    """`supcon .43 of it on the lesion (chance .05; fails the sanity check)`."""
    name = recipe.point.label
    if one is None:
        return f"{name} without a map"
    scores = localised(one[None], sample.lesion[i : i + 1])
    failed = f"; {FAILS}" if _fails(gathered, name, method.name) else ""
    return (
        f"{name} {number(float(scores.mass[0]))} of it on the lesion (chance {number(float(scores.area[0]))}{failed})"
    )


def _fails(gathered: Gathered, recipe: str, explainer: str) -> bool:
    """Whether any seed's maps failed."""
    place = ("mass-accuracy", explainer, "", "", "")  # a key's fields but for the environment
    for (measure, _, *others), by_seed in gathered.scalars[recipe].items():
        if (measure, *others) == place:
            return any(FAILS in row["reason"] for row in by_seed.values())
    return False


def _picture(
    found: Shown, sample: Sample, i: int, maps: Sequence[np.ndarray | None]
) -> tuple[UInt8[np.ndarray, "h w 3"], float]:
    """The image with the lesion's outline, then each map as times its mean; and what the last colour is."""
    lesion = enlarged(found.lesion[i])
    edge = lesion & ~ndimage.binary_erosion(lesion)
    plain = enlarged(coloured(sample.images.read(np.array([i]))[0].numpy())).copy()
    plain[edge] = _EDGE
    relative = [None if one is None else one / one.mean() if one.any() else one for one in maps]
    values = np.concatenate([one.ravel() for one in relative if one is not None])
    greatest = max(float(np.percentile(values, BRIGHTEST)), 1.0)
    panels = [plain]
    for one in relative:
        panel = np.full_like(plain, 127) if one is None else enlarged(_heat(one / greatest)).copy()
        panel[edge] = _EDGE
        panels.append(panel)
    white = np.full((plain.shape[0], 3, 3), 255, np.uint8)
    return np.concatenate([part for panel in panels for part in (panel, white)][:-1], axis=1), greatest


def _heat(shares: Float[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """Colours of values from 0 to 1."""
    at, made = np.linspace(0, 1, len(_COLOURS)), np.empty((*shares.shape, 3), dtype=np.uint8)
    for channel in range(3):
        made[..., channel] = np.interp(shares.clip(0, 1), at, _COLOURS[:, channel])
    return made
