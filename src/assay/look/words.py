"""Sentences of a look at images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from assay.core.reasons import NO_REASON, Code, Reason
from assay.look.cues import CAUTION_AUROC
from assay.look.harms import look_harms
from assay.report.context import PageContext
from assay.report.sentences.cues import may_be_no_shortcut
from assay.report.sentences.reasons import chip_words, cue_words, reason_words
from assay.report.words import sentence_case
from assay.stats.findings import Finding, parse_finding
from assay.stats.format import count, in_words, number
from assay.stats.harms import Rank
from assay.stats.rows import Row, json_object, numeric
from assay.store.data_tables import LARGE

LABELS = "Suspected labels"
SUSPECT_KINDS = {
    "Copies": ("copy", "suspected-copy", "alike-embedding"),
    LABELS: ("suspected-label",),
    "Odd images": ("blank", "dark", "bright", "blurry", "marked", "outlying", "odd-embedding"),
}
"""Name of a key figure -> kinds of issues that it counts."""
METHODS = (
    "Brightness, contrast and color are measured in images at their own size, after any window or crop that was asked "
    "for. All else is measured with the longer side scaled down to the size that the first line names; smaller images "
    "are not enlarged.",
    "Levels and baselines (ridge regressions) of simple cues are fitted on other patients than those that the AUROC "
    "is computed on. A simple cue is a caution where the interval of its AUROC is above 0.6. A check of single images "
    "is one, too, where 90% of at least 10 images that it finds are of one class: exact bounds over patients, "
    "corrected for checks and classes, exceed the share of this class in all images by 0.1.",
    "Copies are found on the original files, mirrored, turned, cropped and re-encoded ones too. Odd images are 5 "
    "robust standard deviations or more from the median: of brightness, sharpness, or the correlation with the tenth "
    "most similar thumbnail (6); or have 2.5 times the 90th percentile of thin bright marks such as letters.",
)
EMBEDDING_METHODS = (
    "Embeddings are standardized. Ridge regressions predict the target and each column from them in other patients; "
    "columns are predicted within each class, so that the target does not explain them, and levels and classes "
    "averaged. What embeddings encode need not be used by a classifier. Embeddings are nearly the same if the "
    "nearest one of another patient is too close for the density around it: 0.01 images are expected in a set without "
    "copies. An embedding is odd if the distance to the tenth nearest is 6 robust standard deviations above the "
    "median.",
)


def grid_title(context: PageContext) -> str:
    """Return the title of the pictures: of suspects, of masks, or of the images with most and least of a cue."""
    cue = next((json_object(row["facts"])["cue"] for row in context.tables["pictures"] if row["kind"] == "cue"), "")
    best = best_cue(context)
    article = "the" if best is not None and (best["kind"], best["name"]) == ("image", cue) else "another"
    if context.tables["issues"]:
        return f"Suspect images{f', and those with most and least of {article} cue ({cue})' if cue else ''}"
    return f"Images with most and least of {article} cue: {cue}, outlined" if cue else "Images"


def best_cue(context: PageContext) -> Row | None:
    """Return the strongest cue, which the page names first: of the target, or else of lesion area; None without one."""
    strong = [row for row in context.tables["shortcuts"] if row["strong"]]
    strong = [row for row in strong if row["kind"] != "check" or numeric(row, "low") > CAUTION_AUROC]
    return min(strong, key=lambda row: row["of"] == LARGE, default=None)


def cue_advice(context: PageContext) -> str:
    """Return that the best cue may be the finding or the target in other words; empty where it can be neither."""
    best = best_cue(context)
    return "" if best is None else may_be_no_shortcut(best, numeric(best, "value"))


def look_step(context: PageContext) -> str:
    """Return the next step after the most harmful finding, and suspected labels, as a command."""
    finding, init = _gravest(context), context.facts["next study"]
    listed = f"{context.folder_for_commands}/issues.csv"
    copies = finding is not None and not finding.reason.first(Code.PARTS_SHARED)
    labels = sum(row["kind"] in SUSPECT_KINDS[LABELS] for row in context.tables["issues"])
    where = "" if copies else f" ({listed} names them)"
    check = f"check {count(labels, 'suspected label')}{where}, " if labels else ""
    step = f"{check}then look again: {context.facts['look again']}"
    if finding and not copies:
        return f"Next: put all images of a patient or picture into one part, {step}"
    if finding:
        return f"Next: keep one copy of each picture, or give its copies one patient ({listed} names them), {step}"
    strong = best_cue(context)
    goal = "what a network learns from these images"
    # No network is compared with a column that may be its target.
    if strong is not None and not (strong["kind"] in ("column", "factor") and cue_advice(context)):
        where = cue_words(strong["kind"], strong["name"])
        goal = f"whether a network does better than {'this cue' if strong['kind'] in ('check', 'filled') else where}"
    first = f"{check}then " if check else ""
    return f"Next: {first}audit your model, if you have one ({context.facts['next audit']}), or see {goal}: {init}"


def why_unjudged(reason: Reason) -> str:
    """Return why labels were not judged, in a few words."""
    weak = reason.first(Code.WEAK_PREDICTIONS)
    if weak is None:
        return ""
    few = dict(weak.fields).get("few")
    return "too few patients to be sure" if few else "predictions from other patients are too weak"


def look_interval(row: Row) -> str:
    """Return the interval of a cue or a linear probe; empty without one."""
    ends = [numeric(row, end) for end in ("low", "high")]
    return "" if any(map(math.isnan, ends)) else f"[{number(ends[0])}, {number(ends[1])}]"


def decoded_lines(rows: Sequence[Row]) -> Iterator[str]:
    """Yield what a linear decoder predicts from embeddings, with the best simple cue of the target."""
    for row in rows:
        value = reason_words(row["reason"]) or f"AUROC {number(numeric(row, 'value'))} {look_interval(row)}"
        subject = {
            "target": f"embeddings, linear probe of {in_words(row['name'])}",
            "cue": f"best simple cue of {in_words(row['name'])}, {row['source']}",
            "column": f"embeddings, {row['name']} within classes",
        }[row["kind"]]
        yield f"{subject}: {value}"


def look_verdict(context: PageContext) -> str:
    """Return the gravest finding in the images and the best cue in one or two sentences."""
    finding = _gravest(context)
    first = [f"{sentence_case(chip_words(finding.reason) or reason_words(finding.reason))}."] if finding else []
    best = best_cue(context)
    cue = "No simple cue clearly predicts the target."
    untested = [row for row in context.tables["shortcuts"] if math.isnan(numeric(row, "value"))]
    if best is not None:
        words = f"{cue_words(best['kind'], best['name'])} predicts {predicted_words(best, context)}"
        cue = f"Without a network, {words}: AUROC {number(numeric(best, 'value'))}."
    elif untested and len(untested) == len(context.tables["shortcuts"]):
        cue = f"No simple cue could be tested: {reason_words(untested[0]['reason'])}."
    return " ".join([*first, cue])


def _gravest(context: PageContext) -> Finding | None:
    """Return the finding on invalid data that the verdict begins with, if any."""
    rows = context.tables["findings"]
    invalid = [harm for harm in look_harms(rows) if harm.rank == Rank.INVALID]
    return parse_finding(rows[invalid[0].row]) if invalid else None


def predicted_words(cue: Row, context: PageContext) -> str:
    """Return what a cue predicts: the target, one of several classes, or the lesion's area."""
    if cue["of"] == LARGE:
        return "lesion area"
    return "the target" if context.facts.get("positive class") else f"class '{cue['of']}' against the rest"


def further_findings(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings without the best cue, which the verdict names."""
    cues = [finding for finding in findings if finding.reason.first(Code.PLAIN_SIGHT)][:1]
    remaining = (
        replace(finding, reason=_without_best(finding.reason)) if finding in cues else finding for finding in findings
    )
    return [finding for finding in remaining if finding.reason]


def _without_best(reason: Reason) -> Reason:
    """Return simple cues without the best, which the verdict names; no reason where it is alone."""
    cause = reason.first(Code.PLAIN_SIGHT)
    fields = {key: value[1:] if isinstance(value, tuple) else value for key, value in cause.fields} if cause else {}
    return Reason.of(Code.PLAIN_SIGHT, **fields) if fields["names"] else NO_REASON
