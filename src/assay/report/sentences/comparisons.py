"""English of comparisons between recipes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from assay.core.reasons import Code, Reason, reason_of
from assay.report.sentences.names import (
    difference_words,
    equivalence_interval,
    half_widths,
    label,
    measure_words,
    named,
    place,
    sentence_case,
    shown,
    signed,
    statement,
    value_of,
    where,
)
from assay.report.sentences.reasons import reason_words
from assay.stats.findings import Comparison, Decided, Decisions, Family, Matched, Tally, Value
from assay.stats.format import common_decimals, count, decimals, in_words, listed, number, p_value
from assay.stats.rows import (
    EXHAUSTED,
    FIRST_SIGN_UNDER,
    MATCHED,
    NONINFERIORITY_ALPHA,
    SHOWN,
    UNCLAIMED,
    Row,
    mapping,
    numeric,
    over_doses,
    text_of,
    under_seeds,
)

MATCHING = {"matched-fit": "at matched fit", MATCHED: "matched on performance at p = 0"}
"""How comparisons are made that accompany one at equal budget or of all amounts -> its words."""


def family(found: Family) -> str:
    """Count the comparisons of an axis by conclusion, and name the leading one."""
    main = found.leading.row
    told = f"{place(main)}, {difference(found.leading)}"
    if found.link == "alone":
        return told
    of = f"Of {count(found.count, 'comparison')} of {in_words(found.axis)}"
    of += f" with {found.against}" if found.against else ""
    led = told[:1].lower() + told[1:]
    if found.link == "first":
        return f"{of}, none could be tested; the first: {led}"
    alike = f", {found.equivalent} showed equivalence" if found.equivalent else ""
    alike += f", {found.exhausted} had no room for one ({EXHAUSTED})" if found.exhausted else ""
    alike += f", {found.undefined} could not be tested" if found.undefined and not found.shown else ""
    sure = main.get("conclusion") in SHOWN
    ways = f", {listed([MATCHING[way] for way in found.ways])} alone" if found.shown and not sure else ""
    links = {"only": "", "surest": ". The clearest", "one": ". One of them", "nearest": ". The closest to one"}
    return f"{of}, {found.shown or 'none'} showed a difference{ways}{alike}{links[found.link]}: {led}"


def matched(found: Matched) -> str:
    """Return a comparison at matched fit or performance, which accompanies the leading one."""
    row = found.comparison.row
    opens = f"{place(row)}," if row.get("at") == MATCHED else "At matched fit"
    return f"{opens} {_short(found.comparison, same=found.same)}"


CONTROL_WORDS: Mapping[str, tuple[str, str]] = {
    "detected": ("detected", ""),
    "undetected": ("not detected", ". Nothing else is claimed"),
    "no difference": ("shows no difference", ""),
    "differs": ("differs", ". Nothing else is claimed"),
    "untested": ("could not be tested", ""),
}
"""Decision on a control -> its verdict, and what follows."""


def control(row: Row) -> str:
    """Return what a control showed, and what follows where it failed."""
    _, follows = CONTROL_WORDS[text_of(row, "decision")]
    return f"{control_result(row)} ({statement(row)}): {_deciding(row)}{follows}."


def control_result(row: Row) -> str:
    """Return the result of a control in a few words."""
    role = "A/A control" if text_of(row, "role") == "a-a" else "Positive control"
    return f"{role} {CONTROL_WORDS[text_of(row, 'decision')][0]}"


WAYS: Mapping[str, tuple[str, bool]] = {
    Decided.HIGHER: ("higher", False),
    Decided.LOWER: ("lower", False),
    Decided.HIGHER_SMALL: ("higher", True),
    Decided.LOWER_SMALL: ("lower", True),
}
"""Decision on a difference -> its direction, and whether it is less than the margin."""


def primary(found: Comparison) -> str:
    """Return the decision on a primary comparison, the interval and p that decided, and what would settle it."""
    row = found.row
    return f"Primary comparison. {decided(row)}: {_deciding(row)}.{_settling(row)}{_looked(row)}"


def primary_line(row: Row) -> str:
    """Return the decision on a primary comparison with its difference, interval and p: one line of a terminal."""
    return f"{decided(row)}: {_deciding(row)}"


def numbers(row: Row) -> str:
    """Return difference, interval and p of a comparison."""
    return _deciding(row, short=True)


def bare(row: Row) -> str:
    """Return the decision on a comparison without any number but those in names."""
    a, b = (_alone(row, text_of(row, side)) for side in ("a", "b"))
    change = "change in " if over_doses(row) else ""
    factors = [text_of(row, "factor")] if text_of(row, "factor") else list(mapping(row.get("pooled")).get("factor", ()))
    factor = f" of {listed([in_words(one) for one in factors])}" if factors else ""
    environment = text_of(row, "environment")
    place = ("" if environment.startswith("(") else where(environment)) + (
        " at matched fit" if row.get("at") == "matched-fit" else ""
    )
    what = f"{change}{measure_words(text_of(row, 'measure'))}{factor}{place}"
    decision = text_of(row, "decision") or text_of(row, "conclusion")
    if text_of(row, "conclusion") == "undefined":
        return f"{a} and {b} could not be compared in {what}"
    if decision == "equivalent":
        return f"{a} and {b} were equivalent in {what} within the margin"
    if decision not in WAYS:
        return f"whether {a} and {b} differ in {what} is inconclusive"
    way, small = WAYS[decision]
    less = ", but by less than the margin" if small else ""
    if over_doses(row):
        return f"the {what} was {way} with {a} than with {b}{less}"
    return f"{a} had a {way} {what} than {b}{less}"


def _alone(row: Row, level: str) -> str:
    """Return a level by itself, or with its axis where it is a number."""
    return named(text_of(row, "axis"), level) if level[:1].isdigit() else level


def outcome(rows: Sequence[Row], called: str) -> str:
    """Return the decisions on several comparisons in one clause without numbers: the first difference and the rest."""
    if len(rows) == 1:
        return bare(rows[0])
    kinds = [text_of(row, "decision") for row in rows]
    shown = [row for row, kind in zip(rows, kinds, strict=True) if kind in WAYS]
    if all(text_of(row, "conclusion") == "undefined" for row in rows):
        return f"no {called} has a result"
    if len(set(kinds)) == 1 and not shown:
        alike = "showed equivalence within the margin" if kinds[0] == "equivalent" else "is inconclusive"
        return f"every {called} {alike}"
    if not shown:
        return f"no {called} showed a difference: some showed equivalence, others are inconclusive"
    lead = min(shown, key=lambda row: numeric(row, "decision_p"))
    if len(rows) == 2:
        return f"{bare(lead)}; {bare(next(row for row in rows if row is not lead))}"
    others = [kind for row, kind in zip(rows, kinds, strict=True) if row is not lead]
    return f"{bare(lead)}; {_others(others, called)}"


COUNTED = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def _others(kinds: Sequence[str], called: str) -> str:
    """Return the outcomes of the other comparisons: `of the other three ..., two showed a difference and ...`."""
    few = len(kinds) < len(COUNTED)
    found = {
        "showed a difference": sum(kind in WAYS for kind in kinds),
        "showed equivalence": kinds.count("equivalent"),
        "inconclusive": sum(kind not in WAYS and kind != "equivalent" for kind in kinds),
    }
    there = [(words, amount) for words, amount in found.items() if amount]

    def said(words: str, amount: int) -> str:
        return f"{'is' if amount == 1 else 'are'} inconclusive" if words == "inconclusive" else words

    if len(there) == 1:
        (words, amount) = there[0]
        whole = f"the other {called}" if amount == 1 else f"the other {COUNTED[amount] if few else ''} {called}s"
        return f"{' '.join(whole.split())} {said(words, amount)}"
    parts = [f"{COUNTED[amount] if few else 'some'} {said(words, amount if few else 2)}" for words, amount in there]
    return f"of the other {COUNTED[len(kinds)] + ' ' if few else ''}{called}s, {listed(parts)}"


def decided(row: Row) -> str:
    """Return the decision on a primary comparison without numbers but a margin, and without a stop."""
    a, b = _sides(row)
    means = [
        f"{axis} {listed(list(values))}" for axis, values in mapping(row.get("pooled")).items() if axis != row["axis"]
    ]
    over = f" (mean over {listed(means)})" if means else ""
    what = f"{label(row)}{where(text_of(row, 'environment'))}{over}"
    margin = number(numeric(row, "margin"))
    decision = text_of(row, "decision")
    way, small = WAYS.get(decision, ("", False))
    verdicts = {
        "equivalent": f"{a} and {b} are equivalent in {what} within {margin}",
        "inconclusive": f"{what} of {a} against {b} is inconclusive{why_open(row)}",
    }
    small_words = f", but by less than {margin}" if small else ""
    higher = f"{what} is {way} with {a} than with {b}" if over_doses(row) else f"{a} has a {way} {what} than {b}"
    shown_way = higher + small_words
    verdict = verdicts.get(decision, shown_way)
    return f"{place(row)}, {verdict}"


def _looked(row: Row) -> str:
    """Return at which look it was decided, and the estimate of later seeds; empty where there was no early look."""
    about = (Code.DECIDED_EARLY, Code.LATER_ESTIMATE)
    causes = tuple(cause for cause in reason_of(row).causes if cause.code in about)
    return f" {sentence_case(reason_words(Reason(causes)))}." if causes else ""


def _deciding(row: Row, *, short: bool = False) -> str:
    """Return `difference -0.04 [-0.07, -0.01] (97.5% interval), p = 0.01 after correction, 10 seeds`."""
    value, low, high = (numeric(row, name) for name in ("value", "decision_low", "decision_high"))
    if math.isnan(value):
        return _why(row)
    if math.isnan(low):
        return f"difference {signed(value, 2)}, not tested ({_why(row)})"
    level = f"{100 * numeric(row, 'decision_level'):.3g}% interval"
    equal = " for equivalence" if text_of(row, "decision") == "equivalent" else ""
    tested = f"{p_value(numeric(row, 'decision_p'))}{equal}"
    more = "" if short else f" after correction, {seeds_of(row)}"
    return f"difference {difference_words(value, low, high)} ({level}), {tested}{more}"


def why_open(row: Row) -> str:
    """Return why a comparison is open in spite of its p-value; empty where its interval alone leaves it open."""
    reasons = {
        EXHAUSTED: f" ({EXHAUSTED}: all values are {reason_words(row.get('exhausted'))})",
        "depends on the scale": ", since it depends on the scale",
        UNCLAIMED: ", since a control failed",
    }
    return reasons.get(text_of(row, "conclusion"), "")


def _settling(row: Row) -> str:
    """Return the smallest margin of equivalence, and the seeds or patients that would settle an open comparison."""
    least, seeds, patients = (numeric(row, name) for name in ("least_margin", "seeds_needed", "patients_needed"))
    margin = "" if math.isnan(least) else f" It would be equivalent within {math.ceil(1000 * least) / 1000:.3f}."
    if not math.isnan(seeds):
        return f"{margin} {seeds:,.0f} seeds would settle it."
    if patients == 0:
        return f"{margin} More seeds alone cannot settle it: the probe's own error within each model is too large."
    if not math.isnan(patients):
        return f"{margin} More seeds alone cannot settle it; {patients:,.0f} test patients with 40 seeds would."
    return margin


def decisions(found: Decisions) -> str:
    """Return how many comparisons of each role are decided, and how; controls apart."""
    parts = [_tallied(tally) for tally in found.tallies]
    if found.controls:
        parts.append(f"{found.passed} of {count(found.controls, 'control')} passed")
    return f"{sentence_case('; '.join(parts))}."


def _tallied(tally: Tally) -> str:
    kinds = {
        "different": tally.different,
        "different by less than the margin": tally.small,
        "equivalent": tally.equivalent,
        "inconclusive": tally.count - tally.decided,
    }
    counts = ", ".join(f"{number} {kind}" for kind, number in kinds.items() if number)
    return f"{tally.decided} of {count(tally.count, f'{tally.role} comparison')} decided ({counts})"


def difference(found: Comparison) -> str:
    """State the result of a comparison, with both recipes' values, its interval, its p and its seeds."""
    row = found.row
    called, there = label(row), where(text_of(row, "environment"))
    a, b = _sides(row)
    values = _both(found.sides) if found.sides else ""
    tested = f"difference {', '.join(_decided(row))}{both_scales(row)}, {seeds_of(row)}"
    if over_doses(row) and row.get("conclusion") in _OVER_DOSES:
        changes = _OVER_DOSES[str(row["conclusion"])].format(a=a, b=b)
        return f"{called}{there} {changes}{_within(found)}: {tested}.{first_sign(row)}"
    if under_seeds(row):
        sides = f"{values}, " if values else ""
        return f"{called} of {a} against {b}{there}: {sides}difference {value_of(row)}, not tested."
    numbers = f"{values} ({tested})" if values else tested
    conclusion = row.get("conclusion")
    if conclusion in SHOWN:
        return f"{a} had a {conclusion} {called} than {b}{there}{_within(found)}: {numbers}.{first_sign(row)}"
    if conclusion == "equivalent":
        margin = number(numeric(row, "margin"))
        return f"{a} and {b} were equivalent in {called}{there} within {margin}: {numbers}."
    if conclusion == EXHAUSTED:
        return f"{called} of {a} and {b}{there} leaves no room for a difference{_exhausted(row)}: {numbers}."
    if conclusion == "inconclusive":
        return f"whether {a} and {b} differ in {called}{there} is inconclusive{_not_worse(row, a)}: {numbers}."
    if conclusion == UNCLAIMED:
        return f"no difference in {called} between {a} and {b}{there} is claimed: {_why(row)}."
    return f"the comparison of {a} with {b} in {called}{there} has no result: {_why(row)}."


