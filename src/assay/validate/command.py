"""`assay validate`: scores that exist, of one model or of two on the same cases."""

from __future__ import annotations

from assay.core.terminal import print_lines
from assay.report.browser import open_page
from assay.report.context import PageContext
from assay.report.sentences.reading import reading_lines, replaced_lines
from assay.store.files import json_text
from assay.validate.page import validation_step
from assay.validate.request import ValidateRequest
from assay.validate.run import run_validation
from assay.validate.words import validation_cautions, validation_lines, validation_verdict

PRINTED = ("performance", "differences", "subgroups", "recalibration", "plan", "rejected")


def validate_command(request: ValidateRequest) -> None:
    """Validate scores, and print what was read, the answer and the cautions."""
    root = run_validation(request)
    context, page = PageContext.of(root), root / "report.html"
    tables, facts = context.tables, context.facts
    if request.as_json:
        shown = {
            "read": reading_lines(facts),
            "verdict": validation_verdict(tables, facts),
            "cautions": [caution.text for caution in validation_cautions(tables, facts)],
            **{name: list(tables[name]) for name in PRINTED},
            "report": str(page),
        }
        print(json_text(shown, sort_keys=False), end="")
    else:
        ending = (*replaced_lines(root, ValidateRequest), f"report: {page}", validation_step(tables, facts))
        print_lines((*reading_lines(facts), *validation_lines(tables, facts), *ending))
    if request.open:
        open_page(page)
