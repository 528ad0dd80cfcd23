"""Collect tables and write the HTML page and its Markdown summary."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import jinja2
from markupsafe import Markup
from ruamel.yaml import YAML

from assay.core.errors import StoreError
from assay.report import account
from assay.report.drawing import DARK, LIGHT, declarations
from assay.report.figures import FIRST, Figure
from assay.report.glossary import first_used
from assay.report.images import Gallery, gallery
from assay.report.layout import Evidence, outline
from assay.report.opening import Opening, opening, paper, secondary
from assay.report.rows import Tables, distinct, read_tables
from assay.report.sections import doses, further, performance, reliance, representation, segmentation, shortcuts
from assay.report.sections.doses import bought, in_training, probed
from assay.report.sections.performance import mitigations, starts
from assay.report.sentences.findings import LIMIT, limit, sentence, verdict
from assay.report.sentences.performance import widest, worse
from assay.report.sheets import CITED, Download, Sheet, as_file, as_markdown
from assay.report.wording import plural
from assay.stats.findings import Fall, Finding, from_row
from assay.store.files import write_text
from assay.store.schema import PICTURES, TABLES

# The page's sentences with their numbers linked to the rows that they come from.

LIGHTS = {"ok": ("✓", "fine"), "warn": ("!", "caution"), "bad": ("✕", "problem")}
NUMBER = re.compile(r"-?\d*\.?\d+ \[[^\]]+\]")


@dataclass(frozen=True, slots=True)
class Said:
    """A finding as a sentence: its id, HTML with linked numbers, plain text, and its light: name, sign and word."""

    html: Markup
    text: str
    light: str = ""
    sign: str = ""
    word: str = ""
    id: str = ""


def sentences(
    findings: Sequence[Finding], anchors: Mapping[str, str], sheets: Mapping[str, Sequence[Sheet]]
) -> dict[str, list[Said]]:
    """Return the sentences of each part (answer, doubt, limit) in order.

    Args:
        findings: Those of the study.
        anchors: Contrast -> the id of its cell in the page.
        sheets: Table that is evidence -> its table in the page, then others that have cells to cite.
    """
    found: dict[str, list[Said]] = {"answer": [], "doubt": [], "limit": []}
    limits = [one for one in findings if one.part == "limit"]
    for one in findings:
        if one.part in ("answer", "doubt") or (one.part == "limit" and len(limits) == 1):
            found[one.part].append(_said(one, anchors.get(one.row, "") if one.row else sheets.get(one.table, ())))
    if len(limits) > 1:
        text = f"{LIMIT}{'; '.join(map(limit, limits))}."
        found["limit"] = [Said(Markup(escape(text)), text, id=limits[0].id)]
    return found


def _said(one: Finding, target: str | Sequence[Sheet]) -> Said:
    light, text = one.light if one.light in LIGHTS else "", sentence(one)
    return Said(_linked(text, target), text, light, *LIGHTS.get(light, ("", "")), id=one.id)


def _linked(text: str, target: str | Sequence[Sheet]) -> Markup:
    """Every value with an interval becomes a link to its cell; where there is none, the sentence links to the table."""
    if not target:
        return Markup(escape(text))
    whole = target if isinstance(target, str) else target[0].id
    parts: list[str] = []
    end = 0
    for match in NUMBER.finditer(text):
        cell = (
            whole if isinstance(target, str) else next(filter(None, (one.cell_of(match[0]) for one in target)), whole)
        )
        parts += [escape(text[end : match.start()]), f'<a href="#{cell}">{escape(match[0])}</a>']
        end = match.end()
    parts.append(escape(text[end:]))
    return Markup("".join(parts)) if end else Markup(f'<a href="#{whole}">{escape(text)}</a>')


def _study(text: str) -> str:
    """Return the specification in provenance as YAML, without the recipes that its grid makes; as it is if damaged."""
    try:
        spec: dict[str, Any] = json.loads(text)
    except ValueError:
        return text
    writer, out = YAML(typ="safe", pure=True), io.StringIO()
    writer.sort_base_mapping_type_on_output = False  # pyright: ignore[reportAttributeAccessIssue]
    writer.default_flow_style = None
    writer.width = 100
    writer.dump({key: value for key, value in spec.items() if key != "points"}, out)  # pyright: ignore[reportUnknownMemberType]
    return out.getvalue()


# Everything that the page shows, gathered from the tables and pictures of a run folder.

T = TypeVar("T")


@dataclass(frozen=True)
class Section:
    """A part of the page: its title, an explanation of its word, its figures, its tables, and a text when it has none.

    folded: whether its figures are closed until a reader opens them.
    """

    id: str
    title: str
    words: str
    figures: tuple[Figure, ...] = ()
    sheets: tuple[Sheet, ...] = ()
    otherwise: str = ""
    folded: bool = False


@dataclass(frozen=True)
class Content:
    """Everything that the template shows.

    Attributes:
        facts: The provenance.
        verdict: The answer in one sentence without numbers.
        opening: Chips, the account of the study and its primary comparisons.
        paper: Texts to copy into a paper: heading, id, text.
        study: The study as YAML, without the recipes that its grid makes.
        said: The sentences of the text below the first screen.
        first: The figure of the first screen.
        terms: Part of the page -> the terms that it uses first, with their meanings.
        measures: Those there are estimates of.
        folds: Whether images were tested in folds.
        dosed: Whether there are doses.
        files: Every table whole.
        finished: That all training runs finished; empty where some did not.
        chosen_widest: `fall` or `rise` where the answer describes the widest of several, else empty.
        unit: The unit of intervals in addition to seeds: patients, or images where patients are not named.
    """

    name: str
    question: str
    meta: str
    facts: dict[str, str]
    verdict: str
    opening: Opening
    paper: tuple[tuple[str, str, str], ...]
    study: str
    said: dict[str, list[Said]]
    first: tuple[Figure, ...]
    gallery: Gallery
    sections: tuple[Section, ...]
    lost: tuple[Sheet, ...]
    environments: Sheet | None
    provenance: Sheet
    terms: Mapping[str, Mapping[str, str]]
    measures: frozenset[str]
    folds: bool
    dosed: bool
    finished: str
    chosen_widest: str
    unit: str
    files: tuple[tuple[str, Download | None], ...]


def collect(root: Path) -> Content:
    """Collect the content of the page.

    Raises:
        StoreError: A table, a column or a picture is missing.
    """
    tables = read_tables(root)
    evidence = Evidence(tables, outline(tables))
    anchors = {row["id"]: f"contrast-{i}" for i, row in enumerate(tables.contrasts, start=1)}
    first = first_figures(evidence)[:1]
    sections = _sections(evidence, anchors, first)
    lost = there(account.statuses(tables), account.collapses(tables), account.lost(tables), account.undefined(tables))
    environments = account.environments(tables)
    sheets = {one.id: one for one in (*(one for part in sections for one in part.sheets), *lost, *there(environments))}
    facts = {**dict.fromkeys(_MAY_LACK, ""), **tables.facts}
    name = facts.get("study", root.name)
    findings = list(map(from_row, tables.findings))
    ordered = [*secondary(findings), *(one for one in findings if one.part != "answer")]
    cited = [sheets[id] for id in CITED if id in sheets]
    evident = {key: [sheets[id], *cited] for key, id in account.EVIDENCE.items() if id in sheets}
    said = sentences(ordered, anchors, evident)
    first_screen = opening(root, evidence, findings, anchors)
    told = (verdict(findings), *first_screen.done, *(one.text for own in said.values() for one in own))
    falls = (one.details for one in findings if isinstance(one.details, Fall))
    chosen = next((worse(fall) for fall in falls if widest(fall)), "")
    return Content(
        name=name,
        question=facts.get("question", "") or name,
        meta=_meta(root.name if root.name.startswith(f"{name}-") else name, tables),
        facts=facts,
        verdict=verdict(findings),
        opening=first_screen,
        paper=paper(evidence, verdict(findings), first_screen),
        study=_study(facts["spec"]),
        said=said,
        first=first,
        gallery=gallery(root, evidence),
        sections=sections,
        lost=lost,
        environments=environments,
        provenance=account.provenance(tables),
        terms=_terms({"findings": told, **{part.id: _section_words(part) for part in sections}}),
        measures=frozenset(row["measure"] for row in tables.estimates),
        dosed=bool(tables.half_doses),
        finished=account.finished(tables),
        chosen_widest=chosen,
        unit=tables.unit,
        folds=any(row["fold"] for row in tables.trials),
        files=tuple((one.name, as_file(one, tables.of(one))) for one in _FILES if tables.of(one)),
    )


def without_files(content: Content) -> Content:
    """The content with no figure's or table's file: they are in the run folder."""

    def plain(sheets: Sequence[Sheet]) -> tuple[Sheet, ...]:
        return tuple(replace(sheet, csv=None) for sheet in sheets)

    def drawn(figures: Sequence[Figure]) -> tuple[Figure, ...]:
        return tuple(replace(figure, csv=None, svg=None) for figure in figures)

    visible = content.gallery.visible
    bare = replace(content.gallery, visible=replace(visible, csv=None) if visible else None)
    sections = tuple(replace(part, figures=drawn(part.figures), sheets=plain(part.sheets)) for part in content.sections)
    return replace(content, first=drawn(content.first), gallery=bare, sections=sections, lost=plain(content.lost))


_MAY_LACK = ("rows left out", "known faults", "spec", "models")


_FILES = tuple(table for table in TABLES.values() if table != PICTURES)
"""Tables that the page carries whole."""


def there(*found: T | None) -> tuple[T, ...]:
    """Those that are."""
    return tuple(one for one in found if one is not None)


def _sections(evidence: Evidence, anchors: dict[str, str], first: Sequence[Figure]) -> tuple[Section, ...]:
    """Return the sections of the page: always comparisons, and one for the measurements of each probe that has some.

    first: figures of the first screen. No section repeats one of them, or draws no value that they lack.
    """
    asked = (*_stated(evidence, anchors), _healthy(evidence), *_performed(evidence), *_learned(evidence))
    seen_before = {id(row) for one in first for row in one.rows}
    known = {one.id for one in first}

    def adds(one: Figure) -> bool:
        return one.id not in known and not (one.rows and all(id(row) in seen_before for row in one.rows))

    asked = tuple(replace(one, figures=tuple(filter(adds, one.figures))) for one in asked)
    seen = there(shortcuts.table(evidence.tables))
    plain = Section("plain-sight", "Simple cues that predict the target", "", (), seen)
    parts = (*asked, _further(evidence, asked), plain)
    return tuple(part for part in parts if part.figures or part.sheets or part.otherwise)


def _further(evidence: Evidence, sections: Sequence[Section]) -> Section:
    """Return every measure of the estimates that no other section shows; a difference of recipes does not show it."""
    rows = [row for part in sections for one in part.figures for row in one.rows]
    figures = {row["measure"] for row in rows if "measure" in row and "conclusion" not in row}
    names = further.measures(evidence, figures | {name for part in sections for one in part.sheets for name in one.of})
    drawn = there(*(further.figure(evidence, name) for name in names))
    words = "Measures that no section above shows, each with its meaning." if names else ""
    return Section("further", "Further measures", words, drawn, there(further.table(evidence, names)), folded=True)


def _stated(evidence: Evidence, anchors: dict[str, str]) -> tuple[Section, ...]:
    """Questions of the study: comparisons, doses, and the starts that they are of."""
    return (
        Section(
            "comparisons",
            "Every comparison",
            "",
            tuple(performance.differences(evidence)),
            there(account.contrasts(evidence.tables, anchors), account.looks(evidence.tables)),
            "No comparison was pre-specified in this study, so no difference is claimed.",
        ),
        Section(
            "doses",
            "Dose-response",
            f"{in_training(evidence)} Claims are of the change from p = 0.".strip(),
            there(bought(evidence), *doses.responses(evidence), doses.forest(evidence), *probed(evidence)),
            there(doses.interactions(evidence.tables), doses.half_doses(evidence), doses.counts(evidence.tables)),
        ),
        Section(
            "start-weights",
            "Initial weights",
            "Training begins with these weights. Images are scaled as in the training of the weights.",
            (),
            there(starts(evidence.tables)),
        ),
    )


def _performed(evidence: Evidence) -> tuple[Section, ...]:
    """How well recipes do, as the images are and distorted."""
    return (
        Section(
            "how-well",
            "Performance by environment",
            "",
            there(
                performance.by_environment(evidence), performance.by_share(evidence), performance.by_budget(evidence)
            ),
            there(
                mitigations(evidence),
                account.performance(evidence),
                account.measures(evidence),
                account.worst(evidence),
            ),
        ),
        Section(
            "distorted",
            "Performance on distorted images",
            "Distortions change image quality and are independent of the class; confounders are tied to it.",
            there(performance.by_severity(evidence)),
            there(performance.table(evidence)),
        ),
    )


def _learned(evidence: Evidence) -> tuple[Section, ...]:
    """Findings on a network's features: used, encoded, their geometry, attended."""
    return (
        Section(
            "relies",
            "What recipes rely on",
            "A recipe relies on a factor if changing this factor alone changes the output.",
            there(reliance.by_factor(evidence)),
            there(account.reliance(evidence)),
        ),
        Section(
            "encodes",
            "What recipes encode",
            "A layer encodes a factor if a linear decoder can predict it. An encoded factor need not be used.",
            reliance.by_layer(evidence),
            there(account.decodability(evidence)),
        ),
        Section(
            "geometry",
            "How similar layers are",
            "Similarity is geometry: it shows neither encoding nor use. Recipes are called different only if they "
            "differ by more than their own seeds do.",
            there(
                *(representation.shape(evidence, measure) for measure in representation.SHAPES),
                representation.alike(evidence),
                representation.maps(evidence),
                representation.put_back(evidence),
            ),
            there(
                representation.layers(evidence),
                representation.likeness(evidence),
                representation.put_back_table(evidence),
            ),
        ),
        Section(
            "attends",
            "What recipes attend to",
            "Attention to a lesion is the share of an explainer's map on it. An attended lesion need not be used: "
            "removing it, or painting over it, shows use.",
            there(reliance.by_explainer(evidence), reliance.by_size(evidence), reliance.by_kind(evidence)),
            there(reliance.table(evidence)),
        ),
    )


