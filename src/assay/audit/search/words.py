"""Sentences on the region that predictions depend on, and on findings without a verified limit."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from assay.audit.harms import WHOLE_IMAGE_FAMILIES, low_rates
from assay.audit.request import FULL_BUDGET
from assay.audit.search.regions import FINDERS_OF_CARRIERS, RESOLUTION, WITHOUT_PLACE
from assay.audit.tables import NOT_TESTED
from assay.core.reasons import Code, reason_of
from assay.report.sentences.reasons import reason_words
from assay.report.words import display_name, sentence_case
from assay.stats.format import in_words, join_words, number
from assay.stats.rows import OPEN, REPORTED, RegionVerdict, Row, Verdict, json_object, leading_region, numeric

NOTE = (
    "These are places to look, not verdicts: none was shown to be a shortcut. To test one, add a mark or a column for "
    "it."
)
NO_LEADS = "None. This does not rule out a shortcut: one that is absent from these images cannot be found."
VALUES = "Value: for a property, the AUROC shift; for errors, their share in these images minus that in the others."
NOT_SEARCHED_FOR = (
    "Not searched for: hair, stripes and dots at changing places, and the history of zoom or scaling. Turned "
    "shapes, shading and places that some images depend on are searched for only in kinds of images for which their "
    "limits are known. Shortcuts that are absent from these images cannot be found. A region weaker than the leading "
    "one is found only if a mark is repeated there."
)
_BANDS = ("below 1/32", "1/32 to 1/16", "1/16 to 1/8", "1/8 to 1/4", "above 1/4")
_VERDICT_WORDS: Mapping[str, tuple[str, str]] = {
    RegionVerdict.RELIES: (
        "Depends on {what}",
        "The effect exceeds that in networks without a shortcut, and images form two groups there, with and without "
        "something. A lesion that is always at one place would look like a mark: see the pictures.",
    ),
    RegionVerdict.LOOK: (
        "Relies on {what}",
        "The effect exceeds that in networks without a shortcut, but images do not form two groups there.",
    ),
    RegionVerdict.UNVERIFIED: (
        "{what}: finding without a verified limit",
        "The content of this region changes predictions. Networks without a shortcut have such a region too, and their "
        "limit is not known for this search and these images.",
    ),
    RegionVerdict.INCONCLUSIVE: (
        "{what}: inconclusive",
        "The effect is neither beyond the limit nor clearly below it.",
    ),
    RegionVerdict.NOTHING_FOUND: (
        "Nothing found{which}",
        "No region changes scores by more than the limit or, if none is known, by enough to report.",
    ),
    NOT_TESTED: ("Not searched{which}", ""),
}  # fmt: skip
"""Verdict on a region -> its heading, and its meaning."""
SEARCH_NAMES: Mapping[str, str] = {
    "place": "fixed regions", "whole": "orientation, spatial frequencies and gray levels",
    "drawn": "rarer repeated marks", "shape": "small shapes at changing places",
    "turned": "turned shapes at changing places", "occluded": "places that some images depend on",
}  # fmt: skip
"""Finder -> what it searches for, in words."""
_MARK_EFFECT = 2.0
"""Effect of a mark on the score of an image, in standard deviations, for which the power of a search is reported."""


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


def content_words(row: Row) -> str:
    """Return the content of a region in words: a drawn mark, its brightness, or the look of the place."""
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
    return numeric(row, "shape") >= 0.5 or row["of"] in FINDERS_OF_CARRIERS


def has_remedy(row: Row) -> bool:
    """Return whether `assay audit remedy` can take a finding out of images: one on some of them, or of whole images."""
    return row["verdict"] in REPORTED and bool(row["discrete"] or row["of"] == "whole")


def region_title(row: Row) -> str:
    """Return the verdict on a region as a heading."""
    which = f" in {SEARCH_NAMES[row['of']]}"
    what = content_words(row) if row["kind"] else ""
    return sentence_case(_VERDICT_WORDS[row["verdict"]][0].format(what=what, which=which))


def region_meanings(rows: Sequence[Row]) -> dict[str, str]:
    """Return the verdicts on regions with their meanings."""
    verdicts_present = {row["verdict"] for row in rows}
    heads = {code: re.sub(r"{\w+}", "", words[0]).strip(" :").lower() for code, words in _VERDICT_WORDS.items()}
    return {heads[code]: words[1] for code, words in _VERDICT_WORDS.items() if code in verdicts_present and words[1]}


def region_size(row: Row) -> str:
    """Return the effect of a region and its limit, or why there are none."""
    if row["reason"]:
        return reason_words(row["reason"])
    per = "on an image " if row["of"] in FINDERS_OF_CARRIERS else ""
    ends = (number(row[name], 2) for name in ("value", "value_low", "value_high"))
    has_limit = not math.isnan(numeric(row, "limit"))
    lacking = f"no limit is known{' in training images' if row.get('trained') else ''}, reported from"
    name = "limit" if has_limit else lacking
    limit = f"{name} {number(row['limit' if has_limit else 'least'], 2)}"
    return "effect {}{} sd [{}, {}]; ".format(per, *ends) + limit + ("" if has_limit else " sd on")


def region_evidence(row: Row) -> str:
    """Return the numbers behind the verdict on a region, or why there are none."""
    parts = [region_size(row)]
    if row["reason"]:
        return parts[0]
    if not math.isnan(numeric(row, "limit")):
        rates = {
            "false_rate": "wrong in {}% of networks without a shortcut",
            "missed_rate": "missed in {}% of networks with a mark at one place",
        }
        rates_with_bounds = [
            f"{words.format(number(100 * row[rate], 1))} (at most {number(100 * row[f'{rate}_high'], 1)}%)"
            for rate, words in rates.items()
            if not math.isnan(numeric(row, rate))
        ]
        parts[0] += (
            f", and no effect in {int(row['networks'])} networks without a shortcut was larger"
            f"{_raised_limit_words(row)}"
        )
        parts += [", ".join(rates_with_bounds)] if rates_with_bounds else []
    if row["of"] in FINDERS_OF_CARRIERS and row["verdict"] != RegionVerdict.NOTHING_FOUND:
        parts.append(f"on {shares_words(row)}")
    if row["verdict"] in REPORTED:
        parts += [] if math.isnan(row["flips"]) else [f"changed predictions {number(100 * row['flips'], 1)}%"]
        parts.append(f"score shifted by {number(row['moved'], 2)} sd")
    return "; ".join(parts)


def shares_words(row: Row) -> str:
    """Return the share of carriers in each class: `89% of 'finding', 15% of 'normal'`."""
    shares = json_object(row["shares"])
    return join_words([f"{100 * float(share):.0f}% of '{name}'" for name, share in shares.items()])


def _raised_limit_words(row: Row) -> str:
    """Return by how much the limit exceeds the largest effect in networks without a shortcut, and why."""
    times = row["limit"] / row["largest"]
    why = "since this model separates the classes by more than they do, even without this region"
    return f"; it is {number(times, 2)} times as large as theirs, {why}" if times > 1 else ""


def searched_words(rows: Sequence[Row], *, sizes: bool = True) -> Iterator[str]:
    """Yield sentences on the searches that found nothing, and on those that were not done.

    Args:
        rows: Rows of the table `regions`.
        sizes: Whether the largest effect of each search and its limit are named; else a table has them.
    """
    nothing = [row for row in rows if row["verdict"] == RegionVerdict.NOTHING_FOUND]
    if nothing:
        images = f"{nothing[0]['images']:,} {'training images' if nothing[0]['trained'] else 'images'}"
        others = "other " if any(row["verdict"] in OPEN for row in rows) else ""
        searches = f"{len(nothing)} {others}{'search' if len(nothing) == 1 else 'searches'}"
        parts = "; ".join(f"{SEARCH_NAMES[row['of']]}{_round_words(row)} ({_largest_words(row)})" for row in nothing)
        yield f"Nothing was found in {images} by {searches}{f': {parts}' if sizes else ''}."
        if sizes:
            yield "Effects are the largest of each search, in standard deviations (sd) of the scores of one class."
        with_limit = [row for row in nothing if not row["reason"] and not math.isnan(numeric(row, "limit"))]
        if with_limit and sizes:
            networks = sorted({int(row["networks"]) for row in with_limit})
            yield f"Limits: no effect in {join_words(list(map(str, networks)))} networks without a shortcut was larger."
            yield from (
                f"That of {SEARCH_NAMES[row['of']]}{_raised_limit_words(row).replace('; it', '')}."
                for row in with_limit
                if _raised_limit_words(row)
            )
        yield from power_sentences(nothing)
    for row in rows:
        if row["verdict"] == NOT_TESTED:
            yield f"Not searched: {SEARCH_NAMES[row['of']]} ({reason_words(row['reason'])})."


def power_sentences(rows: Sequence[Row]) -> Iterator[str]:
    """Yield which mark the search of fixed regions would find."""
    for row in rows:
        if row["of"] == "place" and row["verdict"] == RegionVerdict.NOTHING_FOUND and not row["reason"]:
            yield _power_words(row)


def _round_words(row: Row) -> str:
    return f", round {row['round']:.0f}" if row.get("round", 1) > 1 else ""


def _largest_words(row: Row) -> str:
    """Return the largest effect of a search with its limit, or why there is none."""
    return reason_words(row["reason"]) if row["reason"] else region_size(row).replace(";", ",")


def _power_words(row: Row) -> str:
    """Return in a sentence which mark the search of regions would have found."""
    least, name = (
        (row["least"], "least that is reported") if math.isnan(numeric(row, "limit")) else (row["limit"], "limit")
    )
    shift = f"A mark that shifts scores by {_MARK_EFFECT:g} sd"
    if least >= _MARK_EFFECT:
        return f"{shift} would be missed: less is not reported."
    gap = f"{100 * least / _MARK_EFFECT:.0f} percentage points"
    return (
        f"{shift} reaches the {name} in fixed regions if its shares of the two classes differ by {gap}; less is missed."
    )


def mark_words(row: Row) -> str:
    """Return the name of a mark in words, of one at another place than usual with the place."""
    name = display_name(row["factor"].replace("-", " "))
    return f"{name} ({row['place']})" if row.get("place") else name


def with_article(row: Row) -> str:
    """Return a mark in words, a thing with its article: `the tag`, `hair`."""
    return f"{'the ' if row.get('family') in ('objects', 'frames') else ''}{mark_words(row)}"


def carried_words(tables: Mapping[str, Sequence[Row]]) -> str:
    """Return what is known of whether the images carry a drawn mark that the model relies on."""
    rows = [row for row in tables["regions"] if row["verdict"] != NOT_TESTED]
    if not rows:
        return "Whether these images carry such a mark was not searched."
    row, images = leading_region(rows), "training images" if rows[0]["trained"] else "images"
    if row is None:
        absent = "; the training images were not given" if not rows[0]["trained"] else ""
        return f"The search of {rows[0]['images']:,} {images} found no such mark in them, but can miss one{absent}."
    if row["verdict"] in REPORTED:
        return f"The search found {content_words(row)} in the {images}; the pictures show whether it is this mark."
    return f"Whether the {images} carry such a mark is inconclusive."


def region_sentences(tables: Mapping[str, Sequence[Row]]) -> list[str]:
    """Return the sentences of an audit on the region that it found; none where it found none.

    They are the same on the page, in the terminal and on the model card.
    """
    row = leading_region(tables["regions"])
    return [] if row is None or row["verdict"] not in REPORTED else list(_sentences_of_region(row, tables["regions"]))


def is_clear_in_training(rows: Sequence[Row]) -> bool:
    """Return whether training images were searched, and all searches found nothing and have known limits.

    Only then may drawn marks be called harmless: other images need not carry what the model learned from.
    """
    limits = [bool(row.get("reason")) or not math.isnan(numeric(row, "limit")) for row in rows]
    nothing = [row["verdict"] == RegionVerdict.NOTHING_FOUND for row in rows]
    return bool(rows) and all(nothing) and all(limits) and all(row["trained"] for row in rows)


def _sentences_of_region(row: Row, rows: Sequence[Row]) -> Iterator[str]:
    what = content_words(row)
    unverified = ": a finding without a verified limit" if row["verdict"] == RegionVerdict.UNVERIFIED else ""
    if math.isnan(row["flips"]):
        yield f"One class is predicted of all images at this threshold; scores change most with {what}{unverified}."
    elif _changes_few_predictions(row):
        yield f"Scores change most with {what}, but fewer than 1 of 200 predictions change{unverified}."
    elif unverified and not row["discrete"]:
        yield f"Predictions change most with {what}, {100 * row['flips']:.0f}% of them{unverified}."
    else:
        # The look or the brightness of a place is there in every image, and so not found.
        images = f", found in the {'training ' if row['trained'] else ''}images," if what.startswith("a ") else ""
        yield f"{sentence_case(what)}{images} changes {_changed_words(row)}{unverified}."
    if row["of"] != "whole" and row["discrete"]:
        raises, inside = "raises" if row["raises"] else "lowers", "training images" if row["trained"] else "images"
        yield f"It {raises} the score of '{row['class']}' and is on {shares_words(row)} in {row['images']:,} {inside}."
    yield from (
        f"Apart from it, {content_words(other)} changes {_changed_words(other)}: it is on {shares_words(other)}."
        for other in rows
        if other["of"] in FINDERS_OF_CARRIERS and other is not row and other["verdict"] in REPORTED
    )


class _Repetition(NamedTuple):
    """The command that repeats an audit, and what its threshold does; empty where that is no finding."""

    line: str
    audit: str
    threshold: str

    @property
    def threshold_step(self) -> str:
        """The step before one that trains nothing."""
        step = f"{CHOOSE_THRESHOLD} (--threshold P), since this one {self.threshold}. Then "
        return step if self.threshold else ""

    def command(self, name: str) -> str:
        """The command into a folder of another name."""
        return f"{self.line} --out {self.audit}-{name}"


TRAINING_COLUMNS = "columns of the training images"
"""Key of the provenance: audited columns that the table of the training images has, too."""
DRAWN_BY = "images drawn by"
"""Key of the provenance: the phantom of images that come from no file."""
CHOOSE_THRESHOLD = "choose a threshold on validation images"
_THRESHOLD, _BUDGET = (re.compile(rf" --{name} [^ ]+") for name in ("threshold", "budget"))


def next_words(tables: Mapping[str, Sequence[Row]], audit: str) -> str:
    """Return the next step that is possible after an audit in this folder, as a command.

    A model that seems to be misread is audited again with other preprocessing. A mark is covered in searched images.
    The model is retrained if these are training images. Of a whole-image change, all images get the same content. A
    column with which scores differ is balanced. Then come images that settle an inconclusive test, and the next version
    of the model. If the threshold is a finding, another one is chosen, after any training. Training images are only
    suggested, since most users lack them. What only the user knows is in capitals: SCALING, IMAGES, MODEL, P.
    """
    facts = {str(row["key"]): str(row["value"]) for row in tables.get("provenance", ())}
    line, is_of_images = facts.get("command", AUDIT_COMMAND), facts.get("kind") != "predictions"
    if is_of_images and any((row["check"], row["status"]) in _MISREADING_CHECKS for row in tables.get("checks", ())):
        return f"Next: {_read_again(line, audit, is_of_study=facts.get('kind') == 'training run')}"
    threshold = next(operating_point_words(tables), "")
    line = f"{_THRESHOLD.sub('', line)} --threshold P" if threshold else line
    repetition = _Repetition(line, audit, threshold)
    return f"Next: {_step_of_region(tables, repetition) or _step_of_tests(tables, repetition, is_of_images)}"


def _step_of_region(tables: Mapping[str, Sequence[Row]], repetition: _Repetition) -> str:
    """Return what to do about the leading region; empty without one."""
    rows = [row for row in tables["regions"] if row["verdict"] != NOT_TESTED]
    row, in_training = leading_region(rows), any(row["trained"] for row in rows)
    if row is None or not has_remedy(row) or _changes_few_predictions(row):
        return ""
    return _step_of_remedy(row, tables, repetition, in_training)


def _step_of_tests(tables: Mapping[str, Sequence[Row]], repetition: _Repetition, is_of_images: bool) -> str:
    """Return what to do where no region has a step: about columns, marks, tests without a decision and a threshold."""
    rows = [row for row in tables["regions"] if row["verdict"] != NOT_TESTED]
    row, trained = leading_region(rows), any(row["trained"] for row in rows)
    columns = [verdict for verdict in tables["verdicts"] if verdict["verdict"] == Verdict.DIFFERS]
    if columns:
        name = max(columns, key=lambda verdict: abs(numeric(verdict, "g")))["factor"]
        balance = f"if {in_words(name)} is not a sign of the finding, balance it within the training classes"
        facts = {str(fact["key"]): str(fact["value"]) for fact in tables.get("provenance", ())}
        if name not in facts.get(TRAINING_COLUMNS, "").split(", "):
            return f"{balance}, {_retrained(repetition)}"
        retrain = f"retrain, and {CHOOSE_THRESHOLD}" if repetition.threshold else "and retrain"
        remedy = f"assay audit remedy {repetition.audit} {repetition.audit}-balanced --column {shlex.quote(name)}"
        return f"{balance}, {retrain}: {remedy}"
    if any(reason_of(region).first(Code.SMALL_BUDGET) for region in tables["regions"]):
        full = f"{_BUDGET.sub('', repetition.line)} --budget {FULL_BUDGET} --out {repetition.audit}-full"
        return f"{repetition.threshold_step}search regions of the images too: {full}"
    relied = _relied_mark_words(tables)
    offer = f" {SEARCH_TRAINING_IMAGES}" if rows and not trained else ""
    if relied and is_of_images and trained:
        return f"put {relied} on training images of both classes alike, or on none, {_retrained(repetition)}"
    if relied and is_of_images:
        keep = f"keep {relied} off the images that the model reads"
        return f"{repetition.threshold_step}{keep}.{offer} {_NEXT_VERSION.capitalize()}: {repetition.command('next')}"
    if open_test := _open_test_words(tables, row):
        then = f".{offer} Then audit it again" if offer else ""
        return f"{repetition.threshold_step}{open_test}{then}: {repetition.command('more')}"
    if repetition.threshold:
        offered = f".{offer} To repeat it" if offer else ""
        return f"{repetition.threshold_step}repeat the audit with it{offered}: {repetition.command('threshold')}"
    if not is_of_images:
        return f"audit the model on its images, which tests marks: {AUDIT_COMMAND}"
    compared = f"{_NEXT_VERSION}, and compare both (assay audit compare {repetition.audit} {repetition.audit}-next)"
    then = f"{compared}: {repetition.command('next')}"
    return f"{SEARCH_TRAINING_IMAGES[:1].lower()}{SEARCH_TRAINING_IMAGES[1:]} Then {then}" if offer else then


def _open_test_words(tables: Mapping[str, Sequence[Row]], region: Row | None) -> str:
    """Return the step of adding images, for the leading region or for the test that needs fewest; else empty."""
    if region is not None and region["verdict"] == RegionVerdict.INCONCLUSIVE:
        return f"add images, since more of them narrow the interval of {content_words(region)}"
    open_rows = [
        row
        for row in tables["verdicts"]
        if row["verdict"] == Verdict.INCONCLUSIVE and 0 < numeric(row, "needed") <= MAX_NEEDED_IMAGES
    ]
    if not open_rows:
        return ""
    least = min(open_rows, key=lambda row: numeric(row, "needed"))
    images = f"{float(format(numeric(least, 'needed'), '.2g')):,.0f}"
    return f"add images. About {images} would settle the test of {in_words(least['factor'])}"


def operating_point_words(tables: Mapping[str, Sequence[Row]]) -> Iterator[str]:
    """Yield what the threshold of a model does, where it is a finding: a predicate of the threshold."""
    for at, measure in low_rates(tables):
        share = 100 * numeric(tables["groups"][at], "value")
        if measure == "sensitivity":
            yield f"finds {share:.0f}% of the positive images"
        else:
            yield f"predicts {100 - share:.0f}% of the negative images as positive"


def _read_again(line: str, audit: str, is_of_study: bool) -> str:
    """Return the step for a model that seems to be misread. The preprocessing of a study's network is known."""
    if is_of_study:
        images = re.sub(r"(--images )(?:'[^']*'|\"[^\"]*\"|[^\s'\"])+", r"\1IMAGES", line)
        how = "audit it on images like those of its training, which it reads as its study did"
        return f"{how}: {images} --out {audit}-alike"
    how = "check how images are scaled and framed for this model, and audit it again as its training did"
    return f"{how}: {line} --scaling SCALING --out {audit}-again"


