"""The page of a study: one HTML file that needs nothing but itself, made from the tables of a run folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from assay.core.errors import StoreError
from assay.report import comparisons, contents, encoding, performance, reliance
from assay.report.downloads import Download, as_csv, as_markdown
from assay.report.evidence import Evidence
from assay.report.figures import Figure
from assay.report.images import Picture, logit_drawing, logit_words, pictures
from assay.report.markdown import as_text
from assay.report.outline import Outline, outline
from assay.report.palette import DARK, LIGHT, declarations
from assay.report.said import Said, anchors_of, sentences
from assay.report.sheets import Sheet
from assay.report.tables import Tables, distinct, read_tables
from assay.report.wording import plural
from assay.store import schema
from assay.store.files import write_text

SHEET_ROOM, PAIR_ROOM, LOGIT_WIDTH = 1100, 400, 400.0
SIZE_LIMIT = 5_000_000
"""Bytes that a page may have."""


@dataclass(frozen=True)
class Pair:
    """A counterfactual pair with what each level made of it."""

    picture: Picture
    logits: Markup


@dataclass(frozen=True)
class Content:
    """All that the template shows, in its order."""

    name: str
    question: str
    facts: dict[str, str]
    meta: str
    said: dict[str, list[Said]]
    first: list[Figure]
    sheets: list[Picture]
    pairs: dict[str, list[Pair]]
    picture_note: str
    differences: list[Figure]
    contrasts: Sheet | None
    performance: list[Figure]
    performance_sheets: list[Sheet]
    reliance: list[Figure]
    reliance_sheet: Sheet | None
    encoding: Figure | None
    encoding_sheet: Sheet | None
    environments: Sheet | None
    statuses: Sheet | None
    lost: Sheet | None
    undefined: Sheet | None
    provenance: Sheet
    measures: frozenset[str]
    files: list[Download]


def write_page(root: Path) -> Path:
    """Write `report.html` of an analysed run folder and return its path. Computes no statistic.

    Raises StoreError when a table or picture is missing, or when the page would exceed 5 MB.
    """
    content = collect(root)
    page = render(content)
    size = len(page.encode())
    if size > SIZE_LIMIT:
        page = render(_without_files(content))
        size = len(page.encode())
    if size > SIZE_LIMIT:
        raise StoreError(
            f"the page of {root} would have {size / 1e6:.1f} MB, at most 5 are allowed: show fewer recipes"
        )
    path = root / "report.html"
    write_text(path, page)
    return path


def collect(root: Path) -> Content:
    """What the page shows, from the tables and pictures of a run folder."""
    tables = read_tables(root)
    evidence = Evidence(tables, outline(tables))
    anchors = anchors_of(tables)
    facts = dict(tables.facts)
    name = facts.get("study", root.name)
    made, note = pictures(root, tables.pictures, SHEET_ROOM)
    pairs, _ = pictures(root, [row for row in tables.pictures if row["kind"] != "sheet"], PAIR_ROOM)
    return Content(
        name=name,
        question=facts.get("question", "") or name,
        facts=facts,
        meta=_meta(name, tables),
        said=sentences(tables, anchors),
        first=_first(evidence),
        sheets=[picture for picture, row in zip(made, tables.pictures, strict=True) if row["kind"] == "sheet"],
        pairs=_pairs(pairs, evidence),
        picture_note=note,
        differences=comparisons.differences(evidence),
        contrasts=contents.contrasts(tables, anchors) if tables.contrasts else None,
        performance=_there(performance.by_environment(evidence), performance.by_budget(evidence)),
        performance_sheets=_there(contents.performance(evidence), contents.worst(evidence)),
        reliance=_there(*(reliance.by_factor(evidence, name) for name in ("sobol-total", "flip-rate", "logit-effect"))),
        reliance_sheet=contents.reliance(evidence),
        encoding=encoding.by_layer(evidence),
        encoding_sheet=contents.decodability(evidence),
        environments=contents.environments(tables) if tables.environments else None,
        statuses=contents.statuses(tables) if tables.trials else None,
        lost=contents.lost(tables),
        undefined=contents.undefined(tables),
        provenance=contents.provenance(tables),
        measures=frozenset(row["measure"] for row in tables.estimates),
        files=_files(tables),
    )


def render(content: Content) -> str:
    """The page as HTML."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("assay.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    source = environment.loader
    assert source is not None
    words = as_text(content)
    return environment.get_template("page.html").render(
        page=content,
        words=words,
        markdown=as_markdown(content.name, words),
        plural=plural,
        light=Markup(declarations(LIGHT)),
        dark=Markup(declarations(DARK)),
        style=Markup(source.get_source(environment, "style.css")[0]),
        script=Markup(source.get_source(environment, "script.js")[0]),
        svg=Markup,
    )


def _there(*found: Any) -> list[Any]:
    return [one for one in found if one is not None]


def _meta(name: str, tables: Tables) -> str:
    """`nodule-loss · 90 trials · 5 seeds`."""
    seeds = len({row["seed"] for row in tables.trials})
    recipes = len(distinct(row["recipe"] for row in tables.trials))
    return f"{name} · {plural(recipes, 'recipe')} · {plural(len(tables.trials), 'trial')} · {plural(seeds, 'seed')}"


def _first(evidence: Evidence) -> list[Figure]:
    """The two figures of the first screen: what is relied on and what it costs, or the next best that there are."""
    return _there(reliance.relied_on(evidence), performance.cost(evidence))[:2]


def _pairs(made: list[Picture], evidence: Evidence) -> dict[str, list[Pair]]:
    found: dict[str, list[Pair]] = {}
    for picture in made:
        found.setdefault(picture.factor or "phantom", []).append(Pair(picture, _logits(picture, evidence)))
    return found


def _logits(picture: Picture, evidence: Evidence) -> Markup:
    """What the levels of the shown slice made of a pair."""
    view: Outline = evidence.outline
    level_of = {row["recipe"]: view.level(row) for row in evidence.tables.trials if view.shown(row)}
    pairs = {
        level_of[recipe]: (values[0], values[1])
        for recipe, values in picture.logits.items()
        if recipe in level_of and len(values) == 2
    }
    if not pairs:
        return Markup()
    ordered = {level: pairs[level] for level in view.levels if level in pairs}
    return Markup(logit_drawing(ordered, view.styles, LOGIT_WIDTH).inline(logit_words(ordered), "logits"))


def _files(tables: Tables) -> list[Download]:
    """Every table whole."""
    names = ("trials", "seeds", "estimates", "contrasts", "environments", "sentences", "provenance")
    return [as_csv(name, getattr(schema, name.upper()), getattr(tables, name)) for name in names]


def _without_files(content: Content) -> Content:
    """The page without the whole tables, which stay in the run folder."""
    return Content(**{**{name: getattr(content, name) for name in content.__dataclass_fields__}, "files": []})
