"""From records to the tables that the page shows: estimates, contrasts, associations, sentences. Reads no model."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, cast

import numpy as np

from assay.core.check_task import asks_native
from assay.core.dose import dose_axis
from assay.core.factors import has_order
from assay.core.measures import MEASURES as NAMED
from assay.core.measures import range_of
from assay.core.points import marked
from assay.core.spec import RecipePoint, StudySpec
from assay.core.traits import readout_of
from assay.execution.collapses import collapse_rows
from assay.execution.contrasts import contrast_rows
from assay.execution.curve_rows import curve_rows
from assay.execution.described import Described, describe, keep, kept
from assay.execution.dose_changes import dose_change_rows
from assay.execution.gather import KEY_FIELDS, Gathered
from assay.execution.half_doses import half_dose_rows
from assay.execution.jobs import Place
from assay.execution.map_rows import free_response_rows, plane_rows
from assay.execution.pooled import Folds
from assay.execution.progress import Stage
from assay.execution.similarity_rows import similarity_rows
from assay.execution.sources import Source
from assay.execution.start_rows import recipe_rows, start_rows
from assay.execution.stated import stated
from assay.execution.study import Plan, Trial
from assay.execution.trades import trade_rows
from assay.shifts.population import Population
from assay.stats.corruption import corruption_rows
from assay.stats.estimate import Estimate, errors_within, estimate, estimate_seeds
from assay.stats.measures import MEASURES
from assay.stats.panel import Panel
from assay.stats.verdict import verdict
from assay.store import schema
from assay.store.files import Row, read_json


def analyse(plan: Plan, place: Place, population: Population, stage: Stage) -> None:
    """Make every table under `tables/` and every picture under `pictures/` anew; keep what they need of the data.

    stage: hears what is done next.
    """
    stage("looking at the images once more, for pictures and cautions")
    gathered = Gathered(plan, place.folder, Folds(population, plan.spec.probes))
    described = describe(gathered, population)
    keep(place.folder, described)
    stage("making the comparisons")
    _tabulate(gathered, place, described)


def analyse_records(plan: Plan, place: Place) -> None:
    """Make every table under `tables/` anew from records and what the last run kept of the data. Draws no picture.

    Raises StoreError when no run ended there.
    """
    described = kept(place.folder)
    _tabulate(Gathered(plan, place.folder, described), place, described)


def _tabulate(gathered: Gathered, place: Place, described: Described) -> None:
    plan, folder = gathered.plan, place.folder
    trials = [_trial_row(trial, gathered) for trial in plan.trials]
    seeds, estimates = _estimates(gathered)
    estimates += _corruption(plan.spec, estimates)
    before = stated(place.root, plan.spec)
    contrasts = contrast_rows(gathered, before.pairs)
    environments = described.environments
    folder.write_table("trials", schema.TRIALS, trials)
    folder.write_table("sources", schema.SOURCES, [_source_row(source, gathered) for source in plan.sources])
    folder.write_table("seeds", schema.SEEDS, seeds)
    folder.write_table("estimates", schema.ESTIMATES, estimates)
    folder.write_table("contrasts", schema.CONTRASTS, contrasts)
    folder.write_table("half_doses", schema.HALF_DOSES, half_dose_rows(gathered))
    folder.write_table("dose_changes", schema.DOSE_CHANGES, dose_change_rows(gathered))
    folder.write_table("trades", schema.TRADES, trade_rows(gathered))
    folder.write_table("planes", schema.PLANES, plane_rows(gathered))
    folder.write_table("free_response", schema.FREE_RESPONSE, free_response_rows(gathered))
    folder.write_table("curves", schema.CURVES, curve_rows(gathered))
    folder.write_table("starts", schema.STARTS, start_rows(gathered))
    folder.write_table("recipes", schema.RECIPES, recipe_rows(plan.spec.points))
    folder.write_table("collapses", schema.COLLAPSES, collapse_rows(gathered))
    folder.write_table("similarities", schema.SIMILARITIES, similarity_rows(gathered))
    folder.write_table("environments", schema.ENVIRONMENTS, environments)
    folder.write_table("dose_counts", schema.DOSE_COUNTS, described.dose_counts)
    folder.write_table("visibility", schema.VISIBILITY, described.visibility)
    seeds_planned, dosed = (before.seeds, plan.spec.seeds), dose_axis(plan.spec.points)
    told = described.leakage, seeds_planned, dosed, described.cautions, marked(plan.spec.points)
    said = verdict(contrasts, estimates, trials, environments, *told)
    folder.write_table("sentences", schema.SENTENCES, said)
    folder.write_table("pictures", schema.PICTURES, described.pictures)
    folder.write_table("provenance", schema.PROVENANCE, _provenance_rows(gathered, described))


def _trial_row(trial: Trial, gathered: Gathered) -> Row:
    record = gathered.records.get(trial.id)
    failure = gathered.failures.get(trial.id, {})
    provenance = gathered.folder.unit("trials", trial.id) / "provenance.json"
    status = record["status"] if record else "failed" if failure else "pending"
    reason = (record or {}).get("reason") or str(failure.get("text", ""))
    return {
        "trial": trial.id,
        "recipe": trial.point.label,
        "coordinates": json.dumps(dict(trial.point.coordinates)),
        "seed": trial.training.seed,
        "fold": trial.training.fold,
        "status": "failed" if record and failure else status,
        "reason": reason,
        "seconds": read_json(provenance)["seconds"] if record else math.nan,
        **{name: _number((record or {}).get(name)) for name in ("yardstick", "train_loss", "validation_loss")},
    }


def _source_row(source: Source, gathered: Gathered) -> Row:
    folder = gathered.folder
    record = folder.record("sources", source.id) if folder.complete("sources", source.id) else {}
    failure = gathered.failures.get(source.id, {})
    return {
        "source": source.id,
        "name": source.name,
        "seed": source.training.seed,
        "status": record.get("status", "failed" if failure else "pending"),
        "reason": record.get("reason") or str(failure.get("text", "")),
        **{name: _number(record.get(name)) for name in ("yardstick", "steps", "images", "validation_auroc")},
    }


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _estimates(gathered: Gathered) -> tuple[list[Row], list[Row]]:
    seeds: list[Row] = []
    estimates: list[Row] = []
    for point in gathered.plan.spec.points:
        for environment in point.tests:
            panel = gathered.panel(point, environment)
            if panel is None:
                continue
            for measure in measures_of(gathered.plan.spec, panel):
                found = estimate(panel, measure)
                where = _where(point, {"measure": measure, "environment": environment})
                per_seed = zip(panel.numbers.tolist(), found.per_seed.tolist(), strict=True)
                seeds += [{**where, "seed": seed, "value": value, "reason": ""} for seed, value in per_seed]
                entry = MEASURES[measure]
                chance = entry.chance(panel.target, panel.scores.shape[2])
                estimates.append(_row(where, found, _unit(entry.unit, gathered), entry.direction, chance))
        for key, by_seed in gathered.scalars[point.label].items():
            where = _where(point, dict(zip(KEY_FIELDS, key, strict=True)))
            seeds += [
                {**where, "seed": seed, "value": row["value"], "reason": row["reason"]} for seed, row in by_seed.items()
            ]
            estimates.append(scalar_row(where, list(by_seed.values())))
    return seeds, estimates


def _corruption(spec: StudySpec, estimates: Sequence[Row]) -> list[Row]:
    """Corruption errors against what the first comparison of distorted images is against, or else the first of all."""
    of_distorted = (
        item for item in spec.contrasts if item.measure in NAMED and NAMED[item.measure].probe == "robustness"
    )
    first = next(of_distorted, next(iter(spec.contrasts), None))
    return corruption_rows(estimates, first.axis, first.against) if first else []


def _unit(of_measure: str, gathered: Gathered) -> str:
    """Lengths are in mm where the data name a column of mm per pixel."""
    return "mm" if of_measure == "px" and gathered.plan.spec.data.pixel_size else of_measure


def measures_of(spec: StudySpec, panel: Panel) -> list[str]:
    """The measures that kept outputs give: those of maps of a segmentation only, at native size only where that is
    asked, a weighted kappa and what is asked at
    a cut only where classes are known to have an order, the latter only where there is more than one cut.
    """
    several = panel.scores.shape[2] > 2
    ordered = not several or _has_ordered_classes(spec)
    native = asks_native(spec.probes)
    there = [one for one in MEASURES.values() if (panel.maps or not one.maps) and (native or not one.native)]
    return [one.name for one in there if (ordered or not one.ordinal) and (several or not one.cut)]


def _has_ordered_classes(spec: StudySpec) -> bool:
    """Whether the study says that its classes are grades: by its data, a comparison of a measure that needs it, or a
    loss for grades.
    """
    named = any(MEASURES[item.measure].ordinal for item in spec.contrasts if item.measure in MEASURES)
    graded = any(readout_of(point.recipe.loss) != "linear" for point in spec.points)
    return has_order(spec.data) or named or graded


def scalar_row(where: Row, rows: Sequence[Row]) -> Row:
    """One probe's measurement over seeds, undefined where it is for one of them (see `panel.evaluate`).

    What the probe says of single seeds (why undefined, not converged) is kept.
    """
    errors = errors_within([row["standard_error"] for row in rows])
    values = np.array([row["value"] for row in rows], dtype=np.float64)
    found = estimate_seeds(values, errors, range_of(rows[0]["measure"]))
    row = _row(where, found, rows[0]["unit"], rows[0]["direction"], rows[0]["chance"])
    said = dict.fromkeys(text for text in (row["reason"], *(one["reason"] for one in rows)) if text)
    return {**row, "reason": "; ".join(said), "patients": rows[0]["patients"], "images": rows[0]["n"]}


def _where(point: RecipePoint, key: Mapping[str, str]) -> Row:
    empty = dict.fromkeys(KEY_FIELDS, "")
    return {"recipe": point.label, "coordinates": json.dumps(dict(point.coordinates)), **empty, **key}


def _row(where: Row, found: Estimate, unit: str, direction: str, chance: float) -> Row:
    return {
        **where,
        "unit": unit,
        "direction": direction,
        "value": found.value,
        "low": found.low,
        "high": found.high,
        "standard_error": found.standard_error,
        "df": found.df,
        "seeds": found.seeds,
        "patients": found.patients,
        "images": found.images,
        "chance": chance,
        "reason": found.reason,
    }


def _provenance_rows(gathered: Gathered, described: Described) -> list[Row]:
    """Spec, hashes, versions and kinds of machine: what a reviewer needs to find this again."""
    spec = gathered.plan.spec
    records = [read_json(gathered.folder.unit("trials", id) / "provenance.json") for id in gathered.records]
    facts: dict[str, str] = {
        "study": spec.name,
        "question": spec.question,
        "seeds": str(spec.seeds),
        **described.facts,
        "hash of what is trained": spec.trained,
        "hash of what is probed": spec.probed,
        "hash of what is compared": spec.compared,
        "trained from": min((record["started"] for record in records), default=""),
        "trained to": max((record["started"] for record in records), default=""),
        "machine": ", ".join(sorted({f"{record['machine']} {record['processor']}" for record in records})),
        "device": ", ".join(sorted({record["device"] for record in records})),
        "python": ", ".join(sorted({record["python"] for record in records})),
    }
    for name in sorted({name for record in records for name in record["libraries"]}):
        # trials of an earlier version may not have named all that a later one does
        versions = {record["libraries"][name] for record in records if name in record["libraries"]}
        facts[name] = ", ".join(sorted(versions))
    dumped = without_home(spec.model_dump(mode="json", exclude_defaults=True))
    facts["spec"] = json.dumps(dumped, ensure_ascii=False, indent=1)
    return [{"key": key, "value": value} for key, value in facts.items() if value]


def without_home(value: Any) -> Any:
    """A spec's content with absolute paths cut to their last two parts: a page is shared, and they name its author."""
    if isinstance(value, dict):
        return {key: without_home(item) for key, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [without_home(item) for item in cast("list[Any]", value)]
    if isinstance(value, str) and (PurePosixPath(value).is_absolute() or PureWindowsPath(value).is_absolute()):
        parts = (PurePosixPath(value) if value.startswith("/") else PureWindowsPath(value)).parts[1:]
        return "/".join(("…", *parts[-2:]))
    return value
