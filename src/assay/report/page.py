"""Write the page of a run, one HTML file that needs nothing but itself, and its Markdown text, from its tables."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from ruamel.yaml import YAML

from assay.core.errors import StoreError
from assay.report.account import MOST_LINES, MOST_SMALL, Account, said
from assay.report.audit_comparison import comparison_account
from assay.report.audit_page import Opened, audit_account, leads_words, opened
from assay.report.blocks import FIRST_WIDTH, Figure, Rendered, chart, render
from assay.report.drawing import DARK, LIGHT, declarations
from assay.report.evidence import Evidence, Tables, distinct, networks, outline
from assay.report.glossary import first_used
from assay.report.images import Gallery, gallery
from assay.report.look_page import look_account
from assay.report.opening import opening, paper, verdict
from assay.report.preview_page import preview_account
from assay.report.sentences.audit import meanings
from assay.report.sentences.leads import region_meanings
from assay.report.sentences.reading import reading_lines
from assay.report.sentences.reasons import reason_words
from assay.report.sheets import Download, Sheet, as_file, as_markdown
from assay.results.audit_blocks import COMPARISON, SWINGS, UNTESTED, audit_sections
from assay.results.block import Block, Section
from assay.results.preview_blocks import best_cues, look_sections, preview_sections
from assay.results.study_blocks import ACCOUNT, ENVIRONMENTS, FIRST, PROVENANCE, doses, performance, sections
from assay.stats.findings import from_row
from assay.stats.format import count
from assay.store import kinds
from assay.store.audit_tables import ANSWERS, AUDITED_IMAGES, CARRIERS
from assay.store.files import write_text
from assay.store.folder import RunFolder
from assay.store.schema import PICTURES, VALUES

LIMIT = "What this does not show: "
OF_ONE_MODEL = (
    "whether the model has seen these images before",
    "how another model that was made alike would answer, which can differ by more than these intervals",
)
"""Limits of the results of one model."""


@dataclass(frozen=True)
class Part:
    """A section of the page with its rendered blocks."""

    id: str
    title: str
    words: str
    blocks: tuple[Rendered, ...]
    folded: bool


@dataclass(frozen=True)
class Content:
    """Everything that the template shows.

    Attributes:
        account: Its words; cautions without a place on this page have no anchor.
        facts: The provenance.
        read: Lines on what was read.
        paper: Texts to copy into a paper: heading, id, text.
        study: The study file with its scale and overrides, or the request, as YAML.
        limits: What the results do not show, in one sentence; or empty.
        first: The chart of the first screen, if there is one.
        lost: What failed, collapsed or is undefined.
        terms: Part of the page -> the terms that it uses first, with their meanings.
        measures: Those there are estimates of.
        folds: Whether images were tested in folds.
        dosed: Whether there are doses.
        trained: Whether there are trained networks with seeds.
        unit: The unit of intervals in addition to seeds: patients, or images where patients are not named.
        files: Every table whole.
        opened: Verdicts of an audit that open.
    """

    account: Account
    facts: Mapping[str, str]
    read: Sequence[str]
    paper: tuple[tuple[str, str, str], ...]
    study: str
    limits: str
    first: tuple[Figure, ...]
    gallery: Gallery
    sections: tuple[Part, ...]
    lost: tuple[Sheet, ...]
    environments: Sheet | None
    provenance: Sheet | None
    terms: Mapping[str, Mapping[str, str]]
    measures: frozenset[str]
    folds: bool
    dosed: bool
    trained: bool
    unit: str
    files: tuple[tuple[str, Download | None], ...]
    opened: tuple[Opened, ...] = ()


@dataclass(frozen=True)
class Page:
    """What the page of a kind of run is made of.

    Attributes:
        account: Returns its words.
        sections: Returns its sections, from the tables.
    """

    account: Callable[[Evidence], Account]
    sections: Callable[[Mapping[str, Sequence[Mapping[str, Any]]]], Sequence[Section]]


def collect(root: Path) -> Content:
    """Collect the content of the page of a run.

    Raises:
        StoreError: A table, a column or a picture is missing.
    """
    evidence = Evidence(Tables(root), root)
    page = page_of(root)
    return content(evidence, page.account(evidence), page.sections(evidence.tables))


def page_of(root: Path) -> Page:
    """Return what the page of a run folder is made of."""
    return PAGES[(RunFolder(root).kind or kinds.STUDY).name]


def content(evidence: Evidence, account: Account, asked: Sequence[Section]) -> Content:
    """Return the content of a page from its tables, the words on it, and its sections."""
    tables, root = evidence.tables, evidence.root
    facts = {**dict.fromkeys(("rows left out", "known faults", "spec", "models", "predictions"), ""), **evidence.facts}
    first = first_figures(evidence)[:1]
    parts = tuple(_part(one, evidence, first) for one in asked)
    parts = tuple(part for part in parts if part.blocks)
    lost = tuple(sheet for block in (*ACCOUNT, UNTESTED) if (sheet := _listed(block, evidence)))
    environments = None if account.planned else _listed(ENVIRONMENTS, evidence)
    provenance = _listed(PROVENANCE, evidence)
    there = {one.id for one in (*(b.sheet for part in parts for b in part.blocks), *lost, environments) if one}
    doubts = tuple(one if one.anchor in there else replace(one, anchor="") for one in account.doubts)
    told = (account.verdict, *account.opening.done, *(one.text for one in doubts), *account.limits)
    terms = _terms({"findings": told, **{part.id: _section_words(part) for part in parts}})
    if evidence.of_audit:
        terms |= {"verdict": {**terms.get("verdict", {}), **meanings(tables.get("verdicts", ()))},
                  "region": {**terms.get("region", {}), **region_meanings(tables.get("regions", ()))}}  # fmt: skip
    return Content(
        account=replace(account, doubts=doubts),
        facts=facts,
        read=reading_lines(facts),
        paper=paper(evidence, account.verdict, account.opening),
        study=_study(facts.get("study file", facts["spec"])),
        limits=_limits(account.limits, " " if evidence.of_audit else "; "),
        first=first,
        gallery=gallery(root, evidence, tables.get("pictures", ()), all_shown=account.planned),
        opened=tuple(opened(evidence)) if "regions" in evidence.tables else (),
        sections=parts,
        lost=lost,
        environments=environments,
        provenance=provenance,
        terms=terms,
        measures=frozenset(row["measure"] for row in tables.get("estimates", ())),
        folds=any(row["fold"] for row in tables.get("trials", ())),
        dosed=bool(tables.get("half_doses")),
        trained=bool(networks(tables)),
        unit=evidence.unit,
        files=tuple((one.name, as_file(one, tables)) for one in RunFolder(root).tables.values()
                    if one not in _UNLISTED and all(map(tables.get, one.parts or (one.name,)))),
    )  # fmt: skip


_UNLISTED = (PICTURES, VALUES, AUDITED_IMAGES, CARRIERS, ANSWERS)
"""Tables that a page does not carry: of pictures, of single images, and of seeds without their names."""


def _limits(limits: Sequence[str], between: str) -> str:
    return f"{LIMIT}{between.join(limits).rstrip('.')}." if limits else ""


def study_account(evidence: Evidence) -> Account:
    """Return the words on a study, on compared predictions, or on one model."""
    root, tables, facts = evidence.root, evidence.tables, evidence.facts
    name = facts.get("study") or facts.get("model") or root.name
    findings = [replace(one, reason=evidence.in_words(one.reason)) for one in map(from_row, tables.get("findings", ()))]
    return Account(
        name=name,
        question=facts.get("question") or (f"What has {name} learned?" if "contrasts" not in tables else name),
        meta=_meta(root.name if root.name.startswith(f"{name}-") else name, tables),
        verdict=verdict(evidence),
        opening=opening(root, evidence, findings),
        doubts=tuple(map(said, (one for one in findings if one.kind != "limit"))),
        limits=tuple(reason_words(one.reason) for one in findings if one.kind == "limit")
        or (() if networks(tables) else OF_ONE_MODEL),
    )


def study_sections(tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Section]:
    """Return the sections of the page of a study, of compared predictions, or of one model."""
    view = outline(tables)
    return sections(tables, view.measure, view.dosed, view.budgets)


_OF_STUDY = Page(study_account, study_sections)
PAGES = {
    kinds.STUDY.name: _OF_STUDY,
    kinds.MODEL.name: _OF_STUDY,
    kinds.COMPARISON.name: _OF_STUDY,
    kinds.AUDIT.name: Page(audit_account, lambda tables: audit_sections(tables, leads_words(tables))),
    kinds.AUDITS.name: Page(comparison_account, lambda _: [COMPARISON]),
    kinds.PREVIEW.name: Page(preview_account, preview_sections),
    kinds.LOOK.name: Page(look_account, look_sections),
}
"""Pages by the name of the kind of run."""


def _part(one: Section, evidence: Evidence, first: Sequence[Figure]) -> Part:
    """Render a section; no figure of the first screen is drawn again, and blocks without rows are left out."""
    seen = {figure.id for figure in first}
    made = [render(block, evidence) for block in one.blocks]
    made = [replace(b, figure=None) if b.figure and b.figure.id in seen else b for b in made]
    return Part(one.id, one.title, one.words, tuple(b for b in made if b.figure or b.sheet), one.folded)


def _listed(block: Block, evidence: Evidence) -> Sheet | None:
    return render(block, evidence).sheet if block.table in evidence.tables else None


def first_figures(evidence: Evidence) -> tuple[Figure, ...]:
    """Return the charts that may lead: false positives, doses, performance, reliance. The page shows the first."""
    if evidence.of_audit:
        searched = any(not row["reason"] for row in evidence.tables.get("regions", ()))
        swings = None if searched else chart(SWINGS, evidence, FIRST_WIDTH)
        return () if swings is None else (swings,)
    if "estimates" not in evidence.tables:
        looked = "issues" in evidence.tables and "power" not in evidence.tables
        cues = chart(best_cues(evidence.tables), evidence, FIRST_WIDTH) if looked else None
        return () if cues is None else (cues,)
    view = evidence.outline
    leading = [FIRST["trades"], *([doses(view.measure, view.dosed)] if view.dosed else []), performance(view.measure)]
    leading += [block for one in study_sections(evidence.tables) if one.id == "relies" for block in one.blocks[:1]]
    return tuple(figure for block in leading if (figure := chart(block, evidence, FIRST_WIDTH)) is not None)


def without_files(content: Content) -> Content:
    """The content with no figure's or table's file: they are in the run folder."""

    def bare(one: Rendered) -> Rendered:
        figure = replace(one.figure, csv=None, svg=None) if one.figure else None
        return Rendered(figure, replace(one.sheet, csv=None) if one.sheet else None)

    parts = tuple(replace(part, blocks=tuple(map(bare, part.blocks))) for part in content.sections)
    first = tuple(replace(figure, csv=None, svg=None) for figure in content.first)
    lost = tuple(replace(one, csv=None) for one in content.lost)
    rest = {name: replace(one, csv=None) for name in ("environments", "provenance") if (one := getattr(content, name))}
    return replace(content, first=first, sections=parts, lost=lost, **rest)


def _study(text: str) -> str:
    """Return the study file or the request in provenance as YAML; as it is if damaged."""
    try:
        spec: dict[str, Any] = json.loads(text)
    except ValueError:
        return text
    writer, out = YAML(typ="safe", pure=True), io.StringIO()
    writer.sort_base_mapping_type_on_output = False  # pyright: ignore[reportAttributeAccessIssue]
    writer.default_flow_style = None
    writer.width = 100
    writer.dump(spec, out)  # pyright: ignore[reportUnknownMemberType]
    return out.getvalue()


def _terms(texts: Mapping[str, Iterable[str]]) -> dict[str, dict[str, str]]:
    """Return for each part of the page the terms of the glossary that it uses first; texts: part -> its words."""
    found: dict[str, dict[str, str]] = {}
    known: set[str] = set()
    for part, words in texts.items():
        found[part] = first_used(words, known)
        known |= found[part].keys()
    return found


def _section_words(part: Part) -> Iterator[str]:
    yield from (part.title, part.words)
    for block in part.blocks:
        if block.figure:
            yield from (block.figure.title, block.figure.note)
        if block.sheet:
            yield from (block.sheet.caption, block.sheet.note, *block.sheet.heads)


def _meta(name: str, tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """`nodule-loss-quick · 6 recipes · 18 training runs · 3 seeds`: of a scale, the run folder's name tells it."""
    trials = networks(tables)
    if not trials:
        places = distinct(row["environment"] for row in tables.get("environments", ()))
        return f"{name} · {count(len(places), 'test condition')}"
    seeds, recipes = len({row["seed"] for row in trials}), len(distinct(row["recipe"] for row in trials))
    return f"{name} · {count(recipes, 'recipe')} · {count(len(trials), 'training run')} · {count(seeds, 'seed')}"


