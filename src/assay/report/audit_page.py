"""Write the page of an audit, from the tables of its run folder."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from assay.core.files import content_hash
from assay.report.blocks import Figure, drawn
from assay.report.charts import draw_rows
from assay.report.drawing import Mark, Panel, Plot, Reference, styles
from assay.report.evidence import numeric, whole
from assay.report.images import encoded
from assay.report.leads import LeadsShown, leads_shown
from assay.report.opening import MOST_PLACES, SIDE, SIGNS, Chip, Opening, Place, Small
from assay.report.opening import Line as Numbers
from assay.report.page import FIRST_WIDTH, rendered, written
from assay.report.sentences.audit import (
    CHIPS,
    HARMFUL,
    MEANINGS,
    METHODS,
    NO_REFERENCE,
    SWING,
    check_words,
    done,
    evidence,
    factor_words,
    not_established,
    references_words,
    strength,
    title,
    verdict,
)
from assay.report.sentences.leads import NOTE, PLACES, place_words
from assay.report.sentences.reasons import reason_words
from assay.report.sheets import NONE, Cell, Line, Sheet, amount, figure, sheet, words
from assay.report.words import measure_words as measure_name
from assay.results.block import Block
from assay.stats.format import count, in_words
from assay.stats.verdicts import MARGIN
from assay.store.audit_tables import AUDIT_TABLES
from assay.store.files import Row
from assay.store.folder import RunFolder

MEAN = "grid mean.png"
"""The mean of the images, among the pictures of an audit."""
_LONGEST = 40
"""Letters of the name of a mark in the name of its picture."""
MOST_SHOWN = 15
"""Verdicts that are shown with their evidence, one by one; the table has all."""
MOST_LINES = 3
"""Verdicts on the first screen."""
EXAMPLES = 2
"""Images in a picture of a mark, one above the other."""


@dataclass(frozen=True)
class Shown:
    """A verdict with its evidence.

    Attributes:
        id: Its anchor.
        title: The verdict.
        text: The numbers.
        meaning: What the verdict means and does not establish; empty where the verdict before it is the same.
        light: `bad`, `warn` or `ok`.
        picture: Images without and with the mark as a data URI; empty where there is none.
    """

    id: str
    title: str
    text: str
    meaning: str
    light: str
    picture: str


@dataclass(frozen=True)
class AuditContent:
    """Everything that the template shows."""

    question: str
    meta: str
    verdict: str
    opening: Opening
    scope: tuple[tuple[str, str], ...]
    reference: str
    verdicts: tuple[Shown, ...]
    figure: Figure | None
    leads: LeadsShown | None
    note_on_leads: str
    sheets: tuple[Sheet, ...]
    checks: tuple[tuple[str, str], ...]
    limits: tuple[str, ...]
    methods: tuple[str, ...]
    pictures: bool


def write_audit_page(root: Path) -> Path:
    """Write `report.html` of an audit and return its path. Computes no statistic.

    Raises:
        StoreError: A table is missing, or the page would exceed 5 MB.
    """
    return written(root, rendered("audit.html", collect_audit(root)), "leave the pictures out")


def collect_audit(root: Path) -> AuditContent:
    """Collect the content of the page. Raises StoreError where a table is missing."""
    folder = RunFolder(root)
    tables = {name: folder.table(name) for name in AUDIT_TABLES}
    facts = {str(row["key"]): str(row["value"]) for row in tables["provenance"]}
    verdicts = tables["verdicts"]
    tested = [row for row in verdicts if row["verdict"] != "not-tested"]
    shown = tuple(_shown(root, tested, facts["margin"]))
    parts = [facts["kind"], f"{facts['images']} images", f"{facts['patients']} patients", f"margin {facts['margin']}"]
    drawn = tested[:MOST_SHOWN]
    if "patients named" not in facts:
        parts.remove(f"{facts['patients']} patients")
        drawn = [{**row, "patients": 0} for row in drawn]
    return AuditContent(
        question=f"What do the answers of {facts['model']} change with?",
        meta=" · ".join([*parts, *([facts["domain"]] if "domain" in facts else [])]),
        verdict=verdict(verdicts, facts["model"]),
        opening=Opening(
            tuple(_chips(tables["checks"], facts, marks=any(row["kind"] == "mark" for row in verdicts))),
            tuple(done(facts, verdicts)),
            tuple(_places(root, tested)),
            tuple(
                Numbers(f"{title(row, facts['margin'])}:", strength(row), one.id)
                for one, row in zip(shown, tested[:MOST_LINES], strict=False)
            ),
        ),
        scope=tuple(_scope(facts)),
        reference="" if "references" in facts else NO_REFERENCE,
        verdicts=shown,
        figure=_swings(drawn, float(facts["margin"])),
        leads=leads_shown(tables["leads"], tables["exchanged"], root / "pictures" / MEAN),
        note_on_leads=NOTE,
        sheets=tuple(one for one in _sheets(tables) if one is not None),
        checks=tuple((row["status"], check_words(row)) for row in tables["checks"]),
        limits=not_established(tables),
        methods=METHODS,
        pictures=any(one.picture for one in shown),
    )


# The first screen.


def _chips(checks: Sequence[Row], facts: Mapping[str, str], *, marks: bool) -> Iterator[Chip]:
    """Yield the AUROC and the outcomes of checks in a few words, then the lack of reference networks."""
    for row in checks:
        words = CHIPS.get((row["check"], row["status"]), "")
        if row["check"] == "ranking":
            words = (
                f"AUROC {row['value']:.2f} on these images{'' if row['status'] == 'ok' else ': no better than chance'}"
            )
        light = "ok" if row["status"] == "ok" else "warn"
        if words:
            yield Chip(light, SIGNS[light], words, check_words(row))
    if marks and "references" not in facts:
        yield Chip("warn", SIGNS["warn"], "no reference networks: 'relies on' cannot be claimed", NO_REFERENCE)


def _places(root: Path, rows: Sequence[Row]) -> Iterator[Place]:
    """Yield an image without and with each of the most harmful marks."""
    marks = [row for row in rows if row["kind"] == "mark" and _picture_of(root, row["factor"]).is_file()]
    for row in marks[:MOST_PLACES]:
        with Image.open(_picture_of(root, row["factor"])) as opened:
            image = opened.convert("RGB")
        side = image.width // 2
        height = image.height // EXAMPLES
        by = math.ceil(max(side, height) / SIDE)
        small: list[Small] = []
        for at, label in enumerate(("without", "with")):
            part = image.crop((at * side, 0, (at + 1) * side, height)).reduce(by)
            times = max(1, SIDE // max(part.size))
            small.append(Small(encoded(part, lossless=True), part.width * times, part.height * times, label))
        yield Place(factor_words(row), tuple(small))


def _scope(facts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield who stated what: the use, the margin, the model, the data and the software, and what is missing."""
    default = float(facts["margin"]) == MARGIN
    yield "Intended use", facts.get("intended use", "not stated")
    yield "Margin", f"{facts['margin']}, {'the default' if default else 'chosen by the user'}"
    yield "Started", facts.get("probed", "unknown")
    yield "Model", f"{facts['kind']} {facts['model']}, hash {facts['hash of the model']}"
    yield "Images", f"{facts['images']} images of {facts.get('data', 'the data')}"
    yield "Software", ", ".join(f"{name} {facts[name]}" for name in ("assay-imaging", "torch") if name in facts)
    yield "Reference networks", references_words(facts)
    yield "Readers and reference standard", "not assessed"


