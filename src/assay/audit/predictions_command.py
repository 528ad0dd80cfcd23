"""`assay audit` of a CSV of predictions, which needs no PyTorch, and what every audit prints."""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from assay.audit.harm_words import ANSWERED, answer_words, terminal_lines
from assay.audit.policy import Policy, read_policy
from assay.audit.predictions import audit_predictions
from assay.audit.request import OF_PREDICTIONS, AuditRequest
from assay.audit.search.words import next_words, region_evidence, region_title
from assay.audit.words import SHIFT, check_words, reported_verdicts, verdict_line
from assay.core.errors import DataError, SpecError, require_met
from assay.core.files import is_file
from assay.data.files.roles import roles_of
from assay.data.files.table import read_table
from assay.report.glossary import GLOSSARY
from assay.report.sentences.reading import reading_lines, where_issues_are
from assay.stats.rows import numeric
from assay.store.folder import RunFolder

MOST_PRINTED = 15
"""Verdicts that are printed; the page has all."""


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
    request.require_used(AuditRequest.options().keys() - OF_PREDICTIONS, why)
    path = Path(request.model).expanduser()
    if not is_file(path):
        raise DataError(f"there is no file {path}")
    read = read_table(path, request.score or "score")
    roles, line = roles_of(
        read,
        score=request.score,
        target=request.target,
        patient=request.patient,
        image=request.image,
        columns=request.columns,
    )
    patient = roles["patient"] if roles["patient"] in read.header else ""
    request = request.but(**{**roles, "patient": patient})
    answer(audit_predictions(path, request, request.out or Path("audits") / path.stem, line), rules, json)


def answer(found: Path, rules: Policy | None, json: bool) -> None:
    """Print the verdicts. Raises PolicyError where a policy is not met."""
    print_verdicts(found, json)
    if rules is not None:
        folder = RunFolder(found)
        require_met(rules.broken(*(folder.table(name) for name in ("verdicts", "gaps", "groups", "regions"))))


def speaker(is_quiet: bool) -> Callable[[str], None]:
    """Return what prints a step, or what was guessed, on standard error; nothing if quiet."""
    return (lambda text: None) if is_quiet else lambda text: print(text, file=sys.stderr)


def print_verdicts(root: Path, json: bool) -> None:
    """Print the verdicts of an audit, or its `verdicts.json`."""
    if json:
        print((root / "verdicts.json").read_text(), end="")
        return
    folder = RunFolder(root)
    tables = {name: folder.table(name) for name in ANSWERED}
    facts = {row["key"]: row["value"] for row in folder.table("provenance")}
    for text in (*reading_lines(facts), *answer_words(tables)):
        print(text)
    for text in terminal_lines(tables):
        print(f"  {text}")
    for row in tables["regions"]:
        print(f"  {region_title(row)}; {region_evidence(row)}")
    rows = reported_verdicts(tables)
    for row in rows[:MOST_PRINTED]:
        print(f"  {verdict_line(row, facts)}")
    if any(not math.isnan(numeric(row, "g")) for row in rows[:MOST_PRINTED]):
        print(f"{SHIFT}: {GLOSSARY[SHIFT]} Brackets: one-sided 95% bounds.")
    for row in tables["checks"]:
        if row["status"] == "warn":
            print(f"caution: {check_words(row)}")
    then = next_words(tables, shlex.quote(str(root)))
    for line in filter(None, (*where_issues_are(root), f"report: {root / 'report.html'}", then)):
        print(line)
