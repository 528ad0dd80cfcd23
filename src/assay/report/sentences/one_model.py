"""English of findings of one model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from assay.report.sentences.names import measure_words, sentence_case
from assay.stats.findings import Finding, Kind, OfModel, Shown
from assay.stats.format import in_words, listed, with_interval

MOST_USED = 6
"""Factors that the answer names of those that a model uses, and of the others."""
MOST_NAMED = 3
"""Factors that the verdict names."""
MOST_ENCODED = 3
"""Layers and factors that the answer names."""


def of_model(one: Finding, found: OfModel) -> str:
    """Return a finding of one model as a sentence."""
    value = with_interval(one.value, one.low, one.high)
    level = "" if math.isnan(found.reference) else with_interval(found.reference, math.nan, math.nan)
    by_chance = f" (chance {level})" if level else ""
    name, factor = measure_words(one.measure), in_words(one.factor)
    match one.kind:
        case Kind.PERFORMANCE:
            unsure = ", which is not shown to be above chance" if level and one.decision == Shown.INCONCLUSIVE else ""
            return f"{sentence_case(name)} is {value} in {one.environment}{by_chance}{unsure}."
        case Kind.WORST_ENVIRONMENT:
            return f"It is worst in {one.environment}: {name} {value}, where {found.against} has {level}."
        case Kind.FALSE_ALARMS:
            return f"Without a lesion in the image, {value} of the images in {one.environment} get a false alarm."
        case Kind.USED:
            flips = one.measure == "flip-rate"
            change = f"flips the class of {value} of the images" if flips else f"moves the logit by {value} sd"
            return f"Changing {factor} alone {change}."
        case _:
            read = f"AUROC {value} of a linear decoder{by_chance}"
            return f"Layer {one.layer} encodes {factor}: {read}. It need not be used."


def answer(findings: Sequence[Finding]) -> Iterator[str]:
    """Return the sentences of an answer, in the order of the findings.

    Of the factors whose change is shown to change the answers, the first `MOST_USED` have a sentence each and the
    others are counted; the factors without such a change share one. Of what layers encode, the first `MOST_ENCODED`
    that are shown have one.
    """
    used = [one for one in findings if one.kind == Kind.USED]
    shown = [one for one in used if one.decision == Shown.SHOWN]
    encoded = [one for one in findings if one.kind == Kind.ENCODED and one.decision == Shown.ABOVE]
    for one in findings:
        if isinstance(one.details, OfModel) and one.kind not in (Kind.USED, Kind.ENCODED):
            yield of_model(one, one.details)
    for one in shown[:MOST_USED]:
        if isinstance(one.details, OfModel):
            yield of_model(one, one.details)
    if rest := len(shown) - MOST_USED if len(shown) > MOST_USED else 0:
        yield f"Changing one of {rest} more factors alone changes answers too."
    yield from _unchanged([one for one in used if one not in shown])
    for one in encoded[:MOST_ENCODED]:
        if isinstance(one.details, OfModel):
            yield of_model(one, one.details)


def headline(findings: Sequence[Finding]) -> str:
    """Return the answer in one sentence without numbers: how well the model does, and its answers' main cause."""
    used = [one for one in findings if one.kind == Kind.USED]
    shown = [in_words(one.factor) for one in used if one.decision == Shown.SHOWN]
    parts: list[str] = []
    for one in findings:
        if one.kind == Kind.PERFORMANCE and isinstance(one.details, OfModel):
            judged = not math.isnan(one.details.reference)
            unsure = judged and one.decision == Shown.INCONCLUSIVE
            name, verb = measure_words(one.measure), "is not shown to be" if unsure else "is"
            parts += [f"{sentence_case(name)} {verb} above chance in {one.environment}"] if judged else []
        if one.kind == Kind.WORST_ENVIRONMENT:
            parts.append(f"performance is worst in {one.environment}")
    if shown:
        more = [*shown[:MOST_NAMED], "other factors"] if len(shown) > MOST_NAMED else shown
        parts.append(f"the answers change with {listed(more)}")
    elif used:
        parts.append("no change of a factor is shown to change the answers")
    return f"{sentence_case('; '.join(parts))}." if parts else ""


def _unchanged(used: Sequence[Finding]) -> Iterator[str]:
    """Return one sentence on factors whose change is not shown to change answers; none without such factors."""
    if not used:
        return
    names = [in_words(one.factor) for one in used]
    none = all(one.decision == Shown.NONE for one in used)
    if len(names) > MOST_USED:
        names = [*names[:MOST_USED], f"{len(names) - MOST_USED} more"]
    ending = "changes no answer" if none else "is not shown to matter"
    yield f"Changing {'one of ' if names[1:] else ''}{listed(names)} alone {ending}."
