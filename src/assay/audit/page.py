"""Page of an audit: its words and pictures, its blocks, and its cells."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from assay.audit.cards import outcome_texts
from assay.audit.harm_words import (
    ANSWER_TABLES,
    answer_words,
    audit_tiles,
    further_words,
    harm_lines,
    measure_name,
    notes_words,
)
from assay.audit.harms import WHOLE_IMAGE_FAMILIES, harms_of
from assay.audit.search.words import (
    NO_LEADS,
    NOT_SEARCHED_FOR,
    NOTE,
    SEARCH_NAMES,
    VALUES,
    content_words,
    lead_words,
    next_words,
    place_words,
    region_evidence,
    region_meanings,
    region_title,
    searched_words,
    shares_words,
)
from assay.audit.tables import DOSES, NOT_TESTED
from assay.audit.words import (
    METHODS,
    NO_REFERENCE,
    SHIFT_NAME,
    check_words,
    chip_of_check,
    evidence_words,
    factor_words,
    limits_words,
    needed_words,
    open_words,
    procedure_sentences,
    rates_words,
    reported_verdicts,
    verdict_meanings,
    verdict_title,
)
from assay.core.errors import StoreError, unknown_of_few
from assay.core.files import content_hash
from assay.report.account import (
    LIGHTS,
    MAX_CONDITIONS,
    SIGNS,
    CautionSentence,
    ConditionPictures,
    FirstScreen,
    PageText,
    ResultDetail,
    StatusChip,
)
from assay.report.block import ZERO, Block, Query, Row, Section
from assay.report.blocks import render
from assay.report.context import CellFormat, PageContext, PageDefinition, Rows
from assay.report.data_blocks import ADDED, CUES, ISSUES
from assay.report.images import MAX_SIDE, open_picture, thumbnail
from assay.report.sheets import Cell, text_cell
from assay.stats.bounds import MARGIN
from assay.stats.rows import OPEN, RegionVerdict, leading_region, numeric
from assay.store.bundle import is_portable

# The first screen.

_MAX_PICTURE_NAME = 40
"""Letters of the name of a mark in the name of its picture."""
MAX_TILES = 4
MAX_SENTENCES = 3
"""Sentences under the title; the findings have all."""
MAX_VERDICTS = 12
"""Verdicts that open; the table has all."""
MAX_CHIPS = 3
"""Chips on the first screen, problems first; the findings have all."""
IMAGES_PER_PICTURE = 2
"""Images in a picture of a mark, one above the other."""
REGION_PREFIX = "region"
"""Beginning of the names of pictures of a region; a mark of that name has a picture without a space."""
LARGE_PICTURE_SIDE = 224
"""Most CSS pixels of the first image that carries it, and of the first that does not."""
IMAGES_PER_GROUP = 3
"""Images that carry what a region has, and as many that do not."""


def audit_account(evidence: PageContext) -> PageText:
    """Return the words on an audit."""
    tables, facts = evidence.tables, evidence.facts
    verdicts, margin = tables["verdicts"], facts["margin"]
    parts = [
        facts["kind"],
        f"{facts['images']} images",
        f"{facts['patients']} patients",
        f"margin {margin}{', the default' if float(margin) == MARGIN else ''}",
        facts.get("domain", ""),
        f"intended use: {facts.get('intended use', 'not stated')}",
    ]
    if evidence.interval_unit == "images":
        parts.remove(f"{facts['patients']} patients")
    first, *more = answer_words(tables)
    leading, harms = leading_region(tables["regions"]), harms_of(tables)
    unlimited = leading is None or math.isnan(numeric(leading, "limit"))
    chips = _chips(tables["checks"], facts, marks=unlimited and any(row["kind"] == "mark" for row in verdicts))
    opening = FirstScreen(
        tuple(sorted(chips, key=lambda chip: ("warn", "none", "ok").index(chip.light))[:MAX_CHIPS]),
        tuple(procedure_sentences(facts, verdicts, tables["effects"], _searched_regions(tables))),
        tuple(region_pictures(evidence.root, leading, tuple(_PICTURES)) if leading else _mark_pictures(evidence)),
        tuple(harm_lines(tables, harms, float(margin))),
        f"What was found, by kind and then by {measure_name(tables)} lost",
        more=(" ".join(more[:MAX_SENTENCES]), *more[MAX_SENTENCES:]),
        next=next_words(tables, evidence.folder_for_commands),
        tiles=tuple(audit_tiles(tables, facts, harms)[:MAX_TILES]),
        legend=notes_words(tables, harms),
        further=further_words(tables, harms),
    )
    return PageText(
        name=facts["model"],
        question=f"What do the predictions of {facts.get('file', facts['model'])} depend on?",
        meta=" · ".join(filter(None, parts)),
        verdict=first,
        opening=opening,
        doubts=tuple(map(_check_sentence, tables["checks"])),
        limits=(" ".join(limits_words(tables)),),
        methods=METHODS,
    )


def _searched_regions(tables: Mapping[str, Sequence[Row]]) -> list[Row]:
    return [row for row in tables["regions"] if row["verdict"] != NOT_TESTED]


def _check_sentence(row: Row) -> CautionSentence:
    """Return a check as a sentence. One that was not done has no light, and neither has a result."""
    light = "" if row["status"] == "not-done" else row["status"]
    if row["check"] == "ranking" and light == "ok":  # a high AUROC may rest on a shortcut: no check that was passed
        return CautionSentence(check_words(row), "", "", "result", "")
    return CautionSentence(check_words(row), light, SIGNS.get(light, ""), LIGHTS.get(light, "not done"), "")


def leads_words(tables: Mapping[str, Sequence[Row]]) -> dict[str, str]:
    """Return sentences on the sections of regions and leads, see `page.audit_sections`."""
    leading = leading_region(tables["regions"])
    parts = [] if leading is None else [f"{region_title(leading)}; {region_evidence(leading)}."]
    parts += [*searched_words(tables["regions"], sizes=False), *([NOT_SEARCHED_FOR] if tables["regions"] else [])]
    return {"region": " ".join(parts), "found": NOTE if tables["leads"] else NO_LEADS, "leads": VALUES}


def _chips(checks: Sequence[Row], facts: Mapping[str, str], *, marks: bool) -> Iterator[StatusChip]:
    """Yield the outcomes of checks in a few words, then the lack of reference networks."""
    for row in checks:
        text = chip_of_check(row)
        if row["check"] == "ranking" and row["status"] != "ok":  # otherwise a key figure, and no check
            text = f"{row['measure']} {row['value']:.2f} on these images: no better than chance"
        sentence = _check_sentence(row)
        if text:
            yield StatusChip(sentence.light or "none", sentence.sign, text, sentence.text)
    if marks and "references" not in facts:
        yield StatusChip(
            "warn", SIGNS["warn"], "no reference networks for marks: 'relies on' cannot be claimed", NO_REFERENCE
        )


# Verdicts that open.


def open_verdicts(evidence: PageContext, by_dose: Block) -> Iterator[ResultDetail]:
    """Yield the leading verdicts on marks and columns, those on marks with a block of their doses."""
    tested = [row for row in reported_verdicts(evidence.tables) if row["verdict"] != NOT_TESTED]
    for at, row in enumerate(tested[:MAX_VERDICTS]):
        is_mark = row["kind"] == "mark"
        doses = replace(by_dose, id=f"doses-{at}", query=Query(allowed={"factor": (row["factor"],)}))
        path = _picture_of(evidence.root, row["factor"])
        yield ResultDetail(
            verdict_title(row, evidence.facts["margin"]),
            evidence_words(row, evidence.facts),
            _pictures_of_mark(row, path) if is_mark and path.is_file() else None,
            render(doses, evidence).sheet if is_mark else None,
        )


# Pictures of marks: images without (left) and with the mark.


def region_pictures(root: Path, row: Row, names: Sequence[str], audit: str = "") -> Iterator[ConditionPictures]:
    """Yield pictures of a region: means of images with and without its content, their difference, and images of both.

    Args:
        root: The run folder.
        row: The region.
        names: Names of the pictures.
        audit: Start of the names of the files of one audit of two.
    """
    for name in names:
        search = f"{row['of']}-{row.get('round', 1)}".removesuffix("-1")
        path = root / "pictures" / f"{audit}{REGION_PREFIX} {picture_name(search)} {name}.png"
        if path.is_file():
            side = LARGE_PICTURE_SIDE if name in ("with 1", "without 1") else MAX_SIDE
            caption = _PICTURES[name].format(what=content_words(row))
            yield ConditionPictures(caption, (thumbnail(open_picture(path).convert("RGB"), place_words(row), side),))


_PICTURES = {
    **{f"{name} 1": f"an image {name} {{what}}" for name in ("with", "without")},
    **{name: f"mean of images {name} it" for name in ("with", "without")},
    "difference": "difference of the means",
    **{f"{name} {at + 1}": f"{name} {{what}}" for at in range(1, IMAGES_PER_GROUP) for name in ("with", "without")},
}
"""Name of a picture of a region -> its caption."""


def _mark_pictures(evidence: PageContext) -> Iterator[ConditionPictures]:
    """Yield an image as it is, and with each of the most harmful marks."""
    marks = [
        row
        for row in evidence.tables["verdicts"]
        if row["kind"] == "mark" and _picture_of(evidence.root, row["factor"]).is_file()
    ]
    for number, row in enumerate(marks[: MAX_CONDITIONS - 1]):
        pictures = _pictures_of_mark(row, _picture_of(evidence.root, row["factor"]))
        yield from () if number else (ConditionPictures("as it is", pictures.pictures[:1]),)
        look = f": {row['look']}" if row.get("look") else ""
        way = "applied" if row.get("family") in WHOLE_IMAGE_FAMILIES else "added"
        yield ConditionPictures(f"with {pictures.name}, {way} by this audit{look}", pictures.pictures[1:])


def _pictures_of_mark(row: Row, path: Path) -> ConditionPictures:
    image = open_picture(path).convert("RGB")
    side, height = image.width // 2, image.height // IMAGES_PER_PICTURE
    parts = {label: (at * side, 0, (at + 1) * side, height) for at, label in enumerate(("without", "with"))}
    return ConditionPictures(
        factor_words(row), tuple(thumbnail(image.crop(box), label) for label, box in parts.items())
    )


def _picture_of(root: Path, factor: str) -> Path:
    return root / "pictures" / f"{picture_name(factor)}.png"


def picture_name(factor: str) -> str:
    """Return the name of the picture of a mark, without its ending: another for every mark, on any file system."""
    file_name = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in factor)[:_MAX_PICTURE_NAME]
    is_unchanged = file_name == factor and factor.isascii() and factor == factor.lower() and is_portable(file_name)
    return file_name if is_unchanged else f"{file_name}~{content_hash(factor)[:8]}"  # `con.png` would be a device


# Blocks and sections.

MAX_SWINGS = 15
"""Marks and columns in the chart of the first screen; the table has all."""
_EFFECT = ("g", "loss_negatives", "loss", "flips", "dice", "stray")
REGIONS = Block(
    id="regions",
    title="Regions that were found, or are inconclusive",
    table="regions",
    query=Query(allowed={"verdict": OPEN}),
    columns=("found", "value", "limit", "moved", "g", "flips", "carried", "images"),
    cited_column="g",
    note="Effect: how much the score changes if the region comes from an image of the other class, less "
    "the change by one of the same class. It decides, against the limit. Score moved: the change by "
    "the content of images chosen as carriers, which is large in any network and decides nothing. "
    "Both are in standard deviations (sd) of the scores of one class.",
)

SEARCHES = Block(
    id="searches",
    title="Searches that found nothing",
    table="regions",
    query=Query(allowed={"verdict": (RegionVerdict.NOTHING_FOUND,)}),
    columns=("sought", "value", "limit", "reason"),
    note="Effect: the largest of the search, in standard deviations (sd) of the scores of one class. "
    "Limit: the largest effect in networks without a shortcut, or the smallest that is reported; more where this model "
    "separates the classes by more than they do.",
)

SWINGS = Block(
    id="swings",
    title="AUROC shift by marks and columns",
    table="verdicts",
    chart="strip",
    row_columns=("factor",),
    query=Query(excluded={"verdict": (NOT_TESTED,)}, max_rows=MAX_SWINGS),
    value="g",
    color_column="verdict",
    has_table=False,
    reference_level=ZERO,
    shades_margin=True,
    keeps_order=True,
    note="AUROC shift: of a mark, on images of one class alone; of a column, one group against all others; positive "
    "where it raises scores. In the order of the findings. Bars: 90% intervals. Shaded: the margin.",
)
_BATTERY = (
    SWINGS,
    Block(id="verdicts", title="All marks and columns, in the order of the findings", table="verdicts",
          query=Query(excluded={"verdict": (NOT_TESTED,)}),
          columns=("factor", "verdict", "dose", *_EFFECT, "limit", "open", "needed", "images"), cited_column="g"),
    Block(id="effects", title="AUROC shift by strength of the mark", table="effects", chart="curve", panel="factor",
          query=Query(empty=("place",)), along="dose", order=DOSES, value="g", color_column="measure", folded=True,
          has_table=False, reference_level=ZERO, shades_margin=True),
)  # fmt: skip
BY_DOSE = Block(
    id="doses",
    title="By strength of the mark",
    table="effects",
    columns=("dose", "place", *_EFFECT, "images"),
    cited_column="g",
)
"""The strengths of one mark, as drawn and at another place."""
_GROUPS = (
    Block(
        id="gaps",
        title="Gaps between groups",
        table="gaps",
        chart="strip",
        row_columns=("column", "a", "b"),
        panel="measure",
        color_column="decision",
        reference_level=ZERO,
        shades_margin=True,
        columns=("column", "a", "b", "measure", "value", "decision", "needed", "images"),
        note="The first group minus the second. Shaded: the margin.",
    ),
    Block(
        id="groups",
        title="Performance by group",
        table="groups",
        chart="strip",
        row_columns=("column", "level"),
        panel="measure",
        color_column="column",
        columns=("column", "level", "measure", "value", "images", "reason"),
    ),
)
_MODEL_ADDED = replace(
    ADDED,
    title="The model against the simple cue that is best in other patients",
    note="Another cue may have a higher AUROC among the tested patients. AUROC of the cue: over all tested images "
    "together; in the table of simple cues, that of a fitted cue is within the folds of its fit. Similar values: "
    "images in the same tenth of the cue. Beyond: there the model's AUROC exceeds 0.5 and that of the cue with "
    "95% confidence, so it carries information beyond the cue. Below: its AUROC on all images is lower than the "
    "cue's with 95% confidence.",
)
_INSIDE = Block(
    id="inside",
    title="Inside the network: evidence, not a verdict",
    table="inside",
    folded=True,
    columns=("kind", "name", "value", "chance", "images", "reason"),
)
_RATES = Block(
    id="rates",
    title="Error rates of this audit",
    table="rates",
    folded=True,
    columns=("rate", "count", "among", "value"),
)
_DISTORTED_NOTE = (
    "The decision is on the loss alone, by the ends of its 90% interval. Changed predictions do not decide: scores "
    "that rise or fall together can cross the threshold and keep their order."
)
UNTESTED = Block(
    id="untested",
    title="Not tested",
    table="verdicts",
    query=Query(allowed={"verdict": (NOT_TESTED,)}),
    columns=("factor", "kind", "reason"),
)


def audit_sections(tables: Mapping[str, Rows]) -> list[Section]:
    """Return the sections of the page of an audit."""
    sentences, rates = leads_words(tables), replace(_RATES, note=" ".join(rates_words(tables)))
    measure = "dice" if any(row["dice"] == row["dice"] for row in tables["distorted"]) else "loss"
    lead_blocks = (
        Block(
            id="leads",
            title="Scores and errors by image property",
            table="leads",
            columns=("lead", "about", "value", "images"),
            note=sentences["leads"],
        ),
        _INSIDE,
    )
    distorted = Block(
        id="distorted",
        title="Distortions",
        table="distorted",
        chart="curve",
        along="severity",
        value=measure,
        note=_DISTORTED_NOTE,
        color_column="factor",
        reference_level=ZERO,
        shades_margin=True,
        columns=("factor", "severity", "decision", "loss", "dice", "flips", "images", "reason"),
    )
    return [
        Section(
            "region",
            "Image regions that predictions depend on",
            (REGIONS, SEARCHES),
            sentences["region"],
            tab="Regions",
            alone=True,
        ),
        Section("found", "Findings without a verified limit", lead_blocks, sentences["found"], tab="Unverified"),
        Section("performance", "Groups and distortions", (*_GROUPS, distorted), tab="Groups"),
        Section(
            "verdict",
            "Marks and columns",
            _BATTERY,
            "These verdicts hold for this model, these images and these marks as drawn. They do not rule out a "
            "shortcut.",
            tab="Marks",
        ),
        Section("cues", "Simple cues and error rates", (_MODEL_ADDED, CUES, ISSUES, rates), tab="Cues"),
    ]


# Rows with their numbers, margin and measure, and cells of columns.

_MEASURES = {"verdicts": SHIFT_NAME, "effects": SHIFT_NAME, "distorted": "AUROC lost"}


def _with_numbers(table: str, rows: Rows, evidence: PageContext) -> Rows:
    """Return rows with their number, measure and margin; patients that are not named are not counted."""
    if table not in ("verdicts", "effects", "distorted", "gaps", "groups", "leads", "regions"):
        return rows
    more = {
        "margin": float(evidence.facts["margin"]),
        **({"measure": _MEASURES[table]} if table in _MEASURES else {}),
        **({"patients": 0} if evidence.interval_unit == "images" else {}),
    }
    return [{**row, "id": f"{table}-{number}", **more} for number, row in enumerate(rows)]


def _needed_cell(row: Row, _: PageContext) -> Cell:
    """Return how many images would settle a test; of more than can be collected no number."""
    needed = numeric(row, "needed")
    return text_cell("") if math.isnan(needed) else text_cell(needed_words(needed))


def factor_cell(row: Row, _: PageContext) -> Cell:
    """Return the cell of a mark or column."""
    return text_cell(factor_words({"kind": "mark", **row}))


def _swing_block(_: PageContext, measure: str) -> Block:
    """Return the block of the AUROC shift. Raises StoreError for another measure."""
    if measure != "g":
        raise StoreError(unknown_of_few("measure", measure, ["g"]))
    return SWINGS


PAGE = PageDefinition(
    text=audit_account,
    sections=audit_sections,
    answer=lambda evidence: answer_words({name: evidence.tables[name] for name in ANSWER_TABLES}),
    extra_files=outcome_texts,
    leading_blocks=lambda _: (SWINGS,),
    block_of=_swing_block,
    rows=_with_numbers,
    cells={
        "factor": CellFormat(factor_cell),
        "open": CellFormat(lambda row, _: text_cell(open_words(row["open"]))),
        "place": CellFormat(lambda row, _: text_cell(row["place"] or "as drawn")),
        "lead": CellFormat(lambda row, _: text_cell(lead_words(row)), "finding"),
        "needed": CellFormat(_needed_cell),
        "sought": CellFormat(lambda row, _: text_cell(SEARCH_NAMES[row["of"]]), "search"),
        "found": CellFormat(lambda row, _: text_cell(region_title(row))),
        "carried": CellFormat(lambda row, _: text_cell(shares_words(row)), "images that carry it"),
    },
    terms=lambda tables: {
        "verdict": verdict_meanings(tables["verdicts"]),
        "region": region_meanings([row for row in tables["regions"] if row["verdict"] in OPEN]),
    },
    result_details=lambda evidence: {"verdict": tuple(open_verdicts(evidence, BY_DOSE))},
    failures=(UNTESTED,),
)
"""Of audits."""
