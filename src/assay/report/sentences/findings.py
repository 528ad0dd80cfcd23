"""English of findings: the one place where findings become sentences."""

from __future__ import annotations

from collections.abc import Sequence

from assay.core.reasons import Code, Reason
from assay.report.sentences import comparisons, one_model, performance, reliance
from assay.report.sentences.cautions import sizes as detectable
from assay.report.sentences.names import label, measure_words, sentence_case, where
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
from assay.stats.format import in_words, listed
from assay.stats.rows import SHOWN, Row

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
    """Return the one sentence that answers a study, without numbers: its pattern, and the outcome of comparisons."""
    answer = [one for one in findings if one.part == "answer"]
    found = [_pattern(answer), _outcome(answer)]
    if any(found):
        return f"{sentence_case('; '.join(part for part in found if part))}."
    model = next((one for one in answer if isinstance(one.details, OfModel)), None)
    return sentence(model) if model else ""


def _pattern(answer: Sequence[Finding]) -> str:
    """Return the pattern that every recipe shares; empty where there is none beyond doubt."""
    relied = next((one.details for one in answer if isinstance(one.details, Reliance)), None)
    fall = next((one for one in answer if isinstance(one.details, Fall)), None)
    chance = next((one.details for one in answer if isinstance(one.details, AtChance)), None)
    shared = _shared(relied) if relied else ""
    changed = _changed(fall, named_axis=not shared) if fall else ""
    if shared or changed:
        return f"{shared}, and {changed}" if shared and changed else shared or changed
    return f"in {listed(list(chance.environments))}, no recipe was shown to be above chance" if chance else ""


def _shared(found: Reliance) -> str:
    """Return `every loss relied most on texture`, where every recipe does."""
    first = {one.factors[0] for one in found.recipes if one.kind == "most" and len(one.factors) == 1}
    if len(first) != 1 or any(one.kind != "most" or len(one.factors) != 1 for one in found.recipes):
        return ""
    return f"{_every(found.held.axis, len(found.recipes))} relied most on {in_words(first.pop())}"


def _every(axis: str, recipes: int) -> str:
    return f"every {in_words(axis) or 'recipe'}" if recipes > 1 else "the network"


def _changed(one: Finding, *, named_axis: bool) -> str:
    """Return how performance changed with every recipe; empty where intervals overlap with any."""
    found = one.details
    if not isinstance(found, Fall) or found.size <= 0 or found.overlapping:
        return ""
    who = f"with {_every(found.held.axis, len(found.after))}, " if named_axis and len(found.after) > 1 else ""
    to = " below chance" if not found.lower and all(value.high < found.chance for value in found.after) else ""
    when = " at the largest share of marked images" if found.dose else ""
    return f"{who}{measure_words(one.measure)} {'rose' if found.lower else 'fell'}{to} in {one.environment}{when}"


def _outcome(answer: Sequence[Finding]) -> str:
    """Return the outcome of the primary comparisons, or of the leading family where there is none."""
    if any(one.kind == Kind.CONTROL and one.light == "bad" for one in answer):
        return "no difference is claimed, since a control failed"
    rows = primary_rows(answer)
    if rows:
        return comparisons.outcome(rows, "primary comparison")
    found = next((one.details for one in answer if one.kind in (Kind.FAMILY, Kind.CONTRAST)), None)
    if isinstance(found, Comparison):
        return comparisons.bare(found.row)
    if not isinstance(found, Family):
        return next((reason_words(one.reason).rstrip(".") for one in answer if one.kind == Kind.UNCOMPARED), "")
    if found.count == 1:
        return comparisons.bare(found.leading.row)
    axis = in_words(found.axis)
    if found.shown and found.leading.row.get("conclusion") in SHOWN:
        rest = "" if found.shown == found.count else f"; other comparisons of {axis} were not decided"
        return f"{comparisons.bare(found.leading.row)}{rest}"
    if found.equivalent == found.count:
        return f"every comparison of {axis} showed equivalence within the margin"
    return f"no comparison of {axis} showed a difference{', some showed equivalence' if found.equivalent else ''}"


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
