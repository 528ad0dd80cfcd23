"""Audit predictions from a table, without images: how scores and errors differ with its columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from assay.audit.harms import sort_by_harm
from assay.audit.kind import AUDIT
from assay.audit.request import FEW_PATIENTS, FEW_PATIENTS_TEXT, AuditRequest, untested_words
from assay.audit.scored import (
    ScoredImages,
    better_preprocessing,
    check,
    require_classes,
    second_half,
    threshold_of,
    threshold_without_predictions,
)
from assay.audit.subgroups import added_value_rows, column_rows, column_tables
from assay.audit.swing import auroc_with_bounds
from assay.core.errors import key_text
from assay.core.files import content_hash, sha256
from assay.core.types import FactorTable
from assay.core.versions import OF_STATISTICS, time_and_versions
from assay.data.files.kinds import columns_left_out, factor_of, weights_of_cases
from assay.data.files.restated import restated
from assay.data.files.roles import (
    MOST_CLASSES,
    called_calls,
    called_image,
    called_patient,
    called_unit,
    holds_results,
)
from assay.data.files.score_cases import read_score_table, require_one_row_each
from assay.data.files.scored import ScoredRows, overflow_words, read_scored_rows, softmax_twice_words
from assay.data.files.table import patient_codes, require_whole
from assay.execution.local import InProcess
from assay.execution.run import RunSteps, Tables, carry_out
from assay.look.cues import cues_of_table, shortcut_rows
from assay.report.sentences.scores import called_alike, scale_words
from assay.stats.bounds import BoundedEstimate
from assay.stats.format import with_interval
from assay.stats.panel import effective_patients_of_classes
from assay.stats.scores import scale_of
from assay.store.files import Row
from assay.store.folder import RunFolder


def audit_predictions(path: Path, request: AuditRequest, out: Path, guessed: str = "") -> Path:
    """Audit scores in a CSV by its columns, and write tables, `verdicts.json` and page. Return the run folder.

    Args:
        path: The CSV.
        request: Names its columns; each row is a patient where `patient` is empty.
        out: The run folder.
        guessed: Columns that nobody named, for readers.

    Raises:
        DataError: The file cannot be read, has an image twice, a score is not a number, or all rows are of one class.
        SpecError: A column is missing, the positive class is not known, or the scores seem to be of the other class.
        StoreError: The folder holds the audit of another file or of other columns, or another kind of run.
    """
    run = _read_predictions(path, request, guessed)
    carry_out(run, out, InProcess())
    return out


@dataclass(frozen=True, eq=False)
class PredictionsRun(RunSteps):
    """An audit of predictions as a `Run` without tasks.

    Attributes:
        request: Names of the columns.
        digest: Hash of the file.
        scored: The rows with their scores.
        checks: Checks of how the scores are read.
        facts: Rows of `provenance`.
    """

    request: AuditRequest
    digest: str
    scored: ScoredImages
    checks: Sequence[Row]
    facts: Mapping[str, str]
    kind = AUDIT

    @property
    def subject(self) -> str:
        """See `Run`."""
        return content_hash([self.digest, self.request.target, self.request.score])

    @property
    def values(self) -> Mapping[str, Any]:
        """See `Run`."""
        return self.request.values

    @property
    def stamp(self) -> Mapping[str, str]:
        """See `Run`."""
        request = self.request
        return {"audit": content_hash([self.digest, request.margin, self.scored.threshold, request.named])}

    def conclude(self, folder: RunFolder) -> Tables:
        """Return the tables."""
        scored, table = self.scored, self.scored.table
        verdicts, groups, gaps = column_tables(scored, self.request.margin)
        cues = list(cues_of_table(table, "column"))
        return {
            "shortcuts": shortcut_rows(cues),
            "added": added_value_rows(scored, cues, table),
            "verdicts": sort_by_harm(verdicts, (), self.request.margin),
            "groups": groups,
            "gaps": gaps,
            "checks": self.checks,
            "provenance": [{"key": key, "value": value} for key, value in self.facts.items() if value],
            "columns": column_rows(table),
        }


def _read_predictions(path: Path, request: AuditRequest, guessed: str) -> PredictionsRun:
    """Read predictions, and check how they are read."""
    score_table = read_score_table(path, request.score, request.image, request.patient)
    require_whole(score_table)
    roles = {role: getattr(request, role) for role in ("target", "score", "patient", "image")}
    remedy = f"keep one row of each, or name the column of cases with {key_text('--image', 'COLUMN')}"
    require_one_row_each(score_table, roles, request, "audit", remedy, request.columns)
    rows = read_scored_rows(score_table, roles, request.positive, request.skip_bad_rows)
    table = _factor_table(rows, request)
    require_classes(table)
    if not request.as_given:
        rows.require_positive_by_name()
    scale = scale_of(
        rows.score,
        request.scores,
        threshold_without_predictions(request.threshold),
        f"the scores in '{request.score}'",
        request.score,
    )
    if not request.as_given:
        rows.require_score_of_one_class(100 if scale.kind == "percent" else 1)
    logits = np.stack([np.zeros(len(rows.score)), scale.log_odds(rows.score)], axis=1)
    threshold = threshold_of(request.threshold, logits, table)
    scored = ScoredImages(table, logits, threshold, scale.kind != "other", scale.probabilities(rows.score))
    auroc = auroc_with_bounds(scored.scores[:, 0], table.target, table.patient)
    checks = _score_checks(scored, rows, request, auroc)
    is_named = rows.class_by_name() == 1
    patients = f"{len(np.unique(table.patient)):,}"
    facts = {
        "model": path.stem,
        "kind": "predictions",
        "columns": guessed,
        "columns not tested": "" if request.columns else untested_words(_group_columns(rows)),
        **rows.facts(request.columns),
        "columns left out": columns_left_out(weights_of_cases(rows.table, (*rows.roles.values(), *request.columns))),
        "hash of the model": sha256(path),
        "images": f"{len(table):,}",
        "patients": patients,
        "intervals over": "patients" if request.patient else "images",
        "scores": scale_words(scale),
        "left out": rows.left_out,
        "AUROC": f"{with_interval(auroc.value, auroc.low, auroc.high)} on {len(table):,} images"
        f"{f' of {patients} patients' if request.patient else ''} (one-sided 95% bounds)",
        "outputs": f"the score is that of '{table.classes[1]}', by the name of '{request.score}'" if is_named else "",
        "threshold": f"{scored.threshold:.6g}",
        "margin": f"{request.margin:g}",
        "domain": request.domain,
        "intended use": request.intended_use,
        "command": (request if request.image in score_table.header else request.with_changes(image="")).line,
        **time_and_versions(OF_STATISTICS),
    }
    return PredictionsRun(request, sha256(path), scored, checks, facts)


def _score_checks(scored: ScoredImages, rows: ScoredRows, request: AuditRequest, auroc: BoundedEstimate) -> list[Row]:
    """Return checks of how the scores are read. Raises SpecError where they seem to be of the other class."""
    table = scored.table
    status = "ok" if auroc.low > 0.5 else "warn"
    performance_check = check("ranking", status, "AUROC on these rows", auroc.value, measure="AUROC")
    if better_preprocessing(scored, {}, second_half(table.patient, request.seed, "halves")):
        performance_check["text"] += f", and {1 - auroc.value:.2f} with the classes the other way round"
        if not request.as_given:
            raise rows.reversed_ranking(auroc.value)
    pixel_check = check("pixels", "not-done", "predictions have no images, so no marks or distortions were tested")
    sentence = called_alike(scored.logits, table.target, table.classes, scored.threshold)
    patients = effective_patients_of_classes(table.target, table.patient)
    is_few = bool(request.patient) and patients < FEW_PATIENTS
    few_patients_checks = [check("few-patients", "warn", FEW_PATIENTS_TEXT, patients)] if is_few else []
    ends, twice = overflow_words(rows.score), softmax_twice_words(rows.score)
    return [
        performance_check,
        *few_patients_checks,
        *([check("overflow", "warn", f"{ends}: compute them with 32 bits")] if ends else []),
        *([check("softmax", "warn", f"{twice}: leave one out")] if twice else []),
        pixel_check,
        *([check("calls", "warn", sentence)] if sentence else []),
    ]


def _group_columns(rows: ScoredRows) -> list[str]:
    """Return the columns of a few values that have no part yet, no ids, decisions or other words of the target."""
    table = rows.table
    used = {*rows.roles.values(), *restated(table, rows.roles["target"]), *weights_of_cases(table, ())}
    return [
        name
        for name in table.header
        if name not in used
        and 1 < len({*table.present(name)}) <= MOST_CLASSES
        and not (called_patient(name) or called_unit(name) or called_calls(name) or called_image(name))
        and not holds_results(name, table.present(name))
    ]


def _factor_table(rows: ScoredRows, request: AuditRequest) -> FactorTable:
    """Return the rows as a table of images, with the columns that are named as factors."""
    patients = rows.cells("patient") or [*map(str, range(len(rows.score)))]
    cells_of_column = {name: rows.table.column(name, key_text("--columns")) for name in request.columns}
    factors = [factor_of(name, cells, rows.table.comma) for name, cells in cells_of_column.items()]
    return FactorTable(
        row=np.arange(len(rows.score)),
        target=rows.target.codes,
        patient=patient_codes(patients),
        classes=rows.target.classes,
        factors=tuple(factor for factor, _ in factors),
        columns={factor.name: values for factor, values in factors},
    )