MAX_NEEDED_IMAGES = 100_000
"""Images that may settle a test, above which none are advised."""
AUDIT_COMMAND = "assay audit MODEL --images IMAGES"
_MISREADING_CHECKS = {("ranking", "warn"), ("reading", "warn"), ("scaling", "warn")}


def _relied_mark_words(tables: Mapping[str, Sequence[Row]]) -> str:
    """Return the drawn mark that the model relies on most, with its article; empty without any.

    A change of tone or detail is no mark that can be kept off an image.
    """
    relied = (row for row in tables["verdicts"] if row["verdict"] == Verdict.RELIES and row["kind"] == "mark")
    marks = [row for row in relied if row.get("family") not in WHOLE_IMAGE_FAMILIES]
    return with_article(marks[0]) if marks else ""


SEARCH_TRAINING_IMAGES = "If you have the training images, search them too (--train)."


_NEXT_VERSION = "audit the next version of the model in the same way"


def _retrained(repetition: _Repetition) -> str:
    choose = f", {CHOOSE_THRESHOLD}" if repetition.threshold else ""
    return f"retrain{choose}, and audit the new model: {repetition.command('retrained')}"


def _step_of_remedy(row: Row, tables: Mapping[str, Sequence[Row]], repetition: _Repetition, in_training: bool) -> str:
    """Return what to do about the leading finding."""
    is_whole = row["of"] == "whole"
    order = equalize_words(row) if is_whole else "cover it"
    unless = "if it is not part of the disease, "
    look = unless if is_whole and row["verdict"] != RegionVerdict.RELIES else ""
    if row["verdict"] == RegionVerdict.UNVERIFIED and not is_whole:
        look = f"look at the pictures. {unless.capitalize()}"
    if any(not math.isnan(numeric(verdict, "dice")) for verdict in tables["verdicts"]):
        return f"{look}cover it in all images or crop them, {_retrained(repetition)}"
    if any(fact["key"] == DRAWN_BY for fact in tables.get("provenance", ())):
        return f"{look}draw the images without it, {_retrained(repetition)}"
    remedy = f"assay audit remedy {repetition.audit} {repetition.audit}-{'equalized' if is_whole else 'covered'}"
    if not in_training:
        copy = f"{order}, and audit the copy, to see how the model does without it"
        return f"{repetition.threshold_step}{look}{copy}. {SEARCH_TRAINING_IMAGES} To {order}: {remedy}"
    return f"{look}{order}, {f'retrain, and {CHOOSE_THRESHOLD}' if repetition.threshold else 'and retrain'}: {remedy}"


