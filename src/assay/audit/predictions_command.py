"""`assay audit` of a CSV of predictions, which needs no PyTorch, and what every audit prints."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from assay.audit.harm_words import ANSWER_TABLES, bounds_words, terminal_lines
from assay.audit.harms import harms_of
from assay.audit.policy import Policy, read_policy
from assay.audit.predictions import audit_predictions
from assay.audit.request import FIELDS_OF_PREDICTIONS, AuditRequest
from assay.audit.search.words import next_words
from assay.audit.words import SHIFT_NAME, check_words
from assay.core.errors import DataError, SpecError, require_met
from assay.core.files import at_home, is_file, no_file
from assay.core.terminal import print_lines
from assay.data.files.roles import roles_of
from assay.data.files.score_cases import read_score_table
from assay.report.glossary import GLOSSARY
from assay.report.sentences.reading import reading_lines, replaced_lines, where_issues_are
from assay.store.folder import RunFolder
from assay.store.layout import result_folder


def predictions_command(request: AuditRequest, *, dry_run: bool, json: bool) -> None:
    """Audit predictions, print the verdicts, and end with 3 where a policy is not met.

    Raises:
        SpecError: The request is wrong.
        DataError: The predictions cannot be read.
    """
    rules = None if request.policy is None else read_policy(request.policy)
    why = "is for models: for predictions, only the file is read"
    if dry_run:
        raise SpecError(f"--dry-run {why}")
    request.require_used(AuditRequest.options().keys() - FIELDS_OF_PREDICTIONS, why)
    path = at_home(request.model)
    if not is_file(path):
        raise DataError(no_file(path))
    read = read_score_table(path, request.score or "score", request.image, request.patient)
    roles, line = roles_of(
        read,
        score=request.score,
        target=request.target,
        patient=request.patient,
        image=request.image,
        columns=request.columns,
        positive=request.positive,
    )
    patient = roles["patient"] if roles["patient"] in read.header else ""
    request = request.with_changes(**{**roles, "patient": patient})
    print_answer(audit_predictions(path, request, request.out or result_folder("audits", path.stem), line), rules, json)


def print_answer(found: Path, rules: Policy | None, json: bool) -> None:
    """Print the verdicts. Raises PolicyError where a policy is not met."""
    print_verdicts(found, json)
    if rules is not None:
        folder = RunFolder(found)
        require_met(rules.find_violations(*(folder.table(name) for name in ("verdicts", "gaps", "groups", "regions"))))


def speaker(is_quiet: bool) -> Callable[[str], None]:
    """Return what prints a step, or what was guessed, on standard error; nothing if quiet."""
    return (lambda text: None) if is_quiet else lambda text: print(text, file=sys.stderr)


def print_verdicts(root: Path, json: bool) -> None:
    """Print the verdicts of an audit, or its `verdicts.json`."""
    if json:
        print((root / "verdicts.json").read_text(), end="")
        return
    folder = RunFolder(root)
    tables = {name: folder.table(name) for name in ANSWER_TABLES}
    facts = {row["key"]: row["value"] for row in folder.table("provenance")}
    lines = [*reading_lines(facts), *terminal_lines(tables)]
    harms = harms_of(tables)
    shift = f"{SHIFT_NAME}: {GLOSSARY[SHIFT_NAME]}" if any(f"{SHIFT_NAME} " in line for line in lines) else ""
    lines.append(" ".join(filter(None, (shift, bounds_words(harms)))))
    rows_of_checks = {harm.row for harm in harms if harm.table == "checks"}
    for at, row in enumerate(tables["checks"]):
        is_said = at in rows_of_checks or (row["check"] == "plain-sight" and tables["added"])
        if row["status"] == "warn" and not is_said:
            lines.append(f"caution: {check_words(row)}")
    then = next_words(tables, shlex.quote(str(root)))
    print_lines(
        filter(
            None,
            (
                *lines,
                *where_issues_are(root),
                *replaced_lines(root, AuditRequest),
                f"report: {root / 'report.html'}",
                then,
            ),
        )
    )
