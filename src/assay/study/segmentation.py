"""Tables of segmentation results: curves and planes, and overlap against false alarms."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool

from assay.core.map_grid import MapGrid
from assay.core.measures import quiet_of
from assay.core.registry import lookup
from assay.execution.workspace import CURVE
from assay.spec.recipe import Component
from assay.spec.schema import RecipePoint
from assay.stats import maps
from assay.stats.joint import joint_region
from assay.stats.panel import MeasureBySeed, SeedPredictions, evaluate
from assay.store.files import Row, read_rows
from assay.study.gathered import Records

# Curves and planes of a segmentation: false alarms over threshold and area, the free response, and the training.

_GRID = MapGrid()
_THRESHOLDS = np.array(_GRID.thresholds)
OF_EPOCHS = ("train_loss", "validation_loss", "lr")


def point_rows(records: Records) -> list[Row]:
    """Rows of `schema.POINTS`; none of a classification."""
    if records.plan.spec.task != "segmentation":
        return []
    return [*_planes(records), *_free_responses(records), *_courses(records)]


def _planes(records: Records) -> Iterator[Row]:
    """False positives over area and threshold, of environments that hold lesion-free images."""
    for point, environment, panel in _segmentation_panels(records):
        rate = _rate(panel)
        if rate is not None:
            answered = True if panel.has_prediction is None else panel.has_prediction  # the rest holds zeros
            free = ((panel.maps["truth"] == 0) & answered).any(axis=0)
            where = _where("false-positives", point, environment, panel, free)
            for t, threshold in enumerate(_THRESHOLDS):
                for a, area in enumerate(_GRID.areas):
                    yield {**where, "x": area, "y": float(threshold), "value": float(rate[t, a])}


def _free_responses(records: Records) -> Iterator[Row]:
    """Sensitivity at equal false positives, of environments that hold lesions.

    Logits are no common scale of seeds, nor of folds, so each seed's threshold is the one with as many false positives
    as the others.
    """
    for point, environment, panel in _segmentation_panels(records):
        seeds = [
            maps.fold_free_responses(
                answers.maps["stray"], answers.maps["lesion_score"], answers.maps["floor"], _THRESHOLDS, answers.fold
            )
            for answers in (panel.predictions_of_seed(position)[0] for position in range(len(panel.scores)))
        ]
        most = np.unique(np.concatenate([response.curve.false_positives for folds in seeds for response in folds]))
        sensitivity = np.mean([maps.sensitivity_over_folds(folds, most) for folds in seeds], axis=0)
        where = _where("free-response", point, environment, panel, np.ones(len(panel.target), dtype=bool))
        for false, value in zip(most, sensitivity, strict=True):
            if np.isfinite(value):
                yield {**where, "x": float(false), "value": float(value)}


def _courses(records: Records) -> Iterator[Row]:
    """Losses and what schedules set, by epoch; none of a recipe without a kept seed."""
    for point in records.plan.spec.points:
        if point.recipe.given is not None:
            continue
        seeds = records.kept_seeds(point)
        trials = [trial for seed in seeds for trial in records.by_point[point.label][seed]]
        courses = [
            read_rows(records.folder.checked_path("trials", trial.id, CURVE))
            for trial in trials
            if not trial.training.members
        ]
        counts = {"seeds": len(seeds), "patients": 0, "images": 0}
        for epoch in range(min((len(rows) for rows in courses), default=0)):
            values = {name: float(np.mean([rows[epoch][name] for rows in courses])) for name in OF_EPOCHS}
            values["weight"] = weight_of(point.recipe.loss, epoch, point.recipe.epochs)
            for name, value in values.items():
                if not math.isnan(value):
                    yield {**_curve_row(name, point, ""), **counts, "x": float(epoch + 1), "value": value}


def weight_of(loss: Component, epoch: int, epochs: int) -> float:
    """The weight of a loss's first term in an epoch counted from 0; NaN for a loss without a schedule of its own.

    Examples:
        >>> def weights(**params):
        ...     loss = Component(kind="loss", name="cross-entropy-dice", params=params)
        ...     return [round(weight_of(loss, epoch, 3), 6) for epoch in range(3)]
        >>> weights(), weights(schedule="linear")
        ([0.5, 0.5, 0.5], [1.0, 0.5, 0.0])
        >>> weights(schedule="step", at=0.5), weights(schedule="cosine", end=0.5)
        ([1.0, 1.0, 0.0], [1.0, 0.75, 0.5])
    """
    from assay.training.losses.segmentation import WeightSchedule, weight_at
    from assay.training.objective import Progress

    if ":" in loss.name:
        return math.nan
    entry = lookup("loss", loss.name)
    passed = entry.complete().call_arguments(entry.validate(loss.params)).values()
    schedule = next((value for value in passed if isinstance(value, WeightSchedule)), None)
    return math.nan if schedule is None else weight_at(Progress(0, 1, epoch, epochs), schedule)


def _rate(panel: SeedPredictions) -> np.ndarray | None:
    """False-positive rate [thresholds, areas] of lesion-free images, the mean over seeds; None without such images."""
    rates: list[np.ndarray] = []
    for position in range(len(panel.scores)):
        counts = panel.predictions_of_seed(position)[0].maps
        free = counts["truth"] == 0
        if not free.any():
            return None
        rates.append(maps.is_false_positive(counts["area_score"][free], _THRESHOLDS).mean(axis=0))
    return np.mean(rates, axis=0)


def _segmentation_panels(records: Records) -> Iterator[tuple[RecipePoint, str, SeedPredictions]]:
    for point in records.plan.spec.points:
        for environment in point.tests:
            panel = records.panel(point, environment)
            if panel is not None and panel.maps:
                yield point, environment, panel


def _where(
    curve: str, point: RecipePoint, environment: str, panel: SeedPredictions, among: Bool[np.ndarray, " n"]
) -> Row:
    counts = {"seeds": len(panel.scores), "images": int(among.sum())}
    return {**_curve_row(curve, point, environment), **counts, "patients": len(np.unique(panel.patient[among]))}


def _curve_row(curve: str, point: RecipePoint, environment: str) -> Row:
    return {"curve": curve, **point.columns, "environment": environment, "y": math.nan}


# Overlap of each recipe against its false alarms, with their joint region.


def trade_rows(records: Records) -> list[Row]:
    """Rows of `schema.TRADES`: Dice and the false alarms that the study compares first.

    Each in the environment that a contrast names, else in the first in which a recipe has it; none where none does.
    """
    spec = records.plan.spec
    if spec.task != "segmentation":
        return []
    measured = "dice", quiet_of(contrast.measure for contrast in spec.contrasts)
    places = [_place(records, measure) for measure in measured]
    if not all(places):
        return []
    rows: list[Row] = []
    for point in spec.points:
        across, up = (
            _evaluate_point(records, point, *measure_and_place)
            for measure_and_place in zip(measured, places, strict=True)
        )
        if across is None or up is None:
            continue
        evaluated = joint_region(across, up)
        rows.append(
            {
                **point.columns,
                "across": measured[0],
                "across_environment": places[0],
                "up": measured[1],
                "up_environment": places[1],
                "correlation": evaluated.correlation,
                "df": evaluated.df,
                "region": json.dumps(evaluated.outline.round(6).tolist()),
                "seeds": len(across.seeds),
                "reason": str(evaluated.reason),
            }
        )
    return rows


def _place(records: Records, measure: str) -> str:
    """The environment in which a measure is shown; empty where no recipe has a value."""
    spec = records.plan.spec
    environments = [contrast.environment for contrast in spec.contrasts if contrast.measure == measure]
    tests = [name for point in spec.points for name in point.tests]
    for name in dict.fromkeys((*environments, *tests)):
        by_recipe = (_evaluate_point(records, point, measure, name) for point in spec.points)
        if any(evaluated is not None and not evaluated.reason for evaluated in by_recipe):
            return name
    return ""


def _evaluate_point(records: Records, point: RecipePoint, measure: str, environment: str) -> MeasureBySeed | None:
    panel = records.panel(point, environment) if environment in point.tests else None
    return evaluate(panel, measure) if panel is not None and panel.maps else None
