"""Sentences on the region that predictions depend on, and on findings without a verified limit."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence

from assay.audit.request import FULL
from assay.audit.search.regions import ON_SOME, WITHOUT_PLACE
from assay.audit.tables import NOT_TESTED
from assay.core.reasons import Code, reason_of
from assay.report.sentences.reasons import reason_words
from assay.report.words import sentence_case
from assay.stats.format import in_words, join_words, number
from assay.stats.rows import REPORTED, LeadVerdict, Row, Verdict, json_object, leading_region, numeric

NOTE = (
    "These are places to look, not verdicts: none was shown to be a shortcut. To test one, add a mark or a column for "
    "it."
)
NO_LEADS = "None. This does not rule out a shortcut: one that is absent from these images cannot be found."
VALUES = "Value: for a property, the AUROC shift; for errors, their share in these images minus that in the others."
NOT_LOOKED_FOR = (
    "Not searched for: hair, stripes and dots at changing places, and the history of zoom or scaling. Turned "
    "shapes and shading are searched for only in kinds of images for which their limits are known. Shortcuts that are "
    "absent from these images cannot be found. A region weaker than the leading one is found only if a mark is "
    "repeated there."
)
_BANDS = ("below 1/32", "1/32 to 1/16", "1/16 to 1/8", "1/8 to 1/4", "above 1/4")
_RESOLUTION = 2
"""Band from which on images differ by what their resolution and compression leave."""
_WORDS: Mapping[str, tuple[str, str]] = {
    LeadVerdict.LIVES: (
        "Depends on {what}",
        "The effect exceeds that in networks without a shortcut, and images form two groups there, with and without "
        "something. A lesion that is always at one place would look like a mark: see the pictures.",
    ),
    LeadVerdict.LOOKS: (
        "Relies on {what}",
        "The effect exceeds that in networks without a shortcut, but images do not form two groups there.",
    ),
    LeadVerdict.LEAD: (
        "{what}: finding without a verified limit",
        "The content of this region changes answers. Networks without a shortcut have such a region too, and their "
        "limit is not known for this search and these images.",
    ),
    LeadVerdict.INCONCLUSIVE: (
        "{what}: inconclusive",
        "The effect is neither beyond the limit nor clearly below it.",
    ),
    LeadVerdict.NOTHING_FOUND: (
        "Nothing found{which}",
        "No region changes scores by more than the limit or, if none is known, by enough to report. "
        + NOT_LOOKED_FOR,
    ),
    NOT_TESTED: ("Not searched{which}", ""),
}  # fmt: skip
"""Verdict on a region -> its heading, and its meaning."""
SOUGHT: Mapping[str, str] = {
    "place": "fixed region", "whole": "orientation, spatial frequencies and gray levels",
    "drawn": "rarer repeated marks", "shape": "small shapes at changing places",
    "turned": "turned shapes at changing places",
}  # fmt: skip
"""Search -> its aim."""
_MOVED = 2.0
"""Standard deviations by which a mark moves the score of an image, for the power of a search."""


def place_words(row: Row) -> str:
    """Return a region in words."""
    kind, name = row["kind"], str(row["name"])
    match kind:
        case "border":
            return "border"
        case "corners":
            corner, _, other = name.partition(" ")[2].partition(" against ")
            return f"{corner} corner{f' (against one in the {other})' if other else ''}" if corner else "corners"
        case "mirror":
            return "direction that images face"
        case "band":
            return f"spatial frequencies {_BANDS[int(float(name))]} cycles per pixel"
        case "shape":
            return "small shape at changing places"
        case "turned":
            return "turned shape at changing places"
        case "shading":
            return "smooth shading"
        case "intensities":
            return "distribution of gray levels"
        case _:
            top, left, bottom, right = map(float, name.split(","))
    down, across = (min(2, int(1.5 * (low + high))) for low, high in ((top, bottom), (left, right)))
    if (down, across) == (1, 1):
        return "middle"
    if 1 in (down, across):
        return ("top", "", "bottom")[down] or ("left side", "", "right side")[across]
    return f"{('upper', '', 'lower')[down]} {('left', '', 'right')[across]} corner"


def what_words(row: Row) -> str:
    """Return the content of a region in words: a drawn mark, its tone, or its look."""
    place, tone = place_words(row), "bright" if row["bright"] else "dark"
    if row["of"] in WITHOUT_PLACE:
        return place if row["kind"] == "band" else f"{'the' if row['of'] == 'whole' else 'a'} {place}"
    if not row["discrete"]:
        return f"the look of the {place}"
    if row["kind"] == "border":
        return f"a {tone} border"
    where = "one of the corners" if place == "corners" else f"the {place}"
    return f"a {tone} mark in {where}" if is_drawn(row) else f"the brightness of {where}"


def is_drawn(row: Row) -> bool:
    """Return whether a region has something drawn, and not a tone."""
    return numeric(row, "shape") >= 0.5 or row["of"] in ON_SOME


def region_title(row: Row) -> str:
    """Return the verdict on a region as a heading."""
    which = " by region" if row["of"] == "place" else f" in {SOUGHT[row['of']]}"
    what = what_words(row) if row["kind"] else ""
    return sentence_case(_WORDS[row["verdict"]][0].format(what=what, which=which))


def region_meanings(rows: Sequence[Row]) -> dict[str, str]:
    """Return the verdicts on regions with their meanings."""
    verdicts_present = {row["verdict"] for row in rows}
    heads = {code: re.sub(r"{\w+}", "", words[0]).strip(" :").lower() for code, words in _WORDS.items()}
    return {heads[code]: words[1] for code, words in _WORDS.items() if code in verdicts_present and words[1]}


def region_size(row: Row) -> str:
    """Return the effect of a region and its limit, or why there are none."""
    if row["reason"]:
        return reason_words(row["reason"])
    per = "on an image " if row["of"] in ON_SOME else ""
    ends = (number(row[name], 2) for name in ("value", "value_low", "value_high"))
    has_limit = not math.isnan(numeric(row, "limit"))
    limit_text = f"limit {number(row['limit'], 2)}" if has_limit else f"reported from {number(row['least'], 2)} sd on"
    return "effect {}{} sd [{}, {}]; ".format(per, *ends) + limit_text


def region_evidence(row: Row) -> str:
    """Return the numbers behind the verdict on a region, or why there are none."""
    parts = [region_size(row)]
    if row["reason"]:
        return parts[0]
    if math.isnan(numeric(row, "limit")):
        parts.append(f"no limit from clean networks is known{' in training images' if row['trained'] else ''}")
    else:
        rates = {
            "false_rate": "wrong in {}% of clean networks",
            "missed_rate": "missed in {}% of networks with a shortcut",
        }
        rates_with_bounds = [
            f"{words.format(number(100 * row[rate], 1))} (at most {number(100 * row[f'{rate}_high'], 1)}%)"
            for rate, words in rates.items()
            if not math.isnan(numeric(row, rate))
        ]
        times = row["limit"] / row["largest"]
        scaled = f"{number(times, 2)} times " if times > 1 else ""
        scaled_by = ", scaled by the distance between the classes that remains without it" if times > 1 else ""
        parts[0] += f", {scaled}the largest of {int(row['networks'])} clean networks{scaled_by}"
        parts += [", ".join(rates_with_bounds)] if rates_with_bounds else []
    if row["of"] in ON_SOME and row["verdict"] != LeadVerdict.NOTHING_FOUND:
        parts.append(f"on {shares_words(row)}")
    if row["verdict"] == LeadVerdict.NOTHING_FOUND and row["of"] == "place":
        parts.append(power_words(row))
    if row["verdict"] in REPORTED:
        parts.append(f"changed calls {number(100 * row['flips'], 1)}%, score shifted by {number(row['moved'], 2)} sd")
    return "; ".join(parts)


def shares_words(row: Row) -> str:
    """Return the share of carriers in each class: `89% of 'finding', 15% of 'normal'`."""
    shares = json_object(row["shares"])
    return join_words([f"{100 * float(share):.0f}% of '{name}'" for name, share in shares.items()])


def power_words(row: Row) -> str:
    """Return which mark the search of regions would have found."""
    least = row["least"] if math.isnan(numeric(row, "limit")) else row["limit"]
    points = f"{min(100, 100 * least / _MOVED):.0f} points"
    shift = f"a mark that shifts scores by {_MOVED:g} sd"
    return f"{shift} is detected if its prevalence differs by {points} between the classes"


def answer(tables: Mapping[str, Sequence[Row]]) -> list[str]:
    """Return the sentences of an audit on the region that it found; none where it found none.

    They are the same on the page, in the terminal and on the model card.
    """
    row = leading_region(tables["regions"])
    return [] if row is None or row["verdict"] not in REPORTED else list(_answer(row, tables["regions"]))


def clears(rows: Sequence[Row]) -> bool:
    """Return whether the search found nothing within known limits, so that drawn marks may be called harmless."""
    limits = [bool(row.get("reason")) or not math.isnan(numeric(row, "limit")) for row in rows]
    nothing = [row["verdict"] == LeadVerdict.NOTHING_FOUND for row in rows]
    return bool(rows) and all(nothing) and all(limits)


def _answer(row: Row, rows: Sequence[Row]) -> Iterator[str]:
    flips, what = f"{100 * row['flips']:.0f} of 100", what_words(row)
    unverified = ": a finding without a verified limit" if row["verdict"] == LeadVerdict.LEAD else ""
    if _moves_none(row):
        yield f"Scores change most with {what}, but fewer than 1 of 200 answers change{unverified}."
    elif unverified and not row["discrete"]:
        yield f"Answers change most with {what}, {flips}{unverified}."
    else:
        yield f"{sentence_case(what)} changes {flips} answers{unverified}."
    if row["of"] != "whole" and row["discrete"]:
        raises, inside = "raises" if row["raises"] else "lowers", "training images" if row["trained"] else "images"
        yield f"It {raises} the score of '{row['class']}' and is on {shares_words(row)} in {row['images']:,} {inside}."
    yield from (
        f"Apart from it, {what_words(other)} changes {100 * other['flips']:.0f} of 100 answers: it is on "
        f"{shares_words(other)}."
        for other in rows
        if other["of"] in ON_SOME and other is not row and other["verdict"] in REPORTED
    )


def next_words(tables: Mapping[str, Sequence[Row]], audit: str) -> str:
    """Return the next step that is possible after an audit in this folder, as a command.

    A model that seems to be read wrongly is read again. A mark is covered in the images of the training; without these,
    they are searched first. Images are made alike in a change of all of an image. A column with which answers differ is
    balanced. Then come the images that settle an inconclusive test, and another model. What only the user knows is in
    capitals: TRAIN, the images of the training; SCALING; IMAGES; MODEL; OTHER, another audit.
    """
    facts = {str(row["key"]): str(row["value"]) for row in tables.get("provenance", ())}
    again, is_of_images = facts.get("command", ANEW), facts.get("kind") != "predictions"
    rows = [row for row in tables["regions"] if row["verdict"] != NOT_TESTED]
    row, trained = leading_region(rows), any(row["trained"] for row in rows)
    if is_of_images and any((row["check"], row["status"]) in _READ_WRONGLY for row in tables.get("checks", ())):
        how = "check how images are scaled and framed for this model, and audit it again as its training did"
        return f"Next: {how}: {again} --scaling SCALING --out {audit}-again"
    if row is not None and row["verdict"] in REPORTED and row["discrete"] and not _moves_none(row):
        return f"Next: {_step_of_mark(row, tables, audit, again, trained)}"
    if row is not None and row["of"] == "whole" and row["verdict"] == LeadVerdict.LOOKS:
        return f"Next: if it is not part of the disease, {_equalize_words(row)}, {_retrained(again, audit)}"
    columns = [verdict for verdict in tables["verdicts"] if verdict["verdict"] == Verdict.DIFFERS]
    if columns:
        name = in_words(max(columns, key=lambda verdict: abs(numeric(verdict, "g")))["factor"])
        balance = f"if {name} is not a sign of the finding, balance it within the training classes"
        return f"Next: {balance}, {_retrained(again, audit)}"
    if any(reason_of(region).first(Code.SMALL_BUDGET) for region in tables["regions"]):
        return f"Next: search regions of the images too: {again} --budget {FULL} --out {audit}-full"
    if rows and not trained:
        lack = "search the training images of the model, since those of this audit may lack the mark"
        return f"Next: {lack}: {_training(again, audit)}"
    left = [row for row in tables["verdicts"] if row["verdict"] == Verdict.INCONCLUSIVE and numeric(row, "needed") > 0]
    if left:
        least = min(left, key=lambda row: numeric(row, "needed"))
        images = f"{float(format(numeric(least, 'needed'), '.2g')):,.0f}"
        step = f"add images. About {images} would settle the test of {in_words(least['factor'])}"
        return f"Next: {step}: {again} --out {audit}-more"
    if not is_of_images:
        return f"Next: audit the model on its images, which tests marks: {ANEW}"
    return f"Next: compare it with an audit of another model on these images: assay audit compare {audit} OTHER"


ANEW = "assay audit MODEL --images IMAGES"
_READ_WRONGLY = {("ranking", "warn"), ("reading", "warn"), ("scaling", "warn")}


def _training(again: str, audit: str) -> str:
    return f"{again} --train TRAIN --out {audit}-train"


def _retrained(again: str, audit: str) -> str:
    return f"retrain, and audit the new model: {again} --out {audit}-retrained"


def _step_of_mark(row: Row, tables: Mapping[str, Sequence[Row]], audit: str, again: str, trained: bool) -> str:
    """Return what to do about the mark that leads."""
    look = "look at the pictures. If it is not part of the disease, " if row["verdict"] == LeadVerdict.LEAD else ""
    if any(not math.isnan(numeric(verdict, "dice")) for verdict in tables["verdicts"]):
        return f"{look}cover it in all images or crop them, {_retrained(again, audit)}"
    if not trained:
        return f"{look}search the training images of the model, to remove it there: {_training(again, audit)}"
    if row["of"] in WITHOUT_PLACE:  # no place to cover
        alike = f"{_equalize_words(row)}, or balance it by the table `carriers`"
        return f"{look}{alike}, {_retrained(again, audit)}"
    return f"{look}cover it, and retrain: assay audit remedy {audit} {audit}-covered"


def _equalize_words(row: Row) -> str:
    """Return how images are made alike in a change that has no place."""
    match row["kind"]:
        case "mirror":
            return "mirror a random half of the training images"
        case "intensities":
            return "match the gray levels of all images"
        case "shading":
            return "divide all images by their smooth brightness"
        case "band":
            low = float(row["name"]) < _RESOLUTION
            return (
                "give all images the same brightness and shading"
                if low
                else "resample and compress all images in the same way"
            )
        case _:
            return "make it the same in all images"


def _moves_none(row: Row) -> bool:
    """Return whether a region changes fewer than one answer in 200."""
    return bool(row["flips"] < 0.005)


def lead_words(row: Row) -> str:
    """Return a finding without a verified limit, without its numbers."""
    name, of = in_words(row["name"]), row["class"]
    also = f". The same images: {row['merged']}" if row["merged"] else ""
    if row["kind"] == "property":
        return f"Scores differ with {name}"
    return f"Errors on '{of}' {'cluster near' if row['kind'] == 'cluster' else 'where'} {name}{also}"
