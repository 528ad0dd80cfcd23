"""Everything that the page shows, gathered from the tables and pictures of a run folder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from assay.report import (
    account,
    attending,
    comparisons,
    contents,
    distorted,
    doses,
    encoding,
    geometry,
    labelled,
    performance,
    quiet,
    reliance,
    trained,
)
from assay.report.bought import bought
from assay.report.downloads import Download, as_csv
from assay.report.evidence import Evidence
from assay.report.figures import HALF, Figure
from assay.report.images import Gallery, gallery
from assay.report.mitigations import mitigations
from assay.report.outline import outline
from assay.report.probed_doses import in_training, probed
from assay.report.said import Said, anchors_of, sentences
from assay.report.sheets import Sheet
from assay.report.starts import starts
from assay.report.tables import Tables, distinct, read_tables
from assay.report.wording import plural
from assay.store import schema

T = TypeVar("T")
_WIDEST = re.compile(r"the widest of \d+ (fall|rise)s")


@dataclass(frozen=True)
class Section:
    """A part of the page: its title, what its word means, its figures, its tables, what is said when it has none."""

    id: str
    title: str
    words: str
    figures: tuple[Figure, ...] = ()
    sheets: tuple[Sheet, ...] = ()
    otherwise: str = ""


@dataclass(frozen=True)
class Content:
    """All that the template shows. facts: the provenance. first: the figures of the first screen. measures: those there
    are estimates of. folds: whether images were tested in folds. dosed: whether there are doses. files: every
    table whole. chosen_widest: `fall` or `rise` where the answer tells of the widest of several, else empty.
    """

    name: str
    question: str
    meta: str
    facts: dict[str, str]
    said: dict[str, list[Said]]
    first: tuple[Figure, ...]
    gallery: Gallery
    sections: tuple[Section, ...]
    lost: tuple[Sheet, ...]
    environments: Sheet | None
    provenance: Sheet
    measures: frozenset[str]
    folds: bool
    dosed: bool
    chosen_widest: str
    files: tuple[tuple[str, Download | None], ...]


def collect(root: Path) -> Content:
    """What the page shows. Raises StoreError when a table, a column or a picture is missing."""
    tables = read_tables(root)
    evidence = Evidence(tables, outline(tables))
    anchors = anchors_of(tables)
    sections = _sections(evidence, anchors)
    lost = there(account.statuses(tables), account.collapses(tables), account.lost(tables), account.undefined(tables))
    environments = account.environments(tables)
    ids = {sheet.id for section in sections for sheet in section.sheets} | {sheet.id for sheet in lost}
    ids |= {environments.id} if environments else set()
    facts = {**dict.fromkeys(_MAY_LACK, ""), **tables.facts}
    name = facts.get("study", root.name)
    said = sentences(tables, anchors, {key: id for key, id in contents.EVIDENCE.items() if id in ids})
    widest = next((found[1] for one in said["answer"] if (found := _WIDEST.search(one.text))), "")
    return Content(
        name=name,
        question=facts.get("question", "") or name,
        meta=_meta(root.name if root.name.startswith(f"{name}-") else name, tables),
        facts=facts,
        said=said,
        first=_first(evidence),
        gallery=gallery(root, evidence),
        sections=sections,
        lost=lost,
        environments=environments,
        provenance=account.provenance(tables),
        measures=frozenset(row["measure"] for row in tables.estimates),
        dosed=bool(tables.half_doses),
        chosen_widest=widest,
        folds=any(row["fold"] for row in tables.trials),
        files=tuple((name, as_csv(name, getattr(schema, name.upper()), getattr(tables, name))) for name in _WHOLE),
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


_MAY_LACK = ("rows left out", "known faults", "spec")
_WHOLE = (
    "trials",
    "seeds",
    "estimates",
    "contrasts",
    "half_doses",
    "dose_changes",
    "trades",
    "planes",
    "free_response",
    "curves",
    "starts",
    "recipes",
    "collapses",
    "similarities",
    "environments",
    "dose_counts",
    "visibility",
    "sentences",
    "provenance",
)


def there(*found: T | None) -> tuple[T, ...]:
    """Those that are."""
    return tuple(one for one in found if one is not None)


_USED = ("sobol-total", "flip-rate", "logit-effect")


def _sections(evidence: Evidence, anchors: dict[str, str]) -> tuple[Section, ...]:
    """Comparisons always; what a probe measured where it has."""
    parts = (*_stated(evidence, anchors), _healthy(evidence), *_performed(evidence), *_learned(evidence))
    return tuple(part for part in parts if part.figures or part.sheets or part.otherwise)


def _stated(evidence: Evidence, anchors: dict[str, str]) -> tuple[Section, ...]:
    """What the study asked: comparisons, doses, and the starts that they are of."""
    return (
        Section(
            "comparisons",
            "Claim by claim: every comparison",
            "",
            tuple(comparisons.differences(evidence)),
            there(contents.contrasts(evidence.tables, anchors)),
            "No comparison was stated in this study, so nothing is claimed about differences.",
        ),
        Section(
            "doses",
            "What the dose does",
            f"{in_training(evidence)} Claims are of the change from p = 0.".strip(),
            there(bought(evidence), *doses.responses(evidence), doses.forest(evidence), *probed(evidence)),
            there(doses.interactions(evidence.tables), doses.half_doses(evidence), doses.counts(evidence.tables)),
        ),
        Section(
            "start-weights",
            "Where each network starts",
            "A start is the weights that training begins with. Every start scales images as its own training did.",
            (),
            there(starts(evidence.tables)),
        ),
    )


def _performed(evidence: Evidence) -> tuple[Section, ...]:
    """How well recipes do, as the images are and distorted."""
    return (
        Section(
            "how-well",
            "How well it does, and where",
            "",
            there(performance.by_environment(evidence), labelled.by_share(evidence), performance.by_budget(evidence)),
            there(
                mitigations(evidence),
                contents.performance(evidence),
                contents.measures(evidence),
                contents.worst(evidence),
            ),
        ),
        Section(
            "distorted",
            "How well it holds when images are distorted",
            "Distortions are changes that no lesion makes. Confounders, which tell the class, are another matter.",
            there(distorted.by_severity(evidence)),
            there(distorted.table(evidence)),
        ),
    )


def _learned(evidence: Evidence) -> tuple[Section, ...]:
    """What a network learned: used, encoded, its geometry, attended."""
    return (
        Section(
            "relies",
            "What it relies on",
            "A recipe relies on a factor when changing that factor, and nothing else, changes the output.",
            there(*(reliance.by_factor(evidence, measure) for measure in _USED)),
            there(contents.reliance(evidence)),
        ),
        Section(
            "encodes",
            "What it encodes",
            "A layer encodes a factor when a linear decoder can read it there. What is encoded need not be used.",
            there(encoding.by_layer(evidence)),
            there(contents.decodability(evidence)),
        ),
        Section(
            "geometry",
            "What its layers look like",
            "Alike is not of the same use: this is geometry, of what is neither encoded nor used. Recipes are called "
            "different only where they differ by more than their own seeds do.",
            there(
                *(geometry.shape(evidence, measure) for measure in geometry.SHAPES),
                geometry.alike(evidence),
                geometry.maps(evidence),
                geometry.put_back(evidence),
            ),
            there(geometry.layers(evidence), geometry.likeness(evidence), geometry.put_back_table(evidence)),
        ),
        Section(
            "attends",
            "What it attends to",
            "A recipe attends to a lesion as far as an explainer's map lies on it. What is attended need not be used: "
            "that is told by what taking the lesion away, or painting it over, costs.",
            there(attending.by_explainer(evidence), attending.by_size(evidence), attending.by_kind(evidence)),
            there(attending.table(evidence)),
        ),
    )


def _healthy(evidence: Evidence) -> Section:
    """What a segmentation does where there is no lesion, and how it was trained."""
    return Section(
        "healthy",
        "Where there is no lesion",
        "A network that predicts nothing is quiet too: false alarms are compared at the threshold at which each "
        "finds the same share of the lesions of its validation images.",
        there(
            quiet.trade(evidence),
            quiet.planes(evidence),
            quiet.free_response(evidence),
            *(trained.course(evidence, name) for name in trained.COURSES),
        ),
        there(quiet.conventions(evidence), quiet.by_kind(evidence)),
    )


def _meta(name: str, tables: Tables) -> str:
    """`nodule-loss-quick · 6 recipes · 18 trials · 3 seeds`: of a scale, the run folder's name tells it."""
    seeds = len({row["seed"] for row in tables.trials})
    recipes = len(distinct(row["recipe"] for row in tables.trials))
    return f"{name} · {plural(recipes, 'recipe')} · {plural(len(tables.trials), 'trial')} · {plural(seeds, 'seed')}"


def _first(evidence: Evidence) -> tuple[Figure, ...]:
    """The two figures of the first screen: false alarms, doses, what is relied on, what it costs, as far as there."""
    return there(
        quiet.trade(evidence, HALF),
        doses.response(evidence, HALF),
        reliance.relied_on(evidence),
        performance.cost(evidence),
    )[:2]
