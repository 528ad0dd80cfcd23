"""Tables of the probes `representation` and `reinitialisation`, and likenesses beside seeds; numbers are drawn."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from itertools import product
from pathlib import Path

import numpy as np
from tests.report.made import NAN, Made

from assay.core.seeds import generator
from assay.stats.similarity import between_seeds, beyond_seeds, conclusions
from assay.store import schema
from assay.store.files import Row
from assay.store.folder import RunFolder

LAYERS = ("trunk.block1", "trunk.block2", "trunk.block3", "trunk.block4", "trunk")
SEEDS = 4
SHAPES = {"effective-rank": 6.0, "participation-ratio": 3.0, "class-separation": 0.1, "cka-to-untrained": 0.9}
LOST = ("auroc-lost-to-start", "auroc-lost-to-random", "weight-change")


def add_geometry(root: Path, made: Made) -> None:
    """Put them into a run folder that `make_run` made: recipes differ in their last layers, and no more than seeds in
    their first.
    """
    folder = RunFolder(root)
    estimates = [*folder.table("estimates"), *_shapes(made)]
    folder.write_table("estimates", schema.ESTIMATES, estimates)
    folder.write_table("similarities", schema.SIMILARITIES, _similarities(made))


def _shapes(made: Made) -> Iterator[Row]:
    blank = {**dict.fromkeys(schema.ESTIMATES, ""), "standard_error": 0.1, "df": 3.0, "seeds": SEEDS, "chance": NAN}
    for recipe, at in made.recipes:
        own = {**blank, "recipe": recipe, "coordinates": json.dumps(at), "images": 500, "patients": 500}
        for depth, layer in enumerate(LAYERS):
            draw = generator(3, recipe, layer)
            for measure, level in SHAPES.items():
                for group in ("trained", "untrained"):
                    if measure == "cka-to-untrained" and group == "untrained":
                        continue
                    value = float(level * (1 + (depth if group == "trained" else 1) / 5 + 0.1 * draw.normal()))
                    value = value / 2 if measure == "cka-to-untrained" else value
                    where = {"measure": measure, "layer": layer, "group": group, "environment": "neutral"}
                    yield {**own, **where, "value": value, "low": value * 0.8, "high": value * 1.2}
        for layer, measure in product((*LAYERS, "head", ""), LOST):
            value = float(abs(generator(4, recipe, layer, measure).normal()) / 8)
            where = {"measure": measure, "layer": layer, "environment": "neutral"}
            yield {**own, **where, "value": value, "low": value - 0.05, "high": value + 0.05}


def _models(recipe: str, layer: str, apart: float) -> np.ndarray:
    """[seeds, n]: vectors of length 1, with a part that all recipes share, one of their recipe's, and their own."""
    common, own, draw = generator(5, layer), generator(6, recipe, layer), generator(7, recipe, layer)
    found = common.normal(size=40) + apart * own.normal(size=40) + 0.5 * draw.normal(size=(SEEDS, 40))
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def _similarities(made: Made) -> list[Row]:
    blank = {**dict.fromkeys(schema.SIMILARITIES, NAN), "reason": "", "conclusion": "", "environment": "(neutral)"}
    first, at_first = made.recipes[0]
    rows: list[Row] = []
    for recipe, at in made.recipes:
        here = {
            **blank,
            "recipe": recipe,
            "coordinates": json.dumps(at),
            "seeds": SEEDS,
            "images": 500,
            "measure": "cka",
        }
        models = {layer: _models(recipe, layer, 0.3 * depth) for depth, layer in enumerate(LAYERS)}
        against = {layer: _models(first, layer, 0.3 * depth) for depth, layer in enumerate(LAYERS)}
        for one, other in product(LAYERS, LAYERS):
            pair = {"layer": one, "against_layer": other}
            value = between_seeds(models[one] @ models[other].T)
            itself = {"against": recipe, "against_coordinates": here["coordinates"], "axis": ""}
            rows.append({**here, **pair, **itself, "value": value})
            changed = [axis for axis in at if at[axis] != at_first[axis]]
            if len(changed) != 1:
                continue
            beside = {"against": first, "against_coordinates": json.dumps(dict(at_first)), "axis": changed[0]}
            across = models[one] @ against[other].T
            if one != other:
                rows.append({**here, **pair, **beside, "value": between_seeds(across)})
                continue
            found = beyond_seeds(across, models[one] @ models[one].T, against[one] @ against[one].T)
            ((p, conclusion),) = conclusions([found])
            rows.append({**here, **pair, **beside, **asdict(found), "p_holm": p, "conclusion": conclusion})
    return rows
