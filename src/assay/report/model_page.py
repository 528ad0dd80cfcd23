"""Write the page of one model that was trained elsewhere, from the tables of its run folder."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from assay.core.measures import WORST, range_of
from assay.report import account
from assay.report.drawing import Mark, Panel, Plot, Reference, limits, styles
from assay.report.figures import HALF, Figure, chance, strips
from assay.report.images import Gallery, gallery
from assay.report.layout import Evidence, outline
from assay.report.opening import Opening, doubts, places_of
from assay.report.page import rendered, written
from assay.report.rows import Rows, Tables, distinct, numeric, whole
from assay.report.sentences.findings import sentence
from assay.report.sentences.names import sentence_case
from assay.report.sentences.one_model import answer, headline
from assay.report.sentences.reasons import reason_words
from assay.report.sheets import NONE, Download, Line, Sheet, amount, as_csv, estimated, figure, sheet, words
from assay.report.wording import axis_name, measure_name, plural
from assay.stats.findings import Finding, Kind, from_row
from assay.stats.format import in_words, listed
from assay.store import schema
from assay.store.files import Row
from assay.store.folder import RunFolder

# What the page shows: sections by probe, each with generic figures and a table of everything that was measured.

_SECTIONS: Mapping[str, tuple[str, str]] = {
    "performance": ("How well it does, and where", ""),
    "segmentation": ("What it outlines", ""),
    "lesion-free": (
        "Where there is no lesion",
        "A model that predicts nothing raises no false alarm. At matched sensitivity, each threshold is the one at "
        "which the model finds a stated share of the lesions of validation images.",
    ),
    "robustness": ("How well it holds when images are distorted", "Distortions are changes that no lesion makes."),
    "reliance": (
        "What it relies on",
        "One factor is changed and everything else in the image stays the same. A model relies on a factor when its "
        "answers change.",
    ),
    "decodability": (
        "What it encodes",
        "A layer encodes a factor when a linear decoder can read it there. An encoded factor need not be used.",
    ),
    "representation": ("Geometry of its layers", "Geometry shows neither encoding nor use."),
    "attribution": (
        "Regions that it attends to",
        "Attention to a lesion is the share of an explainer's map on it. An attended lesion need not be used.",
    ),
}
Level = Callable[[Row], str]
_NOT_SHOWN = ("pair-logit",)
"""Measures of single images: they are in the file alone."""
MOST_PANELS, MOST_LEVELS, MOST_FIGURES = 6, 24, 8
"""What generic figures of a probe show at most; the table has all."""


@dataclass(frozen=True)
class ModelTables:
    """The tables of one model, as rows. See `store.schema.MODEL_TABLES` for their columns."""

    measurements: Rows
    findings: Rows
    environments: Rows
    pictures: Rows
    provenance: Rows

    @property
    def facts(self) -> Mapping[str, str]:
        """The provenance as key -> value."""
        return {row["key"]: row["value"] for row in self.provenance}


@dataclass(frozen=True)
class ModelSection:
    """A part of the page: the measurements of one probe."""

    id: str
    title: str
    words: str
    figures: tuple[Figure, ...]
    sheets: tuple[Sheet, ...]


@dataclass(frozen=True)
class ModelContent:
    """Everything that the template shows."""

    name: str
    title: str
    meta: str
    verdict: str
    opening: Opening
    answer: tuple[str, ...]
    cautions: tuple[str, ...]
    first: tuple[Figure, ...]
    gallery: Gallery
    sections: tuple[ModelSection, ...]
    undefined: Sheet | None
    environments: Sheet | None
    provenance: Sheet
    facts: Mapping[str, str]
    unit: str
    methods: tuple[str, ...]
    files: tuple[tuple[str, Download | None], ...]


def read_model_tables(root: Path) -> ModelTables:
    """Read the tables of a probed model. Raises StoreError for one that is missing."""

    def read(name: str) -> Rows:
        return tuple(folder.table(name))

    folder = RunFolder(root)
    return ModelTables(**{field.name: read(field.name) for field in fields(ModelTables)})


def write_model_page(root: Path) -> Path:
    """Write `report.html` of a probed model and return its path. Computes no statistic.

    Raises:
        StoreError: A table or picture is missing, or the page would exceed 5 MB.
    """
    return written(root, rendered("model.html", collect_model(root)), "ask for fewer environments or probes")


def collect_model(root: Path) -> ModelContent:
    """Collect the content of the page.

    Raises:
        StoreError: A table or picture is missing.
    """
    found = read_model_tables(root)
    facts = {**dict.fromkeys(("known faults", "rows left out", "spec"), ""), **found.facts}
    tables = _as_tables(found)
    sections = tuple(_sections(found))
    findings = list(map(from_row, found.findings))
    return ModelContent(
        name=facts["model"],
        title=f"What has {facts['model']} learned?",
        meta=_meta(found),
        verdict=headline(findings),
        opening=Opening(tuple(doubts(findings)), _done(found), places_of(root, tables), ()),
        answer=tuple(answer(findings)),
        cautions=tuple(sentence(one) for one in findings if one.part == "doubt"),
        first=first_model_figures(found, findings)[-1:],
        gallery=gallery(root, Evidence(tables, outline(tables))),
        sections=sections,
        undefined=_undefined(found),
        environments=account.environments(tables),
        provenance=account.provenance(tables),
        facts=facts,
        unit="patients" if any(whole(row, "patients") for row in found.environments) else "images",
        methods=tuple(_methods(found)),
        files=tuple(
            (field.name, as_csv(field.name, tuple(rows[0]) if rows else (), rows))
            for field in fields(ModelTables)
            if field.name != "pictures" and (rows := getattr(found, field.name))
        ),
    )


def _as_tables(found: ModelTables) -> Tables:
    """The tables of a study's page, of which a model has few: environments, pictures, provenance."""
    none: dict[str, Any] = {field.name: () for field in fields(Tables) if field.name != "others"}
    here: dict[str, Any] = {name: getattr(found, name) for name in ("environments", "pictures", "provenance")}
    return Tables(**{**none, **here})