def _short(found: Comparison, *, same: bool) -> str:
    """State the result of a comparison after the leading one: `still` where both agree."""
    row = found.row
    a, b = _sides(row)
    still = "still " if same else ""
    if under_seeds(row):
        return f"the difference in {label(row)} between {a} and {b} was {value_of(row)}: not tested."
    if row.get("conclusion") == "undefined":
        return f"the comparison of {a} with {b} has no result: {_why(row)}."
    verdicts = {
        "higher": f"{a} {still}higher{_within(found)}",
        "lower": f"{a} {still}lower{_within(found)}",
        "equivalent": f"equivalent within {number(numeric(row, 'margin'))}",
        EXHAUSTED: f"no room for a difference{_exhausted(row)}",
    }
    ending = verdicts.get(text_of(row, "conclusion"), f"inconclusive{_not_worse(row, a)}")
    value, tested = _decided(row)
    return f"the difference in {label(row)} between {a} and {b} was {value} ({tested}): {ending}."


def _why(row: Row) -> str:
    return reason_words(reason_of(row)) or "no value"


def corrected(row: Row) -> str:
    """Return the p-value within its family; the interval next to it is of this comparison alone."""
    return f"{p_value(numeric(row, 'p_holm'))} after correction"


def _decided(row: Row) -> tuple[str, str]:
    """Return the difference, and the p of the test that its conclusion rests on, either of them with the interval."""
    if row.get("conclusion") == "equivalent":
        return signed(numeric(row, "value"), decimals(numeric(row, "standard_error"))), equivalence_interval(row)
    return value_of(row), corrected(row)


