"""The page of a validation: its words and blocks."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Iterator, Mapping, Sequence

from assay.report.account import LIGHTS, SIGNS, CautionSentence, FirstScreen, KeyFigure, PageText, StatusChip
from assay.report.account import ResultLine as AccountLine
from assay.report.block import Block, Query, Section
from assay.report.context import CellFormat, PageContext, PageDefinition
from assay.report.sheets import text_cell as text_cell
from assay.report.words import sentence_case
from assay.stats.rows import Row
from assay.validate.checklists import checklist_texts
from assay.validate.words import (
    interval_words,
    measure_words,
    outcome_words,
    smallest_cell,
    threshold_words,
    validation_cautions,
    validation_lines,
    validation_verdict,
    weakest_groups,
)

METHODS = (
    "Intervals are over patients as clusters: AUROC by the method of DeLong et al. (1988) and Obuchowski (1997), net "
    "benefit by Vickers and Elkin (2006). Shares have exact intervals at the effective number of cases (Korn and "
    "Graubard, 1998). Predictive values at a prevalence follow Mercaldo et al. (2007). Variances are corrected for "
    "patients with many cases (Bell and McCaffrey, 2002), and ends for skew (Chen, 1995). Bands of ROC and "
    "precision-recall curves are pointwise, of 200 draws of patients.",
    "Differences of two models are paired by case. A difference is shown at 5%, two-sided. The margin is tested "
    "whatever the outcome: equivalence at 5%; otherwise non-inferiority at 2.5%, one-sided. The three measures are not "
    "corrected for each other.",
    "Recalibration is Platt's logistic regression (1999) and isotonic regression, fitted on other cases.",
    "Miscalibration, discrimination and uncertainty are the parts of the Brier score by isotonic recalibration.",
    "`checklists.md` paraphrases the items of reporting checklists: check them against the publication.",
)


REFERENCES = ("chance", "ideal", "call all positive")
"""Reference curves, which are of no model."""


def _curve_block(curve: str, title: str, across: str, up: str, note: str = "") -> Block:
    return Block(
        id=curve,
        title=title,
        table="curves",
        query=Query(allowed={"curve": (curve,)}),
        chart="field",
        along="across",
        up="value",
        axes=(across, up),
        color_column="model",
        note=note,
        has_table=False,
        reference_groups=REFERENCES,
    )


ROC = _curve_block("roc", "ROC curve", "false-positive rate (1 - specificity)", "sensitivity", "Shaded: 95% band.")
CONFUSION = Block(
    id="confusion",
    title="Confusion matrix",
    table="confusion",
    chart="heat",
    panel="model",
    along="called",
    up="actual",
    axes=("called class", "actual class"),
    columns=("model", "actual", "called", "images", "value"),
    note="Shares of the actual class.",
)


MAX_TILES = 4
TILE_MEASURES = ("auroc", "sensitivity", "specificity", "brier", "ppv")
"""Measures of the key figures, in order."""
THRESHOLD_MEASURES = ("auroc", "sensitivity", "specificity", "ppv", "npv")
PROBABILITY_MEASURES = ("brier", "brier-miscalibration", "brier-discrimination", "brier-uncertainty",
                    "calibration-in-the-large", "calibration-slope")  # fmt: skip


def _measures_block(
    name: str, title: str, tables: Mapping[str, Sequence[Row]], measures: Sequence[str], at: bool | None = None
) -> Block:
    """Return a table of measures: of two models side by side, unless rejected cases need columns of their own."""
    keep = Query(measures=tuple(measures), filled=("at",) if at else (), empty=("at",) if at is False else ())
    if tables["differences"] and not tables["rejected"]:
        return Block(
            id=name, title=title, table="performance", query=keep, row_columns=("measure", "at"), across="model"
        )
    ends = ("worst", "best") if tables["rejected"] and name == "measures" else ()
    prevalence = ("at",) if at is not False else ()
    return Block(
        id=name,
        title=title,
        table="performance",
        query=keep,
        columns=("model", "measure", *prevalence, "value", *ends, "images", "patients"),
    )


DIFFERENCES = Section(
    "differences",
    "Differences",
    (
        Block(
            id="paired",
            title="Paired differences",
            table="differences",
            columns=("measure", "value", "p", "margin", "outcome", "equivalence", "patients"),
        ),
        Block(
            id="discordant",
            title="Cases called differently",
            table="discordant",
            columns=("line", "actual", "right", "first", "second"),
            folded=True,
        ),
    ),
)


def validation_sections(tables: Mapping[str, Sequence[Row]]) -> list[Section]:
    """Return the sections of the page."""
    groups = Block(
        id="subgroups",
        title="By group",
        table="subgroups",
        chart="strip",
        row_columns=("column", "group"),
        panel="measure",
        color_column="model",
        columns=("model", "column", "group", "measure", "value", "positives", "images"),
        note="Intervals of the groups of a column hold together at 95%.",
    )
    sections = [
        Section("performance", "Performance", (
            _measures_block("measures", "Measures", tables, THRESHOLD_MEASURES, at=False), ROC,
            _curve_block("precision-recall", "Precision-recall curve", "recall (sensitivity)", "precision (PPV)",
                   "At the prevalence of these cases."), CONFUSION)),
        Section("prevalence", "PPV by prevalence", (
            _measures_block("predictive", "Predictive values", tables, ("ppv", "npv"), at=True),
            _curve_block("ppv", "PPV by prevalence", "prevalence", "PPV at the threshold", "Shaded: 95% interval."))),
        Section("calibration", "Probabilities", (
            _measures_block("probabilities", "Calibration", tables, PROBABILITY_MEASURES),
            _curve_block("calibration", "Calibration curve", "mean probability", "share of positives",
                   "Bins of equal size; shaded: 95% interval. At the true prevalence where it is named."),
            _curve_block("decision", "Decision curve", "threshold probability", "net benefit",
                   "True positives per case, less false positives weighed by the threshold probability. Calling no "
                   "case positive is 0. At the true prevalence where it is named."))),
        Section("recalibration", "Recalibration", (
            Block(id="recalibrated", title="Before and after recalibration", table="recalibration",
                  columns=("model", "method", "measure", "at", "value", "images", "patients"),
                  note="Fitted on other cases, evaluated on these."),)),
        Section("groups", "Groups", (groups,), smallest_cell(tables["subgroups"])),
        Section("plan", "Size of a further validation", (
            Block(id="plan", title="Patients needed", table="plan",
                  columns=("model", "measure", "goal", "size", "at", "positives", "patients"),
                  note="With as many images per patient as here. A difference is shown with 80% power, as is "
                       "non-inferiority within it where there is no difference."),), tab="Size"),
        Section("missing", "Cases without a score", (
            Block(id="rejected", title="Cases without a score", table="rejected",
                  columns=("model", "actual", "images", "share")),), tab="No score"),
    ]  # fmt: skip
    return [DIFFERENCES, *sections] if tables["differences"] else sections


def _opening_lines(tables: Mapping[str, Sequence[Row]]) -> Iterator[AccountLine]:
    """Yield paired differences, the groups that each model serves worst, and PPV at the prevalences that are named."""
    for row in tables["differences"]:
        result = f"{measure_words(row['measure'])} of {row['model']} minus {row['against']}: {outcome_words(row)}"
        yield AccountLine(sentence_case(result), interval_words(row), "paired")
    for model in dict.fromkeys(row["model"] for row in tables["performance"]):
        for words, row in weakest_groups(tables["subgroups"], model):
            yield AccountLine(sentence_case(words), interval_words(row), "subgroups")
    at_prevalence: dict[str, list[str]] = {}
    for row in tables["performance"]:
        if row["measure"] == "ppv" and row["at"]:
            name = f"{row['model']} " if tables["differences"] else ""
            at_prevalence.setdefault(row["at"], []).append(f"{name}{interval_words(row)}")
    for at, values in at_prevalence.items():
        yield AccountLine(f"PPV at prevalence {at}", ", ".join(values), "predictive")


def _validation_tiles(tables: Mapping[str, Sequence[Row]]) -> Iterator[KeyFigure]:
    """Yield the performance of one model, or of two side by side."""
    rows = {(row["model"], row["measure"]): row for row in tables["performance"] if not row["at"]}
    models = list(dict.fromkeys(model for model, _ in rows))
    for measure, model in itertools.product(TILE_MEASURES, models):
        if row := rows.get((model, measure)):
            value, _, interval = interval_words(row).partition(" ")
            name = sentence_case(measure_words(measure)) + (f", {model}" if len(models) > 1 else "")
            yield KeyFigure(name, value, interval, f"{row['images']:,} cases")


def _scored_sentences(facts: Mapping[str, str]) -> Iterator[str]:
    """Yield what was scored, and where the threshold comes from."""
    patients = f" of {facts['patients']} patients" if facts["intervals over"] == "patients" else ""
    yield f"{facts['images']} cases{patients} were scored: {facts['positives']} cases are positive."
    yield f"{sentence_case(threshold_words(facts))}."


def validation_step(tables: Mapping[str, Sequence[Row]], facts: Mapping[str, str]) -> str:
    """Return the next step after a validation, as a command. OTHER.csv has scores of other cases."""
    again, two = facts["command"], bool(tables["differences"])
    if facts["threshold from"] == "calls":
        return f"Next: repeat it on cases of another site: {again.replace(facts.get('path', 'FILE'), 'OTHER.csv', 1)}"
    if facts.get("same scores"):
        return f"Next: take the scores of another model: assay validate {facts.get('path', 'FILE')} OTHER.csv"
    if two and tables["differences"][0]["outcome"] == "inconclusive" and not tables["plan"]:
        again = f"{again} {facts.get('thresholds', '')}".rstrip()
        return f"Next: count the patients that would show a difference of 0.03: {again} --plan 0.03"
    plan = f" --plan {tables['plan'][0]['size']:g}" if tables["plan"] else ""
    if {"default", "these cases"} & set(facts["threshold from"].split("; ")):
        others = "OTHER-1.csv,OTHER-2.csv" if two and not facts.get("models in columns") else "OTHER.csv"
        again = f"{again}{plan} --threshold sensitivity=0.9 --threshold-from {others}"
        return f"Next: set the threshold on other cases: {again}"
    first = facts.get("models in columns", "").partition(", ")[0]
    scores = f" --score {shlex.quote(first)}" if first else ""
    return f"Next: see with which columns these scores change: assay audit {facts.get('path', 'FILE')}{scores}"


def validation_account(context: PageContext) -> PageText:
    """Return the words of the page."""
    facts, tables = context.facts, context.tables
    chips = tuple(StatusChip("warn", SIGNS["warn"], *caution) for caution in validation_cautions(tables, facts))
    lines = tuple(_opening_lines(tables))
    return PageText(
        name=facts["data"],
        question=f"How good are these scores for {facts['target']}?",
        meta=f"{facts['images']} cases of {facts['patients']} {facts['intervals over']}, {facts['positives']} "
        f"positive; {threshold_words(facts)}",
        verdict=validation_verdict(tables, facts),
        opening=FirstScreen(
            chips[:4],
            tuple(_scored_sentences(facts)),
            (),
            lines,
            title="In numbers" if lines else "",
            next=validation_step(tables, facts),
            tiles=tuple(_validation_tiles(tables))[:MAX_TILES],
        ),
        doubts=tuple(CautionSentence(chip.title, chip.light, chip.sign, LIGHTS[chip.light], "") for chip in chips),
        limits=("what the model relies on", "performance at other sites"),
        methods=METHODS,
    )


def validation_answer(context: PageContext) -> Iterator[str]:
    """Yield the answer as the terminal has it."""
    yield from validation_lines(context.tables, context.facts)


PAGE = PageDefinition(
    text=validation_account,
    sections=validation_sections,
    answer=validation_answer,
    extra_files=checklist_texts,
    leading_blocks=lambda _: (ROC, CONFUSION),
    cells={"measure": CellFormat(lambda row, _: text_cell(measure_words(row["measure"])))},
)