def _meta(found: ModelTables) -> str:
    facts, images = found.facts, {row["environment"]: whole(row, "images") for row in found.environments}
    parts = [facts["kind"], facts["task"], plural(len(images), "environment"), plural(max(images.values()), "image")]
    people = max(whole(row, "patients") for row in found.environments)
    return " · ".join([*parts, *([plural(people, "patient")] if people else [])])


def _done(found: ModelTables) -> tuple[str, ...]:
    """Return what was read on which images, in a sentence, and the names of test conditions."""
    facts, counts = found.facts, {row["environment"]: row for row in found.environments}
    most = max(counts.values(), key=lambda row: whole(row, "images"))
    people = f" of {plural(whole(most, 'patients'), 'patient')}" if whole(most, "patients") else ""
    target = next((in_words(row["target"]) for row in found.environments if row["target"]), "")
    task = f"{facts['task']} of {target}" if target else facts["task"]
    first = (
        f"One model ({facts['kind']}; {task}) was read as it is on {plural(whole(most, 'images'), 'image')}{people}."
    )
    names = listed([in_words(name) for name in counts])
    return (first, f"Test conditions: {names}.") if len(counts) > 1 else (first,)


def _methods(found: ModelTables) -> Iterator[str]:
    """Sentences on how the measures there are were made."""
    threshold, measures = found.facts.get("threshold", ""), {row["measure"] for row in found.measurements}
    if measures & {"sensitivity", "specificity"}:
        at = f"the threshold {threshold}" if threshold else "a probability of 0.5"
        yield f"Sensitivity, specificity and accuracy are at {at}."
    if found.facts["task"] == "segmentation":
        yield (
            "A pixel is called lesion at a probability of 0.5. Measures at a matched sensitivity are at the threshold "
            "at which the model finds that share of the lesions of validation images."
        )
    if measures & {"flip-rate", "logit-effect"}:
        yield (
            "Flips and effects compare the same image with one factor low and high. An effect is in units of the "
            "model's standard deviation of the logit within a class."
        )
    if "decodability" in measures:
        yield (
            "Decodability is the AUROC of a linear decoder on held-out images, where factor and target are independent "
            "or within a class."
        )
    if "calibration-error" in measures:
        yield "The calibration error has 15 bins of equal mass."


# Figures and tables of any probe.


def _sections(found: ModelTables) -> Iterator[ModelSection]:
    for label in distinct(row["probe"] for row in found.measurements):
        rows = [row for row in found.measurements if row["probe"] == label and row["measure"] not in _NOT_SHOWN]
        if not rows:
            continue
        name = label.partition("(")[0]
        title, text = _SECTIONS.get(name, (f"Probe {label}", ""))
        id = "".join(letter if letter.isalnum() else "-" for letter in label)
        yield ModelSection(id, title, text, tuple(probe_figures(id, rows)), (measured_sheet(id, label, rows),))


def first_model_figures(found: ModelTables, findings: Sequence[Finding]) -> tuple[Figure, ...]:
    """Return the figures of the first screen: performance by environment, and effects of changes."""
    overall = [row for row in found.measurements if _is_overall(row) and row["probe"].partition("(")[0] in
               ("performance", "segmentation")]  # fmt: skip
    led = next((one.measure for one in findings if one.kind == Kind.PERFORMANCE), "")
    own = [row for row in overall if row["measure"] == led]
    used = next((one.measure for one in findings if one.kind == Kind.USED), "")
    moved = [row for row in found.measurements if row["measure"] == used and not (row["level"] or row["group"])]
    moved.sort(key=lambda row: -abs(numeric(row, "value")) if not math.isnan(numeric(row, "value")) else 0.0)
    made = [
        _strips("first-performance", "How well it does", own, lambda row: row["environment"], HALF),
        _strips("first-used", "What its answers change with", moved, lambda row: in_words(row["factor"]), HALF),
    ]
    return tuple(figure for figure in made if figure is not None)