# The page's text as Markdown: sentences, what each figure shows, comparisons, what failed, where it comes from.

MOST_ROWS = 60
"""Longer tables are left to their files."""

_SIGNS = re.compile(r"[\\`*_<>|\[\]()!#&~$@]")
_ADDRESS = re.compile(r"\b(https?|ftp|mailto|xmpp|www)([:.])", re.IGNORECASE)
_BEGINNING = re.compile(r"^(\d+(?=\.(?:\s|$))|(?=[-+=]))")


def as_text(content: Content) -> str:
    """The whole as Markdown."""
    return "\n".join(_lines(content)).strip() + "\n"


def _lines(content: Content) -> Iterator[str]:
    account = content.account
    yield from (f"# {_paragraph(account.question)}", "", _paragraph(account.verdict), "")
    yield from (text for line in content.read for text in (_paragraph(line), ""))
    yield from (_paragraph(account.meta), "")
    for text in account.opening.done:
        yield from (_paragraph(text), "")
    yield from (f"- {_plain(line.decision)} {_plain(line.numbers)}" for line in account.opening.lines)
    yield from ("", *([_paragraph(content.limits), ""] if content.limits else []))
    if account.doubts:
        yield from ("## Can it be trusted?", "")
        yield from (f"- {_paragraph(said.word or 'note')}: {_plain(said.text)}" for said in account.doubts)
        yield ""
    for part in content.sections:
        yield from (f"## {_paragraph(part.title)}", "", *([_paragraph(part.words), ""] if part.words else []))
        for block in part.blocks:
            if block.figure:
                yield from (f"- {_paragraph(f'{block.figure.alternative} {block.figure.note}')}", "")
            if block.sheet:
                yield from _table(block.sheet)
    yield from ("## What failed, collapsed or is undefined", "")
    for sheet in (*content.lost, content.environments, content.provenance):
        if sheet is not None:
            yield from _table(sheet)


