"""The page's words, made from rows of the tables and from nothing else.

Rows are plain mappings with the columns of `store.schema` (CONTRASTS, ESTIMATES, TRIALS, ENVIRONMENTS); a sentence is a
row of SENTENCES. A recipe *relies on* a factor when changing it changes the output, *encodes* it when it can be decoded
from a layer: two verbs, never exchanged. What was not shown is never called no difference.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict

from assay.stats.doubts import doubts
from assay.stats.format import count, listed, number, p_value
from assay.stats.rows import (
    Light,
    Row,
    Sentence,
    belongs,
    find,
    label,
    numeric,
    place,
    seeds_of,
    text_of,
    value_of,
    where,
)

RELIANCE = ("sobol-total", "flip-rate")
"""Measures that carry the words *relies on*, in the order in which an answer looks for them."""
UNSURE = "not converged"
"""What a probe says in `reason` of a value that more samples might move."""


def verdict(
    contrasts: Sequence[Row],
    estimates: Sequence[Row],
    trials: Sequence[Row] = (),
    environments: Sequence[Row] = (),
    leakage: Sequence[str] | None = None,
) -> list[dict[str, str]]:
    """Every sentence of a study's first screen, in order: answers, limits, doubts, as rows of SENTENCES.

    leakage: what the leakage check found, as sentences; None when none was made.
    """
    sentences = [
        *answers(contrasts, estimates),
        *limits(contrasts, estimates),
        *doubts(contrasts, trials, environments, leakage),
    ]
    return [asdict(sentence) for sentence in sentences]


# --- the answer -----------------------------------------------------------------------------------------------------


def answers(contrasts: Sequence[Row], estimates: Sequence[Row]) -> list[Sentence]:
    """Up to three sentences: what the recipes relied on, what it cost under shift, whether it held at equal fit."""
    stated = [row for row in contrasts if not row.get("exploratory")]
    main = leading(stated)
    said = relied(estimates, main)
    if main is None:
        return [*said, Sentence("answer", "No comparison was stated, so nothing is claimed about differences.")]
    said.append(Sentence("answer", f"{place(main)}, {difference(main, estimates)}", evidence=text_of(main, "id")))
    matched = _matched(stated, main)
    if matched is not None:
        said.append(Sentence("answer", f"At matched fit {_short(matched)}", evidence=text_of(matched, "id")))
    return said


def leading(contrasts: Sequence[Row]) -> Row | None:
    """The stated contrast that an answer leads with: at equal budget if there is one, the least p after Holm."""
    budget = [row for row in contrasts if row.get("at") != "matched-fit"] or list(contrasts)
    return min(budget, key=lambda row: _rank(numeric(row, "p_holm")), default=None)


def _rank(p: float) -> float:
    return 2.0 if math.isnan(p) else p


def relied(estimates: Sequence[Row], main: Row | None) -> list[Sentence]:
    """Which factor each compared recipe relied on most, by the first measure of reliance that was taken.

    Single directions and pairs of levels (a `group`) are parts of the same effect and are not ranked beside it.
    """
    for name in RELIANCE:
        rows = [row for row in estimates if text_of(row, "measure") == name and not text_of(row, "group")]
        rows = [row for row in rows if not math.isnan(numeric(row, "value"))]
        recipes = dict.fromkeys(text_of(row, "recipe") for row in rows if _compared(row, main))
        of = {recipe: [row for row in rows if text_of(row, "recipe") == recipe] for recipe in recipes}
        if of:
            light: Light = "warn" if any(map(_doubtful, itertools.chain(*of.values()))) else "none"
            text = "; ".join(most(recipe, own) for recipe, own in of.items()) + "."
            return [Sentence("answer", text, light, "estimates")]
    return []


def _doubtful(row: Row) -> bool:
    return UNSURE in text_of(row, "reason")


def _compared(row: Row, main: Row | None) -> bool:
    """Whether an estimate belongs to one of the two recipes of the leading contrast."""
    return main is None or any(belongs(row, main, side) for side in ("a", "b"))


def most(recipe: str, rows: Sequence[Row]) -> str:
    """`arcface relied most on texture (total Sobol' index .68 [.61, .75])`.

    Overlapping intervals claim no order. Neither is one claimed where the largest value, or one whose interval reaches
    it, has not converged.
    """
    strongest = {text_of(row, "factor"): row for row in sorted(rows, key=lambda row: numeric(row, "value"))}
    first, *others = sorted(strongest.values(), key=lambda row: -numeric(row, "value"))
    rivals = [row for row in others if not numeric(row, "high") < numeric(first, "low")]
    doubtful = [text_of(row, "factor") for row in (first, *rivals) if _doubtful(row)]
    if doubtful:
        return (
            f"what {recipe} relied on most could not be told: {label(first)} has not converged for {listed(doubtful)}"
        )
    if not rivals:
        return f"{recipe} relied most on {text_of(first, 'factor')} ({label(first)} {value_of(first)})"
    several = [f"{text_of(row, 'factor')} {value_of(row)}" for row in (first, *rivals)]
    return f"which of these {recipe} relied on most could not be told ({label(first)}: {listed(several)})"


def corrected(row: Row) -> str:
    """The p-value within its family; the interval beside it is of this comparison alone."""
    return f"{p_value(numeric(row, 'p_holm'))} after correction"


def difference(row: Row, estimates: Sequence[Row]) -> str:
    """What a contrast found, with both recipes' values, its interval, its p and the seeds it rests on."""
    called, there = label(row), where(row)
    a, b = text_of(row, "a"), text_of(row, "b")
    levels = [find(estimates, row, side) for side in ("a", "b")]
    known = all(level is not None for level in levels)
    values = " against ".join(value_of(level) for level in levels if level is not None) if known else ""
    found = f"difference {value_of(row)}, {corrected(row)}, {seeds_of(row)}"
    shown = f"{values} ({found})" if known else f"({found})"
    conclusion = row.get("conclusion")
    if conclusion in ("a higher", "a lower"):
        return f"{a} had a {str(conclusion)[2:]} {called} than {b}{there}: {shown}."
    if conclusion == "equivalent":
        margin = number(numeric(row, "margin"))
        return f"{a} and {b} were equivalent in {called}{there} within {margin}: {shown}."
    if conclusion == "not shown":
        return f"a difference in {called} between {a} and {b}{there} was not shown: {shown}."
    return f"the comparison of {a} with {b} in {called}{there} is undefined: {text_of(row, 'reason') or 'no value'}."


