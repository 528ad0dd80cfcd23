"""The page of the preview of a study, its words, and its tables as lines of text."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from textwrap import shorten

from assay.core.files import typed_parent
from assay.core.reasons import Code
from assay.report.account import (
    ConditionPictures,
    FirstScreen,
    KeyFigure,
    PageText,
    ResultLine,
    caution_chips,
    caution_sentence,
)
from assay.report.block import Block, Query, Section
from assay.report.blocks import render
from assay.report.context import PageContext, PageDefinition
from assay.report.data_blocks import CUES, ISSUES
from assay.report.sentences.captions import caption
from assay.report.sheets import NONE, Sheet, align
from assay.report.words import sentence_case
from assay.stats.findings import parse_finding
from assay.stats.format import count, duration, in_words, join_words, number
from assay.stats.power import Assumptions
from assay.stats.rows import PRIMARY, Row, numeric
from assay.store.data_tables import ISSUES as ISSUES_TABLE
from assay.study.methods_words import association_text, places_of
from assay.study.page import ENVIRONMENTS, VISIBLE, with_words

MOST_LINES = 3
"""Comparisons on the first screen."""
MOST_CHIPS = 3
MOST_ROWS = 60
"""Lines of a table in the text; the folder has all."""
_LONGEST = 1_000
METHODS = (
    "Visibility figures are means over the test images that are counted, each without and with the confounder. Share: "
    "pixels that differ by at least half of 1/255 in some channel. Difference: the mean of all pixels, changed or "
    "not, black to white being 1. SSIM: structural similarity, 1 for equal images, lower for less similar ones.",
    "Levels and baselines (ridge regressions) of simple cues are fitted on other images than those that the AUROC is "
    "computed on.",
)


def preview_account(context: PageContext) -> PageText:
    """Return the words on a preview."""
    facts, tables = context.facts, context.tables
    findings = list(map(parse_finding, tables["findings"]))
    power = context.rows("power")
    detectable = [row for row in power if not math.isnan(numeric(row, "detectable"))]
    lines_shown = [row for row in detectable if row["role"] == PRIMARY] or detectable
    lines = (ResultLine(f"{row['comparison']}:", number(numeric(row, "detectable"), 3), "power") for row in lines_shown)
    core, target = defining(tables)
    definition = f'{sentence_case(in_words(core))} defines "{in_words(target)}" in every environment.' if core else ""
    opening = FirstScreen(
        tuple(caution_chips(findings)[:MOST_CHIPS]),
        tuple(filter(None, (definition, association_text(context)))),
        tuple(
            ConditionPictures(f"{place.name}: {picture.label}", (picture,))
            for place in places_of(context.root, context)
            for picture in place.pictures
        ),
        tuple(lines)[:MOST_LINES],
        "Smallest difference that can be detected",
        more=tuple(detectable_words(lines_shown)),
        tiles=tuple(preview_tiles(facts)),
        grid="Images",
        next=preview_step(context),
    )
    parts = (facts["data"], count(int(facts["seeds"]), "seed"), count(len(power), "comparison"))
    return PageText(
        name=facts["study"],
        question=facts.get("question") or facts["study"],
        meta=" · ".join(parts),
        verdict=planned_words(facts),
        opening=opening,
        doubts=tuple(map(caution_sentence, findings)),
        limits=(),
        methods=METHODS,
        planned=True,
    )


def detectable_words(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the smallest differences that comparisons can detect, as a sentence; nothing without any."""
    values = [numeric(row, "detectable") for row in rows]
    if values:
        primary = "primary " if all(row["role"] == PRIMARY for row in rows) else ""
        one, ends = len(values) == 1, list(dict.fromkeys((number(min(values)), number(max(values)))))
        what = f"The {primary}comparison detects" if one else f"The {count(len(values), f'{primary}comparison')} detect"
        yield f"{what} differences of {' to '.join(ends)} or more in 4 of 5 such studies (80% power)."


