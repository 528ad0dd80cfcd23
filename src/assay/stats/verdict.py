"""The page's words, made from rows of the tables and from nothing else.

Rows are plain mappings with the columns of `store.schema` (CONTRASTS, ESTIMATES, TRIALS, ENVIRONMENTS); a sentence is a
row of SENTENCES. A recipe *relies on* a factor when changing it changes the output, *encodes* it when it can be decoded
from a layer: two verbs, never exchanged. What was not shown is never called no difference.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import asdict

from assay.core.measure_words import better
from assay.core.measures import range_of
from assay.stats.compare import ALPHA
from assay.stats.cost import cost
from assay.stats.doubts import doubts
from assay.stats.format import common_decimals, count, in_words, listed, number, p_value
from assay.stats.kept import without_seeds
from assay.stats.measures import MEASURES
from assay.stats.quiet import quiet
from assay.stats.relied import relied
from assay.stats.rows import (
    MATCHED,
    SHOWN,
    Row,
    Sentence,
    find,
    first_sign,
    label,
    mapping,
    numeric,
    over_doses,
    place,
    seeds_of,
    text_of,
    under_seeds,
    value_of,
    where,
)
from assay.stats.slice import named

MOST_AXES = 2
"""An answer tells of the comparisons of so many axes; the table has all."""
_NONE = "No comparison was stated, so nothing is claimed about differences."
MATCHING = {"matched-fit": "at matched fit", MATCHED: "where both are equally good without a dose"}
"""How comparisons are made that stand beside one at equal budget or of all amounts -> its words."""


def verdict(
    contrasts: Sequence[Row],
    estimates: Sequence[Row],
    trials: Sequence[Row] = (),
    environments: Sequence[Row] = (),
    leakage: Sequence[str] | None = None,
    seeds: tuple[int, int] | None = None,
    dosed: str = "",
    cautions: Sequence[str] = (),
    interventions: Collection[str] = (),
) -> list[dict[str, str]]:
    """Every sentence of a study's first screen, in order: answers, limits, doubts, as rows of SENTENCES.

    leakage: what the leakage check found, as sentences; None when none was made.
    seeds: how many were planned when results first existed, and how many now. dosed: the axis of the doses, or empty.
    cautions: what is to be known of the data beside, as sentences. interventions: the study's changes to pixels.
    """
    contrasts = [{**row, "reason": without_seeds(text_of(row, "reason"), trials)} for row in contrasts]
    sentences = [
        *answers(contrasts, estimates, interventions),
        *limits(contrasts, estimates),
        *doubts(contrasts, estimates, trials, environments, leakage, seeds, dosed, cautions),
    ]
    return [asdict(sentence) for sentence in sentences]


# --- the answer -----------------------------------------------------------------------------------------------------


def answers(contrasts: Sequence[Row], estimates: Sequence[Row], interventions: Collection[str] = ()) -> list[Sentence]:
    """What the recipes relied on, what the shift cost, what the comparisons of each axis found, whether it held at
    equal fit. Of a dose-response the comparisons come first: they are its question.
    """
    stated = [row for row in contrasts if not row.get("exploratory")]
    if not stated:
        late = f"{count(len(contrasts), 'comparison')}, added or changed after results were known, can claim nothing"
        none = f"{late}: stated before results, in a folder of their own, they could." if contrasts else _NONE
        return [*relied(estimates, None, interventions), Sentence("answer", none)]
    axes = [text_of(row, "axis") for row in stated]
    families = [
        [row for row in stated if text_of(row, "axis") == axis]
        for axis in sorted(dict.fromkeys(axes), key=lambda axis: -axes.count(axis))
    ]
    first = leading(families[0])
    compared = {text_of(row, "environment") for row in stated}
    performances = [row for row in families[0] if _of_all_images(row)]
    fell = leading(performances) if performances else None
    before = [
        *relied(estimates, first, interventions),
        *(quiet(stated, estimates, first) or cost(estimates, fell, compared)),
    ]
    said: list[Sentence] = []
    for own in families[:MOST_AXES]:
        main = leading(own)
        said.append(Sentence("answer", _found(own, main, estimates), evidence=text_of(main, "id")))
        for how in MATCHING:
            matched = _matched(own, main, how)
            if matched is not None:
                opens = f"{place(matched)}," if how == MATCHED else "At matched fit"
                said.append(Sentence("answer", f"{opens} {_short(matched, main)}", evidence=text_of(matched, "id")))
    return [*said, *reversed(before)] if over_doses(first) else [*before, *said]


def _of_all_images(row: Row) -> bool:
    """Whether what is compared is measured of all images of an environment, so that a fall of it can be told."""
    return text_of(row, "measure") in MEASURES and not (text_of(row, "factor") or text_of(row, "layer"))


def leading(contrasts: Sequence[Row]) -> Row:
    """The contrast that an answer leads with: at equal budget if there is one, the least p after and before Holm."""
    budget = [row for row in contrasts if row.get("at") not in MATCHING] or list(contrasts)
    return min(budget, key=lambda row: (_rank(numeric(row, "p_holm")), _rank(numeric(row, "p"))))


def _rank(p: float) -> float:
    return 2.0 if math.isnan(p) else p


def _found(contrasts: Sequence[Row], main: Row, estimates: Sequence[Row]) -> str:
    """How many comparisons of an axis showed what, and the surest of them."""
    told = f"{place(main)}, {difference(main, estimates)}"
    if len(contrasts) == 1:
        return told
    conclusions = [text_of(row, "conclusion") for row in contrasts]
    shown, equal = sum(kind in SHOWN for kind in conclusions), conclusions.count("equivalent")
    against = list(dict.fromkeys(text_of(row, "b") for row in contrasts))
    of = f"Of {count(len(contrasts), 'comparison')} of {in_words(text_of(main, 'axis'))}"
    of += f" with {against[0]}" if len(against) == 1 else ""
    alike = f", {equal} showed equivalence" if equal else ""
    lost = conclusions.count("undefined")
    alike += f", {lost} could not be tested" if lost and not shown else ""  # else the doubts alone tell it
    if all(kind == "undefined" for kind in conclusions):
        return f"{of}, none could be tested; the first: {told[:1].lower()}{told[1:]}"
    sure = main.get("conclusion") in SHOWN
    ways = dict.fromkeys(text_of(row, "at") for row in contrasts if text_of(row, "conclusion") in SHOWN)
    where = f", {listed([MATCHING[way] for way in ways])} alone" if shown and not sure else ""
    surest = all(_rank(numeric(main, "p_holm")) <= _rank(numeric(row, "p_holm")) for row in contrasts)
    link = "; the surest: " if sure and surest else "; one of them: " if sure else "; the nearest to it: "
    link = ": " if sure and shown == 1 and not equal else link
    return f"{of}, {shown or 'none'} showed a difference{where}{alike}{link}{told[:1].lower()}{told[1:]}"


def corrected(row: Row) -> str:
    """The p-value within its family; the interval beside it is of this comparison alone."""
    return f"{p_value(numeric(row, 'p_holm'))} after correction"


def difference(row: Row, estimates: Sequence[Row]) -> str:
    """What a contrast found, with both recipes' values, its interval, its p and the seeds it rests on."""
    called, there = label(row), where(row)
    a, b = _sides(row)
    levels = [find(estimates, row, side) for side in ("a", "b")]
    known = all(level is not None for level in levels)
    values = _both([level for level in levels if level is not None]) if known else ""
    found = f"difference {value_of(row)}, {corrected(row)}{both_scales(row)}, {seeds_of(row)}"
    if over_doses(row) and row.get("conclusion") in _OVER_DOSES:
        changes = _OVER_DOSES[str(row["conclusion"])].format(a=a, b=b)
        return f"{called}{there} {changes}{_within(row)}: {found}.{first_sign(row)}"
    if under_seeds(row):
        sides = f"{values}, " if known else ""
        return f"{called} of {a} against {b}{there}: {sides}difference {value_of(row)}, not tested."
    shown = f"{values} ({found})" if known else found
    conclusion = row.get("conclusion")
    if conclusion in ("higher", "lower"):
        return f"{a} had a {conclusion} {called} than {b}{there}{_within(row)}: {shown}.{first_sign(row)}"
    if conclusion == "equivalent":
        margin = number(numeric(row, "margin"))
        return f"{a} and {b} were equivalent in {called}{there} within {margin}: {shown}."
    if conclusion == "not shown":
        return f"a difference in {called} between {a} and {b}{there} was not shown{_not_worse(row, a)}: {shown}."
    return f"the comparison of {a} with {b} in {called}{there} is undefined: {text_of(row, 'reason') or 'no value'}."


