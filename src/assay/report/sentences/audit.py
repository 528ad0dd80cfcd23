"""Sentences on the verdicts of an audit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from assay.report.sentences.reasons import reason_words
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
    "it too, so that 'relies on' is not distinguished from 'affected by'."
)
_OPEN: Mapping[str, str] = {
    "swing": "the swing",
    "loss": "the loss of AUROC",
    "flips": "the share of changed calls",
    "dice": "the loss of Dice",
    "stray": "the area wrongly called lesion",
    "other-dose": "another dose",
}


def title(row: Row, margin: str) -> str:
    """Return a verdict as a heading."""
    factor = in_words(row["factor"])
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


def check_words(row: Row) -> str:
    """Return the outcome of a check with its number, where it has one."""
    return row["text"] if math.isnan(row["value"]) else f"{row['text']}: {row['value']:.4g}"


def _bounded(row: Row, name: str) -> str:
    low, high = ("low", "high") if name == "g" else (f"{name}_low", f"{name}_high")
    sign = "+" if row[name] > 0 and name == "g" else ""
    return f"{sign}{number(row[name], 3)} [{number(row[low], 3)}, {number(row[high], 3)}]"


def headline(rows: Sequence[Row], name: str) -> list[str]:
    """Return the answer: what the model's answers change with, then what stays open."""
    harmful = [in_words(row["factor"]) for row in rows if row["verdict"] in HARMFUL]
    open_ = [row for row in rows if row["verdict"] == Verdict.INCONCLUSIVE]
    none = [row for row in rows if row["verdict"] in (Verdict.NO_EFFECT, Verdict.NO_DIFFERENCE)]
    made: list[str] = []
    if harmful:
        made.append(f"The answers of {name} change with {listed(harmful)}.")
    elif open_ or not none:
        made.append(f"No tested factor is shown to change the answers of {name}, and some stay inconclusive.")
    else:
        made.append(f"No tested factor changes the answers of {name} by as much as the margin.")
    if harmful and open_:
        made.append(f"Inconclusive: {listed([in_words(row['factor']) for row in open_])}.")
    return made


NOT_ESTABLISHED = (
    "A mark that was not tested, or is drawn differently, may have an effect: a battery of marks clears no model.",
    "A column stands for everything that goes with it, such as age, disease severity or the device.",
    "Independence of these images from the training images is not established.",
    "Readers and the reference standard of the labels are not assessed.",
    "The error rates of these verdicts are not calibrated for this domain.",
)
"""Limits of every audit."""
METHODS = (
    "The swing g compares the same images with and without a mark: half of the AUROC with the mark on positives alone "
    "less that with it on negatives alone. It lies between -0.5 and 0.5, and is positive where the mark raises scores. "
    "For a column, images of a group are compared with all others.",
    "Brackets are one-sided 95% bounds over patients. A verdict needs a bound beyond the margin; 'no effect' needs the "
    "upper bounds of |g|, of the AUROC lost and of the share of changed calls below it at all three doses.",
    "Verdicts are about the middle dose. Intervals in the tables of groups and gaps hold together at 95%.",
)