_OF_COPIES: Mapping[Code, str] = {
    Code.PARTS_SHARED: "put all images of a patient or picture into one part",
    Code.COPIES_BETWEEN_SETS: "leave copies of training images out of the test set",
    Code.COPY_CLUSTERS: "keep one copy of each picture, or give its copies one patient",
}
"""Finding on copies -> what is to be done before a training."""


def preview_step(context: PageContext) -> str:
    """Return the next step after a preview, as a command; empty where what runs the study is not known.

    Copies that would be in several parts are put right first.
    """
    facts, folder = context.facts, context.folder_for_commands
    run = typed_parent(folder) if shlex.split(folder)[0].endswith("/preview") else folder
    if facts["tasks"] == "0":
        return f"Next: see its results: assay open {run}"
    if not facts.get("command"):
        return ""
    parent = typed_parent(run)
    command = f"{facts['command']}{'' if parent in ('', 'runs') else f' --out {parent}'}"
    codes = {code for row in context.tables["findings"] for code in parse_finding(row).reason.codes}
    step = next((step for code, step in _OF_COPIES.items() if code in codes), "")
    if step:
        listed = f"assay results {folder} --table {ISSUES_TABLE.name}"
        again = command.replace("assay run", "assay preview", 1)
        return f"Next: {step} ({listed}), then preview it again: {again}"
    return f"Next: train it: {command}"


def preview_tiles(facts: Mapping[str, str]) -> Iterator[KeyFigure]:
    """Yield the number of training runs, the time that they take, and seeds."""
    yield KeyFigure(
        "Training runs", f"{int(facts['training runs']):,}", of=f"{int(facts['new training runs']):,} to train"
    )
    if facts["tasks"] != "0":
        workers = count(int(facts["workers"]), "worker")
        yield KeyFigure("Time", f"about {duration(float(facts['seconds']))}", of=f"{workers}, {facts['device']}")
    folds = count(int(facts["folds"]), "fold") if int(facts["folds"]) > 1 else ""
    yield KeyFigure("Seeds", facts["seeds"], of=folds)


def defining(tables: Mapping[str, Sequence[Row]]) -> tuple[str, str]:
    """Return the core factor, where it defines the target in every environment, and the class; else empty texts."""
    core = next((row["value"] for row in tables["provenance"] if row["key"] == "core"), "")
    rows = [row for row in tables["environments"] if row["factor"] == core]
    return (core, rows[0]["target"]) if rows and all(row["strength"] == 1 for row in rows) else ("", "")


def planned_words(facts: Mapping[str, str]) -> str:
    """Return how many training runs there are, how many are new, and about how long they take."""
    runs, new = (int(facts[name]) for name in ("training runs", "new training runs"))
    more = ""
    if "looks" in facts:
        most = int(facts["most training runs"])
        more = f"; {looks_words(list(map(int, facts['looks'].split(', '))), most, runs)}"
    if facts["tasks"] == "0":
        return f"{count(runs, 'training run')}, all done: nothing to train{more}."
    device = "" if facts["device"] == "cpu" else f" on {facts['device']}"
    time = f"about {duration(float(facts['seconds']))} with {count(int(facts['workers']), 'worker')}{device}"
    some = f"{new:,} of {count(runs, 'network')}" if new < runs else count(runs, "network")
    are = "is" if runs == new == 1 else "are"
    return f"{some} {are} to be trained: {time}{more}."


def looks_words(looks: Sequence[int], most: int, now: int) -> str:
    """Return the looks and the most training runs that they can take."""
    return (
        f"looks at {join_words(list(map(str, looks)))} seeds until every primary comparison is decided: at most "
        f"{count(most, 'trial')}, {most - now} more than are planned now"
    )