def _both(levels: Sequence[Row]) -> str:
    """`.912 [.902, .920] against .901 [.890, .911]`: both with the decimals that they have in common."""
    places = common_decimals((numeric(level, "high") - numeric(level, "low")) / 2 for level in levels)
    return " against ".join(value_of(level, places) for level in levels)


def _within(row: Row) -> str:
    """`, but by less than .02`: of a difference that is shown, and shown to be smaller than the margin too.

    That is equivalence, or of a worse recipe non-inferiority: the two say one thing of a difference to the worse.
    """
    conclusion, good = row.get("conclusion"), better(text_of(row, "measure"))
    worse = bool(good) and conclusion != good
    small = numeric(row, "equivalence_p") < ALPHA or (worse and numeric(row, "noninferiority_p") < ALPHA)
    return f", but by less than {number(numeric(row, 'margin'))}" if conclusion in SHOWN and small else ""


def _not_worse(row: Row, a: str) -> str:
    """`, but arcface was not worse by .05 or more`, where the one-sided test shows it."""
    if not numeric(row, "noninferiority_p") < ALPHA:
        return ""
    return f", but {a} was not worse by {number(numeric(row, 'margin'))} or more"


_OVER_DOSES = {
    "higher": "was higher with {a} than with {b}",
    "lower": "was lower with {a} than with {b}",
    "depends on the scale": "differs between {a} and {b} or not, depending on the scale",
}
"""What a dose-response amounts to -> the words between the change that is compared and its numbers."""


