"""Words of a look at images, from the tables of its folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from assay.core.reasons import NOTHING, Code, Reason, because
from assay.report.evidence import Evidence
from assay.report.opening import Account, Opening, doubts, said
from assay.report.sentences.reasons import chip_words, cue_words, reason_words
from assay.report.words import sentence_case
from assay.stats.findings import Finding, from_row
from assay.stats.format import in_words, number
from assay.stats.rows import Row, numeric
from assay.store.data_tables import LARGE

MOST_CHIPS = 4
METHODS = (
    "Levels and baselines (ridge regressions) of simple cues are fitted on other patients than the AUROC is of. A "
    "simple cue is a caution where the interval of its AUROC is above 0.6.",
    "Copies are found on the original files, mirrored, turned, cropped and re-encoded ones too. Odd images are 5 "
    "robust standard deviations or more from the median: of brightness, sharpness, thin bright marks such as letters, "
    "or the distance to the fifth neighbor among thumbnails.",
)


def look_account(evidence: Evidence) -> Account:
    """Return the words on a look."""
    facts, findings = evidence.facts, list(map(from_row, evidence.tables["findings"]))
    who = f"{facts['patients']} patients" if evidence.unit == "patients" else "patients not named"
    target = f'"{in_words(facts["target"])}"'
    return Account(
        name=facts["data"],
        question=f"What do {facts['images']} images give away about {target}?",
        meta=f"{facts['images']} images, {who}, target {target}",
        verdict=look_verdict(evidence),
        opening=Opening(tuple(doubts(_further(findings, _gravest(findings)))[:MOST_CHIPS]), (), (), ()),
        doubts=tuple(map(said, findings)),
        limits=("what a network would learn", "whether labels are right"),
        methods=METHODS,
        planned=True,
    )


def look_verdict(evidence: Evidence) -> str:
    """Return the gravest finding in the images and the best cue in one or two sentences."""
    found = _gravest(list(map(from_row, evidence.tables["findings"])))
    grave = [f"{sentence_case(chip_words(one.reason) or reason_words(one.reason))}." for one in found]
    strong = sorted((row for row in evidence.tables["shortcuts"] if row["strong"]), key=lambda row: row["of"] == LARGE)
    cue = "No simple cue clearly predicts the target."
    if strong:
        best = strong[0]
        words = f"{cue_words(best['kind'], best['name'])} predicts {of_words(best)}"
        cue = f"Without a network, {words}: AUROC {number(numeric(best, 'value'))}."
    return " ".join([*grave, cue])


def _gravest(findings: Sequence[Finding]) -> list[Finding]:
    """Return the finding that the verdict begins with, if any."""
    return [one for one in findings if one.light == "bad" and not one.reason.first(Code.PATIENTS_UNKNOWN)][:1]


def of_words(cue: Row) -> str:
    """Return what a cue predicts."""
    return "lesion area" if cue["of"] == LARGE else "the target"


def look_lines(evidence: Evidence) -> Iterator[str]:
    """Yield the verdict, what was looked at, and a line for each finding, without the cue that the verdict names."""
    yield look_verdict(evidence)
    yield f"{look_account(evidence).meta}."
    yield from (f"  {reason_words(one.reason)}" for one in _further(list(map(from_row, evidence.tables["findings"]))))


def _further(findings: Sequence[Finding], said: Sequence[Finding] = ()) -> list[Finding]:
    """Return the findings but these, without the best cue, which the verdict names."""
    left = (replace(one, reason=without_first_cue(one.reason)) for one in findings if one not in said)
    return [one for one in left if one.reason]


def without_first_cue(reason: Reason) -> Reason:
    """Return a reason whose simple cues go without the best, which the verdict names; no reason where it is alone."""
    cause = reason.first(Code.PLAIN_SIGHT)
    if cause is not None and "size" in dict(cause.fields):
        return reason
    fields = {key: value[1:] for key, value in cause.fields if isinstance(value, tuple)} if cause else {}
    return reason if cause is None else because(Code.PLAIN_SIGHT, **fields) if fields["names"] else NOTHING
