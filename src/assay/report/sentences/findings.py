"""English of findings: the one place where findings become sentences."""

from __future__ import annotations

from collections.abc import Sequence

from assay.core.reasons import Code, Reason
from assay.report.sentences import comparisons, one_model, performance, reliance
from assay.report.sentences.cautions import sizes as detectable
from assay.report.sentences.names import label, sentence_case, where
from assay.report.sentences.reasons import cause_words, reason_words
from assay.stats.findings import (
    AtChance,
    Comparison,
    Decisions,
    Fall,
    FalsePositives,
    Family,
    Finding,
    Kind,
    Matched,
    OfModel,
    Reliance,
    WorstGroup,
)
from assay.stats.format import listed
from assay.stats.rows import Row

LEADING = (Kind.DECISIONS, Kind.FAMILY, Kind.CONTRAST)
"""Kinds of findings that can be the verdict, before any other of the answer."""
LIMIT = "What this does not show: "
"""How every limit begins."""


def sentence(one: Finding) -> str:
    """Return a finding as one sentence of a page or a terminal."""
    match one.details:
        case Comparison() as found if one.kind == Kind.CONTROL:
            return comparisons.control(found.row)
        case Comparison() as found if one.kind == Kind.PRIMARY:
            return comparisons.primary(found)
        case Decisions() as found:
            return comparisons.decisions(found)
        case Comparison() as found:
            return sentence_case(comparisons.difference(found))
        case Family() as found:
            return comparisons.family(found)
        case Matched() as found:
            return comparisons.matched(found)
        case Reliance() as found:
            return reliance.reliance(one, found)
        case Fall() as found:
            return performance.fall(one, found)
        case AtChance() as found:
            return performance.at_chance(found)
        case WorstGroup() as found:
            return performance.worst_group(one, found)
        case FalsePositives() as found:
            return performance.false_positives(found)
        case OfModel() as found:
            return one_model.of_model(one, found)
        case None:
            return f"{LIMIT}{limit(one)}." if one.kind == Kind.LIMIT else _caution(one)


def verdict(findings: Sequence[Finding]) -> str:
    """Return the one sentence that answers a study: its primary comparison, the tally of several, or what leads."""
    rows = primary_rows(findings)
    if len(rows) == 1:
        return f"{comparisons.decided(rows[0])}."
    answer = [one for one in findings if one.part == "answer" and one.kind not in (Kind.PRIMARY, Kind.CONTROL)]
    first = min(answer, key=lambda one: LEADING.index(one.kind) if one.kind in LEADING else len(LEADING), default=None)
    return "" if first is None else sentence(first)


def headline(findings: Sequence[Finding]) -> str:
    """Return the answer of a study in one sentence without numbers."""
    rows = primary_rows(findings)
    if rows:
        return comparisons.headline(rows)
    found = {type(one.details): one for one in reversed(findings) if one.part == "answer"}
    parts = [performance.falls(one, one.details) for one in found.values() if isinstance(one.details, Fall)]
    family = [one.details for one in found.values() if isinstance(one.details, Family)]
    parts += [comparisons.of_family(one) for one in family]
    if not parts:
        return "There are no results yet." if not found else "No comparison was pre-specified."
    return f"{sentence_case('; '.join(part for part in parts if part))}."


def primary_rows(findings: Sequence[Finding]) -> list[Row]:
    """Return the rows of the primary comparisons, in their order."""
    return [one.details.row for one in findings if one.kind == Kind.PRIMARY and isinstance(one.details, Comparison)]


def limit(one: Finding) -> str:
    """Return a limit without its opening and its stop, so that several make one sentence."""
    if Code.LIMIT_INCONCLUSIVE not in one.reason:
        return reason_words(one.reason)
    first, *rest = one.reason.causes
    sizes = [cause for cause in rest if cause.code == Code.DETECTABLE]
    parts = [cause_words(cause) for cause in rest if cause.code == Code.NOTHING_DETECTABLE]
    if len(sizes) == 1:
        parts.insert(0, f"a difference of {detectable(dict(sizes[0].fields))}")
    elif sizes:
        parts.insert(0, f"a difference {listed(list(map(cause_words, sizes)))}")
    reach = f"; with 80% power this design detects {', and '.join(parts)}" if parts else ""
    return cause_words(first) + reach


def _caution(one: Finding) -> str:
    """Return a caution; of an exhausted scale with the comparison that comes first."""
    spent = one.reason.first(Code.SCALE_EXHAUSTED)
    if spent is None:
        return reason_words(one.reason) + (": no value" if one.reason.codes == (Code.UNDEFINED_COMPARISONS,) else "")
    row = {"measure": one.measure, "factor": one.factor, "at": spent["at"], "doses": spent["doses"]}
    ends = Reason(one.reason.causes[1:])
    called = label(row) + where(one.environment)
    return f"{cause_words(spent)}; the first: {called}, all values {reason_words(ends)}"
