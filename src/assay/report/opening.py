"""First screen of a page: status chips, an account of the study with small pictures, and the primary comparisons."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from assay.core.reasons import Code
from assay.report.account import shifting
from assay.report.images import encoded, natural
from assay.report.layout import Evidence
from assay.report.rows import Tables, distinct, numeric
from assay.report.sentences import comparisons
from assay.report.sentences.findings import primary_rows, sentence
from assay.report.sentences.names import measure_words, sentence_case
from assay.report.wording import plural
from assay.stats.findings import Comparison, Finding, Kind
from assay.stats.format import in_words, listed, number
from assay.stats.rows import mapping
from assay.store.files import Row

SIGNS = {"ok": "✓", "warn": "!", "bad": "✕"}
COARSE = 0.2
"""A run that cannot detect a smaller difference than this gets a caution."""
UNTIED = 0.15
"""An association below this is called none."""
MOST_PLACES = 3
"""Environments that the first screen shows images of, training among them."""
SIDE = 128
"""Most CSS pixels of a small picture."""
MOST_CHIPS = 6
COLUMNS, GAP = 8, 2
"""Images in a row of a sheet, and pixels between them."""


@dataclass(frozen=True, slots=True)
class Chip:
    """A status in a few words. title: the whole sentence."""

    light: str
    sign: str
    text: str
    title: str


@dataclass(frozen=True, slots=True)
class Small:
    """A small picture with its label."""

    uri: str
    width: int
    height: int
    label: str


@dataclass(frozen=True, slots=True)
class Place:
    """Small pictures of one environment, with its name in words."""

    name: str
    pictures: tuple[Small, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """A primary comparison in one line: its decision, its numbers, and the anchor of its row."""

    decision: str
    numbers: str
    anchor: str


@dataclass(frozen=True, slots=True)
class Opening:
    """Parts of the first screen next to verdict and chart."""

    chips: tuple[Chip, ...]
    done: tuple[str, ...]
    places: tuple[Place, ...]
    lines: tuple[Line, ...]


def opening(root: Path, evidence: Evidence, findings: Sequence[Finding], anchors: Mapping[str, str]) -> Opening:
    """Return the parts of the first screen of a study.

    Args:
        root: The run folder; a name that ends in `-quick` marks a quick look.
        evidence: Its tables.
        findings: Its findings.
        anchors: Contrast -> the id of its row in the page.
    """
    tables = evidence.tables
    quick = is_quick(root)
    reach = detectable(evidence, quick=quick)
    controls = [_control(one) for one in findings if one.kind == Kind.CONTROL]
    chips = controls + doubts(findings)
    return Opening(
        tuple([*reach, *chips][:MOST_CHIPS] if quick else [*chips[: MOST_CHIPS - len(reach)], *reach]),
        done(evidence),
        places_of(root, tables),
        tuple(_line(row, anchors) for row in primary_rows(findings)),
    )


def is_quick(root: Path) -> bool:
    """Return whether a run folder is of a quick look: a scale such as `quick`, or a pilot."""
    return root.name.endswith(("-quick", "-pilot"))


# Chips: the cautions of a study in a few words, and the smallest difference that it can show.


def _control(one: Finding) -> Chip:
    """Return the result of a control."""
    words = comparisons.control_result(one.details.row) if isinstance(one.details, Comparison) else ""
    return Chip(one.light, SIGNS.get(one.light, ""), words, sentence(one))


def doubts(findings: Sequence[Finding]) -> list[Chip]:
    """Return what to know of the results before trusting them, problems first."""
    found = [one for one in findings if one.part == "doubt" and one.light in SIGNS]
    found = [one for one in found if one.light != "ok" or one.reason.codes[:1] != (Code.ENOUGH_SEEDS,)]
    return list(map(_chip, sorted(found, key=lambda one: -list(SIGNS).index(one.light))))


def _chip(one: Finding) -> Chip:
    """Return a caution in a few words, with a remedy unless all is well."""
    code = one.reason.codes[0] if one.reason else Code.STATED
    words = CHIPS.get(code, "as planned" if one.light == "ok" else "a caution: see Findings")
    return Chip(one.light, SIGNS[one.light], words, sentence(one))


CHIPS: Mapping[Code, str] = {
    Code.ALL_FINISHED: "all training runs finished",
    Code.NONE_COLLAPSED: "none collapsed",
    Code.MISSING_TRIALS: "training runs are missing: run again",
    Code.LOST_TRIALS: "some training runs collapsed: see Failures",
    Code.NO_SEED_LEFT: "a recipe without results: see Failures",
    Code.SILENT_TRIALS: "some networks predict nothing: see Failures",
    Code.LOUD_TRIALS: "some networks predict everything: see Failures",
    Code.PATIENTS_UNKNOWN: "patients unknown: name their column",
    Code.DRAWN_IMAGES: "no leakage: each image is generated",
    Code.LEAKAGE_UNCHECKED: "leakage unknown: search for copies",
    Code.NO_COPIES: "no copies between splits",
    Code.COPIES_FOUND: "copies found: remove them",
    Code.NEAR_COPIES: "near copies found: look at them",
    Code.CONTRADICTING_COPIES: "copies with other labels: look at them",
    Code.ASSOCIATIONS_ACHIEVED: "associations as asked",
    Code.ASSOCIATIONS_OFF: "associations not as asked: see Environments",
    Code.UNEVEN_ROWS: "uneven training sets: see Findings",
    Code.ALL_AT_CHANCE: "no recipe above chance: train longer",
    Code.ALL_AT_CHANCE_WITHOUT_DOSE: "no recipe above chance: train longer",
    Code.SCALE_EXHAUSTED: "no room for a difference: see Findings",
    Code.UNDER_SEEDS: "too few seeds to test: add seeds",
    Code.ROUGH_SEEDS: "few seeds: add seeds",
    Code.OUTLYING_SEEDS: "outlying seeds: see Findings",
    Code.UNSEEN_LEVELS: "levels unseen in training: see Findings",
    Code.CHANGED_SEEDS: "seeds raised after results existed: see Findings",
    Code.FAR_P: "very small p from few seeds: see Findings",
    Code.SHARED_FOLDS: "folds share training images: intervals are rough",
    Code.ONE_POOL: "one set of training images: differences may not generalize",
    Code.FIXED_TRAINING_ROWS: "one set of training images: differences may not generalize",
    Code.PLAIN_SIGHT: "a simple cue predicts the target: see below",
    Code.PROXY: "a simple cue predicts the target: see below",
    Code.UNDEFINED_COMPARISONS: "comparisons without a result: see Findings",
}
"""Code of a caution -> its chip."""


def detectable(evidence: Evidence, *, quick: bool) -> list[Chip]:
    """Return the smallest difference in performance that the design detects; `quick look` where the scale is quick."""
    rows = [row for row in evidence.tables.contrasts if numeric(row, "detectable") > 0]
    rows = [row for row in rows if row["role"] == "primary"] or rows
    rows = [row for row in rows if row["measure"] == evidence.outline.measure] or rows[:1]
    seeds = len({row["seed"] for row in evidence.tables.trials})
    if not rows:
        text = quick_look("", None, seeds)
        return [Chip("warn", SIGNS["warn"], text, text)] if quick else []
    least = min(numeric(row, "detectable") for row in rows)
    what = _differences(rows[0]["measure"], least)
    if quick:
        text = quick_look(rows[0]["measure"], least, seeds)
    elif least >= COARSE:
        text = f"only {what} could be detected reliably: add seeds"
    else:
        text = f"{plural(seeds, 'seed')} detect {what}"
    light = "warn" if quick or least >= COARSE else "ok"
    return [Chip(light, SIGNS[light], text, f"{text} (80% power)")]


def quick_look(measure: str, least: float | None, seeds: int) -> str:
    """Return the limit of a quick look: the smallest difference it detects, or that it can show none."""
    if least is None:
        return f"quick look: {plural(seeds, 'seed')} cannot show a difference; use the default scale"
    return f"quick look: this run could reliably detect only {_differences(measure, least)}"


def _differences(measure: str, least: float) -> str:
    name, size = measure_words(measure), f"differences of {number(least)} or more"
    return f"{size} in {name}" if " " in name else f"{name} {size}"


# The account of the study: who was trained on what, and what changes between environments.


def done(evidence: Evidence) -> tuple[str, ...]:
    """Return at most two sentences on models and images, and on what was tied to the target."""
    tables, view = evidence.tables, evidence.outline
    networks = len({(row["recipe"], row["seed"], row["fold"]) for row in tables.trials})
    if not networks:
        return ()
    facts = tables.facts
    axis = in_words(view.axis)
    recipes, seeds, folds = (len({row[key] for row in tables.trials}) for key in ("recipe", "seed", "fold"))
    named = _plural(axis) if recipes == len(view.levels) else "recipes"
    levels = f"{recipes} {named}, " if view.axis and recipes > 1 else ""
    parts = f", {folds} folds" if folds > 1 else ""
    target = next((row["target"] for row in tables.environments if row["target"]), "")
    images = re.split(r"[;:,.]| with | of known ", facts.get("data summary", "") or facts.get("data", "images"))[0]
    verb = (
        "that were trained elsewhere predicted"
        if facts.get("models") or facts.get("predictions")
        else "were trained to predict"
    )
    named = f'"{in_words(target)}"' if target else "the target"
    first = f"{networks:,} networks ({levels}{plural(seeds, 'seed')}{parts}) {verb} {named}"
    return tuple(part for part in (f"{first} from {images}.", _tied(tables)) if part)


def _plural(name: str) -> str:
    return f"{name}es" if name.endswith("s") else f"{name}s"


def _strengths(tables: Tables, factor: str) -> dict[str, float]:
    """Environment without its recipe -> the strongest association of a factor with the target there."""
    found: dict[str, float] = {}
    for row in tables.environments:
        value = math.nan if row["held"] else numeric(row, "strength")
        name = _bare(row["environment"])
        if row["factor"] == factor and value == value and abs(value) >= abs(found.get(name, 0.0)):
            found[name] = value
    return found


def _bare(environment: str) -> str:
    return environment.partition(" (")[0] or environment


def relation(value: float, training: float) -> str:
    """Return how an association relates to that of training, in words."""
    if abs(value) < UNTIED:
        return "uninformative"
    if abs(training) >= UNTIED and value * training < 0:
        return "reversed"
    return (
        "as in training" if abs(value - training) < UNTIED else "weaker" if abs(value) < abs(training) else "stronger"
    )


def _tied(tables: Tables) -> str:
    """Return what was tied to the target in training, and its relation in every test environment."""
    for factor in shifting(tables):
        by_place = _strengths(tables, factor)
        training = by_place.get("train", math.nan)
        groups: dict[str, list[str]] = {}
        for name, value in by_place.items():
            if name != "train":
                groups.setdefault(relation(value, training), []).append(name)
        if not groups:
            continue
        tests = [f"{words} in {listed(names)}" for words, names in groups.items()]
        opens = (
            f"In training, {in_words(factor)} was tied to the target; it is"
            if abs(training) >= UNTIED
            else (f"{in_words(factor).capitalize()} is")
        )
        return f"{opens} {listed(tests)}."
    names = distinct(_bare(row["environment"]) for row in tables.environments if _bare(row["environment"]) != "train")
    return f"Tests: {listed([in_words(name) for name in names])}." if names else ""


def places_of(root: Path, tables: Tables) -> tuple[Place, ...]:
    """Return two small pictures of training and of the test environments that differ from it."""
    sheets: dict[str, Row] = {}
    for row in tables.pictures:
        if row["kind"] == "sheet" and mapping(row["facts"]).get("rows"):
            sheets.setdefault(_bare(row["environment"]), row)
    factor = next(iter(shifting(tables)), "")
    strengths = _strengths(tables, factor) if factor else {}
    training = strengths.get("train", math.nan)
    words = {
        name: relation(value, training) for name, value in strengths.items() if name != "train" and training == training
    }
    order = [name for name in sheets if words.get(name) != "as in training"]
    asked = {_bare(row["environment"]) for row in tables.contrasts if row["role"] == "primary"}
    order.sort(
        key=lambda name: (
            name != "train",
            words.get(name) != "reversed",
            words.get(name) == "uninformative",
            name not in asked,
        )
    )
    return tuple(
        Place(
            "training" if name == "train" else f"{name}: {in_words(factor)} {words[name]}" if name in words else name,
            _small(root, sheets[name]),
        )
        for name in order[:MOST_PLACES]
    )


def _small(root: Path, row: Row) -> tuple[Small, ...]:
    """Return the first image of the first and of the last class of a sheet."""
    labels = [str(label) for label in mapping(row["facts"])["rows"]]
    whole = natural(root, row)
    height = (whole.height + GAP) // len(labels) - GAP
    square = (whole.width + GAP) % (height + GAP) == 0
    width = min(whole.width, height if square else max(1, (whole.width + GAP) // COLUMNS - GAP))
    if height < 1:
        return ()
    target = str(mapping(row["facts"]).get("target", ""))
    made: list[Small] = []
    for number_of in dict.fromkeys((0, len(labels) - 1)):
        top = number_of * (height + GAP)
        image = whole.crop((0, top, width, top + height))
        by = math.ceil(max(width, height) / SIDE)
        image = image.reduce(by) if by > 1 else image
        times = max(1, SIDE // max(image.size))
        label = labels[number_of]
        label = f"{in_words(target)} {label}" if label.isdigit() else label
        made.append(Small(encoded(_plain(image), lossless=True), image.width * times, image.height * times, label))
    return tuple(made)


def _plain(image: Image.Image) -> Image.Image:
    return image if image.mode in ("L", "RGB") else image.convert("RGB")


def _line(row: Mapping[str, Any], anchors: Mapping[str, str]) -> Line:
    """Return a comparison as one line; its seeds and the values that it holds are in its table."""
    decision = f"{sentence_case(comparisons.bare(row))}{comparisons.why_open(row)}:"
    return Line(decision, comparisons.numbers(row), anchors.get(row["id"], ""))


def paper(evidence: Evidence, verdict: str, opening: Opening) -> tuple[tuple[str, str, str], ...]:
    """Return texts to copy into a paper: methods, results and a citation, each with its heading and id.

    Args:
        evidence: The tables.
        verdict: The answer in one sentence.
        opening: The first screen.
    """
    tables = evidence.tables
    facts, rows = tables.facts, tables.contrasts
    unit = tables.unit
    methods = list(opening.done)
    if rows:
        methods.append(
            f"Comparisons were paired by seed and {unit[:-1]}. Intervals are 95% confidence intervals over {unit} and "
            "seeds; p-values were corrected by Holm's method within each pre-specified family."
        )
    if any(not math.isnan(numeric(row, "equivalence_p")) for row in rows):
        methods.append("Equivalence was tested by two one-sided tests against a margin fixed before the study ran.")
    version, hash_of = facts.get("assay-imaging", ""), facts.get("hash of what is compared", "")
    torch = f" and PyTorch {facts['torch']}" if facts.get("torch") else ""
    methods.append(f"Analyses used Assay {version}{torch}.".replace("  ", " "))
    results = [verdict, *(f"{line.decision} {line.numbers}." for line in opening.lines)]
    fields = {
        "title": "Assay",
        "author": "{Assay developers}",
        "year": facts.get("trained to", "")[:4],
        "version": version,
        "note": f"Study {facts.get('study', '')}" + (f", hash {hash_of}" if hash_of else ""),
    }
    inside = "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items() if value)
    return (
        ("Methods", "paper-methods", " ".join(methods)),
        ("Results", "paper-results", " ".join(filter(None, results))),
        ("BibTeX", "paper-bibtex", f"@software{{assay,\n{inside}}}"),
    )


def secondary(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings of the answer that the first screen leaves to the text: controls first, groups last."""
    order = (Kind.CONTROL, Kind.DECISIONS, Kind.FAMILY, Kind.CONTRAST, Kind.MATCHED, Kind.UNCOMPARED)
    answer = [one for one in findings if one.part == "answer" and one.kind != Kind.PRIMARY]
    rank = {kind: at for at, kind in enumerate(order)}
    return sorted(
        answer, key=lambda one: len(order) + 1 if one.kind == Kind.WORST_GROUP else rank.get(one.kind, len(order))
    )
