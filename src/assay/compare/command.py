"""`assay compare`: predictions of models that were made elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path

from assay.compare.predictions import read_predictions
from assay.compare.request import CompareRequest
from assay.compare.run import CompareRun, compare_predictions
from assay.execution.local import InProcess
from assay.execution.run import carry_out
from assay.report.page import write_page
from assay.report.sentences.reading import reading_lines
from assay.report.sentences.reasons import reason_words
from assay.store.files import json_text


def compare_command(asked: CompareRequest) -> None:
    """Print estimates and comparisons of a file of predictions.

    Raises:
        DataError: The file cannot be used.
        SpecError: A name is unknown.
    """
    read = read_predictions(asked)
    found = compare_predictions(read, asked)
    run = CompareRun(asked, read, Path(asked.data).stem)
    page = None if asked.out is None else carry_out(run, asked.out, InProcess(), write_page).page
    if asked.as_json:
        rows = {"estimates": found.estimates, "contrasts": found.contrasts, "differences": found.differences}
        report_path = {} if page is None else {"report": str(page)}
        notes, cautions = (list(map(reason_words, reasons)) for reasons in (found.notes, found.cautions))
        print(
            json_text(
                {"read": reading_lines(read.facts), **rows, "notes": notes, "cautions": cautions, **report_path},
                sort_keys=False,
            ),
            end="",
        )
        return
    for note in found.notes:
        print(reason_words(note), file=sys.stderr)
    for line in [*found.lines, *([] if page is None else [f"report: {page}"])]:
        print(line)
