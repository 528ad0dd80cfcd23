"""`assay compare`: predictions of models that were made elsewhere."""

from __future__ import annotations

import math
import sys
from pathlib import Path

from assay.execution.local import InProcess
from assay.report.sentences.reading import reading_lines
from assay.report.sentences.reasons import reason_words
from assay.report.words import verdict_words
from assay.runs.run import carry_out
from assay.stats.format import p_value, with_interval
from assay.stats.rows import undefined
from assay.store.files import Row, json_text
from assay.study.compare import Compared, CompareRun, compare_predictions
from assay.study.compare_request import CompareRequest
from assay.study.predictions import read_predictions


def compare_command(asked: CompareRequest) -> None:
    """Print estimates and comparisons of a file of predictions.

    Raises:
        DataError: The file cannot be used.
        SpecError: A name is unknown.
    """
    read = read_predictions(asked)
    found = compare_predictions(read, asked)
    run = CompareRun(asked, read, Path(asked.file).stem)
    page = None if asked.out is None else carry_out(run, asked.out, InProcess()).page
    if asked.as_json:
        rows = {"estimates": found.estimates, "contrasts": found.contrasts}
        shown = {} if page is None else {"report": str(page)}
        notes, cautions = (list(map(reason_words, one)) for one in (found.notes, found.cautions))
        print(
            json_text(
                {"read": reading_lines(read.facts), **rows, "notes": notes, "cautions": cautions, **shown},
                sort_keys=False,
            ),
            end="",
        )
        return
    for note in found.notes:
        print(reason_words(note), file=sys.stderr)
    for line in [*reading_lines(read.facts), *lines(found), *([] if page is None else [f"report: {page}"])]:
        print(line)


def lines(found: Compared) -> list[str]:
    """Return the comparison as lines of text: the decisions first, then the values of every recipe."""
    width = max(len(str(row["recipe"])) for row in found.estimates)
    made = [found.title]
    for row in found.contrasts:
        made.append(f"  {row['a']:<{width}}  {_decision(row)}")
    made.append("values")
    for row in found.estimates:
        value = with_interval(row["value"], row["low"], row["high"])
        counted = f"{row['seeds']} seeds, {row['images']:,} images of {row['patients']:,} patients"
        made.append(f"  {row['recipe']:<{width}}  {value}, {counted}")
    return [*made, *(f"caution: {reason_words(caution)}" for caution in found.cautions)]


def _decision(row: Row) -> str:
    """Return the decision in words, with the interval and the p-value that decided."""
    if undefined(row):
        return f"not tested: {reason_words(row['reason'])}"
    value = with_interval(row["value"], row["decision_low"], row["decision_high"])
    said = f"{verdict_words(row)}: {value}, {100 * row['decision_level']:.3g}% CI, {p_value(row['decision_p'])}"
    if row["decision"] == "inconclusive" and not math.isnan(row["seeds_needed"]):
        return f"{said}; about {row['seeds_needed']:.0f} seeds would settle it"
    return said
