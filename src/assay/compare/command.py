"""`assay compare`: predictions of models that were made elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path

from assay.compare.predictions import read_predictions
from assay.compare.request import CompareRequest
from assay.compare.run import CompareEstimates, CompareRun, compare_predictions
from assay.core.terminal import print_lines
from assay.execution.local import InProcess
from assay.execution.run import carry_out
from assay.report.sentences.reading import reading_lines
from assay.report.sentences.reasons import reason_words
from assay.store.files import json_text
from assay.validate.words import any_tested, step_of_untested


def compare_command(request: CompareRequest) -> None:
    """Print estimates and comparisons of a file of predictions.

    Raises:
        DataError: The file cannot be used.
        SpecError: A name is unknown.
    """
    read = read_predictions(request)
    compared = compare_predictions(read, request)
    run = CompareRun(request, read, Path(request.data).stem)
    page = None if request.out is None else carry_out(run, request.out, InProcess()).page
    if request.as_json:
        rows = {"estimates": compared.estimates, "contrasts": compared.contrasts, "differences": compared.differences}
        report_path = {} if page is None else {"report": str(page)}
        notes, cautions = (list(map(reason_words, reasons)) for reasons in (compared.notes, compared.cautions))
        print(
            json_text(
                {"read": reading_lines(read.facts), **rows, "notes": notes, "cautions": cautions, **report_path},
                sort_keys=False,
            ),
            end="",
        )
        return
    for note in compared.notes:
        print(reason_words(note), file=sys.stderr)
    print_lines([*compared.lines, *(_step_without_page(compared, request) if page is None else _ending(page))])


def _step_without_page(compared: CompareEstimates, request: CompareRequest) -> list[str]:
    """Return the next step of models that were trained once, of which a test has said nothing; else none."""
    if any_tested(compared.contrasts):
        return []
    return [step_of_untested(compared.contrasts, f"assay compare {request.typed('as_json')}")]


def _ending(page: Path) -> list[str]:
    """Return where the page is, and its next step."""
    from assay.report.context import PageContext

    context = PageContext.of(page.parent)
    return [f"report: {page}", *filter(None, [context.page.text(context).opening.next])]
