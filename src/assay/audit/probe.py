"""Tables of one model that was trained elsewhere: its estimates, cautions, environments and pictures."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from assay.core.files import hide_paths
from assay.core.measures import PERFORMANCE, range_of
from assay.core.reasons import Code, Reason, parse_reason, reason_in_words
from assay.data.cards import facts_of
from assay.execution.plan import ModelPlan
from assay.execution.run import Tables
from assay.execution.workspace import read_provenance
from assay.look.checks import data_checks
from assay.probes.performance import insert_overall_rows, overall
from assay.report.pictures import PictureWriter
from assay.shifts.association import also_achieved
from assay.shifts.environment import Environment, environment_rows_of
from assay.shifts.population import Population, PopulationScene
from assay.stats.doubts import caution_rows
from assay.stats.estimate import interval
from assay.stats.influence import ModelPredictions
from assay.stats.rows import with_id
from assay.store.arrays import measurement_row
from assay.store.description import DESCRIPTION, DataDescription, read_description, write_description
from assay.store.files import ColumnRows, Row
from assay.store.folder import RunFolder

_COPY_CODES = (Code.COPIES_OF_ONE_PATIENT, Code.COPIES_SUSPECTED, Code.COPIES_UNCHECKED)


def _is_caution(reason: Reason) -> bool:
    return reason.codes[0].light == "bad" or reason.codes[0] in _COPY_CODES


def analyze_model(folder: RunFolder, plan: ModelPlan, population: Callable[[], Population]) -> Tables:
    """Return the tables of a probed model from its records, and store the description of the data that they need.

    Args:
        folder: The run folder.
        plan: The request, and the names of its records.
        population: Opens the images; called only where nothing of them was kept for this request.
    """
    described = _description_of(folder, plan, population)
    record = folder.record("models", plan.model)
    cautions = (*map(reason_in_words, plan.doubts), *described.cautions)
    return {
        "estimates": estimate_rows(folder, plan),
        "findings": caution_rows(cautions),
        "environments": described.environments,
        "pictures": described.pictures,
        "provenance": _provenance_rows(folder, plan, record, described),
    }


def estimate_rows(folder: RunFolder, plan: ModelPlan) -> list[Row]:
    """Return all measurements as estimates with intervals over patients, on the logit scale of bounded measures.

    Performance on all images is computed here, from kept outputs, as it is of trials.
    """
    rows: list[Row] = []
    name = {"recipe": str(folder.record("models", plan.model)["name"]), "coordinates": "{}"}
    for id, component in plan.probes:
        measurements = folder.measurements(id)
        if component.name == PERFORMANCE:
            measurements = ColumnRows(insert_overall_rows(measurements.columns, _overall_rows(folder, plan)))
        for row in measurements:
            bounds, patients = range_of(row["measure"]), int(row["patients"])
            value, error = float(row["value"]), float(row["standard_error"])
            has_interval = not math.isnan(value) and error > 0 and bounds[0] <= value <= bounds[1]
            df = patients - 1.0 if patients > 1 else math.inf
            low, high = interval(value, error, df, bounds) if has_interval else (math.nan, math.nan)
            counted = {"df": df if has_interval else math.nan, "seeds": 0, "images": row["n"]}
            rows.append(with_id({**name, **row, **counted, "low": low, "high": high}))
    return rows


def _overall_rows(folder: RunFolder, plan: ModelPlan) -> list[Row]:
    record = folder.record("models", plan.model)
    predictions_of: dict[str, tuple[ModelPredictions, np.ndarray]] = {}
    for environment, id in plan.readings.items():
        outputs = folder.outputs(id)
        specific = [math.nan if odds is None else float(odds) for odds in record["specific"]]
        predictions = ModelPredictions(
            outputs["logits"],
            outputs["target"],
            0.5 if record["threshold"] is None else record["threshold"],
            grade_cutoff=record["cut"] or 1,
            specificity_log_odds=np.tile(specific, (len(outputs["target"]), 1)) if specific else None,
        )
        predictions_of[environment] = predictions, outputs["patient"]
    return [measurement_row(measurement) for measurement in overall(predictions_of, graded=record["cut"] is not None)]


# What is kept of the images.


def _description_of(folder: RunFolder, plan: ModelPlan, population: Callable[[], Population]) -> DataDescription:
    if (folder.root / DESCRIPTION).is_file() and (
        description := read_description(folder, DataDescription)
    ).request == plan.request.id:
        return description
    description = describe_data(folder, plan, population())
    write_description(folder, description)
    return description


def describe_data(folder: RunFolder, plan: ModelPlan, population: Population) -> DataDescription:
    """Draw the environments and the interventions to `pictures/`, and describe the images."""
    request = plan.request
    seed = int(folder.record("models", plan.model)["seed"])
    scene = population.scene(request.tests, seed)
    environments = [also_achieved(scene.environment(name), scene.tests.ties) for name in scene.names]
    masks = request.task == "segmentation"
    gallery = PictureWriter(folder.root / "pictures", population.scale, request.data.target, 1, masks)
    pictures = [gallery.draw_sheet(environment, environment.name, environment.name) for environment in environments]
    pictures += [row for name in scene.tests.interventions for row in gallery.draw_pairs(scene, name, {})]
    checks = data_checks(request.data, population.dataset)
    notes = tuple(
        dict.fromkeys(
            note for environment in (*environments, *_neutral_environments(scene, plan)) for note in environment.notes
        )
    )
    rows = [
        row
        for environment in environments
        for row in environment_rows_of(environment.name, "", environment, environment.table)
    ]
    return DataDescription(
        request=request.id,
        environments=rows,
        pictures=pictures,
        facts=facts_of(population.card, population.classes),
        cautions=(
            *filter(_is_caution, checks.reasons),
            *map(parse_reason, notes),
        ),
    )


def _neutral_environments(scene: PopulationScene, plan: ModelPlan) -> tuple[Environment, ...]:
    """The neutral rows, where a probe read them."""
    probed = {str(component.name) for _, component in plan.probes}
    return (scene.neutral(),) if probed - {"performance", "segmentation"} else ()


def _provenance_rows(
    folder: RunFolder, plan: ModelPlan, record: Mapping[str, Any], described: DataDescription
) -> list[Row]:
    """Return the model, its data, the request and versions, as needed to find this again."""
    provenance = read_provenance(folder.unit("models", plan.model))
    threshold = record["threshold"]
    facts: dict[str, str] = {
        "model": str(record["name"]),
        "kind": str(record["kind"]),
        "task": str(record["task"]),
        "hash of the model": str(record["content"]),
        "input": f"{record['channels']} x {record['size']} x {record['size']}, {_scaling_text(record['scaling'])}",
        "output": f"{record['scores']} of {', '.join(record['class_names'])}",
        "threshold": "" if threshold is None else f"{threshold:.6g}",
        "layers": ", ".join(record["layers"]),
        **described.facts,
        "hash of the request": plan.request.id,
        "probed": provenance.get("started", ""),
        "machine": f"{provenance.get('machine', '')} {provenance.get('processor', '')}".strip(),
        "device": provenance.get("device", ""),
        "python": provenance.get("python", ""),
        **provenance.get("libraries", {}),
    }
    request = hide_paths(plan.request.model_dump(mode="json", exclude_defaults=True))
    facts["spec"] = json.dumps(request, ensure_ascii=False, indent=1)
    return [{"key": key, "value": value} for key, value in facts.items() if value]


def _scaling_text(scaling: Mapping[str, Any] | None) -> str:
    if scaling is None:
        return "values from 0 to 1"
    mean, sd = (", ".join(f"{value:g}" for value in scaling[key]) for key in ("mean", "sd"))
    return f"scaled by mean ({mean}) and standard deviation ({sd})"