def both_scales(row: Row) -> str:
    """` (.02 plain, .30 probit)`: the p-values of the two scales of a dose-response, before correction."""
    if not over_doses(row) or math.isnan(numeric(row, "plain_p")):
        return ""
    ends = [p_value(numeric(row, name)).removeprefix("p ").removeprefix("= ") for name in ("plain_p", "probit_p")]
    return f" ({ends[0]} plain, {ends[1]} probit, before it)"


def _sides(row: Row) -> tuple[str, str]:
    axis = text_of(row, "axis")
    return named(axis, text_of(row, "a")), named(axis, text_of(row, "b"))


def _short(row: Row, main: Row) -> str:
    """What a contrast found, beside the one that an answer leads with: `still` where both found the same."""
    a, b = _sides(row)
    still = "still " if row.get("conclusion") == main.get("conclusion") else ""
    if under_seeds(row):
        return f"the difference in {label(row)} between {a} and {b} was {value_of(row)}: not tested."
    if row.get("conclusion") == "undefined":
        return f"the comparison of {a} with {b} is undefined: {text_of(row, 'reason') or 'no value'}."
    verdicts = {
        "higher": f"{a} {still}higher{_within(row)}",
        "lower": f"{a} {still}lower{_within(row)}",
        "equivalent": f"equivalent within {number(numeric(row, 'margin'))}",
    }
    ending = verdicts.get(text_of(row, "conclusion"), f"not shown{_not_worse(row, a)}")
    return f"the difference in {label(row)} between {a} and {b} was {value_of(row)} ({corrected(row)}): {ending}."