def _both(sides: Sequence[Value]) -> str:
    """`0.912 [0.902, 0.920] against 0.901 [0.890, 0.911]`: both with the decimals that they have in common."""
    places = common_decimals(half_widths(sides))
    return " against ".join(shown(side, places) for side in sides)


def _exhausted(row: Row) -> str:
    """` (scale exhausted: all values are within 0.10 of 1)`."""
    return f" ({EXHAUSTED}: all values are {reason_words(row.get('exhausted'))})"


def _within(found: Comparison) -> str:
    """`, but by less than 0.02 (90% CI ...)`: of a shown difference that is also shown to be under the margin."""
    row = found.row
    if not found.small:
        return ""
    tested = (
        f"{p_value(numeric(row, 'noninferiority_p'))}, one-sided"
        if found.small == "noninferiority"
        else equivalence_interval(row)
    )
    return f", but by less than {number(numeric(row, 'margin'))} ({tested})"


def _not_worse(row: Row, a: str) -> str:
    """`, but arcface was not worse by 0.05 or more (p = 0.01, one-sided)`, where the one-sided test shows it."""
    p = numeric(row, "noninferiority_p")
    if not p < NONINFERIORITY_ALPHA:
        return ""
    return f", but {a} was not worse by {number(numeric(row, 'margin'))} or more ({p_value(p)}, one-sided)"


