"""What each start of a study is, and whose group labels each recipe used: from the spec and the records."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from assay.core.axes import label
from assay.core.component import Component
from assay.core.sources import start_of
from assay.core.spec import RecipePoint, SourceSpec
from assay.core.traits import WORST_GROUP, looks_at_labels, training_labels
from assay.execution.gather import Gathered
from assay.stats.estimate import estimate_seeds
from assay.store.files import Row

WHAT = {
    "random": "the architecture's own random weights",
    "random-statistics": "random weights with the mean and variance of every tensor of the file",
    "timm": "the weights that timm publishes for the architecture",
    "file": "weights from a file",
    "download": "weights from a public address",
    "source": "trained by this study",
}
"""Initialisation -> what it is; one of the user's own is called by its name."""
AXIS = "initialisation"


def start_rows(gathered: Gathered) -> list[Row]:
    """Rows of `schema.STARTS`, one per initialisation and architecture, in the order of the spec."""
    by_start: dict[tuple[str, str], list[RecipePoint]] = {}
    for point in gathered.plan.spec.points:
        by_start.setdefault((_called(point), point.recipe.architecture.label), []).append(point)
    several = len({architecture for _, architecture in by_start}) > 1
    return [
        _start(f"{called} ({architecture})" if several else called, points, gathered)
        for (called, architecture), points in by_start.items()
    ]


def recipe_rows(points: Sequence[RecipePoint]) -> list[Row]:
    """Rows of `schema.RECIPES`."""
    return [
        {
            "recipe": point.label,
            "coordinates": json.dumps(dict(point.coordinates)),
            "mitigation": point.recipe.mitigation.label,
            "groups": point.recipe.groups,
            "training_labels": training_labels(point.recipe.mitigation),
            "selection_labels": "validation" if point.recipe.selection == WORST_GROUP else "none",
        }
        for point in points
    ]


def _called(point: RecipePoint) -> str:
    """As on its axis; without one, a source by its name."""
    own = point.recipe.initialisation
    named = "" if own.params.get("statistics") else start_of(point.recipe)
    return point.coordinates.get(AXIS) or named or own.label


def _what(component: Component, source: str) -> str:
    if component.params.get("statistics"):
        return f"random weights with the mean and variance of every tensor of {source}"
    return WHAT.get(component.name, component.label)


def _start(called: str, points: Sequence[RecipePoint], gathered: Gathered) -> Row:
    component = points[0].recipe.initialisation
    labels = {point.label for point in points}
    trials = [trial.id for trial in gathered.plan.trials if trial.point.label in labels]
    records = [gathered.records[id] for id in trials if id in gathered.records]
    record = next((one for one in records if "start" in one), dict[str, Any]())  # one that diverged has none
    source = start_of(points[0].recipe)
    learned = "" if component.params.get("statistics") else source
    return {
        "start": called,
        "kind": component.name,
        "what": _what(component, source) + _stage(learned, gathered),
        "file": "" if source else record.get("start", {}).get("file", ""),
        "sha256": component.params.get("sha256", ""),
        "scaling": record.get("scaling", ""),
        **_trained(learned, points[0].recipe.architecture, gathered),
    }


def _stage(source: str, gathered: Gathered) -> str:
    """`, starting from natural`: of a source that adds a stage to another start; empty of others."""
    if not source:
        return ""
    recipe = gathered.plan.spec.sources[source].recipe
    below = start_of(recipe) or recipe.initialisation.label
    return "" if below == "random" else f", starting from {below}"


def _trained(name: str, architecture: Component, gathered: Gathered) -> Row:
    """What the study trained itself, of a source; NaN and empty for every other start."""
    nothing: Row = {"data": "", "reason": ""}
    nothing |= dict.fromkeys(("steps", "images", "seeds", "value", "low", "high"), math.nan)
    if not name:
        return nothing
    records = _records(name, architecture, gathered)
    values = np.array([record.get("validation_auroc") for record in records], dtype=np.float64)
    found = estimate_seeds(values, bounds=(0.0, 1.0))
    trained = {key: float(records[0][key]) for key in ("steps", "images")} if records else {}
    return {
        **nothing,
        "data": _data(gathered.plan.spec.sources[name]),
        **trained,
        "seeds": len(records),
        "value": found.value,
        "low": found.low,
        "high": found.high,
        "reason": found.reason,
    }


def _records(name: str, architecture: Component, gathered: Gathered) -> list[Mapping[str, Any]]:
    """Those of a source's seeds that were trained to a sound end, with the network of what starts from them."""
    recipes = {source.id: source.training.recipe for source in gathered.plan.sources if source.name == name}
    own = [id for id, recipe in recipes.items() if recipe.architecture == architecture]
    done = [id for id in own if gathered.folder.complete("sources", id)]
    records = [gathered.folder.record("sources", id) for id in done]
    return [record for record in records if record["status"] == "done"]


def _data(source: SourceSpec) -> str:
    """`phantom natural(kinds=8), target kind, 64 px`, or `without labels` in the place of the target."""
    data = source.data
    target = f"target {data.target}" if looks_at_labels(source.recipe.loss) else "without labels"
    if source.own:
        return f"the study's own training images, {target}, {data.size} px"
    phantom = label({data.phantom.name: dict(data.phantom.params)}) if data.phantom else "images from files"
    return f"phantom {phantom}, {target}, {data.size} px"
