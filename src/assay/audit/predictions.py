"""Audit scores that were made elsewhere, without images: answers by column."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

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
from assay.core.errors import DataError, SpecError
from assay.core.files import content_hash, sha256
from assay.core.types import FactorTable
from assay.core.versions import OF_STATISTICS, versions
from assay.data.files.classes import two_classes
from assay.data.files.kinds import alike_patients, cautions_of, encoding_of, factor_of, one_patient, usable
from assay.data.files.roles import SCORES
from assay.data.files.table import Table, number, patient_codes, read_table, require_whole
from assay.look.cues import cues_of_table, shortcut_rows
from assay.report.sentences.scores import called_alike, scale_words
from assay.stats.format import with_interval
from assay.stats.scores import scale_of
from assay.store.folder import RunFolder, working_in


def audit_predictions(path: Path, asked: AuditRequest, out: Path, guessed: str = "") -> Path:
    """Audit scores in a CSV by its columns, and write tables, `verdicts.json` and page. Return the run folder.

    Args:
        path: The CSV.
        asked: Names its columns; each row is a patient where `patient` is empty.
        out: The run folder.
        guessed: Columns that nobody named, for readers.

    Raises:
        DataError: The file cannot be read, has an image twice, a score is no number, or all rows are of one class.
        SpecError: A column is missing, the positive class is not known, or the scores seem to be of the other class.
        StoreError: The folder holds the audit of another file or of other columns, or another kind of run.
    """
    read = read_table(path, asked.score)
    require_whole(read)
    place = "predictions"
    if asked.image in read.header and (twice := len(read.rows) - len(set(read.column(asked.image, place)))):
        raise DataError(
            f"{path.name}: {twice:,} rows have a file in '{asked.image}' that another row has; keep one each"
        )
    read, left = usable(read, asked.target, asked.score, asked.patient, asked.skip_bad_rows)
    table, said = _rows_of(read, asked)
    scores = np.array([number(one, read.comma) for one in read.column(asked.score, place)], dtype=np.float64)
    require_classes(table)
    cells = read.column(asked.target, place)
    other, named = (cells[int(np.flatnonzero(table.target == code)[0])] for code in (0, 1))
    of = _class_of(asked.score, [(other, table.classes[0]), (named, table.classes[1])])
    if of == 0 and not asked.as_given:
        raise SpecError(
            f"by their name the scores in '{asked.score}' are of {other}, and {named} is positive: name the column of "
            f"{named} with --score, or give --positive {other}, or --as-given if these scores are of {named}"
        )
    scale = scale_of(scores, asked.scores, probability_of(asked.threshold), f"the scores in '{asked.score}'")
    logits = np.stack([np.zeros(len(scores)), scale.log_odds(scores)], axis=1)
    threshold = threshold_of(asked.threshold, logits, table)
    scored = Scored(table, logits, threshold)
    found = area(scored.scores[:, 0], table.target, table.patient)
    ranking = check("ranking", "ok" if found.low > 0.5 else "warn", "AUROC on these rows", found.value)
    if better(scored, {}, second_half(table.patient, asked.seed, "halves")):
        ranking["text"] += f", and {1 - found.value:.2f} with the classes the other way round"
        if not asked.as_given:
            raise SpecError(
                f"the AUROC is {found.value:.2f} as given and {1 - found.value:.2f} with the classes the other way "
                f"round: give --positive {other} if the scores in '{asked.score}' are of it, or --as-given if they "
                f"are of {named}"
            )
    verdicts, groups, gaps = of_columns(scored, asked.margin)
    checks = [
        ranking,
        check("pixels", "not-done", "predictions have no images: no mark was put on, and no distortion"),
    ]
    if alike := called_alike(logits, table.target, table.classes, threshold):
        checks.append(check("calls", "warn", alike))
    of_patients = f" of {len(np.unique(table.patient)):,} patients" if asked.patient else ""
    facts = {
        "model": path.stem,
        "kind": "predictions",
        "columns": guessed,
        **said,
        "hash of the model": sha256(path),
        "images": f"{len(table):,}",
        "patients": f"{len(np.unique(table.patient)):,}",
        "intervals over": "patients" if asked.patient else "images",
        "scores": scale_words(scale),
        "left out": left,
        "AUROC": f"{with_interval(found.value, found.low, found.high)} on {len(table):,} images{of_patients} "
        "(one-sided 95% bounds)",
        "outputs": f"the score is that of '{table.classes[1]}', by the name of '{asked.score}'" if of == 1 else "",
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
    folder, audited = RunFolder(out), content_hash([sha256(path), asked.target, asked.score])
    folder.require(AUDIT, audited)
    with working_in(out):
        stamp = {"audit": content_hash([sha256(path), asked.margin, threshold, asked.named])}
        folder.begin(AUDIT, asked.values, stamp, audited)
        folder.write_tables(made)
        write_outcome(out)
        folder.seal()
    return out


def _class_of(score: str, classes: Sequence[Sequence[str]]) -> int | None:
    """Return the position of the class that a column of scores is called after, such as `prob_melanoma`."""
    named = "".join(one for one in _words(score) if one not in SCORES)
    alike = [at for at, names in enumerate(classes) if named in {"".join(_words(name)) for name in names}]
    return alike[0] if len(alike) == 1 and named else None


def _words(name: str) -> list[str]:
    return re.findall(r"[^\W_]+", name.casefold())


def _rows_of(read: Table, asked: AuditRequest) -> tuple[FactorTable, dict[str, str]]:
    """Return the rows, and how they were read, as rows of `provenance`."""
    place = "predictions"
    cells = read.column(asked.target, place)
    target = two_classes(asked.target, asked.positive, cells)
    patients = read.column(asked.patient, place) if asked.patient else list(map(str, range(len(cells))))
    others = {name: read.column(name, place) for name in asked.columns}
    found = [factor_of(name, values, read.comma) for name, values in others.items()]
    table = FactorTable(
        row=np.arange(len(cells)),
        target=target.codes,
        patient=patient_codes(patients),
        classes=target.classes,
        factors=tuple(factor for factor, _ in found),
        columns={factor.name: values for factor, values in found},
    )
    said = cautions_of({asked.target: cells, **others}, asked.target)
    said |= {**one_patient(table.patient), **alike_patients(patients, read.numbers)}
    return table, {"positive class": target.positive, **encoding_of(read), **said}
