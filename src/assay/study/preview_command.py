"""`assay preview`: pictures, associations, size, time and power of a study, before a second of training."""

from __future__ import annotations

from pathlib import Path

from assay.execution.local import InProcess, executor_for
from assay.execution.run import carry_out
from assay.report.browser import open_page
from assay.report.evidence import Evidence
from assay.report.page import write_page
from assay.report.sentences.reading import reading_lines, where_issues_are
from assay.report.sentences.reasons import reason_words
from assay.stats.findings import from_row
from assay.store.files import json_text
from assay.store.folder import PREVIEW
from assay.study.preview import PreviewRun
from assay.study.preview_opening import preview_lines
from assay.study.request import RunRequest
from assay.study.run import prepare


def preview_command(asked: RunRequest) -> None:
    """Print the tables, and write them, pictures and a page to `<run folder>/preview/`."""
    from assay.execution.local import choose_device
    from assay.execution.progress import reading_shown

    settled = asked.settled()
    spec, root, device = settled.spec, settled.root, choose_device(asked.device)
    with reading_shown(asked.as_json) as notify:
        prepared = prepare(spec, root, skip_bad_rows=asked.skip_bad_rows, device=device, notify=notify)
    workers = executor_for(asked.workers, device)[1]
    page = carry_out(PreviewRun(prepared, asked, workers), root / PREVIEW, InProcess(), write_page).page
    assert page is not None
    evidence = Evidence.of(page.parent)
    if asked.as_json:
        print(json_text(_facts(evidence, page), sort_keys=False), end="")
    else:
        for line in [
            *reading_lines(evidence.facts),
            *preview_lines(evidence),
            *where_issues_are(page.parent),
            f"preview: {page}",
        ]:
            print(line)
    if asked.open:
        open_page(page)


def _facts(evidence: Evidence, page: Path) -> dict[str, object]:
    """Return the rows of the tables, with the numbers of training runs."""
    facts, tables = evidence.facts, evidence.tables
    shown = ("environments", "counts", "visibility", "shortcuts", "issues", "power")
    return {
        "read": reading_lines(facts),
        "study": facts["study"],
        "trials": int(facts["training runs"]),
        "to_train": int(facts["new training runs"]),
        "seconds": float(facts["seconds"]),
        "workers": int(facts["workers"]),
        "device": facts["device"],
        **{name: list(tables[name]) for name in shown},
        "doubts": [reason_words(from_row(row).reason) for row in tables["findings"] if row["light"] != "ok"],
        "pictures": [str(page.parent / "pictures" / row["file"]) for row in tables["pictures"]],
        "preview": str(page),
    }
