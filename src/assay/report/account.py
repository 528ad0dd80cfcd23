"""Texts of a page that its kind of run supplies: the verdict, the first screen, and cautions.

`PageText` holds all of them, and `FirstScreen` those of the first screen. The other classes are their parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from assay.core.reasons import Code
from assay.report.drawing import EffectSize
from assay.report.sentences.reasons import chip_words, reason_words
from assay.report.sheets import Sheet
from assay.stats.findings import Finding

LIGHTS = {"ok": "passed", "warn": "caution", "bad": "problem"}
SIGNS = {"ok": "✓", "warn": "!", "bad": "✕"}
MAX_CONDITIONS = 3
"""Places, such as test conditions, that the first screen shows images of."""
MAX_SMALL_PICTURES = 5
"""Small pictures that are seen at once."""


@dataclass(frozen=True, slots=True)
class StatusChip:
    """A status in a few words. title: the whole sentence."""

    light: str
    sign: str
    text: str
    title: str


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A small picture with its label."""

    uri: str
    width: int
    height: int
    label: str


@dataclass(frozen=True, slots=True)
class ConditionPictures:
    """Small pictures of one test condition, with its name in words."""

    name: str
    pictures: tuple[Thumbnail, ...]


@dataclass(frozen=True, slots=True)
class KeyFigure:
    """A key figure of the first screen: its name, its value with the interval, and what it is of.

    light: `bad` or `warn` of a harmful value.
    """

    name: str
    value: str
    interval: str = ""
    of: str = ""
    light: str = ""


@dataclass(frozen=True, slots=True)
class ResultLine:
    """A result in one row of the first screen, with the anchor of the cell that has the same numbers.

    Attributes:
        decision: The result as words.
        numbers: Its numbers.
        anchor: The cell.
        short: The decision without what the heading of all lines says.
        light: `bad`, `warn` or `ok`: how harmful it is; empty where it is no harm.
        size: Its size and interval, drawn beside the numbers.
        harm: The share of calls that it changes.
        images: The number of images that it was measured on.
    """

    decision: str
    numbers: str
    anchor: str
    short: str = ""
    light: str = ""
    size: EffectSize | None = None
    harm: str = ""
    images: str = ""


@dataclass(frozen=True, slots=True)
class FirstScreen:
    """Parts of the first screen next to verdict and chart.

    tiles: key figures.
    legend: what words and sizes of the lines mean.
    further: costly results that have no line on the first screen.
    grid: the title of pictures that are shown as a large grid; empty where they stand aside.
    more: sentences that go on from the verdict, the first on the first screen and the others among the findings.
    next: what to do next.
    """

    chips: tuple[StatusChip, ...]
    done: tuple[str, ...]
    conditions: tuple[ConditionPictures, ...]
    lines: tuple[ResultLine, ...]
    title: str = ""
    more: tuple[str, ...] = ()
    next: str = ""
    tiles: tuple[KeyFigure, ...] = ()
    grid: str = ""
    legend: str = ""
    further: str = ""


@dataclass(frozen=True, slots=True)
class CautionSentence:
    """A caution as a sentence: its light with a sign and a word, and the anchor of its evidence."""

    text: str
    light: str
    sign: str
    word: str
    anchor: str


@dataclass(frozen=True, slots=True)
class ResultDetail:
    """A result that a reader opens: a heading with its numbers, pictures, and a table."""

    title: str
    words: str
    place: ConditionPictures | None
    sheet: Sheet | None


@dataclass(frozen=True, slots=True)
class PageText:
    """Words of a page that differ by the kind of run.

    Attributes:
        name: Name of the run.
        question: The question that it answers.
        meta: Its size in a few words.
        verdict: The headline.
        opening: The first screen.
        doubts: Cautions.
        limits: What it does not show.
        methods: Sentences on methods; of a study the template has them.
        planned: Whether the run is planned, and nothing of it is done.
    """

    name: str
    question: str
    meta: str
    verdict: str
    opening: FirstScreen
    doubts: tuple[CautionSentence, ...]
    limits: tuple[str, ...]
    methods: tuple[str, ...] = ()
    planned: bool = False


def caution_chips(findings: Sequence[Finding]) -> list[StatusChip]:
    """Return what to know of the results before trusting them, problems first."""
    cautions = [finding for finding in findings if finding.kind != "limit" and finding.light in SIGNS]
    cautions = [
        finding for finding in cautions if finding.light != "ok" or finding.reason.codes[:1] != (Code.ENOUGH_SEEDS,)
    ]
    return list(map(_chip, sorted(cautions, key=lambda finding: -list(SIGNS).index(finding.light))))


def _chip(finding: Finding) -> StatusChip:
    """Return a caution in a few words, with a remedy unless all is well."""
    text = reason_words(finding.reason)
    return StatusChip(finding.light, SIGNS[finding.light], chip_words(finding.reason) or text, text)


def caution_sentence(finding: Finding) -> CautionSentence:
    """Return a caution as a sentence."""
    light = finding.light if finding.light in LIGHTS else ""
    place = "reasons" if finding.table == "estimates" else finding.table
    return CautionSentence(reason_words(finding.reason), light, SIGNS.get(light, ""), LIGHTS.get(light, ""), place)
