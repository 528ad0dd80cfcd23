"""Write the page of a run as one HTML file that needs no other file, and its text as Markdown.

`page_content` collects what the page shows from the tables of a run folder; `as_html` and `as_text` render it.
`write_page` leaves out downloads until the page fits `SIZE_LIMIT`. `require_page` compares a page with its tables.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape
from ruamel.yaml import YAML

from assay.core.errors import StoreError, first_line, visible
from assay.core.files import file_hash
from assay.report.account import MAX_SMALL_PICTURES, PageText, ResultDetail
from assay.report.block import Block, Query, Section
from assay.report.blocks import FIRST_WIDTH, Figure, RenderedBlock, chart, render
from assay.report.charts import draw_effect_sizes
from assay.report.context import PageContext, networks
from assay.report.drawing import DARK, LIGHT, css_properties
from assay.report.glossary import first_used
from assay.report.images import Gallery, make_gallery
from assay.report.sentences.reading import ReadingWords, reading_words
from assay.report.sheets import Download, Sheet, markdown_download, table_download
from assay.stats.format import count
from assay.stats.harms import MAX_ON_FIRST_SCREEN
from assay.store.files import write_text
from assay.store.layout import PAGE
from assay.store.manifest import is_ours, read_manifest

LIMITS_PREFIX = "What this does not show: "


@dataclass(frozen=True)
class PageSection:
    """A section of the page with its rendered blocks."""

    id: str
    title: str
    words: str
    blocks: tuple[RenderedBlock, ...]
    folded: bool
    tab: str


@dataclass(frozen=True)
class PageContent:
    """Everything that the template shows.

    Attributes:
        text: Its words; cautions without a place on this page have no anchor.
        bar: The kind of run, its name and its date, for the bar with the navigation.
        facts: The provenance.
        read: What was read, in sentences.
        paper: Texts to copy into a paper: heading, id, text.
        study: The study file with its scale and overrides, or the request, as YAML.
        limits: What the results do not show, in one sentence; or empty.
        first: The chart of the first screen, if there is one.
        failures: What failed, collapsed or is undefined.
        terms: Part of the page -> the terms that it uses first, with their meanings.
        measures: Those there are estimates of.
        folds: Whether images were tested in folds.
        has_dose_response: Whether there are doses.
        has_networks: Whether there are trained networks with seeds.
        unit: The unit of intervals in addition to seeds: patients, or images where patients are not named.
        files: Every table whole.
        result_details: By the id of a section, results with details that a reader can unfold.
        folder_in_commands: The run folder in the commands of the page.
    """

    text: PageText
    bar: Sequence[str]
    facts: Mapping[str, str]
    read: ReadingWords
    paper: tuple[tuple[str, str, str], ...]
    study: str
    limits: str
    first: tuple[Figure, ...]
    gallery: Gallery
    sections: tuple[PageSection, ...]
    failures: tuple[Sheet, ...]
    environments: Sheet | None
    provenance: Sheet | None
    terms: Mapping[str, Mapping[str, str]]
    measures: frozenset[str]
    folds: bool
    has_dose_response: bool
    has_networks: bool
    unit: str
    files: tuple[tuple[str, Download | None], ...]
    result_details: Mapping[str, Sequence[ResultDetail]]
    folder_in_commands: str


def collect(root: Path) -> PageContent:
    """Collect the content of the page of a run.

    Raises:
        StoreError: A table, a column or a picture is missing.
    """
    return page_content(PageContext.of(root))


def page_content(context: PageContext) -> PageContent:
    """Return the content of a page from its tables."""
    tables, root, page = context.tables, context.root, context.page
    page_text = page.text(context)
    facts = {**dict.fromkeys(("rows left out", "known faults", "spec", "models", "predictions"), ""), **context.facts}
    first = tuple(islice(first_figures(context), 1))
    sections = [(section, _render_section(section, context, first)) for section in page.sections(tables)]
    parts = tuple(part for section, part in sections if part.blocks or (section.alone and section.words))
    failures = tuple(sheet for block in page.failures if (sheet := _sheet_of(block, context)))
    environments = _sheet_of(page.environments, context) if page.environments else None
    provenance = _sheet_of(PROVENANCE, context)
    anchors = {item.id for item in (*(b.sheet for part in parts for b in part.blocks), *failures, environments) if item}
    doubts = tuple(each if each.anchor in anchors else replace(each, anchor="") for each in page_text.doubts)
    texts = (page_text.verdict, *page_text.opening.done, *(caution.text for caution in doubts), *page_text.limits)
    terms = _first_uses({"findings": texts, **{part.id: _section_words(part) for part in parts}})
    for section, special in page.terms(tables).items():  # an explanation of the section's replaces the general one
        explained = {term.lower() for term in special}
        general = {term: text for term, text in terms.get(section, {}).items() if term.lower() not in explained}
        terms[section] = {**general, **special}
    return PageContent(
        text=replace(page_text, doubts=doubts),
        bar=tuple(filter(None, (context.kind.name, page_text.name, context.date))),
        facts=facts,
        read=reading_words(facts),
        paper=_paper_texts(context, page_text),
        study=_yaml_text(facts.get("study file", facts["spec"])),
        limits=f"{LIMITS_PREFIX}{'; '.join(page_text.limits).rstrip('.')}." if page_text.limits else "",
        first=first,
        gallery=make_gallery(root, context, tables.get("pictures", ()), all_shown=page_text.planned),
        result_details=page.result_details(context),
        folder_in_commands=context.folder_for_commands,
        sections=parts,
        failures=failures,
        environments=environments,
        provenance=provenance,
        terms=terms,
        measures=frozenset(row["measure"] for row in tables.get("estimates", ())),
        folds=any(row["fold"] for row in tables.get("trials", ())),
        has_dose_response=bool(tables.get("dose_changes")),
        has_networks=bool(networks(tables)),
        unit=context.interval_unit,
        files=tuple(
            (table.name, table_download(table, tables))
            for table in context.kind.tables.values()
            if table.embedded and all(map(tables.get, table.parts or (table.name,)))
        ),
    )


PROVENANCE = Block(
    id="provenance",
    title="Provenance",
    table="provenance",
    query=Query(excluded={"key": ("spec", "study file")}),
    columns=("key", "value"),
    folded=True,
)


def first_figures(context: PageContext) -> Iterator[Figure]:
    """Yield the charts that may lead. The page shows the first."""
    charts = (chart(block, context, FIRST_WIDTH) for block in context.page.leading_blocks(context))
    return (figure for figure in charts if figure is not None)


def _paper_texts(context: PageContext, page_text: PageText) -> tuple[tuple[str, str, str], ...]:
    """Return texts to copy into a paper: methods, results and a citation, each with its heading and id."""
    facts, first = context.facts, page_text.opening
    version, hash_of = facts.get("assay-imaging", ""), facts.get("hash of what is compared", "")
    torch = f" and PyTorch {facts['torch']}" if facts.get("torch") else ""
    kind = context.kind.name
    analyses = f"Analyses used Assay {version}{torch}.".replace("  ", " ")
    results = [page_text.verdict, *(f"{line.decision} {line.numbers}." for line in first.lines)]
    fields = {
        "title": "Assay",
        "author": "{Assay developers}",
        "year": context.date[:4],
        "version": version,
        "note": (f"Study {facts['study']}" if "study" in facts else f"{kind[:1].upper()}{kind[1:]} of {page_text.name}")
        + (f", hash {hash_of}" if hash_of else ""),
    }
    inside = "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items() if value)
    return (
        ("Methods", "paper-methods", " ".join((*first.done, *context.page.methods(context), analyses))),
        ("Results", "paper-results", " ".join(filter(None, results))),
        ("BibTeX", "paper-bibtex", f"@software{{assay,\n{inside}}}"),
    )


def _render_section(section: Section, context: PageContext, first: Sequence[Figure]) -> PageSection:
    """Render a section; no figure of the first screen is drawn again, and blocks without rows are left out."""
    first_ids = {figure.id for figure in first}
    rendered_blocks = [render(block, context) for block in section.blocks]
    rendered_blocks = [replace(b, figure=None) if b.figure and b.figure.id in first_ids else b for b in rendered_blocks]
    blocks, tab = tuple(b for b in rendered_blocks if b.figure or b.sheet), section.tab or section.title
    return PageSection(section.id, section.title, section.words, blocks, section.folded, tab)


def _sheet_of(block: Block, context: PageContext) -> Sheet | None:
    return render(block, context).sheet if block.table in context.tables else None


def without_downloads(content: PageContent) -> PageContent:
    """Return the content without files of figures and tables, which are in the run folder."""

    def strip(block: RenderedBlock) -> RenderedBlock:
        figure = replace(block.figure, csv=None, svg=None) if block.figure else None
        return RenderedBlock(figure, replace(block.sheet, csv=None) if block.sheet else None)

    parts = tuple(replace(part, blocks=tuple(map(strip, part.blocks))) for part in content.sections)
    first = tuple(replace(figure, csv=None, svg=None) for figure in content.first)
    failures = tuple(replace(sheet, csv=None) for sheet in content.failures)
    single_sheets = {
        name: replace(sheet, csv=None) for name in ("environments", "provenance") if (sheet := getattr(content, name))
    }
    return replace(content, first=first, sections=parts, failures=failures, **single_sheets)


def _yaml_text(text: str) -> str:
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


def _first_uses(texts: Mapping[str, Iterable[str]]) -> dict[str, dict[str, str]]:
    """Return for each part of the page the terms of the glossary that it uses first; texts: part -> its words."""
    terms: dict[str, dict[str, str]] = {}
    known_terms: set[str] = set()
    for part, words in texts.items():
        terms[part] = first_used(words, known_terms)
        known_terms |= terms[part].keys()
    return terms


def _section_words(part: PageSection) -> Iterator[str]:
    yield from (part.title, part.words)
    for block in part.blocks:
        if block.figure:
            yield from (block.figure.title, block.figure.note)
        if block.sheet:
            yield from (block.sheet.caption, block.sheet.note, *block.sheet.heads)


# The page's text as Markdown: sentences, what each figure shows, comparisons, what failed, where it comes from.

MAX_ROWS_AS_TEXT = 60
"""Longer tables are left to their files."""

_SIGNS = re.compile(r"[\\`*_<>|\[\]()!#&~$@]")
_ADDRESS = re.compile(r"\b(https?|ftp|mailto|xmpp|www)([:.])", re.IGNORECASE)
_BEGINNING = re.compile(r"^(\d+(?=\.(?:\s|$))|(?=[-+=]))")


def as_text(content: PageContent) -> str:
    """The page as Markdown."""
    return "\n".join(_markdown_lines(content)).strip() + "\n"


def _markdown_lines(content: PageContent) -> Iterator[str]:
    page_text = content.text
    yield from (f"# {_escape_start(page_text.question)}", "", _escape_start(page_text.verdict), "")
    read = " ".join(filter(None, (content.read.target, content.read.doubts, content.read.rest)))
    yield from (_escape_start(read), "") if read else ()
    yield from (_escape_start(page_text.meta), "")
    for text in page_text.opening.done:
        yield from (_escape_start(text), "")
    yield from (f"- {_escape_start(line.decision)} {_escape(line.numbers)}" for line in page_text.opening.lines)
    yield from ("", *([_escape_start(content.limits), ""] if content.limits else []))
    if page_text.doubts:
        yield from ("## Can it be trusted?", "")
        yield from (f"- {_escape_start(each.word or 'note')}: {_escape(each.text)}" for each in page_text.doubts)
        yield ""
    for part in content.sections:
        yield from (f"## {_escape_start(part.title)}", "", *([_escape_start(part.words), ""] if part.words else []))
        for block in part.blocks:
            if block.figure:
                yield from (f"- {_escape_start(f'{block.figure.alternative} {block.figure.note}')}", "")
            if block.sheet:
                yield from _markdown_sheet(block.sheet)
    yield from ("## What failed, collapsed or is undefined", "")
    for sheet in (*content.failures, content.environments, content.provenance):
        if sheet is not None:
            yield from _markdown_sheet(sheet)


def _markdown_sheet(sheet: Sheet) -> Iterator[str]:
    yield from (f"### {_escape_start(sheet.caption)}", "")
    if len(sheet.lines) > MAX_ROWS_AS_TEXT:
        yield from (f"{len(sheet.lines)} rows: see the file of the table in the page.", "")
        return
    yield from (_markdown_row(sheet.heads), f"| {' | '.join('---' for _ in sheet.heads)} |")
    for line in sheet.lines:
        yield _markdown_row([cell.text for cell in line.cells])
    yield from ("", *([_escape_start(sheet.note), ""] if sheet.note else []))


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_escape, cells))} |"


def _escape(text: str) -> str:
    """Text on one line in which Markdown and HTML find nothing to obey; also no address that a reader links unasked."""
    return _ADDRESS.sub(r"\1\\\2", _SIGNS.sub(r"\\\g<0>", " ".join(text.split())))


def _escape_start(text: str) -> str:
    """Text at the beginning of a line, where some signs would make lists, rules and headings."""
    return _BEGINNING.sub(r"\1\\", _escape(text))


# The page as HTML, as large as it may be, and the check that a page is that of its tables.

SIZE_LIMIT = 5_000_000
"""Bytes that a page may have."""
LINK_BYTES = 2_000
"""Bytes left for the links of files that are carried."""


def write_page(root: Path) -> Path:
    """Write `report.html` of an analyzed run folder and return its path. Computes no statistic.

    Whole tables are carried as far as there is room, the small ones first; then, if need be, no table and no drawing
    is, and the page says where they lie. Raises StoreError when a table or picture is missing, or when the page would
    exceed 5 MB even so.
    """
    return write_report(root, _within_size_limit(collect(root)), "leave probes or environments out of the comparison")


_FOLDER_IN_COMMANDS = re.compile(rb'<meta name="run-folder" content="((?:\xe2\x80\xa6/)?(?!-)[\w./~+-]{0,300})">')
"""The path that a page types in its commands, which depends on where the page was made, and adds no option to them."""


class OtherPageError(StoreError):
    """A page, or a card, is not what the tables of its run folder give."""


def require_page(root: Path) -> None:
    """Check that the page of a run folder is what its tables give, or is one that this user's Assay wrote here.

    Raises:
        OtherPageError: It is another page.
        StoreError: There is none, or it cannot be made of the tables.
    """
    path, listed = root / PAGE, None
    with suppress(StoreError):
        listed = read_manifest(root)
    try:
        if listed and is_ours(root) and listed.get(PAGE, (0, ""))[1] == file_hash(path):
            return
        with path.open("rb") as page:
            folder = _FOLDER_IN_COMMANDS.search(page.read(1000))
        context = replace(PageContext.of(root), folder_in_commands=folder[1].decode() if folder else "")
        texts = {PAGE: _within_size_limit(page_content(context)), **context.page.extra_files(root)}
        existing = {root / name: text for name, text in texts.items() if (root / name).exists()}
        different = [path for path, text in existing.items() if not _has_content(path, text.encode())]
        if not different:
            return
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}; `assay report {root}` writes it again") from error
    except StoreError:
        raise
    except Exception as error:  # of tables made elsewhere
        raise OtherPageError(unreadable_folder_text(root, error)) from error
    verb = "is" if len(different) == 2 else "are"
    rest = f", nor {verb} {count(len(different) - 1, 'other file')}" if different[1:] else ""
    changed = "changed, or written by another version of Assay"
    remedy = f"`assay report {root}` writes what the tables give"
    raise OtherPageError(f"{different[0]} is not what its tables give{rest}: {changed}; {remedy}")


def _has_content(path: Path, content: bytes) -> bool:
    """Return whether a file, which may be of any size, has this content."""
    return path.stat().st_size == len(content) and path.read_bytes() == content


def unreadable_folder_text(root: Path, error: Exception) -> str:
    """Return a sentence for an unforeseen error while a run folder from elsewhere is read."""
    why = f"{type(error).__name__}: {first_line(error)}"
    return f"{root}: its content is not what this version of Assay writes ({why}); run it again, or get another copy"


def _within_size_limit(content: PageContent) -> str:
    """Return the page with as many downloads as `SIZE_LIMIT` has room for, the smallest first."""
    page = as_html(content)
    if len(page.encode()) <= SIZE_LIMIT - LINK_BYTES:
        return page
    without_tables = replace(content, files=tuple((name, None) for name, _ in content.files))
    page = as_html(without_tables)
    room = SIZE_LIMIT - len(page.encode()) - LINK_BYTES
    if room < 0:
        return as_html(without_downloads(without_tables))
    carried: set[str] = set()
    for size, name in sorted((len(file.uri), name) for name, file in content.files if file):
        if size <= room:
            carried.add(name)
            room -= size
    return as_html(
        replace(content, files=tuple((name, file if name in carried else None) for name, file in content.files))
    )


def as_html(content: PageContent) -> str:
    """The page as HTML."""
    markdown = markdown_download(content.text.name, as_text(content))
    return render_html("page.html", content, markdown=markdown)


def render_html(template: str, page: object, **extra: object) -> str:
    """Return a page as HTML, with the style, colors and script that all pages share."""
    shared = {
        "light": Markup("{" + css_properties(LIGHT) + "}"),
        "dark": Markup("{" + css_properties(DARK) + "}"),
        "style": Markup(template_text("style.css")),
        "script": Markup(minified_script()),
        "svg": Markup,
        "plural": count,
        "verbatim": escape,
        "sizes": draw_effect_sizes,
        "most_lines": MAX_ON_FIRST_SCREEN,
        "most_small": MAX_SMALL_PICTURES,
    }
    return visible(templates().get_template(template).render(page=page, **shared, **extra))


def write_report(root: Path, page: str, advice: str) -> Path:
    """Write `report.html` of a run folder and return its path. Raises StoreError with advice where it exceeds 5 MB."""
    if len(page.encode()) > SIZE_LIMIT:
        raise StoreError(f"the page of {root} would exceed 5 MB: {advice}")
    path = root / PAGE
    write_text(path, page)
    return path


def minified_script() -> str:
    """Return the script of all pages, without comments, and without spaces but those of texts."""
    lines = map(str.strip, template_text("script.js").splitlines())
    code = "\n".join(line for line in lines if line and not line.startswith("//"))
    return "".join(
        part if number % 2 else re.sub(r"\s?([-=+*/<>!?:;,(){}&|])\s?", r"\1", part)
        for number, part in enumerate(re.split(r'("[^"]*"|`[^`]*`)', code))
    )


def template_text(name: str) -> str:
    """Return the text of a template file."""
    return resources.files("assay.report").joinpath("templates", name).read_text(encoding="utf-8")


_UNBROKEN = re.compile(r"(?:(?<!\S)\S{1,12} )?\[[-+\d][^\[\]]{1,24}\]|\b\d+% CI\b|\bp [<=] [\d.]+")
"""An interval with its value, its level, or a p-value."""


def with_no_break_spaces(value: object) -> object:
    """Return a text with no-break spaces within intervals and p-values; all else, such as markup, as it is."""
    if type(value) is not str:
        return value
    return _UNBROKEN.sub(lambda match: match[0].replace(" ", "\u00a0"), value)


_OPTION = re.compile(r"(?<![\w-])\(?--[a-z][\w-]*\)?")


def mark_options(text: str) -> Markup:
    """Return a text whose options, such as `--train`, stay in one line; they are copied as they are typed."""
    return Markup(_OPTION.sub(r'<span class="option">\g<0></span>', str(escape(text))))


@cache
def templates() -> jinja2.Environment:
    """Return the environment of the page's templates, which break no line within an interval."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("assay.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=with_no_break_spaces,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["options"] = mark_options
    return environment