def _healthy(evidence: Evidence) -> Section:
    """False positives of a segmentation where there is no lesion, and its training."""
    return Section(
        "healthy",
        "Images without a lesion",
        "A network that predicts nothing is quiet too: false alarms are compared at the threshold at which each "
        "finds the same share of the lesions of its validation images.",
        there(
            segmentation.trade(evidence),
            segmentation.planes(evidence),
            segmentation.free_response(evidence),
            *(performance.course(evidence, name) for name in performance.COURSES),
        ),
        there(segmentation.conventions(evidence), segmentation.by_kind(evidence)),
    )


def _terms(texts: Mapping[str, Iterable[str]]) -> dict[str, dict[str, str]]:
    """Return for each part of the page the terms of the glossary that it uses first; texts: part -> its words."""
    found: dict[str, dict[str, str]] = {}
    known: set[str] = set()
    for part, words in texts.items():
        found[part] = first_used(words, known)
        known |= found[part].keys()
    return found


def _section_words(section: Section) -> Iterator[str]:
    yield from (section.title, section.words)
    for figure in section.figures:
        yield from (figure.title, figure.note)
    for sheet in section.sheets:
        yield from (sheet.caption, sheet.note, *sheet.heads)


def _meta(name: str, tables: Tables) -> str:
    """`nodule-loss-quick · 6 recipes · 18 training runs · 3 seeds`: of a scale, the run folder's name tells it."""
    seeds = len({row["seed"] for row in tables.trials})
    recipes = len(distinct(row["recipe"] for row in tables.trials))
    return (
        f"{name} · {plural(recipes, 'recipe')} · {plural(len(tables.trials), 'training run')} · {plural(seeds, 'seed')}"
    )