def _matched(contrasts: Sequence[Row], main: Row, how: str) -> Row | None:
    """The comparison of the same two matched so, which holds all that the leading one holds but what it runs along."""
    keys = ("a", "b", "measure", "environment", "factor", "layer")
    held = mapping(main.get("where"))
    same = [
        row
        for row in contrasts
        if row.get("at") == how
        and row is not main
        and all(text_of(row, key) == text_of(main, key) for key in keys)
        and all(str(held.get(axis)) == str(value) for axis, value in mapping(row.get("where")).items())
    ]
    return same[0] if same else None


# --- what it does not show ------------------------------------------------------------------------------------------


def limits(contrasts: Sequence[Row], estimates: Sequence[Row]) -> list[Sentence]:
    """What the numbers leave open, one sentence each, all beginning `What this does not show:`."""
    stated = [row for row in contrasts if not row.get("exploratory")]
    open_ = [row for row in stated if row.get("conclusion") in ("not shown", "depends on the scale")]
    measures = {text_of(row, "measure") for row in estimates}
    found: list[str] = []
    if open_:
        of = f"{len(open_)} of {count(len(stated), 'comparison')}"
        found.append(f"that there is no difference where none was shown ({of}){_reach(open_)}")
    if stated and not any(row.get("at") in MATCHING for row in stated):
        found.append(_unmatched(stated))
    if "decodability" in measures:
        found.append("that a factor is used because a layer encodes it: decoding is not use")
    environments = sorted({text_of(row, "environment") for row in stated if text_of(row, "environment")})
    if environments:
        found.append(f"anything about distributions other than those compared ({listed(environments)})")
    if any(row.get("exploratory") for row in contrasts):
        extra = sum(bool(row.get("exploratory")) for row in contrasts)
        found.append(f"a confirmed finding in {count(extra, 'comparison')} added after results were known")
    return [Sentence("limit", f"What this does not show: {text}.") for text in found]


def _unmatched(stated: Sequence[Row]) -> str:
    """What may pass for what is compared where nothing was matched."""
    if all(map(over_doses, stated)):
        return "whether a recipe keeps more or only had less to lose: performance without a dose was not matched"
    return "whether recipes differ in what they prefer or only in how fast they learn: fit was not matched"


def _reach(open_: Sequence[Row]) -> str:
    """What the design would find in comparisons that showed nothing, measure by measure; empty where that is not
    known.
    """
    found: dict[str, list[float]] = {}
    beyond = 0
    for row in open_:
        measure, size = text_of(row, "measure"), numeric(row, "detectable")
        low, high = range_of(measure)
        greatest = (high - low) * (2 if over_doses(row) else 1)  # one may rise by as much as the other falls
        if size <= greatest:
            found.setdefault(measure, []).append(size)
        beyond += size > greatest
    if len(found) > 1:
        said = [f"in {label({'measure': measure})} of {_between(sizes)} or more" for measure, sizes in found.items()]
        parts = [f"a difference {listed(said)}"]
    else:
        parts = [_least(sizes) for sizes in found.values()]
    parts += [f"not even the greatest difference there can be in {beyond} of them"] if beyond else []
    return f"; the design would find, four times in five, {', and '.join(parts)}" if parts else ""


def _between(sizes: Sequence[float]) -> str:
    """`.06 to .12`, from the surest comparison to the least sure."""
    ends = dict.fromkeys((number(min(sizes)), number(max(sizes))))
    return " to ".join(ends)


def _least(sizes: Sequence[float]) -> str:
    """The least differences that comparisons would find: `.03 or more in the surest of them, .19 in the least sure`."""
    low, high = number(min(sizes)), number(max(sizes))
    same = f"a difference of {low} or more"
    return same if low == high else f"{same} in the surest of them, of {high} or more in the least sure"
