"""Audit scores that were made elsewhere, without images: answers by column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from assay.analysis.added import model_added
from assay.analysis.audit import (
    Scored,
    by_harm,
    check,
    column_rows,
    of_columns,
    probability_of,
    require_classes,
    threshold_of,
)
from assay.analysis.shortcuts import cues_of_table, shortcut_rows
from assay.core.errors import DataError, SpecError, cut
from assay.core.files import content_hash, sha256
from assay.core.types import Factor, FactorTable
from assay.core.versions import OF_STATISTICS, versions
from assay.data.files.classes import positive_words
from assay.data.files.table import Table, number, read_table, require_whole
from assay.report.audit_cards import write_outcome
from assay.report.page import write_page
from assay.stats.scores import scale_of
from assay.stats.swing import area
from assay.store.folder import RunFolder, working_in
from assay.study.audit_request import Asked
from assay.study.scores import called_alike, scale_words


@dataclass(frozen=True)
class PredictionColumns:
    """Names of the columns of a file of predictions.

    Attributes:
        target: The class.
        score: Score of the positive class.
        patient: The patient; empty where each row is one.
        others: Columns to audit.
        positive: The positive class; 1 of 0 and 1 where empty.
    """

    target: str
    score: str = "score"
    patient: str = ""
    others: tuple[str, ...] = ()
    positive: str = ""


def audit_predictions(path: Path, columns: PredictionColumns, asked: Asked, out: Path) -> Path:
    """Audit scores in a CSV by its columns, and write tables, `verdicts.json` and page. Return the run folder.

    Raises:
        DataError: The file cannot be read, has an image twice, a score is no number, or all rows are of one class.
        SpecError: A column is missing, or the positive class is not known.
        StoreError: The folder holds the audit of another file or of other columns, or another kind of run.
    """
    read = read_table(path, columns.score)
    require_whole(read)
    place = "predictions"
    if asked.image in read.header and (twice := len(read.rows) - len(set(read.column(asked.image, place)))):
        raise DataError(
            f"{path.name}: {twice:,} rows have a file in '{asked.image}' that another row has; keep one each"
        )
    table = _rows_of(read, columns)
    scores = np.array([number(one, read.comma) for one in read.column(columns.score, place)], dtype=np.float64)
    if not np.isfinite(scores).all():
        raise DataError(f"{path.name}: {int((~np.isfinite(scores)).sum())} scores in '{columns.score}' are no numbers")
    require_classes(table)
    scale = scale_of(scores, asked.scores, probability_of(asked.threshold), f"the scores in '{columns.score}'")
    logits = np.stack([np.zeros(len(scores)), scale.log_odds(scores)], axis=1)
    threshold = threshold_of(asked.threshold, logits, table)
    scored = Scored(table, logits, threshold)
    verdicts, groups, gaps = of_columns(scored, asked.margin)
    found = area(scored.scores[:, 0], table.target, table.patient)
    checks = [
        check("ranking", "ok" if found.low > 0.5 else "warn", "AUROC on these rows", found.value),
        check("pixels", "not-done", "predictions have no images: no mark was put on, and no distortion"),
    ]
    if alike := called_alike(logits, table.target, table.classes, threshold):
        checks.append(check("calls", "warn", alike))
    facts = {
        "model": path.stem,
        "kind": "predictions",
        "positive class": positive_words(table.classes),
        "hash of the model": sha256(path),
        "images": f"{len(table):,}",
        "patients": f"{len(np.unique(table.patient)):,}",
        "intervals over": "patients" if columns.patient else "images",
        "scores": scale_words(scale),
        "threshold": f"{threshold:.6g}",
        "margin": f"{asked.margin:g}",
        "domain": asked.domain,
        "intended use": asked.intended_use,
        **versions(OF_STATISTICS),
    }
    rows = [{"key": key, "value": value} for key, value in facts.items() if value]
    cues = list(cues_of_table(table, "column"))
    made = {"shortcuts": shortcut_rows(cues), "added": model_added(scored, cues, table),
            "verdicts": by_harm(verdicts), "groups": groups, "gaps": gaps, "checks": checks, "provenance": rows,
            "columns": column_rows(table)}  # fmt: skip
    folder, audited = RunFolder(out), content_hash([sha256(path), columns.target, columns.score])
    folder.require_audit_of(audited)
    with working_in(out):
        folder.begin_audit(audited, {"audit": content_hash([sha256(path), asked.margin, threshold, asdict(columns)])})
        folder.write_tables(made)
        write_page(out)
        write_outcome(folder)
    return out


def _rows_of(read: Table, columns: PredictionColumns) -> FactorTable:
    targets = list(read.column(columns.target, "predictions"))
    names = sorted(set(targets))
    positive = columns.positive or ("1" if set(names) <= {"0", "1"} else "")
    if len(names) != 2 or positive not in names:
        raise SpecError(
            f"target '{cut(columns.target)}' has the values {cut(', '.join(names))}; an audit of predictions needs two "
            "classes, and the positive one named (--positive)"
        )
    patients = (
        list(read.column(columns.patient, "predictions")) if columns.patient else list(map(str, range(len(targets))))
    )
    found = [factor_of(name, read.column(name, "predictions"), read.comma) for name in columns.others]
    return FactorTable(
        row=np.arange(len(targets)),
        target=np.array([one == positive for one in targets], dtype=np.int64),
        patient=np.unique(patients, return_inverse=True)[1].astype(np.int64),
        classes=(next(name for name in names if name != positive), positive),
        factors=tuple(factor for factor, _ in found),
        columns={factor.name: values for factor, values in found},
    )


def factor_of(name: str, values: Sequence[str], comma: bool = False) -> tuple[Factor, np.ndarray]:
    """Return a column of texts as a factor: numbers with several values, else levels; blanks are missing.

    Args:
        name: Its name.
        values: A text per row.
        comma: Numbers may be written 3,5.
    """
    present = sorted({one for one in values if one.strip()})
    if len(present) > 2 and all(number(one, comma) is not None for one in present):
        return Factor(name, "continuous"), np.array([number(one, comma) for one in values], dtype=np.float64)
    code = {level: at for at, level in enumerate(present)}
    levels = np.array([code.get(one, -1) for one in values], dtype=np.int64)
    return Factor(name, "categorical", levels=tuple(present), high=tuple(present[-1:])), levels
