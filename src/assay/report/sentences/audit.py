"""Sentences on the verdicts of an audit."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from assay.report.sentences.reasons import reason_words
from assay.report.words import difference_words
from assay.stats.format import count, in_words, listed, number
from assay.stats.verdicts import Verdict
from assay.store.files import Row

_TITLES: Mapping[str, str] = {
    Verdict.RELIES: "Relies on {factor}",
    Verdict.AFFECTED: "Affected by {factor}",
    Verdict.UNDIRECTED: "Affected by {factor}, without direction",
    Verdict.DIFFERS: "Answers differ with {factor}",
    Verdict.INCONCLUSIVE: "{factor}: inconclusive",
    Verdict.NO_EFFECT: "No effect of {margin} or more: {factor}, as drawn",
    Verdict.NO_DIFFERENCE: "No difference of {margin} or more by {factor}",
    "not-tested": "{factor}: not tested",
}
HARMFUL = (Verdict.RELIES, Verdict.AFFECTED, Verdict.UNDIRECTED, Verdict.DIFFERS)
"""Verdicts that an answer leads with."""
NO_REFERENCE = (
    "No reference networks were read for this domain. Networks that never saw a mark in training can be affected by "
    "it too, so that 'relies on' is not distinguished from 'affected by'. `assay audit --references 59` trains some on "
    "these images."
)
_OPEN: Mapping[str, str] = {
    "swing": "the swing",
    "loss": "the loss of AUROC",
    "flips": "the share of changed calls",
    "dice": "the loss of Dice",
    "stray": "the area wrongly called lesion",
    "other-dose": "another dose",
}


def references_words(facts: Mapping[str, str]) -> str:
    """Return which reference networks there are, and what they share with the model."""
    found = facts.get("references", "none")
    if "references read" in facts:
        found = f"{found} at {facts['references read']}"
    if "references trained on" not in facts:
        return found
    return (
        f"{found}, trained on {facts['references trained on']} of the same source: a shortcut of these "
        "images that is no mark is theirs too"
    )


def factor_words(row: Row) -> str:
    """Return the name of a mark or column in words."""
    name = in_words(row["factor"])
    return name.replace("-", " ") if row.get("kind") == "mark" else name


def title(row: Row, margin: str) -> str:
    """Return a verdict as a heading."""
    factor = factor_words(row)
    text = _TITLES[row["verdict"]].format(factor=factor, margin=margin)
    return text[:1].upper() + text[1:]


def evidence(row: Row) -> str:
    """Return the numbers behind a verdict in one or two sentences; empty where nothing was measured."""
    if row["verdict"] == "not-tested":
        return f"Not tested: {reason_words(row['reason'])}."
    of = f" ({row['class']} against the rest)" if row["class"] else ""
    swings = not math.isnan(row["g"])
    parts = [f"Swing {_bounded(row, 'g')}{of}, {count(int(row['images']), 'image')}."] if swings else []
    if not math.isnan(row["dice"]):
        parts.append(
            f"Dice lost: {_bounded(row, 'dice')}; increase of the area wrongly called lesion, as a share of the image: "
            f"{_bounded(row, 'stray')}."
        )
    if row["kind"] == "mark" and not swings:
        parts.append(f"Changed calls: {number(100 * row['flips'], 1)}%.")
    elif row["kind"] == "mark":
        side = "positives" if row["g"] < 0 else "negatives"
        parts.append(
            f"AUROC lost with the mark on {side} alone: {_bounded(row, f'loss_{side}')}; on all images: "
            f"{_bounded(row, 'loss')}. Changed calls: {number(100 * row['flips'], 1)}%."
        )
        if not math.isnan(row["limit"]) and row["verdict"] in (Verdict.RELIES, Verdict.AFFECTED):
            side = "beyond" if row["verdict"] == Verdict.RELIES else "not beyond"
            parts.append(f"This is {side} the limit of reference networks, {number(row['limit'], 3)}.")
    if row["open"]:
        names = listed([_OPEN[one] for one in row["open"].split()])
        needed = row["needed"]
        more = "" if math.isnan(needed) else f"; about {needed:,.0f} images would settle it"
        parts.append(f"Not settled: {names}{more}.")
    return " ".join(parts)


def verdict_line(row: Row, margin: str) -> str:
    """Return a verdict with its main number, as one line of a terminal."""
    head = title(row, margin)
    if row["verdict"] == "not-tested":
        return f"{head}: {reason_words(row['reason'])}"
    parts = [strength(row)] if not math.isnan(row["g"]) else []
    if not math.isnan(row["dice"]):
        parts.append(f"Dice lost {_bounded(row, 'dice')}")
    if row["open"] and row["open"] != "swing":
        parts.append(f"not settled: {listed([_OPEN[one] for one in row['open'].split()])}")
    if row["open"] and not math.isnan(row["needed"]):
        parts.append(f"about {row['needed']:,.0f} images would settle it")
    return "; ".join([head, *parts])


def check_words(row: Row) -> str:
    """Return the outcome of a check with its number, where it has one."""
    told = row["check"] == "expected" or (row["check"] == "repeatable" and row["status"] == "ok")
    return row["text"] if told or math.isnan(row["value"]) else f"{row['text']}: {row['value']:.4g}"


def _bounded(row: Row, name: str) -> str:
    low, high = ("low", "high") if name == "g" else (f"{name}_low", f"{name}_high")
    shown = difference_words(row[name], row[low], row[high])
    return shown if name == "g" else shown.lstrip("+")


def strength(row: Row) -> str:
    """Return the swing with its bounds."""
    return f"swing {_bounded(row, 'g')}"


def _families(rows: Sequence[Row]) -> list[list[Row]]:
    """Return harmful rows by family and direction, each led by the most harmful mark; a column is alone.

    Those that the model relies on come first, then marks and columns by the size of their swing.
    """
    found: list[list[Row]] = []
    for row in rows:
        if row["verdict"] in HARMFUL:
            kin = next((one for one in found if _akin(one[0], row)), None)
            if kin is None:
                found.append([row])
            else:
                kin.append(row)
    return sorted(found, key=lambda family: _weight(family[0]))


def _weight(row: Row) -> tuple[bool, bool, float]:
    undirected = row["verdict"] == Verdict.UNDIRECTED
    return row["verdict"] != Verdict.RELIES, undirected, 0.0 if math.isnan(row["g"]) else -abs(row["g"])


def _akin(first: Row, row: Row) -> bool:
    """Return whether marks look alike and do not move answers in opposite directions."""
    undirected = Verdict.UNDIRECTED in (first["verdict"], row["verdict"])
    return bool(row.get("family")) and first.get("family") == row["family"] and (
        undirected or not first["g"] * row["g"] < 0
    )  # fmt: skip


def headline(rows: Sequence[Row], name: str) -> list[str]:
    """Return the answer: the factors that change the answers of the model, then the inconclusive ones."""
    harmful = _families(rows)

    def words(family: Sequence[Row]) -> str:
        first, *kin = family
        return factor_words(first) + (f" (and marks like it: {listed(list(map(factor_words, kin)))})" if kin else "")

    open_ = [row for row in rows if row["verdict"] == Verdict.INCONCLUSIVE]
    none = [row for row in rows if row["verdict"] in (Verdict.NO_EFFECT, Verdict.NO_DIFFERENCE)]
    made: list[str] = []
    if harmful:
        relied = [words(one) for one in harmful if one[0]["verdict"] == Verdict.RELIES]
        made.append(f"{_answer(name, relied, [words(one) for one in harmful[len(relied) :]])}.")
    elif not (open_ or none):
        made.append(f"No mark or column of {name} was tested.")
    elif open_:
        made.append(f"No tested factor is shown to change the answers of {name}, and some stay inconclusive.")
    else:
        made.append(f"No tested factor changes the answers of {name} by as much as the margin.")
    if harmful and open_:
        made.append(f"Inconclusive: {listed([factor_words(row) for row in open_])}.")
    return made


MOST_NAMED = 3


def verdict(rows: Sequence[Row], name: str) -> str:
    """Return the answer in one sentence without numbers, with the most harmful factors by name."""
    harmful = [factor_words(first) + (" (and marks like it)" if kin else "") for first, *kin in _families(rows)]
    if not harmful:
        return headline(rows, name)[0]
    named = harmful if len(harmful) <= MOST_NAMED + 1 else [*harmful[:MOST_NAMED], "other factors"]
    relied = sum(first["verdict"] == Verdict.RELIES for first, *_ in _families(rows))
    left = sum(row["verdict"] == Verdict.INCONCLUSIVE for row in rows)
    rest = "" if not left else "; another one is inconclusive" if left == 1 else "; others are inconclusive"
    return f"{_answer(name, named[:relied], named[relied:])}{rest}."


def _answer(name: str, relied: list[str], others: list[str]) -> str:
    """Return what a model relies on, which is said first, and what else changes its answers."""
    parts = [f"{verb} {listed(named)}" for verb, named in (("rely on", relied), ("change with", others)) if named]
    return f"The answers of {name} {', and '.join(parts)}"


def done(facts: Mapping[str, str], rows: Sequence[Row]) -> list[str]:
    """Return two sentences on the images and on what was changed in them."""
    of = f" of {facts['patients']} patients" if "patients named" in facts else ""
    read = "The model read" if any(row["kind"] == "mark" for row in rows) else "The answers are to"
    classes = f": {facts['classes']}" if "classes" in facts else ""
    made = [f"{read} {facts['images'].partition(' of ')[0]} images{of}{classes}."]
    marks = sum(row["kind"] == "mark" for row in rows)
    columns = sum(row["kind"] == "column" for row in rows)
    by = f"compared between the groups of {count(columns, 'column')}" if columns else ""
    if marks and "images under marks" in facts:
        again = f"{facts['images under marks']} of them were read again with {count(marks, 'mark')} at three strengths"
        made.append(f"{again}{f', and answers were {by}' if by else ''}.")
    elif by:
        made.append(f"Answers were {by}.")
    return made


MEANINGS: Mapping[str, str] = {
    Verdict.RELIES: "The effect is beyond that on reference networks that never saw the mark in training. Next: remove "
    "the mark from images, or retrain with it in both classes, and audit again.",
    Verdict.AFFECTED: "The effect exceeds the margin. Not established: that the model learned the mark; a network that "
    "never saw it can be affected too. Next: count the mark in each class, and compare with reference networks.",
    Verdict.UNDIRECTED: "AUROC or calls change by more than the margin, but scores move in no one direction. Next: "
    "count the mark where the model will be used.",
    Verdict.DIFFERS: "Not established: the cause, since a column goes with disease severity or the device. Next: "
    "compare groups of equal severity.",
    Verdict.INCONCLUSIVE: "Neither an effect nor its absence is shown. Next: audit more images.",
    Verdict.NO_EFFECT: "All bounds are below the margin at three strengths, for the mark as drawn.",
    Verdict.NO_DIFFERENCE: "All bounds are below the margin for the groups of these columns.",
}
"""Verdict -> its meaning, its limit, and the next step."""

CHIPS: Mapping[tuple[str, str], str] = {
    ("repeatable", "ok"): "same images, same answers",
    ("repeatable", "warn"): "answers differ when asked again: fix the model's randomness",
    ("reading", "warn"): "the model may be read wrongly: see Checks",
    ("scaling", "warn"): "another scaling gives a higher AUROC: see Checks",
    ("patients", "warn"): "patients unknown: name their column",
    ("few-patients", "warn"): "few patients: intervals are too narrow",
    ("copies", "ok"): "no copies among the images",
    ("copies", "warn"): "copies among the images: remove them",
    ("contradictions", "warn"): "copies with other labels: look at them",
    ("near-copies", "warn"): "near copies across patients: look at them",
    ("training-images", "not-done"): "independence of the training images not established",
    ("pixels", "not-done"): "predictions only: no mark was tested",
}
"""Check and its status -> its chip."""

NOT_ESTABLISHED = (
    "A mark that was not tested, or is drawn differently, may have an effect: a battery of marks clears no model.",
    "Marks that look alike move answers alike: the one that was learned is not established.",
    "A column stands for everything that goes with it, such as age, disease severity or the device.",
    "Readers and the reference standard of the labels are not assessed.",
)
"""Limits of every audit."""
NOT_APART = "Independence of these images from the training images is not established."
"""A limit unless training images were given, and share neither an image nor a patient."""


def not_established(tables: Mapping[str, Sequence[Row]]) -> tuple[str, ...]:
    """Return the limits of an audit, from its tables."""
    apart = {row["check"] for row in tables["checks"] if row["status"] == "ok"} >= {
        "training-copies",
        "training-patients",
    }
    limits = (*NOT_ESTABLISHED, *(() if apart else (NOT_APART,)), *_of_another_size(tables))
    rates = tables["rates"]
    if not rates:
        return (*limits, "The error rates of these verdicts are not calibrated for this domain.")
    wrong = next(row for row in rates if row["rate"].startswith("audits of clean networks"))
    return (
        *limits,
        f"Error rates hold for small networks on such images: 'relies on' was found in {wrong['count']} of "
        f"{wrong['among']} audits of networks that never saw a mark (at most {number(100 * wrong['high'], 1)}%).",
    )


def _of_another_size(tables: Mapping[str, Sequence[Row]]) -> Iterator[str]:
    """Yield which marks are not compared with reference networks, as these read images of another size."""
    facts = {row["key"]: row["value"] for row in tables["provenance"]}
    side, own = facts.get("references read", ""), facts.get("size", "").partition(",")[0]
    names = [factor_words(row) for row in tables["verdicts"] if row["kind"] == "mark" and math.isnan(row["limit"])]
    if "references" in facts and side != own and names:
        yield (
            f"The reference networks read images of {side or 'several sizes'} and the model of {own}, where "
            f"{listed(names)} change other details: 'relies on' is not claimed of them."
        )


SWING = "Swing: half of the AUROC with a mark on positives alone less that with it on negatives alone (-0.5 to 0.5)."
METHODS = (
    f"{SWING} It is positive where the mark raises scores. For a column, a group is compared with all other images.",
    "Brackets are one-sided 95% bounds over patients. A verdict needs a bound beyond the margin; 'no effect' needs the "
    "upper bounds of |g|, of the AUROC lost and of the share of changed calls below it at all three doses.",
    "Verdicts are about the middle dose. Intervals in the tables of groups and gaps hold together at 95%.",
)