_EQUALIZING_WORDS: Mapping[str, tuple[str, str]] = {
    "mirror": ("mirror a random half of the images", "a random half of each class mirrored"),
    "intensities": ("match the gray levels of all images", "all with the same distribution of gray levels"),
    "shading": ("give all images the same smooth shading", "all with the same smooth shading"),
    "low": ("give all images the same brightness and shading", "all with the same {band}"),
    "high": ("make all images as coarse as the coarsest", "all with the same {band} and above"),
}
"""Kind of a change of the whole image -> how it is made the same in all images, and how images are then."""


def equalize_words(row: Row) -> str:
    """Return how images are made alike in a change of the whole image, as an order."""
    return _EQUALIZING_WORDS[_kind_of_change(row)][0]


def equalized_words(row: Row) -> str:
    """Return how images are once they are made alike in a change of the whole image."""
    return _EQUALIZING_WORDS[_kind_of_change(row)][1].format(band=place_words(row))


def _kind_of_change(row: Row) -> str:
    if row["kind"] == "band":
        return "low" if float(row["name"]) < RESOLUTION else "high"
    return str(row["kind"])


def _changed_words(row: Row) -> str:
    return "scores" if math.isnan(row["flips"]) else f"{100 * row['flips']:.0f}% of predictions"


def _changes_few_predictions(row: Row) -> bool:
    """Return whether a region changes fewer than one prediction in 200."""
    return bool(row["flips"] < 0.005)


def lead_words(row: Row) -> str:
    """Return a finding without a verified limit, without its numbers."""
    name, of = in_words(row["name"]), row["class"]
    also = f". The same images: {row['merged']}" if row["merged"] else ""
    if row["kind"] == "property":
        return f"Scores differ with {name}"
    return f"Errors on '{of}' {'cluster near' if row['kind'] == 'cluster' else 'where'} {name}{also}"