def _table(sheet: Sheet) -> Iterator[str]:
    yield from (f"### {_paragraph(sheet.caption)}", "")
    if len(sheet.lines) > MOST_ROWS:
        yield from (f"{len(sheet.lines)} rows: see the file of the table in the page.", "")
        return
    yield from (_row(sheet.heads), f"| {' | '.join('---' for _ in sheet.heads)} |")
    for line in sheet.lines:
        yield _row([cell.text for cell in line.cells])
    yield from ("", *([_paragraph(sheet.note), ""] if sheet.note else []))


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_plain, cells))} |"


def _plain(text: str) -> str:
    """Text on one line in which Markdown and HTML find nothing to obey; also no address that a reader links unasked."""
    return _ADDRESS.sub(r"\1\\\2", _SIGNS.sub(r"\\\g<0>", " ".join(text.split())))


def _paragraph(text: str) -> str:
    """The same where a line begins with it, which makes lists, rules and headings of some signs."""
    return _BEGINNING.sub(r"\1\\", _plain(text))


# The page of a study: one HTML file that needs nothing but itself, made from the tables of a run folder.

SIZE_LIMIT = 5_000_000
"""Bytes that a page may have."""
MARGIN = 2_000
"""Bytes left for the links of files that are carried."""


def write_page(root: Path) -> Path:
    """Write `report.html` of an analyzed run folder and return its path. Computes no statistic.

    Whole tables are carried as far as there is room, the small ones first; then, if need be, no table and no drawing
    is, and the page says where they lie. Raises StoreError when a table or picture is missing, or when the page would
    exceed 5 MB even so.
    """
    return written(root, _fitting(collect(root)), "leave probes or environments out of the comparison")