def _short(row: Row) -> str:
    a, b = text_of(row, "a"), text_of(row, "b")
    if row.get("conclusion") == "undefined":
        return f"the comparison of {a} with {b} is undefined: {text_of(row, 'reason') or 'no value'}."
    verdicts = {
        "a higher": f"{a} still higher",
        "a lower": f"{a} still lower",
        "equivalent": f"equivalent within {number(numeric(row, 'margin'))}",
    }
    ending = verdicts.get(text_of(row, "conclusion"), "not shown")
    return f"the difference in {label(row)} between {a} and {b} was {value_of(row)} ({corrected(row)}): {ending}."


def _matched(contrasts: Sequence[Row], main: Row) -> Row | None:
    keys = ("a", "b", "measure", "environment", "factor", "layer")
    same = [
        row
        for row in contrasts
        if row.get("at") == "matched-fit"
        and row is not main
        and all(text_of(row, key) == text_of(main, key) for key in keys)
    ]
    return same[0] if same else None


# --- what it does not show ------------------------------------------------------------------------------------------


def limits(contrasts: Sequence[Row], estimates: Sequence[Row]) -> list[Sentence]:
    """What the numbers leave open, one sentence each, all beginning `What this does not show:`."""
    stated = [row for row in contrasts if not row.get("exploratory")]
    open_ = [row for row in stated if row.get("conclusion") == "not shown"]
    measures = {text_of(row, "measure") for row in estimates}
    found: list[str] = []
    if open_:
        sizes = [size for size in (numeric(row, "detectable") for row in open_) if not math.isnan(size)]
        reach = f"; only one of {number(max(sizes))} or more was likely to be found" if sizes else ""
        of = f"{len(open_)} of {count(len(stated), 'comparison')}"
        found.append(f"that there is no difference where none was shown ({of}){reach}")
    if stated and not any(row.get("at") == "matched-fit" for row in stated):
        found.append("whether recipes differ in what they prefer or only in how fast they learn: fit was not matched")
    if "decodability" in measures:
        found.append("that a factor is used because a layer encodes it: decoding is not use")
    environments = sorted({text_of(row, "environment") for row in stated if text_of(row, "environment")})
    if environments:
        found.append(f"anything about distributions other than those compared ({listed(environments)})")
    if any(row.get("exploratory") for row in contrasts):
        extra = sum(bool(row.get("exploratory")) for row in contrasts)
        found.append(f"a confirmed finding in {count(extra, 'comparison')} added after results were known")
    return [Sentence("limit", f"What this does not show: {text}.") for text in found]
