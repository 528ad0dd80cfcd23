"""Sentences on single verdicts of an audit, and on its limits; `harm_words` has those on its findings."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from assay.audit.harms import has_own_finding
from assay.audit.search.words import MAX_NEEDED_IMAGES, SEARCH_NAMES, is_clear_in_training, mark_words
from assay.audit.tables import NOT_TESTED
from assay.audit.verdicts import LEAST_PATIENTS
from assay.core.reasons import Code, reason_of
from assay.report.glossary import GLOSSARY
from assay.report.sentences.reasons import reason_words
from assay.report.words import VERDICTS, difference_words, display_name, sentence_case
from assay.stats.format import count, join_words, number
from assay.stats.rows import ADVERSE_VERDICTS, Row, Verdict, numeric

HARMFUL = (*ADVERSE_VERDICTS, Verdict.DIFFERS)
"""Verdicts on marks and columns that are findings."""
NO_REFERENCE = (
    "No reference networks were used for drawn marks; limits of regions are separate. Networks that never saw a mark "
    "in training can also be affected by it, so 'relies on' cannot be distinguished from 'affected by'. For "
    "classifiers, `assay audit --references 59` trains reference networks on these images."
)
SHIFT_NAME = "AUROC shift"
"""Name of the swing (`g`) for readers."""
_QUANTITY_WORDS: Mapping[str, str] = {
    "patients": f"the number of patients, fewer than {LEAST_PATIENTS} effective ones in a class or group",
    "swing": "the AUROC shift",
    "loss": "the loss of AUROC",
    "flips": "the share of changed predictions",
    "dice": "the loss of Dice",
    "stray": "the area wrongly called lesion",
    "other-dose": "another strength",
    "place": "reliance, since the limit of reference networks holds for the mark as drawn and not at this place",
}


def factor_words(row: Row) -> str:
    """Return the name of a mark, column or search in words, of a mark at another place than usual with the place."""
    if row.get("kind") == "region":
        return SEARCH_NAMES[row["factor"]]
    return mark_words(row) if row.get("kind") == "mark" else display_name(row["factor"])


def verdict_title(row: Row, margin: str) -> str:
    """Return a verdict as a heading."""
    drawing = f"drawn with {row['drawn']}" if row.get("drawn") else "as drawn"
    return sentence_case(VERDICTS[row["verdict"]].title.format(factor=factor_words(row), margin=margin, drawn=drawing))


def verdict_meanings(rows: Sequence[Row]) -> dict[str, str]:
    """Return the verdicts of an audit with what they mean, in order of harm."""
    verdicts_present = {row["verdict"] for row in rows}
    return {
        wording.text: wording.meaning
        for code, wording in VERDICTS.items()
        if code in verdicts_present and wording.meaning
    }


def evidence_words(row: Row, facts: Mapping[str, str]) -> str:
    """Return the numbers behind a verdict, or why there are none.

    Args:
        row: A row of `tables.VERDICTS`.
        facts: Provenance of the audit.
    """
    if row["verdict"] == NOT_TESTED:
        return reason_words(row["reason"])
    label = row.get("class")
    within, against = f"within {label}: AUROC of the group minus 0.5", f"{label} against the rest"
    comparison = f" ({within if is_tied(row) else against})" if label else ""
    flips, limit, needed = (numeric(row, name) for name in ("flips", "limit", "needed"))
    parts = [shift_words(row) + comparison] if not math.isnan(numeric(row, "g")) else []
    if not math.isnan(numeric(row, "dice")):
        parts.append(f"Dice lost {difference_words(row['dice'], row['dice_low'], row['dice_high']).lstrip('+')}")
    if not math.isnan(flips):
        parts.append(f"changed predictions {number(100 * flips, 1)}%")
    if not math.isnan(limit) and row["verdict"] in (Verdict.RELIES, Verdict.AFFECTED):
        side = "beyond" if row["verdict"] == Verdict.RELIES else "not clearly beyond"
        parts.append(f"{side} the limit of reference networks, {number(limit, 3)}")
    if row["open"]:
        parts.append(f"not settled: {open_words(row['open'])}")
    if row["open"] and not math.isnan(needed):
        clean, _, total = facts.get("images", "").partition(" of ")
        n_read = facts.get("images under marks", "") if row["kind"] == "mark" else clean
        has_more = total not in ("", n_read) and needed <= int(total.replace(",", ""))
        remedy = f": a larger --budget reads more of the {total}" if has_more else ""
        parts.append(f"{needed_words(needed)} images would settle it{remedy}")
    if is_tied(row):
        parts.append("tied to the target")
    return "; ".join(parts)


def is_tied(row: Row) -> bool:
    """Return whether a row is of a column that is tied to the target."""
    return Code.TIED_TO_TARGET in reason_of(row).codes


def needed_words(images: float) -> str:
    """Return how many images would settle a test, rounded, of more than can be collected as such."""
    if images > MAX_NEEDED_IMAGES:
        return f"more than {MAX_NEEDED_IMAGES:,}"
    return f"about {float(format(images, '.2g')):,.0f}"


def open_words(open_: str) -> str:
    """Return the quantities that keep a verdict open."""
    return join_words([_QUANTITY_WORDS[quantity] for quantity in open_.split()])


def check_words(row: Row) -> str:
    """Return the outcome of a check with its number, where it has one."""
    is_whole_text = row["check"] == "expected" or (row["check"] == "repeatable" and row["status"] == "ok")
    return row["text"] if is_whole_text or math.isnan(row["value"]) else f"{row['text']}: {row['value']:.4g}"


def shift_words(row: Row) -> str:
    """Return the AUROC shift with its bounds, of a column with the group that it is of."""
    return f"{SHIFT_NAME} {difference_words(row['g'], row['low'], row['high'])}{side_words(row)}"


def side_words(row: Row) -> str:
    """Return the group of a column whose scores are compared with those of the others; empty of a mark."""
    return f" ({row['dose']} against the others)" if row["kind"] == "column" else ""


def group_by_family(rows: Sequence[Row]) -> list[list[Row]]:
    """Return harmful rows by family and direction, each led by the most harmful mark; a column is alone.

    Those that the model relies on come first, then marks and columns by the size of their AUROC shift.
    """
    groups: list[list[Row]] = []
    for row in rows:
        if row["verdict"] in HARMFUL:
            similar_marks = next((group for group in groups if _are_similar_marks(group[0], row)), None)
            if similar_marks is None:
                groups.append([row])
            else:
                similar_marks.append(row)
    return sorted(groups, key=lambda family: _harm_key(family[0]))


def _harm_key(row: Row) -> tuple[bool, bool, float]:
    is_undirected = row["verdict"] == Verdict.UNDIRECTED
    return row["verdict"] != Verdict.RELIES, is_undirected, 0.0 if math.isnan(row["g"]) else -abs(row["g"])


def _are_similar_marks(first: Row, row: Row) -> bool:
    """Return whether marks are of one family and do not change scores in opposite directions."""
    undirected = Verdict.UNDIRECTED in (first["verdict"], row["verdict"])
    return (
        bool(row.get("family"))
        and first.get("family") == row["family"]
        and (undirected or not first["g"] * row["g"] < 0)
    )


def reported_verdicts(tables: Mapping[str, Sequence[Row]]) -> list[Row]:
    """Return the verdicts on marks and columns that are reported: those that the leading region does not explain.

    Harmless marks are among them only if the search of training images found nothing.
    """
    search_is_clear = is_clear_in_training(tables["regions"])
    own_findings = [row for row in tables["verdicts"] if has_own_finding(row, tables)]
    return [row for row in own_findings if search_is_clear or row["verdict"] != Verdict.NO_EFFECT]


def procedure_sentences(
    facts: Mapping[str, str], rows: Sequence[Row], effects: Sequence[Row], regions: Sequence[Row] = ()
) -> list[str]:
    """Return sentences on the images, and on what was changed or compared in them.

    Args:
        facts: Provenance of the audit.
        rows: Rows of `tables.VERDICTS`.
        effects: Rows of `tables.EFFECTS`.
        regions: Rows of `tables.REGIONS`.
    """
    patients = f" of {facts['patients']} patients" if facts.get("intervals over") == "patients" else ""
    beginning = "The model read" if any(row["kind"] == "mark" for row in rows) else "The predictions are for"
    classes = f": {facts['classes']}" if "classes" in facts else ""
    sentences = [f"{beginning} {facts['images'].partition(' of ')[0]} images{patients}{classes}."]
    factors = [row["factor"] for row in effects if not row.get("place")]
    marks, n_marks_at_more = len(set(factors)), sum(factors.count(name) > 1 for name in set(factors))
    columns = sum(row["kind"] == "column" for row in rows)
    if marks:
        strengths = f"the middle strength{f' ({n_marks_at_more} of them at two more)' if n_marks_at_more else ''}"
        sentence = f"{facts['images under marks']} of them were read again with {count(marks, 'mark')} at "
        sentence += "three strengths" if n_marks_at_more == marks else strengths
        sentences.append(f"{sentence}.")
    if regions:
        all_images, searched = facts["images"].partition(" of ")[0], f"{max(row['images'] for row in regions):,}"
        source = "training images" if regions[0]["trained"] else f"of the {all_images} images"
        sentences.append(f"{searched} {source} were searched for regions that predictions depend on.")
        if searched != all_images:
            sentences[-1] = f"{sentences[-1][:-1]}; --budget limits how many images are read."
    if columns:
        sentences.append(f"Scores were compared between the groups of {count(columns, 'column')}.")
    return sentences


_CHIPS: Mapping[tuple[str, str], str] = {
    ("repeatable", "warn"): "scores differ on a second reading: switch off randomness",
    ("reading", "warn"): "the model may be read wrongly: see Findings",
    ("scaling", "warn"): "another reading gives a higher {measure}: see Findings",
    ("patients-unknown", "warn"): "patients unknown: name their column",
    ("overflow", "warn"): "scores are the largest number of their format",
    ("softmax", "warn"): "scores look as after two softmaxes",
    ("few-patients", "warn"): "few patients: intervals can be too narrow",
    ("copy-clusters", "warn"): "copies among the images: look at them",
    ("parts-shared", "warn"): "parts share patients or pictures",
    ("plain-sight", "warn"): "a simple cue predicts the target: see Findings",
    ("training-images", "not-done"): "not checked: whether training images are among these",
    ("pixels", "not-done"): "not checked: marks, since there are predictions only",
}
"""Check and its status -> its chip."""


def chip_of_check(row: Row) -> str:
    """Return the outcome of a check as a chip; empty where it has none."""
    return _CHIPS.get((row["check"], row["status"]), "").format(measure=row.get("measure") or "performance")


NOT_ESTABLISHED = (
    "A mark that was not tested, or is drawn differently, may have an effect: drawn marks do not rule out a shortcut.",
    "Marks that look alike affect predictions alike, so it is not established which one was learned.",
    "A column represents everything associated with it, such as age, disease severity or the device.",
    "Readers and the reference standard of the labels are not assessed.",
)
"""Limits of every audit."""
CLEAN_AUDITS = "audits of networks without a shortcut that have any 'relies on'"
"""Row of the table of rates, see `benchmarks/audit_rates.py`."""
ALL_SHORTCUTS, NO_SHORTCUT = "all eight kinds of shortcut", "no shortcut"
"""Rows of the table of rates, see `benchmarks/audit_kinds.py`."""
INDEPENDENCE_UNKNOWN = "Independence of these images from the training images is not established."
"""A limit unless training images were given, and share neither an image nor a patient."""


def not_established(tables: Mapping[str, Sequence[Row]]) -> tuple[str, ...]:
    """Return the limits of an audit, from its tables, with the known error rates of such audits."""
    return (*limits_words(tables), *rates_words(tables))


def limits_words(tables: Mapping[str, Sequence[Row]]) -> tuple[str, ...]:
    """Return the limits of an audit without the error rates of such audits, and that these are unknown."""
    compared_with_training = {row["check"] for row in tables["checks"] if row["status"] == "ok"} >= {
        "training-copies",
        "training-patients",
    }
    limits = (
        *NOT_ESTABLISHED,
        *(() if compared_with_training else (INDEPENDENCE_UNKNOWN,)),
        *_reference_sentences(tables),
    )
    has_rates = any(row["rate"] == CLEAN_AUDITS for row in tables["rates"])
    unknown = "Error rates of verdicts on marks and columns are not known for this domain."
    return limits if has_rates else (*limits, unknown)


def rates_words(tables: Mapping[str, Sequence[Row]]) -> tuple[str, ...]:
    """Return the error rates of such audits as sentences; empty where none are known."""
    rates = {row["rate"]: row for row in tables["rates"]}
    wrong = rates.get(CLEAN_AUDITS)
    of_marks = (
        ()
        if wrong is None
        else (
            "Error rates of marks hold for small networks on such images: 'relies on' was found in "
            f"{wrong['count']} of {wrong['among']} audits of networks that never saw a mark (at most "
            f"{number(100 * wrong['high'], 1)}%).",
        )
    )
    return (*of_marks, *_search_rate_sentences(rates), *_network_count_sentences(tables, rates))


def _network_count_sentences(tables: Mapping[str, Sequence[Row]], rates: Mapping[str, Row]) -> Iterator[str]:
    """Yield which networks without a shortcut are counted where, if there are several sets of them."""
    facts = {row["key"]: row["value"] for row in tables["provenance"]}
    of_regions = sorted({f"{row['networks']:.0f}" for row in tables["regions"] if numeric(row, "networks") > 0})
    marks = facts.get("references", "").partition(" networks")
    counts = [f"{marks[0]} set the limits of marks"] if marks[1] else []
    counts += [f"{join_words(of_regions)} those of regions"] if of_regions else []
    tested = ((CLEAN_AUDITS, "tested the verdicts on marks"), (f"{NO_SHORTCUT}: one is named", "tested the search"))
    counts += [f"{rates[name]['among']} {use}" for name, use in tested if name in rates]
    if len(counts) > 1:
        yield f"These are separate sets of networks without a shortcut: {join_words(counts)}."


def _search_rate_sentences(rates: Mapping[str, Row]) -> Iterator[str]:
    """Yield how often such searches name a shortcut, miss it, and name one that is not there."""
    if f"{ALL_SHORTCUTS}: named" not in rates:
        return
    named, missed = (rates[f"{ALL_SHORTCUTS}: {answer}"] for answer in ("named", "nothing found"))
    clean = rates[f"{NO_SHORTCUT}: one is named"]
    yield (
        f"In tests of the search, it named the shortcut of {named['count']} of {named['among']} small networks. In "
        f"{missed['count']} it found nothing. It named one in {clean['count']} of {clean['among']} networks "
        "without a shortcut. The search was changed after some of these networks had been searched, so these rates are "
        "optimistic. The table of error rates has each kind of shortcut."
    )


def _reference_sentences(tables: Mapping[str, Sequence[Row]]) -> Iterator[str]:
    """Yield the limits of reference networks: none, trained on images of the same source, or read at another size."""
    facts = {row["key"]: row["value"] for row in tables["provenance"]}
    marks = [row for row in tables["verdicts"] if row["kind"] == "mark"]
    if "references" not in facts:
        yield from ([NO_REFERENCE] if marks else [])
        return
    if "references trained on" in facts:
        yield (
            f"The {facts['references']} of the reference were trained on {facts['references trained on']} of the same "
            "source. A shortcut in these images other than a mark therefore affects them too."
        )
    side, framed_size = facts.get("references read", ""), facts.get("size", "").partition(",")[0]
    names = [factor_words(row) for row in marks if math.isnan(row["limit"]) and not row["place"]]
    if side != framed_size and names:
        yield (
            f"The reference networks read images of {side or 'several sizes'} and the model of {framed_size}, where "
            f"{join_words(names)} change other details, so 'relies on' is not claimed for them."
        )


METHODS = (
    f"{SHIFT_NAME}: {GLOSSARY[SHIFT_NAME]}",
    "Brackets of marks, columns and distortions are 90% intervals over patients, whose ends are 95% bounds. A verdict "
    "needs a bound beyond the margin. The verdict 'no effect' needs all upper bounds below it at all three strengths: "
    "of the AUROC shift either way, of the AUROC lost and of the share of changed predictions.",
    "Verdicts refer to the middle strength, as drawn and at the place with the largest effect, corrected for two "
    "tests. 95% intervals of groups hold simultaneously, as do those of gaps. Of a sensitivity, specificity or "
    "accuracy with fewer than 10 patients called rightly, or wrongly, the ends are exact (Clopper and Pearson).",
)