def preview_lines(context: PageContext, width: int) -> Iterator[str]:
    """Yield the preview as lines of text: the same words and tables as those of the page.

    Args:
        context: The tables of the preview.
        width: Columns of the terminal; 0 for none. Rows of a wider table are stacked.
    """
    account, facts = preview_account(context), context.facts
    yield f"{account.name}: {account.question}" if account.question != account.name else account.name
    yield from account.opening.done
    for picture in context.tables["pictures"]:
        if picture["kind"] == "source":
            yield f"source {caption(picture)}"
    for section in context.page.sections(context.tables):
        for block in section.blocks:
            table = None if block.folded else render(block, context).sheet
            yield from () if table is None else _table(table, width)
    yield ""
    heads = {"ok": "checked", "": "not checked"}
    yield from (f"{heads.get(caution.light, 'doubt')}: {caution.text}" for caution in account.doubts)
    for name, head in (("known faults", "data"), ("rows left out", "left out")):
        if facts.get(name):
            yield f"{head}: {shorten(facts[name], _LONGEST, placeholder=' ... (the page has all)')}"
    yield account.verdict


def _table(sheet: Sheet, width: int) -> Iterator[str]:
    rows = [[cell.text for cell in line.cells] for line in sheet.lines[:MOST_ROWS]]
    lines = [f"  {line}" for line in align([sheet.heads, *rows], sheet.numbers)]
    yield from ("", sheet.caption)
    yield from lines if not width or max(map(len, lines)) <= width else _stack_rows(sheet.heads, rows)
    if len(sheet.lines) > MOST_ROWS:
        yield f"  and {len(sheet.lines) - MOST_ROWS:,} rows more, which the page has"
    if sheet.note:
        yield f"  {sheet.note}"


def _stack_rows(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield each row as its first cell and, below it, the other cells after their headings."""
    for row in rows:
        yield f"  {row[0]}"
        pairs = zip(heads[1:], row[1:], strict=True)
        yield "    " + "; ".join(f"{head} {cell}" for head, cell in pairs if cell != NONE)


def preview_sections(tables: Mapping[str, Sequence[Row]]) -> list[Section]:
    """Return the sections of the page of a preview; the factor that defines the target is not counted by level."""
    facts = {row["key"]: row["value"] for row in tables["provenance"]}
    counts = Block(
        id="counts",
        title="Images by class and level",
        table="counts",
        query=Query(excluded={"factor": (defining(tables)[0],)}),
        row_columns=("environment", "factor", "level"),
        across="target",
    )
    power = Block(
        id="power",
        title="What a comparison can detect with 80% power",
        table="power",
        columns=("comparison", "detectable", "reason"),
        note=rough(int(facts["seeds"]), int(facts["folds"])),
    )
    environments = replace(
        ENVIRONMENTS,
        title="Conditions, as requested and as achieved",
        columns=("environment", "set", "factor", "target", "asked", "strength", "held", "kept", "available", "images"),
        folded=False,
    )
    return [
        Section("conditions", "Training and test conditions", (environments, counts), tab="Conditions"),
        Section("detects", "Detectable differences", (power,)),
        Section("cues", "Simple cues and confounders", (CUES, ISSUES, replace(VISIBLE, folded=False))),
    ]


def rough(seeds: int, folds: int) -> str:
    """Return the basis and the limits of the power figures."""
    each = f" of {folds} folds" if folds > 1 else ""
    return (
        f"A rough plan from {count(seeds, 'seed')}{each}, the test patients and Holm's first step in each family "
        f"(docs/statistics.md). {assumption_text(Assumptions(), folds)} A comparison's `seed_sd` takes the place "
        "of the variation between seeds. Most studies find smaller differences; the report "
        "states the difference that the run could detect."
    )


def assumption_text(assumptions: Assumptions, folds: int) -> str:
    """Return the assumptions behind the power figures."""
    independent = f"between trainings ({folds} folds of a seed taken for independent)"
    between = "between seeds" if folds == 1 else independent
    return (
        f"Assumed: a value near {assumptions.value:.2g}; paired differences that vary by {assumptions.seed_sd:.2g} "
        f"{between}; a correlation of {assumptions.correlation:.2g} between the recipes' answers about a patient."
    )


PREVIEW = PageDefinition(text=preview_account, sections=preview_sections, rows=with_words)