def first_figures(evidence: Evidence) -> tuple[Figure, ...]:
    """Return the first two figures: false alarms, doses, cost of shift, reliance. The page shows the first."""
    return there(
        segmentation.trade(evidence, FIRST),
        doses.response(evidence, FIRST),
        performance.cost(evidence, FIRST),
        reliance.relied_on(evidence),
    )[:2]


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
    yield from (f"# {_paragraph(content.question)}", "", _paragraph(content.verdict), "")
    yield from (_paragraph(content.meta), "")
    for text in content.opening.done:
        yield from (_paragraph(text), "")
    yield from (f"- {_plain(line.decision)} {_plain(line.numbers)}" for line in content.opening.lines)
    yield ""
    for said in (*content.said["answer"], *content.said["limit"]):
        yield from (_paragraph(said.text), "")
    if content.said["doubt"]:
        yield from ("## Can it be trusted?", "")
        yield from (f"- {_paragraph(said.word or 'note')}: {_plain(said.text)}" for said in content.said["doubt"])
        yield ""
    if content.gallery.visible:
        yield from ("## The images", "", *_table(content.gallery.visible))
    for section in content.sections:
        yield from (f"## {_paragraph(section.title)}", "", *([_paragraph(section.words), ""] if section.words else []))
        for figure in section.figures:
            yield from (f"- {_paragraph(f'{figure.alternative} {figure.note}')}", "")
        for sheet in section.sheets:
            yield from _table(sheet)
        if not section.sheets and section.otherwise:
            yield from (_paragraph(section.otherwise), "")
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
MOST_SHEETS = 1
"""Environments whose images are seen at once; those of further ones are folded away."""
MOST_FIGURES = 2
"""Figures of a section that are seen at once."""
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
    page = render(bare)
    room = SIZE_LIMIT - len(page.encode()) - MARGIN
    if room < 0:
        return render(without_files(bare))
    carried: set[str] = set()
    for size, name in sorted((len(file.uri), name) for name, file in content.files if file):
        if size <= room:
            carried.add(name)
            room -= size
    return render(
        replace(content, files=tuple((name, file if name in carried else None) for name, file in content.files))
    )


def render(content: Content) -> str:
    """The page as HTML."""
    words = as_markdown(content.name, as_text(content))
    return rendered("page.html", content, markdown=words, most_sheets=MOST_SHEETS, most_figures=MOST_FIGURES)


def rendered(template: str, page: object, **more: object) -> str:
    """Return a page as HTML, with the style, colors and script that all pages share."""
    shared = {
        "light": Markup("{" + declarations(LIGHT) + "}"),
        "dark": Markup("{" + declarations(DARK) + "}"),
        "style": Markup(template_text("style.css")),
        "script": Markup(script()),
        "svg": Markup,
        "plural": plural,
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
