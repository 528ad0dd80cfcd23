"""Audit scores that were made elsewhere, without images: answers by column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from assay.audit.cards import write_outcome
from assay.audit.kind import AUDIT
from assay.audit.request import AuditRequest
from assay.audit.scored import (
    Scored,
    better,
    by_harm,
    check,
    column_rows,
    model_added,
    of_columns,
    probability_of,
    require_classes,
    second_half,
    threshold_of,
)
from assay.audit.swing import area
from assay.core.errors import DataError, SpecError, key_text
from assay.core.files import content_hash, sha256
from assay.core.types import FactorTable
from assay.core.versions import OF_STATISTICS, versions
from assay.data.files.classes import two_classes
from assay.data.files.kinds import (
    alike_patients,
    cautions_of,
    factor_of,
    notation_of,
    one_patient,
    split_counts,
    usable,
)
from assay.data.files.roles import class_of_score
from assay.data.files.table import TextTable, number, patient_codes, read_table, require_whole
from assay.execution.local import InProcess
from assay.execution.run import RunSteps, Tables, carry_out
from assay.look.cues import cues_of_table, shortcut_rows
from assay.report.sentences.scores import called_alike, scale_words
from assay.stats.bounds import Bounded
from assay.stats.format import with_interval
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
        DataError: The file cannot be read, has an image twice, a score is no number, or all rows are of one class.
        SpecError: A column is missing, the positive class is not known, or the scores seem to be of the other class.
        StoreError: The folder holds the audit of another file or of other columns, or another kind of run.
    """
    run = _read(path, request, guessed)
    carry_out(run, out, InProcess(), write_outcome)
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
    scored: Scored
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
        verdicts, groups, gaps = of_columns(scored, self.request.margin)
        cues = list(cues_of_table(table, "column"))
        return {
            "shortcuts": shortcut_rows(cues),
            "added": model_added(scored, cues, table),
            "verdicts": by_harm(verdicts),
            "groups": groups,
            "gaps": gaps,
            "checks": self.checks,
            "provenance": [{"key": key, "value": value} for key, value in self.facts.items() if value],
            "columns": column_rows(table),
        }


def _read(path: Path, request: AuditRequest, guessed: str) -> PredictionsRun:
    """Read predictions, and check how they are read."""
    read = read_table(path, request.score)
    require_whole(read)
    place = "predictions"
    if request.image in read.header and (twice := len(read.rows) - len(set(read.column(request.image, place)))):
        raise DataError(
            f"{path.name}: {twice:,} rows have a file in '{request.image}' that another row has; keep one each"
        )
    read, skipped = usable(read, request.target, request.score, request.patient, request.skip_bad_rows)
    table, notes = _rows_of(read, request)
    scores = np.array([number(cell, read.comma) for cell in read.column(request.score, place)], dtype=np.float64)
    require_classes(table)
    cells = read.column(request.target, place)
    names = [cells[int(np.flatnonzero(table.target == code)[0])] for code in (0, 1)]
    named = class_of_score(request.score, list(zip(names, table.classes, strict=True)))
    if named == 0 and not request.as_given:
        raise SpecError(
            f"by their name the scores in '{request.score}' are of {names[0]}, and {names[1]} is positive: name the "
            f"column of {names[1]} with {key_text('--score')}, or give {key_text('--positive', names[0])}, or "
            f"{key_text('--as-given', True)} if these scores are of "
            f"{names[1]}"
        )
    scale = scale_of(scores, request.scores, probability_of(request.threshold), f"the scores in '{request.score}'")
    logits = np.stack([np.zeros(len(scores)), scale.log_odds(scores)], axis=1)
    scored = Scored(table, logits, threshold_of(request.threshold, logits, table))
    auroc = area(scored.scores[:, 0], table.target, table.patient)
    checks = _score_checks(scored, request, names, auroc)
    patients = f"{len(np.unique(table.patient)):,}"
    facts = {
        "model": path.stem,
        "kind": "predictions",
        "columns": guessed,
        **notes,
        "hash of the model": sha256(path),
        "images": f"{len(table):,}",
        "patients": patients,
        "intervals over": "patients" if request.patient else "images",
        "scores": scale_words(scale),
        "left out": skipped,
        "AUROC": f"{with_interval(auroc.value, auroc.low, auroc.high)} on {len(table):,} images"
        f"{f' of {patients} patients' if request.patient else ''} (one-sided 95% bounds)",
        "outputs": f"the score is that of '{table.classes[1]}', by the name of '{request.score}'" if named == 1 else "",
        "threshold": f"{scored.threshold:.6g}",
        "margin": f"{request.margin:g}",
        "domain": request.domain,
        "intended use": request.intended_use,
        **versions(OF_STATISTICS),
    }
    return PredictionsRun(request, sha256(path), scored, checks, facts)


def _score_checks(scored: Scored, request: AuditRequest, names: Sequence[str], auroc: Bounded) -> list[Row]:
    """Return checks of how the scores are read. Raises SpecError where they seem to be of the other class."""
    table, (other, positive) = scored.table, names
    ranking = check("ranking", "ok" if auroc.low > 0.5 else "warn", "AUROC on these rows", auroc.value)
    if better(scored, {}, second_half(table.patient, request.seed, "halves")):
        ranking["text"] += f", and {1 - auroc.value:.2f} with the classes the other way round"
        if not request.as_given:
            raise SpecError(
                f"the AUROC is {auroc.value:.2f} as given and {1 - auroc.value:.2f} with the classes the other way "
                f"round: give {key_text('--positive', other)} if the scores in '{request.score}' are of it, or "
                f"{key_text('--as-given', True)} if they "
                f"are of {positive}"
            )
    pixels = check("pixels", "not-done", "predictions have no images: no mark was put on, and no distortion")
    alike = called_alike(scored.logits, table.target, table.classes, scored.threshold)
    return [ranking, pixels, *([check("calls", "warn", alike)] if alike else [])]


def _rows_of(read: TextTable, request: AuditRequest) -> tuple[FactorTable, dict[str, str]]:
    """Return the rows, and how they were read, as rows of `provenance`."""
    place = "predictions"
    cells = read.column(request.target, place)
    target = two_classes(request.target, request.positive, cells)
    patients = read.column(request.patient, place) if request.patient else list(map(str, range(len(cells))))
    others = {name: read.column(name, place) for name in request.columns}
    factors = [factor_of(name, values, read.comma) for name, values in others.items()]
    table = FactorTable(
        row=np.arange(len(cells)),
        target=target.codes,
        patient=patient_codes(patients),
        classes=target.classes,
        factors=tuple(factor for factor, _ in factors),
        columns={factor.name: values for factor, values in factors},
    )
    statements = cautions_of({request.target: cells, **others}, request.target)
    statements |= {**one_patient(table.patient), **alike_patients(patients, read.numbers)}
    return table, {"positive class": target.positive, **notation_of(read), **split_counts(read), **statements}
