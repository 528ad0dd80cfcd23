"""Page of a look at images, from the tables of its folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from PIL import ImageOps

from assay.core.reasons import Code, parse_reason
from assay.look.harms import look_harms
from assay.look.words import (
    EMBEDDING_METHODS,
    LABELS,
    METHODS,
    SUSPECT_KINDS,
    best_cue,
    cue_advice,
    decoded_lines,
    further_findings,
    grid_title,
    look_interval,
    look_step,
    look_verdict,
    why_unjudged,
)
from assay.report.account import (
    ConditionPictures,
    FirstScreen,
    KeyFigure,
    PageText,
    StatusChip,
    caution_chips,
    caution_sentence,
)
from assay.report.block import Block, Query, Section
from assay.report.context import PageContext, PageDefinition
from assay.report.data_blocks import CUES, ISSUES
from assay.report.images import sheet_images, thumbnail
from assay.report.sentences.reasons import cue_words, reason_words
from assay.stats.findings import parse_finding
from assay.stats.format import count, in_words, number
from assay.stats.rows import Row, json_object, numeric
from assay.store.data_tables import LARGE
from assay.store.schema import SHEET_COLUMNS, SHEET_GAP

MAX_CHIPS = 4
MAX_CUES = 6
"""Cues in the chart of the first screen."""


DECODED = Block(
    id="decoded",
    title="What a linear decoder predicts from embeddings",
    table="decoded",
    chart="strip",
    row_columns=("name", "source"),
    color_column="kind",
    reference_level=("chance", 0.5),
    columns=("name", "kind", "source", "of", "value", "images", "patients", "reason"),
    note="AUROC in other patients. Columns are predicted within classes. The best simple cue needs no embeddings.",
)


def look_account(context: PageContext) -> PageText:
    """Return the words on a look."""
    facts, findings = context.facts, list(map(parse_finding, context.tables["findings"]))
    patients = f"{facts['patients']} patients" if context.interval_unit == "patients" else "patients not named"
    target = f'"{in_words(facts["target"])}"'
    return PageText(
        name=facts["data"],
        question=f"What do {facts['images']} images reveal about {target} without a network?",
        meta=f"{facts['images']} images, {patients}, target {target}, examined at {facts['examined at']}",
        verdict=look_verdict(context),
        opening=FirstScreen(
            tuple(_check_chips(context)[:MAX_CHIPS]),
            (),
            tuple(suspects(context)),
            (),
            tiles=tuple(look_tiles(context)),
            next=look_step(context),
            grid=grid_title(context),
            more=tuple(filter(None, (cue_advice(context),))),
        ),
        doubts=tuple(map(caution_sentence, findings)),
        limits=("what a network would learn", "whether labels are right"),
        methods=(*METHODS, *(EMBEDDING_METHODS if context.tables["decoded"] else ())),
        planned=True,
    )


def _check_chips(context: PageContext) -> list[StatusChip]:
    """Return the findings in order of harm, then the checks that were passed, in a few words each."""
    rows = context.tables["findings"]
    ordered = [rows[harm.row] for harm in look_harms(rows)]
    passed = (row for row in rows if row not in ordered)
    return [chip for row in (*ordered, *passed) for chip in caution_chips([parse_finding(row)])]


def suspects(context: PageContext) -> Iterator[ConditionPictures]:
    """Yield the images that are drawn as copies, odd or wrongly labeled, then those whose masks are outlined."""
    for row in context.tables["pictures"]:
        facts, kind = json_object(row["facts"]), row["kind"]
        rows = facts["rows"]
        columns = len(rows) // 2 if kind in ("copies", "cue") else min(len(rows), SHEET_COLUMNS)
        what = {"copies": "copy", "masks": "mask", "cue": "cue"}.get(kind) or facts["kind"].replace("-", " ")
        images = sheet_images(context.root, row, len(rows), columns)
        # A copy follows the file that it is a copy of; a gray frame is cut off.
        order = sorted(range(len(rows)), key=lambda at: at % columns) if kind == "copies" else range(len(rows))
        is_uncropped = [not on for on in facts["framed"]] * 2 if kind == "copies" else [False] * len(rows)
        word = facts.get("word", "row")
        sides = ["most", "least"] if kind == "cue" else [what]
        names = [name for name in sides for _ in range(len(rows) // len(sides))]
        classes = facts.get("classes") or [""] * len(rows)
        labels = [f"{name}, {of}" if of else name for name, of in zip(names, classes, strict=True)]
        pictures = [
            ConditionPictures(
                f"{name}, {word} {number_of:,}", (thumbnail(ImageOps.crop(image, SHEET_GAP * cut), what),)
            )
            for name, number_of, image, cut in zip(labels, rows, images, is_uncropped, strict=True)
        ]
        yield from (pictures[i] for i in order)


def look_tiles(context: PageContext) -> Iterator[KeyFigure]:
    """Yield the number of images, the best cue, and what is suspect."""
    tables, facts = context.tables, context.facts
    unjudged = [
        reason for row in tables["findings"] if (reason := parse_reason(row["reason"])).first(Code.LABELS_UNJUDGED)
    ]
    yield KeyFigure(
        "Images", facts["images"], of=f"{facts['patients']} patients" if context.interval_unit == "patients" else ""
    )
    best = best_cue(context)
    for row in tables["shortcuts"][:1] if best is None else [best]:
        of, light = f"AUROC of {cue_words(row['kind'], row['name'])}", "warn" if row["strong"] else ""
        yield KeyFigure("Best simple cue", number(numeric(row, "value")), look_interval(row), of, light)
    for row in tables["decoded"][:1]:
        value = number(numeric(row, "value"))
        yield KeyFigure("Linear probe", value, look_interval(row), f"AUROC of embeddings for {in_words(row['name'])}")
    for name, kinds in SUSPECT_KINDS.items():
        suspect_count = len({row["row"] for row in tables["issues"] if row["kind"] in kinds})
        if name == LABELS and unjudged:
            yield KeyFigure(name, "not judged", of=why_unjudged(unjudged[0]))
            continue
        yield KeyFigure(
            name,
            f"{suspect_count:,}",
            of=count(suspect_count, "file" if name == "Copies" else "image").partition(" ")[2],
            light="warn" if suspect_count else "",
        )


def look_lines(context: PageContext) -> Iterator[str]:
    """Yield the verdict, what was looked at, and a line for each finding, without the cue that the verdict names."""
    yield " ".join(filter(None, (look_verdict(context), cue_advice(context))))
    yield f"{look_account(context).meta}."
    yield from (f"  {line}" for line in decoded_lines(context.tables["decoded"]))
    yield from (
        f"  {reason_words(finding.reason)}"
        for finding in further_findings(list(map(parse_finding, context.tables["findings"])))
    )


def look_cues(tables: Mapping[str, Sequence[Row]]) -> Block:
    """Return the chart of the cues of a look. They name what they predict where that is lesion area, too."""
    sized = any(row["of"] == LARGE for row in tables["shortcuts"])
    return replace(
        CUES,
        chart="strip",
        row_columns=("name", "of") if sized else ("name",),
        color_column="kind",
        reference_level=("chance", 0.5),
        query=Query(max_rows=12),
        has_table=False,
    )


def best_cues(tables: Mapping[str, Sequence[Row]]) -> Block:
    """Return the chart of the first screen of a look."""
    shared = (
        " Patients who share a picture count as one." if any(row["kind"] == "copy" for row in tables["issues"]) else ""
    )
    cues, most = look_cues(tables), Query(max_rows=MAX_CUES)
    return replace(cues, id="best-cues", title="Best simple cues", note=f"AUROC.{shared}", query=most)


def look_sections(tables: Mapping[str, Sequence[Row]]) -> list[Section]:
    """Return the sections of the page of a look at images."""
    return [
        Section("embeddings", "Embeddings", (DECODED,)),
        Section("cues", "Simple cues", (look_cues(tables), replace(CUES, id="every-cue"))),
        Section("found", "Issues", (ISSUES,)),
    ]


LOOK = PageDefinition(
    text=look_account,
    sections=look_sections,
    answer=look_lines,
    leading_blocks=lambda context: (best_cues(context.tables),),
)