def probe_figures(id: str, rows: Sequence[Row]) -> Iterator[Figure]:
    """Draw the measurements of one probe: overall by environment, then every measure by place."""
    shown = [row for row in rows if not math.isnan(numeric(row, "value")) and row["group"] not in WORST]
    overall = [row for row in shown if _is_overall(row)]
    measures = distinct(row["measure"] for row in overall)[:MOST_PANELS]
    if overall:
        groups = [(measure_name(name), [row for row in overall if row["measure"] == name]) for name in measures]
        yield _panels(f"{id}-overall", "Overall, by environment", groups, lambda row: row["environment"])
    rest = [row for row in shown if not _is_overall(row)]
    for number, measure in enumerate(distinct(row["measure"] for row in rest)[:MOST_FIGURES], start=1):
        own = [row for row in rest if row["measure"] == measure]
        across = next((key for key in ("layer", "environment") if len({row[key] for row in own}) > 1), "environment")
        groups = [(place, [row for row in own if row[across] == place]) for place in _places(own, across)]
        title = f"{sentence_case(measure_name(measure))} by {'group' if across == 'environment' else 'layer'}"
        if any(_level(row) for row in own):
            yield _panels(f"{id}-{number}", title, groups[:MOST_PANELS], _level)


def _places(rows: Sequence[Row], key: str) -> list[str]:
    return list(dict.fromkeys(row[key] for row in rows))


def _is_overall(row: Row) -> bool:
    return bool(row["environment"]) and not (row["factor"] or row["level"] or row["layer"] or row["group"])


def _level(row: Row) -> str:
    """Position of a measurement within a panel: `texture solid, benign`."""
    place = f"{in_words(row['factor'])} {row['level']}".strip()
    return ", ".join(part for part in (place, row["group"]) if part)


def _strips(id: str, title: str, rows: Sequence[Row], level: Level, width: float) -> Figure | None:
    known = [row for row in rows if not math.isnan(numeric(row, "value"))]
    if not known:
        return None
    return _panels(id, title, [("", known)], level, width)


def _panels(
    id: str, title: str, groups: Sequence[tuple[str, Sequence[Row]]], level: Level, width: float | None = None
) -> Figure:
    """Draw panels of measurements, each measure on its own scale."""
    rows = [row for _, own in groups for row in own]
    levels = distinct(level(row) or "all" for row in rows)[:MOST_LEVELS]
    style = styles(["model"])["model"]
    measures = distinct(row["measure"] for row in rows)
    panels: list[Panel] = []
    for name, own in groups:
        there = [row for row in own if (level(row) or "all") in levels]
        marks = tuple(
            Mark(level(row) or "all", numeric(row, "value"), numeric(row, "low"), numeric(row, "high"),
                 reason=reason_words(row["reason"]))
            for row in there
        )  # fmt: skip
        panels.append(Panel(name, marks, _references(own), limits=_span(own) if len(measures) > 1 else None))
    unit = next((str(row["unit"]) for row in rows if row["unit"]), "")
    axis = axis_name(measures[0], unit) if len(measures) == 1 else "value"
    plot = Plot(tuple(panels), tuple(levels), dict.fromkeys(levels, style), axis, _span(rows))
    return strips(id, title, "", plot, rows) if width is None else strips(id, title, "", plot, rows, width)


def _span(rows: Sequence[Row]) -> tuple[float, float]:
    points = [numeric(row, "value") for row in rows]
    points += [value for row in rows if not math.isnan(value := numeric(row, "chance"))]
    ends = [numeric(row, end) for row in rows for end in ("low", "high")]
    return limits(points, ends, range_of(rows[0]["measure"]))


def _references(rows: Sequence[Row]) -> tuple[Reference, ...]:
    return chance(rows) if rows else ()


def measured_sheet(id: str, label: str, rows: Sequence[Row]) -> Sheet:
    """Return the table of everything that one probe measured."""
    lines = [
        Line(
            (
                words(measure_name(row["measure"]) + (f" ({row['unit']})" if row["unit"] else "")),
                words(row["environment"] or NONE),
                words(_level(row) or NONE),
                words(row["layer"] or NONE),
                estimated(row),
                figure(numeric(row, "chance")),
                amount(whole(row, "n")),
                amount(people) if (people := whole(row, "patients")) else words(NONE),
            )
        )
        for row in rows
    ]
    heads = ("measure", "environment", "of", "layer", "value", "chance", "images", "patients")
    return sheet(f"measured-{id}", f"All measurements of {label}", heads, lines, (rows, schema.MODEL_MEASUREMENTS))


def _undefined(found: ModelTables) -> Sheet | None:
    """Measurements without a value, and why."""
    rows = [row for row in found.measurements if row["reason"] and math.isnan(numeric(row, "value"))]
    by_reason: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        by_reason.setdefault((measure_name(row["measure"]), row["reason"]), []).append(row)
    lines = [
        Line((words(name), words(reason_words(reason)),
              words(listed(distinct(row["environment"] for row in own)) or NONE),
              amount(len(own))))
        for (name, reason), own in by_reason.items()
    ]  # fmt: skip
    heads = ("measure", "why there is no value", "where", "values")
    return sheet("undefined", "Undefined values", heads, lines, (rows, schema.MODEL_MEASUREMENTS)) if rows else None