# Verdicts with their evidence.


def _shown(root: Path, rows: Sequence[Row], margin: str) -> Iterator[Shown]:
    before = ""
    for at, row in enumerate(rows[:MOST_SHOWN], start=1):
        light = "bad" if row["verdict"] in HARMFUL else "warn" if row["verdict"] == "inconclusive" else "ok"
        path = _picture_of(root, row["factor"])
        there = row["kind"] == "mark" and light != "ok" and path.is_file()
        uri = f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}" if there else ""
        meaning = MEANINGS[row["verdict"]] if row["verdict"] != before else ""
        before = row["verdict"]
        yield Shown(f"verdict-{at}", title(row, margin), evidence(row), meaning, light, uri)


def _picture_of(root: Path, factor: str) -> Path:
    return root / "pictures" / f"{picture_name(factor)}.png"


def picture_name(factor: str) -> str:
    """Return the name of the picture of a mark, without its ending: another for every mark, on any file system."""
    plain = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in factor)[:_LONGEST]
    same = plain == factor and factor.isascii() and factor == factor.lower()
    return plain if same else f"{plain}.{content_hash(factor)[:8]}"


def _swings(rows: Sequence[Row], margin: float) -> Figure | None:
    """Draw the swing of every factor with its bounds."""
    known = [row for row in rows if not math.isnan(numeric(row, "g"))]
    if not known:
        return None
    names = [factor_words(row) for row in known]
    marks = tuple(
        Mark("model", numeric(row, "g"), numeric(row, "low"), numeric(row, "high"), at=name)
        for name, row in zip(names, known, strict=True)
    )
    reach = max(margin * 2, *(abs(numeric(row, end)) for row in known for end in ("g", "low", "high")))
    limits = (-min(0.5, reach) * 1.05, min(0.5, reach) * 1.05)
    style = styles(["model"])["model"]
    plot = Plot(
        (Panel("", marks, (Reference.level("none", 0.0),), (-margin, margin)),),
        ("model",),
        {"model": style},
        "swing g: positive where the factor raises scores",
        limits,
        tuple(names),
    )
    beyond = sum(row["verdict"] in HARMFUL for row in known)
    named = f"{beyond} of {count(len(known), 'factor')}" if beyond else "No factor"
    words = " changed the answers beyond the margin"
    note = f"{SWING} Bars: one-sided 95% bounds. Shaded: the margin, {margin:g}."
    return drawn(Block(id="swings", title=named + words, note=note), plot, known, draw_rows, FIRST_WIDTH)


