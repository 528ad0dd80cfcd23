"""`assay look`: what images give away before any network."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from assay.core.errors import require_met
from assay.core.terminal import print_lines
from assay.execution.progress import show_reading
from assay.look.page import look_lines
from assay.look.policy import policy_violations
from assay.look.request import LookRequest
from assay.look.run import look
from assay.look.words import look_step, look_verdict
from assay.report.browser import open_page
from assay.report.context import PageContext
from assay.report.sentences.reading import issues_line, reading_lines, replaced_lines
from assay.report.sentences.reasons import reason_words
from assay.store.files import json_text
from assay.store.folder import RunFolder

MAX_FILES = 3
"""Most files that the terminal names for each kind of issue; `issues.csv` has all."""


def look_command(request: LookRequest) -> None:
    """Look at images, print what was found, and end with 3 where a policy is not met."""
    with show_reading(request.as_json) as on_progress:
        root = look(request, on_progress)
    folder, context = RunFolder(root), PageContext.of(root)
    if request.as_json:
        print(json_text(_look_facts(context, root), sort_keys=False), end="")
    else:
        ending = (*replaced_lines(root, LookRequest), f"report: {root / 'report.html'}", look_step(context))
        print_lines([*reading_lines(context.facts), *look_lines(context), *_worst_files(root), *ending])
    if request.open:
        open_page(root / "report.html")
    if request.policy is not None:
        require_met(policy_violations(request.policy, folder.table("issues"), folder.table("shortcuts")))


def _worst_files(root: Path) -> list[str]:
    if not RunFolder(root).table("issues"):
        return []
    issues = pd.read_csv(root / "issues.csv", keep_default_na=False, dtype={"file": str})
    kinds = list(dict.fromkeys(issues["kind"]))
    named = [(kind, list(dict.fromkeys(issues["file"][issues["kind"] == kind]))) for kind in kinds]
    lines = [
        f"  {kind}: {', '.join(files[:MAX_FILES])}{' ...' if len(files) > MAX_FILES else ''}"
        for kind, files in named
        if any(files)
    ]
    return [*lines, issues_line(len(issues), str(root / "issues.csv"))]


def _look_facts(context: PageContext, root: Path) -> dict[str, object]:
    tables = context.tables
    return {
        "read": reading_lines(context.facts),
        "verdict": look_verdict(context),
        "findings": [reason_words(row["reason"]) for row in tables["findings"]],
        **{name: list(tables[name]) for name in ("shortcuts", "decoded", "issues")},
        "report": str(root / "report.html"),
    }