_OVER_DOSES: Mapping[str, str] = {
    "higher": "was higher with {a} than with {b}",
    "lower": "was lower with {a} than with {b}",
    "depends on the scale": "differs between {a} and {b} or not, depending on the scale",
}
"""Conclusion on a dose-response -> the words between the change that is compared and its numbers."""


def both_scales(row: Row) -> str:
    """` (0.02 plain, 0.30 probit)`: the p-values of the two scales of a dose-response, before correction."""
    if not over_doses(row) or math.isnan(numeric(row, "plain_p")):
        return ""
    plain, probit = (_bare_p(numeric(row, name)) for name in ("plain_p", "probit_p"))
    return f" ({plain} plain, {probit} probit, before it)"


def _bare_p(p: float) -> str:
    """A p-value without its letter: `0.02`, `< 0.001`."""
    _, _, value = p_value(p).partition(" ")
    return value.removeprefix("= ")


def seeds_of(row: Row) -> str:
    """Return how many seeds a comparison rests on."""
    return count(int(numeric(row, "seeds")), "seed") if not math.isnan(numeric(row, "seeds")) else "no seed"


def first_sign(row: Row) -> str:
    """`With 3 seeds this is a first sign; ...`, after a difference that is shown on so few; else empty."""
    few = row.get("conclusion") in SHOWN and numeric(row, "seeds") < FIRST_SIGN_UNDER
    return f" With {seeds_of(row)} this is a first sign; confirm it with more seeds." if few else ""


def _sides(row: Row) -> tuple[str, str]:
    axis = text_of(row, "axis")
    return named(axis, text_of(row, "a")), named(axis, text_of(row, "b"))