def _fitting(content: Content) -> str:
    """The page with as much in it as there is room for, the bare page at least."""
    bare = replace(content, files=tuple((name, None) for name, _ in content.files))
    page = as_html(bare)
    room = SIZE_LIMIT - len(page.encode()) - MARGIN
    if room < 0:
        return as_html(without_files(bare))
    carried: set[str] = set()
    for size, name in sorted((len(file.uri), name) for name, file in content.files if file):
        if size <= room:
            carried.add(name)
            room -= size
    return as_html(
        replace(content, files=tuple((name, file if name in carried else None) for name, file in content.files))
    )


def as_html(content: Content) -> str:
    """The page as HTML."""
    words = as_markdown(content.account.name, as_text(content))
    return rendered("page.html", content, markdown=words)


def rendered(template: str, page: object, **more: object) -> str:
    """Return a page as HTML, with the style, colors and script that all pages share."""
    shared = {
        "light": Markup("{" + declarations(LIGHT) + "}"),
        "dark": Markup("{" + declarations(DARK) + "}"),
        "style": Markup(template_text("style.css")),
        "script": Markup(script()),
        "svg": Markup,
        "plural": count,
        "most_lines": MOST_LINES,
        "most_small": MOST_SMALL,
    }
    return templates().get_template(template).render(page=page, **shared, **more)


def written(root: Path, page: str, advice: str) -> Path:
    """Write `report.html` of a run folder and return its path. Raises StoreError with advice where it exceeds 5 MB."""
    if len(page.encode()) > SIZE_LIMIT:
        raise StoreError(f"the page of {root} would exceed 5 MB: {advice}")
    path = root / "report.html"
    write_text(path, page)
    return path


def script() -> str:
    """Return the script of all pages, without comments, and without spaces but those of texts."""
    lines = map(str.strip, template_text("script.js").splitlines())
    kept = "\n".join(line for line in lines if line and not line.startswith("//"))
    return "".join(
        part if number % 2 else re.sub(r"\s?([-=+*/<>!?:;,(){}&|])\s?", r"\1", part)
        for number, part in enumerate(re.split(r'("[^"]*"|`[^`]*`)', kept))
    )


def template_text(name: str) -> str:
    """Return the text of a template file."""
    return resources.files("assay.report").joinpath("templates", name).read_text(encoding="utf-8")


@cache
def templates() -> jinja2.Environment:
    """Return the environment of the page's templates."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("assay.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