def _sheets(tables: Mapping[str, Sequence[Row]]) -> tuple[Sheet | None, ...]:
    tables = {**tables, "leads": _placed(tables["leads"], "name"), "exchanged": _placed(tables["exchanged"], "place")}
    return (
        _sheet(
            "verdicts", "All verdicts", tables, ("factor", "verdict", "dose"), ("g", "loss_negatives", "loss", "flips")
        ),
        _sheet(
            "effects",
            "Effects by strength of the mark",
            tables,
            ("factor", "dose"),
            ("g", "loss_negatives", "loss", "flips"),
        ),
        _sheet("leads", "Leads", tables, ("kind", "name", "about", "class"), ("value",)),
        _sheet("exchanged", "Exchange test", tables, ("kind", "place", "center"), ("loss",)),
        _sheet("inside", "Inside the network: evidence, no verdict", tables, ("kind", "name"), ("value",)),
        _sheet("groups", "Performance by group", tables, ("column", "level", "measure"), ("value",)),
        _sheet("gaps", "Gaps between groups", tables, ("column", "a", "b", "measure", "decision"), ("value",)),
        _sheet("distorted", "Distortions", tables, ("factor", "severity", "decision"), ("loss", "flips")),
        _sheet("shortcuts", "Simple cues that predict the target", tables, ("name", "kind", "of"), ("value",)),
        _sheet("rates", "Error rates in this domain", tables, ("rate", "count", "among"), ("value",)),
        _sheet("provenance", "Provenance", tables, ("key", "value"), ()),
    )


def _placed(rows: Sequence[Row], column: str) -> list[Row]:
    """Return rows with places of the exchange test in words."""
    return [{**row, column: place_words(row["kind"], row[column])} if row["kind"] in PLACES else row for row in rows]


HEADS: Mapping[str, str] = {
    "dose": "strength",
    "g": "swing",
    "loss_negatives": "AUROC lost, mark on negatives",
    "loss": "AUROC lost, all images",
    "flips": "changed calls",
    "of": "class",
}
"""Column -> its head, where another word is clearer."""


def _sheet(
    name: str, caption: str, tables: Mapping[str, Sequence[Row]], texts: Sequence[str], numbers: Sequence[str]
) -> Sheet | None:
    """Return a table of the page: columns of text, estimates with their bounds, and the number of images."""
    rows, table = tables[name], AUDIT_TABLES[name]
    if not rows:
        return None
    counted = ["images"] if "images" in table.names else []
    tested = "reason" in table.names and name != "shortcuts"
    lines = [
        Line(
            (
                *(words(_text(row.get(one))) for one in texts),
                *(_estimate(row, one) for one in numbers),
                *(amount(whole(row, one)) for one in counted),
                *(
                    [words(reason_words(row["reason"]) or NONE)]
                    if "reason" in table.names and name != "shortcuts"
                    else []
                ),
            )
        )
        for row in rows
    ]
    heads = [HEADS.get(one, one.replace("_", " ")) for one in (*texts, *numbers, *counted)]
    if tested:
        heads.append("not tested")
    return sheet(name, caption, heads, lines, (rows, table))


def _text(value: Any) -> str:
    text = "" if value is None else str(value)
    return measure_name(text) if text in ("auroc", "auroc-macro") else in_words(text) or NONE


def _estimate(row: Row, name: str) -> Cell:
    value = numeric(row, name)
    low, high = ("low", "high") if name in ("g", "value") else (f"{name}_low", f"{name}_high")
    if math.isnan(value) or math.isnan(numeric(row, low)):
        return figure(value)
    shown = figure(value, 3)
    return Cell(
        f"{shown.text} [{figure(numeric(row, low), 3).text}, {figure(numeric(row, high), 3).text}]", shown.sort, True
    )
