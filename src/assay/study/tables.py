"""Compute the result tables of a study from its records.

`analyze` reads the images again, draws pictures and returns `StudyTables`; `tables_of` returns them without images. A
table is computed when it is looked up, by its function in `TABLE_MAKERS`. `StudyEstimates` are computed once for all.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.core.files import hide_paths
from assay.core.measures import MEASURES, range_of
from assay.core.reasons import NO_REASON, Reason, combine_reasons, parse_reason
from assay.core.reasons import reason_in_words as reason_in_words
from assay.execution.plan import Plan, Trial, gc_paused
from assay.execution.progress import Stage
from assay.execution.sources import Source
from assay.execution.workspace import Workspace, read_provenance
from assay.spec.checks import asks_native
from assay.spec.data import has_order
from assay.spec.environments import dose_axis, start_of
from assay.spec.grid import label
from assay.spec.recipe import WORST_GROUP, Component, looks_at_labels, training_labels
from assay.spec.schema import RecipePoint, SourceSpec, StudySpec
from assay.stats.compare import Contrast
from assay.stats.corruption import corruption_rows
from assay.stats.decisions import decide_families
from assay.stats.doubts import Split, outlying_seeds, study_findings
from assay.stats.estimate import estimate_row, estimate_seeds, estimates_of_seeds
from assay.stats.estimate import estimates as estimates_of
from assay.stats.findings import finding_row
from assay.stats.format import count
from assay.stats.measures import COMPUTED
from assay.stats.panel import SeedPredictions, measure_by_seed
from assay.stats.rows import KEY_FIELDS, add_trial_counts, compared_estimates, with_id, without_patient_counts
from assay.store import schema
from assay.store.description import read_description, write_description
from assay.store.files import ColumnRows, Row
from assay.store.folder import RunFolder
from assay.store.views import SeedValues
from assay.study.contrasts import carry_out_comparisons, change_rows, compute_contrast, dose_change_rows, reliance_rows
from assay.study.described import DataTables, describe, gather_records
from assay.study.failures import collapse_rows, with_failures
from assay.study.families import PlannedComparison, study_comparisons
from assay.study.gathered import Records
from assay.study.interim import InterimLook, carry_out_looks, contrasts_of, look_rows, seeds_of
from assay.study.measurements import SEED, values_of_seeds
from assay.study.published import order_rows, published_rows
from assay.study.records import stored_study
from assay.study.registration import (
    ANOTHER_SOURCE,
    Prespecified,
    read_prespecified,
    read_registration,
    registration_file,
)
from assay.study.registration import FILE as REGISTRATION
from assay.study.replication import find_earlier, replication_rows
from assay.study.segmentation import point_rows, trade_rows
from assay.study.similarity import similarity_rows

if TYPE_CHECKING:
    from assay.shifts.population import Population


# What each start of a study is, and whose group labels each recipe used: from the spec and the records.

AXIS = "initialization"


def start_rows(records: Records) -> list[Row]:
    """Rows of `schema.STARTS`, one per initialization and architecture, in the order of the spec."""
    by_start: dict[tuple[str, str], list[RecipePoint]] = {}
    for point in records.plan.spec.points:
        by_start.setdefault((_start_label(point), point.recipe.architecture.label), []).append(point)
    has_several_architectures = len({architecture for _, architecture in by_start}) > 1
    return [
        _start_row(f"{start_name} ({architecture})" if has_several_architectures else start_name, points, records)
        for (start_name, architecture), points in by_start.items()
    ]


def recipe_rows(points: Sequence[RecipePoint]) -> list[Row]:
    """Rows of `schema.RECIPES`."""
    return [
        {
            **point.columns,
            "mitigation": point.recipe.mitigation.label,
            "groups": point.recipe.groups,
            "training_labels": training_labels(point.recipe.mitigation),
            "selection_labels": "validation" if point.recipe.selection == WORST_GROUP else "none",
        }
        for point in points
    ]


def _start_label(point: RecipePoint) -> str:
    """As on its axis; without one, a source by its name."""
    start = point.recipe.initialization
    named = "" if start.params.get("statistics") else start_of(point.recipe)
    return point.coordinates.get(AXIS) or named or start.label


def _start_row(start_name: str, points: Sequence[RecipePoint], records: Records) -> Row:
    component = points[0].recipe.initialization
    labels = {point.label for point in points}
    trials = [trial.id for trial in records.plan.trials if trial.point.label in labels]
    trial_records = [records.trials[id] for id in trials if id in records.trials]
    record = next(
        (record_of_start for record_of_start in trial_records if "start" in record_of_start), dict[str, Any]()
    )  # one that diverged has none
    source = start_of(points[0].recipe)
    source_of_weights = "" if component.params.get("statistics") else source
    return {
        "start": start_name,
        "kind": component.name,
        "component": component.label,
        "statistics": source if component.params.get("statistics") else "",
        "below": _start_before(source_of_weights, records),
        "file": "" if source else record.get("start", {}).get("file", ""),
        "sha256": component.params.get("sha256", ""),
        "scaling": record.get("scaling", ""),
        **_source_training_columns(source_of_weights, points[0].recipe.architecture, records),
    }


def _start_before(source: str, records: Records) -> str:
    """Return the start that a source adds a stage to; empty where it begins with random weights, or for no source."""
    if not source:
        return ""
    recipe = records.plan.spec.sources[source].recipe
    start_of_source = start_of(recipe) or recipe.initialization.label
    return "" if start_of_source == "random" else start_of_source


def _source_training_columns(name: str, architecture: Component, records: Records) -> Row:
    """Describe the training of a source by the study; NaN and empty for every other start."""
    empty_columns: Row = {"data": "", "phantom": "", "target": "", "reason": ""}
    empty_columns |= dict.fromkeys(("size", "steps", "images", "seeds", "value", "low", "high"), math.nan)
    if not name:
        return empty_columns
    records_by_seed = _records_by_seed(name, architecture, records)
    aurocs = [np.array([record.get("validation_auroc") for record in folds], np.float64) for folds in records_by_seed]
    values = np.array([of_folds.mean() for of_folds in aurocs])
    estimate = estimate_seeds(measure_by_seed(values, np.arange(len(values)), bounds=(0.0, 1.0)))
    trained = {key: float(records_by_seed[0][0][key]) for key in ("steps", "images")} if records_by_seed else {}
    return {
        **empty_columns,
        **_source_data_columns(records.plan.spec.sources[name]),
        **trained,
        "seeds": len(records_by_seed),
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "reason": str(estimate.reason),
    }


def _records_by_seed(name: str, architecture: Component, records: Records) -> list[list[Mapping[str, Any]]]:
    """The records of each seed's folds of a source, with the network of the recipes that start from it.

    A seed of which a fold was not soundly trained is left out.
    """
    by_seed: dict[int, list[Mapping[str, Any]]] = {}
    for source in records.plan.sources:
        if source.name == name and source.training.recipe.architecture == architecture:
            is_over = records.folder.complete("sources", source.id)
            record = records.folder.record("sources", source.id) if is_over else {"status": "pending"}
            by_seed.setdefault(source.training.seed, []).append(record)
    return [folds for folds in by_seed.values() if all(record["status"] == "done" for record in folds)]


def _source_data_columns(source: SourceSpec) -> Row:
    data = source.data
    return {
        "data": "own" if source.own else "phantom" if data.phantom else "files",
        "phantom": label({data.phantom.name: dict(data.phantom.params)}) if data.phantom and not source.own else "",
        "target": data.target if looks_at_labels(source.recipe.loss) else "",
        "size": float(data.size),
    }


# From records to the tables that the page shows: estimates, contrasts, associations, findings. Reads no model.


def analyze(plan: Plan, workspace: Workspace, population: Population, stage: Stage) -> StudyTables:
    """Make every picture under `pictures/`, store the description of the data, and return the tables.

    Args:
        stage: Callback for the next step.
    """
    stage("reading the images again, for pictures and cautions")
    records = gather_records(plan, workspace.folder, population)
    described = describe(records, population)
    write_description(workspace.folder, described)
    stage("making the comparisons")
    return StudyTables(records, described)


def tables_of(folder: RunFolder) -> StudyTables:
    """Return the tables from records and the stored description of the data. Draws no picture.

    Raises:
        StoreError: No run ended there.
    """
    described = read_description(folder, DataTables)
    return StudyTables(Records(stored_study(folder.root).plan, folder, described), described)


@dataclass(frozen=True)
class StudyTables(Mapping[str, Sequence[Row]]):
    """The tables of a study, each made when it is looked up, from its records and the description of its data."""

    records: Records
    described: DataTables

    def __getitem__(self, name: str) -> Sequence[Row]:
        rows = TABLE_MAKERS[name](self)
        return (
            [without_patient_counts(row) for row in rows]
            if self.described.facts["intervals over"] == "images"
            else rows
        )

    def __iter__(self) -> Iterator[str]:
        return iter(TABLE_MAKERS)

    def __len__(self) -> int:
        return len(TABLE_MAKERS)

    @property
    def spec(self) -> StudySpec:
        """The study."""
        return self.records.plan.spec

    @property
    def root(self) -> Path:
        """Path of its run folder."""
        return self.records.folder.root

    @cached_property
    def measured_estimates(self) -> StudyEstimates:
        """Estimates with the values behind them, and what was compared while they were made."""
        estimates = _estimates(self.records, () if self.spec.looks else study_comparisons(self.spec))
        estimates.estimates.add(list(map(with_id, _corruption_error_rows(self.spec, estimates.estimates))))
        return estimates

    @cached_property
    def before(self) -> Prespecified:
        """Comparisons and seeds that were specified before results existed."""
        return read_prespecified(self.root, self.spec)

    @cached_property
    def trials(self) -> list[Row]:
        """Rows of `schema.TRIALS`: networks, and ensembles that lack something of their own."""
        rows = ((trial, _trial_row(trial, self.records)) for trial in self.records.plan.trials)
        return [row for trial, row in rows if not trial.training.members or row["status"] in ("failed", "pending")]

    @cached_property
    def looks(self) -> list[InterimLook]:
        """Looks at the primary comparisons; none of a study without, nor before the first is complete."""
        return compute_looks(self.records.plan, self.root, lambda part: replace(self.records, plan=part))

    @cached_property
    def contrasts(self) -> list[Row]:
        """Rows of `schema.CONTRASTS`."""
        if self.looks:
            rows = contrasts_of(self.looks, self.spec.most_seeds)
            rows = self.before.mark(rows, lambda row: seeds_of(row["id"], self.looks))
        else:
            measured = self.measured_estimates
            rows = decide_families(
                carry_out_comparisons(self.records, self.before.pairs, measured.carried), measured.estimates
            )
            rows = self.before.mark(rows, lambda _: self.spec.seeds)
        return with_failures(add_trial_counts(rows, self.trials), self.records, self.values_by_seed(rows))

    def values_by_seed(self, contrasts: Sequence[Row]) -> list[Row]:
        """Return rows of `schema.SEEDS` in the places of contrasts; of a study without any, all."""
        measured = self.measured_estimates
        return list(SeedValues(measured.values).rows(compared_estimates(measured.estimates, contrasts)))


def estimates_so_far(plan: Plan, folder: RunFolder, population: Population) -> Sequence[Row]:
    """Return rows of `schema.ESTIMATES` of the records of a plan, or of a part of one, without any comparison."""
    return _estimates(gather_records(plan, folder, population)).estimates


def compute_looks(
    plan: Plan,
    root: Path,
    gather_part: Callable[[Plan], Records],
    known_looks: Sequence[InterimLook] = (),
    recipes: Collection[str] | None = None,
) -> list[InterimLook]:
    """Carry out the looks of a study that its records suffice for (see `carry_out_looks`)."""

    def measure_part(part: Plan) -> tuple[Records, Sequence[Row]]:
        records = gather_part(part)
        return records, _estimates(records).estimates

    return (
        carry_out_looks(
            plan, RunFolder(root), read_prespecified(root, plan.spec).pairs, measure_part, known_looks, recipes
        )
        if plan.spec.looks
        else []
    )


def _findings(tables: StudyTables) -> Sequence[Row]:
    described, spec, estimates = tables.described, tables.spec, tables.measured_estimates.estimates
    seeds = tables.values_by_seed(tables.contrasts)
    findings = study_findings(
        tables.contrasts,
        estimates,
        tables.trials,
        described.environments,
        (tables.before.looks[-1], spec.most_seeds),
        dose_axis(spec.points),
        (*described.cautions, *outlying_seeds(seeds, tables.contrasts)),
        split=split_of(spec),
    )
    return list(map(finding_row, findings))


TABLE_MAKERS: Mapping[str, Callable[[StudyTables], Sequence[Row]]] = {
    "trials": lambda tables: tables.trials,
    "sources": lambda tables: [_source_row(source, tables.records) for source in tables.records.plan.sources],
    "values": lambda tables: tables.measured_estimates.values,
    "estimates": lambda tables: tables.measured_estimates.estimates,
    "contrasts": lambda tables: tables.contrasts,
    "reliance_contrasts": lambda tables: tables.measured_estimates.reliance,
    "condition_changes": lambda tables: tables.measured_estimates.changes,
    "dose_changes": lambda tables: add_trial_counts(dose_change_rows(tables.records), tables.trials),
    "trades": lambda tables: trade_rows(tables.records),
    "points": lambda tables: point_rows(tables.records),
    "looks": lambda tables: tables.before.mark(look_rows(tables.looks), lambda row: min(row["look"], row["closed_at"])),
    "replications": lambda tables: replication_rows(tables.root, tables.spec, tables.contrasts),
    "starts": lambda tables: start_rows(tables.records),
    "recipes": lambda tables: recipe_rows(tables.spec.points),
    "collapses": lambda tables: collapse_rows(tables.records),
    "similarities": lambda tables: similarity_rows(tables.records),
    "environments": lambda tables: tables.described.environments,
    "dose_counts": lambda tables: tables.described.dose_counts,
    "visibility": lambda tables: tables.described.visibility,
    "shortcuts": lambda tables: tables.described.shortcuts,
    "issues": lambda tables: tables.described.issues,
    "added": lambda tables: tables.described.added,
    "findings": _findings,
    "pictures": lambda tables: tables.described.pictures,
    "published": lambda tables: published_rows(
        tables.spec, tables.measured_estimates.estimates, tables.measured_estimates.values
    ),
    "published_orders": lambda tables: order_rows(tables.spec, tables.measured_estimates.estimates, tables.contrasts),
    "provenance": lambda tables: _study_provenance(tables.records, tables.described),
}
"""Maker of the rows of every table of `schema.TABLES`."""


def split_of(spec: StudySpec) -> Split:
    """Return how the training rows of all seeds come from one pool; empty of phantoms and of folds."""
    if spec.data.phantom or spec.data.split.folds:
        return ""
    return "column" if spec.data.split.column else "shares"


def _trial_row(trial: Trial, records: Records) -> Row:
    record = records.trials.get(trial.id)
    failure = records.failures.get(trial.id, {})
    status = record["status"] if record else "failed" if failure else "pending"
    reason = (record or {}).get("reason") or str(reason_in_words(str(failure.get("text", ""))))
    missing_part = records.why_incomplete(trial) if record and not failure else NO_REASON
    return {
        "trial": trial.id,
        **trial.point.columns,
        "seed": trial.training.seed,
        "fold": trial.training.fold,
        "status": "failed" if record and failure else "pending" if missing_part else status,
        "reason": str(missing_part) or reason,
        "seconds": read_provenance(records.folder.unit("trials", trial.id)).get("seconds", math.nan),
        **{
            name: _number_or_undefined((record or {}).get(name))
            for name in ("yardstick", "train_loss", "validation_loss")
        },
    }


def _source_row(source: Source, records: Records) -> Row:
    folder = records.folder
    record = folder.record("sources", source.id) if folder.complete("sources", source.id) else {}
    failure = records.failures.get(source.id, {})
    return {
        "source": source.id,
        "name": source.name,
        "seed": source.training.seed,
        "status": record.get("status", "failed" if failure else "pending"),
        "reason": record.get("reason") or str(reason_in_words(str(failure.get("text", "")))),
        **{
            name: _number_or_undefined(record.get(name))
            for name in ("yardstick", "steps", "images", "validation_auroc")
        },
    }


def _number_or_undefined(value: Any) -> float:
    return math.nan if value is None else float(value)


MEASUREMENTS_AT_ONCE = 64
"""Measurements whose contributions are held at once, to compute their variances together."""


@dataclass(frozen=True)
class StudyEstimates:
    """Rows of values, estimates, reliance and changes between conditions, and comparisons by id."""

    values: ColumnRows
    estimates: ColumnRows
    reliance: list[Row]
    changes: list[Row]
    carried: dict[str, Contrast]


@gc_paused()
def _estimates(records: Records, pairs: Sequence[PlannedComparison] = ()) -> StudyEstimates:
    """Measure recipe by recipe, and compare each pair as soon as all of its recipes are, while they are in memory."""
    values, estimates = (ColumnRows({name: [] for name in table.names}) for table in (schema.VALUES, schema.ESTIMATES))
    measured = StudyEstimates(values, estimates, [], [], {})
    labels = [point.label for point in records.plan.spec.points]
    comparisons_by_last_recipe: dict[str, list[PlannedComparison]] = {}
    for pair in pairs:
        comparisons_by_last_recipe.setdefault(max(pair.recipes, key=labels.index), []).append(pair)

    def add(rows: Sequence[Row], by_seed: Sequence[tuple[Sequence[int], Sequence[float]]]) -> None:
        estimates.add(rows)
        for row, (seeds, values_by_row) in zip(rows, by_seed, strict=True):
            values.extend({"id": row["id"]}, {"seed": seeds, "value": values_by_row})

    for point in records.plan.spec.points:
        records.read_ahead(point)
        for environment in point.tests:
            panel = records.panel(point, environment)
            if panel is None:
                continue
            measures = measures_of(records.plan.spec, panel)
            for measure, estimate in zip(measures, estimates_of(panel, measures), strict=True):
                entry = COMPUTED[measure]
                where = where_of(point, {"measure": measure, "environment": environment})
                chance = entry.chance(panel.target, panel.scores.shape[2])
                definition = entry.entry
                row = estimate_row(
                    where, estimate, _unit_in_study(definition.unit, records), definition.direction, chance
                )
                add([row], [(panel.seed_ids.tolist(), estimate.per_seed.tolist())])
        recipe = where_of(point, {})
        scalars = [
            ({**recipe, **dict(zip(KEY_FIELDS, key, strict=True))}, rows)
            for key, rows in records.measurements(point).items()
        ]
        for start in range(0, len(scalars), MEASUREMENTS_AT_ONCE):
            batch = scalars[start : start + MEASUREMENTS_AT_ONCE]
            add(scalar_rows(batch), [(rows.columns[SEED], rows.columns["value"]) for _, rows in batch])
        measured.reliance.extend(reliance_rows(records, point))
        measured.changes.extend(change_rows(records, point))
        measured.carried.update(
            (pair.id, compute_contrast(records, pair)) for pair in comparisons_by_last_recipe.get(point.label, ())
        )
    return measured


def _corruption_error_rows(spec: StudySpec, estimates: Sequence[Row]) -> list[Row]:
    """Corruption errors relative to the reference of the first comparison of distorted images, or else the first."""
    of_distorted = (
        item for item in spec.contrasts if item.measure in MEASURES and MEASURES[item.measure].probe == "robustness"
    )
    first = next(of_distorted, next(iter(spec.contrasts), None))
    return corruption_rows(estimates, first.axis, first.against) if first else []


def _unit_in_study(of_measure: str, records: Records) -> str:
    """Lengths are in mm where the data name a column of mm per pixel."""
    return "mm" if of_measure == "px" and records.plan.spec.data.pixel_size else of_measure


def measures_of(spec: StudySpec, panel: SeedPredictions) -> list[str]:
    """Return the measures that kept outputs give.

    Those of maps of a segmentation only, at native size only where that is asked. A weighted kappa and measures at a
    cut only where classes are known to have an order, the latter only where there is more than one cut.
    """
    has_several_classes = panel.scores.shape[2] > 2
    ordered = not has_several_classes or _has_ordered_classes(spec)
    native = asks_native(spec.probes)
    domains = ((name, measure.requirements) for name, measure in COMPUTED.items())
    computed = [
        (name, requirements)
        for name, requirements in domains
        if (panel.maps or not requirements.maps) and (native or not requirements.native)
    ]
    return [
        name
        for name, requirements in computed
        if (ordered or not requirements.ordinal) and (has_several_classes or not requirements.grade_cutoff)
    ]


def _has_ordered_classes(spec: StudySpec) -> bool:
    """Whether the study says that its classes are grades: by its data, or a comparison of a measure that needs it."""
    compares_grades = any(
        COMPUTED[item.measure].requirements.ordinal for item in spec.contrasts if item.measure in COMPUTED
    )
    return has_order(spec.data) or compares_grades


def scalar_rows(measured: Sequence[tuple[Row, ColumnRows]]) -> list[Row]:
    """Return measurements of probes over seeds, undefined where they are for one of them (see `panel.evaluate`).

    The probe's remarks on single seeds (why undefined, not converged) are kept.

    Args:
        measured: Columns that name each measurement, and its rows, one per seed.
    """
    parts = [values_of_seeds(by_seed, "", range_of(where["measure"])) for where, by_seed in measured]
    rows: list[Row] = []
    for (where, by_seed), estimate in zip(measured, estimates_of_seeds(parts), strict=True):
        # where a seed has no value, its own reason follows with those of the others
        reasons = combine_reasons([Reason(estimate.reason.causes[:1]), *map(parse_reason, by_seed.columns["reason"])])
        first = by_seed[0]
        counted = replace(estimate, patients=first["patients"], images=first["n"], reason=reasons)
        rows.append(estimate_row(where, counted, first["unit"], first["direction"], first["chance"]))
    return rows


def where_of(point: RecipePoint, key: Mapping[str, str]) -> Row:
    """Return the columns that name an estimate; those without a value are empty."""
    return {**point.columns, **dict.fromkeys(KEY_FIELDS, ""), **key}


def _study_provenance(records: Records, described: DataTables) -> list[Row]:
    """Spec, hashes, versions and kinds of machine, as needed to find this again."""
    spec = records.plan.spec
    provenances = [read_provenance(records.folder.unit("trials", id)) for id in records.trials]
    known_provenances = [record for record in provenances if record]
    unrecorded = len(provenances) - len(known_provenances)
    hosts = {record["host"] for record in known_provenances}
    facts: dict[str, str] = {
        "study": spec.name,
        "question": spec.question,
        "command": spec.command,
        **({schema.DIFFERENCES: " ".join(spec.differences)} if spec.differences else {}),
        "seeds": " to ".join(dict.fromkeys((str(spec.seeds), str(spec.most_seeds)))),
        **described.facts,
        **_registration_facts(records.folder.root),
        **_replication_facts(records.folder.root, spec),
        "hash of what is trained": spec.training_hash,
        "hash of what is probed": spec.probe_hash,
        "hash of what is compared": spec.contrast_hash,
        "trained from": min((record["started"] for record in known_provenances), default=""),
        "trained to": max((record["started"] for record in known_provenances), default=""),
        "machine": ", ".join(sorted({f"{record['machine']} {record['processor']}" for record in known_provenances})),
        **({"machines": str(len(hosts))} if len(hosts) > 1 else {}),
        "device": ", ".join(sorted({record["device"] for record in known_provenances})),
        "python": ", ".join(sorted({record["python"] for record in known_provenances})),
        **({"models": str(len(spec.models))} if spec.models else {}),
    }
    if unrecorded:
        facts["not known"] = f"time, machine and versions of {unrecorded} of {count(len(provenances), 'trial')}"
    for name in sorted({name for record in known_provenances for name in record["libraries"]}):
        # trials of an earlier version may not have named all that a later one does
        versions = {record["libraries"][name] for record in known_provenances if name in record["libraries"]}
        facts[name] = ", ".join(sorted(versions))
    return [{"key": key, "value": value} for key, value in {**facts, **spec_facts(spec)}.items() if value]


def spec_facts(spec: StudySpec) -> dict[str, str]:
    """Return a study as it was resolved, and its file as it was written with scale and overrides, both as JSON."""
    forms = {"spec": spec.canonical(), "study file": spec.written}
    return {key: json.dumps(hide_paths(form), ensure_ascii=False, indent=1) for key, form in forms.items() if form}


def _registration_facts(root: Path) -> dict[str, str]:
    registration = read_registration(root / REGISTRATION)
    if registration is None:
        return {}
    facts = {
        "registered": registration.content["time"],
        "registration": file.name if (file := registration_file(root)).is_file() else "",
        "hash of the registration": registration.sha256,
        "registration from": "" if registration.is_ours else ANOTHER_SOURCE,
        "deposit": registration.receipt,
    }
    return {**facts, "commit of the registration": registration.content.get("commit", "")}


def _replication_facts(root: Path, spec: StudySpec) -> dict[str, str]:
    first = find_earlier(root, spec)
    if first is None:
        return {}
    patients = "new" if first.has_new_patients(spec) else "same"
    return {"replication of": first.title, "repeated with": f"new seeds, {patients} patients"}
